//! The tables of checkers and models: the command line, its help and the documentation read them.

use crate::checker::Checker;
use crate::linear::{Linearizable, ModelName};
use crate::perf::Perf;
use crate::plain::replicas::Replicas;
use crate::plain::stats::Stats;
use crate::run::Run;
use crate::sequential::Sequential;
use crate::txn::checker::{Data, TxnChecker};
use crate::txn::levels::{LEVELS, Level};
use crate::txn::rw_register::VersionSources;

/// A checker by name.
#[derive(Debug, Clone, Copy)]
pub struct CheckerEntry {
    /// Its name in verdicts.
    pub name: &'static str,
    /// One line for a person.
    pub about: &'static str,
    /// Models it can be built with, the usual one first; empty if it needs none.
    pub models: &'static [ModelName],
    /// What its transactions do, if it judges transactions: then it takes a consistency model.
    pub data: Option<Data>,
    /// Builds it. The model is one of `models`, and is ignored by a checker that needs none.
    pub build: fn(&Chosen) -> Box<dyn Checker>,
}

/// What a checker is built with; each ignores what it has no use for.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The model.
    pub model: ModelName,
    /// The consistency model of transactions.
    pub level: Level,
    /// What is known of the order of versions of registers.
    pub sources: VersionSources,
}

/// What may be asked of a checker beyond its name, as it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// The model; none: the usual one.
    pub model: Option<&'a str>,
    /// The consistency model; none: strict serializability.
    pub consistency: Option<&'a str>,
    /// Sources of the order of versions, with commas ([`SOURCES`]).
    pub version_order: Option<&'a str>,
}

/// A source of the order of versions by name.
#[derive(Debug, Clone, Copy)]
pub struct SourceEntry {
    /// Its name.
    pub name: &'static str,
    /// One line for a person.
    pub about: &'static str,
    set: fn(&mut VersionSources),
}

/// Before the name of the field of completions in which the client reports versions.
pub const EXPLICIT: &str = "explicit:";

/// All sources of the order of versions of registers.
pub const SOURCES: &[SourceEntry] = &[
    SourceEntry {
        name: "writes-follow-reads",
        about: "who read a version and then wrote the key wrote a later one",
        set: |sources| sources.writes_follow_reads = true,
    },
    SourceEntry {
        name: "sequential-keys",
        about: "each key is sequentially consistent: its versions follow the order of processes",
        set: |sources| sources.sequential_keys = true,
    },
    SourceEntry {
        name: "linearizable-keys",
        about: "each key is linearizable: its versions follow the order of real time",
        set: |sources| sources.linearizable_keys = true,
    },
];

/// A model by name.
#[derive(Debug, Clone, Copy)]
pub struct ModelEntry {
    /// The model.
    pub model: ModelName,
    /// One line for a person.
    pub about: &'static str,
}

/// All checkers.
pub const CHECKERS: &[CheckerEntry] = &[
    CheckerEntry {
        name: "linearizable",
        about: "each key behaves like one object, in one place, one operation after another",
        models: ModelName::ALL,
        data: None,
        build: |chosen| Box::new(Linearizable { model: chosen.model }),
    },
    CheckerEntry {
        name: "sequential",
        about: "one order explains all answers and keeps the order of each process, whatever real time says",
        models: ModelName::ALL,
        data: None,
        build: |chosen| Box::new(Sequential { model: chosen.model }),
    },
    CheckerEntry {
        name: "list-append",
        about: "transactions that append to lists and read them: which consistency models they keep and break",
        models: &[],
        data: Some(Data::ListAppend),
        build: |chosen| Box::new(transactions(Data::ListAppend, chosen)),
    },
    CheckerEntry {
        name: "rw-register",
        about: "transactions that write and read registers: which consistency models they keep and break",
        models: &[],
        data: Some(Data::RwRegister),
        build: |chosen| Box::new(transactions(Data::RwRegister, chosen)),
    },
    CheckerEntry {
        name: "replicas",
        about: "members that have caught up hold the same: no read of one replica differs for good from that of another",
        models: &[],
        data: None,
        build: |_| Box::new(Replicas),
    },
    CheckerEntry {
        name: "stats",
        about: "counts operations by function and outcome",
        models: &[],
        data: None,
        build: |_| Box::new(Stats),
    },
    CheckerEntry {
        name: "run",
        about: "whether there was anything to judge: successes, faults that landed, not too much doubt",
        models: &[],
        data: None,
        build: |_| Box::new(Run),
    },
    CheckerEntry {
        name: "perf",
        about: "latency, rate, availability under each fault, recovery",
        models: &[],
        data: None,
        build: |_| Box::new(Perf),
    },
];

fn transactions(data: Data, chosen: &Chosen) -> TxnChecker {
    TxnChecker { data, level: chosen.level, sources: chosen.sources.clone() }
}

/// All models.
pub const MODELS: &[ModelEntry] = &[
    ModelEntry { model: ModelName::CasRegister, about: "a register with read, write and cas; nil at first" },
    ModelEntry { model: ModelName::Register, about: "a register with read and write; nil at first" },
    ModelEntry { model: ModelName::MultiRegister, about: "registers read and written in transactions; nil at first" },
    ModelEntry { model: ModelName::Map, about: "registers by key, where values are [key, value]; nil at first" },
    ModelEntry { model: ModelName::String, about: "a string with read, write and append; empty at first" },
    ModelEntry {
        model: ModelName::Queue,
        about: "a queue with enqueue and dequeue; first in, first out; empty at first",
    },
    ModelEntry { model: ModelName::Bag, about: "a bag with enqueue and dequeue in any order; empty at first" },
    ModelEntry {
        model: ModelName::PriorityQueue,
        about: "a queue with enqueue and dequeue of the greatest; empty at first",
    },
    ModelEntry { model: ModelName::Stack, about: "a stack with push and pop; last in, first out; empty at first" },
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
    /// No such consistency model.
    #[error("no consistency model is called {found}; there are {known}", known = names(LEVELS.iter().map(|entry| entry.level.usual_name())))]
    Level {
        /// What was asked for.
        found: String,
    },
    /// No such source.
    #[error(
        "no order of versions is called {found}; there are {known}, explicit:FIELD",
        known = names(SOURCES.iter().map(|entry| entry.name))
    )]
    Source {
        /// What was asked for.
        found: String,
    },
    /// An option that the checker has no use for.
    #[error("the checker {checker} takes no {option}; {takers} do")]
    Option {
        /// The checker.
        checker: &'static str,
        /// What was asked for.
        option: &'static str,
        /// Who takes it.
        takers: String,
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
    build_with(checker, &Options { model, ..Options::default() })
}

/// Builds a checker by its name and what else is asked of it.
///
/// # Errors
/// When there is no such checker, or it does not know what is asked.
pub fn build_with(checker: &str, options: &Options<'_>) -> Result<Box<dyn Checker>, TableError> {
    let model = options.model;
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
    let takers = |takes: fn(Data) -> bool| names(CHECKERS.iter().filter(|e| e.data.is_some_and(takes)).map(|e| e.name));
    let level = match options.consistency {
        None => Level::StrictSerializable,
        Some(_) if entry.data.is_none() => {
            return Err(TableError::Option {
                checker: entry.name,
                option: "consistency model",
                takers: takers(|_| true),
            });
        }
        Some(name) => Level::parse(name).ok_or_else(|| TableError::Level { found: name.to_owned() })?,
    };
    let sources = match options.version_order {
        None => VersionSources::default(),
        Some(_) if entry.data != Some(Data::RwRegister) => {
            let takers = takers(|data| data == Data::RwRegister);
            return Err(TableError::Option { checker: entry.name, option: "order of versions", takers });
        }
        Some(text) => sources(text)?,
    };
    Ok((entry.build)(&Chosen { model: chosen, level, sources }))
}

/// Reads sources of the order of versions, with commas.
fn sources(text: &str) -> Result<VersionSources, TableError> {
    let mut sources = VersionSources::default();
    for name in text.split(',').map(str::trim) {
        if let Some(field) = name.strip_prefix(EXPLICIT).filter(|field| !field.is_empty()) {
            sources.explicit = Some(field.to_owned());
            continue;
        }
        let entry = SOURCES.iter().find(|entry| entry.name == name);
        (entry.ok_or_else(|| TableError::Source { found: name.to_owned() })?.set)(&mut sources);
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use schism_history::{F, History, Kind, Node, Op, Process, REPLICA_READ, RunFacts, Value, notation};

    use super::*;
    use crate::anomaly::AnomalyKind;
    use crate::checker::Budget;

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
    fn what_is_asked_of_transactions_is_understood_or_refused() {
        let told = |checker, consistency, version_order| {
            let options = Options { model: None, consistency, version_order };
            build_with(checker, &options).err().map(|error| error.to_string()).unwrap_or_default()
        };
        for entry in LEVELS {
            assert_eq!(told("list-append", Some(entry.name), None), "");
        }
        assert_eq!(told("rw-register", Some("SI"), Some("writes-follow-reads, explicit:revision")), "");
        for (checker, consistency, version_order, said) in [
            ("stats", Some("PL-2"), None, "the checker stats takes no consistency model; list-append, rw-register do"),
            ("list-append", None, Some("sequential-keys"), "takes no order of versions; rw-register do"),
            ("list-append", Some("PL-4"), None, "no consistency model is called PL-4; there are read-uncommitted, "),
            ("rw-register", None, Some("explicit:"), "no order of versions is called explicit:; there are"),
            ("rw-register", None, Some("keys"), "no order of versions is called keys; there are writes-follow-reads, "),
        ] {
            assert!(told(checker, consistency, version_order).contains(said), "{checker}");
        }
    }

    /// Reads of replicas, one after the other: who answered, and what.
    fn replica_reads(answers: &[(&str, i64)]) -> History {
        let mut events = Vec::new();
        for (node, answer) in answers {
            for (kind, value) in [(Kind::Invoke, Value::Nil), (Kind::Ok, Value::Int(*answer))] {
                let mut event = Op::new(Process::Client(0), kind, F::parse(REPLICA_READ), value);
                event.node = Some(Node::new(node));
                (event.index, event.time_ns) = (events.len() as u32, events.len() as u64);
                events.push(event);
            }
        }
        History::from_ops(events).unwrap()
    }

    /// That checkers make no others is looked after by `runner/tests/floors.rs`.
    #[test]
    fn every_kind_of_anomaly_is_found_by_a_checker_and_told_by_its_name() {
        let found = [
            (AnomalyKind::Nonlinearizable, "linearizable", notation::parse("0:w1 0:r2").unwrap()),
            (AnomalyKind::Nonsequential, "sequential", notation::parse("0:w1 0:r2").unwrap()),
            (AnomalyKind::ReplicasDisagree, "replicas", replica_reads(&[("n1", 1), ("n2", 2), ("n1", 1)])),
        ];
        // Those of transactions have a table of their own, with the levels.
        for kind in AnomalyKind::ALL.iter().filter(|kind| **kind <= AnomalyKind::ReplicasDisagree) {
            assert!(found.iter().any(|(known, ..)| known == kind), "nothing here finds {kind:?}");
            assert!(!kind.about().is_empty());
        }
        for (kind, checker, history) in &found {
            let finding = build(checker, None).unwrap().check(history, &RunFacts::default(), &Budget::default());
            let kinds: Vec<&str> = finding.anomalies.iter().map(|anomaly| anomaly.kind.as_str()).collect();
            assert_eq!(kinds, [kind.as_str()], "{checker}");
        }
    }

    #[test]
    fn wrong_names_are_told_with_the_right_ones() {
        let told = |checker, model| build(checker, model).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(
            told("linear", None),
            "no checker is called linear; there are linearizable, sequential, list-append, rw-register, replicas, stats, run, perf"
        );
        assert_eq!(
            told("linearizable", Some("heap")),
            format!(
                "the checker linearizable cannot judge the model heap; it knows {}",
                names(CHECKERS[0].models.iter().map(|model| model.form()))
            )
        );
        assert_eq!(
            told("stats", Some("register")),
            "the checker stats cannot judge the model register; it knows no model"
        );
    }
}
