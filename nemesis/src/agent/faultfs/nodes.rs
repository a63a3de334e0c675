//! Inodes: each stands for a file beneath, kept by a handle that survives renames, so that no path is ever kept.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat};

/// The number of the folder itself.
pub const ROOT: u64 = 1;
/// Numbers that we make up begin here: far above those of real file systems.
const MADE_UP: u64 = 1 << 62;

/// A file, folder or link beneath.
pub struct Inode {
    /// Its number above.
    pub id: u64,
    /// A handle of it (`O_PATH`).
    pub handle: OwnedFd,
    /// Device and inode number.
    pub key: (u64, u64),
}

impl Inode {
    /// A path that means this very file, whatever its name is now.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.handle.as_raw_fd()))
    }

    /// What it is.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn stat(&self) -> Result<FileStat, Errno> {
        fstat(&self.handle)
    }

    /// Opens its content.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn open(&self, flags: OFlag) -> Result<File, Errno> {
        nix::fcntl::open(&self.path(), flags | OFlag::O_CLOEXEC, Mode::empty()).map(File::from)
    }
}

#[derive(Default)]
struct Table {
    by_id: HashMap<u64, (Arc<Inode>, u64)>,
    by_key: HashMap<(u64, u64), u64>,
    made_up: u64,
}

/// All inodes that the kernel knows.
pub struct Nodes {
    root: Arc<Inode>,
    table: Mutex<Table>,
}

impl Nodes {
    /// Of this folder, whose handle was taken before anything was mounted over it.
    ///
    /// # Errors
    /// Where it is no folder.
    pub fn new(folder: OwnedFd) -> Result<Nodes, Errno> {
        let stat = fstat(&folder)?;
        let key = (stat.st_dev, stat.st_ino);
        let root = Arc::new(Inode { id: ROOT, handle: folder, key });
        let mut table = Table::default();
        table.by_key.insert(key, ROOT);
        Ok(Nodes { root, table: Mutex::new(table) })
    }

    /// The folder itself.
    pub fn root(&self) -> &Arc<Inode> {
        &self.root
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The inode of that number.
    ///
    /// # Errors
    /// ESTALE for one that the kernel should have forgotten.
    pub fn get(&self, id: u64) -> Result<Arc<Inode>, Errno> {
        if id == ROOT {
            return Ok(Arc::clone(&self.root));
        }
        self.table().by_id.get(&id).map(|(inode, _)| Arc::clone(inode)).ok_or(Errno::ESTALE)
    }

    /// Finds a name in a folder; the kernel then knows it once more.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn look_up(&self, parent: &Inode, name: &OsStr) -> Result<(Arc<Inode>, FileStat), Errno> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let handle = openat(&parent.handle, name, flags, Mode::empty())?;
        let stat = fstat(&handle)?;
        let key = (stat.st_dev, stat.st_ino);
        let mut table = self.table();
        if let Some(id) = table.by_key.get(&key).copied() {
            if id == ROOT {
                return Ok((Arc::clone(&self.root), stat));
            }
            if let Some((inode, known)) = table.by_id.get_mut(&id) {
                *known += 1;
                return Ok((Arc::clone(inode), stat));
            }
        }
        let taken = |id: u64| id <= ROOT || id >= MADE_UP || table.by_id.contains_key(&id);
        let id = if taken(stat.st_ino) { MADE_UP + table.made_up } else { stat.st_ino };
        table.made_up += u64::from(id >= MADE_UP);
        let inode = Arc::new(Inode { id, handle, key });
        table.by_key.insert(key, id);
        table.by_id.insert(id, (Arc::clone(&inode), 1));
        Ok((inode, stat))
    }

    /// The kernel knows it so many times less.
    pub fn forget(&self, id: u64, times: u64) {
        let mut table = self.table();
        let Some((inode, known)) = table.by_id.get_mut(&id) else { return };
        *known = known.saturating_sub(times);
        if *known == 0 {
            let key = inode.key;
            table.by_id.remove(&id);
            table.by_key.remove(&key);
        }
    }

    /// Where it lies below the folder now; `None` for one that has no name any more.
    pub fn path_of(&self, inode: &Inode) -> Option<String> {
        let path = std::fs::read_link(inode.path()).ok()?;
        let root = std::fs::read_link(self.root.path()).ok()?;
        let below = path.strip_prefix(root).ok()?.to_string_lossy().into_owned();
        (!below.ends_with(" (deleted)")).then_some(below)
    }
}
