//! Simulated databases of known levels, at sizes far beyond brute force: the checkers confirm the level that a store
//! keeps, rule out the next, and find what was planted, and nothing else.
//!
//! Ten thousand transactions; with `SCHISM_TEST_LONG` a million, of which each check tells its time and memory (then:
//! `--release -- --nocapture --test-threads 1`, as memory is the process').

mod gadgets;
#[path = "../../examples/txn_bench/generate.rs"]
mod generate;
#[path = "../../examples/linear_bench/measure.rs"]
#[allow(dead_code, reason = "it hashes too")]
mod measure;
mod peers;
mod planted;
mod stores;
mod verified;

use std::panic::{AssertUnwindSafe, catch_unwind};

use generate::Data;
use rayon::prelude::*;
use schism_checkers::txn::checker::{Data as Checked, TxnChecker};
use schism_checkers::txn::levels::{Level, LevelSet};
use schism_checkers::txn::rw_register::VersionSources;
use schism_checkers::{Budget, Checker, Finding};
use schism_history::{History, RunFacts};

/// What a check of a million transactions may take beside the history.
const BYTES_MAX: u64 = 6 << 30;
/// A check that takes longer is told in any case.
const SECONDS_TOLD: f64 = 3.0;

/// Whether long tests are asked for.
fn is_long() -> bool {
    std::env::var_os("SCHISM_TEST_LONG").is_some()
}

/// So many transactions has a history.
fn transactions() -> usize {
    if is_long() { 1_000_000 } else { 10_000 }
}

/// The checker's name of the data.
fn checked(data: Data) -> Checked {
    if data == Data::Lists { Checked::ListAppend } else { Checked::RwRegister }
}

/// Checks, with nothing known of the order of versions; of each kind that is found one witness is verified again.
fn check(name: &str, history: &History, data: Data, level: Level) -> Finding {
    let sources = VersionSources::default();
    check_by(name, history, &TxnChecker { data: checked(data), level, sources }, &Budget::default())
}

/// Checks with a checker and a budget.
#[allow(clippy::print_stderr, reason = "long tests tell what they cost")]
fn check_by(name: &str, history: &History, checker: &TxnChecker, budget: &Budget) -> Finding {
    let work = || checker.check(history, &RunFacts::default(), budget);
    let (finding, seconds, bytes) = measure::measured(work);
    if is_long() || seconds > SECONDS_TOLD {
        let (level, mib) = (checker.level, bytes >> 20);
        eprintln!("{name}: {level} {:?}, {seconds:.2} s, {mib} MiB, {}", finding.outcome(), finding.stats["steps"]);
    }
    assert!(bytes < BYTES_MAX, "{name}: {} MiB", bytes >> 20);
    let mut kinds: Vec<&str> = Vec::new();
    for anomaly in finding.anomalies.iter().chain(&finding.beyond) {
        if !kinds.contains(&anomaly.kind.as_str()) {
            kinds.push(&anomaly.kind);
            verified::agrees(history, anomaly).unwrap_or_else(|wrong| panic!("{name}: {wrong}: {anomaly:#?}"));
        }
    }
    finding
}

/// What is wrong, also where a check panicked: on a thread of a pool nobody would see why.
fn wrongs<T: Sync>(all: &[T], judge: impl Fn(&T) -> Vec<String> + Sync + Send) -> Vec<String> {
    let caught = |one: &T| {
        catch_unwind(AssertUnwindSafe(|| judge(one))).unwrap_or_else(|payload| {
            let text = payload.downcast_ref::<String>().cloned();
            vec![text.unwrap_or_else(|| "it panicked".to_owned())]
        })
    };
    // One after the other where memory is looked at.
    if is_long() { all.iter().flat_map(caught).collect() } else { all.par_iter().flat_map_iter(caught).collect() }
}

/// What a finding says of all models.
struct Line {
    possible: LevelSet,
    ruled_out: LevelSet,
}

impl Line {
    fn of(finding: &Finding) -> Line {
        let named = |stat: &str, field: Option<&str>| -> Vec<Level> {
            let all = finding.stats[stat].as_array().expect("a list");
            let name =
                |value: &serde_json::Value| field.map_or(value, |field| &value[field]).as_str().map(str::to_owned);
            all.iter().map(|value| name(value).and_then(|name| Level::parse(&name)).expect("a model")).collect()
        };
        let weakest = named("weakest_ruled_out", Some("consistency"));
        let is_ruled_out = |level: &&Level| weakest.iter().any(|&weak| level.implies(weak));
        Line {
            possible: LevelSet::of(&named("strongest_possible", None)).with_weaker(),
            ruled_out: Level::ALL.iter().filter(is_ruled_out).copied().collect(),
        }
    }
}

/// Names, to be told.
fn names(levels: LevelSet) -> Vec<&'static str> {
    levels.iter().map(Level::usual_name).collect()
}
