//! The checked history: columns of events, paired into calls.

use rustc_hash::FxHashMap;

use crate::op::{F, Fields, Kind, Node, Op, OpIndex, Process};
use crate::value::{Key, Value};

const NONE: u32 = u32::MAX;

/// Why a sequence of events is no history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// A process invoked while its last operation was still open.
    #[error(
        "event {index}: process {process} invokes {f}, but its operation of event {open} has not completed yet; a process has one operation at a time"
    )]
    Overlap {
        /// The second invocation.
        index: OpIndex,
        /// Who.
        process: Process,
        /// What it invokes.
        f: F,
        /// The invocation that is still open.
        open: OpIndex,
    },
    /// A completion of nothing.
    #[error("event {index}: process {process} completes {f} with {kind}, but has no operation open")]
    Orphan {
        /// The completion.
        index: OpIndex,
        /// Who.
        process: Process,
        /// Which function.
        f: F,
        /// Which completion.
        kind: Kind,
    },
    /// A completion whose function is not that of its invocation.
    #[error("event {index}: process {process} completes {f}, but invoked {invoked} at event {open}")]
    Mismatch {
        /// The completion.
        index: OpIndex,
        /// Who.
        process: Process,
        /// Function of the completion.
        f: F,
        /// Function of the invocation.
        invoked: F,
        /// The invocation.
        open: OpIndex,
    },
    /// A process acted again after an operation in doubt.
    #[error(
        "event {index}: process {process} invokes {f} although its operation of event {doubt} ended in doubt; such a process is retired, and its worker goes on under a new number"
    )]
    Retired {
        /// The invocation.
        index: OpIndex,
        /// Who.
        process: Process,
        /// What it invokes.
        f: F,
        /// The completion that ended in doubt.
        doubt: OpIndex,
    },
    /// More events than an index can count.
    #[error("the history has more than {max} events", max = u32::MAX - 1)]
    TooLong,
}

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
/// Columnar: about 40 bytes an event, and a value's own memory where it is no number. Rare fields (error, fault id,
/// session, extra) stand apart.
#[derive(Debug, Clone, Default)]
pub struct History {
    time_ns: Vec<u64>,
    process: Vec<u32>,
    kind: Vec<Kind>,
    f: Vec<u16>,
    key: Vec<u32>,
    value: Vec<Value>,
    node: Vec<u16>,
    matched: Vec<u8>,
    pair: Vec<u32>,
    rare: FxHashMap<u32, Rare>,
    processes: Vec<Process>,
    functions: Vec<F>,
    keys: Vec<Key>,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Default)]
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
        self.kind.len()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.kind.is_empty()
    }

    /// Time of an event.
    pub fn time_ns(&self, index: OpIndex) -> u64 {
        self.time_ns[index as usize]
    }

    /// Who caused an event.
    pub fn process(&self, index: OpIndex) -> &Process {
        &self.processes[self.process[index as usize] as usize]
    }

    /// Kind of an event.
    pub fn kind(&self, index: OpIndex) -> Kind {
        self.kind[index as usize]
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
        let id = self.key[index as usize];
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
    pub fn value(&self, index: OpIndex) -> &Value {
        &self.value[index as usize]
    }

    /// Node of an event.
    pub fn node(&self, index: OpIndex) -> Option<&Node> {
        self.nodes.get(self.node[index as usize] as usize)
    }

    /// Whether a compare-and-set matched, where the event says so.
    pub fn matched(&self, index: OpIndex) -> Option<bool> {
        match self.matched[index as usize] {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// Fault that an event belongs to.
    pub fn fault_id(&self, index: OpIndex) -> Option<u32> {
        self.rare.get(&index).and_then(|rare| rare.fault_id)
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
}

/// Builds a [`History`] event by event, so that a reader need not hold the text or the rows.
#[derive(Debug, Default)]
pub struct HistoryBuilder {
    history: History,
    process_ids: FxHashMap<Process, u32>,
    f_ids: FxHashMap<F, u16>,
    key_ids: FxHashMap<Key, u32>,
    node_ids: FxHashMap<Node, u16>,
    open: Vec<u32>,
    doubt: Vec<u32>,
}

impl HistoryBuilder {
    /// Adds the next event; its own `index` is ignored. Jepsen's plain `nemesis` may leave notes: an `info` of a
    /// nemesis with nothing open is taken as an invocation without an answer where it does not answer one.
    ///
    /// # Errors
    /// See [`HistoryError`]; the builder is unchanged then.
    pub fn push(&mut self, op: Op) -> Result<(), HistoryError> {
        let index =
            u32::try_from(self.history.len()).ok().filter(|&index| index < NONE).ok_or(HistoryError::TooLong)?;
        let process = self.process_id(&op.process);
        let open = self.open[process as usize];
        let mut kind = op.kind;
        if op.process.client().is_none() && kind == Kind::Info && open == NONE {
            kind = Kind::Invoke;
        }
        let pair = if kind == Kind::Invoke {
            if open != NONE {
                return Err(HistoryError::Overlap { index, process: op.process, f: op.f, open });
            }
            let doubt = self.doubt[process as usize];
            if doubt != NONE && op.process.client().is_some() {
                return Err(HistoryError::Retired { index, process: op.process, f: op.f, doubt });
            }
            NONE
        } else {
            if open == NONE {
                return Err(HistoryError::Orphan { index, process: op.process, f: op.f, kind });
            }
            if *self.history.f(open) != op.f {
                let invoked = self.history.f(open).clone();
                return Err(HistoryError::Mismatch { index, process: op.process, f: op.f, invoked, open });
            }
            open
        };
        if kind == Kind::Invoke {
            self.open[process as usize] = index;
        } else {
            self.open[process as usize] = NONE;
            self.history.pair[open as usize] = index;
            if kind == Kind::Info {
                self.doubt[process as usize] = index;
            }
        }
        self.append(index, process, kind, pair, op);
        Ok(())
    }

    fn append(&mut self, index: u32, process: u32, kind: Kind, pair: u32, op: Op) {
        let f = intern(&mut self.f_ids, &mut self.history.functions, op.f, |id| id as u16);
        let key = op.key.map_or(NONE, |key| intern(&mut self.key_ids, &mut self.history.keys, key, |id| id as u32));
        let node =
            op.node.map_or(u16::MAX, |node| intern(&mut self.node_ids, &mut self.history.nodes, node, |id| id as u16));
        if op.fault_id.is_some() || op.session.is_some() || op.error.is_some() || op.extra.is_some() {
            let rare = Rare { fault_id: op.fault_id, session: op.session, error: op.error, extra: op.extra };
            self.history.rare.insert(index, rare);
        }
        let history = &mut self.history;
        history.time_ns.push(op.time_ns);
        history.process.push(process);
        history.kind.push(kind);
        history.f.push(f);
        history.key.push(key);
        history.value.push(op.value);
        history.node.push(node);
        history.matched.push(op.matched.map_or(2, u8::from));
        history.pair.push(pair);
    }

    fn process_id(&mut self, process: &Process) -> u32 {
        if let Some(&id) = self.process_ids.get(process) {
            return id;
        }
        let id = self.history.processes.len() as u32;
        self.history.processes.push(process.clone());
        self.process_ids.insert(process.clone(), id);
        self.open.push(NONE);
        self.doubt.push(NONE);
        id
    }

    /// The history so far; calls that are still open stay open for ever.
    pub fn finish(self) -> History {
        self.history
    }
}

fn intern<T: Clone + Eq + std::hash::Hash, I: Copy>(
    ids: &mut FxHashMap<T, I>,
    items: &mut Vec<T>,
    item: T,
    id_of: impl Fn(usize) -> I,
) -> I {
    if let Some(&id) = ids.get(&item) {
        return id;
    }
    let id = id_of(items.len());
    items.push(item.clone());
    ids.insert(item, id);
    id
}
