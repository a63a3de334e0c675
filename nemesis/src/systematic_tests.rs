//! Sequences against a brute force twin, and in virtual time.

use std::collections::BTreeSet;

use super::*;
use crate::schedule::preview_of;
use crate::span::DurationText;
use crate::target::View;
use schism_history::Node;
use serde_json::{Value as Json, json};

fn specs(text: Json) -> Vec<FaultSpec> {
    let all: Vec<FaultSpec> = serde_json::from_value(text).unwrap();
    all.iter().map(|spec| spec.resolved(5, true)).collect()
}

fn small() -> Alphabet {
    Alphabet::of(&specs(json!([
        {"kill": {"targets": ["primaries", "followers"]}},
        {"partition": {"shapes": ["leader", "halves"]}},
        {"delay": {"targets": "one", "delay": ["50ms", "200ms"]}},
    ])))
}

fn labels(alphabet: &Alphabet) -> Vec<String> {
    alphabet.letters().iter().map(FaultSpec::role_label).collect()
}

#[test]
fn letters_are_classes_with_one_role() {
    let told = ["kill primaries", "kill followers", "partition leader", "partition halves", "delay one"];
    assert_eq!(labels(&small()), told);
    let cases: &[(Json, &[&str])] = &[
        (
            json!([{"partition": {"shapes": ["isolate", "one"], "targets": ["primaries", "one"]}}]),
            &["partition isolate primaries", "partition isolate one", "partition one"],
        ),
        (json!([{"partition": {"links": "n1>n2"}}]), &["partition links"]),
        (json!([{"pause": {"targets": [["n1", "n2"], "role:learner"]}}]), &["pause n1 n2", "pause role:learner"]),
        (json!(["membership", "membership"]), &["membership one"]),
        (json!(["kill"]), &["kill one", "kill minority", "kill majority", "kill all", "kill primaries"]),
        (json!([]), &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(labels(&Alphabet::of(&specs(text.clone()))), *expected, "{text}");
    }
    assert_eq!(small().letters()[4].values("delay").len(), 2, "other options keep their alternatives");
}

/// Nested loops, without any arithmetic of numbers.
fn twin(letters: &[String], depth: u32) -> Vec<String> {
    let mut all = Vec::new();
    let mut longest = vec![Vec::<String>::new()];
    for _ in 0..depth {
        let mut longer = Vec::new();
        for before in &longest {
            for letter in letters {
                let mut one = before.clone();
                one.push(letter.clone());
                longer.push(one);
            }
        }
        all.extend(longer.iter().map(|one| one.join(", then ")));
        longest = longer;
    }
    all
}

#[test]
fn every_sequence_has_its_number_and_none_comes_twice() {
    let alphabet = small();
    for (depth, count) in [(1, 5), (2, 30), (3, 155)] {
        let all: Vec<FaultSequence> = alphabet.sequences(depth).collect();
        assert_eq!((alphabet.count(depth), all.len()), (count, count as usize), "5 + 25 + 125");
        let told: Vec<String> = all.iter().map(FaultSequence::label).collect();
        assert_eq!(told, twin(&labels(&alphabet), depth));
        assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), all.len(), "no duplicates");
        for (place, one) in all.iter().enumerate() {
            assert_eq!(one.number, place as u64 + 1);
            assert_eq!(alphabet.sequence(3, one.number).as_ref(), Some(one), "a greater depth does not renumber");
        }
    }
    for beyond in [0, 156, u64::MAX] {
        assert_eq!(alphabet.sequence(3, beyond), None, "{beyond}");
    }
    let nothing = Alphabet::default();
    assert_eq!((nothing.count(3), nothing.sequence(3, 1)), (0, None));
    let one = Alphabet::of(&specs(json!([{"kill": {"targets": "one"}}])));
    assert_eq!((one.count(3), one.sequence(3, 3).map(|sequence| sequence.faults.len())), (3, Some(3)));
}

fn pace() -> Schedule {
    Schedule {
        quiet_start: DurationText::from_secs(5),
        interval: DurationText::from_secs(4),
        duration: DurationText::from_secs(2),
    }
}

#[test]
fn sequences_come_in_order_with_their_marks_and_end() {
    let view = View { nodes: (1..=5).map(|number| Node::new(&format!("n{number}"))).collect(), ..View::default() };
    let alphabet = small();
    let chosen: Vec<FaultSequence> = [155, 2, 7].iter().filter_map(|n| alphabet.sequence(3, *n)).collect();
    let run = |seed| preview_of(&mut Systematic::new(&chosen, &pace(), Seed(seed)), alphabet.letters(), &view, 600_000);
    let all = run(3);
    let marks: Vec<(u64, u64)> = all
        .iter()
        .map(|one| {
            let mark = |key: &str| one.intention.value(key).and_then(Json::as_u64).unwrap_or(0);
            (mark("sequence"), mark("step"))
        })
        .collect();
    assert_eq!(marks, [(155, 1), (155, 2), (155, 3), (2, 1), (7, 1), (7, 2)]);
    let classes: Vec<&str> = all.iter().map(|one| one.class.as_str()).collect();
    assert_eq!(classes, ["delay", "delay", "delay", "kill", "kill", "kill"]);
    let targets: Vec<String> =
        all[3..].iter().filter_map(|one| one.intention.target()).map(|t| t.to_string()).collect();
    assert_eq!(targets, ["followers", "primaries", "followers"]);
    assert_eq!(all[0].inject_ms, 5_000, "the first comes at the end of the quiet start");
    for pair in all.windows(2) {
        let (on, off) = (pair[0].heal_ms - pair[0].inject_ms, pair[1].inject_ms - pair[0].heal_ms);
        assert!((1_000..=3_000).contains(&on) && (2_000..=6_000).contains(&off), "{on} {off}");
    }
    assert_eq!(run(3), all);
    assert_ne!(run(4), all, "other times");
    assert_eq!(sequence_ms(&chosen[0], &pace(), 1_000), 21_000, "three faults of 4 s, 2 s and 1 s");
}

#[test]
fn sequences_are_written_and_read_again() {
    let one = small().sequence(2, 13).unwrap();
    assert_eq!(one.label(), "kill followers, then partition leader");
    let text = serde_json::to_string(&one).unwrap();
    assert_eq!(serde_json::from_str::<FaultSequence>(&text).unwrap(), one);
}
