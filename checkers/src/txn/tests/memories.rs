//! Pipelined RAM and causal memory of single micro-operations, by trying all orders for each process; and the checker against that.

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::{F, History, Key, Kind, Mop, Op, Process, Value, notation};

use super::plain::{Micro, Plain};
use crate::anomaly::Witness;
use crate::checker::Budget;
use crate::txn::checker::memories::judged;
use crate::txn::checker::memories::mutant::{Mutant, choose};
use crate::txn::levels::Level;
use crate::txn::verify::verify;

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

/// Processes with transactions of one operation or two, each of which runs on a replica of its own: what was written reaches the
/// others in the order of its process, with all that led to it or without that, sooner or later, and now and then not in order. Then a
/// read or two may answer something else that was written.
fn replicas(random: &mut ChaCha8Rng) -> History {
    let processes = random.random_range(2..=4usize);
    let keys = [1i64, 1, 2, 3][random.random_range(0..4)];
    let (late, causal) = (random.random_range(1..=3u32), random.random_bool(0.5));
    let doubt = [0.0, 0.1, 0.3][random.random_range(0..3)];
    // All writes: who, and what had reached it then.
    let mut log: Vec<(usize, Vec<bool>, Vec<Mop>)> = Vec::new();
    let mut reached: Vec<Vec<bool>> = vec![Vec::new(); processes];
    let mut state: Vec<Vec<Option<i64>>> = vec![vec![None; keys as usize]; processes];
    let (mut ops, mut next, mut names) = (Vec::new(), 1, (0..processes as u32).collect::<Vec<u32>>());
    for _ in 0..random.random_range(4..=8) {
        let here = random.random_range(0..processes);
        for at in 0..log.len() {
            let (writer, seen, writes) = &log[at];
            let earlier = (0..at).filter(|&other| log[other].0 == *writer || causal && seen.get(other) == Some(&true));
            let is_due = earlier.into_iter().all(|other| reached[here].get(other) == Some(&true));
            let is_out_of_order = random.random_bool(0.1);
            reached[here].resize(log.len(), false);
            if reached[here][at] || !(is_due || is_out_of_order) || random.random_ratio(late, 4) {
                continue;
            }
            reached[here][at] = true;
            writes.iter().for_each(|mop| state[here][key_of(mop)] = mop.value.as_int());
        }
        let mut asked = Vec::new();
        for _ in 0..random.random_range(1..=2) {
            let key = Key::Int(random.random_range(0..keys));
            if random.random_bool(0.5) {
                asked.push(Mop::new("r", key, Value::Nil));
            } else {
                asked.push(Mop::new("w", key, Value::Int(next)));
                next += 1;
            }
        }
        let is_doubtful = random.random_bool(doubt);
        let answered: Vec<Mop> = asked
            .iter()
            .map(|mop| match &*mop.f {
                "r" => Mop::new("r", mop.key.clone(), state[here][key_of(mop)].map_or(Value::Nil, Value::Int)),
                _ => {
                    state[here][key_of(mop)] = mop.value.as_int();
                    mop.clone()
                }
            })
            .collect();
        let process = Process::Client(names[here]);
        let event = |kind, mops: &[Mop]| Op::new(process.clone(), kind, F::Txn, Value::Txn(Box::new(mops.to_vec())));
        ops.push(event(Kind::Invoke, &asked));
        ops.push(if is_doubtful { event(Kind::Info, &asked) } else { event(Kind::Ok, &answered) });
        let writes: Vec<Mop> = asked.into_iter().filter(|mop| &*mop.f == "w").collect();
        if is_doubtful {
            names[here] = names.iter().max().expect("there are processes") + 1;
        }
        let mut seen = reached[here].clone();
        seen.resize(log.len() + 1, false);
        seen[log.len()] = true;
        reached[here].clone_from(&seen);
        log.push((here, seen, writes));
    }
    for _ in 0..[0, 1, 2, 4][random.random_range(0..4)] {
        edit(random, &mut ops);
    }
    for (time, op) in ops.iter_mut().enumerate() {
        (op.index, op.time_ns) = (time as u32, time as u64);
    }
    History::from_ops(ops).expect("a history")
}

/// Some read of one that ended well returns another value of its key.
fn edit(random: &mut ChaCha8Rng, ops: &mut [Op]) {
    let mops = |op: &Op| match &op.value {
        Value::Txn(mops) => mops.to_vec(),
        other => panic!("{other:?}"),
    };
    let at = random.random_range(0..ops.len());
    let mut all = mops(&ops[at]);
    let place = random.random_range(0..all.len());
    if ops[at].kind != Kind::Ok || &*all[place].f != "r" {
        return;
    }
    let asked: Vec<Mop> = ops.iter().filter(|op| op.kind == Kind::Invoke).flat_map(mops).collect();
    let written = asked.into_iter().filter(|mop| &*mop.f == "w" && mop.key == all[place].key).map(|mop| mop.value);
    let mut values: Vec<Value> = written.collect();
    values.push(Value::Nil);
    all[place].value = values[random.random_range(0..values.len())].clone();
    ops[at].value = Value::Txn(Box::new(all));
}

fn key_of(mop: &Mop) -> usize {
    match &mop.key {
        Key::Int(key) => *key as usize,
        other => panic!("{other:?}"),
    }
}

/// How often something was told.
#[derive(Debug, Default)]
struct Told {
    held: usize,
    broken: usize,
    open: usize,
}

/// What is wrong with what the checker says of a history, and with its proof.
fn compare(history: &History, causal: bool, told: &mut Told) -> Result<(), String> {
    let Some(holds) = explained(&Plain::of(history), causal) else { return Ok(()) };
    let level = if causal { Level::CausalMemory } else { Level::PipelinedRam };
    let (anomalies, is_kept) = judged(level, history, &Budget::default());
    match (anomalies.is_empty(), is_kept, holds) {
        (true, true, true) => told.held += 1,
        (false, false, false) => told.broken += 1,
        (true, false, _) => told.open += 1,
        _ => return Err(format!("{level}: {anomalies:?}, kept: {is_kept}")),
    }
    for anomaly in &anomalies {
        let Witness::NoProcessOrder { process, transactions, smallest } = &anomaly.witness else { continue };
        verify(history, anomaly).map_err(|wrong| format!("{wrong}: {anomaly:?}"))?;
        if !smallest {
            return Err(format!("not proven to be the smallest: {anomaly:?}"));
        }
        for dropped in transactions {
            let transactions = transactions.iter().copied().filter(|other| other != dropped).collect();
            let witness = Witness::NoProcessOrder { process: *process, transactions, smallest: true };
            let mut fewer = anomaly.clone();
            fewer.witness = witness;
            if verify(history, &fewer).is_ok() {
                return Err(format!("{dropped} can be left out: {anomaly:?}"));
            }
        }
    }
    Ok(())
}

#[test]
fn memories_are_judged_as_by_brute_force_and_proven() {
    let mut random = ChaCha8Rng::seed_from_u64(31);
    let mut told = [Told::default(), Told::default()];
    for round in 0..2_500 * super::differential::long_factor() {
        let history = replicas(&mut random);
        for causal in [false, true] {
            if let Err(wrong) = compare(&history, causal, &mut told[usize::from(causal)]) {
                panic!("round {round}: {wrong}\n{}", notation::write(&history));
            }
        }
    }
    println!("{told:?}");
    for Told { held, broken, open } in told {
        assert!(held > 300 && broken > 250 && open * 5 < held + broken, "{held} {broken} {open}");
    }
}

#[test]
fn every_mutant_is_noticed() {
    use Mutant::*;
    let mutants = [
        CausalityForgotten,
        OthersReadsAsked,
        ProcessForgotten,
        OneProcess,
        DoubtNever,
        DoubtExact,
        InitialForgotten,
        WriterLeftOut,
        SmallestClaimed,
        OtherProcessNamed,
    ];
    let mut random = ChaCha8Rng::seed_from_u64(32);
    let histories: Vec<History> = (0..4_000).map(|_| replicas(&mut random)).collect();
    let survivors: Vec<Mutant> = mutants
        .into_iter()
        .filter(|&mutant| {
            choose(Some(mutant));
            let is_wrong = |history: &History| {
                [true, false].into_iter().any(|causal| compare(history, causal, &mut Told::default()).is_err())
            };
            let noticed = histories.iter().position(is_wrong);
            choose(None);
            println!("{mutant:?}: {noticed:?}");
            noticed.is_none()
        })
        .collect();
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}
