//! Plume's text: `r(KEY,VALUE,SESSION,TXN)`, `w(KEY,VALUE,SESSION,TXN)`.
//!
//! The lines of a session are in its order, those of a transaction in its own; sessions may take turns. Transactions have
//! numbers of their own over the whole file; -1 says that the operation was aborted, and lines of a session that follow
//! each other with -1 are read as one transaction.

use std::io::Read;

use rustc_hash::FxHashMap;

use super::SessionsError;
use super::gather::{Does, End, Gather, NOT_ZERO, Number};
use super::lines::{self, Line, Place, Wrong, unfinished, wrong, wrong_part};

const OPERATION: &str = "an operation, `r(KEY,VALUE,SESSION,TXN)` or `w(KEY,VALUE,SESSION,TXN)`";

struct Reader<'a> {
    gather: &'a mut Gather,
    /// By number in the file: its session and its own number.
    txns: FxHashMap<i64, (u32, Number)>,
    /// By session: its transaction of aborted operations, if the last line was one.
    aborted: FxHashMap<u32, Number>,
}

pub(super) fn read(reader: impl Read, gather: &mut Gather) -> Result<(), SessionsError> {
    gather.unsigned = true;
    let mut lines = Reader { gather, txns: FxHashMap::default(), aborted: FxHashMap::default() };
    lines::each(reader, |line| lines.take(line))?;
    lines.gather.leave_out_initial().map_err(|Place { line, offset }| SessionsError::Syntax {
        line,
        offset,
        found: "a write of 0".to_owned(),
        expected: NOT_ZERO.to_owned(),
    })
}

impl Reader<'_> {
    fn take(&mut self, line: &Line<'_>) -> Result<(), Wrong> {
        let Line { text: line, place, .. } = *line;
        let text = line.trim();
        if text.is_empty() {
            return Ok(());
        }
        let (does, rest) = match text.split_at_checked(2) {
            Some(("r(", rest)) => (Does::Read, rest),
            Some(("w(", rest)) => (Does::Write, rest),
            _ if matches!(text, "r" | "w") => return Err(unfinished(line, text, OPERATION)),
            _ => return Err(wrong_part(line, text, OPERATION)),
        };
        let mut fields =
            rest.strip_suffix(')').ok_or_else(|| wrong(line.len(), "the `)` of the operation"))?.split(',');
        let mut field = || fields.next().map(str::trim).ok_or_else(|| wrong_part(line, text, OPERATION));
        let (key, value, session, txn) = (field()?, field()?, field()?, field()?);
        if fields.next().is_some() {
            return Err(wrong_part(line, text, OPERATION));
        }
        let key = self.gather.key_unsigned(lines::unsigned(line, key, "a key: an integer from 0, below 2^64")?);
        let value_text = value;
        let value = lines::unsigned(line, value, "a value: an integer from 0, below 2^64")?;
        let session = lines::process(line, session)?;
        let txn = self.txn(session, txn).map_err(|expected| wrong_part(line, txn, &expected))?;
        if value == 0 && does == Does::Write {
            let offset = place.offset + lines::place_of(line, value_text) as u64;
            self.gather.zero(txn, Place { offset, ..place });
        }
        self.gather.step(txn, does, key, value.cast_signed());
        Ok(())
    }

    /// The transaction of a line; if there is none, what the line should say.
    fn txn(&mut self, process: u32, text: &str) -> Result<Number, String> {
        let number: i64 = text.parse().map_err(|_| "a transaction: an integer from 0, or -1 for an aborted one")?;
        if number == -1 {
            if let Some(&txn) = self.aborted.get(&process) {
                return Ok(txn);
            }
            let session = self.gather.session(process);
            let txn = self.gather.txn(session, End::Aborted);
            self.aborted.insert(process, txn);
            return Ok(txn);
        }
        if number < 0 {
            return Err("a transaction: an integer from 0, or -1 for an aborted one".to_owned());
        }
        if !self.aborted.is_empty() {
            self.aborted.remove(&process);
        }
        match self.txns.get(&number) {
            Some(&(owner, txn)) if owner == process => Ok(txn),
            Some((owner, _)) => Err(format!("a transaction of session {process} (this one is of session {owner})")),
            None => {
                let session = self.gather.session(process);
                let txn = self.gather.txn(session, End::Committed);
                self.txns.insert(number, (process, txn));
                Ok(txn)
            }
        }
    }
}
