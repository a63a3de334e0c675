//! Anomalies of transactions in words: T1 happened before T2, because ..., yet T2 happened before T1, because ...: a
//! contradiction.

use std::collections::{HashMap, HashSet};

use schism_checkers::anomaly::{Place, Step};
use schism_checkers::{Anomaly, AnomalyKind, Finding, Witness};
use schism_history::{History, OpIndex};

use super::contradiction::Contradiction;
use super::dependency::because;
use super::derivation::Derivation;
use super::operations::Operations;
use super::witness::Proof;
use crate::words::{self, plural};

/// Most steps of a cycle that are told.
const LINES_MAX: usize = 40;

/// The proof of an anomaly of transactions in words; `None` for others.
pub(super) fn prove(history: &History, anomaly: &Anomaly, title: &str) -> Option<Proof> {
    let (invocations, reasons, note) = match &anomaly.witness {
        Witness::Cycle { steps, shortest } => {
            // A cycle of single operations may come through a transaction again.
            let mut seen = HashSet::new();
            let all = steps.iter().map(|step| step.transaction);
            let transactions: Vec<OpIndex> = all.filter(|transaction| seen.insert(*transaction)).collect();
            let note = size_note(transactions.len(), *shortest);
            (transactions, cycle(history, steps), note)
        }
        Witness::Micros { places, expected, found } => {
            let transactions = named(places);
            let names = Names(&transactions);
            let (expected, found) = (expected.as_deref(), found.as_deref());
            let (kind, key) = (anomaly.kind.as_str(), anomaly.key.as_deref());
            let reasons = Contradiction { history, kind, key, places, expected, found, names: &names }.told();
            (transactions, reasons, String::new())
        }
        Witness::NoCommitOrder { transactions, smallest, derivation } => {
            let names = Names(transactions);
            let reasons = Derivation { history, kind: &anomaly.kind, lines: derivation, names: &names }.told();
            (transactions.clone(), reasons, core_note(transactions.len(), *smallest))
        }
        Witness::NoProcessOrder { process, transactions, smallest } => {
            let tried = format!(
                "every order of what these transactions wrote and process {process} read was tried or ruled out: in none does each \
                 read return the last write of its key"
            );
            (transactions.clone(), vec![tried], core_note(transactions.len(), *smallest))
        }
        _ => return None,
    };
    let about = AnomalyKind::parse(&anomaly.kind).map(AnomalyKind::about);
    let listed = Operations::of(history, &invocations);
    Some(Proof {
        headline: about.map_or_else(|| format!("a promise was broken: {title}"), str::to_owned),
        operations: listed.told(name, |_| false, |invoke| parts(&anomaly.witness, invoke)),
        operations_count: listed.count,
        reasons,
        note,
        missing_count: listed.missing_count(),
        title: title.to_owned(),
    })
}

/// The transactions of micro-operations, each once.
fn named(places: &[Place]) -> Vec<OpIndex> {
    let mut transactions: Vec<OpIndex> = Vec::new();
    for place in places {
        if !transactions.contains(&place.transaction) {
            transactions.push(place.transaction);
        }
    }
    transactions
}

/// The micro-operations of a transaction that play a part in a witness.
fn parts(witness: &Witness, transaction: OpIndex) -> Vec<u32> {
    match witness {
        Witness::Cycle { steps, .. } => {
            let from = steps.iter().filter(|step| step.transaction == transaction);
            let to = (0..steps.len()).filter(|place| steps[(place + 1) % steps.len()].transaction == transaction);
            from.filter_map(|step| step.because.from_micro)
                .chain(to.filter_map(|place| steps[place].because.to_micro))
                .collect()
        }
        Witness::Micros { places, .. } => {
            places.iter().filter(|place| place.transaction == transaction).map(|place| place.micro).collect()
        }
        _ => Vec::new(),
    }
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

/// What the transactions of the steps of a cycle are called: each by its first place among them.
pub fn names_of_steps(steps: &[Step]) -> Vec<String> {
    let mut places: HashMap<OpIndex, usize> = HashMap::new();
    let place = |step: &Step| {
        let next = places.len();
        name(*places.entry(step.transaction).or_insert(next))
    };
    steps.iter().map(place).collect()
}

/// The transactions of a proof, in the order in which they are named.
pub(super) struct Names<'a>(pub &'a [OpIndex]);

impl Names<'_> {
    /// Its name.
    pub fn of(&self, transaction: OpIndex) -> String {
        let place = self.0.iter().position(|&other| other == transaction);
        place.map_or_else(|| format!("the transaction of event {transaction}"), name)
    }
}

/// How small a cycle is, and whether that is proven.
fn size_note(transactions: usize, shortest: bool) -> String {
    let transactions = plural(transactions as u64, "transaction");
    match shortest {
        true => format!(
            "a cycle of {transactions}; none of this kind is shorter among the transactions that hang together with these"
        ),
        false => format!("a cycle of {transactions}, not proven to be the shortest of its kind"),
    }
}

fn core_note(transactions: usize, smallest: bool) -> String {
    let all = plural(transactions as u64, "transaction");
    match smallest {
        true => format!("{all}, of which none can be left out"),
        false => format!("{all} are enough; not proven to be the fewest"),
    }
}

/// Why each happened before the next, and the last before the first.
fn cycle(history: &History, steps: &[Step]) -> Vec<String> {
    let names = names_of_steps(steps);
    let told = 0..steps.len().min(LINES_MAX);
    let mut lines: Vec<String> = told.map(|place| step(history, steps, &names, place)).collect();
    if steps.len() > LINES_MAX {
        let left = steps.len() - LINES_MAX - 1;
        if left > 0 {
            lines.push(format!("... and {} more", plural(left as u64, "step")));
        }
        lines.push(step(history, steps, &names, steps.len() - 1));
    }
    lines
}

/// Why one transaction of a cycle happened before the next, in a sentence without its full stop.
pub fn step(history: &History, steps: &[Step], names: &[String], place: usize) -> String {
    let next = if place + 1 < steps.len() { place + 1 } else { 0 };
    let (Some(this), Some(that)) = (steps.get(place), steps.get(next)) else { return String::new() };
    let (Some(from), Some(to)) = (names.get(place), names.get(next)) else { return String::new() };
    let because = because(history, this, that, (from, to));
    match next == 0 && steps.len() > 1 {
        true => format!("yet {from} happened before {to}, because {because}: a contradiction"),
        false => format!("{from} happened before {to}, because {because}"),
    }
}

#[cfg(test)]
mod tests {
    use schism_checkers::anomaly::{Dependency, Derived, Role, Rule};
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
                "T1 happened before T2, because T2 appended 2 to key 5 behind 1, which T1 had appended (it was in no list yet that was read)",
                "yet T2 happened before T1, because T2 read [1] from key 5, without 1, which T1 appended: a contradiction",
            ]
        );
        assert_eq!((told.operations[0].letter.as_str(), told.operations[1].invoke), ("T1", 2));
        assert_eq!(
            told.operations[1].sentence,
            "process 1 ran read 5: [1] · append 2 to 5 between 0.002 s and 0.003 s"
        );
        assert!(told.note.contains("none of this kind is shorter"), "{}", told.note);
    }

    #[test]
    fn each_kind_of_dependency_has_words() {
        let line = r#"0:txn=[["w",5,1]] 0:txn=[["w",5,2]]"#;
        let cases = [
            ("ww", "T2 wrote 2 to key 5 over 1, which T1 had written"),
            ("wr", "T2 read 1 from key 5, which T1 had written"),
            ("rw", "T1 read 1 from key 5, over which T2 wrote 2"),
            ("rwp", "T1 wrote 1 to key 5, which does not show yet that T2 wrote 2 to key 5"),
            ("wrp", "T2 wrote 2 to key 5, which shows that T1 wrote 1 to key 5"),
            ("process", "process 0 ran T1 before T2"),
            ("realtime", "T1 had ended (at 0.001 s) before T2 began (at 0.002 s)"),
        ];
        for (kind, because) in cases {
            let steps = vec![step(0, kind, (0, 0), "1", "2"), step(2, "rw", (0, 0), "2", "1")];
            let told = proof(line, AnomalyKind::G0, Witness::Cycle { steps, shortest: false });
            assert_eq!(told.reasons[0], format!("T1 happened before T2, because {because}"));
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
            [
                "T1 appended 1 to key 5, and T2 read [1] from key 5",
                "yet T1 certainly failed, so that nothing of it may be seen: a contradiction",
            ]
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
                "(1) T2 happened before T3: T2 had ended before T3 began",
                "(2) T2 happened before T1: T3 read 1 from key 5, of T1, although by (1) it came after T2, which wrote 2 to \
                 key 5; so T1 wrote later",
                "(3) T1 happened before T2: T1 had ended before T2 began",
                "yet (2) and (3) cannot both be: a contradiction",
            ]
        );
    }

    #[test]
    fn a_transaction_that_comes_again_keeps_its_name() {
        let steps: Vec<Step> = [0, 2, 0, 4].map(|transaction| step(transaction, "process", (0, 0), "", "")).to_vec();
        assert_eq!(names_of_steps(&steps), ["T1", "T2", "T1", "T3"]);
        let line = r#"0:txn=[["w",5,1]] 1:txn=[["w",5,2]] 2:txn=[["w",5,3]]"#;
        let told = proof(line, AnomalyKind::NotMonotonicWrites, Witness::Cycle { steps, shortest: false });
        assert_eq!(told.operations_count, 3);
        assert!(told.reasons[3].starts_with("yet T3 happened before T1, because"), "{:?}", told.reasons);
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
