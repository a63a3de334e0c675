//! Checkers that need no search.

pub mod replicas;
pub mod stats;
