//! Checkers that need no search.

pub mod stats;
