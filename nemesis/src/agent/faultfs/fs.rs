//! The kernel's requests, answered: each is a few lines that pass [`Disk`] and then reach the file beneath.
//!
//! The kernel keeps no attribute and no name (their time to live is 0) and drops a file's pages when it is opened, so
//! that a crash leaves nothing stale. It checks permissions itself; what is made gets the caller's user and group.
//! Not covered: extended attributes and ACLs, `O_DIRECT` (served through the cache), leases.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat, renameat2};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, mkdirat, mknodat, utimensat};
use nix::sys::statvfs::fstatvfs;
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};

use super::disk::{Disk, Handle, errno};
use super::nodes::Inode;
use super::rules::OpKind;

/// How long the kernel may keep names and attributes: not at all.
const TTL: Duration = Duration::ZERO;
const GENERATION: Generation = Generation(0);

/// A listing: number, kind and name of each entry.
type Listing = Vec<(u64, FileType, std::ffi::OsString)>;

/// The file system.
pub struct FaultFs {
    disk: Arc<Disk>,
    listings: Mutex<std::collections::HashMap<u64, Arc<Listing>>>,
}

/// To fuser's number.
fn told(error: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(error as i32)
}

fn time(seconds: i64, nanos: i64) -> SystemTime {
    let nanos = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    let span = Duration::from_secs(seconds.unsigned_abs());
    let whole = if seconds < 0 { UNIX_EPOCH.checked_sub(span) } else { UNIX_EPOCH.checked_add(span) };
    whole.and_then(|time| time.checked_add(nanos)).unwrap_or(UNIX_EPOCH)
}

fn kind(mode: u32) -> FileType {
    match SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFDIR => FileType::Directory,
        SFlag::S_IFLNK => FileType::Symlink,
        SFlag::S_IFIFO => FileType::NamedPipe,
        SFlag::S_IFSOCK => FileType::Socket,
        SFlag::S_IFCHR => FileType::CharDevice,
        SFlag::S_IFBLK => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

fn attributes(id: u64, stat: &FileStat) -> FileAttr {
    FileAttr {
        ino: INodeNo(id),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        crtime: UNIX_EPOCH,
        kind: kind(stat.st_mode),
        perm: (stat.st_mode & 0o7777) as u16,
        nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: stat.st_rdev as u32,
        blksize: u32::try_from(stat.st_blksize).unwrap_or(4096),
        flags: 0,
    }
}

/// What a time is to be set to.
fn time_spec(time: Option<TimeOrNow>) -> TimeSpec {
    match time {
        None => TimeSpec::UTIME_OMIT,
        Some(TimeOrNow::Now) => TimeSpec::UTIME_NOW,
        Some(TimeOrNow::SpecificTime(time)) => match time.duration_since(UNIX_EPOCH) {
            Ok(span) => TimeSpec::from_duration(span),
            Err(before) => {
                // Nanoseconds count forward even before 1970.
                let span = before.duration();
                let nanos = i64::from(span.subsec_nanos());
                let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
                if nanos == 0 {
                    TimeSpec::new(-seconds, 0)
                } else {
                    TimeSpec::new(-seconds.saturating_add(1), 1_000_000_000 - nanos)
                }
            }
        },
    }
}

impl FaultFs {
    /// Over this disk.
    pub fn new(disk: Arc<Disk>) -> FaultFs {
        FaultFs { disk, listings: Mutex::default() }
    }

    /// An inode that an operation on names speaks of, once it may.
    fn to_change(&self, id: INodeNo) -> Result<Arc<Inode>, Errno> {
        let inode = self.disk.nodes.get(id.0)?;
        self.disk.pass(OpKind::Name, &inode)?;
        Ok(inode)
    }

    /// As [`FaultFs::to_change`], for what takes room.
    fn to_add(&self, id: INodeNo) -> Result<Arc<Inode>, Errno> {
        let inode = self.to_change(id)?;
        if self.disk.is_full() { Err(Errno::ENOSPC) } else { Ok(inode) }
    }

    fn find(&self, parent: &Inode, name: &OsStr) -> Result<FileAttr, Errno> {
        let (inode, stat) = self.disk.nodes.look_up(parent, name)?;
        Ok(attributes(inode.id, &stat))
    }

    /// Gives what was just made its mode and its owner. In a folder with the set-group bit the group is the folder's.
    fn own(&self, req: &Request, parent: &Inode, name: &OsStr, mode: Option<u32>) -> Result<FileAttr, Errno> {
        let inherits = parent.stat()?.st_mode & Mode::S_ISGID.bits() != 0;
        let group = (!inherits).then(|| Gid::from_raw(req.gid()));
        let (inode, stat) = self.disk.nodes.look_up(parent, name)?;
        let owned = fchownat(&inode.handle, "", Some(Uid::from_raw(req.uid())), group, AtFlags::AT_EMPTY_PATH)
            .and_then(|()| {
                let Some(mode) = mode else { return Ok(()) };
                let folder = kind(stat.st_mode) == FileType::Directory;
                let mode = if inherits && folder { mode | Mode::S_ISGID.bits() } else { mode };
                set_mode(&inode, mode)
            });
        match owned.and_then(|()| inode.stat()) {
            Ok(stat) => Ok(attributes(inode.id, &stat)),
            Err(error) => {
                self.disk.nodes.forget(inode.id, 1);
                Err(error)
            }
        }
    }

    fn open_file(&self, inode: &Arc<Inode>, flags: i32) -> Result<u64, Errno> {
        self.disk.alive()?;
        let wanted = OFlag::from_bits_truncate(flags);
        if writes(wanted) {
            // A disk that cannot be written refuses such an open already.
            self.disk.pass_open_for_write(inode)?;
        }
        let file = open_beneath(wanted, |flags| inode.open(flags))?;
        Ok(self.disk.keep(Arc::clone(inode), file, is_synchronous(wanted)))
    }

    fn create_file(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        flags: i32,
    ) -> Result<(FileAttr, u64), Errno> {
        let parent = self.to_add(parent)?;
        let wanted = OFlag::from_bits_truncate(flags);
        let exclusive = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        match openat(&parent.handle, name, exclusive, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(_) => {
                let attr = self.own(req, &parent, name, Some(mode))?;
                let inode = self.disk.nodes.get(attr.ino.0)?;
                let file = open_beneath(wanted, |flags| inode.open(flags))?;
                Ok((attr, self.disk.keep(inode, file, is_synchronous(wanted))))
            }
            Err(Errno::EEXIST) if !wanted.contains(OFlag::O_EXCL) => {
                let (inode, stat) = self.disk.nodes.look_up(&parent, name)?;
                Ok((attributes(inode.id, &stat), self.open_file(&inode, flags)?))
            }
            Err(error) => Err(error),
        }
    }

    /// The handle through which a size is set: the caller's, or one for this alone.
    fn resize(&self, inode: &Arc<Inode>, fh: Option<FileHandle>, size: u64) -> Result<(), Errno> {
        if let Some(handle) = fh.and_then(|fh| self.disk.handle(fh.0).ok()) {
            return self.disk.resize(&handle, size);
        }
        let file = Arc::new(inode.open(OFlag::O_RDWR)?);
        self.disk.resize(&Handle { inode: Arc::clone(inode), file, synchronous: false }, size)
    }

    fn list(&self, inode: &Inode) -> Result<Listing, Errno> {
        let mut listing: Listing =
            [".", ".."].iter().map(|name| (inode.id, FileType::Directory, (*name).into())).collect();
        for entry in std::fs::read_dir(inode.path()).map_err(errno)? {
            use std::os::unix::fs::DirEntryExt;
            let entry = entry.map_err(errno)?;
            let kind = entry.file_type().ok().and_then(FileType::from_std).unwrap_or(FileType::RegularFile);
            listing.push((entry.ino(), kind, entry.file_name()));
        }
        Ok(listing)
    }

    fn listings(&self) -> std::sync::MutexGuard<'_, std::collections::HashMap<u64, Arc<Listing>>> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The listing of an open folder, read anew when it is read from its begin.
    fn listing(&self, number: u64, offset: u64) -> Result<Arc<Listing>, Errno> {
        if offset > 0
            && let Some(known) = self.listings().get(&number)
        {
            return Ok(Arc::clone(known));
        }
        let handle = self.disk.handle(number)?;
        self.disk.alive()?;
        let listing = Arc::new(self.list(&handle.inode)?);
        self.listings().insert(number, Arc::clone(&listing));
        Ok(listing)
    }
}

fn set_mode(inode: &Inode, mode: u32) -> Result<(), Errno> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(inode.path(), std::fs::Permissions::from_mode(mode & 0o7777)).map_err(errno)
}

fn writes(flags: OFlag) -> bool {
    flags & OFlag::O_ACCMODE != OFlag::O_RDONLY
}

fn is_synchronous(flags: OFlag) -> bool {
    flags.contains(OFlag::O_SYNC) || flags.contains(OFlag::O_DSYNC)
}

/// Opens for what was wanted and for reading, because what is overwritten must be read first. Appending is left to the
/// kernel above, which knows the end; so is `O_DIRECT`, whose alignment is lost on the way.
fn open_beneath(wanted: OFlag, open: impl Fn(OFlag) -> Result<File, Errno>) -> Result<File, Errno> {
    let not_passed = OFlag::O_APPEND | OFlag::O_DIRECT | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_TRUNC;
    let rest = wanted - not_passed - OFlag::O_ACCMODE - OFlag::O_NOFOLLOW;
    if writes(wanted) { open(rest | OFlag::O_RDWR) } else { open(rest | OFlag::O_RDONLY) }
}

/// Answers with what a method gave, or with its error.
macro_rules! answer {
    ($reply:ident, $done:expr, $good:pat => $say:expr) => {
        match $done {
            Ok($good) => $say,
            Err(error) => $reply.error(told(error)),
        }
    };
}

#[allow(clippy::too_many_arguments, reason = "the trait is fuser's")]
impl Filesystem for FaultFs {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let done = self.disk.alive().and_then(|()| self.find(&*self.disk.nodes.get(parent.0)?, name));
        answer!(reply, done, attr => reply.entry(&TTL, &attr, GENERATION));
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.disk.nodes.forget(ino.0, nlookup);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let done = self.disk.alive().and_then(|()| Ok(attributes(ino.0, &self.disk.nodes.get(ino.0)?.stat()?)));
        answer!(reply, done, attr => reply.attr(&TTL, &attr));
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = || {
            let inode = self.disk.nodes.get(ino.0)?;
            if let Some(size) = size {
                self.resize(&inode, fh, size)?;
            } else {
                self.disk.pass(OpKind::Name, &inode)?;
            }
            if uid.is_some() || gid.is_some() {
                let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
                fchownat(&inode.handle, "", uid, gid, AtFlags::AT_EMPTY_PATH)?;
            }
            if let Some(mode) = mode {
                set_mode(&inode, mode)?;
            }
            if atime.is_some() || mtime.is_some() {
                let (atime, mtime) = (time_spec(atime), time_spec(mtime));
                utimensat(AT_FDCWD, &inode.path(), &atime, &mtime, UtimensatFlags::FollowSymlink)?;
            }
            Ok(attributes(ino.0, &inode.stat()?))
        };
        answer!(reply, change(), attr => reply.attr(&TTL, &attr));
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        let done = self.disk.alive().and_then(|()| readlinkat(&self.disk.nodes.get(ino.0)?.handle, ""));
        answer!(reply, done, link => reply.data(link.as_bytes()));
    }

    fn mknod(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, rdev: u32, reply: ReplyEntry) {
        let make = || {
            let parent = self.to_add(parent)?;
            let kind = SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits());
            mknodat(&parent.handle, name, kind, Mode::S_IRUSR | Mode::S_IWUSR, u64::from(rdev))?;
            self.own(req, &parent, name, Some(mode))
        };
        answer!(reply, make(), attr => reply.entry(&TTL, &attr, GENERATION));
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, reply: ReplyEntry) {
        let make = || {
            let parent = self.to_add(parent)?;
            mkdirat(&parent.handle, name, Mode::S_IRWXU)?;
            self.own(req, &parent, name, Some(mode))
        };
        answer!(reply, make(), attr => reply.entry(&TTL, &attr, GENERATION));
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.to_change(parent).and_then(|at| unlinkat(&at.handle, name, UnlinkatFlags::NoRemoveDir));
        answer!(reply, done, () => reply.ok());
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.to_change(parent).and_then(|at| unlinkat(&at.handle, name, UnlinkatFlags::RemoveDir));
        answer!(reply, done, () => reply.ok());
    }

    fn symlink(&self, req: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let make = || {
            let parent = self.to_add(parent)?;
            symlinkat(target, &parent.handle, name)?;
            self.own(req, &parent, name, None)
        };
        answer!(reply, make(), attr => reply.entry(&TTL, &attr, GENERATION));
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let change = || {
            let (from, to) = (self.to_change(parent)?, self.disk.nodes.get(newparent.0)?);
            let flags = nix::fcntl::RenameFlags::from_bits(flags.bits()).ok_or(Errno::EINVAL)?;
            renameat2(&from.handle, name, &to.handle, newname, flags)
        };
        answer!(reply, change(), () => reply.ok());
    }

    fn link(&self, _req: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let make = || {
            let (inode, parent) = (self.disk.nodes.get(ino.0)?, self.to_add(newparent)?);
            linkat(AT_FDCWD, &inode.path(), &parent.handle, newname, AtFlags::AT_SYMLINK_FOLLOW)?;
            self.find(&parent, newname)
        };
        answer!(reply, make(), attr => reply.entry(&TTL, &attr, GENERATION));
    }

    fn open(&self, _req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let done = self.disk.nodes.get(ino.0).and_then(|inode| self.open_file(&inode, flags.0));
        answer!(reply, done, number => reply.opened(FileHandle(number), FopenFlags::empty()));
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let done = self.create_file(req, parent, name, mode, flags);
        answer!(reply, done, (attr, number) => {
            reply.created(&TTL, &attr, GENERATION, FileHandle(number), FopenFlags::empty());
        });
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        answer!(reply, self.disk.read(fh.0, offset, size), data => reply.data(&data));
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        answer!(reply, self.disk.write(fh.0, offset, data), count => reply.written(count));
    }

    fn flush(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.disk.close(fh.0);
        reply.ok();
    }

    fn fsync(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        answer!(reply, self.disk.sync(fh.0, datasync), () => reply.ok());
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let open = || {
            self.disk.alive()?;
            let inode = self.disk.nodes.get(ino.0)?;
            let folder = inode.open(OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
            Ok(self.disk.keep(inode, folder, false))
        };
        answer!(reply, open(), number => reply.opened(FileHandle(number), FopenFlags::empty()));
    }

    fn readdir(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        answer!(reply, self.listing(fh.0, offset), listing => {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            for (at, (id, kind, name)) in listing.iter().enumerate().skip(from) {
                if reply.add(INodeNo(*id), at as u64 + 1, *kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn releasedir(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, _flags: OpenFlags, reply: ReplyEmpty) {
        self.listings().remove(&fh.0);
        self.disk.close(fh.0);
        reply.ok();
    }

    fn fsyncdir(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        answer!(reply, self.disk.sync(fh.0, datasync), () => reply.ok());
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let done = self.disk.alive().and_then(|()| fstatvfs(&self.disk.nodes.root().handle));
        answer!(reply, done, stat => {
            let room = |blocks: u64| if self.disk.is_full() { 0 } else { blocks };
            reply.statfs(
                stat.blocks(),
                room(stat.blocks_free()),
                room(stat.blocks_available()),
                stat.files(),
                stat.files_free(),
                u32::try_from(stat.block_size()).unwrap_or(4096),
                u32::try_from(stat.name_max()).unwrap_or(255),
                u32::try_from(stat.fragment_size()).unwrap_or(4096),
            );
        });
    }

    fn fallocate(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        answer!(reply, self.disk.allocate(fh.0, mode, offset, length), () => reply.ok());
    }
}
