//! Transactions as the history has them.

use schism_history::{History, Kind, Micro, MicroF, MicroValue, OpIndex, TxnRef, Value, ValueId};

/// A transaction.
#[derive(Clone, Copy)]
pub struct Txn<'h> {
    history: &'h History,
    /// Its invocation.
    pub invoked: OpIndex,
    /// Its completion, if it ended well.
    pub ended: Option<OpIndex>,
    /// Whether it certainly did not happen.
    pub failed: bool,
    process: u32,
    txn: TxnRef<'h>,
}

/// The transaction that was invoked there.
pub fn txn(history: &History, invoked: OpIndex) -> Result<Txn<'_>, String> {
    let none = || format!("event {invoked} is no invocation of a transaction by a client");
    if invoked as usize >= history.len()
        || history.kind(invoked) != Kind::Invoke
        || history.process(invoked).client().is_none()
    {
        return Err(none());
    }
    let completion = history.pair(invoked);
    let ended = completion.filter(|&end| history.kind(end) == Kind::Ok);
    let failed = completion.is_some_and(|end| history.kind(end) == Kind::Fail);
    let txn = history.txn(ended.unwrap_or(invoked)).ok_or_else(none)?;
    Ok(Txn { history, invoked, ended, failed, process: history.process_id(invoked), txn })
}

/// All transactions, in order of invocation.
pub fn all(history: &History) -> impl Iterator<Item = Txn<'_>> {
    (0..history.len() as OpIndex).filter_map(|index| txn(history, index).ok())
}

impl<'h> Txn<'h> {
    /// Its micro-operations.
    pub fn micros(&self) -> impl ExactSizeIterator<Item = Micro<'h>> + 'h {
        self.txn.micros()
    }

    /// One of them.
    pub fn micro(&self, place: u32) -> Result<Micro<'h>, String> {
        if (place as usize) < self.txn.len() {
            return Ok(self.txn.micro(place as usize));
        }
        Err(format!("the transaction of event {} has no micro-operation {place}", self.invoked))
    }

    /// What a micro-operation wrote: key and value.
    pub fn written(&self, place: u32) -> Option<(u32, ValueId)> {
        let micro = self.micro(place).ok()?;
        match (micro.f, micro.value) {
            (MicroF::Append | MicroF::Write, MicroValue::One(value)) => Some((micro.key, value)),
            // A list that is written whole has no number here.
            _ => None,
        }
    }

    /// What a micro-operation read, if its transaction ended well: key and list, of a register at most one value.
    pub fn read(&self, place: u32) -> Option<(u32, Vec<ValueId>)> {
        self.ended?;
        let micro = self.micro(place).ok()?;
        let values = match (micro.f, micro.value) {
            (MicroF::Read, MicroValue::One(ValueId::NIL)) => Vec::new(),
            (MicroF::Read, MicroValue::One(value)) => vec![value],
            (MicroF::Read, MicroValue::Prefix(length)) => self.txn.list_of(micro.key)[..length as usize].to_vec(),
            (MicroF::Read, MicroValue::Deviant(values)) => values.to_vec(),
            _ => return None,
        };
        Some((micro.key, values))
    }

    /// What it wrote to a key before a place.
    pub fn own(&self, key: u32, before: u32) -> Vec<ValueId> {
        (0..before)
            .filter_map(|place| self.written(place))
            .filter(|&(other, _)| other == key)
            .map(|(_, value)| value)
            .collect()
    }

    /// What a read saw of others: key and values, of a list without own appends at its end. No answer where it saw its own write, or
    /// contradicts it.
    pub fn seen(&self, place: u32) -> Option<(u32, Vec<ValueId>)> {
        let (key, mut values) = self.read(place)?;
        let own = self.own(key, place);
        let is_list_read = !matches!(self.micro(place).ok()?.value, MicroValue::One(_));
        if own.is_empty() && !is_list_read {
            return Some((key, values));
        }
        let is_list = is_list(self.history, key);
        if !own.is_empty() && (!is_list || !values.ends_with(&own)) {
            return None;
        }
        values.truncate(values.len() - own.len());
        if !is_list {
            // A register that holds a list was written whole.
            let whole = whole(self.history, key, &values);
            values = whole.map_or(values, |whole| vec![whole]);
        }
        Some((key, values))
    }

    /// The newest value of that (`None`: nothing), with the key.
    pub fn external(&self, place: u32) -> Option<(u32, Option<ValueId>)> {
        self.seen(place).map(|(key, values)| (key, values.last().copied()))
    }

    /// What a read of a register saw that is none of what its own transaction ever wrote to it, though it had written it before.
    pub fn strange(&self, place: u32) -> Option<(u32, Option<ValueId>)> {
        let (key, values) = self.read(place)?;
        let own = self.own(key, self.txn.len() as u32);
        let value = values.last().copied();
        let is_strange = !is_list(self.history, key) && value.is_some_and(|value| !own.contains(&value));
        is_strange.then_some((key, value))
    }

    /// Whether it wrote a value to a key, and where.
    pub fn place_of(&self, key: u32, value: ValueId) -> Option<u32> {
        (0..self.txn.len() as u32).find(|&place| self.written(place) == Some((key, value)))
    }

    /// Whether it is of the process of another.
    pub fn is_of_process(&self, other: &Txn<'_>) -> bool {
        self.process == other.process
    }

    /// Whether it comes before another in their process.
    pub fn is_before_in_process(&self, other: &Txn<'_>) -> bool {
        self.process == other.process && self.is_before(other)
    }

    /// Whether it had ended before another began.
    pub fn is_before(&self, other: &Txn<'_>) -> bool {
        self.ended.is_some_and(|ended| ended < other.invoked)
    }
}

/// The number of a list that somebody wrote to a register.
fn whole(history: &History, key: u32, items: &[ValueId]) -> Option<ValueId> {
    let list = Value::list(items.iter().map(|&item| (*history.value_of(item)).clone()).collect());
    let is_it = |&(other, value): &(u32, ValueId)| other == key && *history.value_of(value) == list;
    all(history)
        .find_map(|txn| (0..txn.micros().len() as u32).filter_map(|place| txn.written(place)).find(is_it))
        .map(|(_, value)| value)
}

/// Whether a key is one of lists: somebody appends to it, or a list was read of it and nobody wrote it whole.
pub fn is_list(history: &History, key: u32) -> bool {
    let any = |wanted: &dyn Fn(&Micro<'_>) -> bool| {
        all(history).any(|txn| txn.micros().any(|micro| micro.key == key && wanted(&micro)))
    };
    let is_read = |micro: &Micro<'_>| matches!(micro.value, MicroValue::Prefix(_) | MicroValue::Deviant(_));
    any(&|micro| micro.f == MicroF::Append) || any(&is_read) && !any(&|micro| micro.f == MicroF::Write)
}

/// Whether a transaction is committed: it ended well, or it is in doubt and one that ended well read what it wrote.
pub fn is_committed(history: &History, txn: &Txn<'_>) -> bool {
    let is_seen = |reader: Txn<'_>| {
        let reads = (0..reader.micros().len() as u32).filter_map(|place| reader.read(place));
        reads.into_iter().any(|(key, values)| values.iter().any(|&value| txn.place_of(key, value).is_some()))
    };
    txn.ended.is_some() || !txn.failed && all(history).any(is_seen)
}
