//! What a search of transactions may still cost.

use crate::checker::Budget;

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
}

/// The budget ended first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent;

impl Meter {
    /// A full one.
    pub fn new(budget: &Budget) -> Meter {
        Meter { steps: 0, steps_max: budget.steps_max, bytes: 0, bytes_max: budget.memory_bytes_max }
    }

    /// Counts steps.
    ///
    /// # Errors
    /// When there are none left.
    pub fn step(&mut self, count: u64) -> Result<(), Spent> {
        self.steps = self.steps.saturating_add(count);
        if self.steps > self.steps_max { Err(Spent) } else { Ok(()) }
    }

    /// Counts bytes that are held from now on; [`Meter::give_back`] when they are not.
    ///
    /// # Errors
    /// When they are too many; they are not counted then.
    pub fn take_bytes(&mut self, bytes: u64) -> Result<(), Spent> {
        if self.bytes.saturating_add(bytes) > self.bytes_max {
            return Err(Spent);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Bytes that are no longer held.
    pub fn give_back(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}
