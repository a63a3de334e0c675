//! The tables of this crate: which databases there are, and which suites.

use std::sync::Arc;

use schism_cluster::{Cluster, Db};
use schism_workloads::client::Driver;
use serde::{Deserialize, Serialize};

use crate::etcd::release::{Release, ReleaseError};
use crate::etcd::{Etcd, EtcdDriver, EtcdOptions, OptionsError};

/// A database that schism knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseEntry {
    /// Its name in suites (`etcd`).
    pub name: &'static str,
    /// One line for a person.
    pub about: &'static str,
    /// Debian packages that hold what nodes need. They are unpacked where nodes see them, never installed.
    pub packages: &'static [&'static str],
}

/// All databases.
pub static DATABASES: &[DatabaseEntry] = &[DatabaseEntry {
    name: "etcd",
    about: "key-value store over Raft; registers over its JSON gateway",
    packages: &["etcd-server"],
}];

/// A database and its options, as a suite names them: `etcd: {serializable_reads: true}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DatabaseSpec {
    /// See [`EtcdOptions`].
    Etcd(EtcdOptions),
}

impl DatabaseSpec {
    /// Its row in [`DATABASES`].
    pub fn entry(&self) -> &'static DatabaseEntry {
        match self {
            DatabaseSpec::Etcd(_) => &DATABASES[0],
        }
    }

    /// The same for machines that may be emulated, thirty times slower than real ones: timings that the suite leaves at
    /// their defaults get longer, others stay.
    pub fn patient(&self) -> DatabaseSpec {
        match self {
            DatabaseSpec::Etcd(options) => {
                let (mut patient, usual) = (options.clone(), EtcdOptions::default());
                for (timing, usual_ms, longer_ms) in [
                    (&mut patient.heartbeat_ms, usual.heartbeat_ms, 200),
                    (&mut patient.election_ms, usual.election_ms, 2_000),
                    (&mut patient.operation_timeout_ms, usual.operation_timeout_ms, 5_000),
                    (&mut patient.connect_timeout_ms, usual.connect_timeout_ms, 2_000),
                    (&mut patient.ready_timeout_ms, usual.ready_timeout_ms, 180_000),
                ] {
                    if *timing == usual_ms {
                        *timing = longer_ms;
                    }
                }
                DatabaseSpec::Etcd(patient)
            }
        }
    }

    /// How long its clients wait for an answer, milliseconds.
    pub fn operation_timeout_ms(&self) -> u64 {
        match self {
            DatabaseSpec::Etcd(options) => options.operation_timeout_ms,
        }
    }
}

/// Makes the clients' driver for a cluster. Sends nothing.
pub type MakeDriver = Box<dyn Fn(&Cluster) -> Arc<dyn Driver> + Send + Sync>;

/// A database ready for use.
pub struct Database {
    /// What sets it up, kills it, asks it.
    pub db: Arc<dyn Db>,
    /// What makes its clients' driver.
    pub driver: MakeDriver,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("db", &self.db.name()).finish_non_exhaustive()
    }
}

/// Why a database cannot be used with these options. Nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// etcd's options.
    #[error(transparent)]
    Etcd(#[from] OptionsError),
}

/// Makes a database of its options. Reads the files and the environment that they name, so that what is wrong with them
/// shows before the run; touches no node.
///
/// # Errors
/// See [`BuildError`].
pub fn build(spec: &DatabaseSpec) -> Result<Database, BuildError> {
    match spec {
        DatabaseSpec::Etcd(options) => {
            let etcd = Arc::new(Etcd::new(options.clone())?);
            let db = etcd.clone();
            let driver = move |cluster: &Cluster| Arc::new(EtcdDriver::of(&etcd, cluster)) as Arc<dyn Driver>;
            Ok(Database { db, driver: Box::new(driver) })
        }
    }
}

/// Fetches what a database needs on this machine beside packages (a released binary) into a cache; nothing where it is
/// there. Blocks.
///
/// # Errors
/// When it cannot be had.
pub fn fetch(spec: &DatabaseSpec, cache: &std::path::Path) -> Result<(), ReleaseError> {
    match spec {
        DatabaseSpec::Etcd(options) => match options.release.as_deref().and_then(Release::find) {
            Some(release) => release.fetch(cache).map(|_| ()),
            None => Ok(()),
        },
    }
}

/// A suite that comes with schism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuiteEntry {
    /// Its name (`etcd/register`).
    pub name: &'static str,
    /// One line for a person; the same as in the file.
    pub about: &'static str,
    /// The file.
    pub yaml: &'static str,
}

/// All suites that come with schism.
pub static SUITES: &[SuiteEntry] = &[
    SuiteEntry {
        name: "etcd/register",
        about: "Registers on etcd under partitions, kills and pauses",
        yaml: include_str!("../suites/etcd/register.yaml"),
    },
    SuiteEntry {
        name: "etcd/stale-reads",
        about: "Serializable reads on etcd under partitions: stale reads must be found",
        yaml: include_str!("../suites/etcd/stale-reads.yaml"),
    },
    SuiteEntry {
        name: "etcd/crash-3-5-1",
        about: "etcd 3.5.1 under kills: members that hold different data must be found",
        yaml: include_str!("../suites/etcd/crash-3-5-1.yaml"),
    },
];

/// The suite of that name.
pub fn suite(name: &str) -> Option<&'static SuiteEntry> {
    SUITES.iter().find(|suite| suite.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Spec {
        #[serde(with = "serde_yaml::with::singleton_map_recursive")]
        database: DatabaseSpec,
        about: String,
    }

    #[test]
    fn every_suite_names_a_database_that_can_be_built() {
        for suite in SUITES {
            let spec: Spec = serde_yaml::from_str(suite.yaml).unwrap_or_else(|error| panic!("{}: {error}", suite.name));
            assert_eq!(spec.about, suite.about, "{}", suite.name);
            assert!(suite.name.starts_with(&format!("{}/", spec.database.entry().name)), "{}", suite.name);
            assert_eq!(build(&spec.database).unwrap().db.name(), spec.database.entry().name);
        }
        assert_eq!(suite("etcd/stale-reads").map(|suite| suite.name), Some("etcd/stale-reads"));
        assert_eq!(suite("etcd"), None);
    }

    #[test]
    fn only_the_suite_for_it_reads_stale() {
        for suite in SUITES {
            let spec: Spec = serde_yaml::from_str(suite.yaml).unwrap();
            let DatabaseSpec::Etcd(options) = spec.database;
            assert_eq!(options.serializable_reads, suite.name == "etcd/stale-reads");
        }
    }

    #[test]
    fn patience_spares_what_the_suite_chose() {
        let chosen = EtcdOptions { heartbeat_ms: 50, ..EtcdOptions::default() };
        let DatabaseSpec::Etcd(patient) = DatabaseSpec::Etcd(chosen).patient();
        assert_eq!((patient.heartbeat_ms, patient.election_ms, patient.operation_timeout_ms), (50, 2_000, 5_000));
        assert!(build(&DatabaseSpec::Etcd(patient).patient()).is_ok());
    }

    #[test]
    fn a_misspelt_option_tells_what_there_is() {
        let yaml = "about: x\ndatabase:\n  etcd:\n    serializable_read: true\n";
        let Err(error) = serde_yaml::from_str::<Spec>(yaml) else { panic!("accepted") };
        let text = error.to_string();
        assert!(
            text.contains("serializable_read") && text.contains("serializable_reads") && text.contains("line"),
            "{text}"
        );
    }

    #[test]
    fn an_error_is_told_before_anything_starts() {
        let options = EtcdOptions { prefix: String::new(), ..EtcdOptions::default() };
        let error = build(&DatabaseSpec::Etcd(options)).unwrap_err();
        assert!(error.to_string().contains("prefix"), "{error}");
    }
}
