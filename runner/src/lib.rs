//! The controller: reads a suite, makes or finds a cluster, runs, judges and tells.
//!
//! Read `lifecycle` for the story of a run, `interpreter` for its heart, `cli` for what a user can ask.

pub mod actors;
pub mod adapt;
pub mod cli;
pub mod commands;
pub mod entropy;
pub mod environment;
pub mod error;
pub mod exit;
pub mod ground;
pub mod interpreter;
pub mod journal;
pub mod judge;
pub mod later;
pub mod lifecycle;
pub mod logging;
pub mod phases;
pub mod plan;
pub mod possible;
pub mod progress;
pub mod request;
pub mod run_dir;
pub mod schedule;
pub mod stop;
pub mod suite;
pub mod ticker;
pub mod vagrant;
mod workers;
