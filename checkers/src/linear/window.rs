//! What is open at one moment: the operations a completion may be preceded by. Fixed while one completion is worked on.

use super::model::Model;
use super::mutant::{Mutant, Mutation};
use super::problem::{ANY, Class, Problem, Steps};

/// No column.
const NONE: u32 = u32::MAX;

/// An operation without doubt that is open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opened {
    /// Its class.
    pub class: u32,
    /// Its completion.
    pub end: u32,
    /// Its bit in the window.
    pub slot: u32,
}

/// A class of operations in doubt of which some were invoked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// The class.
    pub class: u32,
    /// How many were invoked so far.
    pub available: u32,
}

/// What is open.
#[derive(Debug)]
pub(crate) struct Window {
    /// Words of a row that hold state and window.
    pub head: usize,
    /// Open operations that only observe.
    pub readers: Vec<Opened>,
    /// Open operations that change the state, by class, then the earliest deadline first.
    pub movers: Vec<Opened>,
    /// Classes in doubt, in order of their first invocation; row word `head + place` counts the used ones.
    pub columns: Vec<Column>,
    column_of: Vec<u32>,
    taken: Vec<bool>,
    mutation: Mutation,
}

/// Whether an operation was placed.
#[inline]
pub(crate) fn has(row: &[u32], slot: u32) -> bool {
    row[1 + (slot / 32) as usize] & (1 << (slot % 32)) != 0
}

/// Marks an operation as placed.
#[inline]
pub(crate) fn set(row: &mut [u32], slot: u32) {
    row[1 + (slot / 32) as usize] |= 1 << (slot % 32);
}

/// Frees the bit of an operation that has ended.
#[inline]
pub(crate) fn clear(row: &mut [u32], slot: u32) {
    row[1 + (slot / 32) as usize] &= !(1 << (slot % 32));
}

impl Window {
    /// Nothing is open. The window gets as many words as it will ever need.
    pub fn new<M: Model>(problem: &Problem<'_, M>, mutation: Mutation) -> Window {
        Window {
            head: 1 + problem.open_max.div_ceil(32),
            readers: Vec::new(),
            movers: Vec::new(),
            columns: Vec::new(),
            column_of: vec![NONE; problem.classes.len()],
            taken: Vec::new(),
            mutation,
        }
    }

    /// Words of a row.
    pub fn width(&self) -> usize {
        self.head + self.columns.len()
    }

    /// An operation without doubt begins. Its bit.
    pub fn open(&mut self, class: u32, end: u32, observes_only: bool) -> u32 {
        let free = self.taken.iter().position(|taken| !taken).unwrap_or(self.taken.len());
        if free == self.taken.len() {
            self.taken.push(false);
        }
        self.taken[free] = true;
        let slot = if self.mutation.is(Mutant::WindowOverflow) { free as u32 % 2 } else { free as u32 };
        let opened = Opened { class, end, slot };
        if observes_only {
            self.readers.push(opened);
        } else {
            let key = |other: &Opened| match self.mutation.is(Mutant::LatestDeadlineFirst) {
                true => (other.class, u32::MAX - other.end),
                false => (other.class, other.end),
            };
            let place = self.movers.partition_point(|other| key(other) < key(&opened));
            self.movers.insert(place, opened);
        }
        slot
    }

    /// An operation without doubt has ended; its bit is free again.
    pub fn close(&mut self, slot: u32, end: u32) {
        self.taken[slot as usize] = false;
        self.readers.retain(|opened| (opened.end, opened.slot) != (end, slot));
        self.movers.retain(|opened| (opened.end, opened.slot) != (end, slot));
    }

    /// An operation in doubt begins. Whether rows need a further column for it.
    pub fn doubt(&mut self, class: u32) -> bool {
        let more = 1 + u32::from(self.mutation.is(Mutant::ClassCountOffByOne));
        let column = self.column_of[class as usize];
        if column == NONE {
            self.column_of[class as usize] = self.columns.len() as u32;
            self.columns.push(Column { class, available: more });
            return true;
        }
        self.columns[column as usize].available += more;
        false
    }

    /// How many operations in doubt of a class were used.
    pub fn used(&self, row: &[u32], class: u32) -> u32 {
        match self.column_of[class as usize] {
            NONE => 0,
            column => row[self.head + column as usize],
        }
    }

    /// Whether an operation in doubt of a class has begun and was not used yet.
    pub fn is_available(&self, row: &[u32], class: u32) -> bool {
        match self.column_of[class as usize] {
            NONE => false,
            column => row[self.head + column as usize] < self.columns[column as usize].available,
        }
    }

    /// Places every open operation that only observes and is legal now. Exact: wherever else such an operation may
    /// stand, it may stand here, since it changes nothing.
    pub fn place_readers<M: Model>(&self, row: &mut [u32], classes: &[Class], steps: &mut Steps<'_, M>) {
        for reader in &self.readers {
            let class = classes[reader.class as usize];
            if !has(row, reader.slot)
                && (steps.step(row[0], reader.class, class).is_some() || self.mutation.is(Mutant::ReadsAnything))
            {
                set(row, reader.slot);
            }
        }
        if self.mutation.is(Mutant::WritesGreedy) {
            for mover in &self.movers {
                if classes[mover.class as usize].leaves == row[0] && classes[mover.class as usize].needs == ANY {
                    set(row, mover.slot);
                }
            }
        }
    }
}
