//! Judges the run itself: was there anything to judge? Only gaps come of it, never anomalies.

use std::collections::{BTreeMap, BTreeSet};

use schism_history::{Call, FaultWindow, History, Kind, RunFacts};
use serde_json::json;

use crate::checker::{Budget, Checker};
use crate::plain::stats::{count, sum};
use crate::span::Span;
use crate::verdict::{Finding, Gap};

/// Operations in doubt that are accepted, per cent of all.
pub const DOUBT_PERCENT_MAX: u64 = 20;

/// Whether the run gave anything to judge. Gaps, in this order:
///
/// - `NothingSucceeded`: no client operation did what it was asked (a compare-and-set that answered "no match" did
///   not). Then `FunctionNeverSucceeded` is not said as well.
/// - `Interrupted`: only together with it. An interrupted run that has something to judge is judged.
/// - `FunctionNeverSucceeded`: for a function of `functions_asked`.
/// - `TooMuchDoubt`: more than 20 % of all client operations ended in doubt or were never answered.
/// - `FaultNeverLanded`: for a class of `fault_classes_asked` no fault was proven to take effect.
/// - `NoSuccessDuringFault`: for a class that landed, no operation was answered `ok` at a time at which
///   a fault of that class was surely on (from the proof that it landed to the beginning of its healing). Who was asked
///   then and answered only after the healing tells nothing of the database under this fault. Where that
///   cannot be (every node killed), that is a gap all the same: nothing was seen of the database under this fault.
/// - `NoSuccessAfterFault`: for a class that landed, and each function asked for, none was invoked after the class' last
///   fault was proven healed and answered `ok`. "No match" is an answer here: what counts is that the function works.
/// - `FaultNotHealed`: a fault that landed was never proven to be gone. It has no "after".
///
/// Without facts (a history of its own) only the first and `TooMuchDoubt` can come. Stats: `success_count`,
/// `in_doubt_percent`, `faults_by_class` (`{"kill": {"tried_count", "landed_count", "healed_count",
/// "ok_during_count"}}`). Cost: calls × faults.
#[derive(Debug, Clone, Copy, Default)]
pub struct Run;

/// What was seen of one class of fault.
#[derive(Debug, Default)]
struct ClassFacts<'a> {
    faults: Vec<&'a FaultWindow>,
    ok_during_count: u64,
    /// Functions that were invoked after the last fault was gone, and answered.
    ok_after: BTreeSet<String>,
}

impl<'a> ClassFacts<'a> {
    fn landed(&self) -> impl Iterator<Item = &&'a FaultWindow> {
        self.faults.iter().filter(|fault| fault.landed_ns.is_some())
    }

    /// When the last fault that landed was gone; `None`: one never was, or none landed.
    fn over_ns(&self) -> Option<u64> {
        let healed: Option<Vec<u64>> = self.landed().map(|fault| fault.healed_ns).collect();
        healed.and_then(|healed| healed.into_iter().max())
    }
}

impl Checker for Run {
    fn name(&self) -> &str {
        "run"
    }

    fn check(&self, history: &History, facts: &RunFacts, _budget: &Budget) -> Finding {
        let by_f = count(history);
        let all = sum(&by_f);
        let mut gaps = Vec::new();
        if all.success_count() == 0 {
            gaps.push(Gap::NothingSucceeded);
            gaps.extend(facts.interrupted.then_some(Gap::Interrupted));
        } else {
            let never = facts.functions_asked.iter().filter_map(|f| {
                let counts = by_f.get(f).copied().unwrap_or_default();
                let gap = Gap::FunctionNeverSucceeded { f: f.clone(), invoked_count: counts.invoked_count };
                (counts.success_count() == 0).then_some(gap)
            });
            gaps.extend(never);
        }
        let (info_count, count) = (all.info_count, all.invoked_count);
        if info_count * 100 > count * DOUBT_PERCENT_MAX {
            gaps.push(Gap::TooMuchDoubt { info_count, count, percent_max: DOUBT_PERCENT_MAX });
        }
        let classes = classes(history, facts);
        for (class, seen) in &classes {
            judge_class(class, seen, facts, &mut gaps);
        }
        let mut finding = Finding { gaps, ..Finding::default() };
        let percent = if count == 0 { 0.0 } else { info_count as f64 * 100.0 / count as f64 };
        finding.stats.insert("success_count".to_owned(), json!(all.success_count()));
        finding.stats.insert("in_doubt_percent".to_owned(), json!(percent));
        finding.stats.insert("faults_by_class".to_owned(), tell(&classes));
        finding
    }
}

fn classes<'a>(history: &History, facts: &'a RunFacts) -> BTreeMap<&'a str, ClassFacts<'a>> {
    let mut classes: BTreeMap<&str, ClassFacts<'_>> = BTreeMap::new();
    for class in &facts.fault_classes_asked {
        classes.entry(class).or_default();
    }
    for fault in &facts.faults {
        classes.entry(&fault.class).or_default().faults.push(fault);
    }
    for seen in classes.values_mut() {
        let spans: Vec<Span> = seen.faults.iter().filter_map(|fault| Span::on(fault)).collect();
        let over_ns = seen.over_ns();
        for call in history.client_calls().filter(|call| call.outcome == Kind::Ok) {
            seen.look_at(history, call, &spans, over_ns);
        }
    }
    classes
}

impl ClassFacts<'_> {
    fn look_at(&mut self, history: &History, call: Call, spans: &[Span], over_ns: Option<u64>) {
        let span = Span::of_call(history, call);
        let answered = Span { from_ns: span.to_ns, to_ns: span.to_ns };
        self.ok_during_count += u64::from(spans.iter().any(|on| on.overlaps(answered)));
        let f = history.f(call.invoke).as_str();
        if over_ns.is_some_and(|over_ns| span.from_ns >= over_ns) && !self.ok_after.contains(f) {
            self.ok_after.insert(f.to_owned());
        }
    }
}

fn judge_class(class: &str, seen: &ClassFacts<'_>, facts: &RunFacts, gaps: &mut Vec<Gap>) {
    if seen.landed().next().is_none() {
        let asked = facts.fault_classes_asked.iter().any(|asked| asked == class);
        let gap = Gap::FaultNeverLanded { class: class.to_owned(), tried_count: seen.faults.len() as u64 };
        gaps.extend(asked.then_some(gap));
        return;
    }
    if seen.ok_during_count == 0 {
        gaps.push(Gap::NoSuccessDuringFault { class: class.to_owned() });
    }
    if seen.over_ns().is_some() {
        let missing = facts.functions_asked.iter().filter(|f| !seen.ok_after.contains(*f));
        gaps.extend(missing.map(|f| Gap::NoSuccessAfterFault { class: class.to_owned(), f: f.clone() }));
    }
    let unhealed = seen.landed().filter(|fault| fault.healed_ns.is_none());
    gaps.extend(unhealed.map(|fault| Gap::FaultNotHealed { fault_id: fault.fault_id, class: class.to_owned() }));
}

fn tell(classes: &BTreeMap<&str, ClassFacts<'_>>) -> serde_json::Value {
    let told = classes.iter().map(|(class, seen)| {
        let healed = seen.landed().filter(|fault| fault.healed_ns.is_some()).count();
        let figures = json!({
            "tried_count": seen.faults.len(),
            "landed_count": seen.landed().count(),
            "healed_count": healed,
            "ok_during_count": seen.ok_during_count,
        });
        ((*class).to_owned(), figures)
    });
    serde_json::Value::Object(told.collect())
}

#[cfg(test)]
mod tests {
    use schism_history::notation;

    use super::*;

    const MS: u64 = 1_000_000;

    /// A fault: landed, healing begun, proven healed, in milliseconds.
    fn fault(class: &str, times_ms: (Option<u64>, Option<u64>, Option<u64>)) -> FaultWindow {
        let ns = |time: Option<u64>| time.map(|ms| ms * MS);
        FaultWindow {
            roles: Default::default(),
            fault_id: 7,
            class: class.to_owned(),
            label: String::new(),
            nodes: Vec::new(),
            start_ns: 0,
            landed_ns: ns(times_ms.0),
            heal_start_ns: ns(times_ms.1),
            healed_ns: ns(times_ms.2),
            evidence: Vec::new(),
        }
    }

    fn facts(functions: &[&str], classes: &[&str], faults: Vec<FaultWindow>) -> RunFacts {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        RunFacts {
            functions_asked: owned(functions),
            fault_classes_asked: owned(classes),
            faults,
            ..RunFacts::default()
        }
    }

    fn gaps(line: &str, facts: &RunFacts) -> Vec<String> {
        let history = notation::parse(line).unwrap();
        let finding = Run.check(&history, facts, &Budget::default());
        assert!(finding.anomalies.is_empty());
        finding.gaps.iter().map(|gap| serde_json::to_string(gap).unwrap()).collect()
    }

    // Events are a millisecond apart, from 0 ms.
    #[test]
    fn functions_and_doubt() {
        let asked = facts(&["read", "cas"], &[], Vec::new());
        let cases: [(&str, &[&str]); 7] = [
            ("0:r1 0:c1>2", &[]),
            ("", &[r#"{"gap":"nothing-succeeded"}"#]),
            ("0:r1! 0:c1>2~", &[r#"{"gap":"nothing-succeeded"}"#]),
            ("0:r1 0:c1>2~", &[r#"{"gap":"function-never-succeeded","f":"cas","invoked_count":1}"#]),
            ("0:r1", &[r#"{"gap":"function-never-succeeded","f":"cas","invoked_count":0}"#]),
            ("0:r1 0:c1>2 0:r1 0:r1 0:w1?", &[]),
            ("0:r1 0:c1>2 0:r1 0:w1( 1:w2!", &[]),
        ];
        for (line, expected) in cases {
            assert_eq!(gaps(line, &asked), expected, "{line}");
        }
        let doubt = gaps("0:r1 0:c1>2 0:r1 0:w1(", &asked);
        assert_eq!(doubt, [r#"{"gap":"too-much-doubt","info_count":1,"count":4,"percent_max":20}"#]);
    }

    #[test]
    fn interrupted_is_a_gap_only_where_nothing_succeeded() {
        let stopped = RunFacts { interrupted: true, ..facts(&["read"], &[], Vec::new()) };
        assert_eq!(gaps("0:rnil", &stopped), [""; 0]);
        assert_eq!(gaps("", &stopped), [r#"{"gap":"nothing-succeeded"}"#, r#"{"gap":"interrupted"}"#]);
    }

    #[test]
    fn faults() {
        // Reads at 0-1, 2-3, 4-5, 6-7 ms; a write at 8-9 ms.
        let line = "0:rnil 0:rnil 0:rnil 0:rnil 0:w1";
        let cases: [(&str, FaultWindow, &[&str]); 7] = [
            ("on and gone", fault("kill", (Some(1), Some(2), Some(5))), &[]),
            (
                "never landed",
                fault("kill", (None, Some(2), Some(3))),
                &[r#"{"gap":"fault-never-landed","class":"kill","tried_count":1}"#],
            ),
            (
                "another class landed",
                fault("pause", (Some(1), Some(2), Some(5))),
                &[r#"{"gap":"fault-never-landed","class":"kill","tried_count":0}"#],
            ),
            (
                "no read after",
                fault("kill", (Some(1), Some(2), Some(7))),
                &[r#"{"gap":"no-success-after-fault","class":"kill","f":"read"}"#],
            ),
            (
                "nothing after",
                fault("kill", (Some(1), Some(2), Some(9))),
                &[
                    r#"{"gap":"no-success-after-fault","class":"kill","f":"read"}"#,
                    r#"{"gap":"no-success-after-fault","class":"kill","f":"write"}"#,
                ],
            ),
            (
                "not healed",
                fault("kill", (Some(1), Some(2), None)),
                &[r#"{"gap":"fault-not-healed","fault_id":7,"class":"kill"}"#],
            ),
            (
                "on until the end",
                fault("kill", (Some(9), None, None)),
                &[r#"{"gap":"fault-not-healed","fault_id":7,"class":"kill"}"#],
            ),
        ];
        for (name, fault, expected) in cases {
            assert_eq!(gaps(line, &facts(&["read", "write"], &["kill"], vec![fault])), expected, "{name}");
        }
    }

    #[test]
    fn nothing_answered_while_the_fault_was_on() {
        // A read at 0-1 ms; one that fails at 2-3 ms; a read at 4-5 ms.
        let kill = |landed, heal, healed| {
            facts(&["read"], &["kill"], vec![fault("kill", (Some(landed), Some(heal), Some(healed)))])
        };
        let line = "0:rnil 0:r! 0:rnil";
        assert_eq!(gaps(line, &kill(2, 3, 4)), [r#"{"gap":"no-success-during-fault","class":"kill"}"#]);
        // An answer at the first or the last moment counts; one to a call that began then but ended later does not.
        assert_eq!(gaps(line, &kill(1, 3, 4)), [""; 0]);
        assert_eq!(gaps("0:r! 0:rnil 0:rnil", &kill(2, 3, 4)), [""; 0]);
        assert_eq!(gaps(line, &kill(2, 4, 4)), [r#"{"gap":"no-success-during-fault","class":"kill"}"#]);
        // All were frozen: asked before, answered after.
        let frozen = "0:rnil 1:r( 2:r( 3:r! 3:r! 1)nil 2)nil 1:rnil";
        assert_eq!(gaps(frozen, &kill(4, 6, 7)), [r#"{"gap":"no-success-during-fault","class":"kill"}"#]);
    }
}
