//! Every witness and every reason against the raw values, by code that shares nothing with the engine.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schism_history::{History, Kind, Mop, RunFacts, Value};

use super::super::mutant::Mutation;
use super::{brute, lists, mutants, store};
use crate::anomaly::{Anomaly, Place, Role, Witness};
use crate::checker::Budget;
use crate::table::{Options, build_with};
use crate::txn::edge::{Edge, EdgeKind, Reasons};
use crate::txn::txns::Txns;

fn items(value: &Value) -> Vec<Value> {
    match value {
        Value::Pair([a, b]) => vec![Value::Int(*a), Value::Int(*b)],
        Value::List(items) => (**items).clone(),
        _ => Vec::new(),
    }
}

/// What a place's transaction did: the answer if there is a good one.
fn mops(history: &History, invoke: u32) -> (Kind, Vec<Mop>) {
    let call = history.call(invoke);
    let carrier = if call.outcome == Kind::Ok { call.completion.expect("it ended") } else { invoke };
    match &*history.value(carrier) {
        Value::Txn(mops) => (call.outcome, (**mops).clone()),
        _ => panic!("no transaction at {invoke}"),
    }
}

fn mop(history: &History, place: &Place) -> (Kind, Mop) {
    let (outcome, mops) = mops(history, place.transaction);
    (outcome, mops[place.micro as usize].clone())
}

/// Whether a witness shows what it says, from raw values.
fn verify(history: &History, anomaly: &Anomaly) -> Result<(), String> {
    let Witness::Micros { places, expected, found } = &anomaly.witness else { return Err("no micros".to_owned()) };
    let all: Vec<(Kind, Mop)> = places.iter().map(|place| mop(history, place)).collect();
    let key = anomaly.key.clone().unwrap_or_default();
    if all.iter().any(|(_, mop)| mop.key.to_string() != key) {
        return Err("of another key".to_owned());
    }
    let roles: Vec<Role> = places.iter().map(|place| place.role).collect();
    let list = |at: usize| items(&all[at].1.value);
    let text = |list: &[Value]| Some(Value::list(list.to_vec()).to_string());
    let index = |at: usize, element: usize| list(at).iter().position(|item| *item == all[element].1.value);
    let read_at = roles.iter().position(|role| *role == Role::Read).ok_or("nothing was read")?;
    let is_plain_found = !matches!(anomaly.kind.as_str(), "garbage-read" | "duplicate-elements");
    if is_plain_found && *found != text(&list(read_at)) {
        return Err(format!("{found:?} was not read"));
    }
    let shown = match (anomaly.kind.as_str(), roles.as_slice()) {
        ("garbage-read", [Role::Read]) => list(0).iter().any(|item| Some(item.to_string()) == *found),
        ("duplicate-elements", [Role::Read, ..]) => {
            list(0).iter().filter(|item| Some(item.to_string()) == *found).count() > 1
        }
        ("incompatible-order", [Role::Read, Role::Write, Role::OverWrite]) => {
            let is_own = places[1].transaction == places[2].transaction && places[1].micro < places[2].micro;
            is_own && index(0, 2).is_some_and(|later| index(0, 1).is_none_or(|earlier| earlier > later))
        }
        ("incompatible-order", [Role::Read, Role::OtherRead]) => {
            let (a, b) = (list(0), list(1));
            *expected == text(&b) && a.iter().zip(&b).any(|(a, b)| a != b)
        }
        ("future-read", [Role::Read, Role::Write]) => {
            places[0].transaction == places[1].transaction && places[0].micro < places[1].micro && index(0, 1).is_some()
        }
        ("G1a", [Role::Read, Role::AbortedWrite]) => all[1].0 == Kind::Fail && index(0, 1).is_some(),
        ("dirty-update", [Role::AbortedWrite, Role::OverWrite, Role::Read]) => {
            let (aborted, over) = (index(2, 0), list(2).iter().rposition(|item| *item == all[1].1.value));
            all[0].0 == Kind::Fail && all[1].0 != Kind::Fail && aborted.is_some() && aborted < over
        }
        ("G1b", [Role::Read, Role::Write, Role::OverWrite]) => {
            let is_one = places[1].transaction == places[2].transaction && places[1].micro < places[2].micro;
            let before = mops(history, places[0].transaction).1;
            let before = before[..places[0].micro as usize].iter();
            let own = before.filter(|mop| &*mop.f == "append" && mop.key.to_string() == key).count();
            let list = list(0);
            let last = list.len().checked_sub(own + 1).map(|last| &list[last]);
            is_one && places[0].transaction != places[1].transaction && last == Some(&all[1].1.value)
        }
        ("lost-update", [Role::Read, Role::OverWrite, Role::OtherRead, Role::OverWrite]) => {
            let is_one = |a: usize, b: usize| {
                places[a].transaction == places[b].transaction && places[a].micro < places[b].micro
            };
            is_one(0, 1) && is_one(2, 3) && places[0].transaction != places[2].transaction && list(0) == list(2)
        }
        ("not-read-your-writes", [Role::Read, Role::Write]) => {
            let is_own = places[0].transaction == places[1].transaction && places[1].micro < places[0].micro;
            is_own && index(0, 1).is_none()
        }
        ("internal", [Role::Read, rest @ ..]) => {
            let base = usize::from(rest.first() == Some(&Role::OtherRead));
            let mut known: Vec<Value> = if base == 1 { list(1) } else { Vec::new() };
            known.extend(all[1 + base..].iter().map(|(_, mop)| mop.value.clone()));
            let whole = Value::list(known.clone()).to_string();
            let is_told = *expected == Some(if base == 1 { whole } else { whole.replacen('[', "[...,", 1) });
            let fits = if base == 1 { list(0) == known } else { list(0).ends_with(&known) };
            let is_own = places.iter().all(|place| place.transaction == places[0].transaction);
            is_told && is_own && !fits
        }
        _ => return Err(format!("{} with {roles:?}", anomaly.kind)),
    };
    let is_read = roles.iter().zip(&all).all(|(role, (outcome, mop))| {
        let reads = matches!(role, Role::Read | Role::OtherRead);
        reads == (&*mop.f == "r") && (!reads || *outcome == Kind::Ok)
    });
    if shown && is_read { Ok(()) } else { Err(format!("{} is not shown", anomaly.kind)) }
}

/// Whether a reason names micro-operations that can cause its edge.
fn is_cause(history: &History, txns: &Txns<'_>, edge: Edge, reason: &crate::anomaly::Dependency) -> bool {
    let of = |id: u32, place: Option<u32>| {
        mops(history, txns.invoked(id)).1[place.expect("lists say where") as usize].clone()
    };
    let (from, to) = (of(edge.from, reason.from_micro), of(edge.to, reason.to_micro));
    let text = |mop: &Mop| match &*mop.f {
        "append" => mop.value.to_string(),
        _ if items(&mop.value).is_empty() => "nil".to_owned(),
        _ => mop.value.to_string(),
    };
    let names = match edge.kind {
        EdgeKind::Ww => &*from.f == "append" && &*to.f == "append",
        // Behind it there may be elements of which nobody can say whose they are, or the reader's own.
        EdgeKind::Wr => &*from.f == "append" && items(&to.value).contains(&from.value),
        _ => &*from.f == "r" && &*to.f == "append" && !items(&from.value).contains(&to.value),
    };
    let is_told = (reason.before.as_ref(), reason.after.as_ref()) == (Some(&text(&from)), Some(&text(&to)));
    let key = Some(from.key.to_string());
    names && is_told && from.key == to.key && reason.key == key && reason.kind == edge.kind.as_str()
}

#[test]
fn witnesses_and_reasons_show_what_they_say() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut shown = 0;
    for round in 0..4_000 {
        let history = store::history(&mut random, 3 + round % 8);
        let txns = Txns::of(&history);
        let lists = lists(&txns, Mutation::default());
        for anomaly in &lists.anomalies {
            shown += 1;
            assert_eq!(verify(&history, anomaly), Ok(()), "{anomaly:?}\n{}", mutants::text(&history));
        }
        let kinds: std::collections::BTreeSet<&str> = lists.anomalies.iter().map(|found| found.kind.as_str()).collect();
        assert!(lists.counts.keys().map(|kind| kind.as_str()).collect::<std::collections::BTreeSet<_>>() == kinds);
        let edges = brute::summary(&history).edges;
        for from in 0..txns.len() as u32 {
            for to in 0..txns.len() as u32 {
                for kind in EdgeKind::ALL {
                    let edge = Edge { from, to, kind };
                    let reason = lists.reason(edge);
                    let is_there = edges.contains(&(from, to, kind.as_str()));
                    assert_eq!(reason.is_some(), is_there, "{edge:?}\n{}", mutants::text(&history));
                    let is_fine = reason.as_ref().is_none_or(|reason| is_cause(&history, &txns, edge, reason));
                    assert!(is_fine, "{edge:?} {reason:?}\n{}", mutants::text(&history));
                }
            }
        }
    }
    assert!(shown > 2_000, "only {shown} witnesses");
}

/// Elements of nobody, of several, of those that failed and repeated ones: all that is told of such histories is verified by code that
/// shares nothing with the engines.
#[test]
fn what_is_told_of_spoilt_lists_is_verified() {
    let options = Options { model: None, consistency: Some("strict-serializable"), version_order: None };
    let checker = build_with("list-append", &options).expect("a checker");
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let (mut cycles, mut refused) = (0, Vec::new());
    for round in 0..if mutants::long() { 50_000 } else { 3_000 } {
        let history = store::history(&mut random, 3 + round % 8);
        // Whether a list has what a failed transaction would have written over it is a matter of taste.
        let writes = |index: u32| mops(&history, index).1.iter().any(|mop| &*mop.f == "w");
        if (0..history.len() as u32).any(|index| history.kind(index) == Kind::Invoke && writes(index)) {
            continue;
        }
        let finding = checker.check(&history, &RunFacts::default(), &Budget::default());
        for anomaly in finding.anomalies.iter().chain(&finding.beyond) {
            cycles += usize::from(matches!(anomaly.witness, Witness::Cycle { .. }));
            if let Err(wrong) = crate::txn::verify::verify(&history, anomaly) {
                refused.push(format!("{wrong}: {anomaly:?}\n{}", mutants::text(&history)));
            }
        }
    }
    assert!(refused.is_empty(), "{}: {}", refused.len(), refused[..refused.len().min(12)].join("\n"));
    assert!(cycles > 200, "only {cycles} cycles");
}
