//! Where the nodes live: makes or finds a lab, or takes an inventory, and gives the cluster.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schism_cluster::inventory::Inventory;
use schism_cluster::packages;
use schism_cluster::ssh::{Auth, HostKeys, Secret, SshRemote, SshTarget};
use schism_cluster::{Cluster, NoGround, NodeHandle};
use schism_history::Node;
use schism_lab::vms::Accelerator;
use schism_lab::{Attachment, Lab, LabGround, LabKind, LabSpec, Rights};

use crate::commands::say;
use crate::error::RunnerError;
use crate::plan::{GroundPlan, Plan};

/// How long a login of an emulated machine may take, on a host that has more to do.
const PATIENT_LOGIN: Duration = Duration::from_secs(30);

/// A cluster that can be reached, and what keeps it there.
pub struct Ready {
    /// The nodes.
    pub cluster: Cluster,
    /// The lab, if it is one.
    pub lab: Option<Lab>,
    /// Whether the lab was made for this run, and ends with it.
    pub lab_is_ours: bool,
    /// While this is held, the lab's holder knows that somebody is there.
    _attachment: Option<Attachment>,
}

/// This program's file, for the holder to run.
///
/// # Errors
/// When the system does not tell.
pub fn own_executable() -> Result<PathBuf, RunnerError> {
    std::env::current_exe().map_err(|error| RunnerError::Internal(format!("the own program is not known: {error}")))
}

/// A lab of namespaces with these packages in its nodes; fetches them into the cache. As root they are laid over this
/// machine's files, otherwise nodes have files of their own.
///
/// # Errors
/// When this user cannot have a lab, or packages cannot be had.
pub fn namespaces_spec(nodes_count: usize, of_nodes: &[&str]) -> Result<LabSpec, RunnerError> {
    let rights = schism_lab::rights()?;
    let cache = packages::default_cache();
    let mut progress = |line: &str| say(&format!("schism: {line}"));
    let base = LabSpec::new(LabSpec::fresh_id(), nodes_count);
    Ok(match rights {
        Rights::Root => {
            LabSpec { trees: vec![packages::fetch_for_nodes(&cache, of_nodes, &mut progress)?.path], ..base }
        }
        Rights::Maps => LabSpec { root: Some(schism_lab::nodes_root(&cache, of_nodes, &mut progress)?), ..base },
    })
}

/// Says so before anything is downloaded or made, if a ground cannot be made by this user.
///
/// # Errors
/// When this is not root, and for a lab of namespaces has no uid maps either.
pub fn need_rights(ground: &GroundPlan) -> Result<(), RunnerError> {
    match ground {
        GroundPlan::Namespaces => Ok(schism_lab::rights().map(drop)?),
        GroundPlan::Vms if !nix::unistd::geteuid().is_root() => Err(schism_lab::LabError::NotRoot.into()),
        _ => Ok(()),
    }
}

/// Makes or finds the ground of a plan and joins its network. Must be called while the process has one thread.
///
/// # Errors
/// When the ground is not there and cannot be made.
pub fn prepare(plan: &Plan, run: &str) -> Result<Ready, RunnerError> {
    // Before the lab's network is entered, from which nothing can be downloaded.
    if plan.setup {
        schism_tests_suites::fetch(&plan.database, &packages::default_cache())
            .map_err(|error| RunnerError::Plan(error.to_string()))?;
    }
    match &plan.ground {
        GroundPlan::Namespaces => {
            let spec = LabSpec {
                network: plan.network,
                nodes: plan.nodes.clone(),
                lease: Some(Duration::from_millis(plan.lease_ms)),
                run: Some(run.to_owned()),
                ..namespaces_spec(plan.nodes.len(), plan.database.entry().packages)?
            };
            let lab = schism_lab::up(&spec, &own_executable()?)?;
            enter(lab, &plan.nodes, true)
        }
        GroundPlan::Vms => {
            need_rights(&plan.ground)?;
            let spec = LabSpec {
                nodes: plan.nodes.clone(),
                lease: Some(Duration::from_millis(plan.lease_ms)),
                run: Some(run.to_owned()),
                ..machines_spec(plan.nodes.len(), plan.database.entry().packages)?
            };
            enter(schism_lab::up(&spec, &own_executable()?)?, &plan.nodes, true)
        }
        GroundPlan::Lab { id, .. } => enter(schism_lab::find(id)?, &plan.nodes, false),
        GroundPlan::Machines { inventory, .. } => machines(inventory, &plan.nodes),
    }
}

/// What a lab of virtual machines with these packages is made of; fetches it into the cache.
///
/// # Errors
/// When it cannot be had.
pub fn machines_spec(nodes_count: usize, of_nodes: &[&str]) -> Result<LabSpec, RunnerError> {
    let cache = packages::default_cache();
    let parts = schism_lab::vms::fetch(&cache, of_nodes, &mut |line| say(&format!("schism: {line}")))?;
    let how = match parts.accelerator {
        Accelerator::Kvm => "with KVM",
        Accelerator::Tcg => "without KVM, which takes a while",
    };
    say(&format!("schism: starting {nodes_count} virtual machines {how}"));
    Ok(LabSpec::of_machines(LabSpec::fresh_id(), nodes_count, parts))
}

/// Finds the ground of a run that ended, to heal it.
///
/// # Errors
/// When a lab is gone: then there is nothing left to heal, which the message says.
pub fn find(plan: &Plan, run: &str) -> Result<Ready, RunnerError> {
    match &plan.ground {
        GroundPlan::Namespaces | GroundPlan::Vms => enter(schism_lab::find(run)?, &plan.nodes, false),
        GroundPlan::Lab { id, .. } => enter(schism_lab::find(id)?, &plan.nodes, false),
        GroundPlan::Machines { inventory, .. } => machines(inventory, &plan.nodes),
    }
}

/// All machines of a ground that was read from an inventory.
///
/// # Errors
/// When the inventory is wrong.
pub fn all_machines(ground: &GroundPlan) -> Result<Ready, RunnerError> {
    match ground {
        GroundPlan::Machines { inventory, .. } => machines(inventory, &[]),
        _ => Err(RunnerError::Internal("a lab is no inventory".to_owned())),
    }
}

/// Joins a lab's network and gives its nodes (all of them if `names` is empty).
///
/// # Errors
/// When the lab has no such node or cannot be entered.
pub fn enter(lab: Lab, names: &[String], ours: bool) -> Result<Ready, RunnerError> {
    let attachment = schism_lab::attach(&lab)?;
    schism_lab::enter(&lab)?;
    let names: Vec<String> =
        if names.is_empty() { lab.nodes.iter().map(|node| node.name.clone()).collect() } else { names.to_vec() };
    let mut nodes = Vec::new();
    for name in &names {
        let Some(found) = lab.nodes.iter().find(|node| node.name == *name) else {
            let known: Vec<&str> = lab.nodes.iter().map(|node| node.name.as_str()).collect();
            return Err(RunnerError::Plan(format!("lab {} has no node `{name}`, but {}", lab.id, known.join(", "))));
        };
        let mut target = SshTarget::new(Node::new(name), &found.address);
        target.user = lab.ssh_user.clone();
        if lab.kind == LabKind::Vms {
            target.connect_timeout = PATIENT_LOGIN;
        }
        target.auth = vec![Auth::KeyMemory { private: Secret::new(&lab.private_key_openssh), passphrase: None }];
        target.host_keys = HostKeys::Known(host_key(&lab, name)?);
        nodes.push(NodeHandle {
            node: Node::new(name),
            address: found.address.clone(),
            remote: Arc::new(SshRemote::new(target)),
        });
    }
    let ground = Arc::new(LabGround::new(lab.clone()));
    let cluster = Cluster { nodes, ground };
    Ok(Ready { cluster, lab: Some(lab), lab_is_ours: ours, _attachment: Some(attachment) })
}

/// The public key of a node's sshd, as the lab made it.
fn host_key(lab: &Lab, name: &str) -> Result<String, RunnerError> {
    let lines = lab.known_hosts.lines().filter_map(|line| line.split_once(' '));
    let key =
        lines.filter(|(hosts, _)| hosts.split(',').any(|host| host == name)).map(|(_, key)| key.to_owned()).next();
    key.ok_or_else(|| RunnerError::Internal(format!("the lab {} knows no host key of {name}", lab.id)))
}

/// How SSH reaches each machine of an inventory, and its address as clients see it.
///
/// # Errors
/// When names repeat, or a variable that holds a secret is not set.
pub fn targets(inventory: &Inventory) -> Result<Vec<(SshTarget, String)>, RunnerError> {
    let variable = |name: &str| std::env::var(name).ok();
    inventory.targets(&variable).map_err(|error| RunnerError::Usage(error.to_string()))
}

/// Machines of an inventory (all of them if `names` is empty).
///
/// # Errors
/// When the inventory is wrong.
pub fn machines(inventory: &serde_json::Value, names: &[String]) -> Result<Ready, RunnerError> {
    let inventory: Inventory = serde_json::from_value(inventory.clone())
        .map_err(|error| RunnerError::Usage(format!("the inventory is wrong: {error}")))?;
    let mut nodes = Vec::new();
    for (target, address) in targets(&inventory)? {
        if names.is_empty() || names.iter().any(|name| name == target.node.as_str()) {
            nodes.push(NodeHandle { node: target.node.clone(), address, remote: Arc::new(SshRemote::new(target)) });
        }
    }
    let cluster = Cluster { nodes, ground: Arc::new(NoGround) };
    Ok(Ready { cluster, lab: None, lab_is_ours: false, _attachment: None })
}
