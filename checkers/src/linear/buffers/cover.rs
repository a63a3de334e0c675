//! Answers "empty": each must have a moment at which nothing is surely inside.
//!
//! Moments are the gaps between events. An item is surely inside in all gaps from the end of its put to the beginning of
//! its removal. Where an answer "empty" has a gap in which nothing is, everything can be arranged around it: whatever might be
//! inside then either can still come, or can have gone before (for stacks: what has to change places there stands on top
//! of each other). Where all its gaps are covered there is no order.

use super::Mutation;
use super::items::{Contradiction, Empty, Item};
use super::mutant::Mutant;
use crate::linear::split::OPEN;

/// Stretches of time in which something is surely inside, merged and in order.
fn stretches(items: &[Item], mutation: Mutation) -> Vec<(u32, u32)> {
    let inside = items.iter().filter(|item| item.is_surely_inside());
    let mut all: Vec<(u32, u32)> = inside.map(|item| (item.put_end, item.got_begin)).collect();
    all.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for (begin, end) in all {
        match merged.last_mut() {
            Some(last) if begin <= last.1 && !mutation.is(Mutant::CoverNotMerged) => last.1 = last.1.max(end),
            _ => merged.push((begin, end)),
        }
    }
    merged
}

/// The answer "empty" that is covered and ends first.
pub(crate) fn covered_empty(items: &[Item], empties: &[Empty], mutation: Mutation) -> Option<Contradiction> {
    if empties.is_empty() || mutation.is(Mutant::EmptiesIgnored) {
        return None;
    }
    let stretches = stretches(items, mutation);
    let is_covered = |empty: &&Empty| {
        let before = stretches.partition_point(|&(begin, _)| begin <= empty.begin);
        before.checked_sub(1).is_some_and(|at| stretches[at].1 >= empty.end)
    };
    let empty = empties.iter().filter(is_covered).min_by_key(|empty| empty.end)?;
    let covering = chain(items.iter(), empty.begin, empty.end);
    let places = covering.into_iter().flat_map(|item| [item.put, item.got]);
    Some(Contradiction::new(empty.end, "never-empty", [empty.place].into_iter().chain(places)))
}

/// Few items that together are inside from one event to another.
pub(crate) fn chain<'a>(items: impl Iterator<Item = &'a Item>, begin: u32, end: u32) -> Vec<&'a Item> {
    let overlaps = |item: &&Item| item.is_surely_inside() && item.put_end <= end && item.got_begin >= begin;
    let mut all: Vec<&Item> = items.filter(overlaps).collect();
    all.sort_unstable_by_key(|item| item.put_end);
    let (mut chosen, mut reached, mut at): (Vec<&Item>, u32, usize) = (Vec::new(), begin, 0);
    while reached < end {
        let mut best: Option<&Item> = None;
        while at < all.len() && all[at].put_end <= reached {
            best = best.filter(|best| best.got_begin >= all[at].got_begin).or(Some(all[at]));
            at += 1;
        }
        match best.filter(|best| best.got_begin > reached) {
            Some(best) => {
                reached = best.got_begin;
                chosen.push(best);
            }
            None => break,
        }
    }
    chosen
}

/// For each item that does not surely leave, an event by which it must have begun to: the first end of an answer "empty" that
/// began after the item was inside. [`OPEN`] for others.
pub(crate) fn deadlines(items: &[Item], empties: &[Empty]) -> Vec<u32> {
    let mut least: Vec<u32> = empties.iter().map(|empty| empty.end).collect();
    for place in (1..least.len()).rev() {
        least[place - 1] = least[place - 1].min(least[place]);
    }
    let due = |item: &Item| match item.is_sure_to_leave() {
        true => OPEN,
        false => {
            let from = empties.partition_point(|empty| empty.begin < item.put_end);
            least.get(from).copied().unwrap_or(OPEN)
        }
    };
    items.iter().map(due).collect()
}
