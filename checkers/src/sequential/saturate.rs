//! What every order must respect, where values tell who wrote them.
//!
//! For a read `r` of a value that `w` alone wrote, and any other change `c` of that key (Bouajjani, Enea, Guerraoui, Hamza 2017;
//! Zennou et al. 2019, where this is the saturation before sequential consistency):
//!
//! - if `c` must stand before `r`, it must stand before `w`, or the value would be gone;
//! - if `w` must stand before `c`, so must `r`.
//!
//! "Must stand before" begins with the order of each process and with writers before their readers, and grows by these rules
//! until nothing is new. A cycle is a proof that there is no order. Without one there may still be none, but the search need
//! only try orders that respect all this. What is in doubt takes part if its value was observed (then it has happened);
//! reads of values that were written more than once, and of values that stand both at first and by a write, tell nothing.
//!
//! Cost: operations × processes × rounds; rounds and steps are bounded, and what was found until then holds.

use std::hash::Hash;

use rustc_hash::FxHashMap;

use super::SequentialMutant as Mutant;
use crate::linear::model::Cell;
use crate::linear::mutant::Mutation;

/// Rounds at most.
const ROUNDS_MAX: usize = 64;
const NONE: u32 = u32::MAX;

/// An operation as far as it matters here.
pub(super) struct Node<S> {
    pub process: u32,
    pub key: u32,
    pub in_doubt: bool,
    pub cell: Cell<S>,
}

/// For each operation, of each process, how many of its operations must stand before it (and itself).
pub(super) struct Before {
    pub clocks: Vec<u32>,
    pub processes: usize,
}

impl Before {
    /// How far each process must be before this operation.
    pub fn of(&self, place: u32) -> &[u32] {
        &self.clocks[place as usize * self.processes..][..self.processes]
    }
}

/// The operations must stand in a circle.
pub(super) struct Cycle;

struct Graph<'a, S> {
    nodes: &'a [Node<S>],
    /// Position of each operation in its process.
    position: Vec<u32>,
    /// Those that must stand directly behind each.
    behind: Vec<Vec<u32>>,
    /// By key and process: the changes that have surely happened, in order.
    changes: FxHashMap<u32, Vec<Vec<u32>>>,
    /// Reads with their writers; none for the value that was there at first.
    reads: Vec<(u32, Option<u32>)>,
    before: Before,
}

/// What every order respects. `of_process` are the places of each process, in order.
pub(super) fn saturate<S: Eq + Hash + Clone>(
    nodes: &[Node<S>],
    initial: &S,
    of_process: &[Vec<u32>],
    (steps, steps_max): (&mut u64, u64),
    mutation: Mutation<Mutant>,
) -> Result<Before, Cycle> {
    let mut graph = Graph::new(nodes, initial, of_process, mutation);
    graph.order(of_process)?;
    for _ in 0..ROUNDS_MAX {
        *steps += (nodes.len() * of_process.len()) as u64;
        if *steps > steps_max || graph.grow(mutation)? == 0 {
            break;
        }
        graph.order(of_process)?;
    }
    Ok(graph.before)
}

impl<'a, S: Eq + Hash + Clone> Graph<'a, S> {
    fn new(nodes: &'a [Node<S>], initial: &S, of_process: &[Vec<u32>], mutation: Mutation<Mutant>) -> Graph<'a, S> {
        let mut position = vec![0; nodes.len()];
        for places in of_process {
            for (at, &place) in (0..).zip(places) {
                position[place as usize] = at;
            }
        }
        // Who wrote each value: the one, or nobody if there are several.
        let mut writers: FxHashMap<(u32, &S), Option<u32>> = FxHashMap::default();
        for (place, node) in (0..).zip(nodes) {
            if let Some(state) = &node.cell.leaves {
                let is_first = *state == *initial;
                let unique = mutation.is(Mutant::AmbiguousAsUnique);
                let found = writers.entry((node.key, state)).or_insert(Some(place).filter(|_| !is_first));
                *found = found.filter(|&found| found == place || unique);
            }
        }
        let mut certain: Vec<bool> =
            nodes.iter().map(|node| !node.in_doubt || mutation.is(Mutant::DoubtIsCertain)).collect();
        let mut next: Vec<u32> = (0..nodes.len() as u32).filter(|&place| certain[place as usize]).collect();
        let mut reads = Vec::new();
        while let Some(place) = next.pop() {
            let node = &nodes[place as usize];
            let Some(state) = &node.cell.needs else { continue };
            match writers.get(&(node.key, state)) {
                Some(&Some(writer)) => {
                    reads.push((place, Some(writer)));
                    if !std::mem::replace(&mut certain[writer as usize], true) {
                        next.push(writer);
                    }
                }
                Some(None) => {}
                None if *state == *initial => reads.push((place, None)),
                None => {}
            }
        }
        reads.sort_unstable();
        let mut behind: Vec<Vec<u32>> = vec![Vec::new(); nodes.len()];
        for &(read, writer) in &reads {
            if let Some(writer) = writer {
                behind[writer as usize].push(read);
            }
        }
        let mut changes: FxHashMap<u32, Vec<Vec<u32>>> = FxHashMap::default();
        for (process, places) in of_process.iter().enumerate() {
            for &place in places {
                let node = &nodes[place as usize];
                if certain[place as usize] && node.cell.leaves.is_some() {
                    let of_key = changes.entry(node.key).or_insert_with(|| vec![Vec::new(); of_process.len()]);
                    of_key[process].push(place);
                }
            }
        }
        let processes = of_process.len();
        let before = Before { clocks: vec![0; nodes.len() * processes], processes };
        Graph { nodes, position, behind, changes, reads, before }
    }

    /// Works out the clocks anew.
    fn order(&mut self, of_process: &[Vec<u32>]) -> Result<(), Cycle> {
        let count = self.nodes.len();
        let mut waits = vec![0u32; count];
        let mut follows = vec![NONE; count];
        for places in of_process {
            let mut last = NONE;
            for &place in places {
                if last != NONE {
                    follows[last as usize] = place;
                    waits[place as usize] += 1;
                }
                last = place;
            }
        }
        self.behind.iter().flatten().for_each(|&place| waits[place as usize] += 1);
        self.before.clocks.fill(0);
        let mut ready: Vec<u32> = (0..count as u32).filter(|&place| waits[place as usize] == 0).collect();
        let mut done = 0;
        let processes = self.before.processes;
        let mut clock = vec![0; processes];
        while let Some(place) = ready.pop() {
            done += 1;
            let at = place as usize;
            let own = self.nodes[at].process as usize;
            let row = &mut self.before.clocks[at * processes..][..processes];
            row[own] = row[own].max(self.position[at] + 1);
            clock.copy_from_slice(row);
            let next = Some(follows[at]).filter(|&next| next != NONE);
            for &next in self.behind[at].iter().chain(&next) {
                let row = &mut self.before.clocks[next as usize * processes..][..processes];
                row.iter_mut().zip(&clock).for_each(|(theirs, &ours)| *theirs = ours.max(*theirs));
                waits[next as usize] -= 1;
                if waits[next as usize] == 0 {
                    ready.push(next);
                }
            }
        }
        if done == count { Ok(()) } else { Err(Cycle) }
    }

    /// Whether one must stand before another, as far as the clocks know.
    fn knows(&self, first: u32, second: u32) -> bool {
        let process = self.nodes[first as usize].process as usize;
        self.before.of(second)[process] > self.position[first as usize]
    }

    /// Applies the rules once; how many pairs are new.
    fn grow(&mut self, mutation: Mutation<Mutant>) -> Result<usize, Cycle> {
        let mut found: Vec<(u32, u32)> = Vec::new();
        for &(read, writer) in &self.reads {
            let Some(changes) = self.changes.get(&self.nodes[read as usize].key) else { continue };
            let clock = self.before.of(read);
            for (process, places) in changes.iter().enumerate() {
                let is_other = |&change: &u32| change != read && Some(change) != writer;
                // The last change of a process before the read; those before it come with it.
                let until = places.partition_point(|&change| self.position[change as usize] < clock[process]);
                let last = places[..until].iter().rev().find(|&&change| change != read).copied();
                match (last.filter(is_other), writer) {
                    (Some(_), None) => return Err(Cycle),
                    (Some(change), Some(writer)) if !self.knows(change, writer) => found.push((change, writer)),
                    _ => {}
                }
                // The first one behind the writer.
                let from = match writer {
                    Some(writer) if !mutation.is(Mutant::NewerWithoutProof) => {
                        places.partition_point(|&change| !self.knows(writer, change))
                    }
                    _ => 0,
                };
                let first = places[from..].iter().copied().find(is_other);
                found.extend(first.filter(|&change| !self.knows(read, change)).map(|change| (read, change)));
            }
        }
        let count = found.len();
        for (first, second) in found {
            self.behind[first as usize].push(second);
        }
        Ok(count)
    }
}
