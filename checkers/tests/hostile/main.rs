//! Hostile histories: the checker against judges that share nothing with it. `examples/fuzz.rs` runs more of it.

mod compare;
mod cost;
mod generate;
mod oracle;
mod witness;

use compare::{Tally, case, large_case};

#[test]
fn small_histories_of_every_kind() {
    let mut tally = Tally::default();
    for seed in 0..6000 {
        case(seed, 9, &mut tally).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    let all = tally.valid + tally.invalid;
    assert!(tally.valid * 5 > all && tally.invalid * 5 > all && tally.spent > 100, "{tally:?}");
    assert_eq!(tally.witnesses, tally.invalid, "{tally:?}");
}

#[test]
fn long_histories() {
    let mut tally = Tally::default();
    for seed in 0..60 {
        large_case(seed, 200, &mut tally).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    assert!(tally.valid > 10 && tally.invalid > 10, "{tally:?}");
}
