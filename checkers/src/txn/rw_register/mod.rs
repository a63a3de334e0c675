//! Registers that are written blindly: only who read from whom is certain.

use crate::anomaly::Anomaly;
use crate::txn::accesses::Accesses;
use crate::txn::edge::{Edge, Reasons};
use crate::txn::meter::Meter;
use crate::txn::txns::Txns;
use crate::verdict::Gap;

/// From what the order of versions is inferred. The initial state always comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VersionSources {
    /// A transaction that read a version and then wrote the key wrote the next one after it or a later one.
    pub writes_follow_reads: bool,
    /// Each key is sequentially consistent: versions follow the order of processes.
    pub sequential_keys: bool,
    /// Each key is linearizable: versions follow the order of real time.
    pub linearizable_keys: bool,
}

/// What registers say by themselves.
#[derive(Debug, Default)]
pub struct Registers {
    /// Anomalies that need no cycle.
    pub anomalies: Vec<Anomaly>,
    /// What could not be judged.
    pub gaps: Vec<Gap>,
    /// Dependencies: wr always, ww and rw where the order of versions is inferred.
    pub edges: Vec<Edge>,
    /// Who read what from whom.
    pub accesses: Accesses,
    /// Reads whose value several transactions wrote: the candidates, by (reader, micro-operation).
    pub uncertain: Vec<Uncertain>,
}

/// A read of a value that several transactions wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncertain {
    /// The reader.
    pub reader: crate::txn::txns::TxnId,
    /// The micro-operation's place in it.
    pub micro: u32,
    /// The key's number.
    pub key: u32,
    /// Who may have written it, in order of their numbers.
    pub candidates: Vec<crate::txn::txns::TxnId>,
}

/// Infers.
pub fn infer(_txns: &Txns<'_>, _sources: &VersionSources, _meter: &mut Meter) -> Registers {
    Registers::default()
}

impl Reasons for Registers {
    fn reason(&self, _edge: Edge) -> Option<crate::anomaly::Dependency> {
        None
    }
}
