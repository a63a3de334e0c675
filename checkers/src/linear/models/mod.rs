//! The models that there are, by name.

pub mod bag;
pub mod buffer;
pub mod counter;
pub mod fetch_add;
pub mod lock;
pub mod map;
pub mod multi;
pub mod priority_queue;
pub mod queue;
pub mod register;
pub mod semaphore;
pub mod set;
pub mod stack;
pub mod text;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::model::Model;
use lock::{Lock, LockKind};
pub use register::{Register, RegisterAction};
use semaphore::Semaphore;

/// The models, by name. In files they are their text: `register`, `semaphore:3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ModelName {
    /// `register`: reads and writes.
    Register,
    /// `cas-register`: reads, writes and compare-and-set.
    CasRegister,
    /// `multi-register`: transactions over registers.
    MultiRegister,
    /// `map`: registers by key, the key in the value.
    Map,
    /// `string`: read, write, append.
    String,
    /// `queue`: enqueue, dequeue; first in, first out.
    Queue,
    /// `bag`: enqueue, dequeue; in any order.
    Bag,
    /// `priority-queue`: enqueue, dequeue of the greatest.
    PriorityQueue,
    /// `stack`: push, pop; last in, first out.
    Stack,
    /// `mutex`: acquire and release, whoever calls.
    Mutex,
    /// `semaphore:N`: so many permits, without owners.
    Semaphore(u32),
    /// `owner-mutex`: a mutex that only its holder can release.
    OwnerMutex,
    /// `reentrant-mutex`: an owner-mutex that its holder can acquire again.
    ReentrantMutex,
    /// `fenced-lock`: an owner-mutex with tokens that grow.
    FencedLock,
    /// `set`: add, remove, contains, read.
    Set,
    /// `counter`: add and read; only grows.
    Counter,
    /// `fetch-and-add`: additions that answer the total before, and read.
    FetchAndAdd,
}

impl ModelName {
    /// All of them, the usual one first; of those that are built with a number, one.
    pub const ALL: &[ModelName] = &[
        ModelName::CasRegister,
        ModelName::Register,
        ModelName::MultiRegister,
        ModelName::Map,
        ModelName::String,
        ModelName::Queue,
        ModelName::Bag,
        ModelName::PriorityQueue,
        ModelName::Stack,
        ModelName::Mutex,
        ModelName::Semaphore(1),
        ModelName::OwnerMutex,
        ModelName::ReentrantMutex,
        ModelName::FencedLock,
        ModelName::Set,
        ModelName::Counter,
        ModelName::FetchAndAdd,
    ];

    /// The name without what it is built with.
    pub fn as_str(self) -> &'static str {
        match self {
            ModelName::Register => "register",
            ModelName::CasRegister => "cas-register",
            ModelName::MultiRegister => "multi-register",
            ModelName::Map => "map",
            ModelName::String => "string",
            ModelName::Queue => "queue",
            ModelName::Bag => "bag",
            ModelName::PriorityQueue => "priority-queue",
            ModelName::Stack => "stack",
            ModelName::Mutex => "mutex",
            ModelName::Semaphore(_) => "semaphore",
            ModelName::OwnerMutex => "owner-mutex",
            ModelName::ReentrantMutex => "reentrant-mutex",
            ModelName::FencedLock => "fenced-lock",
            ModelName::Set => "set",
            ModelName::Counter => "counter",
            ModelName::FetchAndAdd => "fetch-and-add",
        }
    }

    /// How it is written on the command line, with `N` for a number from 1.
    pub fn form(self) -> &'static str {
        match self {
            ModelName::Semaphore(_) => "semaphore:N",
            other => other.as_str(),
        }
    }

    /// The model of that name. One that is built with a number wants it.
    pub fn parse(name: &str) -> Option<ModelName> {
        let (family, number) = match name.split_once(':') {
            Some((family, digits)) => (family, Some(number(digits)?)),
            None => (name, None),
        };
        let model = ModelName::ALL.iter().copied().find(|model| model.as_str() == family)?;
        match (model, number) {
            (ModelName::Semaphore(_), Some(number)) => Some(ModelName::Semaphore(number)),
            (ModelName::Semaphore(_), None) | (_, Some(_)) => None,
            (model, None) => Some(model),
        }
    }

    /// Whether both are one model, whatever number they are built with.
    pub fn is_of_family(self, other: ModelName) -> bool {
        self.as_str() == other.as_str()
    }

    /// Does some work with the model of this name: the one place where names become models.
    pub(crate) fn with<W: WithModel>(self, work: W) -> W::Answer {
        match self {
            ModelName::Register | ModelName::CasRegister => work.with(&Register::from(self)),
            ModelName::MultiRegister => work.with(&multi::MultiRegister),
            ModelName::Map => work.with(&map::RegisterMap),
            ModelName::String => work.with(&text::Text),
            ModelName::Queue => work.with(&queue::Queue),
            ModelName::Bag => work.with(&bag::Bag),
            ModelName::PriorityQueue => work.with(&priority_queue::PriorityQueue),
            ModelName::Stack => work.with(&stack::Stack),
            ModelName::Mutex => work.with(&Semaphore { permits: 1, mutex: true }),
            ModelName::Semaphore(permits) => work.with(&Semaphore { permits, mutex: false }),
            ModelName::OwnerMutex => work.with(&Lock { kind: LockKind::Owned }),
            ModelName::ReentrantMutex => work.with(&Lock { kind: LockKind::Reentrant }),
            ModelName::FencedLock => work.with(&Lock { kind: LockKind::Fenced }),
            ModelName::Set => work.with(&set::Set),
            ModelName::Counter => work.with(&counter::Counter),
            ModelName::FetchAndAdd => work.with(&fetch_add::FetchAdd),
        }
    }
}

/// Work that can be done with any model.
pub(crate) trait WithModel {
    /// What comes of it.
    type Answer;

    /// Does it.
    fn with<M: Model>(self, model: &M) -> Self::Answer;
}

/// A number from 1, in digits alone.
fn number(digits: &str) -> Option<u32> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| plain)
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelName::Semaphore(permits) => write!(f, "{}:{permits}", self.as_str()),
            other => f.write_str(other.as_str()),
        }
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> String {
        name.to_string()
    }
}

impl TryFrom<String> for ModelName {
    type Error = String;

    fn try_from(name: String) -> Result<ModelName, String> {
        ModelName::parse(&name).ok_or_else(|| format!("no model is called {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_wrong_ones_do_not() {
        for &model in ModelName::ALL {
            assert_eq!(ModelName::parse(&model.to_string()), Some(model));
            let json = serde_json::to_string(&model).unwrap();
            assert_eq!(json, format!("\"{model}\""));
            assert_eq!(serde_json::from_str::<ModelName>(&json).unwrap(), model);
        }
        assert_eq!(ModelName::parse("semaphore:4294967295"), Some(ModelName::Semaphore(u32::MAX)));
        let wrong =
            ["", "semaphore", "semaphore:", "semaphore:0", "semaphore:+1", "semaphore:01", "semaphore:4294967296"];
        for name in wrong.into_iter().chain(["mutex:1", "register:", ":1", "semaphore:1:1", "Mutex"]) {
            assert_eq!(ModelName::parse(name), None, "{name}");
            assert!(serde_json::from_value::<ModelName>(name.into()).is_err(), "{name}");
        }
        assert_eq!(ModelName::Semaphore(3).form(), "semaphore:N");
    }
}
