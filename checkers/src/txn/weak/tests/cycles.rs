//! Shortest cycles against a search from every node.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::txn::weak::components::{Arc, Graph, Why};
use crate::txn::weak::derive::Axiom;
use crate::txn::weak::witness::shortest_cycle;

/// Arrows with their axioms, few of which point back.
fn random(random: &mut impl Rng, count: u32) -> Vec<(u32, Arc)> {
    let mut all = Vec::new();
    for place in 0..random.random_range(count..count * 3) {
        let is_back = random.random_range(0..12) == 0;
        let a = random.random_range(0..count);
        // Short ones that lead forward make long cycles.
        let b = if is_back { random.random_range(0..count) } else { (a + random.random_range(1..4)).min(count - 1) };
        if a != b {
            let (from, to) = if is_back { (a.max(b), a.min(b)) } else { (a.min(b), a.max(b)) };
            let axiom = Axiom::ALL[random.random_range(0..3)];
            all.push((from, Arc { to, axiom, why: Why::Forced(place) }));
        }
    }
    all
}

/// The length of the shortest cycle among some nodes, by a search from each.
fn shortest(graph: &Graph, members: &[u32], axiom: Axiom) -> Option<usize> {
    let from_one = |start: u32| {
        let mut depth = vec![None; graph.ranks.len()];
        let mut queue = std::collections::VecDeque::from([(start, 0)]);
        while let Some((node, steps)) = queue.pop_front() {
            for arc in graph.arcs(node).iter().filter(|arc| arc.axiom <= axiom && members.contains(&arc.to)) {
                if arc.to == start {
                    return Some(steps + 1);
                }
                if depth[arc.to as usize].is_none() {
                    depth[arc.to as usize] = Some(steps + 1);
                    queue.push_back((arc.to, steps + 1));
                }
            }
        }
        None
    };
    members.iter().filter_map(|&start| from_one(start)).min()
}

#[test]
fn no_cycle_is_shorter_than_the_one_that_is_told() {
    let mut chance = ChaCha8Rng::seed_from_u64(11);
    let mut lengths = [0usize; 12];
    for _ in 0..6_000 {
        let count = chance.random_range(3..40);
        let graph = Graph::from_arcs((0..count).map(|node| node + 100).collect(), random(&mut chance, count));
        for axiom in Axiom::ALL {
            for members in graph.components(axiom) {
                let (cycle, is_shortest) = shortest_cycle(&graph, &members, axiom);
                assert!(is_shortest);
                assert_eq!(Some(cycle.len()), shortest(&graph, &members, axiom), "{graph:?} {members:?}");
                for (arrow, next) in cycle.iter().zip(cycle.iter().cycle().skip(1)) {
                    assert_eq!(arrow.to, next.from, "{cycle:?}");
                    let is_it = |arc: &Arc| arc.to + 100 == arrow.to && arc.why == arrow.why && arc.axiom <= axiom;
                    assert!(graph.arcs(arrow.from - 100).iter().any(is_it), "{arrow:?} is no arrow of {graph:?}");
                }
                lengths[cycle.len().min(11)] += 1;
            }
        }
    }
    println!("{lengths:?}");
    assert!(lengths[2..8].iter().all(|&seen| seen > 20), "{lengths:?}");
}
