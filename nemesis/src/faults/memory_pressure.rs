//! Takes memory away from the database: the agent takes a part of what the machine has and keeps it.
//!
//! It never takes more than was said, leaves what was said, and is the first that the kernel ends when memory runs out. In a
//! lab of namespaces the nodes share this machine's memory.

use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::{Cluster, Command, Db};
use schism_history::Node;
use serde_json::{Map, Value, json};

use super::cpu_hog::gone;
use super::hired::Hired;
use crate::class::{Family, FaultEntry, plain_label};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::TARGETS;
use crate::measure;
use crate::need::Need;
use crate::option::{OptionEntry, OptionKind};
use crate::scripts;

/// The class.
pub const CLASS: &str = "memory-pressure";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Resources,
    about: "takes a part of the memory of nodes",
    options: &[
        TARGETS,
        OptionEntry {
            name: "percent",
            key: "percent",
            kind: OptionKind::Integer(1, 95),
            default: &["25"],
            about: "how much of the machine's memory it takes at most",
        },
        OptionEntry {
            name: "leave",
            key: "leave_bytes",
            kind: OptionKind::Bytes,
            default: &["1GiB"],
            about: "how much it leaves available at least",
        },
    ],
    works: "wherever the agent runs; in a lab of namespaces it is the whole machine's memory, as its nodes share it",
    verified: "the resident memory of the process that took it: at least nine tenths of what it says it took",
    undone: "that process is killed, told by number and start time; by the node itself when its lease ends",
    needs: |_| vec![Need::Agent],
    decide: |ask| {
        let (percent, leave_bytes) = (ask.number("percent")?, ask.number("leave_bytes")?);
        Ok(Box::new(MemoryPressure { hired: Hired::new(ask)?, percent, leave_bytes, before: Vec::new() }))
    },
    label: plain_label,
};

/// How long it may take until all is taken.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// Memory of some nodes, taken.
#[derive(Debug, Clone)]
pub struct MemoryPressure {
    hired: Hired,
    percent: u64,
    leave_bytes: u64,
    /// What was seen before the harm.
    before: Vec<Value>,
}

impl MemoryPressure {
    /// What there is on each node, and what was taken of it.
    async fn look(&self, cluster: &Cluster) -> Result<Vec<Look>, FaultError> {
        let look = |node: &Node| (node.clone(), Command::new(scripts::memory_look(&self.hired.mark(node))));
        let answers = fanout::run_all(cluster, self.hired.nodes.iter().map(look).collect()).await?;
        Ok(answers.into_iter().map(|(node, output)| Look::parse(node, &output.text())).collect())
    }
}

/// Bytes of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    node: Node,
    available: u64,
    rss: u64,
    took: Option<u64>,
    oom_score_adj: Option<i64>,
}

impl Look {
    fn parse(node: Node, text: &str) -> Look {
        let numbers = measure::numbers(text);
        let of = |key: &str| numbers.get(key).copied();
        let bytes = |kib: Option<i64>| kib.and_then(|kib| u64::try_from(kib).ok()).unwrap_or(0).saturating_mul(1024);
        let took = of("took").and_then(|took| u64::try_from(took).ok());
        Look {
            node,
            available: bytes(of("available")),
            rss: bytes(of("rss")),
            took,
            oom_score_adj: of("oom_score_adj"),
        }
    }

    /// Whether it has what it says it took.
    fn has_it(&self) -> bool {
        self.took.is_some_and(|took| took > 0 && self.rss >= took / 10 * 9)
    }

    fn told(&self) -> Value {
        json!({
            "node": self.node, "available_bytes": self.available, "resident_bytes": self.rss, "took_bytes": self.took,
            "oom_score_adj": self.oom_score_adj,
        })
    }
}

#[async_trait]
impl Fault for MemoryPressure {
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
        details.insert("percent".to_owned(), json!(self.percent));
        details.insert("leave_bytes".to_owned(), json!(self.leave_bytes));
        details
    }

    async fn prepare(&mut self, cluster: &Cluster, _db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        for seen in self.look(cluster).await? {
            if seen.available <= self.leave_bytes {
                return Err(FaultError::Refused {
                    class: CLASS.to_owned(),
                    reason: format!("{} bytes are available, and {} must be left", seen.available, self.leave_bytes),
                    node: seen.node,
                    hint: "Say a smaller `leave`, or leave the fault out".to_owned(),
                });
            }
            self.before.push(seen.told());
        }
        self.hired.prepare(cluster).await
    }

    async fn inject(&self, cluster: &Cluster, _db: &dyn Db) -> Result<(), FaultError> {
        let args = [self.percent.to_string(), self.leave_bytes.to_string()];
        self.hired.start(cluster, "", "memory", &args).await.map(|_| ())
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let deadline = tokio::time::Instant::now() + TAKEN_WITHIN;
        loop {
            let seen = self.look(cluster).await?;
            let proven = seen.iter().all(Look::has_it);
            if proven || tokio::time::Instant::now() >= deadline {
                let now: Vec<Value> = seen.iter().map(Look::told).collect();
                return Ok(Evidence { proven, measured: json!({ "before": self.before, "now": now }) });
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn verify_healed(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let mut evidence = gone(&self.hired, cluster).await?;
        evidence.measured["now"] = self.look(cluster).await?.iter().map(Look::told).collect();
        Ok(evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_proves_it() {
        for (text, expected) in [
            ("available 100\nrss 1000\noom_score_adj 1000\ntook 1000000\n", true),
            ("available 100\nrss 100\ntook 1000000\n", false),
            ("available 100\nrss 1000\n", false),
            ("available 100\nrss 1000\ntook 0\n", false),
            ("", false),
        ] {
            assert_eq!(Look::parse(Node::new("n1"), text).has_it(), expected, "{text}");
        }
    }
}
