//! Tells the database's processes to end (SIGTERM), as an operator or a service manager does, and starts it again later.
//!
//! What the signal did not end within its time is seen, and told as not proven; healing kills it and starts the database
//! anew, because a signal that waits at a stopped process would end it long after the fault.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use schism_cluster::{Cluster, Command, Db};
use schism_history::Node;
use serde_json::{Map, Value, json};

use super::victims::Victims;
use crate::class::{Family, FaultEntry, plain_label};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::TARGETS;
use crate::need::Need;
use crate::observe::{self, Seen};
use crate::option::{OptionEntry, OptionKind};
use crate::scripts;

/// The class.
pub const CLASS: &str = "terminate";

/// How long processes are given to end.
pub(super) const GRACE: OptionEntry = OptionEntry {
    name: "grace",
    key: "grace_ms",
    kind: OptionKind::Span(100, 60_000),
    default: &["10s"],
    about: "how long its processes may take to end",
};

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Process,
    about: "tells the database's processes to end (SIGTERM) and starts it again",
    options: &[TARGETS, GRACE],
    works: "every ground",
    verified: "the processes are gone within their grace, told by number and start time, and how long they took",
    undone: "what did not end is killed, and the database is started again where it does not run; by the node itself \
             when its lease ends",
    needs: |_| vec![Need::Kill],
    decide: |ask| {
        let victims = Victims::new(CLASS, ask.target()?);
        Ok(Box::new(Terminate { victims, grace: Duration::from_millis(ask.number("grace_ms")?) }))
    },
    label: plain_label,
};

/// How long, when healing, what was told to end may still take before it is killed.
pub(super) const LAST_GRACE_MS: u64 = 500;

/// The processes of the database on some nodes, told to end.
#[derive(Debug, Clone)]
pub struct Terminate {
    victims: Victims,
    grace: Duration,
}

/// What makes sure that these processes are gone and the database runs.
pub(super) fn undo(victims: &Victims, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
    let script = |(node, start): (Node, String)| {
        let ours = victims.found.get(&node).map_or(&[][..], Vec::as_slice);
        Undo::OnNode { script: scripts::finish(ours, LAST_GRACE_MS) + &start, node }
    };
    Ok(victims.start_scripts(cluster, db)?.into_iter().map(script).collect())
}

/// Tells these processes to end and waits until they have; whether they did, and the last look.
pub(super) async fn end(
    victims: &Victims,
    cluster: &Cluster,
    grace: Duration,
) -> Result<(bool, Vec<Seen>), FaultError> {
    let signal = |(node, list): (&Node, &Vec<_>)| (node.clone(), Command::new(scripts::signal("TERM", list)));
    fanout::run_all(cluster, victims.found.iter().map(signal).collect()).await?;
    Ok(observe::states_until(cluster, &victims.found, Seen::is_gone, grace).await?)
}

#[async_trait]
impl Fault for Terminate {
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
        undo(&self.victims, cluster, db)
    }

    async fn inject(&self, cluster: &Cluster, _db: &dyn Db) -> Result<(), FaultError> {
        let signal = |(node, list): (&Node, &Vec<_>)| (node.clone(), Command::new(scripts::signal("TERM", list)));
        fanout::run_all(cluster, self.victims.found.iter().map(signal).collect()).await?;
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let begun = Instant::now();
        let (gone, seen) = observe::states_until(cluster, &self.victims.found, Seen::is_gone, self.grace).await?;
        let ended_ms = begun.elapsed().as_millis() as u64;
        let others = self.victims.running(cluster, db).await?;
        let measured = json!({ "processes": seen, "ended_within_ms": ended_ms, "running": super::told(&others) });
        Ok(Evidence { proven: gone && others.is_empty(), measured })
    }

    async fn verify_healed(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        self.victims.back(cluster, db).await
    }
}
