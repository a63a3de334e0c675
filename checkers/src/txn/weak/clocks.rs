//! Clocks over chains: what each unit has seen, as how far it has seen each chain of units that follow each other.
//!
//! A chain begins as a session. One that has come to its end goes on with the beginning of another session which has seen
//! that end: a process that ends in doubt gets a new number, and 20,000 short sessions would make rows of 20,000 columns,
//! while the chains stay about as many as there are clients. Rows are freed when all who need them are done.
//!
//! Those that read each other in a circle (G1c) have all seen each other, and what any of them has seen: they begin together, share a
//! row, and stand in a row on one chain.
//!
//! Who is followed and read by nobody stands on no chain, as nobody sees it. And from time to time chains are given back:
//!
//! - those that have ended are cut back to what some row that is still held has seen: whatever stood behind that will be seen by
//!   nobody any more, and the chain goes on with anyone who has seen the rest;
//! - one that has ended, and about whose units nobody will ask any more (`needed`), is emptied.
//!
//! Without that, a transaction whose writes were soon written over would hold a column for ever where sessions say nothing, and
//! so would each session that begins with a blind write, as it has seen the end of no other.

use std::ops::Range;

use super::mutant::{Mutant, Mutation};
use super::needed;
use super::units::{NONE, Ranked};
use crate::txn::meter::{Meter, Spent};

/// Retired chains looked at before a new chain is begun.
const LOOKED_AT_MAX: usize = 64;
const WIDTH_MIN: usize = 8;
/// So many units are begun between two times that chains are cut; in tests of small histories each time counts.
const UNCUT_MIN: u32 = if cfg!(test) { 1 } else { 64 };
/// Fewer chains than these are not worth knowing who will ask about them.
const EMPTIED_MIN: usize = if cfg!(test) { 1 } else { 64 };

/// What clocks are for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose<'a> {
    /// Disjoint runs of ranks, rising: only these are begun, and what lies before a run is seen by nobody in it.
    pub windows: &'a [Range<u32>],
    /// Whether horizons are asked for, at the cost of a look at each chain for each unit.
    pub has_horizons: bool,
    /// Where all that is asked is whether a reader has seen other writers of its key (older ones than what was read only up to this
    /// distance), or whether what was read has.
    pub near: Option<u32>,
}

/// Where a unit stands. Units are met in any order: what is asked about one lies in one line of memory.
#[derive(Debug, Clone, Copy)]
struct Standing {
    chain: u32,
    /// In the chain, from one; zero for one that was not begun.
    place: u32,
    /// Its row in the pool, or [`NONE`].
    row: u32,
    /// How many reads and followers in its session still need the row.
    users: u32,
}

/// The clocks of all units that were begun so far.
#[derive(Debug)]
pub(super) struct Clocks {
    standing: Vec<Standing>,
    /// By unit: how many in its session follow at once and were not begun.
    followers: Vec<u32>,
    pool: Vec<u32>,
    width: usize,
    free: Vec<u32>,
    /// By row: how many units hold it.
    holders: Vec<u32>,
    /// By chain: the place of its last unit.
    ends: Vec<u32>,
    /// By chain: where it stands in `retired`, or [`NONE`].
    retired_at: Vec<u32>,
    retired: Vec<u32>,
    /// Chains of nothing.
    emptied: Vec<u32>,
    /// Units begun since chains were cut.
    uncut: u32,
    bytes: u64,
    /// By chain: its units.
    units: Vec<Vec<u32>>,
    /// By unit: the last who may ask about it; empty before that is of use.
    needed: Vec<u32>,
    near: Option<u32>,
    /// Windows that are left, the next one last; and where that begins which is looked at.
    windows: Vec<Range<u32>>,
    floor: u32,
    /// Where horizons are asked for, by unit.
    horizons: Vec<u32>,
    mutation: Mutation,
}

impl Clocks {
    /// None begun.
    pub fn new(ranked: &Ranked<'_>, purpose: Purpose<'_>, mutation: Mutation) -> Clocks {
        let count = ranked.len() as usize;
        let mut standing = vec![Standing { chain: NONE, place: 0, row: NONE, users: 0 }; count];
        let mut followers = vec![0u32; count];
        for window in purpose.windows {
            for rank in window.clone() {
                for source in ranked.sources(rank).filter(|source| (window.start..rank).contains(source)) {
                    standing[source as usize].users += 1;
                }
                let before = ranked.before[rank as usize];
                if (window.start..rank).contains(&before) {
                    standing[before as usize].users += 1;
                    followers[before as usize] += 1;
                }
            }
        }
        Clocks {
            standing,
            followers,
            pool: Vec::new(),
            width: WIDTH_MIN,
            free: Vec::new(),
            holders: Vec::new(),
            ends: Vec::new(),
            retired_at: Vec::new(),
            retired: Vec::new(),
            emptied: Vec::new(),
            uncut: 0,
            bytes: 0,
            units: Vec::new(),
            needed: Vec::new(),
            near: purpose.near,
            windows: purpose.windows.iter().rev().cloned().collect(),
            floor: 0,
            horizons: if purpose.has_horizons { vec![0; count] } else { Vec::new() },
            mutation,
        }
    }

    fn cells(&self, row: u32) -> std::ops::Range<usize> {
        let start = row as usize * self.width;
        start..start + self.ends.len()
    }

    fn new_row(&mut self, meter: &mut Meter) -> Result<u32, Spent> {
        if let Some(row) = self.free.pop() {
            let cells = self.cells(row);
            self.pool[cells].fill(0);
            self.holders[row as usize] = 1;
            return Ok(row);
        }
        let row = (self.pool.len() / self.width) as u32;
        let bytes = self.width as u64 * 4;
        meter.take_bytes(bytes)?;
        self.bytes += bytes;
        self.pool.resize(self.pool.len() + self.width, 0);
        self.holders.push(1);
        Ok(row)
    }

    /// Makes room for one more chain.
    fn new_chain(&mut self, meter: &mut Meter) -> Result<u32, Spent> {
        if self.ends.len() == self.width {
            let bytes = self.pool.len() as u64 * 4;
            meter.take_bytes(bytes)?;
            self.bytes += bytes;
            let mut wider = vec![0; self.pool.len() * 2];
            for (from, to) in self.pool.chunks_exact(self.width).zip(wider.chunks_exact_mut(self.width * 2)) {
                to[..self.width].copy_from_slice(from);
            }
            self.pool = wider;
            self.width *= 2;
        }
        // Cells of chains that are not there yet are always zero.
        let column = self.ends.len();
        self.ends.push(0);
        self.retired_at.push(NONE);
        self.units.push(Vec::new());
        Ok(column as u32)
    }

    /// Begins a unit: after this its row says what it has seen, itself not among it.
    pub fn begin(&mut self, ranked: &Ranked<'_>, rank: u32, meter: &mut Meter) -> Result<(), Spent> {
        while let Some(window) = self.windows.pop_if(|window| window.start <= rank) {
            self.floor = window.start;
        }
        let circle = ranked.circle(rank);
        if circle.len() > 1 {
            return if circle.start == rank { self.begin_circle(ranked, circle, meter) } else { Ok(()) };
        }
        let before = self.before(ranked, rank);
        let is_last_user = |this: &Clocks| {
            let Standing { users, row, .. } = this.standing[before as usize];
            users == 1 && this.holders[row as usize] == 1
        };
        let row = if before != NONE && is_last_user(self) {
            // Nobody else needs it.
            self.standing[before as usize].users = 0;
            std::mem::replace(&mut self.standing[before as usize].row, NONE)
        } else {
            let row = self.new_row(meter)?;
            if before != NONE {
                let (start, from) = (self.cells(row).start, self.cells(self.standing[before as usize].row));
                self.pool.copy_within(from, start);
                self.standing[before as usize].users -= 1;
            }
            row
        };
        self.standing[rank as usize].row = row;
        let begun = self.floor..rank;
        for source in ranked.sources(rank).filter(|source| begun.contains(source)) {
            self.see(rank, source, meter)?;
        }
        self.uncut += 1;
        if self.standing[rank as usize].users > 0 {
            let chain = self.choose(ranked, rank, before, meter)?;
            self.ends[chain as usize] += 1;
            let standing = &mut self.standing[rank as usize];
            (standing.chain, standing.place) = (chain, self.ends[chain as usize]);
        } else if before != NONE {
            self.followers[before as usize] -= 1;
            self.leave(before);
        }
        Ok(())
    }

    /// Makes what a unit has seen, itself among it, seen by another.
    #[inline]
    fn see(&mut self, rank: u32, source: u32, meter: &mut Meter) -> Result<(), Spent> {
        // What was seen already has nothing new in its past.
        if !self.has_seen(rank, source) && !self.mutation.is(Mutant::NotJoined) {
            let row = |unit: u32| self.cells(self.standing[unit as usize].row);
            let (to, from) = (row(rank), row(source));
            meter.step(to.len() as u64 / 16)?;
            join(&mut self.pool, to, from);
        }
        Ok(())
    }

    /// Begins all units of a circle, as the first of them is begun.
    fn begin_circle(&mut self, ranked: &Ranked<'_>, circle: Range<u32>, meter: &mut Meter) -> Result<(), Spent> {
        let row = self.new_row(meter)?;
        self.holders[row as usize] = circle.len() as u32;
        let members = circle.start as usize..circle.end as usize;
        self.standing[members].iter_mut().for_each(|standing| standing.row = row);
        let begun = self.floor..circle.start;
        for member in circle.clone() {
            let before = self.before(ranked, member);
            for source in ranked.sources(member).chain([before]).filter(|source| begun.contains(source)) {
                self.see(member, source, meter)?;
            }
            if before != NONE {
                self.followers[before as usize] -= 1;
                self.standing[before as usize].users -= 1;
                self.leave(before);
            }
        }
        self.uncut += circle.len() as u32;
        let chain = self.go_on(ranked, circle.start, None, meter)?;
        for member in circle {
            self.ends[chain as usize] += 1;
            let standing = &mut self.standing[member as usize];
            (standing.chain, standing.place) = (chain, self.ends[chain as usize]);
            self.units[chain as usize].push(member);
        }
        if !self.mutation.is(Mutant::CircleUnseen) {
            self.pool[row as usize * self.width + chain as usize] = self.ends[chain as usize];
        }
        Ok(())
    }

    /// The one before in the session, if it was begun.
    fn before(&self, ranked: &Ranked<'_>, rank: u32) -> u32 {
        let before = ranked.before[rank as usize];
        if (self.floor..rank).contains(&before) { before } else { NONE }
    }

    /// Whether a unit is the last of its chain.
    fn is_last(&self, unit: u32) -> bool {
        let Standing { chain, place, .. } = self.standing[unit as usize];
        place > 0 && self.ends[chain as usize] == place
    }

    /// The chain that a unit goes on.
    fn choose(&mut self, ranked: &Ranked<'_>, rank: u32, before: u32, meter: &mut Meter) -> Result<u32, Spent> {
        if before != NONE {
            self.followers[before as usize] -= 1;
            if self.is_last(before) {
                return Ok(self.standing[before as usize].chain);
            }
        }
        let is_end = |source: u32| {
            let chain = self.standing[source as usize].chain;
            (self.is_last(source) && self.retired_at[chain as usize] != NONE).then_some(chain)
        };
        let chosen = ranked.sources(rank).filter(|source| (self.floor..rank).contains(source)).find_map(is_end);
        self.go_on(ranked, rank, chosen, meter)
    }

    /// The chain that begins again with a unit, or with a circle that it begins: a known one, another that has ended, or a new one.
    fn go_on(&mut self, ranked: &Ranked<'_>, rank: u32, known: Option<u32>, meter: &mut Meter) -> Result<u32, Spent> {
        let mut chosen = known.or_else(|| self.ended_before(rank));
        let is_due = self.uncut >= UNCUT_MIN.max((self.pool.len() / self.width) as u32);
        if chosen.is_none() && self.emptied.is_empty() && is_due && !self.mutation.is(Mutant::NeverCut) {
            self.cut(meter)?;
            self.empty(ranked, rank, meter)?;
            chosen = self.ended_before(rank);
        }
        match chosen {
            Some(chain) => {
                self.resume(chain);
                Ok(chain)
            }
            None => match self.emptied.pop() {
                Some(chain) => Ok(chain),
                None => self.new_chain(meter),
            },
        }
    }

    /// A retired chain all of which a unit has seen.
    fn ended_before(&self, rank: u32) -> Option<u32> {
        let seen = &self.pool[self.cells(self.standing[rank as usize].row)];
        let oldest = self.retired.iter().take(LOOKED_AT_MAX / 2);
        let newest = self.retired.iter().rev().take(LOOKED_AT_MAX / 2);
        oldest
            .chain(newest)
            .copied()
            .find(|&chain| seen[chain as usize] >= self.ends[chain as usize] || self.mutation.is(Mutant::ChainsMerged))
    }

    /// Takes a chain from those that are retired.
    fn resume(&mut self, chain: u32) {
        let at = std::mem::replace(&mut self.retired_at[chain as usize], NONE);
        if at != NONE {
            self.retired.swap_remove(at as usize);
            if let Some(&moved) = self.retired.get(at as usize) {
                self.retired_at[moved as usize] = at;
            }
        }
    }

    /// Retires the chain of a unit that ended, if it is the last there and nobody follows it in its session.
    fn leave(&mut self, rank: u32) {
        if self.is_last(rank) && self.followers[rank as usize] == 0 {
            let chain = self.standing[rank as usize].chain;
            if self.retired_at[chain as usize] == NONE {
                self.retired_at[chain as usize] = self.retired.len() as u32;
                self.retired.push(chain);
            }
        }
    }

    /// Cuts retired chains back to what some row that is held has seen.
    fn cut(&mut self, meter: &mut Meter) -> Result<(), Spent> {
        self.uncut = 0;
        let rows = self.pool.len() / self.width;
        meter.step((rows * self.ends.len()) as u64 / 16)?;
        let mut is_held = vec![true; rows];
        self.free.iter().for_each(|&row| is_held[row as usize] = false);
        let mut seen = vec![0u32; self.ends.len()];
        for row in (0..rows as u32).filter(|&row| is_held[row as usize]) {
            for (seen, &cell) in seen.iter_mut().zip(&self.pool[self.cells(row)]) {
                *seen = (*seen).max(cell);
            }
        }
        let mut emptied = Vec::new();
        for &chain in &self.retired {
            let kept = match self.mutation.is(Mutant::CutTooFar) {
                true => seen[chain as usize].saturating_sub(1),
                false => seen[chain as usize],
            };
            if kept < self.ends[chain as usize] {
                self.ends[chain as usize] = kept;
                for unit in self.units[chain as usize].drain(kept as usize..) {
                    if !self.mutation.is(Mutant::CutStillSeen) {
                        self.standing[unit as usize].place = 0;
                    }
                }
            }
            if kept == 0 {
                emptied.push(chain);
            }
        }
        emptied.iter().for_each(|&chain| self.resume(chain));
        self.emptied.extend(emptied);
        Ok(())
    }

    /// Empties retired chains about whose units nobody from this one on will ask.
    fn empty(&mut self, ranked: &Ranked<'_>, rank: u32, meter: &mut Meter) -> Result<(), Spent> {
        let Some(near) = self.near.filter(|_| self.ends.len() >= EMPTIED_MIN) else { return Ok(()) };
        if self.needed.is_empty() {
            self.needed = needed::of(ranked, near, self.mutation);
        }
        let mut looked_at = self.retired.len();
        let mut over = Vec::new();
        for &chain in &self.retired {
            // The youngest are needed longest.
            let units = &self.units[chain as usize];
            match units.iter().rev().position(|&unit| self.needed[unit as usize] >= rank) {
                Some(place) => looked_at += place,
                None => {
                    looked_at += units.len();
                    over.push(chain);
                }
            }
        }
        meter.step(looked_at as u64 / 16)?;
        for chain in over {
            self.resume(chain);
            self.ends[chain as usize] = 0;
            for unit in self.units[chain as usize].drain(..) {
                self.standing[unit as usize].place = 0;
            }
            self.pool.iter_mut().skip(chain as usize).step_by(self.width).for_each(|cell| *cell = 0);
            self.emptied.push(chain);
        }
        Ok(())
    }

    /// Whether a unit that was begun, and whose row is still held, has seen another.
    #[inline]
    pub fn has_seen(&self, rank: u32, other: u32) -> bool {
        let Standing { chain, place, .. } = self.standing[other as usize];
        let row = self.standing[rank as usize].row;
        if place == 0 || row == NONE {
            return false;
        }
        self.pool[row as usize * self.width + chain as usize] >= place
    }

    /// A rank below which a unit that was ended has seen everything; zero where that was not asked for.
    pub fn horizon(&self, rank: u32) -> u32 {
        self.horizons.get(rank as usize).copied().unwrap_or(0)
    }

    /// The row of a unit that was begun and is still needed.
    pub fn row(&self, rank: u32) -> &[u32] {
        match self.standing[rank as usize].row {
            NONE => &[],
            row => &self.pool[self.cells(row)],
        }
    }

    /// Whether a unit that was begun is within a row.
    pub fn is_in(&self, row: &[u32], other: u32) -> bool {
        let Standing { chain, place, .. } = self.standing[other as usize];
        place > 0 && row.get(chain as usize).is_some_and(|&seen| seen >= place)
    }

    /// Ends a unit: it is in its own row from now on, and the rows that it alone still needed are free.
    pub fn end(&mut self, ranked: &Ranked<'_>, rank: u32) {
        let Standing { chain, place, row, .. } = self.standing[rank as usize];
        // A circle has its places from the beginning.
        if chain != NONE && ranked.circle(rank).len() == 1 {
            self.pool[row as usize * self.width + chain as usize] = place;
            self.units[chain as usize].push(rank);
        }
        if !self.horizons.is_empty() {
            let unseen = self.row(rank).iter().zip(&self.units).filter_map(|(&seen, units)| units.get(seen as usize));
            let lowest = if self.mutation.is(Mutant::HorizonTooHigh) { unseen.max() } else { unseen.min() };
            self.horizons[rank as usize] = lowest.copied().unwrap_or(rank);
        }
        let begun = self.floor..rank;
        for source in ranked.sources(rank).filter(|source| begun.contains(source)) {
            self.standing[source as usize].users -= 1;
            self.release(source);
        }
        let before = self.before(ranked, rank);
        if before != NONE {
            self.release(before);
        }
        self.release(rank);
        self.leave(rank);
    }

    fn release(&mut self, rank: u32) {
        if self.standing[rank as usize].users == 0 {
            let row = std::mem::replace(&mut self.standing[rank as usize].row, NONE);
            if row != NONE {
                self.holders[row as usize] -= 1;
                if self.holders[row as usize] == 0 {
                    self.free.push(row);
                }
            }
        }
    }

    /// Gives the bytes back.
    pub fn close(self, meter: &mut Meter) {
        meter.give_back(self.bytes);
    }
}

/// Each cell becomes the greater one. The two rows are different ones.
fn join(pool: &mut [u32], to: std::ops::Range<usize>, from: std::ops::Range<usize>) {
    let (to, from) = if to.start < from.start {
        let (low, high) = pool.split_at_mut(from.start);
        let length = from.len();
        (&mut low[to], &high[..length])
    } else {
        let (low, high) = pool.split_at_mut(to.start);
        let length = to.len();
        (&mut high[..length], &low[from])
    };
    for (to, from) in to.iter_mut().zip(from) {
        *to = (*to).max(*from);
    }
}
