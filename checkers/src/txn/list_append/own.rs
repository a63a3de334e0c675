//! What transactions that read a key and append to it show: reads of what is appended only later, and lost updates.

use schism_history::ValueId;

use super::columns::{Append, DEVIANT, NONE, Reading};
use super::findings::{Candidate, Part, Shown};
use super::judge::Judge;
use super::mutant::Mutant;
use crate::anomaly::AnomalyKind;

/// A read before the transaction's first append to the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ReadModifyWrite<'h> {
    /// Length of a list that is a prefix of the key's; else [`DEVIANT`], and the list.
    length: u32,
    list: &'h [ValueId],
    reader: u32,
    micro: u32,
    over: u32,
}

impl Judge<'_, '_> {
    /// Judges the transactions that both read the key and append to it.
    pub fn own(&mut self, key: u32) {
        let (appends, readings) = (self.context.appends(key), self.context.readings(key));
        let mut updates = Vec::new();
        let mut future: Option<Candidate> = None;
        let mut append_at = 0;
        let mut deviants = 0;
        for group in readings.chunk_by(|a, b| a.reader == b.reader) {
            let before = deviants;
            deviants += group.iter().filter(|reading| reading.length == DEVIANT).count();
            let reader = group[0].reader;
            while append_at < appends.len() && appends[append_at].owner < reader {
                append_at += 1;
            }
            let own_count = appends[append_at..].iter().take_while(|append| append.owner == reader).count();
            if own_count == 0 {
                continue;
            }
            let own = &appends[append_at..append_at + own_count];
            self.future(key, group, append_at, own, before, &mut future);
            let mut place = before;
            for reading in group {
                let (list, _, _) = self.list_of(reading, &mut place);
                if !reading.is_behind_own() {
                    let length = reading.length;
                    let list = if length == DEVIANT { list } else { &[] };
                    updates.push(ReadModifyWrite {
                        length,
                        list,
                        reader,
                        micro: reading.micro(),
                        over: own[0].micro(),
                    });
                }
            }
        }
        if let Some(future) = future {
            self.out.findings.show(AnomalyKind::FutureRead, future);
        }
        self.lost_updates(key, updates);
    }

    /// Reads of one transaction that hold an element which it appends only later.
    fn future(
        &mut self,
        key: u32,
        group: &[Reading],
        first: usize,
        own: &[Append],
        deviants: usize,
        best: &mut Option<Candidate>,
    ) {
        // Backwards: the appends that come later, of these the one that stands first in the key's list.
        let mut later = own.len();
        let mut earliest = (NONE, 0);
        let anytime = self.context.mutation.is(Mutant::FutureAnytime);
        let mut next_deviant = deviants + group.iter().filter(|reading| reading.length == DEVIANT).count();
        for reading in group.iter().rev() {
            while later > 0 && (own[later - 1].micro() > reading.micro() || anytime) {
                later -= 1;
                let place = first + later;
                if !self.view.table.is_ambiguous(place as u32) {
                    earliest = earliest.min((self.view.positions[place], later));
                }
            }
            let found = if reading.length == DEVIANT {
                next_deviant -= 1;
                self.future_of_deviant(next_deviant, first..first + own.len(), first + later)
            } else {
                (reading.length > earliest.0).then_some(first + earliest.1)
            };
            let Some(place) = found.filter(|_| !self.context.mutation.is(Mutant::FutureIdle)) else { continue };
            self.out.findings.count(AnomalyKind::FutureRead, 1);
            let append = self.context.appends(key)[place];
            let places =
                vec![(reading.reader, reading.micro(), Part::Read), (append.owner, append.micro(), Part::Write)];
            let size = match self.view.deviants.get(next_deviant) {
                Some(deviant) if reading.length == DEVIANT => deviant.list.len() as u32,
                _ => reading.length,
            };
            let found = Shown::Read(reading.reader, reading.micro());
            let candidate = Candidate { size, places, expected: Shown::Nothing, found, key };
            if best.as_ref().is_none_or(|best| candidate < *best) {
                *best = Some(candidate);
            }
        }
    }

    /// The first own append from a place on that is in a list.
    fn future_of_deviant(&self, deviant: usize, own: std::ops::Range<usize>, later: usize) -> Option<usize> {
        let list = self.view.deviants.get(deviant)?.list;
        let place = |element: &ValueId| self.view.table.get(element.number()) as usize;
        let mut places = list.iter().map(place);
        places.find(|place| (later..own.end).contains(place) && !self.view.table.is_ambiguous(*place as u32))
    }

    /// Appends of one transaction that the key's list has in another order than they were made in, or of which it has a
    /// later one without the one before it.
    pub fn own_order(&mut self, key: u32) {
        if !self.view.is_clean || self.context.mutation.is(Mutant::OwnOrderIdle) {
            return;
        }
        let appends = self.context.appends(key);
        let mut best: Option<Candidate> = None;
        let mut seen = vec![false; appends.len()];
        let mut lists: Option<Vec<(u32, Reading)>> = None;
        for (position, element) in self.view.longest[..self.view.certain].iter().enumerate() {
            let place = self.view.table.get(element.number());
            let Some(append) = appends.get(place as usize).filter(|_| self.view.is_ordered[place as usize]) else {
                continue;
            };
            seen[place as usize] = true;
            let Some(before) = place.checked_sub(1) else { continue };
            let earlier = appends[before as usize];
            if earlier.owner != append.owner || self.view.table.is_ambiguous(before) || seen[before as usize] {
                continue;
            }
            let position = position as u32;
            self.out.findings.count(AnomalyKind::IncompatibleOrder, 1);
            let lists = lists.get_or_insert_with(|| self.by_length(key));
            let beyond = lists.partition_point(|(length, _)| *length <= position);
            let Some(&(length, reading)) = lists.get(beyond) else { continue };
            let places = vec![
                (reading.reader, reading.micro(), Part::Read),
                (earlier.owner, earlier.micro(), Part::Write),
                (append.owner, append.micro(), Part::OverWrite),
            ];
            let found = Shown::Read(reading.reader, reading.micro());
            let candidate = Candidate { size: length, places, expected: Shown::Nothing, found, key };
            if best.as_ref().is_none_or(|best| candidate < *best) {
                best = Some(candidate);
            }
        }
        if let Some(best) = best {
            self.out.findings.show(AnomalyKind::IncompatibleOrder, best);
        }
    }

    /// The lengths of all lists that were read, the shortest first, and who read them.
    fn by_length(&self, key: u32) -> Vec<(u32, Reading)> {
        let mut deviants = 0;
        let lists = self.context.readings(key).iter().map(|reading| {
            let (list, _, _) = self.list_of(reading, &mut deviants);
            (list.len() as u32, *reading)
        });
        let mut all: Vec<(u32, Reading)> = lists.collect();
        all.sort_by_key(|(length, _)| *length);
        all
    }

    /// Versions that several transactions read before they appended.
    fn lost_updates(&mut self, key: u32, mut updates: Vec<ReadModifyWrite<'_>>) {
        if self.context.mutation.is(Mutant::LostUpdateIdle) {
            return;
        }
        updates.sort_unstable();
        let mut best: Option<Candidate> = None;
        for group in updates.chunk_by(|a, b| a.length == b.length && a.list == b.list) {
            let first = group[0];
            let alone = self.context.mutation.is(Mutant::LostUpdateAlone);
            let Some(second) = group[1..].iter().find(|update| update.reader != first.reader || alone) else {
                continue;
            };
            self.out.findings.count(AnomalyKind::LostUpdate, 1);
            let size = if first.length == DEVIANT { first.list.len() as u32 } else { first.length };
            let places = vec![
                (first.reader, first.micro, Part::Read),
                (first.reader, first.over, Part::OverWrite),
                (second.reader, second.micro, Part::OtherRead),
                (second.reader, second.over, Part::OverWrite),
            ];
            let found = Shown::Read(first.reader, first.micro);
            let candidate = Candidate { size, places, expected: Shown::Nothing, found, key };
            if best.as_ref().is_none_or(|best| candidate < *best) {
                best = Some(candidate);
            }
        }
        if let Some(best) = best {
            self.out.findings.show(AnomalyKind::LostUpdate, best);
        }
    }
}
