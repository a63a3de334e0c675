//! All that is inferred, from its definition: every pair is looked at, nothing is shared with the engine.

use std::collections::{BTreeMap, BTreeSet};

use schism_history::{History, Kind, OpIndex, Value};

use super::super::{Source, VersionSources};
use crate::txn::accesses::INITIAL;

/// A micro-operation; values as texts with their types, nothing as `Nil`.
#[derive(Debug, Clone)]
pub struct Micro {
    pub is_write: bool,
    pub key: String,
    pub value: String,
}

#[derive(Debug, Clone)]
pub struct Txn {
    pub kind: Kind,
    pub process: String,
    pub invoked: OpIndex,
    pub ended: OpIndex,
    pub micros: Vec<Micro>,
}

/// What a read shows.
pub type Trouble = (&'static str, u32, u32);

pub struct Twin {
    /// In the order of their numbers; failed ones last.
    pub txns: Vec<Txn>,
    pub count: usize,
    /// External reads: candidates by reader and place.
    pub reads: BTreeMap<(u32, u32), BTreeSet<u32>>,
    pub troubles: BTreeSet<Trouble>,
    pub committed: Vec<bool>,
}

/// Pairs of versions, in order.
pub type Pairs = BTreeSet<(u32, u32)>;

impl Twin {
    pub fn of(history: &History) -> Twin {
        let txns = txns(history);
        let count = txns.iter().filter(|txn| txn.kind != Kind::Fail).count();
        let mut twin = Twin { count, reads: BTreeMap::new(), troubles: BTreeSet::new(), committed: Vec::new(), txns };
        let mut seen = BTreeSet::new();
        for id in 0..twin.txns.len() {
            if twin.txns[id].kind != Kind::Ok {
                continue;
            }
            for place in 0..twin.txns[id].micros.len() {
                if !twin.txns[id].micros[place].is_write {
                    seen.extend(twin.read(id, place));
                }
            }
        }
        let is_ok = |id: usize| twin.txns[id].kind == Kind::Ok;
        twin.committed = (0..count).map(|id| is_ok(id) || seen.contains(&(id as u32))).collect();
        twin
    }

    /// Judges a read; who may have written it.
    fn read(&mut self, id: usize, place: usize) -> BTreeSet<u32> {
        let micro = self.txns[id].micros[place].clone();
        let at = (id as u32, place as u32);
        let own = &self.txns[id].micros;
        let is_own = |other: &&Micro| other.is_write && other.key == micro.key;
        let last = own[..place].iter().rfind(is_own).map(|other| other.value.clone());
        let is_later = own[place..].iter().filter(is_own).any(|other| other.value == micro.value);
        if last.as_ref() == Some(&micro.value) {
            return BTreeSet::new();
        }
        let mut candidates: BTreeSet<u32> = (0..self.count as u32)
            .filter(|&other| other != at.0 && self.last(other, &micro.key) == Some(&micro.value))
            .collect();
        if micro.value == "Nil" {
            candidates.insert(INITIAL);
        }
        let wrote = |range: std::ops::Range<usize>| {
            range.filter(|&other| other != id).any(|other| {
                let micros = &self.txns[other].micros;
                micros.iter().any(|other| other.is_write && other.key == micro.key && other.value == micro.value)
            })
        };
        let (by_others, by_failed) = (wrote(0..self.count), wrote(self.count..self.txns.len()));
        if last.is_some() {
            // What somebody else wrote, or what was there at first, explains it better than what comes only later.
            let is_future = is_later && candidates.is_empty();
            self.troubles.insert((if is_future { "future-read" } else { "internal" }, at.0, at.1));
            // Nobody wrote nothing, so it is the initial state, which is before all writes.
            if micro.value == "Nil"
                && !wrote(0..self.txns.len())
                && !self.txns[id].micros.iter().filter(is_own).any(|own| own.value == "Nil")
            {
                self.troubles.insert(("not-read-your-writes", at.0, at.1));
            }
            let is_mine = self.txns[id].micros.iter().filter(is_own).any(|other| other.value == micro.value);
            if candidates.is_empty() && !is_mine {
                let kind = match (by_others, by_failed) {
                    (true, _) => "G1b",
                    (_, true) => "G1a",
                    _ => "garbage-read",
                };
                self.troubles.insert((kind, at.0, at.1));
            }
            return candidates;
        }
        if candidates.is_empty() {
            let kind = match (is_later, by_others, by_failed) {
                (true, _, _) => "future-read",
                (_, true, _) => "G1b",
                (_, _, true) => "G1a",
                _ => "garbage-read",
            };
            self.troubles.insert((kind, at.0, at.1));
        }
        self.reads.insert(at, candidates.clone());
        candidates
    }

    /// The last value that a transaction wrote of a key.
    fn last(&self, id: u32, key: &str) -> Option<&String> {
        let micros = &self.txns[id as usize].micros;
        micros.iter().rfind(|micro| micro.is_write && micro.key == key).map(|micro| &micro.value)
    }

    /// The only candidate of a read.
    pub fn certain(&self, at: (u32, u32)) -> Option<u32> {
        let candidates = self.reads.get(&at).filter(|all| all.len() == 1)?;
        candidates.first().copied()
    }

    pub fn writes(&self, id: u32, key: &str) -> bool {
        self.last(id, key).is_some()
    }

    pub fn writers(&self, key: &str) -> Vec<u32> {
        (0..self.count as u32).filter(|&id| self.committed[id as usize] && self.writes(id, key)).collect()
    }

    pub fn keys(&self) -> BTreeSet<String> {
        self.txns[..self.count].iter().flat_map(|txn| txn.micros.iter().map(|micro| micro.key.clone())).collect()
    }

    /// Certain external reads of a key: reader and version, in order of place.
    pub fn readers(&self, key: &str) -> Vec<(u32, u32)> {
        let is_of_key = |at: &(u32, u32)| self.txns[at.0 as usize].micros[at.1 as usize].key == key;
        self.reads.keys().filter(|at| is_of_key(at)).filter_map(|&at| Some((at.0, self.certain(at)?))).collect()
    }

    /// Pairs of transactions that read one version and both wrote the key.
    pub fn lost_updates(&self) -> usize {
        let updates = |key: &String| {
            let all: BTreeSet<(u32, u32)> = self.readers(key).into_iter().filter(|at| self.writes(at.0, key)).collect();
            let versions: BTreeSet<u32> = all.iter().map(|at| at.1).collect();
            all.len() - versions.len()
        };
        self.keys().iter().map(updates).sum()
    }

    /// What a transaction saw or wrote of a key, in order.
    fn touches(&self, id: u32, key: &str) -> Vec<u32> {
        let mut all: Vec<u32> = self.readers(key).into_iter().filter(|at| at.0 == id).map(|at| at.1).collect();
        all.extend(Some(id).filter(|_| self.writes(id, key)));
        all
    }

    fn source(&self, key: &str, source: Source) -> Pairs {
        let mut pairs = Pairs::new();
        if source == Source::WritesFollowReads {
            let updates = self.readers(key).into_iter().filter(|at| self.writes(at.0, key));
            pairs.extend(updates.map(|(by, of)| (of, by)));
        } else {
            let ids: Vec<u32> = (0..self.count as u32).filter(|&id| self.committed[id as usize]).collect();
            for &a in &ids {
                let touches = self.touches(a, key);
                pairs.extend(
                    (0..touches.len()).flat_map(|i| (0..i).map(|j| (touches[j], touches[i])).collect::<Vec<_>>()),
                );
                for &b in &ids {
                    let (first, second) = (&self.txns[a as usize], &self.txns[b as usize]);
                    let is_before = first.ended < second.invoked;
                    if is_before && (source == Source::LinearizableKeys || first.process == second.process) {
                        let later = self.touches(b, key);
                        pairs.extend(touches.iter().flat_map(|&v| later.iter().map(move |&w| (v, w))));
                    }
                }
            }
        }
        pairs.retain(|(a, b)| a != b);
        pairs
    }

    /// The order of a key's versions, all that follows included, and the sources that were dropped.
    pub fn order(&self, key: &str, wanted: &VersionSources) -> (Pairs, Vec<Source>) {
        let sources = [
            (wanted.writes_follow_reads, Source::WritesFollowReads),
            (wanted.sequential_keys, Source::SequentialKeys),
            (wanted.linearizable_keys, Source::LinearizableKeys),
        ];
        let mut known: Pairs = self.writers(key).into_iter().map(|writer| (INITIAL, writer)).collect();
        let mut dropped = Vec::new();
        for (_, source) in sources.into_iter().filter(|(wanted, _)| *wanted) {
            let all = closure(known.union(&self.source(key, source)).copied().collect());
            if all.iter().any(|(a, b)| a == b) { dropped.push(source) } else { known = all }
        }
        (known, dropped)
    }
}

/// All that follows.
pub fn closure(mut pairs: Pairs) -> Pairs {
    loop {
        let more: Pairs = pairs
            .iter()
            .flat_map(|&(a, b)| pairs.iter().filter(move |next| next.0 == b).map(move |next| (a, next.1)))
            .collect();
        let before = pairs.len();
        pairs.extend(more);
        if pairs.len() == before {
            return pairs;
        }
    }
}

fn txns(history: &History) -> Vec<Txn> {
    let (mut ok, mut info, mut fail) = (Vec::new(), Vec::new(), Vec::new());
    for call in history.client_calls() {
        let carrier = if call.outcome == Kind::Ok { call.completion.unwrap() } else { call.invoke };
        let op = history.op(carrier);
        let Value::Txn(mops) = op.value else { panic!("no transaction: {:?}", op.value) };
        let micro = |mop: &schism_history::Mop| Micro {
            is_write: &*mop.f == "w",
            key: mop.key.to_string(),
            value: format!("{:?}", mop.value),
        };
        let txn = Txn {
            kind: call.outcome,
            process: op.process.to_string(),
            invoked: call.invoke,
            ended: if call.outcome == Kind::Ok { call.completion.unwrap() } else { OpIndex::MAX },
            micros: mops.iter().map(micro).collect(),
        };
        match call.outcome {
            Kind::Ok => ok.push(txn),
            Kind::Fail => fail.push(txn),
            _ => info.push(txn),
        }
    }
    ok.sort_by_key(|txn| txn.ended);
    ok.into_iter().chain(info).chain(fail).collect()
}
