//! A disk that became read-only, as file systems do after an error of the device: EROFS.

use crate::agent::faultfs::rules::Rule;
use crate::class::{Family, FaultEntry, plain_label};
use crate::faults::TARGETS;
use crate::faults::disk::{Victims, base_needs};
use crate::faults::disk_rule::{Plain, RuleFault, Sign};

/// The class.
pub const CLASS: &str = "disk-readonly";

const EROFS: i32 = 30;

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Disk,
    about: "makes the database's disk read-only (EROFS)",
    options: &[TARGETS],
    works: "every ground: by our file system (FUSE), or by a read-only mount of the folder over itself; either way the database is \
            killed and started on it",
    verified: "a probe that creates a file in the data's folder gets EROFS (30), and none afterwards",
    undone: "the mount is taken away and the database started; by the node itself when its lease ends",
    needs: |_| base_needs(),
    decide: |ask| {
        let victims = Victims::of(ask)?;
        let rule = Rule { read_only: true, ..Rule::default() };
        Ok(Box::new(RuleFault::new(victims, rule, Sign::Error(EROFS), Plain::ReadOnlyMount, String::new())))
    },
    label: plain_label,
};
