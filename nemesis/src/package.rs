//! Faults as suites ask for them, the table of all there are, and what each needs.

use std::fmt;

use schism_cluster::{Ability, Cluster, Command, Db};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::fanout;
use crate::faults::{kill, partition, pause};
use crate::grudge::{SHAPES, Shape};
use crate::scripts;
use crate::span::DurationText;
use crate::target::Target;

/// A class of fault as a suite asks for it: a name (`partition`), or a name with options
/// (`partition: {shapes: [bridge], interval: 20s}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultSpec {
    /// Cuts links between nodes.
    Partition(PartitionSpec),
    /// Kills the database and starts it again.
    Kill(TargetSpec),
    /// Stops the database's processes and lets them go on.
    Pause(TargetSpec),
}

/// Options of `partition`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PartitionSpec {
    /// Shapes to choose from, evenly; empty: all that the cluster and the database allow.
    pub shapes: Vec<Shape>,
    /// In which direction links are cut.
    pub direction: DirectionSpec,
    /// Mean time between the end of one and the begin of the next; the schedule's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<DurationText>,
    /// Mean time that one is on; the schedule's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<DurationText>,
}

/// Options of `kill` and `pause`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetSpec {
    /// Targets to choose from, evenly; empty: all that the cluster and the database allow.
    pub targets: Vec<Target>,
    /// Mean time between the end of one and the begin of the next; the schedule's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<DurationText>,
    /// Mean time that one is on; the schedule's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<DurationText>,
}

/// Directions of a partition as suites ask for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectionSpec {
    /// Both ways.
    Both,
    /// The harmed side cannot hear.
    In,
    /// The harmed side cannot be heard.
    Out,
    /// Half of them both ways, a quarter each one way.
    #[default]
    Mixed,
}

/// A line of the table of faults.
#[derive(Debug, Clone, Copy)]
pub struct FaultEntry {
    /// Its name in suites, and its class.
    pub name: &'static str,
    /// One line for `schism list faults`.
    pub about: &'static str,
    /// Its options, one line.
    pub options: &'static str,
    /// It with its defaults.
    pub default: fn() -> FaultSpec,
}

/// All faults.
pub const FAULTS: &[FaultEntry] = &[
    FaultEntry {
        name: partition::CLASS,
        about: "cuts links between nodes by dropping packets where they arrive, whole or one way",
        options: "shapes: [halves, random-halves, one, majority-minority, bridge, majorities-ring, leader], \
                  direction: both|in|out|mixed, interval, duration",
        default: || FaultSpec::Partition(PartitionSpec::default()),
    },
    FaultEntry {
        name: kill::CLASS,
        about: "kills the database's processes (SIGKILL) and starts it again",
        options: "targets: [one, minority, minority-third, majority, all, primaries, [n1, n3]], interval, duration",
        default: || FaultSpec::Kill(TargetSpec::default()),
    },
    FaultEntry {
        name: pause::CLASS,
        about: "stops the database's processes (SIGSTOP) and lets them go on",
        options: "targets: [one, minority, minority-third, majority, all, primaries, [n1, n3]], interval, duration",
        default: || FaultSpec::Pause(TargetSpec::default()),
    },
];

const FAULT_NAMES: &[&str] = &[partition::CLASS, kill::CLASS, pause::CLASS];

/// What a fault needs of nodes and database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// nft or iptables on every node.
    PacketFilter,
    /// perl on every node, for the probes that prove a cut.
    Probe,
    /// A ground that can shape single links: a lab made for the run gets a switch then.
    Links,
    /// The ability to kill and start the database.
    Kill,
    /// The ability to pause the database.
    Pause,
    /// A database that tells who leads.
    Primaries,
    /// That many nodes.
    Nodes {
        /// How many.
        at_least: usize,
        /// For what.
        of: String,
    },
    /// A node of that name.
    Node {
        /// Which.
        name: String,
    },
}

/// A need that is not met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the fault `{fault}` cannot be done here: {reason}. {hint}")]
pub struct Unmet {
    /// Which fault.
    pub fault: &'static str,
    /// What it needs.
    pub need: Need,
    /// Why that is not there.
    pub reason: String,
    /// What to do next.
    pub hint: String,
}

impl FaultSpec {
    /// The fault of that name, with its defaults.
    pub fn named(name: &str) -> Option<FaultSpec> {
        FAULTS.iter().find(|entry| entry.name == name).map(|entry| (entry.default)())
    }

    /// Its class, which is its name in suites.
    pub fn class(&self) -> &'static str {
        match self {
            FaultSpec::Partition(_) => partition::CLASS,
            FaultSpec::Kill(_) => kill::CLASS,
            FaultSpec::Pause(_) => pause::CLASS,
        }
    }

    /// Own interval and duration, where the suite gave them.
    pub fn pace(&self) -> (Option<DurationText>, Option<DurationText>) {
        match self {
            FaultSpec::Partition(spec) => (spec.interval, spec.duration),
            FaultSpec::Kill(spec) | FaultSpec::Pause(spec) => (spec.interval, spec.duration),
        }
    }

    /// With no choice left open: empty lists become all that such a cluster and database allow. Lists that the suite
    /// gave stay as they are; [`FaultSpec::needs`] tells whether they can be done.
    pub fn resolved(&self, nodes_count: usize, has_primaries: bool) -> FaultSpec {
        let mut spec = self.clone();
        match &mut spec {
            FaultSpec::Partition(partition) if partition.shapes.is_empty() => {
                let possible =
                    |shape: &&Shape| shape.nodes_min() <= nodes_count && (has_primaries || !shape.needs_primaries());
                partition.shapes = SHAPES.iter().filter(possible).copied().collect();
            }
            FaultSpec::Kill(target) | FaultSpec::Pause(target) if target.targets.is_empty() => {
                let all = [Target::One, Target::Minority, Target::Majority, Target::All, Target::Primaries];
                let possible =
                    |target: &Target| target.nodes_min() <= nodes_count && (has_primaries || !target.needs_primaries());
                target.targets = all.into_iter().filter(possible).collect();
            }
            _ => {}
        }
        spec
    }

    /// What it needs, for every shape and target in its lists.
    pub fn needs(&self) -> Vec<Need> {
        let mut needs = Vec::new();
        match self {
            FaultSpec::Partition(spec) => {
                needs.extend([
                    Need::PacketFilter,
                    Need::Probe,
                    Need::Nodes { at_least: 2, of: "a partition".to_owned() },
                ]);
                for shape in &spec.shapes {
                    needs.push(Need::Nodes { at_least: shape.nodes_min(), of: format!("shape `{}`", shape.name()) });
                    needs.extend(shape.needs_primaries().then_some(Need::Primaries));
                }
            }
            FaultSpec::Kill(spec) | FaultSpec::Pause(spec) => {
                needs.push(if matches!(self, FaultSpec::Kill(_)) { Need::Kill } else { Need::Pause });
                for target in &spec.targets {
                    needs.push(Need::Nodes { at_least: target.nodes_min(), of: format!("target `{target}`") });
                    needs.extend(target.needs_primaries().then_some(Need::Primaries));
                    if let Target::Nodes(nodes) = target {
                        needs.extend(nodes.iter().map(|node| Need::Node { name: node.to_string() }));
                    }
                }
            }
        }
        needs.sort();
        needs.dedup();
        needs
    }
}

/// Asks cluster and database, before the run, for everything that these faults need.
///
/// # Errors
/// Everything that is missing, not only the first.
pub async fn check_needs(specs: &[FaultSpec], cluster: &Cluster, db: &dyn Db) -> Result<(), Vec<Unmet>> {
    let mut unmet = Vec::new();
    for spec in specs {
        for need in spec.needs() {
            if let Err((reason, hint)) = met(&need, cluster, db).await {
                unmet.push(Unmet { fault: spec.class(), need, reason, hint: hint.to_owned() });
            }
        }
    }
    if unmet.is_empty() { Ok(()) } else { Err(unmet) }
}

/// Whether a need is met; if not, why not and what to do next.
async fn met(need: &Need, cluster: &Cluster, db: &dyn Db) -> Result<(), (String, &'static str)> {
    let cannot = |what: &str| Err((format!("the database `{}` cannot {what}", db.name()), "Leave it out of the suite"));
    match need {
        Need::PacketFilter => match partition::filters(cluster, &cluster.names()).await {
            Ok(_) => Ok(()),
            Err(error) => Err((error.to_string(), "`schism doctor` tells what each node has")),
        },
        Need::Probe => {
            let ask = Command::new(scripts::missing_tools());
            let commands = cluster.names().into_iter().map(|node| (node, ask.clone())).collect();
            for (node, answer) in fanout::run_each(cluster, commands).await {
                let output = answer.map_err(|error| (error.to_string(), "Check that the node is up"))?;
                let missing = output.text().replace('\n', ", ");
                if !missing.is_empty() {
                    return Err((format!("node {node} has no {missing}"), "Install it there (perl-base, util-linux)"));
                }
            }
            Ok(())
        }
        Need::Links => links(cluster).await,
        Need::Kill if db.kill().is_none() => cannot("be killed and started again"),
        Need::Pause if db.pause().is_none() => cannot("be paused"),
        Need::Primaries if db.primaries().is_none() => cannot("tell who leads"),
        Need::Nodes { at_least, of } if cluster.nodes.len() < *at_least => Err((
            format!("{of} needs at least {at_least} nodes, there are {}", cluster.nodes.len()),
            "Give more nodes (--nodes), or leave it out of the suite",
        )),
        Need::Node { name } if cluster.nodes.iter().all(|handle| handle.node.as_str() != name) => Err((
            format!("there is no node `{name}` ({})", crate::grudge::names(&cluster.names())),
            "Name nodes that are there",
        )),
        _ => Ok(()),
    }
}

async fn links(cluster: &Cluster) -> Result<(), (String, &'static str)> {
    let able = cluster.ground.can(Ability::Links).await;
    able.map_err(|error| (error.to_string(), "Leave it out of the suite where the ground cannot"))
}

impl<'de> Deserialize<'de> for FaultSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FaultSpec, D::Error> {
        deserializer.deserialize_any(SpecVisitor)
    }
}

/// Takes a bare name or a map of one name to its options. A visitor and not an untagged enum, so that errors keep
/// their line and column.
struct SpecVisitor;

impl<'de> de::Visitor<'de> for SpecVisitor {
    type Value = FaultSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a fault: one of {}, or one of them with its options", FAULT_NAMES.join(", "))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<FaultSpec, E> {
        FaultSpec::named(name).ok_or_else(|| E::unknown_variant(name, FAULT_NAMES))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<FaultSpec, A::Error> {
        let Some(name) = map.next_key::<String>()? else {
            return Err(de::Error::custom(format!("a fault is expected, one of {}", FAULT_NAMES.join(", "))));
        };
        let spec = match FaultSpec::named(&name) {
            Some(FaultSpec::Partition(_)) => FaultSpec::Partition(map.next_value::<Option<_>>()?.unwrap_or_default()),
            Some(FaultSpec::Kill(_)) => FaultSpec::Kill(map.next_value::<Option<_>>()?.unwrap_or_default()),
            Some(FaultSpec::Pause(_)) => FaultSpec::Pause(map.next_value::<Option<_>>()?.unwrap_or_default()),
            None => return Err(de::Error::unknown_variant(&name, FAULT_NAMES)),
        };
        if let Some(second) = map.next_key::<String>()? {
            return Err(de::Error::custom(format!(
                "`{second}` stands beside `{name}`: each fault is an entry of its own in the list, and its options are indented below its name"
            )));
        }
        Ok(spec)
    }
}

#[cfg(test)]
#[path = "package_tests.rs"]
mod tests;
