//! Unpacking archives into one tree that can be laid over this machine's files.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::apt::Wanted;
use super::{PackageError, PackageTree, Scope, at, tree_key};

/// Folders that are links into `usr` on a merged system.
const MERGED: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Unpacks `debs` into the tree of `wanted` and gives it its name at the very end: a tree that is there is whole.
pub(super) fn tree(
    base: &Path,
    scope: Scope,
    wanted: &[Wanted],
    debs: &[PathBuf],
) -> Result<PackageTree, PackageError> {
    let trees = base.join("trees");
    at(fs::create_dir_all(&trees), "making", &trees)?;
    let path = trees.join(tree_key(scope, wanted));
    let mut packages: Vec<String> = wanted.iter().map(Wanted::id).collect();
    packages.sort_unstable();
    if path.is_dir() {
        return Ok(PackageTree { path, packages, cached: true });
    }
    let fresh = at(tempfile::Builder::new().prefix(".new-").tempdir_in(&trees), "making a folder in", &trees)?;
    let root = fresh.path().join("root");
    at(fs::create_dir(&root), "making", &root)?;
    for deb in debs {
        unpack(deb, &root)?;
    }
    match scope {
        Scope::Missing => {
            at(merge_usr(&root, Path::new("/")), "merging the folders of", &root)?;
            at(choose_iptables(&root, Path::new("/")), "choosing iptables in", &root)?;
        }
        Scope::Whole => {
            at(merge_all(&root), "merging the folders of", &root)?;
            at(choose_iptables(&root, &root), "choosing iptables in", &root)?;
        }
    }
    at(fs::rename(&root, &path), "renaming", &path)?;
    Ok(PackageTree { path, packages, cached: false })
}

fn unpack(deb: &Path, root: &Path) -> Result<(), PackageError> {
    let failed = |reason: String| PackageError::Failed {
        what: format!("unpacking {}", deb.display()),
        reason,
        hint: "Is the disk full? Try again, or give another folder with SCHISM_CACHE",
    };
    let output = Command::new("dpkg-deb")
        .arg("-x")
        .args([deb, root])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() { Ok(()) } else { Err(failed(crate::remote::tail(&output.stderr, 400))) }
}

/// Moves `lib` to `usr/lib` and so on where the machine has merged them: a folder laid over the machine's link would
/// hide all of the machine's libraries.
fn merge_usr(root: &Path, machine: &Path) -> io::Result<()> {
    for name in MERGED {
        let from = root.join(name);
        let is_folder = fs::symlink_metadata(&from).is_ok_and(|meta| meta.is_dir());
        if is_folder && machine.join(name).is_symlink() {
            merge_into(&from, &root.join("usr").join(name))?;
        }
    }
    Ok(())
}

/// Merges all of them, and puts the links there: no machine lies below.
fn merge_all(root: &Path) -> io::Result<()> {
    for name in MERGED {
        let from = root.join(name);
        if fs::symlink_metadata(&from).is_ok_and(|meta| meta.is_dir()) {
            merge_into(&from, &root.join("usr").join(name))?;
        }
        if root.join("usr").join(name).is_dir() && fs::symlink_metadata(&from).is_err() {
            symlink(Path::new("usr").join(name), &from)?;
        }
    }
    Ok(())
}

/// Moves what is in `from` into `to`, folder by folder, and removes `from`. What both have is taken from `from`.
fn merge_into(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() && target.is_dir() {
            merge_into(&entry.path(), &target)?;
        } else {
            fs::rename(entry.path(), &target)?;
        }
    }
    fs::remove_dir(from)
}

/// `iptables` is a link that the package's script would make (an alternative); without it the package is useless.
fn choose_iptables(root: &Path, machine: &Path) -> io::Result<()> {
    for name in ["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"] {
        let variant = name.replacen("tables", "tables-nft", 1);
        let there = |path: PathBuf| fs::symlink_metadata(path).is_ok();
        let link = root.join("usr/sbin").join(name);
        if there(root.join("usr/sbin").join(&variant))
            && !there(link.clone())
            && !there(machine.join("usr/sbin").join(name))
        {
            symlink(&variant, &link)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_merged_only_where_the_machine_merged_them() {
        let folder = tempfile::tempdir().unwrap();
        let (root, machine) = (folder.path().join("root"), folder.path().join("machine"));
        for file in ["lib/x/one", "usr/lib/x/two", "sbin/tool"] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        fs::create_dir_all(machine.join("sbin")).unwrap();
        symlink("usr/lib", machine.join("lib")).unwrap();
        merge_usr(&root, &machine).unwrap();
        assert!(root.join("usr/lib/x/one").exists() && root.join("usr/lib/x/two").exists());
        assert!(!root.join("lib").exists());
        assert!(root.join("sbin/tool").exists() && !root.join("usr/sbin").exists());
    }

    #[test]
    fn a_whole_machine_is_merged_whatever_this_machine_is() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for file in ["lib/x/one", "usr/lib/x/two", "sbin/tool", "usr/bin/other"] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        merge_all(root).unwrap();
        for (link, to) in [("lib", "usr/lib"), ("sbin", "usr/sbin"), ("bin", "usr/bin")] {
            assert_eq!(fs::read_link(root.join(link)).unwrap(), Path::new(to));
        }
        assert_eq!(fs::read_to_string(root.join("usr/lib/x/one")).unwrap(), "lib/x/one");
        assert_eq!(fs::read_to_string(root.join("sbin/tool")).unwrap(), "sbin/tool");
        assert!(root.join("lib/x/two").exists() && fs::symlink_metadata(root.join("lib64")).is_err());
    }

    #[test]
    fn iptables_gets_its_link_unless_the_machine_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let (root, machine) = (folder.path().join("root"), folder.path().join("machine"));
        for place in [root.join("usr/sbin"), machine.join("usr/sbin")] {
            fs::create_dir_all(place).unwrap();
        }
        for name in ["iptables-nft", "ip6tables-nft"] {
            fs::write(root.join("usr/sbin").join(name), "").unwrap();
        }
        fs::write(machine.join("usr/sbin/ip6tables"), "").unwrap();
        choose_iptables(&root, &machine).unwrap();
        assert_eq!(fs::read_link(root.join("usr/sbin/iptables")).unwrap(), Path::new("iptables-nft"));
        assert!(!root.join("usr/sbin/ip6tables").exists());
        assert!(!root.join("usr/sbin/iptables-save").exists());
    }

    #[test]
    fn an_archive_that_is_none_leaves_no_tree() {
        let base = tempfile::tempdir().unwrap();
        let deb = base.path().join("x.deb");
        fs::write(&deb, "garbage").unwrap();
        let wanted = [Wanted { name: "x".into(), version: "1".into(), arch: "all".into(), bytes: 7 }];
        assert!(tree(base.path(), Scope::Missing, &wanted, &[deb]).is_err());
        assert_eq!(fs::read_dir(base.path().join("trees")).unwrap().count(), 0);
    }
}
