//! What the engines found, gathered.

use std::collections::BTreeMap;

use schism_history::{Kind, MicroValue, Value};

use crate::anomaly::{Anomaly, AnomalyKind, Dependency, Step, Witness};
use crate::checker::Budget;
use crate::txn::accesses::Accesses;
use crate::txn::edge::{Edge, EdgeKind, Reasons};
use crate::txn::graph::unfolded::{self, Phenomenon, Told, Verdict};
use crate::txn::graph::{self, Cycle};
use crate::txn::levels::{KindSet, Level, LevelSet, ruled_out_by};
use crate::txn::list_append::{self, Lists};
use crate::txn::meter::Meter;
use crate::txn::rw_register::{self, Registers, Uncertain, VersionSources};
use crate::txn::txns::{TxnId, Txns};
use crate::txn::weak;
use crate::verdict::Gap;

use super::{Data, settle};

/// So many anomalies of a kind are told; the others are counted.
const TOLD_MAX: usize = 8;

/// What an engine of data said.
pub(super) enum Inferred<'t> {
    /// Lists.
    Lists(Lists<'t>),
    /// Registers.
    Registers(Registers<'t>),
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
        let inferred = match data {
            Data::ListAppend => {
                let mut lists = list_append::infer(txns, &mut meter);
                evidence.take(&mut lists.anomalies, &mut lists.gaps);
                evidence.counted(lists.counts.iter().map(|(&kind, &count)| (kind, count)));
                Inferred::Lists(lists)
            }
            Data::RwRegister => {
                let mut registers = rw_register::infer(txns, sources, &mut meter);
                evidence.has_predicates = registers.has_predicates;
                evidence.take(&mut registers.anomalies, &mut registers.gaps);
                evidence.counted(registers.counts.iter().copied());
                Inferred::Registers(registers)
            }
        };
        evidence.ran(data.as_str(), &meter);
        inferred
    }

    /// Who read what from whom.
    pub(super) fn accesses(&self) -> &Accesses {
        match self {
            Inferred::Lists(lists) => &lists.accesses,
            Inferred::Registers(registers) => &registers.accesses,
        }
    }

    /// Reads whose writer is not certain.
    pub(super) fn uncertain(&self) -> &[Uncertain] {
        match self {
            Inferred::Lists(_) => &[],
            Inferred::Registers(registers) => &registers.uncertain,
        }
    }

    /// Whether of some key the order of versions is known, but not of all.
    fn knows_orders_in_part(&self) -> bool {
        match self {
            Inferred::Lists(_) => false,
            Inferred::Registers(registers) => registers.knows_orders_in_part(),
        }
    }

    /// The edges between writers of neighbouring versions, before they are taken.
    pub(super) fn ww_edges(&self) -> Vec<Edge> {
        let edges = match self {
            Inferred::Lists(lists) => &lists.edges,
            Inferred::Registers(registers) => &registers.edges,
        };
        edges.iter().copied().filter(|edge| edge.kind == EdgeKind::Ww).collect()
    }

    fn take_edges(&mut self) -> Vec<Edge> {
        match self {
            Inferred::Lists(lists) => std::mem::take(&mut lists.edges),
            Inferred::Registers(registers) => std::mem::take(&mut registers.edges),
        }
    }

    fn reasons(&self) -> &dyn Reasons {
        match self {
            Inferred::Lists(lists) => lists,
            Inferred::Registers(registers) => registers,
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// Whether the history has no real time: kinds that rest on it are not told then.
    pub is_timeless: bool,
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
    /// Whether there are reads by predicate, or what is done to their objects: only an order that explains them proves
    /// something then.
    pub has_predicates: bool,
    /// Why no such order was found.
    pub unexplained: Option<String>,
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
        !self.gaps.is_empty() || self.has_predicates
    }

    /// Whether some read of a register lies behind a write of its own transaction and saw something else: it breaks models of its own, and
    /// whom it follows no engine of transactions knows.
    pub(super) fn passes_over_reads(&self, data: Data) -> bool {
        let strange = [AnomalyKind::Internal, AnomalyKind::FutureRead];
        data == Data::RwRegister && strange.into_iter().any(|kind| self.kinds.contains(kind))
    }

    fn take(&mut self, anomalies: &mut Vec<Anomaly>, gaps: &mut Vec<Gap>) {
        anomalies.drain(..).for_each(|anomaly| self.add(anomaly));
        self.gaps.append(gaps);
    }

    /// An engine that tells a few of a kind has counted them all.
    fn counted(&mut self, counts: impl Iterator<Item = (AnomalyKind, u64)>) {
        for (kind, count) in counts {
            self.kinds.insert(kind);
            self.counts.insert(kind.as_str(), count);
        }
    }

    /// Counts an anomaly, and keeps it if there are not many of its kind yet.
    pub(super) fn add(&mut self, anomaly: Anomaly) {
        // Engines make anomalies of kinds that there are.
        let Some(kind) = AnomalyKind::parse(&anomaly.kind) else { return };
        if self.is_timeless && ruled_out_by(kind).iter().all(Level::needs_realtime) {
            return;
        }
        self.kinds.insert(kind);
        let count = self.counts.entry(kind.as_str()).or_default();
        *count += 1;
        if *count <= TOLD_MAX as u64 {
            self.anomalies.push(anomaly);
        }
    }

    /// Adds a cycle. Two transactions that wrote over each other's read of the same key are no write skew: they are told as a
    /// lost update or by something else that rules out as much, and as the cycle that they are.
    fn add_cycle(&mut self, txns: &Txns<'_>, anomaly: Anomaly) {
        // Two keys may be written alike: `1` and `"1"`.
        let key = |step: &Step| {
            let history = txns.history();
            let ended = history.pair(step.transaction).filter(|&end| history.kind(end) == Kind::Ok);
            let (txn, micro) = (history.txn(ended.unwrap_or(step.transaction))?, step.because.from_micro?);
            ((micro as usize) < txn.len()).then(|| txn.micro(micro as usize).key)
        };
        let is_of_one_key = match &anomaly.witness {
            Witness::Cycle { steps, .. } => {
                let mut keys = steps.iter().map(key);
                let first = keys.next().flatten();
                first.is_some() && keys.all(|key| key == first)
            }
            _ => false,
        };
        if anomaly.kind != AnomalyKind::WriteSkew.as_str() || !is_of_one_key {
            self.add(anomaly);
        }
    }

    /// An engine ran to its end.
    pub(super) fn ran(&mut self, engine: &'static str, meter: &Meter) {
        self.engines.push(engine);
        self.steps = self.steps.saturating_add(meter.steps);
    }

    /// An engine was stopped by the budget.
    pub(super) fn stopped(&mut self, meter: &Meter) {
        self.spent.push(meter.gap());
        self.steps = self.steps.saturating_add(meter.steps);
    }

    /// Looks for cycles.
    pub(super) fn take_cycles(&mut self, txns: &Txns<'_>, inferred: &mut Inferred<'_>, budget: &Budget) {
        let mut meter = Meter::new(budget);
        let edges = inferred.take_edges();
        self.edges_count = edges.len() as u64;
        let cycles = graph::cycles(txns, edges, &mut meter);
        self.components_count = cycles.components_count;
        // Last, as a lost update looks like a write skew where the order of versions is not known.
        let (skews, others): (Vec<&Cycle>, Vec<&Cycle>) =
            cycles.found.iter().partition(|cycle| cycle.class == AnomalyKind::WriteSkew);
        for cycle in others.into_iter().chain(skews) {
            // There may be many components; reasons are looked for where they are told.
            match self.counts.get_mut(cycle.class.as_str()) {
                Some(count) if *count >= TOLD_MAX as u64 => *count += 1,
                _ => self.add_cycle(txns, of_cycle(txns, inferred.reasons(), cycle)),
            }
        }
        self.cycles_ended = !cycles.spent;
        if cycles.spent { self.stopped(&meter) } else { self.ran("cycles", &meter) }
    }

    /// Looks inside of transactions; the models that are settled then.
    pub(super) fn take_unfolded(
        &mut self,
        txns: &Txns<'_>,
        inferred: &Inferred<'_>,
        ww: &[Edge],
        budget: &Budget,
    ) -> LevelSet {
        let mut meter = Meter::new(budget);
        let found = unfolded::examine(txns, inferred.accesses(), ww, &mut meter);
        if found.spent {
            self.stopped(&meter)
        } else {
            self.ran("unfolded", &meter)
        }
        let mut settled = LevelSet::default();
        for (phenomenon, verdict) in Phenomenon::ALL.into_iter().zip(found.verdicts) {
            match verdict {
                Verdict::Found(told) => self.add(of_unfolded(txns, inferred.reasons(), phenomenon, &told)),
                Verdict::Absent => settled.insert(settle::by_unfolded(phenomenon)),
                Verdict::Open => {}
            }
        }
        settled
    }

    /// Judges the weak levels; those that are settled then.
    pub(super) fn take_axioms(&mut self, txns: &Txns<'_>, inferred: &Inferred<'_>, budget: &Budget) -> LevelSet {
        let mut meter = Meter::new(budget);
        let weak = weak::judge(txns, inferred.accesses(), &mut meter);
        weak.anomalies.into_iter().for_each(|anomaly| self.add(anomaly));
        if weak.spent {
            self.stopped(&meter);
            return LevelSet::default();
        }
        self.ran("axioms", &meter);
        // What is not certain may have been read from where it breaks an axiom; and of keys the axioms know whole orders alone.
        if !inferred.uncertain().is_empty() || inferred.knows_orders_in_part() {
            return LevelSet::default();
        }
        // Of a read that is strange by itself, or of contradicting lists, the axioms know nothing. Other models forbid it; these do not.
        const STRANGE: [AnomalyKind; 7] = [
            AnomalyKind::G1a,
            AnomalyKind::G1b,
            AnomalyKind::GarbageRead,
            AnomalyKind::FutureRead,
            AnomalyKind::Internal,
            AnomalyKind::IncompatibleOrder,
            AnomalyKind::DuplicateElements,
        ];
        let is_strange = STRANGE.into_iter().any(|kind| self.kinds.contains(kind));
        let unseen =
            if is_strange || weak.passes_over { LevelSet::of(settle::BY_OPERATIONS) } else { LevelSet::default() };
        LevelSet::of(settle::BY_AXIOMS).without(unseen)
    }
}

/// A cycle with its reasons.
fn of_cycle(txns: &Txns<'_>, reasons: &dyn Reasons, cycle: &Cycle) -> Anomaly {
    let plain = |kind: EdgeKind| Dependency { kind: kind.as_str().to_owned(), ..Dependency::default() };
    let step = |edge: &Edge| {
        let is_data = !matches!(edge.kind, EdgeKind::Process | EdgeKind::Realtime);
        let because = if is_data { reasons.reason(*edge) } else { None };
        Step { transaction: txns.invoked(edge.from), because: because.unwrap_or_else(|| plain(edge.kind)) }
    };
    let steps: Vec<Step> = cycle.edges.iter().map(step).collect();
    Anomaly::new(cycle.class, None, Witness::Cycle { steps, shortest: cycle.shortest })
}

/// Such a cycle with its reasons: those that are named, where others might do too.
fn of_unfolded(txns: &Txns<'_>, reasons: &dyn Reasons, phenomenon: Phenomenon, told: &Told) -> Anomaly {
    let step = |link: &unfolded::Link| {
        let kind = link.edge.kind.as_str().to_owned();
        let plain = || Dependency { kind: kind.clone(), ..Dependency::default() };
        let known = reasons.reason(link.edge);
        let because = match link.cause {
            None => known.unwrap_or_else(plain),
            Some((key, from, to)) => {
                let key = txns.key_text(key);
                let is_it = |known: &Dependency| known.from_micro == Some(from) && known.to_micro == Some(to);
                known.filter(|known| is_it(known) && known.key.as_ref() == Some(&key)).unwrap_or_else(|| Dependency {
                    kind: kind.clone(),
                    key: Some(key),
                    from_micro: Some(from),
                    to_micro: Some(to),
                    before: value_text(txns, link.edge.from, from),
                    after: value_text(txns, link.edge.to, to),
                    source: None,
                })
            }
        };
        Step { transaction: txns.invoked(link.edge.from), because }
    };
    let steps: Vec<Step> = told.links.iter().map(step).collect();
    let key = steps.first().and_then(|step| step.because.key.clone()).filter(|_| phenomenon == Phenomenon::Cursor);
    Anomaly::new(phenomenon.kind(), key, Witness::Cycle { steps, shortest: told.shortest })
}

/// What a micro-operation wrote or read, as text.
fn value_text(txns: &Txns<'_>, id: TxnId, micro: u32) -> Option<String> {
    let history = txns.history();
    let txn = txns.txn(id);
    let micro = ((micro as usize) < txn.len()).then(|| txn.micro(micro as usize))?;
    let list = |items: &[schism_history::ValueId]| match items {
        [] => "nil".to_owned(),
        items => Value::list(items.iter().map(|&item| (*history.value_of(item)).clone()).collect()).to_string(),
    };
    Some(match micro.value {
        MicroValue::One(value) => history.value_of(value).to_string(),
        MicroValue::Prefix(length) => list(&txn.list_of(micro.key)[..length as usize]),
        MicroValue::Deviant(items) => list(items),
        MicroValue::Other(mop) => mop.value.to_string(),
    })
}
