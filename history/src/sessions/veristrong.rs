//! VeriStrong's `elle-list-append`: how many lines follow, then `SESSION TXN A KEY VALUE` or
//! `SESSION TXN R KEY COUNT VALUE..`. Only committed transactions; the lines of a transaction and those of a session are in
//! order. A transaction's number is its own within its session.
//!
//! VeriStrong reads words, so the last line needs no end: a number in it that was cut in two cannot be told from a whole one.

use std::io::Read;
use std::str::SplitWhitespace;

use rustc_hash::FxHashMap;

use super::SessionsError;
use super::gather::{Does, End, Gather, Number};
use super::lines::{self, Wrong, wrong, wrong_part};
use crate::value::Key;

struct Reader<'a> {
    gather: &'a mut Gather,
    txns: FxHashMap<(u32, i64), Number>,
    /// How many lines are still to come; `None` before the first.
    missing: Option<u64>,
    items: Vec<i64>,
}

pub(super) fn read(reader: impl Read, gather: &mut Gather) -> Result<(), SessionsError> {
    let mut lines = Reader { gather, txns: FxHashMap::default(), missing: None, items: Vec::new() };
    let end = lines::each(reader, |line| lines.take(line.text))?;
    match lines.missing {
        Some(0) => Ok(()),
        Some(missing) => {
            let expected = format!("{missing} more of the operations that the first line counts");
            Err(SessionsError::Cut { line: end.line, offset: end.offset, expected })
        }
        None => Err(SessionsError::Cut { line: end.line, offset: end.offset, expected: COUNT.to_owned() }),
    }
}

const COUNT: &str = "how many operations there are, an integer on the first line";
const VALUE: &str = "a value: an integer of 64 bits";
const LENGTH: &str = "how many values were read, an integer from 0";

/// The next word of a line.
fn word<'a>(line: &str, words: &mut SplitWhitespace<'a>, expected: &str) -> Result<&'a str, Wrong> {
    words.next().ok_or_else(|| wrong(line.len(), expected))
}

fn number(line: &str, words: &mut SplitWhitespace<'_>, expected: &str) -> Result<i64, Wrong> {
    lines::signed(line, word(line, words, expected)?, expected)
}

impl Reader<'_> {
    fn take(&mut self, line: &str) -> Result<(), Wrong> {
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { return Ok(()) };
        let Some(missing) = &mut self.missing else {
            self.missing = Some(lines::unsigned(line, first, COUNT)?);
            return words.next().map_or(Ok(()), |word| Err(wrong_part(line, word, COUNT)));
        };
        let Some(less) = missing.checked_sub(1) else {
            return Err(wrong_part(line, first, "the end of the file: the first line counts no more operations"));
        };
        *missing = less;
        let session = lines::process(line, first)?;
        let txn = number(line, &mut words, "a transaction: an integer of 64 bits")?;
        let appends = match word(line, &mut words, "`A` or `R`")? {
            "A" => true,
            "R" => false,
            other => return Err(wrong_part(line, other, "`A` or `R`")),
        };
        let key = Key::Int(number(line, &mut words, "a key: an integer of 64 bits")?);
        if appends {
            let value = number(line, &mut words, VALUE)?;
            let (txn, key) = (self.txn(session, txn), self.gather.key(key));
            self.gather.step(txn, Does::Append, key, value);
        } else {
            let count = lines::unsigned(line, word(line, &mut words, LENGTH)?, LENGTH)?;
            self.items.clear();
            for _ in 0..count {
                self.items.push(number(line, &mut words, "as many values as were read")?);
            }
            let (txn, key) = (self.txn(session, txn), self.gather.key(key));
            self.gather.list(txn, key, &self.items);
        }
        words.next().map_or(Ok(()), |word| Err(wrong_part(line, word, "the end of the line")))
    }

    fn txn(&mut self, process: u32, number: i64) -> Number {
        if let Some(&txn) = self.txns.get(&(process, number)) {
            return txn;
        }
        let session = self.gather.session(process);
        let txn = self.gather.txn(session, End::Committed);
        self.txns.insert((process, number), txn);
        txn
    }
}
