//! From what a suite says of its schedule to what a plan does: which faults, when, and whether it fits into the time.
//!
//! Times. A script or phases that do not fit are refused. Phases that are shorter than the run repeat; a suite with phases and
//! without a time limit runs them once. A sequence that was asked for by its number has its time: the limit is made longer,
//! unless `--time-limit` says otherwise. Without a number a systematic schedule takes as many sequences as fit, from the
//! first.

use schism_nemesis::stretch::check_stretches;
use schism_nemesis::systematic::{self, DEPTH_MAX};
use schism_nemesis::timetable::check_steps;
use schism_nemesis::{Alphabet, DurationText, FaultSequence, FaultSpec, Schedule, Step};
use serde::{Deserialize, Serialize};

use crate::error::RunnerError;
use crate::plan::{Overrides, Plan};
use crate::possible;
use crate::suite::{ScheduleKind, Suite};

/// How many faults a sequence has at most where the suite does not say.
const DEPTH: u32 = 2;

/// How long a fault usually takes to be injected, seen, healed and seen to be gone: so many sequences are planned as fit then.
const OVERHEAD_MS: u64 = 4_000;

/// The same, generously: the time that a sequence is given where the plan decides.
const OVERHEAD_MS_MAX: u64 = 10_000;

/// The sequences of a plan, and of what they were chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SystematicPlan {
    /// How many faults a sequence has at most.
    pub depth: u32,
    /// How many sequences there are.
    pub sequences_count: u64,
    /// What they are made of: classes with one role each.
    pub alphabet: Alphabet,
    /// Those that this run goes through, in order.
    pub sequences: Vec<FaultSequence>,
}

fn wrong<T>(text: impl std::fmt::Display) -> Result<T, RunnerError> {
    Err(RunnerError::Plan(format!("schedule: {text}")))
}

fn shown(ms: u64) -> String {
    DurationText::from_ms(ms).to_string()
}

/// In which way the faults come. `--faults all` names so many that they come one after another, unless they are the letters of
/// sequences.
pub fn kind(suite: &Suite, overrides: &Overrides) -> ScheduleKind {
    match suite.schedule.kind {
        ScheduleKind::Systematic => ScheduleKind::Systematic,
        _ if overrides.faults_all => ScheduleKind::Cycle,
        kind => kind,
    }
}

/// What stands in a schedule is for its kind.
fn check_kind(suite: &Suite, overrides: &Overrides) -> Result<(), RunnerError> {
    let schedule = &suite.schedule;
    let kind = schedule.kind;
    let told: [(&str, bool, ScheduleKind, &str); 4] = [
        ("script", !schedule.script.is_empty(), ScheduleKind::Script, "script"),
        ("phases", !schedule.phases.is_empty(), ScheduleKind::Phases, "phases"),
        ("depth", schedule.depth.is_some(), ScheduleKind::Systematic, "systematic"),
        ("index", schedule.index.is_some(), ScheduleKind::Systematic, "systematic"),
    ];
    if let Some((key, .., name)) = told.iter().find(|(_, is_told, of, _)| *is_told && *of != kind) {
        return wrong(format!("`{key}` is for `kind: {name}` only"));
    }
    let (name, is_empty, form) = match kind {
        ScheduleKind::Script => ("script", schedule.script.is_empty(), "{at: 10s, fault: kill, for: 5s}"),
        ScheduleKind::Phases => {
            ("phases", schedule.phases.is_empty(), "{for: 10s, quiet: true} and {for: 30s, faults: [kill]}")
        }
        _ => return Ok(()),
    };
    if is_empty {
        return wrong(format!("`kind: {name}` needs `{name}`, a list of {form}"));
    }
    if !suite.faults.is_empty() {
        return wrong(format!("the faults of `kind: {name}` stand in it; leave the list `faults` out"));
    }
    if overrides.faults.as_ref().is_some_and(|faults| !faults.is_empty()) {
        return wrong(format!("--faults cannot change `{name}`; `--faults none` leaves it out as a whole"));
    }
    if kind == ScheduleKind::Phases && schedule.quiet_start.is_some() {
        return wrong("`quiet_start` means nothing with `kind: phases`; begin with {for: 10s, quiet: true}");
    }
    Ok(())
}

/// Shapes and targets that the suite leaves open become all that such a cluster and database allow. The faults of a script or of
/// phases are all that stand in them, each class as often as with other options.
///
/// # Errors
/// When what the suite says of its schedule contradicts itself, or the command line.
pub fn resolve_faults(
    suite: &Suite,
    overrides: &Overrides,
    nodes_count: usize,
) -> Result<(Vec<FaultSpec>, Vec<Step>), RunnerError> {
    check_kind(suite, overrides)?;
    let resolve = resolver(suite, nodes_count)?;
    let without = overrides.faults.as_ref().is_some_and(Vec::is_empty);
    let mut script = Vec::new();
    let faults: Vec<FaultSpec> = match suite.schedule.kind {
        _ if without => Vec::new(),
        ScheduleKind::Script => {
            script.clone_from(&suite.schedule.script);
            script.iter_mut().for_each(|step| step.fault = resolve(&step.fault));
            script.iter().map(|step| step.fault.clone()).collect()
        }
        ScheduleKind::Phases => suite.schedule.phases.iter().flat_map(|one| &one.faults).map(resolve).collect(),
        _ => return Ok((overrides.faults.as_ref().unwrap_or(&suite.faults).iter().map(resolve).collect(), script)),
    };
    Ok((each_once(faults), script))
}

fn resolver(suite: &Suite, nodes_count: usize) -> Result<impl Fn(&FaultSpec) -> FaultSpec, RunnerError> {
    let database = schism_tests_suites::build(&suite.database).map_err(|error| RunnerError::Plan(error.to_string()))?;
    let has_primaries = database.db.primaries().is_some();
    Ok(move |fault: &FaultSpec| fault.resolved(nodes_count, has_primaries))
}

fn each_once(all: Vec<FaultSpec>) -> Vec<FaultSpec> {
    let mut faults: Vec<FaultSpec> = Vec::new();
    for fault in all {
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }
    faults
}

/// The plan with the phases or sequences of its schedule, in a time that they fit into.
///
/// # Errors
/// When they do not fit, or there are no such sequences.
pub fn placed(plan: Plan, suite: &Suite, overrides: &Overrides) -> Result<Plan, RunnerError> {
    match plan.schedule_kind {
        ScheduleKind::Phases => with_phases(plan, suite, overrides),
        ScheduleKind::Systematic => with_sequences(plan, suite, overrides),
        _ => Ok(plan),
    }
}

fn with_phases(mut plan: Plan, suite: &Suite, overrides: &Overrides) -> Result<Plan, RunnerError> {
    let total_ms = check_stretches(&suite.schedule.phases).or_else(|error| wrong(format!("phases: {error}")))?;
    if suite.time_limit.is_none() && overrides.time_limit_ms.is_none() {
        plan.time_limit_ms = total_ms;
    }
    if total_ms > plan.time_limit_ms {
        return wrong(format!(
            "the phases take {} together, but the time limit is {}; shorten them, or give more (--time-limit)",
            shown(total_ms),
            shown(plan.time_limit_ms)
        ));
    }
    plan.quiet_start_ms = 0;
    if !plan.faults.is_empty() {
        let resolve = resolver(suite, plan.nodes.len())?;
        plan.phases.clone_from(&suite.schedule.phases);
        plan.phases
            .iter_mut()
            .flat_map(|one| &mut one.faults)
            .for_each(|fault| *fault = possible::fitted(resolve(fault), &plan.ground));
    }
    Ok(plan)
}

fn with_sequences(mut plan: Plan, suite: &Suite, overrides: &Overrides) -> Result<Plan, RunnerError> {
    let depth = suite.schedule.depth.unwrap_or(DEPTH);
    if !(1..=DEPTH_MAX).contains(&depth) {
        return wrong(format!("`depth: {depth}` makes no sense; sequences have 1 to {DEPTH_MAX} faults"));
    }
    if overrides.faults.as_ref().is_some_and(Vec::is_empty) {
        return Ok(plan);
    }
    let alphabet = Alphabet::of(&plan.faults);
    if alphabet.letters().is_empty() {
        return wrong("`kind: systematic` needs `faults`, of whose classes and targets its sequences are made");
    }
    let pace = plan.schedule();
    let sequences = match suite.schedule.index {
        Some(index) => vec![numbered(&mut plan, &alphabet, depth, index, suite, overrides)?],
        None => fitting(&alphabet, depth, &pace, plan.time_limit_ms),
    };
    if sequences.is_empty() {
        return wrong(format!(
            "the time limit of {} is too short for any sequence; give more (--time-limit)",
            shown(plan.time_limit_ms)
        ));
    }
    plan.faults = each_once(sequences.iter().flat_map(|sequence| sequence.faults.clone()).collect());
    let sequences_count = alphabet.count(depth);
    plan.systematic = Some(SystematicPlan { depth, sequences_count, alphabet, sequences });
    Ok(plan)
}

/// The sequence of that number, for which the plan has time then.
fn numbered(
    plan: &mut Plan,
    alphabet: &Alphabet,
    depth: u32,
    index: u64,
    suite: &Suite,
    overrides: &Overrides,
) -> Result<FaultSequence, RunnerError> {
    let Some(sequence) = alphabet.sequence(depth, index) else {
        return wrong(format!(
            "`index: {index}`: there are sequences 1 to {} ({} roles, up to {depth} faults); `schism plan` without an index shows them",
            alphabet.count(depth),
            alphabet.letters().len()
        ));
    };
    let pace = plan.schedule();
    let needed_ms = |overhead_ms| {
        // The first fault comes at the end of the quiet start.
        let first = sequence.faults.first().and_then(|fault| fault.pace().0).unwrap_or(pace.interval);
        let sequence_ms = systematic::sequence_ms(&sequence, &pace, overhead_ms).saturating_sub(first.ms);
        plan.quiet_start_ms.saturating_add(sequence_ms)
    };
    match overrides.time_limit_ms {
        None if suite.time_limit.is_none() => plan.time_limit_ms = needed_ms(OVERHEAD_MS_MAX),
        None => plan.time_limit_ms = plan.time_limit_ms.max(needed_ms(OVERHEAD_MS_MAX)),
        Some(limit_ms) if limit_ms < needed_ms(0) => {
            return wrong(format!(
                "sequence {index} ({}) takes {} and more, but --time-limit is {}; give more, or shorten schedule.interval and schedule.duration",
                sequence.label(),
                shown(needed_ms(0)),
                shown(limit_ms)
            ));
        }
        Some(_) => {}
    }
    Ok(sequence)
}

/// As many sequences as fit, from the first.
fn fitting(alphabet: &Alphabet, depth: u32, pace: &Schedule, time_limit_ms: u64) -> Vec<FaultSequence> {
    let mut end_ms = pace.quiet_start.ms;
    let fits = |sequence: &FaultSequence| {
        end_ms = end_ms.saturating_add(systematic::sequence_ms(sequence, pace, OVERHEAD_MS));
        // An injection at the very end of the load is not seen any more.
        end_ms <= time_limit_ms
    };
    alphabet.sequences(depth).take_while(fits).collect()
}

/// A script that can be done in the time that there is.
///
/// # Errors
/// The first step that cannot.
pub fn check_script(plan: &Plan) -> Result<(), RunnerError> {
    check_steps(&plan.script).map_err(|error| RunnerError::Plan(format!("schedule.script: {error}")))?;
    let late = plan.script.iter().find(|step| step.at.ms >= plan.time_limit_ms);
    match late {
        Some(step) => Err(RunnerError::Plan(format!(
            "schedule.script: the `{}` at {} would never come: the time limit is {}",
            step.fault.class(),
            step.at,
            DurationText::from_ms(plan.time_limit_ms)
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
