//! What a power cut would take: for each file, how it was when it was last synced.
//!
//! Writes go through to the file beneath at once, and what stood there before is remembered page by page, at the first
//! change since the last sync. A crash puts it back: every byte is then what it was at the last `fsync` of that file. If
//! the file system's process dies instead, nothing is lost at all.
//!
//! What is promised more than by POSIX: names. Creating, renaming and removing are on disk at once, so a file that was
//! created and never synced is there after a crash, and empty. What is promised less than by many file systems: a file
//! renamed over another without a sync is empty too (XFS does that; ext4 by default does not).
//!
//! Costs a read of each page at its first change, and its content in memory while it is not zero; past a limit the
//! fullest file is synced for good, which is counted.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// Device and inode number of a file beneath: its own as long as it is open.
pub type FileKey = (u64, u64);

/// What stood in a page; zeros cost nothing.
enum Page {
    Zero,
    Bytes(Box<[u8]>),
}

/// A file as it was at its last sync.
struct Before {
    file: Arc<File>,
    size: u64,
    pages: BTreeMap<u64, Page>,
    /// Bytes written since; what was written twice counts twice.
    written: u64,
}

/// What a crash took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Lost {
    /// Files that were put back.
    pub files: u64,
    /// Bytes that had been written to them since their last sync; what was written twice counts twice.
    pub bytes: u64,
}

/// All files with changes that are not synced.
pub struct Unsynced {
    files: HashMap<FileKey, Before>,
    held: usize,
    held_max: usize,
    /// Files that were synced because there was too much to remember.
    pub forced: u64,
}

impl Unsynced {
    /// Nothing yet; remembers at most so many bytes.
    pub fn new(held_max: usize) -> Unsynced {
        Unsynced { files: HashMap::new(), held: 0, held_max, forced: 0 }
    }

    /// To be called before the bytes from `start` to `end` of a file change (where its size changes, those between the old
    /// and the new one). `file` must be open for reading and writing.
    ///
    /// # Errors
    /// Where the old bytes cannot be read; nothing may be changed then.
    pub fn before(&mut self, id: FileKey, file: &Arc<File>, start: u64, end: u64) -> io::Result<()> {
        let size = file.metadata()?.len();
        let before = self.files.entry(id).or_insert_with(|| Before {
            file: Arc::clone(file),
            size,
            pages: BTreeMap::new(),
            written: 0,
        });
        before.written = before.written.saturating_add(end.saturating_sub(start));
        let end = end.min(before.size);
        let mut page = start / PAGE;
        while page * PAGE < end {
            if let std::collections::btree_map::Entry::Vacant(free) = before.pages.entry(page) {
                let content = read_page(file, page * PAGE)?;
                if content.iter().all(|byte| *byte == 0) {
                    free.insert(Page::Zero);
                } else {
                    self.held += content.len();
                    free.insert(Page::Bytes(content));
                }
            }
            page += 1;
        }
        self.make_room();
        Ok(())
    }

    /// The file is synced: nothing of it can be lost. To be called before the sync itself, so that a crash in between
    /// loses less than it might, and never more.
    pub fn synced(&mut self, id: FileKey) {
        if let Some(before) = self.files.remove(&id) {
            self.held -= held(&before);
        }
    }

    /// Everything is synced.
    pub fn forget(&mut self) {
        self.files.clear();
        self.held = 0;
    }

    /// Bytes that a crash would take now.
    pub fn would_lose(&self) -> Lost {
        Lost { files: self.files.len() as u64, bytes: self.files.values().map(|before| before.written).sum() }
    }

    /// Puts every file back to its last sync. Goes on after an error; the first is answered.
    ///
    /// # Errors
    /// Where a file could not be put back.
    pub fn crash(&mut self) -> io::Result<Lost> {
        let lost = self.would_lose();
        let mut trouble = Ok(());
        for before in self.files.values() {
            let done = put_back(before);
            if trouble.is_ok() {
                trouble = done;
            }
        }
        self.forget();
        trouble.map(|()| lost)
    }

    fn make_room(&mut self) {
        while self.held > self.held_max {
            let Some(id) = self.files.iter().max_by_key(|(_, before)| held(before)).map(|(id, _)| *id) else { return };
            if let Some(before) = self.files.get(&id) {
                let _ = before.file.sync_all();
            }
            self.synced(id);
            self.forced += 1;
        }
    }
}

fn held(before: &Before) -> usize {
    let bytes = |page: &Page| if let Page::Bytes(bytes) = page { bytes.len() } else { 0 };
    before.pages.values().map(bytes).sum()
}

fn put_back(before: &Before) -> io::Result<()> {
    before.file.set_len(before.size)?;
    let zeros = [0u8; PAGE as usize];
    for (page, content) in &before.pages {
        let start = page * PAGE;
        let left = usize::try_from(before.size.saturating_sub(start).min(PAGE)).unwrap_or(0);
        let bytes = match content {
            Page::Zero => &zeros[..left],
            Page::Bytes(bytes) => &bytes[..left.min(bytes.len())],
        };
        before.file.write_all_at(bytes, start)?;
    }
    before.file.sync_all()
}

/// A page, shorter at the end of the file.
fn read_page(file: &File, start: u64) -> io::Result<Box<[u8]>> {
    let mut content = vec![0; PAGE as usize];
    let mut filled = 0;
    while filled < content.len() {
        match file.read_at(&mut content[filled..], start + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    content.truncate(filled);
    Ok(content.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::below;
    use schism_history::Seed;

    /// In memory where there is such a folder: every crash syncs.
    fn temporary() -> File {
        tempfile::tempfile_in("/dev/shm").or_else(|_| tempfile::tempfile()).unwrap()
    }

    /// Random writes, truncations and syncs on three files, and crashes: each file is then exactly the copy that was taken
    /// at its last sync, and what was not crashed is what was written.
    #[test]
    fn a_crash_gives_what_the_last_sync_promised() {
        for seed in 0..40 {
            let mut rng = Seed(seed).stream("unsynced");
            let mut unsynced = Unsynced::new(1 << 30);
            let files: Vec<Arc<File>> = (0..3).map(|_| Arc::new(temporary())).collect();
            let mut live: Vec<Vec<u8>> = vec![Vec::new(); 3];
            let mut synced = live.clone();
            for _ in 0..200 {
                let at = below(&mut rng, 3) as usize;
                let (file, id) = (&files[at], (0, at as u64));
                match below(&mut rng, 12) {
                    0 => {
                        unsynced.synced(id);
                        synced[at] = live[at].clone();
                    }
                    1 => {
                        unsynced.crash().unwrap();
                        live = synced.clone();
                    }
                    2 | 3 => {
                        let size = below(&mut rng, 20_000);
                        let old = live[at].len() as u64;
                        unsynced.before(id, file, size.min(old), size.max(old)).unwrap();
                        file.set_len(size).unwrap();
                        live[at].resize(size as usize, 0);
                    }
                    _ => {
                        let (start, len) = (below(&mut rng, 20_000), below(&mut rng, 9_000) + 1);
                        let bytes: Vec<u8> = (0..len).map(|_| below(&mut rng, 3) as u8).collect();
                        unsynced.before(id, file, start, start + len).unwrap();
                        file.write_all_at(&bytes, start).unwrap();
                        let (start, end) = (start as usize, (start + len) as usize);
                        let old = live[at].len();
                        live[at].resize(old.max(end), 0);
                        live[at][start..end].copy_from_slice(&bytes);
                    }
                }
                let mut content = vec![0; 30_000];
                let count = file.read_at(&mut content, 0).unwrap();
                assert!(content[..count] == live[at], "seed {seed}: file {at} of {count} bytes");
            }
            unsynced.crash().unwrap();
            for (at, file) in files.iter().enumerate() {
                let mut content = vec![0; 30_000];
                let count = file.read_at(&mut content, 0).unwrap();
                assert!(content[..count] == synced[at], "seed {seed}: file {at} after the crash");
            }
            assert_eq!(unsynced.held, 0);
        }
    }

    #[test]
    fn too_much_to_remember_is_synced_and_counted() {
        let mut unsynced = Unsynced::new(8 * PAGE as usize);
        let file = Arc::new(temporary());
        file.write_all_at(&[7; 20 * PAGE as usize], 0).unwrap();
        for page in 0..20 {
            unsynced.before((0, 1), &file, page * PAGE, page * PAGE + 1).unwrap();
            file.write_all_at(&[9], page * PAGE).unwrap();
        }
        assert_eq!(unsynced.forced, 2, "after 9 pages and after 9 more");
        let lost = unsynced.crash().unwrap();
        assert_eq!(lost, Lost { files: 1, bytes: 2 });
        let mut first = [0; 1];
        file.read_exact_at(&mut first, 17 * PAGE).unwrap();
        assert_eq!(first, [9]);
        file.read_exact_at(&mut first, 18 * PAGE).unwrap();
        assert_eq!(first, [7]);
    }
}
