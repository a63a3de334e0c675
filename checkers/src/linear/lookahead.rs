//! What the search may know of the future where the state is one cell that every change overwrites.
//!
//! Five rules, each exact (a configuration that can be completed leads to one that is kept and can be completed):
//!
//! 1. **Doomed.** Who leaves a state that an operation without doubt still needs, while nothing can bring that state
//!    again, can never be completed.
//! 2. **Blocks.** A *block* is an open write, with the open operations that observe it and a chain of open
//!    compare-and-sets behind it, such that nothing else, now or later, needs any state of the block. It may stand
//!    directly before any other blind change: nothing after it can tell. So it is placed there at once, instead of trying
//!    every subset. (Where some operation answered "no match", a block may be what explains it: then the block is
//!    placed only if no such operation can need it.)
//! 3. **Useful doubt.** An operation in doubt happens only where something open becomes legal by it that was not legal
//!    before; otherwise it may as well not have happened.
//!
//! 4. **Dead states.** States that nothing open or yet to come asks about are the same state.
//!
//! 5. **Blocks in order.** Two open blocks that are a write and open reads alone can change places, so the one that is due
//!    first is placed first.
//!
//! With values that are unique these leave about as many configurations as operations are open; without them the number
//! of subsets of all open operations would have to be walked.

use super::model::Model;
use super::mutant::{Mutant, Mutation};
use super::problem::{ANY, Class, Problem, Steps};
use super::split::OPEN;
use super::window::{Opened, Window, has, set};

/// What has not begun yet, by state.
#[derive(Debug)]
pub(crate) struct Lookahead {
    /// Operations without doubt that need a state and are yet to begin.
    needs_to_come: Vec<u32>,
    /// Operations without doubt that leave a state and are yet to begin.
    leaves_to_come: Vec<u32>,
    /// Operations that refuse a state and are yet to begin.
    refusals_to_come: Vec<u32>,
    /// Classes with operations in doubt that need a state.
    doubts_needing: Vec<Vec<u32>>,
    /// Classes with operations in doubt that leave a state.
    doubts_leaving: Vec<Vec<u32>>,
    /// Invocation and refused state of operations that refuse a state, in order of invocation.
    refusals: Vec<(u32, u32)>,
    /// How many of them have begun, and how many are open.
    refusals_begun: usize,
    refusals_open: usize,
    /// Of each operation without doubt that changes the state, in order of invocation: its invocation, and the earliest
    /// completion among it and all later ones.
    overwritten: Vec<(u32, u32)>,
    /// By state: open operations without doubt that need it, that only observe and refuse it, and that leave it.
    open_needing: Vec<Vec<Opened>>,
    open_refusing: Vec<Vec<Opened>>,
    open_leaving: Vec<Vec<Opened>>,
    mutation: Mutation,
}

/// What the rules look at.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    /// What is open.
    pub window: &'a Window,
    /// All classes.
    pub classes: &'a [Class],
    /// Operations in doubt of each class.
    pub doubts: &'a [u32],
}

impl Lookahead {
    /// Before the first event; `None` for models that are no cell.
    pub fn new<M: Model>(problem: &Problem<'_, M>, mutation: Mutation) -> Option<Lookahead> {
        if !matches!(problem.steps, Steps::Cell) {
            return None;
        }
        let mut lookahead = Lookahead {
            needs_to_come: vec![0; problem.states],
            leaves_to_come: vec![0; problem.states],
            refusals_to_come: vec![0; problem.states],
            doubts_needing: vec![Vec::new(); problem.states],
            doubts_leaving: vec![Vec::new(); problem.states],
            refusals: Vec::new(),
            refusals_begun: 0,
            refusals_open: 0,
            overwritten: Vec::new(),
            open_needing: vec![Vec::new(); problem.states],
            open_refusing: vec![Vec::new(); problem.states],
            open_leaving: vec![Vec::new(); problem.states],
            mutation,
        };
        for task in problem.tasks.iter().filter(|task| task.end != OPEN) {
            let class = problem.classes[task.class as usize];
            lookahead.count(class, 1);
            if class.refuses != ANY {
                lookahead.refusals.push((task.begin, class.refuses));
            }
            if !class.observes_only {
                lookahead.overwritten.push((task.begin, task.end));
            }
        }
        let mut earliest = OPEN;
        for (_, end) in lookahead.overwritten.iter_mut().rev() {
            earliest = earliest.min(*end);
            *end = earliest;
        }
        for (number, class) in problem.classes.iter().enumerate().filter(|&(number, _)| problem.doubts[number] > 0) {
            if class.needs != ANY {
                lookahead.doubts_needing[class.needs as usize].push(number as u32);
            }
            if class.leaves != ANY {
                lookahead.doubts_leaving[class.leaves as usize].push(number as u32);
            }
        }
        Some(lookahead)
    }

    fn count(&mut self, class: Class, by: i32) {
        if class.needs != ANY {
            let count = &mut self.needs_to_come[class.needs as usize];
            *count = count.saturating_add_signed(by);
        }
        if class.refuses != ANY {
            let count = &mut self.refusals_to_come[class.refuses as usize];
            *count = count.saturating_add_signed(by);
        }
        if class.leaves != ANY {
            let count = &mut self.leaves_to_come[class.leaves as usize];
            *count = count.saturating_add_signed(by);
        }
    }

    /// Of the open writes that stand for a block of their own, the one whose block is due first; others of these
    /// need not be tried (rule 5). `None` for a write that is no such block.
    pub fn block_due(&self, view: View<'_>, row: &[u32], mover: &Opened) -> Option<u32> {
        let state = view.leaves(mover);
        let asked = |number: usize| self.needs_to_come[number] > 0 || self.refusals_to_come[number] > 0;
        if view.needs(mover) != ANY || asked(state as usize) {
            return None;
        }
        let left = |opened: &&Opened| !has(row, opened.slot);
        if self.open_refusing[state as usize].iter().any(|opened| !has(row, opened.slot)) {
            return None;
        }
        let (mut due, mut changed) = (mover.end, false);
        for opened in self.open_needing[state as usize].iter().filter(left) {
            due = due.min(opened.end);
            changed |= !view.classes[opened.class as usize].observes_only;
        }
        let doubted = self.doubts_needing[state as usize].iter().any(|&class| view.is_left(row, class));
        let latest_first = self.mutation.is(Mutant::BlocksLatestFirst);
        (!changed && !doubted).then_some(if latest_first { u32::MAX - due } else { due })
    }

    /// Whether nothing that is open or yet to come asks whether a state is this one. Such a state is as good as any
    /// other of its kind.
    pub fn is_dead(&self, view: View<'_>, row: &[u32], state: u32) -> bool {
        let asks = |opened: &Opened| !has(row, opened.slot);
        let refused = self.refusals_to_come[state as usize] > 0 && !self.mutation.is(Mutant::DeadTooEager);
        !refused
            && self.needs_to_come[state as usize] == 0
            && !self.open_needing[state as usize].iter().any(asks)
            && !self.open_refusing[state as usize].iter().any(asks)
            && !self.doubts_needing[state as usize].iter().any(|&class| view.is_left(row, class))
    }

    /// An operation without doubt begins.
    pub fn begin(&mut self, class: Class, opened: Opened) {
        self.count(class, -1);
        self.refusals_begun += usize::from(class.refuses != ANY);
        self.refusals_open += usize::from(class.refuses != ANY);
        for (state, list) in self.lists(class) {
            list[state as usize].push(opened);
        }
    }

    /// An operation without doubt has ended.
    pub fn end(&mut self, class: Class, slot: u32) {
        self.refusals_open -= usize::from(class.refuses != ANY);
        for (state, list) in self.lists(class) {
            list[state as usize].retain(|opened| opened.slot != slot);
        }
    }

    /// Lists of what is open in which an operation stands, and under which state.
    fn lists(&mut self, class: Class) -> impl Iterator<Item = (u32, &mut Vec<Vec<Opened>>)> {
        let lists = [&mut self.open_needing, &mut self.open_refusing, &mut self.open_leaving];
        let states = [class.needs, class.refuses, class.leaves];
        states.into_iter().zip(lists).filter(|&(state, _)| state != ANY)
    }

    /// Whether a configuration that has just left a state can never be completed (rule 1).
    pub fn is_doomed(&self, view: View<'_>, row: &[u32], left: u32) -> bool {
        let needed = self.needs_to_come[left as usize] > 0
            || self.open_needing[left as usize].iter().any(|opened| !has(row, opened.slot));
        needed && (self.mutation.is(Mutant::DoomedTooEager) || !self.can_come(view, row, left))
    }

    /// Whether an operation that was not placed yet can leave this state.
    fn can_come(&self, view: View<'_>, row: &[u32], state: u32) -> bool {
        self.leaves_to_come[state as usize] > 0
            || self.open_leaving[state as usize].iter().any(|mover| !has(row, mover.slot))
            || self.doubts_leaving[state as usize].iter().any(|&class| view.is_left(row, class))
    }

    /// Whether it is of any use that the state becomes `after` by an operation in doubt (rule 3).
    pub fn is_useful(&self, view: View<'_>, row: &[u32], after: u32) -> bool {
        let open = |opened: &Opened| !has(row, opened.slot);
        let refuses = |reader: &Opened| {
            let class = view.classes[reader.class as usize];
            class.needs == ANY && class.refuses != after && open(reader)
        };
        let needing = &self.open_needing[after as usize];
        let observes = |opened: &Opened| view.classes[opened.class as usize].observes_only;
        let is_refused = || self.refusals_open > 0 && view.window.readers.iter().any(refuses);
        if needing.iter().any(|opened| observes(opened) && open(opened)) || is_refused() {
            return true;
        }
        if self.mutation.is(Mutant::DoubtOnlyForReads) {
            return false;
        }
        let begun = |&class: &u32| view.window.is_available(row, class);
        needing.iter().any(open) || self.doubts_needing[after as usize].iter().any(begun)
    }

    /// Places all blocks that may stand before a blind change which leaves `after` and has the bit `except` (rule 2).
    /// Adds to `cost` what was tried.
    pub fn place_blocks<M: Model>(
        &self,
        view: View<'_>,
        row: &mut Vec<u32>,
        (except, after): (Option<u32>, u32),
        steps: &mut Steps<'_, M>,
        cost: &mut u64,
    ) {
        let mut trial: Vec<u32> = Vec::new();
        for first in &view.window.movers {
            if view.needs(first) != ANY || Some(first.slot) == except || has(row, first.slot) {
                continue;
            }
            trial.clone_from(row);
            let ends = self.try_block(view, &mut trial, *first, except, steps, cost);
            if ends.is_some_and(|end| !self.is_refusal_near(view, &trial, end, after)) {
                std::mem::swap(row, &mut trial);
            }
        }
    }

    /// Places a block; `None` if it is no block. The latest deadline of its operations.
    fn try_block<M: Model>(
        &self,
        view: View<'_>,
        row: &mut [u32],
        first: Opened,
        except: Option<u32>,
        steps: &mut Steps<'_, M>,
        cost: &mut u64,
    ) -> Option<u32> {
        let readers = view.window.readers.len() as u64;
        let mut next = first;
        let mut end = 0;
        loop {
            *cost += 1 + readers / 16;
            let state = view.leaves(&next);
            set(row, next.slot);
            row[0] = state;
            end = end.max(next.end);
            let needing = &self.open_needing[state as usize];
            let observes = |opened: &Opened| view.classes[opened.class as usize].observes_only;
            for reader in needing.iter().filter(|opened| observes(opened)) {
                end = end.max(reader.end);
            }
            view.window.place_readers(row, view.classes, steps);
            let future = self.needs_to_come[state as usize] > 0 && !self.mutation.is(Mutant::AbsorbIgnoresFuture);
            if future || self.doubts_needing[state as usize].iter().any(|&class| view.is_left(row, class)) {
                return None;
            }
            let mut behind = needing
                .iter()
                .filter(|opened| !observes(opened) && !has(row, opened.slot) && Some(opened.slot) != except);
            match (behind.next(), behind.next()) {
                (None, _) => return Some(end),
                (Some(&only), None) => next = only,
                (Some(_), Some(_)) => return None,
            }
        }
    }

    /// Whether an operation that refuses a state which may stand (`after`, or one that can still come) may see a
    /// block that ends at `end`, or what stands in its place: such an operation may need the block elsewhere. None that
    /// begins after something which began after `end` has ended can.
    fn is_refusal_near(&self, view: View<'_>, row: &[u32], end: u32, after: u32) -> bool {
        if self.mutation.is(Mutant::AbsorbIgnoresMisses) {
            return false;
        }
        let next = self.overwritten.partition_point(|&(begin, _)| begin < end);
        let horizon = self.overwritten.get(next).map_or(OPEN, |&(_, end)| end);
        let may_stand = |state: u32| state == after || self.can_come(view, row, state);
        let open = view.window.readers.iter().filter(|reader| !has(row, reader.slot));
        let open = open.map(|reader| view.classes[reader.class as usize].refuses).filter(|&state| state != ANY);
        let coming = self.refusals[self.refusals_begun..].iter().take_while(|&&(begin, _)| begin < horizon);
        open.chain(coming.map(|&(_, state)| state)).any(may_stand)
    }
}

impl View<'_> {
    fn needs(&self, opened: &Opened) -> u32 {
        self.classes[opened.class as usize].needs
    }

    fn leaves(&self, opened: &Opened) -> u32 {
        self.classes[opened.class as usize].leaves
    }

    /// Whether some operation in doubt of a class, begun or not, was not used yet.
    fn is_left(&self, row: &[u32], class: u32) -> bool {
        self.window.used(row, class) < self.doubts[class as usize]
    }
}
