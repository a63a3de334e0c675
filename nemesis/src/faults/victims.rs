//! The database's processes on chosen nodes: what faults that harm them have in common.

use std::time::Duration;

use schism_cluster::{Cluster, Db};
use schism_history::Node;
use serde_json::{Map, Value, json};

use crate::fanout;
use crate::fault::{Evidence, FaultError};
use crate::faults::{lacking, processes_on, told};
use crate::grudge::names;
use crate::observe::Processes;
use crate::target::Target;

/// How long a started database may take to have processes.
const BACK_WITHIN: Duration = Duration::from_secs(15);

/// `terminate: n1 n2 (minority)`.
pub(super) fn label(class: &str, target: &Target, nodes: &[Node]) -> String {
    match target {
        Target::Nodes(_) => format!("{class}: {}", names(nodes)),
        target => format!("{class}: {} ({target})", names(nodes)),
    }
}

/// The database's processes on some nodes.
#[derive(Debug, Clone)]
pub(super) struct Victims {
    class: &'static str,
    target: Target,
    pub(super) nodes: Vec<Node>,
    pub(super) found: Processes,
}

impl Victims {
    /// On these nodes, which were chosen as this target; nobody was asked yet.
    pub(super) fn new(class: &'static str, (target, nodes): (Target, Vec<Node>)) -> Victims {
        Victims { class, target, nodes, found: Processes::new() }
    }

    pub(super) fn label(&self) -> String {
        label(self.class, &self.target, &self.nodes)
    }

    pub(super) fn details(&self) -> Map<String, Value> {
        Map::from_iter([("target".to_owned(), json!(self.target)), ("processes".to_owned(), told(&self.found))])
    }

    /// The processes that run on these nodes now.
    ///
    /// # Errors
    /// When a node does not answer.
    pub(super) async fn running(&self, cluster: &Cluster, db: &dyn Db) -> Result<Processes, FaultError> {
        let kill = db.kill().ok_or_else(|| lacking(self.class, db))?;
        processes_on(cluster, &self.nodes, |handle| Box::pin(kill.processes(handle))).await
    }

    /// Remembers the processes that run now; nodes without any are not harmed.
    ///
    /// # Errors
    /// When there is nobody, or a node does not answer.
    pub(super) async fn find(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<(), FaultError> {
        self.found = self.running(cluster, db).await?;
        let asked = names(&self.nodes);
        self.nodes.retain(|node| self.found.contains_key(node));
        if self.nodes.is_empty() {
            let reason = format!("{} does not run on {asked}", db.name());
            return Err(FaultError::NoTarget { class: self.class.to_owned(), reason });
        }
        Ok(())
    }

    /// The script that starts the database, for each of the nodes.
    ///
    /// # Errors
    /// Where the database cannot be started.
    pub(super) fn start_scripts(&self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<(Node, String)>, FaultError> {
        let kill = db.kill().ok_or_else(|| lacking(self.class, db))?;
        let script = |node: &Node| Ok((node.clone(), kill.start_script(cluster, fanout::handle(cluster, node)?)));
        self.nodes.iter().map(script).collect()
    }

    /// Waits until the database runs on all of the nodes.
    ///
    /// # Errors
    /// When a node does not answer.
    pub(super) async fn back(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let deadline = tokio::time::Instant::now() + BACK_WITHIN;
        loop {
            let running = self.running(cluster, db).await?;
            let back = self.nodes.iter().all(|node| running.contains_key(node));
            if back || tokio::time::Instant::now() >= deadline {
                return Ok(Evidence { proven: back, measured: json!({ "running": told(&running) }) });
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
