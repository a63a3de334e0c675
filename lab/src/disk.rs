//! A node's data disk: an ext4 file system in a sparse image, so that losing power and losing the disk are real there.
//!
//! The image lies in memory, in a tmpfs of the holder: it goes with the holder, however that ends, and so does the loop
//! device (it clears itself when nothing has it mounted). A disk costs memory as it fills, twice while its pages are
//! cached (the cache is given back under pressure), and gives it back as files on it are removed.
//!
//! The holder keeps the disk mounted for itself as well, in its own mount namespace. That is the handle by which the plug
//! is pulled (`FS_IOC_SHUTDOWN`: nothing is written any more, neither data nor journal), and it keeps the file system from
//! being unmounted, and so written, between the death of the node's processes and the pulling of the plug. Mounted
//! again, the file system replays its journal: what was synced is there, and the rest as ext4 leaves it.
//!
//! The kernel commits the journal of its own accord only every [`COMMIT_S`] seconds here, so that a power loss has
//! something to lose; it writes file contents back after half a minute as everywhere.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::Whence;
use schism_cluster::DATA_DISK;

use crate::disk_sys;
use crate::error::{Failure, Step};
use crate::holder::state;

/// How long ext4 may keep its journal to itself.
const COMMIT_S: u32 = 300;
/// How long a file system that was unmounted may take to be gone.
const GONE_MAX: Duration = Duration::from_secs(1);
/// How often a free loop device is looked for, as others look too.
const LOOP_TRIES: usize = 64;
/// Below this ext4 has no room for a journal.
pub(crate) const BYTES_MIN: u64 = 16 << 20;
/// More than any machine has memory for, and less than numbers can hold.
pub(crate) const BYTES_MAX: u64 = 1 << 40;

/// A node's data disk.
#[derive(Debug)]
pub(crate) struct Disk {
    /// `LAB-NODE`: part of the image's name, by which a loop device is known as ours.
    name: String,
    /// Where the holder has it mounted. Init finds it there too.
    point: PathBuf,
    /// How many images there have been.
    generation: u32,
    /// The number of the loop device, while it is mounted.
    device: Option<u32>,
    failed: bool,
}

/// Where the holder has the disk of this node mounted.
pub(crate) fn mount_point(node: &str) -> PathBuf {
    PathBuf::from(state(&format!("disks/{node}")))
}

/// Makes the disks of all nodes, empty and not yet mounted.
///
/// # Errors
/// Why this machine cannot; nothing is left then.
pub(crate) fn make_all(lab: &str, nodes: &[String], bytes: u64) -> Result<Vec<Disk>, String> {
    can_be()?;
    let made = make_mounted(lab, nodes, bytes);
    if made.is_err() {
        // With all that is mounted in it. It may not be there at all.
        let _ = umount2(state("disks").as_str(), MntFlags::MNT_DETACH);
    }
    made
}

fn make_mounted(lab: &str, nodes: &[String], bytes: u64) -> Result<Vec<Disk>, String> {
    let why = |failure: Failure| failure.to_string();
    let (folder, blank) = (state("disks"), state("disks/blank.img"));
    // Room for one further copy of each (see `Disk::replace`).
    let room = bytes.saturating_mul(2 * nodes.len() as u64).saturating_add(1 << 20);
    let options = format!("mode=700,size={room}");
    fs::create_dir(&folder).step("making the data disks").map_err(why)?;
    mount(Some("disks"), folder.as_str(), Some("tmpfs"), MsFlags::MS_NODEV, Some(options.as_str()))
        .step("mounting the memory of the data disks")
        .map_err(why)?;
    make_file_system(Path::new(&blank), bytes).map_err(why)?;
    let make = |node: &String| -> io::Result<Disk> {
        let disk = Disk {
            name: format!("{lab}-{node}"),
            point: mount_point(node),
            generation: 0,
            device: None,
            failed: false,
        };
        fs::create_dir(&disk.point)?;
        copy_sparse(Path::new(&blank), &disk.image())?;
        Ok(disk)
    };
    let mut disks =
        nodes.iter().map(make).collect::<io::Result<Vec<_>>>().step("making the data disks").map_err(why)?;
    fs::remove_file(&blank).step("making the data disks").map_err(why)?;
    // Now, so that a machine that cannot (a container without loop devices, say) is known before the nodes come up.
    for disk in &mut disks {
        disk.mount()?;
    }
    Ok(disks)
}

/// What can be known without trying.
fn can_be() -> Result<(), String> {
    if !fs::read_to_string("/proc/filesystems").is_ok_and(|text| text.lines().any(|line| line.trim() == "ext4")) {
        return Err("this kernel has no ext4 (module `ext4`)".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Err("this kernel has no loop devices, or /dev has not (module `loop`)".to_owned());
    }
    Ok(())
}

fn make_file_system(image: &Path, bytes: u64) -> Result<(), Failure> {
    let step = "making the data disks";
    File::create_new(image).and_then(|file| file.set_len(bytes)).step(step)?;
    let output = Command::new("mkfs.ext4")
        // Nothing kept for root, which is whom databases run as here; no discarding of what is empty anyway.
        .args(["-q", "-F", "-b", "4096", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"])
        .arg(image)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .map_err(|error| Failure::new(step, format!("`mkfs.ext4`: {error}")).hint("Install e2fsprogs"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::new(step, format!("`mkfs.ext4`: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

impl Disk {
    fn image(&self) -> PathBuf {
        PathBuf::from(state(&format!("disks/{}.{}.img", self.name, self.generation)))
    }

    /// Whether the holder has it mounted.
    pub(crate) fn is_mounted(&self) -> bool {
        self.device.is_some()
    }

    /// Whether it takes writes: its plug was not pulled, by us or by others, and the kernel found no damage.
    pub(crate) fn is_well(&self) -> bool {
        use nix::libc::{EIO, EROFS, O_TMPFILE};
        let nameless = File::options().write(true).custom_flags(O_TMPFILE).open(&self.point);
        let refused = |error: io::Error| matches!(error.raw_os_error(), Some(EIO | EROFS));
        self.device.is_some() && !self.failed && !nameless.is_err_and(refused)
    }

    /// Mounts it where the holder sees it; what is in the journal is replayed. Fine if it is mounted.
    ///
    /// # Errors
    /// No loop device, or a file system that the kernel refuses.
    pub(crate) fn mount(&mut self) -> Result<(), String> {
        if self.device.is_some() {
            return Ok(());
        }
        let why = |what: &str, error: &dyn std::fmt::Display| format!("{what} the data disk {}: {error}", self.name);
        // While this is open the device stays ours.
        let (number, device) = attach(&self.image()).map_err(|error| why("attaching", &error))?;
        let options = format!("commit={COMMIT_S},errors=remount-ro,noinit_itable,discard");
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOATIME;
        mount(Some(device_path(number).as_str()), &self.point, Some("ext4"), flags, Some(options.as_str()))
            .map_err(|error| why("mounting", &error))?;
        drop(device);
        self.device = Some(number);
        self.failed = false;
        Ok(())
    }

    /// Pulls its plug: what was not synced is lost, and whoever uses it gets errors. Fine if it was pulled.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn fail(&mut self) -> Result<(), String> {
        if self.device.is_none() {
            return Err(format!("the data disk {} is not in use", self.name));
        }
        if self.failed {
            return Ok(());
        }
        File::open(&self.point)
            .and_then(|folder| disk_sys::shut_down(&folder))
            .map_err(|error| format!("taking the power from the data disk {}: {error}", self.name))?;
        self.failed = true;
        Ok(())
    }

    /// Writes everything that is not yet written.
    ///
    /// # Errors
    /// Of the file system.
    pub(crate) fn sync(&self) -> Result<(), String> {
        let synced = File::open(&self.point).and_then(|folder| nix::unistd::syncfs(&folder).map_err(io::Error::from));
        synced.map_err(|error| format!("syncing the data disk {}: {error}", self.name))
    }

    /// Takes it out of the holder's mounts and waits until it is gone. Where somebody still holds it (a process that
    /// survived with an open file), the disk goes on as a copy of what was on it: two file systems must not share an
    /// image. Only one whose plug was pulled is copied, as another may still be written.
    ///
    /// # Errors
    /// If it cannot be unmounted, or is held by others while it has power.
    pub(crate) fn unmount(&mut self) -> Result<(), String> {
        let Some(number) = self.device else { return Ok(()) };
        match umount2(&self.point, MntFlags::MNT_DETACH) {
            // EINVAL: it is not mounted there any more.
            Ok(()) | Err(Errno::EINVAL) => {}
            Err(error) => return Err(format!("unmounting the data disk {}: {error}", self.name)),
        }
        let since = Instant::now();
        while self.is_behind(number) {
            if since.elapsed() > GONE_MAX {
                return self.replace();
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.device = None;
        Ok(())
    }

    /// Whether its image is (still) behind this loop device.
    fn is_behind(&self, number: u32) -> bool {
        let file = fs::read_to_string(format!("/sys/block/loop{number}/loop/backing_file")).unwrap_or_default();
        file.contains(&format!("/{}.{}.img", self.name, self.generation))
    }

    /// Goes on with a copy.
    fn replace(&mut self) -> Result<(), String> {
        if !self.failed {
            return Err(format!("the data disk {} is still held by a process, and has power", self.name));
        }
        let old = self.image();
        self.generation += 1;
        copy_sparse(&old, &self.image()).map_err(|error| format!("copying the data disk {}: {error}", self.name))?;
        fs::remove_file(&old).map_err(|error| format!("removing an old data disk of {}: {error}", self.name))?;
        self.device = None;
        Ok(())
    }

    /// Brings it back to a node that runs: takes what has no power out of the node's mounts and mounts it there again.
    /// Fine if it is well.
    ///
    /// # Errors
    /// Of any of the steps. To be called again then.
    pub(crate) fn restore(&mut self, init_pid: u32) -> Result<(), String> {
        if self.device.is_some() && !self.is_well() {
            self.fail()?;
            let old = fs::metadata(&self.point).map(|folder| folder.dev()).ok();
            in_mounts_of(init_pid, move || unmount_all(Path::new(DATA_DISK), old))?;
            self.unmount()?;
        }
        self.mount()?;
        let step = |error: io::Error| format!("mounting the data disk {} on its node: {error}", self.name);
        let device = fs::metadata(&self.point).map_err(step)?.dev();
        let copy = disk_sys::clone_mount(&self.point).map_err(step)?;
        in_mounts_of(init_pid, move || {
            let point = Path::new(DATA_DISK);
            if fs::metadata(point)?.dev() == device { Ok(()) } else { disk_sys::hang_mount(&copy, point) }
        })
    }
}

/// Unmounts what is of this device, from the top; what lies over it is not ours and stays, which is told.
fn unmount_all(point: &Path, device: Option<u64>) -> io::Result<()> {
    let Some(device) = device else { return Ok(()) };
    // `stat` of a file system without power still answers, as its root is in memory.
    while fs::metadata(point)?.dev() == device {
        umount2(point, MntFlags::MNT_DETACH)?;
    }
    // That of the node's init: who enters a mount namespace is no process of the pid namespace.
    let text = fs::read_to_string("/proc/1/mountinfo")?;
    let wanted = format!("{}:{}", nix::sys::stat::major(device), nix::sys::stat::minor(device));
    if text.lines().any(|line| line.split(' ').nth(2) == Some(wanted.as_str())) {
        return Err(io::Error::other(format!("something else is mounted over {}: unmount it first", point.display())));
    }
    Ok(())
}

/// Does something in the mount namespace of a process, in a thread of its own, whose it then is.
fn in_mounts_of(pid: u32, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), String> {
    let entered = move || -> io::Result<()> {
        let namespace = File::open(format!("/proc/{pid}/ns/mnt"))?;
        // A thread that shares its working folder with others may not enter.
        unshare(CloneFlags::CLONE_FS)?;
        setns(namespace, CloneFlags::CLONE_NEWNS)?;
        work()
    };
    let thread = thread::Builder::new().name("mounts".to_owned()).spawn(entered);
    let done = thread.map_err(|error| error.to_string())?.join();
    done.unwrap_or_else(|_| Err(io::Error::other("the thread ended early"))).map_err(|error| error.to_string())
}

fn device_path(number: u32) -> String {
    format!("/dev/loop{number}")
}

fn attach(image: &Path) -> io::Result<(u32, File)> {
    let image = File::options().read(true).write(true).open(image)?;
    let mut last = io::Error::from(io::ErrorKind::ResourceBusy);
    for _ in 0..LOOP_TRIES {
        let number = disk_sys::free_loop_device()?;
        let device = File::options().read(true).write(true).open(device_path(number))?;
        match disk_sys::attach(&device, &image) {
            Ok(()) => return Ok((number, device)),
            Err(error) if error.raw_os_error() == Some(nix::libc::EBUSY) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Copies a file with its holes.
fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = File::create_new(to)?;
    let length = source.metadata()?.len();
    target.set_len(length)?;
    let mut at = 0;
    while let Some((start, end)) = next_data(&source, at)? {
        source.seek(SeekFrom::Start(start))?;
        target.seek(SeekFrom::Start(start))?;
        io::copy(&mut Read::by_ref(&mut source).take(end - start), &mut target)?;
        at = end;
    }
    target.flush()
}

/// The next piece of a file that is no hole, from this place on.
fn next_data(file: &File, from: u64) -> io::Result<Option<(u64, u64)>> {
    let seek = |from: u64, whence| -> io::Result<u64> {
        let from = i64::try_from(from).map_err(io::Error::other)?;
        u64::try_from(nix::unistd::lseek(file, from, whence)?).map_err(io::Error::other)
    };
    let start = match seek(from, Whence::SeekData) {
        Ok(start) => start,
        Err(error) if error.raw_os_error() == Some(nix::libc::ENXIO) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some((start, seek(start, Whence::SeekHole)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_stay_holes_and_bytes_stay_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let mut file = File::create(&from).unwrap();
        file.set_len(64 << 20).unwrap();
        for (at, text) in [(0_u64, "head"), (10 << 20, "middle"), ((64 << 20) - 4, "tail")] {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }
        copy_sparse(&from, &to).unwrap();
        assert!(fs::read(&from).unwrap() == fs::read(&to).unwrap());
        // Where the file system knows holes, the copy has them.
        let (old, new) = (fs::metadata(&from).unwrap().blocks(), fs::metadata(&to).unwrap().blocks());
        assert!(new <= old.max(1024), "{new} blocks instead of {old}");
        let empty = folder.path().join("empty");
        File::create(&empty).unwrap();
        copy_sparse(&empty, &folder.path().join("copy")).unwrap();
        assert_eq!(fs::metadata(folder.path().join("copy")).unwrap().len(), 0);
    }
}
