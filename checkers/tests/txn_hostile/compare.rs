//! What holds of every verdict, whatever the history.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::{ThreadPool, ThreadPoolBuilder};
use schism_checkers::txn::checker::{Data, TxnChecker};
use schism_checkers::txn::levels::{Level, LevelSet};
use schism_checkers::txn::rw_register::VersionSources;
use schism_checkers::{Anomaly, AnomalyKind, Budget, Checker, Finding, Outcome, Witness};
use schism_history::{History, Kind, Micro, MicroF, MicroValue, RunFacts, ValueId, jsonl, notation};

use crate::generate::{FIELD, Size, arbitrary, timeless};
use crate::verified;

/// Far more than any check of such a history takes without optimisation.
const TIME_MAX: Duration = Duration::from_secs(180);

/// Each engine has the budget; and what it was about to take when it ended is counted too.
const ENGINES: u64 = 8;

/// What was seen.
#[derive(Debug, Default)]
pub struct Tally {
    pub valid: u64,
    pub invalid: u64,
    pub unknown: u64,
    /// Witnesses that were verified, and those that the code that verifies does not know.
    pub verified: u64,
    pub refused: u64,
    /// Witnesses that it says are none, with the history, by what it says; the shortest of each.
    pub doubted: BTreeMap<String, String>,
    /// Budgets that ended.
    pub spent: u64,
    /// By kind.
    pub kinds: BTreeMap<String, u64>,
    /// By level: how often it was asked for.
    pub levels: BTreeMap<Level, u64>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub data: Data,
    pub level: Level,
    pub sources: VersionSources,
    pub budget: Budget,
}

impl Asked {
    fn draw(random: &mut ChaCha8Rng, data: Data) -> Asked {
        let sourced = data == Data::RwRegister && random.random_bool(0.4);
        let mut flag = || sourced && random.random();
        let sources = VersionSources {
            writes_follow_reads: flag(),
            sequential_keys: flag(),
            linearizable_keys: flag(),
            explicit: flag().then(|| FIELD.to_owned()),
        };
        let budget = match random.random_range(0..10) {
            0 => Budget { steps_max: random.random_range(0..300), memory_bytes_max: 1 << 24 },
            1 => Budget { steps_max: 100_000, memory_bytes_max: random.random_range(0..20_000) },
            _ => Budget { steps_max: 300_000, memory_bytes_max: 1 << 26 },
        };
        Asked { data, level: Level::ALL[random.random_range(0..Level::ALL.len())], sources, budget }
    }

    fn judge(&self, history: &History) -> Finding {
        let checker = TxnChecker { data: self.data, level: self.level, sources: self.sources.clone() };
        checker.check(history, &RunFacts::default(), &self.budget)
    }
}

fn pool(threads: usize) -> &'static ThreadPool {
    static POOLS: [OnceLock<ThreadPool>; 3] = [const { OnceLock::new() }; 3];
    POOLS[threads].get_or_init(|| ThreadPoolBuilder::new().num_threads(threads).build().expect("threads"))
}

/// What a finding says of all models.
struct Line {
    possible: LevelSet,
    ruled_out: LevelSet,
}

fn line(finding: &Finding) -> Result<Line, String> {
    let levels = |stat: &str, field: Option<&str>| -> Option<LevelSet> {
        let all = finding.stats.get(stat)?.as_array()?;
        all.iter().map(|value| Level::parse(field.map_or(value, |field| &value[field]).as_str()?)).collect()
    };
    let told = (
        levels("strongest_possible", None),
        levels("weakest_ruled_out", Some("consistency")),
        levels("not_decided", None),
    );
    let (Some(possible), Some(weakest), Some(open)) = told else { return Err("it says nothing of models".to_owned()) };
    let ruled_out: LevelSet =
        Level::ALL.iter().copied().filter(|level| weakest.iter().any(|weak| level.implies(weak))).collect();
    let possible = possible.with_weaker();
    let is_once = |level: Level| [possible, ruled_out, open].iter().filter(|set| set.contains(level)).count() == 1;
    match Level::ALL.iter().find(|level| !is_once(**level)) {
        Some(level) => Err(format!("{level} is not in one of possible, ruled out, not decided")),
        None => Ok(Line { possible, ruled_out }),
    }
}

/// Judges a history in some ways.
///
/// # Errors
/// What does not hold, with the history.
pub fn case(seed: u64, size: Size, tally: &mut Tally) -> Result<(), String> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let history = arbitrary(&mut random, size);
    judged(&mut random, &history, tally).map_err(|wrong| format!("seed {seed}: {wrong}\n{}", told(&history)))
}

/// Judges a history in some ways.
///
/// # Errors
/// What does not hold.
pub fn judged(random: &mut ChaCha8Rng, history: &History, tally: &mut Tally) -> Result<(), String> {
    // Mostly the checker that the history is for.
    let is_listed = (0..history.len() as u32)
        .filter_map(|index| history.txn(index))
        .any(|txn| txn.micros().any(|micro| micro.f == MicroF::Append));
    for _ in 0..2 {
        let data = if is_listed == random.random_bool(0.85) { Data::ListAppend } else { Data::RwRegister };
        let asked = Asked::draw(random, data);
        let (finding, first) = one(history, &asked, tally).map_err(|wrong| format!("{asked:?}: {wrong}"))?;
        // Another model of the same history: the truth is one.
        let other = Asked { level: Level::ALL[random.random_range(0..Level::ALL.len())], ..asked.clone() };
        let (second_finding, second) = one(history, &other, tally).map_err(|wrong| format!("{other:?}: {wrong}"))?;
        contradiction(&first, &second).map_or(Ok(()), |level| {
            Err(format!(
                "{asked:?} and {}: one says that {level} is possible, the other that it is ruled out\n{finding:#?}\n{second_finding:#?}",
                other.level
            ))
        })?;
        if history.has_realtime() && random.random_bool(0.3) {
            let history = timeless(history);
            let (_, third) = one(&history, &asked, tally).map_err(|wrong| format!("{asked:?}, timeless: {wrong}"))?;
            contradiction(&first, &third).map_or(Ok(()), |level| {
                Err(format!("{asked:?}: without times it says the opposite of {level}\n{finding:#?}"))
            })?;
        }
    }
    Ok(())
}

/// A model of which one says that it is possible, and the other that it is ruled out.
fn contradiction(a: &Line, b: &Line) -> Option<Level> {
    let is_both = |level: &&Level| {
        a.possible.contains(**level) && b.ruled_out.contains(**level)
            || b.possible.contains(**level) && a.ruled_out.contains(**level)
    };
    Level::ALL.iter().find(is_both).copied()
}

/// One check, by one thread and by two.
fn one(history: &History, asked: &Asked, tally: &mut Tally) -> Result<(Finding, Line), String> {
    let start = Instant::now();
    let judge = |threads: usize| {
        let judged = catch_unwind(AssertUnwindSafe(|| pool(threads).install(|| asked.judge(history))));
        judged.map_err(|_| "it panicked".to_owned())
    };
    let (finding, again) = (judge(1)?, judge(2)?);
    let text = |finding: &Finding| serde_json::to_string(finding).map_err(|error| error.to_string());
    if text(&finding)? != text(&again)? {
        return Err(format!("one thread and two say different things\n{finding:#?}\n{again:#?}"));
    }
    if start.elapsed() > 2 * TIME_MAX {
        return Err(format!("it took {:?}", start.elapsed()));
    }
    let steps = finding.stats.get("steps").and_then(serde_json::Value::as_u64).ok_or("it counts no steps")?;
    // An engine looks at its budget before it takes more, but may take as much as the history is long at a time.
    let steps_max = ENGINES * (asked.budget.steps_max + 64 * history.len() as u64 + 10_000);
    if steps > steps_max {
        return Err(format!("{steps} steps, and not {steps_max}"));
    }
    let line = line(&finding).map_err(|wrong| format!("{wrong}\n{finding:#?}"))?;
    let outcome = finding.outcome();
    let (is_possible, is_out) = (line.possible.contains(asked.level), line.ruled_out.contains(asked.level));
    match outcome {
        Outcome::Valid if !is_possible => return Err(format!("valid, but not possible\n{finding:#?}")),
        Outcome::Invalid if !is_out => return Err(format!("invalid, but not ruled out\n{finding:#?}")),
        Outcome::Unknown if is_out => return Err(format!("ruled out, but not invalid\n{finding:#?}")),
        _ => {}
    }
    witnesses(history, asked, &finding, tally)?;
    *tally.levels.entry(asked.level).or_default() += 1;
    *match outcome {
        Outcome::Valid => &mut tally.valid,
        Outcome::Invalid => &mut tally.invalid,
        Outcome::Unknown => &mut tally.unknown,
    } += 1;
    let is_spent = |gap: &schism_checkers::Gap| matches!(gap, schism_checkers::Gap::BudgetSpent { .. });
    tally.spent += u64::from(finding.gaps.iter().any(is_spent));
    Ok((finding, line))
}

/// Each anomaly is of a kind that is there, stands where it belongs, is counted, and its proof is one.
fn witnesses(history: &History, asked: &Asked, finding: &Finding, tally: &mut Tally) -> Result<(), String> {
    let forbidden = asked.level.forbids();
    // Where lists are not what anybody would read, the code that verifies takes less of their order for certain than is.
    let odd = ["incompatible-order", "duplicate-elements", "garbage-read", "internal", "future-read", "G1a", "G1b"];
    let is_torn =
        asked.data == Data::ListAppend && odd.iter().any(|kind| finding.stats["anomalies_by_kind"].get(kind).is_some());
    let all = finding.anomalies.iter().map(|one| (one, true)).chain(finding.beyond.iter().map(|one| (one, false)));
    for (anomaly, is_asked) in all {
        let kind = AnomalyKind::parse(&anomaly.kind).ok_or_else(|| format!("no kind {}", anomaly.kind))?;
        if forbidden.contains(kind) != is_asked {
            return Err(format!("{} stands on the wrong side", anomaly.kind));
        }
        let counted = finding.stats["anomalies_by_kind"].get(kind.as_str()).and_then(serde_json::Value::as_u64);
        if counted.is_none_or(|count| count == 0) {
            return Err(format!("{} is not counted", anomaly.kind));
        }
        *tally.kinds.entry(anomaly.kind.clone()).or_default() += 1;
        // What the client reported, and what keys are said to be, the code that verifies takes from no one.
        if asked.sources != VersionSources::default() {
            continue;
        }
        match verified::agrees(history, anomaly) {
            Ok(true) => tally.verified += 1,
            Ok(false) => tally.refused += 1,
            Err(_) if !is_plain(history, asked.data) => tally.refused += 1,
            Err(_) if is_torn && !matches!(anomaly.witness, Witness::Micros { .. }) => tally.refused += 1,
            Err(_) if asked.data == Data::ListAppend && has_doubt(history, anomaly) => tally.refused += 1,
            Err(wrong) => tally.doubt(&wrong, history, anomaly),
        }
    }
    Ok(())
}

/// Whether there is nothing but reads, and appends or writes of numbers, of lists each once: of others the code that
/// verifies takes less for certain.
fn is_plain(history: &History, data: Data) -> bool {
    let write = if data == Data::ListAppend { MicroF::Append } else { MicroF::Write };
    let is_number = |value: ValueId| history.value_of(value).as_int().is_some();
    let is_one = |micro: Micro<'_>| match (micro.f, micro.value) {
        (MicroF::Read, MicroValue::One(value)) => value == ValueId::NIL || data == Data::RwRegister && is_number(value),
        (MicroF::Read, _) => data == Data::ListAppend,
        (f, MicroValue::One(value)) => f == write && is_number(value),
        _ => false,
    };
    let txns = || (0..history.len() as u32).filter_map(|index| history.txn(index));
    let mut appended = BTreeSet::new();
    let is_again = |micro: Micro<'_>| match (micro.f, micro.value) {
        (MicroF::Append, MicroValue::One(value)) => !appended.insert((micro.key, history.value_of(value).as_int())),
        _ => false,
    };
    let invoked = (0..history.len() as u32).filter(|&index| history.kind(index) == Kind::Invoke);
    let mut micros = invoked.filter_map(|index| history.txn(index)).flat_map(|txn| txn.micros());
    txns().all(|txn| txn.micros().all(is_one)) && !micros.any(is_again)
}

/// Whether a transaction of a cycle is in doubt, of which the code that verifies knows nothing but what was read of it.
fn has_doubt(history: &History, anomaly: &Anomaly) -> bool {
    let Witness::Cycle { steps, .. } = &anomaly.witness else { return false };
    steps.iter().any(|step| history.call(step.transaction).outcome != Kind::Ok)
}

impl Tally {
    fn doubt(&mut self, wrong: &str, history: &History, anomaly: &Anomaly) {
        let letters = |character: &char| !character.is_ascii_digit();
        let text = format!("{}\n{anomaly:?}", told(history));
        let known = self.doubted.entry(wrong.chars().filter(letters).collect()).or_insert_with(|| text.clone());
        if text.len() < known.len() {
            *known = text;
        }
    }
}

/// A history as text: in one line if it can be said so.
fn told(history: &History) -> String {
    let line = notation::write(history);
    if notation::parse(&line).is_ok() && line.len() < 20_000 {
        return line;
    }
    let mut text = Vec::new();
    let written = jsonl::write(history, &mut text);
    let cut = text.len().min(20_000);
    format!("{written:?} {}", String::from_utf8_lossy(&text[..cut]))
}
