//! Suites' texts and what becomes of them; needs.

use super::*;
use schism_history::Node;

#[test]
fn texts_become_specs() {
    let spans = |text: &str| Some(text.parse::<DurationText>().unwrap());
    let cases: &[(&str, FaultSpec)] = &[
        (r#""partition""#, FaultSpec::Partition(PartitionSpec::default())),
        (r#"{"kill": null}"#, FaultSpec::Kill(TargetSpec::default())),
        (r#"{"pause": {}}"#, FaultSpec::Pause(TargetSpec::default())),
        (
            r#"{"partition": {"shapes": ["bridge", "majorities-ring"], "direction": "in", "interval": "20s"}}"#,
            FaultSpec::Partition(PartitionSpec {
                shapes: vec![Shape::Bridge, Shape::MajoritiesRing],
                direction: DirectionSpec::In,
                interval: spans("20s"),
                duration: None,
            }),
        ),
        (
            r#"{"kill": {"targets": ["one", ["n1", "n3"]], "duration": "1m30s"}}"#,
            FaultSpec::Kill(TargetSpec {
                targets: vec![Target::One, Target::Nodes(vec![Node::new("n1"), Node::new("n3")])],
                interval: None,
                duration: spans("90s"),
            }),
        ),
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
        (r#""partitions""#, "unknown variant `partitions`, expected one of `partition`, `kill`, `pause`"),
        (r#"{"kil": {}}"#, "unknown variant `kil`"),
        (r#"{"kill": {"target": "one"}}"#, "unknown field `target`, expected one of `targets`"),
        (r#"{"kill": {}, "pause": {}}"#, "`pause` stands beside `kill`"),
        (r#"{"kill": {"interval": 10}}"#, "expected a span of time with its unit"),
        (r#"{"kill": {"interval": "10"}}"#, "the unit after 10 is missing"),
        (r#"{"partition": {"shapes": ["half"]}}"#, "unknown variant `half`, expected one of `halves`"),
        (r#"{"partition": {"direction": "up"}}"#, "unknown variant `up`, expected one of `both`"),
        ("{}", "a fault is expected, one of partition, kill, pause"),
        ("7", "expected a fault: one of partition, kill, pause"),
    ];
    for (text, expected) in cases {
        let error = serde_json::from_str::<FaultSpec>(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn the_table_names_every_fault_once_and_with_its_class() {
    for (entry, name) in FAULTS.iter().zip(FAULT_NAMES) {
        assert_eq!(entry.name, *name);
        assert_eq!((entry.default)().class(), entry.name);
        assert!(!entry.about.is_empty() && entry.options.contains("interval"));
    }
    for shape in SHAPES {
        assert!(FAULTS[0].options.contains(shape.name()), "{shape:?}");
        assert_eq!(serde_json::to_value(shape).unwrap(), shape.name());
    }
    assert_eq!(FAULTS.len(), FAULT_NAMES.len());
}

#[test]
fn empty_lists_become_what_cluster_and_database_allow() {
    let shapes = |nodes, primaries| match FaultSpec::named("partition").unwrap().resolved(nodes, primaries) {
        FaultSpec::Partition(spec) => spec.shapes.len(),
        _ => 0,
    };
    assert_eq!([shapes(5, true), shapes(5, false), shapes(2, true), shapes(1, true)], [7, 6, 4, 0]);
    let targets = |nodes, primaries| match FaultSpec::named("kill").unwrap().resolved(nodes, primaries) {
        FaultSpec::Kill(spec) => spec.targets.len(),
        _ => 0,
    };
    assert_eq!([targets(5, true), targets(5, false), targets(2, false), targets(1, false)], [5, 4, 3, 3]);
    let given = FaultSpec::Kill(TargetSpec { targets: vec![Target::Primaries], ..TargetSpec::default() });
    assert_eq!(given.resolved(5, false), given);
}

#[test]
fn needs_follow_the_lists() {
    let at_least = |at_least, of: &str| Need::Nodes { at_least, of: of.to_owned() };
    let spec = FaultSpec::Partition(PartitionSpec { shapes: vec![Shape::Leader], ..PartitionSpec::default() });
    let expected =
        [Need::PacketFilter, Need::Probe, Need::Primaries, at_least(2, "a partition"), at_least(2, "shape `leader`")];
    assert_eq!(spec.needs(), expected);
    let targets = vec![Target::Minority, Target::Nodes(vec![Node::new("n7")])];
    let spec = FaultSpec::Pause(TargetSpec { targets, ..TargetSpec::default() });
    let expected = [
        Need::Pause,
        at_least(1, "target `n7`"),
        at_least(3, "target `minority`"),
        Need::Node { name: "n7".to_owned() },
    ];
    assert_eq!(spec.needs(), expected);
}

#[tokio::test]
async fn the_ground_is_asked_whether_it_can_shape_links() {
    let (cluster, _) = schism_cluster::script::scripted_cluster(&["n1"]);
    let (reason, _) = links(&cluster).await.unwrap_err();
    assert!(reason.contains("cannot shape single links"), "{reason}");
}
