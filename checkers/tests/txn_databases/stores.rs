//! Stores of a known level: what they keep is confirmed, what comes next is ruled out.

use schism_checkers::txn::checker::TxnChecker;
use schism_checkers::txn::levels::{Level, LevelSet};
use schism_checkers::txn::rw_register::VersionSources;
use schism_checkers::{Budget, Outcome};
use schism_history::History;

use crate::generate::{Data, Fresh, Store, Wanted, history};
use crate::{Line, check, check_by, checked, is_long, names, transactions, wrongs};

/// A store, what it keeps, and what it soon breaks: with those that imply it.
struct Row {
    store: Store,
    fresh: Fresh,
    kept: &'static [Level],
    broken: &'static [Level],
}

const ROWS: &[Row] = &[
    Row { store: Store::Serial, fresh: Fresh::Realtime, kept: &[Level::StrictSerializable], broken: &[] },
    Row {
        store: Store::Serial,
        fresh: Fresh::Process,
        kept: &[Level::StrongSessionSerializable, Level::StrongReadCommitted],
        broken: &[Level::StrongSnapshotIsolation],
    },
    // Snapshots are prefixes of the commit order, but not always with what the session did itself.
    Row {
        store: Store::Serial,
        fresh: Fresh::Nothing,
        kept: &[
            Level::Serializable,
            Level::StrongReadCommitted,
            Level::AxiomaticReadCommitted,
            Level::MonotonicWrites,
            Level::WritesFollowReads,
        ],
        broken: &[Level::ReadYourWrites, Level::MonotonicReads, Level::AxiomaticReadAtomic],
    },
    Row {
        store: Store::SnapshotIsolation,
        fresh: Fresh::Realtime,
        kept: &[Level::StrongSnapshotIsolation],
        broken: &[Level::UpdateSerializable, Level::RepeatableRead],
    },
    Row {
        store: Store::SnapshotIsolation,
        fresh: Fresh::Process,
        kept: &[Level::StrongSessionSnapshotIsolation, Level::StrongReadCommitted],
        broken: &[Level::UpdateSerializable, Level::RepeatableRead, Level::StrongSnapshotIsolation],
    },
    Row {
        store: Store::SnapshotIsolation,
        fresh: Fresh::Nothing,
        kept: &[
            Level::SnapshotIsolation,
            Level::StrongReadCommitted,
            Level::AxiomaticReadCommitted,
            Level::MonotonicWrites,
            Level::WritesFollowReads,
        ],
        broken: &[
            Level::UpdateSerializable,
            Level::RepeatableRead,
            Level::ReadYourWrites,
            Level::MonotonicReads,
            Level::AxiomaticReadAtomic,
        ],
    },
    Row {
        store: Store::Prefix,
        fresh: Fresh::Process,
        kept: &[Level::AxiomaticPrefix, Level::StrongReadCommitted],
        broken: &[Level::CursorStability, Level::UpdateAtomic],
    },
    Row {
        store: Store::ReadCommitted,
        fresh: Fresh::Realtime,
        kept: &[Level::StrongReadCommitted, Level::AxiomaticReadCommitted],
        broken: &[Level::ReadAtomic],
    },
    Row {
        store: Store::ParallelSnapshotIsolation,
        fresh: Fresh::Process,
        kept: &[Level::ParallelSnapshotIsolation, Level::AxiomaticCausal, Level::StrongReadCommitted],
        broken: &[Level::Prefix],
    },
    Row {
        store: Store::Causal,
        fresh: Fresh::Process,
        kept: &[Level::AxiomaticCausal, Level::StrongReadCommitted],
        broken: &[Level::Prefix, Level::UpdateAtomic, Level::CursorStability],
    },
    Row {
        store: Store::Pram,
        fresh: Fresh::Process,
        kept: &[Level::Pram, Level::AxiomaticReadAtomic, Level::StrongReadCommitted],
        broken: &[Level::CausalCerone, Level::WritesFollowReads, Level::UpdateAtomic, Level::CursorStability],
    },
];

impl Row {
    fn name(&self, data: Data) -> String {
        format!("{:?} {:?} {data:?}", self.store, self.fresh)
    }

    fn history(&self, data: Data, wanted: Wanted) -> History {
        history(Wanted { store: self.store, fresh: self.fresh, data, ..wanted })
    }

    fn kept(&self) -> LevelSet {
        LevelSet::of(self.kept).with_weaker()
    }

    fn broken(&self) -> LevelSet {
        let is_broken = |level: &&Level| self.broken.iter().any(|&weak| level.implies(weak));
        Level::ALL.iter().filter(is_broken).copied().collect()
    }

    /// What is wrong with what is said of a history of it.
    fn judge(&self, data: Data, wanted: Wanted) -> Vec<String> {
        let name = self.name(data);
        let history = self.history(data, wanted);
        let (mut wrong, mut ruled_out) = (Vec::new(), LevelSet::default());
        for &level in self.kept {
            let finding = check(&name, &history, data, level);
            let line = Line::of(&finding);
            if finding.outcome() != Outcome::Valid || !line.possible.contains(level) {
                let told: Vec<_> = finding.anomalies.iter().map(|anomaly| &anomaly.kind).collect();
                wrong.push(format!(
                    "{name}: {level} is kept, but {:?}: {told:?} {:?}",
                    finding.outcome(),
                    finding.gaps
                ));
            }
            ruled_out = ruled_out.union(line.ruled_out);
        }
        // Registers show the order of versions only from where there was nothing: few keys that are written twice.
        let soon = Wanted { writes_per_key: 2, keys_alive: 4, micros: (2, 4), reads_percent: 65, ..wanted };
        let history = match data {
            Data::Lists => history,
            Data::Registers => self.history(data, Wanted { transactions: soon.transactions / 2, ..soon }),
        };
        for &level in self.broken {
            // Of registers hardly one transaction in a hundred thousand shows it, as it must find nothing where something was.
            if data == Data::Registers && level == Level::WritesFollowReads {
                continue;
            }
            if !ruled_out.contains(level) {
                let finding = check(&name, &history, data, level);
                if finding.outcome() != Outcome::Invalid {
                    wrong.push(format!("{name}: {level} is broken, but {:?} {:?}", finding.outcome(), finding.gaps));
                }
                ruled_out = ruled_out.union(Line::of(&finding).ruled_out);
            }
        }
        let falsely: LevelSet = ruled_out.iter().filter(|&level| self.kept().contains(level)).collect();
        if !falsely.is_empty() {
            wrong.push(format!("{name}: {:?} are kept, but ruled out", names(falsely)));
        }
        wrong
    }
}

/// What is kept and what is broken do not contradict each other.
#[test]
fn the_table_is_sound() {
    for row in ROWS {
        let both: LevelSet = row.broken().iter().filter(|&level| row.kept().contains(level)).collect();
        assert!(both.is_empty(), "{}: {:?}", row.name(Data::Lists), names(both));
    }
}

#[test]
fn lists_confirm_the_level_and_rule_out_the_next() {
    let wanted = Wanted { transactions: transactions(), ..Wanted::default() };
    let wrong = wrongs(ROWS, |row| row.judge(Data::Lists, wanted));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn registers_confirm_the_level_and_rule_out_the_next() {
    let wanted = Wanted { transactions: transactions(), ..Wanted::default() };
    let wrong = wrongs(ROWS, |row| row.judge(Data::Registers, wanted));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The outcome within a budget that is not large: orders of single operations are searched for long.
fn outcome(name: &str, history: &History, data: Data, level: Level) -> Outcome {
    let checker = TxnChecker { data: checked(data), level, sources: VersionSources::default() };
    check_by(name, history, &checker, &Budget { steps_max: 200_000, ..Budget::default() }).outcome()
}

/// Every model of the lattice, on every store: none that is kept is ruled out, none that is broken on this very history is
/// called valid, and a model is never valid where a weaker one is not.
#[test]
fn no_model_is_ruled_out_falsely() {
    let count = if is_long() { 5_000 } else { 120 };
    for data in [Data::Lists, Data::Registers] {
        let wrong = wrongs(ROWS, |row| {
            let name = row.name(data);
            let history = row.history(data, Wanted { transactions: count, seed: 5, ..Wanted::default() });
            // What one order of all single operations decides takes its time, and has tests of its own.
            let asked = Level::ALL.iter().filter(|level| **level != Level::Sequential);
            let outcomes: Vec<(Level, Outcome)> =
                asked.map(|&level| (level, outcome(&name, &history, data, level))).collect();
            let mut wrong = Vec::new();
            for &(level, outcome) in &outcomes {
                if outcome == Outcome::Invalid && row.kept().contains(level) {
                    wrong.push(format!("{name}: {level} is kept, but invalid"));
                }
                let weaker = outcomes.iter().find(|(weak, found)| level.implies(*weak) && *found == Outcome::Invalid);
                if let (Outcome::Valid, Some((weak, _))) = (outcome, weaker) {
                    wrong.push(format!("{name}: {level} is valid, but {weak} is not"));
                }
            }
            wrong
        });
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
