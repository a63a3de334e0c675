//! A lab that lives: what is known of it, how it is made and how it ends.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::error::{Failure, LabError};
use crate::find;
use crate::process::{self, HOLDER, OUTER};
use crate::rootless::{self, Rights};
use crate::spec::{LabKind, LabSpec, NetworkKind};
use crate::sshd::{Keys, known_hosts_line};
use crate::sys::PidFd;
use crate::wire::{Message, Reader};

/// How long the holder has to bring everything up (it gives up a little earlier by itself): namespaces, and machines.
const UP_MAX: Duration = Duration::from_secs(30);
const UP_VMS_MAX: Duration = Duration::from_secs(180);

/// How long a killed holder may take to be gone. It is long because a loaded machine frees memory slowly.
const DOWN_MAX: Duration = Duration::from_secs(20);

const SCHEMA_VERSION: u32 = 1;

/// A lab that lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lab {
    /// Version of this structure where it is written down.
    pub schema_version: u32,
    /// Its id, unique among the labs of this machine.
    pub id: String,
    /// What its nodes are.
    #[serde(default)]
    pub kind: LabKind,
    /// What joins its nodes.
    #[serde(default)]
    pub network: NetworkKind,
    /// The process whose life is the lab's life.
    pub holder: Holder,
    /// Its nodes, in order.
    pub nodes: Vec<LabNode>,
    /// As whom to log in (`root`).
    pub ssh_user: String,
    /// The private key for it, in OpenSSH's format.
    pub private_key_openssh: String,
    /// Lines for a file of known hosts: one a node, under its name and its addresses.
    pub known_hosts: String,
    /// How long it lives while nobody is attached; until `down` where there is none.
    pub lease: Option<Duration>,
    /// The run that it belongs to.
    pub run: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_unix_ms: u64,
}

/// A holder, named so that no other process can be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Holder {
    /// Its number in this process's pid namespace.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: clock ticks since boot.
    pub start_ticks: u64,
}

/// A node of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabNode {
    /// Its name.
    pub name: String,
    /// Its address, as the controller and the other nodes see it.
    pub address: String,
    /// Its first process, in this process's pid namespace; 0 if that has died (then the node is off), and for machines,
    /// whose processes have a kernel of their own.
    pub init_pid: u32,
}

impl Lab {
    /// As the holder writes it: its own number it cannot know, finders fill it in.
    pub(crate) fn new(spec: &LabSpec, nodes: Vec<LabNode>, keys: &Keys) -> Lab {
        let known = |(at, (node, key)): (usize, (&LabNode, _))| {
            known_hosts_line(&node.name, &[node.address.clone(), crate::net::address_v6(at).to_string()], key)
        };
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Lab {
            schema_version: SCHEMA_VERSION,
            id: spec.id.clone(),
            kind: spec.kind,
            network: spec.network,
            holder: Holder::default(),
            known_hosts: nodes.iter().zip(&keys.hosts).enumerate().map(known).collect(),
            nodes,
            ssh_user: "root".to_owned(),
            private_key_openssh: keys.login.private.clone(),
            lease: spec.lease,
            run: spec.run.clone(),
            created_unix_ms: u64::try_from(created.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Whether this can be read by this program.
    pub(crate) fn is_understood(&self) -> bool {
        self.schema_version == SCHEMA_VERSION
    }
}

/// Makes a lab and waits until every node's sshd answers: about a second for five nodes, some ten
/// seconds for machines. `controller_exe` is a program whose
/// `main` begins with [`crate::holder_main_if_asked`], usually [`std::env::current_exe`]. The lab's lease runs from now
/// on: attach.
///
/// # Errors
/// What cannot be fulfilled, what is missing on this machine, or the step that failed; nothing is left of it then.
pub fn up(spec: &LabSpec, controller_exe: &Path) -> Result<Lab, LabError> {
    spec.check()?;
    may_make(spec)?;
    if !process::is_on_path("ip") {
        return Err(LabError::Tool { tool: "ip", package: "iproute2" });
    }
    if let Some(living) = find::holders().into_iter().find(|holder| holder.id == spec.id) {
        return Err(LabError::Exists { id: spec.id.clone(), pid: living.holder.pid });
    }
    let deadline = Instant::now() + if spec.kind == LabKind::Vms { UP_VMS_MAX } else { UP_MAX };
    let failed = |step: &str, reason: String| LabError::Up(Failure::new(step, reason));
    let mut child = process::start(controller_exe, HOLDER, &[&spec.id, OUTER], spec)
        .map_err(|error| failed("starting the holder", error.to_string()))?;
    let pipe = child.stdout.take().ok_or_else(|| failed("starting the holder", "no pipe".to_owned()))?;
    let mut reader = Reader::new(pipe);
    let mut pid = None;
    let outcome = loop {
        match reader.next(deadline) {
            Ok(Message::Pid(number)) => pid = Some(number),
            Ok(Message::Ready) => break Ok(()),
            Ok(Message::Failed(failure)) => break Err(LabError::Up(failure)),
            Err(error) => break Err(failed("bringing up the lab", error.to_string())),
        }
    };
    let lab = outcome.and_then(|()| {
        find::read(&spec.id).ok_or_else(|| failed("finding the lab", "its holder is not in /proc".to_owned()))
    });
    if lab.is_err() {
        give_up(child, pid);
    } else {
        // It has done its part: the holder is another process.
        let _ = child.wait();
    }
    lab
}

/// Whether this user may, with what was given.
fn may_make(spec: &LabSpec) -> Result<(), LabError> {
    if spec.kind == LabKind::Vms && !geteuid().is_root() {
        return Err(LabError::NotRoot);
    }
    if rootless::rights()? == Rights::Root {
        return Ok(());
    }
    let wrong = |found: String| {
        let expected = "one of this user's own from `nodes_root`, as this is not root".to_owned();
        Err(LabError::Spec { what: "root of the nodes", found, expected })
    };
    if spec.memory_bytes_max.is_some() || spec.cpu_milli_max.is_some() {
        let (found, expected) =
            ("given".to_owned(), "none, as this is not root and control groups are root's".to_owned());
        return Err(LabError::Spec { what: "limit of nodes", found, expected });
    }
    let Some(root) = &spec.root else { return wrong("none".to_owned()) };
    match fs::metadata(root) {
        // Files of others would be nobody's in the user namespace, and could not be changed there.
        Ok(folder) if folder.uid() != geteuid().as_raw() => wrong(format!("{} of another user", root.display())),
        Ok(_) => Ok(()),
        Err(error) => wrong(format!("{} ({error})", root.display())),
    }
}

/// Ends what was started of a lab that did not come up.
fn give_up(mut child: std::process::Child, holder: Option<u32>) {
    let _ = child.kill();
    let _ = child.wait();
    // The number is this moment's: the holder, our orphan, may have died, but hardly has another taken its number.
    // Its name in /proc is looked at all the same.
    let Some(seen) = holder.and_then(|pid| find::holders().into_iter().find(|seen| seen.holder.pid == pid)) else {
        return;
    };
    if end(&seen.holder).is_err() {
        tracing::warn!(pid = seen.holder.pid, "the holder of a lab that did not come up could not be ended");
    }
}

/// Ends a lab: everything that it is dies with its holder. Fine if it is gone already. Returns when all its processes
/// are dead.
///
/// # Errors
/// If it may not be killed, or does not die.
pub fn down(lab: &Lab) -> Result<(), LabError> {
    end(&lab.holder).map_err(|error| LabError::Failed {
        id: lab.id.clone(),
        what: "taking it down",
        reason: error.to_string(),
    })
}

/// Ends all labs of this machine (of this user, if that is not root), those that are coming up included; returns their ids.
///
/// # Errors
/// The first that could not be ended; the others are ended all the same.
pub fn down_all() -> Result<Vec<String>, LabError> {
    let mut ended = Vec::new();
    let mut trouble = None;
    for seen in find::holders().into_iter().filter(|seen| find::is_ours(&seen.holder)) {
        match end(&seen.holder) {
            Ok(()) => ended.push(seen.id),
            Err(error) => {
                let reason = error.to_string();
                trouble.get_or_insert(LabError::Failed { id: seen.id, what: "taking it down", reason });
            }
        }
    }
    trouble.map_or(Ok(ended), Err)
}

fn end(holder: &Holder) -> std::io::Result<()> {
    let gone = |error: std::io::Error| {
        if error.raw_os_error() == Some(nix::libc::ESRCH) { Ok(()) } else { Err(error) }
    };
    let process = match PidFd::open(holder.pid) {
        Ok(process) => process,
        Err(error) => return gone(error),
    };
    // The process is held now: if it is the holder at this moment, it is the holder that is killed.
    if !find::is_there(holder) {
        return Ok(());
    }
    process.kill().or_else(gone)?;
    // The first process of a pid namespace ends only after all others in it.
    if process.wait(DOWN_MAX)? { Ok(()) } else { Err(std::io::Error::other("it was killed and did not end in time")) }
}
