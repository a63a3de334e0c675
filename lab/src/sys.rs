//! The few system calls for which there is no safe wrapper. All `unsafe` of this crate is here.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What a node must not be able to do even by accident, as it is root on the machine's kernel: make device nodes, load
/// modules, touch hardware, reboot, set the clock, override access rules, read the kernel's log, keep the machine awake.
const CAPABILITIES_DENIED: &[libc::c_ulong] = &[
    27, // CAP_MKNOD
    16, // CAP_SYS_MODULE
    17, // CAP_SYS_RAWIO
    22, // CAP_SYS_BOOT
    25, // CAP_SYS_TIME
    32, // CAP_MAC_OVERRIDE
    33, // CAP_MAC_ADMIN
    34, // CAP_SYSLOG
    35, // CAP_WAKE_ALARM
    36, // CAP_BLOCK_SUSPEND
];

/// A process, held so that its number cannot come to mean another.
pub(crate) struct PidFd(OwnedFd);

impl PidFd {
    /// # Errors
    /// `ESRCH` if there is no such process.
    pub(crate) fn open(pid: u32) -> io::Result<PidFd> {
        let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
        // SAFETY: pidfd_open takes two integers and touches no memory of ours.
        #[allow(unsafe_code)]
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = i32::try_from(fd).map_err(io::Error::other)?;
        // SAFETY: the kernel has just given us this descriptor, and nobody else knows of it.
        #[allow(unsafe_code)]
        Ok(PidFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&self) -> io::Result<()> {
        let no_info: *const libc::siginfo_t = std::ptr::null();
        // SAFETY: the descriptor is open for the length of the call, and a null info is allowed (as in kill(2)).
        #[allow(unsafe_code)]
        let result =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), libc::SIGKILL, no_info, 0) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits until it has ended; `false` if it had not within that time.
    pub(crate) fn wait(&self, at_most: Duration) -> io::Result<bool> {
        await_readable(&self.0, Instant::now() + at_most)
    }
}

/// Waits until something can be read (or the other end is closed); `false` at the deadline.
pub(crate) fn await_readable(fd: &impl AsFd, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let ms = u16::try_from(left.as_millis().saturating_add(1)).unwrap_or(u16::MAX);
        match poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], PollTimeout::from(ms)) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Marks every descriptor but the three standard ones to be closed on exec: what a careless parent left open (a lock, a
/// pipe that somebody waits for) must not live as long as a lab. Old kernels (before 5.11) cannot, and that is survivable.
pub(crate) fn keep_only_standard_files() {
    // SAFETY: with CLOEXEC the call closes nothing now; it takes three integers and touches no memory of ours.
    #[allow(unsafe_code)]
    let _ = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Takes from this process, and from all that it will start, what a node must not be able to do.
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    for capability in CAPABILITIES_DENIED {
        // SAFETY: PR_CAPBSET_DROP takes an integer and touches no memory of ours.
        #[allow(unsafe_code)]
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, *capability, 0, 0, 0) };
        let error = io::Error::last_os_error();
        // EINVAL: a kernel that does not know it.
        if result < 0 && error.raw_os_error() != Some(libc::EINVAL) {
            return Err(error);
        }
    }
    Ok(())
}

/// Puts `/dev/null` in the place of standard input, output and error, so that nobody waits for a holder's pipe.
pub(crate) fn detach_standard_files() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(())
}
