//! Dependencies between transactions.

use crate::txn::txns::TxnId;

/// Why a transaction is before another (Adya, Liskov, O'Neil, "Generalized Isolation Level Definitions", 2000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EdgeKind {
    /// The later one wrote the next version.
    Ww,
    /// The later one read what the earlier one wrote.
    Wr,
    /// The later one wrote the version after the one that the earlier one read.
    Rw,
    /// As [`EdgeKind::Ww`], for a predicate.
    Wwp,
    /// As [`EdgeKind::Wr`], for a predicate.
    Wrp,
    /// As [`EdgeKind::Rw`], for a predicate.
    Rwp,
    /// The order of a process.
    Process,
    /// The earlier one had ended before the later one began.
    Realtime,
}

impl EdgeKind {
    /// All of them.
    pub const ALL: [EdgeKind; 8] = [
        EdgeKind::Ww,
        EdgeKind::Wr,
        EdgeKind::Rw,
        EdgeKind::Wwp,
        EdgeKind::Wrp,
        EdgeKind::Rwp,
        EdgeKind::Process,
        EdgeKind::Realtime,
    ];

    /// Its name in the field's terms.
    pub fn as_str(self) -> &'static str {
        match self {
            EdgeKind::Ww => "ww",
            EdgeKind::Wr => "wr",
            EdgeKind::Rw => "rw",
            EdgeKind::Wwp => "wwp",
            EdgeKind::Wrp => "wrp",
            EdgeKind::Rwp => "rwp",
            EdgeKind::Process => "process",
            EdgeKind::Realtime => "realtime",
        }
    }

    /// Whether it is an anti-dependency: [`EdgeKind::Rw`] or [`EdgeKind::Rwp`].
    pub fn is_rw(self) -> bool {
        matches!(self, EdgeKind::Rw | EdgeKind::Rwp)
    }
}

/// A dependency. Twelve bytes; what caused it is found again when somebody asks ([`Reasons`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// The earlier transaction.
    pub from: TxnId,
    /// The later one. Never the same.
    pub to: TxnId,
    /// Why.
    pub kind: EdgeKind,
}

/// Says why an edge is there, for the few edges of a witness.
pub trait Reasons {
    /// The cause of an edge of data (`ww`, `wr`, `rw` and those of predicates), with the key and the micro-operations;
    /// `None` if there is no such edge. Of several causes the first, by place in the earlier transaction.
    fn reason(&self, edge: Edge) -> Option<crate::anomaly::Dependency>;
}
