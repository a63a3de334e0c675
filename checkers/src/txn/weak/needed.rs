//! How long clocks are asked about a unit.
//!
//! A reader of a version asks about the key's writers behind it, up to itself; and about those before it as far as short orders that
//! point forward are kept. So nobody asks about a writer any more when the last has read the key's older versions, and those
//! that are near behind it.

use super::mutant::{Mutant, Mutation};
use super::units::{Ranked, Source};

/// By unit: the last (by rank) who may ask about it; zero if nobody does. Cost: a binary search a read.
pub(super) fn of(ranked: &Ranked<'_>, near: u32, mutation: Mutation) -> Vec<u32> {
    let starts = ranked.writer_starts();
    let keys_count = starts.len().saturating_sub(1);
    // By writer of a key, in their order: the last who read it; and by key, who read the initial state.
    let mut last = vec![0u32; starts.last().map_or(0, |&end| end as usize)];
    let mut last_initial = vec![0u32; keys_count];
    for rank in 0..ranked.len() {
        for read in ranked.accesses.reads(ranked.unit(rank)) {
            let count = match ranked.source(rank, read.writer) {
                Source::Unknown => continue,
                Source::Initial => 0,
                Source::Unit(writer) => ranked.writers(read.key).partition_point(|&other| other <= writer),
            };
            let slot = match count.checked_sub(1) {
                Some(place) => last.get_mut(starts[read.key as usize] as usize + place),
                None => last_initial.get_mut(read.key as usize),
            };
            if let Some(slot) = slot {
                *slot = rank;
            }
        }
    }
    let mut needed = vec![0u32; ranked.len() as usize];
    let near = if mutation.is(Mutant::NearForgotten) { 0 } else { near };
    for key in 0..keys_count {
        let writers = ranked.writers(key as u32);
        let last = &last[starts[key] as usize..];
        let (mut next, mut latest) = (0, last_initial[key]);
        for &writer in writers {
            while next < writers.len() && writers[next].saturating_sub(writer) <= near {
                latest = latest.max(last[next]);
                next += 1;
            }
            if !mutation.is(Mutant::NobodyAsks) {
                needed[writer as usize] = needed[writer as usize].max(latest);
            }
        }
    }
    needed
}
