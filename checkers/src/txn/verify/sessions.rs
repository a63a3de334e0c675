//! Guarantees of sessions by their definition, among the operations of a few transactions: for some observer no order of the
//! writes explains what it read.
//!
//! Operations are all writes, and all reads of which it is certain who wrote what they saw; a read of a list behind own appends is
//! two: of the last of these, and of what others had appended before. Operations of transactions that are not named are left out,
//! which only makes it easier.

use std::collections::BTreeSet;

use schism_history::{History, OpIndex, ValueId};

use super::lists::Order;
use super::view::{Txn, all, is_committed, is_list, txn};
use super::writers;

/// A guarantee.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    OwnWrites,
    Reads,
    Writes,
    WritesFollowReads,
    Pram,
    Causal,
}

use Guarantee::{Causal, OwnWrites, Pram, Reads, Writes, WritesFollowReads};

impl Guarantee {
    /// The guarantee that a kind of anomaly breaks.
    pub fn of(kind: &str) -> Option<Guarantee> {
        Some(match kind {
            "not-read-your-writes" => OwnWrites,
            "not-monotonic-reads" => Reads,
            "not-monotonic-writes" => Writes,
            "not-writes-follow-reads" => WritesFollowReads,
            "not-pram" => Pram,
            "not-causal" => Causal,
            _ => return None,
        })
    }

    /// Whether the order keeps the writes of a session in their order.
    fn keeps_writes(self) -> bool {
        matches!(self, Writes | Pram | Causal)
    }

    /// Whether the order keeps a write behind what its session had read before.
    fn keeps_reads(self) -> bool {
        matches!(self, WritesFollowReads | Causal)
    }
}

/// An operation.
#[derive(Clone, Copy)]
struct Operation {
    /// Its transaction, by its place among the named ones.
    at: usize,
    place: u32,
    key: u32,
    value: Option<ValueId>,
}

struct Operations<'h> {
    txns: Vec<Txn<'h>>,
    writes: Vec<Operation>,
    /// With the write that was returned; `None`: the initial state.
    reads: Vec<(Operation, Option<usize>)>,
    guarantee: Guarantee,
}

/// Transactions at most.
const TRANSACTIONS_MAX: usize = 64;

/// Verifies that these transactions break a guarantee.
pub fn verify(history: &History, guarantee: Guarantee, transactions: &[OpIndex]) -> Result<(), String> {
    let named: BTreeSet<OpIndex> = transactions.iter().copied().collect();
    if named.len() > TRANSACTIONS_MAX {
        return Err(format!("{} transactions are too many", named.len()));
    }
    let mut txns = named.into_iter().map(|invoked| txn(history, invoked)).collect::<Result<Vec<_>, _>>()?;
    txns.retain(|txn| is_committed(history, txn));
    let all = Operations::of(history, txns, guarantee);
    let mut kept = all.kept_order();
    all.add_versions(history, &mut kept);
    for observer in 0..all.txns.len() {
        let mut must = kept.clone();
        for read in 0..all.reads.len() {
            let (operation, returned) = all.reads[read];
            if !all.txns[operation.at].is_of_process(&all.txns[observer]) {
                continue;
            }
            for hidden in all.hidden(read) {
                match returned {
                    Some(returned) => must[hidden].push(returned),
                    // What came before the initial state was read has no place.
                    None => return Ok(()),
                }
            }
        }
        if has_circle(&must) {
            return Ok(());
        }
    }
    Err("each session has an order of the writes that explains what it read".to_owned())
}

impl<'h> Operations<'h> {
    fn of(history: &'h History, txns: Vec<Txn<'h>>, guarantee: Guarantee) -> Operations<'h> {
        let mut operations = Operations { txns, writes: Vec::new(), reads: Vec::new(), guarantee };
        let places = |txn: &Txn<'_>| 0..txn.micros().len() as u32;
        for (at, txn) in operations.txns.iter().enumerate() {
            for place in places(txn) {
                let Some((key, value)) = txn.written(place) else { continue };
                // Of one in doubt, what nobody saw may never have happened.
                if txn.ended.is_some() || is_seen(history, key, value) {
                    operations.writes.push(Operation { at, place, key, value: Some(value) });
                }
            }
        }
        for (at, txn) in operations.txns.iter().enumerate() {
            for place in places(txn) {
                if let Some((key, write)) = operations.own(history, at, place) {
                    let value = operations.writes[write].value;
                    operations.reads.push((Operation { at, place, key, value }, Some(write)));
                }
                let Some((key, newest)) = txn.external(place) else { continue };
                let returned = match newest {
                    None => None,
                    Some(value) => {
                        let wrote = |other: &Txn<'_>| {
                            other.invoked != txn.invoked && !other.failed && other.place_of(key, value).is_some()
                        };
                        let is_it =
                            |write: &Operation| write.key == key && write.value == Some(value) && write.at != at;
                        // Who appended an element twice cannot say which of the two it was.
                        let appended_once = !is_list(history, key) || writers::count(history, key, value) == 1;
                        match operations.writes.iter().position(is_it) {
                            Some(write) if all(history).filter(wrote).count() == 1 && appended_once => Some(write),
                            _ => continue,
                        }
                    }
                };
                operations.reads.push((Operation { at, place, key, value: newest }, returned));
            }
        }
        operations
    }

    /// The own write that a read saw: its key, and which.
    fn own(&self, history: &History, at: usize, place: u32) -> Option<(u32, usize)> {
        let txn = &self.txns[at];
        let (key, values) = txn.read(place)?;
        let newest = values.last().filter(|value| txn.own(key, place).last() == Some(value))?;
        let writes = |other: &Txn<'_>| {
            let all = other.own(key, other.micros().len() as u32);
            all.iter().filter(|value| *value == newest).count()
        };
        let count: usize = all(history).filter(|other| !other.failed).map(|other| writes(&other)).sum();
        let is_it = |write: &Operation| write.at == at && write.key == key && write.value == Some(*newest);
        let write = self.writes.iter().position(is_it).filter(|_| count == 1)?;
        Some((key, write))
    }

    /// Whether one comes before another in their session.
    fn is_before(&self, a: &Operation, b: &Operation) -> bool {
        if a.at == b.at { a.place < b.place } else { self.txns[a.at].is_before_in_process(&self.txns[b.at]) }
    }

    /// By write: those that come after it by what the guarantee keeps.
    fn kept_order(&self) -> Vec<Vec<usize>> {
        let follows = |first: usize, second: usize| {
            let is_read = |(read, returned): &(Operation, Option<usize>)| {
                *returned == Some(first) && self.is_before(read, &self.writes[second])
            };
            self.guarantee.keeps_writes() && self.is_before(&self.writes[first], &self.writes[second])
                || self.guarantee.keeps_reads() && self.reads.iter().any(is_read)
        };
        let count = self.writes.len();
        (0..count).map(|first| (0..count).filter(|&second| follows(first, second)).collect()).collect()
    }

    fn add_versions(&self, history: &History, kept: &mut [Vec<usize>]) {
        let keys: BTreeSet<u32> = self.writes.iter().map(|write| write.key).collect();
        for key in keys.into_iter().filter(|&key| is_list(history, key)) {
            let order = Order::of(history, key);
            let of_key = || (0..self.writes.len()).filter(|&write| self.writes[write].key == key);
            for first in of_key() {
                kept[first].extend(of_key().filter(|&second| self.is_later(&order, first, second)));
            }
        }
    }

    /// Whether one append to a list is known to come after another: of one transaction in its order, else as the last ones of both do.
    fn is_later(&self, order: &Order<'_>, first: usize, second: usize) -> bool {
        let (first, second) = (&self.writes[first], &self.writes[second]);
        if first.at == second.at {
            return first.place < second.place;
        }
        let place = |write: &Operation| write.value.and_then(|value| order.place(value));
        let agrees = place(second).is_none_or(|later| place(first).is_some_and(|place| place < later));
        agrees && order.is_later(&self.txns[first.at], &self.txns[second.at])
    }

    /// The writes of its key that a read saw and did not return; what its own transaction appended before it ends a list, of which others'
    /// lie under that.
    fn hidden(&self, read: usize) -> Vec<usize> {
        let (operation, returned) = self.reads[read];
        let is_of_others = returned.is_none_or(|write| self.writes[write].at != operation.at);
        let is_hidden = |&write: &usize| {
            let other = &self.writes[write];
            let is_under = is_of_others && other.at == operation.at && other.place < operation.place;
            other.key == operation.key && Some(write) != returned && !is_under
        };
        self.seen(read).into_iter().filter(is_hidden).collect()
    }

    /// The writes that a read saw.
    fn seen(&self, read: usize) -> BTreeSet<usize> {
        let (operation, returned) = self.reads[read];
        // What a transaction wrote itself is at no server yet.
        let is_of_others = |write: &usize| self.writes[*write].at != operation.at;
        let of_visit = matches!(self.guarantee, Writes | WritesFollowReads);
        let mut seen: BTreeSet<usize> = returned.into_iter().filter(|write| !of_visit || is_of_others(write)).collect();
        for (other, returned) in &self.reads {
            let here = other.at == operation.at
                && other.place <= operation.place
                && returned.as_ref().is_none_or(is_of_others);
            let earlier = self.is_before(other, &operation);
            if matches!(self.guarantee, Reads | Pram | Causal) && earlier || of_visit && here {
                seen.extend(*returned);
            }
        }
        let all = || 0..self.writes.len();
        if matches!(self.guarantee, OwnWrites | Pram | Causal) {
            seen.extend(all().filter(|&write| self.is_before(&self.writes[write], &operation)));
        }
        loop {
            let mut more = BTreeSet::new();
            for &write in &seen {
                let write = &self.writes[write];
                if self.guarantee.keeps_writes() {
                    more.extend(all().filter(|&other| self.is_before(&self.writes[other], write)));
                }
                if self.guarantee.keeps_reads() {
                    let before = self.reads.iter().filter(|(read, _)| self.is_before(read, write));
                    more.extend(before.filter_map(|(_, returned)| *returned));
                }
            }
            let known = seen.len();
            seen.extend(more);
            if seen.len() == known {
                return seen;
            }
        }
    }
}

/// Whether somebody who ended well read a value.
fn is_seen(history: &History, key: u32, value: ValueId) -> bool {
    all(history).any(|txn| {
        let mut reads = (0..txn.micros().len() as u32).filter_map(|place| txn.read(place));
        reads.any(|(other, values)| other == key && values.contains(&value))
    })
}

/// Whether some go round.
fn has_circle(after: &[Vec<usize>]) -> bool {
    let mut left: BTreeSet<usize> = (0..after.len()).collect();
    loop {
        let last = left.iter().copied().find(|&one| !after[one].iter().any(|next| left.contains(next)));
        match last {
            Some(last) => drop(left.remove(&last)),
            None => return !left.is_empty(),
        }
    }
}
