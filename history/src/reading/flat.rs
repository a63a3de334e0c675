//! Transactions of integers in flat arrays: those of a chunk, or of a file, one after the other.
//!
//! No value and no micro-operation is allocated by itself: a micro-operation takes sixteen bytes, an item of a list four.

use crate::history::{MicroF, ValueId};
use crate::value::{Key, Mop, Value};

/// A micro-operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Flat {
    pub key: i64,
    /// The number of the value, which is a small integer or nothing; of a list, how many items it has.
    pub value: u32,
    pub f: MicroF,
    pub is_list: bool,
}

/// The micro-operations of many transactions, and the items of the lists they read, both in order.
#[derive(Debug, Default)]
pub(crate) struct Flats {
    micros: Vec<Flat>,
    items: Vec<ValueId>,
}

/// How far the arrays are filled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mark {
    pub micros: usize,
    pub items: usize,
}

/// One transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlatTxn<'a> {
    pub micros: &'a [Flat],
    /// Begins with the items of its lists.
    pub items: &'a [ValueId],
}

impl Flats {
    pub(crate) fn clear(&mut self) {
        self.micros.clear();
        self.items.clear();
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { micros: self.micros.len(), items: self.items.len() }
    }

    /// Forgets what came after the mark.
    pub(crate) fn rewind(&mut self, mark: Mark) {
        self.micros.truncate(mark.micros);
        self.items.truncate(mark.items);
    }

    /// Adds a micro-operation with one value.
    #[inline]
    pub(crate) fn one(&mut self, f: MicroF, key: i64, value: ValueId) {
        self.micros.push(Flat { key, value: value.number(), f, is_list: false });
    }

    /// Adds an item of a list that is being read.
    #[inline]
    pub(crate) fn item(&mut self, item: ValueId) {
        self.items.push(item);
    }

    /// Adds a read of the list of the items since there. `None`: there are too many.
    #[inline]
    pub(crate) fn list(&mut self, key: i64, items_start: usize) -> Option<()> {
        let value = u32::try_from(self.items.len() - items_start).ok()?;
        self.micros.push(Flat { key, value, f: MicroF::Read, is_list: true });
        Some(())
    }

    pub(crate) fn items_len(&self) -> usize {
        self.items.len()
    }

    /// The transaction of so many micro-operations that begins there.
    #[inline]
    pub(crate) fn txn(&self, start: Mark, micros_count: usize) -> FlatTxn<'_> {
        let micros = self.micros.get(start.micros..start.micros.saturating_add(micros_count)).unwrap_or_default();
        FlatTxn { micros, items: self.items.get(start.items..).unwrap_or_default() }
    }
}

impl<'a> FlatTxn<'a> {
    /// Each micro-operation with the items of its list, if it is a read of one.
    #[inline]
    pub(crate) fn micros(self) -> impl Iterator<Item = (Flat, Option<&'a [ValueId]>)> {
        let mut items = self.items;
        self.micros.iter().map(move |&flat| {
            let list = flat.is_list.then(|| {
                let (list, rest) = items.split_at((flat.value as usize).min(items.len()));
                items = rest;
                list
            });
            (flat, list)
        })
    }

    /// The transaction as a value.
    pub(crate) fn value(self) -> Value {
        let value = |id: ValueId| if id == ValueId::NIL { Value::Nil } else { Value::Int(i64::from(id.number())) };
        let mop = |(flat, list): (Flat, Option<&[ValueId]>)| {
            let f = match flat.f {
                MicroF::Append => "append",
                MicroF::Read => "r",
                MicroF::Write | MicroF::Other => "w",
            };
            let read = match list {
                Some(ids) => Value::list(ids.iter().map(|&id| value(id)).collect()),
                None => value(ValueId::from_number(flat.value)),
            };
            Mop::new(f, Key::Int(flat.key), read)
        };
        Value::Txn(Box::new(self.micros().map(mop).collect()))
    }
}
