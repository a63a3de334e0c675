//! Orders of all writes and the reads of one process, all of them, for the single operations of a few transactions over
//! registers: none returns what the process read.
//!
//! Transactions that are not named ask for nothing. That makes it only easier: an order of all operations, restricted to those of some
//! transactions, still returns what was read from these, and keeps what order is kept among them.

use std::collections::{BTreeMap, BTreeSet};

use schism_history::{History, Mop, OpIndex, Value};

use super::view::{Txn, all, txn};

/// Operations at most; and of these, writes of what the process read and its reads.
const DEEDS_MAX: usize = 2048;
const ORDERED_MAX: usize = 128;
/// Beginnings of orders at most that are walked.
const STATES_MAX: usize = 500_000;

/// What happened, and what it asks of an order.
enum Asks {
    /// It writes a key.
    Write(usize),
    /// It returns of a key what that one wrote; `None`: what was there at first.
    Find(usize, Option<usize>),
    /// Nothing: it stands between others.
    Nothing,
}

/// A single operation that happened.
struct Deed {
    asks: Asks,
    /// Who comes right before it.
    before: Vec<usize>,
}

/// Who wrote a value of a key, in all transactions that did not fail: the transaction and the place.
type Writers = BTreeMap<(usize, String), Vec<(OpIndex, usize)>>;

/// Verifies that a process has no order that keeps the order of each process, or causality.
pub fn verify(history: &History, kind: &str, process: u32, transactions: &[OpIndex]) -> Result<(), String> {
    let causal = match kind {
        "not-pipelined-ram" => false,
        "not-causal-memory" => true,
        _ => return Err("no order of one process defines it".to_owned()),
    };
    let invoked: BTreeSet<OpIndex> = transactions.iter().copied().collect();
    let txns = invoked.iter().map(|&invoked| txn(history, invoked)).collect::<Result<Vec<_>, _>>()?;
    if let Some(failed) = txns.iter().find(|txn| txn.failed) {
        return Err(format!("the transaction of event {} failed", failed.invoked));
    }
    let is_its = |txn: &Txn<'_>| history.process(txn.invoked).client() == Some(process);
    if !txns.iter().any(is_its) {
        return Err(format!("none of the transactions that are named is of process {process}"));
    }
    let deeds = Registers::of(history)?.deeds(&txns, causal, is_its)?;
    let reached = reach(&deeds);
    if (0..deeds.len()).any(|deed| reached[deed].contains(&deed)) {
        return Ok(());
    }
    let search = Search::of(&deeds, &reached)?;
    match search.has_order() {
        Some(false) => Ok(()),
        Some(true) => Err(format!("the operations that are named have an order for process {process}")),
        None => Err(format!("the orders of {} operations are too many to try them all", search.asks.len())),
    }
}

/// The registers of a history, and what all that did not fail wrote to them.
struct Registers<'h> {
    history: &'h History,
    writers: Writers,
    /// What those that ended well read.
    seen: BTreeSet<(usize, String)>,
}

impl<'h> Registers<'h> {
    /// One pass.
    fn of(history: &'h History) -> Result<Registers<'h>, String> {
        let mut registers = Registers { history, writers: Writers::new(), seen: BTreeSet::new() };
        for txn in all(history) {
            for (place, (micro, mop)) in txn.micros().zip(registers.mops(&txn)).enumerate() {
                let entry = (micro.key as usize, text(&mop.value));
                match &*mop.f {
                    "w" if !txn.failed => registers.writers.entry(entry).or_default().push((txn.invoked, place)),
                    "r" if txn.ended.is_some() => drop(registers.seen.insert(entry)),
                    "r" | "w" => {}
                    "append" => return Err("orders of single operations of lists are not verified".to_owned()),
                    other => return Err(format!("orders of single operations of {other} are not verified")),
                }
            }
        }
        Ok(registers)
    }

    fn mops(&self, txn: &Txn<'_>) -> Vec<Mop> {
        match &*self.history.value(txn.ended.unwrap_or(txn.invoked)) {
            Value::Txn(mops) => mops.to_vec(),
            _ => Vec::new(),
        }
    }

    /// The only one that wrote a value of a key. Nothing was there at first too.
    fn writer(&self, key: usize, value: &Value) -> Option<(OpIndex, usize)> {
        if value.is_nil() {
            return None;
        }
        match self.writers.get(&(key, text(value))).map(Vec::as_slice) {
            Some([one]) => Some(*one),
            _ => None,
        }
    }

    /// What happened of some transactions. A write in doubt happened if it was seen. Those of a transaction in doubt stand in no order
    /// to each other, and of them only the first to what its process did before.
    fn deeds(&self, txns: &[Txn<'_>], causal: bool, is_asked: impl Fn(&Txn<'_>) -> bool) -> Result<Vec<Deed>, String> {
        let mut deeds: Vec<Deed> = Vec::new();
        let mut places: BTreeMap<(OpIndex, usize), usize> = BTreeMap::new();
        let mut reads: Vec<(usize, (usize, Value), bool)> = Vec::new();
        for (at, txn) in txns.iter().enumerate() {
            let mut last = txns[..at]
                .iter()
                .rev()
                .filter(|other| other.is_before_in_process(txn))
                .find_map(|other| places.range((other.invoked, 0)..=(other.invoked, usize::MAX)).next_back())
                .map(|(_, &deed)| deed);
            let mut is_first_write = true;
            for (place, (micro, mop)) in txn.micros().zip(self.mops(txn)).enumerate() {
                let key = micro.key as usize;
                let is_write = &*mop.f == "w";
                let is_first = is_first_write;
                is_first_write &= !is_write;
                let is_certain = self.writer(key, &mop.value) == Some((txn.invoked, place));
                let is_seen = is_certain && self.seen.contains(&(key, text(&mop.value)));
                if txn.ended.is_none() && !(is_write && is_seen) {
                    continue;
                }
                let before = last.filter(|_| txn.ended.is_some() || is_first);
                let asks = if is_write { Asks::Write(key) } else { Asks::Nothing };
                if !is_write {
                    reads.push((deeds.len(), (key, mop.value), is_asked(txn)));
                }
                if txn.ended.is_some() {
                    last = Some(deeds.len());
                }
                places.insert((txn.invoked, place), deeds.len());
                deeds.push(Deed { asks, before: before.into_iter().collect() });
            }
        }
        if deeds.len() > DEEDS_MAX {
            return Err(format!("{} operations are too many to try all their orders", deeds.len()));
        }
        for (deed, (key, value), is_asked) in reads {
            let writer = self.writer(key, &value).and_then(|place| places.get(&place).copied());
            let is_initial = value.is_nil() && !self.writers.contains_key(&(key, text(&value)));
            if is_asked && (is_initial || writer.is_some()) {
                deeds[deed].asks = Asks::Find(key, writer);
            }
            deeds[deed].before.extend(writer.filter(|_| causal));
        }
        Ok(deeds)
    }
}

/// A value, told from those of other types.
fn text(value: &Value) -> String {
    format!("{value:?}")
}

/// By deed: all that come before it.
fn reach(deeds: &[Deed]) -> Vec<BTreeSet<usize>> {
    let of = |deed: usize| {
        let mut reached: BTreeSet<usize> = BTreeSet::new();
        let mut open: Vec<usize> = deeds[deed].before.clone();
        while let Some(earlier) = open.pop() {
            if reached.insert(earlier) {
                open.extend(&deeds[earlier].before);
            }
        }
        reached
    };
    (0..deeds.len()).map(of).collect()
}

/// The reads that are asked and the writes of what they read: any order of these that keeps what order is kept among all can be
/// completed to one of all.
struct Search<'a> {
    asks: Vec<&'a Asks>,
    /// By operation: its place among all deeds; and who comes before it, as bits.
    deeds: Vec<usize>,
    before: Vec<u128>,
}

impl<'a> Search<'a> {
    fn of(all: &'a [Deed], reached: &[BTreeSet<usize>]) -> Result<Search<'a>, String> {
        let read = |key: usize| all.iter().any(|deed| matches!(deed.asks, Asks::Find(other, _) if other == key));
        let is_asked = |deed: &usize| match all[*deed].asks {
            Asks::Write(key) => read(key),
            Asks::Find(..) => true,
            Asks::Nothing => false,
        };
        let deeds: Vec<usize> = (0..all.len()).filter(is_asked).collect();
        if deeds.len() > ORDERED_MAX {
            return Err(format!("{} operations are too many to try all their orders", deeds.len()));
        }
        let bits = |&deed: &usize| {
            let earlier = deeds.iter().enumerate().filter(|(_, other)| reached[deed].contains(other));
            earlier.fold(0, |bits, (place, _)| bits | 1 << place)
        };
        let before = deeds.iter().map(bits).collect();
        Ok(Search { asks: deeds.iter().map(|&deed| &all[deed].asks).collect(), deeds, before })
    }

    /// Walks all orders, a beginning once for all that have placed the same and left the same; `None` if they are too many.
    fn has_order(&self) -> Option<bool> {
        let all: u128 = (0..self.asks.len()).fold(0, |bits, place| bits | 1 << place);
        let mut seen: BTreeSet<(u128, BTreeMap<usize, usize>)> = BTreeSet::new();
        let mut open: Vec<(u128, BTreeMap<usize, usize>)> = vec![(0, BTreeMap::new())];
        while let Some((placed, held)) = open.pop() {
            if placed == all {
                return Some(true);
            }
            for next in self.next(placed, &held) {
                let mut held = held.clone();
                if let Asks::Write(key) = *self.asks[next] {
                    held.insert(key, self.deeds[next]);
                }
                if seen.len() > STATES_MAX {
                    return None;
                }
                if seen.insert((placed | 1 << next, held.clone())) {
                    open.push((placed | 1 << next, held));
                }
            }
        }
        Some(false)
    }

    /// What may come next. A read that may come at once changes nothing for the others, so nothing else need be tried. A write does
    /// not come over what somebody has still to read.
    fn next(&self, placed: u128, held: &BTreeMap<usize, usize>) -> Vec<usize> {
        let is_open = |place: &usize| placed >> place & 1 == 0;
        let may = |place: &usize| is_open(place) && self.before[*place] & !placed == 0;
        let finds = |place: &usize| match self.asks[*place] {
            Asks::Find(key, wanted) => held.get(key) == wanted.as_ref(),
            _ => false,
        };
        let all = || 0..self.asks.len();
        if let Some(read) = all().find(|place| may(place) && finds(place)) {
            return vec![read];
        }
        let is_wanted = |key: usize| {
            let is_it = |place: usize| matches!(self.asks[place], Asks::Find(other, _) if *other == key);
            all().any(|place| is_open(&place) && is_it(place) && finds(&place))
        };
        let writes = |place: &usize| matches!(self.asks[*place], Asks::Write(key) if !is_wanted(*key));
        all().filter(|place| may(place) && writes(place)).collect()
    }
}
