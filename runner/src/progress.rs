//! What a run has done so far: counters that anyone may look at while it goes on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use schism_history::Kind;

/// Counters of a run, written by the interpreter alone.
#[derive(Debug, Default)]
pub struct Progress {
    time_ns: AtomicU64,
    invoked: AtomicU64,
    ok: AtomicU64,
    fail: AtomicU64,
    info: AtomicU64,
    faults_on: Mutex<Vec<(u32, String)>>,
}

/// The counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Nanoseconds since the start of the run, when the last event was recorded.
    pub time_ns: u64,
    /// Client operations begun.
    pub invoked: u64,
    /// Client operations that took effect.
    pub ok: u64,
    /// Client operations that certainly did not.
    pub fail: u64,
    /// Client operations in doubt.
    pub info: u64,
    /// Faults that are on: id and class.
    pub faults_on: Vec<(u32, String)>,
}

impl Progress {
    /// The counters now.
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            time_ns: read(&self.time_ns),
            invoked: read(&self.invoked),
            ok: read(&self.ok),
            fail: read(&self.fail),
            info: read(&self.info),
            faults_on: self.faults_on.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Notes an event of a client. There is one writer, so a load and a store do.
    pub(crate) fn client(&self, kind: Kind, time_ns: u64) {
        let counter = match kind {
            Kind::Invoke => &self.invoked,
            Kind::Ok => &self.ok,
            Kind::Fail => &self.fail,
            Kind::Info => &self.info,
        };
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.time_ns.store(time_ns, Ordering::Relaxed);
    }

    pub(crate) fn fault_on(&self, fault_id: u32, class: &str) {
        let mut faults = self.faults_on.lock().unwrap_or_else(PoisonError::into_inner);
        faults.push((fault_id, class.to_owned()));
    }

    pub(crate) fn fault_off(&self, fault_id: u32) {
        self.faults_on.lock().unwrap_or_else(PoisonError::into_inner).retain(|(id, _)| *id != fault_id);
    }
}
