//! Maps to events.

use super::keyed::{self, Keyed};
use super::text::{Reader, syntax};
use super::{DEPTH_MAX, EdnError, is_escaped};
use crate::history::{History, HistoryBuilder};
use crate::json::{self, Trouble};
use crate::op::{F, Kind, Node, Op, Process};
use crate::tail::{Tail, Torn};
use crate::value::{Mop, Value};

/// An event and where it stands. Its function may yet have to be told from its value.
pub(super) struct Row {
    line: u64,
    offset: u64,
    pub op: Op,
    has_process: bool,
    has_f: bool,
}

impl Row {
    pub(super) fn wrong(&self, field: &str, found: String, expected: &'static str) -> EdnError {
        EdnError::Field { line: self.line, offset: self.offset, field: field.to_owned(), found, expected }
    }
}

/// Reads a history as far as it is whole. The last line may be torn (begin an event and not end it, or not close the
/// vector around all events); that is no error, the [`Tail`] tells of it. All events are held as rows on the way: some
/// 200 bytes each beside the text.
///
/// # Errors
/// The first place that is no EDN or no event, or the first event that breaks a rule of histories.
pub fn read(bytes: &[u8], keyed: Keyed) -> Result<(History, Tail), EdnError> {
    let (text, cut) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, false),
        Err(error) => {
            let at = error.valid_up_to();
            let trouble = Trouble { at, expected: "text in UTF-8", end: false };
            let text = std::str::from_utf8(&bytes[..at]).map_err(|_| syntax(bytes, &trouble))?;
            if error.error_len().is_some() {
                return Err(syntax(bytes, &trouble));
            }
            (text, true)
        }
    };
    let mut rows = Vec::new();
    let mut tail = Tail { newline_missing: !text.is_empty() && !text.ends_with('\n'), ..Tail::default() };
    if let Some(offset) = read_rows(text, cut, &mut rows, &mut tail)? {
        let line = bytes[..offset].iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
        tail.torn = Some(Torn { line, offset: offset as u64, bytes_count: (bytes.len() - offset) as u64 });
        tail.newline_missing = false;
    }
    settle_processes(&mut rows)?;
    keyed::split(&mut rows, keyed)?;
    let mut builder = HistoryBuilder::default();
    for mut row in rows {
        settle_function(&mut row)?;
        let (line, offset) = (row.line, row.offset);
        builder.push(row.op).map_err(|source| EdnError::Rule { line, offset, source })?;
    }
    Ok((builder.finish(), tail))
}

/// Reads all events into `rows`. Gives the place where the text was torn, if it was.
fn read_rows(text: &str, cut: bool, rows: &mut Vec<Row>, tail: &mut Tail) -> Result<Option<usize>, EdnError> {
    let mut reader = Reader::new(text);
    reader.at = text.len() - text.trim_start_matches('\u{feff}').len();
    let mut close = None;
    let (mut line, mut counted) = (1, 0);
    let mut time_ns = 0;
    loop {
        let start = reader.at;
        if let Err(trouble) = reader.skip(DEPTH_MAX) {
            return torn(text, start, &trouble);
        }
        let start = reader.at;
        line += text.as_bytes()[counted..start].iter().filter(|&&byte| byte == b'\n').count() as u64;
        counted = start;
        match reader.peek() {
            None => return Ok((cut || close.is_some()).then_some(tail.whole_bytes as usize)),
            Some(b'[') if close.is_none() => close = Some(b']'),
            Some(b'(') if close.is_none() => close = Some(b')'),
            Some(byte) if close == Some(byte) => close = None,
            Some(b'{' | b'#' | b'^') => {
                let form = match reader.form(DEPTH_MAX) {
                    Ok(form) => form,
                    Err(trouble) => return torn(text, start, &trouble),
                };
                let Value::Map(fields) = form else {
                    return Err(syntax(text.as_bytes(), &Trouble { at: start, expected: EVENT, end: false }));
                };
                let row = row(*fields, line, start as u64, time_ns)?;
                time_ns = row.op.time_ns;
                rows.push(row);
                tail.whole_bytes = reader.at as u64;
                continue;
            }
            Some(_) => return Err(syntax(text.as_bytes(), &Trouble { at: start, expected: EVENT, end: false })),
        }
        reader.at += 1;
        tail.whole_bytes = reader.at as u64;
    }
}

const EVENT: &str = "an event: a map in braces (all of them one after the other, or in one vector)";

/// Trouble in what begins at `start`: a torn end if the text ends there and it all stands on the last line.
fn torn(text: &str, start: usize, trouble: &Trouble) -> Result<Option<usize>, EdnError> {
    let on_last_line = !text[start..].trim_end().contains('\n');
    if trouble.end && on_last_line { Ok(Some(start)) } else { Err(syntax(text.as_bytes(), trouble)) }
}

fn row(fields: Vec<(Value, Value)>, line: u64, offset: u64, time_ns_last: u64) -> Result<Row, EdnError> {
    let op = Op::new(Process::Client(0), Kind::Invoke, F::Txn, Value::Nil);
    let mut row = Row { line, offset, op, has_process: false, has_f: false };
    row.op.time_ns = time_ns_last;
    const COUNT_MAX: usize = json::EXTRA_MAX + super::FIELDS.len();
    if fields.len() > COUNT_MAX {
        return Err(row.wrong(
            "extra",
            format!("one of {} fields", fields.len()),
            "at most 1024 fields besides schism's own",
        ));
    }
    let mut seen: Vec<std::sync::Arc<str>> = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let name = match name {
            Value::Keyword(name) | Value::Str(name) => name,
            other => return Err(row.wrong(&other.to_string(), "no name".into(), "fields named by keywords")),
        };
        if seen.contains(&name) {
            return Err(row.wrong(&name, "there twice".into(), "each field once"));
        }
        field(&mut row, &name, value)?;
        seen.push(name);
    }
    if !seen.iter().any(|name| **name == *"type") {
        return Err(row.wrong("type", "missing".into(), TYPE));
    }
    Ok(row)
}

const TYPE: &str = "one of :invoke, :ok, :fail, :info";

fn field(row: &mut Row, name: &std::sync::Arc<str>, value: Value) -> Result<(), EdnError> {
    match &**name {
        "index" if matches!(value, Value::Int(-1..) | Value::Nil) => {}
        "index" => return Err(row.wrong(name, super::to_text(&value), "an integer from 0")),
        "time" => match value {
            Value::Int(-1) | Value::Nil => {}
            Value::Int(time_ns @ 0..) => row.op.time_ns = time_ns as u64,
            Value::Big(ref digits) if digits.parse::<u64>().is_ok() => {
                row.op.time_ns = digits.parse().unwrap_or_default();
            }
            other => return Err(row.wrong(name, super::to_text(&other), "nanoseconds, an integer from 0")),
        },
        "type" => {
            let kind = word(&value).and_then(Kind::parse);
            row.op.kind = kind.ok_or_else(|| row.wrong(name, super::to_text(&value), TYPE))?;
        }
        "process" => {
            let process = match &value {
                Value::Int(number) => u32::try_from(*number).ok().map(Process::Client),
                other => word(other).and_then(Process::parse).filter(|process| process.client().is_none()),
            };
            let expected = "an integer from 0, below 4294967296, or :nemesis";
            row.op.process = process.ok_or_else(|| row.wrong(name, super::to_text(&value), expected))?;
            row.has_process = true;
        }
        "f" => {
            let expected = "a function's name, a keyword";
            let f = word(&value).map(F::parse);
            row.op.f = f.ok_or_else(|| row.wrong(name, super::to_text(&value), expected))?;
            row.has_f = true;
        }
        "value" => row.op.value = value,
        "error" => row.op.error = Some(Box::new(value)),
        _ if takes(name, &value) => match value {
            Value::Str(node) => row.op.node = Some(Node::new(&node)),
            Value::Bool(matched) => row.op.matched = Some(matched),
            Value::Int(number) if &**name == "session" => row.op.session = u32::try_from(number).ok(),
            other => row.op.fault_id = other.as_int().and_then(|number| u32::try_from(number).ok()),
        },
        _ => {
            let plain = name.strip_prefix("extra.").filter(|plain| is_escaped(plain)).map(std::sync::Arc::from);
            let name = plain.unwrap_or_else(|| name.clone());
            row.op.extra.get_or_insert_default().push((name, value));
        }
    }
    Ok(())
}

/// Whether the field of that name, one of schism's own additions, is read from such a value. If not, it is an extra.
pub(super) fn takes(name: &str, value: &Value) -> bool {
    match (name, value) {
        ("node", Value::Str(_)) | ("matched", Value::Bool(_)) => true,
        ("fault-id" | "session", Value::Int(number)) => u32::try_from(*number).is_ok(),
        _ => false,
    }
}

fn word(value: &Value) -> Option<&str> {
    match value {
        Value::Keyword(name) | Value::Str(name) => Some(name),
        _ => None,
    }
}

/// A file that names no process at all has one; a file that names some must name all.
fn settle_processes(rows: &mut [Row]) -> Result<(), EdnError> {
    if !rows.iter().any(|row| row.has_process) {
        return Ok(());
    }
    match rows.iter().find(|row| !row.has_process) {
        Some(row) => Err(row.wrong("process", "missing".into(), "a process, as other events of this file have it")),
        None => Ok(()),
    }
}

fn settle_function(row: &mut Row) -> Result<(), EdnError> {
    if !row.has_f && !Mop::are_shaped(&row.op.value) {
        return Err(row.wrong("f", "missing".into(), "a function (only transactions may leave it out)"));
    }
    let value = std::mem::take(&mut row.op.value);
    row.op.value = json::shaped(&row.op.f, value);
    Ok(())
}
