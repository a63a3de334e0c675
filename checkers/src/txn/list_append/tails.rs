//! Lists that end in elements of which it cannot be said whose they are: what is under these was read all the same.

use crate::txn::accesses::UNKNOWN;
use crate::txn::txns::TxnId;

/// By length of a key's list: who appended the last element of which it is known, and who else the last before that.
#[derive(Debug, Default)]
pub(super) struct Tails {
    last: Vec<[TxnId; 2]>,
}

impl Tails {
    /// For the next key.
    pub fn clear(&mut self) {
        self.last.clear();
    }

    /// Whether a list was taken.
    pub fn is_filled(&self) -> bool {
        !self.last.is_empty()
    }

    /// Takes who appended the elements of the key's list. One pass, for all that read a part of it.
    pub fn fill(&mut self, owners: impl Iterator<Item = Option<TxnId>>) {
        let mut last = [UNKNOWN; 2];
        self.last.clear();
        self.last.push(last);
        for owner in owners {
            if let Some(owner) = owner.filter(|owner| *owner != last[0]) {
                last = [owner, last[0]];
            }
            self.last.push(last);
        }
    }

    /// Who appended the last element among so many, if it is known; not the reader itself.
    pub fn last(&self, length: usize, reader: TxnId) -> Option<TxnId> {
        let last = self.last.get(length)?;
        last.iter().copied().find(|&owner| owner != reader && owner != UNKNOWN)
    }
}
