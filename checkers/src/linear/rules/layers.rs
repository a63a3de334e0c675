//! Operations of which values tell in which layer each stands: layer after layer, in any order within one. There is an
//! order if and only if nothing ended before something of an earlier layer began: one pass with the latest beginning so
//! far.
//!
//! (If there is none such, order each layer by real time alone; nothing contradicts. If there is, these two exclude each
//! other.)
//!
//! Here for a **set that only grows and is read as a whole**: reads must be a chain, each a subset of the next; reads of
//! the same elements are one layer, and what was added between two of them is another. An element that no read has was
//! added behind the last one. Addition in doubt: if a read has it, it has happened; otherwise it can as well not have.
//!
//! Cost: O(n log n + elements of all reads). Not for it: removals, questions about single elements together with whole
//! reads, and elements that were added twice (which addition a read saw would have to be looked for).

use rustc_hash::FxHashMap;
use schism_history::OpIndex;

use crate::linear::models::set::{Element, SetAction};
use crate::linear::mutant::Mutation;
use crate::linear::ruling::{Certificate, Ruling};
use crate::linear::split::{OPEN, Operation};

const ALGORITHM: &str = "layers";

/// Defects that the tests must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Mutant {
    /// Reads need be no chain.
    AnyReads,
    /// Elements may appear from nowhere.
    NeverAdded,
    /// Additions that no read has may stand anywhere.
    UnreadAnywhere,
    /// Additions in doubt may stand anywhere.
    DoubtAnywhere,
    /// Additions in doubt that no read has happened all the same, and at once.
    UnreadDoubtHappened,
    /// The latest beginning is looked at in the layer before alone.
    LastLayerOnly,
    /// An element that was added twice was added by the last of these.
    AddedTwice,
    /// Nothing was ever removed.
    RemovalsIgnored,
}

/// The operation that began last, of layers so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Latest {
    begin: OpIndex,
    place: Option<u32>,
}

impl Latest {
    /// Takes an operation of the layers so far.
    pub fn take<A>(&mut self, place: u32, operation: &Operation<A>) {
        if self.place.is_none() || operation.invoke > self.begin {
            *self = Latest { begin: operation.invoke, place: Some(place) };
        }
    }

    /// Whether an operation of a later layer ended before that one began: which began.
    pub fn excludes<A>(&self, operation: &Operation<A>) -> Option<u32> {
        self.place.filter(|_| operation.end < self.begin)
    }
}

/// Two operations that exclude each other: both have happened at `at` at the latest.
pub(crate) fn at<A>(first: &Operation<A>, second: &Operation<A>, last: OpIndex) -> OpIndex {
    let end = first.end.max(second.end);
    if end == OPEN { last } else { end }
}

/// The last completion; by then every contradiction shows.
pub(crate) fn last_end<A>(operations: &[Operation<A>]) -> OpIndex {
    operations.iter().map(|operation| operation.end).filter(|&end| end != OPEN).max().unwrap_or(0)
}

fn bad(at: OpIndex, pattern: &'static str, places: Vec<u32>) -> Ruling {
    Ruling::Bad { algorithm: ALGORITHM, at, certificate: Some(Certificate { pattern, places }) }
}

/// Decides a set with whole reads; operations stand in order of invocation.
pub(crate) fn rule(operations: &[Operation<SetAction>], mutation: Mutation<Mutant>) -> Ruling {
    match gather(operations, mutation) {
        Ok(gathered) => decide(operations, &gathered, mutation),
        Err(why) => Ruling::Unfit(why),
    }
}

/// Additions by element, and reads by size.
struct Gathered<'a> {
    added: FxHashMap<&'a Element, u32>,
    reads: Vec<(u32, &'a [Element])>,
}

fn gather(operations: &[Operation<SetAction>], mutation: Mutation<Mutant>) -> Result<Gathered<'_>, &'static str> {
    let mut added = FxHashMap::with_capacity_and_hasher(operations.len(), rustc_hash::FxBuildHasher);
    let mut reads = Vec::new();
    for (place, operation) in operations.iter().enumerate() {
        match &operation.action {
            SetAction::Read(_) | SetAction::Contains(..) if operation.in_doubt() => {}
            SetAction::Add(_, Some(false)) | SetAction::Remove(_, Some(false)) if operation.in_doubt() => {}
            SetAction::Read(elements) => reads.push((place as u32, &elements[..])),
            SetAction::Remove(..) if mutation.is(Mutant::RemovalsIgnored) => {}
            SetAction::Remove(..) => return Err("whole reads of a set from which something was removed"),
            SetAction::Contains(..) | SetAction::Add(_, Some(false)) => {
                return Err("whole reads of a set together with questions about single elements");
            }
            SetAction::Add(element, _) => {
                if added.insert(element, place as u32).is_some() && !mutation.is(Mutant::AddedTwice) {
                    return Err("whole reads of a set to which an element was added twice");
                }
            }
        }
    }
    reads.sort_by_key(|(_, elements)| elements.len());
    Ok(Gathered { added, reads })
}

fn decide(operations: &[Operation<SetAction>], gathered: &Gathered<'_>, mutation: Mutation<Mutant>) -> Ruling {
    let Gathered { added, reads } = gathered;
    let of = |place: u32| &operations[place as usize];
    let last = last_end(operations);
    let mut latest = Latest::default();
    let mut seen = vec![false; operations.len()];
    let (mut before, mut group) = (None::<(u32, &[Element])>, 0);
    while group < reads.len() {
        let (read, elements) = reads[group];
        if let Some((smaller, subset)) = before
            && !is_subset(subset, elements)
            && !mutation.is(Mutant::AnyReads)
        {
            return bad(at(of(smaller), of(read), last), "reads-disagree", vec![smaller, read]);
        }
        if mutation.is(Mutant::LastLayerOnly) {
            latest = Latest::default();
        }
        let fresh = match fresh(elements, before.map_or(&[][..], |(_, subset)| subset), added, mutation) {
            Ok(fresh) => fresh,
            Err(()) => return bad(of(read).end, "never-added", vec![read]),
        };
        // What this read has and the one before it has not: behind that one, before this one.
        for &add in &fresh {
            seen[add as usize] = true;
            if let Some(earlier) = latest.excludes(of(add)) {
                return out_of_order(operations, earlier, add, before.map(|(smaller, _)| smaller));
            }
        }
        let doubt = |add: &u32| of(*add).in_doubt() && mutation.is(Mutant::DoubtAnywhere);
        fresh.iter().filter(|add| !doubt(add)).for_each(|&add| latest.take(add, of(add)));
        let same = reads[group..].iter().take_while(|(_, others)| others.len() == elements.len());
        let same: Vec<(u32, &[Element])> = same.copied().collect();
        for &(other, others) in &same {
            if others != elements && !mutation.is(Mutant::AnyReads) {
                return bad(at(of(read), of(other), last), "reads-disagree", vec![read, other]);
            }
            if let Some(earlier) = latest.excludes(of(other)) {
                return bad(at(of(earlier), of(other), last), "read-before", vec![earlier, other]);
            }
        }
        same.iter().for_each(|&(other, _)| latest.take(other, of(other)));
        group += same.len();
        before = Some((read, elements));
    }
    unread(operations, &seen, latest, mutation)
}

/// An addition ended before something began that must stand before it: a read that lacks its element, or an addition
/// that a read has which lacks it.
fn out_of_order(operations: &[Operation<SetAction>], earlier: u32, add: u32, read: Option<u32>) -> Ruling {
    let of = |place: u32| &operations[place as usize];
    let last = last_end(operations);
    match (&of(earlier).action, read) {
        (SetAction::Add(..), Some(read)) => {
            bad(at(of(read), of(add), last), "added-in-another-order", vec![earlier, add, read])
        }
        _ => bad(at(of(earlier), of(add), last), "addition-lost", vec![add, earlier]),
    }
}

/// What no read has stands behind all reads.
fn unread(operations: &[Operation<SetAction>], seen: &[bool], latest: Latest, mutation: Mutation<Mutant>) -> Ruling {
    for (place, operation) in operations.iter().enumerate() {
        let is_add = matches!(operation.action, SetAction::Add(_, None | Some(true)));
        if !is_add || seen[place] || mutation.is(Mutant::UnreadAnywhere) {
            continue;
        }
        let doubt = operation.in_doubt() && mutation.is(Mutant::UnreadDoubtHappened);
        let end = if doubt { operation.invoke } else { operation.end };
        if let Some(earlier) = latest.excludes(&Operation { end, ..operation.clone() }) {
            let at = at(&operations[earlier as usize], operation, last_end(operations));
            return bad(at, "addition-lost", vec![place as u32, earlier]);
        }
    }
    Ruling::Good { algorithm: ALGORITHM }
}

/// Who added what is in `elements` and not in `subset`; both are sorted.
fn fresh(
    elements: &[Element],
    subset: &[Element],
    added: &FxHashMap<&Element, u32>,
    mutation: Mutation<Mutant>,
) -> Result<Vec<u32>, ()> {
    let mut old = subset.iter().peekable();
    let mut fresh = Vec::new();
    for element in elements {
        while old.next_if(|&old| old < element).is_some() {}
        if old.next_if(|&old| old == element).is_some() {
            continue;
        }
        match added.get(element) {
            Some(&add) => fresh.push(add),
            None if mutation.is(Mutant::NeverAdded) => {}
            None => return Err(()),
        }
    }
    Ok(fresh)
}

/// Whether all of one sorted list are in the other.
fn is_subset(few: &[Element], many: &[Element]) -> bool {
    let mut many = many.iter();
    few.iter().all(|element| many.by_ref().find(|&other| other >= element) == Some(element))
}
