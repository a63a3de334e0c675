//! A lab of virtual machines: kernels of their own, with clocks, packet queues, device mapper and power of their own.
//!
//! Each node is a QEMU process in the holder's namespaces, with a TAP device in the holder's bridge: it ends when the holder
//! ends, and addresses and login are those of a lab of namespaces. Kernel, programs and QEMU itself come from Debian's
//! packages, unpacked into the cache ([`fetch`]), never installed. A machine's two disks (`/dev/vda` the root, `/dev/vdb`
//! mounted at [`schism_cluster::DATA_DISK`]) lie over the image's; what it writes is in the holder's tmpfs.
//!
//! The guest is small: an own init script, busybox's init, sshd; no systemd, no udev, no time daemon.
//!
//! Not covered: other architectures than x86-64; hosts without apt; further users of the nodes.

mod accel;
mod cpio;
mod exec;
mod hands;
mod holder;
mod image;
mod machine;
mod modules;
mod qcow2;
mod qemu;
mod qmp;

use std::path::{Path, PathBuf};

use schism_cluster::packages::{self, PackageError};
use serde::{Deserialize, Serialize};

pub use accel::Accelerator;
pub(crate) use exec::argv as exec_argv;
pub(crate) use holder::bring_up;
pub(crate) use image::copy_folder;

use crate::error::{Failure, LabError, Step};
use crate::node_packages::{EVERY_NODE, MACHINES};
use image::Image;
use qemu::Qemu;

/// What runs the machines, and the controller's way into them.
const HOST_PACKAGES: &[&str] = &["qemu-system-x86", "openssh-client"];

/// The most machines of a lab.
pub(crate) const MACHINES_MAX: usize = 32;

/// What a lab of machines is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSpec {
    /// The package tree with QEMU (empty where this machine has it installed).
    pub tree: PathBuf,
    /// The folder of the image.
    pub image: PathBuf,
    /// How the machines are run.
    pub accelerator: Accelerator,
    /// Memory of each machine.
    pub memory_mib: u32,
    /// Processors of each machine.
    pub cpus: u32,
}

impl VmSpec {
    /// Whether it can be fulfilled, as far as files and numbers tell.
    ///
    /// # Errors
    /// The first that cannot be.
    pub(crate) fn check(&self) -> Result<(), LabError> {
        let wrong =
            |what, found: String, expected: &str| Err(LabError::Spec { what, found, expected: expected.to_owned() });
        if Image::read(&self.image).is_none() {
            return wrong("image", self.image.display().to_string(), "a folder that `fetch` made");
        }
        if !self.tree.is_dir() {
            return wrong("QEMU's tree", self.tree.display().to_string(), "a folder");
        }
        if !(128..=65_536).contains(&self.memory_mib) {
            return wrong("memory of a machine", format!("{} MiB", self.memory_mib), "128 to 65536 MiB");
        }
        if !(1..=64).contains(&self.cpus) {
            return wrong("processors of a machine", self.cpus.to_string(), "1 to 64");
        }
        Ok(())
    }
}

/// Fetches what a lab of machines needs into the cache, `packages` for the nodes among it, and makes the image: a minute
/// and 100 MB the first time, a tenth of a second later. Machines get 512 MiB and one processor each.
///
/// # Errors
/// [`LabError::NotRoot`]; [`LabError::Image`] with what could not be had or made.
pub fn fetch(cache: &Path, packages: &[&str], progress: &mut dyn FnMut(&str)) -> Result<VmSpec, LabError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(LabError::NotRoot);
    }
    if std::env::consts::ARCH != "x86_64" {
        let failure = Failure::new("looking at this machine's processor", format!("it is {}", std::env::consts::ARCH))
            .hint("Labs of machines are for x86-64; use --lab namespaces or an inventory");
        return Err(LabError::Image(failure));
    }
    let not_had = |what: &str, error: PackageError| LabError::Image(Failure::new(what, error));
    let tree = packages::fetch(cache, HOST_PACKAGES, progress).map_err(|error| not_had("fetching QEMU", error))?;
    let guest: Vec<&str> = EVERY_NODE.iter().chain(MACHINES).chain(packages).copied().collect();
    let whole = packages::fetch_whole(cache, &guest, progress)
        .map_err(|error| not_had("fetching the machines' packages", error))?;
    let image = image::make(cache, &whole, progress).map_err(LabError::Image)?;
    let qemu = Qemu::find(&tree.path).ok_or_else(|| Failure::new("looking for QEMU", "no package holds it"));
    let qemu = qemu.map_err(LabError::Image)?;
    let accelerator = accel::find(&qemu, &image, &cache.join("vms"));
    let absolute = |path: &Path| path.canonicalize().step("finding the cache").map_err(LabError::Image);
    Ok(VmSpec { tree: absolute(&tree.path)?, image: absolute(&image)?, accelerator, memory_mib: 512, cpus: 1 })
}
