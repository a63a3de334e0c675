//! The runs of a matrix with a stand-in for the process.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::commands::matrix::support::{end, matrix};

/// Ends each run as its table says, in virtual time.
struct StandIn {
    exits: Vec<Exit>,
    began: Mutex<Vec<usize>>,
    now: AtomicUsize,
    most: AtomicUsize,
    /// The run in which the user has enough.
    interrupted_in: Option<usize>,
    wish: Wish,
}

impl StandIn {
    fn new(exits: &[Exit], interrupted_in: Option<usize>) -> (Arc<StandIn>, Wish) {
        let wish = Wish::default();
        let began = Mutex::new(Vec::new());
        let stand_in = StandIn {
            exits: exits.to_vec(),
            began,
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            interrupted_in,
            wish: wish.clone(),
        };
        (Arc::new(stand_in), wish)
    }
}

#[async_trait]
impl RunCell for StandIn {
    async fn run(&self, cell: &Cell) -> CellEnd {
        self.began.lock().unwrap().push(cell.number);
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        if self.interrupted_in == Some(cell.number) {
            self.wish.step();
        }
        tokio::time::sleep(Duration::from_secs(10 + cell.number as u64 % 3)).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        assert!(cell.number != 13, "this run is lost");
        end(self.exits[(cell.number - 1) % self.exits.len()])
    }
}

async fn driven(runs: usize, exits: &[Exit], jobs: usize, interrupted_in: Option<usize>) -> (Matrix, Arc<StandIn>) {
    let (stand_in, wish) = StandIn::new(exits, interrupted_in);
    let runner: Arc<dyn RunCell> = stand_in.clone();
    let mut all = matrix(&vec![None; runs]);
    let mut told = Vec::new();
    let drove = drive(&mut all, &runner, jobs, &wish, |matrix, place| {
        assert!(matrix.runs[place].end.is_some(), "it is in the matrix when it is told");
        told.push(place);
        Ok(())
    });
    drove.await.expect("nothing went wrong");
    assert_eq!(told.len(), all.runs.iter().filter(|row| row.end.is_some()).count(), "each end is told once");
    (all, stand_in)
}

#[tokio::test(start_paused = true)]
async fn the_exit_of_all_is_the_worst() {
    use Exit::{Anomaly, CleanupNotProven, Unavailable, Unknown, Valid};
    let cases: &[(&[Exit], Exit)] = &[
        (&[Valid], Valid),
        (&[Valid, Unknown], Unknown),
        (&[Unknown, Valid, CleanupNotProven], CleanupNotProven),
        (&[Unavailable, Unknown], Unavailable),
        (&[Unavailable, Anomaly, Valid], Anomaly),
        (&[Exit::Interrupted, Valid], Exit::Interrupted),
        (&[Exit::Interrupted, Unknown], Unknown),
        (&[Exit::NothingTested, Unknown, Valid], Exit::NothingTested),
        (&[Exit::Usage, Unknown], Exit::Usage),
    ];
    for (exits, expected) in cases {
        let (all, _) = driven(exits.len(), exits, 1, None).await;
        assert_eq!(all.exit(), *expected, "{exits:?}");
    }
    assert_eq!(matrix(&[]).exit(), Valid);
}

#[tokio::test(start_paused = true)]
async fn one_after_another_in_order_or_so_many_at_a_time() {
    for (jobs, most) in [(0, 1), (1, 1), (3, 3), (64, 12)] {
        let (all, stand_in) = driven(12, &[Exit::Valid], jobs, None).await;
        assert_eq!(stand_in.most.load(Ordering::SeqCst), most, "{jobs} at a time");
        let mut began = stand_in.began.lock().unwrap().clone();
        if jobs <= 1 {
            assert_eq!(began, (1..=12).collect::<Vec<_>>());
        }
        began.sort_unstable();
        assert_eq!(began, (1..=12).collect::<Vec<_>>(), "each once");
        assert!(all.runs.iter().all(|row| row.end.is_some()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_matrix_ends_what_runs_and_tells_what_was_not_run() {
    let (all, stand_in) = driven(6, &[Exit::Valid], 2, Some(3)).await;
    // Three of the six began before the user had enough, and ended.
    let ended = all.runs.iter().filter(|row| row.end.is_some()).count();
    assert_eq!((ended, stand_in.began.lock().unwrap().len()), (3, 3));
    assert_eq!(all.exit(), Exit::Interrupted);
    let (found, _) = driven(6, &[Exit::Anomaly, Exit::Valid], 1, Some(2)).await;
    assert_eq!(found.exit(), Exit::Anomaly, "what was found before is not forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_lost_is_told_and_the_others_go_on() {
    let (all, _) = driven(14, &[Exit::Valid], 1, None).await;
    let lost = all.runs[12].end.as_ref().expect("an end");
    assert_eq!(lost.exit, Exit::Internal);
    assert!(lost.message.as_ref().is_some_and(|message| message.contains("the run was lost")));
    assert_eq!(all.runs[13].end.as_ref().map(|end| end.exit), Some(Exit::Valid));
}

#[tokio::test(start_paused = true)]
async fn when_nothing_can_be_written_no_other_run_begins() {
    let (stand_in, wish) = StandIn::new(&[Exit::Valid], None);
    let runner: Arc<dyn RunCell> = stand_in.clone();
    let mut all = matrix(&[None; 6]);
    let full = || RunnerError::write(std::path::Path::new("x"), std::io::ErrorKind::StorageFull.into());
    let drove = drive(&mut all, &runner, 2, &wish, |_, _| Err(full())).await;
    assert_eq!(drove.expect_err("the disk is full").exit(), Exit::CannotWrite);
    assert_eq!(stand_in.began.lock().unwrap().len(), 2, "what ran was waited for");
    assert_eq!(stand_in.now.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn going_on_runs_only_what_has_no_verdict() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut before =
        matrix(&[Some(Exit::Valid), Some(Exit::Interrupted), None, Some(Exit::Anomaly), Some(Exit::Valid)]);
    before.runs[4].end.as_mut().expect("an end").was_interrupted = true;
    before.write(folder.path()).expect("written");
    let mut after = Matrix::read(folder.path()).expect("read");
    let (stand_in, wish) = StandIn::new(&[Exit::Unknown], None);
    let runner: Arc<dyn RunCell> = stand_in.clone();
    drive(&mut after, &runner, 1, &wish, |_, _| Ok(())).await.expect("nothing went wrong");
    assert_eq!(*stand_in.began.lock().unwrap(), [2, 3, 5]);
    assert_eq!(after.runs[0], before.runs[0], "what has a verdict keeps it");
    assert_eq!(after.exit(), Exit::Anomaly);
}
