//! What proves faults of nodes and resources: whether a node answers, which boot it is, what processes use.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use schism_cluster::{Cluster, Command, NodeHandle, ProcessId, RemoteError, User};
use schism_history::Node;
use serde::Serialize;

use crate::fanout::{self, Part};
use crate::scripts;

/// One boot of a node, told from every other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Boot {
    /// The kernel's.
    pub boot_id: String,
    /// When the first process began, in ticks of the kernel.
    pub init_start_ticks: u64,
    /// How long the kernel is up, seconds.
    pub uptime_s: f64,
}

impl Boot {
    fn parse(text: &str) -> Option<Boot> {
        let mut words = text.split_whitespace();
        Some(Boot {
            boot_id: words.next()?.to_owned(),
            init_start_ticks: words.next()?.parse().ok()?,
            uptime_s: words.next()?.parse().ok()?,
        })
    }

    /// Whether it is another boot: of another kernel, or in a kernel that others share with another first process.
    pub fn is_another(&self, than: &Boot) -> bool {
        (&self.boot_id, self.init_start_ticks) != (&than.boot_id, than.init_start_ticks)
    }
}

/// Which boot a node is in.
///
/// # Errors
/// When it does not answer within the time.
pub async fn boot(handle: &NodeHandle, within: Duration) -> Result<Boot, RemoteError> {
    let command = Command::new(scripts::node_identity()).user(User::Login).deadline(within);
    let text = handle.remote.run(&command).await?.text();
    Boot::parse(&text).ok_or_else(|| RemoteError::Exit {
        node: handle.node.clone(),
        command: "the identity of its boot".to_owned(),
        status: 0,
        stderr_tail: format!("it said {text:?}, and not which boot it is"),
    })
}

/// Whether a node answered, and after what time; a login that is refused is an answer too.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answered {
    /// Which.
    pub node: Node,
    /// Whether it did.
    pub answers: bool,
    /// After what time, or how long nothing was heard.
    pub waited_ms: u64,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Logs in to each of these nodes, all at once, and waits so long for its answer.
///
/// # Errors
/// For a node that the cluster has not.
pub async fn answers(cluster: &Cluster, nodes: &[Node], within: Duration) -> Result<Vec<Answered>, RemoteError> {
    let part = |node: &Node| -> Part<'_, Result<Answered, RemoteError>> {
        let node = node.clone();
        Box::pin(async move {
            let handle = fanout::handle(cluster, &node)?;
            let begun = Instant::now();
            let hello = Command::new("true").user(User::Login).deadline(within);
            // The hands on a node may take longer than they were given when all their connections hang.
            let asked = tokio::time::timeout(within + Duration::from_secs(1), handle.remote.output(&hello)).await;
            let (answers, reason) = match asked {
                Ok(Ok(_) | Err(RemoteError::Refused { .. })) => (true, None),
                Ok(Err(error)) => (false, Some(error.to_string())),
                Err(_) => (false, Some("nothing was heard".to_owned())),
            };
            let waited_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            Ok(Answered { node, answers, waited_ms, reason })
        })
    };
    fanout::all(nodes.iter().map(part).collect()).await.into_iter().collect()
}

/// Asks until all of these nodes answer, or the time is up; the last look.
///
/// # Errors
/// For a node that the cluster has not.
pub async fn answer_within(
    cluster: &Cluster,
    nodes: &[Node],
    each: Duration,
    within: Duration,
) -> Result<(bool, Vec<Answered>), RemoteError> {
    let deadline = tokio::time::Instant::now() + within;
    loop {
        let seen = answers(cluster, nodes, each).await?;
        let all = seen.iter().all(|one| one.answers);
        if all || tokio::time::Instant::now() >= deadline {
            return Ok((all, seen));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What processes and their machine used in a span of time.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct CpuUse {
    /// How long was looked, milliseconds.
    pub span_ms: f64,
    /// What the processes had together, in the time of one processor, milliseconds.
    pub cpu_ms: f64,
    /// How much of all processors' time nobody wanted, from 0 to 1.
    pub idle_share: f64,
    /// How many of the processes lived all the time.
    pub processes: usize,
}

/// Looks what these processes of a node use.
///
/// # Errors
/// See [`RemoteError`].
pub async fn cpu_use(handle: &NodeHandle, processes: &[ProcessId], span_ms: u64) -> Result<CpuUse, RemoteError> {
    let output = handle.remote.run(&Command::new(scripts::cpu_times(processes, span_ms))).await?;
    Ok(parse_cpu(&output.text()))
}

/// Two looks, each begun by a line `uptime`.
fn parse_cpu(text: &str) -> CpuUse {
    let mut uptimes: Vec<f64> = Vec::new();
    let mut machine: Vec<(f64, f64)> = Vec::new();
    let mut looks: Vec<BTreeMap<(u32, u64), f64>> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
        match words.first() {
            Some(&"uptime") => {
                uptimes.push(number(1));
                looks.push(BTreeMap::new());
            }
            Some(&"machine") => machine.push((number(1), number(2))),
            Some(&"process") => {
                if let Some(look) = looks.last_mut() {
                    look.insert((number(1) as u32, number(2) as u64), number(3));
                }
            }
            _ => {}
        }
    }
    let ([begin, end], [before, after]) = (&uptimes[..], &looks[..]) else { return CpuUse::default() };
    let used = before.iter().filter_map(|(id, ticks)| Some(after.get(id)? - ticks));
    let used: Vec<f64> = used.collect();
    let idle_share = match machine[..] {
        [(all, idle), (all_later, idle_later)] if all_later > all => (idle_later - idle) / (all_later - all),
        _ => 1.0,
    };
    CpuUse {
        span_ms: ((end - begin) * 1000.0).round(),
        cpu_ms: used.iter().sum::<f64>() * 10.0,
        idle_share: (idle_share * 1000.0).round() / 1000.0,
        processes: used.len(),
    }
}

/// Lines of `key number`, the last of a key counts.
pub fn numbers(text: &str) -> BTreeMap<String, i64> {
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schism_cluster::script::{said, scripted_cluster};

    #[test]
    fn use_is_the_difference_of_two_looks() {
        let text = "uptime 10.00\nmachine 1000 500\nprocess 7 70 100\nprocess 8 80 5\nuptime 11.01\nmachine 1200 520\n\
                    process 7 70 150\nprocess 9 90 1\n";
        let expected = CpuUse { span_ms: 1010.0, cpu_ms: 500.0, idle_share: 0.1, processes: 1 };
        assert_eq!(parse_cpu(text), expected);
        for torn in ["", "uptime", "uptime 1\nprocess x", "machine 1 1\nuptime 1\nuptime 2\nuptime 3\n"] {
            assert_eq!(parse_cpu(torn).processes, 0, "{torn}");
        }
    }

    #[test]
    fn boots_differ_by_kernel_or_first_process() {
        let boot = |text: &str| Boot::parse(text).unwrap();
        let first = boot("abc 100 5.5");
        assert!(!first.is_another(&boot("abc 100 9.0")));
        assert!(first.is_another(&boot("abd 100 1.0")) && first.is_another(&boot("abc 700 9.0")));
        assert_eq!((Boot::parse("abc x 1"), Boot::parse("")), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_told_from_an_answer() {
        let (cluster, log) = scripted_cluster(&["n1", "n2"]);
        log.unreachable("n2").on("boot_id", said("abc 100 5.5\n"));
        let seen = answers(&cluster, &cluster.names(), Duration::from_secs(1)).await.unwrap();
        assert_eq!([seen[0].answers, seen[1].answers], [true, false]);
        assert!(seen[1].reason.as_ref().unwrap().contains("cannot be reached"), "{seen:?}");
        let (all, _) =
            answer_within(&cluster, &cluster.names(), Duration::from_secs(1), Duration::from_secs(3)).await.unwrap();
        assert!(!all);
        assert_eq!(boot(&cluster.nodes[0], Duration::from_secs(1)).await.unwrap().init_start_ticks, 100);
    }
}
