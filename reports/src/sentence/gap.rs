//! Why a verdict is not known, and what to do about it.

use std::collections::BTreeMap;

use schism_checkers::Gap;
use schism_history::RunFacts;

use super::fault::{self, State};
use crate::words::{self, count, plural};

/// A gap in words: two sentences without their full stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapWords {
    /// Why it cannot be said.
    pub why: String,
    /// What to do next.
    pub next: String,
}

/// Gaps of one checker in words, in order. What is the same for many keys is told once, with their number; a gap that a
/// checker says once for each key names the first of them. With the facts of the run, what they say of the reason is
/// told as well.
pub fn explain_all(gaps: &[Gap], facts: Option<&RunFacts>) -> Vec<GapWords> {
    let mut lines: Vec<(&Gap, u64)> = Vec::new();
    let mut place_of: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for gap in gaps {
        let shared = match gap {
            Gap::Unsupported { reason, .. } => Some(Some(reason.as_str())),
            Gap::BudgetSpent { key: Some(_), .. } => Some(None),
            _ => None,
        };
        let place = shared.map(|shared| *place_of.entry(shared).or_insert(lines.len()));
        match place.and_then(|place| lines.get_mut(place)) {
            Some((_, more)) => *more += 1,
            None => lines.push((gap, 0)),
        }
    }
    let told = lines.into_iter().map(|(gap, more)| {
        let mut words = explain(gap, facts);
        if more > 0 {
            words.why.push_str(&format!(" (and the same on {})", plural(more, "more key")));
        }
        words
    });
    told.collect()
}

/// The gap in words.
pub fn explain(gap: &Gap, facts: Option<&RunFacts>) -> GapWords {
    if let Some(words) = facts.and_then(|facts| of_a_run_that_ended(gap, facts)) {
        return words;
    }
    let name = |text: &String| words::name(text);
    let (why, next) = match gap {
        Gap::NothingSucceeded => (
            "no operation at all succeeded, so there was nothing to judge".to_owned(),
            "look at the errors in history.jsonl and the database's logs in nodes/; start with a run without faults"
                .to_owned(),
        ),
        Gap::FunctionNeverSucceeded { f, invoked_count } => {
            let f = name(f);
            (
                format!("{f} never succeeded in {}", plural(*invoked_count, "attempt")),
                format!(
                    "look at the errors of {f} in history.jsonl; does the database support it, and may the client do it?"
                ),
            )
        }
        Gap::FaultNeverLanded { class, tried_count: 0 } => {
            let class = name(class);
            (
                format!("the fault {class} was asked for and never tried"),
                "run for longer, or shorten the interval between faults".to_owned(),
            )
        }
        Gap::FaultNeverLanded { class, tried_count } => {
            let class = name(class);
            (
                format!(
                    "the fault {class} was asked for and tried {}, but never seen to take effect",
                    times(*tried_count)
                ),
                format!("read the evidence of {class} under Faults, and schism doctor says what the nodes lack for it"),
            )
        }
        Gap::NoSuccessDuringFault { class } => {
            let class = name(class);
            (
                format!("no operation succeeded while {class} was on, so its effect on answers was not seen"),
                format!("harm fewer nodes at a time with {class}, or let it last longer than the client's timeout"),
            )
        }
        Gap::NoSuccessAfterFault { class, f } => {
            let class = name(class);
            let f = name(f);
            (
                format!("no {f} succeeded after the last {class} was healed, so recovery was not seen"),
                "give the run a longer time to recover, and look in nodes/ whether the database came back at all"
                    .to_owned(),
            )
        }
        Gap::TooMuchDoubt { info_count, count: of, percent_max } => (
            format!(
                "{} of {} ended in doubt ({}, at most {percent_max} % are accepted); doubt hides violations",
                count(*info_count),
                plural(*of, "operation"),
                words::percent(*info_count, *of)
            ),
            "lengthen the client's timeout, lower the rate, or leave more time between faults".to_owned(),
        ),
        Gap::Interrupted => ("the load was stopped before its time".to_owned(), "run it again to the end".to_owned()),
        Gap::FaultNotHealed { fault_id, class } => {
            let class = name(class);
            (
                format!(
                    "fault {fault_id} ({class}) was never proven to be healed, so what came after it was not judged"
                ),
                "read its evidence under Faults, then run schism heal on this run before the next one".to_owned(),
            )
        }
        Gap::BudgetSpent { .. } => budget(gap),
        Gap::NothingToCompare { nodes } => (
            match nodes.len() {
                0 => "no member said what it holds, so no two could be compared".to_owned(),
                _ => format!("only {} said what it holds, so no two members could be compared", words::list(nodes)),
            },
            "give the members more time to come back (schedule.recovery), or look at their logs".to_owned(),
        ),
        Gap::Undecided { level, reason } => (
            format!("whether {} is kept is not decided: {}", words::cut(level, 100), words::cut(reason, 300)),
            if reason.contains("by predicate") {
                "take this for what it is: nothing was found; more transactions at once find more".to_owned()
            } else {
                "ask for a stronger consistency model (`schism list levels`), which can be decided".to_owned()
            },
        ),
        Gap::NoRealtime { level } => (
            format!(
                "the history does not say when anything happened, and {} is about the order of real time",
                words::cut(level, 100)
            ),
            match &**level {
                "linearizable" => "ask for sequential consistency: --checker sequential".to_owned(),
                _ => "ask for a model without real time, as strong-session-serializable (`schism list levels`)"
                    .to_owned(),
            },
        ),
        Gap::Unclear { index, reason } => (
            format!("event {index} leaves open what was done: {}; nothing was judged", words::cut(reason, 300)),
            if reason.contains("is no transaction") {
                "choose the checker that its operations are of (--checker), or mend what records them".to_owned()
            } else {
                "mend what records it".to_owned()
            },
        ),
        Gap::Unsupported { index, reason } => (
            format!("event {index} has no meaning for the checker: {}", words::cut(reason, 300)),
            if reason.ends_with(" has no function cas") {
                "judge it with a model that has one: --model cas-register".to_owned()
            } else {
                "choose the checker or the workload that its operations are of (--checker, --workload), or leave them out".to_owned()
            },
        ),
        other => (format!("the checker says: {}", words::cut(&as_json(other), 400)), "read verdict.json".to_owned()),
    };
    GapWords { why, next }
}

fn times(number: u64) -> String {
    if number == 1 { "once".to_owned() } else { format!("{} times", count(number)) }
}

/// The gaps whose reason is that the run ended before its time.
fn of_a_run_that_ended(gap: &Gap, facts: &RunFacts) -> Option<GapWords> {
    let again = "run it again to the end".to_owned();
    match gap {
        Gap::NoSuccessAfterFault { .. } if facts.interrupted => {
            let why = explain(gap, None).why;
            Some(GapWords { why: format!("{why}; likely because the run was interrupted"), next: again })
        }
        Gap::FaultNeverLanded { class, tried_count } if *tried_count > 0 => {
            let mut of_class = facts.faults.iter().filter(|fault| fault.class == *class).peekable();
            of_class.peek()?;
            of_class.all(|fault| fault::state(fault) == State::Begun).then(|| GapWords {
                why: format!(
                    "the fault {} was asked for and tried {}, but the run ended before it was known to take effect",
                    words::name(class),
                    times(*tried_count)
                ),
                next: again,
            })
        }
        Gap::FaultNotHealed { fault_id, class } => {
            let fault = facts.faults.iter().find(|fault| fault.fault_id == *fault_id && fault.class == *class)?;
            let after = fault::afterwards(fault);
            let (end, next) = match &after {
                Some((true, end)) => (format!(" ({end})"), again),
                Some((false, end)) => {
                    (format!(" ({end})"), "run schism heal on this run, and read what it says".to_owned())
                }
                None => (String::new(), "run schism heal on this run, then run it again to the end".to_owned()),
            };
            let class = words::name(class);
            let how = match fault::state(fault) {
                State::On => format!("the run ended while fault {fault_id} ({class}) was on{end}"),
                _ if after.is_some() => format!("the run did not see fault {fault_id} ({class}) gone{end}"),
                _ => return None,
            };
            Some(GapWords { why: format!("{how}, so nothing is known of what came after it"), next })
        }
        _ => None,
    }
}

fn budget(gap: &Gap) -> (String, String) {
    let Gap::BudgetSpent {
        key,
        steps,
        steps_max,
        memory_bytes,
        memory_bytes_max,
        prefix_events,
        configurations_peak,
        placing,
    } = gap
    else {
        return (as_json(gap), String::new());
    };
    let on_key = key.as_deref().map_or_else(String::new, |key| format!(" on key {}", words::cut(key, 40)));
    let by_memory = memory_bytes > memory_bytes_max || memory_bytes == memory_bytes_max && steps < steps_max;
    let (spent, option) = if by_memory {
        (format!("{} MiB of memory", count(memory_bytes.div_ceil(1 << 20))), "--max-memory")
    } else {
        (plural(*steps, "step"), "--max-steps")
    };
    let proven = match prefix_events {
        0 => "nothing is proven of it".to_owned(),
        events => format!("its first {} are proven good", plural(*events, "event")),
    };
    let mut why = format!("the search{on_key} went past its budget ({spent}); {proven}");
    if let Some(placing) = placing {
        let ways = plural((*configurations_peak).max(1), "way");
        why.push_str(&format!(", with up to {ways} to explain them, when operation {placing} was to be placed"));
    }
    (
        why,
        format!(
            "run schism check on this run with a larger {option}; fewer clients per key or shorter keys are easier \
             to judge"
        ),
    )
}

fn as_json(gap: &Gap) -> String {
    serde_json::to_string(gap).unwrap_or_else(|_| format!("{gap:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gap_says_why_and_what_next() {
        let budget = |steps, memory_bytes| Gap::BudgetSpent {
            key: Some("5".into()),
            steps,
            steps_max: 10,
            memory_bytes,
            memory_bytes_max: 5 << 20,
            prefix_events: 42,
            configurations_peak: 1200,
            placing: Some(77),
        };
        let cases = [
            (Gap::NothingSucceeded, "no operation at all succeeded", "errors"),
            (
                Gap::FunctionNeverSucceeded { f: "cas".into(), invoked_count: 1 },
                "cas never succeeded in 1 attempt",
                "cas",
            ),
            (Gap::FaultNeverLanded { class: "kill".into(), tried_count: 0 }, "never tried", "longer"),
            (Gap::FaultNeverLanded { class: "kill".into(), tried_count: 1 }, "tried once", "schism doctor"),
            (Gap::FaultNeverLanded { class: "kill".into(), tried_count: 1200 }, "tried 1,200 times", "schism doctor"),
            (Gap::NoSuccessDuringFault { class: "kill".into() }, "while kill was on", "fewer nodes"),
            (Gap::NoSuccessAfterFault { class: "kill".into(), f: "read".into() }, "no read succeeded after", "recover"),
            (
                Gap::TooMuchDoubt { info_count: 300, count: 1000, percent_max: 20 },
                "300 of 1,000 operations ended in doubt (30.0 %",
                "timeout",
            ),
            (Gap::Interrupted, "before its time", "again"),
            (Gap::FaultNotHealed { fault_id: 3, class: "kill".into() }, "fault 3 (kill)", "schism heal"),
            (budget(10, 0), "on key 5 went past its budget (10 steps); its first 42 events", "--max-steps"),
            (budget(3, 5 << 20), "(5 MiB of memory)", "--max-memory"),
            (budget(12, (5 << 20) + 1), "(6 MiB of memory)", "--max-memory"),
            (budget(12, 5 << 20), "(12 steps)", "--max-steps"),
            (budget(10, 0), "with up to 1,200 ways to explain them, when operation 77 was", "--max-steps"),
            (Gap::NothingToCompare { nodes: vec![] }, "no member said", "schedule.recovery"),
            (Gap::NothingToCompare { nodes: vec!["n1".into()] }, "only n1 said", "logs"),
            (
                Gap::NoRealtime { level: "strict-serializable".into() },
                "does not say when",
                "strong-session-serializable",
            ),
            (Gap::NoRealtime { level: "linearizable".into() }, "real time", "--checker sequential"),
            (Gap::Undecided { level: "PL-CS".into(), reason: "because".into() }, "PL-CS", "stronger"),
            (Gap::Undecided { level: "PL-2".into(), reason: "reads by predicate".into() }, "by predicate", "more"),
            (
                Gap::Unclear { index: 7, reason: "no\u{7}".into() },
                "event 7 leaves open what was done: no\\u{7}; nothing was judged",
                "mend",
            ),
            (
                Gap::Unsupported { index: 9, reason: "no\u{7}".into() },
                "event 9 has no meaning for the checker: no\\u{7}",
                "--workload",
            ),
        ];
        for (gap, why, next) in cases {
            let words = explain(&gap, None);
            assert!(words.why.contains(why), "{words:?}");
            assert!(words.next.contains(next), "{words:?}");
            assert!(!words.why.ends_with('.') && !words.next.ends_with('.'), "{words:?}");
        }
    }

    #[test]
    fn what_is_the_same_for_many_keys_is_told_once() {
        let odd = |index, reason: &str| Gap::Unsupported { index, reason: reason.into() };
        let spent = |key: Option<&str>| Gap::BudgetSpent {
            key: key.map(str::to_owned),
            steps: 10,
            steps_max: 10,
            memory_bytes: 0,
            memory_bytes_max: 1,
            prefix_events: 7,
            configurations_peak: 0,
            placing: None,
        };
        let gaps = [
            odd(3, "no x"),
            spent(Some("1")),
            odd(5, "no y"),
            odd(9, "no x"),
            Gap::Interrupted,
            odd(11, "no x"),
            spent(Some("2")),
            spent(None),
        ];
        let told: Vec<String> = explain_all(&gaps, None).into_iter().map(|words| words.why).collect();
        assert_eq!(
            told,
            [
                "event 3 has no meaning for the checker: no x (and the same on 2 more keys)",
                "the search on key 1 went past its budget (10 steps); its first 7 events are proven good (and the same on \
                 1 more key)",
                "event 5 has no meaning for the checker: no y",
                "the load was stopped before its time",
                "the search went past its budget (10 steps); its first 7 events are proven good",
            ]
        );
    }

    #[test]
    fn the_model_with_cas_is_named_where_cas_is_what_lacks() {
        let history = schism_history::notation::parse("0@1:w1 0@1:c1>2 0@2:c1>2 0@3:enqueue=5").unwrap();
        let checker = schism_checkers::table::build("linearizable", Some("register")).unwrap();
        let finding = checker.check(&history, &RunFacts::default(), &schism_checkers::Budget::default());
        let told = explain_all(&finding.gaps, None);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].why.ends_with("the model register has no function cas (and the same on 1 more key)"));
        assert!(told[0].next.contains("--model cas-register"), "{told:?}");
        assert!(told[1].why.contains("enqueue") && told[1].next.contains("--workload"), "{told:?}");
    }

    #[test]
    fn the_end_of_a_run_is_told_as_the_reason() {
        let fault = |fault_id, landed_ns, heal_start_ns| schism_history::FaultWindow {
            roles: Default::default(),
            fault_id,
            class: "kill".into(),
            label: String::new(),
            nodes: vec![],
            start_ns: 1,
            landed_ns,
            heal_start_ns,
            healed_ns: None,
            evidence: vec![],
        };
        let ended = |fault: schism_history::FaultWindow, proven: bool| schism_history::FaultWindow {
            evidence: vec![serde_json::json!({"when": "after the run", "proven": proven, "measured": {"by": "heal"}})],
            ..fault
        };
        let not_healed = Gap::FaultNotHealed { fault_id: 3, class: "kill".into() };
        let not_landed = Gap::FaultNeverLanded { class: "kill".into(), tried_count: 1 };
        let not_after = Gap::NoSuccessAfterFault { class: "kill".into(), f: "read".into() };
        let cases = [
            (&not_healed, fault(3, Some(2), None), false, "the run ended while fault 3 (kill) was on"),
            (&not_healed, fault(3, Some(2), Some(3)), false, "fault 3 (kill) was never proven to be healed"),
            (
                &not_healed,
                ended(fault(3, Some(2), None), true),
                false,
                "kill) was on (ended by schism heal), so nothing",
            ),
            (
                &not_healed,
                ended(fault(3, Some(2), Some(3)), true),
                false,
                "not see fault 3 (kill) gone (ended by schism heal)",
            ),
            (&not_healed, ended(fault(3, Some(2), None), false), false, "(not ended by schism heal, which tried)"),
            (&not_landed, fault(3, None, None), false, "the run ended before it was known to take effect"),
            (&not_landed, fault(3, None, Some(3)), false, "tried once, but never seen to take effect"),
            (&not_after, fault(3, Some(2), Some(3)), true, "was not seen; likely because the run was interrupted"),
            (&not_after, fault(3, Some(2), Some(3)), false, "so recovery was not seen"),
        ];
        for (gap, fault, interrupted, why) in cases {
            let facts = RunFacts { faults: vec![fault], interrupted, ..RunFacts::default() };
            let told = explain(gap, Some(&facts)).why;
            assert!(told.contains(why), "{told}");
            assert_eq!(told.contains("interrupted"), interrupted, "{told}");
        }
    }
}
