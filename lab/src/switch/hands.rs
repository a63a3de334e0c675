//! The holder's hands on the links: [`Ability::Links`](schism_cluster::Ability), where the lab has a switch.

use std::sync::Arc;

use schism_cluster::GroundAction;

use super::run::Switch;

/// What can be done to the links of a lab. Actions on links are answered with
/// `{"links": [{"from": "n1", "to": "n2", "offered": 12, "passed": 9, "lost": 3, ...}]}`: what happened on each link that
/// the tag's rules name (or named, where they are taken away or replaced), since they were set. Setting the same rules
/// again changes nothing and so reads the counters.
#[derive(Clone)]
pub(crate) struct LinkHands(Option<Arc<Switch>>);

impl LinkHands {
    /// Of a lab with cables, which nobody can shape.
    pub(crate) fn cables() -> LinkHands {
        LinkHands(None)
    }

    /// Of a lab with a switch.
    pub(crate) fn of(switch: Arc<Switch>) -> LinkHands {
        LinkHands(Some(switch))
    }

    /// Whether links can be shaped.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub(crate) fn can(&self) -> Result<(), String> {
        self.switch().map(|_| ())
    }

    fn switch(&self) -> Result<&Switch, String> {
        self.0.as_deref().ok_or_else(|| {
            "the nodes of this lab are joined by plain cables: make a lab with a switch (`schism lab up --switch`), or \
             let the run make its own (--lab namespaces), which has one where a fault needs it"
                .to_owned()
        })
    }

    /// Does what is to be done to links.
    ///
    /// # Errors
    /// A rule that cannot be (an unknown node, a chance above one); or an action that is none on links.
    pub(crate) fn act(&self, action: &GroundAction) -> Result<serde_json::Value, String> {
        let switch = self.switch()?;
        let happened = match action {
            GroundAction::ShapeLinks { tag, links } => switch.set(tag, links)?,
            GroundAction::ClearLinks { tag } => switch.clear(tag),
            other => return Err(format!("`{other}` is nothing that is done to links")),
        };
        serde_json::to_value(happened).map_err(|error| error.to_string())
    }

    /// Takes a node (by its place) off the network at once, with what it still sends, and drops nothing else: to be
    /// called before its power is cut. It is on again when it asks for its port, which it does as it comes up. With
    /// cables this does nothing.
    #[allow(dead_code, reason = "for the hands that cut power")]
    pub(crate) fn unplug(&self, at: usize) {
        if let Some(switch) = &self.0 {
            switch.detach(at + 1);
        }
    }
}
