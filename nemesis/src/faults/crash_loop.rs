//! Kills the database again and again, each time a little after it was started: a service that its manager starts and that
//! dies each time.
//!
//! A detached shell on the node does it, so that no connection sets its pace: kill, start at once, wait, kill again. It
//! ends with the fault's file on the node (`/run/schism/faults`), which undo, lease and reboot take away.

use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::{Cluster, Command, Db};
use schism_history::Node;
use serde_json::{Map, Value, json};

use super::victims::Victims;
use crate::class::{Family, FaultEntry, plain_label};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::{TARGETS, lacking};
use crate::need::Need;
use crate::observe::{self, Seen};
use crate::option::{OptionEntry, OptionKind};
use crate::scripts;

/// The class.
pub const CLASS: &str = "crash-loop";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Process,
    about: "kills the database's processes again and again, starting it each time",
    options: &[
        TARGETS,
        OptionEntry {
            name: "every",
            key: "every_ms",
            kind: OptionKind::Span(100, 60_000),
            default: &["500ms", "2s"],
            about: "how long it lives between its start and the next kill",
        },
    ],
    works: "every ground, for databases whose processes a script on the node can find",
    verified: "the processes that ran are gone, and the node killed at least two times",
    undone: "the loop is ended, told by number and start time, and the database is started where it does not run; by the \
             node itself when its lease ends",
    needs: |_| vec![Need::Kill, Need::ProcessesOnNode],
    decide: |ask| {
        let (lease, every_ms) = (ask.tag.lease(ask.fault_id), ask.number("every_ms")?);
        Ok(Box::new(CrashLoop { victims: Victims::new(CLASS, ask.target()?), lease, every_ms }))
    },
    label: plain_label,
};

/// What comes to each round beside its span, at most: looking, killing, starting.
const ROUND: Duration = Duration::from_secs(4);
/// How long the loop may take to end by itself: a whole round of a busy machine. Killed in the midst of one it leaves its
/// kills behind, which would hit the database that the undo starts.
const GRACE_MS: u64 = 5000;

/// The processes of the database on some nodes, killed each time they were started.
#[derive(Debug, Clone)]
pub struct CrashLoop {
    victims: Victims,
    lease: String,
    every_ms: u64,
}

impl CrashLoop {
    fn mark(&self, node: &Node) -> String {
        scripts::mark(&self.lease, node.as_str())
    }

    /// Kills so far and whether the loop runs, on each node.
    async fn look(&self, cluster: &Cluster) -> Result<Vec<(Node, u64, bool)>, FaultError> {
        let look = |node: &Node| (node.clone(), Command::new(scripts::crash_loop_look(&self.mark(node))));
        let answers = fanout::run_all(cluster, self.victims.nodes.iter().map(look).collect()).await?;
        let read = |(node, output): (Node, schism_cluster::Output)| {
            let text = output.text();
            let (kills, runs) = text.split_once(' ').unwrap_or_default();
            (node, kills.parse().unwrap_or(0), runs == "running")
        };
        Ok(answers.into_iter().map(read).collect())
    }
}

fn loops(seen: &[(Node, u64, bool)]) -> Value {
    seen.iter().map(|(node, kills, runs)| json!({ "node": node, "kills": kills, "loop_runs": runs })).collect()
}

#[async_trait]
impl Fault for CrashLoop {
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
        let mut details = self.victims.details();
        details.insert("every_ms".to_owned(), json!(self.every_ms));
        details
    }

    async fn prepare(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        self.victims.find(cluster, db).await?;
        let undo = |(node, start): (Node, String)| Undo::OnNode {
            script: scripts::detached_stop(&self.mark(&node), GRACE_MS, "") + &start,
            node,
        };
        Ok(self.victims.start_scripts(cluster, db)?.into_iter().map(undo).collect())
    }

    async fn inject(&self, cluster: &Cluster, db: &dyn Db) -> Result<(), FaultError> {
        let kill = db.kill().ok_or_else(|| lacking(CLASS, db))?;
        let mut commands = Vec::new();
        for (node, start) in self.victims.start_scripts(cluster, db)? {
            let find = kill.processes_script(fanout::handle(cluster, &node)?).ok_or_else(|| lacking(CLASS, db))?;
            let script = scripts::crash_loop_start(&self.mark(&node), self.every_ms, &find, &start);
            commands.push((node, Command::new(script)));
        }
        fanout::run_all(cluster, commands).await?;
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let two_rounds = (Duration::from_millis(self.every_ms) + ROUND) * 2;
        let deadline = tokio::time::Instant::now() + two_rounds;
        let (gone, processes) = observe::states_until(cluster, &self.victims.found, Seen::is_gone, two_rounds).await?;
        loop {
            let seen = self.look(cluster).await?;
            let again = seen.iter().all(|(_, kills, runs)| *kills >= 2 && *runs);
            if again || tokio::time::Instant::now() >= deadline {
                let measured = json!({ "processes": processes, "loops": loops(&seen) });
                return Ok(Evidence { proven: gone && again, measured });
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn verify_healed(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let seen = self.look(cluster).await?;
        let mut evidence = self.victims.back(cluster, db).await?;
        evidence.proven &= !seen.iter().any(|(_, _, runs)| *runs);
        evidence.measured["loops"] = loops(&seen);
        Ok(evidence)
    }
}
