//! Stops the database's processes and starts it again at once: what a rolling update does to each node.
//!
//! The harm is over soon after it was done; until its heal nothing further happens, and the heal makes sure that it runs.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use schism_cluster::{Cluster, Command, Db};
use schism_history::Node;
use serde_json::{Map, Value, json};

use super::terminate::{GRACE, end, undo};
use super::victims::Victims;
use crate::class::{Family, FaultEntry, plain_label};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::{TARGETS, told};
use crate::need::Need;
use crate::observe::{self, Seen};
use crate::option::{OptionEntry, OptionKind};
use crate::scripts;

/// The class.
pub const CLASS: &str = "restart";

const SIGNAL: OptionEntry = OptionEntry {
    name: "signal",
    key: "signal",
    kind: OptionKind::OneOf(&["term", "kill"]),
    default: &["term"],
    about: "how it is stopped: told to end (term, and killed after its grace) or killed at once (kill)",
};

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Process,
    about: "stops the database's processes and starts it again at once",
    options: &[TARGETS, SIGNAL, GRACE],
    works: "every ground",
    verified: "the old processes are gone and new ones run, told by number and start time; how long it was down",
    undone: "what did not end is killed, and the database is started where it does not run; by the node itself when its \
             lease ends",
    needs: |_| vec![Need::Kill],
    decide: |ask| {
        let grace = match ask.word("signal")? {
            "kill" => None,
            _ => Some(Duration::from_millis(ask.number("grace_ms")?)),
        };
        Ok(Box::new(Restart { victims: Victims::new(CLASS, ask.target()?), grace }))
    },
    label: plain_label,
};

/// How often a start is tried.
const START_TRIES: u32 = 5;
/// How long killed processes may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// The processes of the database on some nodes, stopped and started.
#[derive(Debug, Clone)]
pub struct Restart {
    victims: Victims,
    /// How long they may take to end when told to; `None`: they are killed.
    grace: Option<Duration>,
}

#[async_trait]
impl Fault for Restart {
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

    async fn inject(&self, cluster: &Cluster, db: &dyn Db) -> Result<(), FaultError> {
        let ended = match self.grace {
            Some(grace) => end(&self.victims, cluster, grace).await?.0,
            None => false,
        };
        if !ended {
            let found = self.victims.found.iter();
            let kill = found.map(|(node, list)| (node.clone(), Command::new(scripts::signal("KILL", list))));
            fanout::run_all(cluster, kill.collect()).await?;
            observe::states_until(cluster, &self.victims.found, Seen::is_gone, GONE_WITHIN).await?;
        }
        let starts = self.victims.start_scripts(cluster, db)?.into_iter();
        let starts: Vec<_> = starts.map(|(node, script)| (node, Command::new(script))).collect();
        let mut tries = 1;
        while let Err(error) = fanout::run_all(cluster, starts.clone()).await {
            // The threads of a process that is gone may hold its sockets for a moment.
            if tries >= START_TRIES {
                return Err(error.into());
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let begun = Instant::now();
        let (gone, seen) = observe::states_until(cluster, &self.victims.found, Seen::is_gone, GONE_WITHIN).await?;
        let back = self.victims.back(cluster, db).await?;
        let running = self.victims.running(cluster, db).await?;
        let old = |node: &Node, id| self.victims.found.get(node).is_some_and(|list| list.contains(id));
        let renewed =
            self.victims.nodes.iter().all(|node| {
                running.get(node).is_some_and(|list| !list.is_empty() && !list.iter().any(|id| old(node, id)))
            });
        let looked_ms = begun.elapsed().as_millis() as u64;
        let measured = json!({ "processes": seen, "running": told(&running), "looked_ms": looked_ms });
        Ok(Evidence { proven: gone && back.proven && renewed, measured })
    }

    async fn verify_healed(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        self.victims.back(cluster, db).await
    }
}
