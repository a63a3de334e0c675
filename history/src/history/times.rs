//! Times of events, four bytes each: how far they are from the first time of their block.

use rustc_hash::FxHashMap;

/// Events in a block. At 1,000 events a second a block lasts a quarter of one; four bytes count four seconds.
const BLOCK: usize = 256;
/// Stands for a time that is too far from its block's first one, or before it.
const WIDE: u32 = u32::MAX;

/// A column of times in nanoseconds. Any times may follow one another; those within 4.29 s after the first of their block
/// of 256 take four bytes, others about thirty.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Times {
    bases_ns: Vec<u64>,
    deltas_ns: Vec<u32>,
    wide_ns: FxHashMap<u32, u64>,
}

impl Times {
    pub(super) fn push(&mut self, time_ns: u64) {
        let place = self.deltas_ns.len();
        if place.is_multiple_of(BLOCK) {
            self.bases_ns.push(time_ns);
        }
        let delta = time_ns.checked_sub(self.bases_ns[place / BLOCK]).and_then(|delta| u32::try_from(delta).ok());
        let delta = delta.unwrap_or(WIDE);
        if delta == WIDE {
            self.wide_ns.insert(place as u32, time_ns);
        }
        self.deltas_ns.push(delta);
    }

    pub(super) fn get(&self, place: usize) -> u64 {
        match self.deltas_ns[place] {
            WIDE => self.wide_ns.get(&(place as u32)).copied().unwrap_or(u64::MAX),
            delta => self.bases_ns[place / BLOCK] + u64::from(delta),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bases_ns.len() * 8 + self.deltas_ns.len() * 4 + self.wide_ns.len() * 24
    }

    pub(super) fn shrink(&mut self) {
        self.bases_ns.shrink_to_fit();
        self.deltas_ns.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_times_come_back() {
        let far = u64::from(u32::MAX);
        let times: Vec<u64> = (0..1000u64)
            .map(|n| match n % 7 {
                0 => n,
                1 => n * 1_000_000_000,
                2 => 0,
                3 => u64::MAX - n,
                4 => (n / 256) * 256 + far,
                5 => (n / 256) * 256 + far - 1,
                _ => 5_000 + n,
            })
            .collect();
        let mut column = Times::default();
        times.iter().for_each(|&time| column.push(time));
        assert_eq!((0..times.len()).map(|place| column.get(place)).collect::<Vec<_>>(), times);
    }

    #[test]
    fn a_steady_history_takes_four_bytes_an_event() {
        let mut column = Times::default();
        (0..100_000u64).for_each(|n| column.push(n * 1_000_000));
        assert!(column.memory_bytes() < 100_000 * 4 + 100_000 / 16, "{}", column.memory_bytes());
    }
}
