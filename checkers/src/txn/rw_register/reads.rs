//! Who read what from whom, transaction by transaction.

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};
use schism_history::{MicroF, ValueId};

use super::Uncertain;
use super::mutant::{Mutant, Mutation};
use super::writers::{Entry, LastWrites, NOBODYS, Writers};
use crate::anomaly::AnomalyKind;
use crate::txn::accesses::{Accesses, INITIAL, Read, UNKNOWN, Write};
use crate::txn::own::Own;
use crate::txn::txns::{TxnId, Txns};

/// So many of each kind of anomaly are told; the others are counted.
pub(super) const FEW: usize = 8;

/// Behind more reads of its transaction those of a key are found by hash.
const FEW_READS: usize = 24;

/// Transactions that a thread takes at once.
const BLOCK: u32 = 1 << 13;

/// A read that no good history has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trouble {
    /// What is wrong with it.
    pub kind: AnomalyKind,
    /// The reader.
    pub reader: TxnId,
    /// The read's place.
    pub micro: u32,
    /// The key's number.
    pub key: u32,
    /// The write that it contradicts, if there is one.
    pub write: Option<(TxnId, u32)>,
}

/// A transaction that read a version and wrote the key afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Update {
    /// The key's number.
    pub key: u32,
    /// Who wrote the version.
    pub of: TxnId,
    /// The transaction.
    pub by: TxnId,
    /// The read's place.
    pub micro: u32,
}

/// What all reads say.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Reads and writes.
    pub accesses: Accesses,
    /// Reads of values that several wrote.
    pub uncertain: Vec<Uncertain>,
    /// Whether there was no room for the candidates of some reads: nothing is known of these.
    pub is_crowded: bool,
    /// The first ones of each kind, in order of the readers.
    pub troubles: Vec<Trouble>,
    /// How many there are of each kind.
    pub counts: Vec<(AnomalyKind, u64)>,
    /// Who updated what, in order of key, version and transaction.
    pub updates: Vec<Update>,
}

impl Reads {
    /// Judges each read. Candidates of uncertain reads have so many bytes.
    pub fn of(txns: &Txns<'_>, writers: &Writers, last: &LastWrites, bytes_max: u64, mutation: Mutation) -> Reads {
        let ok_count = txns.ok_count();
        // A share for each block: what is left out must not depend on which is judged first.
        let blocks_count = u64::from(ok_count.div_ceil(BLOCK)).max(1);
        let candidates_max = bytes_max / blocks_count / size_of::<TxnId>() as u64;
        let blocks: Vec<Block> = (0..ok_count.div_ceil(BLOCK))
            .into_par_iter()
            .map(|number| {
                let mut judge = Judge {
                    txns,
                    writers,
                    mutation,
                    own: Own::default(),
                    by_key: ByKey::default(),
                    block: Block::default(),
                    candidates_left: candidates_max,
                };
                for id in number * BLOCK..((number + 1) * BLOCK).min(ok_count) {
                    judge.transaction(id);
                }
                judge.block
            })
            .collect();
        Reads::join(txns, last, blocks, writers.keys_count() as u32, mutation)
    }

    fn join(txns: &Txns<'_>, last: &LastWrites, blocks: Vec<Block>, keys_count: u32, mutation: Mutation) -> Reads {
        let mut all = Reads { accesses: Accesses::new(keys_count), ..Reads::default() };
        let mut is_seen = vec![mutation.is(Mutant::DoubtAlwaysSeen); txns.len() - txns.ok_count() as usize];
        let mut id = 0;
        for block in blocks {
            let mut start = 0;
            for &end in &block.ends {
                all.accesses.push(&block.reads[start..end as usize], last.of(id), true);
                (start, id) = (end as usize, id + 1);
            }
            for seen in block.seen {
                is_seen[(seen - txns.ok_count()) as usize] |= !mutation.is(Mutant::DoubtNeverSeen);
            }
            for trouble in block.troubles {
                if all.troubles.iter().filter(|known| known.kind == trouble.kind).count() < FEW {
                    all.troubles.push(trouble);
                }
            }
            for (kind, count) in block.counts {
                add(&mut all.counts, kind, count);
            }
            all.uncertain.extend(block.uncertain);
            all.is_crowded |= block.is_crowded;
            all.accesses.also_for_a_while.extend(block.split);
            all.updates.extend(block.updates);
        }
        for is_seen in is_seen {
            all.accesses.push(&[], last.of(id), is_seen);
            id += 1;
        }
        all.updates.par_sort_unstable();
        all
    }
}

/// Counts one more of a kind.
pub(super) fn add(counts: &mut Vec<(AnomalyKind, u64)>, kind: AnomalyKind, more: u64) {
    match counts.iter_mut().find(|(known, _)| *known == kind) {
        Some((_, count)) => *count += more,
        None => counts.push((kind, more)),
    }
}

/// What the reads of some transactions say.
#[derive(Debug, Default)]
struct Block {
    reads: Vec<Read>,
    ends: Vec<u32>,
    uncertain: Vec<Uncertain>,
    is_crowded: bool,
    troubles: Vec<Trouble>,
    counts: Vec<(AnomalyKind, u64)>,
    updates: Vec<Update>,
    /// Transactions in doubt whose values were read.
    seen: Vec<TxnId>,
    /// Reads of values that were also written for a while.
    split: Vec<(TxnId, u32)>,
}

/// From where a value may come.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// From there, or from nowhere.
    One(TxnId),
    /// From one of these.
    Several(Vec<TxnId>),
    /// From nowhere good.
    Bad(AnomalyKind, Option<(TxnId, u32)>),
    /// From one of so many that there is no room for them.
    Crowd,
}

/// The reads of a transaction by key, as far as they were looked at.
#[derive(Debug, Default)]
struct ByKey {
    places: FxHashMap<u32, Vec<u32>>,
    count: usize,
}

impl ByKey {
    /// For the next transaction.
    fn clear(&mut self) {
        self.places.clear();
        self.count = 0;
    }

    /// The places of a key's reads among those of the transaction so far.
    fn of(&mut self, key: u32, reads: &[Read]) -> &[u32] {
        for (place, read) in (self.count as u32..).zip(&reads[self.count..]) {
            self.places.entry(read.key).or_default().push(place);
        }
        self.count = reads.len();
        self.places.get(&key).map_or(&[], Vec::as_slice)
    }
}

struct Judge<'a> {
    txns: &'a Txns<'a>,
    writers: &'a Writers,
    mutation: Mutation,
    own: Own,
    by_key: ByKey,
    block: Block,
    candidates_left: u64,
}

impl Judge<'_> {
    fn transaction(&mut self, id: TxnId) {
        self.own.clear();
        self.by_key.clear();
        let txn = self.txns.txn(id);
        let first = self.block.reads.len();
        for (place, micro) in txn.micros().enumerate() {
            if self.writers.foreign[micro.key as usize] {
                continue;
            }
            let place = place as u32;
            let value = self.writers.lists.number(self.txns.history(), txn, micro.key, micro.value);
            match micro.f {
                MicroF::Write => {
                    let is_first = self.own.of(micro.key).is_none();
                    self.own.write(micro.key, place, value);
                    if is_first {
                        self.update(id, micro.key, first);
                    }
                }
                MicroF::Read => match self.own.of(micro.key).copied() {
                    Some(own) if !self.mutation.is(Mutant::OwnIsExternal) => {
                        if own.value != value && !self.mutation.is(Mutant::InternalIdle) {
                            self.internal(id, place, micro.key, value, own.micro);
                        } else {
                            // Who looks at single operations cannot say whose it was, if others wrote it too.
                            let entries = self.writers.of_value(micro.key, value);
                            let is_alone = value != ValueId::NIL.number() && matches!(entries, [_]);
                            self.split(!is_alone, id, place);
                        }
                    }
                    _ => self.external(id, place, micro.key, value),
                },
                _ => {}
            }
        }
        self.block.ends.push(self.block.reads.len() as u32);
    }

    /// The transaction writes a key for the first time: it updates each version that it had read of it.
    fn update(&mut self, id: TxnId, key: u32, first: usize) {
        let Block { reads, updates, .. } = &mut self.block;
        let reads = &reads[first..];
        let update = |read: &Read| Update { key, of: read.writer, by: id, micro: read.micro };
        if reads.len() <= FEW_READS {
            let known = updates.len();
            for read in reads.iter().filter(|read| read.key == key && read.writer != UNKNOWN) {
                if !updates[known..].iter().any(|update| update.of == read.writer) {
                    updates.push(update(read));
                }
            }
            return;
        }
        let of_key = self.by_key.of(key, reads).iter().map(|&place| &reads[place as usize]);
        let mut known: FxHashSet<TxnId> = FxHashSet::default();
        updates.extend(of_key.filter(|read| read.writer != UNKNOWN && known.insert(read.writer)).map(update));
    }

    /// A read of a key that its transaction had not written.
    fn external(&mut self, id: TxnId, place: u32, key: u32, value: u32) {
        let writer = match self.source(id, place, key, value) {
            Source::One(writer) => {
                self.see(writer);
                writer
            }
            Source::Several(candidates) if self.mutation.is(Mutant::FirstWriterTaken) => {
                self.see(candidates[0]);
                candidates[0]
            }
            Source::Several(candidates) => {
                candidates.iter().for_each(|&writer| self.see(writer));
                self.block.uncertain.push(Uncertain { reader: id, micro: place, key, candidates });
                UNKNOWN
            }
            Source::Bad(kind, write) => {
                self.trouble(Trouble { kind, reader: id, micro: place, key, write });
                UNKNOWN
            }
            Source::Crowd => UNKNOWN,
        };
        self.block.reads.push(Read { key, writer, micro: place });
    }

    /// A read of something else than what its transaction had written last.
    fn internal(&mut self, id: TxnId, place: u32, key: u32, value: u32, own: u32) {
        let entries = self.writers.of_value(key, value);
        let all_count = self.txns.len() as TxnId;
        // A read from elsewhere is an explanation too, and a better one.
        let is_elsewhere = |entry: &Entry| entry.txn != id && entry.txn < all_count && entry.is_last();
        let is_explained = value == ValueId::NIL.number() || entries.iter().any(is_elsewhere);
        let later = entries.iter().find(|entry| entry.txn == id && entry.micro() > place);
        let (kind, write) = match later.filter(|_| !is_explained) {
            Some(entry) => (AnomalyKind::FutureRead, entry.micro()),
            None => (AnomalyKind::Internal, own),
        };
        self.trouble(Trouble { kind, reader: id, micro: place, key, write: Some((id, write)) });
        // Behind the write of somebody else its own might still have happened; the initial state is before all writes.
        let is_initial = value == ValueId::NIL.number() && self.writers.of_value(key, value).is_empty();
        if is_initial && !self.mutation.is(Mutant::InitialBehindOwn) {
            let kind = AnomalyKind::NotReadYourWrites;
            self.trouble(Trouble { kind, reader: id, micro: place, key, write: Some((id, own)) });
        }
        match self.source(id, place, key, value) {
            Source::One(writer) => self.see(writer),
            Source::Several(candidates) => candidates.iter().for_each(|&writer| self.see(writer)),
            Source::Bad(kind @ (AnomalyKind::G1a | AnomalyKind::G1b | AnomalyKind::GarbageRead), write) => {
                let wrote_it = self.writers.of_value(key, value).iter().any(|entry| entry.txn == id);
                if !wrote_it {
                    self.trouble(Trouble { kind, reader: id, micro: place, key, write });
                }
            }
            Source::Bad(..) | Source::Crowd => {}
        }
    }

    /// Takes the good explanations, if there are any: then it is no anomaly. Else the bad one that is there.
    fn source(&mut self, id: TxnId, place: u32, key: u32, value: u32) -> Source {
        let (writers, mutation) = (self.writers, self.mutation);
        let entries = if value == NOBODYS { &[] } else { writers.of_value(key, value) };
        let all_count = self.txns.len() as TxnId;
        if entries.len() > 1 {
            let count = entries.len() as u64;
            if count > self.candidates_left {
                self.block.is_crowded = true;
                return Source::Crowd;
            }
            self.candidates_left -= count;
        }
        let is_good = |entry: &&Entry| {
            entry.txn != id && entry.txn < all_count && (entry.is_last() || mutation.is(Mutant::IntermediateFits))
        };
        let is_for_a_while = |entry: &Entry| entry.txn != id && entry.txn < all_count && !entry.is_last();
        let is_split = entries.iter().any(is_for_a_while);
        let mut good = entries.iter().filter(is_good).map(|entry| entry.txn);
        let is_nil = value == ValueId::NIL.number();
        match (good.next(), is_nil) {
            (None, true) => {
                self.split(is_split, id, place);
                return Source::One(INITIAL);
            }
            (Some(_), true) if self.mutation.is(Mutant::NilAlwaysInitial) => return Source::One(INITIAL),
            (Some(writer), _) => {
                let mut candidates = vec![writer];
                for other in good {
                    if candidates.last() != Some(&other) {
                        candidates.push(other);
                    }
                }
                if is_nil {
                    candidates.push(INITIAL);
                }
                self.split(is_split, id, place);
                return if candidates.len() == 1 { Source::One(writer) } else { Source::Several(candidates) };
            }
            (None, false) => {}
        }
        let of = |entry: &Entry| Some((entry.txn, entry.micro()));
        if let Some(later) = entries.iter().find(|entry| entry.txn == id && entry.micro() > place) {
            return Source::Bad(AnomalyKind::FutureRead, of(later));
        }
        if let Some(intermediate) = entries.iter().find(|entry| entry.txn != id && entry.txn < all_count) {
            return Source::Bad(AnomalyKind::G1b, of(intermediate));
        }
        match entries.iter().find(|entry| entry.txn >= all_count) {
            Some(_) if self.mutation.is(Mutant::FailedFits) => Source::One(INITIAL),
            Some(failed) => Source::Bad(AnomalyKind::G1a, of(failed)),
            None => Source::Bad(AnomalyKind::GarbageRead, None),
        }
    }

    fn split(&mut self, is_split: bool, id: TxnId, place: u32) {
        if is_split && self.block.split.last() != Some(&(id, place)) {
            self.block.split.push((id, place));
        }
    }

    fn see(&mut self, writer: TxnId) {
        if writer >= self.txns.ok_count() && (writer as usize) < self.txns.len() {
            self.block.seen.push(writer);
        }
    }

    fn trouble(&mut self, trouble: Trouble) {
        add(&mut self.block.counts, trouble.kind, 1);
        if self.block.troubles.iter().filter(|known| known.kind == trouble.kind).count() < FEW {
            self.block.troubles.push(trouble);
        }
    }
}

/// The place of a transaction's last write of a key.
pub(super) fn write_of(writes: &[Write], key: u32) -> Option<u32> {
    writes.iter().find(|write| write.key == key).map(|write| write.micro)
}
