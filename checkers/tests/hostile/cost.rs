//! Shapes that once took minutes or never ended, and what a small budget may cost.

use std::time::{Duration, Instant};

use schism_checkers::{Budget, Outcome, Witness};
use schism_history::{F, History, HistoryBuilder, Kind, Op, Process, Value};

use super::compare::judged;

/// Far more than any case takes, far less than it took.
const TIME_MAX: Duration = Duration::from_secs(120);

/// Events one after the other.
struct Tape(HistoryBuilder);

impl Tape {
    fn push(&mut self, process: u32, kind: Kind, f: F, value: Value, matched: Option<bool>) {
        let op = Op { matched, ..Op::new(Process::Client(process), kind, f, value) };
        self.0.push(op).expect("a sound history");
    }

    fn write(&mut self, value: i64) {
        self.push(0, Kind::Invoke, F::Write, Value::Int(value), None);
        self.push(0, Kind::Ok, F::Write, Value::Int(value), None);
    }

    fn miss(&mut self, old: i64) {
        self.push(0, Kind::Invoke, F::Cas, Value::Pair([old, 8]), None);
        self.push(0, Kind::Ok, F::Cas, Value::Pair([old, 8]), Some(false));
    }

    fn read(&mut self, value: i64) {
        self.push(0, Kind::Invoke, F::Read, Value::Nil, None);
        self.push(0, Kind::Ok, F::Read, Value::Int(value), None);
    }
}

fn tape(record: impl FnOnce(&mut Tape)) -> History {
    let mut tape = Tape(HistoryBuilder::default());
    record(&mut tape);
    tape.0.finish()
}

fn writes_then_a_stale_read(count: i64) -> History {
    tape(|tape| {
        (0..count).for_each(|value| tape.write(value));
        tape.read(5);
    })
}

/// Sizes at which whatever costs the square of the operations is past the time.
#[test]
fn long_and_wide_histories_end() {
    type Record = Box<dyn FnOnce(&mut Tape)>;
    let cases: [(&str, Record, Outcome); 3] = [
        (
            "no match, again and again, of values that do occur",
            Box::new(|tape| {
                (0..60_000).for_each(|count| {
                    tape.write(count % 3);
                    tape.miss((count + 1) % 3);
                });
            }),
            Outcome::Valid,
        ),
        (
            "many different writes in doubt, each of them observed",
            Box::new(|tape| {
                for process in 1..=2_500 {
                    tape.push(process, Kind::Invoke, F::Write, Value::Int(i64::from(process)), None);
                }
                (1..=2_500).for_each(|value| tape.read(value));
            }),
            Outcome::Valid,
        ),
        (
            "a thousand writers at once, then a reader of each",
            Box::new(|tape| {
                for kind in [Kind::Invoke, Kind::Ok] {
                    for process in 0..1_000 {
                        tape.push(process, kind, F::Write, Value::Int(i64::from(process)), None);
                    }
                }
                (0..1_000).for_each(|value| tape.read(value));
            }),
            Outcome::Invalid,
        ),
    ];
    for (name, record, expected) in cases {
        let history = tape(record);
        let start = Instant::now();
        let finding = judged(&history, &Budget::default());
        let took = start.elapsed();
        assert_eq!(finding.outcome(), expected, "{name}");
        println!("{name}: {} events in {took:?}", history.len());
        assert!(took < TIME_MAX, "{name}: {took:?}");
    }
}

/// A contradiction that is known is told within any budget, with what can be said of it.
#[test]
fn a_small_budget_still_tells_the_contradiction() {
    let history = writes_then_a_stale_read(20_000);
    for (steps_max, operations_count, is_smallest) in [(2, 3, false), (40, 3, true), (10_000, 3, true)] {
        let start = Instant::now();
        let finding = judged(&history, &Budget { steps_max, ..Budget::default() });
        assert_eq!(finding.outcome(), Outcome::Invalid, "{steps_max}");
        let Witness::Nonlinearizable { operations, smallest, failed_at, .. } = &finding.anomalies[0].witness else {
            panic!("{:?}", finding.anomalies)
        };
        assert_eq!((operations.len(), *smallest), (operations_count, is_smallest), "{steps_max}");
        assert_eq!(*failed_at, 40_001, "{steps_max}");
        assert!(start.elapsed() < TIME_MAX, "{:?}", start.elapsed());
    }
}
