//! Judges one key after the other: dependencies, and what shows by itself.

use schism_history::ValueId;

use super::columns::{Append, DEVIANT, NONE, Reading};
use super::findings::{Candidate, Findings, Part, Shown};
use super::key::{Context, Deviant, KeyView, Scan};
use super::mutant::Mutant;
use super::tails::Tails;
use crate::anomaly::AnomalyKind;
use crate::txn::accesses::{INITIAL, UNKNOWN};
use crate::txn::edge::{Edge, EdgeKind};
use crate::txn::txns::TxnId;

/// So many edges are drawn at most from the last readers of one key to those who appended what nobody read.
pub(super) const LAST_EDGES_MAX: usize = 1 << 19;

/// What some keys say.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub edges: Vec<Edge>,
    /// By reading: who wrote what it saw.
    pub writers: Vec<TxnId>,
    /// By key: the writers in order.
    pub versions: Vec<Vec<TxnId>>,
    /// Keys in whose order one transaction's appends stand between those of another.
    pub interleaved: Vec<u32>,
    /// Writers after these.
    pub tails: Vec<(u32, TxnId)>,
    /// By key: so many elements of its order are certain; [`NONE`] where it is not judged.
    pub certain: Vec<u32>,
    /// Orders that are no part of the history's list of the key.
    pub apart: Vec<(u32, Vec<ValueId>)>,
    /// Elements that were appended more than once: key, and the places of the two appends among the key's.
    pub clashes: Vec<(u32, u32, u32)>,
    /// Keys whose last readers have too many successors.
    pub crowded: Vec<u32>,
    /// Edges from last readers.
    pub last_edges: u64,
    pub findings: Findings,
}

/// A read that shows an anomaly, the shortest of its key.
type Shortest = Option<(usize, usize)>;

/// Judges keys, with room that is used again.
pub(super) struct Judge<'a, 'h> {
    pub context: Context<'a, 'h>,
    committed: &'a [bool],
    /// Whether edges from last readers may still be drawn.
    draws_last: bool,
    pub view: KeyView<'h>,
    pub out: Outcome,
    /// Places in the table of what committed transactions appended and nobody has a place for.
    tail: Vec<u32>,
    /// Their transactions, each once.
    tail_writers: Vec<TxnId>,
    /// Whose the last elements of the key's list are, where the very last one says nothing.
    tails: Tails,
    /// By kind of [`CONTENTS`].
    shortest: [Shortest; CONTENTS.len()],
}

/// What is wrong with the contents of a list.
const CONTENTS: [AnomalyKind; 6] = [
    AnomalyKind::GarbageRead,
    AnomalyKind::DuplicateElements,
    AnomalyKind::IncompatibleOrder,
    AnomalyKind::G1a,
    AnomalyKind::DirtyUpdate,
    AnomalyKind::G1b,
];

impl<'a, 'h> Judge<'a, 'h> {
    pub fn new(context: Context<'a, 'h>, committed: &'a [bool], draws_last: bool) -> Judge<'a, 'h> {
        Judge {
            context,
            committed,
            draws_last,
            view: KeyView::new(),
            out: Outcome::default(),
            tail: Vec::new(),
            tail_writers: Vec::new(),
            tails: Tails::default(),
            shortest: [None; CONTENTS.len()],
        }
    }

    /// Judges a key; keys come in order.
    pub fn key(&mut self, key: u32) {
        let readings = self.context.readings(key);
        if self.context.columns.marks[key as usize].is_unsupported {
            self.out.writers.extend(readings.iter().map(|_| UNKNOWN));
            self.out.versions.push(Vec::new());
            self.out.certain.push(NONE);
            return;
        }
        self.view.settle(self.context, key);
        self.view.rank(self.context, key);
        if let Some((first, second)) = self.view.table.clash {
            self.out.clashes.push((key, first, second));
        }
        self.out.certain.push(self.view.certain as u32);
        let list = self.context.txns.history().txn_list(key);
        let certain = &self.view.longest[..self.view.certain];
        if certain.len() > list.len() || (!self.view.deviants.is_empty() && *certain != list[..certain.len()]) {
            self.out.apart.push((key, certain.to_vec()));
        }
        self.take_tail(key);
        self.writes(key);
        self.readings(key);
        self.own(key);
        self.own_order(key);
    }

    fn edge(&mut self, from: TxnId, to: TxnId, kind: EdgeKind) {
        if from != to || self.context.mutation.is(Mutant::OwnEdges) {
            self.out.edges.push(Edge { from, to, kind });
        }
    }

    /// What committed transactions appended and no certain list has.
    fn take_tail(&mut self, key: u32) {
        self.tail.clear();
        self.tail_writers.clear();
        if self.context.mutation.is(Mutant::UnreadForgotten) {
            return;
        }
        for (place, append) in self.context.appends(key).iter().enumerate() {
            if append.owner >= self.context.failed_from() {
                break;
            }
            let is_ambiguous = self.view.table.is_ambiguous(place as u32);
            if self.committed[append.owner as usize] && !self.view.is_ordered[place] && !is_ambiguous {
                self.tail.push(place as u32);
                if self.tail_writers.last() != Some(&append.owner) {
                    self.tail_writers.push(append.owner);
                }
            }
        }
    }

    /// Dependencies between writers, and the order of versions.
    fn writes(&mut self, key: u32) {
        let appends = self.context.appends(key);
        let mut versions = Vec::new();
        let mut last = None;
        let mut before: Option<Append> = None;
        for at in 0..self.view.order.len() {
            let append = appends[self.view.order[at] as usize];
            if let Some(last) = last {
                self.edge(last, append.owner, EdgeKind::Ww);
            }
            last = Some(append.owner);
            let is_between = |before: Append| before.owner != append.owner && before.is_overwritten();
            if before.replace(append).is_some_and(is_between) && self.out.interleaved.last() != Some(&key) {
                self.out.interleaved.push(key);
            }
            if self.view.is_clean && !append.is_overwritten() {
                versions.push(append.owner);
            }
        }
        if let Some(last) = last {
            for at in 0..self.tail_writers.len() {
                self.edge(last, self.tail_writers[at], EdgeKind::Ww);
            }
        }
        if self.view.is_clean {
            let of_place = |&place: &u32| appends[place as usize];
            let finals = self.tail.iter().map(of_place).filter(|append| !append.is_overwritten());
            let before = self.out.tails.len();
            self.out.tails.extend(finals.map(|append| (key, append.owner)));
            if self.out.tails.len() == before + 1 {
                versions.extend(self.out.tails.pop().map(|(_, writer)| writer));
            }
        }
        self.out.versions.push(versions);
    }

    /// Dependencies of readers, and what is wrong with what they read.
    fn readings(&mut self, key: u32) {
        self.shortest = [None; CONTENTS.len()];
        self.tails.clear();
        let readings = self.context.readings(key);
        let mut deviants = 0;
        let mut last_readers: Vec<TxnId> = Vec::new();
        for (at, reading) in readings.iter().enumerate() {
            let (list, scan, common) = self.list_of(reading, &mut deviants);
            if common < list.len() || scan.is_bad(list.len()) {
                self.contents(at, list, scan, common);
            }
            let is_certain = common == list.len() && list.len() <= self.view.certain;
            let writer = self.foreign(key, reading, list).map_or(UNKNOWN, |seen| {
                let is_said = is_certain && list[seen.len()..].iter().any(|own| self.is_placed(own));
                self.writer(key, at, reading, seen, is_said)
            });
            self.out.writers.push(writer);
            if reading.is_behind_own() || !is_certain {
                continue;
            }
            let rank = self.view.ranks[list.len()] as usize;
            if let Some(&next) = self.view.order.get(rank) {
                if rank > 0 || !self.context.mutation.is(Mutant::InitialForgotten) {
                    let next = self.context.appends(key)[next as usize].owner;
                    self.edge(reading.reader, next, EdgeKind::Rw);
                }
            } else if last_readers.last() != Some(&reading.reader) {
                last_readers.push(reading.reader);
            }
        }
        self.last(key, &last_readers);
        self.out.findings.count(AnomalyKind::DirtyUpdate, self.view.dirty_count);
        self.tell_contents(key);
    }

    /// A reading's list, what is wrong with it, and how much of it agrees with the longest. Readings come in order.
    pub fn list_of(&self, reading: &Reading, deviants: &mut usize) -> (&'h [ValueId], Scan, usize) {
        if reading.length != DEVIANT {
            let list = &self.view.list[..(reading.length as usize).min(self.view.list.len())];
            return (list, self.view.scan, self.view.list_common.min(list.len()));
        }
        match self.view.deviants.get(*deviants) {
            Some(&Deviant { list, scan, common }) => {
                *deviants += 1;
                (list, scan, common)
            }
            None => (&[], self.view.scan, 0),
        }
    }

    /// What a reading saw of others: the list without the transaction's own appends at its end. `None` where these are
    /// not there as they should be, which is an anomaly by itself.
    fn foreign<'l>(&self, key: u32, reading: &Reading, list: &'l [ValueId]) -> Option<&'l [ValueId]> {
        if !reading.is_behind_own() || self.context.mutation.is(Mutant::OwnKept) {
            return Some(list);
        }
        let appends = self.context.appends(key);
        let first = appends.partition_point(|append| append.owner < reading.reader);
        let is_before = |append: &&Append| append.owner == reading.reader && append.micro() < reading.micro();
        let count = appends[first..].iter().take_while(is_before).count();
        let (seen, end) = list.split_at_checked(list.len().checked_sub(count)?)?;
        let fits = end.iter().zip(&appends[first..]).all(|(element, append)| element.number() == append.element);
        (fits || self.context.mutation.is(Mutant::OwnUncompared)).then_some(seen)
    }

    /// Whether an element has a place in the order of versions, with a transaction.
    fn is_placed(&self, element: &ValueId) -> bool {
        let place = self.view.table.get(element.number());
        self.view.is_ordered.get(place as usize).copied().unwrap_or_default()
    }

    /// The append of an element, if it did not fail and nobody else made it.
    fn named(&self, key: u32, element: ValueId) -> Option<Append> {
        let place = self.view.table.get(element.number());
        let append = *self.context.appends(key).get(place as usize)?;
        let is_certain = !self.view.table.is_ambiguous(place) || self.context.mutation.is(Mutant::FirstWriterTaken);
        (append.owner < self.context.failed_from() && is_certain).then_some(append)
    }

    /// Who wrote what a reading saw of others, with the dependency on that; behind own appends that may be said by the order
    /// of versions.
    fn writer(&mut self, key: u32, at: usize, reading: &Reading, list: &[ValueId], is_said: bool) -> TxnId {
        let Some(&last) = list.last() else { return INITIAL };
        let Some(append) = self.named(key, last).filter(|append| append.owner != reading.reader) else {
            // Whose the newest is cannot be said; but the list has what was appended before it.
            let before = self.last_of_others(key, reading, list).filter(|_| !is_said);
            if let Some(before) = before.filter(|_| !self.context.mutation.is(Mutant::TailsHide)) {
                self.edge(before, reading.reader, EdgeKind::Wr);
            }
            return UNKNOWN;
        };
        if append.is_overwritten() && !self.context.mutation.is(Mutant::IntermediateFits) {
            self.shorter(AnomalyKind::G1b, list.len(), at);
            self.out.findings.count(AnomalyKind::G1b, 1);
        }
        if !is_said {
            self.edge(append.owner, reading.reader, EdgeKind::Wr);
        }
        append.owner
    }

    /// Who appended the last element in what a reading saw of which it is certain that another transaction did.
    fn last_of_others(&mut self, key: u32, reading: &Reading, list: &[ValueId]) -> Option<TxnId> {
        if reading.length == DEVIANT {
            let owners = list.iter().rev().filter_map(|&element| self.named(key, element));
            return owners.map(|append| append.owner).find(|&owner| owner != reading.reader);
        }
        if !self.tails.is_filled() {
            let mut tails = std::mem::take(&mut self.tails);
            tails.fill(self.view.list.iter().map(|&element| self.named(key, element).map(|append| append.owner)));
            self.tails = tails;
        }
        self.tails.last(list.len(), reading.reader)
    }

    /// Edges from those who read all that has a place to those who appended more.
    fn last(&mut self, key: u32, readers: &[TxnId]) {
        if self.context.mutation.is(Mutant::LastReadersForgotten) {
            return;
        }
        let mut left = if self.draws_last { LAST_EDGES_MAX } else { 0 };
        for &reader in readers {
            for at in 0..self.tail_writers.len() {
                if left == 0 {
                    self.out.crowded.push(key);
                    return;
                }
                left -= 1;
                self.out.last_edges += 1;
                self.edge(reader, self.tail_writers[at], EdgeKind::Rw);
            }
        }
    }

    fn shorter(&mut self, kind: AnomalyKind, length: usize, at: usize) {
        let place = CONTENTS.iter().position(|&other| other == kind).expect("a kind of the table");
        let shortest = &mut self.shortest[place];
        *shortest = Some(shortest.map_or((length, at), |known| known.min((length, at))));
    }

    /// Counts what is wrong with the contents of a list; of G1a, garbage and repeated elements each read is one.
    fn contents(&mut self, at: usize, list: &[ValueId], scan: Scan, common: usize) {
        use AnomalyKind::*;
        let mutation = self.context.mutation;
        let has = |position: u32| list.len() > position as usize;
        let found = [
            (GarbageRead, has(scan.garbage) && !mutation.is(Mutant::GarbageFits)),
            (DuplicateElements, has(scan.repeated) && !mutation.is(Mutant::RepeatedFits)),
            (IncompatibleOrder, common < list.len()),
            (G1a, has(scan.failed)),
        ];
        for (kind, is_found) in found {
            if is_found {
                self.out.findings.count(kind, 1);
                self.shorter(kind, list.len(), at);
            }
        }
        if has(scan.dirty) {
            self.shorter(DirtyUpdate, list.len(), at);
        }
    }

    /// Shows the shortest read of each.
    fn tell_contents(&mut self, key: u32) {
        for (place, kind) in CONTENTS.into_iter().enumerate() {
            if let Some((_, at)) = self.shortest[place] {
                let candidate = self.contents_candidate(key, kind, at);
                self.out.findings.show(kind, candidate);
            }
        }
    }

    fn contents_candidate(&self, key: u32, kind: AnomalyKind, at: usize) -> Candidate {
        let readings = self.context.readings(key);
        let reading = readings[at];
        let mut deviants = readings[..at].iter().filter(|reading| reading.length == DEVIANT).count();
        let (list, scan, common) = self.list_of(&reading, &mut deviants);
        let read = (reading.reader, reading.micro(), Part::Read);
        let whole = Shown::Read(reading.reader, reading.micro());
        let size = list.len() as u32;
        let element = |at: u32| list.get(at as usize).copied().unwrap_or(ValueId::NIL);
        let append = |at: u32, part: Part| {
            let place = self.view.table.get(element(at).number());
            let append = self.context.appends(key).get(place as usize);
            append.map(|append| (append.owner, append.micro(), part))
        };
        let mut expected = Shown::Nothing;
        let mut found = whole;
        let mut places = vec![read];
        match kind {
            AnomalyKind::GarbageRead => found = Shown::One(element(scan.garbage)),
            AnomalyKind::DuplicateElements => {
                found = Shown::One(element(scan.repeated));
                places.extend(append(scan.repeated, Part::Write));
            }
            AnomalyKind::G1a => places.extend(append(scan.failed, Part::AbortedWrite)),
            AnomalyKind::DirtyUpdate => {
                places.clear();
                places.extend(append(scan.failed, Part::AbortedWrite));
                places.extend(append(scan.dirty, Part::OverWrite));
                places.push(read);
            }
            AnomalyKind::IncompatibleOrder => {
                if let Some(other) = self.contradicting(key, common) {
                    places.push((other.reader, other.micro(), Part::OtherRead));
                    expected = Shown::Read(other.reader, other.micro());
                }
            }
            _ => {
                let seen = self.foreign(key, &reading, list).unwrap_or(list);
                places.extend(append((seen.len() as u32).saturating_sub(1), Part::Write));
                let place = seen.last().map_or(NONE, |last| self.view.table.get(last.number()));
                let next = self.context.appends(key).get(place.saturating_add(1) as usize);
                places.extend(next.map(|next| (next.owner, next.micro(), Part::OverWrite)));
            }
        }
        Candidate { size, places, expected, found, key }
    }

    /// The shortest read that agrees with the longest list beyond so many elements.
    fn contradicting(&self, key: u32, common: usize) -> Option<Reading> {
        let mut deviants = 0;
        let mut best: Option<(usize, Reading)> = None;
        for reading in self.context.readings(key) {
            let (list, _, agrees) = self.list_of(reading, &mut deviants);
            if agrees == list.len() && agrees > common && best.is_none_or(|(length, _)| agrees < length) {
                best = Some((agrees, *reading));
            }
        }
        best.map(|(_, reading)| reading)
    }
}
