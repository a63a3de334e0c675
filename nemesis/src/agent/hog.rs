//! `agent hog PREFIX LIFETIME_S PERCENT`: keeps every processor busy for so much of its time.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use super::Verb;
use super::upkeep::{Upkeep, number};

/// The verb.
pub(super) const VERB: Verb = Verb { name: "hog", about: "keeps processors busy: PREFIX LIFETIME_S PERCENT", run };

/// Work and rest together.
const PERIOD: Duration = Duration::from_millis(20);

fn run(args: &[String]) -> Result<(), String> {
    let (upkeep, rest) = Upkeep::parse(args)?;
    let [percent] = rest else { return Err("it wants a percentage of the processors' time".to_owned()) };
    let percent: u32 = number(percent, "percent")?;
    if !(1..=100).contains(&percent) {
        return Err(format!("{percent} is no percentage from 1 to 100"));
    }
    let count = thread::available_parallelism().map_err(|error| error.to_string())?.get();
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| work(&upkeep, percent));
        }
    });
    Ok(())
}

/// One processor's share.
fn work(upkeep: &Upkeep, percent: u32) {
    let busy = PERIOD * percent / 100;
    let mut number = 1_u64;
    while upkeep.goes_on() {
        let begun = Instant::now();
        while begun.elapsed() < busy {
            for _ in 0..1000 {
                number = black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            }
        }
        thread::sleep(PERIOD.saturating_sub(begun.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_that_are_none_are_refused() {
        for percent in ["0", "101", "-1", "x", ""] {
            let args: Vec<String> = ["/nowhere/t", "5", percent].map(str::to_owned).to_vec();
            assert!(run(&args).is_err(), "{percent}");
        }
        // Without its file it does nothing.
        assert_eq!(run(&["/nowhere/t", "5", "50"].map(str::to_owned)), Ok(()));
    }
}
