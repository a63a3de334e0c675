//! The phases of a plan: load under faults with healing and recovery, healing of what is still on, final reads.

use std::sync::Arc;

use schism_generators::{Combine, Generator, any, phases};
use schism_nemesis::{FinalHeal, Nemesis};

use crate::error::RunnerError;
use crate::interpreter::Phase;
use crate::plan::Plan;

/// Name of the phase that is the load.
pub const LOAD: &str = "load";

const MS_NS: u64 = 1_000_000;

/// All phases, in order.
///
/// The load goes on while the last faults are healed and for the time of recovery after: one generator throughout, so
/// that values stay unique, and so that operations after the faults are judged like those under them. The phase
/// `heal` finds nothing to do then, unless the load was stopped or a heal was not proven.
///
/// # Errors
/// When the workload's options contradict each other.
pub fn of_plan(plan: &Plan, nemesis: &Arc<Nemesis>) -> Result<Vec<Phase>, RunnerError> {
    let workload = schism_workloads::build(&plan.workload, plan.seed, plan.concurrency)
        .map_err(|error| RunnerError::Plan(error.to_string()))?;
    let paced: Box<dyn Generator> = match plan.rate_hz {
        Some(rate_hz) => {
            let interval_ns = (1e9 / rate_hz).clamp(1.0, 1e18) as u64;
            workload.generator.stagger(interval_ns, plan.seed.stream("pace")).boxed()
        }
        None => workload.generator,
    };
    let load_ns = plan.time_limit_ms.saturating_add(plan.recovery_ms).saturating_mul(MS_NS);
    let clients = paced.time_limit(load_ns).clients().boxed();
    let faults = plan.fault_generator().time_limit(plan.time_limit_ms.saturating_mul(MS_NS)).boxed();
    let heal = FinalHeal::new(nemesis.open_faults());
    let harm = phases(vec![faults, heal.clone().boxed()]).nemesis().boxed();
    let mut all = vec![
        Phase { name: LOAD, generator: any(vec![harm, clients]).boxed(), when_stopped: false },
        Phase { name: "heal", generator: heal.nemesis().boxed(), when_stopped: true },
    ];
    if let Some(generator) = workload.final_generator {
        all.push(Phase { name: "final reads", generator: generator.clients().boxed(), when_stopped: false });
    }
    Ok(all)
}
