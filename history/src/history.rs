//! The checked history: columns of events, paired into calls.

mod builder;
mod column;
mod ids;
mod times;
mod txns;
mod values;

pub use builder::{HistoryBuilder, HistoryError};
pub use txns::{Micro, MicroF, MicroValue, TxnRef};
pub use values::{ValueId, ValueRef};

use std::mem::size_of;

use rustc_hash::FxHashMap;

use crate::op::{F, Fields, Kind, Node, Op, OpIndex, Process};
use crate::value::{Key, Value};
use column::Column;
use times::Times;
use values::Values;

const NONE: u32 = u32::MAX;
const NO_NODE: u16 = u16::MAX;

/// One operation of a client or of the nemesis: its invocation and, if there is one, its completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The invocation's index.
    pub invoke: OpIndex,
    /// The completion's index; `None`: never answered, open for ever.
    pub completion: Option<OpIndex>,
    /// How it ended; a missing completion is [`Kind::Info`].
    pub outcome: Kind,
}

/// A checked history. Every completion has its invocation, a process has one operation at a time, indices are dense.
///
/// Columnar: 25 bytes an event, of which the independent key (4) and the node (2) take none behind the last event that has
/// one; 8 bytes a micro-operation of a transaction and 4 a transaction (a completion that repeats its invocation takes
/// none of these), 4 an item of the longest list that was read of a key; and each different value that is no integer from 0 to 2^31 - 1 once. Rare fields
/// (error, fault id, session, extra) stand apart. Two histories are equal if their events are, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    times: Times,
    process: Vec<u32>,
    /// Kind, and whether a compare-and-set matched.
    marks: Vec<Marks>,
    f: Vec<u16>,
    key: Column<u32>,
    values: Values,
    node: Column<u16>,
    pair: Vec<u32>,
    rare: FxHashMap<u32, Rare>,
    /// Whether the order of events says nothing of real time; a history of which nothing is said has it.
    no_realtime: bool,
    processes: Vec<Process>,
    functions: Vec<F>,
    keys: Vec<Key>,
    nodes: Vec<Node>,
}

/// A kind and a three-valued flag in one byte: the kind in the lower two bits, then whether the flag is there, then the flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marks(u8);

impl Marks {
    fn new(kind: Kind, matched: Option<bool>) -> Marks {
        Marks(kind as u8 | matched.map_or(0, |matched| 4 | u8::from(matched) << 3))
    }

    fn kind(self) -> Kind {
        match self.0 & 3 {
            0 => Kind::Invoke,
            1 => Kind::Ok,
            2 => Kind::Fail,
            _ => Kind::Info,
        }
    }

    fn matched(self) -> Option<bool> {
        (self.0 & 4 != 0).then_some(self.0 & 8 != 0)
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Rare {
    fault_id: Option<u32>,
    session: Option<u32>,
    error: Option<Box<Value>>,
    extra: Option<Box<Fields>>,
}

impl History {
    /// Builds and checks a history. Indices are given anew, in order.
    ///
    /// # Errors
    /// The first event that breaks the rules; see [`HistoryError`].
    pub fn from_ops(ops: impl IntoIterator<Item = Op>) -> Result<History, HistoryError> {
        let mut builder = HistoryBuilder::default();
        for op in ops {
            builder.push(op)?;
        }
        Ok(builder.finish())
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Time of an event.
    pub fn time_ns(&self, index: OpIndex) -> u64 {
        self.times.get(index as usize)
    }

    /// Who caused an event.
    pub fn process(&self, index: OpIndex) -> &Process {
        &self.processes[self.process[index as usize] as usize]
    }

    /// Dense number of an event's process, in order of first appearance.
    pub fn process_id(&self, index: OpIndex) -> u32 {
        self.process[index as usize]
    }

    /// All processes; a process' place is its dense number.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// Kind of an event.
    pub fn kind(&self, index: OpIndex) -> Kind {
        self.marks[index as usize].kind()
    }

    /// Function of an event.
    pub fn f(&self, index: OpIndex) -> &F {
        &self.functions[self.f[index as usize] as usize]
    }

    /// Independent key of an event.
    pub fn key(&self, index: OpIndex) -> Option<&Key> {
        self.key_id(index).map(|id| &self.keys[id as usize])
    }

    /// Dense number of an event's key, in order of first appearance.
    pub fn key_id(&self, index: OpIndex) -> Option<u32> {
        let id = self.key.get(index as usize);
        (id != NONE).then_some(id)
    }

    /// All keys; a key's place is its dense number.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// All functions that occur, in order of first appearance.
    pub fn functions(&self) -> &[F] {
        &self.functions
    }

    /// Value of an event.
    pub fn value(&self, index: OpIndex) -> ValueRef<'_> {
        self.values.of(self.value_id(index))
    }

    /// The number of an event's value: equal values have equal numbers.
    pub fn value_id(&self, index: OpIndex) -> ValueId {
        self.values.id(index as usize)
    }

    /// The transaction that an event carries, in columns; `None` if its value is none.
    pub fn txn(&self, index: OpIndex) -> Option<TxnRef<'_>> {
        self.values.txn(self.value_id(index))
    }

    /// The keys of transactions; a key's place is its number in [`Micro::key`]. Independent keys are others.
    pub fn txn_keys(&self) -> &[Key] {
        self.values.txns().keys()
    }

    /// The longest list that a transaction read of a key, by the key's number; empty where none was read.
    pub fn txn_list(&self, key: u32) -> &[ValueId] {
        self.values.txns().list_of(key)
    }

    /// The value of that number.
    pub fn value_of(&self, id: ValueId) -> ValueRef<'_> {
        self.values.of(id)
    }

    /// The numbers of the two values of a list of two (`[old, new]` of a compare-and-set).
    pub fn parts_of(&self, id: ValueId) -> Option<[ValueId; 2]> {
        self.values.parts(id)
    }

    /// Node of an event.
    pub fn node(&self, index: OpIndex) -> Option<&Node> {
        self.nodes.get(usize::from(self.node.get(index as usize)))
    }

    /// All nodes that occur, in order of first appearance.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Whether a compare-and-set matched, where the event says so.
    pub fn matched(&self, index: OpIndex) -> Option<bool> {
        self.marks[index as usize].matched()
    }

    /// Fault that an event belongs to.
    pub fn fault_id(&self, index: OpIndex) -> Option<u32> {
        self.rare.get(&index).and_then(|rare| rare.fault_id)
    }

    /// Client session of an event.
    pub fn session(&self, index: OpIndex) -> Option<u32> {
        self.rare.get(&index).and_then(|rare| rare.session)
    }

    /// Fields of an event that schism has no name for.
    pub fn extra(&self, index: OpIndex) -> &[(std::sync::Arc<str>, Value)] {
        self.rare.get(&index).and_then(|rare| rare.extra.as_deref()).map_or(&[], Vec::as_slice)
    }

    /// Why a completion is no `ok`.
    pub fn error(&self, index: OpIndex) -> Option<&Value> {
        self.rare.get(&index).and_then(|rare| rare.error.as_deref())
    }

    /// The other half of a call: the completion of an invocation, the invocation of a completion.
    pub fn pair(&self, index: OpIndex) -> Option<OpIndex> {
        let other = self.pair[index as usize];
        (other != NONE).then_some(other)
    }

    /// Whether the order of events is the order of real time. If not (it was read from a format that knows sessions only),
    /// only the order within a process means something, and levels that speak of real time cannot be judged.
    pub fn has_realtime(&self) -> bool {
        !self.no_realtime
    }

    /// An event as a row.
    pub fn op(&self, index: OpIndex) -> Op {
        let rare = self.rare.get(&index).cloned().unwrap_or_default();
        Op {
            index,
            time_ns: self.time_ns(index),
            process: self.process(index).clone(),
            kind: self.kind(index),
            f: self.f(index).clone(),
            key: self.key(index).cloned(),
            value: self.value(index).clone(),
            node: self.node(index).cloned(),
            matched: self.matched(index),
            fault_id: rare.fault_id,
            session: rare.session,
            error: rare.error,
            extra: rare.extra,
        }
    }

    /// All events as rows, in order.
    pub fn ops(&self) -> impl Iterator<Item = Op> + '_ {
        (0..self.len() as OpIndex).map(|index| self.op(index))
    }

    /// The call that an invocation begins.
    pub fn call(&self, invoke: OpIndex) -> Call {
        let completion = self.pair(invoke);
        Call { invoke, completion, outcome: completion.map_or(Kind::Info, |index| self.kind(index)) }
    }

    /// Calls of clients, in order of invocation.
    pub fn client_calls(&self) -> impl Iterator<Item = Call> + '_ {
        self.invocations().filter(|&index| self.process(index).client().is_some()).map(|index| self.call(index))
    }

    /// Calls of the nemesis, in order of invocation.
    pub fn nemesis_calls(&self) -> impl Iterator<Item = Call> + '_ {
        self.invocations().filter(|&index| self.process(index).client().is_none()).map(|index| self.call(index))
    }

    fn invocations(&self) -> impl Iterator<Item = OpIndex> + '_ {
        (0..self.len() as OpIndex).filter(|&index| self.kind(index) == Kind::Invoke)
    }

    /// About how many bytes of memory it takes, its values' own included. Texts that values share are counted each
    /// time. One pass.
    pub fn memory_bytes(&self) -> usize {
        let event = 2 * size_of::<u32>() + size_of::<u16>() + size_of::<Marks>();
        let named = self.key.memory_bytes() + self.node.memory_bytes();
        let columns = self.len() * event + named + self.times.memory_bytes() + self.values.memory_bytes();
        let rare: usize = self.rare.values().map(Rare::memory_bytes).sum();
        let names = self.processes.len() * size_of::<Process>()
            + self.functions.len() * size_of::<F>()
            + self.nodes.len() * size_of::<Node>();
        let keys: usize = self.keys.iter().map(|key| size_of::<Key>() + key.heap_bytes()).sum();
        columns + rare + names + keys
    }

    fn shrink(&mut self) {
        self.times.shrink();
        self.process.shrink_to_fit();
        self.marks.shrink_to_fit();
        self.f.shrink_to_fit();
        self.key.shrink_to_fit();
        self.values.shrink();
        self.node.shrink_to_fit();
        self.pair.shrink_to_fit();
    }
}

impl Rare {
    fn memory_bytes(&self) -> usize {
        let error = self.error.as_deref().map_or(0, |error| size_of::<Value>() + error.heap_bytes());
        let fields = self.extra.as_deref().map_or(&[] as &[_], Vec::as_slice);
        let extra: usize = fields.iter().map(|(name, value)| name.len() + 40 + value.heap_bytes()).sum();
        size_of::<(u32, Rare)>() + error + extra
    }
}
