//! The clients' waist ([`Driver`], [`Client`]) and the workloads: what is asked of a database, and who judges it.

pub mod client;

pub use client::{Client, Completion, Driver, OpenError};
