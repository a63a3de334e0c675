//! One harm a file.

pub mod clock;
pub mod clock_drift;
pub mod clock_jump;
pub mod clock_strobe;
pub mod cpu_hog;
pub mod cpu_throttle;
pub mod crash_loop;
pub mod cut;
pub mod descriptors;
pub mod dns;
pub mod freeze;
pub mod kill;
pub mod membership;
pub mod memory_pressure;
pub mod oom_kill;
pub mod packet;
pub mod partition;
pub mod pause;
pub mod power_cut;
pub mod reboot;
pub mod reset;
pub mod restart;
pub mod terminate;

pub mod bit_flip;
mod disk;
mod disk_corrupt;
pub mod disk_errors;
pub mod disk_full;
pub(crate) mod disk_mapper;
pub mod disk_readonly;
mod disk_rule;
pub mod disk_slow;
mod hired;
pub mod lost_writes;
mod machines;
pub mod old_copy;
pub mod torn_write;
pub mod truncate;
mod victims;

use schism_cluster::{Cluster, Db, DbError, NodeHandle, ProcessId};
use schism_history::Node;
use serde_json::json;

use crate::fanout;
use crate::fault::FaultError;
use crate::observe::Processes;
use crate::option::{OptionEntry, OptionKind};

/// The option `targets` of faults that harm nodes.
pub const TARGETS: OptionEntry =
    OptionEntry { name: "targets", key: "target", kind: OptionKind::Target, default: &[], about: "which nodes" };

/// What a database answers when asked for the processes of a node.
type Asked<'a> = fanout::Part<'a, Result<Vec<ProcessId>, DbError>>;

/// The processes on these nodes, asked all at once.
async fn processes_on<'a>(
    cluster: &'a Cluster,
    nodes: &[Node],
    ask: impl Fn(&'a NodeHandle) -> Asked<'a>,
) -> Result<Processes, FaultError> {
    let handles = nodes.iter().map(|node| fanout::handle(cluster, node)).collect::<Result<Vec<_>, _>>()?;
    let answers = fanout::all(handles.iter().map(|handle| ask(handle)).collect()).await;
    let mut found = Processes::new();
    for (handle, answer) in handles.iter().zip(answers) {
        let list = answer?;
        if !list.is_empty() {
            found.insert(handle.node.clone(), list);
        }
    }
    Ok(found)
}

/// A database's ability that the plan had to make sure of.
fn lacking(class: &'static str, db: &dyn Db) -> FaultError {
    FaultError::Intention { class: class.to_owned(), reason: format!("the database `{}` cannot do it", db.name()) }
}

/// Processes for the history: `[{"node": "n1", "pid": 12, "start_ticks": 345}, ...]`.
fn told(processes: &Processes) -> serde_json::Value {
    let each = processes.iter().flat_map(|(node, list)| list.iter().map(move |process| (node, process)));
    each.map(|(node, process)| json!({"node": node, "pid": process.pid, "start_ticks": process.start_ticks})).collect()
}
