//! From a process without an order to few transactions that leave it none.
//!
//! Fewer transactions ask less: an order of all operations, restricted to those of some transactions, keeps the order of each
//! process and causality among them, and a read whose writer is among them returns what it did, as nothing new comes in
//! between. Reads whose writers are left out ask for nothing, and causality that went through operations that are
//! left out is not asked for. So what has no order for few has none for all; and where none can be left out alone, no more
//! can be left out together.

use schism_history::{History, Kind, OpIndex, Value};

use super::mutant::{self, Mutant};
use super::single::push;
use super::{ask, question};
use crate::anomaly::Witness;
use crate::txn::accesses::{Accesses, INITIAL, Read, Write};
use crate::txn::meter::{Meter, Spent};
use crate::txn::solver::Decision;
use crate::txn::txns::{TxnId, Txns};

/// What is left out of.
pub(super) struct Whole<'a> {
    /// The single operations.
    pub txns: &'a Txns<'a>,
    pub accesses: &'a Accesses,
    pub causal: bool,
    /// The operations that happened: the transaction of each, by its invocation, and the operation. In order.
    members: Vec<(OpIndex, TxnId)>,
}

/// Transactions that leave a process without an order.
pub(super) struct Core {
    pub session: u32,
    /// In order of invocation.
    pub transactions: Vec<OpIndex>,
    /// Whether it was proven that none can be left out.
    pub smallest: bool,
}

impl<'a> Whole<'a> {
    /// `origins`: by event of the single operations, the transaction's invocation.
    pub fn of(txns: &'a Txns<'a>, accesses: &'a Accesses, causal: bool, origins: &[OpIndex]) -> Whole<'a> {
        let happened = (0..accesses.len() as TxnId).filter(|&id| accesses.committed[id as usize]);
        let member = |id: TxnId| Some((*origins.get(txns.invoked(id) as usize)?, id));
        let mut members: Vec<(OpIndex, TxnId)> = happened.filter_map(member).collect();
        members.sort_unstable();
        Whole { txns, accesses, causal, members }
    }

    /// Leaves out what it can.
    pub fn reduced(&self, session: u32, transactions: Vec<OpIndex>, meter: &mut Meter) -> Core {
        let mut core = Core { session, transactions, smallest: true };
        if mutant::is(Mutant::SmallestClaimed) {
            return core;
        }
        loop {
            self.reduce(&mut core, meter);
            let ids = self.operations(&core.transactions);
            if ids.iter().any(|&id| self.txns.session(id) == core.session) {
                return core;
            }
            // Causality goes round without that process, and then no process has an order: one of those is named.
            let Some(&reader) = ids.iter().find(|&&id| !self.accesses.reads(id).is_empty()) else { return core };
            core.session = self.txns.session(reader);
        }
    }

    fn reduce(&self, core: &mut Core, meter: &mut Meter) {
        let mut at = 0;
        while at < core.transactions.len() {
            let mut rest = core.transactions.clone();
            rest.remove(at);
            match self.without_order(core.session, &rest, meter) {
                Ok(Some(next)) => {
                    // What was kept before is needed, so it is still there.
                    at = next.iter().filter(|&&one| core.transactions[..at].contains(&one)).count();
                    core.transactions = next;
                }
                Ok(None) => at += 1,
                Err(Spent) => {
                    core.smallest = false;
                    return;
                }
            }
        }
    }

    /// The operations of some transactions that happened, in order of their numbers.
    fn operations(&self, transactions: &[OpIndex]) -> Vec<TxnId> {
        let of = |&transaction: &OpIndex| {
            let first = self.members.partition_point(|&(origin, _)| origin < transaction);
            self.members[first..].iter().take_while(move |&&(origin, _)| origin == transaction).map(|&(_, id)| id)
        };
        let mut ids: Vec<TxnId> = transactions.iter().flat_map(of).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Those of some transactions that leave the process without an order; `None` if it has one.
    fn without_order(
        &self,
        session: u32,
        transactions: &[OpIndex],
        meter: &mut Meter,
    ) -> Result<Option<Vec<OpIndex>>, Spent> {
        let ids = self.operations(transactions);
        meter.step(ids.len() as u64)?;
        // In the order of events, so that they have the order of their numbers again: those in doubt are the last.
        let mut in_order = ids.clone();
        in_order.sort_unstable_by_key(|&id| self.txns.invoked(id));
        let mut ops = Vec::new();
        for id in in_order {
            let (invoked, is_ok) = (self.txns.invoked(id), self.txns.is_ok(id));
            let history = self.txns.history();
            let value: Value = (*history.value(if is_ok { self.txns.ended(id) } else { invoked })).clone();
            let process = history.process(invoked).client().unwrap_or(u32::MAX);
            push(&mut ops, process, Kind::Invoke, value.clone());
            push(&mut ops, process, if is_ok { Kind::Ok } else { Kind::Info }, value);
        }
        // It was a history, and a part of it is one.
        let part = History::from_ops(ops).map_err(|_| Spent)?;
        let txns = Txns::of(&part);
        let mine = ids.iter().position(|&id| self.txns.session(id) == session);
        let mine = mine.map_or(u32::MAX, |place| txns.session(place as TxnId));
        let asked = question(&txns, &project(self.accesses, &ids), mine, self.causal);
        match ask(&txns, &asked, meter) {
            Decision::Holds(_) => Ok(None),
            Decision::Unknown(_) => Err(Spent),
            Decision::Broken(anomaly) => {
                let Witness::NoCommitOrder { transactions: operations, .. } = anomaly.witness else {
                    return Err(Spent);
                };
                let is_named = |place: &usize| operations.contains(&txns.invoked(*place as TxnId));
                let named: Vec<TxnId> = (0..ids.len()).filter(is_named).map(|place| ids[place]).collect();
                let of = self.members.iter().filter(|(_, id)| named.binary_search(id).is_ok());
                let mut next: Vec<OpIndex> = of.map(|&(origin, _)| origin).collect();
                next.sort_unstable();
                next.dedup();
                Ok(Some(next))
            }
        }
    }
}

/// Who read what from whom among some of all, under new numbers of transactions and keys. What was read from others is left out.
fn project(accesses: &Accesses, ids: &[TxnId]) -> Accesses {
    let read_keys = |&id: &TxnId| accesses.reads(id).iter().map(|read| read.key);
    let written_keys = |&id: &TxnId| accesses.writes(id).iter().map(|write| write.key);
    let mut keys: Vec<u32> = ids.iter().flat_map(|id| read_keys(id).chain(written_keys(id))).collect();
    keys.sort_unstable();
    keys.dedup();
    // Each is among them.
    let key = |known: u32| keys.partition_point(|&other| other < known) as u32;
    let writer = |known: TxnId| match ids.binary_search(&known) {
        Ok(place) => Some(place as TxnId),
        Err(_) => (known == INITIAL || mutant::is(Mutant::WriterLeftOut)).then_some(INITIAL),
    };
    let mut part = Accesses::new(keys.len() as u32);
    for &id in ids {
        let kept = |read: &Read| Some(Read { key: key(read.key), writer: writer(read.writer)?, micro: read.micro });
        let reads: Vec<Read> = accesses.reads(id).iter().filter_map(kept).collect();
        let writes = accesses.writes(id).iter().map(|write| Write { key: key(write.key), micro: write.micro });
        part.push(&reads, &writes.collect::<Vec<Write>>(), true);
    }
    part
}
