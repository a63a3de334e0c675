//! Proofs about transactions, verified again from the history alone, by code that shares nothing with the engines: it
//! reads raw values and the order of events, and knows the definition of each kind.
//!
//! Not verified: that a witness is the smallest; dependencies of predicates; commit orders without a derivation that are
//! refuted by more transactions than can be tried ([`orders`]).

mod cycle;
mod derivation;
mod lists;
mod micros;
mod orders;
mod sessions;
mod singles;
mod unfolded;
mod view;

use schism_history::History;

use crate::anomaly::{Anomaly, Witness};

/// Verifies a proof. Cost: a pass over the history for each dependency of a list.
///
/// # Errors
/// What is wrong with it, or why it cannot be verified, in words.
pub fn verify(history: &History, anomaly: &Anomaly) -> Result<(), String> {
    let told = match &anomaly.witness {
        Witness::Cycle { steps, .. } => cycle::verify(history, &anomaly.kind, steps),
        Witness::Micros { places, .. } => micros::verify(history, &anomaly.kind, places),
        Witness::NoCommitOrder { transactions, derivation, .. } if derivation.is_empty() => {
            orders::verify(history, &anomaly.kind, transactions)
        }
        Witness::NoCommitOrder { transactions, derivation, .. } => {
            derivation::verify(history, &anomaly.kind, transactions, derivation)
        }
        _ => Err("its witness is not one of transactions".to_owned()),
    };
    told.map_err(|wrong| format!("{}: {wrong}", anomaly.kind))
}
