//! Linearizability of each key.
pub mod model;
pub(crate) mod frontier;
pub(crate) mod lookahead;
pub(crate) mod mutant;
pub(crate) mod problem;
pub(crate) mod search;
pub(crate) mod split;
pub(crate) mod window;
#[cfg(test)]
mod tests;
