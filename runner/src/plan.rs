//! A plan: a suite resolved, with no option left open. What `run` does and `plan` shows; kept in the run folder.

use schism_checkers::Budget;
use schism_generators::Generator;
use schism_history::Seed;
use schism_nemesis::{DurationText, FaultSpec, Faults, Need, Step, Stretch, Stretches, Systematic, Timetable};
use schism_tests_suites::DatabaseSpec;
use schism_workloads::WorkloadSpec;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use schism_cluster::Ability;
use schism_lab::{LabKind, LabSpec, NetworkKind};

use crate::error::RunnerError;
use crate::possible::{self, LeftOut};
use crate::schedule::{self, SystematicPlan};
use crate::suite::{Concurrency, Nodes, ScheduleKind, Suite};

/// Version of the run folder's formats.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that a run will do, as far as it is known before it begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Version of the run folder's formats.
    pub schema_version: u32,
    /// Name of the suite.
    pub suite: String,
    /// The seed of all chance.
    pub seed: Seed,
    /// The command that repeats the run, seed included.
    pub repeat_command: String,
    /// The database and its options.
    pub database: DatabaseSpec,
    /// The workload and its options.
    pub workload: WorkloadSpec,
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// Where the nodes live.
    pub ground: GroundPlan,
    /// What joins the nodes, where they are a lab of namespaces made for the run.
    #[serde(default)]
    pub network: NetworkKind,
    /// Whether the database is installed, started and wiped by us.
    pub setup: bool,
    /// Client workers.
    pub concurrency: u32,
    /// Operations per second of all clients together; `null`: as fast as they answer.
    pub rate_hz: Option<f64>,
    /// How long the load runs.
    pub time_limit_ms: u64,
    /// The faults.
    pub faults: Vec<FaultSpec>,
    /// In which way the faults come.
    #[serde(default)]
    pub schedule_kind: ScheduleKind,
    /// The faults of a script.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub script: Vec<Step>,
    /// The stretches of a schedule in phases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Stretch>,
    /// The sequences of a systematic schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub systematic: Option<SystematicPlan>,
    /// No fault for this long at the beginning.
    pub quiet_start_ms: u64,
    /// Mean time between the healing of a fault and the next of its class.
    pub interval_ms_mean: u64,
    /// Mean time that a fault is on.
    pub duration_ms_mean: u64,
    /// After the last fault is healed, the load goes on for this long.
    pub recovery_ms: u64,
    /// Faults heal themselves when the controller has been gone for this long.
    pub lease_ms: u64,
    /// What a search of the checkers may cost, per key.
    pub budget: Budget,
    /// Of all faults, those that this ground cannot do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

/// Where the nodes live.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ground", rename_all = "kebab-case")]
pub enum GroundPlan {
    /// A lab of namespaces, made for the run.
    Namespaces,
    /// A lab of virtual machines, made for the run.
    Vms,
    /// A lab that is there.
    Lab {
        /// Its id.
        id: String,
        /// What its nodes are.
        #[serde(default)]
        kind: LabKind,
        /// Names of its nodes.
        names: Vec<String>,
    },
    /// Machines of an inventory.
    Machines {
        /// The inventory as written; it holds no secrets, only the names of variables that do.
        inventory: serde_json::Value,
        /// Names of its nodes.
        names: Vec<String>,
    },
}

/// What the command line adds to a suite.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--nodes`
    pub nodes: Option<Nodes>,
    /// `--workload`
    pub workload: Option<WorkloadSpec>,
    /// `--faults`; empty list: none.
    pub faults: Option<Vec<FaultSpec>>,
    /// `--faults all`: so many that they come one after another, and the time is made to fit.
    pub faults_all: bool,
    /// `--time-limit`
    pub time_limit_ms: Option<u64>,
    /// `--concurrency`
    pub concurrency: Option<Concurrency>,
    /// `--rate`
    pub rate_hz: Option<f64>,
    /// `--no-setup`
    pub no_setup: bool,
    /// `--lease`
    pub lease_ms: Option<u64>,
    /// What a search may cost.
    pub budget: Budget,
    /// `--set`, as written: times that are told so are not made longer for slow machines.
    pub sets: Vec<String>,
}

const SECOND_MS: u64 = 1_000;

/// Resolves a suite. Pure.
///
/// # Errors
/// When parts of it contradict each other.
pub fn resolve(
    name: &str,
    suite: &Suite,
    ground: GroundPlan,
    overrides: &Overrides,
    seed: Seed,
    repeat_command: String,
) -> Result<Plan, RunnerError> {
    let nodes = resolve_nodes(suite, &ground, overrides)?;
    let concurrency = overrides.concurrency.or(suite.concurrency).unwrap_or(Concurrency::PerNode(2));
    let workers = concurrency.workers(nodes.len() as u32);
    if workers == 0 || workers > 100_000 {
        return Err(RunnerError::Plan(format!("a concurrency of {workers} workers makes no sense")));
    }
    let rate_hz = overrides.rate_hz.or(suite.rate_hz);
    if let Some(rate_hz) = rate_hz.filter(|rate_hz| !rate_hz.is_finite() || *rate_hz <= 0.0) {
        return Err(RunnerError::Plan(format!(
            "a rate of {rate_hz} operations per second makes no sense; it must be above 0"
        )));
    }
    let ms = |text: Option<DurationText>, default_ms: u64| text.map_or(default_ms, |text| text.ms);
    let (mut faults, mut script) = schedule::resolve_faults(suite, overrides, nodes.len())?;
    for fault in faults.iter_mut().chain(script.iter_mut().map(|step| &mut step.fault)) {
        *fault = possible::fitted(fault.clone(), &ground);
    }
    let (faults, left_out) =
        if overrides.faults_all { possible::sorted(faults, &ground) } else { (faults, Vec::new()) };
    // On emulated machines a fault takes seconds to be injected and seen, and an election longer: what the suite says is
    // for real ones. Where all classes have their turn, once each is enough.
    let of_suite = |key: &str, text: Option<DurationText>, default_ms: u64, (mix_s, turn_s): (u64, u64)| {
        let told = overrides.sets.iter().any(|set| set.split_once('=').is_some_and(|(path, _)| path.trim() == key));
        let least_ms = if overrides.faults_all { turn_s } else { mix_s } * SECOND_MS;
        if ground.is_of_machines() && !told { ms(text, default_ms).max(least_ms) } else { ms(text, default_ms) }
    };
    let plan = Plan {
        schema_version: SCHEMA_VERSION,
        suite: name.to_owned(),
        seed,
        repeat_command,
        database: if ground.is_of_machines() { suite.database.patient() } else { suite.database.clone() },
        workload: overrides.workload.clone().unwrap_or_else(|| suite.workload.clone()),
        nodes,
        ground: ground.clone(),
        network: match ground {
            GroundPlan::Namespaces => network_for(faults.iter().flat_map(FaultSpec::needs)),
            _ => NetworkKind::Cables,
        },
        setup: !overrides.no_setup,
        concurrency: workers,
        rate_hz,
        time_limit_ms: overrides
            .time_limit_ms
            .unwrap_or_else(|| of_suite("time_limit", suite.time_limit, 60 * SECOND_MS, (180, 60))),
        faults,
        schedule_kind: schedule::kind(suite, overrides),
        script,
        phases: Vec::new(),
        systematic: None,
        quiet_start_ms: ms(suite.schedule.quiet_start, 5 * SECOND_MS),
        interval_ms_mean: of_suite("schedule.interval", suite.schedule.interval, 5 * SECOND_MS, (20, 5)),
        duration_ms_mean: of_suite("schedule.duration", suite.schedule.duration, 8 * SECOND_MS, (30, 15)),
        recovery_ms: of_suite("schedule.recovery", suite.schedule.recovery, 8 * SECOND_MS, (30, 30)),
        lease_ms: overrides.lease_ms.unwrap_or_else(|| ms(suite.schedule.lease, 30 * SECOND_MS)),
        budget: overrides.budget,
        left_out,
    };
    let all_in_turn = overrides.faults_all && plan.schedule_kind == ScheduleKind::Cycle;
    let plan = if all_in_turn && overrides.time_limit_ms.is_none() { with_time_for_all(plan) } else { plan };
    let plan = schedule::placed(plan, suite, overrides)?;
    schedule::check_script(&plan)?;
    check_faults(&plan)?;
    check_times(&plan)?;
    schism_workloads::build(&plan.workload, seed, plan.concurrency)
        .map_err(|error| RunnerError::Plan(error.to_string()))?;
    let told = matches!(plan.schedule_kind, ScheduleKind::Script | ScheduleKind::Phases);
    if !told && !plan.faults.is_empty() && plan.quiet_start_ms >= plan.time_limit_ms {
        return Err(RunnerError::Plan(format!(
            "faults were asked for, but the quiet start ({} ms) is not shorter than the time limit ({} ms), so none would come; lengthen --time-limit or shorten schedule.quiet_start",
            plan.quiet_start_ms, plan.time_limit_ms
        )));
    }
    Ok(plan)
}

/// Cables are faster, a switch can shape links: a lab has one where a fault needs that.
fn network_for(mut needs: impl Iterator<Item = Need>) -> NetworkKind {
    if needs.any(|need| is_of_links(&need)) { NetworkKind::Switch } else { NetworkKind::Cables }
}

/// Whether a need is met by shaping links, alone or among others.
fn is_of_links(need: &Need) -> bool {
    match need {
        Need::Ground(ability) => *ability == Ability::Links,
        Need::AnyOf(needs) => needs.iter().any(is_of_links),
        _ => false,
    }
}

/// How long a fault takes to be injected, seen, healed and seen to be gone, generously; and on emulated machines.
const FAULT_OVERHEAD_MS: (u64, u64) = (10 * SECOND_MS, 30 * SECOND_MS);

/// With a time limit in which each fault has its turn in a cycle.
fn with_time_for_all(plan: Plan) -> Plan {
    let overhead_ms = if plan.ground.is_of_machines() { FAULT_OVERHEAD_MS.1 } else { FAULT_OVERHEAD_MS.0 };
    let turn = |fault: &FaultSpec| {
        let (interval, duration) = fault.pace();
        let interval_ms = interval.map_or(plan.interval_ms_mean, |span| span.ms);
        let duration_ms = duration.map_or(plan.duration_ms_mean, |span| span.ms);
        interval_ms.saturating_add(duration_ms).saturating_add(overhead_ms)
    };
    let needed_ms = plan.faults.iter().map(turn).fold(plan.quiet_start_ms, u64::saturating_add);
    Plan { time_limit_ms: plan.time_limit_ms.max(needed_ms), ..plan }
}

/// The shortest and the longest lease.
const LEASE_MS: std::ops::RangeInclusive<u64> = 2 * SECOND_MS..=3_600 * SECOND_MS;
/// No load, recovery or pace is longer: a week.
const SPAN_MS_MAX: u64 = 7 * 24 * 3_600 * SECOND_MS;

/// Times that make sense.
fn check_times(plan: &Plan) -> Result<(), RunnerError> {
    let shown = |ms: u64| DurationText::from_ms(ms).to_string();
    if !LEASE_MS.contains(&plan.lease_ms) {
        return Err(RunnerError::Plan(format!(
            "a lease of {} makes no sense: from {} (signs of life come twice a second at most) to {} (nobody should wait longer for nodes to heal)",
            shown(plan.lease_ms),
            shown(*LEASE_MS.start()),
            shown(*LEASE_MS.end())
        )));
    }
    if plan.time_limit_ms == 0 {
        return Err(RunnerError::Plan("a time limit of 0 leaves nothing to test".to_owned()));
    }
    let spans = [
        ("time limit", plan.time_limit_ms),
        ("schedule.recovery", plan.recovery_ms),
        ("schedule.interval", plan.interval_ms_mean),
        ("schedule.duration", plan.duration_ms_mean),
    ];
    if let Some((what, ms)) = spans.into_iter().find(|(_, ms)| *ms > SPAN_MS_MAX) {
        return Err(RunnerError::Plan(format!(
            "{what}: {} is longer than {}, the longest that there is; repeat shorter runs instead (--repeat)",
            shown(ms),
            shown(SPAN_MS_MAX)
        )));
    }
    Ok(())
}

/// What the faults need of the nodes' number and names is known before any node is reached.
fn check_faults(plan: &Plan) -> Result<(), RunnerError> {
    for fault in &plan.faults {
        if let Err(why) = possible::on(&plan.ground, fault) {
            return Err(RunnerError::Plan(format!(
                "the fault `{}` cannot be done here: {}; leave it out of the suite, or choose another ground",
                why.class, why.reason
            )));
        }
        for need in fault.needs() {
            let class = fault.class();
            match need {
                Need::Nodes { at_least, of } if at_least > plan.nodes.len() => {
                    return Err(RunnerError::Plan(format!(
                        "the fault `{class}` cannot be done here: {of} needs at least {at_least} nodes, there are {}; give more nodes (--nodes), or leave it out of the suite",
                        plan.nodes.len()
                    )));
                }
                Need::Node { name } if !plan.nodes.contains(&name) => {
                    return Err(RunnerError::Plan(format!(
                        "the fault `{class}` names the node `{name}`, but there are {}",
                        plan.nodes.join(", ")
                    )));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn resolve_nodes(suite: &Suite, ground: &GroundPlan, overrides: &Overrides) -> Result<Vec<String>, RunnerError> {
    let named = |count: u32| (1..=count).map(|number| format!("n{number}")).collect::<Vec<_>>();
    let (what, known) = match ground {
        GroundPlan::Machines { names, .. } => ("inventory", names),
        GroundPlan::Lab { names, .. } => ("lab", names),
        GroundPlan::Namespaces | GroundPlan::Vms => {
            let names = match overrides.nodes.as_ref().or(suite.nodes.as_ref()) {
                Some(Nodes::Names(names)) => names.clone(),
                Some(Nodes::Count(count)) => named(*count),
                None => named(5),
            };
            let spec = LabSpec { nodes: names.clone(), ..LabSpec::new("plan", names.len()) };
            spec.check()?;
            return Ok(names);
        }
    };
    // Nodes that are there have their own names: of the suite only the number counts.
    let count_of_suite = suite.nodes.as_ref().map(|nodes| match nodes {
        Nodes::Count(count) => *count,
        Nodes::Names(names) => names.len() as u32,
    });
    let asked = overrides.nodes.clone().or(count_of_suite.map(Nodes::Count));
    match &asked {
        None => Ok(known.clone()),
        Some(Nodes::Count(count)) if *count as usize <= known.len() => Ok(known[..*count as usize].to_vec()),
        Some(Nodes::Count(count)) => Err(RunnerError::Plan(format!(
            "{count} nodes are asked for, but the {what} has {}; say how many with --nodes",
            known.len()
        ))),
        Some(Nodes::Names(names)) => {
            if let Some(missing) = names.iter().find(|name| !known.contains(name)) {
                return Err(RunnerError::Plan(format!(
                    "the node `{missing}` is not in the {what}, which has {}",
                    known.join(", ")
                )));
            }
            Ok(names.clone())
        }
    }
}

impl GroundPlan {
    /// `namespaces`, `vms`, `machines`.
    pub fn name(&self) -> &'static str {
        match self {
            GroundPlan::Namespaces => LabKind::Namespaces.ground(),
            GroundPlan::Vms => LabKind::Vms.ground(),
            GroundPlan::Lab { kind, .. } => kind.ground(),
            GroundPlan::Machines { .. } => "machines",
        }
    }

    /// Whether its nodes are virtual machines of this machine, which may be emulated and slow.
    pub fn is_of_machines(&self) -> bool {
        self.name() == LabKind::Vms.ground()
    }

    /// Whether it is a lab that is made for the run.
    pub fn is_made_for_the_run(&self) -> bool {
        matches!(self, GroundPlan::Namespaces | GroundPlan::Vms)
    }

    /// In words.
    pub fn describe(&self) -> String {
        match self {
            GroundPlan::Namespaces => {
                "a lab of namespaces on this machine, made for the run and gone after it".to_owned()
            }
            GroundPlan::Vms => {
                "a lab of virtual machines on this machine, made for the run and gone after it".to_owned()
            }
            GroundPlan::Lab { id, .. } => format!("the lab {id}"),
            GroundPlan::Machines { names, .. } => format!("{} machines of an inventory", names.len()),
        }
    }
}

impl Plan {
    /// The schedule of the faults.
    pub fn schedule(&self) -> schism_nemesis::Schedule {
        schism_nemesis::Schedule {
            quiet_start: DurationText::from_ms(self.quiet_start_ms),
            interval: DurationText::from_ms(self.interval_ms_mean),
            duration: DurationText::from_ms(self.duration_ms_mean),
        }
    }

    /// Whether nodes are logged in to at all: a cluster that runs already and is not harmed is reached by its clients alone.
    pub fn logs_in(&self) -> bool {
        self.setup || !self.faults.is_empty()
    }

    /// What injects and heals, in time; without a limit.
    pub fn fault_generator(&self) -> Box<dyn Generator> {
        match self.schedule_kind {
            ScheduleKind::Mix => Box::new(Faults::new(&self.faults, &self.schedule(), self.seed)),
            ScheduleKind::Cycle => Box::new(Timetable::cycle(&self.faults, &self.schedule(), self.seed)),
            ScheduleKind::Script => Box::new(Timetable::script(&self.script, self.seed)),
            ScheduleKind::Phases => Box::new(Stretches::new(&self.phases, &self.schedule(), self.seed)),
            ScheduleKind::Systematic => {
                let sequences = self.systematic.as_ref().map_or(&[][..], |systematic| &systematic.sequences);
                Box::new(Systematic::new(sequences, &self.schedule(), self.seed))
            }
        }
    }

    /// The plan as JSON, the form that is kept and digested.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which would be a defect.
    pub fn to_json(&self) -> Result<String, RunnerError> {
        serde_json::to_string_pretty(self)
            .map_err(|error| RunnerError::Internal(format!("a plan has no JSON: {error}")))
    }

    /// SHA-256 of the plan's JSON, in hexadecimal.
    ///
    /// # Errors
    /// As [`Plan::to_json`].
    pub fn digest(&self) -> Result<String, RunnerError> {
        Ok(Sha256::digest(self.to_json()?).iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Classes of fault that are asked for, each once.
    pub fn fault_classes(&self) -> Vec<String> {
        let mut classes: Vec<String> = Vec::new();
        for fault in &self.faults {
            if !classes.iter().any(|class| class == fault.class()) {
                classes.push(fault.class().to_owned());
            }
        }
        classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_has_a_switch_where_a_fault_needs_it() {
        let needs = [Need::Probe, Need::Kill];
        assert_eq!(network_for(needs.clone().into_iter()), NetworkKind::Cables);
        let links = Need::Ground(Ability::Links);
        for need in [links.clone(), Need::AnyOf(vec![Need::Probe, links])] {
            assert_eq!(network_for(needs.clone().into_iter().chain([need])), NetworkKind::Switch);
        }
    }
}
