//! A set of configurations of which only the least are kept.
//!
//! A configuration is a row of 32-bit words: the state, the window (a bit for each open operation that was placed), and
//! how many operations in doubt of each class were used. Rows with the same state and window form a group. An operation
//! in doubt is never obliged to happen, so of two rows in a group the one that used no more of any class can do all that
//! the other can: only minimal rows (an antichain) are kept. [`super::cells`] has rows and an order of its own.

use std::hash::Hasher;

use rustc_hash::FxHasher;

const NONE: u32 = u32::MAX;
const TABLE_MIN: usize = 16;

/// The set. Rows keep their numbers; a row that was beaten by a lesser one is dead.
#[derive(Debug, Default)]
pub(crate) struct Frontier {
    /// Words a row.
    width: usize,
    /// Words of state and window.
    head: usize,
    rows: Vec<u32>,
    live: Vec<bool>,
    /// The next row of the same group.
    next: Vec<u32>,
    /// Open addressing: first row of a group.
    table: Vec<u32>,
    groups: usize,
}

impl Frontier {
    /// Empties the set and fixes the shape of its rows.
    pub fn reset(&mut self, width: usize, head: usize) {
        self.width = width;
        self.head = head;
        self.rows.clear();
        self.live.clear();
        self.next.clear();
        self.groups = 0;
        if self.table.len() > TABLE_MIN {
            self.table = Vec::new();
        }
        self.table.clear();
        self.table.resize(TABLE_MIN, NONE);
    }

    /// Rows ever taken in, dead ones included.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether a row is still kept.
    pub fn is_live(&self, row: usize) -> bool {
        self.live[row]
    }

    /// A row.
    pub fn row(&self, row: usize) -> &[u32] {
        &self.rows[row * self.width..][..self.width]
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        (self.rows.capacity() * 4 + self.live.capacity() + self.next.capacity() * 4 + self.table.capacity() * 4) as u64
    }

    /// Takes a row in unless one that is kept can do all that it can. `beats` says so of two rows' parts behind the head.
    /// Adds one to `steps` for each row it is compared with. Whether it was taken in.
    pub fn insert(&mut self, row: &[u32], steps: &mut u64, beats: impl Fn(&[u32], &[u32]) -> bool) -> bool {
        if (self.groups + 1) * 2 > self.table.len() {
            self.grow();
        }
        let place = self.find(&row[..self.head]);
        let (mut at, mut before) = (self.table[place], NONE);
        let new_group = at == NONE;
        while at != NONE {
            *steps += 1;
            let kept = &self.row(at as usize)[self.head..];
            let after = self.next[at as usize];
            if beats(kept, &row[self.head..]) {
                return false;
            }
            if beats(&row[self.head..], kept) {
                self.live[at as usize] = false;
                match before {
                    NONE => self.table[place] = after,
                    before => self.next[before as usize] = after,
                }
            } else {
                before = at;
            }
            at = after;
        }
        self.groups += usize::from(new_group);
        let number = self.live.len() as u32;
        self.rows.extend_from_slice(row);
        self.live.push(true);
        self.next.push(self.table[place]);
        self.table[place] = number;
        true
    }

    /// Takes away the rows that another one, which is not taken in, can do all of.
    pub fn remove_beaten(&mut self, row: &[u32], steps: &mut u64, beats: impl Fn(&[u32], &[u32]) -> bool) {
        let place = self.find(&row[..self.head]);
        let (mut at, mut before) = (self.table[place], NONE);
        let first = at;
        while at != NONE {
            *steps += 1;
            let after = self.next[at as usize];
            let is_beaten = beats(&row[self.head..], &self.row(at as usize)[self.head..]);
            if is_beaten {
                self.live[at as usize] = false;
            }
            // The group keeps its first row, dead or not, as the place is found by it.
            if is_beaten && at != first {
                self.next[before as usize] = after;
            } else {
                before = at;
            }
            at = after;
        }
    }

    /// Place of the group with this head, or the empty place where it would stand.
    fn find(&self, head: &[u32]) -> usize {
        let mask = self.table.len() - 1;
        let mut place = hash(head) as usize & mask;
        loop {
            match self.table[place] {
                NONE => return place,
                row if &self.row(row as usize)[..self.head] == head => return place,
                _ => place = (place + 1) & mask,
            }
        }
    }

    fn grow(&mut self) {
        let size = self.table.len() * 2;
        let old = std::mem::replace(&mut self.table, vec![NONE; size]);
        for row in old.into_iter().filter(|&row| row != NONE) {
            let place = self.find(&self.row(row as usize)[..self.head]);
            self.table[place] = row;
        }
    }
}

/// Whether the first used no more of any class than the second.
#[inline]
pub(crate) fn uses_no_more(first: &[u32], second: &[u32]) -> bool {
    first.iter().zip(second).all(|(a, b)| a <= b)
}

fn hash(head: &[u32]) -> u64 {
    let mut hasher = FxHasher::default();
    for &word in head {
        hasher.write_u32(word);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_least_of_each_group() {
        let mut set = Frontier::default();
        set.reset(4, 2);
        let mut steps = 0;
        assert!(set.insert(&[7, 1, 1, 0], &mut steps, uses_no_more));
        assert!(!set.insert(&[7, 1, 1, 0], &mut steps, uses_no_more), "the same row twice");
        assert!(!set.insert(&[7, 1, 2, 0], &mut steps, uses_no_more), "uses more of the first class");
        assert!(set.insert(&[7, 1, 0, 2], &mut steps, uses_no_more), "incomparable");
        assert!(set.insert(&[7, 2, 2, 2], &mut steps, uses_no_more), "another window");
        assert!(set.insert(&[7, 1, 0, 0], &mut steps, uses_no_more), "beats both of its group");
        let live: Vec<usize> = (0..set.len()).filter(|&row| set.is_live(row)).collect();
        assert_eq!(live, [2, 3]);
        assert!(!set.insert(&[7, 1, 0, 1], &mut steps, uses_no_more), "the beaten rows are gone, the least one stands");
        assert!(steps >= 5);
    }

    #[test]
    fn grows_without_losing_a_group() {
        let mut set = Frontier::default();
        set.reset(2, 2);
        let mut steps = 0;
        for round in 0..2 {
            for number in 0..5000u32 {
                assert_eq!(set.insert(&[number, number % 7], &mut steps, uses_no_more), round == 0);
            }
        }
        assert_eq!(set.len(), 5000);
    }
}
