//! Pure judgement: from a history and the facts of its run to a verdict. No file, clock, chance, network or async; the
//! same input gives the same verdict on every machine and for any number of threads.
//!
//! - [`checker`]: the waist [`Checker`], and what a search may cost.
//! - [`verdict`], [`anomaly`], [`json`]: what is found, with witnesses; and as JSON.
//! - [`linear`] judges linearizability, [`sequential`] sequential consistency.
//! - [`txn`] judges transactions: isolation levels and their anomalies.
//! - [`plain`], [`run`], [`perf`]: counts; whether there was anything to judge; latency and availability.
//! - [`table`]: all checkers and models by name.

pub mod anomaly;
pub mod checker;
pub mod json;
pub mod linear;
pub mod perf;
pub mod plain;
pub mod run;
pub mod sequential;
mod span;
pub mod table;
pub mod txn;
pub mod verdict;

pub use anomaly::{Anomaly, AnomalyKind, Placed, Witness};
pub use checker::{Budget, Checker, check_all};
pub use json::VerdictError;
pub use txn::levels::Level;
pub use verdict::{Finding, Gap, Outcome, Verdict};
