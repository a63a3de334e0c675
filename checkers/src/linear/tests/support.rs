//! What the tests of several models share: a rule's and the search's answer, histories made of operations, cases as lines.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schism_history::{F, History, Kind, Op, Process, RunFacts, Value, notation};

use super::brute;
use super::simulate::{Simulated, Told, Wanted, history};
use crate::anomaly::Witness;
use crate::checker::{Budget, Checker};
use crate::linear::model::Model;
use crate::linear::models::ModelName;
use crate::linear::mutant::Mutation;
use crate::linear::problem::Problem;
use crate::linear::ruling::Ruling;
use crate::linear::search::{Decision, decide};
use crate::linear::split::{self, OPEN, Operation};
use crate::linear::{Linearizable, verify_witness};
use crate::verdict::{Finding, Outcome};

/// What a rule says.
pub fn said(ruling: &Ruling) -> Told {
    match ruling {
        Ruling::Good { .. } => Some(true),
        Ruling::Bad { .. } => Some(false),
        Ruling::Unfit(_) => None,
    }
}

/// What a rule says. It names a completion and, in a certificate, operations that are there.
pub fn ruled<A>(operations: &[Operation<A>], ruling: &Ruling) -> Told {
    if let Ruling::Bad { certificate, at, .. } = ruling {
        assert!(operations.iter().any(|operation| operation.end == *at && *at != OPEN), "no completion {at}");
        if let Some(certificate) = certificate {
            let places = &certificate.places;
            assert!((1..=4).contains(&places.len()), "{certificate:?}");
            assert!(places.iter().all(|&place| (place as usize) < operations.len()), "{certificate:?}");
        }
    }
    said(ruling)
}

/// What the search says, part by part.
pub fn searched<M: Model>(model: &M, operations: &[Operation<M::Action>]) -> Told {
    let parts = split::parts(model, operations.to_vec());
    let told = parts.iter().map(|(_, part)| {
        let mut problem = Problem::new(model, part, Mutation::default());
        match decide(&mut problem, Budget::default(), Mutation::default()).0 {
            Decision::Linearizable => Some(true),
            Decision::Impossible(_) => Some(false),
            Decision::Spent(_) => None,
        }
    });
    told.collect::<Option<Vec<bool>>>().map(|all| all.iter().all(|&good| good))
}

/// An action as events: who (`None`: somebody of its own), function, argument, answer, `matched`.
pub type Said = (Option<u32>, &'static str, Value, Value, Option<bool>);

/// The history that has these operations; `None` where a process would overlap itself.
pub fn as_history<A>(operations: &[Operation<A>], say: impl Fn(&A) -> Said) -> Option<History> {
    let mut events: Vec<(u32, Op)> = Vec::new();
    for (place, operation) in operations.iter().enumerate() {
        let (process, f, argument, answer, matched) = say(&operation.action);
        let process = Process::Client(process.unwrap_or(place as u32));
        events.push((operation.invoke, Op::new(process.clone(), Kind::Invoke, F::parse(f), argument)));
        if operation.end != OPEN {
            events.push((operation.end, Op { matched, ..Op::new(process, Kind::Ok, F::parse(f), answer) }));
        }
    }
    events.sort_by_key(|(index, _)| *index);
    History::from_ops(events.into_iter().map(|(_, op)| op)).ok()
}

/// Operations of a large history; `SCHISM_TEST_LONG` asks for a million.
pub fn large(usual: usize) -> usize {
    if std::env::var_os("SCHISM_TEST_LONG").is_some() { 1_000_000 } else { usual }
}

/// Checks a history by a model.
pub fn check(model: ModelName, history: &History) -> Finding {
    Linearizable { model }.check(history, &RunFacts::default(), &Budget::default())
}

/// The whole way on simulated histories: the verdict is that of brute force, and every witness is true, and smallest.
/// At least a quarter of `rounds` has a witness.
pub fn witnesses<S: Simulated>(
    (model, name): (&S, ModelName),
    wanted: &[Wanted],
    (seed, rounds): (u64, usize),
    say: impl Fn(&S::Action) -> Said,
) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut count = 0;
    for round in 0..rounds {
        let operations = history(&mut random, model, wanted[round % wanted.len()]);
        let Some(made) = as_history(&operations, &say) else { continue };
        // What nobody answered told nothing.
        let keys = split::by_key(&made);
        let operations = keys.first().map(|key| split::operations(model, &made, key).operations).unwrap_or_default();
        let finding = check(name, &made);
        let expected = if brute::linearizable(model, &operations) { Outcome::Valid } else { Outcome::Invalid };
        assert_eq!(
            finding.outcome(),
            expected,
            "{name} round {round}: {} {finding:?} {operations:?}",
            notation::write(&made)
        );
        for anomaly in &finding.anomalies {
            count += 1;
            verify_witness(&made, &anomaly.witness).unwrap_or_else(|wrong| {
                panic!("{name} round {round}: {wrong}: {anomaly:?} {}", notation::write(&made))
            });
            let Witness::Nonlinearizable { smallest, model, .. } = &anomaly.witness else { panic!("another witness") };
            assert!(smallest, "{name} round {round}");
            assert_eq!(*model, name.to_string());
        }
    }
    assert!(count * 4 > rounds, "{name}: {count} witnesses of {rounds}");
}

/// Cases as lines: `good`, the pattern of the contradiction, or why the rule passes. Brute force agrees.
pub fn cases<M: Model>(model: &M, cases: &[(&str, &str)]) {
    for (line, expected) in cases {
        let history = notation::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let keys = split::by_key(&history);
        let said = keys.first().map(|key| split::operations(model, &history, key));
        let unsupported = said.as_ref().and_then(|said| said.unsupported.clone());
        assert_eq!(unsupported, None, "{line}");
        let operations = said.map(|said| said.operations).unwrap_or_default();
        let ruling = model.rule(&operations);
        let told = match &ruling {
            Ruling::Good { .. } => "good",
            Ruling::Bad { certificate, .. } => certificate.as_ref().map_or("bad", |certificate| certificate.pattern),
            Ruling::Unfit(why) => why,
        };
        assert_eq!(told, *expected, "{line}");
        let truth = brute::linearizable(model, &operations);
        assert_eq!(searched(model, &operations), Some(truth), "{line}");
        assert!(ruled(&operations, &ruling).is_none_or(|good| good == truth), "{line}");
    }
}
