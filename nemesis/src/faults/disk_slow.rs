//! A slow disk: every operation takes longer.

use crate::agent::faultfs::rules::{OpKind, Rule};
use crate::class::{Ask, Family, FaultEntry, plain_label};
use crate::fault::FaultError;
use crate::faults::TARGETS;
use crate::faults::disk::{FILES, Victims, base_needs};
use crate::faults::disk_mapper::{self, Harm, WAY};
use crate::faults::disk_rule::{Plain, RuleFault, Sign};
use crate::option::{OptionEntry, OptionKind};
use crate::spec::FaultSpec;

/// The class.
pub const CLASS: &str = "disk-slow";

/// Which operations, as suites say it.
pub(super) const OPERATIONS: OptionEntry = OptionEntry {
    name: "operations",
    key: "operations",
    kind: OptionKind::OneOf(&["all", "read", "write", "fsync"]),
    default: &["all"],
    about: "which operations",
};

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Disk,
    about: "slows the database's disk: each operation takes longer by a fixed time",
    options: &[
        TARGETS,
        OptionEntry {
            name: "latency",
            key: "latency_ms",
            kind: OptionKind::Span(1, 5_000),
            default: &["20ms", "100ms", "500ms"],
            about: "added to each operation",
        },
        OPERATIONS,
        FILES,
        WAY,
    ],
    works: "where the data lies on a device of the device mapper of its own (a logical volume, the data disk of a lab's machine): by \
            dm-delay, which delays what reaches the device and restarts nothing; else, and for single files, where nodes have FUSE \
            and run our program: by our file system, on which the database is killed and started",
    verified: "operations of a probe in the data's folder (past the page cache for a device) take at least nine tenths of it, and \
               not afterwards",
    undone: "the device gets its own table back, or our file system is taken away and the database started; by the node itself when \
             its lease ends",
    needs: |spec| [base_needs(), disk_mapper::needs(spec, |way| harms(spec, way), None)].concat(),
    decide: |ask| {
        let ms = ask.number("latency_ms")?;
        let victims = Victims::of(ask)?;
        let rule = Rule { latency_ms: ms, ops: operations(ask)?, paths: paths(ask), ..Rule::default() };
        let more = format!("{ms} ms an operation");
        let harm = disk_mapper::delay(ms, ask.word("operations")?, ask.word("files").is_ok());
        let fault = RuleFault::new(victims, rule, Sign::Latency { ms }, Plain::Never, more);
        Ok(Box::new(fault.or_by_device(disk_mapper::way(ask), harm)))
    },
    label: plain_label,
};

/// What the device below would be told, for every alternative of the options but the latency.
pub(super) fn harms(spec: &FaultSpec, _way: &str) -> Vec<Harm> {
    let files = !spec.values("files").is_empty();
    let operations = spec.values("operations").iter().filter_map(serde_json::Value::as_str);
    operations.map(|operations| disk_mapper::delay(1, operations, files)).collect()
}

/// The operations of an intention; none for all.
pub(super) fn operations(ask: &Ask<'_>) -> Result<Vec<OpKind>, FaultError> {
    Ok(match ask.word("operations")? {
        "read" => vec![OpKind::Read],
        "write" => vec![OpKind::Write],
        "fsync" => vec![OpKind::Fsync],
        _ => Vec::new(),
    })
}

/// The patterns of an intention, and our probe's; none for all.
pub(super) fn paths(ask: &Ask<'_>) -> Vec<String> {
    let probe = format!(".schism-probe-{}", ask.tag.lease(ask.fault_id));
    ask.word("files").map_or(Vec::new(), |files| vec![files.to_owned(), probe])
}
