//! Values of events, four bytes each: equal values have one number, and a small integer is its own.

use std::hash::{Hash, Hasher};
use std::ops::Deref;

use hashbrown::HashTable;
use rustc_hash::{FxHashMap, FxHasher};

use super::txns::{MicroF, TxnRef, TxnWriter, Txns};
use crate::reading::flat::FlatTxn;
use crate::value::{Mop, Value};

/// Numbers from here on are places in the table; those below are the integer itself.
const TABLE: u32 = 1 << 31;
/// Numbers from here on are transactions.
const TXN: u32 = 3 << 30;

/// The number of a value in its history. Two values of one history have the same number if and only if they are the same:
/// of one type and one content (`1` and `1.0` differ, as do a text and a keyword, and `0.0` and `-0.0`; a NaN is itself).
/// Transactions are the exception: each has a number of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(u32);

impl ValueId {
    /// Nothing.
    pub const NIL: ValueId = ValueId(TABLE);

    /// The number of an integer from 0 to 2^31 - 1, which is the same in every history.
    pub fn of_small(number: u32) -> Option<ValueId> {
        (number < TABLE).then_some(ValueId(number))
    }

    pub(crate) fn from_number(number: u32) -> ValueId {
        ValueId(number)
    }

    /// The number itself, to sort and to hash by.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// A value of a history: a reference, or one made anew. Use it as a [`Value`].
#[derive(Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// Stands in the history.
    Borrowed(&'a Value),
    /// A small integer, or a transaction.
    Made(Value),
}

impl Deref for ValueRef<'_> {
    type Target = Value;

    fn deref(&self) -> &Value {
        match self {
            ValueRef::Borrowed(value) => value,
            ValueRef::Made(value) => value,
        }
    }
}

/// The column: numbers, and the values that are no small integers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Values {
    ids: Vec<ValueId>,
    table: Vec<Value>,
    /// Of lists of two values, by their place in the table: the values' numbers. Not of two small integers.
    parts: FxHashMap<u32, [ValueId; 2]>,
    txns: Txns,
}

impl Default for Values {
    fn default() -> Values {
        Values { ids: Vec::new(), table: vec![Value::Nil], parts: FxHashMap::default(), txns: Txns::default() }
    }
}

impl Values {
    pub(super) fn id(&self, place: usize) -> ValueId {
        self.ids[place]
    }

    pub(super) fn of(&self, id: ValueId) -> ValueRef<'_> {
        match id.0 {
            number @ TXN.. => ValueRef::Made(self.txns.value(number - TXN, |id| (*self.of(id)).clone())),
            place @ TABLE.. => ValueRef::Borrowed(&self.table[(place - TABLE) as usize]),
            number => ValueRef::Made(Value::Int(i64::from(number))),
        }
    }

    pub(super) fn txn(&self, id: ValueId) -> Option<TxnRef<'_>> {
        id.0.checked_sub(TXN).map(|number| self.txns.txn(number))
    }

    pub(super) fn txns(&self) -> &Txns {
        &self.txns
    }

    /// Adds nothing to the column.
    #[inline]
    pub(super) fn push_nil(&mut self) {
        self.ids.push(ValueId::NIL);
    }

    /// Adds an integer that is its own number; whether it is one.
    #[inline]
    pub(super) fn push_small(&mut self, number: i64) -> bool {
        let id = small(number);
        self.ids.extend(id);
        id.is_some()
    }

    /// The numbers of the two values of a list of two.
    pub(super) fn parts(&self, id: ValueId) -> Option<[ValueId; 2]> {
        let place = id.0.checked_sub(TABLE).filter(|_| id.0 < TXN)?;
        if let Value::Pair([a, b]) = self.table[place as usize]
            && let (Some(a), Some(b)) = (small(a), small(b))
        {
            return Some([a, b]);
        }
        self.parts.get(&place).copied()
    }

    /// Whether a further event finds room whose value, if it is no transaction, may be a list of two new ones.
    pub(super) fn has_room(&self) -> bool {
        self.table.len() < (TXN - TABLE) as usize - 3
    }

    /// Whether an event with this value finds room.
    pub(super) fn has_room_for(&self, value: &Value) -> bool {
        let Value::Txn(mops) = value else { return self.has_room() };
        let items = |mop: &Mop| match &mop.value {
            Value::List(items) => items.len(),
            _ => 2,
        };
        let items_count: usize = mops.iter().map(items).sum();
        self.txns.has_room(mops.len(), items_count)
            && self.txns.len() < (u32::MAX - TXN) as usize
            && self.table.len().saturating_add(3 * (mops.len() + items_count)) < (TXN - TABLE) as usize
    }

    /// Whether an event with this transaction finds room.
    #[inline]
    pub(super) fn has_room_for_flat(&self, txn: FlatTxn<'_>) -> bool {
        let items_count: usize = txn.micros.iter().filter(|flat| flat.is_list).map(|flat| flat.value as usize).sum();
        self.txns.has_room(txn.micros.len(), items_count) && self.txns.len() < (u32::MAX - TXN) as usize
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let heap: usize = self.table.iter().map(Value::heap_bytes).sum();
        self.ids.len() * size_of::<ValueId>()
            + self.table.len() * size_of::<Value>()
            + self.parts.len() * 16
            + heap
            + self.txns.memory_bytes()
    }

    pub(super) fn shrink(&mut self) {
        self.ids.shrink_to_fit();
        self.table.shrink_to_fit();
        self.txns.shrink();
    }
}

/// Gives values their numbers while a history is built.
#[derive(Debug, Default)]
pub(super) struct Interner {
    /// Places in the table, by the value's hash.
    places: HashTable<u32>,
    txns: TxnWriter,
    /// The list that is being taken.
    items: Vec<ValueId>,
}

impl Interner {
    /// Adds a value to the column. It is likely to be the one of the event `like`, its invocation.
    pub(super) fn push(&mut self, values: &mut Values, value: Value, like: Option<u32>) {
        let id = match value {
            value @ (Value::Nil | Value::Int(_)) => self.number(values, value),
            Value::Txn(mops) => self.txn(values, *mops, like),
            value => match like.map(|place| values.ids[place as usize]) {
                Some(id) if is_same(&values.of(id), &value) => id,
                _ => self.number(values, value),
            },
        };
        values.ids.push(id);
    }

    /// [`Interner::push`] of a transaction of integers, for which there is room.
    #[inline]
    pub(super) fn push_flat(&mut self, values: &mut Values, txn: FlatTxn<'_>, like: Option<u32>) {
        for (flat, list) in txn.micros() {
            let key = self.txns.key_number(&mut values.txns, flat.key);
            match list {
                Some(ids) => self.txns.list(&mut values.txns, key, ids),
                None => self.txns.one(&mut values.txns, flat.f, key, ValueId(flat.value)),
            }
        }
        let id = self.end(values, like);
        values.ids.push(id);
    }

    fn txn(&mut self, values: &mut Values, mops: Vec<Mop>, like: Option<u32>) -> ValueId {
        for mop in mops {
            let f = match &*mop.f {
                "append" => MicroF::Append,
                "r" => MicroF::Read,
                "w" => MicroF::Write,
                _ => {
                    self.txns.other(&mut values.txns, mop);
                    continue;
                }
            };
            let key = self.txns.key(&mut values.txns, &mop.key);
            match (f, mop.value) {
                (MicroF::Read, Value::Pair([a, b])) => self.list(values, key, [Value::Int(a), Value::Int(b)]),
                (MicroF::Read, Value::List(items)) => self.list(values, key, *items),
                (_, value) => {
                    let id = self.number(values, value);
                    self.txns.one(&mut values.txns, f, key, id);
                }
            }
        }
        self.end(values, like)
    }

    /// Ends the open transaction, which is likely to be that of the event `like`.
    fn end(&mut self, values: &mut Values, like: Option<u32>) -> ValueId {
        let like = like.and_then(|place| values.ids[place as usize].0.checked_sub(TXN));
        ValueId(TXN + self.txns.end(&mut values.txns, like))
    }

    fn list(&mut self, values: &mut Values, key: u32, items: impl IntoIterator<Item = Value>) {
        let mut ids = std::mem::take(&mut self.items);
        ids.clear();
        ids.extend(items.into_iter().map(|item| self.number(values, item)));
        self.txns.list(&mut values.txns, key, &ids);
        self.items = ids;
    }

    fn number(&mut self, values: &mut Values, value: Value) -> ValueId {
        match value {
            Value::Nil => return ValueId::NIL,
            Value::Int(number) => {
                if let Some(id) = small(number) {
                    return id;
                }
            }
            _ => {}
        }
        // There is room: a history has fewer than 2^32 events, half of them completions.
        let parts = match &value {
            Value::Pair([a, b]) if small(*a).is_none() || small(*b).is_none() => Some([Value::Int(*a), Value::Int(*b)]),
            Value::List(items) => <&[Value; 2]>::try_from(items.as_slice()).ok().cloned(),
            _ => None,
        };
        let before = values.table.len();
        let id = self.place(&mut values.table, value);
        if let Some(parts) = parts
            && values.table.len() > before
        {
            let parts = parts.map(|part| self.number(values, part));
            values.parts.insert(id.0 - TABLE, parts);
        }
        id
    }

    fn place(&mut self, table: &mut Vec<Value>, value: Value) -> ValueId {
        let next = table.len() as u32;
        let is_here = |&place: &u32| is_same(&table[place as usize], &value);
        if let Some(&place) = self.places.find(hash(&value), is_here) {
            return ValueId(TABLE + place);
        }
        self.places.insert_unique(hash(&value), next, |&place| hash(&table[place as usize]));
        table.push(value);
        ValueId(TABLE + next)
    }
}

fn small(number: i64) -> Option<ValueId> {
    u32::try_from(number).ok().and_then(ValueId::of_small)
}

fn hash(value: &Value) -> u64 {
    let mut hasher = FxHasher::default();
    feed(value, &mut hasher);
    hasher.finish()
}

fn feed(value: &Value, hasher: &mut FxHasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        Value::Nil => {}
        Value::Bool(flag) => flag.hash(hasher),
        Value::Int(number) => number.hash(hasher),
        Value::Float(number) => number.to_bits().hash(hasher),
        Value::Big(digits) => digits.hash(hasher),
        Value::Pair(pair) => pair.hash(hasher),
        Value::Str(text) | Value::Keyword(text) => text.hash(hasher),
        Value::List(items) | Value::Set(items) => {
            items.len().hash(hasher);
            items.iter().for_each(|item| feed(item, hasher));
        }
        Value::Map(entries) => {
            entries.len().hash(hasher);
            entries.iter().for_each(|(name, item)| {
                feed(name, hasher);
                feed(item, hasher);
            });
        }
        Value::Txn(mops) => mops.len().hash(hasher),
    }
}

/// Whether two values are of one type and content, floats bit by bit.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::List(a), Value::List(b)) | (Value::Set(a), Value::Set(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| is_same(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| is_same(&a.0, &b.0) && is_same(&a.1, &b.1))
        }
        (Value::Txn(a), Value::Txn(b)) => {
            let mops = a.iter().zip(b.iter());
            a.len() == b.len() && { mops }.all(|(a, b)| a.f == b.f && a.key == b.key && is_same(&a.value, &b.value))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[Value]) -> (Values, Vec<u32>) {
        let (mut column, mut interner) = (Values::default(), Interner::default());
        for value in values {
            interner.push(&mut column, value.clone(), None);
        }
        let ids = (0..values.len()).map(|place| column.id(place).number()).collect();
        (column, ids)
    }

    #[test]
    fn values_come_back_and_equal_ones_have_one_number() {
        let all = [
            Value::Nil,
            Value::Bool(false),
            Value::Bool(true),
            Value::Int(0),
            Value::Int(-1),
            Value::Int(0x7fff_ffff),
            Value::Int(0x8000_0000),
            Value::Int(i64::MIN),
            Value::Float(0.0),
            Value::Float(-0.0),
            Value::Float(1.0),
            Value::Float(f64::NAN),
            Value::Big("18446744073709551616".into()),
            Value::Pair([1, 2]),
            Value::Pair([2, 1]),
            Value::str("1"),
            Value::Keyword("1".into()),
            Value::list(vec![Value::Int(1)]),
            Value::list(vec![Value::Float(f64::NAN)]),
            Value::list(vec![]),
            Value::Set(Box::default()),
            Value::Map(Box::default()),
            Value::Map(Box::new(vec![(Value::str("a"), Value::Nil)])),
            Value::Map(Box::new(vec![(Value::Keyword("a".into()), Value::Nil)])),
        ];
        let twice: Vec<Value> = all.iter().chain(&all).cloned().collect();
        let (column, ids) = of(&twice);
        for (place, value) in twice.iter().enumerate() {
            assert!(is_same(&column.of(column.id(place)), value), "{value:?}");
        }
        assert_eq!(ids[..all.len()], ids[all.len()..]);
        let mut distinct = ids.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), all.len(), "different values have different numbers");
    }

    #[test]
    fn lists_of_two_know_their_parts() {
        let list = |items: &[Value]| Value::list(items.to_vec());
        let inner = list(&[Value::str("x"), Value::Nil]);
        let cases = [
            (Value::Pair([1, 2]), Some([Value::Int(1), Value::Int(2)])),
            (Value::Pair([-1, i64::MAX]), Some([Value::Int(-1), Value::Int(i64::MAX)])),
            (inner.clone(), Some([Value::str("x"), Value::Nil])),
            (list(&[inner.clone(), Value::Int(3)]), Some([inner, Value::Int(3)])),
            (list(&[Value::str("x")]), None),
            (Value::Nil, None),
            (Value::Int(7), None),
        ];
        let values: Vec<Value> = cases.iter().map(|(value, _)| value.clone()).collect();
        let (column, _) = of(&[values.clone(), values].concat());
        for (place, (value, parts)) in cases.iter().chain(&cases).enumerate() {
            let found = column.parts(column.id(place)).map(|parts| parts.map(|part| (*column.of(part)).clone()));
            assert_eq!(found, *parts, "{value:?}");
        }
    }

    #[test]
    fn a_completion_with_its_invocations_value_takes_its_number() {
        let (mut column, mut interner) = (Values::default(), Interner::default());
        let txn = |text: &str| {
            crate::json::shaped(&crate::op::F::Txn, crate::Value::from_json(&serde_json::from_str(text).unwrap()))
        };
        let first = txn(r#"[["append",1,2]]"#);
        assert!(matches!(first, Value::Txn(_)));
        interner.push(&mut column, first.clone(), None);
        interner.push(&mut column, first.clone(), Some(0));
        interner.push(&mut column, txn(r#"[["append",1,3]]"#), Some(0));
        interner.push(&mut column, first, None);
        let ids: Vec<u32> = (0..4).map(|place| column.id(place).number() - TXN).collect();
        assert_eq!(ids, [0, 0, 1, 2]);
    }
}
