//! From the command line and a suite to a plan, and a plan in words.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use schism_checkers::Budget;
use schism_cluster::inventory::Inventory;
use schism_history::{Node, Seed};
use schism_lab::NetworkKind;
use schism_nemesis::{DurationText, FaultSpec, View};
use schism_workloads::WorkloadSpec;

use crate::cli::SuiteArgs;
use crate::commands::check::budget_over;
use crate::entropy;
use crate::error::RunnerError;
use crate::ground;
use crate::plan::{self, GroundPlan, Overrides, Plan};
use crate::suite::{self, Nodes, Suite};
use crate::vagrant;

/// Resolves what the command line asks for. Reads the suite and the inventory; reaches no node.
///
/// # Errors
/// When something of it is wrong.
pub fn plan(args: &SuiteArgs) -> Result<Plan, RunnerError> {
    let (name, yaml) = suite::find(&args.suite)?;
    let suite = suite::parse(&name, &yaml, &args.shared.sets)?;
    let ground = match (&args.shared.inventory, args.shared.lab.as_deref()) {
        (Some(path), _) if args.shared.vagrant_up => {
            if path.as_os_str() != vagrant::WORD {
                return Err(RunnerError::Usage("--vagrant-up goes with --inventory vagrant".to_owned()));
            }
            vagrant_machines(true)?
        }
        (Some(path), _) => read_inventory(path)?,
        (None, None | Some("namespaces")) => GroundPlan::Namespaces,
        (None, Some("vms")) => GroundPlan::Vms,
        (None, Some(id)) => {
            let lab = schism_lab::find(id)?;
            GroundPlan::Lab { id: lab.id, kind: lab.kind, names: lab.nodes.into_iter().map(|node| node.name).collect() }
        }
    };
    if args.shared.no_setup && ground.is_made_for_the_run() {
        return Err(RunnerError::Usage(
            "--no-setup needs a database that runs already: name a lab (--lab ID) or an --inventory".to_owned(),
        ));
    }
    let overrides = Overrides {
        nodes: args.shared.nodes.as_deref().map(parse_nodes).transpose()?,
        workload: args.workload.as_deref().map(workload_by_name).transpose()?,
        faults: args.faults.as_deref().map(|names| faults_by_names(names, &suite)).transpose()?,
        faults_all: args.faults.as_deref() == Some("all"),
        time_limit_ms: duration_ms("--time-limit", args.shared.time_limit.as_deref())?,
        concurrency: args.shared.concurrency,
        rate_hz: args.shared.rate,
        no_setup: args.shared.no_setup,
        lease_ms: duration_ms("--lease", args.shared.lease.as_deref())?,
        budget: budget_over(Budget::default(), &args.shared.budget),
        sets: args.shared.sets.clone(),
    };
    let seed = match args.seed {
        Some(seed) => seed,
        None => u64::from(entropy::fresh()?),
    };
    plan::resolve(&name, &suite, ground, &overrides, Seed(seed), repeat_command(args, seed))
}

/// The command that repeats a run: what was typed, with the seed.
fn repeat_command(args: &SuiteArgs, seed: u64) -> String {
    command_line(&run_arguments(args, seed))
}

/// `schism` with these arguments, as a shell reads it.
pub fn command_line(arguments: &[String]) -> String {
    let words = arguments.iter().map(|word| quoted(word));
    std::iter::once("schism".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// The arguments of `schism run` that say the same, with this seed.
pub fn run_arguments(args: &SuiteArgs, seed: u64) -> Vec<String> {
    let mut words = vec!["run".to_owned(), args.suite.clone()];
    let mut flag = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            words.extend([name.to_owned(), value]);
        }
    };
    let shared = &args.shared;
    flag("--lab", shared.lab.clone());
    flag("--inventory", shared.inventory.as_ref().map(|path| path.display().to_string()));
    flag("--nodes", shared.nodes.clone());
    flag("--workload", args.workload.clone());
    flag("--faults", args.faults.clone());
    flag("--time-limit", shared.time_limit.clone());
    flag("--concurrency", shared.concurrency.map(|concurrency| concurrency.to_string()));
    flag("--rate", shared.rate.map(|rate_hz| rate_hz.to_string()));
    flag("--lease", shared.lease.clone());
    flag("--max-memory", shared.budget.max_memory.map(|bytes| bytes.to_string()));
    flag("--max-steps", shared.budget.max_steps.map(|steps| steps.to_string()));
    shared.sets.iter().for_each(|set| flag("--set", Some(set.clone())));
    flag("--seed", Some(seed.to_string()));
    if shared.no_setup {
        words.push("--no-setup".to_owned());
    }
    words
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        schism_cluster::shell::quote(word).into_owned()
    }
}

/// Reads an inventory, and the variables that it names.
///
/// # Errors
/// When it cannot be read or is wrong; with its place.
pub fn read_inventory(path: &Path) -> Result<GroundPlan, RunnerError> {
    if path.as_os_str() == vagrant::WORD {
        return vagrant_machines(false);
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| RunnerError::Usage(format!("the inventory {} cannot be read: {error}", path.display())))?;
    let file = path.display().to_string();
    let inventory: Inventory = suite::parse_yaml(&file, &text)?;
    let targets = ground::targets(&inventory)?;
    let names = targets.iter().map(|(target, _)| target.node.to_string()).collect();
    Ok(GroundPlan::Machines { inventory: suite::parse_yaml(&file, &text)?, names })
}

/// The machines of Vagrant, brought up first if asked.
fn vagrant_machines(bring_up: bool) -> Result<GroundPlan, RunnerError> {
    let inventory = vagrant::inventory(bring_up)?;
    let read: Inventory = serde_json::from_value(inventory.clone())
        .map_err(|error| RunnerError::Internal(format!("Vagrant's machines are no inventory: {error}")))?;
    let names = ground::targets(&read)?.iter().map(|(target, _)| target.node.to_string()).collect();
    Ok(GroundPlan::Machines { inventory, names })
}

/// Reads a duration of the command line.
///
/// # Errors
/// When it is none.
pub fn duration_ms(flag: &str, text: Option<&str>) -> Result<Option<u64>, RunnerError> {
    text.map(|text| {
        let duration: DurationText = text.parse().map_err(|error| RunnerError::Usage(format!("{flag}: {error}")))?;
        Ok(duration.ms)
    })
    .transpose()
}

fn parse_nodes(text: &str) -> Result<Nodes, RunnerError> {
    if let Ok(count) = text.parse::<u32>() {
        return match count {
            1..=99 => Ok(Nodes::Count(count)),
            _ => Err(RunnerError::Usage(format!("--nodes {count}: from 1 to 99 nodes, or their names with commas"))),
        };
    }
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if let Some(empty) = names.iter().position(String::is_empty) {
        return Err(RunnerError::Usage(format!("--nodes {text}: name {} is empty", empty + 1)));
    }
    if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        return Err(RunnerError::Usage(format!("--nodes {text}: `{}` is named twice", twice.1)));
    }
    Ok(Nodes::Names(names))
}

/// The workload of that name, with its defaults.
///
/// # Errors
/// When there is none.
pub fn workload_by_name(name: &str) -> Result<WorkloadSpec, RunnerError> {
    WorkloadSpec::named(name).ok_or_else(|| {
        let names = schism_workloads::WORKLOADS.iter().map(|entry| entry.name);
        RunnerError::Usage(unknown("workload", name, names))
    })
}

/// `none`, `all` (what the suite says that the database survives), or names with commas. A class that the suite knows comes
/// with the suite's options.
fn faults_by_names(text: &str, suite: &Suite) -> Result<Vec<FaultSpec>, RunnerError> {
    let survives = if suite.survives.is_empty() { &suite.faults } else { &suite.survives };
    let known = |name: &str| suite.faults.iter().chain(survives).find(|fault| fault.class() == name).cloned();
    match text {
        "none" => return Ok(Vec::new()),
        "all" if survives.is_empty() => {
            return Err(RunnerError::Usage(
                "--faults all means what the suite says that its database survives, and it names nothing; add `survives:` or name the faults".to_owned(),
            ));
        }
        "all" => return Ok(survives.clone()),
        _ => {}
    }
    let fault = |name: &str| {
        known(name).or_else(|| FaultSpec::named(name)).ok_or_else(|| {
            let names = schism_nemesis::FAULTS.iter().map(|entry| entry.name);
            RunnerError::Usage(unknown("fault", name, names))
        })
    };
    text.split(',').map(|name| fault(name.trim())).collect()
}

/// "There is no X `y`; there are a, b. Did you mean `a`?"
pub fn unknown<'a>(what: &str, wrong: &str, valid: impl Iterator<Item = &'a str> + Clone) -> String {
    let mut text = format!("there is no {what} `{wrong}`; there are: {}", valid.clone().collect::<Vec<_>>().join(", "));
    if let Some(near) = suite::nearest(wrong, valid) {
        let _ = write!(text, ". Did you mean `{near}`?");
    }
    text
}

/// The most sequences that are listed: nobody reads more.
const SEQUENCES_MAX: u64 = 1_000;

/// The sequences of a systematic schedule: all, or the one that was asked for.
fn sequences(plan: &Plan, line: &mut impl FnMut(String)) {
    let Some(systematic) = &plan.systematic else { return };
    let (count, depth) = (systematic.sequences_count, systematic.depth);
    let roles = systematic.alphabet.letters().len();
    line(format!("sequences    {count}: every order of up to {depth} faults, of {roles} (classes and their roles)"));
    let of_run: Vec<u64> = systematic.sequences.iter().map(|sequence| sequence.number).collect();
    if let [one] = &systematic.sequences[..] {
        line(format!("this run     sequence {}: {}", one.number, one.label()));
        return;
    }
    line(format!("this run     {} of them, marked *; schedule.index=N chooses one", of_run.len()));
    for sequence in systematic.alphabet.sequences(depth).take(SEQUENCES_MAX as usize) {
        let mark = if of_run.contains(&sequence.number) { '*' } else { ' ' };
        line(format!(" {mark} {:>9}  {}", sequence.number, sequence.label()));
    }
    if count > SEQUENCES_MAX {
        line(format!("             and {} more", count - SEQUENCES_MAX));
    }
}

/// A plan in words: what would be done where, in which order.
pub fn describe(plan: &Plan) -> String {
    let mut text = String::new();
    let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    line(format!("suite        {}", plan.suite));
    line(format!("seed         {}", plan.seed));
    let switch = if plan.network == NetworkKind::Switch { ", joined by a switch that can shape links" } else { "" };
    line(format!("ground       {}{switch}", plan.ground.describe()));
    line(format!("nodes        {}", plan.nodes.join(" ")));
    let setup = if plan.setup { "installed, started and wiped by schism" } else { "runs already; left as it is" };
    line(format!("database     {} ({setup})", plan.database.entry().name));
    line(format!("workload     {}", plan.workload.entry().name));
    let rate =
        plan.rate_hz.map_or("as fast as they answer".to_owned(), |rate_hz| format!("{rate_hz} operations/s together"));
    line(format!("clients      {} workers, {rate}", plan.concurrency));
    line(format!(
        "load         {} s, then all faults are healed, then {} s of recovery",
        seconds(plan.time_limit_ms),
        seconds(plan.recovery_ms)
    ));
    line(format!("lease        faults heal themselves {} s after the controller is gone", seconds(plan.lease_ms)));
    for spec in &plan.faults {
        // Machines of an inventory are asked when the run begins.
        let asked = matches!(plan.ground, GroundPlan::Machines { .. });
        let has_device = (!asked).then_some(plan.ground.is_of_machines());
        if let Some(way) = schism_nemesis::disk_way(spec, has_device) {
            line(format!("{:12} by {way}", spec.class()));
        }
    }
    line(format!("to run this  {}", plan.repeat_command));
    for one in &plan.left_out {
        line(format!("left out     {}: {}", one.class, one.reason));
    }
    if plan.faults.is_empty() {
        line("faults       none".to_owned());
        return text;
    }
    sequences(plan, &mut line);
    for stretch in schism_nemesis::stretch::placed(&plan.phases, plan.time_limit_ms) {
        let (from, to) = (seconds(stretch.start_ms), seconds(stretch.end_ms));
        let quiet = if stretch.quiet { " (nothing is harmed)" } else { "" };
        line(format!("phase        {from:>6.1} s to {to:>6.1} s  {}{quiet}", stretch.title));
    }
    line("faults       (times from the start; targets that depend on who leads are chosen then)".to_owned());
    let view = View { nodes: plan.nodes.iter().map(|name| Node::new(name)).collect(), ..View::default() };
    let mut faults = plan.fault_generator();
    for planned in schism_nemesis::preview_of(&mut *faults, &plan.faults, &view, plan.time_limit_ms) {
        let (from, to) = (seconds(planned.inject_ms), seconds(planned.heal_ms));
        line(format!("  {from:>6.1} s to {to:>6.1} s  {:10} {}", planned.class, planned.label));
    }
    text
}
