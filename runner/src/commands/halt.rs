//! `schism halt`: stops everything, here and now.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use schism_nemesis::{Controller, Leases, claim};

use crate::cli::HealArgs;
use crate::commands::heal::{Place, find, heal_place, note_gone, runtime};
use crate::commands::say;
use crate::error::RunnerError;
use crate::exit::Exit;
use crate::logging;
use crate::run_dir::RunDir;

/// How long a controller may take to heal, judge and end before it is told to heal only.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take after that.
const HEALS_WITHIN: Duration = Duration::from_secs(60);

/// Stops the controllers that live on this machine (they heal and judge what there is), takes the nodes from those
/// that live elsewhere (they harm no more), and heals everything. Ends with 5 if something could not be undone.
///
/// # Errors
/// When run, lab or machines cannot be found or reached.
pub fn halt(args: &HealArgs, verbose: u8) -> Result<Exit, RunnerError> {
    logging::start(verbose, None)?;
    let named = args.lab.is_none() && args.inventory.is_none();
    if named {
        let dir = RunDir::open(&args.runs, &args.run)?;
        // A run that has not claimed its nodes yet, or whose nodes cannot be reached, is found by its folder.
        if let Some(controller) = controller_of(&dir.controller()) {
            stop(&BTreeSet::from([(controller.pid, controller.start_ticks)]), &controller.host)?;
        }
    }
    let place = find(&args.runs, &args.run, args.lab.as_deref(), args.inventory.as_deref())?;
    let (ready, dir) = match place {
        Place::There(ready, dir) => (ready, dir),
        Place::Gone(dir) => {
            say("nothing is left to stop: the lab of this run is gone, and every fault with it");
            note_gone(&dir);
            return Ok(Exit::Valid);
        }
    };
    let runtime = runtime()?;
    let leases = Leases::default();
    let (found, _) = runtime.block_on(claim::claims(&ready.cluster, &leases));
    let controllers = found.iter().filter(|found| found.is_alive()).filter_map(|found| found.claim.controller.clone());
    let (here, elsewhere): (Vec<Controller>, Vec<Controller>) = controllers.partition(Controller::lives_here);
    if let Some(first) = here.first() {
        stop(&here.iter().map(|one| (one.pid, one.start_ticks)).collect(), &first.host)?;
    }
    let hosts: BTreeSet<String> = elsewhere.iter().map(ToString::to_string).collect();
    for controller in hosts {
        say(&format!("{controller} cannot be signalled from here: its nodes are taken from it, and it harms no more"));
    }
    runtime.block_on(async {
        let (_, errors) = claim::break_claims(&ready.cluster, &leases).await;
        errors.iter().for_each(|error| say(&format!("schism: {error}")));
        heal_place(&ready, dir.as_ref()).await
    })
}

/// Who drives a run, as its folder says; nothing where it is over.
fn controller_of(path: &Path) -> Option<Controller> {
    let controller: Controller = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    controller.lives_here().then_some(controller)
}

/// Asks these processes of this machine to end, once to end with a verdict, then to heal only, and waits for that.
fn stop(processes: &BTreeSet<(u32, u64)>, host: &str) -> Result<(), RunnerError> {
    for &(pid, start_ticks) in processes {
        let controller = Controller { host: host.to_owned(), pid, start_ticks };
        let Ok(number) = i32::try_from(pid) else { continue };
        for within in [ENDS_WITHIN, HEALS_WITHIN] {
            if !controller.lives_here() {
                break;
            }
            say(&format!("stopping {controller}, which heals what it did"));
            if let Err(error) = kill(Pid::from_raw(number), Signal::SIGTERM)
                && controller.lives_here()
            {
                return Err(RunnerError::Usage(format!("{controller} cannot be stopped: {error}; try as root")));
            }
            let end = Instant::now() + within;
            while controller.lives_here() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        if controller.lives_here() {
            say(&format!("schism: {controller} does not end; healing without it"));
        }
    }
    Ok(())
}
