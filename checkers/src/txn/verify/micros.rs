//! Micro-operations that contradict each other by themselves, kind by kind.

use schism_history::{History, MicroF, ValueId};

use super::view::{Txn, all, is_list, txn};
use super::writers;
use crate::anomaly::{Place, Role};

type Micro<'h> = (Txn<'h>, u32);

/// Verifies them.
pub fn verify(history: &History, kind: &str, places: &[Place]) -> Result<(), String> {
    let mut micros: Vec<(Role, Micro<'_>)> = Vec::new();
    for place in places {
        let txn = txn(history, place.transaction)?;
        txn.micro(place.micro)?;
        micros.push((place.role, (txn, place.micro)));
    }
    let holds = match kind {
        "G1a" => pairs(&micros, is_read, Role::AbortedWrite, |read, write| {
            read_from(read, write) && write.0.failed && is_of_nobody_else(history, write)
        }),
        "G1b" => pairs(&micros, is_read, Role::Write, |read, write| is_intermediate(history, read, write)),
        "internal" => read_of(&micros).is_some_and(|read| contradicts_itself(history, &read)),
        "future-read" => pairs(&micros, is_read, Role::Write, |read, write| {
            let is_own = read.0.invoked == write.0.invoked && read.1 < write.1;
            is_own && read_from(read, write) && is_from_later(history, read, write)
        }),
        "not-read-your-writes" => pairs(&micros, is_read, Role::Write, |read, write| {
            let is_own = read.0.invoked == write.0.invoked && write.1 < read.1;
            let is_lost = is_list_of(history, write) || is_initial(history, read);
            is_own
                && is_lost
                && read
                    .0
                    .read(read.1)
                    .zip(write.0.written(write.1))
                    .is_some_and(|(read, write)| read.0 == write.0 && !read.1.contains(&write.1))
        }),
        "dirty-update" => is_dirty_update(history, &micros),
        "lost-update" => is_lost_update(history, &micros),
        "duplicate-elements" => read_of(&micros).is_some_and(|read| has_repeated(history, &read)),
        "incompatible-order" => {
            !micros.iter().any(|(_, micro)| is_register_of(history, micro))
                && any_two(&micros, |a, b| {
                    let (Some((key, one)), Some((other, two))) = (a.0.read(a.1), b.0.read(b.1)) else { return false };
                    key == other && !one.starts_with(&two) && !two.starts_with(&one)
                })
                || has_own_order_broken(history, &micros)
        }
        "garbage-read" => read_of(&micros).is_some_and(|read| is_garbage(history, &read)),
        "non-repeatable-read" => any_two(&micros, |a, b| {
            let (Some(one), Some(two)) = (a.0.external(a.1), b.0.external(b.1)) else { return false };
            a.0.invoked == b.0.invoked && one.0 == two.0 && one.1 != two.1
        }),
        "cyclic-versions" => has_cyclic_versions(history, &micros),
        _ => return Err("it is not shown by micro-operations alone, or by those of predicates".to_owned()),
    };
    if holds { Ok(()) } else { Err("the micro-operations that are named do not show it".to_owned()) }
}

/// Whether a read has an append of a transaction, and none of what that had appended to the key just before it, or later.
fn has_own_order_broken(history: &History, micros: &[(Role, Micro<'_>)]) -> bool {
    let of = |wanted: Role| micros.iter().find(|(role, _)| *role == wanted).map(|(_, micro)| *micro);
    let (Some(read), Some(first), Some(second)) = (of(Role::Read), of(Role::Write), of(Role::OverWrite)) else {
        return false;
    };
    let (Some((key, list)), Some(a), Some(b)) =
        (read.0.read(read.1), first.0.written(first.1), second.0.written(second.1))
    else {
        return false;
    };
    let place = |value: ValueId| list.iter().position(|&other| other == value);
    let is_own = first.0.invoked == second.0.invoked && first.1 < second.1 && a.0 == key && b.0 == key;
    let are_alone = [a.1, b.1].into_iter().all(|value| writers::count(history, key, value) == 1);
    is_own && are_alone && place(b.1).is_some_and(|later| place(a.1).is_none_or(|earlier| earlier > later))
}

/// What read what shows it.
fn read_of<'h>(micros: &[(Role, Micro<'h>)]) -> Option<Micro<'h>> {
    micros.iter().find(|(role, _)| *role == Role::Read).map(|(_, micro)| *micro)
}

fn is_read(role: Role) -> bool {
    matches!(role, Role::Read | Role::OtherRead)
}

/// Whether two of them, of these roles, are as wanted.
fn pairs(
    micros: &[(Role, Micro<'_>)],
    first: impl Fn(Role) -> bool,
    second: Role,
    wanted: impl Fn(&Micro<'_>, &Micro<'_>) -> bool,
) -> bool {
    let second = |a: &Micro<'_>| micros.iter().any(|(role, b)| *role == second && wanted(a, b));
    micros.iter().any(|(role, a)| first(*role) && second(a))
}

/// Whether a micro-operation is one of a list, of which nothing is ever written over.
fn is_list_of(history: &History, (txn, place): &Micro<'_>) -> bool {
    txn.micro(*place).is_ok_and(|micro| is_list(history, micro.key))
}

/// Whether a read shows nothing, and nobody wrote nothing.
fn is_initial(history: &History, (txn, place): &Micro<'_>) -> bool {
    let Some((key, list)) = txn.read(*place) else { return false };
    let is_nothing = |(other, value): (u32, ValueId)| other == key && value == ValueId::NIL;
    list.is_empty()
        && !all(history).any(|txn| (0..txn.micros().len() as u32).any(|at| txn.written(at).is_some_and(is_nothing)))
}

/// Whether somebody writes the key whole.
fn is_register_of(history: &History, (txn, place): &Micro<'_>) -> bool {
    let Ok(of) = txn.micro(*place) else { return true };
    all(history).any(|txn| txn.micros().any(|micro| micro.key == of.key && micro.f == MicroF::Write))
}

fn any_two(micros: &[(Role, Micro<'_>)], wanted: impl Fn(&Micro<'_>, &Micro<'_>) -> bool) -> bool {
    (0..micros.len()).any(|a| (0..a).any(|b| wanted(&micros[a].1, &micros[b].1)))
}

/// Whether a read has the value of a write, of a list anywhere.
fn read_from(read: &Micro<'_>, write: &Micro<'_>) -> bool {
    let (Some((key, values)), Some((other, value))) = (read.0.read(read.1), write.0.written(write.1)) else {
        return false;
    };
    key == other && values.contains(&value)
}

/// Whether what a failed transaction wrote was written by none that did not fail.
fn is_of_nobody_else(history: &History, write: &Micro<'_>) -> bool {
    write.0.written(write.1).is_some_and(|(key, value)| writers::count(history, key, value) == 0)
}

/// Whether a value that a transaction wrote after it had read it came from there, and not from another.
fn is_from_later(history: &History, read: &Micro<'_>, write: &Micro<'_>) -> bool {
    let Some((key, value)) = write.0.written(write.1) else { return false };
    if is_list(history, key) {
        return writers::count(history, key, value) == 1;
    }
    !writers::has_good_writer(history, key, value, &read.0)
}

/// Whether a list has an element twice that was not appended twice.
fn has_repeated(history: &History, (txn, place): &Micro<'_>) -> bool {
    let Some((key, list)) = txn.read(*place) else { return false };
    let appends = writers::appends(history, key);
    let is_one = |value: &ValueId| appends.get(value).is_none_or(|all| all.len() < 2);
    (1..list.len()).any(|at| is_one(&list[at]) && list[..at].contains(&list[at]))
}

/// Whether the newest that a read saw was written over by the transaction that had written it, and written by nobody else: of a
/// register by nobody else as the last.
fn is_intermediate(history: &History, read: &Micro<'_>, write: &Micro<'_>) -> bool {
    let seen = read.0.external(read.1).or_else(|| read.0.strange(read.1));
    let (Some((key, newest)), Some((other, value))) = (seen, write.0.written(write.1)) else {
        return false;
    };
    let later = |place: u32| write.0.written(place).is_some_and(|(written, _)| written == key);
    let over = (write.1 + 1..write.0.micros().len() as u32).any(later);
    let is_certain = match is_list(history, key) {
        true => writers::count(history, key, value) == 1,
        false => !writers::has_good_writer(history, key, value, &read.0),
    };
    read.0.invoked != write.0.invoked && key == other && newest == Some(value) && over && is_certain
}

/// Whether a read is not what its own transaction had written or read before.
fn contradicts_itself(history: &History, (txn, place): &Micro<'_>) -> bool {
    let Some((key, values)) = txn.read(*place) else { return false };
    let lists = is_list(history, key);
    let mut known: Option<Vec<ValueId>> = None;
    let mut tail: Vec<ValueId> = Vec::new();
    for earlier in 0..*place {
        if let Some((other, value)) = txn.written(earlier)
            && other == key
        {
            match &mut known {
                Some(known) if lists => known.push(value),
                _ if lists => tail.push(value),
                _ => known = Some(vec![value]),
            }
        }
        // Of registers, reads that differ are an anomaly of their own.
        if let Some((other, values)) = txn.read(earlier)
            && other == key
            && lists
        {
            known = Some(values);
        }
    }
    match known {
        Some(known) => known != values,
        None => !values.ends_with(&tail),
    }
}

/// Whether a list that was read has what an aborted transaction wrote, and after it what another wrote.
fn is_dirty_update(history: &History, micros: &[(Role, Micro<'_>)]) -> bool {
    let Some((key, list)) = read_of(micros).and_then(|(txn, place)| txn.read(place)) else { return false };
    pairs(
        micros,
        |role| role == Role::AbortedWrite,
        Role::OverWrite,
        |aborted, over| {
            let (Some((one, old)), Some((two, new))) = (aborted.0.written(aborted.1), over.0.written(over.1)) else {
                return false;
            };
            // What is repeated in the list lies over it by its last place.
            let (first, last) = (list.iter().position(|&item| item == old), list.iter().rposition(|&item| item == new));
            let is_over = first.zip(last).is_some_and(|(first, last)| first < last);
            let is_its = is_of_nobody_else(history, aborted);
            aborted.0.failed && is_its && !over.0.failed && (one, two) == (key, key) && is_over
        },
    )
}

/// Whether two reads of two transactions saw the same version of a key and both transactions wrote the key; the writes that are
/// named are these.
fn is_lost_update(history: &History, micros: &[(Role, Micro<'_>)]) -> bool {
    let writes = |txn: &Txn<'_>, key: u32| !txn.own(key, txn.micros().len() as u32).is_empty();
    let are_its_writes = |a: &Txn<'_>, b: &Txn<'_>, key: u32| {
        micros.iter().filter(|(role, _)| *role == Role::OverWrite).all(|(_, (txn, place))| {
            let is_one = txn.invoked == a.invoked || txn.invoked == b.invoked;
            is_one && txn.written(*place).is_some_and(|(other, _)| other == key)
        })
    };
    pairs(
        micros,
        |role| role == Role::Read,
        Role::OtherRead,
        |a, b| {
            let (Some(one), Some(two)) = (a.0.external(a.1), b.0.external(b.1)) else { return false };
            let key = one.0;
            // Of a register two may have written the same: then these are no one version.
            let version = |txn: &Txn<'_>| writers::of_read(history, key, one.1, txn);
            let is_certain = is_list(history, key) || version(&a.0).is_some() && version(&a.0) == version(&b.0);
            let is_both = writes(&a.0, key) && writes(&b.0, key) && are_its_writes(&a.0, &b.0, key);
            a.0.invoked != b.0.invoked && one == two && is_both && is_certain
        },
    )
}

/// Whether a read has a value that nobody ever tried to write.
fn is_garbage(history: &History, (txn, place): &Micro<'_>) -> bool {
    let Some((key, values)) = txn.read(*place) else { return false };
    values.iter().any(|&value| !all(history).any(|txn| txn.place_of(key, value).is_some()))
}

/// Whether versions go round: of each two places the first one's version comes before the second's, as nothing comes before
/// the initial state, or by the order of the program, of a process or of real time; and the second's is that of the next first.
fn has_cyclic_versions(history: &History, micros: &[(Role, Micro<'_>)]) -> bool {
    let version = |(txn, place): &Micro<'_>| match txn.written(*place) {
        Some((key, _)) => Some((key, Some(txn.invoked))),
        None => {
            let (key, newest) = txn.external(*place)?;
            Some((key, writers::of_read(history, key, newest, txn)?))
        }
    };
    let is_before = |a: &Micro<'_>, b: &Micro<'_>| {
        let (Some(one), Some(two)) = (version(a), version(b)) else { return false };
        let is_later = if a.0.invoked == b.0.invoked { a.1 < b.1 } else { a.0.is_before(&b.0) };
        one.0 == two.0 && one.1 != two.1 && (one.1.is_none() || is_later)
    };
    let steps: Vec<&[(Role, Micro<'_>)]> = micros.chunks(2).collect();
    steps.len() > 1
        && steps.iter().enumerate().all(|(at, step)| {
            let [(_, a), (_, b)] = step else { return false };
            let next = &steps[(at + 1) % steps.len()][0].1;
            is_before(a, b) && version(b) == version(next)
        })
}
