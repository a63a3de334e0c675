//! Named ways to break this room, for tests alone: the suite must notice each of them. In a build without tests the
//! questions compile to `false`.
//!
//! That a write in doubt which nobody saw happened for certain is no defect: it may always be the last.

/// One defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(in crate::txn) enum Mutant {
    /// Causality is not kept through the reads of others.
    CausalityForgotten,
    /// What others read is asked too.
    OthersReadsAsked,
    /// The order of processes is not kept.
    ProcessForgotten,
    /// Only one process is asked.
    OneProcess,
    /// A write in doubt never happened, seen or not.
    DoubtNever,
    /// An order of several writes in doubt is an order of the transaction.
    DoubtExact,
    /// Reads of the initial state are not asked.
    InitialForgotten,
    /// Of fewer transactions, a read whose writer was left out asks for the initial state.
    WriterLeftOut,
    /// The smallest set is claimed before anything was left out.
    SmallestClaimed,
    /// Another process is named than the one without an order.
    OtherProcessNamed,
}

crate::txn::mutant::chosen_for_a_thread!(pub(in crate::txn));
