//! Why an edge is there, found again for the few edges of a witness.

use super::Registers;
use super::direct::value_text;
use super::reads::write_of;
use super::sources::Source;
use crate::anomaly::Dependency;
use crate::txn::accesses::{INITIAL, UNKNOWN};
use crate::txn::edge::{Edge, EdgeKind, Reasons};
use crate::txn::txns::{TxnId, Txns};

/// The key, the places of the micro-operations, and where the order of versions is from.
type Cause = (u32, u32, u32, Option<Source>);

impl Reasons for Registers<'_> {
    fn reason(&self, edge: Edge) -> Option<Dependency> {
        let txns = self.txns?;
        let is_known = |id: TxnId| (id as usize) < self.accesses.len();
        if !is_known(edge.from) || !is_known(edge.to) || edge.from == edge.to {
            return None;
        }
        let causes: Vec<Cause> = match edge.kind {
            EdgeKind::Wr => self.read_from(edge),
            EdgeKind::Ww => self.written_over(edge),
            EdgeKind::Rw => self.written_after_read(edge),
            _ => Vec::new(),
        };
        let first = causes.into_iter().min_by_key(|&(_, from, to, _)| (from, to));
        let Some((key, from, to, source)) = first else { return self.predicates.reason(edge) };
        Some(dependency(txns, edge, key, (from, to), source))
    }
}

impl Registers<'_> {
    fn read_from(&self, edge: Edge) -> Vec<Cause> {
        let reads = self.accesses.reads(edge.to).iter().filter(|read| read.writer == edge.from);
        let writes = self.accesses.writes(edge.from);
        reads.filter_map(|read| Some((read.key, write_of(writes, read.key)?, read.micro, None))).collect()
    }

    fn written_over(&self, edge: Edge) -> Vec<Cause> {
        let writes = self.accesses.writes(edge.to);
        let cause = |key: u32, from: u32| {
            let step = self.order.from(key, edge.from).iter().find(|step| step.to == edge.to)?;
            Some((key, from, write_of(writes, key)?, Some(step.source)))
        };
        self.accesses.writes(edge.from).iter().filter_map(|write| cause(write.key, write.micro)).collect()
    }

    fn written_after_read(&self, edge: Edge) -> Vec<Cause> {
        let writes = self.accesses.writes(edge.to);
        let reads = self.accesses.reads(edge.from).iter().filter(|read| read.writer != UNKNOWN);
        reads
            .filter_map(|read| {
                let to = write_of(writes, read.key)?;
                let source = if read.writer == INITIAL {
                    let is_later = self.order.of_key(read.key).iter().any(|step| step.to == edge.to);
                    (!is_later).then_some(Source::Initial)
                } else {
                    let mut steps = self.order.from(read.key, read.writer).iter();
                    steps.find(|step| step.to == edge.to).map(|step| step.source)
                };
                Some((read.key, read.micro, to, Some(source?)))
            })
            .collect()
    }
}

fn dependency(txns: &Txns<'_>, edge: Edge, key: u32, (from, to): (u32, u32), source: Option<Source>) -> Dependency {
    Dependency {
        kind: edge.kind.as_str().to_owned(),
        key: Some(txns.key_text(key)),
        from_micro: Some(from),
        to_micro: Some(to),
        before: value_text(txns, edge.from, from),
        after: value_text(txns, edge.to, to),
        source: source.map(|source| source.about().to_owned()),
    }
}
