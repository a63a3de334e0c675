//! Pipelined RAM (Lipton, Sandberg 1988) and causal memory (Ahamad et al. 1995) of the single operations of transactions over
//! registers, exactly: each process has an order of all writes and its own reads in which each read returns the last write of its
//! key, and which keeps the order of each process (pipelined RAM) or causality (causal memory): the order of processes and who
//! read from whom, one after the other. (Causal memory is the model CM of Bouajjani et al., "On Verifying Causal Consistency",
//! 2017.)
//!
//! That is serializability with the order of processes, asked once for each process with its reads alone; the reads of others
//! stand in the order too, as the ends of steps of causality, but what they return is not asked of it. Values must be unique.
//! Where a process has no order, transactions are left out while it has none ([`reduce`]): the proof names the process, and as few
//! transactions as leave it none. One order for all is asked for before that: if there is one, it is everybody's; if there is none,
//! those who take part in the contradiction are asked first.
//!
//! Of a transaction in doubt with several writes each may have happened or not, in whatever order: there "no order" is proof and
//! orders are none. Cost: the search for a serial order, for each process.

pub(in crate::txn) mod mutant;
mod reduce;
mod single;

use schism_history::{History, OpIndex};

use crate::anomaly::{Anomaly, AnomalyKind, Witness};
use crate::checker::Budget;
use crate::txn::accesses::{Accesses, INITIAL, Read, Write};
use crate::txn::levels::{Level, LevelSet};
use crate::txn::meter::Meter;
use crate::txn::rw_register::{self, VersionSources};
use crate::txn::solver::{self, Decision, Keeps, Property};
use crate::txn::txns::{TxnId, Txns};

use super::evidence::Evidence;
use mutant::Mutant;
use reduce::Whole;
use single::Single;

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
    let Suspects { none, first } = suspects(&txns, &registers.accesses, &mut meter);
    let others = (0..txns.sessions_count()).filter(|session| !first.contains(session) && !none);
    let all = first.iter().copied().chain(others).filter(|&session| readers[session as usize]);
    for session in all.take(if mutant::is(Mutant::OneProcess) { 1 } else { usize::MAX }) {
        let asked = question(&txns, &registers.accesses, session, causal);
        match ask(&txns, &asked, &mut meter) {
            Decision::Holds(_) => {}
            Decision::Broken(anomaly) => {
                if let Witness::NoCommitOrder { transactions, .. } = anomaly.witness {
                    let origin = |operation: &OpIndex| single.origins.get(*operation as usize).copied();
                    let mut transactions: Vec<OpIndex> = transactions.iter().filter_map(origin).collect();
                    transactions.sort_unstable();
                    transactions.dedup();
                    let whole = Whole::of(&txns, &registers.accesses, causal, &single.origins);
                    let core = whole.reduced(session, transactions, &mut meter);
                    evidence.add(Anomaly::new(kind, None, told(history, &txns, core)));
                }
                evidence.ran(name, &meter);
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
    let is_exact = single.is_exact || mutant::is(Mutant::DoubtExact);
    if is_exact { LevelSet::of(&[level]) } else { LevelSet::default() }
}

/// Whose order is asked for first.
struct Suspects {
    /// No process has to be asked: one order explains all reads, and keeps the order of all processes, and so causality too.
    none: bool,
    /// Processes of a contradiction that there is no such order, each once.
    first: Vec<u32>,
}

/// Asks for one order for all, with half of the budget: there may be thousands of processes, and where there is none it is those
/// that take part in the contradiction that are likely to have none by themselves.
fn suspects(txns: &Txns<'_>, accesses: &Accesses, meter: &mut Meter) -> Suspects {
    let mut half = meter.clone();
    half.steps_max = meter.steps.saturating_add(meter.steps_max.saturating_sub(meter.steps) / 2);
    let decision = ask(txns, accesses, &mut half);
    meter.steps = half.steps.min(half.steps_max);
    match decision {
        Decision::Holds(_) => Suspects { none: true, first: Vec::new() },
        Decision::Unknown(_) => Suspects { none: false, first: Vec::new() },
        Decision::Broken(anomaly) => {
            let Witness::NoCommitOrder { transactions, .. } = anomaly.witness else {
                return Suspects { none: false, first: Vec::new() };
            };
            let is_named = |id: &TxnId| transactions.binary_search(&txns.invoked(*id)).is_ok();
            let named = (0..txns.len() as TxnId).filter(is_named);
            let mut first: Vec<u32> = named.map(|id| txns.session(id)).collect();
            first.sort_unstable();
            first.dedup();
            Suspects { none: false, first }
        }
    }
}

/// What is found of a model, asked alone, and whether it is settled that it is kept.
#[cfg(test)]
pub(in crate::txn) fn judged(level: Level, history: &History, budget: &Budget) -> (Vec<Anomaly>, bool) {
    let mut evidence = Evidence::default();
    let settled = judge(level, history, budget, &mut evidence);
    (evidence.anomalies, settled.contains(level))
}

/// Whether all that is asked has one order.
fn ask(txns: &Txns<'_>, asked: &Accesses, meter: &mut Meter) -> Decision {
    let question = solver::Question {
        txns,
        accesses: asked,
        uncertain: &[],
        known: &[],
        property: Property::Serializable,
        keeps: if mutant::is(Mutant::ProcessForgotten) { Keeps::Nothing } else { Keeps::Process },
    };
    solver::decide(&question, meter)
}

/// The proof. A process of single operations has the place of its name for a number.
fn told(history: &History, txns: &Txns<'_>, core: reduce::Core) -> Witness {
    let mut named = (0..txns.len() as TxnId).filter(|&id| {
        let is_it = txns.session(id) == core.session;
        if mutant::is(Mutant::OtherProcessNamed) { !is_it } else { is_it }
    });
    let of = |id: TxnId| txns.history().process(txns.invoked(id)).client();
    let process = named.find_map(|id| history.processes().get(of(id)? as usize)?.client()).unwrap_or(u32::MAX);
    Witness::NoProcessOrder { process, transactions: core.transactions, smallest: core.smallest }
}

/// The reads of one session; and of those of others, if causality is kept, that they come after what they read.
fn question(txns: &Txns<'_>, accesses: &Accesses, session: u32, causal: bool) -> Accesses {
    let count = accesses.len() as TxnId;
    let mut writes: Vec<(TxnId, u32)> = Vec::new();
    let mut pairs: Vec<[TxnId; 2]> = Vec::new();
    let is_mine = |id: TxnId| txns.session(id) == session;
    let causal = causal && !mutant::is(Mutant::CausalityForgotten);
    let never = |id: TxnId| id < count && !txns.is_ok(id) && mutant::is(Mutant::DoubtNever);
    for id in 0..count {
        writes.extend(accesses.writes(id).iter().map(|write| (id, write.key)));
        for read in accesses
            .reads(id)
            .iter()
            .filter(|read| causal && !is_mine(id) && read.writer < count && !never(read.writer))
        {
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
        let is_asked = is_mine(id) || mutant::is(Mutant::OthersReadsAsked);
        let is_initial = |read: &Read| read.writer == INITIAL && mutant::is(Mutant::InitialForgotten);
        let is_kept = |read: &&Read| is_asked && !is_initial(read) && !never(read.writer);
        let reads: Vec<Read> = accesses.reads(id).iter().filter(is_kept).copied().collect();
        let own: Vec<Write> = own.iter().map(|&(_, key)| Write { key, micro: 0 }).collect();
        asked.push(&reads, &own, accesses.committed[id as usize] && !never(id));
    }
    asked.versions = vec![Vec::new(); accesses.keys_count as usize];
    asked.versions.extend(pairs.iter().map(|pair| pair.to_vec()));
    asked
}
