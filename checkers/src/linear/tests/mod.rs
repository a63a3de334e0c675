//! The search against brute force, named mutants, and histories as data.

mod blocks;
pub(crate) mod brute;
mod buffers;
mod cells;
mod counters;
mod large;
mod larger;
mod locks;
mod mutants;
mod orders;
pub(crate) mod products;
mod sets;
pub(crate) mod simulate;
#[path = "../../../examples/linear_bench/simulated.rs"]
mod simulated;
mod sources;
mod staleness;
pub(crate) mod store;
mod strings;
mod support;
mod witness;
