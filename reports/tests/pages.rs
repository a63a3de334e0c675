//! The page, the terminal summary, JUnit and GitHub: what they say of each kind of story, and that nothing that a history
//! can hold breaks them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy does not know that helpers of an integration test are test"
)]

mod common;

use std::time::Instant;

use common::{HOSTILE, Told};
use schism_checkers::table::build;
use schism_checkers::{Budget, Gap, Outcome, Verdict};
use schism_history::{F, History, Key, Kind, Node, Op, Process, REPLICA_READ, Value};
use schism_reports::terminal::Look;
use schism_reports::{github, html, junit, terminal};

const PLAIN: Look<'static> = Look { color: false, report_path: None };

fn stories() -> Vec<(&'static str, Told)> {
    vec![
        ("stale", common::stale()),
        ("knot", common::knot()),
        ("valid", common::valid()),
        ("unknown", common::unknown()),
        ("imported", common::imported()),
        ("empty", common::empty()),
        ("hostile", common::hostile()),
    ]
}

/// The places of these texts in the page, which must be there and in this order.
fn in_order(page: &str, texts: &[&str]) {
    let mut from = 0;
    for text in texts {
        let found = page[from..].find(text);
        from += found.unwrap_or_else(|| panic!("{text} is not in the page after byte {from}"));
    }
}

fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let start = page.find(from).unwrap_or_else(|| panic!("no {from}"));
    let end = page[start..].find(to).unwrap_or_else(|| panic!("no {to} after {from}"));
    &page[start..start + end]
}

#[test]
fn what_a_ground_cannot_do_is_told() {
    let mut told = common::stale();
    let words = "<code>hold</code>: a ground of virtual machines cannot shape single links";
    assert!(html::page(&told.story()).contains(words));
    told.info.left_out.clear();
    assert!(!html::page(&told.story()).contains("Left out"));
}

#[test]
fn an_invalid_page_tells_its_proof_in_order() {
    let page = html::page(&common::stale().story());
    in_order(
        &page,
        &[
            "Invalid</p>",
            "<h1>Process 908 read 6 from key 5 on n4 although 7 had been written and confirmed 2.90 s before, \
             by process 903 on n2.</h1>",
            "<p class=\"dim\">etcd 3.5.16 (API 3.5) · 5 nodes · 12,498 operations in 59.9 s · 6 faults · seed 4211973</p>",
            "What this means",
            "partition 1 (one node: n4 | n1 n2 n3 n5) and kill 2 (kill n2)",
            "The smallest counterexample",
            "Process 901 wrote 6 to key 5 on n1 between 9.812 s and 9.815 s",
            "Process 903 wrote 7 to key 5 on n2 between 12.301 s and 12.305 s",
            "Process 908 read 6 from key 5 on n4 between 15.203 s and 15.204 s",
            "No order explains this.",
            "C cannot follow, since it was told 6 while the value is 7",
            "B had ended before C began",
            "How to repeat it",
            "schism run etcd/stale-reads --seed 4211973",
            "Latency of each operation",
            "Quantiles of latency",
            "Throughput by outcome",
            "id=\"faults\"",
            "id=\"availability\"",
            "id=\"operations\"",
            "id=\"environment\"",
            "id=\"files\"",
        ],
    );
    let drawing = between(&page, "class=\"drawing\"", "</svg>");
    for text in
        ["write 6 · n1", "write 7 · n2", "read → 6 · n4", "no order explains this", "kill 2 (kill n2)", "process 908"]
    {
        assert!(drawing.contains(text), "{text}");
    }
    assert_eq!(drawing.matches("class=\"op change\"").count(), 2);
    assert_eq!(drawing.matches("class=\"op read blocked\"").count(), 1);
    assert_eq!(drawing.matches("class=\"tag\"").count(), 2, "the two faults that were on, not the four later ones");
}

#[test]
fn plots_are_shaded_and_tell_outcomes_apart() {
    let page = html::page(&common::valid().story());
    assert_eq!(page.matches("class=\"plot\"").count(), 3);
    let latency = between(&page, "id=\"latency-t\"", "</svg>");
    assert_eq!(latency.matches("class=\"tag\"").count(), 6, "a strip for each fault");
    assert_eq!(latency.matches("class=\"band\"").count(), 6, "a band for each fault");
    assert!(latency.contains("halves: n1 n4 | n2 n3 n5"));
    let shapes = ["<circle", "<polygon", "class=\"s-info\""].map(|shape| latency.matches(shape).count());
    assert!(shapes[0] > 2_000 && shapes[1] == 410 && shapes[2] == 38 * 2, "{shapes:?}");
    assert!(page.contains("3,800 of 12,495 operations that ended are shown: every failure and doubt"));
    assert!(!page.contains("#0102"), "a colour of ours that became no class");
    let throughput = between(&page, "id=\"throughput-t\"", "</svg>");
    for outcome in ["ok", "fail", "info"] {
        assert_eq!(throughput.matches(&format!("<polyline class=\"s-{outcome}\"")).count(), 1, "{outcome}");
    }
    assert!(!page.contains("id=\"counterexample\"") && !page.contains("id=\"gaps\""));
    assert!(page.contains("No promise was broken in 12,495 operations under 6 faults (kill, partition and pause)."));
}

#[test]
fn faults_show_their_evidence() {
    let page = html::page(&common::unknown().story());
    let faults = between(&page, "id=\"faults\"", "</section>");
    assert_eq!(faults.matches("<details>").count(), 6);
    assert_eq!(faults.matches("class=\"matrix\"").count(), 4, "two partitions, injected and healed");
    assert_eq!(faults.matches("<td class=\"cut\">").count(), 8 + 12, "one node of five, two of five");
    assert_eq!(faults.matches("✕ never seen").count(), 2);
    assert!(faults.contains("[&quot;no-target&quot;,&quot;no process found&quot;]"));
    assert_eq!(faults.matches("When injected").count(), 6);
    assert_eq!(page.matches("class=\"fault k2 unproven\"").count(), 3 * 2 * 2, "three plots, two faults, band and tag");
}

#[test]
fn an_unknown_page_says_why_and_what_next() {
    let told = common::unknown();
    let page = html::page(&told.story());
    in_order(
        &page,
        &[
            "Unknown</p>",
            "Not cleaned up.",
            "nft delete table inet schism_7f3a_4",
            "What could not be said",
            "--max-steps",
            "never seen to take effect",
            "2,500 of 9,800 operations ended in doubt (25.5 %, at most 20 % are accepted)",
        ],
    );
    assert!(!page.contains("id=\"counterexample\""));
    let summary = terminal::summary(&told.story(), PLAIN);
    in_order(&summary, &["UNKNOWN", "What could not be said", "Checkers", "Not cleaned up", "Repeat"]);
}

#[test]
fn stories_without_a_run_have_pages_too() {
    let empty = html::page(&common::empty().story());
    assert!(empty.contains("No checker judged this history, so nothing can be said."));
    assert!(empty.contains("the history has no operation of a client"));
    assert!(!empty.contains("id=\"faults\"") && !empty.contains("id=\"repeat\"") && !empty.contains("id=\"files\""));
    let imported = html::page(&common::imported().story());
    assert!(imported.contains("found nothing (nil) although 1 had been written and confirmed before, by process 0."));
    assert!(imported.contains("between event 2 and event 3"));
    assert!(imported.contains("The history has no times; the order of events is exact."));
    assert!(imported.contains("does not say when its operations happened"));
    assert!(!imported.contains("No fault was injected"), "nothing is known of faults");
}

#[test]
fn no_text_of_a_history_breaks_out() {
    let told = common::hostile();
    let page = html::page(&told.story());
    assert!(!page.contains("<b onclick") && !page.contains("</script></style>"), "raw HTML of a value");
    assert_eq!(page.matches("</script>").count(), 2, "the data and the script, each once");
    assert_eq!(page.matches("</style>").count(), 1);
    assert!(page.contains("&lt;b onclick=alert(1)&gt;"));
    assert!(!page.contains('\u{1b}') && !page.contains('\u{0}'), "control characters");
    let data = between(&page, "id=\"figures\">", "</script>");
    let json: serde_json::Value = serde_json::from_str(data.trim_start_matches("id=\"figures\">")).unwrap();
    assert!(json["faults"][0][2].as_str().unwrap().contains("<b onclick"));

    for color in [false, true] {
        let summary = terminal::summary(&told.story(), Look { color, report_path: Some(HOSTILE) });
        assert!(!summary.contains("\u{1b}[31m]") && !summary.contains('\u{0}'));
        assert_eq!(color, summary.contains('\u{1b}'));
    }
    let xml = junit::junit(&told.story()).unwrap();
    assert!(!xml.contains("<b onclick") && !xml.contains('\u{1b}') && !xml.contains('\u{0}'));
    let markdown = github::step_summary(&told.story());
    let unquoted = markdown.lines().filter(|line| !line.starts_with("Repeat: `"));
    assert!(unquoted.clone().count() > 10 && !unquoted.clone().any(|line| line.contains("<b onclick")), "{markdown}");
    let annotation = github::annotation(&told.story()).unwrap();
    assert_eq!(annotation.matches('\n').count(), 1);
}

#[test]
fn pages_are_whole_and_repeat() {
    for (name, told) in stories() {
        let page = html::page(&told.story());
        assert_eq!(page, html::page(&told.story()), "{name}: the same story, the same page");
        balanced(name, &page);
        let outcome = ["Valid", "Unknown", "Invalid"][match told.verdict.outcome() {
            Outcome::Valid => 0,
            Outcome::Unknown => 1,
            Outcome::Invalid => 2,
        }];
        assert!(page.contains(&format!("<title>{outcome}: ")), "{name}");
        let loads = ["http://", "https://", "//cdn", "@import", "<img", "<iframe", "src="];
        let outside = page.replace("http://www.w3.org/2000/svg", "");
        loads.iter().for_each(|load| assert!(!outside.contains(load), "{name}: {load}"));
        assert!(page.contains("script-src 'sha256-"), "{name}");
        for id in ids(&page) {
            assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "{name}: id {id} twice");
        }
    }
}

fn ids(page: &str) -> Vec<&str> {
    page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Every element that is opened is closed, in order. Void elements of HTML and self-closing ones of SVG aside.
fn balanced(name: &str, page: &str) {
    const VOID: [&str; 4] = ["meta", "link", "br", "input"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let raw = open.last().is_some_and(|last| *last == "script" || *last == "style");
        if rest.starts_with('!') || (raw && !rest.starts_with("/script>") && !rest.starts_with("/style>")) {
            continue;
        }
        let tag = &rest[..rest.find('>').unwrap_or_else(|| panic!("{name}: tag without end"))];
        let element = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(element), "{name}: {open:?}");
        } else if !tag.ends_with('/') && !VOID.contains(&element) {
            open.push(element);
        }
    }
    assert!(open.is_empty(), "{name}: {open:?} left open");
}

#[test]
fn a_verdict_of_another_history_is_told_so() {
    let mut told = common::stale();
    told.history = common::imported().history;
    told.facts = Default::default();
    let page = html::page(&told.story());
    assert!(
        page.contains("3 operations are of this proof not in the history")
            || page.contains("of this proof not in the history")
    );
    let summary = terminal::summary(&told.story(), PLAIN);
    assert!(summary.contains("the verdict was made of another history"), "{summary}");
    assert!(junit::junit(&told.story()).unwrap().contains("another history"));
}

#[test]
fn a_million_operations_give_a_small_page() {
    let told = common::big(1_000_000);
    let began = Instant::now();
    let page = html::page(&told.story());
    let took = began.elapsed();
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
    assert!(page.contains("of 1,000,000 operations that ended are shown: an even choice of failures and doubts"));
    println!("page of 1,000,000 operations: {} bytes in {took:?}", page.len());
}

#[test]
fn many_anomalies_gaps_and_faults_are_cut_and_counted() {
    let mut told = common::stale();
    let finding = told.verdict.checkers.get_mut("linearizable").unwrap();
    finding.anomalies = vec![finding.anomalies[0].clone(); 500];
    finding.gaps = vec![Gap::Interrupted; 500];
    told.facts.faults = (0..5_000).map(|place| told.facts.faults[place % 6].clone()).collect();
    told.info.cleanup_trouble = vec!["left".into(); 500];
    let page = html::page(&told.story());
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
    for text in [
        "There are 499 more anomalies.",
        "... and 479 more in",
        "... and 440 more",
        "The first 400 of 5,000 faults are listed",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(terminal::summary(&told.story(), PLAIN).lines().count() < 120);
    assert!(junit::junit(&told.story()).unwrap().len() < 200_000);
}

#[test]
fn a_terminal_is_not_overrun() {
    for (name, told) in stories().into_iter().filter(|(name, _)| *name != "hostile") {
        let summary = terminal::summary(&told.story(), PLAIN);
        let widest = summary.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{name}: {widest:?}");
        assert!(!summary.contains('\u{1b}'), "{name}");
        assert!(summary.ends_with('\n'), "{name}");
    }
}

#[test]
fn members_that_disagree_are_told_with_what_each_holds() {
    let mut told = common::stale();
    let events = [("n1", 1, 0), ("n2", 2, 1), ("n1", 1, 2)].map(|(node, answer, process)| {
        let mut invoke = Op::new(Process::Client(process), Kind::Invoke, F::parse(REPLICA_READ), Value::Nil);
        (invoke.key, invoke.node) = (Some(Key::Int(7)), Some(Node::new(node)));
        let value = Value::list(vec![Value::Int(answer), Value::Int(answer + 40)]);
        [invoke.clone(), Op { kind: Kind::Ok, value, ..invoke }]
    });
    told.history = History::from_ops(events.into_iter().flatten()).unwrap();
    told.verdict = Verdict::default();
    let finding = build("replicas", None).unwrap().check(&told.history, &told.facts, &Budget::default());
    told.verdict.checkers.insert("replicas".to_owned(), finding);
    in_order(
        &html::page(&told.story()),
        &[
            "Members of the cluster hold different things on key 7 for good",
            "do not hold the same data any more",
            "replica-read",
            "he last answer of each: n1 [1,41] and n2 [2,42]",
        ],
    );
    let summary = terminal::summary(&told.story(), PLAIN);
    assert!(summary.contains("replicas-disagree on key 7"), "{summary}");
}
