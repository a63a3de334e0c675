//! The search and every named mutant of it against brute force.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::brute;
use super::store::{Shape, history};
use crate::checker::Budget;
use crate::linear::models::Register;
use crate::linear::mutant::{Mutant, Mutation};
use crate::linear::problem::Problem;
use crate::linear::search::{Decision, decide};
use crate::linear::split::Operation;

const MODEL: Register = Register { cas: true };

const SHAPES: [Shape; 4] = [
    Shape { operations_max: 8, doubts_max: 3, values: 0 },
    Shape { operations_max: 8, doubts_max: 3, values: 2 },
    Shape { operations_max: 8, doubts_max: 3, values: 3 },
    Shape { operations_max: 8, doubts_max: 0, values: 3 },
];

fn judge(operations: &[Operation<<Register as crate::linear::model::Model>::Action>], mutation: Mutation) -> bool {
    let mut problem = Problem::new(&MODEL, operations, mutation);
    match decide(&mut problem, Budget::default(), mutation).0 {
        Decision::Linearizable => true,
        Decision::Impossible(_) => false,
        Decision::Spent(_) => panic!("eight operations spent the budget"),
    }
}

#[test]
fn agrees_with_every_order() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut valid, mut invalid) = (0u32, 0u32);
    for round in 0..40_000 {
        let operations = history(&mut random, SHAPES[round % SHAPES.len()]);
        let expected = brute::linearizable(&MODEL, &operations);
        assert_eq!(judge(&operations, Mutation::default()), expected, "round {round}: {operations:?}");
        if expected { valid += 1 } else { invalid += 1 }
    }
    let all = valid + invalid;
    assert!(valid * 10 >= all * 3 && invalid * 10 >= all * 3, "{valid} valid, {invalid} invalid");
}

#[test]
fn every_mutant_is_noticed() {
    use Mutant::*;
    let mutants = [
        NoDoubt,
        DoubtMustHappen,
        DoubtExpires,
        ClassCountOffByOne,
        AntichainReversed,
        UsedNotCounted,
        RealTimeIgnored,
        ReturnsEarly,
        CasAlwaysMatches,
        MissTellsNothing,
        BlocksLatestFirst,
        RefusalsIdle,
        DeadTooEager,
        WritesGreedy,
        ReadsAnything,
        WindowOverflow,
        SlotNotCleared,
        DoomedTooEager,
        AbsorbIgnoresFuture,
        AbsorbIgnoresMisses,
        DoubtOnlyForReads,
        LatestDeadlineFirst,
    ];
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let histories: Vec<_> = (0..60_000).map(|round| history(&mut random, SHAPES[round % SHAPES.len()])).collect();
    let mut survivors = Vec::new();
    for mutant in mutants {
        let mutation = Mutation { mutant: Some(mutant) };
        let noticed = histories
            .iter()
            .position(|operations| judge(operations, mutation) != brute::linearizable(&MODEL, operations));
        println!("{mutant:?}: noticed at {noticed:?}");
        if noticed.is_none() {
            survivors.push(mutant);
        }
    }
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}
