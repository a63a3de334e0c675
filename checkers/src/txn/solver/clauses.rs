//! Literals, clauses and what is learned from conflicts (the first unique implication point of Marques-Silva and Sakallah,
//! "GRASP", 1999; watched literals of Moskewicz et al., "Chaff", 2001). Nothing learned is ever forgotten, so the search ends.
//!
//! Each clause remembers the transactions that it was concluded from, and the learned clauses it rests on: from the last
//! conflict one walks back to transactions that contradict each other by themselves.

use super::graph::NONE;
use super::mutant::{self, Mutant};
use super::trace;

/// A variable, doubled; the lower bit says that it is meant the other way round.
pub(super) type Literal = u32;

/// The other way round.
#[inline]
pub(super) fn negated(literal: Literal) -> Literal {
    literal ^ 1
}

/// One of these literals is true.
#[derive(Debug, Clone, Default)]
pub(super) struct Clause {
    /// The literals.
    pub literals: Vec<Literal>,
    /// Transactions that it was concluded from.
    pub txns: Vec<u32>,
    /// Learned clauses that it was concluded from.
    pub rests_on: Vec<u32>,
    /// Variables that were certain, and left out for that.
    pub certain: Vec<u32>,
}

impl Clause {
    fn bytes(&self) -> u64 {
        let items = self.literals.len() + self.txns.len() + self.rests_on.len() + self.certain.len();
        (items * 4 + size_of::<Clause>()) as u64
    }
}

/// Where a level of decisions began.
#[derive(Debug, Clone, Copy)]
struct Mark {
    trail: usize,
    temporary: usize,
    edges: usize,
}

/// All literals, with what is true of them now.
#[derive(Default)]
pub(super) struct Clauses {
    /// By literal.
    is_true: Vec<bool>,
    level: Vec<u32>,
    /// By variable: twice the number of a clause, plus one for a temporary one; or [`NONE`].
    reason: Vec<u32>,
    is_seen: Vec<bool>,
    trail: Vec<Literal>,
    marks: Vec<Mark>,
    learned: Vec<Clause>,
    /// Reasons that are given up with what follows from them.
    temporary: Vec<Clause>,
    watchers: Vec<Vec<u32>>,
    head: usize,
    bytes: u64,
    /// Conflicts so far.
    pub conflicts_count: u64,
}

/// What to do after a conflict.
pub(super) enum Resolved {
    /// There is no way out; these transactions alone have none.
    Impossible(Vec<u32>),
    /// The search goes on, with so many added edges kept.
    Back(usize),
}

impl Clauses {
    /// A new variable; its positive literal.
    pub fn variable(&mut self) -> Literal {
        let variable = self.level.len() as u32;
        self.is_true.extend([false, false]);
        self.level.push(0);
        self.reason.push(NONE);
        self.is_seen.push(false);
        self.watchers.extend([Vec::new(), Vec::new()]);
        self.bytes += 64;
        2 * variable
    }

    /// Whether it is true now.
    #[inline]
    pub fn is_true(&self, literal: Literal) -> bool {
        self.is_true[literal as usize]
    }

    /// Whether it is false now.
    #[inline]
    pub fn is_false(&self, literal: Literal) -> bool {
        self.is_true[negated(literal) as usize]
    }

    /// Bytes held, about.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Decides that something is so.
    pub fn decide(&mut self, literal: Literal, edges: usize) {
        self.marks.push(Mark { trail: self.trail.len(), temporary: self.temporary.len(), edges });
        self.set(literal, NONE);
    }

    /// Something follows from others: the clause's first literal is it, the others are false.
    pub fn follow(&mut self, clause: Clause) {
        let literal = clause.literals[0];
        let reason = self.temporary.len() as u32 * 2 + 1;
        self.temporary.push(clause);
        self.set(literal, reason);
    }

    /// Adds a clause none of whose literals has a value yet; it has two or more.
    pub fn add(&mut self, clause: Clause) {
        let number = self.learned.len() as u32;
        self.bytes += clause.bytes();
        for &literal in &clause.literals[..2] {
            self.watchers[literal as usize].push(number);
        }
        self.learned.push(clause);
    }

    /// The next literal that became true and was not followed up yet.
    pub fn next(&mut self) -> Option<Literal> {
        let literal = self.trail.get(self.head).copied();
        self.head += usize::from(literal.is_some());
        literal
    }

    /// Looks what clauses say now that this literal is true. A clause that is false, if there is one.
    pub fn propagate(&mut self, literal: Literal) -> Option<Clause> {
        let wrong = negated(literal);
        let mut watchers = std::mem::take(&mut self.watchers[wrong as usize]);
        let mut conflict = None;
        watchers.retain(|&number| {
            if conflict.is_some() {
                return true;
            }
            let literals = &mut self.learned[number as usize].literals;
            if literals[0] == wrong {
                literals.swap(0, 1);
            }
            let first = literals[0];
            if self.is_true[first as usize] {
                return true;
            }
            let is_free = |literal: Literal| !self.is_true[negated(literal) as usize];
            if let Some(place) = (2..literals.len()).find(|&place| is_free(literals[place])) {
                literals.swap(1, place);
                self.watchers[literals[1] as usize].push(number);
                return false;
            }
            if is_free(first) {
                self.set(first, number * 2);
            } else {
                let literals = literals.clone();
                conflict = Some(Clause { literals, rests_on: vec![number], ..Clause::default() });
            }
            true
        });
        self.watchers[wrong as usize] = watchers;
        conflict
    }

    fn set(&mut self, literal: Literal, reason: u32) {
        debug_assert!(!self.is_true(literal) && !self.is_false(literal), "a literal is set twice");
        self.is_true[literal as usize] = true;
        self.level[literal as usize / 2] = self.marks.len() as u32;
        self.reason[literal as usize / 2] = reason;
        self.trail.push(literal);
    }

    fn reason(&self, variable: u32) -> Option<(&Clause, u32)> {
        let reason = self.reason[variable as usize];
        match (reason, reason % 2) {
            (NONE, _) => None,
            (_, 0) => Some((&self.learned[reason as usize / 2], reason / 2)),
            _ => Some((&self.temporary[reason as usize / 2], NONE)),
        }
    }

    /// Goes back to a level. How many added edges were there then.
    pub fn back_to(&mut self, level: u32) -> Option<usize> {
        let mark = *self.marks.get(level as usize)?;
        for literal in self.trail.drain(mark.trail..) {
            self.is_true[literal as usize] = false;
        }
        self.temporary.truncate(mark.temporary);
        self.marks.truncate(level as usize);
        self.head = self.head.min(mark.trail);
        Some(mark.edges)
    }

    /// Learns from a clause all of whose literals are false. `edges` is how many are added now.
    pub fn resolve(&mut self, conflict: Clause, edges: usize) -> Resolved {
        self.conflicts_count += 1;
        let level_of = |clauses: &Clauses, literal: Literal| clauses.level[literal as usize / 2];
        let top = conflict.literals.iter().map(|&literal| level_of(self, literal)).max().unwrap_or(0);
        if top == 0 {
            return Resolved::Impossible(self.support(conflict));
        }
        let kept = self.back_to(top).unwrap_or(edges);
        let learned = self.learn(conflict, top);
        let back = learned.literals[1..].iter().map(|&literal| level_of(self, literal)).max().unwrap_or(0);
        let kept = self.back_to(back).unwrap_or(kept);
        trace::learned(&learned.literals);
        self.bytes += learned.bytes();
        let number = self.learned.len() as u32;
        let first = learned.literals[0];
        if learned.literals.len() > 1 {
            self.watchers[first as usize].push(number);
            self.watchers[learned.literals[1] as usize].push(number);
        }
        self.learned.push(learned);
        self.set(first, number * 2);
        Resolved::Back(kept)
    }

    /// The clause that follows from a conflict and has one literal of the highest level, its first; then one of the next
    /// highest.
    fn learn(&mut self, conflict: Clause, top: u32) -> Clause {
        let mut learned = Clause { literals: vec![NONE], ..Clause::default() };
        let mut touched = Vec::new();
        let mut open = 0;
        let mut place = self.trail.len();
        let mut antecedent = (conflict, NONE);
        loop {
            let (clause, number) = antecedent;
            learned.txns.extend(clause.txns);
            learned.rests_on.extend(clause.rests_on);
            learned.rests_on.extend((number != NONE).then_some(number));
            for literal in clause.literals {
                let variable = literal / 2;
                if std::mem::replace(&mut self.is_seen[variable as usize], true) {
                    continue;
                }
                touched.push(variable);
                match self.level[variable as usize] {
                    0 => learned.certain.push(variable),
                    level if level == top => open += 1,
                    _ => learned.literals.push(literal),
                }
            }
            let pivot = loop {
                place -= 1;
                if self.is_seen[self.trail[place] as usize / 2] {
                    break self.trail[place];
                }
            };
            open -= 1;
            if open == 0 {
                learned.literals[0] = negated(pivot);
                break;
            }
            antecedent = match self.reason(pivot / 2) {
                // A learned clause is named, not copied: its own reasons are found through it.
                Some((clause, number)) if number != NONE => {
                    (Clause { literals: clause.literals.clone(), ..Clause::default() }, number)
                }
                Some((clause, _)) => (clause.clone(), NONE),
                None => (Clause::default(), NONE),
            };
        }
        for variable in touched {
            self.is_seen[variable as usize] = false;
        }
        for list in [&mut learned.txns, &mut learned.rests_on, &mut learned.certain] {
            list.sort_unstable();
            list.dedup();
        }
        if mutant::is(Mutant::ClauseTooShort) {
            learned.literals.truncate(2);
        }
        let level = |literal: &Literal| self.level[*literal as usize / 2];
        let second = (1..learned.literals.len()).max_by_key(|&place| level(&learned.literals[place]));
        if let Some(second) = second {
            learned.literals.swap(1, second);
        }
        learned
    }

    /// All transactions that a contradiction was concluded from.
    fn support(&self, conflict: Clause) -> Vec<u32> {
        let mut txns = Vec::new();
        let mut clauses_seen = vec![false; self.learned.len()];
        let mut variables_seen = vec![false; self.level.len()];
        let mut clauses = Vec::new();
        let mut variables = Vec::new();
        let take = |clause: &Clause, clauses: &mut Vec<u32>, variables: &mut Vec<u32>, txns: &mut Vec<u32>| {
            txns.extend_from_slice(&clause.txns);
            clauses.extend_from_slice(&clause.rests_on);
            variables.extend_from_slice(&clause.certain);
        };
        variables.extend(conflict.literals.iter().map(|&literal| literal / 2));
        take(&conflict, &mut clauses, &mut variables, &mut txns);
        loop {
            if let Some(number) = clauses.pop() {
                if !std::mem::replace(&mut clauses_seen[number as usize], true) {
                    take(&self.learned[number as usize], &mut clauses, &mut variables, &mut txns);
                }
            } else if let Some(variable) = variables.pop() {
                if std::mem::replace(&mut variables_seen[variable as usize], true) {
                    continue;
                }
                if let Some((clause, number)) = self.reason(variable) {
                    variables.extend(clause.literals.iter().map(|&literal| literal / 2));
                    clauses.extend((number != NONE).then_some(number));
                    take(clause, &mut clauses, &mut variables, &mut txns);
                }
            } else {
                break;
            }
        }
        txns.sort_unstable();
        txns.dedup();
        txns
    }
}
