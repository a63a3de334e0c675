//! Small register histories: made of a few lines or at random, and what is read in them from whom.

use rand::{Rng, RngExt};
use rustc_hash::FxHashMap;
use schism_history::{History, MicroF, MicroValue, ValueId, notation};

use crate::checker::Budget;
use crate::txn::accesses::{Accesses, INITIAL, Read, UNKNOWN, Write};
use crate::txn::meter::Meter;
use crate::txn::txns::{TxnId, Txns};
use crate::txn::weak::mutant::Mutation;
use crate::txn::weak::{Weak, judge_as};

/// A micro-operation of a small history: what was written (each value once), or what was read (zero: nothing).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Micro {
    W(u32, u32),
    R(u32, u32),
}

/// A transaction of a small history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Small {
    pub session: u32,
    pub doubt: bool,
    pub micros: Vec<Micro>,
}

/// In one line: all transactions one after the other.
pub fn line(all: &[Small]) -> String {
    let mut text = String::new();
    for small in all {
        let micros = |is_end: bool| {
            let micro = |micro: &Micro| match micro {
                Micro::W(key, value) => format!("[\"w\",{key},{value}]"),
                Micro::R(key, value) if is_end && *value > 0 => format!("[\"r\",{key},{value}]"),
                Micro::R(key, _) => format!("[\"r\",{key},null]"),
            };
            format!("[{}]", small.micros.iter().map(micro).collect::<Vec<_>>().join(","))
        };
        let session = small.session;
        text += &match small.doubt {
            false => format!(" {session}:txn={}>{}", micros(false), micros(true)),
            true => format!(" {session}:txn={}?", micros(false)),
        };
    }
    text
}

/// Who read what from whom, the simple way.
pub fn accesses(txns: &Txns<'_>) -> Accesses {
    let mut writers: FxHashMap<(u32, ValueId), TxnId> = FxHashMap::default();
    for id in 0..txns.len() as TxnId {
        for micro in txns.txn(id).micros() {
            if let (MicroF::Write, MicroValue::One(value)) = (micro.f, micro.value) {
                writers.insert((micro.key, value), id);
            }
        }
    }
    let mut accesses = Accesses::new(txns.history().txn_keys().len() as u32);
    let mut seen = vec![false; txns.len()];
    for id in 0..txns.len() as TxnId {
        let (mut reads, mut writes): (Vec<Read>, Vec<Write>) = (Vec::new(), Vec::new());
        for (place, micro) in txns.txn(id).micros().enumerate() {
            let MicroValue::One(value) = micro.value else { continue };
            let micro_place = place as u32;
            if micro.f == MicroF::Write {
                writes.retain(|write| write.key != micro.key);
                writes.push(Write { key: micro.key, micro: micro_place });
            } else if txns.is_ok(id) && writes.iter().all(|write| write.key != micro.key) {
                let writer = match value {
                    ValueId::NIL => INITIAL,
                    value => writers.get(&(micro.key, value)).copied().unwrap_or(UNKNOWN),
                };
                if let Some(seen) = seen.get_mut(writer as usize) {
                    *seen = true;
                }
                reads.push(Read { key: micro.key, writer, micro: micro_place });
            }
        }
        accesses.push(&reads, &writes, txns.is_ok(id));
    }
    let doubtful = txns.ok_count() as usize..txns.len();
    accesses.committed[doubtful.clone()].copy_from_slice(&seen[doubtful]);
    accesses
}

/// Judges a line.
pub fn judge_line(text: &str, near: u32, mutation: Mutation) -> Weak {
    let history = notation::parse(text).expect("a history");
    judge_history(&history, near, mutation)
}

/// Judges a history.
pub fn judge_history(history: &History, near: u32, mutation: Mutation) -> Weak {
    let txns = Txns::of(history);
    let weak = judge_as(&txns, &accesses(&txns), &mut Meter::new(&Budget::default()), near, mutation);
    assert!(!weak.spent, "a small history spent the budget");
    weak
}

/// What a random history is like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub transactions: (usize, usize),
    /// Writes, in per cent of micro-operations.
    pub writes_percent: u32,
    pub sessions: u32,
    pub keys: u32,
    pub micros_max: usize,
    pub doubt_percent: u32,
    /// Reads that see anything at all, in per cent; the others see what a lagging copy holds.
    pub wild_percent: u32,
}

/// A small history: sessions write to one place and read from copies that lag behind it, and some reads see anything.
pub fn random(random: &mut impl Rng, shape: Shape) -> Vec<Small> {
    let count = random.random_range(shape.transactions.0..=shape.transactions.1);
    let mut versions: Vec<Vec<u32>> = vec![vec![0]; shape.keys as usize];
    let mut all: Vec<Small> = Vec::new();
    let mut next = 0;
    let mut ended = vec![false; shape.sessions as usize];
    for _ in 0..count {
        let session = random.random_range(0..shape.sessions);
        if ended[session as usize] {
            continue;
        }
        let doubt = random.random_range(0..100) < shape.doubt_percent;
        ended[session as usize] = doubt;
        let lag = random.random_range(0..3usize);
        let mut micros = Vec::new();
        for _ in 0..random.random_range(1..=shape.micros_max) {
            let key = random.random_range(0..shape.keys);
            if random.random_range(0..100) < shape.writes_percent {
                next += 1;
                versions[key as usize].push(next);
                micros.push(Micro::W(key, next));
            } else {
                let known = &versions[key as usize];
                let value = match random.random_range(0..100) < shape.wild_percent {
                    // Some of them see what is written only later.
                    true if random.random_range(0..8) == 0 => LATER,
                    true => known[random.random_range(0..known.len())],
                    false => known[known.len().saturating_sub(1 + lag)],
                };
                micros.push(Micro::R(key, value));
            }
        }
        all.push(Small { session, doubt, micros });
    }
    for micro in all.iter_mut().flat_map(|small| &mut small.micros) {
        if let Micro::R(key, value) = micro
            && *value == LATER
        {
            let known = &versions[*key as usize];
            *value = known[random.random_range(0..known.len())];
        }
    }
    repair(all)
}

const LATER: u32 = u32::MAX;

/// Makes reads of own writes right, and reads of what another wrote over itself.
fn repair(mut all: Vec<Small>) -> Vec<Small> {
    let mut last: FxHashMap<u32, u32> = FxHashMap::default();
    for small in &all {
        let mut own: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
        for micro in &small.micros {
            if let Micro::W(key, value) = micro {
                own.entry(*key).or_default().push(*value);
            }
        }
        for values in own.values() {
            last.extend(values.iter().map(|value| (*value, values[values.len() - 1])));
        }
    }
    for small in &mut all {
        let mut own: FxHashMap<u32, u32> = FxHashMap::default();
        let mine: Vec<Micro> = small.micros.clone();
        for micro in &mut small.micros {
            match micro {
                Micro::W(key, value) => {
                    own.insert(*key, *value);
                }
                Micro::R(key, value) => {
                    *value = last.get(value).copied().unwrap_or(0);
                    if let Some(written) = own.get(key) {
                        *value = *written;
                    } else if mine.contains(&Micro::W(*key, *value)) {
                        *value = 0;
                    }
                }
            }
        }
    }
    all
}
