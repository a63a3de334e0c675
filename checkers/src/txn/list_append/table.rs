//! Who appended an element to a key: a dense table where elements lie close together, else a hash.

use rustc_hash::FxHashMap;

use super::columns::{Append, NONE};

/// Elements may lie so many times as far apart as there are, and this far in any case.
const SPREAD_MAX: usize = 16;
const SPREAD_FREE: usize = 1024;

/// Of one key; used again for the next.
#[derive(Debug, Default)]
pub(super) struct Table {
    low: u32,
    slots: Vec<u32>,
    sparse: FxHashMap<u32, u32>,
    /// By append and, after these, by element that nobody appended: whether several transactions appended the
    /// element, of which none failed, or one did twice. Empty where that never happened.
    ambiguous: Vec<bool>,
    /// The first two appends of one element of which that is so.
    pub clash: Option<(u32, u32)>,
    appends_count: u32,
    garbage_count: u32,
}

impl Table {
    /// Takes the appends of a key, of which those of failed transactions (owners from `failed_from` on) are the last:
    /// they stand back where somebody else appended the same.
    pub fn fill(&mut self, appends: &[Append], failed_from: u32) {
        self.ambiguous.clear();
        self.sparse.clear();
        self.clash = None;
        (self.appends_count, self.garbage_count) = (appends.len() as u32, 0);
        let mut low = NONE;
        let mut high = 0;
        for append in appends {
            low = low.min(append.element);
            high = high.max(append.element);
        }
        let spread = if appends.is_empty() { 0 } else { (high - low) as usize + 1 };
        self.low = low;
        self.slots.clear();
        if spread <= appends.len() * SPREAD_MAX + SPREAD_FREE {
            self.slots.resize(spread, NONE);
        }
        for (place, append) in appends.iter().enumerate() {
            let slot = self.slot(append.element);
            if *slot == NONE {
                *slot = place as u32;
            } else if append.owner < failed_from {
                let first = *slot;
                self.ambiguous.resize(appends.len(), false);
                self.ambiguous[first as usize] = true;
                self.ambiguous[place] = true;
                self.clash = self.clash.or(Some((first, place as u32)));
            }
        }
    }

    fn slot(&mut self, element: u32) -> &mut u32 {
        let at = element.wrapping_sub(self.low) as usize;
        if at < self.slots.len() { &mut self.slots[at] } else { self.sparse.entry(element).or_insert(NONE) }
    }

    /// The place of an element's append, or of one that nobody appended after all appends; [`NONE`] if it is not
    /// here.
    #[inline]
    pub fn get(&self, element: u32) -> u32 {
        match self.slots.get(element.wrapping_sub(self.low) as usize) {
            Some(&place) => place,
            None => self.sparse.get(&element).copied().unwrap_or(NONE),
        }
    }

    /// Adds an element that nobody appended.
    pub fn add_garbage(&mut self, element: u32) -> u32 {
        let place = self.appends_count + self.garbage_count;
        self.garbage_count += 1;
        *self.slot(element) = place;
        place
    }

    /// Whether it cannot be said who appended that element.
    #[inline]
    pub fn is_ambiguous(&self, place: u32) -> bool {
        self.ambiguous.get(place as usize).copied().unwrap_or_default()
    }
}
