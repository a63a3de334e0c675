//! Ctrl-C: the first stops the load (the run is healed, judged and told all the same), the second only heals.

use std::sync::Arc;

use tokio::sync::watch;

use crate::exit::Exit;
pub use crate::interpreter::Stop;

/// What the user wants, for all who must know. Cloning shares.
#[derive(Debug, Clone)]
pub struct Wish {
    sender: Arc<watch::Sender<Stop>>,
}

impl Default for Wish {
    fn default() -> Wish {
        Wish { sender: Arc::new(watch::Sender::new(Stop::No)) }
    }
}

impl Wish {
    /// What the user wants now.
    pub fn now(&self) -> Stop {
        *self.sender.borrow()
    }

    /// For the interpreter.
    pub fn subscribe(&self) -> watch::Receiver<Stop> {
        self.sender.subscribe()
    }

    /// One step further, as by a Ctrl-C.
    pub fn step(&self) -> Stop {
        self.sender.send_modify(|stop| {
            *stop = match *stop {
                Stop::No => Stop::Load,
                Stop::Load | Stop::All => Stop::All,
            }
        });
        self.now()
    }

    /// Waits for the first wish to end.
    pub async fn to_end(&self) {
        // The sender lives as long as this wish, so waiting cannot fail.
        let _ = self.subscribe().wait_for(|stop| *stop != Stop::No).await;
    }

    /// Takes SIGINT and SIGTERM from now on: each is a step, the third ends the process. `say` tells the user what it means.
    ///
    /// # Errors
    /// When the signals cannot be taken.
    pub fn on_signals(&self, say: impl Fn(Stop) + Send + 'static) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let wish = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if wish.now() == Stop::All {
                    // Who insists a third time leaves at once: what is still on heals by its leases.
                    std::process::exit(i32::from(Exit::Interrupted.code()));
                }
                say(wish.step());
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
        let wish = Wish::default();
        let waiting = tokio::spawn({
            let wish = wish.clone();
            async move { wish.to_end().await }
        });
        assert_eq!(wish.now(), Stop::No);
        assert_eq!(wish.step(), Stop::Load);
        assert_eq!(wish.step(), Stop::All);
        assert_eq!(wish.step(), Stop::All);
        waiting.await.expect("the waiter ends");
    }
}
