//! The longest legal orders of a few operations, and why none of the others can follow.

use rustc_hash::FxHashSet;
use schism_history::History;

use super::model::Model;
use super::split::{OPEN, Operation};
use crate::anomaly::{Because, Illegal, Path, Placed};

/// Orders shown at most.
const PATHS_MAX: usize = 8;
/// Configurations looked at, at most; for a smallest set there are rarely a hundred.
const CONFIGURATIONS_MAX: usize = 20_000;
/// Configurations times operations, at most.
const WORK_MAX: usize = 50_000_000;

/// A configuration on its way.
struct Node<S> {
    parent: usize,
    placed: usize,
    set: Vec<u64>,
    state: S,
    /// Placed operations without doubt, and in doubt.
    counts: (u32, u32),
}

/// The orders with the most operations without doubt, and the fewest in doubt among those; at most
/// eight, each with another set of operations or another state at its end. Where `operations` are too many to walk all
/// orders (a set that could not be made small), the longest found; none for many thousands.
pub(crate) fn longest<M: Model>(model: &M, history: &History, operations: &[Operation<M::Action>]) -> Vec<Path> {
    let configurations_max = CONFIGURATIONS_MAX.min(WORK_MAX / operations.len().max(1));
    if configurations_max < operations.len() {
        return Vec::new();
    }
    let empty = vec![0; operations.len().div_ceil(64)];
    let root = Node { parent: 0, placed: 0, set: empty.clone(), state: model.initial(), counts: (0, 0) };
    let mut seen: FxHashSet<(Vec<u64>, M::State)> = FxHashSet::default();
    seen.insert((empty, root.state.clone()));
    let mut nodes = vec![root];
    let mut stack = vec![0];
    while let Some(at) = stack.pop() {
        let left = |place: &usize| !has(&nodes[at].set, *place);
        let first_end = (0..operations.len()).filter(left).map(|place| operations[place].end).min().unwrap_or(OPEN);
        for place in (0..operations.len()).rev().filter(|&place| operations[place].invoke < first_end) {
            let Some(node) = follow(model, operations, &nodes[at], at, place) else { continue };
            if nodes.len() < configurations_max && seen.insert((node.set.clone(), node.state.clone())) {
                stack.push(nodes.len());
                nodes.push(node);
            }
        }
    }
    let length = |node: &Node<M::State>| (node.counts.0, u32::MAX - node.counts.1);
    let Some(longest) = nodes.iter().map(length).max() else { return Vec::new() };
    let ends = (0..nodes.len()).filter(|&at| length(&nodes[at]) == longest).take(PATHS_MAX);
    let show = |state: &M::State| model.show(history, state);
    ends.map(|at| Path {
        placed: trace(operations, &nodes, at, show),
        illegal: illegal(model, history, operations, &nodes[at]),
    })
    .collect()
}

fn has(set: &[u64], place: usize) -> bool {
    set[place / 64] & (1 << (place % 64)) != 0
}

/// An operation that had ended before this one began and is not placed yet.
fn must_wait_for<A>(operations: &[Operation<A>], set: &[u64], place: usize) -> Option<usize> {
    (0..operations.len()).find(|&other| !has(set, other) && operations[other].end < operations[place].invoke)
}

/// The configuration after an operation that nothing left has to stand before.
fn follow<M: Model>(
    model: &M,
    operations: &[Operation<M::Action>],
    node: &Node<M::State>,
    parent: usize,
    place: usize,
) -> Option<Node<M::State>> {
    if has(&node.set, place) {
        return None;
    }
    let state = model.step(&node.state, &operations[place].action)?;
    let doubt = operations[place].in_doubt();
    if doubt && state == node.state {
        return None;
    }
    let mut set = node.set.clone();
    set[place / 64] |= 1 << (place % 64);
    let counts = (node.counts.0 + u32::from(!doubt), node.counts.1 + u32::from(doubt));
    Some(Node { parent, placed: place, set, state, counts })
}

fn trace<A, S>(
    operations: &[Operation<A>],
    nodes: &[Node<S>],
    mut at: usize,
    show: impl Fn(&S) -> String,
) -> Vec<Placed> {
    let mut placed = Vec::new();
    while at != 0 {
        placed.push(Placed { operation: operations[nodes[at].placed].invoke, state: show(&nodes[at].state) });
        at = nodes[at].parent;
    }
    placed.reverse();
    placed
}

/// Why each operation without doubt that is left cannot be next.
fn illegal<M: Model>(
    model: &M,
    history: &History,
    operations: &[Operation<M::Action>],
    node: &Node<M::State>,
) -> Vec<Illegal> {
    let left = (0..operations.len()).filter(|&place| !has(&node.set, place) && !operations[place].in_doubt());
    left.filter_map(|place| {
        let action = &operations[place].action;
        let because = match must_wait_for(operations, &node.set, place) {
            Some(other) => Because::RealTime { after: operations[other].invoke },
            None if model.step(&node.state, action).is_none() => {
                let (state, observed) = (model.show(history, &node.state), model.observed(history, action));
                Because::State { state, observed }
            }
            // Only where the walk was cut short.
            None => return None,
        };
        Some(Illegal { operation: operations[place].invoke, because })
    })
    .collect()
}
