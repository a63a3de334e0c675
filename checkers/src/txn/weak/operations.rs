//! Transactions taken apart: each read and each write is a unit of its own, in the order of the program.

use rustc_hash::{FxHashMap, FxHashSet};
use schism_history::{Micro, MicroF, MicroValue, ValueId};

use super::mutant::{Mutant, Mutation};
use super::units::{NONE, Ranked, Sessions};
use crate::txn::accesses::{Accesses, INITIAL, Read, UNKNOWN, Write};
use crate::txn::meter::{Meter, Spent};
use crate::txn::txns::{TxnId, Txns};

/// The single operations of committed transactions. Of what others wrote nothing is known here.
#[derive(Debug)]
pub(super) struct Operations {
    /// What each reads or writes; one read or one write each.
    pub accesses: Accesses,
    /// By operation: its transaction.
    pub owners: Vec<TxnId>,
    /// The order of sessions among them.
    pub sessions: Sessions,
    /// By operation: the process of its transaction, also where that is in doubt.
    pub process: Vec<u32>,
    /// By operation: the last write before it in its session, or [`NONE`].
    pub write_before: Vec<u32>,
    /// By rank of a transaction: its first operation; and the end of the last.
    pub first: Vec<u32>,
}

impl Operations {
    /// Takes them apart, those of transactions that are near, in the order of ranks. Linear, but for reads of lists behind
    /// many appends of their own. Bytes are about 64 for each, given
    /// back by [`Operations::close`].
    pub fn of(
        txns: &Txns<'_>,
        ranked: &Ranked<'_>,
        among: &Sessions,
        is_near: &[bool],
        meter: &mut Meter,
        mutation: Mutation,
    ) -> Result<Operations, Spent> {
        let whole = ranked.accesses;
        let kept = |id: TxnId| is_near[id as usize];
        let near = ranked.ids.iter().filter(|&&id| kept(id));
        let count: usize = near.map(|&id| whole.reads(id).len() + whole.writes(id).len()).sum();
        if count >= NONE as usize / 2 {
            return Err(Spent);
        }
        meter.take_bytes(count as u64 * 64)?;
        // By transaction: its last operation, or the last before it in its session.
        let mut last = vec![NONE; whole.len()];
        let seen = seen_in_doubt(txns, whole, mutation);
        // Of a transaction in doubt each operation is one in doubt: what nobody saw may never have happened.
        let (first, parts) = parts(ranked, kept, |id, write| txns.is_ok(id) || seen.contains(&(id, write.key)));
        let of_many = writes_of_many(&first, &parts);
        let once = writing_once(txns, ranked, kept);
        let unit_of = |id: TxnId, key: u32| {
            let rank = ranked.ranks[id as usize];
            let (start, end) = (*first.get(rank as usize)? as usize, *first.get(rank as usize + 1)? as usize);
            if end - start > MANY {
                return of_many.get(&(rank, key)).copied();
            }
            let is_it = |part: &Part| matches!(part, Part::Write(write) if write.key == key);
            parts[start..end].iter().position(is_it).map(|place| (start + place) as u32)
        };
        let mut all = Operations {
            accesses: Accesses::new(whole.keys_count),
            owners: Vec::with_capacity(parts.len()),
            sessions: Sessions::none(parts.len()),
            process: Vec::with_capacity(parts.len()),
            write_before: vec![NONE; parts.len()],
            first: Vec::new(),
        };
        for (rank, &id) in ranked.ids.iter().enumerate() {
            let mut before = match among.before[id as usize] {
                NONE => NONE,
                before => last[before as usize],
            };
            for unit in first[rank]..first[rank + 1] {
                match parts[unit as usize] {
                    Part::Write(write) => all.accesses.push(&[], &[write], true),
                    Part::Read(read) => {
                        let is_split = whole.also_for_a_while.binary_search(&(id, read.micro)).is_ok();
                        let writer = match read.writer {
                            _ if is_split => UNKNOWN,
                            INITIAL => INITIAL,
                            writer if writer != id && whole.committed.get(writer as usize) == Some(&true) => {
                                // What a transaction wrote for a while is no version, and no single operation here.
                                let is_version = |unit: &u32| {
                                    once[writer as usize]
                                        || is_last_write(txns, parts[*unit as usize].micro(), id, &read)
                                };
                                unit_of(writer, read.key).filter(is_version).unwrap_or(UNKNOWN)
                            }
                            _ => UNKNOWN,
                        };
                        all.accesses.push(&[Read { writer, ..read }], &[], true);
                    }
                }
                all.owners.push(id);
                all.process.push(txns.session(id));
                all.sessions.before[unit as usize] = before;
                all.sessions.session[unit as usize] = among.session[id as usize];
                if before != NONE {
                    let is_write = matches!(parts[before as usize], Part::Write(_));
                    all.write_before[unit as usize] = if is_write { before } else { all.write_before[before as usize] };
                }
                before = unit;
            }
            last[id as usize] = before;
        }
        all.accesses.versions = whole
            .versions
            .iter()
            .enumerate()
            .map(|(key, versions)| {
                let known = versions.iter().filter(|&&id| whole.committed.get(id as usize) == Some(&true));
                known.filter_map(|&id| unit_of(id, key as u32)).collect()
            })
            .collect();
        all.first = first;
        Ok(all)
    }

    /// Gives the bytes back.
    pub fn close(self, meter: &mut Meter) {
        meter.give_back(self.owners.len() as u64 * 64);
    }

    /// Whether it is a write.
    pub fn is_write(&self, unit: u32) -> bool {
        !self.accesses.writes(unit).is_empty()
    }
}

/// Whether a transaction that is kept reads a key behind a write of its own, or writes one twice. Of these operations [`Operations`] has the
/// last write alone.
pub(super) fn passes_over(txns: &Txns<'_>, ranked: &Ranked<'_>, is_near: &[bool]) -> bool {
    let mut written: FxHashSet<u32> = FxHashSet::default();
    ranked.ids.iter().filter(|&&id| is_near[id as usize]).any(|&id| {
        written.clear();
        txns.txn(id).micros().any(|micro| match micro.f {
            MicroF::Append | MicroF::Write => !written.insert(micro.key),
            _ => written.contains(&micro.key),
        })
    })
}

/// What a read saw of others: the newest value, own appends at the end of a list left out. `None` too where the accesses were not
/// made of these transactions.
pub(super) fn newest(txns: &Txns<'_>, reader: TxnId, read: &Read) -> Option<ValueId> {
    let txn = txns.txn(reader);
    let is_own = |micro: &Micro<'_>| micro.f == MicroF::Append && micro.key == read.key;
    let own = || txn.micros().take(read.micro as usize).filter(is_own).count();
    if read.micro as usize >= txn.len() {
        return None;
    }
    match txn.micro(read.micro as usize).value {
        MicroValue::One(value) => Some(value),
        MicroValue::Prefix(length) => txn.list_of(read.key)[..length as usize].iter().nth_back(own()).copied(),
        MicroValue::Deviant(list) => list.iter().nth_back(own()).copied(),
        MicroValue::Other(_) => None,
    }
}

/// By transaction that is kept: whether it writes no key twice, so that whatever was read of it, it wrote last.
fn writing_once(txns: &Txns<'_>, ranked: &Ranked<'_>, kept: impl Fn(TxnId) -> bool) -> Vec<bool> {
    let mut once = vec![false; ranked.accesses.len()];
    for &id in ranked.ids.iter().filter(|&&id| kept(id)) {
        let writes = txns.txn(id).micros().filter(|micro| matches!(micro.f, MicroF::Append | MicroF::Write));
        once[id as usize] = writes.count() == ranked.accesses.writes(id).len();
    }
    once
}

/// Whether a read saw what its writer wrote last, by this micro-operation.
fn is_last_write(txns: &Txns<'_>, micro: u32, reader: TxnId, read: &Read) -> bool {
    let writer = txns.txn(read.writer);
    let written = ((micro as usize) < writer.len()).then(|| writer.micro(micro as usize).value);
    written == newest(txns, reader, read).map(MicroValue::One)
}

/// A transaction with more operations than these has its writes looked up.
const MANY: usize = 32;

/// By rank and key: the writes of transactions of many operations.
fn writes_of_many(first: &[u32], parts: &[Part]) -> FxHashMap<(u32, u32), u32> {
    let mut all = FxHashMap::default();
    for (rank, pair) in (0..).zip(first.windows(2)).filter(|(_, pair)| (pair[1] - pair[0]) as usize > MANY) {
        for unit in pair[0]..pair[1] {
            if let Part::Write(write) = parts[unit as usize] {
                all.entry((rank, write.key)).or_insert(unit);
            }
        }
    }
    all
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Read(Read),
    Write(Write),
}

impl Part {
    fn micro(&self) -> u32 {
        match self {
            Part::Read(read) => read.micro,
            Part::Write(write) => write.micro,
        }
    }
}

/// Writes of transactions in doubt that somebody saw: transaction and key. What has a version after it was seen; the last
/// version only if somebody read it, as it may be there because nothing else is left to be the last.
fn seen_in_doubt(txns: &Txns<'_>, whole: &Accesses, mutation: Mutation) -> FxHashSet<(TxnId, u32)> {
    let is_doubtful = |id: TxnId| (id as usize) < whole.len() && !txns.is_ok(id);
    let reads = (0..whole.len() as TxnId).flat_map(|id| whole.reads(id));
    let read = reads.filter(|read| is_doubtful(read.writer)).map(|read| (read.writer, read.key));
    let last_count = usize::from(!mutation.is(Mutant::LastHappened));
    let followed = |ids: &'_ Vec<TxnId>| ids.len().saturating_sub(last_count);
    let ordered = whole.versions.iter().enumerate();
    let ordered = ordered.flat_map(|(key, ids)| ids[..followed(ids)].iter().map(move |&id| (id, key as u32)));
    read.chain(ordered.filter(|&(id, _)| is_doubtful(id))).collect()
}

/// The operations of the transactions that are kept, each's in the order of the program, and by rank of the transaction where
/// they begin; and the end of the last.
fn parts(
    ranked: &Ranked<'_>,
    kept: impl Fn(TxnId) -> bool,
    happened: impl Fn(TxnId, &Write) -> bool,
) -> (Vec<u32>, Vec<Part>) {
    let whole = ranked.accesses;
    let (mut first, mut parts) = (Vec::with_capacity(ranked.ids.len() + 1), Vec::new());
    for &id in &ranked.ids {
        let start = parts.len();
        first.push(start as u32);
        if kept(id) {
            parts.extend(whole.reads(id).iter().copied().map(Part::Read));
            parts.extend(whole.writes(id).iter().filter(|write| happened(id, write)).copied().map(Part::Write));
            parts[start..].sort_by_key(Part::micro);
        }
    }
    first.push(parts.len() as u32);
    (first, parts)
}
