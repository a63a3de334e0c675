//! Reads whose value several transactions wrote, in the search.

use super::clauses::{Clause, Literal};
use super::engine::{Engine, Meaning, Step, Triple};
use super::graph::NONE;
use super::trace;

impl Engine<'_> {
    /// Marks the choices of a key that the order breaks.
    pub(super) fn sweep_choices(&mut self, key: u32) {
        let problem = self.problem;
        for &number in problem.choices_of_key.of(key) {
            if !self.is_choice_fine(number as usize) {
                self.touch(self.things_of_choices + number);
            }
        }
    }

    /// The version that a choice is decided to take, with its literal.
    pub(super) fn taken(&self, number: usize) -> Option<(u32, Literal)> {
        let first = self.choice_literal[number];
        if first == NONE {
            return None;
        }
        let versions = &self.problem.choices[number].versions;
        let literals = (first..).step_by(2);
        versions.iter().copied().zip(literals).find(|&(_, literal)| self.clauses.is_true(literal))
    }

    /// Where readers need not agree: what all choices take.
    pub(super) fn all_taken(&self) -> Vec<(u32, u32)> {
        if !self.problem.shape.has_private_readers() {
            return Vec::new();
        }
        let taken = |number: usize| self.taken(number).map(|(version, _)| (number as u32, version));
        (0..self.problem.choices.len()).filter_map(taken).collect()
    }

    /// The literal of one version of a choice, if it has literals.
    fn literal_of(&self, number: usize, version: u32) -> Option<Literal> {
        let place = self.problem.choices[number].versions.binary_search(&version).ok()?;
        let first = self.choice_literal[number];
        (first != NONE).then(|| first + 2 * place as u32)
    }

    /// The version that the order lets a reader read.
    fn visible(&self, key: u32, reader: u32) -> u32 {
        let (all, count) = self.before(key, reader);
        if count == 0 { self.problem.versions_count() + key } else { all[count - 1] }
    }

    pub(super) fn is_choice_fine(&self, number: usize) -> bool {
        let choice = &self.problem.choices[number];
        if let Some((version, _)) = self.taken(number) {
            return !self.is_broken(version, choice.txn);
        }
        let visible = self.visible(choice.key, choice.txn);
        let is_excluded = self.literal_of(number, visible).is_some_and(|literal| self.clauses.is_false(literal));
        choice.versions.binary_search(&visible).is_ok() && !is_excluded
    }

    /// A choice: fine, or mended, or what may be decided.
    pub(super) fn look_at_choice(&mut self, number: usize) -> Result<Step, Clause> {
        if self.is_choice_fine(number) {
            return Ok(Step::Fine);
        }
        let reader = self.problem.choices[number].txn;
        if let Some((version, literal)) = self.taken(number) {
            return self.mend_choice(version, reader, literal);
        }
        Ok(self.choose(number))
    }

    /// What a choice should take: the nearest version before the reader that nothing excludes, else the nearest after it.
    pub(super) fn choose(&mut self, number: usize) -> Step {
        let problem = self.problem;
        let choice = &problem.choices[number];
        let first = self.choice_literals(number);
        let (_, count) = self.before(choice.key, choice.txn);
        let reader_place = problem.key_starts[choice.key as usize] + count as u32;
        let mut wanted: Vec<(bool, u32, u32, Literal)> = Vec::with_capacity(choice.versions.len());
        for (&version, literal) in choice.versions.iter().zip((first..).step_by(2)) {
            if !self.clauses.is_false(literal) {
                let place = self.place.get(version as usize).copied();
                let place = place.map_or(problem.key_starts[choice.key as usize], |place| place + 1);
                wanted.push((place > reader_place, place.abs_diff(reader_place), version, literal));
            }
        }
        wanted.sort_unstable();
        let Some(&(_, _, version, literal)) = wanted.first() else { return Step::Fine };
        if let Some(&writer) = problem.writer.get(version as usize)
            && let Some(path) = self.graph.path(problem.shape.snapshot(choice.txn), problem.shape.commit(writer))
        {
            let clause = self.because(&path);
            return self.follow(literal ^ 1, clause);
        }
        Step::Open(literal, 0)
    }

    /// The versions of a key in order, and how many of them are before a reader.
    fn before(&self, key: u32, reader: u32) -> (&[u32], usize) {
        let problem = self.problem;
        let range = problem.key_starts[key as usize] as usize..problem.key_starts[key as usize + 1] as usize;
        let all = &self.versions[range];
        let own = self.graph.order().label(problem.shape.snapshot(reader));
        let label = |version: u32| self.graph.order().label(problem.shape.commit(problem.writer[version as usize]));
        (all, all.partition_point(|&version| label(version) < own))
    }

    /// Mends a read of a choice that is made.
    fn mend_choice(&mut self, version: u32, reader: u32, choice: Literal) -> Result<Step, Clause> {
        let Some(next) = self.next(version).filter(|_| self.is_broken(version, reader)) else { return Ok(Step::Fine) };
        let writer = self.problem.writer.get(version as usize).copied().unwrap_or(NONE);
        self.mend(Triple { writer, other: self.problem.writer[next as usize], reader, choice })
    }

    /// The literals of a choice, one for each of its versions, and the clause that says that it takes one. The first of them.
    fn choice_literals(&mut self, number: usize) -> Literal {
        if self.choice_literal[number] == NONE {
            let choice = &self.problem.choices[number];
            let mut clause = Clause { txns: vec![choice.txn], ..Clause::default() };
            for &version in &choice.versions {
                self.meanings.push(Meaning::Takes(number as u32, version));
                clause.literals.push(self.clauses.variable());
                clause.txns.extend(self.problem.writer.get(version as usize));
            }
            trace::concluded(&clause.literals);
            self.choice_literal[number] = clause.literals[0];
            self.clauses.add(clause);
        }
        self.choice_literal[number]
    }
}
