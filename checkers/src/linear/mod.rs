//! Linearizability of each key.
pub(crate) mod frontier;
pub(crate) mod lookahead;
pub mod model;
pub(crate) mod mutant;
pub(crate) mod problem;
pub(crate) mod search;
pub(crate) mod split;
#[cfg(test)]
mod tests;
pub(crate) mod window;
