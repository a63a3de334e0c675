//! What a search did, for tests alone: how often it decided and learned, and, if they ask for it, each clause that it
//! concluded or learned, which they derive again when it ends. In a build without tests all of it is nothing.

use super::clauses::Literal;
use super::engine::{Ended, Meaning};
use super::problem::Problem;

/// A clause, and how the search came to it.
#[cfg(test)]
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// From the graph, or that a choice takes something.
    Concluded(Vec<Literal>),
    /// From clauses before it.
    Learned(Vec<Literal>),
}

/// What searches of this thread did.
#[cfg(test)]
#[derive(Debug, Clone, Default)]
pub(super) struct Trace {
    /// Whether clauses are kept and derived again.
    pub is_certified: bool,
    /// Searches that ended.
    pub searches_count: u64,
    /// Decisions.
    pub decisions_count: u64,
    /// Learned clauses.
    pub learned_count: u64,
    /// Searches that decided something and ended with a contradiction all the same.
    pub refuted_count: u64,
    /// Clauses that were derived again.
    pub certified_count: u64,
    entries: Vec<Entry>,
}

#[cfg(test)]
thread_local! {
    static TRACE: std::cell::RefCell<Trace> = std::cell::RefCell::new(Trace::default());
}

/// Begins to count anew; what was counted so far.
#[cfg(test)]
pub(super) fn take(is_certified: bool) -> Trace {
    TRACE.replace(Trace { is_certified, ..Trace::default() })
}

/// A search begins.
#[inline(always)]
pub(super) fn begin() {
    #[cfg(test)]
    TRACE.with_borrow_mut(|trace| trace.entries.clear());
}

/// A clause was concluded.
#[inline(always)]
pub(super) fn concluded(_literals: &[Literal]) {
    #[cfg(test)]
    TRACE.with_borrow_mut(|trace| {
        if trace.is_certified {
            trace.entries.push(Entry::Concluded(_literals.to_vec()));
        }
    });
}

/// A clause was learned.
#[inline(always)]
pub(super) fn learned(_literals: &[Literal]) {
    #[cfg(test)]
    TRACE.with_borrow_mut(|trace| {
        trace.learned_count += 1;
        if trace.is_certified {
            trace.entries.push(Entry::Learned(_literals.to_vec()));
        }
    });
}

/// A search ended.
#[inline(always)]
pub(super) fn end(_problem: &Problem, _meanings: &[Meaning], _decisions_count: u64, _ended: &Ended) {
    #[cfg(test)]
    TRACE.with_borrow_mut(|trace| {
        let is_broken = matches!(_ended, Ended::Broken(_));
        trace.searches_count += 1;
        trace.decisions_count += _decisions_count;
        trace.refuted_count += u64::from(is_broken && _decisions_count > 0);
        if trace.is_certified && is_broken {
            super::tests::certify::check(_problem, _meanings, &trace.entries);
            trace.certified_count += trace.entries.len() as u64;
        }
    });
}
