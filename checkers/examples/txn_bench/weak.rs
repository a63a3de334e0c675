//! Read committed, read atomic and causal together: a serial store whose transactions overlap in real time. Only what the
//! engine asks of transactions is made: who read from whom, and when each began and ended.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_checkers::Budget;
use schism_checkers::txn::accesses::{Accesses, INITIAL, Read, Write};
use schism_checkers::txn::meter::Meter;
use schism_checkers::txn::txns::Txns;
use schism_checkers::txn::weak::judge;
use schism_history::{F, History, Kind, Op, Process, Value};

use crate::measure::measured;
use crate::{Line, Row};

/// What a history is like.
#[derive(Clone, Copy)]
struct Wanted {
    transactions: u32,
    clients: u32,
    /// Micro-operations of a transaction, at least and at most; half of them read.
    micros: (u32, u32),
    /// Keys that are used at a time.
    keys: u32,
    /// Writes after which a key is replaced by a new one; none if zero.
    writes_a_key: u32,
    /// Transactions of a thousand that end in doubt.
    doubts_a_thousand: u32,
    /// Whether one transaction near the end reads a key as it was long before.
    stale: bool,
}

const WIDE: Wanted = Wanted {
    transactions: 1_000_000,
    clients: 100,
    micros: (20, 20),
    keys: 1_000_000,
    writes_a_key: 0,
    doubts_a_thousand: 0,
    stale: false,
};
const HOT: Wanted = Wanted { clients: 20, micros: (1, 4), keys: 10, writes_a_key: 32, doubts_a_thousand: 20, ..WIDE };

/// The rows.
pub const ROWS: &[Row] = &[
    Row { name: "weak", what: "RC+RA+CC, 20 ops, 100 sessions, 1M keys", run: |seed| run(WIDE, seed) },
    Row {
        name: "weak-stale",
        what: "the same with one stale read",
        run: |seed| run(Wanted { stale: true, ..WIDE }, seed),
    },
    Row { name: "weak-hot", what: "RC+RA+CC, 1-4 ops, 10 live keys, 20k sessions", run: |seed| run(HOT, seed) },
    Row {
        name: "weak-hot-stale",
        what: "the same with one stale read",
        run: |seed| run(Wanted { stale: true, ..HOT }, seed),
    },
    Row {
        name: "weak-20m",
        what: "RC+RA+CC, 1-4 ops, 10 live keys, 20M transactions",
        run: |seed| run(Wanted { transactions: 20_000_000, doubts_a_thousand: 0, ..HOT }, seed),
    },
];

fn run(wanted: Wanted, seed: u64) -> Line {
    let (history, accesses) = generate(wanted, seed);
    let txns = Txns::of(&history);
    let budget = Budget { steps_max: u64::MAX, memory_bytes_max: 16 << 30 };
    let (weak, seconds, bytes) = measured(|| judge(&txns, &accesses, &mut Meter::new(&budget)));
    let mut answer: Vec<String> = weak.anomalies.iter().map(|anomaly| anomaly.kind.clone()).collect();
    answer.dedup();
    if weak.spent {
        answer.push("spent".to_owned());
    }
    Line { count: txns.len(), seconds, bytes, sha256_seconds: None, answer: format!("{answer:?}") }
}

/// A transaction on its way. Writers are named by the order of their beginning until all have ended.
struct Open {
    process: u32,
    number: u32,
    is_committed: bool,
}

fn generate(wanted: Wanted, seed: u64) -> (History, Accesses) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut events: Vec<Op> = Vec::new();
    let mut add = |process: u32, kind: Kind| {
        let mut event = Op::new(Process::Client(process), kind, F::parse("txn"), Value::Txn(Box::default()));
        (event.index, event.time_ns) = (events.len() as u32, events.len() as u64 * 1000);
        events.push(event);
    };
    let keys_max = if wanted.writes_a_key == 0 {
        wanted.keys
    } else {
        wanted.keys + wanted.transactions * wanted.micros.1 / 2 / wanted.writes_a_key * 2
    };
    let mut last: Vec<u32> = vec![INITIAL; keys_max as usize];
    let mut before_last: Vec<u32> = vec![INITIAL; keys_max as usize];
    let mut live: Vec<u32> = (0..wanted.keys).collect();
    let mut left: Vec<u32> = vec![wanted.writes_a_key; wanted.keys as usize];
    let mut next_key = wanted.keys;
    let (mut reads, mut writes): (Vec<Vec<Read>>, Vec<Vec<Write>>) = (Vec::new(), Vec::new());
    let (mut ended, mut doubted, mut was_read) = (Vec::new(), Vec::new(), Vec::new());
    let mut open: Vec<Option<Open>> = (0..wanted.clients).map(|_| None).collect();
    let mut processes: Vec<u32> = (0..wanted.clients).collect();
    let mut begun = 0;
    while begun < wanted.transactions || open.iter().any(Option::is_some) {
        let client = random.random_range(0..open.len());
        match open[client].take() {
            None if begun < wanted.transactions => {
                add(processes[client], Kind::Invoke);
                open[client] = Some(Open { process: processes[client], number: begun, is_committed: false });
                begun += 1;
                reads.push(Vec::new());
                writes.push(Vec::new());
                was_read.push(false);
            }
            None => {}
            Some(open_now) if !open_now.is_committed => {
                let number = open_now.number;
                let is_stale = wanted.stale && number == wanted.transactions / 10 * 9;
                let (reads, writes) = (&mut reads[number as usize], &mut writes[number as usize]);
                for micro in 0..random.random_range(wanted.micros.0..=wanted.micros.1) {
                    let at = random.random_range(0..live.len());
                    let key = live[at];
                    let is_own = writes.iter().any(|write| write.key == key);
                    if random.random_bool(0.5) {
                        if is_own {
                            continue;
                        }
                        writes.push(Write { key, micro });
                        if wanted.writes_a_key > 0 {
                            left[at] -= 1;
                            if left[at] == 0 && next_key < keys_max {
                                (live[at], left[at]) = (next_key, wanted.writes_a_key);
                                next_key += 1;
                            } else if left[at] == 0 {
                                left[at] = wanted.writes_a_key;
                            }
                        }
                    } else if !is_own {
                        let from = if is_stale { &before_last } else { &last };
                        let writer = from[key as usize];
                        if let Some(seen) = was_read.get_mut(writer as usize) {
                            *seen = true;
                        }
                        reads.push(Read { key, writer, micro });
                    }
                }
                for write in writes.iter() {
                    before_last[write.key as usize] = std::mem::replace(&mut last[write.key as usize], number);
                }
                open[client] = Some(Open { is_committed: true, ..open_now });
            }
            Some(Open { process, number, .. }) => {
                let is_doubt = random.random_range(0..1000) < wanted.doubts_a_thousand;
                add(process, if is_doubt { Kind::Info } else { Kind::Ok });
                if is_doubt {
                    processes[client] = processes.iter().max().map_or(0, |most| most + 1);
                    doubted.push(number);
                } else {
                    ended.push(number);
                }
            }
        }
    }
    doubted.sort_unstable();
    let mut ids = vec![0; begun as usize];
    for (id, &number) in ended.iter().chain(&doubted).enumerate() {
        ids[number as usize] = id as u32;
    }
    let mut accesses = Accesses::new(keys_max);
    for (place, &number) in ended.iter().chain(&doubted).enumerate() {
        let is_ok = place < ended.len();
        let number = number as usize;
        for read in &mut reads[number] {
            read.writer = ids.get(read.writer as usize).copied().unwrap_or(read.writer);
        }
        let kept: &[Read] = if is_ok { &reads[number] } else { &[] };
        accesses.push(kept, &writes[number], is_ok || was_read[number]);
    }
    (History::from_ops(events).expect("clients take turns"), accesses)
}
