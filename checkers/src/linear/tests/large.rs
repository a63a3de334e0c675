//! Histories that are too large for brute force: made linearizable, or broken on purpose; and the limits of a search.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schism_history::{Call, F, History, RunFacts, Value, notation};

use super::simulated::{Wanted, history};
use crate::anomaly::Witness;
use crate::checker::{Budget, Checker};
use crate::linear::model::Model;
use crate::linear::models::ModelName;
use crate::linear::mutant::Mutation;
use crate::linear::problem::Problem;
use crate::linear::search::{Decision, decide};
use crate::linear::split::{self, OPEN, Operation};
use crate::linear::{Linearizable, verify_witness};
use crate::verdict::{Finding, Gap, Outcome};

const WANTED: Wanted = Wanted {
    keys: 1,
    together: 1,
    operations: 600,
    concurrency: 10,
    values: 0,
    doubts: 0,
    reads_percent: 62,
    cas_percent: 20,
    stale: false,
};

fn make(seed: u64, wanted: Wanted) -> History {
    history(&mut ChaCha8Rng::seed_from_u64(seed), wanted)
}

fn check(history: &History, budget: Budget) -> Finding {
    Linearizable { model: ModelName::CasRegister }.check(history, &RunFacts::default(), &budget)
}

#[test]
fn large_histories_of_many_shapes() {
    let cases = [
        ("unique values", WANTED),
        ("few values", Wanted { values: 5, ..WANTED }),
        ("few values, doubts", Wanted { values: 4, doubts: 10, operations: 300, ..WANTED }),
        ("many doubts", Wanted { doubts: 80, ..WANTED }),
        ("many keys", Wanted { keys: 40, operations: 60, doubts: 3, ..WANTED }),
        ("fifty processes", Wanted { concurrency: 50, ..WANTED }),
        ("two hundred processes", Wanted { concurrency: 200, cas_percent: 0, ..WANTED }),
    ];
    for (name, wanted) in cases {
        for seed in 0..3 {
            let finding = check(&make(seed, wanted), Budget::default());
            assert_eq!(finding.outcome(), Outcome::Valid, "{name}, seed {seed}: {:?}", finding.gaps);
        }
        if wanted.values > 0 {
            continue; // A value that returns may hide a stale read.
        }
        let history = make(9, Wanted { stale: true, ..wanted });
        let finding = check(&history, Budget::default());
        assert_eq!(finding.outcome(), Outcome::Invalid, "{name}");
        let Witness::Nonlinearizable { operations, smallest, .. } = &finding.anomalies[0].witness else {
            panic!("another witness")
        };
        assert!(*smallest && operations.len() < 10, "{name}: {operations:?}");
        verify_witness(&history, &finding.anomalies[0].witness).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
    }
}

/// All begin, then all end: each write with a read of its value. Then a read that no order allows.
#[test]
fn two_hundred_open_operations() {
    let mut line = String::new();
    for process in 0..100 {
        line += &format!("{process}:w{process}( {}:r( ", process + 100);
    }
    for process in 0..100 {
        line += &format!("{process}) {}){process} ", process + 100);
    }
    let valid = notation::parse(&line).unwrap();
    let finding = check(&valid, Budget { steps_max: 2_000_000, ..Budget::default() });
    assert_eq!(finding.outcome(), Outcome::Valid, "{finding:?}");
    let invalid = notation::parse(&format!("{line} 0:r7 1:r8 2:r7")).unwrap();
    let finding = check(&invalid, Budget { steps_max: 20_000_000, ..Budget::default() });
    assert_eq!(finding.outcome(), Outcome::Invalid);
    verify_witness(&invalid, &finding.anomalies[0].witness).unwrap();
}

/// Equal operations in doubt are one class: hundreds of them cost little, whether the history is valid or not.
#[test]
fn many_equal_operations_in_doubt() {
    let doubts: String = (0..90).map(|process| format!("{process}:w{}? ", process % 3)).collect();
    let reads = "900:r1 900:r0 900:r2 900:r1 ".repeat(20);
    for (line, expected) in [
        (format!("{doubts} {reads}"), Outcome::Valid),
        (format!("{doubts} {reads} 900:r7"), Outcome::Invalid),
        (format!("{doubts} {}", "900:r1 900:r0 ".repeat(31)), Outcome::Invalid),
    ] {
        let history = notation::parse(&line).unwrap();
        let finding = check(&history, Budget { steps_max: 5_000_000, ..Budget::default() });
        assert_eq!(finding.outcome(), expected);
    }
}

#[test]
fn a_spent_budget_is_a_gap() {
    let history = make(1, Wanted { values: 3, doubts: 20, keys: 2, ..WANTED });
    for budget in [Budget { steps_max: 50, ..Budget::default() }, Budget { memory_bytes_max: 100, ..Budget::default() }]
    {
        let finding = check(&history, budget);
        assert_eq!(finding.outcome(), Outcome::Unknown);
        let Gap::BudgetSpent { key, steps_max, prefix_events, .. } = &finding.gaps[0] else { panic!("{finding:?}") };
        assert_eq!((key.as_deref(), *steps_max), (Some("0"), budget.steps_max));
        assert!(*prefix_events < 1200);
    }
}

/// An anomaly stays one where the budget does not suffice to make its witness small.
#[test]
fn a_witness_that_could_not_be_made_small_says_so() {
    let history = make(1, Wanted { stale: true, ..WANTED });
    let cost = check(&history, Budget::default()).stats["steps"].as_u64().unwrap();
    let finding = check(&history, Budget { steps_max: cost, ..Budget::default() });
    let Witness::Nonlinearizable { smallest, operations, .. } = &finding.anomalies[0].witness else {
        panic!("another witness")
    };
    assert!(!smallest && operations.len() > 10);
}

#[test]
fn the_same_for_any_number_of_threads() {
    let history = make(4, Wanted { keys: 60, operations: 50, values: 3, doubts: 4, stale: true, ..WANTED });
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| check(&history, Budget { steps_max: 3_000, ..Budget::default() }))
    };
    let one = on(1);
    assert_eq!(one, on(2));
    assert_eq!(one, on(5));
}

#[test]
fn what_the_model_has_no_meaning_for() {
    for (line, index, part) in [
        ("0:w1 0:enqueue=5", 2, "no function enqueue"),
        ("0:cas=5", 0, "[old, new]"),
        ("0:cas=[1,2,3]", 0, "has [1,2,3]"),
        ("0:w1 0:txn=[[\"append\",1,2]]?", 2, "no function txn"),
    ] {
        let finding = check(&notation::parse(line).unwrap(), Budget::default());
        let [Gap::Unsupported { index: at, reason }] = finding.gaps.as_slice() else { panic!("{line}: {finding:?}") };
        assert!(*at == index && reason.contains(part), "{line}: {reason}");
    }
    let fails = notation::parse("0:enqueue=5! nemesis/kill:inject={} 0:w1").unwrap();
    assert_eq!(check(&fails, Budget::default()).outcome(), Outcome::Valid, "what did not happen needs no meaning");
    let cas = notation::parse("0:w1 0:c1>2").unwrap();
    let plain = Linearizable { model: ModelName::Register }.check(&cas, &RunFacts::default(), &Budget::default());
    assert_eq!(plain.outcome(), Outcome::Unknown);
}

/// A model that is no cell: additions and reads of their sum.
struct Sum;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Added {
    Add(i64),
    Read(i64),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Total(i64);

impl Model for Sum {
    type State = Total;
    type Action = Added;

    fn name(&self) -> &'static str {
        "sum"
    }
    fn initial(&self) -> Total {
        Total(0)
    }
    fn step(&self, state: &Total, action: &Added) -> Option<Total> {
        match action {
            Added::Add(by) => Some(Total(state.0 + by)),
            Added::Read(seen) => (state.0 == *seen).then(|| state.clone()),
        }
    }
    fn observes_only(&self, action: &Added) -> bool {
        matches!(action, Added::Read(_))
    }
    fn action(&self, history: &History, call: Call) -> Result<Option<Added>, String> {
        let number = |value: &Value| value.as_int().ok_or_else(|| "no number".to_owned());
        match (history.f(call.invoke), call.completion) {
            (F::Add, _) => Ok(Some(Added::Add(number(&history.value(call.invoke))?))),
            (_, Some(end)) => Ok(Some(Added::Read(number(&history.value(end))?))),
            (_, None) => Ok(None),
        }
    }
}

#[test]
fn a_model_that_is_no_cell() {
    for (line, expected) in [
        ("0:add=1 0:add=2 0:r3", Decision::Linearizable),
        ("0:add=1( 1:add=2( 2:r2 2:r3 0) 1)", Decision::Linearizable),
        ("0:add=1? 1:add=1? 2:r1 2:r2", Decision::Linearizable),
        ("0:add=1? 1:add=1? 2:r1 2:r3", Decision::Impossible(5)),
        ("0:add=1( 1:add=2( 2:r2 2:r1 0) 1)", Decision::Impossible(5)),
        ("0:add=1 0:r0", Decision::Impossible(3)),
    ] {
        let history = notation::parse(line).unwrap();
        let operations: Vec<Operation<Added>> =
            split::operations(&Sum, &history, &split::by_key(&history)[0]).operations;
        assert_eq!(operations.iter().any(|operation| operation.end == OPEN), line.contains('?'));
        let mut problem = Problem::new(&Sum, &operations, Mutation::default());
        assert_eq!(decide(&mut problem, Budget::default(), Mutation::default()).0, expected, "{line}");
    }
}
