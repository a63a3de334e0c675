//! Linearizability and sequential consistency of the single operations of transactions over registers: the history of the
//! micro-operations alone, judged by the checkers of these names.
//!
//! Each micro-operation becomes an operation. For sequential consistency those of a process stand one after another. For
//! linearizability each lasts as long as its transaction, and nothing says in which order those of one transaction were
//! made: so of transactions with several, "no order" is proof and an order is none. The same goes for several writes of one
//! transaction in doubt, of which each may have happened or not.

use schism_history::{F, History, Kind, Mop, Op, OpIndex, Process, Value};

use crate::anomaly::{Anomaly, AnomalyKind, Witness};
use crate::checker::Budget;
use crate::linear::{self, ModelName};
use crate::sequential;
use crate::txn::levels::{Level, LevelSet};
use crate::verdict::Finding;

use super::evidence::Evidence;

/// Judges the single operations, if that is what the model is about; the models that are settled then.
pub(super) fn judge(level: Level, history: &History, budget: &Budget, evidence: &mut Evidence) -> LevelSet {
    let (is_realtime, kind) = match level {
        Level::Linearizable => (true, AnomalyKind::NotLinearizable),
        Level::Sequential => (false, AnomalyKind::NotSequential),
        _ => return LevelSet::default(),
    };
    let Some(singles) = Singles::of(history, is_realtime) else { return LevelSet::default() };
    let Ok(alone) = History::from_ops(singles.ops) else { return LevelSet::default() };
    let finding = match is_realtime {
        true => linear::check_shared(ModelName::Register, &alone, budget),
        false => sequential::check_shared(ModelName::Register, &alone, budget),
    };
    evidence.steps =
        evidence.steps.saturating_add(finding.stats.get("steps").and_then(|steps| steps.as_u64()).unwrap_or(0));
    let Finding { anomalies, gaps, .. } = finding;
    let is_decided = gaps.is_empty();
    evidence.spent.extend(gaps);
    let is_kept = is_decided && anomalies.is_empty() && singles.is_exact;
    for anomaly in anomalies {
        evidence.add(translated(kind, anomaly, &singles.origins));
    }
    if is_decided {
        evidence.engines.push(kind_engine(is_realtime));
    }
    if is_kept { LevelSet::of(&[level]) } else { LevelSet::default() }
}

fn kind_engine(is_realtime: bool) -> &'static str {
    if is_realtime { "single-operations-realtime" } else { "single-operations-process" }
}

/// The anomaly, with transactions in place of their operations.
fn translated(kind: AnomalyKind, anomaly: Anomaly, origins: &[OpIndex]) -> Anomaly {
    let operations = match anomaly.witness {
        Witness::Nonlinearizable { operations, .. } | Witness::Nonsequential { operations, .. } => operations,
        _ => Vec::new(),
    };
    let origin = |operation: &OpIndex| origins.get(*operation as usize).copied();
    let mut transactions: Vec<OpIndex> = operations.iter().filter_map(origin).collect();
    transactions.sort_unstable();
    transactions.dedup();
    // What was the smallest set of operations need not be that of transactions.
    Anomaly::new(kind, anomaly.key, Witness::NoCommitOrder { transactions, smallest: false, derivation: Vec::new() })
}

/// The history of micro-operations.
struct Singles {
    ops: Vec<Op>,
    /// By event of it: the transaction's invocation.
    origins: Vec<OpIndex>,
    is_exact: bool,
    next_process: u32,
}

impl Singles {
    /// `None` where there are others than reads and writes.
    fn of(history: &History, is_realtime: bool) -> Option<Singles> {
        let next_process = history.processes().len() as u32;
        let mut all = Singles { ops: Vec::new(), origins: Vec::new(), is_exact: true, next_process };
        // Of linearizability: what a completion ends, by invocation.
        let mut open: Vec<Vec<Op>> = Vec::new();
        if is_realtime {
            open.resize_with(history.len(), Vec::new);
        }
        for index in 0..history.len() as OpIndex {
            if history.process(index).client().is_none() {
                continue;
            }
            if history.kind(index) != Kind::Invoke {
                let Some(invoke) = history.pair(index) else { continue };
                for end in open.get_mut(invoke as usize).map(std::mem::take).unwrap_or_default() {
                    all.push(end, invoke);
                }
                continue;
            }
            let call = history.call(index);
            if call.outcome == Kind::Fail {
                continue;
            }
            let carrier = if call.outcome == Kind::Ok { call.completion? } else { index };
            let Value::Txn(micros) = &*history.value(carrier) else { return None };
            let judged: Vec<&Mop> = micros.iter().filter(|mop| call.outcome == Kind::Ok || &*mop.f != "r").collect();
            if is_realtime {
                all.is_exact &= judged.len() < 2;
                for mop in judged {
                    let process = all.fresh();
                    let [begin, end] = events(mop, process, call.outcome)?;
                    all.push(begin, index);
                    if call.completion.is_some() {
                        open[index as usize].push(end);
                    }
                }
                continue;
            }
            all.is_exact &= call.outcome == Kind::Ok || judged.len() < 2;
            for (place, mop) in judged.into_iter().enumerate() {
                // A process ends with its doubt.
                let is_first = call.outcome == Kind::Ok || place == 0;
                let process = if is_first { history.process_id(index) } else { all.fresh() };
                for event in events(mop, process, call.outcome)? {
                    all.push(event, index);
                }
            }
        }
        Some(all)
    }

    fn fresh(&mut self) -> u32 {
        self.next_process = self.next_process.saturating_add(1);
        self.next_process - 1
    }

    fn push(&mut self, mut op: Op, origin: OpIndex) {
        op.index = self.ops.len() as OpIndex;
        op.time_ns = self.ops.len() as u64;
        self.ops.push(op);
        self.origins.push(origin);
    }
}

/// Invocation and completion.
fn events(mop: &Mop, process: u32, outcome: Kind) -> Option<[Op; 2]> {
    let (f, asked) = match &*mop.f {
        "r" => (F::Read, Value::Nil),
        "w" => (F::Write, mop.value.clone()),
        _ => return None,
    };
    let mut invoke = Op::new(Process::Client(process), Kind::Invoke, f.clone(), asked);
    let mut end = Op::new(Process::Client(process), outcome, f, mop.value.clone());
    invoke.key = Some(mop.key.clone());
    end.key = Some(mop.key.clone());
    Some([invoke, end])
}
