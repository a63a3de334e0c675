//! `schism heal`, `schism status`: what a run left behind on its nodes.

use schism_lab::LabError;
use schism_nemesis::{Leases, heal_all, heal_from_leases, list_leases};

use crate::cli::{HealArgs, StatusArgs};
use crate::commands::lab::describe;
use crate::commands::{print, say};
use crate::error::RunnerError;
use crate::exit::Exit;
use crate::ground::{self, Ready};
use crate::run_dir::RunDir;
use crate::{judge, logging, request};

fn runtime() -> Result<tokio::runtime::Runtime, RunnerError> {
    tokio::runtime::Runtime::new().map_err(|error| RunnerError::Internal(format!("the runtime did not start: {error}")))
}

/// Undoes what is outstanding. Ends with 5 if something could not be undone.
///
/// # Errors
/// When run, lab or machines cannot be found or reached.
pub fn heal(args: &HealArgs, verbose: u8) -> Result<Exit, RunnerError> {
    logging::start(verbose, None)?;
    let (ready, ledger) = match (&args.lab, &args.inventory) {
        (Some(id), _) => (ground::enter(schism_lab::find(id)?, &[], false)?, None),
        (None, Some(path)) => (ground::all_machines(&request::read_inventory(path)?)?, None),
        (None, None) => {
            let dir = RunDir::open(&args.runs, &args.run)?;
            let plan = judge::read_plan(&dir)?;
            let found = match ground::find(&plan, &dir.name()) {
                Err(RunnerError::Lab(LabError::NotFound { .. })) => {
                    say("nothing is left to heal: the lab of this run is gone, and every fault with it");
                    return Ok(Exit::Valid);
                }
                found => found?,
            };
            (found, Some(dir.ledger()))
        }
    };
    let runtime = runtime()?;
    let mut healed = Vec::new();
    let mut failed: Vec<String> = Vec::new();
    if let Some(path) = ledger {
        let report = runtime
            .block_on(heal_all(&path, &ready.cluster, &Leases::default()))
            .map_err(|error| RunnerError::Plan(error.to_string()))?;
        failed.extend(report.trouble());
        healed.extend(report.healed);
    }
    let report = runtime.block_on(heal_from_leases(&ready.cluster));
    failed.extend(report.trouble());
    healed.extend(report.healed);
    healed.iter().for_each(|what| say(&format!("healed: {what}")));
    if failed.is_empty() {
        say(if healed.is_empty() { "nothing was left to heal" } else { "all is healed" });
        return Ok(Exit::Valid);
    }
    for line in &failed {
        say(&format!("schism: not healed: {line}"));
    }
    Ok(Exit::CleanupNotProven)
}

/// Shows labs and the leases on their nodes.
///
/// # Errors
/// When a lab or machines that were named cannot be found.
pub fn status(args: &StatusArgs, verbose: u8) -> Result<Exit, RunnerError> {
    logging::start(verbose, None)?;
    let ready = match (&args.lab, &args.inventory) {
        (Some(id), _) => ground::enter(schism_lab::find(id)?, &[], false)?,
        (None, Some(path)) => ground::all_machines(&request::read_inventory(path)?)?,
        (None, None) => {
            let labs = schism_lab::list();
            print(&labs.iter().map(describe).collect::<String>())?;
            say(&match labs.len() {
                0 => "no lab is alive".to_owned(),
                _ => "`schism status --lab ID` shows the leases on its nodes".to_owned(),
            });
            return Ok(Exit::Valid);
        }
    };
    show_leases(&ready)
}

fn show_leases(ready: &Ready) -> Result<Exit, RunnerError> {
    let (leases, errors) = runtime()?.block_on(list_leases(&ready.cluster));
    for lease in &leases {
        let what = lease.info.as_ref().map_or("an unknown fault", |info| info.label.as_str());
        let left = lease.left_s.map_or("at an unknown time".to_owned(), |left_s| format!("in {left_s} s"));
        print(&format!("{}  {what}; heals itself {left} ({})\n", lease.node, lease.name))?;
    }
    if leases.is_empty() && errors.is_empty() {
        say("no fault is on");
    }
    errors.iter().for_each(|error| say(&format!("schism: {error}")));
    Ok(if errors.is_empty() { Exit::Valid } else { Exit::Unavailable })
}
