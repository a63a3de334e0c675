//! Which operation next, and when. Generators are values: no thread, no clock of their own, chance from named streams.
//!
//! - [`generator`]: the waist. [`context`]: what a generator may know.
//! - [`leaf`]: generators of operations: [`leaf::op`], [`leaf::endless`], [`leaf::nemesis_op`], [`leaf::sleep`].
//! - [`combine`]: the combinators as methods of every generator.
//! - [`rate`], [`limit`], [`choice`], [`phases`], [`route`], [`each`], [`independent`]: the combinators by purpose.
//! - [`simulator`]: runs a generator in virtual time, without clients.
//!
//! A generator answers `next` for good: an operation that it gave will be begun. So a combinator asks a child only when
//! it can hand the answer on, and learns that a child is exhausted no earlier than it may ask.

pub mod choice;
pub mod combine;
pub mod context;
pub mod each;
pub mod generator;
pub mod independent;
pub mod leaf;
pub mod limit;
pub mod phases;
pub mod rate;
pub mod route;
pub mod simulator;

pub use choice::{any, cycle_times, flip_flop, mix};
pub use combine::Combine;
pub use context::{Context, Rotation, Workers};
pub use generator::{Generator, Invocation, Next};
pub use independent::{IndependentKeys, KeyedGenerator};
pub use leaf::{endless, nemesis_op, op, sleep};
pub use phases::{phases, sequence};
pub use route::reserve;
