//! The shortest cycle of each class in one component.
//!
//! A class is looked for only where no class that implies it was found. That makes each search simple: what it finds can be
//! of no other class, and whether there is anything to find is a question about components of a subgraph, in linear time.
//!
//! The order of time (of a process, of real time) has no edges here: a walk ends where something had ended before its start
//! began, so cycles that have it are looked for from what comes after it. Of real time once is enough where writes and reads
//! alone have no cycle: of two such pairs `a < b` and `c < d` also `a < d` or `c < b` holds, so a cycle with two falls into
//! a shorter one with fewer.

use std::rc::Rc;

use super::class::{BASES, Class, DATA, FLOW, RW, RW_ITEM, Rws, WW, classify};
use super::component::{Component, Labels, Local, View};
use super::mutant::Mutant;
use super::simple;
use super::walk::{Ends, Query, Walker};
use crate::linear::mutant::Mutation;
use crate::txn::edge::EdgeKind;
use crate::txn::meter::Meter;

/// Which edges the classes live among, and whether anti-dependencies are kept apart. By place in [`BASES`]: [`VIEW_OF`].
const VIEWS: [(u8, bool); 6] =
    [(WW, false), (FLOW, false), (FLOW | RW_ITEM, true), (DATA, true), (FLOW | RW_ITEM, false), (DATA, false)];
const VIEW_OF: [usize; 8] = [0, 1, 2, 3, 2, 3, 4, 5];
const VIEW_FLOW: usize = 1;

/// First all short cycles are looked for, then longer ones: so no search goes much farther than the shortest cycle.
const LIMITS: [u32; 7] = [3, 4, 5, 7, 9, 17, u32::MAX];

/// A cycle, its class, and whether there is no shorter one.
#[derive(Debug)]
pub(super) struct Found {
    pub class: Class,
    pub cycle: Vec<Local>,
    pub shortest: bool,
}

/// What a component has.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub found: Vec<Found>,
    /// Whether the budget ended before a class was found, or known not to be there.
    pub spent: bool,
}

/// Looks for all classes. Never leaves a component without a cycle, even if the budget is spent.
pub(super) fn search(component: &Component, meter: &mut Meter, mutation: Mutation<Mutant>) -> Search {
    let mut searcher = Searcher {
        component,
        labels: Default::default(),
        walker: Walker::new(component),
        mutation,
        search: Search::default(),
    };
    for level in 0..3 {
        for base in 0..BASES.len() {
            searcher.look_for(Class { base, level }, meter);
        }
    }
    if searcher.search.found.is_empty() {
        searcher.any_cycle();
    }
    searcher.search
}

struct Searcher<'c> {
    component: &'c Component,
    /// By view and level.
    labels: [[Option<Rc<Labels>>; 3]; VIEWS.len()],
    walker: Walker,
    mutation: Mutation<Mutant>,
    search: Search,
}

/// Of a class: where walks begin and end, and what they are made of.
struct Plan<'c> {
    query: Query<'c>,
    ends: Vec<Ends>,
}

impl<'c> Searcher<'c> {
    fn look_for(&mut self, class: Class, meter: &mut Meter) {
        let is_implied = self.search.found.iter().any(|found| found.class.implies(class));
        let is_same = self.search.found.iter().any(|found| found.class == class);
        if is_same || is_implied && !self.mutation.is(Mutant::ImpliedToo) || !self.is_possible(class) {
            return;
        }
        let labels = self.labels(VIEW_OF[class.base], class.level);
        let flow = match BASES[class.base].rws {
            Rws::None => Rc::clone(&labels),
            _ => self.labels(VIEW_FLOW, class.level),
        };
        let plan = self.plan(class, &labels, &flow);
        // Half of what is left, so that something is left for the other classes.
        let (found, is_sure) = meter.with_half_of_steps(|meter| self.shortest(class, &plan, flow.is_cyclic, meter));
        match found.and_then(|cycle| Some((classify(&self.component.to_edges(&cycle))?, cycle))) {
            // Where a search gave up, a later one may come upon what it looked for.
            Some((class, cycle)) => {
                if !self.search.found.iter().any(|found| found.class.implies(class))
                    || self.mutation.is(Mutant::ImpliedToo)
                {
                    self.search.found.push(Found { class, cycle, shortest: is_sure });
                }
            }
            None => self.search.spent |= !is_sure,
        }
    }

    /// Whether the component has the edges, and its subgraph a cycle. Of more edges first: what has none there, has none at
    /// any level.
    fn is_possible(&mut self, class: Class) -> bool {
        let base = &BASES[class.base];
        let mutants = [None, Some(Mutant::NoProcess), Some(Mutant::NoRealtime)];
        let is_muted = mutants[class.level].is_some_and(|mutant| self.mutation.is(mutant));
        let has_edges =
            self.component.mask & base.mask != 0 && (base.must == 0 || self.component.mask & base.must != 0);
        if is_muted || !has_edges || class.level > 0 && self.component.time(class.level).is_none() {
            return false;
        }
        let top = (0..3).rev().find(|&level| self.component.time(level).is_some()).unwrap_or(0);
        let view = VIEW_OF[class.base];
        self.labels(view, top.max(class.level)).is_cyclic && self.labels(view, class.level).is_cyclic
    }

    fn labels(&mut self, view: usize, level: usize) -> Rc<Labels> {
        let (component, (mask, apart)) = (self.component, VIEWS[view]);
        let make = || Rc::new(View { component, mask, apart, time: component.time(level) }.labels());
        Rc::clone(self.labels[view][level].get_or_insert_with(make))
    }

    fn plan<'l>(&self, class: Class, labels: &'l Labels, flow: &'l Labels) -> Plan<'l>
    where
        'c: 'l,
    {
        let (component, level) = (self.component, class.level);
        let base = &BASES[class.base];
        let is_closed_by_time = level > 0
            && match base.rws {
                Rws::None | Rws::Apart => true,
                Rws::One => false,
                Rws::Any => !flow.is_cyclic,
            };
        let is_time_inside = match (base.rws, level) {
            (_, 1) => !self.mutation.is(Mutant::ProcessOnce),
            (Rws::None, _) => false,
            (Rws::One, _) => !self.mutation.is(Mutant::RealtimeOnce),
            _ => flow.is_cyclic && !self.mutation.is(Mutant::RealtimeOnce),
        };
        let is_edge = base.rws != Rws::None && !is_closed_by_time;
        let ends = match (base.rws, level) {
            _ if is_edge => self.ends_of_edges(base.must, labels, (base.rws == Rws::One).then_some(flow)),
            (Rws::None, 0) => self.ends_of_back_edges(base.mask, labels),
            _ => (0..component.count() as u32).map(|vertex| Ends { from: vertex, to: vertex, closing: None }).collect(),
        };
        let query = Query {
            component,
            mask: if base.rws == Rws::One { base.mask & !RW } else { base.mask },
            must: if is_edge { 0 } else { base.must },
            rws: base.rws,
            time: component.time(level),
            time_kind: if level == 1 { EdgeKind::Process } else { EdgeKind::Realtime },
            time_inside: is_time_inside,
            labels,
            between: (base.rws == Rws::One).then_some(flow),
            mutation: self.mutation,
        };
        Plan { query, ends }
    }

    /// For each anti-dependency within a component of the subgraph: the walk from its end to its beginning. `flow` is given
    /// where that walk has only writes and reads.
    fn ends_of_edges(&self, must: u8, labels: &Labels, flow: Option<&Labels>) -> Vec<Ends> {
        let is_one = |kind: EdgeKind| super::class::bit(kind) & must != 0;
        let edges = self.component.edges().filter(|&(from, to, kind)| {
            is_one(kind)
                && labels.of(from, false) == labels.of(to, true)
                && flow.is_none_or(|flow| {
                    self.mutation.is(Mutant::TopologyReversed) || flow.of(to, false) <= flow.of(from, false)
                })
        });
        edges.map(|(from, to, kind)| Ends { from: to, to: from, closing: Some(kind) }).collect()
    }

    /// Every cycle has an edge that goes back in whatever order the vertices have.
    fn ends_of_back_edges(&self, mask: u8, labels: &Labels) -> Vec<Ends> {
        let is_back = |&(from, to, kind): &Local| {
            to < from && super::class::bit(kind) & mask != 0 && labels.of(from, false) == labels.of(to, false)
        };
        let mut heads: Vec<u32> = self.component.edges().filter(is_back).map(|(_, to, _)| to).collect();
        heads.sort_unstable();
        heads.dedup();
        heads.into_iter().map(|vertex| Ends { from: vertex, to: vertex, closing: None }).collect()
    }

    /// The shortest cycle, and whether that it is the shortest (or that there is none) is certain.
    fn shortest(
        &mut self,
        class: Class,
        plan: &Plan<'_>,
        is_flow_cyclic: bool,
        meter: &mut Meter,
    ) -> (Option<Vec<Local>>, bool) {
        let mut best: Option<Vec<Local>> = None;
        let mut walk_min = u32::MAX;
        let mut is_spent = false;
        let may_die = BASES[class.base].rws == Rws::None && class.level == 0;
        'rounds: for limit in LIMITS {
            for &ends in &plan.ends {
                let best_length = best.as_ref().map_or(u32::MAX, |best| best.len() as u32);
                match self.walker.shortest(&plan.query, ends, limit.min(best_length), meter) {
                    Ok(Some(walk)) if is_simple(&walk) || self.mutation.is(Mutant::WalksAreCycles) => best = Some(walk),
                    Ok(Some(walk)) => walk_min = walk_min.min(walk.len() as u32),
                    Ok(None) => {}
                    Err(_) => {
                        is_spent = true;
                        break 'rounds;
                    }
                }
                if best.is_some() && self.mutation.is(Mutant::FirstIsShortest) {
                    break 'rounds;
                }
                // Nothing shorter than the best goes through it, now or later.
                let is_last = limit == u32::MAX || self.mutation.is(Mutant::DeadTooEarly);
                self.walker.dead[ends.from as usize] |= may_die && is_last;
            }
            if best.is_some() {
                break;
            }
        }
        self.walker.dead.fill(false);
        let best_length = best.as_ref().map_or(u32::MAX, |best| best.len() as u32);
        if is_spent || walk_min >= best_length || !is_flow_cyclic || self.mutation.is(Mutant::NoSecondTry) {
            return (best, !is_spent);
        }
        match simple::shortest(&plan.query, &plan.ends, walk_min, best_length, meter) {
            Ok(tried) if tried.found.is_some() => (tried.found, tried.is_sure),
            // That a search gave up here is no reason to doubt a verdict: see there.
            Ok(tried) => {
                let is_sure = tried.is_sure || best.is_none();
                (best, is_sure)
            }
            Err(_) => (best, false),
        }
    }

    /// Some cycle: the shortest one through the first edge that has one. A component has an edge, and a way back for each.
    fn any_cycle(&mut self) {
        let labels = Labels::whole(self.component);
        let level = if self.component.realtime.is_some() { 2 } else { 1 };
        let query = Query {
            component: self.component,
            mask: DATA,
            must: 0,
            rws: Rws::Any,
            time: self.component.time(level),
            time_kind: if level == 1 { EdgeKind::Process } else { EdgeKind::Realtime },
            time_inside: true,
            labels: &labels,
            between: None,
            mutation: self.mutation,
        };
        let mut meter = Meter::endless();
        let Some((from, to, kind)) = self.component.edges().next() else { return };
        let ends = Ends { from: to, to: from, closing: Some(kind) };
        if let Ok(Some(cycle)) = self.walker.shortest(&query, ends, u32::MAX, &mut meter)
            && let Some(class) = classify(&self.component.to_edges(&cycle))
        {
            self.search.found.push(Found { class, cycle, shortest: false });
        }
    }
}

/// Whether it visits each vertex once.
fn is_simple(cycle: &[Local]) -> bool {
    let mut vertices: Vec<u32> = cycle.iter().map(|&(from, _, _)| from).collect();
    vertices.sort_unstable();
    vertices.windows(2).all(|pair| pair[0] != pair[1])
}
