//! Leaves the database's processes a few further file descriptors and no more: connections and files that it opens then fail
//! with EMFILE.
//!
//! The soft limit of open files of exactly these processes is lowered (prlimit) to what they have open now and a few more; the
//! hard limit stays, so that the old one can be given back. A child that left its parent's family before the heal keeps the low
//! limit.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schism_cluster::{Cluster, Command, Db, Output, ProcessId};
use schism_history::Node;
use serde_json::{Map, Value, json};

use super::victims::Victims;
use crate::class::{Family, FaultEntry, plain_label};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::TARGETS;
use crate::need::Need;
use crate::option::{OptionEntry, OptionKind};
use crate::scripts;

/// The class.
pub const CLASS: &str = "descriptors";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Resources,
    about: "leaves the database's processes a few further file descriptors and no more",
    options: &[
        TARGETS,
        OptionEntry {
            name: "spare",
            key: "spare",
            kind: OptionKind::Integer(0, 100_000),
            default: &["0", "4"],
            about: "how many further descriptors each process may have open",
        },
    ],
    works: "every ground whose nodes have prlimit (util-linux), where root may change the limits of the database's user",
    verified: "the soft limit of open files in /proc/PID/limits, beside how many are open",
    undone: "the old soft limit is given back exactly, to these processes and to children that inherited the low one; by the \
             node itself when its lease ends",
    needs: |_| {
        let prlimit = Need::OnNodes {
            what: "limits of descriptors".to_owned(),
            script: scripts::missing_prlimit(),
            hint: "Install util-linux there".to_owned(),
        };
        vec![Need::Kill, prlimit]
    },
    decide: |ask| {
        let (victims, spare) = (Victims::new(CLASS, ask.target()?), ask.number("spare")?);
        Ok(Box::new(Descriptors { victims, spare, limits: BTreeMap::new() }))
    },
    label: plain_label,
};

/// A process, its limits, how many descriptors it has open, and the limit that leaves it the spare ones.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Limit {
    process: ProcessId,
    soft: String,
    hard: String,
    open: u64,
    low: u64,
}

impl Limit {
    fn parse(line: &str) -> Option<Limit> {
        let mut words = line.split_whitespace();
        let process = ProcessId { pid: words.next()?.parse().ok()?, start_ticks: words.next()?.parse().ok()? };
        let (soft, hard) = (words.next()?.to_owned(), words.next()?.to_owned());
        Some(Limit { process, soft, hard, open: words.next()?.parse().ok()?, low: words.next()?.parse().ok()? })
    }

    fn can_be_lowered(&self) -> bool {
        self.soft.parse::<u64>().map_or(self.soft == "unlimited", |soft| self.low < soft)
    }

    fn told(&self, node: &Node) -> Value {
        json!({
            "node": node, "pid": self.process.pid, "start_ticks": self.process.start_ticks, "soft": self.soft,
            "hard": self.hard, "open": self.open,
        })
    }
}

/// The database's processes on some nodes, short of descriptors.
#[derive(Debug, Clone)]
pub struct Descriptors {
    victims: Victims,
    spare: u64,
    limits: BTreeMap<Node, Vec<Limit>>,
}

impl Descriptors {
    async fn look(&self, cluster: &Cluster) -> Result<BTreeMap<Node, Vec<Limit>>, FaultError> {
        let look =
            |(node, list): (&Node, &Vec<_>)| (node.clone(), Command::new(scripts::descriptors_of(list, self.spare)));
        let answers = fanout::run_all(cluster, self.victims.found.iter().map(look).collect()).await?;
        let read = |(node, output): (Node, Output)| (node, output.text().lines().filter_map(Limit::parse).collect());
        Ok(answers.into_iter().map(read).collect())
    }

    /// The limits now, of those processes of ours that live: on each node and process as `wanted` says.
    async fn seen(
        &self,
        cluster: &Cluster,
        wanted: impl Fn(&Limit, &Limit) -> bool,
    ) -> Result<(bool, bool, Value), FaultError> {
        let now = self.look(cluster).await?;
        let (mut all, mut told) = (true, Vec::new());
        let mut harmed = true;
        for (node, before) in &self.limits {
            let here = now.get(node).map_or(&[][..], Vec::as_slice);
            harmed &= !here.is_empty();
            for one in here {
                let old = before.iter().find(|old| old.process == one.process);
                all &= old.is_none_or(|old| wanted(old, one));
                told.push(one.told(node));
            }
        }
        Ok((all, harmed, json!({ "spare": self.spare, "limits": told })))
    }
}

#[async_trait]
impl Fault for Descriptors {
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
        details.insert("spare".to_owned(), json!(self.spare));
        details
    }

    async fn prepare(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        self.victims.find(cluster, db).await?;
        self.limits = self.look(cluster).await?;
        for (node, limits) in &self.limits {
            if !limits.iter().any(Limit::can_be_lowered) {
                return Err(FaultError::Refused {
                    class: CLASS.to_owned(),
                    node: node.clone(),
                    reason: format!("its processes have not {} descriptors to spare as it is", self.spare),
                    hint: "Say a smaller `spare`".to_owned(),
                });
            }
        }
        let undo = |(node, list): (&Node, &Vec<Limit>)| {
            let old: Vec<_> = list.iter().map(|one| (one.process, one.low, one.soft.clone())).collect();
            Undo::OnNode { node: node.clone(), script: scripts::descriptors_restore(&old) }
        };
        Ok(self.limits.iter().map(undo).collect())
    }

    async fn inject(&self, cluster: &Cluster, _db: &dyn Db) -> Result<(), FaultError> {
        let lower = |(node, list): (&Node, &Vec<Limit>)| {
            let low: Vec<_> = list.iter().map(|one| (one.process, one.low)).collect();
            (node.clone(), Command::new(scripts::descriptors_lower(&low)))
        };
        fanout::run_all(cluster, self.limits.iter().map(lower).collect()).await?;
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let (all, harmed, measured) = self.seen(cluster, |old, now| now.soft == old.low.to_string()).await?;
        Ok(Evidence { proven: all && harmed, measured })
    }

    async fn verify_healed(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let (all, _, measured) = self.seen(cluster, |old, now| now.soft == old.soft).await?;
        Ok(Evidence { proven: all, measured })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let process = ProcessId { pid: 7, start_ticks: 99 };
        let expected = Limit { process, soft: "20000".to_owned(), hard: "unlimited".to_owned(), open: 12, low: 16 };
        assert_eq!(Limit::parse("7 99 20000 unlimited 12 16"), Some(expected));
        for (line, expected) in [("7 9 20 20 3 19", true), ("7 9 20 20 3 20", false), ("7 9 unlimited 9 3 20", true)] {
            assert_eq!(Limit::parse(line).unwrap().can_be_lowered(), expected, "{line}");
        }
        for torn in ["", "7", "7 99 1 1 x 4", "7 99 1 1 2"] {
            assert_eq!(Limit::parse(torn), None, "{torn}");
        }
    }
}
