//! Histories of any size: processes at a simulated container that is linearizable by construction, with seeded chance,
//! operations that end in doubt, and, if wanted, one removal near the end of what was not next.

use std::collections::{BinaryHeap, VecDeque};

use rand::{Rng, RngExt};
use schism_history::{F, History, HistoryBuilder, Kind, Op, Process, Value};

use super::ModelName;

/// What history is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Which container.
    pub model: ModelName,
    /// Operations.
    pub operations: usize,
    /// Processes.
    pub concurrency: usize,
    /// About how many items are inside; 0: it is often found empty, otherwise never.
    pub depth: usize,
    /// Different values; 0: each put has its own.
    pub values: u32,
    /// Operations that end in doubt, about.
    pub doubts: usize,
    /// Whether a removal, behind nine tenths of the history, takes what is not next (a bag: what was taken before).
    pub planted: bool,
}

/// What is inside.
enum Inside {
    Queue(VecDeque<i64>),
    Stack(Vec<i64>),
    Bag(Vec<i64>),
    Greatest(BinaryHeap<i64>),
}

impl Inside {
    fn new(model: ModelName) -> Inside {
        match model {
            ModelName::Stack => Inside::Stack(Vec::new()),
            ModelName::Bag => Inside::Bag(Vec::new()),
            ModelName::PriorityQueue => Inside::Greatest(BinaryHeap::new()),
            _ => Inside::Queue(VecDeque::new()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Inside::Queue(all) => all.len(),
            Inside::Stack(all) | Inside::Bag(all) => all.len(),
            Inside::Greatest(all) => all.len(),
        }
    }

    fn put(&mut self, value: i64) {
        match self {
            Inside::Queue(all) => all.push_back(value),
            Inside::Stack(all) | Inside::Bag(all) => all.push(value),
            Inside::Greatest(all) => all.push(value),
        }
    }

    fn next(&mut self, random: &mut impl Rng) -> Option<i64> {
        match self {
            Inside::Queue(all) => all.pop_front(),
            Inside::Stack(all) => all.pop(),
            Inside::Bag(all) if all.is_empty() => None,
            Inside::Bag(all) => Some(all.swap_remove(random.random_range(0..all.len()))),
            Inside::Greatest(all) => all.pop(),
        }
    }

    /// One that is not next: from the middle.
    fn wrong(&mut self, taken: &[i64]) -> Option<i64> {
        let middle = self.len() / 2;
        match self {
            Inside::Queue(all) => all.remove(middle),
            Inside::Stack(all) => Some(all.remove(middle)),
            Inside::Bag(_) => taken.get(taken.len() / 2).copied(),
            Inside::Greatest(all) => {
                let mut sorted = std::mem::take(all).into_sorted_vec();
                let value = sorted.remove(middle);
                *all = sorted.into();
                Some(value)
            }
        }
    }
}

/// A process: what it asked for, and what it will answer once that took effect.
#[derive(Clone)]
struct Worker {
    process: u32,
    /// What it puts; `None`: it takes.
    open: Option<Option<i64>>,
    answer: Option<Value>,
    doubtful: bool,
}

/// Makes a history.
pub fn history(random: &mut impl Rng, wanted: Wanted) -> History {
    let names = if wanted.model == ModelName::Stack { ["push", "pop"] } else { ["enqueue", "dequeue"] };
    let [put, get] = names.map(F::parse);
    let mut builder = HistoryBuilder::default();
    let mut push = |process: u32, kind: Kind, is_put: bool, value: Value| {
        let f = if is_put { put.clone() } else { get.clone() };
        builder.push(Op::new(Process::Client(process), kind, f, value)).expect("a worker has one operation at a time");
    };
    let idle = |process| Worker { process, open: None, answer: None, doubtful: false };
    let mut workers: Vec<Worker> = (0..wanted.concurrency as u32).map(idle).collect();
    let (mut inside, mut taken) = (Inside::new(wanted.model), Vec::new());
    let (mut invoked, mut puts, mut next_process) = (0, 0u32, wanted.concurrency as u32);
    let (mut planted_left, mut open_takes) = (wanted.planted, 0);
    while invoked < wanted.operations || workers.iter().any(|worker| worker.open.is_some()) {
        let at = random.random_range(0..workers.len());
        let worker = &mut workers[at];
        match (worker.open, worker.answer.clone()) {
            (None, _) if invoked < wanted.operations => {
                invoked += 1;
                // Nobody is to find it empty: who would, puts.
                let must_put = wanted.depth > 0 && inside.len() <= open_takes;
                let wants_put = must_put || random.random_bool(if inside.len() < wanted.depth { 0.6 } else { 0.45 });
                open_takes += usize::from(!wants_put);
                let value = wants_put.then(|| {
                    puts += 1;
                    value(random, puts, wanted.values)
                });
                worker.doubtful = random.random_range(0..wanted.operations) < wanted.doubts;
                worker.open = Some(value);
                push(worker.process, Kind::Invoke, wants_put, value.map_or(Value::Nil, Value::Int));
            }
            (None, _) => {}
            // An operation in doubt took effect in half of all cases.
            (Some(value), None) if !worker.doubtful || random.random_bool(0.5) => {
                worker.answer = Some(match value {
                    Some(value) => {
                        inside.put(value);
                        Value::Int(value)
                    }
                    None => {
                        let is_late = invoked * 10 > wanted.operations * 9;
                        let plants =
                            planted_left && !worker.doubtful && is_late && inside.len() > wanted.concurrency * 4;
                        planted_left &= !plants;
                        let found = if plants { inside.wrong(&taken) } else { inside.next(random) };
                        taken.extend(found);
                        found.map_or(Value::Nil, Value::Int)
                    }
                });
            }
            (Some(value), answer) => {
                let kind = if worker.doubtful { Kind::Info } else { Kind::Ok };
                let told =
                    if worker.doubtful { value.map_or(Value::Nil, Value::Int) } else { answer.unwrap_or_default() };
                push(worker.process, kind, value.is_some(), told);
                next_process += u32::from(worker.doubtful);
                open_takes -= usize::from(value.is_none());
                *worker = idle(if worker.doubtful { next_process } else { worker.process });
            }
        }
    }
    builder.finish()
}

/// A value of its own, in no order, or one of a few.
fn value(random: &mut impl Rng, nth: u32, values: u32) -> i64 {
    match values {
        0 => i64::from(nth.wrapping_mul(0x9e37_79b1) & 0x7fff_ffff),
        values => i64::from(random.random_range(0..values)),
    }
}
