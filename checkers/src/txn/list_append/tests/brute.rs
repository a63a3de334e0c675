//! The definitions, one after the other, on values; quadratic and worse.

use std::collections::{BTreeMap, BTreeSet};

use schism_history::{History, Kind, Mop, Value};

use super::Summary;
use crate::anomaly::AnomalyKind;
use crate::txn::accesses::{INITIAL, UNKNOWN};

/// A transaction as it stands in the history.
pub(super) struct Txn {
    /// `Kind::Info` for what is in doubt.
    pub outcome: Kind,
    /// The answer of what is `ok`, else what was asked.
    pub mops: Vec<Mop>,
}

/// A read of a key.
#[derive(Clone)]
struct Read {
    txn: usize,
    micro: usize,
    list: Vec<Value>,
    /// What its transaction had appended to the key before.
    own: Vec<Value>,
}

impl Read {
    fn is_external(&self) -> bool {
        self.own.is_empty()
    }

    /// What it saw of others; `None` where it does not end with its own.
    fn foreign(&self) -> Option<&[Value]> {
        self.list.strip_suffix(self.own.as_slice())
    }
}

/// Those that did not fail, numbered as the engine does, then those that did.
pub(super) fn transactions(history: &History) -> Vec<Txn> {
    let mut groups: [Vec<Txn>; 3] = Default::default();
    let mops = |index: u32| match &*history.value(index) {
        Value::Txn(mops) => (**mops).clone(),
        _ => Vec::new(),
    };
    for index in 0..history.len() as u32 {
        let call = history.call(if history.kind(index) == Kind::Invoke { index } else { continue });
        if call.outcome != Kind::Ok {
            let group = if call.outcome == Kind::Fail { 2 } else { 1 };
            groups[group].push(Txn { outcome: call.outcome, mops: mops(index) });
        }
    }
    for index in 0..history.len() as u32 {
        if history.kind(index) == Kind::Ok {
            groups[0].push(Txn { outcome: Kind::Ok, mops: mops(index) });
        }
    }
    groups.into_iter().flatten().collect()
}

fn items(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::Nil => Some(Vec::new()),
        Value::Pair([a, b]) => Some(vec![Value::Int(*a), Value::Int(*b)]),
        Value::List(items) => Some((**items).clone()),
        _ => None,
    }
}

fn common(a: &[Value], b: &[Value]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn contradict(a: &[Value], b: &[Value]) -> bool {
    common(a, b) < a.len().min(b.len())
}

/// One key of a history.
struct OfKey<'a> {
    txns: &'a [Txn],
    key: String,
    reads: Vec<Read>,
    /// Transaction, micro-operation, element.
    appends: Vec<(usize, usize, Value)>,
    certain: Vec<Value>,
    is_clean: bool,
    committed: Vec<bool>,
}

impl OfKey<'_> {
    fn did_fail(&self, txn: usize) -> bool {
        self.txns[txn].outcome == Kind::Fail
    }

    /// Who appended it, if exactly one that did not fail did.
    fn writer(&self, element: &Value) -> Option<usize> {
        let all: Vec<_> =
            self.appends.iter().filter(|(txn, _, other)| other == element && !self.did_fail(*txn)).collect();
        if all.len() == 1 { Some(all[0].0) } else { None }
    }

    fn writers_count(&self, element: &Value) -> usize {
        self.appends.iter().filter(|(txn, _, other)| other == element && !self.did_fail(*txn)).count()
    }

    fn has_failed(&self, element: &Value) -> bool {
        let is_it = |(txn, _, other): &(usize, usize, Value)| other == element && self.did_fail(*txn);
        self.writers_count(element) == 0 && self.appends.iter().any(is_it)
    }

    fn is_garbage(&self, element: &Value) -> bool {
        !self.appends.iter().any(|(_, _, other)| other == element)
    }

    fn is_overwritten(&self, element: &Value) -> bool {
        let Some(writer) = self.writer(element) else { return false };
        let place = self.appends.iter().find(|(txn, _, other)| *txn == writer && other == element);
        let micro = place.expect("it was appended").1;
        self.appends.iter().any(|(txn, later, _)| *txn == writer && *later > micro)
    }

    fn repeats(&self, list: &[Value]) -> Option<usize> {
        (0..list.len()).find(|&at| self.writers_count(&list[at]) < 2 && list[..at].contains(&list[at]))
    }

    /// Elements with a place and a writer, in order; and those without a place.
    fn order(&self) -> (Vec<Value>, Vec<Value>) {
        let placed: Vec<Value> =
            self.certain.iter().filter(|element| self.writer(element).is_some()).cloned().collect();
        let has_writer = |element: &Value| self.writer(element).is_some_and(|writer| self.committed[writer]);
        let left = self.appends.iter().map(|(_, _, element)| element);
        let left = left.filter(|element| has_writer(element) && !placed.contains(element)).cloned();
        (placed.clone(), left.collect())
    }

    fn edges(&self, summary: &mut Summary) {
        let (placed, left) = self.order();
        let owner = |element: &Value| self.writer(element).expect("it has one") as u32;
        let mut add = |from: u32, to: u32, kind| {
            if from != to {
                summary.edges.insert((from, to, kind));
            }
        };
        for pair in placed.windows(2) {
            add(owner(&pair[0]), owner(&pair[1]), "ww");
        }
        for element in &left {
            placed.last().into_iter().for_each(|last| add(owner(last), owner(element), "ww"));
        }
        for read in &self.reads {
            // Whose the newest are may not be known; what is under them was seen all the same.
            let others = |seen: &[Value]| {
                let mut writers = seen.iter().filter_map(|element| self.writer(element));
                writers.rfind(|&writer| writer != read.txn)
            };
            let is_certain = self.certain.starts_with(&read.list);
            let is_said = is_certain && read.own.iter().any(|own| self.writer(own).is_some());
            if let Some(writer) = read.foreign().and_then(others).filter(|_| !is_said) {
                add(writer as u32, read.txn as u32, "wr");
            }
            if !read.is_external() {
                continue;
            }
            if read.list.len() > self.certain.len() || self.certain[..read.list.len()] != read.list {
                continue;
            }
            let has = read.list.iter().filter(|element| self.writer(element).is_some()).count();
            let has = has.min(placed.len());
            match placed.get(has) {
                Some(next) => add(read.txn as u32, owner(next), "rw"),
                None => left.iter().for_each(|element| add(read.txn as u32, owner(element), "rw")),
            }
        }
        if self.is_clean {
            let is_final = |element: &&Value| !self.is_overwritten(element);
            let mut versions: Vec<u32> = placed.iter().filter(is_final).map(owner).collect();
            let tails: BTreeSet<u32> = left.iter().filter(is_final).map(owner).collect();
            if tails.len() == 1 {
                versions.extend(tails);
            } else {
                summary.tails.extend(tails.into_iter().map(|writer| (self.key.clone(), writer)));
            }
            if !versions.is_empty() {
                summary.versions.insert(self.key.clone(), versions);
            }
        }
    }

    fn reads(&self, summary: &mut Summary) {
        for read in &self.reads {
            let writer = match read.foreign().map(<[Value]>::last) {
                None => UNKNOWN,
                Some(None) => INITIAL,
                Some(Some(last)) => match self.writer(last) {
                    Some(writer) if writer != read.txn => writer as u32,
                    _ => UNKNOWN,
                },
            };
            summary.reads.push((read.txn as u32, read.micro as u32, self.key.clone(), writer));
        }
    }

    /// Whether a transaction's append has a place and the one before it has none, or a later one.
    fn has_own_order_broken(&self) -> bool {
        let (placed, _) = self.order();
        let at = |element: &Value| placed.iter().position(|other| other == element);
        self.appends.iter().any(|(txn, micro, element)| {
            let own = self.appends.iter().filter(|(other, earlier, _)| other == txn && earlier < micro);
            let before = own.max_by_key(|(_, earlier, _)| *earlier);
            let Some((_, _, before)) = before.filter(|(.., before)| self.writer(before).is_some()) else {
                return false;
            };
            self.writer(element).is_some()
                && at(element).is_some_and(|place| at(before).is_none_or(|before| before > place))
        })
    }

    fn contents(&self, count: &mut impl FnMut(AnomalyKind, usize)) {
        use AnomalyKind::*;
        let of = |is_it: &dyn Fn(&Read) -> bool| self.reads.iter().filter(|read| is_it(read)).count();
        count(GarbageRead, of(&|read| read.list.iter().any(|element| self.is_garbage(element))));
        count(DuplicateElements, of(&|read| self.repeats(&read.list).is_some()));
        count(G1a, of(&|read| read.list.iter().any(|element| self.has_failed(element))));
        let ends_between = |read: &Read| {
            let last = read.foreign().and_then(<[Value]>::last).filter(|last| self.is_overwritten(last));
            last.is_some_and(|last| self.writer(last) != Some(read.txn))
        };
        count(G1b, of(&ends_between));
        let is_contradicted = self.reads.iter().any(|a| self.reads.iter().any(|b| contradict(&a.list, &b.list)));
        count(IncompatibleOrder, usize::from(is_contradicted || self.is_clean && self.has_own_order_broken()));
        let mut dirty: Vec<Value> = Vec::new();
        for read in &self.reads {
            for (at, element) in read.list.iter().enumerate() {
                let is_over = read.list[at..].iter().any(|later| self.writers_count(later) > 0);
                if self.has_failed(element) && is_over && !dirty.contains(element) {
                    dirty.push(element.clone());
                }
            }
        }
        count(DirtyUpdate, dirty.len());
    }

    fn within(&self, count: &mut impl FnMut(AnomalyKind, usize)) {
        let (mut internal, mut future, mut missed) = (0, 0, 0);
        for read in &self.reads {
            // What is known: a list, or how it ends.
            let (mut known, mut is_whole, mut is_touched) = (Vec::new(), false, false);
            let mut since: Vec<&Value> = Vec::new();
            for (micro, mop) in self.txns[read.txn].mops.iter().enumerate().take(read.micro) {
                if mop.key.to_string() != self.key {
                    continue;
                }
                is_touched = true;
                if &*mop.f == "append" {
                    known.push(mop.value.clone());
                    since.push(&mop.value);
                } else if let Some(before) =
                    self.reads.iter().find(|other| other.txn == read.txn && other.micro == micro)
                {
                    (known, is_whole) = (before.list.clone(), true);
                    since.clear();
                }
            }
            let fits = if is_whole { read.list == known } else { read.list.ends_with(&known) };
            internal += usize::from(is_touched && !fits);
            missed += usize::from(since.iter().any(|value| !read.list.contains(value)));
            let is_later = |(txn, micro, element): &(usize, usize, Value)| {
                let is_unique = self.writers_count(element) == 1;
                *txn == read.txn && *micro > read.micro && is_unique && read.list.contains(element)
            };
            future += usize::from(self.appends.iter().any(is_later));
        }
        count(AnomalyKind::Internal, internal);
        count(AnomalyKind::NotReadYourWrites, missed);
        count(AnomalyKind::FutureRead, future);
        let mut versions: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for read in self.reads.iter().filter(|read| read.is_external()) {
            if self.appends.iter().any(|(txn, micro, _)| *txn == read.txn && *micro > read.micro) {
                versions.entry(Value::list(read.list.clone()).to_string()).or_default().insert(read.txn);
            }
        }
        count(AnomalyKind::LostUpdate, versions.values().filter(|txns| txns.len() > 1).count());
    }
}

/// What of a key is in the history; `None` if it is no list. Without its order.
fn of_key<'a>(txns: &'a [Txn], key: &str) -> Option<OfKey<'a>> {
    let (mut reads, mut appends): (Vec<Read>, Vec<(usize, usize, Value)>) = Default::default();
    for (txn, Txn { outcome, mops }) in txns.iter().enumerate() {
        for (micro, mop) in mops.iter().enumerate().filter(|(_, mop)| mop.key.to_string() == key) {
            match (&*mop.f, outcome) {
                ("append", _) => appends.push((txn, micro, mop.value.clone())),
                ("r", Kind::Ok) => {
                    let own = appends.iter().filter(|append| append.0 == txn).map(|(.., element)| element.clone());
                    reads.push(Read { txn, micro, list: items(&mop.value)?, own: own.collect() });
                }
                ("r", _) | (_, Kind::Fail) => {}
                _ => return None,
            }
        }
    }
    let committed = Vec::new();
    Some(OfKey { txns, key: key.to_owned(), reads, appends, certain: Vec::new(), is_clean: true, committed })
}

/// All that the engine should say.
pub(super) fn summary(history: &History) -> Summary {
    let txns = transactions(history);
    let keys: BTreeSet<String> = txns.iter().flat_map(|txn| &txn.mops).map(|mop| mop.key.to_string()).collect();
    let mut summary = Summary::default();
    let mut judged = Vec::new();
    let mut left_out = BTreeSet::new();
    for key in &keys {
        match of_key(&txns, key) {
            Some(of_key) => judged.push(of_key),
            None => drop(left_out.insert(key.clone())),
        }
    }
    let mut committed: Vec<bool> = txns.iter().map(|txn| txn.outcome == Kind::Ok).collect();
    for key in &judged {
        for element in key.reads.iter().flat_map(|read| &read.list) {
            key.writer(element).into_iter().for_each(|writer| committed[writer] = true);
        }
    }
    for key in &mut judged {
        key.committed.clone_from(&committed);
        let longest = key.reads.iter().map(|read| &read.list).max_by_key(|list| list.len()).cloned();
        let longest = longest.unwrap_or_default();
        let mut certain = longest.len();
        for a in &key.reads {
            for b in key.reads.iter().filter(|b| contradict(&a.list, &b.list)) {
                certain = certain.min(common(&a.list, &b.list));
            }
        }
        key.is_clean = certain == longest.len()
            && key.repeats(&longest).is_none()
            && !key.appends.iter().any(|(_, _, element)| key.writers_count(element) > 1);
        certain = certain.min(key.repeats(&longest[..certain]).unwrap_or(certain));
        key.certain = longest[..certain].to_vec();
        key.edges(&mut summary);
        key.reads(&mut summary);
        let mut count = |kind, count: usize| {
            if count > 0 {
                *summary.counts.entry(kind).or_default() += count as u64;
            }
        };
        key.contents(&mut count);
        key.within(&mut count);
        let is_ambiguous = key.appends.iter().any(|(_, _, element)| key.writers_count(element) > 1);
        summary.ambiguous_keys += u64::from(is_ambiguous);
    }
    summary.counts.entry(AnomalyKind::IncompatibleOrder).and_modify(|count| *count = 1);
    summary.has_gap = summary.ambiguous_keys > 0 || !left_out.is_empty();
    unjudged(&txns, &left_out, &mut summary);
    let is_there = |txn: &&Txn| txn.outcome != Kind::Fail;
    summary.committed = committed[..txns.iter().filter(is_there).count()].to_vec();
    summary.reads.sort();
    for (id, txn) in txns.iter().filter(is_there).enumerate() {
        for (micro, mop) in txn.mops.iter().enumerate().filter(|(_, mop)| &*mop.f == "append") {
            let is_again = |later: &Mop| &*later.f == "append" && later.key == mop.key;
            if !txn.mops[micro + 1..].iter().any(is_again) {
                summary.writes.insert((id as u32, micro as u32, mop.key.to_string()));
            }
        }
    }
    summary
}

/// Reads of keys that are no lists have no writer.
fn unjudged(txns: &[Txn], left_out: &BTreeSet<String>, summary: &mut Summary) {
    for (txn, Txn { mops, .. }) in txns.iter().enumerate().filter(|(_, txn)| txn.outcome == Kind::Ok) {
        for (micro, mop) in mops.iter().enumerate() {
            let key = mop.key.to_string();
            let is_read = &*mop.f == "r" && items(&mop.value).is_some();
            if is_read && left_out.contains(&key) {
                summary.reads.push((txn as u32, micro as u32, key, UNKNOWN));
            }
        }
    }
}
