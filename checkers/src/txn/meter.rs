//! What a search of transactions may still cost.

use crate::checker::Budget;
use crate::verdict::Gap;

/// Counts steps and bytes. Never time.
#[derive(Debug, Clone)]
pub struct Meter {
    /// Steps made.
    pub steps: u64,
    /// Steps allowed.
    pub steps_max: u64,
    /// Bytes held by searches now.
    pub bytes: u64,
    /// Bytes allowed.
    pub bytes_max: u64,
    /// Bytes that would have been held if they had been allowed, the most of all times; zero if all were.
    refused_bytes: u64,
    /// Whether steps ended.
    has_no_steps: bool,
}

/// The budget ended first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent;

impl Meter {
    /// A full one.
    pub fn new(budget: &Budget) -> Meter {
        let Budget { steps_max, memory_bytes_max: bytes_max } = *budget;
        Meter { steps: 0, steps_max, bytes: 0, bytes_max, refused_bytes: 0, has_no_steps: false }
    }

    /// One that never ends, for what is bound otherwise.
    pub fn endless() -> Meter {
        Meter::new(&Budget { steps_max: u64::MAX, memory_bytes_max: u64::MAX })
    }

    /// Bytes that are held; or that would have to be, more than are allowed, if that ended what they were for.
    pub fn bytes_asked(&self) -> u64 {
        // What was refused may have been done in another way, until steps ended.
        if self.has_no_steps { self.bytes.min(self.bytes_max) } else { self.bytes.max(self.refused_bytes) }
    }

    /// Notes that all bytes that are allowed were not enough for what is counted elsewhere.
    pub fn refuse_bytes(&mut self) {
        self.refused_bytes = self.refused_bytes.max(self.bytes_max.saturating_add(1));
    }

    /// The gap of a budget that ended, of all keys together, with nothing known of a prefix.
    pub fn gap(&self) -> Gap {
        self.gap_after(0)
    }

    /// The same, where so many events were proven good.
    pub fn gap_after(&self, prefix_events: u64) -> Gap {
        Gap::BudgetSpent {
            key: None,
            steps: self.steps,
            steps_max: self.steps_max,
            memory_bytes: self.bytes_asked(),
            memory_bytes_max: self.bytes_max,
            prefix_events,
            configurations_peak: 0,
            placing: None,
        }
    }

    /// Counts steps.
    ///
    /// # Errors
    /// When there are none left.
    pub fn step(&mut self, count: u64) -> Result<(), Spent> {
        self.steps = self.steps.saturating_add(count);
        self.has_no_steps |= self.steps > self.steps_max;
        if self.steps > self.steps_max { Err(Spent) } else { Ok(()) }
    }

    /// Steps that are left.
    pub fn steps_left(&self) -> u64 {
        self.steps_max.saturating_sub(self.steps)
    }

    /// Counts bytes that are held from now on; [`Meter::give_back`] when they are not.
    ///
    /// # Errors
    /// When they are too many; they are not held then.
    pub fn take_bytes(&mut self, bytes: u64) -> Result<(), Spent> {
        let asked = self.bytes.saturating_add(bytes);
        if asked > self.bytes_max {
            self.refused_bytes = self.refused_bytes.max(asked);
            return Err(Spent);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Counts bytes that are held in any case, as [`Meter::take_bytes`]; whether they are allowed.
    pub fn hold_bytes(&mut self, bytes: u64) -> bool {
        let is_allowed = self.take_bytes(bytes).is_ok();
        if !is_allowed {
            self.bytes = self.bytes.saturating_add(bytes);
        }
        is_allowed
    }

    /// Bytes that are no longer held.
    pub fn give_back(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Does something with half of the steps that are left.
    pub fn with_half_of_steps<T>(&mut self, run: impl FnOnce(&mut Meter) -> T) -> T {
        let (steps_max, had_none) = (self.steps_max, self.has_no_steps);
        self.steps_max = self.steps + steps_max.saturating_sub(self.steps) / 2;
        let done = run(self);
        self.steps_max = steps_max;
        self.has_no_steps = had_none || self.steps > steps_max;
        done
    }

    /// One of two for what runs side by side: half of the bytes that are left, and all steps that are.
    pub fn half(&self) -> Meter {
        let left = self.bytes_max.saturating_sub(self.bytes);
        Meter { bytes_max: self.bytes.saturating_add(left / 2), ..self.clone() }
    }

    /// Counts what meters made by [`Meter::half`] have counted. Steps may be more than are allowed then.
    pub fn join(&mut self, halves: &[Meter]) {
        let (steps, bytes) = (self.steps, self.bytes);
        for half in halves {
            self.steps = self.steps.saturating_add(half.steps.saturating_sub(steps));
            self.bytes = self.bytes.saturating_add(half.bytes).saturating_sub(bytes);
            // A half was not allowed as much as the whole.
            if half.refused_bytes > self.refused_bytes {
                self.refused_bytes = half.refused_bytes.max(self.bytes_max.saturating_add(1));
            }
            self.has_no_steps |= half.has_no_steps;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter() -> Meter {
        Meter::new(&Budget { steps_max: 100, memory_bytes_max: 1000 })
    }

    /// Steps that ended, and bytes that were asked for, as a gap tells them.
    fn told(meter: &Meter) -> (bool, u64) {
        match meter.gap() {
            Gap::BudgetSpent { steps, steps_max, memory_bytes, .. } => (steps > steps_max, memory_bytes),
            gap => panic!("{gap:?}"),
        }
    }

    #[test]
    fn a_gap_tells_what_was_refused() {
        let mut meter = meter();
        meter.take_bytes(600).expect("there is room");
        assert_eq!(meter.take_bytes(500), Err(Spent));
        assert_eq!((meter.bytes, told(&meter)), (600, (false, 1100)));
        meter.give_back(600);
        assert_eq!((meter.bytes, told(&meter)), (0, (false, 1100)));
        // Another way was found, and that took too many steps.
        assert_eq!(meter.step(101), Err(Spent));
        assert_eq!(told(&meter), (true, 0));
    }

    #[test]
    fn what_is_held_in_any_case_is_given_back_in_whole() {
        let mut meter = meter();
        meter.take_bytes(600).expect("there is room");
        assert!(!meter.hold_bytes(500));
        assert_eq!(told(&meter), (false, 1100));
        meter.give_back(500);
        assert_eq!(meter.bytes, 600);
        assert!(meter.hold_bytes(400));
    }

    #[test]
    fn halves_that_end_for_bytes_are_not_told_to_have_ended_for_steps() {
        let mut meter = meter();
        let (mut one, mut other) = (meter.half(), meter.half());
        assert_eq!(one.take_bytes(600), Err(Spent));
        assert!(one.step(60).is_ok() && other.step(60).is_ok());
        meter.join(&[one, other]);
        assert_eq!((meter.steps, told(&meter).1), (120, 1001));
        let mut other = meter.half();
        assert_eq!(other.step(1), Err(Spent));
        meter.join(&[other]);
        assert_eq!(told(&meter), (true, 0));
    }
}
