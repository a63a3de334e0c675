//! Anomalies of transactions in words: T1 was before T2 because ..., yet T2 was before T1: a contradiction.

use schism_checkers::anomaly::{Dependency, Derived, Place, Role, Rule, Step};
use schism_checkers::{Anomaly, AnomalyKind, Finding, Witness};
use schism_history::{Call, History, OpIndex};

use super::witness::{OPERATIONS_MAX, Proof, Told, decimals};
use crate::phrase;
use crate::words::{self, count, plural};

/// Most lines of a derivation that are told.
const LINES_MAX: usize = 40;

/// The proof of an anomaly of transactions in words; `None` for others.
pub(super) fn prove(history: &History, anomaly: &Anomaly, title: &str) -> Option<Proof> {
    let (invocations, reasons, note) = match &anomaly.witness {
        Witness::Cycle { steps, shortest } => {
            let transactions: Vec<OpIndex> = steps.iter().map(|step| step.transaction).collect();
            (transactions, cycle(history, steps), size_note(steps.len(), *shortest))
        }
        Witness::Micros { places, expected, found } => {
            let mut transactions: Vec<OpIndex> = Vec::new();
            for place in places {
                if !transactions.contains(&place.transaction) {
                    transactions.push(place.transaction);
                }
            }
            let names = Names(&transactions);
            let reasons = micros(history, places, (expected.as_deref(), found.as_deref()), &names);
            (transactions, reasons, String::new())
        }
        Witness::NoCommitOrder { transactions, smallest, derivation } => {
            let reasons = derived(derivation, &Names(transactions));
            (transactions.clone(), reasons, core_note(transactions.len(), *smallest))
        }
        _ => return None,
    };
    let about = AnomalyKind::ALL.iter().find(|kind| kind.as_str() == anomaly.kind).map(|kind| kind.about());
    let calls: Vec<(usize, Call)> = invocations
        .iter()
        .enumerate()
        .filter_map(|(place, &invoke)| phrase::call_at(history, invoke).map(|call| (place, call)))
        .collect();
    let decimals = decimals(history, calls.iter().map(|(_, call)| call));
    let told = calls.iter().take(OPERATIONS_MAX).map(|(place, call)| Told {
        letter: name(*place),
        invoke: call.invoke,
        sentence: phrase::sentence(history, call, decimals),
        blocked: false,
    });
    Some(Proof {
        headline: about.map_or_else(|| format!("a promise was broken: {title}"), str::to_owned),
        operations: told.collect(),
        operations_count: invocations.len(),
        reasons,
        note,
        missing_count: invocations.len() - calls.len(),
        title: title.to_owned(),
    })
}

/// Which models a finding rules out, and which are still possible, in a sentence; nothing where it says nothing of models.
pub fn levels(finding: &Finding) -> Option<String> {
    let texts = |value: &serde_json::Value| -> Vec<String> {
        let items = value.as_array().map_or(&[][..], Vec::as_slice);
        items.iter().filter_map(|item| item.as_str()).map(|name| words::cut(name, 60)).collect()
    };
    let possible = texts(finding.stats.get("strongest_possible")?);
    let out = finding.stats.get("weakest_ruled_out").and_then(serde_json::Value::as_array);
    let ruled: Vec<String> = out
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .filter_map(|one| Some((one["consistency"].as_str()?, texts(&one["because"]))))
        .map(|(name, because)| format!("{} ({})", words::cut(name, 60), because.join(", ")))
        .collect();
    let undecided = finding.stats.get("not_decided").and_then(serde_json::Value::as_array).map_or(0, Vec::len);
    let mut parts = Vec::new();
    if !ruled.is_empty() {
        parts.push(format!("the weakest models ruled out: {}", words::list(&ruled)));
    }
    if !possible.is_empty() {
        parts.push(format!("the strongest that all of this allows: {}", words::list(&possible)));
    }
    if undecided > 0 {
        parts.push(format!("not decided: {}", plural(undecided as u64, "model")));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The short name of a transaction of a proof: `T1`.
pub fn name(place: usize) -> String {
    format!("T{}", place + 1)
}

/// The transactions of a proof, in the order in which they are named.
struct Names<'a>(&'a [OpIndex]);

impl Names<'_> {
    fn of(&self, transaction: OpIndex) -> String {
        let place = self.0.iter().position(|&other| other == transaction);
        place.map_or_else(|| format!("the transaction of event {transaction}"), name)
    }
}

fn size_note(transactions: usize, shortest: bool) -> String {
    let transactions = plural(transactions as u64, "transaction");
    match shortest {
        true => format!(
            "no shorter cycle of this kind goes through transactions that depend on each other like these ({transactions})"
        ),
        false => format!("a cycle of {transactions}; whether a shorter one exists was not proven within the budget"),
    }
}

fn core_note(transactions: usize, smallest: bool) -> String {
    let all = plural(transactions as u64, "transaction");
    match smallest {
        true => format!("{all}, none of which can be left out"),
        false => format!("{all} are enough; whether fewer would do was not proven"),
    }
}

/// Why each was before the next, and the last before the first.
fn cycle(history: &History, steps: &[Step]) -> Vec<String> {
    let mut lines = Vec::new();
    for (place, step) in steps.iter().enumerate().take(LINES_MAX) {
        let next = (place + 1) % steps.len();
        let is_last = place + 1 == steps.len();
        let (from, to) = (name(place), name(next));
        let because = because(history, step, &steps[next], (&from, &to));
        lines.push(match is_last && steps.len() > 1 {
            true => format!("yet {from} was before {to}, because {because}: a contradiction"),
            false => format!("{from} was before {to}, because {because}"),
        });
    }
    if steps.len() > LINES_MAX {
        lines.push(format!("... and {} more steps back to T1", count((steps.len() - LINES_MAX) as u64)));
    }
    lines
}

fn because(history: &History, step: &Step, next: &Step, (from, to): (&str, &str)) -> String {
    let Dependency { kind, key, before, after, .. } = &step.because;
    let cut = |text: &Option<String>| words::cut(text.as_deref().unwrap_or("nil"), words::VALUE_CHARS_MAX);
    let (before, after) = (cut(before), cut(after));
    let key = key.as_deref().map_or_else(|| "a key".to_owned(), |key| format!("key {}", words::name(key)));
    let is_list = appends(history, step) || appends(history, next);
    match kind.as_str() {
        "ww" if is_list => format!("{to} appended {after} to {key} behind {before}, which {from} had appended"),
        "ww" => format!("{to} wrote {after} to {key} over {before}, which {from} had written"),
        "wr" if is_list => format!("{to} saw {before} in {key}, which {from} had appended"),
        "wr" => format!("{to} read {before} from {key}, which {from} had written"),
        "rw" if is_list => format!("{from} did not see {after} in {key}, which {to} appended"),
        "rw" => format!("{from} read {before} from {key}, over which {to} wrote {after}"),
        "wwp" => format!("{to} wrote over what {from} had written, for a predicate about {key}"),
        "wrp" => format!("{to} read by a predicate what {from} had written to {key}"),
        "rwp" => format!("{from} read by a predicate, and did not see {after}, which {to} wrote to {key}"),
        "process" => format!(
            "{} ran {from} before {to}",
            phrase::call_at(history, step.transaction)
                .map_or_else(|| "their process".to_owned(), |call| phrase::actor(history.process(call.invoke)))
        ),
        "realtime" => format!("{from} had ended before {to} began"),
        other => words::cut(other, 40),
    }
}

/// Whether the micro-operation that causes a step appends to a list, in one of the two transactions.
fn appends(history: &History, step: &Step) -> bool {
    let Some(call) = phrase::call_at(history, step.transaction) else { return false };
    let Dependency { from_micro, .. } = &step.because;
    let micros = phrase::micros(history, &call);
    from_micro.and_then(|place| micros.get(place as usize)).is_some_and(|micro| micro.is_list)
}

/// Micro-operations that contradict each other.
fn micros(
    history: &History,
    places: &[Place],
    (expected, found): (Option<&str>, Option<&str>),
    names: &Names<'_>,
) -> Vec<String> {
    let deed = |place: &Place| {
        let call = phrase::call_at(history, place.transaction)?;
        phrase::micros(history, &call).into_iter().nth(place.micro as usize).map(|micro| micro.text)
    };
    let one = |place: &Place| {
        let who = names.of(place.transaction);
        let what = deed(place).unwrap_or_else(|| format!("its micro-operation {}", place.micro));
        match place.role {
            Role::Read => format!("{who} did: {what}"),
            Role::OtherRead => format!("{who} did: {what}, which contradicts it"),
            Role::Write => format!("{who} had written that: {what}"),
            Role::OverWrite => format!("{who} wrote over that: {what}"),
            Role::AbortedWrite => format!("{who} had written that and failed: {what}"),
            _ => format!("{who} did: {what}"),
        }
    };
    let mut lines: Vec<String> = places.iter().take(LINES_MAX).map(one).collect();
    let cut = |text: &str| words::cut(text, words::VALUE_CHARS_MAX);
    match (expected, found) {
        (Some(expected), Some(found)) => {
            lines.push(format!("{} was found where {} had to be", cut(found), cut(expected)));
        }
        (None, Some(found)) => lines.push(format!("what was found: {}", cut(found))),
        (Some(expected), None) => lines.push(format!("what had to be there: {}", cut(expected))),
        (None, None) => {}
    }
    lines
}

/// How a contradiction follows, line by line.
fn derived(derivation: &[Derived], names: &Names<'_>) -> Vec<String> {
    if derivation.is_empty() {
        return vec!["no order of these transactions gives each what it read; all were tried".to_owned()];
    }
    let mut lines: Vec<String> =
        derivation.iter().take(LINES_MAX).enumerate().map(|(place, line)| derived_line(place, line, names)).collect();
    if derivation.len() > LINES_MAX {
        lines.push(format!("... and {} more lines", count((derivation.len() - LINES_MAX) as u64)));
    }
    lines
}

fn derived_line(place: usize, line: &Derived, names: &Names<'_>) -> String {
    let from = line.from.map_or_else(|| "the initial state".to_owned(), |from| names.of(from));
    let to = names.of(line.to);
    let other = line.other.map_or_else(|| "the initial state".to_owned(), |other| names.of(other));
    let key = line.key.as_deref().map_or_else(|| "a key".to_owned(), |key| format!("key {}", words::name(key)));
    let why = match line.rule {
        Rule::Process => "its process ran them in this order".to_owned(),
        Rule::Realtime => "it had ended before the other began".to_owned(),
        Rule::ReadsFrom => format!("{to} read {key} from it"),
        Rule::OverwrittenBefore => {
            format!("{other} read {key} from {to} although it came after {from}, which wrote {key} too")
        }
        Rule::WrittenAfterRead => format!("{from} read {key} from {other}, after which {to} wrote {key}"),
        Rule::Otherwise => "the other way round leads to a contradiction".to_owned(),
        Rule::Assumed => "let us assume it".to_owned(),
        _ => "it follows".to_owned(),
    };
    let rests = match line.rests_on.as_slice() {
        [] => String::new(),
        rests => {
            let lines: Vec<String> = rests.iter().take(8).map(|line| format!("({})", line + 1)).collect();
            format!(", by {}", words::list(&lines))
        }
    };
    format!("({}) {from} was before {to}: {why}{rests}", place + 1)
}

#[cfg(test)]
mod tests {
    use schism_history::notation;

    use super::*;

    fn step(transaction: OpIndex, kind: &str, (from, to): (u32, u32), before: &str, after: &str) -> Step {
        let data = kind.len() < 4;
        let because = Dependency {
            kind: kind.to_owned(),
            key: data.then(|| "5".to_owned()),
            from_micro: data.then_some(from),
            to_micro: data.then_some(to),
            before: data.then(|| before.to_owned()),
            after: data.then(|| after.to_owned()),
            ..Dependency::default()
        };
        Step { transaction, because }
    }

    fn proof(line: &str, kind: AnomalyKind, witness: Witness) -> Proof {
        let history = notation::parse(line).expect("a history");
        super::super::prove(&history, &Anomaly::new(kind, None, witness))
    }

    #[test]
    fn a_cycle_is_told_as_a_contradiction() {
        let line = r#"0:txn=[["append",5,1]] 1:txn=[["r",5,null],["append",5,2]]>[["r",5,[1]],["append",5,2]]"#;
        let steps = vec![step(0, "ww", (0, 1), "1", "2"), step(2, "rw", (0, 0), "[1]", "1")];
        let told = proof(line, AnomalyKind::GSingleItem, Witness::Cycle { steps, shortest: true });
        assert_eq!(told.title, "G-single-item");
        assert_eq!(
            told.reasons,
            [
                "T1 was before T2, because T2 appended 2 to key 5 behind 1, which T1 had appended",
                "yet T2 was before T1, because T2 did not see 1 in key 5, which T1 appended: a contradiction",
            ]
        );
        assert_eq!((told.operations[0].letter.as_str(), told.operations[1].invoke), ("T1", 2));
        assert_eq!(
            told.operations[1].sentence,
            "process 1 ran read 5: [1] · append 2 to 5 between 0.002 s and 0.003 s"
        );
        assert!(told.note.starts_with("no shorter cycle"), "{}", told.note);
    }

    #[test]
    fn each_kind_of_dependency_has_words() {
        let line = r#"0:txn=[["w",5,1]] 0:txn=[["w",5,2]]"#;
        let cases = [
            ("ww", "T2 wrote 2 to key 5 over 1, which T1 had written"),
            ("wr", "T2 read 1 from key 5, which T1 had written"),
            ("rw", "T1 read 1 from key 5, over which T2 wrote 2"),
            ("rwp", "T1 read by a predicate, and did not see 2, which T2 wrote to key 5"),
            ("process", "process 0 ran T1 before T2"),
            ("realtime", "T1 had ended before T2 began"),
        ];
        for (kind, because) in cases {
            let steps = vec![step(0, kind, (0, 0), "1", "2"), step(2, "rw", (0, 0), "2", "1")];
            let told = proof(line, AnomalyKind::G0, Witness::Cycle { steps, shortest: false });
            assert_eq!(told.reasons[0], format!("T1 was before T2, because {because}"));
            assert!(told.note.contains("not proven"));
        }
    }

    #[test]
    fn contradictions_of_micro_operations_and_derivations() {
        let line = r#"0:txn=[["append",5,1]]! 1:txn=[["r",5,null]]>[["r",5,[1]]]"#;
        let places = vec![
            Place { transaction: 0, micro: 0, role: Role::AbortedWrite },
            Place { transaction: 2, micro: 0, role: Role::Read },
        ];
        let witness = Witness::Micros { places, expected: None, found: Some("1".to_owned()) };
        assert_eq!(
            proof(line, AnomalyKind::G1a, witness).reasons,
            ["T1 had written that and failed: append 1 to 5", "T2 did: read 5: [1]", "what was found: 1"]
        );
        let line = r#"0:txn=[["w",5,1]] 1:txn=[["w",5,2]] 2:txn=[["r",5,null]]>[["r",5,1]]"#;
        let derived = |from, to, rule, other, rests_on: &[u32]| Derived {
            from: Some(from),
            to,
            key: Some("5".to_owned()),
            rule,
            other,
            rests_on: rests_on.to_vec(),
        };
        let derivation = vec![
            derived(2, 4, Rule::Realtime, None, &[]),
            derived(2, 0, Rule::OverwrittenBefore, Some(4), &[0]),
            derived(0, 2, Rule::Realtime, None, &[]),
        ];
        let witness = Witness::NoCommitOrder { transactions: vec![0, 2, 4], smallest: true, derivation };
        assert_eq!(
            proof(line, AnomalyKind::NotSerializableRealtime, witness).reasons,
            [
                "(1) T2 was before T3: it had ended before the other began",
                "(2) T2 was before T1: T3 read key 5 from T1 although it came after T2, which wrote key 5 too, by (1)",
                "(3) T1 was before T2: it had ended before the other began",
            ]
        );
    }

    #[test]
    fn models_are_told_from_the_figures() {
        let mut finding = Finding::default();
        assert_eq!(levels(&finding), None);
        let figures = serde_json::json!({
            "strongest_possible": ["snapshot-isolation"],
            "weakest_ruled_out": [{"consistency": "serializable", "because": ["G2-item", "write-skew"]}],
            "not_decided": ["prefix"],
        });
        finding.stats = figures.as_object().cloned().unwrap_or_default();
        let told = levels(&finding).unwrap_or_default();
        assert_eq!(
            told,
            "the weakest models ruled out: serializable (G2-item, write-skew); the strongest that all of this allows: \
             snapshot-isolation; not decided: 1 model"
        );
        finding.stats = serde_json::json!({"strongest_possible": 3}).as_object().cloned().unwrap_or_default();
        assert_eq!(levels(&finding), None);
    }

    /// A verdict of another history tells so, and never panics.
    #[test]
    fn strange_witnesses_are_told_too() {
        let steps = vec![step(77, "odd", (9, 9), "", ""), step(1, "ww", (8, 8), "x", "y")];
        let told = proof("0:w1", AnomalyKind::G0, Witness::Cycle { steps, shortest: true });
        assert_eq!((told.missing_count, told.operations_count, told.reasons.len()), (2, 2, 2));
        let empty = Witness::NoCommitOrder { transactions: Vec::new(), smallest: false, derivation: Vec::new() };
        assert_eq!(proof("", AnomalyKind::NotSerializable, empty).reasons.len(), 1);
        let told = proof("", AnomalyKind::G1b, Witness::Micros { places: Vec::new(), expected: None, found: None });
        assert!(told.reasons.is_empty());
    }
}
