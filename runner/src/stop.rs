//! Ctrl-C: the first stops the load (the run is healed, judged and told all the same), the second only heals.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

/// How far the user wants to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Run.
    Run,
    /// No more load; heal, judge and report.
    StopLoad,
    /// Heal and end.
    HealOnly,
}

/// Shared by all who must know. Cloning shares.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    stage: Arc<AtomicU8>,
    changed: Arc<Notify>,
}

impl Stop {
    /// What the user wants now.
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::SeqCst) {
            0 => Stage::Run,
            1 => Stage::StopLoad,
            _ => Stage::HealOnly,
        }
    }

    /// One step further, as by a Ctrl-C.
    pub fn step(&self) -> Stage {
        let _ = self.stage.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |stage| (stage < 2).then_some(stage + 1));
        self.changed.notify_waiters();
        self.stage()
    }

    /// Waits until the stage is at least this.
    pub async fn reached(&self, stage: Stage) {
        loop {
            let changed = self.changed.notified();
            if self.stage() >= stage {
                return;
            }
            changed.await;
        }
    }

    /// Takes SIGINT and SIGTERM from now on: each is a step. Says on standard error what it means.
    ///
    /// # Errors
    /// When the signals cannot be taken.
    pub fn on_signals(&self, say: impl Fn(Stage) + Send + 'static) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let stop = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                say(stop.step());
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_step_goes_one_further_and_wakes_who_waits() {
        let stop = Stop::default();
        let waiting = tokio::spawn({
            let stop = stop.clone();
            async move { stop.reached(Stage::HealOnly).await }
        });
        assert_eq!(stop.step(), Stage::StopLoad);
        assert_eq!(stop.step(), Stage::HealOnly);
        assert_eq!(stop.step(), Stage::HealOnly);
        waiting.await.expect("the waiter ends");
    }
}
