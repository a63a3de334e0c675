//! Priority queues: each removal has a moment at which nothing greater is surely inside.
//!
//! A removal of `v` needs a gap between events, within its own time and not before the put of `v` began, in which no
//! greater item is surely inside; an answer "empty" is a removal of what is less than everything. If each has one, let each
//! removal take effect in its first such gap (there the greater ones first), and each put as late as it can, at its end or just
//! before its removal. Were a greater item `u` inside when `v` is removed, it would not be there surely, so its removal would
//! have begun; what is greater than `u` is greater than `v` and not surely there either; so `u` would have been
//! removed in this gap or an earlier one.
//!
//! One sweep over the events: the greatest item that is surely inside, and the removals that still wait for their gap, of which all
//! that are not less go at once. Cost: O(n log n).

use std::collections::BinaryHeap;
use std::hash::Hash;

use super::items::{Contradiction, Item, Items, Kind, NONE};
use super::mutant::Mutant;
use super::trees::LeastBelow;
use super::{Mutation, cover, takers};
use crate::linear::models::buffer::BufferAction;
use crate::linear::ruling::Ruling;
use crate::linear::split::{OPEN, Operation};

const ALGORITHM: &str = "priority-sweep";

/// Decides operations in order of invocation.
pub(crate) fn rule<V: Copy + Ord + Hash>(operations: &[Operation<BufferAction<V>>], mutation: Mutation) -> Ruling {
    let all = Items::new(operations, Kind { repeats: true, takers: true }, mutation);
    let ranks = ranks(&all.values);
    takers::decide(
        operations,
        &all,
        ALGORITHM,
        mutation,
        |items| sweep(items, &all, &ranks, mutation),
        |items| {
            let mut due = cover::deadlines(items, &all.empties);
            due.iter_mut().zip(deadlines(items, &ranks)).for_each(|(due, other)| *due = other.min(*due));
            due
        },
    )
}

/// The place of each value among them in order, from 1; 0 is less than all.
fn ranks<V: Ord>(values: &[V]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_unstable_by_key(|&value| &values[value as usize]);
    let mut ranks = vec![0; values.len()];
    for (place, &value) in order.iter().enumerate() {
        ranks[value as usize] = place as u32 + 1;
    }
    ranks
}

/// What happens at an event, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    /// A removal must have found its gap.
    Stop,
    /// An item is no longer surely inside.
    Leave,
    /// An item is surely inside.
    Enter,
    /// A removal may take effect from here on.
    Start,
}

/// Since when a removal may take effect.
fn start(item: &Item, mutation: Mutation) -> u32 {
    let early = mutation.is(Mutant::FoundTooEarly);
    if early { item.got_begin } else { item.got_begin.max(item.put_begin) }
}

/// The removal that finds no gap and ends first. Removals have the numbers of their items, answers "empty" those after.
fn sweep<V>(items: &[Item], all: &Items<V>, ranks: &[u32], mutation: Mutation) -> Option<Contradiction> {
    let mut changes: Vec<(u32, Change, u32)> = Vec::with_capacity(items.len() * 4);
    for (number, item) in items.iter().enumerate() {
        if item.is_surely_inside() {
            changes.push((item.put_end, Change::Enter, number as u32));
            changes.push((item.got_begin, Change::Leave, number as u32));
        }
        if item.is_sure_to_leave() {
            changes.push((start(item, mutation), Change::Start, number as u32));
            changes.push((item.got_end, Change::Stop, number as u32));
        }
    }
    for (place, empty) in all.empties.iter().enumerate().filter(|_| !mutation.is(Mutant::EmptiesIgnored)) {
        changes.push((empty.begin, Change::Start, (items.len() + place) as u32));
        changes.push((empty.end, Change::Stop, (items.len() + place) as u32));
    }
    changes.sort_unstable();
    let rank = |number: u32| items.get(number as usize).map_or(0, |item| ranks[item.value as usize]);
    let mut inside: BinaryHeap<(u32, u32)> = BinaryHeap::new();
    let mut waiting: BinaryHeap<(u32, u32)> = BinaryHeap::new();
    let (mut has_left, mut waits) = (vec![false; items.len()], vec![false; items.len() + all.empties.len()]);
    for (at, &(time, change, number)) in changes.iter().enumerate() {
        match change {
            Change::Stop if waits[number as usize] => return Some(told(items, all, ranks, number, mutation)),
            Change::Stop => {}
            Change::Leave => has_left[number as usize] = true,
            Change::Enter => inside.push((rank(number), number)),
            Change::Start => {
                waits[number as usize] = true;
                waiting.push((rank(number), number));
            }
        }
        if changes.get(at + 1).is_some_and(|next| next.0 == time) {
            continue;
        }
        while inside.peek().is_some_and(|&(_, item)| has_left[item as usize]) {
            inside.pop();
        }
        let greatest = inside.peek().map_or(0, |&(rank, _)| rank);
        while let Some(&(rank, removal)) = waiting.peek()
            && (rank >= greatest || mutation.is(Mutant::GreaterIgnored))
        {
            waits[removal as usize] = false;
            waiting.pop();
        }
        if mutation.is(Mutant::AtInvocationOnly)
            && let Some(&(_, removal)) = waiting.peek()
        {
            return Some(told(items, all, ranks, removal, mutation));
        }
    }
    None
}

/// A removal without a gap, and greater items that cover all its time.
fn told<V>(items: &[Item], all: &Items<V>, ranks: &[u32], number: u32, mutation: Mutation) -> Contradiction {
    let (rank, begin, end, put, got) = match items.get(number as usize) {
        Some(item) => (ranks[item.value as usize], start(item, mutation), item.got_end, item.put, item.got),
        None => {
            let empty = all.empties[number as usize - items.len()];
            (0, empty.begin, empty.end, NONE, empty.place)
        }
    };
    let greater = cover::chain(items.iter().filter(|item| ranks[item.value as usize] > rank), begin, end);
    let places = [put, got].into_iter().chain(greater.into_iter().flat_map(|item| [item.put, item.got]));
    Contradiction::new(end, if put == NONE { "never-empty" } else { "greater-inside" }, places)
}

/// For each item, the first end of a removal of something less that could only take effect when the item was surely inside.
fn deadlines(items: &[Item], ranks: &[u32]) -> Vec<u32> {
    let mut due = vec![OPEN; items.len()];
    let mut events: Vec<(u32, bool, usize)> = Vec::new();
    for (number, item) in items.iter().enumerate() {
        match item.is_sure_to_leave() {
            true => events.push((item.got_begin.max(item.put_begin), true, number)),
            false => events.push((item.put_end, false, number)),
        }
    }
    events.sort_unstable();
    let mut ends = LeastBelow::new(ranks.len() + 1);
    for &(_, is_removal, number) in events.iter().rev() {
        let rank = ranks[items[number].value as usize] as usize;
        match is_removal {
            true => ends.add(rank, items[number].got_end),
            false => due[number] = ends.below(rank),
        }
    }
    due
}
