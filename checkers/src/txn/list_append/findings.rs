//! Anomalies that show by themselves: all are counted, a few of each kind are kept to be shown.

use std::collections::BTreeMap;

use schism_history::{MicroValue, OpIndex, ValueId};

use crate::anomaly::{Anomaly, AnomalyKind, Place, Role, Witness};
use crate::txn::txns::{TxnId, Txns};

/// How many of each kind are shown.
pub(super) const SHOWN_MAX: usize = 8;
/// How many are gathered before the best are chosen.
const GATHERED_MAX: usize = 64;

/// The kinds that lists show, in the order in which they are told.
pub(super) const KINDS: [AnomalyKind; 10] = [
    AnomalyKind::GarbageRead,
    AnomalyKind::DuplicateElements,
    AnomalyKind::IncompatibleOrder,
    AnomalyKind::Internal,
    AnomalyKind::NotReadYourWrites,
    AnomalyKind::FutureRead,
    AnomalyKind::G1a,
    AnomalyKind::DirtyUpdate,
    AnomalyKind::G1b,
    AnomalyKind::LostUpdate,
];

/// What is shown as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shown {
    /// Nothing.
    Nothing,
    /// The list of a read: transaction and place.
    Read(TxnId, u32),
    /// A value.
    One(ValueId),
    /// The list that a transaction must read there: what it read at the first place and appended since; without such
    /// a read only the end of it is known.
    Known(TxnId, u32),
}

/// An anomaly, before it is put into a witness. The smaller comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    /// How many elements one has to look at.
    pub size: u32,
    /// Who (transactions by number, beyond these the failed ones), where, and what part it plays.
    pub places: Vec<(u32, u32, Part)>,
    /// What should have been read.
    pub expected: Shown,
    /// What was read.
    pub found: Shown,
    /// The key.
    pub key: u32,
}

/// [`Role`], in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Read,
    OtherRead,
    Write,
    OverWrite,
    AbortedWrite,
}

impl Part {
    fn role(self) -> Role {
        match self {
            Part::Read => Role::Read,
            Part::OtherRead => Role::OtherRead,
            Part::Write => Role::Write,
            Part::OverWrite => Role::OverWrite,
            Part::AbortedWrite => Role::AbortedWrite,
        }
    }
}

/// The invocation of an owner: a transaction's number, or beyond these a failed one's place.
pub(super) fn invocation(txns: &Txns<'_>, owner: u32) -> OpIndex {
    let count = txns.len() as u32;
    if owner < count { txns.invoked(owner) } else { txns.failed[(owner - count) as usize] }
}

#[derive(Debug, Clone, Default)]
struct OfKind {
    count: u64,
    best: Vec<Candidate>,
}

impl OfKind {
    fn shrink(&mut self) {
        self.best.sort_unstable();
        self.best.truncate(SHOWN_MAX);
    }
}

/// What was found so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings {
    kinds: [OfKind; KINDS.len()],
}

impl Findings {
    fn of(&mut self, kind: AnomalyKind) -> &mut OfKind {
        let place = KINDS.iter().position(|&other| other == kind);
        &mut self.kinds[place.expect("only kinds of the table are found here")]
    }

    /// Counts some.
    pub fn count(&mut self, kind: AnomalyKind, count: u64) {
        self.of(kind).count += count;
    }

    /// Keeps one to be shown, if it is one of the smallest.
    pub fn show(&mut self, kind: AnomalyKind, candidate: Candidate) {
        let of = self.of(kind);
        of.best.push(candidate);
        if of.best.len() >= GATHERED_MAX {
            of.shrink();
        }
    }

    /// Takes over what others found.
    pub fn merge(&mut self, other: Findings) {
        for (mine, theirs) in self.kinds.iter_mut().zip(other.kinds) {
            mine.count += theirs.count;
            mine.best.extend(theirs.best);
            mine.shrink();
        }
    }

    /// How many of each kind there are; kinds that were not found are left out.
    pub fn counts(&self) -> BTreeMap<AnomalyKind, u64> {
        let found = KINDS.iter().zip(&self.kinds).filter(|(_, of)| of.count > 0);
        found.map(|(&kind, of)| (kind, of.count)).collect()
    }

    /// Puts the smallest of each kind into witnesses.
    pub fn anomalies(mut self, txns: &Txns<'_>) -> Vec<Anomaly> {
        let mut anomalies = Vec::new();
        for (&kind, of) in KINDS.iter().zip(&mut self.kinds) {
            of.shrink();
            anomalies.extend(of.best.iter().map(|candidate| anomaly(txns, kind, candidate)));
        }
        anomalies
    }
}

fn anomaly(txns: &Txns<'_>, kind: AnomalyKind, candidate: &Candidate) -> Anomaly {
    let place = |&(owner, micro, part): &(u32, u32, Part)| Place {
        transaction: invocation(txns, owner),
        micro,
        role: part.role(),
    };
    let witness = Witness::Micros {
        places: candidate.places.iter().map(place).collect(),
        expected: shown(txns, candidate.expected, candidate.key),
        found: shown(txns, candidate.found, candidate.key),
    };
    Anomaly::new(kind, Some(txns.key_text(candidate.key)), witness)
}

fn shown(txns: &Txns<'_>, shown: Shown, key: u32) -> Option<String> {
    match shown {
        Shown::Nothing => None,
        Shown::Read(reader, micro) => Some(list_text(txns, list_read(txns, reader, micro))),
        Shown::One(value) => Some(txns.history().value_of(value).to_string()),
        Shown::Known(reader, micro) => Some(known_text(txns, reader, micro, key)),
    }
}

/// The list that a micro-operation read; empty where it read none.
pub(super) fn list_read<'h>(txns: &Txns<'h>, reader: TxnId, micro: u32) -> &'h [ValueId] {
    let micro = txns.txn(reader).micro(micro as usize);
    match micro.value {
        MicroValue::Prefix(length) => &txns.history().txn_list(micro.key)[..length as usize],
        MicroValue::Deviant(list) => list,
        _ => &[],
    }
}

/// A list as JSON has it.
pub(super) fn list_text(txns: &Txns<'_>, list: &[ValueId]) -> String {
    let values = list.iter().map(|&id| (*txns.history().value_of(id)).clone()).collect();
    schism_history::Value::list(values).to_string()
}

/// What the transaction must read at that place: `[1,2]`, or `[...,2]` where only the end is known.
fn known_text(txns: &Txns<'_>, reader: TxnId, micro: u32, key: u32) -> String {
    let mut known: Vec<ValueId> = Vec::new();
    let mut is_whole = false;
    for (place, before) in txns.txn(reader).micros().take(micro as usize).enumerate() {
        match (before.f, before.value) {
            _ if before.key != key => {}
            (schism_history::MicroF::Append, MicroValue::One(value)) => known.push(value),
            (schism_history::MicroF::Read, _) => {
                known = list_read(txns, reader, place as u32).to_vec();
                is_whole = true;
            }
            _ => {}
        }
    }
    let text = list_text(txns, &known);
    if is_whole { text } else { text.replacen('[', "[...,", 1) }
}
