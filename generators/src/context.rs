//! What a generator may know: the time and who is free.

use std::sync::Arc;

use schism_history::Process;

/// The time, and the workers that a generator may use. Narrowing to a range of workers (reserve, independent keys)
/// copies nothing.
///
/// Worker `i` runs one client process at a time; when an operation of its process ends in doubt it goes on as process
/// `process + number of workers`. The nemesis has one actor per class of fault.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Nanoseconds since the start of the run.
    pub now_ns: u64,
    /// First worker that this generator may use.
    pub worker_first: u32,
    /// One past the last worker that this generator may use.
    pub worker_end: u32,
    /// State of all workers.
    pub workers: &'a Workers,
}

/// State of all workers, as the interpreter (or a simulator) keeps it.
#[derive(Debug, Clone, Default)]
pub struct Workers {
    /// Client process of each worker.
    pub process: Vec<u32>,
    /// Whether each worker is free, in words of 64 bits.
    pub free: Vec<u64>,
    /// Classes of the nemesis, and whether each actor is free.
    pub nemesis: Vec<(Arc<str>, bool)>,
}

impl Workers {
    /// That many client workers and these classes of the nemesis, all free.
    pub fn new(workers_count: u32, classes: &[&str]) -> Workers {
        let mut workers = Workers {
            process: (0..workers_count).collect(),
            free: vec![0; (workers_count as usize).div_ceil(64)],
            nemesis: classes.iter().map(|class| (Arc::from(*class), true)).collect(),
        };
        (0..workers_count).for_each(|worker| workers.set_free(worker, true));
        workers
    }

    /// Number of client workers.
    pub fn count(&self) -> u32 {
        self.process.len() as u32
    }

    /// Whether a worker is free.
    pub fn is_free(&self, worker: u32) -> bool {
        self.free.get(worker as usize / 64).is_some_and(|bits| bits >> (worker % 64) & 1 == 1)
    }

    /// Marks a worker as free or busy.
    pub fn set_free(&mut self, worker: u32, free: bool) {
        if let Some(bits) = self.free.get_mut(worker as usize / 64) {
            *bits = *bits & !(1 << (worker % 64)) | u64::from(free) << (worker % 64);
        }
    }

    /// Gives a worker its next process number and returns it.
    pub fn retire(&mut self, worker: u32) -> u32 {
        let count = self.count();
        let process = &mut self.process[worker as usize];
        *process += count;
        *process
    }
}

impl<'a> Context<'a> {
    /// All workers, at a time.
    pub fn new(workers: &'a Workers, now_ns: u64) -> Context<'a> {
        Context { now_ns, worker_first: 0, worker_end: workers.count(), workers }
    }

    /// The same time, but only workers in a range (within the present one).
    pub fn narrowed(&self, first: u32, end: u32) -> Context<'a> {
        Context { worker_first: first.max(self.worker_first), worker_end: end.min(self.worker_end), ..*self }
    }

    /// The worker that runs a client process.
    pub fn worker_of(&self, process: &Process) -> Option<u32> {
        process.client().map(|number| number % self.workers.count().max(1))
    }

    /// The lowest free worker in range, from `from` on.
    pub fn next_free(&self, from: u32) -> Option<u32> {
        (from.max(self.worker_first)..self.worker_end).find(|&worker| self.workers.is_free(worker))
    }

    /// Whether every worker in range is free.
    pub fn all_free(&self) -> bool {
        (self.worker_first..self.worker_end).all(|worker| self.workers.is_free(worker))
    }

    /// The client process of a worker.
    pub fn process(&self, worker: u32) -> Process {
        Process::Client(self.workers.process[worker as usize])
    }

    /// Whether the nemesis' actor of a class is free.
    pub fn nemesis_is_free(&self, class: &str) -> bool {
        self.workers.nemesis.iter().any(|(name, free)| *free && **name == *class)
    }
}
