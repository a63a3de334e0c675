//! The story of one run, readable from top to bottom. What a run needs to be judged is on disk before the next step.

use std::sync::Arc;
use std::time::Duration;

use schism_cluster::{Cluster, Command, DbError};
use schism_nemesis::{Claim, ClaimError, Controller, Leases, Ledger, Nemesis, NemesisOptions, RunTag, Unmet};
use schism_tests_suites::Database;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinSet;

use crate::commands::say;
use crate::error::RunnerError;
use crate::ground::Ready;
use crate::interpreter::{self, RunError, RunInputs};
use crate::journal::Journal;
use crate::judge::{RunRecord, info_of_plan};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::run_dir::{RunDir, write_whole};
use crate::stop::{Stop, Wish};
use crate::{adapt, phases, ticker};

/// A fault of the nemesis that takes longer is given up; its undo is in the ledger.
const NEMESIS_DEADLINE_MS: u64 = 120_000;

/// What is allowed on top of a client's own time limit before its operation is given up.
const CLIENT_MARGIN_MS: u64 = 5_000;

/// Runs a plan on a cluster that can be reached: database up, load and faults, heal, logs, database down.
///
/// # Errors
/// What prevented the load from running. Trouble after the load is in the record instead, and hides no verdict.
pub fn run(plan: &Plan, dir: &RunDir, ready: &Ready) -> Result<RunRecord, RunnerError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| RunnerError::Internal(format!("the runtime did not start: {error}")))?;
    let record = runtime.block_on(story(plan, dir, &ready.cluster));
    // Threads that still wait for a node that does not answer must not keep the command from ending.
    runtime.shutdown_timeout(Duration::from_secs(2));
    record
}

async fn story(plan: &Plan, dir: &RunDir, cluster: &Cluster) -> Result<RunRecord, RunnerError> {
    let started = OffsetDateTime::now_utc().truncate_to_second();
    let wish = Wish::default();
    wish.on_signals(tell).map_err(|error| RunnerError::Internal(format!("signals cannot be taken: {error}")))?;
    let database = schism_tests_suites::build(&plan.database).map_err(|error| RunnerError::Plan(error.to_string()))?;
    let nemesis = make_nemesis(plan, dir, cluster, &database)?;
    write_controller(dir)?;
    let claim = claim(plan, dir, cluster, &nemesis).await?;
    let told = told(plan, dir, cluster, &database, &nemesis, &wish, started).await;
    // Nobody else may have the nodes before all is done.
    let mut trouble: Vec<String> = nemesis.rest().await.into_iter().collect();
    if let Some(claim) = claim {
        trouble.extend(claim.release(cluster, &Leases::default()).await);
    }
    match told {
        Ok(mut record) => {
            if !trouble.is_empty() {
                record.info.cleanup_trouble.extend(trouble);
                write_record(dir, &record)?;
            }
            Ok(record)
        }
        Err(error) => {
            trouble.iter().for_each(|line| say(&format!("schism: {line}")));
            Err(error)
        }
    }
}

/// The run itself, on nodes that are ours.
async fn told(
    plan: &Plan,
    dir: &RunDir,
    cluster: &Cluster,
    database: &Database,
    nemesis: &Arc<Nemesis>,
    wish: &Wish,
    started: OffsetDateTime,
) -> Result<RunRecord, RunnerError> {
    let up = tokio::select! {
        up = bring_up(plan, cluster, database) => up,
        () = wish.to_end() => Err(RunnerError::Interrupted),
    };
    if let Err(error) = up {
        // The error is what is told; the logs are what explains it.
        let trouble = finish(plan, dir, cluster, database).await;
        trouble.iter().for_each(|line| say(&format!("schism: {line}")));
        return Err(error);
    }

    let mut record = RunRecord { info: info_of_plan(plan, dir), interrupted: false, load_ns: 0 };
    record.info.started_utc = started.format(&Rfc3339).unwrap_or_default();
    record.info.nodes = cluster.nodes.iter().map(|handle| (handle.node.to_string(), handle.address.clone())).collect();
    record.info.environment = crate::environment::facts();
    if let Some(node) = cluster.nodes.first().filter(|_| plan.logs_in()) {
        let version = database.db.version(node).await;
        record.info.database_version = version.unwrap_or_else(|error| format!("unknown: {error}"));
    }

    let loaded = load(plan, dir, cluster, database, nemesis, wish, &mut record).await;
    let mut trouble = nemesis.heal_everything().await;
    trouble.extend(finish(plan, dir, cluster, database).await);
    record.info.cleanup_trouble = trouble;
    record.interrupted = wish.now() != Stop::No;
    write_record(dir, &record)?;
    loaded?;
    if wish.now() == Stop::All {
        say(&format!("schism: not judged; `schism check {}` judges what there is", dir.path().display()));
        return Err(RunnerError::Interrupted);
    }
    Ok(record)
}

fn tell(stop: Stop) {
    match stop {
        Stop::No => {}
        Stop::Load => {
            say("schism: stopping the load; what there is will be healed, judged and told (again: heal only)")
        }
        Stop::All => {
            say("schism: healing only (again: leave at once; the nodes' leases and the lab's holder heal then)")
        }
    }
}

/// Claims the nodes where anything of them is changed, and begins to give signs of life.
async fn claim(
    plan: &Plan,
    dir: &RunDir,
    cluster: &Cluster,
    nemesis: &Arc<Nemesis>,
) -> Result<Option<Claim>, RunnerError> {
    if !plan.setup && plan.faults.is_empty() {
        return Ok(None);
    }
    let claim = Claim::new(&RunTag::new(&dir.name()), plan.lease_ms.div_ceil(1000));
    claim.take(cluster, &Leases::default()).await.map_err(|error| match error {
        ClaimError::Remote(error) => RunnerError::Remote(error),
        other => RunnerError::InUse(other.to_string()),
    })?;
    nemesis.keep_alive(Some(&claim));
    Ok(Some(claim))
}

/// Writes down who drives this run, so that `schism halt` finds this process.
fn write_controller(dir: &RunDir) -> Result<(), RunnerError> {
    let json = serde_json::to_vec(&Controller::this())
        .map_err(|error| RunnerError::Internal(format!("a controller has no JSON: {error}")))?;
    write_whole(&dir.controller(), &json)
}

fn make_nemesis(
    plan: &Plan,
    dir: &RunDir,
    cluster: &Cluster,
    database: &Database,
) -> Result<Arc<Nemesis>, RunnerError> {
    let ledger = Ledger::open(&dir.ledger())
        .map_err(|error| RunnerError::Write { path: dir.ledger(), source: std::io::Error::other(error.to_string()) })?;
    let mut options = NemesisOptions::new(RunTag::new(&dir.name()));
    options.lease = Duration::from_millis(plan.lease_ms);
    options.leases = Leases::default().of_controller(&Controller::this().word());
    let classes = plan.fault_classes();
    let classes: Vec<&str> = classes.iter().map(String::as_str).collect();
    Ok(Nemesis::new(cluster.clone(), database.db.clone(), ledger, options, &classes))
}

/// Everything that the faults need is there, and the database serves on all nodes.
async fn bring_up(plan: &Plan, cluster: &Cluster, database: &Database) -> Result<(), RunnerError> {
    let mut greetings = JoinSet::new();
    for node in cluster.nodes.iter().filter(|_| plan.logs_in()) {
        let remote = node.remote.clone();
        greetings.spawn(async move { remote.run(&Command::new("true")).await });
    }
    for answer in greetings.join_all().await {
        answer?;
    }
    if let Err(unmet) = schism_nemesis::check_needs(&plan.faults, cluster, &*database.db).await {
        return Err(refused(&unmet));
    }
    if plan.setup {
        say(&format!("schism: {} goes up on {} nodes", database.db.name(), cluster.nodes.len()));
        for (_, answer) in on_all(cluster, database, Task::Renew).await {
            answer?;
        }
    }
    Ok(database.db.await_ready(cluster).await?)
}

/// Why a plan cannot be done, or, where nodes did not say, why that is not known.
fn refused(unmet: &[Unmet]) -> RunnerError {
    let lines: Vec<String> = unmet.iter().map(ToString::to_string).collect();
    let text = lines.join("\nschism: ");
    match unmet.iter().any(|one| one.unanswered) {
        true => RunnerError::Unanswered(text),
        false => RunnerError::Plan(text),
    }
}

/// What is done on all nodes at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    /// Wipe, then set up.
    Renew,
    /// Stop and wipe.
    Wipe,
}

async fn on_all(cluster: &Cluster, database: &Database, task: Task) -> Vec<(String, Result<(), DbError>)> {
    let mut tasks = JoinSet::new();
    for node in &cluster.nodes {
        let (cluster, node, db) = (cluster.clone(), node.clone(), database.db.clone());
        tasks.spawn(async move {
            let mut answer = db.teardown(&cluster, &node).await;
            if answer.is_ok() && task == Task::Renew {
                answer = db.setup(&cluster, &node).await;
            }
            (node.node.to_string(), answer)
        });
    }
    tasks.join_all().await
}

/// Load and faults, then healing, then recovery, then the final reads: all of it in the journal.
async fn load(
    plan: &Plan,
    dir: &RunDir,
    cluster: &Cluster,
    database: &Database,
    nemesis: &Arc<Nemesis>,
    wish: &Wish,
    record: &mut RunRecord,
) -> Result<(), RunnerError> {
    let driver = (database.driver)(cluster);
    driver.prepare().await.map_err(|error| RunnerError::Plan(error.to_string()))?;
    let progress = Arc::new(Progress::default());
    let journal = Journal::create(&dir.history()).map_err(|error| journal_error(dir, &error.to_string()))?;
    let inputs = RunInputs {
        phases: phases::of_plan(plan, nemesis)?,
        driver,
        nodes: cluster.names(),
        concurrency: plan.concurrency,
        nemesis: adapt::actors(nemesis),
        journal,
        stop: wish.subscribe(),
        progress: progress.clone(),
        operation_deadline_ms: plan.database.operation_timeout_ms() + CLIENT_MARGIN_MS,
        nemesis_deadline_ms: NEMESIS_DEADLINE_MS,
    };
    let ticker = ticker::start(progress);
    // A task of its own: the runtime's workers serve a spawned task several times faster than the thread that blocks.
    let ran = tokio::spawn(interpreter::run(inputs)).await;
    ticker.end().await;
    let summary = ran.map_err(|error| RunnerError::Internal(format!("the interpreter ended: {error}")))?;
    let load = summary.phases.iter().find(|phase| phase.name == phases::LOAD);
    record.load_ns = load.map_or(0, |phase| phase.end_ns - phase.start_ns);
    match summary.error {
        None => Ok(()),
        Some(RunError::Journal(error)) => Err(journal_error(dir, &error.to_string())),
        Some(error) => Err(RunnerError::Internal(error.to_string())),
    }
}

fn journal_error(dir: &RunDir, reason: &str) -> RunnerError {
    RunnerError::Write { path: dir.history(), source: std::io::Error::other(reason.to_owned()) }
}

/// Logs, then the database down. Answers what went wrong; nothing of it hides the verdict.
async fn finish(plan: &Plan, dir: &RunDir, cluster: &Cluster, database: &Database) -> Vec<String> {
    let mut trouble = Vec::new();
    if let Some(logs) = database.db.log_files().filter(|_| plan.logs_in()) {
        for node in &cluster.nodes {
            for (from, name) in logs.log_files(node) {
                let to = dir.node(node.node.as_str()).join(name);
                let made = to.parent().map_or(Ok(()), std::fs::create_dir_all);
                if let Err(error) = made {
                    trouble.push(format!("{} cannot be made: {error}", to.display()));
                } else if let Err(error) = node.remote.download(&from, &to).await {
                    tracing::debug!("a log is missing: {error}");
                }
            }
        }
    }
    if plan.setup {
        let ended = on_all(cluster, database, Task::Wipe).await;
        trouble.extend(ended.into_iter().filter_map(|(node, answer)| {
            answer.err().map(|error| format!("{} could not be taken down on {node}: {error}", database.db.name()))
        }));
    }
    trouble
}

/// Writes `run.json`.
///
/// # Errors
/// When it cannot be written.
pub fn write_record(dir: &RunDir, record: &RunRecord) -> Result<(), RunnerError> {
    let json = serde_json::to_vec_pretty(record)
        .map_err(|error| RunnerError::Internal(format!("a record has no JSON: {error}")))?;
    write_whole(&dir.info(), &json)
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
