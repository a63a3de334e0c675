//! The orders of writes that each guarantee of sessions keeps, and whether what was seen contradicts them.

use std::collections::BTreeMap;
use std::ops::Range;

use super::components::{Arc, Graph, Why};
use super::derive::{Axiom, Forced, merged};
use super::mutant::{Mutant, Mutation};
use super::operations::Operations;
use super::sessions::Guarantee::{self, Causal, OwnWrites, Pram, Reads, Writes, WritesFollowReads};
use super::units::{NONE, Ranked};
use super::views::Seen;
use super::witness::{Prover, shortest_cycle};
use crate::anomaly::Witness;
use crate::txn::meter::{Meter, Spent};

/// The operations of one component, and what is known of the order of their versions (from, to, key; by the later one). By
/// rank.
#[derive(Debug, Default)]
struct Part {
    nodes: Vec<u32>,
    versions: Vec<(u32, u32, u32)>,
    /// Where ranks do not keep what every observer keeps: circles, and versions whose order points back.
    back: Vec<Range<u32>>,
}

impl Part {
    /// The ranks between which there may be cycles with what was seen: what points back must span each of them, as components
    /// of the axioms ([`super::components`]).
    fn windows(&self, mine: &[u32], seen: &[Seen]) -> Vec<Range<u32>> {
        let forced = mine.iter().map(|&at| seen[at as usize].forced);
        let back = forced.filter(|forced| forced.from > forced.to).map(|forced| forced.to..forced.from + 1);
        merged(back.chain(self.back.iter().cloned()).collect())
    }
}

/// Observers whose orders are looked at one by one, without a look at whether all of them agree on one.
const FEW_OBSERVERS: usize = 2;

/// The orders that each guarantee keeps, and whether what was seen contradicts them.
pub(super) struct Bases<'a> {
    operations: &'a Operations,
    ranked: &'a Ranked<'a>,
    /// By component, rising.
    parts: BTreeMap<u32, Part>,
    /// By rank: the place among the operations of its component.
    places: Vec<u32>,
    mutation: Mutation,
}

impl<'a> Bases<'a> {
    /// Puts together what belongs to each component. Linear but for sorting.
    pub fn of(
        operations: &'a Operations,
        ranked: &'a Ranked<'a>,
        component_of: &[u32],
        meter: &mut Meter,
        mutation: Mutation,
    ) -> Result<Bases<'a>, Spent> {
        let component = |rank: u32| component_of[operations.owners[ranked.unit(rank) as usize] as usize];
        let mut parts: BTreeMap<u32, Part> = BTreeMap::new();
        let mut places = vec![NONE; ranked.len() as usize];
        for rank in (0..ranked.len()).filter(|&rank| component(rank) != NONE) {
            let part = parts.entry(component(rank)).or_default();
            places[rank as usize] = part.nodes.len() as u32;
            part.nodes.push(rank);
            let circle = ranked.circle(rank);
            if circle.len() > 1 && part.back.last() != Some(&circle) {
                part.back.push(circle);
            }
        }
        let versions = ranked.version_edges(mutation);
        meter.step((ranked.len() as usize + versions.len()) as u64 / 16)?;
        for version in versions {
            if let Some(part) =
                parts.get_mut(&component(version.0)).filter(|_| component(version.0) == component(version.1))
            {
                part.versions.push(version);
                if version.0 > version.1 {
                    part.back.push(version.1..version.0 + 1);
                }
            }
        }
        for part in parts.values_mut() {
            part.versions.sort_unstable_by_key(|&(from, to, key)| (to, from, key));
            part.back = merged(std::mem::take(&mut part.back));
            if mutation.is(Mutant::BackSpansNothing) {
                part.back.clear();
            }
        }
        Ok(Bases { operations, ranked, parts, places, mutation })
    }

    /// A proof that what was seen contradicts what a guarantee keeps, if it does.
    pub fn contradiction(
        &self,
        guarantee: Guarantee,
        seen: &[Seen],
        prover: &Prover<'_>,
        meter: &mut Meter,
    ) -> Result<Option<Witness>, Spent> {
        let bit = 1 << guarantee as u8;
        let mut mine: Vec<u32> = (0..seen.len() as u32).filter(|&at| seen[at as usize].by & bit != 0).collect();
        mine.sort_by_key(|&at| (seen[at as usize].component, seen[at as usize].observer));
        for (&within, part) in &self.parts {
            let of = |at: u32| seen[at as usize].component;
            let start = mine.partition_point(|&at| of(at) < within);
            let end = mine.partition_point(|&at| of(at) <= within);
            let same = |a: &u32, b: &u32| {
                seen[*a as usize].observer == seen[*b as usize].observer || self.mutation.is(Mutant::ObserversAgree)
            };
            // Without anything that points back there is no cycle.
            let is_back = |&at: &u32| seen[at as usize].forced.from > seen[at as usize].forced.to;
            let nobody: &[u32] = &[];
            let mut observers = vec![nobody];
            observers.extend(mine[start..end].chunk_by(same));
            observers.retain(|observer| !part.back.is_empty() || observer.iter().any(is_back));
            // If all observers agree on an order, each has one. If there is none even with nothing seen, nobody has.
            if observers.len() > FEW_OBSERVERS {
                let graph = self.graph(guarantee, part, &observers.concat(), seen, meter)?;
                if graph.components(Axiom::Causal).is_empty() || self.mutation.is(Mutant::AgreementAssumed) {
                    continue;
                }
            }
            for observer in observers {
                let graph = self.graph(guarantee, part, observer, seen, meter)?;
                let mut cycles = graph.components(Axiom::Causal);
                cycles.sort_by_key(Vec::len);
                if let Some(members) = cycles.first() {
                    let (cycle, shortest) = shortest_cycle(&graph, members, Axiom::Causal);
                    return Ok(Some(prover.cycle(&cycle, shortest)));
                }
            }
        }
        Ok(None)
    }

    /// What a guarantee keeps among the operations of a component, and what was seen, within windows that may have cycles. Each
    /// operation has two nodes: itself, and a place before it that only reads lead to, for writes that follow reads but not each other.
    fn graph(
        &self,
        guarantee: Guarantee,
        part: &Part,
        mine: &[u32],
        seen: &[Seen],
        meter: &mut Meter,
    ) -> Result<Graph, Spent> {
        let windows = &part.windows(mine, seen);
        let within = |rank: u32, range: &Range<u32>| range.contains(&rank);
        let cut = |range: &Range<u32>| {
            let start = part.nodes.partition_point(|&rank| rank < range.start);
            start..start + part.nodes[start..].partition_point(|rank| within(*rank, range))
        };
        // Places in the component, and how many nodes come before each of them.
        let mut cuts: Vec<(Range<usize>, usize)> = Vec::new();
        let mut nodes: Vec<u32> = Vec::new();
        for range in windows {
            let cut = cut(range);
            cuts.push((cut.clone(), nodes.len()));
            nodes.extend_from_slice(&part.nodes[cut]);
        }
        let nodes = &nodes;
        let versions = windows.iter().flat_map(|range| {
            let start = part.versions.partition_point(|&(_, to, _)| to < range.start);
            part.versions[start..].iter().take_while(|(_, to, _)| within(*to, range))
        });
        meter.step((nodes.len() + mine.len() + part.back.len()) as u64)?;
        let node = |rank: u32| {
            let place = self.places[rank as usize] as usize;
            let (cut, before) = cuts.get(cuts.partition_point(|(cut, _)| cut.end <= place))?;
            let is_it = cut.contains(&place) && part.nodes[place] == rank;
            is_it.then(|| (before + place - cut.start) as u32 * 2 + 1)
        };
        let mut arcs: Vec<(u32, Arc)> = Vec::new();
        let mut add = |from: Option<u32>, to: Option<u32>, why: Why| {
            if let (Some(from), Some(to)) = (from, to) {
                arcs.push((from, Arc { to, axiom: Axiom::Committed, why }));
            }
        };
        for &rank in nodes {
            let unit = self.ranked.unit(rank);
            let ranked = |unit: u32| match unit {
                NONE => None,
                unit => node(self.ranked.rank_of(unit)),
            };
            let (this, is_write) = (node(rank), self.operations.is_write(unit));
            match guarantee {
                OwnWrites | Reads => {}
                Writes | Pram if is_write && !self.mutation.is(Mutant::WritesUnordered) => {
                    add(ranked(self.operations.write_before[unit as usize]), this, Why::Session);
                }
                Writes | Pram => {}
                WritesFollowReads if self.mutation.is(Mutant::ReadsUnordered) => {}
                WritesFollowReads => {
                    let before = self.operations.sessions.before[unit as usize];
                    let place = this.map(|this| this - 1);
                    add(ranked(before).map(|before| before - 1), place, Why::Session);
                    if before != NONE && !self.operations.is_write(before) {
                        add(ranked(before), place, Why::Session);
                    }
                    if is_write {
                        add(place, this, Why::Session);
                    }
                    self.ranked.sources(rank).for_each(|source| add(node(source), this, Why::Reads));
                }
                Causal => {
                    add(ranked(self.operations.sessions.before[unit as usize]), this, Why::Session);
                    self.ranked.sources(rank).for_each(|source| add(node(source), this, Why::Reads));
                }
            }
        }
        for &(from, to, key) in versions {
            add(node(from), node(to), Why::Versions(key));
        }
        let is_within = |forced: &Forced| {
            let place = windows.partition_point(|range| range.end <= forced.to);
            windows.get(place).is_some_and(|range| within(forced.to, range) && within(forced.from, range))
        };
        for &at in mine.iter().filter(|&&at| is_within(&seen[at as usize].forced)) {
            let forced = seen[at as usize].forced;
            add(node(forced.from), node(forced.to), Why::Forced(at));
        }
        let ranks = nodes.iter().flat_map(|&rank| [rank, rank]).collect();
        Ok(Graph::from_arcs(ranks, arcs))
    }
}
