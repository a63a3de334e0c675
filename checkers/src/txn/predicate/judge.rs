//! What each read says of the version that it saw.

use rustc_hash::FxHashMap;
use schism_history::{Mop, Value};

use super::mutant::{Mutant, Mutation};
use super::universe::{Object, Predicate, Universe, Version, written};
use super::{Cause, Predicates};
use crate::anomaly::{Anomaly, AnomalyKind, Place, Role, Witness};
use crate::txn::edge::{Edge, EdgeKind};
use crate::txn::meter::Meter;
use crate::txn::txns::{TxnId, Txns};
use crate::verdict::Gap;

/// So many of each kind of anomaly are told.
const FEW: usize = 8;

/// A micro-operation's value as text.
pub(super) fn text(txns: &Txns<'_>, id: TxnId, micro: u32) -> Option<String> {
    let carrier = if txns.is_ok(id) { txns.ended(id) } else { txns.invoked(id) };
    match &*txns.history().value(carrier) {
        Value::Txn(mops) => mops.get(micro as usize).map(|mop| mop.value.to_string()),
        _ => None,
    }
}

/// Judges all transactions.
pub(super) fn judge<'t>(txns: &'t Txns<'t>, meter: &mut Meter, mutation: Mutation) -> Predicates<'t> {
    let universe = Universe::of(txns, mutation);
    let found = Predicates { txns: Some(txns), ..Predicates::default() };
    let mut judge = Judge { txns, universe: &universe, found, mutation };
    judge.objects();
    for id in 0..txns.ok_count() {
        if judge.transaction(id, meter).is_err() {
            judge.found.gaps.push(meter.gap_after(txns.invoked(id).into()));
            break;
        }
    }
    let mut found = judge.found;
    found.causes.sort_unstable();
    found.causes.dedup_by_key(|cause| cause.edge);
    found.edges = found.causes.iter().map(|cause| cause.edge).collect();
    found
}

/// How a read is called.
#[derive(Debug, Clone, Copy)]
struct Names {
    read: EdgeKind,
    overwrite: EdgeKind,
}

const ITEM: Names = Names { read: EdgeKind::Wr, overwrite: EdgeKind::Rw };
const BY_PREDICATE: Names = Names { read: EdgeKind::Wrp, overwrite: EdgeKind::Rwp };

struct Judge<'a, 't> {
    txns: &'t Txns<'t>,
    universe: &'a Universe,
    found: Predicates<'t>,
    mutation: Mutation,
}

impl<'a> Judge<'a, '_> {
    /// Orders of versions; objects without one are told.
    fn objects(&mut self) {
        let universe = self.universe;
        let mut is_told = false;
        for (key, object) in (0..).zip(&universe.objects) {
            if !object.is_known {
                let first = object.versions.first().map_or(0, |version| version.txn);
                let reason = format!(
                    "key {}: the order of its versions is not known, as {}; it is left out",
                    self.txns.key_text(key),
                    if object.is_foreign {
                        "something else is done to it than `init`, `insert`, `w`, `r` and `delete`"
                    } else if object.is_ambiguous {
                        "another key is written alike, a number as a text"
                    } else {
                        "it has more than one birth, one write and one death"
                    }
                );
                if !is_told {
                    self.found.gaps.push(Gap::Unsupported { index: self.txns.invoked(first), reason });
                    is_told = true;
                }
                continue;
            }
            for pair in object.versions.windows(2).filter(|_| object.is_member) {
                self.cause((&pair[0]).into(), (&pair[1]).into(), EdgeKind::Ww, key);
            }
        }
    }

    fn cause(&mut self, from: At, to: At, kind: EdgeKind, key: u32) {
        if from.txn != to.txn {
            let edge = Edge { from: from.txn, to: to.txn, kind };
            self.found.causes.push(Cause { edge, from_micro: from.micro, to_micro: to.micro, key });
        }
    }

    fn transaction(&mut self, id: TxnId, meter: &mut Meter) -> Result<(), crate::txn::meter::Spent> {
        let universe = self.universe;
        let mut own: FxHashMap<u32, (u32, Option<&'a Value>)> = FxHashMap::default();
        for (micro, mop) in (0..).zip(&universe.mops[id as usize]) {
            let at = At { txn: id, micro };
            if &*mop.f == "rp" {
                meter.step(universe.objects.len() as u64)?;
                self.by_predicate(at, mop, &own);
                continue;
            }
            let Some(key) = universe.number(mop) else { continue };
            if let Some(value) = written(mop) {
                if !universe.objects[key as usize].is_foreign {
                    own.insert(key, (micro, value));
                }
            } else if &*mop.f == "r" && universe.objects[key as usize].is_member {
                let value = Some(&mop.value).filter(|value| !value.is_nil());
                match own.get(&key) {
                    Some((_, mine)) if *mine == value => {}
                    Some((write, mine)) => {
                        let expected = mine.map_or("nil".to_owned(), ToString::to_string);
                        self.anomaly(AnomalyKind::Internal, at, Some(At { txn: id, micro: *write }), key, expected);
                    }
                    None => self.saw(at, key, value),
                }
            }
        }
        Ok(())
    }

    fn by_predicate(&mut self, at: At, mop: &Mop, own: &FxHashMap<u32, (u32, Option<&Value>)>) {
        let universe = self.universe;
        let name = mop.key.to_string();
        let (Some(predicate), Value::Map(found)) = (Predicate::parse(&name), &mop.value) else {
            let reason = format!(
                "{}: a read by predicate is [\"rp\", \"true\" or \"= x\" or \"mod a b\", {{key: value}}]; it is left out",
                Value::Txn(Box::new(vec![mop.clone()]))
            );
            self.found.gaps.push(Gap::Unsupported { index: self.txns.invoked(at.txn), reason });
            return;
        };
        let mut seen: FxHashMap<u32, &Value> = FxHashMap::default();
        for (name, value) in found.iter() {
            match universe.named(name) {
                Some(key) => drop(seen.insert(key, value)),
                None => self.anomaly_of(AnomalyKind::GarbageRead, at, None, name.to_string(), None),
            }
        }
        for (key, object) in (0..).zip(&universe.objects) {
            let value = seen.get(&key).copied();
            if let Some(&(write, mine)) = own.get(&key) {
                let expected = mine.filter(|_| predicate.finds(mine));
                if expected != value && !self.mutation.is(Mutant::OwnIdle) {
                    let write = At { txn: at.txn, micro: write };
                    let expected = expected.map_or("not found".to_owned(), ToString::to_string);
                    self.anomaly(AnomalyKind::PredicateReadMiss, at, Some(write), key, expected);
                }
            } else if value.is_some_and(|value| !predicate.finds(Some(value))) {
                self.anomaly(AnomalyKind::PredicateReadMiss, at, None, key, "not found".to_owned());
            } else if value.is_some() {
                self.saw(at, key, value);
            } else {
                self.left_out(at, key, object, &predicate);
            }
        }
    }

    /// A value was read, or that an object is not there.
    fn saw(&mut self, at: At, key: u32, value: Option<&Value>) {
        let object = &self.universe.objects[key as usize];
        if !object.is_known {
            return;
        }
        let is_it = |version: Option<&Value>| version == value;
        let places = self.places(object, at.txn, is_it);
        let maybe = if self.mutation.is(Mutant::MaybeForgotten) { &[] } else { object.maybe.as_slice() };
        let is_blurred = maybe.iter().any(|version| is_it(version.value.as_ref()));
        if places.is_empty() && value.is_some() && !is_blurred {
            return self.no_version(at, key, object, value);
        }
        if let (Some(&first), Some(&last), false) = (places.first(), places.last(), is_blurred) {
            if first > 0 {
                self.cause((&object.versions[first - 1]).into(), at, ITEM.read, key);
            }
            if let Some(next) = object.versions.get(last) {
                self.cause(at, next.into(), ITEM.overwrite, key);
            }
        }
    }

    /// A value that no version has.
    fn no_version(&mut self, at: At, key: u32, object: &Object, value: Option<&Value>) {
        let is_it = |version: &&Version| version.value.as_ref() == value;
        let later = object.versions.iter().find(|version| version.txn == at.txn);
        let (kind, write) = if let Some(later) = later.filter(|version| is_it(version)) {
            (AnomalyKind::FutureRead, Some(later))
        } else if let Some(over) = object.intermediate.iter().find(is_it) {
            let is_failed = (over.txn as usize) >= self.txns.len();
            (if is_failed { AnomalyKind::G1a } else { AnomalyKind::G1b }, Some(over))
        } else if let Some(failed) = object.failed.iter().find(is_it) {
            (AnomalyKind::G1a, Some(failed))
        } else {
            (AnomalyKind::GarbageRead, None)
        };
        self.anomaly_of(kind, at, write.map(At::from), self.txns.key_text(key), None);
    }

    /// A predicate's read found nothing of an object: it saw a version that the predicate does not find.
    fn left_out(&mut self, at: At, key: u32, object: &Object, predicate: &Predicate) {
        let is_found = |version: &Version| predicate.finds(version.value.as_ref());
        let is_blurred = object.maybe.iter().any(|version| !is_found(version));
        if !object.is_known || (is_blurred && !self.mutation.is(Mutant::MaybeForgotten)) {
            return;
        }
        let places = self.places(object, at.txn, |value| !predicate.finds(value));
        let (Some(&(mut first)), Some(&(mut last))) = (places.first(), places.last()) else { return };
        if self.mutation.is(Mutant::ReadOfLast) {
            first = last;
        }
        if self.mutation.is(Mutant::OverwriteOfFirst) {
            last = first;
        }
        // The latest version, up to the first that may have been seen, with which the answer changed.
        let mut place = first;
        while place > 0 {
            let was_found = place > 1 && is_found(&object.versions[place - 2]);
            let is_changed = was_found != is_found(&object.versions[place - 1]);
            if is_changed || self.mutation.is(Mutant::EveryVersionTold) {
                self.cause((&object.versions[place - 1]).into(), at, BY_PREDICATE.read, key);
                break;
            }
            place -= 1;
        }
        // Of the later versions none was left out but the transaction's own.
        if let Some(next) = object.versions[last..].iter().find(|next| is_found(next)) {
            self.cause(at, next.into(), BY_PREDICATE.overwrite, key);
        }
    }

    fn anomaly(&mut self, kind: AnomalyKind, at: At, write: Option<At>, key: u32, expected: String) {
        self.anomaly_of(kind, at, write, self.txns.key_text(key), Some(expected));
    }

    fn anomaly_of(&mut self, kind: AnomalyKind, at: At, write: Option<At>, key: String, expected: Option<String>) {
        if self.found.anomalies.iter().filter(|known| known.kind == kind.as_str()).count() >= FEW {
            return;
        }
        let place = |at: At, role: Role| {
            let failed = (at.txn as usize).checked_sub(self.txns.len());
            let transaction = match failed {
                Some(place) => self.txns.failed[place],
                None => self.txns.invoked(at.txn),
            };
            Place { transaction, micro: at.micro, role }
        };
        let role = if kind == AnomalyKind::G1a { Role::AbortedWrite } else { Role::Write };
        let places = [place(at, Role::Read)].into_iter().chain(write.map(|write| place(write, role))).collect();
        let found = text(self.txns, at.txn, at.micro);
        self.found.anomalies.push(Anomaly::new(kind, Some(key), Witness::Micros { places, expected, found }));
    }

    /// Which versions a transaction may have seen, in order: 0 is before the first, where the object is not there. That is
    /// looked at for an object that was there from the start only if nothing else fits. Its own write comes after its
    /// reads.
    fn places(&self, object: &Object, by: TxnId, is_it: impl Fn(Option<&Value>) -> bool) -> Vec<usize> {
        let fits = |place: usize| match place {
            0 => is_it(None) && !self.mutation.is(Mutant::BirthForgotten),
            place => {
                let version = &object.versions[place - 1];
                let is_own = version.txn == by && !self.mutation.is(Mutant::OwnIsSeen);
                !is_own && is_it(version.value.as_ref())
            }
        };
        let first = usize::from(object.is_initial && !self.mutation.is(Mutant::InitForgotten));
        let mut all: Vec<usize> = (first..=object.versions.len()).filter(|&place| fits(place)).collect();
        if all.is_empty() && object.is_initial && fits(0) {
            all.push(0);
        }
        all
    }
}

/// A micro-operation.
#[derive(Debug, Clone, Copy)]
struct At {
    txn: TxnId,
    micro: u32,
}

impl From<&Version> for At {
    fn from(version: &Version) -> At {
        At { txn: version.txn, micro: version.micro }
    }
}
