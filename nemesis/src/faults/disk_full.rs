//! A disk without room: ENOSPC.

use schism_cluster::DATA_DISK;

use crate::agent::faultfs::rules::Rule;
use crate::class::{Family, FaultEntry, plain_label};
use crate::faults::TARGETS;
use crate::faults::disk::{Victims, base_needs};
use crate::faults::disk_rule::{Plain, RuleFault, Sign};
use crate::need::Need;
use crate::option::{OptionEntry, OptionKind};
use crate::scripts;

/// The class.
pub const CLASS: &str = "disk-full";

const ENOSPC: i32 = 28;
/// A larger file is not written: our file system says that there is no room.
const MOST: &str = "1GiB";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Disk,
    about: "leaves the database's disk without room (ENOSPC)",
    options: &[
        TARGETS,
        OptionEntry {
            name: "leave",
            key: "leave_bytes",
            kind: OptionKind::Bytes,
            default: &["0B"],
            about: "bytes that are left",
        },
        OptionEntry {
            name: "most",
            key: "most_bytes",
            kind: OptionKind::Bytes,
            default: &[MOST],
            about: "how large a file may be that fills the disk; past it our own file system says that it is full, and \
                    `leave` is nothing",
        },
    ],
    works: "every ground: by a file of ours on the same file system, or by our file system (FUSE) where that file would be too large",
    verified: "a probe that writes in the data's folder gets ENOSPC (28), and none afterwards; bytes free are recorded",
    undone: "the file is removed, or our file system is taken away, and the database is started where it ended; by the node itself \
             when its lease ends",
    needs: |spec| {
        let most = spec.values("most").iter().filter_map(serde_json::Value::as_u64).min().unwrap_or(1 << 30);
        let mut needs = base_needs();
        let way = |with_fuse: bool| Need::OnNodes {
            what: "a way to fill the disk".to_owned(),
            script: scripts::fill_missing(DATA_DISK, most, with_fuse),
            hint: "Give the data a smaller file system, raise `most`, or load FUSE".to_owned(),
        };
        needs.push(way(true));
        needs.push(Need::AnyOf(vec![way(false), Need::Agent]));
        needs
    },
    decide: |ask| {
        let (leave_bytes, most_bytes) = (ask.number("leave_bytes")?, ask.number("most_bytes")?);
        let victims = Victims::of(ask)?;
        let rule = Rule { full: true, ..Rule::default() };
        let plain = Plain::Fill { leave_bytes, most_bytes };
        let more = if leave_bytes == 0 { String::new() } else { format!("{leave_bytes} bytes left") };
        Ok(Box::new(RuleFault::new(victims, rule, Sign::Error(ENOSPC), plain, more)))
    },
    label: plain_label,
};
