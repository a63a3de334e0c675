//! Violations that are sure, whatever else a history holds: reads and writes of new keys that are added to transactions that
//! are there. To add never mends anything, so each level that the addition breaks by itself is broken.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::stores::{NOBODY, Run};
use crate::txn::solver::{Keeps, Property};

/// What is planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Two read the same version of a key and write it: whoever is later read too early. Only a prefix may do so.
    LostUpdate,
    /// Each of two reads a key before the other writes it: a snapshot may.
    WriteSkew,
    /// The same around four, each of which writes.
    Hops,
    /// Each of two reads what the other wrote.
    ReadCircle,
    /// One writes, one reads that and writes, one reads that, and of the first key nothing.
    Stale,
    /// Two writers, and two readers of both keys who each miss another one. Readers alone may differ (so update serializability
    /// is broken only if both write), and those of parallel snapshots.
    LongFork,
    /// Two blind writers of a key whose order is not known: whichever it is, somebody who saw the later one (and so the earlier)
    /// missed what the earlier one had read.
    Torn,
    /// Two keys, each with two blind writers; to each of the four ways to order them two readers who contradict it, but to
    /// neither order of one key alone. Parallel snapshots and lone readers may see it so.
    Hidden,
    /// Two writes of a key in a process, and then a read of the first there.
    StaleInProcess,
    /// The same in real time.
    StaleInTime,
}

pub const PLANTS: [Plant; 10] = [
    Plant::LostUpdate,
    Plant::WriteSkew,
    Plant::Hops,
    Plant::ReadCircle,
    Plant::Stale,
    Plant::LongFork,
    Plant::Torn,
    Plant::Hidden,
    Plant::StaleInProcess,
    Plant::StaleInTime,
];

impl Plant {
    /// The weakest orders with which it breaks a property; `None` if it need not break it.
    pub fn breaks(self, property: Property) -> Option<Keeps> {
        use Property::*;
        let is_broken = match self {
            Plant::LostUpdate => property != Prefix,
            Plant::WriteSkew | Plant::Hops => matches!(property, Serializable | UpdateSerializable),
            Plant::LongFork | Plant::Hidden => matches!(property, Serializable | SnapshotIsolation | Prefix),
            Plant::ReadCircle | Plant::Stale | Plant::Torn => true,
            Plant::StaleInProcess => return Some(Keeps::Process),
            Plant::StaleInTime => return Some(Keeps::Realtime),
        };
        is_broken.then_some(Keeps::Nothing)
    }

    /// Plants it among transactions of a run. Whether there was room.
    pub fn plant(self, random: &mut impl Rng, run: &mut Run) -> bool {
        let mut ids: Vec<usize> = (0..run.made.len()).collect();
        ids.shuffle(random);
        let chosen = match self {
            Plant::LostUpdate | Plant::WriteSkew | Plant::ReadCircle => ids.get(..2),
            Plant::Hops | Plant::LongFork => ids.get(..4),
            Plant::Stale => ids.get(..3),
            Plant::Torn => ids.get(..6),
            Plant::Hidden => ids.get(..12),
            Plant::StaleInProcess | Plant::StaleInTime => {
                return one_after_another(run, self == Plant::StaleInProcess, random.random_range(0..3))
                    .map(|[a, b, c]| {
                        let mut add = Add { first: run.keys, run };
                        add.write(a, 0);
                        add.write(b, 0);
                        add.read(c, 0, Some(a));
                        add.done(1);
                    })
                    .is_some();
            }
        };
        let Some(chosen) = chosen else { return false };
        let mut add = Add { first: run.keys, run };
        add.shape(self, chosen);
        true
    }
}

/// Three transactions, each of which ended before the next began.
fn one_after_another(run: &Run, in_process: bool, skip: usize) -> Option<[usize; 3]> {
    let after = |a: usize, after_count: usize| {
        let is_after =
            |b: &usize| run.began[*b] > run.ended[a] && (!in_process || run.made[a].session == run.made[*b].session);
        let mut later: Vec<usize> = (0..run.made.len()).filter(is_after).collect();
        later.sort_unstable_by_key(|&b| run.began[b]);
        later.get(after_count).copied()
    };
    (0..run.made.len()).find_map(|a| {
        let b = after(a, skip)?;
        Some([a, b, after(b, skip)?])
    })
}

struct Add<'r> {
    first: u32,
    run: &'r mut Run,
}

impl Add<'_> {
    fn write(&mut self, id: usize, key: u32) {
        let key = self.first + key;
        if !self.run.made[id].writes.contains(&key) {
            self.run.made[id].writes.push(key);
        }
    }

    fn read(&mut self, id: usize, key: u32, of: Option<usize>) {
        let writer = of.map_or(NOBODY, |id| id as u32);
        self.run.made[id].reads.push((self.first + key, writer));
    }

    fn done(&mut self, keys: u32) {
        self.run.keys = self.first + keys;
    }

    fn shape(&mut self, plant: Plant, ids: &[usize]) {
        match plant {
            Plant::LostUpdate => {
                ids.iter().for_each(|&id| {
                    self.read(id, 0, None);
                    self.write(id, 0);
                });
                self.done(1);
            }
            Plant::WriteSkew | Plant::Hops => {
                for (place, &id) in ids.iter().enumerate() {
                    self.write(id, place as u32);
                    self.read(id, (place as u32 + 1) % ids.len() as u32, None);
                }
                self.done(ids.len() as u32);
            }
            Plant::ReadCircle => {
                let (a, b) = (ids[0], ids[1]);
                for (id, other, key) in [(a, b, 0), (b, a, 1)] {
                    self.write(id, key);
                    self.read(other, key, Some(id));
                }
                self.done(2);
            }
            Plant::Stale => {
                self.write(ids[0], 0);
                self.read(ids[1], 0, Some(ids[0]));
                self.write(ids[1], 1);
                self.read(ids[2], 1, Some(ids[1]));
                self.read(ids[2], 0, None);
                self.done(2);
            }
            Plant::LongFork => {
                self.write(ids[0], 0);
                self.write(ids[1], 1);
                for (reader, seen) in [(ids[2], 0), (ids[3], 1)] {
                    self.read(reader, seen, Some(ids[seen as usize]));
                    self.read(reader, 1 - seen, None);
                }
                self.done(2);
            }
            Plant::Torn => {
                // a and b write key 0; each read what its own earlier writer wrote (2 and 3, keys 1 and 2).
                for (own, other, early, late, key) in [(0, 1, 2, 4, 1), (1, 0, 3, 5, 2)] {
                    self.write(ids[own], 0);
                    self.write(ids[early], key);
                    self.read(ids[own], key, Some(ids[early]));
                    // Somebody who saw the other one, by a key of its own, missed what this one had read.
                    self.write(ids[other], key + 2);
                    self.read(ids[late], key + 2, Some(ids[other]));
                    self.read(ids[late], key, None);
                }
                self.done(5);
            }
            Plant::Hidden => self.hidden(ids),
            Plant::StaleInProcess | Plant::StaleInTime => {}
        }
    }

    fn hidden(&mut self, ids: &[usize]) {
        // Writers of key 0: ids 0 and 1; of key 1: ids 2 and 3. Each writes a key of its own, 2 + its place.
        for (place, &id) in ids[..4].iter().enumerate() {
            self.write(id, place as u32 / 2);
            self.write(id, 2 + place as u32);
        }
        for way in 0..4 {
            let (x, y) = (way / 2, way % 2);
            let (x_first, x_second) = (x, 1 - x);
            let (y_first, y_second) = (2 + y, 3 - y);
            let (p, q) = (ids[4 + 2 * way], ids[5 + 2 * way]);
            self.read(p, 0, Some(ids[x_first]));
            self.read(p, 2 + y_second as u32, Some(ids[y_second]));
            self.read(q, 1, Some(ids[y_first]));
            self.read(q, 2 + x_second as u32, Some(ids[x_second]));
        }
        self.done(6);
    }
}
