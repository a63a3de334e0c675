//! What suites say of their schedules, and what plans make of it.

use super::*;
use crate::plan::{self, GroundPlan};
use crate::suite;
use schism_history::Seed;

/// The plan of a suite on etcd with these lines.
fn planned(lines: &str, overrides: &Overrides) -> Result<Plan, String> {
    let yaml = format!("database: {{etcd: {{}}}}\nworkload: {{register: {{}}}}\n{lines}\n");
    let suite = suite::parse("suite.yaml", &yaml, &[]).map_err(|error| error.to_string())?;
    let ground = GroundPlan::Namespaces;
    plan::resolve("suite.yaml", &suite, ground, overrides, Seed(1), String::new()).map_err(|error| error.to_string())
}

fn plan_of(lines: &str) -> Plan {
    planned(lines, &Overrides::default()).unwrap_or_else(|error| panic!("{lines}: {error}"))
}

const PHASES: &str = "schedule: {kind: phases, phases: [{for: 10s, quiet: true}, {for: 20s, faults: [kill, pause]}, {for: 5s, faults: [kill]}]}";
const SYSTEMATIC: &str = "faults: [{kill: {targets: [one, primaries]}}, {pause: {targets: [one]}}]\n";

#[test]
fn what_contradicts_itself_is_told() {
    let none = Overrides { faults: Some(Vec::new()), ..Overrides::default() };
    let kill = Overrides { faults: FaultSpec::named("kill").map(|kill| vec![kill]), ..Overrides::default() };
    let short = Overrides { time_limit_ms: Some(20_000), ..Overrides::default() };
    let usual = Overrides::default();
    let of = |schedule: &str| format!("{SYSTEMATIC}schedule: {{{schedule}}}");
    let cases: &[(String, &Overrides, &str)] = &[
        (
            "schedule: {kind: phases}".to_owned(),
            &usual,
            "`kind: phases` needs `phases`, a list of {for: 10s, quiet: true}",
        ),
        (of("phases: [{for: 5s, faults: [kill]}]"), &usual, "`phases` is for `kind: phases` only"),
        (of("kind: cycle, depth: 2"), &usual, "`depth` is for `kind: systematic` only"),
        (of("index: 2"), &usual, "`index` is for `kind: systematic` only"),
        (of("kind: phases, phases: [{for: 5s, faults: [kill]}]"), &usual, "leave the list `faults` out"),
        (PHASES.to_owned(), &kill, "--faults cannot change `phases`"),
        (PHASES.to_owned(), &short, "the phases take 35s together, but the time limit is 20s"),
        (PHASES.replace("kind: phases", "kind: phases, quiet_start: 1s"), &usual, "begin with {for: 10s, quiet: true}"),
        (PHASES.replace("for: 5s", "for: 500ms"), &usual, "phases: stretch 3 (faults 3): `for: 500ms` is too short"),
        (PHASES.replace("quiet: true", "name: calm"), &usual, "stretch 1 (calm): it needs `faults`"),
        (PHASES.replace("[kill]", "[{pause: {targets: [[n9]]}}]"), &usual, "names the node `n9`"),
        (of("kind: systematic, depth: 4"), &usual, "`depth: 4` makes no sense; sequences have 1 to 3 faults"),
        (of("kind: systematic, depth: 0"), &none, "`depth: 0` makes no sense"),
        (of("kind: systematic, index: 13"), &usual, "there are sequences 1 to 12 (3 roles, up to 2 faults)"),
        (of("kind: systematic, index: 0"), &usual, "there are sequences 1 to 12"),
        (of("kind: systematic, index: 12"), &short, "sequence 12 (pause one, then pause one) takes 26s and more"),
        (of("kind: systematic, quiet_start: 19s"), &short, "too short for any sequence"),
        ("schedule: {kind: systematic}".to_owned(), &usual, "`kind: systematic` needs `faults`"),
        ("schedule: {kind: script}".to_owned(), &usual, "`kind: script` needs `script`"),
    ];
    for (lines, overrides, expected) in cases {
        let error = planned(lines, overrides).expect_err(lines);
        assert!(error.contains(expected), "{lines}: {error}");
    }
}

#[test]
fn phases_last_as_long_as_they_are_or_repeat() {
    let plan = plan_of(PHASES);
    assert_eq!((plan.time_limit_ms, plan.phases.len(), plan.quiet_start_ms), (35_000, 3, 0));
    assert_eq!(plan.fault_classes(), ["kill", "pause"]);
    assert_eq!(plan.phases[2].faults[0].targets().len(), 5, "open targets are resolved");
    let longer = plan_of(&format!("{PHASES}\ntime_limit: 80s"));
    assert_eq!(longer.time_limit_ms, 80_000);
    let told = crate::request::describe(&longer);
    assert!(told.contains("10.0 s to   30.0 s  faults 2") && told.contains("70.0 s to   80.0 s  quiet 1"), "{told}");
    let none = Overrides { faults: Some(Vec::new()), ..Overrides::default() };
    let without = planned(PHASES, &none).expect("a plan without faults");
    assert!(without.faults.is_empty() && without.phases.is_empty());
}

#[test]
fn a_sequence_has_its_time_and_only_its_classes_are_asked_for() {
    let of = |schedule: &str| plan_of(&format!("{SYSTEMATIC}schedule: {{kind: systematic, {schedule}}}"));
    let one = of("index: 9");
    let systematic = one.systematic.as_ref().expect("sequences");
    assert_eq!((systematic.sequences_count, systematic.sequences.len()), (12, 1));
    assert_eq!(systematic.sequences[0].label(), "kill primaries, then pause one");
    assert_eq!(one.fault_classes(), ["kill", "pause"]);
    // Quiet 5 s, on 8 s, between 5 s, on 8 s, and ten seconds for each.
    assert_eq!(one.time_limit_ms, 46_000);
    assert_eq!(of("index: 3").fault_classes(), ["pause"], "what the sequence has not is not missed");
    let longer = plan_of(&format!("{SYSTEMATIC}time_limit: 2m\nschedule: {{kind: systematic, index: 9}}"));
    assert_eq!(longer.time_limit_ms, 120_000);
    // Of 60 s: quiet 5 s, and 17 s for each fault.
    let some = of("depth: 3");
    let systematic = some.systematic.as_ref().expect("sequences");
    let numbers: Vec<u64> = systematic.sequences.iter().map(|sequence| sequence.number).collect();
    assert_eq!((systematic.sequences_count, numbers), (39, vec![1, 2, 3]));
    let told = crate::request::describe(&some);
    assert!(told.contains("39: every order of up to 3 faults, of 3"), "{told}");
    assert!(told.contains(" *         2  kill primaries\n"), "{told}");
    assert!(told.contains("          39  pause one, then pause one, then pause one\n"), "{told}");
    let json = some.to_json().expect("JSON");
    let back: Plan = serde_json::from_str(&json).expect("a plan");
    assert_eq!(back.systematic, some.systematic);
}

#[test]
fn all_faults_may_be_letters() {
    let all: Vec<FaultSpec> = ["kill", "dns", "freeze"].iter().filter_map(|name| FaultSpec::named(name)).collect();
    let overrides = Overrides { faults: Some(all), faults_all: true, ..Overrides::default() };
    let plan = planned(&format!("{SYSTEMATIC}schedule: {{kind: systematic, depth: 1}}"), &overrides).expect("a plan");
    assert_eq!(plan.schedule_kind, ScheduleKind::Systematic);
    assert!(plan.systematic.expect("sequences").sequences_count > 9);
    let cycle = planned(SYSTEMATIC, &overrides).expect("a plan");
    assert_eq!(cycle.schedule_kind, ScheduleKind::Cycle);
}
