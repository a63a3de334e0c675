//! The order of time, of everything or within each session, without an edge for each pair.

use super::components::NONE;
use crate::txn::txns::{OPEN, TxnId, Txns};

/// Who came after whom among some transactions ("vertices" are their places in a slice).
///
/// The later ones of a vertex are a suffix of its group's list, which is sorted by invocation: so a chain over the list
/// reaches exactly them, with two edges a vertex.
#[derive(Debug)]
pub(super) struct TimeOrder {
    /// Vertices by group, then by invocation.
    pub list: Vec<u32>,
    /// By vertex: where in `list` the later ones begin, [`NONE`] if there are none.
    pub after: Vec<u32>,
    /// By vertex, the dense number of its group.
    pub group: Vec<u32>,
    /// How many groups.
    pub groups_count: u32,
    /// Whether anything comes after anything.
    pub is_any: bool,
}

impl TimeOrder {
    /// Of these transactions, the `ok` ones among them in order of completion; by sessions, or of all together. One in doubt
    /// is never before another. O(n), by sessions O(n log n).
    pub fn new(txns: &Txns<'_>, ids: &[TxnId], by_session: bool) -> TimeOrder {
        let mut list = by_invocation(txns, ids);
        if by_session {
            list.sort_by_key(|&vertex| txns.session(ids[vertex as usize]));
        }
        let mut order = TimeOrder {
            after: vec![NONE; ids.len()],
            group: vec![0; ids.len()],
            groups_count: 0,
            is_any: false,
            list: Vec::new(),
        };
        let mut start = 0;
        while start < list.len() {
            let session = txns.session(ids[list[start] as usize]);
            let is_other = |&vertex: &u32| by_session && txns.session(ids[vertex as usize]) != session;
            let end = list[start..].iter().position(is_other).map_or(list.len(), |length| start + length);
            order.add_group(txns, ids, &list[start..end], start as u32);
            start = end;
        }
        order.list = list;
        order
    }

    fn add_group(&mut self, txns: &Txns<'_>, ids: &[TxnId], list: &[u32], start: u32) {
        let ends = list.iter().copied().filter(|&vertex| txns.is_ok(ids[vertex as usize]));
        let mut by_end: Vec<u32> = ends.collect();
        // Completions of a group nearly follow its invocations.
        by_end.sort_by_key(|&vertex| txns.ended(ids[vertex as usize]));
        let mut place = 0;
        for &vertex in list {
            self.group[vertex as usize] = self.groups_count;
        }
        for vertex in by_end {
            let ended = txns.ended(ids[vertex as usize]);
            while place < list.len() && txns.invoked(ids[list[place] as usize]) <= ended {
                place += 1;
            }
            if place < list.len() {
                self.after[vertex as usize] = start + place as u32;
                self.is_any = true;
            }
        }
        self.groups_count += 1;
    }

    /// Where the list of the group at this place goes on, if it does.
    pub fn next_place(&self, place: u32) -> Option<u32> {
        let next = *self.list.get(place as usize + 1)?;
        let this = self.list[place as usize];
        (self.group[next as usize] == self.group[this as usize]).then_some(place + 1)
    }
}

/// The vertices by invocation: by counting where the events lie close together, else by sorting.
fn by_invocation(txns: &Txns<'_>, ids: &[TxnId]) -> Vec<u32> {
    let invoked = |vertex: u32| txns.invoked(ids[vertex as usize]);
    let all = 0..ids.len() as u32;
    let (low, high) = all.clone().fold((OPEN, 0), |(low, high), vertex| {
        let event = invoked(vertex);
        (low.min(event), high.max(event))
    });
    if low > high || u64::from(high - low) > 8 * ids.len() as u64 {
        let mut list: Vec<u32> = all.collect();
        list.sort_unstable_by_key(|&vertex| invoked(vertex));
        return list;
    }
    let mut events = vec![NONE; (high - low) as usize + 1];
    for vertex in all {
        events[(invoked(vertex) - low) as usize] = vertex;
    }
    // Each event begins one transaction at most.
    events.retain(|&vertex| vertex != NONE);
    events
}
