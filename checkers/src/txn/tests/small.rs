//! Small random histories of transactions: of a simulated store, then often broken by an edit or two.

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use schism_history::{History, Key, Kind, Mop, Op, Process, Value};

use super::generate::{Data, Wanted, history};
use super::stores::STORES;

/// Makes a history of at most so many transactions.
pub fn small(random: &mut ChaCha8Rng, data: Data, transactions_max: usize) -> History {
    let (store, fresh) = STORES[random.random_range(0..STORES.len())];
    let doubt = random.random_range(0..3);
    let made = history(Wanted {
        store,
        fresh,
        data,
        seed: Rng::next_u64(random),
        transactions: random.random_range(2..=transactions_max).max(random.random_range(2..=transactions_max)),
        processes: random.random_range(2..=4),
        keys_alive: random.random_range(1..=3),
        writes_per_key: 100,
        micros: (1, random.random_range(2..=3)),
        reads_percent: [35, 50, 65][random.random_range(0..3)],
        fail_percent: [0, 0, 8][doubt],
        info_percent: [0, 10, 12][doubt],
        values: if data == Data::Registers && random.random_bool(0.15) { 2 } else { 0 },
        planted: None,
    });
    let mut ops: Vec<Op> = made.ops().collect();
    for _ in 0..[0, 1, 1, 1, 2, 3][random.random_range(0..6)] {
        let before = ops.clone();
        edit(random, &mut ops, data);
        if History::from_ops(ops.iter().cloned()).is_err() {
            ops = before;
        }
    }
    History::from_ops(ops).expect("every edit was tried")
}

/// Changes what somebody read, or who or when somebody was.
fn edit(random: &mut ChaCha8Rng, ops: &mut Vec<Op>, data: Data) {
    match random.random_range(0..10) {
        0 => {
            // All later events of a process are those of another.
            let (from, to) = (random.random_range(0..4), random.random_range(0..4));
            let start = random.random_range(0..ops.len());
            for op in &mut ops[start..] {
                if op.process == Process::Client(from) {
                    op.process = Process::Client(to);
                }
            }
        }
        1 | 2 => swap_writers(random, ops),
        3 => {
            let from = random.random_range(0..ops.len());
            let op = ops.remove(from);
            ops.insert(random.random_range(0..=ops.len()), op);
        }
        _ => edit_read(random, ops, data),
    }
    for (time, op) in ops.iter_mut().enumerate() {
        op.time_ns = time as u64;
    }
}

/// Two writers of a key write each other's value: the versions come in another order than the transactions.
fn swap_writers(random: &mut ChaCha8Rng, ops: &mut [Op]) {
    let written = ops.iter().filter(|op| op.kind == Kind::Invoke).flat_map(mops).filter(|mop| &*mop.f != "r");
    let written: Vec<(Key, Value)> = written.map(|mop| (mop.key.clone(), mop.value.clone())).collect();
    if written.is_empty() {
        return;
    }
    let (key, one) = written[random.random_range(0..written.len())].clone();
    let others: Vec<Value> = written.into_iter().filter(|(other, _)| *other == key).map(|(_, value)| value).collect();
    let two = others[random.random_range(0..others.len())].clone();
    for op in ops {
        let Value::Txn(mops) = &mut op.value else { continue };
        for mop in mops.iter_mut().filter(|mop| &*mop.f != "r" && mop.key == key) {
            if mop.value == one {
                mop.value = two.clone();
            } else if mop.value == two {
                mop.value = one.clone();
            }
        }
    }
}

fn mops(op: &Op) -> &[Mop] {
    match &op.value {
        Value::Txn(mops) => mops,
        _ => &[],
    }
}

fn items(value: &Value) -> Vec<Value> {
    match value {
        Value::Nil => Vec::new(),
        Value::Pair(two) => two.map(Value::Int).to_vec(),
        Value::List(items) => items.to_vec(),
        other => vec![other.clone()],
    }
}

fn edit_read(random: &mut ChaCha8Rng, ops: &mut [Op], data: Data) {
    let reads: Vec<(usize, usize)> = (0..ops.len())
        .filter(|&at| ops[at].kind == Kind::Ok)
        .flat_map(|at| (0..mops(&ops[at]).len()).map(move |place| (at, place)))
        .filter(|&(at, place)| &*mops(&ops[at])[place].f == "r")
        .collect();
    if reads.is_empty() {
        return;
    }
    let (at, place) = reads[random.random_range(0..reads.len())];
    let key = mops(&ops[at])[place].key.clone();
    let value = match data {
        Data::Registers => register(random, ops, &key),
        Data::Lists => list(random, ops, &key, &mops(&ops[at])[place].value),
    };
    if let Value::Txn(mops) = &mut ops[at].value {
        mops[place].value = value;
    }
}

fn register(random: &mut ChaCha8Rng, ops: &[Op], key: &Key) -> Value {
    let written = ops.iter().filter(|op| op.kind == Kind::Invoke).flat_map(mops);
    let mut values: Vec<Value> =
        written.filter(|mop| &*mop.f == "w" && mop.key == *key).map(|mop| mop.value.clone()).collect();
    values.push(Value::Nil);
    if random.random_bool(0.02) {
        values = vec![Value::Int(99)];
    }
    values[random.random_range(0..values.len())].clone()
}

/// Mostly the first part of the longest list that was read.
fn list(random: &mut ChaCha8Rng, ops: &[Op], key: &Key, now: &Value) -> Value {
    let read = ops.iter().filter(|op| op.kind == Kind::Ok).flat_map(mops);
    let lists = read.filter(|mop| &*mop.f == "r" && mop.key == *key).map(|mop| items(&mop.value));
    let mut longest = lists.max_by_key(Vec::len).unwrap_or_default();
    match random.random_range(0..12) {
        0 if longest.len() > 1 => {
            let place = random.random_range(1..longest.len());
            longest.swap(place - 1, place);
        }
        1 => {
            // Something that is appended, whether anybody saw it or not.
            let all = ops.iter().filter(|op| op.kind == Kind::Invoke).flat_map(mops);
            let appended: Vec<Value> =
                all.filter(|mop| &*mop.f == "append" && mop.key == *key).map(|mop| mop.value.clone()).collect();
            longest = items(now);
            let fresh: Vec<&Value> = appended.iter().filter(|value| !longest.contains(value)).collect();
            if !fresh.is_empty() {
                longest.push(fresh[random.random_range(0..fresh.len())].clone());
            }
        }
        _ => longest.truncate(random.random_range(0..=longest.len())),
    }
    if longest.is_empty() { Value::Nil } else { Value::list(longest) }
}
