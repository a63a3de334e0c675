//! The phases of a plan: load under faults with healing and recovery, healing of what is still on, final reads.

use std::sync::Arc;

use schism_generators::{Combine, Context, Generator, Next, phases};
use schism_history::{F, Kind, Op};
use schism_nemesis::{FinalHeal, Nemesis};

use crate::error::RunnerError;
use crate::interpreter::Phase;
use crate::plan::Plan;

/// Name of the phase that is the load.
pub const LOAD: &str = "load";

const MS_NS: u64 = 1_000_000;

/// For how long a fault is on that was seen to be on only when the load's time was over: so that something is seen of the
/// database under it.
const LATE_NS: u64 = 2_000 * MS_NS;

/// All phases, in order.
///
/// The load goes on while the last faults are healed, and for the time of recovery from when that was proven: one generator
/// throughout, so that values stay unique, and so that operations after the faults are judged like those under them. The
/// phase `heal` finds nothing to do then, unless the load was stopped or a heal was not proven in two tries.
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
    let load_ns = plan.time_limit_ms.saturating_mul(MS_NS);
    let recovery_ns = plan.recovery_ms.saturating_mul(MS_NS);
    let faults = plan.fault_generator().time_limit(load_ns).boxed();
    let heal = FinalHeal::new(nemesis.open_faults());
    let load = Load::new(faults, &heal, paced, load_ns, recovery_ns);
    let mut all = vec![
        Phase { name: LOAD, generator: load.boxed(), when_stopped: false },
        Phase { name: "heal", generator: heal.nemesis().boxed(), when_stopped: true },
    ];
    if let Some(generator) = workload.final_generator {
        all.push(Phase { name: "final reads", generator: generator.clients().boxed(), when_stopped: false });
    }
    Ok(all)
}

/// Clients under faults, and for a time of recovery after: it begins when the load's time is over and nothing is harmed any
/// more, however long the last injection and its heal take. An injection that is under way when the time is over is
/// waited for, as only then it can be healed, and is on for two seconds.
#[derive(Clone)]
pub struct Load {
    /// Faults, then their heals; `None` once all of them are over.
    harm: Option<Box<dyn Generator>>,
    clients: Box<dyn Generator>,
    load_ns: u64,
    recovery_ns: u64,
    /// When the load's time is over; known from the first question on.
    over_ns: Option<u64>,
    /// Until when nothing is healed, as a fault has only just come.
    held_ns: u64,
    /// When clients begin nothing any more; known once nothing is harmed.
    end_ns: Option<u64>,
}

impl Load {
    /// These faults (limited in time), healed by `heal` (a second time where that was not proven), under operations of
    /// `clients`.
    pub fn new(
        faults: Box<dyn Generator>,
        heal: &FinalHeal,
        clients: Box<dyn Generator>,
        load_ns: u64,
        recovery_ns: u64,
    ) -> Load {
        let harm = phases(vec![faults, heal.clone().boxed(), heal.clone().boxed()]).nemesis().boxed();
        let clients = clients.clients().boxed();
        Load { harm: Some(harm), clients, load_ns, recovery_ns, over_ns: None, held_ns: 0, end_ns: None }
    }

    /// What the nemesis is to do; `None` once it has nothing more to do and has done all.
    fn harm(&mut self, context: &Context<'_>) -> Option<Next> {
        let harm = self.harm.as_mut()?;
        if context.now_ns < self.held_ns {
            return Some(Next::Pending { until_ns: Some(self.held_ns) });
        }
        match harm.next(context) {
            // The last heal is still under way.
            Next::Exhausted if !context.actors_only().idle() => Some(Next::WAIT),
            Next::Exhausted => {
                self.harm = None;
                None
            }
            next => Some(next),
        }
    }
}

impl Generator for Load {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let over_ns = *self.over_ns.get_or_insert(context.now_ns.saturating_add(self.load_ns));
        let harm = match self.harm(context) {
            Some(Next::Op(invocation)) => return Next::Op(invocation),
            Some(Next::Pending { until_ns }) => until_ns,
            _ => {
                let recovery_ns = self.recovery_ns;
                self.end_ns.get_or_insert_with(|| context.now_ns.max(over_ns).saturating_add(recovery_ns));
                None
            }
        };
        if self.end_ns.is_some_and(|end_ns| context.now_ns >= end_ns) {
            return Next::Exhausted;
        }
        let soonest = |until_ns: Option<u64>| until_ns.into_iter().chain(harm).chain(self.end_ns).min();
        match self.clients.next(context) {
            Next::Pending { until_ns } => Next::Pending { until_ns: soonest(until_ns) },
            // A workload that is over need not wait for a recovery that nobody would see.
            Next::Exhausted if self.harm.is_some() => Next::Pending { until_ns: harm },
            next => next,
        }
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        self.clients.update(context, event);
        let Some(harm) = &mut self.harm else { return };
        harm.update(context, event);
        let has_come = event.f == F::Inject && event.kind != Kind::Invoke && event.error.is_none();
        if has_come && self.over_ns.is_some_and(|over_ns| context.now_ns >= over_ns) {
            self.held_ns = context.now_ns.saturating_add(LATE_NS);
        }
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
#[path = "phases_tests.rs"]
mod tests;
