//! Lists that are appended to: the order of versions shows in what was read (Kingsbury and Alvaro, "Elle: Inferring
//! Isolation Anomalies from Experimental Observations", VLDB 2020).
//!
//! **The order of a key** is the longest list that a transaction that ended `ok` read of it, as far as no other such
//! read contradicts it and no element is repeated. An append of a committed transaction that has no place in it comes
//! after it (the order of several such is not known). Elements that nobody appended, that failed transactions
//! appended, or of which it cannot be said who appended them, have their place, but no transaction.
//!
//! **Committed** is what ended `ok`, and what is in doubt once an `ok` transaction read an element of it; then all
//! its appends count, also those that nobody read. The reads of what is in doubt are unknown.
//!
//! **Edges**: ww between the transactions of neighbouring elements, and from the last one to whoever comes after all;
//! wr from the transaction of the last element of a list to its reader, or, where it cannot be said whose that is (it is
//! garbage, of one that failed, of several, or the reader's own before its time), from that of the last element before it
//! of which it can: the list has it, so the reader comes after it; the accesses do not name a writer then. rw from a
//! reader to the transaction of the next element, or to all who come after the last. A list that was read after an own
//! append of the key makes no edge where the ww edges say the same, which is where its order is certain and an own append
//! has its place in it; else it makes its wr edge, by what is before the own ones at its end. It is among the accesses,
//! with the transaction of the last element before the own ones. Nothing and an empty list are the same. A read that
//! contradicts the order makes its wr edge alone. No edge is implied by less than what was read, so what follows from them
//! holds.
//!
//! **Anomalies** that need no cycle, each with [`Witness::Micros`](crate::anomaly::Witness::Micros); of each kind at
//! most eight are shown, the shortest ones, and at most one a key; [`Lists::counts`] has the numbers:
//!
//! | kind | counted | places | expected | found |
//! |---|---|---|---|---|
//! | garbage-read | reads | read | - | the element |
//! | duplicate-elements | reads | read, write of the element if any | - | the element |
//! | incompatible-order | reads that are no prefix of the longest | read, other read | the other list | the list |
//! | | appends of one transaction in another order | read, write, overwrite | | the list |
//! | internal | reads | read, other read if there is one, writes since | what is known | the list |
//! | not-read-your-writes | reads without an element that was appended before | read, write | what is known | the list |
//! | future-read | reads | read, write | - | the list |
//! | G1a | reads | read, aborted write | - | the list |
//! | dirty-update | elements of failed transactions under others | aborted write, over-write, read | - | the list |
//! | G1b | reads, without own appends at the end | read, write, over-write | - | the list |
//! | lost-update | versions that several read and then appended to | read, over-write, other read, over-write | - | the list |
//!
//! What is known but for its beginning stands as `[...,5]`. A key with an element that was appended more than once
//! (by transactions that did not fail) is a gap, as is one that is no list; of the first all that does not rest on
//! that element is judged, the other is left out. Predicates are judged elsewhere.
//!
//! Cost: linear in the micro-operations and the elements read; at most 16 bytes a micro-operation beside edges and
//! accesses. Keys are judged on all threads; the answer does not depend on how many there are.

mod columns;
mod findings;
mod judge;
mod key;
mod mutant;
mod own;
mod reasons;
mod table;
mod tails;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

use rayon::prelude::*;

use crate::anomaly::{Anomaly, AnomalyKind};
use crate::txn::accesses::Accesses;
use crate::txn::edge::Edge;
use crate::txn::meter::{Meter, Spent};
use crate::txn::txns::{TxnId, Txns};
use crate::verdict::Gap;
use columns::{Collector, Columns};
use findings::{Findings, SHOWN_MAX, invocation};
use judge::{Judge, Outcome};
use key::{Context, KeyView};
use mutant::Mutation;
use reasons::Ground;

/// So many appends and reads are judged as one piece of work, and so many pieces before their answers are joined.
const PIECE_MICROS: u32 = 1 << 15;
const PIECES_AT_ONCE: usize = 8;

/// What lists say by themselves.
#[derive(Debug, Default)]
pub struct Lists<'t> {
    /// Anomalies that need no cycle: of each kind a few.
    pub anomalies: Vec<Anomaly>,
    /// How many there are of each kind.
    pub counts: BTreeMap<AnomalyKind, u64>,
    /// What could not be judged.
    pub gaps: Vec<Gap>,
    /// Keys with an element that several transactions appended.
    pub ambiguous_keys_count: u64,
    /// Dependencies: ww and rw between neighbouring versions, wr to the readers of the last element that names one.
    pub edges: Vec<Edge>,
    /// Who read what from whom, with the order of versions.
    pub accesses: Accesses,
    ground: Option<Ground<'t>>,
}

/// Infers. Takes steps of the meter for edges from the last readers of a key alone, as all else is linear.
pub fn infer<'t>(txns: &'t Txns<'t>, meter: &mut Meter) -> Lists<'t> {
    infer_with(txns, meter, Mutation::default())
}

fn infer_with<'t>(txns: &'t Txns<'t>, meter: &mut Meter, mutation: Mutation) -> Lists<'t> {
    let (columns, accesses, findings, gaps) = Collector::new(txns, mutation).collect();
    let mut inference = Inference { txns, mutation, columns, findings, clashes: Vec::new(), certain: Vec::new() };
    let mut lists = Lists { gaps, accesses, ..Lists::default() };
    inference.commit_doubt(&mut lists.accesses.committed);
    let apart = inference.judge(&mut lists, meter);
    lists.accesses.ambiguous = inference.clashes.iter().map(|&(key, ..)| key).collect();
    lists.ambiguous_keys_count = inference.clashes.len() as u64;
    inference.tell_clashes(&mut lists.gaps);
    lists.counts = inference.findings.counts();
    lists.anomalies = inference.findings.anomalies(txns);
    let Columns { append_starts, appends, .. } = inference.columns;
    lists.ground =
        Some(Ground { txns, append_starts, appends, certain: inference.certain, apart, kept: Mutex::default() });
    lists
}

struct Inference<'t> {
    txns: &'t Txns<'t>,
    mutation: Mutation,
    columns: Columns,
    findings: Findings,
    clashes: Vec<(u32, u32, u32)>,
    certain: Vec<u32>,
}

impl<'t> Inference<'t> {
    fn context(&self) -> Context<'_, 't> {
        Context { txns: self.txns, columns: &self.columns, mutation: self.mutation }
    }

    /// Keys in pieces of about the same work.
    fn pieces(&self) -> Vec<Range<u32>> {
        let work = |key: usize| self.columns.append_starts[key] + self.columns.reading_starts[key];
        let keys_count = self.columns.marks.len();
        let mut pieces = Vec::new();
        let mut start = 0;
        for key in 0..keys_count {
            if work(key + 1) - work(start) >= PIECE_MICROS || key + 1 == keys_count {
                pieces.push(start as u32..key as u32 + 1);
                start = key + 1;
            }
        }
        pieces
    }

    /// Finds which transactions in doubt were seen.
    fn commit_doubt(&self, committed: &mut [bool]) {
        let context = self.context();
        let look = |keys: Range<u32>| {
            let mut view = KeyView::new();
            let mut seen: Vec<TxnId> = Vec::new();
            for key in keys {
                let marks = self.columns.marks[key as usize];
                if marks.has_doubt && !marks.is_unsupported {
                    view.settle(context, key);
                    view.seen_doubt(context, key, &mut seen);
                }
            }
            seen
        };
        in_order(&self.pieces(), look, |seen| {
            for id in seen {
                committed[id as usize] = !self.mutation.is(mutant::Mutant::DoubtNeverSeen);
            }
            true
        });
        if self.mutation.is(mutant::Mutant::DoubtAlwaysSeen) {
            committed.fill(true);
        }
    }

    /// Judges all keys; the orders that are no part of the history's lists.
    fn judge(&mut self, lists: &mut Lists<'t>, meter: &mut Meter) -> Vec<(u32, Vec<schism_history::ValueId>)> {
        let mut apart = Vec::new();
        let (mut clashes, mut certain, mut crowded) = (Vec::new(), Vec::new(), Vec::new());
        let mut findings = std::mem::take(&mut self.findings);
        let mut spent = None;
        let committed = std::mem::take(&mut lists.accesses.committed);
        let context = self.context();
        let pieces = self.pieces();
        let mut place = 0;
        let mut first = 0;
        while first < pieces.len() {
            let draws_last = spent.is_none();
            let work = |keys: Range<u32>| {
                let mut judge = Judge::new(context, &committed, draws_last);
                keys.for_each(|key| judge.key(key));
                judge.out
            };
            let join = |out: Outcome| {
                lists.edges.extend_from_slice(&out.edges);
                for writer in out.writers {
                    lists.accesses.set_writer(self.columns.readings[place].place, writer);
                    place += 1;
                }
                lists.accesses.versions.extend(out.versions);
                lists.accesses.tails.extend(out.tails);
                lists.accesses.interleaved.extend(out.interleaved);
                certain.extend(out.certain);
                apart.extend(out.apart);
                clashes.extend(out.clashes);
                crowded.extend(out.crowded);
                findings.merge(out.findings);
                let bytes = out.last_edges * size_of::<Edge>() as u64;
                if let Err(error) = meter.step(out.last_edges).and_then(|()| meter.take_bytes(bytes)) {
                    spent = Some(error);
                }
                spent.is_none() || !draws_last
            };
            first += in_order(&pieces[first..], work, join);
        }
        lists.accesses.committed = committed;
        tell_crowded(self.txns, &crowded, spent, meter, &mut lists.gaps);
        (self.findings, self.clashes, self.certain) = (findings, clashes, certain);
        apart
    }

    /// Tells elements of which nobody can say who appended them.
    fn tell_clashes(&self, gaps: &mut Vec<Gap>) {
        for &(key, first, second) in self.clashes.iter().take(SHOWN_MAX) {
            let appends = self.context().appends(key);
            let [first, second] = [first, second].map(|place| appends[place as usize]);
            let index = invocation(self.txns, second.owner);
            let other = invocation(self.txns, first.owner);
            let element = self.txns.history().txn(index).map(|txn| txn.micro(second.micro() as usize).value);
            let element = match element {
                Some(schism_history::MicroValue::One(id)) => self.txns.history().value_of(id).to_string(),
                _ => String::new(),
            };
            let key = self.txns.key_text(key);
            let by = if other == index {
                format!("twice by the transaction of event {index}")
            } else {
                format!("by the transactions of events {other} and {index}")
            };
            let more = match self.clashes.len() - 1 {
                0 => String::new(),
                1 => "; one other key has such elements".to_owned(),
                more => format!("; {more} other keys have such elements"),
            };
            let reason = format!(
                "{element} was appended to key {key} {by}, so a read of it does not say whose it is{more}: append unique values"
            );
            gaps.push(Gap::Unsupported { index, reason });
        }
    }
}

/// Tells keys of which not all edges were drawn.
fn tell_crowded(txns: &Txns<'_>, crowded: &[u32], spent: Option<Spent>, meter: &Meter, gaps: &mut Vec<Gap>) {
    if let Some(&key) = crowded.first() {
        gaps.push(Gap::BudgetSpent {
            key: Some(txns.key_text(key)),
            steps: if spent.is_some() { meter.steps } else { judge::LAST_EDGES_MAX as u64 },
            steps_max: if spent.is_some() { meter.steps_max } else { judge::LAST_EDGES_MAX as u64 },
            memory_bytes: meter.bytes_asked(),
            memory_bytes_max: meter.bytes_max,
            prefix_events: 0,
            configurations_peak: 0,
            placing: None,
        });
    }
}

/// Works on pieces, on all threads, and joins the answers in order until `join` says no; how many were joined.
fn in_order<T: Send>(
    pieces: &[Range<u32>],
    work: impl Fn(Range<u32>) -> T + Sync,
    mut join: impl FnMut(T) -> bool,
) -> usize {
    let mut joined = 0;
    for some in pieces.chunks(PIECES_AT_ONCE) {
        let answers: Vec<T> = match some {
            [piece] => vec![work(piece.clone())],
            _ => some.par_iter().map(|piece| work(piece.clone())).collect(),
        };
        for answer in answers {
            joined += 1;
            if !join(answer) {
                return joined;
            }
        }
    }
    joined
}
