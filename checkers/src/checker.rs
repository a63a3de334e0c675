//! The waist [`Checker`].

use schism_history::{History, RunFacts};

use crate::verdict::{Finding, Verdict};

/// How much a search may cost. Counted, never timed: the same verdict on every machine and for any number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Budget {
    /// Steps of a search (one step: one attempt to place an operation), per key; of transactions, for each engine and each hundred
    /// thousand of them that are begun.
    pub steps_max: u64,
    /// Bytes of the searches' own memory, of all keys that are searched at the same time. A key that needs more than its
    /// share is searched again when it is alone, and may then take all of it.
    pub memory_bytes_max: u64,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { steps_max: 200_000_000, memory_bytes_max: 2 << 30 }
    }
}

/// Judges one promise.
pub trait Checker: Send + Sync {
    /// Its name in the verdict (`linearizable`, `stats`, `run`).
    fn name(&self) -> &str;

    /// Judges. Pure; never panics, whatever the history.
    fn check(&self, history: &History, facts: &RunFacts, budget: &Budget) -> Finding;
}

/// Runs all checkers and joins what they found.
pub fn check_all(checkers: &[Box<dyn Checker>], history: &History, facts: &RunFacts, budget: &Budget) -> Verdict {
    let mut verdict = Verdict::default();
    for checker in checkers {
        verdict.checkers.insert(checker.name().to_owned(), checker.check(history, facts, budget));
    }
    verdict
}
