//! Every ordered sequence of a few faults on roles, numbered, so that a matrix of runs goes through all of them.
//!
//! A letter is a class with one role: `kill primaries`, `partition halves`. With `a` letters and up to `d` faults there are
//! `a + a^2 + ... + a^d` sequences, repetitions of a letter included. They are numbered from 1: first those of one fault in the
//! order of the letters, then those of two in the order of the dictionary, and so on. Most failures of replicated systems
//! need no more than three events, in a certain order (Alquraan et al., OSDI 2018; Yuan et al., OSDI 2014).
//!
//! The faults of a sequence come one after another, each on for the schedule's duration and healed before the next; that
//! faults overlap is for the mix. Other options than roles are drawn, as ever. An injection tells its place in the history:
//! `"sequence": 37, "step": 2`.

use std::collections::VecDeque;

use schism_generators::{Context, Generator, Next};
use schism_history::{F, Op, Seed, Value};
use serde::{Deserialize, Serialize};

use crate::schedule::Schedule;
use crate::spec::FaultSpec;
use crate::stretch::mark;
use crate::timetable::Timetable;

/// The longest sequences that there are.
pub const DEPTH_MAX: u32 = 3;

/// Classes with their roles: what sequences are made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Alphabet {
    letters: Vec<FaultSpec>,
}

/// A sequence of faults, with its number among all of its alphabet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultSequence {
    /// From 1.
    pub number: u64,
    /// The faults in order, each with one role.
    pub faults: Vec<FaultSpec>,
}

impl FaultSequence {
    /// `kill primaries, then partition halves`.
    pub fn label(&self) -> String {
        self.faults.iter().map(FaultSpec::role_label).collect::<Vec<_>>().join(", then ")
    }
}

impl Alphabet {
    /// The roles of these faults (resolved: [`FaultSpec::resolved`]), each letter once, in their order.
    pub fn of(specs: &[FaultSpec]) -> Alphabet {
        let mut letters: Vec<FaultSpec> = Vec::new();
        for letter in specs.iter().flat_map(FaultSpec::by_role) {
            if !letters.contains(&letter) {
                letters.push(letter);
            }
        }
        Alphabet { letters }
    }

    /// The letters.
    pub fn letters(&self) -> &[FaultSpec] {
        &self.letters
    }

    /// How many sequences of one to `depth` faults there are; at most [`u64::MAX`].
    pub fn count(&self, depth: u32) -> u64 {
        let letters = self.letters.len() as u64;
        (1..=depth).fold(0, |sum: u64, length| sum.saturating_add(letters.saturating_pow(length)))
    }

    /// The sequence of that number, from 1; `None` beyond those of `depth` faults.
    pub fn sequence(&self, depth: u32, number: u64) -> Option<FaultSequence> {
        let letters = self.letters.len() as u64;
        let mut left = number.checked_sub(1)?;
        for length in 1..=depth {
            let count = letters.saturating_pow(length);
            if left >= count {
                left -= count;
                continue;
            }
            let place = |at: u32| (left / letters.saturating_pow(length - 1 - at).max(1)) % letters.max(1);
            let faults = (0..length).filter_map(|at| self.letters.get(usize::try_from(place(at)).ok()?).cloned());
            return Some(FaultSequence { number, faults: faults.collect() });
        }
        None
    }

    /// All sequences of one to `depth` faults, in order.
    pub fn sequences(&self, depth: u32) -> impl Iterator<Item = FaultSequence> + '_ {
        (1..=self.count(depth)).map_while(move |number| self.sequence(depth, number))
    }
}

/// How long such a sequence takes at this pace, milliseconds: without its first wait, with mean times, and with `overhead_ms` for
/// each fault to be injected, seen, healed and seen to be gone.
pub fn sequence_ms(sequence: &FaultSequence, schedule: &Schedule, overhead_ms: u64) -> u64 {
    let turn = |fault: &FaultSpec| {
        let (interval, duration) = fault.pace();
        let interval_ms = interval.unwrap_or(schedule.interval).ms;
        interval_ms.saturating_add(duration.unwrap_or(schedule.duration).ms).saturating_add(overhead_ms)
    };
    sequence.faults.iter().map(turn).fold(0, u64::saturating_add)
}

/// Sequences of faults one after another, once. Ends with the last heal.
#[derive(Debug, Clone)]
pub struct Systematic {
    timetable: Timetable,
    /// Number and step of the injections that are to come.
    marks: VecDeque<(u64, u64)>,
}

impl Systematic {
    /// These, at this pace: the first fault at the end of the quiet start, each further one an interval after the heal of the
    /// one before.
    pub fn new(sequences: &[FaultSequence], schedule: &Schedule, seed: Seed) -> Systematic {
        let faults: Vec<FaultSpec> = sequences.iter().flat_map(|sequence| sequence.faults.clone()).collect();
        let steps = |sequence: &FaultSequence| {
            let number = sequence.number;
            (1..=sequence.faults.len() as u64).map(move |step| (number, step))
        };
        let marks = sequences.iter().flat_map(steps).collect();
        Systematic { timetable: Timetable::once(&faults, schedule, seed), marks }
    }
}

impl Generator for Systematic {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let mut next = self.timetable.next(context);
        if let Next::Op(invocation) = &mut next
            && invocation.f == F::Inject
            && let Some((number, step)) = self.marks.pop_front()
        {
            let int = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
            mark(&mut invocation.value, "sequence", int(number));
            mark(&mut invocation.value, "step", int(step));
        }
        next
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        self.timetable.update(context, event);
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
#[path = "systematic_tests.rs"]
mod tests;
