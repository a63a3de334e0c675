//! Trees over places in time, in flat arrays.

use crate::linear::split::OPEN;

/// The least number at any of the places before one (Fenwick 1994). All operations O(log n).
#[derive(Debug)]
pub(crate) struct LeastBelow {
    tree: Vec<u32>,
}

impl LeastBelow {
    /// Nothing stands anywhere.
    pub fn new(places: usize) -> LeastBelow {
        LeastBelow { tree: vec![OPEN; places + 1] }
    }

    /// A number at a place.
    pub fn add(&mut self, place: usize, number: u32) {
        let mut at = place + 1;
        while at < self.tree.len() {
            self.tree[at] = self.tree[at].min(number);
            at += at & at.wrapping_neg();
        }
    }

    /// The least number at places before this one; [`OPEN`] if there is none.
    pub fn below(&self, place: usize) -> u32 {
        let (mut at, mut least) = (place, OPEN);
        while at > 0 {
            least = least.min(self.tree[at]);
            at &= at - 1;
        }
        least
    }
}

/// How many stretches cover each cell; finds cells that none covers, each once.
#[derive(Debug)]
pub(crate) struct Cells {
    /// Leaves; a power of two.
    size: usize,
    /// The least count below a node, without what was added above it.
    least: Vec<i32>,
    /// What was added to all below a node.
    added: Vec<i32>,
}

/// More than anything covers a cell.
const FOUND: i32 = i32::MAX / 2;

impl Cells {
    /// Cells with their counts. O(n).
    pub fn new(counts: &[i32]) -> Cells {
        let size = counts.len().next_power_of_two();
        let mut least = vec![FOUND; 2 * size];
        least[size..size + counts.len()].copy_from_slice(counts);
        for node in (1..size).rev() {
            least[node] = least[2 * node].min(least[2 * node + 1]);
        }
        Cells { size, least, added: vec![0; 2 * size] }
    }

    /// One stretch less covers the cells `from..to`. O(log n).
    pub fn uncover(&mut self, from: usize, to: usize) {
        let (mut left, mut right) = (from + self.size, to + self.size);
        let (first, last) = (left, right - 1);
        while left < right {
            if left & 1 == 1 {
                self.add(left, -1);
                left += 1;
            }
            if right & 1 == 1 {
                right -= 1;
                self.add(right, -1);
            }
            left /= 2;
            right /= 2;
        }
        self.pull(first);
        self.pull(last);
    }

    fn add(&mut self, node: usize, by: i32) {
        self.least[node] += by;
        self.added[node] += by;
    }

    /// Brings all nodes above one up to date.
    fn pull(&mut self, mut node: usize) {
        while node > 1 {
            node /= 2;
            self.least[node] = self.least[2 * node].min(self.least[2 * node + 1]) + self.added[node];
        }
    }

    /// A cell that nothing covers and that was not found before. O(log n).
    pub fn find(&mut self) -> Option<usize> {
        if self.least[1] > 0 {
            return None;
        }
        let (mut node, mut wanted) = (1, self.least[1]);
        while node < self.size {
            wanted -= self.added[node];
            node = if self.least[2 * node] == wanted { 2 * node } else { 2 * node + 1 };
        }
        self.least[node] = FOUND;
        self.pull(node);
        Some(node - self.size)
    }
}

/// Stretches of cells; finds those that hold a cell, each once.
#[derive(Debug)]
pub(crate) struct Stretches {
    size: usize,
    /// The greatest last cell (and one) below a node; 0: none.
    greatest: Vec<u32>,
    /// How many begin at this cell or before.
    begun: Vec<u32>,
    /// What each stretch stands for.
    owners: Vec<u32>,
}

impl Stretches {
    /// Stretches `(first cell, last cell, owner)` over so many cells. O(n).
    pub fn new(all: &[(u32, u32, u32)], cells: usize) -> Stretches {
        let mut begun = vec![0u32; cells + 1];
        for &(first, ..) in all {
            begun[first as usize + 1] += 1;
        }
        for cell in 0..cells {
            begun[cell + 1] += begun[cell];
        }
        let mut next = begun.clone();
        let size = all.len().next_power_of_two();
        let (mut greatest, mut owners) = (vec![0; 2 * size], vec![0; all.len()]);
        for &(first, last, owner) in all {
            let place = next[first as usize] as usize;
            next[first as usize] += 1;
            (greatest[size + place], owners[place]) = (last + 1, owner);
        }
        for node in (1..size).rev() {
            greatest[node] = greatest[2 * node].max(greatest[2 * node + 1]);
        }
        begun.remove(0);
        Stretches { size, greatest, begun, owners }
    }

    /// The owner of a stretch that holds a cell and was not found before. O(log n).
    pub fn find(&mut self, cell: usize) -> Option<u32> {
        let bound = self.begun[cell] as usize;
        let reach = cell as u32 + 1;
        // The nodes whose leaves together are the first `bound` ones.
        let (mut right, mut level, mut found) = (bound, self.size, None);
        while right > 0 && found.is_none() {
            if right & 1 == 1 {
                right -= 1;
                found = Some(level + right).filter(|&node| self.greatest[node] >= reach);
            }
            (right, level) = (right / 2, level / 2);
        }
        let mut node = found?;
        while node < self.size {
            node = if self.greatest[2 * node] >= reach { 2 * node } else { 2 * node + 1 };
        }
        let place = node - self.size;
        self.greatest[node] = 0;
        while node > 1 {
            node /= 2;
            self.greatest[node] = self.greatest[2 * node].max(self.greatest[2 * node + 1]);
        }
        Some(self.owners[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % bound
        }
    }

    #[test]
    fn the_least_below_is_that_of_a_plain_array() {
        let mut random = Random(3);
        for places in 1..20 {
            let (mut tree, mut plain) = (LeastBelow::new(places), vec![OPEN; places]);
            for _ in 0..40 {
                let (place, number) = (random.below(places), random.below(100) as u32);
                tree.add(place, number);
                plain[place] = plain[place].min(number);
                let bound = random.below(places + 1);
                assert_eq!(tree.below(bound), plain[..bound].iter().copied().min().unwrap_or(OPEN));
            }
        }
    }

    #[test]
    fn uncovered_cells_are_found_once() {
        let mut random = Random(5);
        for cells in 1..40 {
            let mut covers: Vec<(usize, usize)> = (0..cells)
                .map(|_| {
                    let from = random.below(cells);
                    (from, from + 1 + random.below(cells - from))
                })
                .collect();
            let count = |covers: &[(usize, usize)], cell| {
                covers.iter().filter(|&&(from, to)| from <= cell && cell < to).count() as i32
            };
            let mut tree = Cells::new(&(0..cells).map(|cell| count(&covers, cell)).collect::<Vec<_>>());
            let mut found = vec![false; cells];
            loop {
                while let Some(cell) = tree.find() {
                    assert!(count(&covers, cell) == 0 && !std::mem::replace(&mut found[cell], true));
                }
                assert!((0..cells).all(|cell| found[cell] || count(&covers, cell) > 0));
                if covers.is_empty() {
                    break;
                }
                let (from, to) = covers.swap_remove(random.below(covers.len()));
                tree.uncover(from, to);
            }
            assert!(found.into_iter().all(|found| found));
        }
    }

    #[test]
    fn stretches_are_found_where_they_are_once() {
        let mut random = Random(7);
        for cells in 1..40 {
            let all: Vec<(u32, u32, u32)> = (0..random.below(30) as u32)
                .map(|owner| {
                    let first = random.below(cells);
                    (first as u32, (first + random.below(cells - first)) as u32, owner)
                })
                .collect();
            let mut tree = Stretches::new(&all, cells);
            let mut left = all.clone();
            for _ in 0..cells * 2 {
                let cell = random.below(cells);
                let mut found: Vec<u32> = std::iter::from_fn(|| tree.find(cell)).collect();
                let holds = |&(first, last, _): &(u32, u32, u32)| first as usize <= cell && cell <= last as usize;
                let mut expected: Vec<u32> = left.iter().copied().filter(holds).map(|(_, _, owner)| owner).collect();
                left.retain(|stretch| !holds(stretch));
                found.sort_unstable();
                expected.sort_unstable();
                assert_eq!(found, expected);
            }
        }
    }
}
