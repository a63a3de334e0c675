//! Everything that can end a command before its time, and the exit that it gives.

use std::path::{Path, PathBuf};

use schism_cluster::{DbError, RemoteError};

use crate::exit::Exit;

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunnerError {
    /// The command line or a combination of options makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The suite file is wrong.
    #[error(transparent)]
    Suite(#[from] crate::suite::SuiteError),
    /// The plan asks for what the cluster or the database cannot do.
    #[error("{0}")]
    Plan(String),
    /// A history could not be read.
    #[error("{path}: {reason}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Position, what was found, what was expected.
        reason: String,
    },
    /// A lab could not be made or found.
    #[error(transparent)]
    Lab(#[from] schism_lab::LabError),
    /// Packages could not be fetched.
    #[error(transparent)]
    Packages(#[from] schism_cluster::packages::PackageError),
    /// A node did not obey.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The database did not obey.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A file could not be written.
    #[error("cannot write {path}: {source}{}", disk_hint(source), path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// Nodes or ground gave no answer when it was asked whether the plan can be done, or the database when its clients were
    /// prepared: named with what was asked and for how long it was waited.
    #[error("{0}")]
    Unanswered(String),
    /// Another controller has the nodes, or left faults on them.
    #[error("{0}")]
    InUse(String),
    /// Something that should not happen.
    #[error("internal error: {0}. Please report it with the run folder's schism.log")]
    Internal(String),
    /// Ctrl-C before there was anything to judge.
    #[error("interrupted before there was a verdict")]
    Interrupted,
}

fn disk_hint(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            ". The disk is full: free some space, or choose another folder with --runs"
        }
        std::io::ErrorKind::PermissionDenied => ". Choose a folder that you may write to with --runs",
        _ => "",
    }
}

impl RunnerError {
    /// A write error for a path.
    pub fn write(path: &Path, source: std::io::Error) -> RunnerError {
        RunnerError::Write { path: path.to_owned(), source }
    }

    /// A read error for a path.
    pub fn read(path: &Path, source: std::io::Error) -> RunnerError {
        RunnerError::Read { path: path.to_owned(), source }
    }

    /// The exit that this error gives.
    pub fn exit(&self) -> Exit {
        match self {
            RunnerError::Lab(
                schism_lab::LabError::NotFound { .. }
                | schism_lab::LabError::NoSuchNode { .. }
                | schism_lab::LabError::Spec { .. }
                | schism_lab::LabError::Exists { .. },
            ) => Exit::Usage,
            RunnerError::Usage(_) | RunnerError::Suite(_) | RunnerError::Plan(_) => Exit::Usage,
            RunnerError::Malformed { .. } | RunnerError::Read { .. } => Exit::Malformed,
            RunnerError::InUse(_) | RunnerError::Unanswered(_) => Exit::Unavailable,
            RunnerError::Lab(_) | RunnerError::Packages(_) | RunnerError::Remote(_) | RunnerError::Db(_) => {
                Exit::Unavailable
            }
            RunnerError::Write { .. } => Exit::CannotWrite,
            RunnerError::Internal(_) => Exit::Internal,
            RunnerError::Interrupted => Exit::Interrupted,
        }
    }
}
