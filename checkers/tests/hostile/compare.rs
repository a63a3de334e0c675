//! The checker against the judges.

use std::collections::BTreeSet;

use schism_checkers::linear::{Linearizable, ModelName, verify_witness};
use schism_checkers::{Budget, Checker, Finding, Gap, Outcome};
use schism_history::{History, Keyed, RunFacts, edn, jsonl};

use super::generate::{Chance, Draft, Palette, Shape, calls, draft, history, key};
use super::oracle::{by_orders, by_search, by_table};
use super::witness::examine;

/// How often what was seen.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Valid by all.
    pub valid: u64,
    /// Invalid by all.
    pub invalid: u64,
    /// Witnesses that were examined.
    pub witnesses: u64,
    /// Of them, smallest by proof.
    pub smallest: u64,
    /// Judged unknown with a small budget.
    pub spent: u64,
    /// Given up by the judge.
    pub too_large: u64,
}

/// The checker's finding.
pub fn judged(history: &History, budget: &Budget) -> Finding {
    Linearizable { model: ModelName::CasRegister }.check(history, &RunFacts::default(), budget)
}

/// A random case of up to so many calls.
///
/// # Errors
/// What the checker said that is not so, with the case.
pub fn case(seed: u64, calls_max: usize, tally: &mut Tally) -> Result<(), String> {
    let chance = &mut Chance(seed);
    let shape = Shape::any(chance, calls_max);
    let made = draft(chance, shape);
    let palette = [Palette::Ints, Palette::Ints, Palette::Texts, Palette::Mixed][chance.below(4)];
    let palette = if shape.values == 0 { Palette::Ints } else { palette };
    let texts = chance.percent(30);
    let keyed = (shape.keys > 1 || texts).then_some(texts);
    let wrong = |what: String| format!("seed {seed}: {what}\n{shape:?}\n{}", tell(&made));
    let history = history(&made, palette, keyed);
    let finding = judged(&history, &Budget::default());
    agree(&made, &history, &finding, shape.keys, keyed, tally).map_err(wrong)?;
    if chance.percent(20) {
        through_text(&history, keyed.is_some(), &finding).map_err(wrong)?;
    }
    if chance.percent(30) {
        let steps_max = chance.of(&[0, 1, 2, 5, 20, 100]) as u64;
        let memory_bytes_max = chance.of(&[0, 100, 400, 1000, usize::MAX]) as u64;
        frugal(&history, &finding, Budget { steps_max, memory_bytes_max }, tally).map_err(wrong)?;
    }
    Ok(())
}

/// A random case with many calls on one key, of so many processes.
///
/// # Errors
/// What the checker said that is not so.
pub fn large_case(seed: u64, calls_count: usize, tally: &mut Tally) -> Result<(), String> {
    let chance = &mut Chance(seed);
    let any = Shape::any(chance, 2);
    let honest = chance.percent(40);
    let shape = Shape {
        calls: calls_count,
        processes: 2 + chance.below(6),
        keys: 1,
        values: chance.of(&[3, 5, 20, 50]),
        info_percent: chance.of(&[0, 1, 3]),
        lie_percent: if honest { 0 } else { chance.of(&[0, 1, 1]) },
        swaps: if honest { 0 } else { chance.of(&[0, 5, 50]) },
        doubts_max: chance.of(&[0, 2, 6]),
        ..any
    };
    let made = draft(chance, shape);
    let wrong = |what: String| format!("large, seed {seed}: {what}\n{shape:?}");
    let all = calls(&made, 0);
    let Some(expected) = by_search(&all, 300_000) else {
        tally.too_large += 1;
        return Ok(());
    };
    let history = history(&made, Palette::Ints, None);
    let finding = judged(&history, &Budget::default());
    let outcome = if expected { Outcome::Valid } else { Outcome::Invalid };
    if finding.outcome() != outcome {
        return Err(wrong(format!("{:?}, but it is {outcome:?}", finding.outcome())));
    }
    count(expected, tally);
    for anomaly in &finding.anomalies {
        tally.witnesses += 1;
        tally.smallest += u64::from(is_smallest(&anomaly.witness));
        examine(&all, &anomaly.witness).map_err(|what| wrong(format!("{what}: {anomaly:?}")))?;
    }
    Ok(())
}

fn is_smallest(witness: &schism_checkers::Witness) -> bool {
    matches!(witness, schism_checkers::Witness::Nonlinearizable { smallest: true, .. })
}

fn count(expected: bool, tally: &mut Tally) {
    if expected { tally.valid += 1 } else { tally.invalid += 1 }
}

/// Events in a line each.
fn tell(draft: &Draft) -> String {
    let lines = draft.events.iter().enumerate().map(|(place, event)| {
        format!("{place:>3} p{} {:?} {:?}\n", event.process, draft.asked[event.call], event.reply)
    });
    lines.collect()
}

fn agree(
    made: &Draft,
    history: &History,
    finding: &Finding,
    keys: usize,
    keyed: Option<bool>,
    tally: &mut Tally,
) -> Result<(), String> {
    let name = |number: usize| keyed.map(|texts| key(texts, number).to_string());
    let mut expected: BTreeSet<Option<String>> = BTreeSet::new();
    for number in 0..keys {
        let all = calls(made, number);
        let possible = by_table(&all);
        let searched = by_search(&all, usize::MAX);
        if searched != Some(possible) || (all.len() <= 6 && by_orders(&all) != possible) {
            return Err(format!("the judges disagree: {possible} {searched:?}"));
        }
        count(possible, tally);
        if !possible {
            expected.insert(name(number));
        }
    }
    let found: BTreeSet<Option<String>> = finding.anomalies.iter().map(|anomaly| anomaly.key.clone()).collect();
    if found != expected || found.len() != finding.anomalies.len() || !finding.gaps.is_empty() {
        return Err(format!("broken keys are {expected:?}, but it found {finding:?}"));
    }
    for anomaly in &finding.anomalies {
        let number = (0..keys).find(|&number| name(number) == anomaly.key).unwrap_or(0);
        tally.witnesses += 1;
        examine(&calls(made, number), &anomaly.witness).map_err(|what| format!("{what}: {anomaly:?}"))?;
        verify_witness(history, &anomaly.witness)?;
        if !is_smallest(&anomaly.witness) {
            return Err(format!("not the smallest: {anomaly:?}"));
        }
        tally.smallest += 1;
    }
    Ok(())
}

/// Written and read again, it is judged the same.
fn through_text(history: &History, keyed: bool, finding: &Finding) -> Result<(), String> {
    let mut lines = Vec::new();
    jsonl::write(history, &mut lines).map_err(|error| error.to_string())?;
    let (again, _) = jsonl::read(lines.as_slice()).map_err(|error| error.to_string())?;
    if judged(&again, &Budget::default()) != *finding {
        return Err(format!("JSON Lines change the verdict:\n{}", String::from_utf8_lossy(&lines)));
    }
    let mut text = Vec::new();
    edn::write(history, &mut text).map_err(|error| error.to_string())?;
    let (again, _) = edn::read(&text, if keyed { Keyed::Yes } else { Keyed::No }).map_err(|error| error.to_string())?;
    if judged(&again, &Budget::default()) != *finding {
        return Err(format!("EDN changes the verdict:\n{}", String::from_utf8_lossy(&text)));
    }
    Ok(())
}

/// With a small budget it says the same or that it does not know, and what it says is true.
fn frugal(history: &History, full: &Finding, budget: Budget, tally: &mut Tally) -> Result<(), String> {
    let finding = judged(history, &budget);
    let spent = finding.gaps.iter().filter(|gap| matches!(gap, Gap::BudgetSpent { .. })).count();
    if spent != finding.gaps.len() {
        return Err(format!("gaps of another kind: {:?}", finding.gaps));
    }
    tally.spent += spent as u64;
    let names =
        |finding: &Finding| finding.anomalies.iter().map(|anomaly| anomaly.key.clone()).collect::<BTreeSet<_>>();
    let (found, all) = (names(&finding), names(full));
    if !found.is_subset(&all) || found.len() + spent < all.len() {
        return Err(format!("{budget:?}: {found:?} broken and {spent} unknown, but {all:?} are"));
    }
    finding.anomalies.iter().try_for_each(|anomaly| verify_witness(history, &anomaly.witness))
}
