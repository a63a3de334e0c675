//! How far a file is whole.

/// How a file ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tail {
    /// Bytes of the file up to the end of its last whole event. What is cut there reads the same.
    pub whole_bytes: u64,
    /// Whether the last whole event stands on a line without an end: whole, but to be ended before anything is added.
    pub newline_missing: bool,
    /// What was cut off in mid-event and left out.
    pub torn: Option<Torn>,
}

/// The beginning of an event that was never written to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// Its line, from 1.
    pub line: u64,
    /// Bytes of the file before it.
    pub offset: u64,
    /// How many bytes of it there are.
    pub bytes_count: u64,
}
