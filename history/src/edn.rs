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

mod events;
mod keyed;
mod text;
mod writer;

pub use events::read;
pub use keyed::Keyed;
pub use text::parse;
pub use writer::{to_text, write};

use crate::history::HistoryError;

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

/// Whether a field of that name is written with `extra.` before it where it is an extra one.
fn is_escaped(name: &str) -> bool {
    FIELDS.contains(&name) || name.strip_prefix("extra.").is_some_and(is_escaped)
}
