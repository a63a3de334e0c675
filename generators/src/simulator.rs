//! Runs a generator in virtual time, without clients: what would happen if operations took that long and ended so.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use schism_history::{Kind, Op, Process, Value};

use crate::context::{Context, Workers};
use crate::generator::{Generator, Next};

/// How a simulated operation ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// How long it takes.
    pub latency_ns: u64,
    /// `Ok`, `Fail` or `Info`; the nemesis' operations always end `Info`.
    pub kind: Kind,
    /// Its result; `None`: the argument again.
    pub value: Option<Value>,
    /// For a compare-and-set.
    pub matched: Option<bool>,
}

impl Answer {
    /// Success after that long.
    pub fn ok(latency_ns: u64) -> Answer {
        Answer { latency_ns, kind: Kind::Ok, value: None, matched: None }
    }

    /// Another ending after that long.
    pub fn kind(latency_ns: u64, kind: Kind) -> Answer {
        Answer { kind, ..Answer::ok(latency_ns) }
    }
}

/// Why a simulation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The generator was exhausted, and every operation has ended.
    Exhausted,
    /// The limit of operations was reached; what was open has ended.
    Limit,
    /// The generator waits for an event, but nothing is open: it would wait for ever.
    Stuck,
    /// The generator broke its rules.
    Broken(String),
}

/// What happened in a simulation.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// All events in order.
    pub ops: Vec<Op>,
    /// Why it ended.
    pub ending: Ending,
}

struct Open {
    worker: Option<u32>,
    completion: Op,
}

/// Runs a generator in virtual time: completions come first, then the generator is asked, then time moves on to the next
/// thing that happens. `answer` is asked once for each invocation, in order; at most `operations_max` are begun.
pub fn simulate(
    mut generator: Box<dyn Generator>,
    workers_count: u32,
    classes: &[&str],
    mut answer: impl FnMut(&Op) -> Answer,
    operations_max: u64,
) -> Simulation {
    let mut world = World { workers: Workers::new(workers_count, classes), ..World::default() };
    let mut begun = 0;
    let ending = loop {
        if world.complete_due(&mut generator) {
            continue;
        }
        let next = if begun >= operations_max {
            Next::Exhausted
        } else {
            generator.next(&Context::new(&world.workers, world.now_ns))
        };
        let until_ns = match next {
            Next::Op(invocation) => {
                begun += 1;
                let mut op = Op::new(invocation.process, Kind::Invoke, invocation.f, invocation.value);
                op.key = invocation.key;
                if let Err(reason) = world.begin(&mut generator, op, &mut answer) {
                    break Ending::Broken(reason);
                }
                continue;
            }
            Next::Pending { until_ns: Some(until_ns) } if until_ns <= world.now_ns => {
                break Ending::Broken(format!("waits until {until_ns}, but it is {}", world.now_ns));
            }
            Next::Pending { until_ns } => until_ns,
            Next::Exhausted => None,
        };
        let completion_ns = world.due.peek().map(|Reverse((at_ns, _))| *at_ns);
        match crate::generator::earlier(until_ns, completion_ns) {
            Some(at_ns) => world.now_ns = at_ns,
            None if begun >= operations_max => break Ending::Limit,
            None if next == Next::Exhausted => break Ending::Exhausted,
            None => break Ending::Stuck,
        }
    };
    Simulation { ops: world.ops, ending }
}

#[derive(Default)]
struct World {
    now_ns: u64,
    workers: Workers,
    ops: Vec<Op>,
    open: Vec<Option<Open>>,
    due: BinaryHeap<Reverse<(u64, usize)>>,
}

impl World {
    fn record(&mut self, generator: &mut Box<dyn Generator>, mut op: Op) {
        op.index = self.ops.len() as u32;
        op.time_ns = self.now_ns;
        generator.update(&Context::new(&self.workers, self.now_ns), &op);
        self.ops.push(op);
    }

    fn begin(
        &mut self,
        generator: &mut Box<dyn Generator>,
        op: Op,
        answer: &mut impl FnMut(&Op) -> Answer,
    ) -> Result<(), String> {
        let worker = self.occupy(&op.process)?;
        let answer = answer(&op);
        let mut completion = op.clone();
        completion.kind = match (worker, answer.kind) {
            (None, _) | (_, Kind::Invoke) => Kind::Info,
            (_, kind) => kind,
        };
        completion.matched = answer.matched;
        if let Some(value) = answer.value {
            completion.value = value;
        }
        self.due.push(Reverse((self.now_ns.saturating_add(answer.latency_ns), self.open.len())));
        self.open.push(Some(Open { worker, completion }));
        self.record(generator, op);
        Ok(())
    }

    fn occupy(&mut self, process: &Process) -> Result<Option<u32>, String> {
        match process {
            Process::Client(number) => {
                let worker = number % self.workers.count().max(1);
                if self.workers.process.get(worker as usize) != Some(number) || !self.workers.is_free(worker) {
                    return Err(format!("gave an operation to process {number}, which is not free"));
                }
                self.workers.set_free(worker, false);
                Ok(Some(worker))
            }
            Process::Nemesis(class) => match self.workers.nemesis.iter_mut().find(|(name, _)| name == class) {
                Some((_, free @ true)) => {
                    *free = false;
                    Ok(None)
                }
                _ => Err(format!("gave an operation to nemesis/{class}, which is not free")),
            },
        }
    }

    fn complete_due(&mut self, generator: &mut Box<dyn Generator>) -> bool {
        let Some(&Reverse((at_ns, place))) = self.due.peek() else { return false };
        if at_ns > self.now_ns {
            return false;
        }
        self.due.pop();
        let Some(open) = self.open[place].take() else { return true };
        match (open.worker, &open.completion.process) {
            (Some(worker), _) => {
                if open.completion.kind == Kind::Info {
                    self.workers.retire(worker);
                }
                self.workers.set_free(worker, true);
            }
            (None, Process::Nemesis(class)) => {
                self.workers.nemesis.iter_mut().filter(|(name, _)| name == class).for_each(|(_, free)| *free = true);
            }
            (None, Process::Client(_)) => {}
        }
        self.record(generator, open.completion);
        true
    }
}
