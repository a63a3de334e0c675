//! What tests share: hands that are real shells on this machine; below, databases and a bench that only remembers.

#![allow(dead_code)]

pub mod bench;
pub mod golden;
pub mod programs;

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use async_trait::async_trait;
use schism_cluster::{Cluster, Command, NoGround, NodeHandle, Output, Remote, RemoteError};
use schism_history::Node;
use tokio::io::AsyncWriteExt;

/// A node that is this machine, or a namespace of it: runs commands by `sh -c` behind a prefix (`nsenter ...`).
pub struct LocalRemote {
    pub node: Node,
    pub prefix: Vec<String>,
}

#[async_trait]
impl Remote for LocalRemote {
    fn node(&self) -> &Node {
        &self.node
    }

    async fn output(&self, command: &Command) -> Result<Output, RemoteError> {
        let script = command.whole();
        let mut words = self.prefix.iter().map(String::as_str).chain(["sh", "-c", &script]);
        let trouble = |reason: std::io::Error| RemoteError::Unreachable {
            node: self.node.clone(),
            address: "here".to_owned(),
            reason: reason.to_string(),
            hint: "None".to_owned(),
        };
        let mut child = tokio::process::Command::new(words.next().expect("the set-up of a test"))
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(trouble)?;
        let mut stdin = child.stdin.take().expect("the set-up of a test");
        // A script that reads nothing closes the pipe early: no trouble.
        let _ = stdin.write_all(&command.stdin).await;
        drop(stdin);
        let ended = tokio::time::timeout(command.deadline, child.wait_with_output()).await;
        let output = ended.expect("a command of a test is too slow").map_err(trouble)?;
        Ok(Output { status: output.status.code().unwrap_or(255), stdout: output.stdout, stderr: output.stderr })
    }

    async fn upload(&self, _: &[u8], _: &str, _: u32) -> Result<(), RemoteError> {
        unreachable!("the nemesis uploads nothing")
    }

    async fn download(&self, _: &str, _: &Path) -> Result<u64, RemoteError> {
        unreachable!("the nemesis downloads nothing")
    }
}

/// Nodes `n1`... that all are this machine.
pub fn local_cluster(count: usize) -> Cluster {
    let node = |number: usize| {
        let node = Node::new(&format!("n{number}"));
        let remote = Arc::new(LocalRemote { node: node.clone(), prefix: Vec::new() });
        NodeHandle { node, address: format!("10.0.0.{number}"), remote }
    };
    Cluster { nodes: (1..=count).map(node).collect(), ground: Arc::new(NoGround) }
}
