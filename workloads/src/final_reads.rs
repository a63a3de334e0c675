//! The final phase over independent keys: every key that was in use at the end is read once by every worker, and so
//! (with at least as many workers as nodes) from every node.

use schism_generators::{Context, Generator, Invocation, Next, Rotation};
use schism_history::{F, Key, Kind, Op, REPLICA_READ, Value};

/// Most reads in all; beyond it the newest keys are read.
const READS_MAX: usize = 2_000;

/// Reads the keys that it heard of last, worker by worker. Hears of keys through `update`; before its first question
/// it must therefore stand where it hears the load (see [`schism_generators::sequence`]).
#[derive(Debug, Clone)]
pub struct FinalReads {
    f: F,
    /// How often each worker reads each key.
    rounds: usize,
    /// By worker: the key that it used last.
    last_keys: Vec<Option<Key>>,
    /// What is read; made with the first question.
    keys: Option<Vec<Key>>,
    /// By worker: how many of the keys it has read.
    read_count: Vec<usize>,
    rotation: Rotation,
}

impl FinalReads {
    /// For that many workers.
    pub fn new(workers_count: u32) -> FinalReads {
        FinalReads::of(F::Read, 1, workers_count)
    }

    /// Reads of single replicas instead, each key twice, for that many workers.
    pub fn of_replicas(workers_count: u32) -> FinalReads {
        FinalReads::of(F::parse(REPLICA_READ), 2, workers_count)
    }

    fn of(f: F, rounds: usize, workers_count: u32) -> FinalReads {
        FinalReads {
            f,
            rounds,
            last_keys: vec![None; workers_count as usize],
            keys: None,
            read_count: vec![0; workers_count as usize],
            rotation: Rotation::default(),
        }
    }

    fn live_keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.last_keys.iter().flatten().cloned().collect();
        keys.sort();
        keys.dedup();
        let keys_max = (READS_MAX / self.last_keys.len().max(1)).max(1);
        keys.split_off(keys.len().saturating_sub(keys_max))
    }
}

impl Generator for FinalReads {
    fn next(&mut self, context: &Context<'_>) -> Next {
        if self.keys.is_none() {
            self.keys = Some(self.live_keys());
        }
        let Some(keys) = &self.keys else { return Next::Exhausted };
        let range = context.worker_first as usize..(context.worker_end as usize).min(self.read_count.len());
        if self.read_count.get(range).is_none_or(|counts| counts.iter().all(|count| *count >= keys.len() * self.rounds))
        {
            return Next::Exhausted;
        }
        for _ in 0..context.range_count() {
            let Some(worker) = self.rotation.pick(context) else { break };
            let Some(count) = self.read_count.get_mut(worker as usize) else { continue };
            if *count >= keys.len() * self.rounds {
                continue;
            }
            let Some(key) = keys.get(*count % keys.len().max(1)).cloned() else { continue };
            *count += 1;
            return Next::Op(Invocation {
                process: context.process(worker),
                f: self.f.clone(),
                key: Some(key),
                value: Value::Nil,
            });
        }
        Next::WAIT
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        if self.keys.is_some() || event.kind != Kind::Invoke {
            return;
        }
        if let (Some(worker), Some(key)) = (context.worker_in_range(&event.process), &event.key)
            && let Some(last) = self.last_keys.get_mut(worker as usize)
            && last.as_ref() != Some(key)
        {
            *last = Some(key.clone());
        }
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}
