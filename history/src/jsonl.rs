//! `history.jsonl`: one event a line, with Jepsen's field names.
//!
//! ```text
//! {"index":0,"time":1250000,"process":3,"type":"invoke","f":"cas","key":7,"value":[1,2],"node":"n2"}
//! {"index":5,"time":9250000,"process":3,"type":"info","f":"cas","key":7,"value":[1,2],"node":"n2","error":["timeout",{"ms":5000}]}
//! {"index":6,"time":9300000,"process":"nemesis/partition","type":"invoke","f":"inject","value":{"n1":["n2","n3"]},"fault_id":3}
//! ```
//!
//! Fields, in the order of writing: `index`, `time` (nanoseconds since the start of the run), `process`, `type`, `f`,
//! `key`, `value`, `node`, `matched`, `fault_id`, `session`, `error`; then what schism has no name for. A field that an
//! event has not is left out, but for `value`. An extra field with a name of ours is written as `extra.<name>`.
//!
//! The first line may be a head instead of an event: `{"schema_version":1,"realtime":false}` says that the order of events of
//! different processes means nothing ([`History::has_realtime`]). Only histories of which that is so have one.
//!
//! Reading asks for `process` and `type`, and for `f` unless the value is a transaction; a missing time is the time of
//! the event before. The order of lines is the order of events: `index` is checked to be a number, and given anew.

#[cfg(test)]
mod agree;
mod fast;
mod line;
mod reader;
mod writer;

use std::io::{self, BufRead};

use crate::history::{History, HistoryError};
use crate::reading::Import;
use crate::reading::chunks::{CHUNK_BYTES, PIECE_BYTES_MAX};
use crate::tail::Tail;

pub use writer::{JsonlWriter, write};

/// Fields with a meaning of their own, in the order of writing.
pub(crate) const FIELDS: [&str; 12] =
    ["index", "time", "process", "type", "f", "key", "value", "node", "matched", "fault_id", "session", "error"];

/// The version of the format, as a head tells it.
pub(crate) const SCHEMA: u64 = 1;

/// Why a file is no history.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonlError {
    /// It could not be read.
    #[error("line {line}: the history cannot be read: {source}")]
    Io {
        /// The line, from 1.
        line: u64,
        /// What happened.
        source: io::Error,
    },
    /// A line is no event.
    #[error("line {line}, column {column} (byte {offset} of the file): found {found}, expected {expected}")]
    Syntax {
        /// The line, from 1.
        line: u64,
        /// The byte within the line, from 1.
        column: u64,
        /// Bytes of the file before it.
        offset: u64,
        /// What stands there.
        found: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// The events do not make a history.
    #[error("line {line} (byte {offset} of the file): {source}")]
    Rule {
        /// The line, from 1.
        line: u64,
        /// Bytes of the file before the line.
        offset: u64,
        /// The rule.
        source: HistoryError,
    },
    /// A line without end.
    #[error(
        "line {line} (byte {offset} of the file) is longer than {PIECE_BYTES_MAX} bytes; is this a history, one event a line?"
    )]
    LineTooLong {
        /// The line, from 1.
        line: u64,
        /// Bytes of the file before the line.
        offset: u64,
    },
}

/// Reads a history as far as it is whole, in chunks and on as many threads as the machine has: about 25 bytes of memory
/// an event and a megabyte a thread, never the file.
///
/// The last line may be torn: the beginning of an event, or zeros that a crashed machine left. That is no error; the
/// [`Tail`] tells of it. Blank lines are skipped.
///
/// # Errors
/// The first line that cannot be read, is no event, or breaks a rule of histories.
pub fn read(reader: impl BufRead) -> Result<(History, Tail), JsonlError> {
    read_with(reader, &Import::default())
}

/// [`read`], told how.
///
/// # Errors
/// Those of [`read`].
pub fn read_with(reader: impl BufRead, import: &Import) -> Result<(History, Tail), JsonlError> {
    reader::read(reader, import, CHUNK_BYTES)
}
