//! Where the order of a key's versions may come from, and what each source says of each key.
//!
//! A version is named by the transaction that wrote it last, or [`INITIAL`]. A [`Step`] says that one version came before
//! another. What follows from the steps of a source by transitivity is not said again where that is cheap to see.

use super::mutant::{Mutant, Mutation};
use super::reads::Update;
use crate::txn::accesses::{Accesses, INITIAL, UNKNOWN};
use crate::txn::meter::{Meter, Spent};
use crate::txn::txns::{OPEN, TxnId, Txns};
use rayon::prelude::*;

/// Why a version came before another. In the order in which sources are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The initial state comes first.
    Initial,
    /// The client reported it.
    Explicit,
    /// A transaction read the one and wrote the other.
    WritesFollowReads,
    /// A process saw or wrote the one, and the other later.
    SequentialKeys,
    /// Somebody who saw or wrote the one had ended before somebody began who saw or wrote the other.
    LinearizableKeys,
}

impl Source {
    /// In words, after "because of".
    pub fn about(self) -> &'static str {
        match self {
            Source::Initial => "the initial state",
            Source::Explicit => "the versions that the client reported",
            Source::WritesFollowReads => "a write that follows a read",
            Source::SequentialKeys => "the order of a process",
            Source::LinearizableKeys => "the order of real time",
        }
    }
}

/// A version came before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step {
    /// The key's number.
    pub key: u32,
    /// Who says so.
    pub source: Source,
    /// The earlier version.
    pub from: TxnId,
    /// The later one. [`INITIAL`] only where a source contradicts that the initial state comes first.
    pub to: TxnId,
    /// Who saw or wrote the earlier one.
    pub from_by: TxnId,
    /// Who saw or wrote the later one.
    pub to_by: TxnId,
}

impl Step {
    /// Whether it says something: that the initial state comes first is known.
    pub fn is_news(&self) -> bool {
        self.from != self.to && self.from != INITIAL
    }
}

/// A transaction saw or wrote a version. In order of key, process, transaction and place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Touch {
    /// The key's number.
    pub key: u32,
    session: u32,
    /// The transaction.
    pub txn: TxnId,
    micro: u32,
    /// The version.
    pub version: TxnId,
}

/// All touches of committed transactions, but for reads whose writer is not certain.
pub(super) fn touches(txns: &Txns<'_>, accesses: &Accesses) -> Vec<Touch> {
    let mut all = Vec::new();
    for txn in (0..accesses.len() as TxnId).filter(|&id| accesses.committed[id as usize]) {
        let session = txns.session(txn);
        let reads = accesses.reads(txn).iter().filter(|read| read.writer != UNKNOWN);
        all.extend(reads.map(|read| Touch { key: read.key, session, txn, micro: read.micro, version: read.writer }));
        let writes = accesses.writes(txn).iter();
        all.extend(writes.map(|write| Touch { key: write.key, session, txn, micro: write.micro, version: txn }));
    }
    all.par_sort_unstable();
    all
}

/// Writes follow reads.
pub(super) fn writes_follow_reads(updates: &[Update], steps: &mut Vec<Step>) {
    let all = updates.iter().map(|update| Step {
        key: update.key,
        source: Source::WritesFollowReads,
        from: update.of,
        to: update.by,
        from_by: update.by,
        to_by: update.by,
    });
    steps.extend(all.filter(Step::is_news));
}

/// The order of processes: neighbours of a key and a process.
pub(super) fn sequential_keys(touches: &[Touch], steps: &mut Vec<Step>, mutation: Mutation) {
    for pair in touches.windows(2) {
        let [earlier, later] = [pair[0], pair[1]];
        let is_other_process = earlier.session != later.session && !mutation.is(Mutant::SessionsMixed);
        if earlier.key != later.key || is_other_process {
            continue;
        }
        let step = between(earlier, later, Source::SequentialKeys);
        steps.extend(Some(step).filter(Step::is_news));
    }
}

fn between(earlier: Touch, later: Touch, source: Source) -> Step {
    Step { key: earlier.key, source, from: earlier.version, to: later.version, from_by: earlier.txn, to_by: later.txn }
}

/// Where a version was in use, in real time.
#[derive(Debug, Clone, Copy)]
struct Zone {
    version: TxnId,
    /// The first end of somebody who saw or wrote it; [`OPEN`] if there is none.
    first_end: u32,
    first_ended: TxnId,
    /// The last beginning of somebody who saw or wrote it.
    last_begin: u32,
    last_begun: TxnId,
}

/// The order of real time of one key (its touches are given): a version came before another if somebody who touched the
/// one had ended before somebody began who touched the other. Only between nearest ones, O(n log n) but for the steps
/// themselves; where two versions came each before the other, that alone.
pub(super) fn linearizable_key(
    txns: &Txns<'_>,
    touches: &[Touch],
    steps: &mut Vec<Step>,
    meter: &mut Meter,
    mutation: Mutation,
) -> Result<(), Spent> {
    for pair in touches.windows(2).filter(|pair| pair[0].txn == pair[1].txn) {
        let step = between(pair[0], pair[1], Source::LinearizableKeys);
        steps.extend(Some(step).filter(Step::is_news));
    }
    let Some(key) = touches.first().map(|touch| touch.key) else { return Ok(()) };
    let step = |from: &Zone, to: &Zone| Step {
        key,
        source: Source::LinearizableKeys,
        from: from.version,
        to: to.version,
        from_by: from.first_ended,
        to_by: to.last_begun,
    };
    let zones = zones(txns, touches, mutation);
    if let Some((a, b)) = contradiction(&zones) {
        steps.extend([step(&a, &b), step(&b, &a)].iter().filter(|step| step.is_news()));
        return Ok(());
    }
    let mut latest = Latest::default();
    let mut order: Vec<&Zone> = zones.iter().collect();
    order.sort_unstable_by_key(|zone| zone.last_begin);
    let mut ended_count = 0;
    for later in order {
        while ended_count < zones.len() && zones[ended_count].first_end < later.last_begin {
            latest.add(&zones[ended_count]);
            ended_count += 1;
        }
        let known = steps.len();
        for earlier in zones[..ended_count].iter().rev() {
            if latest.third() > earlier.first_end {
                break;
            }
            let is_nearest = latest.without(earlier.version, later.version) < earlier.first_end;
            if earlier.version != later.version && is_nearest {
                steps.extend(Some(step(earlier, later)).filter(Step::is_news));
            }
        }
        // They are copied when sources are joined.
        let more = steps.len() - known;
        meter.step(more as u64)?;
        meter.take_bytes((more * size_of::<Step>() * 2) as u64)?;
    }
    Ok(())
}

/// The zones of a key in order of their first ends.
fn zones(txns: &Txns<'_>, touches: &[Touch], mutation: Mutation) -> Vec<Zone> {
    let of = |touch: &Touch| {
        let end = txns.ended(touch.txn);
        let is_idle = end == OPEN && mutation.is(Mutant::DoubtEndsAtOnce);
        let first_end = if is_idle { txns.invoked(touch.txn) + 1 } else { end };
        let last_begin = txns.invoked(touch.txn);
        Zone { version: touch.version, first_end, first_ended: touch.txn, last_begin, last_begun: touch.txn }
    };
    let mut all: Vec<Zone> = touches.iter().map(of).collect();
    all.sort_unstable_by_key(|zone| zone.version);
    all.dedup_by(|next, zone| {
        if next.version != zone.version {
            return false;
        }
        if next.first_end < zone.first_end {
            (zone.first_end, zone.first_ended) = (next.first_end, next.first_ended);
        }
        if next.last_begin > zone.last_begin {
            (zone.last_begin, zone.last_begun) = (next.last_begin, next.last_begun);
        }
        true
    });
    all.sort_unstable_by_key(|zone| zone.first_end);
    all
}

/// Two versions that came each before the other: two that are in use over an overlapping time, or one that is written and
/// gone within the time of another. If there are none, the order has no cycle (Gibbons and Korach, "Testing Shared
/// Memories", 1997).
fn contradiction(zones: &[Zone]) -> Option<(Zone, Zone)> {
    let is_forward = |zone: &&Zone| zone.first_end < zone.last_begin;
    let forward: Vec<Zone> = zones.iter().filter(is_forward).copied().collect();
    for pair in forward.windows(2) {
        // Up to the first overlap each ends before the next begins, so neighbours are enough.
        if pair[1].first_end < pair[0].last_begin {
            return Some((pair[0], pair[1]));
        }
    }
    for inner in zones.iter().filter(|zone| !is_forward(zone)) {
        let place = forward.partition_point(|outer| outer.first_end < inner.last_begin);
        let outer = place.checked_sub(1).map(|place| forward[place]);
        if let Some(outer) = outer
            && inner.first_end < outer.last_begin
        {
            return Some((outer, *inner));
        }
    }
    None
}

/// The three zones so far that are in use the longest.
#[derive(Debug, Default)]
struct Latest {
    zones: [(u32, TxnId); 3],
    count: usize,
}

impl Latest {
    fn add(&mut self, zone: &Zone) {
        let mut item = (zone.last_begin, zone.version);
        for place in 0..3 {
            if place >= self.count {
                self.zones[place] = item;
                self.count += 1;
                return;
            }
            if self.zones[place].0 < item.0 {
                std::mem::swap(&mut self.zones[place], &mut item);
            }
        }
    }

    /// The third one's last beginning; zero if there are not so many.
    fn third(&self) -> u32 {
        if self.count == 3 { self.zones[2].0 } else { 0 }
    }

    /// The last beginning of all but two; zero if there are no others.
    fn without(&self, a: TxnId, b: TxnId) -> u32 {
        let others = self.zones[..self.count].iter().filter(|(_, version)| *version != a && *version != b);
        others.map(|(begin, _)| *begin).max().unwrap_or_default()
    }
}
