//! A process of the agent on each of some nodes, which is the harm itself: what faults of resources have in common.

use std::collections::BTreeMap;

use schism_cluster::{Cluster, Command, ProcessId};
use schism_history::Node;
use serde_json::{Map, Value, json};

use super::victims::label;
use crate::agent;
use crate::class::Ask;
use crate::fanout;
use crate::fault::{FaultError, Undo};
use crate::observe::Processes;
use crate::scripts;
use crate::target::Target;

/// An agent's process on each of some nodes.
#[derive(Debug, Clone)]
pub(super) struct Hired {
    class: &'static str,
    target: Target,
    pub(super) nodes: Vec<Node>,
    lease: String,
    lifetime_s: u64,
    /// Where the agent lies on each node.
    paths: BTreeMap<Node, String>,
}

impl Hired {
    /// On the nodes that were asked for; nobody was asked yet.
    ///
    /// # Errors
    /// When there is nobody to harm.
    pub(super) fn new(ask: &Ask<'_>) -> Result<Hired, FaultError> {
        let (target, nodes) = ask.target()?;
        Ok(Hired {
            class: ask.entry.name,
            target,
            nodes,
            lease: ask.tag.lease(ask.fault_id),
            lifetime_s: lifetime_s(ask.intention.duration_ms),
            paths: BTreeMap::new(),
        })
    }

    pub(super) fn label(&self) -> String {
        label(self.class, &self.target, &self.nodes)
    }

    pub(super) fn details(&self) -> Map<String, Value> {
        Map::from_iter([("target".to_owned(), json!(self.target))])
    }

    /// The name of this fault's files on a node.
    pub(super) fn mark(&self, node: &Node) -> String {
        scripts::mark(&self.lease, node.as_str())
    }

    /// Makes sure of the agent; the undo ends its process.
    ///
    /// # Errors
    /// Where the agent cannot be had.
    pub(super) async fn prepare(&mut self, cluster: &Cluster) -> Result<Vec<Undo>, FaultError> {
        self.paths = agent::ensure(cluster, &self.nodes).await?;
        let undo = |node: &Node| {
            let script = scripts::detached_stop(&self.mark(node), 0, "");
            Undo::OnNode { node: node.clone(), script }
        };
        Ok(self.nodes.iter().map(undo).collect())
    }

    /// Starts the process: `before` (shell, `nice -n 5 ` say) the verb with these arguments.
    ///
    /// # Errors
    /// When a node does not obey.
    pub(super) async fn start(
        &self,
        cluster: &Cluster,
        before: &str,
        verb: &str,
        args: &[String],
    ) -> Result<Processes, FaultError> {
        let mut commands = Vec::new();
        for (node, path) in &self.paths {
            let mark = self.mark(node);
            let begin = begin(path, &mark, self.lifetime_s, verb, args);
            commands
                .push((node.clone(), Command::new(scripts::detached_start(&mark, &format!("exec {before}{begin}")))));
        }
        let mut started = Processes::new();
        for (node, output) in fanout::run_all(cluster, commands).await? {
            started.insert(node, started_process(&output.text()).into_iter().collect());
        }
        Ok(started)
    }

    /// The process of each node, by its file there; none where it is gone.
    ///
    /// # Errors
    /// When a node does not answer.
    pub(super) async fn processes(&self, cluster: &Cluster) -> Result<Processes, FaultError> {
        let read = |node: &Node| {
            let script = format!("cat {}/{}.pid 2>/dev/null; :\n", scripts::FAULT_DIR, self.mark(node));
            (node.clone(), Command::new(script))
        };
        let answers = fanout::run_all(cluster, self.nodes.iter().map(read).collect()).await?;
        let one = |(node, output): (Node, schism_cluster::Output)| {
            (node, started_process(&output.text()).into_iter().collect::<Vec<_>>())
        };
        Ok(answers.into_iter().map(one).filter(|(_, list)| !list.is_empty()).collect())
    }
}

/// The last guard, should neither controller nor lease end it: long after any end that is planned.
pub(super) fn lifetime_s(duration_ms: u64) -> u64 {
    (duration_ms / 500).saturating_add(3600).min(7 * 24 * 3600)
}

/// The command of a verb that goes on: its prefix and lifetime first.
pub(super) fn begin(path: &str, mark: &str, lifetime_s: u64, verb: &str, args: &[String]) -> String {
    let (prefix, lifetime) = (format!("{}/{mark}", scripts::FAULT_DIR), lifetime_s.to_string());
    let all: Vec<&str> = [prefix.as_str(), &lifetime].into_iter().chain(args.iter().map(String::as_str)).collect();
    agent::command(path, verb, &all)
}

/// `PID START`, as [`scripts::detached_start`] prints it.
fn started_process(text: &str) -> Option<ProcessId> {
    let (pid, start) = text.lines().last()?.trim().split_once(' ')?;
    Some(ProcessId { pid: pid.parse().ok()?, start_ticks: start.parse().ok()? })
}
