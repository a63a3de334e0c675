//! Tens of thousands of small random graphs: the search, and every named mutant of it, against all simple cycles.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::History;

use super::{brute, made};
use crate::anomaly::AnomalyKind;
use crate::linear::mutant::Mutation;
use crate::txn::edge::Edge;
use crate::txn::graph::mutant::Mutant;
use crate::txn::graph::{Cycle, Cycles, Orders, run};
use crate::txn::txns::Txns;

/// Graphs of one history.
const EDGE_SETS: usize = 100;

struct Graphs {
    history: History,
    orders: Orders,
    sets: Vec<Vec<Edge>>,
}

fn graphs(seed: u64, histories: usize) -> Vec<Graphs> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let make = |round: usize| {
        // Mostly six, up to eight: simple cycles are many.
        let count = [3, 4, 5, 6, 6, 6, 7, 8][round % 8];
        let workers = random.random_range(1..=4);
        let history = made::history(&mut random, count, workers, [0, 15, 40][round % 3]);
        let all = [true, true, true, false];
        let orders = Orders { process: all[round % 4], realtime: all[round / 4 % 4] };
        let txns = Txns::of(&history);
        let one = |number: usize| match number % 4 {
            3 => made::planted(&mut random, &txns),
            _ => made::edges(&mut random, txns.len()),
        };
        let sets = (0..EDGE_SETS).map(one).collect();
        Graphs { history, orders, sets }
    };
    (0..histories).map(make).collect()
}

/// What is wrong with a cycle, if anything.
fn fault(txns: &Txns<'_>, edges: &[Edge], orders: Orders, cycle: &Cycle) -> Option<String> {
    let all = brute::all_edges(txns, edges, orders);
    let mut seen = Vec::new();
    for (place, edge) in cycle.edges.iter().enumerate() {
        let next = cycle.edges[(place + 1) % cycle.edges.len()];
        if edge.to != next.from || !all.contains(edge) || seen.contains(&edge.from) {
            return Some(format!("{edge:?} does not fit"));
        }
        seen.push(edge.from);
    }
    let class = brute::class(&cycle.edges);
    let is_named = match cycle.class {
        AnomalyKind::WriteSkew => class == "G2-item" && cycle.edges.len() == 2,
        AnomalyKind::LongFork => class == "G-nonadjacent-item" && cycle.edges.len() == 4,
        kind => kind.as_str() == class,
    };
    (!is_named).then(|| format!("{} is {class}", cycle.class.as_str()))
}

/// As the brute force tells it: cycles are told by their component's least transaction.
fn told(
    cycles: &Cycles,
    full: &brute::Table,
    txns: &Txns<'_>,
    edges: &[Edge],
    orders: Orders,
) -> Result<brute::Table, String> {
    let mut table = brute::Table::new();
    // Which component a transaction is in: asked of brute force with the cycle's own edges.
    let joined = joined(txns, edges, orders);
    for cycle in &cycles.found {
        if let Some(fault) = fault(txns, edges, orders, cycle) {
            return Err(fault);
        }
        if matches!(cycle.class, AnomalyKind::WriteSkew | AnomalyKind::LongFork) {
            continue;
        }
        if !cycle.shortest {
            return Err("not proven".to_owned());
        }
        let key = (joined[cycle.edges[0].from as usize], cycle.class.as_str().to_owned());
        if table.insert(key, cycle.edges.len()).is_some() {
            return Err("told twice".to_owned());
        }
    }
    let mut components: Vec<u32> = full.keys().map(|(component, _)| *component).collect();
    components.dedup();
    if cycles.components_count != components.len() as u64 || cycles.spent {
        return Err(format!("{} components, {components:?}", cycles.components_count));
    }
    Ok(table)
}

/// By transaction the least one that reaches it and is reached by it.
fn joined(txns: &Txns<'_>, edges: &[Edge], orders: Orders) -> Vec<u32> {
    let count = txns.len();
    let mut reach = vec![vec![false; count]; count];
    for edge in brute::all_edges(txns, edges, orders) {
        reach[edge.from as usize][edge.to as usize] = true;
    }
    for middle in 0..count {
        for from in 0..count {
            for to in 0..count {
                reach[from][to] |= reach[from][middle] && reach[middle][to];
            }
        }
    }
    let least = |one: usize| (0..count).find(|&other| other == one || reach[one][other] && reach[other][one]);
    (0..count).map(|one| least(one).map_or(NONE, |least| least as u32)).collect()
}

const NONE: u32 = u32::MAX;

#[test]
fn agrees_with_all_simple_cycles() {
    let (mut cyclic, mut acyclic) = (0, 0);
    let mut classes: BTreeMap<String, u32> = BTreeMap::new();
    let mut named: BTreeMap<&str, u32> = BTreeMap::new();
    for (round, graphs) in graphs(3, 300).iter().enumerate() {
        let txns = Txns::of(&graphs.history);
        for edges in &graphs.sets {
            let full = brute::shortest(&txns, edges, graphs.orders);
            let expected = brute::without_implied(&full);
            let cycles = run(&txns, edges.clone(), graphs.orders, &mut made::meter(), Mutation::default());
            let told = told(&cycles, &full, &txns, edges, graphs.orders);
            assert_eq!(told.as_ref(), Ok(&expected), "round {round}: {edges:?} of {txns:?}: {cycles:?}");
            if expected.is_empty() {
                acyclic += 1
            } else {
                cyclic += 1
            }
            expected.keys().for_each(|(_, class)| *classes.entry(class.clone()).or_default() += 1);
            for cycle in &cycles.found {
                *named.entry(cycle.class.as_str()).or_default() += 1;
            }
        }
    }
    let all = cyclic + acyclic;
    assert!(cyclic * 10 >= all * 3 && acyclic * 10 >= all * 3, "{cyclic} with a cycle, {acyclic} without");
    assert_eq!(classes.len(), 24, "{classes:?}");
    assert!(classes.values().all(|&count| count >= 5), "{classes:?}");
    assert!(named["write-skew"] > 20 && named["long-fork"] > 5, "{named:?}");
}

#[test]
fn every_mutant_is_noticed() {
    use Mutant::*;
    let mutants = [
        WindowsNotMerged,
        ComponentsWithoutTime,
        AdjacentInside,
        AdjacentAtEnd,
        FirstIsShortest,
        WalksAreCycles,
        ProcessOnce,
        RealtimeOnce,
        DeadTooEarly,
        ImpliedToo,
        NoRealtime,
        NoProcess,
        TopologyReversed,
        MustForgotten,
    ];
    let graphs = graphs(3, 300);
    let mut survivors: Vec<Mutant> = mutants.to_vec();
    for graphs in &graphs {
        let txns = Txns::of(&graphs.history);
        for edges in &graphs.sets {
            if survivors.is_empty() {
                return;
            }
            let full = brute::shortest(&txns, edges, graphs.orders);
            let expected = brute::without_implied(&full);
            survivors.retain(|&mutant| {
                let mutation = Mutation { mutant: Some(mutant) };
                let cycles = run(&txns, edges.clone(), graphs.orders, &mut made::meter(), mutation);
                told(&cycles, &full, &txns, edges, graphs.orders).as_ref() == Ok(&expected)
            });
        }
    }
    assert!(survivors.is_empty(), "{survivors:?} were not noticed");
}

#[test]
fn a_spent_budget_leaves_real_cycles() {
    let mut given_up = 0;
    for graphs in graphs(5, 60) {
        let txns = Txns::of(&graphs.history);
        for (number, edges) in graphs.sets.iter().enumerate() {
            let full = brute::shortest(&txns, edges, graphs.orders);
            let mut meter = made::meter();
            meter.steps_max = number as u64 % 40;
            let cycles = run(&txns, edges.clone(), graphs.orders, &mut meter, Mutation::default());
            for cycle in &cycles.found {
                assert_eq!(fault(&txns, edges, graphs.orders, cycle), None, "{cycle:?}");
                let least =
                    full.iter().filter(|((_, class), _)| class == cycle.class.as_str()).map(|(_, &length)| length);
                assert!(!cycle.shortest || least.min().is_none_or(|least| cycle.edges.len() >= least), "{cycle:?}");
            }
            let joined = joined(&txns, edges, graphs.orders);
            let with: std::collections::BTreeSet<u32> =
                cycles.found.iter().map(|cycle| joined[cycle.edges[0].from as usize]).collect();
            assert_eq!(with.len() as u64, cycles.components_count, "a component without a cycle: {edges:?}");
            let told = cycles.found.iter().filter(|cycle| !cycle.shortest).count();
            given_up += u32::from(cycles.spent || told > 0);
            // Whoever says that all was looked for has all.
            if !cycles.spent {
                let classes = |table: &brute::Table| table.keys().map(|(_, class)| class.clone()).collect::<Vec<_>>();
                let mut mine: Vec<String> = cycles.found.iter().map(|cycle| cycle.class.as_str().to_owned()).collect();
                mine.retain(|class| class != "write-skew" && class != "long-fork");
                let mut all = classes(&brute::without_implied(&full));
                mine.sort();
                all.sort();
                assert_eq!(mine, all, "{edges:?}");
            }
        }
    }
    assert!(given_up > 300, "the budget was spent {given_up} times");
}
