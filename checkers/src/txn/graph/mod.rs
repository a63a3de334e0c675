//! Cycles of dependencies: the shortest of each class in each strongly connected component.
//!
//! - `windows`: where edges go back in the order of completion; nothing else can be on a cycle.
//! - `components`, `order`: components without recursion; the order of time with two edges a transaction.
//! - `component`, `class`: one of them in flat arrays; the classes as a table.
//! - `search`, `walk`, `simple`: what is looked for, how, and what is left where walks are no cycles.
//! - [`unfolded`]: phenomena that look inside of transactions.
//! - `topological`: a topological order or a cycle, for other engines.
//!
//! Edges: those of data are given. Of a process and of real time a transaction is before another if it had ended before that
//! one began (and both are of one session). One in doubt has never ended: it comes after others, and is before none.
//! Both are transitive, so in a cycle none of them follows another of its kind.
//!
//! Classes are Adya's ("Weak Consistency", 1999) with the names of Elle ("Elle: Inferring Isolation Anomalies from
//! Experimental Observations", 2020). Searching over vertices and what a walk did so far, instead of over paths, is what makes it
//! polynomial; see `search` for why that is exact.

mod class;
mod component;
mod components;
mod mutant;
mod order;
mod search;
mod simple;
#[cfg(test)]
mod tests;
mod topological;
pub mod unfolded;
mod walk;
mod windows;

use rayon::prelude::*;

use crate::anomaly::AnomalyKind;
use crate::linear::mutant::Mutation;
use crate::txn::edge::{Edge, EdgeKind};
use crate::txn::meter::Meter;
use crate::txn::txns::Txns;
use component::Component;
use components::{Csr, Graph, NONE, components};
use mutant::Mutant;
use order::TimeOrder;
pub use topological::acyclic_order;
use windows::{Windows, is_sane};

/// A cycle: each edge ends where the next begins, the last where the first begins. No transaction is there twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    /// Its class.
    pub class: AnomalyKind,
    /// Its edges.
    pub edges: Vec<Edge>,
    /// Whether it was proven that its component has no shorter one of this class.
    pub shortest: bool,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cycles {
    /// One of each class in each strongly connected component, implied classes left out. A `G2-item` of two edges is
    /// followed by the same as `write-skew`, a `G-nonadjacent-item` of two readers and two writers by the same as `long-fork`.
    pub found: Vec<Cycle>,
    /// How many strongly connected components of more than one transaction there are.
    pub components_count: u64,
    /// Whether the budget ended before all classes of all components were looked for.
    pub spent: bool,
}

/// Which orders of time count, beside the dependencies of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orders {
    /// That of each process.
    pub process: bool,
    /// That of real time. Not for histories whose events have no order among processes.
    pub realtime: bool,
}

impl Orders {
    /// Both.
    pub const ALL: Orders = Orders { process: true, realtime: true };
}

/// Finds cycles. Edges of data are given, in any order, repeated or not; those of processes and of real time are of
/// `txns`, and not looked at where they are given. See [`cycles_in`].
pub fn cycles(txns: &Txns<'_>, edges: Vec<Edge>, meter: &mut Meter) -> Cycles {
    cycles_in(txns, edges, Orders::ALL, meter)
}

/// Finds cycles, with some orders of time only.
///
/// Without an edge that goes back in the order of completion: one walk over the edges. Finding components: O(transactions +
/// edges), 4 bytes an edge and some 40 a transaction where edges go back; that is not counted as steps. Searching them: steps are
/// edges looked at; each class of a component may take half of what is left. When that is spent the cycles are
/// still real, and each component still has one. Fewer than 2^31 transactions and 2^32 edges.
///
/// Not covered: a `G-nonadjacent` in a component that has a `G0` or `G1c` too, where it takes a search of all paths to tell
/// it from a walk; it is given up after some 300,000 steps. Every model that forbids the one forbids the other.
pub fn cycles_in(txns: &Txns<'_>, edges: Vec<Edge>, orders: Orders, meter: &mut Meter) -> Cycles {
    run(txns, edges, orders, meter, Mutation::default())
}

fn run(txns: &Txns<'_>, edges: Vec<Edge>, orders: Orders, meter: &mut Meter, mutation: Mutation<Mutant>) -> Cycles {
    let windows = Windows::new(txns, &edges, mutation);
    let mut all = Cycles::default();
    if windows.covered.is_empty() {
        return all;
    }
    let bytes = edges.len() as u64 * 4 + windows.covered.len() as u64 * 40 + txns.len() as u64 * 4;
    if meter.take_bytes(bytes).is_err() {
        all.spent = true;
        return all;
    }
    let knots = Knots::new(txns, &windows, &edges, orders, mutation);
    let inner = knots.edges(txns, &windows, &edges);
    drop(edges);
    meter.give_back(bytes);
    all.components_count = knots.members.len() as u64;
    let mut rest = &inner[..];
    for (number, members) in (0..).zip(knots.members) {
        let (own, others) = rest.split_at(rest.partition_point(|&(knot, ..)| knot <= number));
        rest = others;
        let own: Vec<component::Local> = own.iter().map(|&(_, from, to, kind)| (from, to, kind)).collect();
        let ids = members.iter().map(|&place| windows.covered[place as usize]).collect();
        let component = Component::new(txns, ids, &own, orders.process, orders.realtime);
        drop(own);
        // Counted, but never refused: each component has a cycle to show.
        let bytes = walk::Walker::bytes(component.count());
        all.spent |= !meter.hold_bytes(bytes);
        let search = search::search(&component, meter, mutation);
        meter.give_back(bytes);
        all.spent |= search.spent;
        for found in search.found {
            all.add(found.class.kind(), component.to_edges(&found.cycle), found.shortest);
        }
    }
    all
}

impl Cycles {
    fn add(&mut self, class: AnomalyKind, edges: Vec<Edge>, shortest: bool) {
        let named = match class {
            AnomalyKind::G2Item if class::is_write_skew(&edges) => Some(AnomalyKind::WriteSkew),
            AnomalyKind::GNonadjacentItem if class::is_long_fork(&edges) => Some(AnomalyKind::LongFork),
            _ => None,
        };
        let also = named.map(|class| Cycle { class, edges: edges.clone(), shortest });
        self.found.push(Cycle { class, edges, shortest });
        self.found.extend(also);
    }
}

/// The covered transactions as a graph: edges of data, and a chain for the order of time.
struct Whole {
    data: Csr,
    time: Option<TimeOrder>,
}

impl Graph for Whole {
    fn vertices_count(&self) -> usize {
        self.data.count() + self.time.as_ref().map_or(0, |time| time.list.len())
    }

    fn next(&self, vertex: u32, cursor: &mut u32) -> Option<u32> {
        let count = self.data.count() as u32;
        let place = *cursor;
        *cursor += 1;
        if vertex < count {
            let out = self.data.of(vertex);
            return match out.get(place as usize) {
                Some(&next) => Some(next),
                None if place as usize > out.len() => None,
                None => Some(self.time.as_ref()?.after[vertex as usize])
                    .filter(|&after| after != NONE)
                    .map(|after| count + after),
            };
        }
        let (time, at) = (self.time.as_ref()?, vertex - count);
        match place {
            0 => Some(time.list[at as usize]),
            1 => time.next_place(at).map(|next| count + next),
            _ => None,
        }
    }
}

/// Strongly connected components of more than one transaction.
struct Knots {
    /// Their transactions, as places among those covered; by the first of these.
    members: Vec<Vec<u32>>,
    /// By place: which one it belongs to, or [`NONE`], and its place there.
    of: Vec<(u32, u32)>,
}

impl Knots {
    fn new(txns: &Txns<'_>, windows: &Windows, edges: &[Edge], orders: Orders, mutation: Mutation<Mutant>) -> Knots {
        let count = windows.covered.len();
        let inside = || {
            let places = edges.iter().filter(|edge| is_sane(txns, edge) && is_data(edge.kind));
            let places = places.map(|edge| (windows.place[edge.from as usize], windows.place[edge.to as usize]));
            places.filter(|&(from, to)| from != NONE && to != NONE)
        };
        let is_timed = (orders.process || orders.realtime) && !mutation.is(Mutant::ComponentsWithoutTime);
        // The order of a process is a part of that of real time.
        let time = is_timed.then(|| TimeOrder::new(txns, &windows.covered, !orders.realtime));
        let whole = Whole { data: Csr::new(count, inside), time };
        let mut members: Vec<Vec<u32>> = Vec::new();
        // From the last one: what comes later is done then, so that little is on the way at a time.
        components(&whole, (0..count as u32).rev(), |_, found| {
            if found.len() > 1 {
                let mut places: Vec<u32> = found.iter().copied().filter(|&vertex| (vertex as usize) < count).collect();
                if places.len() > 1 {
                    places.sort_unstable();
                    members.push(places);
                }
            }
        });
        members.sort_unstable();
        let mut of = vec![(NONE, 0); if members.is_empty() { 0 } else { count }];
        for (number, places) in (0..).zip(&members) {
            for (inner, &place) in (0..).zip(places) {
                of[place as usize] = (number, inner);
            }
        }
        Knots { members, of }
    }

    /// The edges inside of them, with the number of each, in order and without repetition.
    fn edges(&self, txns: &Txns<'_>, windows: &Windows, edges: &[Edge]) -> Vec<(u32, u32, u32, EdgeKind)> {
        if self.members.is_empty() {
            return Vec::new();
        }
        let of = |id: u32| match windows.place[id as usize] {
            NONE => (NONE, 0),
            place => self.of[place as usize],
        };
        let inside = edges.par_iter().filter(|edge| is_sane(txns, edge) && is_data(edge.kind)).filter_map(|edge| {
            let ((knot, from), (other, to)) = (of(edge.from), of(edge.to));
            (knot == other && knot != NONE).then_some((knot, from, to, edge.kind))
        });
        let mut inside: Vec<(u32, u32, u32, EdgeKind)> = inside.collect();
        inside.par_sort_unstable();
        inside.dedup();
        inside
    }
}

fn is_data(kind: EdgeKind) -> bool {
    class::bit(kind) & class::DATA != 0
}
