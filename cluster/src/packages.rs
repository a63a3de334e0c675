//! Debian packages, downloaded into a cache and unpacked there: what nodes need, without installing anything.
//!
//! Installing a server package starts its daemon on most machines, so nothing is installed: packages that this machine
//! lacks (with their dependencies) are downloaded by apt, which verifies them, and unpacked into one tree. The
//! lab lays that tree over the machine's own files. apt works on a private state, so that the machine's lists, archives
//! and hooks stay as they are. Scripts of packages do not run: users that they would make and alternatives that
//! they would choose are missing (the one alternative that matters, `iptables`, is made).
//!
//! The layout of the cache: `packages/trees/<key>/` (one tree each, key = the sorted list of what is in it),
//! `packages/index/<key>.json` (what was asked for, and which tree answers it), `packages/apt/` (apt's private state),
//! `packages/lock`. Trees and index entries appear by rename, so readers need no lock; writers take turns.

mod apt;
mod unpack;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use apt::{Apt, Lists, Wanted};

/// What every node of a lab needs beside the database. Where nftables cannot be had, see [`fetch_for_nodes`].
pub const NODE_PACKAGES: &[&str] = &["openssh-server", "nftables"];

/// Which command shows that a package is on a machine that has no apt.
const COMMANDS: &[(&str, &str)] = &[
    ("openssh-server", "sshd"),
    ("openssh-client", "ssh"),
    ("nftables", "nft"),
    ("iptables", "iptables"),
    ("iproute2", "ip"),
    ("etcd-server", "etcd"),
    ("etcd-client", "etcdctl"),
    ("sudo", "sudo"),
];

/// Which packages of a dependency tree are wanted, and what the tree shall be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Those that this machine lacks, to be laid over its files.
    Missing,
    /// All of them: the files of a machine of its own.
    Whole,
}

/// The package database of this machine; when it changes, what is missing here has to be asked again.
const DPKG_STATUS: &str = "/var/lib/dpkg/status";

const INDEX_VERSION: u32 = 1;

/// Packages unpacked into one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageTree {
    /// The root of the tree (`usr/`, `etc/`, ...). Empty where the machine already has everything.
    pub path: PathBuf,
    /// What is in it, sorted, each as `name_version_arch`.
    pub packages: Vec<String>,
    /// Whether it was there already.
    pub cached: bool,
}

/// Why packages could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// Not a Debian or a relative of it.
    #[error(
        "this system has no apt-get and dpkg-deb, and lacks {missing}. On this system install {missing} yourself \
         (without enabling the services), or bring your own machines with --inventory"
    )]
    NoApt {
        /// Package names, as Debian calls them.
        missing: String,
    },
    /// apt does not know it.
    #[error("apt knows no package {name}. Check the name and this machine's package sources, or install it yourself")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// Not a package name at all.
    #[error("`{name}` is not a package name (lower-case letters, digits, `+`, `-`, `.`)")]
    Name {
        /// What was given.
        name: String,
    },
    /// apt or dpkg-deb said no.
    #[error("{what} failed: {reason}. {hint}")]
    Failed {
        /// What was tried.
        what: String,
        /// The end of what the tool said.
        reason: String,
        /// What to do next.
        hint: &'static str,
    },
    /// The cache cannot be used.
    #[error("the package cache: {what} {} failed: {source}. Give another folder with SCHISM_CACHE", path.display())]
    Cache {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Puts path and deed to an error of the file system.
fn at<T>(result: io::Result<T>, what: &'static str, path: &Path) -> Result<T, PackageError> {
    result.map_err(|source| PackageError::Cache { what, path: path.to_owned(), source })
}

/// The folder for downloads: `$SCHISM_CACHE`, else `$XDG_CACHE_HOME/schism`, else `~/.cache/schism`.
pub fn default_cache() -> PathBuf {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = of("SCHISM_CACHE") {
        return path;
    }
    of("XDG_CACHE_HOME")
        .or_else(|| of("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(|| PathBuf::from("/var/cache"))
        .join("schism")
}

/// The packages of every lab node and `more`; iptables in place of nftables where that is not obtainable.
///
/// # Errors
/// See [`fetch`].
pub fn fetch_for_nodes(
    cache: &Path,
    more: &[&str],
    progress: &mut dyn FnMut(&str),
) -> Result<PackageTree, PackageError> {
    let names: Vec<&str> = NODE_PACKAGES.iter().chain(more).copied().collect();
    match fetch(cache, &names, progress) {
        Err(PackageError::Unknown { name }) if name == "nftables" => {
            progress("nftables is not obtainable here: taking iptables");
            let names: Vec<&str> =
                names.iter().map(|name| if *name == "nftables" { "iptables" } else { name }).collect();
            fetch(cache, &names, progress)
        }
        other => other,
    }
}

/// Makes a tree of those of `names`, and of their dependencies, that this machine lacks. Works as any user. With a warm
/// cache it takes milliseconds and no network; otherwise it takes as long as the download (a line of `progress` each).
/// Several processes may call it at once.
///
/// Not covered: packages whose scripts must run to be of use; other package systems than apt.
///
/// # Errors
/// See [`PackageError`]: each says what to do.
pub fn fetch(cache: &Path, names: &[&str], progress: &mut dyn FnMut(&str)) -> Result<PackageTree, PackageError> {
    fetch_scope(cache, Scope::Missing, names, progress)
}

/// Makes a tree of all of `names` and of all their dependencies, whatever this machine has: the files of a machine of its
/// own (`bin`, `lib` and so on are links into `usr`), as [`fetch`] otherwise. Made once: what is in the cache answers for
/// ever. Owners and modes are right only where root calls it.
///
/// Not covered: as [`fetch`]; systems without apt.
///
/// # Errors
/// See [`PackageError`].
pub fn fetch_whole(cache: &Path, names: &[&str], progress: &mut dyn FnMut(&str)) -> Result<PackageTree, PackageError> {
    fetch_scope(cache, Scope::Whole, names, progress)
}

fn fetch_scope(
    cache: &Path,
    scope: Scope,
    names: &[&str],
    progress: &mut dyn FnMut(&str),
) -> Result<PackageTree, PackageError> {
    let mut names: Vec<&str> = names.to_vec();
    names.sort_unstable();
    names.dedup();
    if let Some(name) = names.iter().find(|name| !is_package_name(name)) {
        return Err(PackageError::Name { name: (*name).to_owned() });
    }
    let base = cache.join("packages");
    if let Some(tree) = Index::read(&base, scope, &names).filter(|index| index.fits(scope)).and_then(|i| i.tree(&base))
    {
        return Ok(tree);
    }
    let trees = base.join("trees");
    at(fs::create_dir_all(&trees), "making", &trees)?;
    let _turn = lock(&base)?;
    let known = Index::read(&base, scope, &names);
    if let Some(tree) = known.as_ref().filter(|index| index.fits(scope)).and_then(|i| i.tree(&base)) {
        return Ok(tree);
    }
    if !Apt::is_here() {
        return match scope {
            Scope::Missing => without_apt(&base, &names),
            Scope::Whole => Err(PackageError::NoApt { missing: names.join(", ") }),
        };
    }
    match fetch_by_apt(&base, scope, &names, progress) {
        Ok(tree) => Ok(tree),
        // The machine's packages changed and apt cannot say what that means (no network, say): an older tree holds more
        // than nothing.
        Err(error) => match known.and_then(|index| index.tree(&base)) {
            Some(tree) => {
                progress(&format!("using the packages of last time, because {error}"));
                Ok(tree)
            }
            None => Err(error),
        },
    }
}

/// On a system without apt the machine itself must have everything.
fn without_apt(base: &Path, names: &[&str]) -> Result<PackageTree, PackageError> {
    let missing: Vec<&str> = names
        .iter()
        .filter(|name| !COMMANDS.iter().any(|(package, command)| package == *name && on_machine(command)))
        .copied()
        .collect();
    if !missing.is_empty() {
        return Err(PackageError::NoApt { missing: missing.join(", ") });
    }
    unpack::tree(base, Scope::Missing, &[], &[])
}

/// Whether a command is in one of the usual places (a user's `PATH` often lacks `sbin`).
fn on_machine(command: &str) -> bool {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(command).exists())
}

fn fetch_by_apt(
    base: &Path,
    scope: Scope,
    names: &[&str],
    progress: &mut dyn FnMut(&str),
) -> Result<PackageTree, PackageError> {
    let mut last = None;
    // Lists that are there may be too old to fit the archive; that shows when a download fails, and only then is the
    // network asked for new ones.
    for lists in [Lists::OfMachine, Lists::Private, Lists::PrivateRenewed] {
        if !lists.usable(base) {
            continue;
        }
        match try_lists(base, scope, names, lists, progress) {
            Ok(tree) => return Ok(tree),
            Err(error @ PackageError::Cache { .. }) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, ?lists, "packages not had from these lists");
                // "No such package" says more than the failed attempt to renew the lists that follows it without network.
                if !matches!(last, Some(PackageError::Unknown { .. })) {
                    last = Some(error);
                }
            }
        }
    }
    Err(last.unwrap_or(PackageError::NoApt { missing: names.join(", ") }))
}

fn try_lists(
    base: &Path,
    scope: Scope,
    names: &[&str],
    lists: Lists,
    progress: &mut dyn FnMut(&str),
) -> Result<PackageTree, PackageError> {
    let status = MachineStatus::read();
    let apt = Apt::new(base, lists, scope)?;
    if lists == Lists::PrivateRenewed {
        progress("fetching the package lists (private copy)");
        apt.update()?;
    }
    let wanted = apt.missing(names)?;
    let key = tree_key(scope, &wanted);
    let done = base.join("trees").join(&key);
    let tree = if done.is_dir() {
        PackageTree { path: done, packages: wanted.iter().map(Wanted::id).collect(), cached: true }
    } else {
        let debs = apt.download(&wanted, progress)?;
        progress(&format!("unpacking {} packages", wanted.len()));
        unpack::tree(base, scope, &wanted, &debs.files)?
    };
    Index { schema_version: INDEX_VERSION, status, tree: key, packages: tree.packages.clone() }
        .write(base, scope, names)?;
    Ok(tree)
}

/// The name of a tree: a digest of the sorted list of what is in it.
fn tree_key(scope: Scope, wanted: &[Wanted]) -> String {
    let mut ids: Vec<String> = wanted.iter().map(Wanted::id).collect();
    ids.sort_unstable();
    digest(&scope.label(&ids.join("\n")))
}

impl Scope {
    /// Keeps apart what both scopes would call the same.
    fn label(self, text: &str) -> String {
        match self {
            Scope::Missing => text.to_owned(),
            Scope::Whole => format!("whole\n{text}"),
        }
    }
}

fn digest(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// Debian policy 5.6.1, and at least two characters: also keeps options (`-o`) out of apt's command line.
fn is_package_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() >= 2 && bytes.next().is_some_and(fine) && bytes.all(|byte| fine(byte) || b"+-.".contains(&byte))
}

/// One writer at a time; ends with the returned file.
fn lock(base: &Path) -> Result<fs::File, PackageError> {
    let path = base.join("lock");
    let file = at(fs::File::create(&path), "making", &path)?;
    at(file.lock(), "locking", &path)?;
    Ok(file)
}

/// Size and change time of dpkg's database: cheap, and changes with every installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct MachineStatus {
    bytes: u64,
    changed_ns: u128,
}

impl MachineStatus {
    fn read() -> Option<MachineStatus> {
        let meta = fs::metadata(DPKG_STATUS).ok()?;
        let changed_ns = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        Some(MachineStatus { bytes: meta.len(), changed_ns })
    }
}

/// Which tree answers a list of names on this machine.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    schema_version: u32,
    status: Option<MachineStatus>,
    tree: String,
    packages: Vec<String>,
}

impl Index {
    fn path(base: &Path, scope: Scope, names: &[&str]) -> PathBuf {
        base.join("index").join(format!("{}.json", digest(&scope.label(&names.join("\n")))))
    }

    /// Nothing where there is none, or none that can be read: then it is made again.
    fn read(base: &Path, scope: Scope, names: &[&str]) -> Option<Index> {
        let index: Index = serde_json::from_slice(&fs::read(Index::path(base, scope, names)).ok()?).ok()?;
        (index.schema_version == INDEX_VERSION).then_some(index)
    }

    /// What is missing here changes with the machine, what is whole does not.
    fn fits(&self, scope: Scope) -> bool {
        scope == Scope::Whole || self.status == MachineStatus::read()
    }

    fn tree(&self, base: &Path) -> Option<PackageTree> {
        let path = base.join("trees").join(&self.tree);
        path.is_dir().then(|| PackageTree { path, packages: self.packages.clone(), cached: true })
    }

    fn write(&self, base: &Path, scope: Scope, names: &[&str]) -> Result<(), PackageError> {
        let path = Index::path(base, scope, names);
        let folder = base.join("index");
        at(fs::create_dir_all(&folder), "making", &folder)?;
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::other);
        let fresh = path.with_extension("new");
        at(bytes.and_then(|bytes| fs::write(&fresh, bytes)), "writing", &fresh)?;
        at(fs::rename(&fresh, &path), "renaming", &path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_options_or_paths_are_refused() {
        for (name, good) in [
            ("etcd-server", true),
            ("libstdc++6", true),
            ("7zip", true),
            ("-oDir=/", false),
            ("a", false),
            ("", false),
            ("../x", false),
            ("etcd server", false),
            ("Etcd", false),
            ("etcd=1", false),
        ] {
            assert_eq!(is_package_name(name), good, "{name}");
            if !good {
                let refused = fetch(Path::new("/nonexistent"), &[name], &mut |_| {});
                assert!(matches!(refused, Err(PackageError::Name { .. })), "{name}");
            }
        }
    }

    #[test]
    fn a_warm_index_answers_without_apt_and_a_broken_one_does_not() {
        let cache = tempfile::tempdir().unwrap();
        let base = cache.path().join("packages");
        let names = ["aa", "bb"];
        let index = Index {
            schema_version: INDEX_VERSION,
            status: MachineStatus::read(),
            tree: "k".into(),
            packages: vec!["aa_1_all".into()],
        };
        index.write(&base, Scope::Missing, &names).unwrap();
        // The tree itself is missing: the entry must not answer.
        assert!(Index::read(&base, Scope::Missing, &names).unwrap().tree(&base).is_none());
        assert!(Index::read(&base, Scope::Whole, &names).is_none(), "what is missing here is no whole machine");
        fs::create_dir_all(base.join("trees/k/usr")).unwrap();
        let tree = fetch(cache.path(), &["bb", "aa", "bb"], &mut |_| {}).unwrap();
        assert_eq!(tree.path, base.join("trees/k"));
        assert!(tree.cached);
        fs::write(Index::path(&base, Scope::Missing, &names), "{torn").unwrap();
        assert!(Index::read(&base, Scope::Missing, &names).is_none());
    }

    #[test]
    fn a_cache_that_cannot_be_written_says_so() {
        let error = fetch(Path::new("/proc/nothing"), &["etcd-server"], &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("SCHISM_CACHE"), "{error}");
    }
}
