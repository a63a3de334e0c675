//! Maps to rows.

use super::{Dialect, EdnError, is_escaped};
use crate::json;
use crate::op::{F, Kind, Node, Op, Process};
use crate::value::{Key, Mop, Value};

/// An event and where it stands. Its function may yet have to be told from its value.
#[derive(Debug)]
pub(super) struct Row {
    /// Line and offset of its beginning.
    pub place: (u64, u64),
    pub op: Op,
    pub has_process: bool,
    pub has_time: bool,
    pub has_f: bool,
}

impl Row {
    pub(super) fn wrong(&self, field: &str, found: String, expected: &'static str) -> EdnError {
        let (line, offset) = self.place;
        EdnError::Field { line, offset, field: shortened(field), found: shortened(&found), expected }
    }

    /// Gives its value the form that its function asks for.
    pub(super) fn settle_function(&mut self) -> Result<(), EdnError> {
        if !self.has_f && !Mop::are_shaped(&self.op.value) {
            return Err(self.wrong("f", "missing".into(), "a function (only transactions may leave it out)"));
        }
        let value = std::mem::take(&mut self.op.value);
        self.op.value = json::shaped(&self.op.f, value);
        Ok(())
    }
}

/// A text, or as much of it as a message takes.
fn shortened(text: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The event that a map's fields make, which begins there.
///
/// # Errors
/// A field that is missing, stands twice, or has a value that it cannot have.
pub(super) fn row(fields: Vec<(Value, Value)>, dialect: Dialect, place: (u64, u64)) -> Result<Row, EdnError> {
    let op = Op::new(Process::Client(0), Kind::Invoke, F::Txn, Value::Nil);
    let mut row = Row { place, op, has_process: false, has_time: false, has_f: false };
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
        match dialect {
            Dialect::Jepsen => field(&mut row, &name, value)?,
            Dialect::KeyValue => key_value_field(&mut row, &name, value)?,
        }
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
            Value::Int(time_ns @ 0..) => (row.op.time_ns, row.has_time) = (time_ns as u64, true),
            Value::Big(ref digits) if digits.parse::<u64>().is_ok() => {
                (row.op.time_ns, row.has_time) = (digits.parse().unwrap_or_default(), true);
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

/// A field of a key-value text: the key has a field of its own, and reads and writes are called `get` and `put`.
fn key_value_field(row: &mut Row, name: &std::sync::Arc<str>, value: Value) -> Result<(), EdnError> {
    if **name == *"key" {
        let key = Key::from_value(&value);
        row.op.key = Some(key.ok_or_else(|| row.wrong(name, super::to_text(&value), "a text or an integer"))?);
        return Ok(());
    }
    field(row, name, value)?;
    if **name == *"f" {
        row.op.f = match row.op.f.as_str() {
            "get" => F::Read,
            "put" => F::Write,
            _ => std::mem::replace(&mut row.op.f, F::Read),
        };
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
