//! Each property from its definition, by trying everything.

#![allow(clippy::needless_range_loop, reason = "places of two tables at once are clearer as numbers")]

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;

use super::generate::Case;
use crate::txn::accesses::{INITIAL, UNKNOWN};
use crate::txn::edge::Edge;
use crate::txn::solver::{Keeps, Property};
use crate::txn::txns::{TxnId, Txns};

/// Keys at most.
const KEYS_MAX: usize = 6;

/// By key: its last writer.
type State = [TxnId; KEYS_MAX];

/// What was tried: whose snapshots are taken, who is done, what the keys hold, and the snapshots of those who are not done.
type Tried = FxHashSet<(u32, u32, State, Vec<Option<State>>)>;

/// The question, in plain terms.
pub struct Brute<'a> {
    txns: Txns<'a>,
    reads: Vec<Vec<(u32, Vec<TxnId>)>>,
    writes: Vec<Vec<u32>>,
    keeps: Keeps,
    versions: &'a [Vec<TxnId>],
    known: &'a [Edge],
    is_there: Vec<bool>,
}

impl<'a> Brute<'a> {
    pub fn new(case: &'a Case, keeps: Keeps) -> Brute<'a> {
        let mut brute = Brute::all(case, keeps);
        brute.is_there = vec![true; brute.txns.len()];
        brute
    }

    /// Of some transactions alone: a read is kept where all that may have been read are kept.
    pub fn among(case: &'a Case, keeps: Keeps, kept: &[TxnId]) -> Brute<'a> {
        let mut brute = Brute::all(case, keeps);
        brute.is_there = (0..brute.txns.len() as TxnId).map(|id| kept.contains(&id)).collect();
        for id in 0..brute.txns.len() {
            brute.reads[id].retain(|(_, writers)| writers.iter().all(|id| *id == INITIAL || kept.contains(id)));
            if !brute.is_there[id] {
                brute.reads[id].clear();
                brute.writes[id].clear();
            }
        }
        brute
    }

    fn all(case: &'a Case, keeps: Keeps) -> Brute<'a> {
        let txns = Txns::of(&case.history);
        let mut reads = vec![Vec::new(); txns.len()];
        for id in 0..txns.len() as TxnId {
            let certain = case.accesses.reads(id).iter().filter(|read| read.writer != UNKNOWN);
            reads[id as usize].extend(certain.map(|read| (read.key, vec![read.writer])));
        }
        for read in &case.uncertain {
            reads[read.reader as usize].push((read.key, read.candidates.clone()));
        }
        let keys = |id: usize| case.accesses.writes(id as TxnId).iter().map(|write| write.key).collect();
        let writes = (0..txns.len()).map(keys).collect();
        Brute {
            txns,
            reads,
            writes,
            keeps,
            versions: &case.accesses.versions,
            known: &case.known,
            is_there: Vec::new(),
        }
    }

    /// Whether trying everything ends soon enough for a test.
    pub fn is_feasible(&self, property: Property) -> bool {
        if !matches!(property, Property::ParallelSnapshotIsolation | Property::UpdateSerializable) {
            return true;
        }
        let mut keys: BTreeMap<u32, u64> = BTreeMap::new();
        self.writes.iter().flatten().for_each(|&key| *keys.entry(key).or_default() += 1);
        let orders: u64 = keys.into_values().map(|count| (1..=count).product::<u64>()).product();
        let choices: u64 = self.reads.iter().flatten().map(|(_, writers)| writers.len() as u64).product();
        orders * choices <= 2000
    }

    pub fn holds(&self, property: Property) -> bool {
        assert!(self.txns.len() <= 32 && self.writes.iter().flatten().all(|&key| (key as usize) < KEYS_MAX));
        let none = vec![None; self.txns.len()];
        let (first, mut tried) = ([INITIAL; KEYS_MAX], Tried::default());
        match property {
            Property::Serializable => self.serial(0, &first, &mut tried),
            Property::SnapshotIsolation => self.snapshots((0, 0), &none, &first, true, &mut tried),
            Property::Prefix => self.snapshots((0, 0), &none, &first, false, &mut tried),
            Property::ParallelSnapshotIsolation => self.versions_exist(|order| self.is_parallel(order)),
            Property::UpdateSerializable => self.versions_exist(|order| self.is_update_serializable(order)),
        }
    }

    fn must_precede(&self, a: usize, b: usize) -> bool {
        let are_there = self.is_there[a] && self.is_there[b];
        let (a, b) = (a as TxnId, b as TxnId);
        are_there
            && self.txns.is_ok(a)
            && self.txns.ended(a) < self.txns.invoked(b)
            && match self.keeps {
                Keeps::Nothing => false,
                Keeps::Process => self.txns.session(a) == self.txns.session(b),
                Keeps::Realtime => true,
            }
    }

    fn is_needed(&self, id: usize) -> bool {
        self.is_there[id] && self.txns.is_ok(id as TxnId)
    }

    fn sees(&self, id: usize, state: &State) -> bool {
        let now = |key: u32| state.get(key as usize).copied().unwrap_or(INITIAL);
        self.reads[id].iter().all(|(key, writers)| writers.contains(&now(*key)))
    }

    fn wrote(&self, id: usize, state: &State) -> State {
        let mut state = *state;
        self.writes[id].iter().for_each(|&key| state[key as usize] = id as TxnId);
        state
    }

    /// Versions that are known come in their order.
    fn is_in_order(&self, id: usize, is_done: impl Fn(usize) -> bool) -> bool {
        let is_after = |edge: &&Edge| edge.to as usize == id && self.is_there[edge.from as usize];
        if !self.known.iter().filter(is_after).all(|edge| is_done(edge.from as usize)) {
            return false;
        }
        self.versions.iter().all(|known| match known.iter().position(|&other| other as usize == id) {
            Some(place) => {
                let mut before = known[..place].iter().filter(|&&other| self.is_there[other as usize]);
                before.all(|&other| is_done(other as usize))
            }
            None => true,
        })
    }

    /// One after the other; those in doubt may be left out.
    fn serial(&self, placed: u32, state: &State, tried: &mut Tried) -> bool {
        let count = self.txns.len();
        let is_placed = |id: usize| placed >> id & 1 == 1;
        if (0..count).all(|id| is_placed(id) || !self.is_needed(id)) {
            return true;
        }
        if !tried.insert((placed, placed, *state, Vec::new())) {
            return false;
        }
        (0..count).any(|id| {
            let comes_later = (0..count).any(|other| !is_placed(other) && self.must_precede(other, id));
            !is_placed(id)
                && self.is_there[id]
                && !comes_later
                && self.sees(id, state)
                && self.is_in_order(id, is_placed)
                && self.serial(placed | 1 << id, &self.wrote(id, state), tried)
        })
    }

    /// Beginnings and commits in any order; `at` are the snapshots of those that began and are not done.
    fn snapshots(
        &self,
        (begun, done): (u32, u32),
        at: &[Option<State>],
        state: &State,
        apart: bool,
        tried: &mut Tried,
    ) -> bool {
        let count = self.txns.len();
        let is_done = |id: usize| done >> id & 1 == 1;
        if (0..count).all(|id| is_done(id) || !self.is_needed(id)) {
            return true;
        }
        if !tried.insert((begun, done, *state, at.to_vec())) {
            return false;
        }
        for id in (0..count).filter(|&id| self.is_there[id] && !is_done(id)) {
            let mut next = at.to_vec();
            let found = match &at[id] {
                None => {
                    let waits = (0..count).any(|other| !is_done(other) && self.must_precede(other, id));
                    if waits || !self.sees(id, state) {
                        continue;
                    }
                    next[id] = Some(*state);
                    self.snapshots((begun | 1 << id, done), &next, state, apart, tried)
                }
                Some(snapshot) => {
                    let is_fresh = self.writes[id].iter().all(|&key| snapshot[key as usize] == state[key as usize]);
                    if (apart && !is_fresh) || !self.is_in_order(id, is_done) {
                        continue;
                    }
                    next[id] = None;
                    self.snapshots((begun, done | 1 << id), &next, &self.wrote(id, state), apart, tried)
                }
            };
            if found {
                return true;
            }
        }
        false
    }

    /// Whether some orders of each key's versions, and some choices of who was read, are as asked. Those in doubt all take
    /// part: one that nobody reads is nobody's problem when it is last.
    fn versions_exist(&self, is_wanted: impl Fn(&Orders) -> bool) -> bool {
        let mut keys: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (id, written) in self.writes.iter().enumerate() {
            written.iter().for_each(|&key| keys.entry(key).or_default().push(id));
        }
        let keys: Vec<(u32, Vec<usize>)> = keys.into_iter().collect();
        let reads: Vec<(usize, u32, Vec<TxnId>)> = self
            .reads
            .iter()
            .enumerate()
            .flat_map(|(id, reads)| reads.iter().map(move |(key, writers)| (id, *key, writers.clone())))
            .collect();
        let mut orders = Orders { versions: BTreeMap::new(), reads: Vec::new() };
        self.each_order(&keys, &reads, &mut orders, &is_wanted)
    }

    fn each_order(
        &self,
        keys: &[(u32, Vec<usize>)],
        reads: &[(usize, u32, Vec<TxnId>)],
        orders: &mut Orders,
        is_wanted: &impl Fn(&Orders) -> bool,
    ) -> bool {
        if let Some(((key, writers), rest)) = keys.split_first() {
            return permutations(writers).into_iter().any(|order| {
                let known = self.versions.get(*key as usize).map_or(&[][..], Vec::as_slice);
                let places = known.iter().filter_map(|&id| order.iter().position(|&other| other == id as usize));
                let place = |id: TxnId| order.iter().position(|&other| other == id as usize);
                let is_kept = |edge: &Edge| match (place(edge.from), place(edge.to)) {
                    (Some(from), Some(to)) => from < to,
                    _ => true,
                };
                if !places.is_sorted() || !self.known.iter().all(is_kept) {
                    return false;
                }
                orders.versions.insert(*key, order);
                self.each_order(rest, reads, orders, is_wanted)
            });
        }
        let Some(((reader, key, writers), rest)) = reads.split_first() else { return is_wanted(orders) };
        writers.iter().any(|&writer| {
            orders.reads.push((*reader, *key, writer));
            let found = self.each_order(keys, rest, orders, is_wanted);
            orders.reads.pop();
            found
        })
    }

    /// What is visible is causal and holds all earlier writers of what is written; each read is of the last visible writer.
    fn is_parallel(&self, orders: &Orders) -> bool {
        let count = self.txns.len();
        // By transaction: to whom it is visible, as bits.
        let mut visible = vec![0u32; count];
        let read_of = orders.reads.iter().filter(|read| read.2 != INITIAL);
        read_of.for_each(|read| visible[read.2 as usize] |= 1 << read.0);
        for order in orders.versions.values() {
            order.windows(2).for_each(|pair| visible[pair[0]] |= 1 << pair[1]);
        }
        for a in 0..count {
            (0..count).filter(|&b| self.must_precede(a, b)).for_each(|b| visible[a] |= 1 << b);
        }
        close(&mut visible);
        let is_last = |&(reader, key, writer): &(usize, u32, TxnId)| {
            let place = orders.place(key, writer);
            let others = orders.versions.get(&key).into_iter().flatten().enumerate();
            others.filter(|&(_, &other)| visible[other] >> reader & 1 == 1).all(|(at, _)| at as i64 <= place)
        };
        (0..count).all(|id| visible[id] >> id & 1 == 0) && orders.reads.iter().all(is_last)
    }

    /// All that write, with each one of those that only read, have no cycle.
    fn is_update_serializable(&self, orders: &Orders) -> bool {
        let count = self.txns.len();
        let is_update = |id: usize| !self.writes[id].is_empty();
        let is_acyclic = |alone: Option<usize>| {
            let takes_part = |id: usize| is_update(id) || Some(id) == alone;
            let mut edges = vec![0u32; count];
            let mut edge = |a: usize, b: usize| {
                edges[a] |= u32::from(takes_part(a) && takes_part(b) && a != b) << b;
            };
            for order in orders.versions.values() {
                order.windows(2).for_each(|pair| edge(pair[0], pair[1]));
            }
            for &(reader, key, writer) in &orders.reads {
                if writer != INITIAL {
                    edge(writer as usize, reader);
                }
                let all = orders.versions.get(&key).map_or(&[][..], Vec::as_slice);
                let next = (orders.place(key, writer) + 1) as usize;
                // Over itself it wrote what it read; what comes after that is after its write.
                all.get(next).into_iter().for_each(|&other| edge(reader, other));
            }
            for a in 0..count {
                (0..count).filter(|&b| self.must_precede(a, b)).for_each(|b| edge(a, b));
            }
            close(&mut edges);
            (0..count).all(|id| edges[id] >> id & 1 == 0)
        };
        is_acyclic(None) && (0..count).filter(|&id| !is_update(id)).all(|id| is_acyclic(Some(id)))
    }
}

/// Orders of versions by key, and who read what from whom.
struct Orders {
    versions: BTreeMap<u32, Vec<usize>>,
    reads: Vec<(usize, u32, TxnId)>,
}

impl Orders {
    /// The place of a version; -1 for the initial one.
    fn place(&self, key: u32, writer: TxnId) -> i64 {
        let all = self.versions.get(&key).map_or(&[][..], Vec::as_slice);
        all.iter().position(|&id| id == writer as usize).map_or(-1, |place| place as i64)
    }
}

fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (place, &item) in items.iter().enumerate() {
        let mut rest = items.to_vec();
        rest.remove(place);
        for mut other in permutations(&rest) {
            other.insert(0, item);
            all.push(other);
        }
    }
    all
}

fn close(edges: &mut [u32]) {
    for via in 0..edges.len() {
        for a in 0..edges.len() {
            if edges[a] >> via & 1 == 1 {
                edges[a] |= edges[via];
            }
        }
    }
}
