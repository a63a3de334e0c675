//! What verifies orders takes no wrong one: orders that the solver found are disturbed, and judged by trying everything.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::brute::Brute;
use super::stores::{NOBODY, Store, Wanted, run};
use super::twin::{KEEPS, PROPERTIES, long_factor, some};
use crate::checker::Budget;
use crate::txn::edge::{Edge, EdgeKind};
use crate::txn::meter::Meter;
use crate::txn::solver::replay::{NotReplayed, replay};
use crate::txn::solver::{Decision, Keeps, Property, decide};
use crate::txn::txns::Txns;

fn verified(
    question: &crate::txn::solver::Question<'_>,
    certificate: &crate::txn::solver::replay::Certificate,
) -> Result<(), NotReplayed> {
    replay(question, certificate, &mut Meter::new(&Budget::default()))
}

#[test]
fn an_order_is_taken_if_and_only_if_it_is_one() {
    let mut random = ChaCha8Rng::seed_from_u64(81);
    let mut counts = [[0; 2]; 5];
    for round in 0..1200 * long_factor() {
        let mut case = some(&mut random, round);
        let (p, keeps) = (random.random_range(0..5), KEEPS[random.random_range(0..3)]);
        let property = PROPERTIES[p];
        if !Brute::new(&case, keeps).is_feasible(property) {
            continue;
        }
        let found = {
            let txns = Txns::of(&case.history);
            decide(&case.question(&txns, property, keeps), &mut Meter::new(&Budget::default()))
        };
        let Decision::Holds(mut certificate) = found else { continue };
        if certificate.order.is_empty() {
            continue;
        }
        for _ in 0..random.random_range(0..3) {
            let (from, to) = (random.random_range(0..certificate.order.len()), certificate.order.len() - 1);
            let moved = certificate.order.remove(from);
            let near = (from + random.random_range(0..4)).saturating_sub(2).min(to);
            certificate.order.insert(near, moved);
        }
        let found = {
            let txns = Txns::of(&case.history);
            verified(&case.question(&txns, property, keeps), &certificate)
        };
        // That very order is asked for.
        let steps = certificate.order.windows(2).map(|pair| Edge { from: pair[0], to: pair[1], kind: EdgeKind::Ww });
        case.known.extend(steps);
        let holds = Brute::new(&case, keeps).holds(property);
        let told = || format!("round {round}, {property:?} {keeps:?}: {found:?} {certificate:?} {}", case.line);
        match property {
            // Of these the order says no more than how the versions of each key follow each other.
            Property::ParallelSnapshotIsolation | Property::UpdateSerializable => {
                assert!(found.is_err() || holds, "{}", told());
            }
            _ => assert_eq!(found.is_ok(), holds, "{}", told()),
        }
        counts[p][usize::from(found.is_ok())] += 1;
    }
    for (property, [refused, taken]) in PROPERTIES.iter().zip(counts) {
        assert!(refused > 10 && taken > 10, "{property:?}: {refused} refused, {taken} taken");
    }
}

/// Orders of hundreds, of which each reader stands alone: another version in one read, and the order is none.
#[test]
fn large_orders_of_lone_readers_are_verified() {
    let mut random = ChaCha8Rng::seed_from_u64(82);
    let (mut refused, mut alone) = (0, 0);
    for round in 0..60 {
        let (store, property) = match round % 2 {
            0 => (Store::Parallel, Property::ParallelSnapshotIsolation),
            _ => (Store::Updates, Property::UpdateSerializable),
        };
        let times = if round % 4 == 0 { Keeps::Process } else { Keeps::Nothing };
        let (txns, sessions, keys, operations) = (random.random_range(100..300), 6, 12, 4);
        let wanted = Wanted { store, txns, sessions, keys, operations, reads_percent: 50, times };
        let mut run = run(&mut random, wanted);
        let case = run.case();
        let txns = Txns::of(&case.history);
        let decision = decide(&case.question(&txns, property, times), &mut Meter::new(&Budget::default()));
        let Decision::Holds(certificate) = decision else { panic!("{decision:?}: {}", case.line) };
        assert_eq!(verified(&case.question(&txns, property, times), &certificate), Ok(()));
        let serial = verified(&case.question(&txns, Property::Serializable, Keeps::Nothing), &certificate);
        alone += usize::from(serial.is_err());
        // The newest reader of something reads what was there at first, where that was written over long ago.
        let is_old = |id: &usize| run.made[*id].reads.iter().any(|&(_, writer)| writer != NOBODY && writer < 10);
        let Some(id) = (50..run.made.len()).rev().find(|id| !is_old(id) && !run.made[*id].reads.is_empty()) else {
            continue;
        };
        let read = run.made[id].reads.iter().position(|read| read.1 != NOBODY);
        let Some(read) = read else { continue };
        run.made[id].reads[read].1 = NOBODY;
        let wrong = run.case();
        let txns = Txns::of(&wrong.history);
        // The order may be none now, and another one may be; what is taken is so by its definition.
        refused += usize::from(verified(&wrong.question(&txns, property, times), &certificate).is_err());
    }
    assert!(refused > 20 && alone > 10, "{refused} refused, {alone} of lone readers");
}
