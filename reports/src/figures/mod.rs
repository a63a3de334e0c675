//! Figures of a run, computed from its history and its facts in one pass and a few sorts: per function, per class of
//! fault, and over time. They describe; they never judge.
//!
//! Clients wait for an answer before they ask again, so a slow stretch counts fewer calls than a fast one. Shares of
//! calls are therefore always shown beside rates.

mod classes;
mod series;

use schism_history::{History, Kind, RunFacts};

pub use classes::{ClassFigures, Window};
pub use series::{Bucket, Point, Scatter, Series};

/// How calls ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcomes {
    /// Took effect.
    pub ok: u64,
    /// Certainly did not.
    pub fail: u64,
    /// In doubt, those never answered included.
    pub info: u64,
}

impl Outcomes {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.ok + self.fail + self.info
    }

    fn add(&mut self, outcome: Kind) {
        match outcome {
            Kind::Ok => self.ok += 1,
            Kind::Fail => self.fail += 1,
            Kind::Info | Kind::Invoke => self.info += 1,
        }
    }
}

/// Quantiles of latency of calls that ended `ok`, nanoseconds; all 0 if there were none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// Half were at most so slow.
    pub p50_ns: u64,
    /// 95 of 100.
    pub p95_ns: u64,
    /// 99 of 100.
    pub p99_ns: u64,
    /// The slowest.
    pub max_ns: u64,
}

impl Latency {
    /// Sorts what it is given. Nearest-rank quantiles.
    fn of(latencies_ns: &mut [u64]) -> Latency {
        latencies_ns.sort_unstable();
        let at = |percent: usize| {
            let rank = (latencies_ns.len() * percent).div_ceil(100);
            latencies_ns.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        Latency { p50_ns: at(50), p95_ns: at(95), p99_ns: at(99), max_ns: at(100) }
    }
}

/// Figures of one function.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionFigures {
    /// Its name.
    pub f: String,
    /// How its calls ended.
    pub outcomes: Outcomes,
    /// Latency of its `ok` calls.
    pub latency: Latency,
}

/// All figures of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Time of the last event of the history or of the last fault, whichever is later.
    pub end_ns: u64,
    /// From the first invocation of a client to its last event; rates are over this time.
    pub load_ns: u64,
    /// All client calls.
    pub outcomes: Outcomes,
    /// Calls that were never answered; they count as in doubt.
    pub unanswered: u64,
    /// Per function, in order of first appearance.
    pub functions: Vec<FunctionFigures>,
    /// Time without any fault.
    pub quiet: ClassFigures,
    /// Per class of fault, in order of name.
    pub classes: Vec<ClassFigures>,
    /// Fault windows in order of their beginning.
    pub windows: Vec<Window>,
}

impl Figures {
    /// Whether the history tells times that can be real ones; without them there is no rate and no latency.
    pub fn is_timed(&self) -> bool {
        crate::words::is_timed(self.outcomes.total(), self.load_ns)
    }
}

/// A client call, as far as figures need it.
#[derive(Debug, Clone, Copy)]
struct Sample {
    invoked_ns: u64,
    /// `None`: never answered.
    ended_ns: Option<u64>,
    outcome: Kind,
    function: u16,
}

impl Sample {
    fn latency_ns(&self) -> Option<u64> {
        self.ended_ns.map(|ended| ended.saturating_sub(self.invoked_ns))
    }
}

fn samples(history: &History) -> Vec<Sample> {
    let functions = history.functions();
    let mut last = 0usize;
    history
        .client_calls()
        .map(|call| {
            let f = history.f(call.invoke);
            if functions.get(last) != Some(f) {
                last = functions.iter().position(|other| other == f).unwrap_or(0);
            }
            let invoked_ns = history.time_ns(call.invoke);
            Sample {
                invoked_ns,
                // A clock that went back between the two measured nothing.
                ended_ns: call.completion.map(|completion| history.time_ns(completion).max(invoked_ns)),
                outcome: call.outcome,
                function: last as u16,
            }
        })
        .collect()
}

/// What [`Figures::of`] hands on to the plots.
#[derive(Debug)]
pub struct Measured {
    /// The figures.
    pub figures: Figures,
    samples: Vec<Sample>,
}

impl Measured {
    /// Measures. About 40 bytes of memory a call; sorts latencies a few times.
    pub fn of(history: &History, facts: &RunFacts) -> Measured {
        let samples = samples(history);
        let last_event = samples.iter().map(|sample| sample.ended_ns.unwrap_or(sample.invoked_ns)).max().unwrap_or(0);
        let first_event = samples.iter().map(|sample| sample.invoked_ns).min().unwrap_or(0);
        let windows = Window::all(facts, last_event);
        let end_ns = windows.iter().map(|window| window.end_ns).max().unwrap_or(0).max(last_event);
        let mut outcomes = Outcomes::default();
        for sample in &samples {
            outcomes.add(sample.outcome);
        }
        let (quiet, classes) = classes::measure(&samples, &windows, facts, first_event, last_event);
        let figures = Figures {
            end_ns,
            load_ns: last_event - first_event,
            outcomes,
            unanswered: samples.iter().filter(|sample| sample.ended_ns.is_none()).count() as u64,
            functions: functions(history, &samples),
            quiet,
            classes,
            windows,
        };
        Measured { figures, samples }
    }

    /// Rates and quantiles over time; see [`Series`].
    pub fn series(&self) -> Series {
        Series::of(&self.samples, self.figures.end_ns)
    }

    /// Points of the latency plot; see [`Scatter`].
    pub fn scatter(&self) -> Scatter {
        Scatter::of(&self.samples, self.figures.end_ns)
    }
}

fn functions(history: &History, samples: &[Sample]) -> Vec<FunctionFigures> {
    let mut latencies: Vec<Vec<u64>> = vec![Vec::new(); history.functions().len()];
    let mut outcomes = vec![Outcomes::default(); history.functions().len()];
    for sample in samples {
        let function = sample.function as usize;
        outcomes[function].add(sample.outcome);
        if let (Kind::Ok, Some(latency)) = (sample.outcome, sample.latency_ns()) {
            latencies[function].push(latency);
        }
    }
    let measured = history.functions().iter().zip(outcomes).zip(&mut latencies);
    measured
        .filter(|((_, outcomes), _)| outcomes.total() > 0)
        .map(|((f, outcomes), latencies)| FunctionFigures {
            f: f.as_str().to_owned(),
            outcomes,
            latency: Latency::of(latencies),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_rank() {
        assert_eq!(Latency::of(&mut []), Latency::default());
        assert_eq!(Latency::of(&mut [7]), Latency { p50_ns: 7, p95_ns: 7, p99_ns: 7, max_ns: 7 });
        let mut hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(Latency::of(&mut hundred), Latency { p50_ns: 50, p95_ns: 95, p99_ns: 99, max_ns: 100 });
    }
}
