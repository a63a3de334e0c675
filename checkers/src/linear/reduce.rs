//! From a key's history that has no order to the smallest set of operations that shows it.
//!
//! Leaving out a write could *make* a contradiction: a read of its value would then have nothing to read from. So only
//! *closed* sets are looked at. An operation's **sources** are those operations of the whole history that may have left
//! the state it observed, as far as real time tells:
//!
//! - for one that needs state `v` (a read of `v`, a compare-and-set from `v`): every operation that leaves `v` and was
//!   invoked before the observer ended, unless it had ended before another one, which left `v` too, was invoked, and that
//!   other one had ended before the observer was invoked;
//! - for one that refuses `v` ("no match"): every operation that leaves another state, was invoked before the observer
//!   ended, and had not ended before something began that ended before the observer was invoked.
//!
//! A set is closed if it holds all sources of each of its operations. If the whole history had an order, the same order
//! restricted to a closed set would be legal: what an observer saw was left by the last change before it, that change
//! is among its sources (or, for a refusal, the state is another one or the refused state never stood before it), and
//! dropping others does not put anything between them. So a closed set without an order proves
//! that the whole has none. And a closed subset of a closed set with an order has one.
//!
//! **Leaving out** an operation therefore means the largest closed subset without it: the operation goes, and with it
//! whatever may have observed it, and so on. A set is *smallest* if it is closed, has no order, and leaving out any one
//! of its operations gives a set that has one. `verify` proves it again by other means.
//!
//! Where the state is not one cell, the model says which operations can be left out together ([`Model::groups`]); a
//! set is then closed if it holds whole groups, and what can never be left out, of the history *until its first
//! failure* (what was open then is in doubt, and a history with an order has one until any event).

use rustc_hash::FxHashMap;
use schism_history::OpIndex;

use super::model::{Cell, Model};
use super::mutant::Mutation;
use super::problem::{Event, Problem};
use super::ruling::Ruling;
use super::search::{Decision, decide};
use super::split::{OPEN, Operation};
use crate::checker::Budget;

/// Pairs of observer and source that are kept at most. Beyond, everything that had begun when the history failed is the
/// set: without an order by itself, but neither closed nor small.
const SOURCES_MAX: usize = 20_000_000;

/// The set, and where the contradiction came to light.
pub(crate) struct Reduced<A> {
    /// The operations kept, in order of invocation.
    pub operations: Vec<Operation<A>>,
    /// Where it is there, what had not ended at this event is in doubt.
    pub until: Option<OpIndex>,
    /// Whether it is proven that none can be left out.
    pub smallest: bool,
    /// Place, among those, of the operation at whose completion they first have no order.
    pub blocked: usize,
    /// The completion at which the whole first has no order.
    pub failed_at: OpIndex,
}

/// Bookkeeping of the checks that a reduction makes.
struct Judge<'a, M: Model> {
    model: &'a M,
    steps_left: u64,
    memory_bytes_max: u64,
    /// Whether some question went unanswered.
    spent: bool,
}

impl<M: Model> Judge<'_, M> {
    /// Whether operations have no order, and if so a completion near the first one at which they have none.
    /// `None` also when the budget does not suffice to know.
    fn impossible(&mut self, operations: &[Operation<M::Action>]) -> Option<OpIndex> {
        if self.steps_left == 0 {
            self.spent = true;
            return None;
        }
        match self.model.rule(operations) {
            Ruling::Good { .. } => {
                self.steps_left = self.steps_left.saturating_sub(operations.len() as u64);
                return None;
            }
            Ruling::Bad { at, .. } => {
                self.steps_left = self.steps_left.saturating_sub(operations.len() as u64);
                return Some(at);
            }
            Ruling::Unfit(_) => {}
        }
        let budget = Budget { steps_max: self.steps_left, memory_bytes_max: self.memory_bytes_max };
        let mut problem = Problem::new(self.model, operations, Mutation::default());
        let (decision, cost) = decide(&mut problem, budget, Mutation::default());
        // The making of the problem costs too, or a long history without any branching would be for nothing.
        self.steps_left = self.steps_left.saturating_sub(cost.steps + operations.len() as u64);
        match decision {
            Decision::Impossible(place) => match problem.events[place] {
                Event::Return(task) | Event::Invoke(task) => Some(problem.tasks[task as usize].end),
            },
            Decision::Linearizable => None,
            Decision::Spent(_) => {
                self.spent = true;
                None
            }
        }
    }

    /// The first completion at which operations have no order; they have none, and it is likely to be near `near`. And
    /// whether it is the first by proof: where the budget ends, it is one at which they surely have none.
    fn first_failure(&mut self, operations: &[Operation<M::Action>], near: OpIndex) -> (OpIndex, bool) {
        let mut ends: Vec<OpIndex> =
            operations.iter().map(|operation| operation.end).filter(|&end| end != OPEN).collect();
        ends.sort_unstable();
        // Those before `good` have an order, and those until `bad` have none.
        let (mut good, mut bad) = (0, ends.len().saturating_sub(1));
        let before = std::mem::replace(&mut self.spent, false);
        let (mut probe, mut stride) = (ends.partition_point(|&end| end < near).min(bad), 1);
        while good < bad && !self.spent {
            // Ever further from where it is likely to be, on the side on which it must be.
            if self.impossible(&prefix(operations, ends[probe])).is_some() {
                bad = probe;
                probe = bad.saturating_sub(stride).max(usize::midpoint(good, bad));
            } else if self.spent {
                break;
            } else {
                good = probe + 1;
                probe = (good + stride - 1).min(usize::midpoint(good, bad));
            }
            stride *= 2;
        }
        let is_first = !std::mem::replace(&mut self.spent, before);
        (ends.get(bad).copied().unwrap_or(near), is_first)
    }
}

/// What had happened until a completion: what was open then is in doubt.
fn prefix<A: Clone>(operations: &[Operation<A>], until: OpIndex) -> Vec<Operation<A>> {
    let begun = operations.iter().take_while(|operation| operation.invoke <= until);
    begun
        .map(|operation| Operation {
            end: if operation.end > until { OPEN } else { operation.end },
            ..operation.clone()
        })
        .collect()
}

/// Reduces operations that have no order (found near the completion `found`; the operations invoked at `certain` are
/// known to exclude each other) to a smallest set. Costs about
/// `2 · kept · log(operations)` searches. The search for the first failure and the making smaller may each take the
/// budget's steps, and a quarter of them at most goes to find who is blocked.
pub(crate) fn reduce<M: Model>(
    model: &M,
    operations: &[Operation<M::Action>],
    found: OpIndex,
    certain: &[OpIndex],
    budget: Budget,
) -> Reduced<M::Action> {
    let judge =
        || Judge { model, steps_left: budget.steps_max, memory_bytes_max: budget.memory_bytes_max, spent: false };
    let (failed_at, is_first) = judge().first_failure(operations, found);
    let mut judge = judge();
    let near = if is_first { failed_at } else { found };
    let has_cells = operations.iter().all(|operation| model.cell(&operation.action).is_some());
    let until = (!has_cells).then_some(failed_at);
    let cut = until.map(|until| prefix(operations, until));
    let operations = cut.as_deref().unwrap_or(operations);
    let sources = Sources::new(model, operations);
    let closed = sources.without_order(&mut judge, certain, near, failed_at);
    let kept = match closed {
        Some(kept) => {
            let observers = sources.observers(&kept, operations.len());
            let never = |place: usize| sources.is_never_left_out(place);
            shrink(&mut judge, operations, kept, &observers, never)
        }
        None => {
            judge.spent = true;
            (0..operations.len()).filter(|&place| operations[place].invoke <= failed_at).collect()
        }
    };
    // Who is blocked is worth knowing even if the set could not be made smallest.
    let smallest = !judge.spent;
    judge.steps_left = judge.steps_left.max(budget.steps_max / 4);
    let few = pick(operations, &kept);
    let near = judge.impossible(&few).unwrap_or(0);
    let (blocked_at, _) = judge.first_failure(&few, near);
    let blocked = few.iter().position(|operation| operation.end == blocked_at).unwrap_or(0);
    // A part that has no order is a bound for the whole; what a part is may depend on what came later where there are groups.
    let failed_at = if has_cells { failed_at.min(blocked_at) } else { failed_at };
    Reduced { operations: few, until, smallest, blocked, failed_at }
}

fn places(chosen: &[bool]) -> Vec<usize> {
    (0..chosen.len()).filter(|&place| chosen[place]).collect()
}

fn pick<A: Clone>(operations: &[Operation<A>], kept: &[usize]) -> Vec<Operation<A>> {
    kept.iter().map(|&place| operations[place].clone()).collect()
}

/// Leaves out ever smaller runs of operations while the rest has no order; what is never left out is not tried. One pass
/// with runs of one is enough: what could not be left out of a larger closed set cannot be left out of a smaller one.
fn shrink<M: Model>(
    judge: &mut Judge<'_, M>,
    operations: &[Operation<M::Action>],
    mut kept: Vec<usize>,
    observers: &[Vec<u32>],
    never: impl Fn(usize) -> bool,
) -> Vec<usize> {
    let mut tried: Vec<usize> = kept.iter().copied().filter(|&place| !never(place)).collect();
    let mut run = tried.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < tried.len() {
            if judge.steps_left == 0 {
                judge.spent = true;
                return kept;
            }
            let first = tried[at];
            let rest = without(&kept, &tried[at..(at + run).min(tried.len())], observers, operations.len());
            if rest.len() < kept.len() && judge.impossible(&pick(operations, &rest)).is_some() {
                kept = rest;
                tried.retain(|place| kept.binary_search(place).is_ok());
                at = tried.partition_point(|&place| place < first);
            } else {
                at += run;
            }
        }
        if run == 1 || judge.steps_left == 0 {
            judge.spent |= judge.steps_left == 0;
            return kept;
        }
        run = run.div_ceil(2);
    }
}

/// The largest closed subset without some operations.
fn without(kept: &[usize], left_out: &[usize], observers: &[Vec<u32>], count: usize) -> Vec<usize> {
    let mut gone = vec![false; count];
    let mut next: Vec<usize> = left_out.to_vec();
    while let Some(place) = next.pop() {
        if !std::mem::replace(&mut gone[place], true) {
            next.extend(observers[place].iter().map(|&observer| observer as usize));
        }
    }
    kept.iter().copied().filter(|&place| !gone[place]).collect()
}

/// Who may have left what an operation observed.
struct Sources<'a, M: Model> {
    operations: &'a [Operation<M::Action>],
    /// Without cells: for each operation the next one of its group, the last one's being the first.
    ring: Vec<usize>,
    /// One that is never left out, and which these are.
    fixed: Option<usize>,
    never: Vec<bool>,
    cells: Vec<Cell<M::State>>,
    /// Places of the operations that leave a state, in order of invocation.
    leaving: FxHashMap<M::State, Vec<usize>>,
    /// Places of all operations that change the state, in order of invocation, and the longest that one of them with
    /// an end took.
    changing: Vec<usize>,
    length_max: u32,
    /// The same, in doubt.
    changing_in_doubt: Vec<usize>,
}

impl<'a, M: Model> Sources<'a, M> {
    fn new(model: &M, operations: &'a [Operation<M::Action>]) -> Sources<'a, M> {
        let cells: Option<Vec<Cell<M::State>>> =
            operations.iter().map(|operation| model.cell(&operation.action)).collect();
        let (cells, groups) = match cells {
            Some(cells) => (cells, Vec::new()),
            None => (Vec::new(), model.groups(operations)),
        };
        let ring = ring(&groups);
        let fixed = groups.iter().position(|&group| group == 0);
        let never = groups.iter().map(|&group| group == 0).collect();
        let mut leaving: FxHashMap<M::State, Vec<usize>> = FxHashMap::default();
        let (mut changing, mut changing_in_doubt, mut length_max) = (Vec::new(), Vec::new(), 0);
        for (place, (cell, operation)) in cells.iter().zip(operations).enumerate() {
            let Some(state) = &cell.leaves else { continue };
            leaving.entry(state.clone()).or_default().push(place);
            if operation.in_doubt() {
                changing_in_doubt.push(place);
            } else {
                changing.push(place);
                length_max = length_max.max(operation.end - operation.invoke);
            }
        }
        Sources { operations, ring, fixed, never, cells, leaving, changing, length_max, changing_in_doubt }
    }

    /// Whether it can go only with everything else.
    fn is_never_left_out(&self, place: usize) -> bool {
        self.never.get(place).copied().unwrap_or(false)
    }

    /// The sources of an operation.
    fn of(&self, place: usize) -> Vec<usize> {
        if let Some(&next) = self.ring.get(place) {
            return self.fixed.into_iter().chain([next]).collect();
        }
        let (cell, observer) = (&self.cells[place], &self.operations[place]);
        match (&cell.needs, &cell.refuses) {
            (Some(state), _) => {
                let all = self.leaving.get(state).map_or(&[][..], Vec::as_slice);
                self.candidates(observer, all, 0).filter(|&source| source != place).collect()
            }
            (None, Some(state)) => {
                let early = self.last_overwrite(observer, &self.changing).saturating_sub(self.length_max);
                let from = self.changing.partition_point(|&source| self.operations[source].invoke < early);
                let ended = self.candidates(observer, &self.changing, from);
                let doubtful = self.changing_in_doubt.iter().copied();
                let doubtful = doubtful.filter(|&source| self.operations[source].invoke < observer.end);
                ended.chain(doubtful).filter(|&source| self.cells[source].leaves.as_ref() != Some(state)).collect()
            }
            (None, None) => Vec::new(),
        }
    }

    /// Those that began before the observer ended, and had not ended before another of them began that ended before
    /// the observer began. Looks only at `all[from..]`.
    fn candidates<'s>(
        &'s self,
        observer: &'s Operation<M::Action>,
        all: &'s [usize],
        from: usize,
    ) -> impl Iterator<Item = usize> + 's {
        let overwritten = self.last_overwrite(observer, all);
        let to = all.partition_point(|&source| self.operations[source].invoke < observer.end);
        all[from.min(to)..to].iter().copied().filter(move |&source| self.operations[source].end >= overwritten)
    }

    /// The latest invocation of one that ended before the observer began; 0 if there is none.
    fn last_overwrite(&self, observer: &Operation<M::Action>, all: &[usize]) -> OpIndex {
        let to = all.partition_point(|&source| self.operations[source].invoke < observer.invoke);
        let before = all[..to].iter().rev().map(|&source| &self.operations[source]);
        before.filter(|source| source.end < observer.invoke).map(|source| source.invoke).next().unwrap_or(0)
    }

    /// A closed set without an order, of operations until `last` and small if it can be: those that are known to exclude
    /// each other, or else those that ended around the events `near` and `last`, with their sources; if these have an
    /// order, those twice as far around. `None` if there are too many sources to close it.
    fn without_order(
        &self,
        judge: &mut Judge<'_, M>,
        certain: &[OpIndex],
        near: OpIndex,
        last: OpIndex,
    ) -> Option<Vec<usize>> {
        const REACH_MIN: OpIndex = 16;
        let mut reach = REACH_MIN;
        let is_certain = |operation: &Operation<M::Action>| certain.contains(&operation.invoke);
        let mut chosen: Vec<bool> = self.operations.iter().map(is_certain).collect();
        if chosen.contains(&true) && self.close_upward(&mut chosen) {
            let kept = places(&chosen);
            if judge.impossible(&pick(self.operations, &kept)).is_some() {
                return Some(kept);
            }
        }
        loop {
            let is_all = near <= reach && last <= near.saturating_add(reach);
            let is_near = |end: OpIndex| end.abs_diff(near) <= reach || end.abs_diff(last) <= reach;
            let wanted = |operation: &Operation<M::Action>| match is_all {
                true => operation.invoke <= last,
                false => operation.end <= last && is_near(operation.end),
            };
            let mut chosen: Vec<bool> = self.operations.iter().map(wanted).collect();
            if !self.close_upward(&mut chosen) {
                return None;
            }
            let kept = places(&chosen);
            // Where the budget ended before that is known, the whole is all that is sure.
            if is_all || judge.impossible(&pick(self.operations, &kept)).is_some() {
                return Some(kept);
            }
            reach = if judge.spent { OpIndex::MAX } else { reach.saturating_mul(2) };
        }
    }

    /// Adds sources until the set is closed. Whether it came to an end before there were too many to keep.
    fn close_upward(&self, chosen: &mut [bool]) -> bool {
        let mut next = places(chosen);
        let mut count = 0;
        while let Some(place) = next.pop() {
            let sources = self.of(place);
            count += sources.len();
            if count > SOURCES_MAX {
                return false;
            }
            for source in sources {
                if !std::mem::replace(&mut chosen[source], true) {
                    next.push(source);
                }
            }
        }
        true
    }

    /// For each operation those kept ones that may have observed it.
    fn observers(&self, kept: &[usize], count: usize) -> Vec<Vec<u32>> {
        let mut observers = vec![Vec::new(); count];
        for &place in kept {
            for source in self.of(place) {
                observers[source].push(place as u32);
            }
        }
        observers
    }
}

/// For each place the next one of the same group; for the last one the first.
fn ring(groups: &[u32]) -> Vec<usize> {
    let mut ring: Vec<usize> = (0..groups.len()).collect();
    let mut last: FxHashMap<u32, usize> = FxHashMap::default();
    for (place, group) in groups.iter().enumerate() {
        if let Some(&before) = last.get(group) {
            ring.swap(before, place);
        }
        last.insert(*group, place);
    }
    ring
}
