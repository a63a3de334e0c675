//! A text line by line, each with its place.

use std::io::Read;

use super::SessionsError;
use crate::json;
use crate::reading::chunks::{CHUNK_BYTES, Chunk, Cut, Splitter, in_order};

/// What is wrong with a line.
pub(super) struct Wrong {
    /// Byte of the line at which it stands.
    pub at: usize,
    /// Byte of the line at which it would have to go on to be right.
    goes_on: usize,
    pub expected: String,
}

/// Trouble with what stands at a byte of a line.
pub(super) fn wrong(at: usize, expected: &str) -> Wrong {
    Wrong { at, goes_on: at, expected: expected.to_owned() }
}

/// Trouble with a part of a line that is wrong whatever may follow it.
pub(super) fn wrong_part(line: &str, part: &str, expected: &str) -> Wrong {
    wrong(place_of(line, part), expected)
}

/// Trouble with a part of a line that is right as far as it goes.
pub(super) fn unfinished(line: &str, part: &str, expected: &str) -> Wrong {
    let at = place_of(line, part);
    Wrong { at, goes_on: at + part.len(), expected: expected.to_owned() }
}

/// Where a part of a line begins.
pub(super) fn place_of(line: &str, part: &str) -> usize {
    // Parts are borrowed from their line, so that the addresses tell the place.
    (part.as_ptr() as usize).saturating_sub(line.as_ptr() as usize).min(line.len())
}

/// A place in a file: its line, from 1, and the bytes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub line: u64,
    pub offset: u64,
}

/// A line without its end.
pub(super) struct Line<'a> {
    pub text: &'a str,
    /// Whether something ends it.
    pub ended: bool,
    /// Where it begins.
    pub place: Place,
}

/// Hands on each line; tells the place behind the last.
///
/// # Errors
/// When the text cannot be read, is no UTF-8, or a line is wrong. If nothing ends the last line, and it is only wrong in
/// that it does not go on, the file was cut off.
pub(super) fn each(
    reader: impl Read,
    mut take: impl FnMut(&Line<'_>) -> Result<(), Wrong>,
) -> Result<Place, SessionsError> {
    let mut splitter = Splitter::new(reader, Cut::Lines, CHUNK_BYTES);
    let mut place = Place { line: 1, offset: 0 };
    let mut take_chunk = |chunk: &Chunk, (): &mut ()| {
        for bytes in chunk.bytes.split_inclusive(|&byte| byte == b'\n') {
            let ended = bytes.ends_with(b"\n");
            if !ended && chunk.broken {
                return Ok(());
            }
            let text = if place.offset == 0 { bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes) } else { bytes };
            let start = Place { offset: place.offset + (bytes.len() - text.len()) as u64, ..place };
            let taken = match std::str::from_utf8(text) {
                Ok(text) => take(&Line { text: text.trim_end_matches(['\n', '\r']), ended, place: start }),
                Err(error) => {
                    let at = error.valid_up_to();
                    // A character may have been cut in two.
                    let goes_on = if error.error_len().is_none() { text.len() } else { at };
                    Err(Wrong { at, goes_on, expected: "text in UTF-8".to_owned() })
                }
            };
            taken.map_err(|wrong| error(text, start, ended, wrong))?;
            place.offset += bytes.len() as u64;
            place.line += u64::from(ended);
        }
        Ok(())
    };
    in_order(&mut splitter, 1, || (), |_, _, _: &mut ()| (), &mut take_chunk)?;
    if let Some(source) = splitter.trouble {
        return Err(SessionsError::Io { line: place.line, reason: source.to_string() });
    }
    if splitter.line_too_long {
        return Err(SessionsError::LineTooLong { line: place.line, offset: place.offset });
    }
    Ok(place)
}

fn error(text: &[u8], start: Place, ended: bool, wrong: Wrong) -> SessionsError {
    let Place { line, offset } = start;
    let length = text.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    if !ended && wrong.goes_on >= length {
        return SessionsError::Cut { line, offset, expected: wrong.expected };
    }
    let found = match json::found(&text[..length], wrong.at) {
        end if end == "the end" => "the end of the line".to_owned(),
        found => found,
    };
    SessionsError::Syntax { line, offset: offset + wrong.at as u64, found, expected: wrong.expected }
}

/// A number of a session, which becomes a process.
pub(super) fn process(line: &str, text: &str) -> Result<u32, Wrong> {
    text.parse().map_err(|_| wrong_part(line, text, "a session: an integer from 0, below 4294967296"))
}

/// An integer of 64 bits from 0.
pub(super) fn unsigned(line: &str, text: &str, expected: &str) -> Result<u64, Wrong> {
    text.parse().map_err(|_| wrong_part(line, text, expected))
}

/// An integer of 64 bits with a sign.
pub(super) fn signed(line: &str, text: &str, expected: &str) -> Result<i64, Wrong> {
    // A sign without digits may have been cut from them.
    let wrong = if text == "-" { unfinished } else { wrong_part };
    text.parse().map_err(|_| wrong(line, text, expected))
}
