//! Commit orders of a few transactions, all of them: none is allowed by the level.
//!
//! Reads from transactions that are not named are left out, which only makes it easier: where a history has an order, the
//! same order of some of its transactions explains what these read from each other.

use schism_history::{History, OpIndex};

use super::lists::Order;
use super::view::{Txn, all, is_committed, is_list, txn};

/// Transactions at most; where only a whole order can be judged, fewer.
const TRANSACTIONS_MAX: usize = 24;
const WHOLE_MAX: usize = 9;
/// Orders, or beginnings of orders, that are tried at most.
const TRIED_MAX: u64 = 1_000_000;
/// Ways to say who read from whom, at most.
const WAYS_MAX: usize = 256;

/// What a level asks of a commit order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Serial,
    /// As if one after the other, where a transaction read a key that it wrote.
    Cursors,
    Snapshots {
        conflicts: bool,
    },
    Visible {
        conflicts: bool,
        closed: bool,
    },
    Earlier,
    Updates,
}

/// A read: who, key, place, from whom (`None`: the initial state).
type Read = (usize, u32, u32, Option<usize>);

/// A read of a value that somebody wrote: who, key, place; and who may have written it.
type Candidates = Vec<((usize, u32, u32), Vec<usize>)>;

#[derive(Clone)]
struct Orders {
    count: usize,
    reads: Vec<Read>,
    /// By transaction: the keys that it wrote.
    writes: Vec<Vec<u32>>,
    /// By transaction: who must come before it in any order; and of these who is visible to it.
    before: Vec<u32>,
    visible: Vec<u32>,
    /// By transaction: whether it is in doubt; and the keys that are lists.
    doubtful: Vec<bool>,
    lists: Vec<u32>,
    order: Vec<usize>,
    asks: Asks,
    /// Beginnings of orders that were tried.
    tried: u64,
}

/// Verifies that some transactions have no commit order that the level of the kind allows.
pub fn verify(history: &History, kind: &str, transactions: &[OpIndex]) -> Result<(), String> {
    if let "not-sequential" | "not-linearizable" = kind {
        return super::singles::verify(history, transactions, kind == "not-linearizable");
    }
    let realtime = kind.ends_with("-realtime");
    let processes = realtime || kind.ends_with("-process");
    let asks = match kind.trim_end_matches("-process").trim_end_matches("-realtime") {
        "not-serializable" => Asks::Serial,
        "G-cursor" => Asks::Cursors,
        "not-update-atomic" => Asks::Visible { conflicts: false, closed: false },
        "not-snapshot-isolation" => Asks::Snapshots { conflicts: false },
        "not-prefix" => Asks::Snapshots { conflicts: true },
        "not-parallel-snapshot-isolation" => Asks::Visible { conflicts: false, closed: true },
        "not-update-serializable" => Asks::Updates,
        "stale-causal-read" => Asks::Visible { conflicts: true, closed: true },
        "fractured-read" => Asks::Visible { conflicts: true, closed: false },
        "non-monotonic-view" => Asks::Earlier,
        _ => return Err("no commit order defines it".to_owned()),
    };
    if transactions.len() > if asks == Asks::Updates { WHOLE_MAX } else { TRANSACTIONS_MAX } {
        return Err(format!("{} transactions are too many to try all their orders", transactions.len()));
    }
    let mut txns = transactions.iter().map(|&invoked| txn(history, invoked)).collect::<Result<Vec<_>, _>>()?;
    txns.retain(|txn| is_committed(history, txn));
    let (mut orders, candidates) = Orders::of(history, &txns, asks);
    for (b, before) in orders.visible.iter_mut().enumerate() {
        for (a, txn) in txns.iter().enumerate() {
            let kept = processes && txn.is_before_in_process(&txns[b]) || realtime && txn.is_before(&txns[b]);
            *before |= u32::from(kept) << a;
        }
    }
    let ways: usize = candidates.iter().fold(1, |ways, (_, writers)| ways.saturating_mul(writers.len()));
    if ways > WAYS_MAX {
        return Err("there are too many ways to say who read from whom".to_owned());
    }
    for way in 0..ways {
        let mut rest = way;
        let mut one = orders.clone();
        for (read, writers) in &candidates {
            let writer = writers[rest % writers.len()];
            rest /= writers.len();
            one.reads.push((read.0, read.1, read.2, Some(writer)));
            one.visible[read.0] |= 1 << writer;
        }
        one.forget_unseen();
        for (before, visible) in one.before.iter_mut().zip(&one.visible) {
            *before |= visible;
        }
        one.tried = std::mem::take(&mut orders.tried);
        let found = one.walk(0);
        orders.tried = one.tried;
        if orders.tried > TRIED_MAX {
            return Err(format!("the orders of {} transactions are too many to try them all", transactions.len()));
        }
        if found {
            return Err("the transactions that are named have a commit order".to_owned());
        }
    }
    Ok(())
}

fn bits(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |bit| mask >> bit & 1 == 1)
}

impl Orders {
    fn of(history: &History, txns: &[Txn<'_>], asks: Asks) -> (Orders, Candidates) {
        let mut candidates = Candidates::new();
        let count = txns.len();
        let mut orders = Orders {
            count,
            reads: Vec::new(),
            writes: Vec::new(),
            before: vec![0; count],
            visible: vec![0; count],
            doubtful: txns.iter().map(|txn| txn.ended.is_none()).collect(),
            lists: Vec::new(),
            order: Vec::new(),
            asks,
            tried: 0,
        };
        let mut lists = Vec::new();
        for (at, txn) in txns.iter().enumerate() {
            let places = 0..txn.micros().len() as u32;
            let mut keys: Vec<u32> =
                places.clone().filter_map(|place| txn.written(place)).map(|(key, _)| key).collect();
            keys.sort_unstable();
            keys.dedup();
            lists.extend(keys.iter().copied().filter(|&key| is_list(history, key)));
            orders.writes.push(keys);
            for place in places {
                let Some((key, newest)) = txn.external(place) else { continue };
                let Some(value) = newest else {
                    orders.reads.push((at, key, place, None));
                    continue;
                };
                // Where one that may have written it is not named, nothing is asked of the read.
                let wrote = |other: &Txn<'_>| {
                    other.invoked != txn.invoked
                        && !other.failed
                        && other.own(key, other.micros().len() as u32).last() == Some(&value)
                };
                let writers: Vec<usize> = (0..count).filter(|&other| wrote(&txns[other])).collect();
                if !writers.is_empty() && all(history).filter(wrote).count() == writers.len() {
                    candidates.push(((at, key, place), writers));
                }
            }
        }
        lists.sort_unstable();
        lists.dedup();
        orders.lists.clone_from(&lists);
        for key in lists {
            orders.take_list(history, txns, key);
        }
        (orders, candidates)
    }

    /// Writes of registers by transactions in doubt that nobody is said to have read from need not have happened.
    fn forget_unseen(&mut self) {
        for txn in (0..self.count).filter(|&txn| self.doubtful[txn]) {
            if !self.reads.iter().any(|read| read.3 == Some(txn)) {
                let lists = &self.lists;
                self.writes[txn].retain(|key| lists.contains(key));
            }
        }
    }

    /// What the lists of a key that were read say about its writers.
    fn take_list(&mut self, history: &History, txns: &[Txn<'_>], key: u32) {
        let order = Order::of(history, key);
        for (b, later) in txns.iter().enumerate().filter(|(b, _)| self.writes[*b].contains(&key)) {
            for (a, earlier) in txns.iter().enumerate().filter(|(a, _)| *a != b && self.writes[*a].contains(&key)) {
                self.before[b] |= u32::from(order.is_any_later(earlier, later)) << a;
            }
        }
    }

    /// Whether some order that begins so is allowed.
    fn walk(&mut self, placed: u32) -> bool {
        if self.order.len() == self.count {
            return self.asks != Asks::Updates || self.has_serial_updates();
        }
        for txn in 0..self.count {
            if placed >> txn & 1 == 0 && self.before[txn] & !placed == 0 {
                self.tried += 1;
                if self.tried > TRIED_MAX {
                    return false;
                }
                self.order.push(txn);
                let found = self.allows(txn) && self.walk(placed | 1 << txn);
                self.order.pop();
                if found {
                    return true;
                }
            }
        }
        false
    }

    fn position(&self, txn: usize) -> usize {
        self.order.iter().position(|&other| other == txn).unwrap_or(self.count)
    }

    fn wrote(&self, txn: usize, key: u32) -> bool {
        self.writes[txn].contains(&key)
    }

    /// The newest writer of a key among some of the order.
    fn newest(&self, among: &[usize], key: u32) -> Option<usize> {
        among.iter().rev().copied().find(|&txn| self.wrote(txn, key))
    }

    fn next(&self, key: u32, after: Option<usize>) -> Option<usize> {
        let from = after.map_or(0, |txn| self.position(txn) + 1);
        self.order[from..].iter().copied().find(|&txn| self.wrote(txn, key))
    }

    /// Whether the last one of an order may stand there, which depends on those before it alone. Of updates only a whole order
    /// can be judged.
    fn allows(&self, last: usize) -> bool {
        let mut reads = self.reads.iter().filter(|read| read.0 == last);
        match self.asks {
            Asks::Serial => {
                reads.all(|&(reader, key, _, writer)| self.newest(&self.order[..self.position(reader)], key) == writer)
            }
            Asks::Cursors => reads.all(|&(reader, key, _, writer)| {
                !self.wrote(reader, key) || self.newest(&self.order[..self.position(reader)], key) == writer
            }),
            Asks::Snapshots { conflicts } => self.has_snapshot(last, conflicts),
            Asks::Visible { conflicts, closed } => self.sees_newest(last, conflicts, closed),
            Asks::Earlier => reads.all(|&(reader, key, place, writer)| {
                let earlier = self.reads.iter().filter(|other| other.0 == reader && other.2 < place);
                earlier.filter_map(|other| other.3).all(|seen| {
                    let older = |writer| self.position(seen) < self.position(writer);
                    Some(seen) == writer || !self.wrote(seen, key) || writer.is_some_and(older)
                })
            }),
            Asks::Updates => true,
        }
    }

    fn has_snapshot(&self, txn: usize, conflicts: bool) -> bool {
        let end = self.position(txn);
        (0..=end).any(|length| {
            let (snapshot, between) = self.order[..end].split_at(length.min(end));
            bits(self.visible[txn]).all(|other| snapshot.contains(&other))
                && self.reads.iter().filter(|read| read.0 == txn).all(|read| self.newest(snapshot, read.1) == read.3)
                && (conflicts || !self.writes[txn].iter().any(|&key| self.newest(between, key).is_some()))
        })
    }

    fn sees_newest(&self, last: usize, conflicts: bool, closed: bool) -> bool {
        let mut visible = vec![0u32; self.count];
        for (place, &txn) in self.order.iter().enumerate() {
            let mut sees = self.visible[txn];
            for &other in &self.order[..place] {
                if !conflicts && self.writes[txn].iter().any(|&key| self.wrote(other, key)) {
                    sees |= 1 << other;
                }
            }
            if closed {
                sees |= bits(sees).fold(0, |sum, other| sum | visible[other]);
            }
            visible[txn] = sees;
        }
        self.reads.iter().filter(|read| read.0 == last).all(|&(reader, key, _, writer)| {
            let seen = self.order.iter().rev().copied();
            seen.into_iter().find(|&txn| visible[reader] >> txn & 1 == 1 && self.wrote(txn, key)) == writer
        })
    }

    /// The updates, and these with each reader alone, depend on each other without a cycle.
    fn has_serial_updates(&self) -> bool {
        let mut after = vec![0u32; self.count];
        for txn in 0..self.count {
            bits(self.visible[txn]).for_each(|earlier| after[earlier] |= 1 << txn);
            for &key in &self.writes[txn] {
                after[txn] |= self.next(key, Some(txn)).map_or(0, |next| 1 << next);
            }
        }
        for &(reader, key, _, writer) in &self.reads {
            let over = self.next(key, writer).filter(|&over| over != reader);
            after[reader] |= over.map_or(0, |over| 1 << over);
        }
        let updates = (0..self.count).filter(|&txn| !self.writes[txn].is_empty()).fold(0u32, |sum, txn| sum | 1 << txn);
        (0..self.count).all(|txn| {
            let some = updates | 1 << txn;
            let (mut left, mut rounds) = (some, self.count);
            while left != 0 && rounds > 0 {
                left &= !bits(left).filter(|&last| after[last] & left == 0).fold(0, |sum, last| sum | 1 << last);
                rounds -= 1;
            }
            left == 0
        })
    }
}
