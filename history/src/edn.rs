//! Jepsen's histories, `history.edn`, in and out.
//!
//! ```text
//! {:index 0, :time 1250000, :type :invoke, :process 3, :f :cas, :value [7 [1 2]]}
//! {:index 1, :time 1300000, :type :info, :process :nemesis, :f :start, :value nil}
//! {:index 5, :time 9250000, :type :info, :process 3, :f :cas, :value [7 [1 2]], :error [:timeout {:ms 5000}]}
//! ```
//!
//! One map an event, one after the other or in one vector or list; tags (`#jepsen.history.Op{...}`), metadata, comments
//! and `#_` are read over. `:type` and `:process` must be there (a file in which no event has `:process` has one
//! process), and `:f` unless the value is a transaction; a missing `:time`, or Jepsen's -1, is that of the event before.
//! Fields that schism has no name for are kept and written again; its own are `:node`, `:matched`, `:fault-id` and
//! `:session`, where their values have the right type.
//!
//! What changes on the way through: chars and symbols become strings, ratios and decimals floats, lists vectors;
//! tags and metadata are dropped. A keyword that is a key stays one (it is the text `:x`).

#[cfg(test)]
mod agree;
mod assemble;
mod events;
mod fast;
mod keyed;
mod stream;
mod text;
mod writer;

use std::io::BufRead;

pub use keyed::Keyed;
pub use text::parse;
pub use writer::{to_text, write};

use crate::history::{History, HistoryError};
use crate::reading::Import;
use crate::reading::chunks::{CHUNK_BYTES, PIECE_BYTES_MAX};
use crate::tail::Tail;

/// Deepest nesting in a file.
const DEPTH_MAX: usize = 132;

/// Names of fields with a meaning of their own.
const FIELDS: [&str; 11] =
    ["index", "time", "type", "process", "f", "value", "error", "node", "matched", "fault-id", "session"];

/// Why a text is no history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EdnError {
    /// The text is no EDN, or no sequence of maps.
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
    /// A field of an event is missing, stands twice, or has a value that it cannot have.
    #[error("line {line} (byte {offset} of the file): `:{field}` is {found}, expected {expected}")]
    Field {
        /// The line on which the event begins, from 1.
        line: u64,
        /// Bytes of the file before the event.
        offset: u64,
        /// The field.
        field: String,
        /// Its value, or `missing`.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// It could not be read.
    #[error("line {line}: the history cannot be read: {reason}")]
    Io {
        /// The line, from 1.
        line: u64,
        /// What happened.
        reason: String,
    },
    /// An event without end.
    #[error(
        "line {line} (byte {offset} of the file): what begins here has no end within {PIECE_BYTES_MAX} bytes; is a bracket or a quote missing?"
    )]
    TooLong {
        /// The line on which it begins, from 1.
        line: u64,
        /// Bytes of the file before it.
        offset: u64,
    },
    /// The events do not make a history.
    #[error("line {line} (byte {offset} of the file): {source}")]
    Rule {
        /// The line on which the event begins, from 1.
        line: u64,
        /// Bytes of the file before the event.
        offset: u64,
        /// The rule.
        source: HistoryError,
    },
}

/// Whose maps are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Jepsen's.
    Jepsen,
    /// Those of a key-value text.
    KeyValue,
}

/// Reads a history as far as it is whole. The last line may be torn (begin an event and not end it, or not close the
/// vector around all events); that is no error, the [`Tail`] tells of it.
///
/// # Errors
/// The first place that is no EDN or no event, or the first event that breaks a rule of histories.
pub fn read(bytes: &[u8], keyed: Keyed) -> Result<(History, Tail), EdnError> {
    read_from(bytes, keyed, &Import::default())
}

/// [`read`] from a stream, in chunks and on threads: about 25 bytes of memory an event and a megabyte a thread, never the
/// text. Whether values are keyed is settled by the first 16,384 events (more, as long as no key came twice), which are
/// held as rows, some 200 bytes each; a later one that is not like them is an error.
///
/// # Errors
/// Those of [`read`], and when the text cannot be read.
pub fn read_from(reader: impl BufRead, keyed: Keyed, import: &Import) -> Result<(History, Tail), EdnError> {
    stream::read(reader, (Dialect::Jepsen, keyed), import, CHUNK_BYTES)
}

/// Reads a key-value text, as Porcupine's tests have it, as [`read_from`] reads Jepsen's: one map a line, the key in a
/// field of its own, `get` and `put` for `read` and `write`.
///
/// ```text
/// {:process 9, :type :invoke, :f :append, :key "0", :value "x 9 0 y"}
/// {:process 9, :type :ok, :f :append, :key "0", :value "x 9 0 y"}
/// {:process 4, :type :invoke, :f :get, :key "0", :value nil}
/// ```
///
/// # Errors
/// Those of [`read_from`].
pub fn read_key_value(reader: impl BufRead, import: &Import) -> Result<(History, Tail), EdnError> {
    stream::read(reader, (Dialect::KeyValue, Keyed::No), import, CHUNK_BYTES)
}

/// Whether a field of that name is written with `extra.` before it where it is an extra one.
fn is_escaped(name: &str) -> bool {
    FIELDS.contains(&name) || name.strip_prefix("extra.").is_some_and(is_escaped)
}
