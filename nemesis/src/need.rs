//! What faults need of nodes, ground and database, asked before a run so that it never learns in its twelfth minute that
//! something is impossible.

use schism_cluster::{Ability, Cluster, Command, Db, GroundError, RemoteError};
use schism_history::Node;
use serde::Serialize;

use crate::agent;
use crate::fanout;
use crate::fault::FaultError;
use crate::faults::partition;
use crate::scripts;
use crate::spec::FaultSpec;

/// What a fault needs of nodes, ground and database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// nft or iptables on every node.
    PacketFilter,
    /// perl on every node, for the probes that prove a cut.
    Probe,
    /// The ability to kill and start the database.
    Kill,
    /// A database whose processes a script on the node can find.
    ProcessesOnNode,
    /// The ability to pause the database.
    Pause,
    /// A database that tells who leads.
    Primaries,
    /// A database whose nodes play this role.
    Role {
        /// Which.
        name: String,
    },
    /// A database that names the files of its data.
    DataFiles,
    /// A database whose nodes can leave and join.
    Membership,
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
    /// A ground that can do this.
    Ground(Ability),
    /// schism itself on every node.
    Agent,
    /// Something on every node that a script finds out: it says nothing where all is well, and else, in one line, what is
    /// missing.
    OnNodes {
        /// What is looked for, for a person.
        what: String,
        /// The script, run as root; it changes nothing.
        script: String,
        /// What to do where it is missing.
        hint: String,
    },
    /// Any one of these, the first that is met is used.
    AnyOf(Vec<Need>),
}

/// A need that is not met, or of which that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}. {hint}", if *unanswered {
    format!("whether the fault `{fault}` can be done here is not known")
} else {
    format!("the fault `{fault}` cannot be done here")
})]
pub struct Unmet {
    /// Which fault.
    pub fault: &'static str,
    /// What it needs.
    pub need: Need,
    /// Why that is not there.
    pub reason: String,
    /// What to do next.
    pub hint: String,
    /// Whether a node or the ground gave no answer (not reached, or not in its time): it may be there all the same.
    pub unanswered: bool,
}

/// Asks cluster, ground and database, before the run, for everything that these faults need.
///
/// # Errors
/// Everything that is missing, not only the first.
pub async fn check_needs(specs: &[FaultSpec], cluster: &Cluster, db: &dyn Db) -> Result<(), Vec<Unmet>> {
    let mut unmet = Vec::new();
    for spec in specs {
        for need in spec.needs() {
            if let Err(Why { reason, hint, unanswered }) = met(&need, cluster, db).await {
                unmet.push(Unmet { fault: spec.class(), need, reason, hint, unanswered });
            }
        }
    }
    if unmet.is_empty() { Ok(()) } else { Err(unmet) }
}

/// Why a need is not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// What is not there.
    pub reason: String,
    /// What to do next.
    pub hint: String,
    /// See [`Unmet::unanswered`].
    pub unanswered: bool,
}

impl Why {
    fn missing(reason: String, hint: &str) -> Why {
        Why { reason, hint: hint.to_owned(), unanswered: false }
    }

    /// Of an error that came while `asked` was asked; the hint is for what answered.
    fn of(error: &FaultError, asked: &str, hint: &str) -> Why {
        if !is_silence(error) {
            return Why::missing(error.to_string(), hint);
        }
        Why {
            reason: format!("asked for {asked}: {error}"),
            hint: "A node that is reached but slow is overloaded or hangs: `schism doctor` with the same ground says which; try \
                   again when it answers, or leave that node out (--nodes)"
                .to_owned(),
            unanswered: true,
        }
    }
}

/// Whether an error says nothing of what was asked, as no answer came.
fn is_silence(error: &FaultError) -> bool {
    match error {
        FaultError::Remote(RemoteError::Exit { .. }) => false,
        FaultError::Remote(_) | FaultError::Ground(GroundError::Failed { .. }) => true,
        _ => false,
    }
}

/// Whether a need is met; if not, why not and what to do next. Where one of several would do, an answer that did not come
/// leaves it open.
///
/// # Errors
/// The reason and a hint.
pub async fn met(need: &Need, cluster: &Cluster, db: &dyn Db) -> Result<(), Why> {
    match need {
        Need::AnyOf(needs) => {
            let mut whys = Vec::new();
            for need in needs {
                match Box::pin(met(need, cluster, db)).await {
                    Ok(()) => return Ok(()),
                    Err(why) => whys.push(why),
                }
            }
            let joined = |each: fn(&Why) -> &str, by: &str| whys.iter().map(each).collect::<Vec<_>>().join(by);
            Err(Why {
                reason: joined(|why| &why.reason, "; and "),
                hint: joined(|why| &why.hint, ", or: "),
                unanswered: whys.iter().any(|why| why.unanswered),
            })
        }
        Need::PacketFilter => match partition::filters(cluster, &cluster.names()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Why::of(&error, "its packet filter", "`schism doctor` tells what each node has")),
        },
        Need::Probe => {
            let hint = "Install it there (perl-base, util-linux)";
            let reason = |node: &Node, missing: &str| format!("node {node} has no {missing}");
            on_nodes(cluster, &scripts::missing_tools(), "the programs of the probes", hint, reason).await
        }
        Need::OnNodes { what, script, hint } => {
            on_nodes(cluster, script, what, hint, |node, missing| format!("node {node}, {what}: {missing}")).await
        }
        Need::Agent => match agent::ensure(cluster, &cluster.names()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Why::of(&error, "schism itself there", "Nodes must run programs of this machine's kind")),
        },
        Need::Ground(ability) => match cluster.ground.can(*ability).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let asked = format!("whether it can {ability}");
                Err(Why::of(&FaultError::Ground(error), &asked, "Leave it out, or choose another ground"))
            }
        },
        _ => known(need, cluster, db),
    }
}

/// Needs for which no node must be asked.
fn known(need: &Need, cluster: &Cluster, db: &dyn Db) -> Result<(), Why> {
    let cannot = |what: &str| {
        Err(Why::missing(format!("the database `{}` cannot {what}", db.name()), "Leave it out of the suite"))
    };
    match need {
        Need::Kill if db.kill().is_none() => cannot("be killed and started again"),
        Need::ProcessesOnNode if !finds_processes(cluster, db) => cannot("tell its processes by a script on the node"),
        Need::Pause if db.pause().is_none() => cannot("be paused"),
        Need::Primaries if db.primaries().is_none() => cannot("tell who leads"),
        Need::DataFiles if db.data_files().is_none() => cannot("tell which files hold its data"),
        Need::Membership if db.membership().is_none() => cannot("let nodes leave and join"),
        Need::Role { name } => {
            let names = db.roles().map(|roles| roles.names()).unwrap_or_default();
            if names.contains(name) { Ok(()) } else { cannot(&format!("tell who plays the role `{name}`")) }
        }
        Need::Nodes { at_least, of } if cluster.nodes.len() < *at_least => Err(Why::missing(
            format!("{of} needs at least {at_least} nodes, there are {}", cluster.nodes.len()),
            "Give more nodes (--nodes), or leave it out of the suite",
        )),
        Need::Node { name } if cluster.nodes.iter().all(|handle| handle.node.as_str() != name) => Err(Why::missing(
            format!("there is no node `{name}` ({})", crate::grudge::names(&cluster.names())),
            "Name nodes that are there",
        )),
        _ => Ok(()),
    }
}

fn finds_processes(cluster: &Cluster, db: &dyn Db) -> bool {
    let found = |kill: &dyn schism_cluster::Kill| cluster.nodes.iter().all(|on| kill.processes_script(on).is_some());
    db.kill().is_some_and(found)
}

/// Runs a script everywhere that says what is missing. What some node lacks is told before what another did not answer.
async fn on_nodes(
    cluster: &Cluster,
    script: &str,
    asked: &str,
    hint: &str,
    reason: impl Fn(&Node, &str) -> String,
) -> Result<(), Why> {
    let commands = cluster.names().into_iter().map(|node| (node, Command::new(script))).collect();
    let mut silent = None;
    for (node, answer) in fanout::run_each(cluster, commands).await {
        match answer {
            Ok(output) => {
                let missing = output.text().replace('\n', ", ");
                if !missing.is_empty() {
                    return Err(Why::missing(reason(&node, &missing), hint));
                }
            }
            Err(error) => {
                silent.get_or_insert(Why::of(&FaultError::Remote(error), asked, "Check that the node is up"));
            }
        }
    }
    silent.map_or(Ok(()), Err)
}
