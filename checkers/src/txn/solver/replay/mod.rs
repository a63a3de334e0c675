//! Verifies a commit order from what was read and written alone, by code that shares nothing with the search.
//!
//! One order for all is walked once, and what each key holds is remembered (here); where each transaction has a prefix of it, it
//! must have one (`snapshots`); where each reader stands alone, it must be on no cycle (`alone`).

mod alone;
mod snapshots;

use super::{Keeps, Property, Question};
use crate::txn::accesses::INITIAL;
use crate::txn::meter::{Meter, Spent};
use crate::txn::txns::TxnId;

/// Nowhere in the order.
const NOWHERE: u32 = u32::MAX;

/// An order, and what it does not show by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Commit order: all transactions that ended well, and those in doubt that somebody saw.
    pub order: Vec<TxnId>,
    /// Where each reader stands alone: by their place in [`Question::uncertain`], from whom reads with several possible
    /// writers are.
    pub taken: Vec<(u32, TxnId)>,
}

/// Why an order was not verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReplayed {
    /// It is none.
    #[error("{0}")]
    Wrong(String),
    /// The budget ended first.
    #[error("the budget ended before the order was verified")]
    Spent,
}

impl From<Spent> for NotReplayed {
    fn from(_: Spent) -> NotReplayed {
        NotReplayed::Spent
    }
}

type Verified = Result<(), NotReplayed>;

fn wrong(reason: String) -> Verified {
    Err(NotReplayed::Wrong(reason))
}

struct Replay<'a> {
    question: &'a Question<'a>,
    order: &'a [TxnId],
    taken: &'a [(u32, TxnId)],
    /// By transaction: how many are before it, or [`NOWHERE`].
    place: Vec<u32>,
    /// By key: where the places of its writers begin in `writers`; and the end of the last.
    writer_starts: Vec<u32>,
    /// The writers' places, ascending for each key.
    writers: Vec<u32>,
    /// Places of uncertain reads, by reader.
    uncertain: Vec<u32>,
}

/// Verifies a commit order for what was asked. O(n log n) in operations; where each reader stands alone, readers that no place
/// in the order explains cost a pass over all edges for each 64 of them, which the meter bears.
///
/// # Errors
/// What is wrong with it, in words; or that the budget ended.
pub fn replay(question: &Question<'_>, certificate: &Certificate, meter: &mut Meter) -> Verified {
    let replay = Replay::new(question, certificate)?;
    replay.keeps_known()?;
    match question.property {
        Property::Serializable => replay.serial(),
        Property::SnapshotIsolation => replay.snapshots(true),
        Property::Prefix => replay.snapshots(false),
        // One order for all, or snapshots of it, are more than is asked, and cost less.
        Property::ParallelSnapshotIsolation => {
            replay.serial().or_else(|_| replay.snapshots(true)).or_else(|_| replay.alone(false, meter))
        }
        Property::UpdateSerializable => replay.serial().or_else(|_| replay.alone(true, meter)),
    }
}

impl<'a> Replay<'a> {
    fn new(question: &'a Question<'a>, certificate: &'a Certificate) -> Result<Replay<'a>, NotReplayed> {
        let (txns, accesses) = (question.txns, question.accesses);
        let order = &certificate.order[..];
        let mut place = vec![NOWHERE; txns.len().min(accesses.len())];
        let mut writer_starts = vec![0u32; accesses.keys_count as usize + 1];
        for (at, &id) in order.iter().enumerate() {
            match place.get_mut(id as usize) {
                Some(slot) if *slot == NOWHERE => *slot = at as u32,
                Some(_) => wrong(format!("{id} is there twice"))?,
                None => wrong(format!("{id} is no transaction"))?,
            }
            for write in accesses.writes(id) {
                if let Some(count) = writer_starts.get_mut(write.key as usize + 1) {
                    *count += 1;
                }
            }
        }
        let missing = (0..txns.ok_count()).find(|&id| place.get(id as usize).is_none_or(|&place| place == NOWHERE));
        missing.map_or(Ok(()), |id| wrong(format!("{id} is missing")))?;
        for key in 1..writer_starts.len() {
            writer_starts[key] += writer_starts[key - 1];
        }
        let mut free = writer_starts.clone();
        let mut writers = vec![0; writer_starts.last().copied().unwrap_or(0) as usize];
        for (at, &id) in order.iter().enumerate() {
            for write in accesses.writes(id).iter().filter(|write| write.key < accesses.keys_count) {
                writers[free[write.key as usize] as usize] = at as u32;
                free[write.key as usize] += 1;
            }
        }
        let mut uncertain: Vec<u32> = (0..question.uncertain.len() as u32).collect();
        uncertain.sort_by_key(|&read| question.uncertain[read as usize].reader);
        Ok(Replay { question, order, taken: &certificate.taken, place, writer_starts, writers, uncertain })
    }

    /// The places of those who wrote a key, ascending.
    fn writers(&self, key: u32) -> &[u32] {
        if key >= self.question.accesses.keys_count {
            return &[];
        }
        let (from, to) = (self.writer_starts[key as usize], self.writer_starts[key as usize + 1]);
        &self.writers[from as usize..to as usize]
    }

    fn wrote(&self, writer: TxnId, key: u32) -> bool {
        let accesses = self.question.accesses;
        let is_known = (writer as usize) < accesses.len();
        writer == INITIAL || (is_known && accesses.writes(writer).iter().any(|write| write.key == key))
    }

    /// What a transaction read of others, key and writer, where that is certain. Reads of those in doubt are not known.
    fn reads(&self, id: TxnId) -> impl Iterator<Item = (u32, TxnId)> + '_ {
        let reads = if self.question.txns.is_ok(id) { self.question.accesses.reads(id) } else { &[] };
        let of_others = reads.iter().filter(move |read| read.writer != id && self.wrote(read.writer, read.key));
        of_others.map(|read| (read.key, read.writer))
    }

    /// What else it read: the read's place among the uncertain ones, the key, and who may have written it.
    fn choices(&self, id: TxnId) -> impl Iterator<Item = (u32, u32, Vec<TxnId>)> + '_ {
        let all = self.question.uncertain;
        let first = self.uncertain.partition_point(|&read| all[read as usize].reader < id);
        let own = self.uncertain[first..].iter().take_while(move |&&read| all[read as usize].reader == id);
        own.filter(move |_| self.question.txns.is_ok(id)).filter_map(move |&read| {
            let key = all[read as usize].key;
            let candidates = all[read as usize].candidates.iter().copied();
            let writers: Vec<TxnId> = candidates.filter(|&writer| writer != id).collect();
            // Who may be no writer of the key at all: nothing is known then.
            let is_known = !writers.is_empty() && writers.iter().all(|&writer| self.wrote(writer, key));
            is_known.then_some((read, key, writers))
        })
    }

    /// Whether a transaction has to be before another.
    fn must_precede(&self, a: TxnId, b: TxnId) -> bool {
        let txns = self.question.txns;
        let is_asked = match self.question.keeps {
            Keeps::Nothing => false,
            Keeps::Process => txns.session(a) == txns.session(b),
            Keeps::Realtime => true,
        };
        is_asked && txns.is_ok(a) && txns.ended(a) < txns.invoked(b)
    }

    /// Known orders of versions.
    fn keeps_known(&self) -> Verified {
        let place = |id: TxnId| self.place.get(id as usize).copied().filter(|&place| place != NOWHERE);
        for (key, known) in self.question.accesses.versions.iter().enumerate() {
            let mut latest = 0;
            for at in known.iter().filter_map(|&id| place(id)) {
                if at < latest {
                    return wrong(format!("versions of key {key} are not in their order"));
                }
                latest = at;
            }
        }
        for edge in self.question.known {
            if let (Some(from), Some(to)) = (place(edge.from), place(edge.to))
                && from >= to
            {
                return wrong(format!("{} wrote a version before that of {}", edge.from, edge.to));
            }
        }
        Ok(())
    }

    /// The order of processes, or of real time, of those that count.
    fn keeps(&self, counts: impl Fn(TxnId) -> bool) -> Verified {
        if self.question.keeps == Keeps::Nothing {
            return Ok(());
        }
        let txns = self.question.txns;
        // The latest beginning so far, of all or of the process: nobody may come who had ended before it.
        let groups = if self.question.keeps == Keeps::Realtime { 1 } else { txns.sessions_count() as usize };
        let mut latest: Vec<Option<TxnId>> = vec![None; groups];
        for &id in self.order.iter().filter(|&&id| counts(id)) {
            let group = if groups == 1 { 0 } else { txns.session(id) as usize };
            let Some(slot) = latest.get_mut(group) else { continue };
            let other = *slot.get_or_insert(id);
            if self.must_precede(id, other) {
                return wrong(format!("{id} had ended before {other} began"));
            }
            if txns.invoked(id) > txns.invoked(other) {
                *slot = Some(id);
            }
        }
        Ok(())
    }

    /// One after the other: each reads what the last writer left.
    fn serial(&self) -> Verified {
        self.keeps(|_| true)?;
        let mut last = vec![INITIAL; self.question.accesses.keys_count as usize];
        for &id in self.order {
            let now = |key: u32| last.get(key as usize).copied().unwrap_or(INITIAL);
            for (key, writer) in self.reads(id) {
                if now(key) != writer {
                    return wrong(format!("{id} would have read key {key} from {}, not {writer}", now(key)));
                }
            }
            for (_, key, writers) in self.choices(id) {
                if !writers.contains(&now(key)) {
                    return wrong(format!("{id} would have read key {key} from {}", now(key)));
                }
            }
            for write in self.question.accesses.writes(id) {
                if let Some(slot) = last.get_mut(write.key as usize) {
                    *slot = id;
                }
            }
        }
        Ok(())
    }
}
