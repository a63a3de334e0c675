//! Classes of cycles as a table, which implies which, and which one a given cycle has.

use crate::anomaly::AnomalyKind;
use crate::txn::edge::{Edge, EdgeKind};

/// The set of kinds of edges with only this one.
pub(super) const fn bit(kind: EdgeKind) -> u8 {
    1 << kind as u8
}

/// Writes over writes.
pub(super) const WW: u8 = bit(EdgeKind::Ww) | bit(EdgeKind::Wwp);
/// What carries information: all dependencies of data without anti-dependencies.
pub(super) const FLOW: u8 = WW | bit(EdgeKind::Wr) | bit(EdgeKind::Wrp);
/// Anti-dependencies of single items.
pub(super) const RW_ITEM: u8 = bit(EdgeKind::Rw);
/// Anti-dependencies of predicates.
pub(super) const RW_PREDICATE: u8 = bit(EdgeKind::Rwp);
/// All anti-dependencies.
pub(super) const RW: u8 = RW_ITEM | RW_PREDICATE;
/// All dependencies of data.
pub(super) const DATA: u8 = FLOW | RW;

/// How anti-dependencies may follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rws {
    /// There is none.
    None,
    /// There is one.
    One,
    /// Never two in a row.
    Apart,
    /// In any way.
    Any,
}

/// A class, its order of processes or of real time apart.
#[derive(Debug)]
pub(super) struct Base {
    /// Plain, with the order of a process, with that of real time.
    pub kinds: [AnomalyKind; 3],
    /// Edges of data that it may have.
    pub mask: u8,
    /// One of these it must have (beside what tells it from classes that imply it); none for cycles without
    /// anti-dependencies.
    pub must: u8,
    /// How anti-dependencies may follow each other.
    pub rws: Rws,
    /// Classes that it implies directly, by place in [`BASES`]; all of these come later.
    implies: &'static [usize],
}

macro_rules! three {
    ($plain:ident, $process:ident, $realtime:ident) => {
        [AnomalyKind::$plain, AnomalyKind::$process, AnomalyKind::$realtime]
    };
}

/// All, those that imply others first.
pub(super) const BASES: [Base; 8] = [
    Base { kinds: three!(G0, G0Process, G0Realtime), mask: WW, must: 0, rws: Rws::None, implies: &[1] },
    Base { kinds: three!(G1c, G1cProcess, G1cRealtime), mask: FLOW, must: 0, rws: Rws::None, implies: &[] },
    Base {
        kinds: three!(GSingleItem, GSingleItemProcess, GSingleItemRealtime),
        mask: FLOW | RW_ITEM,
        must: RW_ITEM,
        rws: Rws::One,
        implies: &[3, 4],
    },
    Base {
        kinds: three!(GSingle, GSingleProcess, GSingleRealtime),
        mask: DATA,
        must: RW_PREDICATE,
        rws: Rws::One,
        implies: &[5],
    },
    Base {
        kinds: three!(GNonadjacentItem, GNonadjacentItemProcess, GNonadjacentItemRealtime),
        mask: FLOW | RW_ITEM,
        must: RW_ITEM,
        rws: Rws::Apart,
        implies: &[5, 6],
    },
    Base {
        kinds: three!(GNonadjacent, GNonadjacentProcess, GNonadjacentRealtime),
        mask: DATA,
        must: RW_PREDICATE,
        rws: Rws::Apart,
        implies: &[7],
    },
    Base {
        kinds: three!(G2Item, G2ItemProcess, G2ItemRealtime),
        mask: FLOW | RW_ITEM,
        must: RW_ITEM,
        rws: Rws::Any,
        implies: &[7],
    },
    Base { kinds: three!(G2, G2Process, G2Realtime), mask: DATA, must: RW_PREDICATE, rws: Rws::Any, implies: &[] },
];

/// A class: its place in [`BASES`], and 0 for plain, 1 with the order of a process, 2 with that of real time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class {
    pub base: usize,
    pub level: usize,
}

impl Class {
    /// Its name.
    pub fn kind(self) -> AnomalyKind {
        BASES[self.base].kinds[self.level]
    }

    /// Whether a cycle of this class makes one of the other superfluous. Each implies itself.
    pub fn implies(self, other: Class) -> bool {
        self.level <= other.level && base_implies(self.base, other.base)
    }
}

fn base_implies(a: usize, b: usize) -> bool {
    // The table's arrows all point to later lines, so this ends.
    a == b || BASES[a].implies.iter().any(|&next| base_implies(next, b))
}

/// The class of a cycle by its definition (Adya's thesis 1999, with the names of Elle); `None` for one without an edge of
/// data, which would contradict time itself.
pub(super) fn classify(edges: &[Edge]) -> Option<Class> {
    let all = edges.iter().fold(0, |mask, edge| mask | bit(edge.kind));
    let level = match all {
        _ if all & bit(EdgeKind::Realtime) != 0 => 2,
        _ if all & bit(EdgeKind::Process) != 0 => 1,
        _ => 0,
    };
    let rws = edges.iter().filter(|edge| edge.kind.is_rw()).count();
    let next = edges.iter().cycle().skip(1);
    let is_adjacent = edges.iter().zip(next).any(|(a, b)| a.kind.is_rw() && b.kind.is_rw());
    let predicate = usize::from(all & RW_PREDICATE != 0);
    let base = match rws {
        0 if all & DATA == 0 => return None,
        0 if all & DATA & !WW == 0 => 0,
        0 => 1,
        1 => 2 + predicate,
        _ if !is_adjacent => 4 + predicate,
        _ => 6 + predicate,
    };
    Some(Class { base, level })
}

/// Whether it is two anti-dependencies between two transactions.
pub(super) fn is_write_skew(edges: &[Edge]) -> bool {
    edges.len() == 2 && edges.iter().all(|edge| edge.kind == EdgeKind::Rw)
}

/// Whether it is two readers that saw two writers, each one of them without the other.
pub(super) fn is_long_fork(edges: &[Edge]) -> bool {
    let is = |first: usize| {
        let kinds = [EdgeKind::Wr, EdgeKind::Rw, EdgeKind::Wr, EdgeKind::Rw];
        (0..4).all(|place| edges[(first + place) % 4].kind == kinds[place])
    };
    edges.len() == 4 && (is(0) || is(1))
}
