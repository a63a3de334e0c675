//! Copying package trees.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Copies what is in an opened folder over what is in `to`: folders, files and links, with their modes, owned by
/// whoever copies (root, whoever filled the cache). Device nodes and sockets are left out; packages have none.
///
/// # Errors
/// Of the file system, a full one included; then a part is there.
pub(crate) fn copy(from: &fs::File, to: &Path) -> io::Result<()> {
    copy_folder(&PathBuf::from(format!("/proc/self/fd/{}", from.as_raw_fd())), to)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        let old = fs::symlink_metadata(&target).ok();
        if kind.is_dir() {
            if !old.as_ref().is_some_and(fs::Metadata::is_dir) {
                remove(&target, old.is_some())?;
                fs::create_dir(&target)?;
            }
            copy_folder(&source, &target)?;
            let mode = entry.metadata()?.permissions().mode();
            fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
        } else if old.as_ref().is_some_and(fs::Metadata::is_dir) {
            // A folder of one package where another has a file or a link: the folder's content is worth more.
        } else if kind.is_symlink() {
            remove(&target, old.is_some())?;
            symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_file() {
            remove(&target, old.is_some())?;
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

fn remove(path: &Path, there: bool) -> io::Result<()> {
    if there { fs::remove_file(path) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_tree_is_on_top_and_modes_and_links_survive() {
        let base = std::env::temp_dir().join(format!("schism-tree-{}", std::process::id()));
        let (one, two, to) = (base.join("one"), base.join("two"), base.join("to"));
        for (tree, text) in [(&one, "one"), (&two, "two")] {
            fs::create_dir_all(tree.join("usr/bin")).unwrap();
            fs::write(tree.join("usr/bin/tool"), text).unwrap();
            fs::set_permissions(tree.join("usr/bin/tool"), fs::Permissions::from_mode(0o4755)).unwrap();
        }
        symlink("tool", one.join("usr/bin/alias")).unwrap();
        fs::create_dir(&to).unwrap();
        for tree in [&one, &two] {
            copy(&fs::File::open(tree).unwrap(), &to).unwrap();
        }
        assert_eq!(fs::read_to_string(to.join("usr/bin/alias")).unwrap(), "two");
        assert_eq!(fs::read_link(to.join("usr/bin/alias")).unwrap(), Path::new("tool"));
        assert_eq!(fs::metadata(to.join("usr/bin/tool")).unwrap().permissions().mode() & 0o7777, 0o4755);
        fs::remove_dir_all(base).unwrap();
    }
}
