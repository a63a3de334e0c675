//! The engine and its mutants against brute force.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::brute::{Level, holds};
use super::support::{Shape, Small, judge_line, line, random};
use crate::anomaly::AnomalyKind::{self, *};
use crate::txn::weak::mutant::{Mutant, Mutation};

const SHAPES: [Shape; 4] = [
    Shape { transactions_max: 6, sessions: 3, keys: 2, micros_max: 3, doubt_percent: 5, wild_percent: 10 },
    Shape { transactions_max: 6, sessions: 4, keys: 3, micros_max: 4, doubt_percent: 10, wild_percent: 5 },
    Shape { transactions_max: 6, sessions: 6, keys: 2, micros_max: 3, doubt_percent: 20, wild_percent: 2 },
    Shape { transactions_max: 6, sessions: 2, keys: 3, micros_max: 2, doubt_percent: 2, wild_percent: 30 },
];

/// Each axiom with the kinds that break it.
const AXIOMS: [(Level, bool, &[AnomalyKind]); 6] = [
    (Level::Committed, false, &[NonMonotonicView]),
    (Level::Atomic, false, &[NonMonotonicView, FracturedRead]),
    (Level::Causal, false, &[NonMonotonicView, FracturedRead, StaleCausalRead]),
    (Level::Committed, true, &[NonMonotonicView, NonMonotonicViewProcess]),
    (Level::Atomic, true, &[NonMonotonicView, FracturedRead, NonMonotonicViewProcess, FracturedReadProcess]),
    (
        Level::Causal,
        true,
        &[
            NonMonotonicView,
            FracturedRead,
            StaleCausalRead,
            NonMonotonicViewProcess,
            FracturedReadProcess,
            StaleCausalReadProcess,
        ],
    ),
];

/// By axiom: whether it holds.
type Column = [bool; 6];

fn judged(small: &[Small], near: u32, mutation: Mutation) -> Column {
    let weak = judge_line(&line(small), near, mutation);
    let is_found = |kind: &AnomalyKind| weak.anomalies.iter().any(|anomaly| anomaly.kind == kind.as_str());
    AXIOMS.map(|(_, _, kinds)| !kinds.iter().any(is_found))
}

fn defined(small: &[Small]) -> Column {
    AXIOMS.map(|(level, sessions, _)| holds(small, level, sessions))
}

fn histories(seed: u64, count: usize) -> Vec<(Vec<Small>, u32)> {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|round| (random(&mut chance, SHAPES[round % 4]), chance.random_range(0..6))).collect()
}

#[test]
fn agrees_with_every_commit_order() {
    let mut held = [0usize; 6];
    let all = histories(5, 24_000);
    for (small, near) in &all {
        let expected = defined(small);
        assert_eq!(judged(small, *near, Mutation::default()), expected, "near {near}: {}", line(small));
        held.iter_mut().zip(expected).for_each(|(held, expected)| *held += usize::from(expected));
    }
    let shares = held.map(|held| held * 100 / all.len());
    println!("{shares:?} per cent hold");
    assert!(shares.iter().all(|&share| (30..=70).contains(&share)), "{shares:?} per cent hold");
}

#[test]
fn every_mutant_is_noticed() {
    use Mutant::*;
    let all = histories(6, 12_000);
    let expected: Vec<Column> = all.iter().map(|(small, _)| defined(small)).collect();
    let mutants = [
        NewerIgnored,
        OlderIgnored,
        InitialForgotten,
        OrderOfReadsIgnored,
        SessionNotVisible,
        ForwardForgotten,
        ChainsMerged,
        NotJoined,
        DoubtFollowed,
    ];
    let mut survivors = Vec::new();
    for mutant in mutants {
        let mutation = Mutation { mutant: Some(mutant) };
        let differs = |((small, near), expected): (&(Vec<Small>, u32), &Column)| judged(small, *near, mutation) != *expected;
        let noticed = all.iter().zip(&expected).position(differs);
        println!("{mutant:?}: noticed at {noticed:?}");
        if noticed.is_none() {
            survivors.push(mutant);
        }
    }
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}
