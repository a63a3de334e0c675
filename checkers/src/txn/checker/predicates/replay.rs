//! Walks through a commit order with the values themselves: each read gets what it got, by key and by predicate. Shares nothing with
//! the search but what a predicate finds.

use rustc_hash::{FxHashMap, FxHashSet};
use schism_history::{Key, Mop, Value};

use crate::txn::meter::Meter;
use crate::txn::predicate::universe::{Predicate, written};
use crate::txn::solver::Keeps;
use crate::txn::solver::replay::NotReplayed;
use crate::txn::txns::{TxnId, Txns};

/// Verifies that an order of all transactions that ended well, and perhaps of some in doubt, explains all reads and keeps what it has
/// to: one after the other, or each on a prefix that holds all earlier writers of what it writes.
///
/// # Errors
/// What is wrong, in words; or that the budget ended.
pub(super) fn explains(
    txns: &Txns<'_>,
    order: &[TxnId],
    keeps: Keeps,
    is_serial: bool,
    meter: &mut Meter,
) -> Result<(), NotReplayed> {
    let wrong = |reason: String| Err(NotReplayed::Wrong(reason));
    let there: FxHashSet<TxnId> = order.iter().copied().collect();
    if there.len() != order.len() || (0..txns.ok_count()).any(|id| !there.contains(&id)) {
        return wrong("a transaction is missing, or there twice".to_owned());
    }
    let walk = Walk::of(txns, order);
    let kept = kept(txns, order, keeps);
    for (at, &id) in order.iter().enumerate() {
        let at = at as u32;
        if let Some(key) = walk.made_again(at) {
            return wrong(format!("{id} makes {key}, which is there already, or was removed"));
        }
        if kept[at as usize] > at {
            return wrong(format!("{id} stands before one that had ended before it began"));
        }
        let least = if is_serial { at } else { walk.overwritten(at).max(kept[at as usize]) };
        if !txns.is_ok(id) {
            continue;
        }
        let mut is_explained = false;
        for prefix in (least..=at).rev() {
            meter.step(walk.cost(at))?;
            is_explained = walk.is_read(at, prefix);
            if is_explained {
                break;
            }
        }
        if !is_explained {
            return wrong(format!("{id} would have read something else"));
        }
    }
    Ok(())
}

/// By place: how many of the order each transaction has to come after.
fn kept(txns: &Txns<'_>, order: &[TxnId], keeps: Keeps) -> Vec<u32> {
    let group = |id: TxnId| if keeps == Keeps::Process { txns.session(id) } else { 0 };
    let mut ended: Vec<(u32, u32, u32)> = Vec::new();
    if keeps != Keeps::Nothing {
        let ok = (1..).zip(order).filter(|&(_, &id)| txns.is_ok(id));
        ended.extend(ok.map(|(place, &id)| (group(id), txns.ended(id), place)));
        ended.sort_unstable();
    }
    for at in 1..ended.len() {
        if ended[at - 1].0 == ended[at].0 {
            ended[at].2 = ended[at].2.max(ended[at - 1].2);
        }
    }
    let before = |&id: &TxnId| {
        let count = ended.partition_point(|&(of, end, _)| (of, end) < (group(id), txns.invoked(id)));
        ended[..count].last().filter(|last| last.0 == group(id)).map_or(0, |last| last.2)
    };
    order.iter().map(before).collect()
}

/// The micro-operations in this order, and what they leave.
struct Walk {
    /// By place.
    mops: Vec<Vec<Mop>>,
    numbers: FxHashMap<String, u32>,
    /// By key: what was left there, with the place.
    left: Vec<Vec<(u32, Option<Value>)>>,
    /// By key: whether it was there from the start, and so is not looked at before it is set.
    initial: Vec<bool>,
}

impl Walk {
    fn of(txns: &Txns<'_>, order: &[TxnId]) -> Walk {
        let carrier = |&id: &TxnId| if txns.is_ok(id) { txns.ended(id) } else { txns.invoked(id) };
        let mops = |id: &TxnId| match &*txns.history().value(carrier(id)) {
            Value::Txn(mops) => mops.to_vec(),
            _ => Vec::new(),
        };
        let mops = order.iter().map(mops).collect();
        let mut walk = Walk { mops, numbers: FxHashMap::default(), left: Vec::new(), initial: Vec::new() };
        for (at, mops) in (0..).zip(&walk.mops) {
            for mop in mops.iter().filter(|mop| &*mop.f != "rp") {
                let next = walk.numbers.len() as u32;
                let key = *walk.numbers.entry(mop.key.to_string()).or_insert(next) as usize;
                walk.left.resize(walk.numbers.len(), Vec::new());
                walk.initial.resize(walk.numbers.len(), false);
                walk.initial[key] |= &*mop.f == "init";
                let Some(value) = written(mop) else { continue };
                match walk.left[key].last_mut() {
                    Some(last) if last.0 == at => last.1 = value.cloned(),
                    _ => walk.left[key].push((at, value.cloned())),
                }
            }
        }
        walk
    }

    /// The number of what an answer names.
    fn named(&self, name: &Value) -> Option<u32> {
        self.numbers.get(&Key::from_value(name)?.to_string()).copied()
    }

    /// Steps that a look at a transaction takes.
    fn cost(&self, at: u32) -> u64 {
        let of = |mop: &Mop| if &*mop.f == "rp" { self.left.len() as u64 } else { 1 };
        self.mops[at as usize].iter().map(of).sum::<u64>() + 1
    }

    /// What a read finds of a key after the first so many, and what its transaction wrote before: perhaps nothing. No answer where
    /// it is to be there already.
    fn value<'a>(
        &'a self,
        key: u32,
        prefix: u32,
        own: &FxHashMap<u32, Option<&'a Value>>,
    ) -> Option<Option<&'a Value>> {
        if let Some(&own) = own.get(&key) {
            return Some(own);
        }
        let left = &self.left[key as usize];
        match left[..left.partition_point(|&(place, _)| place < prefix)].last() {
            Some((_, value)) => Some(value.as_ref()),
            None => (!self.initial[key as usize]).then_some(None),
        }
    }

    /// How long a prefix is that holds all earlier writers of what is written.
    fn overwritten(&self, at: u32) -> u32 {
        let writes = self.mops[at as usize].iter().filter(|mop| &*mop.f != "rp" && written(mop).is_some());
        let earlier = |mop: &Mop| {
            let left = &self.left[self.numbers[&mop.key.to_string()] as usize];
            let count = left.partition_point(|&(place, _)| place < at);
            left[..count].last().map_or(0, |&(place, _)| place + 1)
        };
        writes.map(earlier).max().unwrap_or(0)
    }

    /// What a transaction makes although it was there, or writes although it is there no more.
    fn made_again(&self, at: u32) -> Option<String> {
        let mut own: FxHashMap<u32, bool> = FxHashMap::default();
        for mop in self.mops[at as usize].iter().filter(|mop| &*mop.f != "rp") {
            let Some(value) = written(mop) else { continue };
            let key = self.numbers[&mop.key.to_string()];
            let left = &self.left[key as usize];
            let earlier = left[..left.partition_point(|&(place, _)| place < at)].last();
            let (was_there, was_removed) = match own.insert(key, value.is_some()) {
                Some(is_there) => (is_there, !is_there),
                None => (earlier.is_some_and(|last| last.1.is_some()), earlier.is_some_and(|last| last.1.is_none())),
            };
            if was_removed || was_there && matches!(&*mop.f, "init" | "insert") {
                return Some(mop.key.to_string());
            }
        }
        None
    }

    /// Whether a transaction's reads are explained by the first so many, and what it wrote itself before.
    fn is_read(&self, at: u32, prefix: u32) -> bool {
        let mut own: FxHashMap<u32, Option<&Value>> = FxHashMap::default();
        for mop in &self.mops[at as usize] {
            if &*mop.f == "rp" {
                if !self.is_found(mop, prefix, &own) {
                    return false;
                }
                continue;
            }
            let key = self.numbers[&mop.key.to_string()];
            match written(mop) {
                Some(value) => drop(own.insert(key, value)),
                None if &*mop.f == "r" => {
                    if self.value(key, prefix, &own) != Some(Some(&mop.value).filter(|value| !value.is_nil())) {
                        return false;
                    }
                }
                None => return false,
            }
        }
        true
    }

    fn is_found<'a>(&'a self, mop: &Mop, prefix: u32, own: &FxHashMap<u32, Option<&'a Value>>) -> bool {
        let (Some(predicate), Value::Map(found)) = (Predicate::parse(&mop.key.to_string()), &mop.value) else {
            return false;
        };
        let wanted: Option<FxHashMap<u32, &Value>> =
            found.iter().map(|(name, value)| Some((self.named(name)?, value))).collect();
        let Some(wanted) = wanted.filter(|wanted| wanted.len() == found.len()) else { return false };
        (0..self.left.len() as u32).all(|key| {
            let now = self.value(key, prefix, own);
            now.is_some_and(|now| now.filter(|_| predicate.finds(now)) == wanted.get(&key).copied())
        })
    }
}
