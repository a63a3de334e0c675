//! The operations of each transaction in the order of its program, and which of them wrote what another read.
//!
//! Whatever a transaction that ended well wrote is an operation, also what it wrote over itself, and whatever it read, also of its
//! own writes. Of one in doubt only that happened which somebody saw, and of a list what it had appended before that.

use std::ops::Range;

use rustc_hash::FxHashMap;
use schism_history::{MicroF, MicroValue, ValueId};

use super::mutant::{Mutant, Mutation};
use super::operations::{OPERATION_BYTES, newest, newest_of};
use super::units::{NONE, Ranked};
use crate::txn::accesses::{Accesses, INITIAL, Read, UNKNOWN, Write};
use crate::txn::meter::{Meter, Spent};
use crate::txn::own::Own;
use crate::txn::txns::{TxnId, Txns};

/// A transaction with more operations than these has its writes looked up.
const MANY: usize = 32;

/// An operation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// A read of what others wrote; behind an append of its own transaction.
    Read { read: Read, is_behind_own: bool },
    /// A read of an own write, by the write's place.
    Own { read: Read, write: u32 },
    /// A write.
    Write(Write),
}

impl Part {
    fn micro(&self) -> u32 {
        match self {
            Part::Read { read, .. } | Part::Own { read, .. } => read.micro,
            Part::Write(write) => write.micro,
        }
    }

    fn written(&self) -> Option<u32> {
        match self {
            Part::Write(write) => Some(write.key),
            _ => None,
        }
    }
}

/// All of them.
pub(super) struct Parts<'a, 'h> {
    txns: &'a Txns<'h>,
    ranked: &'a Ranked<'a>,
    /// By rank.
    pub all: Vec<Part>,
    /// The key that each writes, or [`NONE`]: what is asked most.
    written: Vec<u32>,
    /// By rank: where those of a transaction begin; and the end of the last.
    pub first: Vec<u32>,
    /// Whether of some read it cannot be said which operation wrote what it saw.
    pub passes_over: bool,
    /// Whether keys are lists.
    is_of_lists: bool,
    /// Writes of transactions of many operations: rank, key, operation; in order.
    of_many: Vec<(u32, u32, u32)>,
    /// By rank: whether some key was written twice, or its last write may not have happened.
    is_twice: Vec<bool>,
    mutation: Mutation,
}

impl<'a, 'h> Parts<'a, 'h> {
    /// Those of transactions that are kept.
    pub fn of(
        txns: &'a Txns<'h>,
        ranked: &'a Ranked<'a>,
        kept: impl Fn(TxnId) -> bool,
        meter: &mut Meter,
        mutation: Mutation,
    ) -> Result<Parts<'a, 'h>, Spent> {
        let mut parts = Parts {
            txns,
            ranked,
            all: Vec::new(),
            written: Vec::new(),
            first: Vec::with_capacity(ranked.len() as usize + 1),
            passes_over: false,
            is_of_lists: is_of_lists(txns, ranked),
            of_many: Vec::new(),
            is_twice: vec![false; ranked.len() as usize],
            mutation,
        };
        let seen = seen_in_doubt(txns, ranked.accesses, parts.is_of_lists, mutation);
        let (mut own, mut last) = (Own::default(), Own::default());
        let mut paid = 0;
        for (rank, id) in ranked.units() {
            let start = parts.all.len();
            parts.first.push(start as u32);
            if !kept(id) {
                continue;
            }
            let whole = ranked.accesses;
            let (reads, writes) = (whole.reads(id), whole.writes(id));
            // Of registers that is all, where nothing is written twice or read behind an own write.
            if txns.is_ok(id) && !parts.is_of_lists && reads.len() + writes.len() >= txns.txn(id).len() {
                parts.all.extend(reads.iter().map(|&read| Part::Read { read, is_behind_own: false }));
                parts.all.extend(writes.iter().copied().map(Part::Write));
                parts.all[start..].sort_by_key(Part::micro);
            } else {
                parts.take_apart(id, &seen, &mut own, &mut last);
            }
            parts.note(rank, start);
            if parts.all.len() >= NONE as usize / 2 {
                return Err(Spent);
            }
            // What is taken is given back with the operations.
            if parts.all.len() - paid >= 1 << 12 || rank + 1 == ranked.len() {
                meter.take_bytes((parts.all.len() - paid) as u64 * OPERATION_BYTES)?;
                paid = parts.all.len();
            }
        }
        parts.first.push(parts.all.len() as u32);
        meter.take_bytes((parts.all.len() - paid) as u64 * OPERATION_BYTES)?;
        Ok(parts)
    }

    /// Micro-operation by micro-operation.
    fn take_apart(&mut self, id: TxnId, seen: &FxHashMap<(TxnId, u32), u32>, own: &mut Own, last: &mut Own) {
        let whole = self.ranked.accesses;
        own.clear();
        last.clear();
        whole.writes(id).iter().for_each(|write| last.write(write.key, write.micro, 0));
        let is_ok = self.txns.is_ok(id);
        let mut reads = whole.reads(id).iter().peekable();
        for (place, micro) in (0..).zip(self.txns.txn(id).micros()) {
            let key = micro.key;
            match micro.f {
                MicroF::Append | MicroF::Write => {
                    // What is not judged of a key stands nowhere else either.
                    let Some(last) = last.of(key) else { continue };
                    let is_seen = |&seen: &u32| if self.is_of_lists { place <= seen } else { place == seen };
                    let is_passed = self.mutation.is(Mutant::OverwrittenPassed) && place < last.micro;
                    if (is_ok || seen.get(&(id, key)).is_some_and(is_seen)) && !is_passed {
                        self.all.push(Part::Write(Write { key, micro: place }));
                    }
                    let number = match micro.value {
                        MicroValue::One(value) => value.number(),
                        _ => NONE,
                    };
                    own.write(key, place, number);
                }
                MicroF::Read if is_ok => {
                    let external = reads.next_if(|read| read.micro == place);
                    if let Some(write) = own.of(key).filter(|_| !self.mutation.is(Mutant::OwnReadsPassed)) {
                        self.own(id, place, key, write.micro, write.value);
                    }
                    let is_behind_own = own.of(key).is_some();
                    self.all.extend(external.map(|&read| Part::Read { read, is_behind_own }));
                }
                _ => {}
            }
        }
    }

    /// A read behind an own write of its key.
    fn own(&mut self, id: TxnId, place: u32, key: u32, write: u32, number: u32) {
        let whole = self.ranked.accesses;
        let txn = self.txns.txn(id);
        let newest = match txn.micro(place as usize).value {
            MicroValue::One(value) => Some(value),
            // A register may hold a list, which has no number here.
            _ if !self.is_of_lists => None,
            MicroValue::Prefix(length) => txn.list_of(key)[..length as usize].last().copied(),
            MicroValue::Deviant(list) => list.last().copied(),
            MicroValue::Other(_) => None,
        };
        // Others may have written the same.
        let is_clear = match self.is_of_lists {
            true => whole.ambiguous.binary_search(&key).is_err(),
            false => whole.also_for_a_while.binary_search(&(id, place)).is_err(),
        };
        if is_clear && newest.is_some_and(|newest| newest.number() == number) {
            let read = Read { key, writer: UNKNOWN, micro: place };
            self.all.push(Part::Own { read, write });
        } else {
            self.passes_over = true;
        }
    }

    /// What is asked of a transaction's writes later.
    fn note(&mut self, rank: u32, start: usize) {
        let of_rank = &self.all[start..];
        self.written.extend(of_rank.iter().map(|part| part.written().unwrap_or(NONE)));
        let writes_count = of_rank.iter().filter(|part| part.written().is_some()).count();
        let id = self.ranked.unit(rank);
        self.is_twice[rank as usize] = !self.txns.is_ok(id) || writes_count > self.ranked.accesses.writes(id).len();
        if of_rank.len() > MANY {
            let first = self.of_many.len();
            let writes = (start as u32..).zip(of_rank).filter_map(|(unit, part)| Some((rank, part.written()?, unit)));
            self.of_many.extend(writes);
            self.of_many[first..].sort_unstable();
        }
    }

    /// Those of a transaction.
    pub fn of_rank(&self, rank: u32) -> Range<u32> {
        self.first[rank as usize]..self.first[rank as usize + 1]
    }

    /// The write at a place of a transaction.
    pub fn write_at(&self, rank: u32, micro: u32) -> Option<u32> {
        let Range { start, end } = self.of_rank(rank);
        let of_rank = &self.all[start as usize..end as usize];
        let place = of_rank.partition_point(|part| part.micro() < micro);
        of_rank.get(place).filter(|part| part.micro() == micro && part.written().is_some())?;
        Some(start + place as u32)
    }

    /// A transaction's writes of a key, one after another.
    fn writes(&self, rank: u32, key: u32) -> impl DoubleEndedIterator<Item = u32> + '_ {
        let units = self.of_rank(rank);
        let is_many = units.len() > MANY;
        let start = self.of_many.partition_point(|&(of, other, _)| is_many && (of, other) < (rank, key));
        let count = self.of_many[start..].partition_point(|&(of, other, _)| is_many && (of, other) == (rank, key));
        let few = if is_many { 0..0 } else { units };
        let many = self.of_many[start..start + count].iter().map(|&(.., unit)| unit);
        few.filter(move |&unit| self.written[unit as usize] == key).chain(many)
    }

    /// A transaction's last write of a key, if it happened.
    fn last_write(&self, rank: u32, key: u32) -> Option<u32> {
        let id = self.ranked.unit(rank);
        let last = self.writes(rank, key).next_back()?;
        // Only one in doubt may have done an earlier one alone.
        if self.txns.is_ok(id) {
            return Some(last);
        }
        let is_last = |write: &Write| write.key == key && write.micro == self.all[last as usize].micro();
        self.ranked.accesses.writes(id).iter().any(is_last).then_some(last)
    }

    /// Which operation wrote what a read saw of others, or [`INITIAL`]; [`UNKNOWN`] if it cannot be said.
    pub fn writer(&self, reader: TxnId, read: &Read, is_behind_own: bool, meter: &mut Meter) -> Result<u32, Spent> {
        let whole = self.ranked.accesses;
        if read.writer == INITIAL {
            return Ok(INITIAL);
        }
        let is_known = read.writer != reader && whole.committed.get(read.writer as usize) == Some(&true);
        if !is_known {
            return Ok(UNKNOWN);
        }
        let rank = self.ranked.rank_of(read.writer);
        let last = self.writes(rank, read.key).next_back();
        if !self.is_of_lists {
            return Ok(last.unwrap_or(UNKNOWN));
        }
        let seen = newest_of(self.txns, reader, read, is_behind_own).map(MicroValue::One);
        let writer = self.txns.txn(read.writer);
        let is_it = |&unit: &u32| {
            let micro = self.all[unit as usize].micro() as usize;
            micro < writer.len() && Some(writer.micro(micro).value) == seen
        };
        if let Some(last) = last.filter(is_it) {
            return Ok(last);
        }
        meter.step(writer.len() as u64)?;
        let found = self.writes(rank, read.key).find(is_it);
        Ok(found.unwrap_or(UNKNOWN))
    }

    /// The orders of versions. Of lists all appends of a transaction have a place in them, next to each other; else only the last write,
    /// and what was written over has none.
    pub fn order_versions(&self, accesses: &mut Accesses) {
        let whole = self.ranked.accesses;
        let is_whole = |key: u32| self.is_of_lists && whole.interleaved.binary_search(&key).is_err();
        let order = |(key, versions): (u32, &Vec<TxnId>)| -> Vec<u32> {
            let mut order = Vec::with_capacity(versions.len());
            for &id in versions.iter().filter(|&&id| whole.committed.get(id as usize) == Some(&true)) {
                let rank = self.ranked.rank_of(id);
                match is_whole(key) {
                    true => order.extend(self.writes(rank, key)),
                    false => order.extend(self.last_write(rank, key)),
                }
            }
            order
        };
        accesses.versions = (0..).zip(&whole.versions).map(order).collect();
        let is_ordered = |key: u32| whole.versions.get(key as usize).is_some_and(|versions| !versions.is_empty());
        for rank in (0..self.ranked.len()).filter(|&rank| self.is_twice[rank as usize]) {
            let open = |unit: &u32| {
                let key = self.all[*unit as usize].written();
                key.is_some_and(|key| is_ordered(key) && !is_whole(key) && self.last_write(rank, key) != Some(*unit))
            };
            accesses.unplaced.extend(self.of_rank(rank).filter(open));
        }
    }
}

/// Whether transactions append.
fn is_of_lists(txns: &Txns<'_>, ranked: &Ranked<'_>) -> bool {
    let first = ranked.units().find_map(|(_, id)| ranked.accesses.writes(id).first().map(|write| (id, write.micro)));
    first.is_some_and(|(id, micro)| {
        let txn = txns.txn(id);
        (micro as usize) < txn.len() && txn.micro(micro as usize).f == MicroF::Append
    })
}

/// Writes of transactions in doubt that somebody saw: by transaction and key the place of the last of them. What has a version after
/// it was seen; the last version only if somebody read it, as it may be there because nothing else is left to be the last. Linear in the
/// history, but for reads of lists behind appends of their own.
fn seen_in_doubt(
    txns: &Txns<'_>,
    whole: &Accesses,
    is_of_lists: bool,
    mutation: Mutation,
) -> FxHashMap<(TxnId, u32), u32> {
    let is_doubtful = |id: TxnId| (id as usize) < whole.len() && !txns.is_ok(id);
    let doubtful = || (0..whole.len() as TxnId).filter(|&id| whole.committed[id as usize] && is_doubtful(id));
    let mut last: FxHashMap<(TxnId, u32), u32> = FxHashMap::default();
    let mut appends: FxHashMap<(TxnId, u32, ValueId), u32> = FxHashMap::default();
    for id in doubtful() {
        last.extend(whole.writes(id).iter().map(|write| ((id, write.key), write.micro)));
        for (place, micro) in (0..).zip(txns.txn(id).micros().filter(|_| is_of_lists)) {
            if let (MicroF::Append, MicroValue::One(value)) = (micro.f, micro.value) {
                appends.insert((id, micro.key, value), place);
            }
        }
    }
    let mut seen: FxHashMap<(TxnId, u32), u32> = FxHashMap::default();
    let mut add = |id: TxnId, key: u32, place: Option<&u32>| {
        if let Some(&place) = place {
            let known = seen.entry((id, key)).or_insert(place);
            *known = place.max(*known);
        }
    };
    for reader in (0..whole.len() as TxnId).filter(|_| !last.is_empty()) {
        for read in whole.reads(reader).iter().filter(|read| is_doubtful(read.writer)) {
            let newest = if is_of_lists { newest(txns, reader, read) } else { None };
            let written = newest.and_then(|newest| appends.get(&(read.writer, read.key, newest)));
            add(read.writer, read.key, written.or_else(|| last.get(&(read.writer, read.key))));
        }
    }
    let last_count = usize::from(!mutation.is(Mutant::LastHappened));
    for (key, ids) in (0..).zip(&whole.versions) {
        let followed = &ids[..ids.len().saturating_sub(last_count)];
        followed.iter().filter(|&&id| is_doubtful(id)).for_each(|&id| add(id, key, last.get(&(id, key))));
    }
    seen
}
