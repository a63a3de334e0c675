//! Who does it: clients or nemesis, ranges of workers; and changed operations.

use std::ops::Range;

use schism_history::Op;

use crate::context::Context;
use crate::generator::{Generator, Invocation, Next, earlier};

/// See [`crate::Combine::clients`].
#[derive(Debug, Clone)]
pub struct Clients<G> {
    pub(crate) child: G,
}

impl<G: Generator + Clone + 'static> Generator for Clients<G> {
    fn next(&mut self, context: &Context<'_>) -> Next {
        self.child.next(&context.clients_only())
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        if context.worker_in_range(&event.process).is_some() {
            self.child.update(&context.clients_only(), event);
        }
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// See [`crate::Combine::nemesis`].
#[derive(Debug, Clone)]
pub struct Nemesis<G> {
    pub(crate) child: G,
}

impl<G: Generator + Clone + 'static> Generator for Nemesis<G> {
    fn next(&mut self, context: &Context<'_>) -> Next {
        self.child.next(&context.actors_only())
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        if event.process.client().is_none() {
            self.child.update(&context.actors_only(), event);
        }
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// See [`crate::Combine::on_workers`].
#[derive(Debug, Clone)]
pub struct OnWorkers<G> {
    pub(crate) child: G,
    pub(crate) workers: Range<u32>,
}

/// A range that counts from the first worker of a context.
pub(crate) fn narrowed<'a>(context: &Context<'a>, workers: &Range<u32>) -> Context<'a> {
    let first = context.worker_first;
    context.narrowed(first.saturating_add(workers.start), first.saturating_add(workers.end))
}

impl<G: Generator + Clone + 'static> Generator for OnWorkers<G> {
    fn next(&mut self, context: &Context<'_>) -> Next {
        self.child.next(&narrowed(context, &self.workers))
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        let context = narrowed(context, &self.workers);
        if context.worker_in_range(&event.process).is_some() {
            self.child.update(&context, event);
        }
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// See [`reserve`].
#[derive(Clone)]
pub struct Reserve {
    parts: Vec<Part>,
    first: usize,
}

#[derive(Clone)]
struct Part {
    workers: Range<u32>,
    child: Box<dyn Generator>,
    over: bool,
}

/// The first `n` workers in range for the first generator, the next for the second, and so on; the rest for `default`.
/// Each sees its own workers and their events only. Ranges count from the first worker in range, so that reserves can be
/// nested. Exhausted when all are.
pub fn reserve(parts: Vec<(u32, Box<dyn Generator>)>, default: Box<dyn Generator>) -> Reserve {
    let mut start = 0_u32;
    let mut ranges = Vec::with_capacity(parts.len() + 1);
    for (count, child) in parts {
        let end = start.saturating_add(count);
        ranges.push(Part { workers: start..end, child, over: false });
        start = end;
    }
    ranges.push(Part { workers: start..u32::MAX, child: default, over: false });
    Reserve { parts: ranges, first: 0 }
}

impl Generator for Reserve {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let (mut until_ns, mut over) = (None, true);
        let count = self.parts.len();
        for step in 0..count {
            let place = (self.first + step) % count;
            let part = &mut self.parts[place];
            let range = narrowed(context, &part.workers);
            // A range without workers (too few of them in all) would wait for ever.
            if part.over || range.range_count() == 0 {
                continue;
            }
            match part.child.next(&range) {
                Next::Op(invocation) => {
                    self.first = place + 1;
                    return Next::Op(invocation);
                }
                Next::Pending { until_ns: until } => {
                    until_ns = earlier(until_ns, until);
                    over = false;
                }
                Next::Exhausted => part.over = true,
            }
        }
        if over { Next::Exhausted } else { Next::Pending { until_ns } }
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        for part in &mut self.parts {
            let range = narrowed(context, &part.workers);
            if range.worker_in_range(&event.process).is_some() {
                part.child.update(&range, event);
            }
        }
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// See [`crate::Combine::map`].
#[derive(Clone)]
pub struct Map<G> {
    pub(crate) child: G,
    pub(crate) change: fn(Invocation) -> Invocation,
}

impl<G: Generator + Clone + 'static> Generator for Map<G> {
    fn next(&mut self, context: &Context<'_>) -> Next {
        match self.child.next(context) {
            Next::Op(invocation) => Next::Op((self.change)(invocation)),
            answer => answer,
        }
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        self.child.update(context, event);
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}
