//! Writes sample reports into a folder, to look at: `cargo run -p schism-reports --example sample -- DIR`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it is made of the tests' stories")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;

use schism_reports::terminal::Look;
use schism_reports::{github, html, junit, terminal};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: sample DIR")?);
    std::fs::create_dir_all(&folder)?;
    let stories = [
        ("stale", common::stale()),
        ("knot", common::knot()),
        ("valid", common::valid()),
        ("unknown", common::unknown()),
        ("imported", common::imported()),
        ("empty", common::empty()),
        ("hostile", common::hostile()),
    ];
    let cycles = common::transactions::cycles().into_iter().map(|told| (told.info.suite.replace(' ', "-"), told));
    for (name, told) in stories.map(|(name, told)| (name.to_owned(), told)).into_iter().chain(cycles) {
        let story = told.story();
        let page = folder.join(format!("{name}.html"));
        std::fs::write(&page, html::page(&story))?;
        std::fs::write(folder.join(format!("{name}.xml")), junit::junit(&story)?)?;
        std::fs::write(folder.join(format!("{name}.md")), github::step_summary(&story))?;
        let report = page.display().to_string();
        let summary = terminal::summary(&story, Look { color: false, report_path: Some(&report) });
        writeln!(std::io::stdout(), "{summary}\n{}\n", "=".repeat(96))?;
    }
    Ok(())
}
