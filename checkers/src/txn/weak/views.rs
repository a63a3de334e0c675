//! What reads of single operations have seen, by each guarantee of sessions; and for whom and where that matters.

use std::ops::Range;

use rustc_hash::{FxHashMap, FxHashSet};

use super::clocks::{Clocks, Purpose};
use super::derive::{Axiom, Forced, Forces, merged};
use super::mutant::{Mutant, Mutation};
use super::operations::Operations;
use super::past::{Past, Search};
use super::sessions::Setting;
use super::units::{NONE, Ranked, Source};
use crate::txn::meter::{Meter, Spent};
use crate::txn::txns::TxnId;

/// Bytes that a read costs while it is remembered, and an operation.
const READ_BYTES: u64 = 32;
const LINK_BYTES: u64 = 12;
/// Steps that searches may take for each operation; beyond that clocks are better.
const SEARCHED_MAX: u64 = if cfg!(test) { 4 } else { 16 };

/// A write before another, for one observer, by some guarantees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub forced: Forced,
    pub observer: u32,
    /// Of the two writes.
    pub component: u32,
    /// By guarantee, a bit each.
    pub by: u8,
}

/// What the reads of a transaction returned so far.
#[derive(Debug, Default)]
pub(super) struct Visit {
    /// Each write.
    pub returned: Vec<u32>,
    /// The last of each process's writes: process, operation.
    furthest: Vec<(u32, u32)>,
    /// What was in the past of those, by chain, where there are clocks.
    pub past: Vec<u32>,
}

/// What an observer may have seen that contradicts an order of the writes: that takes an order that points back, or a read of
/// the initial state. Operations have ranks in the order of those of transactions, so what points back among them does so among
/// transactions too.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Whether everything matters, for all.
    is_whole: bool,
    /// By session: what orders that point back span, as ranks of operations; disjoint and rising.
    spans: Vec<Vec<Range<u32>>>,
    /// By session: from the beginning of such a span to the last read of what was written in it; disjoint and rising. Before, nothing of
    /// it can have been read, and behind nothing is asked about it.
    windows: Vec<Vec<Range<u32>>>,
    /// Sessions that read the initial state of what they had seen written; and in which transactions.
    initial_sessions: FxHashSet<u32>,
    initial: FxHashSet<TxnId>,
    /// Whether there are too many of these to know them.
    is_all_initial: bool,
}

impl Watched {
    /// Everything.
    pub fn whole() -> Watched {
        Watched { is_whole: true, ..Watched::default() }
    }

    /// What `known`, which is forced among transactions, says.
    pub fn of(
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
            let session = of_txns.session[forced.reader as usize] as usize;
            if session < NONE as usize {
                watched.spans.resize(watched.spans.len().max(session + 1), Vec::new());
                watched.spans[session].push(start..end);
            }
        }
        for spans in &mut watched.spans {
            *spans = merged(std::mem::take(spans));
        }
        watched.windows = watched.windows(operations, mutation);
        for &(_, reader) in initial.unwrap_or_default() {
            watched.initial.insert(reader);
            watched.initial_sessions.insert(of_txns.session[of_txns.rank_of(reader) as usize]);
        }
        watched
    }

    /// By session: when it matters what it reads. Operations have the order of their ranks.
    fn windows(&self, operations: &Operations, mutation: Mutation) -> Vec<Vec<Range<u32>>> {
        let mut windows: Vec<Vec<Range<u32>>> = vec![Vec::new(); self.spans.len()];
        let mut last: Vec<Vec<u32>> = self.spans.iter().map(|spans| vec![0; spans.len()]).collect();
        for (unit, &session) in (0..).zip(&operations.sessions.session) {
            let Some(spans) = self.spans.get(session as usize).filter(|spans| !spans.is_empty()) else { continue };
            let Some(read) = operations.accesses.reads(unit).first() else { continue };
            let place = spans.partition_point(|span| span.end <= read.writer);
            if spans.get(place).is_some_and(|span| span.contains(&read.writer)) {
                last[session as usize][place] = unit;
            }
        }
        for ((windows, spans), last) in windows.iter_mut().zip(&self.spans).zip(last) {
            let is_early = mutation.is(Mutant::WindowsEndEarly);
            let asked = spans.iter().zip(last).filter(|(_, last)| *last > 0);
            let window = |(span, last): (&Range<u32>, u32)| span.start..if is_early { last } else { last + 1 };
            *windows = merged(asked.map(window).filter(|window| !window.is_empty()).collect());
        }
        windows
    }

    /// Where everything is that matters about a write that a session read; `None` if nothing is.
    fn span(&self, session: u32, write: u32) -> Option<Range<u32>> {
        if self.is_whole {
            return Some(0..NONE);
        }
        let spans = self.spans.get(session as usize)?;
        let span = spans.get(spans.partition_point(|span| span.end <= write))?;
        span.contains(&write).then(|| span.clone())
    }

    /// Whether a transaction's reads of the initial state matter.
    fn initial(&self, owner: TxnId) -> bool {
        self.is_whole || self.is_all_initial || self.initial.contains(&owner)
    }

    /// Whether it may matter what a session reads at a rank.
    fn has(&self, session: u32, rank: u32) -> bool {
        if self.all_of(session) {
            return true;
        }
        let Some(windows) = self.windows.get(session as usize) else { return false };
        windows.get(windows.partition_point(|window| window.end <= rank)).is_some_and(|window| window.contains(&rank))
    }

    /// Whether all that a session read may be asked about.
    fn all_of(&self, session: u32) -> bool {
        self.is_whole || self.is_all_initial || self.initial_sessions.contains(&session)
    }
}

/// What reads have seen.
pub(super) struct Views {
    pub seen: Vec<Seen>,
    /// Before the initial state was read, not all.
    pub initial: Vec<Seen>,
    /// The orders of `seen`, by the same places.
    pub forces: Forces,
}

impl Views {
    /// Gives the bytes back.
    pub fn close(self, meter: &mut Meter) {
        meter.give_back(bytes_of(&self.seen));
    }
}

fn bytes_of(seen: &[Seen]) -> u64 {
    size_of_val(seen) as u64
}

/// One look at all operations: for the guarantees that ask what lies in the past, or for the others.
pub(super) struct Pass<'a> {
    operations: &'a Operations,
    ranked: &'a Ranked<'a>,
    component_of: &'a [u32],
    mutation: Mutation,
    watched: &'a Watched,
    /// By key, a bit each: whether anybody asks who read it. Empty if it is not asked of any.
    asked_keys: Vec<u64>,
    /// By write of such a key: who read it last so far; and by read, who did before. Or [`NONE`].
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

impl<'a> Pass<'a> {
    /// One that has seen nothing.
    fn new(setting: &Setting<'a>) -> Pass<'a> {
        let Setting { operations, ranked, component_of, watched, mutation, .. } = *setting;
        Pass {
            operations,
            ranked,
            component_of,
            mutation,
            watched,
            asked_keys: Vec::new(),
            last_reader: Vec::new(),
            reader_before: Vec::new(),
            asked: (NONE, false),
            was_read: FxHashSet::default(),
            furthest: FxHashMap::default(),
            open: FxHashMap::default(),
            seen: Vec::new(),
            initial: Vec::new(),
        }
    }

    /// From here on it is known who read what anybody asks about.
    fn note_readers(&mut self) {
        let count = self.ranked.len() as usize;
        self.asked_keys = vec![0; (self.operations.accesses.keys_count as usize).div_ceil(64)];
        for (rank, unit) in self.ranked.units() {
            if self.watched.has(self.operations.sessions.session[unit as usize], rank) && self.asks(rank, unit) {
                let key = self.operations.accesses.reads(unit)[0].key;
                self.asked_keys[key as usize / 64] |= 1 << (key % 64);
            }
        }
        self.last_reader = vec![NONE; count];
        self.reader_before = vec![NONE; count];
    }

    /// For guarantees that do not ask what lies in the past.
    pub fn direct(setting: &Setting<'a>, meter: &mut Meter) -> Result<Views, Spent> {
        let mut pass = Pass::new(setting);
        pass.counted(meter, |pass, meter| {
            if pass.mutation.is(Mutant::ReadsOfTransactionOnly) {
                pass.note_readers();
            }
            (0..pass.ranked.len()).try_for_each(|rank| pass.operation(rank, &mut Past::Unasked, meter))
        })?;
        Ok(pass.views())
    }

    /// For those that do.
    pub fn of_past(setting: &Setting<'a>, meter: &mut Meter) -> Result<Views, Spent> {
        let mut pass = Pass::new(setting);
        if !pass.watched.is_whole && pass.counted(meter, Pass::run_with_searches)? {
            return Ok(pass.views());
        }
        meter.give_back(bytes_of(&pass.seen));
        drop(pass);
        let mut pass = Pass::new(setting);
        pass.counted(meter, Pass::run_with_clocks)?;
        Ok(pass.views())
    }

    fn counted<T>(
        &mut self,
        meter: &mut Meter,
        run: impl FnOnce(&mut Pass<'a>, &mut Meter) -> Result<T, Spent>,
    ) -> Result<T, Spent> {
        let links = u64::from(self.ranked.len()) * LINK_BYTES;
        meter.take_bytes(links)?;
        let outcome = run(self, meter);
        meter.give_back(self.was_read.len() as u64 * READ_BYTES + links);
        if outcome.is_err() {
            meter.give_back(bytes_of(&self.seen));
        }
        outcome
    }

    fn views(self) -> Views {
        let forces = Forces::of(self.seen.iter().map(|seen| seen.forced).collect());
        Views { seen: self.seen, initial: self.initial, forces }
    }

    /// Whether that was enough.
    fn run_with_searches(&mut self, meter: &mut Meter) -> Result<bool, Spent> {
        self.note_readers();
        let steps_max = u64::from(self.ranked.len()) * SEARCHED_MAX;
        let mut search = Search::new(self.ranked, steps_max);
        for rank in 0..self.ranked.len() {
            self.operation(rank, &mut Past::Search(&mut search), meter)?;
            if search.is_over() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn run_with_clocks(&mut self, meter: &mut Meter) -> Result<(), Spent> {
        self.note_readers();
        let whole = 0..self.ranked.len();
        let purpose = Purpose { windows: std::slice::from_ref(&whole), has_horizons: false, near: None };
        let mut clocks = Clocks::new(self.ranked, purpose, Mutation::default());
        let mut outcome = Ok(());
        for rank in whole.clone() {
            outcome = clocks
                .begin(self.ranked, rank, meter)
                .and_then(|()| self.operation(rank, &mut Past::Clocks(&clocks), meter));
            if outcome.is_err() {
                break;
            }
            clocks.end(self.ranked, rank);
        }
        clocks.close(meter);
        outcome
    }

    fn operation(&mut self, rank: u32, past: &mut Past<'_, '_>, meter: &mut Meter) -> Result<(), Spent> {
        let unit = self.ranked.unit(rank);
        let session = self.operations.sessions.session[unit as usize];
        let read = self.operations.accesses.reads(unit).first();
        if let Some(read) = read.filter(|read| self.is_key_asked(read.key))
            && let Source::Unit(writer) = self.ranked.source(rank, read.writer)
        {
            let last = std::mem::replace(&mut self.last_reader[writer as usize], rank);
            self.reader_before[rank as usize] = last;
        }
        // Mostly nothing is asked.
        if let Some(read) = read.filter(|_| self.watched.has(session, rank)) {
            self.read(rank, unit, read.writer, past, meter)?;
        }
        if !self.open.is_empty() {
            let owner = self.operations.owners[unit as usize];
            // The next operation in the session begins another visit.
            if self.operations.owners.get(unit as usize + 1) != Some(&owner) {
                self.open.remove(&owner);
            }
        }
        Ok(())
    }

    /// Whether anybody asks who read a key.
    fn is_key_asked(&self, key: u32) -> bool {
        self.asked_keys.get(key as usize / 64).is_some_and(|bits| bits >> (key % 64) & 1 == 1)
    }

    fn read(
        &mut self,
        rank: u32,
        unit: u32,
        writer: u32,
        past: &mut Past<'_, '_>,
        meter: &mut Meter,
    ) -> Result<(), Spent> {
        let source = self.ranked.source(rank, writer);
        let session = self.operations.sessions.session[unit as usize];
        if let Source::Unit(writer) = source {
            self.remember(unit, session, writer, past, meter)?;
        }
        if self.asks(rank, unit) { self.compare(rank, unit, source, past, meter) } else { Ok(()) }
    }

    /// Notes what a session read.
    fn remember(
        &mut self,
        unit: u32,
        session: u32,
        writer: u32,
        past: &mut Past<'_, '_>,
        meter: &mut Meter,
    ) -> Result<(), Spent> {
        let owner = self.operations.owners[unit as usize];
        let other = self.ranked.unit(writer);
        let is_asked = self.watched.all_of(session) || self.watched.span(session, writer).is_some();
        if is_asked && !self.was_read.contains(&(session, writer)) {
            meter.take_bytes(READ_BYTES)?;
            self.was_read.insert((session, writer));
        }
        let process = self.operations.process(other);
        let furthest = self.furthest.entry((session, process)).or_insert(other);
        *furthest = other.max(*furthest);
        // An own write is at no server yet.
        if self.operations.owners[other as usize] == owner || !self.is_asking(unit, owner) {
            return Ok(());
        }
        let visit = self.open.entry(owner).or_default();
        match visit.furthest.iter_mut().find(|(known, _)| *known == process) {
            Some((_, furthest)) => *furthest = other.max(*furthest),
            None => visit.furthest.push((process, other)),
        }
        visit.returned.push(writer);
        if let Past::Clocks(clocks) = past {
            let row = clocks.row(writer);
            visit.past.resize(visit.past.len().max(row.len()), 0);
            visit.past.iter_mut().zip(row).for_each(|(to, from)| *to = (*to).max(*from));
        }
        Ok(())
    }

    /// Whether anything is asked about what a transaction read, of which this is the first operation or a later one.
    fn is_asking(&mut self, unit: u32, owner: TxnId) -> bool {
        if self.asked.0 != owner {
            let units = (unit..self.ranked.len()).take_while(|&unit| self.operations.owners[unit as usize] == owner);
            let mut ranks = units.map(|unit| self.ranked.rank_of(unit));
            let asks = self.watched.is_whole || ranks.any(|rank| self.asks(rank, self.ranked.unit(rank)));
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
        past: &mut Past<'_, '_>,
        meter: &mut Meter,
    ) -> Result<(), Spent> {
        let component = |rank: u32| {
            let owner = self.operations.owners[self.ranked.unit(rank) as usize];
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
        let owner = |unit: u32| self.operations.owners[unit as usize];
        // Whatever comes before an own write comes before the later one that was read as well, unless that was seen before it was written.
        let is_own = to != NONE && owner(self.ranked.unit(to)) == owner(unit);
        let is_over_own = !is_own || self.ranked.circle(to).len() == 1;
        let writers = self.ranked.writers(key);
        let first = writers.partition_point(|&other| other < span.start);
        for &other in writers[first..].iter().take_while(|other| **other < end) {
            meter.step(1)?;
            let is_apart = to != NONE && component(other) != within;
            if other == to || is_apart || is_over_own && self.is_under(unit, other) {
                continue;
            }
            let by = self.guarantees(rank, other, past, meter)?;
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
        let write = self.ranked.unit(other);
        let all = self.operations;
        all.owners[write as usize] == all.owners[unit as usize]
            && write < unit
            && !self.mutation.is(Mutant::OwnAppendsSeen)
    }

    /// By which of the guarantees that are looked at a read sees a write; none if it is not in its causal past.
    fn guarantees(&self, rank: u32, other: u32, past: &mut Past<'_, '_>, meter: &mut Meter) -> Result<u8, Spent> {
        let all = self.operations;
        let unit = self.ranked.unit(rank);
        let session = all.sessions.session[unit as usize];
        let write = self.ranked.unit(other);
        let process = all.process(write);
        let is_own = process == all.process(unit) && write < unit;
        let was_read = self.was_read.contains(&(session, other));
        let visit = self.open.get(&all.owners[unit as usize]);
        let in_visit = |least: u32| {
            visit.is_some_and(|visit| {
                visit.furthest.iter().any(|&(known, furthest)| known == process && furthest >= least)
            })
        };
        let (mut here, mut is_visited) = (false, false);
        let is_asked = past.is_asked() || self.mutation.is(Mutant::ReadsOfTransactionOnly);
        let mut reader = if is_asked { self.last_reader[other as usize] } else { NONE };
        while reader != NONE {
            meter.step(1)?;
            let id = self.ranked.unit(reader);
            // What this very transaction read is seen as well.
            let owner = all.owners[unit as usize];
            here |= id <= unit && all.owners[id as usize] == owner && all.owners[write as usize] != owner;
            if let Some(visit) = visit.filter(|_| !is_visited) {
                is_visited = past.is_visited(visit, reader, meter)?;
            }
            reader = self.reader_before[reader as usize];
        }
        let is = |mutant| self.mutation.is(mutant);
        let own = is_own && !is(Mutant::OwnUnseen);
        let again = if is(Mutant::ReadsOfTransactionOnly) { here } else { was_read };
        let earlier = in_visit(write) && !is(Mutant::WritesUnseen);
        let followed = here || (is_visited && !is(Mutant::ReadsNotFollowed));
        let pipelined = self.furthest.get(&(session, process)).is_some_and(|&furthest| furthest >= write);
        let pram = is_own || was_read || pipelined;
        let bits = match past.is_asked() {
            false => [own, again, earlier, false, pram, false],
            true => {
                let causal = pram || followed || past.has_seen(rank, other, meter)?;
                [false, false, false, followed, false, causal]
            }
        };
        Ok(bits.iter().enumerate().fold(0, |all, (place, &bit)| all | u8::from(bit) << place))
    }
}
