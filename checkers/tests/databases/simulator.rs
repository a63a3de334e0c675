//! A database in virtual time: processes send requests that travel, take effect at the server one after another, and are
//! answered on a way back; some answers never come. What it serves is an [`Object`] a key; one key, at one time, may be
//! served wrongly, until the answers prove it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::{F, History, HistoryBuilder, Key, Kind, Op, Process, Value};

/// Microseconds after which a process gives up.
const TIMEOUT_US: u64 = 20_000;
/// Microseconds that a request in doubt may still be on its way.
const LATE_US: u64 = 200_000;

/// A request on its way.
#[derive(Debug, Clone)]
pub struct Request {
    /// The place of the key.
    pub key: usize,
    /// Who sent it.
    pub process: u32,
    /// What it asks for.
    pub f: F,
    /// With what.
    pub argument: Value,
    /// When it was sent, in microseconds.
    pub begun_us: u64,
    worker: usize,
    answered: Option<Reply>,
    over: bool,
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// `ok` or `fail`.
    pub kind: Kind,
    /// The value of the completion.
    pub value: Value,
    /// Whether it matched, where that is said.
    pub matched: Option<bool>,
}

impl Reply {
    /// An `ok`.
    pub fn ok(value: Value) -> Reply {
        Reply { kind: Kind::Ok, value, matched: None }
    }
}

/// What a key is, how it is served, rightly and wrongly, and when answers prove that something went wrong.
pub trait Object {
    /// What a process asks for next.
    fn draw(&mut self, random: &mut ChaCha8Rng, process: u32) -> (F, Value);

    /// Takes effect; wrongly, if that is wanted and can be.
    fn serve(&mut self, random: &mut ChaCha8Rng, request: &Request, wrongly: bool) -> Reply;

    /// Sees an answer as it arrives; whether by now no order can explain all answers, by times alone.
    fn is_proven(&mut self, request: &Request, reply: &Reply, now_us: u64) -> bool;
}

/// What history is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Keys.
    pub keys: usize,
    /// Processes of each key.
    pub processes: usize,
    /// Operations of all.
    pub operations: usize,
    /// Of a thousand requests, how many are never answered.
    pub doubts_permille: u32,
    /// Whether the last key is served wrongly from the middle on.
    pub wrongly: bool,
    /// The seed.
    pub seed: u64,
}

/// What came of it.
pub struct Simulated {
    /// The history.
    pub history: History,
    /// The event at which the answers proved that something went wrong.
    pub proven_at: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Think(usize),
    Arrive(usize),
    Answer(usize),
    GiveUp(usize),
}

struct Simulator<O> {
    random: ChaCha8Rng,
    wanted: Wanted,
    objects: Vec<O>,
    now_us: u64,
    sequence: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    requests: Vec<Request>,
    /// The process of each worker.
    processes: Vec<u32>,
    processes_count: u32,
    builder: HistoryBuilder,
    pushed: u32,
    proven_at: Option<u32>,
}

/// Runs a database.
pub fn simulate<O: Object>(wanted: Wanted, object: impl Fn() -> O) -> Simulated {
    let workers = wanted.keys * wanted.processes;
    let mut simulator = Simulator {
        random: ChaCha8Rng::seed_from_u64(wanted.seed),
        wanted,
        objects: (0..wanted.keys).map(|_| object()).collect(),
        now_us: 0,
        sequence: 0,
        events: BinaryHeap::new(),
        requests: Vec::new(),
        processes: (0..workers as u32).collect(),
        processes_count: workers as u32,
        builder: HistoryBuilder::default(),
        pushed: 0,
        proven_at: None,
    };
    for worker in 0..workers {
        simulator.later(500, Event::Think(worker));
    }
    while let Some(Reverse((at_us, _, event))) = simulator.events.pop() {
        simulator.now_us = at_us;
        simulator.happen(event);
    }
    Simulated { history: simulator.builder.finish(), proven_at: simulator.proven_at }
}

impl<O: Object> Simulator<O> {
    /// Puts an event off by a time around this one.
    fn later(&mut self, about_us: u64, event: Event) {
        let spread = self.random.random_range(0..100u64).pow(2) / 50;
        self.sequence += 1;
        self.events.push(Reverse((self.now_us + 1 + about_us * spread / 66, self.sequence, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Think(worker) if self.requests.len() < self.wanted.operations => self.send(worker),
            Event::Think(_) => {}
            Event::Arrive(number) => self.arrive(number),
            Event::Answer(number) => self.answer(number),
            Event::GiveUp(number) => self.give_up(number),
        }
    }

    fn send(&mut self, worker: usize) {
        let (key, process) = (worker / self.wanted.processes, self.processes[worker]);
        let (f, argument) = self.objects[key].draw(&mut self.random, process);
        let number = self.requests.len();
        let request = Request { key, process, f, argument, begun_us: self.now_us, worker, answered: None, over: false };
        self.push(&request, Kind::Invoke, request.argument.clone(), None);
        self.requests.push(request);
        if self.random.random_range(0..1000) < self.wanted.doubts_permille {
            self.later(TIMEOUT_US, Event::GiveUp(number));
            // Half of what is not answered is lost on the way there; the other half may come late.
            if self.random.random_bool(0.5) {
                self.later(LATE_US, Event::Arrive(number));
            }
        } else {
            self.later(300, Event::Arrive(number));
        }
    }

    fn arrive(&mut self, number: usize) {
        let request = self.requests[number].clone();
        let is_last = request.key + 1 == self.wanted.keys;
        let late = self.requests.len() * 2 > self.wanted.operations;
        let wrongly = self.wanted.wrongly && is_last && late && self.proven_at.is_none();
        let reply = self.objects[request.key].serve(&mut self.random, &request, wrongly);
        self.requests[number].answered = Some(reply);
        self.later(300, Event::Answer(number));
    }

    fn answer(&mut self, number: usize) {
        let request = self.requests[number].clone();
        let Some(reply) = request.answered.clone().filter(|_| !request.over) else { return };
        self.requests[number].over = true;
        let at = self.push(&request, reply.kind, reply.value.clone(), reply.matched);
        let is_proven = self.objects[request.key].is_proven(&request, &reply, self.now_us);
        if is_proven && self.wanted.wrongly {
            self.proven_at.get_or_insert(at);
        }
        assert!(!is_proven || self.proven_at.is_some(), "a store that does nothing wrong is proven wrong");
        self.later(500, Event::Think(request.worker));
    }

    fn give_up(&mut self, number: usize) {
        let request = self.requests[number].clone();
        if !request.over {
            self.requests[number].over = true;
            self.push(&request, Kind::Info, request.argument.clone(), None);
            self.processes[request.worker] = self.processes_count;
            self.processes_count += 1;
            self.later(500, Event::Think(request.worker));
        }
    }

    fn push(&mut self, request: &Request, kind: Kind, value: Value, matched: Option<bool>) -> u32 {
        let op = Op::new(Process::Client(request.process), kind, request.f.clone(), value);
        let op = Op { key: Some(Key::Int(request.key as i64)), matched, time_ns: self.now_us * 1000, ..op };
        self.builder.push(op).expect("a process has one operation at a time");
        self.pushed += 1;
        self.pushed - 1
    }
}
