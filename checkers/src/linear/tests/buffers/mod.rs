//! Queues, bags, priority queues and stacks: the search and each rule against brute force, mutants of the rules, pitfalls by
//! name, witnesses, and histories that are too large for brute force.

mod cases;
mod large;
mod rules;
#[path = "../../../../examples/buffers_bench/simulated.rs"]
mod simulated;
mod witness;

use std::fmt::Debug;
use std::hash::Hash;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_history::ValueId;

use super::simulate::{Draw, Simulated, Told};
use super::store::number;
use crate::checker::Budget;
use crate::linear::buffers::{Mutation, bag, mutant::Mutant, priority, queue, stack};
use crate::linear::model::Model;
use crate::linear::models::ModelName;
use crate::linear::models::bag::Bag;
use crate::linear::models::buffer::BufferAction;
use crate::linear::models::priority_queue::PriorityQueue;
use crate::linear::models::queue::Queue;
use crate::linear::models::stack::Stack;
use crate::linear::mutant;
use crate::linear::problem::Problem;
use crate::linear::ruling::Ruling;
use crate::linear::search::{Decision, decide};
use crate::linear::split::Operation;

/// A container as the tests see it.
pub trait Container: Model<Action = BufferAction<<Self as Container>::Value>> {
    type Value: Copy + Eq + Hash + Debug + Send + Sync;

    fn value(number: u32) -> Self::Value;

    /// What a removal may take out.
    fn next(random: &mut ChaCha8Rng, state: &Self::State) -> Option<Self::Value>;

    fn ruling(operations: &[Operation<Self::Action>], mutant: Option<Mutant>) -> Ruling;
}

impl Container for Queue {
    type Value = ValueId;

    fn value(value: u32) -> ValueId {
        number(value)
    }
    fn next(_: &mut ChaCha8Rng, state: &Self::State) -> Option<ValueId> {
        state.first()
    }
    fn ruling(operations: &[Operation<Self::Action>], mutant: Option<Mutant>) -> Ruling {
        queue::rule(operations, Mutation { mutant })
    }
}

impl Container for Stack {
    type Value = ValueId;

    fn value(value: u32) -> ValueId {
        number(value)
    }
    fn next(_: &mut ChaCha8Rng, state: &Self::State) -> Option<ValueId> {
        state.last()
    }
    fn ruling(operations: &[Operation<Self::Action>], mutant: Option<Mutant>) -> Ruling {
        stack::rule(operations, Mutation { mutant })
    }
}

impl Container for Bag {
    type Value = ValueId;

    fn value(value: u32) -> ValueId {
        number(value)
    }
    fn next(random: &mut ChaCha8Rng, state: &Self::State) -> Option<ValueId> {
        let inside: Vec<ValueId> = state.descending().collect();
        (!inside.is_empty()).then(|| inside[random.random_range(0..inside.len())])
    }
    fn ruling(operations: &[Operation<Self::Action>], mutant: Option<Mutant>) -> Ruling {
        bag::rule(operations, Mutation { mutant })
    }
}

impl Container for PriorityQueue {
    type Value = i64;

    /// Not in the order in which they are drawn.
    fn value(value: u32) -> i64 {
        i64::from(value * 7 % 11) - 5
    }
    fn next(_: &mut ChaCha8Rng, state: &Self::State) -> Option<i64> {
        state.greatest()
    }
    fn ruling(operations: &[Operation<Self::Action>], mutant: Option<Mutant>) -> Ruling {
        priority::rule(operations, Mutation { mutant })
    }
}

fn draw<C: Container>(random: &mut ChaCha8Rng, state: &C::State, draw: Draw) -> BufferAction<C::Value> {
    if random.random_bool(0.5) {
        return BufferAction::Put(C::value(draw.value(random)));
    }
    match C::next(random, state) {
        Some(value) if !draw.doubtful || random.random_bool(0.3) => BufferAction::Got(value),
        None if !draw.doubtful => BufferAction::Empty,
        _ => BufferAction::Took,
    }
}

fn edited<C: Container>(
    random: &mut ChaCha8Rng,
    action: &BufferAction<C::Value>,
    all: &[Operation<BufferAction<C::Value>>],
) -> BufferAction<C::Value> {
    let mut values: Vec<C::Value> = vec![C::value(8)];
    // More often what nobody took than what somebody else did.
    let taken = |value| all.iter().any(|operation| operation.action == BufferAction::Got(value));
    for operation in all {
        match operation.action {
            BufferAction::Put(value) if taken(value) => values.push(value),
            BufferAction::Put(value) => values.extend([value; 4]),
            _ => {}
        }
    }
    let other = values[random.random_range(0..values.len())];
    match action {
        BufferAction::Got(_) if random.random_bool(0.75) => BufferAction::Got(other),
        BufferAction::Got(_) => BufferAction::Empty,
        BufferAction::Empty => BufferAction::Got(other),
        BufferAction::Put(_) if random.random_bool(0.3) => BufferAction::Put(other),
        BufferAction::Put(_) => BufferAction::Got(other),
        BufferAction::Took => BufferAction::Put(other),
    }
}

macro_rules! simulated {
    ($($model:ty)*) => {$(
        impl Simulated for $model {
            fn draw(&self, random: &mut ChaCha8Rng, state: &Self::State, what: Draw) -> Option<Self::Action> {
                Some(draw::<$model>(random, state, what))
            }

            fn edited(
                &self,
                random: &mut ChaCha8Rng,
                action: &Self::Action,
                all: &[Operation<Self::Action>],
            ) -> Self::Action {
                edited::<$model>(random, action, all)
            }
        }
    )*};
}

simulated!(Queue Bag PriorityQueue Stack);

/// What a rule says.
fn told(ruling: &Ruling) -> Told {
    match ruling {
        Ruling::Good { .. } => Some(true),
        Ruling::Bad { .. } => Some(false),
        Ruling::Unfit(_) => None,
    }
}

/// What the search says.
fn search<M: Model>(model: &M, operations: &[Operation<M::Action>]) -> Told {
    let mutation = mutant::Mutation::default();
    let mut problem = Problem::new(model, operations, mutation);
    match decide(&mut problem, Budget::default(), mutation).0 {
        Decision::Linearizable => Some(true),
        Decision::Impossible(_) => Some(false),
        Decision::Spent(_) => None,
    }
}
