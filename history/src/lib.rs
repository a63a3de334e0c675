//! The words of schism: operations, processes, values, histories and the facts of a run.
//!
//! Everything above this floor speaks in these terms; this crate speaks in no other. It does no I/O of its own but
//! the codecs (which read from and write to what they are handed), and knows no clock, no chance and no async.
//!
//! - [`op`]: one event of a history ([`Op`]), who caused it ([`Process`]) and what it is ([`Kind`], [`F`]).
//! - [`value`]: what operations carry ([`Value`], [`Key`], [`Mop`]).
//! - [`history`]: the checked, columnar [`History`]; calls are pairs of invocation and completion.
//! - [`edn`]: Jepsen's `history.edn`, in and out; key-value texts, in.
//! - [`etcd_log`]: logs of Jepsen's etcd tests of 2014, in.
//! - [`facts`]: what is known of the run beside the history ([`RunFacts`]): faults, windows, evidence.
//! - [`jsonl`]: `history.jsonl`, streaming both ways ([`JsonlWriter`]).
//! - [`notation`]: histories in one line, for tests: `0:w1( 1:r0 0) 1:r1`.
//! - [`sessions`]: the formats of other checkers of transactions, in.
//! - [`seed`]: one seed, many named streams of chance.

pub mod edn;
pub mod etcd_log;
pub mod facts;
pub mod history;
mod json;
pub mod jsonl;
pub mod notation;
pub mod op;
mod reading;
pub mod seed;
pub mod sessions;
pub mod tail;
pub mod value;

pub use edn::{EdnError, Keyed};
pub use etcd_log::EtcdLogError;
pub use facts::{FaultWindow, RunFacts};
pub use history::{Call, History, HistoryBuilder, HistoryError, Micro, MicroF, MicroValue, TxnRef, ValueId, ValueRef};
pub use jsonl::{JsonlError, JsonlWriter};
pub use notation::NotationError;
pub use op::{F, Fields, Kind, Node, Op, OpIndex, Process, REPLICA_READ};
pub use reading::{FailedCas, Import};
pub use seed::Seed;
pub use sessions::SessionsError;
pub use tail::{Tail, Torn};
pub use value::{Key, Mop, Value};
