//! Small histories of lists whose orders differ from key to key: writes over writes in a circle, which edits of what was read seldom
//! make.

use rand::{Rng, RngExt};
use schism_history::{F, History, Key, Kind, Mop, Op, Process, Value};

const KEYS: usize = 2;

/// Two to four writers of two lists, and one or two readers.
pub fn lists(random: &mut impl Rng) -> History {
    let writers = random.random_range(2..=4usize);
    let mut orders = vec![Vec::new(); KEYS];
    let mut asked: Vec<Vec<Mop>> = Vec::new();
    for writer in 0..writers {
        let only = random.random_bool(0.3).then(|| random.random_range(0..KEYS));
        let mut mops = Vec::new();
        for (key, order) in orders.iter_mut().enumerate().filter(|(key, _)| only.is_none_or(|only| only == *key)) {
            if random.random_range(0..4) == 0 {
                mops.push(Mop::new("r", Key::Int(key as i64), Value::Nil));
            }
            let value = Value::Int((writer * KEYS + key) as i64);
            mops.push(Mop::new("append", Key::Int(key as i64), value.clone()));
            order.push(value);
        }
        asked.push(mops);
    }
    for _ in 0..random.random_range(1..=2) {
        asked.push((0..KEYS as i64).map(|key| Mop::new("r", Key::Int(key), Value::Nil)).collect());
    }
    for order in &mut orders {
        for _ in 0..random.random_range(0..3) {
            if order.len() > 1 {
                let place = random.random_range(1..order.len());
                order.swap(place - 1, place);
            }
        }
    }
    let answered = asked.iter().map(|mops| answer(random, mops, &orders)).collect::<Vec<_>>();
    events(random, &asked, &answered)
}

/// What a transaction reads: all that is before its own append, which nearly always ends all.
fn answer(random: &mut impl Rng, mops: &[Mop], orders: &[Vec<Value>]) -> Vec<Mop> {
    let own = |key: &Key| mops.iter().find(|mop| &*mop.f == "append" && mop.key == *key).map(|mop| mop.value.clone());
    let mut answered = mops.to_vec();
    for mop in answered.iter_mut().filter(|mop| &*mop.f == "r") {
        let order = orders.iter().enumerate().find(|(key, _)| mop.key == Key::Int(*key as i64)).map(|(_, order)| order);
        let order = order.map_or(&[] as &[Value], Vec::as_slice);
        let end = own(&mop.key).and_then(|own| order.iter().position(|value| *value == own)).unwrap_or(order.len());
        let end = if random.random_range(0..4) == 0 { random.random_range(0..=end) } else { end };
        mop.value = Value::list(order[..end].to_vec());
    }
    answered
}

/// One after the other for the most part, on three processes.
fn events(random: &mut impl Rng, asked: &[Vec<Mop>], answered: &[Vec<Mop>]) -> History {
    let mut ops: Vec<Op> = Vec::new();
    let mut open: Vec<(u32, usize)> = Vec::new();
    let op = |process: u32, kind: Kind, mops: &[Mop]| {
        Op::new(Process::Client(process), kind, F::Txn, Value::Txn(Box::new(mops.to_vec())))
    };
    for (txn, mops) in asked.iter().enumerate() {
        while open.len() == 3 || !open.is_empty() && random.random_range(0..3) > 0 {
            let (process, ended) = open.remove(random.random_range(0..open.len()));
            ops.push(op(process, Kind::Ok, &answered[ended]));
        }
        let free: Vec<u32> = (0..3).filter(|process| open.iter().all(|(other, _)| other != process)).collect();
        let process = free[random.random_range(0..free.len())];
        ops.push(op(process, Kind::Invoke, mops));
        open.push((process, txn));
    }
    for (process, ended) in open {
        ops.push(op(process, Kind::Ok, &answered[ended]));
    }
    for (time, op) in ops.iter_mut().enumerate() {
        op.time_ns = time as u64;
    }
    History::from_ops(ops).expect("a history by construction")
}
