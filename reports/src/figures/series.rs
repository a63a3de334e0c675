//! Rates and latencies over time, and the sample of points of the latency plot.

use schism_history::Kind;

use super::{Latency, Outcomes, Sample};

/// Most slices of time in a plot.
const BUCKETS_MAX: u64 = 150;

/// Most points in the latency plot; it keeps a page of a million calls small.
const POINTS_MAX: usize = 4_000;

/// Slices of time of which the fastest and the slowest `ok` call are always shown.
const EXTREME_SLICES: usize = 400;

/// One slice of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    /// Calls by the time at which they *ended* (those never answered are not in it).
    pub ended: Outcomes,
    /// Latency of `ok` calls by the time at which they *began*; `None` if there were none.
    pub latency: Option<Latency>,
}

/// Rates and quantiles over time, in slices of equal width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Width of a slice: 1, 2 or 5 times a power of ten.
    pub width_ns: u64,
    /// The slices, from the start of the run.
    pub buckets: Vec<Bucket>,
}

/// The smallest 1, 2 or 5 times a power of ten that cuts a time into at most [`BUCKETS_MAX`] slices.
fn width_ns(end_ns: u64) -> u64 {
    let mut power = 1u64;
    loop {
        for step in [1, 2, 5] {
            let Some(width) = power.checked_mul(step) else { return u64::MAX };
            if end_ns / width < BUCKETS_MAX {
                return width;
            }
        }
        let Some(next) = power.checked_mul(10) else { return u64::MAX };
        power = next;
    }
}

impl Series {
    pub(super) fn of(samples: &[Sample], end_ns: u64) -> Series {
        let width_ns = width_ns(end_ns);
        let slices = (end_ns / width_ns + 1) as usize;
        let place = |moment: u64| ((moment / width_ns) as usize).min(slices - 1);
        let mut buckets = vec![Bucket::default(); slices];
        let mut latencies: Vec<Vec<u64>> = vec![Vec::new(); slices];
        for sample in samples {
            let (Some(ended), Some(latency)) = (sample.ended_ns, sample.latency_ns()) else { continue };
            buckets[place(ended)].ended.add(sample.outcome);
            if sample.outcome == Kind::Ok {
                latencies[place(sample.invoked_ns)].push(latency);
            }
        }
        for (bucket, latencies) in buckets.iter_mut().zip(&mut latencies) {
            bucket.latency = (!latencies.is_empty()).then(|| Latency::of(latencies));
        }
        Series { width_ns, buckets }
    }
}

/// A point of the latency plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// When the call began.
    pub at_ns: u64,
    /// How long it took.
    pub latency_ns: u64,
    /// How it ended.
    pub outcome: Kind,
}

/// The points of the latency plot: all calls that ended, or a sample that is the same for the same history. The sample
/// keeps every call that did not end `ok` (an even choice of them where they are too many), the fastest and the slowest
/// `ok` call of each slice of time, and an even choice of the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scatter {
    /// What is drawn, in order of invocation.
    pub points: Vec<Point>,
    /// How many there are to draw.
    pub of_count: u64,
    /// Whether every call that did not end `ok` is among the points.
    pub all_not_ok: bool,
}

impl Scatter {
    pub(super) fn of(samples: &[Sample], end_ns: u64) -> Scatter {
        let all: Vec<Point> = samples
            .iter()
            .filter_map(|sample| {
                let latency_ns = sample.latency_ns()?;
                Some(Point { at_ns: sample.invoked_ns, latency_ns, outcome: sample.outcome })
            })
            .collect();
        let of_count = all.len() as u64;
        if all.len() <= POINTS_MAX {
            return Scatter { points: all, of_count, all_not_ok: true };
        }
        let (ok, not_ok): (Vec<usize>, Vec<usize>) = (0..all.len()).partition(|&place| all[place].outcome == Kind::Ok);
        let room_not_ok = (POINTS_MAX / 2).max(POINTS_MAX.saturating_sub(ok.len()));
        let all_not_ok = not_ok.len() <= room_not_ok;
        let mut chosen = evenly(&not_ok, room_not_ok);
        let extremes = extremes(&all, &ok, end_ns);
        let room = POINTS_MAX.saturating_sub(chosen.len() + extremes.len());
        chosen.extend(evenly(&ok, room));
        chosen.extend(extremes);
        chosen.sort_unstable();
        chosen.dedup();
        Scatter { points: chosen.into_iter().map(|place| all[place]).collect(), of_count, all_not_ok }
    }
}

/// At most so many of the items, evenly spread.
fn evenly(items: &[usize], count_max: usize) -> Vec<usize> {
    if items.len() <= count_max {
        return items.to_vec();
    }
    (0..count_max).map(|place| items[place * items.len() / count_max]).collect()
}

/// The fastest and the slowest of the `ok` points in each slice of time.
fn extremes(all: &[Point], ok: &[usize], end_ns: u64) -> Vec<usize> {
    let mut slices: Vec<Option<(usize, usize)>> = vec![None; EXTREME_SLICES];
    for &place in ok {
        let slice = (u128::from(all[place].at_ns) * EXTREME_SLICES as u128 / (u128::from(end_ns) + 1)) as usize;
        let slice = &mut slices[slice.min(EXTREME_SLICES - 1)];
        let (low, high) = slice.unwrap_or((place, place));
        let low = if all[place].latency_ns < all[low].latency_ns { place } else { low };
        let high = if all[place].latency_ns > all[high].latency_ns { place } else { high };
        *slice = Some((low, high));
    }
    slices.into_iter().flatten().flat_map(|(low, high)| [low, high]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(place: u64, outcome: Kind) -> Sample {
        let invoked_ns = place * 1_000;
        let latency = 1_000_000 + place * 7_919 % 1_000;
        Sample { invoked_ns, ended_ns: Some(invoked_ns + latency), outcome, function: 0 }
    }

    #[test]
    fn widths() {
        for (end, width) in
            [(0, 1), (149, 1), (150, 2), (60_000_000_000, 500_000_000), (u64::MAX, 200_000_000_000_000_000)]
        {
            assert_eq!(width_ns(end), width, "{end}");
        }
    }

    #[test]
    fn few_points_are_all_shown() {
        let samples: Vec<Sample> = (0..100).map(|place| sample(place, Kind::Ok)).collect();
        let scatter = Scatter::of(&samples, 2_000_000);
        assert_eq!((scatter.points.len(), scatter.of_count, scatter.all_not_ok), (100, 100, true));
    }

    #[test]
    fn many_points_keep_what_stands_out() {
        let mut samples: Vec<Sample> =
            (0..50_000).map(|place| sample(place, if place % 100 == 0 { Kind::Info } else { Kind::Ok })).collect();
        samples[31_337].ended_ns = Some(90_000_000_000);
        samples[40_001].ended_ns = None;
        let scatter = Scatter::of(&samples, 90_000_000_000);
        assert!(scatter.points.len() <= POINTS_MAX && scatter.points.len() > POINTS_MAX / 2);
        assert_eq!(scatter.of_count, 49_999, "the one never answered has no latency");
        assert!(scatter.all_not_ok);
        assert_eq!(scatter.points.iter().filter(|point| point.outcome == Kind::Info).count(), 500);
        assert!(scatter.points.iter().any(|point| point.latency_ns > 80_000_000_000), "the slowest is kept");
        assert_eq!(scatter, Scatter::of(&samples, 90_000_000_000));

        for sample in &mut samples {
            sample.outcome = Kind::Fail;
        }
        let scatter = Scatter::of(&samples, 90_000_000_000);
        assert!(!scatter.all_not_ok && scatter.points.len() <= POINTS_MAX);
    }

    #[test]
    fn slices_count_what_ended_in_them() {
        let samples = [sample(0, Kind::Ok), sample(1, Kind::Fail), Sample { ended_ns: None, ..sample(2, Kind::Info) }];
        let series = Series::of(&samples, 2_000_000);
        let ended: u64 = series.buckets.iter().map(|bucket| bucket.ended.total()).sum();
        assert_eq!(ended, 2);
        assert_eq!(series.buckets[0].latency.map(|latency| latency.max_ns), Some(1_000_000));
        assert_eq!(series.buckets.iter().filter(|bucket| bucket.latency.is_some()).count(), 1);
    }
}
