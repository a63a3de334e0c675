//! The waist between schism and a node: run a command, upload, download.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use schism_history::Node;

use crate::shell::quote;

/// As whom a command runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum User {
    /// As the user that logged in.
    Login,
    /// As root: directly where the login is root, through sudo otherwise.
    #[default]
    Root,
    /// As another user, through sudo (or `setpriv`/`su` where the login is root).
    Named(String),
}

/// A command: a POSIX shell script, run by `sh -c` on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The script. Quote what you put in with [`crate::shell`].
    pub script: String,
    /// What is run before it in the same shell, and may end that: whether the script may be run at all. Mostly empty.
    pub before: String,
    /// Whether it runs in a session of its own, so that all of it can be ended by the number of its first process (`$$`).
    /// Needs util-linux's `setsid`.
    pub own_session: bool,
    /// What it reads from standard input.
    pub stdin: Vec<u8>,
    /// As whom.
    pub user: User,
    /// How long it may take; past it the answer is [`RemoteError::Deadline`].
    pub deadline: Duration,
}

impl Command {
    /// As root, with nothing on standard input, within 30 seconds.
    pub fn new(script: impl Into<String>) -> Command {
        let (before, stdin, deadline) = (String::new(), Vec::new(), Duration::from_secs(30));
        Command { script: script.into(), before, own_session: false, stdin, user: User::Root, deadline }
    }

    /// In a session of its own.
    pub fn in_own_session(mut self) -> Command {
        self.own_session = true;
        self
    }

    /// With this before the script.
    pub fn before(mut self, before: &str) -> Command {
        self.before = before.to_owned();
        self
    }

    /// Everything that the node's shell is to run.
    pub fn whole(&self) -> Cow<'_, str> {
        let whole = match self.before.as_str() {
            "" => Cow::Borrowed(self.script.as_str()),
            before => Cow::Owned(format!("{before}\n{}", self.script)),
        };
        match self.own_session {
            false => whole,
            true => Cow::Owned(format!("exec setsid -w sh -c {}", quote(&whole))),
        }
    }

    /// With this on standard input.
    pub fn stdin(mut self, stdin: impl Into<Vec<u8>>) -> Command {
        self.stdin = stdin.into();
        self
    }

    /// As this user.
    pub fn user(mut self, user: User) -> Command {
        self.user = user;
        self
    }

    /// Within this time.
    pub fn deadline(mut self, deadline: Duration) -> Command {
        self.deadline = deadline;
        self
    }
}

/// What a command that ended said. `status` may be any number: [`Remote::run`] turns what is not 0 into an error,
/// [`Remote::output`] does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Exit status; 128 + n where signal n ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text, without white space at its ends.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }
}

/// Why a node did not do what it was told. Each says the node, the command, the exit and what to do next.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// No connection, or it broke and could not be made again.
    #[error("node {node} ({address}) cannot be reached: {reason}. {hint}")]
    Unreachable {
        /// Which node.
        node: Node,
        /// Where.
        address: String,
        /// What happened.
        reason: String,
        /// What to do next.
        hint: String,
    },
    /// The node answers but lets us not in, or is not who it was.
    #[error("node {node} ({address}) refuses the login as {user}: {reason}. {hint}")]
    Refused {
        /// Which node.
        node: Node,
        /// Where.
        address: String,
        /// As whom.
        user: String,
        /// What happened.
        reason: String,
        /// What to do next.
        hint: String,
    },
    /// The node's host key is not the one we know.
    #[error(
        "node {node} ({address}) shows the host key {found}, but {file} knows {expected}. Somebody may be in between; if the machine was made anew, remove its line from {file}"
    )]
    HostKeyChanged {
        /// Which node.
        node: Node,
        /// Where.
        address: String,
        /// Fingerprint shown.
        found: String,
        /// Fingerprint known.
        expected: String,
        /// The file of known hosts.
        file: String,
    },
    /// The command ended with a status that is not 0.
    #[error("on node {node}: `{command}` ended with status {status}: {stderr_tail}")]
    Exit {
        /// Which node.
        node: Node,
        /// The command, shortened.
        command: String,
        /// Its status.
        status: i32,
        /// The end of what it said on standard error.
        stderr_tail: String,
    },
    /// The command did not end in its time.
    #[error("on node {node}: `{command}` did not end within {} ms; it may still be running there", after.as_millis())]
    Deadline {
        /// Which node.
        node: Node,
        /// The command, shortened.
        command: String,
        /// The time it had.
        after: Duration,
    },
    /// A file could not be copied.
    #[error("copying {from} to {to} (node {node}) failed: {reason}")]
    Copy {
        /// Which node.
        node: Node,
        /// Source.
        from: String,
        /// Destination.
        to: String,
        /// What happened.
        reason: String,
    },
}

/// One node's hands. Calls may come from many tasks at once; an implementation orders them.
#[async_trait]
pub trait Remote: Send + Sync {
    /// The node it reaches.
    fn node(&self) -> &Node;

    /// Runs a command to its end, whatever its status.
    ///
    /// # Errors
    /// Where there is no end to report: unreachable, refused, past its deadline.
    async fn output(&self, command: &Command) -> Result<Output, RemoteError>;

    /// As [`Remote::output`], but never waiting behind other commands of ours: for signs of life, which must come through
    /// while long commands run. Short ones only.
    ///
    /// # Errors
    /// As [`Remote::output`].
    async fn output_apart(&self, command: &Command) -> Result<Output, RemoteError> {
        self.output(command).await
    }

    /// Writes bytes to a file on the node (as root; parent folders are made), by a temporary name and a rename.
    ///
    /// # Errors
    /// See [`RemoteError`].
    async fn upload(&self, bytes: &[u8], to: &str, mode: u32) -> Result<(), RemoteError>;

    /// Copies a file of the node (as root) to a local path, without holding it in memory.
    ///
    /// # Errors
    /// See [`RemoteError`].
    async fn download(&self, from: &str, to: &Path) -> Result<u64, RemoteError>;

    /// Runs a command that must succeed.
    ///
    /// # Errors
    /// Also [`RemoteError::Exit`] for a status that is not 0.
    async fn run(&self, command: &Command) -> Result<Output, RemoteError> {
        let output = self.output(command).await?;
        if output.status == 0 {
            return Ok(output);
        }
        Err(RemoteError::Exit {
            node: self.node().clone(),
            command: shortened(&command.script, 200),
            status: output.status,
            stderr_tail: tail(&output.stderr, 600),
        })
    }
}

/// The first line or so of a script, for messages.
pub fn shortened(script: &str, chars_max: usize) -> String {
    let line: String = script.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= chars_max {
        return line;
    }
    let mut short: String = line.chars().take(chars_max).collect();
    short.push('…');
    short
}

/// The end of what a command said, for messages.
pub fn tail(bytes: &[u8], chars_max: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    let skip = text.chars().count().saturating_sub(chars_max);
    if text.is_empty() { "(nothing on standard error)".to_owned() } else { text.chars().skip(skip).collect() }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command as Process, Stdio};

    use super::*;

    #[test]
    fn a_command_may_have_a_session_of_its_own() {
        let script = "read -r line; set -- $(cat /proc/$$/stat); echo \"$line it's $$ $5 $6\"; exit 7";
        for (command, alone) in [
            (Command::new(script), false),
            (Command::new(script).in_own_session(), true),
            (Command::new(script).before("x=1").in_own_session(), true),
            (Command::new("echo no").before("exit 7").in_own_session(), true),
        ] {
            let mut child = Process::new("sh")
                .args(["-c", &command.whole()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            // One that ends at once does not read it.
            let _ = child.stdin.take().unwrap().write_all(b"a  b\n");
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(7), "{command:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            if command.before == "exit 7" {
                assert_eq!(text, "");
                continue;
            }
            let (said, numbers) = text.split_once(" it's ").unwrap();
            let numbers: Vec<&str> = numbers.split_whitespace().collect();
            assert_eq!(said, "a  b");
            assert_eq!(
                numbers.iter().all(|number| *number == numbers[0]),
                alone,
                "{numbers:?}: number, group, session"
            );
        }
    }
}
