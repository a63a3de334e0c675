//! Witnesses: minimality and soundness on every random history that is broken, and cases as data.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schism_history::{F, History, Kind, Op, Process, RunFacts, Value, ValueId, notation};

use super::brute;
use super::store::{Shape, history};
use crate::anomaly::Witness;
use crate::checker::{Budget, Checker};
use crate::linear::models::{ModelName, Register, RegisterAction};
use crate::linear::split::{OPEN, Operation};
use crate::linear::{Linearizable, verify_witness};
use crate::verdict::{Finding, Outcome};

fn check(history: &History) -> Finding {
    let checker = Linearizable { model: ModelName::CasRegister };
    checker.check(history, &RunFacts::default(), &Budget::default())
}

fn value(id: &ValueId) -> Value {
    if *id == ValueId::NIL { Value::Nil } else { Value::Int(i64::from(id.number())) }
}

/// The history that has these operations, each by a process of its own.
fn as_history(operations: &[Operation<RegisterAction>]) -> History {
    let mut events: Vec<(u32, Op)> = Vec::new();
    for (process, operation) in operations.iter().enumerate() {
        let (f, argument, result, matched) = match &operation.action {
            RegisterAction::Read(seen) => (F::Read, Value::Nil, value(seen), None),
            RegisterAction::Write(new) => (F::Write, value(new), value(new), None),
            RegisterAction::Cas(old, new) => {
                let pair = Value::list(vec![value(old), value(new)]);
                (F::Cas, pair.clone(), pair, None)
            }
            RegisterAction::Miss(old) => {
                let pair = Value::list(vec![value(old), Value::Int(-1)]);
                (F::Cas, pair.clone(), pair, Some(false))
            }
        };
        let process = Process::Client(process as u32);
        events.push((operation.invoke, Op::new(process.clone(), Kind::Invoke, f.clone(), argument)));
        if operation.end != OPEN {
            let completion = Op { matched, ..Op::new(process, Kind::Ok, f, result) };
            events.push((operation.end, completion));
        }
    }
    events.sort_by_key(|(index, _)| *index);
    History::from_ops(events.into_iter().map(|(_, op)| op)).unwrap()
}

#[test]
fn every_witness_is_sound_and_smallest() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let (mut witnesses, mut sizes) = (0, [0; 9]);
    for round in 0..12_000 {
        let values = [0, 2, 3][round % 3];
        let operations = history(&mut random, Shape { operations_max: 8, doubts_max: 3, values });
        let history = as_history(&operations);
        let finding = check(&history);
        let expected = brute::linearizable(&Register { cas: true }, &operations);
        assert_eq!(finding.outcome() == Outcome::Valid, expected, "round {round}");
        for anomaly in &finding.anomalies {
            witnesses += 1;
            verify_witness(&history, &anomaly.witness)
                .unwrap_or_else(|wrong| panic!("round {round}: {wrong}: {:?} {}", anomaly, notation::write(&history)));
            let Witness::Nonlinearizable { operations, smallest, failed_at, .. } = &anomaly.witness else {
                panic!("another witness")
            };
            assert!(smallest);
            sizes[operations.len()] += 1;
            assert_first_failure(&history, *failed_at);
        }
    }
    assert!(witnesses > 3000, "{witnesses}");
    assert!(sizes[2..].iter().sum::<usize>() > 1500 && sizes[3..].iter().sum::<usize>() > 500, "sizes {sizes:?}");
}

/// The history up to that event is invalid, and up to the one before it is not.
fn assert_first_failure(history: &History, failed_at: u32) {
    for (events, expected) in [(failed_at + 1, Outcome::Invalid), (failed_at, Outcome::Valid)] {
        let prefix = History::from_ops(history.ops().take(events as usize)).unwrap();
        assert_eq!(check(&prefix).outcome(), expected, "{events} events of {}", notation::write(history));
    }
}

/// Invalid histories: line, operations of the witness by invocation, the event at which it failed.
const REJECTED: &[(&str, &[u32], u32)] = &[
    // The very first operation is illegal, and nothing else succeeded.
    ("0:r1", &[0], 1),
    ("0:r1 1:w2!", &[0], 1),
    ("0:c1>2", &[0], 1),
    // A stale read, and what does not matter for it.
    ("0:w1 0:w2 1:r1", &[0, 2, 4], 5),
    ("0:w7 0:r7 0:w1 0:r1 0:w2 1:r2 1:r1 1:w3", &[4, 8, 12], 13),
    // A read of nil after a write that ended.
    ("0:w1 1:rnil", &[0, 2], 3),
    // Two reads that disagree about the order of two writes: each alone would do.
    ("0:w1( 1:w2( 2:r1 2:r2 2:r1 0) 1)", &[0, 1, 2, 4, 6], 7),
    // A write that failed was read all the same.
    ("0:w1! 1:r1", &[2], 3),
    // No match, although nothing else was ever there.
    ("0:w1 1:c1>2~", &[0, 2], 3),
    // In doubt, but it can happen only once.
    ("0:w1? 1:r1 1:w2 1:r1", &[0, 2, 4, 6], 7),
    // One compare-and-set after another from the same value.
    ("0:w1 0:c1>2 1:c1>3", &[0, 2, 4], 5),
    // Two keys: only one is broken.
    ("0@1:w1 0@2:w1 0@1:r1 0@2:rnil", &[2, 6], 7),
];

const ACCEPTED: &[&str] = &[
    "",
    "0:rnil",
    "0:w1! 0:rnil",
    "0:w1( 1:rnil 0)",
    "0:w1( 1:r1 0)",
    // Never answered: it may happen late, or never.
    "0:w1( 1:rnil 1:w2 1:r2 1:r1",
    "0:w1? 1:rnil 1:rnil",
    "0:r? 1:w1 1:r1",
    // No match, explained by a write in doubt that nobody read.
    "0:w1 1:w5? 2:c1>2~",
    "0:w1 0:c1>2 0:r2 1:c1>3~",
    "0:c1>2? 1:w1 1:r2",
    // The argument of a read means nothing; a missing answer to a read neither.
    "0:w1 1:r( 1)1 2:r( 2!",
    // A list and a text as values.
    r#"0:write=["a"] 1:read=nil>["a"] 0:write="x" 1:read=nil>"x""#,
    "nemesis/kill#1:inject={} 0:w1 0:r1",
    "0@1:w1 0@2:rnil 0@1:r1",
];

#[test]
fn rejects() {
    for (line, operations, failed_at) in REJECTED {
        let history = notation::parse(line).unwrap();
        let finding = check(&history);
        assert_eq!(finding.outcome(), Outcome::Invalid, "{line}");
        let Witness::Nonlinearizable { operations: found, failed_at: at, smallest, blocked, paths, .. } =
            &finding.anomalies[0].witness
        else {
            panic!("another witness")
        };
        assert_eq!((found.as_slice(), at, *smallest), (*operations, failed_at, true), "{line}");
        assert!(operations.contains(blocked) && !paths.is_empty(), "{line}");
        verify_witness(&history, &finding.anomalies[0].witness).unwrap();
    }
}

#[test]
fn accepts() {
    for line in ACCEPTED {
        let finding = check(&notation::parse(line).unwrap());
        assert_eq!(finding.outcome(), Outcome::Valid, "{line}: {finding:?}");
    }
}

/// A witness that lies is found out.
#[test]
fn verify_refuses_lies() {
    let history = notation::parse("0:w1 0:w2 1:r1 1:r1").unwrap();
    let truth = check(&history).anomalies.remove(0).witness;
    verify_witness(&history, &truth).unwrap();
    type Lie = fn(&mut Vec<u32>);
    let lies: [(&str, Lie); 5] = [
        ("nothing", Vec::clear),
        ("a read without its write", |operations| operations.retain(|&operation| operation != 0)),
        ("one too many", |operations| *operations = vec![0, 2, 4, 6]),
        ("an order exists", |operations| *operations = vec![0, 4]),
        ("no such event", |operations| operations.push(99)),
    ];
    for (lie, tell) in lies {
        let mut witness = truth.clone();
        let Witness::Nonlinearizable { operations, .. } = &mut witness else { panic!("another witness") };
        tell(operations);
        assert!(verify_witness(&history, &witness).is_err(), "{lie}");
    }
    let mut witness = truth.clone();
    let Witness::Nonlinearizable { paths, .. } = &mut witness else { panic!("another witness") };
    paths[0].placed[0].state = "5".to_owned();
    assert!(verify_witness(&history, &witness).is_err(), "a wrong state");
}
