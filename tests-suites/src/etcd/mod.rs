//! etcd: a key-value store over Raft.
//!
//! - [`options`]: what can be chosen ([`EtcdOptions`]).
//! - [`db`]: how to start, stop, wipe and ask it ([`Etcd`]).
//! - [`client`]: registers over the JSON gateway ([`EtcdDriver`]).
//! - [`errors`]: the one table of certain failure and doubt.
//! - [`release`]: old versions, fetched.
//! - [`values`]: values as etcd stores them.

pub mod client;
pub mod db;
pub mod errors;
pub mod options;
pub mod release;
pub mod values;

mod auth;
mod members;
mod membership;
mod rebuild;
mod wire;

pub use client::{EtcdClient, EtcdDriver};
pub use db::Etcd;
pub use options::{EtcdOptions, OptionsError, TlsOptions};
