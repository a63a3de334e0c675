//! What an algorithm for a special kind of history answers.

use schism_history::OpIndex;

/// An answer without a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// There is an order.
    Good {
        /// The algorithm that says so.
        algorithm: &'static str,
    },
    /// There is none.
    Bad {
        /// The algorithm that says so.
        algorithm: &'static str,
        /// A completion at which it shows.
        at: OpIndex,
    },
    /// It is no history of that kind: why not.
    Unfit(&'static str),
}
