//! What is known of a run beside its history: what was asked for, which faults landed, when they were on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::op::{F, Kind, Node, OpIndex, Process};
use crate::value::Value;

/// One fault from its injection to its healing, as the history and the ledger tell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultWindow {
    /// Joins it with the history's `fault_id` and the ledger.
    pub fault_id: u32,
    /// `partition`, `kill`, `pause`.
    pub class: String,
    /// One line for a person: `one node: n3 | n1 n2 n4 n5`.
    pub label: String,
    /// Nodes that were harmed.
    pub nodes: Vec<Node>,
    /// Who played which role when it was chosen, as far as the nodes said: `{"leader": ["n2"]}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Vec<Node>>,
    /// When the harm began (its invocation), nanoseconds since the start of the run.
    pub start_ns: u64,
    /// When it was proven to be on; `None`: never seen to take effect.
    pub landed_ns: Option<u64>,
    /// When healing began.
    pub heal_start_ns: Option<u64>,
    /// When it was proven gone; `None`: never seen to be gone.
    pub healed_ns: Option<u64>,
    /// What was measured, in order of time: `{"when": "injected", "proven": true, "measured": ...}`, then with `healed`;
    /// what failed has an `error`.
    pub evidence: Vec<serde_json::Value>,
}

/// Facts for checkers that judge the run itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct RunFacts {
    /// SHA-256 of the plan, in hexadecimal; empty for a history without a run.
    pub plan_digest: String,
    /// Classes of fault that were asked for.
    pub fault_classes_asked: Vec<String>,
    /// Every fault of the run.
    pub faults: Vec<FaultWindow>,
    /// Functions that the workload was to invoke (`read`, `write`, `cas`).
    pub functions_asked: Vec<String>,
    /// Whether the load was stopped before its time (Ctrl-C).
    pub interrupted: bool,
    /// How long the load ran, nanoseconds; 0 if unknown.
    pub load_ns: u64,
}

impl RunFacts {
    /// The windows of all faults, told from the nemesis' operations, in the order in which they began. One pass.
    ///
    /// A fault is an invocation of `inject` by a process `nemesis/<class>`, its completion with the value
    /// `{"label": text, "nodes": [names], "evidence": {"proven": bool, "measured": ...}}`, an invocation of `heal` and
    /// its completion with `{"evidence": ...}`, all with the same `fault_id`. It landed, and is healed, when a completion
    /// says `proven`; what was tried again counts from the first proof. What a crash left out stays `None`: the window
    /// is open. Events without a `fault_id`, and heals of faults that were never injected, are passed over.
    pub fn faults_from(history: &History) -> Vec<FaultWindow> {
        let mut windows: Vec<FaultWindow> = Vec::new();
        for index in 0..history.len() as OpIndex {
            let Process::Nemesis(class) = history.process(index) else { continue };
            let Some(fault_id) = history.fault_id(index) else { continue };
            let place = windows.iter().rposition(|window| window.fault_id == fault_id);
            let injects = match history.f(index) {
                F::Inject => true,
                F::Heal => false,
                _ => continue,
            };
            let window = match place {
                Some(place) => &mut windows[place],
                None if injects => {
                    windows.push(FaultWindow::begin(fault_id, class, &history.value(index), history.time_ns(index)));
                    let last = windows.len() - 1;
                    &mut windows[last]
                }
                None => continue,
            };
            if history.kind(index) != Kind::Invoke {
                window.complete(injects, &history.value(index), history.error(index), history.time_ns(index));
            } else if !injects {
                window.heal_start_ns.get_or_insert(history.time_ns(index));
            }
        }
        windows
    }
}

impl FaultWindow {
    /// A window that just began. Until the completion tells more, its label is the intention.
    fn begin(fault_id: u32, class: &str, intention: &Value, start_ns: u64) -> FaultWindow {
        FaultWindow {
            fault_id,
            class: class.to_owned(),
            label: intention.to_string(),
            nodes: Vec::new(),
            roles: BTreeMap::new(),
            start_ns,
            landed_ns: None,
            heal_start_ns: None,
            healed_ns: None,
            evidence: Vec::new(),
        }
    }

    fn complete(&mut self, injects: bool, value: &Value, error: Option<&Value>, time_ns: u64) {
        if let Some(label) = value.get("label").and_then(Value::as_str) {
            label.clone_into(&mut self.label);
        }
        let nodes_of = |value: &Value| match value {
            Value::List(nodes) => nodes.iter().filter_map(Value::as_str).map(Node::new).collect(),
            _ => Vec::new(),
        };
        if let Some(nodes @ Value::List(_)) = value.get("nodes") {
            self.nodes = nodes_of(nodes);
        }
        if let Some(view) = value.get("view") {
            let leaders = view.get("primaries").map(nodes_of).filter(|leaders| !leaders.is_empty());
            self.roles.extend(leaders.map(|leaders| ("leader".to_owned(), leaders)));
            if let Some(Value::Map(roles)) = view.get("roles") {
                let named = roles.iter().filter_map(|(name, nodes)| Some((name.as_str()?.to_owned(), nodes_of(nodes))));
                self.roles.extend(named);
            }
        }
        let evidence = value.get("evidence");
        if evidence.and_then(|evidence| evidence.get("proven")) == Some(&Value::Bool(true)) {
            let proven_ns = if injects { &mut self.landed_ns } else { &mut self.healed_ns };
            proven_ns.get_or_insert(time_ns);
        }
        if evidence.is_none() && error.is_none() {
            return;
        }
        let mut fields = match evidence.map(Value::to_json) {
            Some(serde_json::Value::Object(fields)) => fields,
            Some(measured) => [("measured".to_owned(), measured)].into_iter().collect(),
            None => serde_json::Map::new(),
        };
        fields.insert("when".to_owned(), if injects { "injected" } else { "healed" }.into());
        if let Some(error) = error {
            fields.insert("error".to_owned(), error.to_json());
        }
        self.evidence.push(fields.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notation;

    #[test]
    fn roles_are_told_with_the_faults() {
        let value = Value::from_json(&serde_json::json!({
            "nodes": ["n1"], "view": {"primaries": ["n1", "n2"], "roles": {"learner": ["n5"]}}
        }));
        let mut window = FaultWindow::begin(1, "kill", &Value::Nil, 0);
        window.complete(true, &value, None, 1);
        let roles = serde_json::to_value(&window.roles).expect("roles");
        assert_eq!(roles, serde_json::json!({"leader": ["n1", "n2"], "learner": ["n5"]}));
        window.complete(true, &Value::from_json(&serde_json::json!({"view": 7})), None, 1);
    }

    /// Windows as lines: id, class, label, nodes, then start, landed, heal start, healed in milliseconds.
    fn windows(text: &str) -> Vec<String> {
        let ms = |ns: Option<u64>| ns.map_or("-".to_owned(), |ns| (ns / 1_000_000).to_string());
        let history = notation::parse(text).expect(text);
        let line = |window: FaultWindow| {
            let nodes: Vec<&str> = window.nodes.iter().map(Node::as_str).collect();
            let times = [Some(window.start_ns), window.landed_ns, window.heal_start_ns, window.healed_ns].map(ms);
            let evidence = serde_json::Value::from(window.evidence);
            let (id, class, label) = (window.fault_id, window.class, window.label);
            format!("{id} {class} '{label}' {nodes:?} {} {evidence}", times.join(" "))
        };
        RunFacts::faults_from(&history).into_iter().map(line).collect()
    }

    #[test]
    fn windows_follow_the_nemesis() {
        let landed = r#"{"label":"one node: n3","nodes":["n3"],"evidence":{"proven":true,"measured":[1]}}"#;
        let unproven = r#"{"label":"x","nodes":["n1"],"evidence":{"proven":false,"measured":0}}"#;
        let healed = r#"{"evidence":{"proven":true,"measured":2}}"#;
        for (text, expected) in [
            (String::new(), vec![]),
            // Whole, with client operations between.
            (
                format!(
                    "nemesis/kill#1:inject={{\"n3\":9}}( 0:w1 nemesis/kill?{landed} nemesis/kill#1:heal=nil( nemesis/kill?{healed}"
                ),
                vec![
                    r#"1 kill 'one node: n3' ["n3"] 0 3 4 5 [{"measured":[1],"proven":true,"when":"injected"},{"measured":2,"proven":true,"when":"healed"}]"#,
                ],
            ),
            // The crash came at each of the three places.
            ("nemesis/kill#1:inject={\"n3\":9}(".to_owned(), vec![r#"1 kill '{"n3":9}' [] 0 - - - []"#]),
            (
                format!("nemesis/kill#1:inject=nil( nemesis/kill?{landed}"),
                vec![r#"1 kill 'one node: n3' ["n3"] 0 1 - - [{"measured":[1],"proven":true,"when":"injected"}]"#],
            ),
            (
                format!("nemesis/kill#1:inject=nil( nemesis/kill?{landed} nemesis/kill#1:heal=nil("),
                vec![r#"1 kill 'one node: n3' ["n3"] 0 1 2 - [{"measured":[1],"proven":true,"when":"injected"}]"#],
            ),
            // Never seen to land; healed at the second try. Another class overlaps.
            (
                format!(
                    "nemesis/kill#1:inject=nil( nemesis/pause#2:inject=nil( nemesis/kill?{unproven} nemesis/kill#1:heal=nil? nemesis/kill#1:heal=nil( nemesis/kill?{healed}"
                ),
                vec![
                    r#"1 kill 'x' ["n1"] 0 - 3 6 [{"measured":0,"proven":false,"when":"injected"},{"measured":2,"proven":true,"when":"healed"}]"#,
                    r#"2 pause 'nil' [] 1 - - - []"#,
                ],
            ),
            // Healed and proven twice: the first proof counts.
            (
                "nemesis/kill#1:inject=nil? nemesis/kill#1:heal=nil( nemesis/kill?{\"evidence\":{\"proven\":true}} nemesis/kill#1:heal=nil( nemesis/kill?{\"evidence\":{\"proven\":true}}".to_owned(),
                vec![r#"1 kill 'nil' [] 0 - 2 3 [{"proven":true,"when":"healed"},{"proven":true,"when":"healed"}]"#],
            ),
            // A heal of nothing, events without a fault, and a proof that is no truth value.
            (format!("nemesis/kill#7:heal=nil( nemesis/kill?{healed} nemesis/kill:inject=nil?"), vec![]),
            (
                "nemesis/kill#1:inject=nil( nemesis/kill?{\"evidence\":{\"proven\":1}}".to_owned(),
                vec![r#"1 kill 'nil' [] 0 - - - [{"proven":1,"when":"injected"}]"#],
            ),
        ] {
            assert_eq!(windows(&text), expected, "{text}");
        }
    }

    #[test]
    fn what_failed_tells_why() {
        let op = |kind, f, error: Option<&str>| {
            let mut op = crate::Op::new(Process::nemesis("kill"), kind, f, Value::Nil);
            (op.fault_id, op.error) = (Some(4), error.map(|error| Box::new(Value::str(error))));
            op
        };
        let events = [op(Kind::Invoke, F::Inject, None), op(Kind::Info, F::Inject, Some("no such node"))];
        let windows = RunFacts::faults_from(&History::from_ops(events).expect("a history"));
        assert_eq!(windows[0].evidence, [serde_json::json!({"when": "injected", "error": "no such node"})]);
        assert_eq!(windows[0].landed_ns, None);
    }
}
