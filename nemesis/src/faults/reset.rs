//! Resets the TCP connections between nodes, again and again.
//!
//! For a fifth of a second every `every`, both ends answer each packet of a connection that is open (everything but the
//! SYN of a new one) with a reset. A connection on which nothing is sent in that time lives on; new ones come to be,
//! and are reset with the next round. Rules as in [`super::cut`], switched by a process on each node.
//!
//! Not covered: `ss -K`, which ends idle connections too, but only on kernels that are built for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::probe::tcp::{StreamCount, streams};
use schism_cluster::{Cluster, Command, Db};
use schism_history::Node;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::class::{Ask, Family, FaultEntry, plain_label};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::TARGETS;
use crate::faults::cut::{Between, Cut, Pulse, address};
use crate::grudge::{Grudge, names};
use crate::links::{self, Excuses};
use crate::need::Need;
use crate::option::{OptionEntry, OptionKind};
use crate::scripts::How;
use crate::span::DurationText;

/// The class.
pub const CLASS: &str = "reset";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Network,
    about: "resets the open TCP connections between the targets and the other nodes, again and again",
    options: &[
        TARGETS,
        OptionEntry {
            name: "every",
            key: "every_ms",
            kind: OptionKind::Span(500, 10_000),
            default: &["1s"],
            about: "how often",
        },
        OptionEntry {
            name: "ports",
            key: "ports",
            kind: OptionKind::Ports,
            default: &[],
            about: "only connections of these ports, at either end; all if it is not given",
        },
    ],
    works: "every ground, with nft or iptables on the nodes",
    verified: "chatty TCP connections of our own between these nodes: each is reset; of given ports, connections that were open are gone",
    undone: "the process that switches is ended, and its own table (nft) or chain (iptables) on each node is removed; by the node itself when its lease ends",
    needs: |_| vec![Need::PacketFilter, Need::Probe, Need::Nodes { at_least: 2, of: "a reset".to_owned() }],
    decide,
    label: plain_label,
};

/// How long connections are reset at a time, milliseconds.
const ON_MS: u64 = 200;
/// How many pairs of nodes get a connection of ours.
const STREAMS_MAX: usize = 12;

fn decide(ask: &Ask<'_>) -> Result<Box<dyn Fault>, FaultError> {
    let (_, targets) = ask.target()?;
    let mut drops = BTreeMap::<Node, BTreeSet<Node>>::new();
    for (one, other) in targets.iter().flat_map(|one| ask.view.nodes.iter().map(move |other| (one, other))) {
        if one != other {
            drops.entry(one.clone()).or_default().insert(other.clone());
            drops.entry(other.clone()).or_default().insert(one.clone());
        }
    }
    let grudge = Grudge::from_drops(drops);
    let every_ms = ask.number("every_ms")?.max(ON_MS * 2);
    let mut cut = Cut::new(CLASS, Between::Nodes(grudge.clone()), ask.tag, ask.fault_id);
    cut.how = How::Reset;
    cut.pulse = Some(Pulse { on_ms: ON_MS, off_ms: every_ms - ON_MS });
    if let Some(ports) = ask.intention.value("ports") {
        cut.ports =
            serde_json::from_value(ports.clone()).map_err(|error| ask.wrong(format!("its `ports`: {error}")))?;
    }
    let ports: Vec<String> = cut.ports.iter().map(u16::to_string).collect();
    let only = if ports.is_empty() { String::new() } else { format!(", only port {}", ports.join(" ")) };
    let label = format!("reset: {} every {}{only}", names(&targets), DurationText::from_ms(every_ms));
    Ok(Box::new(Reset { cut, grudge, targets, every_ms, label, before: BTreeSet::new() }))
}

/// Connections, reset.
#[derive(Debug, Clone)]
pub struct Reset {
    cut: Cut,
    grudge: Grudge,
    targets: Vec<Node>,
    every_ms: u64,
    label: String,
    /// Connections of the given ports that were open before.
    before: BTreeSet<Connection>,
}

/// An open connection of a node to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Connection {
    /// The node.
    pub node: Node,
    /// Its own port.
    pub port: u16,
    /// The address of the other end.
    pub peer: IpAddr,
    /// Its port.
    pub peer_port: u16,
}

impl Reset {
    fn pairs(&self) -> Vec<(Node, Node)> {
        let all =
            self.grudge.drops().flat_map(|(to, dropped)| dropped.iter().map(move |from| (from.clone(), to.clone())));
        all.filter(|(from, _)| self.targets.contains(from)).take(STREAMS_MAX).collect()
    }

    /// Connections of the given ports to nodes from which we cut.
    async fn connections(&self, cluster: &Cluster) -> Result<BTreeSet<Connection>, FaultError> {
        let script = "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null\ntrue\n";
        let commands = self.targets.iter().map(|node| (node.clone(), Command::new(script))).collect();
        let peers: BTreeSet<IpAddr> =
            cluster.names().iter().filter_map(|node| address(CLASS, cluster, node).ok()).collect();
        let mut found = BTreeSet::new();
        for (node, output) in fanout::run_all(cluster, commands).await? {
            let of_ours = |one: &Connection| {
                peers.contains(&one.peer) && [one.port, one.peer_port].iter().any(|port| self.cut.ports.contains(port))
            };
            found.extend(output.text().lines().filter_map(|line| parse_connection(&node, line)).filter(of_ours));
        }
        Ok(found)
    }

    async fn streamed(&self, cluster: &Cluster, healed: bool) -> Result<Evidence, FaultError> {
        let lasting_ms = if healed { self.every_ms + 500 } else { 2 * self.every_ms + 800 };
        let counts = streams(cluster, &self.pairs(), Duration::from_millis(lasting_ms)).await?;
        let evidence = judge_streams(&counts, healed, &Excuses::new());
        if evidence.proven {
            return Ok(evidence);
        }
        let excuses = links::other_harm(cluster, &[&self.cut.table, &self.cut.chain]).await;
        Ok(judge_streams(&counts, healed, &excuses))
    }

    /// Looks until a connection that was open before is gone on each target that had one, for two rounds at most.
    async fn gone(&self, cluster: &Cluster) -> Result<Evidence, FaultError> {
        let deadline = tokio::time::Instant::now() + Duration::from_millis(2 * self.every_ms + 1000);
        loop {
            let now = self.connections(cluster).await?;
            let gone: BTreeSet<&Connection> = self.before.difference(&now).collect();
            let hit = |node: &&Node| gone.iter().any(|one| one.node == **node);
            let had: BTreeSet<&Node> = self.before.iter().map(|one| &one.node).collect();
            let proven = !had.is_empty() && had.iter().all(hit);
            if proven || tokio::time::Instant::now() >= deadline {
                let measured = json!({ "connections_before": self.before.len(), "of_those_gone": gone.len() });
                return Ok(Evidence { proven, measured });
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Connections of the given ports live longer than a round again, where there are any.
    async fn lasting(&self, cluster: &Cluster) -> Result<Evidence, FaultError> {
        let first = self.connections(cluster).await?;
        tokio::time::sleep(Duration::from_millis(self.every_ms + 300)).await;
        let second = self.connections(cluster).await?;
        let stayed = first.intersection(&second).count();
        let measured = json!({ "connections": second.len(), "stayed": stayed, "for_ms": self.every_ms + 300 });
        Ok(Evidence { proven: stayed > 0 || first.is_empty(), measured })
    }
}

/// Every pair must have been reset at least once, or not at all once it is gone.
fn judge_streams(counts: &[StreamCount], healed: bool, excuses: &Excuses) -> Evidence {
    let (mut wrong, mut judged) = (Vec::new(), 0);
    for StreamCount { from, to, connects, resets, problem, .. } in counts {
        let trouble = match (problem, healed) {
            (Some(problem), _) => Some(format!("{from} to {to} could not be probed: {problem}")),
            (None, _) if *connects == 0 => Some(format!("{from} cannot connect to {to}")),
            (None, false) if *resets == 0 => Some(format!("connections from {from} to {to} are not reset")),
            (None, true) if *resets > 0 => Some(format!("connections from {from} to {to} are still reset")),
            _ => None,
        };
        match trouble {
            None => judged += 1,
            Some(_) if excuses.contains_key(from) || excuses.contains_key(to) => {}
            Some(trouble) => wrong.push(trouble),
        }
    }
    let enough = judged > 0 || (healed && !excuses.is_empty());
    let mut measured = json!({ "streams": counts });
    if !excuses.is_empty() {
        measured["excused"] = json!(excuses);
    }
    if !wrong.is_empty() {
        measured["wrong"] = json!(wrong);
    }
    Evidence { proven: wrong.is_empty() && !counts.is_empty() && enough, measured }
}

/// A line of `/proc/net/tcp` or `tcp6`, if it is an open connection.
fn parse_connection(node: &Node, line: &str) -> Option<Connection> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, own, peer, "01", ..] = fields[..] else { return None };
    let port = |text: &str| u16::from_str_radix(text.split_once(':')?.1, 16).ok();
    Some(Connection {
        node: node.clone(),
        port: port(own)?,
        peer: hex_address(peer.split_once(':')?.0)?,
        peer_port: port(peer)?,
    })
}

/// Words of 32 bits in the order of this kind of machine (little endian everywhere that schism runs).
fn hex_address(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    for at in (0..text.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_le_bytes());
    }
    match bytes.len() {
        4 => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))),
        16 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical()),
        _ => None,
    }
}

#[async_trait]
impl Fault for Reset {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn label(&self) -> String {
        self.label.clone()
    }

    fn nodes(&self) -> Vec<Node> {
        self.targets.clone()
    }

    fn details(&self) -> Map<String, Value> {
        Map::from_iter([("grudge".to_owned(), json!(self.grudge)), ("every_ms".to_owned(), json!(self.every_ms))])
    }

    async fn prepare(&mut self, cluster: &Cluster, _db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        let undo = self.cut.prepare(cluster).await?;
        if !self.cut.ports.is_empty() {
            self.before = self.connections(cluster).await?;
        }
        Ok(undo)
    }

    async fn inject(&self, cluster: &Cluster, _db: &dyn Db) -> Result<(), FaultError> {
        self.cut.inject(cluster).await
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        if self.cut.ports.is_empty() { self.streamed(cluster, false).await } else { self.gone(cluster).await }
    }

    async fn verify_healed(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let leftover = self.cut.leftover(cluster).await?;
        let ports = !self.cut.ports.is_empty();
        let mut evidence = if ports { self.lasting(cluster).await? } else { self.streamed(cluster, true).await? };
        if !leftover.is_empty() {
            evidence.proven = false;
            evidence.measured["leftover"] = json!(leftover);
        }
        Ok(evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_become_connections() {
        let node = Node::new("n1");
        /// Own port, address and port of the peer.
        type Found = (u16, &'static str, u16);
        let cases: &[(&str, Option<Found>)] = &[
            (
                "  0: 0B004D0A:094B 0C004D0A:C350 01 00000000:00000000 00:00000000 00000000 0",
                Some((2379, "10.77.0.12", 50000)),
            ),
            ("  1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0", None),
            (
                "  2: 0000000000000000FFFF00000B004D0A:094B 0000000000000000FFFF00000C004D0A:C350 01 0",
                Some((2379, "10.77.0.12", 50000)),
            ),
            (
                "  3: 000077FD000000000000000001000000:0001 000077FD000000000000000002000000:0002 01 0",
                Some((1, "fd77::2", 2)),
            ),
            ("  sl  local_address rem_address   st", None),
            ("  4: 0B004D0A:094B 0C004D:C350 01 0", None),
            ("", None),
        ];
        for (line, expected) in cases {
            let found = parse_connection(&node, line).map(|one| (one.port, one.peer.to_string(), one.peer_port));
            assert_eq!(found, expected.map(|(port, peer, peer_port)| (port, peer.to_owned(), peer_port)), "{line}");
        }
    }

    #[test]
    fn streams_prove_resets_and_their_end() {
        let count = |connects, resets| StreamCount {
            from: Node::new("a"),
            to: Node::new("b"),
            connects,
            resets,
            failures: 0,
            problem: None,
        };
        for (connects, resets, there, gone) in [(3, 2, true, false), (1, 0, false, true), (0, 0, false, false)] {
            assert_eq!(judge_streams(&[count(connects, resets)], false, &Excuses::new()).proven, there);
            assert_eq!(judge_streams(&[count(connects, resets)], true, &Excuses::new()).proven, gone);
        }
        let excuses = Excuses::from([(Node::new("b"), "x".to_owned())]);
        assert!(!judge_streams(&[count(0, 0)], false, &excuses).proven, "excuses prove nothing");
        assert!(judge_streams(&[count(0, 0)], true, &excuses).proven);
    }
}
