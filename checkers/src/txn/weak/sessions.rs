//! The guarantees of sessions (Terry et al., "Session guarantees for weakly consistent replicated data", 1994), of single
//! operations.
//!
//! A read sees a set of writes and returns the last of them on its key, in an order of all writes. A guarantee holds if
//! for each session, which is the observer, there is an order of the writes that explains what its reads returned:
//!
//! | guarantee | a read sees what it returned, and | the order keeps |
//! |---|---|---|
//! | read your writes | what its session wrote before | |
//! | monotonic reads | what its session's earlier reads returned | |
//! | monotonic writes | what was written by the same session before anything that its transaction's reads returned of others so far | sessions' writes |
//! | writes follow reads | what a session had read before it wrote something that is seen, from what its transaction's reads returned of others so far | each write after what its session had read |
//! | PRAM | all of the first three, where reads of the whole session count as those of its transaction | sessions' writes |
//! | causal | all that it causally depends on | causality |
//!
//! A transaction is one visit of one server, a session may move between them; so monotonic writes and writes follow reads
//! alone show only within a transaction, as with Terry. What it has written itself is at no server yet: there a read of an own write
//! has seen nothing more. PRAM is the first three together, causal all four (Brzezinski,
//! Sobaniec, Wawrzyniak, "From session causality to causal consistency", 2004; the same in Jepsen's list of models). What
//! is broken here is also broken for PRAM of Lipton and Sandberg and for causal memory of Ahamad et al., which ask
//! besides that what was seen late lies behind what was read before; that is not looked for. Causal+ of Lloyd et al. is
//! the axiom of causal consistency, with one order for all observers. Known orders of versions are kept by each: that of the
//! transactions by their last writes of a key, and of lists with all that each appended before. A list that was read behind appends of the same transaction returned the last of these, and the last of what came
//! before them.
//!
//! Writes that their own transaction wrote over count, and reads of own writes. As long as reads see nothing that is strange by
//! itself (what failed, what nobody wrote, what was written over, another's value behind an own write), and no list has one
//! transaction's appends between those of another, what single operations see of each other transactions do too. So each of these
//! is broken only where the axiom of causal consistency is, and by writes of transactions of one of its cycles: nothing is done
//! where there are none, only writes of one cycle's component are compared, and only ranks are looked at that lie between those of
//! a component (or of a read of the initial state and what it had seen).

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::bases::Bases;
use super::derive::{Forces, merged};
use super::mutant::{Mutant, Mutation};
use super::operations::Operations;
use super::units::{NONE, Ranked, Sessions};
use super::views::{Pass, Views, Watched};
use super::witness::Prover;
use super::{Suspects, Weak};
use crate::anomaly::{Anomaly, AnomalyKind};
use crate::txn::meter::{Meter, Spent};
use crate::txn::txns::{TxnId, Txns};

/// A guarantee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guarantee {
    OwnWrites,
    Reads,
    Writes,
    WritesFollowReads,
    Pram,
    Causal,
}

use Guarantee::{Causal, OwnWrites, Pram, Reads, Writes, WritesFollowReads};

impl Guarantee {
    /// All of them.
    #[cfg(test)]
    pub const ALL: [Guarantee; 6] = [OwnWrites, Reads, Writes, WritesFollowReads, Pram, Causal];

    fn kind(self) -> AnomalyKind {
        match self {
            OwnWrites => AnomalyKind::NotReadYourWrites,
            Reads => AnomalyKind::NotMonotonicReads,
            Writes => AnomalyKind::NotMonotonicWrites,
            WritesFollowReads => AnomalyKind::NotWritesFollowReads,
            Pram => AnomalyKind::NotPram,
            Causal => AnomalyKind::NotCausal,
        }
    }
}

/// Judges them. `suspects` says where the axiom of causal consistency is broken; nothing else is looked at. `of_txns`
/// and `known`: what that axiom forces among transactions.
pub(super) fn judge(
    txns: &Txns<'_>,
    of_txns: &Ranked<'_>,
    known: &Forces,
    among: &Sessions,
    suspects: &Suspects,
    meter: &mut Meter,
    mutation: Mutation,
) -> Weak {
    let Ok(operations) = Operations::of(txns, of_txns, among, &suspects.is_near, meter, mutation) else {
        return Weak { spent: true, ..Weak::default() };
    };
    let is_ordered = of_txns.is_ordered(mutation);
    let ranked = &match is_ordered {
        true => Ranked::in_order(&operations.accesses, &operations.sessions),
        false => Ranked::of(&operations.accesses, &operations.sessions, mutation),
    };
    let is_whole = mutation.is(Mutant::EverythingCompared) || mutation.is(Mutant::OwnAppendsSeen);
    let watched = match is_ordered && !is_whole {
        true => Watched::of(of_txns, known, &operations, suspects.initial.as_deref(), mutation),
        false => Watched::whole(),
    };
    let component_of = &suspects.component_of[..];
    let setting = Setting { txns, operations: &operations, ranked, component_of, watched: &watched, mutation };
    let (anomalies, spent) = setting.judge(meter);
    let passes_over = operations.passes_over;
    operations.close(meter);
    Weak { anomalies, spent, passes_over }
}

/// What is judged.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub txns: &'a Txns<'a>,
    pub operations: &'a Operations,
    pub ranked: &'a Ranked<'a>,
    pub component_of: &'a [u32],
    pub watched: &'a Watched,
    pub mutation: Mutation,
}

impl Setting<'_> {
    fn judge(&self, meter: &mut Meter) -> (Vec<Anomaly>, bool) {
        let Ok(bases) = Bases::of(self.operations, self.ranked, self.component_of, meter, self.mutation) else {
            return (Vec::new(), true);
        };
        // Only two of them ask what lies in the past. Neither side needs the other.
        let (mut own, mut others) = (meter.half(), meter.half());
        let (direct, of_past) = rayon::join(
            || self.direct(&bases, &mut own),
            || {
                let views = Pass::of_past(self, &mut others)?;
                let found = self.prove(WritesFollowReads, &views, &bases, &mut others);
                Ok((views, found))
            },
        );
        meter.join(&[own, others]);
        let (mut anomalies, mut spent) = direct;
        let Ok((views, found)): Result<_, Spent> = of_past else { return (anomalies, true) };
        spent |= found.is_err();
        // Those with their own kinds come in their order.
        let at = anomalies.iter().position(|anomaly| anomaly.kind == Pram.kind().as_str()).unwrap_or(anomalies.len());
        found.ok().flatten().into_iter().for_each(|anomaly| anomalies.insert(at, anomaly));
        // Whatever breaks another one breaks this.
        if anomalies.is_empty() {
            match self.prove(Causal, &views, &bases, meter) {
                Ok(found) => anomalies.extend(found),
                Err(Spent) => spent = true,
            }
        }
        views.close(meter);
        (anomalies, spent)
    }

    /// Those that need no clocks; and whether the budget ended first.
    fn direct(&self, bases: &Bases<'_>, meter: &mut Meter) -> (Vec<Anomaly>, bool) {
        let mut anomalies: Vec<Anomaly> = Vec::new();
        let Ok(views) = Pass::direct(self, meter) else { return (anomalies, true) };
        let mut spent = false;
        for guarantee in [OwnWrites, Reads, Writes, Pram] {
            // The first three imply the last.
            if guarantee == Pram && !anomalies.is_empty() {
                continue;
            }
            match self.prove(guarantee, &views, bases, meter) {
                Ok(found) => anomalies.extend(found),
                Err(Spent) => spent = true,
            }
        }
        views.close(meter);
        (anomalies, spent)
    }

    /// What breaks a guarantee.
    fn prove(
        &self,
        guarantee: Guarantee,
        views: &Views,
        bases: &Bases<'_>,
        meter: &mut Meter,
    ) -> Result<Option<Anomaly>, Spent> {
        let Setting { txns, ranked, operations, .. } = *self;
        let owners = Some(&operations.owners[..]);
        let prover = Prover { txns, ranked, forces: &views.forces, owners, guarantee: Some(guarantee) };
        let bit = 1 << guarantee as u8;
        let witness = match views.initial.iter().find(|seen| seen.by & bit != 0) {
            Some(seen) => Some(prover.before_initial(&seen.forced)),
            None => bases.contradiction(guarantee, &views.seen, &prover, meter)?,
        };
        Ok(witness.map(|witness| Anomaly::new(guarantee.kind(), None, witness)))
    }
}

/// By transaction: whether it is among those that matter.
pub(super) fn near(
    ranked: &Ranked<'_>,
    component_of: &[u32],
    initial: Option<&[(u32, u32)]>,
    mutation: Mutation,
) -> Vec<bool> {
    let mut is_near = vec![false; component_of.len()];
    for rank in windows(ranked, |id| id, component_of, initial, mutation).into_iter().flatten() {
        is_near[ranked.unit(rank) as usize] = true;
    }
    is_near
}

/// The ranks that matter, as a way from a write to who has seen it never leads out of those between them: of each cycle's
/// component from its first operation to the last who read of it; and of each read of the initial state from what it had seen.
fn windows(
    ranked: &Ranked<'_>,
    owner: impl Fn(u32) -> TxnId,
    component_of: &[u32],
    initial: Option<&[(u32, u32)]>,
    mutation: Mutation,
) -> Vec<Range<u32>> {
    let whole = Range { start: 0, end: ranked.len() };
    let Some(initial) = initial else { return vec![whole] };
    let owner_of = |rank: u32| owner(ranked.unit(rank));
    let component_of = |rank: u32| component_of[owner_of(rank) as usize];
    let mut of_component: FxHashMap<u32, Range<u32>> = FxHashMap::default();
    // By transaction that is named.
    let nothing = Range { start: NONE, end: 0 };
    let mut of_txn: FxHashMap<u32, Range<u32>> =
        initial.iter().flat_map(|&(from, to)| [(from, nothing.clone()), (to, nothing.clone())]).collect();
    let grow = |range: &mut Range<u32>, rank: u32| {
        let circle = ranked.circle(rank);
        *range = range.start.min(circle.start)..range.end.max(circle.end);
    };
    for rank in 0..ranked.len() {
        let own = component_of(rank);
        if own != NONE {
            grow(of_component.entry(own).or_insert(rank..rank), rank);
        }
        for writer in ranked.sources(rank).filter(|_| !mutation.is(Mutant::ReadersOutside)) {
            let read_of = component_of(writer);
            if read_of != NONE && read_of != own {
                grow(of_component.entry(read_of).or_insert(rank..rank), rank);
            }
        }
        if let Some(range) = of_txn.get_mut(&owner_of(rank)) {
            grow(range, rank);
        }
    }
    let named = initial.iter().filter(|_| !mutation.is(Mutant::InitialOutside));
    let pairs = named.map(|(from, to)| (&of_txn[from], &of_txn[to]));
    let of_initial = pairs.map(|(from, to)| from.start.min(to.start)..from.end.max(to.end));
    merged(of_component.into_values().chain(of_initial).filter(|range| !range.is_empty()).collect())
}
