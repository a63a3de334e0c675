//! `schism report`: tells again.

use crate::cli::ReportArgs;
use crate::commands::{print, say};
use crate::error::RunnerError;
use crate::exit::Exit;
use crate::judge;
use crate::run_dir::RunDir;

/// Writes the page and JUnit of a run again, from its verdict.
///
/// # Errors
/// When the run cannot be read or its folder cannot be written.
pub fn report(args: &ReportArgs) -> Result<Exit, RunnerError> {
    let dir = RunDir::open(&args.runs, &args.run)?;
    let record = judge::read(&dir)?;
    let path = dir.verdict();
    let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => RunnerError::Usage(format!(
            "{} has no verdict yet; `schism check {}` judges it",
            dir.path().display(),
            dir.path().display()
        )),
        _ => RunnerError::read(&path, error),
    })?;
    let malformed = |reason: String| RunnerError::Malformed { path: path.clone(), reason };
    let json = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
    let verdict = schism_checkers::Verdict::from_json(&json).map_err(|error| malformed(error.to_string()))?;
    judge::tell(&dir, &record, &verdict)?;
    print(&format!("{}\n", dir.report().display()))?;
    if args.open {
        open(&dir);
    }
    Ok(Exit::Valid)
}

fn open(dir: &RunDir) {
    let opened = std::process::Command::new("xdg-open").arg(dir.report()).status();
    if !opened.is_ok_and(|status| status.success()) {
        say("schism: no browser could be opened (xdg-open); open the file yourself");
    }
}
