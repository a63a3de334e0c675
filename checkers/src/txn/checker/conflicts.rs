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

mod mutant;

use crate::anomaly::{Anomaly, AnomalyKind, Witness};
use crate::checker::Budget;
use crate::txn::accesses::{Accesses, INITIAL, Read, Write};
use crate::txn::edge::Edge;
use crate::txn::levels::{Level, LevelSet};
use crate::txn::meter::{Meter, Spent};
use crate::txn::solver::{self, Decision, Keeps, Property};
use crate::txn::txns::{TxnId, Txns};

use super::evidence::{Evidence, Inferred};
pub(in crate::txn) use mutant::{Mutant, Mutation};

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
    let is_update = level == Level::UpdateAtomic;
    let Ok(decision) = search(is_update, txns, inferred.accesses(), ww, &mut meter, Mutation::default()) else {
        evidence.stopped(&meter);
        return LevelSet::default();
    };
    match decision {
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

/// Searches an order, for update atomicity or for cursor stability. `ww` are known orders of versions, from writer to writer.
pub(in crate::txn) fn search(
    is_update: bool,
    txns: &Txns<'_>,
    accesses: &Accesses,
    ww: &[Edge],
    meter: &mut Meter,
    mutation: Mutation,
) -> Result<Decision, Spent> {
    let asked = Asker::new(is_update, txns, accesses, mutation).question(ww, meter)?;
    let question = solver::Question {
        txns,
        accesses: &asked,
        uncertain: &[],
        known: &[],
        property: Property::Serializable,
        keeps: Keeps::Nothing,
    };
    Ok(solver::decide(&question, meter))
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

/// Who is asked of.
struct Asker<'a> {
    txns: &'a Txns<'a>,
    accesses: &'a Accesses,
    count: TxnId,
    /// For update atomicity: who wrote each key, in order.
    writers: Vec<Vec<TxnId>>,
    mutation: Mutation,
}

impl<'a> Asker<'a> {
    fn new(is_update: bool, txns: &'a Txns<'a>, accesses: &'a Accesses, mutation: Mutation) -> Asker<'a> {
        let count = accesses.len().min(txns.len()) as TxnId;
        let asker = Asker { txns, accesses, count, writers: Vec::new(), mutation };
        let mut writers = vec![Vec::new(); if is_update { accesses.keys_count as usize } else { 0 }];
        for id in (0..count).filter(|&id| asker.is_in(id)) {
            for write in accesses.writes(id) {
                if let Some(writers) = writers.get_mut(write.key as usize) {
                    writers.push(id);
                }
            }
        }
        Asker { writers, ..asker }
    }

    fn is_in(&self, id: TxnId) -> bool {
        let is_left_out = self.mutation.is(Mutant::DoubtLeftOut) && !self.txns.is_ok(id);
        id < self.count && self.accesses.committed[id as usize] && !is_left_out
    }

    fn wrote(&self, id: TxnId, key: u32) -> bool {
        self.accesses.writes(id).iter().any(|write| write.key == key)
    }

    /// Whether the reader sees whatever another wrote before it, for update atomicity.
    fn is_visible(&self, reader: TxnId, read: Read, other: TxnId) -> bool {
        let is = |mutant| self.mutation.is(mutant);
        let sources = self.accesses.reads(reader).iter();
        let mut sources = sources.filter(|before| before.micro < read.micro || !is(Mutant::ReadBefore));
        let is_source = |id: TxnId| self.accesses.reads(id).iter().any(|read| read.writer == other);
        let via = |read: &Read| self.is_in(read.writer) && is(Mutant::Transitive) && is_source(read.writer);
        let mut was_read = || sources.any(|read| read.writer == other || via(read));
        let is_shared = || self.accesses.writes(reader).iter().any(|write| self.wrote(other, write.key));
        is(Mutant::EveryoneVisible) || !is(Mutant::SharedOnly) && was_read() || !is(Mutant::ReadFromOnly) && is_shared()
    }

    /// Those besides the one who was read of whom something is asked, of a read of a key that the reader did not write.
    fn visible(&self, reader: TxnId, read: Read, meter: &mut Meter) -> Result<Vec<TxnId>, Spent> {
        let all = self.writers.get(read.key as usize).map_or(&[][..], Vec::as_slice);
        meter.step(1 + all.len() as u64)?;
        let is_asked = |other: &TxnId| *other != read.writer && self.is_visible(reader, read, *other);
        let mut visible: Vec<TxnId> = all.iter().copied().filter(is_asked).collect();
        if self.mutation.is(Mutant::FirstVisible) {
            visible.truncate(1);
        }
        Ok(visible)
    }

    /// As accesses.
    fn question(&self, ww: &[Edge], meter: &mut Meter) -> Result<Accesses, Spent> {
        let is = |mutant| self.mutation.is(mutant);
        let keys_count = self.accesses.keys_count;
        let mut question = Question { keys_count, reads: Vec::new(), writes: Vec::new(), pairs: Vec::new() };
        for id in (0..self.count).filter(|&id| self.is_in(id)) {
            question.writes.extend(self.accesses.writes(id).iter().map(|write| (id, write.key)));
        }
        let among = |edge: &&Edge| self.is_in(edge.from) && self.is_in(edge.to) && edge.from != edge.to;
        for edge in ww.iter().filter(among).filter(|_| !is(Mutant::KnownForgotten)) {
            match is(Mutant::KnownTurned) {
                true => question.before(edge.to, edge.from),
                false => question.before(edge.from, edge.to),
            }
        }
        // The reads of those in doubt are unknown, and not listed.
        for id in (0..self.count).filter(|&id| self.is_in(id)) {
            for &read in self.accesses.reads(id) {
                self.ask(&mut question, id, read, meter)?;
            }
        }
        let versions = if is(Mutant::KnownForgotten) { &[] } else { &self.accesses.versions[..] };
        Ok(answerable(question, self.accesses, versions))
    }

    fn ask(&self, question: &mut Question, id: TxnId, read: Read, meter: &mut Meter) -> Result<(), Spent> {
        let is = |mutant| self.mutation.is(mutant);
        let is_real = self.is_in(read.writer) && read.writer != id && self.wrote(read.writer, read.key);
        if !is_real && (read.writer != INITIAL || is(Mutant::InitialForgotten)) {
            return Ok(());
        }
        if self.wrote(id, read.key) && !is(Mutant::OwnKeysFree) || is(Mutant::OtherKeysAsked) {
            question.reads.push((id, read));
            return Ok(());
        }
        let visible = self.visible(id, read, meter)?;
        if !visible.is_empty() {
            let key = question.key();
            let own = (is_real && !is(Mutant::ReadLeftOut)).then_some(read.writer);
            question.reads.push((id, Read { key, ..read }));
            question.writes.extend(visible.into_iter().chain(own).map(|other| (other, key)));
        } else if is_real && !is(Mutant::ReadsUnordered) {
            question.before(read.writer, id);
        }
        Ok(())
    }
}

/// As accesses. Reads stay in their order, keys that are made after all others.
fn answerable(mut question: Question, accesses: &Accesses, versions: &[Vec<TxnId>]) -> Accesses {
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
    for (order, known) in asked.versions.iter_mut().zip(versions) {
        order.clone_from(known);
    }
    for (key, pair) in question.pairs {
        asked.versions[key as usize] = pair.to_vec();
    }
    asked
}
