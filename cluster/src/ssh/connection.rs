//! One SSH connection: TCP (or a tunnel through a jump host), handshake, host key, login.
//!
//! Used by one thread at a time. After it is made it is in libssh2's non-blocking mode, and [`Connection::drive`]
//! waits for the socket where a call would block, until a deadline or until its caller gives up.

use std::io;
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use ssh2::{BlockDirections, ErrorCode, MethodType, Session};

use super::target::{HostKeys, SshTarget, expand_home};
use super::{auth, jump, known_hosts};
use crate::remote::RemoteError;

/// How often a wait looks whether its caller still wants it.
const TICK: Duration = Duration::from_millis(100);
/// How often a connection that breaks before the login is tried: a busy sshd drops some (`MaxStartups`).
const ATTEMPTS_MAX: u32 = 3;

/// libssh2's code for "would block".
pub(super) const EAGAIN: ErrorCode = ErrorCode::Session(-37);

/// What a session speaks over.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Tunnel(UnixStream),
}

impl Socket {
    fn try_clone(&self) -> io::Result<Socket> {
        Ok(match self {
            Socket::Tcp(stream) => Socket::Tcp(stream.try_clone()?),
            Socket::Tunnel(stream) => Socket::Tunnel(stream.try_clone()?),
        })
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Tunnel(stream) => stream.as_fd(),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// A connection that is logged in.
pub(crate) struct Connection {
    pub(super) session: Session,
    socket: Socket,
}

/// Why a step of libssh2 did not come to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Its time was up.
    Deadline,
    /// Nobody wants it any more.
    Cancelled,
    /// libssh2 said no, or the connection broke.
    Failed(ssh2::Error),
}

impl Connection {
    /// Connects and logs in, within the target's connect timeout and before `until`.
    pub(crate) fn open(target: &SshTarget, until: Instant) -> Result<Connection, RemoteError> {
        let until = until.min(after(target.connect_timeout));
        let mut attempt = 1;
        loop {
            let socket = reach(target, until)?;
            match Connection::shake_hands(target, socket, until)? {
                Ok(connection) => return Ok(connection),
                // It broke before the login began: nothing was tried that would count against us.
                Err(reason) if attempt >= ATTEMPTS_MAX || Instant::now() + TICK > until => {
                    let hint = "Look whether its sshd runs and is not overloaded (MaxStartups)";
                    return Err(unreachable(target, format!("no SSH handshake: {reason}"), hint));
                }
                Err(reason) => {
                    tracing::debug!(node = %target.node, attempt, reason, "handshake failed, once more");
                    std::thread::sleep(TICK * attempt);
                    attempt += 1;
                }
            }
        }
    }

    /// The inner error is a handshake that broke; the outer one is final.
    fn shake_hands(
        target: &SshTarget,
        socket: Socket,
        until: Instant,
    ) -> Result<Result<Connection, String>, RemoteError> {
        let internal = |error: &dyn std::fmt::Display| {
            unreachable(target, format!("no SSH session on this side: {error}"), "Look at memory and open files here")
        };
        let mut session = Session::new().map_err(|error| internal(&error))?;
        let keep = socket.try_clone().map_err(|error| internal(&error))?;
        let trusted = Trusted::read(target)?;
        let supported = session.supported_algs(MethodType::HostKey).unwrap_or_default();
        let order = known_hosts::preferred(&trusted.keys(), &supported);
        session.method_pref(MethodType::HostKey, &order).map_err(|error| internal(&error))?;
        session.set_tcp_stream(socket);
        let mut connection = Connection { session, socket: keep };
        connection.time_left(until);
        if let Err(error) = connection.session.handshake() {
            return Ok(Err(error.message().to_owned()));
        }
        let key = connection.session.host_key().map(|(key, _)| key.to_vec());
        trusted.check(target, key.as_deref().unwrap_or_default())?;
        auth::log_in(&connection, target, until)?;
        let seconds = u32::try_from(target.keepalive.as_secs()).unwrap_or(u32::MAX).max(1);
        connection.session.set_keepalive(true, seconds);
        connection.session.set_blocking(false);
        Ok(Ok(connection))
    }

    /// Bounds the blocking calls that follow.
    pub(super) fn time_left(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now()).as_millis();
        self.session.set_timeout(u32::try_from(left).unwrap_or(u32::MAX).max(1));
    }

    /// Repeats a non-blocking step until it is done, waiting for the socket between.
    pub(super) fn drive<T>(
        &self,
        until: Instant,
        cancelled: &dyn Fn() -> bool,
        mut step: impl FnMut() -> Result<T, ssh2::Error>,
    ) -> Result<T, Stop> {
        loop {
            match step() {
                Err(error) if error.code() == EAGAIN => self.wait(until, cancelled)?,
                other => return other.map_err(Stop::Failed),
            }
        }
    }

    /// As [`drive`](Self::drive), but a step that waits for *incoming* bytes returns `None`. One that waits to send is
    /// repeated: libssh2 allows no other step while a packet is half sent.
    pub(super) fn settle<T>(
        &self,
        until: Instant,
        cancelled: &dyn Fn() -> bool,
        mut step: impl FnMut() -> Result<T, ssh2::Error>,
    ) -> Result<Option<T>, Stop> {
        loop {
            match step() {
                Err(error) if error.code() == EAGAIN => match self.session.block_directions() {
                    BlockDirections::Outbound | BlockDirections::Both => self.wait(until, cancelled)?,
                    BlockDirections::Inbound | BlockDirections::None => return Ok(None),
                },
                other => return other.map(Some).map_err(Stop::Failed),
            }
        }
    }

    /// Waits until the socket is ready for what libssh2 wants, at most a tick at a time.
    pub(super) fn wait(&self, until: Instant, cancelled: &dyn Fn() -> bool) -> Result<(), Stop> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Stop::Deadline);
        }
        if cancelled() {
            return Err(Stop::Cancelled);
        }
        let mut fds = [PollFd::new(self.socket.as_fd(), self.wanted())];
        let _ = poll(&mut fds, timeout(left.min(TICK)));
        Ok(())
    }

    /// The events that libssh2 waits for.
    pub(super) fn wanted(&self) -> PollFlags {
        match self.session.block_directions() {
            BlockDirections::Outbound => PollFlags::POLLOUT,
            BlockDirections::Both => PollFlags::POLLIN | PollFlags::POLLOUT,
            BlockDirections::Inbound | BlockDirections::None => PollFlags::POLLIN,
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Says that we are still there, where it is time; an error means that the connection is gone.
    pub(super) fn keep_alive(&self) -> Result<(), ssh2::Error> {
        match self.session.keepalive_send() {
            Err(error) if error.code() != EAGAIN => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // libssh2 frees a session by speaking once more to the other side; with the socket shut it cannot hang there,
        // and in blocking mode it does not stop half way and leak.
        let _ = match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Socket::Tunnel(stream) => stream.shutdown(Shutdown::Both),
        };
        self.session.set_timeout(100);
        self.session.set_blocking(true);
    }
}

/// That long from now; what is longer than a month is a month.
pub(super) fn after(time: Duration) -> Instant {
    Instant::now() + time.min(Duration::from_secs(30 * 24 * 3600))
}

/// A poll timeout, rounded up to a millisecond.
pub(super) fn timeout(left: Duration) -> PollTimeout {
    u16::try_from(left.as_millis() + 1).map_or(PollTimeout::from(u16::MAX), PollTimeout::from)
}

/// Connects the socket: directly, or through the jump host.
fn reach(target: &SshTarget, until: Instant) -> Result<Socket, RemoteError> {
    if let Some(host) = &target.jump {
        return jump::tunnel(host, target, until).map(Socket::Tunnel);
    }
    let addresses = (target.address.as_str(), target.port).to_socket_addrs().map_err(|error| {
        unreachable(target, format!("the name cannot be resolved: {error}"), "Look at the address in the inventory")
    })?;
    let mut reason = "the name has no address".to_owned();
    for address in addresses {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                prepare(&stream, target.keepalive);
                return Ok(Socket::Tcp(stream));
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                reason = format!("no answer from {address} within {} ms", left.as_millis());
            }
            Err(error) => reason = format!("{address}: {error}"),
        }
    }
    Err(unreachable(target, reason, "Look whether the machine is up and its sshd listens there"))
}

/// A peer that is gone without a word must be noticed also while a command runs. Best effort: a socket without these
/// options still works.
fn prepare(stream: &TcpStream, keepalive: Duration) {
    let seconds = u32::try_from(keepalive.as_secs()).unwrap_or(60).clamp(1, 3600);
    let _ = stream.set_nodelay(true);
    let _ = setsockopt(stream, sockopt::KeepAlive, &true);
    let _ = setsockopt(stream, sockopt::TcpKeepIdle, &seconds);
    let _ = setsockopt(stream, sockopt::TcpKeepInterval, &(seconds / 3).max(1));
    let _ = setsockopt(stream, sockopt::TcpKeepCount, &3);
    let _ = setsockopt(stream, sockopt::TcpUserTimeout, &(seconds * 2 * 1000));
}

/// What is known of the host before it shows its key.
enum Trusted {
    Anything,
    Key(String),
    Hosts { known: known_hosts::Known, file: std::path::PathBuf, accept_new: bool },
}

impl Trusted {
    fn read(target: &SshTarget) -> Result<Trusted, RemoteError> {
        let (file, accept_new) = match &target.host_keys {
            HostKeys::Insecure => return Ok(Trusted::Anything),
            HostKeys::Known(key) => return Ok(Trusted::Key(key.clone())),
            HostKeys::File(file) => (expand_home(file), false),
            HostKeys::AcceptNew(file) => (expand_home(file), true),
        };
        let text = match std::fs::read(&file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let reason = format!("the known hosts in {} cannot be read: {error}", file.display());
                return Err(refused(target, reason, "Make the file readable"));
            }
        };
        let mut known = known_hosts::look_up(&text, &target.known_name());
        if known.keys.is_empty() && target.port != 22 {
            // A key written down without its port is good for a match, as with OpenSSH; it never contradicts.
            let plain = known_hosts::look_up(&text, &target.address);
            known.revoked.extend(plain.revoked);
            return Ok(Trusted::Hosts { known: known_hosts::Known { keys: plain.keys, ..known }, file, accept_new });
        }
        Ok(Trusted::Hosts { known, file, accept_new })
    }

    /// The keys that would be taken.
    fn keys(&self) -> Vec<Vec<u8>> {
        match self {
            Trusted::Anything => Vec::new(),
            Trusted::Key(written) => known_hosts::written_key(written).into_iter().collect(),
            Trusted::Hosts { known, .. } => known.keys.clone(),
        }
    }

    fn check(&self, target: &SshTarget, key: &[u8]) -> Result<(), RemoteError> {
        let shown = known_hosts::fingerprint(key);
        let changed = |expected: String, file: String| RemoteError::HostKeyChanged {
            node: target.node.clone(),
            address: target.place(),
            found: shown.clone(),
            expected,
            file,
        };
        match self {
            Trusted::Anything => Ok(()),
            Trusted::Key(written) if known_hosts::is_the_known(written, key) => Ok(()),
            Trusted::Key(written) => Err(changed(written.trim().to_owned(), "the inventory".to_owned())),
            Trusted::Hosts { known, .. } if known.revoked.iter().any(|revoked| revoked == key) => {
                Err(refused(target, format!("its host key {shown} is marked @revoked"), "Give the machine a new key"))
            }
            Trusted::Hosts { known, .. } if known.keys.iter().any(|known| known == key) => Ok(()),
            Trusted::Hosts { known, file, .. } if !known.keys.is_empty() => {
                let expected: Vec<String> = known.keys.iter().map(|key| known_hosts::fingerprint(key)).collect();
                Err(changed(expected.join(" or "), file.display().to_string()))
            }
            Trusted::Hosts { file, accept_new: true, .. } => known_hosts::append(file, &target.known_name(), key)
                .map_err(|error| {
                    let reason = format!("its host key cannot be written to {}: {error}", file.display());
                    refused(target, reason, "Make the file writable")
                }),
            Trusted::Hosts { file, .. } => Err(refused(
                target,
                format!("its host key {shown} is not in {}", file.display()),
                "If that is its key, add it (`ssh-keyscan` shows the line), or accept new hosts in the inventory",
            )),
        }
    }
}

/// The error for a node without a connection.
pub(super) fn unreachable(target: &SshTarget, reason: String, hint: &str) -> RemoteError {
    RemoteError::Unreachable { node: target.node.clone(), address: target.place(), reason, hint: hint.to_owned() }
}

/// The error for a node that does not let us in.
pub(super) fn refused(target: &SshTarget, reason: String, hint: &str) -> RemoteError {
    RemoteError::Refused {
        node: target.node.clone(),
        address: target.place(),
        user: target.user.clone(),
        reason,
        hint: hint.to_owned(),
    }
}
