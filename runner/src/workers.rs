//! Client workers: one process after another, each with its own client, pinned to one node.
//!
//! A worker is a future that the interpreter polls itself, so that a client which answers at once costs no wake-up and
//! no hand-over between threads. Wakers only note who is ready ([`Ready`]).

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use schism_generators::Invocation;
use schism_history::{Node, Value};
use schism_workloads::{Client, Completion, Driver};
use tokio::sync::Notify;

/// Who is ready to be polled: a bit a place, and a signal for whoever waits for any of them.
#[derive(Debug)]
pub(crate) struct Ready {
    words: Vec<AtomicU64>,
    pub(crate) signal: Notify,
}

impl Ready {
    pub(crate) fn new(places: usize) -> Arc<Ready> {
        let words = (0..places.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Ready { words, signal: Notify::new() })
    }

    /// A waker that notes this place.
    pub(crate) fn waker(self: &Arc<Ready>, place: usize) -> Waker {
        Waker::from(Arc::new(PlaceWaker { place, ready: self.clone() }))
    }

    /// Marks a place as ready again, without a signal.
    pub(crate) fn put_back(&self, place: usize) {
        if let Some(word) = self.words.get(place / 64) {
            word.fetch_or(1 << (place % 64), Ordering::Release);
        }
    }

    /// Takes one ready place.
    pub(crate) fn take(&self) -> Option<usize> {
        for (number, word) in self.words.iter().enumerate() {
            let bits = word.load(Ordering::Relaxed);
            if bits != 0 {
                let bit = bits.trailing_zeros();
                // Acquire pairs with the waker's release: what it did before waking is seen by the poll.
                word.fetch_and(!(1 << bit), Ordering::Acquire);
                return Some(number * 64 + bit as usize);
            }
        }
        None
    }
}

struct PlaceWaker {
    place: usize,
    ready: Arc<Ready>,
}

impl Wake for PlaceWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let bit = 1 << (self.place % 64);
        if let Some(word) = self.ready.words.get(self.place / 64)
            && word.fetch_or(bit, Ordering::Release) & bit == 0
        {
            self.ready.signal.notify_one();
        }
    }
}

/// How far a worker is with its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    /// No client is open for it yet: nothing was sent.
    #[default]
    Opening,
    /// It is the client's: it may have been sent.
    Invoking,
}

/// Between a worker's future and its owner; they never hold the lock while they wait.
#[derive(Default)]
struct Slot {
    job: Option<Invocation>,
    stage: Stage,
    answer: Option<Completion>,
}

fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One client worker.
pub(crate) struct Worker {
    pub(crate) node: Node,
    driver: Arc<dyn Driver>,
    waker: Waker,
    slot: Arc<Mutex<Slot>>,
    future: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Worker {
    pub(crate) fn new(node: Node, driver: Arc<dyn Driver>, waker: Waker) -> Worker {
        Worker { node, driver, waker, slot: Arc::default(), future: None }
    }

    /// Gives it an operation; [`Worker::poll`] begins it.
    pub(crate) fn give(&mut self, job: Invocation) {
        let mut slot = lock(&self.slot);
        *slot = Slot { job: Some(job), ..Slot::default() };
    }

    /// Goes on as far as it can. A panic of the client becomes an answer, and the next operation gets a fresh client.
    pub(crate) fn poll(&mut self) -> Option<Completion> {
        let future = self
            .future
            .get_or_insert_with(|| Box::pin(serve(self.driver.clone(), self.node.clone(), self.slot.clone())));
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&self.waker))));
        let Err(panic) = polled else { return lock(&self.slot).answer.take() };
        let error = Value::list(vec![Value::str("panic"), Value::str(&panic_text(panic.as_ref()))]);
        let answered = lock(&self.slot).answer.take();
        let given_up = self.give_up(error);
        Some(answered.unwrap_or(given_up))
    }

    /// Drops the operation with its client, and says how it ended: without effect if nothing was sent yet, else in
    /// doubt.
    pub(crate) fn give_up(&mut self, error: Value) -> Completion {
        let stage = std::mem::take(&mut *lock(&self.slot)).stage;
        self.close();
        match stage {
            Stage::Opening => Completion::Fail(error),
            Stage::Invoking => Completion::Info(error),
        }
    }

    /// Drops the client.
    pub(crate) fn close(&mut self) {
        let future = self.future.take();
        // A client that panics while it is dropped has nothing more to say.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "(no message)".to_owned())
}

/// The life of a worker: operations one after the other, a client for as long as it is not in doubt.
async fn serve(driver: Arc<dyn Driver>, node: Node, slot: Arc<Mutex<Slot>>) {
    let mut client: Option<Box<dyn Client>> = None;
    loop {
        // Nobody wakes this: the owner polls after it gave a job.
        let job = poll_fn(|_| lock(&slot).job.take().map_or(Poll::Pending, Poll::Ready)).await;
        let open = match &mut client {
            Some(open) => open,
            None => match driver.open(&node, &job.process).await {
                Ok(opened) => client.insert(opened),
                Err(error) => {
                    let error = Value::list(vec![Value::str("no-client"), Value::str(&error.reason)]);
                    lock(&slot).answer = Some(Completion::Fail(error));
                    continue;
                }
            },
        };
        lock(&slot).stage = Stage::Invoking;
        let completion = open.invoke(&job).await;
        let retired = matches!(completion, Completion::Info(_));
        lock(&slot).answer = Some(completion);
        if retired {
            // The process is retired: the next one gets a connection of its own.
            client = None;
        }
    }
}
