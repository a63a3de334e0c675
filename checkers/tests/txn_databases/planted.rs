//! One planted anomaly of each kind of the table of models, predicates among them, in the middle of a store that does
//! nothing wrong: it is found, and rules out what it rules out alone.

use schism_checkers::txn::checker::{Data as Checked, TxnChecker};
use schism_checkers::txn::levels::{EXAMPLES, Example, Level};
use schism_checkers::txn::rw_register::VersionSources;
use schism_checkers::{AnomalyKind, Budget, Finding, Outcome};
use schism_history::{History, HistoryBuilder, Op, Process, notation};

use crate::generate::{Data, Wanted, history};
use crate::{Line, check_by, is_long, names, transactions, wrongs};

/// So many transactions has the store in which a break of sequential consistency is planted.
const SEQUENTIAL_MAX: usize = 40;
/// Models of what shows inside of transactions, where nobody looks unasked in a history of more than 200,000.
const UNASKED: &[Level] =
    &[Level::CursorStability, Level::UpdateAtomic, Level::MonotonicView, Level::MonotonicSnapshotRead];
/// Processes of what is planted begin here.
const PROCESS: u32 = 1 << 30;

/// The store's history with an example in its middle, whose keys are texts and so of its own.
fn planted(store: &History, example: &History) -> History {
    let mut builder = HistoryBuilder::default();
    let mut push = |op: Op| {
        builder.push(op).expect("the processes of both are theirs alone");
    };
    let middle = store.len() as u32 / 2;
    (0..middle).for_each(|index| push(store.op(index)));
    for mut op in example.ops() {
        if let Process::Client(number) = op.process {
            op.process = Process::Client(PROCESS + number);
        }
        push(op);
    }
    (middle..store.len() as u32).for_each(|index| push(store.op(index)));
    builder.finish()
}

fn checker(example: &Example) -> TxnChecker {
    let has = |name: &str| example.version_order.split(',').any(|source| source.trim() == name);
    let sources = VersionSources {
        writes_follow_reads: has("writes-follow-reads"),
        sequential_keys: has("sequential-keys"),
        linearizable_keys: has("linearizable-keys"),
        explicit: None,
    };
    TxnChecker { data: example.data, level: example.level, sources }
}

/// What is wrong with what is found.
fn judge(store: &History, example: &Example) -> Option<String> {
    let name = format!("{} planted in {:?}", example.kind.as_str(), example.data);
    let alone = notation::parse(&example.history()).expect("an example");
    let together = planted(store, &alone);
    let alone = check_by(&name, &alone, &checker(example), &Budget::default());
    let finding = check_by(&name, &together, &checker(example), &Budget::default());
    let kinds = |finding: &Finding| finding.stats["anomalies_by_kind"].clone();
    let (line, expected) = (Line::of(&finding), Line::of(&alone));
    if finding.outcome() != Outcome::Invalid {
        return Some(format!("{name}: {:?} {:?} {:?}", finding.outcome(), kinds(&finding), finding.gaps));
    }
    // Of cycles the shortest of a component is told, and which models are asked depends on what is open; but not what falls.
    if kinds(&finding).get(example.kind.as_str()).is_none() || line.ruled_out != expected.ruled_out {
        let (more, less) = (line.ruled_out.without(expected.ruled_out), expected.ruled_out.without(line.ruled_out));
        let is_open = !less.iter().any(|level| line.possible.contains(level));
        let is_told = kinds(&finding).get(example.kind.as_str()).is_some();
        let is_unasked = less.iter().all(|level| UNASKED.contains(&level));
        if is_long() && is_unasked && is_open && is_told && more.is_empty() {
            return None;
        }
        let (more, less) = (names(more), names(less));
        return Some(format!("{name}: {:?}, ruled out {more:?} more, {less:?} less", kinds(&finding)));
    }
    None
}

fn all(data: Data, checked: Checked) {
    let store = history(Wanted { data, transactions: transactions(), ..Wanted::default() });
    let examples: Vec<&Example> = EXAMPLES.iter().filter(|example| example.data == checked).collect();
    assert!(examples.len() > 20, "{} examples", examples.len());
    // The single operations of all keys together are searched for one order, which no engine does for thousands.
    let few = history(Wanted { data, transactions: SEQUENTIAL_MAX, ..Wanted::default() });
    let wrong = wrongs(&examples, |example| {
        let store = if example.kind == AnomalyKind::NotSequential { &few } else { &store };
        judge(store, example).into_iter().collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kind_is_found_in_lists() {
    all(Data::Lists, Checked::ListAppend);
}

#[test]
fn every_kind_is_found_in_registers() {
    all(Data::Registers, Checked::RwRegister);
}
