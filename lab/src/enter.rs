//! Ways into a lab: its network for the controller, a command on a node, and staying attached.

use std::env;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use crate::error::LabError;
use crate::find;
use crate::holder::STATE;
use crate::lab::Lab;
use crate::process::{EXEC, PATH, SELF};
use crate::serve::COUNTED;
use crate::spec::LabKind;
use crate::{rootless_maps, sys, vms};

/// Keeps a lab's holder from counting down its lease, until this is dropped or the process dies, however it dies.
#[derive(Debug)]
#[must_use = "the lab's lease runs down while nobody is attached"]
pub struct Attachment {
    _connection: UnixStream,
}

/// Attaches this process to a lab. Works from any network namespace.
///
/// # Errors
/// [`LabError::Gone`] if its holder has ended; [`LabError::Failed`] if the holder does not answer.
pub fn attach(lab: &Lab) -> Result<Attachment, LabError> {
    let connection = counted(lab);
    // Asked afterwards: then it was this holder that answered.
    let gone = !find::is_alive(&lab.holder);
    match connection {
        Ok(connection) if !gone => Ok(Attachment { _connection: connection }),
        // A holder that is ready listens until it ends.
        Err(error) if !gone && !means_gone(&error) => Err(failed(lab, "attaching to it", error)),
        _ => Err(LabError::Gone { id: lab.id.clone() }),
    }
}

fn means_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    matches!(error.kind(), NotFound | ConnectionRefused | ConnectionReset | UnexpectedEof)
}

fn counted(lab: &Lab) -> io::Result<UnixStream> {
    let mut connection = UnixStream::connect(format!("/proc/{}/root{STATE}/attach", lab.holder.pid))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut answer = [0; COUNTED.len()];
    connection.read_exact(&mut answer)?;
    Ok(connection)
}

/// Moves this process into the lab's network, where the controller has the address 10.77.0.1. There is no way back, and
/// no way from there to other networks; files and processes stay the machine's. An ordinary user is root in the lab's user
/// namespace then: files that are written belong to the user still, as seen from outside.
///
/// # Errors
/// [`LabError::Threads`] if there is more than one thread; [`LabError::Gone`]; [`LabError::Failed`].
pub fn enter(lab: &Lab) -> Result<(), LabError> {
    let count = fs::read_dir("/proc/self/task").map(|tasks| tasks.count()).unwrap_or(1);
    if count > 1 {
        return Err(LabError::Threads { count });
    }
    // Who made the lab as an ordinary user becomes root in its user namespace; root is that everywhere.
    let user = if nix::unistd::geteuid().is_root() { Ok(None) } else { users_of(lab.holder.pid) };
    let network = File::open(format!("/proc/{}/ns/net", lab.holder.pid));
    // The descriptor holds the namespace: if the holder lives after it was opened, it is the holder's.
    if !find::is_alive(&lab.holder) {
        return Err(LabError::Gone { id: lab.id.clone() });
    }
    let enter = || -> io::Result<()> {
        let (user, network) = (user?, network?);
        if let Some(user) = user {
            // The user is root there without further ado, and keeps its groups, to which files may belong.
            setns(user, CloneFlags::CLONE_NEWUSER)?;
        }
        Ok(setns(network, CloneFlags::CLONE_NEWNET)?)
    };
    enter().map_err(|error| failed(lab, "entering its network", error))
}

/// The user namespace of a process, where it is another than ours.
fn users_of(pid: impl Display) -> io::Result<Option<File>> {
    let theirs = format!("/proc/{pid}/ns/user");
    let is_another = fs::read_link(&theirs)? != fs::read_link("/proc/self/ns/user")?;
    is_another.then(|| File::open(theirs)).transpose()
}

/// Runs a command, with this process's standard input, output and error, and waits for it: on a node (in all its
/// namespaces, as root, in `/root`; on a machine through `ssh`, whose own failure is the status 255), or without one in
/// the controller's network only. Returns its exit status; 128 + n where signal n ended it; 127 if there is no such
/// command. Works from any thread of a program whose `main` begins with [`crate::holder_main_if_asked`].
///
/// # Errors
/// [`LabError::Gone`], [`LabError::NoSuchNode`]; [`LabError::Failed`] if nothing could be started.
pub fn exec(lab: &Lab, node: Option<&str>, argv: &[String]) -> Result<i32, LabError> {
    // As it is now: a node's first process may be another than when the lab was found.
    let gone = || LabError::Gone { id: lab.id.clone() };
    let now = find::read(&lab.id).filter(|now| now.holder == lab.holder).ok_or_else(gone)?;
    let (pid, in_node, argv) = match node {
        None => (now.holder.pid, false, argv.to_vec()),
        Some(name) => {
            let known = now.nodes.iter().map(|node| node.name.clone()).collect();
            let no_such = || LabError::NoSuchNode { id: lab.id.clone(), node: name.to_owned(), known };
            let node = now.nodes.iter().find(|node| node.name == name).ok_or_else(no_such)?;
            match (now.kind, node.init_pid) {
                (LabKind::Vms, _) => (now.holder.pid, false, vms::exec_argv(&now, node, argv)),
                (LabKind::Namespaces, 0) => {
                    return Err(failed(lab, "entering a node", io::Error::other(format!("{name} is off"))));
                }
                (LabKind::Namespaces, pid) => (pid, true, argv.to_vec()),
            }
        }
    };
    let status = Command::new(SELF)
        .arg0(EXEC)
        .arg(pid.to_string())
        .arg(if in_node { "node" } else { "network" })
        .args(argv)
        .status()
        .map_err(|error| failed(lab, "starting a command", error))?;
    Ok(code(status))
}

fn code(status: std::process::ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn failed(lab: &Lab, what: &'static str, error: impl ToString) -> LabError {
    LabError::Failed { id: lab.id.clone(), what, reason: error.to_string() }
}

/// The process that [`exec`] starts: enters, runs the command, ends with its status. It speaks like a shell, as it is
/// one's stand-in.
pub(crate) fn exec_main() -> i32 {
    let mut args = env::args_os().skip(1);
    let (pid, place) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    let Some(program) = args.next() else { return say("no command was given", 125) };
    let in_node = place == "node";
    if let Err(error) = enter_all(&pid.to_string_lossy(), in_node) {
        return say(&format!("entering: {error}"), 125);
    }
    let mut command = Command::new(&program);
    command.args(args);
    if in_node {
        let term = env::var_os("TERM").unwrap_or_else(|| "dumb".into());
        command.env_clear().env("PATH", PATH).env("HOME", "/root").env("TERM", term).current_dir("/root");
    }
    match command.status() {
        Ok(status) => code(status),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            say(&format!("{}: not found", program.to_string_lossy()), 127)
        }
        Err(error) => say(&format!("{}: {error}", program.to_string_lossy()), 126),
    }
}

/// All descriptors are opened first, as entering the mount namespace changes what `/proc` shows.
fn enter_all(pid: &str, in_node: bool) -> io::Result<()> {
    let mut wanted = vec![("net", CloneFlags::CLONE_NEWNET)];
    if in_node {
        wanted.extend([
            ("uts", CloneFlags::CLONE_NEWUTS),
            ("ipc", CloneFlags::CLONE_NEWIPC),
            ("pid", CloneFlags::CLONE_NEWPID),
            ("mnt", CloneFlags::CLONE_NEWNS),
        ]);
    }
    let opened: Vec<(File, CloneFlags)> = wanted
        .into_iter()
        .map(|(name, flag)| Ok((File::open(format!("/proc/{pid}/ns/{name}"))?, flag)))
        .collect::<io::Result<_>>()?;
    if let Some(users) = users_of(pid)? {
        setns(users, CloneFlags::CLONE_NEWUSER)?;
        rootless_maps::be_root_within()?;
    }
    for (namespace, flag) in opened {
        setns(namespace, flag)?;
    }
    if in_node { sys::drop_capabilities() } else { Ok(()) }
}

fn say(text: &str, code: i32) -> i32 {
    use std::io::Write;
    let _ = writeln!(io::stderr().lock(), "schism lab exec: {text}");
    code
}
