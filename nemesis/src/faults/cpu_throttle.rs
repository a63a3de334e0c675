//! Lets the database's processes run for a part of their time only.
//!
//! By a control group of our own with a quota where the node lets us make one; else the agent stops and continues exactly
//! these processes (and their children) ten times a second. The second way and the fault `pause` use the same signals: where
//! both are on at one node, what the one stopped the other may let go on, which the evidence of `pause` then tells.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schism_cluster::shell::signal_script;
use schism_cluster::{Cluster, Command, Db, ProcessId};
use schism_history::Node;
use serde_json::{Map, Value, json};

use super::hired::{begin, lifetime_s};
use super::victims::Victims;
use crate::agent;
use crate::class::{Family, FaultEntry, plain_label};
use crate::fanout::{self, Part};
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::TARGETS;
use crate::measure;
use crate::need::Need;
use crate::observe::{self, Seen};
use crate::option::{OptionEntry, OptionKind};
use crate::scripts::{self, Controller};

/// The class.
pub const CLASS: &str = "cpu-throttle";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Resources,
    about: "lets the database's processes run for a part of their time only",
    options: &[
        TARGETS,
        OptionEntry {
            name: "percent",
            key: "percent",
            kind: OptionKind::Integer(1, 90),
            default: &["10", "30"],
            about: "how much of its time (of all processors' time, by control group) it may run",
        },
    ],
    works: "wherever nodes have a writable control group for processors, or the agent runs",
    verified: "by control group: the processes are in it, the kernel keeps the quota, and they had no more time than that (and how \
               often they were held back); by signals: they are seen \
               stopped for the rest of the time, give or take a third",
    undone: "they are moved back to where they were and the group is taken away, or the agent is ended and they are \
             continued; by the node itself when its lease ends",
    needs: |_| {
        let group = Need::OnNodes {
            what: "a control group for processors".to_owned(),
            script: scripts::group_available(Controller::Cpu),
            hint: "Mount the control groups writable on the nodes".to_owned(),
        };
        vec![Need::Kill, Need::AnyOf(vec![group, Need::Agent])]
    },
    decide: |ask| {
        Ok(Box::new(CpuThrottle {
            victims: Victims::new(CLASS, ask.target()?),
            percent: ask.number("percent")?,
            lease: ask.tag.lease(ask.fault_id),
            lifetime_s: lifetime_s(ask.intention.duration_ms),
            ways: BTreeMap::new(),
        }))
    },
    label: plain_label,
};

/// How long use is measured.
const SPAN_MS: u64 = 1500;
/// How often it is looked whether processes are stopped.
const SAMPLES: u32 = 60;
/// By how much the part of the time in which they are stopped may be off: on a busy machine the agent wakes up late, each time
/// that it stops them and each time that it lets them go on.
const SHARE_OFF: f64 = 1.0 / 3.0;
/// How long the agent may take to end in order.
const GRACE_MS: u64 = 1500;

/// How a node's processes are slowed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// By a group of our own; they were in the one of this path.
    Group { path: String },
    /// By the agent at this path.
    Signals { agent: String },
}

/// The database's processes on some nodes, slowed.
#[derive(Debug, Clone)]
pub struct CpuThrottle {
    victims: Victims,
    percent: u64,
    lease: String,
    lifetime_s: u64,
    ways: BTreeMap<Node, Way>,
}

/// `VERSION BASE PATH`: the path.
pub(super) fn path_of(text: &str) -> Option<String> {
    let mut words = text.trim().splitn(3, ' ').skip(2);
    words.next().filter(|path| path.starts_with('/')).map(str::to_owned)
}

/// The control group in which the first of a node's processes is, where groups of our own can be made.
pub(super) async fn group_path(
    cluster: &Cluster,
    node: &Node,
    controller: Controller,
    processes: &[ProcessId],
) -> Result<Option<String>, FaultError> {
    let Some(first) = processes.first() else { return Ok(None) };
    let missing =
        fanout::handle(cluster, node)?.remote.run(&Command::new(scripts::group_available(controller))).await?;
    if !missing.text().is_empty() {
        return Ok(None);
    }
    let place = Command::new(scripts::group_place(controller, *first));
    let output = fanout::handle(cluster, node)?.remote.output(&place).await?;
    Ok(if output.status == 0 { path_of(&output.text()) } else { None })
}

impl CpuThrottle {
    fn mark(&self, node: &Node) -> String {
        scripts::mark(&self.lease, node.as_str())
    }

    fn of(&self, node: &Node) -> &[ProcessId] {
        self.victims.found.get(node).map_or(&[], Vec::as_slice)
    }

    fn undo(&self, node: &Node, way: &Way) -> Undo {
        let mark = self.mark(node);
        let script = match way {
            Way::Group { path } => scripts::group_leave(Controller::Cpu, &mark, path),
            Way::Signals { .. } => scripts::detached_stop(&mark, GRACE_MS, &signal_script("CONT", self.of(node))),
        };
        Undo::OnNode { node: node.clone(), script }
    }

    /// Whether a node's processes are slowed, and what was seen.
    async fn seen(&self, cluster: &Cluster, node: &Node, way: &Way) -> Result<(bool, Value), FaultError> {
        let handle = fanout::handle(cluster, node)?;
        let used = measure::cpu_use(handle, self.of(node), SPAN_MS).await?;
        match way {
            Way::Group { .. } => {
                let look = Command::new(scripts::group_look(Controller::Cpu, &self.mark(node)));
                let group = measure::numbers(&handle.remote.run(&look).await?.text());
                let count = Command::new("grep -c ^processor /proc/cpuinfo\n");
                let processors: f64 = handle.remote.run(&count).await?.text().parse().unwrap_or(1.0);
                let most_ms = used.span_ms * processors * self.percent as f64 / 100.0;
                // A group may use the quota of a period that has begun before it is held back.
                let within = used.cpu_ms <= most_ms * 1.3 + 120.0;
                let of = |key: &str| group.get(key).copied().unwrap_or(0);
                // Whether the kernel keeps the quota that we meant, whatever the database wanted of it.
                let quota_ms = of("quota_us") as f64 / of("period_us").max(1) as f64 * used.span_ms;
                let inside = of("members") > 0 && quota_ms > 0.0 && quota_ms <= most_ms * 1.01 + 20.0;
                let seen = json!({ "node": node, "by": "group", "group": group, "used": used, "most_ms": most_ms,
                    "held_back": of("throttled") > 0 });
                Ok((inside && within && used.processes > 0, seen))
            }
            Way::Signals { .. } => {
                let sample = Command::new(scripts::stopped_share(self.of(node), SAMPLES));
                let text = handle.remote.run(&sample).await?.text();
                let (samples, stopped) = text.split_once(' ').unwrap_or_default();
                let (samples, stopped): (f64, f64) = (samples.parse().unwrap_or(0.0), stopped.parse().unwrap_or(0.0));
                let share = if samples > 0.0 { stopped / samples } else { 0.0 };
                let wanted = 1.0 - self.percent as f64 / 100.0;
                let seen = json!({
                    "node": node, "by": "signals", "samples": samples, "stopped_share": share, "wanted_share": wanted,
                    "used": used,
                });
                // One that was never seen stopped proves nothing, however much of its time it may run.
                Ok((stopped > 0.0 && (share - wanted).abs() <= SHARE_OFF, seen))
            }
        }
    }
}

#[async_trait]
impl Fault for CpuThrottle {
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
        details.insert("percent".to_owned(), json!(self.percent));
        details
    }

    async fn prepare(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        self.victims.find(cluster, db).await?;
        let nodes = self.victims.nodes.clone();
        let mut without = Vec::new();
        for node in &nodes {
            match group_path(cluster, node, Controller::Cpu, self.of(node)).await? {
                Some(path) => {
                    self.ways.insert(node.clone(), Way::Group { path });
                }
                None => without.push(node.clone()),
            }
        }
        let agents = agent::ensure(cluster, &without).await?;
        self.ways.extend(agents.into_iter().map(|(node, agent)| (node, Way::Signals { agent })));
        Ok(self.ways.iter().map(|(node, way)| self.undo(node, way)).collect())
    }

    async fn inject(&self, cluster: &Cluster, _db: &dyn Db) -> Result<(), FaultError> {
        let command = |(node, way): (&Node, &Way)| {
            let (mark, processes) = (self.mark(node), self.of(node));
            let script = match way {
                Way::Group { .. } => scripts::group_enter(Controller::Cpu, &mark, self.percent * 10_000, processes),
                Way::Signals { agent } => {
                    let ids = processes.iter().map(|one| format!("{}:{}", one.pid, one.start_ticks));
                    let args: Vec<String> = std::iter::once(self.percent.to_string()).chain(ids).collect();
                    let verb = begin(agent, &mark, self.lifetime_s, "throttle", &args);
                    scripts::detached_start(&mark, &format!("exec {verb}"))
                }
            };
            (node.clone(), Command::new(script))
        };
        fanout::run_all(cluster, self.ways.iter().map(command).collect()).await?;
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let part = |(node, way)| -> Part<'_, _> { Box::pin(self.seen(cluster, node, way)) };
        let seen = fanout::all(self.ways.iter().map(part).collect()).await;
        let seen = seen.into_iter().collect::<Result<Vec<_>, FaultError>>()?;
        let proven = seen.iter().all(|(slowed, _)| *slowed);
        let nodes: Vec<Value> = seen.into_iter().map(|(_, seen)| seen).collect();
        Ok(Evidence { proven, measured: json!({ "percent": self.percent, "throttled": nodes }) })
    }

    async fn verify_healed(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let look = |(node, way): (&Node, &Way)| {
            let script = match way {
                Way::Group { .. } => scripts::group_look(Controller::Cpu, &self.mark(node)),
                Way::Signals { .. } => format!("ls {}/{}.* 2>/dev/null; :\n", scripts::FAULT_DIR, self.mark(node)),
            };
            (node.clone(), Command::new(script))
        };
        let left: Vec<String> = fanout::run_all(cluster, self.ways.iter().map(look).collect())
            .await?
            .into_iter()
            .filter(|(_, output)| !output.text().is_empty())
            .map(|(node, output)| format!("{node}: {}", output.text()))
            .collect();
        let seen = observe::states(cluster, &self.victims.found).await?;
        // Whether somebody else has stopped them meanwhile is not ours to judge.
        let stopped = seen.iter().filter(|one| one.is_stopped()).count();
        let living = seen.iter().filter(|one| !Seen::is_gone(one)).count();
        let measured = json!({ "left": left, "processes": seen, "stopped": stopped, "living": living });
        Ok(Evidence { proven: left.is_empty(), measured })
    }
}
