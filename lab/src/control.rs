//! Orders to a lab's holder: a line of JSON in, a line of JSON out, over a socket in the holder's state; and the undo that
//! the holder does by itself when the controller that ordered the harm has gone silent.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use schism_cluster::{Ability, GroundAction, GroundLease};
use serde::{Deserialize, Serialize};

/// How often leases are looked at.
const TICK: Duration = Duration::from_millis(250);
/// After what time an undo that failed is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// What a holder can do to its nodes. Calls come from several threads; an implementation orders those that must be.
pub(crate) trait Hands: Send + Sync {
    /// Whether it can, or why not.
    fn can(&self, ability: Ability) -> Result<(), String>;

    /// Does it and waits until it is done; answers what was measured.
    fn act(&self, action: &GroundAction) -> Result<serde_json::Value, String>;
}

/// A question or an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Whether this can be done.
    Can(Ability),
    /// Do it.
    Act(GroundAction),
    /// Keep this undo.
    Arm(GroundLease),
    /// Forget that undo.
    Cancel(String),
    /// Say what is kept.
    Leases,
    /// The controller of this run lives.
    Beat(String),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// Done.
    Done(serde_json::Value),
    /// These are kept, with the seconds left.
    Leases(Vec<(GroundLease, i64)>),
    /// Not done.
    Failed(String),
}

/// A lease and since when it counts.
struct Kept {
    lease: GroundLease,
    since: Instant,
}

impl Kept {
    fn left_s(&self) -> i64 {
        let gone = i64::try_from(self.since.elapsed().as_secs()).unwrap_or(i64::MAX);
        i64::try_from(self.lease.lease_s).unwrap_or(i64::MAX).saturating_sub(gone)
    }
}

/// The holder's side.
pub(crate) struct Control {
    hands: Box<dyn Hands>,
    leases: Mutex<BTreeMap<String, Kept>>,
}

impl Control {
    pub(crate) fn new(hands: Box<dyn Hands>) -> Arc<Control> {
        Arc::new(Control { hands, leases: Mutex::default() })
    }

    /// Serves in threads of its own, for the rest of the process's life.
    ///
    /// # Errors
    /// When no socket or no thread can be had.
    pub(crate) fn start(self: &Arc<Control>, socket: &Path) -> io::Result<()> {
        let listener = UnixListener::bind(socket)?;
        let control = Arc::clone(self);
        thread::Builder::new().name("control".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                let control = Arc::clone(&control);
                // A holder that has no thread left does not answer, which the controller reports.
                let _ = thread::Builder::new().name("orders".to_owned()).spawn(move || control.converse(&stream));
            }
        })?;
        let control = Arc::clone(self);
        thread::Builder::new().name("leases".to_owned()).spawn(move || {
            loop {
                thread::sleep(TICK);
                control.undo_what_is_due();
            }
        })?;
        Ok(())
    }

    fn converse(&self, stream: &UnixStream) {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            let reply = match serde_json::from_str(&line) {
                Ok(request) => self.answer(request),
                Err(error) => Reply::Failed(format!("the order is not understood: {error}")),
            };
            let Ok(mut text) = serde_json::to_vec(&reply) else { return };
            text.push(b'\n');
            if (&mut &*stream).write_all(&text).is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: Request) -> Reply {
        let done = |answer: Result<serde_json::Value, String>| answer.map_or_else(Reply::Failed, Reply::Done);
        match request {
            Request::Can(ability) => done(self.hands.can(ability).map(|()| serde_json::Value::Null)),
            Request::Act(action) => done(self.hands.act(&action)),
            Request::Arm(lease) => {
                let able = lease.undo.iter().try_for_each(|action| self.hands.can(action.ability()));
                done(able.map(|()| {
                    self.kept().insert(lease.name.clone(), Kept { lease, since: Instant::now() });
                    serde_json::Value::Null
                }))
            }
            Request::Cancel(name) => {
                self.kept().remove(&name);
                Reply::Done(serde_json::Value::Null)
            }
            Request::Leases => {
                Reply::Leases(self.kept().values().map(|kept| (kept.lease.clone(), kept.left_s())).collect())
            }
            Request::Beat(run_tag) => {
                let prefix = format!("{run_tag}-");
                let mut kept = self.kept();
                kept.values_mut()
                    .filter(|kept| kept.lease.name.starts_with(&prefix))
                    .for_each(|kept| kept.since = Instant::now());
                Reply::Done(serde_json::Value::Null)
            }
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Kept>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Undoes what is due, all at once, as a node may take seconds; what fails stays and is tried again.
    fn undo_what_is_due(&self) {
        let due: Vec<GroundLease> =
            self.kept().values().filter(|kept| kept.left_s() <= 0).map(|kept| kept.lease.clone()).collect();
        thread::scope(|scope| {
            // Where no thread can be had, or one ends early, the undo stays due.
            let start = |lease| {
                let named = thread::Builder::new().name("undo".to_owned());
                named.spawn_scoped(scope, move || self.undo(lease)).ok()
            };
            let threads: Vec<_> = due.iter().filter_map(start).collect();
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
    }

    fn undo(&self, lease: &GroundLease) {
        let undone = lease.undo.iter().all(|action| self.hands.act(action).is_ok());
        let mut kept = self.kept();
        if undone {
            kept.remove(&lease.name);
        } else if let Some(kept) = kept.get_mut(&lease.name) {
            let lease_s = Duration::from_secs(lease.lease_s);
            kept.since = (Instant::now() + AGAIN).checked_sub(lease_s).unwrap_or_else(Instant::now);
        }
    }
}

/// Asks a holder and waits for its answer.
///
/// # Errors
/// When the holder is gone or does not answer within the time.
pub(crate) fn ask(socket: &Path, request: &Request, within: Duration) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    let mut line = serde_json::to_vec(request).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    serde_json::from_str(&answer).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schism_history::Node;

    /// Can freeze and nothing else; remembers what it did. The first undo fails.
    #[derive(Default)]
    struct Recorder(Arc<Mutex<Vec<String>>>);

    impl Hands for Recorder {
        fn can(&self, ability: Ability) -> Result<(), String> {
            if ability == Ability::Freeze { Ok(()) } else { Err(format!("it cannot {ability}")) }
        }

        fn act(&self, action: &GroundAction) -> Result<serde_json::Value, String> {
            self.can(action.ability())?;
            let mut done = self.0.lock().unwrap();
            done.push(action.to_string());
            if done.len() == 1 { Err("not the first time".to_owned()) } else { Ok(serde_json::json!({})) }
        }
    }

    #[test]
    fn orders_are_done_and_leases_undo_by_themselves() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control");
        let recorder = Recorder::default();
        let done = Arc::clone(&recorder.0);
        Control::new(Box::new(recorder)).start(&socket).unwrap();
        let ask = |request: &Request| ask(&socket, request, Duration::from_secs(5)).unwrap();
        let node = Node::new("n1");
        let lease = |name: &str, lease_s: u64, undo: GroundAction| GroundLease {
            name: name.to_owned(),
            class: "freeze".to_owned(),
            label: "freeze: n1".to_owned(),
            lease_s,
            undo: vec![undo],
        };
        let thaw = GroundAction::Thaw { node: node.clone() };
        let power = GroundAction::PowerOn { node: node.clone() };
        assert!(matches!(ask(&Request::Can(Ability::Power)), Reply::Failed(_)));
        assert!(matches!(ask(&Request::Arm(lease("t-1", 1, power))), Reply::Failed(_)));
        assert_eq!(ask(&Request::Act(GroundAction::Freeze { node })), Reply::Failed("not the first time".to_owned()));
        assert_eq!(ask(&Request::Arm(lease("t-2", 3, thaw.clone()))), Reply::Done(serde_json::Value::Null));
        assert_eq!(ask(&Request::Arm(lease("t-3", 3, thaw))), Reply::Done(serde_json::Value::Null));
        ask(&Request::Cancel("t-3".to_owned()));
        // A sign of life puts it off, for longer than the lease; silence ends it.
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(1_500));
            ask(&Request::Beat("t".to_owned()));
            ask(&Request::Beat("another".to_owned()));
        }
        assert_eq!(done.lock().unwrap().len(), 1, "a lease with signs of life was not kept");
        let started = Instant::now();
        while !matches!(ask(&Request::Leases), Reply::Leases(kept) if kept.is_empty()) {
            assert!(started.elapsed() < Duration::from_secs(30), "the lease did not end");
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(*done.lock().unwrap(), ["freeze n1", "thaw n1"]);
    }
}
