//! Whether the members of a cluster hold the same.

use std::collections::BTreeMap;

use schism_history::{Call, History, Kind, OpIndex, REPLICA_READ, RunFacts, ValueRef};
use serde_json::json;

use crate::anomaly::{Anomaly, AnomalyKind, Witness};
use crate::checker::{Budget, Checker};
use crate::verdict::{Finding, Gap};

/// Compares what members hold of each key, from reads of single replicas ([`REPLICA_READ`]), each made when its member had
/// caught up with the others. Their values must never return to what they were (a revision that only grows is part
/// of them).
///
/// The rule: a member answers *x*, afterwards another member that has caught up answers *y*, and afterwards the first
/// answers *x* again. Since *y* was there when the first was asked again, and *x* cannot return once *y* came after it, the
/// two differ for good. A write in between, or one in doubt that takes effect late, makes no such pattern. Quadratic in
/// the reads of a key, of which there are a few dozen.
///
/// Stats: `{"keys_compared_count", "nodes": [...], "reads_count"}`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Replicas;

/// A defect that the tests must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "chosen by tests only"))]
enum Mutant {
    /// The second read may begin before the first has ended.
    SecondOverlaps,
    /// The third read may begin before the second has ended.
    ThirdOverlaps,
    /// All three may be of one member.
    OneMember,
    /// The third may be of any member.
    AnyThird,
    /// The third may have any value.
    ThirdOfAnyValue,
    /// The second may have the value of the first.
    SecondEqual,
    /// The first proof met is told, not the first to be complete.
    AnyProof,
    /// Keys are not told apart.
    KeysMixed,
    /// Reads in doubt count.
    DoubtCounts,
    /// Every operation counts.
    AllFunctions,
    /// The answer told of a member is its first.
    FirstAnswer,
    /// Two reads of one member compare a key.
    OneMemberCompares,
}

/// Which mutant is chosen; none outside of tests.
#[derive(Debug, Clone, Copy, Default)]
struct Mutation {
    #[cfg(test)]
    mutant: Option<Mutant>,
}

impl Mutation {
    #[cfg(test)]
    fn is(self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    #[cfg(not(test))]
    #[inline(always)]
    fn is(self, _mutant: Mutant) -> bool {
        false
    }
}

/// A read of a replica that was answered.
struct Read<'a> {
    node: &'a str,
    invoke: OpIndex,
    completion: OpIndex,
    value: ValueRef<'a>,
}

impl Checker for Replicas {
    fn name(&self) -> &str {
        "replicas"
    }

    fn check(&self, history: &History, _facts: &RunFacts, _budget: &Budget) -> Finding {
        judge(history, Mutation::default())
    }
}

fn judge(history: &History, mutation: Mutation) -> Finding {
    let mut by_key: BTreeMap<Option<u32>, Vec<Read<'_>>> = BTreeMap::new();
    for call in history.client_calls() {
        if let Some(read) = answered(history, call, mutation) {
            let key = history.key_id(call.invoke).filter(|_| !mutation.is(Mutant::KeysMixed));
            by_key.entry(key).or_default().push(read);
        }
    }
    let mut nodes: Vec<&str> = by_key.values().flatten().map(|read| read.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let mut finding = Finding::default();
    let mut compared: u64 = 0;
    for (key, reads) in &by_key {
        let lone = mutation.is(Mutant::OneMemberCompares) && reads.len() > 1;
        compared += u64::from(lone || reads.iter().any(|read| read.node != reads[0].node));
        if let Some(operations) = disagreement(reads, mutation) {
            let key = key.and_then(|key| history.keys().get(key as usize)).map(ToString::to_string);
            let witness = Witness::ReplicasDisagree { operations, answers: answers(reads, mutation) };
            finding.anomalies.push(Anomaly::new(AnomalyKind::ReplicasDisagree, key, witness));
        }
    }
    if compared == 0 {
        let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
        finding.gaps.push(Gap::NothingToCompare { nodes });
    }
    let reads: usize = by_key.values().map(Vec::len).sum();
    finding.stats.insert("keys_compared_count".to_owned(), json!(compared));
    finding.stats.insert("nodes".to_owned(), json!(nodes));
    finding.stats.insert("reads_count".to_owned(), json!(reads));
    finding
}

fn answered(history: &History, call: Call, mutation: Mutation) -> Option<Read<'_>> {
    let of_replica = history.f(call.invoke).as_str() == REPLICA_READ || mutation.is(Mutant::AllFunctions);
    let known = call.outcome == Kind::Ok || (call.outcome == Kind::Info && mutation.is(Mutant::DoubtCounts));
    if !of_replica || !known {
        return None;
    }
    let completion = call.completion?;
    let node = history.node(call.invoke)?.as_str();
    Some(Read { node, invoke: call.invoke, completion, value: history.value(completion) })
}

/// The first three reads that show it, by the end of the last.
fn disagreement(reads: &[Read<'_>], mutation: Mutation) -> Option<Vec<OpIndex>> {
    let after = |later: &Read<'_>, earlier: &Read<'_>, overlaps: Mutant| {
        later.invoke > if mutation.is(overlaps) { earlier.invoke } else { earlier.completion }
    };
    let mut best: Option<(OpIndex, Vec<OpIndex>)> = None;
    for middle in reads {
        let differs = |first: &&Read<'_>| {
            (first.node != middle.node || mutation.is(Mutant::OneMember))
                && (first.value != middle.value || mutation.is(Mutant::SecondEqual))
                && after(middle, first, Mutant::SecondOverlaps)
        };
        for first in reads.iter().filter(differs) {
            let again = |last: &&Read<'_>| {
                (last.node == first.node || mutation.is(Mutant::AnyThird))
                    && (last.value == first.value || mutation.is(Mutant::ThirdOfAnyValue))
                    && after(last, middle, Mutant::ThirdOverlaps)
            };
            let Some(last) = reads.iter().filter(again).min_by_key(|read| read.completion) else { continue };
            let sooner = |end: OpIndex| last.completion < end && !mutation.is(Mutant::AnyProof);
            if best.as_ref().is_none_or(|(end, _)| sooner(*end)) {
                best = Some((last.completion, vec![first.invoke, middle.invoke, last.invoke]));
            }
        }
    }
    best.map(|(_, operations)| operations)
}

/// The last answer of each node, by name.
fn answers(reads: &[Read<'_>], mutation: Mutation) -> Vec<(String, String)> {
    let mut last: BTreeMap<&str, &Read<'_>> = BTreeMap::new();
    for read in reads {
        let known = last.entry(read.node).or_insert(read);
        if read.completion > known.completion && !mutation.is(Mutant::FirstAnswer) {
            *known = read;
        }
    }
    last.into_iter().map(|(node, read)| (node.to_owned(), read.value.to_string())).collect()
}

#[cfg(test)]
#[path = "replicas_twin.rs"]
mod twin;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Outcome;
    use schism_history::{F, Key, Node, Op, Process, Value};

    /// `n1 3` reads 3 from n1, one after the other; `n1 3 -` is overlapped by the next, `n1 ?` is not answered.
    fn judged(lines: &[&str]) -> Finding {
        let mut events: Vec<Op> = Vec::new();
        let mut waiting: Vec<Op> = Vec::new();
        for (process, line) in lines.iter().enumerate() {
            let words: Vec<&str> = line.split(' ').collect();
            let process = Process::Client(process as u32);
            let mut op = Op::new(process, Kind::Invoke, F::parse(REPLICA_READ), Value::Nil);
            op.key = Some(Key::Int(7));
            op.node = Some(Node::new(words[0]));
            events.push(op.clone());
            if let Ok(value) = words[1].parse() {
                (op.kind, op.value) = (Kind::Ok, Value::Int(value));
                waiting.push(op);
            }
            if words.get(2).is_none() {
                events.append(&mut waiting);
            }
        }
        events.append(&mut waiting);
        for (index, event) in events.iter_mut().enumerate() {
            event.time_ns = index as u64;
        }
        let history = History::from_ops(events).unwrap();
        Replicas.check(&history, &RunFacts::default(), &Budget::default())
    }

    #[test]
    fn members_that_differ_for_good_are_found_and_others_are_not() {
        let cases: &[(&[&str], Outcome)] = &[
            (&["n1 1", "n2 1", "n1 1"], Outcome::Valid),
            (&["n1 1", "n2 2", "n1 1"], Outcome::Invalid),
            (&["n1 2", "n2 1", "n1 2"], Outcome::Invalid),
            // A write may have come between.
            (&["n1 1", "n2 2", "n1 2"], Outcome::Valid),
            (&["n1 1", "n2 2"], Outcome::Valid),
            (&["n1 1", "n2 2", "n3 1"], Outcome::Valid),
            (&["n1 1", "n2 2", "n3 3", "n2 2"], Outcome::Invalid),
            // Reads that overlap have no order.
            (&["n1 1 -", "n2 2", "n1 1"], Outcome::Valid),
            (&["n1 1", "n2 2 -", "n1 1"], Outcome::Valid),
            // One member alone, or none that answers, says nothing.
            (&["n1 1", "n1 1"], Outcome::Unknown),
            (&["n1 1", "n2 ?", "n1 1"], Outcome::Unknown),
            (&[], Outcome::Unknown),
        ];
        for (lines, expected) in cases {
            let finding = judged(lines);
            assert_eq!(finding.outcome(), *expected, "{lines:?}: {finding:?}");
        }
        let finding = judged(&["n1 1", "n2 2", "n1 1"]);
        let Witness::ReplicasDisagree { operations, answers } = &finding.anomalies[0].witness else { panic!() };
        assert_eq!(operations, &[0, 2, 4]);
        let pair = |node: &str, answer: &str| (node.to_owned(), answer.to_owned());
        assert_eq!(answers, &[pair("n1", "1"), pair("n2", "2")]);
        assert_eq!(finding.anomalies[0].key.as_deref(), Some("7"));
    }
}
