//! Queues: no item overtakes another.
//!
//! `b` overtook `a` if `a` was put in before `b` (its put had ended before the other one's began) and came out after `b`
//! (likewise), or never. Without that, and with a moment for each answer "empty", there is an order (Henzinger, Sezgin,
//! Vafeiadis 2013). An item that stays can wait for ever if nothing that was surely put in later came out; otherwise the end
//! of the first such removal is its deadline, should a removal of unknown result have taken it.
//!
//! Cost: O(n log n), flat arrays.

use std::hash::Hash;

use super::items::{Contradiction, Item, Items, Kind, earlier};
use super::mutant::Mutant;
use super::{Mutation, cover, takers};
use crate::linear::models::buffer::BufferAction;
use crate::linear::ruling::Ruling;
use crate::linear::split::{OPEN, Operation};

const ALGORITHM: &str = "queue-sweep";

/// Decides operations in order of invocation.
pub(crate) fn rule<V: Copy + Eq + Hash>(operations: &[Operation<BufferAction<V>>], mutation: Mutation) -> Ruling {
    let all = Items::new(operations, Kind { repeats: true, takers: true }, mutation);
    takers::decide(
        operations,
        &all,
        ALGORITHM,
        mutation,
        |items| earlier(overtaken(items, mutation), cover::covered_empty(items, &all.empties, mutation)),
        |items| {
            let mut due = cover::deadlines(items, &all.empties);
            due.iter_mut().zip(deadlines(items)).for_each(|(due, other)| *due = other.min(*due));
            due
        },
    )
}

/// The item that overtook another and came out first.
fn overtaken(items: &[Item], mutation: Mutation) -> Option<Contradiction> {
    if mutation.is(Mutant::Overtaken) {
        return None;
    }
    let mut by_end: Vec<(u32, u32)> =
        items.iter().enumerate().map(|(place, item)| (item.put_end, place as u32)).collect();
    by_end.sort_unstable();
    let (mut at, mut last, mut found): (usize, Option<&Item>, Option<(&Item, &Item)>) = (0, None, None);
    for item in items {
        while at < by_end.len() && by_end[at].0 < item.put_begin {
            let other = &items[by_end[at].1 as usize];
            at += 1;
            if other.got_begin == OPEN && mutation.is(Mutant::LostOvertaken) {
                continue;
            }
            last = last.filter(|last| last.got_begin >= other.got_begin).or(Some(other));
        }
        let comes_out = if mutation.is(Mutant::OvertakenTooEager) { item.got_begin } else { item.got_end };
        if let Some(last) = last.filter(|last| comes_out < last.got_begin)
            && found.is_none_or(|(_, before)| item.got_end < before.got_end)
        {
            found = Some((last, item));
        }
    }
    let (first, second) = found?;
    Some(Contradiction::new(second.got_end, "overtaken", [first.put, second.put, second.got, first.got]))
}

/// For each item, the first end of a removal of what was surely put in later.
fn deadlines(items: &[Item]) -> Vec<u32> {
    let mut least: Vec<u32> = items.iter().map(|item| item.got_end).collect();
    for place in (1..least.len()).rev() {
        least[place - 1] = least[place - 1].min(least[place]);
    }
    let due = |item: &Item| match item.is_sure_to_leave() {
        true => OPEN,
        false => {
            let from = items.partition_point(|other| other.put_begin < item.put_end);
            least.get(from).copied().unwrap_or(OPEN)
        }
    };
    items.iter().map(due).collect()
}
