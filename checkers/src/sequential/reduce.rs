//! From operations without an order to a smallest set of them without one.
//!
//! As in linearizability, leaving out a write alone would leave answers behind that nothing explains. So only *closed* sets
//! are looked at: with an operation that needs a state come all that leave it in that key; with one that refuses a state, all that
//! leave another one; and where states are no cells, whatever the model groups ([`Model::groups`]). An order of
//! the whole, restricted to a closed set, is legal: the last change before each answer is in the set, and nothing comes in
//! between. Orders of processes stay what they are. A set is *smallest* if leaving out any one operation, with whatever may
//! have observed it, gives a set that has an order.

use std::hash::Hash;

use rustc_hash::FxHashMap;

use super::SequentialMutant;
use super::search::{Decision, Deed, decide};
use crate::checker::Budget;
use crate::linear::Model;
use crate::linear::model::Cell;
use crate::linear::mutant::Mutation;
use crate::linear::split::Operation;

/// Who may have left what others observed.
pub(super) struct Sources<S> {
    keys: Vec<u32>,
    cells: Vec<Cell<S>>,
    groups: Vec<u32>,
    /// Observers by key and needed state; by key, those that refuse a state, or, without cells, all of it; and by group.
    needing: FxHashMap<(u32, S), Vec<usize>>,
    of_key: FxHashMap<u32, Vec<usize>>,
    of_group: FxHashMap<(u32, u32), Vec<usize>>,
}

impl<S: Clone + Eq + Hash> Sources<S> {
    pub fn new<M: Model<State = S>>(model: &M, deeds: &[Deed<M::Action>]) -> Sources<S> {
        let keys: Vec<u32> = deeds.iter().map(|deed| deed.key).collect();
        let cells: Option<Vec<Cell<S>>> = deeds.iter().map(|deed| model.cell(&deed.operation.action)).collect();
        let groups = if cells.is_some() { Vec::new() } else { groups(model, deeds, &keys) };
        let mut sources = Sources {
            keys,
            cells: cells.unwrap_or_default(),
            groups,
            needing: FxHashMap::default(),
            of_key: FxHashMap::default(),
            of_group: FxHashMap::default(),
        };
        for (place, &key) in sources.keys.iter().enumerate() {
            match sources.cells.get(place) {
                Some(Cell { needs: Some(state), .. }) => {
                    sources.needing.entry((key, state.clone())).or_default().push(place);
                }
                Some(Cell { refuses: Some(_), .. }) => sources.of_key.entry(key).or_default().push(place),
                Some(_) => {}
                None => {
                    sources.of_key.entry(key).or_default().push(place);
                    sources.of_group.entry((key, sources.groups[place])).or_default().push(place);
                }
            }
        }
        sources
    }

    /// Those that must go where an operation goes.
    fn observers(&self, source: usize) -> impl Iterator<Item = usize> + '_ {
        let key = self.keys[source];
        let (first, second) = match self.cells.get(source) {
            Some(cell) => match &cell.leaves {
                Some(left) => (self.needing.get(&(key, left.clone())), self.of_key.get(&key)),
                None => (None, None),
            },
            None if self.groups[source] == 0 => (self.of_key.get(&key), None),
            None => (self.of_group.get(&(key, self.groups[source])), None),
        };
        let all = first.into_iter().chain(second).flatten().copied();
        all.filter(move |&observer| self.holds(source, observer))
    }

    /// Whether `source` must be in a set that holds `observer`.
    pub fn holds(&self, source: usize, observer: usize) -> bool {
        if self.keys[source] != self.keys[observer] || source == observer {
            return false;
        }
        if self.cells.is_empty() {
            return self.groups[source] == 0 || self.groups[source] == self.groups[observer];
        }
        let Some(left) = &self.cells[source].leaves else { return false };
        match (&self.cells[observer].needs, &self.cells[observer].refuses) {
            (Some(needed), _) => left == needed,
            (None, Some(refused)) => left != refused,
            (None, None) => false,
        }
    }

    /// The largest closed subset of `kept` without some operations.
    pub fn without(&self, kept: &[usize], gone: &[usize]) -> Vec<usize> {
        let mut is_gone = vec![false; self.keys.len()];
        let mut next = gone.to_vec();
        while let Some(source) = next.pop() {
            if !std::mem::replace(&mut is_gone[source], true) {
                next.extend(self.observers(source).filter(|&observer| !is_gone[observer]));
            }
        }
        kept.iter().copied().filter(|&place| !is_gone[place]).collect()
    }
}

/// Groups of each key, by the model.
fn groups<M: Model>(model: &M, deeds: &[Deed<M::Action>], keys: &[u32]) -> Vec<u32> {
    let mut groups = vec![0; deeds.len()];
    let mut all: Vec<u32> = keys.to_vec();
    all.sort_unstable();
    all.dedup();
    for key in all {
        let places: Vec<usize> = (0..deeds.len()).filter(|&place| keys[place] == key).collect();
        let of_key: Vec<Operation<M::Action>> = places.iter().map(|&place| deeds[place].operation.clone()).collect();
        for (place, group) in places.into_iter().zip(model.groups(&of_key)) {
            groups[place] = group;
        }
    }
    groups
}

/// Places of a small set without an order, and whether it is proven to be smallest. The budget is for all of it.
pub(super) fn reduce<M: Model>(model: &M, deeds: &[Deed<M::Action>], budget: &Budget) -> (Vec<usize>, bool) {
    /// Beyond, the searches take too long.
    const OPERATIONS_MAX: usize = 100_000;
    let mut kept: Vec<usize> = (0..deeds.len()).collect();
    if kept.len() > OPERATIONS_MAX {
        return (kept, false);
    }
    let sources = Sources::new(model, deeds);
    let mut steps_left = budget.steps_max;
    let mut smallest = true;
    let mut impossible = |places: &[usize]| {
        let few: Vec<Deed<M::Action>> = places.iter().map(|&place| deeds[place].clone()).collect();
        let budget = Budget { steps_max: steps_left, ..*budget };
        let (decision, cost) = decide(model, &few, &budget, Mutation::<SequentialMutant>::default());
        steps_left = steps_left.saturating_sub(cost.steps + places.len() as u64);
        smallest &= decision != Decision::Spent;
        decision == Decision::Impossible
    };
    let mut run = kept.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < kept.len() {
            let first = kept[at];
            let rest = sources.without(&kept, &kept[at..(at + run).min(kept.len())]);
            if rest.len() < kept.len() && impossible(&rest) {
                at = rest.partition_point(|&place| place < first);
                kept = rest;
            } else {
                at += run;
            }
        }
        if run == 1 {
            return (kept, smallest);
        }
        run = run.div_ceil(2);
    }
}
