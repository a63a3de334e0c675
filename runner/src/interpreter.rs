//! The interpreter: asks the generator, hands operations to clients and the nemesis, and records every event.
//!
//! Completions come first: an answer that is there is recorded before anything new begins, or the history would say that
//! operations overlapped which did not. Order is the order of recording: an invocation has its place before its client
//! hears of it, a completion gets its place after the answer arrived. One task does all this; clients and actors are
//! futures that it polls itself (see [`crate::workers`]), so it runs on any tokio runtime.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use schism_generators::{Context, Generator, Invocation, Next, Workers};
use schism_history::{F, Key, Kind, Node, Op, Process, Value};
use schism_workloads::{Completion, Driver};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::actors::{Actor, FaultIds, NemesisActor, NemesisCompletion, OpenFault};
use crate::journal::{FLUSH_NS, Journal, JournalError};
use crate::progress::{Progress, Snapshot};
use crate::workers::{Ready, Worker};

/// Events that are handed to the journal together, at most.
const BATCH_EVENTS: usize = 1024;

/// Polls and beginnings before the runtime gets its turn: it must look after sockets and timers.
const STEPS_MAX: u32 = 128;

/// No operation is begun when this many events are recorded: an index has 32 bits, and what is open must still end.
const EVENTS_MAX: u32 = u32::MAX - (1 << 24);

/// No operation is begun when a process has a higher number: each worker may still be retired once more.
const PROCESS_MAX: u32 = u32::MAX - 2 * WORKERS_MAX;

/// Most workers of a run.
const WORKERS_MAX: u32 = 1 << 20;

/// Whether a run shall end before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stop {
    /// Go on.
    #[default]
    No,
    /// No new operation in phases that are load; open ones end. Phases that heal run as planned.
    Load,
    /// No new operation in any phase; open client operations are given up, the nemesis' are waited for. Whoever says
    /// this heals by other means.
    All,
}

/// A part of a run. Begins when all is idle, ends when its generator is exhausted and all is idle again; then the
/// history is on disk.
pub struct Phase {
    /// For messages: `load`.
    pub name: &'static str,
    /// What happens.
    pub generator: Box<dyn Generator>,
    /// Whether it runs even after the load was stopped (healing).
    pub when_stopped: bool,
}

/// What the interpreter needs.
pub struct RunInputs {
    /// One after the other. Events reach the present phase and all later ones, so that the last may read the keys that
    /// the first used.
    pub phases: Vec<Phase>,
    /// Opens clients.
    pub driver: Arc<dyn Driver>,
    /// Worker `i` speaks to node `i` modulo their number.
    pub nodes: Vec<Node>,
    /// Client workers.
    pub concurrency: u32,
    /// One actor a class.
    pub nemesis: Vec<Arc<dyn NemesisActor>>,
    /// Where events go.
    pub journal: Journal,
    /// Ends the run early.
    pub stop: watch::Receiver<Stop>,
    /// Counters for whoever watches.
    pub progress: Arc<Progress>,
    /// A client operation, opening included, that takes longer is given up: a net below the clients' own time limits,
    /// which should be shorter by a second or so.
    pub operation_deadline_ms: u64,
    /// The same for operations of the nemesis.
    pub nemesis_deadline_ms: u64,
}

/// Why a run ended otherwise than planned. Healing phases were run all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The history could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Nobody to speak to, nobody to speak, or too many.
    #[error(
        "a run needs at least one node, and 1 to {WORKERS_MAX} workers; there are {nodes} nodes and {workers} workers"
    )]
    Nobody {
        /// Number of nodes.
        nodes: usize,
        /// Number of workers.
        workers: u32,
    },
    /// A generator broke its rules.
    #[error("phase {phase}: the generator {what}; this is an error in the generator")]
    Generator {
        /// Which phase.
        phase: &'static str,
        /// What it did.
        what: String,
    },
    /// The history is as long as one can be.
    #[error("phase {phase}: the history has reached {EVENTS_MAX} events, or process numbers ran out; run shorter")]
    TooLong {
        /// Which phase.
        phase: &'static str,
    },
}

/// When a phase ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseSummary {
    /// Its name.
    pub name: &'static str,
    /// When it began, nanoseconds since the start of the run.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// Events recorded, those of the nemesis included.
    pub events: u64,
    /// Counters of client operations; faults that are still on.
    pub counts: Snapshot,
    /// Phases that ran.
    pub phases: Vec<PhaseSummary>,
    /// Whether it was stopped before its time, by whom it may concern or by an error.
    pub stopped: bool,
    /// The first error.
    pub error: Option<RunError>,
}

/// Runs all phases to their end. Time is counted from this call. Cancelling it leaves clients' operations open.
pub async fn run(inputs: RunInputs) -> RunSummary {
    if inputs.nodes.is_empty() || !(1..=WORKERS_MAX).contains(&inputs.concurrency) {
        let error = RunError::Nobody { nodes: inputs.nodes.len(), workers: inputs.concurrency };
        let counts = inputs.progress.snapshot();
        return RunSummary { events: 0, counts, phases: Vec::new(), stopped: true, error: Some(error) };
    }
    Interpreter::new(inputs).run().await
}

/// A client operation that has not ended.
struct OpenCall {
    f: F,
    key: Option<Key>,
    value: Value,
    deadline_ns: u64,
}

/// What to do after a turn.
enum Turn {
    /// Let the runtime do its part, then go on.
    Busy,
    /// Nothing to do before an event or that time.
    Wait(Option<u64>),
    /// The phase is over.
    Done,
}

struct Interpreter {
    start: Instant,
    phases: VecDeque<Phase>,
    /// Whether the present generator is exhausted, or must not be asked any more.
    draining: bool,
    state: Workers,
    workers: Vec<Worker>,
    calls: Vec<Option<OpenCall>>,
    actors: Vec<Actor>,
    fault_ids: FaultIds,
    open_count: usize,
    ready: Arc<Ready>,
    stop: watch::Receiver<Stop>,
    stop_is_closed: bool,
    progress: Arc<Progress>,
    operation_deadline_ms: u64,
    nemesis_deadline_ms: u64,
    journal: Journal,
    batch: Vec<Op>,
    /// When the oldest event of the batch was recorded.
    batch_since_ns: u64,
    index: u32,
    process_numbers_are_out: bool,
    error: Option<RunError>,
}

impl Interpreter {
    fn new(inputs: RunInputs) -> Interpreter {
        let workers_count = inputs.concurrency as usize;
        let ready = Ready::new(workers_count + inputs.nemesis.len());
        let nodes = inputs.nodes.iter().cycle().take(workers_count).enumerate();
        let workers =
            nodes.map(|(place, node)| Worker::new(node.clone(), inputs.driver.clone(), ready.waker(place))).collect();
        let classes: Vec<&str> = inputs.nemesis.iter().map(|actor| actor.class()).collect();
        let state = Workers::new(inputs.concurrency, &classes);
        let actors = inputs.nemesis.iter().enumerate();
        let actors = actors.map(|(i, actor)| Actor::new(actor.clone(), ready.waker(workers_count + i))).collect();
        Interpreter {
            start: Instant::now(),
            phases: inputs.phases.into(),
            draining: false,
            state,
            workers,
            calls: (0..workers_count).map(|_| None).collect(),
            actors,
            fault_ids: FaultIds::default(),
            open_count: 0,
            ready,
            stop: inputs.stop,
            stop_is_closed: false,
            progress: inputs.progress,
            operation_deadline_ms: inputs.operation_deadline_ms,
            nemesis_deadline_ms: inputs.nemesis_deadline_ms,
            journal: inputs.journal,
            batch: Vec::with_capacity(BATCH_EVENTS),
            batch_since_ns: 0,
            index: 0,
            process_numbers_are_out: false,
            error: None,
        }
    }

    async fn run(mut self) -> RunSummary {
        let mut summaries = Vec::new();
        while let Some(phase) = self.phases.front() {
            let (name, when_stopped) = (phase.name, phase.when_stopped);
            if !self.must_end(when_stopped) {
                let start_ns = self.now_ns();
                self.run_phase(when_stopped).await;
                summaries.push(PhaseSummary { name, start_ns, end_ns: self.now_ns() });
            }
            self.phases.pop_front();
        }
        self.workers.iter_mut().for_each(Worker::close);
        let stopped = self.stop_now() != Stop::No || self.error.is_some();
        RunSummary {
            events: u64::from(self.index),
            counts: self.progress.snapshot(),
            phases: summaries,
            stopped,
            error: self.error,
        }
    }

    async fn run_phase(&mut self, when_stopped: bool) {
        self.draining = false;
        loop {
            if self.must_end(when_stopped) {
                self.draining = true;
            }
            if self.stop_now() == Stop::All {
                self.give_up_calls(|_| true, &Value::str("interrupted"));
            }
            match self.turn() {
                Turn::Done => break,
                Turn::Busy => {
                    self.hand_over_when_due();
                    tokio::task::yield_now().await;
                }
                Turn::Wait(until_ns) => self.wait(until_ns).await,
            }
        }
        self.hand_over();
        if let Err(error) = self.journal.sync().await {
            self.fail(RunError::Journal(error));
        }
    }

    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn stop_now(&self) -> Stop {
        *self.stop.borrow()
    }

    fn must_end(&self, when_stopped: bool) -> bool {
        match self.stop_now() {
            Stop::All => true,
            Stop::Load => !when_stopped,
            Stop::No => !when_stopped && self.error.is_some(),
        }
    }

    /// Keeps the first error; a load that meets one ends.
    fn fail(&mut self, error: RunError) {
        self.error.get_or_insert(error);
    }

    /// Does what can be done now, within limits.
    fn turn(&mut self) -> Turn {
        for _ in 0..STEPS_MAX {
            if let Some(place) = self.ready.take() {
                // Without budget every poll of a socket or timer says "later".
                if !tokio::task::coop::has_budget_remaining() {
                    self.ready.put_back(place);
                    return Turn::Busy;
                }
                self.poll(place);
                continue;
            }
            if self.draining {
                return if self.open_count == 0 { Turn::Done } else { Turn::Wait(None) };
            }
            let Some(phase) = self.phases.front_mut() else { return Turn::Done };
            let now_ns = self.start.elapsed().as_nanos() as u64;
            match phase.generator.next(&Context::new(&self.state, now_ns)) {
                Next::Op(invocation) => self.begin(invocation, now_ns),
                Next::Exhausted => self.draining = true,
                Next::Pending { until_ns: None } if self.open_count == 0 => {
                    self.break_off("waits for an event, but nothing is open".to_owned());
                }
                Next::Pending { until_ns } => return Turn::Wait(until_ns),
            }
        }
        Turn::Busy
    }

    /// Ends a phase whose generator broke its rules.
    fn break_off(&mut self, what: String) {
        let phase = self.phase_name();
        self.fail(RunError::Generator { phase, what });
        self.draining = true;
    }

    fn phase_name(&self) -> &'static str {
        self.phases.front().map_or("", |phase| phase.name)
    }

    fn begin(&mut self, invocation: Invocation, now_ns: u64) {
        if self.index > EVENTS_MAX || self.process_numbers_are_out {
            let phase = self.phase_name();
            self.fail(RunError::TooLong { phase });
            self.draining = true;
            return;
        }
        match &invocation.process {
            Process::Client(number) => {
                let worker = *number as usize % self.workers.len();
                if self.state.process[worker] == *number && self.state.is_free(worker as u32) {
                    self.begin_call(worker, invocation, now_ns);
                    return;
                }
            }
            Process::Nemesis(class) => {
                let place = self.actors.iter().position(|actor| actor.class == *class && actor.open.is_none());
                if let Some(place) = place {
                    self.begin_fault(place, invocation, now_ns);
                    return;
                }
            }
        }
        self.break_off(format!("gave {} to process {}, which is not free", invocation.f, invocation.process));
    }

    fn begin_call(&mut self, worker: usize, invocation: Invocation, now_ns: u64) {
        let Invocation { process, f, key, value } = invocation.clone();
        let deadline_ns = now_ns.saturating_add(self.operation_deadline_ms.saturating_mul(1_000_000));
        self.calls[worker] = Some(OpenCall { f: f.clone(), key: key.clone(), value: value.clone(), deadline_ns });
        self.open_count += 1;
        self.state.set_free(worker as u32, false);
        let mut op = Op::new(process, Kind::Invoke, f, value);
        op.key = key;
        op.node = Some(self.workers[worker].node.clone());
        self.record(op, now_ns);
        self.workers[worker].give(invocation);
        self.poll(worker);
    }

    fn begin_fault(&mut self, place: usize, invocation: Invocation, now_ns: u64) {
        let fault_id = self.actors[place].fault_id(&invocation, &mut self.fault_ids);
        let (f, value) = (invocation.f.clone(), invocation.value.clone());
        let deadline_ns = now_ns.saturating_add(self.nemesis_deadline_ms.saturating_mul(1_000_000));
        self.open_count += 1;
        self.state.nemesis[place].1 = false;
        let mut op = Op::new(invocation.process.clone(), Kind::Invoke, f.clone(), value.clone());
        op.fault_id = Some(fault_id);
        if f == F::Inject {
            self.progress.fault_on(fault_id, &self.actors[place].class);
        }
        self.record(op, now_ns);
        self.actors[place].begin(invocation, OpenFault { f, value, fault_id, deadline_ns });
        self.poll(self.workers.len() + place);
    }

    fn poll(&mut self, place: usize) {
        if let Some(worker) = self.workers.get_mut(place) {
            if let Some(completion) = worker.poll() {
                self.complete_call(place, completion);
            }
        } else if let Some(actor) = self.actors.get_mut(place - self.workers.len())
            && let Some(completion) = actor.poll()
        {
            self.complete_fault(place - self.workers.len(), completion);
        }
    }

    fn complete_call(&mut self, worker: usize, completion: Completion) {
        let now_ns = self.now_ns();
        let Some(call) = self.calls[worker].take() else { return };
        let process = Process::Client(self.state.process[worker]);
        let (kind, value, matched, error) = match completion {
            Completion::Ok { value, matched } => (Kind::Ok, value, matched, None),
            Completion::Fail(error) => (Kind::Fail, call.value, None, Some(error)),
            Completion::Info(error) => (Kind::Info, call.value, None, Some(error)),
        };
        if kind == Kind::Info {
            let process = self.state.retire(worker as u32);
            self.process_numbers_are_out |= process > PROCESS_MAX;
        }
        self.state.set_free(worker as u32, true);
        self.open_count -= 1;
        let mut op = Op::new(process, kind, call.f, value);
        op.key = call.key;
        op.node = Some(self.workers[worker].node.clone());
        op.matched = matched;
        op.error = error.map(Box::new);
        self.record(op, now_ns);
    }

    fn complete_fault(&mut self, place: usize, completion: NemesisCompletion) {
        let now_ns = self.now_ns();
        let actor = &mut self.actors[place];
        let Some(open) = actor.open.take() else { return };
        if open.f == F::Heal && completion.error.is_none() {
            actor.healed(open.fault_id);
            self.progress.fault_off(open.fault_id);
        }
        let value = if completion.value.is_nil() { open.value } else { completion.value };
        let mut op = Op::new(Process::Nemesis(actor.class.clone()), Kind::Info, open.f, value);
        op.fault_id = Some(open.fault_id);
        op.error = completion.error.map(Box::new);
        self.state.nemesis[place].1 = true;
        self.open_count -= 1;
        self.record(op, now_ns);
    }

    /// Gives an event its place, tells the generators, and keeps it for the journal.
    fn record(&mut self, mut op: Op, now_ns: u64) {
        op.index = self.index;
        op.time_ns = now_ns;
        self.index += 1;
        let context = Context::new(&self.state, now_ns);
        self.phases.iter_mut().for_each(|phase| phase.generator.update(&context, &op));
        if op.process.client().is_some() {
            self.progress.client(op.kind, now_ns);
        }
        if self.batch.is_empty() {
            self.batch_since_ns = now_ns;
        }
        self.batch.push(op);
        if self.batch.len() >= BATCH_EVENTS {
            self.hand_over();
        }
    }

    fn hand_over_when_due(&mut self) {
        let now_ns = self.now_ns();
        if now_ns.saturating_sub(self.batch_since_ns) >= FLUSH_NS {
            self.hand_over();
        }
        self.expire(now_ns);
    }

    fn hand_over(&mut self) {
        if !self.batch.is_empty() {
            let batch = std::mem::take(&mut self.batch);
            self.batch = self.journal.submit(batch);
        }
        if let Some(failure) = self.journal.failure() {
            let failure = failure.clone();
            self.fail(RunError::Journal(failure));
        }
    }

    /// Waits for a client, an actor, a stop, a deadline, the journal's time, or the generator's time.
    async fn wait(&mut self, until_ns: Option<u64>) {
        self.hand_over_when_due();
        let deadlines = self.calls.iter().flatten().map(|call| call.deadline_ns);
        let faults = self.actors.iter().flat_map(|actor| &actor.open).map(|open| open.deadline_ns);
        let batch = (!self.batch.is_empty()).then_some(self.batch_since_ns.saturating_add(FLUSH_NS));
        let wake_ns = deadlines.chain(faults).chain(batch).chain(until_ns).min();
        let wake_at = wake_ns.and_then(|ns| self.start.checked_add(Duration::from_nanos(ns)));
        tokio::select! {
            biased;
            () = self.ready.signal.notified() => {}
            changed = self.stop.changed(), if !self.stop_is_closed => self.stop_is_closed = changed.is_err(),
            () = async { match wake_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            } } => {}
        }
    }

    /// Gives up what is past its deadline.
    fn expire(&mut self, now_ns: u64) {
        let error = |ms: u64| {
            let limit =
                Value::Map(Box::new(vec![(Value::str("ms"), Value::Int(i64::try_from(ms).unwrap_or(i64::MAX)))]));
            Value::list(vec![Value::str("deadline"), limit])
        };
        self.give_up_calls(|call| call.deadline_ns <= now_ns, &error(self.operation_deadline_ms));
        for place in 0..self.actors.len() {
            if self.actors[place].open.as_ref().is_some_and(|open| open.deadline_ns <= now_ns) {
                let completion = self.actors[place].give_up(error(self.nemesis_deadline_ms));
                self.complete_fault(place, completion);
            }
        }
    }

    fn give_up_calls(&mut self, which: impl Fn(&OpenCall) -> bool, error: &Value) {
        for worker in 0..self.workers.len() {
            if self.calls[worker].as_ref().is_some_and(&which) {
                let completion = self.workers[worker].give_up(error.clone());
                self.complete_call(worker, completion);
            }
        }
    }
}
