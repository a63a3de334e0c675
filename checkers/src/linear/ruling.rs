//! What an algorithm for a special kind of history answers.

use schism_history::OpIndex;

/// An answer without a search.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        /// The operations that exclude each other, where the algorithm names them.
        certificate: Option<Certificate>,
    },
    /// It is no history of that kind: why not.
    Unfit(&'static str),
}

/// The few operations that exclude each other, and how. With the operations of the whole history that are about the same
/// values, they have no order; without the other operations in between they tell why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Which pattern of contradiction it is (`two-forward-zones`), for words elsewhere.
    pub pattern: &'static str,
    /// Places of the operations among those that were judged, in the order in which the pattern names them.
    pub places: Vec<u32>,
}
