//! A text line by line, each with its place.

use std::io::Read;

use super::SessionsError;
use crate::json;
use crate::reading::chunks::{CHUNK_BYTES, Chunk, Cut, Splitter, in_order};

/// What is wrong with a line.
pub(super) struct Wrong {
    /// Byte of the line at which it stands.
    pub at: usize,
    /// What stands there; if empty, it is shown from the text.
    pub found: String,
    pub expected: String,
}

/// Trouble with what stands at a byte of a line.
pub(super) fn wrong(at: usize, expected: &str) -> Wrong {
    Wrong { at, found: String::new(), expected: expected.to_owned() }
}

/// Trouble with a part of a line.
pub(super) fn wrong_part(line: &str, part: &str, expected: &str) -> Wrong {
    // Parts are borrowed from their line, so that the addresses tell the place.
    let at = (part.as_ptr() as usize).saturating_sub(line.as_ptr() as usize).min(line.len());
    Wrong { at, found: String::new(), expected: expected.to_owned() }
}

/// The place behind the last line: lines that there were, and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub line: u64,
    pub offset: u64,
}

/// Hands on each line, without its end, and whether it has one.
///
/// # Errors
/// When the text cannot be read, is no UTF-8, or a line is wrong. If nothing ends the last line and it is wrong, the file
/// was cut off.
pub(super) fn each(
    reader: impl Read,
    mut take: impl FnMut(&str, bool) -> Result<(), Wrong>,
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
            let shift = bytes.len() - text.len();
            let taken = match std::str::from_utf8(text) {
                Ok(text) => take(text.trim_end_matches(['\n', '\r']), ended),
                Err(error) => Err(wrong(error.valid_up_to(), "text in UTF-8")),
            };
            taken.map_err(|wrong| error(text, place, shift, ended, wrong))?;
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

fn error(text: &[u8], place: Place, shift: usize, ended: bool, wrong: Wrong) -> SessionsError {
    let Place { line, offset } = place;
    if !ended {
        return SessionsError::Cut { line, offset, expected: wrong.expected };
    }
    let found = if wrong.found.is_empty() {
        let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(text.len());
        match json::found(&text[..end], wrong.at) {
            end if end == "the end" => "the end of the line".to_owned(),
            found => found,
        }
    } else {
        wrong.found
    };
    SessionsError::Syntax { line, offset: offset + (shift + wrong.at) as u64, found, expected: wrong.expected }
}

/// A number of a session, which becomes a process.
pub(super) fn process(line: &str, text: &str) -> Result<u32, Wrong> {
    text.parse().map_err(|_| wrong_part(line, text, "a session: an integer from 0, below 4294967296"))
}

/// An integer of 64 bits from 0.
pub(super) fn unsigned(line: &str, text: &str, expected: &str) -> Result<u64, Wrong> {
    text.parse().map_err(|_| wrong_part(line, text, expected))
}
