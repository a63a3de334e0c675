//! What the clock engine judges: units (transactions, or single operations) with what they read and wrote, and the order
//! of sessions; numbered anew so that who is visible comes before who sees it.

use std::ops::Range;

use super::mutant::{Mutant, Mutation};
use crate::txn::accesses::{Accesses, INITIAL};
use crate::txn::txns::{TxnId, Txns};

/// No unit.
pub(super) const NONE: u32 = u32::MAX;

/// Who wrote what a read saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Nobody: the initial state.
    Initial,
    /// A unit, by its rank.
    Unit(u32),
    /// It cannot be said; other rooms tell why. Such a read says nothing here.
    Unknown,
}

/// The order of sessions among units.
#[derive(Debug, Clone, Default)]
pub(super) struct Sessions {
    /// By unit: the one before it in its session, or [`NONE`].
    pub before: Vec<u32>,
    /// By unit: its session, or [`NONE`] for one that nothing follows in its session (it is in doubt).
    pub session: Vec<u32>,
}

impl Sessions {
    /// Those of transactions. Of one in doubt it is only known that it began after those that had ended: it has one
    /// before it, and none after it.
    pub fn of(txns: &Txns<'_>, accesses: &Accesses, mutation: Mutation) -> Sessions {
        let count = accesses.len().min(txns.len());
        let mut last = vec![NONE; txns.sessions_count() as usize];
        let mut sessions = Sessions { before: vec![NONE; accesses.len()], session: vec![NONE; accesses.len()] };
        for id in 0..count as u32 {
            let of = txns.session(id);
            if txns.is_ok(id) {
                sessions.before[id as usize] = std::mem::replace(&mut last[of as usize], id);
                sessions.session[id as usize] = of;
                continue;
            }
            // A process ends with a doubt.
            sessions.before[id as usize] = if mutation.is(Mutant::DoubtFirst) { NONE } else { last[of as usize] };
        }
        sessions
    }

    /// No order at all.
    pub fn none(count: usize) -> Sessions {
        Sessions { before: vec![NONE; count], session: vec![NONE; count] }
    }
}

/// Which unit has which rank.
#[derive(Debug, Clone)]
enum Order {
    /// So many, each has its number; nothing is looked up then.
    Same(u32),
    /// By rank: the unit. By unit: its rank, or [`NONE`] for one that is not committed.
    Listed { ids: Vec<u32>, ranks: Vec<u32> },
}

impl Order {
    /// These units, in this order, of so many.
    fn of(ids: Vec<u32>, count: usize) -> Order {
        let mut ranks = vec![NONE; count];
        for (rank, &id) in ids.iter().enumerate() {
            ranks[id as usize] = rank as u32;
        }
        Order::Listed { ids, ranks }
    }

    fn len(&self) -> u32 {
        match self {
            Order::Same(count) => *count,
            Order::Listed { ids, .. } => ids.len() as u32,
        }
    }

    #[inline]
    fn unit(&self, rank: u32) -> u32 {
        match self {
            Order::Same(_) => rank,
            Order::Listed { ids, .. } => ids[rank as usize],
        }
    }

    #[inline]
    fn rank_of(&self, unit: u32) -> u32 {
        match self {
            Order::Same(count) if unit < *count => unit,
            Order::Same(_) => NONE,
            Order::Listed { ranks, .. } => ranks.get(unit as usize).copied().unwrap_or(NONE),
        }
    }
}

/// Units by rank: after all that they follow in their session and all that they read from, then after those whose versions
/// are known to be older, and else in order of completion. Where what they follow and read has a cycle, some read points
/// back, and never the order of a session; where only the known versions close one, some of these point back. Those that follow
/// and read each other in a circle have ranks in a row.
#[derive(Debug)]
pub(super) struct Ranked<'a> {
    pub accesses: &'a Accesses,
    order: Order,
    /// By rank: the rank of the one before in the session, or [`NONE`].
    pub before: Vec<u32>,
    /// By rank: the session, or [`NONE`].
    pub session: Vec<u32>,
    /// By rank: the circle of those that follow and read each other to which it belongs, itself alone for most; empty where there are
    /// no circles.
    circles: Vec<Range<u32>>,
    /// By key: where its writers begin in `writers`; and the end of the last.
    writer_starts: Vec<u32>,
    /// By key: ranks of its writers, rising.
    writers: Vec<u32>,
}

impl<'a> Ranked<'a> {
    /// Numbers them. Linear.
    pub fn of(accesses: &'a Accesses, sessions: &Sessions, mutation: Mutation) -> Ranked<'a> {
        let is_in = |id: u32| (id as usize) < accesses.len() && accesses.committed[id as usize];
        let is = |mutant| mutation.is(mutant);
        let follows = |id: u32, at: u32| match at {
            0 if is(Mutant::SessionsUnranked) => Some(NONE),
            0 => Some(sessions.before[id as usize]),
            at => {
                accesses.reads(id).get(at as usize - 1).filter(|_| !is(Mutant::ReadsUnranked)).map(|read| read.writer)
            }
        };
        let (ids, mut circles) = topological(accesses.len(), is_in, follows, mutation);
        if is(Mutant::CirclesUntold) {
            circles.clear();
        }
        let ranked = Ranked::by(Order::of(ids, accesses.len()), &circles, accesses, sessions);
        // Orders of versions that point back are looked at in windows of ranks that they span. Transactions overlap, and
        // on keys in much use such windows would run together into a few that span all; so few should point back.
        let edges = ranked.version_edges(mutation);
        if edges.iter().all(|&(from, to, _)| from < to) {
            return ranked;
        }
        let older = Older::of(&edges, ranked.len() as usize);
        let follows = |rank: u32, at: u32| ranked.follows(&older, rank, at, mutation);
        let (ranks, _) = topological(ranked.len() as usize, |rank| rank != NONE, follows, mutation);
        let ids = ranks.iter().map(|&rank| ranked.unit(rank)).collect();
        // A circle stays together: with versions it is at most a part of a larger one, whose members keep their order.
        let mut moved: Vec<Range<u32>> = Vec::new();
        if !circles.is_empty() {
            let start = |rank: u32| ranked.circle(rank).start;
            for chunk in ranks.chunk_by(|&a, &b| start(a) == start(b)) {
                let first = moved.last().map_or(0, |last| last.end);
                moved.push(first..first + chunk.len() as u32);
            }
        }
        Ranked::by(Order::of(ids, accesses.len()), &moved, accesses, sessions)
    }

    /// With ranks in the order of numbers, where that is known to be one.
    pub fn in_order(accesses: &'a Accesses, sessions: &Sessions) -> Ranked<'a> {
        Ranked::by(Order::Same(accesses.len() as u32), &[], accesses, sessions)
    }

    /// Whether all that they follow and read, and all with older versions, have lower ranks.
    pub fn is_ordered(&self, mutation: Mutation) -> bool {
        !self.has_circles() && self.version_edges(mutation).iter().all(|&(from, to, _)| from < to)
    }

    /// Whom a unit follows, one after another, those with older versions among them; [`NONE`] for nobody.
    fn follows(&self, older: &Older, rank: u32, at: u32, mutation: Mutation) -> Option<u32> {
        let reads = self.accesses.reads(self.unit(rank));
        match at.checked_sub(1) {
            None if mutation.is(Mutant::SessionsUnrankedAgain) => Some(NONE),
            None => Some(self.before[rank as usize]),
            Some(at) => match reads.get(at as usize) {
                Some(read) => match self.source(rank, read.writer) {
                    Source::Unit(writer) if !mutation.is(Mutant::ReadsUnrankedAgain) => Some(writer),
                    _ => Some(NONE),
                },
                None => older.of_unit(rank).get(at as usize - reads.len()).copied(),
            },
        }
    }

    /// In this order, with these circles, by rank.
    fn by(order: Order, circles: &[Range<u32>], accesses: &'a Accesses, sessions: &Sessions) -> Ranked<'a> {
        let units = || (0..order.len()).map(|rank| order.unit(rank));
        let before = units().map(|id| match sessions.before[id as usize] {
            NONE => NONE,
            before => order.rank_of(before),
        });
        let before = before.collect();
        let session = units().map(|id| sessions.session[id as usize]).collect();
        let mut writer_starts = vec![0u32; accesses.keys_count as usize + 1];
        for id in units() {
            accesses.writes(id).iter().for_each(|write| writer_starts[write.key as usize] += 1);
        }
        let mut sum = 0;
        for start in &mut writer_starts {
            sum += std::mem::replace(start, sum);
        }
        let mut writers = vec![0u32; sum as usize];
        for (rank, id) in units().enumerate() {
            for write in accesses.writes(id) {
                let place = &mut writer_starts[write.key as usize];
                writers[*place as usize] = rank as u32;
                *place += 1;
            }
        }
        // Each start has moved to the end of its key, which is the next one's start.
        writer_starts.rotate_right(1);
        writer_starts[0] = 0;
        let mut circle_of: Vec<Range<u32>> = Vec::new();
        if circles.iter().any(|circle| circle.len() > 1) {
            circle_of.extend((0..order.len()).map(|rank| rank..rank + 1));
            for circle in circles {
                circle_of[circle.start as usize..circle.end as usize].fill(circle.clone());
            }
        }
        Ranked { accesses, order, before, session, circles: circle_of, writer_starts, writers }
    }

    /// Those that follow and read each other in a circle with a unit: it alone, if there is no such circle.
    #[inline]
    pub fn circle(&self, rank: u32) -> Range<u32> {
        self.circles.get(rank as usize).cloned().unwrap_or(rank..rank + 1)
    }

    /// Whether some follow and read each other in a circle.
    pub fn has_circles(&self) -> bool {
        !self.circles.is_empty()
    }

    /// The same ranks, with no order of sessions.
    pub fn without_sessions(&self) -> Ranked<'a> {
        let count = self.len() as usize;
        let none = vec![NONE; count];
        Ranked {
            accesses: self.accesses,
            order: self.order.clone(),
            before: none.clone(),
            session: none,
            circles: self.circles.clone(),
            writer_starts: self.writer_starts.clone(),
            writers: self.writers.clone(),
        }
    }

    /// How many.
    pub fn len(&self) -> u32 {
        self.order.len()
    }

    /// The unit of a rank.
    #[inline]
    pub fn unit(&self, rank: u32) -> u32 {
        self.order.unit(rank)
    }

    /// All units, by rank.
    pub fn units(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        (0..self.len()).map(|rank| (rank, self.unit(rank)))
    }

    /// The rank of a unit, or [`NONE`] for one that is not committed, or none at all.
    #[inline]
    pub fn rank_of(&self, unit: u32) -> u32 {
        self.order.rank_of(unit)
    }

    /// Whom a read of `reader` (a rank) saw.
    pub fn source(&self, reader: u32, writer: TxnId) -> Source {
        match writer {
            INITIAL => Source::Initial,
            writer => match self.rank_of(writer) {
                rank if rank != NONE && rank != reader => Source::Unit(rank),
                _ => Source::Unknown,
            },
        }
    }

    /// Ranks of a key's writers, rising.
    pub fn writers(&self, key: u32) -> &[u32] {
        let key = key as usize;
        match self.writer_starts.get(key..key + 2) {
            Some(&[start, end]) => &self.writers[start as usize..end as usize],
            _ => &[],
        }
    }

    /// By key: where its writers begin among those of all keys; and the end of the last.
    pub fn writer_starts(&self) -> &[u32] {
        &self.writer_starts
    }

    /// Whom a unit follows at once: in its session, and those it read from. With repetitions.
    pub fn sources(&self, rank: u32) -> impl Iterator<Item = u32> + '_ {
        let reads = self.accesses.reads(self.unit(rank)).iter();
        reads.filter_map(move |read| match self.source(rank, read.writer) {
            Source::Unit(writer) => Some(writer),
            _ => None,
        })
    }

    /// Orders that known versions say: from writer to writer, by key.
    pub fn version_edges(&self, mutation: Mutation) -> Vec<(u32, u32, u32)> {
        let mut edges = Vec::new();
        if mutation.is(Mutant::VersionsForgotten) {
            return edges;
        }
        let mut listed = vec![NONE; self.len() as usize];
        for (key, versions) in self.accesses.versions.iter().enumerate() {
            if versions.is_empty() {
                continue;
            }
            let mut last = NONE;
            for &writer in versions {
                let rank = self.rank_of(writer);
                if rank == NONE {
                    continue;
                }
                listed[rank as usize] = key as u32;
                if last != NONE && last != rank {
                    edges.push((last, rank, key as u32));
                }
                last = rank;
            }
            // Whoever wrote the key and is not among its versions came after all of them: else a read had shown it.
            if last != NONE && !mutation.is(Mutant::LateForgotten) {
                let is_placed = |rank: u32| self.accesses.unplaced.binary_search(&self.unit(rank)).is_err();
                let late = self.writers(key as u32).iter().filter(|&&rank| listed[rank as usize] != key as u32);
                let late = late.filter(|&&rank| self.accesses.unplaced.is_empty() || is_placed(rank));
                edges.extend(late.map(|&rank| (last, rank, key as u32)));
            }
        }
        edges
    }
}

/// Whose versions are known to be older, by unit.
struct Older {
    starts: Vec<u32>,
    units: Vec<u32>,
}

impl Older {
    fn of(edges: &[(u32, u32, u32)], count: usize) -> Older {
        let mut starts = vec![0u32; count + 1];
        edges.iter().for_each(|&(_, to, _)| starts[to as usize] += 1);
        let mut sum = 0;
        for start in &mut starts {
            sum += std::mem::replace(start, sum);
        }
        let mut units = vec![0u32; edges.len()];
        for &(from, to, _) in edges {
            let place = &mut starts[to as usize];
            units[*place as usize] = from;
            *place += 1;
        }
        starts.rotate_right(1);
        starts[0] = 0;
        Older { starts, units }
    }

    fn of_unit(&self, rank: u32) -> &[u32] {
        let rank = rank as usize;
        &self.units[self.starts[rank] as usize..self.starts[rank + 1] as usize]
    }
}

/// Components of those that follow each other, each after all that it follows, and within one by number, so that the
/// order of sessions never points back; and which places those hold that have more than one. `follows` says whom one follows, one after
/// another, until there is nobody left. Tarjan, without recursion.
fn topological(
    count: usize,
    is_in: impl Fn(u32) -> bool,
    follows: impl Fn(u32, u32) -> Option<u32>,
    mutation: Mutation,
) -> (Vec<u32>, Vec<Range<u32>>) {
    let (mut index, mut low) = (vec![NONE; count], vec![0u32; count]);
    let mut is_done = vec![false; count];
    let mut next_index = 0;
    let (mut order, mut circles) = (Vec::with_capacity(count), Vec::new());
    let (mut waiting, mut stack): (Vec<u32>, Vec<(u32, u32)>) = (Vec::new(), Vec::new());
    for root in 0..count as u32 {
        if !is_in(root) || index[root as usize] != NONE {
            continue;
        }
        stack.push((root, 0));
        while let Some((id, next)) = stack.last_mut() {
            let (this, at) = (*id as usize, *next);
            if at == 0 {
                (index[this], low[this]) = (next_index, next_index);
                next_index += 1;
                waiting.push(*id);
            }
            *next += 1;
            if let Some(follows) = follows(this as u32, at) {
                if !is_in(follows) {
                    continue;
                }
                if index[follows as usize] == NONE {
                    stack.push((follows, 0));
                } else if !is_done[follows as usize] || mutation.is(Mutant::DoneStaysOpen) {
                    low[this] = low[this].min(index[follows as usize]);
                }
                continue;
            }
            stack.pop();
            if let Some((parent, _)) = stack.last() {
                low[*parent as usize] = low[*parent as usize].min(low[this]);
            }
            if low[this] == index[this] {
                let start = waiting.iter().rposition(|&other| other as usize == this).unwrap_or(0);
                waiting[start..].sort_unstable();
                if mutation.is(Mutant::CirclesTurned) {
                    waiting[start..].reverse();
                }
                waiting[start..].iter().for_each(|&member| is_done[member as usize] = true);
                if waiting.len() - start > 1 {
                    circles.push(order.len() as u32..(order.len() + waiting.len() - start) as u32);
                }
                order.extend(waiting.drain(start..));
            }
        }
    }
    (order, circles)
}
