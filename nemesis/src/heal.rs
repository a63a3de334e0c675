//! Healing from the ledger alone: what a second process does after the first one died.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use schism_cluster::{Cluster, GroundAction};
use schism_history::Node;

use crate::fault::{FaultError, Undo};
use crate::lease::{HealReport, Leases};
use crate::ledger::{self, Ender, Entry, Later, Ledger, State};

/// How often an undo is tried.
const TRIES: u32 = 3;
/// How long between two tries.
const PAUSE: Duration = Duration::from_millis(700);

/// Undoes every fault that the ledger does not call healed, the latest first, and writes down what became of it.
///
/// It knows nothing of the database or of how a fault is verified, so "healed" here means that every undo of the fault
/// ended with success (each undo checks its own result).
///
/// # Errors
/// [`FaultError::LedgerUnread`] only. A ledger that cannot be written does not stop the healing.
pub async fn heal_all(path: &Path, cluster: &Cluster, leases: &Leases) -> Result<HealReport, FaultError> {
    heal_all_as(Ender::Heal, path, cluster, leases).await
}

/// Writes down that every fault which the ledger does not call healed ended with the lab of its run. Answers how many.
///
/// # Errors
/// When the ledger cannot be read or written.
pub fn ended_with_lab(path: &Path) -> Result<usize, FaultError> {
    let open = ledger::outstanding(&ledger::read(path)?.entries);
    if open.is_empty() {
        return Ok(0);
    }
    let ledger = Ledger::open(path)?;
    for fault in &open {
        let later = Later { by: Ender::LabGone, healed_themselves: Vec::new(), errors: Vec::new() };
        ledger.append(&fault.ended(State::Healed, later))?;
    }
    Ok(open.len())
}

/// As [`heal_all`], and writes down who it was.
pub(crate) async fn heal_all_as(
    by: Ender,
    path: &Path,
    cluster: &Cluster,
    leases: &Leases,
) -> Result<HealReport, FaultError> {
    let text = ledger::read(path)?;
    let mut report = HealReport::default();
    for line in &text.damaged_lines {
        report.notes.push(format!(
            "line {line} of {} is damaged: if it planned a fault, only the nodes' leases know how to heal it",
            path.display()
        ));
    }
    let open = ledger::outstanding(&text.entries);
    if open.is_empty() {
        return Ok(report);
    }
    let ledger = match Ledger::open(path) {
        Ok(ledger) => Some(ledger),
        Err(error) => {
            report.notes.push(format!("healing is not written down: {error}"));
            None
        }
    };
    for fault in open {
        let later = heal_one(by, &fault, cluster, leases, &mut report).await;
        let state = if later.errors.is_empty() { State::Healed } else { State::Failed };
        if let Some(ledger) = &ledger
            && let Err(error) = ledger.append_async(fault.ended(state, later)).await
        {
            report.notes.push(format!("the healing of fault {} is not written down: {error}", fault.fault_id));
        }
    }
    Ok(report)
}

/// Undoes one fault, with retries; adds to the report; answers what became of it.
async fn heal_one(by: Ender, fault: &Entry, cluster: &Cluster, leases: &Leases, report: &mut HealReport) -> Later {
    let what = format!("fault {} ({})", fault.fault_id, fault.label);
    let mut failed: Vec<(String, String)> = Vec::new();
    for undo in &fault.undo {
        if let Undo::Irreversible { reason } = undo {
            failed.push((what.clone(), format!("it cannot be undone: {reason}")));
        }
    }
    let mut healed_themselves = Vec::new();
    if fault.undo.is_empty() {
        failed.push((what, "the line of the ledger that says how is lost".to_owned()));
    } else {
        let undone = undo_with_retries(cluster, leases, &fault.run_tag.lease(fault.fault_id), &fault.undo).await;
        report.healed.extend(undone.done.iter().map(|node| format!("{what} on {node}")));
        failed.extend(undone.failed.into_iter().map(|(node, reason)| (format!("{what} on {node}"), reason)));
        healed_themselves = undone.expired;
        healed_themselves.sort();
        healed_themselves.dedup();
    }
    let errors = failed.iter().map(|(what, reason)| format!("{what}: {reason}")).collect();
    report.failed.extend(failed);
    Later { by, healed_themselves, errors }
}

/// What is undone at once: scripts on nodes, or one action of the ground.
enum Stage {
    Nodes(Vec<Undo>),
    Ground(GroundAction),
}

/// In the order of the undos, neighbouring scripts together.
fn stages(undo: &[Undo]) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for one in undo {
        match (one, stages.last_mut()) {
            (Undo::OnNode { .. }, Some(Stage::Nodes(scripts))) => scripts.push(one.clone()),
            (Undo::OnNode { .. }, _) => stages.push(Stage::Nodes(vec![one.clone()])),
            (Undo::OnGround { action }, _) => stages.push(Stage::Ground(action.clone())),
            (Undo::Irreversible { .. }, _) => {}
        }
    }
    stages
}

/// What became of the undos of a fault.
#[derive(Debug, Default)]
pub(crate) struct Undone {
    /// Where they succeeded: a node, or what the ground did.
    pub done: Vec<String>,
    /// Where they did not, with the last reason.
    pub failed: Vec<(String, String)>,
    /// Nodes that had healed themselves before: the fault was shorter than its window says.
    pub expired: Vec<Node>,
}

/// Runs undos, stage by stage, until each succeeded or had its tries; what fails in one stage does not stop the next. The
/// lease of a node is cancelled when all stages are done, and none that concerns the node failed: with its last script
/// where that is the last stage, which is the common case, else by itself.
pub(crate) async fn undo_with_retries(cluster: &Cluster, leases: &Leases, lease: &str, undo: &[Undo]) -> Undone {
    let mut undone = Undone::default();
    // Nodes of which nothing failed and whose lease still stands, and nodes of which something failed.
    let (mut good, mut bad) = (BTreeSet::new(), BTreeSet::new());
    let (mut on_ground, mut ground_failed) = (false, false);
    let stages = stages(undo);
    let count = stages.len();
    for (number, stage) in stages.into_iter().enumerate() {
        match stage {
            Stage::Nodes(scripts) => {
                let last = number + 1 == count && !ground_failed;
                let cancel = |node: &Node| last && !bad.contains(node);
                let seen = undo_on_nodes(cluster, leases, lease, scripts, &cancel).await;
                for node in seen.good {
                    undone.done.push(node.to_string());
                    if cancel(&node) {
                        good.remove(&node)
                    } else {
                        good.insert(node)
                    };
                }
                undone.expired.extend(seen.expired);
                for (node, reason) in seen.failed {
                    undone.failed.push((node.to_string(), reason));
                    good.remove(&node);
                    bad.insert(node);
                }
            }
            Stage::Ground(action) => {
                on_ground = true;
                match undo_on_ground(cluster, &action).await {
                    Ok(()) => undone.done.push(format!("the ground ({action})")),
                    Err(reason) => {
                        ground_failed = true;
                        undone.failed.push((format!("the ground ({action})"), reason));
                    }
                }
            }
        }
    }
    if !ground_failed {
        let open: Vec<Node> = good.into_iter().filter(|node| !bad.contains(node)).collect();
        for (node, answer) in leases.cancel(cluster, lease, &open).await {
            if let Err(error) = answer {
                let reason = format!("it is undone, but its lease is still there: {error}");
                undone.failed.push((node.to_string(), reason));
            }
        }
        if on_ground && let Err(error) = cluster.ground.cancel(lease).await {
            tracing::warn!(%error, lease, "the ground keeps a lease whose undo is done");
        }
    }
    undone
}

async fn undo_on_ground(cluster: &Cluster, action: &GroundAction) -> Result<(), String> {
    let mut attempt = 1;
    loop {
        match cluster.ground.act(action).await {
            Ok(_) => return Ok(()),
            Err(error) if attempt >= TRIES => return Err(error.to_string()),
            Err(_) => attempt += 1,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What became of a stage on nodes.
struct StageSeen {
    good: Vec<Node>,
    failed: Vec<(Node, String)>,
    expired: Vec<Node>,
}

async fn undo_on_nodes(
    cluster: &Cluster,
    leases: &Leases,
    lease: &str,
    mut left: Vec<Undo>,
    cancel: &(dyn Fn(&Node) -> bool + Sync),
) -> StageSeen {
    let mut seen = StageSeen { good: Vec::new(), failed: Vec::new(), expired: Vec::new() };
    for attempt in 1..=TRIES {
        seen.failed.clear();
        for (node, answer) in leases.undo_stage(cluster, lease, &left, cancel).await {
            match answer {
                Ok(expired) => {
                    seen.expired.extend(expired.then(|| node.clone()));
                    seen.good.push(node);
                }
                Err(error) => seen.failed.push((node, error.to_string())),
            }
        }
        if seen.failed.is_empty() {
            break;
        }
        left.retain(|one| matches!(one, Undo::OnNode { node, .. } if seen.failed.iter().any(|(bad, _)| bad == node)));
        if attempt < TRIES {
            tokio::time::sleep(PAUSE).await;
        }
    }
    seen
}

#[cfg(test)]
#[path = "heal_tests.rs"]
mod tests;
