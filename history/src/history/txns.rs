//! Transactions, eight bytes a micro-operation.
//!
//! A list that was read is nearly always a prefix of what others read of the same key, so each key has one list, the
//! longest that was read so far, and a read of a prefix of it is kept as its length. Lists that are none (the database
//! answered something else) are kept apart, whole.

use crate::value::{Key, Mop, Value};

use super::ids::Ids;
use super::values::ValueId;

/// The lower bits of a micro-operation's first word are its key, the upper four what it is.
const KEY_BITS: u32 = 28;
const KEYS_MAX: usize = 1 << KEY_BITS;
const KEY_MASK: u32 = KEYS_MAX as u32 - 1;

/// What a micro-operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MicroF {
    /// `append`: adds to the end of the key's list.
    Append,
    /// `r`: reads the key.
    Read,
    /// `w`: writes the key.
    Write,
    /// Something else; see [`MicroValue::Other`].
    Other,
}

/// What a micro-operation carries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MicroValue<'a> {
    /// What is written or appended, or a value read that is no list ([`ValueId::NIL`] for nothing, or before the answer).
    One(ValueId),
    /// A list read: so many elements of the key's list ([`TxnRef::list_of`]) from its beginning.
    Prefix(u32),
    /// A list read that is no prefix of the key's list and does not begin with it.
    Deviant(&'a [ValueId]),
    /// The whole micro-operation, where its function has no number.
    Other(&'a Mop),
}

/// A micro-operation of a transaction of a history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Micro<'a> {
    /// What it does.
    pub f: MicroF,
    /// The dense number of its key among those of transactions ([`History::txn_keys`](super::History::txn_keys)).
    pub key: u32,
    /// What it carries.
    pub value: MicroValue<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Packed {
    key: u32,
    value: u32,
}

const ONE: u32 = 0;
const PREFIX: u32 = 1;
const DEVIANT: u32 = 2;

impl Packed {
    fn new(f: MicroF, shape: u32, key: u32, value: u32) -> Packed {
        Packed { key: key | (f as u32) << 30 | shape << KEY_BITS, value }
    }

    fn f(self) -> MicroF {
        match self.key >> 30 {
            0 => MicroF::Append,
            1 => MicroF::Read,
            2 => MicroF::Write,
            _ => MicroF::Other,
        }
    }

    fn shape(self) -> u32 {
        self.key >> KEY_BITS & 3
    }

    /// Whether two that differ may yet say the same.
    fn stands_apart(self) -> bool {
        self.f() == MicroF::Other || self.shape() == DEVIANT
    }
}

/// All transactions of a history.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Txns {
    /// By transaction: where its micro-operations begin; and the end of the last.
    starts: Vec<u32>,
    micros: Vec<Packed>,
    keys: Vec<Key>,
    /// By key: the longest list that was read.
    lists: Vec<Vec<ValueId>>,
    /// Lists that are none of these, and where each begins in `deviant_items`; and the end of the last.
    deviant_starts: Vec<u32>,
    deviant_items: Vec<ValueId>,
    others: Vec<Mop>,
}

impl Default for Txns {
    fn default() -> Txns {
        Txns {
            starts: vec![0],
            micros: Vec::new(),
            keys: Vec::new(),
            lists: Vec::new(),
            deviant_starts: vec![0],
            deviant_items: Vec::new(),
            others: Vec::new(),
        }
    }
}

/// A transaction of a history.
#[derive(Debug, Clone, Copy)]
pub struct TxnRef<'a> {
    txns: &'a Txns,
    number: u32,
}

impl<'a> TxnRef<'a> {
    /// Number of micro-operations.
    pub fn len(self) -> usize {
        self.packed().len()
    }

    /// Whether it does nothing.
    pub fn is_empty(self) -> bool {
        self.packed().is_empty()
    }

    /// The micro-operations, in order.
    #[inline]
    pub fn micros(self) -> impl ExactSizeIterator<Item = Micro<'a>> + 'a {
        self.packed().iter().map(move |&packed| self.txns.micro(packed))
    }

    /// One of them, by its place.
    ///
    /// # Panics
    /// When there are not so many.
    #[inline]
    pub fn micro(self, place: usize) -> Micro<'a> {
        self.txns.micro(self.packed()[place])
    }

    /// The longest list that was read of a key, of which [`MicroValue::Prefix`] is a part.
    pub fn list_of(self, key: u32) -> &'a [ValueId] {
        self.txns.list_of(key)
    }

    /// The place of the first micro-operation that does not answer that of the call which this is said to complete; `None` if all do:
    /// they do the same to the same keys in the same order, and only what is read, or appended and not said before, differs.
    pub fn place_unanswered(self, call: TxnRef<'_>) -> Option<usize> {
        let answers = |(&own, &called): (&Packed, &Packed)| {
            if own == called {
                return true;
            }
            if own.f() != called.f() {
                return false;
            }
            match (self.txns.micro(own).value, call.txns.micro(called).value) {
                (MicroValue::Other(own), MicroValue::Other(called)) => {
                    // Of functions that have no number only reads by predicate have an answer.
                    let is_write = &*own.f != "rp";
                    own.f == called.f && own.key == called.key && (!is_write || own.value == called.value)
                }
                (_, called_value) => {
                    // To write nothing is to delete; nothing is appended only before it is said what.
                    let is_open = own.f() == MicroF::Append && called_value == MicroValue::One(ValueId::NIL);
                    let is_said = own.f() != MicroF::Read && !is_open;
                    own.key & KEY_MASK == called.key & KEY_MASK && !is_said
                }
            }
        };
        let differing = self.packed().iter().zip(call.packed()).position(|pair| !answers(pair));
        let shorter = self.len().min(call.len());
        differing.or((self.len() != call.len()).then_some(shorter))
    }

    #[inline]
    fn packed(self) -> &'a [Packed] {
        self.txns.packed(self.number)
    }
}

impl Txns {
    pub(super) fn txn(&self, number: u32) -> TxnRef<'_> {
        TxnRef { txns: self, number }
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub(super) fn keys(&self) -> &[Key] {
        &self.keys
    }

    pub(super) fn list_of(&self, key: u32) -> &[ValueId] {
        &self.lists[key as usize]
    }

    /// Whether one more transaction of so many micro-operations with so many list items finds room.
    pub(super) fn has_room(&self, micros_count: usize, items_count: usize) -> bool {
        let fits = |len: usize, more: usize| len.saturating_add(more) < u32::MAX as usize;
        fits(self.micros.len(), micros_count)
            && fits(self.deviant_items.len(), items_count)
            && self.keys.len().saturating_add(micros_count) < KEYS_MAX
    }

    #[inline]
    fn packed(&self, number: u32) -> &[Packed] {
        let number = number as usize;
        &self.micros[self.starts[number] as usize..self.starts[number + 1] as usize]
    }

    #[inline]
    fn micro(&self, packed: Packed) -> Micro<'_> {
        let value = match (packed.f(), packed.shape()) {
            (MicroF::Other, _) => MicroValue::Other(&self.others[packed.value as usize]),
            (_, PREFIX) => MicroValue::Prefix(packed.value),
            (_, DEVIANT) => MicroValue::Deviant(self.deviant(packed.value)),
            _ => MicroValue::One(ValueId::from_number(packed.value)),
        };
        Micro { f: packed.f(), key: packed.key & KEY_MASK, value }
    }

    /// Whether two transactions are the same, what stands apart included.
    fn is_same(&self, a: &[Packed], b: &[Packed]) -> bool {
        a.len() == b.len()
            && a.iter().zip(b).all(|(&a, &b)| a == b || a.stands_apart() && self.micro(a) == self.micro(b))
    }

    /// Takes back the micro-operations from there on, which belong to no transaction yet.
    fn drop_from(&mut self, start: usize) {
        for packed in self.micros.drain(start..).rev() {
            match (packed.f(), packed.shape()) {
                (MicroF::Other, _) => drop(self.others.pop()),
                (_, DEVIANT) => {
                    self.deviant_starts.pop();
                    self.deviant_items.truncate(self.deviant_starts.last().map_or(0, |&end| end as usize));
                }
                _ => {}
            }
        }
    }

    fn deviant(&self, number: u32) -> &[ValueId] {
        let number = number as usize;
        &self.deviant_items[self.deviant_starts[number] as usize..self.deviant_starts[number + 1] as usize]
    }

    /// A transaction as it was written. `value_of` makes values of numbers.
    pub(super) fn value(&self, number: u32, value_of: impl Fn(ValueId) -> Value) -> Value {
        let list = |ids: &[ValueId]| Value::list(ids.iter().map(|&id| value_of(id)).collect());
        let mop = |micro: Micro<'_>| {
            let value = match micro.value {
                MicroValue::Other(mop) => return mop.clone(),
                MicroValue::One(id) => value_of(id),
                MicroValue::Prefix(length) => list(&self.list_of(micro.key)[..length as usize]),
                MicroValue::Deviant(ids) => list(ids),
            };
            let f = match micro.f {
                MicroF::Append => "append",
                MicroF::Read => "r",
                MicroF::Write | MicroF::Other => "w",
            };
            Mop::new(f, self.keys[micro.key as usize].clone(), value)
        };
        Value::Txn(Box::new(self.txn(number).micros().map(mop).collect()))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let ids = self.deviant_items.len() + self.lists.iter().map(Vec::len).sum::<usize>();
        let others: usize =
            self.others.iter().map(|mop| size_of::<Mop>() + mop.key.heap_bytes() + mop.value.heap_bytes()).sum();
        let keys: usize = self.keys.iter().map(|key| size_of::<Key>() + key.heap_bytes()).sum();
        (self.starts.len() + self.deviant_starts.len()) * 4
            + self.micros.len() * size_of::<Packed>()
            + ids * size_of::<ValueId>()
            + self.lists.len() * size_of::<Vec<ValueId>>()
            + keys
            + others
    }

    pub(super) fn shrink(&mut self) {
        self.starts.shrink_to_fit();
        self.micros.shrink_to_fit();
        self.keys.shrink_to_fit();
        self.lists.iter_mut().for_each(Vec::shrink_to_fit);
        self.lists.shrink_to_fit();
        self.deviant_starts.shrink_to_fit();
        self.deviant_items.shrink_to_fit();
    }
}

/// Whether two lists of one length are the same, eight items at a time.
#[inline]
fn are_same(a: &[ValueId], b: &[ValueId]) -> bool {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let differ = |a: &[ValueId; 8], b: &[ValueId; 8]| {
        a.iter().zip(b).fold(0, |found, (a, b)| found | (a.number() ^ b.number())) != 0
    };
    !a.iter().zip(b).any(|(a, b)| differ(a, b)) && a_rest == b_rest
}

/// Takes transactions while a history is built. Between [`TxnWriter::end`] and the next there is no open transaction.
#[derive(Debug, Default)]
pub(super) struct TxnWriter {
    keys: Ids<Key>,
}

impl TxnWriter {
    /// The number of a key, given anew if it is new.
    pub(super) fn key(&mut self, txns: &mut Txns, key: &Key) -> u32 {
        if let Some(id) = self.keys.get(key) {
            return id;
        }
        self.add_key(txns, key.clone())
    }

    /// That of a key that is an integer.
    #[inline]
    pub(super) fn key_number(&mut self, txns: &mut Txns, key: i64) -> u32 {
        match self.keys.get_number(key) {
            Some(id) => id,
            None => self.add_key(txns, Key::Int(key)),
        }
    }

    fn add_key(&mut self, txns: &mut Txns, key: Key) -> u32 {
        let id = txns.keys.len() as u32;
        txns.keys.push(key.clone());
        txns.lists.push(Vec::new());
        self.keys.insert(key, id);
        id
    }

    /// Adds a micro-operation with one value to the open transaction.
    pub(super) fn one(&mut self, txns: &mut Txns, f: MicroF, key: u32, value: ValueId) {
        txns.micros.push(Packed::new(f, ONE, key, value.number()));
    }

    /// Adds a read of a list to the open transaction.
    pub(super) fn list(&mut self, txns: &mut Txns, key: u32, ids: &[ValueId]) {
        let known = &mut txns.lists[key as usize];
        let common = known.len().min(ids.len());
        if are_same(&known[..common], &ids[..common]) {
            known.extend_from_slice(&ids[common..]);
            txns.micros.push(Packed::new(MicroF::Read, PREFIX, key, ids.len() as u32));
            return;
        }
        let number = txns.deviant_starts.len() as u32 - 1;
        txns.deviant_items.extend_from_slice(ids);
        txns.deviant_starts.push(txns.deviant_items.len() as u32);
        txns.micros.push(Packed::new(MicroF::Read, DEVIANT, key, number));
    }

    /// Adds a micro-operation of another function to the open transaction.
    pub(super) fn other(&mut self, txns: &mut Txns, mop: Mop) {
        let key = self.key(txns, &mop.key);
        let place = txns.others.len() as u32;
        txns.others.push(mop);
        txns.micros.push(Packed::new(MicroF::Other, ONE, key, place));
    }

    /// Ends the open transaction; its number. It is likely to be the transaction `like`, its invocation, and is that
    /// one then.
    pub(super) fn end(&mut self, txns: &mut Txns, like: Option<u32>) -> u32 {
        let start = txns.starts.last().copied().unwrap_or_default() as usize;
        if let Some(like) = like
            && txns.is_same(txns.packed(like), &txns.micros[start..])
        {
            txns.drop_from(start);
            return like;
        }
        txns.starts.push(txns.micros.len() as u32);
        txns.len() as u32 - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{History, notation};

    fn history(text: &str) -> History {
        notation::parse(text).expect("a history")
    }

    #[test]
    fn lists_are_compared_to_their_last_item() {
        for length in 0..40 {
            let list: Vec<ValueId> = (0..length).filter_map(ValueId::of_small).collect();
            assert!(are_same(&list, &list.clone()));
            for place in 0..list.len() {
                let mut other = list.clone();
                other[place] = ValueId::NIL;
                assert!(!are_same(&list, &other), "{length} {place}");
            }
        }
    }

    #[test]
    fn lists_of_a_key_share_their_memory() {
        let read = |list: &str| format!(r#" 0:txn=[["r",5,null]]>[["r",5,{list}]]"#);
        let history = history(&["[1,2]", "[1]", "[]", "null", "[1,3]", "[1,2,3]", "7"].map(read).concat());
        let ids = |all: &[u32]| all.iter().filter_map(|&id| ValueId::of_small(id)).collect::<Vec<_>>();
        let deviant = ids(&[1, 3]);
        let wanted = [
            MicroValue::Prefix(2),
            MicroValue::Prefix(1),
            MicroValue::Prefix(0),
            MicroValue::One(ValueId::NIL),
            MicroValue::Deviant(&deviant),
            MicroValue::Prefix(3),
            MicroValue::One(ids(&[7])[0]),
        ];
        let found: Vec<MicroValue<'_>> =
            (0..7).map(|place| history.txn(2 * place + 1).expect("a transaction").micro(0).value).collect();
        assert_eq!(found, wanted);
        assert_eq!(history.txn_list(0), ids(&[1, 2, 3]));
        assert_eq!(history.txn_keys(), [Key::Int(5)]);
    }

    #[test]
    fn a_completion_answers_its_call() {
        for (call, end, place) in [
            (r#"[["append",1,1],["r",2,null]]"#, r#"[["append",1,1],["r",2,[3,4]]]"#, None),
            (r#"[["append",1,1],["r",2,null]]"#, r#"[["append",1,1],["r",3,[3,4]]]"#, Some(1)),
            (r#"[["append",1,1],["r",2,null]]"#, r#"[["append",1,2],["r",2,[3,4]]]"#, Some(0)),
            (r#"[["append",1,1],["r",2,null]]"#, r#"[["append",1,1]]"#, Some(1)),
            (r#"[["append",1,1]]"#, r#"[["append",1,1],["r",2,[3,4]]]"#, Some(1)),
            (r#"[["w",1,1]]"#, r#"[["r",1,1]]"#, Some(0)),
            (r#"[["w",1,1]]"#, r#"[["append",1,1]]"#, Some(0)),
            (r#"[["w",1,null]]"#, r#"[["w",1,7]]"#, Some(0)),
            (r#"[["append",1,null]]"#, r#"[["append",1,7]]"#, None),
            (r#"[["insert",1,null]]"#, r#"[["insert",1,7]]"#, Some(0)),
            (r#"[["w",1,[1,2]]]"#, r#"[["w",1,[1,3]]]"#, Some(0)),
            (r#"[["r",1,[9]]]"#, r#"[["r",1,[1,3]]]"#, None),
            (r#"[["rp","all",null],["r",1,null]]"#, r#"[["rp","all",[[1,2]]],["r",1,5]]"#, None),
            (r#"[["rp","all",null]]"#, r#"[["rp","some",[[1,2]]]]"#, Some(0)),
            (r#"[["rp","all",null]]"#, r#"[["cas","all",[[1,2]]]]"#, Some(0)),
            (r#"[["insert","x",1]]"#, r#"[["insert","x",2]]"#, Some(0)),
            (r#"[["insert","x",1]]"#, r#"[["insert","x",1]]"#, None),
            ("[]", "[]", None),
        ] {
            let history = history(&format!("0:txn={call}>{end}"));
            let txn = |index| history.txn(index).expect("a transaction");
            assert_eq!(txn(1).place_unanswered(txn(0)), place, "{call} {end}");
        }
    }

    #[test]
    fn transactions_come_back_as_they_were() {
        for text in [
            r#"[["append",1,2],["r",1,[2]],["w",2,[1,2,3]],["r","x",null],["r",2,[1,2,3]],["r",2,[1,2]],["r",1,[]]]"#,
            r#"[["cas",1,[1,2]],["read",3,{"a":[1]}],["r",1,"text"],["r",1,[[1,2],[3],-1,99999999999]]]"#,
        ] {
            let line = format!("0:txn={text}>{text} 0:txn={text}");
            let history = history(&line);
            assert_eq!(history.value_id(0), history.value_id(1), "a completion that repeats its invocation");
            assert_ne!(history.value_id(0), history.value_id(2));
            for index in 0..4 {
                let mut written = Vec::new();
                crate::json::write_value(&mut written, &history.value(index));
                assert_eq!(String::from_utf8_lossy(&written), text);
            }
            let micros = history.txn(0).expect("a transaction");
            assert_eq!((micros.len(), micros.is_empty()), (micros.micros().len(), false));
        }
    }
}
