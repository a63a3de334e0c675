//! The orders that the axioms force where sessions say nothing.
//!
//! Without sessions there are few long paths, and clocks (`clocks`) would need thousands of chains. But little is asked
//! here: whatever is forced without sessions is forced with them, so all orders that point back are known to be among
//! those that `derive` has found; and one that points forward matters only within the windows that these span. So who has
//! seen whom is asked for pairs of transactions of one window alone. It is found for 128 of them at a time, as a row of
//! bits for each transaction behind them, up to the last who is asked about.
//!
//! Cost: 16 bytes for each transaction of a run, so that rows of some hundred thousand stay in a processor's cache; and for
//! each 128 transactions of a window a quarter of a step for each read there. So where windows are large, it is looked
//! first whether what points back closes a cycle with reads alone, or with what follows on it at once.

use std::ops::Range;

use rayon::prelude::*;
use rustc_hash::FxHashSet;

use super::Suspects;
use super::components::{Graph, windows};
use super::derive::{Among, Axiom, Forced, Forces};
use super::mutant::{Mutant, Mutation};
use super::units::{Ranked, Source};
use crate::txn::meter::{Meter, Spent};

/// Words of a row, and how many transactions are looked for at a time; in tests of small histories these are a few already.
const WORDS: usize = 2;
const LOOKED_FOR: u32 = if cfg!(test) { 4 } else { WORDS as u32 * 64 };

/// Steps for each transaction that searches may take, and rows; beyond that clocks are better.
const SEARCHED_MAX: u64 = 64;
const ROWS_MAX: u64 = 1024;

/// So large may windows be that all is found out even where a cycle is known: it may be part of a shorter one.
const WHOLE_MAX: u64 = if cfg!(test) { 12 } else { 4096 };

/// So many blocks have rows at a time.
const LANES: usize = 4;

type Row = [u64; WORDS];

/// Finds them, where `ranked` has no sessions and `known` is what is forced with them. And whether less than all was looked at, as
/// that shows already that causal consistency is broken. `None` where clocks are better: if some read each other in a circle, if not
/// all is known that was written before the initial state was read, or if it would take too many steps or bytes.
pub(super) fn derive(
    ranked: &Ranked<'_>,
    known: &Forces,
    suspects: &Suspects,
    meter: &mut Meter,
    mutation: Mutation,
) -> Result<Option<(Forces, bool)>, Spent> {
    if ranked.has_circles() || !known.has_all_initial() || mutation.is(Mutant::AloneByClocks) {
        return Ok(None);
    }
    let mut forces = Forces::default();
    let found = complete(ranked, known, suspects, &mut forces, meter, mutation);
    match found {
        Ok(Outcome::Whole) => return Ok(Some((forces, false))),
        Ok(Outcome::Broken) => return Ok(Some((forces, true))),
        Ok(Outcome::TooMuch) => forces.close(meter),
        Err(Spent) => {
            forces.close(meter);
            return Err(Spent);
        }
    }
    Ok(None)
}

/// What was found.
enum Outcome {
    /// All orders within windows.
    Whole,
    /// Those that point back and some others, which close a cycle.
    Broken,
    /// It would take too many steps.
    TooMuch,
}

fn complete(
    ranked: &Ranked<'_>,
    known: &Forces,
    suspects: &Suspects,
    forces: &mut Forces,
    meter: &mut Meter,
    mutation: Mutation,
) -> Result<Outcome, Spent> {
    let mut past = Past { ranked, seen: vec![0; ranked.len() as usize], search: 0, queue: Vec::new() };
    let initial = known.before_initial.iter().flatten();
    let back = known.orders.iter().filter(|forced| forced.from > forced.to);
    let back = back.filter(|forced| suspects.is_in_cycle(ranked, forced));
    let count = u64::from(ranked.len());
    let searched_max = meter.steps.saturating_add(count.saturating_mul(SEARCHED_MAX).min(meter.steps_left()));
    for forced in initial.chain(back) {
        if meter.steps > searched_max {
            return Ok(Outcome::TooMuch);
        }
        if past.has(forced.reader, forced.from, meter)? || mutation.is(Mutant::AloneBackAssumed) {
            let axiom = axiom(ranked, forced.reader, forced.from, forced.read);
            forces.keep(Forced { axiom, ..*forced }, meter)?;
        }
    }
    let windows = windows(ranked, forces, &ranked.version_edges(mutation), mutation);
    if windows.is_empty() || mutation.is(Mutant::AloneForwardForgotten) {
        return Ok(Outcome::Whole);
    }
    let weight: u64 = windows.iter().map(|window| window.len() as u64).sum();
    // Where windows are large, less than all may be enough.
    let is_enough = |forces: &Forces, meter: &mut Meter| match suspects.is_only_causal && weight > WHOLE_MAX {
        true => Graph::of(ranked, forces, meter, mutation).map(|graph| !graph.components(Axiom::Causal).is_empty()),
        false => Ok(false),
    };
    if is_enough(forces, meter)? {
        return Ok(Outcome::Broken);
    }
    let among = Among::of(ranked, &windows);
    let questions = Questions::of(ranked, &among);
    let held = questions.bytes();
    if meter.take_bytes(held).is_err() {
        return Ok(Outcome::TooMuch);
    }
    let outcome = ask(ranked, &windows, &questions, forces, is_enough, meter, mutation);
    meter.give_back(held);
    outcome
}

/// Answers the questions, until it is enough.
fn ask(
    ranked: &Ranked<'_>,
    windows: &[Range<u32>],
    questions: &Questions,
    forces: &mut Forces,
    is_enough: impl Fn(&Forces, &mut Meter) -> Result<bool, Spent>,
    meter: &mut Meter,
    mutation: Mutation,
) -> Result<Outcome, Spent> {
    let count = u64::from(ranked.len());
    let asked: u64 = windows.par_iter().map(|window| questions.count(ranked, window)).sum();
    let steps_max = count.saturating_mul(ROWS_MAX).min(meter.steps_left());
    if asked > steps_max {
        return Ok(Outcome::TooMuch);
    }
    let mut blocks = questions.blocks(ranked, windows);
    let steps = asked + blocks.iter().map(|block| questions.steps(block)).sum::<u64>();
    let rows_max = blocks.iter().map(|block| block.run.len()).max().unwrap_or(0);
    let bytes = (rows_max * size_of::<Row>() * LANES) as u64 + asked * size_of::<Forced>() as u64;
    if steps > steps_max || meter.take_bytes(bytes).is_err() {
        return Ok(Outcome::TooMuch);
    }
    meter.step(steps)?;
    // As many at once as were counted, however many processors there are.
    let lane = |part: &[Block], lane: usize| -> Vec<Vec<Forced>> {
        let mut rows = Vec::new();
        let own = part.iter().skip(lane).step_by(LANES);
        own.map(|block| questions.answer(ranked, block, &mut rows, mutation)).collect()
    };
    // First what may follow at once on what points back: that often closes a cycle.
    let ends: FxHashSet<u32> = forces.orders.iter().map(|forced| forced.to).collect();
    blocks.sort_by_key(|block| !block.members.clone().any(|member| ends.contains(&member)));
    let after = blocks.partition_point(|block| block.members.clone().any(|member| ends.contains(&member)));
    let (first, others) = blocks.split_at(after);
    for (part, is_last) in [(first, false), (others, true)] {
        let found: Vec<Vec<Vec<Forced>>> = (0..LANES).into_par_iter().map(|number| lane(part, number)).collect();
        let in_order = (0..part.len()).flat_map(|block| &found[block % LANES][block / LANES]);
        in_order.into_iter().try_for_each(|forced| forces.keep(*forced, meter))?;
        if !is_last && is_enough(forces, meter)? {
            meter.give_back(bytes);
            return Ok(Outcome::Broken);
        }
    }
    meter.give_back(bytes);
    Ok(Outcome::Whole)
}

/// The weakest axiom by which one that was seen is visible to a read, where sessions say nothing.
fn axiom(ranked: &Ranked<'_>, reader: u32, other: u32, place: u32) -> Axiom {
    let reads = ranked.accesses.reads(ranked.unit(reader));
    match reads.iter().position(|read| ranked.source(reader, read.writer) == Source::Unit(other)) {
        Some(from) if (from as u32) < place => Axiom::Committed,
        Some(_) => Axiom::Atomic,
        None => Axiom::Causal,
    }
}

/// Searches of what a transaction has seen.
struct Past<'a> {
    ranked: &'a Ranked<'a>,
    /// By rank: the last search that came by.
    seen: Vec<u32>,
    search: u32,
    queue: Vec<u32>,
}

impl Past<'_> {
    /// Whether a transaction has seen another.
    fn has(&mut self, reader: u32, other: u32, meter: &mut Meter) -> Result<bool, Spent> {
        self.search += 1;
        self.queue.clear();
        self.queue.push(reader);
        while let Some(rank) = self.queue.pop() {
            meter.step(1)?;
            for source in self.ranked.sources(rank) {
                if source == other {
                    return Ok(true);
                }
                if source > other && self.seen[source as usize] != self.search {
                    self.seen[source as usize] = self.search;
                    self.queue.push(source);
                }
            }
        }
        Ok(false)
    }
}

/// A read of what was written within a window.
#[derive(Debug, Clone, Copy, Default)]
struct Asker {
    reader: u32,
    read: u32,
    /// What was read.
    to: u32,
}

/// What is asked, and where the answers are to be found.
struct Questions {
    /// By key: where its askers begin, by what they read; and the end of the last.
    starts: Vec<u32>,
    askers: Vec<Asker>,
    /// Where `sources` begin: the first rank of the first window.
    first: u32,
    /// By rank from the first on: where its sources begin; and the end of the last.
    source_starts: Vec<u32>,
    /// Whom each has read from, each once.
    sources: Vec<u32>,
}

/// Transactions of one window that are looked for together.
struct Block {
    members: Range<u32>,
    /// The end of the window.
    end: u32,
    /// From the first of them to the last who is asked about them.
    run: Range<u32>,
}

impl Questions {
    /// Linear.
    fn of(ranked: &Ranked<'_>, among: &Among<'_>) -> Questions {
        let runs = among.runs(ranked);
        let first = runs.first().map_or(0, |run| run.start);
        let asked = || {
            runs.iter().flat_map(Range::clone).flat_map(|rank| {
                let reads = ranked.accesses.reads(ranked.unit(rank)).iter().enumerate();
                reads.filter_map(move |(place, read)| match ranked.source(rank, read.writer) {
                    Source::Unit(to) if among.window(to).is_some() => {
                        Some((read.key, Asker { reader: rank, read: place as u32, to }))
                    }
                    _ => None,
                })
            })
        };
        let mut starts = vec![0u32; ranked.accesses.keys_count as usize + 1];
        asked().for_each(|(key, _)| starts[key as usize] += 1);
        let mut sum = 0;
        for start in &mut starts {
            sum += std::mem::replace(start, sum);
        }
        let mut askers = vec![Asker::default(); sum as usize];
        for (key, asker) in asked() {
            let place = &mut starts[key as usize];
            askers[*place as usize] = asker;
            *place += 1;
        }
        // Each start has moved to the end of its key, which is the next one's start.
        starts.rotate_right(1);
        starts[0] = 0;
        for key in starts.windows(2) {
            askers[key[0] as usize..key[1] as usize].sort_unstable_by_key(|asker| (asker.to, asker.reader));
        }
        let (mut sources, mut source_starts, mut own) = (Vec::new(), vec![0], Vec::new());
        for rank in first..runs.last().map_or(first, |run| run.end) {
            own.extend(ranked.sources(rank).filter(|source| (first..rank).contains(source)));
            own.sort_unstable();
            own.dedup();
            sources.append(&mut own);
            source_starts.push(sources.len() as u32);
        }
        Questions { starts, askers, first, source_starts, sources }
    }

    /// Those who read something else of what a member wrote, which has a higher rank: what points back is known.
    fn askers<'a>(&'a self, ranked: &'a Ranked<'_>, member: u32, end: u32) -> impl Iterator<Item = &'a [Asker]> + 'a {
        let writes = ranked.accesses.writes(ranked.unit(member)).iter();
        writes.map(move |write| {
            let all =
                &self.askers[self.starts[write.key as usize] as usize..self.starts[write.key as usize + 1] as usize];
            let all = &all[all.partition_point(|asker| asker.to <= member)..];
            &all[..all.partition_point(|asker| asker.to < end)]
        })
    }

    /// How many questions a window asks.
    fn count(&self, ranked: &Ranked<'_>, window: &Range<u32>) -> u64 {
        window.clone().flat_map(|member| self.askers(ranked, member, window.end)).map(|all| all.len() as u64).sum()
    }

    fn blocks(&self, ranked: &Ranked<'_>, windows: &[Range<u32>]) -> Vec<Block> {
        let starts = windows
            .iter()
            .flat_map(|window| window.clone().step_by(LOOKED_FOR as usize).map(move |start| (start, window)));
        let all: Vec<(u32, &Range<u32>)> = starts.collect();
        let block = |&(start, window): &(u32, &Range<u32>)| {
            let members = start..window.end.min(start + LOOKED_FOR);
            let askers = members.clone().flat_map(|member| self.askers(ranked, member, window.end)).flatten();
            let last = askers.map(|asker| asker.reader).max()?;
            Some(Block { run: start..last + 1, members, end: window.end })
        };
        all.par_iter().filter_map(block).collect()
    }

    fn bytes(&self) -> u64 {
        let numbers = self.starts.len() + self.source_starts.len() + self.sources.len();
        (size_of_val(&self.askers[..]) + numbers * size_of::<u32>()) as u64
    }

    fn steps(&self, block: &Block) -> u64 {
        let start = |rank: u32| u64::from(self.source_starts[(rank - self.first) as usize]);
        (start(block.run.end) - start(block.run.start) + block.run.len() as u64) * WORDS as u64 / 8
    }

    /// The orders that point forward from members of a block, those left out that a path of reads says anyway.
    fn answer(&self, ranked: &Ranked<'_>, block: &Block, rows: &mut Vec<Row>, mutation: Mutation) -> Vec<Forced> {
        let Range { start, end } = block.run;
        rows.clear();
        rows.reserve((end - start) as usize);
        for rank in start..end {
            let mut row = [0; WORDS];
            let at = (rank - self.first) as usize;
            let sources = &self.sources[self.source_starts[at] as usize..self.source_starts[at + 1] as usize];
            for &source in sources.iter().rev().take_while(|source| **source >= start) {
                let bit = source - start;
                let past = &rows[bit as usize];
                if !mutation.is(Mutant::AloneNotJoined) {
                    row.iter_mut().zip(past).for_each(|(word, past)| *word |= past);
                }
                if source < block.members.end {
                    row[bit as usize / 64] |= 1 << (bit % 64);
                }
            }
            rows.push(row);
        }
        let has = |rank: u32, member: u32| {
            let bit = member - start;
            rows[(rank - start) as usize][bit as usize / 64] >> (bit % 64) & 1 == 1
        };
        let mut found = Vec::new();
        for from in block.members.clone() {
            let askers = self.askers(ranked, from, block.end).flatten();
            for asker in askers.filter(|asker| has(asker.reader, from) && !has(asker.to, from)) {
                let Asker { reader, read, to } = *asker;
                found.push(Forced { from, to, axiom: axiom(ranked, reader, from, read), reader, read });
            }
        }
        // One reader of the weakest axiom says all.
        found.sort_unstable();
        found.dedup_by_key(|forced| (forced.from, forced.to));
        found
    }
}
