//! The shortest cycle of each class, by walking all simple cycles. Shares nothing with the search.

use std::collections::{BTreeMap, BTreeSet};

use crate::txn::edge::{Edge, EdgeKind};
use crate::txn::graph::Orders;
use crate::txn::txns::Txns;

/// By component (named by its least transaction) and class: how long the shortest cycle is.
pub type Table = BTreeMap<(u32, String), usize>;

/// Arrows between classes without a suffix.
const IMPLIES: [(&str, &str); 8] = [
    ("G0", "G1c"),
    ("G-single-item", "G-single"),
    ("G-single-item", "G-nonadjacent-item"),
    ("G-single", "G-nonadjacent"),
    ("G-nonadjacent-item", "G-nonadjacent"),
    ("G-nonadjacent-item", "G2-item"),
    ("G-nonadjacent", "G2"),
    ("G2-item", "G2"),
];

/// Edges of data and of time, each once.
pub fn all_edges(txns: &Txns<'_>, edges: &[Edge], orders: Orders) -> BTreeSet<Edge> {
    let mut all: BTreeSet<Edge> = edges.iter().copied().collect();
    for from in 0..txns.len() as u32 {
        for to in (0..txns.len() as u32).filter(|&to| txns.is_before(from, to)) {
            if orders.realtime {
                all.insert(Edge { from, to, kind: EdgeKind::Realtime });
            }
            if orders.process && txns.session(from) == txns.session(to) {
                all.insert(Edge { from, to, kind: EdgeKind::Process });
            }
        }
    }
    all
}

/// The class of a cycle, by counting.
pub fn class(cycle: &[Edge]) -> String {
    let count = |wanted: &[EdgeKind]| cycle.iter().filter(|edge| wanted.contains(&edge.kind)).count();
    let rws = count(&[EdgeKind::Rw, EdgeKind::Rwp]);
    let item = if count(&[EdgeKind::Rwp]) == 0 { "-item" } else { "" };
    let mut adjacent = false;
    for place in 0..cycle.len() {
        adjacent |= cycle[place].kind.is_rw() && cycle[(place + 1) % cycle.len()].kind.is_rw();
    }
    let base = match rws {
        0 if count(&[EdgeKind::Wr, EdgeKind::Wrp]) == 0 => "G0".to_owned(),
        0 => "G1c".to_owned(),
        1 => format!("G-single{item}"),
        _ if adjacent => format!("G2{item}"),
        _ => format!("G-nonadjacent{item}"),
    };
    let suffix = if count(&[EdgeKind::Realtime]) > 0 {
        "-realtime"
    } else if count(&[EdgeKind::Process]) > 0 {
        "-process"
    } else {
        ""
    };
    base + suffix
}

/// The shortest cycles of all classes, implied ones too.
pub fn shortest(txns: &Txns<'_>, edges: &[Edge], orders: Orders) -> Table {
    let count = txns.len();
    let mut out = vec![Vec::new(); count];
    for edge in all_edges(txns, edges, orders) {
        out[edge.from as usize].push(edge);
    }
    // Cycles by their least transaction; components by what cycles join.
    let mut cycles: Vec<(String, usize, u32)> = Vec::new();
    let mut joined: Vec<u32> = (0..count as u32).collect();
    for start in 0..count as u32 {
        let mut path = Vec::new();
        walk(&out, start, start, &mut path, &mut |cycle: &[Edge]| {
            cycles.push((class(cycle), cycle.len(), start));
            for edge in cycle {
                let (a, b) = (joined[edge.from as usize], joined[edge.to as usize]);
                joined.iter_mut().filter(|one| **one == a.max(b)).for_each(|one| *one = a.min(b));
            }
        });
    }
    let mut table = Table::new();
    for (class, length, start) in cycles {
        let least = table.entry((joined[start as usize], class)).or_insert(usize::MAX);
        *least = length.min(*least);
    }
    table
}

fn walk(out: &[Vec<Edge>], start: u32, at: u32, path: &mut Vec<Edge>, tell: &mut impl FnMut(&[Edge])) {
    for &edge in &out[at as usize] {
        path.push(edge);
        if edge.to == start {
            tell(path);
        } else if edge.to > start && !path.iter().any(|other| other.from == edge.to) {
            walk(out, start, edge.to, path, tell);
        }
        path.pop();
    }
}

/// Leaves out what something else in the same component implies.
pub fn without_implied(table: &Table) -> Table {
    let is_left = |(component, class): &(u32, String)| {
        !table.keys().any(|(other, by)| other == component && by != class && implies(by, class))
    };
    table.iter().filter(|(key, _)| is_left(key)).map(|(key, &length)| (key.clone(), length)).collect()
}

fn implies(a: &str, b: &str) -> bool {
    let split = |name: &str| match (name.strip_suffix("-process"), name.strip_suffix("-realtime")) {
        (Some(base), _) => (base.to_owned(), 1),
        (_, Some(base)) => (base.to_owned(), 2),
        _ => (name.to_owned(), 0),
    };
    let ((a, a_level), (b, b_level)) = (split(a), split(b));
    let mut reached = vec![a];
    let mut place = 0;
    while place < reached.len() {
        let next = IMPLIES.iter().filter(|(from, _)| *from == reached[place]);
        let next: Vec<String> = next.map(|(_, to)| (*to).to_owned()).collect();
        reached.extend(next);
        place += 1;
    }
    a_level <= b_level && reached.contains(&b)
}
