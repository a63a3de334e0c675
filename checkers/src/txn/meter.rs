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
}

/// The budget ended first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent;

impl Meter {
    /// A full one.
    pub fn new(budget: &Budget) -> Meter {
        Meter { steps: 0, steps_max: budget.steps_max, bytes: 0, bytes_max: budget.memory_bytes_max, refused_bytes: 0 }
    }

    /// One that never ends, for what is bound otherwise.
    pub fn endless() -> Meter {
        Meter::new(&Budget { steps_max: u64::MAX, memory_bytes_max: u64::MAX })
    }

    /// Bytes that are held, or that would have to be if some were refused.
    pub fn bytes_asked(&self) -> u64 {
        self.bytes.max(self.refused_bytes)
    }

    /// Notes that all bytes that are allowed were not enough for what is counted elsewhere.
    pub fn refuse_bytes(&mut self) {
        self.refused_bytes = self.refused_bytes.max(self.bytes_max);
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

    /// Bytes that are no longer held.
    pub fn give_back(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
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
                self.refused_bytes = half.refused_bytes.max(self.bytes_max);
            }
        }
    }
}
