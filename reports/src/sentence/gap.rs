//! Why a verdict is not known, and what to do about it.

use schism_checkers::Gap;

use crate::words::{self, count, plural};

/// A gap in words: two sentences without their full stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapWords {
    /// Why it cannot be said.
    pub why: String,
    /// What to do next.
    pub next: String,
}

/// The gap in words.
pub fn explain(gap: &Gap) -> GapWords {
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
                    if *tried_count == 1 { "once".to_owned() } else { format!("{} times", count(*tried_count)) }
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
        Gap::Unsupported { index, reason } => (
            format!("event {index} has no meaning for the checker: {}", words::cut(reason, 300)),
            "choose the workload that made this history (--workload), or leave this checker out".to_owned(),
        ),
        other => (format!("the checker says: {}", words::cut(&as_json(other), 400)), "read verdict.json".to_owned()),
    };
    GapWords { why, next }
}

fn budget(gap: &Gap) -> (String, String) {
    let Gap::BudgetSpent { key, steps, steps_max, memory_bytes, memory_bytes_max, prefix_events } = gap else {
        return (as_json(gap), String::new());
    };
    let on_key = key.as_deref().map_or_else(String::new, |key| format!(" on key {}", words::cut(key, 40)));
    let by_memory = memory_bytes >= memory_bytes_max && steps < steps_max;
    let (spent, option) = if by_memory {
        (format!("{} MiB of memory", count(memory_bytes >> 20)), "--max-memory")
    } else {
        (plural(*steps, "step"), "--max-steps")
    };
    let why = format!(
        "the search{on_key} went past its budget ({spent}); its first {} are proven good",
        plural(*prefix_events, "event")
    );
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
            (
                Gap::Unsupported { index: 9, reason: "no\u{7}".into() },
                "event 9 has no meaning for the checker: no\\u{7}",
                "--workload",
            ),
        ];
        for (gap, why, next) in cases {
            let words = explain(&gap);
            assert!(words.why.contains(why), "{words:?}");
            assert!(words.next.contains(next), "{words:?}");
            assert!(!words.why.ends_with('.') && !words.next.ends_with('.'), "{words:?}");
        }
    }
}
