//! Whole nodes: what faults that harm them have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schism_cluster::{Cluster, Db, Kill};
use schism_history::Node;
use serde_json::{Map, Value, json};

use super::victims::label;
use crate::fanout::{self, Part};
use crate::fault::{Evidence, FaultError, Undo};
use crate::faults::{processes_on, told};
use crate::grudge::names;
use crate::measure::{self, Answered, Boot};
use crate::target::Target;

/// How long a node may take for one answer before it counts as silent.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_millis(1500);
/// How long a node may take to say which boot it is in; one that lives may be slow.
const SAID_WITHIN: Duration = Duration::from_secs(6);
/// How long a node that is on again may take until it can be logged in to.
pub(super) const REACHED_WITHIN: Duration = Duration::from_secs(30);
/// How long a database that was started on it may take to have processes.
const RUNS_WITHIN: Duration = Duration::from_secs(15);
/// How often a node that should be silent is asked.
const TRIES: u32 = 2;

/// Some nodes, and what they were before.
#[derive(Debug, Clone)]
pub(super) struct Machines {
    class: &'static str,
    target: Target,
    pub(super) nodes: Vec<Node>,
    /// The boot in which each was found.
    before: BTreeMap<Node, Boot>,
    /// Where the database ran.
    ran: BTreeSet<Node>,
}

impl Machines {
    pub(super) fn new(class: &'static str, (target, nodes): (Target, Vec<Node>)) -> Machines {
        Machines { class, target, nodes, before: BTreeMap::new(), ran: BTreeSet::new() }
    }

    pub(super) fn label(&self) -> String {
        label(self.class, &self.target, &self.nodes)
    }

    pub(super) fn details(&self) -> Map<String, Value> {
        Map::from_iter([("target".to_owned(), json!(self.target))])
    }

    /// Looks at the nodes before the harm. One that does not answer (its power is cut already) is not harmed.
    ///
    /// # Errors
    /// When none answers.
    pub(super) async fn find(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<(), FaultError> {
        let asked = names(&self.nodes);
        let mut silent = Vec::new();
        for (node, boot) in boots(cluster, &self.nodes).await? {
            match boot {
                Ok(boot) => {
                    self.before.insert(node, boot);
                }
                Err(reason) => silent.push(reason),
            }
        }
        self.nodes.retain(|node| self.before.contains_key(node));
        if self.nodes.is_empty() {
            let reason = format!("{asked} cannot be reached: {}", silent.join("; "));
            return Err(FaultError::NoTarget { class: self.class.to_owned(), reason });
        }
        if let Some(kill) = db.kill() {
            let running = processes_on(cluster, &self.nodes, |handle| Box::pin(kill.processes(handle))).await?;
            self.ran = running.into_keys().collect();
        }
        Ok(())
    }

    /// The scripts that start the database where it ran.
    ///
    /// # Errors
    /// For a node that the cluster has not.
    pub(super) fn starts(&self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        let Some(kill) = db.kill() else { return Ok(Vec::new()) };
        let start = |node: &Node| {
            let script = kill.start_script(cluster, fanout::handle(cluster, node)?);
            Ok(Undo::OnNode { node: node.clone(), script })
        };
        self.ran.iter().map(start).collect()
    }

    /// Whether all of the nodes are silent, while of the others, if there are any, one answers: silence of all may be
    /// ours.
    ///
    /// # Errors
    /// For a node that the cluster has not.
    pub(super) async fn silent(&self, cluster: &Cluster) -> Result<Evidence, FaultError> {
        let names = cluster.names();
        let mut tries = 1;
        loop {
            let (harmed, others): (Vec<Answered>, Vec<Answered>) = measure::answers(cluster, &names, ANSWER_WITHIN)
                .await?
                .into_iter()
                .partition(|one| self.nodes.contains(&one.node));
            let silent = harmed.iter().all(|one| !one.answers);
            let heard = others.is_empty() || others.iter().any(|one| one.answers);
            // One that answers at all was not harmed; silence must last.
            if !silent || tries >= TRIES {
                let measured = json!({ "asked": harmed, "others": others, "tries": tries });
                return Ok(Evidence { proven: silent && heard, measured });
            }
            tries += 1;
        }
    }

    /// Whether all of the nodes can be logged in to, within half a minute.
    ///
    /// # Errors
    /// For a node that the cluster has not.
    pub(super) async fn reached(&self, cluster: &Cluster) -> Result<Evidence, FaultError> {
        let (all, seen) = measure::answer_within(cluster, &self.nodes, SAID_WITHIN, REACHED_WITHIN).await?;
        Ok(Evidence { proven: all, measured: json!({ "asked": seen }) })
    }

    /// Waits until each node is in another boot than before, or the time is up.
    ///
    /// # Errors
    /// For a node that the cluster has not.
    pub(super) async fn booted(&self, cluster: &Cluster, within: Duration) -> Result<Evidence, FaultError> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let seen = boots(cluster, &self.nodes).await?;
            let told: Vec<Value> = seen.iter().map(|(node, boot)| self.told(node, boot)).collect();
            let another = |(node, boot): &Seen| match (boot, self.before.get(node)) {
                (Ok(now), Some(before)) => now.is_another(before),
                _ => false,
            };
            let all = seen.iter().all(another);
            if all || tokio::time::Instant::now() >= deadline {
                return Ok(Evidence { proven: all, measured: json!({ "boots": told }) });
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    fn told(&self, node: &Node, boot: &Result<Boot, String>) -> Value {
        let before = self.before.get(node);
        match boot {
            Ok(boot) => json!({
                "node": node, "before": before, "now": boot,
                "another_boot": before.is_some_and(|before| boot.is_another(before)),
            }),
            Err(reason) => json!({ "node": node, "before": before, "unreachable": reason }),
        }
    }

    /// Waits until the database runs where it ran; adds what was seen to the evidence.
    ///
    /// # Errors
    /// When a node does not answer.
    pub(super) async fn runs(&self, cluster: &Cluster, db: &dyn Db, evidence: &mut Evidence) -> Result<(), FaultError> {
        let Some(kill) = db.kill().filter(|_| evidence.proven) else { return Ok(()) };
        let nodes: Vec<Node> = self.ran.iter().cloned().collect();
        let deadline = tokio::time::Instant::now() + RUNS_WITHIN;
        let running = loop {
            let running = running(cluster, kill, &nodes).await?;
            if nodes.iter().all(|node| running.contains_key(node)) || tokio::time::Instant::now() >= deadline {
                break running;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        evidence.proven = nodes.iter().all(|node| running.contains_key(node));
        evidence.measured["running"] = told(&running);
        Ok(())
    }
}

async fn running(cluster: &Cluster, kill: &dyn Kill, nodes: &[Node]) -> Result<crate::observe::Processes, FaultError> {
    processes_on(cluster, nodes, |handle| Box::pin(kill.processes(handle))).await
}

/// The boot of a node, or why it is not known.
type Seen = (Node, Result<Boot, String>);

async fn boots(cluster: &Cluster, nodes: &[Node]) -> Result<Vec<Seen>, FaultError> {
    let part = |node: &Node| -> Part<'_, Result<Seen, FaultError>> {
        let node = node.clone();
        Box::pin(async move {
            let boot = measure::boot(fanout::handle(cluster, &node)?, SAID_WITHIN).await;
            Ok((node, boot.map_err(|error| error.to_string())))
        })
    };
    fanout::all(nodes.iter().map(part).collect()).await.into_iter().collect()
}
