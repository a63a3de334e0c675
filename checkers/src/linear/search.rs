//! The search: is there an order of all operations that the model allows and real time allows?
//!
//! Just in time (Lowe 2017), breadth first over events. A configuration is a state, the set of open operations that were
//! placed, and how many of each class in doubt were used. Only at a completion does the search branch: configurations
//! that have not placed the completing operation try every order of open operations that ends with it. If none is left,
//! there is no order. Memory is the number of configurations, not the length of the history.
//!
//! Kept small, exactly: operations that only observe are placed as soon as they are legal; equal operations are placed
//! the earliest deadline first; operations in doubt are counts per class, of which only the least are kept
//! ([`super::frontier`]); and for one-cell models the search looks ahead ([`super::lookahead`]).
//!
//! Cost: events × configurations × open operations; the general problem is NP-complete (Gibbons, Korach 1997), so steps
//! and bytes are bounded by a budget.

use super::cells;
use super::frontier::{Frontier, uses_no_more};
use super::lookahead::{Lookahead, View};
use super::model::Model;
use super::mutant::{Mutant, Mutation};
use super::problem::{ANY, Class, Event, Problem, UNTESTED};
use super::split::OPEN;
use super::window::{Opened, Window, clear, has, set};
use crate::checker::Budget;

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// There is an order.
    Linearizable,
    /// There is none. Found at this place of the problem's events; where the search looks ahead, that may be before the
    /// place at which the prefix alone has no order.
    Impossible(usize),
    /// The budget was spent at this place; the events before it have an order.
    Spent(usize),
}

/// What it cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Attempts to place an operation, and comparisons of configurations.
    pub steps: u64,
    /// The most bytes held at a time.
    pub bytes_peak: u64,
    /// The most configurations held at a time.
    pub configurations_peak: u64,
}

struct Search<'p, 'm, M: Model> {
    problem: &'p mut Problem<'m, M>,
    window: Window,
    lookahead: Option<Lookahead>,
    /// Configurations after the last completion, one row after another.
    rows: Vec<u32>,
    /// Configurations that have not placed the completing operation.
    seen: Frontier,
    /// Configurations that have.
    done: Frontier,
    slot_of: Vec<u32>,
    base: Vec<u32>,
    scratch: Vec<u32>,
    cost: Cost,
    budget: Budget,
    mutation: Mutation,
}

/// The budget is spent.
pub(crate) struct Spent;

/// What is placed next.
#[derive(Clone, Copy)]
enum Choice {
    /// An open operation.
    Open { class: u32, slot: u32 },
    /// An operation in doubt, by the place of its column.
    Doubt { class: u32, column: usize },
}

/// Decides. Deterministic; never goes past the budget by more than the work of one configuration.
pub(crate) fn decide<M: Model>(problem: &mut Problem<'_, M>, budget: Budget, mutation: Mutation) -> (Decision, Cost) {
    if cells::fits(problem) {
        return cells::decide(problem, budget, Mutation::default());
    }
    let window = Window::new(problem, mutation);
    let mut row = vec![0; window.head];
    row[0] = problem.steps.initial();
    let mut search = Search {
        lookahead: Lookahead::new(problem, mutation),
        slot_of: vec![0; problem.tasks.len()],
        problem,
        window,
        rows: row,
        seen: Frontier::default(),
        done: Frontier::default(),
        base: Vec::new(),
        scratch: Vec::new(),
        cost: Cost::default(),
        budget,
        mutation,
    };
    let decision = search.run();
    (decision, search.cost)
}

/// Which of two rows of a group can do all that the other can.
fn order(mutation: Mutation) -> impl Fn(&[u32], &[u32]) -> bool {
    move |first, second| match mutation.is(Mutant::AntichainReversed) {
        true => uses_no_more(second, first),
        false => uses_no_more(first, second),
    }
}

impl<M: Model> Search<'_, '_, M> {
    fn run(&mut self) -> Decision {
        for place in 0..self.problem.events.len() {
            match self.problem.events[place] {
                Event::Invoke(task) => self.invoke(task),
                Event::Return(task) => match self.complete(task) {
                    Err(Spent) => return Decision::Spent(place),
                    Ok(()) if self.rows.is_empty() => return Decision::Impossible(place),
                    Ok(()) => {}
                },
            }
        }
        Decision::Linearizable
    }

    fn invoke(&mut self, number: u32) {
        let task = self.problem.tasks[number as usize];
        let class = self.problem.classes[task.class as usize];
        let width = self.window.width();
        if task.end == OPEN {
            if self.window.doubt(task.class) {
                self.widen(width);
            }
            return;
        }
        let slot = self.window.open(task.class, task.end, class.observes_only);
        self.slot_of[number as usize] = slot;
        if let Some(lookahead) = &mut self.lookahead {
            lookahead.begin(class, Opened { class: task.class, end: task.end, slot });
        }
        if class.observes_only || self.mutation.is(Mutant::WritesGreedy) {
            let Problem { classes, steps, .. } = &mut *self.problem;
            for row in self.rows.chunks_exact_mut(width) {
                self.window.place_readers(row, classes, steps);
            }
        }
    }

    /// Gives each row a further column.
    fn widen(&mut self, width: usize) {
        let mut wide = Vec::with_capacity(self.rows.len() / width * (width + 1));
        for row in self.rows.chunks_exact(width) {
            wide.extend_from_slice(row);
            wide.push(0);
        }
        self.rows = wide;
    }

    /// Keeps only configurations in which the operation was placed, trying to place it where it was not.
    fn complete(&mut self, number: u32) -> Result<(), Spent> {
        let slot = self.slot_of[number as usize];
        let end = self.problem.tasks[number as usize].end;
        let width = self.window.width();
        if !self.rows.chunks_exact(width).all(|row| has(row, slot)) {
            self.place_before(slot)?;
        }
        if !self.mutation.is(Mutant::SlotNotCleared) {
            self.rows.chunks_exact_mut(width).for_each(|row| clear(row, slot));
        }
        self.window.close(slot, end);
        if let Some(lookahead) = &mut self.lookahead {
            let class = self.problem.tasks[number as usize].class;
            lookahead.end(self.problem.classes[class as usize], slot);
        }
        if self.mutation.is(Mutant::DoubtExpires) {
            self.window.columns.iter_mut().for_each(|column| column.available = 0);
        }
        let configurations = (self.rows.len() / width) as u64;
        self.cost.configurations_peak = self.cost.configurations_peak.max(configurations);
        Ok(())
    }

    fn place_before(&mut self, target: u32) -> Result<(), Spent> {
        let (width, head) = (self.window.width(), self.window.head);
        self.seen.reset(width, head);
        self.done.reset(width, head);
        for row in self.rows.chunks_exact(width) {
            let set = if has(row, target) { &mut self.done } else { &mut self.seen };
            set.insert(row, &mut self.cost.steps, order(self.mutation));
        }
        let mut next = 0;
        while next < self.seen.len() {
            if self.seen.is_live(next) {
                self.base.clear();
                self.base.extend_from_slice(self.seen.row(next));
                self.expand(target);
                self.spend()?;
            }
            next += 1;
        }
        self.rows.clear();
        for row in (0..self.done.len()).filter(|&row| self.done.is_live(row)) {
            self.rows.extend_from_slice(self.done.row(row));
        }
        self.spend()
    }

    fn spend(&mut self) -> Result<(), Spent> {
        let bytes =
            self.rows.capacity() as u64 * 4 + self.seen.bytes() + self.done.bytes() + self.problem.steps.bytes();
        self.cost.bytes_peak = self.cost.bytes_peak.max(bytes);
        let spent = self.cost.steps > self.budget.steps_max || bytes > self.budget.memory_bytes_max;
        if spent { Err(Spent) } else { Ok(()) }
    }

    /// Tries everything that can be placed next in the configuration `base`.
    fn expand(&mut self, target: u32) {
        let first_block = self.first_block();
        let mut tried = None;
        for place in 0..self.window.movers.len() {
            let mover = self.window.movers[place];
            // Of equal operations the one with the earliest deadline stands first.
            if has(&self.base, mover.slot) || tried == Some(mover.class) {
                continue;
            }
            tried = Some(mover.class);
            if first_block.is_some_and(|first| first != place) && self.block_due(place).is_some() {
                continue;
            }
            self.try_choice(Choice::Open { class: mover.class, slot: mover.slot }, target);
        }
        for column in 0..self.window.columns.len() {
            let class = self.window.columns[column].class;
            if self.base[self.window.head + column] < self.window.columns[column].available {
                self.try_choice(Choice::Doubt { class, column }, target);
            }
        }
    }

    /// Place of the open write whose block is due first.
    fn first_block(&mut self) -> Option<usize> {
        let movers = self.window.movers.len();
        self.cost.steps += movers as u64;
        (0..movers).filter_map(|place| self.block_due(place).map(|due| (due, place))).min().map(|(_, place)| place)
    }

    fn block_due(&self, place: usize) -> Option<u32> {
        let mover = &self.window.movers[place];
        let view = View { window: &self.window, classes: &self.problem.classes, doubts: &self.problem.doubts };
        let lookahead = self.lookahead.as_ref().filter(|_| !has(&self.base, mover.slot))?;
        lookahead.block_due(view, &self.base, mover)
    }

    fn try_choice(&mut self, choice: Choice, target: u32) {
        self.cost.steps += 1;
        let (Choice::Open { class: number, .. } | Choice::Doubt { class: number, .. }) = choice;
        let Problem { classes, steps, doubts, .. } = &mut *self.problem;
        let class: Class = classes[number as usize];
        let before = self.base[0];
        let Some(after) = steps.step(before, number, class) else { return };
        let slot = match choice {
            Choice::Open { slot, .. } => Some(slot),
            // Who may as well not have happened did not.
            Choice::Doubt { .. } if after == before => return,
            Choice::Doubt { .. } => None,
        };
        let row = &mut self.scratch;
        row.clear();
        row.extend_from_slice(&self.base);
        let place = |row: &mut [u32], mutation: Mutation, head: usize| match choice {
            Choice::Open { slot, .. } => set(row, slot),
            Choice::Doubt { column, .. } => row[head + column] += u32::from(!mutation.is(Mutant::UsedNotCounted)),
        };
        place(row, self.mutation, self.window.head);
        if let Some(lookahead) = &self.lookahead {
            let view = View { window: &self.window, classes, doubts };
            if slot.is_none() && !lookahead.is_useful(view, row, after) {
                return;
            }
            if after != before && lookahead.is_doomed(view, row, before) {
                return;
            }
            if class.needs == ANY {
                lookahead.place_blocks(view, row, (slot, after), steps, &mut self.cost.steps);
            }
        }
        row[0] = after;
        self.window.place_readers(row, classes, steps);
        if let Some(lookahead) = &self.lookahead
            && lookahead.is_dead(View { window: &self.window, classes, doubts }, row, after)
        {
            row[0] = UNTESTED;
        }
        let set = if has(row, target) { &mut self.done } else { &mut self.seen };
        set.insert(row, &mut self.cost.steps, order(self.mutation));
    }
}
