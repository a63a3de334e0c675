//! `schism run`: a suite from file to report.

use std::path::Path;

use schism_checkers::Outcome;
use schism_reports::Story;
use schism_reports::terminal::{Look, summary};
use time::OffsetDateTime;

use crate::cli::RunArgs;
use crate::commands::{complain, print, say};
use crate::error::RunnerError;
use crate::exit::Exit;
use crate::plan::Plan;
use crate::run_dir::{RunDir, write_whole};
use crate::stop::{Stop, Wish};
use crate::{entropy, ground, judge, lifecycle, logging, request};

/// Runs a suite once, or repeatedly with successive seeds.
///
/// # Errors
/// What prevented a verdict.
pub fn run(args: &RunArgs, verbose: u8, color: bool) -> Result<Exit, RunnerError> {
    let plan = request::plan(&args.suite)?;
    if args.repeat > 1 { repeat(args, &plan) } else { once(&args.runs, args.json, &plan, verbose, color) }
}

/// Each repetition is a process of its own: joining a lab's network is for the life of a process.
fn repeat(args: &RunArgs, plan: &Plan) -> Result<Exit, RunnerError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunnerError::Internal(format!("the runtime did not start: {error}")))?;
    runtime.block_on(async {
        // A Ctrl-C reaches the repetition too, which heals and judges; this process waits for it and begins no other.
        let wish = Wish::default();
        wish.on_signals(|_| {}).map_err(|error| RunnerError::Internal(format!("signals cannot be taken: {error}")))?;
        let own = ground::own_executable()?;
        let mut worst = Exit::Valid;
        let mut lines = Vec::new();
        for number in 0..u64::from(args.repeat) {
            let seed = plan.seed.0.wrapping_add(number).to_string();
            let status = tokio::process::Command::new(&own)
                .args(without_repeat_and_seed(std::env::args_os().skip(1)))
                .args(["--seed", &seed])
                .status()
                .await
                .map_err(|error| RunnerError::Internal(format!("{} cannot be started: {error}", own.display())))?;
            let exit = Exit::from_code(status.code());
            lines.push(format!("seed {seed}: {exit}"));
            worst = worst.worst(exit);
            if wish.now() != Stop::No {
                break;
            }
        }
        say(&lines.join("\n"));
        Ok(worst)
    })
}

fn without_repeat_and_seed(arguments: impl Iterator<Item = std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    let mut kept = Vec::new();
    let mut skip_value = false;
    for argument in arguments {
        if std::mem::take(&mut skip_value) {
            continue;
        }
        let text = argument.to_string_lossy().into_owned();
        if text == "--repeat" || text == "--seed" {
            skip_value = true;
        } else if !text.starts_with("--repeat=") && !text.starts_with("--seed=") {
            kept.push(argument);
        }
    }
    kept
}

/// Runs a plan to its verdict.
///
/// # Errors
/// What prevented a verdict.
pub(crate) fn once(runs: &Path, json: bool, plan: &Plan, verbose: u8, color: bool) -> Result<Exit, RunnerError> {
    if plan.ground.is_made_for_the_run() {
        ground::need_rights(&plan.ground)?;
    }
    let short_id = format!("{:08x}", entropy::fresh()?);
    let dir = RunDir::create(runs, &plan.suite, OffsetDateTime::now_utc(), &short_id)?;
    logging::start(verbose, Some(&dir.log()))?;
    write_whole(&dir.plan(), plan.to_json()?.as_bytes())?;
    say(&format!("schism: {} with seed {}, in {}", plan.suite, plan.seed, dir.path().display()));

    for one in &plan.left_out {
        say(&format!("schism: the fault `{}` is left out: {}", one.class, one.reason));
    }
    let ready = match ground::prepare(plan, &dir.name()) {
        Ok(ready) => ready,
        Err(error) => {
            dir.discard();
            return Err(error);
        }
    };
    dir.make_latest()?;
    let ended = lifecycle::run(plan, &dir, &ready);
    let trouble = if ready.lab_is_ours { end_lab(&ready) } else { None };
    let mut record = match ended {
        Ok(record) => record,
        Err(error) => {
            if let Some(trouble) = trouble {
                say(&format!("schism: {trouble}"));
            }
            return Err(error);
        }
    };
    record.info.cleanup_trouble.extend(trouble);
    lifecycle::write_record(&dir, &record)?;

    let record = judge::read(&dir)?;
    say("schism: judging");
    let verdict = judge::judge(&record, &plan.budget)?;
    let kept = judge::keep(&dir, &record, &verdict);
    if json {
        print(&format!("{}\n", verdict.to_json()))?;
    } else {
        let story = Story { info: &record.info, history: &record.history, facts: &record.facts, verdict: &verdict };
        let report = dir.report().display().to_string();
        print(&summary(&story, Look { color, report_path: Some(&report) }))?;
    }
    kept?;
    let exit = judge::exit_of(&record, &verdict);
    if verdict.outcome() != Outcome::Invalid && record.facts.interrupted && record.history.is_empty() {
        complain(&RunnerError::Interrupted);
        return Ok(Exit::Interrupted);
    }
    Ok(exit)
}

fn end_lab(ready: &ground::Ready) -> Option<String> {
    let lab = ready.lab.as_ref()?;
    let ended = schism_lab::down(lab);
    ended.err().map(|error| format!("the lab {} could not be ended: {error}", lab.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_gets_its_own_seed() {
        let arguments = ["run", "x", "--repeat", "3", "--seed=4", "--rate", "5"].map(std::ffi::OsString::from);
        let kept = without_repeat_and_seed(arguments.into_iter());
        assert_eq!(kept, ["run", "x", "--rate", "5"].map(std::ffi::OsString::from));
    }
}
