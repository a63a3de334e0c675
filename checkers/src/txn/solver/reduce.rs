//! From transactions without an order to few of them without one.
//!
//! A read is kept where all that may have written it are kept. An order of more transactions, restricted to fewer, still
//! explains the reads that are kept: nothing new comes between. So what is broken for few is broken for all.

use super::problem::Scratch;
use super::{Question, Solved, solve};
use crate::txn::meter::Meter;
use crate::txn::txns::TxnId;

/// Leaves out as many as it can, and whether it was proven that none more can be left out.
pub(super) fn reduce(
    question: &Question<'_>,
    mut core: Vec<TxnId>,
    scratch: &mut Scratch,
    meter: &mut Meter,
) -> (Vec<TxnId>, bool) {
    // The search names what it used; asked again about that alone, it often uses less.
    loop {
        match solve(question, &core, scratch, meter) {
            Ok(Solved::Broken(next)) if next.len() < core.len() => core = next,
            Ok(Solved::Holds(_) | Solved::Broken(_)) => break,
            Ok(Solved::Spent(_)) | Err(_) => return (core, false),
        }
    }
    let mut chunk = (core.len() / 2).max(1);
    loop {
        let mut start = 0;
        while start < core.len() {
            let end = (start + chunk).min(core.len());
            let rest: Vec<TxnId> = core[..start].iter().chain(&core[end..]).copied().collect();
            match solve(question, &rest, scratch, meter) {
                Ok(Solved::Broken(next)) => {
                    // What was kept before `start` is needed, so it is still there.
                    start = next.iter().filter(|&&id| core[..start].contains(&id)).count();
                    core = next;
                }
                Ok(Solved::Holds(_)) => start = end,
                Ok(Solved::Spent(_)) | Err(_) => return (core, false),
            }
        }
        if chunk == 1 {
            return (core, true);
        }
        chunk /= 2;
    }
}
