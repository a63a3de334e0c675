//! How members leave the cluster and join it again, and which role each plays.
//!
//! Not covered: clusters with TLS or a login (the scripts stand in the ledger and must hold no secret), and clusters of one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use schism_cluster::daemon::stop_script;
use schism_cluster::shell::words;
use schism_cluster::{Cluster, Command, DataFiles as _, DbError, Kill as _, Membership, NodeHandle, Roles};
use schism_history::Node;
use serde_json::{Value as Json, json};

use super::db::{DATA, Etcd};
use super::members::{QUESTION, Status, addresses, ask_all, view};
use super::rebuild::ASK;
use super::wire::Wire;

/// How long etcd may take to change its members: the change goes through the log.
const CHANGE: Duration = Duration::from_secs(5);
/// How long a change that etcd refuses is asked for again: it changes none until all have been connected for five seconds.
const CHANGED_WITHIN: Duration = Duration::from_secs(20);

/// A member, as a list of members tells.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    id: String,
    peer_url: String,
    /// It has a vote, and was started since it was added.
    votes: bool,
}

fn listed(answer: &Json) -> Vec<Listed> {
    let member = |json: &Json| {
        let text = |name: &str| json.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let peer_url = json.get("peerURLs")?.as_array()?.first()?.as_str()?.to_owned();
        let learns = json.get("isLearner").and_then(Json::as_bool).unwrap_or(false);
        Some(Listed { id: text("ID"), peer_url, votes: !learns && !text("name").is_empty() })
    };
    answer.get("members").and_then(Json::as_array).into_iter().flatten().filter_map(member).collect()
}

/// Which of these URLs are voting members, as more than half of the lists say.
fn by_majority(lists: &[Vec<Listed>], peer_url: &str) -> bool {
    let says = |list: &&Vec<Listed>| list.iter().any(|one| one.votes && one.peer_url == peer_url);
    lists.iter().filter(says).count() * 2 > lists.len()
}

impl Etcd {
    /// Whether members can leave and join by scripts without a secret.
    pub(super) fn may_change_members(&self) -> bool {
        self.options().tls.is_none() && self.options().user.is_none()
    }

    /// The lists of members of those that answer.
    async fn lists(&self, cluster: &Cluster) -> Result<Vec<Vec<Listed>>, DbError> {
        let answers = ask_all(self.access(), &addresses(cluster), "/v3/cluster/member/list", json!({})).await;
        let mut reasons = Vec::new();
        let mut lists = Vec::new();
        for (node, answer) in answers {
            match answer {
                Ok(answer) => lists.push(listed(&answer)),
                Err(failure) => reasons.push(format!("{node}: {failure}")),
            }
        }
        if lists.is_empty() {
            return Err(missing("a list of members", reasons.join("; ")));
        }
        Ok(lists)
    }

    /// Asks the others, one after another, to remove the member of this URL, until none lists it.
    async fn remove_member(&self, cluster: &Cluster, node: &Node, peer_url: &str) -> Result<(), DbError> {
        let mut last = "no other node".to_owned();
        let begun = Instant::now();
        while begun.elapsed() < CHANGED_WITHIN {
            for other in cluster.nodes.iter().filter(|other| other.node != *node) {
                let mut wire = Wire::new(self.access(), &other.address);
                let list = wire.ask("/v3/cluster/member/list", &json!({}), QUESTION).await;
                let list = match list {
                    Ok(list) => listed(&list),
                    Err(failure) => {
                        last = format!("{}: {failure}", other.node);
                        continue;
                    }
                };
                let Some(member) = list.iter().find(|member| member.peer_url == peer_url) else { return Ok(()) };
                let body = json!({ "ID": member.id });
                match wire.ask("/v3/cluster/member/remove", &body, CHANGE).await {
                    Ok(_) => return Ok(()),
                    Err(failure) => last = format!("{}: {failure}", other.node),
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(missing(&format!("a member that removes {node}"), last))
    }

    /// Says nothing and ends well where the node is a member that runs, or becomes one by being started on the data that
    /// it has.
    fn is_member_script(&self, cluster: &Cluster, on: &NodeHandle) -> String {
        let port = self.options().client_port.to_string();
        let mut argv = vec!["perl".to_owned(), "-e".to_owned(), format!("{ASK}{IS_MEMBER}"), "--".to_owned()];
        argv.extend([self.peer_url(on), on.address.clone(), port.clone()]);
        for other in cluster.nodes.iter().filter(|other| other.node != on.node) {
            argv.extend([other.address.clone(), port.clone()]);
        }
        let ask = words(&argv);
        format!(
            "is_member() {{\n{ask} \"$1\"\n}}\n\
             if is_member 1; then exit 0; fi\n\
             if [ -d {DATA}/member/wal ] && is_member 0; then\n\
             ( {} ) >/dev/null && for n in 1 2 3 4 5 6 7 8 9 10; do if is_member 1; then exit 0; fi; sleep 1; done\nfi\n",
            self.start_script(cluster, on)
        )
    }
}

fn missing(what: &str, reason: String) -> DbError {
    DbError::Missing {
        what: what.to_owned(),
        reason,
        hint: "Members change only while a majority is up and connected; wait until other faults are healed".to_owned(),
    }
}

#[async_trait]
impl Membership for Etcd {
    async fn members(&self, cluster: &Cluster) -> Result<Vec<Node>, DbError> {
        let lists = self.lists(cluster).await?;
        let member = |handle: &&NodeHandle| by_majority(&lists, &self.peer_url(handle));
        Ok(cluster.nodes.iter().filter(member).map(|handle| handle.node.clone()).collect())
    }

    async fn remove(&self, cluster: &Cluster, node: &Node) -> Result<(), DbError> {
        let on = cluster.get(node).ok_or_else(|| missing(&format!("the node {node}"), "no such node".to_owned()))?;
        self.remove_member(cluster, node, &self.peer_url(on)).await?;
        on.remote.run(&Command::new(stop_script(&self.daemon(cluster, on), 0))).await?;
        on.remote.run(&Command::new(format!("rm -rf {DATA}"))).await?;
        Ok(())
    }

    fn rejoin_scripts(&self, cluster: &Cluster, node: &Node, _through: &Node) -> (String, String) {
        let script = cluster.get(node).and_then(|on| {
            let rebuild = self.rebuild_script(cluster, on)?;
            Some(format!("{}{rebuild}", self.is_member_script(cluster, on)))
        });
        // Without a script it is no ability of this database, which was asked before.
        let none = || "echo 'this cluster cannot be joined by a script' >&2; exit 1\n".to_owned();
        (String::new(), script.unwrap_or_else(none))
    }
}

/// The roles that members play.
const ROLES: [&str; 3] = ["leader", "follower", "learner"];

/// The role of a member that says this of itself; none where it knows no leader.
fn role(status: &Status) -> Option<&'static str> {
    let [leader, follower, learner] = ROLES;
    match status {
        status if status.learner => Some(learner),
        status if status.leads() => Some(leader),
        status => status.leader.is_some().then_some(follower),
    }
}

#[async_trait]
impl Roles for Etcd {
    fn names(&self) -> Vec<String> {
        ROLES.map(str::to_owned).to_vec()
    }

    async fn roles(&self, cluster: &Cluster) -> BTreeMap<String, Vec<Node>> {
        let mut roles: BTreeMap<String, Vec<Node>> = BTreeMap::new();
        for (node, status) in view(self.access(), &addresses(cluster)).await {
            if let Some(role) = status.ok().as_ref().and_then(role) {
                roles.entry(role.to_owned()).or_default().push(node);
            }
        }
        roles
    }
}

/// Own peer URL, own address and client port, then address and client port of each other node, then 1 or 0. With 1: whether
/// the others list a started member of our peer URL, and this very one answers here. With 0: whether they list it.
const IS_MEMBER: &str = r#"
$within = 2;
my ($own, $here, $port, @others) = @ARGV;
my $running = pop @others;
my $id;
while (my ($host, $to) = splice @others, 0, 2) {
  my ($ok, $said) = ask($host, $to, "cluster/member/list", "{}");
  next unless $ok;
  my @same = grep { $_->[1] eq $own && defined $_->[2] && $_->[2] ne "" } members($said);
  exit 1 unless @same;
  $id = $same[0][0];
  last;
}
exit 1 unless defined $id;
exit 0 unless $running;
my ($ok, $said) = ask($here, $port, "maintenance/status", "{}");
exit($ok && $said =~ /"member_id":"?$id"?\D/ && $said =~ /"leader":"?[1-9]/ ? 0 : 1);
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(urls: &[(&str, &str)]) -> Vec<Listed> {
        let member = |(url, name): &(&str, &str)| json!({ "ID": "7", "name": name, "peerURLs": [url] });
        listed(&json!({ "members": urls.iter().map(member).collect::<Vec<_>>() }))
    }

    #[test]
    fn a_member_is_what_more_than_half_list_with_a_vote() {
        let (with, announced, without) = (list(&[("a", "n1")]), list(&[("a", "")]), list(&[("b", "n2")]));
        for (lists, expected) in [
            (vec![with.clone()], true),
            (vec![announced.clone()], false),
            (vec![with.clone(), without.clone()], false),
            (vec![with.clone(), without, with], true),
            (vec![], false),
        ] {
            assert_eq!(by_majority(&lists, "a"), expected, "{lists:?}");
        }
        let learner = json!({ "members": [{ "ID": "7", "name": "n1", "isLearner": true, "peerURLs": ["a"] }] });
        assert!(!by_majority(&[listed(&learner)], "a"));
        assert_eq!(listed(&json!({})), []);
        assert_eq!(listed(&json!({ "members": [7, {}, { "peerURLs": [] }] })), []);
    }
}
