//! The clients' waist ([`Driver`], [`Client`]) and the workloads: what is asked of a database, and who judges it.
//!
//! - [`client`]: the waist. [`noop`]: a store in memory behind it, with diseases to choose from, for tests.
//! - [`spec`]: the table of workloads, and how a suite names them.
//! - [`register`]: read, write and compare-and-set over independent keys. [`final_reads`]: every live key once more.

pub mod client;
pub mod final_reads;
pub mod noop;
pub mod register;
pub mod spec;

pub use client::{Client, Completion, Driver, OpenError};
pub use noop::{NoopDriver, NoopFaults};
pub use register::{RegisterOptions, Values};
pub use spec::{Judge, WORKLOADS, Workload, WorkloadEntry, WorkloadError, WorkloadSpec, build};
