//! A key's operations made ready for the search: equal actions share a class, events stand in order, and for one-cell
//! models states are numbers.

use rustc_hash::FxHashMap;
use schism_history::OpIndex;

use super::model::{Cell, Model};
use super::mutant::{Mutant, Mutation};
use super::split::{OPEN, Operation};

/// No state: an action that needs, refuses or leaves nothing in particular.
pub(crate) const ANY: u32 = u32::MAX;
/// All states that nothing ever asks about, taken as one.
pub(crate) const UNTESTED: u32 = 0;
/// State before the first operation, for one-cell models.
pub(crate) const INITIAL: u32 = 1;

/// Operations with equal actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Class {
    /// Whether it changes no state in which it is legal.
    pub observes_only: bool,
    /// The only state in which it is legal, or [`ANY`].
    pub needs: u32,
    /// The only state in which it is illegal, or [`ANY`].
    pub refuses: u32,
    /// The state after it, or [`ANY`] if the state stays.
    pub leaves: u32,
}

impl Class {
    /// Whether it is legal in a state.
    #[inline]
    pub fn accepts(self, state: u32) -> bool {
        (self.needs == ANY || self.needs == state) && self.refuses != state
    }
}

/// One operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    /// Its class.
    pub class: u32,
    /// Where in the operations handed in it stands.
    pub operation: u32,
    /// Its invocation.
    pub begin: OpIndex,
    /// Its completion, or [`OPEN`] if it is in doubt.
    pub end: OpIndex,
}

/// An invocation or a completion of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The task begins.
    Invoke(u32),
    /// The task has ended.
    Return(u32),
}

/// How states follow each other.
pub(crate) enum Steps<'m, M: Model> {
    /// By the classes alone.
    Cell,
    /// By asking the model; states are interned.
    Asked(Asked<'m, M>),
}

/// Interned states of a model.
pub(crate) struct Asked<'m, M: Model> {
    model: &'m M,
    actions: Vec<M::Action>,
    states: Vec<M::State>,
    numbers: FxHashMap<M::State, u32>,
    heap_bytes: u64,
}

/// What the search works on.
pub(crate) struct Problem<'m, M: Model> {
    /// Operations in order of invocation, without those that can be dropped.
    pub tasks: Vec<Task>,
    /// Events in order.
    pub events: Vec<Event>,
    /// Classes of equal operations.
    pub classes: Vec<Class>,
    /// How many operations of each class are in doubt.
    pub doubts: Vec<u32>,
    /// The most operations without doubt that are open at a time.
    pub open_max: usize,
    /// Number of states, for one-cell models.
    pub states: usize,
    /// How states follow each other.
    pub steps: Steps<'m, M>,
}

impl<M: Model> Steps<'_, M> {
    /// The state after an action of a class, if it is legal.
    #[inline]
    pub fn step(&mut self, state: u32, number: u32, class: Class) -> Option<u32> {
        match self {
            Steps::Cell => class.accepts(state).then_some(if class.leaves == ANY { state } else { class.leaves }),
            Steps::Asked(asked) => {
                let after = asked.model.step(&asked.states[state as usize], &asked.actions[number as usize])?;
                Some(asked.number(after))
            }
        }
    }

    /// The first state.
    pub fn initial(&mut self) -> u32 {
        match self {
            Steps::Cell => INITIAL,
            Steps::Asked(asked) => asked.number(asked.model.initial()),
        }
    }

    /// Bytes held by states.
    pub fn bytes(&self) -> u64 {
        match self {
            Steps::Cell => 0,
            Steps::Asked(asked) => (asked.states.len() * (2 * size_of::<M::State>() + 8)) as u64 + asked.heap_bytes,
        }
    }
}

impl<M: Model> Asked<'_, M> {
    fn number(&mut self, state: M::State) -> u32 {
        if let Some(&number) = self.numbers.get(&state) {
            return number;
        }
        let number = self.states.len() as u32;
        self.heap_bytes += self.model.heap_bytes(&state) as u64;
        self.states.push(state.clone());
        self.numbers.insert(state, number);
        number
    }
}

impl<'m, M: Model> Problem<'m, M> {
    /// Makes operations ready (they stand in order of invocation). Linear but for the sorting of events.
    pub fn new(model: &'m M, operations: &[Operation<M::Action>], mutation: Mutation) -> Problem<'m, M> {
        let cells: Option<Vec<Cell<M::State>>> =
            operations.iter().map(|operation| model.cell(&operation.action)).collect();
        let doubtful = |place: usize| operations[place].in_doubt();
        let mut problem = match cells {
            Some(cells) => Problem::of_cells(model, &cells, &doubtful, mutation),
            None => Problem::of_actions(model, operations),
        };
        let mut idle = model.idle(operations);
        idle.sort_unstable();
        problem.tasks.retain_mut(|task| {
            let operation = &operations[task.operation as usize];
            (task.begin, task.end) = (operation.invoke, operation.end);
            let class = problem.classes[task.class as usize];
            if operation.in_doubt() && mutation.is(Mutant::NoDoubt) {
                return false;
            }
            !(operation.in_doubt() && (class.observes_only || idle.binary_search(&task.operation).is_ok()))
        });
        problem.drop_idle_refusals(mutation);
        problem.doubts = vec![0; problem.classes.len()];
        for task in problem.tasks.iter().filter(|task| task.end == OPEN) {
            problem.doubts[task.class as usize] += 1;
        }
        problem.order(mutation);
        problem
    }

    fn empty(steps: Steps<'m, M>) -> Problem<'m, M> {
        Problem {
            tasks: Vec::new(),
            events: Vec::new(),
            classes: Vec::new(),
            doubts: Vec::new(),
            open_max: 0,
            states: 0,
            steps,
        }
    }

    fn of_actions(model: &'m M, operations: &[Operation<M::Action>]) -> Problem<'m, M> {
        let mut asked =
            Asked { model, actions: Vec::new(), states: Vec::new(), numbers: FxHashMap::default(), heap_bytes: 0 };
        let mut ids: FxHashMap<&M::Action, u32> = FxHashMap::default();
        let mut problem = Problem::empty(Steps::Cell);
        for (place, operation) in operations.iter().enumerate() {
            let class = *ids.entry(&operation.action).or_insert_with(|| {
                asked.actions.push(operation.action.clone());
                let observes_only = model.observes_only(&operation.action);
                problem.classes.push(Class { observes_only, needs: ANY, refuses: ANY, leaves: ANY });
                problem.classes.len() as u32 - 1
            });
            problem.tasks.push(Task { class, operation: place as u32, begin: 0, end: OPEN });
        }
        problem.steps = Steps::Asked(asked);
        problem
    }

    fn of_cells(
        model: &'m M,
        cells: &[Cell<M::State>],
        doubtful: &impl Fn(usize) -> bool,
        mutation: Mutation,
    ) -> Problem<'m, M> {
        let mut numbers: FxHashMap<&M::State, u32> = FxHashMap::default();
        let initial = model.initial();
        numbers.insert(&initial, INITIAL);
        // Only states that something asks about get a number of their own.
        let kept = asked_about(cells, doubtful);
        for cell in kept.iter().map(|&place| &cells[place]) {
            for state in cell.needs.iter().chain(&cell.refuses) {
                let next = numbers.len() as u32 + 1;
                numbers.entry(state).or_insert(next);
            }
        }
        let find = |state: &Option<M::State>| match state {
            None => ANY,
            Some(state) => numbers.get(state).copied().unwrap_or(UNTESTED),
        };
        let mut ids: FxHashMap<Class, u32> = FxHashMap::default();
        let mut problem = Problem::empty(Steps::Cell);
        for place in kept {
            let cell = &cells[place];
            let mut class = Class {
                observes_only: cell.leaves.is_none(),
                needs: find(&cell.needs),
                refuses: find(&cell.refuses),
                leaves: find(&cell.leaves),
            };
            if mutation.is(Mutant::CasAlwaysMatches) && class.leaves != ANY {
                class.needs = ANY;
            }
            if mutation.is(Mutant::MissTellsNothing) {
                class.refuses = ANY;
            }
            let id = *ids.entry(class).or_insert_with(|| {
                problem.classes.push(class);
                problem.classes.len() as u32 - 1
            });
            problem.tasks.push(Task { class: id, operation: place as u32, begin: 0, end: OPEN });
        }
        problem.states = numbers.len() + 1;
        problem
    }

    /// Drops operations that refuse a state but cannot fail to find another one. Such an operation finds the state it
    /// refuses all the time only if something left that state, began before it did, and was not surely followed by a
    /// change to another state that ended before it did.
    fn drop_idle_refusals(&mut self, mutation: Mutation) {
        if self.classes.iter().all(|class| class.refuses == ANY) {
            return;
        }
        let class_of = |task: &Task| self.classes[task.class as usize];
        // By state, in order of invocation: who leaves it, and the latest end among these and those before.
        let mut leaving: Vec<Vec<(OpIndex, OpIndex)>> = vec![Vec::new(); self.states];
        let mut by_end: Vec<Task> = self.tasks.iter().filter(|task| task.end != OPEN).copied().collect();
        by_end.sort_unstable_by_key(|task| task.end);
        for task in self.tasks.iter().filter(|task| class_of(task).leaves != ANY) {
            let before = &mut leaving[class_of(task).leaves as usize];
            before.push((task.begin, before.last().map_or(task.end, |&(_, end)| end.max(task.end))));
        }
        // The latest beginning of a change that has ended, and the latest of one to another state than that.
        let (mut latest, mut other) = ((0, ANY), (0, ANY));
        let mut idle: Vec<OpIndex> = Vec::new();
        for task in by_end {
            let class = class_of(&task);
            if class.leaves != ANY {
                let found = (task.begin + 1, class.leaves);
                if found.1 == latest.1 {
                    latest = latest.max(found);
                } else if found > latest {
                    (latest, other) = (found, latest);
                } else if found > other {
                    other = found;
                }
            } else if class.refuses != ANY {
                let (followed, _) = if latest.1 == class.refuses { other } else { latest };
                let sources = &leaving[class.refuses as usize];
                let earlier = sources.partition_point(|&(begin, _)| begin < task.begin);
                let may_stand = earlier > 0 && sources[earlier - 1].1.saturating_add(1) >= followed;
                let at_first = class.refuses == INITIAL && followed == 0;
                if !at_first && (mutation.is(Mutant::RefusalsIdle) || !may_stand) {
                    idle.push(task.begin);
                }
            }
        }
        idle.sort_unstable();
        self.tasks.retain(|task| idle.binary_search(&task.begin).is_err());
    }

    /// Puts events in order and counts how many operations are open at a time.
    fn order(&mut self, mutation: Mutation) {
        let mut events: Vec<(OpIndex, Event)> = Vec::with_capacity(self.tasks.len() * 2);
        let last = self.tasks.iter().map(|task| if task.end == OPEN { task.begin } else { task.end }).max();
        for (number, task) in self.tasks.iter_mut().enumerate() {
            let began = task.begin;
            if task.end == OPEN && mutation.is(Mutant::DoubtMustHappen) {
                self.doubts[task.class as usize] -= 1;
                task.end = last.unwrap_or(0) + 1 + number as u32;
            }
            let begins = if mutation.is(Mutant::RealTimeIgnored) { 0 } else { began };
            let ends = match task.end {
                OPEN => None,
                end => Some(end),
            };
            events.push((begins, Event::Invoke(number as u32)));
            events.extend(ends.map(|end| (end, Event::Return(number as u32))));
        }
        events.sort_by_key(|&(index, _)| index);
        if mutation.is(Mutant::ReturnsEarly) {
            for place in 1..events.len() {
                if let (Event::Invoke(first), Event::Return(second)) = (events[place - 1].1, events[place].1)
                    && first != second
                {
                    events.swap(place - 1, place);
                }
            }
        }
        let mut open = 0usize;
        for &(_, event) in &events {
            match event {
                Event::Invoke(task) if self.tasks[task as usize].end != OPEN => open += 1,
                Event::Invoke(_) => {}
                Event::Return(_) => open -= 1,
            }
            self.open_max = self.open_max.max(open);
        }
        self.events = events.into_iter().map(|(_, event)| event).collect();
    }
}

/// Places of the operations that matter. One in doubt whose value nothing can notice is dropped: nothing needs it, and
/// nothing answered "no match" (which any other value would explain). Repeated, since what it needed may have mattered
/// to it alone.
fn asked_about<S: Eq + std::hash::Hash>(cells: &[Cell<S>], doubtful: &impl Fn(usize) -> bool) -> Vec<usize> {
    const ROUNDS_MAX: usize = 8;
    let mut kept: Vec<usize> = (0..cells.len()).collect();
    if !kept.iter().any(|&place| doubtful(place)) || cells.iter().any(|cell| cell.refuses.is_some()) {
        return kept;
    }
    for _ in 0..ROUNDS_MAX {
        let needed: rustc_hash::FxHashSet<&S> = kept.iter().filter_map(|&place| cells[place].needs.as_ref()).collect();
        let before = kept.len();
        kept.retain(|&place| {
            !doubtful(place) || cells[place].leaves.as_ref().is_some_and(|state| needed.contains(state))
        });
        if kept.len() == before {
            break;
        }
    }
    kept
}
