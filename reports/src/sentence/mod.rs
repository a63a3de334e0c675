//! From data to prose: the verdict in one sentence, what it means for who uses the database, and each gap and witness
//! in plain words. Says nothing that the verdict, the history or the facts do not say.

mod circle;
mod contradiction;
mod dependency;
mod derivation;
mod fault;
mod gap;
mod operations;
mod pattern;
mod transactions;
mod witness;

use schism_checkers::{Outcome, Verdict, Witness};
use schism_history::{OpIndex, RunFacts};

pub use circle::circle;
pub use fault::{State, afterwards, fault_name, state};
pub use gap::{GapWords, explain, explain_all};
pub use operations::{OPERATIONS_MAX, Told, decimals};
pub use transactions::{levels, name as transaction_name, names_of_steps, step as cycle_step};
pub use witness::{Counterexample, Proof, beyond, counterexamples, prove};

use crate::Story;
use crate::figures::{Figures, Window};
use crate::words::{self, count, plural};

/// `Valid`, `Unknown`, `Invalid`.
pub fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Valid => "Valid",
        Outcome::Unknown => "Unknown",
        Outcome::Invalid => "Invalid",
    }
}

/// What stands at the top: the outcome's name, or `Nothing tested` where no answer of the database was judged.
pub fn headline_name(story: &Story<'_>, figures: &Figures) -> &'static str {
    match nothing_tested(story, figures) {
        Some(_) => "Nothing tested",
        None => outcome_name(story.verdict.outcome()),
    }
}

/// Why nothing was tested, without a full stop: no client operation was invoked, or none was answered `ok` ("no
/// match" is an answer). `None` where something was, where a promise was broken all the same, and where no checker judged.
pub fn nothing_tested(story: &Story<'_>, figures: &Figures) -> Option<String> {
    let verdict = story.verdict;
    if verdict.outcome() == Outcome::Invalid || verdict.checkers.is_empty() {
        return None;
    }
    let outcomes = figures.outcomes;
    if outcomes.total() == 0 {
        return Some("there is no operation of a client, so nothing was tested".to_owned());
    }
    if outcomes.ok > 0 {
        return None;
    }
    let parts = [(outcomes.fail, "failed"), (outcomes.info, "ended in doubt")];
    let parts: Vec<String> =
        parts.iter().filter(|(of, _)| *of > 0).map(|(of, how)| format!("{} {how}", count(*of))).collect();
    let total = plural(outcomes.total(), "operation");
    Some(format!("none of {total} succeeded ({}), so nothing was tested", words::list(&parts)))
}

/// That the run did not come to its end, and after how long, without a full stop; `None` if it did.
pub fn interruption(story: &Story<'_>) -> Option<String> {
    let (facts, history) = (story.facts, story.history);
    let last = (history.len() as OpIndex).checked_sub(1);
    facts.interrupted.then(|| match (facts.load_ns, last) {
        (0, None) => "the run was interrupted before it did anything".to_owned(),
        // Whoever is interrupted writes down how long the load was; a controller that died does not.
        (0, Some(last)) => format!(
            "the run was cut off after {} (its controller died or could not write down its end)",
            words::span(history.time_ns(last))
        ),
        (load_ns, _) => format!("the run was interrupted by the user after {} of load", words::span(load_ns)),
    })
}

/// The verdict in one sentence, without its outcome's name before it.
pub fn verdict(story: &Story<'_>, figures: &Figures) -> String {
    if let Some(nothing) = nothing_tested(story, figures) {
        return format!("{nothing}.");
    }
    match story.verdict.outcome() {
        Outcome::Invalid => {
            let found = counterexamples(story.verdict);
            let Some(first) = found.first() else { return "a promise was broken.".to_owned() };
            let headline = prove(story.history, first.anomaly).headline;
            let others = match found.len() - 1 {
                0 => String::new(),
                1 => " There is one more anomaly.".to_owned(),
                more => format!(" There are {} more anomalies.", count(more as u64)),
            };
            format!("{headline}.{others}")
        }
        Outcome::Unknown => {
            let gaps = story_gaps(story);
            let Some((_, first)) = gaps.first() else {
                return "no checker judged this history, so nothing can be said.".to_owned();
            };
            let others = match gaps.len() - 1 {
                0 => String::new(),
                1 => ", and for one more reason".to_owned(),
                more => format!(", and for {} more reasons", count(more as u64)),
            };
            format!("{}{others}.", first.why)
        }
        Outcome::Valid => {
            let judged = format!("no promise was broken in {}", plural(figures.outcomes.total(), "operation"));
            // Of a history without a run nothing is known of faults, not even that there were none.
            let bare = story.facts.plan_digest.is_empty() && figures.classes.is_empty();
            format!("{judged}{}.", if bare { String::new() } else { under_faults(figures) })
        }
    }
}

/// More classes of fault than this are counted and not named in a sentence.
const CLASSES_NAMED_MAX: usize = 6;

fn under_faults(figures: &Figures) -> String {
    let landed: u64 = figures.classes.iter().map(|class| class.landed).sum();
    let names: Vec<String> =
        figures.classes.iter().filter(|class| class.landed > 0).map(|class| words::cut(&class.class, 40)).collect();
    match landed {
        0 if figures.classes.is_empty() => "; no fault was asked for".to_owned(),
        0 => "; no fault took effect".to_owned(),
        landed if names.len() > CLASSES_NAMED_MAX => {
            format!(" under {} of {} classes", plural(landed, "fault"), count(names.len() as u64))
        }
        landed => format!(" under {} ({})", plural(landed, "fault"), words::list(&names)),
    }
}

/// Every gap of a verdict in words, with the name of its checker, in order; [`story_gaps`] knows more.
pub fn gaps(verdict: &Verdict) -> Vec<(&str, GapWords)> {
    gaps_with(verdict, None)
}

/// Every gap of a story's verdict in words, with the reasons that the facts of its run tell.
pub fn story_gaps<'a>(story: &Story<'a>) -> Vec<(&'a str, GapWords)> {
    gaps_with(story.verdict, Some(story.facts))
}

fn gaps_with<'a>(verdict: &'a Verdict, facts: Option<&RunFacts>) -> Vec<(&'a str, GapWords)> {
    let told = verdict.checkers.iter().map(|(checker, finding)| (checker.as_str(), explain_all(&finding.gaps, facts)));
    told.flat_map(|(checker, told)| told.into_iter().map(move |gap| (checker, gap))).collect()
}

/// What the verdict means for who uses the database: a few sentences, each a paragraph.
pub fn meaning(story: &Story<'_>, figures: &Figures) -> Vec<String> {
    let mut paragraphs = match story.verdict.outcome() {
        Outcome::Invalid => meaning_invalid(story, figures),
        _ if nothing_tested(story, figures).is_some() => vec![
            "No answer of the database was judged, so this shows neither that its promises were kept nor that they were \
             broken."
                .to_owned(),
        ],
        Outcome::Unknown => vec![
            "This run shows neither that the promises were kept nor that they were broken. What was answered is in the \
             history and can be judged again; the reasons below say what would make it a verdict."
                .to_owned(),
        ],
        Outcome::Valid => std::iter::once(meaning_valid(story)).chain(isolation(story)).collect(),
    };
    if let Some(interruption) = interruption(story) {
        paragraphs.insert(0, format!("{}; what had happened until then was judged.", words::capital(&interruption)));
    }
    let quiet = figures.classes.is_empty() && story.verdict.outcome() == Outcome::Valid;
    if quiet && nothing_tested(story, figures).is_none() && !story.facts.plan_digest.is_empty() {
        paragraphs.push("No fault was asked for: nothing is known yet of how the database bears harm.".to_owned());
    }
    paragraphs
}

fn meaning_valid(story: &Story<'_>) -> String {
    let explained = if story.verdict.checkers.contains_key("linearizable") {
        "Every answer that clients were given can be explained by one order of operations that respects real time."
    } else {
        "The checkers that judged found no broken promise; whether the answers have an order was not asked."
    };
    let bounds = if story.facts.plan_digest.is_empty() {
        "This holds for what happened in this history. It is no proof for other ones."
    } else {
        "This holds for what happened in this run. It is no proof for other schedules of faults: run it longer and with \
         other seeds to gain trust."
    };
    format!("{explained} {bounds}")
}

fn meaning_invalid(story: &Story<'_>, figures: &Figures) -> Vec<String> {
    let database = if story.info.database.is_empty() { "the database" } else { story.info.database.as_str() };
    let found = counterexamples(story.verdict);
    let linear = found.first().is_some_and(|first| matches!(first.anomaly.witness, Witness::Nonlinearizable { .. }));
    let sequential = found.first().is_some_and(|first| matches!(first.anomaly.witness, Witness::Nonsequential { .. }));
    let database = words::name(database);
    let copies = found.first().is_some_and(|first| matches!(first.anomaly.witness, Witness::ReplicasDisagree { .. }));
    let what = if copies {
        format!(
            "The members of {database} do not hold the same data any more, and will not by themselves: what a client \
             reads depends on whom it asks, and whichever member leads next decides what the data is. What was \
             acknowledged may be lost."
        )
    } else if linear {
        format!(
            "The answers that {database} gave its clients cannot have come from any single, up-to-date copy of the data. \
             Software that trusts what it reads (locks, leader election, counters, configuration) can then act on data \
             that is no longer true, or act twice."
        )
    } else if found.first().is_some_and(|first| is_of_transactions(&first.anomaly.witness)) {
        format!(
            "Transactions of {database} were not kept apart as the asked isolation level promises. Software that checks \
             something and then acts on it in one transaction (a balance, a stock, a rule over several rows) can act on \
             what another transaction was about to change."
        )
    } else if sequential {
        format!(
            "The answers that {database} gave its clients cannot have come from one copy of the data, not even from one \
             that lags behind: some client saw effects in an order that its own operations, or those of another, rule \
             out."
        )
    } else {
        format!("The answers that {database} gave its clients break a promise that was asked about.")
    };
    let mut paragraphs = vec![what];
    if let Some(first) = found.first() {
        paragraphs.extend(at_the_time(story, figures, first));
    }
    paragraphs.extend(staleness(story));
    paragraphs.extend(isolation(story));
    let gaps = story_gaps(story).len() as u64;
    if gaps > 0 {
        paragraphs.push(format!(
            "Beside this, {} left open; the reasons are below.",
            match gaps {
                1 => "one question is".to_owned(),
                gaps => format!("{} questions are", count(gaps)),
            }
        ));
    }
    paragraphs
}

/// What all findings say of isolation levels, a sentence each.
fn isolation(story: &Story<'_>) -> Vec<String> {
    story.verdict.checkers.values().filter_map(levels).map(|told| format!("{}.", words::capital(&told))).collect()
}

/// Whether a witness is one of transactions, whose reasons are the proof, whole.
pub fn is_of_transactions(witness: &Witness) -> bool {
    use Witness::{Cycle, Micros, NoCommitOrder, NoProcessOrder};
    matches!(witness, Cycle { .. } | Micros { .. } | NoCommitOrder { .. } | NoProcessOrder { .. })
}

/// How old answers were, where some were older than the last value but one.
fn staleness(story: &Story<'_>) -> Option<String> {
    let stats = &story.verdict.checkers.get("linearizable")?.stats;
    let staleness = stats.get("staleness")?;
    let worst = staleness["k_max"].as_u64().filter(|&k| k > 1)?;
    let by_k = staleness["reads_by_k"].as_object()?;
    let is_stale = |(k, count): (&String, &serde_json::Value)| if k == "1" { None } else { count.as_u64() };
    let stale = by_k.iter().filter_map(is_stale).fold(0, u64::saturating_add);
    let how_many = match stale {
        1 => "One answer was".to_owned(),
        stale => format!("{} answers were", count(stale)),
    };
    let overwritten = match worst - 1 {
        1 => "one newer value".to_owned(),
        newer => format!("{} newer values", count(newer)),
    };
    let worst = if stale == 1 { "it" } else { "the worst" };
    let delta = staleness["delta_ms"].as_u64().filter(|_| staleness["delta_keys_left_out_count"].as_u64() == Some(0));
    let delta = delta.filter(|&delta| delta > 0).map_or_else(String::new, |delta| {
        let span = words::span(delta.saturating_mul(1_000_000));
        format!(" Reads that may be up to {span} old would explain all of them.")
    });
    Some(format!(
        "{how_many} stale: before {worst} was asked for, {overwritten} had been written and confirmed since the one that \
         was told.{delta}"
    ))
}

/// Which faults were on while the operations of a counterexample ran. A fault that was only tried is told as that.
fn at_the_time(story: &Story<'_>, figures: &Figures, found: &Counterexample<'_>) -> Option<String> {
    let (from, to) = time_of(story, found)?;
    let (on, tried): (Vec<&Window>, Vec<&Window>) =
        overlapping(&figures.windows, from, to).partition(|window| window.landed);
    let named = |windows: &[&Window]| {
        let names: Vec<String> = windows.iter().take(6).map(|window| fault_name(story.facts, window)).collect();
        let more = windows.len() - names.len();
        format!("{}{}", words::list(&names), if more > 0 { format!(" and {more} more") } else { String::new() })
    };
    Some(match (on.as_slice(), tried.as_slice()) {
        ([], []) => match (story.facts.faults.is_empty(), story.facts.plan_digest.is_empty()) {
            (true, true) => return None,
            (true, false) => "No fault was injected at all: ordinary operation is enough.".to_owned(),
            (false, _) => "No fault was on between the first and the last of these operations.".to_owned(),
        },
        ([], tried) => format!(
            "No fault was seen to take effect between the first and the last of these operations; what was tried: {}.",
            named(tried)
        ),
        (on, _) => {
            let were = if on.len() == 1 { "this fault was" } else { "these faults were" };
            format!("Between the first and the last of these operations {were} on: {}.", named(on))
        }
    })
}

/// Windows that touch a stretch of time.
pub fn overlapping(windows: &[Window], from_ns: u64, to_ns: u64) -> impl Iterator<Item = &Window> {
    windows.iter().filter(move |window| window.start_ns <= to_ns && window.end_ns >= from_ns)
}

/// From the first invocation to the last event of a counterexample's operations.
fn time_of(story: &Story<'_>, found: &Counterexample<'_>) -> Option<(u64, u64)> {
    let operations: Vec<OpIndex> = match &found.anomaly.witness {
        Witness::Nonlinearizable { operations, .. }
        | Witness::Nonsequential { operations, .. }
        | Witness::ReplicasDisagree { operations, .. }
        | Witness::NoCommitOrder { transactions: operations, .. }
        | Witness::NoProcessOrder { transactions: operations, .. } => operations.clone(),
        Witness::Cycle { steps, .. } => steps.iter().map(|step| step.transaction).collect(),
        Witness::Micros { places, .. } => places.iter().map(|place| place.transaction).collect(),
        _ => return None,
    };
    let calls = || operations.iter().filter_map(|&invoke| crate::phrase::call_at(story.history, invoke));
    let from = calls().map(|call| story.history.time_ns(call.invoke)).min()?;
    let to = calls().map(|call| story.history.time_ns(call.completion.unwrap_or(call.invoke))).max()?;
    Some((from, to))
}
