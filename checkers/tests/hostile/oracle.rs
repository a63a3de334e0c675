//! Two judges that share nothing with the checker: a table over all subsets (up to 20 operations), and the search of
//! Wing and Gong with remembered configurations (any number, until a bound).

use std::collections::HashSet;

/// A value: 0 is nil.
pub type Cell = u8;

/// What one call asked and was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Answered with this.
    Read(Cell),
    /// Left this.
    Write(Cell),
    /// Found the first and left the second (in doubt: or nothing happened).
    Swap(Cell, Cell),
    /// Found anything but this.
    Differs(Cell),
}

/// A call that counts: `ok`, or with no end in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Event of the invocation.
    pub from: u32,
    /// Event of the `ok`; none: in doubt.
    pub to: Option<u32>,
    /// What it did.
    pub act: Act,
}

impl Act {
    /// The value after it; none: it cannot stand here.
    pub fn after(self, cell: Cell) -> Option<Cell> {
        match self {
            Act::Read(seen) if seen == cell => Some(cell),
            Act::Write(new) => Some(new),
            Act::Swap(old, new) if old == cell => Some(new),
            Act::Differs(not) if not != cell => Some(cell),
            _ => None,
        }
    }
}

/// Whether the first ended before the second began.
pub fn precedes(first: &Call, second: &Call) -> bool {
    first.to.is_some_and(|to| to < second.from)
}

fn cells(set: u64) -> impl Iterator<Item = Cell> {
    (0..64).filter(move |&cell| set & 1 << cell != 0)
}

/// Forward over all subsets: which values can stand after exactly these calls, in whatever order. At most 20 calls.
pub fn by_table(calls: &[Call]) -> bool {
    let must: Vec<bool> = calls.iter().map(|call| call.to.is_some()).collect();
    by_table_of(calls, &must)
}

/// The same, where only some must have happened; whichever happen do so between their invocation and their end.
pub fn by_table_of(calls: &[Call], must: &[bool]) -> bool {
    let count = calls.len();
    assert!(count <= 20, "{count} calls are too many for a table");
    let bits = |wanted: &dyn Fn(usize) -> bool| (0..count).filter(|&place| wanted(place)).map(|place| 1 << place).sum();
    let later: Vec<usize> = calls.iter().map(|call| bits(&|other| precedes(call, &calls[other]))).collect();
    let must: usize = bits(&|place| must[place]);
    let mut values = vec![0u64; 1 << count];
    values[0] = 1;
    for done in 0..1usize << count {
        if values[done] == 0 {
            continue;
        }
        if done & must == must {
            return true;
        }
        for (place, call) in calls.iter().enumerate() {
            let bit = 1usize << place;
            if done & (bit | later[place]) == 0 {
                let after = cells(values[done]).filter_map(|cell| call.act.after(cell));
                values[done | bit] |= after.fold(0, |set, cell| set | 1 << cell);
            }
        }
    }
    false
}

/// Every order, written out one after the other, of every choice of calls in doubt. For a handful of calls.
pub fn by_orders(calls: &[Call]) -> bool {
    fn permute(order: &mut Vec<Call>, fixed: usize) -> bool {
        if fixed == order.len() {
            let mut cell = 0;
            let in_time = (0..order.len()).all(|late| (0..late).all(|early| !precedes(&order[late], &order[early])));
            return in_time && order.iter().all(|call| call.act.after(cell).inspect(|&after| cell = after).is_some());
        }
        for next in fixed..order.len() {
            order.swap(fixed, next);
            let found = permute(order, fixed + 1);
            order.swap(fixed, next);
            if found {
                return true;
            }
        }
        false
    }
    let doubtful: Vec<usize> = (0..calls.len()).filter(|&place| calls[place].to.is_none()).collect();
    (0..1u32 << doubtful.len()).any(|choice| {
        let happened =
            |place: &usize| doubtful.iter().position(|doubt| doubt == place).is_none_or(|at| choice >> at & 1 == 1);
        permute(&mut (0..calls.len()).filter(happened).map(|place| calls[place]).collect(), 0)
    })
}

/// Depth first; `None` if more than so many configurations were remembered. Calls stand in order of invocation.
pub fn by_search(calls: &[Call], remembered_max: usize) -> Option<bool> {
    let mut mixed = 0x9E37_79B9_7F4A_7C15u64;
    let mut draw = || {
        mixed = mixed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    };
    // A set of calls is the exclusive or of their numbers of 128 bits.
    let marks: Vec<u128> = calls.iter().map(|_| u128::from(draw()) << 64 | u128::from(draw())).collect();
    let mut left = calls.iter().filter(|call| call.to.is_some()).count();
    let mut taken = vec![false; calls.len()];
    let mut seen: HashSet<(u128, Cell)> = HashSet::new();
    let (mut set, mut cell) = (0u128, 0);
    // What was taken, the cell before it, and where to go on looking after taking it back.
    let mut path: Vec<(usize, Cell)> = Vec::new();
    let (mut first, mut at) = (0, 0);
    loop {
        if left == 0 {
            return Some(true);
        }
        while first < calls.len() && (taken[first]) {
            first += 1;
        }
        at = at.max(first);
        // The earliest end of what is not taken bounds who may be next.
        let mut bound = u32::MAX;
        for place in first..calls.len() {
            if calls[place].from > bound {
                break;
            }
            if !taken[place] {
                bound = bound.min(calls[place].to.unwrap_or(u32::MAX));
            }
        }
        let mut next = None;
        while at < calls.len() && calls[at].from < bound {
            if !taken[at]
                && let Some(after) = calls[at].act.after(cell)
                && seen.insert((set ^ marks[at], after))
            {
                next = Some((at, after));
                break;
            }
            at += 1;
        }
        if seen.len() > remembered_max {
            return None;
        }
        match next {
            Some((place, after)) => {
                path.push((place, cell));
                (taken[place], cell) = (true, after);
                set ^= marks[place];
                left -= usize::from(calls[place].to.is_some());
                at = 0;
            }
            None => {
                let Some((place, before)) = path.pop() else { return Some(false) };
                (taken[place], cell) = (false, before);
                set ^= marks[place];
                left += usize::from(calls[place].to.is_some());
                first = first.min(place);
                at = place + 1;
            }
        }
    }
}
