//! A file that lost its end.

use crate::agent::files::Harm;
use crate::class::{Family, FaultEntry, plain_label};
use crate::faults::disk::{FILES, ONE, Victims, base_needs};
use crate::faults::disk_corrupt::{Corruption, LIVE, REBUILD, UNDONE};
use crate::need::Need;
use crate::option::{OptionEntry, OptionKind};

/// The class.
pub const CLASS: &str = "truncate";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Disk,
    about: "cuts the last bytes of data off a file of the database",
    options: &[
        ONE,
        OptionEntry {
            name: "bytes",
            key: "cut_bytes",
            kind: OptionKind::Bytes,
            default: &["1B", "512B", "4KiB", "64KiB"],
            about: "how many; zeros behind the data, which are allocated ahead, do not count and go too",
        },
        FILES,
        LIVE,
        REBUILD,
    ],
    works: "where nodes run our program",
    verified: "the node's own tools read the new size and the new SHA-256, before the database is started on it",
    undone: UNDONE,
    needs: |_| [base_needs(), vec![Need::Agent]].concat(),
    decide: |ask| {
        let victims = Victims::of(ask)?;
        let harm = Harm::Truncate { bytes: ask.number("cut_bytes")? };
        let files = ask.word("files").ok().map(str::to_owned);
        let corruption = Corruption::new(victims, harm, files, ask.flag("live"));
        Ok(Box::new(corruption.rebuilt(ask.flag("rebuild"))))
    },
    label: plain_label,
};
