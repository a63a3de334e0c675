//! The waist [`Generator`].

use schism_history::{F, Key, Op, Process, Value};

use crate::context::Context;

/// An operation to begin now.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// Who is to do it: a process that [`Context`] says is free.
    pub process: Process,
    /// Which function.
    pub f: F,
    /// Which independent key.
    pub key: Option<Key>,
    /// Its argument.
    pub value: Value,
}

/// What a generator answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Begin this now. The generator has moved on: whoever takes it must begin it.
    Op(Invocation),
    /// Nothing now. Ask again at that time, or (if `None`) after the next event.
    Pending {
        /// Nanoseconds since the start of the run.
        until_ns: Option<u64>,
    },
    /// Nothing any more.
    Exhausted,
}

impl Next {
    /// Nothing before the next event.
    pub const WAIT: Next = Next::Pending { until_ns: None };
}

/// The earlier of two times to ask again; `None` is "after the next event", which always comes first anyhow.
pub(crate) fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Decides which operation comes next. A value: cloning it forks the future.
///
/// Rules: `next` is deterministic in the generator's state and the context; it gives operations only to processes that
/// are free in the context; it does no I/O and allocates nothing on the plain path.
pub trait Generator: Send {
    /// The next operation. `context.now_ns` never decreases between calls.
    fn next(&mut self, context: &Context<'_>) -> Next;

    /// Tells of an event: an invocation that was begun, or a completion (client's or nemesis').
    fn update(&mut self, context: &Context<'_>, event: &Op) {
        let _ = (context, event);
    }

    /// A copy, for simulation.
    fn boxed_clone(&self) -> Box<dyn Generator>;
}

impl Clone for Box<dyn Generator> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}

impl Generator for Box<dyn Generator> {
    fn next(&mut self, context: &Context<'_>) -> Next {
        (**self).next(context)
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        (**self).update(context, event);
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        (**self).boxed_clone()
    }
}
