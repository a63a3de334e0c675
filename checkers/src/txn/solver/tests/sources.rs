//! Orders of versions that somebody stated decide what blind writes leave open, and the verdict says so.

use schism_history::{RunFacts, notation};

use crate::txn::checker::{Data, TxnChecker};
use crate::txn::levels::Level;
use crate::txn::rw_register::VersionSources;
use crate::verdict::{Finding, Outcome};
use crate::{Budget, Checker};

/// Keys 1 and 2 have two blind writers each, who are seen by keys of their own (11 to 14). If 1 is written in the order of its
/// process, each order of 2's writers is contradicted by two readers; if not, nothing is wrong.
const TIED: &str = r#"
    0:[["w",1,1],["w",11,1]] 0:[["w",1,2],["w",12,1]] 1:[["w",2,1],["w",13,1]] 2:[["w",2,2],["w",14,1]]
    3:[["r",1,1],["r",14,1]] 4:[["r",2,1],["r",12,1]] 5:[["r",1,1],["r",13,1]] 6:[["r",2,2],["r",12,1]]"#;

fn checked(line: &str, level: Level, sources: &VersionSources) -> Finding {
    let text = line.split_whitespace().collect::<Vec<_>>().join(" ").replace(":[", ":txn=[");
    let history = notation::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let checker = TxnChecker { data: Data::RwRegister, level, sources: sources.clone() };
    checker.check(&history, &RunFacts::default(), &Budget::default())
}

#[test]
fn a_stated_order_of_some_versions_decides() {
    let nothing = VersionSources::default();
    let stated = VersionSources { sequential_keys: true, ..VersionSources::default() };
    // Writes that follow reads say nothing here: nobody reads what it writes.
    let silent = VersionSources { writes_follow_reads: true, ..VersionSources::default() };
    for (level, kind) in [
        (Level::Serializable, "not-serializable"),
        (Level::SnapshotIsolation, "not-snapshot-isolation"),
        (Level::Prefix, "not-prefix"),
    ] {
        let finding = checked(TIED, level, &nothing);
        assert_eq!(finding.outcome(), Outcome::Valid, "{level}: {finding:#?}");
        assert!(!finding.stats.contains_key("assumed_version_order"));
        let finding = checked(TIED, level, &silent);
        assert_eq!(finding.outcome(), Outcome::Valid, "{level}: {finding:#?}");
        let finding = checked(TIED, level, &stated);
        assert_eq!(finding.outcome(), Outcome::Invalid, "{level}: {finding:#?}");
        assert_eq!(finding.anomalies[0].kind, kind);
        assert_eq!(finding.stats["assumed_version_order"], serde_json::json!(["sequential-keys"]));
    }
    // Readers need not agree there.
    let finding = checked(TIED, Level::ParallelSnapshotIsolation, &stated);
    assert_eq!(finding.outcome(), Outcome::Valid, "{finding:#?}");
}
