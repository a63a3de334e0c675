//! The anomalies of the simulator's own table, planted in lists and in registers: whatever it is told as, all that the kind
//! rules out is ruled out; and the kinds that an engine finds by themselves are told by their name.

use schism_checkers::txn::checker::TxnChecker;
use schism_checkers::txn::levels::{KindSet, Level, LevelSet, ruled_out_by, weakest};
use schism_checkers::txn::rw_register::VersionSources;
use schism_checkers::{AnomalyKind, Budget, Outcome};

use crate::generate::planted::{GADGETS, Gadget};
use crate::generate::{Data, Wanted, history};
use crate::{Line, check_by, checked, names, transactions, wrongs};

/// Kinds that are looked for, and told by their own name or by one that means them too. Of the others, which say that an axiom or
/// a model is broken, only what they rule out is asked for, as something else may have ruled it out before.
const NAMED: &[&str] = &[
    "G0",
    "G0-process",
    "G0-realtime",
    "G1a",
    "G1b",
    "G1c",
    "G1c-process",
    "G1c-realtime",
    "G-single-item",
    "G-single-item-process",
    "G-single-item-realtime",
    "G-nonadjacent-item",
    "G-nonadjacent-item-process",
    "G-nonadjacent-item-realtime",
    "G2-item",
    "G2-item-process",
    "G2-item-realtime",
    "internal",
    "future-read",
    "dirty-update",
    "lost-update",
    "write-skew",
    "long-fork",
    "duplicate-elements",
    "incompatible-order",
    "garbage-read",
    "G-cursor",
    "not-update-atomic",
    "G-monotonic",
    "G-MSR",
    "not-pipelined-ram",
    "not-causal-memory",
    "not-prefix-process",
];

/// Kinds that nobody looks for in large histories of lists unless their model is asked for: those that show inside of
/// transactions, and what only the search for an order of prefixes tells.
const UNTOLD_UNASKED: &[AnomalyKind] = &[
    AnomalyKind::GCursor,
    AnomalyKind::NotUpdateAtomic,
    AnomalyKind::GMonotonic,
    AnomalyKind::GMsr,
    AnomalyKind::NotPrefixProcess,
];

fn judge(gadget: &'static Gadget, data: Data) -> Option<String> {
    let kind = AnomalyKind::parse(gadget.kind).expect("a kind");
    let name = format!("{} in {data:?}", gadget.kind);
    // The whole size has `planted`; here are as many kinds again.
    let transactions = transactions() / 4;
    let history = history(Wanted { transactions, planted: Some(gadget), data, ..Wanted::default() });
    // What is searched is searched only for the model that is asked for: the weakest that the kind rules out.
    let level = match data {
        Data::Lists if !UNTOLD_UNASKED.contains(&kind) => Level::StrictSerializable,
        _ => weakest(ruled_out_by(kind)).first().copied()?,
    };
    // That versions go round shows only where the order of versions is said to follow the reads.
    let writes_follow_reads = data == Data::Registers && kind == AnomalyKind::CyclicVersions;
    let sources = VersionSources { writes_follow_reads, ..VersionSources::default() };
    let finding = check_by(&name, &history, &TxnChecker { data: checked(data), level, sources }, &Budget::default());
    let found: KindSet = finding.stats["anomalies_by_kind"]
        .as_object()
        .expect("counts")
        .keys()
        .map(|name| AnomalyKind::parse(name).expect("a kind"))
        .collect();
    let told: Vec<&str> = found.iter().map(AnomalyKind::as_str).collect();
    if finding.outcome() != Outcome::Invalid {
        return Some(format!("{name}: {level} {:?} {told:?} {:?}", finding.outcome(), finding.gaps));
    }
    let line = Line::of(&finding);
    let mut missed: LevelSet = ruled_out_by(kind).without(line.ruled_out);
    if data == Data::Registers && !line.ruled_out.contains(level) {
        missed.insert(level);
    } else if data == Data::Registers {
        // What the others need is not searched.
        missed = LevelSet::default();
    }
    if data == Data::Lists && kind == AnomalyKind::NotLinearizable {
        // Single operations of lists are judged by the models of transactions alone.
        missed = missed.iter().filter(|&level| level != Level::Linearizable).collect();
    }
    let is_told = found.with_what_it_implies().contains(kind) || !NAMED.contains(&gadget.kind);
    (!missed.is_empty() || !is_told).then(|| format!("{name}: told {told:?}, missed {:?}", names(missed)))
}

fn all(data: Data) {
    let gadgets: Vec<&'static Gadget> = GADGETS.iter().filter(|gadget| gadget.shows_in(data)).collect();
    let wrong = wrongs(&gadgets, |gadget| judge(gadget, data).into_iter().collect());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn planted_in_lists() {
    all(Data::Lists);
}

#[test]
fn planted_in_registers() {
    all(Data::Registers);
}
