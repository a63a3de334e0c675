//! How fast and how available the database was: figures, no judgement.

use std::collections::BTreeMap;

use schism_history::{Call, History, Kind, RunFacts};
use serde::{Deserialize, Serialize};

use crate::checker::{Budget, Checker};
use crate::span::Span;
use crate::verdict::Finding;

/// Latency, rate, availability and recovery of client operations. Its stats are [`PerfStats`] as JSON. Cost:
/// calls × faults, and a sort.
#[derive(Debug, Clone, Copy, Default)]
pub struct Perf;

/// The figures. In JSON, fields have these names; a figure that does not exist is `null`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PerfStats {
    /// From the first invocation of a client to the last event of one.
    pub duration_ms: f64,
    /// By function (`read`), then by outcome (`ok`, `fail`, `info`).
    pub by_f: BTreeMap<String, BTreeMap<String, Latency>>,
    /// Completions a second over the whole duration, by outcome.
    pub rate_hz: BTreeMap<String, f64>,
    /// Calls that overlap no time at which any fault may have been on (from the beginning of the harm to the proof
    /// that it is gone).
    pub quiet: Availability,
    /// By class of fault: calls that overlap a time at which one of that class was surely on (from the proof that it
    /// landed to the beginning of its healing). A call may count in several classes.
    pub by_class: BTreeMap<String, Availability>,
    /// The longest stretch within the duration in which no `ok` came.
    pub longest_gap: Option<Stretch>,
    /// Each fault that landed, in the order of the facts.
    pub faults: Vec<Recovery>,
}

/// Latencies of some operations: from invocation to completion.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Latency {
    /// How many, those without an answer included.
    pub count: u64,
    /// Half took no longer; nearest rank, among those answered.
    pub p50_ms: Option<f64>,
    /// 95 % took no longer.
    pub p95_ms: Option<f64>,
    /// 99 % took no longer.
    pub p99_ms: Option<f64>,
    /// The longest.
    pub max_ms: Option<f64>,
}

/// How many of some calls were answered `ok` ("no match" is `ok`).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Availability {
    /// Answered `ok`.
    pub ok_count: u64,
    /// All.
    pub count: u64,
    /// The one over the other.
    pub ratio: Option<f64>,
}

/// A stretch of time since the start of the run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// Its beginning.
    pub start_ms: f64,
    /// Its length.
    pub length_ms: f64,
}

/// How soon an operation succeeded after a fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// The fault.
    pub fault_id: u32,
    /// Its class.
    pub class: String,
    /// From the beginning of its healing to the first `ok` after that, of whatever function; `null` if healing never
    /// began or nothing succeeded after. Next to nothing where the fault did not stop the database.
    pub recovery_ms: Option<f64>,
}

impl Checker for Perf {
    fn name(&self) -> &str {
        "perf"
    }

    fn check(&self, history: &History, facts: &RunFacts, _budget: &Budget) -> Finding {
        let mut finding = Finding::default();
        // Every float here is finite, so this is always an object.
        if let Ok(serde_json::Value::Object(stats)) = serde_json::to_value(measure(history, facts)) {
            finding.stats = stats;
        }
        finding
    }
}

/// Measures.
pub fn measure(history: &History, facts: &RunFacts) -> PerfStats {
    let calls: Vec<(Call, Span)> = history.client_calls().map(|call| (call, Span::of_call(history, call))).collect();
    let start_ns = calls.iter().map(|(_, span)| span.from_ns).min().unwrap_or(0);
    let ended = calls.iter().flat_map(|(call, span)| [Some(span.from_ns), call.completion.map(|_| span.to_ns)]);
    let end_ns = ended.flatten().max().unwrap_or(0);
    let oks_ns = oks(&calls);
    PerfStats {
        duration_ms: ms(end_ns - start_ns),
        by_f: by_f(history, &calls),
        rate_hz: rates(&calls, end_ns - start_ns),
        quiet: {
            let spans: Vec<Span> = facts.faults.iter().map(Span::around).collect();
            available(&calls, |span| !spans.iter().any(|fault| fault.overlaps(span)))
        },
        by_class: by_class(facts, &calls),
        longest_gap: longest_gap(&oks_ns, start_ns, end_ns).filter(|_| !calls.is_empty()),
        faults: recoveries(facts, &oks_ns),
    }
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// When each `ok` came, in order.
fn oks(calls: &[(Call, Span)]) -> Vec<u64> {
    let oks = calls.iter().filter(|(call, _)| call.outcome == Kind::Ok);
    let mut oks: Vec<u64> = oks.map(|(_, span)| span.to_ns).collect();
    oks.sort_unstable();
    oks
}

fn by_f(history: &History, calls: &[(Call, Span)]) -> BTreeMap<String, BTreeMap<String, Latency>> {
    let mut lengths: BTreeMap<(&str, &str), (u64, Vec<u64>)> = BTreeMap::new();
    for (call, span) in calls {
        let of = lengths.entry((history.f(call.invoke).as_str(), call.outcome.as_str())).or_default();
        of.0 += 1;
        of.1.extend(call.completion.map(|_| span.to_ns - span.from_ns));
    }
    let mut by_f: BTreeMap<String, BTreeMap<String, Latency>> = BTreeMap::new();
    for ((f, outcome), (count, mut lengths_ns)) in lengths {
        lengths_ns.sort_unstable();
        let at = |percent: usize| quantile(&lengths_ns, percent).map(ms);
        let latency = Latency { count, p50_ms: at(50), p95_ms: at(95), p99_ms: at(99), max_ms: at(100) };
        by_f.entry(f.to_owned()).or_default().insert(outcome.to_owned(), latency);
    }
    by_f
}

/// Nearest rank: the least value that so many per cent do not exceed.
fn quantile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.max(1) - 1).copied()
}

fn rates(calls: &[(Call, Span)], duration_ns: u64) -> BTreeMap<String, f64> {
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for (call, _) in calls.iter().filter(|(call, _)| call.completion.is_some()) {
        *counts.entry(call.outcome.as_str().to_owned()).or_default() += 1.0;
    }
    if duration_ns == 0 {
        return BTreeMap::new();
    }
    counts.into_iter().map(|(outcome, count)| (outcome, count * 1e9 / duration_ns as f64)).collect()
}

fn available(calls: &[(Call, Span)], wanted: impl Fn(Span) -> bool) -> Availability {
    let mut availability = Availability::default();
    for (call, _) in calls.iter().filter(|(_, span)| wanted(*span)) {
        availability.count += 1;
        availability.ok_count += u64::from(call.outcome == Kind::Ok);
    }
    let ratio = availability.ok_count as f64 / availability.count as f64;
    availability.ratio = (availability.count > 0).then_some(ratio);
    availability
}

fn by_class(facts: &RunFacts, calls: &[(Call, Span)]) -> BTreeMap<String, Availability> {
    let mut spans: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
    for fault in &facts.faults {
        spans.entry(&fault.class).or_default().extend(Span::on(fault));
    }
    let measured = spans
        .into_iter()
        .filter(|(_, spans)| !spans.is_empty())
        .map(|(class, spans)| (class.to_owned(), available(calls, |span| spans.iter().any(|on| on.overlaps(span)))));
    measured.collect()
}

fn longest_gap(oks_ns: &[u64], start_ns: u64, end_ns: u64) -> Option<Stretch> {
    let mut before_ns = start_ns;
    let mut longest: Option<(u64, u64)> = None;
    for &ok_ns in oks_ns.iter().chain([&end_ns]) {
        let length_ns = ok_ns.saturating_sub(before_ns);
        if longest.is_none_or(|(_, other_ns)| length_ns > other_ns) {
            longest = Some((before_ns, length_ns));
        }
        before_ns = ok_ns;
    }
    longest.map(|(start_ns, length_ns)| Stretch { start_ms: ms(start_ns), length_ms: ms(length_ns) })
}

fn recoveries(facts: &RunFacts, oks_ns: &[u64]) -> Vec<Recovery> {
    let landed = facts.faults.iter().filter(|fault| fault.landed_ns.is_some());
    let recovery = |heal_ns: u64| {
        let first = oks_ns.partition_point(|&ok_ns| ok_ns < heal_ns);
        oks_ns.get(first).map(|&ok_ns| ms(ok_ns - heal_ns))
    };
    landed
        .map(|fault| Recovery {
            fault_id: fault.fault_id,
            class: fault.class.clone(),
            recovery_ms: fault.heal_start_ns.and_then(recovery),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use schism_history::{FaultWindow, notation};

    use super::*;

    const MS: u64 = 1_000_000;

    fn fault(start_ms: u64, landed_ms: u64, heal_ms: u64, healed_ms: u64) -> FaultWindow {
        FaultWindow {
            roles: Default::default(),
            fault_id: 3,
            class: "kill".to_owned(),
            label: String::new(),
            nodes: Vec::new(),
            start_ns: start_ms * MS,
            landed_ns: Some(landed_ms * MS),
            heal_start_ns: Some(heal_ms * MS),
            healed_ns: Some(healed_ms * MS),
            evidence: Vec::new(),
        }
    }

    #[test]
    fn figures() {
        // ms:           0-1  2..5      3-4   6-7   8-9    10...
        let line = "0:w1 0:r( 1:w2 0)2 0:r! 0:w3? 1:w4(";
        let history = notation::parse(line).unwrap();
        let facts = RunFacts { faults: vec![fault(5, 6, 7, 9)], ..RunFacts::default() };
        let stats = measure(&history, &facts);
        assert_eq!(stats.duration_ms, 10.0);
        let one = |ms| Latency { count: 1, p50_ms: ms, p95_ms: ms, p99_ms: ms, max_ms: ms };
        assert_eq!(stats.by_f["read"]["ok"], one(Some(3.0)));
        assert_eq!(stats.by_f["read"]["fail"], one(Some(1.0)));
        assert_eq!(stats.by_f["write"]["ok"].count, 2);
        let doubt = &stats.by_f["write"]["info"];
        assert_eq!((doubt.count, doubt.max_ms), (2, Some(1.0)), "one of them was never answered");
        assert_eq!(stats.rate_hz["ok"], 300.0);
        assert_eq!(stats.quiet, Availability { ok_count: 2, count: 3, ratio: Some(2.0 / 3.0) });
        assert_eq!(stats.by_class["kill"], Availability { ok_count: 0, count: 1, ratio: Some(0.0) });
        assert_eq!(stats.longest_gap, Some(Stretch { start_ms: 5.0, length_ms: 5.0 }));
        assert_eq!(stats.faults[0].recovery_ms, None);
        let finding = Perf.check(&history, &facts, &Budget::default());
        let again: PerfStats = serde_json::from_value(serde_json::Value::Object(finding.stats)).unwrap();
        assert_eq!(again, stats);
    }

    #[test]
    fn recovery_is_the_first_ok_after_healing_began() {
        let history = notation::parse("0:w1 0:w2 0:w3").unwrap();
        let facts = RunFacts { faults: vec![fault(0, 1, 2, 9)], ..RunFacts::default() };
        assert_eq!(measure(&history, &facts).faults[0].recovery_ms, Some(1.0));
    }

    #[test]
    fn nearest_ranks() {
        let hundred: Vec<u64> = (1..=100).collect();
        for (percent, expected) in [(50, 50), (95, 95), (99, 99), (100, 100)] {
            assert_eq!(quantile(&hundred, percent), Some(expected));
        }
        assert_eq!((quantile(&[], 50), quantile(&[4], 50), quantile(&[1, 2, 3], 50)), (None, Some(4), Some(2)));
    }

    #[test]
    fn nothing_to_measure() {
        assert_eq!(measure(&History::default(), &RunFacts::default()), PerfStats::default());
    }
}
