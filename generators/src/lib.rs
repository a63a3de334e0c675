//! Which operation next, and when. Generators are values: no thread, no clock of their own, chance from named streams.

pub mod context;
pub mod generator;

pub use context::{Context, Workers};
pub use generator::{Generator, Invocation, Next};
