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

/// What is known of the end of a fault that the run itself did not see: whether it ended, and how, as the rest of a sentence
/// (`ended by schism heal 74 s after it began; n1 had healed itself before`). `None`: nothing is.
pub fn afterwards(fault: &FaultWindow) -> Option<(bool, String)> {
    let told = fault.evidence.iter().rev().find(|evidence| evidence["when"] == "after the run")?;
    let ended = told["proven"] == true;
    let measured = &told["measured"];
    let by = match measured["by"].as_str() {
        Some("heal") => "by schism heal",
        Some("lab-gone") => "with the lab of the run",
        Some("controller") => "by its controller",
        _ => "by somebody",
    };
    let time_ns = measured["time_ns"].as_u64();
    let after =
        time_ns.map(|time_ns| format!(" {} after it began", words::span(time_ns.saturating_sub(fault.start_ns))));
    let mut text = match ended {
        true => format!("ended {by}{}", after.unwrap_or_default()),
        false => format!("not ended {by}, which tried"),
    };
    let nodes = measured["healed_themselves"].as_array().into_iter().flatten().filter_map(|node| node.as_str());
    let nodes: Vec<String> = nodes.take(NODES_MAX).map(words::name).collect();
    match nodes.len() {
        0 => {}
        1 => text.push_str(&format!("; {} had healed itself before", nodes[0])),
        _ => text.push_str(&format!("; {} had healed themselves before", words::list(&nodes))),
    }
    Some((ended, text))
}

/// Nodes that are named in a sentence.
const NODES_MAX: usize = 9;

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
    let far = match fault.filter(|fault| fault.healed_ns.is_none()).and_then(afterwards) {
        Some((_, end)) => format!("{far}; {end}"),
        None => far.to_owned(),
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
    fn the_end_that_came_after_the_run_is_told() {
        let history =
            notation::parse(r#"nemesis/kill#1:inject=nil( nemesis/kill?{"evidence":{"proven":true}}"#).unwrap();
        let mut fault = RunFacts::faults_from(&history).remove(0);
        assert_eq!(afterwards(&fault), None);
        let after = |proven: bool, measured: serde_json::Value| serde_json::json!({"when": "after the run", "proven": proven, "measured": measured});
        let cases = [
            (
                after(
                    true,
                    serde_json::json!({"by": "heal", "time_ns": 74_000_000_000_u64, "healed_themselves": ["n1", "n2"]}),
                ),
                (true, "ended by schism heal 74.0 s after it began; n1 and n2 had healed themselves before"),
            ),
            (
                after(true, serde_json::json!({"by": "lab-gone", "healed_themselves": ["n1"]})),
                (true, "ended with the lab of the run; n1 had healed itself before"),
            ),
            (after(true, serde_json::json!({"by": "controller"})), (true, "ended by its controller")),
            (after(false, serde_json::json!({"by": "heal"})), (false, "not ended by schism heal, which tried")),
            (after(true, serde_json::json!(7)), (true, "ended by somebody")),
        ];
        for (evidence, (ended, text)) in cases {
            fault.evidence.push(evidence);
            assert_eq!(afterwards(&fault), Some((ended, text.to_owned())));
        }
        let facts = RunFacts { faults: vec![fault], ..RunFacts::default() };
        let figures = Measured::of(&History::default(), &facts).figures;
        let name = fault_name(&facts, &figures.windows[0]);
        assert_eq!(name, "kill 1 (nil, the run ended while this fault was on; ended by somebody)");
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
