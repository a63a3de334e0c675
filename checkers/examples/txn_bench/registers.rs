//! Inference from registers: a serial store whose transactions overlap in real time.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_checkers::Budget;
use schism_checkers::txn::meter::Meter;
use schism_checkers::txn::rw_register::{VersionSources, infer};
use schism_checkers::txn::txns::Txns;
use schism_history::{F, History, HistoryBuilder, Key, Kind, Mop, Op, Process, Value};

use crate::{Line, Row, measure};

/// What a history is like. Half of the micro-operations read; each value of a key is written once.
#[derive(Clone, Copy)]
struct Wanted {
    count: u32,
    processes: usize,
    /// Micro-operations of a transaction, at least and at most.
    micros: (u32, u32),
    /// Keys that are used at a time.
    keys: usize,
    /// Writes after which a key is replaced by a new one; none if zero.
    writes_a_key: i64,
    /// Transactions of a hundred that fail, and that end in doubt.
    fails: u32,
    doubts: u32,
}

const WIDE: Wanted = Wanted {
    count: 1_000_000,
    processes: 100,
    micros: (20, 20),
    keys: 1_000_000,
    writes_a_key: 0,
    fails: 0,
    doubts: 0,
};
const HOT: Wanted = Wanted { processes: 20, micros: (1, 4), keys: 10, writes_a_key: 32, fails: 5, doubts: 2, ..WIDE };

const NONE: VersionSources =
    VersionSources { writes_follow_reads: false, sequential_keys: false, linearizable_keys: false, explicit: None };
const ALL: VersionSources =
    VersionSources { writes_follow_reads: true, sequential_keys: true, linearizable_keys: true, explicit: None };

/// The rows.
pub const ROWS: &[Row] = &[
    Row { name: "registers", what: "20 ops, 100 processes, 1M keys", run: |seed| run(WIDE, seed, &NONE) },
    Row { name: "registers-orders", what: "the same, all sources of orders", run: |seed| run(WIDE, seed, &ALL) },
    Row { name: "registers-hot", what: "1-4 ops, 10 live keys, 32 writes a key", run: |seed| run(HOT, seed, &NONE) },
    Row { name: "registers-hot-orders", what: "the same, all sources of orders", run: |seed| run(HOT, seed, &ALL) },
    Row {
        name: "registers-10k-orders",
        what: "10k transactions, all sources of orders",
        run: |seed| run(Wanted { count: 10_000, ..HOT }, seed, &ALL),
    },
];

fn run(wanted: Wanted, seed: u64, sources: &VersionSources) -> Line {
    let history = history(wanted, seed);
    let (sha256_seconds, _) = measure::sha256_pass(&history);
    let (answer, seconds, bytes) = measure::measured(|| {
        let txns = Txns::of(&history);
        let found = infer(&txns, sources, &mut Meter::new(&Budget::default()));
        let counts: Vec<String> =
            found.counts.iter().map(|(kind, count)| format!("{} {count}", kind.as_str())).collect();
        format!("{} edges, {} gaps, [{}]", found.edges.len(), found.gaps.len(), counts.join(", "))
    });
    Line { count: wanted.count as usize, seconds, bytes, sha256_seconds: Some(sha256_seconds), answer }
}

/// What a worker asked for: places of keys, and micro-operations.
type Asked = Vec<(usize, Mop)>;

/// A key in use.
#[derive(Clone)]
struct Alive {
    key: i64,
    written: i64,
    value: Value,
}

/// So many keys that are no longer in use are kept, as transactions that are still at work may have asked for them.
const LEFT: usize = 200;

fn history(wanted: Wanted, seed: u64) -> History {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut builder = HistoryBuilder::default();
    let mut push = |process: u32, kind: Kind, mops: Vec<Mop>| {
        let op = Op::new(Process::Client(process), kind, F::Txn, Value::Txn(Box::new(mops)));
        builder.push(op).expect("each process has one transaction at a time");
    };
    let alive = |key: i64| Alive { key, written: 0, value: Value::Nil };
    let mut keys: Vec<Alive> = (0..wanted.keys as i64).map(alive).collect();
    let mut left: Vec<Alive> = vec![alive(-1); LEFT];
    let mut keys_count = wanted.keys as i64;
    let mut workers: Vec<(u32, Option<Asked>)> = (0..wanted.processes as u32).map(|process| (process, None)).collect();
    let mut processes_count = wanted.processes as u32;
    let mut made = 0;
    while made < wanted.count {
        let worker = random.random_range(0..wanted.processes);
        let (process, asked) = (workers[worker].0, workers[worker].1.take());
        let Some(mut asked) = asked else {
            let count = random.random_range(wanted.micros.0..=wanted.micros.1);
            let asked: Vec<(usize, Mop)> = (0..count).map(|_| ask(&mut random, &mut keys)).collect();
            for (place, _) in &asked {
                if wanted.writes_a_key > 0 && keys[*place].written >= wanted.writes_a_key {
                    left[keys_count as usize % LEFT] = std::mem::replace(&mut keys[*place], alive(keys_count));
                    keys_count += 1;
                }
            }
            push(process, Kind::Invoke, asked.iter().map(|(_, mop)| mop.clone()).collect());
            workers[worker].1 = Some(asked);
            continue;
        };
        made += 1;
        let dice = random.random_range(0..100);
        let kind = match dice {
            _ if dice < wanted.fails => Kind::Fail,
            _ if dice < wanted.fails + wanted.doubts => Kind::Info,
            _ => Kind::Ok,
        };
        if kind == Kind::Ok || (kind == Kind::Info && random.random_bool(0.5)) {
            act(&mut asked, &mut keys, &mut left);
        }
        push(process, kind, asked.into_iter().map(|(_, mop)| mop).collect());
        if kind == Kind::Info {
            workers[worker].0 = processes_count;
            processes_count += 1;
        }
    }
    builder.finish()
}

fn ask(random: &mut ChaCha8Rng, keys: &mut [Alive]) -> (usize, Mop) {
    let place = random.random_range(0..keys.len());
    let alive = &mut keys[place];
    if random.random_bool(0.5) {
        return (place, Mop::new("r", Key::Int(alive.key), Value::Nil));
    }
    alive.written += 1;
    (place, Mop::new("w", Key::Int(alive.key), Value::Int(alive.written)))
}

/// Does a transaction, which may have asked for keys that are no longer in use.
fn act(asked: &mut [(usize, Mop)], keys: &mut [Alive], left: &mut [Alive]) {
    for (place, mop) in asked {
        let is_it = |alive: &&mut Alive| mop.key == Key::Int(alive.key);
        let here = Some(&mut keys[*place]).filter(is_it);
        let Some(alive) = here.or_else(|| left.iter_mut().find(is_it)) else { continue };
        if &*mop.f == "w" {
            alive.value = mop.value.clone();
        } else {
            mop.value = alive.value.clone();
        }
    }
}
