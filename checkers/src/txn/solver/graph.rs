//! A graph without cycles to which edges are added and taken away again, the last first, with a total order of its nodes
//! that it always keeps.
//!
//! An edge against the order is looked into from both ends at once, only between its ends in the order, always from
//! the side that cost less so far; whichever side is exhausted first is moved past the other end. That is Pearce and Kelly's
//! way ("A Dynamic Topological Sort Algorithm for Directed Acyclic Graphs", 2006), balanced as in Bender, Fineman,
//! Gilbert and Tarjan (2016). The order stays when edges are taken away: it is what the search remembers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::sequence::Sequence;

/// No node, edge, literal.
pub(super) const NONE: u32 = u32::MAX;

/// Neighbours by node, flat.
pub(super) struct Neighbours {
    starts: Vec<u32>,
    nodes: Vec<u32>,
}

impl Neighbours {
    /// Sorts pairs of (node, neighbour) by node; of each node in the order given.
    pub fn new(nodes_count: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Neighbours {
        let mut starts = vec![0u32; nodes_count + 1];
        for (node, _) in pairs.clone() {
            starts[node as usize + 1] += 1;
        }
        for node in 0..nodes_count {
            starts[node + 1] += starts[node];
        }
        let mut free = starts.clone();
        let mut nodes = vec![0; starts[nodes_count] as usize];
        for (node, neighbour) in pairs {
            let place = &mut free[node as usize];
            nodes[*place as usize] = neighbour;
            *place += 1;
        }
        Neighbours { starts, nodes }
    }

    /// Those of one node.
    #[inline]
    pub fn of(&self, node: u32) -> &[u32] {
        &self.nodes[self.range(node)]
    }

    /// Where those of one node are.
    #[inline]
    pub fn range(&self, node: u32) -> std::ops::Range<usize> {
        self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize
    }
}

/// An edge that was added, and why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Added {
    /// The earlier node.
    pub from: u32,
    /// The later one.
    pub to: u32,
    /// Literals that it follows from; [`NONE`] where there are fewer.
    pub reasons: [u32; 2],
    /// A transaction that it speaks of besides its ends; [`NONE`] for none.
    pub about: u32,
    next_out: u32,
    next_in: u32,
}

/// A way from one node to another.
#[derive(Debug, Clone, Default)]
pub(super) struct Path {
    /// The nodes, in order.
    pub nodes: Vec<u32>,
    /// The added edges along it, by number.
    pub edges: Vec<u32>,
}

#[derive(Default)]
struct Side {
    queue: Vec<u32>,
    head: usize,
    mark: Vec<u32>,
    /// By node: the node that it was reached from, and the added edge (or [`NONE`]).
    parent: Vec<(u32, u32)>,
    work: u64,
}

impl Side {
    fn new(nodes_count: usize) -> Side {
        Side { mark: vec![0; nodes_count], parent: vec![(NONE, NONE); nodes_count], ..Side::default() }
    }

    fn begin(&mut self, node: u32, round: u32) {
        self.queue.clear();
        self.queue.push(node);
        self.head = 0;
        self.work = 0;
        self.mark[node as usize] = round;
        self.parent[node as usize] = (NONE, NONE);
    }
}

/// How a search ended.
enum Ended {
    /// The sides met there.
    Met(u32),
    /// All that comes after was seen.
    Later,
    /// All that comes before was seen.
    Earlier,
}

/// The graph.
pub(super) struct Graph {
    outgoing: Neighbours,
    incoming: Neighbours,
    added: Vec<Added>,
    out_head: Vec<u32>,
    in_head: Vec<u32>,
    order: Sequence,
    forward: Side,
    backward: Side,
    round: u32,
    /// Nodes that the last [`Graph::add`] moved, in their order.
    pub moved: Vec<u32>,
    /// Whether they went to a later place.
    pub moved_later: bool,
    /// Edges looked at so far.
    pub work: u64,
    /// Edges added so far, those that were taken away again too.
    pub added_ever: u64,
}

impl Graph {
    /// With edges that stay, in an order that prefers small priorities.
    ///
    /// # Errors
    /// The nodes of a cycle, in order.
    pub fn new(edges: &[(u32, u32)], priorities: &[u64]) -> Result<Graph, Vec<u32>> {
        let count = priorities.len();
        let outgoing = Neighbours::new(count, edges.iter().copied());
        let incoming = Neighbours::new(count, edges.iter().map(|&(from, to)| (to, from)));
        let order = topological(&outgoing, &incoming, priorities)?;
        Ok(Graph {
            outgoing,
            incoming,
            added: Vec::new(),
            out_head: vec![NONE; count],
            in_head: vec![NONE; count],
            order: Sequence::new(&order),
            forward: Side::new(count),
            backward: Side::new(count),
            round: 0,
            moved: Vec::new(),
            moved_later: false,
            work: edges.len() as u64,
            added_ever: 0,
        })
    }

    /// Bytes for so many nodes and edges that stay.
    pub fn bytes(nodes_count: u64, edges_count: u64) -> u64 {
        // Labels, links, heads, two sides of the search, starts; both directions of each edge.
        nodes_count * 72 + edges_count * 8
    }

    /// The order.
    pub fn order(&self) -> &Sequence {
        &self.order
    }

    /// How many edges were added.
    pub fn added_count(&self) -> usize {
        self.added.len()
    }

    /// An edge that was added.
    pub fn added(&self, edge: u32) -> Added {
        self.added[edge as usize]
    }

    /// What comes right after a node, each with the added edge that leads there, or [`NONE`].
    #[inline]
    pub fn after(&self, node: u32, mut to: impl FnMut(u32, u32)) {
        self.outgoing.of(node).iter().for_each(|&next| to(next, NONE));
        let mut edge = self.out_head[node as usize];
        while edge != NONE {
            let added = self.added[edge as usize];
            to(added.to, edge);
            edge = added.next_out;
        }
    }

    /// Takes edges away until so many are left.
    pub fn truncate(&mut self, count: usize) {
        while self.added.len() > count {
            if let Some(edge) = self.added.pop() {
                self.out_head[edge.from as usize] = edge.next_out;
                self.in_head[edge.to as usize] = edge.next_in;
            }
        }
    }

    /// A way from `a` to `b`, if there is one.
    pub fn path(&mut self, a: u32, b: u32) -> Option<Path> {
        if a == b {
            return Some(Path { nodes: vec![a], edges: Vec::new() });
        }
        if !self.order.is_before(a, b) {
            return None;
        }
        match self.search(a, b) {
            Ended::Met(node) => Some(self.trace(node)),
            Ended::Later | Ended::Earlier => None,
        }
    }

    /// Adds an edge, and moves nodes if the order was against it.
    ///
    /// # Errors
    /// The way back, with which it would close a cycle; nothing was changed then.
    pub fn add(&mut self, from: u32, to: u32, reasons: [u32; 2], about: u32) -> Result<(), Path> {
        self.moved.clear();
        if from == to {
            return Err(Path { nodes: vec![from], edges: Vec::new() });
        }
        if !self.order.is_before(from, to) {
            match self.search(to, from) {
                Ended::Met(node) => return Err(self.trace(node)),
                Ended::Later => self.shift(true, Some(from)),
                Ended::Earlier => self.shift(false, self.order.previous(to)),
            }
        }
        let edge = self.added.len() as u32;
        let (next_out, next_in) = (self.out_head[from as usize], self.in_head[to as usize]);
        self.added.push(Added { from, to, reasons, about, next_out, next_in });
        self.out_head[from as usize] = edge;
        self.in_head[to as usize] = edge;
        self.added_ever += 1;
        Ok(())
    }

    fn shift(&mut self, later: bool, anchor: Option<u32>) {
        let side = if later { &self.forward } else { &self.backward };
        self.moved.extend_from_slice(&side.queue);
        let order = &self.order;
        self.moved.sort_unstable_by_key(|&node| order.label(node));
        self.moved_later = later;
        self.order.move_after(&self.moved, anchor);
    }

    /// From `a` on and from `b` back, between them in the order, until the sides meet or one is exhausted.
    fn search(&mut self, a: u32, b: u32) -> Ended {
        if self.round == u32::MAX {
            self.forward.mark.fill(0);
            self.backward.mark.fill(0);
            self.round = 0;
        }
        self.round += 1;
        self.forward.begin(a, self.round);
        self.backward.begin(b, self.round);
        let ended = loop {
            if self.forward.head == self.forward.queue.len() {
                break Ended::Later;
            }
            if self.backward.head == self.backward.queue.len() {
                break Ended::Earlier;
            }
            let met = if self.forward.work <= self.backward.work {
                let fixed = &self.outgoing;
                let added = |edge: Added| (edge.to, edge.next_out);
                let heads = (&self.out_head[..], &self.added[..]);
                let is_inside = |node| !self.order.is_before(b, node);
                expand(&mut self.forward, &self.backward, self.round, fixed, heads, added, is_inside)
            } else {
                let fixed = &self.incoming;
                let added = |edge: Added| (edge.from, edge.next_in);
                let heads = (&self.in_head[..], &self.added[..]);
                let is_inside = |node| !self.order.is_before(node, a);
                expand(&mut self.backward, &self.forward, self.round, fixed, heads, added, is_inside)
            };
            if let Some(node) = met {
                break Ended::Met(node);
            }
        };
        self.work += self.forward.work + self.backward.work + 1;
        ended
    }

    fn trace(&self, met: u32) -> Path {
        let mut path = Path { nodes: vec![met], edges: Vec::new() };
        let mut node = met;
        while let (parent, edge) = self.forward.parent[node as usize]
            && parent != NONE
        {
            path.nodes.push(parent);
            path.edges.extend((edge != NONE).then_some(edge));
            node = parent;
        }
        path.nodes.reverse();
        node = met;
        while let (parent, edge) = self.backward.parent[node as usize]
            && parent != NONE
        {
            path.nodes.push(parent);
            path.edges.extend((edge != NONE).then_some(edge));
            node = parent;
        }
        path
    }
}

/// Visits the neighbours of the next node of a side. The node where the other side was met.
#[inline]
fn expand(
    side: &mut Side,
    other: &Side,
    round: u32,
    fixed: &Neighbours,
    (heads, added): (&[u32], &[Added]),
    step: impl Fn(Added) -> (u32, u32),
    is_inside: impl Fn(u32) -> bool,
) -> Option<u32> {
    let node = side.queue[side.head];
    side.head += 1;
    let mut edge = heads[node as usize];
    let fixed = fixed.of(node);
    let mut place = 0;
    side.work += 1;
    loop {
        let (neighbour, via) = if place < fixed.len() {
            place += 1;
            (fixed[place - 1], NONE)
        } else if edge != NONE {
            let (neighbour, next) = step(added[edge as usize]);
            (neighbour, std::mem::replace(&mut edge, next))
        } else {
            return None;
        };
        side.work += 1;
        if side.mark[neighbour as usize] == round || !is_inside(neighbour) {
            continue;
        }
        side.mark[neighbour as usize] = round;
        side.parent[neighbour as usize] = (node, via);
        if other.mark[neighbour as usize] == round {
            return Some(neighbour);
        }
        side.queue.push(neighbour);
    }
}

/// An order that all edges keep, of small priorities first where they leave a choice (Kahn).
fn topological(outgoing: &Neighbours, incoming: &Neighbours, priorities: &[u64]) -> Result<Vec<u32>, Vec<u32>> {
    let count = priorities.len();
    let mut waits: Vec<u32> = (0..count as u32).map(|node| incoming.range(node).len() as u32).collect();
    let free = (0..count as u32).filter(|&node| waits[node as usize] == 0);
    let mut ready: BinaryHeap<Reverse<(u64, u32)>> =
        free.map(|node| Reverse((priorities[node as usize], node))).collect();
    let mut order = Vec::with_capacity(count);
    while let Some(Reverse((_, node))) = ready.pop() {
        order.push(node);
        for &next in outgoing.of(node) {
            waits[next as usize] -= 1;
            if waits[next as usize] == 0 {
                ready.push(Reverse((priorities[next as usize], next)));
            }
        }
    }
    if order.len() == count {
        return Ok(order);
    }
    // Whatever still waits has a predecessor that waits: walking back must come round.
    let Some(start) = (0..count as u32).find(|&node| waits[node as usize] > 0) else { return Ok(order) };
    let mut seen = vec![false; count];
    let mut walk = vec![start];
    let mut node = start;
    while !std::mem::replace(&mut seen[node as usize], true) {
        let Some(&back) = incoming.of(node).iter().find(|&&back| waits[back as usize] > 0) else { break };
        walk.push(back);
        node = back;
    }
    let first = walk.iter().position(|&other| other == node).unwrap_or(0);
    walk.drain(..first);
    walk.pop();
    walk.reverse();
    Err(walk)
}
