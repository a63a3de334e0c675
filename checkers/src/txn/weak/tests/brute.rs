//! The axioms and the guarantees by their definition: all total orders are tried.
//!
//! Of registers nothing is known of the order of versions. Of lists (`orders` is not empty: by key the longest list that was
//! read) it is: values stand in it, and those that do not come after it; a read has the newest value of others, own ones at
//! the end of its list left out.

#![allow(clippy::needless_range_loop, reason = "places of two tables at once are clearer as numbers")]

use super::support::{Micro, Small};
use crate::txn::weak::sessions::Guarantee;

/// Which axiom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Committed,
    Atomic,
    Causal,
}

/// A read of another transaction's write, or of the initial state (`None`): its key, whose, and its place.
#[derive(Debug, Clone, Copy)]
struct Saw {
    key: u32,
    whose: Option<usize>,
    place: usize,
}

/// Those that are committed: all but those in doubt that nobody saw. Returns which, by their place.
fn committed(all: &[Small], orders: &[Vec<u32>]) -> Vec<usize> {
    let is_seen = |small: &Small| {
        small.micros.iter().any(|micro| match micro {
            Micro::W(_, value) => {
                let is_read = |read: &Micro| matches!(read, Micro::R(_, seen) if seen == value);
                orders.iter().any(|order| order.contains(value))
                    || all.iter().any(|other| !other.doubt && other.micros.iter().any(is_read))
            }
            Micro::R(..) => false,
        })
    };
    (0..all.len()).filter(|&at| !all[at].doubt || is_seen(&all[at])).collect()
}

fn saws(all: &[Small], orders: &[Vec<u32>], kept: &[usize], at: usize) -> Vec<Saw> {
    let mut found = Vec::new();
    if all[kept[at]].doubt {
        return found;
    }
    for (place, micro) in all[kept[at]].micros.iter().enumerate() {
        let Micro::R(key, value) = *micro else { continue };
        let is_own = |own: &Micro| matches!(own, Micro::W(other, _) if *other == key);
        if orders.is_empty() && all[kept[at]].micros[..place].iter().any(is_own) {
            continue;
        }
        let whose = kept.iter().position(|&other| all[other].micros.contains(&Micro::W(key, value)));
        assert!(value == 0 || whose.is_some());
        found.push(Saw { key, whose, place });
    }
    found
}

/// Whether the axiom holds, with the order of sessions or without.
pub fn holds(all: &[Small], orders: &[Vec<u32>], level: Level, sessions: bool) -> bool {
    let kept = committed(all, orders);
    let count = kept.len();
    let saw: Vec<Vec<Saw>> = (0..count).map(|at| saws(all, orders, &kept, at)).collect();
    let wrote =
        |at: usize, key: u32| all[kept[at]].micros.iter().any(|micro| matches!(micro, Micro::W(k, _) if *k == key));
    let follows =
        |a: usize, b: usize| sessions && a < b && all[kept[a]].session == all[kept[b]].session && !all[kept[a]].doubt;
    let mut step = vec![vec![false; count]; count];
    for (a, row) in step.iter_mut().enumerate() {
        for (b, cell) in row.iter_mut().enumerate() {
            *cell = follows(a, b) || saw[b].iter().any(|saw| saw.whose == Some(a));
        }
    }
    let mut path = step.clone();
    for via in 0..count {
        for a in 0..count {
            for b in 0..count {
                path[a][b] |= path[a][via] && path[via][b];
            }
        }
    }
    // By reader, read and other writer: whether the other is visible to the read.
    let visible = |reader: usize, read: &Saw, other: usize| match level {
        Level::Committed => saw[reader].iter().any(|before| before.place < read.place && before.whose == Some(other)),
        Level::Atomic => step[other][reader],
        Level::Causal => path[other][reader],
    };
    let mut must = step.clone();
    for (key, order) in orders.iter().enumerate() {
        let last = |at: usize| last_write(&all[kept[at]], key as u32).map(|(_, value)| value);
        for (earlier, later) in versions((0..count).filter_map(|at| Some((at, last(at)?))).collect(), order) {
            must[earlier][later] = true;
        }
    }
    for (reader, reads) in saw.iter().enumerate() {
        for read in reads {
            for other in (0..count).filter(|&other| other != reader && wrote(other, read.key)) {
                if read.whose == Some(other) || !visible(reader, read, other) {
                    continue;
                }
                match read.whose {
                    Some(whose) => must[other][whose] = true,
                    None => return false,
                }
            }
        }
    }
    is_any_order(&must)
}

/// The last write of a key in a transaction: place and value.
fn last_write(small: &Small, key: u32) -> Option<(usize, u32)> {
    let all = small.micros.iter().enumerate();
    let mut writes = all.filter_map(|(place, micro)| match micro {
        Micro::W(other, value) if *other == key => Some((place, *value)),
        _ => None,
    });
    writes.next_back()
}

/// Who comes before whom of those who wrote a list last with some value: where nobody is known to be, there is no order.
fn versions(writers: Vec<(usize, u32)>, order: &[u32]) -> Vec<(usize, usize)> {
    let place = |value: u32| order.iter().position(|&other| other == value);
    let is_before = |a: u32, b: u32| match (place(a), place(b)) {
        (Some(a), Some(b)) => a < b,
        (a, b) => a.is_some() && b.is_none(),
    };
    let pairs = writers.iter().flat_map(|a| writers.iter().map(move |b| (a, b)));
    pairs.filter(|(a, b)| is_before(a.1, b.1)).map(|(a, b)| (a.0, b.0)).collect()
}

/// More than these have too many orders.
const TRIED_MAX: usize = 12;

/// Tries all total orders for one in which nobody stands behind somebody whom it must precede. Of many, whoever may come next is
/// taken, as that hinders nobody.
fn is_any_order(must: &[Vec<bool>]) -> bool {
    if must.len() > TRIED_MAX {
        let mut left: Vec<usize> = (0..must.len()).collect();
        while let Some(next) = left.iter().position(|&at| left.iter().all(|&other| other == at || !must[other][at])) {
            left.swap_remove(next);
        }
        return left.is_empty() && (0..must.len()).all(|at| !must[at][at]);
    }
    fn next(must: &[Vec<bool>], placed: &mut Vec<bool>) -> bool {
        placed.iter().all(|&placed| placed)
            || (0..must.len()).any(|at| {
                if placed[at] || (0..must.len()).any(|other| must[other][at] && !placed[other]) {
                    return false;
                }
                placed[at] = true;
                let found = next(must, placed);
                placed[at] = false;
                found
            })
    }
    next(must, &mut vec![false; must.len()])
}

/// A single operation: a read or a write.
#[derive(Debug, Clone, Copy)]
struct Operation {
    at: usize,
    place: usize,
    key: u32,
    /// Of a read: which write it returned, of these operations; `None` for the initial state.
    read: Option<Option<usize>>,
}

/// What is known of the order of a list's appends, whose transactions and values these are: those of a transaction come in its order,
/// and before or after those of another as its last one does.
fn appends(writes: &[(usize, u32)], order: &[u32]) -> Vec<(usize, usize)> {
    let last = |at: usize| writes.iter().rev().find(|write| write.0 == at).map_or(0, |write| write.1);
    let place = |value: u32| order.iter().position(|&other| other == value).unwrap_or(usize::MAX);
    let is_before = |a: usize, b: usize| {
        let (first, second) = (writes[a], writes[b]);
        if first.0 == second.0 { a < b } else { place(last(first.0)) < place(last(second.0)) }
    };
    let pairs = (0..writes.len()).flat_map(|a| (0..writes.len()).map(move |b| (a, b)));
    pairs.filter(|&(a, b)| is_before(a, b)).collect()
}

/// Whether a guarantee of sessions holds, by the table in `sessions`.
pub fn guarantee_holds(all: &[Small], orders: &[Vec<u32>], guarantee: Guarantee) -> bool {
    let kept = committed(all, orders);
    let mut operations: Vec<Operation> = Vec::new();
    let read = |key: u32, value: u32| {
        let is_it = |micro: &Micro| *micro == Micro::R(key, value);
        kept.iter().any(|&at| !all[at].doubt && all[at].micros.iter().any(is_it))
    };
    let listed = |key: u32, value: u32| orders.get(key as usize).is_some_and(|order| order.contains(&value));
    let mut values: Vec<u32> = Vec::new();
    for at in 0..kept.len() {
        let micros = &all[kept[at]].micros;
        for (place, micro) in micros.iter().enumerate() {
            // Of a transaction in doubt each operation is in doubt: what nobody saw may never have happened.
            if let Micro::W(key, value) = *micro
                && (!all[kept[at]].doubt || read(key, value) || listed(key, value))
            {
                operations.push(Operation { at, place, key, read: None });
                values.push(value);
            }
        }
    }
    let writes = operations.len();
    for at in (0..kept.len()).filter(|&at| !all[kept[at]].doubt) {
        for (place, micro) in all[kept[at]].micros.iter().enumerate() {
            let Micro::R(key, value) = *micro else { continue };
            let is_own =
                |w: &usize| operations[*w].at == at && operations[*w].place < place && operations[*w].key == key;
            let own = (0..writes).rfind(is_own);
            if let Some(own) = own {
                operations.push(Operation { at, place, key, read: Some(Some(own)) });
            }
            // A list has what was there before own appends too.
            if own.is_none() || !orders.is_empty() {
                let returned = (value != 0).then(|| (0..writes).find(|&w| values[w] == value).unwrap());
                operations.push(Operation { at, place, key, read: Some(returned) });
            }
        }
    }
    let before = |a: usize, b: usize| {
        let (a, b) = (operations[a], operations[b]);
        let (x, y) = (&all[kept[a.at]], &all[kept[b.at]]);
        if a.at == b.at { a.place < b.place } else { a.at < b.at && x.session == y.session && !x.doubt }
    };
    let reads = writes..operations.len();
    let returned = |read: usize| operations[read].read.flatten();
    use Guarantee::*;
    // What the order keeps.
    let mut kept_order = vec![vec![false; writes]; writes];
    for (w, row) in kept_order.iter_mut().enumerate() {
        for (later, cell) in row.iter_mut().enumerate() {
            let by_session = matches!(guarantee, Writes | Pram | Causal) && before(w, later);
            let mut followed = reads.clone().filter(|&read| before(read, later) && returned(read) == Some(w));
            *cell = by_session || matches!(guarantee, WritesFollowReads | Causal) && followed.next().is_some();
        }
    }
    for (key, order) in orders.iter().enumerate() {
        let of_key: Vec<usize> = (0..writes).filter(|&w| operations[w].key == key as u32).collect();
        let writes: Vec<(usize, u32)> = of_key.iter().map(|&w| (operations[w].at, values[w])).collect();
        appends(&writes, order).into_iter().for_each(|(a, b)| kept_order[of_key[a]][of_key[b]] = true);
    }
    // What a read sees.
    let sees = |read: usize| {
        let mut seen = vec![false; writes];
        let mut seen_here = returned(read);
        if matches!(guarantee, Writes | WritesFollowReads) {
            // What it wrote itself is at no server yet.
            seen_here = seen_here.filter(|&w| operations[w].at != operations[read].at);
        }
        seen_here.into_iter().for_each(|w| seen[w] = true);
        for other in reads.clone() {
            let is_of_others = returned(other).is_none_or(|w| operations[w].at != operations[read].at);
            let here = operations[other].at == operations[read].at && operations[other].place <= operations[read].place;
            let here = here && is_of_others;
            if matches!(guarantee, Reads | Pram | Causal) && before(other, read)
                || matches!(guarantee, Writes | WritesFollowReads) && here
            {
                returned(other).into_iter().for_each(|w| seen[w] = true);
            }
        }
        if matches!(guarantee, OwnWrites | Pram | Causal) {
            (0..writes).filter(|&w| before(w, read)).for_each(|w| seen[w] = true);
        }
        loop {
            let known = seen.clone();
            for w in (0..writes).filter(|&w| known[w]) {
                if matches!(guarantee, Writes | Pram | Causal) {
                    (0..writes).filter(|&other| before(other, w)).for_each(|other| seen[other] = true);
                }
                if matches!(guarantee, WritesFollowReads | Causal) {
                    let followed = reads.clone().filter(|&read| before(read, w)).filter_map(returned);
                    followed.for_each(|other| seen[other] = true);
                }
            }
            if seen == known {
                return seen;
            }
        }
    };
    let sessions = all.iter().map(|small| small.session).max().unwrap_or(0);
    (0..=sessions).all(|observer| {
        let mut must = kept_order.clone();
        for read in reads.clone().filter(|&read| all[kept[operations[read].at]].session == observer) {
            let seen = sees(read);
            // What its own transaction appended before ends the list.
            let is_of_others = returned(read).is_none_or(|w| operations[w].at != operations[read].at);
            let is_under = |w: usize| is_of_others && operations[w].at == operations[read].at && before(w, read);
            let others = (0..writes).filter(|&w| seen[w] && operations[w].key == operations[read].key && !is_under(w));
            for other in others {
                match returned(read) {
                    Some(whose) if whose != other => must[other][whose] = true,
                    Some(_) => {}
                    None => return false,
                }
            }
        }
        is_any_order(&must)
    })
}
