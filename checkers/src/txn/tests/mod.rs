//! Every level by brute force from its definition, simulated stores, and the examples of the literature.

mod conflicts;
mod differential;
mod dirty;
#[path = "../../../examples/txn_bench/generate.rs"]
mod generate;
mod lattice;
mod literature;
mod memories;
mod named;
mod orders;
mod plain;
mod singles;
mod small;
mod stores;
mod unfolded;
mod verified;
