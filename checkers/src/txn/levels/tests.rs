//! The lattice: names, arrows, what is forbidden.

use super::*;
use crate::anomaly::AnomalyKind::{self, *};

/// Elle's 36, as they are written there.
const CANONICAL: [&str; 36] = [
    "PL-1",
    "PL-2",
    "PL-CS",
    "PL-2L",
    "PL-MSR",
    "PL-2+",
    "PL-FCV",
    "PL-3U",
    "PL-2.99",
    "monotonic-atomic-view",
    "read-atomic",
    "causal-cerone",
    "prefix",
    "update-atomic",
    "parallel-snapshot-isolation",
    "PL-SI",
    "PL-3",
    "strong-session-PL-1",
    "strong-session-PL-2",
    "strong-PL-1",
    "strong-PL-2",
    "strong-session-snapshot-isolation",
    "strong-snapshot-isolation",
    "strong-session-serializable",
    "PL-SS",
    "view-serializable",
    "1SR",
    "session-serializable",
    "linearizable",
    "sequential",
    "causal",
    "writes-follow-reads",
    "PRAM",
    "monotonic-reads",
    "monotonic-writes",
    "read-your-writes",
];

/// Elle's aliases.
const ALIASES: [(&str, &str); 17] = [
    ("read-uncommitted", "PL-1"),
    ("read-committed", "PL-2"),
    ("cursor-stability", "PL-CS"),
    ("monotonic-view", "PL-2L"),
    ("monotonic-snapshot-read", "PL-MSR"),
    ("consistent-view", "PL-2+"),
    ("forward-consistent-view", "PL-FCV"),
    ("update-serializable", "PL-3U"),
    ("repeatable-read", "PL-2.99"),
    ("snapshot-isolation", "PL-SI"),
    ("serializable", "PL-3"),
    ("conflict-serializable", "PL-3"),
    ("strong-session-read-uncommitted", "strong-session-PL-1"),
    ("strong-session-read-committed", "strong-session-PL-2"),
    ("strong-read-uncommitted", "strong-PL-1"),
    ("strong-read-committed", "strong-PL-2"),
    ("strict-serializable", "PL-SS"),
];

fn of_transactions() -> impl Iterator<Item = AnomalyKind> {
    AnomalyKind::ALL.iter().copied().filter(|kind| *kind > ReplicasDisagree)
}

#[test]
fn names_mean_one_model_each() {
    for name in CANONICAL {
        assert_eq!(Level::parse(name).map(Level::as_str), Some(name));
        assert_eq!(Level::parse(&name.to_uppercase()).map(Level::as_str), Some(name));
    }
    for (alias, name) in ALIASES {
        assert_eq!(Level::parse(alias).map(Level::as_str), Some(name), "{alias}");
    }
    let mut names: Vec<String> = Level::names().map(str::to_ascii_lowercase).collect();
    names.sort();
    names.windows(2).for_each(|pair| assert_ne!(pair[0], pair[1]));
    for (place, entry) in LEVELS.iter().enumerate() {
        assert_eq!(entry.level as usize, place);
        assert_eq!(Level::parse(entry.level.usual_name()), Some(entry.level));
    }
    assert_eq!(Level::parse(" snapshot_isolation"), Some(Level::SnapshotIsolation));
    assert_eq!(Level::parse("PL-4"), None);
    assert_eq!(Level::SnapshotIsolation.to_string(), "snapshot-isolation");
}

#[test]
fn arrows_go_one_way_and_what_is_stronger_forbids_more() {
    for &level in Level::ALL {
        assert!(level.implies(level));
        for &other in Level::ALL {
            if level != other && level.implies(other) {
                assert!(!other.implies(level), "{level} and {other} imply each other");
                assert!(other.forbids().is_subset(level.forbids()), "{level} allows what {other} forbids");
                assert!(other.weaker().iter().all(|weaker| level.implies(weaker)));
            }
        }
    }
}

#[test]
fn no_model_forbids_nothing_and_strict_serializability_forbids_all() {
    for &level in Level::ALL {
        assert!(!level.forbids_most_plainly().is_empty(), "{level} forbids nothing");
        assert!(level.entry().adds.iter().all(|kind| level.forbids().contains(*kind)));
        assert!(!level.entry().about.is_empty() && !level.entry().source.is_empty());
    }
    let strict = Level::StrictSerializable.forbids();
    for kind in of_transactions() {
        assert!(strict.contains(kind), "{kind:?} belongs to no model");
    }
    assert_eq!(strict.len(), of_transactions().count(), "anomalies of other checkers belong to no model");
}

/// Which models a kind rules out first: what Elle says of its own kinds, and what follows for the others.
#[test]
fn the_weakest_models_that_each_kind_rules_out() {
    use Level as L;
    let table: &[(AnomalyKind, &[Level])] = &[
        (G0, &[L::ReadUncommitted]),
        (GarbageRead, &[L::ReadCommitted, L::Pram]),
        (G1a, &[L::ReadCommitted]),
        (DirtyUpdate, &[L::ReadCommitted]),
        (G1c, &[L::ReadCommitted]),
        (Internal, &[L::ReadAtomic]),
        (NonMonotonicView, &[L::MonotonicAtomicView]),
        (NonMonotonicViewProcess, &[L::AxiomaticReadCommitted]),
        (FracturedRead, &[L::ReadAtomic]),
        (StaleCausalRead, &[L::CausalCerone]),
        (StaleCausalReadProcess, &[L::AxiomaticCausal]),
        (LostUpdate, &[L::CursorStability]),
        (GCursor, &[L::CursorStability]),
        (NotUpdateAtomic, &[L::UpdateAtomic]),
        (GMonotonic, &[L::MonotonicView, L::ParallelSnapshotIsolation]),
        (GMsr, &[L::MonotonicSnapshotRead, L::Prefix]),
        (GSingleItem, &[L::ParallelSnapshotIsolation]),
        (GSingle, &[L::ConsistentView]),
        (LongFork, &[L::Prefix]),
        (NotPrefixProcess, &[L::AxiomaticPrefix]),
        (GNonadjacentItem, &[L::RepeatableRead, L::SnapshotIsolation]),
        (GNonadjacent, &[L::SnapshotIsolation]),
        (G2Item, &[L::RepeatableRead]),
        (WriteSkew, &[L::UpdateSerializable, L::RepeatableRead]),
        (G2, &[L::Serializable]),
        (PredicateReadMiss, &[L::Serializable]),
        (G0Process, &[L::StrongSessionReadUncommitted]),
        (G1cProcess, &[L::StrongSessionReadCommitted]),
        (GSingleProcess, &[L::StrongSessionSnapshotIsolation]),
        (GNonadjacentItemProcess, &[L::SessionSerializable, L::StrongSessionSnapshotIsolation]),
        (G2ItemProcess, &[L::SessionSerializable]),
        (G2Process, &[L::StrongSessionSerializable]),
        (G0Realtime, &[L::StrongReadUncommitted]),
        (G1cRealtime, &[L::StrongReadCommitted]),
        (GSingleItemRealtime, &[L::StrongSnapshotIsolation]),
        (G2Realtime, &[L::StrictSerializable]),
        (NotReadYourWrites, &[L::ReadYourWrites]),
        (NotMonotonicReads, &[L::MonotonicReads]),
        (NotMonotonicWrites, &[L::MonotonicWrites]),
        (NotWritesFollowReads, &[L::WritesFollowReads]),
        (NotPram, &[L::Pram]),
        (NotCausal, &[L::Causal]),
        (NotPipelinedRam, &[L::PipelinedRam]),
        (NotCausalMemory, &[L::CausalMemory]),
        (NotSequential, &[L::Sequential]),
        (NotLinearizable, &[L::Linearizable]),
        (NotUpdateSerializable, &[L::UpdateSerializable, L::RepeatableRead]),
        (NotSnapshotIsolation, &[L::SnapshotIsolation, L::RepeatableRead]),
        (NotSerializable, &[L::RepeatableRead]),
        (NotSerializableProcess, &[L::SessionSerializable]),
        (NotSerializableRealtime, &[L::StrictSerializable]),
    ];
    for (kind, wanted) in table {
        let mut found = weakest(ruled_out_by(*kind));
        let mut wanted = wanted.to_vec();
        found.sort();
        wanted.sort();
        let names = |levels: &[Level]| levels.iter().map(|level| level.usual_name()).collect::<Vec<_>>();
        assert_eq!(names(&found), names(&wanted), "{kind:?}");
    }
}

#[test]
fn kinds_imply_each_other_one_way() {
    for kind in of_transactions() {
        let implied = KindSet::of(&[kind]).with_what_it_implies();
        for other in implied.iter().filter(|other| *other != kind) {
            assert!(!KindSet::of(&[other]).with_what_it_implies().contains(kind), "{kind:?} and {other:?}");
            assert!(KindSet::of(&[other]).with_what_implies_it().contains(kind));
            let all = |kind| ruled_out_by(kind).iter().collect::<Vec<_>>();
            let (more, less) = (all(kind), all(other));
            assert!(less.iter().all(|level| more.contains(level)), "{other:?} rules out more than {kind:?}");
        }
    }
}

#[test]
fn the_line_runs_between_what_is_kept_and_what_is_ruled_out() {
    let all: LevelSet = Level::ALL.iter().copied().collect();
    let nothing = boundary(KindSet::default(), all);
    assert_eq!(nothing.strongest_possible, [Level::StrictSerializable]);
    assert!(nothing.weakest_ruled_out.is_empty() && nothing.undecided.is_empty());

    let skew = boundary(KindSet::of(&[WriteSkew, G2Item]), all);
    let because = |level| skew.weakest_ruled_out.iter().find(|(other, _)| *other == level).map(|(_, kinds)| *kinds);
    assert_eq!(because(Level::RepeatableRead), Some(KindSet::of(&[WriteSkew, G2Item])));
    assert_eq!(because(Level::UpdateSerializable), Some(KindSet::of(&[WriteSkew])));
    assert!(skew.strongest_possible.contains(&Level::StrongSnapshotIsolation));
    assert!(skew.ruled_out.contains(Level::StrictSerializable) && !skew.ruled_out.contains(Level::SnapshotIsolation));

    // What nobody decided is not possible, unless something stronger is.
    let some = boundary(KindSet::default(), LevelSet::of(&[Level::ReadAtomic]));
    assert_eq!(some.strongest_possible, [Level::ReadAtomic]);
    assert!(some.possible.contains(Level::ReadCommitted) && some.undecided.contains(Level::Prefix));
    assert_eq!(boundary(KindSet::default(), LevelSet::default()).strongest_possible, []);

    // Whatever was found: nothing is possible and ruled out.
    for kind in of_transactions() {
        let line = boundary(KindSet::of(&[kind]), all);
        assert!(!line.possible.iter().any(|level| line.ruled_out.contains(level)), "{kind:?}");
        assert!(line.undecided.is_empty(), "{kind:?}");
        assert!(!line.weakest_ruled_out.is_empty(), "{kind:?}");
    }
}

#[test]
fn real_time_is_needed_where_it_is_promised() {
    for (level, needs) in [
        (Level::StrictSerializable, true),
        (Level::StrongSnapshotIsolation, true),
        (Level::StrongReadCommitted, true),
        (Level::Linearizable, true),
        (Level::StrongSessionSerializable, false),
        (Level::Sequential, false),
    ] {
        assert_eq!(level.needs_realtime(), needs, "{level}");
    }
}

#[test]
fn every_model_forbids_what_an_example_shows() {
    for example in EXAMPLES {
        assert!(example.level.forbids().contains(example.kind), "{:?} at {}", example.kind, example.level);
        let history = schism_history::notation::parse(&example.history());
        assert!(history.is_ok_and(|history| history.txn(0).is_some()), "{:?}", example.kind);
        assert_eq!(EXAMPLES.iter().filter(|other| other.kind == example.kind).count(), 1, "{:?}", example.kind);
    }
    for &level in Level::ALL {
        assert!(EXAMPLES.iter().any(|example| level.forbids().contains(example.kind)), "{level}");
    }
}
