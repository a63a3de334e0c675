//! How far a fault came, and its name in words.

use schism_history::{FaultWindow, RunFacts};

use crate::figures::Window;
use crate::words;

/// How far a fault came, as its evidence tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its injection was begun, and the run tells nothing after it.
    Begun,
    /// Its injection ended with an error and without proof.
    Failed,
    /// It was injected, and was not seen to take effect.
    Unseen,
    /// It took effect, and the run tells nothing of a heal.
    On,
    /// It took effect, and its heal is not proven.
    NotHealed,
    /// It took effect, and was seen to be gone.
    Over,
}

/// How far a fault came.
pub fn state(fault: &FaultWindow) -> State {
    let healing = fault.heal_start_ns.is_some();
    match (fault.landed_ns, fault.healed_ns) {
        (Some(_), Some(_)) => State::Over,
        (Some(_), None) if healing => State::NotHealed,
        (Some(_), None) => State::On,
        (None, _) => {
            let mut injected = fault.evidence.iter().filter(|evidence| evidence["when"] == "injected").peekable();
            let answered = injected.peek().is_some();
            if injected.any(|evidence| !evidence["error"].is_null()) {
                State::Failed
            } else if answered || healing {
                State::Unseen
            } else {
                State::Begun
            }
        }
    }
}

/// `partition 3 (one node: n3 | n1 n2 n4 n5)`, and how far it came where that is not the whole way.
pub fn fault_name(facts: &RunFacts, window: &Window) -> String {
    let fault = facts.faults.get(window.fault);
    let far = match fault.map(state) {
        Some(State::Begun) => ", the run ended before it was known to take effect",
        Some(State::Failed) => ", its injection failed",
        Some(State::Unseen) => ", never seen to take effect",
        Some(State::On) => ", the run ended while this fault was on",
        Some(State::NotHealed) => ", not proven to be healed",
        Some(State::Over) | None => "",
    };
    let label = fault.map_or("", |fault| fault.label.as_str());
    let (class, label) = (words::cut(&window.class, 40), words::cut(label, 120));
    if label.is_empty() {
        return format!("{class} {}{far}", window.fault_id);
    }
    format!("{class} {} ({label}{far})", window.fault_id)
}

#[cfg(test)]
mod tests {
    use schism_history::{History, notation};

    use super::*;
    use crate::figures::Measured;

    /// Names of the faults that a line tells of.
    fn names(line: &str) -> Vec<String> {
        let history = notation::parse(line).unwrap();
        let facts = RunFacts { faults: RunFacts::faults_from(&history), ..RunFacts::default() };
        let figures = Measured::of(&History::default(), &facts).figures;
        figures.windows.iter().map(|window| fault_name(&facts, window)).collect()
    }

    #[test]
    fn a_fault_is_told_as_far_as_it_came() {
        let landed = r#"{"label":"n3","evidence":{"proven":true}}"#;
        let unseen = r#"{"label":"n3","evidence":{"proven":false}}"#;
        let healed = r#"{"evidence":{"proven":true}}"#;
        let cases = [
            (String::new(), "kill 1 (nil, the run ended before it was known to take effect)"),
            (format!(" nemesis/kill?{unseen}"), "kill 1 (n3, never seen to take effect)"),
            (format!(" nemesis/kill?{landed}"), "kill 1 (n3, the run ended while this fault was on)"),
            (
                format!(" nemesis/kill?{landed} nemesis/kill#1:heal=nil( nemesis/kill?{unseen}"),
                "kill 1 (n3, not proven to be healed)",
            ),
            (format!(" nemesis/kill?{landed} nemesis/kill#1:heal=nil( nemesis/kill?{healed}"), "kill 1 (n3)"),
        ];
        for (rest, name) in cases {
            assert_eq!(names(&format!("nemesis/kill#1:inject=nil({rest}")), [name], "{rest}");
        }
    }
}
