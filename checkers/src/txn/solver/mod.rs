//! Serializability, snapshot isolation and their kin where the order of versions is not known. Complete: it decides, or
//! spends its budget and says how far it came.
//!
//! - [`problem`], [`known`]: the question in dense numbers; what is certain.
//! - [`graph`], [`sequence`]: a graph without cycles, and an order that keeps it, both changed in place.
//! - [`clauses`]: what is learned from contradictions.
//! - [`engine`], [`choices`], [`private`]: the search.
//! - [`reduce`], [`derive`]: from a contradiction to few transactions, and to the steps of a proof.
//! - [`replay`]: verifies an order, by code that shares nothing with the search; no order is told that was not.

mod choices;
mod clauses;
mod derive;
mod engine;
mod graph;
mod known;
mod mutant;
mod private;
mod problem;
mod reduce;
pub mod replay;
mod sequence;
#[cfg(test)]
mod tests;
mod trace;

use crate::anomaly::{Anomaly, AnomalyKind, Witness};
use crate::txn::accesses::{Accesses, INITIAL};
use crate::txn::edge::Edge;
use crate::txn::meter::{Meter, Spent};
use crate::txn::rw_register::Uncertain;
use crate::txn::txns::{TxnId, Txns};
use crate::verdict::Gap;
use engine::Ended;
use problem::{Problem, Scratch};
use replay::{Certificate, NotReplayed};

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

/// What is asked, of which history.
///
/// Reads of [`UNKNOWN`](crate::txn::accesses::UNKNOWN) writers, of their own transactions and of writers that did not write
/// the key are left out: what they break shows by itself. The versions that `accesses` knows in order keep that order.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The transactions.
    pub txns: &'a Txns<'a>,
    /// Who read what from whom.
    pub accesses: &'a Accesses,
    /// Reads with several possible writers.
    pub uncertain: &'a [Uncertain],
    /// Writers of a key of whom the one is known, or was said, to have written the earlier version ([`Edge::kind`] is not looked
    /// at). They take part; what is decided is decided for orders of versions that keep this.
    pub known: &'a [Edge],
    /// What is asked of the commit order.
    pub property: Property,
    /// Which orders it must keep.
    pub keeps: Keeps,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// There is an order, here it is, and it was verified (transactions whose writes nobody saw and that are in doubt left out).
    Holds(Certificate),
    /// There is none.
    Broken(Box<Anomaly>),
    /// The budget ended first; or ([`Gap::Undecided`]) an order was found that could not be verified, which is a defect.
    Unknown(Gap),
}

/// Decides one property.
pub fn decide(question: &Question<'_>, meter: &mut Meter) -> Decision {
    let members = question.members();
    let mut scratch = Scratch::new(question);
    // What has one order for all, or snapshots, is all of these, and that is found out faster. A part of the budget is tried
    // on it.
    let stronger: &[Property] = match question.property {
        Property::ParallelSnapshotIsolation => &[Property::Serializable, Property::SnapshotIsolation],
        Property::UpdateSerializable => &[Property::Serializable],
        _ => &[],
    };
    for &property in stronger {
        let mut part = meter.clone();
        part.steps_max = meter.steps.saturating_add(meter.steps_max.saturating_sub(meter.steps) / 8);
        let found = solve(&Question { property, ..*question }, &members, &mut scratch, &mut part);
        meter.steps = part.steps.min(part.steps_max);
        if let Ok(Solved::Holds(certificate)) = found {
            return holds(question, certificate, meter);
        }
    }
    let prefix_events = match solve(question, &members, &mut scratch, meter) {
        Ok(Solved::Holds(certificate)) => return holds(question, certificate, meter),
        Ok(Solved::Broken(core)) => {
            let (core, smallest) = reduce::reduce(question, core, &mut scratch, meter);
            return Decision::Broken(Box::new(anomaly(question, core, smallest)));
        }
        Ok(Solved::Spent(prefix_events)) => prefix_events,
        Err(Spent) => 0,
    };
    Decision::Unknown(meter.gap_after(prefix_events))
}

/// How a question about some transactions was answered.
enum Solved {
    /// An order.
    Holds(Certificate),
    /// Those of the transactions that the contradiction speaks of, in order of their numbers.
    Broken(Vec<TxnId>),
    /// The budget ended first; so many events have an order.
    Spent(u64),
}

fn solve(
    question: &Question<'_>,
    members: &[TxnId],
    scratch: &mut Scratch,
    meter: &mut Meter,
) -> Result<Solved, Spent> {
    let problem = Problem::new(question, members, scratch);
    let named = |txns: Vec<u32>| txns.into_iter().map(|txn| members[txn as usize]).collect();
    Ok(match engine::search(&problem, meter)? {
        Ended::Holds { order, taken } => {
            let writer_of = |version: u32| match problem.writer.get(version as usize) {
                Some(&writer) => members[writer as usize],
                None => INITIAL,
            };
            let read_of = |choice: u32| problem.choices[choice as usize].read;
            let mut taken: Vec<(u32, TxnId)> =
                taken.into_iter().map(|(choice, version)| (read_of(choice), writer_of(version))).collect();
            taken.sort_unstable();
            Solved::Holds(Certificate { order: named(order), taken })
        }
        Ended::Broken(txns) => Solved::Broken(named(txns)),
        Ended::Spent(first) => {
            let first = members.get(first as usize).filter(|&&id| question.txns.is_ok(id));
            Solved::Spent(first.map_or(0, |&id| u64::from(question.txns.ended(id))))
        }
    })
}

/// An order is told only if it is one.
fn holds(question: &Question<'_>, certificate: Certificate, meter: &mut Meter) -> Decision {
    match replay::replay(question, &certificate, meter) {
        Ok(()) => Decision::Holds(certificate),
        Err(NotReplayed::Spent) => Decision::Unknown(meter.gap()),
        Err(NotReplayed::Wrong(reason)) => Decision::Unknown(Gap::Undecided {
            level: kind(question).as_str().trim_start_matches("not-").to_owned(),
            reason: format!(
                "internal: a commit order was found that does not replay ({reason}); this is a defect of schism, please report it with the history"
            ),
        }),
    }
}

fn kind(question: &Question<'_>) -> AnomalyKind {
    use AnomalyKind::*;
    match (question.property, question.keeps) {
        (Property::Serializable, Keeps::Nothing) => NotSerializable,
        (Property::Serializable, Keeps::Process) => NotSerializableProcess,
        (Property::Serializable, Keeps::Realtime) => NotSerializableRealtime,
        (Property::SnapshotIsolation, Keeps::Nothing) => NotSnapshotIsolation,
        (Property::SnapshotIsolation, Keeps::Process) => NotSnapshotIsolationProcess,
        (Property::SnapshotIsolation, Keeps::Realtime) => NotSnapshotIsolationRealtime,
        (Property::Prefix, _) => NotPrefix,
        (Property::ParallelSnapshotIsolation, _) => NotParallelSnapshotIsolation,
        (Property::UpdateSerializable, _) => NotUpdateSerializable,
    }
}

fn anomaly(question: &Question<'_>, core: Vec<TxnId>, smallest: bool) -> Anomaly {
    let derivation = derive::derive(question, &core);
    let mut transactions: Vec<_> = core.iter().map(|&id| question.txns.invoked(id)).collect();
    transactions.sort_unstable();
    Anomaly::new(kind(question), None, Witness::NoCommitOrder { transactions, smallest, derivation })
}
