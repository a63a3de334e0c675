//! From events to a checked [`History`]: the rules, and who breaks them.

use rustc_hash::FxHashMap;

use super::ids::Ids;
use super::values::Interner;
use super::{History, Marks, NO_NODE, NONE, Rare};
use crate::op::{F, Kind, Node, Op, OpIndex, Process};
use crate::reading::plain::{Names, Plain, Shape};
use crate::value::Key;

const EVENTS_MAX: usize = NONE as usize;
const FUNCTIONS_MAX: usize = 1 << 16;
const NODES_MAX: usize = NO_NODE as usize;

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
    #[error(
        "event {index}: process {process} completes {f} with {kind}, but has no operation open; its invocation is missing or was already answered"
    )]
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
    #[error(
        "event {index}: process {process} completes {f}, but invoked {invoked} at event {open}; a completion has its invocation's function"
    )]
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
    /// A completion whose key is not that of its invocation.
    #[error(
        "event {index}: process {process} completes {f} with key {key}, but invoked it with {invoked} at event {open}; a completion has its invocation's key"
    )]
    KeyMismatch {
        /// The completion.
        index: OpIndex,
        /// Who.
        process: Process,
        /// Which function.
        f: F,
        /// Key of the completion.
        key: Key,
        /// Key of the invocation: `key 5` or `no key`.
        invoked: String,
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
    #[error("the history has more than {EVENTS_MAX} events; check it in parts")]
    TooLong,
    /// More functions than a history can hold.
    #[error(
        "event {index}: {f} is one function too many; a history has at most {FUNCTIONS_MAX} (is an argument part of the name?)"
    )]
    TooManyFunctions {
        /// The event.
        index: OpIndex,
        /// The function.
        f: F,
    },
    /// More nodes than a history can hold.
    #[error("event {index}: {node} is one node too many; a history has at most {NODES_MAX}")]
    TooManyNodes {
        /// The event.
        index: OpIndex,
        /// The node.
        node: Node,
    },
}

/// Builds a [`History`] event by event, so that a reader need not hold the text or the rows.
///
/// # Rules
/// - A process has one operation at a time; a completion has the function and the key of its invocation. A completion
///   without a key takes its invocation's.
/// - A client whose operation ended [`Kind::Info`] is retired. The nemesis is not.
/// - The plain `nemesis` of Jepsen's histories marks invocations `info` too, and leaves notes that nobody answers. So
///   its `info` is the completion of what it has open if the function is the same, else an invocation; and by a new
///   invocation it leaves what it had open unanswered for ever.
/// - Times may stand still or go back: the order of events is the order of real time, not their clock.
#[derive(Debug, Default)]
pub struct HistoryBuilder {
    history: History,
    process_ids: Ids<Process>,
    f_ids: FxHashMap<F, u16>,
    key_ids: Ids<Key>,
    node_ids: FxHashMap<Node, u16>,
    interner: Interner,
    /// By process: its open invocation.
    open: Vec<u32>,
    /// By process: the completion that retired it.
    doubt: Vec<u32>,
}

impl HistoryBuilder {
    /// Number of events so far.
    pub fn len(&self) -> usize {
        self.history.len()
    }

    /// Whether there is no event yet.
    pub fn is_empty(&self) -> bool {
        self.history.is_empty()
    }

    /// Says that the order of events of different processes means nothing: see [`History::has_realtime`].
    pub fn forget_realtime(&mut self) {
        self.history.no_realtime = true;
    }

    /// Adds the next event; its own `index` is ignored.
    ///
    /// # Errors
    /// See [`HistoryError`] and the rules above; the builder is unchanged then, and further events may follow.
    pub fn push(&mut self, mut op: Op) -> Result<(), HistoryError> {
        let len = self.history.len();
        let index = u32::try_from(len).ok().filter(|&index| index != NONE).ok_or(HistoryError::TooLong)?;
        let process = self.process_ids.get(&op.process);
        let open = process.map_or(NONE, |process| self.open[process as usize]);
        self.settle_kind(&mut op, open);
        self.check(&op, index, process, open)?;
        self.check_room(&op, index)?;
        let f = intern(&mut self.f_ids, &mut self.history.functions, &op.f);
        let node = op.node.as_ref().map_or(NO_NODE, |node| intern(&mut self.node_ids, &mut self.history.nodes, node));
        let key = match &op.key {
            Some(key) => self.key_ids.get(key).unwrap_or_else(|| self.add_key(key)),
            None if op.kind != Kind::Invoke => self.history.key.get(open as usize),
            None => NONE,
        };
        let process = process.unwrap_or_else(|| self.add_process(&op.process));
        self.pair(index, process, op.kind, open);
        self.append(op, open, (process, f, key, node));
        Ok(())
    }

    /// What an `info` of the plain nemesis is.
    fn settle_kind(&self, op: &mut Op, open: u32) {
        let answers = open != NONE && *self.history.f(open) == op.f;
        if op.process.is_plain_nemesis() && op.kind == Kind::Info && !answers {
            op.kind = Kind::Invoke;
        }
    }

    fn check(&self, op: &Op, index: OpIndex, process: Option<u32>, open: u32) -> Result<(), HistoryError> {
        if op.kind == Kind::Invoke {
            let doubt = process.map_or(NONE, |process| self.doubt[process as usize]);
            if open != NONE && !op.process.is_plain_nemesis() {
                return Err(HistoryError::Overlap { index, process: op.process.clone(), f: op.f.clone(), open });
            }
            if doubt != NONE && op.process.client().is_some() {
                return Err(HistoryError::Retired { index, process: op.process.clone(), f: op.f.clone(), doubt });
            }
            return Ok(());
        }
        if open == NONE {
            let (process, f) = (op.process.clone(), op.f.clone());
            return Err(HistoryError::Orphan { index, process, f, kind: op.kind });
        }
        let invoked = self.history.f(open);
        if *invoked != op.f {
            let (process, f, invoked) = (op.process.clone(), op.f.clone(), invoked.clone());
            return Err(HistoryError::Mismatch { index, process, f, invoked, open });
        }
        match (&op.key, self.history.key(open)) {
            (Some(key), invoked) if invoked != Some(key) => Err(HistoryError::KeyMismatch {
                index,
                process: op.process.clone(),
                f: op.f.clone(),
                key: key.clone(),
                invoked: invoked.map_or("no key".to_owned(), |key| format!("key {key}")),
                open,
            }),
            _ => Ok(()),
        }
    }

    /// Whether function and node have a number, or one is left for them.
    fn check_room(&self, op: &Op, index: OpIndex) -> Result<(), HistoryError> {
        if !self.history.values.has_room_for(&op.value) {
            return Err(HistoryError::TooLong);
        }
        if self.history.functions.len() == FUNCTIONS_MAX && !self.f_ids.contains_key(&op.f) {
            return Err(HistoryError::TooManyFunctions { index, f: op.f.clone() });
        }
        match &op.node {
            Some(node) if self.history.nodes.len() == NODES_MAX && !self.node_ids.contains_key(node) => {
                Err(HistoryError::TooManyNodes { index, node: node.clone() })
            }
            _ => Ok(()),
        }
    }

    fn pair(&mut self, index: OpIndex, process: u32, kind: Kind, open: u32) {
        let process = process as usize;
        if kind == Kind::Invoke {
            self.open[process] = index;
            self.history.pair.push(NONE);
            return;
        }
        self.open[process] = NONE;
        self.history.pair[open as usize] = index;
        self.history.pair.push(open);
        if kind == Kind::Info {
            self.doubt[process] = index;
        }
    }

    fn append(&mut self, op: Op, open: u32, (process, f, key, node): (u32, u16, u32, u16)) {
        let history = &mut self.history;
        if op.fault_id.is_some() || op.session.is_some() || op.error.is_some() || op.extra.is_some() {
            let index = history.marks.len() as u32;
            let rare = Rare { fault_id: op.fault_id, session: op.session, error: op.error, extra: op.extra };
            history.rare.insert(index, rare);
        }
        let index = history.marks.len();
        history.times.push(op.time_ns);
        history.process.push(process);
        history.marks.push(Marks::new(op.kind, op.matched));
        history.f.push(f);
        history.key.push_at(index, key);
        self.interner.push(&mut history.values, op.value, (open != NONE).then_some(open));
        history.node.push_at(index, node);
    }

    fn add_process(&mut self, process: &Process) -> u32 {
        let id = self.history.processes.len() as u32;
        self.history.processes.push(process.clone());
        self.process_ids.insert(process.clone(), id);
        self.open.push(NONE);
        self.doubt.push(NONE);
        id
    }

    fn add_key(&mut self, key: &Key) -> u32 {
        let id = self.history.keys.len() as u32;
        self.history.keys.push(key.clone());
        self.key_ids.insert(key.clone(), id);
        id
    }

    /// Adds the next event, given in its small form: the same as its row, but many times as fast.
    ///
    /// # Errors
    /// Those of [`HistoryBuilder::push`].
    #[inline]
    pub(crate) fn push_plain(&mut self, plain: &Plain, names: &mut Names) -> Result<(), HistoryError> {
        if self.append_plain(plain, names).is_some() {
            return Ok(());
        }
        let op = names.op(plain);
        self.push(op)?;
        let (f, node) = (self.history.f.last().copied(), self.history.node.last());
        names.learn(plain, f.unwrap_or_default(), node);
        Ok(())
    }

    /// Adds an event that breaks no rule, and of which all names are known; `None` if it is not one, and nothing was added.
    #[inline]
    fn append_plain(&mut self, plain: &Plain, names: &Names) -> Option<()> {
        let index = u32::try_from(self.history.len()).ok().filter(|&index| index != NONE)?;
        let (f, node) = names.numbers(plain, NO_NODE)?;
        let process = self.process_ids.get_number(i64::from(plain.process))?;
        let key = if plain.has_key { self.key_ids.get_number(plain.first)? } else { NONE };
        let open = self.open[process as usize];
        let key = if plain.kind == Kind::Invoke {
            if open != NONE || self.doubt[process as usize] != NONE {
                return None;
            }
            key
        } else {
            if open == NONE || self.history.f[open as usize] != f {
                return None;
            }
            let invoked = self.history.key.get(open as usize);
            if plain.has_key && key != invoked {
                return None;
            }
            invoked
        };
        let has_room = match plain.shape {
            Shape::Txn => self.history.values.has_room_for_flat(names.txn(plain)),
            _ => self.history.values.has_room(),
        };
        if !has_room {
            return None;
        }
        self.pair(index, process, plain.kind, open);
        let history = &mut self.history;
        history.times.push(plain.time_ns);
        history.process.push(process);
        history.marks.push(Marks::new(plain.kind, plain.matched));
        history.f.push(f);
        history.key.push_at(index as usize, key);
        match plain.shape {
            Shape::Nil => history.values.push_nil(),
            Shape::Int if history.values.push_small(plain.a) => {}
            Shape::Txn => {
                self.interner.push_flat(&mut history.values, names.txn(plain), (open != NONE).then_some(open));
            }
            _ => self.interner.push(&mut history.values, names.value(plain), (open != NONE).then_some(open)),
        }
        history.node.push_at(index as usize, node);
        Some(())
    }

    /// The history so far; calls that are still open stay open for ever.
    pub fn finish(self) -> History {
        let mut history = self.history;
        history.shrink();
        history
    }
}

/// The dense number of an item, given anew if it is new. There is room: names are counted before, and keys and processes
/// are no more than events.
fn intern<T: Clone + Eq + std::hash::Hash, I: Copy + Default + TryFrom<usize>>(
    ids: &mut FxHashMap<T, I>,
    items: &mut Vec<T>,
    item: &T,
) -> I {
    if let Some(&id) = ids.get(item) {
        return id;
    }
    let id = I::try_from(items.len()).unwrap_or_default();
    items.push(item.clone());
    ids.insert(item.clone(), id);
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    fn op(f: String, node: Option<String>) -> Op {
        let mut op = Op::new(Process::nemesis(""), Kind::Info, F::parse(&f), Value::Nil);
        op.node = node.as_deref().map(Node::new);
        op
    }

    /// Each event is a note of the plain nemesis, so that only the number of names matters.
    #[test]
    fn one_name_too_many_is_refused_and_changes_nothing() {
        let mut builder = HistoryBuilder::default();
        for number in 0..FUNCTIONS_MAX {
            let node = (number < NODES_MAX).then(|| format!("n{number}"));
            builder.push(op(format!("f{number}"), node)).expect("a name within the limit");
        }
        let index = FUNCTIONS_MAX as u32;
        let error = builder.push(op("f".to_owned(), None)).expect_err("a function too many");
        assert_eq!(error, HistoryError::TooManyFunctions { index, f: F::parse("f") });
        let error = builder.push(op("f0".to_owned(), Some("n".to_owned()))).expect_err("a node too many");
        assert_eq!(error, HistoryError::TooManyNodes { index, node: Node::new("n") });
        builder.push(op("f0".to_owned(), Some("n65534".to_owned()))).expect("known names still do");
        let history = builder.finish();
        assert_eq!((history.functions().len(), history.nodes().len()), (FUNCTIONS_MAX, NODES_MAX));
        assert_eq!(history.len(), FUNCTIONS_MAX + 1);
        assert_eq!(history.node(65534).map(Node::as_str), Some("n65534"));
        assert_eq!(history.node(65535), None);
        assert_eq!(history.f(65535).as_str(), "f65535");
    }
}
