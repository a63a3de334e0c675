//! What stands between the kernel and the files beneath: every operation passes here, and is slow, fails or is let through
//! as the rules say.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::FallocateFlags;
use rand_chacha::ChaCha8Rng;
use schism_history::Seed;
use serde::{Deserialize, Serialize};

use super::nodes::{Inode, Nodes};
use super::rules::{KINDS, OpKind, Rule};
use super::unsynced::{Lost, Unsynced};
use crate::draw::below;

/// How many bytes of un-synced pages are remembered at most.
const HELD_MAX: usize = 512 << 20;
/// How often a delayed operation looks whether its delay was lifted.
const SLICE: Duration = Duration::from_millis(20);

/// An open file.
pub struct Handle {
    /// What it is.
    pub inode: Arc<Inode>,
    /// Its content, open for reading too where that can be.
    pub file: Arc<File>,
    /// Whether each write is a sync (`O_SYNC`, `O_DSYNC`).
    pub synchronous: bool,
}

/// A write of which only a part was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Torn {
    /// Which file, below the folder.
    pub path: String,
    /// Where the write began.
    pub offset: u64,
    /// How many bytes were to be written.
    pub asked_bytes: u64,
    /// How many were.
    pub kept_bytes: u64,
}

/// What happened to the operations of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Count {
    /// All that came.
    pub ops: u64,
    /// Those that were delayed.
    pub delayed: u64,
    /// Those that failed because a rule, or a dead disk, said so.
    pub failed: u64,
}

/// What the file system says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    /// Names of the rules that are on.
    pub rules: Vec<String>,
    /// Whether every operation fails.
    pub dead: bool,
    /// By kind of operation (`read`, `write`, `fsync`, `name`).
    pub counts: std::collections::BTreeMap<OpKind, Count>,
    /// What a crash would take now.
    pub unsynced: Lost,
    /// Files that were synced because there was too much to remember.
    pub forced_syncs: u64,
    /// The write that was torn, if one was.
    pub torn: Option<Torn>,
}

#[derive(Default)]
struct Counters {
    ops: AtomicU64,
    delayed: AtomicU64,
    failed: AtomicU64,
}

/// Rules by name, and how often they have changed.
pub type Rules = Arc<Vec<(String, Rule)>>;

/// The disk.
pub struct Disk {
    /// All inodes.
    pub nodes: Nodes,
    handles: Mutex<HashMap<u64, Arc<Handle>>>,
    handles_made: AtomicU64,
    rules: RwLock<Rules>,
    dead: AtomicBool,
    /// Held for reading while something changes beneath, for writing by a crash.
    gate: RwLock<()>,
    unsynced: Mutex<Unsynced>,
    torn: Mutex<Option<Torn>>,
    counters: [Counters; 4],
    draws: Mutex<ChaCha8Rng>,
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The kernel's number for what went wrong.
pub fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

impl Disk {
    /// Over these files, whole, with this seed for the draws of errors.
    pub fn new(nodes: Nodes, seed: u64) -> Disk {
        Disk {
            nodes,
            handles: Mutex::default(),
            handles_made: AtomicU64::new(1),
            rules: RwLock::default(),
            dead: AtomicBool::new(false),
            gate: RwLock::default(),
            unsynced: Mutex::new(Unsynced::new(HELD_MAX)),
            torn: Mutex::default(),
            counters: Default::default(),
            draws: Mutex::new(Seed(seed).stream("faultfs/errors")),
        }
    }

    /// The rules that are on.
    pub fn rules(&self) -> Rules {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// These rules from now on, in place of all before. Delays that are no more asked for end within 20 ms. Where no rule
    /// tracks any more, what is not synced is forgotten; where none tears, the tear is.
    pub fn set_rules(&self, rules: Vec<(String, Rule)>) {
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        if !rules.iter().any(|(_, rule)| rule.track_unsynced) {
            hold(&self.unsynced).forget();
        }
        if !rules.iter().any(|(_, rule)| rule.torn_sector_bytes.is_some()) && hold(&self.torn).take().is_some() {
            self.dead.store(false, Ordering::SeqCst);
        }
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// The power is cut: what was not synced is gone, and every operation fails from now on.
    ///
    /// # Errors
    /// Where a file could not be put back.
    pub fn crash(&self) -> std::io::Result<Lost> {
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        self.dead.store(true, Ordering::SeqCst);
        hold(&self.unsynced).crash()
    }

    /// The power is back. Programs that had files open must have ended.
    pub fn revive(&self) {
        self.dead.store(false, Ordering::SeqCst);
    }

    /// What it says of itself.
    pub fn status(&self) -> Status {
        let count = |kind: OpKind| {
            let counters = self.counters(kind);
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let count =
                Count { ops: read(&counters.ops), delayed: read(&counters.delayed), failed: read(&counters.failed) };
            (kind, count)
        };
        let unsynced = hold(&self.unsynced);
        Status {
            rules: self.rules().iter().map(|(name, _)| name.clone()).collect(),
            dead: self.dead.load(Ordering::SeqCst),
            counts: KINDS.into_iter().map(count).collect(),
            unsynced: unsynced.would_lose(),
            forced_syncs: unsynced.forced,
            torn: hold(&self.torn).clone(),
        }
    }

    fn counters(&self, kind: OpKind) -> &Counters {
        &self.counters[kind as usize]
    }

    /// Whether operations reach the files at all.
    ///
    /// # Errors
    /// EIO on a dead disk.
    pub fn alive(&self) -> Result<(), Errno> {
        if self.dead.load(Ordering::SeqCst) { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Whether a rule leaves no room.
    pub fn is_full(&self) -> bool {
        self.rules().iter().any(|(_, rule)| rule.full)
    }

    /// What every operation goes through first: it is delayed, or fails, as the rules say.
    ///
    /// # Errors
    /// What the program is to be told.
    pub fn pass(&self, kind: OpKind, inode: &Inode) -> Result<(), Errno> {
        let counters = self.counters(kind);
        counters.ops.fetch_add(1, Ordering::Relaxed);
        let passed = self.alive().and_then(|()| self.pass_rules(kind, inode));
        if passed.is_err() {
            counters.failed.fetch_add(1, Ordering::Relaxed);
        }
        passed
    }

    /// Whether a file may be opened for writing.
    ///
    /// # Errors
    /// EROFS where a rule says that nothing can be written.
    pub fn pass_open_for_write(&self, inode: &Inode) -> Result<(), Errno> {
        let rules = self.rules();
        if rules.iter().all(|(_, rule)| !rule.read_only) {
            return Ok(());
        }
        let path = self.nodes.path_of(inode);
        let refused = |rule: &Rule| rule.read_only && rule.speaks_of(OpKind::Write, path.as_deref());
        if rules.iter().any(|(_, rule)| refused(rule)) { Err(Errno::EROFS) } else { Ok(()) }
    }

    fn pass_rules(&self, kind: OpKind, inode: &Inode) -> Result<(), Errno> {
        let rules = self.rules();
        if rules.is_empty() {
            return Ok(());
        }
        let by_path = kind != OpKind::Name && rules.iter().any(|(_, rule)| !rule.paths.is_empty());
        let path = if by_path { self.nodes.path_of(inode) } else { None };
        self.delay(kind, path.as_deref());
        let rules = self.rules();
        let changes = matches!(kind, OpKind::Write | OpKind::Name);
        if changes && rules.iter().any(|(_, rule)| rule.read_only && rule.speaks_of(kind, path.as_deref())) {
            return Err(Errno::EROFS);
        }
        for (_, rule) in rules.iter() {
            if rule.error_ppm > 0
                && rule.speaks_of(kind, path.as_deref())
                && below(&mut *hold(&self.draws), 1_000_000) < u64::from(rule.error_ppm)
            {
                return Err(Errno::EIO);
            }
        }
        self.alive()
    }

    /// Waits as long as the rules say; a rule that is taken away ends its wait.
    fn delay(&self, kind: OpKind, path: Option<&str>) {
        let begun = Instant::now();
        let mut delayed = false;
        loop {
            let of_rule = |(_, rule): &(String, Rule)| if rule.speaks_of(kind, path) { rule.latency_ms } else { 0 };
            let wanted = Duration::from_millis(self.rules().iter().map(of_rule).sum());
            let Some(left) = wanted.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) else { return };
            if !delayed {
                self.counters(kind).delayed.fetch_add(1, Ordering::Relaxed);
                delayed = true;
            }
            std::thread::sleep(left.min(SLICE));
        }
    }

    /// Keeps an open file; answers its number.
    pub fn keep(&self, inode: Arc<Inode>, file: File, synchronous: bool) -> u64 {
        let number = self.handles_made.fetch_add(1, Ordering::Relaxed);
        hold(&self.handles).insert(number, Arc::new(Handle { inode, file: Arc::new(file), synchronous }));
        number
    }

    /// The open file of that number.
    ///
    /// # Errors
    /// EBADF.
    pub fn handle(&self, number: u64) -> Result<Arc<Handle>, Errno> {
        hold(&self.handles).get(&number).map(Arc::clone).ok_or(Errno::EBADF)
    }

    /// Closes an open file.
    pub fn close(&self, number: u64) {
        let closed = hold(&self.handles).remove(&number);
        drop(closed);
    }

    /// Remembers what stands where something is about to change, if a rule wants that.
    fn remember(&self, handle: &Handle, start: u64, end: u64) -> Result<(), Errno> {
        if !self.rules().iter().any(|(_, rule)| rule.track_unsynced) {
            return Ok(());
        }
        hold(&self.unsynced).before(handle.inode.key, &handle.file, start, end).map_err(errno)
    }

    /// Writes; answers how many bytes.
    ///
    /// # Errors
    /// As the rules or the kernel say.
    pub fn write(&self, number: u64, offset: u64, data: &[u8]) -> Result<u32, Errno> {
        let handle = self.handle(number)?;
        self.pass(OpKind::Write, &handle.inode)?;
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.alive()?;
        let end = offset.checked_add(data.len() as u64).ok_or(Errno::EFBIG)?;
        if self.is_full() && end > handle.file.metadata().map_err(errno)?.len() {
            return Err(Errno::ENOSPC);
        }
        self.remember(&handle, offset, end)?;
        if let Some(kept) = self.tear(&handle, offset, data.len() as u64) {
            let kept = usize::try_from(kept).unwrap_or(data.len());
            handle.file.write_all_at(&data[..kept.min(data.len())], offset).map_err(errno)?;
            // Whatever was written before to this file is there; the others lose what was not synced.
            hold(&self.unsynced).synced(handle.inode.key);
            return Err(Errno::EIO);
        }
        handle.file.write_all_at(data, offset).map_err(errno)?;
        if handle.synchronous {
            hold(&self.unsynced).synced(handle.inode.key);
        }
        u32::try_from(data.len()).map_err(|_| Errno::EFBIG)
    }

    /// Whether this write is the one to be torn: then how much of it is kept, and the disk is dead from now on.
    fn tear(&self, handle: &Handle, offset: u64, len: u64) -> Option<u64> {
        let rules = self.rules();
        let (_, rule) = rules.iter().find(|(_, rule)| rule.torn_sector_bytes.is_some())?;
        let sector = rule.torn_sector_bytes?.max(1);
        let first = offset / sector;
        let boundaries = (offset + len.checked_sub(1)?) / sector - first;
        let path = self.nodes.path_of(&handle.inode)?;
        let mut torn = hold(&self.torn);
        if boundaries == 0 || torn.is_some() || !rule.on_path(&path) {
            return None;
        }
        let boundary = first + 1 + below(&mut *hold(&self.draws), boundaries);
        let kept = boundary * sector - offset;
        self.dead.store(true, Ordering::SeqCst);
        *torn = Some(Torn { path, offset, asked_bytes: len, kept_bytes: kept });
        Some(kept)
    }

    /// Sets the size of an open file.
    ///
    /// # Errors
    /// As the rules or the kernel say.
    pub fn resize(&self, handle: &Handle, size: u64) -> Result<(), Errno> {
        self.pass(OpKind::Write, &handle.inode)?;
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.alive()?;
        let old = handle.file.metadata().map_err(errno)?.len();
        self.remember(handle, size.min(old), size.max(old))?;
        handle.file.set_len(size).map_err(errno)
    }

    /// Allocates, or cuts a hole.
    ///
    /// # Errors
    /// As the rules or the kernel say.
    pub fn allocate(&self, number: u64, mode: i32, offset: u64, len: u64) -> Result<(), Errno> {
        let handle = self.handle(number)?;
        self.pass(OpKind::Write, &handle.inode)?;
        let mode = FallocateFlags::from_bits(mode).ok_or(Errno::EOPNOTSUPP)?;
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.alive()?;
        if self.is_full() && !mode.contains(FallocateFlags::FALLOC_FL_PUNCH_HOLE) {
            return Err(Errno::ENOSPC);
        }
        let moves = FallocateFlags::FALLOC_FL_COLLAPSE_RANGE | FallocateFlags::FALLOC_FL_INSERT_RANGE;
        if mode.intersects(moves) {
            return Err(Errno::EOPNOTSUPP);
        }
        let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
        let plain = (mode - FallocateFlags::FALLOC_FL_KEEP_SIZE).is_empty();
        self.remember(&handle, offset, if plain { offset } else { end })?;
        let signed = |number: u64| i64::try_from(number).map_err(|_| Errno::EFBIG);
        nix::fcntl::fallocate(&*handle.file, mode, signed(offset)?, signed(len)?)
    }

    /// Reads up to so many bytes.
    ///
    /// # Errors
    /// As the rules or the kernel say.
    pub fn read(&self, number: u64, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let handle = self.handle(number)?;
        self.pass(OpKind::Read, &handle.inode)?;
        let mut data = vec![0; size as usize];
        let mut filled = 0;
        while filled < data.len() {
            match handle.file.read_at(&mut data[filled..], offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(errno(error)),
            }
        }
        data.truncate(filled);
        Ok(data)
    }

    /// Syncs an open file.
    ///
    /// # Errors
    /// As the rules or the kernel say; what was not synced may then still be lost.
    pub fn sync(&self, number: u64, data_only: bool) -> Result<(), Errno> {
        let handle = self.handle(number)?;
        self.pass(OpKind::Fsync, &handle.inode)?;
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.alive()?;
        hold(&self.unsynced).synced(handle.inode.key);
        let done = if data_only { handle.file.sync_data() } else { handle.file.sync_all() };
        done.map_err(errno)
    }
}
