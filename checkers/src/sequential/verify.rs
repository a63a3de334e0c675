//! Verifies a witness again, from the history alone and by plain means: no part of the search is used.

use rustc_hash::FxHashSet;
use schism_history::{History, OpIndex};

use super::reduce::Sources;
use super::search::Deed;
use crate::anomaly::Witness;
use crate::linear::Model;
use crate::linear::split;

/// Configurations walked at most.
const WALK_MAX: usize = 2_000_000;

/// Verifies that the operations have no order that keeps each process's own although all their sources are among them,
/// and, if they are said to be the smallest set, that leaving out any of them gives an order.
///
/// # Errors
/// What is not true, or that the set is too large to walk all its orders.
pub(crate) fn verify<M: Model>(model: &M, history: &History, witness: &Witness) -> Result<(), String> {
    let Witness::Nonsequential { operations, smallest, .. } = witness else {
        return Err("the witness is not one of sequential consistency".to_owned());
    };
    let first = operations.first().ok_or("the witness names no operation")?;
    if operations.iter().any(|&invoke| invoke as usize >= history.len()) {
        return Err("the witness names an event that the history does not have".to_owned());
    }
    // Of one key, only that key is needed: what has no source elsewhere.
    let one_key = operations.iter().all(|&other| history.key_id(other) == history.key_id(*first));
    let mut keys = split::by_key(history);
    keys.retain(|key| !one_key || key.key == history.key_id(*first));
    let all = super::deeds(model, history, &keys);
    let sources = Sources::new(model, &all);
    let is_named = |place: &usize| operations.contains(&all[*place].operation.invoke);
    let places: Vec<usize> = (0..all.len()).filter(is_named).collect();
    if places.len() != operations.len() || !operations.is_sorted() {
        return Err("the operations are not different ones, in order of invocation".to_owned());
    }
    for &observer in &places {
        let left_out = |source: &usize| sources.holds(*source, observer) && !places.contains(source);
        if let Some(source) = (0..all.len()).find(left_out) {
            let name = |place: usize| -> OpIndex { all[place].operation.invoke };
            return Err(format!("operation {} may have observed {}, which is left out", name(observer), name(source)));
        }
    }
    if has_order(model, &all, &places)? {
        return Err("the operations have an order".to_owned());
    }
    for &left_out in places.iter().filter(|_| *smallest) {
        if !has_order(model, &all, &sources.without(&places, &[left_out]))? {
            return Err(format!("without operation {} there is no order either", all[left_out].operation.invoke));
        }
    }
    Ok(())
}

/// Walks all orders of some operations.
pub(super) fn has_order<M: Model>(model: &M, all: &[Deed<M::Action>], places: &[usize]) -> Result<bool, String> {
    let keys = all.iter().map(|deed| deed.key as usize + 1).max().unwrap_or(0);
    let mut seen: FxHashSet<(Vec<bool>, Vec<M::State>)> = FxHashSet::default();
    let mut stack = vec![(vec![false; places.len()], vec![model.initial(); keys])];
    while let Some((placed, states)) = stack.pop() {
        let left: Vec<usize> = (0..places.len()).filter(|&at| !placed[at]).collect();
        if left.iter().all(|&at| all[places[at]].operation.in_doubt()) {
            return Ok(true);
        }
        for &at in &left {
            let deed = &all[places[at]];
            let waits = |&other: &usize| {
                let other = &all[places[other]];
                other.process == deed.process
                    && other.operation.invoke < deed.operation.invoke
                    && !other.operation.in_doubt()
            };
            // One in doubt that its process went on behind may be passed over, but not come later.
            let late = (0..places.len()).filter(|&other| placed[other]).any(|other| {
                let other = &all[places[other]];
                other.process == deed.process && other.operation.invoke > deed.operation.invoke
            });
            if late || left.iter().any(waits) {
                continue;
            }
            let Some(after) = model.step(&states[deed.key as usize], &deed.operation.action) else { continue };
            let (mut placed, mut states) = (placed.clone(), states.clone());
            placed[at] = true;
            states[deed.key as usize] = after;
            if seen.insert((placed.clone(), states.clone())) {
                stack.push((placed, states));
            }
        }
        if seen.len() > WALK_MAX {
            return Err(format!("{} operations have too many orders to walk them all", places.len()));
        }
    }
    Ok(false)
}
