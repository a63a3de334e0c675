//! Reads by predicate in the search for a commit order: each is a read of every object, of the version that it found, or of
//! one of those that the predicate does not find.
//!
//! That is all that such a read says. An order that explains these reads is told only after it was walked through with the values
//! themselves (`replay`); that there is none, with the transactions that show it. A transaction in doubt is one that nobody has to
//! have read: it may be the last, or never have been. An object that was there from the start is read as not being there only if
//! nothing else explains the read, and nothing is kept then; whoever says that there is no order takes that into account.

mod mutant;
mod replay;
#[cfg(test)]
mod tests;

use mutant::Mutant;
use rustc_hash::{FxHashMap, FxHashSet};
use schism_history::{Mop, OpIndex, Value};

use super::evidence::Evidence;
use super::solve::{self, Task};
use crate::anomaly::{Anomaly, AnomalyKind, Witness};
use crate::checker::Budget;
use crate::txn::accesses::{Accesses, INITIAL, Read, Write};
use crate::txn::levels::{Level, LevelSet};
use crate::txn::meter::{Meter, Spent};
use crate::txn::predicate::universe::{Object, Predicate, Universe, Version, written};
use crate::txn::rw_register::Uncertain;
use crate::txn::solver::replay::NotReplayed;
use crate::txn::solver::{self, Decision, Keeps, Property, Question};
use crate::txn::txns::{TxnId, Txns};
use crate::verdict::Gap;

/// Searches for an order that explains all reads at this level, or at the weakest stronger one for which one order is for all; the
/// models that are kept then. Each read by predicate looks at each object, which is counted.
pub(super) fn decide(level: Level, txns: &Txns<'_>, budget: &Budget, evidence: &mut Evidence) -> LevelSet {
    let task = solve::task_for_all(level);
    let mut meter = Meter::new(budget);
    if evidence.is_timeless && task.keeps == Keeps::Realtime {
        evidence.unexplained = Some(
            "nothing was found that it forbids, but only an order in real time would show that it is kept".to_owned(),
        );
        return LevelSet::default();
    }
    match search(&task, txns, &mut meter) {
        Sought::Found => {
            evidence.ran(task.name, &meter);
            return LevelSet::of(task.proves);
        }
        Sought::Refuted(kind, transactions, smallest) => {
            let witness = Witness::NoCommitOrder { transactions, smallest, derivation: Vec::new() };
            evidence.add(Anomaly::new(kind, None, witness));
            evidence.unexplained = Some(format!(
                "nothing was found that it forbids, but {} is the weakest model that was searched for with its reads by predicate",
                task.name
            ));
            evidence.ran(task.name, &meter);
            return LevelSet::default();
        }
        Sought::Open(gap) => evidence.spent.push(gap.unwrap_or_else(|| meter.gap())),
        Sought::None(reason) => {
            evidence.unexplained = Some(format!("nothing was found that it forbids, but {reason}"));
        }
    }
    evidence.steps = evidence.steps.saturating_add(meter.steps);
    LevelSet::default()
}

/// How a search ended.
#[derive(Debug)]
enum Sought {
    /// There is an order, and it was walked through.
    Found,
    /// These transactions have none, which is of this kind; whether none of them can be left out.
    Refuted(AnomalyKind, Vec<OpIndex>, bool),
    /// None is known, for this reason.
    None(String),
    /// The budget ended first, or what else the search says.
    Open(Option<Gap>),
}

fn search(task: &Task, txns: &Txns<'_>, meter: &mut Meter) -> Sought {
    let asked = match Asked::of(txns, Reading::All, meter) {
        Ok(Some(asked)) => asked,
        Ok(None) => return Sought::None("not all that reads by predicate depend on is certain".to_owned()),
        Err(Spent) => return Sought::Open(None),
    };
    match asked.decided(task, txns, meter) {
        Decision::Holds(_) if asked.is_strange => {
            Sought::None("an object that was there from the start was not found".to_owned())
        }
        Decision::Holds(certificate) => asked.explained_by(certificate.order, task, txns, meter),
        Decision::Broken(_) => {
            asked.close(meter);
            refuted(task, txns, meter)
        }
        Decision::Unknown(gap) => Sought::Open(Some(gap)),
    }
}

/// What shows that there is no order, by the weakest kind that says so: of reads by key, where these alone have none; else of those by
/// predicate, which repeatable reads allow.
fn refuted(task: &Task, txns: &Txns<'_>, meter: &mut Meter) -> Sought {
    let by_predicate = match (task.property, task.keeps) {
        (Property::Serializable, Keeps::Nothing) => Some(AnomalyKind::G2),
        (Property::Serializable, Keeps::Process) => Some(AnomalyKind::G2Process),
        (Property::Serializable, Keeps::Realtime) => Some(AnomalyKind::G2Realtime),
        _ => None,
    };
    for (reading, kind) in [(Reading::Keys, Some(task.broken)), (Reading::Doubted, by_predicate)] {
        let Some(kind) = kind else { continue };
        let asked = match Asked::of(txns, reading, meter) {
            Ok(Some(asked)) => asked,
            Ok(None) => continue,
            Err(Spent) => return Sought::Open(None),
        };
        match asked.decided(task, txns, meter) {
            Decision::Broken(anomaly) => {
                if let Witness::NoCommitOrder { transactions, smallest, .. } = anomaly.witness {
                    return Sought::Refuted(kind, transactions, smallest);
                }
            }
            Decision::Unknown(gap) => return Sought::Open(Some(gap)),
            Decision::Holds(_) => {}
        }
        asked.close(meter);
    }
    Sought::None(format!("no commit order for {} was found that explains its reads by predicate", task.name))
}

/// Which reads are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// All.
    All,
    /// All; and an object that was there from the start may have been missed all the same.
    Doubted,
    /// Those by key, and such objects may have been missed.
    Keys,
}

/// What reads by predicate and all others say of the versions that were read.
struct Asked {
    accesses: Accesses,
    uncertain: Vec<Uncertain>,
    /// By transaction: whether it ended well, or was read for certain.
    is_there: Vec<bool>,
    /// Whether an object that was there from the start was read as not being there.
    is_strange: bool,
    /// What it holds, as counted.
    bytes: u64,
}

impl Asked {
    /// Gives the bytes back.
    fn close(self, meter: &mut Meter) {
        meter.give_back(self.bytes);
    }

    fn decided(&self, task: &Task, txns: &Txns<'_>, meter: &mut Meter) -> Decision {
        let question = Question {
            txns,
            accesses: &self.accesses,
            uncertain: &self.uncertain,
            known: &[],
            property: task.property,
            keeps: task.keeps,
        };
        solver::decide(&question, meter)
    }

    /// An order that was found is walked through. First without those in doubt that nobody has to have read: they may be in the way
    /// of others, as nobody says of their objects which version comes first.
    fn explained_by(&self, order: Vec<TxnId>, task: &Task, txns: &Txns<'_>, meter: &mut Meter) -> Sought {
        let is_serial = task.property == Property::Serializable;
        let certain: Vec<TxnId> = order.iter().copied().filter(|&id| self.is_there[id as usize]).collect();
        let mut walk = |order: &[TxnId]| replay::explains(txns, order, task.keeps, is_serial, meter);
        match walk(&certain).or_else(|_| walk(&order)) {
            Ok(()) => Sought::Found,
            Err(NotReplayed::Spent) => Sought::Open(None),
            Err(NotReplayed::Wrong(reason)) => {
                Sought::None(format!("the commit order that was found does not explain all reads ({reason})"))
            }
        }
    }

    /// Collects it. Nothing, where the order of an object's versions is not known, or no version explains a read.
    fn of(txns: &Txns<'_>, reading: Reading, meter: &mut Meter) -> Result<Option<Asked>, Spent> {
        let universe = Universe::new(txns);
        if universe.objects.iter().any(|object| !object.is_known) {
            return Ok(None);
        }
        let mut writes: Vec<Vec<Write>> = vec![Vec::new(); txns.len()];
        for (key, object) in (0..).zip(&universe.objects) {
            for version in object.versions.iter().chain(&object.maybe) {
                writes[version.txn as usize].push(Write { key, micro: version.micro });
            }
        }
        let mut accesses = Accesses::new(universe.objects.len() as u32);
        let mut reads =
            Reads { universe: &universe, reading, certain: Vec::new(), uncertain: Vec::new(), is_strange: false };
        let mut bytes = 0;
        // Who ended well, or was read for certain.
        let mut is_there: Vec<bool> = (0..txns.len() as TxnId).map(|id| txns.is_ok(id)).collect();
        for id in 0..txns.len() as TxnId {
            let uncertain_count = reads.uncertain.len();
            if txns.is_ok(id) && !reads.of(id, meter)? {
                return Ok(None);
            }
            let more = reads.uncertain[uncertain_count..].iter().map(|read| 48 + 4 * read.candidates.len());
            let more = (more.sum::<usize>() + 12 * reads.certain.len()) as u64;
            meter.take_bytes(more)?;
            bytes += more;
            for read in &reads.certain {
                is_there.get_mut(read.writer as usize).into_iter().for_each(|there| *there = true);
            }
            accesses.push(&reads.certain, &writes[id as usize], txns.is_ok(id));
            reads.certain.clear();
        }
        if mutant::is(Mutant::DoubtIsThere) {
            is_there.fill(true);
        }
        let there = |version: &&Version| is_there[version.txn as usize];
        let order = |object: &Object| object.versions.iter().filter(there).map(|version| version.txn).collect();
        if !mutant::is(Mutant::VersionsForgotten) {
            accesses.versions = universe.objects.iter().map(order).collect();
        }
        Ok(Some(Asked { accesses, uncertain: reads.uncertain, is_there, is_strange: reads.is_strange, bytes }))
    }
}

/// The reads of one transaction after the other.
struct Reads<'a> {
    universe: &'a Universe,
    reading: Reading,
    /// Of this transaction, those that only one version explains.
    certain: Vec<Read>,
    /// Of all.
    uncertain: Vec<Uncertain>,
    is_strange: bool,
}

impl<'a> Reads<'a> {
    /// Adds those of a transaction; whether there is a version for each.
    fn of(&mut self, id: TxnId, meter: &mut Meter) -> Result<bool, Spent> {
        let universe = self.universe;
        let mut own: FxHashSet<u32> = FxHashSet::default();
        for (micro, mop) in (0..).zip(&universe.mops[id as usize]) {
            if &*mop.f == "rp" {
                if self.reading == Reading::Keys {
                    continue;
                }
                meter.step(universe.objects.len() as u64)?;
                if !self.by_predicate(id, micro, mop, &own) {
                    return Ok(false);
                }
                continue;
            }
            let Some(key) = universe.number(mop) else { continue };
            if written(mop).is_some() {
                if !mutant::is(Mutant::OwnNotSeen) {
                    own.insert(key);
                }
            } else if !own.contains(&key) {
                let value = Some(&mop.value).filter(|value| !value.is_nil());
                if !self.add(id, micro, key, |version| version == value) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn by_predicate(&mut self, id: TxnId, micro: u32, mop: &'a Mop, own: &FxHashSet<u32>) -> bool {
        let (Some(predicate), Value::Map(found)) = (Predicate::parse(&mop.key.to_string()), &mop.value) else {
            return false;
        };
        let mut seen: FxHashMap<u32, &Value> = FxHashMap::default();
        for (name, value) in found.iter() {
            let Some(key) = self.universe.named(name).filter(|_| predicate.finds(Some(value))) else { return false };
            seen.insert(key, value);
        }
        (0..self.universe.objects.len() as u32).filter(|key| !own.contains(key)).all(|key| match seen.get(&key) {
            Some(&value) => self.add(id, micro, key, |version| version == Some(value)),
            None if mutant::is(Mutant::LeftOutIsNotThere) => self.add(id, micro, key, |version| version.is_none()),
            None => self.add(id, micro, key, |version| !predicate.finds(version)),
        })
    }

    /// Adds a read of a version of this kind; whether there is one. Its own is no such version: it comes after its reads.
    fn add(&mut self, id: TxnId, micro: u32, key: u32, fits: impl Fn(Option<&Value>) -> bool) -> bool {
        let object = &self.universe.objects[key as usize];
        let maybe = if mutant::is(Mutant::MaybeNotRead) { &[][..] } else { &object.maybe };
        let is_other = |version: &&Version| version.txn != id;
        let others =
            object.versions.iter().chain(maybe).filter(is_other).filter(|version| fits(version.value.as_ref()));
        let mut candidates: Vec<TxnId> = others.map(|version| version.txn).collect();
        candidates.sort_unstable();
        let is_absent = fits(None) && !mutant::is(Mutant::InitialNotRead);
        let is_doubted = self.reading != Reading::All;
        if is_absent && (!object.is_initial || is_doubted || candidates.is_empty()) {
            self.is_strange |= object.is_initial;
            candidates.push(INITIAL);
        }
        match candidates[..] {
            [] => return false,
            _ if object.versions.is_empty() && object.maybe.is_empty() => {}
            [writer] => self.certain.push(Read { key, writer, micro }),
            _ => self.uncertain.push(Uncertain { reader: id, micro, key, candidates }),
        }
        true
    }
}
