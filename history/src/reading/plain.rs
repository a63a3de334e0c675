//! Events in their small form: clients' operations on integers and transactions of them, which is nearly all of a large
//! history.
//!
//! What does not fit is read as an [`Op`]. An event that fits means the same either way; tests compare.

use super::flat::{FlatTxn, Flats, Mark};
use crate::op::{F, Kind, Node, Op, Process};
use crate::value::{Key, Value};

/// Most names of functions, and of nodes, that one list holds; others are read as rows.
const NAMES_MAX: usize = 64;

/// No name.
pub(crate) const NO_NAME: u16 = u16::MAX;

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nothing.
    Nil,
    /// `a`
    Int,
    /// `[a b]`
    Pair,
    /// `[first nil]`, where `first` may turn out to be the key.
    FirstAndNil,
    /// `[first [a b]]`
    FirstAndPair,
    /// A transaction: `b` micro-operations of [`Names::flats`] from `a` on, with the items of their lists from
    /// `items` on.
    Txn,
}

/// An event of a client: no error, no rare field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plain {
    /// Zero if the text has none.
    pub time_ns: u64,
    /// The key, or the first of a value that has one.
    pub first: i64,
    pub a: i64,
    pub b: i64,
    /// Of a transaction: see [`Shape::Txn`].
    pub items: usize,
    /// Where it begins and ends in its chunk.
    pub at: u32,
    pub end: u32,
    pub process: u32,
    /// Places in the lists of names; [`NO_NAME`] if the event has no node.
    pub f: u16,
    pub node: u16,
    pub kind: Kind,
    pub shape: Shape,
    pub matched: Option<bool>,
    pub has_time: bool,
    pub has_key: bool,
}

impl Plain {
    /// An event of which nothing is known yet.
    pub(crate) const NEW: Plain = Plain {
        time_ns: 0,
        first: 0,
        a: 0,
        b: 0,
        items: 0,
        at: 0,
        end: 0,
        process: 0,
        f: NO_NAME,
        node: NO_NAME,
        kind: Kind::Invoke,
        shape: Shape::Nil,
        matched: None,
        has_time: false,
        has_key: false,
    };

    /// Takes the key out of a value that is a tuple of a key and a value; whether it is one.
    pub(crate) fn split(&mut self) -> bool {
        match self.shape {
            Shape::Pair => {
                (self.first, self.a) = (self.a, self.b);
                self.shape = Shape::Int;
            }
            Shape::FirstAndNil => self.shape = Shape::Nil,
            Shape::FirstAndPair => self.shape = Shape::Pair,
            Shape::Nil | Shape::Int | Shape::Txn => return false,
        }
        self.has_key = true;
        true
    }

    /// Makes it the transaction of the micro-operations since the mark.
    pub(crate) fn set_txn(&mut self, flats: &Flats, start: Mark) {
        self.shape = Shape::Txn;
        self.items = start.items;
        self.a = start.micros as i64;
        self.b = (flats.mark().micros - start.micros) as i64;
    }
}

/// A name and its number in the history, once it has one.
#[derive(Debug)]
struct Name<T> {
    item: T,
    /// Its text and length in one word, if it is short.
    short: Option<u64>,
    number: Option<u16>,
}

/// A text of at most seven bytes and its length in one word, which are compared at once.
#[inline]
fn short(text: &[u8]) -> Option<u64> {
    let word = |text: &[u8]| text.iter().fold(text.len() as u64, |word, &byte| word << 8 | u64::from(byte));
    (text.len() <= 7).then(|| word(text))
}

/// What events in their small form speak of: names, and the transactions of their chunk.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub flats: Flats,
    functions: Vec<Name<F>>,
    nodes: Vec<Name<Node>>,
}

impl Names {
    /// The place of a function; `None` if there is no room for it or it is no text.
    pub(crate) fn function(&mut self, name: &[u8]) -> Option<u16> {
        place(&mut self.functions, name, F::as_str, F::parse)
    }

    /// The place of a node; `None` if there is no room for it or it is no text.
    pub(crate) fn node(&mut self, name: &[u8]) -> Option<u16> {
        place(&mut self.nodes, name, Node::as_str, Node::new)
    }

    pub(crate) fn f(&self, plain: &Plain) -> &F {
        self.functions.get(usize::from(plain.f)).map_or(&F::Read, |name| &name.item)
    }

    /// The transaction of an event that is one.
    #[inline]
    pub(crate) fn txn(&self, plain: &Plain) -> FlatTxn<'_> {
        let start = Mark { micros: plain.a as usize, items: plain.items };
        self.flats.txn(start, plain.b as usize)
    }

    /// An event's value.
    pub(crate) fn value(&self, plain: &Plain) -> Value {
        let first = Value::Int(plain.first);
        match plain.shape {
            Shape::Nil => Value::Nil,
            Shape::Int => Value::Int(plain.a),
            Shape::Pair => Value::Pair([plain.a, plain.b]),
            Shape::FirstAndNil => Value::list(vec![first, Value::Nil]),
            Shape::FirstAndPair => Value::list(vec![first, Value::Pair([plain.a, plain.b])]),
            Shape::Txn => self.txn(plain).value(),
        }
    }

    /// Whether an event that is one or not may be: only a transaction's value is a list of micro-operations. One without
    /// a function is given that of transactions.
    #[inline]
    pub(crate) fn settle_txn(&mut self, plain: &mut Plain, has_f: bool) -> bool {
        if plain.shape != Shape::Txn {
            return has_f;
        }
        if has_f {
            return *self.f(plain) == F::Txn;
        }
        match self.function(b"txn") {
            Some(f) => {
                plain.f = f;
                true
            }
            _ => false,
        }
    }

    /// The history's numbers of an event's function and node; `none` stands for no node. `None` if they are not known.
    pub(crate) fn numbers(&self, plain: &Plain, none: u16) -> Option<(u16, u16)> {
        let f = self.functions.get(usize::from(plain.f))?.number?;
        let node = if plain.node == NO_NAME { none } else { self.nodes.get(usize::from(plain.node))?.number? };
        Some((f, node))
    }

    /// Tells the numbers of an event's function and node.
    pub(crate) fn learn(&mut self, plain: &Plain, f: u16, node: u16) {
        if let Some(name) = self.functions.get_mut(usize::from(plain.f)) {
            name.number = Some(f);
        }
        if let Some(name) = self.nodes.get_mut(usize::from(plain.node)) {
            name.number = Some(node);
        }
    }

    /// The event as a row.
    pub(crate) fn op(&self, plain: &Plain) -> Op {
        let mut op = Op::new(Process::Client(plain.process), plain.kind, self.f(plain).clone(), self.value(plain));
        op.time_ns = plain.time_ns;
        op.key = plain.has_key.then_some(Key::Int(plain.first));
        op.node = self.nodes.get(usize::from(plain.node)).map(|name| name.item.clone());
        op.matched = plain.matched;
        op
    }
}

#[inline]
fn place<T>(names: &mut Vec<Name<T>>, text: &[u8], of: fn(&T) -> &str, new: fn(&str) -> T) -> Option<u16> {
    let word = short(text);
    let here = match word {
        Some(_) => names.iter().position(|known| known.short == word),
        None => names.iter().position(|known| of(&known.item).as_bytes() == text),
    };
    let place = match here {
        Some(place) => place,
        None if names.len() < NAMES_MAX => {
            names.push(Name { item: new(std::str::from_utf8(text).ok()?), short: word, number: None });
            names.len() - 1
        }
        None => return None,
    };
    u16::try_from(place).ok()
}
