//! TAP devices: network interfaces whose other end is a descriptor of this process.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;

/// `_IOW('T', 202, int)` of linux/if_tun.h; it has one value on all machines but MIPS, PowerPC and SPARC.
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;

/// `struct ifreq` of netdevice(7), as far as TUNSETIFF reads it.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    rest: [u8; 22],
}

/// Makes a device of this name in the network namespace of this thread, without protocol headers before its frames and
/// without offloads. A read gives a frame, a write takes one; neither blocks. It goes when the descriptor is closed, or with
/// the network namespace that it was moved to meanwhile.
///
/// # Errors
/// Where `/dev/net/tun` is not there or the kernel has no TAP (module `tun`), or the name is taken or too long.
pub(crate) fn open(name: &str) -> io::Result<File> {
    let mut request =
        Request { name: [0; libc::IFNAMSIZ], flags: (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short, rest: [0; 22] };
    if name.len() >= request.name.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` is too long for an interface")));
    }
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    let file = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    // SAFETY: the descriptor is open; the kernel reads and writes a `struct ifreq` (40 bytes), which `request` is laid out
    // as, and which lives for the length of the call.
    #[allow(unsafe_code)]
    let result = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(file) }
}

// The kernel's `struct ifreq` has this size on 64-bit machines; a smaller one here would be written beyond its end.
const _: () = assert!(size_of::<Request>() >= size_of::<libc::ifreq>());
