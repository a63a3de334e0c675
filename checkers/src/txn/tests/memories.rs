//! Pipelined RAM and causal memory of single micro-operations, by trying all orders for each process.

use std::collections::BTreeSet;

use super::plain::{Micro, Plain};

struct Deed {
    process: u32,
    key: usize,
    /// What it wrote.
    write: Option<u32>,
    /// What it read; `None`: nothing.
    read: Option<u32>,
    /// Who comes before it, as bits.
    before: u64,
}

/// Whether each process has an order; `None` where it is not certain who read from whom, and of lists.
pub fn explained(plain: &Plain, causal: bool) -> Option<bool> {
    if plain.lists {
        return None;
    }
    let mut deeds: Vec<Deed> = Vec::new();
    for txn in plain.txns.iter().filter(|txn| !txn.failed) {
        for micro in &txn.micros {
            let deed = |key, write, read| Deed { process: txn.process, key, write, read, before: 0 };
            match micro {
                Micro::Write { key, value } => {
                    let is_seen = || reads(plain).any(|read| read == (*key, Some(*value)));
                    if txn.ended.is_some() || is_seen() {
                        deeds.push(deed(*key, Some(*value), None));
                    }
                }
                Micro::Read { key, values } if txn.ended.is_some() => {
                    deeds.push(deed(*key, None, values.last().copied()));
                }
                Micro::Read { .. } => {}
            }
        }
    }
    let written = |key: usize, value: u32| {
        let mut all = (0..deeds.len()).filter(|&at| deeds[at].key == key && deeds[at].write == Some(value));
        (all.next(), all.next())
    };
    let mut before: Vec<u64> = Vec::new();
    for (at, deed) in deeds.iter().enumerate() {
        let earlier = (0..at).filter(|&other| deeds[other].process == deed.process);
        before.push(earlier.fold(0, |bits, other| bits | 1 << other));
        let Some(value) = deed.read else { continue };
        match written(deed.key, value) {
            (Some(writer), None) if causal => before[at] |= 1 << writer,
            (Some(_), None) => {}
            _ => return None,
        }
    }
    let is_twice = |deed: &Deed| deed.write.is_some_and(|value| written(deed.key, value).1.is_some());
    if deeds.iter().any(is_twice) || has_failed_twin(plain) {
        return None;
    }
    for middle in 0..deeds.len() {
        for at in 0..deeds.len() {
            if before[at] >> middle & 1 == 1 {
                before[at] |= before[middle];
            }
        }
    }
    if (0..deeds.len()).any(|at| before[at] >> at & 1 == 1) {
        return Some(false);
    }
    deeds.iter_mut().zip(before).for_each(|(deed, before)| deed.before = before);
    let processes: BTreeSet<u32> = deeds.iter().map(|deed| deed.process).collect();
    Some(processes.into_iter().all(|process| has_order(&deeds, process, plain.keys_count)))
}

fn reads(plain: &Plain) -> impl Iterator<Item = (usize, Option<u32>)> + '_ {
    let micros = plain.txns.iter().filter(|txn| txn.ended.is_some()).flat_map(|txn| &txn.micros);
    micros.filter_map(|micro| match micro {
        Micro::Read { key, values } => Some((*key, values.last().copied())),
        Micro::Write { .. } => None,
    })
}

/// Whether a transaction that failed wrote what another wrote too.
fn has_failed_twin(plain: &Plain) -> bool {
    let mut failed = plain.txns.iter().filter(|txn| txn.failed).flat_map(|txn| &txn.micros);
    let others = || plain.txns.iter().filter(|txn| !txn.failed).flat_map(|txn| &txn.micros);
    failed.any(|micro| matches!(micro, Micro::Write { .. }) && others().any(|other| other == micro))
}

fn has_order(deeds: &[Deed], process: u32, keys_count: usize) -> bool {
    let all = (0..deeds.len()).filter(|&at| deeds[at].write.is_some() || deeds[at].process == process);
    let all: u64 = all.fold(0, |bits, at| bits | 1 << at);
    let mut seen = BTreeSet::new();
    let mut open = vec![(0u64, vec![None; keys_count])];
    while let Some((placed, values)) = open.pop() {
        if placed == all {
            return true;
        }
        for (at, deed) in deeds.iter().enumerate() {
            let is_next = (all & !placed) >> at & 1 == 1 && deed.before & all & !placed == 0;
            if !is_next || deed.write.is_none() && values[deed.key] != deed.read {
                continue;
            }
            let mut after = values.clone();
            if deed.write.is_some() {
                after[deed.key] = deed.write;
            }
            if seen.insert((placed | 1 << at, after.clone())) {
                open.push((placed | 1 << at, after));
            }
        }
    }
    false
}
