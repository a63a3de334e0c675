//! The processes of a lab are this program under other names: the names, and how they are started.

use std::env;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use serde::Serialize;

use crate::{cgroup, enter, holder, init, node, rootless_maps};

/// The holder; arguments: lab id, stage.
pub(crate) const HOLDER: &str = "schism-lab-holder";
/// A node's builder, which leaves the node's init behind; arguments: lab id, node.
pub(crate) const NODE: &str = "schism-lab-node";
/// A node's init; arguments: lab id, node.
pub(crate) const INIT: &str = "schism-lab-init";
/// A command's way into a lab; arguments: process whose namespaces to enter, stage, the command.
pub(crate) const EXEC: &str = "schism-lab-exec";

/// What stays outside of a user namespace and has its maps written; arguments: process, ids.
pub(crate) const MAPPER: &str = "schism-lab-mapper";
/// What tries whether an ordinary user can have a lab; arguments: stage.
pub(crate) const PROBE: &str = "schism-lab-probe";

/// What outlives a lab for a moment and removes its control groups; arguments: lab id.
pub(crate) const SWEEPER: &str = "schism-lab-sweeper";

/// The holder before it has namespaces.
pub(crate) const OUTER: &str = "outer";
/// The holder inside its namespaces.
pub(crate) const INNER: &str = "inner";

/// This program, wherever its file went meanwhile.
pub(crate) const SELF: &str = "/proc/self/exe";

/// Where commands are looked for, in holders and nodes.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether there is such a command.
pub(crate) fn is_on_path(command: &str) -> bool {
    PATH.split(':').any(|folder| Path::new(folder).join(command).exists())
}

/// Held for reading by who waits for children of its own, for writing while orphans are reaped: or the reaper would take
/// the children's ends from those who wait for them, and their numbers would be free for others.
static CHILDREN: RwLock<()> = RwLock::new(());

/// While this is held, every child of this process stays until it is waited for. To be held from before a child is
/// started until it was waited for, wherever orphans are reaped by another thread.
pub(crate) fn keep_children() -> RwLockReadGuard<'static, ()> {
    CHILDREN.read().unwrap_or_else(PoisonError::into_inner)
}

/// Reaps what has died, unless somebody waits for children now.
pub(crate) fn reap_orphans() {
    let Ok(_alone) = CHILDREN.try_write() else { return };
    while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive) {}
}

/// Does the work of a lab's process if this process was started as one, and does not return then. Call it first thing in
/// `main` (of tests too), before threads exist and before arguments are parsed.
pub fn holder_main_if_asked() {
    let mut args = env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    let name = args.next().unwrap_or_default();
    let code = match name.as_str() {
        HOLDER => holder::main(&args.collect::<Vec<_>>()),
        NODE => node::main(&args.collect::<Vec<_>>()),
        INIT => init::main(),
        EXEC => enter::exec_main(),
        MAPPER => rootless_maps::mapper_main(&args.collect::<Vec<_>>()),
        PROBE => rootless_maps::probe_main(&args.collect::<Vec<_>>()),
        SWEEPER => cgroup::sweeper_main(&args.collect::<Vec<_>>()),
        _ => return,
    };
    std::process::exit(code);
}

/// Starts this program (or the one at `program`) under another name, hands it a value through standard input, and reads
/// its standard output through a pipe. The environment is not passed on: it may hold secrets, and a node can read that of
/// its init.
pub(crate) fn start(program: &Path, name: &str, args: &[&str], plan: &impl Serialize) -> io::Result<Child> {
    let plan = serde_json::to_vec(plan).map_err(io::Error::other)?;
    let mut child = Command::new(program)
        .arg0(name)
        .args(args)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .current_dir("/")
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A child that dies early tells more through its standard output, or by its silence there.
        let _ = io::Write::write_all(&mut stdin, &plan);
    }
    Ok(child)
}

/// Goes on as another stage of the same: standard input and output stay, the answer is the new process's number.
pub(crate) fn hand_over(name: &str, args: &[&str]) -> io::Result<u32> {
    let child = Command::new(SELF).arg0(name).args(args).stderr(Stdio::null()).spawn()?;
    Ok(child.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_is_waited_for_is_not_reaped_by_others() {
        let _children = keep_children();
        let mut child = Command::new("true").spawn().unwrap();
        let stat = format!("/proc/{}/stat", child.id());
        let is_dead = || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "));
        while !is_dead() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        std::thread::spawn(reap_orphans).join().unwrap();
        assert!(is_dead(), "its end, and its number, are kept");
        assert!(child.wait().unwrap().success());
    }
}
