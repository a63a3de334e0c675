//! Histories of transactions of any size, of simulated stores of a known level: seeded, fast, lists and registers of the
//! same schedule, and with one planted anomaly if wanted.
//!
//! A store keeps each key's versions in one order and answers a read with some first part of them. Which part, is its
//! level:
//!
//! - one copy ([`Store::Serial`], [`Store::SnapshotIsolation`], [`Store::Prefix`], [`Store::ReadCommitted`]): what had
//!   been committed at some moment, which may lie in the past ([`Fresh`]);
//! - copies at a few sites ([`Store::ParallelSnapshotIsolation`], [`Store::Causal`], [`Store::Pram`]): what has come to the
//!   site, which is a set of transactions closed under what they depend on.
//!
//! A transaction that meets a conflict that its store does not allow is done anew at once, at the newest state. So the
//! shares of failures and of doubt are those that were wanted.

#![allow(dead_code, reason = "several programs share it, each uses a part")]

#[path = "planted.rs"]
pub mod planted;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::{F, History, HistoryBuilder, Key, Kind, Mop, Op, Process, Value};

/// Sites of stores that have copies. Processes are spread over them.
const SITES: usize = 4;
/// By how many commits a snapshot is old at most, where it may be.
const STALE_MAX: u32 = 40;
/// Nanoseconds between events.
const EVENT_NS: u64 = 1_000;

/// What a store promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Transactions one after another; those that only read may read an older state ([`Fresh`]).
    Serial,
    /// A snapshot for each, the first committer wins.
    SnapshotIsolation,
    /// A snapshot for each, and nobody is kept from writing: prefix consistency.
    Prefix,
    /// Each read sees the newest committed state; of two that read and write a key the first committer wins.
    ReadCommitted,
    /// Causal copies, and no two concurrent transactions write a key.
    ParallelSnapshotIsolation,
    /// Causal copies that agree on the order of each key's versions.
    Causal,
    /// Copies that get the transactions of each site in order, and agree on the order of each key's versions: no more
    /// than the guarantees of sessions but writes follow reads.
    Pram,
}

/// How old a snapshot of a store with one copy may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fresh {
    /// It has all that had ended when the transaction began.
    Realtime,
    /// It has all that the process did and saw before.
    Process,
    /// It may be any.
    Nothing,
}

/// What is read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// `append` and reads of lists.
    Lists,
    /// `w` and reads of the newest element alone.
    Registers,
}

/// What history is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The level.
    pub store: Store,
    /// How old snapshots may be.
    pub fresh: Fresh,
    /// Lists or registers.
    pub data: Data,
    /// Same seed, same history; lists and registers of a seed are twins.
    pub seed: u64,
    /// Transactions.
    pub transactions: usize,
    /// Processes at work at the same time.
    pub processes: u32,
    /// Keys in use at the same time.
    pub keys_alive: usize,
    /// Writes of a key, until another key takes its place.
    pub writes_per_key: u32,
    /// Micro-operations of a transaction, at least and at most.
    pub micros: (usize, usize),
    /// Of a hundred micro-operations, how many read.
    pub reads_percent: u32,
    /// Of a hundred transactions, how many fail, and how many end in doubt (half of these took effect).
    pub fail_percent: u32,
    /// See `fail_percent`.
    pub info_percent: u32,
    /// Different values of a register's key; 0: each write has its own. Not for lists.
    pub values: u32,
    /// An anomaly in the middle ([`planted`]).
    pub planted: Option<&'static planted::Gadget>,
}

impl Default for Wanted {
    /// The table of figures, unless it says otherwise.
    fn default() -> Wanted {
        Wanted {
            store: Store::Serial,
            fresh: Fresh::Realtime,
            data: Data::Lists,
            seed: 1,
            transactions: 1_000_000,
            processes: 20,
            keys_alive: 10,
            writes_per_key: 32,
            micros: (1, 4),
            reads_percent: 50,
            fail_percent: 5,
            info_percent: 2,
            values: 0,
            planted: None,
        }
    }
}

/// Makes a history.
pub fn history(wanted: Wanted) -> History {
    let mut maker = Maker::new(wanted);
    let middle = wanted.transactions / 2;
    let mut planted = wanted.planted;
    while maker.invoked < wanted.transactions || maker.busy > 0 {
        if maker.invoked >= middle
            && let Some(gadget) = planted.take()
        {
            maker.plant(gadget);
        }
        maker.step();
    }
    maker.builder.finish()
}

/// A set of transactions: of each site, so many from its first on.
type Clock = [u32; SITES];

fn join(a: &mut Clock, b: &Clock) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = (*a).max(*b);
    }
}

/// An element of a key's list, and which transaction put it there: with one copy the number of its commit, else its
/// number at its site.
#[derive(Clone, Copy)]
struct Version {
    element: u32,
    site: u32,
    number: u32,
}

#[derive(Default)]
struct KeyState {
    versions: Vec<Version>,
    drawn: u32,
    /// Who wrote it, with all that these depend on.
    depends: Clock,
}

#[derive(Clone, Copy)]
struct Micro {
    key: usize,
    /// What is appended; 0: it reads.
    element: u32,
    /// How many versions a read saw, its own transaction's left out.
    length: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    Invoked,
    Begun,
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Ok,
    Fail,
    Info { commits: bool, ends: bool },
}

struct Worker {
    process: u32,
    stage: Stage,
    fate: Fate,
    micros: Vec<Micro>,
    /// The snapshot of a store with one copy, and the newest that the process saw or wrote.
    snapshot: u32,
    seen: u32,
    /// Where reads are not of one moment: how many were done when it began.
    early: usize,
    clock: Clock,
}

struct Maker {
    wanted: Wanted,
    random: ChaCha8Rng,
    builder: HistoryBuilder,
    events: u64,
    invoked: usize,
    busy: usize,
    workers: Vec<Worker>,
    keys: Vec<KeyState>,
    alive: Vec<usize>,
    commits: u32,
    /// By site: what has come to it, and what each of its own transactions depends on.
    clocks: [Clock; SITES],
    depends: [Vec<Clock>; SITES],
}

impl Maker {
    fn new(wanted: Wanted) -> Maker {
        let worker = |process| Worker {
            process,
            stage: Stage::Idle,
            fate: Fate::Ok,
            micros: Vec::new(),
            snapshot: 0,
            seen: 0,
            early: 0,
            clock: [0; SITES],
        };
        Maker {
            wanted,
            random: ChaCha8Rng::seed_from_u64(wanted.seed),
            builder: HistoryBuilder::default(),
            events: 0,
            invoked: 0,
            busy: 0,
            workers: (0..wanted.processes.max(1)).map(worker).collect(),
            keys: (0..wanted.keys_alive.max(1)).map(|_| KeyState::default()).collect(),
            alive: (0..wanted.keys_alive.max(1)).collect(),
            commits: 0,
            clocks: [[0; SITES]; SITES],
            depends: Default::default(),
        }
    }

    /// One worker goes one stage on.
    fn step(&mut self) {
        let at = self.random.random_range(0..self.workers.len());
        match self.workers[at].stage {
            Stage::Idle if self.invoked < self.wanted.transactions => self.invoke(at),
            Stage::Idle => {}
            Stage::Invoked => {
                self.begin(at);
                self.workers[at].stage = Stage::Begun;
            }
            Stage::Begun => {
                self.execute(at);
                self.workers[at].stage = Stage::Done;
            }
            Stage::Done => self.complete(at),
        }
    }

    fn is_at_sites(&self) -> bool {
        matches!(self.wanted.store, Store::ParallelSnapshotIsolation | Store::Causal | Store::Pram)
    }

    fn invoke(&mut self, at: usize) {
        let wanted = self.wanted;
        let count = self.random.random_range(wanted.micros.0..=wanted.micros.1);
        let mut micros = std::mem::take(&mut self.workers[at].micros);
        micros.clear();
        for _ in 0..count {
            let slot = self.random.random_range(0..self.alive.len());
            let key = self.alive[slot];
            if self.random.random_range(0..100) < wanted.reads_percent {
                micros.push(Micro { key, element: 0, length: 0 });
                continue;
            }
            let state = &mut self.keys[key];
            state.drawn += 1;
            micros.push(Micro { key, element: state.drawn, length: 0 });
            if state.drawn >= wanted.writes_per_key {
                self.alive[slot] = self.keys.len();
                self.keys.push(KeyState::default());
            }
        }
        let fate = match self.random.random_range(0..100) {
            percent if percent < wanted.fail_percent => Fate::Fail,
            percent if percent < wanted.fail_percent + wanted.info_percent => {
                Fate::Info { commits: self.random.random_bool(0.5), ends: self.random.random_bool(0.75) }
            }
            _ => Fate::Ok,
        };
        let worker = &mut self.workers[at];
        (worker.micros, worker.fate, worker.stage) = (micros, fate, Stage::Invoked);
        self.invoked += 1;
        self.busy += 1;
        self.tell(at, Kind::Invoke);
    }

    /// Takes a snapshot.
    fn begin(&mut self, at: usize) {
        if self.is_at_sites() {
            let site = self.workers[at].process as usize % SITES;
            self.receive(site);
            self.workers[at].clock = self.clocks[site];
            return;
        }
        let old = self.commits.saturating_sub(self.random.random_range(0..STALE_MAX));
        let worker = &mut self.workers[at];
        worker.snapshot = match self.wanted.fresh {
            Fresh::Realtime => self.commits,
            Fresh::Process => old.max(worker.seen),
            Fresh::Nothing => old,
        };
        if self.wanted.store == Store::ReadCommitted {
            // Some read now, the others when it commits.
            let early = self.random.random_range(0..=self.workers[at].micros.len());
            self.workers[at].early = early;
            self.read(at, 0..early, self.commits);
        }
    }

    /// A site takes some of what others have sent it.
    fn receive(&mut self, site: usize) {
        for other in 0..SITES {
            // Half of the time nothing comes, so that sites differ; enough comes at last.
            let count = if self.random.random_bool(0.5) { 0 } else { self.random.random_range(1..12u32) };
            for _ in 0..if other == site { 0 } else { count } {
                let next = self.clocks[site][other] as usize;
                let Some(depends) = self.depends[other].get(next) else { break };
                let ready = (0..SITES).all(|from| from == other || depends[from] <= self.clocks[site][from]);
                if !ready {
                    break;
                }
                self.clocks[site][other] += 1;
            }
        }
    }

    /// Reads of a store with one copy, at a moment.
    fn read(&mut self, at: usize, places: std::ops::Range<usize>, moment: u32) {
        for micro in &mut self.workers[at].micros[places] {
            let versions = &self.keys[micro.key].versions;
            let newer = versions.iter().rev().take_while(|version| version.number > moment).count();
            micro.length = (versions.len() - newer) as u32;
        }
    }

    /// Reads at a site.
    fn read_at(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        for micro in &mut worker.micros {
            let versions = &self.keys[micro.key].versions;
            let hidden = |version: &&Version| version.number > worker.clock[version.site as usize];
            micro.length = (versions.len() - versions.iter().rev().take_while(hidden).count()) as u32;
        }
    }

    /// Reads, and commits unless it is to fail.
    fn execute(&mut self, at: usize) {
        let commits = match self.workers[at].fate {
            Fate::Ok => true,
            Fate::Fail => false,
            Fate::Info { commits, .. } => commits,
        };
        if self.is_at_sites() {
            self.execute_at(at, commits);
            return;
        }
        let (count, now) = (self.workers[at].micros.len(), self.commits);
        let writes = self.workers[at].micros.iter().any(|micro| micro.element > 0);
        match self.wanted.store {
            Store::ReadCommitted => self.read(at, self.workers[at].early..count, now),
            Store::Serial if writes => self.read(at, 0..count, now),
            _ => self.read(at, 0..count, self.workers[at].snapshot),
        }
        if self.conflicts(at) {
            self.workers[at].snapshot = now;
            self.read(at, 0..count, now);
        }
        if commits && writes {
            self.commits += 1;
            self.write(at, 0, self.commits);
            self.workers[at].seen = self.commits;
        } else {
            let worker = &mut self.workers[at];
            worker.seen = worker.seen.max(worker.snapshot);
        }
    }

    fn execute_at(&mut self, at: usize, commits: bool) {
        let site = self.workers[at].process as usize % SITES;
        self.read_at(at);
        if self.conflicts(at) {
            for other in 0..SITES {
                self.clocks[site][other] = self.depends[other].len() as u32;
            }
            self.workers[at].clock = self.clocks[site];
            self.read_at(at);
        }
        if !commits || self.workers[at].micros.iter().all(|micro| micro.element == 0) {
            return;
        }
        // What its site had sent before comes before it everywhere; what it read, if the store is causal; and the
        // earlier versions of what it writes.
        let mut depends = self.depends[site].last().copied().unwrap_or_default();
        if self.wanted.store != Store::Pram {
            join(&mut depends, &self.workers[at].clock);
        }
        for micro in self.workers[at].micros.iter().filter(|micro| micro.element > 0) {
            join(&mut depends, &self.keys[micro.key].depends);
        }
        let number = self.depends[site].len() as u32 + 1;
        depends[site] = number;
        self.depends[site].push(depends);
        join(&mut self.clocks[site], &depends);
        for place in 0..self.workers[at].micros.len() {
            let micro = self.workers[at].micros[place];
            if micro.element > 0 {
                join(&mut self.keys[micro.key].depends, &depends);
            }
        }
        self.write(at, site as u32, number);
    }

    /// Whether the store does not allow what was read together with what is written. No store lets another's version come
    /// between what a transaction read and its own version that it read with it: the list would show two orders.
    fn conflicts(&self, at: usize) -> bool {
        let micros = &self.workers[at].micros;
        micros.iter().enumerate().filter(|(_, micro)| micro.element > 0).any(|(place, write)| {
            let newest = self.keys[write.key].versions.len() as u32;
            match self.wanted.store {
                Store::Serial => false,
                Store::SnapshotIsolation | Store::ParallelSnapshotIsolation => write.length < newest,
                Store::ReadCommitted => {
                    micros.iter().any(|read| read.element == 0 && read.key == write.key && read.length < newest)
                }
                Store::Prefix | Store::Causal | Store::Pram => micros[place..]
                    .iter()
                    .any(|read| read.element == 0 && read.key == write.key && read.length < newest),
            }
        })
    }

    fn write(&mut self, at: usize, site: u32, number: u32) {
        for micro in self.workers[at].micros.iter().filter(|micro| micro.element > 0) {
            self.keys[micro.key].versions.push(Version { element: micro.element, site, number });
        }
    }

    /// Answers. A process in doubt is followed by a new one.
    fn complete(&mut self, at: usize) {
        match self.workers[at].fate {
            Fate::Ok => self.tell(at, Kind::Ok),
            Fate::Fail => self.tell(at, Kind::Fail),
            Fate::Info { ends, .. } => {
                if ends {
                    self.tell(at, Kind::Info);
                }
                let worker = &mut self.workers[at];
                worker.process += self.wanted.processes;
                worker.seen = 0;
            }
        }
        self.workers[at].stage = Stage::Idle;
        self.busy -= 1;
    }

    fn tell(&mut self, at: usize, kind: Kind) {
        let worker = &self.workers[at];
        let mop = |(place, micro): (usize, &Micro)| {
            let key = Key::Int(micro.key as i64);
            match (self.wanted.data, micro.element, kind) {
                (Data::Lists, 0, Kind::Ok) => Mop::new("r", key, self.list(worker, place)),
                (Data::Registers, 0, Kind::Ok) => Mop::new("r", key, self.newest(worker, place)),
                (_, 0, _) => Mop::new("r", key, Value::Nil),
                (Data::Lists, element, _) => Mop::new("append", key, Value::Int(i64::from(element))),
                (Data::Registers, element, _) => Mop::new("w", key, self.register(element)),
            }
        };
        let mops = worker.micros.iter().enumerate().map(mop).collect();
        let op = Op::new(Process::Client(worker.process), kind, F::Txn, Value::Txn(Box::new(mops)));
        self.push(op);
    }

    fn own<'a>(&self, worker: &'a Worker, place: usize) -> impl DoubleEndedIterator<Item = u32> + 'a {
        let key = worker.micros[place].key;
        let micros = worker.micros[..place].iter();
        micros.filter(move |micro| micro.key == key && micro.element > 0).map(|micro| micro.element)
    }

    fn list(&self, worker: &Worker, place: usize) -> Value {
        let micro = worker.micros[place];
        let versions = self.keys[micro.key].versions[..micro.length as usize].iter().map(|version| version.element);
        let items: Vec<Value> =
            versions.chain(self.own(worker, place)).map(|element| Value::Int(i64::from(element))).collect();
        if items.is_empty() { Value::Nil } else { Value::list(items) }
    }

    fn newest(&self, worker: &Worker, place: usize) -> Value {
        let micro = worker.micros[place];
        let before = self.keys[micro.key].versions[..micro.length as usize].last().map(|version| version.element);
        self.own(worker, place).next_back().or(before).map_or(Value::Nil, |element| self.register(element))
    }

    fn register(&self, element: u32) -> Value {
        let value = if self.wanted.values == 0 { element } else { element % self.wanted.values + 1 };
        Value::Int(i64::from(value))
    }

    fn push(&mut self, mut op: Op) {
        op.time_ns = self.events * EVENT_NS;
        self.events += 1;
        self.builder.push(op).expect("each process has one transaction at a time, and ends what it began");
    }

    /// New keys and processes, so that it has nothing to do with all the rest but its place in time.
    fn plant(&mut self, gadget: &planted::Gadget) {
        let process = u32::MAX / 2;
        for op in gadget.ops(self.wanted.data, process, 1 << 40) {
            self.push(op);
        }
    }
}
