//! A disk that gives errors: EIO at a share of operations.

use crate::agent::faultfs::rules::Rule;
use crate::class::{Family, FaultEntry, plain_label};
use crate::faults::TARGETS;
use crate::faults::disk::{FILES, Victims, base_needs, fuse_needs};
use crate::faults::disk_rule::{Plain, RuleFault, Sign};
use crate::faults::disk_slow::{OPERATIONS, operations, paths};
use crate::option::{OptionEntry, OptionKind};

/// The class.
pub const CLASS: &str = "disk-errors";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Disk,
    about: "lets reads, writes and syncs of the database's disk fail (EIO)",
    options: &[
        TARGETS,
        OptionEntry {
            name: "share",
            key: "error_ppm",
            kind: OptionKind::Share,
            default: &["1%", "100%"],
            about: "of the operations that fail, drawn evenly",
        },
        OPERATIONS,
        FILES,
    ],
    works: "where nodes have FUSE and run our program: by our file system, on which the database is killed and started",
    verified: "a probe in the data's folder gets EIO (5), or the file system counts operations that failed; none afterwards",
    undone: "our file system is taken away and the database started; by the node itself when its lease ends",
    needs: |_| [base_needs(), fuse_needs()].concat(),
    decide: |ask| {
        let ppm = u32::try_from(ask.number("error_ppm")?).unwrap_or(1_000_000);
        let victims = Victims::of(ask)?;
        let rule = Rule { error_ppm: ppm, ops: operations(ask)?, paths: paths(ask), ..Rule::default() };
        let more = format!("{} % of operations", f64::from(ppm) / 10_000.0);
        Ok(Box::new(RuleFault::new(victims, rule, Sign::SomeErrors { ppm }, Plain::Never, more)))
    },
    label: plain_label,
};
