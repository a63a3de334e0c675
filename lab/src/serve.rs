//! The life of a holder after everything is up: count who is attached, reap, end when the lease has run out.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::process::reap_orphans;

/// What an attached controller reads when it is counted.
pub(crate) const COUNTED: &[u8] = b"ok\n";

/// How often orphans are reaped where nothing else happens.
const TICK: Duration = Duration::from_secs(1);

/// More controllers than this at once are turned away (descriptors are finite).
const ATTACHED_MAX: usize = 256;

/// Returns when nobody was attached for as long as the lease; never where there is none. A controller is attached while
/// its connection is open, and the kernel closes it however the controller dies. The lease is in monotonic time.
pub(crate) fn until_the_end(listener: &UnixListener, lease: Option<Duration>) {
    let mut attached: Vec<UnixStream> = Vec::new();
    let mut alone_since = Instant::now();
    loop {
        let left = lease.filter(|_| attached.is_empty()).map(|lease| lease.saturating_sub(alone_since.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return;
        }
        let readable = await_any(listener, &attached, left.unwrap_or(TICK).min(TICK));
        let before = attached.len();
        let mut at = 0;
        attached.retain_mut(|stream| {
            let speaks = readable.get(at + 1).copied().unwrap_or(true);
            at += 1;
            !speaks || is_open(stream)
        });
        while attached.len() < ATTACHED_MAX
            && let Ok((stream, _)) = listener.accept()
        {
            if stream.set_nonblocking(true).is_ok() && (&stream).write_all(COUNTED).is_ok() {
                attached.push(stream);
            }
        }
        if before > 0 && attached.is_empty() {
            alone_since = Instant::now();
        }
        reap_orphans();
    }
}

/// Whether there is something to do for the listener (first) and for each attached, in order.
fn await_any(listener: &UnixListener, attached: &[UnixStream], at_most: Duration) -> Vec<bool> {
    let wanted = |fd| PollFd::new(fd, PollFlags::POLLIN);
    let mut fds: Vec<PollFd> =
        std::iter::once(listener.as_fd()).chain(attached.iter().map(AsFd::as_fd)).map(wanted).collect();
    let ms = u16::try_from(at_most.as_millis()).unwrap_or(u16::MAX).saturating_add(1);
    // A failing poll (interrupted, no memory) means: look at all of them.
    match poll(&mut fds, PollTimeout::from(ms)) {
        Ok(_) => fds.iter().map(|fd| fd.any().unwrap_or(true)).collect(),
        Err(_) => vec![true; fds.len()],
    }
}

/// Whether the other end is still there. What it says is of no interest.
fn is_open(stream: &mut UnixStream) -> bool {
    match stream.read(&mut [0; 256]) {
        Ok(0) => false,
        Ok(_) => true,
        Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::thread;

    use super::*;

    #[test]
    fn the_lease_counts_only_while_nobody_is_attached() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("attach");
        let listener = UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let lease = Duration::from_secs(2);
        let start = Instant::now();
        let server = thread::spawn(move || {
            until_the_end(&listener, Some(lease));
            start.elapsed()
        });
        let stream = UnixStream::connect(&socket).unwrap();
        let mut line = String::new();
        io::BufReader::new(&stream).read_line(&mut line).unwrap();
        assert_eq!(line.as_bytes(), COUNTED);
        (&stream).write_all(b"chatter").unwrap();
        thread::sleep(Duration::from_millis(2_500));
        assert!(!server.is_finished(), "attached for longer than the lease");
        drop(stream);
        let lived = server.join().unwrap();
        assert!(lived >= Duration::from_millis(4_500), "{lived:?}");
    }
}
