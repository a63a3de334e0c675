//! A clock runs too fast or too slow.

use crate::class::{Family, FaultEntry, plain_label};
use crate::faults::TARGETS;
use crate::faults::clock::{self, Harm, MECHANISM, UNDONE, WORKS};
use crate::option::{OptionEntry, OptionKind};

/// The class.
pub const CLASS: &str = "clock-drift";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Clock,
    about: "lets clocks run too fast or too slow",
    options: &[
        TARGETS,
        OptionEntry {
            name: "rate",
            key: "rate_ppm",
            // The kernel takes no more than 10 % for real clocks, together with what it was.
            kind: OptionKind::Integer(-90_000, 90_000),
            default: &["-50000", "-5000", "-500", "500", "5000", "50000"],
            about: "how much too fast, in millionths; negative is too slow",
        },
        MECHANISM,
    ],
    works: WORKS,
    verified: "the rate over a second beside the raw monotonic clock: of the real clock, or of a canary with the clock functions of the \
               database's processes",
    undone: UNDONE,
    needs: clock::needs,
    decide: |ask| {
        let rate_ppm = ask.signed("rate_ppm")?;
        if rate_ppm == 0 {
            return Err(ask.wrong("a drift of no rate is none".to_owned()));
        }
        clock::decide(ask, Harm::Drift { rate_ppm }, format!("{rate_ppm:+} ppm"))
    },
    label: plain_label,
};
