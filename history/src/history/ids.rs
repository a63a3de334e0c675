//! Dense numbers of processes and keys, which are small integers nearly always: found by place, others by hash.

use std::hash::Hash;

use rustc_hash::FxHashMap;

use crate::op::Process;
use crate::value::Key;

/// Integers below are found by place: a table of two megabytes, if there is one of that size.
const SMALL_MAX: usize = 1 << 19;

/// So are larger ones, as long as this many times as many numbers were given.
const SPREAD_MAX: usize = 8;

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

impl<T: MaybeNumber + Eq + Hash> Ids<T> {
    pub(super) fn get(&self, item: &T) -> Option<u32> {
        self.small(item.number()).or_else(|| self.others.get(item).copied())
    }

    /// That of an integer.
    #[inline]
    pub(super) fn get_number(&self, number: i64) -> Option<u32> {
        match self.small(Some(number)) {
            None if !self.others.is_empty() => self.others.get(&T::of(number)?).copied(),
            found => found,
        }
    }

    #[inline]
    fn small(&self, number: Option<i64>) -> Option<u32> {
        let place = usize::try_from(number?).ok()?;
        self.small.get(place).copied().filter(|&id| id != NONE)
    }

    pub(super) fn insert(&mut self, item: T, id: u32) {
        let places_max = SMALL_MAX.max(SPREAD_MAX.saturating_mul(id as usize));
        let place = item.number().and_then(|number| usize::try_from(number).ok()).filter(|&place| place < places_max);
        let Some(place) = place else {
            self.others.insert(item, id);
            return;
        };
        if self.small.len() <= place {
            self.small.resize((place + 1).next_power_of_two(), NONE);
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

    #[test]
    fn many_numbers_widen_what_is_found_by_place() {
        let mut ids: Ids<Key> = Ids::default();
        // One that is too large for its place at first, and would have one later.
        let early = 3 * SMALL_MAX as i64 + 1;
        ids.insert(Key::Int(early), 0);
        let count = 2 * SMALL_MAX as u32;
        for id in 1..count {
            ids.insert(Key::Int(2 * i64::from(id)), id);
        }
        assert_eq!(ids.others.len(), 1);
        for id in 1..count {
            assert_eq!(ids.get_number(2 * i64::from(id)), Some(id));
        }
        assert_eq!(
            (ids.get_number(early), ids.get(&Key::Int(early)), ids.get_number(early + 2)),
            (Some(0), Some(0), None)
        );
        ids.insert(Key::Int(i64::MAX), count);
        assert_eq!(ids.get_number(i64::MAX), Some(count));
    }
}
