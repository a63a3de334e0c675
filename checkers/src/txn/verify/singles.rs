//! Orders of the single operations of a few transactions over registers, all of them: none explains what they read.

use std::collections::{BTreeMap, BTreeSet};

use schism_history::{History, OpIndex, ValueId};

use super::view::{Txn, all, is_list, txn};

/// States at most that are walked.
const STATES_MAX: usize = 1_000_000;

/// What a micro-operation asks for: nothing, to write, or to find.
#[derive(Clone, Copy)]
enum Asks {
    Nothing,
    Write(u32, ValueId),
    Find(u32, Option<ValueId>),
}

/// By process: transactions done, and micro-operations done of the next; and what the registers hold.
type State = (Vec<(usize, usize)>, BTreeMap<u32, ValueId>);

/// Verifies that no order of the micro-operations keeps the order of each process (and of real time) and explains each
/// read. Reads of what none of these transactions alone wrote are left out, which only makes it easier.
pub fn verify(history: &History, transactions: &[OpIndex], realtime: bool) -> Result<(), String> {
    let mut invoked = transactions.to_vec();
    invoked.sort_unstable();
    invoked.dedup();
    let txns = invoked.iter().map(|&invoked| txn(history, invoked)).collect::<Result<Vec<_>, _>>()?;
    let mut lines: Vec<Line<'_>> = Vec::new();
    for txn in txns.iter().filter(|txn| !txn.failed) {
        let asks = (0..txn.micros().len() as u32)
            .map(|place| asks(history, &txns, txn, place, realtime))
            .collect::<Result<_, _>>()?;
        match lines.iter_mut().find(|line| line[0].0.is_of_process(txn)) {
            Some(line) => line.push((*txn, asks)),
            None => lines.push(vec![(*txn, asks)]),
        }
    }
    let mut seen = BTreeSet::new();
    let mut open: Vec<State> = vec![(vec![(0, 0); lines.len()], BTreeMap::new())];
    while let Some(state) = open.pop() {
        let is_left =
            |(line, done): (&Line<'_>, &(usize, usize))| line[done.0..].iter().any(|(txn, _)| txn.ended.is_some());
        if !lines.iter().zip(&state.0).any(is_left) {
            return Err("the operations that are named have an order".to_owned());
        }
        for line in 0..lines.len() {
            for next in after(&lines, &state, line, realtime) {
                if seen.len() > STATES_MAX {
                    return Err("the operations that are named are too many to try all their orders".to_owned());
                }
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
    }
    Ok(())
}

/// What a process did: its transactions, each with what its operations ask for.
type Line<'h> = Vec<(Txn<'h>, Vec<Asks>)>;

fn asks(history: &History, txns: &[Txn<'_>], txn: &Txn<'_>, place: u32, realtime: bool) -> Result<Asks, String> {
    let key = txn.micro(place)?.key;
    if is_list(history, key) {
        return Err("orders of single operations of lists are not verified".to_owned());
    }
    if let Some((key, value)) = txn.written(place) {
        return Ok(Asks::Write(key, value));
    }
    let Some((key, values)) = txn.read(place) else { return Ok(Asks::Nothing) };
    let Some(&value) = values.last() else { return Ok(Asks::Find(key, None)) };
    let writers: Vec<Txn<'_>> =
        all(history).filter(|other| !other.failed && other.place_of(key, value).is_some()).collect();
    let named = writers.iter().all(|writer| txns.iter().any(|txn| txn.invoked == writer.invoked));
    // Nor can it have been read from whoever began only afterwards.
    let named = named || realtime && writers.iter().all(|writer| txn.is_before(writer));
    Ok(if named { Asks::Find(key, Some(value)) } else { Asks::Nothing })
}

/// What a process can do next. Of a transaction in doubt each write may be left out.
fn after(lines: &[Line<'_>], state: &State, line: usize, realtime: bool) -> Vec<State> {
    let (txns, micros) = state.0[line];
    let Some((txn, all)) = lines[line].get(txns) else { return Vec::new() };
    let waits =
        |(line, done): (&Line<'_>, &(usize, usize))| line[done.0..].iter().any(|(other, _)| other.is_before(txn));
    if realtime && lines.iter().zip(&state.0).any(waits) {
        return Vec::new();
    }
    let mut next = state.clone();
    let Some(&asks) = all.get(micros) else {
        next.0[line] = (txns + 1, 0);
        return vec![next];
    };
    next.0[line].1 += 1;
    let left_out = txn.ended.is_none().then(|| next.clone());
    match asks {
        Asks::Write(key, value) => {
            next.1.insert(key, value);
        }
        Asks::Find(key, wanted) if next.1.get(&key).copied() != wanted => return Vec::new(),
        Asks::Find(..) | Asks::Nothing => {}
    }
    std::iter::once(next).chain(left_out).collect()
}
