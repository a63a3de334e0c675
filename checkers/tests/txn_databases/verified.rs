//! Witnesses against the code that verifies them, which says no to some because it does not know their kind or because
//! there are too many orders to try.

use schism_checkers::Anomaly;
use schism_checkers::txn::verify::verify;
use schism_history::History;

/// What it says where it does not know.
const REFUSALS: &[&str] = &[
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
    match verify(history, anomaly) {
        Ok(()) => Ok(true),
        Err(wrong) if REFUSALS.iter().any(|refusal| wrong.contains(refusal)) => Ok(false),
        Err(wrong) => Err(wrong),
    }
}
