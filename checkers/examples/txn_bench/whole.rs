//! The checker `list-append` as a whole, asked for strict serializability: columns, inference, cycles of every class, axioms
//! where they are wanted, the line between models. In memory, and from a file of text.

use schism_checkers::txn::checker::{Data, TxnChecker};
use schism_checkers::{Budget, Checker, Finding, Outcome};
use schism_history::{History, Keyed, RunFacts};

use crate::text::Text;
use crate::{Line, Row, lists, measure};

/// The rows.
pub const ROWS: &[Row] = &[
    row("check-10k", "list-append, strict serializability", |seed| run(seed, 10_000, 32, false, None)),
    row("check-100k", "the same", |seed| run(seed, 100_000, 32, false, None)),
    row("check-1m", "the same", |seed| run(seed, 1_000_000, 32, false, None)),
    row("check-1m-broken", "the same, one read too short", |seed| run(seed, 1_000_000, 32, true, None)),
    row("check-1m-256", "256 appends a key", |seed| run(seed, 1_000_000, 256, false, None)),
    row("check-1m-256-broken", "256 appends a key, one read too short", |seed| run(seed, 1_000_000, 256, true, None)),
    row("check-10m", "32 appends a key", |seed| run(seed, 10_000_000, 32, false, None)),
    row("jsonl-1m", "from JSON Lines", |seed| run(seed, 1_000_000, 32, false, Some(Text::Jsonl))),
    row("jsonl-1m-broken", "from JSON Lines, one read too short", |seed| {
        run(seed, 1_000_000, 32, true, Some(Text::Jsonl))
    }),
    row("edn-1m", "from EDN", |seed| run(seed, 1_000_000, 32, false, Some(Text::Edn))),
    row("edn-1m-broken", "from EDN, one read too short", |seed| run(seed, 1_000_000, 32, true, Some(Text::Edn))),
    row("jsonl-20m", "from JSON Lines", |seed| run(seed, 20_000_000, 32, false, Some(Text::Jsonl))),
    row("jsonl-20m-broken", "from JSON Lines, one read too short", |seed| {
        run(seed, 20_000_000, 32, true, Some(Text::Jsonl))
    }),
];

const fn row(name: &'static str, what: &'static str, run: fn(u64) -> Line) -> Row {
    Row { name, what, run }
}

fn run(seed: u64, count: usize, appends_per_key: usize, is_broken: bool, text: Option<Text>) -> Line {
    let history = lists::history(seed, count, appends_per_key, is_broken);
    let (sha256_seconds, _) = measure::sha256_pass(&history);
    let checker = TxnChecker::new(Data::ListAppend);
    // The engines' steps are those of `schism check`; twenty million want more memory than it gives.
    let budget = Budget { memory_bytes_max: 8 << 30, ..Budget::default() };
    let check = |history: &History| checker.check(history, &RunFacts::default(), &budget);
    let (finding, seconds, bytes) = match text {
        None => measure::measured(|| check(&history)),
        Some(text) => {
            let file = text.write(&history).expect("the folder of temporary files can be written");
            drop(history);
            measure::measured(|| check(&text.read(&file, Keyed::No).expect("it was written so")))
        }
    };
    let wanted = if is_broken { Outcome::Invalid } else { Outcome::Valid };
    let told = if finding.outcome() == wanted { "" } else { "NOT AS PLANTED: " };
    Line { count, seconds, bytes, sha256_seconds: Some(sha256_seconds), answer: format!("{told}{}", answer(&finding)) }
}

fn answer(finding: &Finding) -> String {
    format!("{:?} {}", finding.outcome(), finding.stats["anomalies_by_kind"])
}
