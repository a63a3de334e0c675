//! What shows in histories that are no longer small.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schism_history::{RunFacts, notation};

use super::support::{Shape, accesses, judge_line, line, random};
use super::twins::TAME;
use crate::anomaly::Witness;
use crate::checker::{Budget, Checker};
use crate::txn::checker::{Data, TxnChecker};
use crate::txn::meter::Meter;
use crate::txn::txns::Txns;
use crate::txn::verify::verify;
use crate::txn::weak::derive::NEAR;
use crate::txn::weak::judge_as;
use crate::txn::weak::mutant::Mutation;

/// A way through another transaction is shorter than one along the operations of a large one; the proof comes through that one twice.
#[test]
fn a_cycle_of_operations_may_come_through_a_transaction_twice() {
    let text = r#"0:txn=[["append",4,1],["append",1,1],["append",5,1],["append",6,1],["append",7,1],["append",2,1],["append",3,1]] 1:txn=[["append",1,2],["append",2,2]] 2:txn=[["append",3,2],["append",4,2]] 3:txn=[["r",1,null],["r",2,null],["r",3,null],["r",4,null]]>[["r",1,[1,2]],["r",2,[2,1]],["r",3,[1,2]],["r",4,[2,1]]]"#;
    let history = notation::parse(text).expect("a history");
    let finding = TxnChecker::new(Data::ListAppend).check(&history, &RunFacts::default(), &Budget::default());
    let mut twice = 0;
    for anomaly in finding.anomalies.iter().chain(&finding.beyond) {
        assert_eq!(verify(&history, anomaly), Ok(()), "{anomaly:#?}");
        if let Witness::Cycle { steps, .. } = &anomaly.witness {
            let mut named: Vec<_> = steps.iter().map(|step| step.transaction).collect();
            named.sort_unstable();
            named.dedup();
            twice += usize::from(named.len() < steps.len());
        }
    }
    assert!(finding.beyond.iter().chain(&finding.anomalies).any(|anomaly| anomaly.kind == "not-monotonic-writes"));
    assert!(twice > 0, "{finding:#?}");
}

/// Memory is counted for as many threads as there may be: their number changes neither verdict, proof nor steps.
#[test]
fn threads_change_nothing_whatever_the_memory_is() {
    let pool = |threads: usize| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let pools = [pool(1), pool(3)];
    let shape = Shape { transactions: (60, 90), keys: 6, ..TAME };
    let mut chance = ChaCha8Rng::seed_from_u64(31);
    let (mut spent, mut found) = (0, 0);
    for _ in 0..12 {
        let history = notation::parse(&line(&random(&mut chance, shape))).expect("a history");
        let txns = Txns::of(&history);
        let accesses = accesses(&txns);
        for half_kib in 0..160 {
            let budget = Budget { memory_bytes_max: half_kib << 9, ..Budget::default() };
            let judged = pools.each_ref().map(|pool| {
                pool.install(|| {
                    let mut meter = Meter::new(&budget);
                    let weak = judge_as(&txns, &accesses, &mut meter, NEAR, Mutation::default());
                    (format!("{:?}", weak.anomalies), weak.spent, meter.steps)
                })
            });
            assert_eq!(judged[0], judged[1], "{half_kib} half KiB: {}", notation::write(&history));
            spent += usize::from(judged[0].1);
            found += usize::from(!judged[0].1 && judged[0].0 != "[]");
        }
    }
    assert!(spent > 40 && found > 40, "{spent} {found}");
}

/// A proof of as many lines as there are transactions is made line by line.
#[test]
fn long_proofs_are_made_in_time() {
    let count = 20_000;
    let mut text = String::from(r#"0:txn=[["w","a0",1],["w","z",1]]"#);
    for at in 1..=count {
        text += &format!(r#" {at}:txn=[["r","a{}",1],["w","a{at}",1]]"#, at - 1);
    }
    text += &format!(r#" {}:txn=[["r","a{count}",1],["r","z",null]]"#, count + 1);
    let weak = judge_line(&text, NEAR, Mutation::default());
    let lines = |witness: &Witness| match witness {
        Witness::NoCommitOrder { derivation, .. } => derivation.len(),
        _ => 0,
    };
    assert!(weak.anomalies.iter().any(|anomaly| lines(&anomaly.witness) > count), "{}", weak.anomalies.len());
}
