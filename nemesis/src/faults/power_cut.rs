//! Cuts the power of whole nodes and switches them on again: what was not synced to disk is lost, and nobody is told.
//!
//! Only grounds that we make can do it. When the node is on again, the database is started where it ran. If the controller
//! is gone, the ground's keeper switches the node on, and the node's own lease starts the database.

use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::{Ability, Cluster, Db, GroundAction};
use schism_history::Node;
use serde_json::{Map, Value};

use super::machines::Machines;
use crate::class::{Family, FaultEntry, plain_label};
use crate::fanout::{self, Part};
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::TARGETS;
use crate::need::Need;

/// The class.
pub const CLASS: &str = "power-cut";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Node,
    about: "cuts the power of whole nodes: un-synced data is lost, peers hear nothing",
    options: &[TARGETS],
    works: "labs",
    verified: "the node answers no login while it is off; then it answers, in another boot, and the database runs",
    undone: "the node is switched on and the database started where it ran; by the lab's holder and the node itself when \
             their leases end. Lost data stays lost",
    needs: |_| vec![Need::Kill, Need::Ground(Ability::Power)],
    decide: |ask| Ok(Box::new(PowerCut(Machines::new(CLASS, ask.target()?)))),
    label: plain_label,
};

/// Some nodes without power.
#[derive(Debug, Clone)]
pub struct PowerCut(Machines);

/// Lets the ground do one action a node, all at once.
pub(super) async fn act(
    cluster: &Cluster,
    nodes: &[Node],
    action: impl Fn(Node) -> GroundAction,
) -> Result<Vec<Value>, FaultError> {
    let part = |node: &Node| -> Part<'_, _> {
        let action = action(node.clone());
        Box::pin(async move { cluster.ground.act(&action).await })
    };
    let done: Result<Vec<Value>, _> = fanout::all(nodes.iter().map(part).collect()).await.into_iter().collect();
    Ok(done?)
}

/// One undo of the ground a node.
pub(super) fn on_ground(nodes: &[Node], action: impl Fn(Node) -> GroundAction) -> Vec<Undo> {
    nodes.iter().map(|node| Undo::OnGround { action: action(node.clone()) }).collect()
}

#[async_trait]
impl Fault for PowerCut {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn label(&self) -> String {
        self.0.label()
    }

    fn nodes(&self) -> Vec<Node> {
        self.0.nodes.clone()
    }

    fn details(&self) -> Map<String, Value> {
        self.0.details()
    }

    async fn prepare(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        self.0.find(cluster, db).await?;
        let mut undo = on_ground(&self.0.nodes, |node| GroundAction::PowerOn { node });
        undo.extend(self.0.starts(cluster, db)?);
        Ok(undo)
    }

    async fn inject(&self, cluster: &Cluster, _db: &dyn Db) -> Result<(), FaultError> {
        act(cluster, &self.0.nodes, |node| GroundAction::CutPower { node }).await.map(|_| ())
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        self.0.silent(cluster).await
    }

    async fn verify_healed(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let reached = self.0.reached(cluster).await?;
        // In the same boot it never was off, and the injection is not proven; healed it is all the same.
        let mut evidence = Evidence { proven: reached.proven, ..self.0.booted(cluster, Duration::ZERO).await? };
        evidence.measured["asked"] = reached.measured["asked"].clone();
        self.0.runs(cluster, db, &mut evidence).await?;
        Ok(evidence)
    }
}
