//! Hands that harm only while the lease stands.
//!
//! A command may come to a node long after it was sent: SSH hangs, a cut ends, and what the kernel still had to send is
//! delivered, though the controller is dead and the node has healed itself meanwhile. So everything that an injection runs on
//! a node with a lease asks first, on the node, whether that lease is still there. What began before the lease ran out and
//! goes on after it is not stopped by this: such scripts look for themselves.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use schism_cluster::{Cluster, Command, NodeHandle, Output, Remote, RemoteError};
use schism_history::Node;

/// A node whose commands begin with a question.
struct Guarded {
    inner: Arc<dyn Remote>,
    question: String,
}

impl Guarded {
    fn asked(&self, command: &Command) -> Command {
        command.clone().before(&self.question)
    }
}

#[async_trait]
impl Remote for Guarded {
    fn node(&self) -> &Node {
        self.inner.node()
    }

    async fn output(&self, command: &Command) -> Result<Output, RemoteError> {
        self.inner.output(&self.asked(command)).await
    }

    async fn output_apart(&self, command: &Command) -> Result<Output, RemoteError> {
        self.inner.output_apart(&self.asked(command)).await
    }

    async fn upload(&self, bytes: &[u8], to: &str, mode: u32) -> Result<(), RemoteError> {
        self.inner.upload(bytes, to, mode).await
    }

    async fn download(&self, from: &str, to: &Path) -> Result<u64, RemoteError> {
        self.inner.download(from, to).await
    }
}

/// The cluster with this question, a script that ends the shell where the answer is no, before every command on nodes that
/// have one.
pub(crate) fn guarded(cluster: &Cluster, question: impl Fn(&Node) -> Option<String>) -> Cluster {
    let guard = |handle: &NodeHandle| match question(&handle.node) {
        None => handle.clone(),
        Some(question) => {
            let inner = Arc::clone(&handle.remote);
            NodeHandle { remote: Arc::new(Guarded { inner, question }), ..handle.clone() }
        }
    };
    Cluster { nodes: cluster.nodes.iter().map(guard).collect(), ground: Arc::clone(&cluster.ground) }
}
