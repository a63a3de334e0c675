//! Suites' texts and what becomes of them; needs; the table.

use super::*;
use crate::class::FAULTS;
use serde_json::json;

fn named(name: &str) -> FaultSpec {
    FaultSpec::named(name).unwrap()
}

#[test]
fn texts_become_specs() {
    let cases: &[(&str, FaultSpec)] = &[
        (r#""partition""#, named("partition")),
        (r#"{"kill": null}"#, named("kill")),
        (r#"{"pause": {}}"#, named("pause")),
        (
            r#"{"partition": {"shapes": ["bridge", "majorities-ring"], "direction": "in", "interval": "20s"}}"#,
            FaultSpec {
                interval: Some(DurationText::from_secs(20)),
                ..named("partition")
                    .with("shapes", &[json!("bridge"), json!("majorities-ring")])
                    .unwrap()
                    .with("direction", &[json!("in")])
                    .unwrap()
            },
        ),
        (
            r#"{"kill": {"targets": ["one", ["n1", "n3"]], "duration": "1m30s"}}"#,
            FaultSpec {
                duration: Some(DurationText::from_secs(90)),
                ..named("kill").with("targets", &[json!("one"), json!(["n1", "n3"])]).unwrap()
            },
        ),
        (r#"{"kill": {"targets": "role:learner"}}"#, named("kill").with("targets", &[json!("role:learner")]).unwrap()),
    ];
    for (text, expected) in cases {
        let spec: FaultSpec = serde_json::from_str(text).unwrap();
        assert_eq!(spec, *expected);
        let again = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<FaultSpec>(&again).unwrap(), spec, "{again}");
    }
}

#[test]
fn wrong_texts_say_what_is_wrong() {
    let cases: &[(&str, &str)] = &[
        (r#""partitions""#, "unknown variant `partitions`, expected one of `partition`, "),
        (r#"{"kil": {}}"#, "unknown variant `kil`"),
        (r#"{"kill": {"target": "one"}}"#, "unknown field `target`, expected one of `targets`"),
        (r#"{"kill": {}, "pause": {}}"#, "`pause` stands beside `kill`"),
        (r#"{"kill": {"interval": 10}}"#, "expected a span of time with its unit"),
        (r#"{"kill": {"interval": "10"}}"#, "the unit after 10 is missing"),
        (r#"{"kill": 7}"#, "expected options of `kill`"),
        (r#"{"partition": {"shapes": ["half"]}}"#, "unknown variant `half`, expected one of `halves`"),
        (r#"{"partition": {"direction": "up"}}"#, "unknown variant `up`, expected one of `both`"),
        ("{}", "a fault is expected, one of partition, "),
        ("7", "expected a fault: one of partition, "),
    ];
    for (text, expected) in cases {
        let error = serde_json::from_str::<FaultSpec>(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn the_table_is_whole_and_every_default_can_be_read() {
    let mut seen = std::collections::BTreeSet::new();
    for entry in FAULTS {
        assert!(seen.insert(entry.name), "{} stands twice", entry.name);
        for text in [entry.about, entry.works, entry.verified, entry.undone] {
            assert!(!text.is_empty(), "{}", entry.name);
        }
        for option in entry.options {
            let texts: Vec<Json> = option.default.iter().map(|text| json!(text)).collect();
            let values = option.parse_all(&texts).unwrap_or_else(|error| panic!("{}: {error}", entry.name));
            assert!(values.len() >= texts.len());
            let units = [
                ("ms", matches!(option.kind, OptionKind::Span(..) | OptionKind::SignedSpan(_))),
                ("ppm", option.kind == OptionKind::Share),
                ("bits_per_s", option.kind == OptionKind::Rate),
            ];
            for (unit, expected) in units {
                assert!(!expected || option.key.ends_with(unit), "{}: {} has no unit", entry.name, option.key);
            }
            assert!(!["interval", "duration"].contains(&option.name) && !["draw", "duration_ms"].contains(&option.key));
            assert!(!option.about.is_empty());
        }
        // What is drawn from the defaults can be decided, or says why not.
        let spec = FaultSpec::of(entry).resolved(5, true);
        let values = spec.draw(&mut schism_history::Seed(1).stream("x")).unwrap();
        let intention = crate::Intention::new(entry, values, 7, 1000);
        let nodes: Vec<_> = (1..=5).map(|number| schism_history::Node::new(&format!("n{number}"))).collect();
        let view = crate::View { primaries: vec![nodes[3].clone()], nodes, ..crate::View::default() };
        let fault = intention.decide(&view, &crate::RunTag::new("t"), 1).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(fault.class(), entry.name);
        assert!(!fault.nodes().is_empty() && !fault.label().is_empty());
    }
}

#[test]
fn empty_lists_become_what_cluster_and_database_allow() {
    let shapes = |nodes, primaries| named("partition").resolved(nodes, primaries).shapes().len();
    let all = SHAPES.len();
    assert_eq!([shapes(5, true), shapes(5, false), shapes(1, true)], [all, all - 2, 0]);
    let targets = |nodes, primaries| named("kill").resolved(nodes, primaries).targets().len();
    assert_eq!([targets(5, true), targets(5, false), targets(2, false), targets(1, false)], [5, 4, 3, 3]);
    let given = named("kill").with("targets", &[json!("primaries")]).unwrap();
    assert_eq!(given.resolved(5, false), given);
}

#[test]
fn needs_follow_the_lists() {
    let at_least = |at_least, of: &str| Need::Nodes { at_least, of: of.to_owned() };
    let spec = named("partition").with("shapes", &[json!("leader")]).unwrap();
    let expected = [
        Need::PacketFilter,
        Need::Probe,
        Need::Primaries,
        at_least(1, "target `one`"),
        at_least(2, "a partition"),
        at_least(2, "shape `leader`"),
    ];
    assert_eq!(spec.needs(), expected);
    let spec = named("pause").with("targets", &[json!("minority"), json!(["n7"]), json!("role:x")]).unwrap();
    let expected = [
        Need::Pause,
        Need::Role { name: "x".to_owned() },
        at_least(1, "target `n7`"),
        at_least(1, "target `role:x`"),
        at_least(3, "target `minority`"),
        Need::Node { name: "n7".to_owned() },
    ];
    assert_eq!(spec.needs(), expected);
}
