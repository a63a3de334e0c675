//! AWDIT's `test` format: `w KEY VALUE` and `r KEY VALUE`, a line of dashes between transactions, a line of `=` between
//! sessions. A transaction may write 0, often the first of them, as what was there at first; it is read like any other.
//!
//! AWDIT's own files end with or without the end of a line, so a number that was cut in two cannot be told from a whole one.

use std::io::Read;

use super::SessionsError;
use super::gather::{Does, End, Gather, Number};
use super::lines::{self, Wrong, wrong, wrong_part};

const OPERATION: &str = "an operation, `r KEY VALUE` or `w KEY VALUE`, a line of `-` or a line of `=`";

pub(super) fn read(reader: impl Read, gather: &mut Gather) -> Result<(), SessionsError> {
    gather.unsigned = true;
    let (mut session, mut txn): (Option<Number>, Option<Number>) = (None, None);
    lines::each(reader, |line| {
        let text = line.text.trim();
        if text.is_empty() {
            return Ok(());
        }
        if text.bytes().all(|byte| byte == b'=') {
            (session, txn) = (None, None);
            return Ok(());
        }
        if text.bytes().all(|byte| byte == b'-') {
            txn = None;
            return Ok(());
        }
        let (does, key, value) = operation(line.text)?;
        let session = *session.get_or_insert_with(|| gather.next_session());
        let txn = *txn.get_or_insert_with(|| gather.txn(session, End::Committed));
        let key = gather.key_unsigned(key);
        gather.step(txn, does, key, value.cast_signed());
        Ok(())
    })
    .map(|_| ())
}

fn operation(line: &str) -> Result<(Does, u64, u64), Wrong> {
    let mut words = line.split_whitespace();
    let does = match words.next() {
        Some("r") => Does::Read,
        Some("w") => Does::Write,
        Some(word) => return Err(wrong_part(line, word, OPERATION)),
        None => return Err(wrong(0, OPERATION)),
    };
    let mut number = |expected: &str| match words.next() {
        Some(word) => lines::unsigned(line, word, expected),
        None => Err(wrong(line.len(), expected)),
    };
    let key = number("a key: an integer from 0, below 2^64")?;
    let value = number("a value: an integer from 0, below 2^64")?;
    match words.next() {
        None => Ok((does, key, value)),
        Some(word) => Err(wrong_part(line, word, "the end of the line")),
    }
}
