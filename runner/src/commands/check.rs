//! `schism check`: judges a run or a history again.

use schism_checkers::table::Options;
use schism_checkers::{Budget, Checker, Outcome, check_all};
use schism_history::{RunFacts, Seed};
use schism_reports::terminal::{Look, summary};
use schism_reports::{RunInfo, Story};

use crate::cli::{BudgetArgs, CheckArgs, FailedCasChoice, FormatChoice, KeyedChoice};
use crate::commands::{input, print, witness};
use crate::error::RunnerError;
use crate::exit::Exit;
use crate::judge::{self, Record};
use crate::request;
use crate::run_dir::RunDir;

/// Judges.
///
/// # Errors
/// When the target cannot be read or the checker does not exist.
pub fn check(args: &CheckArgs, color: bool) -> Result<Exit, RunnerError> {
    if let Some(jobs) = args.jobs {
        set_jobs(jobs)?;
    }
    witness::allowed(args)?;
    let is_logs = args.format == FormatChoice::Cobra && args.target.is_dir();
    // The latest run, or one by its own name, is a folder too.
    let is_run = !is_logs && (args.target.is_dir() || args.runs.join(&args.target).join("plan.json").is_file());
    if is_run && is_import(args) {
        return Err(RunnerError::Usage(format!(
            "{} is the folder of a run, whose history says all by itself; --format, --failed-cas and --keyed are for history files",
            args.target.display()
        )));
    }
    if args.checker.is_none() {
        no_checker_options(args)?;
        if is_run && args.workload.is_none() {
            return check_run(args, color);
        }
    }
    check_history(args, is_run, color)
}

/// Whether something is said that only a history of another's needs.
fn is_import(args: &CheckArgs) -> bool {
    args.format != FormatChoice::Auto || args.failed_cas != FailedCasChoice::Unknown || args.keyed != KeyedChoice::Auto
}

/// Refuses what is said to a checker that nobody named.
fn no_checker_options(args: &CheckArgs) -> Result<(), RunnerError> {
    if args.model.is_some() {
        return Err(RunnerError::Usage(
            "--model needs --checker (`schism list checkers`): a run and a workload know their own model".to_owned(),
        ));
    }
    if args.consistency.is_some() || args.version_order.is_some() {
        return Err(RunnerError::Usage(
            "--consistency and --version-order need --checker list-append or --checker rw-register: a run and a workload know their own"
                .to_owned(),
        ));
    }
    Ok(())
}

fn set_jobs(jobs: usize) -> Result<(), RunnerError> {
    if jobs == 0 {
        return Err(RunnerError::Usage("--jobs 0 leaves nobody to work; use 1 or more".to_owned()));
    }
    // A second setting in one process (a test) changes nothing, and the verdict does not depend on it.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(jobs).build_global();
    Ok(())
}

/// The budget of the command line over a default.
pub fn budget_over(default: Budget, args: &BudgetArgs) -> Budget {
    Budget {
        steps_max: args.max_steps.unwrap_or(default.steps_max),
        memory_bytes_max: args.max_memory.unwrap_or(default.memory_bytes_max),
    }
}

fn check_run(args: &CheckArgs, color: bool) -> Result<Exit, RunnerError> {
    let dir = RunDir::open(&args.runs, &args.target)?;
    let record = judge::read(&dir)?;
    let budget = budget_over(record.plan.budget, &args.budget);
    let verdict = judge::judge(&record, &budget)?;
    if args.json {
        print(&format!("{}\n", verdict.to_json()))?;
    } else {
        let story = Story { info: &record.info, history: &record.history, facts: &record.facts, verdict: &verdict };
        let report = dir.report().display().to_string();
        print(&summary(&story, Look { color, report_path: Some(&report) }))?;
    }
    // Told first: a folder that cannot be written must not hide a verdict.
    judge::keep(&dir, &record, &verdict)?;
    Ok(judge::exit_of(&record, &verdict))
}

fn check_history(args: &CheckArgs, is_run: bool, color: bool) -> Result<Exit, RunnerError> {
    let (history, facts, info) = if is_run {
        let Record { history, facts, info, .. } = judge::read(&RunDir::open(&args.runs, &args.target)?)?;
        (history, facts, info)
    } else {
        let info = RunInfo {
            suite: args.target.display().to_string(),
            schism_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..RunInfo::default()
        };
        (input::read(args)?, RunFacts::default(), info)
    };
    let checkers = asked_checkers(args)?;
    let budget = budget_over(Budget::default(), &args.budget);
    let mut verdict = check_all(&checkers, &history, &facts, &budget);
    // Nobody broke a promise where nothing was done; that is not valid, whatever was asked.
    if !judge::something_succeeded(&history) {
        let run = judge::build_checker_with("run", &Options::default())?;
        verdict.checkers.entry(run.name().to_owned()).or_insert_with(|| run.check(&history, &facts, &budget));
    }
    if args.json {
        print(&format!("{}\n", verdict.to_json()))?;
    } else {
        let story = Story { info: &info, history: &history, facts: &facts, verdict: &verdict };
        print(&summary(&story, Look { color, report_path: None }))?;
    }
    witness::write(args, &history, &verdict, &budget)?;
    if verdict.outcome() != Outcome::Invalid && !judge::something_succeeded(&history) {
        return Ok(Exit::NothingTested);
    }
    Ok(Exit::of_verdict(verdict.outcome(), true))
}

fn asked_checkers(args: &CheckArgs) -> Result<Vec<Box<dyn Checker>>, RunnerError> {
    if let Some(workload) = &args.workload {
        let spec = request::workload_by_name(workload)?;
        let built =
            schism_workloads::build(&spec, Seed(0), 1).map_err(|error| RunnerError::Usage(error.to_string()))?;
        return built.judges.iter().map(judge::build_judge).collect();
    }
    let name = args.checker.as_deref().ok_or_else(|| {
        RunnerError::Usage(
            "a history alone does not say how to judge it; add --checker (`schism list checkers`) or --workload"
                .to_owned(),
        )
    })?;
    let options = Options {
        model: args.model.as_deref(),
        consistency: args.consistency.as_deref(),
        version_order: args.version_order.as_deref(),
    };
    Ok(vec![judge::build_checker_with(name, &options)?])
}
