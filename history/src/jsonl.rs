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
//! Reading asks for `process` and `type`, and for `f` unless the value is a transaction; a missing time is the time of
//! the event before. The order of lines is the order of events: `index` is checked to be a number, and given anew.

mod line;
mod writer;

use std::io::{self, BufRead};

use crate::history::{History, HistoryBuilder, HistoryError};
use crate::json::{self, Trouble};
use crate::tail::{Tail, Torn};

pub use writer::{JsonlWriter, write};

/// Fields with a meaning of their own, in the order of writing.
pub(crate) const FIELDS: [&str; 12] =
    ["index", "time", "process", "type", "f", "key", "value", "node", "matched", "fault_id", "session", "error"];

/// Longest line that is read.
const LINE_BYTES_MAX: usize = 64 << 20;

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
        "line {line} (byte {offset} of the file) is longer than {LINE_BYTES_MAX} bytes; is this a history, one event a line?"
    )]
    LineTooLong {
        /// The line, from 1.
        line: u64,
        /// Bytes of the file before the line.
        offset: u64,
    },
}

/// Reads a history as far as it is whole, line by line: about 25 bytes of memory an event, never the file. Give it a
/// reader with a large buffer (a megabyte).
///
/// The last line may be torn: the beginning of an event, or zeros that a crashed machine left. That is no error; the
/// [`Tail`] tells of it. Blank lines are skipped.
///
/// # Errors
/// The first line that cannot be read, is no event, or breaks a rule of histories.
pub fn read(mut reader: impl BufRead) -> Result<(History, Tail), JsonlError> {
    let mut events = Events { line: 1, ..Events::default() };
    let mut begun = Vec::new();
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(JsonlError::Io { line: events.line, source }),
        };
        if buffer.is_empty() {
            break;
        }
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let read = part.len() + usize::from(end.is_some());
        if begun.len() + part.len() > LINE_BYTES_MAX {
            return Err(JsonlError::LineTooLong { line: events.line, offset: events.offset });
        }
        if end.is_some() && begun.is_empty() {
            events.take_line(part)?;
        } else {
            begun.extend_from_slice(part);
            if end.is_some() {
                events.take_line(&begun)?;
                begun.clear();
            }
        }
        reader.consume(read);
    }
    events.take_rest(&begun)?;
    Ok((events.builder.finish(), events.tail))
}

#[derive(Default)]
struct Events {
    builder: HistoryBuilder,
    parser: line::Parser,
    tail: Tail,
    /// The line to come, and the bytes before it.
    line: u64,
    offset: u64,
    /// What is wrong with the last line, if it is but the beginning of an event.
    unfinished: Option<JsonlError>,
}

impl Events {
    /// Takes a line that ended.
    fn take_line(&mut self, bytes: &[u8]) -> Result<(), JsonlError> {
        if !is_blank(bytes) {
            if let Some(error) = self.unfinished.take() {
                return Err(error);
            }
            match self.take_event(bytes)? {
                None => self.tail.whole_bytes = self.offset + bytes.len() as u64 + 1,
                Some(trouble) => {
                    self.tear(self.offset, bytes.len() as u64 + 1);
                    self.unfinished = Some(self.syntax(bytes, &trouble));
                }
            }
        }
        self.line += 1;
        self.offset += bytes.len() as u64 + 1;
        Ok(())
    }

    /// Takes what stands after the last end of a line.
    fn take_rest(&mut self, bytes: &[u8]) -> Result<(), JsonlError> {
        let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
        let text = &bytes[..bytes.len() - zeros];
        let (count, text_count) = (bytes.len() as u64, text.len() as u64);
        if is_blank(text) {
            if zeros > 0 && self.unfinished.is_none() {
                self.tear(self.offset, count);
            }
            return Ok(());
        }
        if let Some(error) = self.unfinished.take() {
            return Err(error);
        }
        if self.take_event(text)?.is_some() {
            self.tear(self.offset, count);
            return Ok(());
        }
        self.tail.newline_missing = true;
        self.tail.whole_bytes = self.offset + text_count;
        if zeros > 0 {
            self.tear(self.offset + text_count, zeros as u64);
        }
        Ok(())
    }

    fn tear(&mut self, offset: u64, bytes_count: u64) {
        self.tail.torn = Some(Torn { line: self.line, offset, bytes_count });
    }

    /// Takes an event. `Some`: the text is but the beginning of one.
    fn take_event(&mut self, bytes: &[u8]) -> Result<Option<Trouble>, JsonlError> {
        let mark = if self.line == 1 && bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        match self.parser.event(bytes, mark) {
            Ok(op) => {
                let (line, offset) = (self.line, self.offset);
                self.builder.push(op).map_err(|source| JsonlError::Rule { line, offset, source })?;
                Ok(None)
            }
            Err(trouble) if trouble.end => Ok(Some(trouble)),
            Err(trouble) => Err(self.syntax(bytes, &trouble)),
        }
    }

    fn syntax(&self, bytes: &[u8], trouble: &Trouble) -> JsonlError {
        let found = match json::found(bytes, trouble.at) {
            end if end == "the end" => "the end of the line".to_owned(),
            found => found,
        };
        JsonlError::Syntax {
            line: self.line,
            column: trouble.at as u64 + 1,
            offset: self.offset + trouble.at as u64,
            found,
            expected: trouble.expected,
        }
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}
