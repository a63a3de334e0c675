//! `schism heal`, `schism status`: what a run left behind on its nodes.

use std::path::Path;

use schism_cluster::GroundLease;
use schism_lab::LabError;
use schism_nemesis::{FoundClaim, Lease, Leases, claim, heal_all};
use serde_json::json;

use crate::cli::{HealArgs, StatusArgs};
use crate::commands::lab::describe;
use crate::commands::{print, say};
use crate::error::RunnerError;
use crate::exit::Exit;
use crate::ground::{self, Ready};
use crate::run_dir::RunDir;
use crate::{judge, logging, request};

/// A runtime for a command that speaks to nodes.
///
/// # Errors
/// When it does not start.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, RunnerError> {
    tokio::runtime::Runtime::new().map_err(|error| RunnerError::Internal(format!("the runtime did not start: {error}")))
}

/// The ground of a run that is over, or should be.
pub(crate) enum Place {
    /// It is there; with the folder of the run, where one was named.
    There(Box<Ready>, Option<RunDir>),
    /// The lab of the run is gone, and every fault with it.
    Gone(RunDir),
}

/// Writes into the ledger of a run that its faults ended with its lab. A ledger that cannot be written changes nothing
/// of that, and is told.
pub(crate) fn note_gone(dir: &RunDir) {
    if dir.ledger().exists()
        && let Err(error) = schism_nemesis::ended_with_lab(&dir.ledger())
    {
        say(&format!("schism: that is not written down: {error}"));
    }
}

/// Finds what a command line names: a lab, machines, or a run.
///
/// # Errors
/// When it cannot be found or reached.
pub(crate) fn find(runs: &Path, run: &Path, lab: Option<&str>, inventory: Option<&Path>) -> Result<Place, RunnerError> {
    let (ready, dir) = match (lab, inventory) {
        (Some(id), _) => (ground::enter(schism_lab::find(id)?, &[], false)?, None),
        (None, Some(path)) => (ground::all_machines(&request::read_inventory(path)?)?, None),
        (None, None) => {
            let dir = RunDir::open(runs, run)?;
            let plan = judge::read_plan(&dir)?;
            match ground::find(&plan, &dir.name()) {
                Err(RunnerError::Lab(LabError::NotFound { .. })) => return Ok(Place::Gone(dir)),
                found => (found?, Some(dir)),
            }
        }
    };
    Ok(Place::There(Box::new(ready), dir))
}

/// Undoes what is outstanding. Ends with 5 if something could not be undone.
///
/// # Errors
/// When run, lab or machines cannot be found or reached.
pub fn heal(args: &HealArgs, verbose: u8) -> Result<Exit, RunnerError> {
    logging::start(verbose, None)?;
    let place = find(&args.runs, &args.run, args.lab.as_deref(), args.inventory.as_deref())?;
    let (ready, dir) = match place {
        Place::There(ready, dir) => (ready, dir),
        Place::Gone(dir) => {
            say("nothing is left to heal: the lab of this run is gone, and every fault with it");
            note_gone(&dir);
            return Ok(Exit::Valid);
        }
    };
    runtime()?.block_on(heal_place(&ready, dir.as_ref()))
}

/// Heals all that there is, in this order: the ledger of the run, the ground's leases, the nodes' leases, and what is ours
/// by its name. Says what it did; may be asked as often as one likes.
pub(crate) async fn heal_place(ready: &Ready, dir: Option<&RunDir>) -> Result<Exit, RunnerError> {
    let leases = Leases::default();
    let (mut healed, mut failed): (Vec<String>, Vec<String>) = Default::default();
    if let Some(dir) = dir {
        let report = heal_all(&dir.ledger(), &ready.cluster, &leases).await;
        let report = report.map_err(|error| RunnerError::Plan(error.to_string()))?;
        failed.extend(report.trouble());
        healed.extend(report.healed);
    }
    heal_ground(ready, &mut healed, &mut failed).await;
    for report in [leases.heal(&ready.cluster).await, leases.remove_leftovers(&ready.cluster).await] {
        failed.extend(report.trouble());
        healed.extend(report.healed);
    }
    let (claims, _) = claim::claims(&ready.cluster, &leases).await;
    if let Some(found) = claims.iter().find(|found| found.is_alive() && found.claim.lease_s > 0) {
        say(&format!("schism: the run {} goes on and may harm again; `schism halt` stops it", found.claim.run_tag));
    }
    healed.iter().for_each(|what| say(&format!("healed: {what}")));
    if failed.is_empty() {
        say(if healed.is_empty() { "nothing was left to heal" } else { "all is healed" });
        return Ok(Exit::Valid);
    }
    // A node that does not answer is told once.
    failed.sort();
    failed.dedup();
    failed.iter().for_each(|line| say(&format!("schism: not healed: {line}")));
    Ok(Exit::CleanupNotProven)
}

async fn heal_ground(ready: &Ready, healed: &mut Vec<String>, failed: &mut Vec<String>) {
    let ground = &ready.cluster.ground;
    let kept = match ground.leases().await {
        Ok(kept) => kept,
        Err(error) => return failed.push(error.to_string()),
    };
    for (lease, _) in kept {
        let mut good = true;
        for action in &lease.undo {
            if let Err(error) = ground.act(action).await {
                good = false;
                failed.push(format!("{} ({}): {error}", lease.label, lease.name));
            }
        }
        if good {
            match ground.cancel(&lease.name).await {
                Ok(()) => healed.push(format!("{} by the ground ({})", lease.label, lease.name)),
                Err(error) => failed.push(error.to_string()),
            }
        }
    }
}

/// Shows labs, and the leases on nodes.
///
/// # Errors
/// When a run, a lab or machines that were named cannot be found.
pub fn status(args: &StatusArgs, verbose: u8) -> Result<Exit, RunnerError> {
    logging::start(verbose, None)?;
    if args.lab.is_none() && args.inventory.is_none() && args.run.is_none() {
        let labs = schism_lab::list();
        print(&labs.iter().map(describe).collect::<String>())?;
        say(&match labs.len() {
            0 => "no lab is alive".to_owned(),
            _ => "`schism status --lab ID` shows the faults on its nodes".to_owned(),
        });
        return Ok(Exit::Valid);
    }
    let run = args.run.as_deref().unwrap_or(Path::new("latest"));
    match find(&args.runs, run, args.lab.as_deref(), args.inventory.as_deref())? {
        Place::Gone(_) => {
            say("the lab of this run is gone, and every fault with it");
            Ok(Exit::Valid)
        }
        Place::There(ready, _) => show(&ready, args.json),
    }
}

fn show(ready: &Ready, as_json: bool) -> Result<Exit, RunnerError> {
    let leases = Leases::default();
    let (found, claims, on_ground, mut errors) = runtime()?.block_on(async {
        let (found, errors) = leases.list(&ready.cluster).await;
        let (claims, _) = claim::claims(&ready.cluster, &leases).await;
        let mut errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let on_ground = ready.cluster.ground.leases().await.unwrap_or_else(|error| {
            errors.push(error.to_string());
            Vec::new()
        });
        (found, claims, on_ground, errors)
    });
    errors.sort();
    if as_json {
        let ground: Vec<_> =
            on_ground.iter().map(|(lease, left_s)| json!({"lease": lease, "left_s": left_s})).collect();
        let all = json!({"schema_version": 1, "leases": found, "ground": ground, "claims": claims, "errors": errors});
        print(&format!("{all}\n"))?;
    } else {
        found.iter().try_for_each(|lease| print(&line_of(lease, &claims)))?;
        on_ground.iter().try_for_each(|(lease, left_s)| print(&line_of_ground(lease, *left_s)))?;
        claims.iter().try_for_each(|found| print(&line_of_claim(found)))?;
        if found.is_empty() && on_ground.is_empty() && errors.is_empty() {
            say("no fault is on");
        }
    }
    errors.iter().for_each(|error| say(&format!("schism: {error}")));
    Ok(if errors.is_empty() { Exit::Valid } else { Exit::Unavailable })
}

fn line_of(lease: &Lease, claims: &[FoundClaim]) -> String {
    let what = lease.info.as_ref().map_or("an unknown fault", |info| info.label.as_str());
    let alive = claims.iter().any(|found| found.claim.run_tag == lease.run_tag() && found.is_alive());
    let left = match (lease.left_s, alive) {
        (Some(left_s), true) => format!("heals itself in {left_s} s if its controller falls silent"),
        (Some(left_s), false) if left_s > 0 => format!("heals itself in {left_s} s"),
        (Some(_), false) => "heals itself now, or tries to".to_owned(),
        (None, _) => "nothing waits there: `schism heal` undoes it".to_owned(),
    };
    let restart = match lease.restarts_by.as_deref() {
        None | Some("none") => "a restart of the node ends its waiting".to_owned(),
        Some(how) => format!("survives a restart ({how})"),
    };
    let by = lease.controller.as_deref().unwrap_or("an unknown controller");
    format!("{}  {what}; {left}; {restart} ({}, by {by})\n", lease.node, lease.name)
}

fn line_of_ground(lease: &GroundLease, left_s: i64) -> String {
    format!("ground  {}; heals itself in {left_s} s if its controller falls silent ({})\n", lease.label, lease.name)
}

fn line_of_claim(found: &FoundClaim) -> String {
    let by = found.claim.controller.as_ref().map_or("an unknown controller".to_owned(), ToString::to_string);
    let alive = if found.is_alive() { "alive" } else { "silent for longer than its lease" };
    format!(
        "{}  in use by the run {} ({by}), last heard of {} s ago: {alive}\n",
        found.node, found.claim.run_tag, found.silent_s
    )
}
