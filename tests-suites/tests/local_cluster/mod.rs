//! Nodes on loopback: each has an address in 127/8 and a folder that its scripts take for the root of their paths.
//! What was started is stopped when the cluster is dropped, however the test ends.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use schism_cluster::daemon::{DaemonSpec, stop_script};
use schism_cluster::shell::receive_script;
use schism_cluster::{Cluster, Command, NoGround, NodeHandle, Output, Remote, RemoteError};
use schism_history::Node;
use schism_tests_suites::etcd::EtcdOptions;

/// The folder that holds `etcd`, or why the test is skipped.
pub fn etcd_folder() -> Result<PathBuf, String> {
    let from_path = || {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&folders).map(|folder| folder.join("etcd")).find(|file| file.is_file())
    };
    let file = std::env::var_os("SCHISM_TEST_ETCD").map(PathBuf::from).or_else(from_path);
    match file {
        Some(file) if file.is_file() => Ok(file.parent().unwrap_or(Path::new("/")).to_owned()),
        Some(file) => Err(format!("SCHISM_TEST_ETCD names {}, which is no file", file.display())),
        None => Err("no etcd in PATH, and SCHISM_TEST_ETCD does not name one".to_owned()),
    }
}

/// The hands on a node of loopback.
pub struct LocalRemote {
    node: Node,
    root: PathBuf,
    path: String,
}

impl LocalRemote {
    fn rooted(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for folder in ["/var/lib/schism", "/var/log/schism", "/run/schism", "/opt/schism"] {
            text = text.replace(folder, &format!("{}{folder}", self.root.display()));
        }
        text
    }

    fn copy_error(&self, from: &str, to: &str, error: &std::io::Error) -> RemoteError {
        let (from, to, reason) = (from.to_owned(), to.to_owned(), error.to_string());
        RemoteError::Copy { node: self.node.clone(), from, to, reason }
    }
}

#[async_trait]
impl Remote for LocalRemote {
    fn node(&self) -> &Node {
        &self.node
    }

    async fn output(&self, command: &Command) -> Result<Output, RemoteError> {
        let child = tokio::process::Command::new("sh")
            .arg("-c")
            .arg(self.rooted(&command.whole()))
            .env("PATH", &self.path)
            .stdin(Stdio::null())
            .output();
        let output = tokio::time::timeout(command.deadline, child).await.map_err(|_| RemoteError::Deadline {
            node: self.node.clone(),
            command: command.script.clone(),
            after: command.deadline,
        })?;
        let output = output.map_err(|error| self.copy_error("sh", "a process", &error))?;
        Ok(Output { status: output.status.code().unwrap_or(255), stdout: output.stdout, stderr: output.stderr })
    }

    async fn upload(&self, bytes: &[u8], to: &str, mode: u32) -> Result<(), RemoteError> {
        // Another process writes: what this one has open for writing, its other children have open too until they exec, and
        // then nobody may run it.
        let write = async {
            use tokio::io::AsyncWriteExt as _;
            let mut child = tokio::process::Command::new("sh")
                .args(["-c", &self.rooted(&receive_script(to, mode, bytes.len()))])
                .stdin(Stdio::piped())
                .spawn()?;
            if let Some(mut input) = child.stdin.take() {
                input.write_all(bytes).await?;
            }
            match child.wait().await? {
                status if status.success() => Ok(()),
                status => Err(std::io::Error::other(status.to_string())),
            }
        };
        write.await.map_err(|error| self.copy_error("memory", to, &error))
    }

    async fn download(&self, from: &str, to: &Path) -> Result<u64, RemoteError> {
        std::fs::copy(self.rooted(from), to).map_err(|error| self.copy_error(from, &to.display().to_string(), &error))
    }
}

/// A cluster on loopback.
pub struct LocalCluster {
    pub cluster: Cluster,
    folder: tempfile::TempDir,
}

/// Each cluster of this process has addresses of its own; processes differ by their number.
static CLUSTERS: AtomicU8 = AtomicU8::new(1);

impl LocalCluster {
    pub fn new(nodes: usize, etcd_folder: &Path) -> LocalCluster {
        let folder = tempfile::tempdir().unwrap();
        let path = format!("{}:{}", etcd_folder.display(), std::env::var("PATH").unwrap_or_default());
        let net = format!("127.{}.{}", 1 + std::process::id() % 250, CLUSTERS.fetch_add(1, Ordering::Relaxed));
        let handle = |at: usize| {
            let node = Node::new(&format!("n{}", at + 1));
            let root = folder.path().join(node.as_str());
            std::fs::create_dir_all(root.join("var/log")).unwrap();
            let remote = Arc::new(LocalRemote { node: node.clone(), root, path: path.clone() });
            NodeHandle { node, address: format!("{net}.{}", at + 1), remote }
        };
        let nodes = (0..nodes).map(handle).collect();
        LocalCluster { cluster: Cluster { nodes, ground: Arc::new(NoGround) }, folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        for handle in &self.cluster.nodes {
            let mut spec = DaemonSpec::new("etcd", Vec::<String>::new());
            spec.state_dir =
                self.folder.path().join(handle.node.as_str()).join("run/schism-etcd").display().to_string();
            let _ = std::process::Command::new("sh").arg("-c").arg(stop_script(&spec, 0)).output();
        }
    }
}

/// Options for these nodes: ports that nobody uses by default, and time enough for whatever shall succeed, however busy the
/// machine is.
pub fn options() -> EtcdOptions {
    EtcdOptions {
        client_port: 23790,
        peer_port: 23800,
        heartbeat_ms: 100,
        election_ms: 1_000,
        operation_timeout_ms: 10_000,
        connect_timeout_ms: 5_000,
        ready_timeout_ms: 60_000,
        ..EtcdOptions::default()
    }
}

/// The same for clients that shall not be answered in time, which etcd itself ends after some seconds.
pub fn hasty() -> EtcdOptions {
    EtcdOptions { operation_timeout_ms: 3_000, connect_timeout_ms: 2_000, ..options() }
}
