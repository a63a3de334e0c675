//! Why an edge of lists is there, found again from the appends of the keys that both transactions touch.

use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};
use schism_history::{MicroF, MicroValue, ValueId};

use super::Lists;
use super::columns::{Append, NONE};
use super::findings::{list_read, list_text};
use crate::anomaly::Dependency;
use crate::txn::accesses::{Accesses, Read, UNKNOWN};
use crate::txn::edge::{Edge, EdgeKind, Reasons};
use crate::txn::txns::{TxnId, Txns};

/// So many elements and appends of keys are kept in order from one edge to the next, or one key alone.
const KEPT_MAX: usize = 1 << 20;

/// What reasons are found in.
#[derive(Debug)]
pub(super) struct Ground<'t> {
    pub txns: &'t Txns<'t>,
    pub append_starts: Vec<u32>,
    pub appends: Vec<Append>,
    /// By key: so many elements of its order are certain.
    pub certain: Vec<u32>,
    /// Orders that are no part of the history's lists, by key.
    pub apart: Vec<(u32, Vec<ValueId>)>,
    /// Orders that were made: a long cycle goes through the same few keys again and again.
    pub kept: Mutex<Kept>,
}

/// The orders of some keys.
#[derive(Debug, Default)]
pub(super) struct Kept {
    orders: FxHashMap<u32, Arc<Order>>,
    size: usize,
}

/// Who appended an element, of those that did not fail.
#[derive(Debug, Clone, Copy)]
struct Owner {
    append: Append,
    /// Nobody else did, nor it again.
    is_alone: bool,
    /// Its place among those with a place, or [`NONE`].
    rank: u32,
}

/// The order of a key: who is where.
#[derive(Debug, Default)]
struct Order {
    /// By element.
    owners: FxHashMap<u32, Owner>,
    /// Appends of committed transactions with a place, in order.
    placed: Vec<Append>,
    /// By length of a certain list: how many of `placed` it has.
    ranks: Vec<u32>,
    /// Appends after these, in no order but that of the transactions' numbers.
    tail: Vec<Append>,
}

impl<'t> Ground<'t> {
    /// The certain order of a key; `None` if it is not judged.
    fn certain(&self, key: u32) -> Option<&[ValueId]> {
        let length = *self.certain.get(key as usize)?;
        if length == NONE {
            return None;
        }
        match self.apart.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(place) => Some(&self.apart[place].1),
            Err(_) => self.txns.history().txn_list(key).get(..length as usize),
        }
    }

    fn order(&self, key: u32, committed: &[bool]) -> Option<Arc<Order>> {
        let certain = self.certain(key)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(order) = kept.orders.get(&key) {
            return Some(order.clone());
        }
        let starts = &self.append_starts;
        let appends = &self.appends[starts[key as usize] as usize..starts[key as usize + 1] as usize];
        let did_not_fail = appends.partition_point(|append| (append.owner as usize) < self.txns.len());
        let order = Arc::new(Order::of(certain, &appends[..did_not_fail], committed));
        let size = certain.len() + appends.len();
        if kept.size + size > KEPT_MAX {
            *kept = Kept::default();
        }
        kept.size += size;
        kept.orders.insert(key, order.clone());
        Some(order)
    }

    /// How much of a list that was read is certain; `None` if it goes on beyond that.
    fn certain_length(&self, key: u32, list: &[ValueId]) -> Option<usize> {
        let certain = self.certain(key)?.get(..list.len())?;
        // Most of both are of the history's list.
        (certain.as_ptr() == list.as_ptr() || certain == list).then_some(list.len())
    }

    /// The reads of a transaction, and what each saw of others, which is its list without own appends at its end; `None`
    /// where these are not there as they should be. With the number of own appends before.
    fn seen(&self, accesses: &Accesses, id: TxnId) -> Vec<(Read, Option<&'t [ValueId]>, usize)> {
        let mut own: FxHashMap<u32, Vec<ValueId>> = FxHashMap::default();
        let mut micros = self.txns.txn(id).micros().enumerate();
        let mut all = Vec::new();
        for read in accesses.reads(id) {
            for (_, micro) in micros.by_ref().take_while(|(place, _)| *place < read.micro as usize) {
                if let (MicroF::Append, MicroValue::One(element)) = (micro.f, micro.value) {
                    own.entry(micro.key).or_default().push(element);
                }
            }
            let own = own.get(&read.key).map_or(&[] as &[ValueId], Vec::as_slice);
            all.push((*read, list_read(self.txns, id, read.micro).strip_suffix(own), own.len()));
        }
        all
    }

    fn dependency(&self, edge: Edge, key: u32, from: u32, to: u32) -> Dependency {
        let [before, after] = [(edge.from, from), (edge.to, to)].map(|(id, place)| {
            let micro = self.txns.txn(id).micro(place as usize);
            match (micro.f, micro.value) {
                (MicroF::Append, MicroValue::One(value)) => self.txns.history().value_of(value).to_string(),
                _ => match list_read(self.txns, id, place) {
                    [] => "nil".to_owned(),
                    list => list_text(self.txns, list),
                },
            }
        });
        Dependency {
            kind: edge.kind.as_str().to_owned(),
            key: Some(self.txns.key_text(key)),
            from_micro: Some(from),
            to_micro: Some(to),
            before: Some(before),
            after: Some(after),
            source: None,
        }
    }
}

impl Order {
    /// From a key's certain order and its appends that did not fail, which are in the order of their transactions.
    fn of(certain: &[ValueId], appends: &[Append], committed: &[bool]) -> Order {
        let mut order = Order::default();
        for append in appends {
            let owner = Owner { append: *append, is_alone: true, rank: NONE };
            order.owners.entry(append.element).and_modify(|known| known.is_alone = false).or_insert(owner);
        }
        for element in certain {
            order.ranks.push(order.placed.len() as u32);
            let owner = order.owners.get_mut(&element.number());
            if let Some(owner) = owner.filter(|owner| owner.is_alone && owner.rank == NONE) {
                owner.rank = order.placed.len() as u32;
                order.placed.push(owner.append);
            }
        }
        order.ranks.push(order.placed.len() as u32);
        let is_left = |append: &&Append| {
            let is_committed = committed.get(append.owner as usize).copied().unwrap_or_default();
            is_committed && order.alone(append.element).is_some_and(|owner| owner.rank == NONE)
        };
        order.tail = appends.iter().filter(is_left).copied().collect();
        order
    }

    /// The only append of an element.
    fn alone(&self, element: u32) -> Option<Owner> {
        self.owners.get(&element).copied().filter(|owner| owner.is_alone)
    }

    /// The first append of a transaction among those that come next after so many placed ones.
    fn next_of(&self, rank: u32, id: TxnId) -> Option<Append> {
        match self.placed.get(rank as usize) {
            Some(next) => (next.owner == id).then_some(*next),
            None => {
                let first = self.tail.partition_point(|append| append.owner < id);
                self.tail.get(first).filter(|append| append.owner == id).copied()
            }
        }
    }

    /// The append of the last element in a list of which it is certain that another transaction appended it.
    fn last_of_others(&self, list: &[ValueId], reader: TxnId) -> Option<Append> {
        let mut owners = list.iter().rev().filter_map(|element| self.alone(element.number()));
        owners.find(|owner| owner.append.owner != reader).map(|owner| owner.append)
    }
}

impl Lists<'_> {
    fn written(&self, id: TxnId) -> FxHashSet<u32> {
        self.accesses.writes(id).iter().map(|write| write.key).collect()
    }

    fn ww(&self, ground: &Ground<'_>, edge: Edge) -> Option<Dependency> {
        let shared = self.written(edge.to);
        let txn = ground.txns.txn(edge.from);
        for (place, micro) in txn.micros().enumerate() {
            let (MicroF::Append, MicroValue::One(element)) = (micro.f, micro.value) else { continue };
            if !shared.contains(&micro.key) {
                continue;
            }
            let place = place as u32;
            let Some(order) = ground.order(micro.key, &self.accesses.committed) else { continue };
            let Some(owner) = order.alone(element.number()).filter(|owner| owner.rank != NONE) else { continue };
            if let Some(next) = order.next_of(owner.rank + 1, edge.to) {
                return Some(ground.dependency(edge, micro.key, place, next.micro()));
            }
        }
        None
    }

    fn rw(&self, ground: &Ground<'_>, edge: Edge) -> Option<Dependency> {
        let shared = self.written(edge.to);
        for (read, _, own_count) in ground.seen(&self.accesses, edge.from) {
            // Behind own appends a read says nothing that these do not.
            if own_count > 0 || !shared.contains(&read.key) {
                continue;
            }
            let list = list_read(ground.txns, edge.from, read.micro);
            let Some(length) = ground.certain_length(read.key, list) else { continue };
            let Some(order) = ground.order(read.key, &self.accesses.committed) else { continue };
            if let Some(next) = order.next_of(order.ranks[length], edge.to) {
                return Some(ground.dependency(edge, read.key, read.micro, next.micro()));
            }
        }
        None
    }

    fn wr(&self, ground: &Ground<'_>, edge: Edge) -> Option<Dependency> {
        let shared = self.written(edge.from);
        let told = |(read, seen, own_count): (Read, Option<&[ValueId]>, usize)| {
            let is_other = read.writer != edge.from && read.writer != UNKNOWN;
            let seen = seen.filter(|_| !is_other && shared.contains(&read.key))?;
            let order = ground.order(read.key, &self.accesses.committed)?;
            let append = order.last_of_others(seen, edge.to).filter(|append| append.owner == edge.from)?;
            let list = list_read(ground.txns, edge.to, read.micro);
            let is_placed = |own: &ValueId| order.alone(own.number()).is_some_and(|owner| owner.rank != NONE);
            // The order of versions says it.
            let is_said = own_count > 0
                && ground.certain_length(read.key, list).is_some()
                && list[seen.len()..].iter().any(is_placed);
            (!is_said).then_some((append.micro(), read.micro, read.key))
        };
        let (from, to, key) = ground.seen(&self.accesses, edge.to).into_iter().filter_map(told).min()?;
        Some(ground.dependency(edge, key, from, to))
    }
}

impl Reasons for Lists<'_> {
    fn reason(&self, edge: Edge) -> Option<Dependency> {
        let ground = self.ground.as_ref()?;
        let count = ground.txns.len() as TxnId;
        if edge.from >= count || edge.to >= count || edge.from == edge.to {
            return None;
        }
        match edge.kind {
            EdgeKind::Ww => self.ww(ground, edge),
            EdgeKind::Wr => self.wr(ground, edge),
            EdgeKind::Rw => self.rw(ground, edge),
            _ => None,
        }
    }
}
