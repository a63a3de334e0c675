//! Sequential consistency: against every order, mutants, whole judgements with their witnesses, cases as data.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::{History, RunFacts, notation};

use super::search::{Decision, Deed, decide};
use super::verify::has_order;
use super::{Sequential, SequentialMutant};
use crate::anomaly::Witness;
use crate::checker::{Budget, Checker};
use crate::linear::models::{Register, RegisterAction};
use crate::linear::mutant::Mutation;
use crate::linear::split::Operation;
use crate::linear::{Model, ModelName, verify_witness};
use crate::verdict::{Finding, Gap, Outcome};

const MODEL: Register = Register { cas: true };

/// Processes at registers that take turns; then, often, one answer is changed, or two operations change places.
fn drawn(random: &mut ChaCha8Rng, values: u32) -> Vec<Deed<RegisterAction>> {
    use crate::linear::tests::store::{Shape, history};
    let doubts_max = random.random_range(0..3);
    let operations = history(random, Shape { operations_max: 8, doubts_max, values });
    let processes = random.random_range(1..=3);
    let mut ended = vec![false; processes as usize];
    let mut deeds = Vec::new();
    for operation in operations {
        let process = random.random_range(0..processes);
        if !std::mem::replace(&mut ended[process as usize], operation.in_doubt()) {
            deeds.push(Deed { process, key: random.random_range(0..4) / 3, operation });
        } else {
            ended[process as usize] = true;
        }
    }
    deeds
}

fn told(deeds: &[Deed<RegisterAction>], mutation: Mutation<SequentialMutant>) -> bool {
    match decide(&MODEL, deeds, &Budget::default(), mutation).0 {
        Decision::Ordered(order) => {
            if mutation.mutant.is_none() {
                assert!(is_order(deeds, &order), "{order:?}: {deeds:#?}");
            }
            true
        }
        Decision::Impossible => false,
        Decision::Spent => panic!("eight operations spent the budget"),
    }
}

/// By definition.
fn is_order(deeds: &[Deed<RegisterAction>], order: &[u32]) -> bool {
    let mut states = [Some(MODEL.initial()); 2];
    let mut last = [None; 3];
    for &place in order {
        let deed = &deeds[place as usize];
        let state = &mut states[deed.key as usize];
        *state = state.and_then(|state| MODEL.step(&state, &deed.operation.action));
        let in_order = last[deed.process as usize] < Some(place);
        last[deed.process as usize] = Some(place);
        if state.is_none() || !in_order {
            return false;
        }
    }
    (0..deeds.len() as u32).all(|place| deeds[place as usize].operation.in_doubt() || order.contains(&place))
}

fn plainly(deeds: &[Deed<RegisterAction>]) -> bool {
    has_order(&MODEL, deeds, &(0..deeds.len()).collect::<Vec<_>>()).unwrap()
}

#[test]
fn agrees_with_every_order() {
    let mut random = ChaCha8Rng::seed_from_u64(71);
    let (mut good, mut bad) = (0, 0);
    for round in 0..20_000 {
        let deeds = drawn(&mut random, [0, 2, 3][round % 3]);
        let expected = plainly(&deeds);
        assert_eq!(told(&deeds, Mutation::default()), expected, "round {round}: {deeds:#?}");
        if expected { good += 1 } else { bad += 1 }
    }
    assert!(good > 6_000 && bad > 6_000, "{good} good, {bad} bad");
}

#[test]
fn every_mutant_is_noticed() {
    use SequentialMutant::*;
    let mut survivors = vec![
        NoDoubt,
        WritesGreedy,
        DoomedTooEager,
        StateForgotten,
        AmbiguousAsUnique,
        DoubtIsCertain,
        NewerWithoutProof,
    ];
    let mut random = ChaCha8Rng::seed_from_u64(73);
    for round in 0..20_000 {
        let deeds = drawn(&mut random, [0, 2, 3][round % 3]);
        let expected = plainly(&deeds);
        survivors.retain(|&mutant| told(&deeds, Mutation { mutant: Some(mutant) }) == expected);
    }
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}

fn check(history: &History, model: ModelName) -> Finding {
    Sequential { model }.check(history, &RunFacts::default(), &Budget::default())
}

/// Valid without real time, invalid all the same, and what linearizability says.
#[test]
fn cases() {
    for (line, expected, linearizable) in [
        ("", true, true),
        // A stale read of another process; by the same one.
        ("0:w1 0:w2 1:r1", true, false),
        ("0:w1 0:w2 0:r1", false, false),
        // Reads that go back.
        ("0:w1 0:w2 1:r2 1:r1", false, false),
        ("0:w1 0:w2 1:r1 1:r2", true, false),
        // Two readers that disagree about the order of two writers.
        ("0:w1 1:w2 2:r1 2:r2 3:r2 3:r1", false, false),
        // From the future.
        ("0:r1 1:w1", true, false),
        ("0:r1 0:w1", false, false),
        ("0:r7", false, false),
        // In doubt: whatever was never answered may have happened, or not.
        ("0:w1? 1:r1 1:r1", true, true),
        ("0:w1? 1:r1 1:rnil", false, false),
        ("0:w1? 1:rnil 1:r1", true, true),
        ("0:w1 1:c1>2 2:c1>3", false, false),
        // Each key has an order, but not both together (Attiya, Welch 1994): both find nothing after having written.
        ("0@1:w1 1@2:w1 0@2:rnil 1@1:rnil", false, false),
        ("0@1:w1 0@2:rnil 1@2:w1 1@1:rnil", false, false),
        ("0@1:w1 0@2:rnil 1@2:w1 1@1:r1", true, true),
        ("0@1:w1 0@2:w1 1@2:r1 1@1:rnil", false, false),
        ("0@1:w1 0@2:w1 1@2:rnil 1@1:rnil", true, false),
    ] {
        let history = notation::parse(line).unwrap();
        let finding = check(&history, ModelName::CasRegister);
        assert_eq!(finding.outcome() == Outcome::Valid, expected, "{line}: {finding:?}");
        let by_keys = crate::linear::Linearizable { model: ModelName::CasRegister };
        let linear = by_keys.check(&history, &RunFacts::default(), &Budget::default());
        assert_eq!(linear.outcome() == Outcome::Valid, linearizable, "{line}");
        for anomaly in &finding.anomalies {
            verify_witness(&history, &anomaly.witness).unwrap_or_else(|wrong| panic!("{line}: {wrong}: {anomaly:?}"));
        }
    }
}

#[test]
fn witnesses_are_sound_and_smallest() {
    let mut random = ChaCha8Rng::seed_from_u64(79);
    let mut sizes = [0; 9];
    for round in 0..3_000 {
        let deeds = drawn(&mut random, [0, 3][round % 2]);
        let history = as_history(&deeds);
        let finding = check(&history, ModelName::CasRegister);
        assert_eq!(finding.outcome() == Outcome::Valid, plainly(&deeds), "{}", notation::write(&history));
        for anomaly in &finding.anomalies {
            let line = || notation::write(&history);
            verify_witness(&history, &anomaly.witness)
                .unwrap_or_else(|wrong| panic!("{wrong}: {anomaly:?} {}", line()));
            let Witness::Nonsequential { operations, smallest, .. } = &anomaly.witness else {
                panic!("another witness")
            };
            assert!(smallest);
            sizes[operations.len()] += 1;
        }
    }
    assert!(sizes[2..].iter().sum::<u32>() > 300 && sizes[4..].iter().sum::<u32>() > 10, "{sizes:?}");
}

/// Processes one at a time: real time is whatever the operations are sorted by.
fn as_history(deeds: &[Deed<RegisterAction>]) -> History {
    let value = |id: schism_history::ValueId| match id == schism_history::ValueId::NIL {
        true => "nil".to_owned(),
        false => id.number().to_string(),
    };
    let said = |Deed { process, key, operation }: &Deed<RegisterAction>| {
        let doubt = if operation.in_doubt() { "?" } else { "" };
        let json = |id| value(id).replace("nil", "null");
        match operation.action {
            RegisterAction::Read(_) if operation.in_doubt() => format!("{process}@{key}:r?"),
            RegisterAction::Read(seen) => format!("{process}@{key}:r{}", value(seen)),
            RegisterAction::Write(new) => format!("{process}@{key}:w{}{doubt}", value(new)),
            RegisterAction::Cas(old, new) => format!("{process}@{key}:cas=[{},{}]{doubt}", json(old), json(new)),
            RegisterAction::Miss(old) => format!("{process}@{key}:cas=[{},-1]~", json(old)),
        }
    };
    notation::parse(&deeds.iter().map(said).collect::<Vec<_>>().join(" ")).unwrap()
}

#[test]
fn a_witness_that_lies_is_found_out() {
    let history = notation::parse("0:w1 0:w2 0:r1 1:r1").unwrap();
    let truth = check(&history, ModelName::Register).anomalies.remove(0).witness;
    verify_witness(&history, &truth).unwrap();
    for lie in [vec![], vec![2, 4], vec![0, 4], vec![0, 2, 4, 6], vec![0, 2, 99]] {
        let mut witness = truth.clone();
        let Witness::Nonsequential { operations, .. } = &mut witness else { panic!("another witness") };
        *operations = lie;
        assert!(verify_witness(&history, &witness).is_err(), "{witness:?}");
    }
}

#[test]
fn a_spent_budget_is_a_gap() {
    let history = notation::parse("0:w1 0:w2 1:w3 1:r2 2:w4 2:r1 3:w5 3:r2").unwrap();
    let budget = Budget { steps_max: 3, ..Budget::default() };
    let finding = Sequential { model: ModelName::Register }.check(&history, &RunFacts::default(), &budget);
    assert!(matches!(finding.gaps.as_slice(), [Gap::BudgetSpent { steps_max: 3, .. }]), "{finding:?}");
}

/// A process goes on after what ended in doubt only where histories come from elsewhere; then it comes before, or never.
#[test]
fn what_a_process_went_on_behind() {
    let number = |number| schism_history::ValueId::of_small(number).expect("small");
    let deed = |process, invoke, end, action| Deed { process, key: 0, operation: Operation { invoke, end, action } };
    let write = deed(0, 0, u32::MAX, RegisterAction::Write(number(1)));
    let read = |process, at, value| deed(process, at, at + 1, RegisterAction::Read(value));
    let nil = schism_history::ValueId::NIL;
    for (reads, expected) in [
        (vec![read(0, 2, nil), read(1, 4, number(1))], false),
        (vec![read(0, 2, number(1)), read(1, 4, nil)], true),
        (vec![read(0, 2, nil), read(1, 4, nil)], true),
    ] {
        let deeds: Vec<_> = std::iter::once(write.clone()).chain(reads).collect();
        assert_eq!(told(&deeds, Mutation::default()), expected, "{deeds:#?}");
        assert_eq!(plainly(&deeds), expected, "{deeds:#?}");
    }
}

/// Operations of several processes at several keys, with unique values, in an order that real time then forgets.
fn large(seed: u64, (count, processes, keys): (u32, u32, u32)) -> Vec<Deed<RegisterAction>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut states = vec![MODEL.initial(); keys as usize];
    let mut of_process: Vec<Vec<(u32, RegisterAction)>> = vec![Vec::new(); processes as usize];
    for number in 0..count {
        let key = random.random_range(0..keys);
        let state = &mut states[key as usize];
        let new = schism_history::ValueId::of_small(number).expect("small");
        let action = match random.random_range(0..10) {
            0..6 => RegisterAction::Read(*state),
            6..9 => RegisterAction::Write(new),
            _ => RegisterAction::Cas(*state, new),
        };
        *state = MODEL.step(state, &action).expect("drawn as legal");
        of_process[random.random_range(0..processes) as usize].push((key, action));
    }
    let mut deeds = Vec::new();
    let mut queues: Vec<_> = of_process.into_iter().map(|actions| actions.into_iter().peekable()).collect();
    let mut time = 0;
    while queues.iter_mut().any(|queue| queue.peek().is_some()) {
        let process = random.random_range(0..processes);
        if let Some((key, action)) = queues[process as usize].next() {
            deeds.push(Deed { process, key, operation: Operation { invoke: time, end: time + 1, action } });
            time += 2;
        }
    }
    deeds
}

#[test]
fn large_histories() {
    let budget = Budget { steps_max: 3_000_000, ..Budget::default() };
    for (seed, shape) in [(1, (300, 3, 1)), (2, (400, 10, 1)), (3, (600, 5, 4)), (4, (2_000, 10, 20))] {
        let mut deeds = large(seed, shape);
        let (decision, cost) = decide(&MODEL, &deeds, &budget, Mutation::default());
        let Decision::Ordered(order) = decision else { panic!("{shape:?}: {decision:?} after {cost:?}") };
        assert_eq!(order.len(), deeds.len());
        // One process sees time go back: it reads again what it read some changes ago.
        let reads = |deed: &Deed<RegisterAction>, process| {
            deed.process == process && matches!(deed.operation.action, RegisterAction::Read(_))
        };
        let all: Vec<usize> = (0..deeds.len()).filter(|&at| reads(&deeds[at], 1) && deeds[at].key == 0).collect();
        let (early, late) = (all[all.len() / 4], all[all.len() - 1]);
        let same = deeds[early].operation.action == deeds[late].operation.action;
        let middle = all[all.len() / 2];
        assert!(!same && deeds[middle].operation.action != deeds[early].operation.action, "{shape:?}");
        deeds[late].operation.action = deeds[early].operation.action;
        let (decision, cost) = decide(&MODEL, &deeds, &budget, Mutation::default());
        assert_eq!(decision, Decision::Impossible, "{shape:?}: {cost:?}");
    }
}

/// A model without cells: answers, witnesses by groups, and what is said of them.
#[test]
fn transactions_over_registers() {
    use schism_history::{Kind, Op, Process};

    use crate::linear::models::multi::MultiRegister;
    use crate::linear::tests::products::said_by_transaction;
    use crate::linear::tests::simulate::{Wanted, history};
    let wanted = Wanted { operations_max: 7, doubts_max: 1, values: 3, processes: 2, edited_percent: 95 };
    let mut random = ChaCha8Rng::seed_from_u64(83);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..3_000 {
        let mut events = Vec::new();
        let mut deeds = Vec::new();
        let mut ended = [false; 2];
        for operation in history(&mut random, &MultiRegister, wanted) {
            let process = random.random_range(0..2u32);
            if ended[process as usize] {
                continue;
            }
            ended[process as usize] = operation.in_doubt();
            let (f, asked, told) = said_by_transaction(&operation.action);
            let client = Process::Client(process);
            events.push(Op::new(client.clone(), Kind::Invoke, f.clone(), asked.clone()));
            match operation.in_doubt() {
                true => events.push(Op::new(client, Kind::Info, f, asked)),
                false => events.push(Op::new(client, Kind::Ok, f, told)),
            }
            let invoke = events.len() as u32 - 2;
            let end = if operation.in_doubt() { u32::MAX } else { invoke + 1 };
            deeds.push(Deed { process, key: 0, operation: Operation { invoke, end, ..operation } });
        }
        let history = History::from_ops(events).unwrap();
        let finding = check(&history, ModelName::MultiRegister);
        let line = || notation::write(&history);
        let expected = has_order(&MultiRegister, &deeds, &(0..deeds.len()).collect::<Vec<_>>()).unwrap();
        assert_eq!(finding.outcome() == Outcome::Valid, expected, "{}: {finding:?}", line());
        for anomaly in &finding.anomalies {
            verify_witness(&history, &anomaly.witness)
                .unwrap_or_else(|wrong| panic!("{wrong}: {anomaly:?} {}", line()));
        }
        if expected { good += 1 } else { bad += 1 }
    }
    assert!(good > 900 && bad > 900, "{good} good, {bad} bad");
}

/// The witness of a history of hundreds of operations is small.
#[test]
fn large_histories_have_small_witnesses() {
    let mut deeds = large(2, (400, 10, 1));
    let is_read = |deed: &Deed<RegisterAction>| matches!(deed.operation.action, RegisterAction::Read(_));
    let all: Vec<usize> = (0..deeds.len()).filter(|&at| deeds[at].process == 1 && is_read(&deeds[at])).collect();
    deeds[all[all.len() - 1]].operation.action = deeds[all[0]].operation.action;
    let (kept, smallest) = super::reduce::reduce(&MODEL, &deeds, &Budget::default());
    let few: Vec<Deed<RegisterAction>> = kept.iter().map(|&place| deeds[place].clone()).collect();
    assert!(smallest && few.len() < 12, "{smallest}: {few:#?}");
    assert!(!plainly(&few));
}
