//! The search against brute force, named mutants, and histories as data.

mod blocks;
pub(crate) mod brute;
mod buffers;
mod large;
mod mutants;
mod orders;
pub(crate) mod products;
pub(crate) mod simulate;
#[path = "../../../examples/linear_bench/simulated.rs"]
mod simulated;
mod staleness;
pub(crate) mod store;
mod strings;
mod witness;
