//! Cuts links between nodes by dropping packets where they arrive.
//!
//! Each fault has a table (nftables) or a chain (iptables) of its own on each node that drops something; nothing else
//! is touched, and nothing is ever flushed but that chain. The drop stands before every other rule, so that neither
//! rules that accept nor connections that are open already get around it. The address from which we log in is never
//! dropped.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::{Cluster, Command, Db, probe};
use schism_history::Node;
use serde_json::{Map, Value, json};

use crate::class::{Ask, Family, FaultEntry, plain_label};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::grudge::{Direction, Grudge};
use crate::intention::Intention;
use crate::links;
use crate::need::Need;
use crate::option::{OptionEntry, OptionKind};
use crate::scripts;
use crate::tag::RunTag;

/// The class.
pub const CLASS: &str = "partition";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Network,
    about: "cuts links between nodes by dropping packets where they arrive, whole or one way",
    options: &[
        OptionEntry {
            name: "shapes",
            key: "shape",
            kind: OptionKind::Shape,
            default: &[],
            about: "who is cut off from whom",
        },
        OptionEntry {
            name: "direction",
            key: "direction",
            kind: OptionKind::OneOfOrMixed(&["both", "in", "out"], &["both", "both", "in", "out"]),
            default: &["mixed"],
            about: "whether the harmed side is deaf (in), mute (out) or both; mixed: half of them both, a quarter each one way",
        },
    ],
    works: "every ground, with nft or iptables on the nodes",
    verified: "UDP datagrams between every pair of nodes, each way: none where it is cut, some everywhere else",
    undone: "its own table (nft) or chain (iptables) on each node is removed; by the node itself when its lease ends",
    needs: |_| vec![Need::PacketFilter, Need::Probe, Need::Nodes { at_least: 2, of: "a partition".to_owned() }],
    decide,
    label,
};

fn decide(ask: &Ask<'_>) -> Result<Box<dyn Fault>, FaultError> {
    if let Some(grudge) = ask.intention.value("grudge") {
        let grudge: Grudge = serde_json::from_value(grudge.clone())
            .map_err(|error| ask.wrong(format!("its `grudge` is none: {error}")))?;
        return Ok(Box::new(Partition::new(grudge, ask.intention.label(), ask.tag, ask.fault_id)));
    }
    let shape = ask.intention.shape();
    let shape =
        shape.ok_or_else(|| ask.wrong(format!("`{}` is nothing that this class does", ask.intention.label())))?;
    let direction = direction(ask.intention);
    let (grudge, label) = shape.grudge(direction, ask.view, &mut ask.rng()).map_err(|reason| ask.nobody(reason))?;
    Ok(Box::new(Partition::new(grudge, label, ask.tag, ask.fault_id)))
}

fn direction(intention: &Intention) -> Direction {
    let value = intention.value("direction").cloned();
    value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or(Direction::Both)
}

fn label(intention: &Intention) -> String {
    let links = intention.value("grudge").and_then(|value| serde_json::from_value::<Grudge>(value.clone()).ok());
    match (links, intention.shape(), direction(intention)) {
        (Some(grudge), ..) => format!("links: {grudge}"),
        (None, Some(shape), Direction::Both) => shape.name().to_owned(),
        (None, Some(shape), Direction::In) => format!("{}, one way (cannot hear)", shape.name()),
        (None, Some(shape), Direction::Out) => format!("{}, one way (cannot be heard)", shape.name()),
        (None, None, _) => plain_label(intention),
    }
}

/// How often links are probed before a cut counts as not proven: under load a probe may come late.
const PROBE_TRIES: u32 = 2;

/// A packet filter of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// `nft`.
    Nft,
    /// `iptables` and `ip6tables`.
    Iptables,
}

impl Filter {
    /// From what [`scripts::which_filter`] says.
    pub fn parse(name: &str) -> Option<Filter> {
        match name {
            "nft" => Some(Filter::Nft),
            "iptables" => Some(Filter::Iptables),
            _ => None,
        }
    }
}

/// A cut, by this grudge.
#[derive(Debug, Clone)]
pub struct Partition {
    grudge: Grudge,
    label: String,
    table: String,
    chain: String,
    filters: BTreeMap<Node, Filter>,
}

impl Partition {
    /// The cut of this fault.
    pub fn new(grudge: Grudge, label: String, tag: &RunTag, fault_id: u32) -> Partition {
        let (table, chain) = (tag.table(fault_id), tag.chain(fault_id));
        Partition { grudge, label, table, chain, filters: BTreeMap::new() }
    }

    fn undo_script(&self, filter: Filter) -> String {
        match filter {
            Filter::Nft => scripts::nft_undo(&self.table),
            Filter::Iptables => scripts::iptables_undo(&self.chain),
        }
    }

    fn install(&self, filter: Filter, from: &[IpAddr]) -> Command {
        match filter {
            Filter::Nft => Command::new(scripts::nft_load()).stdin(scripts::nft_rules(&self.table, from)),
            Filter::Iptables => Command::new(scripts::iptables_install(&self.chain, from)),
        }
    }

    /// Refuses a cut that would drop the address from which we log in.
    async fn spare_controller(&self, cluster: &Cluster) -> Result<(), FaultError> {
        let ask = Command::new(scripts::controller_address()).user(schism_cluster::User::Login);
        let commands = self.grudge.drops().map(|(node, _)| (node.clone(), ask.clone())).collect();
        for (node, output) in fanout::run_all(cluster, commands).await? {
            let Ok(controller) = plain(&output.text()) else { continue };
            let dropped = self.grudge.drops().find(|(one, _)| **one == node).into_iter().flat_map(|(_, list)| list);
            for other in dropped {
                if address(cluster, other)? == controller {
                    return Err(FaultError::Refused {
                        class: CLASS.to_owned(),
                        node,
                        reason: format!("it would drop {controller}, from where we are logged in (node {other})"),
                        hint: "Log in from a machine that is no node, and jump over one that is none".to_owned(),
                    });
                }
            }
        }
        Ok(())
    }

    /// What stands of ours on the nodes.
    async fn leftover(&self, cluster: &Cluster) -> Result<Vec<String>, FaultError> {
        let script = |filter: &Filter| match filter {
            Filter::Nft => scripts::nft_leftover(&self.table),
            Filter::Iptables => scripts::iptables_leftover(&self.chain),
        };
        let commands = self.filters.iter().map(|(node, filter)| (node.clone(), Command::new(script(filter))));
        let answers = fanout::run_all(cluster, commands.collect()).await?;
        let found = answers.into_iter().map(|(node, output)| (node, output.text()));
        Ok(found.filter(|(_, text)| !text.is_empty()).map(|(node, text)| format!("{node}: {text}")).collect())
    }

    async fn probed(&self, cluster: &Cluster, grudge: &Grudge) -> Result<Evidence, FaultError> {
        let pairs = probe::all_pairs(cluster);
        let mut tries = 1;
        loop {
            let counts = probe::reachability(cluster, &pairs).await?;
            let mut evidence = links::judge_links(grudge, &counts);
            if evidence.proven || tries >= PROBE_TRIES {
                evidence.measured["tries"] = json!(tries);
                return Ok(evidence);
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Which packet filter each of these nodes has.
///
/// # Errors
/// When a node does not answer, or has none.
pub async fn filters(cluster: &Cluster, nodes: &[Node]) -> Result<BTreeMap<Node, Filter>, FaultError> {
    let commands = nodes.iter().map(|node| (node.clone(), Command::new(scripts::which_filter()))).collect();
    let mut filters = BTreeMap::new();
    for (node, output) in fanout::run_all(cluster, commands).await? {
        let filter = Filter::parse(&output.text()).ok_or_else(|| FaultError::Refused {
            class: CLASS.to_owned(),
            node: node.clone(),
            reason: "neither nft nor iptables works there as root".to_owned(),
            hint: "Install nftables (or iptables) on the node, or leave the fault `partition` out".to_owned(),
        })?;
        filters.insert(node, filter);
    }
    Ok(filters)
}

/// The address of a node, as a packet filter takes it.
fn address(cluster: &Cluster, node: &Node) -> Result<IpAddr, FaultError> {
    let text = &fanout::handle(cluster, node)?.address;
    plain(text).map_err(|_| FaultError::Refused {
        class: CLASS.to_owned(),
        node: node.clone(),
        reason: format!("its address `{text}` is no IP address, and a packet filter knows no names"),
        hint: "Give the node's IP address in the inventory".to_owned(),
    })
}

/// An address in its one form: an IPv4 address that is mapped into IPv6 is the IPv4 address.
fn plain(text: &str) -> Result<IpAddr, std::net::AddrParseError> {
    text.parse::<IpAddr>().map(|address| address.to_canonical())
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
        self.grudge.touched()
    }

    fn details(&self) -> Map<String, Value> {
        Map::from_iter([("grudge".to_owned(), json!(self.grudge))])
    }

    async fn prepare(&mut self, cluster: &Cluster, _db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        if self.grudge.is_empty() {
            let reason = "the grudge cuts nothing".to_owned();
            return Err(FaultError::NoTarget { class: CLASS.to_owned(), reason });
        }
        for node in self.grudge.touched() {
            address(cluster, &node)?;
        }
        self.spare_controller(cluster).await?;
        let nodes: Vec<Node> = self.grudge.drops().map(|(node, _)| node.clone()).collect();
        self.filters = filters(cluster, &nodes).await?;
        let undo =
            |(node, filter): (&Node, &Filter)| Undo::OnNode { node: node.clone(), script: self.undo_script(*filter) };
        Ok(self.filters.iter().map(undo).collect())
    }

    async fn inject(&self, cluster: &Cluster, _db: &dyn Db) -> Result<(), FaultError> {
        let mut commands = Vec::new();
        for (node, dropped) in self.grudge.drops() {
            let Some(filter) = self.filters.get(node) else { continue };
            let from = dropped.iter().map(|other| address(cluster, other)).collect::<Result<Vec<_>, _>>()?;
            commands.push((node.clone(), self.install(*filter, &from)));
        }
        fanout::run_all(cluster, commands).await?;
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        self.probed(cluster, &self.grudge).await
    }

    async fn verify_healed(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let leftover = self.leftover(cluster).await?;
        let mut evidence = self.probed(cluster, &Grudge::default()).await?;
        if !leftover.is_empty() {
            evidence.proven = false;
            evidence.measured["leftover"] = json!(leftover);
        }
        Ok(evidence)
    }
}
