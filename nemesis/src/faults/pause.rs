//! Stops the database's processes (SIGSTOP) and lets them go on (SIGCONT).
//!
//! A process that is gone when it should go on (it was killed meanwhile, or the database was started anew) is no
//! trouble: nothing of it is paused any more.

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
pub const CLASS: &str = "pause";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Process,
    about: "stops the database's processes (SIGSTOP) and lets them go on",
    options: &[TARGETS],
    works: "every ground",
    verified: "the state of the processes in /proc: stopped",
    undone: "SIGCONT to exactly these processes; by the node itself when its lease ends",
    needs: |_| vec![Need::Pause],
    decide: |ask| {
        let (target, nodes) = ask.target()?;
        Ok(Box::new(Pause::new(target, nodes)))
    },
    label: plain_label,
};

/// How long a process may take to stop, or to go on.
const SEEN_WITHIN: Duration = Duration::from_secs(3);

/// The processes of the database on these nodes, stopped.
#[derive(Debug, Clone)]
pub struct Pause {
    target: Target,
    nodes: Vec<Node>,
    found: Processes,
}

impl Pause {
    /// To stop on these nodes, which were chosen as this target.
    pub fn new(target: Target, nodes: Vec<Node>) -> Pause {
        Pause { target, nodes, found: Processes::new() }
    }
}

#[async_trait]
impl Fault for Pause {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn label(&self) -> String {
        match &self.target {
            Target::Nodes(_) => format!("pause: {}", names(&self.nodes)),
            target => format!("pause: {} ({target})", names(&self.nodes)),
        }
    }

    fn nodes(&self) -> Vec<Node> {
        self.nodes.clone()
    }

    fn details(&self) -> Map<String, Value> {
        Map::from_iter([("target".to_owned(), json!(self.target)), ("processes".to_owned(), told(&self.found))])
    }

    async fn prepare(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        let pause = db.pause().ok_or_else(|| lacking(CLASS, db))?;
        self.found = processes_on(cluster, &self.nodes, |handle| Box::pin(pause.processes(handle))).await?;
        let asked = names(&self.nodes);
        self.nodes.retain(|node| self.found.contains_key(node));
        if self.nodes.is_empty() {
            let reason = format!("{} does not run on {asked}", db.name());
            return Err(FaultError::NoTarget { class: CLASS.to_owned(), reason });
        }
        let undo =
            |(node, list): (&Node, &Vec<_>)| Undo::OnNode { node: node.clone(), script: scripts::signal("CONT", list) };
        Ok(self.found.iter().map(undo).collect())
    }

    async fn inject(&self, cluster: &Cluster, _db: &dyn Db) -> Result<(), FaultError> {
        let commands =
            self.found.iter().map(|(node, list)| (node.clone(), Command::new(scripts::signal("STOP", list)))).collect();
        fanout::run_all(cluster, commands).await?;
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let (_, seen) = observe::states_until(cluster, &self.found, Seen::is_stopped, SEEN_WITHIN).await?;
        // A helper that ended by itself, or a node killed by another class, is not stopped; but every node must have
        // something that is.
        let harmed = self.nodes.iter().all(|node| seen.iter().any(|one| one.node == *node && one.is_stopped()));
        let rest = seen.iter().all(|one| one.is_stopped() || one.is_gone());
        Ok(Evidence { proven: harmed && rest, measured: json!({ "processes": seen }) })
    }

    async fn verify_healed(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let (going, seen) = observe::states_until(cluster, &self.found, |one| !one.is_stopped(), SEEN_WITHIN).await?;
        Ok(Evidence { proven: going, measured: json!({ "processes": seen }) })
    }
}
