//! Runs the runs of a matrix, so many at a time, until all are done or the user has enough.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinSet;

use super::cell::Cell;
use super::record::{CellEnd, Matrix};
use crate::error::RunnerError;
use crate::exit::Exit;
use crate::stop::{Stop, Wish};

/// Runs one run. The real one starts a process; tests have a stand-in.
#[async_trait]
pub trait RunCell: Send + Sync {
    /// Runs it to its end.
    async fn run(&self, cell: &Cell) -> CellEnd;
}

/// Runs what has no end yet, in order, at most `jobs` at a time. `told` hears of each end, by the row's place, when it is in the
/// matrix. Once the user wants an end, those that run go on to theirs, and no other begins.
///
/// # Errors
/// Those of `told`; then no other run begins, and those that run are waited for.
pub async fn drive(
    matrix: &mut Matrix,
    runner: &Arc<dyn RunCell>,
    jobs: usize,
    wish: &Wish,
    mut told: impl FnMut(&Matrix, usize) -> Result<(), RunnerError>,
) -> Result<(), RunnerError> {
    let mut left: std::collections::VecDeque<usize> =
        (0..matrix.runs.len()).filter(|place| matrix.runs[*place].end.is_none()).collect();
    let mut running = JoinSet::new();
    let mut places = std::collections::HashMap::new();
    let mut trouble = Ok(());
    loop {
        while running.len() < jobs.max(1) && wish.now() == Stop::No && trouble.is_ok() {
            let Some(place) = left.pop_front() else { break };
            let (runner, cell) = (runner.clone(), matrix.runs[place].cell.clone());
            let task = running.spawn(async move { runner.run(&cell).await });
            places.insert(task.id(), place);
        }
        let Some(ended) = running.join_next_with_id().await else { break };
        let (id, end) = match ended {
            Ok((id, end)) => (id, end),
            Err(error) => {
                let message = Some(format!("the run was lost: {error}"));
                (error.id(), CellEnd { exit: Exit::Internal, message, ..CellEnd::default() })
            }
        };
        let Some(place) = places.remove(&id) else { continue };
        matrix.runs[place].end = Some(end);
        if trouble.is_ok() {
            trouble = told(matrix, place);
        }
    }
    trouble
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;
