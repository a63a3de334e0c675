//! The store in memory: healthy without faults, and each disease shows.

use schism_generators::Invocation;
use schism_history::{F, Key, Node, Process, Seed, Value};
use schism_workloads::{Completion, Driver, NoopDriver, NoopFaults};

fn call(f: F, value: Value) -> Invocation {
    Invocation { process: Process::Client(0), f, key: Some(Key::Int(1)), value }
}

async fn answers(faults: NoopFaults, calls: &[Invocation]) -> Vec<Completion> {
    let driver = NoopDriver::new(faults, Seed(1));
    let mut client = driver.open(&Node::new("n1"), &Process::Client(0)).await.expect("it always opens");
    let mut answers = Vec::new();
    for call in calls {
        answers.push(client.invoke(call).await);
    }
    answers
}

#[tokio::test]
async fn answers_are_as_the_faults_say() {
    let script = [
        call(F::Read, Value::Nil),
        call(F::Write, Value::Int(1)),
        call(F::Cas, Value::Pair([1, 2])),
        call(F::Cas, Value::Pair([1, 3])),
        call(F::Read, Value::Nil),
    ];
    let ok = |value| Completion::ok(value);
    let cas = |old, new, matched| Completion::Ok { value: Value::Pair([old, new]), matched: Some(matched) };
    let int = |value| ok(Value::Int(value));
    let doubt = || Completion::Info(Value::str("timeout"));
    let refused = || Completion::Fail(Value::str("refused"));
    let none = NoopFaults::default();
    let cases = [
        (none, vec![ok(Value::Nil), int(1), cas(1, 2, true), cas(1, 3, false), int(2)]),
        (
            NoopFaults { stale_reads_per_mille: 1_000, ..none },
            vec![ok(Value::Nil), int(1), cas(1, 2, true), cas(1, 3, false), int(1)],
        ),
        (
            NoopFaults { lost_writes_per_mille: 1_000, ..none },
            vec![ok(Value::Nil), int(1), cas(1, 2, false), cas(1, 3, false), ok(Value::Nil)],
        ),
        (NoopFaults { doubt_per_mille: 1_000, ..none }, vec![doubt(), doubt(), doubt(), doubt(), doubt()]),
        (NoopFaults { failure_per_mille: 1_000, ..none }, vec![refused(), refused(), refused(), refused(), refused()]),
    ];
    for (faults, expected) in cases {
        assert_eq!(answers(faults, &script).await, expected, "{faults:?}");
    }
    let unknown = answers(none, &[call(F::Append, Value::Int(1))]).await;
    assert!(matches!(unknown[..], [Completion::Fail(_)]));
}
