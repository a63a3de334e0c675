//! The journal: operations to disk as they happen, by a thread of its own.
//!
//! The interpreter hands over batches in the order of their indices; the thread writes them in that order and flushes
//! at most [`FLUSH_NS`] later. So any prefix of the file is a sound history, whatever ends the controller. After the
//! first error no further event is written: the history must have no hole.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use schism_history::Op;
use schism_history::jsonl::JsonlWriter;
use tokio::sync::oneshot;

/// How long a written event may stay in memory, in the journal's own part of the way; the interpreter's part is as long.
pub const FLUSH_NS: u64 = 5_000_000;

/// Batches that may wait for the disk; beyond it the controller waits too.
const BATCHES_MAX: usize = 128;

/// Why the history could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// No room.
    #[error(
        "the disk is full: {path} holds the history up to event {events} and no more; free some space or choose another folder, and run again"
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// Events that were handed to the file before.
        events: u64,
    },
    /// Anything else.
    #[error("the history cannot be written to {path} after event {events}: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Events that were handed to the file before.
        events: u64,
        /// What the system said.
        reason: String,
    },
}

/// Where the journal writes: a file, or something like it in a test.
pub trait Sink: Write + Send + 'static {
    /// Makes what was written outlive a loss of power.
    ///
    /// # Errors
    /// As the system says.
    fn sync(&self) -> io::Result<()>;
}

impl Sink for File {
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

enum Message {
    Batch(Vec<Op>),
    Sync(oneshot::Sender<u64>),
}

/// The journal's face to the interpreter. Dropping it writes what was handed over and ends the thread.
pub struct Journal {
    sender: Option<SyncSender<Message>>,
    recycled: Receiver<Vec<Op>>,
    failure: Arc<OnceLock<JournalError>>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// A journal into a new file.
    ///
    /// # Errors
    /// When the file exists already (evidence is never overwritten) or cannot be made.
    pub fn create(path: &Path) -> Result<Journal, JournalError> {
        let opened = OpenOptions::new().write(true).create_new(true).open(path);
        let file = opened.map_err(|error| failed(path, 0, &error))?;
        Journal::into_sink(path, Box::new(file))
    }

    /// A journal into anything; `path` is for messages.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn into_sink(path: &Path, sink: Box<dyn Sink>) -> Result<Journal, JournalError> {
        let (sender, messages) = sync_channel(BATCHES_MAX);
        let (recycle, recycled) = sync_channel(BATCHES_MAX);
        let failure = Arc::new(OnceLock::new());
        let mut writer = Writer {
            path: path.to_owned(),
            lines: JsonlWriter::new(sink),
            events: 0,
            failure: failure.clone(),
            recycle,
        };
        let started = std::thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run(&messages));
        let thread = started.map_err(|error| failed(path, 0, &error))?;
        Ok(Journal { sender: Some(sender), recycled, failure, thread: Some(thread) })
    }

    /// Hands over events in order; returns an empty vector to fill next. Blocks while the disk is far behind.
    pub fn submit(&mut self, batch: Vec<Op>) -> Vec<Op> {
        if let Some(sender) = &self.sender {
            // A thread that is gone has left its reason in `failure`.
            let _ = sender.send(Message::Batch(batch));
        }
        self.recycled.try_recv().unwrap_or_default()
    }

    /// Why nothing is written any more, if so.
    pub fn failure(&self) -> Option<&JournalError> {
        self.failure.get()
    }

    /// Waits until everything that was handed over would outlive a loss of power; returns how many events that are.
    ///
    /// # Errors
    /// The first error of all.
    pub async fn sync(&mut self) -> Result<u64, JournalError> {
        let (sender, done) = oneshot::channel();
        if let Some(messages) = &self.sender {
            let _ = messages.send(Message::Sync(sender));
        }
        let events = done.await.unwrap_or(0);
        self.failure().map_or(Ok(events), |failure| Err(failure.clone()))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn failed(path: &Path, events: u64, error: &io::Error) -> JournalError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            JournalError::Full { path: path.to_owned(), events }
        }
        _ => JournalError::Io { path: path.to_owned(), events, reason: error.to_string() },
    }
}

/// The journal's thread.
struct Writer {
    path: PathBuf,
    lines: JsonlWriter<Box<dyn Sink>>,
    events: u64,
    failure: Arc<OnceLock<JournalError>>,
    recycle: SyncSender<Vec<Op>>,
}

impl Writer {
    fn run(&mut self, messages: &Receiver<Message>) {
        let mut flush_at: Option<Instant> = None;
        loop {
            let message = match flush_at {
                None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => messages.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match message {
                Ok(Message::Batch(batch)) => {
                    self.write(batch);
                    flush_at.get_or_insert_with(|| Instant::now() + Duration::from_nanos(FLUSH_NS));
                }
                Ok(Message::Sync(done)) => {
                    self.attempt(sync);
                    flush_at = None;
                    let _ = done.send(self.events);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.attempt(JsonlWriter::flush);
                    flush_at = None;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if flush_at.is_some_and(|at| at <= Instant::now()) {
                self.attempt(JsonlWriter::flush);
                flush_at = None;
            }
        }
        self.attempt(sync);
    }

    fn write(&mut self, mut batch: Vec<Op>) {
        for op in batch.drain(..) {
            self.attempt(|lines| lines.write(&op));
            self.events += u64::from(self.failure.get().is_none());
        }
        let _ = self.recycle.try_send(batch);
    }

    fn attempt(&mut self, act: impl FnOnce(&mut JsonlWriter<Box<dyn Sink>>) -> io::Result<()>) {
        if self.failure.get().is_none()
            && let Err(error) = act(&mut self.lines)
        {
            let _ = self.failure.set(failed(&self.path, self.events, &error));
        }
    }
}

fn sync(lines: &mut JsonlWriter<Box<dyn Sink>>) -> io::Result<()> {
    lines.flush()?;
    lines.get_ref().map_or(Ok(()), |sink| sink.sync())
}
