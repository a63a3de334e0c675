//! Stops whole nodes, kernel or every process, and lets them go on: what a host does that moves a virtual machine, or that
//! has no time for it.
//!
//! Unlike a pause of the database, nothing of the node answers, not even its sshd. Only grounds that we make can do it, and
//! their keeper ends it when the controller is gone; the node itself cannot.

use async_trait::async_trait;
use schism_cluster::{Ability, Cluster, Db, GroundAction};
use schism_history::Node;
use serde_json::{Map, Value};

use super::machines::Machines;
use super::power_cut::{act, on_ground};
use crate::class::{Family, FaultEntry, plain_label};
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::TARGETS;
use crate::need::Need;

/// The class.
pub const CLASS: &str = "freeze";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Node,
    about: "stops whole nodes and lets them go on",
    options: &[TARGETS],
    works: "labs",
    verified: "the node answers no login while it is frozen, though it has connections; then it answers",
    undone: "the ground lets it go on; the lab's holder by itself when its lease ends",
    needs: |_| vec![Need::Ground(Ability::Freeze)],
    decide: |ask| Ok(Box::new(Freeze(Machines::new(CLASS, ask.target()?)))),
    label: plain_label,
};

/// Some nodes that stand still.
#[derive(Debug, Clone)]
pub struct Freeze(Machines);

#[async_trait]
impl Fault for Freeze {
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
        Ok(on_ground(&self.0.nodes, |node| GroundAction::Thaw { node }))
    }

    async fn inject(&self, cluster: &Cluster, _db: &dyn Db) -> Result<(), FaultError> {
        act(cluster, &self.0.nodes, |node| GroundAction::Freeze { node }).await.map(|_| ())
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        self.0.silent(cluster).await
    }

    async fn verify_healed(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        self.0.reached(cluster).await
    }
}
