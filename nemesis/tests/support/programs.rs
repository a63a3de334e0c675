//! A database that is a real program on each node of this machine.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use schism_cluster::daemon::{DaemonSpec, parse_status, start_script, status_script, stop_script};
use schism_cluster::{Cluster, Command, Db, DbError, Kill, NodeHandle, Pause, ProcessId};
use schism_history::Node;

use super::local_cluster;

/// One program a node, its number and what it says kept in a folder. Its processes end with it.
pub struct Programs {
    pub folder: tempfile::TempDir,
    pub cluster: Cluster,
    argv: Vec<String>,
}

impl Programs {
    /// This program on so many nodes, which all are this machine.
    pub async fn new(nodes: usize, argv: &[&str]) -> Arc<Programs> {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let folder = tempfile::tempdir().expect("the set-up of a test");
        let programs = Arc::new(Programs { folder, argv, cluster: local_cluster(nodes) });
        for handle in &programs.cluster.nodes {
            let start = Command::new(programs.start_script(&programs.cluster, handle));
            handle.remote.run(&start).await.expect("the set-up of a test");
        }
        programs
    }

    fn spec(&self, on: &NodeHandle) -> DaemonSpec {
        let folder = self.folder.path().display().to_string();
        let mut spec = DaemonSpec::new(on.node.as_str(), self.argv.clone());
        (spec.log, spec.state_dir) = (format!("{folder}/{}.log", on.node), folder);
        spec
    }

    fn pid_file(&self, node: &str) -> PathBuf {
        self.folder.path().join(format!("{node}.pid"))
    }

    /// Its number on a node, whether it runs or not.
    pub fn pid(&self, node: &str) -> u32 {
        let text = std::fs::read_to_string(self.pid_file(node)).expect("it was started");
        text.split_once(' ').and_then(|(pid, _)| pid.parse().ok()).expect("a number and a time")
    }

    /// The state letter of its process on a node; none where that is gone.
    pub fn state(&self, node: &str) -> Option<char> {
        let text = std::fs::read_to_string(self.pid_file(node)).ok()?;
        let (pid, start) = text.trim().split_once(' ')?;
        let stat = schism_cluster::process::parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
        (stat.id.start_ticks.to_string() == start && !matches!(stat.state, 'Z' | 'X')).then_some(stat.state)
    }

    /// Its process on a node, if it runs.
    pub async fn running(&self, node: &str) -> Vec<ProcessId> {
        let handle = self.cluster.get(&Node::new(node)).expect("a node");
        Kill::processes(self, handle).await.expect("it answers")
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        for handle in &self.cluster.nodes {
            let stop = stop_script(&self.spec(handle), 0);
            let _ = std::process::Command::new("sh").args(["-c", &stop]).output();
        }
    }
}

#[async_trait]
impl Db for Programs {
    fn name(&self) -> &'static str {
        "programs"
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
}

#[async_trait]
impl Kill for Programs {
    async fn processes(&self, on: &NodeHandle) -> Result<Vec<ProcessId>, DbError> {
        let status = on.remote.run(&Command::new(status_script(&self.spec(on)))).await?;
        Ok(parse_status(&status.text()).into_iter().collect())
    }

    fn start_script(&self, _: &Cluster, on: &NodeHandle) -> String {
        start_script(&self.spec(on))
    }

    fn processes_script(&self, on: &NodeHandle) -> Option<String> {
        let status = status_script(&self.spec(on));
        Some(format!("set -- $(\n{status})\n[ \"$1\" != running ] || echo \"$2 $3\"\n"))
    }
}

#[async_trait]
impl Pause for Programs {
    async fn processes(&self, on: &NodeHandle) -> Result<Vec<ProcessId>, DbError> {
        Kill::processes(self, on).await
    }
}
