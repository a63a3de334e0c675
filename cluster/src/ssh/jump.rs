//! A tunnel through a jump host: a direct-tcpip channel of one connection, carried to a socket pair whose other end
//! the next session speaks over (libssh2 wants a real socket). One thread a tunnel; it ends when either side does.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use ssh2::Channel;

use super::connection::{Connection, Stop, timeout, unreachable};
use super::target::SshTarget;
use crate::remote::RemoteError;

/// One direction of the tunnel.
const BUFFER_BYTES: usize = 32 * 1024;
/// How long a packet to the jump host may stay half sent before the tunnel counts as broken.
const STUCK: Duration = Duration::from_secs(60);

/// Connects to the jump host and from there to `target`; what is written to the socket comes out there.
pub(super) fn tunnel(host: &SshTarget, target: &SshTarget, until: Instant) -> Result<UnixStream, RemoteError> {
    let connection = Connection::open(host, until).map_err(|error| on_the_way(error, target))?;
    let opened = connection
        .drive(until, &|| false, || connection.session.channel_direct_tcpip(&target.address, target.port, None));
    let channel = opened.map_err(|stop| {
        let reason = match stop {
            Stop::Failed(error) => error.message().to_owned(),
            Stop::Deadline | Stop::Cancelled => "no answer in time".to_owned(),
        };
        let reason = format!("the jump host {} opens no connection to it: {reason}", host.place());
        unreachable(target, reason, "Look whether the jump host reaches it and AllowTcpForwarding is on")
    })?;
    let local = |error: io::Error| {
        unreachable(target, format!("no tunnel on this side: {error}"), "Look at open files and threads here")
    };
    let (ours, theirs) = UnixStream::pair().map_err(local)?;
    ours.set_nonblocking(true).map_err(local)?;
    let keepalive = host.keepalive;
    let thread = std::thread::Builder::new().name(format!("jump-{}", target.node));
    let node = target.node.clone();
    thread
        .spawn(move || {
            let end = Tunnel::new(&connection, channel, ours).carry(keepalive);
            tracing::debug!(%node, ?end, "the tunnel ended");
        })
        .map_err(local)?;
    Ok(theirs)
}

/// An error of the jump host, told as one of the node that it leads to.
fn on_the_way(error: RemoteError, target: &SshTarget) -> RemoteError {
    let on_the_way = |reason: String| format!("{reason} (it is the jump host on the way to {})", target.node);
    match error {
        RemoteError::Unreachable { node, address, reason, hint } => {
            RemoteError::Unreachable { node, address, reason: on_the_way(reason), hint }
        }
        RemoteError::Refused { node, address, user, reason, hint } => {
            RemoteError::Refused { node, address, user, reason: on_the_way(reason), hint }
        }
        other => other,
    }
}

struct Tunnel<'a> {
    connection: &'a Connection,
    channel: Channel,
    local: UnixStream,
    /// Read from the one side, not yet written to the other.
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

impl Tunnel<'_> {
    fn new(connection: &Connection, channel: Channel, local: UnixStream) -> Tunnel<'_> {
        Tunnel { connection, channel, local, outgoing: Vec::new(), incoming: Vec::new() }
    }

    /// Carries bytes until one side ends.
    fn carry(mut self, keepalive: Duration) -> Result<(), Stop> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let mut moved = false;
            if self.outgoing.is_empty() {
                match self.local.read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(count) => {
                        self.outgoing.extend_from_slice(&buffer[..count]);
                        moved = true;
                    }
                    Err(error) if waits(&error) => {}
                    Err(_) => return Ok(()),
                }
            }
            moved |= self.send()?;
            if self.incoming.is_empty() {
                let until = Instant::now() + STUCK;
                let channel = &mut self.channel;
                let read = self.connection.settle(until, &|| false, || again(channel.read(&mut buffer)))?;
                if let Some(count @ 1..) = read {
                    self.incoming.extend_from_slice(&buffer[..count]);
                    moved = true;
                } else if self.channel.eof() {
                    return Ok(());
                }
            }
            if !self.incoming.is_empty() {
                match self.local.write(&self.incoming) {
                    Ok(count) => {
                        self.incoming.drain(..count);
                        moved = true;
                    }
                    Err(error) if waits(&error) => {}
                    Err(_) => return Ok(()),
                }
            }
            if !moved && !self.rest(keepalive) {
                self.connection.keep_alive().map_err(Stop::Failed)?;
            }
        }
    }

    fn send(&mut self) -> Result<bool, Stop> {
        if self.outgoing.is_empty() {
            return Ok(false);
        }
        let until = Instant::now() + STUCK;
        let (channel, outgoing) = (&mut self.channel, &self.outgoing);
        let sent = self.connection.settle(until, &|| false, || again(channel.write(outgoing)))?.unwrap_or(0);
        self.outgoing.drain(..sent);
        Ok(sent > 0)
    }

    /// Waits until there is something to do; false if nothing came for as long as a keepalive.
    fn rest(&self, keepalive: Duration) -> bool {
        let mut far = PollFlags::empty();
        if self.incoming.is_empty() || !self.outgoing.is_empty() {
            far |= self.connection.wanted();
        }
        let mut near = PollFlags::empty();
        near.set(PollFlags::POLLIN, self.outgoing.is_empty());
        near.set(PollFlags::POLLOUT, !self.incoming.is_empty());
        let mut fds = [PollFd::new(self.connection.fd(), far), PollFd::new(self.local.as_fd(), near)];
        !matches!(poll(&mut fds, timeout(keepalive)), Ok(0))
    }
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The streams of ssh2 speak `io::Error`; what would block must be told from what failed.
pub(super) fn again(result: io::Result<usize>) -> Result<usize, ssh2::Error> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => ssh2::Error::from_errno(super::connection::EAGAIN),
        io::ErrorKind::TimedOut => ssh2::Error::from_errno(ssh2::ErrorCode::Session(-9)),
        // The code is lost on the way through io::Error; "receive failed" is what it nearly always is.
        _ => ssh2::Error::from_errno(ssh2::ErrorCode::Session(-43)),
    })
}
