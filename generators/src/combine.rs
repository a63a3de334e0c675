//! The combinators as methods of every generator.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;

use crate::each::{Each, Unit};
use crate::generator::{Generator, Invocation};
use crate::limit::{Limit, ProcessLimit, Repeat, TimeLimit, UntilOk};
use crate::phases::{Sequence, Synchronize, sequence};
use crate::rate::{CATCH_UP_NS, Pace, Paced};
use crate::route::{Clients, Map, Nemesis, OnWorkers};

/// What can be made of any generator.
pub trait Combine: Generator + Clone + Sized + 'static {
    /// As a trait object.
    fn boxed(self) -> Box<dyn Generator> {
        Box::new(self)
    }

    /// At most that many operations.
    fn limit(self, operations_max: u64) -> Limit<Self> {
        Limit::new(self, operations_max)
    }

    /// At most one operation.
    fn once(self) -> Limit<Self> {
        Limit::new(self, 1)
    }

    /// No operation later than that long after its first question.
    fn time_limit(self, duration_ns: u64) -> TimeLimit<Self> {
        TimeLimit::new(self, duration_ns)
    }

    /// Ends when more than that many processes had a chance to take part. Doubt retires processes, so this bounds the
    /// doubt that a checker must search through.
    fn process_limit(self, processes_max: u64) -> ProcessLimit<Self> {
        ProcessLimit::new(self, processes_max)
    }

    /// Ends when one of its own operations is answered `ok`.
    fn until_ok(self) -> UntilOk<Self> {
        UntilOk::new(self)
    }

    /// Begins again from here whenever it is exhausted; `times` runs in all, or (`None`) without end.
    fn repeat(self, times: Option<u64>) -> Repeat<Self> {
        Repeat::new(self, times)
    }

    /// Starts operations at random distances, uniform from 0 to twice the mean, over all workers together.
    fn stagger(self, mean_ns: u64, chance: ChaCha8Rng) -> Paced<Self> {
        Paced::new(self, Pace::Uniform { mean_ns, chance: Box::new(chance) }, CATCH_UP_NS)
    }

    /// Starts operations at a fixed distance, over all workers together.
    fn rate(self, interval_ns: u64) -> Paced<Self> {
        Paced::new(self, Pace::Fixed { interval_ns }, CATCH_UP_NS)
    }

    /// As [`Combine::rate`], but whatever was missed is caught up with, however long ago.
    fn delay(self, interval_ns: u64) -> Paced<Self> {
        Paced::new(self, Pace::Fixed { interval_ns }, u64::MAX)
    }

    /// Only client workers; only their events.
    fn clients(self) -> Clients<Self> {
        Clients { child: self }
    }

    /// Only the nemesis' actors; only their events.
    fn nemesis(self) -> Nemesis<Self> {
        Nemesis { child: self }
    }

    /// Only these client workers (counted from the first one in range); only their events.
    fn on_workers(self, workers: Range<u32>) -> OnWorkers<Self> {
        OnWorkers { child: self, workers }
    }

    /// Changes each operation; events reach the generator unchanged.
    fn map(self, change: fn(Invocation) -> Invocation) -> Map<Self> {
        Map { child: self, change }
    }

    /// Waits until all that it may use is idle, then begins.
    fn synchronize(self) -> Synchronize<Self> {
        Synchronize::new(self)
    }

    /// This, then (when all is idle) that.
    fn then(self, next: impl Combine) -> Sequence {
        sequence(vec![self.boxed(), next.synchronize().boxed()])
    }

    /// A copy for each worker.
    fn each_worker(self) -> Each<Self> {
        Each::new(self, Unit::Worker)
    }

    /// A copy for each process: a worker whose process is retired begins anew.
    fn each_process(self) -> Each<Self> {
        Each::new(self, Unit::Process)
    }
}

impl<G: Generator + Clone + 'static> Combine for G {}
