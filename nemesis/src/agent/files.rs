//! `agent files`: harms the content of one file, chosen by a number alone, and says exactly what it did.
//!
//! The file is one of those that fit the patterns; places are chosen below the last byte that is not zero, because
//! databases allocate their logs ahead. The same number and the same files give the same harm.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use schism_history::Seed;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Verb;
use super::faultfs::rules::matches;
use crate::draw::{below, one};

/// The verb.
pub(super) const VERB: Verb = Verb { name: "files", about: "harms the content of a file: JSON", run };

/// Bytes read at once.
const CHUNK: usize = 1 << 20;
/// How deep below the folder is looked for files, and how many are looked at.
const FILES_MAX: usize = 100_000;

/// What is done to the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "harm", rename_all = "kebab-case")]
pub enum Harm {
    /// Bits are flipped, at places drawn evenly, each once.
    BitFlip {
        /// How many.
        bits: u32,
    },
    /// The last bytes of its data are cut off, with the zeros behind them.
    Truncate {
        /// How many; of a shorter file all.
        bytes: u64,
    },
    /// Of the file that was written last, the end of its data, from a drawn boundary among the last ones, is what it would
    /// be if it had never reached the disk: zeros where the file goes on behind it, else cut off.
    Tear {
        /// Bytes between boundaries.
        sector_bytes: u64,
    },
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The folder.
    pub folder: String,
    /// Patterns of files below it.
    pub patterns: Vec<String>,
    /// What chooses file and places.
    pub draw: u64,
    /// The harm.
    #[serde(flatten)]
    pub harm: Harm,
}

/// A byte that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where.
    pub offset: u64,
    /// What it was.
    pub old_byte: u8,
    /// What it is.
    pub new_byte: u8,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The file.
    pub path: String,
    /// How many files it was chosen from.
    pub of_files: u64,
    /// Its size before.
    pub size_before_bytes: u64,
    /// Its size after.
    pub size_after_bytes: u64,
    /// The end of its data (behind it are zeros alone) before.
    pub data_before_bytes: u64,
    /// Its SHA-256 before.
    pub sha256_before: String,
    /// Its SHA-256 after.
    pub sha256_after: String,
    /// Bytes changed; for cut ends the first that is gone, as changed to zero.
    pub changes: Vec<Change>,
}

fn run(args: &[String]) -> Result<(), String> {
    let [wish] = args else { return Err("one wish is wanted".to_owned()) };
    let wish = serde_json::from_str(wish).map_err(|error| error.to_string())?;
    let text = serde_json::to_string(&harm(&wish)?).map_err(|error| error.to_string())?;
    writeln!(std::io::stdout(), "{text}").map_err(|error| error.to_string())
}

/// Does it, and syncs.
///
/// # Errors
/// Where no file fits, none has data, or it cannot be changed.
pub fn harm(wish: &Wish) -> Result<Done, String> {
    let told = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let mut files = Vec::new();
    for path in find(Path::new(&wish.folder), &wish.patterns).map_err(|(path, error)| told(&path, error))? {
        if has_data(&path).map_err(|error| told(&path, error))? {
            files.push(path);
        }
    }
    let mut rng = Seed(wish.draw).stream("agent/files");
    let chosen = match wish.harm {
        Harm::Tear { .. } => files.iter().max_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok()),
        _ => one(&mut rng, &files),
    };
    let path = chosen.ok_or_else(|| {
        format!("no file below {} that fits {} has any data", wish.folder, wish.patterns.join(" or "))
    })?;
    let before = scan(path).map_err(|error| told(path, error))?;
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| told(path, error))?;
    let changes = change(&file, &before, &wish.harm, &mut rng).map_err(|error| told(path, error))?;
    file.sync_all().map_err(|error| told(path, error))?;
    let after = scan(path).map_err(|error| told(path, error))?;
    Ok(Done {
        path: path.display().to_string(),
        of_files: files.len() as u64,
        size_before_bytes: before.size,
        size_after_bytes: after.size,
        data_before_bytes: before.data,
        sha256_before: before.sha256,
        sha256_after: after.sha256,
        changes,
    })
}

fn change(file: &File, before: &Scan, harm: &Harm, rng: &mut ChaCha8Rng) -> std::io::Result<Vec<Change>> {
    let byte_at = |offset: u64| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).map(|()| byte[0])
    };
    let end_at = |start: u64, keep_size: bool| {
        let old_byte = byte_at(start)?;
        file.set_len(start)?;
        if keep_size {
            file.set_len(before.size)?;
        }
        Ok(vec![Change { offset: start, old_byte, new_byte: 0 }])
    };
    match harm {
        Harm::BitFlip { bits } => {
            let places = before.data.saturating_mul(8);
            let mut drawn = std::collections::BTreeSet::new();
            while (drawn.len() as u64) < u64::from(*bits).min(places) {
                drawn.insert(below(rng, places));
            }
            let mut changes = Vec::new();
            for place in drawn {
                let offset = place / 8;
                let old_byte = byte_at(offset)?;
                let new_byte = old_byte ^ (1 << (place % 8));
                file.write_all_at(&[new_byte], offset)?;
                changes.push(Change { offset, old_byte, new_byte });
            }
            Ok(changes)
        }
        Harm::Truncate { bytes } => end_at(before.data.saturating_sub((*bytes).max(1)), false),
        Harm::Tear { sector_bytes } => {
            let sector = (*sector_bytes).max(1);
            // The last boundary before the end of the data, or one of the seven before that.
            let last = (before.data - 1) / sector;
            let start = last.saturating_sub(below(rng, 8.min(last + 1))) * sector;
            end_at(start, before.size > before.data)
        }
    }
}

/// All files below a folder that fit a pattern, sorted. Links are not followed.
fn find(folder: &Path, patterns: &[String]) -> Result<Vec<PathBuf>, (PathBuf, std::io::Error)> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(at) = left.pop() {
        let entries = std::fs::read_dir(&at).map_err(|error| (at.clone(), error))?;
        for entry in entries {
            let entry = entry.map_err(|error| (at.clone(), error))?;
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            let below = path.strip_prefix(folder).map(|below| below.to_string_lossy().into_owned());
            if kind.is_dir() {
                left.push(path);
            } else if kind.is_file()
                && below.is_ok_and(|below| patterns.iter().any(|pattern| matches(pattern, &below)))
                && found.len() < FILES_MAX
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether there is anything but zeros in a file; reads no further than it must.
fn has_data(path: &Path) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; 1 << 16];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(false),
            Ok(count) if chunk[..count].iter().any(|byte| *byte != 0) => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What a file holds.
struct Scan {
    size: u64,
    data: u64,
    sha256: String,
}

fn scan(path: &Path) -> std::io::Result<Scan> {
    let mut file = File::open(path)?;
    let (mut size, mut data) = (0, 0);
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = &chunk[..count];
        hasher.update(bytes);
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            data = size + last as u64 + 1;
        }
        size += count as u64;
    }
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Scan { size, data, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("wal")).unwrap();
        let mut ahead = vec![7; 5_000];
        ahead.resize(64_000, 0);
        std::fs::write(folder.path().join("wal/0.wal"), &ahead).unwrap();
        std::fs::write(folder.path().join("wal/0.tmp"), [9; 100]).unwrap();
        std::fs::write(folder.path().join("wal/1.wal"), [0; 100]).unwrap();
        folder
    }

    fn wish(folder: &tempfile::TempDir, draw: u64, harm: Harm) -> Wish {
        let folder = folder.path().display().to_string();
        Wish { folder, patterns: vec!["wal/*.wal".to_owned()], draw, harm }
    }

    #[test]
    fn bits_are_flipped_in_data_and_told() {
        let mut drawn = std::collections::BTreeSet::new();
        for draw in 0..20 {
            let folder = folder();
            let path = folder.path().join("wal/0.wal");
            let old = std::fs::read(&path).unwrap();
            let done = harm(&wish(&folder, draw, Harm::BitFlip { bits: 3 })).unwrap();
            let new = std::fs::read(&path).unwrap();
            assert_eq!((done.of_files, done.data_before_bytes, done.size_after_bytes), (1, 5_000, 64_000));
            assert_ne!(done.sha256_before, done.sha256_after);
            let bits: u32 = old.iter().zip(&new).map(|(old, new)| (old ^ new).count_ones()).sum();
            assert_eq!((bits, done.changes.len()), (3, 3));
            for change in &done.changes {
                let at = change.offset as usize;
                assert!(change.offset < 5_000 && change.old_byte == 7);
                assert_eq!((old[at], new[at]), (7, new[at]));
            }
            let again = self::folder();
            assert_eq!(harm(&wish(&again, draw, Harm::BitFlip { bits: 3 })).unwrap().changes, done.changes);
            drawn.insert(done.changes[0].offset);
        }
        assert!(drawn.len() > 15, "the draw decides: {drawn:?}");
    }

    #[test]
    fn ends_are_cut_or_torn() {
        let cases = [
            (Harm::Truncate { bytes: 10 }, 4_990, 4_990),
            (Harm::Truncate { bytes: 1 << 40 }, 0, 0),
            (Harm::Truncate { bytes: 0 }, 4_999, 4_999),
        ];
        for (harm, size, data) in cases {
            let folder = folder();
            let done = self::harm(&wish(&folder, 1, harm.clone())).unwrap();
            let new = std::fs::read(folder.path().join("wal/0.wal")).unwrap();
            assert_eq!((done.size_after_bytes, new.len() as u64), (size, size), "{harm:?}");
            assert!(new.iter().take(data).all(|byte| *byte == 7));
            assert_eq!(done.changes[0].offset, size);
        }
        for draw in 0..20 {
            let folder = folder();
            let done = harm(&wish(&folder, draw, Harm::Tear { sector_bytes: 512 })).unwrap();
            let new = std::fs::read(folder.path().join("wal/0.wal")).unwrap();
            let end = new.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
            assert!(end < 5_000 && end.is_multiple_of(512) && end + 8 * 512 >= 5_000, "{end}");
            assert_eq!((new.len(), done.changes[0].offset), (64_000, end), "the file stays allocated");
        }
    }

    #[test]
    fn what_cannot_be_harmed_is_told() {
        let folder = folder();
        let mut none = wish(&folder, 1, Harm::BitFlip { bits: 1 });
        none.patterns = vec!["wal/1.wal".to_owned()];
        assert!(harm(&none).unwrap_err().contains("has any data"));
        none.folder = "/no/such/folder".to_owned();
        assert!(harm(&none).unwrap_err().contains("/no/such/folder"));
        let text = serde_json::to_string(&wish(&folder, 1, Harm::Tear { sector_bytes: 512 })).unwrap();
        assert!(serde_json::from_str::<Wish>(&text).is_ok(), "{text}");
    }
}
