//! Proofs about transactions, verified again from the history alone, by code that shares nothing with the engines: it
//! reads raw values and the order of events, and knows the definition of each kind.
//!
//! Not verified: that a witness is the smallest; anomalies of reads by predicate within one or two transactions; orders of commits without a
//! derivation, and of processes, that are refuted by more transactions than can be tried ([`orders`], [`memories`]).

mod cycle;
mod derivation;
mod lists;
mod memories;
mod micros;
mod orders;
mod predicate_orders;
mod predicates;
mod sessions;
mod singles;
mod unfolded;
mod view;
mod writers;

#[cfg(test)]
pub(super) use predicates::is_there;
use schism_history::History;

use crate::anomaly::{Anomaly, Witness};

/// Verifies a proof. Cost: some passes over the history for each dependency that is true.
///
/// # Errors
/// What is wrong with it, or why it cannot be verified, in words.
pub fn verify(history: &History, anomaly: &Anomaly) -> Result<(), String> {
    let told = match &anomaly.witness {
        Witness::Cycle { steps, .. } => cycle::verify(history, &anomaly.kind, steps),
        Witness::Micros { places, .. } => micros::verify(history, &anomaly.kind, places),
        Witness::NoCommitOrder { transactions, derivation, .. }
            if derivation.is_empty() && predicates::are_any(history) =>
        {
            // Where they touch no object, it is a matter of registers and lists.
            match predicate_orders::touch_objects(history, transactions) {
                false => orders::verify(history, &anomaly.kind, transactions),
                true => predicate_orders::verify(history, &anomaly.kind, transactions),
            }
        }
        Witness::NoCommitOrder { transactions, derivation, .. } if derivation.is_empty() => {
            orders::verify(history, &anomaly.kind, transactions)
        }
        Witness::NoCommitOrder { transactions, derivation, .. } => {
            derivation::verify(history, &anomaly.kind, transactions, derivation)
        }
        Witness::NoProcessOrder { process, transactions, .. } => {
            memories::verify(history, &anomaly.kind, *process, transactions)
        }
        _ => Err("its witness is not one of transactions".to_owned()),
    };
    told.map_err(|wrong| format!("{}: {wrong}", anomaly.kind))
}
