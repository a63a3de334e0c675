//! Independent judgement: every order of every subset of operations in doubt. Knows nothing of the search.

use crate::linear::model::Model;
use crate::linear::split::{OPEN, Operation};

/// Whether some order of all operations without doubt, and of any of those in doubt, respects real time and the model.
pub fn linearizable<M: Model>(model: &M, operations: &[Operation<M::Action>]) -> bool {
    go(model, operations, 0, &model.initial())
}

fn go<M: Model>(model: &M, all: &[Operation<M::Action>], placed: u32, state: &M::State) -> bool {
    let open = |place: &usize| placed & (1 << place) == 0;
    let rest: Vec<usize> = (0..all.len()).filter(open).collect();
    if rest.iter().all(|&place| all[place].end == OPEN) {
        return true;
    }
    rest.iter().any(|&place| {
        let in_time = rest.iter().all(|&other| all[other].end > all[place].invoke);
        let after = model.step(state, &all[place].action).filter(|_| in_time);
        after.is_some_and(|after| go(model, all, placed | 1 << place, &after))
    })
}
