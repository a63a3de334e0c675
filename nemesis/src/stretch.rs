//! A schedule in stretches: quiet ones and faulty ones, each so long, one after another and again from the first as long as the
//! run lasts.
//!
//! Their times are those of the run's clock. What a stretch has on at its end is healed then; the next begins at its own time
//! and waits, class by class, for heals that take longer. Each faulty stretch has its own classes and its own way of
//! mixing them, and its own chance (`nemesis/<class>/<number of the stretch>`), so that a change of one does not shift the
//! others. Every class that comes in a mix has its first fault in the first half of the stretch, however long its
//! interval is.
//!
//! An injection tells its stretch in the history: `"phase": "storm"`.

use std::collections::BTreeMap;
use std::sync::Arc;

use schism_generators::{Context, Generator, Invocation, Next};
use schism_history::{F, Kind, Op, Process, Seed, Value};
use serde::{Deserialize, Serialize};

use crate::schedule::{Faults, Schedule};
use crate::span::DurationText;
use crate::spec::FaultSpec;
use crate::timetable::Timetable;

const NS_PER_MS: u64 = 1_000_000;

/// The shortest stretch: a fault needs about as long to be seen.
const STRETCH_MS_MIN: u64 = 1_000;

/// How the faults of a stretch come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mixing {
    /// Each class goes its own way, so that classes overlap.
    #[default]
    Mix,
    /// One after another, again and again.
    Cycle,
}

/// A stretch of a schedule: `{for: 10s, quiet: true}`, `{for: 30s, name: storm, faults: [kill], interval: 2s}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// What it is called in the history and the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long it is.
    #[serde(rename = "for")]
    pub lasts: DurationText,
    /// Whether nothing is harmed in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quiet: bool,
    /// Its faults, as suites write them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultSpec>,
    /// How they come.
    #[serde(default)]
    pub kind: Mixing,
    /// Mean time between the heal of a fault and the next; the schedule's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<DurationText>,
    /// Mean time that a fault is on; the schedule's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<DurationText>,
}

impl Stretch {
    /// Its name, or one by its place (from 0): `quiet 1`, `faults 2`.
    pub fn title(&self, place: usize) -> String {
        let what = if self.quiet { "quiet" } else { "faults" };
        self.name.clone().unwrap_or_else(|| format!("{what} {}", place + 1))
    }
}

/// Checks that each stretch is quiet or has faults, is long enough, and that there is harm at all. Answers how long all are
/// together, in milliseconds.
///
/// # Errors
/// The first stretch that is wrong, by number and name.
pub fn check_stretches(stretches: &[Stretch]) -> Result<u64, String> {
    for (place, stretch) in stretches.iter().enumerate() {
        let wrong = |what: &str| Err(format!("stretch {} ({}): {what}", place + 1, stretch.title(place)));
        if stretch.quiet && !stretch.faults.is_empty() {
            return wrong("it is quiet, and yet has faults; leave one of them out");
        }
        if stretch.quiet && (stretch.interval.is_some() || stretch.duration.is_some() || stretch.kind != Mixing::Mix) {
            return wrong("it is quiet, so a kind, an interval or a duration means nothing; leave it out");
        }
        if !stretch.quiet && stretch.faults.is_empty() {
            return wrong("it needs `faults`, a list as in suites, or `quiet: true`");
        }
        if stretch.lasts.ms < STRETCH_MS_MIN {
            return wrong(&format!(
                "`for: {}` is too short; {} at least",
                stretch.lasts,
                DurationText::from_ms(STRETCH_MS_MIN)
            ));
        }
        if stretch.name.as_ref().is_some_and(|name| name.trim().is_empty() || name.chars().any(char::is_control)) {
            return wrong("its name is empty or has control characters");
        }
    }
    if stretches.iter().all(|stretch| stretch.quiet) {
        return Err("no stretch has faults; add one: {for: 20s, faults: [kill]}".to_owned());
    }
    Ok(stretches.iter().fold(0, |sum: u64, stretch| sum.saturating_add(stretch.lasts.ms)))
}

/// A stretch of a run, by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedStretch {
    /// Its name.
    pub title: String,
    /// Whether nothing is harmed in it.
    pub quiet: bool,
    /// When it begins, milliseconds since the start of the run.
    pub start_ms: u64,
    /// When it ends.
    pub end_ms: u64,
}

/// The most stretches that [`placed`] tells.
const PLACED_MAX: usize = 1_000;

/// The stretches of a run that lasts so long, in order; a thousand at most.
pub fn placed(stretches: &[Stretch], time_limit_ms: u64) -> Vec<PlacedStretch> {
    let mut start_ms = 0;
    let mut all = Vec::new();
    for (place, stretch) in stretches.iter().enumerate().cycle().take(PLACED_MAX) {
        if start_ms >= time_limit_ms {
            break;
        }
        let end_ms = start_ms.saturating_add(stretch.lasts.ms.max(STRETCH_MS_MIN)).min(time_limit_ms);
        all.push(PlacedStretch { title: stretch.title(place), quiet: stretch.quiet, start_ms, end_ms });
        start_ms = end_ms;
    }
    all
}

/// What a class has on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Injecting,
    On,
    Healing,
}

/// A fault that is on, or on its way.
#[derive(Debug, Clone, Copy)]
struct Open {
    phase: Phase,
    /// Whether the stretch that began it is over.
    is_late: bool,
}

/// Faults in stretches. Endless, as the stretches repeat: whoever runs it limits its time and then heals
/// ([`crate::FinalHeal`]).
#[derive(Clone)]
pub struct Stretches {
    stretches: Vec<Stretch>,
    pace: Schedule,
    seed: Seed,
    /// How many stretches were before the present one.
    number: u64,
    end_ns: u64,
    /// The faults of the present stretch, if it has any.
    present: Option<Box<dyn Generator>>,
    open: BTreeMap<Arc<str>, Open>,
}

impl std::fmt::Debug for Stretches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stretches").field("number", &self.number).field("open", &self.open).finish_non_exhaustive()
    }
}

impl Stretches {
    /// These (see [`check_stretches`]; their faults resolved), at this pace where they have none of their own. The quiet start of
    /// the pace means nothing here.
    pub fn new(stretches: &[Stretch], pace: &Schedule, seed: Seed) -> Stretches {
        let mut all = Stretches {
            stretches: stretches.to_vec(),
            pace: *pace,
            seed,
            number: 0,
            end_ns: 0,
            present: None,
            open: BTreeMap::new(),
        };
        all.begin(0);
        all
    }

    /// The present stretch and its place in the list.
    fn stretch(&self) -> Option<(usize, &Stretch)> {
        let place = usize::try_from(self.number % (self.stretches.len().max(1) as u64)).unwrap_or(0);
        self.stretches.get(place).map(|stretch| (place, stretch))
    }

    /// Begins the present stretch, at that time.
    fn begin(&mut self, start_ns: u64) {
        let Some((_, stretch)) = self.stretch() else { return };
        let lasts_ms = stretch.lasts.ms.max(STRETCH_MS_MIN);
        let pace = Schedule {
            quiet_start: DurationText::from_ms(start_ns / NS_PER_MS),
            interval: stretch.interval.unwrap_or(self.pace.interval),
            duration: stretch.duration.unwrap_or(self.pace.duration),
        };
        let stream = |name: &str| self.seed.stream(&format!("nemesis/{name}/{}", self.number));
        let first_within_ms = lasts_ms / 2;
        let present: Option<Box<dyn Generator>> = match (stretch.quiet, stretch.kind) {
            (true, _) => None,
            (false, Mixing::Mix) => {
                Some(Box::new(Faults::with_streams(&stretch.faults, &pace, first_within_ms, stream)))
            }
            (false, Mixing::Cycle) => {
                Some(Box::new(Timetable::cycle_with(&stretch.faults, &pace, first_within_ms, stream("cycle"))))
            }
        };
        self.present = present;
        self.end_ns = start_ns.saturating_add(lasts_ms.saturating_mul(NS_PER_MS));
    }

    /// Heals what stretches that are over have left on, as far as its actors are free.
    fn heal_late(&mut self, context: &Context<'_>) -> Option<Invocation> {
        let due = |(class, open): &(&Arc<str>, &mut Open)| {
            open.is_late && open.phase == Phase::On && context.nemesis_is_free(class)
        };
        let (class, open) = self.open.iter_mut().find(due)?;
        open.phase = Phase::Healing;
        Some(Invocation { process: Process::nemesis(class), f: F::Heal, key: None, value: Value::Nil })
    }

    /// Notes what the present stretch does, and marks an injection with its name.
    fn taken(&mut self, mut invocation: Invocation) -> Invocation {
        let Process::Nemesis(class) = &invocation.process else { return invocation };
        let injects = invocation.f == F::Inject;
        let phase = if injects { Phase::Injecting } else { Phase::Healing };
        self.open.insert(class.clone(), Open { phase, is_late: false });
        if let (true, Some((place, stretch))) = (injects, self.stretch()) {
            mark(&mut invocation.value, "phase", Value::str(&stretch.title(place)));
        }
        invocation
    }
}

/// Adds a field to the value of an injection, which is a map.
pub(crate) fn mark(value: &mut Value, name: &str, with: Value) {
    if let Value::Map(entries) = value {
        entries.push((Value::str(name), with));
    }
}

impl Generator for Stretches {
    fn next(&mut self, context: &Context<'_>) -> Next {
        if self.stretches.is_empty() {
            return Next::Exhausted;
        }
        while context.now_ns >= self.end_ns && self.end_ns < u64::MAX {
            self.open.values_mut().for_each(|open| open.is_late = true);
            self.number = self.number.saturating_add(1);
            self.begin(self.end_ns);
        }
        if let Some(heal) = self.heal_late(context) {
            return Next::Op(heal);
        }
        match self.present.as_mut().map(|present| present.next(context)) {
            Some(Next::Op(invocation)) => Next::Op(self.taken(invocation)),
            Some(Next::Pending { until_ns: Some(until_ns) }) => {
                Next::Pending { until_ns: Some(until_ns.min(self.end_ns)) }
            }
            _ => Next::Pending { until_ns: Some(self.end_ns) },
        }
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        let Process::Nemesis(class) = &event.process else { return };
        let Some(open) = self.open.get_mut(class).filter(|_| event.kind != Kind::Invoke) else { return };
        let is_late = open.is_late;
        match event.f {
            F::Inject => open.phase = Phase::On,
            F::Heal => {
                self.open.remove(class);
            }
            _ => {}
        }
        // What a stretch that is over began is none of the present one's.
        if let (false, Some(present)) = (is_late, &mut self.present) {
            present.update(context, event);
        }
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
#[path = "stretch_tests.rs"]
mod tests;
