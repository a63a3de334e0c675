//! Telling: from a history, the facts of its run and a verdict to a terminal summary, a page, plots and JUnit. Pure:
//! returns text; who asked writes the file. Never judges.
//!
//! - [`terminal::summary`]: a short summary for a terminal.
//! - [`junit::junit`]: `junit.xml`, a test case per checker.
//! - [`html::page`]: `report.html`, one self-contained file.
//! - [`matrix`]: the page and JUnit of a matrix of runs.
//! - [`github`]: an annotation and a step summary for GitHub Actions.
//! - [`sentence`], [`phrase`], [`words`]: prose from data, shared by all of them.
//! - [`figures`]: rates, quantiles and availability, computed from the history.

pub mod figures;
pub mod github;
pub mod html;
pub mod junit;
pub mod matrix;
pub mod phrase;
pub mod sentence;
pub mod terminal;
pub mod words;

use schism_checkers::Verdict;
use schism_history::{History, RunFacts};

/// What a report says of the run beside its history. Everything here is text or figures that the run folder holds.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct RunInfo {
    /// Name of the suite (`etcd/register`), or of the file that was checked.
    pub suite: String,
    /// The workload and its options, in a line.
    pub workload: String,
    /// The database (`etcd`).
    pub database: String,
    /// What it says of its version.
    pub database_version: String,
    /// Node names and addresses.
    pub nodes: Vec<(String, String)>,
    /// Where the nodes lived (`namespaces`, `machines`).
    pub ground: String,
    /// The seed.
    pub seed: u64,
    /// The command that repeats the run.
    pub repeat_command: String,
    /// The stretches of its schedule, where it has such.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PlannedPhase>,
    /// Which sequence of faults the run went through, in words, where its schedule is systematic.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sequence: String,
    /// When the run began, UTC, RFC 3339.
    pub started_utc: String,
    /// Client workers.
    pub concurrency: u32,
    /// Version of schism.
    pub schism_version: String,
    /// Further facts of the environment (kernel, processors, memory), in order.
    pub environment: Vec<(String, String)>,
    /// Classes of fault that were asked for as part of all and that the ground cannot do, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<(String, String)>,
    /// What could not be cleaned up, a line each.
    pub cleanup_trouble: Vec<String>,
    /// Name of the run folder.
    pub run: String,
}

/// A stretch of a schedule, as it was planned.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct PlannedPhase {
    /// Its name.
    pub name: String,
    /// Whether nothing was to be harmed in it.
    pub quiet: bool,
    /// When it begins, milliseconds since the start of the run.
    pub start_ms: u64,
    /// When it ends.
    pub end_ms: u64,
}

/// Everything there is to tell.
#[derive(Clone, Copy)]
pub struct Story<'a> {
    /// The run.
    pub info: &'a RunInfo,
    /// What happened.
    pub history: &'a History,
    /// What was done to the cluster.
    pub facts: &'a RunFacts,
    /// What was found.
    pub verdict: &'a Verdict,
}
