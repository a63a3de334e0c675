//! dbcop's histories: JSON of 2026 and bincode of 2019.
//!
//! JSON: `{"params":..,"info":..,"start":..,"end":..,"data":[session..]}`, or the list of sessions alone. A session is a list
//! of transactions `{"events":[..],"committed":true}`; an event is `{"Write":{"variable":1,"version":2}}`,
//! `{"Read":{"variable":1,"version":2}}`, `["w",1,2]` or `["r",1,2]`; a read of `null` is one of nothing.
//!
//! Bincode: number, counts of nodes, variables, transactions and events, three texts, then the sessions; an event is whether
//! it writes, variable, value, whether it succeeded. An event that did not succeed is left out; what it was to write is
//! taken for written by a transaction of its own that was aborted.

use std::io::{self, BufRead, BufReader, Read};

use super::SessionsError;
use super::binary::Bytes;
use super::gather::{Does, End, Gather, NOT_ZERO, Number};
use super::lines::Place;
use crate::json::{self, Cursor, DEPTH_MAX, Trouble};
use crate::reading::chunks::lines;
use crate::value::{Key, Value};

pub(super) fn read(reader: impl Read, gather: &mut Gather) -> Result<(), SessionsError> {
    gather.unsigned = true;
    let io_error = |error: io::Error| SessionsError::Io { line: 1, reason: error.to_string() };
    let mut reader = BufReader::with_capacity(1 << 16, reader);
    // A text has no byte 0; the number that bincode begins with has, unless it is astronomic.
    let is_text = !reader.fill_buf().map_err(io_error)?.iter().take(8).any(|&byte| byte == 0);
    if !is_text {
        return bincode(reader, gather);
    }
    let mut text = Vec::new();
    reader.read_to_end(&mut text).map_err(io_error)?;
    let mut json = Json { cursor: Cursor::new(&text), scratch: Vec::new(), gather };
    if text.starts_with(b"\xEF\xBB\xBF") {
        json.cursor.at = 3;
    }
    json.history().map_err(|trouble| place(&text, &trouble))
}

fn place(text: &[u8], trouble: &Trouble) -> SessionsError {
    let at = trouble.at.min(text.len());
    let (line, offset, expected) = (lines(&text[..at]) + 1, at as u64, trouble.expected.to_owned());
    if trouble.end || at == text.len() {
        return SessionsError::Cut { line, offset, expected };
    }
    SessionsError::Syntax { line, offset, found: json::found(text, at), expected }
}

struct Json<'a> {
    cursor: Cursor<'a>,
    scratch: Vec<u8>,
    gather: &'a mut Gather,
}

const SESSIONS: &str = "`data`: a list of sessions, each a list of transactions";
const TXN: &str = "a transaction: {\"events\":[..],\"committed\":true}, each of them once";
const EVENT: &str = "an event: {\"Write\":{\"variable\":..,\"version\":..}}, {\"Read\":..}, [\"w\",..] or [\"r\",..]";

impl Json<'_> {
    fn history(&mut self) -> Result<(), Trouble> {
        self.cursor.skip_blanks();
        match self.cursor.peek() {
            Some(b'[') => self.sessions()?,
            Some(b'{') => {
                let found = self.fields(|json, name| match name {
                    "data" => json.sessions().map(|()| true),
                    _ => json.cursor.value(DEPTH_MAX, &mut json.scratch).map(|_| false),
                })?;
                if found != 1 {
                    return Err(Trouble { at: self.cursor.at.saturating_sub(1), expected: SESSIONS, end: false });
                }
            }
            _ => return Err(self.cursor.trouble("a JSON object with the sessions in `data`")),
        }
        self.cursor.skip_blanks();
        match self.cursor.peek() {
            None => Ok(()),
            Some(_) => Err(self.cursor.trouble("the end of the file after the history")),
        }
    }

    /// Reads the fields of an object, which is next; how many of them counted.
    fn fields(&mut self, mut field: impl FnMut(&mut Self, &str) -> Result<bool, Trouble>) -> Result<u32, Trouble> {
        let mut counted = 0;
        self.items(b'{', b'}', "an object", |json| {
            let name = json.cursor.string(&mut json.scratch)?.to_owned();
            json.cursor.skip_blanks();
            json.cursor.expect(b':', "a colon after a name")?;
            json.cursor.skip_blanks();
            counted += u32::from(field(json, &name)?);
            Ok(())
        })?;
        Ok(counted)
    }

    /// Reads what stands between brackets, separated by commas.
    fn items(
        &mut self,
        open: u8,
        close: u8,
        expected: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        self.cursor.expect(open, expected)?;
        self.cursor.skip_blanks();
        if self.cursor.eat(close) {
            return Ok(());
        }
        loop {
            self.cursor.skip_blanks();
            item(self)?;
            self.cursor.skip_blanks();
            if self.cursor.eat(close) {
                return Ok(());
            }
            self.cursor.expect(b',', "a comma, or the end of the list or object")?;
        }
    }

    fn sessions(&mut self) -> Result<(), Trouble> {
        self.items(b'[', b']', SESSIONS, |json| {
            let session = json.gather.next_session();
            json.items(b'[', b']', SESSIONS, |json| json.txn(session))
        })
    }

    fn txn(&mut self, session: Number) -> Result<(), Trouble> {
        let start = self.cursor.at;
        let txn = self.gather.txn(session, End::Committed);
        let (mut events, mut ends) = (0_u32, 0_u32);
        self.fields(|json, name| match name {
            "events" => {
                events += 1;
                json.items(b'[', b']', TXN, |json| json.event(txn)).map(|()| true)
            }
            "committed" => {
                ends += 1;
                let at = json.cursor.at;
                match json.cursor.value(DEPTH_MAX, &mut json.scratch)? {
                    Value::Bool(true) => {}
                    Value::Bool(false) => json.gather.set_end(txn, End::Aborted),
                    _ => return Err(Trouble { at, expected: "`committed`: true or false", end: false }),
                }
                Ok(true)
            }
            _ => json.cursor.value(DEPTH_MAX, &mut json.scratch).map(|_| false),
        })?;
        if (events, ends) == (1, 1) { Ok(()) } else { Err(Trouble { at: start, expected: TXN, end: false }) }
    }

    fn event(&mut self, txn: Number) -> Result<(), Trouble> {
        let wrong = Trouble { at: self.cursor.at, expected: EVENT, end: false };
        let event = self.cursor.value(DEPTH_MAX, &mut self.scratch)?;
        let (name, variable, version) = match &event {
            Value::List(items) => match items.as_slice() {
                [Value::Str(name), variable, version] => (name, variable, version),
                _ => return Err(wrong),
            },
            Value::Map(entries) => match entries.as_slice() {
                [(Value::Str(name), fields)] => match (fields.get("variable"), fields.get("version")) {
                    (Some(variable), Some(version)) => (name, variable, version),
                    _ => return Err(wrong),
                },
                _ => return Err(wrong),
            },
            _ => return Err(wrong),
        };
        let does = match &**name {
            "Write" | "w" => Does::Write,
            "Read" | "r" => Does::Read,
            _ => return Err(wrong),
        };
        let key = match (variable, unsigned(variable)) {
            (_, Some(key)) => self.gather.key_unsigned(key),
            (Value::Str(name), _) => self.gather.key(Key::Str(name.clone())),
            _ => return Err(wrong),
        };
        match unsigned(version) {
            Some(version) => self.gather.step(txn, does, key, version.cast_signed()),
            None if version.is_nil() && does == Does::Read => self.gather.step(txn, Does::ReadInitial, key, 0),
            None => return Err(wrong),
        }
        Ok(())
    }
}

fn unsigned(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Big(digits) => digits.parse().ok(),
        _ => None,
    }
}

fn bincode(reader: impl Read, gather: &mut Gather) -> Result<(), SessionsError> {
    let mut bytes = Bytes::new(reader);
    for expected in ["the history's number", "a count of nodes", "of variables", "of transactions", "of events"] {
        bytes.little(expected)?;
    }
    for expected in ["the text of the history", "the time of its start", "the time of its end"] {
        let length = bytes.little(expected)?;
        bytes.skip(length, expected)?;
    }
    for _ in 0..bytes.little("how many sessions there are")? {
        let session = gather.next_session();
        for _ in 0..bytes.little("how many transactions a session has")? {
            bincode_txn(&mut bytes, session, gather)?;
        }
    }
    let offset = bytes.offset;
    match bytes.try_take::<1>("the end of the file")? {
        None => gather.leave_out_initial().map_err(|place| zero(place.offset)),
        Some([byte]) => {
            let found = format!("the byte {byte}");
            Err(SessionsError::Binary { offset, found, expected: "the end of the file after the last session" })
        }
    }
}

fn zero(offset: u64) -> SessionsError {
    SessionsError::Binary { offset, found: "a write of 0".to_owned(), expected: NOT_ZERO }
}

fn bincode_txn(bytes: &mut Bytes<impl Read>, session: Number, gather: &mut Gather) -> Result<(), SessionsError> {
    let txn = gather.txn(session, End::Committed);
    let mut unwritten: Vec<(Number, i64)> = Vec::new();
    for _ in 0..bytes.little("how many events a transaction has")? {
        let does = if bytes.flag("whether an event writes, 0 or 1")? { Does::Write } else { Does::Read };
        let key = gather.key_unsigned(bytes.little("a variable")?);
        let offset = bytes.offset;
        let value = bytes.little("a value")?;
        let is_zero = value == 0 && does == Does::Write;
        if is_zero {
            gather.zero(txn, Place { line: 0, offset });
        }
        match (bytes.flag("whether an event succeeded, 0 or 1")?, does) {
            (false, _) if is_zero => return Err(zero(offset)),
            (true, _) => gather.step(txn, does, key, value.cast_signed()),
            (false, Does::Write) => unwritten.push((key, value.cast_signed())),
            (false, _) => {}
        }
    }
    if !bytes.flag("whether a transaction succeeded, 0 or 1")? {
        gather.set_end(txn, End::Aborted);
    }
    if !unwritten.is_empty() {
        let aborted = gather.txn(session, End::Aborted);
        unwritten.into_iter().for_each(|(key, value)| gather.step(aborted, Does::Write, key, value));
    }
    Ok(())
}
