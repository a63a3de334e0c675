//! [`Remote`] over SSH: [`SshRemote`].
//!
//! - [`target`]: where a node is and how we get in.
//! - `connection`: TCP or tunnel, handshake, host key, login; `auth`, `known_hosts` and `jump` are its parts.
//! - `elevate`: the command line that brings a script to `sh` as the right user.
//! - `exec`: one command on one connection.
//! - `pool`: threads and queue.
//!
//! libssh2 is blocking and a session is for one thread: so each connection has a thread, commands share a few of them
//! and copies have others. Connections are made at the first command and again when one is found broken *before* a
//! command left; a command that may have begun is never run a second time.
//!
//! Not covered: certificates, GSSAPI, `ssh_config`, multiplexed channels. A server that closes a channel without
//! saying how the command ended (none of the known ones does) looks like status 0, as libssh2 does not tell.

mod auth;
mod connection;
mod elevate;
mod exec;
mod jump;
mod known_hosts;
mod pool;
pub mod target;

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use schism_history::Node;
use tokio::sync::oneshot;

use crate::remote::{Command, Output, Remote, RemoteError, tail};
use crate::shell;
use connection::{refused, unreachable};
use exec::Ended;
use pool::{Job, Pool};
pub use target::{Auth, HostKeys, Secret, SshTarget, Sudo};

/// How much longer than its deadline a command's caller waits for the thread to say so.
const GRACE: Duration = Duration::from_millis(500);
/// Copies have this long, and a second more for each MiB.
const COPY: Duration = Duration::from_secs(60);
/// A file that comes may be of any size: this long for all of it.
const DOWNLOAD: Duration = Duration::from_secs(900);
/// Connections for copies.
const COPIES_MAX: usize = 2;

/// A node over SSH. Connects when the first command comes; dropping it ends its threads and connections. Needs a
/// tokio runtime with timers.
pub struct SshRemote {
    target: Arc<SshTarget>,
    control: Pool,
    bulk: Pool,
    life: Pool,
}

impl SshRemote {
    /// Hands for that node; nothing is connected yet.
    pub fn new(target: SshTarget) -> SshRemote {
        let target = Arc::new(target);
        let control = Pool::new(Arc::clone(&target), "control", target.sessions_max);
        let bulk = Pool::new(Arc::clone(&target), "bulk", COPIES_MAX);
        let life = Pool::new(Arc::clone(&target), "life", 1);
        SshRemote { target, control, bulk, life }
    }

    /// What it reaches, and how.
    pub fn target(&self) -> &SshTarget {
        &self.target
    }

    async fn call(&self, pool: &Pool, command: &Command, sink: Option<File>) -> Result<(Output, u64), RemoteError> {
        let target = &self.target;
        let wrapped = elevate::wrap(target, command, &token()).map_err(|error| {
            refused(
                target,
                format!("the command cannot be sent: {error}"),
                "This is for the author of the command or the inventory to mend",
            )
        })?;
        let marker = wrapped.marker.clone();
        let begun = Arc::new(AtomicBool::new(false));
        let (reply, answer) = oneshot::channel();
        pool.submit(Job {
            wrapped,
            script: command.script.clone(),
            stdin: command.stdin.clone(),
            sink,
            until: connection::after(command.deadline),
            deadline: command.deadline,
            begun: Arc::clone(&begun),
            reply,
        });
        let ended = match tokio::time::timeout(command.deadline.saturating_add(GRACE), answer).await {
            Ok(Ok(ended)) => ended?,
            Ok(Err(_)) => {
                return Err(unreachable(
                    target,
                    "its connection was closed on this side".to_owned(),
                    "Nothing to do: we are ending",
                ));
            }
            Err(_) if begun.load(Ordering::SeqCst) => {
                let command_short = crate::remote::shortened(&command.script, 200);
                return Err(RemoteError::Deadline {
                    node: target.node.clone(),
                    command: command_short,
                    after: command.deadline,
                });
            }
            Err(_) => return Err(pool::never_began(target, &command.script, command.deadline)),
        };
        let Ended { status, stdout, mut stderr, stdout_bytes } = ended;
        if marker.is_some_and(|marker| !elevate::strip_marker(&mut stderr, &marker)) {
            let reason = format!(
                "sudo does not run the command as {:?} (status {status}): {}",
                command.user,
                tail(&stderr, 600)
            );
            let hint = "Give the login's sudo password, or allow it NOPASSWD in sudoers";
            return Err(refused(target, reason, hint));
        }
        Ok((Output { status, stdout, stderr }, stdout_bytes))
    }

    fn copy_error(&self, from: &str, to: &str, reason: String) -> RemoteError {
        RemoteError::Copy { node: self.target.node.clone(), from: from.to_owned(), to: to.to_owned(), reason }
    }
}

#[async_trait]
impl Remote for SshRemote {
    fn node(&self) -> &Node {
        &self.target.node
    }

    async fn output(&self, command: &Command) -> Result<Output, RemoteError> {
        Ok(self.call(&self.control, command, None).await?.0)
    }

    async fn output_apart(&self, command: &Command) -> Result<Output, RemoteError> {
        Ok(self.call(&self.life, command, None).await?.0)
    }

    async fn upload(&self, bytes: &[u8], to: &str, mode: u32) -> Result<(), RemoteError> {
        let seconds = u64::try_from(bytes.len() >> 20).unwrap_or(0);
        let script = shell::receive_script(to, mode, bytes.len());
        let command = Command::new(script).stdin(bytes).deadline(COPY + Duration::from_secs(seconds));
        let (output, _) = self.call(&self.bulk, &command, None).await?;
        if output.status != 0 {
            let from = format!("{} bytes", bytes.len());
            return Err(self.copy_error(&from, to, tail(&output.stderr, 600)));
        }
        Ok(())
    }

    async fn download(&self, from: &str, to: &Path) -> Result<u64, RemoteError> {
        let local = |error: std::io::Error| self.copy_error(from, &to.display().to_string(), error.to_string());
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Half a file never stands under the name of a whole one.
        let whole = tempfile::NamedTempFile::new_in(folder).map_err(local)?;
        let sink = whole.reopen().map_err(local)?;
        let command = Command::new(format!("exec cat {}", shell::quote_path(from))).deadline(DOWNLOAD);
        let (output, bytes) = self.call(&self.bulk, &command, Some(sink)).await?;
        if output.status != 0 {
            return Err(self.copy_error(from, &to.display().to_string(), tail(&output.stderr, 600)));
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        whole.as_file().set_permissions(mode).map_err(local)?;
        whole.persist(to).map_err(|error| local(error.error))?;
        Ok(bytes)
    }
}

/// A word that stands nowhere else: 64 bits of chance and a count.
fn token() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("schism-{:016x}-{count}", RandomState::new().hash_one(count))
}
