//! The story of one run, readable from top to bottom. What a run needs to be judged is on disk before the next step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schism_cluster::{Cluster, NodeHandle};
use schism_generators::Generator;
use schism_nemesis::Nemesis;
use schism_tests_suites::Database;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinSet;

use crate::commands::say;
use crate::error::RunnerError;
use crate::ground::Ready;
use crate::interpreter::{Interpreter, LoadEnd};
use crate::judge::{RunRecord, info_of_plan};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::run_dir::{RunDir, write_whole};
use crate::stop::{Stage, Stop};

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
    let record = runtime.block_on(story(plan, dir, ready));
    // Threads that still wait for a node that does not answer must not keep the command from ending.
    runtime.shutdown_timeout(Duration::from_secs(2));
    record
}

async fn story(plan: &Plan, dir: &RunDir, ready: &Ready) -> Result<RunRecord, RunnerError> {
    let started = OffsetDateTime::now_utc();
    let stop = Stop::default();
    stop.on_signals(tell_stage).map_err(|error| RunnerError::Internal(format!("signals cannot be taken: {error}")))?;
    let cluster = &ready.cluster;
    let database = schism_tests_suites::build(&plan.database, cluster)?;
    let nemesis = crate::nemesis::build(plan, dir, cluster, &database)?;

    crate::nemesis::check_needs(plan, cluster, &database).await?;
    let up = tokio::select! {
        up = bring_up(plan, cluster, &database) => up,
        () = stop.reached(Stage::StopLoad) => Err(RunnerError::Interrupted),
    };
    if let Err(error) = up {
        // The error is what is told; the logs are what explains it.
        let trouble = finish(plan, dir, cluster, &database).await;
        trouble.iter().for_each(|line| say(&format!("schism: {line}")));
        return Err(error);
    }

    let version = match cluster.nodes.first() {
        Some(node) => database.db.version(node).await.unwrap_or_else(|error| format!("unknown: {error}")),
        None => String::new(),
    };
    let mut record = RunRecord { info: info_of_plan(plan, dir, &version), interrupted: false, load_ns: 0 };
    record.info.started_utc = started.format(&Rfc3339).unwrap_or_default();
    record.info.nodes =
        cluster.nodes.iter().map(|handle| (handle.node.to_string(), handle.address.clone())).collect();
    record.info.environment = crate::environment::facts();

    let loaded = load(plan, dir, cluster, &database, &nemesis, &stop, &mut record).await;
    let mut trouble = nemesis.heal_everything().await;
    trouble.extend(finish(plan, dir, cluster, &database).await);
    record.info.cleanup_trouble = trouble;
    write_record(dir, &record)?;
    loaded?;
    Ok(record)
}

fn tell_stage(stage: Stage) {
    say(match stage {
        Stage::Run => "",
        Stage::StopLoad => "schism: stopping the load; healing, judging and reporting what there is (again: heal only)",
        Stage::HealOnly => "schism: healing only",
    });
}

/// The database on all nodes, at once, until it serves.
async fn bring_up(plan: &Plan, cluster: &Cluster, database: &Database) -> Result<(), RunnerError> {
    if plan.setup {
        say(&format!("schism: {} goes up on {} nodes", database.db.name(), cluster.nodes.len()));
        on_all(cluster, |cluster, node| {
            let db = database.db.clone();
            async move {
                db.teardown(&cluster, &node).await?;
                db.setup(&cluster, &node).await
            }
        })
        .await
        .into_values()
        .collect::<Result<Vec<()>, _>>()?;
    }
    database.db.await_ready(cluster).await?;
    database.driver.prepare().await.map_err(|error| RunnerError::Plan(error.to_string()))
}

/// Does something on all nodes at once; answers by node.
async fn on_all<T, E, Fut>(
    cluster: &Cluster,
    task: impl Fn(Cluster, NodeHandle) -> Fut,
) -> BTreeMap<String, Result<T, E>>
where
    T: Send + 'static,
    E: Send + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for node in &cluster.nodes {
        let name = node.node.to_string();
        let work = task(cluster.clone(), node.clone());
        tasks.spawn(async move { (name, work.await) });
    }
    let mut answers = BTreeMap::new();
    while let Some(joined) = tasks.join_next().await {
        if let Ok((name, answer)) = joined {
            answers.insert(name, answer);
        }
    }
    answers
}

/// Load and faults, then healing, then recovery, then the final reads.
async fn load(
    plan: &Plan,
    dir: &RunDir,
    cluster: &Cluster,
    database: &Database,
    nemesis: &Arc<Nemesis>,
    stop: &Stop,
    record: &mut RunRecord,
) -> Result<(), RunnerError> {
    let phases = crate::phases::of_plan(plan)?;
    let mut interpreter = Interpreter::start(plan, dir, cluster, database, nemesis, stop)?;
    let progress = Progress::start(interpreter.counters());
    let mut ended = Ok(());
    for phase in phases {
        if stop.stage() >= Stage::StopLoad && phase.is_load {
            continue;
        }
        tracing::info!("phase: {}", phase.name);
        let end = interpreter.run(phase.generator, phase.is_load).await;
        if let Err(error) = end {
            ended = Err(error);
            break;
        }
    }
    progress.end().await;
    let end: LoadEnd = interpreter.finish().await?;
    record.interrupted = stop.stage() > Stage::Run;
    record.load_ns = end.load_ns;
    ended
}

/// Logs, then the database down. Answers what went wrong; nothing of it hides the verdict.
async fn finish(plan: &Plan, dir: &RunDir, cluster: &Cluster, database: &Database) -> Vec<String> {
    let mut trouble = Vec::new();
    if let Some(logs) = database.db.log_files() {
        for node in &cluster.nodes {
            for (from, name) in logs.log_files(node) {
                let to = dir.node(node.node.as_str()).join(name);
                let made = to.parent().map_or(Ok(()), std::fs::create_dir_all);
                if let Err(error) = made {
                    trouble.push(format!("{} cannot be made: {error}", to.display()));
                } else if let Err(error) = node.remote.download(&from, &to).await {
                    tracing::warn!("a log is missing: {error}");
                }
            }
        }
    }
    if plan.setup {
        let ended = on_all(cluster, |cluster, node| {
            let db = database.db.clone();
            async move { db.teardown(&cluster, &node).await }
        })
        .await;
        trouble.extend(ended.into_iter().filter_map(|(node, answer)| {
            answer.err().map(|error| format!("{} could not be taken down on {node}: {error}", plan.database.name()))
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

/// A part of the load.
pub struct Phase {
    /// For the log.
    pub name: &'static str,
    /// What it does.
    pub generator: Box<dyn Generator>,
    /// Whether it is left out, or ends early, when the load is stopped.
    pub is_load: bool,
}
