//! Finding labs: by reading `/proc`, as there is no state on disk that could be out of date.

use std::fs;

use crate::error::LabError;
use crate::holder::STATE;
use crate::lab::{Holder, Lab, LabNode};
use crate::process::{HOLDER, INIT, INNER};

/// A process of a lab.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    pid: u32,
    parent: u32,
    args: Vec<String>,
}

/// A holder, ready or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenHolder {
    pub(crate) id: String,
    pub(crate) holder: Holder,
}

/// All labs of this machine that are ready, oldest first. Labs of other users are not seen without root.
pub fn list() -> Vec<Lab> {
    let seen = scan();
    let mut labs: Vec<Lab> = seen.iter().filter_map(holder_of).filter_map(|holder| load(&holder, &seen)).collect();
    labs.sort_by(|a, b| (a.created_unix_ms, &a.id).cmp(&(b.created_unix_ms, &b.id)));
    labs
}

/// The lab with this id, or the newest that belongs to the run of this name.
///
/// # Errors
/// [`LabError::NotFound`], with the ids of those that there are; [`LabError::Failed`] if it is another user's.
pub fn find(id_or_run: &str) -> Result<Lab, LabError> {
    let labs = list();
    let by_id = labs.iter().find(|lab| lab.id == id_or_run);
    let by_run = || labs.iter().rev().find(|lab| lab.run.as_deref() == Some(id_or_run));
    if let Some(lab) = by_id.or_else(by_run) {
        return Ok(lab.clone());
    }
    let of_others = holders().into_iter().any(|seen| seen.id == id_or_run && !is_ours(&seen.holder));
    Err(if of_others {
        let reason = "it is another user's: use sudo".to_owned();
        LabError::Failed { id: id_or_run.to_owned(), what: "reading what it is", reason }
    } else {
        LabError::NotFound { wanted: id_or_run.to_owned(), known: labs.iter().map(|lab| lab.id.clone()).collect() }
    })
}

/// The lab with this id, as it is now.
pub(crate) fn read(id: &str) -> Option<Lab> {
    list().into_iter().find(|lab| lab.id == id)
}

/// All holders, those that are still coming up included.
pub(crate) fn holders() -> Vec<SeenHolder> {
    scan().iter().filter_map(holder_of).collect()
}

/// Whether this user may end it.
pub(crate) fn is_ours(holder: &Holder) -> bool {
    let user = nix::unistd::geteuid();
    let status = fs::read_to_string(format!("/proc/{}/status", holder.pid)).unwrap_or_default();
    let owner = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next());
    user.is_root() || owner.and_then(|owner| owner.parse().ok()) == Some(user.as_raw())
}

/// Whether that very process lives and does its work. One that is ending has lost its command line before its number.
pub(crate) fn is_alive(holder: &Holder) -> bool {
    let named = || fs::read(format!("/proc/{}/cmdline", holder.pid)).is_ok_and(|line| !line.is_empty());
    is_there(holder) && named() && is_there(holder)
}

/// Whether that very process is there, living, ending, or dead and not yet reaped.
pub(crate) fn is_there(holder: &Holder) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", holder.pid)).unwrap_or_default();
    start_ticks(&stat) == Some(holder.start_ticks)
}

/// The start time in `/proc/PID/stat` (proc(5)). The name, in brackets, may hold anything: fields count from its end.
fn start_ticks(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// The processes of labs: named as such, and each the first of a pid namespace within ours. The latter
/// tells a holder from the process that started it, and a node's init from a process that took its name.
fn scan() -> Vec<Seen> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter_map(look_at).collect()
}

fn look_at(pid: u32) -> Option<Seen> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    if !line.starts_with(HOLDER.as_bytes()) && !line.starts_with(INIT.as_bytes()) {
        return None;
    }
    let args: Vec<String> =
        line.split(|byte| *byte == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let numbers: Vec<&str> = field("NSpid")?.split_whitespace().collect();
    let first_of_inner_namespace = numbers.len() >= 2 && numbers.last() == Some(&"1");
    first_of_inner_namespace.then_some(Seen { pid, parent: field("PPid")?.trim().parse().ok()?, args })
}

fn holder_of(seen: &Seen) -> Option<SeenHolder> {
    let [name, id, stage, ..] = seen.args.as_slice() else { return None };
    if name != HOLDER || stage != INNER {
        return None;
    }
    let stat = fs::read_to_string(format!("/proc/{}/stat", seen.pid)).ok()?;
    Some(SeenHolder { id: id.clone(), holder: Holder { pid: seen.pid, start_ticks: start_ticks(&stat)? } })
}

/// Reads what the holder wrote, through its root. What it calls its processes is said in our numbers.
fn load(seen: &SeenHolder, all: &[Seen]) -> Option<Lab> {
    let text = fs::read(format!("/proc/{}/root{STATE}/lab.json", seen.holder.pid)).ok()?;
    let mut lab: Lab = serde_json::from_slice(&text).ok()?;
    // Read between two looks at the same process, so it was that process's.
    if !lab.is_understood() || lab.id != seen.id || !is_alive(&seen.holder) {
        return None;
    }
    lab.holder = seen.holder;
    for node in &mut lab.nodes {
        node.init_pid = init_of(node, seen, all).unwrap_or(0);
    }
    Some(lab)
}

fn init_of(node: &LabNode, of: &SeenHolder, all: &[Seen]) -> Option<u32> {
    let is_its = |seen: &&Seen| {
        let named = matches!(seen.args.as_slice(), [name, id, its, ..]
            if name == INIT && *id == of.id && *its == node.name);
        named && seen.parent == of.holder.pid
    };
    all.iter().find(is_its).map(|seen| seen.pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_odd_names() {
        let fields: Vec<String> = (4..=52).map(|number| number.to_string()).collect();
        let stat = format!("17 (a) R 9 (b)) S {}", fields.join(" "));
        assert_eq!(start_ticks(&stat), Some(22));
        for torn in ["", "17 (x", "17 (x)", "17 (x) S 1 2"] {
            assert_eq!(start_ticks(torn), None, "{torn}");
        }
    }

    #[test]
    fn this_process_is_alive_and_not_a_holder() {
        let pid = std::process::id();
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let start_ticks = start_ticks(&stat).unwrap();
        assert!(is_alive(&Holder { pid, start_ticks }));
        assert!(!is_alive(&Holder { pid, start_ticks: start_ticks + 1 }));
        assert_eq!(look_at(pid), None);
    }

    #[test]
    fn a_lab_that_is_not_there_is_not_found() {
        match find("no-such-lab") {
            Err(LabError::NotFound { wanted, .. }) => assert_eq!(wanted, "no-such-lab"),
            other => panic!("{other:?}"),
        }
    }
}
