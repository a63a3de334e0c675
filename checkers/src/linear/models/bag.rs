//! A bag: what was put in comes out in any order.

use schism_history::{Call, History, ValueId};

use super::buffer::{self, BufferAction, Names};
use crate::linear::buffers::multiset::Multiset;
use crate::linear::buffers::{Mutation, bag};
use crate::linear::model::Model;
use crate::linear::ruling::Ruling;
use crate::linear::split::Operation;

/// A bag (unordered queue), empty at first: `enqueue v`, `dequeue` of any value in it (`ok` with nil: it was empty).
///
/// A removal in doubt may have taken out anything. Here it takes out one certain value, which comes to the same: what it
/// took matters to answers "empty" alone, so it may as well take effect just before the next one, and then everything that is
/// left must go by such removals, one after another, in whatever order.
///
/// Decided without a search: as queues. Not covered: enqueueing nil.
#[derive(Debug, Clone, Copy)]
pub struct Bag;

const NAMES: Names = Names { model: "bag", put: "enqueue", get: "dequeue" };

impl Model for Bag {
    type State = Multiset<ValueId>;
    type Action = BufferAction<ValueId>;

    fn name(&self) -> &'static str {
        NAMES.model
    }

    fn initial(&self) -> Multiset<ValueId> {
        Multiset::default()
    }

    fn step(&self, state: &Multiset<ValueId>, action: &BufferAction<ValueId>) -> Option<Multiset<ValueId>> {
        match *action {
            BufferAction::Put(value) => Some(state.with(value)),
            BufferAction::Got(value) => state.without(value),
            BufferAction::Empty => state.is_empty().then(|| state.clone()),
            BufferAction::Took => state.without(state.greatest()?),
        }
    }

    fn action(&self, history: &History, call: Call) -> Result<Option<BufferAction<ValueId>>, String> {
        buffer::action(NAMES, history, call, |event| Ok(history.value_id(event)))
    }

    fn observes_only(&self, action: &BufferAction<ValueId>) -> bool {
        matches!(action, BufferAction::Empty)
    }

    fn rule(&self, operations: &[Operation<BufferAction<ValueId>>]) -> Ruling {
        bag::rule(operations, Mutation::default())
    }

    fn idle(&self, operations: &[Operation<BufferAction<ValueId>>]) -> Vec<u32> {
        let mut idle = buffer::idle(operations);
        if !operations.iter().any(|operation| operation.action == BufferAction::Empty && !operation.in_doubt()) {
            let took = |&place: &u32| operations[place as usize].action == BufferAction::Took;
            idle.extend((0..operations.len() as u32).filter(took));
        }
        idle
    }

    fn groups(&self, operations: &[Operation<BufferAction<ValueId>>]) -> Vec<u32> {
        buffer::groups(operations, |sure| matches!(self.rule(sure), Ruling::Bad { .. }))
    }

    fn heap_bytes(&self, state: &Multiset<ValueId>) -> usize {
        state.change_bytes()
    }

    fn show(&self, history: &History, state: &Multiset<ValueId>) -> String {
        // Numbers of values order them as they appeared, which a person may expect.
        let mut inside: Vec<ValueId> = state.descending().collect();
        inside.reverse();
        buffer::show(inside.iter().map(|&value| history.value_of(value).to_string()), state.len())
    }

    fn observed(&self, history: &History, action: &BufferAction<ValueId>) -> String {
        buffer::observed(action, |&value| history.value_of(value).to_string(), "in it")
    }
}
