//! The table of faults in words: for `schism explain` and for `docs/faults.md`.

use std::fmt::Write;

use crate::class::{FAULTS, Family, FaultEntry};
use crate::spec::FaultSpec;

/// Families in the order of the table, with their titles.
const FAMILIES: &[(Family, &str)] = &[
    (Family::Network, "Network"),
    (Family::Process, "Processes of the database"),
    (Family::Node, "Whole nodes"),
    (Family::Clock, "Clocks"),
    (Family::Disk, "Files and disks"),
    (Family::Resources, "Processors, memory, descriptors"),
    (Family::Membership, "Membership"),
];

/// A class at length, for a terminal.
pub fn describe(entry: &FaultEntry) -> String {
    let mut text = format!("{}: {}\n\n", entry.name, entry.about);
    let mut line = |name: &str, what: &str| {
        let _ = writeln!(text, "  {name:9} {what}");
    };
    line("works", entry.works);
    line("proven by", entry.verified);
    line("undone by", entry.undone);
    text.push_str("\n  options (each may be a list: every injection draws one of it)\n");
    for option in entry.options {
        let _ = writeln!(text, "    {:12} {} ({})", option.name, option.about, option.kind.expected());
        if !option.default.is_empty() {
            let _ = writeln!(text, "    {:12} default: {}", "", option.default.join(", "));
        }
    }
    text.push_str(
        "    interval     mean time between the heal of one and the next (the schedule's where it is not given)\n",
    );
    text.push_str("    duration     mean time that one is on (the schedule's where it is not given)\n");
    text
}

/// All classes, as the page `docs/faults.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Faults\n\n\
         This page is made from the table of faults in `nemesis/src/class.rs`; a test keeps it true. `schism explain NAME` shows\n\
         one of them in a terminal.\n\n\
         Every fault is written to the ledger with its undo before the harm, counts only when it was measured to take effect,\n\
         carries a lease on the node (and with the lab's holder), and is measured to be gone after its undo. Every option may be\n\
         a list: each injection draws one of it. All take `interval` and `duration` (mean times; the schedule's without).\n",
    );
    page.push_str("\n| fault | what it does |\n|---|---|\n");
    for entry in FAULTS {
        let _ = writeln!(page, "| [`{0}`](#{0}) | {1} |", entry.name, cell(entry.about));
    }
    for (family, title) in FAMILIES {
        let entries: Vec<&&FaultEntry> = FAULTS.iter().filter(|entry| entry.family == *family).collect();
        if entries.is_empty() {
            continue;
        }
        let _ = writeln!(page, "\n## {title}");
        for entry in entries {
            section(&mut page, entry);
        }
    }
    page
}

fn section(page: &mut String, entry: &'static FaultEntry) {
    let _ = write!(page, "\n### {}\n\nIt {}.\n\n", entry.name, entry.about);
    let _ = writeln!(page, "- Works: {}.", entry.works);
    let _ = writeln!(page, "- Proven by: {}.", entry.verified);
    let _ = writeln!(page, "- Undone: {}.", entry.undone);
    if !entry.options.is_empty() {
        page.push_str("\n| option | what it says | what it may be | default |\n|---|---|---|---|\n");
        for option in entry.options {
            let default = match option.default {
                [] => "(open)".to_owned(),
                texts => texts.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", "),
            };
            let (about, expected) = (cell(option.about), cell(&option.kind.expected()));
            let _ = writeln!(page, "| `{}` | {about} | {expected} | {default} |", option.name);
        }
    }
    // What it is with its defaults, as a suite would write it.
    if let Ok(json) = serde_json::to_string(&FaultSpec::of(entry)) {
        let _ = writeln!(page, "\nWith its defaults, as JSON (which is YAML too): `{json}`");
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_told_with_all_its_options() {
        let page = markdown();
        for entry in FAULTS {
            assert!(page.contains(&format!("\n### {}\n", entry.name)), "{}", entry.name);
            let told = describe(entry);
            for option in entry.options {
                assert!(told.contains(option.about), "{}", option.name);
            }
        }
    }

    /// The page in the repository is the one that the table gives; `SCHISM_UPDATE_DOCS=1` writes it anew.
    #[test]
    fn the_page_is_true() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/faults.md");
        if std::env::var_os("SCHISM_UPDATE_DOCS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let there = std::fs::read_to_string(path).unwrap_or_default();
        assert!(there == markdown(), "docs/faults.md is old: SCHISM_UPDATE_DOCS=1 cargo test -p schism-nemesis docs");
    }
}
