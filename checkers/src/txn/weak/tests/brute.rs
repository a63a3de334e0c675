//! The axioms by their definition: all total commit orders are tried.

use super::support::{Micro, Small};

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
fn committed(all: &[Small]) -> Vec<usize> {
    let is_seen = |small: &Small| {
        small.micros.iter().any(|micro| match micro {
            Micro::W(_, value) => all.iter().any(|other| {
                !other.doubt && other.micros.iter().any(|read| matches!(read, Micro::R(_, seen) if seen == value))
            }),
            Micro::R(..) => false,
        })
    };
    (0..all.len()).filter(|&at| !all[at].doubt || is_seen(&all[at])).collect()
}

fn saws(all: &[Small], kept: &[usize], at: usize) -> Vec<Saw> {
    let mut found = Vec::new();
    if all[kept[at]].doubt {
        return found;
    }
    for (place, micro) in all[kept[at]].micros.iter().enumerate() {
        let Micro::R(key, value) = *micro else { continue };
        if all[kept[at]].micros[..place].iter().any(|own| matches!(own, Micro::W(other, _) if *other == key)) {
            continue;
        }
        let whose = kept.iter().position(|&other| all[other].micros.contains(&Micro::W(key, value)));
        assert!(value == 0 || whose.is_some());
        found.push(Saw { key, whose, place });
    }
    found
}

/// Whether the axiom holds, with the order of sessions or without.
pub fn holds(all: &[Small], level: Level, sessions: bool) -> bool {
    let kept = committed(all);
    let count = kept.len();
    let saw: Vec<Vec<Saw>> = (0..count).map(|at| saws(all, &kept, at)).collect();
    let wrote = |at: usize, key: u32| all[kept[at]].micros.iter().any(|micro| matches!(micro, Micro::W(k, _) if *k == key));
    let follows = |a: usize, b: usize| {
        sessions && a < b && all[kept[a]].session == all[kept[b]].session && !all[kept[a]].doubt
    };
    let mut step = vec![vec![false; count]; count];
    for a in 0..count {
        for b in 0..count {
            step[a][b] = follows(a, b) || saw[b].iter().any(|saw| saw.whose == Some(a));
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
    let mut orders = Vec::new();
    permute(&mut (0..count).collect(), 0, &mut |order| {
        let mut at = vec![0; count];
        order.iter().enumerate().for_each(|(place, &who)| at[who] = place);
        let keeps = (0..count).all(|a| (0..count).all(|b| !step[a][b] || at[a] < at[b]));
        let explains = || {
            (0..count).all(|reader| {
                saw[reader].iter().all(|read| {
                    (0..count).all(|other| {
                        !wrote(other, read.key)
                            || read.whose == Some(other)
                            || other == reader
                            || !visible(reader, read, other)
                            || read.whose.is_some_and(|whose| at[other] < at[whose])
                    })
                })
            })
        };
        if orders.is_empty() && keeps && explains() {
            orders.push(());
        }
    });
    !orders.is_empty()
}

/// All orders.
pub fn permute(items: &mut Vec<usize>, from: usize, each: &mut impl FnMut(&[usize])) {
    if from == items.len() {
        each(items);
        return;
    }
    for other in from..items.len() {
        items.swap(from, other);
        permute(items, from + 1, each);
        items.swap(from, other);
    }
}
