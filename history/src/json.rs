//! JSON to [`Value`] and back, without a tree in between: fields keep their order and integers their digits.
//!
//! One parser serves the journal's lines and the notation's values. It differs from `serde_json` only where a
//! [`Value`] can say more: integers beyond 64 bits keep their digits, maps keep order and repeated names.

use crate::op::F;
use crate::value::{Key, Value};

/// Deepest nesting of lists and maps within one value.
pub(crate) const DEPTH_MAX: usize = 128;

/// Most fields of an event without a meaning of their own. They are compared with each other.
pub(crate) const EXTRA_MAX: usize = 1024;

/// What a parser did not like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Byte at which it stands.
    pub at: usize,
    /// What should have stood there.
    pub expected: &'static str,
    /// The text ended too early: what is there may be the beginning of something right.
    pub end: bool,
}

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Trouble at this place.
    pub(crate) fn trouble(&self, expected: &'static str) -> Trouble {
        Trouble { at: self.at, expected, end: self.at >= self.bytes.len() }
    }

    pub(crate) fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Whether this byte is next; if so, steps over it.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    pub(crate) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Trouble> {
        if self.eat(byte) { Ok(()) } else { Err(self.trouble(expected)) }
    }

    /// A string, its quotes included. Without escapes it is borrowed from the text, else it is built in `scratch`.
    pub(crate) fn string<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Result<&'s str, Trouble>
    where
        'a: 's,
    {
        self.expect(b'"', "a string in double quotes")?;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = utf8(&self.bytes[start..self.at], start)?;
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => break,
                Some(byte) if byte >= 0x20 => self.at += 1,
                _ => return Err(self.trouble("the rest of a string (control characters are escaped)")),
            }
        }
        scratch.clear();
        scratch.extend_from_slice(&self.bytes[start..self.at]);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return utf8(scratch, start);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(scratch)?;
                }
                Some(byte) if byte >= 0x20 => {
                    scratch.push(byte);
                    self.at += 1;
                }
                _ => return Err(self.trouble("the rest of a string (control characters are escaped)")),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), Trouble> {
        let byte = self.peek().ok_or_else(|| self.trouble("an escaped character"))?;
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.at += 1;
                let character = self.unicode_escape()?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.trouble("one of \" \\ / b f n r t u after a backslash")),
        };
        self.at += 1;
        out.push(plain);
        Ok(())
    }

    /// Four digits after `\u`, or two such escapes that together make one character.
    fn unicode_escape(&mut self) -> Result<char, Trouble> {
        let start = self.at;
        let alone = Trouble { at: start, expected: "an escape that is half of no pair of surrogates", end: false };
        let first = self.hex4()?;
        let code = if (0xD800..0xDC00).contains(&first) {
            if !self.eat(b'\\') || !self.eat(b'u') {
                return Err(Trouble { end: self.at >= self.bytes.len(), ..alone });
            }
            let second = self.hex4()?;
            if !(0xDC00..0xE000).contains(&second) {
                return Err(alone);
            }
            0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
        } else {
            first
        };
        char::from_u32(code).ok_or(alone)
    }

    fn hex4(&mut self) -> Result<u32, Trouble> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code << 4 | digit.ok_or_else(|| self.trouble("four hexadecimal digits"))?;
            self.at += 1;
        }
        Ok(code)
    }

    /// A number: 64-bit integer, longer integer, or float.
    pub(crate) fn number(&mut self) -> Result<Value, Trouble> {
        let start = self.at;
        let negative = self.eat(b'-');
        let first = self.at;
        let digits = self.digits()?;
        if digits > 1 && self.bytes[first] == b'0' {
            return Err(Trouble { at: first, expected: "a number without leading zeros", end: false });
        }
        let mut float = false;
        if self.eat(b'.') {
            float = true;
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            float = true;
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        if !float && digits <= 18 {
            let magnitude =
                self.bytes[first..self.at].iter().fold(0, |number: i64, byte| number * 10 + i64::from(byte - b'0'));
            return Ok(match (negative, magnitude) {
                (true, 0) => Value::Float(-0.0),
                (true, _) => Value::Int(-magnitude),
                (false, _) => Value::Int(magnitude),
            });
        }
        let text = utf8(&self.bytes[start..self.at], start)?;
        if !float {
            return Ok(text.parse().map_or_else(|_| Value::Big(text.into()), Value::Int));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(Trouble { at: start, expected: "a number that 64 bits can hold", end: false }),
        }
    }

    /// Steps over digits; how many, at least one.
    fn digits(&mut self) -> Result<usize, Trouble> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.trouble("a digit")) } else { Ok(self.at - start) }
    }

    /// An unsigned integer of 64 bits and nothing else.
    pub(crate) fn unsigned(&mut self, expected: &'static str) -> Result<u64, Trouble> {
        let start = self.at;
        let wrong = Trouble { at: start, expected, end: self.at >= self.bytes.len() };
        let mut number: u64 = 0;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            number = number
                .checked_mul(10)
                .and_then(|number| number.checked_add(u64::from(digit - b'0')))
                .ok_or(Trouble { at: start, expected, end: false })?;
            self.at += 1;
        }
        let leading_zero = self.at > start + 1 && self.bytes[start] == b'0';
        if self.at == start || leading_zero || matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return Err(wrong);
        }
        Ok(number)
    }

    /// Exactly this word.
    pub(crate) fn word(&mut self, word: &'static str) -> Result<(), Trouble> {
        let rest = &self.bytes[self.at..];
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        let end = word.as_bytes().starts_with(rest);
        Err(Trouble { at: self.at, expected: "a value: null, true, false, a number, a string, a list or a map", end })
    }

    /// Any value; `depth` is how many lists and maps it may still open.
    pub(crate) fn value(&mut self, depth: usize, scratch: &mut Vec<u8>) -> Result<Value, Trouble> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'"') => Ok(Value::str(self.string(scratch)?)),
            Some(b'[') => {
                let mut items = Vec::new();
                self.items(b']', depth, |cursor, depth| {
                    items.push(cursor.value(depth, scratch)?);
                    Ok(())
                })?;
                Ok(Value::list(items))
            }
            Some(b'{') => {
                let mut entries = Vec::new();
                self.items(b'}', depth, |cursor, depth| {
                    let name = Value::str(cursor.string(scratch)?);
                    cursor.skip_blanks();
                    cursor.expect(b':', "a colon after a name")?;
                    cursor.skip_blanks();
                    entries.push((name, cursor.value(depth, scratch)?));
                    Ok(())
                })?;
                Ok(Value::Map(Box::new(entries)))
            }
            Some(b't') => self.word("true").map(|()| Value::Bool(true)),
            Some(b'f') => self.word("false").map(|()| Value::Bool(false)),
            _ => self.word("null").map(|()| Value::Nil),
        }
    }

    /// Items between an opening byte (which is next) and `close`, separated by commas.
    fn items(
        &mut self,
        close: u8,
        depth: usize,
        mut item: impl FnMut(&mut Self, usize) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let depth = depth.checked_sub(1).ok_or(Trouble {
            at: self.at,
            expected: "at most 128 lists and maps within one another",
            end: false,
        })?;
        self.at += 1;
        self.skip_blanks();
        if self.eat(close) {
            return Ok(());
        }
        loop {
            self.skip_blanks();
            item(self, depth)?;
            self.skip_blanks();
            if self.eat(close) {
                return Ok(());
            }
            self.expect(b',', "a comma, or the end of the list or map")?;
        }
    }
}

fn utf8(bytes: &[u8], start: usize) -> Result<&str, Trouble> {
    std::str::from_utf8(bytes).map_err(|error| Trouble {
        at: start + error.valid_up_to(),
        expected: "text in UTF-8",
        end: false,
    })
}

/// What stands at a place, for a message: at most 24 characters of it.
pub(crate) fn found(bytes: &[u8], at: usize) -> String {
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.is_empty() {
        return "the end".to_owned();
    }
    let text = String::from_utf8_lossy(&rest[..rest.len().min(100)]);
    let mut short = String::new();
    for character in text.chars().take(24) {
        if character.is_control() { short.extend(character.escape_debug()) } else { short.push(character) }
    }
    if text.chars().count() > 24 {
        short.push('…');
    }
    format!("`{short}`")
}

/// Appends a value. Keywords are written as strings, sets as lists, keys of maps as strings; a float that is no number
/// becomes `null`.
pub(crate) fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Nil => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => write_int(out, *number),
        Value::Float(number) if number.is_finite() => out.extend_from_slice(format!("{number:?}").as_bytes()),
        Value::Float(_) => out.extend_from_slice(b"null"),
        Value::Big(digits) => out.extend_from_slice(digits.as_bytes()),
        Value::Pair([a, b]) => {
            out.push(b'[');
            write_int(out, *a);
            out.push(b',');
            write_int(out, *b);
            out.push(b']');
        }
        Value::Str(text) | Value::Keyword(text) => write_str(out, text),
        Value::List(items) | Value::Set(items) => write_items(out, items, write_value),
        Value::Map(entries) => {
            out.push(b'{');
            for (place, (name, value)) in entries.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                match name {
                    Value::Str(text) | Value::Keyword(text) => write_str(out, text),
                    other => write_str(out, &other.to_string()),
                }
                out.push(b':');
                write_value(out, value);
            }
            out.push(b'}');
        }
        Value::Txn(mops) => write_items(out, mops, |out, mop| {
            out.push(b'[');
            write_str(out, &mop.f);
            out.push(b',');
            write_key(out, &mop.key);
            out.push(b',');
            write_value(out, &mop.value);
            out.push(b']');
        }),
    }
}

fn write_items<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// Appends a key.
pub(crate) fn write_key(out: &mut Vec<u8>, key: &Key) {
    match key {
        Key::Int(number) => write_int(out, *number),
        Key::Str(text) => write_str(out, text),
    }
}

/// Appends an integer.
pub(crate) fn write_int(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a string in quotes, escaped.
pub(crate) fn write_str(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (place, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[plain..place]);
        plain = place + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

/// Gives a value the form that its function asks for: transactions are [`Value::Txn`].
pub(crate) fn shaped(f: &F, value: Value) -> Value {
    if *f == F::Txn { value.into_txn() } else { value }
}
