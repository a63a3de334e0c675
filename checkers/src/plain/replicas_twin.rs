//! The checker `replicas` against a judge that shares nothing with it but the history's events, against clusters whose truth
//! is known, and with every named mutant.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::{F, Key, Node, Op, Process, Value};

use super::*;
use crate::verdict::Outcome;

fn below(random: &mut ChaCha8Rng, bound: u64) -> u64 {
    random.next_u64() % bound
}

/// One call of a history to be made.
#[derive(Debug, Clone)]
struct Planned {
    f: &'static str,
    key: i64,
    node: String,
    value: i64,
    /// `None`: never answered.
    answer: Option<Kind>,
    /// Moments; no two are the same.
    begin: u64,
    end: u64,
}

/// Events in the order of their moments, each call by a process of its own.
fn events(calls: &[Planned]) -> Vec<Op> {
    let mut events: Vec<(u64, Op)> = Vec::new();
    for (process, call) in calls.iter().enumerate() {
        let mut op = Op::new(Process::Client(process as u32), Kind::Invoke, F::parse(call.f), Value::Nil);
        op.key = Some(Key::Int(call.key));
        op.node = Some(Node::new(&call.node));
        events.push((call.begin, op.clone()));
        if let Some(kind) = call.answer {
            (op.kind, op.value) = (kind, Value::Int(call.value));
            events.push((call.end, op));
        }
    }
    events.sort_by_key(|(at, _)| *at);
    let timed = |(index, (_, op)): (usize, (u64, Op))| Op { time_ns: index as u64, ..op };
    events.into_iter().enumerate().map(timed).collect()
}

/// Calls that begin and end anywhere.
fn random_calls(random: &mut ChaCha8Rng) -> Vec<Planned> {
    let count = 4 + below(random, 12) as usize;
    let nodes = [1, 2, 2, 2, 2, 2, 3, 3, 3, 3][below(random, 10) as usize];
    let (keys, span) = (1 + below(random, 5) / 4, 2 + below(random, 16));
    let mut calls = Vec::new();
    for _ in 0..count {
        let begin = below(random, 60);
        let end = begin + 1 + below(random, span);
        let f = if below(random, 8) == 0 { "read" } else { REPLICA_READ };
        let answer = match below(random, 12) {
            0 => None,
            1 => Some(Kind::Info),
            2 => Some(Kind::Fail),
            _ => Some(Kind::Ok),
        };
        let node = format!("n{}", 1 + below(random, nodes));
        let (key, value) = (below(random, keys) as i64, below(random, 3) as i64);
        calls.push(Planned { f, key, node, value, answer, begin, end });
    }
    // Every moment once: the number of the call tells equal ones apart, an end comes before a begin of the same moment.
    for (number, call) in calls.iter_mut().enumerate() {
        (call.begin, call.end) = (call.begin * 1000 + 500 + number as u64, call.end * 1000 + number as u64);
    }
    calls
}

/// What there is to know of a key.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    compared: u64,
    reads: u64,
    /// Keys that are wrong: the place of the event that completes the first proof, and what each member said last.
    wrong: Vec<(String, usize, Answers)>,
}

/// What each member said last.
type Answers = Vec<(String, String)>;

/// Node, value, and the places of the events of a read.
type Seen = (String, Value, usize, usize);

/// Every three events of a key, in every order: no history, no calls, nothing of the checker.
fn naive(events: &[Op]) -> Known {
    let mut known = Known::default();
    let mut keys: Vec<i64> = Vec::new();
    for event in events {
        if let Some(Key::Int(key)) = event.key
            && !keys.contains(&key)
        {
            keys.push(key);
        }
    }
    for key in keys {
        let mut seen: Vec<Seen> = Vec::new();
        for (end, event) in events.iter().enumerate() {
            if event.kind == Kind::Ok && event.f.as_str() == "replica-read" && event.key == Some(Key::Int(key)) {
                let begin = events.iter().position(|one| one.process == event.process).unwrap();
                let node = event.node.as_ref().unwrap().as_str().to_owned();
                seen.push((node, event.value.clone(), begin, end));
            }
        }
        known.reads += seen.len() as u64;
        let mut members: Vec<&String> = seen.iter().map(|(node, ..)| node).collect();
        members.sort();
        members.dedup();
        known.compared += u64::from(members.len() > 1);
        let mut first_proof: Option<usize> = None;
        for a in &seen {
            for b in &seen {
                for c in &seen {
                    let in_turn = a.3 < b.2 && b.3 < c.2;
                    if in_turn && a.0 == c.0 && a.0 != b.0 && a.1 == c.1 && a.1 != b.1 {
                        first_proof = Some(first_proof.map_or(c.3, |old| old.min(c.3)));
                    }
                }
            }
        }
        if let Some(end) = first_proof {
            // `seen` is in the order of its ends.
            let last = |node: &String| seen.iter().rev().find(|one| one.0 == *node).unwrap().1.to_string();
            let said = members.iter().map(|node| ((*node).clone(), last(node))).collect();
            known.wrong.push((key.to_string(), end, said));
        }
    }
    known.wrong.sort();
    known
}

/// What the checker says, in the same words; its witness is verified on the way. A mutant's witness may not hold.
fn told(events: &[Op], mutation: Mutation) -> Result<Known, String> {
    let history = History::from_ops(events.to_vec()).unwrap();
    let finding = judge(&history, mutation);
    let number = |name: &str| finding.stats[name].as_u64().unwrap();
    let mut known = Known { compared: number("keys_compared_count"), reads: number("reads_count"), wrong: Vec::new() };
    for anomaly in &finding.anomalies {
        let Witness::ReplicasDisagree { operations, answers } = &anomaly.witness else { panic!("{anomaly:?}") };
        let [a, b, c] = operations[..] else { return Err(format!("{operations:?} are not three")) };
        let end = |invoke| history.call(invoke).completion.unwrap();
        let value = |invoke| history.value(end(invoke));
        let holds = end(a) < b
            && end(b) < c
            && history.node(a) == history.node(c)
            && history.node(a) != history.node(b)
            && value(a) == value(c)
            && value(a) != value(b);
        if !holds {
            return Err(format!("the witness {operations:?} does not hold"));
        }
        known.wrong.push((anomaly.key.clone().unwrap_or_default(), end(c) as usize, answers.clone()));
    }
    known.wrong.sort();
    let expected = match (known.wrong.is_empty(), known.compared) {
        (false, _) => Outcome::Invalid,
        (true, 0) => Outcome::Unknown,
        _ => Outcome::Valid,
    };
    if finding.outcome() != expected {
        return Err(format!("{:?} instead of {expected:?}", finding.outcome()));
    }
    Ok(known)
}

#[test]
fn agrees_with_every_three_reads() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let (mut valid, mut invalid, mut unknown) = (0u32, 0u32, 0u32);
    for round in 0..12_000 {
        let events = events(&random_calls(&mut random));
        let expected = naive(&events);
        let found = told(&events, Mutation::default());
        assert_eq!(found.as_ref(), Ok(&expected), "round {round}: {events:#?}");
        match (expected.wrong.is_empty(), expected.compared) {
            (false, _) => invalid += 1,
            (true, 0) => unknown += 1,
            _ => valid += 1,
        }
    }
    let all = valid + invalid + unknown;
    assert!(valid * 10 >= all * 3 && invalid * 10 >= all * 3 && unknown * 20 >= all, "{valid} {invalid} {unknown}");
}

#[test]
fn every_mutant_is_noticed() {
    use Mutant::*;
    let mutants = [
        SecondOverlaps,
        ThirdOverlaps,
        OneMember,
        AnyThird,
        ThirdOfAnyValue,
        SecondEqual,
        AnyProof,
        KeysMixed,
        DoubtCounts,
        AllFunctions,
        FirstAnswer,
        OneMemberCompares,
    ];
    for mutant in mutants {
        let mut random = ChaCha8Rng::seed_from_u64(12);
        let noticed = (0..2_000).any(|_| {
            let events = events(&random_calls(&mut random));
            told(&events, Mutation { mutant: Some(mutant) }).as_ref() != Ok(&naive(&events))
        });
        assert!(noticed, "{mutant:?}");
    }
}

/// A cluster whose truth is known: revisions that only grow, at drawn moments; each read answers what its member held at a
/// moment between its begin and its end. From `split` on member n1 holds something else for good, where there is a split.
fn cluster(random: &mut ChaCha8Rng, split: Option<u64>) -> Vec<Planned> {
    let writes: Vec<u64> = (0..below(random, 8)).map(|_| below(random, 1_000)).collect();
    let held = |node: &str, at: u64| {
        let astray = node == "n1" && split.is_some_and(|split| at >= split);
        writes.iter().filter(|moment| **moment <= at).count() as i64 + if astray { 100 } else { 0 }
    };
    let mut calls = Vec::new();
    for number in 0..12 {
        let begin = below(random, 1_000);
        let end = begin + 2 + below(random, 200);
        let at = begin + 1 + below(random, end - begin - 1);
        let node = format!("n{}", 1 + below(random, 3));
        let value = held(&node, at);
        let (begin, end) = (begin * 100 + number, end * 100 + number);
        calls.push(Planned { f: REPLICA_READ, key: 1, node, value, answer: Some(Kind::Ok), begin, end });
    }
    calls
}

#[test]
fn members_that_hold_the_same_are_never_accused_and_others_are_found_when_writes_have_ended() {
    let mut random = ChaCha8Rng::seed_from_u64(13);
    let mut overlapping = 0;
    for round in 0..5_000 {
        let calls = cluster(&mut random, None);
        overlapping += u32::from(calls.iter().any(|a| calls.iter().any(|b| a.begin < b.begin && b.begin < a.end)));
        let events = events(&calls);
        assert_eq!(told(&events, Mutation::default()).unwrap().wrong, [], "round {round}: {events:#?}");
    }
    assert!(overlapping > 4_000, "{overlapping}");
    for round in 0..500 {
        let split = below(&mut random, 900);
        let mut calls = cluster(&mut random, Some(split));
        // Afterwards each member is asked twice, one after the other.
        let writes = calls.iter().map(|call| call.value % 100).max().unwrap() + 1;
        for turn in 0..6 {
            let node = format!("n{}", 1 + turn % 3);
            let value = writes + if node == "n1" { 100 } else { 0 };
            let begin = 1_000_000 + turn * 10;
            let answer = Some(Kind::Ok);
            calls.push(Planned { f: REPLICA_READ, key: 1, node, value, answer, begin, end: begin + 5 });
        }
        let events = events(&calls);
        assert_eq!(told(&events, Mutation::default()).unwrap().wrong.len(), 1, "round {round}: {events:#?}");
    }
}
