//! The search against brute force, named mutants, and histories as data.

mod blocks;
mod cells;
pub(crate) mod brute;
mod large;
mod mutants;
pub(crate) mod simulate;
#[path = "../../../examples/linear_bench/simulated.rs"]
mod simulated;
mod store;
mod strings;
mod witness;
