//! The tables of checkers and models: the command line, its help and the documentation read them.

use crate::checker::Checker;
use crate::linear::{Linearizable, ModelName};
use crate::perf::Perf;
use crate::plain::replicas::Replicas;
use crate::plain::stats::Stats;
use crate::run::Run;

/// A checker by name.
#[derive(Debug, Clone, Copy)]
pub struct CheckerEntry {
    /// Its name in verdicts.
    pub name: &'static str,
    /// One line for a person.
    pub about: &'static str,
    /// Models it can be built with, the usual one first; empty if it needs none.
    pub models: &'static [ModelName],
    /// Builds it. The model is one of `models`, and is ignored by a checker that needs none.
    pub build: fn(ModelName) -> Box<dyn Checker>,
}

/// A model by name.
#[derive(Debug, Clone, Copy)]
pub struct ModelEntry {
    /// The model.
    pub model: ModelName,
    /// One line for a person.
    pub about: &'static str,
}

/// The kinds of anomaly that checkers find, by name.
pub const ANOMALY_KINDS: &[&str] = &["nonlinearizable", "replicas-disagree"];

/// All checkers.
pub const CHECKERS: &[CheckerEntry] = &[
    CheckerEntry {
        name: "linearizable",
        about: "each key behaves like one object, in one place, one operation after another",
        models: &[
            ModelName::CasRegister,
            ModelName::Register,
            ModelName::String,
            ModelName::Mutex,
            ModelName::Semaphore(1),
            ModelName::OwnerMutex,
            ModelName::ReentrantMutex,
            ModelName::FencedLock,
            ModelName::Set,
            ModelName::Counter,
            ModelName::FetchAndAdd,
        ],
        build: |model| Box::new(Linearizable { model }),
    },
    CheckerEntry {
        name: "replicas",
        about: "members that have caught up hold the same: no read of one replica differs for good from that of another",
        models: &[],
        build: |_| Box::new(Replicas),
    },
    CheckerEntry {
        name: "stats",
        about: "counts operations by function and outcome",
        models: &[],
        build: |_| Box::new(Stats),
    },
    CheckerEntry {
        name: "run",
        about: "whether there was anything to judge: successes, faults that landed, not too much doubt",
        models: &[],
        build: |_| Box::new(Run),
    },
    CheckerEntry {
        name: "perf",
        about: "latency, rate, availability under each fault, recovery",
        models: &[],
        build: |_| Box::new(Perf),
    },
];

/// All models.
pub const MODELS: &[ModelEntry] = &[
    ModelEntry { model: ModelName::CasRegister, about: "a register with read, write and cas; nil at first" },
    ModelEntry { model: ModelName::Register, about: "a register with read and write; nil at first" },
    ModelEntry { model: ModelName::String, about: "a string with read, write and append; empty at first" },
    ModelEntry { model: ModelName::Mutex, about: "a lock with acquire and release, whoever calls; free at first" },
    ModelEntry { model: ModelName::Semaphore(1), about: "N permits with acquire and release, whoever calls" },
    ModelEntry { model: ModelName::OwnerMutex, about: "a lock that only the process that holds it can release" },
    ModelEntry { model: ModelName::ReentrantMutex, about: "an owner-mutex that its holder can acquire again" },
    ModelEntry { model: ModelName::FencedLock, about: "an owner-mutex that answers acquire with a token that grows" },
    ModelEntry { model: ModelName::Set, about: "a set with add, remove, contains and read; empty at first" },
    ModelEntry { model: ModelName::Counter, about: "a counter with add and read that only grows; 0 at first" },
    ModelEntry {
        model: ModelName::FetchAndAdd,
        about: "a counter with fetch-add, which answers the total before, and read",
    },
];

/// Why a checker cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// No such checker.
    #[error("no checker is called {found}; there are {known}", known = names(CHECKERS.iter().map(|entry| entry.name)))]
    Checker {
        /// What was asked for.
        found: String,
    },
    /// No such model, or not for this checker.
    #[error("the checker {checker} cannot judge the model {found}; it knows {known}")]
    Model {
        /// The checker.
        checker: &'static str,
        /// What was asked for.
        found: String,
        /// Its models.
        known: String,
    },
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    all.collect::<Vec<_>>().join(", ")
}

/// Builds a checker by its name and, where it needs one, its model (none: the usual one).
///
/// # Errors
/// When there is no such checker, or it does not know the model.
pub fn build(checker: &str, model: Option<&str>) -> Result<Box<dyn Checker>, TableError> {
    let entry = CHECKERS.iter().find(|entry| entry.name == checker);
    let entry = entry.ok_or_else(|| TableError::Checker { found: checker.to_owned() })?;
    let known = || match entry.models {
        [] => "no model".to_owned(),
        models => names(models.iter().map(|model| model.form())),
    };
    let usual = entry.models.first().copied().unwrap_or(ModelName::Register);
    let chosen = match model {
        None => usual,
        Some(name) => ModelName::parse(name)
            .filter(|model| entry.models.iter().any(|known| known.is_of_family(*model)))
            .ok_or_else(|| TableError::Model { checker: entry.name, found: name.to_owned(), known: known() })?,
    };
    Ok((entry.build)(chosen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_builds_what_it_names() {
        for entry in CHECKERS {
            assert_eq!(build(entry.name, None).unwrap().name(), entry.name);
            for model in entry.models {
                assert_eq!(build(entry.name, Some(&model.to_string())).unwrap().name(), entry.name);
                assert!(MODELS.iter().any(|known| known.model == *model));
            }
        }
    }

    #[test]
    fn wrong_names_are_told_with_the_right_ones() {
        let told = |checker, model| build(checker, model).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(
            told("linear", None),
            "no checker is called linear; there are linearizable, replicas, stats, run, perf"
        );
        assert_eq!(
            told("linearizable", Some("semaphore")),
            "the checker linearizable cannot judge the model semaphore; it knows cas-register, register, string, mutex, \
             semaphore:N, owner-mutex, reentrant-mutex, fenced-lock, set, counter, fetch-and-add"
        );
        assert_eq!(
            told("stats", Some("register")),
            "the checker stats cannot judge the model register; it knows no model"
        );
    }
}
