//! Queues, bags, stacks and priority queues, and three ways in which message brokers fail them.

use std::collections::{HashMap, HashSet, VecDeque};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_history::{F, Value};

use super::simulator::{Object, Reply, Request};

/// In which order values come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// First in, first out.
    Fifo,
    /// Last in, first out.
    Lifo,
    /// The greatest first.
    Greatest,
    /// As it happens.
    Any,
}

/// How it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// A value is delivered and stays.
    Twice,
    /// A value is acknowledged and forgotten.
    Lost,
    /// Another value than the next one is delivered.
    Reordered,
}

/// The queue of one key.
pub struct Queue {
    order: Order,
    flaw: Option<Flaw>,
    /// Of ten operations, how many put something in.
    fill: u32,
    held: VecDeque<i64>,
    put: i64,
    audit: Audit,
}

/// What the answers tell by times alone.
#[derive(Default)]
struct Audit {
    /// Of a value: when its entry began and ended.
    entered_us: HashMap<i64, (u64, u64)>,
    taken: HashSet<i64>,
    /// Takings that have begun and were not answered.
    outstanding: usize,
    /// By the moment: of values taken until then, the latest beginning of their entry.
    taken_by: Vec<(u64, u64)>,
}

impl Queue {
    /// An empty one.
    pub fn new(order: Order, flaw: Option<Flaw>, fill: u32) -> Queue {
        Queue { order, flaw, fill, held: VecDeque::new(), put: 0, audit: Audit::default() }
    }

    fn names(&self) -> (F, F) {
        let (put, take) = if self.order == Order::Lifo { ("push", "pop") } else { ("enqueue", "dequeue") };
        (F::parse(put), F::parse(take))
    }

    /// Place of the value that comes next.
    fn next(&self, random: &mut ChaCha8Rng) -> Option<usize> {
        let last = self.held.len().checked_sub(1)?;
        Some(match self.order {
            Order::Fifo => 0,
            Order::Lifo => last,
            Order::Greatest => (0..=last).max_by_key(|&place| self.held[place])?,
            Order::Any => random.random_range(0..=last),
        })
    }
}

impl Object for Queue {
    fn draw(&mut self, random: &mut ChaCha8Rng, _process: u32) -> (F, Value) {
        let (put, take) = self.names();
        if random.random_range(0..10) < self.fill {
            self.put += 1;
            // Greater and smaller ones by turns, each once.
            let value = if self.put % 2 == 0 { self.put } else { 1_000_000 - self.put };
            (put, Value::Int(value))
        } else {
            self.audit.outstanding += 1;
            (take, Value::Nil)
        }
    }

    fn serve(&mut self, random: &mut ChaCha8Rng, request: &Request, wrongly: bool) -> Reply {
        let flaw = self.flaw.filter(|_| wrongly && random.random_bool(0.1));
        if let Value::Int(value) = request.argument {
            if flaw != Some(Flaw::Lost) {
                self.held.push_back(value);
            }
            return Reply::ok(request.argument.clone());
        }
        let Some(next) = self.next(random) else { return Reply::ok(Value::Nil) };
        let place = match flaw {
            Some(Flaw::Reordered) => random.random_range(0..self.held.len()),
            _ => next,
        };
        let value = self.held[place];
        if flaw != Some(Flaw::Twice) {
            self.held.remove(place);
        }
        Reply::ok(Value::Int(value))
    }

    fn is_proven(&mut self, request: &Request, reply: &Reply, now_us: u64) -> bool {
        let audit = &mut self.audit;
        if let Value::Int(value) = request.argument {
            audit.entered_us.insert(value, (request.begun_us, now_us));
            return false;
        }
        audit.outstanding -= 1;
        let Value::Int(value) = reply.value else {
            // More values were there all the time than anybody can have taken.
            let held = audit
                .entered_us
                .iter()
                .filter(|(value, (_, ended))| *ended < request.begun_us && !audit.taken.contains(value));
            return held.count() > audit.outstanding;
        };
        let twice = !audit.taken.insert(value);
        let (begun, ended) = audit.entered_us.get(&value).copied().unwrap_or((0, u64::MAX));
        let before = audit.taken_by.partition_point(|&(at, _)| at < request.begun_us);
        let latest = before.checked_sub(1).map_or(0, |place| audit.taken_by[place].1);
        let overtaken = self.order == Order::Fifo && latest > ended;
        let latest = audit.taken_by.last().map_or(0, |&(_, latest)| latest);
        audit.taken_by.push((now_us, latest.max(begun)));
        twice || overtaken
    }
}
