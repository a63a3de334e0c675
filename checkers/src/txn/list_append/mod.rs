//! Lists that are appended to: the order of versions shows in what was read.

use crate::anomaly::Anomaly;
use crate::txn::accesses::Accesses;
use crate::txn::edge::{Edge, Reasons};
use crate::txn::meter::Meter;
use crate::txn::txns::Txns;
use crate::verdict::Gap;

/// What lists say by themselves.
#[derive(Debug, Default)]
pub struct Lists {
    /// Anomalies that need no cycle.
    pub anomalies: Vec<Anomaly>,
    /// What could not be judged.
    pub gaps: Vec<Gap>,
    /// Dependencies: ww and rw between neighbouring versions, wr to the readers of the last element.
    pub edges: Vec<Edge>,
    /// Who read what from whom, with the order of versions.
    pub accesses: Accesses,
}

/// Infers.
pub fn infer(_txns: &Txns<'_>, _meter: &mut Meter) -> Lists {
    Lists::default()
}

impl Reasons for Lists {
    fn reason(&self, _edge: Edge) -> Option<crate::anomaly::Dependency> {
        None
    }
}
