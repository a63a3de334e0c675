//! Witnesses against the code that verifies them, which says no to some because it does not know their kind or because
//! there are too many orders to try.

use schism_checkers::anomaly::Step;
use schism_checkers::txn::verify::verify;
use schism_checkers::{Anomaly, Witness};
use schism_history::History;

/// What it says where it does not know.
const REFUSALS: &[&str] = &[
    "dependencies of predicates are not verified",
    "or by those of predicates",
    "are too many to try all their orders",
    "are too many to try them all",
    "there are too many ways to say who read from whom",
    "orders of single operations of lists are not verified",
    "no commit order defines it",
];

/// Whether a witness was verified; not where the code does not know.
///
/// # Errors
/// What is wrong with it.
pub fn agrees(history: &History, anomaly: &Anomaly) -> Result<bool, String> {
    // A read by predicate reads objects too, which it knows no more of.
    let is_of_predicate = |step: &Step| step.because.kind.ends_with('p');
    if matches!(&anomaly.witness, Witness::Cycle { steps, .. } if steps.iter().any(is_of_predicate)) {
        return Ok(false);
    }
    match verify(history, anomaly) {
        Ok(()) => Ok(true),
        Err(wrong) if REFUSALS.iter().any(|refusal| wrong.contains(refusal)) => Ok(false),
        Err(wrong) => Err(wrong),
    }
}
