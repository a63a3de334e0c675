//! Stretches in virtual time.

use super::*;
use crate::schedule::preview_of;
use crate::target::View;
use schism_generators::Workers;
use schism_history::Node;
use serde_json::{Value as Json, json};

fn view() -> View {
    View { nodes: (1..=5).map(|number| Node::new(&format!("n{number}"))).collect(), ..View::default() }
}

fn stretches(text: Json) -> Vec<Stretch> {
    let mut all: Vec<Stretch> = serde_json::from_value(text).unwrap();
    all.iter_mut().flat_map(|stretch| &mut stretch.faults).for_each(|fault| *fault = fault.resolved(5, true));
    all
}

fn pace(interval_ms: u64, duration_ms: u64) -> Schedule {
    Schedule {
        quiet_start: DurationText::from_secs(5),
        interval: DurationText::from_ms(interval_ms),
        duration: DurationText::from_ms(duration_ms),
    }
}

/// Begin, end, class and stretch of each fault.
fn planned(all: &[Stretch], pace: &Schedule, seed: u64, until_ms: u64) -> Vec<(u64, u64, String, String)> {
    let specs: Vec<FaultSpec> = all.iter().flat_map(|stretch| stretch.faults.clone()).collect();
    let mut generator = Stretches::new(all, pace, Seed(seed));
    let planned = preview_of(&mut generator, &specs, &view(), until_ms);
    let phase = |one: &crate::Planned| one.intention.value("phase").and_then(Json::as_str).unwrap_or("?").to_owned();
    planned.iter().map(|one| (one.inject_ms, one.heal_ms, one.class.clone(), phase(one))).collect()
}

fn storm() -> Vec<Stretch> {
    stretches(json!([
        {"for": "10s", "quiet": true},
        {"for": "20s", "name": "storm", "faults": ["kill", {"pause": {"targets": "one"}}]},
        {"for": "10s", "quiet": true, "name": "calm"},
        {"for": "20s", "faults": ["kill", "partition"], "kind": "cycle", "interval": "1s", "duration": "2s"},
    ]))
}

#[test]
fn faults_stay_within_their_stretch_and_quiet_ones_are_quiet() {
    assert_eq!(check_stretches(&storm()), Ok(60_000));
    for seed in 0..40 {
        let all = planned(&storm(), &pace(4_000, 3_000), seed, 180_000);
        for (from_ms, to_ms, class, phase) in &all {
            let (start_ms, classes) = match phase.as_str() {
                "storm" => (10_000, ["kill", "pause"]),
                "faults 4" => (40_000, ["kill", "partition"]),
                other => panic!("a fault in {other}"),
            };
            let into_ms = from_ms % 60_000;
            assert!((start_ms..start_ms + 20_000).contains(&into_ms), "{from_ms} {phase}");
            assert!(to_ms - from_ms <= 4_500 && into_ms + (to_ms - from_ms) <= start_ms + 20_000, "{from_ms} {to_ms}");
            assert!(classes.contains(&class.as_str()), "{class} in {phase}");
        }
        for round in 0..3 {
            for (start_ms, class) in [(10_000, "kill"), (10_000, "pause"), (40_000, "kill")] {
                let first_half = round * 60_000 + start_ms..=round * 60_000 + start_ms + 10_000;
                let came = all.iter().any(|one| one.2 == class && first_half.contains(&one.0));
                assert!(
                    came,
                    "{class} comes in the first half of the stretch at {start_ms} of round {round}, seed {seed}"
                );
            }
        }
    }
}

/// Pinned, so that a recorded plan goes on meaning the same.
#[test]
fn a_timetable_is_what_it_was() {
    let all = planned(&storm(), &pace(4_000, 8_000), 7, 60_000);
    let told: Vec<String> =
        all.iter().map(|(from, to, class, phase)| format!("{from}-{to} {class}: {phase}")).collect();
    assert_eq!(told, GOLDEN, "{told:#?}");
}

const GOLDEN: &[&str] = &[
    "11816-16585 pause: storm",
    "13308-20079 kill: storm",
    "21012-29556 pause: storm",
    "23060-30000 kill: storm",
    "40509-42076 kill: faults 4",
    "42977-45082 partition: faults 4",
    "46340-49320 kill: faults 4",
    "50288-52617 partition: faults 4",
    "53679-55341 kill: faults 4",
    "56274-58518 partition: faults 4",
    "59195-60000 kill: faults 4",
];

#[test]
fn the_same_seed_repeats_and_a_stretch_does_not_shift_the_others() {
    let run = |all: &[Stretch], seed| planned(all, &pace(4_000, 3_000), seed, 180_000);
    assert_eq!(run(&storm(), 1), run(&storm(), 1));
    assert_ne!(run(&storm(), 1), run(&storm(), 2));
    let mut other = storm();
    other[1].faults.push(FaultSpec::named("dns").unwrap().resolved(5, true));
    let without_dns =
        |all: Vec<(u64, u64, String, String)>| -> Vec<_> { all.into_iter().filter(|one| one.2 != "dns").collect() };
    assert_eq!(without_dns(run(&other, 1)), run(&storm(), 1));
    let rounds = run(&storm(), 1);
    let of = |round: u64| -> Vec<u64> {
        let own = rounds.iter().filter(|one| one.0 / 60_000 == round);
        own.map(|one| one.0 % 60_000).collect()
    };
    assert_ne!(of(0), of(1), "another round has other draws");
}

#[test]
fn what_a_stretch_leaves_on_is_healed_before_its_class_comes_again() {
    let all = stretches(json!([
        {"for": "10s", "faults": ["kill"], "interval": "1s", "duration": "1h"},
        {"for": "10s", "faults": ["kill"], "interval": "1s", "duration": "1h"},
    ]));
    let mut generator = Stretches::new(&all, &pace(1, 1), Seed(1));
    let mut workers = Workers::new(0, &["kill"]);
    let seconds = |s: u64| s * 1_000_000_000;
    let event = |f: F| Op::new(Process::nemesis("kill"), Kind::Info, f, Value::Nil);
    let Next::Op(first) = generator.next(&Context::new(&workers, seconds(9))) else { panic!("no injection") };
    assert_eq!(first.f, F::Inject);
    // The injection takes until after the end of its stretch.
    workers.nemesis[0].1 = false;
    let next = generator.next(&Context::new(&workers, seconds(12)));
    assert_eq!(next, Next::Pending { until_ns: Some(seconds(20)) });
    workers.nemesis[0].1 = true;
    generator.update(&Context::new(&workers, seconds(13)), &event(F::Inject));
    let Next::Op(heal) = generator.next(&Context::new(&workers, seconds(13))) else { panic!("no heal") };
    assert_eq!(heal.f, F::Heal, "the fault of the first stretch is healed first");
    workers.nemesis[0].1 = false;
    assert!(matches!(generator.next(&Context::new(&workers, seconds(14))), Next::Pending { .. }));
    workers.nemesis[0].1 = true;
    generator.update(&Context::new(&workers, seconds(15)), &event(F::Heal));
    let Next::Op(second) = generator.next(&Context::new(&workers, seconds(15))) else { panic!("no injection") };
    assert_eq!(second.f, F::Inject);
    // Many stretches may pass at once; each fault is healed once.
    generator.update(&Context::new(&workers, seconds(16)), &event(F::Inject));
    let Next::Op(heal) = generator.next(&Context::new(&workers, seconds(1000))) else { panic!("no heal") };
    assert_eq!(heal.f, F::Heal);
    generator.update(&Context::new(&workers, seconds(1000)), &event(F::Heal));
    let next = generator.next(&Context::new(&workers, seconds(1000)));
    assert!(
        matches!(next, Next::Pending { until_ns: Some(at) } if at > seconds(1000) && at <= seconds(1010)),
        "{next:?}"
    );
}

#[test]
fn what_is_wrong_with_stretches_is_told() {
    let cases: &[(Json, &str)] = &[
        (json!([]), "no stretch has faults"),
        (json!([{"for": "10s", "quiet": true}]), "no stretch has faults"),
        (json!([{"for": "10s"}]), "stretch 1 (faults 1): it needs `faults`, a list as in suites, or `quiet: true`"),
        (json!([{"for": "10s", "quiet": true, "faults": ["kill"]}]), "it is quiet, and yet has faults"),
        (json!([{"for": "10s", "quiet": true, "duration": "1s"}]), "it is quiet, so a kind, an interval"),
        (
            json!([{"for": "999ms", "faults": ["kill"], "name": "x"}]),
            "stretch 1 (x): `for: 999ms` is too short; 1s at least",
        ),
        (json!([{"for": "9s", "faults": ["kill"], "name": " "}]), "its name is empty"),
    ];
    for (text, expected) in cases {
        let error = check_stretches(&stretches(text.clone())).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let wrong: &[(Json, &str)] = &[
        (json!([{"for": "9s", "falts": ["kill"]}]), "unknown field `falts`, expected one of"),
        (json!([{"for": "9s", "faults": ["kil"]}]), "unknown variant `kil`"),
        (json!([{"faults": ["kill"]}]), "missing field `for`"),
        (json!([{"for": "9s", "faults": ["kill"], "kind": "script"}]), "expected `mix` or `cycle`"),
    ];
    for (text, expected) in wrong {
        let error = serde_json::from_value::<Vec<Stretch>>(text.clone()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn stretches_are_written_and_read_again_and_have_their_times() {
    let all = storm();
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Stretch>>(&text).unwrap(), all);
    let told: Vec<String> =
        placed(&all, 75_000).iter().map(|one| format!("{} {}-{}", one.title, one.start_ms, one.end_ms)).collect();
    let expected = [
        "quiet 1 0-10000",
        "storm 10000-30000",
        "calm 30000-40000",
        "faults 4 40000-60000",
        "quiet 1 60000-70000",
        "storm 70000-75000",
    ];
    assert_eq!(told, expected);
    assert_eq!(placed(&[], 5), []);
    assert_eq!(placed(&all, u64::MAX).len(), PLACED_MAX);
    assert_eq!(
        Stretches::new(&[], &pace(1, 1), Seed(1)).next(&Context::new(&Workers::new(0, &[]), 0)),
        Next::Exhausted
    );
}
