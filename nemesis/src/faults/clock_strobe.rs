//! A clock swings between the true time and another.

use crate::class::{Family, FaultEntry, plain_label};
use crate::faults::TARGETS;
use crate::faults::clock::{self, Harm, MECHANISM, UNDONE, WORKS};
use crate::option::{OptionEntry, OptionKind};

/// The class.
pub const CLASS: &str = "clock-strobe";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Clock,
    about: "lets clocks jump to and fro between the true time and another",
    options: &[
        TARGETS,
        OptionEntry {
            name: "offset",
            key: "offset_ms",
            kind: OptionKind::SignedSpan(365 * 86_400_000),
            default: &["-1m", "-4s", "-200ms", "200ms", "4s", "1m", "4m"],
            about: "how far ahead the other time is; negative is behind",
        },
        OptionEntry {
            name: "period",
            key: "period_ms",
            kind: OptionKind::Span(1, 600_000),
            default: &["2ms", "10ms", "50ms", "200ms", "1s"],
            about: "how long it stays at either",
        },
        MECHANISM,
    ],
    works: WORKS,
    verified: "64 readings over four periods: of the real clock beside the raw monotonic one, or of a canary with the clock functions of the \
               database's processes: it was at both ends, and swung",
    undone: UNDONE,
    needs: clock::needs,
    decide: |ask| {
        let (offset_ms, period_ms) = (ask.signed("offset_ms")?, ask.number("period_ms")?);
        if offset_ms == 0 || period_ms == 0 {
            return Err(ask.wrong("a strobe of no offset or no period is none".to_owned()));
        }
        clock::decide(ask, Harm::Strobe { offset_ms, period_ms }, format!("{offset_ms:+} ms every {period_ms} ms"))
    },
    label: plain_label,
};
