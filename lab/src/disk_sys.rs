//! The system calls of data disks for which there is no safe wrapper: loop devices, pulling a file system's plug, and
//! carrying a mount into another mount namespace.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::libc;

/// From `linux/loop.h`.
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;
const LOOP_CONFIGURE: libc::Ioctl = 0x4C0A;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// From `linux/fs.h` (in ext4 since 4.10): `_IOR('X', 125, __u32)`.
const FS_IOC_SHUTDOWN: libc::Ioctl = 0x8004_587D_u32 as libc::Ioctl;
/// Neither data nor the journal is written any more: what a power loss leaves.
const SHUTDOWN_NO_LOG_FLUSH: u32 = 2;

/// `struct loop_info64`.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` (since 5.8).
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

// The kernel reads this many bytes.
const _: () = assert!(size_of::<LoopInfo>() == 232 && size_of::<LoopConfig>() == 304);

/// The number of a loop device that is free now (another may take it before we do).
///
/// # Errors
/// Of the kernel; `ENOENT` where it has no loop devices.
pub(crate) fn free_loop_device() -> io::Result<u32> {
    let control = File::options().read(true).write(true).open("/dev/loop-control")?;
    // SAFETY: this request takes no argument and touches no memory of ours; the descriptor is open.
    #[allow(unsafe_code)]
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
    if number < 0 { Err(io::Error::last_os_error()) } else { u32::try_from(number).map_err(io::Error::other) }
}

/// Puts an image behind a loop device, until the last who has it open or mounted is gone.
///
/// # Errors
/// `EBUSY` if another was faster.
pub(crate) fn attach(device: &File, image: &File) -> io::Result<()> {
    let fd = u32::try_from(image.as_raw_fd()).map_err(io::Error::other)?;
    let info = LoopInfo {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: LO_FLAGS_AUTOCLEAR,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
    let config = LoopConfig { fd, block_size: 0, info, reserved: [0; 8] };
    // SAFETY: the kernel reads a `loop_config` from the pointer, which is one (its size is asserted above) and lives until
    // after the call; both descriptors are open.
    #[allow(unsafe_code)]
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Pulls the plug of the file system that a folder lies on: from now on every access gives `EIO`, and what was not synced
/// is never written. Once it has been pulled, pulling it again is fine.
///
/// # Errors
/// `ENOTTY` if that file system cannot.
pub(crate) fn shut_down(folder: &File) -> io::Result<()> {
    let flags = SHUTDOWN_NO_LOG_FLUSH;
    // SAFETY: the kernel reads a 32-bit number from the pointer, which lives until after the call; the descriptor is open.
    #[allow(unsafe_code)]
    let result = unsafe { libc::ioctl(folder.as_raw_fd(), FS_IOC_SHUTDOWN, &raw const flags) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A copy of the mount at this path that hangs nowhere yet.
///
/// # Errors
/// Of the kernel (`ENOSYS` before 5.2).
pub(crate) fn clone_mount(path: &Path) -> io::Result<OwnedFd> {
    const OPEN_TREE_CLONE: libc::c_uint = 1;
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC.cast_unsigned();
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a C string that lives until after the call; the others are integers.
    #[allow(unsafe_code)]
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows of it.
    #[allow(unsafe_code)]
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Hangs a mount that hangs nowhere at this path of the calling thread's mount namespace.
///
/// # Errors
/// Of the kernel.
pub(crate) fn hang_mount(mount: &OwnedFd, path: &Path) -> io::Result<()> {
    const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: both paths are C strings that live until after the call, and the descriptor is open.
    #[allow(unsafe_code)]
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            path.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
