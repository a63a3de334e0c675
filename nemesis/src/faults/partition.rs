//! Cuts links between nodes by filtering packets where they arrive; or nodes off from their clients.
//!
//! Which links: a shape, links or groups by name, or (`between: clients`) the ports of the database on the targets for
//! everybody who is no node. What happens to packets: they vanish, or their senders are told at once (`how: reject`).
//! `ports` confines a cut to these TCP and UDP ports, at either end. `flap` switches it on and off for so long each,
//! by a process on each node that ends with the same undo; nodes begin together and drift apart later.
//! See [`super::cut`] for what is never harmed.
//!
//! Not covered: a cut of clients is seen by connecting from where schism runs, so that must be a client like the others
//! (behind a jump host it is none); and iptables alone cuts what clients send, not what they are answered.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::probe::tcp::{Knock, Knocked, knock};
use schism_cluster::probe::{self, PairCount, ProbeOptions};
use schism_cluster::{Cluster, Db};
use schism_history::Node;
use serde_json::{Map, Value, json};

use crate::class::{Ask, Family, FaultEntry, plain_label};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::cut::{self, Between, Cut, Pulse};
use crate::grudge::{Direction, Grudge, ShapeOptions, names, parse_groups, parse_links};
use crate::intention::Intention;
use crate::links::{self, Excuses};
use crate::need::Need;
use crate::option::{OptionEntry, OptionKind};
use crate::scripts::How;
use crate::spec::FaultSpec;
use crate::tag::RunTag;

pub use super::cut::{Filter, filters};

/// The class.
pub const CLASS: &str = "partition";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Network,
    about: "cuts links between nodes, whole or one way, by dropping or rejecting packets where they arrive; or nodes off from clients",
    options: OPTIONS,
    works: "every ground, with nft or iptables on the nodes",
    verified: "UDP datagrams between every pair of nodes, each way: none where it is cut, some everywhere else; of clients and of what is rejected, TCP connections",
    undone: "its own table (nft) or chain (iptables) on each node is removed; by the node itself when its lease ends",
    needs,
    decide,
    label,
};

const OPTIONS: &[OptionEntry] = &[
    OptionEntry {
        name: "shapes",
        key: "shape",
        kind: OptionKind::Shape,
        default: &[],
        about: "who is cut off from whom (`isolate` and `ring` only by name)",
    },
    OptionEntry {
        name: "direction",
        key: "direction",
        kind: OptionKind::OneOfOrMixed(&["both", "in", "out"], &["both", "both", "in", "out"]),
        default: &["mixed"],
        about: "whether the harmed side is deaf (in), mute (out) or both; mixed: half of them both, a quarter each one way",
    },
    OptionEntry {
        name: "targets",
        key: "target",
        kind: OptionKind::Target,
        default: &["one"],
        about: "the nodes that the shape `isolate` cuts off from the rest, or that `between: clients` cuts off from clients",
    },
    OptionEntry {
        name: "neighbours",
        key: "neighbours",
        kind: OptionKind::Integer(1, 100),
        default: &["2"],
        about: "how many others each node of the shape `ring` sees",
    },
    OptionEntry {
        name: "groups",
        key: "groups",
        kind: OptionKind::Groups,
        default: &[],
        about: "in place of a shape: nodes of different groups are cut off from each other",
    },
    OptionEntry {
        name: "links",
        key: "links",
        kind: OptionKind::Links,
        default: &[],
        about: "in place of a shape: exactly these links, n1>n2 for one way and n1<>n2 for both",
    },
    OptionEntry {
        name: "between",
        key: "between",
        kind: OptionKind::OneOf(&["nodes", "clients"]),
        default: &["nodes"],
        about: "whether links between nodes are cut, or those of the targets to everybody who is no node (needs `ports`)",
    },
    OptionEntry {
        name: "ports",
        key: "ports",
        kind: OptionKind::Ports,
        default: &[],
        about: "only these TCP and UDP ports, at either end; all if it is not given",
    },
    OptionEntry {
        name: "how",
        key: "how",
        kind: OptionKind::OneOf(&["drop", "reject"]),
        default: &["drop"],
        about: "whether packets vanish, or their senders are told at once (a reset, an unreachable port)",
    },
    OptionEntry {
        name: "flap",
        key: "flap_ms",
        kind: OptionKind::Span(100, 10_000),
        default: &[],
        about: "on for so long, off for so long, again and again; steady if it is not given",
    },
];

fn needs(spec: &FaultSpec) -> Vec<Need> {
    let mut needs = vec![Need::PacketFilter, Need::Probe];
    let asked = |name: &str, word: &str| spec.values(name).iter().any(|value| value == word);
    if asked("between", "nodes") {
        needs.push(Need::Nodes { at_least: 2, of: "a partition".to_owned() });
    }
    if asked("between", "clients") && spec.values("ports").is_empty() {
        needs.push(Need::OnNodes {
            what: "a cut between nodes and clients".to_owned(),
            script: "echo 'no ports are named'\n".to_owned(),
            hint: "Give the option `ports` the ports of the database, like 2379".to_owned(),
        });
    }
    let text = |name: &'static str| spec.values(name).iter().filter_map(Value::as_str);
    let groups = text("groups").filter_map(|text| parse_groups(text).ok()).flatten().flatten();
    let links = text("links").filter_map(|text| parse_links(text).ok()).flat_map(|grudge| grudge.touched());
    let named: BTreeSet<Node> = groups.chain(links).collect();
    needs.extend(named.into_iter().map(|node| Need::Node { name: node.to_string() }));
    needs
}

fn decide(ask: &Ask<'_>) -> Result<Box<dyn Fault>, FaultError> {
    let (between, label) = between(ask)?;
    let mut partition = Partition { cut: Cut::new(CLASS, between, ask.tag, ask.fault_id), label };
    let cut = &mut partition.cut;
    if let Some(ports) = ask.intention.value("ports") {
        cut.ports =
            serde_json::from_value(ports.clone()).map_err(|error| ask.wrong(format!("its `ports`: {error}")))?;
    }
    if matches!(cut.between, Between::Clients { .. }) && cut.ports.is_empty() {
        return Err(ask.wrong("clients are cut off from `ports`, and none are named".to_owned()));
    }
    if let Some(how) = ask.intention.value("how") {
        cut.how = serde_json::from_value(how.clone()).map_err(|error| ask.wrong(format!("its `how`: {error}")))?;
    }
    if let Some(on_ms) = ask.intention.value("flap_ms").and_then(Value::as_u64) {
        cut.pulse = Some(Pulse { on_ms, off_ms: on_ms });
    }
    partition.label += &further(ask.intention);
    Ok(Box::new(partition))
}

/// What is cut, and the line that says it.
fn between(ask: &Ask<'_>) -> Result<(Between, String), FaultError> {
    let text = |key: &str| ask.intention.value(key).and_then(Value::as_str);
    let direction = direction(ask.intention);
    if let Some(grudge) = ask.intention.value("grudge") {
        let grudge: Grudge = serde_json::from_value(grudge.clone())
            .map_err(|error| ask.wrong(format!("its `grudge` is none: {error}")))?;
        return Ok((Between::Nodes(grudge), ask.intention.label()));
    }
    if text("between") == Some("clients") {
        let (_, nodes) = ask.target()?;
        let label = format!("clients | {}{}", names(&nodes), direction.told().replace("the first", "the node"));
        return Ok((Between::Clients { nodes, direction }, label));
    }
    if let Some(text) = text("links") {
        let grudge = parse_links(text).map_err(|reason| ask.wrong(reason))?;
        known(ask, &grudge)?;
        return Ok((Between::Nodes(grudge), format!("links: {text}")));
    }
    if let Some(text) = text("groups") {
        let groups = parse_groups(text).map_err(|reason| ask.wrong(reason))?;
        let grudge = Grudge::complete(&groups);
        known(ask, &grudge)?;
        let order: Vec<Node> = groups.into_iter().flatten().collect();
        let label = format!("groups: {text}{}", direction.told());
        return Ok((Between::Nodes(grudge.directed(direction, &order)), label));
    }
    let shape = ask.intention.shape();
    let shape =
        shape.ok_or_else(|| ask.wrong(format!("`{}` is nothing that this class does", ask.intention.label())))?;
    let mut options = ShapeOptions { neighbours: 2, ..ShapeOptions::default() };
    if shape == crate::grudge::Shape::Isolate {
        options.isolated = ask.target()?.1;
    }
    if let Some(neighbours) = ask.intention.value("neighbours").and_then(Value::as_u64) {
        options.neighbours = usize::try_from(neighbours).unwrap_or(usize::MAX - 1);
    }
    let found = shape.grudge_with(direction, ask.view, &options, &mut ask.rng());
    let (grudge, label) = found.map_err(|reason| ask.nobody(reason))?;
    Ok((Between::Nodes(grudge), label))
}

fn known(ask: &Ask<'_>, grudge: &Grudge) -> Result<(), FaultError> {
    match grudge.touched().into_iter().find(|node| !ask.view.nodes.contains(node)) {
        Some(node) => Err(ask.nobody(format!("node `{node}` is not one of this cluster ({})", names(&ask.view.nodes)))),
        None => Ok(()),
    }
}

fn direction(intention: &Intention) -> Direction {
    let value = intention.value("direction").cloned();
    value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or(Direction::Both)
}

/// What a label says beside who is cut off: nothing of a plain cut.
fn further(intention: &Intention) -> String {
    let mut text = String::new();
    if let Some(ports) = intention.value("ports").and_then(Value::as_array) {
        let ports: Vec<String> = ports.iter().map(Value::to_string).collect();
        text += &format!(", only port{} {}", if ports.len() == 1 { "" } else { "s" }, ports.join(" "));
    }
    if intention.value("how").and_then(Value::as_str) == Some("reject") {
        text += ", rejected";
    }
    if let Some(ms) = intention.value("flap_ms").and_then(Value::as_u64) {
        text += &format!(", flapping every {}", crate::span::DurationText::from_ms(ms));
    }
    text
}

fn label(intention: &Intention) -> String {
    let links = intention.value("grudge").and_then(|value| serde_json::from_value::<Grudge>(value.clone()).ok());
    let text = |key: &str| intention.value(key).and_then(Value::as_str);
    let told = direction(intention).told().replace(": the first", "");
    let who = match (links, intention.shape(), direction(intention)) {
        (Some(grudge), ..) => format!("links: {grudge}"),
        _ if text("between") == Some("clients") => {
            let target = intention.target().map(|target| target.to_string()).unwrap_or_default();
            format!("clients | {target}{told}")
        }
        _ if text("links").is_some() => format!("links: {}", text("links").unwrap_or_default()),
        _ if text("groups").is_some() => format!("groups: {}{told}", text("groups").unwrap_or_default()),
        (None, Some(shape), Direction::Both) => shape.name().to_owned(),
        (None, Some(shape), Direction::In) => format!("{}, one way (cannot hear)", shape.name()),
        (None, Some(shape), Direction::Out) => format!("{}, one way (cannot be heard)", shape.name()),
        (None, None, _) => return plain_label(intention),
    };
    format!("{who}{}", further(intention))
}

/// How often links are probed before a cut counts as not proven: under load a probe may come late.
const PROBE_TRIES: u32 = 4;
/// How long a connection may take that is neither refused nor made: it is taken to be cut then.
const KNOCK_TIMEOUT: Duration = Duration::from_millis(1000);
/// How soon whoever is rejected is told, in microseconds. A packet that vanishes is sent again after a second.
const TOLD_WITHIN_US: u32 = 800_000;
/// How many ports are probed at most.
const PORTS_PROBED: usize = 4;

/// A cut.
#[derive(Debug, Clone)]
pub struct Partition {
    cut: Cut,
    label: String,
}

impl Partition {
    /// The plain cut of this fault, by this grudge.
    pub fn new(grudge: Grudge, label: String, tag: &RunTag, fault_id: u32) -> Partition {
        Partition { cut: Cut::new(CLASS, Between::Nodes(grudge), tag, fault_id), label }
    }

    /// Probes until it is as expected, or the tries are used up. Other faults excuse what is not ours.
    async fn probed(&self, cluster: &Cluster, healed: bool) -> Result<Evidence, FaultError> {
        let mut tries = 1;
        loop {
            let mut evidence = match &self.cut.between {
                Between::Nodes(grudge) => {
                    let expected = if healed { Grudge::default() } else { grudge.clone() };
                    self.probed_links(cluster, &expected).await?
                }
                Between::Clients { nodes, direction } => {
                    self.probed_clients(cluster, nodes, *direction, healed).await?
                }
            };
            if evidence.proven || tries >= PROBE_TRIES {
                evidence.measured["tries"] = json!(tries);
                return Ok(evidence);
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn probed_links(&self, cluster: &Cluster, expected: &Grudge) -> Result<Evidence, FaultError> {
        let pairs = probe::all_pairs(cluster);
        let flapping = self.cut.pulse.filter(|_| !expected.is_empty());
        let mut options = ProbeOptions::default();
        if let Some(Pulse { on_ms, off_ms }) = flapping {
            // Two whole rounds, with a datagram every few milliseconds.
            options.spread_ms = u32::try_from(2 * (on_ms + off_ms)).unwrap_or(u32::MAX / 4);
            options.count = 80;
            options.deadline += Duration::from_millis(u64::from(options.spread_ms));
        }
        // What is confined to ports must be seen there, and must not be seen elsewhere.
        let mut looks: Vec<(u16, Grudge, Vec<PairCount>)> = Vec::new();
        for port in self.cut.ports.iter().take(PORTS_PROBED).filter(|_| !expected.is_empty()) {
            let counts = probe::reachability_with(cluster, &pairs, ProbeOptions { port: *port, ..options }).await?;
            looks.push((*port, expected.clone(), counts));
        }
        let rest = if looks.is_empty() { expected.clone() } else { Grudge::default() };
        looks.push((0, rest, probe::reachability_with(cluster, &pairs, options).await?));
        let mut evidence = judge_looks(&looks, flapping.is_some(), &Excuses::new());
        if !evidence.proven {
            let excuses = links::other_harm(cluster, &[&self.cut.table, &self.cut.chain]).await;
            if !excuses.is_empty() {
                evidence = judge_looks(&looks, flapping.is_some(), &excuses);
            }
        }
        if self.cut.how == How::Reject && flapping.is_none() && !expected.is_empty() {
            let knocks = self.knocked(cluster, expected).await?;
            let told = |one: &Knocked| one.outcome == Some(Knock::Refused) && one.after_us < TOLD_WITHIN_US;
            evidence.proven &= knocks.iter().all(told);
            evidence.measured["knocks"] = json!(knocks);
        }
        Ok(evidence)
    }

    /// Tries to connect where it is cut: at the first of the ports, or else where sshd listens.
    async fn knocked(&self, cluster: &Cluster, grudge: &Grudge) -> Result<Vec<Knocked>, FaultError> {
        let cut: Vec<Node> = grudge.drops().map(|(node, _)| node.clone()).collect();
        let logins = cut::login_ports(cluster, &cut).await?;
        let port = |node: &Node| self.cut.ports.first().or(logins.get(node)).copied().unwrap_or(22);
        let pairs = grudge.drops().flat_map(|(to, dropped)| dropped.iter().map(move |from| (from, to)));
        let asked: Vec<_> = pairs.map(|(from, to)| (from.clone(), to.clone(), port(to))).collect();
        Ok(knock(cluster, &asked, KNOCK_TIMEOUT).await)
    }

    async fn probed_clients(
        &self,
        cluster: &Cluster,
        nodes: &[Node],
        direction: Direction,
        healed: bool,
    ) -> Result<Evidence, FaultError> {
        let rounds = match self.cut.pulse {
            Some(Pulse { on_ms, .. }) if !healed => 1 + on_ms / 100,
            _ => 1,
        };
        let mut rows = Vec::new();
        let (mut cut, mut passed, mut refused) = (true, true, false);
        for node in nodes {
            for port in self.cut.ports.iter().take(PORTS_PROBED) {
                let mut seen = BTreeSet::new();
                for _ in 0..rounds {
                    let (outcome, after_ms) = connect(&fanout::handle(cluster, node)?.address, *port).await;
                    seen.insert(told(outcome));
                    rows.push(json!({ "to": node, "port": port, "outcome": outcome, "after_ms": after_ms }));
                }
                let wanted =
                    if self.cut.how == How::Reject && direction != Direction::Out { "refused" } else { "timeout" };
                cut &= seen.contains(wanted) && (rounds > 1 || seen.len() == 1);
                passed &= seen.iter().all(|one| *one == "connected" || *one == "refused");
                refused |= seen.contains("refused");
            }
        }
        let mut measured = json!({ "connections": rows });
        if healed && refused {
            // Where the database does not run a port refuses too; that our rules are gone is looked at besides.
            measured["note"] = json!("refused: nothing listens there");
        }
        Ok(Evidence { proven: if healed { passed } else { cut }, measured })
    }
}

fn told(outcome: Knock) -> &'static str {
    match outcome {
        Knock::Connected => "connected",
        Knock::Refused => "refused",
        Knock::Timeout => "timeout",
        Knock::Unreachable => "unreachable",
    }
}

/// Connects from here, as clients do.
async fn connect(address: &str, port: u16) -> (Knock, u64) {
    let begin = tokio::time::Instant::now();
    let tried = tokio::time::timeout(KNOCK_TIMEOUT, tokio::net::TcpStream::connect((address, port))).await;
    let refused = [std::io::ErrorKind::ConnectionRefused, std::io::ErrorKind::ConnectionReset];
    let outcome = match tried {
        Err(_) => Knock::Timeout,
        Ok(Ok(_)) => Knock::Connected,
        Ok(Err(error)) if refused.contains(&error.kind()) => Knock::Refused,
        Ok(Err(_)) => Knock::Unreachable,
    };
    (outcome, u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// All looks together; rows of one at a port name it.
fn judge_looks(looks: &[(u16, Grudge, Vec<PairCount>)], flapping: bool, excuses: &Excuses) -> Evidence {
    let mut all = Evidence { proven: true, measured: json!({ "probes": [] }) };
    for (port, expected, counts) in looks {
        let mut one = links::judge(expected, flapping && !expected.is_empty(), counts, excuses);
        all.proven &= one.proven;
        for key in ["probes", "wrong"] {
            let Some(Value::Array(mut rows)) = one.measured.get_mut(key).map(Value::take) else { continue };
            for row in &mut rows {
                match row {
                    Value::Object(row) if *port > 0 => drop(row.insert("port".to_owned(), json!(port))),
                    Value::String(text) if *port > 0 => *text += &format!(" (port {port})"),
                    _ => {}
                }
            }
            match &mut all.measured[key] {
                Value::Array(known) => known.append(&mut rows),
                other => *other = Value::Array(rows),
            }
        }
    }
    all
}

#[async_trait]
impl Fault for Partition {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn label(&self) -> String {
        self.label.clone()
    }

    fn nodes(&self) -> Vec<Node> {
        self.cut.touched()
    }

    fn details(&self) -> Map<String, Value> {
        match &self.cut.between {
            Between::Nodes(grudge) => Map::from_iter([("grudge".to_owned(), json!(grudge))]),
            Between::Clients { nodes, .. } => Map::from_iter([("clients_cut_from".to_owned(), json!(nodes))]),
        }
    }

    async fn prepare(&mut self, cluster: &Cluster, _db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        self.cut.prepare(cluster).await
    }

    async fn inject(&self, cluster: &Cluster, _db: &dyn Db) -> Result<(), FaultError> {
        self.cut.inject(cluster).await
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        self.probed(cluster, false).await
    }

    async fn verify_healed(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let leftover = self.cut.leftover(cluster).await?;
        let mut evidence = self.probed(cluster, true).await?;
        if !leftover.is_empty() {
            evidence.proven = false;
            evidence.measured["leftover"] = json!(leftover);
        }
        Ok(evidence)
    }
}
