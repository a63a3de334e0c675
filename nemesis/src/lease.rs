//! The dead man's switch: each harm leaves on its node a watcher that undoes it by itself when the controller has been
//! silent for too long.
//!
//! A lease is files in one folder of the node (`<run tag>-<fault id>-<node>.undo`, `.info`) and a detached shell that counts
//! the seconds since the last sign of life ([`crate::beat`]). Healing removes the files, which ends the watcher within a
//! second; so does the watcher's own undo. The folder alone is enough to heal: no ledger, no controller
//! ([`Leases::heal`]).
//!
//! **Time** is the node's uptime: clocks may jump. A node that was frozen (or a machine that slept) counts only a few seconds
//! for all of that time, so that the controller, which could not reach it, has its say first.
//!
//! **A restart of the node.** The folder is on disk, synced before the harm. What starts the watchers again is told in
//! [`Lease::restarts_by`]: a lab's nodes run `/var/lib/schism/boot.d` by themselves, systemd gets a unit of ours and cron a
//! line of ours in `/etc/cron.d` (both gone with the last lease), and `none` says that there is nothing: then the lease
//! waits for `schism heal`. After a restart the whole lease runs again.
//!
//! **Order with the ground.** Undos that the ground does are leased with the ground's keeper ([`schism_cluster::GroundLease`]),
//! scripts with the node; when a controller is silent both begin by themselves, about at the same time, in no order, and
//! each tries again until it succeeds. So a script that needs the ground's part (start what lies on a disk that must come
//! back first) has to fail until that is done. A controller that heals keeps the order of the undos, and the lease of a
//! node is cancelled only when every stage of its fault is done ([`mod@crate::heal`]).

use std::time::Duration;

use schism_cluster::{Cluster, Command, RemoteError};
use schism_history::Node;
use serde::{Deserialize, Serialize};

use crate::fanout;
use crate::fault::Undo;
use crate::guarded::guarded;
use crate::scripts::{self, Places};

/// Where leases live on a node.
pub const LEASE_DIR: &str = "/var/lib/schism/leases";

/// How long a command that undoes may take: a lock of 20 s, and a database that starts slowly.
const HEAL_DEADLINE: Duration = Duration::from_secs(90);

/// The folders of the leases, and who leaves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leases {
    places: Places,
    controller: String,
}

impl Default for Leases {
    fn default() -> Leases {
        let places = Places {
            dir: LEASE_DIR.to_owned(),
            run: "/run/schism".to_owned(),
            boot: "/var/lib/schism/boot.d".to_owned(),
            etc: "/etc".to_owned(),
        };
        Leases { places, controller: "-".to_owned() }
    }
}

/// What a lease says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseInfo {
    /// `partition`, `kill`, `pause`.
    pub class: String,
    /// One line for a person.
    pub label: String,
    /// For how long the controller must be silent before the node heals itself, in seconds.
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
    /// Seconds until the node heals itself if nothing is heard; negative once it should have. `None` where nothing waits:
    /// then only healing helps.
    pub left_s: Option<i64>,
    /// What goes on with it after a restart of the node: `lab`, `systemd`, `cron`, or `none`.
    pub restarts_by: Option<String>,
    /// The controller that left it: `HOST:PID:START`.
    pub controller: Option<String>,
}

impl Lease {
    /// The tag of its run.
    pub fn run_tag(&self) -> &str {
        self.name.split('-').next().unwrap_or_default()
    }
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
    /// Leases in another folder (and others beside it), for tests.
    pub fn within(dir: &str) -> Leases {
        let beside = |what: &str| format!("{dir}.{what}");
        let places = Places { dir: dir.to_owned(), run: beside("run"), boot: beside("boot"), etc: beside("etc") };
        Leases { places, controller: "-".to_owned() }
    }

    /// Left by this controller (`HOST:PID:START`), which `schism status` tells.
    pub fn of_controller(self, controller: &str) -> Leases {
        let plain = |c: char| if c.is_ascii_graphic() { c } else { '_' };
        Leases { controller: controller.chars().map(plain).collect(), ..self }
    }

    /// Where they live.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Arms a lease for every undo that runs on a node. All are tried.
    ///
    /// # Errors
    /// The first node that did not obey; the caller must then not harm, and cancel by healing.
    pub async fn arm(&self, cluster: &Cluster, name: &str, info: &LeaseInfo, undo: &[Undo]) -> Result<(), RemoteError> {
        let text = serde_json::to_string(info).unwrap_or_default();
        let arm = |name: &str| scripts::lease_arm(&self.places, name, info.lease_s, &self.controller, &text);
        let command = |(node, undo): (Node, String)| {
            let command = Command::new(arm(&on_node(name, &node))).stdin(scripts::whole(&undo));
            (node, command)
        };
        fanout::run_all(cluster, per_node(undo).into_iter().map(command).collect()).await.map(|_| ())
    }

    /// The cluster for an injection: on nodes that have a lease of this undo, nothing is run once it is gone, and what still runs
    /// then is ended before the undo.
    pub fn guarding(&self, cluster: &Cluster, name: &str, undo: &[Undo]) -> Cluster {
        let leased: Vec<Node> = per_node(undo).into_iter().map(|(node, _)| node).collect();
        let question = |node: &Node| scripts::lease_work(&self.places, &on_node(name, node));
        guarded(cluster, |node| leased.contains(node).then(|| question(node)))
    }

    /// Runs these undos, each on its node, and cancels the lease where it succeeded. Answers for each node.
    pub async fn undo(&self, cluster: &Cluster, name: &str, undo: &[Undo]) -> Vec<(Node, Result<(), RemoteError>)> {
        let answers = self.undo_stage(cluster, name, undo, &|_| true).await;
        answers.into_iter().map(|(node, answer)| (node, answer.map(|_| ()))).collect()
    }

    /// Runs these undos, each on its node, and cancels the lease where it succeeded on nodes for which `cancel` says so.
    /// Answers for each node whether it had healed itself before.
    pub(crate) async fn undo_stage(
        &self,
        cluster: &Cluster,
        name: &str,
        undo: &[Undo],
        cancel: &(dyn Fn(&Node) -> bool + Sync),
    ) -> Vec<(Node, Result<bool, RemoteError>)> {
        let command = |(node, undo): (Node, String)| {
            let script = scripts::heal(&self.places, &on_node(name, &node), cancel(&node));
            (node, Command::new(script).stdin(scripts::whole(&undo)).deadline(HEAL_DEADLINE))
        };
        let commands = per_node(undo).into_iter().map(command).collect();
        let answers = fanout::run_each(cluster, commands).await;
        // The undo may have said something too, before.
        let expired = |text: String| text.lines().next_back() == Some("expired");
        answers.into_iter().map(|(node, answer)| (node, answer.map(|output| expired(output.text())))).collect()
    }

    /// Cancels the lease of these nodes, whose harm is undone.
    pub(crate) async fn cancel(
        &self,
        cluster: &Cluster,
        name: &str,
        nodes: &[Node],
    ) -> Vec<(Node, Result<(), RemoteError>)> {
        let command =
            |node: &Node| (node.clone(), Command::new(scripts::lease_cancel(&self.places, &on_node(name, node))));
        let answers = fanout::run_each(cluster, nodes.iter().map(command).collect()).await;
        answers.into_iter().map(|(node, answer)| (node, answer.map(|_| ()))).collect()
    }

    /// Lists the leases that live on the nodes now. A node that does not answer gives its error instead.
    pub async fn list(&self, cluster: &Cluster) -> (Vec<Lease>, Vec<RemoteError>) {
        let script = scripts::lease_list(&self.places);
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
        let command = Command::new(scripts::lease_heal(&self.places)).deadline(HEAL_DEADLINE);
        self.report(cluster, &command, "lease ").await
    }

    /// Removes everything of ours that has no lease any more, told by its name ([`crate::scripts::LEFTOVERS`]). Heal the
    /// leases first.
    pub async fn remove_leftovers(&self, cluster: &Cluster) -> HealReport {
        let command = Command::new(scripts::leftovers_remove(&self.places)).deadline(HEAL_DEADLINE);
        self.report(cluster, &command, "").await
    }

    /// Runs a command on every node that says `healed WHAT` or `removed WHAT`, and `failed WHAT`, a line each.
    async fn report(&self, cluster: &Cluster, command: &Command, prefix: &str) -> HealReport {
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
                let (verdict, what) = line.split_once(' ').unwrap_or((line, ""));
                match verdict {
                    "healed" | "removed" => report.healed.push(format!("{prefix}{what} on {node}")),
                    "failed" if prefix.is_empty() => {
                        report.failed.push((format!("{what} on {node}"), "it is still there".to_owned()));
                    }
                    "failed" => {
                        let (what, reason) = what.split_once(' ').unwrap_or((what, "(nothing was said)"));
                        report.failed.push((format!("{prefix}{what} on {node}"), reason.trim().to_owned()));
                    }
                    _ => {}
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

/// For how long after it was last seen a watcher is taken to be there, in seconds.
const WATCHER_SEEN_S: i64 = 65;

/// `NAME UPTIME_NOW UPTIME_SEEN SILENT_S LEASE_S RESTARTS_BY CONTROLLER {...}`
fn parse_lease(node: &Node, line: &str) -> Option<Lease> {
    let mut words = line.splitn(8, ' ');
    let name = words.next().filter(|name| !name.is_empty())?.to_owned();
    let mut number = || words.next().and_then(|word| word.parse::<i64>().ok());
    let (now, seen, silent, lease_s) = (number(), number(), number(), number());
    let told = |word: Option<&str>| word.filter(|word| *word != "-").map(str::to_owned);
    let (restarts_by, controller) = (told(words.next()), told(words.next()));
    let info: Option<LeaseInfo> = words.next().and_then(|text| serde_json::from_str(text).ok());
    let left = || {
        let since_seen = now?.checked_sub(seen.filter(|seen| *seen > 0)?)?;
        let waits = (0..=WATCHER_SEEN_S).contains(&since_seen);
        waits.then_some(lease_s?.checked_sub(silent?)?.checked_sub(since_seen)?)
    };
    Some(Lease { node: node.clone(), name, left_s: left(), info, restarts_by, controller })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_leases() {
        let node = Node::new("n1");
        let info = r#"{"class":"kill","label":"kill: n1","lease_s":30}"#;
        /// Label, seconds left, what starts it again.
        type Found<'a> = (Option<&'a str>, Option<i64>, Option<&'a str>);
        let cases: &[(String, Option<Found<'_>>)] = &[
            (format!("t-1 100 99 10 30 lab a:1:2 {info}"), Some((Some("kill: n1"), Some(19), Some("lab")))),
            (format!("t-1 100 90 90 30 none - {info}"), Some((Some("kill: n1"), Some(-70), Some("none")))),
            // Not seen yet, not seen for long, seen before a restart: nothing waits.
            (format!("t-1 100 0 0 30 lab - {info}"), Some((Some("kill: n1"), None, Some("lab")))),
            (format!("t-1 100 30 0 30 lab - {info}"), Some((Some("kill: n1"), None, Some("lab")))),
            (format!("t-1 100 200 0 30 lab - {info}"), Some((Some("kill: n1"), None, Some("lab")))),
            ("t-1 100 99 0 0 - -".to_owned(), Some((None, Some(-1), None))),
            ("t-1 x y {}".to_owned(), Some((None, None, None))),
            (String::new(), None),
        ];
        for (line, expected) in cases {
            let lease = parse_lease(&node, line);
            let found = lease
                .as_ref()
                .map(|one| (one.info.as_ref().map(|info| info.label.as_str()), one.left_s, one.restarts_by.as_deref()));
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
