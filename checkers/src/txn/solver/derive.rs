//! The steps of a proof.

use super::problem::View;
use crate::anomaly::Derived;
use crate::txn::txns::TxnId;

/// Derives.
pub(super) fn derive(_view: &View<'_>, _core: &[TxnId]) -> Vec<Derived> {
    Vec::new()
}
