//! Boots whole nodes again, in order: what was written is synced, services are told to end.
//!
//! Where the ground can restart a node it does; else the node does it itself (systemd, or the command `reboot`). The
//! injection ends when the node is back. The database is started at heal, unless the machine starts it by itself.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use schism_cluster::{Ability, Cluster, Command, Db, GroundAction};
use schism_history::Node;
use serde_json::{Map, Value, json};

use super::machines::Machines;
use super::power_cut::{act, on_ground};
use crate::class::{Family, FaultEntry, plain_label};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::TARGETS;
use crate::need::Need;
use crate::scripts;

/// The class.
pub const CLASS: &str = "reboot";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Node,
    about: "boots whole nodes again, in order; the database is down until it is healed",
    options: &[TARGETS],
    works: "labs, and machines whose root may reboot them",
    verified: "the node answers in another boot (boot id, or start of its first process) than before, and after what time; \
               then the database runs",
    undone: "the node is switched on if it is off, and the database started where it ran; by the node itself when its \
             lease ends",
    needs: |_| {
        let by_itself = Need::OnNodes {
            what: "booting again".to_owned(),
            script: scripts::can_reboot(),
            hint: "Give root the right to reboot, or use a lab".to_owned(),
        };
        vec![Need::Kill, Need::AnyOf(vec![Need::Ground(Ability::Power), by_itself])]
    },
    decide: |ask| Ok(Box::new(Reboot { machines: Machines::new(CLASS, ask.target()?), by_ground: false })),
    label: plain_label,
};

/// How long a machine may take to be back.
const BACK_WITHIN: Duration = Duration::from_secs(75);

/// Some nodes, booted again.
#[derive(Debug, Clone)]
pub struct Reboot {
    machines: Machines,
    by_ground: bool,
}

#[async_trait]
impl Fault for Reboot {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn label(&self) -> String {
        self.machines.label()
    }

    fn nodes(&self) -> Vec<Node> {
        self.machines.nodes.clone()
    }

    fn details(&self) -> Map<String, Value> {
        let mut details = self.machines.details();
        details.insert("by".to_owned(), json!(if self.by_ground { "ground" } else { "node" }));
        details
    }

    async fn prepare(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        self.machines.find(cluster, db).await?;
        self.by_ground = cluster.ground.can(Ability::Power).await.is_ok();
        let mut undo = Vec::new();
        if self.by_ground {
            undo = on_ground(&self.machines.nodes, |node| GroundAction::PowerOn { node });
        }
        undo.extend(self.machines.starts(cluster, db)?);
        Ok(undo)
    }

    async fn inject(&self, cluster: &Cluster, _db: &dyn Db) -> Result<(), FaultError> {
        if self.by_ground {
            return act(cluster, &self.machines.nodes, |node| GroundAction::Reboot { node }).await.map(|_| ());
        }
        let reboot = |node: &Node| (node.clone(), Command::new(scripts::reboot()));
        fanout::run_all(cluster, self.machines.nodes.iter().map(reboot).collect()).await?;
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let begun = Instant::now();
        let mut evidence = self.machines.booted(cluster, BACK_WITHIN).await?;
        evidence.measured["back_after_ms"] = json!(begun.elapsed().as_millis() as u64);
        Ok(evidence)
    }

    async fn verify_healed(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let mut evidence = self.machines.reached(cluster).await?;
        self.machines.runs(cluster, db, &mut evidence).await?;
        Ok(evidence)
    }
}
