//! Registers that are written blindly: only who read from whom is certain.
//!
//! The way of the data: `writers` (who wrote what, by key and value), `reads` (who read it, and what cannot have been
//! read), `direct` (anomalies that need no cycle), `sources` (where the order of versions may come from), `order` (what they
//! say together), `edges`. What follows from the order of transactions for that of versions and from that for the
//! transactions again, to a fixpoint, is [`crate::txn::solver`]'s matter.
//!
//! A value that several transactions wrote is read from one of them: [`Uncertain`]. Where a read has a good explanation
//! (a committed transaction, or one in doubt, that wrote the key no more afterwards) and a bad one too (a value that was
//! written over, or that a failed transaction wrote as well), the good one counts: a level from read committed upward
//! has an explanation of the history with the good one if it has one at all.

mod direct;
mod edges;
mod explicit;
mod mutant;
mod order;
mod reads;
mod reasons;
mod sources;
mod writers;

#[cfg(test)]
mod tests;

use crate::anomaly::{Anomaly, AnomalyKind};
use crate::txn::accesses::Accesses;
#[cfg(doc)]
use crate::txn::accesses::{INITIAL, UNKNOWN};
use crate::txn::edge::Edge;
use crate::txn::meter::Meter;
use crate::txn::predicate::{self, Predicates};
use crate::txn::txns::{TxnId, Txns};
use crate::verdict::Gap;
use mutant::Mutation;
use order::Order;
use reads::Reads;
pub use sources::Source;
use writers::{LastWrites, Writers};

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
    /// Dependencies: wr always, ww and rw where the order of versions is inferred; of the rw those that may be on a cycle.
    /// Those of [`predicate`] are among them.
    pub edges: Vec<Edge>,
    /// Who read what from whom. The writer of a read that is in [`Registers::uncertain`] is [`UNKNOWN`].
    pub accesses: Accesses,
    /// Reads whose value several transactions wrote: the candidates, by (reader, micro-operation).
    pub uncertain: Vec<Uncertain>,
    /// Whether something is done that only [`predicate`] judges, which refutes levels and proves none.
    pub has_predicates: bool,
    order: Order,
    /// What reads by predicate say; taken into the fields above.
    predicates: Predicates<'t>,
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

/// Infers. Time O(n log n) in the number of micro-operations, but for the edges of readers that may be on a cycle and for
/// steps of real time between transactions at the same time. What the meter does not allow is told in a gap.
pub fn infer<'t>(txns: &'t Txns<'t>, sources: &VersionSources, meter: &mut Meter) -> Registers<'t> {
    infer_with(txns, sources, meter, Mutation::default())
}

fn infer_with<'t>(
    txns: &'t Txns<'t>,
    sources: &VersionSources,
    meter: &mut Meter,
    mutation: Mutation,
) -> Registers<'t> {
    let mut gaps = Vec::new();
    let (writers, last) = Writers::of(txns, &mut gaps);
    // A quarter, as the search makes more of them.
    let reads = Reads::of(txns, &writers, &last, meter.bytes_max / 4, mutation);
    if reads.is_crowded {
        meter.refuse_bytes();
        gaps.push(meter.gap());
    }
    let (mut anomalies, mut counts) = direct::anomalies(txns, &reads, &last, mutation);
    let order = order_of(txns, &reads, sources, &mut gaps, meter, mutation);
    direct::add_cyclic(txns, &reads.accesses, &order, &mut anomalies, &mut counts);
    let mut registers = Registers {
        anomalies,
        counts,
        gaps,
        edges: Vec::new(),
        accesses: reads.accesses,
        uncertain: reads.uncertain,
        has_predicates: writers.has_predicates,
        order,
        predicates: Predicates::default(),
        txns: Some(txns),
    };
    registers.add_edges(txns, &writers, meter, mutation);
    if writers.has_predicates {
        registers.add_predicates(predicate::infer(txns, meter));
    }
    if *sources != VersionSources::default() {
        registers.accesses.versions = known_orders(&registers, &last);
    }
    registers
}

/// The order of versions from the sources that are asked for.
fn order_of(
    txns: &Txns<'_>,
    reads: &Reads,
    wanted: &VersionSources,
    gaps: &mut Vec<Gap>,
    meter: &mut Meter,
    mutation: Mutation,
) -> Order {
    let mut steps = Vec::new();
    if let Some(field) = &wanted.explicit {
        explicit::steps(txns, &reads.accesses, field, &mut steps, gaps);
    }
    if wanted.writes_follow_reads {
        sources::writes_follow_reads(&reads.updates, &mut steps);
    }
    // Without times, what the columns say of them is made up.
    let is_timeless = wanted.linearizable_keys && !txns.history().has_realtime();
    if is_timeless && !txns.is_empty() {
        let reason = "the history does not say when anything happened, so that the order of versions of linearizable keys is not known; \
                      leave linearizable-keys out of --version-order"
            .to_owned();
        gaps.push(Gap::Unsupported { index: txns.invoked(0), reason });
    }
    if wanted.sequential_keys || wanted.linearizable_keys {
        let touches = sources::touches(txns, &reads.accesses);
        if wanted.sequential_keys {
            sources::sequential_keys(&touches, &mut steps, mutation);
        }
        if wanted.linearizable_keys && !is_timeless {
            let mut keys = touches.chunk_by(|a, b| a.key == b.key);
            if keys.try_for_each(|of_key| sources::linearizable_key(txns, of_key, &mut steps, meter, mutation)).is_err()
            {
                gaps.push(meter.gap());
            }
        }
    }
    Order::of(steps, mutation)
}

/// By key: the whole order of versions, where it is known.
fn known_orders(registers: &Registers<'_>, last: &LastWrites) -> Vec<Vec<TxnId>> {
    let accesses = &registers.accesses;
    let mut writers: Vec<(u32, TxnId)> = Vec::new();
    for id in (0..accesses.len() as TxnId).filter(|&id| accesses.committed[id as usize]) {
        writers.extend(last.of(id).iter().map(|write| (write.key, id)));
    }
    writers.sort_unstable();
    let mut all = vec![Vec::new(); accesses.keys_count as usize];
    for of_key in writers.chunk_by(|a, b| a.0 == b.0) {
        let (key, ids) = (of_key[0].0, of_key.iter().map(|writer| writer.1).collect::<Vec<_>>());
        all[key as usize] = registers.order.total(key, &ids).unwrap_or_default();
    }
    all
}

impl<'t> Registers<'t> {
    /// Whether of some key the order of versions is known, but not of all: `accesses` has whole orders alone. What reads that were
    /// overwritten say is no order that anybody could miss there: who wrote has seen what it wrote over.
    pub fn knows_orders_in_part(&self) -> bool {
        let is_whole = |key: u32| self.accesses.versions.get(key as usize).is_some_and(|versions| !versions.is_empty());
        self.order.stated_keys().any(|key| !is_whole(key))
    }

    fn add_edges(&mut self, txns: &Txns<'_>, writers: &Writers, meter: &mut Meter, mutation: Mutation) {
        let mut edges = edges::wr(&self.accesses, txns.ok_count());
        edges.extend(edges::ww(&self.order));
        let overwrites = edges::Overwrites::of(txns, &self.accesses, writers, &self.order, &edges, mutation);
        // Predicates add edges that are not known here.
        let all = writers.has_predicates;
        if overwrites.add(&mut edges, all, meter, mutation).is_err() {
            self.gaps.push(meter.gap());
        }
        self.edges = edges;
    }

    fn add_predicates(&mut self, mut predicates: Predicates<'t>) {
        for anomaly in &predicates.anomalies {
            if let Some(kind) = AnomalyKind::ALL.iter().find(|kind| kind.as_str() == anomaly.kind) {
                reads::add(&mut self.counts, *kind, 1);
            }
        }
        self.anomalies.append(&mut predicates.anomalies);
        self.gaps.append(&mut predicates.gaps);
        self.edges.append(&mut predicates.edges);
        self.predicates = predicates;
    }
}
