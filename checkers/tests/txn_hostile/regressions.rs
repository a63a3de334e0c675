//! Histories that once were judged wrongly, or not at all.

use schism_checkers::txn::checker::{Data, TxnChecker};
use schism_checkers::txn::levels::Level;
use schism_checkers::txn::rw_register::VersionSources;
use schism_checkers::{Budget, Checker, Outcome};
use schism_history::{RunFacts, jsonl};

/// Transactions one after the other: what each does, and the versions that the client reports.
fn reported(calls: &[(&str, &str)]) -> Outcome {
    let line = |kind: &str, value: &str, reports: &str| {
        format!("{{\"process\":0,\"type\":\"{kind}\",\"f\":\"txn\",\"value\":[{value}],\"rev\":[{reports}]}}\n")
    };
    let text: String =
        calls.iter().map(|(value, reports)| line("invoke", value, "") + &line("ok", value, reports)).collect();
    let (history, _) = jsonl::read(text.as_bytes()).expect("a history");
    let sources = VersionSources { explicit: Some("rev".to_owned()), ..VersionSources::default() };
    let checker = TxnChecker { data: Data::RwRegister, level: Level::StrictSerializable, sources };
    checker.check(&history, &RunFacts::default(), &Budget::default()).outcome()
}

/// Clients report a version of what is not there yet as well: etcd's revision 0. It panicked, as nobody wrote that version.
#[test]
fn versions_of_nothing_may_be_reported() {
    let read_nothing = (r#"["r","x",null]"#, r#"["x",null,0]"#);
    let writes = [(r#"["w","x",1]"#, r#"["x",1,1]"#), (r#"["w","x",2]"#, r#"["x",2,2]"#)];
    let read_last = (r#"["r","x",2]"#, r#"["x",2,2]"#);
    assert_eq!(reported(&[read_nothing, writes[0], writes[1], read_last]), Outcome::Valid);
    // The other way round.
    assert_eq!(reported(&[read_nothing, writes[1], writes[0], read_last]), Outcome::Invalid);
    // Nothing comes first, whatever is reported.
    let late = (r#"["r","x",null]"#, r#"["x",null,9]"#);
    assert_eq!(reported(&[late, writes[0], writes[1]]), Outcome::Invalid);
}
