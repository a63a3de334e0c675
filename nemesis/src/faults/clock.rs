//! What the three clock faults have in common: which clock is harmed, how that is told to nodes, and the evidence.
//!
//! Two mechanisms, one a node: the **real** clock where the node has one of its own (a machine, not a container; never that
//! of the controller's own kernel), else the clock of the database's **processes** alone (x86-64; see
//! [`crate::agent::vdso`]). The option `mechanism` asks for one of them; `real` passes over signs of a container, and
//! never over a shared kernel.
//!
//! A process of the database that is started, or executes another program, while the fault is on has the true time until it
//! is found: 40 ms at most on a machine that is not overloaded.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::clock::{ClockOffset, clock_offsets};
use schism_cluster::{Cluster, Command, Db, ProcessId};
use schism_history::Node;
use serde_json::{Map, Value, json};

use crate::agent;
use crate::agent::clock_real::{Guard, boot_id};
use crate::agent::skew::{Can, Mechanism, Order};
use crate::agent::skew_state::{Sample, State};
use crate::class::Ask;
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::{lacking, processes_on, told};
use crate::grudge::names;
use crate::need::Need;
use crate::observe::Processes;
use crate::option::{OptionEntry, OptionKind};
use crate::scripts;
use crate::spec::FaultSpec;

/// Where a node keeps what its clock is told.
pub const CLOCK_DIR: &str = "/run/schism/clock";

/// The option `mechanism`.
pub const MECHANISM: OptionEntry = OptionEntry {
    name: "mechanism",
    key: "mechanism",
    kind: OptionKind::OneOf(&["auto", "real", "processes"]),
    default: &["auto"],
    about: "the node's real clock, or that of the database's processes alone; auto: the real one where it is the node's own",
};

/// Where clock faults work.
pub const WORKS: &str = "every ground: the real clock on machines and virtual machines (CAP_SYS_TIME, no container); elsewhere the clock \
                         of the database's processes, on x86-64 (times of files and waits in the kernel stay true)";
/// How they are undone.
pub const UNDONE: &str = "the true time by the raw monotonic clock, and the time daemons that ran; or the processes' own clock functions, to \
                          the byte; by the node itself when its lease ends";

/// How many times a node's clock is asked for by the controller.
const TRIES: u32 = 5;
/// What a set clock may be off by, beside what is known of the measurement.
const NEAR_NS: i64 = 20_000_000;

/// What is done to a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Ahead by this.
    Jump {
        /// Negative is behind.
        offset_ms: i64,
    },
    /// To and fro.
    Strobe {
        /// Between the true time and this much ahead.
        offset_ms: i64,
        /// How long it stays.
        period_ms: u64,
    },
    /// Too fast.
    Drift {
        /// By so many millionths; negative is too slow.
        rate_ppm: i64,
    },
}

impl Harm {
    fn order(self) -> Order {
        let ns = |ms: i64| ms.saturating_mul(1_000_000);
        match self {
            Harm::Jump { offset_ms } => Order { offset_ns: ns(offset_ms), ..Order::default() },
            Harm::Strobe { offset_ms, period_ms } => {
                let half_period_ns = ns(i64::try_from(period_ms).unwrap_or(i64::MAX).max(1));
                Order { strobe_ns: ns(offset_ms), half_period_ns, ..Order::default() }
            }
            Harm::Drift { rate_ppm } => Order { rate_ppb: rate_ppm.saturating_mul(1000), ..Order::default() },
        }
    }

    /// How many samples prove it, and over how many milliseconds.
    fn samples(self) -> (u32, u64) {
        match self {
            Harm::Jump { .. } => (5, 20),
            Harm::Strobe { period_ms, .. } => (64, (period_ms * 4).clamp(64, 8000)),
            Harm::Drift { .. } => (5, 1000),
        }
    }

    /// Whether a clock that said this, beside what other faults do to it, is harmed so; and what was measured.
    pub fn seen(self, samples: &[Sample]) -> (bool, Value) {
        let own: Vec<i64> = samples.iter().map(|one| one.shift_ns - one.others_ns).collect();
        let near = |sample: &Sample, wanted_ns: i64| {
            (sample.shift_ns - sample.others_ns - wanted_ns).abs() <= NEAR_NS + sample.error_ns
        };
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return (false, json!({})) };
        match self {
            Harm::Jump { offset_ms } => {
                let all = samples.iter().all(|sample| near(sample, offset_ms * 1_000_000));
                let middle = own.get(own.len() / 2).copied().unwrap_or_default();
                (all, json!({ "offset_ms": ms(middle), "error_ms": ms(last.error_ns) }))
            }
            Harm::Strobe { offset_ms, .. } => {
                let wanted_ns = offset_ms * 1_000_000;
                // At which end each is: the nearer one. Between the two is nothing.
                let away: Vec<bool> = own.iter().map(|shift| shift.abs() > (shift - wanted_ns).abs()).collect();
                let edges = away.windows(2).filter(|pair| pair[0] != pair[1]).count();
                // A small strobe must not drown in the tolerance.
                let room = |sample: &Sample| (NEAR_NS + sample.error_ns).min(wanted_ns.abs() / 4 + sample.error_ns);
                let at_an_end = samples
                    .iter()
                    .zip(&own)
                    .filter(|(sample, shift)| shift.abs().min((**shift - wanted_ns).abs()) <= room(sample));
                let share = at_an_end.count() as f64 / samples.len() as f64;
                let (low, high) = (own.iter().min().copied(), own.iter().max().copied());
                let proven = edges >= 2 && share >= 0.9 && away.contains(&true) && away.contains(&false);
                let (low, high) = (ms(low.unwrap_or_default()), ms(high.unwrap_or_default()));
                (proven, json!({ "offset_min_ms": low, "offset_max_ms": high, "swings_seen": edges }))
            }
            Harm::Drift { rate_ppm } => {
                let passed_ns = (last.at_ns - first.at_ns).max(1) as f64;
                let grown_ns = (last.shift_ns - last.others_ns) - (first.shift_ns - first.others_ns);
                let rate = grown_ns as f64 / passed_ns * 1e6;
                let error = (first.error_ns + last.error_ns) as f64 / passed_ns * 1e6;
                let off = (rate - rate_ppm as f64).abs();
                // Never so wide that no drift at all would do.
                let room = (rate_ppm.abs() as f64 * 0.02 + error + 2.0).min(rate_ppm.abs() as f64 / 2.0);
                (off <= room, json!({ "rate_ppm": rate, "error_ppm": error, "offset_ms": ms(own[own.len() - 1]) }))
            }
        }
    }
}

/// Milliseconds, for people and JSON.
fn ms(ns: i64) -> f64 {
    ns as f64 / 1e6
}

/// What clock faults need: schism on the nodes, a clock that can be harmed on each, and processes where it is theirs.
pub fn needs(spec: &FaultSpec) -> Vec<Need> {
    let mut needs = vec![Need::Agent];
    let mechanisms = spec.values(MECHANISM.name);
    for mechanism in mechanisms {
        let order =
            Order { mechanism: mechanism_of(mechanism.as_str()), guard: guard(mechanism.as_str()), ..Order::default() };
        needs.push(Need::OnNodes {
            what: "its clock".to_owned(),
            script: scripts::clock_missing(&serde_json::to_string(&order).unwrap_or_default()),
            hint: "Real clocks need machines of their own (--lab vms); those of processes x86-64 and a kernel that lets root write to \
                   /proc/PID/mem"
                .to_owned(),
        });
    }
    if mechanisms.iter().any(|mechanism| mechanism != "real") {
        needs.push(Need::AnyOf(vec![Need::Kill, Need::Pause]));
    }
    needs
}

fn mechanism_of(word: Option<&str>) -> Option<Mechanism> {
    match word {
        Some("real") => Some(Mechanism::Real),
        Some("processes") => Some(Mechanism::Processes),
        _ => None,
    }
}

fn guard(word: Option<&str>) -> Guard {
    Guard { controller_boot_id: boot_id(), despite_doubts: word == Some("real") }
}

/// A harm to the clocks of some nodes.
#[derive(Debug, Clone)]
pub struct Skew {
    class: &'static str,
    what: String,
    harm: Harm,
    mechanism: Option<String>,
    nodes: Vec<Node>,
    lease: String,
    agents: BTreeMap<Node, String>,
    found: Processes,
    chosen: BTreeMap<Node, Can>,
    /// How far real clocks were from the controller's before, without what faults added.
    before: BTreeMap<Node, ClockOffset>,
}

/// The fault that an intention means.
///
/// # Errors
/// Where there is nobody to harm.
pub fn decide(ask: &Ask<'_>, harm: Harm, what: String) -> Result<Box<dyn Fault>, FaultError> {
    let (_, nodes) = ask.target()?;
    Ok(Box::new(Skew {
        class: ask.entry.name,
        what,
        harm,
        mechanism: ask.word("mechanism").ok().map(str::to_owned),
        nodes,
        lease: ask.tag.lease(ask.fault_id),
        agents: BTreeMap::new(),
        found: Processes::new(),
        chosen: BTreeMap::new(),
        before: BTreeMap::new(),
    }))
}

impl Skew {
    /// The name of its part on a node; two nodes may share a machine.
    fn term(&self, node: &Node) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        format!("{}-{}", self.lease, node.as_str().chars().map(plain).collect::<String>())
    }

    fn refused(&self, node: &Node, reason: String) -> FaultError {
        FaultError::Refused {
            class: self.class.to_owned(),
            node: node.clone(),
            reason,
            hint: "`schism doctor` tells what nodes can do".to_owned(),
        }
    }

    fn agent(&self, node: &Node, verb: &str, args: &[&str]) -> Result<Command, FaultError> {
        let path = self.agents.get(node).ok_or_else(|| self.refused(node, "it has no agent".to_owned()))?;
        let args: Vec<&str> = std::iter::once(verb).chain(args.iter().copied()).collect();
        Ok(Command::new(agent::command(path, "skew", &args)))
    }

    /// Asks each node with which mechanism it can.
    async fn choose(&mut self, cluster: &Cluster) -> Result<(), FaultError> {
        let word = self.mechanism.as_deref();
        let order = Order { mechanism: mechanism_of(word), guard: guard(word), ..Order::default() };
        let order = serde_json::to_string(&order).map_err(|error| self.refused(&self.nodes[0], error.to_string()))?;
        let command = |node: &Node| Ok((node.clone(), self.agent(node, "can", &[&order])?));
        let commands = self.nodes.iter().map(command).collect::<Result<Vec<_>, FaultError>>()?;
        let mut chosen = BTreeMap::new();
        for (node, answer) in fanout::run_each(cluster, commands).await {
            let text = answer?.text();
            let can: Can =
                serde_json::from_str(&text).map_err(|error| self.refused(&node, format!("{text}: {error}")))?;
            chosen.insert(node, can);
        }
        self.chosen = chosen;
        Ok(())
    }

    fn with(&self, mechanism: Mechanism) -> Vec<Node> {
        let is_it = |(_, can): &(&Node, &Can)| can.mechanism == mechanism;
        self.chosen.iter().filter(is_it).map(|(node, _)| node.clone()).collect()
    }

    async fn states(&self, cluster: &Cluster, samples: u32, over_ms: u64) -> Result<BTreeMap<Node, State>, FaultError> {
        let (samples, over) = (samples.to_string(), over_ms.to_string());
        let command = |node: &Node| {
            let command = self.agent(node, "state", &[CLOCK_DIR, &self.term(node), &samples, &over])?;
            Ok((node.clone(), command.deadline(Duration::from_millis(over_ms + 30_000))))
        };
        let commands = self.nodes.iter().map(command).collect::<Result<Vec<_>, FaultError>>()?;
        let mut states = BTreeMap::new();
        for (node, output) in fanout::run_all(cluster, commands).await? {
            let text = output.text();
            let state = serde_json::from_str(&text).map_err(|error| self.refused(&node, format!("{text}: {error}")))?;
            states.insert(node, state);
        }
        Ok(states)
    }

    /// How far the real clocks are from the controller's, without what faults add to them by plan.
    async fn offsets(
        &self,
        cluster: &Cluster,
        states: &BTreeMap<Node, State>,
    ) -> Result<BTreeMap<Node, ClockOffset>, FaultError> {
        let mut found = BTreeMap::new();
        for mut offset in clock_offsets(cluster, &self.with(Mechanism::Real), TRIES).await? {
            let expected_ns = states.get(&offset.node).map_or(0, |state| state.real_expected_ns);
            offset.offset_ns = offset.offset_ns.saturating_sub(expected_ns);
            found.insert(offset.node.clone(), offset);
        }
        Ok(found)
    }

    /// By how much a real clock moved against the controller's beyond what faults add, and whether that is too much.
    fn moved(&self, node: &Node, now: &BTreeMap<Node, ClockOffset>) -> (bool, Value) {
        match (self.before.get(node), now.get(node)) {
            (Some(before), Some(now)) => {
                let (moved_ns, error_ns) = (now.offset_ns - before.offset_ns, now.error_ns + before.error_ns);
                let near = moved_ns.abs() <= NEAR_NS + error_ns;
                (near, json!({ "beside_controller_ms": ms(moved_ns), "error_ms": ms(error_ns) }))
            }
            _ => (false, json!({ "beside_controller_ms": null })),
        }
    }
}

#[async_trait]
impl Fault for Skew {
    fn class(&self) -> &'static str {
        self.class
    }

    fn label(&self) -> String {
        format!("{}: {}, {}", self.class, names(&self.nodes), self.what)
    }

    fn nodes(&self) -> Vec<Node> {
        self.nodes.clone()
    }

    fn details(&self) -> Map<String, Value> {
        let mechanisms: Map<String, Value> =
            self.chosen.iter().map(|(node, can)| (node.to_string(), json!(can.mechanism))).collect();
        let mut details = Map::from_iter([("mechanism".to_owned(), Value::Object(mechanisms))]);
        if !self.found.is_empty() {
            details.insert("processes".to_owned(), told(&self.found));
        }
        details
    }

    async fn prepare(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        self.agents = agent::ensure(cluster, &self.nodes).await?;
        self.choose(cluster).await?;
        let theirs = self.with(Mechanism::Processes);
        if !theirs.is_empty() {
            let (kill, pause) = (db.kill(), db.pause());
            self.found = match (kill, pause) {
                (Some(kill), _) => processes_on(cluster, &theirs, |handle| Box::pin(kill.processes(handle))).await?,
                (_, Some(pause)) => processes_on(cluster, &theirs, |handle| Box::pin(pause.processes(handle))).await?,
                _ => return Err(lacking(self.class, db)),
            };
        }
        let asked = names(&self.nodes);
        self.chosen.retain(|node, can| can.mechanism == Mechanism::Real || self.found.contains_key(node));
        self.nodes.retain(|node| self.chosen.contains_key(node));
        if self.nodes.is_empty() {
            let reason = format!("{} does not run on {asked}", db.name());
            return Err(FaultError::NoTarget { class: self.class.to_owned(), reason });
        }
        if !self.with(Mechanism::Real).is_empty() {
            let states = self.states(cluster, 0, 0).await?;
            self.before = self.offsets(cluster, &states).await?;
        }
        let undo = |node: &Node| {
            let path = self.agents.get(node).map_or(agent::IN_LABS, String::as_str);
            Undo::OnNode { node: node.clone(), script: scripts::clock_undo(path, CLOCK_DIR, &self.term(node)) }
        };
        Ok(self.nodes.iter().map(undo).collect())
    }

    async fn inject(&self, cluster: &Cluster, _db: &dyn Db) -> Result<(), FaultError> {
        let mut commands = Vec::new();
        for (node, can) in &self.chosen {
            let processes: Vec<ProcessId> = self.found.get(node).cloned().unwrap_or_default();
            let guard = guard(self.mechanism.as_deref());
            let order = Order { mechanism: Some(can.mechanism), processes, guard, ..self.harm.order() };
            let order = serde_json::to_string(&order).map_err(|error| self.refused(node, error.to_string()))?;
            commands.push((node.clone(), self.agent(node, "on", &[CLOCK_DIR, &self.term(node), &order])?));
        }
        fanout::run_all(cluster, commands).await?;
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let (samples, over_ms) = self.harm.samples();
        let states = self.states(cluster, samples, over_ms).await?;
        // A strobe is elsewhere when the answer comes.
        let strobes = matches!(self.harm, Harm::Strobe { .. });
        let offsets = self.offsets(cluster, &states).await?;
        let mut proven = true;
        let mut clocks = Vec::new();
        for (node, can) in &self.chosen {
            let Some(state) = states.get(node) else { continue };
            let is_real = can.mechanism == Mechanism::Real;
            let (seen, mut told) = self.harm.seen(if is_real { &state.real } else { &state.canary });
            proven &= seen;
            if is_real {
                let (near, beside) = self.moved(node, &offsets);
                proven &= near || strobes || matches!(self.harm, Harm::Drift { .. });
                told["controller"] = beside;
            } else {
                let good = state.processes.iter().filter(|one| one.as_wanted).count();
                proven &= good > 0 && good == state.processes.len();
                told["processes_skewed"] = json!(good);
                told["processes"] = json!(state.processes.len());
            }
            (told["node"], told["mechanism"]) = (json!(node), json!(can.mechanism));
            clocks.push(told);
        }
        Ok(Evidence { proven, measured: json!({ "clocks": clocks }) })
    }

    async fn verify_healed(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let states = self.states(cluster, 1, 0).await?;
        let offsets = self.offsets(cluster, &states).await?;
        let mut proven = !self.chosen.is_empty();
        let mut clocks = Vec::new();
        for (node, can) in &self.chosen {
            let Some(state) = states.get(node) else { continue };
            let mut told = json!({ "node": node, "mechanism": can.mechanism, "others": state.terms });
            proven &= !state.terms.contains(&self.term(node));
            if can.mechanism == Mechanism::Real {
                let (near, beside) = self.moved(node, &offsets);
                proven &= near;
                told["controller"] = beside;
            } else {
                proven &= state.leftover.is_empty() && state.processes.iter().all(|one| one.as_wanted);
                told["processes_left_skewed"] = json!(state.leftover.len());
                told["processes_of_others"] = json!(state.processes.len());
            }
            clocks.push(told);
        }
        Ok(Evidence { proven, measured: json!({ "clocks": clocks }) })
    }
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
