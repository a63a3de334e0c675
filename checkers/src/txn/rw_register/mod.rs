//! Registers that are written blindly: only who read from whom is certain.
//!
//! The way of the data: `writers` (who wrote what, by key and value), `reads` (who read it, and what cannot have been
//! read), `direct` (anomalies that need no cycle). What follows from it for the order of versions and from that for the
//! transactions, to a fixpoint, is [`crate::txn::solver`]'s matter.
//!
//! A value that several transactions wrote is read from one of them: [`Uncertain`]. Where a read has a good explanation
//! (a committed transaction, or one in doubt, that wrote the key no more afterwards) and a bad one too (a value that was
//! written over, or that a failed transaction wrote as well), the good one counts: a level from read committed upward
//! has an explanation of the history with the good one if it has one at all.

mod direct;
mod mutant;
mod own;
mod reads;
mod writers;

#[cfg(test)]
mod tests;

use crate::anomaly::{Anomaly, AnomalyKind};
use crate::txn::accesses::{Accesses, INITIAL, UNKNOWN};
use crate::txn::edge::{Edge, EdgeKind, Reasons};
use crate::txn::meter::Meter;
use crate::txn::txns::{TxnId, Txns};
use crate::verdict::Gap;
use mutant::Mutation;
use reads::Reads;
use writers::Writers;

/// From what the order of versions is inferred. The initial state always comes first.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VersionSources {
    /// A transaction that read a version and then wrote the key wrote the next one after it or a later one.
    pub writes_follow_reads: bool,
    /// Each key is sequentially consistent: versions follow the order of processes.
    pub sequential_keys: bool,
    /// Each key is linearizable: versions follow the order of real time.
    pub linearizable_keys: bool,
    /// The client reports versions: the name of the field of completions that has them, as a list of
    /// `[key, value, version]`. Versions of a key are integers, or texts, or lists of integers, and go up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explicit: Option<String>,
}

/// What registers say by themselves.
#[derive(Debug, Default)]
pub struct Registers<'t> {
    /// Anomalies that need no cycle: the first few of each kind.
    pub anomalies: Vec<Anomaly>,
    /// How many anomalies there are of each kind that was found.
    pub counts: Vec<(AnomalyKind, u64)>,
    /// What could not be judged.
    pub gaps: Vec<Gap>,
    /// Dependencies: wr always, ww and rw where the order of versions is inferred.
    pub edges: Vec<Edge>,
    /// Who read what from whom. The writer of a read that is in [`Registers::uncertain`] is [`UNKNOWN`].
    pub accesses: Accesses,
    /// Reads whose value several transactions wrote: the candidates, by (reader, micro-operation).
    pub uncertain: Vec<Uncertain>,
    txns: Option<&'t Txns<'t>>,
}

/// A read of a value that several transactions wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncertain {
    /// The reader.
    pub reader: TxnId,
    /// The micro-operation's place in it.
    pub micro: u32,
    /// The key's number.
    pub key: u32,
    /// Who may have written it, in order of their numbers; [`INITIAL`] where it is nothing, which somebody wrote too.
    pub candidates: Vec<TxnId>,
}

/// Infers. Time O(n log n) in the number of micro-operations.
pub fn infer<'t>(txns: &'t Txns<'t>, sources: &VersionSources, meter: &mut Meter) -> Registers<'t> {
    infer_with(txns, sources, meter, Mutation::default())
}

fn infer_with<'t>(
    txns: &'t Txns<'t>,
    _sources: &VersionSources,
    _meter: &mut Meter,
    mutation: Mutation,
) -> Registers<'t> {
    let mut gaps = Vec::new();
    let (writers, last) = Writers::of(txns, &mut gaps);
    let reads = Reads::of(txns, &writers, &last, mutation);
    let (anomalies, counts) = direct::anomalies(txns, &reads, &last, mutation);
    let edges = wr_edges(&reads.accesses, txns.ok_count());
    Registers { anomalies, counts, gaps, edges, accesses: reads.accesses, uncertain: reads.uncertain, txns: Some(txns) }
}

/// Who read from whom, each pair once where its reads are neighbours.
fn wr_edges(accesses: &Accesses, ok_count: u32) -> Vec<Edge> {
    let mut edges: Vec<Edge> = Vec::new();
    for to in 0..ok_count {
        for read in accesses.reads(to) {
            let edge = Edge { from: read.writer, to, kind: EdgeKind::Wr };
            if read.writer != INITIAL && read.writer != UNKNOWN && edges.last() != Some(&edge) {
                edges.push(edge);
            }
        }
    }
    edges
}

impl Reasons for Registers<'_> {
    fn reason(&self, _edge: Edge) -> Option<crate::anomaly::Dependency> {
        let _ = self.txns;
        None
    }
}
