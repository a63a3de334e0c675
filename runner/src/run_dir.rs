//! The run folder: where the phases of a run meet.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::macros::format_description;

use crate::error::RunnerError;

/// A run's folder and the names in it.
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes `RUNS/<UTC time>-<suite>-<short id>`. It becomes the latest by [`RunDir::make_latest`].
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn create(runs: &Path, suite: &str, started: OffsetDateTime, short_id: &str) -> Result<RunDir, RunnerError> {
        let stamp = started
            .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
            .map_err(|error| RunnerError::Internal(format!("a time could not be written: {error}")))?;
        let suite = suite
            .strip_suffix(".yaml")
            .or(suite.strip_suffix(".yml"))
            .map_or(suite, |path| path.rsplit('/').next().unwrap_or(path));
        let slug: String = suite.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let name = format!("{stamp}-{slug}-{short_id}");
        let path = runs.join(&name);
        fs::create_dir_all(&path).map_err(|error| RunnerError::write(&path, error))?;
        Ok(RunDir { path })
    }

    /// Points `RUNS/latest` to this run.
    ///
    /// # Errors
    /// When the link cannot be made.
    pub fn make_latest(&self) -> Result<(), RunnerError> {
        let (Some(runs), name) = (self.path.parent(), self.name()) else { return Ok(()) };
        let latest = runs.join("latest");
        let fresh = runs.join(format!(".latest-{name}"));
        let linked = std::os::unix::fs::symlink(&name, &fresh).and_then(|()| fs::rename(&fresh, &latest));
        linked.map_err(|error| RunnerError::write(&latest, error))
    }

    /// Removes a folder in which nothing came to be.
    pub fn discard(&self) {
        // If it stays, it only stays.
        let _ = fs::remove_dir_all(&self.path);
    }

    /// A folder that is there; `latest` and a folder's own name within `runs` are found too.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn open(runs: &Path, name: &Path) -> Result<RunDir, RunnerError> {
        let candidates = [name.to_owned(), runs.join(name)];
        for path in &candidates {
            if path.join("plan.json").is_file() {
                let path = fs::canonicalize(path).map_err(|error| RunnerError::read(path, error))?;
                return Ok(RunDir { path });
            }
        }
        Err(RunnerError::Usage(format!(
            "{}: no run there (no plan.json). `ls {}` shows the runs; `latest` is the newest",
            name.display(),
            runs.display()
        )))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its own name.
    pub fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// `plan.json`
    pub fn plan(&self) -> PathBuf {
        self.path.join("plan.json")
    }

    /// `run.json`: what a report says beside history and verdict.
    pub fn info(&self) -> PathBuf {
        self.path.join("run.json")
    }

    /// `history.jsonl`
    pub fn history(&self) -> PathBuf {
        self.path.join("history.jsonl")
    }

    /// `faults.jsonl`, the ledger.
    pub fn ledger(&self) -> PathBuf {
        self.path.join("faults.jsonl")
    }

    /// `controller.json`: the process that drives the run.
    pub fn controller(&self) -> PathBuf {
        self.path.join("controller.json")
    }

    /// `verdict.json`
    pub fn verdict(&self) -> PathBuf {
        self.path.join("verdict.json")
    }

    /// `report.html`
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// `junit.xml`
    pub fn junit(&self) -> PathBuf {
        self.path.join("junit.xml")
    }

    /// `schism.log`
    pub fn log(&self) -> PathBuf {
        self.path.join("schism.log")
    }

    /// `nodes/<node>`
    pub fn node(&self, node: &str) -> PathBuf {
        self.path.join("nodes").join(node)
    }
}

/// Writes a file whole or not at all: under a temporary name, synced, renamed.
///
/// # Errors
/// When it cannot be written; the old file is then still there.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), RunnerError> {
    let fresh = path.with_extension("fresh");
    let written = fs::File::create(&fresh).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&fresh, path)).map_err(|error| {
        // What is left of it is of no use to anybody; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&fresh);
        RunnerError::write(path, error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_run_is_latest() {
        let runs = tempfile::tempdir().expect("a folder");
        let at = OffsetDateTime::UNIX_EPOCH;
        let first = RunDir::create(runs.path(), "etcd/register", at, "aa").expect("a run");
        let second = RunDir::create(runs.path(), "etcd/register", at, "bb").expect("a run");
        assert_eq!(first.name(), "19700101T000000Z-etcd-register-aa");
        let third = RunDir::create(runs.path(), "../suites/mine.yaml", at, "cc").expect("a run");
        assert_eq!(third.name(), "19700101T000000Z-mine-cc");
        second.make_latest().expect("a link");
        assert!(RunDir::open(runs.path(), Path::new("latest")).is_err(), "no plan yet");
        write_whole(&second.plan(), b"{}").expect("a plan");
        assert_eq!(RunDir::open(runs.path(), Path::new("latest")).expect("found").name(), second.name());
    }

    #[test]
    fn a_full_disk_is_told_and_leaves_the_old_file() {
        let error = RunnerError::write(Path::new("x"), std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert!(error.to_string().contains("The disk is full"), "{error}");
        assert_eq!(error.exit(), crate::exit::Exit::CannotWrite);
    }
}
