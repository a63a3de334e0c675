//! `schism explain`: what a name means, of a fault, a checker, a model, a consistency model or a kind of anomaly.

use schism_checkers::table::{CHECKERS, MODELS};
use schism_checkers::{AnomalyKind, Level};

use crate::commands::{explain_levels, print};
use crate::error::RunnerError;
use crate::exit::Exit;

/// Checkers that have a page of their own.
const PAGES: &[(&str, &str)] = &[
    ("linearizable", include_str!("../../../docs/explain/linearizable.md")),
    ("sequential", include_str!("../../../docs/explain/sequential.md")),
    ("list-append", include_str!("../../../docs/explain/list-append.md")),
    ("rw-register", include_str!("../../../docs/explain/rw-register.md")),
];

/// Says what a name means.
///
/// # Errors
/// When nothing has that name; with the nearest.
pub fn explain(name: &str) -> Result<Exit, RunnerError> {
    print(&text(name)?)?;
    Ok(Exit::Valid)
}

fn text(name: &str) -> Result<String, RunnerError> {
    if let Some(entry) = schism_nemesis::class::entry(name) {
        return Ok(schism_nemesis::docs::describe(entry));
    }
    if let Some((_, page)) = PAGES.iter().find(|(page, _)| *page == name) {
        // Some of these are consistency models of transactions too.
        let level =
            explain_levels::level(name).map(|text| format!("\nAs a consistency model of transactions:\n\n{text}"));
        return Ok((*page).to_owned() + &level.unwrap_or_default());
    }
    if let Some(entry) = CHECKERS.iter().find(|entry| entry.name == name) {
        return Ok(format!("{}: {}\n", entry.name, entry.about));
    }
    if let Some(entry) = MODELS.iter().find(|entry| entry.model.as_str() == name) {
        let judges = CHECKERS.iter().filter(|checker| checker.models.contains(&entry.model));
        let judges: Vec<&str> = judges.map(|checker| checker.name).collect();
        return Ok(format!("{name}: {}\n\nFor the checkers {}.\n", entry.about, judges.join(", ")));
    }
    if let Some(text) = explain_levels::level(name).or_else(|| explain_levels::anomaly(name)) {
        return Ok(text);
    }
    let faults = schism_nemesis::FAULTS.iter().map(|entry| entry.name);
    let checkers = CHECKERS.iter().map(|entry| entry.name);
    let names = faults.chain(checkers).chain(MODELS.iter().map(|entry| entry.model.as_str()));
    let names = names.chain(Level::names()).chain(AnomalyKind::ALL.iter().map(|kind| kind.as_str()));
    Err(RunnerError::Usage(crate::request::unknown(
        "fault, checker, model, consistency model or anomaly called",
        name,
        names,
    )))
}

#[cfg(test)]
mod tests {
    use schism_checkers::linear::ModelName;
    use schism_checkers::linear::replay::replay_key;
    use schism_checkers::{Budget, Outcome, check_all, table};
    use schism_history::{History, RunFacts, notation};
    use schism_reports::sentence;

    use super::*;

    /// Every example of every page is as it says.
    #[test]
    fn examples_are_true() {
        let mut examples = 0;
        for (checker, page) in PAGES {
            let said = |line: &str, word: &str| line.trim().strip_prefix(word).map(|rest| rest.trim().to_owned());
            let (mut line, mut told) = (String::new(), Vec::new());
            for row in page.lines() {
                if let Some(history) = said(row, "history ") {
                    line = history;
                } else if let Some(verdict) = said(row, "verdict ") {
                    let history = notation::parse(&line).expect("a history");
                    let checkers = [table::build(checker, None).expect("a checker")];
                    let found = check_all(&checkers, &history, &RunFacts::default(), &Budget::default());
                    assert_eq!(found.outcome() == Outcome::Valid, verdict == "valid", "{line}");
                    let proofs = sentence::counterexamples(&found);
                    told = proofs.iter().flat_map(|one| sentence::prove(&history, one.anomaly).reasons).collect();
                    examples += 1;
                } else if let Some(because) = said(row, "because ") {
                    assert!(told.contains(&because), "{line}: {told:#?}");
                } else if let Some(order) = said(row, "order ") {
                    let history = notation::parse(&line).expect("a history");
                    replay_key(ModelName::CasRegister, &history, None, &places(&line, &history, &order))
                        .unwrap_or_else(|wrong| panic!("{line}: {wrong}"));
                }
            }
        }
        assert!(examples >= 10, "{examples}");
    }

    /// The invocations that an order names by their tokens.
    fn places(line: &str, history: &History, order: &str) -> Vec<u32> {
        let name = |token: &str| token.trim_end_matches(['(', '?']).to_owned();
        let names = line.split(' ').filter(|token| token.contains(':')).map(name);
        let all: Vec<(String, u32)> = names.zip(history.client_calls().map(|call| call.invoke)).collect();
        let find = |token: &str| all.iter().find(|(name, _)| name == token).map(|(_, invoke)| *invoke);
        order.split(", ").map(|token| find(token).expect(token)).collect()
    }

    #[test]
    fn every_name_has_a_text() {
        for name in
            ["clock-jump", "linearizable", "stats", "multi-register", "sequential", "causal", "G-single", "rw-register"]
        {
            assert!(text(name).is_ok_and(|text| text.contains(name)), "{name}");
        }
        for both in ["linearizable", "sequential"] {
            let told = text(both).unwrap_or_default();
            assert!(told.contains("--model MODEL") && told.contains("Defined by"), "{told}");
        }
        let wrong = text("linearisable").map_err(|error| error.to_string());
        assert!(wrong.is_err_and(|told| told.contains("Did you mean `linearizable`?")));
        let wrong = text("snapshot-isolaton").map_err(|error| error.to_string());
        assert!(wrong.is_err_and(|told| told.contains("Did you mean `snapshot-isolation`?")));
    }
}
