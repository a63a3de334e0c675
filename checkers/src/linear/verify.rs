//! Verifies a witness again, from the history alone and by plain means: no part of the search is used.

use rustc_hash::FxHashSet;
use schism_history::{History, Kind, OpIndex, ValueId};

use super::model::{Model, ModelName, Register, RegisterAction};
use crate::anomaly::{Because, Path, Witness};

/// Configurations walked at most.
const WALK_MAX: usize = 2_000_000;

/// An operation, plainly: invocation, completion with `ok` if there is one, action.
type Plain = (OpIndex, Option<OpIndex>, RegisterAction);

/// Verifies that the witness says the truth of this history: its operations have no order although all their sources
/// are among them (so the whole history of the key has none); if it is said to be the smallest, that leaving out any
/// operation (with what may have observed it) gives an order; and that every path is legal as far as it goes and ends
/// for the reasons that it names. `reduce` defines sources and leaving out.
///
/// # Errors
/// What is not true, or that the set is too large to walk all its orders.
pub fn verify_witness(history: &History, witness: &Witness) -> Result<(), String> {
    let Witness::Nonlinearizable { model, operations, smallest, blocked, paths, .. } = witness else {
        return Err("the witness is not one of linearizability".to_owned());
    };
    let name = ModelName::parse(model).ok_or_else(|| format!("no model is called {model}"))?;
    let model = Register::from(name);
    let first = *operations.first().ok_or("the witness names no operation")?;
    if operations.iter().any(|&invoke| invoke as usize >= history.len()) {
        return Err("the witness names an event that the history does not have".to_owned());
    }
    let all = plain(&model, history, first)?;
    let chosen: Vec<&Plain> = all.iter().filter(|operation| operations.contains(&operation.0)).collect();
    if chosen.len() != operations.len() || !operations.is_sorted() {
        return Err("the operations are not different ones of one key, in order of invocation".to_owned());
    }
    for &observer in &chosen {
        if let Some(source) = all.iter().find(|source| is_source(&all, source, observer) && !chosen.contains(source)) {
            return Err(format!("operation {} may have observed {}, which is left out", observer.0, source.0));
        }
    }
    if has_order(&model, &chosen)? {
        return Err("the operations have an order".to_owned());
    }
    if !operations.contains(blocked) {
        return Err(format!("the blocked operation {blocked} is not among the operations"));
    }
    for &left_out in chosen.iter().filter(|_| *smallest) {
        let mut rest: Vec<&Plain> = chosen.iter().copied().filter(|&operation| operation != left_out).collect();
        let mut before = usize::MAX;
        while rest.len() < before {
            before = rest.len();
            let gone = |observer: &&Plain| {
                chosen.iter().any(|source| is_source(&all, source, observer) && !rest.contains(source))
            };
            rest = rest.iter().copied().filter(|observer| !gone(observer)).collect();
        }
        if !has_order(&model, &rest)? {
            return Err(format!("without operation {} there is no order either", left_out.0));
        }
    }
    paths.iter().try_for_each(|path| verify_path(&model, history, &chosen, path))
}

/// All operations of the key of an event.
fn plain(model: &Register, history: &History, event: OpIndex) -> Result<Vec<Plain>, String> {
    let mut all = Vec::new();
    for call in history.client_calls().filter(|call| history.key_id(call.invoke) == history.key_id(event)) {
        if call.outcome != Kind::Fail
            && let Some(action) = model.action(history, call)?
        {
            all.push((call.invoke, call.completion.filter(|_| call.outcome == Kind::Ok), action));
        }
    }
    Ok(all)
}

/// Whether the first had surely ended before the second began.
fn before(first: &Plain, second: &Plain) -> bool {
    first.1.is_some_and(|end| end < second.0)
}

/// What an operation leaves.
fn leaves(operation: &Plain) -> Option<ValueId> {
    match operation.2 {
        RegisterAction::Write(value) => Some(value),
        RegisterAction::Cas(old, new) if old != new => Some(new),
        _ => None,
    }
}

/// Whether `source` may have left what `observer` observed.
fn is_source(all: &[Plain], source: &Plain, observer: &Plain) -> bool {
    let Some(state) = leaves(source) else { return false };
    let between = |other: &Plain| before(source, other) && before(other, observer);
    if source == observer || before(observer, source) {
        return false;
    }
    match observer.2 {
        RegisterAction::Read(seen) | RegisterAction::Cas(seen, _) => {
            state == seen && !all.iter().any(|other| leaves(other) == Some(seen) && between(other))
        }
        RegisterAction::Miss(not) => state != not && !all.iter().any(|other| leaves(other).is_some() && between(other)),
        RegisterAction::Write(_) => false,
    }
}

/// Walks all orders.
fn has_order(model: &Register, operations: &[&Plain]) -> Result<bool, String> {
    let mut seen: FxHashSet<(Vec<bool>, ValueId)> = FxHashSet::default();
    let mut stack = vec![(vec![false; operations.len()], model.initial())];
    while let Some((placed, state)) = stack.pop() {
        if operations.iter().zip(&placed).all(|(operation, &placed)| placed || operation.1.is_none()) {
            return Ok(true);
        }
        for place in (0..operations.len()).filter(|&place| !placed[place]) {
            let waits = |other: usize| !placed[other] && before(operations[other], operations[place]);
            let after = model.step(&state, &operations[place].2);
            let Some(after) = after.filter(|_| !(0..operations.len()).any(waits)) else { continue };
            let mut next = placed.clone();
            next[place] = true;
            if seen.insert((next.clone(), after)) {
                stack.push((next, after));
            }
        }
        if seen.len() > WALK_MAX {
            return Err(format!("{} operations have too many orders to walk them all", operations.len()));
        }
    }
    Ok(false)
}

fn verify_path(model: &Register, history: &History, chosen: &[&Plain], path: &Path) -> Result<(), String> {
    let find = |invoke: OpIndex| {
        let found = chosen.iter().find(|operation| operation.0 == invoke);
        found.copied().ok_or_else(|| format!("the path names operation {invoke}, which is not in the set"))
    };
    let mut state = model.initial();
    let mut placed: Vec<&Plain> = Vec::new();
    for step in &path.placed {
        let operation = find(step.operation)?;
        let late = chosen.iter().any(|other| before(other, operation) && !placed.contains(other));
        let after = model.step(&state, &operation.2).filter(|_| !late && !placed.contains(&operation));
        state = after.ok_or_else(|| format!("the path places operation {} illegally", step.operation))?;
        let shown = model.show(history, &state);
        if shown != step.state {
            return Err(format!("after operation {} the state is {shown}, not {}", step.operation, step.state));
        }
        placed.push(operation);
    }
    for illegal in &path.illegal {
        let operation = find(illegal.operation)?;
        let true_reason = match &illegal.because {
            Because::State { state: named, observed } => {
                *named == model.show(history, &state)
                    && *observed == model.observed(history, &operation.2)
                    && model.step(&state, &operation.2).is_none()
            }
            Because::RealTime { after } => {
                let other = find(*after)?;
                before(other, operation) && !placed.contains(&other)
            }
        };
        if !true_reason || placed.contains(&operation) {
            return Err(format!("operation {} is not illegal for the reason named", illegal.operation));
        }
    }
    Ok(())
}
