//! The search against brute force, named mutants, and histories as data.

mod blocks;
pub(crate) mod brute;
mod buffers;
mod cells;
mod counters;
mod large;
mod larger;
mod locks;
mod mutants;
mod orders;
pub(crate) mod products;
mod sets;
pub(crate) mod simulate;
#[path = "../../../examples/linear_bench/simulated.rs"]
mod simulated;
mod sources;
mod staleness;
pub(crate) mod store;
mod strings;
mod support;
mod witness;

use schism_history::{HistoryBuilder, RunFacts, notation};

use crate::checker::{Budget, Checker};
use crate::verdict::{Gap, Outcome};

/// Where the order of events of different processes is made up, a stale read is not stale, and no order is proof.
#[test]
fn a_history_without_real_time_is_not_judged() {
    for (line, timed) in [("0:w1 1:r1", Outcome::Valid), ("0:w1 1:w2 2:r1", Outcome::Invalid)] {
        let mut builder = HistoryBuilder::default();
        let history = notation::parse(line).expect("a history");
        let checker = super::Linearizable { model: super::ModelName::Register };
        assert_eq!(checker.check(&history, &RunFacts::default(), &Budget::default()).outcome(), timed, "{line}");
        for op in history.ops() {
            builder.push(op).expect("an event");
        }
        builder.forget_realtime();
        let finding = checker.check(&builder.finish(), &RunFacts::default(), &Budget::default());
        assert_eq!(finding.outcome(), Outcome::Unknown, "{line}");
        assert_eq!(finding.gaps, [Gap::NoRealtime { level: "linearizable".to_owned() }]);
    }
}
