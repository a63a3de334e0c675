//! A slow disk: every operation takes longer.

use crate::agent::faultfs::rules::{OpKind, Rule};
use crate::class::{Ask, Family, FaultEntry, plain_label};
use crate::fault::FaultError;
use crate::faults::TARGETS;
use crate::faults::disk::{FILES, Victims, base_needs, fuse_needs};
use crate::faults::disk_rule::{Plain, RuleFault, Sign};
use crate::option::{OptionEntry, OptionKind};

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
    ],
    works: "where nodes have FUSE and run our program: by our file system, on which the database is killed and started",
    verified: "operations of a probe in the data's folder take at least nine tenths of it, and not afterwards",
    undone: "our file system is taken away and the database started; by the node itself when its lease ends",
    needs: |_| [base_needs(), fuse_needs()].concat(),
    decide: |ask| {
        let ms = ask.number("latency_ms")?;
        let victims = Victims::of(ask)?;
        let rule = Rule { latency_ms: ms, ops: operations(ask)?, paths: paths(ask), ..Rule::default() };
        let more = format!("{ms} ms an operation");
        Ok(Box::new(RuleFault::new(victims, rule, Sign::Latency { ms }, Plain::Never, more)))
    },
    label: plain_label,
};

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
