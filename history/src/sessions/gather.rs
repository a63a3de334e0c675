//! Sessions of transactions, gathered from a file, to a history.

use rustc_hash::{FxHashMap, FxHashSet};

use super::SessionsError;
use super::lines::Place;
use crate::history::{History, HistoryBuilder, HistoryError, MicroF, ValueId};
use crate::op::{F, Kind, Op, Process};
use crate::reading::plain::{Names, Plain};
use crate::value::{Key, Mop, Value};

/// What an operation does. Values are those of [`Gather::step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    Write,
    Read,
    /// Reads what was there at first.
    ReadInitial,
    Append,
    /// Reads a list; its value is a place in [`Gather::items`], where its length stands, then its items.
    ReadList,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Committed,
    Aborted,
    /// Nobody knows; nothing of its session follows.
    Open,
}

/// An operation of a transaction.
#[derive(Debug, Clone, Copy)]
struct Step {
    value: i64,
    key: u32,
    txn: u32,
    does: Does,
}

/// What is expected of writes in formats where 0 is what every key holds at first.
pub(super) const NOT_ZERO: &str = "a value that is not 0: in this format 0 is what every key holds at first, so that nobody can tell who reads it; number the values from 1 (only a committed transaction alone in its session, that writes 0 to every key that is read and nothing else, is taken for what was there at first)";

/// A number of a session, of a transaction, of a key: dense, in order of first appearance.
pub(super) type Number = u32;

/// What was found so far. The operations of different transactions may be added in any order.
#[derive(Default)]
pub(super) struct Gather {
    steps: Vec<Step>,
    items: Vec<i64>,
    ends: Vec<End>,
    /// By session: its process, and its transactions in order.
    sessions: Vec<(u32, Vec<Number>)>,
    session_numbers: FxHashMap<u32, Number>,
    keys: Vec<Key>,
    key_numbers: FxHashMap<Key, Number>,
    /// By transaction that writes 0 where 0 is what every key holds at first: where it first does.
    zeros: FxHashMap<Number, Place>,
    /// Whether values are integers from 0 to 2^64 - 1, kept in 64 bits with a sign.
    pub unsigned: bool,
}

impl Gather {
    /// The session of that number in the file.
    pub(super) fn session(&mut self, process: u32) -> Number {
        let next = self.sessions.len() as Number;
        let number = *self.session_numbers.entry(process).or_insert(next);
        if number == next {
            self.sessions.push((process, Vec::new()));
        }
        number
    }

    /// A further session.
    pub(super) fn next_session(&mut self) -> Number {
        self.session(self.sessions.len() as u32)
    }

    /// A further transaction of a session.
    pub(super) fn txn(&mut self, session: Number, end: End) -> Number {
        let number = self.ends.len() as Number;
        self.ends.push(end);
        self.sessions[session as usize].1.push(number);
        number
    }

    /// How a transaction ended after all.
    pub(super) fn set_end(&mut self, txn: Number, end: End) {
        self.ends[txn as usize] = end;
    }

    pub(super) fn key(&mut self, key: Key) -> Number {
        if let Some(&number) = self.key_numbers.get(&key) {
            return number;
        }
        let number = self.keys.len() as Number;
        self.keys.push(key.clone());
        self.key_numbers.insert(key, number);
        number
    }

    /// The key of an integer from 0; one beyond 63 bits is a text.
    pub(super) fn key_unsigned(&mut self, key: u64) -> Number {
        match i64::try_from(key) {
            Ok(key) => self.key(Key::Int(key)),
            Err(_) => self.key(Key::Str(key.to_string().into())),
        }
    }

    /// Adds an operation to a transaction.
    pub(super) fn step(&mut self, txn: Number, does: Does, key: Number, value: i64) {
        self.steps.push(Step { value, key, txn, does });
    }

    /// Notes that a transaction writes 0, for [`Gather::leave_out_initial`].
    pub(super) fn zero(&mut self, txn: Number, place: Place) {
        self.zeros.entry(txn).or_insert(place);
    }

    /// Leaves out the transactions that only say that every key held 0 at first; other checkers write such a one. As a
    /// write of 0 in the midst of a history would be taken for no write at all, it must look like nothing else: committed,
    /// of writes of 0 only, to every key that a committed transaction reads, with no other committed one in its session.
    ///
    /// # Errors
    /// The first place at which another transaction writes 0.
    pub(super) fn leave_out_initial(&mut self) -> Result<(), Place> {
        if self.zeros.is_empty() {
            return Ok(());
        }
        let is_committed = |txn: Number| self.ends[txn as usize] == End::Committed;
        let mut initial: FxHashSet<Number> = FxHashSet::default();
        for (_, txns) in &self.sessions {
            let mut committed = txns.iter().filter(|&&txn| is_committed(txn));
            if let (Some(&txn), None) = (committed.next(), committed.next())
                && self.zeros.contains_key(&txn)
            {
                initial.insert(txn);
            }
        }
        let (mut read, mut zeroed) = (FxHashSet::default(), FxHashSet::default());
        for step in &self.steps {
            if step.does == Does::Write && step.value == 0 {
                zeroed.insert((step.txn, step.key));
                continue;
            }
            initial.remove(&step.txn);
            if step.does != Does::Write && is_committed(step.txn) {
                read.insert(step.key);
            }
        }
        initial.retain(|&txn| read.iter().all(|&key| zeroed.contains(&(txn, key))));
        let others = self.zeros.iter().filter(|(txn, _)| !initial.contains(txn));
        if let Some(&place) = others.map(|(_, place)| place).min() {
            return Err(place);
        }
        self.steps.retain(|step| !initial.contains(&step.txn));
        for (_, txns) in &mut self.sessions {
            txns.retain(|txn| !initial.contains(txn));
        }
        Ok(())
    }

    /// Adds the read of a list.
    pub(super) fn list(&mut self, txn: Number, key: Number, items: &[i64]) {
        let place = self.items.len() as i64;
        self.items.push(items.len() as i64);
        self.items.extend_from_slice(items);
        self.step(txn, Does::ReadList, key, place);
    }

    /// The history of all sessions.
    ///
    /// # Errors
    /// When a history cannot hold so much.
    pub(super) fn into_history(mut self) -> Result<History, SessionsError> {
        if !self.steps.is_sorted_by_key(|step| step.txn) {
            self.steps.sort_by_key(|step| step.txn);
        }
        self.settle_zeros();
        let mut starts = Vec::with_capacity(self.ends.len() + 1);
        let mut at = 0;
        for txn in 0..self.ends.len() as Number {
            starts.push(at);
            while self.steps.get(at).is_some_and(|step| step.txn == txn) {
                at += 1;
            }
        }
        starts.push(at);
        let Gather { steps, items, ends, sessions, keys, unsigned, .. } = self;
        let mut builder = HistoryBuilder::default();
        builder.forget_realtime();
        let writer = Writer { builder, names: Names::default(), steps, items, starts, keys, unsigned };
        writer.history(&ends, &sessions).map_err(|source| SessionsError::Rule { source })
    }

    /// Reads of 0 are reads of nothing where nobody wrote 0.
    fn settle_zeros(&mut self) {
        let mut written: FxHashSet<u32> = FxHashSet::default();
        for step in &self.steps {
            if step.value == 0 && step.does == Does::Write && self.ends[step.txn as usize] != End::Aborted {
                written.insert(step.key);
            }
        }
        for step in &mut self.steps {
            if step.value == 0 && step.does == Does::Read && !written.contains(&step.key) {
                step.does = Does::ReadInitial;
            }
        }
    }
}

/// Writes transactions as events.
struct Writer {
    builder: HistoryBuilder,
    names: Names,
    steps: Vec<Step>,
    items: Vec<i64>,
    /// By transaction: where its steps begin; and the end of the last.
    starts: Vec<usize>,
    keys: Vec<Key>,
    unsigned: bool,
}

impl Writer {
    /// Each session begins its next transaction right after the end of the one before, and sessions take turns: so the
    /// transactions of two sessions overlap wherever they can.
    fn history(mut self, ends: &[End], sessions: &[(u32, Vec<Number>)]) -> Result<History, HistoryError> {
        let mut live: Vec<(u32, &[Number])> = Vec::new();
        for (process, txns) in sessions {
            if let Some(&first) = txns.first() {
                self.event(*process, Kind::Invoke, first)?;
                live.push((*process, txns));
            }
        }
        while !live.is_empty() {
            let mut next = Vec::with_capacity(live.len());
            for (process, txns) in live {
                let Some((&txn, rest)) = txns.split_first() else { continue };
                match ends[txn as usize] {
                    End::Committed => self.event(process, Kind::Ok, txn)?,
                    End::Aborted => self.event(process, Kind::Fail, txn)?,
                    End::Open => continue,
                }
                if let Some(&following) = rest.first() {
                    self.event(process, Kind::Invoke, following)?;
                    next.push((process, rest));
                }
            }
            live = next;
        }
        Ok(self.builder.finish())
    }

    fn event(&mut self, process: u32, kind: Kind, txn: Number) -> Result<(), HistoryError> {
        let steps = self.starts[txn as usize]..self.starts[txn as usize + 1];
        // What was read is known of committed transactions only.
        let answered = kind == Kind::Ok;
        self.names.flats.clear();
        let start = self.names.flats.mark();
        if steps.clone().all(|place| self.flat(self.steps[place], answered).is_some()) {
            let f = self.names.function(b"txn").unwrap_or_default();
            let mut plain = Plain { process, kind, f, ..Plain::NEW };
            plain.set_txn(&self.names.flats, start);
            return self.builder.push_plain(&plain, &mut self.names);
        }
        let mops = self.steps[steps].iter().map(|&step| self.mop(step, answered)).collect();
        self.builder.push(Op::new(Process::Client(process), kind, F::Txn, Value::Txn(Box::new(mops))))
    }
}

impl Writer {
    /// Adds a step to the open transaction in its small form, if it has one.
    fn flat(&mut self, step: Step, answered: bool) -> Option<()> {
        let Key::Int(key) = self.keys[step.key as usize] else { return None };
        let flats = &mut self.names.flats;
        let f = match step.does {
            Does::Write => MicroF::Write,
            Does::Append => MicroF::Append,
            Does::Read | Does::ReadInitial | Does::ReadList => MicroF::Read,
        };
        match step.does {
            Does::ReadInitial => flats.one(f, key, ValueId::NIL),
            Does::Read | Does::ReadList if !answered => flats.one(f, key, ValueId::NIL),
            Does::ReadList => {
                let start = flats.items_len();
                for &item in list(&self.items, step.value) {
                    flats.item(small(item)?);
                }
                flats.list(key, start)?;
            }
            Does::Write | Does::Append | Does::Read => flats.one(f, key, small(step.value)?),
        }
        Some(())
    }

    fn mop(&self, step: Step, answered: bool) -> Mop {
        let number = |number: i64| match u64::try_from(number) {
            Err(_) if self.unsigned => Value::Big(number.cast_unsigned().to_string().into()),
            _ => Value::Int(number),
        };
        let value = match step.does {
            Does::ReadInitial => Value::Nil,
            Does::Read | Does::ReadList if !answered => Value::Nil,
            Does::ReadList => Value::list(list(&self.items, step.value).iter().map(|&item| number(item)).collect()),
            Does::Write | Does::Append | Does::Read => number(step.value),
        };
        let f = match step.does {
            Does::Write => "w",
            Does::Append => "append",
            Does::Read | Does::ReadInitial | Does::ReadList => "r",
        };
        Mop::new(f, self.keys[step.key as usize].clone(), value)
    }
}

/// The list whose length stands there.
fn list(items: &[i64], place: i64) -> &[i64] {
    let place = place as usize;
    let length = items.get(place).map_or(0, |&length| length as usize);
    items.get(place + 1..place + 1 + length).unwrap_or_default()
}

fn small(number: i64) -> Option<ValueId> {
    u32::try_from(number).ok().and_then(ValueId::of_small)
}
