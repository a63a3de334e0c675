//! One after the other: sequences, and barriers between phases.

use schism_history::Op;

use crate::combine::Combine;
use crate::context::Context;
use crate::generator::{Generator, Next};

/// See [`Combine::synchronize`].
#[derive(Debug, Clone)]
pub struct Synchronize<G> {
    child: G,
    begun: bool,
}

impl<G> Synchronize<G> {
    /// Waits until every worker in range, and every actor that may be used, is idle; then begins.
    pub fn new(child: G) -> Synchronize<G> {
        Synchronize { child, begun: false }
    }
}

impl<G: Generator + Clone + 'static> Generator for Synchronize<G> {
    fn next(&mut self, context: &Context<'_>) -> Next {
        if !self.begun && !context.idle() {
            return Next::WAIT;
        }
        self.begun = true;
        self.child.next(context)
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        self.child.update(context, event);
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// See [`sequence`].
#[derive(Clone)]
pub struct Sequence {
    /// In reverse, so that the present one is the last.
    children: Vec<Box<dyn Generator>>,
}

/// Each until it is exhausted, then the next, without a barrier. Events reach the present generator and all later ones,
/// so that a later one may learn from what went before (which keys to read at the end).
pub fn sequence(mut children: Vec<Box<dyn Generator>>) -> Sequence {
    children.reverse();
    Sequence { children }
}

/// As [`sequence`], but each begins only when all that it may use is idle.
pub fn phases(children: Vec<Box<dyn Generator>>) -> Sequence {
    sequence(children.into_iter().map(|child| child.synchronize().boxed()).collect())
}

impl Generator for Sequence {
    fn next(&mut self, context: &Context<'_>) -> Next {
        while let Some(child) = self.children.last_mut() {
            match child.next(context) {
                Next::Exhausted => {
                    self.children.pop();
                }
                answer => return answer,
            }
        }
        Next::Exhausted
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        self.children.iter_mut().for_each(|child| child.update(context, event));
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}
