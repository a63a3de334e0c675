//! A node's own `/etc` files, in place of the machine's. Called inside the node, after the change of root.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::{Failure, Step};

/// Writes who this node is and where the others are; no name server, as nothing answers in a lab.
pub(crate) fn write(name: &str, hosts: &str) -> Result<(), Failure> {
    replace("/etc/hostname", &format!("{name}\n"), 0o644)?;
    replace("/etc/hosts", hosts, 0o644)?;
    replace("/etc/resolv.conf", "", 0o644)
}

/// Writes a file anew. What is there is removed first: it may be a link, and out of the node's `/etc`.
pub(crate) fn replace(path: &str, text: &str, mode: u32) -> Result<(), Failure> {
    let step = format!("writing {path}");
    remove(path)?;
    fs::write(path, text).step(&step)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).step(&step)
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &str) -> Result<(), Failure> {
    match fs::remove_file(Path::new(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::new(format!("removing {path}"), error)),
        _ => Ok(()),
    }
}
