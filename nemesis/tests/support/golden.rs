//! What golden tests share: the reader of their files, and a database that is nothing but what it says of itself.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use schism_cluster::{
    Cluster, DATA_DISK, DataFiles, Db, DbError, Kill, Membership, NodeHandle, Pause, Primaries, ProcessId,
};
use schism_history::Node;

/// Compares what was found with a file below `tests/golden`. `SCHISM_BLESS=1` writes it anew.
pub fn compare(name: &str, found: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("SCHISM_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("the set-up of a test");
        std::fs::write(&path, found).expect("the set-up of a test");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "commands changed: {name} (SCHISM_BLESS=1 takes them over)");
}

/// A database that can do everything, and runs on every node or on none.
pub struct StandIn {
    /// How many processes it has on a node.
    pub processes: u32,
    /// See [`StandIn::down`].
    pub down: Mutex<bool>,
    /// Who belongs to it.
    pub members: Mutex<Vec<Node>>,
    /// Who leads; where it knows of nobody, it cannot tell who leads.
    pub primaries: Vec<Node>,
    /// Whether it can be rebuilt from its other members.
    pub rebuilds: bool,
}

impl StandIn {
    /// Of so many processes a node: 41, which started at tick 700, and so on. Its members are n1, n2 and n3.
    pub fn of(processes: u32) -> StandIn {
        let members = Mutex::new(["n1", "n2", "n3"].map(Node::new).to_vec());
        StandIn { processes, down: Mutex::new(false), members, primaries: Vec::new(), rebuilds: false }
    }

    /// Whether it does not run, to be changed by what nodes are told.
    pub fn down(&self) -> MutexGuard<'_, bool> {
        self.down.lock().expect("the set-up of a test")
    }

    fn members(&self) -> MutexGuard<'_, Vec<Node>> {
        self.members.lock().expect("the set-up of a test")
    }
}

#[async_trait]
impl Db for StandIn {
    fn name(&self) -> &'static str {
        "scripted"
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
        (!self.primaries.is_empty()).then_some(self)
    }
    fn data_files(&self) -> Option<&dyn DataFiles> {
        Some(self)
    }
    fn membership(&self) -> Option<&dyn Membership> {
        Some(self)
    }
}

#[async_trait]
impl Kill for StandIn {
    async fn processes(&self, _: &NodeHandle) -> Result<Vec<ProcessId>, DbError> {
        let process = |number| ProcessId { pid: 41 + number, start_ticks: 700 + u64::from(number) };
        Ok(if *self.down() { Vec::new() } else { (0..self.processes).map(process).collect() })
    }
    fn start_script(&self, _: &Cluster, on: &NodeHandle) -> String {
        format!("start-scripted --name {}\n", on.node)
    }
    fn processes_script(&self, _: &NodeHandle) -> Option<String> {
        Some("find-scripted\n".to_owned())
    }
}

#[async_trait]
impl Pause for StandIn {
    async fn processes(&self, on: &NodeHandle) -> Result<Vec<ProcessId>, DbError> {
        Kill::processes(self, on).await
    }
}

#[async_trait]
impl Primaries for StandIn {
    async fn primaries(&self, _: &Cluster) -> Vec<Node> {
        self.primaries.clone()
    }
}

impl DataFiles for StandIn {
    fn data_dir(&self, _: &NodeHandle) -> String {
        format!("{DATA_DISK}/db")
    }
    fn patterns(&self) -> Vec<&'static str> {
        vec!["wal/*.wal", "db"]
    }
    fn rebuild_script(&self, _: &Cluster, on: &NodeHandle) -> Option<String> {
        self.rebuilds.then(|| format!("rebuild-scripted --name {} && start-scripted\n", on.node))
    }
}

#[async_trait]
impl Membership for StandIn {
    async fn members(&self, _: &Cluster) -> Result<Vec<Node>, DbError> {
        Ok(self.members().clone())
    }
    async fn remove(&self, _: &Cluster, node: &Node) -> Result<(), DbError> {
        self.members().retain(|member| member != node);
        Ok(())
    }
    fn rejoin_scripts(&self, _: &Cluster, node: &Node, through: &Node) -> (String, String) {
        (format!("announce {node}\n"), format!("join {node} through {through}\n"))
    }
}
