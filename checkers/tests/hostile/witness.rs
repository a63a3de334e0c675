//! Is a witness the truth? Asked of the calls alone.

use schism_checkers::Witness;

use super::oracle::{Act, Call, by_search, by_table, by_table_of, precedes};

/// What a judge of small and of larger sets says; `None`: too many to know.
pub fn possible(calls: &[Call]) -> Option<bool> {
    if calls.len() <= 12 { Some(by_table(calls)) } else { by_search(calls, 2_000_000) }
}

/// What a call leaves.
fn leaves(call: &Call) -> Option<u8> {
    match call.act {
        Act::Write(new) => Some(new),
        Act::Swap(old, new) => (old != new).then_some(new),
        Act::Read(_) | Act::Differs(_) => None,
    }
}

/// Whether the observer may have seen what the source left: it is not later, leaves what was seen, and no other call
/// that might as well be meant stands surely between.
fn is_source(all: &[Call], source: &Call, observer: &Call) -> bool {
    let fits = |call: &Call| match observer.act {
        Act::Read(seen) | Act::Swap(seen, _) => leaves(call) == Some(seen),
        Act::Differs(not) => leaves(call).is_some_and(|left| left != not),
        Act::Write(_) => false,
    };
    let replaces = |call: &Call| match observer.act {
        Act::Differs(_) => leaves(call).is_some(),
        _ => fits(call),
    };
    let between = |call: &Call| precedes(source, call) && precedes(call, observer);
    source != observer
        && fits(source)
        && !precedes(observer, source)
        && !all.iter().any(|call| replaces(call) && between(call))
}

/// What happened up to an event, that included.
pub fn until(calls: &[Call], event: u32) -> Vec<Call> {
    let begun = calls.iter().filter(|call| call.from <= event);
    let cut = begun.map(|call| Call { to: call.to.filter(|&to| to <= event), ..*call });
    cut.filter(|call| call.to.is_some() || !matches!(call.act, Act::Read(_) | Act::Differs(_))).collect()
}

/// Whether the witness is true of all calls of its key: closed, without an order, smallest, and failed where it says.
///
/// # Errors
/// What is not.
pub fn examine(all: &[Call], witness: &Witness) -> Result<(), String> {
    let Witness::Nonlinearizable { operations, smallest, blocked, failed_at, operations_count, paths, .. } = witness
    else {
        return Err("a witness of another kind".to_owned());
    };
    if *operations_count != all.len() as u64 {
        return Err(format!("{operations_count} operations, but there are {}", all.len()));
    }
    let chosen: Vec<Call> = all.iter().filter(|call| operations.contains(&call.from)).copied().collect();
    if chosen.len() != operations.len() || !operations.contains(blocked) || paths.is_empty() {
        return Err("operations, blocked operation or paths are not as they should be".to_owned());
    }
    if possible(&chosen) == Some(true) {
        return Err("the set has an order".to_owned());
    }
    for observer in &chosen {
        if let Some(source) = all.iter().find(|source| is_source(all, source, observer) && !chosen.contains(source)) {
            return Err(format!("{observer:?} may have seen {source:?}"));
        }
    }
    for left_out in chosen.iter().filter(|_| *smallest) {
        let mut rest: Vec<Call> = chosen.iter().filter(|call| *call != left_out).copied().collect();
        loop {
            let before = rest.clone();
            let lost =
                |call: &Call| chosen.iter().any(|source| is_source(all, source, call) && !before.contains(source));
            rest.retain(|call| !lost(call));
            if rest.len() == before.len() {
                break;
            }
        }
        if possible(&rest) == Some(false) {
            return Err(format!("without {left_out:?} there is no order either"));
        }
    }
    stands_alone(all, &chosen)?;
    let earlier = possible(&until(all, failed_at.saturating_sub(1)));
    if earlier == Some(false) || possible(&until(all, *failed_at)) == Some(true) {
        return Err(format!("it did not fail at {failed_at}"));
    }
    Ok(())
}

/// Soundness without any talk of sources: the set has no order even if every other change may happen in its time or
/// not at all. Where something answered "no match" that can be too much to ask (a change that was left out may be needed
/// to overwrite another one that was left out).
fn stands_alone(all: &[Call], chosen: &[Call]) -> Result<(), String> {
    if chosen.iter().any(|call| matches!(call.act, Act::Differs(_))) {
        return Ok(());
    }
    let free: Vec<Call> = all.iter().filter(|call| chosen.contains(call) || leaves(call).is_some()).copied().collect();
    let must: Vec<bool> = free.iter().map(|call| chosen.contains(call) && call.to.is_some()).collect();
    if free.len() <= 16 && by_table_of(&free, &must) {
        return Err("if other changes may happen or not, the set has an order".to_owned());
    }
    Ok(())
}
