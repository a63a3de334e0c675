//! Multi-registers and maps: whole judgements against brute force, witnesses that prove themselves, cases as data.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::{F, History, Key, Kind, Mop, Op, Process, Value, ValueId, notation};

use super::brute;
use super::simulate::{Draw, Simulated, Wanted, agrees, history};
use super::store::number;
use crate::checker::Budget;
use crate::linear::models::map::{MapAction, RegisterMap};
use crate::linear::models::multi::{Content, Micro, MultiRegister, Registers};
use crate::linear::models::{ModelName, RegisterAction};
use crate::linear::order::orders;
use crate::linear::replay::replay_key;
use crate::linear::ruling::Ruling;
use crate::linear::split::{OPEN, Operation};
use crate::linear::{Model, check_model, verify_witness};
use crate::verdict::Outcome;

fn shapes(values: u32) -> [Wanted; 3] {
    let shape = Wanted { operations_max: 8, doubts_max: 3, values, processes: 3, edited_percent: 95 };
    [Wanted { doubts_max: 1, processes: 2, ..shape }, Wanted { doubts_max: 0, processes: 2, ..shape }, shape]
}

fn content(random: &mut ChaCha8Rng, draw: Draw) -> Option<Content> {
    Some(draw.value(random)).filter(|_| random.random_bool(0.95)).map(|value| value.to_string().into())
}

impl Simulated for MultiRegister {
    fn draw(&self, random: &mut ChaCha8Rng, state: &Registers, draw: Draw) -> Option<Vec<Micro>> {
        let key = |random: &mut ChaCha8Rng| Key::Int(random.random_range(0..2));
        let (mut action, mut now) = (Vec::new(), state.clone());
        for _ in 0..random.random_range(1..=2) {
            let key = key(random);
            let micro = match draw.doubtful || random.random_bool(0.4) {
                true => Micro::Write(key, content(random, draw)),
                false => {
                    let seen = now.iter().find(|(other, _)| *other == key).map(|(_, content)| content.clone());
                    Micro::Read(key, seen)
                }
            };
            now = self.step(&now, &vec![micro.clone()])?;
            action.push(micro);
        }
        Some(action)
    }

    fn edited(&self, random: &mut ChaCha8Rng, action: &Vec<Micro>, all: &[Operation<Vec<Micro>>]) -> Vec<Micro> {
        let mut action = action.clone();
        let reads = action.iter().position(|micro| matches!(micro, Micro::Read(..)));
        let at = reads.unwrap_or_else(|| random.random_range(0..action.len()));
        let other = &all[random.random_range(0..all.len())].action;
        let value = |micro: &Micro| match micro {
            Micro::Read(_, value) | Micro::Write(_, value) => value.clone(),
        };
        let taken = value(&other[random.random_range(0..other.len())]).filter(|_| random.random_bool(0.7));
        let taken = if value(&action[at]) == taken { Some("99".into()) } else { taken };
        match &mut action[at] {
            Micro::Read(_, value) | Micro::Write(_, value) => *value = taken,
        }
        action
    }
}

impl Simulated for RegisterMap {
    fn draw(
        &self,
        random: &mut ChaCha8Rng,
        state: &crate::linear::models::map::Registers,
        draw: Draw,
    ) -> Option<MapAction> {
        let key = number(random.random_range(0..2));
        let now = state.iter().find(|(other, _)| *other == key).map_or(ValueId::NIL, |(_, value)| *value);
        let new = number(draw.value(random));
        let action = match random.random_range(0..10) {
            0..5 if !draw.doubtful => RegisterAction::Read(now),
            0..8 => RegisterAction::Write(new),
            _ => RegisterAction::Cas(now, new),
        };
        Some(MapAction { key, action })
    }

    fn edited(&self, random: &mut ChaCha8Rng, action: &MapAction, all: &[Operation<MapAction>]) -> MapAction {
        let other = match all[random.random_range(0..all.len())].action.action {
            RegisterAction::Read(value) | RegisterAction::Write(value) | RegisterAction::Miss(value) => value,
            RegisterAction::Cas(_, new) => new,
        };
        let other = if random.random_bool(0.2) { number(99) } else { other };
        let action_of = match action.action {
            RegisterAction::Read(_) => RegisterAction::Read(other),
            RegisterAction::Write(_) => RegisterAction::Write(other),
            RegisterAction::Cas(_, new) => RegisterAction::Cas(other, new),
            RegisterAction::Miss(_) => RegisterAction::Miss(other),
        };
        MapAction { action: action_of, ..*action }
    }
}

/// A history that says these operations, each by a process of its own. `said`: function, argument, answer.
fn as_history<A>(operations: &[Operation<A>], said: impl Fn(&A) -> (F, Value, Value)) -> History {
    let mut events: Vec<(u32, Op)> = Vec::new();
    for (process, operation) in (0..).zip(operations) {
        let (f, argument, answer) = said(&operation.action);
        let process = Process::Client(process);
        events.push((operation.invoke, Op::new(process.clone(), Kind::Invoke, f.clone(), argument)));
        if operation.end != OPEN {
            events.push((operation.end, Op::new(process, Kind::Ok, f, answer)));
        }
    }
    events.sort_by_key(|(time, _)| *time);
    History::from_ops(events.into_iter().map(|(_, op)| op)).unwrap()
}

pub fn said_by_transaction(action: &[Micro]) -> (F, Value, Value) {
    let value =
        |content: &Option<Content>| content.as_ref().map_or(Value::Nil, |content| Value::Int(content.parse().unwrap()));
    let mops = |answered: bool| {
        let mop = |micro: &Micro| match micro {
            Micro::Read(key, seen) => Mop::new("r", key.clone(), if answered { value(seen) } else { Value::Nil }),
            Micro::Write(key, new) => Mop::new("w", key.clone(), value(new)),
        };
        Value::Txn(Box::new(action.iter().map(mop).collect()))
    };
    (F::Txn, mops(false), mops(true))
}

fn said_by_map(action: &MapAction) -> (F, Value, Value) {
    let value = |id: ValueId| if id == ValueId::NIL { Value::Nil } else { Value::Int(i64::from(id.number())) };
    let pair = |inner: Value| Value::list(vec![value(action.key), inner]);
    match action.action {
        RegisterAction::Read(seen) => (F::Read, pair(Value::Nil), pair(value(seen))),
        RegisterAction::Write(new) => (F::Write, pair(value(new)), pair(value(new))),
        RegisterAction::Cas(old, new) => {
            let both = pair(Value::list(vec![value(old), value(new)]));
            (F::Cas, both.clone(), both)
        }
        RegisterAction::Miss(_) => panic!("none is drawn"),
    }
}

/// Judges thousands of simulated histories from end to end: verdict, witness, order.
fn judge<S: Simulated>(
    (model, name): (&S, ModelName),
    wanted: &[Wanted],
    (seed, rounds): (u64, usize),
    said: impl Fn(&S::Action) -> (F, Value, Value),
) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut good, mut bad) = (0, 0);
    for round in 0..rounds {
        let operations = history(&mut random, model, wanted[round % wanted.len()]);
        let history = as_history(&operations, &said);
        let finding = check_model(model, &history, &Budget::default());
        let line = || notation::write(&history);
        let expected = brute::linearizable(model, &operations);
        assert_eq!(finding.outcome() == Outcome::Valid, expected, "round {round}: {} {finding:?}", line());
        if expected {
            good += 1;
            for key in orders(name, &history, &Budget::default()) {
                let order = key.order.unwrap_or_else(|| panic!("{:?}: {}", key.why, line()));
                replay_key(name, &history, key.key_id, &order).unwrap_or_else(|wrong| panic!("{wrong}: {}", line()));
            }
        } else {
            bad += 1;
            let witness = &finding.anomalies[0].witness;
            verify_witness(&history, witness)
                .unwrap_or_else(|wrong| panic!("round {round}: {wrong}: {witness:?} {}", line()));
        }
    }
    assert!(good * 10 >= rounds * 3 && bad * 10 >= rounds * 3, "{good} good, {bad} bad");
}

#[test]
fn transactions_over_registers() {
    judge((&MultiRegister, ModelName::MultiRegister), &shapes(3), (51, 2_000), |action| said_by_transaction(action));
    judge((&MultiRegister, ModelName::MultiRegister), &shapes(0), (52, 1_000), |action| said_by_transaction(action));
}

#[test]
fn maps() {
    judge((&RegisterMap, ModelName::Map), &shapes(0), (53, 2_000), said_by_map);
    judge((&RegisterMap, ModelName::Map), &shapes(3), (54, 1_000), said_by_map);
}

#[test]
fn the_rule_of_maps_agrees_with_every_order() {
    agrees(&RegisterMap, &shapes(0), (57, 8_000, 20), |operations| match RegisterMap.rule(operations) {
        Ruling::Good { .. } => Some(true),
        Ruling::Bad { .. } => Some(false),
        Ruling::Unfit(_) => None,
    });
}

/// Line, and whether it is valid; or a part of what is said of it.
#[test]
fn transactions_as_data() {
    let cases = [
        (r#"0:txn=[["w",1,5],["r",1,null]]>[["w",1,5],["r",1,5]]"#, "valid"),
        (r#"0:txn=[["w",1,5],["r",1,null]]>[["w",1,5],["r",1,6]]"#, "invalid"),
        // A torn transaction: one of two writes is seen without the other.
        (
            r#"0:txn=[["w","x",1],["w","y",1]]( 1:txn=[["r","x",null],["r","y",null]]>[["r","x",1],["r","y",null]] 0)"#,
            "invalid",
        ),
        (
            r#"0:txn=[["w","x",1],["w","y",1]]( 1:txn=[["r","x",null],["r","y",null]]>[["r","x",1],["r","y",1]] 0)"#,
            "valid",
        ),
        // In doubt: all of it or nothing, at any time after.
        (
            r#"0:txn=[["w","x",1],["w","y",1]]? 1:txn=[["r","x",null]]>[["r","x",1]] 1:txn=[["r","y",null]]>[["r","y",null]]"#,
            "invalid",
        ),
        (r#"0:txn=[["r","x",null]]? 1:txn=[["r","x",null]]>[["r","x",null]]"#, "valid"),
        (r#"0:txn=[["append",1,5]]"#, "has no append in transactions"),
        ("0:w1", "has no function write"),
        (r#"0:txn=[["w",1,5]]>[["w",2,5]]"#, "other registers than were asked for"),
    ];
    for (line, expected) in cases {
        let history = notation::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let finding = check_model(&MultiRegister, &history, &Budget::default());
        match finding.outcome() {
            Outcome::Valid => assert_eq!(expected, "valid", "{line}"),
            Outcome::Invalid => {
                assert_eq!(expected, "invalid", "{line}");
                verify_witness(&history, &finding.anomalies[0].witness).unwrap();
            }
            Outcome::Unknown => assert!(format!("{:?}", finding.gaps).contains(expected), "{line}: {:?}", finding.gaps),
        }
    }
}

#[test]
fn maps_as_data() {
    let cases = [
        ("0:write=[1,5] 0:read=[1,null]>[1,5] 0:read=[2,null]>[2,null]", "valid"),
        ("0:write=[1,5] 0:read=[1,null]>[1,null]", "invalid"),
        ("0:write=[1,5] 0:cas=[1,[5,6]] 0:read=[1,null]>[1,6]", "valid"),
        ("0:write=[1,5] 0:cas=[2,[5,6]]", "invalid"),
        ("0:write=[1,5] 0:cas=[1,[5,6]]~ 0:write=[1,5]", "invalid"),
        ("0:write=[1,5] 0:cas=[1,[7,6]]~", "valid"),
        ("0:write=[\"a\",null] 0:read=[\"a\",null]", "valid"),
        ("0:write=5", "wants [key, value]"),
        ("0:read=[1,null]>[2,null]", "another key"),
        ("0:cas=[1,5]", "[key, [old, new]]"),
        ("0:enqueue=[1,5]", "no function enqueue"),
    ];
    for (line, expected) in cases {
        let history = notation::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let finding = check_model(&RegisterMap, &history, &Budget::default());
        match finding.outcome() {
            Outcome::Valid => assert_eq!(expected, "valid", "{line}"),
            Outcome::Invalid => {
                assert_eq!(expected, "invalid", "{line}");
                verify_witness(&history, &finding.anomalies[0].witness).unwrap();
            }
            Outcome::Unknown => assert!(format!("{:?}", finding.gaps).contains(expected), "{line}: {:?}", finding.gaps),
        }
    }
}
