//! A matrix on the terminal: a row for each run as it ends, then a table of how many ended how.

use std::fmt::Write;
use std::time::Duration;

use super::expect::Standing;
use super::record::{CellEnd, Matrix, Row};
use crate::exit::Exit;

/// Most characters of a column.
const COLUMN_MAX: usize = 44;

/// Widths that fit all rows of a matrix.
#[derive(Debug, Clone, Copy)]
pub struct Widths {
    number: usize,
    suite: usize,
    workload: usize,
    harm: usize,
    seed: usize,
}

fn cut(text: &str) -> String {
    if text.chars().count() <= COLUMN_MAX {
        return text.to_owned();
    }
    text.chars().take(COLUMN_MAX - 1).chain(['…']).collect()
}

impl Widths {
    /// Of this matrix.
    pub fn of(matrix: &Matrix) -> Widths {
        let widest = |text: &dyn Fn(&Row) -> String, title: &str| {
            let widths = matrix.runs.iter().map(|row| cut(&text(row)).chars().count());
            widths.chain([title.len()]).max().unwrap_or(0)
        };
        Widths {
            number: matrix.runs.len().to_string().len(),
            suite: widest(&|row| row.cell.suite.clone(), "suite"),
            workload: widest(&|row| row.cell.workload.clone(), "workload"),
            harm: widest(&|row| row.cell.harm(), "faults"),
            seed: widest(&|row| row.cell.seed.to_string(), ""),
        }
    }
}

/// What a run is, without how it ended.
pub fn cell_line(row: &Row, widths: &Widths, of: usize) -> String {
    let cell = &row.cell;
    format!(
        "{:>number$}/{of}  {:suite$}  {:workload$}  {:harm$}  seed {:seed$}",
        cell.number,
        cut(&cell.suite),
        cut(&cell.workload),
        cut(&cell.harm()),
        cell.seed,
        number = widths.number,
        suite = widths.suite,
        workload = widths.workload,
        harm = widths.harm,
        seed = widths.seed,
    )
}

/// What a run ended with, in a few words: `anomaly found (linearizable: nonlinearizable)`.
pub fn result(row: &Row) -> String {
    let Some(end) = &row.end else { return "not run".to_owned() };
    let mut text = end.exit.to_string();
    if !end.anomalies.is_empty() {
        let found = end.anomalies.iter().map(|(checker, kinds)| format!("{checker}: {}", kinds.join(" ")));
        let _ = write!(text, " ({})", found.collect::<Vec<_>>().join("; "));
    }
    if end.was_interrupted {
        text.push_str(", interrupted");
    }
    match row.judged() {
        (Exit::CleanupNotProven, Standing::Expected, _) => text.push_str(", as expected, cleanup not proven"),
        (_, Standing::Expected, _) => text.push_str(", as expected"),
        (_, Standing::Unexpected, _) => text.push_str(", NOT as expected"),
        (_, Standing::AsItEnded, _) => {}
    }
    text
}

fn faults(end: &CellEnd) -> String {
    format!("{}/{} faults", end.faults_landed, end.faults_tried)
}

/// A row, and what there is to say of it.
pub fn row_lines(row: &Row, widths: &Widths, of: usize, folder: &str) -> String {
    let mut text = format!("{}  {}", cell_line(row, widths, of), result(row));
    let Some(end) = &row.end else { return text + "\n" };
    let _ = write!(text, "  {:.0} s", Duration::from_millis(end.duration_ms).as_secs_f64());
    if !row.cell.faults.is_empty() && end.outcome.is_some() {
        let _ = write!(text, "  {}", faults(end));
    }
    if let Some(run) = &end.run {
        let _ = write!(text, "  {folder}/{run}");
    }
    text.push('\n');
    let (_, standing, why) = row.judged();
    let message = end.message.clone().filter(|_| end.exit != Exit::Valid);
    for line in why.filter(|_| standing != Standing::AsItEnded).into_iter().chain(message) {
        let _ = writeln!(text, "{:indent$}{line}", "", indent = widths.number + 1 + of.to_string().len() + 2);
    }
    text
}

/// How many runs of a group ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    runs: usize,
    valid: usize,
    expected: usize,
    anomaly: usize,
    unknown: usize,
    other: usize,
    not_run: usize,
}

impl Counts {
    fn add(&mut self, row: &Row) {
        self.runs += 1;
        let (exit, standing, _) = row.judged();
        *(match (exit, standing) {
            _ if row.end.is_none() => &mut self.not_run,
            (Exit::Valid, Standing::Expected) => &mut self.expected,
            (Exit::Valid, _) => &mut self.valid,
            // A valid run where something was to be found fails as an anomaly does, but is none.
            (_, Standing::Unexpected) => &mut self.other,
            (Exit::Anomaly, _) => &mut self.anomaly,
            (Exit::Unknown, _) => &mut self.unknown,
            _ => &mut self.other,
        }) += 1;
    }

    fn columns(&self) -> [usize; 7] {
        [self.runs, self.valid, self.expected, self.anomaly, self.unknown, self.other, self.not_run]
    }
}

const TITLES: [&str; 7] = ["runs", "valid", "expected", "anomaly", "unknown", "failed", "not run"];

/// How many runs ended how, by suite, workload and faults (all sequences together), and the exit of all.
pub fn summary(matrix: &Matrix, folder: &str) -> String {
    let mut groups: Vec<([String; 3], Counts)> = Vec::new();
    let mut all = Counts::default();
    for row in &matrix.runs {
        let cell = &row.cell;
        let harm = if cell.sequence.is_some() { "sequences".to_owned() } else { cell.harm() };
        let key = [cell.suite.clone(), cell.workload.clone(), harm];
        all.add(row);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, counts)) => counts.add(row),
            None => {
                let mut counts = Counts::default();
                counts.add(row);
                groups.push((key, counts));
            }
        }
    }
    let last = ["all".to_owned(), String::new(), String::new()];
    if groups.len() > 1 {
        groups.push((last, all));
    }
    let width = |at: usize, title: &str| {
        let widths = groups.iter().map(|(key, _)| cut(&key[at]).chars().count());
        widths.chain([title.len()]).max().unwrap_or(0)
    };
    let names = [width(0, "suite"), width(1, "workload"), width(2, "faults")];
    let mut text = String::from("\n");
    let mut line = |key: [&str; 3], columns: [String; 7]| {
        let mut one = String::new();
        for (name, width) in key.iter().zip(names) {
            let _ = write!(one, "{:width$}  ", cut(name));
        }
        for (column, title) in columns.iter().zip(TITLES) {
            let _ = write!(one, "{column:>width$}  ", width = title.len());
        }
        let _ = writeln!(text, "{}", one.trim_end());
    };
    line(["suite", "workload", "faults"], TITLES.map(str::to_owned));
    for (key, counts) in &groups {
        line([&key[0], &key[1], &key[2]], counts.columns().map(|count| count.to_string()));
    }
    let exit = matrix.exit();
    let _ = writeln!(text, "\nTogether {exit} (exit {})", exit.code());
    let _ = writeln!(text, "Report   {folder}/matrix.html");
    if all.not_run > 0 {
        let _ = writeln!(text, "Go on    schism matrix --resume {}", schism_cluster::shell::quote(folder));
    }
    text
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
