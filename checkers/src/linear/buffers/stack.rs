//! Stacks: items nest, and answers "empty" have a moment each.
//!
//! Nesting is decided by [`super::peel`], answers "empty" by [`super::cover`]; that is all, since an order in which items nest
//! can be arranged around a gap in which nothing is surely inside (the argument stands in `peel`).
//!
//! Cost: O(n log n).

use std::hash::Hash;

use super::items::{Item, Items, Kind, earlier};
use super::trees::LeastBelow;
use super::{Mutation, cover, peel, takers};
use crate::linear::models::buffer::BufferAction;
use crate::linear::ruling::Ruling;
use crate::linear::split::{OPEN, Operation};

const ALGORITHM: &str = "stack-peel";

/// Decides operations in order of invocation.
pub(crate) fn rule<V: Copy + Eq + Hash>(operations: &[Operation<BufferAction<V>>], mutation: Mutation) -> Ruling {
    let all = Items::new(operations, Kind { repeats: false, takers: true }, mutation);
    takers::decide(
        operations,
        &all,
        ALGORITHM,
        mutation,
        |items| earlier(peel::crossing(items, mutation), cover::covered_empty(items, &all.empties, mutation)),
        |items| {
            let mut due = cover::deadlines(items, &all.empties);
            due.iter_mut().zip(deadlines(items)).for_each(|(due, other)| *due = other.min(*due));
            due
        },
    )
}

/// For each item, the first end of a pop of what surely stood below it.
fn deadlines(items: &[Item]) -> Vec<u32> {
    let mut due = vec![OPEN; items.len()];
    let mut below: Vec<&Item> = items.iter().filter(|item| item.is_sure_to_leave()).collect();
    // By the latest beginning of their pops, so that those that begin after an event stand in front.
    let mut begins: Vec<u32> = below.iter().map(|item| item.got_begin).collect();
    begins.sort_unstable_by(|a, b| b.cmp(a));
    let later_than = |event: u32| begins.partition_point(|&begin| begin > event);
    below.sort_unstable_by_key(|item| item.put_end);
    let mut ends = LeastBelow::new(begins.len());
    let mut pushed = below.into_iter().peekable();
    for (place, item) in items.iter().enumerate().filter(|(_, item)| !item.is_sure_to_leave()) {
        while let Some(other) = pushed.next_if(|other| other.put_end < item.put_begin) {
            ends.add(later_than(other.got_begin), other.got_end);
        }
        due[place] = ends.below(later_than(item.put_end));
    }
    due
}
