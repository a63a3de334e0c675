//! What the holder of a lab of namespaces can do to its nodes from outside.

use schism_cluster::{Ability, GroundAction};

use crate::control::Hands;
use crate::switch::LinkHands;

/// The hands of a lab of namespaces.
pub(crate) struct NamespaceHands {
    links: LinkHands,
}

impl NamespaceHands {
    pub(crate) fn new(links: LinkHands) -> NamespaceHands {
        NamespaceHands { links }
    }
}

impl Hands for NamespaceHands {
    fn can(&self, ability: Ability) -> Result<(), String> {
        match ability {
            Ability::Links => self.links.can(),
            _ => Err(format!("a lab of namespaces cannot {ability} on this machine")),
        }
    }

    fn act(&self, action: &GroundAction) -> Result<serde_json::Value, String> {
        match action.ability() {
            Ability::Links => self.links.act(action),
            ability => self.can(ability).map(|()| serde_json::Value::Null),
        }
    }
}
