//! The search against brute force, named mutants, and histories as data.

mod brute;
mod mutants;
mod store;
