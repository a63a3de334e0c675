//! `schism list`, `schism completions`: tables made visible.

use std::io::Write;

use clap::CommandFactory;
use schism_checkers::AnomalyKind;
use schism_checkers::txn::levels::{LEVELS, LevelEntry};

use crate::cli::{Cli, ListArgs, ListWhat};
use crate::commands::print;
use crate::error::RunnerError;
use crate::exit::Exit;

/// Prints a family's table.
///
/// # Errors
/// When standard output cannot be written.
pub fn list(args: &ListArgs) -> Result<Exit, RunnerError> {
    let rows = rows(args.what);
    if args.json {
        let items: Vec<_> =
            rows.iter().map(|(name, about)| serde_json::json!({"name": name, "about": about})).collect();
        print(&format!("{}\n", serde_json::json!({"schema_version": 1, "items": items})))?;
        return Ok(Exit::Valid);
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    print(&rows.iter().map(|(name, about)| format!("{name:width$}  {about}\n")).collect::<String>())?;
    Ok(Exit::Valid)
}

fn rows(what: ListWhat) -> Vec<(String, String)> {
    let row = |name: &str, about: &str| (name.to_owned(), about.to_owned());
    match what {
        ListWhat::Suites => schism_tests_suites::SUITES.iter().map(|entry| row(entry.name, entry.about)).collect(),
        ListWhat::Databases => {
            schism_tests_suites::DATABASES.iter().map(|entry| row(entry.name, entry.about)).collect()
        }
        ListWhat::Workloads => schism_workloads::WORKLOADS.iter().map(|entry| row(entry.name, entry.about)).collect(),
        ListWhat::Faults => schism_nemesis::FAULTS.iter().map(|entry| row(entry.name, entry.about)).collect(),
        ListWhat::Checkers => {
            schism_checkers::table::CHECKERS.iter().map(|entry| row(entry.name, entry.about)).collect()
        }
        ListWhat::Levels => {
            let usual = |entry: &LevelEntry| match entry.level.usual_name() {
                name if name == entry.name => entry.about.to_owned(),
                _ => format!("{}: {}", entry.name, entry.about),
            };
            LEVELS.iter().map(|entry| row(entry.level.usual_name(), &usual(entry))).collect()
        }
        ListWhat::Anomalies => AnomalyKind::ALL.iter().map(|kind| row(kind.as_str(), kind.about())).collect(),
        ListWhat::Models => {
            schism_checkers::table::MODELS.iter().map(|entry| row(entry.model.form(), entry.about)).collect()
        }
    }
}

/// Prints a completion script.
///
/// # Errors
/// None today.
pub fn completions(shell: clap_complete::Shell) -> Result<Exit, RunnerError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "schism", &mut script);
    // A closed pipe is the reader's wish.
    let _ = std::io::stdout().write_all(&script);
    Ok(Exit::Valid)
}
