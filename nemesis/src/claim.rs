//! Two controllers at one cluster exclude each other: whoever is about to change a node claims it first.
//!
//! A claim is a folder of the node (`/run/schism/claim`) with a line: the tag of the run, the controller, since when, and
//! after how many seconds of silence it is void. The run's signs of life keep it ([`crate::beat`]). It is gone with a
//! restart of the node, and made again with the next sign of life.

use schism_cluster::{Cluster, Command, RemoteError};
use schism_history::Node;
use serde::{Deserialize, Serialize};

use crate::fanout;
use crate::lease::Leases;
use crate::ledger::unix_ms;
use crate::scripts;
use crate::tag::RunTag;

/// A process that drives a run, told so that no other can be meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controller {
    /// The name of its machine.
    pub host: String,
    /// Its number there.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: clock ticks since the start of that machine.
    pub start_ticks: u64,
}

impl Controller {
    /// This process.
    pub fn this() -> Controller {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let pid = std::process::id();
        let host: String = host.trim().chars().map(plain).collect();
        Controller { host, pid, start_ticks: start_ticks(pid).unwrap_or(0) }
    }

    /// `HOST:PID:START`, one word.
    pub fn word(&self) -> String {
        format!("{}:{}:{}", self.host, self.pid, self.start_ticks)
    }

    /// From that word.
    pub fn parse(word: &str) -> Option<Controller> {
        let mut parts = word.rsplitn(3, ':');
        let (start_ticks, pid, host) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
        Some(Controller { host: host.to_owned(), pid, start_ticks })
    }

    /// Whether it is a process of this machine, and lives.
    pub fn lives_here(&self) -> bool {
        self.start_ticks != 0 && self.host == Controller::this().host && start_ticks(self.pid) == Some(self.start_ticks)
    }
}

impl std::fmt::Display for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} of {}", self.pid, self.host)
    }
}

/// When a process of this machine began; `None` where it is gone or only its body is left.
fn start_ticks(pid: u32) -> Option<u64> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let stat = schism_cluster::process::parse_stat(&line)?;
    (!matches!(stat.state, 'Z' | 'X')).then_some(stat.id.start_ticks)
}

/// A claim, ours or as found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// The tag of the run.
    pub run_tag: String,
    /// Who drives it.
    pub controller: Option<Controller>,
    /// Since when, milliseconds since 1970 by the controller's clock.
    pub since_unix_ms: u64,
    /// After how many seconds of silence it is void.
    pub lease_s: u64,
}

/// A claim as found on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundClaim {
    /// Where.
    pub node: Node,
    /// What.
    #[serde(flatten)]
    pub claim: Claim,
    /// Seconds since the last sign of life.
    pub silent_s: i64,
}

impl FoundClaim {
    /// Whether its controller gives signs of life.
    pub fn is_alive(&self) -> bool {
        self.silent_s <= i64::try_from(self.claim.lease_s).unwrap_or(i64::MAX)
    }
}

/// Why a node could not be claimed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// Another has it.
    #[error(
        "node {} is in use by the run {} ({}), last heard of {} s ago: two controllers at one cluster would take each other's faults for the database's. Wait for its end, or stop it with `schism halt`",
        .0.node, .0.claim.run_tag, .0.claim.controller.as_ref().map_or("an unknown controller".to_owned(), ToString::to_string), .0.silent_s
    )]
    Held(Box<FoundClaim>),
    /// A fault of another run is still there.
    #[error(
        "node {node} still carries faults of another run ({names}): `schism heal` with the same ground undoes them"
    )]
    Unhealed {
        /// Which node.
        node: Node,
        /// Names of its leases.
        names: String,
    },
    /// A node did not obey.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

impl Claim {
    /// For this process and this run.
    pub fn new(tag: &RunTag, lease_s: u64) -> Claim {
        Claim {
            run_tag: tag.to_string(),
            controller: Some(Controller::this()),
            since_unix_ms: unix_ms(),
            lease_s: lease_s.max(1),
        }
    }

    /// As it stands on a node.
    pub fn line(&self) -> String {
        let controller = self.controller.as_ref().map_or("-".to_owned(), Controller::word);
        format!("{} {controller} {} {}", self.run_tag, self.since_unix_ms, self.lease_s)
    }

    fn parse(line: &str) -> Claim {
        let words: Vec<&str> = line.split_whitespace().collect();
        let word = |place: usize| words.get(place).copied().unwrap_or_default();
        Claim {
            run_tag: word(0).to_owned(),
            controller: Controller::parse(word(1)),
            since_unix_ms: word(2).parse().unwrap_or(0),
            lease_s: word(3).parse().unwrap_or(0),
        }
    }

    /// Claims every node. Where one cannot be had, those that were are given back. Asked again by the same run it changes
    /// nothing.
    ///
    /// # Errors
    /// The first node that another has, that still carries faults of another run, or that does not answer.
    pub async fn take(&self, cluster: &Cluster, leases: &Leases) -> Result<(), ClaimError> {
        let places = leases.places();
        let script = scripts::claim_take(&places.dir, &places.run, &self.run_tag, &self.line());
        let commands = cluster.names().into_iter().map(|node| (node, Command::new(&script))).collect();
        let mut refused = None;
        for (node, answer) in fanout::run_each(cluster, commands).await {
            let error = match answer {
                Ok(output) => refusal(&node, &output.text()),
                Err(error) => Some(ClaimError::Remote(error)),
            };
            refused = refused.or(error);
        }
        match refused {
            None => Ok(()),
            Some(error) => {
                for trouble in self.release(cluster, leases).await {
                    tracing::warn!("{trouble}");
                }
                Err(error)
            }
        }
    }

    /// Gives every node back that this run has; end the signs of life first. Answers lines of trouble.
    pub async fn release(&self, cluster: &Cluster, leases: &Leases) -> Vec<String> {
        let script = scripts::claim_release(&leases.places().run, &self.run_tag);
        let commands = cluster.names().into_iter().map(|node| (node, Command::new(&script))).collect();
        let answers = fanout::run_each(cluster, commands).await;
        let trouble = |(node, answer): (Node, Result<_, RemoteError>)| {
            answer.err().map(|error| format!("the claim of {node} was not given back: {error}"))
        };
        answers.into_iter().filter_map(trouble).collect()
    }
}

/// What a node says to a claim.
fn refusal(node: &Node, text: &str) -> Option<ClaimError> {
    if let Some(held) = text.lines().find_map(|line| line.strip_prefix("held ")) {
        return found(node, held).map(|found| ClaimError::Held(Box::new(found)));
    }
    let left: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("left ")).collect();
    (!left.is_empty()).then(|| ClaimError::Unhealed { node: node.clone(), names: left.join(", ") })
}

/// `AGE LINE`
fn found(node: &Node, text: &str) -> Option<FoundClaim> {
    let (age, line) = text.trim().split_once(' ')?;
    Some(FoundClaim { node: node.clone(), claim: Claim::parse(line), silent_s: age.parse().unwrap_or(0) })
}

/// The claims on the nodes now. A node that does not answer gives its error instead.
pub async fn claims(cluster: &Cluster, leases: &Leases) -> (Vec<FoundClaim>, Vec<RemoteError>) {
    asked(cluster, &scripts::claim_look(&leases.places().run)).await
}

/// Breaks every claim: the next sign of life tells its controller, which then harms no more. Answers those that there were.
pub async fn break_claims(cluster: &Cluster, leases: &Leases) -> (Vec<FoundClaim>, Vec<RemoteError>) {
    let line = Claim { run_tag: "halted".to_owned(), lease_s: 0, ..Claim::new(&RunTag::new("halted"), 1) }.line();
    asked(cluster, &scripts::claim_break(&leases.places().run, &line)).await
}

async fn asked(cluster: &Cluster, script: &str) -> (Vec<FoundClaim>, Vec<RemoteError>) {
    let commands = cluster.names().into_iter().map(|node| (node, Command::new(script))).collect();
    let (mut claims, mut errors) = (Vec::new(), Vec::new());
    for (node, answer) in fanout::run_each(cluster, commands).await {
        match answer {
            Ok(output) => claims.extend(found(&node, &output.text())),
            Err(error) => errors.push(error),
        }
    }
    (claims, errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_back() {
        let claim = Claim::new(&RunTag::new("k3f9"), 30);
        assert_eq!(Claim::parse(&claim.line()), claim);
        let found = found(&Node::new("n1"), &format!("31 {}\n", claim.line())).unwrap();
        assert!(!found.is_alive() && FoundClaim { silent_s: 30, ..found }.is_alive());
        assert!(claim.controller.as_ref().is_some_and(Controller::lives_here));
        let other = Controller { start_ticks: 1, ..Controller::this() };
        assert!(!other.lives_here() && !Controller { host: "elsewhere".to_owned(), ..Controller::this() }.lives_here());
        for nonsense in ["", "a", "a:b:c", "a:1"] {
            assert_eq!(Controller::parse(nonsense), None, "{nonsense}");
        }
        assert_eq!(Claim::parse("").run_tag, "");
    }
}
