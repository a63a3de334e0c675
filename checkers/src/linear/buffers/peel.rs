//! Stacks: items peeled off from the outside.
//!
//! If there is an order, the item that is pushed first onto the empty stack has a moment within its push, and one within its
//! pop, at which nothing else is inside. So some item has a gap between events within its push and one within its pop in
//! which no other is surely inside. And such an item can stand around all others: in an order of the others, what is inside in
//! either gap is not there surely; what has begun to be popped can be popped there, what has not ended to be pushed can be
//! pushed there, and those that change places stand on top of each other. So the item is taken away, and the question is the
//! same for the others. If all can be taken away there is an order; if some cannot, these alone have none.
//!
//! What was never popped is popped behind everything, in a last gap in which nothing is surely inside. What may be pushed and
//! popped at one moment stands in nobody's way, and is left out at once.
//!
//! Taking away uncovers gaps, never covers one, so each gap and each stretch of time is looked at once. Gaps between two
//! beginnings or ends of "surely inside" are covered alike and are one **cell**. Cost: O(n log n), flat arrays.

use super::Mutation;
use super::items::{Contradiction, Item};
use super::mutant::Mutant;
use super::trees::{Cells, LeastBelow, Stretches};
use crate::linear::split::OPEN;

/// Cells of time: between two events at which something begins or ends to be surely inside.
struct Grid {
    boundaries: Vec<u32>,
}

impl Grid {
    /// The cell of the gap behind an event.
    fn behind(&self, event: u32) -> usize {
        self.boundaries.partition_point(|&boundary| boundary <= event)
    }

    /// The last cell that begins before an event; of one that never happens, the last of all.
    fn before(&self, event: u32) -> usize {
        match event {
            OPEN => self.boundaries.len(),
            event => self.boundaries.partition_point(|&boundary| boundary < event),
        }
    }
}

/// Places of the items that cannot be taken away, in order. They have no order by themselves.
fn stuck(items: &[Item], mutation: Mutation) -> Vec<usize> {
    let live: Vec<usize> = (0..items.len()).filter(|&place| items[place].is_surely_inside()).collect();
    let mut boundaries: Vec<u32> =
        live.iter().flat_map(|&place| [items[place].put_end, items[place].got_begin]).collect();
    boundaries.sort_unstable();
    boundaries.dedup();
    let grid = Grid { boundaries };
    let count = grid.boundaries.len() + 1;
    let mut changes = vec![0i32; count + 1];
    let mut stretches: Vec<(u32, u32, u32)> = Vec::with_capacity(live.len() * 2);
    let mut covers: Vec<(u32, u32)> = Vec::with_capacity(live.len());
    for (number, &place) in live.iter().enumerate() {
        let item = &items[place];
        let (from, to) = (grid.behind(item.put_end), grid.behind(item.got_begin));
        covers.push((from as u32, to as u32));
        changes[from] += 1;
        changes[to] -= 1;
        let number = number as u32;
        stretches.push((grid.behind(item.put_begin) as u32, grid.before(item.put_end) as u32, 2 * number));
        stretches.push((to as u32, grid.before(item.got_end) as u32, 2 * number + 1));
    }
    let mut covered = 0;
    let counts: Vec<i32> = changes[..count]
        .iter()
        .map(|change| {
            covered += change;
            if mutation.is(Mutant::CountIgnored) { covered.min(1) } else { covered }
        })
        .collect();
    let mut cells = Cells::new(&counts);
    if mutation.is(Mutant::LastCellCovered) {
        stretches.retain(|&(first, ..)| (first as usize) < count - 1);
    }
    let mut stretches = Stretches::new(&stretches, count);
    // Whether push and pop of each have found their gap.
    let mut found = vec![[mutation.is(Mutant::GotAlone), mutation.is(Mutant::PutAlone)]; live.len()];
    while let Some(cell) = cells.find() {
        while let Some(owner) = stretches.find(cell) {
            let number = (owner / 2) as usize;
            let before = found[number];
            found[number][(owner % 2) as usize] = true;
            if found[number] == [true; 2] && before != [true; 2] && !mutation.is(Mutant::PeeledStay) {
                cells.uncover(covers[number].0 as usize, covers[number].1 as usize);
            }
        }
    }
    { (0..live.len()).filter(|&number| found[number] != [true; 2]) }.map(|number| live[number]).collect()
}

/// Items as they are known until an event: what has not ended by then may never.
fn until(items: &[Item], event: u32) -> Vec<Item> {
    let known = |time: u32| if time > event { OPEN } else { time };
    let begun = items.iter().filter(|item| item.put_begin <= event);
    begun
        .map(|item| Item {
            put_end: known(item.put_end),
            got_begin: known(item.got_begin),
            got_end: known(item.got_end),
            ..*item
        })
        .collect()
}

/// Items that stand in each other's way, and the completion at which that first shows.
///
/// What is stuck in the history until an event is stuck in all of it, so only that is looked at for the first event.
pub(crate) fn crossing(items: &[Item], mutation: Mutation) -> Option<Contradiction> {
    let pick = |from: &[Item], places: Vec<usize>| places.into_iter().map(|place| from[place]).collect::<Vec<Item>>();
    let mut rest = pick(items, stuck(items, mutation));
    if rest.is_empty() {
        return None;
    }
    let mut ends: Vec<u32> = rest.iter().map(|item| item.got_end).filter(|&end| end != OPEN).collect();
    ends.sort_unstable();
    // Most often it is two that cross: then all before them is free, and one look is enough.
    let crossed = first_pair(&rest);
    let bound =
        crossed.as_ref().map_or(ends.len().saturating_sub(1), |pair| ends.partition_point(|&end| end < pair.at));
    let mut probe = if crossed.is_some() { bound.saturating_sub(1) } else { bound / 2 };
    // Those before `good` are in nobody's way, those until `bad` are.
    let (mut good, mut bad) = (0, bound);
    while good < bad {
        let known = until(&rest, ends[probe]);
        let still = pick(&known, stuck(&known, mutation));
        if still.is_empty() {
            good = probe + 1;
        } else {
            // Only what is stuck here can be stuck earlier.
            let places: Vec<u32> = still.iter().map(|item| item.put).collect();
            rest.retain(|item| places.binary_search(&item.put).is_ok());
            bad = probe;
        }
        probe = usize::midpoint(good, bad);
    }
    let at = ends.get(bad).copied().unwrap_or_default();
    Some(crossed.filter(|pair| pair.at == at).unwrap_or_else(|| {
        let places = rest.iter().filter(|item| item.put_begin < at).flat_map(|item| [item.put, item.got]);
        Contradiction::new(at, "entangled", places)
    }))
}

/// Of the items (in order of their pushes) that were popped while one stood there that was pushed on top of it, the one that
/// was popped first. O(n log n).
fn first_pair(rest: &[Item]) -> Option<Contradiction> {
    let mut below: Vec<&Item> = rest.iter().filter(|item| item.is_sure_to_leave()).collect();
    below.sort_unstable_by_key(|item| item.got_begin);
    let mut by_end: Vec<usize> = (0..rest.len()).collect();
    by_end.sort_unstable_by_key(|&place| rest[place].put_end);
    let mut pushed = by_end.into_iter().peekable();
    // For the latest removal among those pushed late: places and times from the other side.
    let mut latest = LeastBelow::new(rest.len());
    let mut first: Option<&Item> = None;
    for item in below {
        while let Some(place) = pushed.next_if(|&place| rest[place].put_end < item.got_begin) {
            latest.add(rest.len() - 1 - place, OPEN - rest[place].got_begin);
        }
        let later = rest.len() - rest.partition_point(|other| other.put_begin <= item.put_end);
        if OPEN - latest.below(later) > item.got_end && first.is_none_or(|first| item.got_end < first.got_end) {
            first = Some(item);
        }
    }
    let below = first?;
    let is_above = |item: &&Item| {
        item.put_begin > below.put_end && item.put_end < below.got_begin && item.got_begin > below.got_end
    };
    let above = rest.iter().find(is_above)?;
    let places = [below.put, above.put, below.got, above.got];
    Some(Contradiction::new(below.got_end, "popped-from-below", places))
}
