//! Who wrote what was read, where that is certain: what several wrote, or a failed transaction alone, names nobody.

use std::collections::BTreeMap;

use schism_history::{History, OpIndex, ValueId};

use super::view::{Txn, all, is_list};

/// By element of a list: who appended it, of those that did not fail; twice who did so twice.
pub type Appends = BTreeMap<ValueId, Vec<OpIndex>>;

/// All appends to a list, but for those of failed transactions. One pass.
pub fn appends(history: &History, key: u32) -> Appends {
    let mut appends = Appends::new();
    for txn in all(history).filter(|txn| !txn.failed) {
        for value in txn.own(key, txn.micros().len() as u32) {
            appends.entry(value).or_default().push(txn.invoked);
        }
    }
    appends
}

/// Who alone appended an element, once.
pub fn alone(appends: &Appends, value: ValueId) -> Option<OpIndex> {
    match appends.get(&value).map(Vec::as_slice) {
        Some(&[one]) => Some(one),
        _ => None,
    }
}

/// The last element of a list that another transaction than its reader appended alone, and who. Those behind it may be anybody's: the
/// reader comes after whoever appended what its list has.
pub fn last_of_others(history: &History, key: u32, list: &[ValueId], reader: &Txn<'_>) -> Option<(OpIndex, ValueId)> {
    let appends = appends(history, key);
    let named = |&value: &ValueId| alone(&appends, value).map(|writer| (writer, value));
    list.iter().rev().filter_map(named).find(|(writer, _)| *writer != reader.invoked)
}

/// How many others that did not fail wrote a value, of a register as their last.
fn last_writers<'h>(history: &'h History, key: u32, value: ValueId, reader: &Txn<'_>) -> impl Iterator<Item = Txn<'h>> {
    let reader = reader.invoked;
    let wrote = move |txn: &Txn<'_>| txn.own(key, txn.micros().len() as u32).last() == Some(&value);
    all(history).filter(move |txn| txn.invoked != reader && !txn.failed && wrote(txn))
}

/// Who wrote the newest that a read saw of others: `Some(None)` if nobody did, as it is the initial state; `None` if that cannot
/// be said.
pub fn of_read(history: &History, key: u32, newest: Option<ValueId>, reader: &Txn<'_>) -> Option<Option<OpIndex>> {
    if is_list(history, key) {
        let Some(value) = newest else { return Some(None) };
        return alone(&appends(history, key), value).filter(|&writer| writer != reader.invoked).map(Some);
    }
    let mut writers = last_writers(history, key, newest.unwrap_or(ValueId::NIL), reader);
    match (writers.next(), newest) {
        (None, None) => Some(None),
        // Nothing may also have been there at first.
        (Some(one), Some(_)) => writers.next().is_none().then_some(Some(one.invoked)),
        _ => None,
    }
}

/// The only other transaction that wrote a value and did not fail, whether or not it wrote over it.
pub fn of_operation(history: &History, key: u32, value: ValueId, reader: &Txn<'_>) -> Option<OpIndex> {
    let wrote = |txn: &Txn<'_>| txn.invoked != reader.invoked && !txn.failed && txn.place_of(key, value).is_some();
    let mut writers = all(history).filter(wrote).map(|txn| txn.invoked);
    writers.next().filter(|_| writers.next().is_none())
}

/// Whether another that did not fail wrote a value of a register last: then it was read from there, and nothing is strange about it.
pub fn has_good_writer(history: &History, key: u32, value: ValueId, reader: &Txn<'_>) -> bool {
    last_writers(history, key, value, reader).next().is_some()
}

/// How many times a value was written by those that did not fail.
pub fn count(history: &History, key: u32, value: ValueId) -> usize {
    appends(history, key).get(&value).map_or(0, Vec::len)
}
