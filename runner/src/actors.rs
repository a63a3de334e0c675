//! The nemesis' side of the interpreter: one actor a class, and the numbers of faults.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use schism_generators::Invocation;
use schism_history::{F, Value};

use crate::workers::panic_text;

/// How an operation of the nemesis ended; it is recorded as `info`, with the fault's number.
#[derive(Debug, Clone, PartialEq)]
pub struct NemesisCompletion {
    /// What was done and what was measured.
    pub value: Value,
    /// What went wrong, if something did.
    pub error: Option<Value>,
}

/// Does harm of one class and undoes it. One operation at a time; actors of different classes overlap.
#[async_trait]
pub trait NemesisActor: Send + Sync {
    /// Its class (`partition`).
    fn class(&self) -> &str;

    /// Injects (`inject`) or heals (`heal`) the fault of that number. Bounds its own time.
    async fn invoke(&self, invocation: &Invocation, fault_id: u32) -> NemesisCompletion;
}

/// Numbers faults from 1 up: an injection gets a new number; a healing gets the number that its value names
/// (`{"fault_id": 3}`), or that of the class' latest fault.
#[derive(Debug, Default)]
pub(crate) struct FaultIds {
    last: u32,
}

impl FaultIds {
    fn fresh(&mut self) -> u32 {
        self.last += 1;
        self.last
    }
}

/// An operation of an actor that has not ended.
pub(crate) struct OpenFault {
    pub(crate) f: F,
    pub(crate) value: Value,
    pub(crate) fault_id: u32,
    pub(crate) deadline_ns: u64,
}

/// One class of the nemesis.
pub(crate) struct Actor {
    pub(crate) class: Arc<str>,
    pub(crate) open: Option<OpenFault>,
    actor: Arc<dyn NemesisActor>,
    waker: Waker,
    future: Option<Pin<Box<dyn Future<Output = NemesisCompletion> + Send>>>,
    /// Faults injected and not healed, in order.
    faults_on: Vec<u32>,
    latest: Option<u32>,
}

impl Actor {
    pub(crate) fn new(actor: Arc<dyn NemesisActor>, waker: Waker) -> Actor {
        let class = Arc::from(actor.class());
        Actor { class, open: None, actor, waker, future: None, faults_on: Vec::new(), latest: None }
    }

    /// The number of the fault that an invocation is about.
    pub(crate) fn fault_id(&self, invocation: &Invocation, ids: &mut FaultIds) -> u32 {
        if invocation.f == F::Inject {
            return ids.fresh();
        }
        let named = named_fault(&invocation.value);
        named.or(self.faults_on.last().copied()).or(self.latest).unwrap_or_else(|| ids.fresh())
    }

    /// Begins an operation; [`Actor::poll`] goes on with it.
    pub(crate) fn begin(&mut self, invocation: Invocation, open: OpenFault) {
        let fault_id = open.fault_id;
        self.latest = Some(fault_id);
        if open.f == F::Inject {
            self.faults_on.push(fault_id);
        }
        self.open = Some(open);
        let actor = self.actor.clone();
        self.future = Some(Box::pin(async move { actor.invoke(&invocation, fault_id).await }));
    }

    /// Goes on as far as it can; a panic becomes a completion with an error.
    pub(crate) fn poll(&mut self) -> Option<NemesisCompletion> {
        let future = self.future.as_mut()?;
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&self.waker))));
        match polled {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(completion)) => {
                self.drop_future();
                Some(completion)
            }
            Err(panic) => {
                let error = Value::list(vec![Value::str("panic"), Value::str(&panic_text(panic.as_ref()))]);
                Some(self.give_up(error))
            }
        }
    }

    /// Drops the operation that is open.
    pub(crate) fn give_up(&mut self, error: Value) -> NemesisCompletion {
        self.drop_future();
        NemesisCompletion { value: Value::Nil, error: Some(error) }
    }

    fn drop_future(&mut self) {
        let future = self.future.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
    }

    /// Notes that a fault was healed.
    pub(crate) fn healed(&mut self, fault_id: u32) {
        self.faults_on.retain(|id| *id != fault_id);
    }
}

/// The number in `{"fault_id": 3, ...}`.
fn named_fault(value: &Value) -> Option<u32> {
    let Value::Map(entries) = value else { return None };
    let (_, number) = entries.iter().find(|(name, _)| match name {
        Value::Str(name) | Value::Keyword(name) => &**name == "fault_id",
        _ => false,
    })?;
    u32::try_from(number.as_int()?).ok()
}
