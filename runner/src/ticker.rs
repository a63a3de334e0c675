//! Progress on standard error: one line a second on a terminal, one every ten seconds elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::commands::say;
use crate::progress::{Progress, Snapshot};

/// Tells progress until it is ended.
pub struct Ticker {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Ticker {
    /// Stops telling, after a last line.
    pub async fn end(self) {
        let _ = self.end.send(());
        // A ticker that failed has told nothing wrong.
        let _ = self.task.await;
    }
}

/// Begins to tell.
pub fn start(progress: Arc<Progress>) -> Ticker {
    let every = Duration::from_secs(if std::io::stderr().is_terminal() { 1 } else { 10 });
    let (end, mut ended) = oneshot::channel();
    let task = tokio::spawn(async move {
        let mut before = Snapshot::default();
        let mut told = tokio::time::Instant::now();
        loop {
            let last = tokio::select! {
                _ = &mut ended => true,
                () = tokio::time::sleep(every) => false,
            };
            let now = progress.snapshot();
            say(&line(&before, &now, told.elapsed()));
            (before, told) = (now, tokio::time::Instant::now());
            if last {
                return;
            }
        }
    });
    Ticker { end, task }
}

fn line(before: &Snapshot, now: &Snapshot, elapsed: Duration) -> String {
    let ended = |snapshot: &Snapshot| snapshot.ok + snapshot.fail + snapshot.info;
    let rate = (ended(now) - ended(before)) as f64 / elapsed.as_secs_f64().max(0.001);
    let faults: Vec<&str> = now.faults_on.iter().map(|(_, class)| class.as_str()).collect();
    let faults = if faults.is_empty() { "none".to_owned() } else { faults.join(" ") };
    format!(
        "{:>5} s  {rate:>6.0} ops/s  ok {}  fail {}  info {}  faults on: {faults}",
        now.time_ns / 1_000_000_000,
        now.ok,
        now.fail,
        now.info
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_time_rate_counts_and_faults() {
        let now = Snapshot {
            time_ns: 12_500_000_000,
            invoked: 250,
            ok: 200,
            fail: 7,
            info: 3,
            faults_on: vec![(1, "partition".to_owned()), (2, "kill".to_owned())],
        };
        let text = line(&Snapshot::default(), &now, Duration::from_secs(2));
        assert_eq!(text.trim(), "12 s     105 ops/s  ok 200  fail 7  info 3  faults on: partition kill");
    }
}
