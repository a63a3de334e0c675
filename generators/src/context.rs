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
    /// Whether this generator may use the nemesis' actors.
    pub actors: bool,
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
    /// All workers and all actors, at a time.
    pub fn new(workers: &'a Workers, now_ns: u64) -> Context<'a> {
        Context { now_ns, worker_first: 0, worker_end: workers.count(), actors: true, workers }
    }

    /// The same time, but only workers in a range (within the present one) and no actor.
    pub fn narrowed(&self, first: u32, end: u32) -> Context<'a> {
        Context {
            worker_first: first.max(self.worker_first),
            worker_end: end.min(self.worker_end),
            actors: false,
            ..*self
        }
    }

    /// The workers in range, and no actor.
    pub fn clients_only(&self) -> Context<'a> {
        Context { actors: false, ..*self }
    }

    /// The actors, and no worker.
    pub fn actors_only(&self) -> Context<'a> {
        Context { worker_end: self.worker_first, ..*self }
    }

    /// Number of workers in range.
    pub fn range_count(&self) -> u32 {
        self.worker_end.saturating_sub(self.worker_first)
    }

    /// The worker that runs (or ran) a client process.
    pub fn worker_of(&self, process: &Process) -> Option<u32> {
        process.client().map(|number| number % self.workers.count().max(1))
    }

    /// The worker of an event's process, if it is in range.
    pub fn worker_in_range(&self, process: &Process) -> Option<u32> {
        self.worker_of(process).filter(|worker| (self.worker_first..self.worker_end).contains(worker))
    }

    /// The lowest free worker in range, from `from` on. Costs a step for each 64 workers.
    pub fn next_free(&self, from: u32) -> Option<u32> {
        let first = from.max(self.worker_first);
        let mut word = first / 64;
        let mut mask = u64::MAX << (first % 64);
        while word.saturating_mul(64) < self.worker_end {
            let bits = self.workers.free.get(word as usize)? & mask;
            if bits != 0 {
                let worker = word * 64 + bits.trailing_zeros();
                return (worker < self.worker_end).then_some(worker);
            }
            word += 1;
            mask = u64::MAX;
        }
        None
    }

    /// Whether every worker in range is free.
    pub fn all_free(&self) -> bool {
        (self.worker_first..self.worker_end).all(|worker| self.workers.is_free(worker))
    }

    /// Whether every worker in range, and every actor that may be used, is free.
    pub fn idle(&self) -> bool {
        self.all_free() && (!self.actors || self.workers.nemesis.iter().all(|(_, free)| *free))
    }

    /// The client process of a worker.
    pub fn process(&self, worker: u32) -> Process {
        Process::Client(self.workers.process[worker as usize])
    }

    /// Whether the nemesis' actor of a class may be used and is free.
    pub fn nemesis_is_free(&self, class: &str) -> bool {
        self.actors && self.workers.nemesis.iter().any(|(name, free)| *free && **name == *class)
    }
}

/// Chooses free workers in turn, so that at a low rate all of them (and so all nodes) get operations.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rotation {
    next: u32,
}

impl Rotation {
    /// The next free worker in range after the last one chosen, around the range; `None`: all are busy.
    pub fn pick(&mut self, context: &Context<'_>) -> Option<u32> {
        let worker = context.next_free(self.next).or_else(|| context.next_free(0))?;
        self.next = worker + 1;
        Some(worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_free_agrees_with_a_plain_scan() {
        for count in [0, 1, 5, 63, 64, 65, 130, 200] {
            let mut workers = Workers::new(count, &[]);
            for worker in 0..count {
                workers.set_free(worker, worker % 7 == 3 || worker % 64 == 63);
            }
            let context = Context::new(&workers, 0);
            for (first, end) in [(0, count), (3, 70), (64, 128), (10, 10), (50, 190)] {
                let context = context.narrowed(first, end);
                for from in 0..210 {
                    let plain = (from.max(first)..end.min(count)).find(|&worker| workers.is_free(worker));
                    assert_eq!(context.next_free(from), plain, "{count} workers, {first}..{end} from {from}");
                }
            }
        }
    }

    #[test]
    fn rotation_visits_all() {
        let workers = Workers::new(3, &[]);
        let mut rotation = Rotation::default();
        let picked: Vec<_> = (0..5).map(|_| rotation.pick(&Context::new(&workers, 0))).collect();
        assert_eq!(picked, [Some(0), Some(1), Some(2), Some(0), Some(1)]);
    }
}
