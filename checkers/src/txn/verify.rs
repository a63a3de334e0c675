//! Proofs about transactions, verified again from the history alone, by code that shares nothing with the engines.

use schism_history::History;

use crate::anomaly::Anomaly;

/// Verifies a proof.
///
/// # Errors
/// What is wrong with it, in words.
pub fn verify(_history: &History, anomaly: &Anomaly) -> Result<(), String> {
    Err(format!("{} cannot be verified yet", anomaly.kind))
}
