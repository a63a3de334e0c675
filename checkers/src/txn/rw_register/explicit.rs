//! Versions that the client reported with its reads and writes (a revision, a row's version).
//!
//! A completion has a field with a list of `[key, value, version]`, one for each micro-operation whose version is known.
//! Versions of a key go up; they are integers, texts, or lists of integers, which are compared from the left.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;
use schism_history::{History, Key, MicroF, OpIndex, Value};

use super::direct::value_text;
use super::sources::{Source, Step};
use crate::txn::accesses::{Accesses, UNKNOWN};
use crate::txn::txns::{OPEN, TxnId, Txns};
use crate::verdict::Gap;

/// A table that holds more is not kept for the next transaction.
const MEANT_KEPT: usize = 1 << 12;

/// A version as the client reported it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Number(i64),
    Numbers(Vec<i64>),
    Text(String),
}

impl Rank {
    fn of(value: &Value) -> Option<Rank> {
        match value {
            Value::Int(number) => Some(Rank::Number(*number)),
            Value::Pair(pair) => Some(Rank::Numbers(pair.to_vec())),
            Value::Str(text) | Value::Keyword(text) => Some(Rank::Text(text.to_string())),
            Value::List(items) => items.iter().map(Value::as_int).collect::<Option<Vec<i64>>>().map(Rank::Numbers),
            _ => None,
        }
    }

    fn is_like(&self, other: &Rank) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// That a version has a rank.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Report {
    key: u32,
    rank: Rank,
    version: TxnId,
    by: TxnId,
}

/// The steps between neighbouring versions. A key whose reports make no sense is left out, and told.
pub(super) fn steps(txns: &Txns<'_>, accesses: &Accesses, field: &str, steps: &mut Vec<Step>, gaps: &mut Vec<Gap>) {
    let (meant, reports) = (FxHashMap::default(), Vec::new());
    let mut reader = Reader { txns, accesses, field, keys: FxHashMap::default(), meant, reports, wrong: None };
    reader.keys = txns.history().txn_keys().iter().zip(0..).collect();
    let mut is_there = false;
    for id in 0..txns.len() as TxnId {
        let Some(end) = completion(txns, id) else { continue };
        if let Some((_, value)) = txns.history().extra(end).iter().find(|(name, _)| **name == *field) {
            is_there = true;
            reader.field(id, end, value);
        }
    }
    if !is_there && !txns.is_empty() {
        gaps.push(Gap::Unsupported { index: txns.invoked(0), reason: no_field(txns, field) });
    }
    gaps.extend(reader.wrong.take());
    let mut reports = reader.reports;
    reports.sort_unstable();
    for of_key in reports.chunk_by(|a, b| a.key == b.key) {
        if let Err((report, why)) = of_one_key(of_key, steps) {
            let reason = format!("{field}: {why} of key {}; its versions are not used", txns.key_text(report.key));
            gaps.push(Gap::Unsupported { index: txns.invoked(report.by), reason });
        }
    }
}

fn completion(txns: &Txns<'_>, id: TxnId) -> Option<OpIndex> {
    match txns.ended(id) {
        OPEN => txns.history().pair(txns.invoked(id)),
        end => Some(end),
    }
}

fn no_field(txns: &Txns<'_>, field: &str) -> String {
    let history: &History = txns.history();
    let ends = (0..txns.len() as TxnId).filter_map(|id| completion(txns, id));
    let names: BTreeSet<&str> = ends.flat_map(|end| history.extra(end).iter().map(|(name, _)| &**name)).collect();
    let names: Vec<&str> = names.into_iter().take(20).collect();
    let others = if names.is_empty() { "no other field".to_owned() } else { names.join(", ") };
    format!("no completion of a transaction has the field {field} that was said to report versions; there is {others}")
}

/// Neighbours of one key; or the report that makes no sense.
fn of_one_key<'r>(reports: &'r [Report], steps: &mut Vec<Step>) -> Result<(), (&'r Report, String)> {
    let mut order: Vec<&Report> = Vec::new();
    let mut rank_of: FxHashMap<TxnId, &Rank> = FxHashMap::default();
    for report in reports {
        let rank = *rank_of.entry(report.version).or_insert(&report.rank);
        if *rank != report.rank {
            return Err((report, format!("one value has the versions {} and {}", text(rank), text(&report.rank))));
        }
        match order.last() {
            Some(last) if !last.rank.is_like(&report.rank) => {
                return Err((report, "versions are of several types".to_owned()));
            }
            Some(last) if last.rank == report.rank && last.version != report.version => {
                return Err((report, format!("two values have the version {}", text(&report.rank))));
            }
            Some(last) if last.version == report.version => {}
            _ => order.push(report),
        }
    }
    let all = order.windows(2).map(|pair| Step {
        key: pair[0].key,
        source: Source::Explicit,
        from: pair[0].version,
        to: pair[1].version,
        from_by: pair[0].by,
        to_by: pair[1].by,
    });
    // Clients report a version of nothing too (etcd's revision 0).
    steps.extend(all.filter(Step::is_news));
    Ok(())
}

fn text(rank: &Rank) -> String {
    match rank {
        Rank::Number(number) => number.to_string(),
        Rank::Numbers(numbers) => format!("{numbers:?}"),
        Rank::Text(text) => text.clone(),
    }
}

struct Reader<'a> {
    txns: &'a Txns<'a>,
    accesses: &'a Accesses,
    field: &'a str,
    keys: FxHashMap<&'a Key, u32>,
    /// Of the transaction at hand, by key and value: which version it means.
    meant: FxHashMap<(u32, String), TxnId>,
    reports: Vec<Report>,
    /// One says enough.
    wrong: Option<Gap>,
}

impl Reader<'_> {
    fn field(&mut self, id: TxnId, end: OpIndex, value: &Value) {
        let items = match value {
            Value::List(items) | Value::Set(items) => items.as_slice(),
            _ => &[],
        };
        if items.is_empty() && !matches!(value, Value::List(_) | Value::Nil) {
            self.refuse(end, "is no list of [key, value, version]".to_owned());
        }
        if !items.is_empty() {
            self.take(id);
        }
        for item in items {
            if let Err(why) = self.report(id, item) {
                self.refuse(end, why);
            }
        }
    }

    fn refuse(&mut self, index: OpIndex, why: String) {
        let field = self.field;
        self.wrong.get_or_insert_with(|| Gap::Unsupported { index, reason: format!("{field} {why}") });
    }

    fn report(&mut self, id: TxnId, item: &Value) -> Result<(), String> {
        let Value::List(parts) = item else { return Err(format!("has {item}, which is no [key, value, version]")) };
        let [key, value, version] = parts.as_slice() else {
            return Err(format!("has {item}, which is no [key, value, version]"));
        };
        let rank = Rank::of(version)
            .ok_or_else(|| format!("has the version {version}, which is no integer, text or list of integers"))?;
        let key = Key::from_value(key).and_then(|key| self.keys.get(&key).copied());
        let key = key.ok_or_else(|| format!("has {item}, whose key no transaction touches"))?;
        let version = self
            .meant
            .get(&(key, value.to_string()))
            .copied()
            .ok_or_else(|| format!("has {item}, but the transaction did not read or write that value last"))?;
        if version != UNKNOWN {
            self.reports.push(Report { key, rank, version, by: id });
        }
        Ok(())
    }

    /// Which versions a transaction means by its values: of a key the one that it wrote, or read from others, of several reads
    /// the first. What it wrote over itself, and reads whose writer is not known, are no version: [`UNKNOWN`].
    fn take(&mut self, id: TxnId) {
        // A table that was large once takes long to clear.
        if self.meant.capacity() > MEANT_KEPT {
            self.meant = FxHashMap::default();
        }
        self.meant.clear();
        let text = |micro: u32| value_text(self.txns, id, micro);
        for (micro, place) in self.txns.txn(id).micros().zip(0..).filter(|(micro, _)| micro.f != MicroF::Other) {
            self.meant.extend(text(place).map(|text| ((micro.key, text), UNKNOWN)));
        }
        for read in self.accesses.reads(id).iter().rev() {
            self.meant.extend(text(read.micro).map(|text| ((read.key, text), read.writer)));
        }
        for write in self.accesses.writes(id) {
            self.meant.extend(text(write.micro).map(|text| ((write.key, text), id)));
        }
    }
}
