//! A [`Remote`] that runs commands on this machine, behind a prefix (`nsenter ...`).

use std::path::Path;
use std::process::Stdio;

use async_trait::async_trait;
use schism_cluster::{Command, Output, Remote, RemoteError};
use schism_history::Node;

/// A node that is a network namespace of this machine.
pub struct Local {
    /// Its name.
    pub node: Node,
    /// What goes before `sh -c`.
    pub prefix: Vec<String>,
}

#[async_trait]
impl Remote for Local {
    fn node(&self) -> &Node {
        &self.node
    }

    async fn output(&self, command: &Command) -> Result<Output, RemoteError> {
        let argv = [&self.prefix[..], &["sh".to_owned(), "-c".to_owned(), command.whole().into_owned()]].concat();
        let mut process = tokio::process::Command::new(&argv[0]);
        let output = process.args(&argv[1..]).stdin(Stdio::null()).output().await.unwrap();
        let status = output.status.code().unwrap_or(-1);
        Ok(Output { status, stdout: output.stdout, stderr: output.stderr })
    }

    async fn upload(&self, _: &[u8], _: &str, _: u32) -> Result<(), RemoteError> {
        unimplemented!("the probe copies nothing")
    }

    async fn download(&self, _: &str, _: &Path) -> Result<u64, RemoteError> {
        unimplemented!("the probe copies nothing")
    }
}
