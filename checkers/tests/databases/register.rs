//! A register with compare-and-set, and four ways in which databases fail it.

use std::collections::HashMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_history::{F, Value};

use super::simulator::{Object, Reply, Request};

/// How it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Reads are answered by a copy that lags behind.
    StaleReads,
    /// Writes are acknowledged and forgotten.
    LostWrites,
    /// Writes are done again later.
    DoubleApply,
    /// Two servers take writes, and one of them is then thrown away.
    SplitBrain,
}

/// All flaws.
pub const FLAWS: [Flaw; 4] = [Flaw::StaleReads, Flaw::LostWrites, Flaw::DoubleApply, Flaw::SplitBrain];

/// The register of one key.
pub struct Register {
    flaw: Option<Flaw>,
    /// Different values; 0: each write has its own.
    values: i64,
    cas: bool,
    state: Value,
    /// What the other server holds, while there are two.
    other: Option<Value>,
    written: i64,
    /// Earlier states.
    states: Vec<Value>,
    audit: Audit,
}

/// For values that are written once: when their writes ended, and the latest beginning of a write that has ended.
#[derive(Default)]
struct Audit {
    ended_us: HashMap<String, u64>,
    begun_max_us: u64,
    /// By the moment: the latest beginning among writes that had ended then.
    history: Vec<(u64, u64)>,
}

impl Register {
    /// A register that is nil.
    pub fn new(flaw: Option<Flaw>, values: i64, cas: bool) -> Register {
        Register {
            flaw,
            values,
            cas,
            state: Value::Nil,
            other: None,
            written: 0,
            states: vec![Value::Nil],
            audit: Audit::default(),
        }
    }

    fn value(&mut self, random: &mut ChaCha8Rng) -> Value {
        self.written += 1;
        Value::Int(if self.values == 0 { self.written } else { random.random_range(0..self.values) })
    }

    fn become_state(&mut self, value: Value) {
        self.state = value;
        self.states.push(self.state.clone());
    }
}

impl Object for Register {
    fn draw(&mut self, random: &mut ChaCha8Rng, _process: u32) -> (F, Value) {
        match random.random_range(0..if self.cas { 10 } else { 8 }) {
            0..5 => (F::Read, Value::Nil),
            5..8 => (F::Write, self.value(random)),
            _ => (F::Cas, Value::list(vec![self.state.clone(), self.value(random)])),
        }
    }

    fn serve(&mut self, random: &mut ChaCha8Rng, request: &Request, wrongly: bool) -> Reply {
        let flaw = self.flaw.filter(|_| wrongly);
        if flaw == Some(Flaw::DoubleApply) && random.random_bool(0.1) {
            let earlier = self.states.len().saturating_sub(random.random_range(2..20)).max(1);
            if let Some(again) = self.states.get(earlier).cloned() {
                self.become_state(again);
            }
        }
        let two = flaw == Some(Flaw::SplitBrain);
        if two && self.other.is_none() {
            self.other = Some(self.state.clone());
        }
        let swap = two && request.process.is_multiple_of(2);
        if swap && let Some(other) = &mut self.other {
            std::mem::swap(other, &mut self.state);
        }
        let reply = match request.f {
            F::Read if flaw == Some(Flaw::StaleReads) && random.random_bool(0.3) => {
                let back = random.random_range(1..20).min(self.states.len());
                Reply::ok(self.states[self.states.len() - back].clone())
            }
            F::Read => Reply::ok(self.state.clone()),
            F::Write => {
                if flaw != Some(Flaw::LostWrites) || random.random_bool(0.8) {
                    self.become_state(request.argument.clone());
                }
                Reply::ok(request.argument.clone())
            }
            _ => {
                let (old, new) = pair(&request.argument);
                let matched = old == self.state;
                if matched {
                    self.become_state(new);
                }
                Reply { matched: Some(matched), ..Reply::ok(request.argument.clone()) }
            }
        };
        if swap && let Some(other) = &mut self.other {
            std::mem::swap(other, &mut self.state);
        }
        reply
    }

    fn is_proven(&mut self, request: &Request, reply: &Reply, now_us: u64) -> bool {
        if self.values != 0 {
            return false;
        }
        let audit = &mut self.audit;
        let mut wrote = |value: &Value| {
            audit.ended_us.insert(value.to_string(), now_us);
            audit.begun_max_us = audit.begun_max_us.max(request.begun_us);
            audit.history.push((now_us, audit.begun_max_us));
        };
        match request.f {
            F::Read => {
                // A write that began after the one of this value had ended, and ended before this read began.
                let before = audit.history.partition_point(|&(at, _)| at < request.begun_us);
                let latest = before.checked_sub(1).map_or(0, |place| audit.history[place].1);
                let is_first = reply.value == Value::Nil;
                match audit.ended_us.get(&reply.value.to_string()) {
                    Some(&ended) => latest > ended,
                    None => is_first && latest > 0,
                }
            }
            F::Write => {
                wrote(&request.argument);
                false
            }
            _ => {
                if reply.matched == Some(true) {
                    wrote(&pair(&request.argument).1);
                }
                false
            }
        }
    }
}

fn pair(argument: &Value) -> (Value, Value) {
    match argument {
        Value::Pair([old, new]) => (Value::Int(*old), Value::Int(*new)),
        Value::List(items) => (items[0].clone(), items[1].clone()),
        other => panic!("a cas of {other}"),
    }
}
