//! Packet filter rules of our own on nodes: what partitions and resets share.
//!
//! Each fault has a table (nftables) or a chain (iptables) of its own on each node that filters something; nothing else
//! is touched, and nothing is ever flushed but that chain. The rules stand before every other rule, so that neither
//! rules that accept nor connections that are open already get around them. The address from which we log in is never
//! cut off, nor is the port at which we log in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schism_cluster::{Cluster, Command, User};
use schism_history::Node;

use crate::fanout;
use crate::fault::{FaultError, Undo};
use crate::grudge::{Direction, Grudge};
use crate::scripts::{self, How, Rules, Whose};
use crate::tag::RunTag;

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

/// What is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Between {
    /// Links between nodes.
    Nodes(Grudge),
    /// Clients and these nodes.
    Clients {
        /// The nodes.
        nodes: Vec<Node>,
        /// Whether the nodes cannot hear them (`In`), be heard by them (`Out`), or both.
        direction: Direction,
    },
}

/// A cut that comes and goes, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// How long it is on.
    pub on_ms: u64,
    /// How long it is off.
    pub off_ms: u64,
}

/// Rules on nodes.
#[derive(Debug, Clone)]
pub struct Cut {
    class: &'static str,
    /// What is cut.
    pub between: Between,
    /// What is done to packets.
    pub how: How,
    /// Only these ports; all where there are none.
    pub ports: Vec<u16>,
    /// Whether it comes and goes.
    pub pulse: Option<Pulse>,
    /// Name of the nftables table.
    pub table: String,
    /// Name of the iptables chain.
    pub chain: String,
    filters: BTreeMap<Node, Filter>,
}

impl Cut {
    /// A whole and steady cut for this fault.
    pub fn new(class: &'static str, between: Between, tag: &RunTag, fault_id: u32) -> Cut {
        let (table, chain) = (tag.table(fault_id), tag.chain(fault_id));
        let (how, ports, pulse) = (How::Drop, Vec::new(), None);
        Cut { class, between, how, ports, pulse, table, chain, filters: BTreeMap::new() }
    }

    /// Nodes at either end.
    pub fn touched(&self) -> Vec<Node> {
        match &self.between {
            Between::Nodes(grudge) => grudge.touched(),
            Between::Clients { nodes, .. } => nodes.clone(),
        }
    }

    /// Nodes that get rules.
    fn at_work(&self) -> Vec<Node> {
        match &self.between {
            Between::Nodes(grudge) => grudge.drops().map(|(node, _)| node.clone()).collect(),
            Between::Clients { nodes, .. } => nodes.clone(),
        }
    }

    /// Looks whether it can be done and harms only what it may, and says how it is undone.
    ///
    /// # Errors
    /// When nothing would be cut, a node has no packet filter or no IP address, or we would cut ourselves off.
    pub async fn prepare(&mut self, cluster: &Cluster) -> Result<Vec<Undo>, FaultError> {
        if self.at_work().is_empty() {
            let reason = "the grudge cuts nothing".to_owned();
            return Err(FaultError::NoTarget { class: self.class.to_owned(), reason });
        }
        for node in self.touched() {
            self.address(cluster, &node)?;
        }
        match &self.between {
            Between::Nodes(grudge) => self.spare_controller(cluster, grudge).await?,
            Between::Clients { .. } => self.spare_login(cluster).await?,
        }
        self.filters = filters(cluster, &self.at_work()).await?;
        if let (Between::Clients { nodes, direction: Direction::Out | Direction::Both }, Some((node, _))) =
            (&self.between, self.filters.iter().find(|(_, filter)| **filter == Filter::Iptables))
        {
            tracing::debug!(?nodes, "answers to clients cannot be cut by iptables");
            return Err(self.refused(
                node,
                "it has no nft, and with iptables only what clients send is cut".to_owned(),
                "Install nftables there, or ask for `direction: in`",
            ));
        }
        let undo = |(node, filter): (&Node, &Filter)| Undo::OnNode {
            node: node.clone(),
            script: self.undo_script(node, *filter),
        };
        Ok(self.filters.iter().map(undo).collect())
    }

    /// Puts the rules in place.
    ///
    /// # Errors
    /// When a node does not obey.
    pub async fn inject(&self, cluster: &Cluster) -> Result<(), FaultError> {
        let mut commands = Vec::new();
        for (node, filter) in &self.filters {
            let rules = self.rules(cluster, node)?;
            commands.push((node.clone(), self.install(node, *filter, &rules)));
        }
        fanout::run_all(cluster, commands).await?;
        Ok(())
    }

    /// What stands of ours on the nodes.
    ///
    /// # Errors
    /// When a node does not answer.
    pub async fn leftover(&self, cluster: &Cluster) -> Result<Vec<String>, FaultError> {
        let script = |(node, filter): (&Node, &Filter)| {
            let rules = match filter {
                Filter::Nft => scripts::nft_leftover(&self.table),
                Filter::Iptables => scripts::iptables_leftover(&self.chain),
            };
            let pulse = self.pulse.map(|_| scripts::pulse_leftover(&self.pulse_name(node))).unwrap_or_default();
            (node.clone(), Command::new(format!("{pulse}{rules}")))
        };
        let answers = fanout::run_all(cluster, self.filters.iter().map(script).collect()).await?;
        let found = answers.into_iter().map(|(node, output)| (node, output.text()));
        Ok(found.filter(|(_, text)| !text.is_empty()).map(|(node, text)| format!("{node}: {text}")).collect())
    }

    fn pulse_name(&self, node: &Node) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' };
        format!("{}-{}", self.table, node.as_str().chars().map(plain).collect::<String>())
    }

    fn remove(&self, filter: Filter) -> String {
        match filter {
            Filter::Nft => scripts::nft_undo(&self.table),
            Filter::Iptables => scripts::iptables_undo(&self.chain),
        }
    }

    fn undo_script(&self, node: &Node, filter: Filter) -> String {
        let pulse = self.pulse.map(|_| scripts::pulse_undo(&self.pulse_name(node))).unwrap_or_default();
        format!("{pulse}{}", self.remove(filter))
    }

    fn rules(&self, cluster: &Cluster, node: &Node) -> Result<Rules, FaultError> {
        let addresses = |nodes: &mut dyn Iterator<Item = &Node>| {
            nodes.map(|other| self.address(cluster, other)).collect::<Result<Vec<_>, _>>()
        };
        let whose = match &self.between {
            Between::Nodes(grudge) => {
                let mut dropped = grudge.drops().filter(|(one, _)| *one == node).flat_map(|(_, dropped)| dropped);
                Whose::From(addresses(&mut dropped)?)
            }
            Between::Clients { direction, .. } => Whose::Outside {
                nodes: addresses(&mut cluster.names().iter())?,
                requests: *direction != Direction::Out,
                answers: *direction != Direction::In,
            },
        };
        Ok(Rules { whose, how: self.how, ports: self.ports.clone() })
    }

    fn install(&self, node: &Node, filter: Filter, rules: &Rules) -> Command {
        match (self.pulse, filter) {
            (None, Filter::Nft) => Command::new(scripts::nft_load()).stdin(scripts::nft_rules(&self.table, rules)),
            (None, Filter::Iptables) => Command::new(scripts::iptables_install(&self.chain, rules)),
            (Some(Pulse { on_ms, off_ms }), _) => {
                let install = match filter {
                    Filter::Nft => scripts::nft_load_text(&scripts::nft_rules(&self.table, rules)),
                    Filter::Iptables => scripts::iptables_install(&self.chain, rules),
                };
                let (name, remove) = (self.pulse_name(node), self.remove(filter));
                Command::new(scripts::pulse(&name, &install, &remove, on_ms, off_ms))
            }
        }
    }

    /// Refuses a cut that would drop the address from which we log in.
    async fn spare_controller(&self, cluster: &Cluster, grudge: &Grudge) -> Result<(), FaultError> {
        let ask = Command::new(scripts::controller_address()).user(User::Login);
        let commands = grudge.drops().map(|(node, _)| (node.clone(), ask.clone())).collect();
        for (node, output) in fanout::run_all(cluster, commands).await? {
            let Ok(controller) = plain(&output.text()) else { continue };
            let dropped = grudge.drops().find(|(one, _)| **one == node).into_iter().flat_map(|(_, list)| list);
            for other in dropped {
                if self.address(cluster, other)? == controller {
                    return Err(self.refused(
                        &node,
                        format!("it would drop {controller}, from where we are logged in (node {other})"),
                        "Log in from a machine that is no node, and jump over one that is none",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Refuses a cut of the port at which we log in.
    async fn spare_login(&self, cluster: &Cluster) -> Result<(), FaultError> {
        for (node, port) in login_ports(cluster, &self.at_work()).await? {
            if self.ports.contains(&port) || self.ports.contains(&22) {
                let reason = format!("clients would be cut off from port {port}, at which we log in");
                return Err(self.refused(&node, reason, "Name the ports of the database alone"));
            }
        }
        Ok(())
    }

    fn refused(&self, node: &Node, reason: String, hint: &str) -> FaultError {
        FaultError::Refused { class: self.class.to_owned(), node: node.clone(), reason, hint: hint.to_owned() }
    }

    fn address(&self, cluster: &Cluster, node: &Node) -> Result<IpAddr, FaultError> {
        address(self.class, cluster, node)
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
            class: super::partition::CLASS.to_owned(),
            node: node.clone(),
            reason: "neither nft nor iptables works there as root".to_owned(),
            hint: "Install nftables (or iptables) on the node, or leave the fault `partition` out".to_owned(),
        })?;
        filters.insert(node, filter);
    }
    Ok(filters)
}

/// The port of the sshd through which we came, where there is one.
///
/// # Errors
/// When a node does not answer.
pub async fn login_ports(cluster: &Cluster, nodes: &[Node]) -> Result<BTreeMap<Node, u16>, FaultError> {
    let ask = Command::new(scripts::login_port()).user(User::Login);
    let commands = nodes.iter().map(|node| (node.clone(), ask.clone())).collect();
    let answers = fanout::run_all(cluster, commands).await?;
    Ok(answers.into_iter().filter_map(|(node, output)| Some((node, output.text().parse().ok()?))).collect())
}

/// The address of a node, as a packet filter takes it.
///
/// # Errors
/// Where it is a name.
pub fn address(class: &str, cluster: &Cluster, node: &Node) -> Result<IpAddr, FaultError> {
    let text = &fanout::handle(cluster, node)?.address;
    plain(text).map_err(|_| FaultError::Refused {
        class: class.to_owned(),
        node: node.clone(),
        reason: format!("its address `{text}` is no IP address, and a packet filter knows no names"),
        hint: "Give the node's IP address in the inventory".to_owned(),
    })
}

/// An address in its one form: an IPv4 address that is mapped into IPv6 is the IPv4 address.
pub(crate) fn plain(text: &str) -> Result<IpAddr, std::net::AddrParseError> {
    text.parse::<IpAddr>().map(|address| address.to_canonical())
}
