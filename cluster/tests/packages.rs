//! Real packages from the distribution, into a cache of their own. Needs apt and its archive; says so where they are
//! missing.

use std::path::Path;
use std::time::Instant;

use schism_cluster::packages::{self, PackageError};

/// Small, without dependencies that a machine lacks.
const SMALL: &str = "runit-helper";

fn ground_is_missing() -> Option<&'static str> {
    if !Path::new("/usr/bin/apt-get").exists() {
        return Some("this system has no apt-get");
    }
    None
}

#[test]
fn two_at_once_make_one_tree_and_the_next_needs_no_network() {
    if let Some(reason) = ground_is_missing() {
        println!("skipped: {reason}");
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    let trees: Vec<_> = std::thread::scope(|scope| {
        let fetch = || packages::fetch(cache.path(), &[SMALL], &mut |_| {});
        let both = [scope.spawn(fetch), scope.spawn(fetch)];
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let trees: Vec<_> = match trees.into_iter().collect::<Result<Vec<_>, _>>() {
        Ok(trees) => trees,
        Err(error @ PackageError::Failed { .. }) => {
            println!("skipped: no package archive: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(trees[0].path, trees[1].path);
    assert_eq!(trees.iter().filter(|tree| !tree.cached).count(), 1, "made once, found once");
    if trees[0].packages.is_empty() {
        println!("skipped the rest: this machine has {SMALL}");
        return;
    }
    assert!(trees[0].packages[0].starts_with("runit-helper_"), "{:?}", trees[0].packages);
    assert!(trees[0].path.join("usr/share/doc/runit-helper").is_dir());
    let start = Instant::now();
    let warm = packages::fetch(cache.path(), &[SMALL], &mut |line| panic!("a warm cache has nothing to do: {line}"));
    println!("warm: {:?}", start.elapsed());
    assert!(warm.unwrap().cached);
}

#[test]
fn a_package_that_is_not_there_is_named() {
    if let Some(reason) = ground_is_missing() {
        println!("skipped: {reason}");
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    match packages::fetch(cache.path(), &["no-such-package-schism"], &mut |_| {}) {
        Err(PackageError::Unknown { name }) => assert_eq!(name, "no-such-package-schism"),
        Err(error @ PackageError::Failed { .. }) => println!("skipped: no package lists: {error}"),
        other => panic!("{other:?}"),
    }
}
