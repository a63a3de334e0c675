//! What operations carry.

use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::json;

/// An independent key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// The usual key.
    Int(i64),
    /// A key with a name.
    Str(Arc<str>),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Int(number) => write!(f, "{number}"),
            Key::Str(name) => f.write_str(name),
        }
    }
}

/// A micro-operation of a transaction: `["append", 5, 1]`, `["r", 5, [1, 2]]`, `["w", 6, 3]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Mop {
    /// `append`, `r`, `w` or another name.
    pub f: Arc<str>,
    /// The key it touches.
    pub key: Key,
    /// What is written, or what was read (`Nil` before the answer).
    pub value: Value,
}

impl Mop {
    /// A micro-operation. The common names (`append`, `r`, `w`) share their memory.
    pub fn new(f: &str, key: Key, value: Value) -> Mop {
        static COMMON: LazyLock<[Arc<str>; 3]> = LazyLock::new(|| ["append", "r", "w"].map(Arc::from));
        let f = COMMON.iter().find(|name| ***name == *f).cloned().unwrap_or_else(|| Arc::from(f));
        Mop { f, key, value }
    }

    /// The micro-operation that a list `[name, key, value]` stands for, if it does.
    fn from_value(value: &mut Value) -> Option<Mop> {
        let Value::List(items) = value else { return None };
        let [Value::Str(f) | Value::Keyword(f), key, value] = items.as_mut_slice() else { return None };
        let key = Key::from_value(key)?;
        Some(Mop::new(f, key, std::mem::take(value)))
    }

    /// Whether a value is a list `[name, key, value]`.
    fn is_shaped(value: &Value) -> bool {
        matches!(value, Value::List(items)
            if matches!(items.as_slice(), [Value::Str(_) | Value::Keyword(_), key, _] if Key::is_shaped(key)))
    }

    /// Whether a value is a list of lists `[name, key, value]`.
    pub(crate) fn are_shaped(value: &Value) -> bool {
        matches!(value, Value::List(items) if items.iter().all(Mop::is_shaped))
    }
}

impl Key {
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Key::Int(_) => 0,
            Key::Str(name) => 16 + name.len(),
        }
    }

    /// Whether a value can be a key.
    fn is_shaped(value: &Value) -> bool {
        matches!(value, Value::Int(_) | Value::Str(_) | Value::Keyword(_))
    }

    /// The key that a value can be: an integer or a text. An EDN keyword `:x` is the text `:x`, so that it can be
    /// written as a keyword again.
    pub fn from_value(value: &Value) -> Option<Key> {
        match value {
            Value::Int(number) => Some(Key::Int(*number)),
            Value::Str(name) => Some(Key::Str(name.clone())),
            Value::Keyword(name) => Some(Key::Str(format!(":{name}").into())),
            _ => None,
        }
    }
}

/// A value. Lists of exactly two integers are always [`Value::Pair`] (see [`Value::list`]), so that a compare-and-set
/// allocates nothing and equal values are equal.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Nothing: an unanswered read, an absent value.
    #[default]
    Nil,
    /// True or false.
    Bool(bool),
    /// An integer; integers beyond 64 bits are kept as [`Value::Big`].
    Int(i64),
    /// A number that is no 64-bit integer.
    Float(f64),
    /// An integer beyond 64 bits, as its digits.
    Big(Box<str>),
    /// Two integers: `[old, new]` of a compare-and-set, or any list of two integers.
    Pair([i64; 2]),
    /// A text.
    Str(Arc<str>),
    /// An EDN keyword, without its colon; JSON has it as a text.
    Keyword(Arc<str>),
    /// A list.
    List(Box<Vec<Value>>),
    /// A set, as EDN has it; JSON has it as a list.
    Set(Box<Vec<Value>>),
    /// Keys and values in the order of the text.
    Map(Box<Vec<(Value, Value)>>),
    /// A transaction.
    Txn(Box<Vec<Mop>>),
}

impl Value {
    /// A list in its one form: two integers become a [`Value::Pair`].
    pub fn list(items: Vec<Value>) -> Value {
        match items.as_slice() {
            [Value::Int(a), Value::Int(b)] => Value::Pair([*a, *b]),
            _ => Value::List(Box::new(items)),
        }
    }

    /// A list whose items are all `[name, key, value]` becomes a transaction; any other value stays what it is.
    pub fn into_txn(mut self) -> Value {
        let Value::List(items) = &mut self else { return self };
        if !items.iter().all(Mop::is_shaped) {
            return self;
        }
        Value::Txn(Box::new(items.iter_mut().filter_map(Mop::from_value).collect()))
    }

    /// A text.
    pub fn str(text: &str) -> Value {
        Value::Str(Arc::from(text))
    }

    /// The value of a map's key, a text or a keyword; `None` where there is none or this is no map.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let Value::Map(entries) = self else { return None };
        let named = |key: &Value| matches!(key, Value::Str(text) | Value::Keyword(text) if **text == *name);
        entries.iter().find(|(key, _)| named(key)).map(|(_, value)| value)
    }

    /// The text, if it is one (or a keyword).
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) | Value::Keyword(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// About how many bytes it takes beside its own 24.
    pub(crate) fn heap_bytes(&self) -> usize {
        /// Two counters before a shared text.
        const SHARED: usize = 16;
        let each = size_of::<Value>();
        match self {
            Value::Nil | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Pair(_) => 0,
            Value::Big(digits) => digits.len(),
            Value::Str(text) | Value::Keyword(text) => SHARED + text.len(),
            Value::List(items) | Value::Set(items) => {
                each + items.iter().map(|item| each + item.heap_bytes()).sum::<usize>()
            }
            Value::Map(entries) => {
                each + entries.iter().map(|(a, b)| 2 * each + a.heap_bytes() + b.heap_bytes()).sum::<usize>()
            }
            Value::Txn(mops) => {
                let mop = |mop: &Mop| size_of::<Mop>() + mop.key.heap_bytes() + mop.value.heap_bytes();
                each + mops.iter().map(mop).sum::<usize>()
            }
        }
    }

    /// Whether it is nothing.
    pub fn is_nil(&self) -> bool {
        matches!(self, Value::Nil)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::str(text)
    }
}

impl Value {
    /// From JSON. A list of `[name, key, value]` stays a list here: only the operation's function tells that it is a
    /// transaction.
    pub fn from_json(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(flag) => Value::Bool(*flag),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => Value::Int(integer),
                (None, _) if number.is_u64() => Value::Big(number.to_string().into()),
                (None, float) => Value::Float(float.unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Value::str(text),
            serde_json::Value::Array(items) => Value::list(items.iter().map(Value::from_json).collect()),
            serde_json::Value::Object(fields) => Value::Map(Box::new(
                fields.iter().map(|(name, value)| (Value::str(name), Value::from_json(value))).collect(),
            )),
        }
    }

    /// To JSON: keywords become texts, sets become lists, keys of maps become texts; so do integers beyond 64 bits.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::{Value as Json, json};
        match self {
            Value::Nil => Json::Null,
            Value::Bool(flag) => json!(flag),
            Value::Int(number) => json!(number),
            Value::Float(number) => json!(number),
            Value::Big(digits) => digits.parse::<u64>().map_or_else(|_| json!(digits), |number| json!(number)),
            Value::Pair([a, b]) => json!([a, b]),
            Value::Str(text) | Value::Keyword(text) => json!(text),
            Value::List(items) | Value::Set(items) => Json::Array(items.iter().map(Value::to_json).collect()),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|(name, value)| (name.to_string(), value.to_json())).collect())
            }
            Value::Txn(mops) => Json::Array(
                mops.iter().map(|mop| json!([&*mop.f, Value::from(&mop.key).to_json(), mop.value.to_json()])).collect(),
            ),
        }
    }
}

impl From<&Key> for Value {
    fn from(key: &Key) -> Value {
        match key {
            Key::Int(number) => Value::Int(*number),
            Key::Str(name) => Value::Str(name.clone()),
        }
    }
}

/// As JSON has it, but texts stand without quotes at the top.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nil => f.write_str("nil"),
            Value::Str(text) | Value::Keyword(text) => f.write_str(text),
            other => {
                let mut out = Vec::new();
                json::write_value(&mut out, other);
                f.write_str(&String::from_utf8_lossy(&out))
            }
        }
    }
}
