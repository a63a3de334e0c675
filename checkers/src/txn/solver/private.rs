//! Readers that need not agree with each other, in the search (parallel snapshot isolation, update serializability).
//!
//! What is left for them when the order breaks nothing else: all pairs of writers of neighbouring versions are decided as the
//! order has them; from each reader an edge goes to whoever wrote the next version; and then no reader may be reached from
//! what came after its reads. A private reader's edges go out from a node of its own, into which none goes: it stands in front of
//! all others, so its edges move nobody.
//!
//! Versions wait in a list; what was done with one is undone with the level of decisions at which it was done, and done again
//! when another version came to stand next. So the cost is that of what changes, and not of all that there is.

use rustc_hash::FxHashMap;

use super::clauses::{Clause, Literal};
use super::engine::{Engine, Step, tidy};
use super::graph::NONE;
use super::mutant::{self, Mutant};
use super::problem::Problem;

/// So many readers are looked at before somebody pays.
const READERS_AT_ONCE: usize = 1 << 12;

/// How far it is.
#[derive(Default)]
pub(super) struct Private {
    /// Versions to look at, initial ones too.
    waiting: Vec<u32>,
    is_waiting: Vec<bool>,
    /// Versions that were looked at, and how many there were when each level of decisions began.
    done: Vec<u32>,
    done_at: Vec<usize>,
    /// Reads and choices whose edge to the next writer is in the graph, and that edge; and in the order in which it was added.
    installed: FxHashMap<u32, u32>,
    installs: Vec<(u32, u32)>,
    /// Choices up to there are made.
    choices_made: usize,
    /// Who is looked at next, and how many are left since an edge was added.
    reader: u32,
    readers_left: usize,
    edges_seen: u64,
}

impl Private {
    /// With everything to do, if there are such readers.
    pub fn new(problem: &Problem) -> Private {
        if !problem.shape.has_private_readers() {
            return Private::default();
        }
        let versions = problem.read_starts.len().saturating_sub(1) as u32;
        // From the last down, so that the first is looked at first.
        let waiting = (0..versions).rev().collect();
        // What is certain alone may reach a reader.
        let readers_left = problem.members.len();
        Private { waiting, is_waiting: vec![true; versions as usize], readers_left, ..Private::default() }
    }

    /// Something else may stand next to a version.
    pub fn wait(&mut self, version: u32) {
        if let Some(is_waiting) = self.is_waiting.get_mut(version as usize)
            && !std::mem::replace(is_waiting, true)
        {
            self.waiting.push(version);
        }
    }

    /// A level of decisions begins.
    pub fn begin_level(&mut self) {
        self.done_at.push(self.done.len());
    }

    /// Undoes what was done since so many levels and added edges were left.
    pub fn back_to(&mut self, levels: usize, edges: usize) {
        if let Some(&done) = self.done_at.get(levels) {
            self.done_at.truncate(levels);
            for version in self.done.split_off(done) {
                self.wait(version);
            }
        }
        while let Some(&(edge, thing)) = self.installs.last()
            && edge as usize >= edges
        {
            self.installs.pop();
            if self.installed.get(&thing) == Some(&edge) {
                self.installed.remove(&thing);
            }
        }
        self.choices_made = 0;
    }
}

impl Engine<'_> {
    /// One step of what is left where readers need not agree. `false` when nothing is.
    pub(super) fn look_at_private(&mut self) -> Result<bool, Clause> {
        if let Some(&version) = self.private.waiting.last() {
            self.look_at_pair(version)?;
            return Ok(true);
        }
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
        for number in 0..problem.choices.len() {
            self.graph.work += 1;
            let Some((version, literal)) = self.taken(number) else { continue };
            let thing = self.things_of_choices + number as u32;
            self.install(thing, version, problem.choices[number].txn, literal)?;
            // An edge may move what others were decided by: then that comes first.
            if self.is_unsettled() {
                return Ok(true);
            }
        }
        self.look_at_readers()
    }

    /// Decides a pair of neighbours as the order has it, then puts the edges of who read the first into the graph.
    fn look_at_pair(&mut self, version: u32) -> Result<(), Clause> {
        let problem = self.problem;
        if let (Some(next), Some(&a)) = (self.next(version), problem.writer.get(version as usize)) {
            let literal = self.before_literal(a, problem.writer[next as usize]);
            if !self.clauses.is_true(literal) && !self.clauses.is_false(literal) {
                self.decide(literal);
                return Ok(());
            }
        }
        for read in problem.read_starts[version as usize]..problem.read_starts[version as usize + 1] {
            self.graph.work += 1;
            self.install(read, version, problem.reader[read as usize], NONE)?;
            if self.is_unsettled() {
                return Ok(());
            }
        }
        if self.private.waiting.last() == Some(&version) {
            self.private.waiting.pop();
            self.private.is_waiting[version as usize] = false;
            self.private.done.push(version);
        }
        Ok(())
    }

    /// Looks whether a reader is reached from what came after its reads; a round without new edges shows that none is.
    fn look_at_readers(&mut self) -> Result<bool, Clause> {
        let problem = self.problem;
        let count = problem.members.len();
        if std::mem::replace(&mut self.private.edges_seen, self.graph.added_ever) != self.graph.added_ever {
            self.private.readers_left = count;
        }
        for _ in 0..self.private.readers_left.min(READERS_AT_ONCE) {
            let txn = self.private.reader;
            if problem.is_private[txn as usize]
                && let Some(path) = self.graph.path(problem.shape.private(txn), problem.shape.snapshot(txn))
            {
                return Err(tidy(self.because(&path)));
            }
            self.private.reader = (txn + 1) % count as u32;
            self.private.readers_left -= 1;
        }
        Ok(self.private.readers_left > 0)
    }

    /// Puts the edge from a reader to who wrote the key next into the graph.
    fn install(&mut self, thing: u32, version: u32, reader: u32, choice: Literal) -> Result<(), Clause> {
        let problem = self.problem;
        let Some(next) = self.next(version) else { return Ok(()) };
        let other = problem.writer[next as usize];
        let to = problem.shape.commit(other);
        let is_there = self.private.installed.get(&thing).is_some_and(|&edge| self.graph.added(edge).to == to);
        if other == reader || is_there || mutant::is(Mutant::PrivateReadersFree) {
            return Ok(());
        }
        let (from, is_private) = match problem.is_private[reader as usize] {
            true => (problem.shape.private(reader), true),
            false => (problem.shape.snapshot(reader), false),
        };
        let writer = problem.writer.get(version as usize).copied().unwrap_or(NONE);
        let later = if writer == NONE { NONE } else { self.before_literal(writer, other) };
        debug_assert!(is_private || self.graph.order().is_before(from, to), "the order breaks a read");
        self.add(from, to, [later, choice], writer)?;
        let edge = self.graph.added_count() as u32 - 1;
        self.private.installed.insert(thing, edge);
        self.private.installs.push((edge, thing));
        Ok(())
    }
}
