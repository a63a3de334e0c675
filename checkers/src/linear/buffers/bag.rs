//! Bags: items are independent of each other, but for answers "empty".
//!
//! Every value comes out after it was put in, and every answer "empty" has a moment at which nothing is surely inside: then
//! let each item go in as late and out as early as it can; an item that is surely inside from one event to another is there
//! just then, any other for no time at all.
//!
//! Cost: O(n log n).

use std::hash::Hash;

use super::items::{Items, Kind};
use super::{Mutation, cover, takers};
use crate::linear::models::buffer::BufferAction;
use crate::linear::ruling::Ruling;
use crate::linear::split::Operation;

const ALGORITHM: &str = "bag-sweep";

/// Decides operations in order of invocation.
pub(crate) fn rule<V: Copy + Eq + Hash>(operations: &[Operation<BufferAction<V>>], mutation: Mutation) -> Ruling {
    let all = Items::new(operations, Kind { repeats: true, takers: false }, mutation);
    takers::decide(
        operations,
        &all,
        ALGORITHM,
        mutation,
        |items| cover::covered_empty(items, &all.empties, mutation),
        |items| cover::deadlines(items, &all.empties),
    )
}
