//! The search and each rule against brute force; mutants of the rules.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::super::brute;
use super::super::simulate::{self, Simulated, Wanted, agrees, kills};
use super::{Container, search, told};
use crate::linear::buffers::mutant::Mutant::{self, *};
use crate::linear::models::bag::Bag;
use crate::linear::models::buffer::BufferAction;
use crate::linear::models::priority_queue::PriorityQueue;
use crate::linear::models::queue::Queue;
use crate::linear::models::stack::Stack;
use crate::linear::ruling::Ruling;
use crate::linear::split::{OPEN, Operation};

const UNIQUE: [Wanted; 4] = [
    Wanted { operations_max: 8, doubts_max: 3, values: 0, processes: 3, edited_percent: 90 },
    Wanted { operations_max: 8, doubts_max: 0, values: 0, processes: 3, edited_percent: 90 },
    Wanted { operations_max: 8, doubts_max: 1, values: 0, processes: 4, edited_percent: 90 },
    Wanted { operations_max: 6, doubts_max: 3, values: 0, processes: 2, edited_percent: 90 },
];

const REPEATED: [Wanted; 2] = [
    Wanted { operations_max: 7, doubts_max: 2, values: 2, processes: 3, edited_percent: 90 },
    Wanted { operations_max: 7, doubts_max: 0, values: 3, processes: 2, edited_percent: 90 },
];

fn rule_agrees<C: Container + Simulated>(model: &C, seed: u64, unfit_percent: usize) {
    let judged = |operations: &[Operation<C::Action>]| told(&C::ruling(operations, None));
    agrees(model, &UNIQUE, (seed, 20_000, unfit_percent), judged);
    agrees(model, &REPEATED, (seed + 1, 8_000, 30), judged);
    agrees(model, &[UNIQUE[0], REPEATED[0]], (seed + 2, 4_000, 0), |operations| search(model, operations));
}

#[test]
fn queues_agree_with_every_order() {
    rule_agrees(&Queue, 101, 25);
}

#[test]
fn bags_agree_with_every_order() {
    rule_agrees(&Bag, 111, 25);
}

#[test]
fn priority_queues_agree_with_every_order() {
    rule_agrees(&PriorityQueue, 121, 25);
}

#[test]
fn stacks_agree_with_every_order() {
    rule_agrees(&Stack, 131, 25);
}

const COMMON: [Mutant; 15] = [
    OutBeforeIn,
    OutTwice,
    DoubtEndsAtOnce,
    PendingNever,
    PendingSure,
    EmptiesIgnored,
    InsideTooLong,
    InsideTooEarly,
    TakersIgnored,
    TakersUnlimited,
    TakersEarly,
    TakersLatestFirst,
    RepeatsAnyOrder,
    RepeatsWithTakers,
    GuessTrusted,
];

fn rule_kills<C: Container + Simulated>(model: &C, seed: u64, without: &[Mutant], own: &[Mutant]) {
    let mutants: Vec<Mutant> = COMMON.iter().filter(|mutant| !without.contains(mutant)).chain(own).copied().collect();
    let wanted = [UNIQUE[0], UNIQUE[2], REPEATED[0], UNIQUE[3], REPEATED[1]];
    kills(model, &wanted, (seed, 40_000), &mutants, |operations, mutant| told(&C::ruling(operations, Some(mutant))));
}

#[test]
fn mutants_of_queues_are_noticed() {
    rule_kills(&Queue, 141, &[], &[CoverNotMerged, Overtaken, LostOvertaken, OvertakenTooEager]);
}

#[test]
fn mutants_of_bags_are_noticed() {
    rule_kills(&Bag, 151, &[], &[CoverNotMerged]);
}

#[test]
fn mutants_of_priority_queues_are_noticed() {
    rule_kills(&PriorityQueue, 161, &[], &[FoundTooEarly, GreaterIgnored, AtInvocationOnly]);
}

#[test]
fn mutants_of_stacks_are_noticed() {
    let own = [CoverNotMerged, PutAlone, GotAlone, PeeledStay, CountIgnored, LastCellCovered];
    rule_kills(&Stack, 171, &[RepeatsAnyOrder, RepeatsWithTakers], &own);
}

/// A queue that nobody found empty is always decided if its values are told apart, whatever is in doubt.
#[test]
fn queues_that_were_never_empty_need_no_search() {
    let mut random = ChaCha8Rng::seed_from_u64(181);
    for round in 0..20_000 {
        let mut operations = simulate::history(&mut random, &Queue, UNIQUE[round % UNIQUE.len()]);
        operations.retain(|operation| operation.action != BufferAction::Empty);
        let mut values: Vec<_> = operations.iter().map(|operation| operation.action).collect();
        values.retain(|action| matches!(action, BufferAction::Put(_)));
        let count = values.len();
        values.sort_unstable_by_key(|action| match action {
            BufferAction::Put(value) => value.number(),
            _ => 0,
        });
        values.dedup();
        if values.len() < count {
            continue;
        }
        let ruling = Queue::ruling(&operations, None);
        assert!(!matches!(ruling, Ruling::Unfit(_)), "{operations:?}");
        assert_eq!(told(&ruling), Some(brute::linearizable(&Queue, &operations)), "{operations:?}");
    }
}

/// Whether a bag's operations have an order if a removal of unknown result may take any value: every choice is tried.
fn any_order(all: &[Operation<<Bag as crate::linear::model::Model>::Action>], placed: u32, inside: &[u32]) -> bool {
    let rest: Vec<usize> = (0..all.len()).filter(|place| placed & (1 << place) == 0).collect();
    if rest.iter().all(|&place| all[place].end == OPEN) {
        return true;
    }
    let without = |at: usize| {
        let mut less = inside.to_vec();
        less.remove(at);
        less
    };
    rest.iter().filter(|&&place| rest.iter().all(|&other| all[other].end > all[place].invoke)).any(|&place| {
        let after: Vec<Vec<u32>> = match all[place].action {
            BufferAction::Put(value) => vec![inside.iter().copied().chain([value.number()]).collect()],
            BufferAction::Got(value) => {
                inside.iter().position(|&one| one == value.number()).map(without).into_iter().collect()
            }
            BufferAction::Empty => inside.is_empty().then(Vec::new).into_iter().collect(),
            BufferAction::Took => (0..inside.len()).map(without).collect(),
        };
        after.iter().any(|inside| any_order(all, placed | 1 << place, inside))
    })
}

/// The bag's step takes one certain value where any might have been taken: the answers are the same.
#[test]
fn what_a_bag_lost_in_doubt_may_be_anything() {
    let wanted = [UNIQUE[0], REPEATED[0]];
    agrees(&Bag, &wanted, (191, 10_000, 0), |operations| Some(any_order(operations, 0, &[])));
}
