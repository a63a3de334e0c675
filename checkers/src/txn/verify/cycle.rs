//! Cycles: each dependency from raw values or from the order of events, and the class by its definition.

use schism_history::{History, ValueId};

use super::view::{Txn, all, follows, is_list, txn};
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
        if txns[..place].iter().any(|other| other.invoked == one.invoked) {
            return Err(format!("the transaction of event {} is on the cycle twice", one.invoked));
        }
    }
    for (place, step) in steps.iter().enumerate() {
        let (from, to) = (&txns[place], &txns[(place + 1) % txns.len()]);
        if !holds(history, from, to, &step.because)? {
            return Err(format!("no {} from event {} to event {}", step.because.kind, from.invoked, to.invoked));
        }
    }
    let kinds: Vec<&str> = steps.iter().map(|step| step.because.kind.as_str()).collect();
    of_class(kind, &kinds)?;
    super::unfolded::verify(kind, steps)
}

/// Whether a dependency is there.
fn holds(history: &History, from: &Txn<'_>, to: &Txn<'_>, because: &Dependency) -> Result<bool, String> {
    match because.kind.as_str() {
        "process" => return Ok(from.is_before_in_process(to)),
        "realtime" => return Ok(from.is_before(to)),
        "ww" | "wr" | "rw" => {}
        "wwp" | "wrp" | "rwp" => return Err("dependencies of predicates are not verified".to_owned()),
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
            if to.micro(b)?.key == key && named && data_holds(history, (from, a), (to, b), &because.kind) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn data_holds(history: &History, (from, a): (&Txn<'_>, u32), (to, b): (&Txn<'_>, u32), kind: &str) -> bool {
    let written = from.written(a).map(|(_, value)| Some(value));
    match kind {
        "wr" => written.is_some() && to.external(b).map(|(_, newest)| newest) == written,
        _ => {
            let before = if kind == "ww" { written } else { from.external(a).map(|(_, newest)| newest) };
            let (Some(before), Some((key, after))) = (before, to.written(b)) else { return false };
            match is_list(history, key) {
                true => follows(history, key, before, to, after),
                false => is_older(history, key, before, to, b),
            }
        }
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
fn of_class(kind: &str, kinds: &[&str]) -> Result<(), String> {
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
        "G1c" => rw == 0 && (reads > 0 || kind != "G1c"),
        "G-single" => rw == 1,
        "G-nonadjacent" => rw >= 2 && !adjacent,
        "G2" => rw >= 2,
        "write-skew" => rw == 2 && kinds.len() == 2,
        "long-fork" => rw == 2 && !adjacent && reads >= 2,
        "lost-update" => rw == 1 || rw == 2,
        // Kinds of levels are no classes of cycles: any cycle of what they keep.
        _ => return Ok(()),
    };
    match is_so && suffixed && !(item && count(&["rwp"]) > 0) {
        true => Ok(()),
        false => Err(format!("a cycle of {} is none of this class", kinds.join(", "))),
    }
}
