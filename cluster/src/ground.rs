//! The waist [`Ground`]: what can be done to a node from outside it.

use async_trait::async_trait;
use schism_history::Node;

/// Why the ground did not do what it was told.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum GroundError {
    /// This ground cannot do it.
    #[error("the ground `{ground}` cannot {what}; use --lab namespaces or --lab vms")]
    Unsupported {
        /// Which ground.
        ground: &'static str,
        /// What was asked.
        what: &'static str,
    },
    /// It tried and failed.
    #[error("the ground could not {what} on node {node}: {reason}")]
    Failed {
        /// What was asked.
        what: &'static str,
        /// Where.
        node: Node,
        /// What happened.
        reason: String,
    },
}

/// What a ground is and can do. Abilities (power, links, disk images) are added as methods that say `Unsupported` by
/// default and are asked for at plan time.
#[async_trait]
pub trait Ground: Send + Sync {
    /// `namespaces`, `machines`.
    fn name(&self) -> &'static str;

    /// The identity by which `heal` finds the ground again (a lab's id), if it has one.
    fn id(&self) -> Option<&str> {
        None
    }
}

/// Machines that we can only log in to.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoGround;

#[async_trait]
impl Ground for NoGround {
    fn name(&self) -> &'static str {
        "machines"
    }
}
