//! dbcop's compact text: `[x:=1 y==?] [y==2]!`.
//!
//! Transactions of a session, as many on a line as one likes; a line of dashes between sessions. `x:=1` writes, `x==1` reads,
//! `x==?` reads what was there at first; `!` behind a transaction says that it was not committed. `//` begins a comment.

use std::io::Read;

use super::SessionsError;
use super::gather::{Does, End, Gather, Number};
use super::lines::{self, Wrong, wrong};
use crate::value::Key;

pub(super) fn read(reader: impl Read, gather: &mut Gather) -> Result<(), SessionsError> {
    gather.unsigned = true;
    let mut session: Option<Number> = None;
    lines::each(reader, |line| {
        let text = line.text.trim();
        if text.is_empty() || text.starts_with("//") {
            return Ok(());
        }
        let taken = if text.bytes().all(|byte| byte == b'-') {
            session = None;
            Ok(())
        } else {
            let session = *session.get_or_insert_with(|| gather.next_session());
            Text { line: line.text, at: 0 }.txns(session, gather)
        };
        // A `!` may have been cut off.
        if line.ended { taken } else { taken.and(Err(wrong(line.text.len(), "the end of the line"))) }
    })
    .map(|_| ())
}

/// A place in a line.
struct Text<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Text<'a> {
    fn txns(&mut self, session: Number, gather: &mut Gather) -> Result<(), Wrong> {
        loop {
            self.blanks();
            if self.at == self.line.len() {
                return Ok(());
            }
            if !self.eat("[") {
                return Err(self.wrong("a transaction, `[x:=1 y==2]`, or a line of `-`"));
            }
            let txn = gather.txn(session, End::Committed);
            loop {
                self.blanks();
                if self.eat("]") {
                    break;
                }
                self.event(txn, gather)?;
            }
            if self.eat("!") {
                gather.set_end(txn, End::Aborted);
            }
        }
    }

    fn event(&mut self, txn: Number, gather: &mut Gather) -> Result<(), Wrong> {
        let expected = "`x:=1`, `x==1`, `x==?` or the `]` of the transaction";
        let start = self.at;
        let name = self.while_chars(|character| character.is_alphanumeric() || character == '_');
        if name.is_empty() {
            return Err(wrong(start, expected));
        }
        let does = if self.eat(":=") {
            Does::Write
        } else if self.eat("==?") {
            Does::ReadInitial
        } else if self.eat("==") {
            Does::Read
        } else {
            // The rest of a sign may have been cut off.
            let is_cut = matches!(&self.line[self.at..], "" | ":" | "=");
            let wrong = if is_cut { lines::unfinished } else { lines::wrong_part };
            return Err(wrong(self.line, &self.line[start..], expected));
        };
        let value_at = self.at;
        let digits =
            if does == Does::ReadInitial { "0" } else { self.while_chars(|character| character.is_ascii_digit()) };
        let value: u64 = digits.parse().map_err(|_| wrong(value_at, "a value: an integer from 0, below 2^64"))?;
        if !matches!(self.line[self.at..].chars().next(), Some(' ' | '\t' | ']')) {
            return Err(self.wrong("a blank or the `]` of the transaction"));
        }
        let key = gather.key(Key::Str(name.into()));
        gather.step(txn, does, key, value.cast_signed());
        Ok(())
    }

    fn wrong(&self, expected: &str) -> Wrong {
        wrong(self.at, expected)
    }

    fn blanks(&mut self) {
        self.while_chars(|character| matches!(character, ' ' | '\t'));
    }

    fn eat(&mut self, text: &str) -> bool {
        let there = self.line[self.at..].starts_with(text);
        self.at += if there { text.len() } else { 0 };
        there
    }

    fn while_chars(&mut self, is_one: impl Fn(char) -> bool) -> &'a str {
        let rest = &self.line[self.at..];
        let length = rest.find(|character| !is_one(character)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }
}
