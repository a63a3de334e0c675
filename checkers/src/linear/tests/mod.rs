//! The search against brute force, named mutants, and histories as data.

mod blocks;
pub(crate) mod brute;
mod counters;
mod large;
mod locks;
mod mutants;
mod sets;
pub(crate) mod simulate;
#[path = "../../../examples/linear_bench/simulated.rs"]
mod simulated;
mod store;
mod strings;
mod support;
mod witness;
