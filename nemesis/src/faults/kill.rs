//! Kills the database's processes (SIGKILL) and starts it again.
//!
//! Processes are told by number and start time, children included; nothing is killed by name or pattern.

use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::{Cluster, Command, Db};
use schism_history::Node;
use serde_json::{Map, Value, json};

use crate::class::{Family, FaultEntry, plain_label};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::{TARGETS, lacking, processes_on, told};
use crate::grudge::names;
use crate::need::Need;
use crate::observe::{self, Processes, Seen};
use crate::scripts;
use crate::target::Target;

/// The class.
pub const CLASS: &str = "kill";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Process,
    about: "kills the database's processes (SIGKILL) and starts it again",
    options: &[TARGETS],
    works: "every ground",
    verified: "the processes are gone, told by number and start time, and no others of the database run",
    undone: "the database is started again where it does not run; by the node itself when its lease ends",
    needs: |_| vec![Need::Kill],
    decide: |ask| {
        let (target, nodes) = ask.target()?;
        Ok(Box::new(Kill::new(target, nodes)))
    },
    label: plain_label,
};

/// How often what a dying process left behind (a child that it just forked) is looked for and killed too.
const ROUNDS: u32 = 3;
/// How long a killed process may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// How long a started database may take to have processes.
const BACK_WITHIN: Duration = Duration::from_secs(15);

/// The processes of the database on these nodes, killed.
#[derive(Debug, Clone)]
pub struct Kill {
    target: Target,
    nodes: Vec<Node>,
    found: Processes,
}

impl Kill {
    /// To kill on these nodes, which were chosen as this target.
    pub fn new(target: Target, nodes: Vec<Node>) -> Kill {
        Kill { target, nodes, found: Processes::new() }
    }

    async fn processes(&self, cluster: &Cluster, db: &dyn Db, nodes: &[Node]) -> Result<Processes, FaultError> {
        let kill = db.kill().ok_or_else(|| lacking(CLASS, db))?;
        processes_on(cluster, nodes, |handle| Box::pin(kill.processes(handle))).await
    }
}

#[async_trait]
impl Fault for Kill {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn label(&self) -> String {
        match &self.target {
            Target::Nodes(_) => format!("kill: {}", names(&self.nodes)),
            target => format!("kill: {} ({target})", names(&self.nodes)),
        }
    }

    fn nodes(&self) -> Vec<Node> {
        self.nodes.clone()
    }

    fn details(&self) -> Map<String, Value> {
        Map::from_iter([("target".to_owned(), json!(self.target)), ("processes".to_owned(), told(&self.found))])
    }

    async fn prepare(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        let kill = db.kill().ok_or_else(|| lacking(CLASS, db))?;
        self.found = self.processes(cluster, db, &self.nodes).await?;
        let asked = names(&self.nodes);
        self.nodes.retain(|node| self.found.contains_key(node));
        if self.nodes.is_empty() {
            let reason = format!("{} does not run on {asked}", db.name());
            return Err(FaultError::NoTarget { class: CLASS.to_owned(), reason });
        }
        let mut undo = Vec::new();
        for node in &self.nodes {
            let script = kill.start_script(cluster, fanout::handle(cluster, node)?);
            undo.push(Undo::OnNode { node: node.clone(), script });
        }
        Ok(undo)
    }

    async fn inject(&self, cluster: &Cluster, db: &dyn Db) -> Result<(), FaultError> {
        let mut victims = self.found.clone();
        for _ in 0..ROUNDS {
            let commands = victims
                .iter()
                .map(|(node, list)| (node.clone(), Command::new(scripts::signal("KILL", list))))
                .collect();
            fanout::run_all(cluster, commands).await?;
            observe::states_until(cluster, &victims, Seen::is_gone, GONE_WITHIN).await?;
            victims = self.processes(cluster, db, &self.nodes).await?;
            if victims.is_empty() {
                break;
            }
        }
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let (gone, seen) = observe::states_until(cluster, &self.found, Seen::is_gone, GONE_WITHIN).await?;
        let others = self.processes(cluster, db, &self.nodes).await?;
        let measured = json!({ "processes": seen, "running": told(&others) });
        Ok(Evidence { proven: gone && others.is_empty(), measured })
    }

    async fn verify_healed(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let deadline = tokio::time::Instant::now() + BACK_WITHIN;
        loop {
            let running = self.processes(cluster, db, &self.nodes).await?;
            let back = self.nodes.iter().all(|node| running.contains_key(node));
            if back || tokio::time::Instant::now() >= deadline {
                return Ok(Evidence { proven: back, measured: json!({ "running": told(&running) }) });
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
