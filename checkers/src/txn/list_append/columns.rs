//! Appends and reads by key: the transactions turned round, in two passes and without a hash.

use std::collections::BTreeMap;

use schism_history::{Micro, MicroF, MicroValue, TxnRef, ValueId};

use super::findings::{Candidate, Findings, Part, Shown, invocation, list_read};
use super::mutant::{Mutant, Mutation};
use crate::anomaly::AnomalyKind;
use crate::txn::accesses::{Accesses, INITIAL, Read, UNKNOWN, Write};
use crate::txn::txns::{TxnId, Txns};
use crate::verdict::Gap;

/// No place, no list, no number.
pub(super) const NONE: u32 = u32::MAX;
/// In [`Reading::length`]: the list stands apart, as it is no prefix of the key's list.
pub(super) const DEVIANT: u32 = u32::MAX;
/// In [`Append::micro`]: the transaction appended to the key again.
const AGAIN: u32 = 1 << 31;
/// In [`Reading::micro`]: the transaction had appended to the key before.
const BEHIND_OWN: u32 = 1 << 31;

/// An append to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Append {
    /// [`ValueId::number`].
    pub element: u32,
    /// The transaction's number; from the number of transactions on, the place of a failed one.
    pub owner: u32,
    micro: u32,
}

impl Append {
    /// Its place in its transaction.
    pub fn micro(self) -> u32 {
        self.micro & !AGAIN
    }

    /// Whether the transaction appended to the key again.
    pub fn is_overwritten(self) -> bool {
        self.micro & AGAIN != 0
    }
}

/// A read of a key by a transaction that ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// Who.
    pub reader: TxnId,
    micro: u32,
    /// So many elements of the key's list, or [`DEVIANT`].
    pub length: u32,
    /// Its place among all reads of [`Accesses`].
    pub place: u32,
}

impl Reading {
    /// Its place in its transaction.
    pub fn micro(self) -> u32 {
        self.micro & !BEHIND_OWN
    }

    /// Whether the transaction had appended to the key before, so that these appends end the list.
    pub fn is_behind_own(self) -> bool {
        self.micro & BEHIND_OWN != 0
    }
}

/// All of them, by key; of one key by transaction and place, failed ones last.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// By key, and the end of the last.
    pub append_starts: Vec<u32>,
    /// Appends.
    pub appends: Vec<Append>,
    /// By key, and the end of the last.
    pub reading_starts: Vec<u32>,
    /// Reads.
    pub readings: Vec<Reading>,
    /// By key: how much of its list was read by transactions that ended well.
    pub lengths: Vec<u32>,
    /// By key: what is unusual about it.
    pub marks: Vec<KeyMarks>,
}

/// In [`Read::writer`], between the two passes: behind an append of its own transaction.
const AFTER_OWN: TxnId = INITIAL;

/// What is unusual about a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct KeyMarks {
    /// It is no list, or not only that: it is not judged.
    pub is_unsupported: bool,
    /// A list was read that is no prefix of the key's list.
    pub has_deviant: bool,
    /// Somebody in doubt appended to it.
    pub has_doubt: bool,
}

/// What the first pass knows of a key within a transaction.
#[derive(Debug, Clone, Copy)]
struct Touch {
    owner: u32,
    /// The last micro-operation of the key.
    last: u32,
    /// The place of the key among the transaction's writes.
    write: u32,
}

/// The first pass.
pub(super) struct Collector<'a, 'h> {
    txns: &'a Txns<'h>,
    mutation: Mutation,
    touches: Vec<Touch>,
    /// By micro-operation: the one before it of the same key.
    before: Vec<u32>,
    reads: Vec<Read>,
    writes: Vec<Write>,
    append_counts: Vec<u32>,
    reading_counts: Vec<u32>,
    /// Appends that are followed by another of their transaction and key: owner and place, ascending.
    overwritten: Vec<(u32, u32)>,
    told: [bool; 3],
    columns: Columns,
    /// All accesses; who wrote what was read is not known yet.
    pub accesses: Accesses,
    /// Reads that contradict their own transaction, by kind and key: how many, and the shortest.
    within: BTreeMap<(AnomalyKind, u32), (u64, Candidate)>,
    /// Micro-operations without a meaning here.
    pub gaps: Vec<Gap>,
}

impl<'a, 'h> Collector<'a, 'h> {
    pub fn new(txns: &'a Txns<'h>, mutation: Mutation) -> Collector<'a, 'h> {
        let keys_count = txns.history().txn_keys().len();
        Collector {
            txns,
            mutation,
            touches: vec![Touch { owner: NONE, last: NONE, write: NONE }; keys_count],
            before: Vec::new(),
            reads: Vec::new(),
            writes: Vec::new(),
            append_counts: vec![0; keys_count],
            reading_counts: vec![0; keys_count],
            overwritten: Vec::new(),
            told: [false; 3],
            columns: Columns {
                lengths: vec![0; keys_count],
                marks: vec![KeyMarks::default(); keys_count],
                ..Columns::default()
            },
            accesses: Accesses::new(keys_count as u32),
            within: BTreeMap::new(),
            gaps: Vec::new(),
        }
    }

    /// Both passes.
    pub fn collect(mut self) -> (Columns, Accesses, Findings, Vec<Gap>) {
        let count = self.txns.len() as u32;
        for id in 0..count {
            self.take(id, self.txns.txn(id));
            self.accesses.push(&self.reads, &self.writes, self.txns.is_ok(id));
        }
        for place in 0..self.txns.failed.len() as u32 {
            if let Some(txn) = failed(self.txns, place) {
                self.take(count + place, txn);
            }
        }
        self.scatter();
        let mut findings = Findings::default();
        for ((kind, key), (count, shortest)) in std::mem::take(&mut self.within) {
            if !self.columns.marks[key as usize].is_unsupported {
                findings.count(kind, count);
                findings.show(kind, shortest);
            }
        }
        (self.columns, self.accesses, findings, self.gaps)
    }

    /// Takes a transaction: its reads and writes, and how many there are of each key.
    fn take(&mut self, owner: u32, txn: TxnRef<'h>) {
        self.reads.clear();
        self.writes.clear();
        self.before.clear();
        let first_overwritten = self.overwritten.len();
        for (place, micro) in txn.micros().enumerate() {
            self.before.push(NONE);
            match micro.f {
                MicroF::Append => self.append(owner, place as u32, micro.key),
                MicroF::Read if owner < self.txns.ok_count() => self.read(owner, place as u32, micro),
                MicroF::Read => {}
                MicroF::Write | MicroF::Other => self.other(owner, micro),
            }
        }
        self.overwritten[first_overwritten..].sort_unstable();
    }

    /// Chains a micro-operation to the one before it of the same key, if there is one.
    fn touch(&mut self, owner: u32, place: u32, key: u32) -> &mut Touch {
        let touch = &mut self.touches[key as usize];
        if touch.owner != owner {
            *touch = Touch { owner, last: NONE, write: NONE };
        }
        self.before[place as usize] = touch.last;
        touch.last = place;
        touch
    }

    fn append(&mut self, owner: u32, place: u32, key: u32) {
        self.append_counts[key as usize] += 1;
        let next = self.writes.len() as u32;
        let touch = self.touch(owner, place, key);
        let write = if touch.write == NONE { std::mem::replace(&mut touch.write, next) } else { touch.write };
        match self.writes.get_mut(write as usize) {
            None => self.writes.push(Write { key, micro: place }),
            Some(write) => {
                self.overwritten.push((owner, write.micro));
                write.micro = place;
            }
        }
        if owner >= self.txns.ok_count() && (owner as usize) < self.txns.len() {
            self.columns.marks[key as usize].has_doubt = true;
        }
    }

    fn read(&mut self, owner: u32, place: u32, micro: Micro<'_>) {
        let key = micro.key as usize;
        match micro.value {
            MicroValue::Prefix(length) => self.columns.lengths[key] = self.columns.lengths[key].max(length),
            MicroValue::Deviant(_) => self.columns.marks[key].has_deviant = true,
            MicroValue::One(ValueId::NIL) => {}
            _ => return self.refuse(2, owner, micro.key, "was read, and what was read is no list"),
        }
        self.reading_counts[key] += 1;
        let touch = *self.touch(owner, place, micro.key);
        if self.before[place as usize] != NONE {
            self.compare(owner, place, micro.key);
        }
        // Who it was is said later, of each; until then this tells the second pass which are behind own appends.
        let is_external = touch.write == NONE || self.mutation.is(Mutant::OwnIsExternal);
        let writer = if is_external { UNKNOWN } else { AFTER_OWN };
        self.reads.push(Read { key: micro.key, writer, micro: place });
    }

    fn other(&mut self, owner: u32, micro: Micro<'_>) {
        // What a failed transaction wanted to write is nowhere.
        if (owner as usize) >= self.txns.len() {
            return;
        }
        match micro.value {
            MicroValue::Other(mop) => {
                let what = format!("has a micro-operation {}, which is neither append nor r", mop.f);
                self.refuse(1, owner, micro.key, &what);
            }
            _ => self.refuse(0, owner, micro.key, "is written by w, as a register is"),
        }
    }

    /// Leaves a key out; the first of each cause is told.
    fn refuse(&mut self, cause: usize, owner: u32, key: u32, what: &str) {
        self.columns.marks[key as usize].is_unsupported = true;
        if !std::mem::replace(&mut self.told[cause], true) {
            let key = self.txns.key_text(key);
            self.gaps.push(Gap::Unsupported {
                index: invocation(self.txns, owner),
                reason: format!("key {key} {what}: a list is needed, and keys that are none are not judged"),
            });
        }
    }

    /// Compares a read with what its own transaction knows of the key: the read before and the appends since.
    fn compare(&mut self, reader: TxnId, place: u32, key: u32) {
        let txn = self.txns.txn(reader);
        let list = list_read(self.txns, reader, place);
        let mut rest = list.len();
        let mut fits = true;
        let mut at = self.before[place as usize];
        while at != NONE {
            let micro = txn.micro(at as usize);
            let (MicroF::Append, MicroValue::One(element)) = (micro.f, micro.value) else { break };
            fits &= (rest > 0 && list[rest - 1] == element) || self.mutation.is(Mutant::InternalIdle);
            rest = rest.saturating_sub(1);
            at = self.before[at as usize];
        }
        if at != NONE && !self.mutation.is(Mutant::RepeatedReadIdle) {
            fits &= is_same(txn, at, place, rest, || *list_read(self.txns, reader, at) == list[..rest]);
        }
        if fits {
            return;
        }
        let mut places = vec![(reader, place, Part::Read)];
        let mut own = self.before[place as usize];
        let mut missed = None;
        while own != at {
            places.push((reader, own, Part::Write));
            let is_there = |element: &ValueId| MicroValue::One(*element) == txn.micro(own as usize).value;
            if !list.iter().any(is_there) {
                missed = Some((reader, own, Part::Write));
            }
            own = self.before[own as usize];
        }
        if at != NONE {
            places.push((reader, at, Part::OtherRead));
        }
        places[1..].reverse();
        if let Some(missed) = missed.filter(|_| !self.mutation.is(Mutant::OwnMissedIdle)) {
            self.add(AnomalyKind::NotReadYourWrites, key, vec![places[0], missed], list.len());
        }
        self.add(AnomalyKind::Internal, key, places, list.len());
    }

    /// Counts a read that contradicts its own transaction; the first place is the read's.
    fn add(&mut self, kind: AnomalyKind, key: u32, places: Vec<(u32, u32, Part)>, length: usize) {
        let (reader, place, _) = places[0];
        let (expected, found) = (Shown::Known(reader, place), Shown::Read(reader, place));
        let candidate = Candidate { size: length as u32, places, expected, found, key };
        let (count, shortest) = self.within.entry((kind, key)).or_insert_with(|| (0, candidate.clone()));
        *count += 1;
        if candidate < *shortest {
            *shortest = candidate;
        }
    }

    /// Puts everything where it belongs, in the same order as the first pass.
    fn scatter(&mut self) {
        let (txns, accesses) = (self.txns, &self.accesses);
        let overwritten = std::mem::take(&mut self.overwritten);
        let (append_starts, append_next) = starts(&self.append_counts);
        let (reading_starts, reading_next) = starts(&self.reading_counts);
        let appends_count = append_starts.last().copied().unwrap_or_default() as usize;
        let readings_count = reading_starts.last().copied().unwrap_or_default() as usize;
        let (appends, readings) = rayon::join(
            || scatter_appends(txns, append_next, appends_count, &overwritten),
            || scatter_readings(txns, accesses, reading_next, readings_count),
        );
        let columns = std::mem::take(&mut self.columns);
        self.columns = Columns { append_starts, appends, reading_starts, readings, ..columns };
    }
}

/// Whether two reads of a transaction are the same; lists are looked at only where their lengths do not tell.
fn is_same(txn: TxnRef<'_>, before: u32, now: u32, rest: usize, look: impl FnOnce() -> bool) -> bool {
    match (txn.micro(before as usize).value, txn.micro(now as usize).value) {
        (MicroValue::Prefix(before), MicroValue::Prefix(_)) => before as usize == rest,
        _ => look(),
    }
}

/// What a failed transaction would have done.
fn failed<'h>(txns: &Txns<'h>, place: u32) -> Option<TxnRef<'h>> {
    txns.history().txn(txns.failed[place as usize])
}

/// Where each key begins, with the end of the last; and where its next goes.
fn starts(counts: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut starts = Vec::with_capacity(counts.len() + 1);
    let mut end = 0;
    starts.push(0);
    for count in counts {
        end += count;
        starts.push(end);
    }
    let next = starts[..counts.len()].to_vec();
    (starts, next)
}

/// The second pass, of appends.
fn scatter_appends(txns: &Txns<'_>, mut next: Vec<u32>, count: usize, overwritten: &[(u32, u32)]) -> Vec<Append> {
    let mut appends = vec![Append { element: 0, owner: 0, micro: 0 }; count];
    let mut overwritten = overwritten.iter().peekable();
    let mut put = |owner: u32, txn: TxnRef<'_>| {
        for (place, micro) in txn.micros().enumerate() {
            let (MicroF::Append, MicroValue::One(element)) = (micro.f, micro.value) else { continue };
            let mut append = Append { element: element.number(), owner, micro: place as u32 };
            if overwritten.next_if_eq(&&(owner, place as u32)).is_some() {
                append.micro |= AGAIN;
            }
            let next = &mut next[micro.key as usize];
            appends[*next as usize] = append;
            *next += 1;
        }
    };
    let ids_count = txns.len() as u32;
    for id in 0..ids_count {
        put(id, txns.txn(id));
    }
    for place in 0..txns.failed.len() as u32 {
        failed(txns, place).into_iter().for_each(|txn| put(ids_count + place, txn));
    }
    appends
}

/// The second pass, of reads of lists.
fn scatter_readings(txns: &Txns<'_>, accesses: &Accesses, mut next: Vec<u32>, count: usize) -> Vec<Reading> {
    let mut readings = vec![Reading { reader: 0, micro: 0, length: 0, place: 0 }; count];
    for id in 0..txns.ok_count() {
        let reads = accesses.reads(id);
        let first_read = accesses.first_read(id);
        let mut listed = 0;
        for (micro_place, micro) in txns.txn(id).micros().enumerate() {
            let length = match (micro.f, micro.value) {
                (MicroF::Read, MicroValue::Prefix(length)) => length,
                (MicroF::Read, MicroValue::Deviant(_)) => DEVIANT,
                (MicroF::Read, MicroValue::One(ValueId::NIL)) => 0,
                _ => continue,
            };
            let is_behind_own = reads.get(listed).is_some_and(|read| read.writer == AFTER_OWN);
            let mark = if is_behind_own { BEHIND_OWN } else { 0 };
            let (micro_place, place) = (micro_place as u32 | mark, first_read + listed as u32);
            let next = &mut next[micro.key as usize];
            readings[*next as usize] = Reading { reader: id, micro: micro_place, length, place };
            *next += 1;
            listed += 1;
        }
    }
    readings
}
