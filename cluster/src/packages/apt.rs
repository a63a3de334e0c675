//! apt on a private state: which packages this machine lacks, and their download.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{DPKG_STATUS, PackageError, Scope, at};

const LISTS_OF_MACHINE: &str = "/var/lib/apt/lists";

/// Where package lists come from, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lists {
    /// The machine's own, read only.
    OfMachine,
    /// Ours, from an earlier time.
    Private,
    /// Ours, fetched now.
    PrivateRenewed,
}

impl Lists {
    fn folder(self, base: &Path) -> PathBuf {
        match self {
            Lists::OfMachine => PathBuf::from(LISTS_OF_MACHINE),
            Lists::Private | Lists::PrivateRenewed => base.join("apt/lists"),
        }
    }

    /// Whether there is anything to look into.
    pub(super) fn usable(self, base: &Path) -> bool {
        let holds_lists = || {
            let entries = fs::read_dir(self.folder(base)).into_iter().flatten().flatten();
            entries.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
        };
        self == Lists::PrivateRenewed || holds_lists()
    }
}

/// One package to be downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) arch: String,
    pub(super) bytes: u64,
}

impl Wanted {
    pub(super) fn id(&self) -> String {
        format!("{}_{}_{}", self.name, self.version, self.arch)
    }

    /// Reads a line of `--print-uris`: `'URI' name_version_arch.deb size hash`. The file name has the version's colon
    /// as `%3a`.
    fn parse(line: &str) -> Option<Wanted> {
        let mut words = line.strip_prefix('\'')?.split_once("' ")?.1.split(' ');
        let file = words.next()?.strip_suffix(".deb")?;
        let bytes = words.next()?.parse().ok()?;
        let mut parts = file.splitn(3, '_');
        let (name, version, arch) = (parts.next()?, parts.next()?, parts.next()?);
        let version = version.replace("%3a", ":").replace("%3A", ":");
        Some(Wanted { name: name.to_owned(), version, arch: arch.to_owned(), bytes })
    }
}

/// Downloaded archives; the folder goes when this goes.
pub(super) struct Debs {
    pub(super) files: Vec<PathBuf>,
    _folder: tempfile::TempDir,
}

/// apt with its own state, cache and no hooks.
pub(super) struct Apt {
    config: PathBuf,
    base: PathBuf,
}

impl Apt {
    pub(super) fn is_here() -> bool {
        super::on_machine("apt-get") && super::on_machine("dpkg-deb")
    }

    /// Writes the configuration. Hooks are cleared because some machines' hooks delete the machine's archives after every
    /// update; apt's sandbox user is switched off because it cannot enter a cache in a home folder.
    /// For a whole machine apt believes that nothing is installed.
    pub(super) fn new(base: &Path, lists: Lists, scope: Scope) -> Result<Apt, PackageError> {
        let own = base.join("apt");
        for folder in ["state", "lists/partial", "cache/archives/partial"] {
            let folder = own.join(folder);
            at(fs::create_dir_all(&folder), "making", &folder)?;
        }
        let status = match scope {
            Scope::Missing => PathBuf::from(DPKG_STATUS),
            Scope::Whole => own.join("nothing-installed"),
        };
        if scope == Scope::Whole {
            at(fs::write(&status, ""), "writing", &status)?;
        }
        let text = format!(
            "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n\
             Dir::State \"{own}/state\";\nDir::State::lists \"{lists}\";\nDir::State::status \"{status}\";\n\
             Dir::Cache \"{own}/cache\";\nDebug::NoLocking \"1\";\nAPT::Sandbox::User \"\";\nAcquire::Retries \"2\";\n",
            own = own.display(),
            lists = lists.folder(base).display(),
            status = status.display(),
        );
        let config = own.join("apt.conf");
        at(fs::write(&config, text), "writing", &config)?;
        Ok(Apt { config, base: base.to_owned() })
    }

    /// Fetches package lists into the private state.
    pub(super) fn update(&self) -> Result<(), PackageError> {
        self.run(["update"], &self.base).map(drop)
    }

    /// What an installation of `names` would download: these packages and their dependencies, less what is installed.
    pub(super) fn missing(&self, names: &[&str]) -> Result<Vec<Wanted>, PackageError> {
        let options = ["install", "--print-uris", "--no-install-recommends"];
        let output = self.run(options.iter().chain(names), &self.base)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines
            .map(|line| {
                Wanted::parse(line).ok_or_else(|| PackageError::Failed {
                    what: format!("reading what apt would install for {}", names.join(", ")),
                    reason: format!("it said `{line}`"),
                    hint: "Install these packages yourself, without enabling their services",
                })
            })
            .collect()
    }

    /// Downloads them; apt checks size and hash against the signed lists.
    pub(super) fn download(&self, wanted: &[Wanted], progress: &mut dyn FnMut(&str)) -> Result<Debs, PackageError> {
        let folder = at(tempfile::tempdir_in(self.base.join("apt")), "making a folder in", &self.base)?;
        let bytes: u64 = wanted.iter().map(|package| package.bytes).sum();
        if !wanted.is_empty() {
            let names: Vec<&str> = wanted.iter().map(|package| package.name.as_str()).collect();
            progress(&format!("downloading {:.1} MB: {}", bytes as f64 / 1e6, names.join(", ")));
            let exact: Vec<String> = wanted.iter().map(|p| format!("{}:{}={}", p.name, p.arch, p.version)).collect();
            self.run(std::iter::once("download").chain(exact.iter().map(String::as_str)), folder.path())?;
        }
        let mut files = Vec::new();
        for entry in at(fs::read_dir(folder.path()), "reading", folder.path())? {
            files.push(at(entry, "reading", folder.path())?.path());
        }
        files.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
        if files.len() != wanted.len() {
            return Err(PackageError::Failed {
                what: "downloading packages".to_owned(),
                reason: format!("{} of {} archives arrived", files.len(), wanted.len()),
                hint: "Try again",
            });
        }
        files.sort();
        Ok(Debs { files, _folder: folder })
    }

    fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>, folder: &Path) -> Result<Output, PackageError> {
        let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let what = format!("apt-get {}", args.first().map(|arg| arg.to_string_lossy()).unwrap_or_default());
        // `-c` is read after the machine's own configuration, so that ours holds; `C` because messages are read.
        let output = Command::new("apt-get")
            .arg("-c")
            .arg(&self.config)
            .arg("-qq")
            .args(&args)
            .current_dir(folder)
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| failed(&what, &error.to_string()))?;
        if output.status.success() {
            return Ok(output);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        match unknown_package(&said) {
            Some(name) => Err(PackageError::Unknown { name }),
            None => Err(failed(&what, &crate::remote::tail(&output.stderr, 600))),
        }
    }
}

fn failed(what: &str, reason: &str) -> PackageError {
    PackageError::Failed {
        what: what.to_owned(),
        reason: reason.to_owned(),
        hint: "Check the network and this machine's package sources, or install the packages yourself without enabling \
               their services",
    }
}

/// Which package apt complains of not knowing.
fn unknown_package(said: &str) -> Option<String> {
    said.lines().find_map(|line| {
        let line = line.strip_prefix("E: ")?;
        let name = line.strip_prefix("Unable to locate package ").or_else(|| {
            line.strip_prefix("Package '").and_then(|rest| rest.strip_suffix("' has no installation candidate"))
        });
        name.map(|name| name.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_print_uris() {
        let line = "'http://a/b/openssh-server_9.2p1-2%2bdeb12u10_amd64.deb' \
                    openssh-server_1%3a9.2p1-2+deb12u10_amd64.deb 456584 MD5Sum:fe69";
        let wanted = Wanted::parse(line).unwrap();
        assert_eq!(wanted.id(), "openssh-server_1:9.2p1-2+deb12u10_amd64");
        assert_eq!(wanted.bytes, 456_584);
        for bad in ["", "'x", "'x' y.deb 3", "'x' a_b_c.deb", "'x' a_b_c.deb many", "'x' a_b_c.rpm 3 h", "W: old"] {
            assert_eq!(Wanted::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn apts_complaints() {
        for (said, name) in [
            ("E: Unable to locate package nosuch\n", Some("nosuch")),
            ("W: x\nE: Package 'nft' has no installation candidate", Some("nft")),
            ("E: Could not get lock", None),
        ] {
            assert_eq!(unknown_package(said).as_deref(), name);
        }
    }
}
