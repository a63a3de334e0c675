//! Dependencies that follow from who read what and from the order of versions.
//!
//! Each of many readers of a version comes before each of many writers who may be the next: so many edges are not made
//! where they cannot be on a cycle. A cycle goes back in the order of completion somewhere, and lies within one merged
//! stretch of what its edges back cover (as [`crate::txn::graph`] has it); so an edge of a reader forward is made only
//! where both its ends are in one stretch. A transaction in doubt stands where the first that rests on it completes, but not
//! before what had ended before it began, so that time does not go back.

use rayon::prelude::*;

use super::mutant::{Mutant, Mutation};
use super::order::Order;
use super::writers::Writers;
use crate::txn::accesses::{Accesses, INITIAL, UNKNOWN};
use crate::txn::edge::{Edge, EdgeKind};
use crate::txn::meter::{Meter, Spent};
use crate::txn::txns::{TxnId, Txns};

/// Who read from whom, each pair once where its reads are neighbours.
pub(super) fn wr(accesses: &Accesses, ok_count: u32) -> Vec<Edge> {
    let mut edges: Vec<Edge> = Vec::new();
    for to in 0..ok_count {
        for read in accesses.reads(to) {
            let edge = Edge { from: read.writer, to, kind: EdgeKind::Wr };
            if read.writer != INITIAL && read.writer != UNKNOWN && edges.last() != Some(&edge) {
                edges.push(edge);
            }
        }
    }
    edges
}

/// Writers of versions of which the one is known to come before the other.
pub(super) fn ww(order: &Order) -> impl Iterator<Item = Edge> + '_ {
    order.steps.iter().map(|step| Edge { from: step.from, to: step.to, kind: EdgeKind::Ww })
}

/// Readers of a version, and writers of versions that come after it with none known between.
#[derive(Debug)]
struct Group {
    readers: (u32, u32),
    writers: (u32, u32),
}

/// Readers before writers.
pub(super) struct Overwrites<'a> {
    accesses: &'a Accesses,
    ok_count: u32,
    /// In order of completion within a group.
    readers: Vec<TxnId>,
    /// In order of where they stand within a group.
    writers: Vec<TxnId>,
    groups: Vec<Group>,
    /// Of transactions in doubt.
    stands: Vec<u32>,
}

impl<'a> Overwrites<'a> {
    /// Who read which version, and who may have written the next. `edges` are all that are known already.
    pub fn of(
        txns: &Txns<'_>,
        accesses: &'a Accesses,
        writers: &Writers,
        order: &Order,
        edges: &[Edge],
        mutation: Mutation,
    ) -> Overwrites<'a> {
        let (ok_count, stands) = (txns.ok_count(), stands(txns, edges, mutation));
        let mut all =
            Overwrites { accesses, ok_count, readers: Vec::new(), writers: Vec::new(), groups: Vec::new(), stands };
        let mut reads = reads(accesses, ok_count, !order.steps.is_empty());
        reads.par_sort_unstable();
        reads.dedup();
        for of_version in reads.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let (key, version, _) = of_version[0];
            let first = (all.readers.len() as u32, all.writers.len() as u32);
            if version == INITIAL {
                if !mutation.is(Mutant::InitialForgotten) {
                    all.add_first_writers(key, writers, order);
                }
            } else {
                all.writers.extend(order.from(key, version).iter().map(|step| step.to));
            }
            if all.writers.len() as u32 == first.1 {
                continue;
            }
            let told = if mutation.is(Mutant::FirstReaderOnly) { 1 } else { of_version.len() };
            all.readers.extend(of_version[..told].iter().map(|read| read.2));
            let mut next = all.writers.split_off(first.1 as usize);
            next.sort_unstable_by_key(|&writer| all.stand(writer));
            all.writers.extend(next);
            let (readers, writers) = ((first.0, all.readers.len() as u32), (first.1, all.writers.len() as u32));
            all.groups.push(Group { readers, writers });
        }
        all
    }

    /// Committed writers of a key before whose versions none is known but the initial one.
    fn add_first_writers(&mut self, key: u32, writers: &Writers, order: &Order) {
        let mut later: Vec<TxnId> = order.of_key(key).iter().map(|step| step.to).collect();
        later.sort_unstable();
        let entries = writers.of_key(key).iter().filter(|entry| entry.is_last());
        let all = entries.map(|entry| entry.txn).filter(|&txn| {
            self.accesses.committed.get(txn as usize) == Some(&true) && later.binary_search(&txn).is_err()
        });
        self.writers.extend(all);
    }

    fn stand(&self, id: TxnId) -> u32 {
        if id < self.ok_count { id } else { self.stands[(id - self.ok_count) as usize] }
    }

    fn readers(&self, group: &Group) -> &[TxnId] {
        &self.readers[group.readers.0 as usize..group.readers.1 as usize]
    }

    fn writers(&self, group: &Group) -> &[TxnId] {
        &self.writers[group.writers.0 as usize..group.writers.1 as usize]
    }

    /// Adds all edges, or those that may be on a cycle.
    ///
    /// # Errors
    /// When they are too many for the memory that is allowed.
    pub fn add(&self, edges: &mut Vec<Edge>, all: bool, meter: &mut Meter, mutation: Mutation) -> Result<(), Spent> {
        let stretches = if all { None } else { Some(Stretches::of(self, edges)) };
        for group in &self.groups {
            let writers = self.writers(group);
            for &from in self.readers(group) {
                let near = match &stretches {
                    None => writers,
                    Some(stretches) => {
                        let Some((start, end)) = stretches.around(from) else { continue };
                        let first = writers.partition_point(|&writer| self.stand(writer) < start);
                        let last = writers.partition_point(|&writer| self.stand(writer) < end);
                        &writers[first..last]
                    }
                };
                meter.take_bytes((near.len() * size_of::<Edge>()) as u64)?;
                let is_other = |&to: &TxnId| to != from || mutation.is(Mutant::OwnRw);
                let to = near.iter().copied().filter(is_other);
                edges.extend(to.map(|to| Edge { from, to, kind: EdgeKind::Rw }));
            }
        }
        Ok(())
    }

    /// The farthest edge back of a group.
    fn farthest_back(&self, group: &Group) -> Option<(u32, u32)> {
        let from = *self.readers(group).last()?;
        let to = *self.writers(group).iter().find(|&&writer| writer != from)?;
        (self.stand(to) <= from).then(|| (from, self.stand(to)))
    }
}

/// Certain reads as key, version and reader; all of them, or those of initial versions.
fn reads(accesses: &Accesses, ok_count: u32, all: bool) -> Vec<(u32, TxnId, TxnId)> {
    let of = |id: TxnId| {
        let is_asked = move |writer: TxnId| writer == INITIAL || (all && writer != UNKNOWN);
        accesses.reads(id).iter().filter(move |read| is_asked(read.writer)).map(move |read| (read.key, read.writer, id))
    };
    (0..ok_count).flat_map(of).collect()
}

/// Where transactions in doubt stand.
fn stands(txns: &Txns<'_>, edges: &[Edge], mutation: Mutation) -> Vec<u32> {
    let ok_count = txns.ok_count();
    let mut stands = vec![ok_count; txns.len() - ok_count as usize];
    for edge in edges.iter().filter(|edge| edge.from >= ok_count && edge.to < ok_count) {
        let stand = &mut stands[(edge.from - ok_count) as usize];
        *stand = (*stand).min(edge.to);
    }
    if mutation.is(Mutant::TimeGoesBack) {
        return stands;
    }
    let ends: Vec<u32> = (0..ok_count).map(|id| txns.ended(id)).collect();
    for (stand, id) in stands.iter_mut().zip(ok_count..) {
        *stand = (*stand).max(ends.partition_point(|&end| end < txns.invoked(id)) as u32);
    }
    stands
}

/// What edges back cover, merged.
struct Stretches {
    /// By place in the order of completion: the stretch, or none.
    of: Vec<u32>,
    bounds: Vec<(u32, u32)>,
}

const NONE: u32 = u32::MAX;

impl Stretches {
    fn of(overwrites: &Overwrites<'_>, edges: &[Edge]) -> Stretches {
        let places = overwrites.ok_count as usize + 1;
        // By place: one more than the farthest place from which an edge comes back to it.
        let mut far = vec![0u32; places];
        let plain = edges.iter().map(|edge| (overwrites.stand(edge.from), overwrites.stand(edge.to)));
        let groups = overwrites.groups.iter().filter_map(|group| overwrites.farthest_back(group));
        for (from, to) in plain.filter(|(from, to)| to <= from).chain(groups) {
            far[to as usize] = far[to as usize].max(from + 1);
        }
        let mut all = Stretches { of: vec![NONE; places], bounds: Vec::new() };
        let mut reach = 0;
        for (place, far) in (0u32..).zip(far) {
            let is_inside = place < reach;
            reach = reach.max(far);
            if place < reach {
                match all.bounds.last_mut() {
                    Some(last) if is_inside => last.1 = place + 1,
                    _ => all.bounds.push((place, place + 1)),
                }
                all.of[place as usize] = all.bounds.len() as u32 - 1;
            }
        }
        all
    }

    /// The stretch around a place: its first place, and the one after its last.
    fn around(&self, place: u32) -> Option<(u32, u32)> {
        self.bounds.get(self.of[place as usize] as usize).copied()
    }
}
