//! Probes whose asker is gone leave nothing behind.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use schism_nemesis::scripts::{disk_probe, mapper_probe};

#[test]
fn a_probe_that_nobody_listens_to_takes_its_file_away() {
    // Where files can be opened past the page cache.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().to_str().unwrap();
    for script in [disk_probe(path, "t-1", 200, 65_536), mapper_probe(path, "t-1", 200)] {
        let mut probe =
            Command::new("sh").arg("-c").arg(&script).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // Whoever reads goes away when it has begun.
        let mut lines = BufReader::new(probe.stdout.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().starts_with("free"));
        assert!(lines.next().unwrap().unwrap().starts_with("open"));
        drop(lines);
        probe.wait().unwrap();
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
