//! A text of forms, read in chunks.
//!
//! Threads parse chunks as if each began between two events, and go on at the next brace where they find no event. What
//! they find is a guess (a brace may stand in a comment, a string, another map), but what an event says depends on its own
//! bytes only. So one thread follows the text from its beginning: where an event was found exactly at the place that it
//! has come to, it takes it; everything else (brackets around all, comments, discarded forms, what spans two chunks, what
//! is wrong) it reads itself.

use std::io::Read;

use super::assemble::Assembler;
use super::events::{self, Row};
use super::text::{Place, Reader};
use super::{DEPTH_MAX, Dialect, EdnError, Keyed, fast};
use crate::history::History;
use crate::json::Trouble;
use crate::reading::Import;
use crate::reading::chunks::{Chunk, Cut, PIECE_BYTES_MAX, Splitter, in_order, lines};
use crate::reading::plain::{Names, Plain};
use crate::tail::{Tail, Torn};
use crate::value::Value;

const EVENT: &str = "an event: a map in braces (all of them one after the other, or in one vector)";

/// So often a thread may find no event in a chunk before it leaves the rest of it.
const MISSES_MAX: u32 = 64;

/// An event that a thread found; places are those in the chunk.
enum Found {
    Plain(Plain),
    /// The event until it is taken, where it begins, and after its end.
    Row(Option<Box<Row>>, usize, usize),
}

impl Found {
    /// Where it begins.
    fn at(&self) -> usize {
        match self {
            Found::Plain(plain) => plain.at as usize,
            Found::Row(_, at, _) => *at,
        }
    }
}

/// What a thread found in a chunk.
#[derive(Default)]
struct Forms {
    found: Vec<Found>,
    names: Names,
}

/// Finds what may be events of a chunk.
fn parse(dialect: &mut Dialect, chunk: &Chunk, forms: &mut Forms) {
    forms.found.clear();
    forms.names.flats.clear();
    let bytes = chunk.bytes.as_slice();
    let mut text = None;
    let (mut at, mut misses) = (0, 0);
    while misses < MISSES_MAX {
        match bytes.get(at) {
            None => return,
            // What is discarded is no event, and whoever follows the text steps over it.
            Some(b'#') if bytes.get(at + 1) == Some(&b'_') => {
                at += 2;
                continue;
            }
            Some(b'{' | b'#') => {}
            Some(b';') => {
                at += length_to(&bytes[at..], b'\n');
                continue;
            }
            Some(_) => {
                at += 1;
                continue;
            }
        }
        if *dialect == Dialect::Jepsen
            && let Some(plain) = fast::event(bytes, at, &mut forms.names)
        {
            at = plain.end as usize;
            forms.found.push(Found::Plain(plain));
            continue;
        }
        let text = *text.get_or_insert_with(|| valid(bytes));
        match text.and_then(|text| event(text, at, *dialect)) {
            Some((row, end)) => {
                forms.found.push(Found::Row(Some(Box::new(row)), at, end));
                at = end;
            }
            None => {
                misses += 1;
                at += 1;
            }
        }
    }
}

fn length_to(bytes: &[u8], end: u8) -> usize {
    bytes.iter().position(|&byte| byte == end).unwrap_or(bytes.len())
}

/// The text, if it is one from its beginning to its end; but for a character that the end cuts.
fn valid(bytes: &[u8]) -> Option<&str> {
    let (text, rest) = as_far_as_valid(bytes);
    (rest != Rest::Wrong).then_some(text)
}

/// The event at that place, and after its end. Where it stands in the file is not known here.
fn event(text: &str, at: usize, dialect: Dialect) -> Option<(Row, usize)> {
    let mut reader = Reader { text, at };
    let Ok(Value::Map(fields)) = reader.form(DEPTH_MAX) else { return None };
    let row = events::row(*fields, dialect, (0, 0)).ok()?;
    Some((row, reader.at))
}

/// What follows the part of a text that is UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Nothing,
    /// The beginning of a character.
    Cut,
    Wrong,
}

fn as_far_as_valid(bytes: &[u8]) -> (&str, Rest) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text, Rest::Nothing),
        Err(error) => {
            let text = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            (text, if error.error_len().is_some() { Rest::Wrong } else { Rest::Cut })
        }
    }
}

/// Reads a history as far as it is whole.
pub(super) fn read(
    reader: impl Read,
    (dialect, keyed): (Dialect, Keyed),
    import: &Import,
    chunk_bytes: usize,
) -> Result<(History, Tail), EdnError> {
    let mut splitter = Splitter::new(reader, Cut::Anywhere, chunk_bytes);
    let mut follower = Follower {
        assembler: Assembler::new(import, keyed),
        dialect,
        tail: Tail::default(),
        close: None,
        begun: Vec::new(),
        retry_bytes: 0,
        offset: 0,
        line: 1,
        column: 1,
        whole_line: 1,
        ends_line: true,
    };
    in_order(&mut splitter, import.threads_count(), || dialect, parse, |chunk, forms| follower.take(chunk, forms))?;
    if let Some(source) = splitter.trouble {
        return Err(EdnError::Io { line: follower.line, reason: source.to_string() });
    }
    Ok((follower.assembler.finish()?, follower.tail))
}

/// Follows the text from its beginning.
struct Follower<'a> {
    assembler: Assembler<'a>,
    dialect: Dialect,
    tail: Tail,
    /// The bracket that closes the vector or list around all events, if one is open.
    close: Option<u8>,
    /// What was begun in earlier chunks and has no end yet, and how long it gets before it is tried again.
    begun: Vec<u8>,
    retry_bytes: usize,
    /// Where the text begins that is to come, `begun` included.
    offset: u64,
    line: u64,
    column: u64,
    /// The line on which the last whole event ended.
    whole_line: u64,
    /// Whether nothing, or the end of a line, stands before what is to come.
    ends_line: bool,
}

/// What stands at a place that no thread's guess is for.
enum Step {
    /// Blanks, comments and what is discarded, up to this place.
    Blank(usize),
    /// An event, and after its end.
    Event(Box<Row>, usize),
    /// One of the brackets around all events.
    Bracket(usize),
    /// The end of the text.
    End,
    /// The beginning of something; what follows will show.
    Unfinished,
    /// The beginning of something that nothing follows.
    Torn,
}

/// A text to follow, as far as it is UTF-8, and what comes after it.
#[derive(Clone, Copy)]
struct Text<'a> {
    text: &'a str,
    rest: Rest,
    last: bool,
    broken: bool,
    place: Place<'a>,
}

impl Follower<'_> {
    fn take(&mut self, chunk: &Chunk, forms: &mut Forms) -> Result<(), EdnError> {
        self.ends_line = chunk.bytes.last().map_or(self.ends_line, |&byte| byte == b'\n');
        let mut joined = std::mem::take(&mut self.begun);
        let outcome = if joined.is_empty() {
            self.follow(&chunk.bytes, 0, chunk, forms)
        } else {
            let shift = joined.len();
            joined.extend_from_slice(&chunk.bytes);
            if joined.len() < self.retry_bytes && !chunk.last {
                self.begun = joined;
                return Ok(());
            }
            self.follow(&joined, shift, chunk, forms)
        };
        if chunk.last {
            self.tail.newline_missing = !self.ends_line && self.tail.torn.is_none();
        }
        outcome
    }

    /// Takes a text whose last part, from `shift` on, is a chunk.
    fn follow(&mut self, bytes: &[u8], shift: usize, chunk: &Chunk, forms: &mut Forms) -> Result<(), EdnError> {
        let place = Place { bytes, offset: self.offset, line: self.line, column: self.column };
        let mut spots = Spots { place, at: 0, line: place.line };
        let mut valid = None;
        let mut found = 0;
        let mut at = if self.offset == 0 && bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        let mut whole = None;
        let end = loop {
            while let Some(b' ' | b',' | b'\n' | b'\r') = bytes.get(at) {
                at += 1;
            }
            while forms.found.get(found).is_some_and(|next| next.at() + shift < at) {
                found += 1;
            }
            match forms.found.get_mut(found) {
                Some(Found::Plain(plain)) if plain.at as usize + shift == at => {
                    self.assembler.take_plain(*plain, &mut forms.names, at, &mut spots)?;
                    at = shift + plain.end as usize;
                    whole = Some(at);
                    continue;
                }
                Some(Found::Row(row, begin, end)) if *begin + shift == at => {
                    if let Some(row) = row.take() {
                        self.assembler.take(Row { place: spots.to(at), ..*row })?;
                    }
                    at = shift + *end;
                    whole = Some(at);
                    continue;
                }
                _ => {}
            }
            let (text, rest) = *valid.get_or_insert_with(|| as_far_as_valid(bytes));
            let text = Text { text, rest, last: chunk.last, broken: chunk.broken, place };
            match self.step(&text, at, &mut spots)? {
                Step::Blank(after) => at = after,
                Step::Event(row, after) => {
                    self.assembler.take(*row)?;
                    at = after;
                    whole = Some(at);
                }
                Step::Bracket(after) => {
                    at = after;
                    whole = Some(at);
                }
                end => break end,
            }
        };
        if let Some(at) = whole {
            (self.whole_line, self.tail.whole_bytes) = spots.to(at);
        }
        self.finish_text(&mut spots, at, &end, chunk.last)
    }

    /// Keeps what has no end yet, from `at` on, or tells how the file ended.
    fn finish_text(&mut self, spots: &mut Spots<'_>, at: usize, end: &Step, last: bool) -> Result<(), EdnError> {
        let rest = &spots.place.bytes[at..];
        let length = self.offset + spots.place.bytes.len() as u64;
        self.column = spots.place.column_of(at);
        (self.line, self.offset) = spots.to(at);
        if last {
            let torn = match end {
                Step::Torn => Some((self.line, self.offset)),
                // The beginning of a character, or a vector that nothing closes.
                _ if !rest.is_empty() || self.close.is_some() => Some((self.whole_line, self.tail.whole_bytes)),
                _ => None,
            };
            self.tail.torn = torn.map(|(line, offset)| Torn { line, offset, bytes_count: length - offset });
            return Ok(());
        }
        if rest.len() > PIECE_BYTES_MAX {
            return Err(EdnError::TooLong { line: self.line, offset: self.offset });
        }
        self.begun = rest.to_vec();
        self.retry_bytes = 2 * rest.len();
        Ok(())
    }

    /// Reads what stands at a place.
    fn step(&mut self, text: &Text<'_>, at: usize, spots: &mut Spots<'_>) -> Result<Step, EdnError> {
        let mut reader = Reader { text: text.text, at };
        if let Err(trouble) = reader.skip(DEPTH_MAX) {
            return text.trouble(at, &trouble);
        }
        // A comment, or what is discarded, may go on in the next chunk, unless a line ended.
        if text.may_go_on(at, reader.at, b'\n') {
            return Ok(Step::Unfinished);
        }
        if reader.at > at {
            return Ok(Step::Blank(reader.at));
        }
        match reader.peek() {
            None => {
                let wrong = Trouble { at, expected: "text in UTF-8", end: false };
                return if text.rest == Rest::Wrong { Err(text.place.syntax(&wrong)) } else { Ok(Step::End) };
            }
            Some(b'[') if self.close.is_none() => self.close = Some(b']'),
            Some(b'(') if self.close.is_none() => self.close = Some(b')'),
            Some(byte) if self.close == Some(byte) => self.close = None,
            Some(b'{' | b'#' | b'^') => return self.event(text, reader, spots),
            Some(_) => return Err(text.place.syntax(&Trouble { at, expected: EVENT, end: false })),
        }
        Ok(Step::Bracket(at + 1))
    }

    fn event(&self, text: &Text<'_>, mut reader: Reader<'_>, spots: &mut Spots<'_>) -> Result<Step, EdnError> {
        let start = reader.at;
        match reader.form(DEPTH_MAX) {
            Err(trouble) => text.trouble(start, &trouble),
            Ok(_) if text.may_go_on(start, reader.at, b'}') => Ok(Step::Unfinished),
            Ok(Value::Map(fields)) => {
                let row = events::row(*fields, self.dialect, spots.to(start))?;
                Ok(Step::Event(Box::new(row), reader.at))
            }
            Ok(_) => Err(text.place.syntax(&Trouble { at: start, expected: EVENT, end: false })),
        }
    }
}

impl Text<'_> {
    /// Whether what ended at the end of the text may have more to it: it did not end with such a byte.
    fn may_go_on(&self, start: usize, end: usize, sure: u8) -> bool {
        let open = end == self.text.len() && end > start && self.text.as_bytes()[end - 1] != sure;
        open && !self.last && self.rest != Rest::Wrong
    }

    /// Trouble in what begins at `start`: a torn end if the file ends there and it all stands on the last line.
    fn trouble(&self, start: usize, trouble: &Trouble) -> Result<Step, EdnError> {
        if trouble.end && self.rest == Rest::Wrong {
            let wrong = Trouble { at: self.text.len(), expected: "text in UTF-8", end: false };
            return Err(self.place.syntax(&wrong));
        }
        if trouble.end && !self.last {
            return Ok(Step::Unfinished);
        }
        let on_last_line = !self.text[start..].trim_end().contains('\n');
        if trouble.end && (on_last_line || self.broken) { Ok(Step::Torn) } else { Err(self.place.syntax(trouble)) }
    }
}

/// Lines and offsets of places in a text, asked for in ascending order.
pub(super) struct Spots<'a> {
    place: Place<'a>,
    at: usize,
    line: u64,
}

impl Spots<'_> {
    /// Line and offset of a place; the next one is not before it.
    pub(super) fn to(&mut self, at: usize) -> (u64, u64) {
        self.line += lines(&self.place.bytes[self.at..at]);
        self.at = at;
        (self.line, self.place.offset + at as u64)
    }
}
