//! EDN to [`Value`].

use super::{DEPTH_MAX, EdnError};
use crate::json::{self, Trouble};
use crate::reading::chunks;
use crate::value::Value;

/// Reads one value.
///
/// # Errors
/// [`EdnError::Syntax`]: what stands where, and what should.
pub fn parse(text: &str) -> Result<Value, EdnError> {
    let mut reader = Reader::new(text);
    let value = reader.form(DEPTH_MAX).and_then(|value| {
        reader.skip(DEPTH_MAX)?;
        if reader.peek().is_some() { Err(reader.trouble("the end after one value")) } else { Ok(value) }
    });
    value.map_err(|trouble| syntax(text.as_bytes(), &trouble))
}

/// The error for trouble in a text.
pub(super) fn syntax(bytes: &[u8], trouble: &Trouble) -> EdnError {
    Place { bytes, offset: 0, line: 1, column: 1 }.syntax(trouble)
}

/// A part of a file, and where it stands in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub bytes: &'a [u8],
    /// Bytes of the file before it.
    pub offset: u64,
    /// Line and column of its first byte.
    pub line: u64,
    pub column: u64,
}

impl Place<'_> {
    /// Line and offset of one of its bytes.
    pub(super) fn of(&self, at: usize) -> (u64, u64) {
        let before = &self.bytes[..at.min(self.bytes.len())];
        (self.line + chunks::lines(before), self.offset + before.len() as u64)
    }

    /// Column of one of its bytes.
    pub(super) fn column_of(&self, at: usize) -> u64 {
        let before = &self.bytes[..at.min(self.bytes.len())];
        match before.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => (before.len() - end) as u64,
            None => self.column + before.len() as u64,
        }
    }

    /// The error for trouble in it.
    pub(super) fn syntax(&self, trouble: &Trouble) -> EdnError {
        let ((line, offset), column) = (self.of(trouble.at), self.column_of(trouble.at));
        let found = json::found(self.bytes, trouble.at);
        EdnError::Syntax { line, column, offset, found, expected: trouble.expected }
    }
}

/// A place in a text.
pub(super) struct Reader<'a> {
    pub text: &'a str,
    pub at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Reader<'a> {
        Reader { text, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn peek_second(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at + 1).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn trouble(&self, expected: &'static str) -> Trouble {
        Trouble { at: self.at, expected, end: self.at >= self.text.len() }
    }

    fn deeper(&self, depth: usize) -> Result<usize, Trouble> {
        let too_deep = Trouble { at: self.at, expected: "at most 132 levels of nesting", end: false };
        depth.checked_sub(1).ok_or(too_deep)
    }

    /// Steps over blanks, commas, comments, and `#_` with the form after it.
    pub(super) fn skip(&mut self, depth: usize) -> Result<(), Trouble> {
        while let Some(next) = self.rest().chars().next() {
            if next == ',' || next.is_whitespace() {
                self.at += next.len_utf8();
            } else if next == ';' {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            } else if self.rest().starts_with("#_") {
                let depth = self.deeper(depth)?;
                self.at += 2;
                self.form(depth)?;
            } else {
                break;
            }
        }
        Ok(())
    }

    /// The next form; `depth` is how many levels it may still open.
    pub(super) fn form(&mut self, depth: usize) -> Result<Value, Trouble> {
        let depth = self.deeper(depth)?;
        self.skip(depth)?;
        match self.peek() {
            Some(b'[') => self.forms(b']', depth).map(Value::list),
            Some(b'(') => self.forms(b')', depth).map(Value::list),
            Some(b'{') => self.map(depth, None),
            Some(b'"') => self.string().map(|text| Value::str(&text)),
            Some(b'\\') => self.character(),
            Some(b'#') => self.dispatched(depth),
            Some(b'^') => {
                self.at += 1;
                self.form(depth)?;
                self.form(depth)
            }
            Some(b':') => {
                self.at += 1;
                self.token("a keyword's name").map(|name| Value::Keyword(name.into()))
            }
            Some(b'0'..=b'9') => self.number(),
            Some(b'+' | b'-') if self.peek_second().is_some_and(|byte| byte.is_ascii_digit()) => self.number(),
            _ => Ok(match self.token("a value")? {
                "nil" => Value::Nil,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                symbol => Value::str(symbol),
            }),
        }
    }

    /// Forms between the bracket that is next and `close`.
    fn forms(&mut self, close: u8, depth: usize) -> Result<Vec<Value>, Trouble> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip(depth)?;
            match self.peek() {
                Some(byte) if byte == close => {
                    self.at += 1;
                    return Ok(items);
                }
                None | Some(b')' | b']' | b'}') => {
                    return Err(self.trouble("another value, or the bracket that closes what was opened"));
                }
                Some(_) => items.push(self.form(depth)?),
            }
        }
    }

    /// A map; its plain keywords get the namespace, if there is one.
    fn map(&mut self, depth: usize, namespace: Option<&str>) -> Result<Value, Trouble> {
        let items = self.forms(b'}', depth)?;
        if items.len() % 2 == 1 {
            return Err(Trouble { at: self.at - 1, expected: "a value for the last key of the map", end: false });
        }
        let mut entries = Vec::with_capacity(items.len() / 2);
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            entries.push((with_namespace(key, namespace), value));
        }
        Ok(Value::Map(Box::new(entries)))
    }

    /// What begins with `#`.
    fn dispatched(&mut self, depth: usize) -> Result<Value, Trouble> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'{') => self.forms(b'}', depth).map(|items| Value::Set(Box::new(items))),
            Some(b'"') => self.raw_string(),
            Some(b'#') => {
                self.at += 1;
                match self.token("Inf, -Inf or NaN")? {
                    "Inf" => Ok(Value::Float(f64::INFINITY)),
                    "-Inf" => Ok(Value::Float(f64::NEG_INFINITY)),
                    "NaN" => Ok(Value::Float(f64::NAN)),
                    _ => Err(Trouble { at: start, expected: "##Inf, ##-Inf or ##NaN", end: false }),
                }
            }
            Some(b':') => {
                self.at += 1;
                let namespace = self.token("a map's namespace")?;
                self.skip(depth)?;
                if self.peek() == Some(b'{') { self.map(depth, Some(namespace)) } else { Err(self.trouble("a map")) }
            }
            _ => {
                self.token("a tag")?;
                self.form(depth)
            }
        }
    }

    /// What stands up to the next blank or bracket.
    fn token(&mut self, expected: &'static str) -> Result<&'a str, Trouble> {
        let rest = self.rest();
        let token = &rest[..rest.find(is_delimiter).unwrap_or(rest.len())];
        if token.is_empty() {
            return Err(self.trouble(expected));
        }
        self.at += token.len();
        Ok(token)
    }

    fn number(&mut self) -> Result<Value, Trouble> {
        let at = self.at;
        let token = self.token("a number")?;
        number(token).ok_or(Trouble { at, expected: "an integer, a decimal or a ratio", end: self.peek().is_none() })
    }

    fn string(&mut self) -> Result<String, Trouble> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(plain) = rest.find(['"', '\\']) else {
                self.at = self.text.len();
                return Err(self.trouble("the end of a string"));
            };
            text.push_str(&rest[..plain]);
            self.at += plain + 1;
            if rest.as_bytes()[plain] == b'"' {
                return Ok(text);
            }
            text.push(self.escape()?);
        }
    }

    /// The character that an escape means, after its backslash.
    fn escape(&mut self) -> Result<char, Trouble> {
        let at = self.at;
        let expected = "one of \" \\ t b n r f, u and four hexadecimal digits, or octal digits after a backslash";
        let wrong = Trouble { at, expected, end: self.peek().is_none() };
        let byte = self.peek().ok_or_else(|| wrong.clone())?;
        let octal = |byte: u8| (b'0'..=b'7').contains(&byte);
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'\'' => char::from(byte),
            b't' => '\t',
            b'b' => '\u{8}',
            b'n' => '\n',
            b'r' => '\r',
            b'f' => '\u{c}',
            b'u' => {
                let first = self.hex4()?;
                let pair = (0xD800..0xDC00).contains(&first) && self.rest().starts_with("\\u");
                let code = if pair {
                    self.at += 2;
                    let second = self.hex4()?;
                    0x10000 + ((first - 0xD800) << 10) + (second.wrapping_sub(0xDC00) & 0x3FF)
                } else {
                    first
                };
                char::from_u32(code).ok_or(wrong)?
            }
            _ if octal(byte) => {
                let mut code = u32::from(byte - b'0');
                while let Some(byte) = self.peek().filter(|&byte| octal(byte) && code < 0o40) {
                    code = code * 8 + u32::from(byte - b'0');
                    self.at += 1;
                }
                char::from_u32(code).ok_or(wrong)?
            }
            _ => return Err(wrong),
        })
    }

    fn hex4(&mut self) -> Result<u32, Trouble> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let end = self.text.len() - self.at < 4;
        let wrong = Trouble { at: self.at, expected: "four hexadecimal digits", end };
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or(wrong)?;
        self.at += 4;
        Ok(code)
    }

    /// A regular expression: a string in which only `\"` is no end.
    fn raw_string(&mut self) -> Result<Value, Trouble> {
        let start = self.at + 1;
        self.at = start;
        while let Some(byte) = self.peek() {
            if byte == b'"' {
                let text = &self.text[start..self.at];
                self.at += 1;
                return Ok(Value::str(text));
            }
            self.at += if byte == b'\\' { 1 + self.rest()[1..].chars().next().map_or(0, char::len_utf8) } else { 1 };
        }
        Err(self.trouble("the end of a regular expression"))
    }

    fn character(&mut self) -> Result<Value, Trouble> {
        let at = self.at;
        let rest = &self.rest()[1..];
        let Some(first) = rest.chars().next() else {
            self.at += 1;
            return Err(self.trouble("a character after a backslash"));
        };
        let after = &rest[first.len_utf8()..];
        let name = &rest[..first.len_utf8() + after.find(is_delimiter).unwrap_or(after.len())];
        self.at += 1 + name.len();
        let wrong = Trouble { at, expected: "a character: \\a, \\newline, \\u0041", end: self.peek().is_none() };
        let character = match name {
            "newline" => '\n',
            "return" => '\r',
            "space" => ' ',
            "tab" => '\t',
            "backspace" => '\u{8}',
            "formfeed" => '\u{c}',
            _ if after.is_empty() || name.len() == first.len_utf8() => first,
            _ => {
                let radix = if first == 'u' { 16 } else { 8 };
                let digits = name.strip_prefix(['u', 'o']).ok_or_else(|| wrong.clone())?;
                u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).ok_or(wrong)?
            }
        };
        Ok(Value::str(character.encode_utf8(&mut [0; 4])))
    }
}

/// Whether a character ends a token.
pub(super) fn is_delimiter(character: char) -> bool {
    character.is_whitespace() || matches!(character, ',' | ';' | '"' | '(' | ')' | '[' | ']' | '{' | '}')
}

fn with_namespace(key: Value, namespace: Option<&str>) -> Value {
    match (key, namespace) {
        (Value::Keyword(name), Some(namespace)) if !name.contains('/') => {
            Value::Keyword(format!("{namespace}/{name}").into())
        }
        (Value::Keyword(name), Some(_)) if name.starts_with("_/") => Value::Keyword(name[2..].into()),
        (key, _) => key,
    }
}

fn number(token: &str) -> Option<Value> {
    let (sign, digits) = match token.as_bytes()[0] {
        b'-' => ("-", &token[1..]),
        b'+' => ("", &token[1..]),
        _ => ("", token),
    };
    let is_integer = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text.len() == 1 || !text.starts_with('0'))
    };
    let whole = digits.strip_suffix('N').unwrap_or(digits);
    if is_integer(whole) {
        let signed = format!("{sign}{whole}");
        return Some(signed.parse().map_or_else(|_| Value::Big(signed.as_str().into()), Value::Int));
    }
    if let Some(hex) = digits.strip_prefix("0x") {
        return i64::from_str_radix(&format!("{sign}{hex}"), 16).ok().map(Value::Int);
    }
    if let Some((above, below)) = digits.split_once('/') {
        let ratio = is_integer(above) && is_integer(below);
        let (above, below): (f64, f64) = (format!("{sign}{above}").parse().ok()?, below.parse().ok()?);
        return (ratio && below != 0.0).then_some(Value::Float(above / below));
    }
    let decimal = digits.strip_suffix('M').unwrap_or(digits);
    let plain = decimal.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    let number: f64 = format!("{sign}{decimal}").parse().ok().filter(|_| plain)?;
    (decimal.len() < digits.len() || decimal.contains(['.', 'e', 'E'])).then_some(Value::Float(number))
}
