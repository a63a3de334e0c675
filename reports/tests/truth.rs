//! That what is said is true: small histories, judged by the real checkers, and what is told of them. Each case is a
//! wording that was once false or misleading.

use schism_checkers::{Budget, Gap, Outcome, Verdict, check_all, table};
use schism_history::{FaultWindow, History, RunFacts, notation};
use schism_reports::figures::Measured;
use schism_reports::terminal::{Look, summary};
use schism_reports::{RunInfo, Story, github, junit, sentence};

/// A history in notation, judged.
struct Case {
    info: RunInfo,
    history: History,
    facts: RunFacts,
    verdict: Verdict,
}

impl Case {
    fn of(line: &str, checkers: &[&str], facts: RunFacts) -> Case {
        let history = notation::parse(line).expect(line);
        let checkers: Vec<_> = checkers.iter().map(|name| table::build(name, None).expect(name)).collect();
        let verdict = check_all(&checkers, &history, &facts, &Budget::default());
        Case { info: RunInfo::default(), history, facts, verdict }
    }

    fn judged(line: &str) -> Case {
        Case::of(line, &["linearizable"], RunFacts::default())
    }

    fn story(&self) -> Story<'_> {
        Story { info: &self.info, history: &self.history, facts: &self.facts, verdict: &self.verdict }
    }

    /// The terminal's summary, with its line breaks taken out.
    fn told(&self) -> String {
        let text = summary(&self.story(), Look::default());
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn meaning(&self) -> String {
        sentence::meaning(&self.story(), &Measured::of(&self.history, &self.facts).figures).join(" ")
    }
}

fn run_facts() -> RunFacts {
    RunFacts { plan_digest: "d".into(), load_ns: 3_100_000_000, ..RunFacts::default() }
}

fn fault(fault_id: u32, times_ms: [Option<u64>; 3]) -> FaultWindow {
    let [landed_ns, heal_start_ns, healed_ns] = times_ms.map(|time| time.map(|ms| ms * 1_000_000));
    let evidence = if landed_ns.is_none() {
        vec![
            serde_json::json!({"when": "injected", "proven": false, "measured": {"unseen": "the injection failed"}, "error": ["decide", "no node"]}),
            serde_json::json!({"when": "healed", "proven": true, "measured": {"unharmed": "nothing was injected"}}),
        ]
    } else {
        Vec::new()
    };
    FaultWindow {
        roles: Default::default(),
        fault_id,
        class: "kill".into(),
        label: "n1".into(),
        nodes: vec![],
        start_ns: 0,
        landed_ns,
        heal_start_ns,
        healed_ns,
        evidence,
    }
}

#[test]
fn how_small_a_counterexample_is() {
    // Without w1 the rest, a read of 1 that nobody wrote, has no order either: only closed sets are looked at.
    let cases = [
        (
            "0:w1 0:w2 1:r1",
            "These are all 3 operations of this history; none of them can be left out (an answer is kept together with \
             the writes that may explain it)",
        ),
        (
            "0:w1 0:w2 1:r1 1:r2 0:w3 1:r3",
            "3 operations of the 6 of this history are enough; none of them can be left out (an answer",
        ),
        ("0:r7", "It is the only operation of this history"),
        ("0:w1 0:r1 0:r7", "This one operation of the 3 of this history is enough"),
    ];
    for (line, note) in cases {
        let told = Case::judged(line).told();
        assert!(told.contains(note), "{line}: {told}");
        for wrong in ["All 1", "1 operations", "1 operation are", "without any one"] {
            assert!(!told.contains(wrong), "{line}: {told}");
        }
    }
}

#[test]
fn where_a_value_came_from() {
    let cases = [
        ("0:w1 1:r7", "read 7 from the register, a value that nobody ever asked to write."),
        ("101:w7! 1:r7", "a value whose only write (by process 101, event 0) had failed: a read of an aborted write."),
        ("101:w7( 1:r7 101!", "a value whose only write (by process 101, event 0) failed: a read of an aborted write."),
        ("0:w1 101:c1>7! 1:r7", "a value whose only write (by process 101, event 2) had failed: a read of an aborted"),
        (
            "0:w1 101:c5>7~ 1:r7",
            "a value whose only write (by process 101, event 2) was answered \"no match\": a read of an aborted write.",
        ),
        (
            "2:w7! 3:w7! 1:r7",
            "a value whose 2 writes (the first by process 2, event 0) all failed: a read of an aborted",
        ),
        ("1:r7 0:w7!", "a value that nobody had asked to write yet."),
        ("0@1:w7 1@2:r7", "a value that nobody ever asked to write."),
    ];
    for (line, origin) in cases {
        let told = Case::judged(line).told();
        assert!(told.starts_with("INVALID") && told.contains(origin), "{line}: {told}");
    }
}

#[test]
fn nothing_tested_is_not_valid() {
    let asked = RunFacts { plan_digest: "d".into(), ..RunFacts::default() };
    let cases = [
        ("", "There is no operation of a client, so nothing was tested."),
        ("nemesis/kill#1:inject=nil?", "There is no operation of a client, so nothing was tested."),
        ("0:r! 0:w1! 0:w2?", "None of 3 operations succeeded (2 failed and 1 ended in doubt), so nothing was tested."),
        ("0:w1!", "None of 1 operation succeeded (1 failed), so nothing was tested."),
    ];
    for (line, why) in cases {
        for checkers in [&["linearizable"][..], &["linearizable", "run"]] {
            let case = Case::of(line, checkers, asked.clone());
            assert_ne!(case.verdict.outcome(), Outcome::Invalid);
            let told = case.told();
            assert!(told.starts_with(&format!("NOTHING TESTED {why}")), "{line}: {told}");
            assert!(case.meaning().starts_with("No answer of the database was judged"), "{}", case.meaning());
            let xml = junit::junit(&case.story()).unwrap();
            assert!(xml.contains("type=\"nothing-tested\"") && xml.contains(why.trim_end_matches('.')), "{xml}");
            assert!(github::annotation(&case.story()).unwrap().starts_with("::warning title=Nothing tested"));
        }
    }
    // A refused compare-and-set is an answer; whether that is enough is for the checker of the run to say.
    assert!(Case::judged("0:c1>2~").told().starts_with("VALID"));
    let told = Case::of("0:c1>2~", &["linearizable", "run"], asked).told();
    assert!(told.starts_with("UNKNOWN No operation at all succeeded"), "{told}");
    // A broken promise stays one.
    assert!(Case::judged("0:r7").told().starts_with("INVALID"));
}

#[test]
fn a_history_without_times_has_no_rates() {
    let mut ops: Vec<_> = notation::parse("0:w1 0:r1").unwrap().ops().collect();
    ops.iter_mut().enumerate().for_each(|(place, op)| op.time_ns = place as u64);
    let mut case = Case::judged("");
    for times in [1, 0] {
        ops.iter_mut().for_each(|op| op.time_ns *= times);
        case.history = History::from_ops(ops.clone()).unwrap();
        let told = case.told();
        assert!(told.contains("Operations: 2, rate - function"), "{told}");
        assert!(told.contains("write 1 0 0 100 % - - -"), "{told}");
        assert!(github::step_summary(&case.story()).contains("| write | 1 | 0 | 0 | - | - |"));
    }
}

#[test]
fn only_faults_that_took_effect_are_counted() {
    let mut facts = run_facts();
    facts.faults = vec![fault(1, [None, Some(2), Some(3)]), fault(2, [Some(1), Some(3), Some(4)])];
    let line = "0:w1 0:r1 0:r1 0:r1";
    let told = Case::of(line, &["linearizable"], facts.clone()).told();
    assert!(told.contains("No promise was broken in 4 operations under 1 fault (kill)."), "{told}");
    assert!(told.contains("class tried landed healed") && told.contains("kill 2 1 1"), "{told}");

    facts.faults.truncate(1);
    let told = Case::of(line, &["linearizable"], facts.clone()).told();
    assert!(told.contains("in 4 operations; no fault took effect."), "{told}");
    assert!(told.contains("kill 1 0 - never"), "{told}");

    let meaning = Case::of("0:w1 0:w2 0:r1", &["linearizable"], facts).meaning();
    assert!(meaning.contains("what was tried: kill 1 (n1, its injection failed)."), "{meaning}");
    assert!(!meaning.contains("was on:"), "{meaning}");
}

#[test]
fn one_order_of_several_is_an_example() {
    // Overlapping writes: two orders, both longest.
    let told = Case::judged("0:w1( 1:w2( 0) 1) 2:r1 2:r2 2:r1").told();
    assert!(told.contains("- For example, take "), "{told}");
    let told = Case::judged("0:w1( 1:w2( 0) 1) 2:r3( 3:w3? 2)3 2:r2 2:r1").told();
    assert!(told.contains("- For example, take "), "{told}");
    // Each ended before the next began: no other order is possible.
    let told = Case::judged("0:w1 0:w2 1:r1").told();
    assert!(told.contains("- Take A") && !told.contains("or example"), "{told}");
    // Nothing can come first: there is no order at all.
    let told = Case::judged("0:r7(  0)7").told();
    assert!(told.contains("- Nothing can come first") && !told.contains("or example"), "{told}");
    // In doubt: it may come anywhere, or never.
    let told = Case::judged("0:w1 0:w2? 1:r2 1:r1").told();
    assert!(told.contains("For example, take A"), "{told}");
}

#[test]
fn a_bare_history_is_not_told_of_faults() {
    let case = Case::judged("0:w1 0:r1");
    let told = case.told();
    assert!(told.starts_with("VALID No promise was broken in 2 operations. "), "{told}");
    assert!(case.meaning().contains("in this history") && !case.meaning().contains("fault"), "{}", case.meaning());
    let told = Case::of("0:w1 0:r1", &["linearizable"], run_facts()).told();
    assert!(told.contains("in 2 operations; no fault was asked for."), "{told}");
    // No order is spoken of where none was looked for.
    assert!(!Case::of("0:w1", &["stats"], RunFacts::default()).meaning().contains("explained by one order"));
}

#[test]
fn an_interruption_is_told_first() {
    let mut facts = RunFacts { interrupted: true, functions_asked: vec!["read".into()], ..run_facts() };
    facts.faults = vec![fault(2, [Some(1), Some(5), Some(6)])];
    let mut case = Case::of("0:r( 0)nil 0:rnil", &["linearizable", "run"], facts);
    assert_eq!(case.verdict.checkers["run"].gaps.len(), 1, "no read after the fault");
    let told = case.told();
    assert!(told.starts_with("UNKNOWN The run was interrupted by the user after 3.10 s of load. No read "), "{told}");
    assert!(told.contains("likely because the run was interrupted"), "{told}");
    assert!(case.meaning().starts_with("The run was interrupted by the user after 3.10 s of load"));
    let xml = junit::junit(&case.story()).unwrap();
    assert_eq!(
        xml.matches("<system-out>The run was interrupted by the user after 3.10 s of load.").count(),
        2,
        "{xml}"
    );
    assert!(xml.contains("message=\"The run was interrupted by the user after 3.10 s of load. No read "), "{xml}");
    assert!(xml.contains("likely because the run was interrupted"), "{xml}");

    // A controller that died wrote no length of its load: nobody interrupted it.
    case.facts.load_ns = 0;
    assert!(
        case.told().starts_with("UNKNOWN The run was cut off after 3.00 ms (its controller died"),
        "{}",
        case.told()
    );
    case.history = History::default();
    assert!(case.told().contains("The run was interrupted before it did anything."), "{}", case.told());
    case.facts.interrupted = false;
    assert!(!case.told().contains("interrupted"));
}

#[test]
fn a_fault_that_outlived_its_run_is_told_so() {
    let mut facts = RunFacts { interrupted: true, load_ns: 0, ..run_facts() };
    facts.faults = vec![fault(3, [Some(1), None, None])];
    let case = Case::of("0:w1 0:w2 0:r1", &["linearizable", "run"], facts);
    assert_eq!(case.verdict.checkers["run"].gaps, [Gap::FaultNotHealed { fault_id: 3, class: "kill".into() }]);
    let told = case.told();
    assert!(told.contains("The run ended while fault 3 (kill) was on"), "{told}");
    assert!(told.contains("kill 1 1 0"), "{told}");
    let meaning = case.meaning();
    assert!(meaning.contains("kill 3 (n1, the run ended while this fault was on)"), "{meaning}");
    assert!(!meaning.contains("never seen to take effect") && !told.contains("never seen to take effect"));
}

#[test]
fn many_keys_that_cannot_be_judged_are_one_line() {
    let line: Vec<String> = (0..19).map(|key| format!("0@{key}:enqueue=1")).collect();
    let case = Case::judged(&line.join(" "));
    let told = case.told();
    assert!(told.contains("has no function enqueue (and the same on 18 more keys)"), "{told}");
    assert_eq!(told.matches("has no function").count(), 2, "the verdict and one gap: {told}");
    assert!(told.contains("linearizable unknown 1 open question"), "{told}");
}

/// A sentence on how old answers were stands there only where some newer value had been confirmed.
#[test]
fn how_stale_answers_were() {
    let cases = [
        (
            "0:w1 0:w2 0:w3 1:r1",
            "One answer was stale: before it was asked for, 2 newer values had been written and confirmed since the one \
             that was told. Reads that may be up to 4.00 ms old would explain all of them.",
        ),
        (
            "0:w1 0:w2 1:r1 0:w3 1:rnil",
            "2 answers were stale: before the worst was asked for, 3 newer values had been written and confirmed since \
             the one that was told.",
        ),
        // No delta explains a value from nowhere, and none is told where compare-and-set is judged.
        ("0:w1 0:w2 1:r1 1:r7", "one newer value had been written and confirmed since the one that was told."),
    ];
    for (line, expected) in cases {
        let meaning = Case::judged(line).meaning();
        assert!(meaning.contains(expected), "{line}: {meaning}");
    }
    for line in ["0:w1 1:w2( 2:r2 2:r1 1)", "0:r7", "0:w1 0:r1"] {
        let meaning = Case::judged(line).meaning();
        assert!(!meaning.contains("stale"), "{line}: {meaning}");
    }
    assert!(!Case::judged("0:w1 0:w2 1:r1 1:r7").meaning().contains("would explain"));
}

#[test]
fn no_order_of_processes() {
    let case = Case::of("0@1:w1 0@2:rnil 1@2:w1 1@1:rnil", &["sequential"], RunFacts::default());
    let told = case.told();
    for part in [
        "INVALID",
        "The operations have no order that explains what clients were told and keeps the order of each process",
        "Process 0 wrote 1 to key 1",
        "real time was not asked for",
        "These are all 4 operations of this history",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(case.meaning().contains("cannot have come from one copy of the data"), "{}", case.meaning());
}
