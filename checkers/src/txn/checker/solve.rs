//! Which searches for a commit order decide a model.

use crate::anomaly::{Anomaly, AnomalyKind};
use crate::checker::Budget;
use crate::txn::edge::Edge;
use crate::txn::levels::{Level, LevelSet};
use crate::txn::meter::Meter;
use crate::txn::solver::{self, Decision, Keeps, Property, Question};
use crate::txn::txns::Txns;

use super::evidence::{Evidence, Inferred};
use super::settle;

/// A search, what it is called when there is no order, and which models hold if there is one.
pub(super) struct Task {
    pub property: Property,
    pub keeps: Keeps,
    pub name: &'static str,
    pub broken: AnomalyKind,
    pub proves: &'static [Level],
}

const PARALLEL: Task = Task {
    property: Property::ParallelSnapshotIsolation,
    keeps: Keeps::Nothing,
    name: "parallel-snapshot-isolation",
    broken: AnomalyKind::NotParallelSnapshotIsolation,
    proves: &[Level::ParallelSnapshotIsolation, Level::ForwardConsistentView],
};
const PREFIX: Task = Task {
    property: Property::Prefix,
    keeps: Keeps::Nothing,
    name: "prefix",
    broken: AnomalyKind::NotPrefix,
    proves: &[Level::Prefix],
};
const PREFIX_PROCESS: Task = Task {
    property: Property::Prefix,
    keeps: Keeps::Process,
    name: "prefix-process",
    broken: AnomalyKind::NotPrefixProcess,
    proves: &[Level::AxiomaticPrefix, Level::Prefix],
};
const SNAPSHOT: Task = Task {
    property: Property::SnapshotIsolation,
    keeps: Keeps::Nothing,
    name: "snapshot-isolation",
    broken: AnomalyKind::NotSnapshotIsolation,
    proves: &[Level::SnapshotIsolation],
};
const SNAPSHOT_PROCESS: Task = Task {
    property: Property::SnapshotIsolation,
    keeps: Keeps::Process,
    name: "snapshot-isolation-process",
    broken: AnomalyKind::NotSnapshotIsolationProcess,
    proves: &[Level::StrongSessionSnapshotIsolation],
};
const SNAPSHOT_REALTIME: Task = Task {
    property: Property::SnapshotIsolation,
    keeps: Keeps::Realtime,
    name: "snapshot-isolation-realtime",
    broken: AnomalyKind::NotSnapshotIsolationRealtime,
    proves: &[Level::StrongSnapshotIsolation],
};
const UPDATES: Task = Task {
    property: Property::UpdateSerializable,
    keeps: Keeps::Nothing,
    name: "update-serializable",
    broken: AnomalyKind::NotUpdateSerializable,
    proves: &[Level::UpdateSerializable],
};
const SERIAL: Task = Task {
    property: Property::Serializable,
    keeps: Keeps::Nothing,
    name: "serializable",
    broken: AnomalyKind::NotSerializable,
    proves: &[Level::Serializable],
};
const SERIAL_PROCESS: Task = Task {
    property: Property::Serializable,
    keeps: Keeps::Process,
    name: "serializable-process",
    broken: AnomalyKind::NotSerializableProcess,
    proves: &[Level::StrongSessionSerializable],
};
const SERIAL_REALTIME: Task = Task {
    property: Property::Serializable,
    keeps: Keeps::Realtime,
    name: "serializable-realtime",
    broken: AnomalyKind::NotSerializableRealtime,
    proves: &[Level::StrictSerializable],
};

/// The search that decides a model, or, for models that no search decides, that of the weakest stronger one: if that is kept, so is
/// the model.
fn task(level: Level) -> Task {
    match level {
        Level::Prefix => PREFIX,
        Level::AxiomaticPrefix => PREFIX_PROCESS,
        Level::SnapshotIsolation | Level::MonotonicSnapshotRead => SNAPSHOT,
        Level::StrongSessionSnapshotIsolation => SNAPSHOT_PROCESS,
        Level::StrongSnapshotIsolation => SNAPSHOT_REALTIME,
        Level::UpdateSerializable => UPDATES,
        Level::RepeatableRead | Level::Serializable | Level::ViewSerializable | Level::OneCopySerializable => SERIAL,
        Level::StrongSessionSerializable | Level::SessionSerializable | Level::Sequential => SERIAL_PROCESS,
        // Of single operations, where the order of sessions is enough.
        Level::CausalMemory | Level::PipelinedRam => SERIAL_PROCESS,
        Level::StrictSerializable | Level::Linearizable => SERIAL_REALTIME,
        Level::StrongReadUncommitted | Level::StrongReadCommitted => SNAPSHOT_REALTIME,
        Level::StrongSessionReadUncommitted | Level::StrongSessionReadCommitted => SNAPSHOT_PROCESS,
        level if Level::ParallelSnapshotIsolation.implies(level) => PARALLEL,
        Level::CursorStability | Level::MonotonicView | Level::ConsistentView | Level::ForwardConsistentView => {
            PARALLEL
        }
        level if settle::BY_AXIOMS.contains(&level) => SNAPSHOT_PROCESS,
        _ => SERIAL_REALTIME,
    }
}

/// The search that decides a model, or that of the weakest stronger one, among those in which one order is for all.
pub(super) fn task_for_all(level: Level) -> Task {
    let task = task(level);
    match (task.property, task.keeps) {
        (Property::Serializable | Property::SnapshotIsolation, _) => task,
        (Property::UpdateSerializable, _) => SERIAL,
        (Property::Prefix | Property::ParallelSnapshotIsolation, Keeps::Nothing) => SNAPSHOT,
        (Property::Prefix | Property::ParallelSnapshotIsolation, Keeps::Process) => SNAPSHOT_PROCESS,
        (Property::Prefix | Property::ParallelSnapshotIsolation, Keeps::Realtime) => SNAPSHOT_REALTIME,
    }
}

/// Searches what decides a model; the models that are settled then. `known` are writers of a key in the order of their versions,
/// as lists show it or as somebody said: what is found is found of orders that keep it.
pub(super) fn decide(
    level: Level,
    txns: &Txns<'_>,
    inferred: &Inferred<'_>,
    known: &[Edge],
    budget: &Budget,
    evidence: &mut Evidence,
) -> LevelSet {
    let task = task(level);
    let mut meter = Meter::new(budget);
    let question = Question {
        txns,
        accesses: inferred.accesses(),
        uncertain: inferred.uncertain(),
        known,
        property: task.property,
        keeps: task.keeps,
    };
    match solver::decide(&question, &mut meter) {
        Decision::Holds(_) => {
            evidence.ran(task.name, &meter);
            return LevelSet::of(task.proves);
        }
        Decision::Broken(anomaly) => {
            evidence.ran(task.name, &meter);
            evidence.add(Anomaly::new(task.broken, anomaly.key.clone(), anomaly.witness.clone()));
        }
        Decision::Unknown(gap) => {
            evidence.steps = evidence.steps.saturating_add(meter.steps);
            evidence.spent.push(gap);
        }
    }
    LevelSet::default()
}
