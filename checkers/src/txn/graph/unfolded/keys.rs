//! What shows on the versions of single keys: G-cursor, and what update atomicity forbids.

use super::ground::{Arc, Ground, NONE, TAIL};
use super::mutant::Mutant;
use super::{Link, Told};
use crate::txn::accesses::Read;
use crate::txn::edge::EdgeKind;
use crate::txn::meter::{Meter, Spent};
use crate::txn::txns::TxnId;

/// How a version came to be visible to a reader although it does not read it.
#[derive(Debug, Clone, Copy)]
enum By {
    /// The reader read something of its writer, at that place and of that key.
    Read(u32, u32),
    /// The reader wrote a later version of that key, so many later.
    Over(u32, u32),
}

/// A version that a reader missed although its writer was visible.
struct Missed {
    length: u32,
    reader: TxnId,
    read: Read,
    /// Where the versions after the one that was read begin.
    after: u32,
    writer: TxnId,
    by: By,
}

impl<'a> Ground<'a> {
    /// Reads of a key that their transaction wrote, of transactions that take part.
    fn reads(&self, id: TxnId) -> &'a [Read] {
        if self.txns.is_ok(id) && self.is_committed(id) { self.accesses.reads(id) } else { &[] }
    }

    /// Who wrote the versions from one place of a key on, with their places.
    fn versions(&self, key: u32, from: u32) -> impl Iterator<Item = (TxnId, u32)> + '_ {
        let order = self.orders.get(key as usize);
        let known = order.map_or(&[][..], |order| order.known.get(from as usize..).unwrap_or_default());
        let tail = order.map_or(&[][..], |order| &order.tail[..]);
        let known = known.iter().zip(from..).map(|(&id, place)| (id, place));
        known.chain(tail.iter().map(|&id| (id, TAIL)))
    }

    /// The number of the last known version of a key, plus one: the place of those behind it as far as steps are counted.
    fn known_count(&self, key: u32) -> u32 {
        self.orders.get(key as usize).map_or(0, |order| order.known.len() as u32)
    }

    /// Steps from one version to another of the same key, the later one perhaps behind all that are known.
    fn steps_between(&self, key: u32, from: u32, to: u32) -> u32 {
        to.min(self.known_count(key)) - from.min(self.known_count(key))
    }

    /// A transaction read a version and wrote the key, but not the next version: the shortest such cycle.
    pub fn cursor(&self, meter: &mut Meter) -> Result<Option<Told>, Spent> {
        let mut best: Option<(u32, TxnId, Read, u32)> = None;
        for id in 0..self.count() as TxnId {
            meter.step(1 + self.reads(id).len() as u64)?;
            for &read in self.reads(id) {
                let Some((own, _)) = self.version(id, read.key) else { continue };
                let Some(after) = self.after(read.writer, read.key) else { continue };
                let is_next_known = after < self.known_count(read.key);
                if own <= after || !is_next_known {
                    continue;
                }
                let length = 1 + self.steps_between(read.key, after, own);
                if best.is_none_or(|(least, ..)| length < least) {
                    best = Some((length, id, read, after));
                    if self.mutation.is(Mutant::FirstIsShortest) {
                        return Ok(best.map(|(_, id, read, after)| self.cursor_of(id, read, after)));
                    }
                }
            }
        }
        Ok(best.map(|(_, id, read, after)| self.cursor_of(id, read, after)))
    }

    fn cursor_of(&self, id: TxnId, read: Read, after: u32) -> Told {
        let mut links = Vec::new();
        let next = self.over(id, read, after, &mut links);
        self.along(read.key, (after, next), id, &mut links);
        Told { links, shortest: true }
    }

    /// The step from a read to the version after it; who wrote that.
    fn over(&self, id: TxnId, read: Read, after: u32, links: &mut Vec<Link>) -> TxnId {
        let next = self.versions(read.key, after).map(|(next, _)| next).find(|&next| next != id).unwrap_or(id);
        links.push(self.link(&Arc { from: id, to: next, place: read.micro, key: read.key, kind: EdgeKind::Rw }));
        next
    }

    /// Steps from version to version of a key, from the place of one writer's to another writer's.
    fn along(&self, key: u32, (place, from): (u32, TxnId), to: TxnId, links: &mut Vec<Link>) {
        let mut last = from;
        let mut step = |next: TxnId, last: &mut TxnId| {
            links.push(self.link(&Arc { from: *last, to: next, place: NONE, key, kind: EdgeKind::Ww }));
            *last = next;
        };
        if last == to || place >= TAIL {
            return;
        }
        for (next, _) in self.versions(key, place + 1).filter(|&(_, place)| place < TAIL) {
            step(next, &mut last);
            if next == to {
                return;
            }
        }
        step(to, &mut last);
    }

    /// A transaction missed a version of somebody who was visible to it, by reading or by writing over: the shortest cycle.
    pub fn update(&self, meter: &mut Meter) -> Result<Option<Told>, Spent> {
        let mut best: Option<Missed> = None;
        for id in 0..self.count() as TxnId {
            for &read in self.reads(id) {
                let Some(after) = self.after(read.writer, read.key) else { continue };
                for (other, place) in self.versions(read.key, after) {
                    meter.step(1)?;
                    // Whoever is visible comes before in every order.
                    if other == id || self.rank[other as usize] > self.rank[id as usize] {
                        continue;
                    }
                    if self.mutation.is(Mutant::NextIsEnough) && place != after {
                        break;
                    }
                    let Some((by, steps)) = self.visible(other, id) else { continue };
                    let length = 1 + self.steps_between(read.key, after, place) + steps;
                    if best.as_ref().is_none_or(|best| length < best.length) {
                        best = Some(Missed { length, reader: id, read, after, writer: other, by });
                    }
                }
            }
        }
        Ok(best.map(|missed| self.update_of(&missed)))
    }

    fn update_of(&self, missed: &Missed) -> Told {
        let &Missed { reader, read, after, writer, by, .. } = missed;
        let mut links = Vec::new();
        if after >= self.known_count(read.key) {
            // Of those behind all others the order is not known: any of them comes after what was read.
            let (place, key) = (read.micro, read.key);
            links.push(self.link(&Arc { from: reader, to: writer, place, key, kind: EdgeKind::Rw }));
        } else {
            let next = self.over(reader, read, after, &mut links);
            self.along(read.key, (after, next), writer, &mut links);
        }
        match by {
            By::Read(key, place) => {
                links.push(self.link(&Arc { from: writer, to: reader, place, key, kind: EdgeKind::Wr }));
            }
            By::Over(key, place) => self.along(key, (place, writer), reader, &mut links),
        }
        Told { links, shortest: true }
    }

    /// Whether a transaction is visible to another because that read from it or wrote over it, in the fewest steps.
    fn visible(&self, writer: TxnId, id: TxnId) -> Option<(By, u32)> {
        let read = self.reads(id).iter().find(|read| read.writer == writer);
        if let Some(read) = read.filter(|_| !self.mutation.is(Mutant::ReadNotVisible)) {
            return Some((By::Read(read.key, read.micro), 1));
        }
        if self.mutation.is(Mutant::OverwrittenNotVisible) {
            return None;
        }
        let over = self.accesses.writes(id).iter().filter_map(|write| {
            let ((own, _), (other, _)) = (self.version(id, write.key)?, self.version(writer, write.key)?);
            (other < own).then(|| (By::Over(write.key, other), self.steps_between(write.key, other, own)))
        });
        over.min_by_key(|(_, steps)| *steps)
    }
}
