//! Histories of any size: processes at a simulated register that is linearizable by construction, with seeded chance,
//! operations that end in doubt, and, if wanted, one stale read near the end.

use rand::{Rng, RngExt};
use schism_history::{F, History, HistoryBuilder, Key, Kind, Op, Process, Value};

/// What history is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Independent keys.
    pub keys: i64,
    /// Operations of each key.
    pub operations: usize,
    /// Processes of each key.
    pub concurrency: usize,
    /// Different values; 0: each write has its own.
    pub values: i64,
    /// Operations of each key that end in doubt, about.
    pub doubts: usize,
    /// Whether a fifth of the operations are compare-and-sets.
    pub cas: bool,
    /// Whether the last key has a read, near its end, of a value that was overwritten long ago.
    pub stale: bool,
}

/// A process: what it has invoked, and what it will answer once that took effect.
#[derive(Default)]
struct Worker {
    process: u32,
    open: Option<(F, Value)>,
    answer: Option<(Value, Option<bool>)>,
    doubtful: bool,
}

/// Makes a history.
pub fn history(random: &mut impl Rng, wanted: Wanted) -> History {
    let mut builder = HistoryBuilder::default();
    let mut next_process = 0;
    for key in 0..wanted.keys {
        let stale = wanted.stale && key + 1 == wanted.keys;
        one_key(random, wanted, key, stale, &mut next_process, &mut builder);
    }
    builder.finish()
}

fn one_key(
    random: &mut impl Rng,
    wanted: Wanted,
    key: i64,
    stale: bool,
    next_process: &mut u32,
    builder: &mut HistoryBuilder,
) {
    let mut fresh = || {
        *next_process += 1;
        *next_process - 1
    };
    let mut workers: Vec<Worker> =
        (0..wanted.concurrency).map(|_| Worker { process: fresh(), ..Worker::default() }).collect();
    let (mut state, mut last_written, mut invoked, mut stale_left) = (Value::Nil, 0, 0, stale);
    let mut old = Vec::new();
    let mut push = |process: u32, kind: Kind, f: &F, value: Value, matched: Option<bool>| {
        let op = Op::new(Process::Client(process), kind, f.clone(), value);
        builder.push(Op { key: Some(Key::Int(key)), matched, ..op }).expect("a worker has one operation at a time");
    };
    while invoked < wanted.operations || workers.iter().any(|worker| worker.open.is_some()) {
        let at = random.random_range(0..workers.len());
        let worker = &mut workers[at];
        match (&worker.open, &worker.answer) {
            (None, _) if invoked < wanted.operations => {
                invoked += 1;
                let mut value = |random: &mut _| {
                    last_written += 1;
                    if wanted.values == 0 {
                        last_written
                    } else {
                        i64::from(Rng::next_u32(random) >> 1) % wanted.values
                    }
                };
                let (f, argument) = match random.random_range(0..if wanted.cas { 10 } else { 8 }) {
                    0..5 => (F::Read, Value::Nil),
                    5..8 => (F::Write, Value::Int(value(random))),
                    _ => (F::Cas, Value::list(vec![state.clone(), Value::Int(value(random))])),
                };
                worker.doubtful = f != F::Read && random.random_range(0..wanted.operations) < wanted.doubts * 2;
                push(worker.process, Kind::Invoke, &f, argument.clone(), None);
                worker.open = Some((f, argument));
            }
            (None, _) => {}
            // An operation in doubt took effect in half of all cases.
            (Some((f, argument)), None) if !worker.doubtful || random.random_bool(0.5) => {
                let before = state.clone();
                worker.answer = Some(apply(f, argument, &mut state));
                if before != state {
                    old.push(before);
                }
            }
            (Some((f, argument)), answer) => {
                let (mut value, matched) = answer.clone().unwrap_or((argument.clone(), None));
                let kind = if worker.doubtful { Kind::Info } else { Kind::Ok };
                if stale_left && *f == F::Read && invoked * 10 > wanted.operations * 9 {
                    stale_left = false;
                    value = old[old.len() / 2].clone();
                }
                push(worker.process, kind, f, value, matched);
                let process = if worker.doubtful { fresh() } else { worker.process };
                *worker = Worker { process, ..Worker::default() };
            }
        }
    }
}

fn apply(f: &F, argument: &Value, state: &mut Value) -> (Value, Option<bool>) {
    match (f, argument) {
        (F::Read, _) => (state.clone(), None),
        (F::Write, value) => {
            *state = value.clone();
            (value.clone(), None)
        }
        (_, Value::Pair([from, to])) if *state == Value::Int(*from) => {
            *state = Value::Int(*to);
            (argument.clone(), Some(true))
        }
        (_, Value::List(items)) if items[0] == *state => {
            *state = items[1].clone();
            (argument.clone(), Some(true))
        }
        _ => (argument.clone(), Some(false)),
    }
}
