//! What samples prove.

use super::*;

const MS: i64 = 1_000_000;

fn samples(shifts: impl IntoIterator<Item = i64>) -> Vec<Sample> {
    let sample = |(index, shift_ns): (usize, i64)| Sample {
        at_ns: index as i64 * 100 * MS,
        shift_ns,
        error_ns: 1000,
        others_ns: 0,
    };
    shifts.into_iter().enumerate().map(sample).collect()
}

#[test]
fn samples_prove_or_do_not() {
    let jump = Harm::Jump { offset_ms: -100 };
    let strobe = Harm::Strobe { offset_ms: 200, period_ms: 10 };
    let drift = Harm::Drift { rate_ppm: 500 };
    let swing = |ms: i64| (0..64).map(move |index| if index / 4 % 2 == 0 { 0 } else { ms * MS });
    let line = |ppm: i64| (0..11).map(move |index| index * 100 * ppm);
    let cases: Vec<(Harm, Vec<Sample>, bool)> = vec![
        (jump, samples([-100 * MS; 5]), true),
        (jump, samples([-110 * MS; 5]), true),
        (jump, samples([-100 * MS, -100 * MS, 0]), false),
        (jump, samples([0; 5]), false),
        (jump, samples([100 * MS; 5]), false),
        (jump, samples([]), false),
        (strobe, samples(swing(200)), true),
        (strobe, samples(swing(100)), false),
        (strobe, samples(swing(-200)), false),
        (strobe, samples([0; 64]), false),
        (strobe, samples([200 * MS; 64]), false),
        (drift, samples(line(500)), true),
        (drift, samples(line(495)), true),
        (drift, samples(line(400)), false),
        (drift, samples(line(0)), false),
        (drift, samples(line(-500)), false),
        (drift, samples([]), false),
    ];
    for (harm, samples, proven) in cases {
        assert_eq!(harm.seen(&samples).0, proven, "{harm:?} {samples:?}");
    }
}

#[test]
fn what_other_faults_do_is_not_taken_for_ours() {
    let others = |shift_ns: i64, others_ns: i64| {
        let mut samples = samples([shift_ns; 5]);
        samples.iter_mut().for_each(|sample| sample.others_ns = others_ns);
        samples
    };
    let jump = Harm::Jump { offset_ms: 1000 };
    assert!(jump.seen(&others(6000 * MS, 5000 * MS)).0);
    assert!(!jump.seen(&others(1000 * MS, 1000 * MS)).0);
}
