//! A store in memory behind the clients' waist: linearizable, answers at once, with diseases to choose from. For tests
//! and benchmarks of all that stands above it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_generators::Invocation;
use schism_history::{F, Key, Node, Process, Seed, Value};

use crate::client::{Client, Completion, Driver, OpenError};

/// How often the store misbehaves, in operations of a thousand. Zero by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoopFaults {
    /// Reads that answer the value before the present one. A disease: such a history is not linearizable.
    pub stale_reads_per_mille: u32,
    /// Writes and matching compare-and-sets that answer `ok` and are lost. A disease.
    pub lost_writes_per_mille: u32,
    /// Operations that end in doubt (half of them take effect). No disease.
    pub doubt_per_mille: u32,
    /// Operations that fail, and do nothing. No disease.
    pub failure_per_mille: u32,
}

#[derive(Debug, Default, Clone)]
struct Register {
    value: Value,
    before: Value,
}

impl Register {
    fn set(&mut self, value: Value) {
        self.before = std::mem::replace(&mut self.value, value);
    }
}

#[derive(Debug)]
struct Store {
    registers: HashMap<Option<Key>, Register>,
    faults: NoopFaults,
    chance: ChaCha8Rng,
}

/// Opens clients of one store in memory.
#[derive(Debug, Clone)]
pub struct NoopDriver {
    store: Arc<Mutex<Store>>,
}

impl NoopDriver {
    /// An empty store; what goes wrong is drawn from the seed's stream `noop`.
    pub fn new(faults: NoopFaults, seed: Seed) -> NoopDriver {
        let store = Store { registers: HashMap::new(), faults, chance: seed.stream("noop") };
        NoopDriver { store: Arc::new(Mutex::new(store)) }
    }
}

impl Default for NoopDriver {
    fn default() -> NoopDriver {
        NoopDriver::new(NoopFaults::default(), Seed(0))
    }
}

#[async_trait]
impl Driver for NoopDriver {
    async fn open(&self, _: &Node, _: &Process) -> Result<Box<dyn Client>, OpenError> {
        Ok(Box::new(NoopClient { store: self.store.clone() }))
    }
}

struct NoopClient {
    store: Arc<Mutex<Store>>,
}

#[async_trait]
impl Client for NoopClient {
    async fn invoke(&mut self, operation: &Invocation) -> Completion {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).apply(operation)
    }
}

impl Store {
    fn draw(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.chance.random_range(0..1_000) < per_mille
    }

    fn apply(&mut self, operation: &Invocation) -> Completion {
        let faults = self.faults;
        if self.draw(faults.failure_per_mille) {
            return Completion::Fail(Value::str("refused"));
        }
        let doubtful = self.draw(faults.doubt_per_mille);
        if doubtful && self.draw(500) {
            return Completion::Info(Value::str("timeout"));
        }
        let stale = self.draw(faults.stale_reads_per_mille);
        let lost = self.draw(faults.lost_writes_per_mille);
        let completion = self.effect(operation, stale, lost);
        if doubtful { Completion::Info(Value::str("timeout")) } else { completion }
    }

    fn effect(&mut self, operation: &Invocation, stale: bool, lost: bool) -> Completion {
        let register = self.registers.entry(operation.key.clone()).or_default();
        match (&operation.f, &operation.value) {
            (F::Read, _) => Completion::ok(if stale { register.before.clone() } else { register.value.clone() }),
            (F::Write, value) => {
                if !lost {
                    register.set(value.clone());
                }
                Completion::ok(value.clone())
            }
            (F::Cas, Value::Pair([old, new])) => {
                let matched = register.value == Value::Int(*old);
                if matched && !lost {
                    register.set(Value::Int(*new));
                }
                Completion::Ok { value: operation.value.clone(), matched: Some(matched) }
            }
            (f, value) => {
                Completion::Fail(Value::list(vec![Value::str("unsupported"), Value::str(f.as_str()), value.clone()]))
            }
        }
    }
}
