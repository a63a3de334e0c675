//! A node's life as the holder sees it: on, off, cut off, on again.
//!
//! A node is its init and what that keeps alive: its pid, network and mount namespaces. What survives its death is the
//! holder's: the plan, the folder with its upper layers (a tmpfs of the holder's, as if it were a synced disk), the data
//! disk. Processes, `/run`, `/tmp`, `/dev/shm`, packet filters, queueing disciplines and mounts are gone with it.
//!
//! A cut goes in this order, so that nobody learns of it but by silence: the cable first (a dying process's connections
//! are closed by the kernel, and the peers would hear that), then the processes, then the data disk's power.

use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use serde_json::{Value as Json, json};

use crate::disk::Disk;
use crate::error::{Failure, Step};
use crate::holder::state;
use crate::lab::LabNode;
use crate::node::NodePlan;
use crate::power_freeze::{Frozen, members, signal};
use crate::process::{NODE, SELF, keep_children};
use crate::sys::PidFd;
use crate::wire::{Message, Reader};
use crate::{cgroup, power_net, process, sshd};

/// How long a node may take to boot.
const BOOT_MAX: Duration = Duration::from_secs(25);
/// How long killed processes may take to be gone.
const DEATH_MAX: Duration = Duration::from_secs(15);
/// How long processes may take to end by themselves before a reboot.
const GRACE: Duration = Duration::from_secs(5);

/// A node, on or off.
pub(crate) struct Machine {
    plan: NodePlan,
    /// The data disk, or why there is none.
    disk: Result<Disk, String>,
    init: Option<Init>,
    frozen: Option<Frozen>,
}

/// The first process of a node that is on.
struct Init {
    pid: u32,
    held: PidFd,
}

impl Init {
    /// Whether it does its work. One that is ending (it waits for all other processes of its node to end) is not dead yet,
    /// but has lost its memory, and with it its command line. Its number is its own until the holder reaps it.
    fn is_alive(&self) -> bool {
        let has_memory = || fs::read(format!("/proc/{}/cmdline", self.pid)).is_ok_and(|line| !line.is_empty());
        !self.has_ended() && has_memory()
    }

    fn has_ended(&self) -> bool {
        self.held.wait(Duration::ZERO).unwrap_or(false)
    }
}

impl Machine {
    /// A node that was never on; makes the memory that it writes into.
    ///
    /// # Errors
    /// If that cannot be had.
    pub(crate) fn new(plan: NodePlan, disk: Result<Disk, String>) -> Result<Machine, Failure> {
        let base = state(&format!("nodes/{}", plan.name));
        fs::create_dir(&base).step("making the node's folder")?;
        // The upper layers are memory: on the machine's disk a SIGKILL of the holder would leave them behind, overlayfs
        // would refuse them where the disk is itself an overlay (containers), and syncing would measure the machine and not
        // the database. It is bounded, so that a node that fills its disk gets ENOSPC and not the machine's memory.
        let options = format!("mode=755,size={}", plan.disk_bytes_max);
        mount(Some("disk"), base.as_str(), Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .step("mounting the node's disk")?;
        let plan = NodePlan { data_disk: disk.is_ok(), ..plan };
        Ok(Machine { plan, disk, init: None, frozen: None })
    }

    /// The node's name.
    pub(crate) fn name(&self) -> &str {
        &self.plan.name
    }

    /// Why it has no data disk, if it has none.
    pub(crate) fn has_disk(&self) -> Result<(), String> {
        self.disk.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    /// As others know it.
    pub(crate) fn lab_node(&self) -> LabNode {
        LabNode {
            name: self.plan.name.clone(),
            address: self.plan.address.to_string(),
            init_pid: self.init.as_ref().map_or(0, |init| init.pid),
        }
    }

    /// Starts the processes that build it. To be followed by [`Machine::await_built`].
    pub(crate) fn start(&mut self) -> Result<Child, Failure> {
        if let Ok(disk) = &mut self.disk {
            disk.mount().step("mounting the data disk").map_err(|failure| self.of_node(failure))?;
        }
        let (lab, node) = (&self.plan.lab, &self.plan.name);
        self.plan.groups = cgroup::make(lab, node, self.plan.limits).map_err(|failure| self.of_node(failure))?;
        let plan = &self.plan;
        let child = process::start(Path::new(SELF), NODE, &[&plan.lab, &plan.name, &plan.at.to_string()], plan);
        child.step("starting a node").map_err(|failure| self.of_node(failure))
    }

    /// Waits until its files, network and sshd are made.
    pub(crate) fn await_built(&mut self, child: Child, deadline: Instant) -> Result<(), Failure> {
        let init = await_init(child, deadline).map_err(|failure| self.of_node(failure))?;
        self.init = Some(init);
        // From now on its files are its own, whatever becomes of them.
        self.plan.first_boot = false;
        Ok(())
    }

    /// Waits until its sshd says who it is.
    pub(crate) fn await_banner(&self, deadline: Instant) -> Result<(), Failure> {
        let is_on = || self.living().is_some();
        await_banner(&self.lab_node(), is_on, deadline).map_err(|failure| self.of_node(failure))
    }

    fn of_node(&self, failure: Failure) -> Failure {
        Failure { node: Some(self.plan.name.clone()), ..failure }
    }

    fn living(&self) -> Option<&Init> {
        self.init.as_ref().filter(|init| init.is_alive())
    }

    fn living_or_off(&self) -> Result<&Init, String> {
        self.living().ok_or_else(|| format!("{} is off", self.plan.name))
    }

    /// See [`schism_cluster::GroundAction::CutPower`].
    pub(crate) fn cut_power(&mut self) -> Result<Json, String> {
        let begin = Instant::now();
        let was_on = self.living().is_some();
        self.end()?;
        Ok(json!({
            "was_on": was_on,
            "unsynced_lost": was_on && self.disk.is_ok(),
            "took_ms": millis(begin),
        }))
    }

    /// Ends the node, alive or half dead, and takes the power from its disk.
    fn end(&mut self) -> Result<(), String> {
        let _children = keep_children();
        if let Some(init) = &self.init {
            power_net::unplug(self.plan.at);
            init.held
                .kill()
                .or_else(|error| if init.has_ended() { Ok(()) } else { Err(error) })
                .map_err(|error| format!("killing the processes of {}: {error}", self.plan.name))?;
            // The first process of a pid namespace ends only after all others in it.
            if !init.held.wait(DEATH_MAX).map_err(|error| error.to_string())? {
                return Err(format!("the processes of {} do not end; one may hang in the kernel", self.plan.name));
            }
        }
        self.frozen = None;
        if let Ok(disk) = &mut self.disk
            && disk.is_mounted()
        {
            disk.fail()?;
            disk.unmount()?;
        }
        cgroup::remove(&self.plan.groups, &self.plan.lab, &self.plan.name);
        self.init = None;
        power_net::remove(self.plan.at);
        Ok(())
    }

    /// See [`schism_cluster::GroundAction::PowerOn`].
    pub(crate) fn power_on(&mut self) -> Result<Json, String> {
        let begin = Instant::now();
        let deadline = begin + BOOT_MAX;
        if self.living().is_some() {
            let answers = if self.frozen.is_some() { Ok(()) } else { self.await_banner(deadline) };
            match answers {
                Ok(()) => return Ok(json!({ "was_on": true, "took_ms": millis(begin) })),
                Err(failure) if self.living().is_some() => return Err(failure.to_string()),
                // It died meanwhile.
                Err(_) => {}
            }
        }
        // What died without our doing is buried first.
        self.end()?;
        let booted = self.boot(deadline);
        if let Err(failure) = booted {
            // Half a node is none.
            let ended = self.end().err().map(|reason| format!("; and {reason}")).unwrap_or_default();
            return Err(format!("{failure}{ended}"));
        }
        Ok(json!({ "was_on": false, "took_ms": millis(begin) }))
    }

    fn boot(&mut self, deadline: Instant) -> Result<(), Failure> {
        let _hurry = power_net::hurry();
        {
            let _children = keep_children();
            let child = self.start()?;
            self.await_built(child, deadline)?;
            power_net::rejoin(self.plan.at)?;
        }
        self.await_banner(deadline)
    }

    /// See [`schism_cluster::GroundAction::Reboot`].
    pub(crate) fn reboot(&mut self) -> Result<Json, String> {
        let begin = Instant::now();
        let mut killed = 0;
        if let Some(pid) = self.living().map(|init| init.pid) {
            self.thaw()?;
            killed = stop_all(pid);
            if let Ok(disk) = &self.disk
                && disk.is_well()
            {
                disk.sync()?;
            }
            self.end()?;
        }
        self.power_on()?;
        Ok(json!({ "killed_after_grace": killed, "took_ms": millis(begin) }))
    }

    /// See [`schism_cluster::GroundAction::Freeze`].
    pub(crate) fn freeze(&mut self) -> Result<Json, String> {
        let pid = self.living_or_off()?.pid;
        let begin = Instant::now();
        let frozen = self.frozen.get_or_insert_default();
        let done = frozen.freeze(pid);
        let answer = json!({
            "processes": frozen.count(),
            "stopped_before": frozen.count_before(),
            "took_ms": millis(begin),
        });
        match done {
            Ok(()) => Ok(answer),
            Err(reason) => {
                // Half frozen is not frozen.
                self.thaw()?;
                Err(format!("{}: {reason}", self.plan.name))
            }
        }
    }

    /// See [`schism_cluster::GroundAction::Thaw`].
    pub(crate) fn thaw(&mut self) -> Result<Json, String> {
        let count = self.frozen.take().map_or(0, |frozen| frozen.thaw());
        Ok(json!({ "processes": count }))
    }

    /// See [`schism_cluster::GroundAction::FailDataDisk`].
    pub(crate) fn fail_disk(&mut self) -> Result<Json, String> {
        self.living_or_off()?;
        self.disk.as_mut().map_err(|reason| reason.clone())?.fail()?;
        Ok(json!({}))
    }

    /// See [`schism_cluster::GroundAction::RestoreDataDisk`]. A node that is off gets it with its power.
    pub(crate) fn restore_disk(&mut self) -> Result<Json, String> {
        let Some(pid) = self.living().map(|init| init.pid) else { return Ok(json!({ "is_on": false })) };
        let begin = Instant::now();
        self.disk.as_mut().map_err(|reason| reason.clone())?.restore(pid)?;
        Ok(json!({ "is_on": true, "took_ms": millis(begin) }))
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Asks all processes of a node but its init to end, and kills those that do not; how many those were. sshd goes too, and
/// init starts another: that one dies with its init.
fn stop_all(init_pid: u32) -> usize {
    let begin = Instant::now();
    let others = || members(init_pid).into_iter().filter(|member| member.pid != init_pid && !member.is_dead());
    let first: Vec<_> = others().collect();
    for member in &first {
        signal(member, nix::sys::signal::Signal::SIGTERM);
        // One that somebody stopped would not hear it.
        signal(member, nix::sys::signal::Signal::SIGCONT);
    }
    loop {
        let left: Vec<_> = others().filter(|member| first.iter().any(|old| old.is_same(member))).collect();
        if left.is_empty() || begin.elapsed() > GRACE {
            for member in &left {
                signal(member, nix::sys::signal::Signal::SIGKILL);
            }
            return left.len();
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a node's files, network and sshd are made; the answer is its init, as the holder sees it. Builder and init
/// speak through one pipe, in no certain order. An init of a node that did not come up is ended.
fn await_init(mut child: Child, deadline: Instant) -> Result<Init, Failure> {
    let pipe = child.stdout.take().ok_or_else(|| Failure::new("starting a node", "no pipe"))?;
    let mut reader = Reader::new(pipe);
    let (mut init, mut ready) = (None, false);
    let outcome = loop {
        match reader.next(deadline).step("bringing up a node") {
            Ok(Message::Failed(failure)) | Err(failure) => break Err(failure),
            Ok(Message::Ready) => ready = true,
            Ok(Message::Pid(pid)) => match PidFd::open(pid).step("holding a node's init") {
                Ok(held) => init = Some(Init { pid, held }),
                Err(failure) => break Err(failure),
            },
        }
        if ready && init.is_some() {
            break Ok(());
        }
    };
    if outcome.is_err() {
        let _ = child.kill();
        if let Some(init) = &init {
            let _ = init.held.kill().and_then(|()| init.held.wait(DEATH_MAX));
        }
    }
    let _ = child.wait();
    outcome.and_then(|()| init.ok_or_else(|| Failure::new("bringing up a node", "its init is not known")))
}

/// Waits until a node's sshd says who it is, while the node is on.
fn await_banner(node: &LabNode, is_on: impl Fn() -> bool, deadline: Instant) -> Result<(), Failure> {
    let failed = |reason: String| {
        let log = fs::read(format!("/proc/{}/root{}", node.init_pid, sshd::LOG)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let tail = log.trim().lines().rev().take(3).collect::<Vec<_>>();
        Failure::new("waiting for its sshd", reason + "; its log ends: " + &tail.join(" | "))
            .hint("The package openssh-server may not fit this machine: try another package tree")
    };
    let address: IpAddr = node.address.parse().step("reading a node's address")?;
    let mut last = "it did not answer".to_owned();
    // Short at first: a packet that was lost while the cable came up is asked for again only after a second.
    let mut patience = Duration::from_millis(20);
    while Instant::now() < deadline {
        if !is_on() {
            return Err(Failure::new("waiting for its sshd", "the node's init has ended"));
        }
        patience = (patience * 2).min(Duration::from_millis(500));
        match banner(SocketAddr::new(address, 22), patience) {
            Ok(banner) if banner == *b"SSH-2.0" => return Ok(()),
            Ok(other) => return Err(failed(format!("it says `{}`", String::from_utf8_lossy(&other)))),
            Err(error) => last = error.to_string(),
        }
        thread::sleep(Duration::from_millis(3));
    }
    Err(failed(last))
}

/// The first bytes that a sshd says of itself.
pub(crate) fn banner(address: SocketAddr, patience: Duration) -> io::Result<[u8; 7]> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut start = [0; 7];
    stream.read_exact(&mut start)?;
    Ok(start)
}
