//! Rows for tests.

use schism_checkers::Outcome;

use super::cell::Cell;
use super::record::{CellEnd, Matrix, Row, SCHEMA_VERSION};
use crate::exit::Exit;

pub(super) fn cell(number: usize) -> Cell {
    Cell {
        number,
        suite: "etcd/register".to_owned(),
        workload: "register".to_owned(),
        faults_asked: None,
        faults: vec!["kill".to_owned(), "pause".to_owned()],
        seed: number as u64,
        sequence: None,
        sequence_label: None,
        arguments: vec!["run".to_owned(), "etcd/register".to_owned(), "--seed".to_owned(), number.to_string()],
    }
}

pub(super) fn end(exit: Exit) -> CellEnd {
    let outcome = match exit {
        Exit::Valid => Some(Outcome::Valid),
        Exit::Anomaly => Some(Outcome::Invalid),
        Exit::Unknown | Exit::CleanupNotProven => Some(Outcome::Unknown),
        _ => None,
    };
    let mut end = CellEnd { exit, outcome, cleanup_is_proven: exit != Exit::CleanupNotProven, ..CellEnd::default() };
    if exit == Exit::Anomaly {
        end.anomalies.insert("linearizable".to_owned(), vec!["nonlinearizable".to_owned()]);
    }
    end
}

pub(super) fn matrix(exits: &[Option<Exit>]) -> Matrix {
    let row = |(place, exit): (usize, &Option<Exit>)| Row { cell: cell(place + 1), expected: None, end: exit.map(end) };
    Matrix {
        schema_version: SCHEMA_VERSION,
        schism_version: "0".to_owned(),
        started_utc: "2026-01-01T00:00:00Z".to_owned(),
        runs: exits.iter().enumerate().map(row).collect(),
    }
}
