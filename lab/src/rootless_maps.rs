//! Going into a user namespace of one's own, with all the users that nodes need; and trying whether this kernel lets one.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, geteuid, getgid, getuid, setgroups, setresgid, setresuid};

use crate::error::{Failure, LabError, Step};
use crate::net;
use crate::process::{self, INNER, MAPPER, OUTER, PROBE, SELF};
use crate::rootless::{self, Range};
use crate::wire::{Message, Reader};

/// How long the maps may take to be written.
const MAPS_MAX: Duration = Duration::from_secs(10);

/// How long trying may take.
const PROBE_MAX: Duration = Duration::from_secs(15);

/// Moves this process, which must have one thread, into a new user namespace in which it is root and all users of nodes
/// are there. Does nothing for who is root already.
pub(crate) fn become_root() -> Result<(), Failure> {
    if geteuid().is_root() {
        return Ok(());
    }
    let step = "making a user namespace";
    let (users, groups) = rootless::ranges()
        .ok_or_else(|| Failure::new(step, "/etc/subuid or /etc/subgid has no line of enough ids for this user"))?;
    // From outside of the namespace alone can more be mapped than oneself, so a helper stays there.
    let mut helper = Command::new(SELF)
        .arg0(MAPPER)
        .arg(std::process::id().to_string())
        .args([users.first, users.count, groups.first, groups.count].map(|number| number.to_string()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .step(step)?;
    let (stdin, stdout) = (helper.stdin.take(), helper.stdout.take());
    let (mut stdin, stdout) = stdin.zip(stdout).ok_or_else(|| Failure::new(step, "no pipe"))?;
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|error| Failure::new(step, error).hint(rootless::kernel_hint()))?;
    stdin.write_all(b"now").step(step)?;
    drop(stdin);
    let answer = Reader::new(stdout).next(Instant::now() + MAPS_MAX).step(step)?;
    let _ = helper.wait();
    match answer {
        Message::Failed(failure) => return Err(failure),
        Message::Ready | Message::Pid(_) => {}
    }
    // AppArmor lets the namespace be made, and nothing be done in it.
    be_root_within()
        .map_err(|error| Failure::new("becoming root in a user namespace", error).hint(rootless::kernel_hint()))
}

/// Becomes the root of the user namespace in which this process is: who came from outside is nobody there.
pub(crate) fn be_root_within() -> nix::Result<()> {
    setgroups(&[])?;
    let (group, user) = (Gid::from_raw(0), Uid::from_raw(0));
    setresgid(group, group, group)?;
    setresuid(user, user, user)
}

/// The helper that stays outside: once it hears that the namespace is there, it has the maps written. Arguments: process,
/// first user and count, first group and count.
pub(crate) fn mapper_main(args: &[String]) -> i32 {
    let mut said = Vec::new();
    let heard = std::io::stdin().lock().read_to_end(&mut said);
    if heard.is_err() || said.is_empty() {
        // The one who asked ended without a namespace, and said why.
        return 1;
    }
    let done = match args.iter().map(|arg| arg.parse().ok()).collect::<Option<Vec<u32>>>().as_deref() {
        Some([pid, user, users, group, groups]) => {
            let users = Range { first: *user, count: *users };
            let groups = Range { first: *group, count: *groups };
            map("newuidmap", *pid, getuid().as_raw(), users)
                .and_then(|()| map("newgidmap", *pid, getgid().as_raw(), groups))
        }
        _ => Err(Failure::new("mapping users", "wrong arguments")),
    };
    let (message, code) = match done {
        Ok(()) => (Message::Ready, 0),
        Err(failure) => (Message::Failed(failure), 1),
    };
    if message.send().is_ok() { code } else { 1 }
}

/// Has this user be root there, and its further ones be all others.
fn map(tool: &str, pid: u32, own: u32, further: Range) -> Result<(), Failure> {
    let step = format!("running `{tool}`");
    let numbers = [pid, 0, own, 1, 1, further.first, further.count].map(|number| number.to_string());
    let mut command = Command::new(tool);
    let output = command
        .args(numbers)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::new(&step, error).hint("Install the package uidmap"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(step, said.trim()).hint(
        "It must be setuid root (reinstall the package uidmap), on a mount that is not `nosuid`, and started by a \
         process without `no_new_privs`",
    ))
}

/// Tries whether this kernel lets an ordinary user have what a lab needs: a user namespace with maps, the other namespaces,
/// tmpfs, proc, overlay and a bridge in them. Takes some tens of milliseconds and leaves nothing. `exe` as for
/// [`crate::up`].
///
/// # Errors
/// [`LabError::NoMaps`], [`LabError::Tool`], or [`LabError::Up`] with what the kernel refused.
pub fn probe(exe: &Path) -> Result<(), LabError> {
    rootless::rights()?;
    if !process::is_on_path("ip") {
        return Err(LabError::Tool { tool: "ip", package: "iproute2" });
    }
    let step = "trying what a lab needs";
    let failed = |reason: String| LabError::Up(Failure::new(step, reason));
    let mut child = process::start(exe, PROBE, &[OUTER], &()).map_err(|error| failed(error.to_string()))?;
    let pipe = child.stdout.take().ok_or_else(|| failed("no pipe".to_owned()))?;
    let answer = Reader::new(pipe).next(Instant::now() + PROBE_MAX);
    if answer.is_err() {
        let _ = child.kill();
    }
    let _ = child.wait();
    match answer {
        Ok(Message::Failed(failure)) => Err(LabError::Up(failure)),
        Ok(_) => Ok(()),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Either stage of trying.
pub(crate) fn probe_main(args: &[String]) -> i32 {
    let done = match args {
        [stage] if stage == OUTER => become_root().and_then(|()| {
            let all = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
            let step = "making the lab's namespaces";
            unshare(all).map_err(|error| Failure::new(step, error).hint(rootless::kernel_hint()))?;
            process::hand_over(PROBE, &[INNER]).map(|_| None).step("starting a process in them")
        }),
        _ => try_inside().map(|()| Some(Message::Ready)),
    };
    match done.unwrap_or_else(|failure| Some(Message::Failed(failure))) {
        // The inner one speaks.
        None => 0,
        Some(message) => i32::from(message.send().is_err()),
    }
}

fn try_inside() -> Result<(), Failure> {
    let none: Option<&str> = None;
    let refused = |step: &str| {
        let step = step.to_owned();
        move |error: nix::Error| Failure::new(step, error).hint(rootless::kernel_hint())
    };
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(refused("making mounts private"))?;
    mount(Some("lab"), "/run", Some("tmpfs"), MsFlags::MS_NODEV, Some("mode=755"))
        .map_err(refused("mounting a tmpfs"))?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).map_err(refused("mounting /proc"))?;
    for folder in ["/run/lower", "/run/upper", "/run/work", "/run/merged"] {
        fs::create_dir(folder).step("making folders in a tmpfs")?;
    }
    overlay("/run/lower", "/run/upper", "/run/work", "/run/merged", MsFlags::empty())
        .map_err(refused("mounting an overlay"))?;
    net::bridge_in_a_hurry()
}

/// Mounts an overlay. Within a user namespace its notes are in `user.` attributes (since 5.11; those of `trusted.` are the
/// machine's root's), which tmpfs has since 6.6: before, a folder that was removed cannot be made again, in some cases.
pub(crate) fn overlay(lower: &str, upper: &str, work: &str, target: &str, flags: MsFlags) -> nix::Result<()> {
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    let lay = |options: &str| mount(Some("node"), target, Some("overlay"), flags, Some(options));
    if rootless::is_mapped() && lay(&format!("{options},userxattr")).is_ok() {
        return Ok(());
    }
    lay(&options)
}
