//! Values as etcd stores them: JSON text, so that `7` is `7` and a list is a list.
//!
//! What would not read the same as it was written is refused before anything is sent: a keyword (JSON has it as a text),
//! a set (a list), not-a-number, and nothing itself (a missing key reads as nothing, and a stored nothing would not
//! compare as a missing key).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schism_history::{Key, Value};

/// The field by which bytes that are not a value of ours show in a history: `{"unreadable": "<base64>"}`.
pub const UNREADABLE: &str = "unreadable";

/// The text that stands for a value; `None` if it would not read the same. Cost: one encoding and one decoding.
pub fn encode(value: &Value) -> Option<String> {
    let text = match value {
        Value::Nil => return None,
        Value::Int(number) => return Some(number.to_string()),
        Value::Big(digits) => digits.to_string(),
        other => other.to_json().to_string(),
    };
    (decode(text.as_bytes()) == *value).then_some(text)
}

/// The value that bytes stand for. Bytes that no value of ours is written as are not an error of the client but what
/// the database said: they become a map that no writer can have written, for the checker to find.
pub fn decode(bytes: &[u8]) -> Value {
    let Ok(text) = std::str::from_utf8(bytes) else { return unreadable(bytes) };
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // `007` and `-0` are numbers that we never write.
        return match is_canonical(digits, digits.len() < text.len()) {
            true => text.parse().map_or_else(|_| Value::Big(text.into()), Value::Int),
            false => unreadable(bytes),
        };
    }
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Null) | Err(_) => unreadable(bytes),
        Ok(json) => Value::from_json(&json),
    }
}

/// Whether the digits are as we write them: no leading zero, no negative zero.
fn is_canonical(digits: &str, negative: bool) -> bool {
    !digits.starts_with('0') || (digits == "0" && !negative)
}

fn unreadable(bytes: &[u8]) -> Value {
    Value::Map(Box::new(vec![(Value::str(UNREADABLE), Value::str(&BASE64.encode(bytes)))]))
}

/// The key under which an operation's register lives, in base64: the prefix, then the key; the prefix alone for a
/// workload without keys.
pub fn key(prefix: &str, key: Option<&Key>) -> String {
    BASE64.encode(match key {
        Some(key) => format!("{prefix}{key}"),
        None => prefix.to_owned(),
    })
}

/// Base64, as the gateway wants bytes.
pub fn to_base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64.encode(bytes)
}

/// The bytes of a base64 text.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let list = Value::list(vec![Value::Int(1), Value::str("a"), Value::Nil, Value::Bool(true)]);
        let cases = [
            (Value::Int(7), "7"),
            (Value::Int(-7), "-7"),
            (Value::Int(i64::MIN), "-9223372036854775808"),
            (Value::Big("92233720368547758080".into()), "92233720368547758080"),
            (Value::Pair([1, 2]), "[1,2]"),
            (Value::str("7"), "\"7\""),
            (Value::str("a\n\"b"), "\"a\\n\\\"b\""),
            (Value::Bool(false), "false"),
            (Value::Float(0.5), "0.5"),
            (list, "[1,\"a\",null,true]"),
        ];
        for (value, text) in cases {
            assert_eq!(encode(&value).as_deref(), Some(text));
            assert_eq!(decode(text.as_bytes()), value);
        }
    }

    #[test]
    fn what_would_read_otherwise_is_not_written() {
        let refused = [
            Value::Nil,
            Value::Keyword("a".into()),
            Value::Set(Box::new(vec![Value::Int(1)])),
            Value::Float(f64::NAN),
            Value::Float(f64::INFINITY),
            Value::Big("7".into()),
            Value::Big("007".into()),
            Value::Big("x".into()),
            Value::Map(Box::new(vec![(Value::Int(1), Value::Int(2))])),
        ];
        for value in refused {
            assert_eq!(encode(&value), None, "{value:?}");
        }
    }

    #[test]
    fn garbage_is_reported_and_equals_nothing_written() {
        for bytes in [&b""[..], b"\xff\xfe", b"garbage", b"7x", b"null", b"007", b"-0", b"-", b"[1,", b" 7\0"] {
            let value = decode(bytes);
            let Value::Map(fields) = &value else { panic!("{value:?}") };
            assert_eq!(fields[0].0, Value::str(UNREADABLE));
            let Value::Str(text) = &fields[0].1 else { panic!("{value:?}") };
            assert_eq!(from_base64(text).as_deref(), Some(bytes));
        }
    }

    #[test]
    fn keys_have_the_prefix() {
        assert_eq!(from_base64(&key("schism/", Some(&Key::Int(3)))).as_deref(), Some(&b"schism/3"[..]));
        assert_eq!(from_base64(&key("schism/", Some(&Key::Str("a".into())))).as_deref(), Some(&b"schism/a"[..]));
        assert_eq!(from_base64(&key("schism/", None)).as_deref(), Some(&b"schism/"[..]));
    }
}
