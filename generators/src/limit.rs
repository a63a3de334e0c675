//! How much: limits by number, time, processes and success; and repetition.

use schism_history::{Kind, Op, Process};

use crate::context::Context;
use crate::generator::{Generator, Next, earlier};

/// See [`crate::Combine::limit`].
#[derive(Debug, Clone)]
pub struct Limit<G> {
    child: G,
    left: u64,
}

impl<G> Limit<G> {
    /// At most that many operations.
    pub fn new(child: G, operations_max: u64) -> Limit<G> {
        Limit { child, left: operations_max }
    }
}

impl<G: Generator + Clone + 'static> Generator for Limit<G> {
    fn next(&mut self, context: &Context<'_>) -> Next {
        if self.left == 0 {
            return Next::Exhausted;
        }
        let answer = self.child.next(context);
        self.left -= u64::from(matches!(answer, Next::Op(_)));
        answer
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        self.child.update(context, event);
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// See [`crate::Combine::time_limit`].
#[derive(Debug, Clone)]
pub struct TimeLimit<G> {
    child: G,
    duration_ns: u64,
    end_ns: Option<u64>,
}

impl<G> TimeLimit<G> {
    /// No operation later than that long after the first question.
    pub fn new(child: G, duration_ns: u64) -> TimeLimit<G> {
        TimeLimit { child, duration_ns, end_ns: None }
    }
}

impl<G: Generator + Clone + 'static> Generator for TimeLimit<G> {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let end_ns = *self.end_ns.get_or_insert(context.now_ns.saturating_add(self.duration_ns));
        if context.now_ns >= end_ns {
            return Next::Exhausted;
        }
        match self.child.next(context) {
            Next::Pending { until_ns } => Next::Pending { until_ns: earlier(until_ns, Some(end_ns)) },
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

/// See [`crate::Combine::process_limit`].
///
/// Counts by generations: worker `i` runs processes `i`, `i + workers`, `i + 2 * workers`..., so the processes that had
/// a chance are the workers in range and one more for each retirement since the first question.
#[derive(Debug, Clone)]
pub struct ProcessLimit<G> {
    child: G,
    processes_max: u64,
    generations_before: Option<u64>,
}

impl<G> ProcessLimit<G> {
    /// At most that many processes.
    pub fn new(child: G, processes_max: u64) -> ProcessLimit<G> {
        ProcessLimit { child, processes_max, generations_before: None }
    }
}

impl<G: Generator + Clone + 'static> Generator for ProcessLimit<G> {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let workers = u64::from(context.workers.count().max(1));
        let in_range = context.workers.process.iter().take(context.worker_end as usize);
        let generations: u64 = in_range.skip(context.worker_first as usize).map(|&p| u64::from(p) / workers).sum();
        let before = *self.generations_before.get_or_insert(generations);
        if u64::from(context.range_count()) + generations.saturating_sub(before) > self.processes_max {
            return Next::Exhausted;
        }
        self.child.next(context)
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        self.child.update(context, event);
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// See [`crate::Combine::until_ok`].
#[derive(Debug, Clone)]
pub struct UntilOk<G> {
    child: G,
    open: Vec<Process>,
    succeeded: bool,
}

impl<G> UntilOk<G> {
    /// Ends with the first success of its own.
    pub fn new(child: G) -> UntilOk<G> {
        UntilOk { child, open: Vec::new(), succeeded: false }
    }
}

impl<G: Generator + Clone + 'static> Generator for UntilOk<G> {
    fn next(&mut self, context: &Context<'_>) -> Next {
        if self.succeeded {
            return Next::Exhausted;
        }
        let answer = self.child.next(context);
        if let Next::Op(invocation) = &answer {
            self.open.push(invocation.process.clone());
        }
        answer
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        self.child.update(context, event);
        if event.kind != Kind::Invoke
            && let Some(place) = self.open.iter().position(|process| *process == event.process)
        {
            self.open.swap_remove(place);
            self.succeeded |= event.kind == Kind::Ok;
        }
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// See [`crate::Combine::repeat`].
#[derive(Debug, Clone)]
pub struct Repeat<G> {
    fresh: G,
    child: G,
    /// Runs left, the present one included; `None`: no end.
    left: Option<u64>,
}

impl<G: Clone> Repeat<G> {
    /// That many runs, or no end.
    pub fn new(child: G, times: Option<u64>) -> Repeat<G> {
        Repeat { fresh: child.clone(), child, left: times }
    }
}

impl<G: Generator + Clone + 'static> Generator for Repeat<G> {
    fn next(&mut self, context: &Context<'_>) -> Next {
        // Twice at most: a fresh run that is over before it gave anything or waited would be over again.
        for _ in 0..2 {
            if self.left == Some(0) {
                return Next::Exhausted;
            }
            match self.child.next(context) {
                Next::Exhausted => {
                    self.left = self.left.map(|left| left - 1);
                    self.child = self.fresh.clone();
                }
                answer => return answer,
            }
        }
        self.left = Some(0);
        Next::Exhausted
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        self.child.update(context, event);
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}
