//! One machine: its process, and what is asked of it from outside.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::qemu::{MachinePlan, Qemu};
use super::qmp::Qmp;
use crate::error::{Failure, Step};
use crate::power::banner;
use crate::process;
use crate::sys::PidFd;

/// How long a killed QEMU may take to be gone: it frees the guest's memory meanwhile.
const KILL_MAX: Duration = Duration::from_secs(20);

/// How long an orderly reboot may take until the machine is reset: the guest's init gives processes a second each to end
/// by themselves and to be killed, and syncs.
const SHUTDOWN_MAX: Duration = Duration::from_secs(30);

/// How soon a machine that ended by itself is started again, and how soon again after that.
const START_PAUSE: Duration = Duration::from_secs(2);

/// How often a booting machine is asked. Each question costs the machine time, too.
const ASK: Duration = Duration::from_millis(100);

/// A node's machine, on or off.
pub(crate) struct Machine {
    qemu: Qemu,
    pub(crate) plan: MachinePlan,
    process: Option<PidFd>,
    started: Option<Instant>,
    frozen_since: Option<Instant>,
}

impl Machine {
    /// Off.
    pub(crate) fn new(qemu: Qemu, plan: MachinePlan) -> Machine {
        Machine { qemu, plan, process: None, started: None, frozen_since: None }
    }

    /// Whether its QEMU runs.
    fn is_on(&self) -> bool {
        // An error of the wait is none of the process.
        self.process.as_ref().is_some_and(|process| !process.wait(Duration::ZERO).unwrap_or(false))
    }

    /// Starts it, if it is off; does not wait for the guest.
    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        if self.is_on() {
            return Ok(());
        }
        let step = "starting QEMU";
        let log = fs::File::options().create(true).append(true).open(self.plan.file("qemu.log")).step(step)?;
        // What a killed one left; QEMU makes it anew.
        let _ = fs::remove_file(self.plan.file("qmp"));
        // One that ends at once must not be reaped before it is held.
        let _children = process::keep_children();
        let mut command = self.qemu.command();
        let child = command.args(self.plan.arguments()).stderr(log).spawn().step(step)?;
        // Not through the child's handle: the holder reaps all its children in one place.
        self.process = Some(PidFd::open(child.id()).step(step)?);
        self.started = Some(Instant::now());
        self.frozen_since = None;
        Ok(())
    }

    /// Starts it again if it ended by itself and not by a power cut: QEMU ends when the guest resets or switches off.
    pub(crate) fn keep_on(&mut self) {
        let rested = self.started.is_none_or(|started| started.elapsed() > START_PAUSE);
        if self.process.is_some() && rested && !self.is_on() {
            // It is tried again; who asks for the machine meanwhile learns that it is off, and from its log why.
            let _ = self.start();
        }
    }

    /// Waits until its sshd says who it is.
    pub(crate) fn await_login(&self, deadline: Instant) -> Result<(), Failure> {
        let step = "waiting for its sshd";
        let mut last = "it did not answer".to_owned();
        while Instant::now() < deadline {
            if !self.is_on() {
                let failure = Failure::new(step, format!("QEMU ended: {}", self.end_of("qemu.log")));
                return Err(failure.hint("SCHISM_ACCEL=tcg does without KVM"));
            }
            match banner(SocketAddr::new(IpAddr::V4(self.plan.address), 22), Duration::from_millis(500)) {
                Ok(banner) if banner == *b"SSH-2.0" => return Ok(()),
                Ok(other) => last = format!("it says `{}`", String::from_utf8_lossy(&other)),
                Err(error) => last = error.to_string(),
            }
            thread::sleep(ASK);
        }
        let reason = format!("{last}; its console ends: {}", self.end_of("console"));
        Err(Failure::new(step, reason).hint("On a slow machine use fewer nodes"))
    }

    /// The last lines of a log.
    fn end_of(&self, name: &str) -> String {
        let log = fs::read(self.plan.file(name)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let mut lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).rev().take(3).collect();
        lines.reverse();
        lines.join(" | ")
    }

    fn qmp(&self) -> Result<Qmp, String> {
        if !self.is_on() {
            return Err(format!("{} is off", self.plan.name));
        }
        Qmp::connect(Path::new(&self.plan.file("qmp"))).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> String {
        format!("the machine of {}: {error}", self.plan.name)
    }

    /// Ends it as a power cut does: at once.
    pub(crate) fn cut_power(&mut self) -> Result<Value, String> {
        self.frozen_since = None;
        let Some(process) = self.process.take() else { return Ok(json!({"was_on": false})) };
        let was_on = !process.wait(Duration::ZERO).unwrap_or(false);
        let gone = |error: io::Error| {
            if error.raw_os_error() == Some(nix::libc::ESRCH) { Ok(()) } else { Err(error) }
        };
        let start = Instant::now();
        let killed = process.kill().or_else(gone).and_then(|()| process.wait(KILL_MAX));
        match killed {
            Ok(true) => Ok(json!({"was_on": was_on, "took_ms": ms(start)})),
            other => {
                // It is still ours to end.
                self.process = Some(process);
                Err(match other {
                    Err(error) => self.failed(&error),
                    _ => format!("the machine of {} was killed and did not end in time", self.plan.name),
                })
            }
        }
    }

    /// Switches it on, if it is off, and waits until it can be logged in to.
    pub(crate) fn power_on(&mut self, within: Duration) -> Result<Value, String> {
        let (start, was_on) = (Instant::now(), self.is_on());
        if was_on && self.frozen_since.is_some() {
            return Ok(json!({"was_on": true, "frozen": true}));
        }
        self.start()
            .and_then(|()| self.await_login(start + within))
            .map_err(|failure| format!("{}: {failure}", self.plan.name))?;
        Ok(json!({"was_on": was_on, "took_ms": ms(start)}))
    }

    /// Lets the guest end in order, and waits until it can be logged in to again. Asked for by Ctrl-Alt-Delete, so that the
    /// guest's network and sshd are not needed for it. QEMU starts anew with the guest: under emulation a reset would take
    /// up to half a minute before the kernel begins, as memory is full of translated code.
    pub(crate) fn reboot(&mut self, within: Duration) -> Result<Value, String> {
        let start = Instant::now();
        if self.frozen_since.is_some() {
            return Err(format!("{} is frozen", self.plan.name));
        }
        let mut qmp = self.qmp()?;
        let process = self.process.as_ref().ok_or_else(|| format!("{} is off", self.plan.name))?;
        let key = |code: &str| json!({"type": "qcode", "data": code});
        let keys = json!({"keys": [key("ctrl"), key("alt"), key("delete")]});
        qmp.order("send-key", keys).map_err(|error| self.failed(&error))?;
        if !process.wait(SHUTDOWN_MAX).map_err(|error| self.failed(&error))? {
            return Err(format!("{} did not shut down within {} s", self.plan.name, SHUTDOWN_MAX.as_secs()));
        }
        let down_ms = ms(start);
        self.start().map_err(|failure| format!("{}: {failure}", self.plan.name))?;
        self.await_login(start + within).map_err(|failure| format!("{}: {failure}", self.plan.name))?;
        Ok(json!({"shutdown_ms": down_ms, "took_ms": ms(start)}))
    }

    /// Stops its processors: nothing of the guest goes on, its clock of uptime included.
    pub(crate) fn freeze(&mut self) -> Result<Value, String> {
        self.qmp()?.order("stop", Value::Null).map_err(|error| self.failed(&error))?;
        self.frozen_since.get_or_insert_with(Instant::now);
        Ok(json!({}))
    }

    /// Lets it go on. One that is off has nothing to go on with.
    pub(crate) fn thaw(&mut self) -> Result<Value, String> {
        if !self.is_on() {
            self.frozen_since = None;
            return Ok(json!({}));
        }
        self.qmp()?.order("cont", Value::Null).map_err(|error| self.failed(&error))?;
        Ok(self.frozen_since.take().map_or_else(|| json!({}), |since| json!({"frozen_ms": ms(since)})))
    }
}

fn ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
