//! Histories of sessions: what other checkers of transactions read, in.
//!
//! | format | of | what it is |
//! |---|---|---|
//! | [`Format::Plume`] | Plume, PolySI, AWDIT | `r(KEY,VALUE,SESSION,TXN)` and `w(..)`, one a line; transaction -1 was aborted |
//! | [`Format::Awdit`] | AWDIT's `test` | `w KEY VALUE`, `r KEY VALUE`; dashes between transactions, `=` between sessions |
//! | [`Format::Dbcop`] | dbcop | JSON of 2026 (`{"params":..,"data":[..]}`, or the sessions alone), or the bincode of 2019 |
//! | [`Format::Hist`] | dbcop | `[x:=1 y==?] [y==2]!`: the transactions of a session; dashes between sessions |
//! | [`Format::VeriStrong`] | VeriStrong's `elle-list-append` | how many lines, then `SESSION TXN A KEY VALUE` or `SESSION TXN R KEY COUNT VALUES..` |
//! | [`read_cobra`] | Cobra | a binary log a session |
//!
//! They become transactions of `w` and `r` (VeriStrong's: of `append` and `r`). A session is a process; a transaction that
//! was committed is `ok`, one that was aborted `fail`; one without an end (Cobra only) is open for ever. Keys and values are
//! integers, or texts where the format has names.
//!
//! **Initial values.** A read of what nobody wrote is a read of nothing. In these formats 0 is the initial value: a read of 0
//! is read as one of nothing, unless some transaction wrote 0 to the key. In Plume's format and dbcop's of 2019 nobody may:
//! that is an error, but for the initial state that other checkers write as a transaction (AWDIT as the last session, PolySI
//! as the first): one that was committed, alone in its session, and only writes 0, to every key that is read. It is left out.
//!
//! **No real time.** These formats know the order within a session only, so [`History::has_realtime`] is false. Events are
//! put so that little is said beyond that order: each session begins its next transaction right after the last one's end,
//! and sessions take turns.
//!
//! **Cut files.** A history without its end is no smaller history: what is missing may have written what others read. So
//! a file that ends in the middle of something is an error. A file that ends between two lines cannot be told from a whole
//! one; nor, in AWDIT's `test` format and VeriStrong's, one that ends within the last number, as their last line needs no end.

mod awdit;
mod binary;
mod cobra;
mod dbcop;
mod gather;
mod hist;
mod lines;
mod plume;
#[cfg(test)]
mod tests;
mod veristrong;

use std::io::Read;

use crate::history::{History, HistoryError};
use crate::reading::chunks::PIECE_BYTES_MAX;

/// A format that is one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// `r(KEY,VALUE,SESSION,TXN)`.
    Plume,
    /// `r KEY VALUE`, dashes between transactions.
    Awdit,
    /// JSON or bincode, told by its first bytes.
    Dbcop,
    /// `[x:=1 y==?]`.
    Hist,
    /// `SESSION TXN A KEY VALUE`.
    VeriStrong,
}

/// Why a text is no history of sessions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionsError {
    /// It could not be read.
    #[error("line {line}: the history cannot be read: {reason}")]
    Io {
        /// The line, from 1.
        line: u64,
        /// What happened.
        reason: String,
    },
    /// A line, or a place in one, is not what it should be.
    #[error("line {line} (byte {offset} of the file): found {found}, expected {expected}")]
    Syntax {
        /// The line, from 1.
        line: u64,
        /// Bytes of the file before what is wrong.
        offset: u64,
        /// What stands there.
        found: String,
        /// What should stand there.
        expected: String,
    },
    /// The file was cut off.
    #[error(
        "line {line} (byte {offset} of the file): the file ends where {expected} should follow; it was cut off, and what is missing may have written what others read: get the whole file"
    )]
    Cut {
        /// The line, from 1.
        line: u64,
        /// Bytes of the file before its last, unfinished piece.
        offset: u64,
        /// What should follow.
        expected: String,
    },
    /// A binary file has a byte that it cannot have.
    #[error("byte {offset} of the file: found {found}, expected {expected}")]
    Binary {
        /// Bytes of the file before it.
        offset: u64,
        /// What stands there.
        found: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// A binary file was cut off.
    #[error(
        "byte {offset} of the file: the file ends where {expected} should follow; it was cut off, and what is missing may have written what others read: get the whole file"
    )]
    BinaryCut {
        /// Bytes of the file.
        offset: u64,
        /// What should follow.
        expected: &'static str,
    },
    /// A line without end.
    #[error("line {line} (byte {offset} of the file) is longer than {PIECE_BYTES_MAX} bytes; is this a history?")]
    LineTooLong {
        /// The line, from 1.
        line: u64,
        /// Bytes of the file before the line.
        offset: u64,
    },
    /// Trouble in one of many files.
    #[error("{name}: {source}")]
    InLog {
        /// The file's name.
        name: String,
        /// The trouble.
        source: Box<SessionsError>,
    },
    /// The transactions do not make a history.
    #[error("the transactions make no history: {source}")]
    Rule {
        /// The rule.
        source: HistoryError,
    },
}

/// Reads a history. Memory while reading: about 32 bytes an operation beside the history; of dbcop's also the text.
///
/// # Errors
/// The first place that is not what the format asks for; see [`SessionsError`].
pub fn read(format: Format, reader: impl Read) -> Result<History, SessionsError> {
    let mut gather = gather::Gather::default();
    match format {
        Format::Plume => plume::read(reader, &mut gather)?,
        Format::Awdit => awdit::read(reader, &mut gather)?,
        Format::Dbcop => dbcop::read(reader, &mut gather)?,
        Format::Hist => hist::read(reader, &mut gather)?,
        Format::VeriStrong => veristrong::read(reader, &mut gather)?,
    }
    gather.into_history()
}

/// Reads Cobra's logs, given with their names; each is a session, in the order given.
///
/// ```text
/// S txn                                      a transaction begins
/// R written_by write key value               it reads what that write wrote
/// W write key value                          it writes
/// C txn                                      it was committed (A: it was aborted)
/// ```
///
/// Letters are bytes, the rest integers of 64 bits, the first byte first. What is written and read are the numbers of writes,
/// as values are but hashes; 0xbebeebee and 0xdeadbeef stand for what was there at first. A log that ends within a
/// transaction leaves it in doubt.
///
/// # Errors
/// Those of [`read`], with the log's name.
pub fn read_cobra<R: Read>(logs: impl IntoIterator<Item = (String, R)>) -> Result<History, SessionsError> {
    let mut gather = gather::Gather::default();
    for (name, log) in logs {
        cobra::read(log, &mut gather).map_err(|source| SessionsError::InLog { name, source: Box::new(source) })?;
    }
    gather.into_history()
}
