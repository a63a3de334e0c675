//! Simulated databases: big histories whose verdict is known. A store that serves one request after another is
//! linearizable whatever its network does; one that does wrong is not, from the answer on that proves it by times alone.

mod others;
mod queues;
mod register;
mod simulator;

use others::{Counter, Lock, Set};
use queues::{Order, Queue};
use register::{FLAWS, Register};
use schism_checkers::linear::{Linearizable, ModelName};
use schism_checkers::{Budget, Checker, Outcome, Witness};
use schism_history::RunFacts;
use simulator::{Object, Simulated, Wanted, simulate};

const WANTED: Wanted =
    Wanted { keys: 3, processes: 8, operations: 6_000, doubts_permille: 10, wrongly: false, seed: 1 };

fn check(model: ModelName, simulated: &Simulated) -> (Outcome, Option<u32>) {
    let finding = Linearizable { model }.check(&simulated.history, &RunFacts::default(), &Budget::default());
    let failed = finding.anomalies.first().map(|anomaly| match &anomaly.witness {
        Witness::Nonlinearizable { failed_at, .. } => *failed_at,
        other => panic!("another witness: {other:?}"),
    });
    (finding.outcome(), failed)
}

#[test]
fn registers_of_a_right_store_are_linearizable() {
    for seed in 0..6 {
        for (values, cas) in [(0, false), (0, true), (5, true), (2, true)] {
            let simulated = simulate(Wanted { seed, ..WANTED }, || Register::new(None, values, cas));
            let (outcome, _) = check(ModelName::CasRegister, &simulated);
            assert_eq!(outcome, Outcome::Valid, "seed {seed}, {values} values, cas {cas}");
        }
    }
}

#[test]
fn every_flaw_of_registers_is_found_where_it_shows() {
    for seed in 0..6 {
        for flaw in FLAWS {
            for cas in [false, true] {
                let wanted = Wanted { seed, wrongly: true, ..WANTED };
                let simulated = simulate(wanted, || Register::new(Some(flaw), 0, cas));
                let proven_at = simulated.proven_at.unwrap_or_else(|| panic!("{flaw:?} never showed, seed {seed}"));
                let (outcome, failed_at) = check(ModelName::CasRegister, &simulated);
                assert_eq!(outcome, Outcome::Invalid, "{flaw:?}, seed {seed}, cas {cas}");
                // The audit looks at single pairs; the checker may see it sooner, but not before anything was wrong.
                let failed_at = failed_at.unwrap_or_default();
                let middle = simulated.history.len() as u32 / 3;
                assert!(failed_at <= proven_at && failed_at > middle, "{flaw:?}: {failed_at}, proven at {proven_at}");
            }
        }
    }
}

/// A right store is linearizable in any case; a wrong one is not, from the event at the latest that proves it.
fn both<O: Object>(model: ModelName, wanted: Wanted, object: impl Fn(bool) -> O) {
    for seed in 0..5 {
        let wanted = Wanted { seed, ..wanted };
        let simulated = simulate(wanted, || object(false));
        assert_eq!(check(model, &simulated).0, Outcome::Valid, "{model}, seed {seed}");
        let simulated = simulate(Wanted { wrongly: true, ..wanted }, || object(true));
        let proven_at = simulated.proven_at.unwrap_or_else(|| panic!("{model}: nothing showed, seed {seed}"));
        let (outcome, failed_at) = check(model, &simulated);
        assert_eq!(outcome, Outcome::Invalid, "{model}, seed {seed}");
        let failed_at = failed_at.unwrap_or_default();
        assert!(failed_at <= proven_at, "{model}, seed {seed}: {failed_at}, proven at {proven_at}");
    }
}

#[test]
fn queues_that_deliver_twice_lose_and_reorder() {
    use queues::Flaw::{Lost, Reordered, Twice};
    let fifo = |flaw, fill| move |wrong: bool| Queue::new(Order::Fifo, Some(flaw).filter(|_| wrong), fill);
    both(ModelName::Queue, WANTED, fifo(Twice, 6));
    both(ModelName::Queue, WANTED, fifo(Reordered, 6));
    both(ModelName::Queue, Wanted { doubts_permille: 0, ..WANTED }, fifo(Lost, 4));
}

#[test]
fn bags_stacks_and_priority_queues_that_deliver_twice_and_lose() {
    use queues::Flaw::{Lost, Twice};
    for (model, order) in
        [(ModelName::Bag, Order::Any), (ModelName::Stack, Order::Lifo), (ModelName::PriorityQueue, Order::Greatest)]
    {
        let wanted = Wanted { operations: 3_000, ..WANTED };
        both(model, wanted, |wrong| Queue::new(order, Some(Twice).filter(|_| wrong), 6));
        let wanted = Wanted { doubts_permille: 0, ..wanted };
        both(model, wanted, |wrong| Queue::new(order, Some(Lost).filter(|_| wrong), 4));
    }
}

#[test]
fn sets_locks_and_counters() {
    both(ModelName::Set, WANTED, |_| Set::default());
    let quiet = Wanted { doubts_permille: 0, processes: 4, ..WANTED };
    both(ModelName::Mutex, quiet, |_| Lock::default());
    both(ModelName::OwnerMutex, quiet, |_| Lock::default());
    both(ModelName::Counter, Wanted { operations: 2_000, ..WANTED }, |_| Counter::default());
}
