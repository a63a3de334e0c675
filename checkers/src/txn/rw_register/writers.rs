//! Who wrote what: all writes, by key and value.

use rayon::prelude::*;
use rustc_hash::FxHashMap;
use schism_history::{History, MicroF, MicroValue, TxnRef, Value, ValueId};

use crate::txn::accesses::Write;
use crate::txn::own::Own;
use crate::txn::txns::{TxnId, Txns};
use crate::verdict::Gap;

/// The number of a list that was read and that nobody wrote. No number of a value that a micro-operation carries.
pub(super) const NOBODYS: u32 = u32::MAX;

/// A write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// The value's number.
    pub value: u32,
    /// The transaction; the failed ones have the numbers after all others, in their order.
    pub txn: TxnId,
    place: u32,
}

impl Entry {
    /// The micro-operation's place.
    pub fn micro(self) -> u32 {
        self.place >> 1
    }

    /// Whether the transaction wrote the key no more after it.
    pub fn is_last(self) -> bool {
        self.place & 1 == 1
    }
}

/// All writes of a history.
#[derive(Debug, Default)]
pub(super) struct Writers {
    /// By key: where its entries begin; and the end of the last.
    starts: Vec<u32>,
    /// In order of key, value, transaction and place.
    entries: Vec<Entry>,
    /// By key: whether it is no register, as something other than reads and writes was done to it.
    pub foreign: Vec<bool>,
    /// Values that are lists.
    pub lists: ListValues,
    /// Whether there are micro-operations of predicates.
    pub has_predicates: bool,
}

/// The last writes of each transaction that did not fail, in order of its first write of each key.
#[derive(Debug, Default)]
pub(super) struct LastWrites {
    writes: Vec<Write>,
    ends: Vec<u32>,
}

impl LastWrites {
    /// Those of a transaction.
    pub fn of(&self, id: TxnId) -> &[Write] {
        let id = id as usize;
        let start = if id == 0 { 0 } else { self.ends[id - 1] as usize };
        &self.writes[start..self.ends[id] as usize]
    }
}

/// The carrier of a transaction: of those in [`Txns`], then of those that failed.
pub(super) fn txn_of<'h>(txns: &Txns<'h>, id: TxnId) -> Option<TxnRef<'h>> {
    match (id as usize).checked_sub(txns.len()) {
        None => Some(txns.txn(id)),
        Some(place) => txns.history().txn(*txns.failed.get(place)?),
    }
}

/// The invocation of a transaction, failed ones included.
pub(super) fn invoked(txns: &Txns<'_>, id: TxnId) -> u32 {
    match (id as usize).checked_sub(txns.len()) {
        None => txns.invoked(id),
        Some(place) => txns.failed.get(place).copied().unwrap_or_default(),
    }
}

impl Writers {
    /// Collects them. A key that something else is done to than reading and writing is left out, and told in a gap.
    pub fn of(txns: &Txns<'_>, gaps: &mut Vec<Gap>) -> (Writers, LastWrites) {
        let history = txns.history();
        let keys_count = history.txn_keys().len();
        let (foreign, has_predicates) = foreign_keys(txns, gaps);
        let mut lists = ListValues::default();
        let mut last = LastWrites::default();
        let mut all: Vec<(u32, Entry)> = Vec::new();
        let mut starts = vec![0u32; keys_count + 1];
        let mut own = Own::default();
        for id in 0..(txns.len() + txns.failed.len()) as TxnId {
            let Some(txn) = txn_of(txns, id) else { continue };
            own.clear();
            let first = all.len();
            for (place, micro) in txn.micros().enumerate() {
                let (MicroF::Write, MicroValue::One(value)) = (micro.f, micro.value) else { continue };
                if foreign[micro.key as usize] {
                    continue;
                }
                lists.note(history, value);
                own.write(micro.key, place as u32, value.number());
                starts[micro.key as usize + 1] += 1;
                all.push((micro.key, Entry { value: value.number(), txn: id, place: (place as u32) << 1 }));
            }
            for (key, entry) in &mut all[first..] {
                let is_last = own.of(*key).is_some_and(|own| own.micro == entry.micro());
                entry.place |= u32::from(is_last);
            }
            if (id as usize) < txns.len() {
                last.writes.extend(own.all().iter().map(|own| Write { key: own.key, micro: own.micro }));
                last.ends.push(last.writes.len() as u32);
            }
        }
        for key in 0..keys_count {
            starts[key + 1] += starts[key];
        }
        let mut next = starts.clone();
        let mut entries = vec![Entry { value: 0, txn: 0, place: 0 }; all.len()];
        for (key, entry) in all {
            entries[next[key as usize] as usize] = entry;
            next[key as usize] += 1;
        }
        let mut writers = Writers { starts, entries, foreign, lists, has_predicates };
        writers.sort();
        (writers, last)
    }

    /// Sorts each key's entries. They are in order already where values go up; keys are shared out among threads.
    fn sort(&mut self) {
        const BLOCK: usize = 1 << 14;
        let mut blocks: Vec<(&[u32], &mut [Entry])> = Vec::new();
        let mut rest = self.entries.as_mut_slice();
        let mut first = 0;
        while first + 1 < self.starts.len() {
            let end = (first + BLOCK).min(self.starts.len() - 1);
            let (block, others) = rest.split_at_mut((self.starts[end] - self.starts[first]) as usize);
            blocks.push((&self.starts[first..=end], block));
            (rest, first) = (others, end);
        }
        blocks.into_par_iter().for_each(|(starts, block)| {
            for pair in starts.windows(2) {
                let of_key = &mut block[(pair[0] - starts[0]) as usize..(pair[1] - starts[0]) as usize];
                if !of_key.is_sorted() {
                    of_key.sort_unstable();
                }
            }
        });
    }

    /// The writes of a value of a key, in order of transaction and place.
    pub fn of_value(&self, key: u32, value: u32) -> &[Entry] {
        let entries = self.of_key(key);
        let first = entries.partition_point(|entry| entry.value < value);
        // Most values are written once, some by everybody.
        let few = entries[first..].iter().take(8).take_while(|entry| entry.value == value).count();
        let count = if few < 8 { few } else { entries[first..].partition_point(|entry| entry.value == value) };
        &entries[first..first + count]
    }

    /// All writes of a key.
    pub fn of_key(&self, key: u32) -> &[Entry] {
        let key = key as usize;
        &self.entries[self.starts[key] as usize..self.starts[key + 1] as usize]
    }

    /// How many keys there are.
    pub fn keys_count(&self) -> usize {
        self.foreign.len()
    }
}

/// Keys that are no registers: lists that are appended to. Functions that nobody knows are told; those of predicates
/// ([`crate::txn::predicate`]) are that room's matter, and so are their keys; whether there are any is the second answer.
fn foreign_keys(txns: &Txns<'_>, gaps: &mut Vec<Gap>) -> (Vec<bool>, bool) {
    let history = txns.history();
    let mut foreign = vec![false; history.txn_keys().len()];
    let (mut is_told, mut has_predicates) = (false, false);
    for id in 0..(txns.len() + txns.failed.len()) as TxnId {
        let Some(txn) = txn_of(txns, id) else { continue };
        for micro in txn.micros() {
            let reason = match micro.value {
                _ if micro.f == MicroF::Append => {
                    let key = txns.key_text(micro.key);
                    format!("append to key {key}: registers are read (`r`) and written (`w`); the key is left out")
                }
                MicroValue::Other(mop) if crate::txn::predicate::is_known(&mop.f) => {
                    foreign[micro.key as usize] = true;
                    has_predicates = true;
                    continue;
                }
                MicroValue::Other(mop) => format!(
                    "{} of key {}: registers are read (`r`) and written (`w`); the key is left out",
                    mop.f, mop.key
                ),
                _ => continue,
            };
            foreign[micro.key as usize] = true;
            if !is_told {
                // One says enough.
                gaps.push(Gap::Unsupported { index: invoked(txns, id), reason });
                is_told = true;
            }
        }
    }
    (foreign, has_predicates)
}

/// Values that are lists: what was read of them comes in the form of lists that grow, without a number of its own.
#[derive(Debug, Default)]
pub(super) struct ListValues {
    /// By their text with types, which is one only for values that are the same.
    numbers: FxHashMap<String, ValueId>,
}

impl ListValues {
    fn note(&mut self, history: &History, value: ValueId) {
        if ValueId::of_small(value.number()).is_some() || value == ValueId::NIL {
            return;
        }
        let of_value = history.value_of(value);
        if matches!(*of_value, Value::List(_) | Value::Pair(_)) {
            self.numbers.entry(format!("{:?}", *of_value)).or_insert(value);
        }
    }

    /// The number of what a micro-operation read, or [`NOBODYS`].
    pub fn number(&self, history: &History, txn: TxnRef<'_>, key: u32, value: MicroValue<'_>) -> u32 {
        let items = match value {
            MicroValue::One(value) => return value.number(),
            MicroValue::Prefix(length) => &txn.list_of(key)[..length as usize],
            MicroValue::Deviant(items) => items,
            MicroValue::Other(_) => return NOBODYS,
        };
        if self.numbers.is_empty() {
            return NOBODYS;
        }
        let list = Value::list(items.iter().map(|&item| (*history.value_of(item)).clone()).collect());
        self.numbers.get(&format!("{list:?}")).map_or(NOBODYS, |value| value.number())
    }
}
