//! `schism lab`: labs on this machine.

use std::time::Duration;

use schism_cluster::packages;
use schism_lab::{Lab, LabKind, LabSpec, NetworkKind};

use crate::cli::LabCommand;
use crate::commands::{print, say};
use crate::error::RunnerError;
use crate::exit::Exit;
use crate::ground;
use crate::request::duration_ms;

/// Does what the verb says.
///
/// # Errors
/// When the lab cannot be made, found or ended.
pub fn lab(command: &LabCommand) -> Result<Exit, RunnerError> {
    match command {
        LabCommand::Up { nodes, switch, vms, packages, lease, json } => {
            let network = if *switch { NetworkKind::Switch } else { NetworkKind::Cables };
            up(*nodes, network, *vms, packages, lease.as_deref(), *json)
        }
        LabCommand::Down { id, all } => down(id.as_deref(), *all),
        LabCommand::List { json } => list(*json),
        LabCommand::Exec { id, node, command } => exec(id, node.as_deref(), command),
    }
}

fn up(
    nodes_count: u32,
    network: NetworkKind,
    vms: Option<u32>,
    packages: &[String],
    lease: Option<&str>,
    json: bool,
) -> Result<Exit, RunnerError> {
    let lease = duration_ms("--lease", lease)?.map(Duration::from_millis);
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    let base = match vms {
        Some(count) => ground::machines_spec(count as usize, &names)?,
        None => LabSpec { network, ..ground::namespaces_spec(nodes_count as usize, &names)? },
    };
    let spec = LabSpec { lease, ..base };
    let lab = schism_lab::up(&spec, &ground::own_executable()?)?;
    if json {
        print(&format!("{}\n", describe_json(&lab)))?;
    } else {
        print(&describe(&lab))?;
        say(&format!("enter a node: schism lab exec {} --node n1 -- sh; end it: schism lab down {}", lab.id, lab.id));
    }
    Ok(Exit::Valid)
}

fn down(id: Option<&str>, all: bool) -> Result<Exit, RunnerError> {
    let labs = match id {
        Some(id) => vec![schism_lab::find(id)?],
        None if all => schism_lab::list(),
        None => return Err(RunnerError::Usage("name a lab, or --all".to_owned())),
    };
    for lab in labs {
        schism_lab::down(&lab)?;
        say(&format!("lab {} is down", lab.id));
    }
    Ok(Exit::Valid)
}

fn list(json: bool) -> Result<Exit, RunnerError> {
    let labs = schism_lab::list();
    if json {
        let labs: Vec<_> = labs.iter().map(describe_json).collect();
        print(&format!("{}\n", serde_json::json!({"schema_version": 1, "labs": labs})))?;
    } else if labs.is_empty() {
        say("no lab is alive");
    } else {
        print(&labs.iter().map(describe).collect::<String>())?;
    }
    Ok(Exit::Valid)
}

/// A lab in lines.
pub fn describe(lab: &Lab) -> String {
    let mut text = format!("lab {}", lab.id);
    if lab.kind == LabKind::Vms {
        text.push_str(" of virtual machines");
    }
    if let Some(run) = &lab.run {
        text.push_str(&format!(" (run {run})"));
    }
    if lab.network == NetworkKind::Switch {
        text.push_str(", on a switch");
    }
    match lab.lease {
        Some(lease) => text.push_str(&format!(", ends {} s after its last user\n", lease.as_secs())),
        None => text.push_str(", stays until `lab down`\n"),
    }
    for node in &lab.nodes {
        text.push_str(&format!("  {}  {}\n", node.name, node.address));
    }
    text
}

fn describe_json(lab: &Lab) -> serde_json::Value {
    let nodes: Vec<_> =
        lab.nodes.iter().map(|node| serde_json::json!({"name": node.name, "address": node.address})).collect();
    serde_json::json!({
        "schema_version": 1,
        "id": lab.id,
        "run": lab.run,
        "network": lab.network,
        "ground": lab.kind.ground(),
        "lease_ms": lab.lease.map(|lease| lease.as_millis() as u64),
        "nodes": nodes,
    })
}

fn exec(id: &str, node: Option<&str>, command: &[String]) -> Result<Exit, RunnerError> {
    let lab = schism_lab::find(id)?;
    let status = schism_lab::exec(&lab, node, command)?;
    // The command's own status is the answer here, as with `ssh` and `env`.
    std::process::exit(status);
}

/// Fetches packages and prints the tree's path.
///
/// # Errors
/// When they cannot be fetched.
pub fn fetch_packages(names: &[String]) -> Result<Exit, RunnerError> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let tree = packages::fetch(&packages::default_cache(), &names, &mut |line| say(&format!("schism: {line}")))?;
    print(&format!("{}\n", tree.path.display()))?;
    Ok(Exit::Valid)
}
