//! Blind writes of registers, decided: valid by construction, and with something planted.
//!
//! Sessions run transactions of uniform keys, half reads; one takes effect at a moment between its beginning and its end
//! that the history does not show. Under snapshot isolation it reads at one moment and writes at a later one, and is aborted if
//! somebody else wrote the key meanwhile.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_checkers::txn::accesses::{Accesses, INITIAL, Read, Write};
use schism_checkers::txn::meter::Meter;
use schism_checkers::txn::solver::{Decision, Keeps, Property, decide};
use schism_checkers::txn::txns::{TxnId, Txns};
use schism_checkers::{Budget, Witness};
use schism_history::{F, History, HistoryBuilder, Kind, Op, Process, Value};

use crate::{Line, Row, measure};

/// What is asked of which history.
#[derive(Clone, Copy)]
struct Wanted {
    txns: u32,
    operations: u32,
    keys: u32,
    sessions: u32,
    reads_percent: u32,
    property: Property,
    keeps: Keeps,
}

const BASE: Wanted = Wanted {
    txns: 16_000,
    operations: 8,
    keys: 10_000,
    sessions: 20,
    reads_percent: 50,
    property: Property::Serializable,
    keeps: Keeps::Nothing,
};
const HOT: Wanted = Wanted { txns: 10_000, keys: 10, ..BASE };
const LARGE: Wanted = Wanted { txns: 100_000, operations: 20, keys: 50_000, ..BASE };
const SI: Wanted = Wanted { property: Property::SnapshotIsolation, ..BASE };
const FEW: Wanted = Wanted { reads_percent: 20, keys: 5_000, txns: 20_000, ..BASE };
const PSI: Wanted = Wanted { property: Property::ParallelSnapshotIsolation, ..BASE };

macro_rules! row {
    ($name:literal, $what:literal, $wanted:expr, $plant:literal) => {
        Row { name: $name, what: $what, run: |seed| measured(&$wanted, $plant, seed) }
    };
}

/// Each name with a dot is the row before it with something planted.
pub const ROWS: &[Row] = &[
    row!("ser", "serializable, 16k transactions, 10k keys", BASE, "valid"),
    row!("ser.stale", "and a stale read", BASE, "stale"),
    row!("ser.lost", "and a lost update", BASE, "lost"),
    row!("ser.skew", "and a write skew", BASE, "skew"),
    row!("ser.hops", "and a cycle of four", BASE, "hops"),
    row!("hot", "serializable, 10k transactions, 10 hot keys", HOT, "valid"),
    row!("hot.stale", "and a stale read", HOT, "stale"),
    row!("hot.lost", "and a lost update", HOT, "lost"),
    row!("hot.skew", "and a write skew", HOT, "skew"),
    row!("hot.hops", "and a cycle of four", HOT, "hops"),
    row!("large", "serializable, 100k transactions, 50k keys", LARGE, "valid"),
    row!("large.stale", "and a stale read", LARGE, "stale"),
    row!("large.skew", "and a write skew", LARGE, "skew"),
    row!("large.hops", "and a cycle of four", LARGE, "hops"),
    row!("si", "snapshot isolation, 16k transactions, 10k keys", SI, "valid"),
    row!("si.stale", "and a stale read", SI, "stale"),
    row!("si.lost", "and a lost update", SI, "lost"),
    row!("strict", "strictly serializable, 16k", Wanted { keeps: Keeps::Realtime, ..BASE }, "valid"),
    row!("strict.stale", "and a stale read", Wanted { keeps: Keeps::Realtime, ..BASE }, "stale"),
    row!("session", "strong session serializable, 16k", Wanted { keeps: Keeps::Process, ..BASE }, "valid"),
    row!("few", "serializable, 20k, 20 % reads", FEW, "valid"),
    row!("few.hops", "and a cycle of four", FEW, "hops"),
    row!("wide", "serializable, 100k, 20k sessions", Wanted { sessions: 20_000, txns: 100_000, ..BASE }, "valid"),
    row!("prefix", "prefix, 16k", Wanted { property: Property::Prefix, ..BASE }, "valid"),
    row!("psi", "parallel snapshot isolation, 16k", PSI, "valid"),
    row!("psi.lost", "and a lost update", PSI, "lost"),
];

#[derive(Default, Clone)]
struct Made {
    reads: Vec<(u32, TxnId)>,
    writes: Vec<u32>,
}

fn measured(wanted: &Wanted, plant: &str, seed: u64) -> Line {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (history, mut made, commits) = make(wanted, &mut random);
    let planted = plant_one(&mut made, &commits, plant, wanted.keys);
    assert!(planted || plant == "valid", "nothing was planted");
    let txns = Txns::of(&history);
    let mut accesses = Accesses::new(wanted.keys);
    for txn in &made {
        let read = |(micro, &(key, writer)): (usize, &(u32, TxnId))| Read { key, writer, micro: micro as u32 };
        let reads: Vec<Read> = txn.reads.iter().enumerate().map(read).collect();
        let writes: Vec<Write> = txn.writes.iter().map(|&key| Write { key, micro: 0 }).collect();
        accesses.push(&reads, &writes, true);
    }
    let mut meter = Meter::new(&Budget::default());
    let judge = || decide(&txns, &accesses, &[], wanted.property, wanted.keeps, &mut meter);
    let (decision, seconds, bytes) = measure::measured(judge);
    let verdict = match &decision {
        Decision::Holds(_) => "holds".to_owned(),
        Decision::Broken(anomaly) => match &anomaly.witness {
            Witness::NoCommitOrder { transactions, smallest, derivation } => {
                format!("broken: {} transactions, smallest {smallest}, {} lines", transactions.len(), derivation.len())
            }
            _ => "broken".to_owned(),
        },
        Decision::Unknown(_) => "unknown".to_owned(),
    };
    let operations: usize = made.iter().map(|txn| txn.reads.len() + txn.writes.len()).sum();
    let answer = format!("{verdict}; {operations} operations, {} steps", meter.steps);
    Line { count: made.len(), seconds, bytes, sha256_seconds: None, answer }
}

/// The history, what each transaction did, and the order in which they took effect.
fn make(wanted: &Wanted, random: &mut impl Rng) -> (History, Vec<Made>, Vec<TxnId>) {
    let mut builder = HistoryBuilder::default();
    let mut push = |process: u32, kind: Kind| {
        let op = Op::new(Process::Client(process), kind, F::Txn, Value::Txn(Box::default()));
        builder.push(op).expect("a session has one transaction at a time");
    };
    let is_si = !matches!(wanted.property, Property::Serializable | Property::UpdateSerializable);
    // 0: to begin; 1: began; 2: has its snapshot; 3: took effect.
    let mut stage = vec![0u8; wanted.sessions as usize];
    let mut doing = vec![Made::default(); wanted.sessions as usize];
    let mut began_at = vec![0u32; wanted.sessions as usize];
    // By key: the versions, with the count of commits at each; names are given when transactions end.
    let mut versions: Vec<Vec<(u32, u32)>> = vec![Vec::new(); wanted.keys as usize];
    let mut attempts = vec![u32::MAX; wanted.sessions as usize];
    let mut name_of: Vec<TxnId> = Vec::new();
    let (mut made, mut commits): (Vec<Made>, Vec<u32>) = (Vec::new(), Vec::new());
    let mut left = wanted.txns;
    while left > 0 || stage.iter().any(|&stage| stage > 0) {
        let at = random.random_range(0..wanted.sessions) as usize;
        match stage[at] {
            0 if left > 0 => {
                left -= 1;
                push(at as u32, Kind::Invoke);
                attempts[at] = name_of.len() as u32;
                name_of.push(TxnId::MAX);
                doing[at] = draw(wanted, random);
            }
            0 => continue,
            1 => {
                began_at[at] = commits.len() as u32;
                for (key, writer) in &mut doing[at].reads {
                    *writer = versions[*key as usize].last().map_or(INITIAL, |&(attempt, _)| attempt);
                }
                if !is_si {
                    take_effect(&doing[at], attempts[at], &mut versions, &mut commits);
                    stage[at] = 2;
                }
            }
            2 if is_si => {
                let is_fresh =
                    |key: &u32| versions[*key as usize].last().is_none_or(|&(_, at_commit)| at_commit < began_at[at]);
                if doing[at].writes.iter().all(is_fresh) {
                    take_effect(&doing[at], attempts[at], &mut versions, &mut commits);
                } else {
                    doing[at] = Made::default();
                }
            }
            _ => {
                push(at as u32, Kind::Ok);
                name_of[attempts[at] as usize] = made.len() as TxnId;
                made.push(std::mem::take(&mut doing[at]));
            }
        }
        stage[at] = (stage[at] + 1) % 4;
    }
    for read in made.iter_mut().flat_map(|txn| &mut txn.reads).filter(|read| read.1 != INITIAL) {
        read.1 = name_of[read.1 as usize];
    }
    let commits = commits.into_iter().map(|attempt| name_of[attempt as usize]).collect();
    (builder.finish(), made, commits)
}

fn take_effect(made: &Made, attempt: u32, versions: &mut [Vec<(u32, u32)>], commits: &mut Vec<u32>) {
    made.writes.iter().for_each(|&key| versions[key as usize].push((attempt, commits.len() as u32)));
    commits.push(attempt);
}

/// The keys of a transaction: reads of what it writes come first, so that all of them are of others.
fn draw(wanted: &Wanted, random: &mut impl Rng) -> Made {
    let mut made = Made::default();
    for _ in 0..wanted.operations {
        let key = random.random_range(0..wanted.keys);
        if random.random_range(0..100) < wanted.reads_percent {
            made.reads.push((key, INITIAL));
        } else if !made.writes.contains(&key) {
            made.writes.push(key);
        }
    }
    made
}

/// Plants a violation in the middle. Whether one was planted.
fn plant_one(made: &mut [Made], commits: &[TxnId], plant: &str, keys: u32) -> bool {
    let mut order: Vec<Vec<TxnId>> = vec![Vec::new(); keys as usize];
    for &id in commits {
        made[id as usize].writes.iter().for_each(|&key| order[key as usize].push(id));
    }
    let before = |key: u32, id: TxnId| {
        let versions = &order[key as usize];
        let place = versions.iter().position(|&other| other == id).unwrap_or(0);
        if place == 0 { INITIAL } else { versions[place - 1] }
    };
    let middle = commits.len() / 2;
    match plant {
        "stale" => {
            // A read of the version before the one before.
            for &id in &commits[middle..] {
                let found = made[id as usize].reads.iter().position(|&(_, writer)| writer != INITIAL);
                let Some(place) = found else { continue };
                let (key, writer) = made[id as usize].reads[place];
                let older = before(key, writer);
                made[id as usize].reads[place].1 = if older == INITIAL { INITIAL } else { before(key, older) };
                return true;
            }
            false
        }
        "lost" => {
            let Some(versions) = order.iter().find(|versions| versions.len() > 3) else { return false };
            let key = order.iter().position(|other| other == versions).unwrap_or(0) as u32;
            let at = versions.len() / 2;
            for id in [versions[at], versions[at + 1]] {
                made[id as usize].reads.push((key, versions[at - 1]));
            }
            true
        }
        "skew" | "hops" => {
            let count = if plant == "skew" { 2 } else { 4 };
            let writers: Vec<TxnId> = commits[middle..]
                .iter()
                .copied()
                .filter(|&id| !made[id as usize].writes.is_empty())
                .take(count)
                .collect();
            for (place, &id) in writers.iter().enumerate() {
                let next = writers[(place + 1) % writers.len()];
                let key = made[next as usize].writes[0];
                let read = (key, before(key, next));
                made[id as usize].reads.push(read);
            }
            writers.len() == count
        }
        _ => false,
    }
}
