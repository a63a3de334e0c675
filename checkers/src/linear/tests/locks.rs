//! Mutex, semaphore and locks with owners: rules and search against brute force, mutants, witnesses, pitfalls by name.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::Value;

use super::brute;
use super::simulate::{Draw, Simulated, Wanted, agrees, history, kills};
use super::support::{Said, as_history, cases, check, large, ruled, said, searched, witnesses};
use crate::anomaly::Witness;
use crate::linear::models::ModelName;
use crate::linear::models::lock::{Lock, LockAction, LockKind, LockState};
use crate::linear::models::semaphore::{PermitAction, Semaphore};
use crate::linear::mutant::Mutation;
use crate::linear::rules::{deadlines, holds};
use crate::linear::split::Operation;
use crate::linear::{Model, Ruling, verify_witness};
use crate::verdict::Outcome;

const MUTEX: Semaphore = Semaphore { permits: 1, mutex: true };
const SEMAPHORE: Semaphore = Semaphore { permits: 2, mutex: false };
const OWNED: Lock = Lock { kind: LockKind::Owned };
const REENTRANT: Lock = Lock { kind: LockKind::Reentrant };
const FENCED: Lock = Lock { kind: LockKind::Fenced };

const SHAPES: [Wanted; 4] = [
    Wanted { operations_max: 8, doubts_max: 3, values: 0, processes: 3, edited_percent: 95 },
    Wanted { operations_max: 8, doubts_max: 0, values: 0, processes: 3, edited_percent: 95 },
    Wanted { operations_max: 8, doubts_max: 1, values: 0, processes: 4, edited_percent: 95 },
    Wanted { operations_max: 6, doubts_max: 2, values: 0, processes: 2, edited_percent: 95 },
];

/// Few at a time, and little doubt.
const NARROW: [Wanted; 4] = [
    Wanted { operations_max: 8, doubts_max: 0, values: 0, processes: 2, edited_percent: 98 },
    Wanted { operations_max: 8, doubts_max: 0, values: 0, processes: 3, edited_percent: 98 },
    Wanted { operations_max: 8, doubts_max: 1, values: 0, processes: 2, edited_percent: 98 },
    Wanted { operations_max: 8, doubts_max: 2, values: 0, processes: 3, edited_percent: 98 },
];

impl Simulated for Semaphore {
    fn draw(&self, random: &mut ChaCha8Rng, state: &u32, draw: Draw) -> Option<PermitAction> {
        if draw.doubtful {
            return Some(if random.random_bool(0.5) { PermitAction::Acquire } else { PermitAction::Release });
        }
        // Semaphores of more than one permit are asked for refusals in a quarter of all histories.
        let refuses = self.permits == 1 || draw.fresh == 1 && random.random_bool(0.25);
        let all = [
            (PermitAction::Acquire, true),
            (PermitAction::Release, true),
            (PermitAction::RefusedAcquire, refuses && random.random_bool(0.3)),
            (PermitAction::RefusedRelease, refuses && random.random_bool(0.3)),
        ];
        let legal: Vec<PermitAction> = all
            .into_iter()
            .filter(|(action, wanted)| *wanted && self.step(state, action).is_some())
            .map(|one| one.0)
            .collect();
        // Near the bounds more can go wrong.
        if self.permits > 1 && legal[0] == PermitAction::Acquire && random.random_bool(0.75) {
            return Some(PermitAction::Acquire);
        }
        Some(legal[random.random_range(0..legal.len())])
    }

    fn edited(&self, random: &mut ChaCha8Rng, action: &PermitAction, _: &[Operation<PermitAction>]) -> PermitAction {
        let sees = self.permits == 1 && random.random_bool(0.3);
        match action {
            PermitAction::Acquire if sees => PermitAction::RefusedAcquire,
            PermitAction::Release if sees => PermitAction::RefusedRelease,
            PermitAction::Acquire | PermitAction::RefusedRelease => PermitAction::Release,
            PermitAction::Release | PermitAction::RefusedAcquire => PermitAction::Acquire,
        }
    }
}

impl Simulated for Lock {
    fn draw(&self, random: &mut ChaCha8Rng, state: &LockState, draw: Draw) -> Option<LockAction> {
        let process = draw.process;
        let token = (self.kind == LockKind::Fenced).then_some(i64::from(draw.fresh));
        let acquire = LockAction::Acquire(process, token.filter(|_| !draw.doubtful && random.random_bool(0.9)));
        if draw.doubtful {
            return Some(if random.random_bool(0.5) { acquire } else { LockAction::Release(process) });
        }
        let all = [
            (acquire, true),
            (LockAction::Release(process), true),
            (LockAction::RefusedAcquire(process), random.random_bool(0.2)),
            (LockAction::RefusedRelease(process), random.random_bool(0.05)),
        ];
        let legal: Vec<LockAction> = all
            .into_iter()
            .filter(|(action, wanted)| *wanted && self.step(state, action).is_some())
            .map(|one| one.0)
            .collect();
        (!legal.is_empty()).then(|| legal[random.random_range(0..legal.len())])
    }

    fn edited(&self, random: &mut ChaCha8Rng, action: &LockAction, _: &[Operation<LockAction>]) -> LockAction {
        let process = action.process();
        match *action {
            LockAction::Acquire(_, Some(token)) if random.random_bool(0.7) => {
                LockAction::Acquire(process, Some(token + random.random_range(-3..4)))
            }
            LockAction::Acquire(..) if random.random_bool(0.3) => LockAction::RefusedAcquire(process),
            LockAction::Acquire(..) => LockAction::Release(process),
            LockAction::Release(_) if random.random_bool(0.3) => LockAction::RefusedRelease(process),
            LockAction::Release(_) | LockAction::RefusedAcquire(_) | LockAction::RefusedRelease(_) => {
                LockAction::Acquire(process, None)
            }
        }
    }
}

fn permit(action: &PermitAction) -> Said {
    let (f, matched) = match action {
        PermitAction::Acquire => ("acquire", None),
        PermitAction::Release => ("release", None),
        PermitAction::RefusedAcquire => ("acquire", Some(false)),
        PermitAction::RefusedRelease => ("release", Some(false)),
    };
    (None, f, Value::Nil, Value::Nil, matched)
}

fn lock(action: &LockAction) -> Said {
    let (f, answer, matched) = match *action {
        LockAction::Acquire(_, token) => ("acquire", token.map_or(Value::Nil, Value::Int), None),
        LockAction::Release(_) => ("release", Value::Nil, None),
        LockAction::RefusedAcquire(_) => ("acquire", Value::Nil, Some(false)),
        LockAction::RefusedRelease(_) => ("release", Value::Nil, Some(false)),
    };
    (Some(action.process()), f, Value::Nil, answer, matched)
}

#[test]
fn permits_agree_with_every_order() {
    for (model, shapes, seed) in [(MUTEX, SHAPES, 41), (SEMAPHORE, NARROW, 43)] {
        agrees(&model, &shapes, (seed, 20_000, 30), |operations| ruled(operations, &model.rule(operations)));
        agrees(&model, &shapes, (seed + 100, 2_000, 0), |operations| searched(&model, operations));
    }
    // Of three permits little goes wrong.
    let model = Semaphore { permits: 3, mutex: false };
    let mut random = ChaCha8Rng::seed_from_u64(44);
    let mut bad = 0;
    for round in 0..6_000 {
        let operations = history(&mut random, &model, SHAPES[round % SHAPES.len()]);
        let expected = brute::linearizable(&model, &operations);
        let told = ruled(&operations, &model.rule(&operations));
        assert!(told.is_none_or(|told| told == expected), "round {round}: {operations:?}");
        bad += u32::from(told == Some(false));
    }
    assert!(bad > 200, "{bad}");
}

#[test]
fn locks_agree_with_every_order() {
    for (model, seed) in [(OWNED, 45), (REENTRANT, 46), (FENCED, 47)] {
        agrees(&model, &SHAPES, (seed, 15_000, 20), |operations| ruled(operations, &model.rule(operations)));
        agrees(&model, &SHAPES, (seed + 100, 2_000, 0), |operations| searched(&model, operations));
    }
}

#[test]
fn every_mutant_of_permits_is_noticed() {
    use deadlines::Mutant::*;
    let mutants = [
        LatestFirst,
        DoubtFirst,
        DoubtIgnored,
        DoubtEndless,
        Eager,
        SeesEndsOnly,
        ObserversIgnored,
        NoTop,
        NoBottom,
        BeginsEarly,
    ];
    kills(&MUTEX, &SHAPES, (51, 10_000), &mutants, |operations, mutant| {
        said(&MUTEX.decide(operations, Mutation { mutant: Some(mutant) }))
    });
    kills(&SEMAPHORE, &NARROW, (52, 10_000), &[DoubtIgnored, DoubtEndless, NoTop, NoBottom], |operations, mutant| {
        said(&SEMAPHORE.decide(operations, Mutation { mutant: Some(mutant) }))
    });
}

#[test]
fn every_mutant_of_holds_is_noticed() {
    use holds::Mutant::*;
    let common = [
        Overlap,
        OpenEnds,
        HeldUntilEnd,
        HeldFromBegin,
        DoubtNotReleased,
        DoubtHeld,
        AnyReleases,
        RefusalsIgnored,
        RefusalsAtBegin,
        NoTail,
    ];
    for (model, own) in
        [(OWNED, &[AcquiredTwice][..]), (REENTRANT, &[DepthIgnored]), (FENCED, &[TokensIgnored, TokensEqual])]
    {
        let mutants = [&common[..], own].concat();
        kills(&model, &SHAPES, (53, 15_000), &mutants, |operations, mutant| {
            said(&holds::rule(operations, model.kind, Mutation { mutant: Some(mutant) }))
        });
    }
}

#[test]
fn witnesses_are_true() {
    witnesses((&MUTEX, ModelName::Mutex), &SHAPES, (61, 3_000), permit);
    witnesses((&SEMAPHORE, ModelName::Semaphore(2)), &NARROW, (62, 3_000), permit);
    witnesses((&OWNED, ModelName::OwnerMutex), &SHAPES, (63, 3_000), lock);
    witnesses((&REENTRANT, ModelName::ReentrantMutex), &SHAPES, (64, 3_000), lock);
    witnesses((&FENCED, ModelName::FencedLock), &SHAPES, (65, 3_000), lock);
}

#[test]
fn pitfalls_of_permits() {
    cases(
        &MUTEX,
        &[
            ("", "good"),
            ("0:acquire=nil 0:release=nil 1:acquire=nil", "good"),
            ("0:acquire=nil 1:acquire=nil", "acquired-while-held"),
            ("0:release=nil", "released-while-free"),
            // Whoever calls: no owners.
            ("0:acquire=nil 1:release=nil 2:acquire=nil", "good"),
            ("0:acquire=nil? 1:release=nil", "good"),
            ("0:acquire=nil? 1:release=nil 2:release=nil", "released-while-free"),
            ("0:acquire=nil 1:release=nil? 2:acquire=nil", "good"),
            // Of two open acquisitions the one that is due first.
            ("0:acquire=nil( 1:acquire=nil( 1) 2:release=nil 0)", "good"),
            ("0:acquire=nil( 1:acquire=nil( 2:release=nil 1) 2:release=nil 0)", "good"),
            ("0:acquire=nil( 1:acquire=nil( 2:release=nil 1) 0)", "good"),
            ("0:acquire=nil( 1:acquire=nil( 2:release=nil( 1) 0) 3:acquire=nil", "acquired-while-held"),
            // What must happen goes before what need not.
            ("0:acquire=nil? 1:acquire=nil( 2:release=nil 1)", "good"),
            ("0:acquire=nil? 1:acquire=nil( 2:release=nil 1) 2:release=nil", "good"),
            ("0:acquire=nil? 1:acquire=nil( 2:release=nil 1) 2:release=nil 2:release=nil", "released-while-free"),
            // Refusals: in between is enough.
            ("0:acquire=nil( 1:acquire=nil( 2:release=nil( 0) 2) 1)~", "good"),
            ("0:acquire=nil~", "refused-while-free"),
            ("0:acquire=nil 1:release=nil~", "refused-while-held"),
            ("0:acquire=nil? 1:acquire=nil~", "good"),
        ],
    );
    let refused = "a semaphore that refused something";
    cases(
        &SEMAPHORE,
        &[
            ("0:acquire=nil 1:acquire=nil", "good"),
            ("0:acquire=nil 1:acquire=nil 2:acquire=nil", "acquired-while-held"),
            ("0:acquire=nil 1:release=nil 2:release=nil", "released-while-free"),
            ("0:acquire=nil 1:acquire=nil 2:acquire=nil~", "good"),
            // The refusal asks for an acquisition before the release, which is not forced by itself.
            ("0:acquire=nil 1:acquire=nil( 2:acquire=nil( 3:release=nil 2)~ 1)", refused),
            ("0:acquire=nil~ 1:acquire=nil", "refused-while-free"),
            ("0:acquire=nil~ 1:acquire=nil 1:release=nil", refused),
        ],
    );
}

#[test]
fn pitfalls_of_locks() {
    let owned = [
        ("0:acquire=nil 0:release=nil 1:acquire=nil", "good"),
        ("0:acquire=nil 1:acquire=nil", "holds-overlap"),
        ("0:acquire=nil 1:release=nil", "released-without-hold"),
        ("0:release=nil", "released-without-hold"),
        // Held surely only between the end of the one and the beginning of the other.
        ("0:acquire=nil( 1:acquire=nil 1:release=nil 0) 0:release=nil", "good"),
        ("0:acquire=nil 0:release=nil( 1:acquire=nil 1:release=nil 0)", "good"),
        ("0:acquire=nil 0:release=nil( 1:acquire=nil 2:acquire=nil 0)", "holds-overlap"),
        // Doubt: an acquisition that nobody can release, and a release.
        ("0:acquire=nil? 1:acquire=nil 1:release=nil", "good"),
        ("0:acquire=nil 0:release=nil? 1:acquire=nil", "good"),
        ("0:release=nil? 1:acquire=nil", "good"),
        ("0:acquire=nil 0:release=nil? 1:acquire=nil 2:acquire=nil", "holds-overlap"),
        // Refusals.
        ("0:acquire=nil 1:acquire=nil~", "good"),
        ("1:acquire=nil~", "refused-while-free"),
        ("0:acquire=nil( 1:acquire=nil~ 0)", "good"),
        ("0:acquire=nil 0:release=nil 1:acquire=nil~ 0:acquire=nil", "refused-while-free"),
        ("0:acquire=nil 0:release=nil 1:acquire=nil~ 2:acquire=nil?", "refused-while-free"),
        ("0:acquire=nil 0:release=nil 2:acquire=nil? 1:acquire=nil~", "good"),
        ("0:acquire=nil 0:release=nil? 1:acquire=nil~", "good"),
        ("0:acquire=nil 0:release=nil~", "holder-could-not-release"),
        ("0:acquire=nil 1:release=nil~", "good"),
        ("0:acquire=nil 0:acquire=nil~", "good"),
    ];
    cases(&OWNED, &owned);
    cases(&FENCED, &owned);
    cases(&OWNED, &[("0:acquire=nil 0:acquire=nil", "acquired-twice")]);
    cases(&REENTRANT, &owned[..owned.len() - 1]);
    cases(
        &REENTRANT,
        &[
            ("0:acquire=nil 0:acquire=nil 0:release=nil 0:release=nil 1:acquire=nil", "good"),
            ("0:acquire=nil 0:acquire=nil 0:release=nil 1:acquire=nil", "holds-overlap"),
            ("0:acquire=nil 0:acquire=nil~", "holder-was-refused"),
            // A release in doubt frees only what was taken once.
            ("0:acquire=nil 0:acquire=nil 0:release=nil? 1:acquire=nil", "holds-overlap"),
            ("0:acquire=nil 0:acquire=nil? 1:acquire=nil", "holds-overlap"),
        ],
    );
    cases(
        &FENCED,
        &[
            ("0:acquire=nil>1 0:release=nil 1:acquire=nil>2", "good"),
            ("0:acquire=nil>2 0:release=nil 1:acquire=nil>1", "token-did-not-grow"),
            ("0:acquire=nil>1 0:release=nil 1:acquire=nil>1", "token-did-not-grow"),
            // The order of holds is not that of invocations.
            ("0:acquire=nil( 1:acquire=nil>1 1:release=nil 0)2", "good"),
            ("0:acquire=nil( 1:acquire=nil>2 1:release=nil 0)1", "token-did-not-grow"),
            // One that was not said is not looked at; the next one is compared with the last that was.
            ("0:acquire=nil>5 0:release=nil 1:acquire=nil 1:release=nil 0:acquire=nil>4", "token-did-not-grow"),
            ("0:acquire=nil>-5 0:release=nil 1:acquire=nil>9223372036854775807", "good"),
        ],
    );
}

/// Many processes, valid; then more acquisitions than there can be.
#[test]
fn large_histories() {
    let wanted = Wanted { operations_max: large(20_000), doubts_max: 20, values: 0, processes: 10, edited_percent: 0 };
    let mut random = ChaCha8Rng::seed_from_u64(71);
    for (model, name) in [(MUTEX, ModelName::Mutex), (Semaphore { permits: 7, mutex: false }, ModelName::Semaphore(7))]
    {
        let mut operations = long(&mut random, &model, wanted);
        if name != ModelName::Mutex {
            operations.retain(|operation| !model.observes_only(&operation.action));
        }
        assert_eq!(check(name, &as_history(&operations, permit).unwrap()).outcome(), Outcome::Valid);
        // More than could be released in doubt.
        for _ in 0..50 {
            then(&mut operations, PermitAction::Acquire);
        }
        assert_eq!(check(name, &as_history(&operations, permit).unwrap()).outcome(), Outcome::Invalid);
    }
    for (model, name) in
        [(OWNED, ModelName::OwnerMutex), (REENTRANT, ModelName::ReentrantMutex), (FENCED, ModelName::FencedLock)]
    {
        // Doubt could leave the lock to nobody.
        let mut operations = long(&mut random, &model, Wanted { doubts_max: 0, ..wanted });
        assert_eq!(check(name, &as_history(&operations, lock).unwrap()).outcome(), Outcome::Valid);
        operations.retain(|operation| !matches!(operation.action, LockAction::RefusedAcquire(_)));
        then(&mut operations, LockAction::Acquire(900, None));
        then(&mut operations, LockAction::Acquire(901, None));
        let made = as_history(&operations, lock).unwrap();
        let finding = check(name, &made);
        assert_eq!(finding.outcome(), Outcome::Invalid, "{name}");
        let Witness::Nonlinearizable { operations, .. } = &finding.anomalies[0].witness else {
            panic!("another witness")
        };
        assert_eq!(operations.len(), 2, "{name}");
        verify_witness(&made, &finding.anomalies[0].witness).unwrap();
    }
}

/// Adds an operation after all others.
fn then<A>(operations: &mut Vec<Operation<A>>, action: A) {
    let ends = operations.iter().map(|operation| if operation.in_doubt() { operation.invoke } else { operation.end });
    let invoke = ends.max().map_or(0, |last| last + 1);
    operations.push(Operation { invoke, end: invoke + 1, action });
}

/// A valid history of at least half as many operations as wanted.
fn long<S: Simulated>(random: &mut ChaCha8Rng, model: &S, wanted: Wanted) -> Vec<Operation<S::Action>> {
    loop {
        let operations = history(random, model, wanted);
        if operations.len() * 2 > wanted.operations_max {
            assert!(matches!(model.rule(&operations), Ruling::Good { .. } | Ruling::Unfit(_)));
            return operations;
        }
    }
}
