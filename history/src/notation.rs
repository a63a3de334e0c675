//! Histories in one line, for tests.
//!
//! Events in order, separated by blanks. Most are whole calls, one token each; a call that overlaps others is two
//! tokens, `(` where it begins and `)`, `!` or `?` where it ends:
//!
//! | token | events |
//! |---|---|
//! | `0:w1` | process 0 invokes write 1; ok |
//! | `0:r1`, `0:rnil` | process 0 invokes read; ok with value 1, with nothing |
//! | `0:c1>2` | process 0 invokes cas `[1, 2]`; ok |
//! | `0:c1>2~`, `0:c1>2+` | the same, ok with `matched` false (the answer "no match"), true |
//! | `0:w1!`, `0:w1?`, `0:r?` | invoked, then fail or info |
//! | `0:w1(`, `0:r(`, `0:c1>2(` | invocation alone |
//! | `0)`, `0)3`, `0)~` | process 0's open operation ends ok: with its own argument; with value 3 (a read must say what it read); with `matched` false |
//! | `0!`, `0?` | it ends fail, info (a value may follow) |
//! | `0:enqueue=5`, `0:txn=[["append",1,2]]` | any function, with its argument in JSON or `nil` |
//! | `0:dequeue=nil>5` | the same, with another value in the completion |
//! | `0@5:w1`, `0@x:w1` | with the independent key 5, `"x"`; a completion has its invocation's key |
//! | `nemesis/partition#3:inject={"n1":["n2"]}(`, `nemesis/partition?nil` | the nemesis; `#3` is the fault's id, which a completion has from its invocation |
//!
//! `0:w1( 1:r0 0) 1:r1`: a write, a stale but concurrent read within it, and a read of the value after it. Names that
//! are no plain words (letters, digits, `_`, `-`) are written as JSON strings: `0:"odd name"=1`.
//!
//! Events are one millisecond apart. Node, session, error and extra fields cannot be said.

use std::fmt::Write as _;

use rustc_hash::FxHashMap;

use crate::history::{History, HistoryBuilder, HistoryError};
use crate::json::{self, Cursor, DEPTH_MAX, Trouble};
use crate::op::{F, Kind, Op, OpIndex, Process};
use crate::value::{Key, Value};

const EVENT_NS: u64 = 1_000_000;

/// Why a line is no history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotationError {
    /// The text does not follow the notation.
    #[error("byte {position}: found {found}, expected {expected}")]
    Syntax {
        /// Bytes before it.
        position: usize,
        /// What stands there.
        found: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// The events do not make a history.
    #[error("the event at byte {position}: {source}")]
    Rule {
        /// Bytes before the token.
        position: usize,
        /// The rule.
        source: HistoryError,
    },
}

/// Reads a history.
///
/// # Errors
/// The first token that is wrong, with its place.
pub fn parse(text: &str) -> Result<History, NotationError> {
    let mut parser = Parser {
        cursor: Cursor::new(text.as_bytes()),
        builder: HistoryBuilder::default(),
        open: FxHashMap::default(),
        scratch: Vec::new(),
        events: 0,
    };
    loop {
        parser.cursor.skip_blanks();
        let position = parser.cursor.at;
        if parser.cursor.peek().is_none() {
            return Ok(parser.builder.finish());
        }
        parser.token().map_err(|wrong| match wrong {
            Wrong::Text(Trouble { at, expected, .. }) => {
                NotationError::Syntax { position: at, found: json::found(text.as_bytes(), at), expected }
            }
            Wrong::Rule(source) => NotationError::Rule { position, source },
        })?;
    }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    builder: HistoryBuilder,
    /// What each process has open.
    open: FxHashMap<Process, Op>,
    scratch: Vec<u8>,
    events: u64,
}

enum Wrong {
    Text(Trouble),
    Rule(HistoryError),
}

impl From<Trouble> for Wrong {
    fn from(trouble: Trouble) -> Wrong {
        Wrong::Text(trouble)
    }
}

impl Parser<'_> {
    fn token(&mut self) -> Result<(), Wrong> {
        let process = self.process()?;
        let key = if self.cursor.eat(b'@') { Some(self.key()?) } else { None };
        let fault_id = if self.cursor.eat(b'#') { Some(self.number32("a fault's number")?) } else { None };
        if self.cursor.eat(b':') {
            self.call(process, key, fault_id)?;
        } else {
            self.completion(process, key, fault_id)?;
        }
        match self.cursor.peek() {
            None | Some(b' ' | b'\t' | b'\n' | b'\r') => Ok(()),
            _ => Err(self.cursor.trouble("a blank or the end after an event").into()),
        }
    }

    fn process(&mut self) -> Result<Process, Trouble> {
        if self.cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Ok(Process::Client(self.number32("a process number below 4294967296")?));
        }
        if !self.cursor.bytes[self.cursor.at..].starts_with(b"nemesis") {
            return Err(self.cursor.trouble("a process: a number, `nemesis` or `nemesis/<class>`"));
        }
        self.cursor.at += "nemesis".len();
        let class = if self.cursor.eat(b'/') { self.name("the nemesis' class")? } else { String::new() };
        Ok(Process::nemesis(&class))
    }

    fn number32(&mut self, expected: &'static str) -> Result<u32, Trouble> {
        let at = self.cursor.at;
        let number = self.cursor.unsigned(expected)?;
        u32::try_from(number).map_err(|_| Trouble { at, expected, end: false })
    }

    fn key(&mut self) -> Result<Key, Trouble> {
        let at = self.cursor.at;
        if !matches!(self.cursor.peek(), Some(b'-' | b'0'..=b'9')) {
            return Ok(Key::Str(self.name("a key")?.into()));
        }
        match self.cursor.number()? {
            Value::Int(number) => Ok(Key::Int(number)),
            _ => Err(Trouble { at, expected: "a key: an integer of 64 bits or a name", end: false }),
        }
    }

    /// A plain word, or any text as a JSON string.
    fn name(&mut self, expected: &'static str) -> Result<String, Trouble> {
        if self.cursor.peek() == Some(b'"') {
            return Ok(self.cursor.string(&mut self.scratch)?.to_owned());
        }
        let word = word_at(&self.cursor);
        self.cursor.at += word.len();
        if word.is_empty() { Err(self.cursor.trouble(expected)) } else { Ok(word.to_owned()) }
    }

    fn value(&mut self) -> Result<Value, Trouble> {
        if self.cursor.bytes[self.cursor.at..].starts_with(b"nil") {
            self.cursor.at += "nil".len();
            return Ok(Value::Nil);
        }
        self.cursor.value(DEPTH_MAX, &mut self.scratch)
    }

    fn at_value(&self) -> bool {
        matches!(self.cursor.peek(), Some(b'-' | b'0'..=b'9' | b'"' | b'[' | b'{' | b'n' | b't' | b'f'))
    }

    /// What follows the colon: a function, its argument, and how it goes on.
    fn call(&mut self, process: Process, key: Option<Key>, fault_id: Option<u32>) -> Result<(), Wrong> {
        let (f, argument, result) = self.function()?;
        let mut op = Op::new(process, Kind::Invoke, f, argument);
        (op.key, op.fault_id) = (key, fault_id);
        if self.cursor.eat(b'(') {
            if op.f == F::Read {
                op.value = result;
            }
            return self.push(op);
        }
        let (kind, matched) = match self.cursor.peek() {
            Some(b'!') => (Kind::Fail, None),
            Some(b'?') => (Kind::Info, None),
            Some(b'~') => (Kind::Ok, Some(false)),
            Some(b'+') => (Kind::Ok, Some(true)),
            _ => (Kind::Ok, None),
        };
        self.cursor.at += usize::from(kind != Kind::Ok || matched.is_some());
        let completion = Op { kind, matched, value: result, ..op.clone() };
        self.push(op)?;
        self.push(completion)
    }

    /// Function, argument, and value of the completion.
    fn function(&mut self) -> Result<(F, Value, Value), Trouble> {
        let at = self.cursor.at;
        let word = word_at(&self.cursor);
        let named = self.cursor.peek() == Some(b'"') || self.cursor.bytes.get(at + word.len()) == Some(&b'=');
        if named {
            let f = F::parse(&self.name("a function")?);
            self.cursor.expect(b'=', "`=` and an argument after a function's name")?;
            let argument = json::shaped(&f, self.value()?);
            let result = if self.cursor.eat(b'>') { json::shaped(&f, self.value()?) } else { argument.clone() };
            return Ok((f, argument, result));
        }
        self.cursor.at += 1;
        match word.as_bytes().first() {
            Some(b'w') => self.value().map(|value| (F::Write, value.clone(), value)),
            Some(b'r') if matches!(self.cursor.peek(), Some(b'(' | b'!' | b'?')) => {
                Ok((F::Read, Value::Nil, Value::Nil))
            }
            Some(b'r') => self.value().map(|value| (F::Read, Value::Nil, value)),
            Some(b'c') => {
                let old = self.integer()?;
                self.cursor.expect(b'>', "`>` between the two values of a cas")?;
                let pair = Value::Pair([old, self.integer()?]);
                Ok((F::Cas, pair.clone(), pair))
            }
            _ => Err(Trouble {
                at,
                expected: "a function: `w1`, `r1`, `c1>2`, or a name with `=` and an argument in JSON",
                end: false,
            }),
        }
    }

    fn integer(&mut self) -> Result<i64, Trouble> {
        let at = self.cursor.at;
        self.cursor.number()?.as_int().ok_or(Trouble { at, expected: "an integer of 64 bits", end: false })
    }

    fn completion(&mut self, process: Process, key: Option<Key>, fault_id: Option<u32>) -> Result<(), Wrong> {
        let kind = match self.cursor.peek() {
            Some(b')') => Kind::Ok,
            Some(b'!') => Kind::Fail,
            Some(b'?') => Kind::Info,
            _ => {
                let expected = "`:` and a function, or how the open operation ends: `)`, `!` or `?`";
                return Err(self.cursor.trouble(expected).into());
            }
        };
        let Some(open) = self.open.remove(&process) else {
            return Err(self.cursor.trouble("an operation of this process that is open").into());
        };
        self.cursor.at += 1;
        let value = if self.at_value() {
            json::shaped(&open.f, self.value()?)
        } else if kind == Kind::Ok && open.f == F::Read {
            return Err(self.cursor.trouble("the value that was read (or `nil`)").into());
        } else {
            open.value.clone()
        };
        let mut matched = None;
        if kind == Kind::Ok && (self.cursor.eat(b'~') || self.cursor.eat(b'+')) {
            matched = Some(self.cursor.bytes[self.cursor.at - 1] == b'+');
        }
        let (key, fault_id) = (key.or(open.key.clone()), fault_id.or(open.fault_id));
        self.push(Op { kind, value, matched, key, fault_id, ..open })
    }

    fn push(&mut self, mut op: Op) -> Result<(), Wrong> {
        op.time_ns = self.events * EVENT_NS;
        if op.kind == Kind::Invoke {
            self.open.insert(op.process.clone(), op.clone());
        } else {
            self.open.remove(&op.process);
        }
        self.builder.push(op).map_err(Wrong::Rule)?;
        self.events += 1;
        Ok(())
    }
}

/// Letters, digits, `_` and `-` at a place.
fn word_at<'a>(cursor: &Cursor<'a>) -> &'a str {
    let rest = &cursor.bytes[cursor.at..];
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')).count();
    std::str::from_utf8(&rest[..length]).unwrap_or_default()
}

/// Writes a history, as short as the notation can say it. [`parse`] gives the same events again, but for what the
/// notation cannot say (times, nodes, sessions, errors, extra fields; what JSON cannot say of a value).
pub fn write(history: &History) -> String {
    let mut text = String::new();
    let mut index = 0;
    while (index as usize) < history.len() {
        if index > 0 {
            text.push(' ');
        }
        let whole = history.kind(index) == Kind::Invoke
            && history.pair(index) == Some(index + 1)
            && history.key(index) == history.key(index + 1)
            && history.fault_id(index) == history.fault_id(index + 1);
        write_head(&mut text, history, index);
        if whole {
            write_call(&mut text, history, index, Some(index + 1));
        } else if history.kind(index) == Kind::Invoke {
            write_call(&mut text, history, index, None);
        } else {
            write_completion(&mut text, history, index);
        }
        index += if whole { 2 } else { 1 };
    }
    text
}

fn write_head(text: &mut String, history: &History, index: OpIndex) {
    match history.process(index) {
        Process::Client(number) => write_display(text, number),
        Process::Nemesis(class) => {
            text.push_str("nemesis");
            if !class.is_empty() {
                text.push('/');
                text.push_str(&name_text(class));
            }
        }
    }
    let open = history.pair(index).filter(|_| history.kind(index) != Kind::Invoke);
    match history.key(index) {
        Some(_) if open.is_some_and(|open| history.key(open) == history.key(index)) => {}
        Some(Key::Int(number)) => write_display(text, &format_args!("@{number}")),
        Some(Key::Str(name)) if name.starts_with(|first: char| first.is_ascii_digit() || first == '-') => {
            write_display(text, &format_args!("@{}", value_text(&Value::Str(name.clone()))));
        }
        Some(Key::Str(name)) => write_display(text, &format_args!("@{}", name_text(name))),
        None => {}
    }
    if let Some(fault_id) = history.fault_id(index)
        && open.is_none_or(|open| history.fault_id(open) != Some(fault_id))
    {
        write_display(text, &format_args!("#{fault_id}"));
    }
}

fn write_call(text: &mut String, history: &History, invoke: OpIndex, completion: Option<OpIndex>) {
    let (f, argument) = (history.f(invoke), &*history.value(invoke));
    let result = &*history.value(completion.unwrap_or(invoke));
    let kind = completion.map_or(Kind::Invoke, |index| history.kind(index));
    text.push(':');
    match (f, argument) {
        (F::Read, Value::Nil) if result.is_nil() && kind != Kind::Ok => text.push('r'),
        (F::Read, Value::Nil) => write_display(text, &format_args!("r{}", value_text(result))),
        (F::Read, argument) if kind == Kind::Invoke => write_display(text, &format_args!("r{}", value_text(argument))),
        (F::Write, argument) if argument == result => write_display(text, &format_args!("w{}", value_text(argument))),
        (F::Cas, Value::Pair([old, new])) if argument == result => {
            write_display(text, &format_args!("c{old}>{new}"));
        }
        _ => {
            write_display(text, &format_args!("{}={}", name_text(f.as_str()), value_text(argument)));
            if argument != result {
                write_display(text, &format_args!(">{}", value_text(result)));
            }
        }
    }
    text.push_str(match (kind, completion.and_then(|index| history.matched(index))) {
        (Kind::Invoke, _) => "(",
        (Kind::Fail, _) => "!",
        (Kind::Info, _) => "?",
        (Kind::Ok, Some(false)) => "~",
        (Kind::Ok, Some(true)) => "+",
        (Kind::Ok, None) => "",
    });
}

fn write_completion(text: &mut String, history: &History, index: OpIndex) {
    let kind = history.kind(index);
    text.push(match kind {
        Kind::Fail => '!',
        Kind::Info => '?',
        Kind::Ok | Kind::Invoke => ')',
    });
    let value = history.value(index);
    let argument = history.pair(index).map(|open| history.value(open));
    if argument.as_ref() != Some(&value) || (kind == Kind::Ok && *history.f(index) == F::Read) {
        text.push_str(&value_text(&value));
    }
    if kind == Kind::Ok {
        text.push_str(history.matched(index).map_or("", |matched| if matched { "+" } else { "~" }));
    }
}

fn value_text(value: &Value) -> String {
    if value.is_nil() {
        return "nil".to_owned();
    }
    let mut out = Vec::new();
    json::write_value(&mut out, value);
    String::from_utf8_lossy(&out).into_owned()
}

fn name_text(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !name.is_empty() && name.bytes().all(plain) { name.to_owned() } else { value_text(&Value::str(name)) }
}

fn write_display(text: &mut String, item: &dyn std::fmt::Display) {
    let _ = write!(text, "{item}");
}
