//! When which fault: a generator of injections and heals, the same for the same seed.
//!
//! Each class of fault goes its own way, with its own stream of chance (`nemesis/<class>`), so that classes overlap and
//! adding one does not shift another: a wait, an injection, the time it is on, its heal, and again. Other kinds of schedule
//! are in [`crate::timetable`], [`crate::stretch`] and [`crate::systematic`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rand_chacha::ChaCha8Rng;
use schism_generators::{Context, Generator, Invocation, Next, Workers};
use schism_history::{F, Kind, Op, Process, Seed, Value};
use serde::{Deserialize, Serialize};

use crate::draw;
use crate::intention::Intention;
use crate::span::DurationText;
use crate::spec::FaultSpec;
use crate::tag::RunTag;
use crate::target::View;

/// The pace of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// How long nothing is harmed at the start.
    pub quiet_start: DurationText,
    /// Mean time between the heal of a fault and the next of its class: evenly from half of it to one and a half. The
    /// first fault of a class comes evenly within this time after the quiet start.
    pub interval: DurationText,
    /// Mean time that a fault is on, from when it was seen to be: evenly from half of it to one and a half.
    pub duration: DurationText,
}

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule {
            quiet_start: DurationText::from_secs(5),
            interval: DurationText::from_secs(10),
            duration: DurationText::from_secs(10),
        }
    }
}

const NS_PER_MS: u64 = 1_000_000;

/// What a class is doing.
#[derive(Debug, Clone, PartialEq)]
enum Phase {
    /// Nothing is on until then.
    Waiting { until_ns: u64 },
    /// The injection is under way; the fault is to be on for so long from when it was seen to be.
    Injecting { lasts_ns: u64 },
    /// The fault is on.
    On { heal_at_ns: u64 },
    /// The heal is under way.
    Healing,
}

/// One class of fault on its way.
#[derive(Debug, Clone)]
struct ClassSchedule {
    process: Process,
    class: Arc<str>,
    spec: FaultSpec,
    interval_ms: u64,
    duration_ms: u64,
    rng: ChaCha8Rng,
    phase: Phase,
}

impl ClassSchedule {
    fn new(spec: &FaultSpec, schedule: &Schedule, mut rng: ChaCha8Rng, first_within_ms: u64) -> ClassSchedule {
        let class = spec.class();
        let (interval, duration) = spec.pace();
        let interval_ms = interval.unwrap_or(schedule.interval).ms;
        let first_within_ms = first_within_ms.min(interval_ms);
        let first_ms = schedule.quiet_start.ms.saturating_add(draw::below(&mut rng, first_within_ms.saturating_add(1)));
        ClassSchedule {
            process: Process::nemesis(class),
            class: Arc::from(class),
            spec: spec.clone(),
            interval_ms,
            duration_ms: duration.unwrap_or(schedule.duration).ms,
            rng,
            phase: Phase::Waiting { until_ns: first_ms.saturating_mul(NS_PER_MS) },
        }
    }

    /// Draws what to do next; always the same number of streams' steps for the same lists.
    fn intention(&mut self) -> Option<Intention> {
        let rng = &mut self.rng;
        let values = self.spec.draw(rng)?;
        let draw = draw::below(rng, u64::from(u32::MAX)) as u32;
        Some(Intention::new(self.spec.entry(), values, draw, draw::around(rng, self.duration_ms)))
    }

    fn next(&mut self, context: &Context<'_>) -> Next {
        let (due_ns, inject) = match self.phase {
            Phase::Waiting { until_ns } => (until_ns, true),
            Phase::On { heal_at_ns } => (heal_at_ns, false),
            Phase::Injecting { .. } | Phase::Healing => return Next::Pending { until_ns: None },
        };
        if context.now_ns < due_ns {
            return Next::Pending { until_ns: Some(due_ns) };
        }
        if !context.nemesis_is_free(&self.class) {
            return Next::Pending { until_ns: None };
        }
        let (f, value) = if inject {
            let Some(intention) = self.intention() else { return Next::Exhausted };
            self.phase = Phase::Injecting { lasts_ns: intention.duration_ms.saturating_mul(NS_PER_MS) };
            (F::Inject, intention.to_value())
        } else {
            self.phase = Phase::Healing;
            (F::Heal, Value::Nil)
        };
        Next::Op(Invocation { process: self.process.clone(), f, key: None, value })
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        if event.kind == Kind::Invoke {
            return;
        }
        match (&event.f, &self.phase) {
            (F::Inject, Phase::Injecting { lasts_ns }) => {
                // What was not injected is healed at once: part of it may be there, and its window must end.
                let lasts_ns = if event.error.is_some() { 0 } else { *lasts_ns };
                self.phase = Phase::On { heal_at_ns: context.now_ns.saturating_add(lasts_ns) };
            }
            (F::Heal, Phase::Healing) => {
                let wait_ns = draw::around(&mut self.rng, self.interval_ms).saturating_mul(NS_PER_MS);
                self.phase = Phase::Waiting { until_ns: context.now_ns.saturating_add(wait_ns) };
            }
            _ => {}
        }
    }
}

/// All classes of fault of a run on their ways. Endless: whoever runs it limits its time and then heals
/// ([`FinalHeal`]).
#[derive(Debug, Clone)]
pub struct Faults {
    classes: Vec<ClassSchedule>,
}

impl Faults {
    /// These faults (resolved: [`FaultSpec::resolved`]) at this pace. A class that stands twice goes on as its first.
    pub fn new(specs: &[FaultSpec], schedule: &Schedule, seed: Seed) -> Faults {
        Faults::with_streams(specs, schedule, u64::MAX, |class| seed.stream(&format!("nemesis/{class}")))
    }

    /// The same, each class with the chance that `stream` gives it, and its first fault not later than so long after the quiet
    /// start.
    pub(crate) fn with_streams(
        specs: &[FaultSpec],
        schedule: &Schedule,
        first_within_ms: u64,
        stream: impl Fn(&str) -> ChaCha8Rng,
    ) -> Faults {
        let mut classes: Vec<ClassSchedule> = Vec::new();
        for spec in specs {
            if classes.iter().all(|known| *known.class != *spec.class()) {
                classes.push(ClassSchedule::new(spec, schedule, stream(spec.class()), first_within_ms));
            }
        }
        Faults { classes }
    }
}

impl Generator for Faults {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let mut soonest: Option<u64> = None;
        let mut pending = false;
        for class in &mut self.classes {
            match class.next(context) {
                Next::Op(invocation) => return Next::Op(invocation),
                Next::Pending { until_ns } => {
                    pending = true;
                    soonest = soonest.into_iter().chain(until_ns).min();
                }
                Next::Exhausted => {}
            }
        }
        if pending { Next::Pending { until_ns: soonest } } else { Next::Exhausted }
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        if let Some(class) = self.classes.iter_mut().find(|class| class.process == event.process) {
            class.update(context, event);
        }
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// Which classes have a fault on now, with its id: kept by the nemesis, read by [`FinalHeal`].
#[derive(Debug, Default)]
pub struct OpenFaults {
    classes: Mutex<BTreeMap<String, u32>>,
}

impl OpenFaults {
    /// Marks a class.
    pub fn open(&self, class: &str, fault_id: u32) {
        self.classes.lock().unwrap_or_else(PoisonError::into_inner).insert(class.to_owned(), fault_id);
    }

    /// Unmarks a class.
    pub fn close(&self, class: &str) {
        self.classes.lock().unwrap_or_else(PoisonError::into_inner).remove(class);
    }

    /// Classes and fault ids, by class.
    pub fn list(&self) -> Vec<(String, u32)> {
        let classes = self.classes.lock().unwrap_or_else(PoisonError::into_inner);
        classes.iter().map(|(class, id)| (class.clone(), *id)).collect()
    }
}

/// Heals every class that has a fault on when it is first asked, then is exhausted.
#[derive(Debug, Clone)]
pub struct FinalHeal {
    open: Arc<OpenFaults>,
    left: Option<Vec<String>>,
}

impl FinalHeal {
    /// Of the faults that are marked there.
    pub fn new(open: Arc<OpenFaults>) -> FinalHeal {
        FinalHeal { open, left: None }
    }
}

impl Generator for FinalHeal {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let open = &self.open;
        let left = self.left.get_or_insert_with(|| open.list().into_iter().map(|(class, _)| class).collect());
        if left.is_empty() {
            return Next::Exhausted;
        }
        match left.iter().position(|class| context.nemesis_is_free(class)) {
            Some(place) => {
                let process = Process::nemesis(&left.remove(place));
                Next::Op(Invocation { process, f: F::Heal, key: None, value: Value::Nil })
            }
            None => Next::Pending { until_ns: None },
        }
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// A fault that is going to be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    /// When it begins, milliseconds since the start of the run.
    pub inject_ms: u64,
    /// When it ends.
    pub heal_ms: u64,
    /// Which class.
    pub class: String,
    /// What is wanted.
    pub intention: Intention,
    /// What that means for these nodes; who leads is only known when it happens.
    pub label: String,
}

/// The faults of a run as they would be if injecting and healing took no time, in order. The real times shift by the
/// time that takes; what is drawn does not.
pub fn preview(specs: &[FaultSpec], schedule: &Schedule, view: &View, seed: Seed, time_limit_ms: u64) -> Vec<Planned> {
    preview_of(&mut Faults::new(specs, schedule, seed), specs, view, time_limit_ms)
}

/// As [`preview`], of any schedule of these faults.
pub fn preview_of(faults: &mut dyn Generator, specs: &[FaultSpec], view: &View, time_limit_ms: u64) -> Vec<Planned> {
    let mut names: Vec<&str> = specs.iter().map(FaultSpec::class).collect();
    names.sort_unstable();
    names.dedup();
    let workers = Workers::new(0, &names);
    let mut planned: Vec<Planned> = Vec::new();
    let mut now_ns = 0;
    // A class at a pace of nothing would never let time pass.
    for _ in 0..100_000 {
        let context = Context::new(&workers, now_ns);
        let invocation = match faults.next(&context) {
            Next::Op(invocation) => invocation,
            Next::Pending { until_ns: Some(until_ns) } if until_ns / NS_PER_MS < time_limit_ms => {
                now_ns = until_ns;
                continue;
            }
            _ => break,
        };
        let class = match &invocation.process {
            Process::Nemesis(class) => class.to_string(),
            Process::Client(_) => continue,
        };
        let now_ms = now_ns / NS_PER_MS;
        if invocation.f == F::Heal {
            if let Some(open) = planned.iter_mut().rev().find(|one| one.class == class) {
                open.heal_ms = now_ms;
            }
        } else if let Ok(intention) = Intention::from_value(&class, &invocation.value) {
            let label = label(&intention, view);
            planned.push(Planned { inject_ms: now_ms, heal_ms: time_limit_ms, class, intention, label });
        }
        faults.update(&context, &Op::new(invocation.process, Kind::Info, invocation.f, Value::Nil));
    }
    planned
}

fn label(intention: &Intention, view: &View) -> String {
    if intention.needs_primaries() && view.primaries.is_empty() {
        return format!("{}: whoever leads then", intention.label());
    }
    if intention.needs_roles() && view.roles.is_empty() {
        return format!("{}: whoever plays it then", intention.label());
    }
    match intention.decide(view, &RunTag::new("plan"), 0) {
        Ok(fault) => fault.label(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
