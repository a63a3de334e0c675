//! Predicates against their definition: each version that a read may have seen is tried, and what all of them say is so.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::{F, History, Key, Kind, Mop, Op, Process, Value, notation};

use super::super::infer_with;
use super::super::mutant::{Mutant, Mutation};
use crate::anomaly::Dependency;
use crate::checker::Budget;
use crate::txn::edge::Reasons;
use crate::txn::meter::Meter;
use crate::txn::txns::Txns;
use crate::txn::verify::is_there;

const KEYS: i64 = 3;
const PREDICATES: [&str; 3] = ["true", "= 1", "mod 2 0"];

fn finds(predicate: &str, value: Option<i64>) -> bool {
    match predicate {
        "true" => value.is_some(),
        "= 1" => value == Some(1),
        _ => value.is_some_and(|value| value % 2 == 0),
    }
}

/// Transactions one after the other; each object is born, written and removed at most once.
fn history(random: &mut ChaCha8Rng) -> History {
    let count = random.random_range(4..9usize);
    let mut plans: Vec<Vec<Mop>> = vec![Vec::new(); count];
    for key in 0..KEYS {
        let mut ops = Vec::new();
        let value = |random: &mut ChaCha8Rng| Value::Int(random.random_range(1..4));
        match random.random_range(0..5) {
            0 | 1 => ops.push(("init", value(random))),
            2 | 3 => ops.push(("insert", value(random))),
            _ => {}
        }
        if random.random_bool(0.5) {
            ops.push(("w", value(random)));
        }
        if random.random_bool(0.4) {
            ops.push(("delete", Value::Nil));
        }
        let mut place = 0;
        for (f, value) in ops {
            place = random.random_range(place..count);
            plans[place].push(Mop::new(f, Key::Int(key), value));
        }
    }
    for plan in &mut plans {
        for _ in 0..random.random_range(0..3) {
            let mop = match random.random_range(0..4) {
                0 => Mop::new("r", Key::Int(random.random_range(0..KEYS)), Value::Nil),
                _ => Mop::new("rp", Key::Str((*PREDICATES.choose(random).unwrap()).into()), Value::Nil),
            };
            let place = random.random_range(0..=plan.len());
            plan.insert(place, mop);
        }
    }
    let mut states: Vec<BTreeMap<i64, i64>> = vec![BTreeMap::new()];
    let mut ops = Vec::new();
    for (process, mut plan) in (0..).zip(plans) {
        let kind = [Kind::Ok, Kind::Ok, Kind::Ok, Kind::Ok, Kind::Ok, Kind::Fail, Kind::Info, Kind::Info];
        let kind = *kind.choose(random).unwrap();
        let push = |kind: Kind, plan: &[Mop], ops: &mut Vec<Op>| {
            ops.push(Op::new(Process::Client(process), kind, F::Txn, Value::Txn(Box::new(plan.to_vec()))));
        };
        push(Kind::Invoke, &plan, &mut ops);
        let last = states.last().unwrap().clone();
        // Now and then an old state is read.
        let old = if random.random_bool(0.3) { states.choose(random).unwrap().clone() } else { last.clone() };
        let (mut seen, mut next) = (old, last);
        for mop in &mut plan {
            run(mop, &mut seen, kind == Kind::Ok, random.random_bool(0.05));
            run(&mut mop.clone(), &mut next, false, false);
        }
        push(kind, &plan, &mut ops);
        if kind == Kind::Ok || random.random_bool(0.4) {
            states.push(next);
        }
    }
    History::from_ops(ops).expect("a history")
}

fn run(mop: &mut Mop, state: &mut BTreeMap<i64, i64>, answers: bool, is_wrong: bool) {
    match (&*mop.f, &mop.key) {
        ("r", Key::Int(key)) if answers => mop.value = state.get(key).map_or(Value::Nil, |&value| Value::Int(value)),
        ("rp", Key::Str(predicate)) if answers => {
            let found = state.iter().filter(|(_, value)| finds(predicate, Some(**value))).skip(usize::from(is_wrong));
            let found = found.map(|(key, value)| (Value::str(&key.to_string()), Value::Int(*value)));
            mop.value = Value::Map(Box::new(found.collect()));
        }
        ("init" | "insert" | "w", Key::Int(key)) => drop(state.insert(*key, mop.value.as_int().unwrap())),
        ("delete", Key::Int(key)) => drop(state.remove(key)),
        _ => {}
    }
}

/// A version: who wrote it, what it is, whether it counts as committed, and its class (birth, write, death).
type Version = (u32, Option<i64>, bool, u8);

struct Twin {
    txns: Vec<Vec<Mop>>,
    /// Keys of which somebody, if only one who failed, was to initialize, insert or delete something.
    members: BTreeSet<i64>,
    ok_count: u32,
    edges: BTreeSet<String>,
    misses: usize,
}

impl Twin {
    fn of(history: &History) -> Twin {
        let txns = Txns::of(history);
        let carrier = |id: u32| if txns.is_ok(id) { txns.ended(id) } else { txns.invoked(id) };
        let mops = |id: u32| match &*history.value(carrier(id)) {
            Value::Txn(mops) => mops.to_vec(),
            other => panic!("{other:?}"),
        };
        let all = (0..txns.len() as u32).map(mops).collect();
        let asked = history.ops().flat_map(|op| match op.value {
            Value::Txn(mops) => *mops,
            other => panic!("{other:?}"),
        });
        let member = |mop: Mop| match mop.key {
            Key::Int(key) if matches!(&*mop.f, "init" | "insert" | "delete") => Some(key),
            _ => None,
        };
        let members = asked.filter_map(member).collect();
        let mut twin = Twin { txns: all, members, ok_count: txns.ok_count(), edges: BTreeSet::new(), misses: 0 };
        for key in 0..KEYS {
            let versions = twin.versions(key);
            let mut order: Vec<Version> = versions.iter().copied().filter(|version| version.2).collect();
            order.sort_by_key(|version| version.3);
            if order.windows(2).any(|pair| pair[0].3 == pair[1].3) {
                continue;
            }
            let maybe: Vec<Version> = versions.into_iter().filter(|version| !version.2).collect();
            twin.key(key, &order, &maybe);
        }
        twin
    }

    fn mop_of(mop: &Mop, key: i64) -> Option<Option<i64>> {
        let is_write = mop.key == Key::Int(key) && &*mop.f != "r";
        is_write.then(|| mop.value.as_int())
    }

    fn versions(&self, key: i64) -> Vec<Version> {
        let of_others = |mops: &[Mop]| {
            let own = mops.iter().position(|mop| Twin::mop_of(mop, key).is_some());
            mops[..own.unwrap_or(mops.len())].to_vec()
        };
        let of_ok = self.txns[..self.ok_count as usize].iter().enumerate();
        let reads: Vec<(u32, Mop)> =
            of_ok.flat_map(|(id, mops)| of_others(mops).into_iter().map(move |mop| (id as u32, mop))).collect();
        // Who read this value.
        let readers = |value: Option<i64>| {
            let reads = reads.iter().filter(move |(_, mop)| match &mop.value {
                Value::Int(found) => &*mop.f == "r" && mop.key == Key::Int(key) && Some(*found) == value,
                Value::Map(_) => Twin::found(mop, key).is_some_and(|found| Some(found) == value),
                _ => false,
            });
            reads.map(|(id, _)| *id).collect::<Vec<u32>>()
        };
        let mut all = Vec::new();
        for (id, mops) in (0..).zip(&self.txns) {
            let own: Vec<&Mop> = mops.iter().filter(|mop| Twin::mop_of(mop, key).is_some()).collect();
            let Some(last) = own.last().and_then(|mop| Twin::mop_of(mop, key)) else { continue };
            let is_birth = own.iter().any(|mop| matches!(&*mop.f, "init" | "insert"));
            let class = if is_birth { 0 } else { 1 + u8::from(last.is_none()) };
            all.push((id, last, id < self.ok_count, class));
        }
        let left = all.clone();
        for version in all.iter_mut().filter(|version| version.1.is_some()) {
            let is_other =
                |other: &Version, reader: u32| other.1 == version.1 && ![version.0, reader].contains(&other.0);
            version.2 |= readers(version.1).into_iter().any(|reader| !left.iter().any(|other| is_other(other, reader)));
        }
        all
    }

    fn found(mop: &Mop, key: i64) -> Option<i64> {
        let Value::Map(found) = &mop.value else { return None };
        found.iter().find(|(name, _)| name.to_string() == key.to_string()).and_then(|(_, value)| value.as_int())
    }

    fn key(&mut self, key: i64, order: &[Version], maybe: &[Version]) {
        let is_of = |mop: &Mop| mop.key == Key::Int(key);
        let is_member = self.members.contains(&key);
        let is_initial = order
            .first()
            .is_some_and(|first| self.txns[first.0 as usize].iter().any(|mop| is_of(mop) && &*mop.f == "init"));
        let mut edges = BTreeSet::new();
        let mut misses = 0;
        if is_member {
            edges.extend(order.windows(2).map(|pair| format!("{} ww {}", pair[0].0, pair[1].0)));
        }
        let value = |place: usize| if place == 0 { None } else { order[place - 1].1 };
        for id in 0..self.ok_count {
            let mops = &self.txns[id as usize];
            for (at, mop) in mops.iter().enumerate() {
                let own = mops[..at].iter().rev().find_map(|mop| Twin::mop_of(mop, key));
                let (predicate, found) = match (&*mop.f, &mop.key) {
                    ("rp", Key::Str(predicate)) => (Some(&**predicate), Twin::found(mop, key)),
                    ("r", _) if is_of(mop) && is_member => (None, mop.value.as_int()),
                    _ => continue,
                };
                if let Some(own) = own {
                    let expected = own.filter(|_| predicate.is_none_or(|predicate| finds(predicate, own)));
                    misses += usize::from(predicate.is_some() && expected != found);
                    continue;
                }
                // A value is read as it is; what is left out is anything that is not found.
                let left_out = predicate.filter(|_| found.is_none());
                let fits = |value: Option<i64>| match left_out {
                    Some(predicate) => !finds(predicate, value),
                    None => value == found,
                };
                if maybe.iter().any(|version| fits(version.1)) {
                    continue;
                }
                let is_mine = |place: usize| place > 0 && order[place - 1].0 == id;
                let mut places: Vec<usize> = (usize::from(is_initial)..=order.len())
                    .filter(|&place| fits(value(place)) && !is_mine(place))
                    .collect();
                if places.is_empty() && fits(None) {
                    places.push(0);
                }
                // What each place says: the version that was read, the version that comes after.
                let answer = |place: usize| left_out.is_some_and(|predicate| finds(predicate, value(place)));
                let says = |place: usize| match left_out {
                    None => (Some(place).filter(|&place| place > 0), Some(place + 1)),
                    Some(_) => {
                        let read = (1..=place).rev().find(|&place| answer(place) != (place > 1 && answer(place - 1)));
                        (read, (place + 1..=order.len()).find(|&next| answer(next)))
                    }
                };
                let said: Vec<_> = places.into_iter().map(says).collect();
                let (read, after) = if left_out.is_some() { ("wrp", "rwp") } else { ("wr", "rw") };
                if let Some(Some(first)) = said.iter().map(|said| said.0).min() {
                    edges.insert(format!("{} {read} {id}", order[first - 1].0));
                }
                let is_all = said.iter().all(|said| said.1.is_some_and(|place| place <= order.len()));
                if let Some(Some(last)) = said.iter().map(|said| said.1).max().filter(|_| is_all) {
                    edges.insert(format!("{id} {after} {}", order[last - 1].0));
                }
            }
        }
        let is_self = |edge: &String| edge.split(' ').next() == edge.split(' ').next_back();
        self.edges.extend(edges.into_iter().filter(|edge| !is_self(edge)));
        self.misses += misses;
    }
}

/// Says what differs.
fn compare(history: &History, mutation: Mutation) -> Result<usize, String> {
    let txns = Txns::of(history);
    let found = infer_with(&txns, &mut Meter::new(&Budget::default()), mutation);
    let twin = Twin::of(history);
    let edges: BTreeSet<String> =
        found.edges.iter().map(|edge| format!("{} {} {}", edge.from, edge.kind.as_str(), edge.to)).collect();
    if edges != twin.edges {
        return Err(format!("found {edges:?}, wanted {:?}", twin.edges));
    }
    let misses = found.anomalies.iter().filter(|anomaly| anomaly.kind == "predicate-read-miss").count();
    if misses != twin.misses.min(8) {
        return Err(format!("{misses} misses, wanted {}", twin.misses));
    }
    Ok(edges.len())
}

#[test]
fn all_is_as_defined() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..20_000 {
        let history = history(&mut random);
        if let Err(why) = compare(&history, Mutation::default()) {
            panic!("round {round}: {why}\n{}", notation::write(&history));
        }
        for edge in Twin::of(&history).edges {
            *kinds.entry(edge.split(' ').nth(1).unwrap().to_owned()).or_default() += 1;
        }
    }
    assert!(kinds.len() == 5 && kinds.values().all(|&count| count > 1_000), "{kinds:?}");
}

/// The code that verifies dependencies says yes to those that there are, with their reasons, and to no others.
#[test]
fn dependencies_are_verified_and_no_others() {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut verified = 0;
    for round in 0..600 {
        let history = history(&mut random);
        let txns = Txns::of(&history);
        let found = infer_with(&txns, &mut Meter::new(&Budget::default()), Mutation::default());
        let ends = |from: u32, to: u32| [txns.invoked(from), txns.invoked(to)];
        for edge in &found.edges {
            let reason = found.reason(*edge).expect("a reason");
            let is_right = is_there(&history, ends(edge.from, edge.to), &reason);
            assert!(is_right, "round {round}: {edge:?} {reason:?}\n{}", notation::write(&history));
            // Elsewhere, of something else or of another object it is none.
            for tampered in tampered(&reason) {
                let is_wrong = is_there(&history, ends(edge.from, edge.to), &tampered);
                assert!(!is_wrong, "round {round}: {edge:?} {tampered:?}\n{}", notation::write(&history));
            }
            verified += 1;
        }
        let all: BTreeSet<String> =
            found.edges.iter().map(|edge| format!("{} {} {}", edge.from, edge.kind.as_str(), edge.to)).collect();
        let mut named = BTreeSet::new();
        for (from, to) in (0..txns.len() as u32).flat_map(|from| (0..txns.len() as u32).map(move |to| (from, to))) {
            for kind in ["ww", "wr", "rw", "wrp", "rwp", "wwp"] {
                for key in (0..KEYS).filter(|_| from != to) {
                    let key = Some(key.to_string());
                    let because = Dependency { kind: kind.to_owned(), key, ..Dependency::default() };
                    if is_there(&history, ends(from, to), &because) {
                        named.insert(format!("{from} {kind} {to}"));
                    }
                }
            }
        }
        assert_eq!(named, all, "round {round}: {}", notation::write(&history));
    }
    assert!(verified > 1_000, "{verified}");
}

/// A reason with something in it that is wrong.
fn tampered(reason: &Dependency) -> Vec<Dependency> {
    let with = |change: &dyn Fn(&mut Dependency)| {
        let mut other = reason.clone();
        change(&mut other);
        other
    };
    vec![
        with(&|other| other.key = Some("9".to_owned())),
        with(&|other| other.key = None),
        with(&|other| other.from_micro = other.from_micro.map(|place| place + 9)),
        with(&|other| other.to_micro = other.to_micro.map(|place| place + 9)),
        with(&|other| other.before = Some("77".to_owned())),
        with(&|other| other.after = Some("77".to_owned())),
        with(&|other| other.kind = "wwp".to_owned()),
    ]
}

#[test]
fn every_mutant_is_noticed() {
    use Mutant::*;
    let mutants = [
        BirthForgotten,
        InitForgotten,
        OverwriteOfFirst,
        ReadOfLast,
        MaybeForgotten,
        DoubtNeverSeen,
        OwnCounts,
        AnyoneCounts,
        OwnIsSeen,
        OwnIdle,
        EveryVersionTold,
    ];
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let histories: Vec<History> = (0..10_000).map(|_| history(&mut random)).collect();
    let is_noticed = |mutant: &Mutant| {
        let mutation = Mutation { mutant: Some(*mutant) };
        histories.iter().any(|history| compare(history, mutation).is_err())
    };
    let survivors: Vec<Mutant> = mutants.into_iter().filter(|mutant| !is_noticed(mutant)).collect();
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}
