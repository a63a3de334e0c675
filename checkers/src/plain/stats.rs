//! Counts per function and outcome. Never a gap or an anomaly: what the counts mean is for `run` to say.

use std::collections::BTreeMap;

use schism_history::{Call, History, Kind, RunFacts};
use serde::Serialize;
use serde_json::json;

use crate::checker::{Budget, Checker};
use crate::verdict::Finding;

/// Counts client operations. One pass.
///
/// Stats: `{"all": COUNTS, "by_f": {"read": COUNTS, ...}}`, where COUNTS is
/// `{"invoked_count", "ok_count", "fail_count", "info_count", "unmatched_count"}`: an operation that was never answered
/// counts as `info`, and a compare-and-set that answered "no match" as `ok` and as unmatched.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stats;

/// How the operations of one function ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All.
    pub invoked_count: u64,
    /// Took effect.
    pub ok_count: u64,
    /// Did not take effect.
    pub fail_count: u64,
    /// Nobody knows, or never answered.
    pub info_count: u64,
    /// Compare-and-sets among the `ok` that answered "no match".
    pub unmatched_count: u64,
}

impl Counts {
    /// Counts one more call.
    pub fn add(&mut self, history: &History, call: Call) {
        self.invoked_count += 1;
        match call.outcome {
            Kind::Ok => self.ok_count += 1,
            Kind::Fail => self.fail_count += 1,
            Kind::Info | Kind::Invoke => self.info_count += 1,
        }
        self.unmatched_count += u64::from(is_unmatched(history, call));
    }

    /// Operations that took effect and did what was asked: `ok` without those that answered "no match".
    pub fn success_count(&self) -> u64 {
        self.ok_count - self.unmatched_count
    }
}

/// Whether a call is a compare-and-set that answered "no match".
pub(crate) fn is_unmatched(history: &History, call: Call) -> bool {
    call.outcome == Kind::Ok && call.completion.and_then(|completion| history.matched(completion)) == Some(false)
}

/// Counts of all client calls, by function.
pub(crate) fn count(history: &History) -> BTreeMap<String, Counts> {
    let mut by_f: Vec<Counts> = vec![Counts::default(); history.functions().len()];
    let mut place_of: rustc_hash::FxHashMap<&schism_history::F, usize> = rustc_hash::FxHashMap::default();
    place_of.extend(history.functions().iter().enumerate().map(|(place, f)| (f, place)));
    for call in history.client_calls() {
        if let Some(&place) = place_of.get(history.f(call.invoke)) {
            by_f[place].add(history, call);
        }
    }
    let named = history.functions().iter().zip(by_f).filter(|(_, counts)| counts.invoked_count > 0);
    named.map(|(f, counts)| (f.as_str().to_owned(), counts)).collect()
}

/// The sum of counts.
pub(crate) fn sum(by_f: &BTreeMap<String, Counts>) -> Counts {
    by_f.values().fold(Counts::default(), |all, counts| Counts {
        invoked_count: all.invoked_count + counts.invoked_count,
        ok_count: all.ok_count + counts.ok_count,
        fail_count: all.fail_count + counts.fail_count,
        info_count: all.info_count + counts.info_count,
        unmatched_count: all.unmatched_count + counts.unmatched_count,
    })
}

impl Checker for Stats {
    fn name(&self) -> &str {
        "stats"
    }

    fn check(&self, history: &History, _facts: &RunFacts, _budget: &Budget) -> Finding {
        let by_f = count(history);
        let mut finding = Finding::default();
        finding.stats.insert("all".to_owned(), json!(sum(&by_f)));
        finding.stats.insert("by_f".to_owned(), json!(by_f));
        finding
    }
}

#[cfg(test)]
mod tests {
    use schism_history::notation;

    use super::*;

    #[test]
    fn counts_each_outcome() {
        let line = "nemesis/kill#1:inject={} 0:w1 0:r1 0:r2 0:w2! 0:w3? 1:c1>2 1:c1>2~ 1:c1>2! 2:w9(";
        let history = notation::parse(line).unwrap();
        let finding = Stats.check(&history, &RunFacts::default(), &Budget::default());
        let counts = |invoked: u64, ok: u64, fail: u64, info: u64, unmatched: u64| {
            json!({"invoked_count": invoked, "ok_count": ok, "fail_count": fail, "info_count": info,
                   "unmatched_count": unmatched})
        };
        assert_eq!(finding.stats["all"], counts(9, 5, 2, 2, 1));
        let by_f = json!({"write": counts(4, 1, 1, 2, 0), "read": counts(2, 2, 0, 0, 0), "cas": counts(3, 2, 1, 0, 1)});
        assert_eq!(finding.stats["by_f"], by_f);
        assert!(finding.gaps.is_empty() && finding.anomalies.is_empty());
    }
}
