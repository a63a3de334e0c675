//! The objects of a universe, their versions, and what a predicate says of a value.

use rustc_hash::{FxHashMap, FxHashSet};
use schism_history::{Key, Mop, Value};

use super::mutant::{Mutant, Mutation};
use crate::txn::txns::{TxnId, Txns};

/// A predicate, as text in the place of a key: `true`, `= 3`, `mod 2 1`.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::txn) enum Predicate {
    /// Every object that is there.
    All,
    /// Those of this value.
    Equals(Value),
    /// Those whose value, divided by the first, leaves the second.
    Mod(i64, i64),
}

impl Predicate {
    /// Reads it; the value after `=` is JSON.
    pub fn parse(text: &str) -> Option<Predicate> {
        let text = text.trim_start_matches(':').trim();
        if text == "true" {
            return Some(Predicate::All);
        }
        if let Some(value) = text.strip_prefix('=') {
            return serde_json::from_str(value).ok().map(|json| Predicate::Equals(Value::from_json(&json)));
        }
        let mut numbers = text.strip_prefix("mod")?.split_whitespace().map(str::parse::<i64>);
        let (Some(Ok(by)), Some(Ok(rest)), None) = (numbers.next(), numbers.next(), numbers.next()) else {
            return None;
        };
        (by > 0).then_some(Predicate::Mod(by, rest))
    }

    /// Whether an object of this value is found; `None` is one that is not there.
    pub fn finds(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (_, None) => false,
            (Predicate::All, Some(_)) => true,
            (Predicate::Equals(wanted), Some(value)) => value == wanted,
            (Predicate::Mod(by, rest), Some(Value::Int(number))) => number.rem_euclid(*by) == *rest,
            (Predicate::Mod(..), Some(_)) => false,
        }
    }
}

/// What a micro-operation leaves of its object, if it writes: a value, or nothing.
pub(in crate::txn) fn written(mop: &Mop) -> Option<Option<&Value>> {
    match &*mop.f {
        "w" if mop.value.is_nil() => Some(None),
        "w" | "init" | "insert" => Some(Some(&mop.value)),
        "delete" => Some(None),
        _ => None,
    }
}

/// What a transaction left of an object.
#[derive(Debug, Clone)]
pub(in crate::txn) struct Version {
    /// The transaction.
    pub txn: TxnId,
    /// The micro-operation's place.
    pub micro: u32,
    /// The value; `None`: it is not there any more.
    pub value: Option<Value>,
    /// First the births, at last the deaths.
    rank: u8,
    is_init: bool,
}

/// An object.
#[derive(Debug, Clone, Default)]
pub(in crate::txn) struct Object {
    /// Versions of committed transactions, in their order. Before the first the object is not there.
    pub versions: Vec<Version>,
    /// Whether that is the order: at most one birth, one write and one death, and nothing that is not of this room.
    pub is_known: bool,
    /// Whether something was done to it that is not of this room, an `append` perhaps: its values are not those that
    /// were written.
    pub is_foreign: bool,
    /// Whether another key is written alike, a number as a text: which one an answer means nobody knows.
    pub is_ambiguous: bool,
    /// Whether it was there from the start.
    pub is_initial: bool,
    /// Whether it is one of a universe: was initialized, inserted or deleted. Others are registers.
    pub is_member: bool,
    /// Versions of transactions in doubt that nobody saw.
    pub maybe: Vec<Version>,
    /// Values of failed transactions.
    pub failed: Vec<Version>,
    /// Values that were written over in their own transaction.
    pub intermediate: Vec<Version>,
}

/// All objects, and the micro-operations of all transactions.
#[derive(Debug)]
pub(in crate::txn) struct Universe {
    /// By transaction, failed ones last.
    pub mops: Vec<Vec<Mop>>,
    /// By the key's number.
    pub objects: Vec<Object>,
    /// By the key's text: its number.
    pub numbers: FxHashMap<String, u32>,
}

impl Universe {
    /// Collects it.
    pub fn new(txns: &Txns<'_>) -> Universe {
        Universe::of(txns, Mutation::default())
    }

    /// The same, perhaps with a defect.
    pub(super) fn of(txns: &Txns<'_>, mutation: Mutation) -> Universe {
        let history = txns.history();
        let ids = 0..txns.len() as TxnId;
        let carriers = ids.map(|id| if txns.is_ok(id) { txns.ended(id) } else { txns.invoked(id) });
        let mops: Vec<Vec<Mop>> = carriers
            .chain(txns.failed.iter().copied())
            .map(|carrier| match &*history.value(carrier) {
                Value::Txn(mops) => mops.to_vec(),
                _ => Vec::new(),
            })
            .collect();
        let mut objects = vec![Object::default(); history.txn_keys().len()];
        let mut numbers: FxHashMap<String, u32> = FxHashMap::default();
        for (key, number) in history.txn_keys().iter().zip(0..) {
            if let Some(other) = numbers.insert(key.to_string(), number) {
                objects[other as usize].is_ambiguous = true;
                objects[number as usize].is_ambiguous = true;
            }
        }
        let mut universe = Universe { mops, objects, numbers };
        for id in 0..universe.mops.len() {
            universe.add(id as TxnId, txns.len());
        }
        universe.commit(txns, mutation);
        for object in &mut universe.objects {
            object.versions.sort_by_key(|version| version.rank);
            let is_ranked = object.versions.windows(2).all(|pair| pair[0].rank < pair[1].rank);
            // A register may be written at any time: what writes nothing there is no death.
            let is_ordered = is_ranked && (object.is_member || object.versions.len() < 2);
            object.is_known = is_ordered && !object.is_foreign && !object.is_ambiguous;
            object.is_initial = object.versions.first().is_some_and(|version| version.is_init);
        }
        universe
    }

    /// The number of what an answer names.
    pub fn named(&self, name: &Value) -> Option<u32> {
        self.numbers.get(&Key::from_value(name)?.to_string()).copied()
    }

    /// The number of a key.
    pub fn number(&self, mop: &Mop) -> Option<u32> {
        self.numbers.get(&mop.key.to_string()).copied()
    }

    fn add(&mut self, id: TxnId, count: usize) {
        let mut last: FxHashMap<u32, Version> = FxHashMap::default();
        for (micro, mop) in (0..).zip(&self.mops[id as usize]) {
            // A predicate is no key.
            let Some(key) = self.number(mop).filter(|_| &*mop.f != "rp") else { continue };
            let object = &mut self.objects[key as usize];
            let Some(value) = written(mop) else {
                object.is_foreign |= &*mop.f != "r";
                continue;
            };
            object.is_member |= &*mop.f != "w";
            let is_birth = matches!(&*mop.f, "init" | "insert");
            let before = last.get(&key);
            let was_birth = is_birth || before.is_some_and(|version| version.rank == 0);
            let rank = if was_birth { 0 } else { 1 + u8::from(value.is_none()) };
            let is_init = &*mop.f == "init" || before.is_some_and(|version| version.is_init);
            let version = Version { txn: id, micro, value: value.cloned(), rank, is_init };
            if let Some(before) = last.insert(key, version) {
                object.intermediate.push(before);
            }
        }
        for (key, version) in last {
            let object = &mut self.objects[key as usize];
            if (id as usize) < count { object.maybe.push(version) } else { object.failed.push(version) }
        }
    }

    /// Tells committed versions from those that perhaps never were: what is in doubt is committed if another transaction read a
    /// value that nobody else left there.
    fn commit(&mut self, txns: &Txns<'_>, mutation: Mutation) {
        let mut seen: Vec<Vec<(TxnId, Value)>> = vec![Vec::new(); self.objects.len()];
        for (id, mops) in (0..).zip(&self.mops[..txns.ok_count() as usize]) {
            let mut own: FxHashSet<u32> = FxHashSet::default();
            for mop in mops {
                match (&*mop.f, &mop.value) {
                    ("rp", Value::Map(found)) => {
                        for (name, value) in found.iter() {
                            if let Some(key) = self.named(name).filter(|key| !own.contains(key)) {
                                seen[key as usize].push((id, value.clone()));
                            }
                        }
                    }
                    ("rp", _) => {}
                    (f, value) => {
                        let Some(key) = self.number(mop) else { continue };
                        if f != "r" {
                            own.insert(key);
                        } else if !own.contains(&key) || mutation.is(Mutant::OwnCounts) {
                            seen[key as usize].push((id, value.clone()));
                        }
                    }
                }
            }
        }
        for (object, mut seen) in self.objects.iter_mut().zip(seen) {
            if mutation.is(Mutant::DoubtNeverSeen) {
                seen.clear();
            }
            let all = std::mem::take(&mut object.maybe);
            if all.iter().all(|version| txns.is_ok(version.txn)) {
                object.versions = all;
                continue;
            }
            // By value as text with its type: who left it, and who read it.
            let mut of_value: FxHashMap<String, (Vec<TxnId>, Vec<TxnId>)> = FxHashMap::default();
            for version in &all {
                of_value.entry(format!("{:?}", version.value)).or_default().0.push(version.txn);
            }
            for (reader, value) in seen {
                of_value.entry(format!("{:?}", Some(value))).or_default().1.push(reader);
            }
            let is_certain = |version: &Version| {
                let Some((writers, readers)) = of_value.get(&format!("{:?}", version.value)) else { return false };
                let mut others = writers.iter().filter(|writer| **writer != version.txn);
                // What it left itself is not what a transaction read.
                match (others.next(), others.next()) {
                    (None, _) => !readers.is_empty(),
                    (Some(other), None) => readers.contains(other) || mutation.is(Mutant::AnyoneCounts),
                    _ => mutation.is(Mutant::AnyoneCounts),
                }
            };
            let is_committed =
                |version: &Version| txns.is_ok(version.txn) || version.value.is_some() && is_certain(version);
            (object.versions, object.maybe) = all.iter().cloned().partition(is_committed);
        }
    }
}
