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

/// Makes a history: the keys' events one key after the other.
pub fn history(random: &mut impl Rng, wanted: Wanted) -> History {
    let mut builder = HistoryBuilder::default();
    let mut next_process = 0;
    for key in 0..wanted.keys {
        let stale = wanted.stale && key + 1 == wanted.keys;
        let mut store = Store { wanted: Wanted { stale, ..wanted }, key, last_written: 0, invoked: 0, last: Last::None };
        store.record(random, &mut next_process, &mut builder);
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

struct Store {
    wanted: Wanted,
    key: i64,
    last_written: i64,
    invoked: usize,
    last: Last,
}

impl Store {
    fn record(&mut self, random: &mut impl Rng, next_process: &mut u32, builder: &mut HistoryBuilder) {
        let wanted = self.wanted;
        let mut fresh = || {
            *next_process += 1;
            *next_process - 1
        };
        let mut workers: Vec<Worker> =
            (0..wanted.concurrency).map(|_| Worker { process: fresh(), ..Worker::default() }).collect();
        let mut state = Value::Nil;
        let mut old = Value::Nil;
        let key = self.key;
        let mut push = |process: u32, kind: Kind, f: &F, value: Value, matched: Option<bool>| {
            let op = Op::new(Process::Client(process), kind, f.clone(), value);
            let op = Op { key: Some(Key::Int(key)), matched, ..op };
            builder.push(op).expect("a worker has one operation at a time");
        };
        while self.invoked < wanted.operations || workers.iter().any(|worker| worker.open.is_some()) {
            let at = random.random_range(0..workers.len());
            let lies = self.invoked < wanted.operations && workers[at].open.is_none() && self.may_lie(&workers, &state);
            let worker = &mut workers[at];
            match (&worker.open, &worker.answer) {
                (None, _) if self.invoked < wanted.operations => {
                    self.invoked += 1;
                    let (f, argument, doubtful) = self.draw(random, &state, lies);
                    worker.doubtful = doubtful;
                    worker.lies = lies && f == F::Read;
                    push(worker.process, Kind::Invoke, &f, argument.clone(), None);
                    worker.open = Some((f, argument));
                }
                (None, _) => {}
                // An operation in doubt took effect in half of all cases.
                (Some((f, argument)), None) if !worker.doubtful || random.random_bool(0.5) => {
                    let before = state.clone();
                    worker.answer = Some(apply(f, argument, &mut state));
                    if self.invoked * 2 < wanted.operations {
                        old = before;
                    }
                }
                (Some((f, argument)), answer) => {
                    let (mut value, matched) = answer.clone().unwrap_or((argument.clone(), None));
                    let kind = if worker.doubtful { Kind::Info } else { Kind::Ok };
                    if worker.lies {
                        value = if wanted.values > 0 { Value::Int(wanted.values - 1) } else { old.clone() };
                    }
                    push(worker.process, kind, f, value, matched);
                    let process = if worker.doubtful { fresh() } else { worker.process };
                    *worker = Worker { process, ..Worker::default() };
                }
            }
        }
    }

    /// Whether the operation that is invoked now is to be the stale read.
    fn may_lie(&mut self, workers: &[Worker], state: &Value) -> bool {
        let wanted = self.wanted;
        if !wanted.stale || self.last == Last::Told || self.invoked * 10 < wanted.operations * 9 {
            return false;
        }
        if let Last::Gone(invoked) = self.last {
            // Each process has written since then, or nearly so.
            let lies = self.invoked >= invoked + 2 * wanted.concurrency;
            self.last = if lies { Last::Told } else { self.last };
            return lies;
        }
        let value = Value::Int(wanted.values - 1);
        let leaves = |(_, argument): &(F, Value)| match argument {
            Value::Pair([_, new]) => *new == wanted.values - 1,
            Value::List(items) => items.last() == Some(&value),
            argument => *argument == value,
        };
        if *state != value && !workers.iter().any(|worker| worker.open.as_ref().is_some_and(leaves)) {
            self.last = Last::Gone(self.invoked);
        }
        false
    }

    /// The next operation: function, argument, and whether it will end in doubt.
    fn draw(&mut self, random: &mut impl Rng, state: &Value, lies: bool) -> (F, Value, bool) {
        let wanted = self.wanted;
        let kind = if lies { 0 } else { random.random_range(0..100) };
        if kind < wanted.reads_percent {
            return (F::Read, Value::Nil, false);
        }
        let changing = u64::from(100 - wanted.reads_percent).max(1);
        let doubtful = random.random_range(0..wanted.operations as u64 * changing) < wanted.doubts as u64 * 100;
        self.last_written += 1;
        let spared = wanted.stale && wanted.values > 1 && (doubtful || self.invoked * 10 > wanted.operations * 8);
        let value = match wanted.values {
            0 => self.last_written,
            values => i64::from(random.next_u32() >> 1) % (values - i64::from(spared)),
        };
        if kind < 100 - wanted.cas_percent {
            (F::Write, Value::Int(value), doubtful)
        } else {
            (F::Cas, Value::list(vec![state.clone(), Value::Int(value)]), doubtful)
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
