//! A scale of time for drawings of few operations: it keeps the order of events exact and every stretch between two
//! events visible, shortens long stretches and says so.

/// A stretch between two events that is drawn shorter than to scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Break {
    /// Where its middle is.
    pub(super) x: f64,
    /// How long it is.
    pub(super) length_ns: u64,
}

/// The scale. Events are places in their order; two events may have the same time and are still apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    times_ns: Vec<u64>,
    x: Vec<f64>,
    breaks: Vec<Break>,
    even: bool,
}

impl Scale {
    /// Lays events (their times in their order) from `left` over `width`. No stretch is narrower than `least`, nor
    /// wider than a third of the whole, unless there are too few. Times that go back are taken as the latest so far.
    pub(super) fn new(times_ns: &[u64], left: f64, width: f64, least: f64) -> Scale {
        let mut times = times_ns.to_vec();
        for place in 1..times.len() {
            times[place] = times[place].max(times[place - 1]);
        }
        let lengths: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let stretches = lengths.len().max(1) as f64;
        let least = least.min(width / stretches);
        let most = (width / 3.0).max(width / stretches * 1.5);
        let wanted = |per_ns: f64| lengths.iter().map(move |&length| (length as f64 * per_ns).clamp(least, most));
        let per_ns = solve(width, |per_ns| wanted(per_ns).sum());
        let mut widths: Vec<f64> = wanted(per_ns).collect();
        let sum: f64 = widths.iter().sum();
        if sum > 0.0 {
            widths.iter_mut().for_each(|stretch| *stretch *= width / sum);
        }
        let mut x = vec![left];
        let mut breaks = Vec::new();
        let mut at = left;
        for (&length_ns, stretch) in lengths.iter().zip(&widths) {
            if length_ns as f64 * per_ns > most * 1.05 {
                breaks.push(Break { x: at + stretch / 2.0, length_ns });
            }
            at += stretch;
            x.push(at);
        }
        let even = breaks.is_empty() && lengths.iter().all(|&length| length as f64 * per_ns >= least * 0.95);
        Scale { times_ns: times, x, breaks, even }
    }

    /// Where an event is, by its place.
    pub(super) fn event(&self, place: usize) -> f64 {
        self.x.get(place).or(self.x.last()).copied().unwrap_or(0.0)
    }

    /// Where a moment is; moments before the first and after the last event are at the ends.
    pub(super) fn moment(&self, ns: u64) -> f64 {
        let next = self.times_ns.partition_point(|&time| time <= ns);
        if next == 0 || next == self.times_ns.len() {
            return self.event(next.saturating_sub(usize::from(next > 0)));
        }
        let (from, to) = (self.times_ns[next - 1], self.times_ns[next]);
        let share = (ns - from) as f64 / (to - from).max(1) as f64;
        self.x[next - 1] + (self.x[next] - self.x[next - 1]) * share
    }

    /// Stretches that are shortened.
    pub(super) fn breaks(&self) -> &[Break] {
        &self.breaks
    }

    /// Whether every stretch is to scale.
    pub(super) fn is_even(&self) -> bool {
        self.even
    }
}

/// The factor at which a sum that grows with it reaches `width`, by bisection; the largest where it never does.
fn solve(width: f64, sum: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (1e-18f64, 1e6f64);
    for _ in 0..200 {
        let middle = (low * high).sqrt();
        if sum(middle) < width {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn order_is_kept_and_every_stretch_shows() {
        let cases: [&[u64]; 6] = [
            &[0, 1, 2, 2_900 * MS, 2_901 * MS],
            &[5, 5, 5, 5],
            &[7],
            &[0, u64::MAX],
            &[10, 3, 12],
            &[0, 3 * MS, 6 * MS, 9 * MS],
        ];
        for times in cases {
            let scale = Scale::new(times, 10.0, 800.0, 14.0);
            for place in 1..times.len() {
                let stretch = scale.event(place) - scale.event(place - 1);
                assert!(stretch >= 13.0, "{times:?}: {stretch}");
            }
            assert_eq!(scale.event(0), 10.0);
            if times.len() > 1 {
                assert!((scale.event(times.len() - 1) - 810.0).abs() < 1e-6, "{times:?}");
            }
        }
    }

    #[test]
    fn long_stretches_are_shortened_and_said() {
        let scale = Scale::new(&[0, 3 * MS, 2_500 * MS, 2_504 * MS, 5_400 * MS, 5_401 * MS], 0.0, 900.0, 14.0);
        let lengths: Vec<u64> = scale.breaks().iter().map(|cut| cut.length_ns / MS).collect();
        assert_eq!(lengths, [2_497, 2_896]);
        assert!(!scale.is_even());
        assert!(Scale::new(&[0, 3 * MS, 6 * MS, 10 * MS], 0.0, 900.0, 14.0).is_even());
    }

    #[test]
    fn moments_lie_between_their_events() {
        let scale = Scale::new(&[100, 200, 300], 0.0, 100.0, 1.0);
        assert_eq!(scale.moment(0), 0.0);
        assert_eq!(scale.moment(100), 0.0);
        assert!((scale.moment(150) - 25.0).abs() < 1e-6);
        assert_eq!(scale.moment(u64::MAX), scale.event(2));
        assert_eq!(Scale::new(&[], 4.0, 100.0, 1.0).moment(7), 4.0);
    }
}
