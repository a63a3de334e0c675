//! How somebody is visible: the fewest steps, against all ways there are by the same rules.

use std::collections::HashMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schism_history::notation;

use super::support::{Shape, accesses, line, random};
use super::twins::TAME;
use crate::checker::Budget;
use crate::txn::meter::Meter;
use crate::txn::txns::Txns;
use crate::txn::weak::components::Why;
use crate::txn::weak::derive::{Axiom, Forced, Forces};
use crate::txn::weak::mutant::Mutation;
use crate::txn::weak::operations::Operations;
use crate::txn::weak::paths::State;
use crate::txn::weak::sessions::Guarantee;
use crate::txn::weak::units::{NONE, Ranked, Sessions};
use crate::txn::weak::witness::{Arrow, Prover};

/// Half of them with reads of what is written only later, so that there are circles.
const SHAPES: [Shape; 2] = [
    Shape { transactions: (6, 12), sessions: 3, micros_max: 4, wild_percent: 40, ..TAME },
    Shape { transactions: (10, 20), sessions: 2, keys: 3, micros_max: 3, wild_percent: 100, ..TAME },
];

/// What the cheapest way costs that ends where it may, by trying until nothing gets cheaper.
fn cheapest(prover: &Prover<'_>, from: u32, reader: u32) -> Option<usize> {
    let ranked = prover.ranked;
    let mut costs: HashMap<(u32, bool, u8), usize> = HashMap::from([((reader, false, 0), 0)]);
    loop {
        let mut is_done = true;
        for ((rank, in_session, reads), cost) in costs.clone() {
            let state = State { rank, in_session, reads };
            let before = Some((ranked.before[rank as usize], true)).filter(|&(before, _)| before != NONE);
            for (to, is_session) in before.into_iter().chain(ranked.sources(rank).map(|source| (source, false))) {
                let next =
                    State { rank: to, in_session: is_session, reads: (state.reads + u8::from(!is_session)).min(2) };
                if !prover.may_step(reader, &state, &next) || !prover.may_lead(from, &next) {
                    continue;
                }
                let cost = cost + usize::from(!(is_session && in_session));
                let known = costs.entry((to, next.in_session, next.reads)).or_insert(usize::MAX);
                is_done &= *known <= cost;
                *known = cost.min(*known);
            }
        }
        if is_done {
            break;
        }
    }
    let ends = costs.iter().filter(|((rank, in_session, reads), _)| {
        *rank == from && prover.may_end(&State { rank: *rank, in_session: *in_session, reads: *reads })
    });
    ends.map(|(_, cost)| *cost).min()
}

/// What a path costs; it must be one, and keep the rules.
fn cost(prover: &Prover<'_>, path: &[Arrow], from: u32, reader: u32) -> Option<usize> {
    let ranked = prover.ranked;
    let (first, last) = (path.first()?, path.last()?);
    assert_eq!((first.from, last.to), (from, reader), "{path:?}");
    assert!(path.windows(2).all(|pair| pair[0].to == pair[1].from), "{path:?}");
    for arrow in path {
        match arrow.why {
            Why::Session => assert_eq!(ranked.before[arrow.to as usize], arrow.from, "{path:?}"),
            Why::Reads => assert!(ranked.sources(arrow.to).any(|source| source == arrow.from), "{path:?}"),
            _ => panic!("{path:?}"),
        }
    }
    let mut state = State { rank: reader, in_session: false, reads: 0 };
    for arrow in path.iter().rev() {
        let in_session = arrow.why == Why::Session;
        let next = State { rank: arrow.from, in_session, reads: (state.reads + u8::from(!in_session)).min(2) };
        assert!(prover.may_step(reader, &state, &next) && prover.may_lead(from, &next), "{path:?}");
        state = next;
    }
    assert!(prover.may_end(&state), "{path:?}");
    let goes_on = path.windows(2).filter(|pair| pair[0].why == Why::Session && pair[1].why == Why::Session).count();
    Some(path.len() - goes_on)
}

/// Compares all pairs; adds up how many paths have which cost.
fn compare(prover: &Prover<'_>, seen: &mut [usize; 8]) {
    let ranked = prover.ranked;
    for reader in 0..ranked.len() {
        for from in (0..ranked.circle(reader).end).filter(|&from| from != reader) {
            let forced = Forced { from, to: from, axiom: Axiom::Causal, reader, read: 0 };
            let found = cost(prover, &prover.path(&forced), from, reader);
            assert_eq!(found, cheapest(prover, from, reader), "{from} {reader} {:?} {ranked:?}", prover.guarantee);
            seen[found.unwrap_or(0).min(7)] += 1;
        }
    }
}

#[test]
fn no_path_is_cheaper_than_the_one_that_is_told() {
    let mut chance = ChaCha8Rng::seed_from_u64(5);
    let (mut of_txns, mut of_operations, mut circles, mut doubts) = ([0; 8], [[0; 8]; 6], 0, 0);
    for round in 0..150 {
        let history = notation::parse(&line(&random(&mut chance, SHAPES[round % 2]))).expect("a history");
        let txns = Txns::of(&history);
        let accesses = accesses(&txns);
        let mutation = Mutation::default();
        let sessions = Sessions::of(&txns, &accesses, mutation);
        let ranked = Ranked::of(&accesses, &sessions, mutation);
        doubts += (0..ranked.len()).filter(|&rank| !txns.is_ok(ranked.unit(rank))).count();
        circles += usize::from(ranked.has_circles());
        let forces = Forces::of(Vec::new());
        let prover = Prover { txns: &txns, ranked: &ranked, forces: &forces, owners: None, guarantee: None };
        compare(&prover, &mut of_txns);
        let mut meter = Meter::new(&Budget::default());
        let near = vec![true; accesses.len()];
        let operations = Operations::of(&txns, &ranked, &sessions, &near, &mut meter, mutation).expect("a budget");
        // As it is where sessions are judged.
        let ranked = match ranked.is_ordered(mutation) {
            true => Ranked::in_order(&operations.accesses, &operations.sessions),
            false => Ranked::of(&operations.accesses, &operations.sessions, mutation),
        };
        for (guarantee, seen) in Guarantee::ALL.into_iter().zip(&mut of_operations) {
            let owners = Some(&operations.owners[..]);
            compare(
                &Prover { txns: &txns, ranked: &ranked, forces: &forces, owners, guarantee: Some(guarantee) },
                seen,
            );
        }
    }
    println!("{of_txns:?} {of_operations:?}, {circles} with circles, {doubts} in doubt");
    assert!(circles > 20 && circles < 130 && doubts > 10 && of_txns[..5].iter().all(|&seen| seen > 50));
    assert!(of_operations.iter().all(|seen| seen[0] > 100 && seen[1] > 100));
    // An own write costs one step at most.
    assert!(of_operations[1..].iter().all(|seen| seen[2..].iter().sum::<usize>() > 100));
}
