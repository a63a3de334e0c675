//! What a fault looks at to prove itself.

use std::collections::BTreeMap;
use std::time::Duration;

use schism_cluster::probe::process_states;
use schism_cluster::{Cluster, ProcessId, RemoteError};
use schism_history::Node;
use serde::Serialize;

use crate::fanout;

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
    let part = |(node, list): (&'_ Node, &'_ Vec<ProcessId>)| {
        let (node, list) = (node.clone(), list.clone());
        let part: fanout::Part<'_, Result<Vec<Seen>, RemoteError>> = Box::pin(async move {
            let states = process_states(fanout::handle(cluster, &node)?, &list).await?;
            let pairs = list.into_iter().zip(states);
            Ok(pairs.map(|(process, state)| Seen { node: node.clone(), process, state }).collect())
        });
        part
    };
    let answers = fanout::all(processes.iter().map(part).collect()).await;
    Ok(answers.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
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

#[cfg(test)]
mod tests {
    use super::*;

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
