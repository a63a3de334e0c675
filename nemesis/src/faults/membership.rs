//! Takes members out of the cluster, and lets them join again as fresh ones.
//!
//! A member that leaves is stopped and its data wiped; the others vote without it. Never so many leave that those who stay are
//! no majority of all; while as many are missing already, it is refused. What comes back is a new member with the data of the
//! others: the old one's own data is gone for good.

use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::{Cluster, Db, Membership as Ability};
use schism_history::Node;
use serde_json::{Map, Value, json};

use super::victims::label;
use crate::class::{Family, FaultEntry, plain_label};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::{lacking, processes_on, told};
use crate::need::Need;
use crate::option::{OptionEntry, OptionKind};
use crate::target::{Target, majority};

/// The class.
pub const CLASS: &str = "membership";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Membership,
    about: "takes members out of the cluster, and lets them join again as fresh ones",
    options: &[OptionEntry {
        name: "targets",
        key: "target",
        kind: OptionKind::Target,
        default: &["one"],
        about: "which nodes leave: never so many that those who stay are no majority of all",
    }],
    works: "databases whose nodes can leave and join",
    verified: "the members as a majority of those that answer list them, and the processes of those that left are gone; then \
               they are listed with a vote, and run",
    undone: "each wiped node joins again by itself, through any member that it reaches; by the node itself when its lease \
             ends. The data that it had is fetched from the others",
    needs: |_| vec![Need::Membership, Need::Nodes { at_least: 3, of: "leaving and joining".to_owned() }],
    decide: |ask| {
        let (target, nodes) = ask.target()?;
        Ok(Box::new(Membership { target, nodes, before: Vec::new() }))
    },
    label: plain_label,
};

/// How long the lists of the members may take to show a change.
const LISTED_WITHIN: Duration = Duration::from_secs(20);

/// Members that leave, and join again.
#[derive(Debug, Clone)]
pub struct Membership {
    target: Target,
    nodes: Vec<Node>,
    /// The members before.
    before: Vec<Node>,
}

fn ability(db: &dyn Db) -> Result<&dyn Ability, FaultError> {
    db.membership().ok_or_else(|| lacking(CLASS, db))
}

/// Whether so many of these members may leave a cluster of so many nodes.
fn may_leave(nodes: usize, members: usize, leaving: usize) -> bool {
    members.saturating_sub(leaving) >= majority(nodes)
}

impl Membership {
    /// Waits until the list of members is as wanted, or the time is up; the last list, or why there is none.
    async fn listed(
        &self,
        cluster: &Cluster,
        db: &dyn Db,
        wanted: impl Fn(&[Node]) -> bool,
    ) -> Result<(bool, Value), FaultError> {
        let deadline = tokio::time::Instant::now() + LISTED_WITHIN;
        loop {
            let answer = ability(db)?.members(cluster).await;
            let good = answer.as_ref().is_ok_and(|members| wanted(members));
            if good || tokio::time::Instant::now() >= deadline {
                let seen = match answer {
                    Ok(members) => json!(members),
                    Err(error) => json!({ "unknown": error.to_string() }),
                };
                return Ok((good, seen));
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn running(&self, cluster: &Cluster, db: &dyn Db) -> Result<crate::observe::Processes, FaultError> {
        match db.kill() {
            Some(kill) => processes_on(cluster, &self.nodes, |handle| Box::pin(kill.processes(handle))).await,
            None => Ok(crate::observe::Processes::new()),
        }
    }
}

#[async_trait]
impl Fault for Membership {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn label(&self) -> String {
        label(CLASS, &self.target, &self.nodes)
    }

    fn nodes(&self) -> Vec<Node> {
        self.nodes.clone()
    }

    fn details(&self) -> Map<String, Value> {
        let target = ("target".to_owned(), json!(self.target));
        Map::from_iter([target, ("members_before".to_owned(), json!(self.before))])
    }

    async fn prepare(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        let ability = ability(db)?;
        self.before = ability.members(cluster).await?;
        let asked = crate::grudge::names(&self.nodes);
        self.nodes.retain(|node| self.before.contains(node));
        let nobody = |reason: String| FaultError::NoTarget { class: CLASS.to_owned(), reason };
        let Some(first) = self.nodes.first() else { return Err(nobody(format!("{asked}: no members now"))) };
        if !may_leave(cluster.nodes.len(), self.before.len(), self.nodes.len()) {
            return Err(FaultError::Refused {
                class: CLASS.to_owned(),
                node: first.clone(),
                reason: format!(
                    "{} of {} nodes are members, and {} may not leave: fewer than {} would stay",
                    self.before.len(),
                    cluster.nodes.len(),
                    self.nodes.len(),
                    majority(cluster.nodes.len())
                ),
                hint: "Name fewer nodes, or wait until the others are back".to_owned(),
            });
        }
        let stays = |node: &&Node| !self.nodes.contains(node);
        let through = self.before.iter().find(stays).ok_or_else(|| nobody("nobody would stay".to_owned()))?;
        let mut undo = Vec::new();
        for node in &self.nodes {
            let (first, second) = ability.rejoin_scripts(cluster, node, through);
            if !first.is_empty() {
                undo.push(Undo::OnNode { node: through.clone(), script: first });
            }
            undo.push(Undo::OnNode { node: node.clone(), script: second });
        }
        Ok(undo)
    }

    async fn inject(&self, cluster: &Cluster, db: &dyn Db) -> Result<(), FaultError> {
        for node in &self.nodes {
            fanout::handle(cluster, node)?;
            ability(db)?.remove(cluster, node).await?;
        }
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let left = |members: &[Node]| !self.nodes.iter().any(|node| members.contains(node));
        let (gone, members) = self.listed(cluster, db, left).await?;
        let running = self.running(cluster, db).await?;
        let measured = json!({ "members_before": self.before, "members": members, "running": told(&running) });
        Ok(Evidence { proven: gone && running.is_empty(), measured })
    }

    async fn verify_healed(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let joined = |members: &[Node]| self.nodes.iter().all(|node| members.contains(node));
        let (back, members) = self.listed(cluster, db, joined).await?;
        let running = self.running(cluster, db).await?;
        let runs = db.kill().is_none() || self.nodes.iter().all(|node| running.contains_key(node));
        Ok(Evidence { proven: back && runs, measured: json!({ "members": members, "running": told(&running) }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_of_all_nodes_stays() {
        for (nodes, members, leaving, expected) in
            [(5, 5, 1, true), (5, 5, 2, true), (5, 5, 3, false), (5, 3, 1, false), (3, 3, 1, true), (3, 2, 1, false)]
        {
            assert_eq!(may_leave(nodes, members, leaving), expected, "{leaving} of {members} of {nodes}");
        }
    }
}
