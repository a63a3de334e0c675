//! Dense numbers of processes and keys, which are small integers nearly always: found by place, others by hash.

use std::hash::Hash;

use rustc_hash::FxHashMap;

use crate::op::Process;
use crate::value::Key;

/// Integers below are found by place: a table of two megabytes, if there is one of that size.
const SMALL_MAX: usize = 1 << 19;

/// No number.
const NONE: u32 = u32::MAX;

/// What may be an integer.
pub(super) trait MaybeNumber {
    /// The integer that it is.
    fn number(&self) -> Option<i64>;
    /// What an integer is.
    fn of(number: i64) -> Option<Self>
    where
        Self: Sized;
}

impl MaybeNumber for Process {
    fn number(&self) -> Option<i64> {
        self.client().map(i64::from)
    }

    fn of(number: i64) -> Option<Process> {
        u32::try_from(number).ok().map(Process::Client)
    }
}

impl MaybeNumber for Key {
    fn number(&self) -> Option<i64> {
        match self {
            Key::Int(number) => Some(*number),
            Key::Str(_) => None,
        }
    }

    fn of(number: i64) -> Option<Key> {
        Some(Key::Int(number))
    }
}

/// The numbers given so far.
#[derive(Debug)]
pub(super) struct Ids<T> {
    small: Vec<u32>,
    others: FxHashMap<T, u32>,
}

impl<T> Default for Ids<T> {
    fn default() -> Ids<T> {
        Ids { small: Vec::new(), others: FxHashMap::default() }
    }
}

fn small_place(number: i64) -> Option<usize> {
    usize::try_from(number).ok().filter(|&place| place < SMALL_MAX)
}

impl<T: MaybeNumber + Eq + Hash> Ids<T> {
    pub(super) fn get(&self, item: &T) -> Option<u32> {
        match item.number().and_then(small_place) {
            Some(place) => self.small.get(place).copied().filter(|&id| id != NONE),
            None => self.others.get(item).copied(),
        }
    }

    /// That of an integer.
    #[inline]
    pub(super) fn get_number(&self, number: i64) -> Option<u32> {
        match small_place(number) {
            Some(place) => self.small.get(place).copied().filter(|&id| id != NONE),
            None => self.others.get(&T::of(number)?).copied(),
        }
    }

    pub(super) fn insert(&mut self, item: T, id: u32) {
        let Some(place) = item.number().and_then(small_place) else {
            self.others.insert(item, id);
            return;
        };
        if self.small.len() <= place {
            self.small.resize((place + 1).next_power_of_two().min(SMALL_MAX), NONE);
        }
        self.small[place] = id;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_integers_and_names_have_numbers() {
        let limit = SMALL_MAX as i64;
        let keys = [0, 1, limit - 1, limit, -1, i64::MIN, i64::MAX].map(Key::Int);
        let keys: Vec<Key> = keys.into_iter().chain([Key::Str("0".into()), Key::Str("x".into())]).collect();
        let mut ids = Ids::default();
        for (id, key) in keys.iter().enumerate() {
            assert_eq!(ids.get(key), None, "{key}");
            ids.insert(key.clone(), id as u32);
        }
        for (id, key) in keys.iter().enumerate() {
            assert_eq!(ids.get(key), Some(id as u32), "{key}");
            if let Some(number) = key.number() {
                assert_eq!(ids.get_number(number), Some(id as u32));
            }
        }
        assert_eq!((ids.get_number(2), ids.get_number(-2), ids.get_number(limit + 1)), (None, None, None));
    }
}
