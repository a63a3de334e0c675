//! What is done to a link when several rules name it, and which rules make sense.

use schism_cluster::link::{Distribution, LinkShape};

const MILLION: u64 = 1_000_000;

/// The longest delay, and the widest jitter, that a rule may ask for: an hour.
const DELAY_US_MAX: u64 = 3_600 * MILLION;

/// Adds one rule to another. Delays add; jitters add as independent deviations do (root of the sum of squares), with
/// the distribution of the wider one; chances a and b become 1 - (1 - a)(1 - b); the stronger correlation stays; the lower
/// rate stays; one hold holds and one cut cuts. Nothing added to a shape leaves it as it is, in any order.
pub(crate) fn add(one: &LinkShape, other: &LinkShape) -> LinkShape {
    let wider = if other.jitter_us > one.jitter_us { other } else { one };
    let (a, b) = (one.jitter_us as f64, other.jitter_us as f64);
    LinkShape {
        delay_us: one.delay_us.saturating_add(other.delay_us),
        // Rounded, as a root of a square must be the number again.
        jitter_us: a.hypot(b).round() as u64,
        distribution: wider.distribution,
        loss_ppm: either(one.loss_ppm, other.loss_ppm),
        loss_correlation_ppm: one.loss_correlation_ppm.max(other.loss_correlation_ppm),
        duplicate_ppm: either(one.duplicate_ppm, other.duplicate_ppm),
        reorder_ppm: either(one.reorder_ppm, other.reorder_ppm),
        corrupt_ppm: either(one.corrupt_ppm, other.corrupt_ppm),
        rate_bits_per_s: slower(one.rate_bits_per_s, other.rate_bits_per_s),
        hold: one.hold || other.hold,
        cut: one.cut || other.cut,
    }
}

fn either(a: u32, b: u32) -> u32 {
    let (a, b) = (u64::from(a).min(MILLION), u64::from(b).min(MILLION));
    // At most a million, so it fits.
    (a + b - a * b / MILLION) as u32
}

/// 0 is no limit.
fn slower(a: u64, b: u64) -> u64 {
    if a == 0 || b == 0 { a.max(b) } else { a.min(b) }
}

/// Whether a rule can be followed.
///
/// # Errors
/// The first number that cannot be, in words.
pub(crate) fn check(shape: &LinkShape) -> Result<(), String> {
    for (name, ppm) in [
        ("loss_ppm", shape.loss_ppm),
        ("loss_correlation_ppm", shape.loss_correlation_ppm),
        ("duplicate_ppm", shape.duplicate_ppm),
        ("reorder_ppm", shape.reorder_ppm),
        ("corrupt_ppm", shape.corrupt_ppm),
    ] {
        if u64::from(ppm) > MILLION {
            return Err(format!("{name} is {ppm}; of a million packets at most a million can be hit"));
        }
    }
    for (name, us) in [("delay_us", shape.delay_us), ("jitter_us", shape.jitter_us)] {
        if us > DELAY_US_MAX {
            return Err(format!(
                "{name} is {us}; the most is {DELAY_US_MAX}, which is an hour (use `hold` for longer)"
            ));
        }
    }
    Ok(())
}

/// The longest that a packet of this shape can wait, the rate aside (see [`crate::switch::chance::delay_ns`]).
pub(crate) fn delay_ns_max(shape: &LinkShape) -> u64 {
    let deviations = match shape.distribution {
        Distribution::Uniform => 1,
        Distribution::Normal => 9,
        Distribution::Pareto => 20,
    };
    shape.delay_us.saturating_add(shape.jitter_us.saturating_mul(deviations)).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_add_up() {
        let one = LinkShape {
            delay_us: 100,
            jitter_us: 30,
            distribution: Distribution::Normal,
            loss_ppm: 500_000,
            loss_correlation_ppm: 7,
            rate_bits_per_s: 9,
            ..LinkShape::default()
        };
        let other = LinkShape {
            delay_us: 50,
            jitter_us: 40,
            distribution: Distribution::Pareto,
            loss_ppm: 500_000,
            duplicate_ppm: 3,
            reorder_ppm: 1_000_000,
            corrupt_ppm: 5,
            rate_bits_per_s: 4,
            hold: true,
            cut: true,
            ..LinkShape::default()
        };
        let both = LinkShape {
            delay_us: 150,
            jitter_us: 50,
            distribution: Distribution::Pareto,
            loss_ppm: 750_000,
            loss_correlation_ppm: 7,
            duplicate_ppm: 3,
            reorder_ppm: 1_000_000,
            corrupt_ppm: 5,
            rate_bits_per_s: 4,
            hold: true,
            cut: true,
        };
        assert_eq!(add(&one, &other), both);
        assert_eq!(add(&other, &one), both);
        let nothing = LinkShape::default();
        for shape in [&one, &other, &both] {
            assert_eq!(&add(shape, &nothing), shape);
            assert_eq!(&add(&nothing, shape), shape);
        }
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused_by_name() {
        let base = LinkShape::default;
        assert_eq!(check(&base()), Ok(()));
        assert_eq!(check(&LinkShape { loss_ppm: 1_000_000, delay_us: DELAY_US_MAX, ..base() }), Ok(()));
        for (shape, name) in [
            (LinkShape { loss_ppm: 1_000_001, ..base() }, "loss_ppm"),
            (LinkShape { loss_correlation_ppm: u32::MAX, ..base() }, "loss_correlation_ppm"),
            (LinkShape { duplicate_ppm: 1_000_001, ..base() }, "duplicate_ppm"),
            (LinkShape { reorder_ppm: 1_000_001, ..base() }, "reorder_ppm"),
            (LinkShape { corrupt_ppm: 1_000_001, ..base() }, "corrupt_ppm"),
            (LinkShape { delay_us: u64::MAX, ..base() }, "delay_us"),
            (LinkShape { jitter_us: DELAY_US_MAX + 1, ..base() }, "jitter_us"),
        ] {
            let said = check(&shape).unwrap_err();
            assert!(said.starts_with(&format!("{name} is ")), "{said}");
        }
    }
}
