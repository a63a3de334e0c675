//! Inference from lists: a serial store, twenty processes, one to four micro-operations a transaction, half of them
//! reads, ten keys alive, 5 % fail, 2 % in doubt (half of these took effect). One history has a read that is too
//! short.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_checkers::Budget;
use schism_checkers::txn::list_append::infer;
use schism_checkers::txn::meter::Meter;
use schism_checkers::txn::txns::Txns;
use schism_history::{F, History, HistoryBuilder, Key, Kind, Mop, Op, Process, Value};

use crate::{Line, Row, measure};

const PROCESSES: usize = 20;
const KEYS_ALIVE: usize = 10;
/// So many keys that are no longer in use are kept, as transactions that are still at work may have asked for them.
const LEFT: usize = 200;

/// The rows.
pub const ROWS: &[Row] = &[
    Row {
        name: "lists",
        what: "list-append, inference, 32 appends a key",
        run: |seed| run(seed, 1_000_000, 32, false),
    },
    Row { name: "lists-256", what: "the same, 256 appends a key", run: |seed| run(seed, 1_000_000, 256, false) },
    Row {
        name: "lists-broken",
        what: "32 appends a key, one read too short",
        run: |seed| run(seed, 1_000_000, 32, true),
    },
    Row { name: "lists-20m", what: "32 appends a key", run: |seed| run(seed, 20_000_000, 32, false) },
];

fn run(seed: u64, count: usize, appends_per_key: usize, is_broken: bool) -> Line {
    let history = history(seed, count, appends_per_key, is_broken);
    let (sha256_seconds, _) = measure::sha256_pass(&history);
    let (answer, seconds, bytes) = measure::measured(|| {
        let txns = Txns::of(&history);
        let lists = infer(&txns, &mut Meter::new(&Budget::default()));
        let counts: Vec<String> =
            lists.counts.iter().map(|(kind, count)| format!("{} {count}", kind.as_str())).collect();
        format!("{} edges, {} gaps, [{}]", lists.edges.len(), lists.gaps.len(), counts.join(", "))
    });
    Line { count, seconds, bytes, sha256_seconds: Some(sha256_seconds), answer }
}

/// A key in use.
struct Alive {
    key: i64,
    elements: Vec<Value>,
    /// By element: how many transactions had ended when its own did; never for one in doubt.
    ended_at: Vec<usize>,
    appended: i64,
}

pub fn history(seed: u64, count: usize, appends_per_key: usize, is_broken: bool) -> History {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut builder = HistoryBuilder::default();
    let mut push = |process: u32, kind: Kind, mops: Vec<Mop>| {
        let op = Op::new(Process::Client(process), kind, F::Txn, Value::Txn(Box::new(mops)));
        builder.push(op).expect("each process has one transaction at a time");
    };
    let alive = |key: i64| Alive { key, elements: Vec::new(), ended_at: Vec::new(), appended: 0 };
    let mut keys: Vec<Alive> = (0..KEYS_ALIVE as i64).map(alive).collect();
    let mut left: Vec<Alive> = (0..LEFT).map(|_| alive(-1)).collect();
    let mut keys_count = KEYS_ALIVE as i64;
    let mut workers: Vec<(u32, usize, Option<Vec<Mop>>)> =
        (0..PROCESSES as u32).map(|process| (process, 0, None)).collect();
    let mut processes_count = PROCESSES as u32;
    let mut broken_at = if is_broken { count / 2 } else { usize::MAX };
    let mut made = 0;
    while made < count {
        let worker = random.random_range(0..PROCESSES);
        let (process, begun_at, asked) = (workers[worker].0, workers[worker].1, workers[worker].2.take());
        let Some(mut mops) = asked else {
            let mops: Vec<Mop> = (0..random.random_range(1..=4)).map(|_| ask(&mut random, &mut keys)).collect();
            for key in keys.iter_mut().take(KEYS_ALIVE) {
                if key.appended as usize >= appends_per_key {
                    let full = std::mem::replace(key, alive(keys_count));
                    left[keys_count as usize % LEFT] = full;
                    keys_count += 1;
                }
            }
            push(process, Kind::Invoke, mops.clone());
            (workers[worker].1, workers[worker].2) = (made, Some(mops));
            continue;
        };
        made += 1;
        let dice = random.random_range(0..100);
        if dice >= 6 {
            act(&mut mops, &mut keys, &mut left, if dice == 6 { usize::MAX } else { made });
        }
        match dice {
            0..5 => push(process, Kind::Fail, mops),
            5 | 6 => {
                push(process, Kind::Info, mops);
                workers[worker].0 = processes_count;
                processes_count += 1;
            }
            _ => {
                if made > broken_at && shorten(&mut mops, &keys, begun_at) {
                    broken_at = usize::MAX;
                }
                push(process, Kind::Ok, mops);
            }
        }
    }
    builder.finish()
}

fn ask(random: &mut ChaCha8Rng, keys: &mut [Alive]) -> Mop {
    // Each key half as often as the one before it.
    let place = (random.random::<u32>().trailing_zeros() as usize).min(KEYS_ALIVE - 1);
    let alive = &mut keys[place];
    if random.random_bool(0.5) {
        return Mop::new("r", Key::Int(alive.key), Value::Nil);
    }
    alive.appended += 1;
    Mop::new("append", Key::Int(alive.key), Value::Int(alive.appended))
}

/// Does a transaction, which may have asked for keys that are no longer in use.
fn act(mops: &mut [Mop], keys: &mut [Alive], left: &mut [Alive], ended_at: usize) {
    for mop in mops {
        let is_it = |alive: &&mut Alive| mop.key == Key::Int(alive.key);
        let Some(alive) = keys.iter_mut().chain(left.iter_mut()).find(is_it) else { continue };
        if &*mop.f == "append" {
            alive.elements.push(mop.value.clone());
            alive.ended_at.push(ended_at);
        } else {
            mop.value = Value::list(alive.elements.clone());
        }
    }
}

/// Makes a read too short for certain: of a key in use that the transaction names but once, the newest element is missed
/// whose transaction had ended before this one began.
fn shorten(mops: &mut [Mop], keys: &[Alive], begun_at: usize) -> bool {
    let is_alone = |mop: &Mop| mops.iter().filter(|other| other.key == mop.key).count() == 1;
    let kept = mops.iter().enumerate().filter(|(_, mop)| &*mop.f == "r" && is_alone(mop)).find_map(|(at, mop)| {
        let alive = keys.iter().find(|alive| mop.key == Key::Int(alive.key))?;
        let newest = alive.ended_at.iter().rposition(|&ended_at| ended_at <= begun_at)?;
        (newest > 3).then_some((at, newest))
    });
    let Some((at, length)) = kept else { return false };
    if let Value::List(items) = &mut mops[at].value {
        items.truncate(length);
    }
    true
}
