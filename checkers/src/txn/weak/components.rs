//! Cycles of what the axioms force: only the windows of ranks that orders pointing back span can hold one.

use std::ops::Range;

use super::derive::{Axiom, Forces};
use super::mutant::{Mutant, Mutation};
use super::units::{NONE, Ranked};
use crate::txn::meter::{Meter, Spent};

/// Why an arrow is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// The order of a session.
    Session,
    /// The later one read from the earlier one.
    Reads,
    /// The order of the versions of this key.
    Versions(u32),
    /// Forced: by its place among the orders of [`Forces`].
    Forced(u32),
}

/// An arrow to a node of the graph.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arc {
    pub to: u32,
    pub axiom: Axiom,
    pub why: Why,
}

/// The units of all windows, with all arrows among them.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// By node: the unit's rank.
    pub ranks: Vec<u32>,
    starts: Vec<u32>,
    arcs: Vec<Arc>,
    /// What orders that point back span: disjoint runs of ranks, rising.
    pub windows: Vec<Range<u32>>,
}

impl Graph {
    /// Builds it. Windows come first: an arrow between two windows is part of no cycle, as all that point back lie within
    /// one.
    pub fn of(ranked: &Ranked<'_>, forces: &Forces, meter: &mut Meter, mutation: Mutation) -> Result<Graph, Spent> {
        let versions = ranked.version_edges(mutation);
        let windows = windows(ranked, forces, &versions, mutation);
        let mut graph = Graph::default();
        if windows.is_empty() {
            graph.starts.push(0);
            return Ok(graph);
        }
        let mut node = vec![NONE; ranked.len() as usize];
        let mut window = vec![NONE; ranked.len() as usize];
        for (number, range) in windows.iter().enumerate() {
            for rank in range.clone() {
                node[rank as usize] = graph.ranks.len() as u32;
                window[rank as usize] = number as u32;
                graph.ranks.push(rank);
            }
        }
        graph.windows = windows;
        let mut all: Vec<(u32, Arc)> = Vec::new();
        let mut add = |from: u32, to: u32, axiom: Axiom, why: Why| {
            let within = window[from as usize];
            if within != NONE && within == window[to as usize] {
                all.push((node[from as usize], Arc { to: node[to as usize], axiom, why }));
            }
        };
        for &rank in &graph.ranks {
            let before = ranked.before[rank as usize];
            if before != NONE {
                add(before, rank, Axiom::Committed, Why::Session);
            }
            ranked.sources(rank).for_each(|source| add(source, rank, Axiom::Committed, Why::Reads));
        }
        for &(from, to, key) in &versions {
            add(from, to, Axiom::Committed, Why::Versions(key));
        }
        for (place, forced) in forces.orders.iter().enumerate() {
            add(forced.from, forced.to, forced.axiom, Why::Forced(place as u32));
        }
        meter.step(all.len() as u64)?;
        // While it is made: the arrows twice, and what says where units are.
        let bytes = (2 * size_of_val(&all[..]) + size_of_val(&node[..]) * 2) as u64;
        meter.take_bytes(bytes)?;
        graph.fill(all);
        meter.give_back(bytes);
        Ok(graph)
    }

    /// A graph of these nodes and arrows.
    pub fn from_arcs(ranks: Vec<u32>, all: Vec<(u32, Arc)>) -> Graph {
        let mut graph = Graph { ranks, ..Graph::default() };
        graph.fill(all);
        graph
    }

    fn fill(&mut self, mut all: Vec<(u32, Arc)>) {
        all.sort_unstable_by_key(|(from, arc)| (*from, arc.to, arc.axiom, arc.why));
        // Of arrows between the same two the one of the weakest axiom says all.
        all.dedup_by_key(|(from, arc)| (*from, arc.to));
        self.starts = vec![0; self.ranks.len() + 1];
        all.iter().for_each(|(from, _)| self.starts[*from as usize + 1] += 1);
        for place in 1..self.starts.len() {
            self.starts[place] += self.starts[place - 1];
        }
        self.arcs = all.into_iter().map(|(_, arc)| arc).collect();
    }

    /// Arrows of a node.
    pub fn arcs(&self, node: u32) -> &[Arc] {
        &self.arcs[self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize]
    }

    /// Strongly connected components of more than one node, by the arrows of this axiom and weaker ones; the members of
    /// each rise. Tarjan, without recursion.
    pub fn components(&self, axiom: Axiom) -> Vec<Vec<u32>> {
        let count = self.ranks.len();
        let (mut index, mut low) = (vec![NONE; count], vec![0u32; count]);
        let mut on_stack = vec![false; count];
        let (mut stack, mut calls) = (Vec::new(), Vec::<(u32, u32)>::new());
        let (mut next, mut found) = (0, Vec::new());
        for root in 0..count as u32 {
            if index[root as usize] != NONE {
                continue;
            }
            calls.push((root, 0));
            while let Some((node, at)) = calls.last_mut() {
                let n = *node as usize;
                if *at == 0 && index[n] == NONE {
                    (index[n], low[n]) = (next, next);
                    next += 1;
                    stack.push(*node);
                    on_stack[n] = true;
                }
                if let Some(arc) = self.arcs(*node).get(*at as usize) {
                    *at += 1;
                    let to = arc.to as usize;
                    if arc.axiom > axiom {
                        continue;
                    }
                    if index[to] == NONE {
                        calls.push((arc.to, 0));
                    } else if on_stack[to] {
                        low[n] = low[n].min(index[to]);
                    }
                    continue;
                }
                calls.pop();
                if let Some((parent, _)) = calls.last() {
                    low[*parent as usize] = low[*parent as usize].min(low[n]);
                }
                if low[n] == index[n] {
                    let start = stack.iter().rposition(|&other| other as usize == n).unwrap_or(0);
                    let mut members = stack.split_off(start);
                    members.iter().for_each(|&member| on_stack[member as usize] = false);
                    if members.len() > 1 {
                        members.sort_unstable();
                        found.push(members);
                    }
                }
            }
        }
        found
    }
}

/// What orders that point back span, those that touch joined, rising.
pub(super) fn windows(
    ranked: &Ranked<'_>,
    forces: &Forces,
    versions: &[(u32, u32, u32)],
    mutation: Mutation,
) -> Vec<Range<u32>> {
    let mut spans: Vec<Range<u32>> = Vec::new();
    let mut add = |from: u32, to: u32| {
        if from > to {
            spans.push(to..from + 1);
        }
    };
    for rank in 0..ranked.len() {
        let before = ranked.before[rank as usize];
        if before != NONE {
            add(before, rank);
        }
        ranked.sources(rank).for_each(|source| add(source, rank));
    }
    let spanning = versions.iter().filter(|_| !mutation.is(Mutant::VersionsSpanNothing));
    spanning.for_each(|&(from, to, _)| add(from, to));
    forces.orders.iter().for_each(|forced| add(forced.from, forced.to));
    spans.sort_unstable_by_key(|span| (span.start, span.end));
    let mut merged: Vec<Range<u32>> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last)
                if span.start + 1 < last.end || span.start + 1 == last.end && !mutation.is(Mutant::WindowsApart) =>
            {
                last.end = last.end.max(span.end)
            }
            _ => merged.push(span),
        }
    }
    merged
}
