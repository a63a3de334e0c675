//! Verifies a witness again, from the history alone and by plain means: no part of the search is used.

use rustc_hash::FxHashSet;
use schism_history::{History, Kind, OpIndex, REPLICA_READ};

use super::model::{Cell, Model};
use super::models::{ModelName, WithModel};
use super::split::{OPEN, Operation};
use crate::anomaly::{Because, Path, Witness};

/// Operations at most that an exclusion is judged by.
const CLOSED_MAX: usize = 40;
/// Configurations walked at most.
const WALK_MAX: usize = 2_000_000;

/// An operation, plainly: invocation, completion with `ok` if there is one, action.
type Plain<A> = (OpIndex, Option<OpIndex>, A);

/// Verifies that the witness says the truth of this history: its operations have no order although all their sources
/// are among them (so the whole history of the key has none); if it is said to be the smallest, that leaving out any
/// operation (with what may have observed it) gives an order; and that every path is legal as far as it goes and ends
/// for the reasons that it names. `reduce` defines sources and leaving out. Of a register also that what the exclusion
/// names, with its sources, has no order. (Witnesses of sequential consistency: the same, but for paths.)
///
/// # Errors
/// What is not true, or that the set is too large to walk all its orders.
pub fn verify_witness(history: &History, witness: &Witness) -> Result<(), String> {
    let (Witness::Nonlinearizable { model, .. } | Witness::Nonsequential { model, .. }) = witness else {
        return Err("the witness is not one of linearizability, nor of sequential consistency".to_owned());
    };
    let name = ModelName::parse(model).ok_or_else(|| format!("no model is called {model}"))?;
    name.with(Verifying { history, witness })
}

/// The same for a witness that [`super::check_model`] gave with this model.
///
/// # Errors
/// Those of [`verify_witness`].
pub fn verify_witness_of<M: Model>(model: &M, history: &History, witness: &Witness) -> Result<(), String> {
    Verifying { history, witness }.with(model)
}

struct Verifying<'h> {
    history: &'h History,
    witness: &'h Witness,
}

impl WithModel for Verifying<'_> {
    type Answer = Result<(), String>;

    fn with<M: Model>(self, model: &M) -> Result<(), String> {
        let Verifying { history, witness } = self;
        if let Witness::Nonsequential { .. } = witness {
            return crate::sequential::verify(model, history, witness);
        }
        let Witness::Nonlinearizable { operations, until, exclusion, smallest, blocked, paths, .. } = witness else {
            return Err("the witness is not one of linearizability".to_owned());
        };
        let first = *operations.first().ok_or("the witness names no operation")?;
        if operations.iter().any(|&invoke| invoke as usize >= history.len()) {
            return Err("the witness names an event that the history does not have".to_owned());
        }
        let all = plain(model, history, first, *until)?;
        let sources = Sources::new(model, &all);
        let places: Vec<usize> = (0..all.len()).filter(|&place| operations.contains(&all[place].0)).collect();
        if places.len() != operations.len() || !operations.is_sorted() {
            return Err("the operations are not different ones of one key, in order of invocation".to_owned());
        }
        let chosen: Vec<&Plain<M::Action>> = places.iter().map(|&place| &all[place]).collect();
        for &observer in &places {
            let left_out = |&source: &usize| sources.holds(source, observer) && !places.contains(&source);
            if let Some(source) = (0..all.len()).find(left_out) {
                return Err(format!(
                    "operation {} may have observed {}, which is left out",
                    all[observer].0, all[source].0
                ));
            }
        }
        if has_order(model, &chosen)? {
            return Err("the operations have an order".to_owned());
        }
        if !operations.contains(blocked) {
            return Err(format!("the blocked operation {blocked} is not among the operations"));
        }
        let is_known = |invoke: &OpIndex| history.client_calls().any(|call| call.invoke == *invoke);
        if exclusion.as_ref().is_some_and(|exclusion| !exclusion.operations.iter().all(is_known)) {
            return Err("the exclusion names an operation that is not there".to_owned());
        }
        if let Some(exclusion) = exclusion.as_ref().filter(|_| !sources.cells.is_empty()) {
            let named = |place: &usize| exclusion.operations.contains(&all[*place].0);
            let excluding = sources.closed((0..all.len()).filter(named).collect());
            let few: Vec<&Plain<M::Action>> = excluding.iter().map(|&place| &all[place]).collect();
            if excluding.len() <= CLOSED_MAX && has_order(model, &few)? {
                return Err("what the exclusion names has an order".to_owned());
            }
        }
        for &left_out in places.iter().filter(|_| *smallest) {
            let mut rest: Vec<usize> = places.iter().copied().filter(|&place| place != left_out).collect();
            let mut before = usize::MAX;
            while rest.len() < before {
                before = rest.len();
                let gone = |&observer: &usize| {
                    places.iter().any(|&source| sources.holds(source, observer) && !rest.contains(&source))
                };
                rest = rest.iter().copied().filter(|observer| !gone(observer)).collect();
            }
            if !has_order(model, &rest.iter().map(|&place| &all[place]).collect::<Vec<_>>())? {
                return Err(format!("without operation {} there is no order either", all[left_out].0));
            }
        }
        paths.iter().try_for_each(|path| verify_path(model, history, &chosen, path))
    }
}

/// All operations of the key (and part) of an event; up to an event, where one is named.
fn plain<M: Model>(
    model: &M,
    history: &History,
    event: OpIndex,
    until: Option<OpIndex>,
) -> Result<Vec<Plain<M::Action>>, String> {
    let until = until.unwrap_or(OpIndex::MAX);
    let mut all = Vec::new();
    let calls = history.client_calls().filter(|call| history.key_id(call.invoke) == history.key_id(event));
    for call in calls.filter(|call| history.f(call.invoke).as_str() != REPLICA_READ) {
        if call.outcome != Kind::Fail
            && let Some(action) = model.action(history, call)?
        {
            all.push((call.invoke, call.completion.filter(|_| call.outcome == Kind::Ok), action));
        }
    }
    let part = all.iter().find(|operation| operation.0 == event).and_then(|operation| model.part(&operation.2));
    if all.iter().all(|operation| model.part(&operation.2).is_some()) {
        all.retain(|operation| model.part(&operation.2) == part);
    }
    all.retain(|operation| operation.0 <= until);
    for operation in &mut all {
        operation.1 = operation.1.filter(|&end| end <= until);
    }
    Ok(all)
}

/// Whether the first had surely ended before the second began.
fn before<A>(first: &Plain<A>, second: &Plain<A>) -> bool {
    first.1.is_some_and(|end| end < second.0)
}

/// Who is a source of whom: by cells, or by groups.
struct Sources<'a, M: Model> {
    all: &'a [Plain<M::Action>],
    cells: Vec<Cell<M::State>>,
    groups: Vec<u32>,
}

impl<'a, M: Model> Sources<'a, M> {
    fn new(model: &M, all: &'a [Plain<M::Action>]) -> Sources<'a, M> {
        let cells: Option<Vec<Cell<M::State>>> = all.iter().map(|operation| model.cell(&operation.2)).collect();
        let operation = |plain: &Plain<M::Action>| Operation {
            invoke: plain.0,
            end: plain.1.unwrap_or(OPEN),
            action: plain.2.clone(),
        };
        match cells {
            Some(cells) => Sources { all, cells, groups: Vec::new() },
            None => {
                let groups = model.groups(&all.iter().map(operation).collect::<Vec<_>>());
                Sources { all, cells: Vec::new(), groups }
            }
        }
    }

    /// Operations with all their sources, and those of these.
    fn closed(&self, mut places: Vec<usize>) -> Vec<usize> {
        let mut next = 0;
        while let Some(&observer) = places.get(next).filter(|_| places.len() <= CLOSED_MAX) {
            let missing = |source: &usize| !places.contains(source) && self.holds(*source, observer);
            let found: Vec<usize> = (0..self.all.len()).filter(missing).collect();
            places.extend(found);
            next += 1;
        }
        places.sort_unstable();
        places
    }

    /// Whether `source` may have left what `observer` observed, or belongs to it.
    fn holds(&self, source: usize, observer: usize) -> bool {
        if source == observer {
            return false;
        }
        if self.cells.is_empty() {
            return self.groups[source] == 0 || self.groups[source] == self.groups[observer];
        }
        let left = |place: usize| self.cells[place].leaves.as_ref();
        let Some(state) = left(source) else { return false };
        if before(&self.all[observer], &self.all[source]) {
            return false;
        }
        let between = |&other: &usize| {
            before(&self.all[source], &self.all[other]) && before(&self.all[other], &self.all[observer])
        };
        let mut others = (0..self.all.len()).filter(between);
        let Cell { needs, refuses, .. } = &self.cells[observer];
        match (needs, refuses) {
            (Some(seen), _) => state == seen && !others.any(|other| left(other) == Some(seen)),
            (None, Some(not)) => state != not && !others.any(|other| left(other).is_some()),
            (None, None) => false,
        }
    }
}

/// Walks all orders.
fn has_order<M: Model>(model: &M, operations: &[&Plain<M::Action>]) -> Result<bool, String> {
    let mut seen: FxHashSet<(Vec<bool>, M::State)> = FxHashSet::default();
    let mut stack = vec![(vec![false; operations.len()], model.initial())];
    while let Some((placed, state)) = stack.pop() {
        if operations.iter().zip(&placed).all(|(operation, &placed)| placed || operation.1.is_none()) {
            return Ok(true);
        }
        for place in (0..operations.len()).filter(|&place| !placed[place]) {
            let waits = |other: usize| !placed[other] && before(operations[other], operations[place]);
            let after = model.step(&state, &operations[place].2);
            let Some(after) = after.filter(|_| !(0..operations.len()).any(waits)) else { continue };
            let mut next = placed.clone();
            next[place] = true;
            if seen.insert((next.clone(), after.clone())) {
                stack.push((next, after));
            }
        }
        if seen.len() > WALK_MAX {
            return Err(format!("{} operations have too many orders to walk them all", operations.len()));
        }
    }
    Ok(false)
}

fn verify_path<M: Model>(
    model: &M,
    history: &History,
    chosen: &[&Plain<M::Action>],
    path: &Path,
) -> Result<(), String> {
    let find = |invoke: OpIndex| {
        let found = chosen.iter().find(|operation| operation.0 == invoke);
        found.copied().ok_or_else(|| format!("the path names operation {invoke}, which is not in the set"))
    };
    let mut state = model.initial();
    let mut placed: Vec<&Plain<M::Action>> = Vec::new();
    for step in &path.placed {
        let operation = find(step.operation)?;
        let late = chosen.iter().any(|other| before(other, operation) && !placed.contains(other));
        let after = model.step(&state, &operation.2).filter(|_| !late && !placed.contains(&operation));
        state = after.ok_or_else(|| format!("the path places operation {} illegally", step.operation))?;
        let shown = model.show(history, &state);
        if shown != step.state {
            return Err(format!("after operation {} the state is {shown}, not {}", step.operation, step.state));
        }
        placed.push(operation);
    }
    for illegal in &path.illegal {
        let operation = find(illegal.operation)?;
        let true_reason = match &illegal.because {
            Because::State { state: named, observed } => {
                *named == model.show(history, &state)
                    && *observed == model.observed(history, &operation.2)
                    && model.step(&state, &operation.2).is_none()
            }
            Because::RealTime { after } => {
                let other = find(*after)?;
                before(other, operation) && !placed.contains(&other)
            }
        };
        if !true_reason || placed.contains(&operation) {
            return Err(format!("operation {} is not illegal for the reason named", illegal.operation));
        }
    }
    Ok(())
}
