//! What a transaction wrote so far, by key.

use rustc_hash::FxHashMap;

/// With more keys they are found by hash.
const FEW: usize = 24;

/// The last write of a key so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::txn) struct OwnWrite {
    /// The key's number.
    pub key: u32,
    /// The micro-operation's place.
    pub micro: u32,
    /// The value's number.
    pub value: u32,
}

/// Keeps its memory from one transaction to the next.
#[derive(Debug, Default)]
pub(in crate::txn) struct Own {
    writes: Vec<OwnWrite>,
    places: FxHashMap<u32, u32>,
}

impl Own {
    /// For the next transaction.
    pub fn clear(&mut self) {
        self.writes.clear();
        self.places.clear();
    }

    /// The last write of a key so far.
    pub fn of(&self, key: u32) -> Option<&OwnWrite> {
        if self.places.is_empty() {
            return self.writes.iter().find(|own| own.key == key);
        }
        self.places.get(&key).map(|&place| &self.writes[place as usize])
    }

    /// One more write.
    pub fn write(&mut self, key: u32, micro: u32, value: u32) {
        let place = match self.places.get(&key) {
            Some(&place) => Some(place as usize),
            None if self.places.is_empty() => self.writes.iter().position(|own| own.key == key),
            None => None,
        };
        if let Some(place) = place {
            self.writes[place] = OwnWrite { key, micro, value };
            return;
        }
        self.writes.push(OwnWrite { key, micro, value });
        if self.writes.len() > FEW {
            let known = self.places.len();
            self.places.extend(self.writes.iter().enumerate().skip(known).map(|(place, own)| (own.key, place as u32)));
        }
    }

    /// All, in order of the first write of each key.
    pub fn all(&self) -> &[OwnWrite] {
        &self.writes
    }
}
