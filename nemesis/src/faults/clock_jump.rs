//! A clock jumps, and stays off until it is healed.

use crate::class::{Family, FaultEntry, plain_label};
use crate::faults::TARGETS;
use crate::faults::clock::{self, Harm, MECHANISM, UNDONE, WORKS};
use crate::option::{OptionEntry, OptionKind};

/// The class.
pub const CLASS: &str = "clock-jump";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Clock,
    about: "puts clocks ahead or behind at once",
    options: &[
        TARGETS,
        OptionEntry {
            name: "offset",
            key: "offset_ms",
            // A year: what certificates and calendars do is not asked here.
            kind: OptionKind::SignedSpan(365 * 86_400_000),
            default: &["-5m", "-1m", "-10s", "-1s", "-100ms", "100ms", "1s", "10s", "1m", "5m"],
            about: "how far ahead; negative is behind",
        },
        MECHANISM,
    ],
    works: WORKS,
    verified: "the offset of the real clock, by the raw monotonic clock and by the controller's with the round trip as bound; or the \
               offset that lies in each process of the database, and what a canary with the same clock functions sees",
    undone: UNDONE,
    needs: clock::needs,
    decide: |ask| {
        let offset_ms = ask.signed("offset_ms")?;
        clock::decide(ask, Harm::Jump { offset_ms }, format!("{offset_ms:+} ms"))
    },
    label: plain_label,
};
