//! Our faulty file system, really mounted: without rules it is the folder beneath, operation by operation; a crash leaves
//! what was synced; each rule does what it says and ends when it is taken away.
//!
//! Needs root and `/dev/fuse`; says so where they are missing.

#![allow(clippy::print_stderr, reason = "clippy does not know that helpers of an integration test are test")]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fuser::BackgroundSession;
use rand_chacha::ChaCha8Rng;
use schism_history::Seed;
use schism_nemesis::agent::faultfs::rules::{OpKind, Rule};
use schism_nemesis::agent::faultfs::{order, serve};
use schism_nemesis::draw::{below, one};

/// A folder with our file system over it.
struct Mounted {
    root: tempfile::TempDir,
    session: Option<BackgroundSession>,
}

impl Mounted {
    /// `None`, said, where this machine cannot mount.
    fn new(seed: u64) -> Option<Mounted> {
        if !nix::unistd::geteuid().is_root() || File::open("/dev/fuse").is_err() {
            eprintln!("skipped: mounting needs root and /dev/fuse");
            return None;
        }
        let root = tempfile::tempdir().expect("the set-up of a test");
        for folder in ["data", "plain", "state/rules"] {
            fs::create_dir_all(root.path().join(folder)).expect("the set-up of a test");
        }
        let mut mounted = Mounted { root, session: None };
        let session = serve(&mounted.data(), mounted.state(), "schism-test", seed).expect("mounting");
        mounted.session = Some(session.spawn().expect("a thread"));
        Some(mounted)
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn plain(&self) -> PathBuf {
        self.root.path().join("plain")
    }

    fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    fn rule(&self, name: &str, rule: &Rule) {
        let text = serde_json::to_string(rule).expect("a rule");
        fs::write(self.state().join("rules").join(name), text).expect("the set-up of a test");
        order(&self.state(), "reload").expect("it listens");
    }

    fn lift(&self, name: &str) {
        fs::remove_file(self.state().join("rules").join(name)).expect("the rule is there");
        order(&self.state(), "reload").expect("it listens");
    }

    fn unmount(&mut self) {
        if let Some(session) = self.session.take() {
            session.umount_and_join().expect("unmounting");
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = session.umount_and_join();
        }
    }
}

/// What an operation gave: a few numbers and bytes, or the error's number.
type Outcome = Result<Vec<u8>, i32>;

fn raw(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

/// A random operation on a few names, the same for both folders.
#[derive(Debug, Clone)]
enum Deed {
    Create(String, bool),
    Write(String, u64, Vec<u8>, bool),
    Append(String, Vec<u8>),
    Truncate(String, u64),
    Allocate(String, u64, u64, i32),
    Read(String),
    Rename(String, String),
    Link(String, String),
    Symlink(String, String),
    Unlink(String),
    Mkdir(String),
    Rmdir(String),
    List(String),
    Stat(String),
    Chmod(String, u32),
    Touch(String, u64),
    Sync(String),
}

fn draw_deed(rng: &mut ChaCha8Rng) -> Deed {
    let names = ["a", "b", "c", "d", "d/a", "d/b", "e", "e/a", "d/f", "d/f/a"];
    let mut name = || (*one(rng, &names).expect("some")).to_owned();
    let (first, second) = (name(), name());
    let number = below(rng, 17);
    let (offset, len) = (below(rng, 30_000), below(rng, 9_000));
    let bytes = vec![below(rng, 255) as u8 + 1; len as usize];
    let mode = [0, libc_keep_size(), libc_keep_size() | libc_punch_hole()][below(rng, 3) as usize];
    match number {
        0 => Deed::Create(first, below(rng, 2) == 0),
        1 | 2 => Deed::Write(first, offset, bytes, below(rng, 4) == 0),
        3 => Deed::Append(first, bytes),
        4 => Deed::Truncate(first, offset),
        5 => Deed::Allocate(first, offset, len + 1, mode),
        6 => Deed::Read(first),
        7 => Deed::Rename(first, second),
        8 => Deed::Link(first, second),
        9 => Deed::Symlink(first, second),
        10 => Deed::Unlink(first),
        11 => Deed::Mkdir(first),
        12 => Deed::Rmdir(first),
        13 => Deed::List(if below(rng, 2) == 0 { String::new() } else { first }),
        14 => Deed::Stat(first),
        15 => Deed::Chmod(first, below(rng, 0o1000) as u32 | 0o600),
        _ if below(rng, 2) == 0 => Deed::Touch(first, below(rng, 2_000_000_000)),
        _ => Deed::Sync(first),
    }
}

fn libc_keep_size() -> i32 {
    nix::fcntl::FallocateFlags::FALLOC_FL_KEEP_SIZE.bits()
}

fn libc_punch_hole() -> i32 {
    nix::fcntl::FallocateFlags::FALLOC_FL_PUNCH_HOLE.bits()
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn apply(root: &Path, deed: &Deed) -> Outcome {
    let at = |name: &str| root.join(name);
    let writable = |name: &str| OpenOptions::new().write(true).open(at(name));
    let none = |()| Vec::new();
    let done: io::Result<Vec<u8>> = match deed {
        Deed::Create(name, exclusive) => {
            let mut options = OpenOptions::new();
            options.write(true).create(true).create_new(*exclusive).mode(0o640).open(at(name)).map(|_| Vec::new())
        }
        Deed::Write(name, offset, bytes, synchronous) => {
            let flags = if *synchronous { nix::fcntl::OFlag::O_DSYNC.bits() } else { 0 };
            let file = OpenOptions::new().write(true).create(true).truncate(false).custom_flags(flags).open(at(name));
            file.and_then(|file| file.write_all_at(bytes, *offset)).map(none)
        }
        Deed::Append(name, bytes) => {
            OpenOptions::new().append(true).open(at(name)).and_then(|mut file| file.write_all(bytes)).map(none)
        }
        Deed::Truncate(name, size) => writable(name).and_then(|file| file.set_len(*size)).map(none),
        Deed::Allocate(name, offset, len, mode) => writable(name).and_then(|file| {
            let mode = nix::fcntl::FallocateFlags::from_bits_truncate(*mode);
            nix::fcntl::fallocate(&file, mode, *offset as i64, *len as i64).map_err(io::Error::from).map(none)
        }),
        Deed::Read(name) => content(&at(name)),
        Deed::Rename(from, to) => fs::rename(at(from), at(to)).map(none),
        Deed::Link(from, to) => fs::hard_link(at(from), at(to)).map(none),
        Deed::Symlink(to, name) => std::os::unix::fs::symlink(to, at(name)).map(none),
        Deed::Unlink(name) => fs::remove_file(at(name)).map(none),
        Deed::Mkdir(name) => fs::create_dir(at(name)).map(none),
        Deed::Rmdir(name) => fs::remove_dir(at(name)).map(none),
        Deed::List(name) => fs::read_dir(at(name)).map(|entries| {
            let mut names: Vec<String> =
                entries.flatten().map(|entry| format!("{:?} {:?}", entry.file_name(), entry.file_type())).collect();
            names.sort();
            names.join(",").into_bytes()
        }),
        Deed::Stat(name) => fs::symlink_metadata(at(name)).map(|meta| {
            // The size of a folder is its file system's own affair.
            let size = if meta.is_dir() { 0 } else { meta.len() };
            format!("{:o} {} {size} {} {}", meta.mode(), meta.nlink(), meta.uid(), meta.gid()).into_bytes()
        }),
        Deed::Chmod(name, mode) => fs::set_permissions(at(name), fs::Permissions::from_mode(*mode)).map(none),
        Deed::Touch(name, seconds) => {
            let time = std::time::UNIX_EPOCH + Duration::from_secs(*seconds);
            let touched = File::open(at(name)).and_then(|file| file.set_modified(time));
            touched
                .and_then(|()| fs::metadata(at(name)))
                .map(|meta| format!("{} {}", meta.mtime(), meta.mtime_nsec()).into_bytes())
        }
        Deed::Sync(name) => File::open(at(name)).and_then(|file| file.sync_all()).map(none),
    };
    done.map_err(|error| raw(&error))
}

/// All files below a folder, with kind, mode and content.
fn tree(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let meta = fs::symlink_metadata(&path).expect("it is there");
            let bytes = if meta.is_dir() {
                left.push(path.clone());
                Vec::new()
            } else if meta.is_symlink() {
                fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes()
            } else {
                content(&path).expect("a file")
            };
            let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
            found.insert(name, (meta.mode(), bytes));
        }
    }
    found
}

#[test]
fn without_rules_it_is_the_folder_beneath() {
    for seed in 0..4 {
        let Some(mut mounted) = Mounted::new(seed) else { return };
        if seed % 2 == 1 {
            // Remembering what is not synced changes nothing that a program sees.
            mounted.rule("track", &Rule { track_unsynced: true, ..Rule::default() });
        }
        let mut rng = Seed(seed).stream("model");
        let (mut good, mut bad) = (0, 0);
        for step in 0..1_500 {
            let deed = draw_deed(&mut rng);
            let (found, expected) = (apply(&mounted.data(), &deed), apply(&mounted.plain(), &deed));
            assert!(found == expected, "seed {seed}, step {step}: {deed:.80?}: {found:.80?}, not {expected:.80?}");
            if found.is_ok() { good += 1 } else { bad += 1 }
        }
        assert!(good > 400 && bad > 100, "{good} {bad}");
        let through = tree(&mounted.data());
        mounted.unmount();
        assert!(tree(&mounted.data()) == tree(&mounted.plain()), "beneath it is the same");
        assert!(through == tree(&mounted.plain()));
    }
}

#[test]
fn open_files_outlive_their_names() {
    let Some(mounted) = Mounted::new(1) else { return };
    let path = mounted.data().join("a");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all(b"one").unwrap();
    fs::rename(&path, mounted.data().join("b")).unwrap();
    file.write_all(b"two").unwrap();
    fs::remove_file(mounted.data().join("b")).unwrap();
    file.write_all(b"three").unwrap();
    file.set_len(9).unwrap();
    file.sync_all().unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "onetwothr");
    assert_eq!(file.metadata().unwrap().nlink(), 0);
    assert_eq!(fs::read_dir(mounted.data()).unwrap().count(), 0);
}

/// Random writes and syncs, and power cuts: what is there afterwards is what `fsync` promised, no more and no less.
#[test]
fn a_crash_leaves_what_was_synced() {
    let Some(mut mounted) = Mounted::new(3) else { return };
    mounted.rule("t-1", &Rule { track_unsynced: true, ..Rule::default() });
    let mut rng = Seed(7).stream("crash");
    let names = ["a", "b", "c"];
    let mut live: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let mut synced = live.clone();
    let (mut crashes, mut lost_bytes) = (0, 0);
    for _ in 0..400 {
        let name = *one(&mut rng, &names).unwrap();
        let path = mounted.data().join(name);
        match below(&mut rng, 20) {
            0 => {
                let lost = order(&mounted.state(), "crash").unwrap().lost.unwrap();
                assert_eq!(raw(&File::open(&path).unwrap_err()), 5, "a dead disk");
                order(&mounted.state(), "revive").unwrap();
                lost_bytes += lost.bytes;
                crashes += 1;
                // A name is there at once, its content not before a sync.
                live = live.keys().map(|name| (*name, synced.get(name).cloned().unwrap_or_default())).collect();
            }
            1..=4 if live.contains_key(name) => {
                File::open(&path).unwrap().sync_data().unwrap();
                synced.insert(name, live[name].clone());
            }
            5 if live.contains_key(name) => {
                fs::remove_file(&path).unwrap();
                live.remove(name);
                synced.remove(name);
            }
            6 if live.contains_key(name) => {
                let to = *one(&mut rng, &names).unwrap();
                fs::rename(&path, mounted.data().join(to)).unwrap();
                let (moved, durable) = (live.remove(name).unwrap(), synced.remove(name));
                live.insert(to, moved);
                synced.remove(to);
                synced.extend(durable.map(|bytes| (to, bytes)));
            }
            kind => {
                let (offset, len) = (below(&mut rng, 20_000) as usize, below(&mut rng, 9_000) as usize + 1);
                let bytes = vec![below(&mut rng, 256) as u8; len];
                let flags = if kind == 7 { nix::fcntl::OFlag::O_SYNC.bits() } else { 0 };
                let file = OpenOptions::new().write(true).create(true).truncate(false).custom_flags(flags).open(&path);
                file.unwrap().write_all_at(&bytes, offset as u64).unwrap();
                let old = live.entry(name).or_default();
                old.resize(old.len().max(offset + len), 0);
                old[offset..offset + len].copy_from_slice(&bytes);
                if kind == 7 {
                    synced.insert(name, old.clone());
                }
            }
        }
        for (name, bytes) in &live {
            assert!(content(&mounted.data().join(name)).unwrap() == *bytes, "{name} after {crashes} crashes");
        }
    }
    assert!(crashes > 5 && lost_bytes > 100_000, "{crashes} {lost_bytes}");
    order(&mounted.state(), "crash").unwrap();
    mounted.unmount();
    for name in live.keys() {
        let kept = synced.get(name).cloned().unwrap_or_default();
        assert!(content(&mounted.data().join(name)).unwrap() == kept, "{name} beneath");
    }
}

/// The error numbers of opening for writing, writing, syncing and reading anew.
fn tried(path: &Path) -> [i32; 4] {
    let number = |done: io::Result<()>| done.map_or_else(|error| raw(&error), |()| 0);
    let opened = OpenOptions::new().write(true).create(true).truncate(true).open(path);
    let (open, write, sync) = match &opened {
        Ok(file) => (0, number(file.write_all_at(b"probe", 0)), number(file.sync_all())),
        Err(error) => (raw(error), -1, -1),
    };
    [open, write, sync, number(content(path).map(|_| ()))]
}

#[test]
fn every_rule_does_what_it_says_and_ends() {
    let Some(mounted) = Mounted::new(5) else { return };
    let (enospc, erofs) = (28, 30);
    let path = mounted.data().join("a.wal");
    fs::write(&path, b"there").unwrap();
    let rule = |edit: fn(&mut Rule)| {
        let mut rule = Rule::default();
        edit(&mut rule);
        rule
    };
    let cases = [
        (rule(|rule| rule.full = true), [0, enospc, 0, 0]),
        (rule(|rule| rule.read_only = true), [erofs, -1, -1, 0]),
        (rule(|rule| (rule.error_ppm, rule.ops) = (1_000_000, vec![OpKind::Fsync])), [0, 0, 5, 0]),
        (rule(|rule| (rule.error_ppm, rule.ops) = (1_000_000, vec![OpKind::Read])), [0, 0, 0, 5]),
        (rule(|rule| (rule.error_ppm, rule.paths) = (1_000_000, vec!["*.db".to_owned()])), [0, 0, 0, 0]),
        (rule(|rule| (rule.error_ppm, rule.ops) = (1_000_000, vec![OpKind::Name])), [0, 0, 0, 0]),
    ];
    for (rule, expected) in cases {
        mounted.rule("t-1", &rule);
        assert_eq!(tried(&path), expected, "{rule:?}");
        mounted.lift("t-1");
        assert_eq!(tried(&path), [0, 0, 0, 0], "after {rule:?}");
    }
    // A part of all, and only of those.
    mounted.rule("t-2", &Rule { error_ppm: 300_000, ops: vec![OpKind::Fsync], ..Rule::default() });
    let file = File::open(&path).unwrap();
    let failed = (0..1_000).filter(|_| file.sync_data().is_err()).count();
    assert!((230..370).contains(&failed), "30 % of 1000: {failed}");
    let count = order(&mounted.state(), "status").unwrap().status.counts[&OpKind::Fsync];
    assert!(count.failed as usize >= failed && count.ops >= 1_000, "{count:?}");
}

#[test]
fn slowness_is_as_long_as_asked_and_lifting_it_ends_what_waits() {
    let Some(mounted) = Mounted::new(5) else { return };
    let path = mounted.data().join("a");
    let file = File::create(&path).unwrap();
    mounted.rule("t-1", &Rule { latency_ms: 40, ops: vec![OpKind::Fsync], ..Rule::default() });
    mounted.rule("t-2", &Rule { latency_ms: 30, ..Rule::default() });
    let begun = Instant::now();
    (0..5).for_each(|_| file.sync_data().unwrap());
    let each_ms = begun.elapsed().as_millis() / 5;
    // A busy machine adds to it, but never takes away.
    assert!((70..1_000).contains(&each_ms), "two rules add: {each_ms} ms");
    mounted.rule("t-3", &Rule { latency_ms: 60_000, ..Rule::default() });
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| file.sync_data());
        std::thread::sleep(Duration::from_millis(200));
        // As an undo does it: only a file is removed.
        fs::remove_file(mounted.state().join("rules/t-3")).unwrap();
        waits.join().unwrap().unwrap();
    });
    let waited = begun.elapsed();
    assert!(waited > Duration::from_millis(200) && waited < Duration::from_secs(20), "{waited:?}");
}

#[test]
fn a_write_is_torn_once_at_a_sector_and_the_disk_is_dead() {
    let Some(mounted) = Mounted::new(9) else { return };
    let data = mounted.data();
    let wal = OpenOptions::new().write(true).create_new(true).open(data.join("x.wal")).unwrap();
    wal.write_all_at(&[1; 8192], 0).unwrap();
    let other = File::create(data.join("other")).unwrap();
    mounted.rule(
        "t-1",
        &Rule {
            track_unsynced: true,
            torn_sector_bytes: Some(512),
            paths: vec!["*.wal".to_owned()],
            ..Rule::default()
        },
    );
    // Neither another file nor a write within one sector.
    other.write_all_at(&[3; 5000], 0).unwrap();
    wal.write_all_at(&[2; 512], 512).unwrap();
    let torn = wal.write_all_at(&[2; 4000], 1000).unwrap_err();
    assert_eq!(raw(&torn), 5);
    assert_eq!(raw(&wal.sync_all().unwrap_err()), 5);
    assert_eq!(raw(&File::open(data.join("x.wal")).unwrap_err()), 5, "dead");
    let answer = order(&mounted.state(), "crash").unwrap();
    let torn = answer.status.torn.unwrap();
    assert_eq!((torn.path.as_str(), torn.offset, torn.asked_bytes), ("x.wal", 1000, 4000));
    assert_eq!((torn.offset + torn.kept_bytes) % 512, 0);
    assert!(torn.kept_bytes > 0 && torn.kept_bytes < 4000);
    assert_eq!(answer.lost.unwrap().bytes, 5000, "of the other file");
    drop((wal, other));
    mounted.lift("t-1");
    let bytes = content(&data.join("x.wal")).unwrap();
    let end = (torn.offset + torn.kept_bytes) as usize;
    let whole = |range: std::ops::Range<usize>, byte: u8| bytes[range].iter().all(|found| *found == byte);
    assert!(whole(0..512, 1) && whole(512..1000, 2) | whole(512..1024, 2), "what was written before is there");
    assert!(whole(1000..end, 2) && whole(end..8192, 1), "a prefix of the last write is there");
    assert_eq!(content(&data.join("other")).unwrap().len(), 0);
}
