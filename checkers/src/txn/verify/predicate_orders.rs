//! Commit orders of a few transactions that explain what these read from each other, by key and by predicate, all of them: there is
//! none.
//!
//! A read is asked about where each version that it may have seen is the initial one or was written by one that is named: then
//! an order of the whole history has the same newest version among the named ones. Transactions in doubt may be left out, but for
//! those whom somebody must have read from.

use std::collections::BTreeSet;

use schism_history::{History, MicroF, OpIndex};

use super::predicates::{Object, Version, is_object, mops, object, saw, written};
use super::view::{Txn, txn};

/// Transactions, and beginnings of orders that are tried, at most.
const TRANSACTIONS_MAX: usize = 24;
const TRIED_MAX: u64 = 1_000_000;

/// A read: who, of what, and who may have written it (`None`: nobody).
struct Read {
    reader: usize,
    object: usize,
    writers: Vec<Option<usize>>,
}

struct Orders {
    is_serial: bool,
    doubtful: Vec<bool>,
    /// By transaction: who must be visible to it.
    visible: Vec<u32>,
    /// By transaction: who may not come before it, if both happened, as the order of versions says.
    later: Vec<u32>,
    /// By transaction: the objects that it wrote.
    writes: Vec<Vec<usize>>,
    reads: Vec<Read>,
    order: Vec<usize>,
    tried: u64,
}

/// Verifies that some transactions of a history with reads by predicate have no serial order, or none with snapshots.
pub fn verify(history: &History, kind: &str, transactions: &[OpIndex]) -> Result<(), String> {
    let realtime = kind.ends_with("-realtime");
    let processes = realtime || kind.ends_with("-process");
    let is_serial = match kind.trim_end_matches("-process").trim_end_matches("-realtime") {
        "not-serializable" | "G2" => true,
        "not-snapshot-isolation" => false,
        _ => return Err("orders of this kind are not tried where there are reads by predicate".to_owned()),
    };
    if transactions.len() > TRANSACTIONS_MAX {
        return Err(format!("{} transactions are too many to try all their orders", transactions.len()));
    }
    let txns = transactions.iter().map(|&invoked| txn(history, invoked)).collect::<Result<Vec<_>, _>>()?;
    if txns.iter().any(|txn| txn.failed) {
        return Err("one of the transactions failed".to_owned());
    }
    let mut orders = Orders::of(history, &txns, is_serial);
    for (b, visible) in orders.visible.iter_mut().enumerate() {
        for (a, txn) in txns.iter().enumerate() {
            let kept = processes && txn.is_before_in_process(&txns[b]) || realtime && txn.is_before(&txns[b]);
            *visible |= u32::from(kept) << a;
        }
    }
    let found = orders.walk(0);
    if orders.tried > TRIED_MAX {
        return Err(format!("the orders of {} transactions are too many to try them all", transactions.len()));
    }
    if found { Err("the transactions that are named have a commit order".to_owned()) } else { Ok(()) }
}

/// Whether one of the transactions does something to objects of a universe, or reads by predicate.
pub fn touch_objects(history: &History, transactions: &[OpIndex]) -> bool {
    let touches = |txn: Txn<'_>| {
        txn.micros().any(|micro| micro.f == MicroF::Other) || txn.micros().any(|micro| is_object(history, micro.key))
    };
    transactions.iter().filter_map(|&invoked| txn(history, invoked).ok()).any(touches)
}

impl Orders {
    fn of(history: &History, txns: &[Txn<'_>], is_serial: bool) -> Orders {
        let count = txns.len();
        let mut orders = Orders {
            is_serial,
            doubtful: txns.iter().map(|txn| txn.ended.is_none()).collect(),
            visible: vec![0; count],
            later: vec![0; count],
            writes: vec![Vec::new(); count],
            reads: Vec::new(),
            order: Vec::new(),
            tried: 0,
        };
        let names: BTreeSet<String> = txns.iter().flat_map(|txn| written(history, txn)).collect();
        for (number, name) in names.iter().enumerate() {
            if let Some(object) = object(history, name) {
                orders.add(history, txns, number, name, &object);
            }
        }
        orders
    }

    fn add(&mut self, history: &History, txns: &[Txn<'_>], number: usize, name: &str, object: &Object) {
        let place = |invoked: OpIndex| txns.iter().position(|txn| txn.invoked == invoked);
        let all: Vec<_> = object.versions.iter().chain(&object.maybe).collect();
        for version in &all {
            let Some(writer) = place(version.txn) else { continue };
            self.writes[writer].push(number);
            for other in all.iter().filter(|other| other.rank > version.rank) {
                self.later[writer] |= place(other.txn).map_or(0, |other| 1 << other);
            }
        }
        for txn in super::view::all(history).filter(|txn| txn.ended.is_some()) {
            let reader = place(txn.invoked);
            let reads = mops(history, &txn);
            for at in 0..reads.len() {
                let Some(saw) = saw(&reads, at, name, true) else { continue };
                let is_other = |version: &&&Version| version.txn != txn.invoked && saw.fits(version.value.as_ref());
                let fitting: Vec<OpIndex> = all.iter().filter(is_other).map(|version| version.txn).collect();
                let is_absent = saw.fits(None);
                let named: Vec<usize> = fitting.iter().filter_map(|&writer| place(writer)).collect();
                if let ([only], [_], false) = (&named[..], &fitting[..], is_absent) {
                    self.doubtful[*only] = false;
                }
                if let Some(reader) = reader.filter(|_| named.len() == fitting.len()) {
                    let writers = named.into_iter().map(Some).chain(is_absent.then_some(None)).collect();
                    self.reads.push(Read { reader, object: number, writers });
                }
            }
        }
    }

    /// Whether some order that begins so explains all.
    fn walk(&mut self, placed: u32) -> bool {
        let count = self.doubtful.len();
        if (0..count).all(|txn| self.doubtful[txn] || placed >> txn & 1 == 1) {
            return true;
        }
        for txn in (0..count).filter(|&txn| placed >> txn & 1 == 0) {
            if self.visible[txn] & !placed != 0 || self.later[txn] & placed != 0 {
                continue;
            }
            self.tried += 1;
            if self.tried > TRIED_MAX {
                return false;
            }
            if self.allows(txn) {
                self.order.push(txn);
                let found = self.walk(placed | 1 << txn);
                self.order.pop();
                if found {
                    return true;
                }
            }
        }
        false
    }

    /// Whether a transaction may come next.
    fn allows(&self, txn: usize) -> bool {
        let end = self.order.len();
        let newest = |among: &[usize], object: usize| {
            among.iter().rev().copied().find(|&writer| self.writes[writer].contains(&object))
        };
        (if self.is_serial { end } else { 0 }..=end).any(|length| {
            let (snapshot, between) = self.order.split_at(length);
            let mut reads = self.reads.iter().filter(|read| read.reader == txn);
            reads.all(|read| read.writers.contains(&newest(snapshot, read.object)))
                && !between.iter().any(|&other| self.visible[txn] >> other & 1 == 1)
                && !self.writes[txn].iter().any(|&object| newest(between, object).is_some())
        })
    }
}
