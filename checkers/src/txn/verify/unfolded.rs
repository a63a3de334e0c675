//! Cycles that look inside of transactions: by which micro-operation they come and go, and of which key they are.

use super::cycle::{Keys, common};
use crate::anomaly::Step;

/// The kinds that look inside.
pub const KINDS: &[&str] = &["G-cursor", "G-monotonic", "G-MSR", "not-update-atomic"];

/// Verifies that a cycle, whose dependencies are there, is of a kind that says more than which dependencies it has. By step: the keys
/// of which its dependency holds.
pub fn verify(kind: &str, steps: &[Step], keys: &[Keys]) -> Result<(), String> {
    let is_so = match kind {
        "G-cursor" => is_cursor(steps, keys),
        "G-monotonic" => count(steps, "rw") == 1 && comes_before_it_goes(steps, &["wr", "ww"]),
        "G-MSR" => count(steps, "rw") >= 2 && comes_before_it_goes(steps, &["wr"]),
        "not-update-atomic" => is_missed(steps, keys),
        _ => true,
    };
    if is_so { Ok(()) } else { Err(format!("a cycle of other dependencies, keys or places than those of {kind}")) }
}

fn count(steps: &[Step], kind: &str) -> usize {
    steps.iter().filter(|step| step.because.kind == kind).count()
}

/// One rw and else ww, all of one key.
fn is_cursor(steps: &[Step], keys: &[Keys]) -> bool {
    let is_of_key = steps.iter().all(|step| step.because.key.is_some()) && !common(keys).is_empty();
    is_of_key && count(steps, "rw") == 1 && count(steps, "ww") + 1 == steps.len()
}

/// Dependencies of data alone, and each rw leaves its transaction at a micro-operation that is not before the one by which
/// the cycle came, by a dependency of one of these kinds.
fn comes_before_it_goes(steps: &[Step], kinds: &[&str]) -> bool {
    let is_data = steps.iter().all(|step| matches!(step.because.kind.as_str(), "ww" | "wr" | "rw"));
    let comes = |place: usize| {
        let (before, over) = (&steps[(place + steps.len() - 1) % steps.len()].because, &steps[place].because);
        let (Some(came), Some(left)) = (before.to_micro, over.from_micro) else { return false };
        over.kind != "rw" || kinds.contains(&before.kind.as_str()) && came <= left
    };
    is_data && (0..steps.len()).filter(|&place| steps[place].because.kind == "rw").all(comes)
}

/// A read, versions after it, and one step to the reader: it read from the writer of the last of them, or wrote over another
/// of its versions.
fn is_missed(steps: &[Step], keys: &[Keys]) -> bool {
    let Some(start) = steps.iter().position(|step| step.because.kind == "rw") else { return false };
    let turned: Vec<(&str, &Keys)> =
        (start..steps.len()).chain(0..start).map(|place| (steps[place].because.kind.as_str(), &keys[place])).collect();
    // Where a number and a text are written alike, each may be the key.
    turned[0].1.iter().any(|key| {
        let is_version = |(kind, keys): &&(&str, &Keys)| *kind == "ww" && keys.contains(key);
        let rest = &turned[1 + turned[1..].iter().take_while(is_version).count()..];
        match rest {
            [] => true,
            [("wr", _)] => true,
            _ => rest.iter().all(|(kind, _)| *kind == "ww") && !common(rest.iter().map(|(_, keys)| *keys)).is_empty(),
        }
    })
}
