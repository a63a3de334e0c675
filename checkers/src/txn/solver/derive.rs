//! The steps of a proof that few transactions are not serializable: saturation by the two rules of a read, and where they
//! do not suffice, one assumption at a time that leads to a contradiction.

use rustc_hash::FxHashMap;

use super::graph::NONE;
use super::{Keeps, Property, Question};
use crate::anomaly::{Derived, Rule};
use crate::txn::accesses::INITIAL;
use crate::txn::txns::TxnId;

/// Proofs of more transactions are not written out: nobody would read them.
const TRANSACTIONS_MAX: usize = 48;

#[derive(Debug, Clone)]
struct Line {
    from: usize,
    to: usize,
    key: Option<u32>,
    rule: Rule,
    other: Option<usize>,
    rests_on: Vec<u32>,
}

/// A line that closes a cycle, and the way back.
struct Closed {
    line: Line,
    back: Vec<u32>,
}

struct Read {
    reader: usize,
    /// `None`: the initial state.
    writer: Option<usize>,
    key: u32,
}

#[derive(Clone)]
struct Proof<'a> {
    count: usize,
    reads: &'a [Read],
    writers: &'a FxHashMap<u32, Vec<usize>>,
    lines: Vec<Line>,
    /// By (earlier, later): the line that says so.
    at: Vec<u32>,
}

/// Derives the contradiction; empty where that takes more than one assumption at a time, where writers are uncertain, and for
/// properties of snapshots.
pub(super) fn derive(question: &Question<'_>, core: &[TxnId]) -> Vec<Derived> {
    let is_in = |id: TxnId| core.binary_search(&id).ok();
    let is_uncertain = |id: TxnId| {
        let mut reads = question.uncertain.iter().filter(|read| read.reader == id);
        reads.any(|read| read.candidates.iter().all(|&writer| writer == INITIAL || is_in(writer).is_some()))
    };
    let is_too_much = core.len() > TRANSACTIONS_MAX || core.iter().any(|&id| is_uncertain(id));
    if question.property != Property::Serializable || is_too_much {
        return Vec::new();
    }
    let mut writers: FxHashMap<u32, Vec<usize>> = FxHashMap::default();
    for (txn, &id) in core.iter().enumerate() {
        question.accesses.writes(id).iter().for_each(|write| writers.entry(write.key).or_default().push(txn));
    }
    let mut reads = Vec::new();
    for (reader, &id) in core.iter().enumerate().filter(|&(_, &id)| question.txns.is_ok(id)) {
        for read in question.accesses.reads(id) {
            let writer = is_in(read.writer);
            let wrote = |writer| writers.get(&read.key).is_some_and(|all| all.contains(&writer));
            if read.writer == INITIAL || writer.is_some_and(|writer| writer != reader && wrote(writer)) {
                reads.push(Read { reader, writer, key: read.key });
            }
        }
    }
    let count = core.len();
    let mut proof = Proof { count, reads: &reads, writers: &writers, lines: Vec::new(), at: vec![NONE; count * count] };
    let closed = proof.begin(question, core).or_else(|| proof.saturate()).or_else(|| proof.split());
    let Some(closed) = closed else { return Vec::new() };
    proof.close(closed);
    let kept = needed(&proof.lines);
    let invoked = |txn: usize| question.txns.invoked(core[txn]);
    // Keys without a name (none in histories that were read) have their numbers.
    let name = |key: u32| question.txns.history().txn_keys().get(key as usize).map(ToString::to_string);
    let text = |key: u32| name(key).unwrap_or_else(|| key.to_string());
    let told = kept.iter().map(|line| Derived {
        from: Some(invoked(line.from)),
        to: invoked(line.to),
        key: line.key.map(text),
        rule: line.rule,
        other: line.other.map(invoked),
        rests_on: line.rests_on.clone(),
    });
    told.collect()
}

impl Proof<'_> {
    /// What is certain.
    fn begin(&mut self, question: &Question<'_>, core: &[TxnId]) -> Option<Closed> {
        let base = |from, to, key, rule| Line { from, to, key, rule, other: None, rests_on: Vec::new() };
        let mut lines = Vec::new();
        for read in self.reads {
            lines.extend(read.writer.map(|writer| base(writer, read.reader, Some(read.key), Rule::ReadsFrom)));
        }
        let rule = if question.keeps == Keeps::Process { Rule::Process } else { Rule::Realtime };
        for (a, &id) in core.iter().enumerate().filter(|&(_, &id)| question.txns.is_ok(id)) {
            for (b, &other) in core.iter().enumerate() {
                let is_asked = match question.keeps {
                    Keeps::Nothing => false,
                    Keeps::Process => question.txns.session(id) == question.txns.session(other),
                    Keeps::Realtime => true,
                };
                if is_asked && question.txns.is_before(id, other) {
                    lines.push(base(a, b, None, rule));
                }
            }
        }
        for (key, known) in question.accesses.versions.iter().enumerate() {
            let known: Vec<usize> = known.iter().filter_map(|id| core.binary_search(id).ok()).collect();
            let pairs = known.windows(2).filter(|pair| pair[0] != pair[1]);
            lines.extend(pairs.map(|pair| base(pair[0], pair[1], Some(key as u32), Rule::Versions)));
        }
        for edge in question.known {
            let (Ok(from), Ok(to)) = (core.binary_search(&edge.from), core.binary_search(&edge.to)) else { continue };
            // Which key it is of is not said; of several that both wrote one will do.
            let wrote = |id: TxnId, key: u32| question.accesses.writes(id).iter().any(|write| write.key == key);
            let common = question.accesses.writes(edge.from).iter().find(|write| wrote(edge.to, write.key));
            lines.extend(common.filter(|_| from != to).map(|write| base(from, to, Some(write.key), Rule::Versions)));
        }
        lines.into_iter().find_map(|line| self.add(line))
    }

    /// Adds a line unless it is known, or says that it contradicts what is known.
    fn add(&mut self, line: Line) -> Option<Closed> {
        if let Some(back) = self.path(line.to, line.from) {
            return Some(Closed { line, back });
        }
        let at = &mut self.at[line.from * self.count + line.to];
        if *at == NONE {
            *at = self.lines.len() as u32;
            self.lines.push(line);
        }
        None
    }

    /// The lines that lead from one to another, one after the other, as few as possible.
    fn path(&self, from: usize, to: usize) -> Option<Vec<u32>> {
        let mut parent = vec![usize::MAX; self.count];
        let mut queue = vec![from];
        let mut head = 0;
        while head < queue.len() && parent[to] == usize::MAX {
            let node = queue[head];
            head += 1;
            let lines = &self.at[node * self.count..][..self.count];
            for (next, (line, parent)) in lines.iter().zip(&mut parent).enumerate() {
                if *line != NONE && *parent == usize::MAX {
                    *parent = node;
                    queue.push(next);
                }
            }
        }
        if from == to {
            return Some(Vec::new());
        }
        if parent[to] == usize::MAX {
            return None;
        }
        let mut path = Vec::new();
        let mut node = to;
        while node != from {
            path.push(self.at[parent[node] * self.count + node]);
            node = parent[node];
        }
        path.reverse();
        Some(path)
    }

    /// Applies both rules of each read until nothing new follows.
    fn saturate(&mut self) -> Option<Closed> {
        loop {
            let before = self.lines.len();
            for read in self.reads {
                for &other in self.writers.get(&read.key).into_iter().flatten() {
                    if other == read.reader || Some(other) == read.writer {
                        continue;
                    }
                    if let Some(closed) = self.apply(read, other) {
                        return Some(closed);
                    }
                }
            }
            if self.lines.len() == before {
                return None;
            }
        }
    }

    fn apply(&mut self, read: &Read, other: usize) -> Option<Closed> {
        let line = |from, to, rule, other, rests_on| Line { from, to, key: Some(read.key), rule, other, rests_on };
        let known = |proof: &Self, from: usize, to: usize| proof.at[from * proof.count + to] != NONE;
        if let Some(writer) = read.writer
            && !known(self, other, writer)
            && let Some(rests_on) = self.path(other, read.reader)
            && let Some(closed) = self.add(line(other, writer, Rule::OverwrittenBefore, Some(read.reader), rests_on))
        {
            return Some(closed);
        }
        if known(self, read.reader, other) {
            return None;
        }
        let rests_on = read.writer.map_or(Some(Vec::new()), |writer| self.path(writer, other))?;
        self.add(line(read.reader, other, Rule::WrittenAfterRead, read.writer, rests_on))
    }

    /// Assumes orders of two writers, one at a time; what leads to a contradiction is the other way round.
    fn split(&mut self) -> Option<Closed> {
        loop {
            let before = self.lines.len();
            for read in self.reads {
                let Some(writer) = read.writer else { continue };
                for &other in self.writers.get(&read.key).into_iter().flatten() {
                    if other == read.reader || other == writer {
                        continue;
                    }
                    for (from, to) in [(writer, other), (other, writer)] {
                        if let Some(closed) = self.assume(from, to, read.key).or_else(|| self.saturate()) {
                            return Some(closed);
                        }
                    }
                }
            }
            if self.lines.len() == before {
                return None;
            }
        }
    }

    /// Assumes an order; if it leads to a contradiction, the other way round follows.
    fn assume(&mut self, from: usize, to: usize, key: u32) -> Option<Closed> {
        if self.path(from, to).is_some() || self.path(to, from).is_some() {
            return None;
        }
        let mut tried = self.clone();
        let assumed = tried.lines.len() as u32;
        let line = Line { from, to, key: Some(key), rule: Rule::Assumed, other: None, rests_on: Vec::new() };
        let closed = tried.add(line.clone()).or_else(|| tried.saturate())?;
        tried.close(closed);
        let last = tried.lines.len() as u32 - 1;
        // The lines stay, but what was concluded from the assumption is no longer known.
        self.lines = tried.lines;
        let rests_on = vec![assumed, last - 1, last];
        self.add(Line { from: to, to: from, rule: Rule::Otherwise, rests_on, ..line })
    }

    /// Puts the last two lines, which contradict each other, at the end.
    fn close(&mut self, closed: Closed) {
        let Closed { line, back } = closed;
        let follows =
            Line { from: line.to, to: line.from, key: None, rule: Rule::Follows, other: None, rests_on: back };
        self.lines.push(follows);
        self.lines.push(line);
    }
}

/// The lines that the last two rest on, and these, numbered anew.
fn needed(lines: &[Line]) -> Vec<Line> {
    let mut is_needed = vec![false; lines.len()];
    for number in (0..lines.len()).rev() {
        is_needed[number] |= number + 2 >= lines.len();
        if is_needed[number] {
            lines[number].rests_on.iter().for_each(|&line| is_needed[line as usize] = true);
        }
    }
    let mut places = vec![0; lines.len()];
    let mut kept = Vec::new();
    for (number, line) in lines.iter().enumerate().filter(|&(number, _)| is_needed[number]) {
        places[number] = kept.len() as u32;
        let rests_on = line.rests_on.iter().map(|&line| places[line as usize]).collect();
        kept.push(Line { rests_on, ..line.clone() });
    }
    kept
}
