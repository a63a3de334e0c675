//! What only large graphs show.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::notation;

use super::made::{self, meter};
use crate::txn::edge::{Edge, EdgeKind};
use crate::txn::graph::components::{Csr, components};
use crate::txn::graph::{acyclic_order, cycles};
use crate::txn::txns::Txns;

const DEEP: u32 = 1_000_000;

#[test]
fn deep_chains_need_no_stack() {
    for reversed in [false, true] {
        let edge = |from: u32| if reversed { (from + 1, from) } else { (from, from + 1) };
        let chain = Csr::new(DEEP as usize, || (0..DEEP - 1).map(edge));
        let labels = components(&chain, (0..DEEP).rev(), |_, members| assert_eq!(members.len(), 1));
        assert!((0..DEEP - 1).map(edge).all(|(from, to)| labels[from as usize] < labels[to as usize]));
    }
    let ring: Vec<(u32, u32)> = (0..DEEP).map(|from| (from, (from + 1) % DEEP)).collect();
    assert_eq!(acyclic_order(DEEP, &ring).map_err(|cycle| cycle.len()), Err(DEEP as usize));
    let order = acyclic_order(DEEP, &ring[1..]).expect("one edge is missing");
    assert_eq!(order.first(), Some(&1));
}

/// All begin before any ends, so that time says nothing.
fn together(count: u32) -> schism_history::History {
    let begin = (0..count).map(|process| format!("{process}:txn=[[\"r\",1,null]]("));
    let end = (0..count).map(|process| format!("{process})"));
    notation::parse(&begin.chain(end).collect::<Vec<_>>().join(" ")).expect("made")
}

#[test]
fn one_long_ring() {
    let count = 3000;
    let history = together(count);
    let txns = Txns::of(&history);
    // In an order that goes back half of the time.
    let vertex = |place: u32| place * 7 % count;
    for (kind, class) in [(EdgeKind::Ww, "G0"), (EdgeKind::Wr, "G1c"), (EdgeKind::Rw, "G2-item")] {
        let edge = |place: u32| Edge { from: vertex(place), to: vertex((place + 1) % count), kind };
        let mut meter = meter();
        let found = cycles(&txns, (0..count).map(edge).collect(), &mut meter);
        assert_eq!(found.components_count, 1);
        let [cycle] = &found.found[..] else { panic!("one cycle: {}", found.found.len()) };
        assert_eq!((cycle.class.as_str(), cycle.edges.len(), cycle.shortest), (class, count as usize, true));
        if class == "G0" {
            assert!(meter.steps < 40 * u64::from(count), "{} steps", meter.steps);
        }
    }
}

/// Transactions in the order of moments between their begin and end; edges go forward in it.
#[test]
fn a_serial_order_has_no_cycle() {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let history = made::history(&mut random, 4000, 12, 2);
    let txns = Txns::of(&history);
    let mut order: Vec<(u32, u32)> = Vec::new();
    for id in 0..txns.len() as u32 {
        let end = if txns.is_ok(id) { txns.ended(id) } else { history.len() as u32 };
        order.push((random.random_range(txns.invoked(id)..end.max(txns.invoked(id) + 1)), id));
    }
    order.sort_unstable();
    let mut edges = Vec::new();
    for place in 0..order.len() {
        for _ in 0..4 {
            let other = (place + random.random_range(1..30)).min(order.len() - 1);
            let kind = EdgeKind::ALL[random.random_range(0..6)];
            if place != other {
                edges.push(Edge { from: order[place].1, to: order[other].1, kind });
            }
        }
    }
    assert_eq!(cycles(&txns, edges.clone(), &mut meter()).found, []);
    // One that was read too late closes a cycle.
    let (first, last) = (order[100].1, order[3000].1);
    edges.push(Edge { from: last, to: first, kind: EdgeKind::Rw });
    let found = cycles(&txns, edges, &mut meter());
    assert_eq!(found.components_count, 1);
    assert!(found.found.iter().all(|cycle| cycle.shortest) && !found.found.is_empty());
}
