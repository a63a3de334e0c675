//! Orders: every history that has one gets one that replays, by blocks and by walking; what is no order is refused. And
//! certificates: what they name has no order.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::{History, OpIndex, RunFacts, notation};

use super::brute;
use super::simulate::{self, Simulated, Wanted};
use super::simulated;
use super::store::{Shape, history};
use crate::checker::{Budget, Checker};
use crate::linear::blocks;
use crate::linear::model::Model;
use crate::linear::models::text::Text;
use crate::linear::models::{ModelName, Register, RegisterAction};
use crate::linear::mutant::Mutation;
use crate::linear::order::{NoOrder, order, orders};
use crate::linear::replay::{replay, replay_key};
use crate::linear::ruling::{PATTERNS, Ruling};
use crate::linear::split::Operation;
use crate::linear::{Linearizable, verify_witness};
use crate::verdict::Outcome;

const MODEL: Register = Register { cas: true };

/// As orders are told: by invocations.
fn told<A>(operations: &[Operation<A>], order: &[u32]) -> Vec<OpIndex> {
    order.iter().map(|&place| operations[place as usize].invoke).collect()
}

/// That an order is found if and only if there is one, and replays; and that broken ones do not. How many there were.
fn check_order<M: Model>(model: &M, operations: &[Operation<M::Action>], random: &mut ChaCha8Rng) -> bool {
    match order(model, operations, &Budget::default()) {
        Ok(found) => {
            let found = told(operations, &found);
            replay(model, operations, &found).unwrap_or_else(|wrong| panic!("{wrong}: {found:?} of {operations:#?}"));
            check_broken(model, operations, &found, random);
            true
        }
        Err(NoOrder::Impossible) => {
            assert!(!brute::linearizable(model, operations), "{operations:#?}");
            false
        }
        Err(other) => panic!("{other}: {operations:#?}"),
    }
}

/// What is left out, comes twice or does not exist is refused; and of all that are exchanged, exactly the legal orders pass.
fn check_broken<M: Model>(model: &M, operations: &[Operation<M::Action>], found: &[OpIndex], random: &mut ChaCha8Rng) {
    let Some(at) = (!found.is_empty()).then(|| random.random_range(0..found.len())) else { return };
    let is_certain = operations.iter().any(|one| one.invoke == found[at] && !one.in_doubt());
    let mut dropped = found.to_vec();
    dropped.remove(at);
    assert!(!is_certain || replay(model, operations, &dropped).is_err(), "dropped");
    let twice: Vec<OpIndex> = found.iter().copied().chain([found[at]]).collect();
    assert!(replay(model, operations, &twice).is_err(), "twice");
    let unknown: Vec<OpIndex> = found.iter().copied().chain([999_999]).collect();
    assert!(replay(model, operations, &unknown).is_err(), "unknown");
    let mut swapped = found.to_vec();
    swapped.swap(at, 0);
    assert_eq!(replay(model, operations, &swapped).is_ok(), is_order(model, operations, &swapped), "{swapped:?}");
}

/// By definition, pair by pair.
fn is_order<M: Model>(model: &M, operations: &[Operation<M::Action>], order: &[OpIndex]) -> bool {
    let of = |invoke: &OpIndex| operations.iter().find(|one| one.invoke == *invoke).expect("one of these");
    let ended = |later: usize| (0..later).all(|earlier| of(&order[later]).end > of(&order[earlier]).invoke);
    let mut state = Some(model.initial());
    for invoke in order {
        state = state.and_then(|state| model.step(&state, &of(invoke).action));
    }
    state.is_some() && (0..order.len()).all(ended)
}

#[test]
fn registers_have_orders_that_replay() {
    let shapes = [
        Shape { operations_max: 8, doubts_max: 3, values: 0 },
        Shape { operations_max: 8, doubts_max: 3, values: 3 },
        Shape { operations_max: 8, doubts_max: 0, values: 2 },
    ];
    let mut random = ChaCha8Rng::seed_from_u64(41);
    let (mut good, mut bad, mut by_blocks) = (0, 0, 0);
    for round in 0..12_000 {
        let operations = history(&mut random, shapes[round % shapes.len()]);
        by_blocks += u32::from(blocks::order(&operations).is_some());
        if check_order(&MODEL, &operations, &mut random) { good += 1 } else { bad += 1 }
    }
    assert!(good > 3_000 && bad > 3_000 && by_blocks > 1_000, "{good} good, {bad} bad, {by_blocks} by blocks");
}

#[test]
fn strings_have_orders_that_replay() {
    let wanted = Wanted { operations_max: 7, doubts_max: 2, values: 3, processes: 3, edited_percent: 60 };
    let mut random = ChaCha8Rng::seed_from_u64(43);
    let drawn = |random: &mut ChaCha8Rng| -> Vec<Operation<<Text as Model>::Action>> {
        fn of<S: Simulated>(model: &S, random: &mut ChaCha8Rng, wanted: Wanted) -> Vec<Operation<S::Action>> {
            simulate::history(random, model, wanted)
        }
        of(&Text, random, wanted)
    };
    let good = (0..3_000).filter(|_| {
        let operations = drawn(&mut random);
        check_order(&Text, &operations, &mut random)
    });
    let good = good.count();
    assert!((900..2_700).contains(&good), "{good} of 3000");
}

#[test]
fn large_histories_have_orders() {
    use simulated::Wanted;
    const WANTED: Wanted = Wanted {
        keys: 1,
        together: 1,
        operations: 20_000,
        concurrency: 10,
        values: 0,
        doubts: 0,
        reads_percent: 50,
        cas_percent: 20,
        stale: false,
    };
    for (name, wanted) in [
        ("unique values", WANTED),
        ("unique values, doubts", Wanted { doubts: 50, ..WANTED }),
        ("few values", Wanted { values: 5, operations: 3_000, ..WANTED }),
        ("many keys", Wanted { keys: 50, operations: 200, doubts: 2, values: 4, ..WANTED }),
    ] {
        let history = simulated::history(&mut ChaCha8Rng::seed_from_u64(3), wanted);
        let found = orders(ModelName::CasRegister, &history, &Budget { steps_max: 3_000_000, ..Budget::default() });
        assert_eq!(found.len(), wanted.keys as usize, "{name}");
        let mut replayed = 0;
        for key in found {
            let Some(order) = key.order else { continue };
            replay_key(ModelName::CasRegister, &history, key.key_id, &order)
                .unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
            replayed += 1;
        }
        assert!(replayed * 10 >= wanted.keys as usize * 9, "{name}: {replayed} of {}", wanted.keys);
    }
}

#[test]
fn the_budget_of_an_order() {
    let history = notation::parse("0:w2( 1:w2( 2:w1( 3:r2( 0) 1) 2) 3)2 3:r2").unwrap();
    let spent = orders(ModelName::Register, &history, &Budget { steps_max: 2, ..Budget::default() });
    assert_eq!((spent[0].order.as_ref(), spent[0].why.as_deref()), (None, Some("no order found within the budget")));
    let found = orders(ModelName::Register, &history, &Budget::default());
    assert!(found[0].order.is_some() && found[0].why.is_none());
    let none = orders(ModelName::Register, &notation::parse("0:w1 0:r2").unwrap(), &Budget::default());
    assert_eq!(none[0].why.as_deref(), Some("there is no order"));
}

/// What a certificate names, with whoever wrote what these need and so on, has no order.
#[test]
fn certificates_have_no_order() {
    let shapes = [
        Shape { operations_max: 8, doubts_max: 3, values: 0 },
        Shape { operations_max: 8, doubts_max: 0, values: 0 },
        Shape { operations_max: 6, doubts_max: 1, values: 12 },
    ];
    let mut random = ChaCha8Rng::seed_from_u64(47);
    let mut seen = vec![0u32; PATTERNS.len()];
    for round in 0..60_000 {
        let operations = history(&mut random, shapes[round % shapes.len()]);
        let Ruling::Bad { certificate, .. } = blocks::rule(&operations, Mutation::default()) else { continue };
        let certificate = certificate.expect("blocks name what excludes each other");
        let pattern = PATTERNS.iter().position(|(name, _)| *name == certificate.pattern).expect("a known pattern");
        seen[pattern] += 1;
        assert!(certificate.places.len() >= PATTERNS[pattern].1, "{certificate:?}: {operations:#?}");
        let few: Vec<_> = closed(&operations, &certificate.places);
        assert!(!brute::linearizable(&MODEL, &few), "round {round}: {certificate:?} of {operations:#?}");
    }
    assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
}

fn closed(operations: &[Operation<RegisterAction>], places: &[u32]) -> Vec<Operation<RegisterAction>> {
    let mut chosen: Vec<bool> = (0..operations.len() as u32).map(|place| places.contains(&place)).collect();
    loop {
        let cells = |place: usize| MODEL.cell(&operations[place].action).expect("a cell");
        let needed: Vec<_> =
            (0..chosen.len()).filter(|&place| chosen[place]).filter_map(|place| cells(place).needs).collect();
        let missing = |&place: &usize| !chosen[place] && cells(place).leaves.is_some_and(|left| needed.contains(&left));
        let Some(next) = (0..chosen.len()).find(missing) else { break };
        chosen[next] = true;
    }
    operations.iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(one, _)| one.clone()).collect()
}

/// Line, pattern, and the invocations it names.
#[test]
fn patterns() {
    let cases: &[(&str, &str, &[u32])] = &[
        ("0:w1 0:r2", "value-never-written", &[2]),
        ("0:r1 0:w1", "ended-before-its-write", &[0, 2]),
        ("0:w1 1:c1>2 1:r2 0:r1", "chain-out-of-order", &[2, 6]),
        ("0:w1 0:c1>2 1:c1>3", "two-cas-from-one-value", &[2, 4]),
        ("0:c1>2( 1:c2>1 0)", "cycle-of-cas", &[0, 1]),
        ("0:w1 1:rnil", "initial-value-returned", &[0, 2]),
        ("0:w1 0:w2 1:r1 1:r2", "two-forward-zones", &[0, 4, 2, 6]),
        ("0:w1 0:w2 1:r1", "backward-zone-inside", &[0, 4, 2]),
        // In doubt: with whoever observed it.
        ("0:w1? 1:r1 1:rnil", "initial-value-returned", &[2, 4]),
        ("0:c5>1? 1:r1", "value-never-written", &[0, 2]),
    ];
    for (line, pattern, expected) in cases {
        let history = notation::parse(line).unwrap();
        let finding = check(&history);
        let witness = serde_json::to_value(&finding.anomalies[0].witness).unwrap();
        let told = (witness["exclusion"]["pattern"].as_str(), &witness["exclusion"]["operations"]);
        assert_eq!(told, (Some(*pattern), &serde_json::json!(expected)), "{line}");
        verify_witness(&history, &finding.anomalies[0].witness).unwrap_or_else(|wrong| panic!("{line}: {wrong}"));
    }
}

fn check(history: &History) -> crate::verdict::Finding {
    let finding =
        Linearizable { model: ModelName::CasRegister }.check(history, &RunFacts::default(), &Budget::default());
    assert_eq!(finding.outcome(), Outcome::Invalid);
    finding
}
