//! What members say of themselves: who leads, who belongs, whether they serve.

use std::fmt;
use std::time::Duration;

use schism_cluster::Cluster;
use schism_history::Node;
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use super::errors::Failure;
use super::options::Access;
use super::wire::Wire;

/// How long one question may take. Long enough for a busy member, short enough for [`schism_cluster::Primaries`].
pub(crate) const QUESTION: Duration = Duration::from_secs(1);

/// A member's own view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) cluster: String,
    pub(crate) member: String,
    /// Whom it takes for its leader; `0`, or absent, if none.
    pub(crate) leader: Option<String>,
    pub(crate) term: String,
    /// It gets the log and has no vote yet.
    pub(crate) learner: bool,
}

impl Status {
    fn from_answer(answer: &Json) -> Option<Status> {
        let header = answer.get("header")?;
        let text = |json: &Json, name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
        Some(Status {
            cluster: text(header, "cluster_id")?,
            member: text(header, "member_id")?,
            leader: text(answer, "leader").filter(|leader| leader != "0"),
            term: text(header, "raft_term").unwrap_or_default(),
            learner: answer.get("isLearner").and_then(Json::as_bool).unwrap_or(false),
        })
    }

    pub(crate) fn leads(&self) -> bool {
        self.leader.as_ref() == Some(&self.member)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leader = self.leader.as_deref().unwrap_or("nobody");
        write!(f, "member {} follows {leader} in term {}", self.member, self.term)
    }
}

/// The nodes of a cluster and where clients find them.
pub(crate) fn addresses(cluster: &Cluster) -> Vec<(Node, String)> {
    cluster.nodes.iter().map(|handle| (handle.node.clone(), handle.address.clone())).collect()
}

/// What each node said, in the order of the nodes.
pub(crate) type View = Vec<(Node, Result<Status, String>)>;

/// Asks all nodes at once; ends when the last has answered or [`QUESTION`] has passed.
pub(crate) async fn view(access: &Access, addresses: &[(Node, String)]) -> View {
    let answers = ask_all(access, addresses, "/v3/maintenance/status", json!({})).await;
    let status = |answer: Result<Json, Failure>| match answer {
        Ok(answer) => Status::from_answer(&answer).ok_or_else(|| "its status has no member".to_owned()),
        Err(failure) => Err(failure.to_string()),
    };
    answers.into_iter().map(|(node, answer)| (node, status(answer))).collect()
}

/// One question to all nodes at once, without a login. Answers in the order of the nodes.
pub(crate) async fn ask_all(
    access: &Access,
    addresses: &[(Node, String)],
    path: &'static str,
    body: Json,
) -> Vec<(Node, Result<Json, Failure>)> {
    let mut tasks = JoinSet::new();
    for (at, (node, address)) in addresses.iter().enumerate() {
        let (mut wire, node, body) = (Wire::new(access, address), node.clone(), body.clone());
        tasks.spawn(async move { (at, node, wire.ask(path, &body, QUESTION).await) });
    }
    let mut answers = Vec::new();
    while let Some(answer) = tasks.join_next().await {
        answers.extend(answer);
    }
    answers.sort_by_key(|(at, ..)| *at);
    answers.into_iter().map(|(_, node, answer)| (node, answer)).collect()
}

/// Whether the whole cluster serves: every member agrees on one leader, no member is missing or too many, and a
/// linearizable read works through each. The error says what was seen.
pub(crate) async fn ready(access: &Access, addresses: &[(Node, String)]) -> Result<(), NotYet> {
    let view = view(access, addresses).await;
    agreed(&view)?;
    let lists = ask_all(access, addresses, "/v3/cluster/member/list", json!({})).await;
    for (node, answer) in lists {
        let answer = answer.map_err(|failure| NotYet::at(&node, format!("no list of members: {failure}")))?;
        let count = answer.get("members").and_then(Json::as_array).map_or(0, Vec::len);
        if count != addresses.len() {
            return Err(NotYet::at(
                &node,
                format!("it knows {count} members, and there are {} nodes", addresses.len()),
            ));
        }
    }
    for (node, answer) in ask_all(access, addresses, "/v3/kv/range", json!({ "key": "AA==" })).await {
        match answer {
            Ok(_) => {}
            // Authentication is on. etcd looks for the user after the read was found linearizable, so it serves.
            Err(failure) if failure.row.name == "no-user" => {}
            Err(failure) => return Err(NotYet::at(&node, format!("a linearizable read failed: {failure}"))),
        }
    }
    Ok(())
}

/// Why the cluster is not ready, and at which node it shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotYet {
    pub(crate) node: Option<Node>,
    pub(crate) reason: String,
}

impl NotYet {
    fn at(node: &Node, reason: String) -> NotYet {
        NotYet { node: Some(node.clone()), reason: format!("{node}: {reason}") }
    }
}

/// Whether all members are different members of one cluster with one leader among them.
fn agreed(view: &View) -> Result<(), NotYet> {
    let mut seen: Vec<&Status> = Vec::new();
    for (node, status) in view {
        let status = status.as_ref().map_err(|reason| NotYet::at(node, format!("no status: {reason}")))?;
        if let Some(first) = seen.first() {
            if first.cluster != status.cluster {
                return Err(NotYet::at(node, "it belongs to another cluster".to_owned()));
            }
            if first.leader != status.leader {
                return Err(NotYet::at(node, format!("no agreement: {first}, but {status}")));
            }
        }
        if seen.iter().any(|other| other.member == status.member) {
            return Err(NotYet::at(node, format!("two nodes answer as member {}", status.member)));
        }
        seen.push(status);
    }
    match seen.first() {
        None => Err(NotYet { node: None, reason: "the cluster has no nodes".to_owned() }),
        Some(first) if first.leader.is_none() => {
            Err(NotYet { node: None, reason: "no member has a leader".to_owned() })
        }
        Some(_) if !seen.iter().any(|status| status.leads()) => {
            Err(NotYet { node: None, reason: "all follow a leader that is none of the nodes".to_owned() })
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(cluster: &str, member: &str, leader: &str) -> Result<Status, String> {
        let answer =
            json!({ "header": { "cluster_id": cluster, "member_id": member, "raft_term": "2" }, "leader": leader });
        Status::from_answer(&answer).ok_or_else(String::new)
    }

    #[test]
    fn agreement_is_one_cluster_one_leader_and_every_member_once() {
        let silent = Err("refused".to_owned());
        let cases = [
            (vec![said("c", "1", "2"), said("c", "2", "2"), said("c", "3", "2")], None),
            (vec![said("c", "1", "1")], None),
            (vec![said("c", "1", "2"), silent, said("c", "3", "2")], Some("n2: no status: refused")),
            (vec![said("c", "1", "1"), said("c", "2", "2")], Some("n2: no agreement")),
            (vec![said("c", "1", "1"), said("c", "2", "0")], Some("n2: no agreement")),
            (vec![said("c", "1", "0"), said("c", "2", "0")], Some("no member has a leader")),
            (vec![said("c", "1", "1"), said("d", "2", "1")], Some("n2: it belongs to another cluster")),
            (vec![said("c", "1", "1"), said("c", "1", "1")], Some("n2: two nodes answer as member 1")),
            (vec![said("c", "1", "9"), said("c", "2", "9")], Some("none of the nodes")),
            (vec![], Some("no nodes")),
        ];
        for (statuses, expected) in cases {
            let named = statuses.into_iter().enumerate();
            let view: View = named.map(|(at, status)| (Node::new(&format!("n{}", at + 1)), status)).collect();
            match (agreed(&view), expected) {
                (Ok(()), None) => {}
                (Err(not_yet), Some(part)) => assert!(not_yet.reason.contains(part), "{not_yet:?} should say {part}"),
                (other, _) => panic!("{other:?} instead of {expected:?}"),
            }
        }
    }
}
