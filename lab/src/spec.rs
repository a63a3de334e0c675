//! What a lab shall be.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::LabError;
use crate::vms::{MACHINES_MAX, VmSpec};
use crate::{cgroup, disk};

/// The longest lab: addresses 10.77.0.11 to 10.77.0.250.
const NODES_MAX: usize = 240;

/// What the nodes of a lab are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabKind {
    /// Namespaces of this machine's kernel.
    #[default]
    Namespaces,
    /// Virtual machines with kernels of their own.
    Vms,
}

impl LabKind {
    /// The name of such a ground.
    pub fn ground(self) -> &'static str {
        match self {
            LabKind::Namespaces => "namespaces",
            LabKind::Vms => "vms",
        }
    }
}

/// What joins the nodes of a lab of namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkKind {
    /// A cable from each node to a bridge of the kernel: fast, and shaped by nobody.
    #[default]
    Cables,
    /// The lab's own switch, which can delay, lose, double, reorder, corrupt, slow, hold and cut the packets of single
    /// links ([`schism_cluster::Ability::Links`]) without help from kernel or nodes.
    Switch,
}

/// What a lab shall be. Checked by [`crate::up`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabSpec {
    /// Its name on this machine: lower-case letters, digits and `-`, at most 32.
    pub id: String,
    /// What its nodes are.
    pub kind: LabKind,
    /// What joins the nodes.
    #[serde(default)]
    pub network: NetworkKind,
    /// Names of the nodes, in order; also their host names.
    pub nodes: Vec<String>,
    /// Package trees to lay over this machine's files, the first on top.
    pub trees: Vec<PathBuf>,
    /// The nodes' own files in place of this machine's, from [`crate::nodes_root`]. Who is not root needs it, and owns it.
    #[serde(default)]
    pub root: Option<PathBuf>,
    /// How long it lives while nobody is attached; for ever (until `down`) where there is none.
    pub lease: Option<Duration>,
    /// The run that it belongs to (name of the run folder), by which it can be found.
    pub run: Option<String>,
    /// Further users of every node, for tests of logging in. All may log in with the lab's key. One named `root` gives
    /// root a password and is nothing further.
    pub users: Vec<LabUser>,
    /// How much a node may write, in bytes (it is memory). Machines have the disks of their image instead.
    pub disk_bytes_max: u64,
    /// How big each node's data disk is, in bytes (it is memory as it fills); 0 for none. Rounded down to 4 KiB.
    pub data_disk_bytes: u64,
    /// How much memory a node's processes may use together, with what they write (the node's disks are memory); no limit
    /// where there is none.
    pub memory_bytes_max: Option<u64>,
    /// How much processor time a node may use, in thousandths of a processor.
    pub cpu_milli_max: Option<u64>,
    /// What machines are made of, from [`crate::vms::fetch`]; for [`LabKind::Vms`] only.
    #[serde(default)]
    pub vms: Option<VmSpec>,
}

/// A user of the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabUser {
    /// Login name.
    pub name: String,
    /// Password; with one, the nodes' sshd accepts passwords.
    pub password: Option<String>,
    /// Whether the user may use sudo (the package `sudo` must be on the machine or in a tree).
    pub sudo: Sudoers,
}

/// What sudo lets a user do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Sudoers {
    /// Nothing.
    #[default]
    No,
    /// Everything, after giving the password.
    WithPassword,
    /// Everything, unasked.
    WithoutPassword,
}

impl LabUser {
    /// Whether this is no further user, but root's password.
    pub(crate) fn is_root(&self) -> bool {
        self.name == "root"
    }
}

impl LabSpec {
    /// A lab of `nodes` nodes, `n1` and so on, with a lease of 30 seconds and nothing laid over.
    pub fn new(id: impl Into<String>, nodes: usize) -> LabSpec {
        LabSpec {
            id: id.into(),
            kind: LabKind::Namespaces,
            network: NetworkKind::default(),
            nodes: (1..=nodes).map(|number| format!("n{number}")).collect(),
            trees: Vec::new(),
            root: None,
            lease: Some(Duration::from_secs(30)),
            run: None,
            users: Vec::new(),
            disk_bytes_max: 3 << 30,
            data_disk_bytes: 512 << 20,
            memory_bytes_max: None,
            cpu_milli_max: None,
            vms: None,
        }
    }

    /// A lab of `nodes` machines of these parts.
    pub fn of_machines(id: impl Into<String>, nodes: usize, parts: VmSpec) -> LabSpec {
        LabSpec { kind: LabKind::Vms, vms: Some(parts), ..LabSpec::new(id, nodes) }
    }

    /// A short id that no other lab has, in all likelihood (24 random bits, from the kernel).
    pub fn fresh_id() -> String {
        let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
        let hex: String = uuid.chars().filter(char::is_ascii_hexdigit).take(6).collect();
        format!("l{hex}")
    }

    /// Whether it can be fulfilled, as far as names and numbers tell.
    ///
    /// # Errors
    /// The first name or number that cannot be.
    pub fn check(&self) -> Result<(), LabError> {
        let wrong = |what, found: &str, expected: &str| {
            Err(LabError::Spec { what, found: found.to_owned(), expected: expected.to_owned() })
        };
        if !is_host_name(&self.id) || self.id.len() > 32 {
            return wrong("id", &self.id, "lower-case letters, digits and `-` inside, at most 32");
        }
        if self.nodes.is_empty() || self.nodes.len() > NODES_MAX {
            return wrong("number of nodes", &self.nodes.len().to_string(), "1 to 240");
        }
        for (at, name) in self.nodes.iter().enumerate() {
            if !is_host_name(name) || name == "localhost" || name == "controller" {
                return wrong("node name", name, "a host name of lower-case letters, digits and `-`, such as n1");
            }
            if self.nodes[..at].contains(name) {
                return wrong("node name", name, "another name for each node");
            }
        }
        for user in &self.users {
            if !is_user_name(&user.name) {
                return wrong("user name", &user.name, "a user name of lower-case letters, digits, `-` and `_`");
            }
            if user.is_root() && user.sudo != Sudoers::No {
                return wrong("sudo of root", &format!("{:?}", user.sudo), "No: root needs none");
            }
            let password = user.password.as_deref().unwrap_or("x");
            if password.is_empty() || password.chars().any(char::is_control) {
                return wrong("password", "(not shown)", "some characters, none of them a control character");
            }
        }
        for tree in &self.trees {
            if !tree.is_dir() {
                return wrong("package tree", &tree.to_string_lossy(), "a folder");
            }
        }
        if let Some(root) = self.root.as_ref().filter(|root| !root.join("usr").is_dir()) {
            return wrong("root of the nodes", &root.to_string_lossy(), "a folder that `nodes_root` made");
        }
        self.check_kind()?;
        if self.disk_bytes_max < 1 << 20 {
            return wrong("disk_bytes_max", &self.disk_bytes_max.to_string(), "at least 1 MiB");
        }
        if let Some(bytes) = self.memory_bytes_max.filter(|bytes| *bytes < cgroup::MEMORY_BYTES_MIN) {
            return wrong("memory_bytes_max", &bytes.to_string(), "at least 32 MiB");
        }
        if let Some(milli) = self.cpu_milli_max.filter(|milli| *milli < cgroup::CPU_MILLI_MIN) {
            return wrong("cpu_milli_max", &milli.to_string(), "at least 10 (a hundredth of a processor)");
        }
        let sizes = disk::BYTES_MIN..=disk::BYTES_MAX;
        if self.data_disk_bytes != 0 && !sizes.contains(&self.data_disk_bytes) {
            return wrong("data_disk_bytes", &self.data_disk_bytes.to_string(), "0, or 16 MiB to 1 TiB");
        }
        Ok(())
    }
}

impl LabSpec {
    fn check_kind(&self) -> Result<(), LabError> {
        let wrong = |what, found: &str, expected: &str| {
            Err(LabError::Spec { what, found: found.to_owned(), expected: expected.to_owned() })
        };
        match (self.kind, &self.vms) {
            (LabKind::Namespaces, None) => Ok(()),
            (LabKind::Namespaces, Some(_)) => wrong("kind", "namespaces", "vms, as parts of machines are given"),
            (LabKind::Vms, None) => wrong("parts of machines", "nothing", "what `vms::fetch` gives"),
            (LabKind::Vms, Some(_)) if self.nodes.len() > MACHINES_MAX => {
                wrong("number of nodes", &self.nodes.len().to_string(), "1 to 32 machines")
            }
            (LabKind::Vms, Some(_)) if !self.users.is_empty() => {
                wrong("users", &self.users.len().to_string(), "none in a lab of machines")
            }
            (LabKind::Vms, Some(_)) if self.root.is_some() => {
                wrong("root of the nodes", "given", "none in a lab of machines")
            }
            (LabKind::Vms, Some(parts)) => parts.check(),
        }
    }
}

fn is_host_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

fn is_user_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    (1..=32).contains(&name.len())
        && name.bytes().all(inner)
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, password: Option<&str>) -> LabUser {
        LabUser { name: name.into(), password: password.map(str::to_owned), sudo: Sudoers::No }
    }

    #[test]
    fn what_can_be_fulfilled_and_what_cannot() {
        let base = || LabSpec::new("lab-1", 3);
        assert!(base().check().is_ok());
        assert!(LabSpec { users: vec![user("tess", Some("a:b ö"))], ..base() }.check().is_ok());
        assert!(LabSpec { users: vec![user("root", Some("x"))], ..base() }.check().is_ok());
        for (spec, what) in [
            (LabSpec { id: String::new(), ..base() }, "id"),
            (LabSpec { id: "a/b".into(), ..base() }, "id"),
            (LabSpec { id: "x".repeat(33), ..base() }, "id"),
            (LabSpec { nodes: vec![], ..base() }, "number of nodes"),
            (LabSpec::new("x", 241), "number of nodes"),
            (LabSpec { nodes: vec!["n1".into(), "n1".into()], ..base() }, "node name"),
            (LabSpec { nodes: vec!["N 1".into()], ..base() }, "node name"),
            (LabSpec { nodes: vec!["-n".into()], ..base() }, "node name"),
            (LabSpec { users: vec![user("Root", None)], ..base() }, "user name"),
            (
                LabSpec { users: vec![LabUser { sudo: Sudoers::WithPassword, ..user("root", None) }], ..base() },
                "sudo of root",
            ),
            (LabSpec { users: vec![user("a:b", None)], ..base() }, "user name"),
            (LabSpec { users: vec![user("a", Some("x\ny"))], ..base() }, "password"),
            (LabSpec { trees: vec!["/no/such/tree".into()], ..base() }, "package tree"),
            (LabSpec { root: Some("/proc".into()), ..base() }, "root of the nodes"),
            (LabSpec { disk_bytes_max: 5, ..base() }, "disk_bytes_max"),
            (LabSpec { memory_bytes_max: Some(1), ..base() }, "memory_bytes_max"),
            (LabSpec { cpu_milli_max: Some(0), ..base() }, "cpu_milli_max"),
            (LabSpec { data_disk_bytes: 1 << 20, ..base() }, "data_disk_bytes"),
            (LabSpec { data_disk_bytes: 1 << 60, ..base() }, "data_disk_bytes"),
        ] {
            match spec.check() {
                Err(LabError::Spec { what: found, .. }) => assert_eq!(found, what),
                other => panic!("{what}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_fresh_id_is_a_good_id() {
        let id = LabSpec::fresh_id();
        assert!(id.len() == 7 && LabSpec::new(id, 1).check().is_ok());
    }
}
