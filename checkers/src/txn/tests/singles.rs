//! Sequential consistency and linearizability of the single micro-operations, by trying all orders.

use std::collections::BTreeSet;

use super::plain::{Micro, Plain};

/// Whether some order of all micro-operations explains each read, keeps the order of each process, and of real time if
/// wanted. The micro-operations of a transaction are those of its process, one after another, at any time while it was
/// open. Of a transaction in doubt its writes may take effect or not, and the reads say nothing.
pub fn explained(plain: &Plain, realtime: bool) -> bool {
    let mut lines: Vec<Vec<usize>> = Vec::new();
    let mut processes = Vec::new();
    for (place, txn) in plain.txns.iter().enumerate().filter(|(_, txn)| !txn.failed) {
        match processes.iter().position(|&process| process == txn.process) {
            Some(line) => lines[line].push(place),
            None => {
                processes.push(txn.process);
                lines.push(vec![place]);
            }
        }
    }
    let start = State { done: vec![(0, 0); lines.len()], values: vec![Vec::new(); plain.keys_count] };
    let mut seen = BTreeSet::new();
    let mut open = vec![start];
    while let Some(state) = open.pop() {
        if state.is_done(plain, &lines) {
            return true;
        }
        for line in 0..lines.len() {
            for next in state.after(plain, &lines, line, realtime) {
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
    }
    false
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    /// By process: transactions done, and micro-operations done of the next.
    done: Vec<(usize, usize)>,
    /// By key: its list, or at most one value.
    values: Vec<Vec<u32>>,
}

impl State {
    fn is_done(&self, plain: &Plain, lines: &[Vec<usize>]) -> bool {
        lines
            .iter()
            .zip(&self.done)
            .all(|(line, done)| line[done.0..].iter().all(|&txn| plain.txns[txn].ended.is_none()))
    }

    fn after(&self, plain: &Plain, lines: &[Vec<usize>], line: usize, realtime: bool) -> Vec<State> {
        let (txns, micros) = self.done[line];
        let Some(&number) = lines[line].get(txns) else { return Vec::new() };
        let txn = &plain.txns[number];
        // Everything that had ended before this began must be done.
        let waits = |(other, done): (&Vec<usize>, &(usize, usize))| {
            other[done.0..].iter().any(|&other| plain.txns[other].ended.is_some_and(|ended| ended < txn.invoked))
        };
        if realtime && lines.iter().zip(&self.done).any(waits) {
            return Vec::new();
        }
        let mut next = self.clone();
        let Some(micro) = txn.micros.get(micros) else {
            next.done[line] = (txns + 1, 0);
            return vec![next];
        };
        next.done[line].1 += 1;
        let skipped = txn.ended.is_none().then(|| next.clone());
        match micro {
            Micro::Read { .. } if txn.ended.is_none() => {}
            Micro::Read { key, values } if self.values[*key] != *values => return Vec::new(),
            Micro::Read { .. } => {}
            Micro::Write { key, value } if plain.lists => next.values[*key].push(*value),
            Micro::Write { key, value } => next.values[*key] = vec![*value],
        }
        std::iter::once(next).chain(skipped).collect()
    }
}
