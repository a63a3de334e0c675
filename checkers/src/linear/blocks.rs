//! Registers whose observed values were each written once: decided by sorting, without a search.
//!
//! A value that is written once stands in the register in one stretch. Between a write and the last operation that needs
//! its value (reads, a compare-and-set from it, reads of what that one leaves, and so on) nothing else can stand, so all
//! these are one **block**: `write a, reads of a, cas a→b, reads of b, ...`. Each block has an order of its own, which
//! real time must allow, and the history has an order if and only if the blocks have one.
//!
//! Let `f` be the earliest completion in a block and `s` the latest invocation. Block 1 must stand before block 2 if
//! `f1 < s2`. Two blocks exclude each other if `f1 < s2` and `f2 < s1`, and if no two do, all can be ordered: in a
//! cycle of "must stand before" let B have the least `f`; then B must stand before every other block of the cycle (each
//! has an `s` after some other's `f`, and so after B's), and one of these must stand before B, which makes a pair. A
//! block with `f < s` is a *forward zone*, otherwise a *backward zone*; two backward zones never exclude each other; two
//! forward zones do if they overlap, and a forward one excludes a backward one that lies inside it. (Gibbons, Korach 1997,
//! section 4, for reads and writes; compare-and-set by the same argument.)
//!
//! - **Doubt.** An operation in doubt whose value nobody observed can as well not have happened. If somebody observed it,
//!   it has happened, at any time after its invocation; and so, for a compare-and-set, has whoever wrote what it needed.
//! - **Values that nobody observed** may be written as often as one likes: each such write is a block.
//! - **"No match"** tells only that the state was another one at some moment. Without these the history must have an
//!   order; with them it is looked whether one certain order, in which everything happens as early as it can, explains them
//!   too, if need be with some values written later, and with writes in doubt that nobody else observed. If it does not, another one might: then the history is not for this
//!   algorithm.
//!
//! Cost: O(n log n) time, about 60 bytes for each value.

mod exclude;
mod order;

use rustc_hash::{FxHashMap, FxHashSet};
use schism_history::{OpIndex, ValueId};

use super::models::RegisterAction;
use super::mutant::{Mutant, Mutation};
use super::ruling::Ruling;
use super::split::{OPEN, Operation};
use exclude::Clash;
pub(crate) use order::order;

const ALGORITHM: &str = "blocks";
/// No operation.
const NONE: u32 = u32::MAX;
/// The local number of the value before the first operation.
const INITIAL: usize = 0;
/// When the initial value was written: before every event. Events count from 1 here.
const BEFORE_ALL: u32 = 0;

/// A value: who wrote it, and who observed it.
#[derive(Debug, Clone, Copy)]
struct Cluster {
    /// A writer, and how many there are.
    writer: u32,
    writers: u32,
    /// The compare-and-set that needs it and is known to have happened.
    consumer: u32,
    /// Of its reads: the earliest completion, and the latest invocation.
    end_min: u32,
    begin_max: u32,
    observed: bool,
}

const UNTOUCHED: Cluster =
    Cluster { writer: NONE, writers: 0, consumer: NONE, end_min: u32::MAX, begin_max: 0, observed: false };

/// A block as the others see it.
#[derive(Debug, Clone, Copy)]
struct Zone {
    /// The earliest completion in it.
    f: u32,
    /// The latest invocation in it.
    s: u32,
    /// The number of its first value, and the writer of that; none for the first value of all.
    first: u32,
    writer: u32,
    /// The earliest completion in it, wherever it is put.
    due: u32,
}

/// Why it ends early.
enum Early {
    /// There is no order; an event at which that shows, and what excludes each other.
    Bad(OpIndex, Clash),
    Unfit(&'static str),
}

/// An operation as far as it matters here.
enum Deed {
    /// Needs a value and leaves the state.
    Observe(ValueId),
    Write(ValueId),
    /// Needs one, leaves another.
    Cas(ValueId, ValueId),
    Miss(ValueId),
    /// In doubt, and of no effect.
    Nothing,
}

fn deed(operation: &Operation<RegisterAction>) -> Deed {
    match operation.action {
        RegisterAction::Write(value) => Deed::Write(value),
        RegisterAction::Cas(old, new) if old != new => Deed::Cas(old, new),
        _ if operation.in_doubt() => Deed::Nothing,
        RegisterAction::Read(value) | RegisterAction::Cas(value, _) => Deed::Observe(value),
        RegisterAction::Miss(value) => Deed::Miss(value),
    }
}

/// Invocation and completion, counted from 1; a completion that is not there is `u32::MAX`.
fn span(operation: &Operation<RegisterAction>) -> (u32, u32) {
    (operation.invoke + 1, operation.end.saturating_add(1))
}

struct Blocks<'a> {
    operations: &'a [Operation<RegisterAction>],
    numbers: FxHashMap<ValueId, u32>,
    clusters: Vec<Cluster>,
    misses: Vec<u32>,
    mutation: Mutation,
}

/// Decides operations in order of invocation.
pub(crate) fn rule(operations: &[Operation<RegisterAction>], mutation: Mutation) -> Ruling {
    let mut blocks = Blocks::new(operations, mutation);
    match blocks.run() {
        Ok(()) => Ruling::Good { algorithm: ALGORITHM },
        Err(Early::Bad(at, clash)) => {
            let certificate = blocks.certificate(clash);
            // It shows when the last of these has ended. That is near the first failure, which saves whoever looks for it.
            let ends = certificate.places.iter().map(|&place| operations[place as usize].end);
            let at = ends.filter(|&end| end != OPEN).max().unwrap_or(at);
            Ruling::Bad { algorithm: ALGORITHM, at, certificate: Some(certificate) }
        }
        Err(Early::Unfit(why)) => Ruling::Unfit(why),
    }
}

/// What stands in the register from which moment on: moments and numbers of values.
type Changes = Vec<(u32, u32)>;

impl<'a> Blocks<'a> {
    fn new(operations: &'a [Operation<RegisterAction>], mutation: Mutation) -> Blocks<'a> {
        Blocks {
            operations,
            numbers: FxHashMap::with_capacity_and_hasher(operations.len() / 2 + 1, rustc_hash::FxBuildHasher),
            clusters: Vec::with_capacity(operations.len() / 2 + 1),
            misses: Vec::new(),
            mutation,
        }
    }

    fn run(&mut self) -> Result<(), Early> {
        let (zones, forward_count) = self.ordered()?;
        if self.misses.is_empty() || self.misses_fit(zones, forward_count) {
            return Ok(());
        }
        Err(Early::Unfit("a compare-and-set that did not match needs an order to be looked for"))
    }

    /// Zones that can be ordered, forward ones first and in order, and how many these are.
    fn ordered(&mut self) -> Result<(Vec<Zone>, usize), Early> {
        self.number(ValueId::NIL);
        self.clusters[INITIAL].writers = 1;
        self.gather();
        self.follow_doubt();
        self.check_writers()?;
        let mut zones = self.zones()?;
        let forward_count = check(&mut zones, self.mutation)?;
        Ok((zones, forward_count))
    }

    fn number(&mut self, value: ValueId) -> usize {
        let next = self.clusters.len() as u32;
        let number = *self.numbers.entry(value).or_insert(next);
        if number == next {
            self.clusters.push(UNTOUCHED);
        }
        number as usize
    }

    /// Everything that certainly happened, and who may have written what.
    fn gather(&mut self) {
        for (place, operation) in self.operations.iter().enumerate() {
            let place = place as u32;
            let (begin, end) = span(operation);
            match deed(operation) {
                Deed::Nothing => {}
                Deed::Observe(value) => {
                    let number = self.number(value);
                    let cluster = &mut self.clusters[number];
                    cluster.end_min = cluster.end_min.min(end);
                    cluster.begin_max = cluster.begin_max.max(begin);
                    cluster.observed = true;
                }
                Deed::Write(value) => self.write(value, place),
                Deed::Cas(old, new) => {
                    self.write(new, place);
                    if !operation.in_doubt() {
                        self.consume(old, place);
                    }
                }
                Deed::Miss(_) => self.misses.push(place),
            }
        }
    }

    fn write(&mut self, value: ValueId, place: u32) {
        let number = self.number(value);
        let cluster = &mut self.clusters[number];
        cluster.writer = place;
        cluster.writers += 1;
    }

    /// A compare-and-set that happened needs a value. Where two need it, the second one stands in no chain.
    fn consume(&mut self, value: ValueId, place: u32) {
        let number = self.number(value);
        let cluster = &mut self.clusters[number];
        cluster.observed = true;
        if cluster.consumer == NONE {
            cluster.consumer = place;
        }
    }

    /// The completion of an operation; of one in doubt, the last of all.
    fn end(&self, place: u32) -> OpIndex {
        match self.operations[place as usize].end {
            OPEN => self.last(),
            end => end,
        }
    }

    fn last(&self) -> OpIndex {
        self.operations.iter().map(|one| one.end).filter(|&end| end != OPEN).max().unwrap_or(0)
    }

    /// A compare-and-set in doubt that left what somebody observed has happened; and so what it needed was observed.
    fn follow_doubt(&mut self) {
        let mut next: Vec<usize> = (0..self.clusters.len()).filter(|&number| self.clusters[number].observed).collect();
        while let Some(number) = next.pop() {
            let Cluster { writer, writers, .. } = self.clusters[number];
            if writers != 1 || writer == NONE || !self.operations[writer as usize].in_doubt() {
                continue;
            }
            let Deed::Cas(old, _) = deed(&self.operations[writer as usize]) else { continue };
            let old_number = self.number(old);
            let known = self.clusters[old_number].observed;
            self.consume(old, writer);
            if !known && !self.mutation.is(Mutant::DoubtNotFollowed) {
                next.push(old_number);
            }
        }
    }

    /// What was observed was written, and once.
    fn check_writers(&self) -> Result<(), Early> {
        let (mut bad, mut twice): (Option<(OpIndex, Clash)>, _) = (None, false);
        for cluster in self.clusters.iter().filter(|cluster| cluster.observed) {
            match cluster.writers {
                0 => {
                    let consumer = if cluster.consumer == NONE { u32::MAX } else { self.end(cluster.consumer) };
                    let at = consumer.min(cluster.end_min.saturating_sub(1));
                    if bad.as_ref().is_none_or(|&(other, _)| at < other) {
                        let observer =
                            if consumer < cluster.end_min { Ok(cluster.consumer) } else { Err(cluster.end_min) };
                        bad = Some((at, Clash::NeverWritten { observer }));
                    }
                }
                1 => {}
                _ => twice = !self.mutation.is(Mutant::WritersUncounted),
            }
        }
        match bad {
            Some((at, clash)) => Err(Early::Bad(at, clash)),
            None if twice => Err(Early::Unfit("an observed value was written twice")),
            None => Ok(()),
        }
    }

    /// The zones of all blocks, each of which has an order.
    fn zones(&self) -> Result<Vec<Zone>, Early> {
        let mut zones = Vec::with_capacity(self.clusters.len());
        let mut chained = 0;
        if self.clusters[INITIAL].observed && !self.mutation.is(Mutant::InitialForgotten) {
            zones.push(self.block(INITIAL, NONE, &mut chained)?);
        }
        let mut compared = 0;
        for (place, operation) in self.operations.iter().enumerate() {
            let happened = |value: &ValueId| {
                let number = self.numbers.get(value).copied();
                number.filter(|&number| !operation.in_doubt() || self.clusters[number as usize].observed)
            };
            match deed(operation) {
                Deed::Write(value) => {
                    if let Some(number) = happened(&value) {
                        zones.push(self.block(number as usize, place as u32, &mut chained)?);
                    }
                }
                Deed::Cas(_, new) => compared += u32::from(happened(&new).is_some()),
                Deed::Observe(_) | Deed::Miss(_) | Deed::Nothing => {}
            }
        }
        // A compare-and-set in no block needs what another one took away for good, or what it leaves itself.
        let all = chained == compared || self.mutation.is(Mutant::CyclesAllowed);
        if all { Ok(zones) } else { Err(Early::Bad(self.last(), Clash::Chains)) }
    }

    /// When an operation began and ended; the first value was written before all.
    fn span_of(&self, writer: u32) -> (u32, u32) {
        self.operations.get(writer as usize).map_or((BEFORE_ALL, BEFORE_ALL), span)
    }

    /// The compare-and-set that must follow the reads of a value, and the number of what it leaves.
    fn next(&self, number: usize) -> Option<(u32, usize)> {
        // What nobody observed may have been written more than once, so nothing follows it.
        let cluster = &self.clusters[number];
        let consumer = self.operations.get(cluster.consumer as usize).filter(|_| cluster.observed)?;
        let Deed::Cas(_, new) = deed(consumer) else { return None };
        Some((cluster.consumer, *self.numbers.get(&new)? as usize))
    }

    /// The zone of the block that a writer begins. Counts its compare-and-sets.
    fn block(&self, first: usize, writer: u32, chained: &mut u32) -> Result<Zone, Early> {
        let (begin, end) = self.span_of(writer);
        let mut zone = Zone { f: end, s: begin, first: first as u32, writer, due: end };
        let mut number = first;
        // Each step goes to another compare-and-set.
        for _ in 0..=self.operations.len() {
            let cluster = &self.clusters[number];
            if !cluster.observed {
                break;
            }
            if cluster.end_min < zone.s && !self.mutation.is(Mutant::InnerOrderIgnored) {
                return Err(Early::Bad(cluster.end_min - 1, Clash::Inner { end: cluster.end_min, begin: zone.s }));
            }
            zone.f = zone.f.min(cluster.end_min);
            zone.s = zone.s.max(cluster.begin_max);
            let Some((consumer, next)) = self.next(number) else { break };
            let (begin, end) = self.span_of(consumer);
            if end < zone.s && !self.mutation.is(Mutant::InnerOrderOfCasIgnored) {
                return Err(Early::Bad(end - 1, Clash::Inner { end, begin: zone.s }));
            }
            zone.f = zone.f.min(end);
            zone.s = zone.s.max(begin);
            *chained += 1;
            number = next;
        }
        zone.due = zone.f;
        Ok(zone)
    }

    /// Whether every "no match" finds a moment at which the state was another one, in the order in which forward zones
    /// stand as they do and each backward one as early as it can between them. Where one finds none, what it refuses is
    /// written later, only after the "no match" began, if those who observe it can wait; that is tried a few times, as it
    /// lets the value before stand longer.
    /// Where that cannot be either, a write in doubt stands in between, or another zone that can wait.
    fn misses_fit(&self, zones: Vec<Zone>, forward_count: usize) -> bool {
        self.mutation.is(Mutant::MissesFit) || self.explained(arranged(zones, forward_count)).is_some()
    }

    /// Zones in an order, and the changes that they make, at moments that leave each "no match" a place.
    fn explained(&self, mut zones: Vec<Zone>) -> Option<(Vec<Zone>, Changes)> {
        const ROUNDS_MAX: usize = 40;
        let mut not_before: FxHashMap<u32, u32> = FxHashMap::default();
        let (mut cannot_wait, mut delayed) = (FxHashSet::<u32>::default(), FxHashSet::<u32>::default());
        let mut spare = Spare::new(if self.mutation.is(Mutant::SpareUnused) { Vec::new() } else { self.spare() });
        for _ in 0..ROUNDS_MAX {
            let changes = self.changes(&zones, &not_before, &mut cannot_wait)?;
            let unexplained = self.unexplained(&changes);
            if unexplained.is_empty() {
                return Some((zones, changes));
            }
            let mut moved = false;
            let (stands, next) = (stands(&zones, &unexplained), followers(&changes, &unexplained));
            for (number, begin) in unexplained {
                if number as usize != INITIAL && !cannot_wait.contains(&number) {
                    let bound = not_before.entry(number).or_default();
                    *bound = begin.max(*bound);
                    delayed.insert(number);
                } else if let Some(next) = next.get(&number).filter(|next| delayed.remove(next)) {
                    // What follows waits for a "no match" of its own, which is in the way here.
                    not_before.remove(next);
                    cannot_wait.insert(*next);
                } else if let Some(zone) = spare.take_before(begin) {
                    not_before.insert(zone.first, begin);
                    // Behind what it is to end, wherever that stands.
                    let f = stands.get(&number).map_or(begin, |&f| f.max(begin));
                    zones.push(Zone { f, ..zone });
                    moved = true;
                } else if self.mutation.is(Mutant::NothingMoved) {
                    return None;
                } else {
                    let zone = put_behind(&mut zones, number, begin)?;
                    not_before.insert(zone, begin);
                    moved = true;
                }
            }
            if moved {
                zones.sort_by_key(|zone| zone.f);
            }
        }
        None
    }

    /// The first place among `changes` at which a "no match" can stand.
    fn moment_of_miss(&self, changes: &[(u32, u32)], place: u32) -> Option<usize> {
        let miss = &self.operations[place as usize];
        let Deed::Miss(value) = deed(miss) else { return Some(0) };
        let (begin, end) = span(miss);
        let number = self.numbers.get(&value);
        let before = changes.partition_point(|&(moment, _)| moment < begin).saturating_sub(1);
        let mut during = changes[before..].iter().take_while(|&&(moment, _)| moment < end);
        during.position(|(_, state)| Some(state) != number).map(|place| before + place)
    }

    /// Writes in doubt that nobody observed: they may have happened at any time after their invocation. In order of that.
    fn spare(&self) -> Vec<Zone> {
        let zone = |(place, operation): (usize, &Operation<RegisterAction>)| {
            let Deed::Write(value) = deed(operation) else { return None };
            let first = *self.numbers.get(&value)?;
            let is_spare = operation.in_doubt() && !self.clusters[first as usize].observed;
            let (begin, due) = span(operation);
            is_spare.then_some(Zone { f: begin, s: begin, first, writer: place as u32, due })
        };
        self.operations.iter().enumerate().filter_map(zone).collect()
    }

    /// Each "no match" that finds nothing but what it refuses: the number of that, and when it began.
    fn unexplained(&self, changes: &[(u32, u32)]) -> Vec<(u32, u32)> {
        let without = self.misses.iter().filter(|&&place| self.moment_of_miss(changes, place).is_none());
        without
            .filter_map(|&place| {
                let miss = &self.operations[place as usize];
                let Deed::Miss(value) = deed(miss) else { return None };
                Some((*self.numbers.get(&value)?, span(miss).0))
            })
            .collect()
    }

    /// What stands in the register from which moment on, in the order of `zones`, each operation as early as it can be
    /// but no value before its bound, unless somebody cannot wait that long: such values are told. `None`: somebody could
    /// not wait for others. A change stands right behind the event that its moment names.
    fn changes(
        &self,
        zones: &[Zone],
        not_before: &FxHashMap<u32, u32>,
        cannot_wait: &mut FxHashSet<u32>,
    ) -> Option<Changes> {
        let mut changes = Vec::with_capacity(zones.len() + 1);
        changes.push((BEFORE_ALL, INITIAL as u32));
        let mut moment = BEFORE_ALL;
        for zone in zones {
            let (mut number, mut writer) = (zone.first as usize, zone.writer);
            for _ in 0..=self.operations.len() {
                let (begin, end) = self.span_of(writer);
                let cluster = &self.clusters[number];
                let due = if cluster.observed { end.min(cluster.end_min) } else { end };
                let in_time = |moment: u32| moment < due || writer == NONE || self.mutation.is(Mutant::DelayUnchecked);
                moment = moment.max(begin);
                match not_before.get(&(number as u32)) {
                    Some(&bound) if in_time(moment.max(bound)) => moment = moment.max(bound),
                    Some(_) => {
                        cannot_wait.insert(number as u32);
                    }
                    None => {}
                }
                if !in_time(moment) {
                    return None;
                }
                changes.push((moment, number as u32));
                if cluster.observed {
                    moment = moment.max(cluster.begin_max);
                }
                let Some(next) = self.next(number) else { break };
                (writer, number) = next;
            }
        }
        Some(changes)
    }
}

/// Of values that are refused: where the zone stands that each begins.
fn stands(zones: &[Zone], refused: &[(u32, u32)]) -> FxHashMap<u32, u32> {
    let numbers: FxHashSet<u32> = refused.iter().map(|&(number, _)| number).collect();
    zones.iter().filter(|zone| numbers.contains(&zone.first)).map(|zone| (zone.first, zone.f)).collect()
}

/// Of values that are refused: what stands after each.
fn followers(changes: &[(u32, u32)], refused: &[(u32, u32)]) -> FxHashMap<u32, u32> {
    let numbers: FxHashSet<u32> = refused.iter().map(|&(number, _)| number).collect();
    let pairs = changes.windows(2).filter(|pair| numbers.contains(&pair[0].1));
    pairs.map(|pair| (pair[0].1, pair[1].1)).collect()
}

/// Zones of writes in doubt, in order of their invocations, each to be taken once.
struct Spare {
    zones: Vec<Zone>,
    /// By place and one more: the last place before it that may be left, and one more; 0: none.
    left: Vec<usize>,
}

impl Spare {
    fn new(zones: Vec<Zone>) -> Spare {
        let left = (0..=zones.len()).collect();
        Spare { zones, left }
    }

    /// Takes the last one that is left and was invoked before a moment. Amortized in nearly constant time.
    fn take_before(&mut self, moment: u32) -> Option<Zone> {
        let mut place = self.zones.partition_point(|zone| zone.s < moment);
        while self.left[place] != place {
            self.left[place] = self.left[self.left[place]];
            place = self.left[place];
        }
        let taken = place.checked_sub(1)?;
        self.left[place] = taken;
        Some(self.zones[taken])
    }
}

/// Zones in the order in which forward ones stand as they do and each backward one as early as it can between them.
fn arranged(mut zones: Vec<Zone>, forward_count: usize) -> Vec<Zone> {
    let (forwards, backwards) = zones.split_at_mut(forward_count);
    // From here on `f` is the place in that order: behind the forward zone that the latest invocation stands in.
    for zone in backwards {
        let before = forwards.partition_point(|forward| forward.f < zone.s);
        zone.f = before.checked_sub(1).map_or(zone.s, |place| zone.s.max(forwards[place].s));
    }
    zones.sort_by_key(|zone| zone.f);
    zones
}

/// Puts a zone that stood before a moment, but can wait, right behind it: one that is not of a certain value. The number of
/// its first value. Whether the order is one then is for others to say.
fn put_behind(zones: &mut [Zone], other_than: u32, moment: u32) -> Option<u32> {
    const LOOKED_AT_MAX: usize = 512;
    let to = zones.partition_point(|zone| zone.f < moment);
    let near = zones[to.saturating_sub(LOOKED_AT_MAX)..to].iter_mut().rev();
    let can_wait = |zone: &&mut Zone| zone.first != other_than && zone.due > moment && zone.s <= zone.due;
    let chosen = near.filter(can_wait).max_by_key(|zone| zone.due)?;
    chosen.f = moment;
    Some(chosen.first)
}

/// Whether zones can be ordered. Puts forward ones to the front, in order, and counts them.
fn check(zones: &mut [Zone], mutation: Mutation) -> Result<usize, Early> {
    let mut count = 0;
    for place in 0..zones.len() {
        if zones[place].f < zones[place].s {
            zones.swap(place, count);
            count += 1;
        }
    }
    let (forwards, backwards) = zones.split_at_mut(count);
    forwards.sort_unstable_by_key(|zone| zone.f);
    let bad = |a: Zone, b: Zone| {
        let known = [a.f, a.s, b.f, b.s].into_iter().filter(|&event| event != u32::MAX);
        Err(Early::Bad(known.max().unwrap_or(1) - 1, Clash::Zones(a, b)))
    };
    for pair in forwards.windows(2) {
        if pair[0].s > pair[1].f && !mutation.is(Mutant::ForwardsOverlap) {
            return bad(pair[0], pair[1]);
        }
    }
    for &zone in backwards.iter() {
        let before = forwards.partition_point(|forward| forward.f < zone.s);
        if let Some(forward) = before.checked_sub(1).map(|place| forwards[place])
            && forward.s > zone.f
            && !mutation.is(Mutant::BackwardInside)
        {
            return bad(forward, zone);
        }
    }
    Ok(count)
}
