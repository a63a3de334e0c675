//! A tiny store of lists, and ways to break what it answered.

#![allow(clippy::needless_range_loop, reason = "places of two tables at once are clearer as numbers")]

use rand::{Rng, RngExt};
use schism_history::{F, History, Key, Kind, Mop, Op, Process, Value};

/// How elements are written.
#[derive(Debug, Clone, Copy)]
enum Elements {
    Small,
    Sparse,
    Text,
    Negative,
}

struct Call {
    process: u32,
    asked: Vec<Mop>,
    answered: Vec<Mop>,
    outcome: Option<Kind>,
}

fn element(number: i64, elements: Elements) -> Value {
    match elements {
        Elements::Small => Value::Int(number),
        Elements::Sparse => Value::Int(number * 1_000_003),
        Elements::Text => Value::str(&format!("e{number}")),
        Elements::Negative => Value::Int(-number),
    }
}

fn key(number: u32) -> Key {
    if number == 0 { Key::Str("x".into()) } else { Key::Int(i64::from(number)) }
}

/// One history of up to so many transactions.
pub(super) fn history(random: &mut impl Rng, transactions_max: usize) -> History {
    let mut calls = calls(random, transactions_max);
    if random.random_bool(0.7) {
        let wanted = random.random_range(1..4);
        let mut spoilt = 0;
        for _ in 0..30 {
            spoilt += usize::from(spoil(random, &mut calls));
            if spoilt == wanted {
                break;
            }
        }
    }
    events(random, calls)
}

fn calls(random: &mut impl Rng, transactions_max: usize) -> Vec<Call> {
    let keys_count = random.random_range(1..4u32);
    let elements = [Elements::Small, Elements::Sparse, Elements::Text, Elements::Negative][random.random_range(0..4)];
    let mut store = vec![Vec::new(); keys_count as usize];
    let mut calls = Vec::new();
    let mut next = 1;
    for _ in 0..random.random_range(2..=transactions_max) {
        let outcome = match random.random_range(0..20) {
            0 | 1 => Some(Kind::Fail),
            2 => Some(Kind::Info),
            3 => None,
            _ => Some(Kind::Ok),
        };
        let is_applied = match outcome {
            Some(Kind::Ok) => true,
            Some(Kind::Fail) => random.random_range(0..4) == 0,
            _ => random.random_bool(0.6),
        };
        let mut state = store.clone();
        let (mut asked, mut answered) = (Vec::new(), Vec::new());
        for _ in 0..random.random_range(0..5) {
            let number = random.random_range(0..keys_count);
            let list: &mut Vec<Value> = &mut state[number as usize];
            if random.random_bool(0.5) {
                let append = Mop::new("append", key(number), element(next, elements));
                next += 1;
                list.push(append.value.clone());
                asked.push(append.clone());
                answered.push(append);
            } else {
                asked.push(Mop::new("r", key(number), Value::Nil));
                let is_nil = list.is_empty() && random.random_bool(0.5);
                let value = if is_nil { Value::Nil } else { Value::list(list.clone()) };
                answered.push(Mop::new("r", key(number), value));
            }
        }
        if is_applied {
            store = state;
        }
        calls.push(Call { process: 0, asked, answered, outcome });
    }
    calls
}

fn items(value: &Value) -> Vec<Value> {
    match value {
        Value::Pair([a, b]) => vec![Value::Int(*a), Value::Int(*b)],
        Value::List(items) => (**items).clone(),
        _ => Vec::new(),
    }
}

/// Changes one micro-operation; whether it did.
fn spoil(random: &mut impl Rng, calls: &mut [Call]) -> bool {
    let donor = random.random_range(0..calls.len());
    let any: Vec<Mop> = calls[donor].answered.clone();
    let place = random.random_range(0..calls.len());
    let call = &mut calls[place];
    if call.answered.is_empty() {
        return false;
    }
    let at = random.random_range(0..call.answered.len());
    let choice = random.random_range(0..24);
    if &*call.answered[at].f == "append" {
        let other = any.iter().find(|mop| &*mop.f == "append");
        match (choice, other) {
            (0..3, Some(other)) => call.answered[at].value = other.value.clone(),
            (3, _) => call.answered[at].f = "w".into(),
            (4, _) => call.answered[at].f = "cas".into(),
            (5, _) => call.answered[at].key = key(0),
            _ => return false,
        }
        call.asked[at] = call.answered[at].clone();
        return true;
    }
    let mut list = items(&call.answered[at].value);
    match choice {
        0..2 => drop(list.pop()),
        2 if !list.is_empty() => drop(list.remove(0)),
        3..5 if list.len() > 1 => {
            let swapped = list.len() - 1;
            list.swap(swapped, swapped - 1);
        }
        5 => list.push(Value::Int(777)),
        6..9 => list.extend(any.iter().filter(|mop| &*mop.f == "append").map(|mop| mop.value.clone())),
        9 => list.extend(list.last().cloned()),
        10..12 => list.extend(call.answered.iter().rfind(|mop| &*mop.f == "append").map(|mop| mop.value.clone())),
        12 => list.clear(),
        13..16 => {
            if let Some(other) = any.iter().find(|mop| mop.key == call.answered[at].key && &*mop.f == "r") {
                list = items(&other.value);
            }
        }
        16 if random.random_range(0..4) == 0 => {
            call.answered[at].value = Value::Int(3);
            return true;
        }
        17 => {
            let place = random.random_range(0..=list.len());
            list.insert(place, Value::Int(778));
        }
        _ => return false,
    }
    let list = Value::list(list);
    let is_changed = call.answered[at].value != list;
    call.answered[at].value = list;
    is_changed
}

/// Calls as events: each begins before its place in the order and ends after it, on processes of their own.
fn events(random: &mut impl Rng, mut calls: Vec<Call>) -> History {
    let mut ops = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for (place, call) in calls.iter_mut().enumerate() {
        call.process = place as u32;
    }
    // What did not end well may say what it read, which tells nothing.
    let op = |call: &Call, kind: Kind| {
        let mops = if kind == Kind::Invoke { &call.asked } else { &call.answered };
        Op::new(Process::Client(call.process), kind, F::Txn, Value::Txn(Box::new(mops.clone())))
    };
    for (place, call) in calls.iter().enumerate() {
        while !open.is_empty() && random.random_bool(0.5) {
            let ended = open.remove(random.random_range(0..open.len()));
            ops.extend(calls[ended].outcome.map(|kind| op(&calls[ended], kind)));
        }
        ops.push(op(call, Kind::Invoke));
        open.push(place);
    }
    for ended in open {
        ops.extend(calls[ended].outcome.map(|kind| op(&calls[ended], kind)));
    }
    History::from_ops(ops).expect("a history by construction")
}
