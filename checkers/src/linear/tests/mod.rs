//! The search against brute force, named mutants, and histories as data.

mod blocks;
mod brute;
mod large;
mod mutants;
#[path = "../../../examples/linear_bench/simulated.rs"]
mod simulated;
mod store;
mod witness;
