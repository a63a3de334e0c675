//! A witness in words: who did what when, and why no order explains it.

use schism_checkers::anomaly::{Because, Exclusion, Illegal, Path};
use schism_checkers::{Anomaly, Finding, Verdict, Witness};
use schism_history::{Call, F, History, Kind, OpIndex, Value};

use super::operations::{OPERATIONS_MAX, Operations, Told};
use super::{pattern, transactions};
use crate::phrase;
use crate::words::{self, count, letter, plural};

/// Most orders that are told.
const PATHS_MAX: usize = 4;
/// Most reasons told of one order.
const REASONS_MAX: usize = 8;

/// An anomaly and who found it.
#[derive(Debug, Clone, Copy)]
pub struct Counterexample<'a> {
    /// Name of the checker.
    pub checker: &'a str,
    /// What it found.
    pub anomaly: &'a Anomaly,
}

/// All anomalies of a verdict, the one with the fewest operations first; equals in the order of checker and finding.
pub fn counterexamples(verdict: &Verdict) -> Vec<Counterexample<'_>> {
    smallest_first(verdict, |finding| &finding.anomalies)
}

/// Broken promises that were not asked about, in the order of [`counterexamples`].
pub fn beyond(verdict: &Verdict) -> Vec<Counterexample<'_>> {
    smallest_first(verdict, |finding| &finding.beyond)
}

fn smallest_first(verdict: &Verdict, of: impl Fn(&Finding) -> &[Anomaly]) -> Vec<Counterexample<'_>> {
    let mut all: Vec<Counterexample<'_>> = Vec::new();
    for (checker, finding) in &verdict.checkers {
        all.extend(of(finding).iter().map(|anomaly| Counterexample { checker, anomaly }));
    }
    all.sort_by_key(|found| size(&found.anomaly.witness));
    all
}

fn size(witness: &Witness) -> usize {
    match witness {
        Witness::Nonlinearizable { operations, .. } | Witness::Nonsequential { operations, .. } => operations.len(),
        // Members that differ explain stale answers, and say it plainly: told before what follows from it.
        Witness::ReplicasDisagree { .. } => 0,
        Witness::Cycle { steps, .. } => steps.len(),
        Witness::Micros { places, .. } => places.len(),
        Witness::NoCommitOrder { transactions, .. } | Witness::NoProcessOrder { transactions, .. } => {
            transactions.len()
        }
        _ => usize::MAX,
    }
}

/// A counterexample in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proof {
    /// What was found, short: `nonlinearizable on key 5`.
    pub title: String,
    /// The finding in half a sentence: `process 8 read 6 from key 5 on n4 although ...`.
    pub headline: String,
    /// The operations, in order of invocation, at most [`OPERATIONS_MAX`].
    pub operations: Vec<Told>,
    /// How many operations there are.
    pub operations_count: usize,
    /// Why no order explains them, a line each.
    pub reasons: Vec<String>,
    /// How small it is, and whether that is proven.
    pub note: String,
    /// The operations named by the anomaly that the history does not have; more than none means that the verdict
    /// belongs to another history.
    pub missing_count: usize,
}

/// The anomaly in words. Reads the history of its key once.
pub fn prove(history: &History, anomaly: &Anomaly) -> Proof {
    let key = anomaly.key.as_deref().map(|key| format!(" on key {}", words::name(key))).unwrap_or_default();
    let title = format!("{}{key}", words::cut(&anomaly.kind, 60));
    if let Witness::ReplicasDisagree { operations, answers } = &anomaly.witness {
        return disagreement(history, operations, answers, title, &key);
    }
    if let Witness::Nonsequential { operations, smallest, operations_count, .. } = &anomaly.witness {
        let scope = anomaly.key.as_deref().map_or("this history", |_| "this key");
        let note = note(*smallest, operations.len(), *operations_count, scope);
        return without_process_order(history, operations, title, &key, note);
    }
    if let Some(proof) = transactions::prove(history, anomaly, &title) {
        return proof;
    }
    let Witness::Nonlinearizable { operations, smallest, blocked, paths, operations_count, initial, exclusion, .. } =
        &anomaly.witness
    else {
        let json = serde_json::to_string(&anomaly.witness).unwrap_or_else(|_| format!("{:?}", anomaly.witness));
        let reasons = vec![format!("The checker's own proof: {}", words::cut(&json, 2_000))];
        return Proof { headline: format!("a promise was broken: {title}"), title, reasons, ..Proof::default() };
    };
    let listed = Operations::of(history, operations);
    let scope = anomaly.key.as_deref().map_or("this history", |_| "this key");
    Proof {
        headline: headline(history, &listed.calls, *blocked, initial, &key),
        operations: listed.told(letter, |invoke| invoke == *blocked, no_parts),
        operations_count: listed.count,
        reasons: excluded(operations, exclusion.as_ref())
            .into_iter()
            .chain(reasons(operations, paths, have_one_order(&listed.calls)))
            .collect(),
        note: note(*smallest, operations.len(), *operations_count, scope),
        missing_count: listed.missing_count(),
        title,
    }
}

/// Operations that are no transactions have no micro-operations.
fn no_parts(_: OpIndex) -> Vec<u32> {
    Vec::new()
}

/// The few operations that exclude each other, where all of them are told.
fn excluded(operations: &[OpIndex], exclusion: Option<&Exclusion>) -> Option<String> {
    let exclusion = exclusion?;
    let place = |named: &OpIndex| operations.iter().position(|operation| operation == named);
    let places: Option<Vec<usize>> = exclusion.operations.iter().map(place).collect();
    let names: Vec<String> = places?.into_iter().map(letter).collect();
    (!names.is_empty()).then(|| pattern::told(&exclusion.pattern, &names))
}

/// Operations that have no order in which each process finds its own as it made them.
fn without_process_order(history: &History, operations: &[OpIndex], title: String, key: &str, note: String) -> Proof {
    let listed = Operations::of(history, operations);
    let reason = "in every order that keeps what each process did as it did it, some answer is wrong; real time was \
                  not asked for";
    Proof {
        headline: format!(
            "the operations{key} have no order that explains what clients were told and keeps the order of each process"
        ),
        operations: listed.told(letter, |_| false, no_parts),
        operations_count: listed.count,
        reasons: vec![reason.to_owned()],
        note,
        missing_count: listed.missing_count(),
        title,
    }
}

/// Members that differ for good.
fn disagreement(
    history: &History,
    operations: &[OpIndex],
    answers: &[(String, String)],
    title: String,
    key: &str,
) -> Proof {
    let listed = Operations::of(history, operations);
    let odd_one = operations.get(1).copied();
    let held = answers.iter().take(OPERATIONS_MAX);
    let held: Vec<String> =
        held.map(|(node, answer)| format!("{} {}", words::name(node), words::cut(answer, 80))).collect();
    let reasons = vec![
        "B was answered by a member that had caught up, after A and before C; A and C were answered alike by another. \
         What was there between cannot have come and gone, so the two hold different things for good"
            .to_owned(),
        format!("the last answer of each: {}", words::list(&held)),
    ];
    Proof {
        headline: format!("members of the cluster hold different things{key} for good, though each had caught up"),
        operations: listed.told(letter, |invoke| Some(invoke) == odd_one, no_parts),
        operations_count: listed.count,
        reasons,
        note: "an answer is [value, revision of its last change]".to_owned(),
        missing_count: listed.missing_count(),
        title,
    }
}

/// How small the set is. Smallest is meant as the checker means it: what an operation observed must be able to come from
/// somewhere, so leaving out a write takes with it what may have seen its value.
fn note(smallest: bool, kept: usize, of: u64, scope: &str) -> String {
    const NONE_TO_SPARE: &str =
        "none of them can be left out (an answer is kept together with the writes that may explain it)";
    match kept as u64 {
        0 => String::new(),
        1 if of == 1 => format!("it is the only operation of {scope}"),
        1 => format!("this one operation of the {} of {scope} is enough", count(of)),
        kept if smallest && kept == of => format!("these are all {} operations of {scope}; {NONE_TO_SPARE}", count(of)),
        kept if smallest => {
            format!("{} operations of the {} of {scope} are enough; {NONE_TO_SPARE}", count(kept), count(of))
        }
        kept => format!(
            "{} operations of the {} of {scope}; whether fewer would do was not proven within the budget",
            count(kept),
            count(of)
        ),
    }
}

/// The value that a call asked to leave behind.
fn asked_for(history: &History, call: &Call) -> Option<Value> {
    match (history.f(call.invoke), &*history.value(call.invoke)) {
        (F::Write, value) => Some(value.clone()),
        (F::Cas, Value::Pair([_, new])) => Some(Value::Int(*new)),
        (F::Cas, Value::List(items)) if items.len() == 2 => items.last().cloned(),
        _ => None,
    }
}

/// The value that a call leaves behind, if it surely or possibly changed something.
fn leaves(history: &History, call: &Call) -> Option<Value> {
    let refused = *history.f(call.invoke) == F::Cas && call.outcome == Kind::Ok && !phrase::cas_matched(history, call);
    if call.outcome == Kind::Fail || refused { None } else { asked_for(history, call) }
}

/// Where a value came from that no operation of a proof can have left: half a sentence, or nothing where some operation
/// of the key can have left it after all. Reads the history once.
fn origin(history: &History, read: &Call, observed: &Value) -> Option<String> {
    let of_key = history.client_calls().filter(|call| history.key_id(call.invoke) == history.key_id(read.invoke));
    let asked: Vec<Call> =
        of_key.filter(|call| asked_for(history, call).is_some_and(|asked| asked == *observed)).collect();
    if asked.iter().any(|call| leaves(history, call).is_some()) {
        return None;
    }
    // An answer cannot come of what was asked later.
    let (before, after): (Vec<&Call>, Vec<&Call>) =
        asked.iter().partition(|call| read.completion.is_none_or(|ended| call.invoke < ended));
    let who = |call: &Call| format!("by {}, event {}", phrase::actor(history.process(call.invoke)), call.invoke);
    let end = |call: &Call| match (call.outcome, call.completion) {
        (Kind::Ok, _) => "was answered \"no match\": a read of an aborted write",
        (_, Some(ended)) if ended < read.invoke => "had failed: a read of an aborted write",
        _ => "failed: a read of an aborted write",
    };
    Some(match (before.as_slice(), after.is_empty()) {
        ([], true) => "a value that nobody ever asked to write".to_owned(),
        ([], false) => "a value that nobody had asked to write yet".to_owned(),
        ([only], _) => format!("a value whose only write ({}) {}", who(only), end(only)),
        ([first, ..], _) => format!(
            "a value whose {} writes (the first {}) all failed: a read of an aborted write",
            count(before.len() as u64),
            who(first)
        ),
    })
}

/// What is wrong in half a sentence. A read of an old value and a read of a value that nobody wrote are named where
/// the operations say so beyond doubt; anything else is told in general.
fn headline(history: &History, calls: &[(usize, Call)], blocked: OpIndex, initial: &str, key: &str) -> String {
    let general = || format!("the operations{key} have no order that explains what clients were told");
    let Some((_, read)) = calls.iter().find(|(_, call)| call.invoke == blocked) else { return general() };
    if *history.f(read.invoke) != F::Read || read.outcome != Kind::Ok {
        return general();
    }
    let observed = phrase::told(history, read);
    let deed = phrase::deed(history, read);
    let writers: Vec<&Call> = calls
        .iter()
        .map(|(_, call)| call)
        .filter(|call| leaves(history, call).is_some_and(|left| left == *observed))
        .collect();
    let from_start = if initial == "nil" { observed.is_nil() } else { observed.to_string() == initial };
    if writers.is_empty() && !from_start {
        return origin(history, read, &observed).map_or_else(general, |origin| format!("{deed}, {origin}"));
    }
    let overwritten_from = match writers.as_slice() {
        [] => Some(None),
        [only] if !from_start && only.outcome == Kind::Ok => only.completion.map(Some),
        _ => None,
    };
    let Some(after) = overwritten_from else { return general() };
    let newer = calls.iter().map(|(_, call)| call).filter(|call| {
        call.outcome == Kind::Ok
            && leaves(history, call).is_some()
            && after.is_none_or(|after| call.invoke > after)
            && call.completion.is_some_and(|completion| completion < read.invoke)
            && leaves(history, call).is_none_or(|left| left != *observed)
    });
    let Some((newer, ended)) = newer.filter_map(|call| Some((call, call.completion?))).max_by_key(|(_, ended)| *ended)
    else {
        return general();
    };
    let before = history.time_ns(read.invoke).saturating_sub(history.time_ns(ended));
    let node =
        history.node(newer.invoke).map_or_else(String::new, |node| format!(" on {}", words::name(node.as_str())));
    let before = if before == 0 { String::new() } else { format!("{} ", words::span(before)) };
    format!(
        "{deed} although {} had been written and confirmed {before}before, by {}{node}",
        leaves(history, newer).map_or_else(String::new, |left| words::value(&left)),
        phrase::actor(history.process(newer.invoke)),
    )
}

/// Whether real time alone puts these operations into one order: each had surely ended before the next began.
fn have_one_order(calls: &[(usize, Call)]) -> bool {
    let ends = calls.iter().map(|(_, call)| call.completion.filter(|_| call.outcome == Kind::Ok));
    let next = calls.iter().skip(1).map(|(_, call)| call.invoke);
    let ends: Option<Vec<OpIndex>> = ends.collect();
    ends.is_some_and(|ends| ends.into_iter().zip(next).all(|(end, next)| end < next))
}

/// Why no order explains the operations. `paths` are the longest orders; shorter ones that cannot go on are not among
/// them, so they are examples unless there is but one order, or nothing can come first.
fn reasons(operations: &[OpIndex], paths: &[Path], one_order: bool) -> Vec<String> {
    let name = |operation: OpIndex| {
        operations
            .iter()
            .position(|&other| other == operation)
            .map_or_else(|| format!("the operation of event {operation}"), letter)
    };
    let all = one_order || paths.iter().any(|path| path.placed.is_empty());
    let shown = paths.iter().take(PATHS_MAX).enumerate();
    let mut lines: Vec<String> = shown.map(|(place, path)| told_order(path, place, all, &name)).collect();
    if paths.len() > PATHS_MAX {
        let more = (paths.len() - PATHS_MAX) as u64;
        lines.push(format!("{} as long cannot go on either", plural(more, "more order")));
    }
    lines
}

/// One order; the first of several examples says that it is one.
fn told_order(path: &Path, place: usize, all: bool, name: &impl Fn(OpIndex) -> String) -> String {
    let steps: Vec<String> = path
        .placed
        .iter()
        .map(|placed| format!("{} (the value is then {})", name(placed.operation), words::name(&placed.state)))
        .collect();
    let start = match steps.as_slice() {
        [] => "nothing can come first".to_owned(),
        steps if steps.len() > 8 => {
            let (head, tail) = (&steps[..2], &steps[steps.len() - 4..]);
            format!("take {}, ... {} more ..., {}", head.join(", "), steps.len() - 6, tail.join(", "))
        }
        steps => format!("take {}", steps.join(", then ")),
    };
    let start = match (all, place) {
        (true, _) => start,
        (false, 0) => format!("for example, {start}"),
        (false, _) => format!("or {start}"),
    };
    let mut because: Vec<String> =
        path.illegal.iter().take(REASONS_MAX).map(|illegal| why_not(illegal, name)).collect();
    if path.illegal.len() > REASONS_MAX {
        because.push(format!("{} more cannot follow either", path.illegal.len() - REASONS_MAX));
    }
    if because.is_empty() { start } else { format!("{start}: {}", because.join("; ")) }
}

fn why_not(illegal: &Illegal, name: &impl Fn(OpIndex) -> String) -> String {
    let operation = name(illegal.operation);
    match &illegal.because {
        Because::State { state, observed } => format!(
            "{operation} cannot follow, since it was told {} while the value is {}",
            words::name(observed),
            words::name(state)
        ),
        Because::RealTime { after } => {
            format!("{operation} cannot come yet, since {} had ended before {operation} began", name(*after))
        }
        other => {
            let json = serde_json::to_string(other).unwrap_or_else(|_| format!("{other:?}"));
            format!("{operation} cannot follow: {}", words::cut(&json, 200))
        }
    }
}
