//! The models that there are, by name.

<<<<<<< HEAD
pub mod bag;
pub mod buffer;
pub mod priority_queue;
pub mod queue;
=======
pub mod map;
pub mod multi;
>>>>>>> also
pub mod register;
pub mod stack;
pub mod text;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::model::Model;
pub use register::{Register, RegisterAction};

/// The models, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
}

impl ModelName {
    /// All of them, the usual one first.
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
    ];

    /// The name on the command line and in witnesses.
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
        }
    }

    /// The model of that name.
    pub fn parse(name: &str) -> Option<ModelName> {
        ModelName::ALL.iter().copied().find(|model| model.as_str() == name)
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

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
