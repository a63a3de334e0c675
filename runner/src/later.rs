//! What became of faults after their run: a controller that died tells nothing more in its history, but the ledger goes on.

use std::collections::BTreeMap;

use schism_history::{FaultWindow, History, OpIndex};
use schism_nemesis::ledger::{Ender, Entry, State};
use serde_json::{Map, json};

/// What a piece of evidence that comes of the ledger says of its moment.
pub const AFTER_THE_RUN: &str = "after the run";

/// Adds to faults that the history does not call healed what the ledger says of their end, as evidence: `{"when": "after
/// the run", "proven": bool, "measured": {"by": "heal" | "lab-gone" | "controller", "time_ns", "healed_themselves": [nodes]},
/// "error"}`. Faults of which the history has not even the beginning are added.
///
/// The windows themselves stay as the history tells them, and with them the verdict: of what came after the run's end
/// nothing was seen. `proven` says that every undo ended with success (each looks at its own result), or that there is
/// no lab any more. Moments of the ledger are of the wall clock; they are put on the history's time by the fault whose
/// two beginnings lie nearest. Cost: the ledger, once.
pub fn merge(faults: &mut Vec<FaultWindow>, history: &History, ledger: &[Entry]) {
    let mut told: BTreeMap<u32, (&Entry, &Entry)> = BTreeMap::new();
    for entry in ledger {
        told.entry(entry.fault_id).or_insert((entry, entry)).1 = entry;
    }
    let unix_ns = |entry: &Entry| i128::from(entry.time_unix_ms) * 1_000_000;
    let begun = |window: &FaultWindow| {
        let (first, _) = told.get(&window.fault_id)?;
        Some(unix_ns(first) - i128::from(window.start_ns))
    };
    // The ledger is written after the invocation: the smallest difference is the nearest.
    let run_began_ns = faults.iter().filter_map(begun).min();
    let on_time = |entry: &Entry| u64::try_from((unix_ns(entry) - run_began_ns?).max(0)).ok();
    for (fault_id, (first, last)) in &told {
        let place = faults.iter().position(|window| window.fault_id == *fault_id);
        let place = place.unwrap_or_else(|| {
            let end_ns = (history.len() as OpIndex).checked_sub(1).map_or(0, |last| history.time_ns(last));
            faults.push(unheard(first, on_time(first).unwrap_or(end_ns)));
            faults.len() - 1
        });
        let Some(window) = faults.get_mut(place).filter(|window| window.healed_ns.is_none()) else { continue };
        let (by, healed_themselves, errors) = match (&last.later, last.state) {
            (Some(later), _) => (later.by, later.healed_themselves.as_slice(), later.errors.as_slice()),
            // Its actor saw it gone, and died before the history told.
            (None, State::Healed) => (Ender::Controller, [].as_slice(), [].as_slice()),
            (None, _) => continue,
        };
        let mut measured = Map::from_iter([("by".to_owned(), json!(by))]);
        measured.extend(on_time(last).map(|time_ns| ("time_ns".to_owned(), json!(time_ns))));
        if !healed_themselves.is_empty() {
            measured.insert("healed_themselves".to_owned(), json!(healed_themselves));
        }
        let proven = last.state == State::Healed;
        let mut evidence = json!({ "when": AFTER_THE_RUN, "proven": proven, "measured": measured });
        if !errors.is_empty() {
            evidence["error"] = json!(errors.join("; "));
        }
        window.evidence.push(evidence);
    }
}

/// A fault of which only the ledger tells.
fn unheard(first: &Entry, start_ns: u64) -> FaultWindow {
    FaultWindow {
        fault_id: first.fault_id,
        class: first.class.clone(),
        label: first.label.clone(),
        nodes: first.nodes.clone(),
        roles: BTreeMap::new(),
        start_ns,
        landed_ns: None,
        heal_start_ns: None,
        healed_ns: None,
        evidence: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use schism_history::{Node, RunFacts, notation};
    use schism_nemesis::RunTag;
    use schism_nemesis::ledger::Later;
    use serde_json::Value;

    use super::*;

    fn entry(fault_id: u32, state: State, time_unix_ms: u64, later: Option<Later>) -> Entry {
        Entry {
            schema_version: 1,
            run_tag: RunTag::new("t"),
            fault_id,
            class: "kill".to_owned(),
            label: format!("kill: n{fault_id}"),
            nodes: vec![Node::new("n1")],
            state,
            undo: Vec::new(),
            time_unix_ms,
            later,
        }
    }

    fn by(by: Ender) -> Option<Later> {
        Some(Later { by, healed_themselves: Vec::new(), errors: Vec::new() })
    }

    /// Windows after merging, as `(id, start in ms, what the ledger added)`.
    fn merged(line: &str, ledger: &[Entry]) -> Vec<(u32, u64, Vec<Value>)> {
        let history = notation::parse(line).unwrap();
        let mut faults = RunFacts::faults_from(&history);
        let before = faults.clone();
        merge(&mut faults, &history, ledger);
        for (old, new) in before.iter().zip(&faults) {
            let same = FaultWindow { evidence: old.evidence.clone(), ..new.clone() };
            assert_eq!(&same, old, "what the history tells stays");
        }
        let told = |window: FaultWindow| {
            let added = window.evidence.into_iter().filter(|one| one["when"] == AFTER_THE_RUN);
            (window.fault_id, window.start_ns / 1_000_000, added.collect())
        };
        faults.into_iter().map(told).collect()
    }

    const LANDED: &str = r#"nemesis/kill?{"evidence":{"proven":true}}"#;

    #[test]
    fn an_open_fault_is_given_the_end_that_the_ledger_knows() {
        // Events are a millisecond apart; the invocation of the fault is at 1 ms, which the ledger calls 5001.
        let line = format!("0:w1( nemesis/kill#1:inject=nil( {LANDED}");
        let planned = entry(1, State::Planned, 5_001, None);
        let injected = entry(1, State::Injected, 5_003, None);
        let later = Later { healed_themselves: vec![Node::new("n1")], ..by(Ender::Heal).unwrap() };
        let failed = Later { errors: vec!["on n1: no".to_owned(), "on n2: no".to_owned()], ..by(Ender::Heal).unwrap() };
        let cases = [
            (vec![planned.clone(), injected.clone()], vec![]),
            (
                vec![planned.clone(), injected.clone(), entry(1, State::Healed, 65_000, Some(later))],
                vec![json!({"when": "after the run", "proven": true, "measured": {
                    "by": "heal", "time_ns": 60_000_000_000_u64, "healed_themselves": ["n1"]}})],
            ),
            (
                vec![planned.clone(), entry(1, State::Healed, 65_000, by(Ender::LabGone))],
                vec![json!({"when": "after the run", "proven": true, "measured": {
                    "by": "lab-gone", "time_ns": 60_000_000_000_u64}})],
            ),
            // The last word counts, and a failure is one.
            (
                vec![
                    planned.clone(),
                    entry(1, State::Healed, 6_000, by(Ender::Heal)),
                    entry(1, State::Failed, 7_000, Some(failed)),
                ],
                vec![json!({"when": "after the run", "proven": false, "error": "on n1: no; on n2: no", "measured": {
                    "by": "heal", "time_ns": 2_000_000_000_u64}})],
            ),
            // Seen gone by its own actor, which died before it was told.
            (
                vec![planned.clone(), entry(1, State::Healed, 5_011, None)],
                vec![json!({"when": "after the run", "proven": true, "measured": {
                    "by": "controller", "time_ns": 11_000_000_u64}})],
            ),
            (vec![planned, entry(1, State::Failed, 6_000, None)], vec![]),
            (vec![], vec![]),
        ];
        for (ledger, expected) in cases {
            assert_eq!(merged(&line, &ledger), [(1, 1, expected)], "{ledger:?}");
        }
    }

    #[test]
    fn what_the_history_knows_stays_and_what_it_does_not_is_added() {
        let healed = format!("nemesis/kill#1:inject=nil( {LANDED} nemesis/kill#1:heal=nil( {LANDED}");
        let ledger = [
            entry(1, State::Planned, 9_000, None),
            entry(1, State::Healed, 9_900, by(Ender::Heal)),
            entry(2, State::Planned, 9_500, None),
            entry(2, State::Healed, 9_950, by(Ender::LabGone)),
        ];
        let lab_gone = json!({"when": "after the run", "proven": true, "measured": {
            "by": "lab-gone", "time_ns": 950_000_000}});
        assert_eq!(merged(&healed, &ledger), [(1, 0, vec![]), (2, 500, vec![lab_gone])]);
        // Nothing tells when the run began: the fault stands at the end of the history, and its end has no moment.
        let untimed = json!({"when": "after the run", "proven": true, "measured": {"by": "lab-gone"}});
        assert_eq!(merged("0:w1 0:w2", &ledger[2..]), [(2, 3, vec![untimed.clone()])]);
        assert_eq!(merged("", &ledger[2..]), [(2, 0, vec![untimed])]);
        // Clocks that went back are no reason to fail.
        let back = [entry(1, State::Planned, u64::MAX, None), entry(1, State::Healed, 0, by(Ender::Heal))];
        assert_eq!(merged("nemesis/kill#1:inject=nil(", &back)[0].2[0]["measured"]["time_ns"], 0);
    }
}
