//! Transactions taken apart: each read and each write is a unit of its own, in the order of the program.

use schism_history::{Micro, MicroF, MicroValue, ValueId};

use super::mutant::Mutation;
use super::parts::{Part, Parts};
use super::units::{NONE, Ranked, Sessions};
use crate::txn::accesses::{Accesses, Read, UNKNOWN};
use crate::txn::meter::{Meter, Spent};
use crate::txn::txns::{TxnId, Txns};

/// Bytes of one.
pub(super) const OPERATION_BYTES: u64 = 96;

/// The single operations of committed transactions. Of what others wrote nothing is known here.
#[derive(Debug)]
pub(super) struct Operations {
    /// What each reads or writes; one read or one write each. A read of a list behind own appends is two: of the last of these, and of
    /// what others had appended before.
    pub accesses: Accesses,
    /// By operation: its transaction.
    pub owners: Vec<TxnId>,
    /// The order of sessions among them.
    pub sessions: Sessions,
    /// By transaction: its process, also where it is in doubt.
    processes: Vec<u32>,
    /// By operation: the last write before it in its session, or [`NONE`].
    pub write_before: Vec<u32>,
    /// By rank of a transaction: its first operation; and the end of the last.
    pub first: Vec<u32>,
    /// Whether of some read it cannot be said which operation wrote what it saw.
    pub passes_over: bool,
}

impl Operations {
    /// Takes them apart, those of transactions that are near, in the order of ranks. Linear, but for reads of lists behind
    /// many appends of their own, and of what their writer appended before its last. Bytes are about 96 for each, given
    /// back by [`Operations::close`].
    pub fn of(
        txns: &Txns<'_>,
        ranked: &Ranked<'_>,
        among: &Sessions,
        is_near: &[bool],
        meter: &mut Meter,
        mutation: Mutation,
    ) -> Result<Operations, Spent> {
        let whole = ranked.accesses;
        let parts = Parts::of(txns, ranked, |id| is_near[id as usize], meter, mutation)?;
        let count = parts.all.len();
        // By transaction: its last operation, or the last before it in its session.
        let mut last = vec![NONE; whole.len()];
        let mut all = Operations {
            accesses: Accesses::new(whole.keys_count),
            owners: Vec::with_capacity(count),
            sessions: Sessions::none(count),
            processes: (0..whole.len() as TxnId).map(|id| txns.session(id)).collect(),
            write_before: vec![NONE; count],
            first: Vec::new(),
            passes_over: parts.passes_over,
        };
        for (rank, id) in ranked.units() {
            let mut before = match among.before[id as usize] {
                NONE => NONE,
                before => last[before as usize],
            };
            for unit in parts.of_rank(rank) {
                match parts.all[unit as usize] {
                    Part::Write(write) => all.accesses.push(&[], &[write], true),
                    Part::Own { read, write } => {
                        let writer = parts.write_at(rank, write).unwrap_or(UNKNOWN);
                        all.accesses.push(&[Read { writer, ..read }], &[], true);
                    }
                    Part::Read { read, is_behind_own } => {
                        let writer = match whole.also_for_a_while.binary_search(&(id, read.micro)) {
                            Ok(_) => {
                                all.passes_over = true;
                                UNKNOWN
                            }
                            Err(_) => parts.writer(id, &read, is_behind_own, meter)?,
                        };
                        all.accesses.push(&[Read { writer, ..read }], &[], true);
                    }
                }
                all.owners.push(id);
                all.sessions.before[unit as usize] = before;
                all.sessions.session[unit as usize] = among.session[id as usize];
                if before != NONE {
                    let is_write = matches!(parts.all[before as usize], Part::Write(_));
                    all.write_before[unit as usize] = if is_write { before } else { all.write_before[before as usize] };
                }
                before = unit;
            }
            last[id as usize] = before;
        }
        parts.order_versions(&mut all.accesses);
        all.first = parts.first;
        Ok(all)
    }

    /// Gives the bytes back.
    pub fn close(self, meter: &mut Meter) {
        meter.give_back(self.owners.len() as u64 * OPERATION_BYTES);
    }

    /// The process of its transaction.
    pub fn process(&self, unit: u32) -> u32 {
        self.processes[self.owners[unit as usize] as usize]
    }

    /// Whether it is a write.
    pub fn is_write(&self, unit: u32) -> bool {
        !self.accesses.writes(unit).is_empty()
    }
}

/// What a read saw of others: the newest value, own appends at the end of a list left out. `None` too where the accesses were not
/// made of these transactions.
pub(super) fn newest(txns: &Txns<'_>, reader: TxnId, read: &Read) -> Option<ValueId> {
    newest_of(txns, reader, read, true)
}

/// The same, where it may be known that the read lies behind no own append.
pub(super) fn newest_of(txns: &Txns<'_>, reader: TxnId, read: &Read, is_behind_own: bool) -> Option<ValueId> {
    let txn = txns.txn(reader);
    let is_own = |micro: &Micro<'_>| micro.f == MicroF::Append && micro.key == read.key;
    let count = || txn.micros().take(read.micro as usize).filter(is_own).count();
    let own = || if is_behind_own { count() } else { 0 };
    if read.micro as usize >= txn.len() {
        return None;
    }
    match txn.micro(read.micro as usize).value {
        MicroValue::One(value) => Some(value),
        MicroValue::Prefix(length) => txn.list_of(read.key)[..length as usize].iter().nth_back(own()).copied(),
        MicroValue::Deviant(list) => list.iter().nth_back(own()).copied(),
        MicroValue::Other(_) => None,
    }
}
