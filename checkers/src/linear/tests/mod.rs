//! The search against brute force, named mutants, and histories as data.

mod blocks;
pub(crate) mod brute;
mod cells;
mod large;
mod mutants;
pub(crate) mod simulate;
#[path = "../../../examples/linear_bench/simulated.rs"]
mod simulated;
mod sources;
mod store;
mod strings;
mod witness;
