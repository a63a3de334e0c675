//! What all readers of histories share: how a text is cut and parsed on threads, events in their small form, numbers.

pub(crate) mod chunks;
pub(crate) mod flat;
mod import;
pub(crate) mod plain;
pub(crate) mod scan;

pub use import::{FailedCas, Import};
