//! Lets the kernel's out-of-memory killer kill the database, and starts it again.
//!
//! The database's processes are moved into a control group of our own whose limit is so small that the next page they want is
//! one too many: the kernel kills them as it does on a machine without memory, and counts it. Needs a writable control group
//! for memory on the nodes; nothing else on them is touched (no sysrq, which would choose a victim of the whole machine).

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::{Cluster, Command, Db};
use schism_history::Node;
use serde_json::{Map, Value, json};

use super::cpu_throttle::group_path;
use super::victims::Victims;
use crate::class::{Family, FaultEntry, plain_label};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::{TARGETS, told};
use crate::measure;
use crate::need::Need;
use crate::observe::{self, Seen};
use crate::scripts::{self, Controller};

/// The class.
pub const CLASS: &str = "oom-kill";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Resources,
    about: "lets the kernel's out-of-memory killer kill the database's processes, and starts it again",
    options: &[TARGETS],
    works: "wherever nodes have a writable control group for memory",
    verified: "the processes are gone, told by number and start time, and the kernel counts a kill for want of memory",
    undone: "what is left is moved back to where it was, the group is taken away, and the database is started where it does \
             not run; by the node itself when its lease ends",
    needs: |_| {
        let group = Need::OnNodes {
            what: "a control group for memory".to_owned(),
            script: scripts::group_available(Controller::Memory),
            hint: "Mount the control groups writable on the nodes, or take `kill` or `memory-pressure`".to_owned(),
        };
        vec![Need::Kill, group]
    },
    decide: |ask| {
        let (victims, lease) = (Victims::new(CLASS, ask.target()?), ask.tag.lease(ask.fault_id));
        Ok(Box::new(OomKill { victims, lease, paths: BTreeMap::new() }))
    },
    label: plain_label,
};

/// What they may have in the group: a page, as what they had before is not counted there.
const LIMIT_BYTES: u64 = 4096;
/// How long a process may take until it wants memory; one that idles may want none for many seconds.
const GONE_WITHIN: Duration = Duration::from_secs(40);

/// The database's processes on some nodes, killed for want of memory.
#[derive(Debug, Clone)]
pub struct OomKill {
    victims: Victims,
    lease: String,
    /// The control group in which they were.
    paths: BTreeMap<Node, String>,
}

impl OomKill {
    fn mark(&self, node: &Node) -> String {
        scripts::mark(&self.lease, node.as_str())
    }

    /// What the group of each node counts.
    async fn counts(&self, cluster: &Cluster) -> Result<Vec<(Node, BTreeMap<String, i64>)>, FaultError> {
        let look =
            |node: &Node| (node.clone(), Command::new(scripts::group_look(Controller::Memory, &self.mark(node))));
        let answers = fanout::run_all(cluster, self.victims.nodes.iter().map(look).collect()).await?;
        Ok(answers.into_iter().map(|(node, output)| (node, measure::numbers(&output.text()))).collect())
    }
}

#[async_trait]
impl Fault for OomKill {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn label(&self) -> String {
        self.victims.label()
    }

    fn nodes(&self) -> Vec<Node> {
        self.victims.nodes.clone()
    }

    fn details(&self) -> Map<String, Value> {
        self.victims.details()
    }

    async fn prepare(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        self.victims.find(cluster, db).await?;
        for (node, list) in &self.victims.found {
            let path = group_path(cluster, node, Controller::Memory, list).await?;
            let path = path.ok_or_else(|| FaultError::Refused {
                class: CLASS.to_owned(),
                node: node.clone(),
                reason: "no control group for memory can be made there".to_owned(),
                hint: "Mount the control groups writable, or take `kill`".to_owned(),
            })?;
            self.paths.insert(node.clone(), path);
        }
        let undo = |(node, start): (Node, String)| {
            let path = self.paths.get(&node).map_or("/", String::as_str);
            Undo::OnNode { script: scripts::group_leave(Controller::Memory, &self.mark(&node), path) + &start, node }
        };
        Ok(self.victims.start_scripts(cluster, db)?.into_iter().map(undo).collect())
    }

    async fn inject(&self, cluster: &Cluster, _db: &dyn Db) -> Result<(), FaultError> {
        let enter = |(node, list): (&Node, &Vec<_>)| {
            let script = scripts::group_enter(Controller::Memory, &self.mark(node), LIMIT_BYTES, list);
            (node.clone(), Command::new(script))
        };
        fanout::run_all(cluster, self.victims.found.iter().map(enter).collect()).await?;
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let (gone, seen) = observe::states_until(cluster, &self.victims.found, Seen::is_gone, GONE_WITHIN).await?;
        let counts = self.counts(cluster).await?;
        let killed = counts.iter().all(|(_, counts)| counts.get("oom_kill").is_some_and(|kills| *kills > 0));
        let groups: Vec<Value> =
            counts.iter().map(|(node, counts)| json!({ "node": node, "counts": counts })).collect();
        Ok(Evidence { proven: gone && killed, measured: json!({ "processes": seen, "groups": groups }) })
    }

    async fn verify_healed(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let left: Vec<Node> = self
            .counts(cluster)
            .await?
            .into_iter()
            .filter(|(_, counts)| !counts.is_empty())
            .map(|(node, _)| node)
            .collect();
        let mut evidence = self.victims.back(cluster, db).await?;
        evidence.measured["running"] = told(&self.victims.running(cluster, db).await?);
        evidence.measured["groups_left"] = json!(left);
        evidence.proven &= left.is_empty();
        Ok(evidence)
    }
}
