//! Cursor stability and update atomicity where the order of versions is not known, by the search for a serial order.
//!
//! Both ask for an order of all transactions that keeps who read from whom and what is known of versions, and in which of some
//! reads it holds that another writer of the key stands before the one that was read, or after the reader:
//!
//! - cursor stability: of reads of a key that the reader wrote, for all writers of the key;
//! - update atomicity: besides, of other reads, for those writers whom the reader read something from, or with whom it wrote a
//!   key in common (if such a writer stood before the reader it would be visible).
//!
//! Serializability asks just that of all reads. So the question is put to its search with other reads: those of the first kind
//! as they are; of the second kind each of a key made for it, which only the writers in question wrote; and of a read of which
//! nothing is asked there is left that it comes after what it read.

use crate::anomaly::{Anomaly, AnomalyKind, Witness};
use crate::checker::Budget;
use crate::txn::accesses::{Accesses, INITIAL, Read, Write};
use crate::txn::edge::Edge;
use crate::txn::levels::{Level, LevelSet};
use crate::txn::meter::{Meter, Spent};
use crate::txn::solver::{self, Decision, Keeps, Property};
use crate::txn::txns::{TxnId, Txns};

use super::evidence::{Evidence, Inferred};

/// Decides one of the two, if it is asked for; the models that are settled then.
pub(super) fn decide(
    level: Level,
    txns: &Txns<'_>,
    inferred: &Inferred<'_>,
    ww: &[Edge],
    budget: &Budget,
    evidence: &mut Evidence,
) -> LevelSet {
    let (name, kind) = match level {
        Level::CursorStability => ("cursor-stability", AnomalyKind::GCursor),
        Level::UpdateAtomic => ("update-atomic", AnomalyKind::NotUpdateAtomic),
        _ => return LevelSet::default(),
    };
    if evidence.has_predicates || !inferred.uncertain().is_empty() {
        return LevelSet::default();
    }
    let mut meter = Meter::new(budget);
    let Ok(asked) = question(level == Level::UpdateAtomic, txns, inferred.accesses(), ww, &mut meter) else {
        evidence.stopped(&meter);
        return LevelSet::default();
    };
    let question = solver::Question {
        txns,
        accesses: &asked,
        uncertain: &[],
        known: &[],
        property: Property::Serializable,
        keeps: Keeps::Nothing,
    };
    match solver::decide(&question, &mut meter) {
        Decision::Holds(_) => {
            evidence.ran(name, &meter);
            return LevelSet::of(&[level]);
        }
        Decision::Broken(anomaly) => {
            evidence.ran(name, &meter);
            if let Witness::NoCommitOrder { transactions, smallest, .. } = anomaly.witness {
                // Its derivation would speak of keys that are made.
                let witness = Witness::NoCommitOrder { transactions, smallest, derivation: Vec::new() };
                evidence.add(Anomaly::new(kind, None, witness));
            }
        }
        Decision::Unknown(gap) => {
            evidence.steps = evidence.steps.saturating_add(meter.steps);
            evidence.spent.push(gap);
        }
    }
    LevelSet::default()
}

/// What is asked, as it is collected: by transaction, not in order.
struct Question {
    keys_count: u32,
    reads: Vec<(TxnId, Read)>,
    writes: Vec<(TxnId, u32)>,
    /// Orders of made keys.
    pairs: Vec<(u32, [TxnId; 2])>,
}

impl Question {
    fn key(&mut self) -> u32 {
        self.keys_count += 1;
        self.keys_count - 1
    }

    /// One comes before another.
    fn before(&mut self, from: TxnId, to: TxnId) {
        let key = self.key();
        self.writes.extend([(from, key), (to, key)]);
        self.pairs.push((key, [from, to]));
    }
}

fn question(
    updates: bool,
    txns: &Txns<'_>,
    accesses: &Accesses,
    ww: &[Edge],
    meter: &mut Meter,
) -> Result<Accesses, Spent> {
    let count = accesses.len().min(txns.len()) as TxnId;
    let is_in = |id: TxnId| id < count && accesses.committed[id as usize];
    let wrote = |id: TxnId, key: u32| accesses.writes(id).iter().any(|write| write.key == key);
    let mut question =
        Question { keys_count: accesses.keys_count, reads: Vec::new(), writes: Vec::new(), pairs: Vec::new() };
    let mut writers: Vec<Vec<TxnId>> = vec![Vec::new(); if updates { accesses.keys_count as usize } else { 0 }];
    for id in (0..count).filter(|&id| is_in(id)) {
        for write in accesses.writes(id) {
            question.writes.push((id, write.key));
            if let Some(writers) = writers.get_mut(write.key as usize) {
                writers.push(id);
            }
        }
    }
    for edge in ww.iter().filter(|edge| is_in(edge.from) && is_in(edge.to) && edge.from != edge.to) {
        question.before(edge.from, edge.to);
    }
    for id in (0..count).filter(|&id| is_in(id) && txns.is_ok(id)) {
        for &read in accesses.reads(id) {
            let is_real = is_in(read.writer) && read.writer != id && wrote(read.writer, read.key);
            if !is_real && read.writer != INITIAL {
                continue;
            }
            if wrote(id, read.key) {
                question.reads.push((id, read));
                continue;
            }
            let all = writers.get(read.key as usize).map_or(&[][..], Vec::as_slice);
            meter.step(1 + all.len() as u64)?;
            let shares = |other: TxnId| {
                accesses.reads(id).iter().any(|read| read.writer == other)
                    || accesses.writes(id).iter().any(|write| wrote(other, write.key))
            };
            let visible = all.iter().copied().filter(|&other| other != id && other != read.writer && shares(other));
            let visible: Vec<TxnId> = visible.collect();
            if visible.is_empty() {
                if is_real {
                    question.before(read.writer, id);
                }
                continue;
            }
            let key = question.key();
            question.reads.push((id, Read { key, ..read }));
            question.writes.extend(visible.into_iter().chain(is_real.then_some(read.writer)).map(|other| (other, key)));
        }
    }
    Ok(answerable(question, accesses))
}

/// As accesses. Reads stay in their order, keys that are made after all others.
fn answerable(mut question: Question, accesses: &Accesses) -> Accesses {
    question.reads.sort_by_key(|(id, _)| *id);
    question.writes.sort_unstable();
    let mut asked = Accesses::new(question.keys_count);
    let (mut reads, mut writes) = (&question.reads[..], &question.writes[..]);
    for id in 0..accesses.len() as TxnId {
        let (own_reads, rest) = reads.split_at(reads.partition_point(|(other, _)| *other <= id));
        reads = rest;
        let (own_writes, rest) = writes.split_at(writes.partition_point(|(other, _)| *other <= id));
        writes = rest;
        let own_reads: Vec<Read> = own_reads.iter().map(|(_, read)| *read).collect();
        let own_writes: Vec<Write> = own_writes.iter().map(|&(_, key)| Write { key, micro: 0 }).collect();
        asked.push(&own_reads, &own_writes, accesses.committed[id as usize]);
    }
    asked.versions = vec![Vec::new(); question.keys_count as usize];
    for (order, known) in asked.versions.iter_mut().zip(&accesses.versions) {
        order.clone_from(known);
    }
    for (key, pair) in question.pairs {
        asked.versions[key as usize] = pair.to_vec();
    }
    asked
}
