//! The checkers against brute force, on many small histories: what they rule out is broken, what they say is possible
//! holds, each level's verdict is right, and every witness is verified again.
//!
//! `SCHISM_TEST_LONG` asks for twenty times as many.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schism_history::{History, RunFacts, notation};

use super::dirty;
use super::generate::Data;
use super::orders::{Column, LEVELS, Level as Oracle, judge};
use super::plain::Plain;
use super::small::small;
use crate::txn::checker::{Data as Checked, TxnChecker};
use crate::txn::levels::Level;
use crate::txn::rw_register::VersionSources;
use crate::txn::verify::verify;
use crate::verdict::{Finding, Outcome};
use crate::{Budget, Checker};

/// Levels that are ruled out by what is found, and possible only if a stronger one is: no engine decides them.
const SEARCHED_BY_NOBODY: &[Level] = &[Level::Linearizable, Level::Sequential];

/// How many times as many rounds: `SCHISM_TEST_LONG` asks for twenty.
pub fn long_factor() -> usize {
    if std::env::var_os("SCHISM_TEST_LONG").is_some() { 20 } else { 1 }
}

/// Names of levels that are serializability by another way to say it, where no orders of versions are stated.
const ALSO: &[(Oracle, Level)] = &[
    (Oracle::Serializable, Level::ViewSerializable),
    (Oracle::Serializable, Level::OneCopySerializable),
    (Oracle::SessionSerializable, Level::SessionSerializable),
];

/// The checker's levels of each of brute force, where it has one.
pub fn levels() -> Vec<(Oracle, Level)> {
    let named = LEVELS.iter().filter_map(|&(level, name)| Some((level, Level::parse(name)?)));
    named.chain(ALSO.iter().copied()).collect()
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

/// What was wrong with witnesses, by kind: how often, and the first.
type Refused = BTreeMap<String, (usize, String)>;

/// Every witness is verified again.
pub fn witnesses_are_right(history: &History, finding: &Finding, refused: &mut Refused) -> usize {
    let all = || finding.anomalies.iter().chain(&finding.beyond);
    for anomaly in all() {
        if let Err(wrong) = verify(history, anomaly) {
            let first = || (0, format!("{wrong}: {}\n{anomaly:#?}", notation::write(history)));
            refused.entry(anomaly.kind.clone()).or_insert_with(first).0 += 1;
        }
    }
    all().count()
}

/// Levels of which there is nothing to break where no order of versions is known.
const NEVER_BROKEN: &[Level] =
    &[Level::ReadUncommitted, Level::StrongSessionReadUncommitted, Level::StrongReadUncommitted];

/// Levels of single operations of registers: of lists there is only what stronger ones say of them.
const MEMORIES: &[Level] = &[Level::PipelinedRam, Level::CausalMemory];

/// Levels that the axioms decide, whatever is known of the order of versions.
const BY_AXIOMS: &[Level] = &[
    Level::MonotonicAtomicView,
    Level::ReadAtomic,
    Level::CausalCerone,
    Level::AxiomaticReadCommitted,
    Level::AxiomaticReadAtomic,
    Level::AxiomaticCausal,
];

/// Compares on so many histories. A level may be left open in so many of a hundred; of both verdicts each level has so many
/// of a hundred.
fn agrees(data: Data, (seed, rounds): (u64, usize), open_percent: usize, least_percent: usize) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let levels = levels();
    // By level: how often it was broken, held, and was left open.
    let mut told = vec![[0usize; 3]; levels.len()];
    let mut witnesses = 0;
    let mut refused = Refused::new();
    for round in 0..rounds * long_factor() {
        let history = match round % 4 {
            0 if data == Data::Lists => dirty::lists(&mut random),
            1 => small(&mut random, data, 6),
            _ => small(&mut random, data, 5),
        };
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
        witnesses += witnesses_are_right(&history, &finding, &mut refused);
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
        let never = if data == Data::Registers { NEVER_BROKEN } else { MEMORIES };
        let is_never_broken = never.contains(level);
        let least_percent = if is_never_broken { 0 } else { least_percent };
        let is_enough = |count: usize| count * 100 >= decided * least_percent;
        assert!(is_enough(*broken) && is_enough(*held), "{level}: {broken} broken, {held} held");
        let limit = match level {
            level if SEARCHED_BY_NOBODY.contains(level) => 100,
            level if BY_AXIOMS.contains(level) => 3,
            _ => open_percent,
        };
        assert!(open * 100 <= (decided + open) * limit, "{level}: {open} open of {}", decided + open);
    }
    for (kind, (count, first)) in &refused {
        println!("{kind} refused {count} times: {first}");
    }
    assert!(refused.is_empty(), "of {witnesses} witnesses: {:?}", refused.keys());
    assert!(witnesses > rounds / 2, "{witnesses} witnesses");
}

#[test]
fn lists_are_judged_as_by_brute_force() {
    agrees(Data::Lists, (61, 5_000), 20, 30);
}

#[test]
fn registers_are_judged_as_by_brute_force() {
    agrees(Data::Registers, (62, 8_000), 20, 30);
}

#[test]
fn the_literature_is_judged_as_by_brute_force() {
    let mut refused = Refused::new();
    for example in super::literature::examples() {
        let history = notation::parse(example.history).expect("it was read by another test");
        let data = if example.history.contains("append") { Data::Lists } else { Data::Registers };
        let column = judge(&Plain::of(&history)).expect("it is small");
        for (oracle, level) in levels() {
            let finding = check(&history, data, level);
            line_is_right(&history, &column, &finding);
            witnesses_are_right(&history, &finding, &mut refused);
            let said = match finding.outcome() {
                Outcome::Valid => Some(true),
                Outcome::Invalid => Some(false),
                Outcome::Unknown => None,
            };
            let Some(holds) = column.get(oracle) else { continue };
            assert!(said.is_none_or(|said| said == holds), "{}: {level} is {said:?}\n{finding:#?}", example.name);
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}
