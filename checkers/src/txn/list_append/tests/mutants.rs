//! The engine and every named defect of it against brute force.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schism_history::History;

use super::super::mutant::{Mutant, Mutation};
use super::{brute, store, summary};

pub(super) fn long() -> bool {
    std::env::var_os("SCHISM_TEST_LONG").is_some()
}

fn histories(seed: u64, count: usize) -> impl Iterator<Item = History> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(move |round| store::history(&mut random, 3 + round % 8))
}

/// The history, to be put into a case.
pub(super) fn text(history: &History) -> String {
    let mut bytes = Vec::new();
    schism_history::jsonl::write(history, &mut bytes).expect("into memory");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn agrees_with_the_definitions() {
    let (mut clean, mut broken) = (0u32, 0u32);
    let mut kinds = std::collections::BTreeMap::new();
    for (round, history) in histories(1, if long() { 2_000_000 } else { 40_000 }).enumerate() {
        let expected = brute::summary(&history);
        assert_eq!(summary(&history, Mutation::default()), expected, "round {round}:\n{}", text(&history));
        if expected.counts.is_empty() {
            clean += 1
        } else {
            broken += 1
        }
        expected.counts.keys().for_each(|&kind| *kinds.entry(kind).or_insert(0) += 1);
    }
    let all = clean + broken;
    assert!(clean * 10 >= all * 3 && broken * 10 >= all * 3, "{clean} clean, {broken} broken");
    let rare: Vec<_> = kinds.iter().filter(|(_, count)| **count < 100).collect();
    assert!(kinds.len() == super::super::findings::KINDS.len() && rare.is_empty(), "{kinds:?}");
}

#[test]
fn every_mutant_is_noticed() {
    use Mutant::*;
    let mutants = [
        DoubtNeverSeen,
        DoubtAlwaysSeen,
        UnreadForgotten,
        LengthOfAnybody,
        FailedFits,
        IntermediateFits,
        RepeatedFits,
        GarbageFits,
        DeviantFits,
        DirtyNextOnly,
        OwnEdges,
        OwnIsExternal,
        OwnKept,
        OwnUncompared,
        InternalIdle,
        OwnMissedIdle,
        RepeatedReadIdle,
        FutureIdle,
        FutureAnytime,
        LostUpdateIdle,
        OwnOrderIdle,
        LostUpdateAlone,
        FirstWriterTaken,
        TailsHide,
        LastReadersForgotten,
        InitialForgotten,
        OrderGoesOn,
    ];
    let histories: Vec<_> = histories(2, 4_000).map(|history| (brute::summary(&history), history)).collect();
    let is_noticed = |mutant: &Mutant| {
        let mutation = Mutation { mutant: Some(*mutant) };
        histories.iter().any(|(expected, history)| summary(history, mutation) != *expected)
    };
    let survivors: Vec<_> = mutants.iter().filter(|mutant| !is_noticed(mutant)).collect();
    assert!(survivors.is_empty(), "{survivors:?}");
}
