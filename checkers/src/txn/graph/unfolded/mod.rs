//! Phenomena that look inside of transactions: at which micro-operation it saw what, and which key a dependency is of.
//!
//! All are Adya's ("Weak Consistency: A Generalized Theory and Optimistic Implementations for Distributed Transactions",
//! PhD thesis, MIT 1999, chapter 4) but the last:
//!
//! - **G-cursor(x)** (level PL-CS): a cycle of one anti-dependency and of write-dependencies, all of one key x. Whoever reads
//!   a version of x and writes x must write the next one.
//! - **G-monotonic** (PL-2L): a cycle with one anti-dependency in the unfolded serialization graph USG(H, T): T stands there as
//!   its micro-operations, joined in their order, each with the edges that it causes itself. So the anti-dependency leaves
//!   a read r of T, and the way back comes to T by a dependency at r or before it: T had seen somebody, or written over
//!   somebody, who depends on what r misses.
//! - **G-MSR** (PL-MSR): each read works on a snapshot of its own, which holds what it reads (G-MSRa) and misses nothing
//!   that leads to it or to what the transaction did before (G-MSRb, which is G-monotonic with the order of snapshots). Nothing
//!   says when snapshots were taken, so some order of commits and snapshots must do. There is none where there is a cycle of the
//!   graph in which **all** transactions are unfolded and a read is entered by what it read: with one anti-dependency a
//!   G-monotonic, with several a cycle in which no two follow each other, and each leaves its transaction at or after
//!   the read by which the cycle came. Where such a graph has no cycle, its order is one of commits and snapshots.
//! - **Update atomicity** (Cerone, Bernardi, Gotsman, "A Framework for Transactional Consistency Models with Atomic Visibility",
//!   2015: read atomic, and of two writers of a key one saw the other, in the order of their versions): a read of y, versions
//!   of y after it up to one by W, and a step from W to the reader: W was read, or W wrote over a key that the reader wrote
//!   over later.
//!
//! All are asked of histories without G1 alone: the levels forbid that too, so wr and ww have no cycle, and a way of them never
//! leaves a transaction to come back.
//!
//! What is not known of the order of versions (appends that nobody read, registers) is left out first, so what is found is there
//! in whatever order. Then orders of versions are made that fit what is known; if there is nothing to be found with one of
//! them, the level holds. Otherwise it is open.
//!
//! Cost: linear in the micro-operations for what must be there before there can be a cycle; a search breadth first for each
//! anti-dependency that goes back in an order of dependencies (G-monotonic) or lies in a strongly connected component (G-MSR);
//! the versions that a read missed (update atomicity). Steps and bytes are counted.

mod ground;
mod keys;
mod mutant;
mod walks;

use crate::anomaly::AnomalyKind;
use crate::linear::mutant::Mutation;
use crate::txn::accesses::Accesses;
use crate::txn::edge::Edge;
use crate::txn::meter::{Meter, Spent};
use crate::txn::txns::Txns;
use ground::Ground;
pub(in crate::txn) use mutant::Mutant;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phenomenon {
    /// G-cursor.
    Cursor,
    /// What update atomicity forbids.
    Update,
    /// G-monotonic.
    Monotonic,
    /// G-MSR.
    Snapshot,
}

impl Phenomenon {
    /// All of them, in the order of [`Unfolded::verdicts`].
    pub const ALL: [Phenomenon; 4] =
        [Phenomenon::Cursor, Phenomenon::Update, Phenomenon::Monotonic, Phenomenon::Snapshot];

    /// The anomaly.
    pub fn kind(self) -> AnomalyKind {
        match self {
            Phenomenon::Cursor => AnomalyKind::GCursor,
            Phenomenon::Update => AnomalyKind::NotUpdateAtomic,
            Phenomenon::Monotonic => AnomalyKind::GMonotonic,
            Phenomenon::Snapshot => AnomalyKind::GMsr,
        }
    }
}

/// A step of a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// From whom to whom, and how.
    pub edge: Edge,
    /// The key, and the micro-operations that cause it in the earlier and the later transaction. `None` for a dependency that
    /// was given without: any of its causes will do.
    pub cause: Option<(u32, u32, u32)>,
}

/// A cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its steps; no transaction is there twice.
    pub links: Vec<Link>,
    /// Whether it was proven that there is no shorter one of its kind.
    pub shortest: bool,
}

/// What is known of a phenomenon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is there, whatever order versions have.
    Found(Told),
    /// There is an order of versions without it (and without G1).
    Absent,
    /// Neither was shown.
    Open,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfolded {
    /// In the order of [`Phenomenon::ALL`].
    pub verdicts: [Verdict; 4],
    /// Whether the budget ended before all was looked at.
    pub spent: bool,
}

impl Unfolded {
    fn open() -> Unfolded {
        Unfolded { verdicts: [Verdict::Open, Verdict::Open, Verdict::Open, Verdict::Open], spent: false }
    }

    /// What is to be looked for still. Where there is a G-monotonic, nobody needs a G-MSR.
    fn open_ones(&self) -> [bool; 4] {
        let is_open = |place: usize| self.verdicts[place] == Verdict::Open;
        let is_monotonic = matches!(self.verdicts[2], Verdict::Found(_));
        [is_open(0), is_open(1), is_open(2), is_open(3) && !is_monotonic]
    }

    /// Takes what came of a look: what was found with known versions alone is certain, that nothing was found is if the order
    /// is whole.
    fn take(&mut self, found: [Option<Looked>; 4], is_known: bool, is_whole: bool) {
        for (verdict, found) in self.verdicts.iter_mut().zip(found) {
            match found {
                Some(Looked::Cycle(cycle)) if is_known => *verdict = Verdict::Found(cycle),
                Some(Looked::Nothing) if is_whole => *verdict = Verdict::Absent,
                _ => {}
            }
        }
    }
}

/// Orders of versions that are made where they are not known, at most.
const GUESSES_MAX: u32 = 6;
/// With more transactions than these, fewer are made.
const GUESSED_TXNS_MAX: usize = 4096;

/// Looks for all of them in a history without G1. `ww`: what is known of the order of versions as dependencies between writers,
/// beside what `accesses` says; other edges in it are not looked at.
pub fn examine(txns: &Txns<'_>, accesses: &Accesses, ww: &[Edge], meter: &mut Meter) -> Unfolded {
    run(txns, accesses, ww, meter, Mutation::default())
}

pub(in crate::txn) fn run(
    txns: &Txns<'_>,
    accesses: &Accesses,
    ww: &[Edge],
    meter: &mut Meter,
    mutation: Mutation<Mutant>,
) -> Unfolded {
    let mut told = Unfolded::open();
    told.spent = looked(&mut told, (txns, accesses, ww), meter, mutation).is_err();
    told
}

fn looked(
    told: &mut Unfolded,
    (txns, accesses, ww): (&Txns<'_>, &Accesses, &[Edge]),
    meter: &mut Meter,
    mutation: Mutation<Mutant>,
) -> Result<(), Spent> {
    // Where wr and ww have a cycle, that is not for here to say.
    let Some(base) = Ground::new(txns, accesses, ww, None, meter, mutation)? else { return Ok(()) };
    told.take(judge(&base, told.open_ones(), meter)?, true, base.is_whole || mutation.is(Mutant::UnknownForgotten));
    let most = if accesses.len() > GUESSED_TXNS_MAX { 2 } else { GUESSES_MAX };
    let mut last: Option<Ground<'_>> = None;
    for number in 0..if base.is_whole { 0 } else { most } {
        if told.open_ones() == [false; 4] {
            break;
        }
        let ranks = base.guess(number, last.as_ref().map_or(&base.over, |last| &last.over));
        if let Some(last) = last.take() {
            meter.give_back(last.bytes);
        }
        let Some(ranks) = ranks else { break };
        let Some(guessed) = Ground::new(txns, accesses, ww, Some(&ranks), meter, mutation)? else { break };
        told.take(judge(&guessed, told.open_ones(), meter)?, false, guessed.is_whole);
        last = Some(guessed);
    }
    meter.give_back(base.bytes + last.map_or(0, |last| last.bytes));
    Ok(())
}

/// What came of a look.
enum Looked {
    Cycle(Told),
    Nothing,
}

impl From<Option<Told>> for Looked {
    fn from(found: Option<Told>) -> Looked {
        found.map_or(Looked::Nothing, Looked::Cycle)
    }
}

/// Looks for what is wanted, in the order of [`Phenomenon::ALL`].
fn judge(ground: &Ground<'_>, wanted: [bool; 4], meter: &mut Meter) -> Result<[Option<Looked>; 4], Spent> {
    let [cursor, update, monotonic, snapshot] = wanted;
    let mut found = [None, None, None, None];
    if cursor {
        found[0] = Some(ground.cursor(meter)?.into());
    }
    if update {
        found[1] = Some(ground.update(meter)?.into());
    }
    if monotonic || snapshot {
        let told = ground.monotonic(meter)?;
        if snapshot {
            // A G-monotonic breaks that level too, and says more.
            found[3] = match &told {
                Some(_) => None,
                None => Some(ground.snapshot(meter)?.into()),
            };
        }
        found[2] = monotonic.then(|| told.into());
    }
    Ok(found)
}
