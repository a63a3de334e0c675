//! Events to maps, one a line.

use std::io::{self, Write};

use super::events::takes;
use super::is_escaped;
use super::text::is_delimiter;
use crate::history::History;
use crate::json::write_int;
use crate::op::{F, Kind, Op, Process};
use crate::value::{Key, Value};

/// How many bytes are gathered before they are handed on.
const BUFFER_BYTES: usize = 64 << 10;

/// Writes a history, as Jepsen has it: keyed values as tuples `[k v]`, functions and micro-operations as keywords, and
/// invocations of the plain `nemesis` as `:info`.
///
/// # Errors
/// When it cannot be written; and of a history without real time ([`History::has_realtime`]), as the format cannot say that:
/// a reader would take the order of lines for that of events.
pub fn write(history: &History, mut to: impl Write) -> io::Result<()> {
    if !history.has_realtime() {
        let why = "EDN cannot say that a history has no real time; write JSON Lines";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let mut out = Vec::with_capacity(BUFFER_BYTES + 1024);
    let mut nemesis_open = None;
    for mut op in history.ops() {
        if op.process.is_plain_nemesis() {
            settle_kind(&mut op, &mut nemesis_open);
        }
        write_event(&mut out, &op);
        if out.len() >= BUFFER_BYTES {
            to.write_all(&out)?;
            out.clear();
        }
    }
    to.write_all(&out)?;
    to.flush()
}

/// The type under which a reader will know an event of the plain nemesis for what it is: an invocation is `:info`,
/// but not where that would answer what is open.
fn settle_kind(op: &mut Op, open: &mut Option<F>) {
    if op.kind != Kind::Invoke {
        *open = None;
        return;
    }
    if open.as_ref() != Some(&op.f) {
        op.kind = Kind::Info;
    }
    *open = Some(op.f.clone());
}

/// One value as EDN.
pub fn to_text(value: &Value) -> String {
    let mut out = Vec::new();
    write_value(&mut out, value);
    String::from_utf8_lossy(&out).into_owned()
}

fn write_event(out: &mut Vec<u8>, op: &Op) {
    out.extend_from_slice(b"{:index ");
    write_int(out, op.index);
    out.extend_from_slice(b", :time ");
    write_int(out, op.time_ns);
    out.extend_from_slice(b", :type :");
    out.extend_from_slice(op.kind.as_str().as_bytes());
    out.extend_from_slice(b", :process ");
    match &op.process {
        Process::Client(number) => write_int(out, *number),
        nemesis @ Process::Nemesis(_) => write_name(out, &nemesis.to_string()),
    }
    out.extend_from_slice(b", :f ");
    write_name(out, op.f.as_str());
    out.extend_from_slice(b", :value ");
    match &op.key {
        Some(key) => {
            out.push(b'[');
            write_key(out, key);
            out.push(b' ');
            write_value(out, &op.value);
            out.push(b']');
        }
        None => write_value(out, &op.value),
    }
    if let Some(error) = &op.error {
        out.extend_from_slice(b", :error ");
        write_value(out, error);
    }
    write_additions(out, op);
    out.extend_from_slice(b"}\n");
}

/// What Jepsen has no name for.
fn write_additions(out: &mut Vec<u8>, op: &Op) {
    if let Some(node) = &op.node {
        out.extend_from_slice(b", :node ");
        write_str(out, node.as_str());
    }
    if let Some(matched) = op.matched {
        out.extend_from_slice(if matched { b", :matched true" } else { b", :matched false" });
    }
    if let Some(fault_id) = op.fault_id {
        out.extend_from_slice(b", :fault-id ");
        write_int(out, fault_id);
    }
    if let Some(session) = op.session {
        out.extend_from_slice(b", :session ");
        write_int(out, session);
    }
    for (name, value) in op.extra.iter().flat_map(|extra| extra.iter()) {
        out.extend_from_slice(b", ");
        if is_own(op, name, value) {
            write_name(out, &format!("extra.{name}"));
        } else {
            write_name(out, name);
        }
        out.push(b' ');
        write_value(out, value);
    }
}

/// Whether an extra field would be taken for one of our own.
fn is_own(op: &Op, name: &str, value: &Value) -> bool {
    let written = match name {
        "node" => op.node.is_some(),
        "matched" => op.matched.is_some(),
        "fault-id" => op.fault_id.is_some(),
        "session" => op.session.is_some(),
        _ => return is_escaped(name),
    };
    written || takes(name, value)
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Nil => out.extend_from_slice(b"nil"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => write_int(out, *number),
        Value::Float(number) if number.is_nan() => out.extend_from_slice(b"##NaN"),
        Value::Float(number) if number.is_infinite() => {
            out.extend_from_slice(if *number > 0.0 { b"##Inf" } else { b"##-Inf" });
        }
        Value::Float(number) => out.extend_from_slice(format!("{number:?}").as_bytes()),
        Value::Big(digits) => {
            out.extend_from_slice(digits.as_bytes());
            out.push(b'N');
        }
        Value::Pair([a, b]) => {
            out.push(b'[');
            write_int(out, *a);
            out.push(b' ');
            write_int(out, *b);
            out.push(b']');
        }
        Value::Str(text) => write_str(out, text),
        Value::Keyword(name) if name.is_empty() || name.contains(is_delimiter) => write_str(out, name),
        Value::Keyword(name) => {
            out.push(b':');
            out.extend_from_slice(name.as_bytes());
        }
        Value::List(items) => write_items(out, "[", items, "]", write_value),
        Value::Set(items) => write_items(out, "#{", items, "}", write_value),
        Value::Map(entries) => write_items(out, "{", entries, "}", |out, (name, value)| {
            write_value(out, name);
            out.push(b' ');
            write_value(out, value);
        }),
        Value::Txn(mops) => write_items(out, "[", mops, "]", |out, mop| {
            out.push(b'[');
            write_name(out, &mop.f);
            out.push(b' ');
            write_key(out, &mop.key);
            out.push(b' ');
            write_value(out, &mop.value);
            out.push(b']');
        }),
    }
}

fn write_items<T>(out: &mut Vec<u8>, open: &str, items: &[T], close: &str, write: impl Fn(&mut Vec<u8>, &T)) {
    out.extend_from_slice(open.as_bytes());
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push(b' ');
        }
        write(out, item);
    }
    out.extend_from_slice(close.as_bytes());
}

/// A key; the text `:x` is the keyword that it was read from.
fn write_key(out: &mut Vec<u8>, key: &Key) {
    match key {
        Key::Int(number) => write_int(out, *number),
        Key::Str(name) => match name.strip_prefix(':') {
            Some(word) if is_word(word) => write_name(out, word),
            _ => write_str(out, name),
        },
    }
}

/// A name: a keyword if Clojure can read it as one, else a string.
fn write_name(out: &mut Vec<u8>, name: &str) {
    if is_word(name) {
        out.push(b':');
        out.extend_from_slice(name.as_bytes());
    } else {
        write_str(out, name);
    }
}

/// Whether a text is a keyword that Clojure reads: `name` or `namespace/name`.
fn is_word(text: &str) -> bool {
    let is_part = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".*+!-_?$%&=<>".contains(&byte);
        part.bytes().all(plain) && part.bytes().next().is_some_and(|first| !first.is_ascii_digit())
    };
    match text.split_once('/') {
        Some((namespace, name)) => is_part(namespace) && is_part(name),
        None => is_part(text),
    }
}

fn write_str(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            control if u32::from(control) < 0x20 => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes());
            }
            plain => out.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}
