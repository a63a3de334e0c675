//! Random small histories of any model: processes at a simulated object that is linearizable by construction, then often
//! broken by one edit; and the drivers that compare a decision with brute force on thousands of these.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::brute;
use crate::linear::model::Model;
use crate::linear::split::{OPEN, Operation};

/// A model that can be simulated.
pub trait Simulated: Model {
    /// An action that is legal in the state and says what it would answer; where it is to be in doubt, any, and without
    /// an answer. `None`: this process cannot do anything now.
    fn draw(&self, random: &mut ChaCha8Rng, state: &Self::State, draw: Draw) -> Option<Self::Action>;

    /// Another action that might stand in its place (another value, another answer).
    fn edited(&self, random: &mut ChaCha8Rng, action: &Self::Action, all: &[Operation<Self::Action>]) -> Self::Action;
}

/// What is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    /// Who acts. A process has one operation at a time, and none after one in doubt.
    #[allow(dead_code, reason = "for models with owners")]
    pub process: u32,
    /// Whether the answer never comes.
    pub doubtful: bool,
    /// A number that no other operation of the history got.
    pub fresh: u32,
    /// Different values that are wanted; 0: each its own.
    pub values: u32,
}

impl Draw {
    /// A value as wanted.
    pub fn value(&self, random: &mut ChaCha8Rng) -> u32 {
        if self.values == 0 { self.fresh } else { random.random_range(0..self.values) }
    }
}

/// What kind of history is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Operations at most.
    pub operations_max: usize,
    /// Operations in doubt at most.
    pub doubts_max: usize,
    /// Different values; 0: each its own.
    pub values: u32,
    /// Processes.
    pub processes: usize,
    /// Of a hundred histories, how many are edited.
    pub edited_percent: u32,
}

/// A process on its way: invoked then, and once it took effect, what it did.
struct Worker<A> {
    process: u32,
    doubtful: bool,
    invoke: Option<u32>,
    action: Option<A>,
}

/// Makes a history, in order of invocation. Events are numbered densely.
pub fn history<S: Simulated>(random: &mut ChaCha8Rng, model: &S, wanted: Wanted) -> Vec<Operation<S::Action>> {
    let mut operations = simulate(random, model, wanted);
    if random.random_range(0..100) < wanted.edited_percent && !operations.is_empty() {
        edit(random, model, &mut operations);
    }
    operations
}

fn simulate<S: Simulated>(random: &mut ChaCha8Rng, model: &S, wanted: Wanted) -> Vec<Operation<S::Action>> {
    let count = random.random_range(1..=wanted.operations_max).max(random.random_range(1..=wanted.operations_max));
    let idle = |process| Worker { process, doubtful: false, invoke: None, action: None };
    let mut workers: Vec<Worker<S::Action>> = (0..wanted.processes as u32).map(idle).collect();
    let (mut state, mut time, mut invoked, mut doubts, mut fresh) = (model.initial(), 0, 0, 0, 0);
    let (mut operations, mut retired) = (Vec::new(), 0);
    // Some have nothing they could do (all wait for a lock that nobody lets go): then it ends early.
    for _ in 0..count * 40 {
        let at = random.random_range(0..workers.len());
        let worker = &mut workers[at];
        match (worker.invoke, worker.action.clone()) {
            (None, _) if invoked < count => {
                invoked += 1;
                worker.doubtful = doubts < wanted.doubts_max && random.random_bool(0.25);
                doubts += usize::from(worker.doubtful);
                (worker.invoke, time) = (Some(time), time + 1);
            }
            (None, _) => {}
            (Some(invoke), None) => {
                fresh += 1;
                let draw = Draw { process: worker.process, doubtful: worker.doubtful, fresh, values: wanted.values };
                let Some(action) = model.draw(random, &state, draw) else { continue };
                if !worker.doubtful || random.random_bool(0.5) {
                    match model.step(&state, &action) {
                        Some(after) => state = after,
                        None if worker.doubtful => {}
                        None => panic!("drawn illegally: {action:?} in {state:?}"),
                    }
                }
                if worker.doubtful {
                    operations.push(Operation { invoke, end: OPEN, action });
                    retired += 1;
                    *worker = idle(wanted.processes as u32 + retired);
                } else {
                    worker.action = Some(action);
                }
            }
            (Some(invoke), Some(action)) => {
                operations.push(Operation { invoke, end: time, action });
                time += 1;
                *worker = idle(worker.process);
            }
        }
    }
    // Whoever took effect must have answered, or be taken for one in doubt, which it is not.
    for worker in workers {
        if let (Some(invoke), Some(action)) = (worker.invoke, worker.action) {
            operations.push(Operation { invoke, end: time, action });
            time += 1;
        }
    }
    operations.sort_by_key(|operation| operation.invoke);
    operations
}

/// Changes one action, or moves one event in time (not before or behind others of its operation).
fn edit<S: Simulated>(random: &mut ChaCha8Rng, model: &S, operations: &mut [Operation<S::Action>]) {
    let place = random.random_range(0..operations.len());
    if random.random_bool(0.7) {
        operations[place].action = model.edited(random, &operations[place].action, operations);
        return;
    }
    // All of an operation goes to another time; then everybody gets dense numbers again.
    let by = random.random_range(1..12i64) * if random.random_bool(0.5) { 1 } else { -1 };
    let mut events: Vec<(i64, bool, usize)> = Vec::new();
    for (at, operation) in operations.iter().enumerate() {
        let moved = if at == place { by * 2 + by.signum() } else { 0 };
        events.push((i64::from(operation.invoke) * 2 + moved, false, at));
        if operation.end != OPEN {
            events.push((i64::from(operation.end) * 2 + moved, true, at));
        }
    }
    events.sort_unstable();
    for (time, (_, is_end, at)) in events.into_iter().enumerate() {
        match is_end {
            true => operations[at].end = time as u32,
            false => operations[at].invoke = time as u32,
        }
    }
    operations.sort_by_key(|operation| operation.invoke);
}

/// What a decision says; `None`: it is not for this history.
pub type Told = Option<bool>;

/// Compares a decision with brute force on `rounds` histories: they agree, at least 30 % of those decided have each
/// verdict, and at most `unfit_percent` are not decided.
pub fn agrees<S: Simulated>(
    model: &S,
    wanted: &[Wanted],
    (seed, rounds, unfit_percent): (u64, usize, usize),
    decide: impl Fn(&[Operation<S::Action>]) -> Told,
) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut good, mut bad) = (0, 0);
    for round in 0..rounds * long_factor() {
        let operations = history(&mut random, model, wanted[round % wanted.len()]);
        let Some(told) = decide(&operations) else { continue };
        assert_eq!(told, brute::linearizable(model, &operations), "{} round {round}: {operations:#?}", model.name());
        if told { good += 1 } else { bad += 1 }
    }
    let (all, decided) = (rounds * long_factor(), good + bad);
    assert!(good * 10 >= decided * 3 && bad * 10 >= decided * 3, "{}: {good} good, {bad} bad", model.name());
    assert!((all - decided) * 100 <= all * unfit_percent, "{}: decided {decided} of {all}", model.name());
}

/// Each mutant is noticed by some history: it says the opposite of brute force.
pub fn kills<S: Simulated, M: Copy + std::fmt::Debug>(
    model: &S,
    wanted: &[Wanted],
    (seed, rounds): (u64, usize),
    mutants: &[M],
    decide: impl Fn(&[Operation<S::Action>], M) -> Told,
) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let histories: Vec<_> =
        (0..rounds).map(|round| history(&mut random, model, wanted[round % wanted.len()])).collect();
    let mut survivors = Vec::new();
    for &mutant in mutants {
        let lies = |operations: &Vec<Operation<S::Action>>| {
            decide(operations, mutant).is_some_and(|told| told != brute::linearizable(model, operations))
        };
        match histories.iter().position(lies) {
            Some(round) => println!("{mutant:?}: noticed at {round}"),
            None => survivors.push(mutant),
        }
    }
    assert!(survivors.is_empty(), "{}: not noticed: {survivors:?}", model.name());
}

/// How many times as many rounds: `SCHISM_TEST_LONG` asks for twenty.
fn long_factor() -> usize {
    if std::env::var_os("SCHISM_TEST_LONG").is_some() { 20 } else { 1 }
}
