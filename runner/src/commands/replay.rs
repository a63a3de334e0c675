//! `schism replay`: a run again, from its folder alone.
//!
//! Plan and seed are the same, so the clients draw the same; the faults come at the times at which they came, on the nodes
//! and links that they hit, whoever leads now. What runs against a real cluster repeats in this, not in interleaving.

use std::collections::BTreeMap;

use schism_history::{F, History, Kind, OpIndex, Process, RunFacts};
use schism_nemesis::{DurationText, FaultSpec, Intention, Step};

use crate::cli::ReplayArgs;
use crate::commands::run;
use crate::error::RunnerError;
use crate::exit::Exit;
use crate::judge;
use crate::plan::Plan;
use crate::run_dir::RunDir;
use crate::suite::ScheduleKind;

/// Runs it again, and ends as that run does.
///
/// # Errors
/// When the folder cannot be read, or what prevented a verdict.
pub fn replay(args: &ReplayArgs, verbose: u8, color: bool) -> Result<Exit, RunnerError> {
    let dir = RunDir::open(&args.runs, &args.run)?;
    let mut plan = judge::read_plan(&dir)?;
    let history = judge::read_history(&dir.history())?;
    plan.script = steps(&plan, &history);
    plan.schedule_kind = ScheduleKind::Script;
    plan.repeat_command = format!("schism replay {}", schism_cluster::shell::quote(&dir.path().display().to_string()));
    run::once(&args.runs, args.json, &plan, verbose, color)
}

/// The faults of a history, as they were: when, for how long, and on whom.
fn steps(plan: &Plan, history: &History) -> Vec<Step> {
    let mut wanted = BTreeMap::new();
    let mut done = BTreeMap::new();
    for index in 0..history.len() as OpIndex {
        if let (Process::Nemesis(_), F::Inject, Some(id)) =
            (history.process(index), history.f(index), history.fault_id(index))
        {
            let into = if history.kind(index) == Kind::Invoke { &mut wanted } else { &mut done };
            into.insert(id, history.value(index));
        }
    }
    let step = |window: schism_history::facts::FaultWindow| {
        let fault: FaultSpec = plan.faults.iter().find(|fault| fault.class() == window.class)?.clone();
        let intention = Intention::from_value(&window.class, wanted.get(&window.fault_id)?).ok()?;
        let intention = match done.get(&window.fault_id) {
            Some(answer) => intention.concrete(&answer.to_json()),
            None => intention,
        };
        let at_ms = window.start_ns / 1_000_000;
        let heal_ms = window.heal_start_ns.map_or(plan.time_limit_ms, |heal_ns| heal_ns / 1_000_000);
        Some(Step {
            at: DurationText::from_ms(at_ms),
            fault,
            lasts: DurationText::from_ms(heal_ms.saturating_sub(at_ms)),
            recorded: Some(intention.to_value().to_json()),
        })
    };
    RunFacts::faults_from(history).into_iter().filter_map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_become_steps_with_the_nodes_that_they_hit() {
        let inject = r#"nemesis/kill#1:inject={"target":"primaries","draw":3,"duration_ms":5000}("#;
        let done = r#"nemesis/kill?{"label":"kill: n4","nodes":["n4"],"evidence":{"proven":true,"measured":1}}"#;
        let text = format!("{inject} {done} nemesis/kill#1:heal=nil(");
        let history = schism_history::notation::parse(&text).expect("a history");
        let suite = "database: {etcd: {}}\nworkload: {register: {}}\nfaults: [kill]\n";
        let suite = crate::suite::parse("x", suite, &[]).expect("a suite");
        let ground = crate::plan::GroundPlan::Namespaces;
        let overrides = crate::plan::Overrides::default();
        let plan = crate::plan::resolve("x", &suite, ground, &overrides, schism_history::Seed(1), String::new());
        let steps = steps(&plan.expect("a plan"), &history);
        assert_eq!(steps.len(), 1);
        assert_eq!((steps[0].at.ms, steps[0].lasts.ms), (0, 2));
        let recorded = steps[0].recorded.as_ref().expect("recorded");
        assert_eq!(*recorded, serde_json::json!({"target": ["n4"], "draw": 3, "duration_ms": 5000}));
    }
}
