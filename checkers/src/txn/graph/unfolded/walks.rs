//! Cycles through micro-operations: with one anti-dependency (G-monotonic), and with several (G-MSR).

use super::ground::{Arc, Ground, NONE};
use super::mutant::Mutant;
use super::{Link, Told};
use crate::txn::edge::EdgeKind;
use crate::txn::graph::components::{Csr, components};
use crate::txn::meter::{Meter, Spent};
use crate::txn::txns::TxnId;

/// First all short cycles are looked for, then longer ones: so no search goes much farther than the shortest cycle.
const LIMITS: [u32; 7] = [3, 4, 5, 7, 9, 17, u32::MAX];

/// The memory of searches, used again and again.
struct Walker {
    epoch: u32,
    /// By transaction: the search that came there last, and the earliest micro-operation by which it did.
    seen: Vec<(u32, u32)>,
    /// Who was come to: transaction, micro-operation, by which arc, from which place of this list.
    queue: Vec<Visit>,
}

#[derive(Debug, Clone, Copy)]
struct Visit {
    id: TxnId,
    place: u32,
    /// Its place among the arcs, and whether it is an anti-dependency.
    by: (u32, bool),
    before: u32,
}

impl Walker {
    fn new(count: usize) -> Walker {
        Walker { epoch: 0, seen: vec![(0, 0); count], queue: Vec::new() }
    }

    fn begin(&mut self, id: TxnId) {
        self.epoch += 1;
        self.queue.clear();
        self.visit(id, NONE, (NONE, false), NONE);
    }

    /// Comes to a transaction, unless it was come to before at that micro-operation or an earlier one.
    fn visit(&mut self, id: TxnId, place: u32, by: (u32, bool), before: u32) {
        let seen = &mut self.seen[id as usize];
        if seen.0 == self.epoch && seen.1 <= place {
            return;
        }
        *seen = (self.epoch, place);
        self.queue.push(Visit { id, place, by, before });
    }
}

/// Components of the graph in which all transactions are unfolded into their reads and one node for all that they wrote.
struct Reads {
    /// Of transactions, then of reads.
    labels: Vec<u32>,
    /// By transaction: where its reads begin.
    starts: Vec<u32>,
}

impl Ground<'_> {
    fn links(&self, first: &Arc, walker: &Walker, last: u32, closing: &Arc) -> Vec<Link> {
        let mut links = vec![self.link(closing)];
        let mut at = last;
        while at != NONE {
            let visit = walker.queue[at as usize];
            if visit.by.0 != NONE {
                let arcs = if visit.by.1 { &self.over } else { &self.flow };
                links.push(self.link(&arcs.all[visit.by.0 as usize]));
            }
            at = visit.before;
        }
        links.push(self.link(first));
        links.reverse();
        links
    }

    /// Whether a dependency comes to its transaction early enough for a read.
    fn is_early(&self, arc: &Arc, read: u32) -> bool {
        if self.mutation.is(Mutant::LaterSeen) {
            return true;
        }
        arc.place <= read && !(arc.kind == EdgeKind::Ww && self.mutation.is(Mutant::WritesUnseen))
    }

    /// The last in order of those that a transaction had seen, or written over, at a read.
    fn latest_seen(&self, into: &[Vec<u32>], slot: usize, read: u32) -> Option<u32> {
        let arcs = into[slot].iter().map(|&at| &self.flow.all[at as usize]);
        arcs.filter(|arc| self.is_early(arc, read)).map(|arc| self.rank[arc.from as usize]).max()
    }

    /// The shortest G-monotonic.
    pub fn monotonic(&self, meter: &mut Meter) -> Result<Option<Told>, Spent> {
        let rank = |id: TxnId| self.rank[id as usize];
        meter.step(self.over.all.len() as u64)?;
        let mut back: Vec<Arc> = self.over.all.iter().copied().filter(|arc| rank(arc.to) < rank(arc.from)).collect();
        if back.is_empty() {
            return Ok(None);
        }
        // By whom each of the readers was preceded.
        let mut slots = vec![NONE; self.count()];
        let mut readers = 0;
        for arc in &back {
            if slots[arc.from as usize] == NONE {
                slots[arc.from as usize] = readers;
                readers += 1;
            }
        }
        let mut into: Vec<Vec<u32>> = vec![Vec::new(); readers as usize];
        for (at, arc) in self.flow.all.iter().enumerate() {
            if let Some(into) = into.get_mut(slots[arc.to as usize] as usize) {
                into.push(at as u32);
            }
        }
        back.retain(|arc| {
            let latest = self.latest_seen(&into, slots[arc.from as usize] as usize, arc.place);
            latest.is_some_and(|latest| latest >= rank(arc.to))
        });
        let mut walker = Walker::new(self.count());
        let mut best: Option<Vec<Link>> = None;
        for limit in LIMITS {
            for arc in &back {
                let limit = limit.min(best.as_ref().map_or(u32::MAX, |best| best.len() as u32));
                if let Some(links) = self.way_back(arc, &mut walker, limit, meter)? {
                    best = Some(links);
                    if self.mutation.is(Mutant::FirstIsShortest) {
                        break;
                    }
                }
            }
            if best.is_some() {
                break;
            }
        }
        Ok(best.map(|links| Told { links, shortest: true }))
    }

    /// The shortest way by dependencies from the end of an anti-dependency to its beginning, at its read or before, if the
    /// cycle has fewer than `limit` steps.
    fn way_back(
        &self,
        over: &Arc,
        walker: &mut Walker,
        limit: u32,
        meter: &mut Meter,
    ) -> Result<Option<Vec<Link>>, Spent> {
        let end = self.rank[over.from as usize];
        walker.begin(over.to);
        let (mut head, mut length) = (0, 2);
        while head < walker.queue.len() && length < limit {
            if length > 2 && self.mutation.is(Mutant::OneStep) {
                break;
            }
            let level_end = walker.queue.len();
            for at in head..level_end {
                let id = walker.queue[at].id;
                let range = self.flow.of(id);
                meter.step(1 + range.len() as u64)?;
                for place in range {
                    let arc = self.flow.all[place];
                    if arc.to == over.from && self.is_early(&arc, over.place) {
                        return Ok(Some(self.links(over, walker, at as u32, &arc)));
                    }
                    if self.rank[arc.to as usize] < end {
                        walker.visit(arc.to, 0, (place as u32, false), at as u32);
                    }
                }
            }
            head = level_end;
            length += 1;
        }
        Ok(None)
    }

    fn components(&self) -> (Reads, bool) {
        let count = self.count();
        let mut starts = vec![count as u32; count + 1];
        for id in 0..count {
            let ok = self.txns.is_ok(id as TxnId) && self.is_committed(id as TxnId);
            let reads = if ok { self.accesses.reads(id as TxnId).len() } else { 0 };
            starts[id + 1] = starts[id] + reads as u32;
        }
        let mut reads = Reads { labels: Vec::new(), starts };
        let edges = || {
            let flow = self.flow.all.iter().map(|arc| match arc.kind {
                EdgeKind::Wr => (arc.from, reads.node(self, arc.to, arc.place)),
                _ => (arc.from, arc.to),
            });
            let over = self.over.all.iter().map(|arc| (reads.node(self, arc.from, arc.place), arc.to));
            let inside = (0..count as u32).flat_map(|id| {
                let nodes = reads.starts[id as usize]..reads.starts[id as usize + 1];
                let last = nodes.end;
                nodes.map(move |node| (node, if node + 1 == last { id } else { node + 1 }))
            });
            flow.chain(over).chain(inside)
        };
        let nodes = reads.starts[count] as usize;
        let graph = Csr::new(nodes, edges);
        let mut is_cyclic = false;
        let labels = components(&graph, (0..nodes as u32).rev(), |_, members| is_cyclic |= members.len() > 1);
        reads.labels = labels;
        (reads, is_cyclic)
    }

    /// The shortest G-MSR; there is no G-monotonic.
    pub fn snapshot(&self, meter: &mut Meter) -> Result<Option<Told>, Spent> {
        if self.mutation.is(Mutant::OneAntiDependency) {
            return Ok(None);
        }
        meter.step((self.flow.all.len() + self.over.all.len()) as u64)?;
        let (reads, is_cyclic) = self.components();
        if !is_cyclic {
            return Ok(None);
        }
        let inside = |arc: &Arc| reads.of_read(self, arc.from, arc.place) == reads.labels[arc.to as usize];
        let over: Vec<Arc> = self.over.all.iter().copied().filter(inside).collect();
        let mut walker = Walker::new(self.count());
        let mut best: Option<Vec<Link>> = None;
        let mut is_spent = false;
        'rounds: for limit in LIMITS {
            for arc in &over {
                let limit = limit.min(best.as_ref().map_or(u32::MAX, |best| best.len() as u32));
                match self.round_trip(arc, &reads, &mut walker, limit, meter) {
                    Ok(Some(links)) => best = Some(links),
                    Ok(None) => {}
                    Err(Spent) => {
                        is_spent = true;
                        break 'rounds;
                    }
                }
                if best.is_some() && self.mutation.is(Mutant::FirstIsShortest) {
                    break;
                }
            }
            if best.is_some() {
                break;
            }
        }
        if best.is_none() && is_spent {
            // There is one: the first that is met, however long it is.
            let mut free = Meter::endless();
            for arc in over.iter().take(64) {
                let found = self.round_trip(arc, &reads, &mut walker, u32::MAX, &mut free)?;
                best = found.filter(|links| is_simple(links));
                if best.is_some() {
                    break;
                }
            }
        }
        // The shortest of all visits nobody twice; the shortest by one of its steps may.
        let best = best.filter(|links| !is_spent || is_simple(links));
        match best {
            Some(links) => Ok(Some(Told { links, shortest: !is_spent })),
            None if is_spent => Err(Spent),
            None => Ok(None),
        }
    }

    /// The shortest way from the end of an anti-dependency to a read of its beginning that is not behind it. A transaction that
    /// was come to by a read is left by any dependency, or by an anti-dependency of that read or a later one.
    fn round_trip(
        &self,
        start: &Arc,
        reads: &Reads,
        walker: &mut Walker,
        limit: u32,
        meter: &mut Meter,
    ) -> Result<Option<Vec<Link>>, Spent> {
        let label = reads.labels[start.to as usize];
        walker.begin(start.to);
        let (mut head, mut length) = (0, 2);
        while head < walker.queue.len() && length < limit {
            let level_end = walker.queue.len();
            for at in head..level_end {
                let Visit { id, place: came, .. } = walker.queue[at];
                meter.step(1 + (self.flow.of(id).len() + self.over.of(id).len()) as u64)?;
                for place in self.flow.of(id) {
                    let arc = self.flow.all[place];
                    let is_read = arc.kind == EdgeKind::Wr;
                    if is_read && arc.to == start.from && arc.place <= start.place {
                        return Ok(Some(self.links(start, walker, at as u32, &arc)));
                    }
                    let entered =
                        if is_read { reads.of_read(self, arc.to, arc.place) } else { reads.labels[arc.to as usize] };
                    if reads.labels[id as usize] == label && entered == label {
                        walker.visit(arc.to, if is_read { arc.place } else { NONE }, (place as u32, false), at as u32);
                    }
                }
                for place in self.over.of(id) {
                    let arc = self.over.all[place];
                    let may_leave = arc.place >= came || self.mutation.is(Mutant::LeavesEarlier);
                    if may_leave && came != NONE && reads.labels[arc.to as usize] == label {
                        walker.visit(arc.to, NONE, (place as u32, true), at as u32);
                    }
                }
            }
            head = level_end;
            length += 1;
        }
        Ok(None)
    }
}

impl Reads {
    /// The node of a read.
    fn node(&self, ground: &Ground<'_>, id: TxnId, micro: u32) -> u32 {
        let place = ground.accesses.reads(id).partition_point(|read| read.micro < micro);
        self.starts[id as usize] + place as u32
    }

    /// The label of a read.
    fn of_read(&self, ground: &Ground<'_>, id: TxnId, micro: u32) -> u32 {
        self.labels[self.node(ground, id, micro) as usize]
    }
}

/// Whether nobody is there twice.
fn is_simple(links: &[Link]) -> bool {
    let mut from: Vec<TxnId> = links.iter().map(|link| link.edge.from).collect();
    from.sort_unstable();
    from.windows(2).all(|pair| pair[0] != pair[1])
}
