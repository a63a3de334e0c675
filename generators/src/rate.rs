//! When operations start: staggered, at a fixed rate, or with a fixed delay.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_history::Op;

use crate::context::Context;
use crate::generator::{Generator, Next};

/// Lateness that is caught up with. Timers are late by a millisecond or so, which must not lower the rate; a stall of
/// the whole cluster is not followed by a burst.
pub const CATCH_UP_NS: u64 = 20_000_000;

/// Distances between starts.
#[derive(Debug, Clone)]
pub enum Pace {
    /// Uniform from 0 to twice the mean.
    Uniform {
        /// Mean distance.
        mean_ns: u64,
        /// Where the draws come from.
        chance: Box<ChaCha8Rng>,
    },
    /// Always the same.
    Fixed {
        /// The distance.
        interval_ns: u64,
    },
}

impl Pace {
    fn draw_ns(&mut self) -> u64 {
        match self {
            Pace::Fixed { interval_ns } => *interval_ns,
            Pace::Uniform { mean_ns, chance } => chance.random_range(0..=mean_ns.saturating_mul(2)),
        }
    }
}

/// Spaces the starts of a generator's operations, over all workers together: the first at once, each further one at its
/// time or, if nobody is free then, as soon as somebody is.
///
/// The schedule is kept when a start is late by at most `catch_up_ns`, so that the mean rate holds; beyond that it
/// begins anew from now.
#[derive(Debug, Clone)]
pub struct Paced<G> {
    child: G,
    pace: Pace,
    catch_up_ns: u64,
    next_ns: u64,
}

impl<G> Paced<G> {
    /// Spaces a generator's operations.
    pub fn new(child: G, pace: Pace, catch_up_ns: u64) -> Paced<G> {
        Paced { child, pace, catch_up_ns, next_ns: 0 }
    }
}

impl<G: Generator + Clone + 'static> Generator for Paced<G> {
    fn next(&mut self, context: &Context<'_>) -> Next {
        if context.now_ns < self.next_ns {
            return Next::Pending { until_ns: Some(self.next_ns) };
        }
        let answer = self.child.next(context);
        if matches!(answer, Next::Op(_)) {
            // Before the first operation the schedule stands at 0, which is no plan that could be late.
            let late = self.next_ns == 0 || context.now_ns - self.next_ns > self.catch_up_ns;
            let from_ns = if late { context.now_ns } else { self.next_ns };
            self.next_ns = from_ns.saturating_add(self.pace.draw_ns()).max(1);
        }
        answer
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        self.child.update(context, event);
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}
