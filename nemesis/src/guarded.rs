//! Hands that harm only while the lease stands.
//!
//! A command may come to a node long after it was sent: SSH hangs, a cut ends, and what the kernel still had to send is
//! delivered, though the controller is dead and the node has healed itself meanwhile. And one that came in time may still be
//! at work when the lease ends. So everything that an injection runs on a node with a lease runs in a session of its own,
//! whose number is told to the lease first, and asks then, on the node, whether that lease is still there: whoever undoes the fault
//! ends the sessions that work for it before ([`crate::scripts::lease_work`]).
//!
//! What it leaves behind on purpose (`setsid`) goes on; the undo knows it, and what begins too late for the undo ends by
//! itself. What the ground does is done at once, and not covered.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use schism_cluster::{Cluster, Command, NodeHandle, Output, Remote, RemoteError};
use schism_history::Node;

/// A node whose commands begin with a question, in sessions of their own.
struct Guarded {
    inner: Arc<dyn Remote>,
    question: String,
}

impl Guarded {
    fn asked(&self, command: &Command) -> Command {
        command.clone().before(&self.question).in_own_session()
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
