//! Lines to a history: cut into chunks, parsed on threads, taken in order.

use std::io::Read;

use super::line::Parser;
use super::{JsonlError, fast};
use crate::history::{History, HistoryBuilder};
use crate::json::{self, Trouble};
use crate::op::Op;
use crate::reading::Import;
use crate::reading::chunks::{Chunk, Cut, Splitter, in_order};
use crate::reading::plain::{Names, Plain};
use crate::tail::{Tail, Torn};

/// Mark of UTF-8 that some editors put before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What stands on a line that is not blank.
enum Line {
    Plain(Plain),
    /// The head: whether there is real time. It is the first line.
    Head(bool),
    /// The event, whether it has a time, and where it begins in the chunk.
    Row(Box<Op>, bool, usize),
    /// What is wrong with the line that begins there; the place in it is counted from its own beginning.
    Wrong(Box<Trouble>, usize),
}

/// What a thread finds in a chunk.
#[derive(Default)]
struct Lines {
    found: Vec<Line>,
    names: Names,
    /// How many lines ended, the blank ones included.
    ended: u64,
}

/// Parses the lines of a chunk that ended, up to the first that is wrong for good.
fn parse(parser: &mut Parser, chunk: &Chunk, lines: &mut Lines) {
    lines.found.clear();
    lines.names.flats.clear();
    lines.ended = 0;
    let bytes = chunk.bytes.as_slice();
    let mut at = 0;
    while at < bytes.len() {
        if let Some(plain) = fast::event(bytes, at, &mut lines.names) {
            at = plain.end as usize;
            lines.found.push(Line::Plain(plain));
            lines.ended += 1;
            continue;
        }
        let Some(length) = bytes[at..].iter().position(|&byte| byte == b'\n') else { return };
        let line = &bytes[at..at + length];
        if !is_blank(line) {
            match one(parser, line, chunk, at) {
                Ok(found) => lines.found.push(found),
                Err(trouble) => {
                    let is_end = trouble.end;
                    lines.found.push(Line::Wrong(Box::new(trouble), at));
                    if !is_end {
                        return;
                    }
                }
            }
        }
        at += length + 1;
        lines.ended += 1;
    }
}

/// What a line says that begins there: the first of a file may be its head.
fn one(parser: &mut Parser, line: &[u8], chunk: &Chunk, at: usize) -> Result<Line, Trouble> {
    let start = mark_bytes(chunk, at);
    if chunk.offset == 0
        && at == 0
        && let Some(has_realtime) = parser.head(line, start)?
    {
        return Ok(Line::Head(has_realtime));
    }
    parser.event(line, start).map(|(op, has_time)| Line::Row(Box::new(op), has_time, at))
}

/// How many bytes of the line that begins there are no text.
fn mark_bytes(chunk: &Chunk, at: usize) -> usize {
    let marked = chunk.offset == 0 && at == 0 && chunk.bytes.starts_with(BYTE_ORDER_MARK);
    if marked { BYTE_ORDER_MARK.len() } else { 0 }
}

/// Reads a history as far as it is whole.
pub(super) fn read(reader: impl Read, import: &Import, chunk_bytes: usize) -> Result<(History, Tail), JsonlError> {
    let mut splitter = Splitter::new(reader, Cut::Lines, chunk_bytes);
    let mut events = Events::new(import);
    in_order(&mut splitter, import.threads_count(), Parser::default, parse, |chunk, lines| events.take(chunk, lines))?;
    let line = events.lines_before + events.lines_within + 1;
    if let Some(source) = splitter.trouble {
        return Err(JsonlError::Io { line, source });
    }
    if splitter.line_too_long {
        return Err(JsonlError::LineTooLong { line, offset: events.line_offset });
    }
    Ok((events.builder.finish(), events.tail))
}

struct Events<'a> {
    import: &'a Import,
    builder: HistoryBuilder,
    tail: Tail,
    time_ns_last: u64,
    /// Lines that ended before the chunk that is being taken, and in it.
    lines_before: u64,
    lines_within: u64,
    /// Where the line begins that has no end yet.
    line_offset: u64,
    /// What is wrong with the last line, if it is but the beginning of an event.
    unfinished: Option<JsonlError>,
}

impl<'a> Events<'a> {
    fn new(import: &'a Import) -> Events<'a> {
        Events {
            import,
            builder: HistoryBuilder::default(),
            tail: Tail::default(),
            time_ns_last: 0,
            lines_before: 0,
            lines_within: 0,
            line_offset: 0,
            unfinished: None,
        }
    }

    fn take(&mut self, chunk: &Chunk, lines: &mut Lines) -> Result<(), JsonlError> {
        let Lines { found, names, ended } = lines;
        self.lines_before += self.lines_within;
        self.lines_within = *ended;
        let mut whole = None;
        for line in found.drain(..) {
            if let Some(error) = self.unfinished.take() {
                return Err(error);
            }
            match line {
                Line::Plain(plain) => {
                    self.take_plain(chunk, plain, names)?;
                    whole = Some(plain.at as usize);
                }
                Line::Head(has_realtime) => {
                    self.take_head(has_realtime);
                    whole = Some(0);
                }
                Line::Row(op, has_time, at) => {
                    self.take_row(chunk, *op, has_time, at)?;
                    whole = Some(at);
                }
                Line::Wrong(trouble, at) => self.take_wrong(chunk, &trouble, at)?,
            }
        }
        if let Some(at) = whole {
            self.tail.whole_bytes = chunk.offset + line_end(&chunk.bytes, at) as u64;
        }
        let rest = chunk.bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        self.line_offset = chunk.offset + rest as u64;
        if chunk.last && !chunk.broken { self.take_rest(chunk, rest) } else { Ok(()) }
    }

    #[inline]
    fn take_plain(&mut self, chunk: &Chunk, mut plain: Plain, names: &mut Names) -> Result<(), JsonlError> {
        if plain.has_time {
            self.time_ns_last = plain.time_ns;
        } else {
            plain.time_ns = self.time_ns_last;
        }
        self.import.settle_plain(&mut plain, names);
        self.builder.push_plain(&plain, names).map_err(|source| {
            let (line, offset) = self.place(chunk, plain.at as usize);
            JsonlError::Rule { line, offset, source }
        })
    }

    fn take_head(&mut self, has_realtime: bool) {
        if !has_realtime {
            self.builder.forget_realtime();
        }
    }

    fn take_row(&mut self, chunk: &Chunk, mut op: Op, has_time: bool, at: usize) -> Result<(), JsonlError> {
        if !has_time {
            op.time_ns = self.time_ns_last;
        }
        self.time_ns_last = op.time_ns;
        self.import.settle(&mut op);
        self.builder.push(op).map_err(|source| {
            let (line, offset) = self.place(chunk, at);
            JsonlError::Rule { line, offset, source }
        })
    }

    fn take_wrong(&mut self, chunk: &Chunk, trouble: &Trouble, at: usize) -> Result<(), JsonlError> {
        let end = line_end(&chunk.bytes, at);
        let error = self.syntax(chunk, at, end, trouble);
        if !trouble.end {
            return Err(error);
        }
        self.tear(chunk, at, (end - at) as u64);
        self.unfinished = Some(error);
        Ok(())
    }

    /// Takes what stands after the last end of a line.
    fn take_rest(&mut self, chunk: &Chunk, at: usize) -> Result<(), JsonlError> {
        let bytes = &chunk.bytes[at..];
        let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
        let text = &bytes[..bytes.len() - zeros];
        let count = bytes.len() as u64;
        if is_blank(text) {
            if zeros > 0 && self.unfinished.is_none() {
                self.tear(chunk, at, count);
            }
            return Ok(());
        }
        if let Some(error) = self.unfinished.take() {
            return Err(error);
        }
        match one(&mut Parser::default(), text, chunk, at) {
            Ok(Line::Head(has_realtime)) => self.take_head(has_realtime),
            Ok(Line::Row(op, has_time, at)) => self.take_row(chunk, *op, has_time, at)?,
            // No line is read as these here.
            Ok(Line::Plain(_) | Line::Wrong(..)) => {}
            Err(trouble) if trouble.end => {
                self.tear(chunk, at, count);
                return Ok(());
            }
            Err(trouble) => return Err(self.syntax(chunk, at, at + text.len(), &trouble)),
        }
        self.tail.newline_missing = true;
        self.tail.whole_bytes = chunk.offset + (at + text.len()) as u64;
        if zeros > 0 {
            self.tear(chunk, at + text.len(), zeros as u64);
        }
        Ok(())
    }

    /// Line and offset of a place in the chunk that is being taken.
    fn place(&self, chunk: &Chunk, at: usize) -> (u64, u64) {
        (self.lines_before + chunk.lines_before(at) + 1, chunk.offset + at as u64)
    }

    fn tear(&mut self, chunk: &Chunk, at: usize, bytes_count: u64) {
        let (line, offset) = self.place(chunk, at);
        self.tail.torn = Some(Torn { line, offset, bytes_count });
    }

    /// The error for trouble in the line that stands there.
    fn syntax(&self, chunk: &Chunk, at: usize, end: usize, trouble: &Trouble) -> JsonlError {
        let (line, offset) = self.place(chunk, at);
        let text = chunk.bytes[at..end].strip_suffix(b"\n").unwrap_or(&chunk.bytes[at..end]);
        let found = match json::found(text, trouble.at) {
            end if end == "the end" => "the end of the line".to_owned(),
            found => found,
        };
        JsonlError::Syntax {
            line,
            column: trouble.at as u64 + 1,
            offset: offset + trouble.at as u64,
            found,
            expected: trouble.expected,
        }
    }
}

/// After the end of the line that begins there.
fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |length| at + length + 1)
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}
