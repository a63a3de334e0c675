//! `schism matrix`: suites with every set of faults, workload, seed and sequence; one table, one exit code.
//!
//! All runs are planned before the first begins, so that a wrong name costs nothing. Each is an ordinary `schism run`, a process
//! of its own, with its folder in that of the matrix: `RUNS/<UTC time>-matrix-<short id>/001/<run>`. `matrix.json` there is
//! written after each run, `matrix.html` and `junit.xml` too; `--resume` goes on from it.

mod cell;
mod child;
mod drive;
mod expect;
mod numbers;
mod record;
#[cfg(test)]
mod support;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schism_reports::matrix::{Mark, MatrixRow, MatrixStory};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::MatrixArgs;
use crate::commands::{print, say};
use crate::error::RunnerError;
use crate::exit::Exit;
use crate::request::{self, command_line};
use crate::run_dir::{RunDir, write_whole};
use crate::stop::Wish;
use crate::{entropy, ground};

pub use numbers::NumberSet;
use record::{Matrix, Row, SCHEMA_VERSION};
use table::Widths;

/// Runs a matrix, shows it, or goes on with one.
///
/// # Errors
/// What prevented all of it; what a single run met is in its row.
pub fn matrix(args: &MatrixArgs, verbose: u8) -> Result<Exit, RunnerError> {
    let matrix = match &args.resume {
        Some(folder) => resumed(args, folder)?,
        None => planned(args)?,
    };
    if args.dry_run {
        return shown(args, &matrix);
    }
    let may_overlap = |row: &Row| !row.cell.arguments.iter().any(|word| word == "--inventory" || word == "--no-setup");
    let lab_is_own = |row: &Row| {
        let lab = row.cell.arguments.iter().position(|word| word == "--lab");
        lab.and_then(|at| row.cell.arguments.get(at + 1)).is_none_or(|lab| lab == "namespaces" || lab == "vms")
    };
    if args.jobs > 1 && !matrix.runs.iter().all(|row| may_overlap(row) && lab_is_own(row)) {
        return Err(RunnerError::Usage(
            "--jobs needs a lab for each run: a cluster that is there has one controller at a time".to_owned(),
        ));
    }
    let folder = match &args.resume {
        Some(folder) => folder.clone(),
        None => {
            let short_id = format!("{:08x}", entropy::fresh()?);
            RunDir::create(&args.runs, "matrix", OffsetDateTime::now_utc(), &short_id)?.path().to_owned()
        }
    };
    run(args, matrix, &folder, verbose)
}

/// All runs of the command line, with what is expected of them.
fn planned(args: &MatrixArgs) -> Result<Matrix, RunnerError> {
    let drawn_seed = u64::from(entropy::fresh()?);
    let mut vagrant_up = args.shared.vagrant_up;
    let cells = cell::cells(args, drawn_seed, &mut |one| {
        let mut one = one.clone();
        // Machines that were brought up for the first plan are up.
        one.shared.vagrant_up = std::mem::take(&mut vagrant_up);
        request::plan(&one)
    })?;
    let mut matrix = Matrix {
        schema_version: SCHEMA_VERSION,
        schism_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_utc: OffsetDateTime::now_utc().truncate_to_second().format(&Rfc3339).unwrap_or_default(),
        runs: cells.into_iter().map(|cell| Row { cell, expected: None, end: None }).collect(),
    };
    expecting(args, &mut matrix)?;
    Ok(matrix)
}

/// A matrix that was begun; `--expect` anew replaces what was expected.
fn resumed(args: &MatrixArgs, folder: &Path) -> Result<Matrix, RunnerError> {
    let mut matrix = Matrix::read(folder)?;
    expecting(args, &mut matrix)?;
    Ok(matrix)
}

fn expecting(args: &MatrixArgs, matrix: &mut Matrix) -> Result<(), RunnerError> {
    let Some(path) = &args.expect else { return Ok(()) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| RunnerError::Usage(format!("--expect {}: {error}", path.display())))?;
    let file = path.display().to_string();
    let all = expect::parse(&file, &text)?;
    let cells: Vec<cell::Cell> = matrix.runs.iter().map(|row| row.cell.clone()).collect();
    let (expected, notes) = expect::of_cells(&file, &all, &cells)?;
    notes.iter().for_each(|note| say(&format!("schism: {note}")));
    matrix.runs.iter_mut().zip(expected).for_each(|(row, expected)| row.expected = expected);
    Ok(())
}

/// `--dry-run`: the runs, and what is expected of them.
fn shown(args: &MatrixArgs, matrix: &Matrix) -> Result<Exit, RunnerError> {
    if args.json {
        print(&matrix.to_json()?)?;
        return Ok(Exit::Valid);
    }
    let widths = Widths::of(matrix);
    let mut text = String::new();
    for row in &matrix.runs {
        text.push_str(&table::cell_line(row, &widths, matrix.runs.len()));
        if let Some(expected) = &row.expected {
            text.push_str(&format!("  expected {}: {}", expected.verdict, expected.reason));
        }
        text.push_str(&format!("\n    {}\n", command_line(&row.cell.arguments)));
    }
    text.push_str(&format!("\n{} runs, {} at a time; nothing was run\n", matrix.runs.len(), args.jobs));
    print(&text)?;
    Ok(Exit::Valid)
}

/// Runs what is left, and tells each row as it ends.
fn run(args: &MatrixArgs, mut matrix: Matrix, folder: &Path, verbose: u8) -> Result<Exit, RunnerError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunnerError::Internal(format!("the runtime did not start: {error}")))?;
    // What cannot be written is better known before hours of runs.
    kept(args, &matrix, folder)?;
    let of = matrix.runs.len();
    say(&format!("schism: a matrix of {of} runs, in {}", folder.display()));
    let shown = folder.display().to_string();
    let widths = Widths::of(&matrix);
    let told = |matrix: &Matrix, place: usize| -> Result<(), RunnerError> {
        let lines = table::row_lines(&matrix.runs[place], &widths, of, &shown);
        if args.json {
            say(lines.trim_end())
        } else {
            print(&lines)?
        }
        kept(args, matrix, folder)
    };
    let absolute = std::fs::canonicalize(folder).map_err(|error| RunnerError::read(folder, error))?;
    let children = child::Children::new(ground::own_executable()?, &absolute, verbose, args.jobs as usize);
    let wish = Wish::default();
    runtime.block_on(async {
        children
            .on_signals(&wish)
            .map_err(|error| RunnerError::Internal(format!("signals cannot be taken: {error}")))?;
        let runner: Arc<dyn drive::RunCell> = Arc::new(children);
        drive::drive(&mut matrix, &runner, args.jobs as usize, &wish, told).await
    })?;
    kept(args, &matrix, folder)?;
    let exit = matrix.exit();
    print(&if args.json { matrix.to_json()? } else { table::summary(&matrix, &shown) })?;
    Ok(exit)
}

/// Writes everything that tells of a matrix.
fn kept(args: &MatrixArgs, matrix: &Matrix, folder: &Path) -> Result<(), RunnerError> {
    matrix.write(folder)?;
    let story = story(matrix);
    write_whole(&folder.join("matrix.html"), schism_reports::matrix::page(&story).as_bytes())?;
    let junit = schism_reports::matrix::junit(&story).map_err(|error| RunnerError::Internal(error.to_string()))?;
    let paths: Vec<PathBuf> = [folder.join("junit.xml")].into_iter().chain(args.junit.clone()).collect();
    paths.iter().try_for_each(|path| write_whole(path, junit.as_bytes()))
}

/// What there is to tell of a matrix.
fn story(matrix: &Matrix) -> MatrixStory {
    let exit = matrix.exit();
    let row = |row: &Row| {
        let (exit, _, why) = row.judged();
        let end = row.end.clone().unwrap_or_default();
        let cell = &row.cell;
        MatrixRow {
            number: cell.number,
            suite: cell.suite.clone(),
            workload: cell.workload.clone(),
            harm: cell.harm(),
            seed: cell.seed,
            mark: match exit {
                Exit::Valid => Mark::Pass,
                Exit::Anomaly => Mark::Fail,
                _ => Mark::Unsure,
            },
            result: table::result(row),
            notes: why.into_iter().chain(end.message).collect(),
            faults_landed: end.faults_landed,
            faults_tried: end.faults_tried,
            duration_ms: end.duration_ms,
            run: end.run,
            command: command_line(&cell.arguments),
        }
    };
    MatrixStory {
        started_utc: matrix.started_utc.clone(),
        schism_version: matrix.schism_version.clone(),
        result: format!("{exit} (exit {})", exit.code()),
        rows: matrix.runs.iter().map(row).collect(),
    }
}
