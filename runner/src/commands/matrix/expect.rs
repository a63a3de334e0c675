//! What is expected to be found: `--expect FILE`.
//!
//! A YAML list. An entry says of which runs it speaks (suite, and as far as it says workload, faults, seeds, sequences), what they
//! must end with (`verdict`, and for `invalid` as far as it says the checker and the anomalies), and why. The first entry
//! that speaks of a run counts. What is expected passes; what is expected and missing, or found beside it, is a failure.
//! What has no verdict, or was cut short before it showed anything, stays what it is; cleanup that is not proven stays told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schism_checkers::AnomalyKind;
use schism_checkers::Outcome;
use schism_checkers::table::CHECKERS;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::cell::Cell;
use super::numbers::NumberSet;
use super::record::CellEnd;
use crate::error::RunnerError;
use crate::exit::Exit;
use crate::request::unknown;
use crate::suite::{self, SuiteError};

/// What some runs are expected to end with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Of which suite.
    pub suite: String,
    /// Only with this workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// Only with these faults, in any order: a list of classes, or the words `all` or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<FaultNames>,
    /// Only with these seeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<NumberSet>,
    /// Only these sequences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<NumberSet>,
    /// The verdict.
    pub verdict: ExpectedVerdict,
    /// The checker that finds it; no other may find anything then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checker: Option<String>,
    /// The kinds of anomaly, each of which must be found; no other may be found then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<String>,
    /// Why that is expected.
    pub reason: String,
}

/// `kill,pause`, or a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FaultNames(Vec<String>);

impl FaultNames {
    fn names(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

impl<'de> Deserialize<'de> for FaultNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FaultNames, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = FaultNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names of faults: a list, a text with commas, all or none")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FaultNames, E> {
                Ok(FaultNames(text.split(',').map(|name| name.trim().to_owned()).collect()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<FaultNames, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element::<String>()? {
                    names.push(name);
                }
                Ok(FaultNames(names))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// How a run is expected to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpectedVerdict {
    /// Valid.
    Valid,
    /// Invalid.
    Invalid,
    /// Unknown.
    Unknown,
}

impl ExpectedVerdict {
    fn outcome(self) -> Outcome {
        match self {
            ExpectedVerdict::Valid => Outcome::Valid,
            ExpectedVerdict::Invalid => Outcome::Invalid,
            ExpectedVerdict::Unknown => Outcome::Unknown,
        }
    }
}

impl fmt::Display for ExpectedVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(self.outcome()))
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Valid => "valid",
        Outcome::Invalid => "invalid",
        Outcome::Unknown => "unknown",
    }
}

/// Reads a file of expectations.
///
/// # Errors
/// The first thing that is wrong, with its place or the number of its entry.
pub fn parse(file: &str, yaml: &str) -> Result<Vec<Expectation>, RunnerError> {
    let all: Vec<Expectation> = suite::parse_yaml(file, yaml)?;
    for (place, one) in all.iter().enumerate() {
        let wrong = |message: String| {
            let message = format!("entry {}: {message}", place + 1);
            RunnerError::Suite(SuiteError { file: file.to_owned(), position: None, message, hint: None })
        };
        check(one).map_err(wrong)?;
    }
    Ok(all)
}

fn check(one: &Expectation) -> Result<(), String> {
    let checkers = || CHECKERS.iter().map(|entry| entry.name);
    if let Some(name) = one.checker.as_deref().filter(|name| !checkers().any(|known| known == *name)) {
        return Err(unknown("checker", name, checkers()));
    }
    let kinds = || AnomalyKind::ALL.iter().map(|kind| kind.as_str());
    if let Some(kind) = one.anomalies.iter().find(|kind| !kinds().any(|known| known == kind.as_str())) {
        return Err(unknown("anomaly", kind, kinds()));
    }
    if let Some(name) = &one.workload
        && !schism_workloads::WORKLOADS.iter().any(|entry| entry.name == name)
    {
        return Err(unknown("workload", name, schism_workloads::WORKLOADS.iter().map(|entry| entry.name)));
    }
    let classes = || schism_nemesis::FAULTS.iter().map(|entry| entry.name).chain(["all", "none"]);
    for name in one.faults.iter().flat_map(FaultNames::names) {
        if !classes().any(|known| known == name) {
            return Err(unknown("fault", name, classes()));
        }
    }
    if one.verdict != ExpectedVerdict::Invalid && (one.checker.is_some() || !one.anomalies.is_empty()) {
        return Err("`checker` and `anomalies` go with `verdict: invalid`".to_owned());
    }
    if one.reason.trim().is_empty() {
        return Err("`reason` is empty; say why that is expected".to_owned());
    }
    Ok(())
}

impl Expectation {
    /// Whether it speaks of this run.
    pub fn is_of(&self, cell: &Cell) -> bool {
        let faults = |told: &FaultNames| match told.names()[..] {
            ["all"] => cell.faults_asked.as_deref() == Some("all"),
            ["none"] => cell.faults.is_empty(),
            _ => {
                let told: BTreeSet<&str> = told.names().into_iter().collect();
                told == cell.faults.iter().map(String::as_str).collect()
            }
        };
        let among = |numbers: &NumberSet, number: u64| numbers.numbers().contains(&number);
        self.suite == cell.suite
            && self.workload.as_ref().is_none_or(|told| *told == cell.workload)
            && self.faults.as_ref().is_none_or(faults)
            && self.seed.as_ref().is_none_or(|told| among(told, cell.seed))
            && self.sequence.as_ref().is_none_or(|told| cell.sequence.is_some_and(|number| among(told, number)))
    }
}

/// For each run what is expected of it, and lines about entries that speak of other suites than those of the matrix.
///
/// # Errors
/// When an entry names a suite that is nowhere, or speaks of none of the runs though its suite is among them.
pub fn of_cells(
    file: &str,
    all: &[Expectation],
    cells: &[Cell],
) -> Result<(Vec<Option<Expectation>>, Vec<String>), RunnerError> {
    let mut notes = Vec::new();
    for (place, one) in all.iter().enumerate() {
        let entry = format!("entry {} ({})", place + 1, one.suite);
        if !cells.iter().any(|cell| cell.suite == one.suite) {
            suite::find(&one.suite).map_err(|error| {
                RunnerError::Suite(SuiteError {
                    file: file.to_owned(),
                    message: format!("{entry}: {}", error.message),
                    hint: error
                        .hint
                        .or_else(|| suite::nearest(&one.suite, cells.iter().map(|cell| cell.suite.as_str()))),
                    position: None,
                })
            })?;
            notes.push(format!("{file}: {entry}: the suite is not in this matrix"));
        } else if !cells.iter().any(|cell| one.is_of(cell)) {
            return Err(RunnerError::Usage(format!(
                "{file}: {entry} speaks of no run of this matrix: workload, faults, seed or sequence are others; `--dry-run` shows the runs"
            )));
        }
    }
    let expected = cells.iter().map(|cell| all.iter().find(|one| one.is_of(cell)).cloned());
    Ok((expected.collect(), notes))
}

/// How a run counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was expected: as it ended.
    AsItEnded,
    /// As expected.
    Expected,
    /// Not as expected.
    Unexpected,
}

/// How a run counts: its exit in the matrix, and what there is to say of the expectation.
pub fn judge(end: &CellEnd, expected: Option<&Expectation>) -> (Exit, Standing, Option<String>) {
    let Some(expected) = expected else { return (end.exit, Standing::AsItEnded, None) };
    let outcome = match (end.exit, end.outcome) {
        (Exit::Valid | Exit::Anomaly | Exit::Unknown | Exit::CleanupNotProven, Some(outcome)) => outcome,
        // Without a verdict there is nothing to compare: that the nodes were not reachable, say, is what must be told.
        _ => return (end.exit, Standing::AsItEnded, None),
    };
    let missing = |text: String| match end.was_interrupted && outcome != Outcome::Invalid {
        // What was cut short may not have had the time to show it.
        true => (Exit::Interrupted, Standing::AsItEnded, None),
        false => (Exit::Anomaly, Standing::Unexpected, Some(text)),
    };
    if outcome != expected.verdict.outcome() {
        return missing(format!("expected {}, found {}: {}", expected.verdict, word(outcome), expected.reason));
    }
    if let Some(text) = difference(&end.anomalies, expected) {
        return missing(format!("{text}: {}", expected.reason));
    }
    let exit = if end.cleanup_is_proven { Exit::Valid } else { Exit::CleanupNotProven };
    (exit, Standing::Expected, Some(format!("expected: {}", expected.reason)))
}

/// What was found otherwise than expected.
fn difference(found: &BTreeMap<String, Vec<String>>, expected: &Expectation) -> Option<String> {
    if let Some(checker) = &expected.checker {
        if !found.contains_key(checker) {
            return Some(format!("`{checker}` was expected to find something, and did not"));
        }
        if let Some(other) = found.keys().find(|other| *other != checker) {
            return Some(format!("`{other}` found something that was not expected"));
        }
    }
    if expected.anomalies.is_empty() {
        return None;
    }
    let kinds: BTreeSet<&String> = found.values().flatten().collect();
    if let Some(kind) = expected.anomalies.iter().find(|kind| !kinds.contains(kind)) {
        return Some(format!("`{kind}` was expected, and not found"));
    }
    let other = kinds.into_iter().find(|kind| !expected.anomalies.contains(kind))?;
    Some(format!("`{other}` was found, and not expected"))
}

#[cfg(test)]
#[path = "expect_tests.rs"]
mod tests;
