//! Where cycles can be: stretches of the order of completion that edges back in it cover.
//!
//! Every cycle has an edge that goes back, and every strongly connected component lies within one merged stretch, since each
//! cut through a component is crossed by an edge back. So whatever no edge back covers is never looked at again. The order
//! of time never goes back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

use super::components::NONE;
use super::mutant::Mutant;
use crate::linear::mutant::Mutation;
use crate::txn::edge::Edge;
use crate::txn::txns::{TxnId, Txns};

/// The transactions that a cycle may have.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// In order of completion; those in doubt where the first completion that rests on them is.
    pub covered: Vec<TxnId>,
    /// By transaction: its place in `covered`, or [`NONE`].
    pub place: Vec<u32>,
}

impl Windows {
    /// One walk over the edges, and another one over those that leave a transaction in doubt.
    pub fn new(txns: &Txns<'_>, edges: &[Edge], mutation: Mutation<Mutant>) -> Windows {
        let ok_count = txns.ok_count();
        let stands = stands(txns, edges, mutation);
        let stand = |id: TxnId| if id < ok_count { id } else { stands[(id - ok_count) as usize] };
        // By stand: one more than the farthest stand from which an edge comes back to it.
        let far: Vec<AtomicU32> = (0..=ok_count).map(|_| AtomicU32::new(0)).collect();
        let is_any = edges
            .par_iter()
            .filter(|edge| is_sane(txns, edge))
            .map(|edge| {
                let (from, to) = (stand(edge.from), stand(edge.to));
                if to <= from {
                    far[to as usize].fetch_max(from + 1, Ordering::Relaxed);
                }
                to <= from
            })
            .reduce(|| false, |a, b| a | b);
        if !is_any {
            return Windows::default();
        }
        let mut doubtful: Vec<(u32, TxnId)> = stands.iter().copied().zip(ok_count..).collect();
        doubtful.sort_unstable();
        let mut doubtful = doubtful.into_iter().peekable();
        let mut windows = Windows { covered: Vec::new(), place: vec![NONE; txns.len()] };
        let mut reach = 0;
        for (stand, far) in (0..).zip(&far) {
            let far = far.load(Ordering::Relaxed);
            reach = if mutation.is(Mutant::WindowsNotMerged) && far > 0 { far } else { reach.max(far) };
            while let Some((_, id)) = doubtful.next_if(|&(at, _)| at == stand) {
                if stand < reach {
                    windows.add(id);
                }
            }
            if stand < reach && stand < ok_count {
                windows.add(stand);
            }
        }
        windows
    }

    fn add(&mut self, id: TxnId) {
        self.place[id as usize] = self.covered.len() as u32;
        self.covered.push(id);
    }
}

/// Whether an edge can be used: anything else is nothing that an engine gives.
pub(super) fn is_sane(txns: &Txns<'_>, edge: &Edge) -> bool {
    let count = txns.len();
    edge.from != edge.to && (edge.from as usize) < count && (edge.to as usize) < count
}

/// By transaction in doubt: the number of the `ok` transaction just before which it stands. That is the first one that
/// rests on it, if need be through others in doubt, but none that had ended before it began, so that time does not go back.
///
/// They have the highest numbers, so by these every edge out of them would go back over everything.
fn stands(txns: &Txns<'_>, edges: &[Edge], mutation: Mutation<Mutant>) -> Vec<u32> {
    let ok_count = txns.ok_count();
    let doubts_count = txns.len() - ok_count as usize;
    let floors: Vec<u32> = (ok_count..).take(doubts_count).map(|id| oks_before(txns, id)).collect();
    let mut stands = vec![ok_count; doubts_count];
    if mutation.is(Mutant::DoubtAtTheEnd) {
        return stands;
    }
    let leaving = edges.par_iter().filter(|edge| edge.from >= ok_count && is_sane(txns, edge));
    let mut between: Vec<(u32, u32)> = leaving.map(|edge| (edge.to, edge.from - ok_count)).collect();
    between.par_sort_unstable();
    for &(to, from) in between.iter().take_while(|&&(to, _)| to < ok_count) {
        let stand = &mut stands[from as usize];
        *stand = (*stand).min(to.max(floors[from as usize]));
    }
    // The earliest stand is final, and may pull forward what it rests on.
    let mut heap: BinaryHeap<Reverse<(u32, u32)>> =
        stands.iter().copied().zip(0..).filter(|&(stand, _)| stand < ok_count).map(Reverse).collect();
    while let Some(Reverse((stand, doubt))) = heap.pop() {
        if stands[doubt as usize] != stand {
            continue;
        }
        let id = doubt + ok_count;
        let first = between.partition_point(|&(to, _)| to < id);
        for &(_, from) in between[first..].iter().take_while(|&&(to, _)| to == id) {
            let pulled = stand.max(floors[from as usize]);
            if pulled < stands[from as usize] {
                stands[from as usize] = pulled;
                heap.push(Reverse((pulled, from)));
            }
        }
    }
    stands
}

/// How many `ok` transactions had ended before this one began.
fn oks_before(txns: &Txns<'_>, id: TxnId) -> u32 {
    let invoked = txns.invoked(id);
    let (mut low, mut high) = (0, txns.ok_count());
    while low < high {
        let middle = low + (high - low) / 2;
        if txns.ended(middle) < invoked { low = middle + 1 } else { high = middle }
    }
    low
}
