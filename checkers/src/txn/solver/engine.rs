//! The search: an order of all transactions that keeps what is certain is repaired wherever a read contradicts it.
//!
//! The order begins as a guess by time and always keeps the edges that are certain or decided. A read is *broken* where
//! another writer of the key stands between the writer and the reader. Then either that writer is before the one that was
//! read, or the reader is before it: one literal, "`a` before `b`", for each pair of writers. If a way in the graph already says
//! which, it follows; else it waits in a heap until nothing follows any more, and what is most certain by the moments
//! of the transactions is decided first. A contradiction is a cycle, whose edges name the literals it rests on: a clause is
//! learned and the search goes back (CDCL modulo acyclicity, as Bayless et al., "SAT Modulo Monotonic Theories", 2015, and
//! Zhang et al., "VeriStrong", 2025; but nothing is encoded before the order breaks it).
//!
//! What a read of a value with several writers takes is a literal for each of them, made only when the order breaks it
//! (`choices`). When nothing is broken the order itself is the proof; when the last clause is empty there is none. Snapshot isolation
//! is the same with two nodes a transaction. Where readers need not agree (parallel snapshot isolation, update
//! serializability) cycles through one reader alone are looked for at the end (`private`).

use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

use super::clauses::{Clause, Clauses, Literal, Resolved, negated};
use super::graph::{Graph, NONE, Path};
use super::mutant::{self, Mutant};
use super::private::Private;
use super::problem::Problem;
use super::trace;
use crate::txn::meter::{Meter, Spent};

/// How a search ended.
pub(super) enum Ended {
    /// An order of transactions; where readers need not agree, the version that each choice takes. In dense numbers.
    Holds { order: Vec<u32>, taken: Vec<(u32, u32)> },
    /// Transactions, by dense numbers, that alone have none.
    Broken(Vec<u32>),
    /// The budget ended first. The order found so far explains all that was read before this transaction ended.
    Spent(u32),
}

/// What a variable means when it is true.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning {
    /// The first writer is before the second. The numbers ascend.
    Before(u32, u32),
    /// A choice takes a version.
    Takes(u32, u32),
}

/// What to do with something that the order breaks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// Nothing is broken.
    Fine,
    /// Something followed and was done.
    Done,
    /// This may be decided, so certain.
    Open(Literal, u64),
}

/// A transaction `writer` whose version was read (or [`NONE`] for the initial one), `other`, which stands after it, and a
/// `reader` after that; the literal of the choice by which it was read, if it was one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Triple {
    pub writer: u32,
    pub other: u32,
    pub reader: u32,
    pub choice: Literal,
}

/// The search.
pub(super) struct Engine<'p> {
    pub(super) problem: &'p Problem,
    pub(super) graph: Graph,
    pub(super) clauses: Clauses,
    pairs: FxHashMap<(u32, u32), Literal>,
    pub(super) meanings: Vec<Meaning>,
    /// By choice: the literal of its first version, or [`NONE`] before it was ever broken.
    pub(super) choice_literal: Vec<Literal>,
    /// By key: its versions in order.
    pub(super) versions: Vec<u32>,
    /// By version: its place in `versions`.
    pub(super) place: Vec<u32>,
    /// Things to look at: reads, then versions, initial ones last, then choices.
    dirty: Vec<u32>,
    is_dirty: Vec<bool>,
    is_waiting: Vec<bool>,
    heap: BinaryHeap<(u64, u32)>,
    dirty_keys: Vec<u32>,
    is_key_dirty: Vec<bool>,
    bytes: u64,
    work: u64,
    /// Decisions so far.
    pub(super) decisions_count: u64,
    /// What is left for readers that need not agree.
    pub(super) private: Private,
    pub(super) things_of_choices: u32,
}

/// Searches. `meter` bears the cost.
pub(super) fn search(problem: &Problem, meter: &mut Meter) -> Result<Ended, Spent> {
    let graph = Graph::bytes(problem.priorities.len() as u64, problem.edges.len() as u64);
    let bytes = problem.bytes() + graph + Private::bytes(problem);
    meter.take_bytes(bytes)?;
    let ended = Engine::run(problem, meter);
    meter.give_back(bytes);
    ended
}

impl<'p> Engine<'p> {
    fn run(problem: &'p Problem, meter: &mut Meter) -> Result<Ended, Spent> {
        let graph = match Graph::new(&problem.edges, &problem.priorities) {
            Ok(graph) => graph,
            Err(cycle) => {
                meter.step(problem.edges.len() as u64)?;
                return Ok(Ended::Broken(txns_of(problem, &cycle)));
            }
        };
        let mut engine = Engine::new(problem, graph);
        trace::begin();
        let ended = engine.all(meter).unwrap_or_else(|Spent| Ended::Spent(engine.progress()));
        trace::end(problem, &engine.meanings, engine.decisions_count, &ended);
        meter.give_back(engine.bytes);
        Ok(ended)
    }

    /// The first transaction whose reads, or whose distance from other writers, the order does not explain.
    fn progress(&self) -> u32 {
        let problem = self.problem;
        if problem.shape.has_private_readers() {
            return 0;
        }
        let broken = (0..problem.reader.len() as u32).filter(|&read| self.is_read_broken(read));
        let mut first = broken.map(|read| problem.reader[read as usize]).min().unwrap_or(u32::MAX);
        for choice in (0..problem.choices.len()).filter(|&number| !self.is_choice_fine(number)) {
            first = first.min(problem.choices[choice].txn);
        }
        for version in (0..problem.versions_count()).filter(|_| problem.shape.keeps_writers_apart()) {
            let writer = problem.writer[version as usize];
            let begin = problem.shape.snapshot(writer);
            let start = problem.key_starts[problem.key[version as usize] as usize];
            let earlier = self.versions[start as usize..self.place[version as usize] as usize].iter().rev();
            let others = earlier.map(|&other| problem.writer[other as usize]);
            let overlapping =
                others.take_while(|&other| !self.graph.order().is_before(problem.shape.commit(other), begin));
            first = overlapping.map(|other| other.min(writer)).min().unwrap_or(first).min(first);
        }
        first
    }

    fn new(problem: &'p Problem, graph: Graph) -> Engine<'p> {
        let mut versions: Vec<u32> = (0..problem.versions_count()).collect();
        let mut place = vec![0; versions.len()];
        for range in problem.key_starts.windows(2) {
            let range = range[0] as usize..range[1] as usize;
            let label = |version: u32| graph.order().label(problem.shape.commit(problem.writer[version as usize]));
            versions[range.clone()].sort_unstable_by_key(|&version| label(version));
            for at in range {
                place[versions[at] as usize] = at as u32;
            }
        }
        let (reads, keys) = (problem.reader.len(), problem.key_starts.len() - 1);
        let things_of_choices = reads + versions.len() + keys;
        let things = things_of_choices + problem.choices.len();
        Engine {
            problem,
            graph,
            clauses: Clauses::default(),
            pairs: FxHashMap::default(),
            meanings: Vec::new(),
            choice_literal: vec![NONE; problem.choices.len()],
            versions,
            place,
            // Versions from the last down, so that the first is looked at first.
            dirty: (reads as u32..things_of_choices as u32).rev().collect(),
            is_dirty: (0..things).map(|thing| thing >= reads && thing < things_of_choices).collect(),
            is_waiting: vec![false; things],
            heap: BinaryHeap::new(),
            dirty_keys: (0..keys as u32).collect(),
            is_key_dirty: vec![true; keys],
            bytes: 0,
            work: 0,
            decisions_count: 0,
            private: Private::new(problem),
            things_of_choices: things_of_choices as u32,
        }
    }

    fn all(&mut self, meter: &mut Meter) -> Result<Ended, Spent> {
        loop {
            self.pay(meter)?;
            match self.one() {
                Ok(true) => {}
                Ok(false) => {
                    let shape = self.problem.shape;
                    let is_commit = |&node: &u32| shape.txn(node).is_some_and(|txn| shape.commit(txn) == node);
                    let commits = self.graph.order().iter().filter(is_commit);
                    let order = commits.filter_map(|node| shape.txn(node)).collect();
                    return Ok(Ended::Holds { order, taken: self.all_taken() });
                }
                Err(conflict) => {
                    if let Some(txns) = self.resolve(conflict) {
                        return Ok(Ended::Broken(txns));
                    }
                }
            }
        }
    }

    /// Pays for what was done since the last time.
    fn pay(&mut self, meter: &mut Meter) -> Result<(), Spent> {
        meter.step(self.graph.work - self.work + 1)?;
        self.work = self.graph.work;
        let bytes = self.clauses.bytes() + 32 * (self.meanings.len() + self.graph.added_count()) as u64;
        if bytes > self.bytes + (1 << 16) {
            meter.take_bytes(bytes - self.bytes)?;
            self.bytes = bytes;
        }
        Ok(())
    }

    /// Goes one step. `false` when nothing is broken any more.
    fn one(&mut self) -> Result<bool, Clause> {
        if let Some(literal) = self.clauses.next() {
            self.assert(literal)?;
            return self.clauses.propagate(literal).map_or(Ok(true), Err);
        }
        if let Some(thing) = self.dirty.pop() {
            self.is_dirty[thing as usize] = false;
            // What led to a conflict is looked at again.
            let looked = self.look(thing);
            looked.inspect_err(|_| self.touch(thing))?;
            return Ok(true);
        }
        if let Some((_, thing)) = self.heap.pop() {
            self.is_waiting[thing as usize] = false;
            match self.look_at_one(thing) {
                Ok(Step::Fine) => {}
                Ok(Step::Done) => self.touch(thing),
                Ok(Step::Open(literal, _)) => {
                    self.decide(literal);
                    self.touch(thing);
                }
                Err(conflict) => {
                    self.touch(thing);
                    return Err(conflict);
                }
            }
            return Ok(true);
        }
        if let Some(key) = self.dirty_keys.pop() {
            self.is_key_dirty[key as usize] = false;
            self.sweep_choices(key);
            return Ok(true);
        }
        if self.problem.shape.has_private_readers() { self.look_at_private() } else { Ok(false) }
    }

    pub(super) fn decide(&mut self, literal: Literal) {
        self.decisions_count += 1;
        let edges = self.graph.added_count();
        self.clauses.decide(literal, edges);
    }

    /// Goes back after a conflict. The transactions of the proof if there is no way left.
    fn resolve(&mut self, conflict: Clause) -> Option<Vec<u32>> {
        if conflict.rests_on.is_empty() {
            trace::concluded(&conflict.literals);
        }
        match self.clauses.resolve(conflict, self.graph.added_count()) {
            Resolved::Impossible(mut txns) => {
                txns.retain(|&txn| txn != NONE);
                Some(txns)
            }
            Resolved::Back(edges) => {
                self.graph.truncate(edges);
                self.private.begin_again(self.problem);
                None
            }
        }
    }

    /// Follows up a literal that became true.
    fn assert(&mut self, literal: Literal) -> Result<(), Clause> {
        let shape = self.problem.shape;
        let is_meant = literal.is_multiple_of(2);
        match self.meanings[literal as usize / 2] {
            Meaning::Before(a, b) => {
                let (a, b) = if is_meant { (a, b) } else { (b, a) };
                self.add(shape.commit(a), shape.written_over(b), [literal, NONE], NONE)
            }
            Meaning::Takes(choice, version) if is_meant => {
                let choice = &self.problem.choices[choice as usize];
                let (key, reader) = (choice.key, choice.txn);
                self.touch_key(key);
                match self.problem.writer.get(version as usize) {
                    Some(&writer) => self.add(shape.commit(writer), shape.snapshot(reader), [literal, NONE], NONE),
                    None => Ok(()),
                }
            }
            Meaning::Takes(choice, _) => {
                self.touch_key(self.problem.choices[choice as usize].key);
                Ok(())
            }
        }
    }

    /// Adds an edge, and marks what has to be looked at again; or the clause that the cycle refutes.
    pub(super) fn add(&mut self, from: u32, to: u32, reasons: [Literal; 2], about: u32) -> Result<(), Clause> {
        if let Err(path) = self.graph.add(from, to, reasons, about) {
            let mut clause = self.because(&path);
            clause.literals.extend(reasons.iter().filter(|&&reason| reason != NONE).map(|&reason| negated(reason)));
            clause.txns.extend([from, to].into_iter().filter_map(|node| self.problem.shape.txn(node)));
            clause.txns.push(about);
            return Err(tidy(clause));
        }
        self.problem.shape.txn(from).into_iter().for_each(|txn| self.private.change(txn));
        if !self.graph.moved.is_empty() {
            let moved = std::mem::take(&mut self.graph.moved);
            if self.graph.moved_later {
                moved.iter().rev().for_each(|&node| self.settle(node));
            } else {
                moved.iter().for_each(|&node| self.settle(node));
            }
            self.graph.moved = moved;
        }
        Ok(())
    }

    /// What a way rests on: a clause that says that not all of its edges are there.
    pub(super) fn because(&self, path: &Path) -> Clause {
        let mut clause = Clause::default();
        for &edge in &path.edges {
            let edge = self.graph.added(edge);
            clause
                .literals
                .extend(edge.reasons.iter().filter(|&&reason| reason != NONE).map(|&reason| negated(reason)));
            clause.txns.push(edge.about);
        }
        clause.txns.extend(path.nodes.iter().filter_map(|&node| self.problem.shape.txn(node)));
        clause
    }

    /// Puts the versions of a node that moved to their places, and marks what that may have broken.
    fn settle(&mut self, node: u32) {
        let problem = self.problem;
        let Some(txn) = problem.shape.txn(node) else { return };
        self.private.change(txn);
        if node == problem.shape.snapshot(txn) && !mutant::is(Mutant::MovedReadsForgotten) {
            problem.reads.of(txn).iter().for_each(|&read| self.touch(read));
        }
        let reads = problem.reader.len() as u32;
        for &version in problem.writes.of(txn) {
            if node == problem.shape.commit(txn) {
                let before = self.thing_before(version);
                self.touch(before);
                self.sift(version);
                self.touch(reads + version);
            }
            let before = self.thing_before(version);
            self.touch(before);
            self.touch_key(problem.key[version as usize]);
        }
        if node == problem.shape.snapshot(txn) {
            problem.choices_of_txn.of(txn).iter().for_each(|&choice| self.touch(self.things_of_choices + choice));
        }
    }

    /// The version before, as a thing to look at; the initial one before the first.
    fn thing_before(&self, version: u32) -> u32 {
        let problem = self.problem;
        let key = problem.key[version as usize];
        let place = self.place[version as usize];
        let before = match place > problem.key_starts[key as usize] {
            true => self.versions[place as usize - 1],
            false => problem.versions_count() + key,
        };
        problem.reader.len() as u32 + before
    }

    /// Moves a version within those of its key to where its writer stands now.
    fn sift(&mut self, version: u32) {
        let problem = self.problem;
        let key = problem.key[version as usize] as usize;
        let range = problem.key_starts[key] as usize..problem.key_starts[key + 1] as usize;
        let label = |version: u32| self.graph.order().label(problem.shape.commit(problem.writer[version as usize]));
        let own = label(version);
        let old = self.place[version as usize] as usize;
        let mut at = old;
        while at > range.start && label(self.versions[at - 1]) > own {
            self.versions[at] = self.versions[at - 1];
            self.place[self.versions[at] as usize] = at as u32;
            at -= 1;
        }
        while at + 1 < range.end && label(self.versions[at + 1]) < own {
            self.versions[at] = self.versions[at + 1];
            self.place[self.versions[at] as usize] = at as u32;
            at += 1;
        }
        self.versions[at] = version;
        self.place[version as usize] = at as u32;
        if at != old {
            // Something else comes next after these, and after the one before them.
            let first = at.min(old).max(range.start + 1) - 1;
            let all = &self.versions[first..=at.max(old)];
            all.iter().for_each(|&version| self.private.change(problem.writer[version as usize]));
        }
    }

    pub(super) fn touch(&mut self, thing: u32) {
        if !std::mem::replace(&mut self.is_dirty[thing as usize], true) {
            self.dirty.push(thing);
        }
    }

    pub(super) fn touch_key(&mut self, key: u32) {
        let has_choices = !self.problem.choices_of_key.of(key).is_empty();
        if has_choices && !std::mem::replace(&mut self.is_key_dirty[key as usize], true) {
            self.dirty_keys.push(key);
        }
    }

    /// Lets something wait until it is decided.
    pub(super) fn wait(&mut self, thing: u32, certainty: u64) {
        if !std::mem::replace(&mut self.is_waiting[thing as usize], true) {
            self.heap.push((certainty, thing));
        }
    }

    /// Looks at a read, or at a version with all its reads.
    fn look(&mut self, thing: u32) -> Result<(), Clause> {
        let problem = self.problem;
        let reads = problem.reader.len() as u32;
        if thing >= reads && thing < self.things_of_choices {
            let version = thing - reads;
            if self.next(version).is_none() {
                return Ok(());
            }
            let starts = &problem.read_starts;
            for read in starts[version as usize]..starts[version as usize + 1] {
                if self.is_read_broken(read) {
                    self.touch(read);
                }
            }
        }
        match self.look_at_one(thing)? {
            Step::Fine => {}
            Step::Done => self.touch(thing),
            Step::Open(_, certainty) => self.wait(thing, certainty),
        }
        Ok(())
    }

    fn look_at_one(&mut self, thing: u32) -> Result<Step, Clause> {
        let problem = self.problem;
        let reads = problem.reader.len() as u32;
        if thing >= self.things_of_choices {
            return self.look_at_choice((thing - self.things_of_choices) as usize);
        }
        if thing >= reads {
            return if problem.shape.keeps_writers_apart() {
                self.look_at_writers(thing - reads)
            } else {
                Ok(Step::Fine)
            };
        }
        if !self.is_read_broken(thing) {
            return Ok(Step::Fine);
        }
        let version = problem.read_version[thing as usize];
        let Some(next) = self.next(version) else { return Ok(Step::Fine) };
        let writer = problem.writer.get(version as usize).copied().unwrap_or(NONE);
        let other = problem.writer[next as usize];
        self.mend(Triple { writer, other, reader: problem.reader[thing as usize], choice: NONE })
    }

    /// The next version of the key in the order; of an initial one, the first.
    pub(super) fn next(&self, version: u32) -> Option<u32> {
        let problem = self.problem;
        let versions = problem.versions_count();
        let (key, place) = match version.checked_sub(versions) {
            Some(key) => (key, problem.key_starts[key as usize]),
            None => (problem.key[version as usize], self.place[version as usize] + 1),
        };
        (place < problem.key_starts[key as usize + 1]).then(|| self.versions[place as usize])
    }

    fn is_read_broken(&self, read: u32) -> bool {
        let version = self.problem.read_version[read as usize];
        self.is_broken(version, self.problem.reader[read as usize])
    }

    /// Whether another writer stands between a version and somebody who reads it.
    pub(super) fn is_broken(&self, version: u32, reader: u32) -> bool {
        let problem = self.problem;
        if problem.is_private[reader as usize] {
            return false;
        }
        let Some(next) = self.next(version) else { return false };
        let other = problem.writer[next as usize];
        let shape = problem.shape;
        if other == reader {
            return false;
        }
        self.graph.order().is_before(shape.commit(other), shape.snapshot(reader))
    }

    /// The literal that says that a transaction is before another, both of which write a key.
    pub(super) fn before_literal(&mut self, a: u32, b: u32) -> Literal {
        let pair = (a.min(b), a.max(b));
        let literal = *self.pairs.entry(pair).or_insert_with(|| {
            self.meanings.push(Meaning::Before(pair.0, pair.1));
            self.clauses.variable()
        });
        literal ^ u32::from(a > b)
    }

    /// A read is broken: does what follows, or says what may be decided.
    pub(super) fn mend(&mut self, triple: Triple) -> Result<Step, Clause> {
        let Triple { writer, other, reader, choice } = triple;
        let shape = self.problem.shape;
        let (read_at, written_at) = (shape.snapshot(reader), shape.commit(other));
        if mutant::is(Mutant::OverwriteForgotten) && writer != NONE {
            return Ok(Step::Fine);
        }
        if writer == NONE && mutant::is(Mutant::InitialForgotten) {
            return Ok(Step::Fine);
        }
        if writer == NONE {
            return self.add(read_at, written_at, [choice, NONE], NONE).map(|()| Step::Done);
        }
        let later = self.before_literal(writer, other);
        if self.clauses.is_true(later) {
            return self.add(read_at, written_at, [later, choice], writer).map(|()| Step::Done);
        }
        if self.clauses.is_false(later) {
            // Its edge is in the graph, so the order would not be so.
            return Ok(Step::Fine);
        }
        if let Some(path) = self.graph.path(written_at, read_at) {
            let mut clause = self.because(&path);
            clause.literals.extend((choice != NONE).then(|| negated(choice)));
            clause.txns.push(writer);
            return Ok(self.follow(negated(later), clause));
        }
        if let Some(step) = self.follow_order(writer, other) {
            return Ok(step);
        }
        let moment = |txn: u32| self.problem.moment[txn as usize];
        let cost_of_earlier = moment(other).saturating_sub(moment(writer));
        let cost_of_later = moment(reader).saturating_sub(moment(other));
        let wanted = if cost_of_later < cost_of_earlier { later } else { negated(later) };
        Ok(Step::Open(wanted, cost_of_later.abs_diff(cost_of_earlier)))
    }

    /// Two writers of a key that follow each other in the order and may not overlap.
    fn look_at_writers(&mut self, version: u32) -> Result<Step, Clause> {
        let problem = self.problem;
        let Some(&a) = problem.writer.get(version as usize) else { return Ok(Step::Fine) };
        let Some(next) = self.next(version) else { return Ok(Step::Fine) };
        let b = problem.writer[next as usize];
        let shape = problem.shape;
        if self.graph.order().is_before(shape.commit(a), shape.snapshot(b)) || mutant::is(Mutant::WritersOverlap) {
            return Ok(Step::Fine);
        }
        let before = self.before_literal(a, b);
        if self.clauses.is_true(before) || self.clauses.is_false(before) {
            return Ok(Step::Fine);
        }
        if let Some(step) = self.follow_order(a, b) {
            return Ok(step);
        }
        let (a, b) = (problem.moment[a as usize], problem.moment[b as usize]);
        Ok(Step::Open(if a <= b { before } else { negated(before) }, a.abs_diff(b)))
    }

    /// Whether a way already says which of two writers comes first; the one that is first in the order stands first.
    fn follow_order(&mut self, a: u32, b: u32) -> Option<Step> {
        let shape = self.problem.shape;
        let before = self.before_literal(a, b);
        if let Some(path) = self.graph.path(shape.written_over(a), shape.commit(b)) {
            let clause = self.because(&path);
            return Some(self.follow(before, clause));
        }
        if let Some(path) = self.graph.path(shape.written_over(b), shape.commit(a)) {
            let clause = self.because(&path);
            return Some(self.follow(negated(before), clause));
        }
        None
    }

    /// A literal follows, with the clause of the others.
    pub(super) fn follow(&mut self, literal: Literal, clause: Clause) -> Step {
        let mut clause = tidy(clause);
        if mutant::is(Mutant::DecisionsCertain) {
            clause.literals.clear();
        }
        clause.literals.insert(0, literal);
        if let Meaning::Before(a, b) = self.meanings[literal as usize / 2] {
            clause.txns.extend([a, b]);
        }
        trace::concluded(&clause.literals);
        self.clauses.follow(clause);
        Step::Done
    }
}

/// Each literal once.
pub(super) fn tidy(mut clause: Clause) -> Clause {
    clause.literals.sort_unstable();
    clause.literals.dedup();
    clause
}

fn txns_of(problem: &Problem, nodes: &[u32]) -> Vec<u32> {
    let mut txns: Vec<u32> = nodes.iter().filter_map(|&node| problem.shape.txn(node)).collect();
    txns.sort_unstable();
    txns.dedup();
    txns
}
