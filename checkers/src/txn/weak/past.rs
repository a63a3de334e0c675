//! What lies in whose past, of single operations: by clocks, or by searches where little is asked.

use super::clocks::Clocks;
use super::units::{NONE, Ranked};
use super::views::Visit;
use crate::txn::meter::{Meter, Spent};

/// How that is found out.
pub(super) enum Past<'a, 'b> {
    /// Nobody asks.
    Unasked,
    Clocks(&'b Clocks),
    Search(&'b mut Search<'a>),
}

impl Past<'_, '_> {
    /// Whether anybody asks.
    pub fn is_asked(&self) -> bool {
        !matches!(self, Past::Unasked)
    }

    /// Whether a read has seen an operation.
    pub fn has_seen(&mut self, rank: u32, other: u32, meter: &mut Meter) -> Result<bool, Spent> {
        match self {
            Past::Unasked => Ok(false),
            Past::Clocks(clocks) => Ok(clocks.has_seen(rank, other)),
            Past::Search(search) => search.has_seen(rank, other, meter),
        }
    }

    /// Whether what the reads of a transaction returned so far has seen an operation.
    pub fn is_visited(&mut self, visit: &Visit, other: u32, meter: &mut Meter) -> Result<bool, Spent> {
        match self {
            Past::Unasked => Ok(false),
            Past::Clocks(clocks) => Ok(clocks.is_in(&visit.past, other)),
            Past::Search(search) => search.reaches(visit.returned.iter().copied(), other, meter),
        }
    }
}

/// Searches back from who asks. As soon as one comes to the session of what is looked for, behind it, it has found it; so most are
/// short.
pub(super) struct Search<'a> {
    ranked: &'a Ranked<'a>,
    /// By rank: the last search that came by.
    seen: Vec<u32>,
    number: u32,
    queue: Vec<u32>,
    /// Steps that are left before clocks are better.
    left: u64,
}

impl<'a> Search<'a> {
    /// None begun.
    pub fn new(ranked: &'a Ranked<'a>, steps_max: u64) -> Search<'a> {
        let seen = vec![0; ranked.len() as usize];
        Search { ranked, seen, number: 0, queue: Vec::new(), left: steps_max }
    }

    /// Whether so much was asked that the answers since then are worth nothing.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    fn has_seen(&mut self, rank: u32, other: u32, meter: &mut Meter) -> Result<bool, Spent> {
        let ranked = self.ranked;
        let before = Some(ranked.before[rank as usize]).filter(|&before| before != NONE);
        self.reaches(before.into_iter().chain(ranked.sources(rank)), other, meter)
    }

    /// Whether one of these is an operation, or has seen it.
    fn reaches(&mut self, from: impl Iterator<Item = u32>, other: u32, meter: &mut Meter) -> Result<bool, Spent> {
        let ranked = self.ranked;
        let session = |rank: u32| ranked.session[rank as usize];
        let (low, session_of_other) = (ranked.circle(other).start, session(other));
        let is_it =
            |rank: u32| rank == other || rank > other && session_of_other != NONE && session(rank) == session_of_other;
        self.number += 1;
        self.queue.clear();
        self.queue.extend(from);
        let mut steps = 0;
        let mut is_found = false;
        // Breadth first: each read leads to another session, while deep down only single sessions go on.
        while let Some(&rank) = self.queue.get(steps as usize) {
            steps += 1;
            if is_it(rank) {
                is_found = true;
                break;
            }
            if steps >= self.left {
                break;
            }
            if rank < low || self.seen[rank as usize] == self.number {
                continue;
            }
            self.seen[rank as usize] = self.number;
            let before = Some(ranked.before[rank as usize]).filter(|&before| before != NONE);
            self.queue.extend(before.into_iter().chain(ranked.sources(rank)));
        }
        self.left = self.left.saturating_sub(steps);
        meter.step(steps)?;
        Ok(is_found)
    }
}
