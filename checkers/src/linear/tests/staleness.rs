//! Figures of staleness: against their definitions, with mutants, and cases as data.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::{RunFacts, ValueId, notation};

use super::brute;
use super::store::{Shape, history};
use crate::checker::{Budget, Checker};
use crate::linear::models::{ModelName, Register, RegisterAction};
use crate::linear::mutant::Mutation;
use crate::linear::split::{OPEN, Operation};
use crate::linear::staleness::{Deed, Staleness, StalenessMutant, figures};
use crate::linear::{Linearizable, Model};

const MODEL: Register = Register { cas: false };

/// A history of reads and writes with times in milliseconds, some of them equal.
fn drawn(random: &mut ChaCha8Rng, shape: Shape) -> (Vec<Operation<RegisterAction>>, Vec<Deed<ValueId>>) {
    let mut operations = history(random, shape);
    operations.retain(|one| matches!(one.action, RegisterAction::Read(_) | RegisterAction::Write(_)));
    let mut events: Vec<u32> =
        operations.iter().flat_map(|one| [one.invoke, one.end]).filter(|&at| at != OPEN).collect();
    events.sort_unstable();
    let mut now = 0;
    let mut times = std::collections::BTreeMap::new();
    for event in events {
        now += random.random_range(0..3u64) * 1_000_000;
        times.insert(event, now);
    }
    let deeds = operations.iter().map(|one| Deed {
        cell: MODEL.cell(&one.action).unwrap(),
        begin: one.invoke,
        end: one.end,
        begin_ns: times[&one.invoke],
        end_ns: times.get(&one.end).copied().unwrap_or(u64::MAX),
    });
    let deeds = deeds.collect();
    (operations, deeds)
}

/// By definition: pair by pair, and each number of milliseconds with every order. `None`: values are not unique.
fn plainly(operations: &[Operation<RegisterAction>], deeds: &[Deed<ValueId>]) -> Option<Staleness> {
    let mut told = Staleness::default();
    let writes: Vec<&Deed<ValueId>> = deeds.iter().filter(|deed| deed.cell.leaves.is_some()).collect();
    for read in deeds.iter().filter(|deed| deed.cell.needs.is_some() && deed.end != OPEN) {
        let of_value: Vec<&&Deed<ValueId>> =
            writes.iter().filter(|write| write.cell.leaves == read.cell.needs).collect();
        let from_start = read.cell.needs == Some(ValueId::NIL);
        let after = match (of_value.as_slice(), from_start) {
            ([], true) => 0,
            ([], false) => continue,
            ([only], false) => only.end,
            _ => return None,
        };
        let newer = writes.iter().filter(|write| write.begin > after && write.end < read.begin).count() as u64;
        *told.reads_by_k.entry(newer + 1).or_default() += 1;
    }
    told.delta_ms = (0..60u64).find(|&delta| brute::linearizable(&MODEL, &moved(operations, deeds, delta as i64)));
    told.delta_left_out = u64::from(told.delta_ms.is_none());
    Some(told)
}

/// Every read begins so much earlier.
fn moved(
    operations: &[Operation<RegisterAction>],
    deeds: &[Deed<ValueId>],
    delta_ms: i64,
) -> Vec<Operation<RegisterAction>> {
    let mut moments = Vec::new();
    for (place, deed) in deeds.iter().enumerate() {
        let earlier = if deed.cell.needs.is_some() { delta_ms * 1_000_000 } else { 0 };
        moments.push((deed.begin_ns as i64 - earlier, deed.begin, place, false));
        if deed.end != OPEN {
            moments.push((deed.end_ns as i64, deed.end, place, true));
        }
    }
    moments.sort_unstable();
    let mut moved = operations.to_vec();
    for (event, (_, _, place, is_end)) in (0..).zip(moments) {
        let one = &mut moved[place];
        *if is_end { &mut one.end } else { &mut one.invoke } = event;
    }
    moved.sort_by_key(|one| one.invoke);
    moved
}

const SHAPES: [Shape; 3] = [
    Shape { operations_max: 7, doubts_max: 2, values: 0 },
    Shape { operations_max: 8, doubts_max: 0, values: 0 },
    Shape { operations_max: 6, doubts_max: 1, values: 9 },
];

#[test]
fn figures_are_what_they_are_defined_to_be() {
    let mut random = ChaCha8Rng::seed_from_u64(61);
    let (mut stale, mut delayed, mut endless, mut ambiguous) = (0, 0, 0, 0);
    for round in 0..8_000 {
        let (operations, deeds) = drawn(&mut random, SHAPES[round % SHAPES.len()]);
        let told = figures(&ValueId::NIL, &deeds, Mutation::default());
        let Some(expected) = plainly(&operations, &deeds) else {
            assert_eq!(told.left_out, 1, "{operations:#?}");
            ambiguous += 1;
            continue;
        };
        assert_eq!(told, expected, "round {round}: {operations:#?}");
        stale += u32::from(told.reads_by_k.keys().any(|&k| k > 1));
        delayed += u32::from(told.delta_ms.is_some_and(|delta| delta > 0));
        endless += u32::from(told.delta_ms.is_none());
    }
    let seen = [stale, delayed, endless, ambiguous];
    assert!(seen[..3].iter().all(|&count| count > 500) && ambiguous > 50, "{seen:?}");
}

#[test]
fn every_mutant_is_noticed() {
    use StalenessMutant::*;
    let mutants = [OverlappingWrites, OverlappingReads, InitialIsFresh, WritesMove, BackwardInside, ForwardsOverlap];
    let mut random = ChaCha8Rng::seed_from_u64(67);
    let mut survivors = mutants.to_vec();
    for round in 0..4_000 {
        let (operations, deeds) = drawn(&mut random, SHAPES[round % SHAPES.len()]);
        let Some(expected) = plainly(&operations, &deeds) else { continue };
        survivors.retain(|&mutant| figures(&ValueId::NIL, &deeds, Mutation { mutant: Some(mutant) }) == expected);
        if survivors.is_empty() {
            return;
        }
    }
    panic!("not noticed: {survivors:?}");
}

/// Line (events are a millisecond apart), greatest k, how many answers of each k, delta.
#[test]
fn figures_of_lines() {
    let cases = [
        ("0:w1 0:w2 1:r1", Some(2), r#"{"2":1}"#, Some(2)),
        ("0:w1 0:w2 0:w3 1:rnil 1:r3", Some(4), r#"{"1":1,"4":1}"#, Some(6)),
        // One of two is stale by time, but none by count.
        ("0:w1 1:w2( 2:r2 2:r1 1)", Some(1), r#"{"1":2}"#, Some(2)),
        ("0:r1", None, "{}", None),
        ("0:w1 0:w1 0:w2 0:r1", None, "{}", None),
        ("0:w1 0:w2 0:c1>3", Some(2), r#"{"2":1}"#, None),
    ];
    for (line, k_max, by_k, delta_ms) in cases {
        let history = notation::parse(line).unwrap();
        let checker = Linearizable { model: ModelName::CasRegister };
        let finding = checker.check(&history, &RunFacts::default(), &Budget::default());
        let told = &finding.stats["staleness"];
        let by_k: serde_json::Value = serde_json::from_str(by_k).unwrap();
        assert_eq!((&told["k_max"], &told["reads_by_k"]), (&serde_json::json!(k_max), &by_k), "{line}");
        assert_eq!(told["delta_ms"], serde_json::json!(delta_ms), "{line}");
    }
    let valid = notation::parse("0:w1 0:r1").unwrap();
    let finding = Linearizable { model: ModelName::Register }.check(&valid, &RunFacts::default(), &Budget::default());
    assert_eq!(finding.stats.get("staleness"), None);
}
