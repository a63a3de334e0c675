//! The models that there are, by name.

pub mod map;
pub mod multi;
pub mod register;
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
}

impl ModelName {
    /// All of them.
    pub const ALL: &[ModelName] =
        &[ModelName::Register, ModelName::CasRegister, ModelName::MultiRegister, ModelName::Map, ModelName::String];

    /// The name on the command line and in witnesses.
    pub fn as_str(self) -> &'static str {
        match self {
            ModelName::Register => "register",
            ModelName::CasRegister => "cas-register",
            ModelName::MultiRegister => "multi-register",
            ModelName::Map => "map",
            ModelName::String => "string",
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
