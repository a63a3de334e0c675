//! When a load ends, in virtual time.

use schism_checkers::{Budget, Checker, Gap, run::Run};
use schism_generators::simulator::{Answer, Ending, Simulation, simulate};
use schism_generators::{nemesis_op, op, sequence, sleep};
use schism_history::{History, Process, RunFacts, Value};
use schism_nemesis::schedule::OpenFaults;
use serde_json::json;

use super::*;

const LOAD_MS: u64 = 10_000;
const RECOVERY_MS: u64 = 3_000;
/// How long a client's operation takes; nothing but that is between two.
const CALL_MS: u64 = 10;

/// A load with one fault: when it is injected and healed by its schedule (ms), how long each takes, and how often its heal
/// is not proven.
struct Case {
    name: &'static str,
    inject_at_ms: u64,
    inject_takes_ms: u64,
    heal_takes_ms: u64,
    unproven: usize,
    /// When the last heal is proven, and when the last operation of a client begins, to a call.
    healed_ms: u64,
    last_ms: u64,
}

impl Case {
    fn play(&self) -> Simulation {
        let open = Arc::new(OpenFaults::default());
        let heal = FinalHeal::new(Arc::clone(&open));
        let inject = nemesis_op("kill", F::Inject, Value::Nil);
        let faults = sequence(vec![sleep(self.inject_at_ms * MS_NS).boxed(), inject.boxed(), sleep(u64::MAX).boxed()]);
        let faults = faults.time_limit(LOAD_MS * MS_NS).boxed();
        let clients = op(F::Read, Value::Nil).repeat(None).boxed();
        let load = Load::new(faults, &heal, clients, LOAD_MS * MS_NS, RECOVERY_MS * MS_NS);
        let mut unproven = self.unproven;
        let answer = |event: &Op| match (&event.process, &event.f) {
            (Process::Client(_), _) => Answer::ok(CALL_MS * MS_NS),
            (_, F::Inject) => {
                open.open("kill", 1);
                seen(self.inject_takes_ms, true)
            }
            _ => {
                let proven = unproven == 0;
                unproven = unproven.saturating_sub(1);
                if proven {
                    open.close("kill");
                }
                seen(self.heal_takes_ms, proven)
            }
        };
        simulate(load.boxed(), 1, &["kill"], answer, 100_000)
    }
}

/// What the nemesis answers after so long.
fn seen(takes_ms: u64, proven: bool) -> Answer {
    let value = Value::from_json(&json!({ "evidence": { "proven": proven, "measured": null } }));
    Answer { value: Some(value), ..Answer::ok(takes_ms * MS_NS) }
}

#[test]
fn recovery_begins_when_the_last_fault_is_healed() {
    let cases = [
        Case {
            name: "healed at the end of the load",
            inject_at_ms: 5_000,
            inject_takes_ms: 100,
            heal_takes_ms: 500,
            unproven: 0,
            healed_ms: 10_500,
            last_ms: 13_500,
        },
        Case {
            name: "still being injected at the end of the load",
            inject_at_ms: 9_000,
            inject_takes_ms: 20_000,
            heal_takes_ms: 4_000,
            unproven: 0,
            healed_ms: 35_000,
            last_ms: 38_000,
        },
        Case {
            name: "a heal that takes longer than the recovery, and is not proven at first",
            inject_at_ms: 5_000,
            inject_takes_ms: 100,
            heal_takes_ms: 8_000,
            unproven: 1,
            healed_ms: 26_000,
            last_ms: 29_000,
        },
    ];
    for case in cases {
        let Simulation { mut ops, ending } = case.play();
        assert_eq!(ending, Ending::Exhausted, "{}", case.name);
        for event in ops.iter_mut().filter(|event| event.process.client().is_none()) {
            event.fault_id = Some(1);
        }
        let begun_ms = |event: &Op| {
            (event.process.client().is_some() && event.kind == Kind::Invoke).then_some(event.time_ns / MS_NS)
        };
        let last_ms = ops.iter().filter_map(begun_ms).max().unwrap();
        assert!((case.last_ms - CALL_MS..case.last_ms).contains(&last_ms), "{}: {last_ms}", case.name);
        let history = History::from_ops(ops).unwrap();
        let faults = RunFacts::faults_from(&history);
        assert_eq!(faults[0].healed_ns, Some(case.healed_ms * MS_NS), "{}: {faults:?}", case.name);
        let asked = |word: &str| vec![word.to_owned()];
        let facts = RunFacts {
            fault_classes_asked: asked("kill"),
            functions_asked: asked("read"),
            faults,
            ..RunFacts::default()
        };
        assert_eq!(Run.check(&history, &facts, &Budget::default()).gaps, Vec::<Gap>::new(), "{}", case.name);
    }
}

#[test]
fn a_heal_that_is_never_proven_does_not_hold_the_load_for_ever() {
    let case = Case {
        name: "",
        inject_at_ms: 5_000,
        inject_takes_ms: 100,
        heal_takes_ms: 1_000,
        unproven: usize::MAX,
        healed_ms: 0,
        last_ms: 15_000,
    };
    let Simulation { ops, ending } = case.play();
    let heals = ops.iter().filter(|event| event.f == F::Heal && event.kind == Kind::Invoke).count();
    assert_eq!((ending, heals), (Ending::Exhausted, 2));
    let last_ms = ops.last().unwrap().time_ns / MS_NS;
    assert!((case.last_ms..=case.last_ms + CALL_MS).contains(&last_ms), "{last_ms}");
}

#[test]
fn without_faults_or_with_a_workload_that_ends_nothing_is_waited_for() {
    let heal = FinalHeal::new(Arc::default());
    let none = || sequence(Vec::new()).boxed();
    let load =
        |clients: Box<dyn Generator>| Load::new(none(), &heal, clients, LOAD_MS * MS_NS, RECOVERY_MS * MS_NS).boxed();
    let play = |clients: Box<dyn Generator>| {
        let Simulation { ops, ending } = simulate(load(clients), 1, &[], |_| Answer::ok(CALL_MS * MS_NS), 100_000);
        assert_eq!(ending, Ending::Exhausted);
        ops.last().map(|event| event.time_ns / MS_NS)
    };
    assert_eq!(play(op(F::Read, Value::Nil).repeat(None).boxed()), Some(13_000));
    assert_eq!(play(op(F::Read, Value::Nil).boxed()), Some(CALL_MS));
    assert_eq!(play(none()), None);
}
