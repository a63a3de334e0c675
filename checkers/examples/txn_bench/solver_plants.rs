//! Violations for the solver's rows that are sure, whatever else a history holds, but for [`Plant::Older`]. They are reads and
//! writes of new keys (of a lost update, of an old one) added to transactions in the middle, and to add never mends anything.

use schism_checkers::txn::accesses::INITIAL;
use schism_checkers::txn::txns::{TxnId, Txns};

use super::{Effects, Made};

/// What is planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Nothing.
    Nothing,
    /// A read of the version before the one before. Not sure: with blind writes and many keys the reader may well have come
    /// earlier, or the writers of the versions between later.
    Older,
    /// A writes x, B reads that and writes y, C reads that, and of x what was there before: C is after B after A, and before
    /// A. No property here allows it.
    Causal,
    /// Two read the same version of a key and write it: whichever is later did not read what the other one left; nor may their
    /// snapshots miss each other. Only a prefix may.
    Lost,
    /// A reads y before B writes it, B reads x before A writes it: each is before the other. Both have their snapshots before
    /// either commits, so snapshots may.
    Skew,
    /// The same around four, through four keys. They all write, so updates alone are not serializable either.
    Hops,
    /// Each of two reads what the other wrote. No property here allows it.
    Circle,
    /// A writes x, B writes y, C sees x alone and D sees y alone: A is before C before B before D before A. Parallel
    /// snapshots may.
    Fork,
    /// Two keys, each with two blind writers; each of the four ways to order both pairs is contradicted by two readers (one
    /// read what the first of one pair wrote, and saw the second of the other; the other one the other way round), but neither
    /// order of one pair alone is. So nothing is certain, and a decision has to be made and given up. Parallel snapshots may.
    Hidden,
    /// A and B write x; A had read from C, B from D. E saw B, and missed C's write; F saw A, and missed D's. If A is before B,
    /// then C, A, B, E are in this order, and E before C. If B is before A, likewise. No property here allows it, and parallel
    /// snapshots have to decide which it was.
    Torn,
    /// Two writes of a key in a session, then there a read of the first one. With sessions alone.
    StaleInSession,
    /// The same, one after the other in real time.
    StaleInTime,
}

/// Plants it; how many keys there are then. `None` if there is no room.
pub fn plant(made: &mut [Made], effects: &Effects, txns: &Txns<'_>, plant: Plant, keys: u32) -> Option<u32> {
    let middle = effects.commits.len() / 2;
    let some: &[TxnId] = effects.commits.get(middle..middle + 12)?;
    let mut add = Add { made, first: keys };
    Some(match plant {
        Plant::Nothing => keys,
        Plant::Older => {
            older(made, &effects.commits)?;
            keys
        }
        Plant::Causal => {
            add.write(some[0], 0);
            add.read(some[1], 0, some[0]);
            add.write(some[1], 1);
            add.read(some[2], 1, some[1]);
            add.read(some[2], 0, INITIAL);
            keys + 2
        }
        Plant::Lost => {
            lost(made, &effects.commits, keys)?;
            keys
        }
        Plant::Skew | Plant::Hops => {
            let ids = if plant == Plant::Skew { concurrent(effects)? } else { some[..4].to_vec() };
            for (place, &id) in ids.iter().enumerate() {
                add.write(id, place as u32);
                add.read(id, (place as u32 + 1) % ids.len() as u32, INITIAL);
            }
            keys + ids.len() as u32
        }
        Plant::Circle => {
            for (id, other, key) in [(some[0], some[1], 0), (some[1], some[0], 1)] {
                add.write(id, key);
                add.read(other, key, id);
            }
            keys + 2
        }
        Plant::Fork => {
            for key in 0..2 {
                add.write(some[key as usize], key);
                add.read(some[2 + key as usize], key, some[key as usize]);
                add.read(some[2 + key as usize], 1 - key, INITIAL);
            }
            keys + 2
        }
        Plant::Hidden => {
            add.hidden(some);
            keys + 6
        }
        Plant::Torn => {
            add.torn(some);
            keys + 5
        }
        Plant::StaleInSession | Plant::StaleInTime => {
            let [a, b, c] = one_after_another(txns, some[0], plant == Plant::StaleInSession)?;
            add.write(a, 0);
            add.write(b, 0);
            add.read(c, 0, a);
            keys + 1
        }
    })
}

struct Add<'m> {
    made: &'m mut [Made],
    first: u32,
}

impl Add<'_> {
    fn write(&mut self, id: TxnId, key: u32) {
        self.made[id as usize].writes.push(self.first + key);
    }

    fn read(&mut self, id: TxnId, key: u32, writer: TxnId) {
        self.made[id as usize].reads.push((self.first + key, writer));
    }

    fn hidden(&mut self, ids: &[TxnId]) {
        // Writers of key 0: ids 0 and 1; of key 1: ids 2 and 3. By keys of their own, 2 + their place, they are seen.
        for (place, &id) in ids[..4].iter().enumerate() {
            self.write(id, place as u32 / 2);
            self.write(id, 2 + place as u32);
        }
        for way in 0..4 {
            let (x, y) = (way / 2, way % 2);
            let (reader, other) = (ids[4 + 2 * way], ids[5 + 2 * way]);
            let (x_first, x_second, y_first, y_second) = (x, 1 - x, 2 + y, 3 - y);
            self.read(reader, 0, ids[x_first]);
            self.read(reader, 2 + y_second as u32, ids[y_second]);
            self.read(other, 1, ids[y_first]);
            self.read(other, 2 + x_second as u32, ids[x_second]);
        }
    }

    fn torn(&mut self, ids: &[TxnId]) {
        for (own, other, early, late, key) in [(0, 1, 2, 4, 1), (1, 0, 3, 5, 2)] {
            self.write(ids[own], 0);
            self.write(ids[early], key);
            self.read(ids[own], key, ids[early]);
            self.write(ids[other], key + 2);
            self.read(ids[late], key + 2, ids[other]);
            self.read(ids[late], key, INITIAL);
        }
    }
}

/// Two transactions near the middle that had their snapshots before either committed.
fn concurrent(effects: &Effects) -> Option<Vec<TxnId>> {
    let middle = effects.commits.len() / 2;
    let mut pairs =
        (middle..effects.commits.len()).flat_map(|later| (later.saturating_sub(20)..later).map(move |a| (a, later)));
    let is_concurrent =
        |&(earlier, later): &(usize, usize)| effects.snapshots[effects.commits[later] as usize] as usize <= earlier;
    // Of one order for all there are no such pairs, and any two do.
    let (a, b) = pairs.find(is_concurrent).unwrap_or((middle, middle + 1));
    Some(vec![*effects.commits.get(a)?, *effects.commits.get(b)?])
}

/// From one on, three transactions, each of which ended before the next began.
fn one_after_another(txns: &Txns<'_>, first: TxnId, in_session: bool) -> Option<[TxnId; 3]> {
    let next = |a: TxnId| {
        let is_next = |&b: &TxnId| txns.is_before(a, b) && (!in_session || txns.session(a) == txns.session(b));
        (a..txns.len() as TxnId).find(is_next)
    };
    let second = next(first)?;
    Some([first, second, next(second)?])
}

/// By key: its writers in order.
fn writers(made: &[Made], commits: &[TxnId], keys: u32) -> Vec<Vec<TxnId>> {
    let mut order: Vec<Vec<TxnId>> = vec![Vec::new(); keys as usize];
    for &id in commits {
        made[id as usize].writes.iter().for_each(|&key| order[key as usize].push(id));
    }
    order
}

fn older(made: &mut [Made], commits: &[TxnId]) -> Option<()> {
    let keys = made.iter().flat_map(|txn| &txn.writes).max().map_or(0, |key| key + 1);
    let order = writers(made, commits, keys);
    let before = |key: u32, id: TxnId| {
        let versions = &order[key as usize];
        let place = versions.iter().position(|&other| other == id).unwrap_or(0);
        if place == 0 { INITIAL } else { versions[place - 1] }
    };
    for &id in &commits[commits.len() / 2..] {
        let found = made[id as usize].reads.iter().position(|&(_, writer)| writer != INITIAL);
        let Some(place) = found else { continue };
        let (key, writer) = made[id as usize].reads[place];
        let older = before(key, writer);
        made[id as usize].reads[place].1 = if older == INITIAL { INITIAL } else { before(key, older) };
        return Some(());
    }
    None
}

/// Two neighbouring writers of a key both read what was before them.
fn lost(made: &mut [Made], commits: &[TxnId], keys: u32) -> Option<()> {
    let order = writers(made, commits, keys);
    let (key, versions) = order.iter().enumerate().find(|(_, versions)| versions.len() > 3)?;
    let (key, at) = (key as u32, versions.len() / 2);
    for &id in &versions[at..at + 2] {
        made[id as usize].reads.retain(|read| read.0 != key);
        made[id as usize].reads.push((key, versions[at - 1]));
    }
    Some(())
}
