//! A run of a matrix as a process of its own: joining a lab's network is for the life of a process.
//!
//! Each is in a process group of its own, so that a Ctrl-C reaches it once, from here, whether it came from a terminal or
//! was sent to this process alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use schism_checkers::{Finding, Outcome, Verdict};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStderr, Command};

use super::cell::Cell;
use super::drive::RunCell;
use super::record::CellEnd;
use crate::commands::say;
use crate::exit::Exit;
use crate::judge::RunRecord;
use crate::run_dir::RunDir;
use crate::stop::{Stop, Wish};

/// How long the last words of a run that has ended are waited for.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);

/// Bytes of a line of standard error that are kept.
const LINE_BYTES_MAX: usize = 2_000;

/// Starts runs.
pub struct Children {
    own: PathBuf,
    folder: PathBuf,
    verbose: u8,
    /// Whether what runs say is to be told with the number of the run, as there are several at a time.
    numbered: bool,
    pids: Arc<Mutex<BTreeMap<usize, Pid>>>,
}

impl Children {
    /// Runs of the matrix in that folder, by this program.
    pub fn new(own: PathBuf, folder: &Path, verbose: u8, jobs: usize) -> Children {
        Children { own, folder: folder.to_owned(), verbose, numbered: jobs > 1, pids: Arc::default() }
    }

    /// Takes SIGINT and SIGTERM from now on: the first ends the matrix after the runs that are on, which end their load, heal and
    /// are judged; the second makes them heal only; the third ends this process, and they are told once more.
    ///
    /// # Errors
    /// When the signals cannot be taken.
    pub fn on_signals(&self, wish: &Wish) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (wish, pids) = (wish.clone(), self.pids.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                let insists = wish.now() == Stop::All;
                for pid in pids.lock().unwrap_or_else(PoisonError::into_inner).values() {
                    // One that has just ended needs no signal.
                    let _ = kill(*pid, Signal::SIGINT);
                }
                if insists {
                    std::process::exit(i32::from(Exit::Interrupted.code()));
                }
                wish.step();
                say("schism: no other run of the matrix begins; what runs is healed and judged");
            }
        });
        Ok(())
    }

    /// Runs the process to its end: its exit, and the last that it said.
    async fn process(&self, cell: &Cell, runs: &Path) -> Result<(Exit, Option<String>), String> {
        let told = |what: &str, error: std::io::Error| format!("{what}: {error}");
        std::fs::create_dir_all(runs).map_err(|error| told(&format!("cannot make {}", runs.display()), error))?;
        // From an earlier attempt; it would be taken for this one's.
        let _ = std::fs::remove_file(runs.join("latest"));
        let mut command = Command::new(&self.own);
        command.args(&cell.arguments).arg("--runs").arg(runs).args((0..self.verbose).map(|_| "-v"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child =
            command.spawn().map_err(|error| told(&format!("cannot start {}", self.own.display()), error))?;
        if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) {
            self.pids.lock().unwrap_or_else(PoisonError::into_inner).insert(cell.number, Pid::from_raw(pid));
        }
        let reader =
            child.stderr.take().map(|stderr| tokio::spawn(told_lines(stderr, self.numbered.then_some(cell.number))));
        let ended = child.wait().await;
        self.pids.lock().unwrap_or_else(PoisonError::into_inner).remove(&cell.number);
        let last = match reader {
            // A process that it left behind may hold the pipe open for ever.
            Some(reader) => tokio::time::timeout(DRAIN_WITHIN, reader).await.ok().and_then(Result::ok).flatten(),
            None => None,
        };
        let status = ended.map_err(|error| told("the run was lost", error))?;
        Ok((Exit::from_code(status.code()), last))
    }
}

/// Passes on what a run says, with its number where there are several; answers the last line.
async fn told_lines(stderr: ChildStderr, number: Option<usize>) -> Option<String> {
    let mut last = None;
    let mut lines = BufReader::new(stderr).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line[..line.len().min(LINE_BYTES_MAX)]).trim_end().to_owned();
        say(&number.map_or_else(|| line.clone(), |number| format!("{number:>3}  {line}")));
        last = Some(line).filter(|line| !line.is_empty()).or(last);
    }
    last
}

#[async_trait]
impl RunCell for Children {
    async fn run(&self, cell: &Cell) -> CellEnd {
        let began = Instant::now();
        let runs = self.folder.join(cell.folder());
        let (exit, last) = match self.process(cell, &runs).await {
            Ok((exit, last)) => (exit, last),
            Err(error) => (Exit::Internal, Some(error)),
        };
        let mut end = CellEnd { exit, ..gathered(&self.folder, &runs) };
        if end.outcome.is_none() {
            end.message = last.map(|line| line.trim_start_matches("schism: ").to_owned());
        }
        end.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        end
    }
}

/// What a run left in its folder.
fn gathered(matrix: &Path, runs: &Path) -> CellEnd {
    let mut end = CellEnd::default();
    let Ok(dir) = RunDir::open(runs, Path::new("latest")) else { return end };
    let path = runs.join(dir.name());
    end.run = Some(path.strip_prefix(matrix).unwrap_or(&path).display().to_string());
    let json = |path: PathBuf| -> Option<serde_json::Value> { serde_json::from_slice(&std::fs::read(path).ok()?).ok() };
    let record = json(dir.info()).and_then(|json| serde_json::from_value::<RunRecord>(json).ok());
    end.was_interrupted = record.as_ref().is_some_and(|record| record.interrupted);
    end.cleanup_is_proven = record.is_some_and(|record| record.info.cleanup_trouble.is_empty());
    let Some(verdict) = json(dir.verdict()).and_then(|json| Verdict::from_json(&json).ok()) else { return end };
    end.outcome = Some(verdict.outcome());
    for (checker, finding) in verdict.checkers.iter().filter(|(_, finding)| finding.outcome() == Outcome::Invalid) {
        let mut kinds: Vec<String> = finding.anomalies.iter().map(|anomaly| anomaly.kind.clone()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        end.anomalies.insert(checker.clone(), kinds);
    }
    (end.faults_tried, end.faults_landed) = verdict.checkers.get("run").map_or((0, 0), faults);
    end
}

/// Faults that were tried, and that landed, as the checker `run` counted them.
fn faults(finding: &Finding) -> (u64, u64) {
    let classes = finding.stats.get("faults_by_class").and_then(serde_json::Value::as_object);
    let sum = |key: &str| {
        let counts = classes.into_iter().flat_map(serde_json::Map::values);
        counts.filter_map(|class| class[key].as_u64()).sum()
    };
    (sum("tried_count"), sum("landed_count"))
}
