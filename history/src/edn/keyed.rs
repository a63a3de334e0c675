//! Independent keys: Jepsen writes them as tuples `[k v]` in the value.

use rustc_hash::FxHashMap;

use super::EdnError;
use super::events::Row;
use crate::op::{F, Kind};
use crate::value::{Key, Value};

/// Whether the values of clients are tuples of an independent key and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keyed {
    /// They are; a value that is none is an error.
    Yes,
    /// They are not.
    No,
    /// They are if every client value of every operation is a vector of two whose first is an integer, string or
    /// keyword (that of a compare-and-set: `[k [old new]]`), an operation and its completion have the same first, and
    /// some first belongs to more than one operation.
    #[default]
    Auto,
}

impl Keyed {
    /// `yes`, `no` or `auto`.
    pub fn parse(name: &str) -> Option<Keyed> {
        Some(match name {
            "yes" => Keyed::Yes,
            "no" => Keyed::No,
            "auto" => Keyed::Auto,
            _ => return None,
        })
    }
}

/// What a client's value must be where values are keyed.
pub(super) const TUPLE: &str = "a tuple [key value], or say that values are not keyed";

/// Takes the key out of a client's value.
///
/// # Errors
/// When it is no tuple.
pub(super) fn split(row: &mut Row) -> Result<(), EdnError> {
    if row.op.process.client().is_none() {
        return Ok(());
    }
    match tuple_key(&row.op.value) {
        Some(key) => {
            row.op.key = Some(key);
            row.op.value = second(&mut row.op.value);
            Ok(())
        }
        // An answer without a value has the key of its question.
        None if row.op.value.is_nil() && row.op.kind != Kind::Invoke => Ok(()),
        None => Err(row.wrong("value", super::to_text(&row.op.value), TUPLE)),
    }
}

/// What the values of events look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Tuples of key and value.
    Keyed,
    /// They cannot all be tuples of key and value.
    Unkeyed,
    /// They could be, but no key belongs to more than one operation.
    Unclear,
}

/// How the values of all these events look.
pub(super) fn look(rows: &[Row]) -> Look {
    let mut asked: FxHashMap<Key, u32> = FxHashMap::default();
    let mut open: FxHashMap<u32, Key> = FxHashMap::default();
    for row in rows {
        let Some(process) = row.op.process.client() else { continue };
        let Some(key) = may_be_keyed(row) else { return Look::Unkeyed };
        if row.op.kind == Kind::Invoke {
            *asked.entry(key.clone()).or_default() += 1;
            open.insert(process, key);
        } else if open.remove(&process).is_some_and(|asked| asked != key) {
            return Look::Unkeyed;
        }
    }
    if asked.values().any(|&count| count > 1) { Look::Keyed } else { Look::Unclear }
}

/// The key of a client's event, if its value may be a tuple: that of a compare-and-set is `[k [old new]]`.
pub(super) fn may_be_keyed(row: &Row) -> Option<Key> {
    let of_two = |value: &Value| match value {
        Value::Pair(_) => true,
        Value::List(items) => items.len() == 2,
        _ => false,
    };
    let fits = row.op.f != F::Cas || matches!(&row.op.value, Value::List(items) if items.last().is_some_and(of_two));
    tuple_key(&row.op.value).filter(|_| fits)
}

fn tuple_key(value: &Value) -> Option<Key> {
    match value {
        Value::Pair([key, _]) => Some(Key::Int(*key)),
        Value::List(items) => match items.as_slice() {
            [key, _] => Key::from_value(key),
            _ => None,
        },
        _ => None,
    }
}

fn second(tuple: &mut Value) -> Value {
    match tuple {
        Value::Pair([_, value]) => Value::Int(*value),
        Value::List(items) => items.pop().unwrap_or_default(),
        _ => Value::Nil,
    }
}
