//! A disk that gives errors: EIO at a share of operations.

use crate::agent::faultfs::rules::Rule;
use crate::class::{Family, FaultEntry, plain_label};
use crate::faults::TARGETS;
use crate::faults::disk::{FILES, Victims, base_needs};
use crate::faults::disk_mapper::{self, Harm, WAY};
use crate::faults::disk_rule::{Plain, RuleFault, Sign};
use crate::faults::disk_slow::{OPERATIONS, operations, paths};
use crate::option::{OptionEntry, OptionKind};
use crate::spec::FaultSpec;

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
        WAY,
    ],
    works: "where nodes have FUSE and run our program: by our file system, on which the database is killed and started; all \
            operations, reads (newer kernels) or writes also where the data lies on a device of the device mapper of its own: by \
            dm-flakey, which restarts nothing, where a share below 100 % is one of time (5 % at least, and only with `way: \
            device-mapper`), and a file system whose journal met an error takes no writes until it is mounted anew; on nodes with \
            udev only writes fail so, as udev would lose sight of the device",
    verified: "a probe in the data's folder (past the page cache for a device) gets EIO (5), or EROFS (30) of a file system that ended \
               by it, or our file system counts operations that failed; none afterwards",
    undone: "our file system is taken away, or the device gets its own table back and the file system, where writes failed or it \
             ended by the errors, is checked and mounted anew (who has files of it open is killed), and the database started; by the \
             node itself when its lease ends",
    needs: |spec| [base_needs(), disk_mapper::needs(spec, |way| harms(spec, way), None)].concat(),
    decide: |ask| {
        let ppm = u32::try_from(ask.number("error_ppm")?).unwrap_or(1_000_000);
        let victims = Victims::of(ask)?;
        let rule = Rule { error_ppm: ppm, ops: operations(ask)?, paths: paths(ask), ..Rule::default() };
        let way = disk_mapper::way(ask);
        let harm = disk_mapper::errors(u64::from(ppm), ask.word("operations")?, ask.word("files").is_ok(), &way);
        let share = if way == disk_mapper::DEVICE_MAPPER { "of the time" } else { "of operations" };
        let more = format!("{} % {share}", f64::from(ppm) / 10_000.0);
        let fault = RuleFault::new(victims, rule, Sign::SomeErrors { ppm }, Plain::Never, more);
        Ok(Box::new(fault.or_by_device(way, harm)))
    },
    label: plain_label,
};

/// What the device below would be told, for every alternative of the options.
pub(super) fn harms(spec: &FaultSpec, way: &str) -> Vec<Harm> {
    let files = !spec.values("files").is_empty();
    let mut harms = Vec::new();
    for ppm in spec.values("share").iter().filter_map(serde_json::Value::as_u64) {
        for operations in spec.values("operations").iter().filter_map(serde_json::Value::as_str) {
            harms.push(disk_mapper::errors(ppm, operations, files, way));
        }
    }
    harms
}
