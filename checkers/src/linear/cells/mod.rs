//! The search for one cell whose values return: blind writes, and what observes them, are placed when they are due, if
//! need be in the past.
//!
//! With few values nothing tells which write a read saw, and a search that places each open write now or later walks all
//! subsets of the open ones. Here a configuration also says when it last placed a **blind write** (its *moment*), and
//! stands for many:
//!
//! 1. **Absorbed writes.** Directly before a blind write any other open write may stand: nothing sees it. So a write that
//!    began before the moment may count as placed at its completion, and may as well be placed before that, as long as it
//!    was not. No choice is made before one is due.
//! 2. **Blocks in the past.** For the same reason a *block* may stand there: a write, what observes its value, then
//!    compare-and-sets one after the other with what observes theirs. When an operation is due that began before the
//!    moment, a block that holds it may be put at the moment, of operations that were open at the moment and are not placed
//!    yet: the state that stands is the same. Only the last moment matters: whatever began before an earlier one, and is
//!    open, began before the last one, and blocks of writes that are no longer open were looked at when these ended.
//!    When a write counts as placed, it takes with it all open reads of its value that began before the moment.
//! 3. **One blind write at a completion.** What is placed because an operation is due are changes that follow from the
//!    state that stands; then perhaps one blind write; then changes that follow from that, the due operation being the
//!    last. Two blind writes are not needed: the first one, with what follows it, is a block before the second.
//! 4. **Order.** Of two configurations with the same state and the same compare-and-sets placed, one can do all that the
//!    other can if its moment is not earlier, it waits for no further reads, placed no further writes, and used no more
//!    of any class in doubt; where it used more compare-and-sets in doubt that leave a value, it may make up for that by
//!    as many fewer writes of that value, as these do the same in any state. Only the best are kept. (A write that only the other one placed obliges to nothing: it began
//!    before the other's moment, and so before this one's.)
//! 5. **Doubt.** Operations in doubt are counted by class. Of equal ones those with an end are used first, as the others
//!    can be used later. Those that began after the moment can only be used for what stands now, so these are
//!    used first for that. (It decides nothing, it saves rows: where an older one, used now, is missing in a block later,
//!    what follows it in the block can follow it now, and the block's beginning after that leads to the same state.)
//! 6. **Goal.** From the blind write on, and in blocks until the due operation is placed, only states are visited from
//!    which open operations lead to one that the due operation accepts.
//!
//! 7. **No haste.** A configuration that can place a blind write later can do all that it could if it had placed it now: it
//!    places it before the next thing that happens, or when it is due. (The due operation itself is no such
//!    write.) So a configuration goes if another one, with one more blind write placed now, could do all that it can. These
//!    do not take each other away: the one that goes has used more.
//!
//! Exact: whatever order there is can be rewritten, step by step, into one that the search walks; and each configuration's
//! meaning is an order. The tests compare with brute force and kill a mutant of each rule.
//!
//! **Narrow first.** Every configuration stands for real orders, so if any lives until the end there is an order, whatever
//! was thrown away on the way. So it is searched with few configurations kept first (those that used the least), then with
//! more, and only then with all; that there is no order is said only where nothing was thrown away.
//!
//! A row: phase, state, placed compare-and-sets | moment (inverted), waiting reads, placed writes, and for each class in
//! doubt how many were used of those that began before the moment, and of all. What stands before the bar is equal in rows
//! that are compared. Phases but the first occur only while one completion is worked on.
//!
//! Cost: events × configurations × open operations at most; configurations are bounded by nothing but the budget, though
//! they rarely are more than a few hundred where the search of [`super::search`] keeps hundreds of thousands.

mod open;
mod place;

use super::frontier::Frontier;
use super::model::Model;
use super::mutant::Mutation;
use super::problem::{ANY, Class, Event, INITIAL, Problem, Steps};
use super::search::{Cost, Decision, Spent};
use super::split::OPEN;
use crate::checker::Budget;
use open::{Kind, Opened, Window, kind_of};

/// Configurations kept at first, and then.
const NARROW: [usize; 4] = [3, 24, 64, 400];
/// Where so few are kept, nothing in doubt is used unless nothing else is left.
const THRIFTY_MAX: usize = 64;
/// Rows looked at because of one completion, for each configuration that may be kept.
const NARROW_SEEN: usize = 16;
/// States at most.
const STATES_MAX: usize = 256;
/// Classes in doubt that rows have columns for, at most.
const COLUMNS_MAX: usize = 512;
/// Open operations at a time, at most.
const OPEN_MAX: usize = 4096;

/// One defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum CellMutant {
    /// What began after the moment can be placed at it.
    PastIgnored,
    /// A write may end without being placed, even if it began after the moment.
    NeverDue,
    /// Reads that wait do not matter in the order.
    WaitingForgotten,
    /// The earlier moment is taken for the better one.
    EarlierMoment,
    /// Nothing follows the due operation in a block.
    BlocksEndAtOnce,
    /// A write that ends begins no block.
    EndingBeginsNothing,
    /// A write that counts as placed takes no reads with it.
    EndingTakesNothing,
    /// There are no blocks in the past.
    NoPast,
    /// Only what the due operation itself accepts is a goal.
    GoalTooNear,
    /// Compare-and-sets in doubt that were not used make up for writes.
    SwapForWrite,
    /// A configuration is taken away for one that could become it if it had more to use.
    LaterUncounted,
    /// Used operations in doubt are not counted.
    UsedNotCounted,
    /// What is in doubt and began after the moment can be used at it.
    DoubtAtAnyTime,
    /// Nothing that follows from the state is placed before a blind write.
    BlindAtOnce,
    /// Of equal operations the one with the latest end is used first.
    LatestFirst,
    /// A read may be placed in a block that stands before it began.
    ReadsAnyPast,
}

/// Whether this search can take the problem on, and is likely to be the better one: the state is a cell, and values
/// return.
pub(crate) fn fits<M: Model>(problem: &Problem<'_, M>) -> bool {
    const TASKS_A_STATE_MIN: usize = 8;
    let odd = |class: &Class| class.needs != ANY && class.refuses != ANY;
    matches!(problem.steps, Steps::Cell)
        && problem.tasks.len() >= problem.states.saturating_sub(2) * TASKS_A_STATE_MIN
        && problem.states <= STATES_MAX
        && problem.open_max <= OPEN_MAX
        && problem.doubts.iter().filter(|&&count| count > 0).count() <= COLUMNS_MAX
        && !problem.classes.iter().any(odd)
}

struct Search<'p, 'm, M: Model> {
    problem: &'p Problem<'m, M>,
    window: Window,
    /// Configurations after the last completion, one row after another.
    rows: Vec<u32>,
    /// Configurations in which the due operation is not placed, or which are blocks in the making.
    seen: Frontier,
    /// Configurations in which it is.
    done: Frontier,
    slot_of: Vec<u32>,
    scratch: Vec<u32>,
    ended: Vec<u32>,
    cost: Cost,
    budget: Budget,
    /// Configurations kept after a completion at most, and whether there ever were more.
    kept_max: usize,
    cut: bool,
}

/// Decides. Deterministic; never goes past the budget by more than the work of one configuration.
pub(crate) fn decide<M: Model>(
    problem: &Problem<'_, M>,
    budget: Budget,
    mutation: Mutation<CellMutant>,
) -> (Decision, Cost) {
    decide_narrow(problem, budget, &NARROW, mutation)
}

/// Decides with so many configurations kept in turn, and with all in the end.
pub(crate) fn decide_narrow<M: Model>(
    problem: &Problem<'_, M>,
    budget: Budget,
    narrow: &[usize],
    mutation: Mutation<CellMutant>,
) -> (Decision, Cost) {
    let mut total = Cost::default();
    let mut longest = 0;
    for &kept_max in narrow.iter().chain([&usize::MAX]) {
        // What is narrow may not take the steps of what is exact.
        let share = if kept_max == usize::MAX { 1 } else { 4 };
        let steps_max = budget.steps_max.saturating_sub(total.steps) / share;
        let (decision, cut, cost) = pass(problem, Budget { steps_max, ..budget }, kept_max, mutation);
        total.steps = total.steps.saturating_add(cost.steps);
        total.bytes_peak = total.bytes_peak.max(cost.bytes_peak);
        total.configurations_peak = total.configurations_peak.max(cost.configurations_peak);
        match decision {
            Decision::Linearizable => return (decision, total),
            Decision::Impossible(place) if cut => longest = longest.max(place),
            Decision::Impossible(_) => return (decision, total),
            // Who keeps more needs more memory too.
            Decision::Spent(_) if cost.bytes_peak > budget.memory_bytes_max => return (decision, total),
            Decision::Spent(place) => longest = longest.max(place),
        }
    }
    (Decision::Spent(longest), total)
}

fn pass<M: Model>(
    problem: &Problem<'_, M>,
    budget: Budget,
    kept_max: usize,
    mutation: Mutation<CellMutant>,
) -> (Decision, bool, Cost) {
    let window = Window::new(problem, mutation);
    let mut row = vec![0; window.width];
    row[1] = INITIAL;
    window.set_moment(&mut row, 0);
    let mut search = Search {
        problem,
        window,
        rows: row,
        seen: Frontier::default(),
        done: Frontier::default(),
        slot_of: vec![0; problem.tasks.len()],
        scratch: Vec::new(),
        ended: Vec::new(),
        cost: Cost::default(),
        budget,
        kept_max,
        cut: false,
    };
    let decision = search.run();
    (decision, search.cut, search.cost)
}

impl<M: Model> Search<'_, '_, M> {
    fn run(&mut self) -> Decision {
        for place in 0..self.problem.events.len() {
            match self.problem.events[place] {
                Event::Invoke(task) => self.invoke(place as u32, task),
                Event::Return(task) => match self.complete(place as u32, task) {
                    Err(Spent) => return Decision::Spent(place),
                    Ok(()) if self.rows.is_empty() => return Decision::Impossible(place),
                    Ok(()) => {}
                },
            }
        }
        Decision::Linearizable
    }

    fn invoke(&mut self, place: u32, number: u32) {
        let task = self.problem.tasks[number as usize];
        let class = self.problem.classes[task.class as usize];
        if task.end == OPEN {
            self.window.doubt(task.class, place);
            return;
        }
        let opened = self.window.open(class, Opened { class: task.class, begin: place, end: task.end, slot: 0 });
        self.slot_of[number as usize] = opened.slot;
        if opened.kind == Kind::Read {
            for row in self.rows.chunks_exact_mut(self.window.width) {
                if !class.accepts(row[1]) {
                    self.window.wait(row, opened.slot);
                }
            }
        }
    }

    /// Keeps only configurations in which the operation was placed, trying to place it where it was not.
    fn complete(&mut self, place: u32, number: u32) -> Result<(), Spent> {
        let task = self.problem.tasks[number as usize];
        let class = self.problem.classes[task.class as usize];
        let kind = kind_of(class);
        let opened = self.window.find(kind, self.slot_of[number as usize]);
        let is_placed = |row: &[u32], window: &Window| window.is_placed(row, kind, opened.slot);
        let width = self.window.width;
        if self.rows.chunks_exact(width).all(|row| is_placed(row, &self.window)) && kind != Kind::Write {
            self.rows.chunks_exact_mut(width).for_each(|row| self.window.clear(row, kind, opened.slot));
        } else {
            self.place_before(place, kind, opened)?;
        }
        self.window.close(kind, opened.slot);
        let configurations = (self.rows.len() / width) as u64;
        self.cost.configurations_peak = self.cost.configurations_peak.max(configurations);
        Ok(())
    }

    fn place_before(&mut self, now: u32, kind: Kind, due: Opened) -> Result<(), Spent> {
        let mut placing = place::Placing {
            classes: &self.problem.classes,
            window: &mut self.window,
            seen: &mut self.seen,
            done: &mut self.done,
            row: &mut self.scratch,
            ended: &mut self.ended,
            steps: &mut self.cost.steps,
            thrifty: self.kept_max <= THRIFTY_MAX && !self.problem.doubts.is_empty(),
            now,
            kind,
            due,
        };
        placing.begin(&self.rows);
        let mut base = Vec::new();
        let mut next = 0;
        loop {
            if next >= placing.seen.len() {
                if !placing.thrifty || placing.done.len() > 0 {
                    self.cut |= placing.thrifty;
                    break;
                }
                placing.thrifty = false;
                placing.begin(&self.rows);
                next = 0;
                continue;
            }
            // What is near comes first, so it is what is far that a narrow pass does not look at.
            if next >= self.kept_max.saturating_mul(NARROW_SEEN) {
                self.cut = true;
                break;
            }
            if placing.seen.is_live(next) {
                base.clear();
                base.extend_from_slice(placing.seen.row(next));
                placing.expand(&base);
                let bytes = (self.rows.capacity() * 4) as u64 + placing.seen.bytes() + placing.done.bytes();
                self.cost.bytes_peak = self.cost.bytes_peak.max(bytes);
                if *placing.steps > self.budget.steps_max || bytes > self.budget.memory_bytes_max {
                    return Err(Spent);
                }
            }
            next += 1;
        }
        if placing.done.len() > 1 {
            placing.remove_hasty();
        }
        self.rows.clear();
        let mut live: Vec<usize> = (0..self.done.len()).filter(|&row| self.done.is_live(row)).collect();
        if live.len() > self.kept_max {
            self.cut = true;
            self.choose(&mut live);
        }
        for row in live {
            self.rows.extend_from_slice(self.done.row(row));
        }
        Ok(())
    }

    /// Keeps the configurations that used the least, of each state about as many.
    fn choose(&self, live: &mut Vec<usize>) {
        live.sort_by_cached_key(|&row| self.window.spent(self.done.row(row)));
        let mut of_state = vec![0u32; self.problem.states];
        let mut ranked = Vec::with_capacity(live.len());
        for &row in live.iter() {
            let rank = &mut of_state[self.done.row(row)[1] as usize];
            ranked.push((*rank, row));
            *rank += 1;
        }
        ranked.sort_by_key(|&(rank, _)| rank);
        live.clear();
        live.extend(ranked.into_iter().take(self.kept_max).map(|(_, row)| row));
        live.sort_unstable();
    }
}
