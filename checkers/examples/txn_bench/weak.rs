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
    /// Whether one transaction near the end reads keys as they were long before.
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

/// As many keys as transactions.
fn grown(transactions: u32) -> Wanted {
    Wanted { transactions, keys: transactions, ..WIDE }
}

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
    Row { name: "weak-10k", what: "as `weak`, 10,000 transactions", run: |seed| run(grown(10_000), seed) },
    Row { name: "weak-100k", what: "100,000", run: |seed| run(grown(100_000), seed) },
    Row {
        name: "weak-10k-stale",
        what: "10,000 with one stale read",
        run: |seed| run(Wanted { stale: true, ..grown(10_000) }, seed),
    },
    Row {
        name: "weak-100k-stale",
        what: "100,000 with one stale read",
        run: |seed| run(Wanted { stale: true, ..grown(100_000) }, seed),
    },
    Row { name: "weak-10m", what: "ten million", run: |seed| run(grown(10_000_000), seed) },
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
#[derive(Clone, Copy)]
struct Open {
    number: u32,
    is_committed: bool,
}

/// The store: who wrote each key last, and before that.
struct Store {
    wanted: Wanted,
    last: Vec<u32>,
    /// What a stale read sees: of keys that are replaced the first writer, else the one before the last.
    stale: Vec<u32>,
    is_planted: bool,
    /// Keys in use, and how many writes each still takes.
    live: Vec<u32>,
    left: Vec<u32>,
    next_key: u32,
    /// By number of the transaction.
    reads: Vec<Vec<Read>>,
    writes: Vec<Vec<Write>>,
    was_read: Vec<bool>,
}

impl Store {
    fn new(wanted: Wanted) -> Store {
        let keys_max = match wanted.writes_a_key {
            0 => wanted.keys,
            writes => wanted.keys + wanted.transactions * wanted.micros.1 / writes,
        };
        Store {
            wanted,
            last: vec![INITIAL; keys_max as usize],
            stale: vec![INITIAL; keys_max as usize],
            is_planted: false,
            live: (0..wanted.keys).collect(),
            left: vec![wanted.writes_a_key; wanted.keys as usize],
            next_key: wanted.keys,
            reads: vec![Vec::new(); wanted.transactions as usize],
            writes: vec![Vec::new(); wanted.transactions as usize],
            was_read: vec![false; wanted.transactions as usize],
        }
    }

    /// Does a transaction at once.
    fn commit(&mut self, number: u32, random: &mut ChaCha8Rng) {
        let is_stale = self.wanted.stale && !self.is_planted && number >= self.wanted.transactions / 10 * 9;
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        for micro in 0..random.random_range(self.wanted.micros.0..=self.wanted.micros.1) {
            let at = random.random_range(0..self.live.len());
            let key = self.live[at];
            let is_own = writes.iter().any(|write: &Write| write.key == key);
            if random.random_bool(0.5) {
                if !is_own {
                    writes.push(Write { key, micro });
                    self.wear(at);
                }
            } else if !is_own {
                let from = if is_stale { &self.stale } else { &self.last };
                let writer = from[key as usize];
                self.is_planted |= is_stale && writer != self.last[key as usize];
                if let Some(seen) = self.was_read.get_mut(writer as usize) {
                    *seen = true;
                }
                reads.push(Read { key, writer, micro });
            }
        }
        for write in &writes {
            let (key, is_hot) = (write.key as usize, self.wanted.writes_a_key > 0);
            let last = std::mem::replace(&mut self.last[key], number);
            if !is_hot || self.stale[key] == INITIAL {
                self.stale[key] = last;
            }
        }
        self.reads[number as usize] = reads;
        self.writes[number as usize] = writes;
    }

    /// Replaces a key that was written often enough.
    fn wear(&mut self, at: usize) {
        if self.wanted.writes_a_key == 0 {
            return;
        }
        self.left[at] -= 1;
        if self.left[at] == 0 {
            self.left[at] = self.wanted.writes_a_key;
            if (self.next_key as usize) < self.last.len() {
                self.live[at] = self.next_key;
                self.next_key += 1;
            }
        }
    }

    /// What was read and written, by the numbers that the transactions have in the history.
    fn accesses(mut self, ended: &[u32], doubted: &[u32]) -> Accesses {
        let mut ids = vec![0; self.reads.len()];
        for (id, &number) in ended.iter().chain(doubted).enumerate() {
            ids[number as usize] = id as u32;
        }
        let mut accesses = Accesses::new(self.last.len() as u32);
        for (place, &number) in ended.iter().chain(doubted).enumerate() {
            let (number, is_ok) = (number as usize, place < ended.len());
            for read in &mut self.reads[number] {
                read.writer = ids.get(read.writer as usize).copied().unwrap_or(read.writer);
            }
            let reads: &[Read] = if is_ok { &self.reads[number] } else { &[] };
            accesses.push(reads, &self.writes[number], is_ok || self.was_read[number]);
        }
        accesses
    }
}

fn generate(wanted: Wanted, seed: u64) -> (History, Accesses) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut events: Vec<Op> = Vec::new();
    let mut add = |process: u32, kind: Kind| {
        let mut event = Op::new(Process::Client(process), kind, F::parse("txn"), Value::Txn(Box::default()));
        (event.index, event.time_ns) = (events.len() as u32, events.len() as u64 * 1000);
        events.push(event);
    };
    let mut store = Store::new(wanted);
    let (mut ended, mut doubted) = (Vec::new(), Vec::new());
    let mut open: Vec<Option<Open>> = vec![None; wanted.clients as usize];
    let mut processes: Vec<u32> = (0..wanted.clients).collect();
    let mut next_process = wanted.clients;
    let mut begun = 0;
    while begun < wanted.transactions || open.iter().any(Option::is_some) {
        let client = random.random_range(0..open.len());
        match open[client] {
            None if begun == wanted.transactions => {}
            None => {
                add(processes[client], Kind::Invoke);
                open[client] = Some(Open { number: begun, is_committed: false });
                begun += 1;
            }
            Some(Open { number, is_committed: false }) => {
                store.commit(number, &mut random);
                open[client] = Some(Open { number, is_committed: true });
            }
            Some(Open { number, .. }) => {
                let is_doubt = random.random_range(0..1000) < wanted.doubts_a_thousand;
                add(processes[client], if is_doubt { Kind::Info } else { Kind::Ok });
                open[client] = None;
                if is_doubt {
                    (processes[client], next_process) = (next_process, next_process + 1);
                    doubted.push(number);
                } else {
                    ended.push(number);
                }
            }
        }
    }
    doubted.sort_unstable();
    (History::from_ops(events).expect("clients take turns"), store.accesses(&ended, &doubted))
}
