//! The controller: reads a suite, makes or finds a cluster, runs, judges and tells.

pub mod actors;
pub mod interpreter;
pub mod journal;
pub mod progress;
mod workers;
