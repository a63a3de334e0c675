//! A set: `add v`, `remove v`, `contains v`, `read` of the whole set.
//!
//! `contains` answers by `matched`. An `add` or `remove` that is `ok` with `matched` true changed something, with `matched`
//! false nothing (the element was there already, or was not); without `matched` it says nothing of that. A `read` answers with
//! a list or a set; the order in it and repetitions mean nothing; nil is the empty set. Empty at first.
//!
//! Elements are integers or anything else, compared by type and content (inside of lists and maps as JSON has them).

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::{FxHashSet, FxHasher};
use schism_history::{Call, History, Kind, Value, ValueId};

use super::ModelName;
use crate::linear::model::Model;
use crate::linear::mutant::Mutation;
use crate::linear::rules::{elements, layers};
use crate::linear::ruling::Ruling;
use crate::linear::split::Operation;

/// A set, empty at first.
#[derive(Debug, Clone, Copy)]
pub struct Set;

/// What can be in a set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Element {
    /// An integer.
    Int(i64),
    /// Anything else: what kind of value it is, and its text.
    Other(u8, Arc<str>),
}

/// What was done to a set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SetAction {
    /// An element was added; whether that changed something, if that was said.
    Add(Element, Option<bool>),
    /// An element was removed; whether that changed something, if that was said.
    Remove(Element, Option<bool>),
    /// Whether an element is there.
    Contains(Element, bool),
    /// All elements, sorted, each once.
    Read(Arc<[Element]>),
}

impl SetAction {
    /// The element that it is about; `None`: all.
    pub fn element(&self) -> Option<&Element> {
        match self {
            SetAction::Add(element, _) | SetAction::Remove(element, _) | SetAction::Contains(element, _) => {
                Some(element)
            }
            SetAction::Read(_) => None,
        }
    }
}

impl Element {
    /// The element that a value is.
    pub fn of(value: &Value) -> Element {
        // The text alone would not tell 1.0 from "1.0".
        let kind = match value {
            Value::Int(number) => return Element::Int(*number),
            Value::Nil => 0,
            Value::Bool(_) => 1,
            Value::Float(_) => 2,
            Value::Big(_) => 3,
            Value::Str(_) => 4,
            Value::Keyword(_) => 5,
            Value::Pair(_) | Value::List(_) => 6,
            Value::Set(_) => 7,
            Value::Map(_) => 8,
            Value::Txn(_) => 9,
        };
        Element::Other(kind, value.to_string().into())
    }

    /// A number that equal elements share; different small integers have different ones.
    fn number(&self) -> u32 {
        const OTHERS: u32 = 1 << 31;
        if let Element::Int(number) = self
            && let Some(number) = u32::try_from(*number).ok().filter(|&number| number < OTHERS)
        {
            return number;
        }
        let mut hasher = FxHasher::default();
        self.hash(&mut hasher);
        (hasher.finish() >> 32) as u32 | OTHERS
    }
}

impl Model for Set {
    /// Sorted.
    type State = Arc<[Element]>;
    type Action = SetAction;

    fn name(&self) -> &'static str {
        ModelName::Set.as_str()
    }

    fn initial(&self) -> Arc<[Element]> {
        Arc::from([])
    }

    fn step(&self, state: &Arc<[Element]>, action: &SetAction) -> Option<Arc<[Element]>> {
        match action {
            SetAction::Add(element, changed) => match state.binary_search(element) {
                Ok(_) => (*changed != Some(true)).then(|| state.clone()),
                Err(_) if *changed == Some(false) => None,
                Err(place) => {
                    let (before, after) = state.split_at(place);
                    Some(before.iter().chain([element]).chain(after).cloned().collect())
                }
            },
            SetAction::Remove(element, changed) => match state.binary_search(element) {
                Err(_) => (*changed != Some(true)).then(|| state.clone()),
                Ok(_) if *changed == Some(false) => None,
                Ok(place) => Some([&state[..place], &state[place + 1..]].concat().into()),
            },
            SetAction::Contains(element, there) => {
                (state.binary_search(element).is_ok() == *there).then(|| state.clone())
            }
            SetAction::Read(all) => (state == all).then(|| state.clone()),
        }
    }

    fn observes_only(&self, action: &SetAction) -> bool {
        match action {
            SetAction::Contains(..) | SetAction::Read(_) => true,
            SetAction::Add(_, changed) | SetAction::Remove(_, changed) => *changed == Some(false),
        }
    }

    fn rule(&self, operations: &[Operation<SetAction>]) -> Ruling {
        let is_read = |operation: &Operation<SetAction>| matches!(operation.action, SetAction::Read(_));
        if operations.iter().any(|operation| is_read(operation) && !operation.in_doubt()) {
            layers::rule(operations, Mutation::default())
        } else {
            elements::rule(operations, Mutation::default())
        }
    }

    /// The element's number: those that share one are searched together.
    fn part(&self, action: &SetAction) -> Option<u32> {
        action.element().map(Element::number)
    }

    /// Additions in doubt of what nobody saw: without them everything else stays as legal as it was (a removal in doubt
    /// that needed one can be left out too).
    fn idle(&self, operations: &[Operation<SetAction>]) -> Vec<u32> {
        let doubtful = |operation: &Operation<SetAction>| {
            operation.in_doubt() && matches!(operation.action, SetAction::Add(_, None | Some(true)))
        };
        if !operations.iter().any(doubtful) {
            return Vec::new();
        }
        let mut seen: FxHashSet<&Element> = FxHashSet::default();
        for operation in operations.iter().filter(|operation| !operation.in_doubt()) {
            match &operation.action {
                SetAction::Read(all) => seen.extend(all.iter()),
                SetAction::Contains(element, true)
                | SetAction::Remove(element, Some(true))
                | SetAction::Add(element, Some(false)) => {
                    seen.insert(element);
                }
                SetAction::Contains(..) | SetAction::Remove(..) | SetAction::Add(..) => {}
            }
        }
        let idle = operations.iter().enumerate().filter(|(_, operation)| {
            doubtful(operation) && operation.action.element().is_some_and(|element| !seen.contains(element))
        });
        idle.map(|(place, _)| place as u32).collect()
    }

    fn show(&self, _history: &History, state: &Arc<[Element]>) -> String {
        let items: Vec<String> = state.iter().map(show).collect();
        format!("{{{}}}", items.join(", "))
    }

    fn observed(&self, history: &History, action: &SetAction) -> String {
        match action {
            SetAction::Read(all) => self.show(history, all),
            SetAction::Contains(element, true)
            | SetAction::Add(element, Some(false))
            | SetAction::Remove(element, Some(true)) => format!("{} in it", show(element)),
            SetAction::Contains(element, false)
            | SetAction::Add(element, Some(true))
            | SetAction::Remove(element, Some(false)) => format!("{} not in it", show(element)),
            SetAction::Add(_, None) | SetAction::Remove(_, None) => "anything".to_owned(),
        }
    }

    fn action(&self, history: &History, call: Call) -> Result<Option<SetAction>, String> {
        let answered = call.completion.filter(|_| call.outcome == Kind::Ok);
        let matched = answered.and_then(|completion| history.matched(completion));
        let element = || {
            let id = history.value_id(call.invoke);
            match id {
                ValueId::NIL => Err(format!("{} wants an element, but has nil", history.f(call.invoke))),
                id => Ok(Element::of(&history.value_of(id))),
            }
        };
        match (history.f(call.invoke).as_str(), answered) {
            ("add", _) => Ok(Some(SetAction::Add(element()?, matched))),
            ("remove", _) => Ok(Some(SetAction::Remove(element()?, matched))),
            ("contains" | "read", None) => Ok(None),
            ("contains", Some(_)) => {
                let there = matched.ok_or("contains answers by `matched`, true or false, but here it is missing")?;
                Ok(Some(SetAction::Contains(element()?, there)))
            }
            ("read", Some(completion)) => whole(&history.value(completion)).map(|all| Some(SetAction::Read(all))),
            (other, _) => Err(format!("the model set has no function {other}")),
        }
    }
}

fn show(element: &Element) -> String {
    match element {
        Element::Int(number) => number.to_string(),
        Element::Other(_, text) => text.to_string(),
    }
}

/// What a read of the whole set answered.
fn whole(value: &Value) -> Result<Arc<[Element]>, String> {
    let mut all: Vec<Element> = match value {
        Value::Nil => Vec::new(),
        Value::Pair(pair) => pair.iter().map(|&number| Element::Int(number)).collect(),
        Value::List(items) | Value::Set(items) => items.iter().map(Element::of).collect(),
        other => return Err(format!("a read of a set answers with a list or a set, but here with {other}")),
    };
    all.sort_unstable();
    all.dedup();
    Ok(all.into())
}
