//! Answers that nobody can have caused: never said of a history that has an order, and each mutant of the rule noticed.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::brute;
use super::simulate::{Wanted, history, kills};
use crate::linear::models::{Register, RegisterAction};
use crate::linear::mutant::Mutation;
use crate::linear::ruling::Ruling;
use crate::linear::sources::{SourcesMutant, rule};
use crate::linear::split::{OPEN, Operation};

const MODEL: Register = Register { cas: true };

const SHAPES: [Wanted; 2] = [
    Wanted { operations_max: 8, doubts_max: 2, values: 3, processes: 3, edited_percent: 90 },
    Wanted { operations_max: 8, doubts_max: 0, values: 2, processes: 4, edited_percent: 90 },
];

#[test]
fn what_it_finds_has_no_order_and_shows_at_that_completion() {
    let mut random = ChaCha8Rng::seed_from_u64(51);
    let mut bad = 0;
    for round in 0..30_000 {
        let operations = history(&mut random, &MODEL, SHAPES[round % SHAPES.len()]);
        let Some(Ruling::Bad { at, certificate, .. }) = rule(&operations, Mutation::default()) else { continue };
        bad += 1;
        let until = |operation: &Operation<RegisterAction>| Operation {
            end: if operation.end > at { OPEN } else { operation.end },
            ..operation.clone()
        };
        let prefix: Vec<_> = operations.iter().filter(|operation| operation.invoke <= at).map(until).collect();
        assert!(!brute::linearizable(&MODEL, &prefix), "round {round}: {operations:#?}");
        let places = certificate.map(|certificate| certificate.places).unwrap_or_default();
        assert!((1..=3).contains(&places.len()), "{places:?}");
        assert!(places.iter().any(|&place| operations[place as usize].end == at), "the last one is the observer");
    }
    assert!(bad > 6_000, "{bad} were found");
}

#[test]
fn every_mutant_is_noticed() {
    use SourcesMutant::*;
    let mutants = [DoubtIsNone, OnlyEnded, OpenOverwrites, InitialForgotten];
    kills(&MODEL, &SHAPES, (53, 10_000), &mutants, |operations, mutant| {
        // That it finds nothing tells nothing.
        rule(operations, Mutation { mutant: Some(mutant) }).map(|_| false)
    });
}
