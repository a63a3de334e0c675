//! How stale the answers of registers were, as figures.
//!
//! An answer that told value `v` (a read, a compare-and-set that matched), where `v` was written once, by `w`, is at least
//! `k` values old:
//!
//! > k = 1 + the number of changes w' that began after `w` had ended, and had ended before the answer's operation began
//!
//! as in every order that real time allows each of these stands between `w` and the answer. In a history that has an order
//! every k is 1. (A lower bound for k-atomicity per read; Aiyer, Alvisi, Bazzi 2005; Golab, Li, Shah 2011.)
//!
//! `delta` is how old in time answers must be allowed to be: the least number of milliseconds such that the history of reads
//! and writes has an order once every read may take effect so much before it was invoked (Delta-atomicity, Golab, Li,
//! Shah 2011), by zones and a binary search: letting reads begin earlier only ever takes exclusions away.
//!
//! Not covered: values that were written more than once (such a key is left out, and counted); delta with compare-and-set,
//! and where an answer came from nowhere or before its write began, which no delta explains (left out, and counted). What
//! is in doubt counts as a change only for those who saw its value. O(n log n) for each key, times the digits of delta.

use rustc_hash::FxHashMap;
use schism_history::{History, OpIndex};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::hash::Hash;

use super::model::{Cell, Model};
use super::mutant::Mutation;
use super::split::{self, Operation};

/// Named defects, which the tests must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum StalenessMutant {
    /// Changes that overlap the write count too.
    OverlappingWrites,
    /// Changes that overlap the read count too.
    OverlappingReads,
    /// The first value is never stale.
    InitialIsFresh,
    /// Zones: writes move with reads.
    WritesMove,
    /// Zones: backward ones inside forward ones are allowed.
    BackwardInside,
    /// Zones: forward ones may overlap.
    ForwardsOverlap,
}

/// What is known of one key, or of several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Staleness {
    /// How many answers are at least so many values old.
    pub reads_by_k: BTreeMap<u64, u64>,
    /// The least delta of those keys that have one.
    pub delta_ms: Option<u64>,
    /// Keys with values that were written more than once.
    pub left_out: u64,
    /// Keys that no delta explains, or for which it has no meaning.
    pub delta_left_out: u64,
}

impl Staleness {
    /// Adds what is known of another key.
    pub fn join(mut self, other: Staleness) -> Staleness {
        for (k, count) in other.reads_by_k {
            *self.reads_by_k.entry(k).or_default() += count;
        }
        self.delta_ms = self.delta_ms.max(other.delta_ms);
        self.left_out += other.left_out;
        self.delta_left_out += other.delta_left_out;
        self
    }

    /// A key that has an order: every answer was fresh.
    pub fn fresh<M: Model>(model: &M, operations: &[Operation<M::Action>]) -> Staleness {
        let told = |one: &&Operation<M::Action>| {
            !one.in_doubt() && model.cell(&one.action).is_some_and(|cell| cell.needs.is_some())
        };
        let count = operations.iter().filter(told).count() as u64;
        let reads_by_k = (count > 0).then_some((1, count)).into_iter().collect();
        Staleness { reads_by_k, delta_ms: Some(0), ..Staleness::default() }
    }

    /// As JSON.
    pub fn to_json(&self) -> Json {
        json!({
            "k_max": self.reads_by_k.keys().next_back(),
            "reads_by_k": self.reads_by_k.iter().map(|(k, count)| (k.to_string(), json!(count))).collect::<serde_json::Map<_, _>>(),
            "delta_ms": self.delta_ms,
            "keys_left_out_count": self.left_out,
            "delta_keys_left_out_count": self.delta_left_out,
        })
    }
}

/// An operation of a cell, with its events and times.
pub(crate) struct Deed<S> {
    pub cell: Cell<S>,
    /// Places of invocation and completion among events; `u32::MAX` where there is none.
    pub begin: u32,
    pub end: u32,
    /// Their times; the end of one in doubt never comes.
    pub begin_ns: u64,
    pub end_ns: u64,
}

/// Times of events, each not before the one before it: the order of events is what counts, whatever the clock said.
pub(crate) fn times(history: &History) -> Vec<u64> {
    let mut now = 0;
    let time = |index| {
        now = history.time_ns(index).max(now);
        now
    };
    (0..history.len() as OpIndex).map(time).collect()
}

/// The figures of one key, with the times of the history's events; `None` if the model is not one of cells.
pub(crate) fn of_key<M: Model>(model: &M, times: &[u64], operations: Vec<Operation<M::Action>>) -> Option<Staleness> {
    let deed = |one: &Operation<M::Action>| {
        let end_ns = times.get(one.end as usize).copied().unwrap_or(u64::MAX);
        let begin_ns = times.get(one.invoke as usize).copied().unwrap_or(0);
        Some(Deed { cell: model.cell(&one.action)?, begin: one.invoke, end: one.end, begin_ns, end_ns })
    };
    let mut all = Staleness::default();
    for (_, part) in split::parts(model, operations) {
        let deeds: Option<Vec<Deed<M::State>>> = part.iter().map(deed).collect();
        all = all.join(figures(&model.initial(), &deeds?, Mutation::default()));
    }
    Some(all)
}

/// A value and who wrote it.
struct Written<S> {
    writers: FxHashMap<S, (usize, u32)>,
    initial: S,
}

/// The figures of operations in order of invocation.
pub(crate) fn figures<S: Eq + Hash + Clone>(
    initial: &S,
    deeds: &[Deed<S>],
    mutation: Mutation<StalenessMutant>,
) -> Staleness {
    let mut written = Written { writers: FxHashMap::default(), initial: initial.clone() };
    for (place, deed) in deeds.iter().enumerate() {
        if let Some(state) = &deed.cell.leaves {
            let writer = written.writers.entry(state.clone()).or_insert((place, 0));
            writer.1 += 1;
        }
    }
    let told = |deed: &&Deed<S>| deed.end != u32::MAX && deed.cell.needs.is_some();
    let is_ambiguous = |state: &S| {
        let writers = written.writers.get(state).map_or(0, |&(_, count)| count);
        writers + u32::from(*state == *initial) > 1
    };
    if deeds.iter().filter(told).filter_map(|deed| deed.cell.needs.as_ref()).any(is_ambiguous) {
        return Staleness { left_out: 1, ..Staleness::default() };
    }
    let reads_by_k = ages(deeds, &written, mutation);
    let delta_ms = delta(deeds, &written, mutation);
    Staleness { reads_by_k, delta_ms, left_out: 0, delta_left_out: u64::from(delta_ms.is_none()) }
}

/// How many answers have which k. Answers of values that nobody wrote have none.
fn ages<S: Eq + Hash>(
    deeds: &[Deed<S>],
    written: &Written<S>,
    mutation: Mutation<StalenessMutant>,
) -> BTreeMap<u64, u64> {
    let changes: Vec<&Deed<S>> =
        deeds.iter().filter(|deed| deed.cell.leaves.is_some() && deed.end != u32::MAX).collect();
    // Changes by completion go into a tree by the rank of their invocation; answers ask at their invocation.
    let begins: Vec<u32> = changes.iter().map(|deed| deed.begin).collect();
    let mut by_end: Vec<(u32, usize)> = changes.iter().map(|deed| deed.end).zip(0..).collect();
    by_end.sort_unstable();
    let mut tree = Fenwick(vec![0; changes.len()]);
    let mut ended = by_end.into_iter().peekable();
    let mut count_by_k = BTreeMap::new();
    let mut answers: Vec<&Deed<S>> = deeds.iter().filter(|deed| deed.end != u32::MAX).collect();
    let asked_at = |deed: &Deed<S>| match mutation.is(StalenessMutant::OverlappingReads) {
        true => deed.end,
        false => deed.begin,
    };
    answers.sort_unstable_by_key(|deed| asked_at(deed));
    for answer in answers {
        while let Some((_, rank)) = ended.next_if(|&(end, _)| end < asked_at(answer)) {
            tree.add(rank);
        }
        let Some(state) = &answer.cell.needs else { continue };
        let wrote = match written.writers.get(state) {
            Some(&(writer, _)) if mutation.is(StalenessMutant::OverlappingWrites) => deeds[writer].begin.checked_add(1),
            Some(&(writer, _)) => Some(deeds[writer].end),
            None if *state == written.initial && mutation.is(StalenessMutant::InitialIsFresh) => Some(u32::MAX),
            None if *state == written.initial => Some(0),
            None => None,
        };
        let Some(wrote) = wrote else { continue };
        // Nothing begins at event 0 after something ended there, and the first value was there before all.
        let from = if wrote == 0 { 0 } else { begins.partition_point(|&begin| begin <= wrote) };
        *count_by_k.entry(1 + tree.count_from(from)).or_insert(0) += 1;
    }
    count_by_k
}

/// Counts by rank.
struct Fenwick(Vec<u64>);

impl Fenwick {
    fn add(&mut self, rank: usize) {
        // From the back, so that prefixes are what is from a rank on.
        let mut at = self.0.len() - rank;
        while at <= self.0.len() {
            self.0[at - 1] += 1;
            at += at & at.wrapping_neg();
        }
    }

    /// How many of at least this rank.
    fn count_from(&self, rank: usize) -> u64 {
        let (mut at, mut sum) = (self.0.len() - rank.min(self.0.len()), 0);
        while at > 0 {
            sum += self.0[at - 1];
            at &= at - 1;
        }
        sum
    }
}

/// A value's events as moments: a time, and the event's place among those of that time.
struct Cluster {
    /// The earliest completion.
    f: Moment,
    /// The invocation of the write, and the latest one of a read.
    write: Moment,
    read: Option<Moment>,
}

type Moment = (i128, u32);

/// The least delta, milliseconds.
fn delta<S: Eq + Hash>(deeds: &[Deed<S>], written: &Written<S>, mutation: Mutation<StalenessMutant>) -> Option<u64> {
    let clusters = clusters(deeds, written)?;
    let passes = |delta_ms: u64| zones_pass(&clusters, i128::from(delta_ms) * 1_000_000, mutation);
    let last = deeds.iter().map(|deed| deed.begin_ns).max().unwrap_or(0);
    // With this every read begins before everything.
    let (mut low, mut high) = (0, last / 1_000_000 + 1);
    if !passes(high) {
        return None;
    }
    while low < high {
        let middle = u64::midpoint(low, high);
        if passes(middle) { high = middle } else { low = middle + 1 }
    }
    Some(low)
}

/// Each value with its write and reads; `None` where an answer can have come from no write, or something is neither.
fn clusters<S: Eq + Hash>(deeds: &[Deed<S>], written: &Written<S>) -> Option<Vec<Cluster>> {
    const BEFORE_ALL: Moment = (-1, 0);
    let mut clusters: FxHashMap<&S, Cluster> = FxHashMap::default();
    let mut unseen = Vec::new();
    let end = |deed: &Deed<S>| (i128::from(deed.end_ns), deed.end);
    for deed in deeds.iter().filter(|deed| deed.end != u32::MAX) {
        let begin = (i128::from(deed.begin_ns), deed.begin);
        match (&deed.cell.needs, &deed.cell.refuses, &deed.cell.leaves) {
            (Some(state), None, None) => {
                let (write, f) = match written.writers.get(state) {
                    Some(&(writer, _)) => {
                        let writer = &deeds[writer];
                        (writer.cell.needs.is_none()).then_some(())?;
                        ((i128::from(writer.begin_ns), writer.begin), end(writer))
                    }
                    None if *state == written.initial => (BEFORE_ALL, BEFORE_ALL),
                    None => return None,
                };
                (end(deed) > write).then_some(())?;
                let cluster = clusters.entry(state).or_insert(Cluster { f, write, read: None });
                cluster.f = cluster.f.min(end(deed));
                cluster.read = cluster.read.max(Some(begin));
            }
            (None, None, Some(state)) => unseen.push((state, begin, end(deed))),
            _ => return None,
        }
    }
    let unseen = unseen.into_iter().filter(|(state, ..)| !clusters.contains_key(state));
    let unseen: Vec<Cluster> = unseen.map(|(_, write, f)| Cluster { f, write, read: None }).collect();
    Some(clusters.into_values().chain(unseen).collect())
}

/// Whether clusters can be ordered once reads may begin so much earlier.
fn zones_pass(clusters: &[Cluster], delta_ns: i128, mutation: Mutation<StalenessMutant>) -> bool {
    let zone = |cluster: &Cluster| {
        let earlier = |(time, event): Moment| (time - delta_ns, event);
        let write = if mutation.is(StalenessMutant::WritesMove) { earlier(cluster.write) } else { cluster.write };
        (cluster.f, cluster.read.map_or(write, |read| write.max(earlier(read))))
    };
    let (mut forwards, backwards): (Vec<_>, Vec<_>) = clusters.iter().map(zone).partition(|(f, s)| f < s);
    forwards.sort_unstable();
    let apart = forwards.windows(2).all(|pair| pair[0].1 < pair[1].0);
    if !apart && !mutation.is(StalenessMutant::ForwardsOverlap) {
        return false;
    }
    mutation.is(StalenessMutant::BackwardInside)
        || backwards.iter().all(|&(f, s)| {
            let before = forwards.partition_point(|forward| forward.0 < s);
            before.checked_sub(1).is_none_or(|place| forwards[place].1 < f)
        })
}
