//! Serializability, snapshot isolation and their kin where the order of versions is not known. Complete: it decides, or
//! spends its budget and says how far it came.
//!
//! - [`problem`], [`known`]: the question in dense numbers; what is certain.
//! - [`graph`], [`sequence`]: a graph without cycles, and an order that keeps it, both changed in place.
//! - [`clauses`]: what is learned from contradictions.
//! - [`engine`], [`choices`]: the search.
//! - [`reduce`], [`derive`]: from a contradiction to few transactions, and to the steps of a proof.
//! - [`replay`]: verifies an order, by code that shares nothing with the search.

mod choices;
mod clauses;
mod derive;
mod engine;
mod graph;
mod known;
mod mutant;
mod problem;
mod reduce;
pub mod replay;
mod sequence;
#[cfg(test)]
mod tests;

use crate::anomaly::{Anomaly, AnomalyKind, Witness};
use crate::txn::accesses::Accesses;
use crate::txn::meter::{Meter, Spent};
use crate::txn::rw_register::Uncertain;
use crate::txn::txns::{TxnId, Txns};
use crate::verdict::Gap;
use engine::Ended;
use problem::{Problem, Scratch, View};

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
///
/// Reads of [`UNKNOWN`](crate::txn::accesses::UNKNOWN) writers, of their own transactions and of writers that did not write
/// the key are left out: what they break shows by itself. The versions that `accesses` knows in order keep that order.
pub fn decide(
    txns: &Txns<'_>,
    accesses: &Accesses,
    uncertain: &[Uncertain],
    property: Property,
    keeps: Keeps,
    meter: &mut Meter,
) -> Decision {
    let view = View { txns, accesses, uncertain, property, keeps };
    let members = view.members();
    let mut scratch = Scratch::new(&view);
    // What has one order for all, or snapshots, is all of these, and that is found out faster. A part of the budget is tried
    // on it.
    let stronger: &[Property] = match property {
        Property::ParallelSnapshotIsolation => &[Property::Serializable, Property::SnapshotIsolation],
        Property::UpdateSerializable => &[Property::Serializable],
        _ => &[],
    };
    for &property in stronger {
        let mut part = meter.clone();
        part.steps_max = meter.steps.saturating_add(meter.steps_max.saturating_sub(meter.steps) / 8);
        let found = solve(&View { property, ..view }, &members, &mut scratch, &mut part);
        meter.steps = part.steps.min(part.steps_max);
        if let Ok(Solved::Holds(order)) = found {
            return holds(&view, order);
        }
    }
    let prefix_events = match solve(&view, &members, &mut scratch, meter) {
        Ok(Solved::Holds(order)) => return holds(&view, order),
        Ok(Solved::Broken(core)) => {
            let (core, smallest) = reduce::reduce(&view, core, &mut scratch, meter);
            return Decision::Broken(Box::new(anomaly(&view, core, smallest)));
        }
        Ok(Solved::Spent(prefix_events)) => prefix_events,
        Err(Spent) => 0,
    };
    Decision::Unknown(Gap::BudgetSpent {
        key: None,
        steps: meter.steps,
        steps_max: meter.steps_max,
        memory_bytes: meter.bytes,
        memory_bytes_max: meter.bytes_max,
        prefix_events,
        configurations_peak: 0,
        placing: None,
    })
}

/// How a question about some transactions was answered.
enum Solved {
    /// An order.
    Holds(Vec<TxnId>),
    /// Those of the transactions that the contradiction speaks of, in order of their numbers.
    Broken(Vec<TxnId>),
    /// The budget ended first; so many events have an order.
    Spent(u64),
}

fn solve(view: &View<'_>, members: &[TxnId], scratch: &mut Scratch, meter: &mut Meter) -> Result<Solved, Spent> {
    let problem = Problem::new(view, members, scratch);
    let named = |txns: Vec<u32>| txns.into_iter().map(|txn| members[txn as usize]).collect();
    Ok(match engine::search(&problem, meter)? {
        Ended::Holds(order) => Solved::Holds(named(order)),
        Ended::Broken(txns) => Solved::Broken(named(txns)),
        Ended::Spent(first) => {
            let first = members.get(first as usize).filter(|&&id| view.txns.is_ok(id));
            Solved::Spent(first.map_or(0, |&id| u64::from(view.txns.ended(id))))
        }
    })
}

fn holds(view: &View<'_>, order: Vec<TxnId>) -> Decision {
    debug_assert_eq!(
        replay::replay(view.txns, view.accesses, view.uncertain, (view.property, view.keeps), &order),
        Ok(())
    );
    Decision::Holds(order)
}

fn anomaly(view: &View<'_>, core: Vec<TxnId>, smallest: bool) -> Anomaly {
    use AnomalyKind::*;
    let kind = match (view.property, view.keeps) {
        (Property::Serializable, Keeps::Nothing) => NotSerializable,
        (Property::Serializable, Keeps::Process) => NotSerializableProcess,
        (Property::Serializable, Keeps::Realtime) => NotSerializableRealtime,
        (Property::SnapshotIsolation, Keeps::Nothing) => NotSnapshotIsolation,
        (Property::SnapshotIsolation, Keeps::Process) => NotSnapshotIsolationProcess,
        (Property::SnapshotIsolation, Keeps::Realtime) => NotSnapshotIsolationRealtime,
        (Property::Prefix, _) => NotPrefix,
        (Property::ParallelSnapshotIsolation, _) => NotParallelSnapshotIsolation,
        (Property::UpdateSerializable, _) => NotUpdateSerializable,
    };
    let derivation = derive::derive(view, &core);
    let mut transactions: Vec<_> = core.iter().map(|&id| view.txns.invoked(id)).collect();
    transactions.sort_unstable();
    Anomaly::new(kind, None, Witness::NoCommitOrder { transactions, smallest, derivation })
}
