//! A node's init: the first process of its pid namespace. Builds the node from inside, runs what shall run at every boot,
//! keeps sshd running, reaps.
//!
//! Signals from inside the node cannot hurt it: the kernel keeps from a namespace's first process every signal that it
//! has no handler for, SIGKILL included, unless it comes from outside.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::error::{Failure, Step};
use crate::node::{NodePlan, make_root};
use crate::wire::{self, Message};
use crate::{files, sshd, sys, users};

/// How long to wait before a sshd that died is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(200);

/// What is executable here is run at every boot of the node.
const BOOT_DIR: &str = "/var/lib/schism/boot.d";
/// What those say.
const BOOT_LOG: &str = "/var/log/schism-boot.log";

/// Never returns but where the node could not be built.
pub(crate) fn main() -> i32 {
    let _ = nix::sys::prctl::set_name(c"schism-node");
    match build() {
        Ok(sshd) => {
            if Message::Ready.send().is_err() || sys::detach_standard_files().is_err() {
                return 1;
            }
            keep(sshd)
        }
        Err(failure) => {
            let _ = Message::Failed(failure).send();
            1
        }
    }
}

fn build() -> Result<Pid, Failure> {
    let plan: NodePlan = wire::receive().step("reading the node's plan")?;
    make_root(&plan)?;
    sshd::hide_keys()?;
    if plan.first_boot {
        files::write(&plan.name, &plan.hosts)?;
        users::write(&plan.users, &plan.login_key)?;
    }
    sshd::prepare(&plan.host_key, plan.users.iter().any(|user| user.password.is_some()), plan.sshd_penalties)?;
    sys::drop_capabilities().step("taking from the node what is the machine's")?;
    run_boot_scripts();
    start_sshd().step("starting sshd")
}

/// Starts every executable file in [`BOOT_DIR`], by name, each in a process group of its own; nobody waits for them.
/// Hidden ones are left out: they may be half written. What they say, and that one could not be started, is in
/// [`BOOT_LOG`].
fn run_boot_scripts() {
    let mut files: Vec<PathBuf> =
        fs::read_dir(BOOT_DIR).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files.iter().filter(|file| is_boot_script(file)) {
        let start = || -> io::Result<()> {
            let log = File::options().create(true).append(true).open(BOOT_LOG)?;
            let mut command = Command::new(file);
            command.current_dir("/").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
            // Reaped with all the others.
            command.spawn().map(|_| ())
        };
        if let Err(error) = start()
            && let Ok(mut log) = File::options().create(true).append(true).open(BOOT_LOG)
        {
            let _ = writeln!(log, "{} was not started: {error}", file.display());
        }
    }
}

fn is_boot_script(file: &Path) -> bool {
    let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && fs::metadata(file).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn start_sshd() -> std::io::Result<Pid> {
    let child = sshd::start()?;
    // Reaped below with all the others, not through this handle.
    Ok(Pid::from_raw(i32::try_from(child.id()).unwrap_or(0)))
}

fn keep(sshd: Pid) -> i32 {
    let mut sshd = Some(sshd);
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) if Some(pid) == sshd => sshd = None,
            Err(Errno::ECHILD) => sshd = None,
            _ => {}
        }
        if sshd.is_none() {
            thread::sleep(RESTART_PAUSE);
            sshd = start_sshd().ok();
        }
    }
}
