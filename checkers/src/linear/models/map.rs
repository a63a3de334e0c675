//! A map from keys to registers, where the key stands in the value: `read`, `write`, `cas` with `[key, value]`,
//! `[key, [old, new]]`.
//!
//! (Where operations have a key of their own, or `--keyed` says that values are tuples, keys are split off before, and the
//! model is a register.) A map is a product of registers, so each register is a part, judged alone and without a search
//! where its values are unique.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use schism_history::{Call, F, History, Kind, ValueId};

use super::{Register, RegisterAction};
use crate::linear::model::{Cell, Model};
use crate::linear::ruling::{Certificate, Ruling};
use crate::linear::split::Operation;

/// Registers by key, initially nil: reads, writes and compare-and-set of one at a time.
#[derive(Debug, Clone, Copy)]
pub struct RegisterMap;

/// The registers that are not nil, by the number of their key.
pub type Registers = Arc<[(ValueId, ValueId)]>;

/// What was done to which register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MapAction {
    /// The key's number.
    pub key: ValueId,
    /// What was done.
    pub action: RegisterAction,
}

const REGISTER: Register = Register { cas: true };

impl RegisterMap {
    /// The map in which one register holds something.
    fn only(key: ValueId, value: ValueId) -> Registers {
        let entry = [(key, value)];
        Arc::from(if value == ValueId::NIL { &[] } else { &entry[..] })
    }
}

impl Model for RegisterMap {
    type State = Registers;
    type Action = MapAction;

    fn name(&self) -> &'static str {
        "map"
    }

    fn initial(&self) -> Registers {
        Arc::from([])
    }

    fn step(&self, state: &Registers, action: &MapAction) -> Option<Registers> {
        let place = state.binary_search_by_key(&action.key, |&(key, _)| key);
        let before = place.map_or(ValueId::NIL, |place| state[place].1);
        let after = REGISTER.step(&before, &action.action)?;
        if after == before {
            return Some(state.clone());
        }
        let mut registers = state.to_vec();
        match place {
            Ok(place) if after == ValueId::NIL => drop(registers.remove(place)),
            Ok(place) => registers[place].1 = after,
            Err(place) => registers.insert(place, (action.key, after)),
        }
        Some(Arc::from(registers))
    }

    fn action(&self, history: &History, call: Call) -> Result<Option<MapAction>, String> {
        let answered = call.completion.filter(|_| call.outcome == Kind::Ok);
        let tuple = |event: u32| {
            let id = history.value_id(event);
            let wanted = || format!("the model map wants [key, value], but there is {}", *history.value_of(id));
            history.parts_of(id).ok_or_else(wanted)
        };
        let [key, asked] = tuple(call.invoke)?;
        let action = match history.f(call.invoke) {
            F::Read => {
                let Some(completion) = answered else { return Ok(None) };
                let [told_key, told] = tuple(completion)?;
                if told_key != key {
                    return Err("the answer to a read is about another key than was asked for".to_owned());
                }
                RegisterAction::Read(told)
            }
            F::Write => RegisterAction::Write(asked),
            F::Cas => {
                let wanted = || format!("cas wants [key, [old, new]], but has {}", *history.value(call.invoke));
                let [old, new] = history.parts_of(asked).ok_or_else(wanted)?;
                let missed = answered.is_some_and(|completion| history.matched(completion) == Some(false));
                if missed { RegisterAction::Miss(old) } else { RegisterAction::Cas(old, new) }
            }
            other => return Err(format!("the model map has no function {other}")),
        };
        Ok(Some(MapAction { key, action }))
    }

    fn observes_only(&self, action: &MapAction) -> bool {
        REGISTER.observes_only(&action.action)
    }

    fn part(&self, action: &MapAction) -> Option<u32> {
        Some(action.key.number())
    }

    /// In its part the state is one cell: the map that holds this register alone. (Only parts are ever asked for cells.)
    fn cell(&self, action: &MapAction) -> Option<Cell<Registers>> {
        let Cell { needs, refuses, leaves } = REGISTER.cell(&action.action)?;
        let map = |value: Option<ValueId>| value.map(|value| RegisterMap::only(action.key, value));
        Some(Cell { needs: map(needs), refuses: map(refuses), leaves: map(leaves) })
    }

    /// Each register by its own rule: bad if one is, good if all are.
    fn rule(&self, operations: &[Operation<MapAction>]) -> Ruling {
        let (mut good, mut unfit) = (None, None);
        for (places, register) in registers(operations) {
            match REGISTER.rule(&register) {
                Ruling::Good { algorithm } => good = Some(algorithm),
                Ruling::Unfit(why) => unfit = unfit.or(Some(why)),
                Ruling::Bad { algorithm, at, certificate } => {
                    let (pattern, named) = certificate.map_or(("none", vec![0]), |one| (one.pattern, one.places));
                    let named = named.iter().filter_map(|&place| places.get(place as usize).copied()).collect();
                    return Ruling::Bad { algorithm, at, certificate: Some(Certificate { pattern, places: named }) };
                }
            }
        }
        match unfit {
            Some(why) => Ruling::Unfit(why),
            None => Ruling::Good { algorithm: good.unwrap_or("blocks") },
        }
    }

    fn order(&self, operations: &[Operation<MapAction>]) -> Option<Vec<u32>> {
        match registers(operations).as_slice() {
            [(places, register)] => {
                let order = REGISTER.order(register)?;
                Some(order.into_iter().map(|place| places[place as usize]).collect())
            }
            _ => None,
        }
    }

    fn show(&self, history: &History, state: &Registers) -> String {
        let shown: Vec<String> = state
            .iter()
            .map(|&(key, value)| format!("{}: {}", *history.value_of(key), *history.value_of(value)))
            .collect();
        format!("{{{}}}", shown.join(", "))
    }

    fn observed(&self, history: &History, action: &MapAction) -> String {
        format!("{}: {}", *history.value_of(action.key), REGISTER.observed(history, &action.action))
    }
}

/// The operations of each register, with their places, in order of appearance.
fn registers(operations: &[Operation<MapAction>]) -> Vec<(Vec<u32>, Vec<Operation<RegisterAction>>)> {
    let mut found: Vec<(Vec<u32>, Vec<Operation<RegisterAction>>)> = Vec::new();
    let mut numbers: FxHashMap<ValueId, usize> = FxHashMap::default();
    for (place, operation) in (0..).zip(operations) {
        let number = *numbers.entry(operation.action.key).or_insert(found.len());
        if number == found.len() {
            found.push((Vec::new(), Vec::new()));
        }
        let Operation { invoke, end, action } = *operation;
        found[number].0.push(place);
        found[number].1.push(Operation { invoke, end, action: action.action });
    }
    found
}
