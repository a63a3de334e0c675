//! The threads of a node: each has one connection and takes one command at a time from a common queue. Threads are
//! made when a command would have to wait, up to a few, so that a slow command holds nobody up; those that idle for
//! long end, all but one.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::connection::{Connection, unreachable};
use super::elevate::Wrapped;
use super::exec::{self, Ended, NoEnd, Request};
use super::target::SshTarget;
use crate::remote::{RemoteError, shortened};

/// A thread that had nothing to do for so long ends, if it is not the last.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A command on its way to a thread.
pub(super) struct Job {
    /// What is sent.
    pub wrapped: Wrapped,
    /// The script, for messages.
    pub script: String,
    /// Its standard input.
    pub stdin: Vec<u8>,
    /// Where its output goes, if not into memory.
    pub sink: Option<File>,
    /// When it must have ended, and how long that was at the beginning.
    pub until: Instant,
    pub deadline: Duration,
    /// Set once it may have begun.
    pub begun: Arc<AtomicBool>,
    /// Where the answer goes. Closed: nobody waits any more.
    pub reply: oneshot::Sender<Result<Ended, RemoteError>>,
}

/// A queue and its threads. Dropping it ends them.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    target: Arc<SshTarget>,
    name: &'static str,
    threads_max: usize,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// A queue without threads yet.
    pub(super) fn new(target: Arc<SshTarget>, name: &'static str, threads_max: usize) -> Pool {
        let shared =
            Shared { target, name, threads_max: threads_max.max(1), state: Mutex::default(), wake: Condvar::new() };
        Pool { shared: Arc::new(shared) }
    }

    /// Hands a command in. Its answer comes through its reply.
    pub(super) fn submit(&self, job: Job) {
        let mut state = self.shared.state();
        state.queue.push_back(job);
        if state.idle < state.queue.len() && state.threads < self.shared.threads_max {
            let shared = Arc::clone(&self.shared);
            let thread =
                std::thread::Builder::new().name(format!("ssh-{}-{}", self.shared.target.node, self.shared.name));
            match thread.spawn(move || Worker { shared, connection: None }.work()) {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    let reason = format!("no thread for its connection: {error}");
                    let error = unreachable(&self.shared.target, reason, "Look at the limit of threads here");
                    if let Some(job) = state.queue.pop_back() {
                        let _ = job.reply.send(Err(error));
                    }
                }
                // The others will come to it.
                Err(_) => {}
            }
        }
        drop(state);
        self.shared.wake.notify_one();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        // Their callers see a closed reply.
        state.queue.clear();
        drop(state);
        self.shared.wake.notify_all();
    }
}

struct Worker {
    shared: Arc<Shared>,
    connection: Option<Connection>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.state().threads -= 1;
    }
}

impl Worker {
    fn work(mut self) {
        while let Some(mut job) = self.next() {
            if job.reply.is_closed() {
                continue;
            }
            let answer = self.serve(&mut job);
            let _ = job.reply.send(answer);
        }
    }

    /// Waits for a command, keeping the connection alive meanwhile. `None`: time to end.
    fn next(&mut self) -> Option<Job> {
        let shared = Arc::clone(&self.shared);
        let keepalive = shared.target.keepalive.max(Duration::from_secs(1));
        let since = Instant::now();
        let mut state = shared.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.queue.pop_front() {
                return Some(job);
            }
            if since.elapsed() >= IDLE_MAX && state.threads > 1 {
                return None;
            }
            state.idle += 1;
            let (back, wait) = shared.wake.wait_timeout(state, keepalive).unwrap_or_else(PoisonError::into_inner);
            state = back;
            state.idle -= 1;
            if wait.timed_out() && state.queue.is_empty() {
                drop(state);
                if self.connection.as_ref().is_some_and(|connection| connection.keep_alive().is_err()) {
                    self.connection = None;
                }
                state = shared.state();
            }
        }
    }

    /// Runs a command, on a new connection if the old one broke before the command left. What may have begun is
    /// never run again.
    fn serve(&mut self, job: &mut Job) -> Result<Ended, RemoteError> {
        let target = Arc::clone(&self.shared.target);
        loop {
            let (connection, fresh) = match self.connection.take() {
                Some(connection) => (connection, false),
                None => (Connection::open(&target, job.until)?, true),
            };
            job.begun.store(true, Ordering::SeqCst);
            let reply = &job.reply;
            let mut request = Request {
                line: &job.wrapped.line,
                head: &job.wrapped.stdin_head,
                stdin: &job.stdin,
                sink: job.sink.as_mut(),
                until: job.until,
                open_timeout: target.connect_timeout,
                cancelled: &|| reply.is_closed(),
            };
            match exec::run(&connection, &mut request) {
                Ok(ended) => {
                    self.connection = Some(connection);
                    return Ok(ended);
                }
                Err(NoEnd::NotStarted(reason)) if !fresh => {
                    tracing::debug!(node = %target.node, reason, "the connection broke, connecting again");
                    job.begun.store(false, Ordering::SeqCst);
                }
                Err(no_end) => return Err(told(&target, job, no_end)),
            }
        }
    }
}

/// A missing end as the error that a caller sees.
fn told(target: &SshTarget, job: &Job, no_end: NoEnd) -> RemoteError {
    let command = shortened(&job.script, 200);
    match no_end {
        NoEnd::Deadline { started: true } | NoEnd::Cancelled => {
            RemoteError::Deadline { node: target.node.clone(), command, after: job.deadline }
        }
        NoEnd::Deadline { started: false } => never_began(target, &job.script, job.deadline),
        NoEnd::NotStarted(reason) => unreachable(
            target,
            format!("the new connection broke before `{command}` was sent: {reason}"),
            "Look at the log of its sshd (MaxSessions, MaxStartups)",
        ),
        NoEnd::Lost(reason) => unreachable(
            target,
            format!(
                "the connection broke while `{command}` ran: {reason}; it may have done its work, part of it or nothing"
            ),
            "Look whether the machine and its sshd are up; the next command connects again",
        ),
        NoEnd::Denied(reason) => super::connection::refused(
            target,
            format!("its sshd runs no commands: {reason}"),
            "Look for ForceCommand or a restricted shell",
        ),
        NoEnd::Sink(reason) => RemoteError::Copy {
            node: target.node.clone(),
            from: format!("the output of `{command}`"),
            to: "this machine".to_owned(),
            reason,
        },
    }
}

/// The error for a command that was not even begun in its time.
pub(super) fn never_began(target: &SshTarget, script: &str, deadline: Duration) -> RemoteError {
    let command = shortened(script, 200);
    let reason = format!(
        "`{command}` could not begin within {} ms: the node's connections were busy or silent",
        deadline.as_millis()
    );
    unreachable(target, reason, "Look whether other commands hang there, or give it more time")
}
