//! Histories of any size: processes at a simulated register that is linearizable by construction, with seeded chance,
//! operations that end in doubt, and, if wanted, one stale read near the end.

use rand::{Rng, RngExt};
use schism_history::{F, History, HistoryBuilder, Key, Kind, Op, Process, Value};

/// What history is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Independent keys.
    pub keys: i64,
    /// Keys that are worked on at the same time: their events are mixed.
    pub together: i64,
    /// Operations of each key.
    pub operations: usize,
    /// Processes of each key.
    pub concurrency: usize,
    /// Different values; 0: each write has its own.
    pub values: i64,
    /// Operations of each key that end in doubt, about.
    pub doubts: usize,
    /// Of a hundred operations, how many are reads, and how many compare-and-sets. The others write.
    pub reads_percent: u32,
    pub cas_percent: u32,
    /// Whether the last key has a read, near its end, of a value that was overwritten long ago. With few values, the last
    /// of them is written by no operation in doubt, and by none at all near the end, so that nothing explains the read.
    pub stale: bool,
}

/// A process: what it has invoked, and what it will answer once that took effect.
#[derive(Default)]
struct Worker {
    process: u32,
    open: Option<(F, Value)>,
    answer: Option<(Value, Option<bool>)>,
    doubtful: bool,
    /// Whether its read will be a lie.
    lies: bool,
}

/// Makes a history.
pub fn history(random: &mut impl Rng, wanted: Wanted) -> History {
    let mut builder = HistoryBuilder::default();
    let mut next_process = 0;
    let mut first = 0;
    while first < wanted.keys {
        let last = (first + wanted.together.max(1)).min(wanted.keys);
        let store = |key| Store::new(wanted, key, &mut next_process);
        let mut stores: Vec<Store> = (first..last).map(store).collect();
        while !stores.is_empty() {
            let at = if stores.len() == 1 { 0 } else { random.random_range(0..stores.len()) };
            if !stores[at].step(random, &mut next_process, &mut builder) {
                stores.swap_remove(at);
            }
        }
        first = last;
    }
    builder.finish()
}

/// How far the last of few values is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// It may stand, or be about to.
    None,
    /// It does not, and nothing open leaves it; then so many operations were invoked.
    Gone(usize),
    /// The lie was told.
    Told,
}

/// A key, and who works on it.
struct Store {
    wanted: Wanted,
    key: i64,
    workers: Vec<Worker>,
    state: Value,
    /// What stood halfway.
    old: Value,
    last_written: i64,
    invoked: usize,
    last: Last,
}

impl Store {
    fn new(wanted: Wanted, key: i64, next_process: &mut u32) -> Store {
        let stale = wanted.stale && key + 1 == wanted.keys;
        let workers =
            (0..wanted.concurrency).map(|_| Worker { process: fresh(next_process), ..Worker::default() }).collect();
        let (state, old) = (Value::Nil, Value::Nil);
        let wanted = Wanted { stale, ..wanted };
        Store { wanted, key, workers, state, old, last_written: 0, invoked: 0, last: Last::None }
    }

    /// One worker does one thing. Whether anything was left to do.
    fn step(&mut self, random: &mut impl Rng, next_process: &mut u32, builder: &mut HistoryBuilder) -> bool {
        let wanted = self.wanted;
        let may_begin = self.invoked < wanted.operations;
        if !may_begin && self.workers.iter().all(|worker| worker.open.is_none()) {
            return false;
        }
        let key = self.key;
        let mut push = |process: u32, kind: Kind, f: &F, value: Value, matched: Option<bool>| {
            let op = Op::new(Process::Client(process), kind, f.clone(), value);
            let op = Op { key: Some(Key::Int(key)), matched, ..op };
            builder.push(op).expect("a worker has one operation at a time");
        };
        let at = random.random_range(0..self.workers.len());
        if self.workers[at].open.is_none() {
            if may_begin {
                let lies = self.may_lie();
                self.invoked += 1;
                let (f, argument, doubtful) = self.draw(random, lies);
                let worker = &mut self.workers[at];
                (worker.doubtful, worker.lies) = (doubtful, lies);
                push(worker.process, Kind::Invoke, &f, argument.clone(), None);
                worker.open = Some((f, argument));
            }
            return true;
        }
        let worker = &mut self.workers[at];
        let Some((f, argument)) = &worker.open else { return true };
        // An operation in doubt took effect in half of all cases.
        if worker.answer.is_none() && (!worker.doubtful || random.random_bool(0.5)) {
            let before = self.state.clone();
            worker.answer = Some(apply(f, argument, &mut self.state));
            if self.invoked * 2 < wanted.operations {
                self.old = before;
            }
            return true;
        }
        let (mut value, matched) = worker.answer.clone().unwrap_or((argument.clone(), None));
        let kind = if worker.doubtful { Kind::Info } else { Kind::Ok };
        if worker.lies {
            value = if wanted.values > 0 { Value::Int(wanted.values - 1) } else { self.old.clone() };
        }
        push(worker.process, kind, f, value, matched);
        let process = if worker.doubtful { fresh(next_process) } else { worker.process };
        *worker = Worker { process, ..Worker::default() };
        true
    }

    /// Whether the operation that is invoked now is to be the stale read.
    fn may_lie(&mut self) -> bool {
        let wanted = self.wanted;
        if !wanted.stale || self.last == Last::Told || self.invoked * 20 < wanted.operations * 17 {
            return false;
        }
        if let Last::Gone(invoked) = self.last {
            // Each process has written since then, or nearly so.
            let lies = wanted.values == 0 || self.invoked >= invoked + wanted.concurrency;
            self.last = if lies { Last::Told } else { self.last };
            return lies;
        }
        let value = Value::Int(wanted.values - 1);
        let leaves = |(_, argument): &(F, Value)| match argument {
            Value::Pair([_, new]) => *new == wanted.values - 1,
            Value::List(items) => items.last() == Some(&value),
            argument => *argument == value,
        };
        if self.state != value && !self.workers.iter().any(|worker| worker.open.as_ref().is_some_and(leaves)) {
            self.last = Last::Gone(self.invoked);
        }
        false
    }

    /// The next operation: function, argument, and whether it will end in doubt.
    fn draw(&mut self, random: &mut impl Rng, lies: bool) -> (F, Value, bool) {
        let wanted = self.wanted;
        let kind = if lies { 0 } else { random.random_range(0..100) };
        if kind < wanted.reads_percent {
            return (F::Read, Value::Nil, false);
        }
        let changing = u64::from(100 - wanted.reads_percent).max(1);
        let doubtful = random.random_range(0..wanted.operations as u64 * changing) < wanted.doubts as u64 * 100;
        self.last_written += 1;
        let spared = wanted.stale && wanted.values > 1 && (doubtful || self.invoked * 10 > wanted.operations * 7);
        let value = match wanted.values {
            0 => self.last_written,
            values => i64::from(random.next_u32() >> 1) % (values - i64::from(spared)),
        };
        if kind < 100 - wanted.cas_percent {
            (F::Write, Value::Int(value), doubtful)
        } else {
            (F::Cas, Value::list(vec![self.state.clone(), Value::Int(value)]), doubtful)
        }
    }
}

/// A number that no process has yet.
fn fresh(next_process: &mut u32) -> u32 {
    *next_process += 1;
    *next_process - 1
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
