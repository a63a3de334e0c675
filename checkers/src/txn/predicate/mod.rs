//! Reads by predicate over a closed universe of objects.
//!
//! Objects are named, so that what a predicate's read leaves out is known too: it saw a version that the predicate does not
//! find, or that was not there yet, or no more (Adya, "Weak Consistency", 1999, 4.4.1; the notation is near that of Elle's
//! closed predicates):
//!
//! | micro-operation | what it does |
//! |---|---|
//! | `["init", k, v]` | the object was there from the start, with this value |
//! | `["insert", k, v]` | makes it; it was not there before |
//! | `["w", k, v]`, `["r", k, v]` | writes, reads it (`null`: it is not there) |
//! | `["delete", k, null]` | it is not there any more, for good |
//! | `["rp", "true", {k: v}]` | reads all objects that are there |
//! | `["rp", "= 3", {k: v}]`, `["rp", "mod 2 1", {k: v}]` | those of the value 3, those whose value divided by 2 leaves 1 |
//!
//! The order of an object's versions is known where it has at most one birth, one write and one death. Other objects are
//! left out, and told. What was found gives dependencies of items, as its values were read; what was left out gives `wrp`
//! and `rwp`. Where the version that was seen is one of several, only what holds for all of them is told.
//!
//! Not covered: that these objects allow a level is not proven here, only refuted; whoever asks must say so, or look for an order
//! (`checker/predicates`).

mod judge;
mod mutant;
pub(in crate::txn) mod universe;

#[cfg(test)]
mod tests;

use crate::anomaly::{Anomaly, Dependency};
use crate::txn::edge::{Edge, Reasons};
use crate::txn::meter::Meter;
use crate::txn::txns::Txns;
use crate::verdict::Gap;
use mutant::Mutation;
use schism_history::{MicroF, MicroValue};

/// Whether a micro-operation's function is one of this room: `init`, `insert`, `delete`, `rp`.
pub fn is_known(f: &str) -> bool {
    matches!(f, "init" | "insert" | "delete" | "rp")
}

/// What reads by predicate say. Nothing, where there are none.
#[derive(Debug, Default)]
pub struct Predicates<'t> {
    /// Anomalies that need no cycle: the first few of each kind.
    pub anomalies: Vec<Anomaly>,
    /// What could not be judged.
    pub gaps: Vec<Gap>,
    /// Dependencies by predicate, and those between transactions that touch the universe's objects.
    pub edges: Vec<Edge>,
    causes: Vec<Cause>,
    txns: Option<&'t Txns<'t>>,
}

/// Why an edge is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cause {
    edge: Edge,
    from_micro: u32,
    to_micro: u32,
    key: u32,
}

/// Infers. One look at each micro-operation where there are none of predicates; else each read by predicate looks at each
/// object, which the meter counts.
pub fn infer<'t>(txns: &'t Txns<'t>, meter: &mut Meter) -> Predicates<'t> {
    infer_with(txns, meter, Mutation::default())
}

fn infer_with<'t>(txns: &'t Txns<'t>, meter: &mut Meter, mutation: Mutation) -> Predicates<'t> {
    let is_any = (0..txns.len() as u32).any(|id| {
        let mut micros = txns.txn(id).micros();
        micros
            .any(|micro| micro.f == MicroF::Other && matches!(micro.value, MicroValue::Other(mop) if is_known(&mop.f)))
    });
    if !is_any {
        return Predicates::default();
    }
    judge::judge(txns, meter, mutation)
}

impl Reasons for Predicates<'_> {
    fn reason(&self, edge: Edge) -> Option<Dependency> {
        let txns = self.txns?;
        let first = self.causes.partition_point(|cause| cause.edge < edge);
        let cause = self.causes.get(first).filter(|cause| cause.edge == edge)?;
        Some(Dependency {
            kind: edge.kind.as_str().to_owned(),
            key: Some(txns.key_text(cause.key)),
            from_micro: Some(cause.from_micro),
            to_micro: Some(cause.to_micro),
            before: judge::text(txns, edge.from, cause.from_micro),
            after: judge::text(txns, edge.to, cause.to_micro),
            source: None,
        })
    }
}
