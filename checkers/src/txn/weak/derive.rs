//! The orders that the axioms force, all three levels in one pass.
//!
//! For a read of a key from `b` by `r`, and another writer `a` of the key that is visible to `r`, `a` came before `b`
//! (Biswas and Enea, "On the complexity of checking transactional consistency", 2019). Visible means: for read committed
//! that `r` had read from `a` before; for read atomic that `r` read from it or follows it in its session; for causal
//! consistency that there is a path of such steps. Each is a part of the next, so one look at each pair says all three.
//!
//! Units have ranks that keep the order of sessions and of reads, so a cycle needs an order that points back: `a` behind
//! `b`. Those are few, and found by looking at the key's writers after `b`. Orders that point forward matter only where
//! they are part of a cycle with one that points back, so only the short ones are kept, and of them those that no path
//! says anyway; if some windows of ranks that orders pointing back span are longer than that, the pass is run again for
//! all orders within these, now with horizons: what lies below that of `b` is all in the past of `b`. Cost: one binary
//! search a read, and a step for each writer of its key that was visible and newer.

use std::ops::Range;

use super::clocks::{Clocks, Purpose};
use super::mutant::{Mutant, Mutation};
use super::units::{NONE, Ranked, Source};
use crate::txn::meter::{Meter, Spent};

/// Length up to which orders that point forward are kept at first.
pub(super) const NEAR: u32 = 256;

/// The levels, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Axiom {
    /// Read committed.
    Committed,
    /// Read atomic.
    Atomic,
    /// Causal consistency.
    Causal,
}

impl Axiom {
    pub const ALL: [Axiom; 3] = [Axiom::Committed, Axiom::Atomic, Axiom::Causal];
}

/// A forced order. Units by rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Forced {
    /// The earlier one.
    pub from: u32,
    /// The later one, which was read; [`NONE`] for the initial state, which nothing is before.
    pub to: u32,
    /// The weakest level that forces it.
    pub axiom: Axiom,
    /// Who read it.
    pub reader: u32,
    /// Which of the reader's reads, by its place among them.
    pub read: u32,
}

/// How many of what is wrong by itself are kept of each axiom.
pub(super) const KEPT_MAX: usize = 64;
/// So many reads are looked through for one step.
const READS_A_STEP: u64 = 32;

/// What one pass found.
#[derive(Debug, Default)]
pub(super) struct Forces {
    /// Orders that point back, and short ones that point forward.
    pub orders: Vec<Forced>,
    /// Orders before the initial state, by axiom; not all.
    pub before_initial: [Vec<Forced>; 3],
    /// Reader and two of its reads (by their places) that saw two versions; not all.
    pub twice: Vec<(u32, u32, u32)>,
    bytes: u64,
}

impl Forces {
    /// These orders alone.
    pub fn of(orders: Vec<Forced>) -> Forces {
        Forces { orders, ..Forces::default() }
    }

    /// Adds one.
    pub fn keep(&mut self, forced: Forced, meter: &mut Meter) -> Result<(), Spent> {
        if forced.to == NONE {
            let kept = &mut self.before_initial[forced.axiom as usize];
            if kept.len() < KEPT_MAX {
                kept.push(forced);
            }
            return Ok(());
        }
        if self.orders.len() == self.orders.capacity() {
            let more = self.orders.capacity().max(1024);
            let bytes = (more * size_of::<Forced>()) as u64;
            meter.take_bytes(bytes)?;
            self.bytes += bytes;
            self.orders.reserve_exact(more);
        }
        self.orders.push(forced);
        Ok(())
    }

    /// Whether all are known that are before the initial state.
    pub fn has_all_initial(&self) -> bool {
        self.before_initial.iter().all(|found| found.len() < KEPT_MAX)
    }

    /// Gives the bytes back.
    pub fn close(self, meter: &mut Meter) {
        meter.give_back(self.bytes);
    }
}

/// Runs the pass. `near` is the length up to which orders that point forward are kept.
pub(super) fn derive(ranked: &Ranked<'_>, near: u32, meter: &mut Meter, mutation: Mutation) -> Result<Forces, Spent> {
    let whole = 0..ranked.len();
    let pass = Pass { ranked, near, among: None, mutation, forces: Forces::default(), looked: Vec::new() };
    pass.run(std::slice::from_ref(&whole), meter)
}

/// Runs it again for all orders within each of these disjoint windows of ranks, rising, between which none points back;
/// of others what `known` says.
pub(super) fn derive_within(
    ranked: &Ranked<'_>,
    windows: &[Range<u32>],
    known: &Forces,
    meter: &mut Meter,
    mutation: Mutation,
) -> Result<Forces, Spent> {
    let among = Among::of(ranked, windows);
    let near = windows.iter().map(|window| window.end - window.start).max().unwrap_or(0);
    let runs = among.runs(ranked);
    let forces = Forces::default();
    let pass = Pass { ranked, near, among: Some(among), mutation, forces, looked: Vec::new() };
    let mut forces = pass.run(&runs, meter)?;
    let among = Among::of(ranked, windows);
    let others = known.orders.iter().filter(|forced| !among.has(forced.from, forced.to));
    let kept = others.copied().try_for_each(|forced| forces.keep(forced, meter));
    if let Err(spent) = kept {
        forces.close(meter);
        return Err(spent);
    }
    forces.before_initial = known.before_initial.clone();
    forces.twice = known.twice.clone();
    Ok(forces)
}

/// Windows that are looked at alone.
pub(super) struct Among<'a> {
    windows: &'a [Range<u32>],
    /// By rank: the window, or [`NONE`].
    of: Vec<u32>,
}

impl<'a> Among<'a> {
    /// These.
    pub fn of(ranked: &Ranked<'_>, windows: &'a [Range<u32>]) -> Among<'a> {
        let mut of = vec![NONE; ranked.len() as usize];
        for (number, window) in windows.iter().enumerate() {
            of[window.start as usize..window.end as usize].fill(number as u32);
        }
        Among { windows, of }
    }

    /// The window of a unit.
    #[inline]
    pub fn window(&self, rank: u32) -> Option<&Range<u32>> {
        self.windows.get(self.of[rank as usize] as usize)
    }

    /// Whether one of them has both.
    #[inline]
    pub fn has(&self, one: u32, other: u32) -> bool {
        self.of[one as usize] != NONE && self.of[one as usize] == self.of[other as usize]
    }

    /// The ranks that say something about orders within windows: from where a window begins to the last who reads of it.
    pub fn runs(&self, ranked: &Ranked<'_>) -> Vec<Range<u32>> {
        // A circle is never begun in its midst.
        let start = |window: &Range<u32>| ranked.circle(window.start).start;
        let mut runs: Vec<Range<u32>> = self.windows.iter().map(|window| start(window)..window.end).collect();
        for rank in runs.first().map_or(0, |first| first.start)..ranked.len() {
            for source in ranked.sources(rank) {
                if let Some(run) = runs.get_mut(self.of[source as usize] as usize) {
                    run.end = run.end.max(ranked.circle(rank).end);
                }
            }
        }
        merged(runs)
    }
}

/// Ranges that share something are one.
pub(super) fn merged(mut all: Vec<Range<u32>>) -> Vec<Range<u32>> {
    all.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u32>> = Vec::new();
    for range in all {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

struct Pass<'a> {
    ranked: &'a Ranked<'a>,
    near: u32,
    /// If it is run again: only orders within these are asked for.
    among: Option<Among<'a>>,
    mutation: Mutation,
    forces: Forces,
    /// Reads of the unit that is looked at.
    looked: Vec<Looked<'a>>,
}

/// A read that says something.
#[derive(Clone, Copy)]
struct Looked<'a> {
    place: u32,
    /// What was read; [`NONE`] for the initial state.
    to: u32,
    /// Writers of its key, rising; the first of them that is newer than what was read.
    writers: &'a [u32],
    first: usize,
}

impl Pass<'_> {
    fn run(mut self, runs: &[Range<u32>], meter: &mut Meter) -> Result<Forces, Spent> {
        let purpose = Purpose { windows: runs, has_horizons: self.among.is_some(), near: Some(self.near) };
        let mut clocks = Clocks::new(self.ranked, purpose, self.mutation);
        let mut outcome = Ok(());
        for rank in runs.iter().flat_map(Range::clone) {
            outcome = clocks.begin(self.ranked, rank, meter).and_then(|()| self.unit(rank, &clocks, meter));
            if outcome.is_err() {
                break;
            }
            clocks.end(self.ranked, rank);
        }
        clocks.close(meter);
        match outcome {
            Ok(()) => Ok(self.forces),
            Err(spent) => {
                self.forces.close(meter);
                Err(spent)
            }
        }
    }

    /// Finds what each read of a unit is about. Keys lie anywhere in memory: all reads are looked up before any is judged, one
    /// thing at a time, so that a processor waits for several of them at once.
    fn look(&mut self, rank: u32) {
        let ranked = self.ranked;
        let reads = ranked.accesses.reads(ranked.unit(rank));
        self.looked.clear();
        for (place, read) in reads.iter().enumerate() {
            let to = match ranked.source(rank, read.writer) {
                Source::Unknown => continue,
                Source::Initial if self.mutation.is(Mutant::InitialForgotten) => continue,
                Source::Initial => NONE,
                // It reads from what follows it: a cycle by itself, and whatever it has seen precedes that as well.
                Source::Unit(writer) if writer > rank => continue,
                Source::Unit(writer) => writer,
            };
            if self.among.as_ref().is_some_and(|among| to == NONE || among.window(to).is_none()) {
                continue;
            }
            self.looked.push(Looked { place: place as u32, to, writers: ranked.writers(read.key), first: 0 });
        }
        for read in self.looked.iter_mut().filter(|read| read.to != NONE) {
            read.first = read.writers.partition_point(|&other| other <= read.to);
        }
    }

    fn unit(&mut self, rank: u32, clocks: &Clocks, meter: &mut Meter) -> Result<(), Spent> {
        if self.among.is_none() {
            self.twice(rank);
        }
        self.look(rank);
        // In a circle all have seen each other, and what they wrote after a read of their own: an earlier one of the session may have
        // read it. Of the initial state that says nothing more, as the circle is known.
        let own_end = self.ranked.circle(rank).end;
        let reads_count = self.ranked.accesses.reads(self.ranked.unit(rank)).len() as u64;
        for at in 0..self.looked.len() {
            let Looked { place, to, writers, first } = self.looked[at];
            let window = self.among.as_ref().and_then(|among| among.window(to)).cloned();
            let (start, end) = window.map_or((0, own_end), |window| (window.start, window.end.min(own_end)));
            for &other in &writers[first..] {
                if other >= end || self.mutation.is(Mutant::NewerIgnored) {
                    break;
                }
                if other == rank && to == NONE {
                    continue;
                }
                meter.step(1)?;
                if clocks.has_seen(rank, other) {
                    meter.step(reads_count / READS_A_STEP)?;
                    let forced =
                        Forced { from: other, to, axiom: self.axiom(rank, other, place), reader: rank, read: place };
                    self.forces.keep(forced, meter)?;
                }
            }
            if to == NONE || self.mutation.is(Mutant::ForwardForgotten) {
                continue;
            }
            let horizon = clocks.horizon(to);
            for &other in writers[..first].iter().rev() {
                if to - other > self.near || other < horizon || other < start {
                    break;
                }
                // In the first pass it is a constant for each read.
                meter.step(u64::from(self.among.is_some()))?;
                if other != to && clocks.has_seen(rank, other) && !clocks.has_seen(to, other) {
                    meter.step(reads_count / READS_A_STEP)?;
                    let forced =
                        Forced { from: other, to, axiom: self.axiom(rank, other, place), reader: rank, read: place };
                    self.forces.keep(forced, meter)?;
                }
            }
        }
        Ok(())
    }

    /// The weakest axiom by which a unit that was seen is visible to a read.
    fn axiom(&self, rank: u32, other: u32, place: u32) -> Axiom {
        let ranked = self.ranked;
        let reads = ranked.accesses.reads(ranked.unit(rank));
        let from = reads.iter().position(|read| ranked.source(rank, read.writer) == Source::Unit(other));
        let session = ranked.session[other as usize];
        match from {
            Some(from) if (from as u32) < place || self.mutation.is(Mutant::OrderOfReadsIgnored) => Axiom::Committed,
            Some(_) => Axiom::Atomic,
            // In a circle a later one of the session may have been seen, but not because of the session.
            None if other < rank
                && session != NONE
                && session == ranked.session[rank as usize]
                && !self.mutation.is(Mutant::SessionNotVisible) =>
            {
                Axiom::Atomic
            }
            None => Axiom::Causal,
        }
    }

    /// Looks for two reads of a key that saw two versions.
    fn twice(&mut self, rank: u32) {
        let ranked = self.ranked;
        let reads = ranked.accesses.reads(ranked.unit(rank));
        if reads.len() < 2 || self.forces.twice.len() >= KEPT_MAX {
            return;
        }
        let source = |place: usize| ranked.source(rank, reads[place].writer);
        let differ =
            |a: usize, b: usize| source(a) != source(b) && source(a) != Source::Unknown && source(b) != Source::Unknown;
        if reads.len() <= 24 {
            for b in 1..reads.len() {
                if let Some(a) = (0..b).find(|&a| reads[a].key == reads[b].key && differ(a, b)) {
                    self.forces.twice.push((rank, a as u32, b as u32));
                    return;
                }
            }
            return;
        }
        // By key, those of which nothing is known left out, so that neighbours suffice.
        let mut places: Vec<usize> = (0..reads.len()).filter(|&place| source(place) != Source::Unknown).collect();
        places.sort_unstable_by_key(|&place| (reads[place].key, place));
        let found = places.windows(2).find(|pair| reads[pair[0]].key == reads[pair[1]].key && differ(pair[0], pair[1]));
        if let Some(pair) = found {
            self.forces.twice.push((rank, pair[0] as u32, pair[1] as u32));
        }
    }
}
