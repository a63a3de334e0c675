//! Large ones: in bounded time, and the same for any number of threads.

use schism_history::{F, History, HistoryBuilder, Key, Kind, Mop, Op, Process, Value};

use super::super::infer;
use super::super::judge::LAST_EDGES_MAX;
use crate::checker::Budget;
use crate::txn::meter::Meter;
use crate::txn::txns::Txns;
use crate::verdict::Gap;

/// Transactions one after the other, each as `[f, key, value]`.
fn history(transactions: impl IntoIterator<Item = Vec<Mop>>) -> History {
    let mut builder = HistoryBuilder::default();
    for mops in transactions {
        for kind in [Kind::Invoke, Kind::Ok] {
            let op = Op::new(Process::Client(0), kind, F::Txn, Value::Txn(Box::new(mops.clone())));
            builder.push(op).expect("a plain history");
        }
    }
    builder.finish()
}

fn append(key: i64, element: i64) -> Mop {
    Mop::new("append", Key::Int(key), Value::Int(element))
}

fn read(key: i64, length: i64) -> Mop {
    Mop::new("r", Key::Int(key), Value::list((0..length).map(Value::Int).collect()))
}

fn budget(steps_max: u64) -> Meter {
    Meter::new(&Budget { steps_max, ..Budget::default() })
}

#[test]
fn last_readers_and_what_nobody_read_are_not_multiplied_without_end() {
    let appends = (0..1000).map(|element| vec![append(1, element)]);
    let reads = (0..1000).map(|_| vec![read(1, 0)]);
    let history = history(appends.chain(reads));
    let txns = Txns::of(&history);
    let lists = infer(&txns, &mut budget(u64::MAX));
    assert_eq!(lists.edges.len(), LAST_EDGES_MAX);
    assert!(
        matches!(lists.gaps.as_slice(), [Gap::BudgetSpent { key: Some(key), .. }] if key == "1"),
        "{:?}",
        lists.gaps
    );
}

#[test]
fn a_spent_meter_is_told() {
    let key = |key: i64| [vec![append(key, 0)], vec![append(key, 1)], vec![read(key, 0)]];
    let history = history((0..40_000).flat_map(key));
    let txns = Txns::of(&history);
    let all = infer(&txns, &mut budget(u64::MAX));
    assert_eq!((all.edges.len(), all.gaps.len()), (80_000, 0));
    let some = infer(&txns, &mut budget(1000));
    assert!(some.edges.len() < 80_000, "{}", some.edges.len());
    assert!(matches!(some.gaps.as_slice(), [Gap::BudgetSpent { steps_max: 1000, .. }]), "{:?}", some.gaps);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let key = |key: i64| {
        let broken = if key % 100 == 7 { vec![append(key, 9), read(key, 1)] } else { vec![read(key, 2)] };
        [vec![append(key, 0)], vec![append(key, 1)], vec![read(key, 1)], broken, vec![append(key, 2 + key % 3)]]
    };
    let history = history((0..50_000).flat_map(key));
    let txns = Txns::of(&history);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| infer(&txns, &mut budget(u64::MAX)))
    };
    let (one, three) = (with(1), with(3));
    // Each is internal, and misses its own append.
    assert_eq!(one.counts.values().sum::<u64>(), 1000);
    assert!(one.edges == three.edges && one.anomalies == three.anomalies && one.counts == three.counts);
    assert!(one.accesses.versions == three.accesses.versions && one.accesses.tails == three.accesses.tails);
}

#[test]
fn one_transaction_may_do_very_much() {
    let many: Vec<Mop> =
        (0..100_000).flat_map(|at| [append(at % 2, at), Mop::new("r", Key::Int(5), Value::Nil)]).collect();
    let history = history([many.clone(), many]);
    let txns = Txns::of(&history);
    let lists = infer(&txns, &mut budget(u64::MAX));
    assert_eq!((lists.ambiguous_keys_count, lists.counts.len()), (2, 0));
}
