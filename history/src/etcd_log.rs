//! The log text of Jepsen's etcd tests of 2014, which Porcupine and others test with: one register, one event a line.
//!
//! ```text
//! INFO  jepsen.util - 0    :invoke    :read    nil
//! INFO  jepsen.util - 2    :invoke    :cas    [3 0]
//! INFO  jepsen.util - 0    :ok    :read    3
//! INFO  jepsen.util - 2    :fail    :cas    [3 0]
//! INFO  jepsen.util - 1    :info    :write    :timed-out
//! ```
//!
//! Process, type, function and value after `jepsen.util - `, between tabs or spaces. Values are `nil`, integers, pairs, or
//! a keyword: the reason of a `fail` or an `info`. Other lines (other loggers, the nemesis) are read over. Events have no
//! time. A `fail` of a compare-and-set means that it did not match: read such a log with [`FailedCas::Observed`].
//!
//! [`FailedCas::Observed`]: crate::FailedCas::Observed

use std::io::{BufRead, Read};

use crate::history::{History, HistoryBuilder, HistoryError};
use crate::json;
use crate::op::{F, Kind, Op, Process};
use crate::reading::Import;
use crate::reading::chunks::{CHUNK_BYTES, Chunk, Cut, PIECE_BYTES_MAX, Splitter, in_order};
use crate::tail::{Tail, Torn};
use crate::value::Value;

/// What stands before an event.
const LOGGER: &str = "jepsen.util - ";

/// Why a text is no history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdLogError {
    /// It could not be read.
    #[error("line {line}: the log cannot be read: {reason}")]
    Io {
        /// The line, from 1.
        line: u64,
        /// What happened.
        reason: String,
    },
    /// A line of the logger is no event.
    #[error("line {line} (byte {offset} of the file): found {found}, expected {expected}")]
    Syntax {
        /// The line, from 1.
        line: u64,
        /// Bytes of the file before the line.
        offset: u64,
        /// What stands there.
        found: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// A line without end.
    #[error("line {line} (byte {offset} of the file) is longer than {PIECE_BYTES_MAX} bytes; is this a log?")]
    LineTooLong {
        /// The line, from 1.
        line: u64,
        /// Bytes of the file before the line.
        offset: u64,
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
}

/// Reads a history, in chunks: about 25 bytes of memory an event, never the file. A last line without an end is left
/// out if it may be the beginning of a longer one; the [`Tail`] tells of it.
///
/// # Errors
/// The first line that is no event or breaks a rule of histories.
pub fn read(reader: impl BufRead, import: &Import) -> Result<(History, Tail), EtcdLogError> {
    read_in(reader, import, CHUNK_BYTES)
}

fn read_in(reader: impl Read, import: &Import, chunk_bytes: usize) -> Result<(History, Tail), EtcdLogError> {
    let mut splitter = Splitter::new(reader, Cut::Lines, chunk_bytes);
    let mut log = Log { import, builder: HistoryBuilder::default(), tail: Tail::default(), line: 1, offset: 0 };
    in_order(&mut splitter, 1, || (), |_, _, _: &mut ()| (), |chunk, ()| log.take(chunk))?;
    if let Some(source) = splitter.trouble {
        return Err(EtcdLogError::Io { line: log.line, reason: source.to_string() });
    }
    if splitter.line_too_long {
        return Err(EtcdLogError::LineTooLong { line: log.line, offset: log.offset });
    }
    Ok((log.builder.finish(), log.tail))
}

struct Log<'a> {
    import: &'a Import,
    builder: HistoryBuilder,
    tail: Tail,
    /// The line to come, and the bytes before it.
    line: u64,
    offset: u64,
}

/// What a line says.
enum Line<'a> {
    Event(Op),
    Other,
    /// What stands where something else should.
    Wrong(&'a str, &'static str),
}

impl Log<'_> {
    fn take(&mut self, chunk: &Chunk) -> Result<(), EtcdLogError> {
        for line in chunk.bytes.split_inclusive(|&byte| byte == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(whole) => {
                    if self.take_line(whole)? {
                        self.tail.whole_bytes = self.offset + line.len() as u64;
                    }
                    self.line += 1;
                    self.offset += line.len() as u64;
                }
                None if chunk.broken => {}
                None => self.take_rest(line)?,
            }
        }
        Ok(())
    }

    /// Takes a line; whether it is an event.
    fn take_line(&mut self, bytes: &[u8]) -> Result<bool, EtcdLogError> {
        let text = String::from_utf8_lossy(bytes);
        match parse(&text) {
            Line::Other => Ok(false),
            Line::Wrong(found, expected) => {
                let found = json::found(found.as_bytes(), 0).replace("the end", "the end of the line");
                Err(EtcdLogError::Syntax { line: self.line, offset: self.offset, found, expected })
            }
            Line::Event(mut op) => {
                self.import.settle(&mut op);
                let (line, offset) = (self.line, self.offset);
                self.builder.push(op).map_err(|source| EtcdLogError::Rule { line, offset, source })?;
                Ok(true)
            }
        }
    }

    /// Takes what stands after the last end of a line. An integer may be the beginning of a longer one, and so may be a
    /// word, and a line that is no event the beginning of one.
    fn take_rest(&mut self, bytes: &[u8]) -> Result<(), EtcdLogError> {
        let text = String::from_utf8_lossy(bytes);
        let ended = text.ends_with([']', ' ', '\t', '\r']) || text.ends_with("\tnil") || text.ends_with(" nil");
        if ended && matches!(parse(&text), Line::Event(_)) {
            self.take_line(bytes)?;
            self.tail.whole_bytes = self.offset + bytes.len() as u64;
            self.tail.newline_missing = true;
        } else if !text.trim().is_empty() {
            self.tail.torn = Some(Torn { line: self.line, offset: self.offset, bytes_count: bytes.len() as u64 });
        }
        Ok(())
    }
}

fn parse(line: &str) -> Line<'_> {
    let Some((_, event)) = line.split_once(LOGGER) else { return Line::Other };
    // The nemesis is no client, and what else is logged is no event.
    let (process, event) = word(event);
    if !process.bytes().all(|byte| byte.is_ascii_digit()) || process.is_empty() {
        return Line::Other;
    }
    let Ok(process) = process.parse() else { return Line::Wrong(process, "a process below 4294967296") };
    let (kind_text, event) = word(event);
    let (f_text, event) = word(event);
    let Some(kind) = kind_text.strip_prefix(':').and_then(Kind::parse) else {
        return Line::Wrong(kind_text, "one of :invoke, :ok, :fail, :info");
    };
    let f = match f_text {
        ":read" => F::Read,
        ":write" => F::Write,
        ":cas" => F::Cas,
        other => return Line::Wrong(other, "one of :read, :write, :cas"),
    };
    let text = event.trim();
    let mut op = Op::new(Process::Client(process), kind, f, Value::Nil);
    if let Some(value) = value(text) {
        op.value = value;
    } else if text.starts_with(':') && matches!(kind, Kind::Fail | Kind::Info) {
        op.error = Some(Box::new(Value::Keyword(text[1..].into())));
    } else {
        return Line::Wrong(text, "nil, an integer, [old new], or the reason of a :fail or an :info");
    }
    Line::Event(op)
}

/// The first word of a text, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}

/// `nil`, an integer, or two of them.
fn value(text: &str) -> Option<Value> {
    if text == "nil" {
        return Some(Value::Nil);
    }
    let Some(pair) = text.strip_prefix('[') else { return text.parse().ok().map(Value::Int) };
    let (old, new) = pair.strip_suffix(']')?.split_once(' ')?;
    Some(Value::Pair([old.trim().parse().ok()?, new.trim().parse().ok()?]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notation;
    use crate::reading::FailedCas;

    const LOG: &str = "INFO  jepsen.core - Worker 0 starting\n\
        INFO  jepsen.util - 0\t:invoke\t:read\tnil\n\
        INFO  jepsen.util - :nemesis\t:info\t:start\tnil\n\
        INFO  jepsen.util - 2   :invoke :cas    [3 0]\n\
        INFO  jepsen.util - 0\t:ok\t:read\t3\n\
        INFO  jepsen.util - 2\t:fail\t:cas\t[3 0]\n\
        INFO  jepsen.util - 1\t:invoke\t:write\t-4\n\
        INFO  jepsen.util - 3\t:invoke\t:read\tnil\n\
        INFO  jepsen.util - 3\t:fail\t:read\t:timed-out\n\
        INFO  jepsen.util - 1\t:info\t:write\t:timed-out\n";

    fn read(text: &[u8], failed_cas: FailedCas, chunk_bytes: usize) -> Result<(History, Tail), String> {
        let import = Import { failed_cas, threads: Some(1) };
        read_in(text, &import, chunk_bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn events_are_read_and_other_lines_are_not() {
        for chunk_bytes in [1, 100, 1 << 16] {
            let (history, tail) = read(LOG.as_bytes(), FailedCas::Observed, chunk_bytes).expect("a log");
            assert_eq!(notation::write(&history), "0:r( 2:c3>0( 0)3 2)~ 1:w-4( 3:r! 1?nil");
            assert_eq!(tail, Tail { whole_bytes: LOG.len() as u64, ..Tail::default() });
            assert_eq!(history.error(7), Some(&Value::Keyword("timed-out".into())));
        }
        let (history, _) = read(LOG.as_bytes(), FailedCas::Unknown, 1 << 16).expect("a log");
        assert_eq!((history.kind(3), history.matched(3)), (Kind::Fail, None));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (line, expected) in [
            ("0", "found the end of the line, expected one of :invoke, :ok, :fail, :info"),
            ("0\t:okay\t:read\tnil", "found `:okay`, expected one of :invoke"),
            ("0\tok\t:read\tnil", "found `ok`, expected one of :invoke"),
            ("0\t:ok\t:append\t1", "found `:append`, expected one of :read, :write, :cas"),
            ("0\t:ok\t:read", "found the end of the line, expected nil, an integer"),
            ("0\t:ok\t:read\t1.5", "found `1.5`, expected nil, an integer"),
            ("0\t:ok\t:read\t:timed-out", "found `:timed-out`, expected nil, an integer"),
            ("0\t:ok\t:cas\t[1 2 3]", "found `[1 2 3]`, expected nil"),
            ("0\t:ok\t:read\t1 2", "found `1 2`, expected nil"),
            ("4294967296\t:ok\t:read\t1", "found `4294967296`, expected a process below"),
            ("9\t:ok\t:read\t1", "event 8: process 9 completes read with ok, but has no operation open"),
        ] {
            let text = format!("{LOG}INFO  jepsen.util - {line}\n");
            let error = read(text.as_bytes(), FailedCas::Unknown, 1 << 16).expect_err(line);
            let place = format!("line 11 (byte {} of the file): ", LOG.len());
            assert!(error.starts_with(&place) && error.contains(expected), "{line}\n  {error}");
        }
    }

    /// Wherever a log is cut, nothing is read that does not stand there.
    #[test]
    fn a_torn_log_is_read_as_far_as_it_is_sure() {
        let (whole, _) = read(LOG.as_bytes(), FailedCas::Unknown, 1 << 16).expect("a log");
        for cut in 0..LOG.len() {
            let (history, tail) = read(&LOG.as_bytes()[..cut], FailedCas::Unknown, 64).expect("a beginning");
            assert!(history.ops().zip(whole.ops()).all(|(a, b)| a == b), "cut at {cut}");
            let begun = LOG[..cut].rfind('\n').map_or(0, |at| at + 1);
            let events = LOG[..begun].lines().filter(|line| matches!(parse(line), Line::Event(_))).count();
            assert_eq!(history.len(), events + usize::from(tail.newline_missing), "cut at {cut}");
            assert_eq!(tail.torn.is_some(), cut > begun && !tail.newline_missing, "cut at {cut}");
        }
        let (_, tail) = read(b"INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]", FailedCas::Unknown, 64).expect("a log");
        assert!(tail.newline_missing && tail.torn.is_none());
        let text = b"INFO  jepsen.util - 0\t:invoke\t:write\t12";
        let (history, tail) = read(text, FailedCas::Unknown, 64).expect("a log");
        assert!(history.is_empty() && tail.torn.is_some(), "12 may be the beginning of 123");
    }
}
