//! Cycles: each dependency from raw values or from the order of events, and the class by its definition.

use std::collections::{BTreeMap, BTreeSet};

use schism_history::{History, Key, OpIndex, Value, ValueId};

use super::lists::Order;
use super::predicates;
use super::sessions::Guarantee;
use super::view::{Txn, is_list, txn};
use super::writers;
use crate::anomaly::{Dependency, Step};

/// Verifies a cycle.
pub fn verify(history: &History, kind: &str, steps: &[Step]) -> Result<(), String> {
    if steps.len() < 2 {
        return Err("a cycle has two transactions at least".to_owned());
    }
    let txns = steps.iter().map(|step| txn(history, step.transaction)).collect::<Result<Vec<_>, _>>()?;
    for (place, one) in txns.iter().enumerate() {
        if one.failed {
            return Err(format!("the transaction of event {} failed, and is on no cycle", one.invoked));
        }
        // A cycle of single operations may come through a transaction again.
        if Guarantee::of(kind).is_none() && txns[..place].iter().any(|other| other.invoked == one.invoked) {
            return Err(format!("the transaction of event {} is on the cycle twice", one.invoked));
        }
    }
    let objects = predicates::are_any(history);
    // By step: the keys of which its dependency holds. A number and a text may be written alike.
    let mut keys: Vec<Keys> = Vec::new();
    for (place, step) in steps.iter().enumerate() {
        let (from, to) = (&txns[place], &txns[(place + 1) % txns.len()]);
        // Of versions behind all that were read these say no more than which is later.
        let any = is_axiom(kind) || super::unfolded::KINDS.contains(&kind);
        if objects && predicates::holds(history, from, to, &step.because) {
            keys.push(of_name(history, step.because.key.as_deref()));
            continue;
        }
        let held = holds(history, from, to, &step.because, any)?;
        keys.push(
            held.ok_or_else(|| {
                format!("no {} from event {} to event {}", step.because.kind, from.invoked, to.invoked)
            })?,
        );
    }
    let kinds: Vec<&str> = steps.iter().map(|step| step.because.kind.as_str()).collect();
    let one = if steps.iter().all(|step| step.because.key.is_some()) { common(&keys) } else { Keys::new() };
    let must_be_one = one.len() == 1 && keys.iter().all(|keys| *keys == one);
    of_class(kind, &kinds, !one.is_empty(), must_be_one)?;
    if kind == "lost-update" && !is_lost_update(history, &txns, &one) {
        return Err("they did not read one version of a key that all of them wrote".to_owned());
    }
    super::unfolded::verify(kind, steps, &keys)?;
    match Guarantee::of(kind) {
        Some(guarantee) => {
            let mut named: Vec<OpIndex> = steps.iter().map(|step| step.transaction).collect();
            named.sort_unstable();
            named.dedup();
            super::sessions::verify(history, guarantee, &named)
        }
        None => Ok(()),
    }
}

/// Numbers of keys.
pub type Keys = BTreeSet<u32>;

/// All keys of a name.
fn of_name(history: &History, name: Option<&str>) -> Keys {
    let all = (0u32..).zip(history.txn_keys());
    all.filter(|(_, key)| name.is_some_and(|name| key.to_string() == name)).map(|(key, _)| key).collect()
}

/// The keys that are in all of them.
pub fn common<'k>(keys: impl IntoIterator<Item = &'k Keys>) -> Keys {
    let mut keys = keys.into_iter();
    let first = keys.next().cloned().unwrap_or_default();
    keys.fold(first, |common, keys| &common & keys)
}

/// Whether all read the same version of one of these keys, and wrote the key. Of a register it must be certain whose version it was.
fn is_lost_update(history: &History, txns: &[Txn<'_>], keys: &Keys) -> bool {
    type Update = (u32, Option<ValueId>, Option<OpIndex>);
    let updates = |txn: &Txn<'_>| -> Vec<Update> {
        let places = 0..txn.micros().len() as u32;
        let wrote = |key: u32| places.clone().any(|place| txn.written(place).is_some_and(|(other, _)| other == key));
        let of_keys = places.clone().filter_map(|place| txn.external(place)).filter(|(key, _)| keys.contains(key));
        let version = |(key, newest): (u32, Option<ValueId>)| match is_list(history, key) {
            true => Some((key, newest, None)),
            false => writers::of_read(history, key, newest, txn).map(|writer| (key, newest, writer)),
        };
        of_keys.filter(|&(key, _)| wrote(key)).filter_map(version).collect()
    };
    let all: Vec<_> = txns.iter().map(updates).collect();
    all.first().is_some_and(|first| first.iter().any(|update| all.iter().all(|other| other.contains(update))))
}

/// Whether a kind is of a level that keeps the order of versions, who read from whom, and of processes: by axioms, or a guarantee
/// of sessions.
fn is_axiom(kind: &str) -> bool {
    let base = kind.strip_suffix("-process").unwrap_or(kind);
    matches!(base, "non-monotonic-view" | "fractured-read" | "stale-causal-read") || Guarantee::of(kind).is_some()
}

/// The keys of which a dependency of lists or of registers is there, or none for one of a process or of real time; `None` if it is not
/// there. `any`: on any later version, not only the next one.
fn holds(
    history: &History,
    from: &Txn<'_>,
    to: &Txn<'_>,
    because: &Dependency,
    any: bool,
) -> Result<Option<Keys>, String> {
    match because.kind.as_str() {
        "process" => return Ok(from.is_before_in_process(to).then(Keys::new)),
        "realtime" => return Ok(from.is_before(to).then(Keys::new)),
        "ww" | "wr" | "rw" => {}
        "wrp" | "rwp" => return Ok(None),
        other => return Err(format!("no dependency is called {other}")),
    }
    let places = |txn: &Txn<'_>, named: Option<u32>| match named {
        Some(place) => place..place + 1,
        None => 0..txn.micros().len() as u32,
    };
    let named = of_name(history, because.key.as_deref());
    let mut keys = Keys::new();
    for a in places(from, because.from_micro) {
        for b in places(to, because.to_micro) {
            let key = from.micro(a)?.key;
            let is_named = because.key.is_none() || named.contains(&key);
            let text = |txn: &Txn<'_>, place| txn.written(place).map(|(_, value)| history.value_of(value).to_string());
            let is_told = |txn: &Txn<'_>, place: u32, named: Option<u32>, told: &Option<String>| {
                let written = text(txn, place).filter(|_| named.is_some());
                told.is_none() || written.is_none() || written == *told
            };
            let are_told = is_told(from, a, because.from_micro, &because.before)
                && is_told(to, b, because.to_micro, &because.after);
            let is_known = keys.contains(&key);
            if to.micro(b)?.key != key || !is_named || !are_told || is_known || predicates::is_object(history, key) {
                continue;
            }
            let later =
                any && because.kind == "ww" && is_list(history, key) && Order::of(history, key).is_later(from, to);
            if later || data_holds(history, (from, a), (to, b), because) {
                keys.insert(key);
                // Others of the same name matter only where it is asked which key it is.
                if named.len() < 2 {
                    return Ok(Some(keys));
                }
            }
        }
    }
    Ok((!keys.is_empty()).then_some(keys))
}

fn data_holds(history: &History, (from, a): (&Txn<'_>, u32), (to, b): (&Txn<'_>, u32), because: &Dependency) -> bool {
    let written = from.written(a);
    if because.kind == "wr" {
        return written.is_some_and(|(key, value)| is_read_from(history, from, (key, value), to, b));
    }
    let Some((key, after)) = to.written(b) else { return false };
    if is_list(history, key) {
        let order = Order::of(history, key);
        let place = match (because.kind.as_str(), written) {
            ("ww", Some((_, value))) => order.place(value).map(|place| place + 1),
            // Behind own appends a read says nothing that these do not.
            ("rw", _) if from.own(key, a).is_empty() => from.read(a).and_then(|(_, list)| order.after(&list)),
            _ => None,
        };
        return place.is_some_and(|place| order.is_at(place, to, after));
    }
    let version = match (because.kind.as_str(), written) {
        ("ww", Some((_, value))) => Some((value, from.invoked)),
        ("ww", None) => return false,
        _ => {
            let Some((_, newest)) = from.external(a) else { return false };
            match (newest, writers::of_read(history, key, newest, from)) {
                (Some(value), Some(Some(writer))) => Some((value, writer)),
                (None, Some(None)) => None,
                // Nobody can say which version it is.
                _ => return false,
            }
        }
    };
    // The initial version is older than all.
    let Some(before) = version else { return true };
    let is_reported =
        because.source.as_deref() == Some(REPORTED) && is_reported(history, key, [before, (after, to.invoked)]);
    is_reported || is_older(history, key, before, to, b)
}

/// Whether a transaction read what another wrote, and nobody else: of a list the last element of which it is certain that another
/// transaction appended it, as what lies above that hides nothing.
fn is_read_from(history: &History, from: &Txn<'_>, (key, value): (u32, ValueId), to: &Txn<'_>, b: u32) -> bool {
    let Some((other, seen)) = to.seen(b) else { return false };
    if other != key {
        return false;
    }
    if is_list(history, key) {
        return writers::last_of_others(history, key, &seen, to) == Some((from.invoked, value));
    }
    let Some(&newest) = seen.last() else { return false };
    // Of a register that was read while its transaction had not written over it yet, the last write may be named.
    let written = from.own(key, from.micros().len() as u32);
    let is_named = newest == value || written.last() == Some(&value) && written.contains(&newest);
    let is_version = || newest == value && writers::of_read(history, key, Some(value), to) == Some(Some(from.invoked));
    is_named && (is_version() || writers::of_operation(history, key, newest, to) == Some(from.invoked))
}

/// How a dependency says that the client had reported the versions.
const REPORTED: &str = "the versions that the client reported";

/// A value of a register, and who wrote it.
type Version = (ValueId, OpIndex);

/// Whether completions report a number for the second version that is greater than one for the first: in a field with a list of
/// `[key, value, version]`.
fn is_reported(history: &History, key: u32, versions: [Version; 2]) -> bool {
    let name = &history.txn_keys()[key as usize];
    let values = versions.map(|(id, _)| history.value_of(id).to_string());
    let mut fields: BTreeMap<String, [Vec<String>; 2]> = BTreeMap::new();
    let mut numbers: BTreeMap<String, [Vec<Vec<i64>>; 2]> = BTreeMap::new();
    for index in 0..history.len() as OpIndex {
        let Some(by) = history.pair(index).and_then(|invoked| txn(history, invoked).ok()) else { continue };
        for (field, value) in history.extra(index) {
            for triple in items(value) {
                let parts = items(&triple);
                let [of, written, version] = &parts[..] else { continue };
                let is_of = Key::from_value(of).is_some_and(|of| of == *name);
                let is_it = |which: &usize| {
                    values[*which] == written.to_string() && touches(history, key, versions[*which], &by)
                };
                let Some(which) = (0..2).find(is_it).filter(|_| is_of) else { continue };
                match items(version).iter().map(Value::as_int).collect::<Option<Vec<i64>>>() {
                    Some(all) => numbers.entry(field.to_string()).or_default()[which].push(all),
                    None => fields.entry(field.to_string()).or_default()[which].push(version.to_string()),
                }
            }
        }
    }
    let is_less = |[before, after]: &[Vec<Vec<i64>>; 2]| before.iter().any(|a| after.iter().any(|b| a < b));
    let is_text_less = |[before, after]: &[Vec<String>; 2]| before.iter().any(|a| after.iter().any(|b| a < b));
    numbers.values().any(is_less) || fields.values().any(is_text_less)
}

/// Whether a transaction wrote a version, or read it and nobody else's.
fn touches(history: &History, key: u32, (value, writer): Version, by: &Txn<'_>) -> bool {
    let reads = |place: u32| {
        let is_it = by.external(place) == Some((key, Some(value)));
        is_it && writers::of_read(history, key, Some(value), by) == Some(Some(writer))
    };
    by.invoked == writer || (0..by.micros().len() as u32).any(reads)
}

/// The items of a list; anything else is a list of itself.
fn items(value: &Value) -> Vec<Value> {
    match value {
        Value::List(items) => items.to_vec(),
        Value::Pair(two) => two.map(Value::Int).to_vec(),
        other => vec![other.clone()],
    }
}

/// Whether a register's version is older than what a transaction wrote: what it read before it wrote is (it follows the
/// reads); and so is what had been written before in its process or in real time, where keys are taken to be sequential
/// or linearizable.
fn is_older(history: &History, key: u32, (value, writer): Version, to: &Txn<'_>, place: u32) -> bool {
    let reads = |earlier: u32| {
        let is_it = to.external(earlier) == Some((key, Some(value)));
        is_it && writers::of_read(history, key, Some(value), to) == Some(Some(writer))
    };
    let is_before = |txn: Txn<'_>| txn.place_of(key, value).is_some() && txn.is_before(to);
    (0..place).any(reads) || txn(history, writer).is_ok_and(is_before)
}

/// The class by its definition: what is on the cycle, and the suffix of its name. All may be of one key, or must be.
fn of_class(kind: &str, kinds: &[&str], is_one_key: bool, must_be_one: bool) -> Result<(), String> {
    let count = |wanted: &[&str]| kinds.iter().filter(|kind| wanted.contains(kind)).count();
    let (processes, realtimes) = (count(&["process"]), count(&["realtime"]));
    let (base, suffixed) = match (kind.strip_suffix("-process"), kind.strip_suffix("-realtime")) {
        (Some(base), _) => (base, processes > 0 && realtimes == 0),
        (_, Some(base)) => (base, realtimes > 0),
        _ => (kind, processes + realtimes == 0),
    };
    let is_rw = |kind: &str| matches!(kind, "rw" | "rwp");
    let rw = kinds.iter().filter(|kind| is_rw(kind)).count();
    let reads = count(&["wr", "wrp"]);
    let adjacent = (0..kinds.len()).any(|place| is_rw(kinds[place]) && is_rw(kinds[(place + 1) % kinds.len()]));
    let (plain, item) = match base.strip_suffix("-item") {
        Some(plain) => (plain, true),
        None => (base, false),
    };
    let is_so = match plain {
        "G0" => rw == 0 && reads == 0,
        // With the order of a process or of real time, one of writes alone is one too.
        "G1c" => rw == 0 && (reads > 0 || kind != "G1c"),
        "G-single" => rw == 1,
        "G-nonadjacent" => rw >= 2 && !adjacent,
        "G2" => rw >= 2,
        "write-skew" => count(&["rw"]) == 2 && kinds.len() == 2 && !must_be_one,
        "long-fork" => count(&["rw"]) == 2 && count(&["wr"]) == 2 && !adjacent && kinds.len() == 4,
        "lost-update" => kinds.len() == 2 && is_one_key && rw > 0 && reads == 0,
        // Kinds of levels are no classes of cycles: any cycle of what they keep.
        _ if is_axiom(kind) => {
            let keeps = processes == 0 || kind.ends_with("-process") || Guarantee::of(kind).is_some();
            let is_kept = rw == 0 && realtimes == 0 && keeps;
            return is_kept.then_some(()).ok_or_else(|| format!("a cycle of {} breaks no axiom", kinds.join(", ")));
        }
        // What is asked of these stands in `unfolded`.
        _ if super::unfolded::KINDS.contains(&kind) => return Ok(()),
        _ if kind.starts_with("not-serializable") && suffix_allows(kind, processes, realtimes) => return Ok(()),
        _ => false,
    };
    match is_so && suffixed && !(item && count(&["rwp"]) > 0) {
        true => Ok(()),
        false => Err(format!("a cycle of {} is none of this class", kinds.join(", "))),
    }
}

/// Whether a level keeps the orders of processes and of real time that a cycle has.
fn suffix_allows(kind: &str, processes: usize, realtimes: usize) -> bool {
    kind.ends_with("-realtime") || realtimes == 0 && (processes == 0 || kind.ends_with("-process"))
}
