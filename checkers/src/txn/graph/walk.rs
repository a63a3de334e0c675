//! Shortest closed walks through a given vertex or edge, breadth first over vertices and what the walk did so far.

use super::class::{Rws, bit};
use super::component::{Component, Labels, Local};
use super::components::NONE;
use super::mutant::Mutant;
use super::order::TimeOrder;
use crate::linear::mutant::Mutation;
use crate::txn::edge::EdgeKind;
use crate::txn::meter::{Meter, Spent};

/// The walk came here by an anti-dependency.
pub(super) const BY_RW: u32 = 1;
/// The walk has an edge that it must have.
pub(super) const HAS: u32 = 2;
/// So many combinations of these are there.
const STATES: u32 = 4;

/// What walks are looked for.
#[derive(Debug)]
pub(super) struct Query<'c> {
    /// The component.
    pub component: &'c Component,
    /// Edges of data that the walk may have, beside the one that closes it.
    pub mask: u8,
    /// The walk from end to start must have one of these; 0 where that follows by itself.
    pub must: u8,
    /// How anti-dependencies may follow each other.
    pub rws: Rws,
    /// The order of time that the walk may use.
    pub time: Option<&'c TimeOrder>,
    /// The kind of edge that this is.
    pub time_kind: EdgeKind,
    /// Whether it may be used otherwise than to come to the end.
    pub time_inside: bool,
    /// The walk stays in one component of these.
    pub labels: &'c Labels,
    /// If given, labels between which all vertices lie, since the walk between its ends has only such edges.
    pub between: Option<&'c Labels>,
    /// The defect that is wanted.
    pub mutation: Mutation<Mutant>,
}

/// From where to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    pub from: u32,
    /// The same, for a walk that is closed by itself.
    pub to: u32,
    /// The kind of edge from `to` to `from` that closes it otherwise.
    pub closing: Option<EdgeKind>,
}

impl Ends {
    /// What the walk did before it begins.
    pub fn state(&self) -> u32 {
        if self.closing.is_some_and(EdgeKind::is_rw) { BY_RW } else { 0 }
    }

    /// How many edges there are beside the walk's.
    pub fn closing_count(&self) -> u32 {
        u32::from(self.closing.is_some())
    }
}

impl Query<'_> {
    /// The state after an edge of data, if the walk may take it from there.
    pub fn follow(&self, state: u32, kind: EdgeKind) -> Option<u32> {
        let (kind, is_rw) = (bit(kind), kind.is_rw());
        let is_adjacent = is_rw && state & BY_RW != 0 && self.rws == Rws::Apart;
        if kind & self.mask == 0 || is_adjacent && !self.mutation.is(Mutant::AdjacentInside) {
            return None;
        }
        let by_rw = if is_rw && self.rws == Rws::Apart { BY_RW } else { 0 };
        Some(by_rw | state & HAS | if kind & self.must != 0 { HAS } else { 0 })
    }

    /// Whether a walk in that state, with an edge of this kind as its last one, may end where it should.
    pub fn closes(&self, ends: Ends, state: u32, last: EdgeKind) -> bool {
        // A walk that is to be closed by the order of time is not closed without it.
        let is_by_time = self.time.is_some() && ends.closing.is_none();
        let is_adjacent = self.rws == Rws::Apart && last.is_rw() && ends.closing.is_some();
        let has = self.must == 0 || state & HAS != 0 || self.mutation.is(Mutant::MustForgotten);
        has && (!is_adjacent || self.mutation.is(Mutant::AdjacentAtEnd)) && (!is_by_time || last == self.time_kind)
    }

    /// Whether a walk that came to a vertex in a state may end by the order of time.
    pub fn ends_by_time(&self, ends: Ends, vertex: u32, state: u32) -> bool {
        self.time.is_some_and(|time| self.component.is_before(time, vertex, ends.to))
            && self.closes(ends, state, self.time_kind)
    }

    /// Whether the walk may go on from somewhere by the order of time. It is transitive, so never twice in a row.
    pub fn may_use_time(&self, ends: Ends, last: Option<EdgeKind>) -> bool {
        let is_closed_by_time = ends.closing.is_none();
        self.time_inside && last != Some(self.time_kind) && !(last.is_none() && is_closed_by_time)
    }

    /// Whether the walk may go to a vertex.
    pub fn is_inside(&self, ends: Ends, vertex: u32, state: u32) -> bool {
        let by_rw = |state| state & BY_RW != 0;
        let label = self.labels.of(ends.from, by_rw(ends.state()));
        self.labels.of(vertex, by_rw(state)) == label
            && self.between.is_none_or(|labels| {
                let label = |vertex| labels.of(vertex, false);
                let is = (label(ends.from)..=label(ends.to)).contains(&label(vertex));
                is != self.mutation.is(Mutant::TopologyReversed)
            })
    }

    /// Whether no later vertex of the list of the order of time can be of use, as it comes after the end.
    fn is_beyond(&self, time: &TimeOrder, ends: Ends, vertex: u32) -> bool {
        // Without cycles among such edges nothing comes after the end and before it too; and labels grow along a session.
        self.between.filter(|labels| !labels.is_cyclic).is_some_and(|labels| {
            self.component.is_before(time, ends.to, vertex)
                || self.time_kind == EdgeKind::Process && labels.of(vertex, false) > labels.of(ends.to, false)
        })
    }
}

/// The memory of searches, used again and again.
#[derive(Debug)]
pub(super) struct Walker {
    epoch: u32,
    /// By vertex and state: the search that saw it last.
    seen: Vec<u32>,
    /// By vertex and state: where it was reached from, and how.
    before: Vec<u32>,
    by: Vec<EdgeKind>,
    queue: Vec<u32>,
    /// By group and state: the search, and from which place on its list was walked.
    walked: Vec<(u32, u32)>,
    /// Vertices through which nothing shorter goes.
    pub dead: Vec<bool>,
}

impl Walker {
    /// For searches in this component. `bytes` of it are counted by the caller.
    pub fn new(component: &Component) -> Walker {
        let states = component.count() * STATES as usize;
        let groups = |level| component.time(level).map_or(0, |time| time.groups_count) as usize;
        Walker {
            epoch: 0,
            seen: vec![0; states],
            before: vec![NONE; states],
            by: vec![EdgeKind::Ww; states],
            queue: Vec::new(),
            walked: vec![(0, 0); groups(1).max(groups(2)) * STATES as usize],
            dead: vec![false; component.count()],
        }
    }

    /// How many bytes one takes for so many vertices.
    pub fn bytes(count: usize) -> u64 {
        count as u64 * (u64::from(STATES) * (4 + 4 + 1 + 4 + 8) + 1)
    }

    /// The shortest walk between the ends that makes, with what closes it, fewer than `limit` edges; with that edge last.
    ///
    /// # Errors
    /// When the budget is spent.
    pub fn shortest(
        &mut self,
        query: &Query<'_>,
        ends: Ends,
        limit: u32,
        meter: &mut Meter,
    ) -> Result<Option<Vec<Local>>, Spent> {
        self.begin();
        let start = ends.from * STATES + ends.state();
        self.seen[start as usize] = self.epoch;
        self.queue.push(start);
        let (mut head, mut depth) = (0, 0);
        while head < self.queue.len() && depth + 1 + ends.closing_count() < limit {
            let end = self.queue.len();
            for place in head..end {
                let node = self.queue[place];
                if let Some(last) = self.expand(query, ends, node, depth, limit, meter)? {
                    return Ok(Some(self.path(ends, start, node, last)));
                }
            }
            head = end;
            depth += 1;
        }
        Ok(None)
    }

    fn begin(&mut self) {
        self.queue.clear();
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.seen.fill(0);
            self.walked.fill((0, 0));
            self.epoch = 1;
        }
    }

    /// Goes on from one vertex; answers by which kind of edge it comes to the end, if it does.
    fn expand(
        &mut self,
        query: &Query<'_>,
        ends: Ends,
        node: u32,
        depth: u32,
        limit: u32,
        meter: &mut Meter,
    ) -> Result<Option<EdgeKind>, Spent> {
        let (vertex, state) = (node / STATES, node % STATES);
        if query.ends_by_time(ends, vertex, state) {
            return Ok(Some(query.time_kind));
        }
        let out = query.component.out(vertex);
        meter.step(1 + out.len() as u64)?;
        for (next, kind) in out {
            let Some(after) = query.follow(state, kind) else { continue };
            if next == ends.to {
                if query.closes(ends, after, kind) {
                    return Ok(Some(kind));
                }
                continue;
            }
            self.visit(query, ends, next, after, (node, kind));
        }
        self.expand_time(query, ends, node, depth, limit, meter)?;
        Ok(None)
    }

    /// Goes on to what came later. Something of data must follow, and the end; so it is no use where fewer edges are left.
    fn expand_time(
        &mut self,
        query: &Query<'_>,
        ends: Ends,
        node: u32,
        depth: u32,
        limit: u32,
        meter: &mut Meter,
    ) -> Result<(), Spent> {
        let (vertex, state) = (node / STATES, node % STATES);
        let last = (depth > 0).then(|| self.by[node as usize]);
        let is_of_use = depth.saturating_add(3) < limit && query.may_use_time(ends, last);
        let Some(time) = query.time.filter(|_| is_of_use) else { return Ok(()) };
        let start = time.after[vertex as usize];
        if start == NONE {
            return Ok(());
        }
        let after = state & HAS;
        let group = time.group[vertex as usize];
        let walked = (group * STATES + after) as usize;
        let until = match self.walked[walked] {
            (epoch, place) if epoch == self.epoch => place,
            _ => NONE,
        };
        let mut place = start;
        while place < until {
            let next = time.list[place as usize];
            meter.step(1)?;
            if query.is_beyond(time, ends, next) {
                break;
            }
            if next != ends.to {
                self.visit(query, ends, next, after, (node, query.time_kind));
            }
            match time.next_place(place) {
                Some(next) => place = next,
                None => break,
            }
        }
        if start < until {
            self.walked[walked] = (self.epoch, start);
        }
        Ok(())
    }

    fn visit(&mut self, query: &Query<'_>, ends: Ends, vertex: u32, state: u32, from: (u32, EdgeKind)) {
        let node = (vertex * STATES + state) as usize;
        let is_new = self.seen[node] != self.epoch && !self.dead[vertex as usize] && vertex != ends.from;
        if !is_new || !query.is_inside(ends, vertex, state) {
            return;
        }
        self.seen[node] = self.epoch;
        (self.before[node], self.by[node]) = from;
        self.queue.push(node as u32);
    }

    fn path(&self, ends: Ends, start: u32, last: u32, kind: EdgeKind) -> Vec<Local> {
        let mut path = Vec::new();
        path.extend(ends.closing.map(|closing| (ends.to, ends.from, closing)));
        path.push((last / STATES, ends.to, kind));
        let mut node = last;
        while node != start {
            let before = self.before[node as usize];
            path.push((before / STATES, node / STATES, self.by[node as usize]));
            node = before;
        }
        path.reverse();
        path
    }
}
