//! One folder a database: how to install, run, kill and speak to it; its suites as YAML, embedded in the binary.
//!
//! - [`table`]: which databases and suites there are ([`DATABASES`], [`SUITES`]), and how a database is made ([`build`]).
//! - [`etcd`] is etcd.
//!
//! To add a database: a folder with its `Db` and its `Driver`, a row in [`DATABASES`], a variant of [`DatabaseSpec`],
//! suites in `suites/<database>/`.

pub mod etcd;
pub mod table;

pub use table::{
    BuildError, DATABASES, Database, DatabaseEntry, DatabaseSpec, MakeDriver, SUITES, SuiteEntry, build, fetch, suite,
};
