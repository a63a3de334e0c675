//! Sets: elements and whole reads, rules and search against brute force, mutants, witnesses, pitfalls by name.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::Value;

use super::simulate::{Draw, Simulated, Wanted, agrees, history, kills};
use super::support::{Said, as_history, cases, check, large, ruled, said, searched, witnesses};
use crate::anomaly::Witness;
use crate::linear::models::ModelName;
use crate::linear::models::set::{Element, Set, SetAction};
use crate::linear::mutant::Mutation;
use crate::linear::rules::{deadlines, elements, layers};
use crate::linear::split::{OPEN, Operation};
use crate::linear::{Model, verify_witness};
use crate::verdict::Outcome;

/// No value twice: additions and whole reads. One or two values: questions about elements. More: everything.
const ELEMENTS: [Wanted; 4] = [
    Wanted { operations_max: 8, doubts_max: 3, values: 1, processes: 3, edited_percent: 96 },
    Wanted { operations_max: 8, doubts_max: 0, values: 1, processes: 3, edited_percent: 96 },
    Wanted { operations_max: 8, doubts_max: 1, values: 2, processes: 4, edited_percent: 96 },
    Wanted { operations_max: 6, doubts_max: 2, values: 2, processes: 2, edited_percent: 96 },
];
const WHOLE: [Wanted; 3] = [
    Wanted { operations_max: 8, doubts_max: 3, values: 0, processes: 3, edited_percent: 96 },
    Wanted { operations_max: 8, doubts_max: 0, values: 0, processes: 4, edited_percent: 96 },
    Wanted { operations_max: 6, doubts_max: 2, values: 0, processes: 2, edited_percent: 96 },
];
const MIXED: [Wanted; 2] = [
    Wanted { operations_max: 7, doubts_max: 2, values: 3, processes: 3, edited_percent: 96 },
    Wanted { operations_max: 8, doubts_max: 1, values: 4, processes: 4, edited_percent: 96 },
];

impl Simulated for Set {
    fn draw(&self, random: &mut ChaCha8Rng, state: &std::sync::Arc<[Element]>, draw: Draw) -> Option<SetAction> {
        let element = Element::Int(i64::from(draw.value(random)));
        let there = state.binary_search(&element).is_ok();
        let says = !draw.doubtful && random.random_bool(0.6);
        if draw.values == 0 {
            return Some(match random.random_range(0..2) {
                0 if !draw.doubtful => SetAction::Read(state.clone()),
                _ => SetAction::Add(element, None),
            });
        }
        Some(match random.random_range(0..if draw.values > 2 { 8 } else { 6 }) {
            0 | 1 if !draw.doubtful => SetAction::Contains(element, there),
            2 | 3 => SetAction::Remove(element, says.then_some(there)),
            6 | 7 if !draw.doubtful => SetAction::Read(state.clone()),
            _ => SetAction::Add(element, says.then_some(!there)),
        })
    }

    fn edited(&self, random: &mut ChaCha8Rng, action: &SetAction, all: &[Operation<SetAction>]) -> SetAction {
        let other = all[random.random_range(0..all.len())].action.element().cloned().unwrap_or(Element::Int(7));
        match action {
            SetAction::Read(seen) => {
                let mut seen = seen.to_vec();
                match seen.binary_search(&other) {
                    Ok(place) => drop(seen.remove(place)),
                    Err(place) => seen.insert(place, other),
                }
                SetAction::Read(seen.into())
            }
            SetAction::Contains(element, there) => SetAction::Contains(element.clone(), !there),
            SetAction::Add(element, Some(changed)) => SetAction::Add(element.clone(), Some(!changed)),
            SetAction::Remove(element, Some(changed)) => SetAction::Remove(element.clone(), Some(!changed)),
            SetAction::Add(element, None) if random.random_bool(0.5) => SetAction::Add(element.clone(), Some(true)),
            SetAction::Add(element, None) => SetAction::Remove(element.clone(), Some(true)),
            SetAction::Remove(element, None) if random.random_bool(0.5) => {
                SetAction::Remove(element.clone(), Some(random.random_bool(0.5)))
            }
            SetAction::Remove(element, None) => SetAction::Add(element.clone(), Some(random.random_bool(0.5))),
        }
    }
}

fn say(action: &SetAction) -> Said {
    let value = |element: &Element| match element {
        Element::Int(number) => Value::Int(*number),
        Element::Other(_, text) => Value::str(text),
    };
    match action {
        SetAction::Add(element, changed) => (None, "add", value(element), value(element), *changed),
        SetAction::Remove(element, changed) => (None, "remove", value(element), value(element), *changed),
        SetAction::Contains(element, there) => (None, "contains", value(element), value(element), Some(*there)),
        SetAction::Read(all) => (None, "read", Value::Nil, Value::list(all.iter().map(value).collect()), None),
    }
}

#[test]
fn elements_agree_with_every_order() {
    agrees(&Set, &ELEMENTS, (81, 20_000, 5), |operations| {
        ruled(operations, &elements::rule(operations, Mutation::default()))
    });
}

#[test]
fn layers_agree_with_every_order() {
    agrees(&Set, &WHOLE, (82, 20_000, 20), |operations| {
        ruled(operations, &layers::rule(operations, Mutation::default()))
    });
}

#[test]
fn the_search_agrees_with_every_order() {
    agrees(&Set, &[ELEMENTS[0], ELEMENTS[2], WHOLE[0], MIXED[0], MIXED[1]], (83, 6_000, 0), |operations| {
        searched(&Set, operations)
    });
}

#[test]
fn every_mutant_is_noticed() {
    use deadlines::Mutant as Level;
    use elements::Mutant::*;
    let mutants = [
        BlindMoves,
        BlindSees,
        BlindIgnored,
        LastAdds,
        DoubtSees,
        OneElement,
        Level(Level::LatestFirst),
        Level(Level::DoubtIgnored),
        Level(Level::DoubtFirst),
        Level(Level::Eager),
        Level(Level::SeesEndsOnly),
    ];
    kills(&Set, &ELEMENTS, (84, 15_000), &mutants, |operations, mutant| {
        said(&elements::rule(operations, Mutation { mutant: Some(mutant) }))
    });
    let mutants = {
        use layers::Mutant::*;
        [AnyReads, NeverAdded, UnreadAnywhere, DoubtAnywhere, UnreadDoubtHappened, LastLayerOnly]
    };
    kills(&Set, &WHOLE, (85, 15_000), &mutants, |operations, mutant| {
        said(&layers::rule(operations, Mutation { mutant: Some(mutant) }))
    });
    let mutants = [layers::Mutant::AddedTwice, layers::Mutant::RemovalsIgnored];
    kills(&Set, &MIXED, (86, 8_000), &mutants, |operations, mutant| {
        said(&layers::rule(operations, Mutation { mutant: Some(mutant) }))
    });
}

#[test]
fn witnesses_are_true() {
    for (seed, shapes) in [(91, &ELEMENTS[..]), (92, &WHOLE), (93, &MIXED)] {
        witnesses((&Set, ModelName::Set), shapes, (seed, 3_000), say);
    }
}

#[test]
fn pitfalls() {
    let removed = "whole reads of a set from which something was removed";
    let asked = "whole reads of a set together with questions about single elements";
    let twice = "whole reads of a set to which an element was added twice";
    cases(
        &Set,
        &[
            ("", "good"),
            ("0:add=1 1:contains=1+ 1:contains=2~", "good"),
            ("0:add=1 1:contains=1~", "element-still-there"),
            ("1:contains=1+ 0:add=1", "element-not-there"),
            ("0:add=1? 1:contains=1~ 1:contains=1+", "good"),
            ("0:add=1? 1:contains=1+ 1:contains=1~", "element-still-there"),
            // One or the other changed something.
            ("0:add=1+ 1:add=1+", "element-still-there"),
            ("0:add=1+ 1:add=1~ 2:remove=1+ 2:remove=1~", "good"),
            ("0:add=1~", "element-not-there"),
            // Who does not say may have found it as it wanted it.
            ("0:add=1 1:add=1 1:contains=1+", "good"),
            ("0:add=1 1:add=1+", "element-not-there"),
            ("0:add=1( 1:add=1+ 0)", "good"),
            // Blind ones are needed late: found as it is first, changed later, or the other way round.
            ("0:add=1 1:add=1( 2:remove=1+ 2:contains=1+ 1)", "good"),
            ("0:add=1 1:add=1( 2:remove=1+ 2:contains=1~ 1)", "good"),
            ("0:remove=1 0:add=1 1:remove=1( 2:contains=1~ 2:contains=1+ 1)", "element-not-there"),
            // Elements are each for themselves, of whatever type.
            (r#"0:add=1 1:contains="1"~ 1:contains=1.0~ 1:contains=1+"#, "good"),
            ("0:add=[1,2] 1:contains=[1,2]+ 1:contains=[2,1]~", "good"),
            // Whole reads: order and repetitions mean nothing.
            ("0:read=nil>[] 0:read=nil", "good"),
            ("0:add=1 0:add=2 1:read=nil>[2,1,2]", "good"),
            ("0:add=1 1:read=nil>[]", "addition-lost"),
            ("1:read=nil>[1]", "never-added"),
            ("1:read=nil>[1] 0:add=1", "read-before"),
            ("0:add=1? 1:read=nil>[] 1:read=nil>[1]", "good"),
            ("0:add=1( 1:read=nil>[1] 1:read=nil>[] 0)", "read-before"),
            ("0:add=1( 1:add=2( 2:read=nil>[1] 2:read=nil>[2] 0) 1)", "reads-disagree"),
            ("0:add=1 1:add=2( 2:read=nil>[2] 1)", "addition-lost"),
            ("2:read=nil( 0:add=2 1:add=1 2)[1] 2:read=nil>[1,2]", "added-in-another-order"),
            ("0:add=1( 1:add=2( 2:read=nil>[2] 2:read=nil>[1,2] 0) 1)", "good"),
            ("0:add=1 0:remove=1 0:read=nil>[]", removed),
            ("0:add=1 0:contains=1+ 0:read=nil>[1]", asked),
            ("0:add=1 0:add=1 0:read=nil>[1]", twice),
        ],
    );
}

/// Many elements, each added once, half of them removed, asked about; and whole reads of a set that grows.
#[test]
fn large_histories() {
    let mut random = ChaCha8Rng::seed_from_u64(95);
    let element = |number: u32| Element::Int(i64::from(number));
    let mut operations: Vec<Operation<SetAction>> = Vec::new();
    for number in 0..large(20_000) as u32 / 4 {
        let at = number * 8;
        let gone = random.random_bool(0.5);
        let end = if number % 100 == 7 { OPEN } else { at + 1 };
        operations.push(Operation { invoke: at, end, action: SetAction::Add(element(number), None) });
        operations.push(Operation { invoke: at + 2, end: at + 3, action: SetAction::Contains(element(number), true) });
        if gone {
            let action = SetAction::Remove(element(number), None);
            operations.push(Operation { invoke: at + 4, end: at + 5, action });
        }
        let action = SetAction::Contains(element(number), !gone);
        operations.push(Operation { invoke: at + 6, end: at + 7, action });
    }
    assert_eq!(check(ModelName::Set, &as_history(&operations, say).unwrap()).outcome(), Outcome::Valid);
    let place = operations.len() - 1;
    if let SetAction::Contains(_, there) = &mut operations[place].action {
        *there = !*there;
    }
    told_in_a_few(&operations, 4);

    let wanted = Wanted { operations_max: 2_000, doubts_max: 9, values: 0, processes: 8, edited_percent: 0 };
    let mut operations = history(&mut random, &Set, wanted);
    assert_eq!(check(ModelName::Set, &as_history(&operations, say).unwrap()).outcome(), Outcome::Valid);
    let is_read = |operation: &Operation<SetAction>| matches!(operation.action, SetAction::Read(_));
    let place = operations.iter().rposition(is_read).unwrap();
    operations[place].action = SetAction::Read([].into());
    let finding = check(ModelName::Set, &as_history(&operations, say).unwrap());
    assert_eq!(finding.outcome(), Outcome::Invalid);
    assert_eq!(finding.stats["algorithm"]["layers"], 1);
}

/// A history that is cut off in the middle of a whole read is one of elements.
#[test]
fn a_read_in_doubt_tells_nothing() {
    let element = |number| Element::Int(number);
    let add = |invoke, end, number| Operation { invoke, end, action: SetAction::Add(element(number), Some(true)) };
    let read = Operation { invoke: 1, end: OPEN, action: SetAction::Read([element(7)].into()) };
    let ask = |invoke, there| {
        let action = SetAction::Contains(element(1), there);
        Operation { invoke, end: invoke + 1, action }
    };
    for (there, expected) in [(true, Some(true)), (false, Some(false))] {
        let operations = [add(0, 2, 1), read.clone(), add(3, OPEN, 2), ask(4, there)];
        assert_eq!(ruled(&operations, &Set.rule(&operations)), expected);
        assert_eq!(searched(&Set, &operations), expected);
    }
}

fn told_in_a_few(operations: &[Operation<SetAction>], count_max: usize) {
    let made = as_history(operations, say).unwrap();
    let finding = check(ModelName::Set, &made);
    assert_eq!(finding.outcome(), Outcome::Invalid);
    let Witness::Nonlinearizable { operations, .. } = &finding.anomalies[0].witness else { panic!("another witness") };
    assert!(operations.len() <= count_max, "{operations:?}");
    verify_witness(&made, &finding.anomalies[0].witness).unwrap();
}
