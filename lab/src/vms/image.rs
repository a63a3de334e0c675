//! The image of a lab's machines: kernel, first root in memory, root disk, data disk. Made once into the cache out of
//! unpacked packages, without running their scripts and without a loop device; named by what is in it.
//!
//! The layout of the cache: `vms/images/<key>/` with `kernel`, `initrd`, `root.img`, `data.img` and `image.json`;
//! `vms/lock`. An image appears by rename, so a folder that is there is whole; writers take turns, and the next one
//! removes what a killed one left.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use schism_cluster::DATA_DISK;
use schism_cluster::packages::PackageTree;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cpio::Archive;
use super::modules;
use super::qemu::TRIPLET;
use crate::error::{Failure, Step};
use crate::{sshd, users};

/// Changes whenever an image of the same packages would come out another.
const IMAGE_VERSION: u32 = 1;

/// Size of the root disk; sparse, as the other.
const ROOT_BYTES: u64 = 2 << 30;
/// Size of the data disk.
const DATA_BYTES: u64 = 1 << 30;

/// What the first root loads. A module that this kernel has built in is left out.
const BOOT_MODULES: &[&str] = &["virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "ext4"];

/// Folders of packages that no node needs.
const LEFT_OUT: &[&str] =
    &["boot", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian"];

/// Links that packages' scripts would make.
const LINKS: &[(&str, &str)] = &[
    ("usr/sbin/init", "../bin/busybox"),
    ("usr/sbin/reboot", "../bin/busybox"),
    ("usr/sbin/halt", "../bin/busybox"),
    ("usr/sbin/poweroff", "../bin/busybox"),
    ("usr/bin/awk", "mawk"),
    ("usr/bin/which", "which.debianutils"),
    ("usr/bin/sh", "dash"),
    ("usr/bin/vi", "busybox"),
    ("var/run", "/run"),
    ("var/lock", "/run/lock"),
    ("etc/mtab", "/proc/self/mounts"),
];

const INIT: &str = include_str!("guest/init");
const PROBE: &str = include_str!("guest/probe");
const RC: &str = include_str!("guest/rc");
const INITTAB: &str = include_str!("guest/inittab");

/// Emulated machines agree on keys ten times faster by these than by the newest ways.
const FAST_KEYS: &str =
    "KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384\n";

/// What an image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Image {
    schema_version: u32,
    /// Version of its kernel, as `uname -r` says it.
    pub(crate) kernel: String,
    /// Size of the root disk.
    pub(crate) root_bytes: u64,
    /// Size of the data disk.
    pub(crate) data_bytes: u64,
    /// What is in it, each as `name_version_arch`.
    pub(crate) packages: Vec<String>,
}

impl Image {
    /// Reads what the image in this folder is.
    pub(crate) fn read(folder: &Path) -> Option<Image> {
        let image: Image = serde_json::from_slice(&fs::read(folder.join("image.json")).ok()?).ok()?;
        (image.schema_version == IMAGE_VERSION).then_some(image)
    }
}

/// The name of the image of these packages.
fn key(packages: &[String]) -> String {
    let mut hash = Sha256::new();
    for part in [&IMAGE_VERSION.to_string(), INIT, PROBE, RC, INITTAB, FAST_KEYS, &sshd::config(false, true)] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.update(packages.join("\n"));
    hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// The folder of the image of a whole machine's packages; made if it is not there, which takes about ten seconds.
pub(crate) fn make(cache: &Path, tree: &PackageTree, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, Failure> {
    let images = cache.join("vms/images");
    let done = images.join(key(&tree.packages));
    if Image::read(&done).is_some() {
        return Ok(done);
    }
    let step = "making the image's folder";
    fs::create_dir_all(&images).step(step)?;
    let lock = fs::File::create(cache.join("vms/lock")).step(step)?;
    lock.lock().step(step)?;
    if Image::read(&done).is_some() {
        return Ok(done);
    }
    let fresh = images.join(".new");
    for leftover in [&fresh, &done] {
        if leftover.exists() {
            fs::remove_dir_all(leftover).step(step)?;
        }
    }
    progress(&format!("making the machines' image of {} packages (once)", tree.packages.len()));
    let made = build(tree, &fresh).and_then(|()| {
        for leftover in ["stage", "tools"] {
            fs::remove_dir_all(fresh.join(leftover)).step(step)?;
        }
        fs::rename(&fresh, &done).step(step)
    });
    if made.is_err() {
        // The failure itself says more than this one could; the next image removes it.
        let _ = fs::remove_dir_all(&fresh);
    }
    made.map(|()| done)
}

fn build(tree: &PackageTree, fresh: &Path) -> Result<(), Failure> {
    let stage = fresh.join("stage");
    fs::create_dir(fresh).step("making the image's folder")?;
    copy_folder(&tree.path, &stage, Path::new("")).step("laying out the image's files")?;
    let kernel = kernel_version(&stage)?;
    fs::copy(tree.path.join(format!("boot/vmlinuz-{kernel}")), fresh.join("kernel")).step("copying the kernel")?;
    furnish(&stage).step("writing the image's files")?;
    tool(&stage, "usr/sbin/depmod", &["-b".as_ref(), stage.as_os_str(), kernel.as_ref()])?;
    // Statically linked, so that it runs anywhere.
    let ldconfig = Command::new(stage.join("usr/sbin/ldconfig"));
    finish(ldconfig, "usr/sbin/ldconfig", &["-r".as_ref(), stage.as_os_str()])?;
    let first_root = first_root(&stage, &kernel).step("making the first root")?;
    fs::write(fresh.join("initrd"), first_root).step("writing the first root")?;
    let (root, data) = (fresh.join("root.img"), fresh.join("data.img"));
    disk(&stage, &root, ROOT_BYTES, Some(&stage))?;
    disk(&stage, &data, DATA_BYTES, None)?;
    let image = Image {
        schema_version: IMAGE_VERSION,
        kernel,
        root_bytes: ROOT_BYTES,
        data_bytes: DATA_BYTES,
        packages: tree.packages.clone(),
    };
    let text = serde_json::to_vec_pretty(&image).step("describing the image")?;
    fs::write(fresh.join("image.json"), text).step("describing the image")
}

/// Copies a tree by linking its files, so that it takes no space. Nothing may be written into a file of the copy in place.
pub(crate) fn copy_folder(from: &Path, to: &Path, at: &Path) -> io::Result<()> {
    let meta = fs::metadata(from)?;
    fs::DirBuilder::new().mode(meta.mode() & 0o7777).create(to)?;
    lchown(to, Some(meta.uid()), Some(meta.gid()))?;
    // Again, as the mask and a change of owner take bits away.
    fs::set_permissions(to, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = at.join(entry.file_name());
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if LEFT_OUT.iter().any(|left_out| place == Path::new(left_out)) {
            continue;
        }
        if kind.is_dir() {
            copy_folder(&source, &target, &place)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_file() && fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target)?;
            let meta = entry.metadata()?;
            lchown(&target, Some(meta.uid()), Some(meta.gid()))?;
            fs::set_permissions(&target, meta.permissions())?;
        }
    }
    Ok(())
}

/// The one kernel whose modules are there.
fn kernel_version(stage: &Path) -> Result<String, Failure> {
    let modules = stage.join("usr/lib/modules");
    let entries = fs::read_dir(&modules).step("looking for the kernel's modules")?;
    let mut versions: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    versions.sort();
    versions.pop().ok_or_else(|| Failure::new("looking for the kernel's modules", "there are none"))
}

/// What packages' scripts would have made, and what is ours.
fn furnish(stage: &Path) -> io::Result<()> {
    for (link, to) in LINKS {
        let link = stage.join(link);
        if fs::symlink_metadata(&link).is_err() {
            symlink(to, link)?;
        }
    }
    for folder in ["dev", "proc", "sys", "run", "tmp", "root", "home", "etc/schism", "var/log", "var/tmp"] {
        fs::create_dir_all(stage.join(folder))?;
    }
    let master = |name: &str| fs::read_to_string(stage.join(format!("usr/share/base-passwd/{name}.master")));
    let (passwd, group) = users::with_users(&master("passwd")?, &master("group")?, &[]);
    let penalties = sshd::knows_penalties(&stage.join("usr/sbin/sshd"));
    for (path, mode, text) in [
        ("etc/passwd", 0o644, passwd.clone()),
        ("etc/group", 0o644, group),
        ("etc/shadow", 0o600, users::shadow(&passwd)),
        ("etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n".to_owned()),
        ("etc/ssh/sshd_config", 0o644, sshd::config(false, penalties) + FAST_KEYS),
        ("etc/inittab", 0o644, INITTAB.to_owned()),
        ("etc/schism/rc", 0o755, RC.replace("@DATA@", DATA_DISK)),
    ] {
        replace(&stage.join(path), text.as_bytes(), mode)?;
    }
    Ok(())
}

/// Writes a file that may be a link to one of the package tree: never into it.
fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::write(path, content)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// The archive that the kernel unpacks before there are disks. Not compressed: under emulation that takes longer than it
/// saves.
fn first_root(stage: &Path, kernel: &str) -> io::Result<Vec<u8>> {
    let folder = stage.join("usr/lib/modules").join(kernel);
    let order = modules::in_order(&fs::read_to_string(folder.join("modules.dep"))?, BOOT_MODULES);
    let mut archive = Archive::default();
    archive.file("init", 0o755, INIT.as_bytes());
    archive.file("probe", 0o755, PROBE.as_bytes());
    archive.file("bin/busybox", 0o755, &fs::read(stage.join("usr/bin/busybox"))?);
    let names: Vec<String> = order.iter().map(|path| path.replace('/', "-")).collect();
    for (path, name) in order.iter().zip(&names) {
        archive.file(&format!("modules/{name}"), 0o644, &fs::read(folder.join(path))?);
    }
    let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
    archive.file("modules/order", 0o644, lines.as_bytes());
    Ok(archive.finish())
}

/// A disk with an ext4 file system. The image's own tools make it: a newer machine's would use what its kernel cannot.
fn disk(stage: &Path, file: &Path, bytes: u64, content: Option<&Path>) -> Result<(), Failure> {
    let made = fs::File::create(file).and_then(|opened| opened.set_len(bytes));
    made.step("making a disk")?;
    let mut args: Vec<&std::ffi::OsStr> =
        ["-q", "-F", "-t", "ext4", "-m", "1", "-E", "lazy_itable_init=1,nodiscard"].map(str::as_ref).to_vec();
    if let Some(content) = content {
        args.extend(["-d".as_ref(), content.as_os_str()]);
    }
    args.push(file.as_os_str());
    tool(stage, "usr/sbin/mke2fs", &args)
}

/// Runs a program of the image on this machine, with the image's libraries.
fn tool(stage: &Path, program: &str, args: &[&std::ffi::OsStr]) -> Result<(), Failure> {
    let step = format!("running the image's {program}");
    let libraries = stage.join("usr/lib").join(TRIPLET);
    // Under its own name, by which some programs know what to do, but not by a link that leads out of the image.
    let tools = stage.with_file_name("tools");
    let called = tools.join(Path::new(program).file_name().unwrap_or_default());
    if !called.exists() {
        fs::create_dir_all(&tools).step(&step)?;
        symlink(inside(stage, program), &called).step(&step)?;
    }
    let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
    command.arg("--library-path").arg(&libraries).arg(&called).env("MKE2FS_CONFIG", stage.join("etc/mke2fs.conf"));
    finish(command, program, args)
}

fn finish(mut command: Command, program: &str, args: &[&std::ffi::OsStr]) -> Result<(), Failure> {
    let step = format!("running the image's {program}");
    let output =
        command.args(args).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null()).output().step(&step)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(step, said.trim()).hint("Is the disk full? Give another folder with SCHISM_CACHE"))
}

/// The path of a program of the image, with a link followed as within the image.
fn inside(stage: &Path, program: &str) -> PathBuf {
    let path = stage.join(program);
    match fs::read_link(&path) {
        Ok(to) if to.is_absolute() => stage.join(to.strip_prefix("/").unwrap_or(&to)),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_within_the_image() {
        let folder = tempfile::tempdir().unwrap();
        let stage = folder.path();
        symlink("/bin/kmod", stage.join("depmod")).unwrap();
        symlink("other", stage.join("near")).unwrap();
        assert_eq!(inside(stage, "depmod"), stage.join("bin/kmod"));
        assert_eq!(inside(stage, "near"), stage.join("near"));
        assert_eq!(inside(stage, "none"), stage.join("none"));
    }

    #[test]
    fn another_package_is_another_image() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let one = key(&names(&["a_1_all", "b_1_all"]));
        assert_eq!(one.len(), 24);
        assert_eq!(one, key(&names(&["a_1_all", "b_1_all"])));
        assert_ne!(one, key(&names(&["a_1_all", "b_2_all"])));
        assert_ne!(one, key(&names(&["a_1_all"])));
    }

    #[test]
    fn a_copy_shares_files_and_writing_into_it_spares_the_tree() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, stage) = (folder.path().join("tree"), folder.path().join("stage"));
        for file in ["etc/a", "usr/share/doc/a/readme", "boot/vmlinuz"] {
            fs::create_dir_all(tree.join(file).parent().unwrap()).unwrap();
            fs::write(tree.join(file), "old").unwrap();
        }
        fs::set_permissions(tree.join("etc"), fs::Permissions::from_mode(0o1777)).unwrap();
        symlink("a", tree.join("etc/link")).unwrap();
        copy_folder(&tree, &stage, Path::new("")).unwrap();
        assert_eq!(fs::metadata(stage.join("etc")).unwrap().mode() & 0o7777, 0o1777);
        assert_eq!(fs::read_link(stage.join("etc/link")).unwrap(), Path::new("a"));
        assert!(!stage.join("usr/share/doc").exists() && !stage.join("boot").exists());
        replace(&stage.join("etc/a"), b"new", 0o600).unwrap();
        assert_eq!(fs::read_to_string(tree.join("etc/a")).unwrap(), "old");
        assert_eq!(fs::read_to_string(stage.join("etc/a")).unwrap(), "new");
    }

    #[test]
    fn an_image_that_is_not_whole_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Image::read(folder.path()), None);
        fs::write(folder.path().join("image.json"), "{\"schema_version\": 1").unwrap();
        assert_eq!(Image::read(folder.path()), None);
    }
}
