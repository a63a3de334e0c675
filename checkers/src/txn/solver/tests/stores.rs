//! Simulated stores, each of exactly one level, and histories of theirs whose times tell of the order in which transactions
//! took effect as much as is wanted: all (real time), that of each process, or nothing.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use schism_history::{F, HistoryBuilder, Kind, Op, Process, Value};

use super::generate::Case;
use crate::txn::accesses::{Accesses, INITIAL, Read, Write};
use crate::txn::solver::Keeps;
use crate::txn::txns::{TxnId, Txns};

/// What a store promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// One transaction after the other.
    Serial,
    /// Snapshots; the first committer wins.
    Snapshots,
    /// Snapshots alone.
    Prefix,
    /// Replicas that hear of each other causally; who did not hear of the last version of a key may not write it.
    Parallel,
    /// Updates are serial; each reader sees some of them that their dependencies allow.
    Updates,
}

/// How a history is made.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub store: Store,
    pub txns: u32,
    pub sessions: u32,
    pub keys: u32,
    pub operations: u32,
    pub reads_percent: u32,
    /// What its times tell.
    pub times: Keeps,
}

/// A transaction: who, what it read of whom, what it wrote.
#[derive(Debug, Clone, Default)]
pub struct Made {
    pub session: u32,
    pub reads: Vec<(u32, u32)>,
    pub writes: Vec<u32>,
}

/// Transactions in the order in which they took effect, and when each began and ended.
#[derive(Debug, Clone)]
pub struct Run {
    pub made: Vec<Made>,
    pub began: Vec<u32>,
    pub ended: Vec<u32>,
    pub keys: u32,
}

/// Nobody; the writer of what was there at first.
pub const NOBODY: u32 = u32::MAX;

struct World {
    store: Store,
    /// By key: who wrote it, in order.
    versions: Vec<Vec<u32>>,
    /// By transaction: whom it knew of, by number; of updates alone, who must be before it.
    knew: Vec<Vec<bool>>,
    /// By replica: of whom it heard.
    heard: Vec<Vec<bool>>,
    made: Vec<Made>,
}

/// Runs a store.
pub fn run(random: &mut impl Rng, wanted: Wanted) -> Run {
    let mut world = World {
        store: wanted.store,
        versions: vec![Vec::new(); wanted.keys as usize],
        knew: Vec::new(),
        heard: vec![Vec::new(); 3],
        made: Vec::new(),
    };
    let sessions = wanted.sessions as usize;
    // 0: to begin; 1: began; 2: has its snapshot; 3: took effect.
    let mut stage = vec![0u8; sessions];
    let mut doing = vec![Made::default(); sessions];
    let mut snapshot = vec![0usize; sessions];
    let mut times = vec![(0, 0); sessions];
    let mut place = vec![0usize; sessions];
    let (mut began, mut ended) = (Vec::new(), Vec::new());
    let (mut now, mut left) = (0, wanted.txns);
    while left > 0 || stage.iter().any(|&stage| stage > 0) {
        let at = random.random_range(0..sessions);
        match stage[at] {
            0 if left > 0 => {
                left -= 1;
                times[at].0 = now;
                now += 1;
                doing[at] = draw(random, wanted, at as u32);
            }
            0 => continue,
            1 => {
                snapshot[at] = world.made.len();
                let count = snapshot[at];
                if matches!(wanted.store, Store::Snapshots | Store::Prefix) {
                    world.read(&mut doing[at], |id| (id as usize) < count);
                }
            }
            2 => {
                place[at] = world.made.len();
                let made = std::mem::take(&mut doing[at]);
                world.take_effect(random, made, snapshot[at]);
                began.push(times[at].0);
                ended.push(NOBODY);
            }
            _ => {
                ended[place[at]] = now;
                now += 1;
            }
        }
        stage[at] = (stage[at] + 1) % 4;
    }
    let mut run = Run { made: world.made, began, ended, keys: wanted.keys };
    if wanted.times != Keeps::Realtime {
        mix(random, wanted, &mut run);
    }
    run
}

fn draw(random: &mut impl Rng, wanted: Wanted, session: u32) -> Made {
    let mut made = Made { session, ..Made::default() };
    let is_reader = wanted.store == Store::Updates && random.random_range(0..3) == 0;
    for _ in 0..random.random_range(1..=wanted.operations) {
        let key = random.random_range(0..wanted.keys);
        let is_read = is_reader || random.random_range(0..100) < wanted.reads_percent;
        if is_read && made.reads.iter().all(|read| read.0 != key) {
            made.reads.push((key, NOBODY));
        } else if !is_read && !made.writes.contains(&key) {
            made.writes.push(key);
        }
    }
    made
}

impl World {
    /// Fills in what is read if these are known.
    fn read(&self, made: &mut Made, is_known: impl Fn(u32) -> bool) {
        for (key, writer) in &mut made.reads {
            let known = self.versions[*key as usize].iter().rev().copied().find(|&id| is_known(id));
            *writer = known.unwrap_or(NOBODY);
        }
    }

    fn take_effect(&mut self, random: &mut impl Rng, mut made: Made, snapshot: usize) {
        let id = self.made.len() as u32;
        let mut knew = vec![false; id as usize];
        match self.store {
            Store::Serial => self.read(&mut made, |_| true),
            Store::Prefix => {}
            Store::Snapshots => {
                let is_fresh = |key: &u32| {
                    let last = self.versions[*key as usize].last();
                    last.is_none_or(|&id| (id as usize) < snapshot)
                };
                if !made.writes.iter().all(is_fresh) {
                    made = Made { session: made.session, ..Made::default() };
                }
            }
            Store::Parallel => {
                let replica = made.session as usize % self.heard.len();
                self.hear(random, replica);
                let heard = &self.heard[replica];
                let is_fresh = |key: &u32| self.versions[*key as usize].last().is_none_or(|&id| heard[id as usize]);
                made.writes.retain(is_fresh);
                self.read(&mut made, |id| heard[id as usize]);
                knew.copy_from_slice(&heard[..id as usize]);
                self.heard[replica].push(true);
            }
            Store::Updates if made.writes.is_empty() => {
                // Some of the updates, each with all that must be before it.
                let forgets = random.random_range(0..4);
                let mut is_known: Vec<bool> = Vec::new();
                for (other, needs) in self.knew.iter().enumerate() {
                    let is_whole = (0..other).all(|before| !needs[before] || is_known[before]);
                    is_known.push(is_whole && random.random_range(0..20) >= forgets);
                }
                self.read(&mut made, |id| is_known[id as usize]);
            }
            Store::Updates => {
                self.read(&mut made, |_| true);
                self.depends(&made, &mut knew);
            }
        }
        made.writes.iter().for_each(|&key| self.versions[key as usize].push(id));
        self.made.push(made);
        self.knew.push(knew);
    }

    /// Who must be before an update in every order that explains all updates so far the same way.
    fn depends(&self, made: &Made, knew: &mut [bool]) {
        for &key in &made.writes {
            // Its last writer, and all who read that version.
            let last = self.versions[key as usize].last().copied().unwrap_or(NOBODY);
            for (other, earlier) in self.made.iter().enumerate().filter(|(_, earlier)| !earlier.writes.is_empty()) {
                knew[other] |= other as u32 == last || earlier.reads.contains(&(key, last));
            }
        }
        made.reads.iter().filter(|read| read.1 != NOBODY).for_each(|read| knew[read.1 as usize] = true);
    }

    /// A replica hears of some transactions, and of all that these knew of.
    fn hear(&mut self, random: &mut impl Rng, replica: usize) {
        let count = self.made.len();
        self.heard[replica].resize(count, false);
        for _ in 0..random.random_range(0..3) {
            if count == 0 {
                break;
            }
            let other = count - 1 - random.random_range(0..count.min(12));
            self.heard[replica][other] = true;
            for (heard, &knew) in self.heard[replica].iter_mut().zip(&self.knew[other]) {
                *heard |= knew;
            }
        }
    }
}

/// Draws the times anew: of the order that there was, that of each process is left, or nothing.
fn mix(random: &mut impl Rng, wanted: Wanted, run: &mut Run) {
    let mut ids: Vec<usize> = (0..run.made.len()).collect();
    if wanted.times == Keeps::Nothing {
        ids.shuffle(random);
        for &id in &ids {
            run.made[id].session = random.random_range(0..wanted.sessions);
        }
    }
    let mut queues: Vec<std::collections::VecDeque<(usize, bool)>> = vec![Default::default(); wanted.sessions as usize];
    for id in ids {
        queues[run.made[id].session as usize].extend([(id, false), (id, true)]);
    }
    let mut now = 0;
    while queues.iter().any(|queue| !queue.is_empty()) {
        let at = random.random_range(0..queues.len());
        let Some((id, is_end)) = queues[at].pop_front() else { continue };
        if is_end {
            run.ended[id] = now;
        } else {
            run.began[id] = now;
        }
        now += 1;
    }
}

impl Run {
    /// As a history and what it says.
    pub fn case(&self) -> Case {
        let mut events: Vec<(u32, u32, Kind)> = Vec::new();
        for (id, made) in self.made.iter().enumerate() {
            events.push((self.began[id], made.session, Kind::Invoke));
            events.push((self.ended[id], made.session, Kind::Ok));
        }
        events.sort_unstable_by_key(|event| event.0);
        let mut builder = HistoryBuilder::default();
        for (_, session, kind) in events {
            let op = Op::new(Process::Client(session), kind, F::Txn, Value::Txn(Box::default()));
            builder.push(op).expect("a session has one transaction at a time");
        }
        let history = builder.finish();
        let count = Txns::of(&history).len();
        assert_eq!(count, self.made.len());
        // Those that ended well are numbered by their ends.
        let mut by_end: Vec<usize> = (0..count).collect();
        by_end.sort_unstable_by_key(|&id| self.ended[id]);
        let mut name = vec![0; count];
        by_end.iter().enumerate().for_each(|(number, &id)| name[id] = number as TxnId);
        let mut accesses = Accesses::new(self.keys);
        for &id in &by_end {
            let made = &self.made[id];
            let writer = |writer: u32| if writer == NOBODY { INITIAL } else { name[writer as usize] };
            let read =
                |(micro, &(key, of)): (usize, &(u32, u32))| Read { key, writer: writer(of), micro: micro as u32 };
            let reads: Vec<Read> = made.reads.iter().enumerate().map(read).collect();
            let writes: Vec<Write> = made.writes.iter().map(|&key| Write { key, micro: 0 }).collect();
            accesses.push(&reads, &writes, true);
        }
        let line = format!("{:?}", (&self.made, &self.began, &self.ended));
        Case { history, line, accesses, uncertain: Vec::new(), known: Vec::new() }
    }
}
