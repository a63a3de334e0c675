//! What the disk faults share: the nodes that they harm and their database, probes of a folder's disk, and our faulty file
//! system under a database.

use std::collections::BTreeMap;
use std::time::Duration;

use schism_cluster::{Cluster, Command, Db, RemoteError};
use schism_history::Node;
use serde_json::{Value, json};

use crate::agent;
use crate::agent::faultfs::Answer;
use crate::agent::faultfs::rules::Rule;
use crate::class::Ask;
use crate::fanout;
use crate::fault::{FaultError, Undo};
use crate::faults::{lacking, processes_on, told};
use crate::grudge::names;
use crate::need::Need;
use crate::observe::{self, Processes, Seen};
use crate::option::{OptionEntry, OptionKind};
use crate::scripts::{self, FaultfsPlace};
use crate::target::Target;

/// How long a killed process may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// How long a started database may take to have processes.
const BACK_WITHIN: Duration = Duration::from_secs(15);
/// How often what a dying process left behind is looked for and killed too.
const ROUNDS: u32 = 3;
/// How long a probe may take, beside what it is known to wait.
pub(super) const PROBE_WITHIN: Duration = Duration::from_secs(60);

/// The option `targets` of faults that destroy data: one node, where the suite says nothing.
pub(super) const ONE: OptionEntry = OptionEntry {
    name: "targets",
    key: "target",
    kind: OptionKind::Target,
    default: &["one"],
    about: "which nodes; more than a minority loses what a majority had",
};

/// Which files.
pub(super) const FILES: OptionEntry = OptionEntry {
    name: "files",
    key: "files",
    kind: OptionKind::Text,
    default: &[],
    about: "a pattern of files below the database's folder (`wal/*.wal`); without it those that the database names",
};

/// That our own file system can be mounted on every node.
pub(super) fn fuse_needs() -> Vec<Need> {
    vec![Need::Agent, fuse()]
}

/// As [`fuse_needs`], without the agent.
pub(super) fn fuse() -> Need {
    Need::OnNodes {
        what: "a file system of our own".to_owned(),
        script: scripts::fuse_missing(),
        hint: "The kernel needs FUSE (`modprobe fuse`) and the node /dev/fuse".to_owned(),
    }
}

/// What every disk fault needs.
pub(super) fn base_needs() -> Vec<Need> {
    vec![Need::DataFiles, Need::Kill, Need::Probe]
}

/// The nodes that a disk fault harms.
#[derive(Debug, Clone)]
pub(super) struct Victims {
    pub(super) class: &'static str,
    pub(super) target: Target,
    pub(super) nodes: Vec<Node>,
    pub(super) found: Processes,
    /// The folder of the data, by node.
    pub(super) folders: BTreeMap<Node, String>,
    /// `<run tag>-<fault id>`.
    pub(super) name: String,
    /// The chance that is left to the nodes: which operations fail, where a write is torn.
    pub(super) draw: u32,
}

impl Victims {
    /// Those that are asked for.
    pub(super) fn of(ask: &Ask<'_>) -> Result<Victims, FaultError> {
        let (target, nodes) = ask.target()?;
        let (class, name, draw) = (ask.entry.name, ask.tag.lease(ask.fault_id), ask.intention.draw);
        Ok(Victims { class, target, nodes, found: Processes::new(), folders: BTreeMap::new(), name, draw })
    }

    pub(super) fn label(&self, more: &str) -> String {
        let more = if more.is_empty() { String::new() } else { format!(", {more}") };
        match &self.target {
            Target::Nodes(_) => format!("{}: {}{more}", self.class, names(&self.nodes)),
            target => format!("{}: {} ({target}){more}", self.class, names(&self.nodes)),
        }
    }

    /// Looks where the database runs and where its data lies; nodes on which it does not run are left out.
    pub(super) async fn find(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<(), FaultError> {
        self.found = self.processes(cluster, db).await?;
        let asked = names(&self.nodes);
        self.nodes.retain(|node| self.found.contains_key(node));
        if self.nodes.is_empty() {
            let reason = format!("{} does not run on {asked}", db.name());
            return Err(FaultError::NoTarget { class: self.class.to_owned(), reason });
        }
        let files = db.data_files().ok_or_else(|| lacking(self.class, db))?;
        for node in &self.nodes {
            self.folders.insert(node.clone(), files.data_dir(fanout::handle(cluster, node)?));
        }
        Ok(())
    }

    pub(super) async fn processes(&self, cluster: &Cluster, db: &dyn Db) -> Result<Processes, FaultError> {
        let kill = db.kill().ok_or_else(|| lacking(self.class, db))?;
        processes_on(cluster, &self.nodes, |handle| Box::pin(kill.processes(handle))).await
    }

    pub(super) fn folder(&self, node: &Node) -> &str {
        self.folders.get(node).map_or("", String::as_str)
    }

    /// A script for each node, from its folder.
    pub(super) fn scripts(&self, script: impl Fn(&Node, &str) -> String) -> Vec<(Node, Command)> {
        self.nodes.iter().map(|node| (node.clone(), Command::new(script(node, self.folder(node))))).collect()
    }

    /// An undo for each node, from its folder.
    pub(super) fn undos(&self, script: impl Fn(&Node, &str) -> String) -> Vec<Undo> {
        let undo = |node: &Node| Undo::OnNode { node: node.clone(), script: script(node, self.folder(node)) };
        self.nodes.iter().map(undo).collect()
    }

    /// Starts the database where it does not run.
    pub(super) fn start_undos(&self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        let kill = db.kill().ok_or_else(|| lacking(self.class, db))?;
        let mut undo = Vec::new();
        for node in &self.nodes {
            let script = kill.start_script(cluster, fanout::handle(cluster, node)?);
            undo.push(Undo::OnNode { node: node.clone(), script });
        }
        Ok(undo)
    }

    /// Kills the database (SIGKILL), as often as it takes until nothing of it runs.
    pub(super) async fn stop(&self, cluster: &Cluster, db: &dyn Db) -> Result<(), FaultError> {
        for _ in 0..ROUNDS {
            let victims = self.processes(cluster, db).await?;
            if victims.is_empty() {
                return Ok(());
            }
            let kill = |(node, list): (&Node, &Vec<_>)| (node.clone(), Command::new(scripts::signal("KILL", list)));
            fanout::run_all(cluster, victims.iter().map(kill).collect()).await?;
            observe::states_until(cluster, &victims, Seen::is_gone, GONE_WITHIN).await?;
        }
        match self.processes(cluster, db).await?.keys().next() {
            None => Ok(()),
            Some(node) => Err(FaultError::Refused {
                class: self.class.to_owned(),
                node: node.clone(),
                reason: format!("{} comes back each time it is killed", db.name()),
                hint: "Let no supervisor restart it".to_owned(),
            }),
        }
    }

    /// Starts the database, and answers what it said on each node: a database that refuses to start on harmed data is no
    /// trouble of ours, but told.
    pub(super) async fn start(&self, cluster: &Cluster, db: &dyn Db) -> Result<Value, FaultError> {
        let command = |undo: Undo| match undo {
            Undo::OnNode { node, script } => Some((node, Command::new(script))),
            _ => None,
        };
        let commands = self.start_undos(cluster, db)?.into_iter().filter_map(command).collect();
        let mut said = Vec::new();
        for (node, answer) in fanout::run_each(cluster, commands).await {
            said.push(match answer {
                Ok(_) => json!({ "node": node, "started": true }),
                Err(RemoteError::Exit { status, stderr_tail, .. }) => {
                    json!({ "node": node, "started": false, "status": status, "stderr": stderr_tail })
                }
                Err(error) => return Err(error.into()),
            });
        }
        Ok(Value::Array(said))
    }

    /// Waits until the database runs on every node; whether it does, and its processes for the history. On nodes where
    /// another disk fault is on (`aside`) that one may keep it from running.
    pub(super) async fn await_running(
        &self,
        cluster: &Cluster,
        db: &dyn Db,
        aside: &[Node],
    ) -> Result<(bool, Value), FaultError> {
        let deadline = tokio::time::Instant::now() + BACK_WITHIN;
        loop {
            let running = self.processes(cluster, db).await?;
            let back = self.nodes.iter().all(|node| running.contains_key(node) || aside.contains(node));
            if back || tokio::time::Instant::now() >= deadline {
                return Ok((back, told(&running)));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Tries the disk under the folder of every node.
    pub(super) async fn probe(&self, cluster: &Cluster, rounds: u32, bytes: u64) -> Result<Vec<Probe>, FaultError> {
        let commands = self
            .scripts(|_, folder| scripts::disk_probe(folder, &self.name, rounds, bytes))
            .into_iter()
            .map(|(node, command)| (node, command.deadline(PROBE_WITHIN)))
            .collect();
        let answers = fanout::run_all(cluster, commands).await?;
        Ok(answers.into_iter().map(|(node, output)| Probe::parse(node, &output.text())).collect())
    }
}

/// How one kind of operation went in a probe.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
pub(super) struct Tried {
    /// How often it was tried.
    pub(super) count: u32,
    /// Error numbers seen, and how often.
    pub(super) errors: BTreeMap<i32, u32>,
    /// How long it took in the mean, milliseconds.
    pub(super) mean_ms: f64,
}

/// What a probe of a folder's disk saw.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(super) struct Probe {
    pub(super) node: Node,
    /// Bytes that root has left.
    pub(super) free_bytes: u64,
    /// By operation: `open`, `write`, `fsync`, `read`, `unlink`.
    pub(super) tried: BTreeMap<String, Tried>,
}

impl Probe {
    pub(super) fn parse(node: Node, text: &str) -> Probe {
        let mut probe = Probe { node, free_bytes: 0, tried: BTreeMap::new() };
        for line in text.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let &[what, number, micros] = fields.as_slice() else { continue };
            if what == "free" {
                probe.free_bytes = number.parse().unwrap_or(0);
                continue;
            }
            let (Ok(error), Ok(micros)) = (number.parse::<i32>(), micros.parse::<f64>()) else { continue };
            let tried = probe.tried.entry(what.to_owned()).or_default();
            tried.mean_ms = (tried.mean_ms * f64::from(tried.count) + micros / 1000.0) / f64::from(tried.count + 1);
            tried.count += 1;
            if error != 0 {
                *tried.errors.entry(error).or_default() += 1;
            }
        }
        probe
    }

    /// Whether this error was seen, whatever was tried.
    pub(super) fn saw(&self, error: i32) -> bool {
        self.tried.values().any(|tried| tried.errors.contains_key(&error))
    }

    /// Whether everything was tried and nothing failed.
    pub(super) fn is_well(&self) -> bool {
        let done = |what: &str| self.tried.get(what).is_some_and(|tried| tried.count > 0 && tried.errors.is_empty());
        ["open", "write", "fsync", "read", "unlink"].iter().all(|what| done(what))
    }

    /// How long it took in the mean, milliseconds; 0 where it was not tried.
    pub(super) fn mean_ms(&self, what: &str) -> f64 {
        self.tried.get(what).map_or(0.0, |tried| tried.mean_ms)
    }
}

/// Our faulty file system under the database of some nodes.
#[derive(Debug, Clone, Default)]
pub(super) struct Faultfs {
    agents: BTreeMap<Node, String>,
}

impl Faultfs {
    /// Makes sure that it can be mounted on these nodes: the agent is there, and `/dev/fuse`.
    pub(super) async fn ready(cluster: &Cluster, victims: &Victims) -> Result<Faultfs, FaultError> {
        for (node, output) in fanout::run_all(cluster, victims.scripts(|_, _| scripts::fuse_missing())).await? {
            let missing = output.text().replace('\n', ", ");
            if !missing.is_empty() {
                return Err(FaultError::Refused {
                    class: victims.class.to_owned(),
                    node,
                    reason: format!("no file system of our own can be mounted: {missing}"),
                    hint: "The kernel needs FUSE and the node /dev/fuse".to_owned(),
                });
            }
        }
        Ok(Faultfs { agents: agent::ensure(cluster, &victims.nodes).await? })
    }

    /// Its undo: the rule is taken away, with the last one the file system, and the database is started again.
    pub(super) fn undos(&self, victims: &Victims, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        let mut undo = victims.undos(|_, folder| scripts::faultfs_undo(&FaultfsPlace::of(folder), &victims.name));
        undo.extend(victims.undos(|_, folder| scripts::disk_clean(folder, &victims.name)));
        undo.extend(victims.start_undos(cluster, db)?);
        Ok(undo)
    }

    /// Puts it under the database with this rule. Where another fault has put it there already, the rule is added and
    /// nothing restarts; else the database is killed, and started on it. Answers whether it was started.
    pub(super) async fn put_under(
        &self,
        victims: &Victims,
        rule: &Rule,
        cluster: &Cluster,
        db: &dyn Db,
    ) -> Result<Value, FaultError> {
        let mut bare = victims.clone();
        let there = Faultfs::shared(victims, cluster).await?;
        bare.nodes.retain(|node| !there.contains(node));
        if !bare.nodes.is_empty() {
            bare.stop(cluster, db).await?;
        }
        let text = serde_json::to_string(rule).unwrap_or_default();
        let start = |node: &Node, folder: &str| {
            let agent = self.agents.get(node).map_or("", String::as_str);
            scripts::faultfs_start(&FaultfsPlace::of(folder), agent, &victims.name, &text, u64::from(victims.draw))
        };
        fanout::run_all(cluster, victims.scripts(start)).await?;
        if bare.nodes.is_empty() { Ok(json!([])) } else { bare.start(cluster, db).await }
    }

    /// Gives an order to the file system of every node; the answers stand in the order of the nodes.
    pub(super) async fn order(
        &self,
        victims: &Victims,
        cluster: &Cluster,
        order: &str,
    ) -> Result<Vec<(Node, Answer)>, FaultError> {
        let script = |node: &Node, folder: &str| {
            let agent = self.agents.get(node).map_or("", String::as_str);
            scripts::faultfs_order(&FaultfsPlace::of(folder), agent, order)
        };
        let mut answers = Vec::new();
        for (node, output) in fanout::run_all(cluster, victims.scripts(script)).await? {
            let answer = serde_json::from_str(&output.text()).map_err(|error| FaultError::Refused {
                class: victims.class.to_owned(),
                node: node.clone(),
                reason: format!("its file system answers `{}`: {error}", output.text()),
                hint: "The agent of another version may be there".to_owned(),
            })?;
            answers.push((node, answer));
        }
        Ok(answers)
    }

    /// On which nodes it is mounted, by whatever fault.
    pub(super) async fn shared(victims: &Victims, cluster: &Cluster) -> Result<Vec<Node>, FaultError> {
        let look = victims.scripts(|_, folder| scripts::faultfs_look(&FaultfsPlace::of(folder)));
        let looked = fanout::run_all(cluster, look).await?;
        Ok(looked.into_iter().filter(|(_, output)| !output.text().is_empty()).map(|(node, _)| node).collect())
    }

    /// Looks whether it is gone from every node, or what is still mounted.
    pub(super) async fn left(victims: &Victims, cluster: &Cluster) -> Result<BTreeMap<Node, String>, FaultError> {
        let look = |_: &Node, folder: &str| scripts::faultfs_left(&FaultfsPlace::of(folder), &victims.name);
        let looked = fanout::run_all(cluster, victims.scripts(look)).await?;
        let there = looked.into_iter().map(|(node, output)| (node, output.text()));
        Ok(there.filter(|(_, text)| !text.is_empty()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_read() {
        let text = "free 4096 0\nopen 0 100\nwrite 28 2000\nwrite 0 4000\nfsync 0 10\nread 0 5\nunlink 0 5\nnonsense\n";
        let probe = Probe::parse(Node::new("n1"), text);
        assert_eq!((probe.free_bytes, probe.saw(28), probe.saw(5), probe.is_well()), (4096, true, false, false));
        assert_eq!(probe.tried["write"], Tried { count: 2, errors: BTreeMap::from([(28, 1)]), mean_ms: 3.0 });
        let text = text.replace("28", "0");
        assert!(Probe::parse(Node::new("n1"), &text).is_well());
        assert!(!Probe::parse(Node::new("n1"), "free 0 0\n").is_well(), "nothing tried is not well");
        assert_eq!(Probe::parse(Node::new("n1"), &text).mean_ms("write"), 3.0);
    }
}
