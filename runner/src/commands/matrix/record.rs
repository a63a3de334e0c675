//! What a matrix keeps: `matrix.json` in its folder, written anew after each run, so that an end at any time leaves what is done.

use std::collections::BTreeMap;
use std::path::Path;

use schism_checkers::Outcome;
use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::expect::{self, Expectation, Standing};
use crate::error::RunnerError;
use crate::exit::Exit;
use crate::run_dir::write_whole;

/// Version of `matrix.json`.
pub const SCHEMA_VERSION: u32 = 1;

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct CellEnd {
    /// As a command.
    pub exit: Exit,
    /// Its verdict, if it has one.
    pub outcome: Option<Outcome>,
    /// Kinds of anomaly by checker.
    pub anomalies: BTreeMap<String, Vec<String>>,
    /// Whether its cleanup is proven.
    pub cleanup_is_proven: bool,
    /// Whether its load was stopped before its time.
    pub was_interrupted: bool,
    /// Faults that were tried.
    pub faults_tried: u64,
    /// Faults that were seen to take effect.
    pub faults_landed: u64,
    /// How long it took, with building and taking down, milliseconds.
    pub duration_ms: u64,
    /// Its folder, seen from that of the matrix.
    pub run: Option<String>,
    /// The last that it said, where it has no verdict.
    pub message: Option<String>,
}

impl Default for CellEnd {
    fn default() -> CellEnd {
        CellEnd {
            exit: Exit::Internal,
            outcome: None,
            anomalies: BTreeMap::new(),
            cleanup_is_proven: true,
            was_interrupted: false,
            faults_tried: 0,
            faults_landed: 0,
            duration_ms: 0,
            run: None,
            message: None,
        }
    }
}

/// The same in `matrix.json`.
#[derive(Serialize, Deserialize)]
struct EndWritten {
    exit: i32,
    valid: Option<serde_json::Value>,
    anomaly_types: BTreeMap<String, Vec<String>>,
    cleanup_is_proven: bool,
    was_interrupted: bool,
    faults_tried: u64,
    faults_landed: u64,
    duration_ms: u64,
    run: Option<String>,
    message: Option<String>,
}

impl Serialize for CellEnd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let end = self.clone();
        let written = EndWritten {
            exit: i32::from(end.exit.code()),
            valid: end.outcome.map(Outcome::to_json),
            anomaly_types: end.anomalies,
            cleanup_is_proven: end.cleanup_is_proven,
            was_interrupted: end.was_interrupted,
            faults_tried: end.faults_tried,
            faults_landed: end.faults_landed,
            duration_ms: end.duration_ms,
            run: end.run,
            message: end.message,
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CellEnd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<CellEnd, D::Error> {
        let written = EndWritten::deserialize(deserializer)?;
        let all = [Outcome::Valid, Outcome::Unknown, Outcome::Invalid];
        let outcome = |json: serde_json::Value| all.into_iter().find(|outcome| outcome.to_json() == json);
        Ok(CellEnd {
            exit: Exit::from_code(Some(written.exit)),
            outcome: written.valid.and_then(outcome),
            anomalies: written.anomaly_types,
            cleanup_is_proven: written.cleanup_is_proven,
            was_interrupted: written.was_interrupted,
            faults_tried: written.faults_tried,
            faults_landed: written.faults_landed,
            duration_ms: written.duration_ms,
            run: written.run,
            message: written.message,
        })
    }
}

/// A run, what is expected of it, and how it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The run.
    #[serde(flatten)]
    pub cell: Cell,
    /// What is expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expectation>,
    /// How it ended; absent where it was not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<CellEnd>,
}

impl Row {
    /// How it counts. A run that was not begun was interrupted before there was a verdict.
    pub fn judged(&self) -> (Exit, Standing, Option<String>) {
        match &self.end {
            Some(end) => expect::judge(end, self.expected.as_ref()),
            None => (Exit::Interrupted, Standing::AsItEnded, Some("not run".to_owned())),
        }
    }
}

/// A matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// Version of this form.
    pub schema_version: u32,
    /// Version of schism.
    pub schism_version: String,
    /// When it began, UTC, RFC 3339.
    pub started_utc: String,
    /// Its runs, in order.
    pub runs: Vec<Row>,
}

impl Matrix {
    /// The exit of all: the worst.
    pub fn exit(&self) -> Exit {
        self.runs.iter().map(|row| row.judged().0).fold(Exit::Valid, Exit::worst)
    }

    /// As JSON: each run with how it counts, and the exit of all.
    ///
    /// # Errors
    /// When it has no JSON, which would be a defect.
    pub fn to_json(&self) -> Result<String, RunnerError> {
        let internal = |error: serde_json::Error| RunnerError::Internal(format!("a matrix has no JSON: {error}"));
        let mut json = serde_json::to_value(self).map_err(internal)?;
        if let Some(runs) = json["runs"].as_array_mut() {
            for (written, row) in runs.iter_mut().zip(&self.runs) {
                let (exit, standing, text) = row.judged();
                let standing = match standing {
                    Standing::AsItEnded => "as-it-ended",
                    Standing::Expected => "expected",
                    Standing::Unexpected => "unexpected",
                };
                written["counts_as"] = serde_json::json!({"exit": exit.code(), "standing": standing, "text": text});
            }
        }
        json["exit"] = self.exit().code().into();
        let mut text = serde_json::to_string_pretty(&json).map_err(internal)?;
        text.push('\n');
        Ok(text)
    }

    /// Writes `matrix.json`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), RunnerError> {
        write_whole(&folder.join("matrix.json"), self.to_json()?.as_bytes())
    }

    /// Reads `matrix.json`. What was interrupted counts as not run, though it may have a verdict of what there was.
    ///
    /// # Errors
    /// When it is not there, or of another version or form.
    pub fn read(folder: &Path) -> Result<Matrix, RunnerError> {
        let path = folder.join("matrix.json");
        let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                RunnerError::Usage(format!("{} is no folder of a matrix: it has no matrix.json", folder.display()))
            }
            _ => RunnerError::read(&path, error),
        })?;
        let malformed = |reason: String| RunnerError::Malformed { path: path.clone(), reason };
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        if json["schema_version"] != SCHEMA_VERSION {
            return Err(malformed(format!(
                "its schema_version is {}, this schism knows {SCHEMA_VERSION}; use the version of schism that made it",
                json["schema_version"]
            )));
        }
        let mut matrix: Matrix = serde_json::from_value(json).map_err(|error| malformed(error.to_string()))?;
        for row in &mut matrix.runs {
            row.end = row.end.take().filter(|end| end.exit != Exit::Interrupted && !end.was_interrupted);
        }
        Ok(matrix)
    }
}
