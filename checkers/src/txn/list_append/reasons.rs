//! Why an edge of lists is there, found again from the appends of the keys that both transactions touch.

use rustc_hash::FxHashMap;
use schism_history::{MicroF, MicroValue, ValueId};

use super::Lists;
use super::columns::{Append, NONE};
use super::findings::{list_read, list_text};
use crate::anomaly::Dependency;
use crate::txn::edge::{Edge, EdgeKind, Reasons};
use crate::txn::txns::{TxnId, Txns};

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
}

/// The order of a key: who is where.
struct Order {
    /// Appends of committed transactions with a place, in order.
    placed: Vec<Append>,
    /// By length of a certain list: how many of `placed` it has.
    ranks: Vec<usize>,
    /// Appends after these, in no order.
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

    fn order(&self, key: u32, committed: &[bool]) -> Option<Order> {
        let certain = self.certain(key)?;
        let starts = &self.append_starts;
        let appends = &self.appends[starts[key as usize] as usize..starts[key as usize + 1] as usize];
        let committed = |append: &&Append| committed.get(append.owner as usize).copied().unwrap_or_default();
        let did_not_fail = |append: &&Append| (append.owner as usize) < self.txns.len();
        // `None`: appended more than once.
        let mut by_element: FxHashMap<u32, Option<Append>> = FxHashMap::default();
        for append in appends.iter().filter(did_not_fail) {
            by_element.entry(append.element).and_modify(|known| *known = None).or_insert(Some(*append));
        }
        let mut order = Order { placed: Vec::new(), ranks: Vec::new(), tail: Vec::new() };
        for element in certain {
            order.ranks.push(order.placed.len());
            if let Some(append) = by_element.insert(element.number(), None).flatten() {
                order.placed.push(append);
            }
        }
        order.ranks.push(order.placed.len());
        let is_left = |append: &&Append| by_element.get(&append.element).is_some_and(Option::is_some);
        order.tail = appends.iter().filter(committed).filter(is_left).copied().collect();
        Some(order)
    }

    /// How much of a list that was read is certain; `None` if it goes on beyond that.
    fn certain_length(&self, key: u32, list: &[ValueId]) -> Option<usize> {
        let certain = self.certain(key)?;
        (certain.get(..list.len()) == Some(list)).then_some(list.len())
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
    /// The first append of a transaction among those that come next after so many placed ones.
    fn next_of(&self, rank: usize, id: TxnId) -> Option<Append> {
        match self.placed.get(rank) {
            Some(next) => (next.owner == id).then_some(*next),
            None => self.tail.iter().find(|append| append.owner == id).copied(),
        }
    }
}

impl Lists<'_> {
    fn ww(&self, ground: &Ground<'_>, edge: Edge) -> Option<Dependency> {
        let txn = ground.txns.txn(edge.from);
        for (place, micro) in txn.micros().enumerate() {
            let place = place as u32;
            let is_shared = || self.accesses.writes(edge.to).iter().any(|write| write.key == micro.key);
            if micro.f != MicroF::Append || !is_shared() {
                continue;
            }
            let Some(order) = ground.order(micro.key, &self.accesses.committed) else { continue };
            let is_here = |append: &Append| append.owner == edge.from && append.micro() == place;
            let Some(rank) = order.placed.iter().position(is_here) else { continue };
            if let Some(next) = order.next_of(rank + 1, edge.to) {
                return Some(ground.dependency(edge, micro.key, place, next.micro()));
            }
        }
        None
    }

    fn rw(&self, ground: &Ground<'_>, edge: Edge) -> Option<Dependency> {
        for read in self.accesses.reads(edge.from) {
            // Behind own appends a read says nothing that these do not.
            let before = ground.txns.txn(edge.from).micros().take(read.micro as usize);
            if before.into_iter().any(|micro| micro.f == MicroF::Append && micro.key == read.key) {
                continue;
            }
            if !self.accesses.writes(edge.to).iter().any(|write| write.key == read.key) {
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
        let reads = self.accesses.reads(edge.to).iter().filter(|read| read.writer == edge.from);
        let written = |read: &crate::txn::accesses::Read| {
            let last = *list_read(ground.txns, edge.to, read.micro).last()?;
            let is_it = |micro: schism_history::Micro<'_>| {
                micro.f == MicroF::Append && micro.key == read.key && micro.value == MicroValue::One(last)
            };
            let place = ground.txns.txn(edge.from).micros().position(is_it)?;
            Some((place as u32, read.micro, read.key))
        };
        let (from, to, key) = reads.filter_map(written).min()?;
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
