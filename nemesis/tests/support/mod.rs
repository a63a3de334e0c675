//! Hands and databases for tests: real shells on this machine, and a database that is a few sleeping processes.

#![allow(dead_code)]

pub mod bench;
pub mod golden;

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use schism_cluster::{
    Cluster, Command, Db, DbError, Kill, NoGround, NodeHandle, Output, Pause, Primaries, ProcessId, Remote, RemoteError,
};
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

/// A database that is one sleeping process a node, its number kept in a file of a folder.
pub struct Sleepers {
    pub folder: std::path::PathBuf,
    pub primaries: Mutex<Vec<Node>>,
}

impl Sleepers {
    pub fn new(folder: &Path) -> Arc<Sleepers> {
        Arc::new(Sleepers { folder: folder.to_owned(), primaries: Mutex::default() })
    }

    fn pid_file(&self, node: &Node) -> std::path::PathBuf {
        self.folder.join(format!("{node}.pid"))
    }

    /// Starts it on a node. Detached, so that it is reaped by init and not a child of the test.
    pub async fn start(&self, on: &NodeHandle) {
        let cluster = Cluster { nodes: vec![on.clone()], ground: Arc::new(NoGround) };
        on.remote.run(&Command::new(self.start_script(&cluster, on))).await.expect("the set-up of a test");
    }

    /// Ends what is left of it, by number.
    pub fn end(&self, cluster: &Cluster) {
        for handle in &cluster.nodes {
            for process in self.running(&handle.node) {
                let _ = std::process::Command::new("kill").arg("-9").arg(process.pid.to_string()).status();
            }
        }
    }

    /// The state letter of its process on a node.
    pub fn state(&self, node: &Node) -> Option<char> {
        let pid = std::fs::read_to_string(self.pid_file(node)).ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    pub fn running(&self, node: &Node) -> Vec<ProcessId> {
        let pid = std::fs::read_to_string(self.pid_file(node)).ok().and_then(|text| text.trim().parse().ok());
        let found = pid.and_then(|pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
            let sleeps = stat.contains("(sleep)") && fields[0] != "Z";
            sleeps.then(|| ProcessId { pid, start_ticks: fields[19].parse().expect("the set-up of a test") })
        });
        found.into_iter().collect()
    }
}

#[async_trait]
impl Db for Sleepers {
    fn name(&self) -> &'static str {
        "sleepers"
    }
    async fn setup(&self, _: &Cluster, _: &NodeHandle) -> Result<(), DbError> {
        Ok(())
    }
    async fn await_ready(&self, _: &Cluster) -> Result<(), DbError> {
        Ok(())
    }
    async fn teardown(&self, _: &Cluster, _: &NodeHandle) -> Result<(), DbError> {
        Ok(())
    }
    async fn version(&self, _: &NodeHandle) -> Result<String, DbError> {
        Ok("1".to_owned())
    }
    fn kill(&self) -> Option<&dyn Kill> {
        Some(self)
    }
    fn pause(&self) -> Option<&dyn Pause> {
        Some(self)
    }
    fn primaries(&self) -> Option<&dyn Primaries> {
        Some(self)
    }
}

#[async_trait]
impl Kill for Sleepers {
    async fn processes(&self, on: &NodeHandle) -> Result<Vec<ProcessId>, DbError> {
        Ok(self.running(&on.node))
    }

    fn start_script(&self, _: &Cluster, on: &NodeHandle) -> String {
        let file = self.pid_file(&on.node).display().to_string();
        format!(
            "pid=$(cat {file} 2>/dev/null)\n\
             if [ -n \"$pid\" ] && grep -q '(sleep) [^Z]' \"/proc/$pid/stat\" 2>/dev/null; then exit 0; fi\n\
             setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $! > {file}\n\
             sleep 0.1\n"
        )
    }
}

#[async_trait]
impl Pause for Sleepers {
    async fn processes(&self, on: &NodeHandle) -> Result<Vec<ProcessId>, DbError> {
        Ok(self.running(&on.node))
    }
}

#[async_trait]
impl Primaries for Sleepers {
    async fn primaries(&self, _: &Cluster) -> Vec<Node> {
        self.primaries.lock().expect("the set-up of a test").clone()
    }
}
