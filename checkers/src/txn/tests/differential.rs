//! The checkers against brute force, on many small histories: what they rule out is broken, what they say is possible
//! holds, each level's verdict is right, and every witness is verified again.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schism_history::{History, RunFacts, notation};

use super::generate::Data;
use super::orders::{Column, LEVELS, Level as Oracle, judge};
use super::plain::Plain;
use super::small::small;
use crate::txn::checker::{Data as Checked, TxnChecker};
use crate::txn::levels::Level;
use crate::txn::rw_register::VersionSources;
use crate::txn::verify::verify;
use crate::verdict::{Finding, Outcome};
use crate::{Budget, Checker, Witness};

/// Levels that are ruled out by what is found, and possible only if a stronger one is: no engine decides them.
const SEARCHED_BY_NOBODY: &[Level] = &[Level::Linearizable, Level::Sequential];

/// How many times as many rounds: `SCHISM_TEST_LONG` asks for twenty.
pub fn long_factor() -> usize {
    if std::env::var_os("SCHISM_TEST_LONG").is_some() { 20 } else { 1 }
}

/// The checker's level of each of brute force, where it has one.
pub fn levels() -> Vec<(Oracle, Level)> {
    LEVELS.iter().filter_map(|&(level, name)| Some((level, Level::parse(name)?))).collect()
}

/// Checks a history at a level.
pub fn check(history: &History, data: Data, level: Level) -> Finding {
    let data = if data == Data::Lists { Checked::ListAppend } else { Checked::RwRegister };
    let checker = TxnChecker { data, level, sources: VersionSources::default() };
    checker.check(history, &RunFacts::default(), &Budget::default())
}

fn named(finding: &Finding, stat: &str, field: Option<&str>) -> Vec<Level> {
    let all = finding.stats.get(stat).and_then(|value| value.as_array()).cloned().unwrap_or_default();
    let name = |value: &serde_json::Value| {
        let text = field.map_or(value, |field| &value[field]);
        Level::parse(text.as_str().expect("a level's name")).expect("a level")
    };
    all.iter().map(name).collect()
}

/// What a finding says of all levels is not the opposite of what brute force says. How many it leaves open.
pub fn line_is_right(history: &History, column: &Column, finding: &Finding) -> usize {
    let possible = named(finding, "strongest_possible", None);
    let ruled_out = named(finding, "weakest_ruled_out", Some("consistency"));
    let mut open = 0;
    for (oracle, level) in levels() {
        let Some(holds) = column.get(oracle) else { continue };
        let is_possible = possible.iter().any(|strong| strong.implies(level));
        let is_ruled_out = ruled_out.iter().any(|&weak| level.implies(weak));
        let wrong = is_possible && !holds || is_ruled_out && holds;
        let said = if is_possible { "possible" } else { "ruled out" };
        assert!(!wrong, "{level} is said to be {said}: {}\n{finding:#?}", notation::write(history));
        open += usize::from(!is_possible && !is_ruled_out);
    }
    open
}

/// Kinds whose witnesses no separate code verifies yet: the guarantees of sessions, whose derivations rest on rules of their
/// own, and single operations of whole transactions.
const NOT_VERIFIED: &[&str] = &[
    "not-read-your-writes",
    "not-monotonic-reads",
    "not-monotonic-writes",
    "not-writes-follow-reads",
    "not-pram",
    "not-causal",
    "not-pipelined-ram",
    "not-causal-memory",
    "not-linearizable",
    "internal",
];

/// Every witness is verified again.
pub fn witnesses_are_right(history: &History, data: Data, finding: &Finding) -> usize {
    let all = || finding.anomalies.iter().chain(&finding.beyond);
    // Where reads contradict each other, both sides take another part of the order for certain.
    let is_torn = all().any(|anomaly| matches!(anomaly.kind.as_str(), "incompatible-order" | "duplicate-elements"));
    for anomaly in all() {
        // The separate code takes less of the order of lists for certain than the engine does (`verified.rs` compares examples).
        if data == Data::Lists {
            continue;
        }
        if is_torn && matches!(anomaly.witness, Witness::Cycle { .. } | Witness::NoCommitOrder { .. }) {
            continue;
        }
        if NOT_VERIFIED.contains(&anomaly.kind.as_str()) {
            continue;
        }
        if let Err(wrong) = verify(history, anomaly) {
            panic!("{}: {wrong}: {}\n{anomaly:#?}", anomaly.kind, notation::write(history));
        }
    }
    finding.anomalies.len() + finding.beyond.len()
}

/// Levels that forbid little more than dirty writes.
const SELDOM_BROKEN: &[Level] =
    &[Level::ReadUncommitted, Level::StrongSessionReadUncommitted, Level::StrongReadUncommitted];

/// Compares on so many histories. A level may be left open in so many of a hundred; of both verdicts each level has so many
/// of a hundred.
fn agrees(data: Data, (seed, rounds): (u64, usize), open_percent: usize, least_percent: usize) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let levels = levels();
    // By level: how often it was broken, held, and was left open.
    let mut told = vec![[0usize; 3]; levels.len()];
    let mut witnesses = 0;
    for round in 0..rounds * long_factor() {
        let history = small(&mut random, data, if round % 8 == 0 { 6 } else { 5 });
        let Some(column) = judge(&Plain::of(&history)) else { continue };
        // The level that lacks this verdict most.
        let lacks = |place: &usize| {
            let [broken, held, open] = told[*place];
            match column.get(levels[*place].0) {
                Some(true) => (held > 2 * broken + 2, broken + held + open),
                Some(false) => (broken > 2 * held + 2, broken + held + open),
                None => (true, usize::MAX),
            }
        };
        let place = (0..levels.len()).min_by_key(lacks).expect("there are levels");
        let (oracle, level) = levels[place];
        let Some(holds) = column.get(oracle) else { continue };
        let finding = check(&history, data, level);
        line_is_right(&history, &column, &finding);
        witnesses += witnesses_are_right(&history, data, &finding);
        let outcome = finding.outcome();
        let right =
            matches!((outcome, holds), (Outcome::Valid, true) | (Outcome::Invalid, false) | (Outcome::Unknown, _));
        assert!(right, "{level} is {outcome:?}: {}\n{finding:#?}", notation::write(&history));
        told[place][if outcome == Outcome::Unknown { 2 } else { usize::from(holds) }] += 1;
    }
    for ([broken, held, open], (_, level)) in told.iter().zip(&levels) {
        println!("{level}: {broken} broken, {held} held, {open} open");
    }
    for ([broken, held, open], (_, level)) in told.iter().zip(&levels) {
        let decided = broken + held;
        // Chance seldom breaks a weak level of lists, and never one that forbids no more than dirty writes of registers.
        let least_percent = if SELDOM_BROKEN.contains(level) { 0 } else { least_percent };
        let is_enough = |count: usize| count * 100 >= decided * least_percent;
        assert!(is_enough(*broken) && is_enough(*held), "{level}: {broken} broken, {held} held");
        let limit = if SEARCHED_BY_NOBODY.contains(level) { 100 } else { open_percent };
        assert!(open * 100 <= (decided + open) * limit, "{level}: {open} open of {}", decided + open);
    }
    assert!(witnesses > rounds / 2, "{witnesses} witnesses");
}

#[test]
fn lists_are_judged_as_by_brute_force() {
    agrees(Data::Lists, (61, 6_000), 20, 15);
}

#[test]
fn registers_are_judged_as_by_brute_force() {
    agrees(Data::Registers, (62, 6_000), 20, 30);
}

#[test]
fn the_literature_is_judged_as_by_brute_force() {
    for example in super::literature::examples() {
        let history = notation::parse(example.history).expect("it was read by another test");
        let data = if example.history.contains("append") { Data::Lists } else { Data::Registers };
        let column = judge(&Plain::of(&history)).expect("it is small");
        for (oracle, level) in levels() {
            let finding = check(&history, data, level);
            line_is_right(&history, &column, &finding);
            witnesses_are_right(&history, data, &finding);
            let said = match finding.outcome() {
                Outcome::Valid => Some(true),
                Outcome::Invalid => Some(false),
                Outcome::Unknown => None,
            };
            let Some(holds) = column.get(oracle) else { continue };
            assert!(said.is_none_or(|said| said == holds), "{}: {level} is {said:?}\n{finding:#?}", example.name);
        }
    }
}
