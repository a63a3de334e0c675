//! A total order that is changed in place: labels that are compared, and room made where they are too near to each other
//! (Dietz and Sleator, "Two Algorithms for Maintaining Order in a List", 1987).

/// A list of all nodes, each of which has a label that grows along it.
pub(super) struct Sequence {
    label: Vec<u64>,
    /// The node at `len` is both before the first and after the last.
    previous: Vec<u32>,
    next: Vec<u32>,
}

impl Sequence {
    /// In this order; it names each node below its length once.
    pub fn new(order: &[u32]) -> Sequence {
        let len = order.len();
        let end = len as u32;
        let mut made = Sequence { label: vec![0; len + 1], previous: vec![end; len + 1], next: vec![end; len + 1] };
        let mut before = end;
        for &node in order {
            made.next[before as usize] = node;
            made.previous[node as usize] = before;
            before = node;
        }
        made.next[before as usize] = end;
        made.previous[end as usize] = before;
        made.spread(end, end, len as u64);
        made
    }

    /// Grows along the order.
    #[inline]
    pub fn label(&self, node: u32) -> u64 {
        self.label[node as usize]
    }

    /// Whether the one comes before the other.
    #[inline]
    pub fn is_before(&self, a: u32, b: u32) -> bool {
        self.label[a as usize] < self.label[b as usize]
    }

    /// The node before; `None` for the first.
    pub fn previous(&self, node: u32) -> Option<u32> {
        let found = self.previous[node as usize];
        (found != self.end()).then_some(found)
    }

    /// All nodes in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let end = self.end();
        let some = move |node: u32| (node != end).then_some(node);
        std::iter::successors(some(self.next[end as usize]), move |&node| some(self.next[node as usize]))
    }

    /// Moves nodes, given in their order, to just after another one that is not among them; `None`: to the front.
    pub fn move_after(&mut self, nodes: &[u32], anchor: Option<u32>) {
        let end = self.end();
        for &node in nodes {
            let (previous, next) = (self.previous[node as usize], self.next[node as usize]);
            self.next[previous as usize] = next;
            self.previous[next as usize] = previous;
        }
        let anchor = anchor.unwrap_or(end);
        let after = self.next[anchor as usize];
        let mut before = anchor;
        for &node in nodes {
            self.next[before as usize] = node;
            self.previous[node as usize] = before;
            before = node;
        }
        self.next[before as usize] = after;
        self.previous[after as usize] = before;
        self.make_room(anchor, after, nodes.len() as u64);
    }

    fn end(&self) -> u32 {
        self.next.len() as u32 - 1
    }

    fn label_from(&self, anchor: u32) -> u64 {
        if anchor == self.end() { 0 } else { self.label[anchor as usize] }
    }

    fn label_to(&self, after: u32) -> u64 {
        if after == self.end() { u64::MAX } else { self.label[after as usize] }
    }

    /// Labels `count` nodes after `anchor` anew, and as many of those that follow as need to give way.
    fn make_room(&mut self, anchor: u32, mut after: u32, mut count: u64) {
        let from = self.label_from(anchor);
        let mut pushed: u64 = 0;
        // The further it has to go, the more room it leaves behind: so it goes far seldom.
        while self.label_to(after) - from <= (pushed + 1).saturating_mul(pushed + 1).saturating_add(count) {
            if after == self.end() {
                self.spread(self.end(), self.end(), self.end() as u64);
                return;
            }
            after = self.next[after as usize];
            pushed += 1;
            count += 1;
        }
        self.spread(anchor, after, count);
    }

    /// Labels the `count` nodes between two evenly.
    fn spread(&mut self, anchor: u32, after: u32, count: u64) {
        let from = self.label_from(anchor);
        let step = ((self.label_to(after) - from) / (count + 1)).max(1);
        let mut node = self.next[anchor as usize];
        let mut label = from;
        for _ in 0..count {
            label += step;
            self.label[node as usize] = label;
            node = self.next[node as usize];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_grow_along_the_order_whatever_is_moved() {
        let mut sequence = Sequence::new(&(0..50).collect::<Vec<u32>>());
        let mut twin: Vec<u32> = (0..50).collect();
        let mut state: u64 = 9;
        for _ in 0..5000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (a, b) = ((state >> 33) as usize % 50, (state >> 45) as usize % 3 + 1);
            let moved: Vec<u32> = twin.iter().copied().skip(a).take(b).collect();
            twin.retain(|node| !moved.contains(node));
            // Always the same gap: labels run out of room there again and again.
            let place = twin.iter().position(|&node| node == 7).map_or(0, |place| place + 1);
            let anchor = (place > 0).then(|| twin[place - 1]);
            twin.splice(place..place, moved.iter().copied());
            sequence.move_after(&moved, anchor);
            assert_eq!(sequence.iter().collect::<Vec<_>>(), twin);
            assert!(twin.windows(2).all(|pair| sequence.is_before(pair[0], pair[1])));
        }
        assert_eq!(sequence.previous(twin[0]), None);
        assert_eq!(sequence.previous(twin[1]), Some(twin[0]));
    }
}
