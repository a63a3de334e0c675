//! Generators of operations: the leaves of every tree.

use std::sync::Arc;

use schism_history::{F, Process, Value};

use crate::context::{Context, Rotation};
use crate::generator::{Generator, Invocation, Next};

/// See [`op`].
#[derive(Debug, Clone)]
pub struct Once {
    what: Option<(F, Value)>,
    rotation: Rotation,
}

/// One operation, by whichever client worker is free. For more of them: [`crate::Combine::repeat`].
pub fn op(f: F, value: Value) -> Once {
    Once { what: Some((f, value)), rotation: Rotation::default() }
}

impl Generator for Once {
    fn next(&mut self, context: &Context<'_>) -> Next {
        if self.what.is_none() {
            return Next::Exhausted;
        }
        let Some(worker) = self.rotation.pick(context) else { return Next::WAIT };
        match self.what.take() {
            Some((f, value)) => Next::Op(Invocation { process: context.process(worker), f, key: None, value }),
            None => Next::Exhausted,
        }
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// See [`endless`].
#[derive(Debug, Clone)]
pub struct Endless<M> {
    make: M,
    rotation: Rotation,
}

/// Operations without end, for free client workers in turn; `make` gives function and argument for a worker.
pub fn endless<M>(make: M) -> Endless<M>
where
    M: FnMut(&Context<'_>, u32) -> (F, Value) + Clone + Send + 'static,
{
    Endless { make, rotation: Rotation::default() }
}

impl<M> Generator for Endless<M>
where
    M: FnMut(&Context<'_>, u32) -> (F, Value) + Clone + Send + 'static,
{
    fn next(&mut self, context: &Context<'_>) -> Next {
        let Some(worker) = self.rotation.pick(context) else { return Next::WAIT };
        let (f, value) = (self.make)(context, worker);
        Next::Op(Invocation { process: context.process(worker), f, key: None, value })
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// See [`nemesis_op`].
#[derive(Debug, Clone)]
pub struct NemesisOnce {
    class: Arc<str>,
    what: Option<(F, Value)>,
}

/// One operation of the nemesis' actor of a class, as soon as that actor is free.
pub fn nemesis_op(class: &str, f: F, value: Value) -> NemesisOnce {
    NemesisOnce { class: Arc::from(class), what: Some((f, value)) }
}

impl Generator for NemesisOnce {
    fn next(&mut self, context: &Context<'_>) -> Next {
        if self.what.is_some() && !context.nemesis_is_free(&self.class) {
            return Next::WAIT;
        }
        match self.what.take() {
            Some((f, value)) => {
                Next::Op(Invocation { process: Process::Nemesis(self.class.clone()), f, key: None, value })
            }
            None => Next::Exhausted,
        }
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// See [`sleep`].
#[derive(Debug, Clone)]
pub struct Sleep {
    duration_ns: u64,
    until_ns: Option<u64>,
}

/// No operation for a while, from the first question on; then exhausted.
pub fn sleep(duration_ns: u64) -> Sleep {
    Sleep { duration_ns, until_ns: None }
}

impl Generator for Sleep {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let until_ns = *self.until_ns.get_or_insert(context.now_ns.saturating_add(self.duration_ns));
        if context.now_ns < until_ns { Next::Pending { until_ns: Some(until_ns) } } else { Next::Exhausted }
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}
