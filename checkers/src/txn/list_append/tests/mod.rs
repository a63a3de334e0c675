//! Lists against brute force, by hand, and with each named defect.

mod brute;
mod cases;
mod large;
mod mutants;
mod store;
mod witness;

use std::collections::{BTreeMap, BTreeSet};

use schism_history::History;

use super::mutant::Mutation;
use super::{Lists, infer_with};
use crate::anomaly::AnomalyKind;
use crate::checker::Budget;
use crate::txn::meter::Meter;
use crate::txn::txns::Txns;

/// What is compared with brute force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// From, to, kind.
    pub edges: BTreeSet<(u32, u32, &'static str)>,
    pub counts: BTreeMap<AnomalyKind, u64>,
    pub committed: Vec<bool>,
    /// Transaction, micro-operation, key, writer.
    pub reads: Vec<(u32, u32, String, u32)>,
    /// Transaction, micro-operation, key.
    pub writes: BTreeSet<(u32, u32, String)>,
    pub versions: BTreeMap<String, Vec<u32>>,
    pub tails: BTreeSet<(String, u32)>,
    pub ambiguous_keys: u64,
    pub has_gap: bool,
}

/// Infers with a defect, or none.
fn lists<'t>(txns: &'t Txns<'t>, mutation: Mutation) -> Lists<'t> {
    infer_with(txns, &mut Meter::new(&Budget::default()), mutation)
}

/// What the engine says.
fn summary(history: &History, mutation: Mutation) -> Summary {
    let txns = Txns::of(history);
    let lists = lists(&txns, mutation);
    let accesses = &lists.accesses;
    let mut summary = Summary {
        edges: lists.edges.iter().map(|edge| (edge.from, edge.to, edge.kind.as_str())).collect(),
        counts: lists.counts.clone(),
        committed: accesses.committed.clone(),
        ambiguous_keys: lists.ambiguous_keys_count,
        has_gap: !lists.gaps.is_empty(),
        ..Summary::default()
    };
    // How many contradict the longest depends on which of several longest is taken.
    summary.counts.entry(AnomalyKind::IncompatibleOrder).and_modify(|count| *count = 1);
    for id in 0..accesses.len() as u32 {
        let read = |read: &crate::txn::accesses::Read| (id, read.micro, txns.key_text(read.key), read.writer);
        summary.reads.extend(accesses.reads(id).iter().map(read));
        let write = |write: &crate::txn::accesses::Write| (id, write.micro, txns.key_text(write.key));
        summary.writes.extend(accesses.writes(id).iter().map(write));
    }
    for (key, versions) in accesses.versions.iter().enumerate() {
        if !versions.is_empty() {
            summary.versions.insert(txns.key_text(key as u32), versions.clone());
        }
    }
    summary.tails = accesses.tails.iter().map(|&(key, writer)| (txns.key_text(key), writer)).collect();
    summary
}
