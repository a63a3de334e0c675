//! A question to the solver in dense numbers: nodes, versions, reads, and the edges that are certain.
//!
//! What takes part: transactions that are committed, and of those in doubt the ones that a read may have seen, with
//! their writes alone. One in doubt that nobody saw is left out, which changes nothing: it precedes nobody in its process or
//! in real time, and nobody has to read it, so it can always be the last. A read is left out where its writer does not take part
//! or is not known; that a transaction may not read what nobody wrote is for others to say.

use super::graph::{NONE, Neighbours};
use super::mutant::{self, Mutant};
use super::{Property, Question};
use crate::txn::accesses::INITIAL;
use crate::txn::txns::TxnId;

impl Question<'_> {
    /// All transactions that take part, in order of their numbers.
    pub(super) fn members(&self) -> Vec<TxnId> {
        let count = self.accesses.len().min(self.txns.len());
        let mut takes_part = self.accesses.committed[..count].to_vec();
        let mut seen = |writer: TxnId| {
            if let Some(part) = takes_part.get_mut(writer as usize) {
                *part = true;
            }
        };
        for id in 0..self.txns.ok_count().min(count as u32) {
            self.accesses.reads(id).iter().for_each(|read| seen(read.writer));
        }
        self.known.iter().flat_map(|edge| [edge.from, edge.to]).for_each(&mut seen);
        if !mutant::is(Mutant::DoubtLeftOut) {
            self.uncertain.iter().flat_map(|read| &read.candidates).for_each(|&writer| seen(writer));
        }
        (0..count as TxnId).filter(|&id| takes_part[id as usize]).collect()
    }
}

/// A read of a value that several transactions wrote.
pub(super) struct Choice {
    /// The read's place among the uncertain ones.
    pub read: u32,
    /// The reader.
    pub txn: u32,
    /// The key's dense number.
    pub key: u32,
    /// The versions it may be, in order of their numbers.
    pub versions: Vec<u32>,
}

/// How the orders of transactions are put into a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    property: Property,
    count: u32,
}

impl Shape {
    /// Whether the beginning (which is to say the snapshot) and the end of a transaction are two nodes.
    pub fn is_double(self) -> bool {
        matches!(self.property, Property::SnapshotIsolation | Property::Prefix)
    }

    /// Whether writers of a key may not overlap.
    pub fn keeps_writers_apart(self) -> bool {
        self.property == Property::SnapshotIsolation
    }

    /// Whether there are readers that not all transactions have to agree with. Each of them has a node of its own, from
    /// which its edges go out ([`Shape::source`]), and which may not reach the reader itself.
    pub fn has_private_readers(self) -> bool {
        matches!(self.property, Property::ParallelSnapshotIsolation | Property::UpdateSerializable)
    }

    /// Where a transaction reads.
    #[inline]
    pub fn snapshot(self, txn: u32) -> u32 {
        if self.is_double() { 2 * txn } else { txn }
    }

    /// Where it writes.
    #[inline]
    pub fn commit(self, txn: u32) -> u32 {
        if self.is_double() { 2 * txn + 1 } else { txn }
    }

    /// Where an edge from an earlier writer of the same key goes to.
    #[inline]
    pub fn written_over(self, txn: u32) -> u32 {
        if self.keeps_writers_apart() { self.snapshot(txn) } else { self.commit(txn) }
    }

    /// The node of a private reader from which its edges go out.
    pub fn private(self, txn: u32) -> u32 {
        self.count + txn
    }

    /// The transaction of a node, if it is one.
    #[inline]
    pub fn txn(self, node: u32) -> Option<u32> {
        if self.is_double() {
            return Some(node / 2).filter(|&txn| txn < self.count);
        }
        let folded = if self.has_private_readers() && node >= self.count { node - self.count } else { node };
        Some(folded).filter(|&txn| txn < self.count)
    }
}

/// The question.
pub(super) struct Problem {
    pub shape: Shape,
    /// The transactions, by dense number.
    pub members: Vec<TxnId>,
    /// By version: its writer. Versions of a key stand together; after them all stands each key's initial version, which has none.
    pub writer: Vec<u32>,
    pub key: Vec<u32>,
    /// By key: where its versions begin; and the end of the last.
    pub key_starts: Vec<u32>,
    /// By transaction: the versions it wrote, by key.
    pub writes: Neighbours,
    /// Certain reads, by version: those of one stand together.
    pub reader: Vec<u32>,
    pub read_version: Vec<u32>,
    /// By version: where its reads begin; and the end of the last.
    pub read_starts: Vec<u32>,
    /// By transaction: its certain reads.
    pub reads: Neighbours,
    pub choices: Vec<Choice>,
    /// By key: its choices.
    pub choices_of_key: Neighbours,
    /// By transaction: its choices.
    pub choices_of_txn: Neighbours,
    /// Edges that are certain.
    pub edges: Vec<(u32, u32)>,
    /// By node: a guess when it was.
    pub priorities: Vec<u64>,
    /// By transaction: a guess when it was, to weigh decisions by.
    pub moment: Vec<u64>,
    /// By transaction: whether its reads concern nobody else.
    pub is_private: Vec<bool>,
}

/// Dense numbers of what was given numbers already; cleared after each use at the cost of what was used.
pub(super) struct Scratch {
    txn: Vec<u32>,
    key: Vec<u32>,
}

impl Scratch {
    pub fn new(question: &Question<'_>) -> Scratch {
        let keys = question.accesses.keys_count as usize;
        Scratch { txn: vec![NONE; question.accesses.len()], key: vec![NONE; keys] }
    }

    fn txn(&self, id: TxnId) -> Option<u32> {
        self.txn.get(id as usize).copied().filter(|&txn| txn != NONE)
    }

    fn key(&self, key: u32) -> Option<u32> {
        self.key.get(key as usize).copied().filter(|&key| key != NONE)
    }
}

impl Problem {
    /// Versions that were written; the number of the first key's initial version.
    pub fn versions_count(&self) -> u32 {
        self.key_starts.last().copied().unwrap_or(0)
    }

    /// Bytes that it holds, about.
    pub fn bytes(&self) -> u64 {
        let words = self.writer.len() * 4 + self.reader.len() * 4 + self.edges.len() * 2 + self.priorities.len() * 4;
        let choices: usize = self.choices.iter().map(|choice| 40 + choice.versions.len() * 4).sum();
        (words * 4 + choices) as u64
    }

    /// Of some transactions, in order of their numbers.
    pub fn new(question: &Question<'_>, members: &[TxnId], scratch: &mut Scratch) -> Problem {
        for (txn, &id) in members.iter().enumerate() {
            scratch.txn[id as usize] = txn as u32;
        }
        let mut keys = Vec::new();
        for &id in members {
            for write in question.accesses.writes(id) {
                if let Some(slot) = scratch.key.get_mut(write.key as usize).filter(|slot| **slot == NONE) {
                    *slot = keys.len() as u32;
                    keys.push(write.key);
                }
            }
        }
        let problem = build(question, members, &keys, scratch);
        members.iter().for_each(|&id| scratch.txn[id as usize] = NONE);
        keys.iter().for_each(|&key| scratch.key[key as usize] = NONE);
        problem
    }
}

fn build(question: &Question<'_>, members: &[TxnId], keys: &[u32], scratch: &Scratch) -> Problem {
    let shape = Shape { property: question.property, count: members.len() as u32 };
    let (writer, key, key_starts, writes) = versions(question, members, keys.len(), scratch);
    let versions_count = writer.len() as u32;
    let key_of = &key;
    let version_of = |txn: u32, key: u32| {
        let own = writes.of(txn);
        own.binary_search_by_key(&key, |&version| key_of[version as usize]).ok().map(|place| own[place])
    };
    let version_read = |reader: u32, writer: TxnId, key: u32| match writer {
        INITIAL => Some(versions_count + key),
        _ => scratch.txn(writer).filter(|&writer| writer != reader).and_then(|writer| version_of(writer, key)),
    };
    let mut pairs = Vec::new();
    for (txn, &id) in members.iter().enumerate().filter(|&(_, &id)| question.txns.is_ok(id)) {
        for read in question.accesses.reads(id) {
            let version = scratch.key(read.key).and_then(|key| version_read(txn as u32, read.writer, key));
            pairs.extend(version.map(|version| (version, txn as u32)));
        }
    }
    let choices = choices(question, scratch, &version_read, &mut pairs);
    let versions_all = versions_count as usize + keys.len();
    let (reader, read_version, read_starts) = reads_once(versions_all, pairs);
    let numbered = reader.iter().enumerate().map(|(read, &txn)| (txn, read as u32));
    let reads = Neighbours::new(members.len(), numbered);
    let of_key = choices.iter().enumerate().map(|(number, choice)| (choice.key, number as u32));
    let choices_of_key = Neighbours::new(keys.len(), of_key);
    let of_txn = choices.iter().enumerate().map(|(number, choice)| (choice.txn, number as u32));
    let choices_of_txn = Neighbours::new(members.len(), of_txn);
    let is_private = members.iter().enumerate().map(|(txn, _)| match question.property {
        Property::ParallelSnapshotIsolation => true,
        Property::UpdateSerializable => writes.of(txn as u32).is_empty(),
        _ => false,
    });
    let is_private: Vec<bool> = is_private.collect();
    let mut problem = Problem {
        shape,
        members: members.to_vec(),
        key,
        key_starts,
        reader,
        read_version,
        read_starts,
        reads,
        choices,
        choices_of_key,
        choices_of_txn,
        edges: Vec::new(),
        priorities: Vec::new(),
        moment: Vec::new(),
        is_private,
        writer,
        writes,
    };
    super::known::guess(question, &mut problem);
    super::known::edges(question, &mut problem, keys, scratch_lookup(scratch));
    problem
}

/// Reads by version, each reader of a version once: the readers, the versions, and where those of each version begin.
fn reads_once(versions_count: usize, pairs: Vec<(u32, u32)>) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let by_version = Neighbours::new(versions_count, pairs.iter().copied());
    let (mut reader, mut read_version, mut read_starts) = (Vec::new(), Vec::new(), vec![0]);
    for version in 0..versions_count as u32 {
        let start = reader.len();
        // A transaction's reads mostly stand together: once is enough.
        for &txn in by_version.of(version) {
            if reader.len() == start || reader.last() != Some(&txn) {
                reader.push(txn);
                read_version.push(version);
            }
        }
        read_starts.push(reader.len() as u32);
    }
    (reader, read_version, read_starts)
}

fn scratch_lookup(scratch: &Scratch) -> impl Fn(TxnId) -> Option<u32> + '_ {
    |id| scratch.txn(id)
}

/// Numbers what was written: the writer and the key of each version, where the keys begin, and each writer's versions.
fn versions(
    question: &Question<'_>,
    members: &[TxnId],
    keys_count: usize,
    scratch: &Scratch,
) -> (Vec<u32>, Vec<u32>, Vec<u32>, Neighbours) {
    let mut pairs = Vec::new();
    for (txn, &id) in members.iter().enumerate() {
        let own = question.accesses.writes(id).iter().filter_map(|write| scratch.key(write.key));
        pairs.extend(own.map(|key| (key, txn as u32)));
    }
    let by_key = Neighbours::new(keys_count, pairs.iter().copied());
    let (mut writer, mut key, mut key_starts) = (Vec::new(), Vec::new(), Vec::with_capacity(keys_count + 1));
    for number in 0..keys_count as u32 {
        let start = writer.len();
        key_starts.push(start as u32);
        for &txn in by_key.of(number) {
            if writer.len() == start || writer.last() != Some(&txn) {
                writer.push(txn);
                key.push(number);
            }
        }
    }
    key_starts.push(writer.len() as u32);
    // Versions ascend by key, and so do those of each writer.
    let writes = Neighbours::new(members.len(), writer.iter().enumerate().map(|(version, &txn)| (txn, version as u32)));
    (writer, key, key_starts, writes)
}

/// Reads with several possible writers; what has only one after all goes to `pairs`.
fn choices(
    question: &Question<'_>,
    scratch: &Scratch,
    version_read: &impl Fn(u32, TxnId, u32) -> Option<u32>,
    pairs: &mut Vec<(u32, u32)>,
) -> Vec<Choice> {
    let mut found = Vec::new();
    let all = question.uncertain.iter().enumerate();
    for (place, read) in all.filter(|(_, read)| question.txns.is_ok(read.reader)) {
        let (Some(txn), Some(key)) = (scratch.txn(read.reader), scratch.key(read.key)) else { continue };
        let others = read.candidates.iter().filter(|&&writer| writer != read.reader);
        let versions: Option<Vec<u32>> = others.map(|&writer| version_read(txn, writer, key)).collect();
        // A writer that does not take part might be the one: nothing is known then.
        let Some(mut versions) = versions else { continue };
        versions.sort_unstable();
        versions.dedup();
        if mutant::is(Mutant::FirstWriter) {
            versions.truncate(1);
        }
        match versions[..] {
            [] => {}
            [version] => pairs.push((version, txn)),
            _ => found.push(Choice { read: place as u32, txn, key, versions }),
        }
    }
    found
}

/// Whether a transaction is open for ever.
pub(super) fn is_open(question: &Question<'_>, id: TxnId) -> bool {
    !question.txns.is_ok(id) && !mutant::is(Mutant::DoubtEnds)
}
