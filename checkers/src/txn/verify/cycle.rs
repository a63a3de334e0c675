//! Cycles: each dependency from raw values or from the order of events, and the class by its definition.

use std::collections::BTreeMap;

use schism_history::{History, OpIndex, Value, ValueId};

use super::lists::Order;
use super::predicates;
use super::sessions::Guarantee;
use super::view::{Txn, all, is_list, txn};
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
    for (place, step) in steps.iter().enumerate() {
        let (from, to) = (&txns[place], &txns[(place + 1) % txns.len()]);
        // Of versions behind all that were read these say no more than which is later.
        let any = is_axiom(kind) || super::unfolded::KINDS.contains(&kind);
        let is_of_object = objects && predicates::holds(history, from, to, &step.because);
        if !is_of_object && !holds(history, from, to, &step.because, any)? {
            return Err(format!("no {} from event {} to event {}", step.because.kind, from.invoked, to.invoked));
        }
    }
    let kinds: Vec<&str> = steps.iter().map(|step| step.because.kind.as_str()).collect();
    let is_one_key = steps.iter().all(|step| step.because.key.is_some() && step.because.key == steps[0].because.key);
    of_class(kind, &kinds, is_one_key)?;
    if kind == "lost-update" && !is_lost_update(&txns) {
        return Err("they did not read one version of a key that all of them wrote".to_owned());
    }
    super::unfolded::verify(kind, steps)?;
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

/// Whether all read the same version of a key, and wrote the key.
fn is_lost_update(txns: &[Txn<'_>]) -> bool {
    let updates = |txn: &Txn<'_>| -> Vec<(u32, Option<ValueId>)> {
        let places = 0..txn.micros().len() as u32;
        let wrote = |key: u32| places.clone().any(|place| txn.written(place).is_some_and(|(other, _)| other == key));
        places.clone().filter_map(|place| txn.external(place)).filter(|&(key, _)| wrote(key)).collect()
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

/// Whether a dependency of lists, of registers, of a process or of real time is there; `any`: on any later version, not only the next one.
fn holds(history: &History, from: &Txn<'_>, to: &Txn<'_>, because: &Dependency, any: bool) -> Result<bool, String> {
    match because.kind.as_str() {
        "process" => return Ok(from.is_before_in_process(to)),
        "realtime" => return Ok(from.is_before(to)),
        "ww" | "wr" | "rw" => {}
        "wrp" | "rwp" => return Ok(false),
        other => return Err(format!("no dependency is called {other}")),
    }
    let places = |txn: &Txn<'_>, named: Option<u32>| match named {
        Some(place) => place..place + 1,
        None => 0..txn.micros().len() as u32,
    };
    for a in places(from, because.from_micro) {
        for b in places(to, because.to_micro) {
            let key = from.micro(a)?.key;
            let named = because.key.as_ref().is_none_or(|name| *name == history.txn_keys()[key as usize].to_string());
            let text = |txn: &Txn<'_>, place| txn.written(place).map(|(_, value)| history.value_of(value).to_string());
            let is_told = |txn: &Txn<'_>, place: u32, named: Option<u32>, told: &Option<String>| {
                let written = text(txn, place).filter(|_| named.is_some());
                told.is_none() || written.is_none() || written == *told
            };
            let are_told = is_told(from, a, because.from_micro, &because.before)
                && is_told(to, b, because.to_micro, &because.after);
            if to.micro(b)?.key != key || !named || !are_told || predicates::is_object(history, key) {
                continue;
            }
            let later =
                any && because.kind == "ww" && is_list(history, key) && Order::of(history, key).is_later(from, to);
            if later || data_holds(history, (from, a), (to, b), because) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn data_holds(history: &History, (from, a): (&Txn<'_>, u32), (to, b): (&Txn<'_>, u32), because: &Dependency) -> bool {
    let written = from.written(a);
    if because.kind == "wr" {
        // What was read may have been written over by the transaction itself.
        let Some((key, Some(newest))) = to.external(b) else { return false };
        let Some((other, value)) = written else { return false };
        // Of a register that was read while its transaction had not written over it yet, the last write is named.
        let later = from.own(key, from.micros().len() as u32);
        let is_for_a_while = !is_list(history, key) && later.last() == Some(&value) && later.contains(&newest);
        return key == other && (newest == value || is_for_a_while);
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
    let before = match because.kind.as_str() {
        "ww" => written.map(|(_, value)| Some(value)),
        _ => from.external(a).map(|(_, newest)| newest),
    };
    let is_reported = |before: Option<ValueId>| {
        because.source.as_deref() == Some(REPORTED)
            && before.is_some_and(|before| is_reported(history, key, before, after))
    };
    before.is_some_and(|before| is_reported(before) || is_older(history, key, before, to, b))
}

/// How a dependency says that the client had reported the versions.
const REPORTED: &str = "the versions that the client reported";

/// Whether completions report a version of the second value that is greater than one of the first: in a field with a list of
/// `[key, value, version]`.
fn is_reported(history: &History, key: u32, before: ValueId, after: ValueId) -> bool {
    let name = history.txn_keys()[key as usize].to_string();
    let values = [before, after].map(|id| history.value_of(id).to_string());
    let mut fields: BTreeMap<String, [Vec<String>; 2]> = BTreeMap::new();
    let mut numbers: BTreeMap<String, [Vec<Vec<i64>>; 2]> = BTreeMap::new();
    for index in 0..history.len() as OpIndex {
        for (field, value) in history.extra(index) {
            for triple in items(value) {
                let parts = items(&triple);
                let [of, written, version] = &parts[..] else { continue };
                let is_of = of.to_string().trim_matches('"') == name.trim_matches('"');
                let Some(which) = values.iter().position(|value| is_of && *value == written.to_string()) else {
                    continue;
                };
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

/// The items of a list; anything else is a list of itself.
fn items(value: &Value) -> Vec<Value> {
    match value {
        Value::List(items) => items.to_vec(),
        Value::Pair(two) => two.map(Value::Int).to_vec(),
        other => vec![other.clone()],
    }
}

/// Whether a register's version is older than what a transaction wrote: the initial one is older than all; what it read
/// before it wrote is (it follows the reads); and so is what had been written before in its process or in real time,
/// where keys are taken to be sequential or linearizable.
fn is_older(history: &History, key: u32, before: Option<ValueId>, to: &Txn<'_>, place: u32) -> bool {
    let Some(before) = before else { return true };
    let read = (0..place).any(|earlier| to.external(earlier) == Some((key, Some(before))));
    read || all(history).any(|txn| txn.place_of(key, before).is_some() && txn.is_before(to))
}

/// The class by its definition: what is on the cycle, and the suffix of its name.
fn of_class(kind: &str, kinds: &[&str], is_one_key: bool) -> Result<(), String> {
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
        "write-skew" => count(&["rw"]) == 2 && kinds.len() == 2 && !is_one_key,
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
