//! The decision by blocks: against brute force, its mutants, and its pitfalls by name.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schism_history::notation;

use super::brute;
use super::store::{Shape, history};
use crate::linear::blocks::rule;
use crate::linear::models::{Register, RegisterAction};
use crate::linear::mutant::{Mutant, Mutation};
use crate::linear::ruling::Ruling;
use crate::linear::split::{self, Operation};

const MODEL: Register = Register { cas: true };

const SHAPES: [Shape; 4] = [
    Shape { operations_max: 8, doubts_max: 3, values: 0 },
    Shape { operations_max: 8, doubts_max: 0, values: 0 },
    Shape { operations_max: 8, doubts_max: 3, values: 20 },
    Shape { operations_max: 5, doubts_max: 2, values: 4 },
];

#[test]
fn agrees_with_every_order() {
    let mut random = ChaCha8Rng::seed_from_u64(23);
    let (mut good, mut bad, mut unfit) = (0u32, 0u32, 0u32);
    for round in 0..40_000 {
        let operations = history(&mut random, SHAPES[round % SHAPES.len()]);
        let told = match rule(&operations, Mutation::default()) {
            Ruling::Good { .. } => true,
            Ruling::Bad { .. } => false,
            Ruling::Unfit(_) => {
                unfit += 1;
                continue;
            }
        };
        assert_eq!(told, brute::linearizable(&MODEL, &operations), "round {round}: {operations:?}");
        if told { good += 1 } else { bad += 1 }
    }
    let all = good + bad;
    assert!(good * 10 >= all * 3 && bad * 10 >= all * 3, "{good} good, {bad} bad");
    assert!(unfit < all / 4, "{unfit} of {all} were not for this algorithm");
}

#[test]
fn every_mutant_is_noticed() {
    use Mutant::*;
    let mutants = [
        ForwardsOverlap,
        BackwardInside,
        InnerOrderIgnored,
        InnerOrderOfCasIgnored,
        InitialForgotten,
        CyclesAllowed,
        WritersUncounted,
        MissesFit,
        DelayUnchecked,
        DoubtNotFollowed,
    ];
    let mut random = ChaCha8Rng::seed_from_u64(29);
    let histories: Vec<_> = (0..60_000).map(|round| history(&mut random, SHAPES[round % SHAPES.len()])).collect();
    let mut survivors = Vec::new();
    for mutant in mutants {
        let mutation = Mutation { mutant: Some(mutant) };
        let noticed = histories.iter().position(|operations| match rule(operations, mutation) {
            Ruling::Good { .. } => !brute::linearizable(&MODEL, operations),
            Ruling::Bad { .. } => brute::linearizable(&MODEL, operations),
            Ruling::Unfit(_) => false,
        });
        println!("{mutant:?}: noticed at {noticed:?}");
        if noticed.is_none() {
            survivors.push(mutant);
        }
    }
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}

fn operations_of(line: &str) -> Vec<Operation<RegisterAction>> {
    let history = notation::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let keys = split::by_key(&history);
    keys.first().map(|key| split::operations(&MODEL, &history, key).operations).unwrap_or_default()
}

/// What only "no match" needs: each line is told right, and the mutant tells something else.
#[test]
fn rules_of_no_match_are_needed() {
    let miss = "a compare-and-set that did not match needs an order to be looked for";
    let cases = [
        // A write in doubt stands in between.
        ("9:w5? 0:w1 0:c1>6~", "good", Mutant::SpareUnused, miss),
        // One that is still open stands in between.
        ("1:w2( 0:w1 0:c1>6~ 1)", "good", Mutant::NothingMoved, miss),
    ];
    for (line, expected, mutant, changed) in cases {
        let operations = operations_of(line);
        let told = |mutation| match rule(&operations, mutation) {
            Ruling::Good { .. } => "good",
            Ruling::Bad { .. } => "bad",
            Ruling::Unfit(why) => why,
        };
        assert_eq!(told(Mutation::default()), expected, "{line}");
        assert_eq!(told(Mutation { mutant: Some(mutant) }), changed, "{mutant:?}: {line}");
        assert_eq!(brute::linearizable(&MODEL, &operations), expected == "good", "{line}");
    }
}

/// One line a case: `good`, `bad` or why the algorithm passes.
#[test]
fn pitfalls() {
    let twice = "an observed value was written twice";
    let miss = "a compare-and-set that did not match needs an order to be looked for";
    let cases = [
        ("", "good"),
        ("0:rnil", "good"),
        ("0:w1 1:rnil", "bad"),
        ("0:r1", "bad"),
        ("0:r1 1:w1", "bad"),
        ("0:w1? 1:rnil 2:r1 3:r1", "good"),
        ("0:w1? 1:r1 2:rnil", "bad"),
        // Nobody observed the value: written twice all the same.
        ("0:w1 0:w1 0:w2 0:r2", "good"),
        ("0:w1 0:w2 0:w1 0:r1", twice),
        ("0:wnil 0:rnil", twice),
        // Chains.
        ("0:w1 0:c1>2 0:c2>3 0:r3", "good"),
        ("0:w1 0:c1>2 1:c2>3( 2:r2 1) 2:r3", "good"),
        ("0:w1 0:c1>2 1:c2>3 2:r2", "bad"),
        ("0:w1 0:c1>2 1:c1>3", "bad"),
        ("0:c1>2( 1:c2>1 0)", "bad"),
        ("0:cas=[null,2] 1:r2 1:rnil", "bad"),
        ("0:w1 1:c1>2? 2:c2>3? 3:r3 4:w4 5:r1", "bad"),
        ("0:w1 1:c1>2? 2:c2>3? 3:r3", "good"),
        ("0:w1 1:c1>2? 2:c1>3? 3:r3 4:r2", "bad"),
        ("0:w1 1:c1>2? 2:c1>3? 3:r3", "good"),
        // A compare-and-set from a value to itself is a read.
        ("0:w1 1:c1>1 2:r1 3:c1>2", "good"),
        // Two forward zones, and one inside the other.
        ("0:w1 1:w2( 2:r1 1) 2:r2 2:r1", "bad"),
        ("0:w1 1:w2( 1) 0:r1", "bad"),
        ("0:w1( 1:w2( 0) 2:r1 1) 2:r2", "good"),
        // "No match" that the order explains, and that it does not.
        ("0:w1 0:c5>6~", "good"),
        ("0:w1 0:w2 0:c1>6~", "good"),
        ("0:w1 1:c1>3( 0:c1>2 1)~", "good"),
        ("0:w1 0:c1>6~", miss),
        ("0:c1>6( 1:w1 0)~", "good"),
        ("0:w1? 1:c1>6~", "good"),
    ];
    for (line, expected) in cases {
        let operations = operations_of(line);
        let told = match rule(&operations, Mutation::default()) {
            Ruling::Good { .. } => "good",
            Ruling::Bad { .. } => "bad",
            Ruling::Unfit(why) => why,
        };
        assert_eq!(told, expected, "{line}");
        if operations.len() <= 8 && told.len() <= 4 {
            assert_eq!(brute::linearizable(&MODEL, &operations), told == "good", "{line}");
        }
    }
}
