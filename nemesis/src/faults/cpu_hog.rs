//! Takes processors away from the database: the agent keeps all of them busy for a part of their time.
//!
//! In a lab of namespaces the nodes share this machine's processors: the hog of one node slows all of them, and the
//! controller.

use async_trait::async_trait;
use schism_cluster::{Cluster, Db};
use schism_history::Node;
use serde_json::{Map, Value, json};

use super::hired::Hired;
use crate::class::{Family, FaultEntry, plain_label};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::TARGETS;
use crate::measure::{self, CpuUse};
use crate::need::Need;
use crate::observe::{self, Seen};
use crate::option::{OptionEntry, OptionKind};

/// The class.
pub const CLASS: &str = "cpu-hog";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Resources,
    about: "keeps the processors of nodes busy",
    options: &[
        TARGETS,
        OptionEntry {
            name: "percent",
            key: "percent",
            kind: OptionKind::Integer(1, 100),
            default: &["100"],
            about: "how much of the time of every processor it wants",
        },
        OptionEntry {
            name: "nice",
            key: "nice",
            kind: OptionKind::Integer(-20, 19),
            default: &["0"],
            about: "how much it stands back for others (19) or others for it (-20)",
        },
    ],
    works: "wherever the agent runs; in a lab of namespaces it slows the whole machine, as its nodes share it",
    verified: "the processor time that the hog had within a second: at least half of what it wanted, or nothing was idle",
    undone: "the hog is killed, told by number and start time; by the node itself when its lease ends",
    needs: |_| vec![Need::Agent],
    decide: |ask| {
        let (percent, nice) = (ask.number("percent")?, ask.signed("nice")?);
        Ok(Box::new(CpuHog { hired: Hired::new(ask)?, percent, nice }))
    },
    label: plain_label,
};

/// How long the use is measured.
const SPAN_MS: u64 = 1000;
/// Below this share of time that nobody wants, the processors are taken, whoever has them.
const NOTHING_IDLE: f64 = 0.1;

/// Busy processors of some nodes.
#[derive(Debug, Clone)]
pub struct CpuHog {
    hired: Hired,
    percent: u64,
    nice: i64,
}

/// Whether the hog has what it wants, on a machine of so many processors.
fn taken(used: &CpuUse, percent: u64, processors: u64) -> bool {
    let wanted_ms = used.span_ms * processors as f64 * percent as f64 / 100.0;
    used.processes > 0 && (used.cpu_ms >= wanted_ms / 2.0 || used.idle_share < NOTHING_IDLE && used.cpu_ms > 0.0)
}

#[async_trait]
impl Fault for CpuHog {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn label(&self) -> String {
        self.hired.label()
    }

    fn nodes(&self) -> Vec<Node> {
        self.hired.nodes.clone()
    }

    fn details(&self) -> Map<String, Value> {
        let mut details = self.hired.details();
        details.extend([("percent".to_owned(), json!(self.percent)), ("nice".to_owned(), json!(self.nice))]);
        details
    }

    async fn prepare(&mut self, cluster: &Cluster, _db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        self.hired.prepare(cluster).await
    }

    async fn inject(&self, cluster: &Cluster, _db: &dyn Db) -> Result<(), FaultError> {
        let nice = if self.nice == 0 { String::new() } else { format!("nice -n {} ", self.nice) };
        self.hired.start(cluster, &nice, "hog", &[self.percent.to_string()]).await.map(|_| ())
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let processes = self.hired.processes(cluster).await?;
        let part = |node: &Node| -> fanout::Part<'_, Result<(bool, Value), FaultError>> {
            let (node, list) = (node.clone(), processes.get(node).cloned().unwrap_or_default());
            Box::pin(async move {
                let handle = fanout::handle(cluster, &node)?;
                let count = schism_cluster::Command::new("grep -c ^processor /proc/cpuinfo\n");
                let processors: u64 = handle.remote.run(&count).await?.text().parse().unwrap_or(1);
                let used = measure::cpu_use(handle, &list, SPAN_MS).await?;
                let seen = json!({ "node": node, "processors": processors, "used": used });
                Ok((taken(&used, self.percent, processors), seen))
            })
        };
        let seen = fanout::all(self.hired.nodes.iter().map(part).collect()).await;
        let seen = seen.into_iter().collect::<Result<Vec<_>, _>>()?;
        let proven = seen.iter().all(|(taken, _)| *taken);
        let nodes: Vec<Value> = seen.into_iter().map(|(_, seen)| seen).collect();
        Ok(Evidence { proven, measured: json!({ "percent": self.percent, "hogs": nodes }) })
    }

    async fn verify_healed(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        gone(&self.hired, cluster).await
    }
}

/// Whether no process of ours is left on any of the nodes.
pub(super) async fn gone(hired: &Hired, cluster: &Cluster) -> Result<Evidence, FaultError> {
    let left = hired.processes(cluster).await?;
    let seen = observe::states(cluster, &left).await?;
    Ok(Evidence { proven: seen.iter().all(Seen::is_gone), measured: json!({ "processes": seen }) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hog_has_half_of_what_it_wants_or_leaves_nothing_idle() {
        let used = |cpu_ms, idle_share, processes| CpuUse { span_ms: 1000.0, cpu_ms, idle_share, processes };
        for (used, percent, processors, expected) in [
            (used(1900.0, 0.0, 1), 100, 2, true),
            (used(1000.0, 0.5, 1), 100, 2, true),
            (used(900.0, 0.5, 1), 100, 2, false),
            (used(300.0, 0.02, 1), 100, 2, true),
            (used(0.0, 0.02, 1), 100, 2, false),
            (used(260.0, 0.7, 1), 25, 2, true),
            (used(1900.0, 0.0, 0), 100, 2, false),
        ] {
            assert_eq!(taken(&used, percent, processors), expected, "{used:?} {percent}");
        }
    }
}
