//! Control groups: limits of memory and processor time for each node, and a place where faults within a node can make
//! groups of their own.
//!
//! A node's processes are in a group `schism-lab.LAB.NODE` of each tree that has the controllers `memory` or `cpu`, and in
//! a cgroup namespace, so that the group is the root of what the node sees at `/sys/fs/cgroup`: with version 1 a folder a
//! controller, below the group of who made the lab (whose limits hold on); with version 2 one tree below the machine's
//! root, in which the node's processes are in `node`, as a group with controllers for others may hold none itself. Of
//! version 2 only what the machine's root hands on can be had; that is not changed here.
//!
//! Groups are folders that outlive processes, so a [`sweeper`](sweeper_main) outside the lab waits for the holder's end and
//! removes them. If it is killed too, the next lab that is made does. What a node wrote into memory (its root and its data
//! disk) counts for its limit. Commands that come from outside (`lab exec`) are in no group of the node.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};

use crate::error::{Failure, Step};
use crate::find;
use crate::sys::PidFd;

/// What is limited.
const CONTROLLERS: &[&str] = &["memory", "cpu"];
/// Where a node sees its groups.
const SEEN_AT: &str = "/sys/fs/cgroup";
/// With version 2: where a node's processes are within its group.
const LEAF: &str = "node";
/// In what pieces processor time is given.
const PERIOD_US: u64 = 100_000;
/// How long a group of processes that were killed may take to be empty.
const EMPTY_MAX: Duration = Duration::from_secs(20);
/// A node needs as much to come up.
pub(crate) const MEMORY_BYTES_MIN: u64 = 32 << 20;
/// Thousandths of a processor.
pub(crate) const CPU_MILLI_MIN: u64 = 10;

/// A tree of control groups of this machine, as far as it is of use here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tree {
    /// 1 or 2.
    version: u8,
    /// All that belong to it (`cpu`, `cpuacct`).
    controllers: Vec<String>,
    /// The folder in which groups are made.
    base: PathBuf,
}

impl Tree {
    fn group(&self, lab: &str, node: &str) -> PathBuf {
        self.base.join(format!("schism-lab.{lab}.{node}"))
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|own| own == controller)
    }
}

/// What a node may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) memory_bytes: Option<u64>,
    /// Thousandths of a processor.
    pub(crate) cpu_milli: Option<u64>,
}

/// The trees that can be used by this process.
fn trees() -> Vec<Tree> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut trees = parse(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
    for tree in trees.iter_mut().filter(|tree| tree.version == 2) {
        let handed_on = fs::read_to_string(tree.base.join("cgroup.subtree_control")).unwrap_or_default();
        tree.controllers = handed_on.split_whitespace().map(str::to_owned).collect();
    }
    trees.retain(|tree| CONTROLLERS.iter().any(|controller| tree.has(controller)));
    trees
}

/// From `mountinfo` and `cgroup` of a process (proc(5), cgroups(7)). Controllers of version 2 are not in there.
fn parse(mountinfo: &str, own: &str) -> Vec<Tree> {
    let mut seen = BTreeSet::new();
    let tree = |line: &str| -> Option<Tree> {
        let (left, right) = line.split_once(" - ")?;
        let mut fields = left.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let mut right = right.split(' ');
        let version = match right.next()? {
            "cgroup" => 1,
            "cgroup2" => 2,
            _ => return None,
        };
        let words = right.nth(1).unwrap_or_default().split(',').filter(|word| !matches!(*word, "rw" | "ro" | "xattr"));
        let controllers: Vec<String> = if version == 1 {
            words.filter(|word| !word.contains('=')).map(str::to_owned).collect()
        } else {
            Vec::new()
        };
        let base = if version == 1 { own_group(own, &controllers, root, point)? } else { PathBuf::from(point) };
        (!point.contains('\\')).then_some(Tree { version, controllers, base })
    };
    mountinfo.lines().filter_map(tree).filter(|tree| seen.insert((tree.version, tree.controllers.clone()))).collect()
}

/// The folder of the group in which this process is.
fn own_group(own: &str, controllers: &[String], root: &str, point: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (names, path) = (fields.next()?, fields.next()?);
        let is_it = !controllers.is_empty() && names.split(',').all(|name| controllers.iter().any(|own| own == name));
        is_it.then_some(path)
    })?;
    // Where another part of the tree is mounted than we are in, what is mounted is all we can reach.
    let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or_default();
    Some(Path::new(point).join(below.trim_start_matches('/')))
}

/// Makes the groups of a node, with its limits; what its init is to mount.
///
/// # Errors
/// If a limit was wished for and cannot be set, by name.
pub(crate) fn make(lab: &str, node: &str, limits: Limits) -> Result<Vec<Tree>, Failure> {
    let trees = trees();
    let wished = [("memory", limits.memory_bytes.is_some()), ("cpu", limits.cpu_milli.is_some())];
    for (controller, _) in wished.iter().filter(|(_, wished)| *wished) {
        if !trees.iter().any(|tree| tree.has(controller)) {
            let reason = format!("this machine hands on no control groups with the controller `{controller}`");
            return Err(Failure::new("limiting a node", reason).hint("Leave the limit out"));
        }
    }
    let must = wished.iter().any(|(_, wished)| *wished);
    let mut made = Vec::new();
    for tree in trees {
        let group = tree.group(lab, node);
        let done = fresh(&group).and_then(|()| limit(&tree, &group, limits));
        match done {
            Ok(()) => made.push(tree),
            Err(error) if must => return Err(Failure::new(format!("limiting a node by {}", group.display()), error)),
            // A read-only view, as in containers: then nodes have none.
            Err(_) => remove_tree(&group),
        }
    }
    Ok(made)
}

fn fresh(group: &Path) -> io::Result<()> {
    remove_tree(group);
    fs::create_dir(group)
}

fn limit(tree: &Tree, group: &Path, limits: Limits) -> io::Result<()> {
    let set = |file: &str, value: String| fs::write(group.join(file), value);
    if let Some(bytes) = limits.memory_bytes.filter(|_| tree.has("memory")) {
        if tree.version == 1 {
            set("memory.limit_in_bytes", bytes.to_string())?;
            // With swap, where that is counted.
            let _ = set("memory.memsw.limit_in_bytes", bytes.to_string());
        } else {
            set("memory.max", bytes.to_string())?;
            let _ = set("memory.swap.max", "0".to_owned());
        }
    }
    if let Some(milli) = limits.cpu_milli.filter(|_| tree.has("cpu")) {
        let quota = milli.saturating_mul(PERIOD_US) / 1000;
        if tree.version == 1 {
            set("cpu.cfs_period_us", PERIOD_US.to_string())?;
            set("cpu.cfs_quota_us", quota.to_string())?;
        } else {
            set("cpu.max", format!("{quota} {PERIOD_US}"))?;
        }
    }
    if tree.version == 2 {
        fs::create_dir(group.join(LEAF))?;
    }
    Ok(())
}

/// Puts this process, and all that it will start, into the node's groups, those that there are, and makes them the root of
/// what it sees.
pub(crate) fn enter(lab: &str, node: &str) -> Result<(), Failure> {
    let step = "entering the node's control groups";
    let trees: Vec<Tree> = trees().into_iter().filter(|tree| tree.group(lab, node).is_dir()).collect();
    for tree in &trees {
        fs::write(tree.group(lab, node).join("cgroup.procs"), "0").step(step)?;
    }
    if trees.is_empty() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWCGROUP).step(step)?;
    for tree in trees.iter().filter(|tree| tree.version == 2) {
        let group = tree.group(lab, node);
        fs::write(group.join(LEAF).join("cgroup.procs"), "0").step(step)?;
        let on: Vec<String> = tree.controllers.iter().map(|controller| format!("+{controller}")).collect();
        fs::write(group.join("cgroup.subtree_control"), on.join(" ")).step(step)?;
    }
    Ok(())
}

/// Shows a node its groups (called in it).
pub(crate) fn show(trees: &[Tree]) -> Result<(), Failure> {
    let step = "mounting the node's control groups";
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    if trees.iter().any(|tree| tree.version == 2) {
        let at = if trees.len() == 1 { SEEN_AT.to_owned() } else { format!("{SEEN_AT}/unified") };
        if trees.len() > 1 {
            tmpfs(step)?;
            fs::create_dir(&at).step(step)?;
        }
        mount(Some("cgroup2"), at.as_str(), Some("cgroup2"), flags, None::<&str>).step(step)?;
    } else if !trees.is_empty() {
        tmpfs(step)?;
    }
    for tree in trees.iter().filter(|tree| tree.version == 1) {
        let names = tree.controllers.join(",");
        let at = format!("{SEEN_AT}/{names}");
        fs::create_dir(&at).step(step)?;
        mount(Some("cgroup"), at.as_str(), Some("cgroup"), flags, Some(names.as_str())).step(step)?;
    }
    Ok(())
}

fn tmpfs(step: &str) -> Result<(), Failure> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("cgroups"), SEEN_AT, Some("tmpfs"), flags, Some("mode=755,size=64k")).step(step)
}

/// Removes the groups of a node that is dead.
pub(crate) fn remove(trees: &[Tree], lab: &str, node: &str) {
    trees.iter().for_each(|tree| remove_tree(&tree.group(lab, node)));
}

/// Removes a group and those in it. One that still has processes stays.
fn remove_tree(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

/// The groups of labs there are, with their labs.
fn groups() -> Vec<(String, PathBuf)> {
    let folders = trees().into_iter().flat_map(|tree| fs::read_dir(tree.base).into_iter().flatten().flatten());
    let named = folders.filter_map(|folder| {
        let name = folder.file_name().into_string().ok()?;
        let (lab, _) = name.strip_prefix("schism-lab.")?.split_once('.')?;
        Some((lab.to_owned(), folder.path()))
    });
    named.collect()
}

/// Removes the empty groups of labs whose holders are dead.
pub(crate) fn sweep_dead() {
    let all = groups();
    if all.is_empty() {
        return;
    }
    // Asked afterwards: a lab that came up meanwhile has a holder.
    let living: BTreeSet<String> = find::holders().into_iter().map(|holder| holder.id).collect();
    all.iter().filter(|(lab, _)| !living.contains(lab)).for_each(|(_, group)| remove_tree(group));
}

/// Whether there is anything to be swept later.
pub(crate) fn are_there() -> bool {
    !trees().is_empty()
}

/// The sweeper: learns the holder's number from standard input, waits for its end, and removes the groups of its lab.
pub(crate) fn sweeper_main(args: &[String]) -> i32 {
    let [lab, ..] = args else { return 1 };
    let mut said = String::new();
    if io::stdin().lock().read_to_string(&mut said).is_err() {
        return 1;
    }
    if let Ok(pid) = said.trim().parse::<u32>()
        && let Ok(holder) = PidFd::open(pid)
        && find::holders().iter().any(|seen| seen.holder.pid == pid && seen.id == *lab)
    {
        while !holder.wait(Duration::from_secs(3600)).unwrap_or(true) {}
    }
    // The holder is the first process of a pid namespace, and so ended after all others in it.
    let begin = Instant::now();
    while begin.elapsed() < EMPTY_MAX {
        let own: Vec<PathBuf> = groups().into_iter().filter(|(of, _)| of == lab).map(|(_, group)| group).collect();
        if own.is_empty() {
            break;
        }
        own.iter().for_each(|group| remove_tree(group));
        thread::sleep(Duration::from_millis(5));
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "30 20 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
        31 30 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n\
        32 30 0:27 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        33 30 0:27 /docker/x /mnt/again rw - cgroup cgroup rw,memory\n\
        34 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
        35 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn trees_are_found_where_they_are_and_we_are() {
        let own = "5:cpu,cpuacct:/a/b\n4:memory:/docker/x/c\n1:name=systemd:/z\n0::/u\n";
        let bases: Vec<(u8, String, String)> = parse(ONE, own)
            .into_iter()
            .map(|tree| (tree.version, tree.controllers.join(","), tree.base.display().to_string()))
            .collect();
        let tree = |version, controllers: &str, base: &str| (version, controllers.to_owned(), base.to_owned());
        assert_eq!(
            bases,
            [
                tree(1, "cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/a/b"),
                tree(1, "memory", "/sys/fs/cgroup/memory/c"),
                tree(2, "", "/sys/fs/cgroup/unified"),
            ]
        );
        // In a part of the tree that is not mounted here.
        assert!(parse(ONE, "4:memory:/elsewhere\n").iter().any(|tree| tree.base == Path::new("/sys/fs/cgroup/memory")));
        assert!(parse("garbage\n1 2 - cgroup\n", own).is_empty());
    }

    #[test]
    fn a_group_says_whose_it_is() {
        let tree = Tree { version: 1, controllers: vec!["cpu".to_owned()], base: "/x".into() };
        assert_eq!(tree.group("l1", "n1"), Path::new("/x/schism-lab.l1.n1"));
        assert!(tree.has("cpu") && !tree.has("memory"));
    }
}
