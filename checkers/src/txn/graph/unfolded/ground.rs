//! Dependencies with the micro-operations that cause them, and the orders of versions that they come from.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::prelude::*;
use schism_history::MicroF;

use super::Link;
use super::mutant::Mutant;
use crate::linear::mutant::Mutation;
use crate::txn::accesses::{Accesses, INITIAL};
use crate::txn::edge::{Edge, EdgeKind};
use crate::txn::graph::components::{Csr, components};
use crate::txn::meter::{Meter, Spent};
use crate::txn::txns::{TxnId, Txns};

/// No place.
pub(super) const NONE: u32 = u32::MAX;
/// The place of a version after all that have one, in an order that nobody knows.
pub(super) const TAIL: u32 = u32::MAX - 1;

/// A dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arc {
    pub from: TxnId,
    pub to: TxnId,
    /// Of a read or write dependency the micro-operation of the later transaction that it comes to; of an anti-dependency
    /// the read that it leaves.
    pub place: u32,
    /// [`NONE`] for one that was given without.
    pub key: u32,
    pub kind: EdgeKind,
}

/// The versions of a key.
#[derive(Debug, Clone, Default)]
pub(super) struct Order<'a> {
    /// Their writers, as far as their order is known.
    pub known: Cow<'a, [TxnId]>,
    /// Writers after these, in some order.
    pub tail: Vec<TxnId>,
    /// Whether nothing is known of the order but that the initial version comes first: then all writers stand in `tail`.
    is_unknown: bool,
}

/// What the searches walk on.
pub(super) struct Ground<'a> {
    pub txns: &'a Txns<'a>,
    pub accesses: &'a Accesses,
    pub mutation: Mutation<Mutant>,
    /// By key.
    pub orders: Vec<Order<'a>>,
    /// Whether the order of all versions is known, or made.
    pub is_whole: bool,
    /// Dependencies of writes and reads, by `from`.
    pub flow: Arcs,
    /// Anti-dependencies, by `from`.
    pub over: Arcs,
    /// By transaction: its place in an order that all dependencies of writes and reads keep.
    pub rank: Vec<u32>,
    /// What it holds.
    pub bytes: u64,
    /// By transaction: where its writes begin in `positions`.
    starts: Vec<u32>,
    /// By write: the place of the version among those of its key.
    positions: Vec<u32>,
}

/// Arcs by where they begin.
#[derive(Debug, Default)]
pub(super) struct Arcs {
    starts: Vec<u32>,
    pub all: Vec<Arc>,
}

impl Arcs {
    fn new(count: usize, mut all: Vec<Arc>) -> Arcs {
        all.par_sort_unstable();
        all.dedup();
        let mut starts = vec![0_u32; count + 1];
        all.iter().for_each(|arc| starts[arc.from as usize + 1] += 1);
        for place in 1..starts.len() {
            starts[place] += starts[place - 1];
        }
        Arcs { starts, all }
    }

    /// The places of those that leave a transaction.
    pub fn of(&self, id: TxnId) -> std::ops::Range<usize> {
        self.starts[id as usize] as usize..self.starts[id as usize + 1] as usize
    }
}

impl<'a> Ground<'a> {
    /// Lays it out, with versions in the order of `guess` (a number for each transaction) where nothing else is known; `None` if dependencies of writes and reads have a cycle.
    ///
    /// # Errors
    /// When the budget is spent.
    pub fn new(
        txns: &'a Txns<'a>,
        accesses: &'a Accesses,
        ww: &[Edge],
        guess: Option<&[u32]>,
        meter: &mut Meter,
        mutation: Mutation<Mutant>,
    ) -> Result<Option<Ground<'a>>, Spent> {
        let count = accesses.len().min(txns.len());
        let mut starts = vec![0_u32; count + 1];
        for id in 0..count {
            starts[id + 1] = starts[id] + accesses.writes(id as TxnId).len() as u32;
        }
        let (orders, is_whole) = orders(accesses, count, guess);
        let mut ground = Ground {
            txns,
            accesses,
            mutation,
            positions: vec![NONE; starts[count] as usize],
            starts,
            orders,
            is_whole,
            flow: Arcs::default(),
            over: Arcs::default(),
            rank: Vec::new(),
            bytes: 0,
        };
        ground.place_versions();
        let (mut flow, mut over) = (Vec::new(), Vec::new());
        ground.dependencies(&mut flow, &mut over, meter)?;
        ground.writes(&mut flow);
        if !mutation.is(Mutant::GivenForgotten) {
            let is_known = |id: TxnId| (id as usize) < count && accesses.committed[id as usize];
            let given = ww.iter().filter(|edge| {
                let is_sane = edge.kind == EdgeKind::Ww && edge.from != edge.to;
                is_sane && is_known(edge.from) && is_known(edge.to) && !ground.are_neighbours(edge.from, edge.to)
            });
            let bare = |edge: &Edge| Arc { from: edge.from, to: edge.to, place: NONE, key: NONE, kind: EdgeKind::Ww };
            flow.extend(given.map(bare));
        }
        let bytes = ((flow.len() + over.len()) * size_of::<Arc>() + count * 24 + ground.positions.len() * 4) as u64;
        meter.take_bytes(bytes)?;
        ground.bytes = bytes;
        meter.step((flow.len() + over.len()) as u64)?;
        ground.flow = Arcs::new(count, flow);
        ground.over = Arcs::new(count, over);
        let first: Vec<u32> = guess.map_or_else(|| (0..count as u32).collect(), <[u32]>::to_vec);
        let rank = ranks(&ground.flow, &first);
        Ok(rank.map(|rank| Ground { rank, ..ground }))
    }

    /// How many transactions.
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    fn place_versions(&mut self) {
        for (key, order) in self.orders.iter().enumerate() {
            let tail = order.tail.iter().map(|&id| (id, TAIL));
            let known = order.known.iter().zip(0..).map(|(&id, place)| (id, place));
            for (id, position) in known.chain(tail) {
                if let Some(write) = write_of(self.accesses, id, key as u32) {
                    self.positions[self.starts[id as usize] as usize + write] = position;
                }
            }
        }
    }

    /// The place of a transaction's version of a key, and the micro-operation that wrote it last.
    pub fn version(&self, id: TxnId, key: u32) -> Option<(u32, u32)> {
        let write = write_of(self.accesses, id, key)?;
        let position = self.positions[self.starts[id as usize] as usize + write];
        let micro = self.accesses.writes(id)[write].micro;
        (position != NONE).then_some((position, micro))
    }

    /// Whether one wrote the next version after another's, so far as versions have places.
    fn are_neighbours(&self, from: TxnId, to: TxnId) -> bool {
        self.accesses.writes(from).iter().any(|write| {
            let (Some((first, _)), Some((next, _))) = (self.version(from, write.key), self.version(to, write.key))
            else {
                return false;
            };
            let is_last = || first + 1 == self.orders[write.key as usize].known.len() as u32;
            first < TAIL && (next == first + 1 || next == TAIL && is_last())
        })
    }

    /// Whether a transaction takes part.
    pub fn is_committed(&self, id: TxnId) -> bool {
        (id as usize) < self.count() && self.accesses.committed[id as usize]
    }

    /// Where the versions after the one that was read begin in the known order; `None` if that is not known.
    pub fn after(&self, writer: TxnId, key: u32) -> Option<u32> {
        if writer == INITIAL {
            return (!self.mutation.is(Mutant::InitialForgotten)).then_some(0);
        }
        if !self.is_committed(writer) {
            return None;
        }
        self.version(writer, key).map(|(position, _)| position).filter(|&position| position < TAIL).map(|at| at + 1)
    }

    /// Dependencies of reads, and anti-dependencies to whoever wrote the next version.
    fn dependencies(&self, flow: &mut Vec<Arc>, over: &mut Vec<Arc>, meter: &mut Meter) -> Result<(), Spent> {
        for id in (0..self.count() as TxnId).filter(|&id| self.txns.is_ok(id) && self.is_committed(id)) {
            for read in self.accesses.reads(id) {
                let arc = |from, to, kind| Arc { from, to, place: read.micro, key: read.key, kind };
                if self.is_committed(read.writer) && read.writer != id {
                    flow.push(arc(read.writer, id, EdgeKind::Wr));
                }
                let Some(order) = self.orders.get(read.key as usize) else { continue };
                let Some(after) = self.after(read.writer, read.key) else { continue };
                if let Some(&next) = order.known.get(after as usize) {
                    if next != id {
                        over.push(arc(id, next, EdgeKind::Rw));
                    }
                    continue;
                }
                meter.step(order.tail.len() as u64)?;
                over.extend(order.tail.iter().filter(|&&next| next != id).map(|&next| arc(id, next, EdgeKind::Rw)));
            }
        }
        Ok(())
    }

    /// Dependencies between writers of neighbouring versions.
    fn writes(&self, flow: &mut Vec<Arc>) {
        for (key, order) in self.orders.iter().enumerate() {
            let key = key as u32;
            let tail =
                order.known.last().into_iter().flat_map(|&last| order.tail.iter().map(move |&next| (last, next)));
            let pairs = order.known.windows(2).map(|pair| (pair[0], pair[1])).chain(tail);
            for (from, to) in pairs.filter(|(from, to)| from != to) {
                let place = self.version(to, key).map_or(NONE, |(_, micro)| micro);
                flow.push(Arc { from, to, place, key, kind: EdgeKind::Ww });
            }
        }
    }

    /// An arc as a step of a witness.
    pub fn link(&self, arc: &Arc) -> Link {
        let edge = Edge { from: arc.from, to: arc.to, kind: arc.kind };
        if arc.key == NONE {
            return Link { edge, cause: None };
        }
        let last =
            |id: TxnId| write_of(self.accesses, id, arc.key).map_or(0, |write| self.accesses.writes(id)[write].micro);
        let cause = match arc.kind {
            EdgeKind::Wr => (arc.key, last(arc.from), arc.place),
            EdgeKind::Ww => (arc.key, last(arc.from), self.first_write(arc.to, arc.key)),
            _ => (arc.key, arc.place, self.first_write(arc.to, arc.key)),
        };
        Link { edge, cause: Some(cause) }
    }

    /// What comes right after another's version: the first append of a list, the last write of a register.
    fn first_write(&self, id: TxnId, key: u32) -> u32 {
        let mut appends = self.txns.txn(id).micros().enumerate().filter(|(_, micro)| micro.key == key);
        let first = appends.find(|(_, micro)| micro.f == MicroF::Append).map(|(place, _)| place as u32);
        let last = || write_of(self.accesses, id, key).map_or(0, |write| self.accesses.writes(id)[write].micro);
        first.unwrap_or_else(last)
    }

    /// A guess of the order of all transactions that fits what is known: by completion or invocation; every other one keeps
    /// as many as it can of the anti-dependencies that an earlier guess has.
    pub fn guess(&self, number: u32, over: &Arcs) -> Option<Vec<u32>> {
        let count = self.count() as u32;
        let mut order: Vec<u32> = (0..count).collect();
        let txns = self.txns;
        match number {
            2 => order.sort_by_key(|&id| (txns.ended(id), txns.invoked(id))),
            4 => order.sort_by_key(|&id| Reverse(txns.invoked(id))),
            _ => {
                let arcs = || self.flow.all.iter().chain(&over.all).map(|arc| (arc.from, arc.to));
                let labels = components(&Csr::new(count as usize, arcs), (0..count).rev(), |_, _| {});
                order.sort_by_key(|&id| (labels[id as usize], self.rank[id as usize]));
            }
        }
        let mut first = vec![0; count as usize];
        order.iter().zip(0..).for_each(|(&id, place)| first[id as usize] = place);
        ranks(&self.flow, &first)
    }
}

/// The place of a transaction's write of a key among its writes.
fn write_of(accesses: &Accesses, id: TxnId, key: u32) -> Option<usize> {
    accesses.writes(id).iter().position(|write| write.key == key)
}

/// The order of each key's versions, and whether all of them are whole.
fn orders<'a>(accesses: &'a Accesses, count: usize, guess: Option<&[u32]>) -> (Vec<Order<'a>>, bool) {
    let keys = accesses.keys_count as usize;
    let mut writers_count = vec![0_u32; keys];
    let committed = || (0..count as TxnId).filter(|&id| accesses.committed[id as usize]);
    for id in committed() {
        for write in accesses.writes(id) {
            if let Some(count) = writers_count.get_mut(write.key as usize) {
                *count += 1;
            }
        }
    }
    let mut orders: Vec<Order<'a>> = vec![Order::default(); keys];
    for &(key, id) in &accesses.tails {
        if let Some(order) = orders.get_mut(key as usize) {
            order.tail.push(id);
        }
    }
    for (key, order) in orders.iter_mut().enumerate() {
        order.known = Cow::Borrowed(accesses.versions.get(key).map_or(&[][..], Vec::as_slice));
        let known = order.known.len() + order.tail.len();
        if known != writers_count[key] as usize {
            *order = Order { is_unknown: true, ..Order::default() };
        }
    }
    for id in committed() {
        for write in accesses.writes(id) {
            if let Some(order) = orders.get_mut(write.key as usize).filter(|order| order.is_unknown) {
                order.tail.push(id);
            }
        }
    }
    for order in orders.iter_mut().filter(|order| order.tail.len() == 1) {
        order.known.to_mut().append(&mut order.tail);
    }
    if let Some(ranks) = guess {
        for order in orders.iter_mut().filter(|order| !order.tail.is_empty()) {
            order.tail.sort_unstable_by_key(|&id| ranks[id as usize]);
            let tail = std::mem::take(&mut order.tail);
            order.known.to_mut().extend(tail);
        }
    }
    let is_whole = orders.iter().all(|order| order.tail.is_empty());
    (orders, is_whole)
}

/// The first order of all transactions that keeps these dependencies, where the one of the smallest `first` comes first;
/// `None` if they have a cycle.
fn ranks(flow: &Arcs, first: &[u32]) -> Option<Vec<u32>> {
    let count = first.len();
    let mut missing = vec![0_u32; count];
    flow.all.iter().for_each(|arc| missing[arc.to as usize] += 1);
    let mut ready: BinaryHeap<Reverse<(u32, u32)>> =
        (0..count as u32).filter(|&id| missing[id as usize] == 0).map(|id| Reverse((first[id as usize], id))).collect();
    let mut rank = vec![NONE; count];
    let mut next = 0;
    while let Some(Reverse((_, id))) = ready.pop() {
        rank[id as usize] = next;
        next += 1;
        for arc in &flow.all[flow.of(id)] {
            missing[arc.to as usize] -= 1;
            if missing[arc.to as usize] == 0 {
                ready.push(Reverse((first[arc.to as usize], arc.to)));
            }
        }
    }
    (next as usize == count).then_some(rank)
}
