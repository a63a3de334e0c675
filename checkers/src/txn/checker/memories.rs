//! Pipelined RAM (Lipton, Sandberg 1988) and causal memory (Ahamad et al. 1995) of the single operations of transactions over
//! registers, exactly: each process has an order of all writes and its own reads in which each read returns the last write of its
//! key, and which keeps the order of each process (pipelined RAM) or causality (causal memory): the order of processes and who
//! read from whom, one after the other. (Causal memory is the model CM of Bouajjani et al., "On Verifying Causal Consistency",
//! 2017.)
//!
//! That is serializability with the order of processes, asked once for each process with its reads alone; the reads of others
//! stand in the order too, as the ends of steps of causality, but what they return is not asked of it. Values must be unique.
//!
//! Of a transaction in doubt with several writes each may have happened or not, in whatever order: there "no order" is proof and
//! orders are none. Cost: the search for a serial order, for each process.

use schism_history::{F, History, Kind, Mop, Op, OpIndex, Process, Value};

use crate::anomaly::{Anomaly, AnomalyKind, Witness};
use crate::checker::Budget;
use crate::txn::accesses::{Accesses, Read, Write};
use crate::txn::levels::{Level, LevelSet};
use crate::txn::meter::Meter;
use crate::txn::rw_register::{self, VersionSources};
use crate::txn::solver::{self, Decision, Keeps, Property};
use crate::txn::txns::{TxnId, Txns};

use super::evidence::Evidence;

/// Judges one of the two, if it is asked for; the models that are settled then.
pub(super) fn judge(level: Level, history: &History, budget: &Budget, evidence: &mut Evidence) -> LevelSet {
    let (causal, kind, name) = match level {
        Level::PipelinedRam => (false, AnomalyKind::NotPipelinedRam, "pipelined-ram"),
        Level::CausalMemory => (true, AnomalyKind::NotCausalMemory, "causal-memory"),
        _ => return LevelSet::default(),
    };
    let Some(single) = Single::of(history) else { return LevelSet::default() };
    let Ok(alone) = History::from_ops(single.ops) else { return LevelSet::default() };
    let mut meter = Meter::new(budget);
    let txns = Txns::of(&alone);
    let registers = rw_register::infer(&txns, &VersionSources::default(), &mut meter);
    let is_plain = registers.gaps.is_empty() && registers.uncertain.is_empty() && registers.anomalies.is_empty();
    if !is_plain {
        return LevelSet::default();
    }
    let mut readers = vec![false; txns.sessions_count() as usize];
    for id in 0..txns.ok_count() {
        readers[txns.session(id) as usize] |= !registers.accesses.reads(id).is_empty();
    }
    for session in (0..txns.sessions_count()).filter(|&session| readers[session as usize]) {
        let asked = question(&txns, &registers.accesses, session, causal);
        let question = solver::Question {
            txns: &txns,
            accesses: &asked,
            uncertain: &[],
            known: &[],
            property: Property::Serializable,
            keeps: Keeps::Process,
        };
        match solver::decide(&question, &mut meter) {
            Decision::Holds(_) => {}
            Decision::Broken(anomaly) => {
                evidence.ran(name, &meter);
                if let Witness::NoCommitOrder { transactions, .. } = anomaly.witness {
                    let origin = |operation: &OpIndex| single.origins.get(*operation as usize).copied();
                    let mut transactions: Vec<OpIndex> = transactions.iter().filter_map(origin).collect();
                    transactions.sort_unstable();
                    transactions.dedup();
                    // What was the smallest set of operations need not be that of transactions.
                    let witness = Witness::NoCommitOrder { transactions, smallest: false, derivation: Vec::new() };
                    evidence.add(Anomaly::new(kind, None, witness));
                }
                return LevelSet::default();
            }
            Decision::Unknown(gap) => {
                evidence.steps = evidence.steps.saturating_add(meter.steps);
                evidence.spent.push(gap);
                return LevelSet::default();
            }
        }
    }
    evidence.ran(name, &meter);
    if single.is_exact { LevelSet::of(&[level]) } else { LevelSet::default() }
}

/// The reads of one session; and of those of others, if causality is kept, that they come after what they read.
fn question(txns: &Txns<'_>, accesses: &Accesses, session: u32, causal: bool) -> Accesses {
    let count = accesses.len() as TxnId;
    let mut writes: Vec<(TxnId, u32)> = Vec::new();
    let mut pairs: Vec<[TxnId; 2]> = Vec::new();
    let is_mine = |id: TxnId| txns.session(id) == session;
    for id in 0..count {
        writes.extend(accesses.writes(id).iter().map(|write| (id, write.key)));
        for read in accesses.reads(id).iter().filter(|read| causal && !is_mine(id) && read.writer < count) {
            let key = accesses.keys_count + pairs.len() as u32;
            writes.extend([(read.writer, key), (id, key)]);
            pairs.push([read.writer, id]);
        }
    }
    writes.sort_unstable();
    let mut asked = Accesses::new(accesses.keys_count + pairs.len() as u32);
    let mut rest = &writes[..];
    for id in 0..count {
        let (own, others) = rest.split_at(rest.partition_point(|(other, _)| *other <= id));
        rest = others;
        let reads: &[Read] = if is_mine(id) { accesses.reads(id) } else { &[] };
        let own: Vec<Write> = own.iter().map(|&(_, key)| Write { key, micro: 0 }).collect();
        asked.push(reads, &own, accesses.committed[id as usize]);
    }
    asked.versions = vec![Vec::new(); accesses.keys_count as usize];
    asked.versions.extend(pairs.iter().map(|pair| pair.to_vec()));
    asked
}

/// The history with a transaction for each micro-operation.
struct Single {
    ops: Vec<Op>,
    /// By event of it: the transaction's invocation.
    origins: Vec<OpIndex>,
    is_exact: bool,
    next_process: u32,
}

impl Single {
    /// `None` where there are others than reads and writes.
    fn of(history: &History) -> Option<Single> {
        let next_process = history.processes().len() as u32;
        let mut all = Single { ops: Vec::new(), origins: Vec::new(), is_exact: true, next_process };
        for index in 0..history.len() as OpIndex {
            if history.process(index).client().is_none() || history.kind(index) != Kind::Invoke {
                continue;
            }
            let call = history.call(index);
            if call.outcome == Kind::Fail {
                continue;
            }
            let is_ok = call.outcome == Kind::Ok;
            let carrier = if is_ok { call.completion? } else { index };
            let Value::Txn(micros) = &*history.value(carrier) else { return None };
            let judged: Vec<&Mop> = micros.iter().filter(|mop| is_ok || &*mop.f != "r").collect();
            all.is_exact &= is_ok || judged.len() < 2;
            for (place, mop) in judged.into_iter().enumerate() {
                if !matches!(&*mop.f, "r" | "w") {
                    return None;
                }
                // A process ends with its doubt.
                let process = if is_ok || place == 0 { history.process_id(index) } else { all.fresh() };
                all.push(process, Kind::Invoke, mop, index);
                all.push(process, if is_ok { Kind::Ok } else { Kind::Info }, mop, index);
            }
        }
        Some(all)
    }

    fn fresh(&mut self) -> u32 {
        self.next_process = self.next_process.saturating_add(1);
        self.next_process - 1
    }

    fn push(&mut self, process: u32, kind: Kind, mop: &Mop, origin: OpIndex) {
        let value = Value::Txn(Box::new(vec![mop.clone()]));
        let mut op = Op::new(Process::Client(process), kind, F::Txn, value);
        op.index = self.ops.len() as OpIndex;
        op.time_ns = self.ops.len() as u64;
        self.ops.push(op);
        self.origins.push(origin);
    }
}
