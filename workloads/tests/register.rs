//! The register workload in virtual time, against a register that answers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use schism_generators::simulator::{Answer, Ending, Simulation, simulate};
use schism_generators::{Combine, phases};
use schism_history::{F, History, Key, Kind, Op, Seed, Value};
use schism_workloads::{RegisterOptions, Values, WorkloadSpec, build};

/// A linearizable store whose operations take effect when they begin.
fn store(latency_ns: u64, doubt_each: usize) -> impl FnMut(&Op) -> Answer {
    let mut registers: HashMap<Option<Key>, Value> = HashMap::new();
    let mut count = 0;
    move |op| {
        count += 1;
        let register = registers.entry(op.key.clone()).or_default();
        let mut answer = Answer::ok(latency_ns);
        match (&op.f, &op.value) {
            (F::Read, _) => answer.value = Some(register.clone()),
            (F::Cas, Value::Pair([old, new])) => {
                answer.matched = Some(*register == Value::Int(*old));
                if answer.matched == Some(true) {
                    *register = Value::Int(*new);
                }
            }
            (_, value) => *register = value.clone(),
        }
        if doubt_each > 0 && count % doubt_each == 0 {
            answer.kind = Kind::Info;
        }
        answer
    }
}

fn load(options: RegisterOptions, seed: u64, workers: u32, operations: u64, doubt_each: usize) -> Simulation {
    let workload = build(&WorkloadSpec::Register(options), Seed(seed), workers).expect("right options");
    let generator = phases(vec![workload.generator.limit(operations).boxed(), workload.final_generator.expect("on")]);
    simulate(generator.clients().boxed(), workers, &["p"], store(10, doubt_each), u64::MAX)
}

fn invocations(simulation: &Simulation) -> impl Iterator<Item = &Op> {
    simulation.ops.iter().filter(|op| op.kind == Kind::Invoke)
}

#[test]
fn half_reads_and_a_good_part_of_cas_match() {
    let simulation = load(RegisterOptions::default(), 1, 10, 8_000, 0);
    let count = |f: F| invocations(&simulation).take(8_000).filter(|op| op.f == f).count();
    let (reads, writes, cas) = (count(F::Read), count(F::Write), count(F::Cas));
    assert!((3_700..4_300).contains(&reads) && (1_800..2_200).contains(&writes), "{reads} reads, {writes} writes");
    assert_eq!(reads + writes + cas, 8_000);
    let matched = simulation.ops.iter().filter(|op| op.kind == Kind::Ok && op.matched == Some(true)).count();
    assert!(matched * 5 > cas, "{matched} of {cas} matched");
    assert!(matched < cas, "some must not match");
    assert_eq!(simulation.ending, Ending::Exhausted);
    History::from_ops(simulation.ops).expect("a right history");
}

#[test]
fn unique_values_are_unique_per_key_and_small_ones_are_small() {
    let written = |values| {
        let simulation = load(RegisterOptions { values, ..Default::default() }, 2, 7, 5_000, 0);
        let mut by_key: BTreeMap<Key, Vec<i64>> = BTreeMap::new();
        for op in invocations(&simulation) {
            let key = op.key.clone().expect("every operation has a key");
            match op.value {
                Value::Int(value) | Value::Pair([_, value]) => by_key.entry(key).or_default().push(value),
                _ => {}
            }
        }
        by_key
    };
    for (key, values) in written(Values::Unique) {
        assert_eq!(values.len(), values.iter().collect::<BTreeSet<_>>().len(), "key {key}");
    }
    let small: BTreeSet<i64> = written(Values::Small).into_values().flatten().collect();
    assert_eq!(small, (0..=4).collect());
}

#[test]
fn keys_rotate_by_operations_and_by_doubt() {
    let cases = [
        // (operations a key, processes a key, every how many in doubt, most operations that a key may show)
        (50, 1_000, 0, 50),
        (1_000, 8, 10, 5 * 10 * 4),
    ];
    for (operations_per_key_max, processes_per_key_max, doubt_each, most) in cases {
        let options = RegisterOptions { operations_per_key_max, processes_per_key_max, ..Default::default() };
        let simulation = load(options, 3, 5, 2_000, doubt_each);
        let mut by_key: BTreeMap<i64, (u64, BTreeSet<u32>)> = BTreeMap::new();
        for op in invocations(&simulation).take(2_000) {
            let Some(Key::Int(key)) = op.key else { panic!("no key") };
            let (count, processes) = by_key.entry(key).or_default();
            *count += 1;
            processes.extend(op.process.client());
        }
        assert!(by_key.len() > 5, "{} keys", by_key.len());
        assert!(by_key.keys().copied().eq(0..by_key.len() as i64), "keys count up from 0");
        assert!(by_key.values().all(|(count, _)| *count <= most), "{by_key:?}");
        assert!(by_key.values().all(|(_, processes)| processes.len() as u64 <= processes_per_key_max));
        History::from_ops(simulation.ops).expect("a right history");
    }
}

#[test]
fn every_live_key_is_read_by_every_worker_at_the_end() {
    let simulation = load(RegisterOptions::default(), 4, 12, 3_000, 40);
    let last_keys: BTreeSet<_> = {
        let mut by_worker = BTreeMap::new();
        for op in invocations(&simulation).take(3_000) {
            by_worker.insert(op.process.client().map(|process| process % 12), op.key.clone());
        }
        by_worker.into_values().collect()
    };
    assert_eq!(last_keys.len(), 3, "groups of 5, 5 and 2");
    let finals: Vec<&Op> = invocations(&simulation).skip(3_000).collect();
    let read: BTreeSet<_> =
        finals.iter().map(|op| (op.process.client().map(|process| process % 12), op.key.clone())).collect();
    assert_eq!((finals.len(), read.len()), (36, 36));
    assert!(finals.iter().all(|op| op.f == F::Read && last_keys.contains(&op.key)));
}

#[test]
fn the_same_seed_draws_the_same() {
    let run = |seed| load(RegisterOptions::default(), seed, 6, 500, 30).ops;
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}
