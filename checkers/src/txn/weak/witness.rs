//! Proofs: the shortest cycle of what is forced, each order with the reads and the path that force it.

use rustc_hash::FxHashMap;
use schism_history::{Micro, MicroF, MicroValue, OpIndex};

use super::components::{Graph, Why};
use super::derive::{Axiom, Forced, Forces};
use super::operations::newest;
use super::sessions::Guarantee;
use super::units::{NONE, Ranked};
use crate::anomaly::{Dependency, Derived, Rule, Step, Witness};
use crate::txn::accesses::Read;
use crate::txn::edge::EdgeKind;
use crate::txn::txns::{TxnId, Txns};

/// Orders pointing back through which a shortest cycle is looked for.
const TRIED_MAX: usize = 64;

/// An arrow of a cycle. Units by rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrow {
    pub from: u32,
    pub to: u32,
    pub why: Why,
}

/// The shortest cycle through some of the orders that point back in a component; whether all of them were tried, so that
/// there is none shorter.
pub(super) fn shortest_cycle(graph: &Graph, members: &[u32], axiom: Axiom) -> (Vec<Arrow>, bool) {
    let mut search = Search::of(graph, members, axiom);
    let mut back = Vec::new();
    for &from in members {
        for arc in graph.arcs(from).iter().filter(|arc| arc.axiom <= axiom && arc.to < from && search.is_member(arc.to))
        {
            back.push((from - arc.to, from, *arc));
        }
    }
    back.sort_unstable_by_key(|&(length, from, arc)| (length, from, arc.to));
    let all = back.len() <= TRIED_MAX;
    let mut best: Vec<Arrow> = Vec::new();
    for &(_, from, arc) in back.iter().take(TRIED_MAX) {
        let longest = if best.is_empty() { usize::MAX } else { best.len() - 2 };
        let Some(mut cycle) = search.path(arc.to, from, longest) else { continue };
        let rank = |node: u32| graph.ranks[node as usize];
        cycle.push(Arrow { from: rank(from), to: rank(arc.to), why: arc.why });
        best = cycle;
    }
    (best, all)
}

/// Searches of paths within a component, breadth first from both ends.
struct Search<'a> {
    graph: &'a Graph,
    axiom: Axiom,
    /// By node: where its arrows begin that lead to it from members; and the end of the last.
    starts: Vec<u32>,
    into: Vec<(u32, Why)>,
    /// How many searches were begun.
    number: u32,
    ends: [End; 2],
}

/// What was reached from one end, by node: the search in which it was last; at first whether it is a member at all. And from
/// which node.
struct End {
    reached: Vec<u32>,
    parents: Vec<(u32, Why)>,
    /// What was reached last, and in how many steps.
    front: Vec<u32>,
    steps: usize,
}

impl<'a> Search<'a> {
    fn of(graph: &'a Graph, members: &[u32], axiom: Axiom) -> Search<'a> {
        let count = graph.ranks.len();
        let mut reached = vec![NONE; count];
        members.iter().for_each(|&node| reached[node as usize] = 0);
        let parents = vec![(NONE, Why::Session); count];
        let arcs = || {
            let all = members.iter().flat_map(|&from| graph.arcs(from).iter().map(move |arc| (from, arc)));
            all.filter(|(_, arc)| arc.axiom <= axiom && reached[arc.to as usize] != NONE)
        };
        let mut starts = vec![0u32; count + 1];
        arcs().for_each(|(_, arc)| starts[arc.to as usize] += 1);
        let mut sum = 0;
        for start in &mut starts {
            sum += std::mem::replace(start, sum);
        }
        let mut into = vec![(NONE, Why::Session); sum as usize];
        for (from, arc) in arcs() {
            let place = &mut starts[arc.to as usize];
            into[*place as usize] = (from, arc.why);
            *place += 1;
        }
        // Each start has moved to the end of its node, which is the next one's start.
        starts.rotate_right(1);
        starts[0] = 0;
        let end = || End { reached: reached.clone(), parents: parents.clone(), front: Vec::new(), steps: 0 };
        let ends = [end(), end()];
        Search { graph, axiom, starts, into, number: 0, ends }
    }

    fn is_member(&self, node: u32) -> bool {
        self.ends[0].reached[node as usize] != NONE
    }

    /// The shortest path from one to another, of at most so many steps.
    fn path(&mut self, from: u32, to: u32, longest: usize) -> Option<Vec<Arrow>> {
        self.number += 1;
        for (end, node) in self.ends.iter_mut().zip([from, to]) {
            end.reached[node as usize] = self.number;
            (end.front, end.steps) = (vec![node], 0);
        }
        let (tail, head, why) = loop {
            let [forward, backward] = &self.ends;
            if forward.steps + backward.steps >= longest || forward.front.is_empty() || backward.front.is_empty() {
                return None;
            }
            // The two have met nowhere yet, so where they meet first the path is the shortest.
            let is_backward = backward.front.len() < forward.front.len();
            if let Some(met) = self.go_on(is_backward) {
                break met;
            }
        };
        let rank = |node: u32| self.graph.ranks[node as usize];
        let mut path = vec![Arrow { from: rank(tail), to: rank(head), why }];
        let mut node = tail;
        while node != from {
            let (parent, why) = self.ends[0].parents[node as usize];
            path.push(Arrow { from: rank(parent), to: rank(node), why });
            node = parent;
        }
        path.reverse();
        let mut node = head;
        while node != to {
            let (parent, why) = self.ends[1].parents[node as usize];
            path.push(Arrow { from: rank(node), to: rank(parent), why });
            node = parent;
        }
        Some(path)
    }

    /// One step more from one end; the arrow (from, to, why) on which they meet, if they do.
    fn go_on(&mut self, is_backward: bool) -> Option<(u32, u32, Why)> {
        let number = self.number;
        let [forward, backward] = &mut self.ends;
        let (end, other) = if is_backward { (backward, forward) } else { (forward, backward) };
        let mut front = Vec::new();
        for node in std::mem::take(&mut end.front) {
            let mut step = |next: u32, why: Why| {
                // One that is no member is never reached.
                if end.reached[next as usize] >= number {
                    return false;
                }
                end.reached[next as usize] = number;
                end.parents[next as usize] = (node, why);
                front.push(next);
                other.reached[next as usize] == number
            };
            if is_backward {
                let into = &self.into[self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize];
                if let Some(&(next, why)) = into.iter().find(|&&(next, why)| step(next, why)) {
                    return Some((next, node, why));
                }
            } else {
                let arcs = self.graph.arcs(node).iter().filter(|arc| arc.axiom <= self.axiom);
                if let Some(arc) = arcs.into_iter().find(|arc| step(arc.to, arc.why)) {
                    return Some((node, arc.to, arc.why));
                }
            }
        }
        end.front = front;
        end.steps += 1;
        None
    }
}

/// Makes witnesses of what was found.
#[derive(Clone, Copy)]
pub(super) struct Prover<'a> {
    pub txns: &'a Txns<'a>,
    pub ranked: &'a Ranked<'a>,
    pub forces: &'a Forces,
    /// Where units are parts of transactions: the transaction of each.
    pub owners: Option<&'a [TxnId]>,
    /// Where a guarantee of sessions says what a read sees.
    pub guarantee: Option<Guarantee>,
}

impl Prover<'_> {
    /// The transaction of a unit.
    pub fn owner(&self, rank: u32) -> TxnId {
        let id = self.ranked.unit(rank);
        self.owners.map_or(id, |owners| owners[id as usize])
    }

    fn name(&self, rank: u32) -> OpIndex {
        self.txns.invoked(self.owner(rank))
    }

    /// Steps between transactions: those within one left out but for what is forced, those along one session joined.
    fn steps(&self, arrows: &[Arrow]) -> Vec<Arrow> {
        let mut steps: Vec<Arrow> = Vec::new();
        let is_within = |arrow: &Arrow| self.owner(arrow.from) == self.owner(arrow.to);
        let plain = arrows.iter().map(|arrow| match arrow.why {
            // Of its own writes and reads a transaction keeps the order of the program.
            Why::Reads | Why::Versions(_) if is_within(arrow) => Arrow { why: Why::Session, ..*arrow },
            _ => *arrow,
        });
        for arrow in plain {
            match steps.last_mut() {
                Some(last) if last.why == Why::Session && arrow.why == Why::Session => last.to = arrow.to,
                _ => steps.push(arrow),
            }
        }
        steps.retain(|step| step.why != Why::Session || self.owner(step.from) != self.owner(step.to));
        steps
    }

    fn key_of_read(&self, forced: &Forced) -> u32 {
        self.ranked.accesses.reads(self.ranked.unit(forced.reader))[forced.read as usize].key
    }

    /// The witness of a cycle.
    pub fn cycle(&self, cycle: &[Arrow], shortest: bool) -> Witness {
        let cycle = &self.steps(cycle);
        if cycle.iter().all(|arrow| !matches!(arrow.why, Why::Forced(_))) {
            let steps = cycle
                .iter()
                .map(|arrow| Step { transaction: self.name(arrow.from), because: self.dependency(arrow) })
                .collect();
            // Several steps of a session count as one, so only the shortest of all is known to be it.
            return Witness::Cycle { shortest: shortest && cycle.len() == 2, steps };
        }
        let mut lines = Lines::default();
        let mut last: Vec<Derived> = Vec::new();
        for arrow in cycle {
            let Why::Forced(place) = arrow.why else {
                last.push(self.line(arrow));
                continue;
            };
            let forced = &self.forces.orders[place as usize];
            let rests_on = self.steps(&self.path(forced)).iter().map(|step| lines.add(self.line(step))).collect();
            // Of a transaction's own writes the later one comes later; who saw both is named by the way to it.
            if self.owner(forced.from) != self.owner(forced.to) {
                last.push(self.overwritten(forced, rests_on));
            }
        }
        lines.all.extend(last);
        lines.witness()
    }

    /// The witness that something visible was written before the initial state was read.
    pub fn before_initial(&self, forced: &Forced) -> Witness {
        let mut lines = Lines::default();
        let rests_on: Vec<u32> = self.steps(&self.path(forced)).iter().map(|step| lines.add(self.line(step))).collect();
        lines.all.push(Derived {
            from: Some(self.name(forced.reader)),
            to: self.name(forced.from),
            key: Some(self.txns.key_text(self.key_of_read(forced))),
            rule: Rule::WrittenAfterRead,
            other: None,
            rests_on,
        });
        lines.witness()
    }

    fn overwritten(&self, forced: &Forced, rests_on: Vec<u32>) -> Derived {
        Derived {
            from: Some(self.name(forced.from)),
            to: self.name(forced.to),
            key: Some(self.txns.key_text(self.key_of_read(forced))),
            rule: Rule::OverwrittenBefore,
            other: Some(self.name(forced.reader)),
            rests_on,
        }
    }

    fn line(&self, arrow: &Arrow) -> Derived {
        let (rule, key) = match arrow.why {
            Why::Session => (Rule::Process, None),
            Why::Versions(key) => (Rule::Versions, Some(key)),
            _ => (Rule::ReadsFrom, self.places(arrow).map(|(key, ..)| key)),
        };
        Derived {
            from: Some(self.name(arrow.from)),
            to: self.name(arrow.to),
            key: key.map(|key| self.txns.key_text(key)),
            rule,
            other: None,
            rests_on: Vec::new(),
        }
    }

    /// Key and micro-operations of an arrow of data.
    fn places(&self, arrow: &Arrow) -> Option<(u32, u32, u32)> {
        let (from, to) = (self.ranked.unit(arrow.from), self.ranked.unit(arrow.to));
        let accesses = self.ranked.accesses;
        let wrote =
            |id: u32, key: u32| accesses.writes(id).iter().find(|write| write.key == key).map(|write| write.micro);
        match arrow.why {
            Why::Versions(key) => Some((key, wrote(from, key)?, wrote(to, key)?)),
            Why::Reads => {
                let read = accesses.reads(to).iter().find(|read| read.writer == from)?;
                // A single operation is the one.
                let of_txns = self.owners.is_none();
                let origin = of_txns.then(|| self.origin(self.owner(arrow.from), self.owner(arrow.to), read)).flatten();
                Some((read.key, origin.or_else(|| wrote(from, read.key))?, read.micro))
            }
            _ => None,
        }
    }

    /// The micro-operation of a writer that wrote what a read saw: not always its last one of the key.
    fn origin(&self, writer: TxnId, reader: TxnId, read: &Read) -> Option<u32> {
        let seen = newest(self.txns, reader, read)?;
        let is_it =
            |micro: Micro<'_>| micro.f != MicroF::Read && micro.key == read.key && micro.value == MicroValue::One(seen);
        self.txns.txn(writer).micros().position(is_it).map(|place| place as u32)
    }

    fn dependency(&self, arrow: &Arrow) -> Dependency {
        let kind = match arrow.why {
            Why::Session => EdgeKind::Process,
            Why::Versions(_) => EdgeKind::Ww,
            _ => EdgeKind::Wr,
        };
        let places = self.places(arrow);
        let text = |rank: u32, micro: Option<u32>| self.text(rank, micro?);
        Dependency {
            kind: kind.as_str().to_owned(),
            key: places.map(|(key, ..)| self.txns.key_text(key)),
            from_micro: places.map(|(_, micro, _)| micro),
            to_micro: places.map(|(.., micro)| micro),
            before: text(arrow.from, places.map(|(_, micro, _)| micro)),
            after: text(arrow.to, places.map(|(.., micro)| micro)),
            source: None,
        }
    }

    /// What a micro-operation wrote or read.
    pub fn text(&self, rank: u32, micro: u32) -> Option<String> {
        let txn = self.txns.txn(self.owner(rank));
        if micro as usize >= txn.len() {
            return None;
        }
        let micro = txn.micro(micro as usize);
        let one = |id| self.txns.history().value_of(id).to_string();
        let list = |ids: &[schism_history::ValueId]| {
            let items: Vec<String> = ids.iter().map(|&id| one(id)).collect();
            format!("[{}]", items.join(", "))
        };
        match micro.value {
            MicroValue::One(id) => Some(one(id)),
            MicroValue::Prefix(length) => Some(list(&txn.list_of(micro.key)[..length as usize])),
            MicroValue::Deviant(ids) => Some(list(ids)),
            MicroValue::Other(_) => None,
        }
    }
}

/// Lines of a derivation, none twice.
#[derive(Default)]
struct Lines {
    all: Vec<Derived>,
    places: FxHashMap<Derived, u32>,
}

impl Lines {
    fn add(&mut self, line: Derived) -> u32 {
        let next = self.all.len() as u32;
        let place = *self.places.entry(line.clone()).or_insert(next);
        if place == next {
            self.all.push(line);
        }
        place
    }

    fn witness(self) -> Witness {
        let mut transactions: Vec<OpIndex> =
            self.all.iter().flat_map(|line| line.from.into_iter().chain([line.to]).chain(line.other)).collect();
        transactions.sort_unstable();
        transactions.dedup();
        Witness::NoCommitOrder { transactions, smallest: false, derivation: self.all }
    }
}
