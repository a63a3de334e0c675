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
//! | monotonic writes | what was written by the same session before anything that its transaction's reads returned so far | sessions' writes |
//! | writes follow reads | what a session had read before it wrote something that is seen, from what its transaction's reads returned so far | each write after what its session had read |
//! | PRAM | all of the first three, where reads of the whole session count as those of its transaction | sessions' writes |
//! | causal | all that it causally depends on | causality |
//!
//! A transaction is one visit of one server, a session may move between them; so monotonic writes and writes follow reads
//! alone show only within a transaction, as with Terry. PRAM is the first three together, causal all four (Brzezinski,
//! Sobaniec, Wawrzyniak, "From session causality to causal consistency", 2004; the same in Jepsen's list of models). What
//! is broken here is also broken for PRAM of Lipton and Sandberg and for causal memory of Ahamad et al., which ask
//! besides that what was seen late lies behind what was read before; that is not looked for. Causal+ of Lloyd et al. is
//! the axiom of causal consistency, with one order for all observers. Known orders of versions are kept by each. Of a list that
//! was read behind appends of the same transaction, the read returned the last of what came before these.
//!
//! Each of these is broken only where the axiom of causal consistency is, and by writes of transactions of one of its
//! cycles, so nothing is done where there are none, only writes of one cycle's component are compared, and only ranks are
//! looked at that lie between those of a component (or of a read of the initial state and what it had seen).

use std::collections::BTreeMap;
use std::ops::Range;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Suspects;
use super::clocks::{Clocks, Purpose};
use super::components::{Arc, Graph, Why};
use super::derive::{Axiom, Forced, Forces, merged};
use super::mutant::{Mutant, Mutation};
use super::operations::Operations;
use super::units::{NONE, Ranked, Sessions, Source};
use super::witness::{Prover, shortest_cycle};
use crate::anomaly::{Anomaly, AnomalyKind, Witness};
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
    /// In this order: what others imply comes first.
    const ALL: [Guarantee; 6] = [OwnWrites, Reads, Writes, WritesFollowReads, Pram, Causal];

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

/// A write before another, for one observer, by some guarantees.
#[derive(Debug, Clone, Copy)]
struct Seen {
    forced: Forced,
    observer: u32,
    /// Of the two writes.
    component: u32,
    /// By guarantee, a bit each.
    by: u8,
}

/// Bytes that a read costs while it is remembered, and an operation.
const READ_BYTES: u64 = 32;
const LINK_BYTES: u64 = 8;

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
) -> Result<Vec<Anomaly>, Spent> {
    let component_of = &suspects.component_of[..];
    let operations = Operations::of(txns, of_txns, among, &suspects.is_near, meter, mutation)?;
    let is_ordered = of_txns.is_ordered(mutation);
    let ranked = match is_ordered {
        true => Ranked::in_order(&operations.accesses, &operations.sessions),
        false => Ranked::of(&operations.accesses, &operations.sessions, mutation),
    };
    let is_whole = mutation.is(Mutant::EverythingCompared) || mutation.is(Mutant::OwnAppendsSeen);
    let watched = match is_ordered && !is_whole {
        true => Watched::of(of_txns, known, &operations, suspects.initial.as_deref(), mutation),
        false => Watched { is_whole: true, ..Watched::default() },
    };
    let mut pass = Pass {
        operations: &operations,
        ranked: &ranked,
        component_of,
        mutation,
        watched,
        last_reader: vec![NONE; ranked.ids.len()],
        reader_before: vec![NONE; ranked.ids.len()],
        asked: (NONE, false),
        was_read: FxHashSet::default(),
        furthest: FxHashMap::default(),
        open: FxHashMap::default(),
        seen: Vec::new(),
        initial: Vec::new(),
    };
    let links = ranked.ids.len() as u64 * LINK_BYTES;
    meter.take_bytes(links)?;
    let outcome = pass.run(meter);
    meter.give_back(pass.was_read.len() as u64 * READ_BYTES + links);
    outcome?;
    let (seen, initial) = (pass.seen, pass.initial);
    let forces = Forces::of(seen.iter().map(|seen| seen.forced).collect());
    let owners = Some(&operations.owners[..]);
    let prover = Prover { txns, ranked: &ranked, forces: &forces, owners, guarantee: None };
    let bases = Bases::of(&operations, &ranked, component_of, meter, mutation)?;
    let mut anomalies: Vec<Anomaly> = Vec::new();
    let mut broken = [false; 6];
    for guarantee in Guarantee::ALL {
        let is_broken = |which: Guarantee| broken[which as usize];
        let is_implied = match guarantee {
            Pram => is_broken(OwnWrites) || is_broken(Reads) || is_broken(Writes),
            Causal => Guarantee::ALL[..5].iter().any(|&which| is_broken(which)),
            _ => false,
        };
        if is_implied {
            continue;
        }
        let prover = Prover { guarantee: Some(guarantee), ..prover };
        let bit = 1 << guarantee as u8;
        let first = initial.iter().find(|seen| seen.by & bit != 0);
        let witness = match first {
            Some(seen) => Some(prover.before_initial(&seen.forced)),
            None => bases.contradiction(guarantee, &seen, &prover, meter)?,
        };
        if let Some(witness) = witness {
            broken[guarantee as usize] = true;
            anomalies.push(Anomaly::new(guarantee.kind(), None, witness));
        }
    }
    operations.close(meter);
    Ok(anomalies)
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
        is_near[ranked.ids[rank as usize] as usize] = true;
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
    let owner_of = |rank: u32| owner(ranked.ids[rank as usize]);
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

/// What the reads of a transaction returned so far.
#[derive(Debug, Default)]
struct Visit {
    /// The last of each process's writes that was returned: process, operation.
    furthest: Vec<(u32, u32)>,
    /// What was in the past of those, by chain.
    past: Vec<u32>,
}

/// What an observer may have seen that contradicts an order of the writes: that takes an order that points back, or a read of
/// the initial state. Operations have ranks in the order of those of transactions, so what points back among them does so among
/// transactions too.
#[derive(Debug, Default)]
struct Watched {
    /// Whether everything matters, for all.
    is_whole: bool,
    /// By session: what orders that point back span, as ranks of operations; disjoint and rising.
    spans: FxHashMap<u32, Vec<Range<u32>>>,
    /// Sessions that read the initial state of what they had seen written; and in which transactions.
    initial_sessions: FxHashSet<u32>,
    initial: FxHashSet<TxnId>,
    /// Whether there are too many of these to know them.
    is_all_initial: bool,
}

impl Watched {
    fn of(
        of_txns: &Ranked<'_>,
        known: &Forces,
        operations: &Operations,
        initial: Option<&[(u32, u32)]>,
        mutation: Mutation,
    ) -> Watched {
        let mut watched = Watched { is_all_initial: initial.is_none(), ..Watched::default() };
        let back = known.orders.iter().filter(|forced| forced.from > forced.to);
        for forced in back.filter(|_| !mutation.is(Mutant::BackUnwatched)) {
            let (start, end) = (operations.first[forced.to as usize], operations.first[forced.from as usize + 1]);
            watched.spans.entry(of_txns.session[forced.reader as usize]).or_default().push(start..end);
        }
        for spans in watched.spans.values_mut() {
            *spans = merged(std::mem::take(spans));
        }
        for &(_, reader) in initial.unwrap_or_default() {
            watched.initial.insert(reader);
            watched.initial_sessions.insert(of_txns.session[of_txns.ranks[reader as usize] as usize]);
        }
        watched
    }

    /// Where everything is that matters about a write that a session read; `None` if nothing is.
    fn span(&self, session: u32, write: u32) -> Option<Range<u32>> {
        if self.is_whole {
            return Some(0..NONE);
        }
        let spans = self.spans.get(&session)?;
        let span = spans.get(spans.partition_point(|span| span.end <= write))?;
        span.contains(&write).then(|| span.clone())
    }

    /// Whether a transaction's reads of the initial state matter.
    fn initial(&self, owner: TxnId) -> bool {
        self.is_whole || self.is_all_initial || self.initial.contains(&owner)
    }

    /// Whether anything may be asked about what a session read.
    fn has(&self, session: u32) -> bool {
        self.all_of(session) || self.spans.contains_key(&session)
    }

    /// Whether all that a session read may be asked about.
    fn all_of(&self, session: u32) -> bool {
        self.is_whole || self.is_all_initial || self.initial_sessions.contains(&session)
    }
}

struct Pass<'a> {
    operations: &'a Operations,
    ranked: &'a Ranked<'a>,
    component_of: &'a [u32],
    mutation: Mutation,
    watched: Watched,
    /// By write: who read it last so far; and by read, who did before. Or [`NONE`].
    last_reader: Vec<u32>,
    reader_before: Vec<u32>,
    /// The transaction that was looked at last, and whether anything is asked about its reads.
    asked: (TxnId, bool),
    /// Session and write that it read.
    was_read: FxHashSet<(u32, u32)>,
    /// By session and process: the last of the process's writes that the session read.
    furthest: FxHashMap<(u32, u32), u32>,
    /// By transaction that was begun.
    open: FxHashMap<u32, Visit>,
    seen: Vec<Seen>,
    initial: Vec<Seen>,
}

impl Pass<'_> {
    fn run(&mut self, meter: &mut Meter) -> Result<(), Spent> {
        let whole = 0..self.ranked.len();
        let purpose = Purpose { windows: std::slice::from_ref(&whole), has_horizons: false, near: None };
        let mut clocks = Clocks::new(self.ranked, purpose, Mutation::default());
        let mut outcome = Ok(());
        for rank in whole.clone() {
            outcome = clocks.begin(self.ranked, rank, meter).and_then(|()| self.operation(rank, &clocks, meter));
            if outcome.is_err() {
                break;
            }
            clocks.end(self.ranked, rank);
        }
        clocks.close(meter);
        outcome
    }

    fn operation(&mut self, rank: u32, clocks: &Clocks, meter: &mut Meter) -> Result<(), Spent> {
        let unit = self.ranked.ids[rank as usize];
        let owner = self.operations.owners[unit as usize];
        if let Some(read) = self.operations.accesses.reads(unit).first() {
            self.read(rank, unit, read.writer, clocks, meter)?;
        }
        // The next operation in the session begins another visit.
        if self.operations.owners.get(unit as usize + 1) != Some(&owner) {
            self.open.remove(&owner);
        }
        Ok(())
    }

    fn read(&mut self, rank: u32, unit: u32, writer: u32, clocks: &Clocks, meter: &mut Meter) -> Result<(), Spent> {
        let source = self.ranked.source(rank, writer);
        let session = self.operations.sessions.session[unit as usize];
        if let Source::Unit(writer) = source {
            let last = std::mem::replace(&mut self.last_reader[writer as usize], rank);
            self.reader_before[rank as usize] = last;
            if self.watched.has(session) {
                self.remember(unit, session, writer, clocks, meter)?;
            }
        }
        if self.asks(rank, unit) { self.compare(rank, unit, source, clocks, meter) } else { Ok(()) }
    }

    /// Notes what a session read.
    fn remember(
        &mut self,
        unit: u32,
        session: u32,
        writer: u32,
        clocks: &Clocks,
        meter: &mut Meter,
    ) -> Result<(), Spent> {
        let owner = self.operations.owners[unit as usize];
        let other = self.ranked.ids[writer as usize];
        let is_asked = self.watched.all_of(session) || self.watched.span(session, writer).is_some();
        if is_asked && self.was_read.insert((session, writer)) {
            meter.take_bytes(READ_BYTES)?;
        }
        let process = self.operations.process[other as usize];
        let furthest = self.furthest.entry((session, process)).or_insert(other);
        *furthest = other.max(*furthest);
        if !self.is_asking(unit, owner) {
            return Ok(());
        }
        let visit = self.open.entry(owner).or_default();
        match visit.furthest.iter_mut().find(|(known, _)| *known == process) {
            Some((_, furthest)) => *furthest = other.max(*furthest),
            None => visit.furthest.push((process, other)),
        }
        let past = clocks.row(writer);
        visit.past.resize(visit.past.len().max(past.len()), 0);
        visit.past.iter_mut().zip(past).for_each(|(to, from)| *to = (*to).max(*from));
        Ok(())
    }

    /// Whether anything is asked about what a transaction read, of which this is the first operation or a later one.
    fn is_asking(&mut self, unit: u32, owner: TxnId) -> bool {
        if self.asked.0 != owner {
            let units = (unit..self.ranked.len()).take_while(|&unit| self.operations.owners[unit as usize] == owner);
            let mut ranks = units.map(|unit| self.ranked.ranks[unit as usize]);
            let asks = self.watched.is_whole || ranks.any(|rank| self.asks(rank, self.ranked.ids[rank as usize]));
            self.asked = (owner, asks);
        }
        self.asked.1
    }

    /// Whether anything is asked about an operation.
    fn asks(&self, rank: u32, unit: u32) -> bool {
        let session = self.operations.sessions.session[unit as usize];
        let read = self.operations.accesses.reads(unit).first();
        match read.map(|read| self.ranked.source(rank, read.writer)) {
            None | Some(Source::Unknown) => false,
            Some(Source::Initial) => self.watched.initial(self.operations.owners[unit as usize]),
            Some(Source::Unit(writer)) => self.watched.span(session, writer).is_some(),
        }
    }

    /// Looks at all other writes of the key.
    fn compare(
        &mut self,
        rank: u32,
        unit: u32,
        source: Source,
        clocks: &Clocks,
        meter: &mut Meter,
    ) -> Result<(), Spent> {
        let component = |rank: u32| {
            let owner = self.operations.owners[self.ranked.ids[rank as usize] as usize];
            self.component_of[owner as usize]
        };
        let (to, within) = match source {
            Source::Unknown => return Ok(()),
            Source::Initial => (NONE, NONE),
            Source::Unit(writer) => match component(writer) {
                NONE => return Ok(()),
                within => (writer, within),
            },
        };
        let key = self.operations.accesses.reads(unit)[0].key;
        let observer = self.operations.sessions.session[unit as usize];
        let span = if to == NONE { Some(0..NONE) } else { self.watched.span(observer, to) };
        let Some(span) = span else { return Ok(()) };
        // Only in a circle can what was seen have a higher rank.
        let end = self.ranked.circle(rank).end.min(span.end);
        let mut found = Vec::new();
        let writers = self.ranked.writers(key);
        let first = writers.partition_point(|&other| other < span.start);
        for &other in writers[first..].iter().take_while(|other| **other < end) {
            meter.step(1)?;
            if other == to || (to != NONE && component(other) != within) || self.is_under(unit, other) {
                continue;
            }
            let by = self.guarantees(unit, other, clocks.has_seen(rank, other), clocks, meter)?;
            if by == 0 {
                continue;
            }
            let axiom = Axiom::Causal;
            let forced = Forced { from: other, to, axiom, reader: rank, read: 0 };
            let seen = Seen { forced, observer, component: within, by };
            found.push(seen);
        }
        for seen in found {
            if to != NONE {
                meter.take_bytes(size_of::<Seen>() as u64)?;
                self.seen.push(seen);
                continue;
            }
            let by = seen.by;
            if self.initial.iter().all(|known| known.by | by != known.by) {
                self.initial.push(seen);
            }
        }
        Ok(())
    }

    /// Whether a write is one of a list by the reader's own transaction, before it: it ends what was read there, and lies
    /// over what was read of others.
    fn is_under(&self, unit: u32, other: u32) -> bool {
        let write = self.ranked.ids[other as usize];
        let all = self.operations;
        all.owners[write as usize] == all.owners[unit as usize]
            && write < unit
            && !self.mutation.is(Mutant::OwnAppendsSeen)
    }

    /// By which guarantees a read sees a write; none if it is not in its causal past.
    fn guarantees(
        &self,
        unit: u32,
        other: u32,
        has_seen: bool,
        clocks: &Clocks,
        meter: &mut Meter,
    ) -> Result<u8, Spent> {
        let all = self.operations;
        let session = all.sessions.session[unit as usize];
        let write = self.ranked.ids[other as usize];
        let process = all.process[write as usize];
        let is_own = process == all.process[unit as usize] && write < unit;
        let was_read = self.was_read.contains(&(session, other));
        let visit = self.open.get(&all.owners[unit as usize]);
        let in_visit = |least: u32| {
            visit.is_some_and(|visit| {
                visit.furthest.iter().any(|&(known, furthest)| known == process && furthest >= least)
            })
        };
        let (mut here, mut is_visited) = (false, false);
        let mut reader = self.last_reader[other as usize];
        while reader != NONE {
            meter.step(1)?;
            let id = self.ranked.ids[reader as usize];
            // What this very transaction read is seen as well.
            here |= id <= unit && all.owners[id as usize] == all.owners[unit as usize];
            is_visited |= visit.is_some_and(|visit| clocks.is_in(&visit.past, reader));
            reader = self.reader_before[reader as usize];
        }
        let is = |mutant| self.mutation.is(mutant);
        let own = is_own && !is(Mutant::OwnUnseen);
        let again = if is(Mutant::ReadsOfTransactionOnly) { here } else { was_read };
        let earlier = in_visit(write) && !is(Mutant::WritesUnseen);
        let followed = here || (is_visited && !is(Mutant::ReadsNotFollowed));
        let pipelined = self.furthest.get(&(session, process)).is_some_and(|&furthest| furthest >= write);
        let pram = is_own || was_read || pipelined;
        let bits = [own, again, earlier, followed, pram, pram || followed || has_seen];
        Ok(bits.iter().enumerate().fold(0, |all, (place, &bit)| all | u8::from(bit) << place))
    }
}

/// The operations of one component, and what is known of the order of their versions (from, to, key; by the later one). By
/// rank.
#[derive(Debug, Default)]
struct Part {
    nodes: Vec<u32>,
    versions: Vec<(u32, u32, u32)>,
    /// Where ranks do not keep what every observer keeps: circles, and versions whose order points back.
    back: Vec<Range<u32>>,
}

impl Part {
    /// The ranks between which there may be cycles with what was seen: what points back must span each of them, as components
    /// of the axioms ([`super::components`]).
    fn windows(&self, mine: &[u32], seen: &[Seen]) -> Vec<Range<u32>> {
        let forced = mine.iter().map(|&at| seen[at as usize].forced);
        let back = forced.filter(|forced| forced.from > forced.to).map(|forced| forced.to..forced.from + 1);
        merged(back.chain(self.back.iter().cloned()).collect())
    }
}

/// Observers whose orders are looked at one by one, without a look at whether all of them agree on one.
const FEW_OBSERVERS: usize = 2;

/// The orders that each guarantee keeps, and whether what was seen contradicts them.
struct Bases<'a> {
    operations: &'a Operations,
    ranked: &'a Ranked<'a>,
    /// By component, rising.
    parts: BTreeMap<u32, Part>,
    /// By rank: the place among the operations of its component.
    places: Vec<u32>,
    mutation: Mutation,
}

impl<'a> Bases<'a> {
    /// Puts together what belongs to each component. Linear but for sorting.
    fn of(
        operations: &'a Operations,
        ranked: &'a Ranked<'a>,
        component_of: &[u32],
        meter: &mut Meter,
        mutation: Mutation,
    ) -> Result<Bases<'a>, Spent> {
        let component = |rank: u32| component_of[operations.owners[ranked.ids[rank as usize] as usize] as usize];
        let mut parts: BTreeMap<u32, Part> = BTreeMap::new();
        let mut places = vec![NONE; ranked.ids.len()];
        for rank in (0..ranked.len()).filter(|&rank| component(rank) != NONE) {
            let part = parts.entry(component(rank)).or_default();
            places[rank as usize] = part.nodes.len() as u32;
            part.nodes.push(rank);
            let circle = ranked.circle(rank);
            if circle.len() > 1 && part.back.last() != Some(&circle) {
                part.back.push(circle);
            }
        }
        let versions = ranked.version_edges(mutation);
        meter.step((ranked.ids.len() + versions.len()) as u64 / 16)?;
        for version in versions {
            if let Some(part) =
                parts.get_mut(&component(version.0)).filter(|_| component(version.0) == component(version.1))
            {
                part.versions.push(version);
                if version.0 > version.1 {
                    part.back.push(version.1..version.0 + 1);
                }
            }
        }
        for part in parts.values_mut() {
            part.versions.sort_unstable_by_key(|&(from, to, key)| (to, from, key));
            part.back = merged(std::mem::take(&mut part.back));
            if mutation.is(Mutant::BackSpansNothing) {
                part.back.clear();
            }
        }
        Ok(Bases { operations, ranked, parts, places, mutation })
    }

    fn contradiction(
        &self,
        guarantee: Guarantee,
        seen: &[Seen],
        prover: &Prover<'_>,
        meter: &mut Meter,
    ) -> Result<Option<Witness>, Spent> {
        let bit = 1 << guarantee as u8;
        let mut mine: Vec<u32> = (0..seen.len() as u32).filter(|&at| seen[at as usize].by & bit != 0).collect();
        mine.sort_by_key(|&at| (seen[at as usize].component, seen[at as usize].observer));
        for (&within, part) in &self.parts {
            let of = |at: u32| seen[at as usize].component;
            let start = mine.partition_point(|&at| of(at) < within);
            let end = mine.partition_point(|&at| of(at) <= within);
            let same = |a: &u32, b: &u32| {
                seen[*a as usize].observer == seen[*b as usize].observer || self.mutation.is(Mutant::ObserversAgree)
            };
            // Without anything that points back there is no cycle.
            let is_back = |&at: &u32| seen[at as usize].forced.from > seen[at as usize].forced.to;
            let nobody: &[u32] = &[];
            let mut observers = vec![nobody];
            observers.extend(mine[start..end].chunk_by(same));
            observers.retain(|observer| !part.back.is_empty() || observer.iter().any(is_back));
            // If all observers agree on an order, each has one. If there is none even with nothing seen, nobody has.
            if observers.len() > FEW_OBSERVERS {
                let graph = self.graph(guarantee, part, &observers.concat(), seen, meter)?;
                if graph.components(Axiom::Causal).is_empty() || self.mutation.is(Mutant::AgreementAssumed) {
                    continue;
                }
            }
            for observer in observers {
                let graph = self.graph(guarantee, part, observer, seen, meter)?;
                let mut cycles = graph.components(Axiom::Causal);
                cycles.sort_by_key(Vec::len);
                if let Some(members) = cycles.first() {
                    let (cycle, shortest) = shortest_cycle(&graph, members, Axiom::Causal);
                    return Ok(Some(prover.cycle(&cycle, shortest)));
                }
            }
        }
        Ok(None)
    }

    /// What a guarantee keeps among the operations of a component, and what was seen, within windows that may have cycles. Each
    /// operation has two nodes: itself, and a place before it that only reads lead to, for writes that follow reads but not each other.
    fn graph(
        &self,
        guarantee: Guarantee,
        part: &Part,
        mine: &[u32],
        seen: &[Seen],
        meter: &mut Meter,
    ) -> Result<Graph, Spent> {
        let windows = &part.windows(mine, seen);
        let within = |rank: u32, range: &Range<u32>| range.contains(&rank);
        let cut = |range: &Range<u32>| {
            let start = part.nodes.partition_point(|&rank| rank < range.start);
            start..start + part.nodes[start..].partition_point(|rank| within(*rank, range))
        };
        // Places in the component, and how many nodes come before each of them.
        let mut cuts: Vec<(Range<usize>, usize)> = Vec::new();
        let mut nodes: Vec<u32> = Vec::new();
        for range in windows {
            let cut = cut(range);
            cuts.push((cut.clone(), nodes.len()));
            nodes.extend_from_slice(&part.nodes[cut]);
        }
        let nodes = &nodes;
        let versions = windows.iter().flat_map(|range| {
            let start = part.versions.partition_point(|&(_, to, _)| to < range.start);
            part.versions[start..].iter().take_while(|(_, to, _)| within(*to, range))
        });
        meter.step((nodes.len() + mine.len() + part.back.len()) as u64)?;
        let node = |rank: u32| {
            let place = self.places[rank as usize] as usize;
            let (cut, before) = cuts.get(cuts.partition_point(|(cut, _)| cut.end <= place))?;
            let is_it = cut.contains(&place) && part.nodes[place] == rank;
            is_it.then(|| (before + place - cut.start) as u32 * 2 + 1)
        };
        let mut arcs: Vec<(u32, Arc)> = Vec::new();
        let mut add = |from: Option<u32>, to: Option<u32>, why: Why| {
            if let (Some(from), Some(to)) = (from, to) {
                arcs.push((from, Arc { to, axiom: Axiom::Committed, why }));
            }
        };
        for &rank in nodes {
            let unit = self.ranked.ids[rank as usize];
            let ranked = |unit: u32| match unit {
                NONE => None,
                unit => node(self.ranked.ranks[unit as usize]),
            };
            let (this, is_write) = (node(rank), self.operations.is_write(unit));
            match guarantee {
                OwnWrites | Reads => {}
                Writes | Pram if is_write && !self.mutation.is(Mutant::WritesUnordered) => {
                    add(ranked(self.operations.write_before[unit as usize]), this, Why::Session);
                }
                Writes | Pram => {}
                WritesFollowReads if self.mutation.is(Mutant::ReadsUnordered) => {}
                WritesFollowReads => {
                    let before = self.operations.sessions.before[unit as usize];
                    let place = this.map(|this| this - 1);
                    add(ranked(before).map(|before| before - 1), place, Why::Session);
                    if before != NONE && !self.operations.is_write(before) {
                        add(ranked(before), place, Why::Session);
                    }
                    if is_write {
                        add(place, this, Why::Session);
                    }
                    self.ranked.sources(rank).for_each(|source| add(node(source), this, Why::Reads));
                }
                Causal => {
                    add(ranked(self.operations.sessions.before[unit as usize]), this, Why::Session);
                    self.ranked.sources(rank).for_each(|source| add(node(source), this, Why::Reads));
                }
            }
        }
        for &(from, to, key) in versions {
            add(node(from), node(to), Why::Versions(key));
        }
        let is_within = |forced: &Forced| {
            let place = windows.partition_point(|range| range.end <= forced.to);
            windows.get(place).is_some_and(|range| within(forced.to, range) && within(forced.from, range))
        };
        for &at in mine.iter().filter(|&&at| is_within(&seen[at as usize].forced)) {
            let forced = seen[at as usize].forced;
            add(node(forced.from), node(forced.to), Why::Forced(at));
        }
        let ranks = nodes.iter().flat_map(|&rank| [rank, rank]).collect();
        Ok(Graph::from_arcs(ranks, arcs))
    }
}
