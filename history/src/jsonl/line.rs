//! One line to one event. Written for the plain shape, right for every shape.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{FIELDS, SCHEMA};
use crate::json::{self, Cursor, DEPTH_MAX, Trouble};
use crate::op::{F, Fields, Kind, Node, Op, Process};
use crate::value::{Key, Mop, Value};

/// Parses lines; names that were seen before cost nothing again.
#[derive(Default)]
pub(super) struct Parser {
    scratch: Vec<u8>,
    names: FxHashMap<Box<str>, Arc<str>>,
    nodes: FxHashMap<Box<str>, Node>,
}

/// What an event without a function lacks.
const NO_F: &str = "the field `f`, which only a transaction needs not (a list of [function, key, value], each key an integer or a text)";

/// The bit of `time` in [`Draft::seen`].
const TIME: u16 = 1 << 1;

/// What is known of an event so far. `seen` has a bit for each of [`FIELDS`].
struct Draft {
    seen: u16,
    process: Option<Process>,
    kind: Option<Kind>,
    f: Option<F>,
    op: Op,
}

impl Parser {
    /// What the head of a file says: whether it has real time. `None` if the line is none: its first field is another than
    /// `schema_version`, or it has a field that no head has.
    pub(super) fn head(&mut self, line: &[u8], start: usize) -> Result<Option<bool>, Trouble> {
        let mut cursor = Cursor { bytes: line, at: start };
        cursor.skip_blanks();
        if !cursor.eat(b'{') {
            return Ok(None);
        }
        cursor.skip_blanks();
        if cursor.peek() != Some(b'"') || cursor.string(&mut self.scratch)? != "schema_version" {
            return Ok(None);
        }
        colon(&mut cursor)?;
        if !cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Ok(None);
        }
        let at = cursor.at;
        let expected = "`schema_version`: 1, the format that this schism reads";
        let schema = cursor.unsigned(expected)?;
        let mut has_realtime = true;
        cursor.skip_blanks();
        while cursor.eat(b',') {
            cursor.skip_blanks();
            if cursor.string(&mut self.scratch)? != "realtime" {
                return Ok(None);
            }
            colon(&mut cursor)?;
            let at = cursor.at;
            let expected = "`realtime`: true or false";
            let Value::Bool(said) = cursor.value(DEPTH_MAX, &mut self.scratch)? else {
                return Err(Trouble { at, expected, end: false });
            };
            has_realtime = said;
            cursor.skip_blanks();
        }
        cursor.expect(b'}', "a comma and the next field, or the end of the head")?;
        cursor.skip_blanks();
        if cursor.peek().is_some() {
            return Err(cursor.trouble("the end of the line after the head"));
        }
        if schema != SCHEMA {
            return Err(Trouble { at, expected, end: false });
        }
        Ok(Some(has_realtime))
    }

    /// The event of a line, read from byte `start` on, and whether it has a time.
    pub(super) fn event(&mut self, line: &[u8], start: usize) -> Result<(Op, bool), Trouble> {
        let mut cursor = Cursor { bytes: line, at: start };
        let op = Op::new(Process::Client(0), Kind::Invoke, F::Read, Value::Nil);
        let mut draft = Draft { seen: 0, process: None, kind: None, f: None, op };
        cursor.skip_blanks();
        cursor.expect(b'{', "an event: a JSON object on a line of its own")?;
        cursor.skip_blanks();
        while !cursor.eat(b'}') {
            self.field(&mut cursor, &mut draft)?;
            cursor.skip_blanks();
            if !cursor.eat(b',') {
                cursor.expect(b'}', "a comma and the next field, or the end of the event")?;
                break;
            }
            cursor.skip_blanks();
            if cursor.peek() == Some(b'}') {
                return Err(cursor.trouble("a field after the comma"));
            }
        }
        let end = cursor.at;
        cursor.skip_blanks();
        if cursor.peek().is_some() {
            return Err(cursor.trouble("the end of the line after an event"));
        }
        let has_time = draft.seen & TIME != 0;
        Ok((draft.finish(end)?, has_time))
    }

    fn field(&mut self, cursor: &mut Cursor<'_>, draft: &mut Draft) -> Result<(), Trouble> {
        let at = cursor.at;
        let name = cursor.string(&mut self.scratch)?;
        let Some(place) = field_place(name) else {
            let name = self.name(cursor, at)?;
            colon(cursor)?;
            return self.extra(cursor, draft, name, at);
        };
        if draft.seen & 1 << place != 0 {
            return Err(Trouble { at, expected: "each field once", end: false });
        }
        draft.seen |= 1 << place;
        colon(cursor)?;
        let value_at = cursor.at;
        match place {
            0 => drop(cursor.unsigned("`index`: an integer from 0")?),
            1 => {
                draft.op.time_ns =
                    cursor.unsigned("`time`: nanoseconds since the start of the run, an integer from 0")?
            }
            2 => draft.process = Some(self.process(cursor)?),
            3 => {
                let expected = "`type`: \"invoke\", \"ok\", \"fail\" or \"info\"";
                let kind = text(cursor, &mut self.scratch, expected)?;
                draft.kind = Some(Kind::parse(kind).ok_or(Trouble { at: value_at, expected, end: false })?);
            }
            4 => draft.f = Some(self.function(cursor)?),
            5 => draft.op.key = self.key(cursor)?,
            6 => draft.op.value = cursor.value(DEPTH_MAX, &mut self.scratch)?,
            7 => draft.op.node = self.node(cursor)?,
            8 => {
                draft.op.matched = match cursor.value(DEPTH_MAX, &mut self.scratch)? {
                    Value::Bool(matched) => Some(matched),
                    Value::Nil => None,
                    _ => return Err(Trouble { at: value_at, expected: "`matched`: true or false", end: false }),
                }
            }
            9 => draft.op.fault_id = number32(cursor, "`fault_id`: an integer from 0, below 4294967296")?,
            10 => draft.op.session = number32(cursor, "`session`: an integer from 0, below 4294967296")?,
            _ => draft.op.error = Some(Box::new(cursor.value(DEPTH_MAX, &mut self.scratch)?)),
        }
        Ok(())
    }

    /// The name that was just read, shared.
    fn name(&mut self, cursor: &Cursor<'_>, at: usize) -> Result<Arc<str>, Trouble> {
        let name = Cursor { at, ..*cursor }.string(&mut self.scratch)?;
        Ok(shared(&mut self.names, name))
    }

    fn extra(&mut self, cursor: &mut Cursor<'_>, draft: &mut Draft, name: Arc<str>, at: usize) -> Result<(), Trouble> {
        let value = cursor.value(DEPTH_MAX, &mut self.scratch)?;
        let name = match name.strip_prefix("extra.") {
            Some(plain) if is_escaped(plain) => shared(&mut self.names, plain),
            _ => name,
        };
        let extra: &mut Fields = draft.op.extra.get_or_insert_default();
        if extra.iter().any(|(other, _)| *other == name) {
            return Err(Trouble { at, expected: "each field once", end: false });
        }
        if extra.len() == json::EXTRA_MAX {
            return Err(Trouble { at, expected: "at most 1024 fields that are not schism's own", end: false });
        }
        extra.push((name, value));
        Ok(())
    }

    fn process(&mut self, cursor: &mut Cursor<'_>) -> Result<Process, Trouble> {
        let expected = "`process`: an integer from 0, below 4294967296, \"nemesis\" or \"nemesis/<class>\"";
        let at = cursor.at;
        if cursor.peek() != Some(b'"') {
            return match number32(cursor, expected)? {
                Some(number) => Ok(Process::Client(number)),
                None => Err(Trouble { at, expected, end: false }),
            };
        }
        let name = cursor.string(&mut self.scratch)?;
        let class = match name.strip_prefix("nemesis") {
            Some("") => Some(""),
            Some(rest) => rest.strip_prefix('/').filter(|class| !class.is_empty()),
            None => None,
        };
        let class = class.ok_or(Trouble { at, expected, end: false })?;
        Ok(Process::Nemesis(shared(&mut self.names, class)))
    }

    fn function(&mut self, cursor: &mut Cursor<'_>) -> Result<F, Trouble> {
        let name = text(cursor, &mut self.scratch, "`f`: the function's name, a string")?;
        Ok(F::common(name).unwrap_or_else(|| F::Other(shared(&mut self.names, name))))
    }

    fn key(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<Key>, Trouble> {
        let at = cursor.at;
        match cursor.peek() {
            Some(b'"') => {
                let name = cursor.string(&mut self.scratch)?;
                Ok(Some(Key::Str(shared(&mut self.names, name))))
            }
            _ => match cursor.value(DEPTH_MAX, &mut self.scratch)? {
                Value::Int(number) => Ok(Some(Key::Int(number))),
                Value::Nil => Ok(None),
                _ => Err(Trouble { at, expected: "`key`: an integer of 64 bits or a string", end: false }),
            },
        }
    }

    fn node(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<Node>, Trouble> {
        if cursor.peek() == Some(b'n') {
            return cursor.word("null").map(|()| None);
        }
        let name = text(cursor, &mut self.scratch, "`node`: the node's name, a string")?;
        if let Some(node) = self.nodes.get(name) {
            return Ok(Some(node.clone()));
        }
        let node = Node::new(name);
        self.nodes.insert(Box::from(name), node.clone());
        Ok(Some(node))
    }
}

impl Draft {
    /// The event; what is missing is missed at byte `end`, before its closing brace.
    fn finish(self, end: usize) -> Result<Op, Trouble> {
        let missing = |expected| Trouble { at: end.saturating_sub(1), expected, end: false };
        let mut op = self.op;
        op.process = self.process.ok_or_else(|| missing("the field `process`"))?;
        op.kind = self.kind.ok_or_else(|| missing("the field `type`"))?;
        op.f = match self.f {
            Some(f) => f,
            None if Mop::are_shaped(&op.value) => F::Txn,
            None => return Err(missing(NO_F)),
        };
        op.value = json::shaped(&op.f, op.value);
        Ok(op)
    }
}

/// Whether an extra field of that name is written with `extra.` before it.
pub(super) fn is_escaped(name: &str) -> bool {
    FIELDS.contains(&name) || name.strip_prefix("extra.").is_some_and(is_escaped)
}

fn field_place(name: &str) -> Option<u8> {
    Some(match name {
        "index" => 0,
        "time" => 1,
        "process" => 2,
        "type" => 3,
        "f" => 4,
        "key" => 5,
        "value" => 6,
        "node" => 7,
        "matched" => 8,
        "fault_id" => 9,
        "session" => 10,
        "error" => 11,
        _ => return None,
    })
}

fn colon(cursor: &mut Cursor<'_>) -> Result<(), Trouble> {
    cursor.skip_blanks();
    cursor.expect(b':', "a colon after a field's name")?;
    cursor.skip_blanks();
    Ok(())
}

fn text<'s, 'a: 's>(
    cursor: &mut Cursor<'a>,
    scratch: &'s mut Vec<u8>,
    expected: &'static str,
) -> Result<&'s str, Trouble> {
    if cursor.peek() == Some(b'"') { cursor.string(scratch) } else { Err(cursor.trouble(expected)) }
}

fn number32(cursor: &mut Cursor<'_>, expected: &'static str) -> Result<Option<u32>, Trouble> {
    if cursor.peek() == Some(b'n') {
        return cursor.word("null").map(|()| None);
    }
    let at = cursor.at;
    let number = cursor.unsigned(expected)?;
    u32::try_from(number).map(Some).map_err(|_| Trouble { at, expected, end: false })
}

fn shared(names: &mut FxHashMap<Box<str>, Arc<str>>, name: &str) -> Arc<str> {
    if let Some(name) = names.get(name) {
        return name.clone();
    }
    let name: Arc<str> = Arc::from(name);
    names.insert(Box::from(&*name), name.clone());
    name
}
