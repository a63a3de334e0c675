//! The order of undos and of the cancelling of leases, on nodes and a ground that only remember.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use schism_cluster::script::{ended, scripted_cluster};
use schism_cluster::{Ability, Ground, GroundError};

use super::*;

/// Does everything, or nothing, and remembers it.
struct Remembers {
    told: Arc<Mutex<Vec<String>>>,
    fails: bool,
}

#[async_trait]
impl Ground for Remembers {
    fn name(&self) -> &'static str {
        "remembers"
    }
    async fn can(&self, _: Ability) -> Result<(), GroundError> {
        Ok(())
    }
    async fn act(&self, action: &GroundAction) -> Result<serde_json::Value, GroundError> {
        self.told.lock().unwrap().push(action.to_string());
        match self.fails {
            true => Err(GroundError::Failed { what: action.to_string(), reason: "no power".to_owned() }),
            false => Ok(serde_json::Value::Null),
        }
    }
    async fn cancel(&self, name: &str) -> Result<(), GroundError> {
        self.told.lock().unwrap().push(format!("cancel {name}"));
        Ok(())
    }
}

fn on(node: &str, script: &str) -> Undo {
    Undo::OnNode { node: Node::new(node), script: script.to_owned() }
}

fn power(node: &str) -> Undo {
    Undo::OnGround { action: GroundAction::PowerOn { node: Node::new(node) } }
}

/// Undoes; answers what happened in order, and what failed.
async fn told(undo: &[Undo], broken: Option<&str>, ground_fails: bool) -> (Vec<String>, Vec<(String, String)>) {
    let (mut cluster, log) = scripted_cluster(&["n1", "n2"]);
    let told = Arc::new(Mutex::new(Vec::new()));
    cluster.ground = Arc::new(Remembers { told: Arc::clone(&told), fails: ground_fails });
    let (seen, broken) = (Arc::clone(&told), broken.map(str::to_owned));
    log.with(move |node, command| {
        let stdin = String::from_utf8_lossy(&command.stdin).into_owned();
        let stdin = stdin.strip_suffix(&crate::scripts::whole("")).unwrap_or(&stdin).to_owned();
        let what = match (command.script.contains("undo=$(cat)"), command.script.contains("|| cancel \"$name\"")) {
            (true, true) => format!("{node}: {stdin}, cancel"),
            (true, false) => format!("{node}: {stdin}"),
            _ => format!("{node}: cancel"),
        };
        let fails = broken.as_deref() == Some(what.split(',').next().unwrap_or_default());
        seen.lock().unwrap().push(what);
        fails.then(|| Ok(ended(1, "broken")))
    });
    let undone = undo_with_retries(&cluster, &Leases::default(), "t-1", undo).await;
    let told = told.lock().unwrap().clone();
    (told, undone.failed)
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_cancelled_when_all_stages_of_its_node_are_done() {
    let cases: &[(&[Undo], &[&str])] = &[
        (&[on("n1", "a"), on("n2", "b")], &["n1: a, cancel", "n2: b, cancel"]),
        (&[on("n1", "a"), power("n1")], &["n1: a", "switch n1 on", "n1: cancel", "cancel t-1"]),
        (&[power("n1"), on("n1", "a")], &["switch n1 on", "n1: a, cancel", "cancel t-1"]),
        (
            &[on("n1", "a"), on("n2", "b"), power("n1"), on("n1", "c")],
            &["n1: a", "n2: b", "switch n1 on", "n1: c, cancel", "n2: cancel", "cancel t-1"],
        ),
    ];
    for (undo, expected) in cases {
        assert_eq!(told(undo, None, false).await, (expected.iter().map(|&one| one.into()).collect(), vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_keeps_its_lease() {
    let undo = [on("n1", "a"), on("n2", "b"), power("n1"), on("n1", "c"), on("n2", "d")];
    // The first script of n1 fails, all three times: its later ones are run, and its lease stays.
    let (seen, failed) = told(&undo, Some("n1: a"), false).await;
    assert_eq!(failed.len(), 1);
    assert_eq!(
        seen,
        ["n1: a", "n2: b", "n1: a", "n1: a", "switch n1 on", "n1: c", "n2: d, cancel", "cancel t-1"],
        "n2 is whole"
    );
    // The ground fails: nobody's lease is cancelled, the ground's neither.
    let (seen, failed) = told(&undo, None, true).await;
    assert_eq!(failed.len(), 1);
    assert!(seen.iter().all(|one| !one.contains("cancel")), "{seen:?}");
    // The last one fails.
    let (seen, failed) = told(&undo, Some("n2: d"), false).await;
    assert_eq!(failed.len(), 1);
    assert!(seen.contains(&"n1: c, cancel".to_owned()) && !seen.contains(&"n2: cancel".to_owned()), "{seen:?}");
}
