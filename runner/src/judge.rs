//! Judging and telling: from a run folder to verdict, page and JUnit. Repeatable: reads the folder, writes the folder.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use schism_checkers::Level;
use schism_checkers::table::{self, Options, TableError};
use schism_checkers::{Budget, Checker, Outcome, Verdict, check_all};
use schism_history::tail::Tail;
use schism_history::{History, Kind, RunFacts};
use schism_reports::{PlannedPhase, RunInfo, Story};
use schism_workloads::{Judge, Workload};

use crate::error::RunnerError;
use crate::exit::Exit;
use crate::later;
use crate::plan::Plan;
use crate::run_dir::{RunDir, write_whole};
use crate::suite::nearest;

/// A run as its folder tells it.
pub struct Record {
    /// What was to be done.
    pub plan: Plan,
    /// What a report says beside history and verdict.
    pub info: RunInfo,
    /// What happened.
    pub history: History,
    /// What was done to the cluster.
    pub facts: RunFacts,
}

/// What `run.json` holds.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct RunRecord {
    /// For the report.
    pub info: RunInfo,
    /// Whether the load was stopped before its time.
    pub interrupted: bool,
    /// How long the load ran, nanoseconds.
    pub load_ns: u64,
}

/// Reads a plan.
///
/// # Errors
/// When it cannot be read or is of another version.
pub fn read_plan(dir: &RunDir) -> Result<Plan, RunnerError> {
    let path = dir.plan();
    let text = std::fs::read_to_string(&path).map_err(|error| RunnerError::read(&path, error))?;
    let malformed = |reason: String| RunnerError::Malformed { path: path.clone(), reason };
    let version: serde_json::Value = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
    let found = &version["schema_version"];
    if *found != serde_json::json!(crate::plan::SCHEMA_VERSION) {
        return Err(malformed(format!(
            "its schema_version is {found}, this schism knows {}; use the version of schism that made the run",
            crate::plan::SCHEMA_VERSION
        )));
    }
    serde_json::from_value(version).map_err(|error| malformed(error.to_string()))
}

/// Reads a history file of schism's own form.
///
/// # Errors
/// When it cannot be read; a torn last line is no error, and is told.
pub fn read_history(path: &Path) -> Result<History, RunnerError> {
    let file = File::open(path).map_err(|error| RunnerError::read(path, error))?;
    let (history, tail) = schism_history::jsonl::read(BufReader::with_capacity(1 << 20, file))
        .map_err(|error| RunnerError::Malformed { path: path.to_owned(), reason: error.to_string() })?;
    tell_tail(path, &tail);
    Ok(history)
}

/// Says it if a file ended in mid-event: no error, but nobody should have to find it out.
pub fn tell_tail(path: &Path, tail: &Tail) {
    if let Some(torn) = &tail.torn {
        crate::commands::say(&format!(
            "schism: {}: line {} (byte {}) is torn: its {} bytes are left out, everything before them counts",
            path.display(),
            torn.line,
            torn.offset,
            torn.bytes_count
        ));
    }
}

/// Reads a run's folder. `run.json` may be missing (the controller died): the report then says less.
///
/// # Errors
/// When plan or history cannot be read.
pub fn read(dir: &RunDir) -> Result<Record, RunnerError> {
    let plan = read_plan(dir)?;
    if !dir.history().exists() {
        return Err(RunnerError::Usage(format!(
            "{} has no history: the run ended before its load began; its schism.log says why",
            dir.path().display()
        )));
    }
    let history = read_history(&dir.history())?;
    let record = match std::fs::read(dir.info()) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| RunnerError::Malformed { path: dir.info(), reason: error.to_string() })?,
        Err(_) => RunRecord { info: info_of_plan(&plan, dir), interrupted: true, load_ns: 0 },
    };
    let mut facts = facts_of(&plan, &history, &record)?;
    // Without a ledger there is nothing to add, and a history alone can be judged.
    if let Ok(ledger) = schism_nemesis::ledger::read(&dir.ledger()) {
        later::merge(&mut facts.faults, &history, &ledger.entries);
    }
    Ok(Record { plan, info: record.info, history, facts })
}

fn facts_of(plan: &Plan, history: &History, record: &RunRecord) -> Result<RunFacts, RunnerError> {
    Ok(RunFacts {
        plan_digest: plan.digest()?,
        fault_classes_asked: plan.fault_classes(),
        faults: RunFacts::faults_from(history),
        functions_asked: workload_of(plan)?.functions,
        interrupted: record.interrupted,
        load_ns: record.load_ns,
    })
}

/// What a report can say of a run from its plan alone.
pub fn info_of_plan(plan: &Plan, dir: &RunDir) -> RunInfo {
    RunInfo {
        suite: plan.suite.clone(),
        workload: workload_line(plan),
        database: plan.database.entry().name.to_owned(),
        nodes: plan.nodes.iter().map(|name| (name.clone(), String::new())).collect(),
        ground: plan.ground.name().to_owned(),
        seed: plan.seed.0,
        repeat_command: plan.repeat_command.clone(),
        phases: phases_of_plan(plan),
        sequence: sequences_of_plan(plan),
        concurrency: plan.concurrency,
        schism_version: env!("CARGO_PKG_VERSION").to_owned(),
        left_out: plan.left_out.iter().map(|one| (one.class.clone(), one.reason.clone())).collect(),
        run: dir.name(),
        ..RunInfo::default()
    }
}

fn phases_of_plan(plan: &Plan) -> Vec<PlannedPhase> {
    let placed = schism_nemesis::stretch::placed(&plan.phases, plan.time_limit_ms).into_iter();
    let phase = |one: schism_nemesis::stretch::PlacedStretch| PlannedPhase {
        name: one.title,
        quiet: one.quiet,
        start_ms: one.start_ms,
        end_ms: one.end_ms,
    };
    placed.map(phase).collect()
}

/// `9 of 12: kill one, then pause one`, or the numbers of several.
fn sequences_of_plan(plan: &Plan) -> String {
    let Some(systematic) = &plan.systematic else { return String::new() };
    let count = systematic.sequences_count;
    match &systematic.sequences[..] {
        [] => String::new(),
        [one] => format!("{} of {count}: {}", one.number, one.label()),
        [first, .., last] => format!("{} to {} of {count}", first.number, last.number),
    }
}

fn workload_of(plan: &Plan) -> Result<Workload, RunnerError> {
    schism_workloads::build(&plan.workload, plan.seed, plan.concurrency)
        .map_err(|error| RunnerError::Plan(error.to_string()))
}

/// The workload and its options, in a line.
fn workload_line(plan: &Plan) -> String {
    serde_json::to_string(&plan.workload).unwrap_or_else(|_| plan.workload.entry().name.to_owned())
}

/// The checkers of a plan: its workload's, and those that judge every run.
///
/// # Errors
/// When the table has no such checker, which would be a defect.
pub fn checkers_of(plan: &Plan) -> Result<Vec<Box<dyn Checker>>, RunnerError> {
    let mut judges = workload_of(plan)?.judges;
    judges.extend(["run", "stats", "perf"].map(Judge::of));
    judges.iter().map(build_judge).collect()
}

/// The checker that a workload names, asked what it says.
///
/// # Errors
/// When there is none, or it does not know what is asked; with the nearest names.
pub fn build_judge(judge: &Judge) -> Result<Box<dyn Checker>, RunnerError> {
    build_checker_with(&judge.checker, &judge.options())
}

/// A checker by its name and what else is asked of it.
///
/// # Errors
/// When there is none, or it does not know what is asked; with the nearest names.
pub fn build_checker_with(name: &str, options: &Options<'_>) -> Result<Box<dyn Checker>, RunnerError> {
    table::build_with(name, options).map_err(|error| {
        let text = error.to_string();
        let near = match &error {
            TableError::Checker { found } => nearest(found, table::CHECKERS.iter().map(|entry| entry.name)),
            TableError::Model { found, .. } => nearest(found, table::MODELS.iter().map(|entry| entry.model.form())),
            TableError::Level { found } => nearest(found, Level::names()),
            TableError::Source { found } => nearest(found, table::SOURCES.iter().map(|entry| entry.name)),
            _ => None,
        };
        RunnerError::Usage(near.map_or(text.clone(), |near| format!("{text}. Did you mean `{near}`?")))
    })
}

/// Judges.
///
/// # Errors
/// When the plan names what is not in the tables, which would be a defect.
pub fn judge(record: &Record, budget: &Budget) -> Result<Verdict, RunnerError> {
    Ok(check_all(&checkers_of(&record.plan)?, &record.history, &record.facts, budget))
}

/// Writes the verdict, the page and JUnit into the folder. A verdict that was decided is not replaced by one that is not
/// (for want of budget, say): then nothing is written, which is told.
///
/// # Errors
/// When the folder cannot be written. The verdict on disk is whole or the old one.
pub fn keep(dir: &RunDir, record: &Record, verdict: &Verdict) -> Result<(), RunnerError> {
    let old = std::fs::read_to_string(dir.verdict()).ok();
    let old = old.and_then(|text| Verdict::from_json(&serde_json::from_str(&text).ok()?).ok());
    let decided = old.is_some_and(|old| old.outcome() != Outcome::Unknown);
    if decided && verdict.outcome() == Outcome::Unknown {
        crate::commands::say("schism: this verdict is undecided, so the decided one in the run's folder stays");
        return Ok(());
    }
    let mut text = verdict.to_json().to_string();
    text.push('\n');
    write_whole(&dir.verdict(), text.as_bytes())?;
    tell(dir, record, verdict)
}

/// Writes the page and JUnit.
///
/// # Errors
/// When the folder cannot be written.
pub fn tell(dir: &RunDir, record: &Record, verdict: &Verdict) -> Result<(), RunnerError> {
    let story = Story { info: &record.info, history: &record.history, facts: &record.facts, verdict };
    write_whole(&dir.report(), schism_reports::html::page(&story).as_bytes())?;
    let junit = schism_reports::junit::junit(&story).map_err(|error| RunnerError::Internal(error.to_string()))?;
    write_whole(&dir.junit(), junit.as_bytes())
}

/// Whether there is anything in a history that could have been wrong.
pub fn something_succeeded(history: &History) -> bool {
    history.client_calls().any(|call| call.outcome == Kind::Ok)
}

/// The exit of a judged run. A run in which no client operation succeeded tested nothing.
pub fn exit_of(record: &Record, verdict: &Verdict) -> Exit {
    if verdict.outcome() != Outcome::Invalid && !something_succeeded(&record.history) {
        return Exit::NothingTested;
    }
    Exit::of_verdict(verdict.outcome(), record.info.cleanup_trouble.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workload of transactions states what its registers keep to, and its names are read like those of the command line.
    #[test]
    fn what_a_workload_states_is_built_or_named() {
        let stated = |consistency: &str, version_order: &str| Judge {
            consistency: Some(consistency.to_owned()),
            version_order: Some(version_order.to_owned()),
            ..Judge::of("rw-register")
        };
        let build = |judge: &Judge| build_judge(judge).map(|checker| checker.name().to_owned());
        assert_eq!(
            build(&stated("snapshot-isolation", "linearizable-keys, explicit:rev")).ok().as_deref(),
            Some("rw-register")
        );
        for (judge, said) in [
            (stated("snapshot-isolation", "linearizable-kes"), "Did you mean `linearizable-keys`?"),
            (stated("snapshot-isolaton", "linearizable-keys"), "Did you mean `snapshot-isolation`?"),
            (
                Judge { checker: "list-append".to_owned(), ..stated("serializable", "explicit:rev") },
                "order of versions",
            ),
            (Judge::of("rw-registr"), "Did you mean `rw-register`?"),
        ] {
            let error = build(&judge).expect_err(said).to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
