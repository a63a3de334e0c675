//! What the nemesis wants, before the nodes were asked: drawn by the schedule, recorded as the value of the invocation
//! and turned into one concrete fault by a pure function of it and a [`View`].

use schism_history::{Seed, Value};
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, FaultError};
use crate::faults::{kill, partition, pause};
use crate::grudge::{Direction, Grudge, Shape};
use crate::tag::RunTag;
use crate::target::{Target, View};

/// What is wanted, and the chance that decides the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intention {
    /// What.
    #[serde(flatten)]
    pub aim: Aim,
    /// The seed of the draws that are still to be made (which nodes).
    #[serde(default)]
    pub draw: u32,
    /// How long the fault is meant to be on, milliseconds; its lease is this and a margin.
    pub duration_ms: u64,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Aim {
    /// Links cut in this shape: `{"shape": "bridge", "direction": "in"}`.
    Cut {
        /// Which shape.
        shape: Shape,
        /// Which way.
        direction: Direction,
    },
    /// Exactly these links cut (when a run is replayed): `{"grudge": {"n1": ["n2"]}}`.
    Links {
        /// Who drops whom.
        grudge: Grudge,
    },
    /// Nodes: `{"target": "minority"}`.
    Nodes {
        /// Which.
        target: Target,
    },
}

impl Intention {
    /// As the value of an invocation.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).map_or(Value::Nil, |json| Value::from_json(&json))
    }

    /// From the value of an invocation.
    ///
    /// # Errors
    /// [`FaultError::Intention`] for anything else.
    pub fn from_value(class: &str, value: &Value) -> Result<Intention, FaultError> {
        serde_json::from_value(value.to_json()).map_err(|error| FaultError::Intention {
            class: class.to_owned(),
            reason: format!("`{value}` says not what to do: {error}"),
        })
    }

    /// Whether the database must be asked who leads.
    pub fn needs_primaries(&self) -> bool {
        match &self.aim {
            Aim::Cut { shape, .. } => shape.needs_primaries(),
            Aim::Links { .. } => false,
            Aim::Nodes { target } => target.needs_primaries(),
        }
    }

    /// One line for a person, before the nodes are known.
    pub fn label(&self) -> String {
        match &self.aim {
            Aim::Cut { shape, direction: Direction::Both } => shape.name().to_owned(),
            Aim::Cut { shape, direction: Direction::In } => format!("{}, one way (cannot hear)", shape.name()),
            Aim::Cut { shape, direction: Direction::Out } => format!("{}, one way (cannot be heard)", shape.name()),
            Aim::Links { grudge } => format!("links: {grudge}"),
            Aim::Nodes { target } => target.to_string(),
        }
    }

    /// The fault of this class that is meant, in this view. Pure: the same intention and view give the same fault.
    ///
    /// # Errors
    /// [`FaultError::NoTarget`] when there is nobody to harm, [`FaultError::Intention`] when the class cannot do it.
    pub fn decide(&self, class: &str, view: &View, tag: &RunTag, fault_id: u32) -> Result<Box<dyn Fault>, FaultError> {
        let rng = &mut Seed(u64::from(self.draw)).stream("nemesis/choice");
        let nobody = |reason: String| FaultError::NoTarget { class: class.to_owned(), reason };
        match (class, &self.aim) {
            (partition::CLASS, Aim::Cut { shape, direction }) => {
                let (grudge, label) = shape.grudge(*direction, view, rng).map_err(nobody)?;
                Ok(Box::new(partition::Partition::new(grudge, label, tag, fault_id)))
            }
            (partition::CLASS, Aim::Links { grudge }) => {
                Ok(Box::new(partition::Partition::new(grudge.clone(), self.label(), tag, fault_id)))
            }
            (kill::CLASS, Aim::Nodes { target }) => {
                let nodes = target.choose(view, rng).map_err(nobody)?;
                Ok(Box::new(kill::Kill::new(target.clone(), nodes)))
            }
            (pause::CLASS, Aim::Nodes { target }) => {
                let nodes = target.choose(view, rng).map_err(nobody)?;
                Ok(Box::new(pause::Pause::new(target.clone(), nodes)))
            }
            _ => Err(FaultError::Intention {
                class: class.to_owned(),
                reason: format!("`{}` is nothing that this class does", self.label()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schism_history::Node;

    fn view() -> View {
        let nodes = (1..=5).map(|number| Node::new(&format!("n{number}"))).collect();
        View { nodes, primaries: vec![Node::new("n4")] }
    }

    fn decided(class: &str, json: &str) -> Result<String, String> {
        let value = Value::from_json(&serde_json::from_str(json).unwrap());
        let tag = RunTag::new("t");
        let decide = |intention: Intention| intention.decide(class, &view(), &tag, 1);
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
                Err("kill: this cannot be done: `halves` is nothing that this class does"),
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
        for aim in [
            Aim::Cut { shape: Shape::MajoritiesRing, direction: Direction::Out },
            Aim::Nodes { target: Target::MinorityThird },
            Aim::Nodes { target: Target::Nodes(vec![Node::new("n1"), Node::new("n2")]) },
        ] {
            let intention = Intention { aim, draw: u32::MAX, duration_ms: 7 };
            assert_eq!(Intention::from_value("x", &intention.to_value()).unwrap(), intention);
        }
    }
}
