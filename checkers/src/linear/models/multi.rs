//! Several registers in one object: transactions that read and write some of them at once.
//!
//! `txn` with `[["r", k, v], ["w", k, v], ...]`: its parts happen one after another with nothing in between, so a read sees
//! what the same transaction wrote before. A read of nil in an answer saw nothing. Registers are nil at first. A transaction
//! in doubt tells nothing of what it read; one that only reads has no effect then and is dropped.
//!
//! Where every transaction is about one register, each register is judged alone. Otherwise the search decides; states are
//! sorted lists of what is not nil, copied when they change, so this is for a few registers, not for thousands.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHasher};
use schism_history::{Call, F, History, Key, Kind, Mop, Value};

use crate::linear::model::Model;
use crate::linear::split::Operation;

/// Registers by key, initially nil; transactions read and write them.
#[derive(Debug, Clone, Copy)]
pub struct MultiRegister;

/// What a register holds, other than nil, as JSON writes it.
pub type Content = Arc<str>;

/// The registers that are not nil, by key.
pub type Registers = Arc<[(Key, Content)]>;

/// A part of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Micro {
    /// A read that answered this (nothing: nil).
    Read(Key, Option<Content>),
    /// A write.
    Write(Key, Option<Content>),
}

impl Micro {
    fn key(&self) -> &Key {
        match self {
            Micro::Read(key, _) | Micro::Write(key, _) => key,
        }
    }
}

fn find<'a>(registers: &'a [(Key, Content)], key: &Key) -> Option<&'a Content> {
    registers.binary_search_by(|(other, _)| other.cmp(key)).ok().map(|place| &registers[place].1)
}

fn with(registers: &mut Vec<(Key, Content)>, key: &Key, content: Option<&Content>) {
    match (registers.binary_search_by(|(other, _)| other.cmp(key)), content) {
        (Ok(place), Some(content)) => registers[place].1 = content.clone(),
        (Ok(place), None) => drop(registers.remove(place)),
        (Err(place), Some(content)) => registers.insert(place, (key.clone(), content.clone())),
        (Err(_), None) => {}
    }
}

impl Model for MultiRegister {
    type State = Registers;
    type Action = Vec<Micro>;

    fn name(&self) -> &'static str {
        "multi-register"
    }

    fn initial(&self) -> Registers {
        Arc::from([])
    }

    fn step(&self, state: &Registers, action: &Vec<Micro>) -> Option<Registers> {
        // Copied at the first write.
        let mut changed: Option<Vec<(Key, Content)>> = None;
        for micro in action {
            match micro {
                Micro::Read(key, seen) => {
                    let registers = changed.as_deref().unwrap_or(state);
                    if find(registers, key) != seen.as_ref() {
                        return None;
                    }
                }
                Micro::Write(key, new) => with(changed.get_or_insert_with(|| state.to_vec()), key, new.as_ref()),
            }
        }
        Some(changed.map_or_else(|| state.clone(), Arc::from))
    }

    fn action(&self, history: &History, call: Call) -> Result<Option<Vec<Micro>>, String> {
        if *history.f(call.invoke) != F::Txn {
            return Err(format!("the model multi-register has no function {}", history.f(call.invoke)));
        }
        let answered = call.completion.filter(|_| call.outcome == Kind::Ok);
        let asked = history.value(call.invoke);
        let asked = micros(&asked)?;
        let Some(completion) = answered else {
            let writes: Vec<Micro> = asked.iter().filter(|mop| is_write(mop)).map(micro).collect();
            return Ok((!writes.is_empty()).then_some(writes));
        };
        let told = history.value(completion);
        let told = micros(&told)?;
        let is_same = |(asked, told): (&Mop, &Mop)| {
            asked.f == told.f && asked.key == told.key && (!is_write(asked) || asked.value == told.value)
        };
        if asked.len() != told.len() || !asked.iter().zip(told).all(is_same) {
            return Err("the answer to a transaction is about other registers than were asked for".to_owned());
        }
        Ok(Some(told.iter().map(micro).collect()))
    }

    fn observes_only(&self, action: &Vec<Micro>) -> bool {
        action.iter().all(|micro| matches!(micro, Micro::Read(..)))
    }

    /// A hash of the only key. Two keys with one hash are judged together, which is as exact.
    fn part(&self, action: &Vec<Micro>) -> Option<u32> {
        let mut hasher = FxHasher::default();
        let first = action.first()?.key();
        if action.iter().any(|micro| micro.key() != first) {
            return None;
        }
        first.hash(&mut hasher);
        Some((hasher.finish() >> 32) as u32)
    }

    /// A transaction in doubt whose values nobody else saw may as well not have happened: without it, the same order is
    /// legal, as between its writes and those that follow nobody read these registers.
    fn idle(&self, operations: &[Operation<Vec<Micro>>]) -> Vec<u32> {
        let unseen = unseen(operations);
        (0..operations.len() as u32).filter(|&at| unseen[at as usize] && operations[at as usize].in_doubt()).collect()
    }

    /// What only observes, and what left nothing that others saw, can each be left out for itself.
    fn groups(&self, operations: &[Operation<Vec<Micro>>]) -> Vec<u32> {
        unseen(operations).iter().zip(1..).map(|(&unseen, number)| if unseen { number } else { 0 }).collect()
    }

    fn show(&self, _history: &History, state: &Registers) -> String {
        let shown: Vec<String> = state.iter().map(|(key, content)| format!("{key}: {content}")).collect();
        format!("{{{}}}", shown.join(", "))
    }

    fn observed(&self, _history: &History, action: &Vec<Micro>) -> String {
        let reads = action.iter().filter_map(|micro| match micro {
            Micro::Read(key, seen) => Some(format!("{key}: {}", seen.as_deref().unwrap_or("nil"))),
            Micro::Write(..) => None,
        });
        let reads: Vec<String> = reads.collect();
        if reads.is_empty() { "anything".to_owned() } else { format!("{{{}}}", reads.join(", ")) }
    }
}

/// Of each transaction, whether no other one saw a value that it wrote. (Nil, which every register is at first, counts as
/// seen wherever it was read.)
fn unseen(operations: &[Operation<Vec<Micro>>]) -> Vec<bool> {
    let mut seen: FxHashMap<(&Key, Option<&Content>), u32> = FxHashMap::default();
    const MANY: u32 = u32::MAX;
    for (place, operation) in (0..).zip(operations) {
        for micro in &operation.action {
            if let Micro::Read(key, content) = micro {
                let reader = seen.entry((key, content.as_ref())).or_insert(place);
                *reader = if *reader == place { place } else { MANY };
            }
        }
    }
    let is_unseen = |(place, operation): (u32, &Operation<Vec<Micro>>)| {
        operation.action.iter().all(|micro| match micro {
            Micro::Read(..) => true,
            Micro::Write(key, content) => seen.get(&(key, content.as_ref())).is_none_or(|&reader| reader == place),
        })
    };
    (0..).zip(operations).map(is_unseen).collect()
}

fn is_write(mop: &Mop) -> bool {
    matches!(&*mop.f, "w" | "write")
}

fn micro(mop: &Mop) -> Micro {
    let content = (!mop.value.is_nil()).then(|| Arc::from(mop.value.to_json().to_string()));
    if is_write(mop) { Micro::Write(mop.key.clone(), content) } else { Micro::Read(mop.key.clone(), content) }
}

/// The parts of a transaction.
fn micros(value: &Value) -> Result<&[Mop], String> {
    match value {
        Value::Txn(mops) => match mops.iter().find(|mop| !matches!(&*mop.f, "r" | "read" | "w" | "write")) {
            None => Ok(mops),
            Some(other) => Err(format!("the model multi-register has no {} in transactions", other.f)),
        },
        Value::Nil => Ok(&[]),
        Value::List(items) if items.is_empty() => Ok(&[]),
        other => Err(format!("the model multi-register wants [[\"r\", key, value], ...], but there is {other}")),
    }
}
