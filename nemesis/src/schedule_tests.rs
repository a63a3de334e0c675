//! Schedules in virtual time.

use super::*;
use schism_history::Node;
use serde_json::json;

fn specs() -> Vec<FaultSpec> {
    ["partition", "kill", "pause"].iter().map(|name| FaultSpec::named(name).unwrap().resolved(5, true)).collect()
}

fn view() -> View {
    View { nodes: (1..=5).map(|number| Node::new(&format!("n{number}"))).collect(), ..View::default() }
}

fn planned(specs: &[FaultSpec], seed: u64) -> Vec<Planned> {
    preview(specs, &Schedule::default(), &view(), Seed(seed), 600_000)
}

#[test]
fn the_same_seed_gives_the_same_schedule_and_another_does_not() {
    assert_eq!(planned(&specs(), 1), planned(&specs(), 1));
    assert_ne!(planned(&specs(), 1), planned(&specs(), 2));
}

#[test]
fn a_class_more_does_not_shift_the_others() {
    let of = |all: &[Planned], class: &str| all.iter().filter(|one| one.class == class).cloned().collect::<Vec<_>>();
    let (one, all) = (planned(&specs()[1..2], 7), planned(&specs(), 7));
    assert_eq!(of(&all, "kill"), one);
    assert!(one.len() > 20, "{}", one.len());
}

#[test]
fn a_class_has_one_fault_at_a_time_in_its_bounds_and_classes_overlap() {
    for seed in 0..20 {
        let all = planned(&specs(), seed);
        assert!(all.iter().map(|one| one.inject_ms).is_sorted());
        for class in ["partition", "kill", "pause"] {
            let own: Vec<&Planned> = all.iter().filter(|one| one.class == class).collect();
            assert!((5_000..=15_000).contains(&own[0].inject_ms), "quiet start, then within one interval");
            for pair in own.windows(2) {
                let (on, off) = (pair[0].heal_ms - pair[0].inject_ms, pair[1].inject_ms - pair[0].heal_ms);
                assert!((5_000..=15_000).contains(&on) && (5_000..=15_000).contains(&off), "{on} {off}");
                assert_eq!(on, pair[0].intention.duration_ms);
            }
        }
        let overlap = all
            .iter()
            .any(|a| all.iter().any(|b| a.class != b.class && a.inject_ms < b.heal_ms && b.inject_ms < a.heal_ms));
        assert!(overlap);
    }
}

#[test]
fn every_shape_direction_and_target_is_drawn() {
    let all = planned(&specs(), 3);
    let drawn = |key: &str, class: &str| {
        let of_class = all.iter().filter(|one| one.class == class);
        let values = of_class.filter_map(|one| one.intention.value(key).map(ToString::to_string));
        values.collect::<std::collections::BTreeSet<String>>().len()
    };
    assert_eq!([drawn("shape", "partition"), drawn("direction", "partition")], [crate::grudge::SHAPES.len(), 3]);
    assert_eq!([drawn("target", "kill"), drawn("target", "pause")], [5, 5]);
}

#[test]
fn labels_name_nodes_where_they_are_known() {
    let all = planned(&specs(), 3);
    assert!(
        all.iter().any(|one| one.label == "leader: whoever leads then" || one.label.starts_with("leader, one way"))
    );
    assert!(all.iter().any(|one| one.label.starts_with("bridge: n")));
    assert!(all.iter().any(|one| one.label == "kill: n1 n2 n3 n4 n5 (all)"), "{all:?}");
}

#[test]
fn own_pace_and_nothing_to_choose() {
    let mut spec = FaultSpec::named("kill").unwrap().with("targets", &[json!("one")]).unwrap();
    spec.interval = Some(DurationText::from_secs(100));
    spec.duration = Some(DurationText::from_ms(10));
    for one in planned(&[spec], 1) {
        assert!(one.intention.duration_ms <= 15);
    }
    assert!(planned(&[FaultSpec::named("partition").unwrap()], 1).is_empty(), "no shape is left");
    let never = DurationText::from_ms(u64::MAX);
    let schedule = Schedule { quiet_start: never, interval: never, duration: never };
    assert!(preview(&specs(), &schedule, &view(), Seed(1), 1000).is_empty());
}

#[test]
fn a_failed_injection_is_healed_at_once_and_the_class_goes_on() {
    let workers = Workers::new(0, &["kill"]);
    let mut faults = Faults::new(&specs()[1..2], &Schedule::default(), Seed(1));
    let Next::Pending { until_ns: Some(due) } = faults.next(&Context::new(&workers, 0)) else { panic!("no wait") };
    let at = |now_ns| Context::new(&workers, now_ns);
    let Next::Op(inject) = faults.next(&at(due)) else { panic!("no injection") };
    assert_eq!(inject.f, F::Inject);
    assert_eq!(faults.next(&at(due + 1)), Next::Pending { until_ns: None }, "it waits for the completion");
    let mut event = Op::new(inject.process.clone(), Kind::Invoke, F::Inject, Value::Nil);
    faults.update(&at(due), &event);
    assert_eq!(faults.next(&at(due + 2)), Next::Pending { until_ns: None }, "an invocation is no completion");
    event.kind = Kind::Info;
    event.error = Some(Box::new(Value::str("no-target")));
    faults.update(&at(due + 3), &event);
    let Next::Op(heal) = faults.next(&at(due + 3)) else { panic!("no heal") };
    assert_eq!(heal.f, F::Heal);
    faults.update(&at(due + 4), &Op::new(heal.process, Kind::Info, F::Heal, Value::Nil));
    let Next::Pending { until_ns: Some(again) } = faults.next(&at(due + 4)) else { panic!("no wait") };
    assert!(again >= due + 4 + 5_000 * NS_PER_MS);
}

#[test]
fn a_busy_actor_is_waited_for() {
    let mut workers = Workers::new(0, &["kill"]);
    let mut faults = Faults::new(&specs()[1..2], &Schedule::default(), Seed(1));
    workers.nemesis[0].1 = false;
    let late = 60_000 * NS_PER_MS;
    assert_eq!(faults.next(&Context::new(&workers, late)), Next::Pending { until_ns: None });
    workers.nemesis[0].1 = true;
    assert!(matches!(faults.next(&Context::new(&workers, late)), Next::Op(_)));
}

#[test]
fn the_final_heal_is_for_what_is_on_when_it_is_first_asked() {
    let open = Arc::new(OpenFaults::default());
    let mut heal = FinalHeal::new(Arc::clone(&open));
    open.open("kill", 3);
    open.open("partition", 4);
    open.open("pause", 5);
    open.close("pause");
    let mut workers = Workers::new(0, &["kill", "pause", "partition"]);
    workers.nemesis[0].1 = false;
    let classes: Vec<String> = std::iter::from_fn(|| {
        let next = heal.next(&Context::new(&workers, 0));
        workers.nemesis[0].1 |= next == Next::Pending { until_ns: None };
        match next {
            Next::Op(invocation) => Some(format!("{} {}", invocation.process, invocation.f)),
            Next::Pending { .. } => Some("pending".to_owned()),
            Next::Exhausted => None,
        }
    })
    .collect();
    assert_eq!(classes, ["nemesis/partition heal", "pending", "nemesis/kill heal"]);
    let mut late = FinalHeal::new(Arc::default());
    assert_eq!(late.next(&Context::new(&workers, 0)), Next::Exhausted);
}
