//! The operations of a proof, one by one: who did what when.

use schism_history::{Call, History, OpIndex};

use crate::phrase;
use crate::words;

/// Most operations that are told one by one.
pub const OPERATIONS_MAX: usize = 60;

/// An operation of a counterexample in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its short name: `A`.
    pub letter: String,
    /// Index of its invocation.
    pub invoke: OpIndex,
    /// Who did what when.
    pub sentence: String,
    /// Whether this is the one that could not be placed.
    pub blocked: bool,
}

/// The operations of a proof that the history has, with their place in it.
pub(super) struct Operations<'h> {
    history: &'h History,
    pub calls: Vec<(usize, Call)>,
    /// How many the proof names.
    pub count: usize,
}

impl<'h> Operations<'h> {
    /// Those that begin at these events.
    pub fn of(history: &'h History, invocations: &[OpIndex]) -> Operations<'h> {
        let calls = invocations.iter().enumerate();
        let calls = calls.filter_map(|(place, &invoke)| Some((place, phrase::call_at(history, invoke)?))).collect();
        Operations { history, calls, count: invocations.len() }
    }

    /// How many the history does not have: the proof is of another one.
    pub fn missing_count(&self) -> usize {
        self.count - self.calls.len()
    }

    /// Decimals of seconds that tell their ends apart.
    pub fn decimals(&self) -> usize {
        decimals(self.history, self.calls.iter().map(|(_, call)| call))
    }

    /// The first [`OPERATIONS_MAX`] in words. `parts` gives the micro-operations of a transaction that play a part.
    pub fn told(
        &self,
        name: impl Fn(usize) -> String,
        is_blocked: impl Fn(OpIndex) -> bool,
        parts: impl Fn(OpIndex) -> Vec<u32>,
    ) -> Vec<Told> {
        let decimals = self.decimals();
        let told = self.calls.iter().take(OPERATIONS_MAX).map(|(place, call)| Told {
            letter: name(*place),
            invoke: call.invoke,
            sentence: phrase::sentence_with(self.history, call, decimals, &parts(call.invoke)),
            blocked: is_blocked(call.invoke),
        });
        told.collect()
    }
}

/// Decimals of seconds that tell the ends of these calls apart.
pub fn decimals<'a>(history: &History, calls: impl Iterator<Item = &'a Call>) -> usize {
    let moments: Vec<u64> = calls
        .flat_map(|call| [Some(call.invoke), call.completion])
        .flatten()
        .map(|index| history.time_ns(index))
        .collect();
    words::moment_decimals(&moments)
}
