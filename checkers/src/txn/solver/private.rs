//! Readers that need not agree with each other, in the search (parallel snapshot isolation, update serializability).
//!
//! When the order breaks nothing else, each of them is looked at alone: from whoever wrote the next version after one that it
//! read, in the order as it is, no way may lead to the reader. Such a way goes by what is certain or decided, from each
//! writer of a key to the next, and from each reader that all must agree with to whoever wrote over what it read; and never
//! against the order, so it is looked for only between its ends. Nothing of that is decided before it is on a way that is wrong: then
//! the pairs of writers that the way rests on cannot all be so.
//!
//! A reader to whom no way led is looked at again only when something has changed about the transactions that the search looked at: an
//! edge was added there, one of them was moved in the order, or what came next after a version of theirs. That is kept by blocks of
//! transactions, as they stand in time. When edges are taken away the order stays, and no way begins to be. After a change the search goes
//! back to where it was, in time: decisions are made about in the order of time then, and a contradiction takes back only those that are near.
//! In rounds over all readers it would take back nearly everything that a round had decided, again and again.

use super::clauses::{Clause, Literal, negated};
use super::engine::{Engine, Step, tidy};
use super::graph::NONE;
use super::mutant::{self, Mutant};
use super::problem::Problem;

/// So many readers are looked at before somebody pays.
const READERS_AT_ONCE: usize = 1 << 10;

/// So many transactions are a block, as a power of two; of few transactions each is one.
const BLOCK_BITS: u32 = 6;
const FEW: usize = 1 << 8;
/// A reader whose search looked at more blocks is looked at again in any case.
const BLOCKS_MAX: u32 = 64;

/// What the last search for a way to a reader looked at.
#[derive(Clone, Copy)]
struct Looked {
    /// The first block and the last one.
    blocks: (u32, u32),
    /// How many changes there had been; none if a way was found or never looked for.
    changes: u64,
}

const NOT_LOOKED: Looked = Looked { blocks: (NONE, 0), changes: 0 };

/// How far it is.
#[derive(Default)]
pub(super) struct Private {
    /// Choices up to there are made.
    choices_made: usize,
    /// Who is looked at next, and how many are left since the order may have changed.
    reader: u32,
    readers_left: usize,
    edges_seen: u64,
    /// By node: the last reader's round in which it was reached.
    reached: Vec<u32>,
    round: u32,
    /// Where the way was continued, one after another.
    hops: Vec<Hop>,
    /// Changes so far; how many transactions are a block; and by block, which change was the last there (empty where readers have
    /// choices).
    changes: u64,
    block_bits: u32,
    changed: Vec<u64>,
    /// From here on readers may have to be looked at again, first of all.
    earliest: u32,
    /// By reader.
    looked: Vec<Looked>,
}

/// A step of a way.
#[derive(Clone, Copy)]
struct Hop {
    node: u32,
    /// The hop before, by its place.
    before: u32,
    /// The added edge by which it goes, if it is one.
    edge: u32,
    /// Two writers of which the first must be before the second, if it is not.
    pair: [u32; 2],
    /// What a choice must take.
    choice: Literal,
}

impl Private {
    /// With everything to do, if there are such readers.
    pub fn new(problem: &Problem) -> Private {
        if !problem.shape.has_private_readers() {
            return Private::default();
        }
        let reached = vec![0; problem.priorities.len()];
        let count = problem.members.len();
        let block_bits = if count < FEW { 0 } else { BLOCK_BITS };
        // What a choice takes changes when it is taken back, too.
        let is_kept = problem.choices.is_empty();
        let changed = if is_kept { vec![1; (count >> block_bits) + 1] } else { Vec::new() };
        let looked = if is_kept { vec![NOT_LOOKED; count] } else { Vec::new() };
        Private {
            readers_left: count,
            reached,
            changes: 1,
            block_bits,
            changed,
            earliest: NONE,
            looked,
            ..Private::default()
        }
    }

    /// Bytes that are held at most, about.
    pub fn bytes(problem: &Problem) -> u64 {
        if !problem.shape.has_private_readers() {
            return 0;
        }
        let of_a_node = size_of::<u32>() + size_of::<Hop>();
        (problem.priorities.len() * of_a_node + problem.members.len() * size_of::<Looked>()) as u64
    }

    /// Something has changed about a transaction.
    #[inline]
    pub fn change(&mut self, txn: u32) {
        if let Some(last) = self.changed.get_mut((txn >> self.block_bits) as usize)
            && !mutant::is(Mutant::ChangesForgotten)
        {
            self.changes += 1;
            *last = self.changes;
            let block_before = (txn >> self.block_bits).saturating_sub(1);
            self.earliest = self.earliest.min(block_before << self.block_bits);
        }
    }

    /// Whether a search for a way to a reader would see nothing that the last one has not seen.
    fn is_seen(&self, reader: u32) -> bool {
        let Some(&Looked { blocks: (first, last), changes }) = self.looked.get(reader as usize) else { return false };
        changes > 0
            && last - first < BLOCKS_MAX
            && self.changed[first as usize..=last as usize].iter().all(|&change| change <= changes)
    }

    /// After a conflict: choices may be made otherwise, and all readers are looked at once more.
    pub fn begin_again(&mut self, problem: &Problem) {
        self.choices_made = 0;
        self.readers_left = problem.members.len();
    }
}

impl Engine<'_> {
    /// One step of what is left where readers need not agree. `false` when nothing is.
    pub(super) fn look_at_private(&mut self) -> Result<bool, Clause> {
        let problem = self.problem;
        while self.private.choices_made < problem.choices.len() {
            let number = self.private.choices_made;
            self.graph.work += 1;
            if self.taken(number).is_none() {
                if let Step::Open(literal, _) = self.choose(number) {
                    self.decide(literal);
                }
                return Ok(true);
            }
            self.private.choices_made += 1;
        }
        let count = problem.members.len();
        if std::mem::replace(&mut self.private.edges_seen, self.graph.added_ever) != self.graph.added_ever {
            self.private.readers_left = count;
        }
        let earliest = std::mem::replace(&mut self.private.earliest, NONE);
        self.private.reader = self.private.reader.min(earliest);
        for _ in 0..self.private.readers_left.min(READERS_AT_ONCE) {
            let txn = self.private.reader;
            self.graph.work += 1;
            if problem.is_private[txn as usize]
                && !self.private.is_seen(txn)
                && let Some(way) = self.way_to(txn)
            {
                self.break_way(&way)?;
                return Ok(true);
            }
            self.private.reader = (txn + 1) % count as u32;
            self.private.readers_left -= 1;
        }
        Ok(self.private.readers_left > 0)
    }

    /// A way from what came after a reader's reads to the reader, from its private node on.
    fn way_to(&mut self, reader: u32) -> Option<Vec<Hop>> {
        if mutant::is(Mutant::PrivateReadersFree) {
            return None;
        }
        let mut reached = std::mem::take(&mut self.private.reached);
        let mut hops = std::mem::take(&mut self.private.hops);
        if self.private.round == u32::MAX {
            reached.fill(0);
            self.private.round = 0;
        }
        self.private.round += 1;
        let round = self.private.round;
        let goal = self.problem.shape.snapshot(reader);
        let last = self.graph.order().label(goal);
        let none = Hop { node: NONE, before: NONE, edge: NONE, pair: [NONE; 2], choice: NONE };
        hops.clear();
        hops.push(Hop { node: self.problem.shape.private(reader), ..none });
        let (mut head, mut work, mut end) = (0, 1, None);
        let block_bits = self.private.block_bits;
        let mut looked = (reader >> block_bits, reader >> block_bits);
        let problem = self.problem;
        let mut look = |node: u32| match problem.shape.txn(node) {
            Some(txn) => looked = (looked.0.min(txn >> block_bits), looked.1.max(txn >> block_bits)),
            // It stands for several transactions.
            None => looked = (0, NONE),
        };
        while head < hops.len() && end.is_none() {
            let from = hops[head].node;
            // A version that was read may be the last one until another is moved behind it.
            for &read in problem.shape.txn(from).map_or(&[] as &[u32], |txn| problem.reads.of(txn)) {
                let writer = problem.writer.get(problem.read_version[read as usize] as usize);
                writer.into_iter().for_each(|&writer| look(problem.shape.commit(writer)));
            }
            self.hops_from(from, |hop| {
                work += 1;
                look(hop.node);
                hop.pair.into_iter().filter(|&txn| txn != NONE).for_each(|txn| look(problem.shape.commit(txn)));
                let is_new = self.graph.order().label(hop.node) <= last && reached[hop.node as usize] != round;
                if is_new {
                    reached[hop.node as usize] = round;
                    if hop.node == goal {
                        end = Some(hops.len() as u32);
                    }
                    hops.push(Hop { before: head as u32, ..hop });
                }
            });
            head += 1;
        }
        self.graph.work += work;
        let way = end.map(|end| {
            let one = |place: u32| hops.get(place as usize).copied();
            std::iter::successors(one(end), |hop| one(hop.before)).collect()
        });
        (self.private.reached, self.private.hops) = (reached, hops);
        let changes = if end.is_some() { 0 } else { self.private.changes };
        if let Some(last) = self.private.looked.get_mut(reader as usize) {
            *last = Looked { blocks: looked, changes };
        }
        way
    }

    /// All that comes right after a node.
    fn hops_from(&self, node: u32, mut to: impl FnMut(Hop)) {
        let problem = self.problem;
        let none = Hop { node: NONE, before: NONE, edge: NONE, pair: [NONE; 2], choice: NONE };
        self.graph.after(node, |node, edge| to(Hop { node, edge, ..none }));
        let Some(txn) = problem.shape.txn(node) else { return };
        let is_apart = node == problem.shape.private(txn);
        let commit = |version: u32| problem.writer.get(version as usize).copied();
        if !is_apart {
            for &version in problem.writes.of(txn) {
                if let Some(next) = self.next(version).and_then(commit) {
                    to(Hop { node: problem.shape.commit(next), pair: [txn, next], ..none });
                }
            }
        }
        if is_apart != problem.is_private[txn as usize] {
            return;
        }
        let mut over = |version: u32, choice: Literal| {
            let Some(next) = self.next(version).and_then(commit).filter(|&next| next != txn) else { return };
            let pair = commit(version).map_or([NONE; 2], |writer| [writer, next]);
            to(Hop { node: problem.shape.commit(next), pair, choice, ..none });
        };
        for &read in problem.reads.of(txn) {
            over(problem.read_version[read as usize], NONE);
        }
        for &number in problem.choices_of_txn.of(txn) {
            if let Some((version, literal)) = self.taken(number as usize) {
                over(version, literal);
            }
        }
    }

    /// Not all that a way rests on can be so: a contradiction, or what follows, or a decision.
    fn break_way(&mut self, way: &[Hop]) -> Result<(), Clause> {
        let problem = self.problem;
        let mut clause = Clause::default();
        let mut open: Vec<(u64, Literal)> = Vec::new();
        for hop in way {
            clause.txns.extend(problem.shape.txn(hop.node));
            let mut reasons = [NONE; 3];
            if hop.edge != NONE {
                let edge = self.graph.added(hop.edge);
                clause.txns.push(edge.about);
                reasons[..2].copy_from_slice(&edge.reasons);
            }
            let [a, b] = hop.pair;
            if a != NONE {
                clause.txns.extend([a, b]);
                reasons[2] = self.before_literal(a, b);
                if !self.clauses.is_true(reasons[2]) {
                    let moment = |txn: u32| problem.moment[txn as usize];
                    open.push((moment(a).abs_diff(moment(b)), reasons[2]));
                }
            }
            let all = reasons.into_iter().chain([hop.choice]).filter(|&reason| reason != NONE);
            clause.literals.extend(all.map(negated));
        }
        open.sort_unstable();
        open.dedup();
        match open[..] {
            [] => Err(tidy(clause)),
            [(_, literal)] => {
                clause.literals.retain(|&other| other != negated(literal));
                self.follow(negated(literal), clause);
                Ok(())
            }
            // The least certain one.
            [(_, literal), ..] => {
                self.decide(negated(literal));
                Ok(())
            }
        }
    }
}
