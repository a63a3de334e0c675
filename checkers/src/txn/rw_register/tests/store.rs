//! A simulated store of registers that breaks its promises now and then.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_history::{F, History, Key, Kind, Mop, Op, Process, Value};

/// What histories look like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// So many keys.
    pub keys: i64,
    /// So many transactions at most.
    pub txns_max: u32,
    /// Whether each value is written once.
    pub unique: bool,
    /// So many of a hundred reads see something else than the last value.
    pub wrong_percent: u32,
}

struct Open {
    mops: Vec<Mop>,
}

/// A history: transactions take effect at once, when they end, but for what goes wrong.
pub fn history(random: &mut ChaCha8Rng, shape: Shape) -> History {
    let mut ops: Vec<Op> = Vec::new();
    let mut open: Vec<Option<Open>> = (0..3).map(|_| None).collect();
    let mut numbers: Vec<u32> = (0..3).collect();
    let mut written: Vec<Vec<Value>> = vec![vec![Value::Nil]; shape.keys as usize];
    let (mut begun, mut next_value, mut next_process) = (0, 1, 3);
    let txns = random.random_range(shape.txns_max / 2..=shape.txns_max);
    for _ in 0..8 * txns {
        let at = random.random_range(0..open.len());
        let process = Process::Client(numbers[at]);
        let Some(this) = open[at].take() else {
            if begun < txns {
                begun += 1;
                let mops = mops(random, shape, &mut next_value);
                ops.push(Op::new(process, Kind::Invoke, F::Txn, Value::Txn(Box::new(mops.clone()))));
                open[at] = Some(Open { mops });
            }
            continue;
        };
        let kind = match random.random_range(0..100) {
            0..78 => Kind::Ok,
            78..86 => Kind::Fail,
            _ => Kind::Info,
        };
        let is_done = random.random_range(0..100) < if kind == Kind::Ok { 99 } else { 40 };
        let mops = take_effect(random, shape, this.mops, is_done, kind == Kind::Ok, &mut written);
        ops.push(Op::new(process, kind, F::Txn, Value::Txn(Box::new(mops))));
        if kind == Kind::Info {
            numbers[at] = next_process;
            next_process += 1;
        }
    }
    History::from_ops(ops).expect("a history")
}

fn mops(random: &mut ChaCha8Rng, shape: Shape, next_value: &mut i64) -> Vec<Mop> {
    let count = if random.random_range(0..10) == 0 { 0 } else { random.random_range(1..=4) };
    let mop = |_| {
        let key = Key::Int(random.random_range(0..shape.keys));
        if random.random_range(0..2) == 0 {
            return Mop::new("r", key, Value::Nil);
        }
        *next_value += 1;
        let number = if shape.unique { *next_value } else { random.random_range(1..4) };
        let value = match random.random_range(0..30) {
            0 if !shape.unique => Value::Nil,
            1 => Value::list(vec![Value::Int(number), Value::Int(7)]),
            2 => Value::list(vec![Value::Int(number); 3]),
            _ => Value::Int(number),
        };
        Mop::new("w", key, value)
    };
    (0..count).map(mop).collect()
}

fn take_effect(
    random: &mut ChaCha8Rng,
    shape: Shape,
    mut mops: Vec<Mop>,
    is_done: bool,
    is_answered: bool,
    written: &mut [Vec<Value>],
) -> Vec<Mop> {
    let before: Vec<Value> = written.iter().map(|values| values.last().cloned().unwrap_or_default()).collect();
    let mut own: Vec<Option<Value>> = vec![None; before.len()];
    for mop in &mut mops {
        let Key::Int(key) = mop.key else { continue };
        let key = key as usize;
        if &*mop.f == "w" {
            own[key] = Some(mop.value.clone());
            if is_done {
                written[key].push(mop.value.clone());
            }
        } else if is_answered {
            mop.value = own[key].clone().unwrap_or_else(|| before[key].clone());
            if random.random_range(0..100) < shape.wrong_percent {
                let any = random.random_range(0..written[key].len());
                mop.value = written[key][any].clone();
            }
            if random.random_range(0..400) == 0 {
                mop.value = Value::Int(99);
            }
        }
    }
    mops
}
