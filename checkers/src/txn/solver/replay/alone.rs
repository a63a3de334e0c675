//! Readers that need not agree with each other: each must be on no cycle of what all have in common and of its own reads.
//!
//! The order says in which order the versions of each key are. Common is (parallel snapshot isolation) who read from whom, who
//! wrote after whom and the orders to be kept, of all; or (update serializability) that and who wrote over what was read, of
//! those that write. All of it leads forward in the order, so a reader is on a cycle only if one that wrote over what it read
//! leads forward to it (or to one of whom it read). Who could be is asked 64 at a time, by bits that are handed on in the order.

use super::{NOWHERE, NotReplayed, Replay, Verified, wrong};
use crate::txn::accesses::INITIAL;
use crate::txn::meter::Meter;
use crate::txn::solver::Keeps;
use crate::txn::txns::TxnId;

/// What all have in common, as a graph whose nodes are numbered in an order that it keeps.
struct Common {
    /// By place in the commit order: the node.
    node: Vec<u32>,
    /// The nodes of real time: one after the end of each transaction that ended well, in order of ends. Empty unless asked for.
    barriers: Vec<u32>,
    /// When these ends were.
    ends: Vec<u32>,
    /// By place: the next and the one before of its process, if asked for, of those in common.
    neighbours: Vec<[u32; 2]>,
    starts: Vec<u32>,
    targets: Vec<u32>,
}

/// A reader: no node of `from` may lead to one of `to`.
struct Asked {
    reader: TxnId,
    from: Vec<u32>,
    to: Vec<u32>,
}

impl Replay<'_> {
    /// Verifies that no reader is on a cycle. `updates`: those that write have one order, and only those that read stand alone.
    pub(super) fn alone(&self, updates: bool, meter: &mut Meter) -> Verified {
        let is_common: Vec<bool> =
            self.order.iter().map(|&id| !updates || !self.question.accesses.writes(id).is_empty()).collect();
        self.keeps(|id| is_common[self.place[id as usize] as usize])?;
        let mut edges = Vec::new();
        let mut asked = Vec::new();
        // Places first; nodes when there are barriers between them.
        let mut seen = Vec::with_capacity(self.order.len());
        for (at, &id) in self.order.iter().enumerate() {
            let (before, after) = self.of_reader(id, at as u32)?;
            if is_common[at] {
                if before.iter().any(|&place| place >= at as u32) {
                    return wrong(format!("{id} stands before what it read"));
                }
                edges.extend(before.iter().map(|&place| (place, at as u32)));
                if updates {
                    if after.iter().any(|&place| place <= at as u32) {
                        return wrong(format!("{id} stands after what was written over what it read"));
                    }
                    edges.extend(after.iter().map(|&place| (at as u32, place)));
                }
            }
            seen.push((before, after));
        }
        for key in 0..self.question.accesses.keys_count {
            edges.extend(self.writers(key).windows(2).map(|pair| (pair[0], pair[1])));
        }
        let common = self.common(&is_common, edges);
        let node = |place: &u32| common.node[*place as usize];
        for (at, (before, after)) in seen.iter().enumerate() {
            let id = self.order[at];
            let mut one = Asked { reader: id, from: after.iter().map(node).collect(), to: Vec::new() };
            if !updates {
                one.to.push(common.node[at]);
            } else if is_common[at] {
                continue;
            } else {
                one.to.extend(before.iter().map(node));
                self.around(&common, at, &mut one);
            }
            let first = one.from.iter().min().copied().unwrap_or(u32::MAX);
            if one.to.iter().max().is_some_and(|&last| first <= last) {
                asked.push(one);
            }
        }
        asked.sort_by_key(|one| one.from.iter().min().copied());
        asked.chunks(64).try_for_each(|some| self.none_leads_back(&common, some, meter))
    }

    /// The places of those whom a transaction read from, and of those who wrote over what it read.
    fn of_reader(&self, id: TxnId, at: u32) -> Result<(Vec<u32>, Vec<u32>), NotReplayed> {
        let mut reads: Vec<(u32, TxnId)> = self.reads(id).collect();
        for (read, key, writers) in self.choices(id) {
            let taken = match writers[..] {
                [only] => only,
                _ => {
                    let place = self.taken.partition_point(|&(other, _)| other < read);
                    let taken =
                        self.taken.get(place).filter(|&&(other, writer)| other == read && writers.contains(&writer));
                    match taken {
                        Some(&(_, writer)) => writer,
                        None => return Err(NotReplayed::Wrong(format!("nothing says from whom {id} read key {key}"))),
                    }
                }
            };
            reads.push((key, taken));
        }
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (key, writer) in reads {
            let places = self.writers(key);
            let next = if writer == INITIAL {
                0
            } else {
                let own = self.place.get(writer as usize).copied().unwrap_or(NOWHERE);
                let Ok(found) = places.binary_search(&own) else {
                    return Err(NotReplayed::Wrong(format!("{writer}, of whom {id} read key {key}, is missing")));
                };
                before.push(own);
                found + 1
            };
            // Over itself it wrote what it read; what comes after that is after its write.
            after.extend(places.get(next).copied().filter(|&place| place != at));
        }
        Ok((before, after))
    }

    /// Numbers the nodes, adds the orders to be kept.
    fn common(&self, is_common: &[bool], edges: Vec<(u32, u32)>) -> Common {
        let count = self.order.len();
        let mut common = Common {
            node: (0..count as u32).collect(),
            barriers: Vec::new(),
            ends: Vec::new(),
            neighbours: vec![[NOWHERE; 2]; count],
            starts: Vec::new(),
            targets: Vec::new(),
        };
        let mut pairs = Vec::new();
        match self.question.keeps {
            Keeps::Nothing => {}
            Keeps::Process => self.processes(is_common, &mut common, &mut pairs),
            Keeps::Realtime => self.realtime(is_common, &mut common, &mut pairs),
        }
        pairs.extend(edges.iter().map(|&(a, b)| (common.node[a as usize], common.node[b as usize])));
        let nodes = count + common.barriers.len();
        common.starts = vec![0; nodes + 1];
        pairs.iter().for_each(|&(from, _)| common.starts[from as usize + 1] += 1);
        for node in 0..nodes {
            common.starts[node + 1] += common.starts[node];
        }
        let mut free = common.starts.clone();
        common.targets = vec![0; pairs.len()];
        for (from, to) in pairs {
            common.targets[free[from as usize] as usize] = to;
            free[from as usize] += 1;
        }
        common
    }

    fn processes(&self, is_common: &[bool], common: &mut Common, pairs: &mut Vec<(u32, u32)>) {
        let txns = self.question.txns;
        let mut all: Vec<u32> = (0..self.order.len() as u32).collect();
        let id = |place: u32| self.order[place as usize];
        all.sort_unstable_by_key(|&place| (txns.session(id(place)), txns.invoked(id(place))));
        for of_one in all.chunk_by(|&a, &b| txns.session(id(a)) == txns.session(id(b))) {
            let mut before = NOWHERE;
            for &place in of_one {
                common.neighbours[place as usize][0] = before;
                if !is_common[place as usize] {
                    continue;
                }
                if before != NOWHERE {
                    pairs.push((before, place));
                }
                // One in doubt precedes nothing.
                if txns.is_ok(id(place)) {
                    before = place;
                }
            }
            let mut after = NOWHERE;
            for &place in of_one.iter().rev() {
                if txns.is_ok(id(place)) {
                    common.neighbours[place as usize][1] = after;
                }
                if is_common[place as usize] {
                    after = place;
                }
            }
        }
    }

    fn realtime(&self, is_common: &[bool], common: &mut Common, pairs: &mut Vec<(u32, u32)>) {
        let txns = self.question.txns;
        let count = self.order.len();
        let ok = self.order.iter().enumerate().filter(|&(_, &id)| txns.is_ok(id));
        let mut ended: Vec<(u32, u32)> = ok.map(|(at, &id)| (txns.ended(id), at as u32)).collect();
        ended.sort_unstable();
        common.ends = ended.iter().map(|&(end, _)| end).collect();
        let in_common = || (0..count as u32).filter(|&at| is_common[at as usize]);
        let invoked = |at: u32| txns.invoked(self.order[at as usize]);
        // A barrier stands before the first place of those that began after it.
        let mut first_after = vec![count as u32; ended.len() + 1];
        for at in in_common() {
            let barriers_before = common.ends.partition_point(|&end| end < invoked(at));
            first_after[barriers_before] = first_after[barriers_before].min(at);
        }
        // Of those with so many barriers before them: the last of these barriers and all before it.
        for barrier in (0..ended.len()).rev() {
            first_after[barrier] = first_after[barrier].min(first_after[barrier + 1]);
        }
        let mut next_node = 0;
        let mut barrier = 0;
        for at in 0..=count as u32 {
            while barrier < ended.len() && first_after[barrier + 1] <= at {
                common.barriers.push(next_node);
                next_node += 1;
                barrier += 1;
            }
            if let Some(node) = common.node.get_mut(at as usize) {
                *node = next_node;
                next_node += 1;
            }
        }
        pairs.extend(common.barriers.windows(2).map(|pair| (pair[0], pair[1])));
        for (&(_, at), &barrier) in ended.iter().zip(&common.barriers).filter(|&(&(_, at), _)| is_common[at as usize]) {
            pairs.push((common.node[at as usize], barrier));
        }
        for at in in_common() {
            let barriers_before = common.ends.partition_point(|&end| end < invoked(at));
            if let Some(last) = barriers_before.checked_sub(1) {
                pairs.push((common.barriers[last], common.node[at as usize]));
            }
        }
    }

    /// What must be before and after a reader that is not in common.
    fn around(&self, common: &Common, at: usize, one: &mut Asked) {
        let txns = self.question.txns;
        let [before, after] = common.neighbours[at];
        one.to.extend(common.node.get(before as usize));
        one.from.extend(common.node.get(after as usize));
        if self.question.keeps == Keeps::Realtime {
            let barriers_before = common.ends.partition_point(|&end| end < txns.invoked(one.reader));
            one.to.extend(barriers_before.checked_sub(1).map(|last| common.barriers[last]));
            if txns.is_ok(one.reader) {
                let own = common.ends.partition_point(|&end| end < txns.ended(one.reader));
                one.from.extend(common.barriers.get(own));
            }
        }
    }

    /// Hands bits on, one for each reader, from the first of whom they set out to the last that may not be reached.
    fn none_leads_back(&self, common: &Common, some: &[Asked], meter: &mut Meter) -> Verified {
        let first = some.iter().flat_map(|one| &one.from).min().copied().unwrap_or(0);
        let last = some.iter().flat_map(|one| &one.to).max().copied().unwrap_or(0);
        if first > last {
            return Ok(());
        }
        let mut bits = vec![0u64; (last - first) as usize + 1];
        for (bit, one) in some.iter().enumerate() {
            for &node in one.from.iter().filter(|&&node| node <= last) {
                bits[(node - first) as usize] |= 1 << bit;
            }
        }
        for node in first..=last {
            let own = bits[(node - first) as usize];
            let targets = common.starts[node as usize]..common.starts[node as usize + 1];
            meter.step(1 + u64::from(targets.end - targets.start))?;
            for &target in &common.targets[targets.start as usize..targets.end as usize] {
                if own != 0 && target <= last {
                    bits[(target - first) as usize] |= own;
                }
            }
        }
        for (bit, one) in some.iter().enumerate() {
            if one.to.iter().any(|&node| node >= first && bits[(node - first) as usize] >> bit & 1 == 1) {
                return wrong(format!("{} is on a cycle", one.reader));
            }
        }
        Ok(())
    }
}
