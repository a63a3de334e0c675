//! The processes of a database on this node, new ones included.
//!
//! To a family belong: the processes that were named (by number and start time); all that descend from one that belongs; and
//! every process that runs the program of one that was named: the same executable file, and where that is an interpreter
//! or a shell (which runs other things too) the same command line as well. So a database that was killed and started again
//! belongs, and so does a child that it forks. Never: the first process, this program and its parents, and sshd.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;

use schism_cluster::ProcessId;
use schism_cluster::process::{ProcessStat, parse_stat};
use serde::{Deserialize, Serialize};

/// Programs that run others' programs (their names may have more behind: `python3.11`).
const INTERPRETERS: &[&str] = &[
    "sh", "dash", "bash", "zsh", "busybox", "perl", "python", "ruby", "node", "java", "php", "beam", "erl", "tclsh",
    "lua", "sleep", "env", "setsid", "nohup", "qemu",
];

/// The program of a process that was named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Program {
    /// The device of its file.
    pub device: u64,
    /// The number of its file.
    pub inode: u64,
    /// The command line that must be the same, words ended by NUL; none where the file says enough.
    pub command: Option<String>,
}

/// Who belongs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Family {
    /// Named.
    pub roots: Vec<ProcessId>,
    /// What they run.
    pub programs: BTreeSet<Program>,
}

impl Family {
    /// The family of these processes; those that are gone give no program, nor do those that run this very one.
    pub fn of(roots: &[ProcessId]) -> Family {
        let living = roots.iter().filter(|root| start_ticks(root.pid) == Some(root.start_ticks));
        let own = file(std::process::id());
        let is_ours = |program: &Program| own == Some((program.device, program.inode));
        let programs = living.filter_map(|root| program(root.pid)).filter(|program| !is_ours(program)).collect();
        Family { roots: roots.to_vec(), programs }
    }

    /// Whether any of the named processes is still there.
    pub fn lives(&self) -> bool {
        self.roots.iter().any(|root| start_ticks(root.pid) == Some(root.start_ticks))
    }

    /// Who of all belongs, in the order of their numbers.
    pub fn members(&self, all: &[ProcessStat]) -> BTreeSet<ProcessId> {
        let by_number: BTreeMap<u32, &ProcessStat> = all.iter().map(|seen| (seen.id.pid, seen)).collect();
        let own = ancestors(&by_number, std::process::id());
        let named = |seen: &ProcessStat| self.roots.contains(&seen.id) || self.runs(seen.id.pid);
        let heads: BTreeSet<u32> = all.iter().filter(|seen| named(seen)).map(|seen| seen.id.pid).collect();
        let belongs = |seen: &&ProcessStat| {
            seen.id.pid > 1
                && !own.contains(&seen.id.pid)
                && !matches!(seen.state, 'Z' | 'X' | 'x')
                && ancestors(&by_number, seen.id.pid).iter().any(|pid| heads.contains(pid) && !own.contains(pid))
                && !is_sshd(seen.id.pid)
        };
        all.iter().filter(belongs).map(|seen| seen.id).collect()
    }

    fn runs(&self, pid: u32) -> bool {
        let Some((device, inode)) = file(pid) else { return false };
        let of_that_file = |program: &&Program| (program.device, program.inode) == (device, inode);
        self.programs
            .iter()
            .filter(of_that_file)
            .any(|program| program.command.is_none() || program.command == command(pid))
    }
}

/// All processes of this node. About 20 microseconds for each.
pub fn all() -> Vec<ProcessStat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let mut all: Vec<ProcessStat> = entries.filter_map(number).filter_map(seen).collect();
    all.sort_by_key(|seen| seen.id);
    all
}

/// When that process began; `None` if there is none.
pub fn start_ticks(pid: u32) -> Option<u64> {
    seen(pid).map(|seen| seen.id.start_ticks)
}

/// Whether a thread of a process is no more, or about to be.
pub fn is_gone(pid: u32, tid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).unwrap_or_default();
    matches!(stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()), None | Some('Z' | 'X' | 'x'))
}

fn seen(pid: u32) -> Option<ProcessStat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The process itself, its parent, and so on.
fn ancestors(by_number: &BTreeMap<u32, &ProcessStat>, pid: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut next = Some(pid);
    while let Some(pid) = next.filter(|pid| *pid > 1 && found.insert(*pid)) {
        next = by_number.get(&pid).map(|seen| seen.parent);
    }
    found
}

fn file(pid: u32) -> Option<(u64, u64)> {
    let meta = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((meta.dev(), meta.ino()))
}

fn command(pid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn program(pid: u32) -> Option<Program> {
    let (device, inode) = file(pid)?;
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let name = path.file_name()?.to_string_lossy().into_owned();
    let shared = INTERPRETERS.iter().any(|known| {
        let rest = name.strip_prefix(known);
        rest.is_some_and(|rest| rest.chars().next().is_none_or(|next| !next.is_ascii_alphabetic()))
    });
    Some(Program { device, inode, command: if shared { command(pid) } else { None } })
}

fn is_sshd(pid: u32) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.starts_with("sshd")
}
