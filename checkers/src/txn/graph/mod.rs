//! Cycles of dependencies.

use crate::anomaly::AnomalyKind;
use crate::txn::edge::Edge;
use crate::txn::meter::Meter;
use crate::txn::txns::Txns;

/// A cycle: each edge ends where the next begins, the last where the first begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    /// Its class.
    pub class: AnomalyKind,
    /// Its edges.
    pub edges: Vec<Edge>,
    /// Whether it was proven that its component has no shorter one of this class.
    pub shortest: bool,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cycles {
    /// One of each class in each strongly connected component, implied classes left out.
    pub found: Vec<Cycle>,
    /// How many strongly connected components of more than one transaction there are.
    pub components_count: u64,
    /// Whether the budget ended before all classes of all components were looked for.
    pub spent: bool,
}

/// Finds cycles. Edges of data are given, in any order, repeated or not; those of processes and of real time are of
/// `txns`.
pub fn cycles(_txns: &Txns<'_>, _edges: Vec<Edge>, _meter: &mut Meter) -> Cycles {
    Cycles::default()
}
