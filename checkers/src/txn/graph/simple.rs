//! Cycles where the shortest walks are none, depth first.
//!
//! A closed walk without two anti-dependencies in a row that visits a transaction twice can be cut there, and one of its two
//! parts has none in a row either. If that part has no anti-dependency at all, there is a cycle of writes and reads alone (G0
//! or G1c), and the rest need not be a cycle of the class. Only then this search is needed; every model that forbids the class
//! forbids those cycles too, so what it gives up on changes no verdict about a model.

use super::component::Local;
use super::components::NONE;
use super::walk::{Ends, Query};
use crate::txn::edge::EdgeKind;
use crate::txn::meter::{Meter, Spent};

/// Steps for one class of one component. Depth first may cost exponentially many.
const STEPS_MAX: u64 = 300_000;

/// What came of it.
#[derive(Debug)]
pub(super) struct Tried {
    /// The shortest cycle.
    pub found: Option<Vec<Local>>,
    /// Whether that is certain, and that there is none where none was found.
    pub is_sure: bool,
}

/// The shortest cycle between any of these ends that has at least `low` and fewer than `limit` edges.
///
/// # Errors
/// When the budget is spent.
pub(super) fn shortest(
    query: &Query<'_>,
    ends: &[Ends],
    low: u32,
    limit: u32,
    meter: &mut Meter,
) -> Result<Tried, Spent> {
    let mut trial = Trial { query, is_on: vec![false; query.component.count()], steps: 0 };
    for length in low..limit.min(query.component.count() as u32 + 1) {
        for &ends in ends {
            let found = trial.of_length(ends, length);
            meter.step(trial.steps)?;
            if found.is_some() || trial.steps > STEPS_MAX {
                return Ok(Tried { is_sure: found.is_some(), found });
            }
        }
        meter.step(ends.len() as u64)?;
    }
    Ok(Tried { found: None, is_sure: true })
}

struct Trial<'q> {
    query: &'q Query<'q>,
    is_on: Vec<bool>,
    steps: u64,
}

/// A vertex of the path, and where the path may go from there.
struct Place {
    vertex: u32,
    state: u32,
    by: Option<EdgeKind>,
    next: Vec<(u32, u32, EdgeKind)>,
}

impl Trial<'_> {
    fn of_length(&mut self, ends: Ends, length: u32) -> Option<Vec<Local>> {
        let mut path = vec![self.place(ends, ends.from, ends.state(), None)];
        let mut found = None;
        while let Some(last) = path.last_mut() {
            let (vertex, state, by) = (last.vertex, last.state, last.by);
            let edges_count = path.len() as u32 + ends.closing_count();
            if edges_count == length
                && let Some(kind) = self.closing(ends, vertex, state, by)
            {
                found = Some(kind);
                break;
            }
            let next = if edges_count < length { path.last_mut().and_then(|last| last.next.pop()) } else { None };
            match next {
                Some((next, state, kind)) if self.steps <= STEPS_MAX => {
                    path.push(self.place(ends, next, state, Some(kind)));
                }
                _ => {
                    self.is_on[vertex as usize] = false;
                    path.pop();
                }
            }
        }
        for place in &path {
            self.is_on[place.vertex as usize] = false;
        }
        let found = found?;
        let mut cycle: Vec<Local> =
            path.windows(2).filter_map(|pair| Some((pair[0].vertex, pair[1].vertex, pair[1].by?))).collect();
        cycle.extend(path.last().map(|last| (last.vertex, ends.to, found)));
        cycle.extend(ends.closing.map(|closing| (ends.to, ends.from, closing)));
        Some(cycle)
    }

    /// By which kind of edge a path may end here.
    fn closing(&self, ends: Ends, vertex: u32, state: u32, by: Option<EdgeKind>) -> Option<EdgeKind> {
        let query = self.query;
        if by != Some(query.time_kind) && query.ends_by_time(ends, vertex, state) {
            return Some(query.time_kind);
        }
        let out = query.component.out(vertex).filter(|&(next, _)| next == ends.to);
        out.map(|(_, kind)| kind)
            .find(|&kind| query.follow(state, kind).is_some_and(|state| query.closes(ends, state, kind)))
    }

    fn place(&mut self, ends: Ends, vertex: u32, state: u32, by: Option<EdgeKind>) -> Place {
        self.is_on[vertex as usize] = true;
        let query = self.query;
        let data =
            query.component.out(vertex).filter_map(|(next, kind)| Some((next, query.follow(state, kind)?, kind)));
        let mut next: Vec<(u32, u32, EdgeKind)> = data.collect();
        self.steps += 1 + next.len() as u64;
        if let Some(time) = query.time.filter(|_| query.may_use_time(ends, by)) {
            let mut place = Some(time.after[vertex as usize]).filter(|&place| place != NONE);
            while let Some(this) = place {
                next.push((time.list[this as usize], state & super::walk::HAS, query.time_kind));
                self.steps += 1;
                place = time.next_place(this);
            }
        }
        next.retain(|&(vertex, state, _)| {
            let is_free = !self.is_on[vertex as usize] && vertex != ends.to;
            is_free && query.is_inside(ends, vertex, state)
        });
        Place { vertex, state, by, next }
    }
}
