//! Bits that changed on the disk.

use crate::agent::files::Harm;
use crate::class::{Family, FaultEntry, plain_label};
use crate::faults::disk::{FILES, ONE, Victims, base_needs};
use crate::faults::disk_corrupt::{Corruption, LIVE, REBUILD, UNDONE};
use crate::need::Need;
use crate::option::{OptionEntry, OptionKind};

/// The class.
pub const CLASS: &str = "bit-flip";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Disk,
    about: "flips bits in a file of the database's data",
    options: &[
        ONE,
        OptionEntry {
            name: "bits",
            key: "bits",
            kind: OptionKind::Integer(1, 10_000),
            default: &["1"],
            about: "how many, each at a place of its own",
        },
        FILES,
        LIVE,
        REBUILD,
    ],
    works: "where nodes run our program",
    verified: "the node's own tools read the new bytes and the new SHA-256, before the database is started on them; file, offsets, old and \
               new bytes are recorded",
    undone: UNDONE,
    needs: |_| [base_needs(), vec![Need::Agent]].concat(),
    decide: |ask| {
        let victims = Victims::of(ask)?;
        let harm = Harm::BitFlip { bits: u32::try_from(ask.number("bits")?).unwrap_or(1) };
        let files = ask.word("files").ok().map(str::to_owned);
        let corruption = Corruption::new(victims, harm, files, ask.flag("live"));
        Ok(Box::new(corruption.rebuilt(ask.flag("rebuild"))))
    },
    label: plain_label,
};
