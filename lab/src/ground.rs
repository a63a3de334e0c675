//! The lab as a [`Ground`].

use async_trait::async_trait;
use schism_cluster::Ground;

/// Nodes in namespaces of this machine.
#[derive(Debug, Clone)]
pub struct NamespaceGround {
    /// The lab's id.
    pub id: String,
}

#[async_trait]
impl Ground for NamespaceGround {
    fn name(&self) -> &'static str {
        "namespaces"
    }

    fn id(&self) -> Option<&str> {
        Some(&self.id)
    }
}
