//! Random events and histories for tests. Seeded: the same on every machine.
#![allow(dead_code, reason = "each test file uses a part")]

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_history::{F, History, HistoryBuilder, Key, Kind, Mop, Node, Op, Process, Seed, Value};

pub fn rng(name: &str) -> ChaCha8Rng {
    Seed(7).stream(name)
}

/// What the values of a history may be.
#[derive(Clone, Copy, PartialEq)]
pub enum Sayable {
    /// What both JSON and EDN can say.
    ByBoth,
    /// What EDN can say.
    ByEdn,
}

pub fn pick<T: Clone>(rng: &mut ChaCha8Rng, items: &[T]) -> T {
    items[rng.random_range(0..items.len())].clone()
}

pub fn text(rng: &mut ChaCha8Rng) -> String {
    let characters = [
        'a', 'Z', '7', ' ', '"', '\\', '\n', '\r', '\t', '\u{1}', '\u{7f}', 'é', '日', '😀', ':', '/', '\u{85}', '{',
        ';', '#',
    ];
    (0..rng.random_range(0..6)).map(|_| pick(rng, &characters)).collect()
}

pub fn value(rng: &mut ChaCha8Rng, depth: usize, sayable: Sayable) -> Value {
    let kinds = if depth == 0 { 7 } else { 10 };
    match rng.random_range(0..kinds) {
        0 => Value::Nil,
        1 => Value::Bool(rng.random()),
        2 => Value::Int(pick(rng, &[0, 1, -1, 42, i64::MIN, i64::MAX, 999_999_999_999_999_999, 1 << 53])),
        3 => Value::Int(rng.random()),
        4 => Value::Float(pick(rng, &[0.0, 0.1, -1.5, 1e300, 5e-324, 1e21, 123_456_789.125, f64::MAX])),
        5 => Value::Big(
            pick(rng, &["9223372036854775808", "-9223372036854775809", "123456789012345678901234567890"]).into(),
        ),
        6 if sayable == Sayable::ByEdn && rng.random() => {
            Value::Keyword(pick(rng, &["timeout", "a/b", "x?", "*"]).into())
        }
        6 => Value::str(&text(rng)),
        7 if sayable == Sayable::ByEdn && rng.random() => Value::Set(Box::new(values(rng, depth - 1, sayable))),
        7 | 8 => Value::list(values(rng, depth - 1, sayable)),
        _ => {
            let count = rng.random_range(0..3);
            let mut entries: Vec<(Value, Value)> = Vec::new();
            for place in 0..count {
                let name = Value::str(&format!("{}{place}", text(rng)));
                entries.push((name, value(rng, depth - 1, sayable)));
            }
            Value::Map(Box::new(entries))
        }
    }
}

fn values(rng: &mut ChaCha8Rng, depth: usize, sayable: Sayable) -> Vec<Value> {
    (0..rng.random_range(0..4)).map(|_| value(rng, depth, sayable)).collect()
}

pub fn key(rng: &mut ChaCha8Rng) -> Key {
    match rng.random_range(0..4) {
        0 => Key::Str(pick(rng, &["x", ":k", ":a/b", ": not", "", "7", "nil"]).into()),
        _ => Key::Int(pick(rng, &[0, 1, 2, -3, i64::MAX])),
    }
}

fn txn(rng: &mut ChaCha8Rng, sayable: Sayable) -> Value {
    let mops = (0..rng.random_range(0..4)).map(|_| {
        let f = pick(rng, &["append", "r", "w", "read-all", "odd name"]);
        Mop::new(f, key(rng), value(rng, 1, sayable))
    });
    Value::Txn(Box::new(mops.collect()))
}

/// A random event that may or may not fit.
pub fn op(rng: &mut ChaCha8Rng, keyed: bool, sayable: Sayable) -> Op {
    let process = match rng.random_range(0..8) {
        0 => Process::nemesis(pick(rng, &["", "kill", "partition", "odd class", "a/b"])),
        _ => Process::Client(pick(rng, &[0, 1, 2, 3, 1000, u32::MAX]) ^ rng.random_range(0..4)),
    };
    let client = process.client().is_some();
    let f = pick(rng, &["read", "write", "cas", "txn", "enqueue", "odd name", "ns/f", "inject"]);
    let kind = pick(rng, &[Kind::Invoke, Kind::Invoke, Kind::Ok, Kind::Ok, Kind::Fail, Kind::Info]);
    let shape = value(rng, 3, sayable);
    let mut op = Op::new(process, kind, F::parse(f), shape);
    if op.f == F::Txn {
        op.value = txn(rng, sayable);
    }
    op.time_ns = pick(rng, &[0, 1, 1_000_000_007, u64::MAX]) ^ rng.random_range(0..9);
    op.key = (keyed && client).then(|| key(rng));
    op.node = rng.random_bool(0.5).then(|| Node::new(pick(rng, &["n1", "n2", "", "a \"b\""])));
    op.matched = rng.random_bool(0.2).then(|| rng.random());
    op.fault_id = rng.random_bool(0.1).then(|| rng.random());
    op.session = rng.random_bool(0.1).then(|| rng.random());
    op.error = rng.random_bool(0.1).then(|| Box::new(value(rng, 2, sayable)));
    if rng.random_bool(0.1) {
        let names = [
            "op-index",
            "key",
            "type",
            "session",
            "fault_id",
            "fault-id",
            "extra.node",
            "extra.x",
            "odd name",
            "debug",
        ];
        let first = rng.random_range(0..names.len());
        let extra = (first..names.len()).take(3).map(|place| (names[place].into(), value(rng, 2, sayable)));
        op.extra = Some(Box::new(extra.collect()));
    }
    op
}

/// A history of about as many events: those of many random ones that fit.
pub fn history(rng: &mut ChaCha8Rng, events: usize, keyed: bool, sayable: Sayable) -> History {
    let mut builder = HistoryBuilder::default();
    let mut open: Vec<Op> = Vec::new();
    for _ in 0..events {
        let mut event = op(rng, keyed, sayable);
        // Half of the time an operation that is open is answered.
        if !open.is_empty() && rng.random() {
            let asked = open.swap_remove(rng.random_range(0..open.len()));
            (event.process, event.f, event.key) = (asked.process, asked.f, asked.key);
            event.kind = if event.kind == Kind::Invoke { Kind::Ok } else { event.kind };
            event.value = if event.f == F::Txn { txn(rng, sayable) } else { value(rng, 3, sayable) };
        }
        if builder.push(event.clone()).is_ok() && event.kind == Kind::Invoke {
            open.push(event);
        }
    }
    builder.finish()
}

/// Changes some bytes of a text: replaces, leaves out, doubles, cuts.
pub fn mutate(rng: &mut ChaCha8Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.random_range(1..4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..5) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] = pick(rng, b"{}[]()\":,#;\\ 0-9.eEnN\n"),
            2 => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            _ => {
                let part: Vec<u8> = bytes[at..(at + 8).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
}
