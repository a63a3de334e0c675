//! The engine and its mutants against brute force.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::brute::{Level, guarantee_holds, holds};
use super::support::{Micro, Shape, Small, judge_line, line, random};
use crate::anomaly::AnomalyKind::{self, *};
use crate::txn::weak::mutant::{Mutant, Mutation};
use crate::txn::weak::sessions::Guarantee;

pub(super) const TAME: Shape = Shape {
    transactions: (3, 6),
    sessions: 3,
    keys: 2,
    micros_max: 3,
    doubt_percent: 5,
    wild_percent: 5,
    writes_percent: 50,
};

/// Half of them nearly always right, half of them nearly always wrong, as the axioms imply each other.
const SHAPES: [Shape; 6] = [
    TAME,
    Shape { sessions: 5, keys: 3, micros_max: 4, doubt_percent: 15, ..TAME },
    Shape { transactions: (6, 6), micros_max: 9, wild_percent: 100, writes_percent: 25, sessions: 3, ..TAME },
    Shape { transactions: (5, 6), micros_max: 7, wild_percent: 100, writes_percent: 30, sessions: 4, ..TAME },
    Shape { transactions: (5, 6), micros_max: 8, keys: 3, wild_percent: 90, writes_percent: 30, ..TAME },
    Shape { transactions: (6, 6), micros_max: 6, wild_percent: 80, writes_percent: 35, sessions: 2, ..TAME },
];

/// Each axiom with the kinds that break it.
pub(super) const AXIOMS: [(Level, bool, &[AnomalyKind]); 6] = [
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
pub(super) type Column = [bool; 6];

fn judged(small: &[Small], near: u32, mutation: Mutation) -> Column {
    let weak = judge_line(&line(small), near, mutation);
    let is_found = |kind: &AnomalyKind| weak.anomalies.iter().any(|anomaly| anomaly.kind == kind.as_str());
    AXIOMS.map(|(_, _, kinds)| !kinds.iter().any(is_found))
}

fn defined(small: &[Small]) -> Column {
    AXIOMS.map(|(level, sessions, _)| holds(small, &[], level, sessions))
}

fn histories(seed: u64, count: usize) -> Vec<(Vec<Small>, u32)> {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|round| (random(&mut chance, SHAPES[round % SHAPES.len()]), chance.random_range(0..6))).collect()
}

#[test]
fn agrees_with_every_commit_order() {
    let mut held = [0usize; 6];
    let all = histories(5, 18_000);
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
    let mut all = histories(6, 3_000);
    // Seldom made by chance: what was read from came after another of its session, and misses what that one wrote.
    let one = |session: u32, micros: Vec<Micro>| Small { session, doubt: false, micros };
    let pulled =
        vec![one(1, vec![Micro::R(1, 2)]), one(0, vec![Micro::W(0, 1)]), one(0, vec![Micro::R(0, 0), Micro::W(1, 2)])];
    all.push((pulled, 0));
    let expected: Vec<Column> = all.iter().map(|(small, _)| defined(small)).collect();
    let mutants = [
        NewerIgnored,
        InitialForgotten,
        OrderOfReadsIgnored,
        SessionNotVisible,
        ForwardForgotten,
        ChainsMerged,
        HorizonTooHigh,
        NotJoined,
        CutTooFar,
        CutStillSeen,
        NobodyAsks,
        ReadsUnranked,
        SessionsUnranked,
        DoneStaysOpen,
        WindowsApart,
        AloneForwardForgotten,
        AloneBackAssumed,
    ];
    let mut survivors = Vec::new();
    for mutant in mutants {
        let mutation = Mutation { mutant: Some(mutant) };
        let differs =
            |((small, near), expected): (&(Vec<Small>, u32), &Column)| judged(small, *near, mutation) != *expected;
        let noticed = all.iter().zip(&expected).position(differs);
        println!("{mutant:?}: noticed at {noticed:?}");
        if noticed.is_none() {
            survivors.push(mutant);
        }
    }
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}

/// An order that points forward is a part of the only cycle, and it is asked about by who reads what came soon after.
const NEAR_MATTERS: &str = r#"
    6:txn=[["w",2,1],["r",1,null]] 4:txn=[["w",2,2],["w",1,3],["r",4,null]] 2:txn=[["r",0,null],["w",1,4],["r",1,4],["w",0,5]]
    2:txn=[["w",0,6],["w",2,7],["w",2,8],["r",1,3]] 3:txn=[["r",3,null],["w",2,9]] 1:txn=[["r",0,null]]
    1:txn=[["w",1,10],["w",4,11],["r",3,null]] 3:txn=[["r",0,6],["r",0,6],["r",2,9]] 1:txn=[["r",2,null],["r",3,null]]?
    2:txn=[["w",0,12],["w",0,13],["r",1,4],["w",3,14]] 3:txn=[["r",0,6]]"#;

/// One of so many larger histories is judged by definition too, which takes long.
const LARGER_DEFINED: usize = 5;

/// Chains that are given back change nothing, in histories that are too large for brute force; and defects there are noticed.
#[test]
fn larger_histories_are_judged_as_with_all_chains() {
    use Mutant::*;
    let mut chance = ChaCha8Rng::seed_from_u64(9);
    let shape = |round: usize| {
        let wild_percent = [2, 8, 20, 40][round % 4];
        let (sessions, keys) = ([2, 4, 8][round % 3], [2, 3, 5, 8][round / 4 % 4]);
        Shape { transactions: (8, 40), sessions, keys, micros_max: 4, doubt_percent: 25, wild_percent, ..TAME }
    };
    let all: Vec<(Vec<Small>, u32)> = (0..std::env::var("ROUNDS").map_or(3_000, |n| n.parse().unwrap()))
        .map(|round| (random(&mut chance, shape(round)), [1, 2, 3, 5, 9, 256][round % 6]))
        .collect();
    let of = |mutant: Option<Mutant>, (small, near): &(Vec<Small>, u32)| judged(small, *near, Mutation { mutant });
    let whole: Vec<Column> = all.iter().map(|history| of(Some(NeverCut), history)).collect();
    let mut held = [0usize; 6];
    for (history, expected) in all.iter().zip(&whole) {
        assert_eq!(of(None, history), *expected, "near {}: {}", history.1, line(&history.0));
        assert_eq!(of(Some(AloneByClocks), history), *expected, "near {}: {}", history.1, line(&history.0));
        held.iter_mut().zip(expected).for_each(|(held, &expected)| *held += usize::from(expected));
    }
    let shares = held.map(|held| held * 100 / all.len());
    println!("{shares:?} per cent hold");
    assert!(shares.iter().all(|&share| (10..=90).contains(&share)), "{shares:?} per cent hold");
    let told = |mutant| {
        let mut kinds: Vec<String> = judge_line(NEAR_MATTERS, 256, Mutation { mutant })
            .anomalies
            .into_iter()
            .map(|anomaly| anomaly.kind)
            .collect();
        kinds.sort();
        kinds
    };
    assert_eq!(told(None), told(Some(NeverCut)));
    assert_ne!(told(Some(NearForgotten)), told(None), "seldom made by chance: once in ten thousand");
    // Guarantees of sessions: what components and windows leave out says nothing, and circles of reads are whole.
    let mut held = [0usize; 6];
    for (small, _) in &all {
        let expected = guaranteed(small, Mutation { mutant: Some(EverythingCompared) });
        assert_eq!(guaranteed(small, Mutation::default()), expected, "{}", line(small));
        held.iter_mut().zip(expected).for_each(|(held, expected)| *held += usize::from(expected));
    }
    println!("guarantees: {:?} per cent hold", held.map(|held| held * 100 / all.len()));
    for (small, near) in all.iter().step_by(LARGER_DEFINED) {
        assert_eq!(judged(small, *near, Mutation::default()), defined(small), "near {near}: {}", line(small));
        assert_eq!(guaranteed(small, Mutation::default()), promised(small), "{}", line(small));
    }
    for mutant in [CutTooFar, CutStillSeen, NobodyAsks, AloneNotJoined] {
        let noticed = all.iter().zip(&whole).position(|(history, expected)| of(Some(mutant), history) != *expected);
        println!("{mutant:?}: noticed at {noticed:?}");
        assert!(noticed.is_some(), "{mutant:?} is not noticed");
    }
}

/// Each guarantee of sessions with the kinds that break it.
pub(super) const GUARANTEES: [(Guarantee, &[AnomalyKind]); 6] = [
    (Guarantee::OwnWrites, &[NotReadYourWrites]),
    (Guarantee::Reads, &[NotMonotonicReads]),
    (Guarantee::Writes, &[NotMonotonicWrites]),
    (Guarantee::WritesFollowReads, &[NotWritesFollowReads]),
    (Guarantee::Pram, &[NotReadYourWrites, NotMonotonicReads, NotMonotonicWrites, NotPram]),
    (
        Guarantee::Causal,
        &[NotReadYourWrites, NotMonotonicReads, NotMonotonicWrites, NotPram, NotWritesFollowReads, NotCausal],
    ),
];

fn guaranteed(small: &[Small], mutation: Mutation) -> Column {
    let weak = judge_line(&line(small), 2, mutation);
    let is_found = |kind: &AnomalyKind| weak.anomalies.iter().any(|anomaly| anomaly.kind == kind.as_str());
    GUARANTEES.map(|(_, kinds)| !kinds.iter().any(is_found))
}

fn promised(small: &[Small]) -> Column {
    GUARANTEES.map(|(guarantee, _)| guarantee_holds(small, &[], guarantee))
}

#[test]
fn guarantees_agree_with_every_order_of_writes() {
    let mut held = [0usize; 6];
    let all = histories(7, 12_000);
    for (small, _) in &all {
        let expected = promised(small);
        assert_eq!(guaranteed(small, Mutation::default()), expected, "{}", line(small));
        held.iter_mut().zip(expected).for_each(|(held, expected)| *held += usize::from(expected));
    }
    let shares = held.map(|held| held * 100 / all.len());
    println!("{shares:?} per cent hold");
    assert!(shares.iter().all(|&share| (30..=70).contains(&share)), "{shares:?} per cent hold");
}

#[test]
fn every_mutant_of_the_guarantees_is_noticed() {
    use Mutant::*;
    let mut all = histories(8, 4_000);
    // Seldom made by chance: 1 was read before 2 was written, by the same session.
    let one = |session: u32, micros: Vec<Micro>| Small { session, doubt: false, micros };
    let backwards = vec![
        one(0, vec![Micro::W(0, 1)]),
        one(1, vec![Micro::R(0, 1), Micro::W(0, 2)]),
        one(2, vec![Micro::R(0, 2), Micro::R(0, 1)]),
    ];
    all.push((backwards, 0));
    let expected: Vec<Column> = all.iter().map(|(small, _)| promised(small)).collect();
    let mutants = [
        OwnReadsPassed,
        OverwrittenPassed,
        OwnUnseen,
        ReadsOfTransactionOnly,
        WritesUnordered,
        WritesUnseen,
        ReadsNotFollowed,
        ReadsUnordered,
        ObserversAgree,
        ReadersOutside,
        InitialOutside,
        CirclesUntold,
        CircleUnseen,
        BackSpansNothing,
        BackUnwatched,
        WindowsEndEarly,
        AgreementAssumed,
        DoubtFirst,
    ];
    let mut survivors = Vec::new();
    for mutant in mutants {
        let mutation = Mutation { mutant: Some(mutant) };
        let differs = |((small, _), expected): (&(Vec<Small>, u32), &Column)| guaranteed(small, mutation) != *expected;
        let noticed = all.iter().zip(&expected).position(differs);
        println!("{mutant:?}: noticed at {noticed:?}");
        if noticed.is_none() {
            survivors.push(mutant);
        }
    }
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}
