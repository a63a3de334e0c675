//! Random small histories: a simulated register that is linearizable by construction, then often broken by one edit.

use rand::{Rng, RngExt};

use schism_history::ValueId;

use crate::linear::model::Model;
use crate::linear::models::{Register, RegisterAction};
use crate::linear::split::{OPEN, Operation};

/// What kind of history is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Operations at most.
    pub operations_max: usize,
    /// Operations in doubt at most.
    pub doubts_max: usize,
    /// Different values; 0: each write has its own.
    pub values: u32,
}

/// A history, and whether it was edited.
pub fn history(random: &mut impl Rng, shape: Shape) -> Vec<Operation<RegisterAction>> {
    let mut operations = simulate(random, shape);
    if random.random_bool(0.95) {
        edit(random, &mut operations);
    }
    operations.sort_by_key(|operation| operation.invoke);
    operations
}

/// Every operation gets a point at which it takes effect, an invocation before and a completion after it.
fn simulate(random: &mut impl Rng, shape: Shape) -> Vec<Operation<RegisterAction>> {
    let count = random.random_range(1..=shape.operations_max).max(random.random_range(1..=shape.operations_max));
    let spread = [1, 1, 1, 2, 3, 10][random.random_range(0..6)];
    let mut state = ValueId::NIL;
    let (mut doubts, mut fresh) = (0, 0);
    let mut operations = Vec::new();
    let mut seen = vec![ValueId::NIL];
    for place in 0..count as u32 {
        let point = 1000 + place * 16;
        let mut value = |random: &mut _| {
            fresh += 1;
            number(if shape.values == 0 { fresh } else { Rng::next_u32(random) % shape.values })
        };
        let doubtful = doubts < shape.doubts_max && random.random_bool(0.25);
        let happened = !doubtful || random.random_bool(0.5);
        let action = match random.random_range(0..10) {
            0..5 if !doubtful => RegisterAction::Read(state),
            0..8 => RegisterAction::Write(value(random)),
            _ => {
                let hit = random.random_bool(0.6);
                let old = if hit { state } else { seen[random.random_range(0..seen.len())] };
                match old == state || doubtful {
                    true => RegisterAction::Cas(old, value(random)),
                    false => RegisterAction::Miss(old),
                }
            }
        };
        if happened && let Some(after) = (Register { cas: true }).step(&state, &action) {
            state = after;
            seen.push(state);
        }
        doubts += usize::from(doubtful);
        let invoke = point - random.random_range(0..spread) * 8;
        let end = if doubtful { OPEN } else { point + 4 + random.random_range(0..spread) * 8 };
        operations.push(Operation { invoke, end, action });
    }
    make_times_unique(&mut operations);
    operations
}

/// Changes one value or moves one operation in time.
fn edit(random: &mut impl Rng, operations: &mut [Operation<RegisterAction>]) {
    let reads = |place: &usize| matches!(operations[*place].action, RegisterAction::Read(_));
    let reading: Vec<usize> = (0..operations.len()).filter(reads).collect();
    let place = match reading.is_empty() || random.random_bool(0.3) {
        true => random.random_range(0..operations.len()),
        false => reading[random.random_range(0..reading.len())],
    };
    let now = atoms(&operations[place].action)[0];
    let mut values: Vec<ValueId> = operations.iter().flat_map(|operation| atoms(&operation.action)).collect();
    values.push(ValueId::NIL);
    values.retain(|value| *value != now);
    values.push(number(99));
    let other = values[random.random_range(0..values.len())];
    let chosen = &mut operations[place];
    match random.random_range(0..8) {
        0..6 => {
            chosen.action = match &chosen.action {
                RegisterAction::Read(_) => RegisterAction::Read(other),
                RegisterAction::Write(_) => RegisterAction::Write(other),
                RegisterAction::Cas(_, new) => RegisterAction::Cas(other, *new),
                RegisterAction::Miss(_) => RegisterAction::Miss(other),
            }
        }
        6 => {
            let by = random.random_range(1..80u32);
            chosen.invoke += by;
            chosen.end = chosen.end.saturating_add(by);
        }
        _ => {
            let by = random.random_range(1..80u32);
            chosen.invoke -= by;
            chosen.end = if chosen.end == OPEN { OPEN } else { chosen.end - by };
        }
    }
    make_times_unique(operations);
}

/// A small integer as a value.
pub fn number(number: u32) -> ValueId {
    ValueId::of_small(number).expect("a small number")
}

fn atoms(action: &RegisterAction) -> Vec<ValueId> {
    match action {
        RegisterAction::Read(value) | RegisterAction::Write(value) | RegisterAction::Miss(value) => vec![*value],
        RegisterAction::Cas(old, new) => vec![*old, *new],
    }
}

/// Numbers all invocations and completions densely, in order; at equal times invocations stand first.
fn make_times_unique(operations: &mut [Operation<RegisterAction>]) {
    let mut times: Vec<(u32, bool, usize)> = Vec::new();
    for (place, operation) in operations.iter().enumerate() {
        times.push((operation.invoke, false, place));
        if operation.end != OPEN {
            times.push((operation.end, true, place));
        }
    }
    times.sort_unstable();
    for (time, (_, is_end, place)) in times.into_iter().enumerate() {
        let time = 1000 + time as u32 * 16;
        match is_end {
            true => operations[place].end = time,
            false => operations[place].invoke = time,
        }
    }
}
