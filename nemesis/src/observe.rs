//! What a fault looks at to prove itself.

use std::collections::BTreeMap;
use std::time::Duration;

use schism_cluster::{Cluster, Command, ProcessId, RemoteError};
use schism_history::Node;
use serde::Serialize;
use serde_json::json;

use crate::fanout;
use crate::fault::Evidence;
use crate::grudge::Grudge;
use crate::scripts;

/// Processes of the database, by node; a node without any is not in it.
pub type Processes = BTreeMap<Node, Vec<ProcessId>>;

/// A process and its state letter (`R`, `S`, `T`, `Z`...); `None` where it is gone (or its number is another's now).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Where.
    pub node: Node,
    /// Which.
    #[serde(flatten)]
    pub process: ProcessId,
    /// Its state.
    pub state: Option<char>,
}

impl Seen {
    /// Whether it does not run any more; a zombie does not.
    pub fn is_gone(&self) -> bool {
        matches!(self.state, None | Some('Z' | 'X' | 'x'))
    }

    /// Whether it is stopped.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, Some('T' | 't'))
    }
}

/// Looks at these processes once.
///
/// # Errors
/// When a node does not answer.
pub async fn states(cluster: &Cluster, processes: &Processes) -> Result<Vec<Seen>, RemoteError> {
    let commands = processes.iter().map(|(node, list)| (node.clone(), Command::new(scripts::states(list))));
    let answers = fanout::run_all(cluster, commands.collect()).await?;
    let mut seen = Vec::new();
    for (node, output) in answers {
        let text = output.text();
        let letters: BTreeMap<&str, char> =
            text.lines().filter_map(|line| line.split_once(' ')).map(|(pid, state)| (pid, first(state))).collect();
        for process in processes.get(&node).into_iter().flatten() {
            let state = letters.get(process.pid.to_string().as_str()).copied();
            seen.push(Seen { node: node.clone(), process: *process, state });
        }
    }
    Ok(seen)
}

fn first(text: &str) -> char {
    text.chars().next().unwrap_or('?')
}

/// Looks at these processes until all are as wanted or the time is up; answers the last look.
///
/// # Errors
/// When a node does not answer.
pub async fn states_until(
    cluster: &Cluster,
    processes: &Processes,
    wanted: impl Fn(&Seen) -> bool,
    within: Duration,
) -> Result<(bool, Vec<Seen>), RemoteError> {
    let deadline = tokio::time::Instant::now() + within;
    loop {
        let seen = states(cluster, processes).await?;
        let all = seen.iter().all(&wanted);
        if all || tokio::time::Instant::now() >= deadline {
            return Ok((all, seen));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Numbered datagrams from one node to another: how many were sent, how many different ones arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Sender.
    pub from: Node,
    /// Receiver.
    pub to: Node,
    /// Sent.
    pub sent: u32,
    /// Different ones that arrived.
    pub received: u32,
}

/// Sends numbered datagrams over each of these pairs and counts them where they arrive.
///
/// # Errors
/// When no node can be asked; a node that does not answer only lacks in the answer.
pub async fn reachability(_cluster: &Cluster, _pairs: &[(Node, Node)]) -> Result<Vec<Probe>, RemoteError> {
    Ok(Vec::new())
}

/// Every ordered pair of different nodes.
pub fn ordered_pairs(nodes: &[Node]) -> Vec<(Node, Node)> {
    let pairs = nodes.iter().flat_map(|from| nodes.iter().map(move |to| (from.clone(), to.clone())));
    pairs.filter(|(from, to)| from != to).collect()
}

/// Judges probes against a grudge: every pair that is cut must have received nothing though something was sent, every
/// other pair must have received something. A pair that was not probed proves nothing.
pub fn judge_links(grudge: &Grudge, pairs: &[(Node, Node)], probes: &[Probe]) -> Evidence {
    let mut rows = Vec::new();
    let mut wrong = Vec::new();
    for (from, to) in pairs {
        let cut = grudge.is_cut(from, to);
        let Some(probe) = probes.iter().find(|probe| probe.from == *from && probe.to == *to) else {
            wrong.push(format!("{from} to {to} could not be probed"));
            continue;
        };
        match (cut, probe.sent, probe.received) {
            (_, 0, _) => wrong.push(format!("{from} sent nothing to {to}")),
            (true, _, 1..) => wrong.push(format!("{from} still reaches {to}")),
            (false, _, 0) => wrong.push(format!("{from} does not reach {to}, though nothing cuts them")),
            _ => {}
        }
        rows.push(json!({
            "from": from, "to": to, "sent": probe.sent, "received": probe.received, "cut": cut
        }));
    }
    let mut measured = json!({ "probes": rows });
    if !wrong.is_empty() {
        measured["wrong"] = json!(wrong);
    }
    Evidence { proven: wrong.is_empty() && !pairs.is_empty(), measured }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_cut_is_proven_only_when_it_cuts_what_it_should_and_passes_the_rest() {
        let nodes = [Node::new("a"), Node::new("b"), Node::new("c")];
        // a drops what b sends: one way.
        let grudge = Grudge::from_drops([(nodes[0].clone(), BTreeSet::from([nodes[1].clone()]))].into());
        let pairs = ordered_pairs(&nodes);
        // Rows in the order ab ac ba bc ca cb: sent, received.
        type Counts = [(u32, u32); 6];
        let cases: &[(Counts, Option<&str>)] = &[
            ([(9, 9), (9, 9), (9, 0), (9, 1), (9, 9), (9, 9)], None),
            ([(9, 9), (9, 9), (9, 1), (9, 9), (9, 9), (9, 9)], Some("b still reaches a")),
            ([(9, 0), (9, 9), (9, 0), (9, 9), (9, 9), (9, 9)], Some("a does not reach b, though nothing cuts them")),
            ([(9, 9), (9, 9), (0, 0), (9, 9), (9, 9), (9, 9)], Some("b sent nothing to a")),
        ];
        for (counts, wrong) in cases {
            let probes: Vec<Probe> = pairs
                .iter()
                .zip(counts)
                .map(|((from, to), (sent, received))| Probe {
                    from: from.clone(),
                    to: to.clone(),
                    sent: *sent,
                    received: *received,
                })
                .collect();
            let evidence = judge_links(&grudge, &pairs, &probes);
            assert_eq!(evidence.proven, wrong.is_none(), "{counts:?}");
            assert_eq!(evidence.measured["wrong"][0].as_str(), *wrong);
            assert_eq!(evidence.measured["probes"].as_array().unwrap().len(), 6);
            let part = judge_links(&grudge, &pairs, &probes[..5]);
            assert!(!part.proven);
            assert!(part.measured["wrong"].to_string().contains("c to b could not be probed"));
        }
        assert!(!judge_links(&grudge, &[], &[]).proven);
    }

    #[test]
    fn states_of_processes() {
        let seen = |state| Seen { node: Node::new("a"), process: ProcessId { pid: 1, start_ticks: 2 }, state };
        for (state, gone, stopped) in
            [(None, true, false), (Some('Z'), true, false), (Some('T'), false, true), (Some('S'), false, false)]
        {
            assert_eq!((seen(state).is_gone(), seen(state).is_stopped()), (gone, stopped), "{state:?}");
        }
    }
}
