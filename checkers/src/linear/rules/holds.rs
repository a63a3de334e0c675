//! Locks with owners: decided by the stretches for which they were surely held.
//!
//! Only who holds the lock can release it, and a process does one thing at a time. So what a process did tells which
//! release belongs to which acquisition: together they are one **hold**, in which nobody else can acquire. A hold is there
//! surely from the completion `f` of its (outermost) acquisition to the invocation `s` of its (outermost) release, and
//! `f < s`. So each hold is a forward zone in the sense of `blocks`, and there is an order if and only if no two of these
//! stretches overlap; it is the order of the stretches. Tokens of a fenced lock must grow along it.
//!
//! - **Doubt.** An acquisition in doubt can as well not have happened: nobody could release it, since a process that is in
//!   doubt does nothing more. A release in doubt happens as soon as somebody else needs the lock, or never: `s` is its
//!   invocation. One of a process that does not hold the lock, or holds it more than once, changes nothing for the others.
//! - **Refused acquisitions** ("somebody else has it") need a moment at which the lock is held. Held as long as it can
//!   be, it is surely free only between the completion of a release and the invocation of the next acquisition, where
//!   these do not overlap: no refusal may lie inside such a stretch. The last one may be ended by an acquisition
//!   in doubt.
//! - **Refused releases** ("you do not have it") are about the process alone.
//!
//! Cost: O(n log n) time, about 40 bytes a hold. Not covered: leases that run out (a hold that ends without a release);
//! histories in which a process goes on after doubt, or overlaps itself (they go to the search).

use rustc_hash::FxHashMap;
use schism_history::OpIndex;

use crate::linear::models::lock::{LockAction, LockKind};
use crate::linear::mutant::Mutation;
use crate::linear::ruling::{Certificate, Ruling};
use crate::linear::split::{OPEN, Operation};

const ALGORITHM: &str = "holds";
/// No operation.
const NONE: u32 = u32::MAX;

/// Defects that the tests must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Mutant {
    /// Holds may overlap.
    Overlap,
    /// A hold without a release ends by itself.
    OpenEnds,
    /// A hold lasts until its release has ended.
    HeldUntilEnd,
    /// A hold begins with the invocation of its acquisition.
    HeldFromBegin,
    /// A release in doubt did not happen.
    DoubtNotReleased,
    /// An acquisition in doubt did happen.
    DoubtHeld,
    /// Any process may release.
    AnyReleases,
    /// The first release ends a hold, however often it was taken.
    DepthIgnored,
    /// A process may acquire what it holds.
    AcquiredTwice,
    /// Tokens tell nothing.
    TokensIgnored,
    /// A token may come twice.
    TokensEqual,
    /// Refusals tell nothing.
    RefusalsIgnored,
    /// A refusal must not begin in a stretch in which the lock is free.
    RefusalsAtBegin,
    /// An acquisition in doubt explains no refusal.
    NoTail,
}

/// A hold.
#[derive(Debug, Clone, Copy)]
struct Hold {
    /// Place of the acquisition, and of the release, if there is one.
    acquire: u32,
    release: u32,
    token: Option<i64>,
}

/// What a process has done so far.
#[derive(Debug, Clone, Copy)]
struct Standing {
    /// Its hold, and how deep it is.
    hold: u32,
    depth: u32,
    /// Its last operation.
    last: u32,
}

/// Why it ends early.
enum Early {
    Bad(OpIndex, &'static str, Vec<u32>),
    Unfit(&'static str),
}

struct Holds<'a> {
    operations: &'a [Operation<LockAction>],
    kind: LockKind,
    standings: FxHashMap<u32, Standing>,
    holds: Vec<Hold>,
    /// Refused acquisitions of processes that did not hold the lock.
    refused: Vec<u32>,
    /// Acquisitions in doubt.
    doubtful: Vec<u32>,
    mutation: Mutation<Mutant>,
}

/// Decides operations in order of invocation.
pub(crate) fn rule(operations: &[Operation<LockAction>], kind: LockKind, mutation: Mutation<Mutant>) -> Ruling {
    let mut holds = Holds {
        operations,
        kind,
        standings: FxHashMap::default(),
        holds: Vec::with_capacity(operations.len() / 2 + 1),
        refused: Vec::new(),
        doubtful: Vec::new(),
        mutation,
    };
    let bad = |at, pattern, places| Ruling::Bad {
        algorithm: ALGORITHM,
        at,
        certificate: Some(Certificate { pattern, places }),
    };
    match holds.run() {
        Ok(()) => Ruling::Good { algorithm: ALGORITHM },
        Err(Early::Bad(at, pattern, places)) => bad(at, pattern, places),
        Err(Early::Unfit(why)) => Ruling::Unfit(why),
    }
}

/// For each operation a number from 1: an acquisition and the release that belongs to it (of a reentrant lock: as brackets
/// do) have the same one. Leaving out such a pair, or an acquisition without a release, keeps an order legal: the lock
/// is held by the same process for less of the time, or by nobody. If somebody was refused, that needs the lock to be held:
/// then they have number 0.
pub(crate) fn groups(operations: &[Operation<LockAction>], kind: LockKind) -> Vec<u32> {
    let refused = operations.iter().any(|operation| matches!(operation.action, LockAction::RefusedAcquire(_)));
    let mut open: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
    let each = |(place, operation): (usize, &Operation<LockAction>)| {
        let own = place as u32 + 1;
        let taken = open.entry(operation.action.process()).or_default();
        let group = match operation.action {
            LockAction::RefusedAcquire(_) | LockAction::RefusedRelease(_) => return own,
            LockAction::Acquire(..) => {
                if kind != LockKind::Reentrant {
                    taken.clear();
                }
                taken.push(own);
                own
            }
            LockAction::Release(_) => taken.pop().unwrap_or(own),
        };
        if refused { 0 } else { group }
    };
    operations.iter().enumerate().map(each).collect()
}

impl Holds<'_> {
    fn run(&mut self) -> Result<(), Early> {
        self.check_processes()?;
        for place in 0..self.operations.len() as u32 {
            self.take(place)?;
        }
        let operations = self.operations;
        self.holds.sort_unstable_by_key(|hold| operations[hold.acquire as usize].end);
        self.check_overlaps()?;
        self.check_tokens()?;
        self.check_refused()
    }

    fn of(&self, place: u32) -> &Operation<LockAction> {
        &self.operations[place as usize]
    }

    /// A process does one thing at a time, and nothing after doubt.
    fn check_processes(&self) -> Result<(), Early> {
        let mut ends: FxHashMap<u32, OpIndex> = FxHashMap::default();
        for operation in self.operations {
            let before = ends.insert(operation.action.process(), operation.end);
            if before.is_some_and(|end| end > operation.invoke) {
                return Err(Early::Unfit("a process did two things at a time, or went on after one in doubt"));
            }
        }
        Ok(())
    }

    /// An operation of a process, after those that it did before.
    fn take(&mut self, place: u32) -> Result<(), Early> {
        let Operation { end, action, .. } = *self.of(place);
        let mut process = action.process();
        if self.mutation.is(Mutant::AnyReleases)
            && let LockAction::Release(_) = action
            && let Some((&other, _)) = self.standings.iter().find(|(_, standing)| standing.depth > 0)
        {
            process = other;
        }
        let new = Standing { hold: NONE, depth: 0, last: NONE };
        let mut standing = self.standings.get(&process).copied().unwrap_or(new);
        match action {
            LockAction::Acquire(_, token) => self.acquire(place, token, &mut standing)?,
            LockAction::Release(_) => self.release(place, &mut standing)?,
            LockAction::RefusedAcquire(_) | LockAction::RefusedRelease(_) if end == OPEN => {}
            LockAction::RefusedAcquire(_) if standing.depth > 0 => {
                if self.kind == LockKind::Reentrant {
                    return Err(Early::Bad(end, "holder-was-refused", vec![standing.last, place]));
                }
            }
            LockAction::RefusedAcquire(_) => self.refused.push(place),
            LockAction::RefusedRelease(_) if standing.depth > 0 => {
                return Err(Early::Bad(end, "holder-could-not-release", vec![standing.last, place]));
            }
            LockAction::RefusedRelease(_) => {}
        }
        standing.last = place;
        self.standings.insert(process, standing);
        Ok(())
    }

    fn acquire(&mut self, place: u32, token: Option<i64>, standing: &mut Standing) -> Result<(), Early> {
        let end = self.of(place).end;
        match standing.depth {
            0 if end == OPEN && !self.mutation.is(Mutant::DoubtHeld) => self.doubtful.push(place),
            0 => {
                standing.hold = self.holds.len() as u32;
                standing.depth = 1;
                self.holds.push(Hold { acquire: place, release: NONE, token });
            }
            _ if end == OPEN => {}
            _ if self.kind == LockKind::Reentrant => standing.depth += 1,
            _ if self.mutation.is(Mutant::AcquiredTwice) => {}
            _ => {
                let first = self.holds[standing.hold as usize].acquire;
                return Err(Early::Bad(end, "acquired-twice", vec![first, place]));
            }
        }
        Ok(())
    }

    fn release(&mut self, place: u32, standing: &mut Standing) -> Result<(), Early> {
        let end = self.of(place).end;
        match standing.depth {
            0 if end == OPEN => {}
            0 => {
                let before = Some(standing.last).filter(|&last| last != NONE);
                let places = before.into_iter().chain([place]).collect();
                return Err(Early::Bad(end, "released-without-hold", places));
            }
            depth => {
                if depth == 1 || self.mutation.is(Mutant::DepthIgnored) {
                    let kept = end == OPEN && self.mutation.is(Mutant::DoubtNotReleased);
                    self.holds[standing.hold as usize].release = if kept { NONE } else { place };
                }
                standing.depth = depth - 1;
            }
        }
        Ok(())
    }

    /// From when on a hold surely is, and until when.
    fn span(&self, hold: &Hold) -> (OpIndex, OpIndex) {
        let acquire = self.of(hold.acquire);
        // One in doubt is a hold only by a defect.
        let early = self.mutation.is(Mutant::HeldFromBegin) || acquire.in_doubt();
        let from = if early { acquire.invoke } else { acquire.end };
        let until = match hold.release {
            NONE if self.mutation.is(Mutant::OpenEnds) => from,
            NONE => OPEN,
            release if self.mutation.is(Mutant::HeldUntilEnd) => self.of(release).end,
            release => self.of(release).invoke,
        };
        (from, until)
    }

    fn check_overlaps(&self) -> Result<(), Early> {
        if self.mutation.is(Mutant::Overlap) {
            return Ok(());
        }
        for pair in self.holds.windows(2) {
            let (from, _) = self.span(&pair[1]);
            if self.span(&pair[0]).1 > from {
                let all = pair.iter().flat_map(|hold| [hold.acquire, hold.release]);
                let places = all.filter(|&place| place != NONE).collect();
                return Err(Early::Bad(self.of(pair[1].acquire).end, "holds-overlap", places));
            }
        }
        Ok(())
    }

    fn check_tokens(&self) -> Result<(), Early> {
        if self.kind != LockKind::Fenced || self.mutation.is(Mutant::TokensIgnored) {
            return Ok(());
        }
        let mut before: Option<(i64, u32)> = None;
        for hold in &self.holds {
            let Some(token) = hold.token else { continue };
            if let Some((last, acquire)) = before
                && (token < last || (token == last && !self.mutation.is(Mutant::TokensEqual)))
            {
                let at = self.of(hold.acquire).end;
                return Err(Early::Bad(at, "token-did-not-grow", vec![acquire, hold.acquire]));
            }
            before = Some((token, hold.acquire));
        }
        Ok(())
    }

    /// When an acquisition in doubt can begin that follows all holds.
    fn tail(&self) -> OpIndex {
        let token = self.holds.iter().filter_map(|hold| hold.token).max();
        let grows = |place: &&u32| match self.of(**place).action {
            LockAction::Acquire(_, Some(new)) if self.kind == LockKind::Fenced => token.is_none_or(|last| new > last),
            _ => true,
        };
        let begins = self.doubtful.iter().filter(grows).map(|&place| self.of(place).invoke);
        begins.min().filter(|_| !self.mutation.is(Mutant::NoTail)).unwrap_or(OPEN)
    }

    /// A refusal must not lie inside a stretch in which the lock was surely free.
    fn check_refused(&self) -> Result<(), Early> {
        if self.refused.is_empty() || self.mutation.is(Mutant::RefusalsIgnored) {
            return Ok(());
        }
        let tail = self.tail();
        for &place in &self.refused {
            let Operation { invoke, end, .. } = *self.of(place);
            // Only before the first hold that was acquired later can the stretch lie.
            let next = self.holds.partition_point(|hold| self.of(hold.acquire).end < invoke);
            let before = next.checked_sub(1).map(|before| self.holds[before]);
            let begins_in = match before {
                None => true,
                Some(Hold { release: NONE, .. }) => false,
                Some(Hold { release, .. }) => self.of(release).end < invoke,
            };
            let until = self.holds.get(next).map_or(tail, |hold| self.of(hold.acquire).invoke);
            let last = if self.mutation.is(Mutant::RefusalsAtBegin) { invoke } else { end };
            if begins_in && last < until {
                return Err(Early::Bad(end, "refused-while-free", self.neighbours(place, before, next)));
            }
        }
        Ok(())
    }

    /// A refused operation after the release before it, and before the acquisition after it.
    fn neighbours(&self, refused: u32, before: Option<Hold>, next: usize) -> Vec<u32> {
        let before = before.map(|hold| hold.release).filter(|&release| release != NONE);
        let after = self.holds.get(next).map(|hold| hold.acquire);
        before.into_iter().chain([refused]).chain(after).collect()
    }
}
