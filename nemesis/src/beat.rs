//! Signs of life: while a run lasts, every node and the ground hear of its controller every few seconds, so that leases
//! do not run out; and the node's claim is kept.
//!
//! Each node has a task and (over SSH) a connection of its own, so that neither a long operation of a fault nor a node that
//! does not answer holds up a beat elsewhere. A node that cannot be reached is tried again all the time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schism_cluster::{Cluster, Command, NodeHandle};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::claim::Claim;
use crate::lease::Leases;
use crate::scripts;
use crate::tag::RunTag;

/// How long after a beat that failed the next is tried.
const AGAIN: Duration = Duration::from_millis(500);
/// How long the end waits for beats that are under way.
const END_WITHIN: Duration = Duration::from_secs(5);

/// The beating of a run. Dropping it ends it, [`Beats::end`] waits for what is under way.
#[derive(Debug)]
pub struct Beats {
    tasks: Vec<JoinHandle<()>>,
    going: watch::Sender<bool>,
    lost: Arc<Mutex<Option<String>>>,
}

/// How often: four times a lease, but at least every 5 s and at most twice a second.
pub fn interval(lease: Duration) -> Duration {
    (lease / 4).clamp(Duration::from_millis(500), Duration::from_secs(5))
}

/// How long a beat may take. A connection that is made anew takes seconds on slow machines, and one that is given up is begun
/// from nothing: long leases leave time for it, and at least five beats before they end.
fn patience(lease: Duration) -> Duration {
    lease.clamp(Duration::from_secs(2), Duration::from_secs(5)).max(lease / 6)
}

impl Beats {
    /// Begins, on every node of the cluster and its ground. `claim`: what is kept on the nodes; without one, nobody is kept
    /// out. `on_lost` is called when another took the claim of a node, once. Must be called within a runtime.
    pub fn start(
        cluster: &Cluster,
        leases: &Leases,
        tag: &RunTag,
        lease: Duration,
        claim: Option<&Claim>,
        on_lost: impl Fn(&str) + Send + Sync + 'static,
    ) -> Beats {
        let (going, _) = watch::channel(true);
        let lost = Arc::new(Mutex::new(None));
        let on_lost: Arc<dyn Fn(&str) + Send + Sync> = Arc::new(on_lost);
        let mut tasks = Vec::new();
        for handle in &cluster.nodes {
            let beating = Beating {
                handle: handle.clone(),
                run: leases.places().run.clone(),
                tag: tag.clone(),
                claim: claim.map(Claim::line),
                lease,
                lost: Arc::clone(&lost),
                on_lost: Arc::clone(&on_lost),
            };
            tasks.push(tokio::spawn(beating.go_on(going.subscribe())));
        }
        let (ground, tag, mut stop) = (Arc::clone(&cluster.ground), tag.clone(), going.subscribe());
        tasks.push(tokio::spawn(async move {
            while *stop.borrow() {
                if let Err(error) = ground.beat(tag.as_str()).await {
                    tracing::debug!(%error, "the ground heard no sign of life");
                }
                let _ = tokio::time::timeout(interval(lease), stop.changed()).await;
            }
        }));
        Beats { tasks, going, lost }
    }

    /// Who took the claim of a node away, if somebody did.
    pub fn lost(&self) -> Option<String> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends, and waits for beats that are under way: none comes after this.
    pub async fn end(mut self) {
        self.going.send_replace(false);
        let all = async {
            for task in &mut self.tasks {
                // A task that panicked has ended too.
                let _ = task.await;
            }
        };
        let _ = tokio::time::timeout(END_WITHIN, all).await;
    }
}

impl Drop for Beats {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The beating on one node.
struct Beating {
    handle: NodeHandle,
    run: String,
    tag: RunTag,
    claim: Option<String>,
    lease: Duration,
    lost: Arc<Mutex<Option<String>>>,
    on_lost: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Beating {
    async fn go_on(self, mut stop: watch::Receiver<bool>) {
        let deadline = patience(self.lease);
        let mut count = 0;
        while *stop.borrow() {
            count += 1;
            let script = scripts::beat(&self.run, self.tag.as_str(), count, self.claim.as_deref());
            let command = Command::new(script).deadline(deadline);
            let pause = match self.handle.remote.output_apart(&command).await {
                Ok(output) => {
                    if let Some(who) = output.text().strip_prefix("lost ") {
                        self.tell(who);
                    }
                    if output.status == 0 { interval(self.lease) } else { AGAIN }
                }
                Err(error) => {
                    tracing::debug!(%error, node = %self.handle.node, "no sign of life came through");
                    AGAIN
                }
            };
            let _ = tokio::time::timeout(pause, stop.changed()).await;
        }
    }

    fn tell(&self, who: &str) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.is_none() {
            let text = format!("{} was claimed by another controller ({who})", self.handle.node);
            (self.on_lost)(&text);
            *lost = Some(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schism_cluster::script::{said, scripted_cluster};

    #[test]
    fn long_leases_are_patient_with_slow_machines() {
        for (lease_s, expected_s) in [(1, 2), (4, 4), (30, 5), (60, 10), (120, 20)] {
            assert_eq!(patience(Duration::from_secs(lease_s)), Duration::from_secs(expected_s), "{lease_s}");
        }
    }

    #[test]
    fn leases_are_renewed_often_enough() {
        for (lease_s, ms) in [(2, 500), (8, 2000), (30, 5000), (3600, 5000)] {
            assert_eq!(interval(Duration::from_secs(lease_s)), Duration::from_millis(ms));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_node_is_beaten_whatever_another_does_and_a_lost_claim_is_told_once() {
        let (cluster, log) = scripted_cluster(&["n1", "n2", "n3"]);
        log.unreachable("n2");
        log.on_node("n3", "tag=t", said("lost halted x:1:2 3 0\n"));
        let told = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&told);
        let on_lost = move |text: &str| seen.lock().unwrap().push(text.to_owned());
        let (tag, lease) = (RunTag::new("t"), Duration::from_secs(8));
        let beats = Beats::start(&cluster, &Leases::default(), &tag, lease, None, on_lost);
        tokio::time::sleep(Duration::from_millis(9_900)).await;
        let count = |node: &str| log.lines_of(node).len();
        assert_eq!([count("n1"), count("n2"), count("n3")], [5, 20, 5]);
        assert_eq!(*told.lock().unwrap(), ["n3 was claimed by another controller (halted x:1:2 3 0)"]);
        assert!(beats.lost().is_some());
        beats.end().await;
        log.clear();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(log.lines(), Vec::<String>::new());
    }
}
