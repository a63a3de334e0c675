//! Histories of 30 to 300 transactions: of stores of known level, with and without something planted, so that the verdict is
//! known; and of up to 40 against a plain search. Keys are few and writes blind, so that the solver has to decide, to learn and to
//! go back; that it does is counted. Its proofs are derived again.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::generate::Case;
use super::naive;
use super::plants::PLANTS;
use super::stores::{Run, Store, Wanted, run};
use super::twin::{KEEPS, PROPERTIES, long_factor};
use crate::checker::Budget;
use crate::txn::meter::Meter;
use crate::txn::solver::{Decision, Keeps, Property, decide, trace};
use crate::txn::txns::Txns;

/// Serial ones often, as only of these it is known that they are serializable.
const STORES: [Store; 9] = [
    Store::Serial,
    Store::Snapshots,
    Store::Serial,
    Store::Prefix,
    Store::Serial,
    Store::Parallel,
    Store::Serial,
    Store::Updates,
    Store::Updates,
];

/// Some store, with times that tell what it keeps at most.
fn wanted(random: &mut impl Rng, round: usize, txns: u32) -> Wanted {
    let store = STORES[round % STORES.len()];
    let times = match store {
        Store::Parallel => KEEPS[random.random_range(0..2)],
        Store::Updates => Keeps::Nothing,
        _ => KEEPS[random.random_range(0..3)],
    };
    Wanted {
        store,
        txns,
        sessions: random.random_range(2..=12),
        keys: [2, 4, 10, 40][random.random_range(0..4)],
        operations: random.random_range(2..=6),
        reads_percent: [15, 30, 50][random.random_range(0..3)],
        times,
    }
}

/// Whether a store's histories have a property for sure.
fn has(wanted: Wanted, property: Property, keeps: Keeps) -> bool {
    use Property::*;
    let is_strong = match wanted.store {
        Store::Serial => true,
        Store::Snapshots => matches!(property, SnapshotIsolation | Prefix | ParallelSnapshotIsolation),
        Store::Prefix => property == Prefix,
        Store::Parallel => property == ParallelSnapshotIsolation,
        Store::Updates => property == UpdateSerializable,
    };
    is_strong && keeps <= wanted.times
}

fn decided(case: &Case, property: Property, keeps: Keeps) -> bool {
    let txns = Txns::of(&case.history);
    let mut meter = Meter::new(&Budget::default());
    match decide(&case.question(&txns, property, keeps), &mut meter) {
        Decision::Holds(_) => true,
        Decision::Broken(_) => false,
        Decision::Unknown(gap) => panic!("{property:?} {keeps:?}: {gap:?}: {}", case.line),
    }
}

fn every() -> impl Iterator<Item = (usize, Property, Keeps)> {
    let pairs = PROPERTIES.into_iter().enumerate();
    pairs.flat_map(|(place, property)| KEEPS.map(|keeps| (place, property, keeps)))
}

/// By property: how many were broken and held, each as it had to be.
fn known_verdicts(seed: u64, rounds: usize, sizes: (u32, u32)) -> [[usize; 2]; 5] {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut counts = [[0; 2]; 5];
    for round in 0..rounds {
        let txns = random.random_range(sizes.0..=sizes.1);
        let wanted = wanted(&mut random, round, txns);
        let mut run = run(&mut random, wanted);
        let plant = PLANTS[random.random_range(0..PLANTS.len())];
        let is_planted = random.random_range(0..3) == 0 && plant.plant(&mut random, &mut run);
        let case = run.case();
        for (place, property, keeps) in every() {
            let expected = if is_planted {
                plant.breaks(property).filter(|&least| keeps >= least).map(|_| false)
            } else {
                has(wanted, property, keeps).then_some(true)
            };
            let Some(expected) = expected else { continue };
            let told = || format!("round {round}, {property:?} {keeps:?}, {wanted:?}, {plant:?}: {}", case.line);
            assert_eq!(decided(&case, property, keeps), expected, "{}", told());
            counts[place][usize::from(expected)] += 1;
        }
    }
    counts
}

fn is_balanced(counts: &[[usize; 2]; 5]) {
    for (property, [broken, holds]) in PROPERTIES.iter().zip(counts) {
        let all = broken + holds;
        assert!(broken * 10 >= all * 3 && holds * 10 >= all * 3, "{property:?}: {broken} broken, {holds} hold");
    }
}

#[test]
fn stores_of_known_level_are_judged_right() {
    trace::take(false);
    let counts = known_verdicts(71, 1500 * long_factor(), (30, 90));
    is_balanced(&counts);
    let done = trace::take(false);
    assert!(done.decisions_count > 10_000 && done.learned_count > 1000 && done.refuted_count > 200, "{done:?}");
}

#[test]
fn larger_stores_of_known_level_are_judged_right() {
    trace::take(false);
    is_balanced(&known_verdicts(72, 60 * long_factor(), (200, 300)));
    let done = trace::take(false);
    assert!(done.decisions_count > 1000 && done.learned_count > 50, "{done:?}");
}

/// Every clause of every proof.
#[test]
fn contradictions_are_derived_again() {
    trace::take(true);
    is_balanced(&known_verdicts(73, 2000 * long_factor(), (14, 40)));
    let done = trace::take(false);
    assert!(done.certified_count > 5000 && done.learned_count > 300 && done.refuted_count > 100, "{done:?}");
}

/// A run with some reads of other versions.
fn noisy(random: &mut impl Rng, round: usize) -> Run {
    let store = [Store::Serial, Store::Snapshots][round % 2];
    let wanted = Wanted {
        store,
        txns: random.random_range(12..=if round.is_multiple_of(3) { 40 } else { 26 }),
        sessions: random.random_range(2..=4),
        keys: random.random_range(2..=8),
        operations: random.random_range(2..=4),
        reads_percent: 45,
        times: Keeps::Process,
    };
    let mut run = run(random, wanted);
    // What keeps nothing is seldom broken.
    let edits = [2, 4, 12][round / 2 % 3];
    for _ in 0..random.random_range(0..edits) {
        let id = random.random_range(0..run.made.len());
        if run.made[id].reads.is_empty() {
            continue;
        }
        let place = random.random_range(0..run.made[id].reads.len());
        let (key, writer) = run.made[id].reads[place];
        let writes = |other: &usize| *other != id && run.made[*other].writes.contains(&key);
        let writers: Vec<usize> = (0..run.made.len()).filter(writes).collect();
        // Near to what was read: what is far off is broken at once.
        let near = writers.iter().position(|&other| other as u32 == writer).unwrap_or(0);
        let other = (near + 2).saturating_sub(random.random_range(0..4));
        if let Some(&other) = writers.get(other) {
            run.made[id].reads[place].1 = other as u32;
        }
    }
    if round % 4 == 3 {
        PLANTS[random.random_range(0..PLANTS.len())].plant(random, &mut run);
    }
    run
}

#[test]
fn a_plain_search_agrees() {
    let mut random = ChaCha8Rng::seed_from_u64(74);
    let mut counts = [[[0usize; 2]; 3]; 3];
    let properties = [Property::Serializable, Property::SnapshotIsolation, Property::Prefix];
    trace::take(false);
    for round in 0..900 * long_factor() {
        let case = noisy(&mut random, round).case();
        for (k, keeps) in KEEPS.into_iter().enumerate() {
            for (p, property) in properties.into_iter().enumerate() {
                let Some(expected) = naive::holds(&case, property, keeps, 4000) else { continue };
                let found = decided(&case, property, keeps);
                assert_eq!(found, expected, "round {round}, {property:?} {keeps:?}: {}", case.line);
                counts[p][k][usize::from(expected)] += 1;
            }
        }
    }
    for (p, of_property) in counts.iter().enumerate() {
        for (k, [broken, holds]) in of_property.iter().enumerate() {
            let all = broken + holds;
            // Real time is told by none of these histories, so few keep it.
            let is_enough = all > 200 && *broken >= 20 && *holds >= 20;
            assert!(is_enough, "{:?} {:?}: {broken} broken, {holds} hold", properties[p], KEEPS[k]);
        }
    }
    let done = trace::take(false);
    assert!(done.decisions_count > 500, "{done:?}");
}

/// What is planted is by itself no more than it says.
#[test]
fn plants_break_no_more_than_they_say() {
    let mut random = ChaCha8Rng::seed_from_u64(75);
    for plant in PLANTS {
        let wanted = Wanted {
            store: Store::Serial,
            txns: 30,
            sessions: 3,
            keys: 2,
            operations: 1,
            reads_percent: 0,
            times: Keeps::Realtime,
        };
        let mut run = run(&mut random, wanted);
        run.made.iter_mut().for_each(|made| made.writes.clear());
        assert!(plant.plant(&mut random, &mut run), "{plant:?}");
        let case = run.case();
        for (_, property, keeps) in every() {
            let least = plant.breaks(property);
            // Times were not asked when transactions were chosen: with them it may break more.
            if keeps == Keeps::Nothing || least.is_some_and(|least| keeps >= least) {
                let expected = least.is_none_or(|least| keeps < least);
                assert_eq!(decided(&case, property, keeps), expected, "{plant:?} {property:?} {keeps:?}");
            }
        }
    }
}
