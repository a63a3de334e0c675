//! The clusters that schism makes on this machine: namespaces with an sshd in each, held by a process of their own.
//!
//! A lab is one process, the **holder**, and what its death takes away: it is the first process of a pid namespace and
//! keeps everything else (a bridge or switch, the nodes, the controller's side of the network, all files) in namespaces and a
//! tmpfs of its own. Nothing of it is in the machine's network, firewall, mounts or disk, so there is nothing to clean
//! up: SIGKILL to the holder is how a lab is taken down. Labs do not see each other, so all use the same addresses.
//!
//! A **node** has its own network (`eth0`, 10.77.0.11 and up), mounts, processes, host name and IPC. It sees this
//! machine's files, with the unpacked packages laid over them, and writes into a tmpfs of its own; the folders `/root`
//! and `/home`, password hashes and SSH keys of the machine are hidden. Inside, a few dozen lines of init keep an sshd
//! running. A node is root on this kernel: it is walled off against accidents (it cannot set the machine's clock, load
//! modules or reach a network), not against malice.
//!
//! Each node has a **data disk**, a real file system in an image of its own, and can be frozen, rebooted, cut from its
//! power and switched on again: what was not synced to the data disk is lost then, and the rest of its files stay as if
//! synced. At every boot it runs the executable files of `/var/lib/schism/boot.d`; the running program is at
//! `/run/schism/agent/schism`. All of it is memory: `LabSpec` says how much. Data disks need loop devices, ext4 and
//! e2fsprogs; without them their folder is a plain one.
//!
//! A lab of **virtual machines** ([`vms`]) has the same holder, addresses and login, and kernels of its own.
//!
//! The holder outlives the controller: for its lease (counted while nobody is attached), or until `down`. It is found
//! again by reading `/proc`, as there is no state on disk.
//!
//! Processes of a lab are this very program, started again under other names: a program that makes labs calls
//! [`holder_main_if_asked`] first thing in `main`. Needs iproute2, a kernel with overlayfs, tmpfs, bridge and veth, and
//! root (`CAP_SYS_ADMIN`). The one thing of a lab outside of it are its nodes' control groups; a process of its own waits
//! for the holder's end and removes them.
//!
//! An **ordinary user** with uid maps (package `uidmap`, lines of `/etc/subuid` and `/etc/subgid`) can have labs of
//! namespaces as well ([`rights`]): the holder is root in a user namespace of its own, and nodes have files of their own
//! ([`nodes_root`]) in place of the machine's. There are no data disks, power cuts and control groups then.

mod cgroup;
mod control;
mod disk;
mod disk_sys;
mod enter;
mod error;
mod files;
mod find;
mod ground;
mod hands;
mod holder;
mod init;
mod lab;
mod net;
mod node;
mod node_packages;
mod power;
mod power_freeze;
mod power_net;
mod process;
mod rootless;
mod rootless_files;
mod rootless_maps;
mod serve;
mod spec;
mod sshd;
mod switch;
mod sys;
mod tree;
mod users;
pub mod vms;
mod wire;

pub use enter::{Attachment, attach, enter, exec};
pub use error::{Failure, LabError};
pub use find::{find, list};
pub use ground::LabGround;
pub use lab::{Holder, Lab, LabNode, down, down_all, up};
pub use process::holder_main_if_asked;
pub use rootless::{Rights, missing_for_maps, rights};
pub use rootless_files::nodes_root;
pub use rootless_maps::probe;
pub use spec::{LabKind, LabSpec, LabUser, NetworkKind, Sudoers};
