//! How far the clocks of nodes are from the controller's, with an honest bound.
//!
//! A node is asked for its time between two looks at our own clock. Its time was said at some moment between, so the
//! offset from the middle is wrong by half of the round trip at most; of several tries the shortest counts. The bound
//! covers all delay on the way, however it is shared between the ways there and back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schism_history::Node;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::remote::{Command, Remote, RemoteError};

/// Says the real clock in nanoseconds. A `date` without nanoseconds (of BusyBox) leaves that to perl.
const ASK: &str = r#"now=$(date +%s%N)
case $now in
  *[!0-9]*|???????????) now=$(perl -MTime::HiRes=time -e 'printf "%.0f", time() * 1e9') ;;
esac
printf '%s\n' "$now"
"#;

/// How long one question may take. An emulated machine that is at work takes seconds for it.
const WITHIN: Duration = Duration::from_secs(20);

/// The clock of a node beside ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockOffset {
    /// Which node.
    pub node: Node,
    /// How far its real clock is ahead of the controller's, in nanoseconds.
    pub offset_ns: i64,
    /// By how much that may be wrong: half of the shortest round trip.
    pub error_ns: i64,
}

/// Asks these nodes, all at once, each so often (one try at least); answers in the order given.
///
/// # Errors
/// The first node that does not answer, or whose answer is no time.
pub async fn clock_offsets(cluster: &Cluster, nodes: &[Node], tries: u32) -> Result<Vec<ClockOffset>, RemoteError> {
    let mut tasks = JoinSet::new();
    for (index, node) in nodes.iter().enumerate() {
        let Some(handle) = cluster.get(node) else {
            return Err(RemoteError::Unreachable {
                node: node.clone(),
                address: "no address".to_owned(),
                reason: "this cluster has no node of that name".to_owned(),
                hint: "Name nodes of the cluster".to_owned(),
            });
        };
        let (node, remote) = (node.clone(), std::sync::Arc::clone(&handle.remote));
        tasks.spawn(async move { (index, offset(&*remote, node, tries).await) });
    }
    let mut found = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok(answer) => found.push(answer),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, answer)| answer).collect()
}

async fn offset(remote: &dyn Remote, node: Node, tries: u32) -> Result<ClockOffset, RemoteError> {
    let mut best: Option<ClockOffset> = None;
    for _ in 0..tries.max(1) {
        let command = Command::new(ASK).deadline(WITHIN);
        // In this order: time that passes between the two lengthens the round trip, so that the bound covers it.
        let (clock, begun_ns) = (std::time::Instant::now(), now_ns());
        let said = remote.run(&command).await?.text();
        // Measured by the clock that cannot jump while we wait.
        let round_trip_ns = i64::try_from(clock.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let Ok(theirs_ns) = said.parse::<i64>() else {
            return Err(RemoteError::Exit {
                node,
                command: "date +%s%N".to_owned(),
                status: 0,
                stderr_tail: format!("it says {said:?} for its time"),
            });
        };
        let offset_ns = theirs_ns.saturating_sub(begun_ns.saturating_add(round_trip_ns / 2));
        let now = ClockOffset { node: node.clone(), offset_ns, error_ns: round_trip_ns / 2 + 1 };
        best = Some(best.filter(|best| best.error_ns <= now.error_ns).unwrap_or(now));
    }
    best.ok_or_else(|| RemoteError::Deadline { node, command: "date +%s%N".to_owned(), after: WITHIN })
}

/// Our own real clock, in nanoseconds since 1970; 0 before that.
fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{said, scripted_cluster};

    #[tokio::test]
    async fn offsets_have_bounds_that_hold() {
        let (cluster, log) = scripted_cluster(&["n1", "n2"]);
        log.with(|node, _| {
            let ahead_ns = if node.as_str() == "n1" { 5_000_000_000 } else { -86_400_000_000_000 };
            Some(Ok(said(&format!("{}\n", now_ns() + ahead_ns))))
        });
        let nodes = [Node::new("n2"), Node::new("n1")];
        let offsets = clock_offsets(&cluster, &nodes, 4).await.unwrap();
        let expected = [("n2", -86_400_000_000_000), ("n1", 5_000_000_000)];
        for (offset, (node, ahead_ns)) in offsets.iter().zip(expected) {
            assert_eq!(offset.node.as_str(), node);
            assert!((offset.offset_ns - ahead_ns).abs() <= offset.error_ns, "{offset:?}");
            assert!(offset.error_ns < 1_000_000_000, "{offset:?}");
        }
    }

    #[tokio::test]
    async fn nonsense_is_told() {
        let (cluster, log) = scripted_cluster(&["n1"]);
        log.on("date", said("Sat Nov 21\n"));
        let error = clock_offsets(&cluster, &[Node::new("n1")], 1).await.unwrap_err().to_string();
        assert!(error.contains("n1") && error.contains("Sat Nov 21"), "{error}");
        let error = clock_offsets(&cluster, &[Node::new("n9")], 1).await.unwrap_err().to_string();
        assert!(error.contains("no node of that name"), "{error}");
    }

    #[test]
    fn a_shell_says_the_time() {
        let output = std::process::Command::new("sh").arg("-c").arg(ASK).output().unwrap();
        let said: i64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        assert!((now_ns() - said).abs() < 60_000_000_000, "{said}");
    }
}
