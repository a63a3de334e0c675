//! The order of each key's versions: what the sources say together, where they do not contradict themselves.

use rayon::prelude::*;

use super::mutant::{Mutant, Mutation};
use super::sources::{Source, Step};
use crate::txn::accesses::INITIAL;
use crate::txn::txns::TxnId;

/// What is known of the order of versions.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Steps that are believed, in order of key, earlier and later version; each pair once, by its first source. That
    /// the initial state comes first is not said.
    pub steps: Vec<Step>,
    /// Sources that contradict themselves or an earlier one, each with the shortest circle that was found.
    pub cyclic: Vec<Cyclic>,
}

/// A source that was dropped for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cyclic {
    /// The key's number.
    pub key: u32,
    /// The source.
    pub source: Source,
    /// The circle. A step from [`INITIAL`] is of [`Source::Initial`], with the transactions of the step before it.
    pub circle: Vec<Step>,
}

impl Order {
    /// Joins steps of all sources. Keys are shared out among threads.
    pub fn of(mut steps: Vec<Step>, mutation: Mutation) -> Order {
        steps.par_sort_unstable();
        let keys: Vec<&[Step]> = steps.chunk_by(|a, b| a.key == b.key).collect();
        let joined: Vec<(Vec<Step>, Vec<Cyclic>)> =
            keys.into_par_iter().with_min_len(256).map(|key| join(key, mutation)).collect();
        let mut all = Order::default();
        for (steps, cyclic) in joined {
            all.steps.extend(steps);
            all.cyclic.extend(cyclic);
        }
        all
    }

    /// The steps from a version of a key.
    pub fn from(&self, key: u32, version: TxnId) -> &[Step] {
        let first = self.steps.partition_point(|step| (step.key, step.from) < (key, version));
        let count = self.steps[first..].iter().take_while(|step| (step.key, step.from) == (key, version)).count();
        &self.steps[first..first + count]
    }

    /// The keys of which something was stated, with repetitions.
    pub fn stated_keys(&self) -> impl Iterator<Item = u32> + '_ {
        let is_stated = |step: &&Step| !matches!(step.source, Source::WritesFollowReads | Source::Initial);
        self.steps.iter().filter(is_stated).map(|step| step.key)
    }

    /// The steps of a key.
    pub fn of_key(&self, key: u32) -> &[Step] {
        let first = self.steps.partition_point(|step| step.key < key);
        let count = self.steps[first..].partition_point(|step| step.key == key);
        &self.steps[first..first + count]
    }

    /// The whole order of a key's versions, if there is but one.
    pub fn total(&self, key: u32, writers: &[TxnId]) -> Option<Vec<TxnId>> {
        let graph = Graph::of(self.of_key(key));
        let order = match writers {
            [] => return None,
            [only] => vec![*only],
            _ => graph.order()?,
        };
        let is_linked = |pair: &[TxnId]| self.from(key, pair[0]).iter().any(|step| step.to == pair[1]);
        (order.len() == writers.len() && order.windows(2).all(is_linked)).then_some(order)
    }
}

/// Joins the sources of one key, each if it makes no circle with those before it.
fn join(steps: &[Step], mutation: Mutation) -> (Vec<Step>, Vec<Cyclic>) {
    let mut cyclic = Vec::new();
    let mut believed: Vec<Step> = Vec::new();
    for of_source in steps.chunk_by(|a, b| a.source == b.source) {
        let known = believed.len();
        believed.extend_from_slice(of_source);
        if let Some(circle) = circle(&believed) {
            let (key, source) = (of_source[0].key, of_source[0].source);
            cyclic.push(Cyclic { key, source, circle });
            if !mutation.is(Mutant::CyclesKept) {
                believed.truncate(known);
            }
        }
    }
    believed.retain(|step| step.to != INITIAL);
    believed.sort_unstable_by_key(|step| (step.from, step.to, step.source));
    believed.dedup_by_key(|step| (step.from, step.to));
    (believed, cyclic)
}

/// A circle of steps, if there is one; the shortest through some of its versions.
fn circle(steps: &[Step]) -> Option<Vec<Step>> {
    if let Some(back) = steps.iter().find(|step| step.to == INITIAL) {
        let forth = Step {
            source: Source::Initial,
            from: INITIAL,
            to: back.from,
            from_by: back.to_by,
            to_by: back.from_by,
            key: back.key,
        };
        return Some(vec![*back, forth]);
    }
    Graph::of(steps).circle()
}

/// The versions of a key, densely numbered, and the steps between them.
struct Graph<'a> {
    versions: Vec<TxnId>,
    steps: Vec<&'a Step>,
    /// By version: where its steps begin in `steps`.
    starts: Vec<usize>,
}

/// So many beginnings of a circle are tried.
const TRIED_MAX: usize = 32;

impl<'a> Graph<'a> {
    fn of(all: &'a [Step]) -> Graph<'a> {
        let mut versions: Vec<TxnId> = all.iter().flat_map(|step| [step.from, step.to]).collect();
        versions.sort_unstable();
        versions.dedup();
        let mut steps: Vec<&Step> = all.iter().collect();
        steps.sort_unstable_by_key(|step| (step.from, step.to));
        let starts = versions.iter().map(|&version| steps.partition_point(|step| step.from < version)).collect();
        Graph { versions, steps, starts }
    }

    fn place(&self, version: TxnId) -> usize {
        self.versions.partition_point(|&other| other < version)
    }

    fn after(&self, place: usize) -> &[&'a Step] {
        let end = self.starts.get(place + 1).copied().unwrap_or(self.steps.len());
        &self.steps[self.starts[place]..end]
    }

    /// Takes versions away that nothing is before; those that are left, and the order of the others.
    fn peel(&self) -> (Vec<bool>, Vec<usize>) {
        let mut before_count = vec![0u32; self.versions.len()];
        for step in &self.steps {
            before_count[self.place(step.to)] += 1;
        }
        let mut taken: Vec<usize> = (0..self.versions.len()).filter(|&place| before_count[place] == 0).collect();
        let mut next = 0;
        while next < taken.len() {
            for step in self.after(taken[next]) {
                let to = self.place(step.to);
                before_count[to] -= 1;
                if before_count[to] == 0 {
                    taken.push(to);
                }
            }
            next += 1;
        }
        (before_count.iter().map(|&count| count > 0).collect(), taken)
    }

    /// All versions in an order that keeps the steps.
    fn order(&self) -> Option<Vec<TxnId>> {
        let (_, taken) = self.peel();
        let is_all = taken.len() == self.versions.len();
        is_all.then(|| taken.iter().map(|&place| self.versions[place]).collect())
    }

    fn circle(&self) -> Option<Vec<Step>> {
        let (left, taken) = self.peel();
        if taken.len() == self.versions.len() {
            return None;
        }
        // Each version that is left has one before it that is left: going back ends in a circle.
        let mut before = vec![usize::MAX; self.versions.len()];
        for step in &self.steps {
            let from = self.place(step.from);
            if left[from] {
                before[self.place(step.to)] = from;
            }
        }
        let mut place = left.iter().position(|&is_left| is_left)?;
        for _ in 0..self.versions.len() {
            place = before[place];
        }
        let mut best = self.shortest(place)?;
        for start in best.clone().iter().take(TRIED_MAX).map(|step| self.place(step.from)) {
            if let Some(other) = self.shortest(start).filter(|other| other.len() < best.len()) {
                best = other;
            }
        }
        Some(best)
    }

    /// The shortest circle through a version.
    fn shortest(&self, start: usize) -> Option<Vec<Step>> {
        let mut by: Vec<Option<&Step>> = vec![None; self.versions.len()];
        let mut reached = vec![start];
        let mut next = 0;
        while next < reached.len() && by[start].is_none() {
            for step in self.after(reached[next]) {
                let to = self.place(step.to);
                if by[to].is_none() {
                    by[to] = Some(step);
                    reached.push(to);
                }
            }
            next += 1;
        }
        let mut circle = vec![*by[start]?];
        while self.place(circle.last()?.from) != start {
            circle.push(*by[self.place(circle.last()?.from)]?);
        }
        circle.reverse();
        Some(circle)
    }
}
