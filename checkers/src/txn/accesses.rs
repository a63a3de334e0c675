//! Who read what from whom: the view of transactions that needs no order of versions. Registers and lists alike: a list
//! read is read from the writer of its last element; behind appends of its own, from that of the last element before them.

use crate::txn::txns::TxnId;

/// The writer of the initial state, which nobody wrote.
pub const INITIAL: TxnId = TxnId::MAX - 1;

/// Nobody wrote it, or a transaction that failed did; or it cannot be said who.
pub const UNKNOWN: TxnId = TxnId::MAX;

/// A read of what others wrote to a key: of a key that its transaction had not written before; of a list also one behind
/// appends of its own transaction, which then end the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// The key's number ([`schism_history::Micro::key`]).
    pub key: u32,
    /// Who wrote what was read (own appends at the end of a list left out): another transaction, [`INITIAL`] or [`UNKNOWN`].
    pub writer: TxnId,
    /// The micro-operation's place in its transaction.
    pub micro: u32,
}

/// The last write of a key in a transaction (of a list: its last append).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// The key's number.
    pub key: u32,
    /// The micro-operation's place in its transaction.
    pub micro: u32,
}

/// Reads and writes of all transactions, in flat arrays.
#[derive(Debug, Clone, Default)]
pub struct Accesses {
    reads: Vec<Read>,
    read_starts: Vec<u32>,
    writes: Vec<Write>,
    write_starts: Vec<u32>,
    /// By transaction: whether it is committed, which is to say `ok`, or in doubt and its writes were seen. The reads of
    /// one in doubt are unknown, and are not listed.
    pub committed: Vec<bool>,
    /// Reads (transaction, micro-operation) of a value that their writer wrote last, or that was there at first, and that
    /// another transaction wrote for a while; or of an own write of a value that was written more than once: who looks at single
    /// operations cannot say which of them was read. In order.
    pub also_for_a_while: Vec<(TxnId, u32)>,
    /// By key, where the order of its versions is known: the writers, in that order. Empty where it is not. It is the
    /// whole order, but for the writers in [`Accesses::tails`].
    pub versions: Vec<Vec<TxnId>>,
    /// Of keys with an order of versions: writers, two or more of a key, who come after all of its `versions`, in an order
    /// that nobody saw. With the key's number, by key.
    pub tails: Vec<(u32, TxnId)>,
    /// Keys of lists of which some element was appended more than once. In order.
    pub ambiguous: Vec<u32>,
    /// Keys of lists in whose order one transaction's appends stand between those of another. In order.
    pub interleaved: Vec<u32>,
    /// Writers of a key with an order of versions, where single operations are looked at, that have no place in it: their own
    /// transaction wrote over it. In order.
    pub unplaced: Vec<TxnId>,
    /// How many keys there are.
    pub keys_count: u32,
}

impl Accesses {
    /// Nothing yet; transactions are added in order of their numbers.
    pub fn new(keys_count: u32) -> Accesses {
        Accesses { read_starts: vec![0], write_starts: vec![0], keys_count, ..Accesses::default() }
    }

    /// Adds the next transaction. Reads in program order, repeated ones included; each key written once.
    pub fn push(&mut self, reads: &[Read], writes: &[Write], committed: bool) {
        self.reads.extend_from_slice(reads);
        self.read_starts.push(self.reads.len() as u32);
        self.writes.extend_from_slice(writes);
        self.write_starts.push(self.writes.len() as u32);
        self.committed.push(committed);
    }

    /// Says who wrote what a read saw, by the read's place among all of them, in order of transactions.
    pub(crate) fn set_writer(&mut self, place: u32, writer: TxnId) {
        self.reads[place as usize].writer = writer;
    }

    /// The place of a transaction's first read among all of them.
    pub(crate) fn first_read(&self, id: TxnId) -> u32 {
        self.read_starts[id as usize]
    }

    /// How many transactions.
    pub fn len(&self) -> usize {
        self.committed.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.committed.is_empty()
    }

    /// What a transaction read from others, in program order.
    pub fn reads(&self, id: TxnId) -> &[Read] {
        let id = id as usize;
        &self.reads[self.read_starts[id] as usize..self.read_starts[id + 1] as usize]
    }

    /// What a transaction wrote, each key once.
    pub fn writes(&self, id: TxnId) -> &[Write] {
        let id = id as usize;
        &self.writes[self.write_starts[id] as usize..self.write_starts[id + 1] as usize]
    }
}
