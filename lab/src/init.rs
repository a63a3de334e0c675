//! A node's init: the first process of its pid namespace. Builds the node from inside, keeps sshd running, reaps.
//!
//! Signals from inside the node cannot hurt it: the kernel keeps from a namespace's first process every signal that it
//! has no handler for, SIGKILL included, unless it comes from outside.

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
    files::write(&plan.name, &plan.hosts)?;
    users::write(&plan.users, &plan.login_key)?;
    sshd::prepare(&plan.host_key, plan.users.iter().any(|user| user.password.is_some()), plan.sshd_penalties)?;
    sys::drop_capabilities().step("taking from the node what is the machine's")?;
    start_sshd().step("starting sshd")
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
