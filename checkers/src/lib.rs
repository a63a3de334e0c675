//! Pure judgement: from a history and the facts of its run to a verdict. No file, clock, chance, network or async; the
//! same input gives the same verdict on every machine and for any number of threads.

pub mod anomaly;
pub mod checker;
pub mod linear;
pub mod verdict;

pub use anomaly::{Anomaly, Placed, Witness};
pub use checker::{Budget, Checker, check_all};
pub use verdict::{Finding, Gap, Outcome, Verdict};
