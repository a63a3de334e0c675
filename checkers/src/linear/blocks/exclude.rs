//! Why blocks have no order: the few operations that exclude each other.
//!
//! Worked out only where there is no order, from what the decision knows then: values, and events (which belong to one
//! operation each). With the writers of what they need, and what those need, the operations named have no order: in that
//! set a block still holds the two operations that make its zone as long as it is, and all between them.

use super::{Blocks, Deed, INITIAL, NONE, Zone, deed, span};
use crate::linear::ruling::Certificate;

/// What excludes each other, as the decision sees it.
pub(super) enum Clash {
    /// Nobody wrote what an operation needs: its place, or the completion of a read.
    NeverWritten { observer: Result<u32, u32> },
    /// In a block, what has this completion stands behind what has this invocation.
    Inner { end: u32, begin: u32 },
    /// Some compare-and-set stands in no block.
    Chains,
    /// Two zones.
    Zones(Zone, Zone),
}

impl Blocks<'_> {
    pub(super) fn certificate(&self, clash: Clash) -> Certificate {
        let (pattern, mut places) = match clash {
            Clash::NeverWritten { observer } => {
                let place = observer.ok().or_else(|| self.ended_at(observer.err().unwrap_or_default()));
                ("value-never-written", place.into_iter().collect())
            }
            Clash::Inner { end, begin } => self.inner(end, begin),
            Clash::Chains => self.chains(),
            Clash::Zones(a, b) => self.two_zones(a, b),
        };
        let mut next = 0;
        // One in doubt has happened only because somebody observed what it left.
        while let Some(&place) = places.get(next) {
            let operation = &self.operations[place as usize];
            if operation.in_doubt()
                && let Some(observer) = self.observer_of(place)
                && !places.contains(&observer)
            {
                places.push(observer);
            }
            next += 1;
        }
        Certificate { pattern, places }
    }

    /// Who has this completion (counted from 1).
    fn ended_at(&self, end: u32) -> Option<u32> {
        let found = self.operations.iter().position(|one| !one.in_doubt() && span(one).1 == end)?;
        Some(found as u32)
    }

    /// Who has this invocation (counted from 1).
    fn began_at(&self, begin: u32) -> Option<u32> {
        let found = self.operations.binary_search_by_key(&begin, |one| span(one).0).ok()?;
        Some(found as u32)
    }

    /// Somebody who needs what an operation left, one without doubt if there is one.
    fn observer_of(&self, place: u32) -> Option<u32> {
        let left = self.left_by(place)?;
        let needs = |other: &u32| self.needed_by(*other) == Some(left);
        let consumer = self.numbers.get(&left).map(|&number| self.clusters[number as usize].consumer);
        let certain = |other: &u32| !self.operations[*other as usize].in_doubt();
        (0..self.operations.len() as u32)
            .filter(certain)
            .find(needs)
            .or_else(|| consumer.filter(|&consumer| consumer != NONE))
    }

    fn left_by(&self, place: u32) -> Option<schism_history::ValueId> {
        match deed(&self.operations[place as usize]) {
            Deed::Write(value) | Deed::Cas(_, value) => Some(value),
            Deed::Observe(_) | Deed::Miss(_) | Deed::Nothing => None,
        }
    }

    fn needed_by(&self, place: u32) -> Option<schism_history::ValueId> {
        match deed(&self.operations[place as usize]) {
            Deed::Observe(value) | Deed::Cas(value, _) => Some(value),
            Deed::Write(_) | Deed::Miss(_) | Deed::Nothing => None,
        }
    }

    fn inner(&self, end: u32, begin: u32) -> (&'static str, Vec<u32>) {
        let (early, late) = (self.ended_at(end), self.began_at(begin));
        let is_cause = early.and_then(|early| self.needed_by(early)) == late.and_then(|late| self.left_by(late));
        let pattern = if is_cause { "ended-before-its-write" } else { "chain-out-of-order" };
        (pattern, early.into_iter().chain(late).collect())
    }

    /// Who wrote what a compare-and-set needs.
    fn writer_for(&self, place: u32) -> Option<u32> {
        let number = *self.numbers.get(&self.needed_by(place)?)? as usize;
        Some(self.clusters[number].writer).filter(|&writer| writer != NONE && number != INITIAL)
    }

    fn chains(&self) -> (&'static str, Vec<u32>) {
        let happened = |&place: &u32| {
            let operation = &self.operations[place as usize];
            let observed =
                |value| self.numbers.get(&value).is_some_and(|&number| self.clusters[number as usize].observed);
            matches!(deed(operation), Deed::Cas(..))
                && (!operation.in_doubt() || self.left_by(place).is_some_and(observed))
        };
        let all: Vec<u32> = (0..self.operations.len() as u32).filter(happened).collect();
        for &place in &all {
            let consumer = self.needed_by(place).and_then(|old| self.numbers.get(&old));
            let consumer = consumer.map_or(NONE, |&number| self.clusters[number as usize].consumer);
            if consumer != place && consumer != NONE {
                return ("two-cas-from-one-value", vec![consumer.min(place), consumer.max(place)]);
            }
        }
        // Each goes back to whoever wrote what it needs. A walk that comes to its own trail has found a cycle.
        let mut trail = vec![NONE; self.operations.len()];
        for &first in &all {
            let mut place = first;
            while trail[place as usize] == NONE {
                trail[place as usize] = first;
                let Some(before) = self.writer_for(place) else { break };
                if trail[before as usize] == first {
                    return ("cycle-of-cas", self.cycle(before));
                }
                place = before;
            }
        }
        ("cycle-of-cas", all)
    }

    /// The cycle that a compare-and-set stands in, each before the one that needs what it left, from the earliest on.
    fn cycle(&self, from: u32) -> Vec<u32> {
        let mut cycle = vec![from];
        let mut place = from;
        let count = self.operations.len();
        while let Some(before) = self.writer_for(place).filter(|&before| before != from && cycle.len() < count) {
            cycle.push(before);
            place = before;
        }
        cycle.reverse();
        let first = (0..cycle.len()).min_by_key(|&at| cycle[at]).unwrap_or(0);
        cycle.rotate_left(first);
        cycle
    }

    /// For each zone what ended first and what began last. What stood before all has no operation.
    fn two_zones(&self, a: Zone, b: Zone) -> (&'static str, Vec<u32>) {
        if a.writer == NONE || b.writer == NONE {
            let (initial, other) = if a.writer == NONE { (a, b) } else { (b, a) };
            let places = self.ended_at(other.f).into_iter().chain(self.began_at(initial.s));
            return ("initial-value-returned", places.collect());
        }
        let pattern = if b.f < b.s { "two-forward-zones" } else { "backward-zone-inside" };
        let mut places: Vec<u32> = Vec::with_capacity(4);
        for zone in [a, b] {
            for place in [self.ended_at(zone.f), self.began_at(zone.s)].into_iter().flatten() {
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        (pattern, places)
    }
}
