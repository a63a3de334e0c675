//! A plain search for an order: one transaction after the other, with a memory of the sets that led nowhere (as dbcop's: Biswas
//! and Enea, "On the Complexity of Checking Transactional Consistency", 2019).
//!
//! Who overwrites a version waits until all its readers had their turn. So of a set of transactions it does not matter in which
//! order they came: what is still to be read of them is there.

use rustc_hash::FxHashSet;

use super::generate::Case;
use crate::txn::accesses::INITIAL;
use crate::txn::solver::{Keeps, Property};
use crate::txn::txns::{TxnId, Txns};

/// The question; at most 64 transactions, all of which ended well, without uncertain reads.
pub struct Naive {
    count: usize,
    /// By transaction: who must be before it.
    before: Vec<u64>,
    /// By transaction: of whom it read; and what it wrote.
    reads: Vec<Vec<(u32, TxnId)>>,
    writes: Vec<Vec<u32>>,
    /// Writers of a key may not overlap; each transaction is in one place.
    is_apart: bool,
    is_serial: bool,
    seen: FxHashSet<(u64, u64)>,
    states_max: usize,
}

/// Whether there is an order; `None` if that takes more states than are allowed.
pub fn holds(case: &Case, property: Property, keeps: Keeps, states_max: usize) -> Option<bool> {
    let txns = Txns::of(&case.history);
    let count = txns.len();
    assert!(count <= 64 && case.uncertain.is_empty() && count == txns.ok_count() as usize);
    let must_precede = |a: u32, b: u32| {
        txns.ended(a) < txns.invoked(b)
            && match keeps {
                Keeps::Nothing => false,
                Keeps::Process => txns.session(a) == txns.session(b),
                Keeps::Realtime => true,
            }
    };
    let ids = 0..count as u32;
    let mask = |b: u32| (0..count as u32).filter(|&a| must_precede(a, b)).fold(0, |mask, a| mask | 1 << a);
    let reads = |id: u32| case.accesses.reads(id).iter().map(|read| (read.key, read.writer)).collect();
    let writes = |id: u32| case.accesses.writes(id).iter().map(|write| write.key).collect();
    let mut naive = Naive {
        count,
        before: ids.clone().map(mask).collect(),
        reads: ids.clone().map(reads).collect(),
        writes: ids.map(writes).collect(),
        is_apart: property == Property::SnapshotIsolation,
        is_serial: property == Property::Serializable,
        seen: FxHashSet::default(),
        states_max,
    };
    naive.walk(0, 0)
}

impl Naive {
    /// `begun` have their snapshots, `done` are committed.
    fn walk(&mut self, begun: u64, done: u64) -> Option<bool> {
        if done.count_ones() as usize == self.count {
            return Some(true);
        }
        if !self.seen.insert((begun, done)) {
            return Some(false);
        }
        if self.seen.len() > self.states_max {
            return None;
        }
        for id in 0..self.count {
            let bit = 1 << id;
            if done & bit != 0 {
                continue;
            }
            let next = if begun & bit == 0 {
                if !self.may_begin(id, done) || (self.is_serial && !self.may_commit(id, begun | bit, done)) {
                    continue;
                }
                (begun | bit, if self.is_serial { done | bit } else { done })
            } else if self.may_commit(id, begun, done) {
                (begun, done | bit)
            } else {
                continue;
            };
            if self.walk(next.0, next.1)? {
                return Some(true);
            }
        }
        Some(false)
    }

    fn may_begin(&self, id: usize, done: u64) -> bool {
        let is_there = |writer: TxnId| writer == INITIAL || done >> writer & 1 == 1;
        self.before[id] & !done == 0 && self.reads[id].iter().all(|&(_, writer)| is_there(writer))
    }

    fn may_commit(&self, id: usize, begun: u64, done: u64) -> bool {
        let is_there = |writer: TxnId| writer == INITIAL || done >> writer & 1 == 1;
        self.writes[id].iter().all(|key| {
            (0..self.count).filter(|&other| other != id && done >> other & 1 == 0).all(|other| {
                let is_begun = begun >> other & 1 == 1;
                let waits = !is_begun && self.reads[other].iter().any(|&(read, of)| read == *key && is_there(of));
                let overlaps = self.is_apart && is_begun && self.writes[other].contains(key);
                !waits && !overlaps
            })
        })
    }
}
