//! The chances of a link: whether a packet is lost, and how long it waits.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_cluster::link::{Distribution, LinkShape};

const MILLION: u32 = 1_000_000;

/// Whether something that befalls so many of a million befalls this one.
pub(crate) fn strikes(chance: &mut ChaCha8Rng, ppm: u32) -> bool {
    ppm > 0 && chance.random_range(0..MILLION) < ppm
}

/// Whether a packet is lost, given whether the one before was: a chain of two states (Gilbert 1960, "Capacity of a
/// burst-noise channel", with all lost in the bad state and none in the good one). In the long run `loss_ppm` are lost
/// whatever the correlation is, and the correlation is that of one packet's fate with the next one's. netem's own way
/// (an average of draws) loses fewer than asked for where there is a correlation. `before` is `None` for the first.
pub(crate) fn is_lost(chance: &mut ChaCha8Rng, shape: &LinkShape, before: Option<bool>) -> bool {
    let (loss, correlation) = (u64::from(shape.loss_ppm), u64::from(shape.loss_correlation_ppm));
    let million = u64::from(MILLION);
    let ppm = match before {
        None => loss,
        Some(true) => loss + correlation * million.saturating_sub(loss) / million,
        Some(false) => loss * million.saturating_sub(correlation) / million,
    };
    strikes(chance, u32::try_from(ppm).unwrap_or(MILLION))
}

/// How long a packet waits, the rate aside. Its mean is the delay where that is several jitters; waits below 0 are 0.
/// `Uniform` lies within a jitter of the delay. `Normal` and `Pareto` have the jitter as standard deviation; the latter has the
/// shape 3, so that its tail goes down with the cube, and is cut at 20 deviations (once in 6 600 packets).
pub(crate) fn delay_ns(chance: &mut ChaCha8Rng, shape: &LinkShape) -> u64 {
    if shape.jitter_us == 0 {
        return shape.delay_us.saturating_mul(1_000);
    }
    // In (0, 1].
    let uniform = |chance: &mut ChaCha8Rng| 1.0 - chance.random::<f64>();
    let deviations = match shape.distribution {
        Distribution::Uniform => 2.0 * uniform(chance) - 1.0,
        Distribution::Normal => {
            let (radius, turn) = (uniform(chance), uniform(chance));
            (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
        }
        Distribution::Pareto => ((uniform(chance).powf(-1.0 / 3.0) - PARETO_MEAN) / PARETO_DEVIATION).min(20.0),
    };
    let us = shape.delay_us as f64 + deviations * shape.jitter_us as f64;
    // What is below 0 becomes 0; a rule's numbers are far below what would not fit.
    (us * 1_000.0) as u64
}

/// Of the Pareto distribution of shape 3 and scale 1: a / (a - 1), and the root of a / ((a - 1)² (a - 2)).
const PARETO_MEAN: f64 = 1.5;
const PARETO_DEVIATION: f64 = 0.866_025_403_784_438_6;

#[cfg(test)]
mod tests {
    use super::*;
    use schism_history::Seed;

    /// Mean and standard deviation.
    fn moments(values: &[f64]) -> (f64, f64) {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        (mean, (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt())
    }

    #[test]
    fn delays_have_their_mean_and_deviation() {
        // The deviation of a uniform one is its half width over the root of three.
        for (distribution, deviation_ms, tolerance) in [
            (Distribution::Uniform, 5.0 / 3.0_f64.sqrt(), 0.02),
            (Distribution::Normal, 5.0, 0.02),
            // Heavy tails converge slowly, and the cut takes some away.
            (Distribution::Pareto, 5.0, 0.15),
        ] {
            let shape = LinkShape { delay_us: 100_000, jitter_us: 5_000, distribution, ..LinkShape::default() };
            let mut chance = Seed(1).stream("delays");
            let waits: Vec<f64> = (0..200_000).map(|_| delay_ns(&mut chance, &shape) as f64 / 1e6).collect();
            let (mean, deviation) = moments(&waits);
            assert!((mean - 100.0).abs() < 0.1, "{distribution:?}: mean {mean} ms");
            assert!((deviation / deviation_ms - 1.0).abs() < tolerance, "{distribution:?}: deviation {deviation} ms");
            let longest = waits.iter().copied().fold(0.0, f64::max);
            let shortest = waits.iter().copied().fold(f64::INFINITY, f64::min);
            assert!(longest * 1e6 <= crate::switch::shape::delay_ns_max(&shape) as f64, "{distribution:?}: {longest}");
            match distribution {
                Distribution::Uniform => assert!((95.0..95.1).contains(&shortest) && longest > 104.9, "{shortest}"),
                Distribution::Normal => assert!(shortest < 82.0 && longest > 118.0, "{shortest} {longest}"),
                // Never far below, at times far above.
                Distribution::Pareto => assert!(shortest > 97.1 && longest > 180.0, "{shortest} {longest}"),
            }
        }
    }

    #[test]
    fn delays_never_go_below_nothing() {
        let shape =
            LinkShape { delay_us: 1, jitter_us: 1_000_000, distribution: Distribution::Normal, ..LinkShape::default() };
        let mut chance = Seed(2).stream("delays");
        let waits: Vec<u64> = (0..1000).map(|_| delay_ns(&mut chance, &shape)).collect();
        assert!(waits.contains(&0) && waits.iter().all(|wait| *wait < 10_000_000_000));
    }

    #[test]
    fn losses_come_as_often_as_asked_and_in_bursts_as_long_as_asked() {
        for (loss_ppm, loss_correlation_ppm) in
            [(300_000, 0), (300_000, 500_000), (100_000, 900_000), (500_000, 1_000), (10_000, 250_000)]
        {
            let shape = LinkShape { loss_ppm, loss_correlation_ppm, ..LinkShape::default() };
            let mut chance = Seed(3).stream("losses");
            let mut lost: Vec<bool> = Vec::new();
            for _ in 0..1_000_000 {
                let next = is_lost(&mut chance, &shape, lost.last().copied());
                lost.push(next);
            }
            let values: Vec<f64> = lost.iter().map(|lost| f64::from(u8::from(*lost))).collect();
            let (mean, deviation) = moments(&values);
            let together = values.windows(2).map(|two| (two[0] - mean) * (two[1] - mean)).sum::<f64>();
            let correlation = together / values.len() as f64 / deviation.powi(2);
            let (wanted, wanted_correlation) = (f64::from(loss_ppm) / 1e6, f64::from(loss_correlation_ppm) / 1e6);
            assert!((mean / wanted - 1.0).abs() < 0.03, "loss {mean}, wanted {wanted}");
            assert!((correlation - wanted_correlation).abs() < 0.01, "{correlation}, wanted {wanted_correlation}");
            // A burst ends with the chance of passing after a loss.
            let bursts = lost.windows(2).filter(|two| !two[0] && two[1]).count() as f64;
            let length = values.iter().sum::<f64>() / bursts;
            let wanted_length = 1.0 / ((1.0 - wanted) * (1.0 - wanted_correlation));
            assert!((length / wanted_length - 1.0).abs() < 0.04, "bursts of {length}, wanted {wanted_length}");
        }
    }

    #[test]
    fn nothing_and_everything_are_certain() {
        let mut chance = Seed(4).stream("certain");
        let all = LinkShape { loss_ppm: 1_000_000, loss_correlation_ppm: 500_000, ..LinkShape::default() };
        let none = LinkShape { loss_correlation_ppm: 1_000_000, ..LinkShape::default() };
        for before in [None, Some(true)] {
            assert!((0..1000).all(|_| is_lost(&mut chance, &all, before)), "{before:?}");
        }
        for before in [None, Some(false)] {
            assert!((0..1000).all(|_| !is_lost(&mut chance, &none, before)), "{before:?}");
        }
    }
}
