//! The rules of histories, against a naive judge that looks at all events before each one.

mod common;

use common::{Sayable, pick, rng};
use rand::RngExt;
use schism_history::{F, History, HistoryBuilder, HistoryError, Key, Kind, Op, Process, Value, notation};

/// Whether an event may follow, told from nothing but the accepted events as they were given.
fn may_follow(before: &[Op], op: &Op) -> bool {
    let mine: Vec<&Op> = before.iter().filter(|other| other.process == op.process).collect();
    let client = op.process.client().is_some();
    let last = mine.last();
    let open = last.filter(|last| last.kind == Kind::Invoke);
    let retired = client && mine.iter().any(|other| other.kind == Kind::Info);
    match (op.kind, open) {
        (Kind::Invoke, open) => !retired && (open.is_none() || op.process.is_plain_nemesis()),
        (_, Some(open)) => open.f == op.f && (op.key.is_none() || op.key == open.key),
        (_, None) => false,
    }
}

fn random_op(rng: &mut rand_chacha::ChaCha8Rng) -> Op {
    let process = match rng.random_range(0..6) {
        0 => Process::nemesis(""),
        1 => Process::nemesis("kill"),
        number => Process::Client(number - 2),
    };
    let f = pick(rng, &[F::Read, F::Read, F::Read, F::Write]);
    let kind = pick(rng, &[Kind::Invoke, Kind::Invoke, Kind::Invoke, Kind::Ok, Kind::Ok, Kind::Fail, Kind::Info]);
    let mut op = Op::new(process, kind, f, Value::Int(rng.random_range(0..3)));
    op.key = pick(rng, &[None, None, None, Some(Key::Int(1)), Some(Key::Int(2))]);
    op
}

#[test]
fn accepts_what_a_naive_judge_accepts_and_nothing_else() {
    let mut rng = rng("rules");
    let (mut accepted_count, mut refused_count) = (0, 0);
    for _ in 0..3000 {
        let mut builder = HistoryBuilder::default();
        let mut accepted: Vec<Op> = Vec::new();
        for _ in 0..rng.random_range(0..40) {
            let given = random_op(&mut rng);
            let mut op = given.clone();
            // Jepsen's plain nemesis: an info that answers nothing begins something.
            let last = accepted.iter().rfind(|other| other.process == op.process);
            let answers = last.is_some_and(|last| last.kind == Kind::Invoke && last.f == op.f);
            if op.process.is_plain_nemesis() && op.kind == Kind::Info && !answers {
                op.kind = Kind::Invoke;
            }
            let expected = may_follow(&accepted, &op);
            assert_eq!(builder.push(given).is_ok(), expected, "{op:?} after {accepted:#?}");
            if expected {
                accepted.push(op);
                accepted_count += 1;
            } else {
                refused_count += 1;
            }
        }
        assert_eq!(builder.len(), accepted.len());
        obeys_the_rules(&builder.finish(), &accepted);
    }
    assert!(accepted_count > 10_000 && refused_count > 10_000, "{accepted_count} {refused_count}");
}

fn obeys_the_rules(history: &History, given: &[Op]) {
    assert_eq!(history.len(), given.len());
    for (place, (op, given)) in history.ops().zip(given).enumerate() {
        assert_eq!(op.index as usize, place);
        assert_eq!((&op.process, op.kind, &op.f, &op.value), (&given.process, given.kind, &given.f, &given.value));
        match history.pair(op.index) {
            Some(other) => {
                assert_eq!(history.pair(other), Some(op.index));
                assert_eq!(other > op.index, op.kind == Kind::Invoke);
                assert_eq!(history.process(other), &op.process);
                assert_eq!(history.f(other), &op.f);
                assert_eq!(history.key(other), op.key.as_ref());
                let (first, last) = (other.min(op.index), other.max(op.index));
                let between = (first + 1..last).any(|index| history.process(index) == &op.process);
                assert!(!between, "a process has one operation at a time");
            }
            None => assert_eq!(op.kind, Kind::Invoke, "only an invocation stands alone"),
        }
    }
    let calls = history.client_calls().count() + history.nemesis_calls().count();
    assert_eq!(calls, given.iter().filter(|op| op.kind == Kind::Invoke).count());
    assert_eq!(History::from_ops(history.ops()).as_ref(), Ok(history));
}

#[test]
fn each_rule_bites_and_says_so() {
    let client = |kind, f: &str, key: Option<i64>| {
        let mut op = Op::new(Process::Client(4), kind, F::parse(f), Value::Nil);
        op.key = key.map(Key::Int);
        op
    };
    for (events, expected) in [
        (
            vec![client(Kind::Ok, "read", None)],
            "event 0: process 4 completes read with ok, but has no operation open; its invocation is missing or was already answered",
        ),
        (
            vec![client(Kind::Invoke, "read", None), client(Kind::Fail, "write", None)],
            "event 1: process 4 completes write, but invoked read at event 0; a completion has its invocation's function",
        ),
        (
            vec![client(Kind::Invoke, "read", Some(1)), client(Kind::Ok, "read", Some(2))],
            "event 1: process 4 completes read with key 2, but invoked it with key 1 at event 0; a completion has its invocation's key",
        ),
        (
            vec![client(Kind::Invoke, "read", None), client(Kind::Ok, "read", Some(2))],
            "event 1: process 4 completes read with key 2, but invoked it with no key at event 0; a completion has its invocation's key",
        ),
        (
            vec![client(Kind::Invoke, "read", None), client(Kind::Invoke, "write", None)],
            "event 1: process 4 invokes write, but its operation of event 0 has not completed yet; a process has one operation at a time",
        ),
        (
            vec![
                client(Kind::Invoke, "read", None),
                client(Kind::Info, "read", None),
                client(Kind::Invoke, "read", None),
            ],
            "event 2: process 4 invokes read although its operation of event 1 ended in doubt; such a process is retired, and its worker goes on under a new number",
        ),
    ] {
        let error: HistoryError = History::from_ops(events).expect_err(expected);
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_completion_without_a_key_has_its_invocations() {
    let mut events: Vec<Op> = notation::parse("0@5:w1").expect("a history").ops().collect();
    events[1].key = None;
    let history = History::from_ops(events).expect("a history");
    assert_eq!(history.key(1), Some(&Key::Int(5)));
    assert_eq!(history.key_id(1), history.key_id(0));
}

#[test]
fn memory_is_told_with_what_values_hold() {
    let small = History::default().memory_bytes();
    let numbers = notation::parse(&vec!["0:w1"; 1000].join(" ")).expect("a history").memory_bytes();
    let text = |number: usize| format!("0:write={:?}", "x".repeat(1000 + number % 500));
    let texts = notation::parse(&(0..1000).map(text).collect::<Vec<_>>().join(" ")).expect("a history").memory_bytes();
    assert!(small < 100, "{small}");
    // 2000 events without key and node, 19 bytes each.
    assert!((38_000..39_000).contains(&numbers), "{numbers}");
    // Each of 500 different texts is there once.
    let held = 500 * 1250;
    assert!((numbers + held..numbers + held + 100_000).contains(&texts), "{texts}");
}

#[test]
fn random_histories_come_back_from_the_notation() {
    let mut rng = rng("notation");
    let mut events = 0;
    for _ in 0..300 {
        let written = common::history(&mut rng, 60, true, Sayable::ByBoth);
        let text = notation::write(&written);
        let read = notation::parse(&text).unwrap_or_else(|error| panic!("{text}\n{error}"));
        let said = |op: Op| (op.process, op.kind, op.f, op.key, op.value);
        assert_eq!(read.ops().map(said).collect::<Vec<_>>(), written.ops().map(said).collect::<Vec<_>>(), "{text}");
        events += written.len();
    }
    assert!(events > 3000, "{events}");
}

#[test]
fn the_notation_never_panics() {
    let mut rng = rng("notation/mutants");
    for _ in 0..20_000 {
        let history = common::history(&mut rng, 6, true, Sayable::ByBoth);
        let mut bytes = notation::write(&history).into_bytes();
        common::mutate(&mut rng, &mut bytes);
        if let Err(error) = notation::parse(&String::from_utf8_lossy(&bytes)) {
            assert!(error.to_string().contains("byte "));
        }
    }
}
