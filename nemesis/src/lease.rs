//! The dead man's switch: each harm leaves on its node a watcher that undoes it by itself when nobody healed in time.
//!
//! A lease is files in one folder of the node (`<run tag>-<fault id>-<node>.undo`, `.info`) and a detached shell that counts
//! the seconds. Healing removes the files, which ends the watcher within a second; so does the watcher's own undo.
//! The folder alone is enough to heal: no ledger, no controller ([`Leases::heal`]).
//!
//! Not covered: a node that is powered off keeps no lease (`/run` is gone with it), and neither do the processes and
//! the packet filter that it would have restored.

use std::time::Duration;

use schism_cluster::{Cluster, Command, RemoteError};
use schism_history::Node;
use serde::{Deserialize, Serialize};

use crate::fanout;
use crate::fault::Undo;
use crate::scripts;

/// Where leases live on a node.
pub const LEASE_DIR: &str = "/run/schism/leases";

/// How long a command that undoes may take: a lock of 20 s, and a database that starts slowly.
const HEAL_DEADLINE: Duration = Duration::from_secs(90);

/// The folder of the leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leases {
    dir: String,
}

impl Default for Leases {
    fn default() -> Leases {
        Leases::within(LEASE_DIR)
    }
}

/// What a lease says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseInfo {
    /// `partition`, `kill`, `pause`.
    pub class: String,
    /// One line for a person.
    pub label: String,
    /// How long the node waits before it heals itself, in seconds.
    pub lease_s: u64,
}

/// A lease as found on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lease {
    /// Where.
    pub node: Node,
    /// `<run tag>-<fault id>-<node>`.
    pub name: String,
    /// What it says of itself; `None` if that cannot be read.
    pub info: Option<LeaseInfo>,
    /// Seconds until the node heals itself; negative once it should have.
    pub left_s: Option<i64>,
}

/// What became of healing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct HealReport {
    /// What was undone: `fault 3 (kill: n1) on n1`.
    pub healed: Vec<String>,
    /// What was not, and why.
    pub failed: Vec<(String, String)>,
    /// Trouble beside the harm itself: damaged lines, a ledger that could not be written.
    pub notes: Vec<String>,
}

impl HealReport {
    /// Lines for a person; empty when all went well.
    pub fn trouble(&self) -> Vec<String> {
        let failed = self.failed.iter().map(|(what, reason)| format!("{what} could not be healed: {reason}"));
        failed.chain(self.notes.iter().cloned()).collect()
    }
}

impl Leases {
    /// Leases in another folder, for tests.
    pub fn within(dir: &str) -> Leases {
        Leases { dir: dir.to_owned() }
    }

    /// Arms a lease for every undo that runs on a node. All are tried.
    ///
    /// # Errors
    /// The first node that did not obey; the caller must then not harm, and cancel by healing.
    pub async fn arm(&self, cluster: &Cluster, name: &str, info: &LeaseInfo, undo: &[Undo]) -> Result<(), RemoteError> {
        let text = serde_json::to_string(info).unwrap_or_default();
        let arm = |name: &str| scripts::lease_arm(&self.dir, name, info.lease_s, &text);
        let command = |(node, undo): (Node, String)| {
            let command = Command::new(arm(&on_node(name, &node))).stdin(undo);
            (node, command)
        };
        fanout::run_all(cluster, per_node(undo).into_iter().map(command).collect()).await.map(|_| ())
    }

    /// Runs these undos, each on its node, and cancels the lease where it succeeded. Answers for each node.
    pub async fn undo(&self, cluster: &Cluster, name: &str, undo: &[Undo]) -> Vec<(Node, Result<(), RemoteError>)> {
        let command = |(node, undo): (Node, String)| {
            let script = scripts::heal(&self.dir, &on_node(name, &node));
            (node, Command::new(script).stdin(undo).deadline(HEAL_DEADLINE))
        };
        let commands = per_node(undo).into_iter().map(command).collect();
        let answers = fanout::run_each(cluster, commands).await;
        answers.into_iter().map(|(node, answer)| (node, answer.map(|_| ()))).collect()
    }

    /// Lists the leases that live on the nodes now. A node that does not answer gives its error instead.
    pub async fn list(&self, cluster: &Cluster) -> (Vec<Lease>, Vec<RemoteError>) {
        let script = scripts::lease_list(&self.dir);
        let commands = cluster.names().into_iter().map(|node| (node, Command::new(&script))).collect();
        let (mut leases, mut errors) = (Vec::new(), Vec::new());
        for (node, answer) in fanout::run_each(cluster, commands).await {
            match answer {
                Ok(output) => leases.extend(output.text().lines().filter_map(|line| parse_lease(&node, line))),
                Err(error) => errors.push(error),
            }
        }
        (leases, errors)
    }

    /// Heals from the nodes alone: runs the undo of every lease found there.
    pub async fn heal(&self, cluster: &Cluster) -> HealReport {
        let command = Command::new(scripts::lease_heal(&self.dir)).deadline(HEAL_DEADLINE);
        let commands = cluster.names().into_iter().map(|node| (node, command.clone())).collect();
        let mut report = HealReport::default();
        for (node, answer) in fanout::run_each(cluster, commands).await {
            let output = match answer {
                Ok(output) => output,
                Err(error) => {
                    report.failed.push((format!("node {node}"), error.to_string()));
                    continue;
                }
            };
            for line in output.text().lines() {
                let mut words = line.splitn(3, ' ');
                let (verdict, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                let what = format!("lease {name} on {node}");
                match verdict {
                    "healed" => report.healed.push(what),
                    _ => report.failed.push((what, words.next().unwrap_or("(nothing was said)").trim().to_owned())),
                }
            }
        }
        report
    }
}

/// Lists the leases of a cluster in their usual folder, for `schism status`.
pub async fn list_leases(cluster: &Cluster) -> (Vec<Lease>, Vec<RemoteError>) {
    Leases::default().list(cluster).await
}

/// Heals from what the nodes keep alone, for `schism heal` without a ledger.
pub async fn heal_from_leases(cluster: &Cluster) -> HealReport {
    Leases::default().heal(cluster).await
}

/// The name of a fault's lease on one node: several nodes may live on one machine and share the folder.
fn on_node(name: &str, node: &Node) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' };
    format!("{name}-{}", node.as_str().chars().map(plain).collect::<String>())
}

/// One script a node, in the order of the undos.
fn per_node(undo: &[Undo]) -> Vec<(Node, String)> {
    let mut scripts: Vec<(Node, String)> = Vec::new();
    for one in undo {
        let Undo::OnNode { node, script } = one else { continue };
        match scripts.iter_mut().find(|(known, _)| known == node) {
            Some((_, all)) => *all = format!("(\n{all}) || exit 1\n{script}"),
            None => scripts.push((node.clone(), script.clone())),
        }
    }
    scripts
}

/// `NAME UPTIME_NOW UPTIME_ARMED {...}`
fn parse_lease(node: &Node, line: &str) -> Option<Lease> {
    let mut words = line.splitn(4, ' ');
    let name = words.next().filter(|name| !name.is_empty())?.to_owned();
    let now: Option<i64> = words.next().and_then(|word| word.parse().ok());
    let armed: Option<i64> = words.next().and_then(|word| word.parse().ok());
    let info: Option<LeaseInfo> = words.next().and_then(|text| serde_json::from_str(text).ok());
    let left = |info: &LeaseInfo| Some(i64::try_from(info.lease_s).ok()? - now?.checked_sub(armed?)?);
    let left_s = info.as_ref().and_then(left);
    Some(Lease { node: node.clone(), name, info, left_s })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_leases() {
        let node = Node::new("n1");
        let cases: &[(&str, Option<(Option<&str>, Option<i64>)>)] = &[
            (
                "t-1 100 90 {\"class\":\"kill\",\"label\":\"kill: n1\",\"lease_s\":30}",
                Some((Some("kill: n1"), Some(20))),
            ),
            ("t-1 100 10 {\"class\":\"kill\",\"label\":\"a b\",\"lease_s\":30}", Some((Some("a b"), Some(-60)))),
            ("t-1 100 0", Some((None, None))),
            ("t-1 x y {}", Some((None, None))),
            ("", None),
        ];
        for (line, expected) in cases {
            let lease = parse_lease(&node, line);
            let found = lease.as_ref().map(|one| (one.info.as_ref().map(|info| info.label.as_str()), one.left_s));
            assert_eq!(found, *expected, "{line}");
        }
    }

    #[test]
    fn several_undos_of_a_node_become_one_script_that_stops_at_the_first_failure() {
        let on = |node: &str, script: &str| Undo::OnNode { node: Node::new(node), script: script.to_owned() };
        let undo = [
            on("n1", "echo one\nexit 0\n"),
            on("n2", "true\n"),
            Undo::Irreversible { reason: "gone".to_owned() },
            on("n1", "echo two\n"),
        ];
        let scripts = per_node(&undo);
        assert_eq!(scripts.len(), 2);
        let output = std::process::Command::new("sh").arg("-c").arg(&scripts[0].1).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "one\ntwo\n");
    }
}
