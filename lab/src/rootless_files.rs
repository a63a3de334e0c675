//! The nodes' own files, where they cannot be the machine's: a small system out of unpacked packages, made once into the
//! cache, without running their scripts and without root.
//!
//! The layout of the cache: `roots/<key>/` (one system each), `roots/lock`. A system appears by rename, so a folder that is
//! there is whole; writers take turns, and the next one removes what a killed one left. Files are shared with the package
//! trees by hard links. All of them belong to who made them, who is root in a lab's user namespace.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use schism_cluster::packages::{self, PackageTree};
use sha2::{Digest, Sha256};

use crate::error::{Failure, LabError, Step};
use crate::node_packages::{EVERY_NODE, FILES_ALONE};
use crate::users;
use crate::vms::copy_folder;

/// Changes whenever a system of the same packages would come out another.
const VERSION: u32 = 1;

/// Links that packages' scripts would make.
const LINKS: &[(&str, &str)] = &[
    ("usr/bin/awk", "mawk"),
    ("usr/bin/which", "which.debianutils"),
    ("usr/bin/sh", "dash"),
    ("var/run", "/run"),
    ("var/lock", "/run/lock"),
    ("etc/mtab", "/proc/self/mounts"),
];

const FOLDERS: &[&str] =
    &["dev", "proc", "sys", "run", "tmp", "mnt", "root", "home", "etc/ssh", "var/log", "var/tmp", "var/lib"];

/// What programs that change users ask (su, runuser): the machine's passwords, and nothing else.
const PAM: &[(&str, &str)] = &[
    ("etc/pam.d/common-auth", "auth required pam_unix.so\n"),
    ("etc/pam.d/common-account", "account required pam_unix.so\n"),
    ("etc/pam.d/common-password", "password required pam_unix.so\n"),
    ("etc/pam.d/common-session", "session required pam_unix.so\n"),
    ("etc/pam.d/common-session-noninteractive", "session required pam_unix.so\n"),
];

/// Fetches what nodes with files of their own need into the cache, `packages` among it; the folder for
/// [`crate::LabSpec::root`]. Works as any user: about half a minute and 40 MB the first time, a tenth of a second later.
///
/// # Errors
/// [`LabError::Image`] with what could not be had or made.
pub fn nodes_root(cache: &Path, packages: &[&str], progress: &mut dyn FnMut(&str)) -> Result<PathBuf, LabError> {
    let names: Vec<&str> = EVERY_NODE.iter().chain(FILES_ALONE).chain(packages).copied().collect();
    let tree = packages::fetch_whole(cache, &names, progress)
        .map_err(|error| LabError::Image(Failure::new("fetching the nodes' packages", error)))?;
    let made = make(cache, &tree, progress).map_err(LabError::Image)?;
    made.canonicalize().step("finding the cache").map_err(LabError::Image)
}

fn key(packages: &[String]) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{VERSION}\n{}", packages.join("\n")));
    hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

fn make(cache: &Path, tree: &PackageTree, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, Failure> {
    let step = "making the nodes' files";
    let roots = cache.join("roots");
    let done = roots.join(key(&tree.packages));
    if done.is_dir() {
        return Ok(done);
    }
    fs::create_dir_all(&roots).step(step)?;
    let lock = fs::File::create(roots.join("lock")).step(step)?;
    lock.lock().step(step)?;
    if done.is_dir() {
        return Ok(done);
    }
    let fresh = roots.join(".new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).step(step)?;
    }
    progress(&format!("making the nodes' files of {} packages (once)", tree.packages.len()));
    let made = copy_folder(&tree.path, &fresh, Path::new(""))
        .and_then(|()| furnish(&fresh))
        .step(step)
        .and_then(|()| ldconfig(&fresh))
        .and_then(|()| fs::rename(&fresh, &done).step(step));
    if made.is_err() {
        // The failure itself says more than this one could; the next one removes it.
        let _ = fs::remove_dir_all(&fresh);
    }
    made.map(|()| done)
}

/// What packages' scripts would have made. Nothing is written into a file that is there: it is the package tree's as well.
fn furnish(root: &Path) -> io::Result<()> {
    for (link, to) in LINKS {
        let link = root.join(link);
        if fs::symlink_metadata(&link).is_err() {
            if let Some(folder) = link.parent() {
                fs::create_dir_all(folder)?;
            }
            symlink(to, link)?;
        }
    }
    for folder in FOLDERS {
        fs::create_dir_all(root.join(folder))?;
    }
    for folder in ["tmp", "var/tmp"] {
        fs::set_permissions(root.join(folder), fs::Permissions::from_mode(0o1777))?;
    }
    let master = |name: &str| fs::read_to_string(root.join(format!("usr/share/base-passwd/{name}.master")));
    let (passwd, group) = users::with_users(&master("passwd")?, &master("group")?, &[]);
    let nsswitch = "passwd: files\ngroup: files\nshadow: files\nhosts: files\n".to_owned();
    let pam = PAM.iter().map(|(path, text)| (*path, 0o644, (*text).to_owned()));
    let users = [
        ("etc/shadow", 0o600, users::shadow(&passwd)),
        ("etc/passwd", 0o644, passwd),
        ("etc/group", 0o644, group),
        ("etc/nsswitch.conf", 0o644, nsswitch),
    ];
    fs::create_dir_all(root.join("etc/pam.d"))?;
    for (path, mode, text) in users.into_iter().chain(pam) {
        let path = root.join(path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Writes the list of libraries in folders that only packages' configuration names. The system's own program does it: it is
/// statically linked.
fn ldconfig(root: &Path) -> Result<(), Failure> {
    let step = "listing the nodes' libraries";
    let program = root.join("usr/sbin/ldconfig");
    // Some systems have a script there, which calls the other.
    let real = [root.join("usr/sbin/ldconfig.real"), program].into_iter().find(|path| path.is_file());
    let real = real.ok_or_else(|| Failure::new(step, "there is no ldconfig in the package libc-bin"))?;
    // Who may not change the root gets its paths put before every other.
    let output = Command::new(real)
        .args([OsStr::new("-r"), root.as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .step(step)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(Failure::new(step, said.trim())) }
}
