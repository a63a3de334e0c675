//! A copy for each worker or each process.

use schism_history::Op;

use crate::context::{Context, Rotation};
use crate::generator::{Generator, Next, earlier};

/// What gets a copy of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A worker, whatever process it runs.
    Worker,
    /// A process: a worker whose process is retired begins anew.
    Process,
}

/// See [`crate::Combine::each_worker`] and [`crate::Combine::each_process`].
#[derive(Debug, Clone)]
pub struct Each<G> {
    fresh: G,
    unit: Unit,
    /// By worker; made when a worker first has a chance.
    copies: Vec<Option<Copy<G>>>,
    rotation: Rotation,
}

#[derive(Debug, Clone)]
struct Copy<G> {
    process: u32,
    child: G,
    over: bool,
}

impl<G> Each<G> {
    /// A copy of `fresh` for each unit.
    pub fn new(fresh: G, unit: Unit) -> Each<G> {
        Each { fresh, unit, copies: Vec::new(), rotation: Rotation::default() }
    }
}

impl<G: Generator + Clone + 'static> Each<G> {
    fn copy_of(&mut self, worker: u32, process: u32) -> &mut Copy<G> {
        let place = worker as usize;
        if self.copies.len() <= place {
            self.copies.resize_with(place + 1, || None);
        }
        let renewed = self.copies[place]
            .take_if(|copy| self.unit == Unit::Worker || copy.process == process)
            .unwrap_or_else(|| Copy { process, child: self.fresh.clone(), over: false });
        self.copies[place].insert(renewed)
    }
}

impl<G: Generator + Clone + 'static> Generator for Each<G> {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let mut until_ns = None;
        let mut waits = !context.all_free();
        let mut asked_first = None;
        while let Some(worker) = self.rotation.pick(context) {
            if asked_first == Some(worker) {
                break;
            }
            asked_first.get_or_insert(worker);
            let copy = self.copy_of(worker, context.workers.process[worker as usize]);
            if copy.over {
                continue;
            }
            match copy.child.next(&context.narrowed(worker, worker + 1)) {
                Next::Op(invocation) => return Next::Op(invocation),
                Next::Pending { until_ns: until } => {
                    until_ns = earlier(until_ns, until);
                    waits = true;
                }
                Next::Exhausted => copy.over = true,
            }
        }
        // A busy worker may have more to do, or get a new process.
        if waits { Next::Pending { until_ns } } else { Next::Exhausted }
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        let Some(worker) = context.worker_in_range(&event.process) else { return };
        if let Some(Some(copy)) = self.copies.get_mut(worker as usize)
            && (self.unit == Unit::Worker || Some(copy.process) == event.process.client())
        {
            copy.child.update(&context.narrowed(worker, worker + 1), event);
        }
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}
