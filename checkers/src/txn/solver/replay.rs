//! Verifies a commit order from what was read and written alone, by code that shares nothing with the search.

use rustc_hash::FxHashMap;

use super::{Keeps, Property};
use crate::txn::accesses::{Accesses, INITIAL};
use crate::txn::rw_register::Uncertain;
use crate::txn::txns::{TxnId, Txns};

/// More transactions than these are not replayed where each reader stands alone: that costs their cube.
const ALONE_MAX: usize = 60;

/// What a transaction read of a key: one of these writers'.
struct Seen {
    key: u32,
    writers: Vec<TxnId>,
}

struct Replay<'a> {
    txns: &'a Txns<'a>,
    accesses: &'a Accesses,
    order: &'a [TxnId],
    keeps: Keeps,
    seen: FxHashMap<TxnId, Vec<Seen>>,
    /// By transaction: how many are before it.
    place: FxHashMap<TxnId, usize>,
    /// By key: its writers' places, ascending.
    writers: FxHashMap<u32, Vec<usize>>,
}

/// Verifies a commit order for a property. Where each reader stands alone (parallel snapshot isolation, update
/// serializability) nothing is said about more than 60 transactions, or where writers are uncertain.
///
/// # Errors
/// What is wrong with it, in words.
pub fn replay(
    txns: &Txns<'_>,
    accesses: &Accesses,
    uncertain: &[Uncertain],
    (property, keeps): (Property, Keeps),
    order: &[TxnId],
) -> Result<(), String> {
    let mut place = FxHashMap::default();
    let mut writers: FxHashMap<u32, Vec<usize>> = FxHashMap::default();
    for (at, &id) in order.iter().enumerate() {
        if place.insert(id, at).is_some() {
            return Err(format!("{id} is there twice"));
        }
        accesses.writes(id).iter().for_each(|write| writers.entry(write.key).or_default().push(at));
    }
    if let Some(id) = (0..txns.ok_count()).find(|id| !place.contains_key(id)) {
        return Err(format!("{id} is missing"));
    }
    let seen = seen(txns, accesses, uncertain);
    let replay = Replay { txns, accesses, order, keeps, seen, place, writers };
    if property != Property::UpdateSerializable {
        replay.keeps()?;
    }
    match property {
        Property::Serializable => order.iter().enumerate().try_for_each(|(at, &id)| replay.sees(id, at)),
        Property::SnapshotIsolation | Property::Prefix => replay.snapshots(property == Property::SnapshotIsolation),
        _ if order.len() > ALONE_MAX || !uncertain.is_empty() => Ok(()),
        _ => replay.alone(property == Property::UpdateSerializable),
    }
}

/// What has to be explained: reads of transactions that ended well whose writers wrote the key.
fn seen(txns: &Txns<'_>, accesses: &Accesses, uncertain: &[Uncertain]) -> FxHashMap<TxnId, Vec<Seen>> {
    let mut seen: FxHashMap<TxnId, Vec<Seen>> = FxHashMap::default();
    let wrote = |writer: TxnId, key: u32| {
        let is_known = (writer as usize) < accesses.len();
        writer == INITIAL || (is_known && accesses.writes(writer).iter().any(|write| write.key == key))
    };
    for id in 0..txns.ok_count() {
        for read in accesses.reads(id).iter().filter(|read| read.writer != id && wrote(read.writer, read.key)) {
            seen.entry(id).or_default().push(Seen { key: read.key, writers: vec![read.writer] });
        }
    }
    for read in uncertain.iter().filter(|read| txns.is_ok(read.reader)) {
        let writers: Vec<TxnId> = read.candidates.iter().copied().filter(|&id| id != read.reader).collect();
        if !writers.is_empty() && writers.iter().all(|&id| wrote(id, read.key)) {
            seen.entry(read.reader).or_default().push(Seen { key: read.key, writers });
        }
    }
    seen
}

impl Replay<'_> {
    /// Whether a transaction has to be before another.
    fn must_precede(&self, a: TxnId, b: TxnId) -> bool {
        let is_asked = match self.keeps {
            Keeps::Nothing => false,
            Keeps::Process => self.txns.session(a) == self.txns.session(b),
            Keeps::Realtime => true,
        };
        is_asked && self.txns.is_ok(a) && self.txns.ended(a) < self.txns.invoked(b)
    }

    /// The order of processes, or of real time.
    fn keeps(&self) -> Result<(), String> {
        // The latest beginning so far, of all or of the process: nobody may come who had ended before it.
        let mut latest: FxHashMap<u32, TxnId> = FxHashMap::default();
        for &id in self.order {
            let session = if self.keeps == Keeps::Realtime { 0 } else { self.txns.session(id) };
            let other = latest.entry(session).or_insert(id);
            if self.must_precede(id, *other) {
                return Err(format!("{id} had ended before {other} began"));
            }
            if self.txns.invoked(id) > self.txns.invoked(*other) {
                *other = id;
            }
        }
        Ok(())
    }

    /// Whether a transaction's reads are what the first `count` of the order left behind.
    fn sees(&self, id: TxnId, count: usize) -> Result<(), String> {
        for read in self.seen.get(&id).into_iter().flatten() {
            let places = self.writers.get(&read.key).map_or(&[][..], Vec::as_slice);
            let before = places.partition_point(|&place| place < count);
            let last = if before == 0 { INITIAL } else { self.order[places[before - 1]] };
            if !read.writers.contains(&last) {
                return Err(format!("{id} would have read key {} from {last}", read.key));
            }
        }
        Ok(())
    }

    /// A snapshot for each transaction: how many commits it saw.
    fn snapshots(&self, apart: bool) -> Result<(), String> {
        let mut ended: Vec<TxnId> = self.order.iter().copied().filter(|&id| self.txns.is_ok(id)).collect();
        ended.sort_unstable_by_key(|&id| self.txns.ended(id));
        let mut latest = Vec::with_capacity(ended.len());
        for &id in &ended {
            latest.push(latest.last().copied().unwrap_or(0).max(self.place[&id] + 1));
        }
        let mut of_session: FxHashMap<u32, Vec<usize>> = FxHashMap::default();
        for (at, &id) in self.order.iter().enumerate() {
            let mut least = match self.keeps {
                Keeps::Nothing => 0,
                Keeps::Realtime => {
                    let count = ended.partition_point(|&other| self.txns.ended(other) < self.txns.invoked(id));
                    if count == 0 { 0 } else { latest[count - 1] }
                }
                Keeps::Process => {
                    let session = of_session.entry(self.txns.session(id)).or_default();
                    session.push(at);
                    let earlier = session.iter().filter(|&&place| self.must_precede(self.order[place], id));
                    earlier.max().map_or(0, |place| place + 1)
                }
            };
            for write in self.accesses.writes(id).iter().filter(|_| apart) {
                let places = &self.writers[&write.key];
                let before = places.partition_point(|&place| place < at);
                least = least.max(if before == 0 { 0 } else { places[before - 1] + 1 });
            }
            for read in self.seen.get(&id).into_iter().flatten() {
                if let [writer] = read.writers[..] {
                    least = least.max(self.place.get(&writer).map_or(0, |place| place + 1));
                }
            }
            let uncertain = self.seen.get(&id).is_some_and(|reads| reads.iter().any(|read| read.writers.len() > 1));
            let most = if uncertain { at } else { least };
            if least > at || !(least..=most).any(|count| self.sees(id, count).is_ok()) {
                return Err(format!("{id} has no snapshot"));
            }
        }
        Ok(())
    }

    /// Each reader alone: its edges to the next writers, with the edges of all others (`updates`: of those that write, with
    /// theirs to the next writers; else no such edges), close no cycle.
    fn alone(&self, updates: bool) -> Result<(), String> {
        let count = self.order.len();
        let is_update = |at: usize| !self.accesses.writes(self.order[at]).is_empty();
        let mut shared = vec![Vec::new(); count];
        let mut over = vec![Vec::new(); count];
        for places in self.writers.values() {
            places.windows(2).for_each(|pair| shared[pair[0]].push(pair[1]));
        }
        for (at, &id) in self.order.iter().enumerate() {
            for read in self.seen.get(&id).into_iter().flatten() {
                let from = self.place.get(&read.writers[0]).copied();
                if let Some(from) = from {
                    shared[from].push(at);
                }
                if from.is_some_and(|from| from >= at) {
                    return Err(format!("{id} stands before what it read"));
                }
                let places = self.writers.get(&read.key).map_or(&[][..], Vec::as_slice);
                let next = places.iter().copied().find(|&place| from.is_none_or(|from| place > from));
                over[at].extend(next.filter(|&next| next != at));
            }
            let later = self.order.iter().enumerate().filter(|&(_, &other)| self.must_precede(id, other));
            shared[at].extend(later.map(|(place, _)| place));
        }
        for reader in 0..count {
            if updates && is_update(reader) && (0..count).any(|other| !is_update(other)) {
                continue;
            }
            let takes_part = |at: usize| !updates || at == reader || is_update(at);
            let mut seen = vec![false; count];
            // Of updates and one reader no one may be on a cycle; else only the reader.
            let starts: Vec<usize> = (0..count).filter(|&at| at == reader || (updates && takes_part(at))).collect();
            for start in starts {
                seen.fill(false);
                let mut open = vec![start];
                while let Some(at) = open.pop() {
                    let own = if updates || at == start { &over[at][..] } else { &[] };
                    for &next in shared[at].iter().chain(own).filter(|&&next| takes_part(next)) {
                        if next == start {
                            return Err(format!("a cycle with {}", self.order[reader]));
                        }
                        if !std::mem::replace(&mut seen[next], true) {
                            open.push(next);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
