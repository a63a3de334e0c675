//! Derives again, clause by clause, why a search said that there is no order.
//!
//! What was concluded from the graph is so if its opposite puts edges into the graph that close a cycle; these edges are made
//! here anew from the reads. What was learned is so if its opposite leads by unit propagation through the clauses before it
//! to a contradiction (Goldberg and Novikov, "Verification of Proofs of Unsatisfiability for CNF Formulas", 2003); and so does
//! everything together. What is not derived here: the certain edges, which brute force of small histories shows.

use crate::txn::solver::clauses::Literal;
use crate::txn::solver::engine::Meaning;
use crate::txn::solver::problem::Problem;
use crate::txn::solver::trace::Entry;

struct Certain<'p> {
    problem: &'p Problem,
    outgoing: Vec<Vec<u32>>,
    is_contradiction: bool,
}

/// Panics where something does not follow.
pub fn check(problem: &Problem, meanings: &[Meaning], entries: &[Entry]) {
    let certain = Certain::new(problem);
    let mut clauses: Vec<&[Literal]> = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        match entry {
            Entry::Concluded(literals) => {
                let is_right = is_choice(problem, meanings, literals) || certain.contradicts(meanings, literals);
                assert!(is_right, "clause {number} does not follow from the reads: {literals:?}");
                clauses.push(literals);
            }
            Entry::Learned(literals) => {
                let opposite: Vec<Literal> = literals.iter().map(|literal| literal ^ 1).collect();
                assert!(
                    is_refuted(meanings.len(), &clauses, &opposite),
                    "clause {number} does not follow: {literals:?}"
                );
                clauses.push(literals);
            }
        }
    }
    assert!(is_refuted(meanings.len(), &clauses, &[]), "the clauses do not contradict each other");
}

/// Whether a clause says no more than that a choice takes one of its versions.
fn is_choice(problem: &Problem, meanings: &[Meaning], literals: &[Literal]) -> bool {
    let taken = |literal: &Literal| match meanings[*literal as usize / 2] {
        Meaning::Takes(choice, version) if literal.is_multiple_of(2) => Some((choice, version)),
        _ => None,
    };
    let Some((choice, _)) = literals.first().and_then(taken) else { return false };
    let all: Option<Vec<(u32, u32)>> = literals.iter().map(taken).collect();
    let Some(all) = all else { return false };
    let versions = &problem.choices[choice as usize].versions;
    all.iter().all(|taken| taken.0 == choice) && versions.iter().all(|version| all.contains(&(choice, *version)))
}

/// Whether unit propagation leads to a contradiction.
fn is_refuted(variables: usize, clauses: &[&[Literal]], assumed: &[Literal]) -> bool {
    let mut is_true = vec![false; 2 * variables];
    for &literal in assumed {
        is_true[literal as usize] = true;
    }
    loop {
        let mut is_changed = false;
        for clause in clauses {
            if clause.iter().any(|&literal| is_true[literal as usize]) {
                continue;
            }
            let mut open = clause.iter().filter(|&&literal| !is_true[literal as usize ^ 1]);
            match (open.next(), open.next()) {
                (None, _) => return true,
                (Some(&literal), None) => {
                    is_true[literal as usize] = true;
                    is_changed = true;
                }
                _ => {}
            }
        }
        if !is_changed {
            return false;
        }
    }
}

impl<'p> Certain<'p> {
    fn new(problem: &'p Problem) -> Certain<'p> {
        let nodes = problem.priorities.len();
        let mut outgoing = vec![Vec::new(); nodes];
        problem.edges.iter().for_each(|&(from, to)| outgoing[from as usize].push(to));
        let mut certain = Certain { problem, outgoing, is_contradiction: false };
        let versions = problem.versions_count();
        let mut initial = Vec::new();
        for (&reader, &version) in problem.reader.iter().zip(&problem.read_version) {
            if let Some(key) = version.checked_sub(versions) {
                certain.overwritten(reader, key, None, &mut initial);
            }
        }
        initial.iter().for_each(|&(from, to)| certain.outgoing[from as usize].push(to));
        certain.is_contradiction = certain.closes(&initial);
        certain
    }

    /// The edges from a reader to those who wrote the key: all of them, or one.
    fn overwritten(&self, reader: u32, key: u32, only: Option<u32>, edges: &mut Vec<(u32, u32)>) {
        let (problem, shape) = (self.problem, self.problem.shape);
        let is_private = problem.is_private[reader as usize];
        let from = if is_private { shape.private(reader) } else { shape.snapshot(reader) };
        for version in problem.key_starts[key as usize]..problem.key_starts[key as usize + 1] {
            let writer = problem.writer[version as usize];
            if writer != reader && only.is_none_or(|only| only == writer) {
                edges.push((from, shape.commit(writer)));
            }
        }
    }

    /// Whether the opposite of a clause closes a cycle.
    fn contradicts(&self, meanings: &[Meaning], literals: &[Literal]) -> bool {
        if self.is_contradiction {
            return true;
        }
        let (problem, shape) = (self.problem, self.problem.shape);
        let versions = problem.versions_count();
        let (mut edges, mut before, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        for &literal in literals {
            match (meanings[literal as usize / 2], literal % 2 == 1) {
                (Meaning::Before(a, b), is_so) => before.push(if is_so { (a, b) } else { (b, a) }),
                (Meaning::Takes(choice, version), true) => taken.push((choice, version)),
                _ => {}
            }
        }
        let certain = problem.reader.iter().copied().zip(problem.read_version.iter().copied());
        let chosen = taken.iter().map(|&(choice, version)| (problem.choices[choice as usize].txn, version));
        let all: Vec<(u32, u32)> = certain.chain(chosen).collect();
        edges.extend(before.iter().map(|&(a, b)| (shape.commit(a), shape.written_over(b))));
        for &(choice, version) in &taken {
            let choice = &problem.choices[choice as usize];
            match version.checked_sub(versions) {
                Some(key) => self.overwritten(choice.txn, key, None, &mut edges),
                None => edges.push((shape.commit(problem.writer[version as usize]), shape.snapshot(choice.txn))),
            }
        }
        for (reader, version) in all.into_iter().filter(|&(_, version)| version < versions) {
            let (writer, key) = (problem.writer[version as usize], problem.key[version as usize]);
            for &(_, other) in before.iter().filter(|&&(a, _)| a == writer) {
                self.overwritten(reader, key, Some(other), &mut edges);
            }
        }
        self.closes(&edges)
    }

    /// Whether edges close a cycle with the certain ones; or some private reader is led back to.
    fn closes(&self, edges: &[(u32, u32)]) -> bool {
        let shape = self.problem.shape;
        let is_led_back = |txn: u32| {
            let start = shape.private(txn);
            let is_reader = self.problem.is_private[txn as usize];
            is_reader && self.reached(start, edges)[shape.snapshot(txn) as usize]
        };
        edges.iter().any(|&(from, to)| self.reached(to, edges)[from as usize])
            || shape.has_private_readers() && (0..self.problem.members.len() as u32).any(is_led_back)
    }

    fn reached(&self, start: u32, edges: &[(u32, u32)]) -> Vec<bool> {
        let mut reached = vec![false; self.outgoing.len()];
        let mut open = vec![start];
        reached[start as usize] = true;
        while let Some(node) = open.pop() {
            let added = edges.iter().filter(|edge| edge.0 == node).map(|edge| edge.1);
            for next in self.outgoing[node as usize].iter().copied().chain(added) {
                if !std::mem::replace(&mut reached[next as usize], true) {
                    open.push(next);
                }
            }
        }
        reached
    }
}
