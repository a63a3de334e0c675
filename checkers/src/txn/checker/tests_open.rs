//! What no engine that ran knows is not said to be kept.

use schism_history::{History, RunFacts, notation, sessions};

use super::*;
use crate::table::{Options, build_with};
use crate::verdict::Outcome;

fn lines(line: &str) -> History {
    notation::parse(&line.replace(":[", ":txn=[")).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn plume(text: &str) -> History {
    sessions::read(sessions::Format::Plume, text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn judged(data: Data, sources: Option<&str>, level: Level, history: &History, budget: &Budget) -> Finding {
    let options = Options { model: None, consistency: Some(level.usual_name()), version_order: sources };
    let checker = build_with(data.as_str(), &options).expect("a checker");
    checker.check(history, &RunFacts::default(), budget)
}

fn possible(finding: &Finding) -> Vec<&str> {
    finding.stats["strongest_possible"].as_array().expect("names").iter().filter_map(|name| name.as_str()).collect()
}

/// Data, sources of the order of versions, model, history that breaks it. The comment says what hides it.
#[test]
fn what_is_broken_is_never_kept() {
    use Data::{ListAppend as L, RwRegister as R};
    let cases = [
        // The order of the versions of x is known but for one of them.
        (
            R,
            Some("linearizable-keys"),
            Level::ReadAtomic,
            r#"4:[["w","x",3]]( 0:[["w","x",1]] 1:[["w","x",2],["w","y",2]]( 2:[["r","x",1],["r","y",2]]( 1) 2) 4)"#,
        ),
        (
            R,
            Some("linearizable-keys"),
            Level::MonotonicAtomicView,
            r#"4:[["w","x",3]]( 0:[["w","x",1]] 1:[["w","x",2],["w","y",2]]( 2:[["r","y",2],["r","x",1]]( 1) 2) 4)"#,
        ),
        // A read behind an own write: of what another wrote for a while, of what follows from the reader, and of a part of what one wrote.
        (R, None, Level::ReadCommitted, r#"0:[["w","x",9],["r","x",1]]( 1:[["w","x",1],["w","x",2]] 0)"#),
        (
            R,
            None,
            Level::ReadCommitted,
            r#"0:[["w","x",1],["r","x",2],["w","y",1]]( 1:[["r","y",1],["w","x",2]]( 0) 1)"#,
        ),
        (
            R,
            None,
            Level::MonotonicAtomicView,
            r#"0:[["w","x",9],["r","x",1],["r","y",null]]( 1:[["w","x",1],["w","y",1]] 0)"#,
        ),
        // An own write that was read, and one that was written over.
        (
            R,
            None,
            Level::MonotonicReads,
            r#"1:[["w","x",2]] 0:[["r","x",2]] 0:[["w","x",1],["r","x",1]] 0:[["r","x",2]]"#,
        ),
        (R, None, Level::Pram, r#"1:[["w","x",2]] 0:[["r","x",2]] 0:[["w","x",1],["r","x",1]] 0:[["r","x",2]]"#),
        (R, None, Level::Causal, r#"0:[["w","x",1],["w","y",1],["w","x",2]] 1:[["r","y",1]] 1:[["r","x",null]]"#),
        // What was written for a while, what failed, and what came later.
        (R, None, Level::Pram, r#"0:[["w","x",1],["w","x",2]] 1:[["r","x",2]] 1:[["r","x",1]]"#),
        (R, None, Level::Causal, r#"0:[["w","x",1]]! 1:[["r","x",1]]"#),
        (R, None, Level::WritesFollowReads, r#"0:[["r","x",1],["w","x",1]]"#),
        // Lists that end in what failed, that contradict each other, and that end in the middle of a transaction.
        (
            L,
            None,
            Level::MonotonicReads,
            r#"0:[["append","x",5]] 2:[["append","x",6]]! 1:[["r","x",[5,6]]] 1:[["r","x",[]]]"#,
        ),
        (L, None, Level::ReadYourWrites, r#"0:[["append","x",5]] 1:[["append","x",6]]! 0:[["r","x",[6]]]"#),
        (
            L,
            None,
            Level::MonotonicReads,
            r#"0:[["append","x",1]] 0:[["append","x",2]] 2:[["append","x",3]] 9:[["r","x",[1,2]]] 9:[["r","x",[1,3]]]"#,
        ),
        (
            L,
            None,
            Level::MonotonicReads,
            r#"0:[["append","x",1],["append","x",2],["append","x",3]]( 1:[["r","x",[1,2]]] 1:[["r","x",[]]] 0)"#,
        ),
    ];
    let mut wrong = Vec::new();
    for (data, sources, level, line) in cases {
        let finding = judged(data, sources, level, &lines(line), &Budget::default());
        if finding.outcome() == Outcome::Valid {
            wrong.push(format!("{data:?} {level} {line}: {:?}", finding.beyond));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A reader of the first of many appends, of which the others came before it: a cycle alone shows it, and there is no room for it.
#[test]
fn memory_that_ends_before_cycles_does_not_keep_what_they_break() {
    let unread: String = (2..202).map(|number| format!("{number}:[[\"append\",1,{number}]] ")).collect();
    let readers: String = (202..402).map(|number| format!("{number}:[[\"r\",1,[1]]] ")).collect();
    let history = lines(&format!("{unread} 1:[[\"append\",1,1]] {readers}"));
    let budget = |memory_bytes_max| Budget { memory_bytes_max, ..Budget::default() };
    let mut ended = 0;
    for kilobytes in (20..400).step_by(20) {
        let finding = judged(Data::ListAppend, None, Level::StrictSerializable, &history, &budget(kilobytes * 1000));
        assert_ne!(finding.outcome(), Outcome::Valid, "{kilobytes} kB");
        assert!(finding.gaps.is_empty() || ended_by_memory(&finding), "{kilobytes} kB: {:?}", finding.gaps);
        ended += usize::from(!finding.gaps.is_empty());
    }
    assert!(ended > 5, "{ended}");
    let whole = judged(Data::ListAppend, None, Level::StrictSerializable, &history, &Budget::default());
    assert_eq!(whole.outcome(), Outcome::Invalid);
}

/// What did something that is not said may have written whatever was read, so nothing is judged.
#[test]
fn what_leaves_open_what_was_done_is_not_judged() {
    let read = r#"1:txn=[["r",1,null]]>[["r",1,[1]]]"#;
    for (line, at, why) in [
        (r#"0:txn=[["append",1,null]]?"#, 0, "what it appends is not said"),
        (r#"0:txn=[["append",1,2]]( 0?[["append",1,1]]"#, 1, "micro-operation 0"),
        (r#"0:txn=[]( 0?[["append",1,1]]"#, 1, "did not say what it does"),
        (r#"0:txn=[]? 2:txn=[]>[["append",3,1]]"#, 0, "say nothing of what will be done here"),
        (r#"0:txn=null!"#, 0, "is no transaction"),
        (r#"0:txn=[["append",1,1]]>null"#, 1, "is no transaction"),
        (r#"0:txn=[["append",1.5,1]]>[["append",1.5,1]]"#, 1, "a key is an integer or a text"),
        (r#"0:txn=[["append",1.5,1]]>[["append",1,1]]"#, 1, "its invocation, event 0"),
        (r#"0:txn=7?"#, 0, "is no transaction"),
        (r#"0:txn=7!"#, 0, "is no transaction"),
        (r#"0:txn=[["append",1,1]]>[["append",2,1]]"#, 1, "micro-operation 0"),
        (r#"0:txn=[["append",1,1],["append",2,1]]>[["append",2,1]]"#, 1, "micro-operation 0"),
        (r#"0:txn=[["append",2,1],["append",1,1]]>[["append",2,1]]"#, 1, "micro-operation 1"),
        (r#"0:txn=[["append",1,1]]>[["r",1,null]]"#, 1, "micro-operation 0"),
        (r#"0:txn=[["append",1,1]]>[["append",1,2]]"#, 1, "micro-operation 0"),
    ] {
        let history = notation::parse(&format!("{line} {read}")).unwrap_or_else(|error| panic!("{line}: {error}"));
        for data in [Data::ListAppend, Data::RwRegister] {
            let finding = judged(data, None, Level::StrictSerializable, &history, &Budget::default());
            let [Gap::Unclear { index, reason }] = &finding.gaps[..] else { panic!("{line}: {:?}", finding.gaps) };
            assert!(*index == at && reason.contains(why), "{line}: {index} {reason}");
            assert!(finding.anomalies.is_empty() && finding.beyond.is_empty(), "{line}");
        }
    }
    // A call may leave open what it asks for.
    for line in [
        r#"0:txn=null>[["append",1,1]]"#,
        r#"0:txn=[]>[["append",1,1]]"#,
        r#"0:txn=[["append",1,null]]>[["append",1,1]]"#,
    ] {
        let history = notation::parse(&format!("{line} {read}")).unwrap_or_else(|error| panic!("{line}: {error}"));
        let finding = judged(Data::ListAppend, None, Level::StrictSerializable, &history, &Budget::default());
        assert_eq!(finding.outcome(), Outcome::Valid, "{line}: {:?}", finding.gaps);
    }
}

/// Whether all gaps say that there was too little memory, which is what the report tells its reader to raise then.
fn ended_by_memory(finding: &Finding) -> bool {
    let is_it = |gap: &Gap| match *gap {
        Gap::BudgetSpent { memory_bytes, memory_bytes_max, .. } => memory_bytes > memory_bytes_max,
        _ => false,
    };
    !finding.gaps.is_empty() && finding.gaps.iter().all(is_it)
}

/// Everybody wrote what everybody read.
#[test]
fn candidates_of_reads_have_their_share_of_memory() {
    let writers: String = (0..200).map(|number| format!("{number}:[[\"w\",1,1]] ")).collect();
    let readers: String = (200..400).map(|number| format!("{number}:[[\"r\",1,1]] ")).collect();
    let history = lines(&(writers + &readers));
    let of = |memory_bytes_max| {
        let budget = Budget { memory_bytes_max, ..Budget::default() };
        judged(Data::RwRegister, None, Level::Serializable, &history, &budget)
    };
    assert_eq!(of(Budget::default().memory_bytes_max).outcome(), Outcome::Valid);
    let crowded = of(400_000);
    assert_eq!(crowded.outcome(), Outcome::Unknown);
    assert!(ended_by_memory(&crowded), "{:?}", crowded.gaps);
}

/// Files that know sessions only: the order of their lines says nothing.
#[test]
fn without_times_nothing_rests_on_them() {
    let keys = "w(1,1,0,0)\nw(9,1,1,1)\nw(1,2,1,2)\nr(1,2,2,3)\nw(5,1,2,3)\nr(5,1,3,4)\nr(1,1,3,4)\n";
    let stated =
        judged(Data::RwRegister, Some("linearizable-keys"), Level::Serializable, &plume(keys), &Budget::default());
    assert_eq!((stated.outcome(), stated.anomalies.len() + stated.beyond.len()), (Outcome::Unknown, 0));
    assert!(format!("{:?}", stated.gaps).contains("leave linearizable-keys out"), "{:?}", stated.gaps);
    let judged = |level, text| judged(Data::RwRegister, None, level, &plume(text), &Budget::default());
    assert_eq!(judged(Level::Serializable, keys).outcome(), Outcome::Valid);
    // Values that two wrote; and a read that is stale by the order of lines alone.
    let twice = judged(Level::CausalMemory, "w(1,1,0,0)\nw(1,1,1,1)\nr(1,1,2,2)\n");
    assert!(!possible(&twice).contains(&"strict-serializable"), "{:?}", twice.stats);
    let stale = "w(1,1,0,0)\nw(2,1,0,1)\nw(3,1,1,2)\nr(1,0,1,3)\nw(4,9,2,5)\nw(4,9,3,6)\nr(4,9,4,7)\n";
    for level in [Level::CausalMemory, Level::PipelinedRam, Level::Sequential] {
        assert_eq!(judged(level, stale).outcome(), Outcome::Valid, "{level}");
    }
}

/// Two histories in one, of keys with equal names.
#[test]
fn independent_keys_are_not_thrown_together() {
    let each = |key: u32| format!("{key}@{key}:txn=[[\"append\",5,{key}]] {key}@{key}:txn=[[\"r\",5,[{key}]]] ");
    let parse = |line: String| notation::parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let of = |line| judged(Data::ListAppend, None, Level::Serializable, &parse(line), &Budget::default());
    assert_eq!(of(each(1)).outcome(), Outcome::Valid);
    let both = of(each(1) + &each(2));
    assert!(format!("{:?}", both.gaps).contains("independent keys"), "{:?}", both.gaps);
    assert_ne!(both.outcome(), Outcome::Invalid);
}

/// Of single operations there is an order, but not one that keeps what is stated of the versions.
#[test]
fn what_is_stated_is_not_passed_over_by_single_operations() {
    let event = |process: u32, kind: &str, version: u32| {
        let value = format!("[[\"w\",\"x\",{version}]]");
        let rev = format!(",\"rev\":[[\"x\",{version},{}]]", 9 - version);
        let rev = if kind == "ok" { rev } else { String::new() };
        format!("\"process\":{process},\"type\":\"{kind}\",\"f\":\"txn\",\"value\":{value}{rev}}}\n")
    };
    let events = [(0, "invoke", 1), (0, "ok", 1), (1, "invoke", 2), (1, "ok", 2)];
    let lines = (0..).zip(events).map(|(index, (process, kind, version))| {
        format!("{{\"index\":{index},\"time\":{index},{}", event(process, kind, version))
    });
    let (history, _) = schism_history::jsonl::read(lines.collect::<String>().as_bytes()).expect("a history");
    let of = |sources| judged(Data::RwRegister, sources, Level::Linearizable, &history, &Budget::default());
    assert_eq!(of(None).outcome(), Outcome::Valid);
    let stated = of(Some("explicit:rev"));
    assert_ne!(stated.outcome(), Outcome::Valid, "{:?}", stated.beyond);
    assert!(stated.beyond.iter().any(|anomaly| anomaly.kind == "G0-realtime"), "{:?}", stated.beyond);
}

/// Guarantees of sessions ask what single operations returned, own reads and writes that are written over among them. Causal consistency
/// is broken in each of these histories. Data, model, what is said, history.
#[test]
fn guarantees_of_sessions_know_own_reads_and_what_was_written_over() {
    use Data::{ListAppend as L, RwRegister as R};
    use Level::{Causal, MonotonicReads, MonotonicWrites, Pram, ReadYourWrites, WritesFollowReads};
    use Outcome::{Invalid, Unknown, Valid};
    // The own write came after what was read, and before it. Nothing but the reads of the process says so.
    let regress = r#"1:[["w","x",2]] 0:[["r","x",2]] 0:[["w","x",1],["r","x",1]] 0:[["r","x",2]]"#;
    // What was written before the write that was seen, and written over later.
    let over = r#"0:[["w","x",1],["w","y",1],["w","x",2]] 1:[["r","y",1]] 1:[["r","x",null]]"#;
    let over_at_once = r#"0:[["w","x",1],["w","y",1],["w","x",2]] 1:[["r","y",1],["r","x",null]]"#;
    let over_unseen = r#"0:[["w","y",1],["w","x",1],["w","x",2]] 1:[["r","y",1]] 1:[["r","x",null]]"#;
    // A write that nobody else has seen yet says nothing of a server.
    let own = r#"0:[["w","x",1]] 0:[["w","y",1],["r","y",1],["r","x",null]]"#;
    let list = r#"0:[["append","x",1],["append","x",2],["r","x",[1,2]]] 0:[["r","x",[]]] 1:[["r","x",[1,2]]]"#;
    // One value that two wrote, once for a while: of one explanation it cannot be said that there is no other.
    let twice = r#"0:[["w","x",1],["w","x",3]] 1:[["w","x",1],["r","x",1]] 1:[["r","x",3]] 1:[["r","x",1]]"#;
    let cases = [
        (R, MonotonicReads, Invalid, regress),
        (R, ReadYourWrites, Valid, regress),
        (R, Pram, Invalid, regress),
        (R, MonotonicWrites, Valid, regress),
        (R, WritesFollowReads, Valid, regress),
        (R, Pram, Invalid, over),
        (R, Causal, Invalid, over),
        (R, ReadYourWrites, Valid, over),
        (R, MonotonicReads, Valid, over),
        (R, MonotonicWrites, Valid, over),
        (R, MonotonicWrites, Invalid, over_at_once),
        (R, Causal, Valid, over_unseen),
        (R, ReadYourWrites, Invalid, own),
        (R, MonotonicReads, Valid, own),
        (R, MonotonicWrites, Valid, own),
        (R, WritesFollowReads, Valid, own),
        (L, ReadYourWrites, Invalid, list),
        (L, MonotonicReads, Invalid, list),
        (L, MonotonicWrites, Valid, list),
        (L, WritesFollowReads, Valid, list),
        (R, MonotonicReads, Unknown, twice),
        (R, Pram, Unknown, r#"0:[["w","x",1],["w","x",3]] 1:[["w","x",1]] 1:[["r","x",3]] 1:[["r","x",1]]"#),
        (R, ReadYourWrites, Unknown, r#"0:[["w","x",null],["w","x",1]] 0:[["r","x",null]]"#),
        // What is in doubt may have happened in part, and a part that was seen is not where the whole would be.
        (
            L,
            MonotonicReads,
            Unknown,
            r#"0:[["append","x",1],["append","x",2]]? 1:[["append","x",3]] 2:[["r","x",[1]]] 2:[["r","x",[1,3]]]"#,
        ),
        (
            L,
            MonotonicReads,
            Unknown,
            r#"0:[["append","x",1],["append","x",2],["append","x",3]]? 1:[["append","x",9]] 2:[["r","x",[1,2]]] 2:[["r","x",[1,2,9]]]"#,
        ),
        (
            L,
            MonotonicReads,
            Unknown,
            r#"0:[["append","x",1],["append","x",2]]? 1:[["append","x",8]] 3:[["append","x",9]] 2:[["r","x",[1]]] 2:[["r","x",[1,8]]]"#,
        ),
        // The proof goes through what is in doubt.
        (R, MonotonicWrites, Invalid, r#"0:[["w","x",1]] 0:[["w","y",1]]? 1:[["r","y",1],["r","x",null]]"#),
        (R, Pram, Invalid, r#"0:[["w","x",1]] 0:[["w","y",1]]? 1:[["r","y",1]] 1:[["r","x",null]]"#),
        // An order that only the appends of a transaction that went on have.
        (L, MonotonicWrites, Valid, r#"0:[["append","x",3]] 0:[["append","x",1],["r","x",[1]],["append","x",2]]"#),
        // Appends of two transactions between each other: the engines of sessions leave that to cycles.
        (
            L,
            MonotonicWrites,
            Unknown,
            r#"0:[["append","x",2]] 0:[["append","x",1],["append","x",3]] 1:[["r","x",[1,2,3]]]"#,
        ),
    ];
    let mut wrong = Vec::new();
    for (data, level, expected, line) in cases {
        let history = lines(line);
        let finding = judged(data, None, level, &history, &Budget::default());
        if finding.outcome() != expected {
            let told: Vec<&str> = finding.anomalies.iter().chain(&finding.beyond).map(|told| &told.kind[..]).collect();
            wrong.push(format!("{data:?} {level}, {expected:?}, but {:?}: {line}: {told:?}", finding.outcome()));
        }
        for told in finding.anomalies.iter().chain(&finding.beyond) {
            if let Err(error) = crate::txn::verify::verify(&history, told) {
                wrong.push(format!("{data:?} {level} {line}: {}: {error}", told.kind));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a transaction wrote over itself is not after all versions whose order is stated.
#[test]
fn what_was_written_over_has_no_place_in_a_stated_order() {
    let line = r#"0:[["w","x",5]] 1:[["w","x",1],["w","x",2],["w","z",1]]( 2:[["r","z",1]] 2:[["r","x",5]] 1)"#;
    let of = |level| judged(Data::RwRegister, Some("linearizable-keys"), level, &lines(line), &Budget::default());
    let broken = of(Level::Pram);
    assert_eq!(broken.outcome(), Outcome::Invalid);
    assert!(!broken.beyond.iter().any(|told| told.kind == "not-monotonic-writes"), "{:?}", broken.beyond);
    assert_eq!(of(Level::MonotonicWrites).outcome(), Outcome::Valid);
}
