//! Blind writes of registers, decided: valid by construction, and with something planted.
//!
//! Sessions run transactions of uniform keys, half reads; one takes effect at a moment between its beginning and its end
//! that the history does not show. Under snapshot isolation it reads at one moment and writes at a later one, and is aborted if
//! somebody else wrote the key meanwhile.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_checkers::txn::accesses::{Accesses, INITIAL, Read, Write};
use schism_checkers::txn::meter::Meter;
use schism_checkers::txn::solver::{Decision, Keeps, Property, Question, decide};
use schism_checkers::txn::txns::{TxnId, Txns};
use schism_checkers::{Budget, Witness};
use schism_history::{F, History, HistoryBuilder, Kind, Op, Process, Value};

#[path = "solver_plants.rs"]
mod plants;

use crate::{Line, Row, measure};
use plants::{Plant, plant};

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

/// More transactions, and more keys in the same measure.
const fn grown(txns: u32) -> Wanted {
    Wanted { txns, keys: txns / 8 * 5, ..BASE }
}

/// What a row asks: the question, what is planted, and whether there is an order then.
struct Asked {
    wanted: Wanted,
    plant: Plant,
    /// Known for what is valid by construction, and for what is sure to be broken ([`Plant`]).
    holds: Option<bool>,
}

macro_rules! row {
    ($name:literal, $what:literal, $wanted:expr, $plant:expr, $holds:expr) => {
        Row {
            name: $name,
            what: $what,
            run: |seed| measured(&Asked { wanted: $wanted, plant: $plant, holds: $holds }, seed),
        }
    };
}

const STRICT: Wanted = Wanted { keeps: Keeps::Realtime, ..BASE };
const SESSION: Wanted = Wanted { keeps: Keeps::Process, ..BASE };
const WIDE: Wanted = Wanted { sessions: 20_000, txns: 100_000, ..BASE };
const PREFIX: Wanted = Wanted { property: Property::Prefix, ..BASE };
const UPDATES: Wanted = Wanted { property: Property::UpdateSerializable, ..BASE };

const HOLDS: Option<bool> = Some(true);
const BROKEN: Option<bool> = Some(false);

/// Each name with a dot is the row before it with something planted.
pub const ROWS: &[Row] = &[
    row!("ser", "serializable, 16k transactions, 10k keys", BASE, Plant::Nothing, HOLDS),
    row!("ser.older", "and a read of an older version (either way)", BASE, Plant::Older, None),
    row!("ser.causal", "and a stale read", BASE, Plant::Causal, BROKEN),
    row!("ser.lost", "and a lost update", BASE, Plant::Lost, BROKEN),
    row!("ser.skew", "and a write skew", BASE, Plant::Skew, BROKEN),
    row!("ser.hops", "and a cycle of four", BASE, Plant::Hops, BROKEN),
    row!("ser.hidden", "and two orders of writers that exclude each other", BASE, Plant::Hidden, BROKEN),
    row!("hot", "serializable, 10k transactions, 10 hot keys", HOT, Plant::Nothing, HOLDS),
    row!("hot.older", "and a read of an older version (either way)", HOT, Plant::Older, None),
    row!("hot.causal", "and a stale read", HOT, Plant::Causal, BROKEN),
    row!("hot.lost", "and a lost update", HOT, Plant::Lost, BROKEN),
    row!("hot.skew", "and a write skew", HOT, Plant::Skew, BROKEN),
    row!("hot.hops", "and a cycle of four", HOT, Plant::Hops, BROKEN),
    row!("hot.hidden", "and two orders of writers that exclude each other", HOT, Plant::Hidden, BROKEN),
    row!("large", "serializable, 100k transactions, 50k keys", LARGE, Plant::Nothing, HOLDS),
    row!("large.causal", "and a stale read", LARGE, Plant::Causal, BROKEN),
    row!("large.skew", "and a write skew", LARGE, Plant::Skew, BROKEN),
    row!("large.hops", "and a cycle of four", LARGE, Plant::Hops, BROKEN),
    row!("large.hidden", "and two orders of writers that exclude each other", LARGE, Plant::Hidden, BROKEN),
    row!("ser-10k", "as `ser`, 10,000 transactions", grown(10_000), Plant::Nothing, HOLDS),
    row!("ser-100k", "100,000", grown(100_000), Plant::Nothing, HOLDS),
    row!("ser-1m", "a million", grown(1_000_000), Plant::Nothing, HOLDS),
    row!("ser-1m.hops", "and a cycle of four", grown(1_000_000), Plant::Hops, BROKEN),
    row!("ser-10m", "ten million", grown(10_000_000), Plant::Nothing, HOLDS),
    row!("si", "snapshot isolation, 16k transactions, 10k keys", SI, Plant::Nothing, HOLDS),
    row!("si.skew", "and a write skew, which it allows", SI, Plant::Skew, HOLDS),
    row!("si.causal", "and a stale read", SI, Plant::Causal, BROKEN),
    row!("si.lost", "and a lost update", SI, Plant::Lost, BROKEN),
    row!("si.circle", "and a circle of reads (G1c)", SI, Plant::Circle, BROKEN),
    row!("si.fork", "and a long fork", SI, Plant::Fork, BROKEN),
    row!("si.hidden", "and two orders of writers that exclude each other", SI, Plant::Hidden, BROKEN),
    row!("strict", "strictly serializable, 16k", STRICT, Plant::Nothing, HOLDS),
    row!("strict.stale", "and a read that is stale in real time", STRICT, Plant::StaleInTime, BROKEN),
    row!("session", "strong session serializable, 16k", SESSION, Plant::Nothing, HOLDS),
    row!("session.stale", "and a read that is stale in its session", SESSION, Plant::StaleInSession, BROKEN),
    row!("few", "serializable, 20k, 20 % reads", FEW, Plant::Nothing, HOLDS),
    row!("few.hops", "and a cycle of four", FEW, Plant::Hops, BROKEN),
    row!("wide", "serializable, 100k, 20k sessions", WIDE, Plant::Nothing, HOLDS),
    row!("wide.hops", "and a cycle of four", WIDE, Plant::Hops, BROKEN),
    row!("prefix", "prefix, 16k", PREFIX, Plant::Nothing, HOLDS),
    row!("prefix.fork", "and a long fork", PREFIX, Plant::Fork, BROKEN),
    row!("psi", "parallel snapshot isolation, 16k", PSI, Plant::Nothing, HOLDS),
    row!("psi.skew", "and a write skew, which it allows", PSI, Plant::Skew, HOLDS),
    row!("psi.lost", "and a lost update", PSI, Plant::Lost, BROKEN),
    row!("psi.torn", "and two orders of writers, neither of which may be", PSI, Plant::Torn, BROKEN),
    row!("updates", "update serializability, 16k", UPDATES, Plant::Nothing, HOLDS),
    row!("updates.hops", "and a cycle of four", UPDATES, Plant::Hops, BROKEN),
    row!("updates.torn", "and two orders of writers, neither of which may be", UPDATES, Plant::Torn, BROKEN),
];

/// What a transaction did.
#[derive(Default, Clone)]
pub struct Made {
    /// Of which key it read whose version.
    pub reads: Vec<(u32, TxnId)>,
    /// The keys that it wrote.
    pub writes: Vec<u32>,
}

fn measured(asked: &Asked, seed: u64) -> Line {
    let wanted = &asked.wanted;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (history, mut made, effects) = make(wanted, &mut random);
    let txns = Txns::of(&history);
    let keys = plant(&mut made, &effects, &txns, asked.plant, wanted.keys).expect("there is room for what is planted");
    let mut accesses = Accesses::new(keys);
    for txn in &made {
        let read = |(micro, &(key, writer)): (usize, &(u32, TxnId))| Read { key, writer, micro: micro as u32 };
        let reads: Vec<Read> = txn.reads.iter().enumerate().map(read).collect();
        let writes: Vec<Write> = txn.writes.iter().map(|&key| Write { key, micro: 0 }).collect();
        accesses.push(&reads, &writes, true);
    }
    let (property, keeps) = (wanted.property, wanted.keeps);
    let question = Question { txns: &txns, accesses: &accesses, uncertain: &[], known: &[], property, keeps };
    // Ten million transactions take more than what is held unless asked for.
    let mut meter = Meter::new(&Budget { memory_bytes_max: 16 << 30, ..Budget::default() });
    let cpu = processor_seconds();
    let (decision, seconds, bytes) = measure::measured(|| decide(&question, &mut meter));
    let cpu = processor_seconds() - cpu;
    let told = match &decision {
        Decision::Holds(_) => Some(true),
        Decision::Broken(_) => Some(false),
        Decision::Unknown(_) => None,
    };
    // A budget that ends is a figure to look at, not a wrong answer.
    let is_right = told.is_none() || asked.holds.is_none() || told == asked.holds;
    assert!(is_right, "{decision:?}, but it is known to be {:?}", asked.holds);
    if let (Decision::Holds(found), Property::Serializable) = (&decision, property) {
        assert!(explains(&made, &found.order, keys), "the order does not explain what was read");
    }
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
    let answer = format!("{verdict}; {operations} operations, {} steps, {cpu:.2} s of processor", meter.steps);
    Line { count: made.len(), seconds, bytes, sha256_seconds: None, answer }
}

/// Seconds that this thread had a processor, where the kernel tells: other work on the machine disturbs it less.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns: Option<u64> = text.split_whitespace().next().and_then(|text| text.parse().ok());
    ns.unwrap_or(0) as f64 / 1e9
}

/// Whether each read is of the last writer, one transaction after the other.
fn explains(made: &[Made], order: &[TxnId], keys: u32) -> bool {
    let mut last = vec![INITIAL; keys as usize];
    let is_right = |&id: &TxnId| {
        let is_right = made[id as usize].reads.iter().all(|&(key, writer)| last[key as usize] == writer);
        made[id as usize].writes.iter().for_each(|&key| last[key as usize] = id);
        is_right
    };
    order.len() == made.len() && order.iter().all(is_right)
}

/// When transactions took effect.
pub struct Effects {
    /// The order of commits.
    pub commits: Vec<TxnId>,
    /// By transaction: how many had committed when it had its snapshot.
    pub snapshots: Vec<u32>,
}

/// The history, what each transaction did, and when it took effect.
fn make(wanted: &Wanted, random: &mut impl Rng) -> (History, Vec<Made>, Effects) {
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
    let mut snapshots = Vec::new();
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
                snapshots.push(began_at[at]);
            }
        }
        stage[at] = (stage[at] + 1) % 4;
    }
    for read in made.iter_mut().flat_map(|txn| &mut txn.reads).filter(|read| read.1 != INITIAL) {
        read.1 = name_of[read.1 as usize];
    }
    let commits = commits.into_iter().map(|attempt| name_of[attempt as usize]).collect();
    (builder.finish(), made, Effects { commits, snapshots })
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
