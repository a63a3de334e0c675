//! A level between 0 and a top that operations move up and down by one, and observe: decided by lazy moves, the earliest
//! deadline first.
//!
//! A mutex is a level with top 1, a semaphore one with as many as it has permits, a counter of equal additions one that
//! only goes up, an element of a set one that is 0 or 1. No value needs to be unique.
//!
//! Events are walked in order. Nothing moves before a completion forces it: that of an operation that was not placed yet.
//! Then moves are placed until it is placed too: of all open ones in the needed direction the one that is due first, and
//! one in doubt only where there is no other. Observers are placed as soon as the level is theirs. If a move is needed
//! that nobody has asked for, there is no order.
//!
//! **Why this is exact.** Take any legal order.
//! - *Which move.* Two open moves in the same direction can change places in it, if both are open at both times; so the
//!   one due first may stand first, and one in doubt, which is never due, last. One in doubt that was not used is
//!   not missed.
//! - *When.* Its moves before the forced point can all wait until then: who made them is still open (else its own completion
//!   would have forced it), and observers that saw a level in between are open too, and see it when it is passed.
//!   Of the moves that have waited only those that the completion needs must be made. The others may wait further if the
//!   level that they find later lets them be made in some order that the observers allow:
//!     - top 1: moves alternate, so there is only one order;
//!     - nothing ever moves down: what waits passes the same levels later;
//!     - nobody observes: any moves whose sum keeps the level within its bounds have a legal order, whatever the level
//!       was before (at the top take one down, else one up).
//!
//!   Histories beyond these three are not for this algorithm (a semaphore of two permits that was found exhausted may
//!   have had to be taken early).
//!
//! Cost: O(n log n) time, about 40 bytes an operation. Not covered: moves by more than one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;
use schism_history::OpIndex;

use crate::linear::mutant::Mutation;
use crate::linear::split::OPEN;

/// Defects that the tests must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Mutant {
    /// Of open moves the one that is due last is placed first.
    LatestFirst,
    /// Those in doubt are placed before those that must happen.
    DoubtFirst,
    /// Those in doubt never happen.
    DoubtIgnored,
    /// Those in doubt happen as often as one likes.
    DoubtEndless,
    /// Moves are placed as soon as they can be.
    Eager,
    /// An observer sees only the level that stands when it begins or ends.
    SeesEndsOnly,
    /// An observer's completion is not looked at.
    ObserversIgnored,
    /// The level has no top.
    NoTop,
    /// It may sink below 0.
    NoBottom,
    /// An operation that begins after a completion may stand before it.
    BeginsEarly,
}

/// What an operation does to the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// One more.
    Up,
    /// One less.
    Down,
    /// Finds the level to be this, and leaves it.
    See(u32),
}

/// An operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    /// Its invocation.
    pub begin: OpIndex,
    /// Its completion, or [`OPEN`]: then it may happen at any later time, or never.
    pub end: OpIndex,
    /// What it does.
    pub does: Move,
    /// Its place among what is judged.
    pub place: u32,
}

/// There is no order: a completion cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stuck {
    /// The operation that completes, by its place.
    pub place: u32,
    /// Its completion.
    pub at: OpIndex,
    /// The move that is lacking: up, or down.
    pub lacks_up: bool,
    /// Who made the last move before, by place.
    pub last: Option<u32>,
}

/// Open moves in one direction.
#[derive(Debug, Default)]
struct Open {
    due: BinaryHeap<Reverse<(u32, u32)>>,
    doubts: Vec<u32>,
    /// How many of those in doubt were used.
    used: usize,
}

/// Working memory; can be used for one object after another.
#[derive(Debug)]
pub(crate) struct Deadlines {
    top: u32,
    level: u32,
    up: Open,
    down: Open,
    /// Completions, with the number of the mark.
    ends: Vec<(OpIndex, u32)>,
    placed: Vec<bool>,
    /// Who waits for a level: the last one to come, and before each the next.
    waiting: FxHashMap<u32, u32>,
    next: Vec<u32>,
    last: Option<u32>,
    mutation: Mutation<Mutant>,
}

const NONE: u32 = u32::MAX;

impl Open {
    fn clear(&mut self) {
        self.due.clear();
        self.doubts.clear();
        self.used = 0;
    }

    /// Takes the one that is due first; one in doubt if there is no other.
    fn take(&mut self, mutation: Mutation<Mutant>) -> Option<u32> {
        let doubt = self.doubts.get(self.used).copied().filter(|_| !mutation.is(Mutant::DoubtIgnored));
        if let Some(number) = doubt
            && (self.due.is_empty() || mutation.is(Mutant::DoubtFirst))
        {
            self.used += usize::from(!mutation.is(Mutant::DoubtEndless));
            return Some(number);
        }
        self.due.pop().map(|Reverse((_, number))| number)
    }
}

impl Deadlines {
    /// For levels from 0 to `top`.
    pub fn new(top: u32, mutation: Mutation<Mutant>) -> Deadlines {
        Deadlines {
            top: if mutation.is(Mutant::NoTop) { u32::MAX } else { top },
            level: 0,
            up: Open::default(),
            down: Open::default(),
            ends: Vec::new(),
            placed: Vec::new(),
            waiting: FxHashMap::default(),
            next: Vec::new(),
            last: None,
            mutation,
        }
    }

    /// Decides operations of one object, in order of invocation. Exact where the top is 1, nothing moves down, or nobody
    /// observes ([`Deadlines::fits`]).
    ///
    /// # Errors
    /// Where there is no order.
    pub fn decide(&mut self, marks: &[Mark]) -> Result<(), Stuck> {
        self.reset(marks);
        let mut begun = 0;
        for at in 0..self.ends.len() {
            let (end, number) = self.ends[at];
            let until = match self.mutation.is(Mutant::BeginsEarly) {
                true => end.saturating_add(2),
                false => end,
            };
            while let Some(mark) = marks.get(begun).filter(|mark| mark.begin < until) {
                self.begin(mark, begun as u32, marks);
                begun += 1;
            }
            self.complete(number, marks)?;
        }
        Ok(())
    }

    /// Whether the algorithm is exact for these.
    pub fn fits(top: u32, marks: &[Mark]) -> bool {
        let sees = |mark: &Mark| matches!(mark.does, Move::See(_)) && mark.end != OPEN;
        top == 1 || !marks.iter().any(|mark| mark.does == Move::Down) || !marks.iter().any(sees)
    }

    fn reset(&mut self, marks: &[Mark]) {
        self.level = 0;
        self.last = None;
        self.up.clear();
        self.down.clear();
        self.waiting.clear();
        self.placed.clear();
        self.placed.resize(marks.len(), false);
        self.next.clear();
        self.next.resize(marks.len(), NONE);
        self.ends.clear();
        let ended = marks.iter().enumerate().filter(|(_, mark)| mark.end != OPEN);
        self.ends.extend(ended.map(|(number, mark)| (mark.end, number as u32)));
        self.ends.sort_unstable();
    }

    fn begin(&mut self, mark: &Mark, number: u32, marks: &[Mark]) {
        let open = match mark.does {
            Move::Up => &mut self.up,
            Move::Down => &mut self.down,
            Move::See(_) if mark.end == OPEN => return,
            Move::See(level) if level == self.level => {
                self.placed[number as usize] = true;
                return;
            }
            Move::See(level) => {
                let before = self.waiting.insert(level, number);
                self.next[number as usize] = before.unwrap_or(NONE);
                return;
            }
        };
        match mark.end {
            OPEN => open.doubts.push(number),
            end if self.mutation.is(Mutant::LatestFirst) => open.due.push(Reverse((u32::MAX - end, number))),
            end => open.due.push(Reverse((end, number))),
        }
        if self.mutation.is(Mutant::Eager) && mark.end != OPEN {
            let up = mark.does == Move::Up;
            if if up { self.level < self.top } else { self.level > 0 } {
                // It can be: there is one at least.
                let _ = self.step(up, number, marks);
            }
        }
    }

    fn complete(&mut self, number: u32, marks: &[Mark]) -> Result<(), Stuck> {
        let does = marks[number as usize].does;
        while !self.placed[number as usize] {
            match does {
                Move::See(_) if self.mutation.is(Mutant::ObserversIgnored) => return Ok(()),
                // Not placed as it passed by, but here now.
                Move::See(level) if level == self.level => self.placed[number as usize] = true,
                Move::See(level) => self.step(level > self.level, number, marks)?,
                Move::Up if self.level >= self.top => self.step(false, number, marks)?,
                Move::Up => self.step(true, number, marks)?,
                Move::Down if self.level == 0 && !self.mutation.is(Mutant::NoBottom) => {
                    self.step(true, number, marks)?;
                }
                Move::Down => self.step(false, number, marks)?,
            }
        }
        Ok(())
    }

    /// Moves once, for the sake of a completion.
    fn step(&mut self, up: bool, number: u32, marks: &[Mark]) -> Result<(), Stuck> {
        let mark = marks[number as usize];
        let stuck = Stuck { place: mark.place, at: mark.end, lacks_up: up, last: self.last };
        let open = if up { &mut self.up } else { &mut self.down };
        let mover = if up && self.level >= self.top { None } else { open.take(self.mutation) };
        let mover = mover.ok_or(stuck)?;
        self.level = if up { self.level + 1 } else { self.level.saturating_sub(1) };
        self.placed[mover as usize] = true;
        self.last = Some(marks[mover as usize].place);
        if !self.mutation.is(Mutant::SeesEndsOnly) {
            let mut seer = self.waiting.remove(&self.level).unwrap_or(NONE);
            while seer != NONE {
                self.placed[seer as usize] = true;
                seer = self.next[seer as usize];
            }
        }
        Ok(())
    }
}
