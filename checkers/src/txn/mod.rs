//! Transactions: from a history of them to the isolation levels that it rules out, with the shortest proof of each.
//!
//! The way of the data, one direction:
//!
//! - [`txns`]: the transactions of a history, dense, in order of completion; what failed stands apart.
//! - [`accesses`]: what each read from whom, and wrote.
//! - [`list_append`], [`rw_register`], [`predicate`]: anomalies that show by themselves, and the dependencies ([`edge`]).
//! - [`graph`]: cycles of dependencies, the shortest of each class; and those that look inside of transactions
//!   ([`graph::unfolded`]).
//! - [`weak`]: read committed, read atomic, causal, and the guarantees of sessions, by clocks.
//! - [`solver`]: serializability and snapshot isolation where the order of versions is not known.
//! - [`levels`]: which models these anomalies rule out.
//! - [`checker`]: all of it, for a level that was asked for.

pub mod accesses;
pub mod checker;
pub mod edge;
pub mod graph;
pub mod levels;
pub mod list_append;
pub mod meter;
mod mutant;
mod own;
pub mod predicate;
pub mod rw_register;
pub mod solver;
#[cfg(test)]
mod tests;
pub mod txns;
pub mod verify;
pub mod weak;
