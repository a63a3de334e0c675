//! The nodes of a run and how to reach them.

use std::sync::Arc;

use schism_history::Node;

use crate::ground::Ground;
use crate::remote::Remote;

/// One node: its name, its address as the other nodes and the clients see it, and our hands on it.
#[derive(Clone)]
pub struct NodeHandle {
    /// Its name (`n1`).
    pub node: Node,
    /// Its address (`10.77.0.11`, or an IPv6 address without brackets).
    pub address: String,
    /// Our hands on it.
    pub remote: Arc<dyn Remote>,
}

/// The nodes of a run, in the order of the plan.
#[derive(Clone)]
pub struct Cluster {
    /// The nodes.
    pub nodes: Vec<NodeHandle>,
    /// Where they live.
    pub ground: Arc<dyn Ground>,
}

impl Cluster {
    /// The node of that name.
    pub fn get(&self, node: &Node) -> Option<&NodeHandle> {
        self.nodes.iter().find(|handle| handle.node == *node)
    }

    /// All names, in order.
    pub fn names(&self) -> Vec<Node> {
        self.nodes.iter().map(|handle| handle.node.clone()).collect()
    }
}
