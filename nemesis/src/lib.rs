//! Faults: harm that is chosen purely, written down before it is done, proven, undone, and proven to be gone.

pub mod fault;

pub use fault::{Evidence, Fault, FaultError, Undo};
