//! The order of a list's elements, as the lists show it that were read.

use schism_history::{History, OpIndex, ValueId};

use super::view::{Txn, all, is_committed};
use super::writers::{Appends, alone, appends};

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
    writers: Appends,
}

impl<'h> Order<'h> {
    /// Cost: some passes over the history.
    pub fn of(history: &'h History, key: u32) -> Order<'h> {
        let writers = appends(history, key);
        let mut lists: Vec<Vec<ValueId>> = Vec::new();
        for txn in all(history) {
            let reads = (0..txn.micros().len() as u32).filter_map(|place| txn.read(place));
            lists.extend(reads.filter(|(other, _)| *other == key).map(|(_, list)| list));
        }
        let mut certain = lists.iter().max_by_key(|list| list.len()).cloned().unwrap_or_default();
        for list in &lists {
            let common = list.iter().zip(&certain).take_while(|(a, b)| a == b).count();
            // A list that is longer than what is left agrees with it, or contradicts it within.
            if common < list.len() {
                certain.truncate(common);
            }
        }
        let repeated = (0..certain.len()).find(|&at| {
            certain[..at].contains(&certain[at]) && writers.get(&certain[at]).is_none_or(|all| all.len() < 2)
        });
        certain.truncate(repeated.unwrap_or(certain.len()));
        let (mut placed, mut ranks) = (Vec::new(), vec![0]);
        for value in &certain {
            placed.extend(alone(&writers, *value).map(|writer| (writer, *value)));
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
        let is_its = alone(&self.writers, value) == Some(txn.invoked);
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

/// Whether the second appended to a list after the first, by the key's name, which a number and a text may share; `any`: whether some
/// append of it comes after some of the first, which says enough where transactions have one order and do not overlap.
pub fn is_later(history: &History, first: &Txn<'_>, second: &Txn<'_>, key: &str, any: bool) -> bool {
    let mut keys = (0u32..).zip(history.txn_keys()).filter(|(_, known)| known.to_string() == *key);
    keys.any(|(key, _)| {
        let order = Order::of(history, key);
        if any { order.is_any_later(first, second) } else { order.is_later(first, second) }
    })
}
