//! What the holder of a lab of namespaces can do to its nodes from outside.

use schism_cluster::{Ability, GroundAction};

use crate::control::Hands;

/// The hands of a lab of namespaces.
#[derive(Debug, Default)]
pub(crate) struct NamespaceHands;

impl Hands for NamespaceHands {
    fn can(&self, ability: Ability) -> Result<(), String> {
        Err(format!("a lab of namespaces cannot {ability} on this machine"))
    }

    fn act(&self, action: &GroundAction) -> Result<serde_json::Value, String> {
        self.can(action.ability()).map(|()| serde_json::Value::Null)
    }
}
