//! One strongly connected component: its edges in flat arrays, and the subgraphs in which each class lives.

use super::class::{RW, bit};
use super::components::{Graph, NONE, components};
use super::order::TimeOrder;
use crate::txn::edge::{Edge, EdgeKind};
use crate::txn::txns::{OPEN, TxnId, Txns};
use schism_history::OpIndex;

/// A component. Its transactions are numbered densely ("vertices"), in the order of [`super::windows::Windows`].
#[derive(Debug)]
pub(super) struct Component {
    /// The transactions.
    pub ids: Vec<TxnId>,
    starts: Vec<u32>,
    heads: Vec<u32>,
    kinds: Vec<EdgeKind>,
    /// Which kinds of edges of data there are.
    pub mask: u8,
    /// The order within sessions.
    pub process: Option<TimeOrder>,
    /// The order of real time.
    pub realtime: Option<TimeOrder>,
    invoked: Vec<OpIndex>,
    ended: Vec<OpIndex>,
}

/// An edge between vertices.
pub(super) type Local = (u32, u32, EdgeKind);

impl Component {
    /// Of edges between vertices, sorted and without repetition.
    pub fn new(txns: &Txns<'_>, ids: Vec<TxnId>, edges: &[Local], process: bool, realtime: bool) -> Component {
        let mut starts = vec![0_u32; ids.len() + 1];
        for &(from, _, _) in edges {
            starts[from as usize + 1] += 1;
        }
        for vertex in 1..starts.len() {
            starts[vertex] += starts[vertex - 1];
        }
        let order = |is_wanted: bool, by_session| {
            is_wanted.then(|| TimeOrder::new(txns, &ids, by_session)).filter(|order| order.is_any)
        };
        Component {
            starts,
            heads: edges.iter().map(|&(_, to, _)| to).collect(),
            kinds: edges.iter().map(|&(_, _, kind)| kind).collect(),
            mask: edges.iter().fold(0, |mask, &(_, _, kind)| mask | bit(kind)),
            process: order(process, true),
            realtime: order(realtime, false),
            invoked: ids.iter().map(|&id| txns.invoked(id)).collect(),
            ended: ids.iter().map(|&id| if txns.is_ok(id) { txns.ended(id) } else { OPEN }).collect(),
            ids,
        }
    }

    /// How many vertices.
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// The edges of data that leave a vertex.
    pub fn out(&self, vertex: u32) -> impl ExactSizeIterator<Item = (u32, EdgeKind)> + '_ {
        let range = self.starts[vertex as usize] as usize..self.starts[vertex as usize + 1] as usize;
        self.heads[range.clone()].iter().copied().zip(self.kinds[range].iter().copied())
    }

    /// All edges of data.
    pub fn edges(&self) -> impl Iterator<Item = Local> + '_ {
        (0..self.count() as u32).flat_map(|from| self.out(from).map(move |(to, kind)| (from, to, kind)))
    }

    /// The order of time of a level: none, of processes, of real time.
    pub fn time(&self, level: usize) -> Option<&TimeOrder> {
        match level {
            0 => None,
            1 => self.process.as_ref(),
            _ => self.realtime.as_ref(),
        }
    }

    /// Whether a vertex is before another by such an order.
    pub fn is_before(&self, time: &TimeOrder, a: u32, b: u32) -> bool {
        self.ended[a as usize] < self.invoked[b as usize] && time.group[a as usize] == time.group[b as usize]
    }

    /// As edges between transactions.
    pub fn to_edges(&self, cycle: &[Local]) -> Vec<Edge> {
        let id = |vertex: u32| self.ids[vertex as usize];
        cycle.iter().map(|&(from, to, kind)| Edge { from: id(from), to: id(to), kind }).collect()
    }
}

/// A part of a component's edges, with the order of time or without.
#[derive(Debug)]
pub(super) struct View<'c> {
    pub component: &'c Component,
    /// Which edges of data.
    pub mask: u8,
    /// Whether two anti-dependencies never follow each other. Then each vertex is there twice: reached by one, or not.
    pub apart: bool,
    pub time: Option<&'c TimeOrder>,
}

/// The components of a view.
#[derive(Debug)]
pub(super) struct Labels {
    labels: Vec<u32>,
    apart: bool,
    /// Whether there is a cycle.
    pub is_cyclic: bool,
}

impl Labels {
    /// All vertices of a component together.
    pub fn whole(component: &Component) -> Labels {
        Labels { labels: vec![1; component.count()], apart: false, is_cyclic: true }
    }

    /// The label of a vertex, reached by an anti-dependency or not. Edges never go to a smaller one.
    pub fn of(&self, vertex: u32, by_rw: bool) -> u32 {
        let place = if self.apart { 2 * vertex + u32::from(by_rw) } else { vertex };
        self.labels[place as usize]
    }
}

impl View<'_> {
    fn states(&self) -> u32 {
        1 + u32::from(self.apart)
    }

    fn states_count(&self) -> u32 {
        self.component.count() as u32 * self.states()
    }

    /// Finds its components. O(edges + vertices).
    pub fn labels(&self) -> Labels {
        let count = self.states_count();
        let mut is_cyclic = false;
        let labels = components(self, (0..count).rev(), |_, members| {
            // Places of the order of time are no cycle by themselves.
            is_cyclic |= members.len() > 1 && members.iter().filter(|&&member| member < count).count() > 1;
        });
        Labels { labels, apart: self.apart, is_cyclic }
    }
}

impl Graph for View<'_> {
    fn vertices_count(&self) -> usize {
        self.states_count() as usize + self.time.map_or(0, |time| time.list.len())
    }

    fn next(&self, vertex: u32, cursor: &mut u32) -> Option<u32> {
        let count = self.states_count();
        if vertex >= count {
            let (time, place) = (self.time?, vertex - count);
            *cursor += 1;
            return match *cursor {
                1 => Some(time.list[place as usize] * self.states()),
                2 => time.next_place(place).map(|place| count + place),
                _ => None,
            };
        }
        let (vertex, by_rw) = (vertex / self.states(), self.apart && vertex % 2 == 1);
        let component = self.component;
        let start = component.starts[vertex as usize];
        let degree = component.starts[vertex as usize + 1] - start;
        while *cursor < degree {
            let place = (start + *cursor) as usize;
            *cursor += 1;
            let kind = bit(component.kinds[place]);
            let is_rw = kind & RW != 0;
            if kind & self.mask != 0 && !(is_rw && by_rw) {
                return Some(component.heads[place] * self.states() + u32::from(self.apart && is_rw));
            }
        }
        if *cursor > degree {
            return None;
        }
        *cursor += 1;
        let after = self.time?.after[vertex as usize];
        (after != NONE).then(|| count + after)
    }
}
