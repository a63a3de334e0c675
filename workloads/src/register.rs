//! Registers: read, write and compare-and-set over independent keys, judged for linearizability.
//!
//! Values are unique per key by default, so that a read names the write that it saw. A compare-and-set expects a value
//! that was seen lately, so that a good part of them match.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_generators::{Combine, Context, Generator, IndependentKeys, Invocation, Next, Rotation, sequence};
use schism_history::{F, Kind, Op, REPLICA_READ, Seed, Value};
use serde::{Deserialize, Serialize};

use crate::final_reads::FinalReads;
use crate::spec::{Judge, Workload, WorkloadError};

/// Its name in a suite.
pub const NAME: &str = "register";

/// Its options, for people.
pub(crate) const OPTIONS: &[(&str, &str)] = &[
    ("values", "unique: every write of a key writes another value (default); small: 0 to 4, again and again"),
    ("read_weight", "how often reads are drawn, beside the other weights (default 2)"),
    ("write_weight", "how often writes are drawn (default 1)"),
    ("cas_weight", "how often compare-and-sets are drawn (default 1); 0: none"),
    ("workers_per_key", "workers on one key at a time (default 5)"),
    ("operations_per_key_max", "operations before a group of workers takes a fresh key (default 400)"),
    ("processes_per_key_max", "processes on one key, each doubt making a new one, before a fresh key (default 20)"),
    ("final_reads", "whether the keys in use are read by all workers after the last fault is healed (default true)"),
    (
        "replica_reads",
        "whether every member is asked at the end what it holds itself, and all compared (default false)",
    ),
];

/// Largest value of [`Values::Small`].
const SMALL_VALUE_MAX: i64 = 4;

/// Which values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Values {
    /// 1, 2, 3... for each key.
    #[default]
    Unique,
    /// 0 to 4, drawn.
    Small,
}

/// Options of the register workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegisterOptions {
    /// Which values are written.
    pub values: Values,
    /// Weight of reads; the defaults make half of all operations reads.
    pub read_weight: u32,
    /// Weight of writes.
    pub write_weight: u32,
    /// Weight of compare-and-sets. One that is drawn before any value was seen becomes a write.
    pub cas_weight: u32,
    /// Workers on one key at a time. With neighbouring workers on neighbouring nodes, at least the number of nodes lets
    /// each key see every node.
    pub workers_per_key: u32,
    /// Operations on a key before its workers take a fresh one.
    pub operations_per_key_max: u64,
    /// Processes on a key before its workers take a fresh one: its workers and one more for each doubt. Bounds the
    /// search of the checker.
    pub processes_per_key_max: u64,
    /// Whether the keys in use are read once more by every worker at the end.
    pub final_reads: bool,
    /// Whether every member is asked at the end, twice, what it holds itself of the keys in use; the database's client
    /// must know such reads ([`schism_history::REPLICA_READ`]).
    pub replica_reads: bool,
}

impl Default for RegisterOptions {
    fn default() -> RegisterOptions {
        RegisterOptions {
            values: Values::Unique,
            read_weight: 2,
            write_weight: 1,
            cas_weight: 1,
            workers_per_key: 5,
            operations_per_key_max: 400,
            processes_per_key_max: 20,
            final_reads: true,
            replica_reads: false,
        }
    }
}

impl RegisterOptions {
    fn check(&self) -> Result<(), WorkloadError> {
        let wrong = |option, found: u64, expected| {
            Err(WorkloadError { workload: NAME, option, found: format!("is {found}"), expected })
        };
        if self.write_weight == 0 {
            return wrong("write_weight", 0, "there must be writes, or there is nothing to judge");
        }
        if self.read_weight == 0 {
            return wrong("read_weight", 0, "there must be reads, or there is nothing to judge");
        }
        if self.workers_per_key == 0 {
            return wrong("workers_per_key", 0, "a key needs at least 1 worker");
        }
        if self.operations_per_key_max == 0 {
            return wrong("operations_per_key_max", 0, "a key needs at least 1 operation");
        }
        if self.processes_per_key_max < u64::from(self.workers_per_key) {
            let found = self.processes_per_key_max;
            return wrong("processes_per_key_max", found, "it must be at least workers_per_key");
        }
        Ok(())
    }
}

pub(crate) fn build(options: &RegisterOptions, seed: Seed, concurrency: u32) -> Result<Workload, WorkloadError> {
    options.check()?;
    let per_key = options.clone();
    let keys = IndependentKeys::new(options.workers_per_key, None, move |key: i64| {
        let chance = seed.stream(&format!("workload/{NAME}/{key}"));
        Registers::new(&per_key, chance)
            .limit(per_key.operations_per_key_max)
            .process_limit(per_key.processes_per_key_max)
    });
    let mut functions = vec!["read".to_owned(), "write".to_owned()];
    if options.cas_weight > 0 {
        functions.push("cas".to_owned());
    }
    let mut judges = vec![Judge { model: Some("cas-register".to_owned()), ..Judge::of("linearizable") }];
    let mut last: Vec<Box<dyn Generator>> = Vec::new();
    if options.final_reads {
        last.push(FinalReads::new(concurrency).boxed());
    }
    if options.replica_reads {
        last.push(FinalReads::of_replicas(concurrency).boxed());
        functions.push(REPLICA_READ.to_owned());
        judges.push(Judge::of("replicas"));
    }
    Ok(Workload {
        generator: keys.boxed(),
        final_generator: (!last.is_empty()).then(|| sequence(last).boxed()),
        judges,
        functions,
    })
}

/// Operations on one register, without end and without a key.
#[derive(Debug, Clone)]
pub struct Registers {
    values: Values,
    read_weight: u32,
    write_weight: u32,
    weight_sum: u64,
    chance: ChaCha8Rng,
    last_written: i64,
    seen: Seen,
    rotation: Rotation,
}

impl Registers {
    /// Operations by weight; values and order from `chance`.
    pub fn new(options: &RegisterOptions, chance: ChaCha8Rng) -> Registers {
        let weights = [options.read_weight, options.write_weight, options.cas_weight];
        Registers {
            values: options.values,
            read_weight: options.read_weight,
            write_weight: options.write_weight,
            weight_sum: weights.into_iter().map(u64::from).sum::<u64>().max(1),
            chance,
            last_written: 0,
            seen: Seen::default(),
            rotation: Rotation::default(),
        }
    }

    fn fresh_value(&mut self) -> i64 {
        match self.values {
            Values::Small => self.chance.random_range(0..=SMALL_VALUE_MAX),
            Values::Unique => {
                self.last_written += 1;
                self.last_written
            }
        }
    }

    fn draw(&mut self) -> (F, Value) {
        let ticket = self.chance.random_range(0..self.weight_sum);
        let Some(beyond_reads) = ticket.checked_sub(u64::from(self.read_weight)) else { return (F::Read, Value::Nil) };
        if beyond_reads >= u64::from(self.write_weight)
            && let Some(old) = self.seen.draw(&mut self.chance)
        {
            return (F::Cas, Value::Pair([old, self.fresh_value()]));
        }
        (F::Write, Value::Int(self.fresh_value()))
    }
}

impl Generator for Registers {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let Some(worker) = self.rotation.pick(context) else { return Next::WAIT };
        let (f, value) = self.draw();
        Next::Op(Invocation { process: context.process(worker), f, key: None, value })
    }

    fn update(&mut self, _: &Context<'_>, event: &Op) {
        if event.kind != Kind::Ok {
            return;
        }
        match (&event.f, &event.value) {
            (F::Read | F::Write, Value::Int(value)) => self.seen.push(*value),
            (F::Cas, Value::Pair([_, new])) if event.matched != Some(false) => self.seen.push(*new),
            _ => {}
        }
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// The values seen last, the latest first.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    values: [i64; 4],
    len: usize,
}

impl Seen {
    fn push(&mut self, value: i64) {
        if self.len > 0 && self.values[0] == value {
            return;
        }
        self.values.rotate_right(1);
        self.values[0] = value;
        self.len = (self.len + 1).min(self.values.len());
    }

    /// Mostly the latest: it is the one that may match.
    fn draw(&self, chance: &mut ChaCha8Rng) -> Option<i64> {
        if self.len == 0 {
            return None;
        }
        let place = if chance.random_range(0..4) < 3 { 0 } else { chance.random_range(0..self.len) };
        Some(self.values[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_named() {
        let cases = [
            (RegisterOptions { write_weight: 0, ..Default::default() }, "write_weight is 0"),
            (RegisterOptions { read_weight: 0, ..Default::default() }, "read_weight is 0"),
            (RegisterOptions { workers_per_key: 0, ..Default::default() }, "workers_per_key is 0"),
            (RegisterOptions { operations_per_key_max: 0, ..Default::default() }, "operations_per_key_max is 0"),
            (RegisterOptions { processes_per_key_max: 4, ..Default::default() }, "processes_per_key_max is 4"),
        ];
        for (options, part) in cases {
            let error = build(&options, Seed(1), 10).err().expect(part).to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn only_what_took_effect_is_expected_later() {
        let (int, pair) = (Value::Int, |old, new| Value::Pair([old, new]));
        let cases = [
            (Kind::Ok, F::Read, int(7), None, vec![7]),
            (Kind::Ok, F::Read, Value::Nil, None, vec![]),
            (Kind::Ok, F::Write, int(8), None, vec![8]),
            (Kind::Ok, F::Cas, pair(1, 9), Some(true), vec![9]),
            (Kind::Ok, F::Cas, pair(1, 9), Some(false), vec![]),
            (Kind::Invoke, F::Write, int(8), None, vec![]),
            (Kind::Info, F::Write, int(8), None, vec![]),
            (Kind::Fail, F::Write, int(8), None, vec![]),
        ];
        let workers = schism_generators::Workers::new(1, &[]);
        for (kind, f, value, matched, expected) in cases {
            let mut registers = Registers::new(&RegisterOptions::default(), Seed(1).stream("test"));
            let mut event = Op::new(schism_history::Process::Client(0), kind, f, value);
            event.matched = matched;
            registers.update(&Context::new(&workers, 0), &event);
            assert_eq!(registers.seen.values[..registers.seen.len], expected, "{event:?}");
        }
    }

    #[test]
    fn seen_keeps_the_latest_first() {
        let mut seen = Seen::default();
        [1, 2, 2, 3, 4, 5].into_iter().for_each(|value| seen.push(value));
        assert_eq!((seen.values, seen.len), ([5, 4, 3, 2], 4));
    }
}
