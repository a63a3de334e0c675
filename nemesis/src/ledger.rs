//! The write-ahead ledger `faults.jsonl`: how each harm is undone, on disk before the harm is done.
//!
//! One JSON object a line; each is synced before the call returns. A later line of the same fault updates its state;
//! the undo stands in its first line. A reader takes every whole line: a torn or damaged one never hides the others.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use schism_history::Node;
use serde::{Deserialize, Serialize};

use crate::fault::{FaultError, Undo};
use crate::tag::RunTag;

/// The version of a ledger's lines.
pub const SCHEMA_VERSION: u32 = 1;

/// How far a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// About to be injected: the harm may be there, or in part, or not.
    Planned,
    /// Injected.
    Injected,
    /// Being undone.
    Healing,
    /// Undone, and seen to be gone.
    Healed,
    /// Undoing failed; the harm may still be there.
    Failed,
}

/// Who ended a fault that its actor did not heal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ender {
    /// The controller of its run, at the end of the run.
    Controller,
    /// `schism heal` or `schism halt`, from this ledger.
    Heal,
    /// Nobody: the lab of the run is gone, and every fault with it.
    LabGone,
}

/// What is known of the end of a fault that its actor did not heal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Later {
    /// Who ended it, or tried.
    pub by: Ender,
    /// Nodes that had healed themselves before, when their lease ran out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub healed_themselves: Vec<Node>,
    /// What was not undone, and why, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The tag of the run.
    pub run_tag: RunTag,
    /// Joins it with the history.
    pub fault_id: u32,
    /// `partition`, `kill`, `pause`.
    pub class: String,
    /// One line for a person.
    pub label: String,
    /// Nodes that are harmed.
    pub nodes: Vec<Node>,
    /// How far it is.
    pub state: State,
    /// How it is undone; only in the first line of a fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<Undo>,
    /// Milliseconds since 1970, for a person.
    pub time_unix_ms: u64,
    /// Only where it was not its actor that healed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later: Option<Later>,
}

impl Entry {
    /// The same fault in another state, without its undo.
    pub fn now(&self, state: State) -> Entry {
        Entry { state, undo: Vec::new(), time_unix_ms: unix_ms(), later: None, ..self.clone() }
    }

    /// The same fault, ended by somebody else or tried to be.
    pub fn ended(&self, state: State, later: Later) -> Entry {
        Entry { later: Some(later), ..self.now(state) }
    }
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// An open ledger. Clones write to the same file.
#[derive(Debug, Clone)]
pub struct Ledger {
    path: PathBuf,
    file: Arc<Mutex<Tail>>,
}

#[derive(Debug)]
struct Tail {
    file: File,
    /// Whether the file may end in the middle of a line.
    torn: bool,
}

impl Ledger {
    /// Opens a ledger for appending; makes it where it is not there. Its folder must exist.
    ///
    /// # Errors
    /// [`FaultError::Ledger`].
    pub fn open(path: &Path) -> Result<Ledger, FaultError> {
        let trouble = |error: std::io::Error| ledger_error(path, &error);
        let mut file = OpenOptions::new().append(true).read(true).create(true).open(path).map_err(trouble)?;
        let torn = file.metadata().map_err(trouble)?.is_file() && {
            let mut text = Vec::new();
            file.read_to_end(&mut text).map_err(trouble)?;
            text.last().is_some_and(|byte| *byte != b'\n')
        };
        if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
            // Some file systems cannot sync a folder; the file itself is synced with each line.
            let _ = folder.sync_all();
        }
        Ok(Ledger { path: path.to_owned(), file: Arc::new(Mutex::new(Tail { file, torn })) })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line and waits until it is on disk.
    ///
    /// # Errors
    /// [`FaultError::Ledger`]: whoever was about to harm must not.
    pub fn append(&self, entry: &Entry) -> Result<(), FaultError> {
        let mut line = serde_json::to_vec(entry)
            .map_err(|error| FaultError::Ledger { path: self.path.display().to_string(), reason: error.to_string() })?;
        line.push(b'\n');
        let mut tail = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.torn {
            line.insert(0, b'\n');
        }
        tail.torn = true;
        let written = tail.file.write_all(&line).and_then(|()| tail.file.sync_data());
        written.map_err(|error| ledger_error(&self.path, &error))?;
        tail.torn = false;
        Ok(())
    }

    /// As [`Ledger::append`], off the threads that drive the run: a sync may take long.
    ///
    /// # Errors
    /// [`FaultError::Ledger`].
    pub async fn append_async(&self, entry: Entry) -> Result<(), FaultError> {
        let ledger = self.clone();
        let path = self.path.display().to_string();
        match tokio::task::spawn_blocking(move || ledger.append(&entry)).await {
            Ok(written) => written,
            Err(error) => Err(FaultError::Ledger { path, reason: error.to_string() }),
        }
    }
}

fn ledger_error(path: &Path, error: &std::io::Error) -> FaultError {
    FaultError::Ledger { path: path.display().to_string(), reason: error.to_string() }
}

/// A ledger as read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LedgerText {
    /// Every whole line, in order.
    pub entries: Vec<Entry>,
    /// Numbers (from 1) of lines that could not be read.
    pub damaged_lines: Vec<usize>,
    /// Whether the last line was cut off.
    pub torn: bool,
}

/// Reads a ledger.
///
/// # Errors
/// [`FaultError::LedgerUnread`] when there is no such file, or it cannot be read; never for what it contains.
pub fn read(path: &Path) -> Result<LedgerText, FaultError> {
    let unread = |error: std::io::Error| FaultError::LedgerUnread {
        path: path.display().to_string(),
        reason: error.to_string(),
    };
    Ok(parse(&std::fs::read(path).map_err(unread)?))
}

/// Reads the text of a ledger.
pub fn parse(text: &[u8]) -> LedgerText {
    let mut ledger = LedgerText::default();
    let mut lines = text.split(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let last = lines.peek().is_none();
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match serde_json::from_slice::<Entry>(line) {
            Ok(entry) => ledger.entries.push(entry),
            Err(_) if last => ledger.torn = true,
            Err(_) => ledger.damaged_lines.push(number + 1),
        }
    }
    ledger
}

/// Faults that were not seen to be gone: each with its undo and its last state, the latest fault first (what was done
/// last is undone first).
pub fn outstanding(entries: &[Entry]) -> Vec<Entry> {
    let mut faults: BTreeMap<(usize, &RunTag, u32), Entry> = BTreeMap::new();
    let mut place: BTreeMap<(&RunTag, u32), usize> = BTreeMap::new();
    for (number, entry) in entries.iter().enumerate() {
        let first = *place.entry((&entry.run_tag, entry.fault_id)).or_insert(number);
        let fault = faults.entry((first, &entry.run_tag, entry.fault_id)).or_insert_with(|| entry.clone());
        fault.state = entry.state;
        if !entry.undo.is_empty() {
            fault.undo.clone_from(&entry.undo);
        }
    }
    faults.into_values().rev().filter(|fault| fault.state != State::Healed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fault_id: u32, state: State) -> Entry {
        let undo = Undo::OnNode { node: Node::new("n1"), script: format!("echo {fault_id}") };
        Entry {
            schema_version: SCHEMA_VERSION,
            run_tag: RunTag::new("t"),
            fault_id,
            class: "kill".to_owned(),
            label: "kill: n1".to_owned(),
            nodes: vec![Node::new("n1")],
            state,
            undo: if state == State::Planned { vec![undo] } else { vec![] },
            time_unix_ms: 7,
            later: None,
        }
    }

    fn written(folder: &Path, entries: &[Entry]) -> PathBuf {
        let path = folder.join("faults.jsonl");
        let ledger = Ledger::open(&path).unwrap();
        entries.iter().for_each(|entry| ledger.append(entry).unwrap());
        path
    }

    #[test]
    fn what_was_not_healed_is_outstanding_with_its_undo_latest_first() {
        let folder = tempfile::tempdir().unwrap();
        let all = [
            entry(1, State::Planned),
            entry(1, State::Injected),
            entry(2, State::Planned),
            entry(1, State::Healing),
            entry(3, State::Planned),
            entry(1, State::Healed),
            entry(3, State::Failed),
        ];
        let ledger = read(&written(folder.path(), &all)).unwrap();
        assert_eq!(ledger.entries, all);
        let open: Vec<(u32, State, usize)> =
            outstanding(&ledger.entries).iter().map(|fault| (fault.fault_id, fault.state, fault.undo.len())).collect();
        assert_eq!(open, [(3, State::Failed, 1), (2, State::Planned, 1)]);
    }

    #[test]
    fn who_ended_it_is_read_again_and_old_lines_are_too() {
        let later =
            Later { by: Ender::LabGone, healed_themselves: vec![Node::new("n2")], errors: vec!["x".to_owned()] };
        let ended = entry(1, State::Planned).ended(State::Healed, later);
        let line = serde_json::to_vec(&ended).unwrap();
        assert_eq!(parse(&line).entries, std::slice::from_ref(&ended));
        assert!(String::from_utf8(line).unwrap().contains("\"by\":\"lab-gone\""));
        let plain = serde_json::to_string(&entry(1, State::Planned)).unwrap();
        assert!(!plain.contains("later"), "{plain}");
        assert_eq!(ended.now(State::Healing).later, None);
    }

    #[test]
    fn a_file_cut_anywhere_gives_every_whole_line_before_the_cut() {
        let folder = tempfile::tempdir().unwrap();
        let all = [entry(1, State::Planned), entry(2, State::Planned)];
        let text = std::fs::read(written(folder.path(), &all)).unwrap();
        let first = text.iter().position(|byte| *byte == b'\n').unwrap();
        for cut in 0..=text.len() {
            let ledger = parse(&text[..cut]);
            let whole = usize::from(cut >= first) + usize::from(cut + 1 >= text.len());
            assert_eq!(ledger.entries.len(), whole, "cut at {cut}");
            assert_eq!(ledger.torn, ![0, first, first + 1, text.len() - 1, text.len()].contains(&cut), "cut at {cut}");
            assert!(ledger.damaged_lines.is_empty());
        }
    }

    #[test]
    fn damage_in_the_middle_hides_nothing_else_and_is_told() {
        let mut text = serde_json::to_vec(&entry(1, State::Planned)).unwrap();
        text.extend(b"\n{\"fault_id\": 7\n\xff\xfe\n\n");
        text.extend(serde_json::to_vec(&entry(2, State::Planned)).unwrap());
        let ledger = parse(&text);
        assert_eq!(ledger.entries.len(), 2);
        assert_eq!(ledger.damaged_lines, [2, 3]);
        assert!(!ledger.torn);
    }

    #[test]
    fn writing_goes_on_after_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &[entry(1, State::Planned)]);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"schema_ver").unwrap();
        let ledger = Ledger::open(&path).unwrap();
        ledger.append(&entry(2, State::Planned)).unwrap();
        ledger.append(&entry(3, State::Planned)).unwrap();
        let ledger = read(&path).unwrap();
        assert_eq!(ledger.entries.iter().map(|entry| entry.fault_id).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(ledger.damaged_lines, [2]);
    }

    #[test]
    fn a_full_disk_is_an_error_that_says_so() {
        let ledger = Ledger::open(Path::new("/dev/full")).unwrap();
        let error = ledger.append(&entry(1, State::Planned)).unwrap_err().to_string();
        assert_eq!(
            error,
            "the ledger /dev/full cannot be written: No space left on device (os error 28); nothing was harmed"
        );
        let missing = read(Path::new("/nowhere/faults.jsonl")).unwrap_err().to_string();
        assert!(missing.contains("Heal from the nodes' leases instead"), "{missing}");
    }

    #[test]
    fn random_bytes_do_no_harm() {
        use rand::Rng;
        let mut rng = schism_history::Seed(1).stream("fuzz");
        let mut good = serde_json::to_vec(&entry(1, State::Planned)).unwrap();
        good.push(b'\n');
        for _ in 0..2000 {
            let mut text = good.clone();
            let at = (rng.next_u64() as usize) % text.len();
            text[at] = rng.next_u64() as u8;
            let ledger = parse(&text);
            assert!(ledger.entries.len() <= 2);
            let _ = outstanding(&ledger.entries);
        }
    }
}
