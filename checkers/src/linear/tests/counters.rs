//! Counters: rules and search against brute force, mutants, witnesses, pitfalls by name.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::Value;

use super::simulate::{Draw, Simulated, Wanted, agrees, history, kills};
use super::support::{Said, as_history, cases, check, large, ruled, said, searched, witnesses};
use crate::linear::Model;
use crate::linear::models::ModelName;
use crate::linear::models::counter::{self, Counter, CounterAction};
use crate::linear::models::fetch_add::{FetchAdd, FetchAddAction};
use crate::linear::mutant::Mutation;
use crate::linear::rules::{deadlines, totals};
use crate::linear::split::Operation;
use crate::verdict::Outcome;

/// One value: all amounts are 2. More: amounts from 0 on.
const SHAPES: [Wanted; 4] = [
    Wanted { operations_max: 8, doubts_max: 3, values: 1, processes: 3, edited_percent: 70 },
    Wanted { operations_max: 8, doubts_max: 0, values: 1, processes: 4, edited_percent: 70 },
    Wanted { operations_max: 8, doubts_max: 2, values: 3, processes: 3, edited_percent: 70 },
    Wanted { operations_max: 6, doubts_max: 2, values: 1, processes: 2, edited_percent: 70 },
];

fn amount(random: &mut ChaCha8Rng, draw: Draw) -> i64 {
    if draw.values == 1 { 2 } else { i64::from(draw.value(random)) }
}

impl Simulated for Counter {
    fn draw(&self, random: &mut ChaCha8Rng, state: &i128, draw: Draw) -> Option<CounterAction> {
        Some(match random.random_bool(0.5) && !draw.doubtful {
            true => CounterAction::Read(*state),
            false => CounterAction::Add(amount(random, draw)),
        })
    }

    fn edited(&self, random: &mut ChaCha8Rng, action: &CounterAction, _: &[Operation<CounterAction>]) -> CounterAction {
        let by = random.random_range(-2..3) * random.random_range(1..3);
        match action {
            CounterAction::Add(_) if random.random_bool(0.5) => CounterAction::Read(i128::from(by)),
            CounterAction::Add(amount) => CounterAction::Add((amount + by).max(0)),
            CounterAction::Read(seen) => CounterAction::Read(seen + i128::from(by)),
        }
    }
}

impl Simulated for FetchAdd {
    fn draw(&self, random: &mut ChaCha8Rng, state: &i128, draw: Draw) -> Option<FetchAddAction> {
        Some(match random.random_bool(0.3) && !draw.doubtful {
            true => FetchAddAction::Read(*state),
            false => {
                // Some in doubt have a known answer, as in a history that is cut off.
                let before = Some(*state).filter(|_| !draw.doubtful || random.random_bool(0.4));
                FetchAddAction::FetchAdd { amount: amount(random, draw), before }
            }
        })
    }

    fn edited(
        &self,
        random: &mut ChaCha8Rng,
        action: &FetchAddAction,
        _: &[Operation<FetchAddAction>],
    ) -> FetchAddAction {
        let by = random.random_range(-2..3) * random.random_range(1..3);
        match *action {
            FetchAddAction::FetchAdd { amount, before } if random.random_bool(0.7) => {
                FetchAddAction::FetchAdd { amount, before: before.map(|before| before + i128::from(by)) }
            }
            FetchAddAction::FetchAdd { amount, before } => FetchAddAction::FetchAdd { amount: amount + by, before },
            FetchAddAction::Read(seen) => FetchAddAction::Read(seen + i128::from(by)),
        }
    }
}

fn number(value: i128) -> Value {
    i64::try_from(value).map_or(Value::Nil, Value::Int)
}

fn say_counter(action: &CounterAction) -> Said {
    match *action {
        CounterAction::Add(amount) => (None, "add", Value::Int(amount), Value::Int(amount), None),
        CounterAction::Read(seen) => (None, "read", Value::Nil, number(seen), None),
    }
}

fn say_fetch_add(action: &FetchAddAction) -> Said {
    match *action {
        FetchAddAction::FetchAdd { amount, before } => {
            (None, "fetch-add", Value::Int(amount), before.map_or(Value::Nil, number), None)
        }
        FetchAddAction::Read(seen) => (None, "read", Value::Nil, number(seen), None),
    }
}

#[test]
fn counters_agree_with_every_order() {
    agrees(&Counter, &SHAPES, (101, 20_000, 40), |operations| ruled(operations, &Counter.rule(operations)));
    agrees(&Counter, &SHAPES, (102, 3_000, 0), |operations| searched(&Counter, operations));
}

#[test]
fn fetch_and_adds_agree_with_every_order() {
    agrees(&FetchAdd, &SHAPES, (103, 20_000, 20), |operations| ruled(operations, &FetchAdd.rule(operations)));
    agrees(&FetchAdd, &SHAPES, (104, 3_000, 0), |operations| searched(&FetchAdd, operations));
}

#[test]
fn every_mutant_is_noticed() {
    use counter::Mutant::*;
    use deadlines::Mutant as L;
    let levels = [L::LatestFirst, L::DoubtFirst, L::DoubtIgnored, L::DoubtEndless, L::Eager, L::SeesEndsOnly];
    let levels = levels.into_iter().chain([L::ObserversIgnored, L::BeginsEarly]).map(Level);
    let mutants: Vec<_> =
        [BoundsOfAll, BoundsWithoutDoubt, TotalsRounded, NothingAdds].into_iter().chain(levels).collect();
    kills(&Counter, &SHAPES, (105, 15_000), &mutants, |operations, mutant| {
        said(&counter::rule(operations, Mutation { mutant: Some(mutant) }))
    });
    let mutants = {
        use totals::Mutant::*;
        [
            TwiceFromOne,
            InTheMiddle,
            GapsIgnored,
            NoGaps,
            GapsBottomless,
            LatestFills,
            FillsBeforeBegin,
            KnownAnywhere,
            KnownNowhere,
            RealTimeIgnored,
            ReadsBehind,
        ]
    };
    kills(&FetchAdd, &SHAPES, (106, 20_000), &mutants, |operations, mutant| {
        said(&totals::rule(operations, Mutation { mutant: Some(mutant) }))
    });
}

#[test]
fn witnesses_are_true() {
    // What is refused (an amount below 0) is no verdict.
    let shapes = SHAPES.map(|wanted| Wanted { edited_percent: 90, ..wanted });
    witnesses((&Counter, ModelName::Counter), &shapes, (107, 3_000), say_counter);
    witnesses((&FetchAdd, ModelName::FetchAndAdd), &shapes, (108, 3_000), say_fetch_add);
}

#[test]
fn pitfalls() {
    let different = "additions of different amounts";
    cases(
        &Counter,
        &[
            ("", "good"),
            ("0:read=nil>0 0:read=nil", "good"),
            ("0:add=1 0:add=1 0:read=nil>2", "good"),
            ("0:add=1 0:read=nil>0", "total-too-low"),
            ("0:add=1( 1:read=nil>0 1:read=nil>1 0)", "good"),
            ("0:add=1( 1:read=nil>1 1:read=nil>0 0)", "total-too-low"),
            ("0:add=1? 1:read=nil>2", "total-too-high"),
            ("0:add=2 0:read=nil>1", "no-such-total"),
            ("0:read=nil>-1", "no-such-total"),
            ("0:add=0 0:add=3 1:add=0? 0:read=nil>3", "good"),
            // Bounds of sums allow it: the one that was counted had ended, and so had the other.
            ("0:add=1( 1:read=nil>1 2:add=1 1:read=nil>1 0)", "total-too-low"),
            ("0:add=1( 1:read=nil>1 2:add=1( 1:read=nil>1 2) 1:read=nil>2 0)", "good"),
            // Which of them was counted is open until it must be known.
            ("0:add=1( 1:add=1( 2:read=nil>1 1) 2:read=nil>1 0)", "good"),
            ("0:add=1 0:add=2 0:read=nil>3", different),
            ("0:add=1 0:add=2 0:read=nil>2", "total-too-low"),
            ("0:add=1 0:add=2 0:read=nil>4", "total-too-high"),
            ("0:add=1( 1:add=3( 2:read=nil>2 0) 1)", different),
        ],
    );
    cases(
        &FetchAdd,
        &[
            ("", "good"),
            ("0:fetch-add=1>0 0:fetch-add=5>1 0:read=nil>6", "good"),
            ("0:fetch-add=1>0 1:fetch-add=1>0", "two-from-one-value"),
            ("0:fetch-add=1>1", "value-never-reached"),
            ("0:read=nil>-1", "value-never-reached"),
            ("0:fetch-add=3>0 1:read=nil>2", "value-stepped-over"),
            ("0:fetch-add=1( 1:fetch-add=1>0 0)1", "good"),
            ("0:fetch-add=1( 1:fetch-add=1>1 0)0", "good"),
            ("0:fetch-add=1( 1:fetch-add=1>0 1:fetch-add=1>2 0)1", "good"),
            ("0:fetch-add=1( 1:read=nil>1 1:read=nil>0 0)0", "answered-out-of-order"),
            ("1:fetch-add=1( 0:fetch-add=1>1 0:read=nil>1 1)0", "answered-out-of-order"),
            // Gaps: filled in doubt, by as many as it takes, once they have begun.
            ("0:fetch-add=1? 1:fetch-add=1>1", "good"),
            ("0:fetch-add=1? 1:fetch-add=1>2", "value-never-reached"),
            ("1:fetch-add=1>1 0:fetch-add=1?", "value-never-reached"),
            ("0:fetch-add=2? 1:fetch-add=1>1", "value-never-reached"),
            ("0:fetch-add=1? 1:fetch-add=1>0 2:fetch-add=1>2 3:read=nil>3", "good"),
            ("0:fetch-add=1? 1:read=nil>0 1:read=nil>1 2:fetch-add=1? 1:read=nil>2", "good"),
            (
                "0:fetch-add=1? 1:fetch-add=2? 2:read=nil>2",
                "a gap between answers, and additions in doubt of different amounts",
            ),
            ("0:fetch-add=1? 1:fetch-add=2? 2:read=nil>0", "good"),
            ("0:fetch-add=-1>0 0:read=nil>-1", "an amount below zero"),
            ("0:fetch-add=0>0 0:fetch-add=0>0", "good"),
        ],
    );
}

#[test]
fn what_a_counter_has_no_meaning_for() {
    use crate::verdict::Gap;
    for (name, line, part) in [
        (ModelName::Counter, "0:add=-1", "add wants 0 or more, but has -1"),
        (ModelName::Counter, "0:read=nil>[1]", "integers of 64 bits"),
        (ModelName::FetchAndAdd, "0:fetch-add=1>nil", "integers of 64 bits"),
        (ModelName::FetchAndAdd, "0:add=1", "no function add"),
        (ModelName::Set, "0:contains=1", "`matched`"),
        (ModelName::Set, "0:add=nil", "wants an element"),
        (ModelName::Mutex, "0:lock=1", "the model mutex has no function lock"),
        (ModelName::Semaphore(3), "0:lock=1", "the model semaphore:3 has no function lock"),
        (ModelName::FencedLock, r#"0:acquire=nil>"a""#, "answers with an integer"),
    ] {
        let finding = check(name, &schism_history::notation::parse(line).unwrap());
        let [Gap::Unsupported { reason, .. }] = finding.gaps.as_slice() else { panic!("{line}: {finding:?}") };
        assert!(reason.contains(part), "{line}: {reason}");
    }
}

#[test]
fn large_histories() {
    let wanted = Wanted { operations_max: large(20_000), doubts_max: 20, values: 1, processes: 10, edited_percent: 0 };
    let mut random = ChaCha8Rng::seed_from_u64(109);
    let mut operations = history(&mut random, &Counter, wanted);
    assert_eq!(check(ModelName::Counter, &as_history(&operations, say_counter).unwrap()).outcome(), Outcome::Valid);
    let is_read = |one: &Operation<CounterAction>| matches!(one.action, CounterAction::Read(_)) && !one.in_doubt();
    let place = operations.iter().rposition(is_read).unwrap();
    operations[place].action = CounterAction::Read(0);
    assert_eq!(check(ModelName::Counter, &as_history(&operations, say_counter).unwrap()).outcome(), Outcome::Invalid);

    let mut operations = history(&mut random, &FetchAdd, wanted);
    let made = as_history(&operations, say_fetch_add).unwrap();
    assert_eq!(check(ModelName::FetchAndAdd, &made).outcome(), Outcome::Valid);
    let is_sure = |one: &Operation<FetchAddAction>| !one.in_doubt();
    let place = operations.iter().rposition(is_sure).unwrap();
    operations[place].action = FetchAddAction::Read(0);
    let made = as_history(&operations, say_fetch_add).unwrap();
    assert_eq!(check(ModelName::FetchAndAdd, &made).outcome(), Outcome::Invalid);
}
