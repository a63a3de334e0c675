//! Anomalies that need no cycle.

use super::order::{Cyclic, Order};
use super::reads::{FEW, Reads, Trouble, Update, add, write_of};
use super::writers::{LastWrites, invoked, txn_of};
use crate::anomaly::{Anomaly, AnomalyKind, Place, Role, Witness};
use crate::txn::accesses::{Accesses, INITIAL};
use crate::txn::txns::{TxnId, Txns};

use super::mutant::{Mutant, Mutation};

/// All of them, the first few of each kind, and how many there are.
pub(super) fn anomalies(
    txns: &Txns<'_>,
    reads: &Reads,
    last: &LastWrites,
    mutation: Mutation,
) -> (Vec<Anomaly>, Vec<(AnomalyKind, u64)>) {
    let mut counts = reads.counts.clone();
    let mut all: Vec<Anomaly> = reads.troubles.iter().map(|trouble| of_trouble(txns, *trouble)).collect();
    all.extend(lost_updates(txns, reads, last, &mut counts, mutation));
    (all, counts)
}

/// A value as text; micro-operations that are not there have none.
pub(super) fn value_text(txns: &Txns<'_>, id: TxnId, micro: u32) -> Option<String> {
    use schism_history::MicroValue;
    let history = txns.history();
    let txn = txn_of(txns, id).filter(|txn| (micro as usize) < txn.len())?;
    let micro = txn.micro(micro as usize);
    let list = |items: &[schism_history::ValueId]| {
        schism_history::Value::list(items.iter().map(|&item| (*history.value_of(item)).clone()).collect()).to_string()
    };
    Some(match micro.value {
        MicroValue::One(value) => history.value_of(value).to_string(),
        MicroValue::Prefix(length) => list(&txn.list_of(micro.key)[..length as usize]),
        MicroValue::Deviant(items) => list(items),
        MicroValue::Other(mop) => mop.value.to_string(),
    })
}

fn place(txns: &Txns<'_>, id: TxnId, micro: u32, role: Role) -> Place {
    Place { transaction: invoked(txns, id), micro, role }
}

fn of_trouble(txns: &Txns<'_>, trouble: Trouble) -> Anomaly {
    let mut places = vec![place(txns, trouble.reader, trouble.micro, Role::Read)];
    let mut expected = None;
    if let Some((writer, micro)) = trouble.write {
        let role = if trouble.kind == AnomalyKind::G1a { Role::AbortedWrite } else { Role::Write };
        places.push(place(txns, writer, micro, role));
        match trouble.kind {
            AnomalyKind::G1b => {
                if let Some(last) = last_write(txns, writer, trouble.key) {
                    places.push(place(txns, writer, last, Role::OverWrite));
                    expected = value_text(txns, writer, last);
                }
            }
            AnomalyKind::Internal | AnomalyKind::NotReadYourWrites => expected = value_text(txns, writer, micro),
            _ => {}
        }
    }
    let found = value_text(txns, trouble.reader, trouble.micro);
    Anomaly::new(trouble.kind, Some(txns.key_text(trouble.key)), Witness::Micros { places, expected, found })
}

fn last_write(txns: &Txns<'_>, id: TxnId, key: u32) -> Option<u32> {
    let micros = txn_of(txns, id)?.micros().enumerate();
    let is_write = |micro: schism_history::Micro<'_>| micro.f == schism_history::MicroF::Write && micro.key == key;
    micros.filter(|&(_, micro)| is_write(micro)).last().map(|(place, _)| place as u32)
}

/// Two transactions that read one version and both wrote the key: whichever version is the later one, the other
/// transaction's update is lost. No order of versions is needed.
fn lost_updates(
    txns: &Txns<'_>,
    reads: &Reads,
    last: &LastWrites,
    counts: &mut Vec<(AnomalyKind, u64)>,
    mutation: Mutation,
) -> Vec<Anomaly> {
    let mut all = Vec::new();
    let is_of_one = |a: &Update, b: &Update| a.key == b.key && a.of == b.of;
    for group in reads.updates.chunk_by(is_of_one) {
        let [first, second, ..] = group else { continue };
        if first.of == INITIAL && mutation.is(Mutant::LostUpdateOfInitialForgotten) {
            continue;
        }
        add(counts, AnomalyKind::LostUpdate, group.len() as u64 - 1);
        if all.len() < FEW {
            all.extend(lost_update(txns, last, *first, *second));
        }
    }
    all
}

fn lost_update(txns: &Txns<'_>, last: &LastWrites, first: Update, second: Update) -> Option<Anomaly> {
    let mut places = vec![
        place(txns, first.by, first.micro, Role::Read),
        place(txns, first.by, write_of(last.of(first.by), first.key)?, Role::OverWrite),
        place(txns, second.by, second.micro, Role::OtherRead),
        place(txns, second.by, write_of(last.of(second.by), second.key)?, Role::OverWrite),
    ];
    if first.of != INITIAL {
        places.push(place(txns, first.of, write_of(last.of(first.of), first.key)?, Role::Write));
    }
    let found = value_text(txns, first.by, first.micro);
    let witness = Witness::Micros { places, expected: None, found };
    Some(Anomaly::new(AnomalyKind::LostUpdate, Some(txns.key_text(first.key)), witness))
}

/// Sources of the order of versions that contradict themselves.
pub(super) fn add_cyclic(
    txns: &Txns<'_>,
    accesses: &Accesses,
    order: &Order,
    anomalies: &mut Vec<Anomaly>,
    counts: &mut Vec<(AnomalyKind, u64)>,
) {
    if !order.cyclic.is_empty() {
        add(counts, AnomalyKind::CyclicVersions, order.cyclic.len() as u64);
    }
    anomalies.extend(order.cyclic.iter().take(FEW).map(|cyclic| of_cyclic(txns, accesses, cyclic)));
}

/// Of each step the micro-operation that saw or wrote the earlier version, and the one that saw or wrote the later.
fn of_cyclic(txns: &Txns<'_>, accesses: &Accesses, cyclic: &Cyclic) -> Anomaly {
    let key = cyclic.key;
    let written = |id: TxnId| write_of(accesses.writes(id), key);
    let touch = |by: TxnId, version: TxnId| {
        if by == version {
            return written(by).map(|micro| place(txns, by, micro, Role::Write));
        }
        let read = accesses.reads(by).iter().find(|read| read.key == key && read.writer == version);
        read.map(|read| place(txns, by, read.micro, Role::Read))
    };
    let version_text = |version: TxnId| match version {
        INITIAL => "nil".to_owned(),
        version => written(version).and_then(|micro| value_text(txns, version, micro)).unwrap_or_default(),
    };
    let mut places = Vec::new();
    let mut found = cyclic.circle.first().map(|step| version_text(step.from)).unwrap_or_default();
    for step in &cyclic.circle {
        places.extend([touch(step.from_by, step.from), touch(step.to_by, step.to)].into_iter().flatten());
        found.push_str(&format!(" before {} ({})", version_text(step.to), step.source.about()));
    }
    let witness = Witness::Micros { places, expected: None, found: Some(found) };
    Anomaly::new(AnomalyKind::CyclicVersions, Some(txns.key_text(key)), witness)
}
