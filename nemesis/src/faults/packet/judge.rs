//! Judges samples of links: is what was asked for there, or gone?
//!
//! Shares (lost, doubled, damaged) are judged by a normal bound of the binomial distribution at 4.5 standard deviations
//! for each link (one sound fault in 100 000 would be missed), widened for losses that come in bursts, and the number of
//! datagrams is chosen so that seeing none at all of a share that is there has a chance below 1 in 10 000 (over all
//! links together). A fault is gone when less than a third of its share is left. Delays are medians of round trips, less
//! those before: at least four fifths of what was asked must be there, and less than half of it (but up to 3 ms, for
//! noise) once it is gone; where the machine itself is too busy for that, the fastest of all round trips says it. A rate may be passed by a fifth, and half as much again must pass once it is gone.
//!
//! A link that looks wrong while another fault is at work on one of its ends is excused, and no fault is proven by excuses
//! alone; that a fault is gone then rests on its undo, which checks itself.

use std::time::Duration;

use schism_cluster::LinkRule;
use schism_cluster::LinkShape;
use schism_cluster::probe::quality::{LinkSample, OVERHEAD_BYTES, QualityOptions};
use schism_history::Node;
use serde_json::{Value, json};

use super::Kind;
use crate::fault::Evidence;
use crate::links::Excuses;

/// Bound of chance, standard deviations.
const SIGMAS: f64 = 4.5;
/// -ln of the chance that nothing of a share is seen though it is there.
const SURELY: f64 = 9.3;
/// Payload of datagrams whose damage is looked for: so large that few bits lie in headers.
const LARGE_BYTES: u32 = 1200;

/// What is asked of samples.
pub(super) struct Question<'a> {
    /// Which class.
    pub kind: Kind,
    /// The links and their shape (the same for all).
    pub rules: &'a [LinkRule],
    /// How they were before, of a delay.
    pub before: &'a [LinkSample],
    /// Whether it should be gone.
    pub healed: bool,
}

/// How to sample so that the answer is no coin toss.
pub(super) fn options(kind: Kind, shape: &LinkShape, links: usize) -> QualityOptions {
    let usual = QualityOptions::default();
    let ms = |us: u64| u32::try_from(us / 1000).unwrap_or(u32::MAX / 8).min(120_000);
    match kind {
        Kind::Delay | Kind::Hold => {
            // A round trip takes the delay of both ways, and its tail.
            let drain_ms = 500 + 2 * ms(shape.delay_us) + 6 * ms(shape.jitter_us);
            QualityOptions { count: 40, spread_ms: 400, drain_ms, ..usual }
        }
        Kind::Loss | Kind::Duplicate | Kind::Corrupt => {
            let share = share(kind, shape).max(1e-6);
            let burst = burstiness(shape);
            let count = (SURELY * burst / share / links.max(1) as f64).ceil().clamp(100.0, 3000.0) as u32;
            let payload_bytes = if kind == Kind::Corrupt { LARGE_BYTES } else { usual.payload_bytes };
            // Under 2000 a second for each link.
            QualityOptions {
                count,
                spread_ms: (count / 2).max(300),
                payload_bytes,
                echo: false,
                drain_ms: 300,
                ..usual
            }
        }
        Kind::Reorder => {
            // About four datagrams wait at a time, so that whoever overtakes has somebody to overtake.
            let gap_ms = (ms(shape.delay_us) / 4).clamp(1, 20);
            let share = share(kind, shape).max(1e-6);
            let count = (SURELY / share / links.max(1) as f64).ceil().clamp(100.0, 500.0) as u32;
            QualityOptions {
                count,
                spread_ms: count * gap_ms,
                echo: false,
                drain_ms: 300 + ms(shape.delay_us),
                ..usual
            }
        }
        Kind::Bandwidth => {
            // Three times the rate for a second, or less of it where that would be too many datagrams.
            let (bits, rate) = (u64::from(LARGE_BYTES + OVERHEAD_BYTES) * 8, shape.rate_bits_per_s.max(1));
            let count = (3 * rate / bits).clamp(30, 4000);
            let spread_ms = (count * bits * 1000 / (3 * rate)).clamp(1, 20_000);
            let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX / 8);
            QualityOptions {
                count: small(count),
                spread_ms: small(spread_ms),
                // What is still in a queue then changes nothing about the rate at which the rest came.
                drain_ms: 300,
                payload_bytes: LARGE_BYTES,
                echo: false,
                deadline: usual.deadline + Duration::from_secs(5),
            }
        }
    }
}

/// The share that is asked for.
fn share(kind: Kind, shape: &LinkShape) -> f64 {
    let ppm = match kind {
        Kind::Loss => shape.loss_ppm,
        Kind::Duplicate => shape.duplicate_ppm,
        Kind::Corrupt => shape.corrupt_ppm,
        Kind::Reorder => shape.reorder_ppm,
        _ => 0,
    };
    f64::from(ppm) / 1e6
}

/// How many times more datagrams it takes where what happens to one depends on the one before: (1+r)/(1-r).
fn burstiness(shape: &LinkShape) -> f64 {
    let tie = (f64::from(shape.loss_correlation_ppm) / 1e6).min(0.9);
    (1.0 + tie) / (1.0 - tie)
}

/// Whether what was asked for is there, or gone.
pub(super) fn judge(ask: &Question<'_>, samples: &[LinkSample], excuses: &Excuses) -> Evidence {
    let (mut rows, mut wrong, mut judged) = (Vec::new(), Vec::new(), 0);
    let (mut seen, mut of) = (0_u64, 0_u64);
    for sample in samples {
        let (from, to) = (&sample.from, &sample.to);
        let excuse = [from, to].into_iter().find_map(|end| excuses.get(end));
        let mut row = facts(sample);
        let verdict = match &sample.problem {
            Some(problem) => Err(format!("{from} to {to} could not be probed: {problem}")),
            None if sample.on_their_way() == 0 => Err(format!("{from} sent nothing to {to}")),
            None => one(ask, sample, &mut row),
        };
        match (verdict, excuse) {
            (Ok((count, total)), _) => {
                judged += 1;
                (seen, of) = (seen + u64::from(count), of + u64::from(total));
            }
            (Err(_), Some(excuse)) => row["excused"] = json!(excuse),
            (Err(trouble), None) => wrong.push(trouble),
        }
        rows.push(row);
    }
    let mut measured = json!({ "links": rows });
    if of > 0 && ask.kind != Kind::Delay && ask.kind != Kind::Bandwidth {
        let expected = ask.rules.first().map_or(0.0, |rule| share(ask.kind, &rule.shape));
        let found = seen as f64 / of as f64;
        measured["share"] = rounded(found);
        measured["share_asked"] = rounded(expected);
        if ask.healed && found > expected / 3.0 {
            wrong.push(format!("{} of {of} datagrams still show it", seen));
        } else if !ask.healed && seen == 0 {
            wrong.push(format!("none of {of} datagrams shows it"));
        }
    }
    let may_rest_on_undo = ask.healed && !excuses.is_empty();
    if judged == 0 && !may_rest_on_undo {
        wrong.push("nothing can be told: other faults hide it on every link".to_owned());
    }
    if !wrong.is_empty() {
        measured["wrong"] = json!(wrong);
    }
    Evidence { proven: wrong.is_empty() && !samples.is_empty(), measured }
}

/// What was measured, in numbers with units.
fn facts(sample: &LinkSample) -> Value {
    let mut row = json!({
        "from": sample.from, "to": sample.to, "sent": sample.on_their_way(), "received": sample.received,
        "lost": sample.lost(), "duplicates": sample.duplicates, "out_of_order": sample.out_of_order,
        "corrupted": sample.corrupted,
    });
    if let Some(trips) = &sample.round_trips {
        row["round_trip_ms_min"] = json!(f64::from(trips.min_us) / 1000.0);
        row["round_trip_ms_median"] = json!(f64::from(trips.median_us) / 1000.0);
        row["round_trip_ms_p90"] = json!(f64::from(trips.p90_us) / 1000.0);
    }
    if sample.arrived_bits_per_s > 0 {
        row["offered_bits_per_s"] = json!(sample.offered_bits_per_s);
        row["arrived_bits_per_s"] = json!(sample.arrived_bits_per_s);
    }
    row
}

fn rounded(share: f64) -> Value {
    json!((share * 1e6).round() / 1e6)
}

/// One link: how many datagrams show it, of how many; or what is wrong. Adds what it compared to the row.
fn one(ask: &Question<'_>, sample: &LinkSample, row: &mut Value) -> Result<(u32, u32), String> {
    let Some(rule) = ask.rules.iter().find(|rule| rule.from == sample.from && rule.to == sample.to) else {
        return Err(format!("{} to {} was not asked for", sample.from, sample.to));
    };
    match ask.kind {
        Kind::Delay | Kind::Hold => delay(ask, rule, sample, row),
        Kind::Bandwidth => bandwidth(ask, rule, sample),
        Kind::Loss => {
            let (lost, all) = (sample.lost() + sample.corrupted, sample.on_their_way());
            bounded(ask, rule, sample, (lost, all), 1.0, "lost")
        }
        Kind::Duplicate => bounded(ask, rule, sample, (sample.duplicates, sample.received), 1.0, "doubled"),
        Kind::Corrupt => {
            // Bits of headers are flipped too: then the datagram is lost.
            let in_payload = f64::from(LARGE_BYTES) / f64::from(LARGE_BYTES + OVERHEAD_BYTES);
            bounded(ask, rule, sample, (sample.corrupted, sample.on_their_way()), in_payload, "damaged")
        }
        Kind::Reorder => {
            let (late, all) = (sample.out_of_order, sample.received);
            // Whoever overtakes leaves at least one behind; that some more are late is expected.
            let expected = share(Kind::Reorder, &rule.shape) * f64::from(all);
            if !ask.healed && f64::from(late) < (expected - SIGMAS * expected.sqrt()) * 0.5 {
                return Err(format!("of {} from {} to {} only {late} were overtaken", all, sample.from, sample.to));
            }
            if all == 0 { Err(format!("{} does not reach {}", sample.from, sample.to)) } else { Ok((late, all)) }
        }
    }
}

/// A share within the bounds of chance; once it is gone the sum over all links is judged, not each.
fn bounded(
    ask: &Question<'_>,
    rule: &LinkRule,
    sample: &LinkSample,
    (count, all): (u32, u32),
    seen_of_it: f64,
    what: &str,
) -> Result<(u32, u32), String> {
    let (from, to) = (&sample.from, &sample.to);
    let expected = share(ask.kind, &rule.shape);
    if all == 0 || (sample.received == 0 && sample.corrupted == 0 && expected < 0.99) {
        return Err(format!("{from} does not reach {to} at all"));
    }
    if ask.healed {
        return Ok((count, all));
    }
    let (low, high) = bounds(expected, f64::from(all), burstiness(&rule.shape));
    let found = f64::from(count) / f64::from(all);
    // Netem's bursts lose less than they say (its correlated numbers are not even): only that some are lost counts.
    let low = if rule.shape.loss_correlation_ppm > 0 { 0.0 } else { low * seen_of_it };
    if found < low || found > high {
        return Err(format!(
            "from {from} to {to} {:.1}% are {what}, expected {:.1}% to {:.1}%",
            found * 100.0,
            low * 100.0,
            high * 100.0
        ));
    }
    Ok((count, all))
}

/// The shares that chance allows, with one datagram and a hundredth (what a loaded machine drops) to spare.
fn bounds(expected: f64, all: f64, burst: f64) -> (f64, f64) {
    let spread = SIGMAS * (expected * (1.0 - expected) * burst / all).sqrt();
    let spare = 1.0 / all;
    ((expected - spread - spare).max(0.0), (expected + spread + spare + 0.01).min(1.0))
}

fn delay(ask: &Question<'_>, rule: &LinkRule, sample: &LinkSample, row: &mut Value) -> Result<(u32, u32), String> {
    let (from, to) = (&sample.from, &sample.to);
    let Some(now) = sample.round_trips else { return Err(format!("nothing came back from {to} to {from}")) };
    let of = |one: &Node, other: &Node| {
        let found = ask.rules.iter().find(|rule| rule.from == *one && rule.to == *other);
        found.map_or((0, 0), |rule| (rule.shape.delay_us, rule.shape.jitter_us))
    };
    let (there, back) = (of(from, to), of(to, from));
    let (asked_us, jitter_us) = ((there.0 + back.0) as f64, (there.1 + back.1) as f64);
    let before = ask.before.iter().find(|one| one.from == *from && one.to == *to).and_then(|one| one.round_trips);
    let extra_us = f64::from(now.median_us) - before.map_or(0.0, |before| f64::from(before.median_us));
    // On a busy machine medians are of the machine; the fastest of many round trips is of the link.
    let least_extra_us = f64::from(now.min_us) - before.map_or(0.0, |before| f64::from(before.min_us));
    row["added_ms"] = json!(extra_us / 1000.0);
    row["added_ms_at_least"] = json!(least_extra_us / 1000.0);
    row["added_ms_asked"] = json!(asked_us / 1000.0);
    let told = |what: &str| {
        let (median_ms, least_ms) = (extra_us / 1e3, least_extra_us / 1e3);
        Err(format!(
            "from {from} to {to} and back {what}, {median_ms:.1} ms (at least {least_ms:.1} ms) more than before"
        ))
    };
    let uniform = rule.shape.distribution == schism_cluster::Distribution::Uniform;
    // A Pareto distribution has its median below its mean.
    let slack_us = if uniform { 0.1 } else { 0.5 } * jitter_us;
    if ask.healed {
        let most_us = (asked_us / 2.0).max(3000.0);
        let late = least_extra_us > most_us || (extra_us > most_us && !uniform);
        return if late { told("it still takes longer") } else { Ok((0, now.count)) };
    }
    // No delay of a uniform distribution is shorter than that, so that one quick round trip disproves it.
    let least_us = (asked_us - jitter_us) * 0.95;
    let all_late = uniform && f64::from(now.min_us) >= least_us && least_extra_us >= (asked_us - jitter_us) * 0.8;
    let late = extra_us >= asked_us * 0.8 - slack_us || all_late;
    if late { Ok((now.count, now.count)) } else { told("it takes too little") }
}

fn bandwidth(ask: &Question<'_>, rule: &LinkRule, sample: &LinkSample) -> Result<(u32, u32), String> {
    let (from, to) = (&sample.from, &sample.to);
    let asked = rule.shape.rate_bits_per_s as f64;
    let (arrived, offered) = (sample.arrived_bits_per_s as f64, sample.offered_bits_per_s as f64);
    if sample.received < 3 {
        return Err(format!("{from} hardly reaches {to}: {} datagrams", sample.received));
    }
    if offered < asked * 2.0 {
        return Err(format!("{from} could send only {:.0} kbit/s to {to}, too little to tell", offered / 1e3));
    }
    let told = |what: &str| Err(format!("from {from} to {to} {what}: {:.0} kbit/s", arrived / 1e3));
    match ask.healed {
        true if arrived < asked * 1.5 => told("still only so much passes"),
        false if arrived > asked * 1.2 => told("too much passes"),
        _ => Ok((sample.received, sample.on_their_way())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schism_cluster::Distribution;
    use schism_cluster::probe::quality::RoundTrips;

    fn rules(shape: LinkShape) -> Vec<LinkRule> {
        let rule = |from: &str, to: &str| LinkRule { from: Node::new(from), to: Node::new(to), shape: shape.clone() };
        vec![rule("a", "b"), rule("b", "a")]
    }

    fn sample(from: &str, to: &str, change: impl FnOnce(&mut LinkSample)) -> LinkSample {
        let mut sample = LinkSample::empty(Node::new(from), Node::new(to));
        (sample.sent, sample.received) = (400, 400);
        change(&mut sample);
        sample
    }

    fn trips(median_us: u32) -> Option<RoundTrips> {
        RoundTrips::of(vec![median_us; 9])
    }

    fn proven(kind: Kind, shape: &LinkShape, healed: bool, samples: &[LinkSample]) -> bool {
        let before = [sample("a", "b", |one| one.round_trips = trips(2000))];
        let rules = rules(shape.clone());
        judge(&Question { kind, rules: &rules, before: &before, healed }, samples, &Excuses::new()).proven
    }

    #[test]
    fn shares_are_judged_within_the_bounds_of_chance() {
        let loss = LinkShape { loss_ppm: 200_000, ..LinkShape::default() };
        for (lost, there, gone) in [
            (0, false, true),
            (30, false, false),
            (60, true, false),
            (80, true, false),
            (120, true, false),
            (160, false, false),
            (20, false, true),
        ] {
            let samples = [sample("a", "b", |one| one.received = 400 - lost)];
            assert_eq!(proven(Kind::Loss, &loss, false, &samples), there, "{lost} of 400");
            assert_eq!(proven(Kind::Loss, &loss, true, &samples), gone, "{lost} of 400");
        }
        let twice = LinkShape { duplicate_ppm: 300_000, ..LinkShape::default() };
        let damaged = LinkShape { corrupt_ppm: 100_000, ..LinkShape::default() };
        for (count, there, gone) in [(0, false, true), (120, true, false)] {
            let samples = [sample("a", "b", |one| one.duplicates = count)];
            assert_eq!(proven(Kind::Duplicate, &twice, false, &samples), there);
            assert_eq!(proven(Kind::Duplicate, &twice, true, &samples), gone);
            let samples = [sample("a", "b", |one| (one.corrupted, one.received) = (count / 3, 400 - count / 3))];
            assert_eq!(proven(Kind::Corrupt, &damaged, false, &samples), there);
            assert_eq!(proven(Kind::Corrupt, &damaged, true, &samples), gone);
        }
    }

    #[test]
    fn the_number_of_datagrams_makes_it_no_coin_toss() {
        for (ppm, links, expected) in [(500_000, 1, 100), (10_000, 1, 930), (10_000, 8, 117), (10, 1, 3000)] {
            let shape = LinkShape { loss_ppm: ppm, ..LinkShape::default() };
            assert_eq!(options(Kind::Loss, &shape, links).count, expected, "{ppm} {links}");
        }
        let bursts = LinkShape { loss_ppm: 50_000, loss_correlation_ppm: 500_000, ..LinkShape::default() };
        assert_eq!(options(Kind::Loss, &bursts, 1).count, 558);
    }

    #[test]
    fn delays_are_compared_with_before_and_add_up_both_ways() {
        let delay = LinkShape { delay_us: 50_000, ..LinkShape::default() };
        for (median_us, there, gone) in
            [(2000, false, true), (60_000, false, false), (101_000, true, false), (45_000, false, true)]
        {
            let samples = [sample("a", "b", |one| one.round_trips = trips(median_us))];
            assert_eq!(proven(Kind::Delay, &delay, false, &samples), there, "{median_us}");
            assert_eq!(proven(Kind::Delay, &delay, true, &samples), gone, "{median_us}");
        }
        assert!(!proven(Kind::Delay, &delay, true, &[sample("a", "b", |_| ())]), "nothing came back");
    }

    #[test]
    fn on_a_busy_machine_the_fastest_round_trip_tells() {
        let busy = |quick_us: u32, usual_us: u32| {
            [sample("a", "b", |one| one.round_trips = RoundTrips::of(vec![quick_us, usual_us, usual_us]))]
        };
        let (even, spread) = (Distribution::Uniform, Distribution::Normal);
        for (quick_us, usual_us, distribution, there, gone) in [
            (104_000, 122_000, even, true, false),
            // One that is quicker than any can be: the machine was slow, not the link.
            (70_000, 122_000, even, false, false),
            (104_000, 122_000, spread, false, false),
            (12_000, 190_000, even, true, true),
            (12_000, 115_000, even, false, true),
        ] {
            let delay = LinkShape { delay_us: 50_000, distribution, ..LinkShape::default() };
            let rules = rules(delay);
            let [before, now] = [busy(10_000, 110_000), busy(quick_us, usual_us)];
            let proven = |healed| {
                let asked = Question { kind: Kind::Delay, rules: &rules, before: &before, healed };
                judge(&asked, &now, &Excuses::new()).proven
            };
            assert_eq!((proven(false), proven(true)), (there, gone), "{quick_us} {usual_us} {distribution:?}");
        }
    }

    #[test]
    fn rates_and_order() {
        let slow = LinkShape { rate_bits_per_s: 1_000_000, ..LinkShape::default() };
        for (offered, arrived, there, gone) in
            [(3_000_000, 950_000, true, false), (3_000_000, 2_900_000, false, true), (1_500_000, 900_000, false, false)]
        {
            let samples = [sample("a", "b", |one| {
                (one.offered_bits_per_s, one.arrived_bits_per_s) = (offered, arrived);
            })];
            assert_eq!(proven(Kind::Bandwidth, &slow, false, &samples), there, "{arrived}");
            assert_eq!(proven(Kind::Bandwidth, &slow, true, &samples), gone, "{arrived}");
        }
        let reorder = LinkShape { reorder_ppm: 250_000, delay_us: 20_000, ..LinkShape::default() };
        for (late, there, gone) in [(0, false, true), (200, true, false)] {
            let samples = [sample("a", "b", |one| one.out_of_order = late)];
            assert_eq!(proven(Kind::Reorder, &reorder, false, &samples), there, "{late}");
            assert_eq!(proven(Kind::Reorder, &reorder, true, &samples), gone, "{late}");
        }
    }

    #[test]
    fn others_excuse_what_cannot_be_seen_and_prove_nothing() {
        let loss = LinkShape { loss_ppm: 200_000, ..LinkShape::default() };
        let rules = rules(loss);
        let excuses = Excuses::from([(Node::new("b"), "also harmed by x".to_owned())]);
        let dead = sample("a", "b", |one| one.received = 0);
        for (healed, with, without) in [(false, false, false), (true, true, false)] {
            let ask = Question { kind: Kind::Loss, rules: &rules, before: &[], healed };
            assert_eq!(judge(&ask, std::slice::from_ref(&dead), &excuses).proven, with);
            assert_eq!(judge(&ask, std::slice::from_ref(&dead), &Excuses::new()).proven, without);
        }
        assert!(!judge(&Question { kind: Kind::Loss, rules: &rules, before: &[], healed: true }, &[], &excuses).proven);
    }
}
