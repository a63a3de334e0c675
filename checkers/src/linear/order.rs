//! An order of a history that has one, for whoever wants to see it.
//!
//! Where values are unique the blocks give an order ([`Model::order`]). Otherwise depth first (Wing, Gong 1993; Lowe 2017):
//! place what is legal, remember where one has been, go back where nothing can follow. What changes no state is placed as
//! soon as it is legal, without alternatives (an order that has it later has one with it here); of equal operations the
//! one that ends first goes first; in doubt ones are tried last. Among the others those go first that make legal what must
//! end first.
//!
//! Where the state is one cell, nothing is placed that leaves a state which is still needed and cannot come again.
//!
//! Objects that are products of parts are ordered part by part. The parts' orders are merged by the moments at which
//! operations take effect: the latest invocation until then in the order of its part, which lies within the operation.
//!
//! Where one has been is remembered as a hash of 128 bits. Two places with one hash would hide an order, not make one:
//! what is found is replayed ([`super::replay`]) by whoever shows it. Cost: exponential in open operations at worst, so
//! bounded by a budget; a step is an attempt to place one.

use std::hash::{DefaultHasher, Hash, Hasher};

use rustc_hash::{FxHashMap, FxHashSet};
use schism_history::{History, OpIndex};
use serde::Serialize;

use super::model::Model;
use super::models::{ModelName, WithModel};
use super::split::{self, Operation};
use crate::checker::Budget;

/// Why no order can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoOrder {
    /// The budget ended first.
    #[error("no order found within the budget")]
    Spent,
    /// There is none.
    #[error("there is no order")]
    Impossible,
    /// The model has no meaning for some operation.
    #[error("the model has no meaning for one of the operations")]
    Unsupported,
}

/// The order of one key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyOrder {
    /// The key, as text; none for events without a key.
    pub key: Option<String>,
    /// The key's number in the history.
    #[serde(skip)]
    pub key_id: Option<u32>,
    /// The invocations of its operations, in order.
    pub order: Option<Vec<OpIndex>>,
    /// Why there is no order to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// An order for each key of a history, key by key in order of appearance. The budget is given per key.
pub fn orders(model: ModelName, history: &History, budget: &Budget) -> Vec<KeyOrder> {
    model.with(Ordering { history, budget: *budget })
}

struct Ordering<'h> {
    history: &'h History,
    budget: Budget,
}

impl WithModel for Ordering<'_> {
    type Answer = Vec<KeyOrder>;

    fn with<M: Model>(self, model: &M) -> Vec<KeyOrder> {
        use rayon::prelude::*;
        let Ordering { history, budget } = self;
        let keys = split::by_key(history);
        let of_key = |events: &split::KeyEvents| {
            let said = split::operations(model, history, events);
            let found = match said.unsupported {
                Some(_) => Err(NoOrder::Unsupported),
                None => order(model, &said.operations, &budget),
            };
            let name = events.key.and_then(|key| history.keys().get(key as usize)).map(ToString::to_string);
            let why = found.as_ref().err().map(ToString::to_string);
            let invoke = |place: u32| said.operations[place as usize].invoke;
            let order = found.ok().map(|order| order.into_iter().map(invoke).collect());
            KeyOrder { key: name, key_id: events.key, order, why }
        };
        keys.par_iter().map(of_key).collect()
    }
}

/// An order of operations (which stand in order of invocation), as places.
///
/// # Errors
/// When there is none, or none was found within the budget.
pub fn order<M: Model>(model: &M, operations: &[Operation<M::Action>], budget: &Budget) -> Result<Vec<u32>, NoOrder> {
    let places: FxHashMap<OpIndex, u32> = operations.iter().map(|one| one.invoke).zip(0..).collect();
    let parts = split::parts(model, operations.to_vec());
    let mut moments: Vec<(OpIndex, u32)> = Vec::with_capacity(operations.len());
    for (_, part) in &parts {
        let order = match model.order(part) {
            Some(order) => order,
            None => Walk::new(model, part).run(budget)?,
        };
        let mut moment = 0;
        for place in order {
            let invoke = part[place as usize].invoke;
            moment = moment.max(invoke);
            moments.push((moment, places[&invoke]));
        }
    }
    // Equal moments are of one part, and stay as they stand.
    moments.sort_by_key(|&(moment, _)| moment);
    Ok(moments.into_iter().map(|(_, place)| place).collect())
}

/// A placed operation, and how to go back.
struct Step<S> {
    place: u32,
    /// The state before it.
    before: S,
    /// What else was to be tried stands from here on.
    choices_from: usize,
}

struct Walk<'a, M: Model> {
    model: &'a M,
    operations: &'a [Operation<M::Action>],
    /// Places of operations without doubt in order of completion, and where each stands there.
    by_end: Vec<u32>,
    rank: Vec<u32>,
    /// The first of these that is not placed.
    first: usize,
    placed: Vec<bool>,
    /// Those without doubt that are not placed, in order of invocation, as a ring; the last place is its head.
    next: Vec<u32>,
    previous: Vec<u32>,
    /// The class of each operation: equal actions have one.
    class: Vec<u32>,
    /// Of each class in doubt the places, in order of invocation, and how many are placed.
    doubts: Vec<(Vec<u32>, usize)>,
    doubts_of_class: FxHashMap<u32, u32>,
    /// Where the state is one cell: what is still needed of it, and left.
    cells: Option<Cells<M::State>>,
    /// What is placed, as a hash.
    hash: u128,
    steps: Vec<Step<M::State>>,
    choices: Vec<u32>,
    seen: FxHashSet<u128>,
    tries: u64,
}

impl<'a, M: Model> Walk<'a, M> {
    fn new(model: &'a M, operations: &'a [Operation<M::Action>]) -> Walk<'a, M> {
        let count = operations.len();
        let mut classes: FxHashMap<&M::Action, u32> = FxHashMap::default();
        let mut walk = Walk {
            model,
            operations,
            by_end: (0..count as u32).filter(|&place| !operations[place as usize].in_doubt()).collect(),
            rank: vec![u32::MAX; count],
            first: 0,
            placed: vec![false; count],
            next: vec![count as u32; count + 1],
            previous: vec![count as u32; count + 1],
            class: Vec::with_capacity(count),
            doubts: Vec::new(),
            doubts_of_class: FxHashMap::default(),
            cells: Cells::new(operations.iter().map(|operation| {
                let cell = model.cell(&operation.action)?;
                Some((cell.needs.filter(|_| !operation.in_doubt()), cell.leaves))
            })),
            hash: 0,
            steps: Vec::new(),
            choices: Vec::new(),
            seen: FxHashSet::default(),
            tries: 0,
        };
        let mut last = count;
        for (place, operation) in operations.iter().enumerate() {
            let class = classes.len() as u32;
            let class = *classes.entry(&operation.action).or_insert(class);
            walk.class.push(class);
            if operation.in_doubt() {
                let doubts = walk.doubts.len() as u32;
                let at = *walk.doubts_of_class.entry(class).or_insert(doubts);
                if at == doubts {
                    walk.doubts.push((Vec::new(), 0));
                }
                walk.doubts[at as usize].0.push(place as u32);
            } else {
                (walk.next[last], walk.previous[place]) = (place as u32, last as u32);
                last = place;
            }
        }
        (walk.next[last], walk.previous[count]) = (count as u32, last as u32);
        walk.by_end.sort_unstable_by_key(|&place| operations[place as usize].end);
        for (rank, &place) in walk.by_end.iter().enumerate() {
            walk.rank[place as usize] = rank as u32;
        }
        walk
    }

    fn run(mut self, budget: &Budget) -> Result<Vec<u32>, NoOrder> {
        let mut state = self.model.initial();
        loop {
            if self.first == self.by_end.len() {
                return Ok(self.steps.iter().map(|step| step.place).collect());
            }
            let mut from = self.choices.len();
            self.gather(&state);
            // Whatever cannot be gone on with is gone back from.
            loop {
                if self.choices.len() > from {
                    let place = self.choices.pop().unwrap_or_default();
                    if let Some(after) = self.enter(&state, place) {
                        self.steps.push(Step {
                            place,
                            before: std::mem::replace(&mut state, after),
                            choices_from: from,
                        });
                        break;
                    }
                } else {
                    let Some(step) = self.steps.pop() else { return Err(NoOrder::Impossible) };
                    self.unplace(step.place);
                    (state, from) = (step.before, step.choices_from);
                }
            }
            let bytes = self.seen.capacity() * 18 + self.steps.capacity() * size_of::<Step<M::State>>();
            if self.tries > budget.steps_max || bytes as u64 > budget.memory_bytes_max {
                return Err(NoOrder::Spent);
            }
        }
    }

    /// Puts what can be next onto the choices, the best one last.
    fn gather(&mut self, state: &M::State) {
        let head = self.operations.len() as u32;
        let due = &self.operations[self.by_end[self.first] as usize];
        let mut found: Vec<(bool, OpIndex, u32)> = Vec::new();
        let mut place = self.next[head as usize];
        while place != head && self.operations[place as usize].invoke < due.end {
            let operation = &self.operations[place as usize];
            self.tries += 1;
            if let Some(after) = self.model.step(state, &operation.action) {
                if self.model.observes_only(&operation.action) {
                    self.choices.push(place);
                    return;
                }
                let helps = operation.end == due.end || self.model.step(&after, &due.action).is_some();
                found.push((!helps, operation.end, place));
            }
            place = self.next[place as usize];
        }
        for (places, used) in &self.doubts {
            let Some(&place) = places.get(*used) else { continue };
            let operation = &self.operations[place as usize];
            if operation.invoke < due.end {
                self.tries += 1;
                let after = self.model.step(state, &operation.action).filter(|after| after != state);
                let helps = |after: &M::State| self.model.step(after, &due.action).is_some();
                found.extend(after.map(|after| (!helps(&after), operation.end, place)));
            }
        }
        found.sort_unstable();
        let from = self.choices.len();
        for &(_, _, place) in &found {
            let class = self.class[place as usize];
            let is_same = |&other: &u32| {
                let doubt = |place: u32| self.operations[place as usize].in_doubt();
                self.class[other as usize] == class && doubt(other) == doubt(place)
            };
            if !self.choices[from..].iter().any(is_same) {
                self.choices.push(place);
            }
        }
        self.choices[from..].reverse();
    }

    /// Places an operation; `None` where one has been there before.
    fn enter(&mut self, state: &M::State, place: u32) -> Option<M::State> {
        let after = self.model.step(state, &self.operations[place as usize].action)?;
        self.place(place);
        let is_doomed = self.cells.as_ref().is_some_and(|cells| after != *state && cells.is_doomed(state));
        if !is_doomed && self.seen.insert(self.hash ^ hash_of(("state", &after))) {
            return Some(after);
        }
        self.unplace(place);
        None
    }

    fn place(&mut self, place: u32) {
        let at = place as usize;
        self.placed[at] = true;
        if let Some(cells) = &mut self.cells {
            cells.count(at, -1);
        }
        self.hash ^= self.token(place);
        if let Some(&doubt) = self.doubts_of_class.get(&self.class[at]).filter(|_| self.operations[at].in_doubt()) {
            self.doubts[doubt as usize].1 += 1;
            return;
        }
        let (before, after) = (self.previous[at], self.next[at]);
        (self.next[before as usize], self.previous[after as usize]) = (after, before);
        while self.by_end.get(self.first).is_some_and(|&place| self.placed[place as usize]) {
            self.first += 1;
        }
    }

    fn unplace(&mut self, place: u32) {
        let at = place as usize;
        self.placed[at] = false;
        if let Some(cells) = &mut self.cells {
            cells.count(at, 1);
        }
        self.hash ^= self.token(place);
        if let Some(&doubt) = self.doubts_of_class.get(&self.class[at]).filter(|_| self.operations[at].in_doubt()) {
            self.doubts[doubt as usize].1 -= 1;
            return;
        }
        let (before, after) = (self.previous[at], self.next[at]);
        (self.next[before as usize], self.previous[after as usize]) = (place, place);
        self.first = self.first.min(self.rank[at] as usize);
    }

    /// Operations of a class in doubt are placed in order of invocation, so that a place stands for how many there are.
    fn token(&self, place: u32) -> u128 {
        hash_of(("place", place))
    }
}

/// Of states that are cells, what operations that are not placed need and leave.
pub(crate) struct Cells<S> {
    numbers: FxHashMap<S, u32>,
    /// By operation: the numbers of what it needs and of what it leaves.
    of: Vec<(Option<u32>, Option<u32>)>,
    /// By number.
    needed: Vec<u32>,
    left: Vec<u32>,
}

impl<S: Clone + Eq + Hash> Cells<S> {
    /// From what each operation needs (nothing, if it is in doubt) and leaves; `None` if some are no cells.
    pub fn new(cells: impl Iterator<Item = Option<(Option<S>, Option<S>)>>) -> Option<Cells<S>> {
        let mut all = Cells { numbers: FxHashMap::default(), of: Vec::new(), needed: Vec::new(), left: Vec::new() };
        for cell in cells {
            let (needs, leaves) = cell?;
            let numbered = (needs.map(|state| all.number(state)), leaves.map(|state| all.number(state)));
            all.of.push(numbered);
        }
        (all.needed, all.left) = (vec![0; all.numbers.len()], vec![0; all.numbers.len()]);
        (0..all.of.len()).for_each(|place| all.count(place, 1));
        Some(all)
    }

    fn number(&mut self, state: S) -> u32 {
        let next = self.numbers.len() as u32;
        *self.numbers.entry(state).or_insert(next)
    }

    /// An operation is placed (-1), or not any more (1).
    pub fn count(&mut self, place: usize, by: i32) {
        let (needs, leaves) = self.of[place];
        for (number, counts) in [(needs, &mut self.needed), (leaves, &mut self.left)] {
            if let Some(number) = number {
                let count = &mut counts[number as usize];
                *count = count.saturating_add_signed(by);
            }
        }
    }

    /// Whether a state that was just left is still needed and cannot come again.
    pub fn is_doomed(&self, state: &S) -> bool {
        let number = self.numbers.get(state).map(|&number| number as usize);
        number.is_some_and(|number| self.needed[number] > 0 && self.left[number] == 0)
    }

    /// Whether a state is still needed.
    pub fn is_needed(&self, state: &S) -> bool {
        self.numbers.get(state).is_some_and(|&number| self.needed[number as usize] > 0)
    }

    /// Whether some state is needed that nothing leaves, and that is not there at first.
    pub fn lacks(&self, is_initial: impl Fn(&S) -> bool) -> bool {
        let lacks = |number: u32| self.needed[number as usize] > 0 && self.left[number as usize] == 0;
        self.numbers.iter().any(|(state, &number)| lacks(number) && !is_initial(state))
    }
}

/// 128 bits, the same in every run of one program.
fn hash_of(value: impl Hash) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        (salt, &value).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}
