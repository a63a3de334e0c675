//! The order of a list's elements, as the lists show it that were read.

use std::collections::BTreeMap;

use schism_history::{History, OpIndex, ValueId};

use super::view::{Txn, all, is_committed};

/// What is known of one key.
pub struct Order<'h> {
    history: &'h History,
    key: u32,
    /// Elements from the beginning, as far as no two reads contradict each other and none is repeated.
    certain: Vec<ValueId>,
    /// By length of a list that is certain: how many elements it has of which it is known who appended them, and that this
    /// did not fail.
    ranks: Vec<usize>,
    /// These elements, with the transaction.
    placed: Vec<(OpIndex, ValueId)>,
    /// By element: who appended it, without those that failed; twice who did so twice.
    writers: BTreeMap<ValueId, Vec<OpIndex>>,
}

impl<'h> Order<'h> {
    /// Cost: some passes over the history.
    pub fn of(history: &'h History, key: u32) -> Order<'h> {
        let mut writers: BTreeMap<ValueId, Vec<OpIndex>> = BTreeMap::new();
        let mut lists: Vec<Vec<ValueId>> = Vec::new();
        for txn in all(history).filter(|txn| !txn.failed) {
            for place in 0..txn.micros().len() as u32 {
                match (txn.written(place), txn.read(place)) {
                    (Some((other, value)), _) if other == key => writers.entry(value).or_default().push(txn.invoked),
                    (_, Some((other, list))) if other == key => lists.push(list),
                    _ => {}
                }
            }
        }
        let mut certain = lists.iter().max_by_key(|list| list.len()).cloned().unwrap_or_default();
        for list in &lists {
            let common = list.iter().zip(&certain).take_while(|(a, b)| a == b).count();
            // A list that is longer than what is left agrees with it, or contradicts it within.
            if common < list.len() {
                certain.truncate(common);
            }
        }
        let one_writer = |value: &ValueId| writers.get(value).is_some_and(|all| all.len() == 1);
        let repeated = (0..certain.len()).find(|&at| {
            certain[..at].contains(&certain[at]) && writers.get(&certain[at]).is_none_or(|all| all.len() < 2)
        });
        certain.truncate(repeated.unwrap_or(certain.len()));
        let (mut placed, mut ranks) = (Vec::new(), vec![0]);
        for value in &certain {
            if one_writer(value) {
                placed.push((writers[value][0], *value));
            }
            ranks.push(placed.len());
        }
        Order { history, key, certain, ranks, placed, writers }
    }

    /// Which place comes next after a list that was read; `None` if the list is not certain.
    pub fn after(&self, list: &[ValueId]) -> Option<usize> {
        self.certain.starts_with(list).then(|| self.ranks[list.len()])
    }

    /// The place of an element.
    pub fn place(&self, value: ValueId) -> Option<usize> {
        self.placed.iter().position(|&(_, other)| other == value)
    }

    /// Whether an element that a transaction appended has that place; or, where nobody has it, comes after all places.
    pub fn is_at(&self, place: usize, txn: &Txn<'_>, value: ValueId) -> bool {
        match self.placed.get(place) {
            Some(&known) => known == (txn.invoked, value),
            None => self.is_late(txn, value),
        }
    }

    /// Whether a committed transaction appended an element, and no certain list has it: it comes after all of them.
    fn is_late(&self, txn: &Txn<'_>, value: ValueId) -> bool {
        let is_its = self.writers.get(&value).is_some_and(|all| *all == [txn.invoked]);
        is_its && self.place(value).is_none() && is_committed(self.history, txn)
    }

    /// Whether the second's version, which is to say its last append, comes after the first's.
    pub fn is_later(&self, first: &Txn<'_>, second: &Txn<'_>) -> bool {
        let last = |txn: &Txn<'_>| txn.own(self.key, txn.micros().len() as u32).last().copied();
        let (Some(a), Some(b)) = (last(first), last(second)) else { return false };
        let Some(place) = self.place(a).filter(|&place| self.placed[place].0 == first.invoked) else { return false };
        match self.place(b) {
            Some(later) => place < later && self.placed[later].0 == second.invoked,
            None => self.is_late(second, b),
        }
    }

    /// Whether some append of the second comes after some of the first.
    pub fn is_any_later(&self, first: &Txn<'_>, second: &Txn<'_>) -> bool {
        let places = |txn: &Txn<'_>| -> Vec<usize> {
            let own = txn.own(self.key, txn.micros().len() as u32);
            let of_txn = |place: &usize| self.placed[*place].0 == txn.invoked;
            own.into_iter().filter_map(|value| self.place(value)).filter(of_txn).collect()
        };
        let overlaps = || places(first).iter().min().is_some_and(|a| places(second).iter().any(|b| a < b));
        self.is_later(first, second) || overlaps()
    }
}

/// Whether the second appended to a list after the first, by the key's name; `any`: whether some append of it comes after some of the
/// first, which says enough where transactions have one order and do not overlap.
pub fn is_later(history: &History, first: &Txn<'_>, second: &Txn<'_>, key: &str, any: bool) -> bool {
    let Some(key) = history.txn_keys().iter().position(|known| known.to_string() == *key) else { return false };
    let order = Order::of(history, key as u32);
    if any { order.is_any_later(first, second) } else { order.is_later(first, second) }
}
