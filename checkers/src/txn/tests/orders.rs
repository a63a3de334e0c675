//! Levels from their definitions, by trying all orders of the transactions.
//!
//! A level holds if some order of versions, some order of commits and some snapshots explain what was read. Every level
//! from PL-2 upwards forbids cycles of ww and wr, so each order of versions that it could need is that of some total order
//! of the transactions which keeps wr (and what lists show); all of these are tried. Sources: Adya, "Weak Consistency"
//! (1999); Cerone, Bernardi, Gotsman, "A Framework for Transactional Consistency Models with Atomic Visibility" (2015);
//! Biswas, Enea, "On the Complexity of Checking Transactional Consistency" (2019).

use super::plain::{Case, Direct, Plain};
use super::{memories, singles};

macro_rules! levels {
    ($($level:ident = $name:literal,)*) => {
        /// A level.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Level { $($level,)* }

        /// All of them, with their names. `session-` before a name: with the order of processes, where the plain one has
        /// none; `axiomatic-`: as Biswas and Enea define it, always with the order of processes.
        pub const LEVELS: &[(Level, &str)] = &[$((Level::$level, $name),)*];
    };
}

levels! {
    Pl1 = "PL-1",
    Pl2 = "PL-2",
    CursorStability = "PL-CS",
    MonotonicView = "PL-2L",
    MonotonicSnapshotRead = "PL-MSR",
    ConsistentView = "PL-2+",
    ForwardConsistentView = "PL-FCV",
    UpdateSerializable = "PL-3U",
    RepeatableRead = "PL-2.99",
    MonotonicAtomicView = "monotonic-atomic-view",
    ReadAtomic = "read-atomic",
    UpdateAtomic = "update-atomic",
    CausalCerone = "causal-cerone",
    ParallelSnapshotIsolation = "parallel-snapshot-isolation",
    Prefix = "prefix",
    SnapshotIsolation = "PL-SI",
    Serializable = "PL-3",
    SessionPl1 = "strong-session-PL-1",
    SessionPl2 = "strong-session-PL-2",
    SessionSnapshotIsolation = "strong-session-snapshot-isolation",
    SessionSerializable = "strong-session-serializable",
    StrongPl1 = "strong-PL-1",
    StrongPl2 = "strong-PL-2",
    StrongSnapshotIsolation = "strong-snapshot-isolation",
    StrictSerializable = "PL-SS",
    AxiomaticReadCommitted = "axiomatic-read-committed",
    AxiomaticReadAtomic = "axiomatic-read-atomic",
    AxiomaticCausal = "axiomatic-causal",
    SessionParallelSnapshotIsolation = "session-parallel-snapshot-isolation",
    SessionPrefix = "axiomatic-prefix",
    SessionUpdateSerializable = "session-update-serializable",
    Sequential = "sequential",
    Linearizable = "linearizable",
    PipelinedRam = "pipelined-ram",
    CausalMemory = "causal-memory",
}

/// Whether each level holds; `None` where its definition says nothing about such a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column(pub Vec<Option<bool>>);

impl Column {
    /// Whether a level holds.
    pub fn get(&self, level: Level) -> Option<bool> {
        self.0[level as usize]
    }

    /// The names of the levels that do not hold.
    pub fn broken(&self) -> Vec<&'static str> {
        LEVELS.iter().filter(|(level, _)| self.get(*level) == Some(false)).map(|(_, name)| *name).collect()
    }
}

/// Judges a history by all levels. `None`: there are too many ways to say who read from whom.
pub fn judge(plain: &Plain) -> Option<Column> {
    let (cases, direct) = plain.cases();
    if cases.is_empty() || cases.iter().any(|case| case.count > 7) {
        return None;
    }
    let mut holds = 0u64;
    for case in &cases {
        holds |= Orders::of(case).holds;
    }
    let linearizable = singles::explained(plain, true);
    holds |= u64::from(linearizable) << Level::Linearizable as u32;
    holds |= u64::from(linearizable || singles::explained(plain, false)) << Level::Sequential as u32;
    let [pipelined, causal] = [false, true].map(|causal| memories::explained(plain, causal));
    let verdict = |&(level, _): &(Level, &str)| match level {
        Level::PipelinedRam => pipelined,
        Level::CausalMemory => causal,
        _ => verdict(level, holds >> level as u32 & 1 == 1, direct),
    };
    Some(Column(LEVELS.iter().map(verdict).collect()))
}

/// What contradicts by itself decides for all levels that speak of it.
fn verdict(level: Level, holds: bool, direct: Direct) -> Option<bool> {
    use Level as L;
    if matches!(level, L::Sequential | L::Linearizable) {
        return Some(holds);
    }
    let dirty = matches!(level, L::Pl1 | L::SessionPl1 | L::StrongPl1);
    if direct.disorder || direct.unwritten || direct.intermediate {
        // What dirty writes are, the order of versions must say, and here it does not.
        return if !dirty {
            Some(false)
        } else if direct.disorder || direct.unwritten {
            None
        } else {
            Some(holds)
        };
    }
    if !direct.internal {
        return Some(holds);
    }
    // Adya's histories are such that a transaction sees its own writes; levels that were defined on these say nothing.
    let silent = matches!(
        level,
        L::Pl2
            | L::CursorStability
            | L::MonotonicView
            | L::MonotonicSnapshotRead
            | L::ConsistentView
            | L::ForwardConsistentView
            | L::UpdateSerializable
            | L::SessionUpdateSerializable
            | L::RepeatableRead
            | L::MonotonicAtomicView
            | L::SessionPl2
            | L::StrongPl2
            | L::AxiomaticReadCommitted
    );
    if dirty {
        Some(holds)
    } else if silent {
        None
    } else {
        Some(false)
    }
}

/// The levels that orders decide: all but those of single operations, which stand last.
const ORDERED: u64 = (1 << Level::Sequential as u32) - 1;

struct Orders<'c> {
    case: &'c Case,
    /// By transaction: from whom it read.
    wr: Vec<u32>,
    /// By key: who wrote it.
    writers: Vec<u32>,
    order: Vec<usize>,
    position: Vec<usize>,
    /// By level, as bits.
    holds: u64,
}

fn bits(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |bit| mask >> bit & 1 == 1)
}

impl<'c> Orders<'c> {
    fn of(case: &'c Case) -> Orders<'c> {
        let mut wr = vec![0; case.count];
        for read in &case.reads {
            wr[read.reader] |= read.writer.map_or(0, |writer| 1 << writer);
        }
        let writes = |key: usize| (0..case.count).filter(move |&txn| case.writes[txn][key].is_some());
        let writers = (0..case.keys_count).map(|key| writes(key).fold(0, |bits, txn| bits | 1 << txn)).collect();
        let mut all = Orders { case, wr, writers, order: Vec::new(), position: vec![0; case.count], holds: 0 };
        use Level as L;
        let nothing = vec![0; case.count];
        for (level, wr, keeps) in [
            (L::Pl1, &nothing, &nothing),
            (L::SessionPl1, &nothing, &case.process),
            (L::StrongPl1, &nothing, &case.realtime),
            (L::Pl2, &all.wr, &nothing),
            (L::SessionPl2, &all.wr, &case.process),
            (L::StrongPl2, &all.wr, &case.realtime),
        ] {
            let before: Vec<u32> = (0..case.count).map(|txn| case.versions[txn] | wr[txn] | keeps[txn]).collect();
            all.holds |= u64::from(is_acyclic(&before)) << level as u32;
        }
        if all.holds >> L::Pl2 as u32 & 1 == 1 {
            all.walk(0);
        }
        all
    }

    /// All orders that keep wr and what lists show.
    fn walk(&mut self, placed: u32) {
        // Nothing is left to be shown where all levels hold that orders decide.
        if self.holds & ORDERED == ORDERED {
            return;
        }
        if self.order.len() == self.case.count {
            self.judge();
            return;
        }
        for txn in 0..self.case.count {
            if placed >> txn & 1 == 0 && (self.wr[txn] | self.case.versions[txn]) & !placed == 0 {
                self.position[txn] = self.order.len();
                self.order.push(txn);
                self.walk(placed | 1 << txn);
                self.order.pop();
            }
        }
    }

    fn set(&mut self, level: Level, holds: impl FnOnce(&Self) -> bool) {
        if self.holds >> level as u32 & 1 == 0 && holds(self) {
            self.holds |= 1 << level as u32;
        }
    }

    fn judge(&mut self) {
        use Level as L;
        let process = &self.case.process;
        let realtime = &self.case.realtime;
        let nothing = &vec![0; self.case.count];
        if !self.has([L::CursorStability, L::MonotonicView, L::UpdateSerializable, L::SessionUpdateSerializable])
            || !self.has([L::ConsistentView, L::ForwardConsistentView, L::RepeatableRead, L::MonotonicSnapshotRead])
        {
            self.judge_by_cycles();
        }
        self.set(L::MonotonicAtomicView, |orders| orders.has_monotonic_reads());
        self.set(L::AxiomaticReadCommitted, |orders| orders.keeps(process) && orders.has_monotonic_reads());
        for (level, conflicts, closed, keeps) in [
            (L::ReadAtomic, true, false, nothing),
            (L::UpdateAtomic, false, false, nothing),
            (L::CausalCerone, true, true, nothing),
            (L::ParallelSnapshotIsolation, false, true, nothing),
            (L::AxiomaticReadAtomic, true, false, process),
            (L::AxiomaticCausal, true, true, process),
            (L::SessionParallelSnapshotIsolation, false, true, process),
        ] {
            self.set(level, |orders| orders.keeps(keeps) && orders.is_visible(conflicts, closed, keeps));
        }
        for (level, conflicts, keeps) in [
            (L::Prefix, true, nothing),
            (L::SessionPrefix, true, process),
            (L::SnapshotIsolation, false, nothing),
            (L::SessionSnapshotIsolation, false, process),
            (L::StrongSnapshotIsolation, false, realtime),
        ] {
            self.set(level, |orders| orders.has_snapshots(conflicts, keeps));
        }
        for (level, keeps) in
            [(L::Serializable, nothing), (L::SessionSerializable, process), (L::StrictSerializable, realtime)]
        {
            self.set(level, |orders| orders.keeps(keeps) && orders.is_serial());
        }
    }

    fn has(&self, levels: [Level; 4]) -> bool {
        levels.iter().all(|&level| self.holds >> level as u32 & 1 == 1)
    }

    fn judge_by_cycles(&mut self) {
        use Level as L;
        let process = &self.case.process;
        let nothing = &vec![0; self.case.count];
        let (ww, rw) = self.dependencies();
        let reach = self.closure(&ww, &[]);
        self.set(L::CursorStability, |orders| orders.has_stable_cursors());
        self.set(L::MonotonicView, |orders| orders.has_monotonic_views(&rw, &reach));
        self.set(L::MonotonicSnapshotRead, |orders| {
            orders.has_monotonic_views(&rw, &reach) && orders.has_read_snapshots()
        });
        self.set(L::ConsistentView, |_| rw.iter().all(|&(a, b)| reach[b] >> a & 1 == 0));
        // With all transactions beginning before any commits there are no edges of starts, so that this is the same.
        let consistent = self.holds >> L::ConsistentView as u32 & 1 == 1;
        self.set(L::ForwardConsistentView, |_| consistent);
        self.set(L::RepeatableRead, |orders| {
            let all = orders.closure(&ww, &rw);
            (0..all.len()).all(|txn| all[txn] >> txn & 1 == 0)
        });
        self.set(L::UpdateSerializable, |orders| orders.has_serial_updates(&ww, &rw, nothing));
        self.set(L::SessionUpdateSerializable, |orders| orders.has_serial_updates(&ww, &rw, process));
    }

    fn keeps(&self, before: &[u32]) -> bool {
        (0..self.case.count).all(|txn| bits(before[txn]).all(|other| self.position[other] < self.position[txn]))
    }

    /// The writer of the next version of a key after this one.
    fn next(&self, key: usize, after: Option<usize>) -> Option<usize> {
        let from = after.map_or(0, |txn| self.position[txn] + 1);
        self.order[from..].iter().copied().find(|&txn| self.writers[key] >> txn & 1 == 1)
    }

    /// Whom each transaction overwrites or is read by, as bits; and the anti-dependencies.
    fn dependencies(&self) -> (Vec<u32>, Vec<(usize, usize)>) {
        let mut after = vec![0; self.case.count];
        for key in 0..self.case.keys_count {
            for txn in bits(self.writers[key]) {
                after[txn] |= self.next(key, Some(txn)).map_or(0, |next| 1 << next);
            }
        }
        let mut rw = Vec::new();
        for read in &self.case.reads {
            if let Some(writer) = read.writer {
                after[writer] |= 1 << read.reader;
            }
            rw.extend(
                self.next(read.key, read.writer).filter(|&next| next != read.reader).map(|next| (read.reader, next)),
            );
        }
        (after, rw)
    }

    /// Whom each transaction reaches by one step or more.
    fn closure(&self, after: &[u32], more: &[(usize, usize)]) -> Vec<u32> {
        let mut reach = after.to_vec();
        for &(a, b) in more {
            reach[a] |= 1 << b;
        }
        for middle in 0..self.case.count {
            for from in 0..self.case.count {
                if reach[from] >> middle & 1 == 1 {
                    reach[from] |= reach[middle];
                }
            }
        }
        reach
    }

    /// G-cursor: a cycle of one rw and of ww, all of one key.
    fn has_stable_cursors(&self) -> bool {
        self.case.reads.iter().all(|read| {
            let lost = |next: usize| {
                next != read.reader
                    && self.writers[read.key] >> read.reader & 1 == 1
                    && self.position[next] < self.position[read.reader]
            };
            !self.next(read.key, read.writer).is_some_and(lost)
        })
    }

    /// G-monotonic: a cycle with one rw, from a read of a transaction whose micro-operations stand apart, in order.
    fn has_monotonic_views(&self, _rw: &[(usize, usize)], reach: &[u32]) -> bool {
        self.case.reads.iter().all(|read| {
            let Some(over) = self.next(read.key, read.writer).filter(|&next| next != read.reader) else { return true };
            let before = reach[over] | 1 << over;
            let seen = self.case.reads.iter().filter(|other| other.reader == read.reader && other.micro <= read.micro);
            let sees = seen.filter_map(|other| other.writer).any(|writer| before >> writer & 1 == 1);
            let overwrites = (0..self.case.keys_count).any(|key| {
                let earlier = self.order[..self.position[read.reader]].iter().rev();
                let previous = earlier.copied().find(|&txn| self.writers[key] >> txn & 1 == 1);
                self.case.writes[read.reader][key].is_some_and(|place| place < read.micro)
                    && previous.is_some_and(|previous| before >> previous & 1 == 1)
            });
            !sees && !overwrites
        })
    }

    /// G-MSRa and the part of G-MSRb that rests on snapshots: each read has one, the first so many of the order, which holds
    /// what it read and no later version of that, and they do not shrink. A transaction's own version is none of others'.
    fn has_read_snapshots(&self) -> bool {
        (0..self.case.count).all(|txn| {
            let mut reads: Vec<_> = self.case.reads.iter().filter(|read| read.reader == txn).collect();
            reads.sort_by_key(|read| read.micro);
            let mut least = 0;
            reads.iter().all(|read| {
                least = least.max(read.writer.map_or(0, |writer| self.position[writer] + 1));
                let next = self.next(read.key, read.writer).filter(|&next| next != txn);
                next.is_none_or(|next| least <= self.position[next])
            })
        })
    }

    /// No cycle of updates, nor of these and one transaction that only reads.
    fn has_serial_updates(&self, ww: &[u32], rw: &[(usize, usize)], keeps: &[u32]) -> bool {
        let updates = self.writers.iter().fold(0, |bits, writers| bits | writers);
        let others = (0..self.case.count).filter(|txn| updates >> txn & 1 == 0).map(Some);
        others.chain([None]).all(|reader| {
            let all = updates | reader.map_or(0, |reader| 1 << reader);
            let mut before = vec![0; self.case.count];
            for txn in bits(all) {
                before[txn] |= keeps[txn] & all;
                bits(ww[txn] & all).for_each(|later| before[later] |= 1 << txn);
            }
            for &(a, b) in rw.iter().filter(|&&(a, b)| all >> a & 1 == 1 && all >> b & 1 == 1) {
                before[b] |= 1 << a;
            }
            is_acyclic(&before)
        })
    }

    /// Whoever read from a transaction reads nothing older than its writes afterwards.
    fn has_monotonic_reads(&self) -> bool {
        self.case.reads.iter().all(|read| {
            let earlier =
                self.case.reads.iter().filter(|other| other.reader == read.reader && other.micro < read.micro);
            earlier.filter_map(|other| other.writer).all(|seen| {
                Some(seen) == read.writer
                    || self.writers[read.key] >> seen & 1 == 0
                    || read.writer.is_some_and(|writer| self.position[seen] < self.position[writer])
            })
        })
    }

    /// The least visibility that the level asks for, and whether every read is of the newest version that is visible.
    fn is_visible(&self, conflicts: bool, closed: bool, keeps: &[u32]) -> bool {
        let mut visible = vec![0u32; self.case.count];
        for &txn in &self.order {
            let mut sees = self.wr[txn] | keeps[txn];
            if !conflicts {
                let before = self.order[..self.position[txn]].iter().fold(0, |bits, txn| bits | 1u32 << txn);
                let keys = (0..self.case.keys_count).filter(|&key| self.writers[key] >> txn & 1 == 1);
                sees |= keys.fold(0, |bits, key| bits | self.writers[key] & before);
            }
            if closed {
                sees |= bits(sees).fold(0, |bits, other| bits | visible[other]);
            }
            visible[txn] = sees;
        }
        self.case.reads.iter().all(|read| {
            let seen = bits(visible[read.reader] & self.writers[read.key]);
            seen.max_by_key(|&txn| self.position[txn]) == read.writer
        })
    }

    /// Whether each transaction has a snapshot: the first so many of the order, none of those left out before it being a
    /// writer of what it writes.
    fn has_snapshots(&self, conflicts: bool, keeps: &[u32]) -> bool {
        (0..self.case.count).all(|txn| {
            let mut least = bits(keeps[txn]).map(|other| self.position[other] + 1).max().unwrap_or(0);
            let mut most = self.position[txn];
            for read in self.case.reads.iter().filter(|read| read.reader == txn) {
                least = least.max(read.writer.map_or(0, |writer| self.position[writer] + 1));
                most = most.min(self.next(read.key, read.writer).map_or(most, |next| self.position[next]));
            }
            for key in (0..self.case.keys_count).filter(|&key| !conflicts && self.writers[key] >> txn & 1 == 1) {
                let before =
                    self.order[..self.position[txn]].iter().rposition(|&other| self.writers[key] >> other & 1 == 1);
                least = least.max(before.map_or(0, |place| place + 1));
            }
            least <= most
        })
    }

    fn is_serial(&self) -> bool {
        self.case.reads.iter().all(|read| {
            let before = &self.order[..self.position[read.reader]];
            before.iter().rev().copied().find(|&txn| self.writers[read.key] >> txn & 1 == 1) == read.writer
        })
    }
}

/// Whether some order keeps that these come before.
fn is_acyclic(before: &[u32]) -> bool {
    let mut placed = 0u32;
    for _ in 0..before.len() {
        for (txn, before) in before.iter().enumerate() {
            placed |= u32::from(before & !placed == 0) << txn;
        }
    }
    placed.count_ones() as usize == before.len()
}
