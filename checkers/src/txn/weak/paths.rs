//! How the earlier unit of a forced order is visible to the reader.

use std::collections::VecDeque;
use std::iter::successors;
use std::num::NonZeroU32;

use super::components::Why;
use super::derive::{Axiom, Forced};
use super::sessions::Guarantee;
use super::units::NONE;
use super::witness::{Arrow, Prover};

/// Ranks that a path may span; of a longer one only the ends are told.
const SPAN_MAX: u32 = u32::MAX / State::COLUMNS - 1;

impl Prover<'_> {
    /// How the earlier unit of a forced order is visible to the reader: the fewest steps, where several of one session in
    /// a row are one.
    pub fn path(&self, forced: &Forced) -> Vec<Arrow> {
        let ranked = self.ranked;
        let direct = match forced.axiom {
            _ if self.guarantee.is_some() => None,
            _ if ranked.sources(forced.reader).any(|source| source == forced.from) => Some(Why::Reads),
            Axiom::Atomic => Some(Why::Session),
            _ => None,
        };
        if let Some(why) = direct {
            return vec![Arrow { from: forced.from, to: forced.reader, why }];
        }
        // Only within a circle does a path go up.
        let low = ranked.circle(forced.from).start.min(forced.reader);
        let count = ranked.circle(forced.reader).end - low;
        if count > SPAN_MAX {
            return Vec::new();
        }
        let count = (count * State::COLUMNS) as usize;
        let (parents, is_done) = (vec![None; count], vec![0; count.div_ceil(64)]);
        let walk = Walk { prover: self, forced, low, parents, is_done, queue: VecDeque::new() };
        walk.run().unwrap_or_default()
    }

    /// The process of a unit: also that of one in doubt, which has no place in its session.
    fn process(&self, rank: u32) -> u32 {
        self.txns.session(self.owner(rank))
    }

    /// Whether a path back from a reader may go on so, by what the guarantee says that a read sees.
    pub fn may_step(&self, reader: u32, state: &State, next: &State) -> bool {
        let is_read = !next.in_session;
        let within = || self.owner(next.rank) == self.owner(reader);
        // What the reader's transaction wrote itself is at no server yet.
        let is_own = || is_read && state.reads == 0 && within();
        match self.guarantee {
            Some(Guarantee::Writes | Guarantee::WritesFollowReads) if is_own() => false,
            None | Some(Guarantee::Causal) => true,
            Some(Guarantee::OwnWrites) => !is_read,
            Some(Guarantee::Reads) => state.reads == 0,
            Some(Guarantee::Writes) => {
                if is_read {
                    state.reads == 0
                } else {
                    state.reads == 1 || within()
                }
            }
            Some(Guarantee::WritesFollowReads) => is_read || state.reads > 0 || within(),
            Some(Guarantee::Pram) => !is_read || state.reads == 0,
        }
    }

    /// Whether what a read leads to may lie on a path from there, where no other read may come before it on the path.
    pub fn may_lead(&self, from: u32, next: &State) -> bool {
        let is_of_session = || self.process(from) == self.process(next.rank);
        match self.guarantee {
            _ if next.in_session => true,
            Some(Guarantee::Reads) => next.rank == from,
            Some(Guarantee::Writes | Guarantee::Pram) => next.rank == from || is_of_session(),
            _ => true,
        }
    }

    /// Whether it may end where it is.
    pub fn may_end(&self, state: &State) -> bool {
        match self.guarantee {
            Some(Guarantee::Reads | Guarantee::WritesFollowReads) => state.reads > 0 && !state.in_session,
            Some(Guarantee::Writes) => state.reads > 0,
            _ => true,
        }
    }
}

/// A search back from the reader. What costs as much comes in any order; going on in a session costs nothing.
struct Walk<'a> {
    prover: &'a Prover<'a>,
    forced: &'a Forced,
    /// No path goes lower.
    low: u32,
    /// By number of the state: that which it leads to.
    parents: Vec<Option<NonZeroU32>>,
    /// By number of the state, a bit each: whether it was looked at, so that nothing cheaper leads to it.
    is_done: Vec<u64>,
    queue: VecDeque<State>,
}

impl Walk<'_> {
    fn run(mut self) -> Option<Vec<Arrow>> {
        let (prover, ranked) = (self.prover, self.prover.ranked);
        let (from, reader) = (self.forced.from, self.forced.reader);
        self.queue.push_back(State { rank: reader, in_session: false, reads: 0 });
        while let Some(state) = self.queue.pop_front() {
            let number = state.place(self.low);
            if self.is_done(number) {
                continue;
            }
            self.is_done[number / 64] |= 1 << (number % 64);
            if state.rank == from && prover.may_end(&state) {
                return Some(self.to(state));
            }
            let before = ranked.before[state.rank as usize];
            let session = [(before, true)].into_iter().filter(|&(before, _)| before != NONE);
            for (rank, in_session) in session.chain(ranked.sources(state.rank).map(|source| (source, false))) {
                let reads = (state.reads + u8::from(!in_session)).min(2);
                let next = State { rank, in_session, reads };
                let is_free = in_session && state.in_session;
                let leads = rank >= self.low && rank < ranked.circle(state.rank).end;
                if !leads || !prover.may_step(reader, &state, &next) || !prover.may_lead(from, &next) {
                    continue;
                }
                let number = next.place(self.low);
                if self.is_done(number) || self.parents[number].is_some() && !is_free {
                    continue;
                }
                self.parents[number] = NonZeroU32::new(state.place(self.low) as u32 + 1);
                if let Some(end) = self.end(next, is_free) {
                    return Some(self.to(end));
                }
                if is_free { self.queue.push_front(next) } else { self.queue.push_back(next) }
            }
        }
        None
    }

    fn is_done(&self, number: usize) -> bool {
        self.is_done[number / 64] >> (number % 64) & 1 == 1
    }

    /// Where the path ends, if it is known before it is looked at that none is cheaper: an end that only a read leads to costs
    /// as much as any that is found later; and so does one to which a session leads, if it is asked for where the session is entered.
    fn end(&mut self, next: State, is_free: bool) -> Option<State> {
        let (ranked, from) = (self.prover.ranked, self.forced.from);
        match self.prover.guarantee {
            Some(Guarantee::Reads | Guarantee::WritesFollowReads) => {
                return Some(next).filter(|next| next.rank == from && self.prover.may_end(next));
            }
            None | Some(Guarantee::Causal) => {}
            _ => return None,
        }
        // One in doubt is the last of its process.
        let is_behind = |rank: u32| rank > from && self.prover.process(rank) == self.prover.process(from);
        if !next.in_session || is_free || !is_behind(next.rank) {
            return Some(next).filter(|next| next.rank == from);
        }
        let states = successors(Some(next), |state| {
            let rank = ranked.before[state.rank as usize];
            (state.rank > from && rank >= from && rank < state.rank).then_some(State { rank, ..*state })
        });
        let row: Vec<State> = states.collect();
        let end = row.last().copied().filter(|end| end.rank == from)?;
        for pair in row.windows(2) {
            self.parents[pair[1].place(self.low)] = NonZeroU32::new(pair[0].place(self.low) as u32 + 1);
        }
        Some(end)
    }

    /// The path from a state to the reader.
    fn to(&self, end: State) -> Vec<Arrow> {
        let mut path: Vec<Arrow> = Vec::new();
        let mut state = end;
        while let Some(number) = self.parents[state.place(self.low)] {
            let to = State::at(number, self.low);
            let why = if state.in_session { Why::Session } else { Why::Reads };
            path.push(Arrow { from: state.rank, to: to.rank, why });
            state = to;
        }
        path
    }
}

/// A unit on a path back from a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub rank: u32,
    /// Whether the step after it is one of a session, so that one more of the same session is free.
    pub in_session: bool,
    /// How many steps of reading come after it; two for more.
    pub reads: u8,
}

impl State {
    /// So many states has each rank.
    const COLUMNS: u32 = 6;

    /// Its place among those of ranks from `low` on.
    fn place(&self, low: u32) -> usize {
        let column = u32::from(self.in_session) * 3 + u32::from(self.reads);
        ((self.rank - low) * State::COLUMNS + column) as usize
    }

    /// The state at a place, counted from one.
    fn at(number: NonZeroU32, low: u32) -> State {
        let place = number.get() - 1;
        let column = place % State::COLUMNS;
        State { rank: low + place / State::COLUMNS, in_session: column >= 3, reads: (column % 3) as u8 }
    }
}
