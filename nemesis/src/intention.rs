//! What the nemesis wants, before the nodes were asked: drawn by the schedule, recorded as the value of the invocation
//! and turned into one concrete fault by a pure function of it and a [`View`].

use schism_history::Value;
use serde_json::{Map, Value as Json, json};

use crate::class::{Ask, FaultEntry};
use crate::fault::{Fault, FaultError};
use crate::grudge::Shape;
use crate::option::OptionKind;
use crate::tag::RunTag;
use crate::target::{Target, View};

/// What is wanted, and the chance that decides the rest. In the history it is one flat map:
/// `{"target": "minority", "draw": 7, "duration_ms": 5000}`, `{"shape": "bridge", "direction": "in", ...}`.
#[derive(Debug, Clone)]
pub struct Intention {
    entry: &'static FaultEntry,
    /// One value for each option of the class that has one, by key.
    values: Map<String, Json>,
    /// The seed of the draws that are still to be made (which nodes).
    pub draw: u32,
    /// How long the fault is meant to be on, milliseconds.
    pub duration_ms: u64,
}

impl PartialEq for Intention {
    fn eq(&self, other: &Intention) -> bool {
        let same = |one: &Intention| (one.entry.name, one.draw, one.duration_ms);
        same(self) == same(other) && self.values == other.values
    }
}

impl serde::Serialize for Intention {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl Intention {
    /// Of this class, with these values by key.
    pub fn new(entry: &'static FaultEntry, values: Map<String, Json>, draw: u32, duration_ms: u64) -> Intention {
        Intention { entry, values, draw, duration_ms }
    }

    fn to_json(&self) -> Json {
        let mut map = self.values.clone();
        map.insert("draw".to_owned(), json!(self.draw));
        map.insert("duration_ms".to_owned(), json!(self.duration_ms));
        Json::Object(map)
    }

    /// As the value of an invocation.
    pub fn to_value(&self) -> Value {
        Value::from_json(&self.to_json())
    }

    /// From the value of an invocation.
    ///
    /// # Errors
    /// [`FaultError::Intention`] for anything else.
    pub fn from_value(class: &str, value: &Value) -> Result<Intention, FaultError> {
        let wrong = |reason: &str| FaultError::Intention {
            class: class.to_owned(),
            reason: format!("`{value}` says not what to do: {reason}"),
        };
        let entry = crate::class::entry(class).ok_or_else(|| wrong("there is no such class"))?;
        let Json::Object(mut values) = value.to_json() else { return Err(wrong("it is no map")) };
        let duration_ms = values.remove("duration_ms").and_then(|ms| ms.as_u64());
        let duration_ms = duration_ms.ok_or_else(|| wrong("it has no `duration_ms`"))?;
        let draw = values.remove("draw").map_or(Some(0), |draw| u32::try_from(draw.as_u64()?).ok());
        let draw = draw.ok_or_else(|| wrong("its `draw` is no number of 32 bits"))?;
        let intention = Intention { entry, values, draw, duration_ms };
        for key in ["target", "shape"] {
            let there = intention.value(key).is_some();
            if there && intention.target().is_none() && intention.shape().is_none() {
                return Err(wrong(&format!("its `{key}` is none")));
            }
        }
        Ok(intention)
    }

    /// Its class.
    pub fn entry(&self) -> &'static FaultEntry {
        self.entry
    }

    /// The value of an option, by key.
    pub fn value(&self, key: &str) -> Option<&Json> {
        self.values.get(key)
    }

    /// The target, if it has one.
    pub fn target(&self) -> Option<Target> {
        self.value("target").and_then(|value| serde_json::from_value(value.clone()).ok())
    }

    /// Every target among its values: a class may have more than one.
    fn targets(&self) -> impl Iterator<Item = Target> {
        let keys = self.entry.options.iter().filter(|option| option.kind == OptionKind::Target);
        keys.filter_map(|option| self.value(option.key).and_then(|value| serde_json::from_value(value.clone()).ok()))
    }

    /// The shape of a partition, if it has one.
    pub fn shape(&self) -> Option<Shape> {
        self.value("shape").and_then(|value| serde_json::from_value(value.clone()).ok())
    }

    /// Whether the database must be asked who leads.
    pub fn needs_primaries(&self) -> bool {
        self.shape().is_some_and(Shape::needs_primaries) || self.targets().any(|one| one.needs_primaries())
    }

    /// Whether the database must be asked who plays which role.
    pub fn needs_roles(&self) -> bool {
        self.targets().any(|one| matches!(one, Target::Role(_)))
    }

    /// One line for a person, before the nodes are known.
    pub fn label(&self) -> String {
        (self.entry.label)(self)
    }

    /// The same, on exactly the nodes and links that the answer to its injection tells (`nodes`, `grudge`): for repeating a
    /// run. What the answer does not tell stays as it was.
    pub fn concrete(mut self, answer: &Json) -> Intention {
        let nodes = answer.get("nodes").filter(|nodes| nodes.as_array().is_some_and(|nodes| !nodes.is_empty()));
        if let Some(grudge) = answer.get("grudge").filter(|_| self.values.contains_key("shape")) {
            self.values.remove("shape");
            self.values.remove("direction");
            self.values.insert("grudge".to_owned(), grudge.clone());
        } else if let Some(nodes) = nodes
            && self.values.contains_key("target")
        {
            self.values.insert("target".to_owned(), nodes.clone());
        }
        self
    }

    /// The fault that is meant, in this view. Pure: the same intention and view give the same fault.
    ///
    /// # Errors
    /// [`FaultError::NoTarget`] when there is nobody to harm, [`FaultError::Intention`] when the class cannot do it.
    pub fn decide(&self, view: &View, tag: &RunTag, fault_id: u32) -> Result<Box<dyn Fault>, FaultError> {
        (self.entry.decide)(&Ask { entry: self.entry, intention: self, view, tag, fault_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schism_history::Node;

    fn view() -> View {
        let nodes = (1..=5).map(|number| Node::new(&format!("n{number}"))).collect();
        View { nodes, primaries: vec![Node::new("n4")], ..View::default() }
    }

    fn decided(class: &str, json: &str) -> Result<String, String> {
        let value = Value::from_json(&serde_json::from_str(json).unwrap());
        let tag = RunTag::new("t");
        let decide = |intention: Intention| intention.decide(&view(), &tag, 1);
        Intention::from_value(class, &value).and_then(decide).map(|fault| fault.label()).map_err(|e| e.to_string())
    }

    #[test]
    fn intentions_become_faults() {
        let cases: &[(&str, &str, Result<&str, &str>)] = &[
            (
                "partition",
                r#"{"shape":"halves","direction":"in","duration_ms":5}"#,
                Ok("halves: n1 n2 | n3 n4 n5, one way: the first cannot hear"),
            ),
            (
                "partition",
                r#"{"shape":"leader","direction":"both","draw":9,"duration_ms":5}"#,
                Ok("leader: n4 | n1 n2 n3 n5"),
            ),
            ("partition", r#"{"grudge":{"n1":["n2"]},"duration_ms":5}"#, Ok("links: n1 drops n2")),
            ("kill", r#"{"target":"primaries","duration_ms":5}"#, Ok("kill: n4 (primaries)")),
            ("pause", r#"{"target":["n3","n1"],"duration_ms":5}"#, Ok("pause: n1 n3")),
            (
                "pause",
                r#"{"target":["n9"],"duration_ms":5}"#,
                Err("pause: no target: node `n9` is not one of this cluster (n1 n2 n3 n4 n5)"),
            ),
            (
                "kill",
                r#"{"shape":"halves","direction":"both","duration_ms":5}"#,
                Err("kill: this cannot be done: `` is nothing that this class does: it has no `target`"),
            ),
        ];
        for (class, json, expected) in cases {
            assert_eq!(decided(class, json), expected.map(str::to_owned).map_err(str::to_owned), "{json}");
        }
        for nonsense in ["null", "{}", "7", r#"{"target":"one"}"#, r#"{"target":"most","duration_ms":1}"#] {
            assert!(decided("kill", nonsense).unwrap_err().contains("says not what to do"), "{nonsense}");
        }
    }

    #[test]
    fn values_and_back() {
        for (class, text) in [
            ("partition", r#"{"shape":"majorities-ring","direction":"out","draw":4294967295,"duration_ms":7}"#),
            ("kill", r#"{"target":"minority-third","draw":0,"duration_ms":7}"#),
            ("pause", r#"{"target":["n1","n2"],"draw":1,"duration_ms":7}"#),
        ] {
            let value = Value::from_json(&serde_json::from_str(text).unwrap());
            let intention = Intention::from_value(class, &value).unwrap();
            assert_eq!(Intention::from_value(class, &intention.to_value()).unwrap(), intention, "{text}");
        }
    }
}
