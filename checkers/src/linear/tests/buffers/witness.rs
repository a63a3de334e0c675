//! Witnesses: true and, where it is said, smallest; on every random history that is broken.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schism_history::{F, History, Kind, Op, Process, RunFacts, Value, ValueId, notation};

use super::super::brute;
use super::super::simulate::{self, Simulated, Wanted};
use super::Container;
use crate::anomaly::Witness;
use crate::checker::{Budget, Checker};
use crate::linear::models::ModelName;
use crate::linear::models::bag::Bag;
use crate::linear::models::buffer::BufferAction;
use crate::linear::models::priority_queue::PriorityQueue;
use crate::linear::models::queue::Queue;
use crate::linear::models::stack::Stack;
use crate::linear::split::{self, OPEN, Operation};
use crate::linear::{Linearizable, verify_witness};
use crate::verdict::{Finding, Outcome};

/// A value as a history has it.
trait Plain {
    fn plain(self) -> Value;
}

impl Plain for ValueId {
    fn plain(self) -> Value {
        Value::Int(i64::from(self.number()))
    }
}

impl Plain for i64 {
    fn plain(self) -> Value {
        Value::Int(self)
    }
}

fn check(model: ModelName, history: &History) -> Finding {
    Linearizable { model }.check(history, &RunFacts::default(), &Budget::default())
}

/// The history that has these operations, each by a process of its own.
fn as_history<V: Copy + Plain>(names: [&str; 2], operations: &[Operation<BufferAction<V>>]) -> History {
    let mut events: Vec<(u32, Op)> = Vec::new();
    let [put, get] = names.map(F::parse);
    for (process, operation) in operations.iter().enumerate() {
        let (f, argument, answer) = match operation.action {
            BufferAction::Put(value) => (put.clone(), value.plain(), value.plain()),
            BufferAction::Got(value) => (get.clone(), Value::Nil, value.plain()),
            BufferAction::Empty | BufferAction::Took => (get.clone(), Value::Nil, Value::Nil),
        };
        let process = Process::Client(process as u32);
        events.push((operation.invoke, Op::new(process.clone(), Kind::Invoke, f.clone(), argument)));
        if operation.end != OPEN {
            events.push((operation.end, Op::new(process, Kind::Ok, f, answer)));
        }
    }
    events.sort_by_key(|(time, _)| *time);
    History::from_ops(events.into_iter().map(|(_, op)| op)).expect("one operation a process")
}

fn judged<C: Container + Simulated>(model: &C, name: ModelName, names: [&str; 2], seed: u64)
where
    C::Value: Plain,
{
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let wanted = Wanted { operations_max: 8, doubts_max: 3, values: 0, processes: 3, edited_percent: 90 };
    let (mut bad, mut named, mut searched) = (0, 0, 0);
    for round in 0..1500 {
        let wanted = if round % 4 == 3 { Wanted { values: 2, ..wanted } } else { wanted };
        let operations = simulate::history(&mut random, model, wanted);
        let history = as_history(names, &operations);
        let keys = split::by_key(&history);
        let read = split::operations(model, &history, &keys[0]).operations;
        let finding = check(name, &history);
        let expected = if brute::linearizable(model, &read) { Outcome::Valid } else { Outcome::Invalid };
        assert_eq!(finding.outcome(), expected, "round {round}: {}", notation::write(&history));
        let Some(anomaly) = finding.anomalies.first() else { continue };
        bad += 1;
        searched += u32::from(finding.stats["algorithm"].get("frontier").is_some());
        verify_witness(&history, &anomaly.witness)
            .unwrap_or_else(|wrong| panic!("round {round}: {wrong}: {} {anomaly:?}", notation::write(&history)));
        let Witness::Nonlinearizable { smallest, exclusion, failed_at, .. } = &anomaly.witness else {
            panic!("another witness")
        };
        assert!(smallest, "round {round}");
        named += u32::from(exclusion.is_some());
        // Until the event it has no order, and until the one before it has.
        for (until, expected) in [(*failed_at, false), (*failed_at - 1, true)] {
            let begun = read.iter().filter(|operation| operation.invoke <= until);
            let known = begun.map(|operation| Operation {
                end: if operation.end > until { OPEN } else { operation.end },
                ..operation.clone()
            });
            let known: Vec<_> = known.collect();
            assert_eq!(brute::linearizable(model, &known), expected, "round {round}: {}", notation::write(&history));
        }
    }
    // Nearly all bags are decided without a search.
    let searched = searched > 0 || name == ModelName::Bag;
    assert!(bad > 400 && named > bad / 2 && searched, "{bad} bad, {named} named, searched: {searched}");
}

const QUEUE: [&str; 2] = ["enqueue", "dequeue"];

#[test]
fn witnesses_of_queues() {
    judged(&Queue, ModelName::Queue, QUEUE, 201);
}

#[test]
fn witnesses_of_bags() {
    judged(&Bag, ModelName::Bag, QUEUE, 203);
}

#[test]
fn witnesses_of_priority_queues() {
    judged(&PriorityQueue, ModelName::PriorityQueue, QUEUE, 205);
}

#[test]
fn witnesses_of_stacks() {
    judged(&Stack, ModelName::Stack, ["push", "pop"], 207);
}

/// What is told: operations of the smallest set, the pattern and its operations.
#[test]
fn told() {
    /// Model, history, operations of the witness, pattern, what its operations begin with.
    type Case<'a> = (ModelName, &'a str, &'a [u32], &'a str, &'a [u32]);
    let cases: [Case; 5] = [
        (
            ModelName::Queue,
            "0:enqueue=1 0:enqueue=2 0:enqueue=3 1:dequeue=nil>1 1:dequeue=nil>3",
            &[2, 4, 8],
            "overtaken",
            &[2, 4, 8],
        ),
        (ModelName::Queue, "0:enqueue=1 1:dequeue=nil>1 2:dequeue=nil>1", &[0, 2, 4], "out-too-often", &[0, 2, 4]),
        (ModelName::Bag, "0:enqueue=1 0:enqueue=2 0:dequeue=nil>1 1:dequeue=nil", &[2, 6], "never-empty", &[6, 2]),
        (
            ModelName::PriorityQueue,
            "0:enqueue=1 0:enqueue=-7 0:enqueue=-9 0:dequeue=nil>-7 0:dequeue=nil>1",
            &[0, 2, 6],
            "greater-inside",
            &[2, 6, 0],
        ),
        (
            ModelName::Stack,
            "0:push=1 0:push=2 0:push=3 0:pop=nil>3 0:pop=nil>1 0:pop=nil>2",
            &[0, 2, 8],
            "popped-from-below",
            &[0, 2, 8],
        ),
    ];
    for (model, line, operations, pattern, excluded) in cases {
        let history = notation::parse(line).unwrap();
        let finding = check(model, &history);
        let Witness::Nonlinearizable { operations: found, exclusion, smallest, .. } = &finding.anomalies[0].witness
        else {
            panic!("another witness")
        };
        let exclusion = exclusion.as_ref().unwrap();
        assert_eq!((found.as_slice(), exclusion.pattern.as_str(), *smallest), (operations, pattern, true), "{line}");
        assert!(exclusion.operations.starts_with(excluded), "{line}: {exclusion:?}");
        verify_witness(&history, &finding.anomalies[0].witness).unwrap();
    }
}

/// States in words, and what the models have no meaning for.
#[test]
fn states_and_refusals() {
    let shown = |model: ModelName, line: &str| {
        let finding = check(model, &notation::parse(line).unwrap());
        let Witness::Nonlinearizable { paths, .. } = &finding.anomalies[0].witness else { panic!("another witness") };
        paths[0].placed.iter().map(|placed| placed.state.clone()).collect::<Vec<_>>()
    };
    assert_eq!(shown(ModelName::Queue, r#"0:enqueue="a" 0:enqueue=2 0:dequeue=nil>2"#), ["[a]", "[a, 2]"]);
    assert_eq!(shown(ModelName::Stack, r#"0:push="a" 0:push=2 0:pop=nil>"a""#), ["[a]", "[2, a]"]);
    assert_eq!(shown(ModelName::PriorityQueue, "0:enqueue=-3 0:enqueue=2 0:dequeue=nil>-3"), ["[-3]", "[2, -3]"]);
    assert_eq!(shown(ModelName::Bag, "0:enqueue=3 0:dequeue=nil"), ["[3]"]);
    for (model, line, part) in [
        (ModelName::Queue, "0:push=1", "no function push"),
        (ModelName::Stack, "0:enqueue=1", "no function enqueue"),
        (ModelName::Queue, "0:enqueue=nil", "enqueue of nothing"),
        (ModelName::PriorityQueue, r#"0:enqueue="a""#, "integers of 64 bits, but has a"),
    ] {
        let finding = check(model, &notation::parse(line).unwrap());
        assert!(format!("{:?}", finding.gaps).contains(part), "{line}: {:?}", finding.gaps);
    }
}
