//! Processes of a node as `/proc` shows them: identity, state and family. Evidence for faults that kill and pause.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::NodeHandle;
use crate::db::ProcessId;
use crate::remote::{Command, Output, RemoteError};

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStat {
    /// Who it is.
    pub id: ProcessId,
    /// The name of its program, at most 15 bytes; it may hold anything.
    pub name: String,
    /// `R` running, `S` sleeping, `D` in the kernel, `T` stopped, `Z` zombie, `X` dead...
    pub state: char,
    /// The number of its parent.
    pub parent: u32,
}

/// Reads one line of `/proc/PID/stat`. The name is in parentheses and may hold parentheses and blanks itself, so it
/// ends at the *last* closing one.
pub fn parse_stat(line: &str) -> Option<ProcessStat> {
    let (head, rest) = line.trim().rsplit_once(')')?;
    let (pid, name) = head.split_once('(')?;
    // Fields from the third on: state, ppid, ... , starttime is the 22nd.
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(ProcessStat {
        id: ProcessId { pid: pid.trim().parse().ok()?, start_ticks: fields.get(19)?.parse().ok()? },
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
    })
}

/// All lines that make sense; those of processes that ended meanwhile are missing or empty.
fn parse_all(output: &Output) -> BTreeMap<u32, ProcessStat> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(parse_stat).map(|stat| (stat.id.pid, stat)).collect()
}

async fn stats(on: &NodeHandle, files: &str) -> Result<BTreeMap<u32, ProcessStat>, RemoteError> {
    // A process that is gone makes `cat` fail; that is an answer, not an error.
    let script = format!("cat {files} 2>/dev/null; [ -r /proc/self/stat ] || {{ echo 'no /proc here' >&2; exit 1; }}");
    Ok(parse_all(&on.remote.run(&Command::new(script)).await?))
}

/// The state letter of each process (`T` is stopped, `Z` a zombie), in the order asked; `None` where it is gone or its
/// number belongs to another process now. One command.
///
/// # Errors
/// See [`RemoteError`].
pub async fn process_states(on: &NodeHandle, processes: &[ProcessId]) -> Result<Vec<Option<char>>, RemoteError> {
    if processes.is_empty() {
        return Ok(Vec::new());
    }
    let files: Vec<String> = processes.iter().map(|process| format!("/proc/{}/stat", process.pid)).collect();
    let found = stats(on, &files.join(" ")).await?;
    let state = |process: &ProcessId| found.get(&process.pid).filter(|stat| stat.id == *process).map(|stat| stat.state);
    Ok(processes.iter().map(state).collect())
}

/// The identity of the process that has this number now.
///
/// # Errors
/// See [`RemoteError`].
pub async fn process_id(on: &NodeHandle, pid: u32) -> Result<Option<ProcessId>, RemoteError> {
    Ok(stats(on, &format!("/proc/{pid}/stat")).await?.get(&pid).map(|stat| stat.id))
}

/// Every process of the node, by number. One command; a snapshot only as far as `/proc` gives one.
///
/// # Errors
/// See [`RemoteError`].
pub async fn processes(on: &NodeHandle) -> Result<BTreeMap<u32, ProcessStat>, RemoteError> {
    stats(on, "/proc/[0-9]*/stat").await
}

/// A process and all its descendants, itself first, then by number; zombies are left out. Empty if it is gone.
/// Children whose parent ended belong to another family and are not found.
///
/// # Errors
/// See [`RemoteError`].
pub async fn descendants(on: &NodeHandle, of: ProcessId) -> Result<Vec<ProcessId>, RemoteError> {
    Ok(family(&processes(on).await?, of))
}

/// The same, in a snapshot. O(processes · log).
pub fn family(all: &BTreeMap<u32, ProcessStat>, of: ProcessId) -> Vec<ProcessId> {
    if all.get(&of.pid).is_none_or(|stat| stat.id != of) {
        return Vec::new();
    }
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for stat in all.values() {
        children.entry(stat.parent).or_default().push(stat.id.pid);
    }
    let mut found = BTreeSet::new();
    let mut next = vec![of.pid];
    while let Some(pid) = next.pop() {
        if found.insert(pid) {
            next.extend(children.get(&pid).into_iter().flatten());
        }
    }
    found.remove(&of.pid);
    let alive = |pid: &u32| all.get(pid).filter(|stat| !matches!(stat.state, 'Z' | 'X')).map(|stat| stat.id);
    std::iter::once(of.pid).chain(found).filter_map(|pid| alive(&pid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{said, scripted_cluster};

    fn stat(pid: u32, name: &str, state: char, parent: u32, start: u64) -> String {
        format!("{pid} ({name}) {state} {parent} 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {start} 9 10 11\n")
    }

    #[test]
    fn names_may_hold_anything() {
        for name in ["sh", "a b", "a) R 1 (b", ")", "(", "", ") S 1 1"] {
            let parsed = parse_stat(&stat(7, name, 'S', 3, 99)).unwrap();
            let id = ProcessId { pid: 7, start_ticks: 99 };
            assert_eq!(parsed, ProcessStat { id, name: name.to_owned(), state: 'S', parent: 3 });
        }
        for line in
            ["", "x", "7 (sh", "7 (sh) S", "7 sh) S 1", "x (sh) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", ")("]
        {
            assert_eq!(parse_stat(line), None, "{line:?}");
        }
    }

    #[test]
    fn this_process_is_read_as_it_is() {
        let parsed = parse_stat(&std::fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
        assert_eq!(parsed.id.pid, std::process::id());
        assert_eq!(parsed.parent, std::os::unix::process::parent_id());
        assert!(parsed.id.start_ticks > 0);
    }

    #[tokio::test]
    async fn states_by_number_and_start_time() {
        let (cluster, log) = scripted_cluster(&["n1"]);
        log.on("cat", said(&(stat(7, "db", 'T', 1, 99) + &stat(8, "db", 'S', 1, 100))));
        let id = |pid, start_ticks| ProcessId { pid, start_ticks };
        let asked = [id(8, 100), id(7, 99), id(8, 1), id(9, 5)];
        let states = process_states(&cluster.nodes[0], &asked).await.unwrap();
        assert_eq!(states, [Some('S'), Some('T'), None, None]);
        assert_eq!(process_id(&cluster.nodes[0], 8).await.unwrap(), Some(id(8, 100)));
        assert_eq!(process_id(&cluster.nodes[0], 9).await.unwrap(), None);
        log.clear();
        assert_eq!(process_states(&cluster.nodes[0], &[]).await.unwrap(), []);
        assert!(log.entries().is_empty());
    }

    #[test]
    fn families_without_zombies_strangers_and_loops() {
        let rows = [(5, 'S', 1), (6, 'S', 5), (7, 'Z', 5), (4, 'R', 6), (9, 'S', 1), (10, 'S', 11), (11, 'S', 10)];
        let text: String =
            rows.iter().map(|(pid, state, parent)| stat(*pid, "x", *state, *parent, 100 + u64::from(*pid))).collect();
        let all = parse_all(&said(&text));
        let pids = |pid: u32, start_ticks: u64| -> Vec<u32> {
            family(&all, ProcessId { pid, start_ticks }).iter().map(|id| id.pid).collect()
        };
        assert_eq!(pids(5, 105), [5, 4, 6]);
        assert_eq!(pids(10, 110), [10, 11]);
        assert_eq!(pids(5, 1), Vec::<u32>::new(), "another process of that number");
        assert_eq!(pids(99, 1), Vec::<u32>::new());
    }
}
