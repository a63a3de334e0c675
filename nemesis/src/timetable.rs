//! Schedules that are told: a script of faults at fixed times, a cycle of faults one after another, and what a run did, to be
//! repeated.
//!
//! The faults of a script come when they are due, and each class is a process of its own, so that faults of different
//! classes overlap as told. A fault whose class is still busy (its heal takes long) comes as soon as it can. What is open in
//! a script (which of several targets) is drawn from the stream `nemesis/<class>`, as in the mix.

use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;
use schism_generators::{Context, Generator, Invocation, Next};
use schism_history::{F, Kind, Op, Process, Seed, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::draw;
use crate::intention::Intention;
use crate::schedule::Schedule;
use crate::span::DurationText;
use crate::spec::FaultSpec;

const NS_PER_MS: u64 = 1_000_000;

/// A fault at a fixed time: `at: 10s, fault: {kill: {targets: primaries}}, for: 5s`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When it begins, from the start of the run.
    pub at: DurationText,
    /// Which.
    pub fault: FaultSpec,
    /// How long it is on.
    #[serde(rename = "for")]
    pub lasts: DurationText,
    /// Exactly what was wanted, in a run that is repeated: then nothing is drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Json>,
}

/// Checks that a class has one fault at a time.
///
/// # Errors
/// The first step that begins while another of its class is on.
pub fn check_steps(steps: &[Step]) -> Result<(), String> {
    let mut sorted: Vec<&Step> = steps.iter().collect();
    sorted.sort_by_key(|step| step.at);
    for (place, step) in sorted.iter().enumerate() {
        let before = sorted[..place].iter().rev().find(|one| one.fault.class() == step.fault.class());
        let ends_ms = |one: &Step| one.at.ms.saturating_add(one.lasts.ms);
        if let Some(before) = before.filter(|before| ends_ms(before) > step.at.ms) {
            return Err(format!(
                "the `{}` at {} begins while that of {} is on (until {}): a class has one fault at a time",
                step.fault.class(),
                step.at,
                before.at,
                DurationText::from_ms(ends_ms(before))
            ));
        }
    }
    Ok(())
}

/// What one actor is doing.
#[derive(Debug, Clone, PartialEq)]
enum Phase {
    /// The next of its faults is due then.
    Waiting { until_ns: u64 },
    /// The injection is under way; the fault is to be on until then, or in a cycle for so long from when it is.
    Injecting { heal_at_ns: u64, lasts_ns: u64 },
    /// The fault is on.
    On { heal_at_ns: u64 },
    /// The heal is under way.
    Healing,
    /// Nothing comes any more.
    Done,
}

/// A sequence of faults, one at a time.
#[derive(Debug, Clone)]
struct Sequence {
    /// Those that are to come; where times are `relative`, `at` is the wait before each.
    steps: VecDeque<Step>,
    /// Whether each waits for the heal of the one before, in place of a time of its own.
    relative: bool,
    /// In a cycle, what comes when all have been, and its pace.
    again: Option<(Vec<FaultSpec>, Schedule)>,
    class: &'static str,
    rng: ChaCha8Rng,
    phase: Phase,
}

impl Sequence {
    fn new(steps: VecDeque<Step>, rng: ChaCha8Rng) -> Sequence {
        let mut sequence = Sequence { steps, relative: false, again: None, class: "", rng, phase: Phase::Done };
        sequence.wait(0);
        sequence
    }

    /// Waits for the next step, if there is one.
    fn wait(&mut self, now_ns: u64) {
        let from_ns = if self.relative { now_ns } else { 0 };
        self.phase = match self.steps.front() {
            Some(step) => {
                self.class = step.fault.class();
                Phase::Waiting { until_ns: from_ns.saturating_add(step.at.ms.saturating_mul(NS_PER_MS)) }
            }
            None => Phase::Done,
        };
    }

    /// The next round of a cycle.
    fn refill(&mut self) {
        let Some((specs, schedule)) = &self.again else { return };
        for fault in specs {
            let (interval, duration) = fault.pace();
            let at = DurationText::from_ms(draw::around(&mut self.rng, interval.unwrap_or(schedule.interval).ms));
            let lasts = DurationText::from_ms(draw::around(&mut self.rng, duration.unwrap_or(schedule.duration).ms));
            self.steps.push_back(Step { at, fault: fault.clone(), lasts, recorded: None });
        }
    }

    fn intention(&mut self, step: &Step) -> Option<Intention> {
        if let Some(recorded) = &step.recorded {
            return Intention::from_value(step.fault.class(), &Value::from_json(recorded)).ok();
        }
        let values = step.fault.draw(&mut self.rng)?;
        let draw = draw::below(&mut self.rng, u64::from(u32::MAX)) as u32;
        Some(Intention::new(step.fault.entry(), values, draw, step.lasts.ms))
    }

    fn next(&mut self, context: &Context<'_>) -> Next {
        let (due_ns, inject) = match self.phase {
            Phase::Waiting { until_ns } => (until_ns, true),
            Phase::On { heal_at_ns } => (heal_at_ns, false),
            Phase::Injecting { .. } | Phase::Healing => return Next::Pending { until_ns: None },
            Phase::Done => return Next::Exhausted,
        };
        if context.now_ns < due_ns {
            return Next::Pending { until_ns: Some(due_ns) };
        }
        if !context.nemesis_is_free(self.class) {
            return Next::Pending { until_ns: None };
        }
        let process = Process::nemesis(self.class);
        if !inject {
            self.phase = Phase::Healing;
            return Next::Op(Invocation { process, f: F::Heal, key: None, value: Value::Nil });
        }
        let Some(step) = self.steps.pop_front() else { return Next::Exhausted };
        let Some(intention) = self.intention(&step) else {
            self.phase = Phase::Done;
            return Next::Exhausted;
        };
        // A step that came late ends when it was to end, where that leaves it any time.
        let ends_ns = step.at.ms.saturating_add(step.lasts.ms).saturating_mul(NS_PER_MS);
        let lasts_ns = step.lasts.ms.saturating_mul(NS_PER_MS);
        let heal_at_ns = ends_ns;
        self.phase = Phase::Injecting { heal_at_ns, lasts_ns };
        Next::Op(Invocation { process, f: F::Inject, key: None, value: intention.to_value() })
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        if event.kind == Kind::Invoke || event.process != Process::nemesis(self.class) {
            return;
        }
        match (&event.f, &self.phase) {
            (F::Inject, Phase::Injecting { heal_at_ns, lasts_ns }) => {
                let heal_at_ns = match (event.error.is_some(), self.relative) {
                    (true, _) => context.now_ns,
                    // It counts from when it was seen to be on, or one that takes long to see would be healed at once.
                    (false, true) => context.now_ns.saturating_add(*lasts_ns),
                    (false, false) => *heal_at_ns,
                };
                self.phase = Phase::On { heal_at_ns };
            }
            (F::Heal, Phase::Healing) => {
                if self.steps.is_empty() {
                    self.refill();
                }
                self.wait(context.now_ns);
            }
            _ => {}
        }
    }
}

/// Faults by a script, or in a cycle. A script ends; a cycle does not: whoever runs it limits its time and then heals
/// ([`crate::FinalHeal`]).
#[derive(Debug, Clone)]
pub struct Timetable {
    sequences: Vec<Sequence>,
}

impl Timetable {
    /// By a script (see [`check_steps`]).
    pub fn script(steps: &[Step], seed: Seed) -> Timetable {
        let mut sorted: Vec<Step> = steps.to_vec();
        sorted.sort_by_key(|step| step.at);
        let mut classes: Vec<&'static str> = Vec::new();
        for step in &sorted {
            if !classes.contains(&step.fault.class()) {
                classes.push(step.fault.class());
            }
        }
        let of = |class: &str| sorted.iter().filter(|step| step.fault.class() == class).cloned().collect();
        let sequence = |class: &&str| Sequence::new(of(class), seed.stream(&format!("nemesis/{class}")));
        Timetable { sequences: classes.iter().map(sequence).collect() }
    }

    /// One after another in this order, again and again, at this pace; all chance is of the stream `nemesis/cycle`.
    pub fn cycle(specs: &[FaultSpec], schedule: &Schedule, seed: Seed) -> Timetable {
        Timetable::cycle_with(specs, schedule, u64::MAX, seed.stream("nemesis/cycle"))
    }

    /// The same with this chance, and the first fault not later than so long after the quiet start.
    pub(crate) fn cycle_with(
        specs: &[FaultSpec],
        schedule: &Schedule,
        first_within_ms: u64,
        rng: ChaCha8Rng,
    ) -> Timetable {
        if specs.is_empty() {
            return Timetable { sequences: Vec::new() };
        }
        let mut sequence = Sequence::new(VecDeque::new(), rng);
        sequence.relative = true;
        sequence.again = Some((specs.to_vec(), *schedule));
        sequence.refill();
        if let Some(first) = sequence.steps.front_mut() {
            first.at.ms = first.at.ms.min(first_within_ms);
        }
        sequence.wait(schedule.quiet_start.ms.saturating_mul(NS_PER_MS));
        Timetable { sequences: vec![sequence] }
    }

    /// These one after another, once: the first at the end of the quiet start, each further one an interval after the heal of
    /// the one before. All chance is of the stream `nemesis/systematic`.
    pub(crate) fn once(specs: &[FaultSpec], schedule: &Schedule, seed: Seed) -> Timetable {
        let mut sequence = Sequence::new(VecDeque::new(), seed.stream("nemesis/systematic"));
        sequence.relative = true;
        sequence.again = Some((specs.to_vec(), *schedule));
        sequence.refill();
        sequence.again = None;
        if let Some(first) = sequence.steps.front_mut() {
            first.at = DurationText::from_ms(0);
        }
        sequence.wait(schedule.quiet_start.ms.saturating_mul(NS_PER_MS));
        Timetable { sequences: vec![sequence] }
    }
}

impl Generator for Timetable {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let (mut soonest, mut pending): (Option<u64>, bool) = (None, false);
        for sequence in &mut self.sequences {
            match sequence.next(context) {
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
        self.sequences.iter_mut().for_each(|sequence| sequence.update(context, event));
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::preview_of;
    use crate::target::View;
    use schism_history::Node;
    use serde_json::json;

    fn view() -> View {
        View { nodes: (1..=5).map(|number| Node::new(&format!("n{number}"))).collect(), ..View::default() }
    }

    fn steps(text: Json) -> Vec<Step> {
        serde_json::from_value(text).unwrap()
    }

    /// `from-to class label`
    fn told(timetable: &mut Timetable, specs: &[FaultSpec], until_ms: u64) -> Vec<String> {
        let all = preview_of(timetable, specs, &view(), until_ms);
        all.iter().map(|one| format!("{}-{} {}", one.inject_ms, one.heal_ms, one.label)).collect()
    }

    #[test]
    fn a_script_is_done_as_told_and_ends() {
        let steps = steps(json!([
            {"at": "12s", "fault": {"pause": {"targets": [["n2"]]}}, "for": "5s"},
            {"at": "10s", "fault": {"kill": {"targets": [["n1"]]}}, "for": "5s"},
            {"at": "15s", "fault": {"kill": {"targets": "primaries"}}, "for": "1s"},
            {"at": "20s", "fault": "kill", "for": "1s", "recorded": {"target": ["n3", "n4"], "draw": 1, "duration_ms": 9}},
        ]));
        check_steps(&steps).unwrap();
        let specs: Vec<FaultSpec> = steps.iter().map(|step| step.fault.clone()).collect();
        let found = told(&mut Timetable::script(&steps, Seed(1)), &specs, 60_000);
        assert_eq!(
            found,
            [
                "10000-15000 kill: n1",
                "12000-17000 pause: n2",
                "15000-16000 primaries: whoever leads then",
                "20000-21000 kill: n3 n4"
            ]
        );
    }

    #[test]
    fn a_class_with_two_faults_at_a_time_is_refused() {
        let steps = steps(json!([
            {"at": "12s", "fault": {"kill": {"targets": "one"}}, "for": "5s"},
            {"at": "10s", "fault": {"kill": {"targets": "one"}}, "for": "5s"},
        ]));
        let error = check_steps(&steps).unwrap_err();
        assert_eq!(
            error,
            "the `kill` at 12s begins while that of 10s is on (until 15s): a class has one fault at a time"
        );
        let wrong = serde_json::from_value::<Vec<Step>>(json!([{"at": "1s", "fault": "kil", "for": "1s"}]));
        assert!(wrong.unwrap_err().to_string().contains("unknown variant `kil`"));
    }

    #[test]
    fn a_cycle_goes_round_one_at_a_time_and_repeats_with_its_seed() {
        let specs: Vec<FaultSpec> =
            ["kill", "pause", "partition"].map(|name| FaultSpec::named(name).unwrap().resolved(5, true)).to_vec();
        let run = |seed| {
            let mut cycle = Timetable::cycle(&specs, &Schedule::default(), Seed(seed));
            preview_of(&mut cycle, &specs, &view(), 600_000)
        };
        let all = run(1);
        assert!(all.len() > 20, "{}", all.len());
        for (place, one) in all.iter().enumerate() {
            assert_eq!(one.class, specs[place % 3].class());
        }
        assert!(all.windows(2).all(|pair| pair[0].heal_ms + 5_000 <= pair[1].inject_ms), "quiet between");
        assert!(all[0].inject_ms >= 10_000, "the quiet start, then a wait");
        assert_eq!(run(1), all);
        assert_ne!(run(2), all);
    }

    #[test]
    fn what_was_done_becomes_what_is_wanted() {
        let of = |class: &str, value: Json| Intention::from_value(class, &Value::from_json(&value)).unwrap();
        let kill = of("kill", json!({"target": "primaries", "draw": 3, "duration_ms": 5}));
        let done = kill.concrete(&json!({"nodes": ["n4"], "label": "x"}));
        assert_eq!(done.decide(&view(), &crate::tag::RunTag::new("t"), 1).unwrap().label(), "kill: n4");
        let cut = of("partition", json!({"shape": "halves", "direction": "in", "draw": 3, "duration_ms": 5}));
        let done = cut.clone().concrete(&json!({"nodes": ["n1", "n2"], "grudge": {"n1": ["n2"]}}));
        assert_eq!(done.decide(&view(), &crate::tag::RunTag::new("t"), 1).unwrap().label(), "links: n1 drops n2");
        assert_eq!(cut.clone().concrete(&json!({"nodes": []})), cut, "an injection that failed tells nothing");
    }
}
