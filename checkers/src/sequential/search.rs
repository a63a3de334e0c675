//! The search: is there an order of all operations that keeps the order of each process and that the model allows?
//!
//! Depth first. A configuration is how far each process is and the state of each key; none is entered twice. What only
//! observes is placed as soon as it is legal and next in its process, without alternatives: an order that has it later has
//! one with it here. Where states are cells, nothing is placed that leaves a state which is still needed and cannot
//! come again. Those that ended first are tried first, since most databases are nearly right; what is in doubt is tried last.
//!
//! Where values tell who wrote them, it is worked out first what every order must respect ([`super::saturate`]): often that there
//! is none; otherwise nothing is placed before what must stand before it.
//!
//! The general problem is NP-complete (Gibbons, Korach 1997), also for values that are unique, so steps and bytes are bounded.

use rustc_hash::{FxHashMap, FxHashSet};
use schism_history::OpIndex;

use super::SequentialMutant as Mutant;
use super::saturate::{Before, Cycle, Node, saturate};
use crate::checker::Budget;
use crate::linear::Model;
use crate::linear::mutant::Mutation;
use crate::linear::order::Cells;
use crate::linear::split::Operation;

/// An operation of some process on some key; in order of invocation.
#[derive(Debug, Clone)]
pub(crate) struct Deed<A> {
    /// A number for each process, and for each key.
    pub process: u32,
    pub key: u32,
    pub operation: Operation<A>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// There is an order: places.
    Ordered(Vec<u32>),
    Impossible,
    Spent,
}

/// What it cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub steps: u64,
    pub bytes: u64,
}

/// A step of one process, and how to go back.
struct Step {
    process: u32,
    /// The place that was taken, or passed over.
    place: u32,
    taken: bool,
    /// The state of its key before.
    before: u32,
    choices_from: usize,
}

/// What a process could do next: the process, and whether what is next is taken.
type Choice = (u32, bool);

struct Walk<'a, M: Model> {
    model: &'a M,
    deeds: &'a [Deed<M::Action>],
    /// Places by process, in order; and how far each is.
    of_process: Vec<Vec<u32>>,
    at: Vec<u32>,
    /// Operations without doubt that are left.
    left: usize,
    /// Numbers of states, and the state of each key.
    states: Vec<M::State>,
    numbers: FxHashMap<M::State, u32>,
    now: Vec<u32>,
    cells: Option<Cells<(u32, M::State)>>,
    /// What every order respects, if it is known.
    before: Option<Before>,
    seen: FxHashSet<Box<[u32]>>,
    steps: Vec<Step>,
    choices: Vec<Choice>,
    cost: Cost,
    mutation: Mutation<Mutant>,
}

/// Decides. Deterministic.
pub(crate) fn decide<M: Model>(
    model: &M,
    deeds: &[Deed<M::Action>],
    budget: &Budget,
    mutation: Mutation<Mutant>,
) -> (Decision, Cost) {
    let mut walk = Walk::new(model, deeds, mutation);
    let is_hopeless = walk.lacks_source() || walk.saturate(budget).is_err();
    let decision = if is_hopeless { Decision::Impossible } else { walk.run(budget) };
    (decision, walk.cost)
}

impl<'a, M: Model> Walk<'a, M> {
    fn new(model: &'a M, deeds: &'a [Deed<M::Action>], mutation: Mutation<Mutant>) -> Walk<'a, M> {
        let count = |of: fn(&Deed<M::Action>) -> u32| deeds.iter().map(of).max().map_or(0, |max| max as usize + 1);
        let mut of_process = vec![Vec::new(); count(|deed| deed.process)];
        for (place, deed) in (0..).zip(deeds) {
            of_process[deed.process as usize].push(place);
        }
        let mut walk = Walk {
            model,
            deeds,
            at: vec![0; of_process.len()],
            of_process,
            left: deeds.iter().filter(|deed| !deed.operation.in_doubt()).count(),
            states: Vec::new(),
            numbers: FxHashMap::default(),
            now: Vec::new(),
            cells: Cells::new(deeds.iter().map(|deed| {
                let cell = model.cell(&deed.operation.action)?;
                let keyed = |state: Option<M::State>| state.map(|state| (deed.key, state));
                Some((keyed(cell.needs).filter(|_| !deed.operation.in_doubt()), keyed(cell.leaves)))
            })),
            before: None,
            seen: FxHashSet::default(),
            steps: Vec::new(),
            choices: Vec::new(),
            cost: Cost::default(),
            mutation,
        };
        let initial = walk.number(model.initial());
        walk.now = vec![initial; count(|deed| deed.key)];
        walk
    }

    fn number(&mut self, state: M::State) -> u32 {
        let next = self.states.len() as u32;
        let number = *self.numbers.entry(state.clone()).or_insert(next);
        if number == next {
            self.states.push(state);
        }
        number
    }

    /// Whether somebody observed what nothing leaves and what was not there at first: then there is no order.
    fn lacks_source(&self) -> bool {
        let initial = self.model.initial();
        self.cells.as_ref().is_some_and(|cells| cells.lacks(|(_, state)| *state == initial))
    }

    fn saturate(&mut self, budget: &Budget) -> Result<(), Cycle> {
        let bytes = self.deeds.len() as u64 * self.of_process.len() as u64 * 4;
        // Lists by key and process take several times as much as the clocks.
        if bytes > budget.memory_bytes_max / 16 || self.cells.is_none() {
            return Ok(());
        }
        let node = |deed: &Deed<M::Action>| {
            let cell = self.model.cell(&deed.operation.action)?;
            Some(Node { process: deed.process, key: deed.key, in_doubt: deed.operation.in_doubt(), cell })
        };
        let Some(nodes) = self.deeds.iter().map(node).collect::<Option<Vec<_>>>() else { return Ok(()) };
        let initial = self.model.initial();
        let steps = (&mut self.cost.steps, budget.steps_max / 2);
        let before = saturate(&nodes, &initial, &self.of_process, steps, self.mutation)?;
        self.cost.bytes = bytes;
        self.before = Some(before);
        Ok(())
    }

    /// Whether everything that must stand before what is next in a process is placed.
    fn is_due(&self, process: u32, place: u32) -> bool {
        let Some(before) = &self.before else { return true };
        let of_others = before.of(place).iter().zip(&self.at).enumerate();
        { of_others }.all(|(other, (&wanted, &at))| other == process as usize || at >= wanted)
    }

    fn run(&mut self, budget: &Budget) -> Decision {
        loop {
            if self.left == 0 {
                return Decision::Ordered(self.steps.iter().filter(|step| step.taken).map(|step| step.place).collect());
            }
            let mut from = self.choices.len();
            self.gather();
            loop {
                if self.choices.len() > from {
                    let Some(choice) = self.choices.pop() else { break };
                    if self.enter(choice, from) {
                        break;
                    }
                } else {
                    let Some(step) = self.steps.pop() else { return Decision::Impossible };
                    from = step.choices_from;
                    self.leave(&step);
                }
            }
            let row = (self.at.len() + self.now.len()) * 4 + 32;
            let bytes = self.seen.len() * row + self.states.len() * 2 * size_of::<M::State>();
            self.cost.bytes = self.cost.bytes.max(bytes as u64);
            if self.cost.steps > budget.steps_max || self.cost.bytes > budget.memory_bytes_max {
                return Decision::Spent;
            }
        }
    }

    /// What is next in a process.
    fn next(&self, process: u32) -> Option<u32> {
        self.of_process[process as usize].get(self.at[process as usize] as usize).copied()
    }

    /// Puts what can be next onto the choices, the best one last.
    fn gather(&mut self) {
        let mut found: Vec<(OpIndex, Choice)> = Vec::new();
        for process in 0..self.at.len() as u32 {
            let Some(place) = self.next(process) else { continue };
            let Deed { key, operation, .. } = &self.deeds[place as usize];
            if !operation.in_doubt() && !self.is_due(process, place) {
                continue;
            }
            let state = &self.states[self.now[*key as usize] as usize];
            self.cost.steps += 1;
            let after = self.model.step(state, &operation.action);
            if operation.in_doubt() {
                // Who may as well not have happened did not.
                let is_last = self.at[process as usize] as usize + 1 == self.of_process[process as usize].len();
                found.extend((!is_last).then_some((OpIndex::MAX, (process, false))));
                let useful = after.is_some_and(|after| after != *state) && !self.mutation.is(Mutant::NoDoubt);
                found.extend(useful.then_some((OpIndex::MAX - 1, (process, true))));
                continue;
            }
            if after.is_none() {
                continue;
            }
            if self.model.observes_only(&operation.action) || self.mutation.is(Mutant::WritesGreedy) {
                self.choices.push((process, true));
                return;
            }
            found.push((operation.end, (process, true)));
        }
        found.sort_unstable();
        self.choices.extend(found.into_iter().rev().map(|(_, choice)| choice));
    }

    /// Goes on in a process; not where one has been.
    fn enter(&mut self, (process, taken): Choice, choices_from: usize) -> bool {
        let Some(place) = self.next(process) else { return false };
        let Deed { key, operation, .. } = &self.deeds[place as usize];
        let key = *key;
        let before = self.now[key as usize];
        let after = match taken {
            true => self.model.step(&self.states[before as usize], &operation.action),
            false => Some(self.states[before as usize].clone()),
        };
        let Some(after) = after else { return false };
        let after = self.number(after);
        let step = Step { process, place, taken, before, choices_from };
        self.at[process as usize] += 1;
        self.left -= usize::from(!operation.in_doubt());
        self.now[key as usize] = after;
        if let Some(cells) = &mut self.cells {
            cells.count(place as usize, -1);
        }
        let is_doomed = after != before
            && self.cells.as_ref().is_some_and(|cells| {
                let state = &self.states[before as usize];
                match self.mutation.is(Mutant::DoomedTooEager) {
                    true => cells.is_needed(&(key, state.clone())),
                    false => cells.is_doomed(&(key, state.clone())),
                }
            });
        let states = if self.mutation.is(Mutant::StateForgotten) { &[][..] } else { &self.now[..] };
        let is_new = || self.seen.insert(self.at.iter().chain(states).copied().collect());
        if !is_doomed && { is_new }() {
            self.steps.push(step);
            return true;
        }
        self.leave(&step);
        false
    }

    fn leave(&mut self, step: &Step) {
        let Deed { key, operation, .. } = &self.deeds[step.place as usize];
        self.at[step.process as usize] -= 1;
        self.left += usize::from(!operation.in_doubt());
        self.now[*key as usize] = step.before;
        if let Some(cells) = &mut self.cells {
            cells.count(step.place as usize, 1);
        }
    }
}
