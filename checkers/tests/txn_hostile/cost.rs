//! Shapes that cost the most for their size: each ends in little time, within its budget.

use std::time::{Duration, Instant};

use schism_checkers::txn::checker::{Data, TxnChecker};
use schism_checkers::txn::levels::Level;
use schism_checkers::txn::rw_register::VersionSources;
use schism_checkers::{Budget, Checker, Finding};
use schism_history::{F, History, HistoryBuilder, Key, Kind, Mop, Op, Process, RunFacts, Value};

/// Far more than any takes without optimisation, far less than what costs the square of it does.
const TIME_MAX: Duration = Duration::from_secs(180);

/// What takes longer is told in any case.
const TIME_TOLD: Duration = Duration::from_secs(2);

/// What each may cost.
pub const BUDGET: Budget = Budget { steps_max: 200_000, memory_bytes_max: 32 << 20 };

/// Models that ask different engines.
pub const LEVELS: &[Level] = &[
    Level::StrictSerializable,
    Level::SnapshotIsolation,
    Level::ParallelSnapshotIsolation,
    Level::AxiomaticPrefix,
    Level::Causal,
    Level::Sequential,
    Level::Linearizable,
];

/// Calls one after the other, or all at the same time.
struct Tape {
    builder: HistoryBuilder,
    late: Vec<Op>,
    overlap: bool,
}

impl Tape {
    fn new(overlap: bool) -> Tape {
        Tape { builder: HistoryBuilder::default(), late: Vec::new(), overlap }
    }

    fn push(&mut self, op: Op) {
        self.builder.push(op).expect("a sound history");
    }

    fn txn(&mut self, process: usize, kind: Kind, mops: Vec<Mop>) {
        let op = |kind| Op::new(Process::Client(process as u32), kind, F::Txn, Value::Txn(Box::new(mops.clone())));
        self.push(op(Kind::Invoke));
        if self.overlap { self.late.push(op(kind)) } else { self.push(op(kind)) }
    }

    fn finish(mut self) -> History {
        for op in std::mem::take(&mut self.late) {
            self.push(op);
        }
        self.builder.finish()
    }
}

fn int(number: usize) -> Value {
    Value::Int(number as i64)
}

fn ints(numbers: impl Iterator<Item = usize>) -> Value {
    Value::list(numbers.map(int).collect())
}

fn mop(f: &str, value: Value) -> Mop {
    Mop::new(f, Key::Int(1), value)
}

/// A shape of a size, by name.
pub type Shape = (&'static str, Data, fn() -> History);

/// All of them.
pub const SHAPES: &[Shape] = &[
    ("each read of a list has another order", Data::ListAppend, || {
        let mut tape = Tape::new(true);
        (0..300).for_each(|at| tape.txn(at, Kind::Ok, vec![mop("append", int(at))]));
        (0..300).for_each(|at| {
            let turned = ints((0..300).map(|place| (place + at) % 300));
            tape.txn(300 + at, Kind::Ok, vec![mop("r", turned)]);
        });
        tape.finish()
    }),
    ("lists of one element, over and over", Data::ListAppend, || {
        let mut tape = Tape::new(false);
        tape.txn(0, Kind::Ok, vec![mop("append", int(1))]);
        (0..100).for_each(|at| tape.txn(at, Kind::Ok, vec![mop("r", ints((0..1_000 + at).map(|_| 1)))]));
        tape.finish()
    }),
    ("lists of what nobody wrote", Data::ListAppend, || {
        let mut tape = Tape::new(false);
        (0..100).for_each(|at| tape.txn(at, Kind::Ok, vec![mop("r", ints((0..1_000).map(|place| place * (at + 1))))]));
        tape.finish()
    }),
    ("appends that nobody read after reads of nothing", Data::ListAppend, || {
        let mut tape = Tape::new(true);
        (0..2_000).for_each(|at| tape.txn(at, Kind::Ok, vec![mop("r", Value::Nil), mop("append", int(at))]));
        tape.finish()
    }),
    ("the same in doubt", Data::ListAppend, || {
        let mut tape = Tape::new(true);
        (0..2_000).for_each(|at: usize| {
            let kind = if at.is_multiple_of(2) { Kind::Info } else { Kind::Ok };
            tape.txn(at, kind, vec![mop("r", Value::Nil), mop("append", int(at))]);
        });
        tape.finish()
    }),
    ("a transaction of many appends, read to every length", Data::ListAppend, || {
        let mut tape = Tape::new(true);
        tape.txn(0, Kind::Ok, (0..600).map(|at| mop("append", int(at))).collect());
        (1..600).for_each(|at| tape.txn(at, Kind::Ok, vec![mop("r", ints(0..at))]));
        tape.finish()
    }),
    ("one value, written and read by everybody", Data::RwRegister, || {
        let mut tape = Tape::new(true);
        (0..600).for_each(|at| tape.txn(at, Kind::Ok, vec![mop("w", int(1)), Mop::new("w", Key::Int(2), int(at))]));
        (600..1_200).for_each(|at| tape.txn(at, Kind::Ok, vec![mop("r", int(1))]));
        tape.finish()
    }),
    ("updates of one register from its beginning", Data::RwRegister, || {
        let mut tape = Tape::new(true);
        (0..1_500).for_each(|at| tape.txn(at, Kind::Ok, vec![mop("r", Value::Nil), mop("w", int(at))]));
        tape.finish()
    }),
    ("blind writes of one register and their readers", Data::RwRegister, || {
        let mut tape = Tape::new(true);
        (0..500).for_each(|at| tape.txn(at, Kind::Ok, vec![mop("w", int(at))]));
        (0..500).for_each(|at| tape.txn(500 + at, Kind::Ok, vec![mop("r", int(at)), mop("r", int((at * 7) % 500))]));
        tape.finish()
    }),
    ("writes in doubt", Data::RwRegister, || {
        let mut tape = Tape::new(true);
        (0..2_000)
            .for_each(|at| tape.txn(at, Kind::Info, vec![mop("w", int(at)), Mop::new("w", Key::Int(2), int(at))]));
        (0..20).for_each(|at| tape.txn(3_000 + at, Kind::Ok, vec![mop("r", int(at))]));
        tape.finish()
    }),
    ("one transaction of everything", Data::RwRegister, || {
        let mut tape = Tape::new(false);
        let one = |at: usize| mop(if at.is_multiple_of(2) { "w" } else { "r" }, int(at / 2));
        tape.txn(0, Kind::Ok, (0..20_000).map(one).collect());
        tape.finish()
    }),
    ("a predicate over many objects, read by many", Data::RwRegister, || {
        let mut tape = Tape::new(true);
        let object = |at: usize| Key::Int(at as i64);
        (0..150).for_each(|at| tape.txn(at, Kind::Ok, vec![Mop::new("insert", object(at), int(at))]));
        (0..150).for_each(|at| {
            let found = (0..at).map(|place| (int(place), int(place))).collect();
            let read = Mop::new("rp", Key::Str("true".into()), Value::Map(Box::new(found)));
            tape.txn(150 + at, Kind::Ok, vec![read]);
        });
        tape.finish()
    }),
    ("keys and values of a great length", Data::RwRegister, || {
        let mut tape = Tape::new(false);
        (0..40).for_each(|at| {
            let key = Key::Str(format!("{}{at}", "k".repeat(100_000)).into());
            let value = Value::str(&format!("{}{at}", "v".repeat(100_000)));
            tape.txn(at, Kind::Ok, vec![Mop::new("w", key.clone(), value.clone())]);
            tape.txn(at, Kind::Ok, vec![Mop::new("r", key, value)]);
        });
        tape.finish()
    }),
];

/// Judges a shape at a model.
pub fn judge(history: &History, data: Data, level: Level) -> Finding {
    let checker = TxnChecker { data, level, sources: VersionSources::default() };
    checker.check(history, &RunFacts::default(), &BUDGET)
}

#[test]
#[allow(clippy::print_stderr, reason = "what takes long is told")]
fn shapes_that_cost_the_most_end() {
    let mut wrong = Vec::new();
    for (name, data, make) in SHAPES {
        let history = make();
        for &level in LEVELS {
            let start = Instant::now();
            let finding = judge(&history, *data, level);
            let (elapsed, steps) = (start.elapsed(), finding.stats["steps"].as_u64().unwrap_or(u64::MAX));
            if elapsed > TIME_TOLD {
                eprintln!("{name}: {level} took {elapsed:?} and {steps} steps");
            }
            if elapsed > TIME_MAX || steps > 20 * BUDGET.steps_max {
                wrong.push(format!("{name}: {level} took {elapsed:?} and {steps} steps"));
            }
            // Where something was found, more is not told than a person reads, and what is told is short.
            let told = serde_json::to_string(&finding.anomalies).map_or(0, |text| text.len());
            if told > 4 << 20 {
                wrong.push(format!("{name}: {level} tells {told} bytes"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
