//! What the engines found, gathered.

use std::collections::BTreeMap;

use crate::anomaly::{Anomaly, AnomalyKind, Dependency, Rule, Step, Witness};
use crate::checker::Budget;
use crate::txn::accesses::Accesses;
use crate::txn::edge::{Edge, EdgeKind, Reasons};
use crate::txn::graph::{self, Cycle};
use crate::txn::levels::{KindSet, Level, LevelSet};
use crate::txn::list_append::{self, Lists};
use crate::txn::meter::Meter;
use crate::txn::rw_register::{self, Registers, Uncertain, VersionSources};
use crate::txn::txns::Txns;
use crate::txn::weak;
use crate::verdict::Gap;

use super::{Data, budget_spent, settle};

/// So many anomalies of a kind are told; the others are counted.
const TOLD_MAX: usize = 8;

/// What an engine of data said.
pub(super) enum Inferred<'t> {
    /// Lists.
    Lists(Lists),
    /// Registers.
    Registers(Registers, std::marker::PhantomData<&'t ()>),
}

impl<'t> Inferred<'t> {
    /// Asks the engine; what it found by itself goes to the evidence.
    pub(super) fn of(
        data: Data,
        txns: &'t Txns<'t>,
        sources: &VersionSources,
        budget: &Budget,
        evidence: &mut Evidence,
    ) -> Inferred<'t> {
        let mut meter = Meter::new(budget);
        let (inferred, anomalies, gaps) = match data {
            Data::ListAppend => {
                let mut lists = list_append::infer(txns, &mut meter);
                let (anomalies, gaps) = (std::mem::take(&mut lists.anomalies), std::mem::take(&mut lists.gaps));
                (Inferred::Lists(lists), anomalies, gaps)
            }
            Data::RwRegister => {
                let mut registers = rw_register::infer(txns, sources, &mut meter);
                let (anomalies, gaps) = (std::mem::take(&mut registers.anomalies), std::mem::take(&mut registers.gaps));
                (Inferred::Registers(registers, std::marker::PhantomData), anomalies, gaps)
            }
        };
        anomalies.into_iter().for_each(|anomaly| evidence.add(anomaly));
        evidence.gaps.extend(gaps);
        evidence.ran(data.as_str(), &meter);
        inferred
    }

    /// Who read what from whom.
    pub(super) fn accesses(&self) -> &Accesses {
        match self {
            Inferred::Lists(lists) => &lists.accesses,
            Inferred::Registers(registers, _) => &registers.accesses,
        }
    }

    /// Reads whose writer is not certain.
    pub(super) fn uncertain(&self) -> &[Uncertain] {
        match self {
            Inferred::Lists(_) => &[],
            Inferred::Registers(registers, _) => &registers.uncertain,
        }
    }

    /// The edges between writers of neighbouring versions, before they are taken.
    pub(super) fn ww_edges(&self) -> Vec<Edge> {
        let edges = match self {
            Inferred::Lists(lists) => &lists.edges,
            Inferred::Registers(registers, _) => &registers.edges,
        };
        edges.iter().copied().filter(|edge| edge.kind == EdgeKind::Ww).collect()
    }

    fn take_edges(&mut self) -> Vec<Edge> {
        match self {
            Inferred::Lists(lists) => std::mem::take(&mut lists.edges),
            Inferred::Registers(registers, _) => std::mem::take(&mut registers.edges),
        }
    }

    fn reasons(&self) -> &dyn Reasons {
        match self {
            Inferred::Lists(lists) => lists,
            Inferred::Registers(registers, _) => registers,
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// The kinds.
    pub kinds: KindSet,
    /// A few of each kind.
    pub anomalies: Vec<Anomaly>,
    /// How many of each kind.
    pub counts: BTreeMap<&'static str, u64>,
    /// What of the history has no meaning for the checker: nothing is said to be kept then.
    pub gaps: Vec<Gap>,
    /// Engines that the budget stopped.
    pub spent: Vec<Gap>,
    /// Whether cycles were looked for to the end.
    pub cycles_ended: bool,
    /// Edges of data.
    pub edges_count: u64,
    /// Strongly connected components.
    pub components_count: u64,
    /// Engines that ran to their end.
    pub engines: Vec<&'static str>,
    /// Of all engines.
    pub steps: u64,
}

impl Evidence {
    /// Whether something of the history could not be taken into account.
    pub(super) fn is_incomplete(&self) -> bool {
        !self.gaps.is_empty()
    }

    /// Counts an anomaly, and keeps it if there are not many of its kind yet.
    pub(super) fn add(&mut self, anomaly: Anomaly) {
        // Engines make anomalies of kinds that there are.
        let Some(kind) = AnomalyKind::parse(&anomaly.kind) else { return };
        self.kinds.insert(kind);
        let count = self.counts.entry(kind.as_str()).or_default();
        *count += 1;
        if *count <= TOLD_MAX as u64 {
            self.anomalies.push(anomaly);
        }
    }

    /// An engine ran to its end.
    pub(super) fn ran(&mut self, engine: &'static str, meter: &Meter) {
        self.engines.push(engine);
        self.steps = self.steps.saturating_add(meter.steps);
    }

    /// An engine was stopped by the budget.
    pub(super) fn stopped(&mut self, meter: &Meter) {
        self.spent.push(budget_spent(meter));
        self.steps = self.steps.saturating_add(meter.steps);
    }

    /// Looks for cycles.
    pub(super) fn take_cycles(&mut self, txns: &Txns<'_>, inferred: &mut Inferred<'_>, budget: &Budget) {
        let mut meter = Meter::new(budget);
        let edges = inferred.take_edges();
        self.edges_count = edges.len() as u64;
        let cycles = graph::cycles(txns, edges, &mut meter);
        self.components_count = cycles.components_count;
        for cycle in &cycles.found {
            self.add(of_cycle(txns, inferred.reasons(), cycle));
        }
        self.cycles_ended = !cycles.spent;
        if cycles.spent { self.stopped(&meter) } else { self.ran("cycles", &meter) }
    }

    /// Judges the weak levels; those that are settled then. What rests on the order of a process is told apart from what does
    /// not, as the levels without sessions allow it; if it is all that was found, they are judged once more by themselves.
    pub(super) fn take_axioms(&mut self, txns: &Txns<'_>, inferred: &Inferred<'_>, budget: &Budget) -> LevelSet {
        let mut settled = LevelSet::default();
        let is_certain = inferred.uncertain().is_empty();
        let Some(found) = self.axioms_once(txns, inferred, budget, KindSet::default()) else { return settled };
        if is_certain {
            settled = settled.union(LevelSet::of(settle::SESSIONS));
        }
        let hides = |kind| {
            let of_process = with_process(kind);
            found.contains(of_process) && !found.contains(kind)
        };
        if !BY_PROCESS.iter().any(|&(kind, _)| hides(kind)) {
            return if is_certain { settled.union(LevelSet::of(settle::SESSIONLESS)) } else { settled };
        }
        let alone = txns.without_sessions();
        match self.axioms_once(&alone, inferred, budget, self.kinds) {
            Some(_) if is_certain => settled.union(LevelSet::of(settle::SESSIONLESS)),
            _ => settled,
        }
    }

    /// One pass; the kinds that it found, `None` if the budget ended. Those that are `known` are not told again.
    fn axioms_once(
        &mut self,
        txns: &Txns<'_>,
        inferred: &Inferred<'_>,
        budget: &Budget,
        known: KindSet,
    ) -> Option<KindSet> {
        let mut meter = Meter::new(budget);
        let weak = weak::judge(txns, inferred.accesses(), &mut meter);
        let mut found = KindSet::default();
        for mut anomaly in weak.anomalies {
            let Some(mut kind) = AnomalyKind::parse(&anomaly.kind) else { continue };
            if rests_on_process(&anomaly.witness) {
                kind = with_process(kind);
                anomaly = Anomaly::new(kind, anomaly.key, anomaly.witness);
            }
            found.insert(kind);
            if !known.contains(kind) {
                self.add(anomaly);
            }
        }
        if weak.spent {
            self.stopped(&meter)
        } else {
            self.ran("axioms", &meter)
        }
        (!weak.spent).then_some(found)
    }
}

/// The kinds of axioms, and what they are called where the order of a process is needed.
const BY_PROCESS: [(AnomalyKind, AnomalyKind); 3] = [
    (AnomalyKind::NonMonotonicView, AnomalyKind::NonMonotonicViewProcess),
    (AnomalyKind::FracturedRead, AnomalyKind::FracturedReadProcess),
    (AnomalyKind::StaleCausalRead, AnomalyKind::StaleCausalReadProcess),
];

fn with_process(kind: AnomalyKind) -> AnomalyKind {
    BY_PROCESS.iter().find(|(plain, _)| *plain == kind).map_or(kind, |(_, of_process)| *of_process)
}

/// Whether a proof rests on the order of a process. One that does not say does.
fn rests_on_process(witness: &Witness) -> bool {
    match witness {
        Witness::Cycle { steps, .. } => steps.iter().any(|step| step.because.kind == EdgeKind::Process.as_str()),
        Witness::NoCommitOrder { derivation, .. } => {
            derivation.is_empty() || derivation.iter().any(|line| line.rule == Rule::Process)
        }
        _ => false,
    }
}

/// A cycle with its reasons.
fn of_cycle(txns: &Txns<'_>, reasons: &dyn Reasons, cycle: &Cycle) -> Anomaly {
    let plain = |kind: EdgeKind| Dependency {
        kind: kind.as_str().to_owned(),
        key: None,
        from_micro: None,
        to_micro: None,
        before: None,
        after: None,
    };
    let step = |edge: &Edge| {
        let is_data = !matches!(edge.kind, EdgeKind::Process | EdgeKind::Realtime);
        let because = if is_data { reasons.reason(*edge) } else { None };
        Step { transaction: txns.invoked(edge.from), because: because.unwrap_or_else(|| plain(edge.kind)) }
    };
    let steps: Vec<Step> = cycle.edges.iter().map(step).collect();
    Anomaly::new(cycle.class, None, Witness::Cycle { steps, shortest: cycle.shortest })
}

/// Whether a model is among those that axioms settle.
pub(super) fn is_axiomatic(level: Level) -> bool {
    settle::AXIOMATIC.contains(&level)
}
