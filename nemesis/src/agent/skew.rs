//! `agent skew`: harm to the clock of a node, as the sum of what each fault adds.
//!
//! A fault is a **term**: a file `NAME.term` in one folder of the node. What there is to do follows from the terms that are
//! there now, so faults of several classes add up and each is undone without touching another's. Two mechanisms:
//! the node's real clock ([`super::clock_real`]), and the clock functions of the database's processes ([`super::vdso_patch`]).
//!
//! - `on FOLDER NAME ORDER`: adds a term and brings it about.
//! - `off FOLDER NAME`: takes it away and brings that about: the undo. It needs nothing but the folder, and succeeds only if
//!   no process is left that should not be skewed (or the real clock is where it should be).
//! - `keep FOLDER`: what `on` leaves behind: every 40 ms it looks for processes that are new, or that executed another
//!   program, and ends when there is no term. Killing it harms nobody.
//! - `state FOLDER NAME SAMPLES OVER_MS`: measures.
//! - `can ORDER`: which mechanism this node can do, or why none.
//!
//! All are one at a time, by a lock of the folder that dies with its holder.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::time::ClockId;
use schism_cluster::ProcessId;
use serde::{Deserialize, Serialize};

use super::clock_real::{self, Guard};
use super::family::{self, Family};
use super::vdso::{Condition, Image, Shift};
use super::vdso_patch::{self, Mapped};
use super::{Verb, clock, skew_state};

/// The verb.
pub(super) const VERB: Verb = Verb { name: "skew", about: "shifts the clock of this node or of processes on it", run };

/// How long the keeper rests between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(40);
/// How long a killed process's blob may be in use by a thread before it is wiped.
const BETWEEN_UNHOOK_AND_WIPE: Duration = Duration::from_millis(20);
/// How often what forked meanwhile is looked for.
const ROUNDS: u32 = 20;
/// How long another that works on the folder is waited for.
const LOCK_WITHIN: Duration = Duration::from_secs(20);

/// What can be shifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// The clock of the node.
    Real,
    /// The clock functions of processes.
    Processes,
}

/// What a fault wants of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Order {
    /// With which; the node chooses where it is not said.
    pub mechanism: Option<Mechanism>,
    /// At once and for all, in nanoseconds.
    #[serde(default)]
    pub offset_ns: i64,
    /// Growing, in nanoseconds a second.
    #[serde(default)]
    pub rate_ppb: i64,
    /// In every second half period, in nanoseconds.
    #[serde(default)]
    pub strobe_ns: i64,
    /// In nanoseconds.
    #[serde(default)]
    pub half_period_ns: i64,
    /// The database's processes.
    #[serde(default)]
    pub processes: Vec<ProcessId>,
    /// What keeps hands off clocks that others share.
    #[serde(default)]
    pub guard: Guard,
}

/// A term as it lies in the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Term {
    /// Of the two.
    pub mechanism: Mechanism,
    /// What it adds, on the monotonic clock (processes) or the raw monotonic one (real clock).
    pub offset_ns: i64,
    rate_ppb: i64,
    reference_ns: i64,
    strobe_ns: i64,
    half_period_ns: i64,
    /// Whose clock functions.
    pub family: Family,
}

/// Terms by name.
pub(super) type Terms = BTreeMap<String, Term>;

/// All terms together, as seen from `now_ns` of their clock.
pub(super) fn sum<'a>(terms: impl Iterator<Item = &'a Term>) -> Shift {
    let mut shift = Shift::default();
    for term in terms {
        let rate_q32 = rate_q32(term.rate_ppb);
        shift.offset_ns = shift.offset_ns.saturating_add(term.offset_ns);
        if rate_q32 != 0 {
            // The line of this term, told from another point of reference, begins elsewhere.
            let moved = i128::from(shift.reference_ns.wrapping_sub(term.reference_ns)) * i128::from(rate_q32);
            if shift.rate_q32 == 0 {
                shift.reference_ns = term.reference_ns;
            } else {
                shift.offset_ns = shift.offset_ns.saturating_add((moved >> 32) as i64);
            }
            shift.rate_q32 = shift.rate_q32.saturating_add(rate_q32);
        }
        if term.half_period_ns > 0 {
            // One class strobes, and has one fault open at most.
            (shift.strobe_ns, shift.half_period_ns) = (term.strobe_ns, term.half_period_ns);
        }
    }
    shift
}

fn rate_q32(rate_ppb: i64) -> i64 {
    // 10^9 parts are one: what is left is far below 2^63 for any rate that is let in.
    ((i128::from(rate_ppb) << 32) / 1_000_000_000) as i64
}

/// The folder in which terms lie.
#[derive(Debug, Clone)]
pub(super) struct Store {
    /// Where.
    pub folder: PathBuf,
}

impl Store {
    fn open(folder: &str) -> Result<Store, String> {
        let folder = PathBuf::from(folder);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Store { folder })
    }

    /// The number by which processes are known to be of this folder.
    pub fn owner(&self) -> u32 {
        let hash = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        self.folder.as_os_str().as_encoded_bytes().iter().fold(0x811c_9dc5, hash) & !1
    }

    /// All terms. One that cannot be read is told: to leave it out would undo it.
    pub fn terms(&self) -> Result<Terms, String> {
        let mut terms = Terms::new();
        for entry in fs::read_dir(&self.folder).map_err(|error| format!("{}: {error}", self.folder.display()))? {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.extension().is_some_and(|extension| extension == "term") {
                let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                let term = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
                terms.insert(path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), term);
            }
        }
        Ok(terms)
    }

    fn path(&self, name: &str) -> Result<PathBuf, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!("`{name}` is no name of a term"));
        }
        Ok(self.folder.join(format!("{name}.term")))
    }

    fn lock_file(&self, name: &str) -> Result<File, String> {
        let path = self.folder.join(name);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        file.map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Waits until nobody else works on the folder.
    fn lock(&self) -> Result<File, String> {
        let file = self.lock_file("lock")?;
        let deadline = Instant::now() + LOCK_WITHIN;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(format!("the lock of {}: {error}", self.folder.display())),
            }
        }
    }
}

/// Writes a file as a whole or not at all.
pub(super) fn write_whole(path: &Path, text: &str) -> Result<(), String> {
    let new = path.with_extension("new");
    fs::write(&new, text).and_then(|()| fs::rename(&new, path)).map_err(|error| format!("{}: {error}", path.display()))
}

fn run(args: &[String]) -> Result<(), String> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["on", folder, name, order] => on(&Store::open(folder)?, name, &parse(order)?),
        ["off", folder, name] => off(&Store::open(folder)?, name),
        ["keep", folder] => keep(&Store::open(folder)?),
        ["can", order] => say(&can(&parse(order)?)?),
        ["state", folder, name, samples, over_ms] => {
            let samples: u32 = samples.parse().map_err(|_| format!("`{samples}` is no number of samples"))?;
            let over_ms: u32 = over_ms.parse().map_err(|_| format!("`{over_ms}` is no number of milliseconds"))?;
            say(&skew_state::measure(&Store::open(folder)?, name, samples.min(10_000), over_ms.min(60_000))?)
        }
        _ => Err("on FOLDER NAME ORDER, off FOLDER NAME, state FOLDER NAME SAMPLES OVER_MS, can ORDER".to_owned()),
    }
}

fn parse(order: &str) -> Result<Order, String> {
    serde_json::from_str(order).map_err(|error| format!("the order cannot be read: {error}"))
}

fn say(answer: &impl Serialize) -> Result<(), String> {
    let text = serde_json::to_string(answer).map_err(|error| error.to_string())?;
    writeln!(std::io::stdout(), "{text}").map_err(|error| error.to_string())
}

/// What a node can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Can {
    /// The one that is taken.
    pub mechanism: Mechanism,
    /// Why not the real clock, where that was not taken though nothing else was asked for.
    pub why_not_real: Option<String>,
}

fn can(order: &Order) -> Result<Can, String> {
    let real = match order.mechanism {
        Some(Mechanism::Processes) => Err("the suite asks for processes".to_owned()),
        _ => clock_real::may_be_set(&order.guard),
    };
    match (real, order.mechanism) {
        (Ok(()), _) => Ok(Can { mechanism: Mechanism::Real, why_not_real: None }),
        (Err(why), Some(Mechanism::Real)) => Err(format!("the real clock: {why}")),
        (Err(why), _) => match skew_state::probe() {
            Ok(()) => Ok(Can { mechanism: Mechanism::Processes, why_not_real: Some(why) }),
            Err(error) => Err(format!("the real clock: {why}; the clocks of processes: {error}")),
        },
    }
}

fn on(store: &Store, name: &str, order: &Order) -> Result<(), String> {
    let mechanism = order.mechanism.ok_or("the order says not with which mechanism")?;
    let path = store.path(name)?;
    let _lock = store.lock()?;
    let reference = match mechanism {
        Mechanism::Real => {
            clock_real::may_be_set(&order.guard).map_err(|why| format!("the real clock: {why}"))?;
            clock_real::anchor(&store.folder, &order.guard)?;
            ClockId::CLOCK_MONOTONIC_RAW
        }
        Mechanism::Processes => ClockId::CLOCK_MONOTONIC,
    };
    let family = Family::of(&order.processes);
    if mechanism == Mechanism::Processes && !family.lives() {
        return Err("none of the database's processes that were named is there any more".to_owned());
    }
    let term = Term {
        mechanism,
        offset_ns: order.offset_ns,
        rate_ppb: order.rate_ppb,
        reference_ns: clock::ask(reference)?,
        strobe_ns: order.strobe_ns,
        half_period_ns: order.half_period_ns,
        family,
    };
    write_whole(&path, &serde_json::to_string(&term).map_err(|error| error.to_string())?)?;
    let done = match mechanism {
        Mechanism::Real => clock_real::apply(&store.folder, &store.terms()?),
        Mechanism::Processes => Skewer::new(store)?.reach(&store.terms()?),
    };
    // New processes are caught from here on, whatever became of those that were there.
    start_keeper(store)?;
    done
}

fn off(store: &Store, name: &str) -> Result<(), String> {
    let path = store.path(name)?;
    let _lock = store.lock()?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("{}: {error}", path.display()));
        }
        _ => {}
    }
    let terms = store.terms()?;
    let real = clock_real::apply(&store.folder, &terms);
    // Where processes cannot be patched, none was.
    let processes = match vdso_patch::own_image() {
        Ok(image) => Skewer::with(store, image).release(&terms),
        Err(_) => Ok(()),
    };
    real.and(processes)
}

/// Starts the keeper, if none is there. To be called under the lock: a keeper ends under it too.
fn start_keeper(store: &Store) -> Result<(), String> {
    if store.lock_file("keeper")?.try_lock().is_err() {
        return Ok(());
    }
    let mut keeper = std::process::Command::new("/proc/self/exe");
    keeper.args(["agent", "skew", "keep"]).arg(&store.folder).current_dir("/");
    keeper.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    keeper.spawn().map(|_| ()).map_err(|error| format!("the keeper does not start: {error}"))
}

fn keep(store: &Store) -> Result<(), String> {
    // It has its own session already where somebody else saw to that.
    let _ = nix::unistd::setsid();
    let keeper = store.lock_file("keeper")?;
    if keeper.try_lock().is_err() {
        return Ok(());
    }
    let mut skewer: Option<Skewer> = None;
    loop {
        let lock = store.lock()?;
        // A folder that is gone (a test's, a node's that was taken down) has no terms.
        let terms = store.terms().unwrap_or_default();
        if terms.is_empty() {
            drop(keeper);
            drop(lock);
            return Ok(());
        }
        let mut rest = LOOK_EVERY;
        if terms.values().any(|term| term.mechanism == Mechanism::Real && term.half_period_ns > 0) {
            // What cannot be set now is set at the next edge; the measurement tells.
            let _ = clock_real::set(&store.folder, &terms);
            rest = rest.min(clock_real::until_edge(&terms));
        }
        if terms.values().any(|term| term.mechanism == Mechanism::Processes) {
            if skewer.is_none() {
                skewer = Skewer::new(store).ok();
            }
            if let Some(skewer) = &mut skewer {
                // One that cannot be stopped now is tried again at the next look; the measurement tells.
                let _ = skewer.reach(&terms);
            }
        }
        drop(lock);
        std::thread::sleep(rest);
    }
}

/// Brings about what terms want of processes.
pub(super) struct Skewer {
    image: Image,
    owner: u32,
    /// Who was found to belong, so that one whose parent ended since still does.
    known: BTreeMap<String, Vec<ProcessId>>,
}

impl Skewer {
    fn new(store: &Store) -> Result<Skewer, String> {
        Ok(Skewer::with(store, vdso_patch::own_image()?))
    }

    pub fn with(store: &Store, image: Image) -> Skewer {
        Skewer { image, owner: store.owner(), known: BTreeMap::new() }
    }

    /// What each process of the families should have.
    pub fn wanted(&mut self, terms: &Terms) -> BTreeMap<ProcessId, Shift> {
        let all = family::all();
        let mut by_process: BTreeMap<ProcessId, Vec<&Term>> = BTreeMap::new();
        self.known.retain(|name, _| terms.contains_key(name));
        for (name, term) in terms.iter().filter(|(_, term)| term.mechanism == Mechanism::Processes) {
            let mut members = term.family.members(&all);
            let known = self.known.entry(name.clone()).or_default();
            let living =
                |id: &&ProcessId| all.iter().any(|seen| seen.id == **id && !matches!(seen.state, 'Z' | 'X' | 'x'));
            members.extend(known.iter().filter(living).copied());
            *known = members.iter().copied().collect();
            for process in members {
                by_process.entry(process).or_default().push(term);
            }
        }
        by_process.into_iter().map(|(process, terms)| (process, sum(terms.into_iter()))).collect()
    }

    /// Skews whoever is not as wanted, until nobody is.
    fn reach(&mut self, terms: &Terms) -> Result<(), String> {
        let mut trouble = Vec::new();
        for _ in 0..ROUNDS {
            let mut changed = false;
            trouble.clear();
            for (process, shift) in self.wanted(terms) {
                let skewed = Mapped::of(&self.image, process, true)
                    .and_then(|mapped| mapped.map_or(Ok(false), |mapped| mapped.skew(&shift, self.owner)));
                match skewed {
                    Ok(done) => changed |= done,
                    // It ended, or executed another program: the next look tells.
                    Err(_) if family::start_ticks(process.pid) != Some(process.start_ticks) => {}
                    Err(error) => trouble.push(error),
                }
            }
            if !changed {
                break;
            }
        }
        if trouble.is_empty() { Ok(()) } else { Err(trouble.join("; ")) }
    }

    /// Skews as [`Skewer::reach`], and gives everybody else of this folder their own functions again, until nobody is left.
    fn release(&mut self, terms: &Terms) -> Result<(), String> {
        let mut trouble = Vec::new();
        for _ in 0..ROUNDS {
            trouble.clear();
            let wanted = self.wanted(terms);
            let left: Vec<ProcessId> = self.ours(true).into_iter().filter(|id| !wanted.contains_key(id)).collect();
            let mapped: Vec<Mapped<'_>> =
                left.iter().filter_map(|id| Mapped::of(&self.image, *id, true).ok().flatten()).collect();
            if mapped.is_empty() {
                break;
            }
            let mut unhooked = Vec::new();
            for process in &mapped {
                match process.unhook() {
                    Ok(()) => unhooked.push(process),
                    Err(_) if process.is_gone() => {}
                    Err(error) => trouble.push(error),
                }
            }
            std::thread::sleep(BETWEEN_UNHOOK_AND_WIPE);
            // A blob that a stopped thread is in stays behind, out of use.
            let stuck = unhooked.iter().filter(|process| matches!(process.wipe(), Ok(false))).count();
            if trouble.is_empty() && stuck == mapped.len() {
                break;
            }
        }
        let reached = self.reach(terms);
        if trouble.is_empty() { reached } else { Err(trouble.join("; ")) }
    }

    /// Processes whose functions this folder changed; on demand those too where only an unused blob is left.
    pub fn ours(&self, unused_too: bool) -> Vec<ProcessId> {
        let is_ours = |id: &ProcessId| {
            let condition = Mapped::of(&self.image, *id, false).ok().flatten().map(|mapped| mapped.condition());
            match condition {
                Some(Condition::Skewed { owner, .. }) => owner == self.owner,
                Some(Condition::Partly { owner, hooked }) => owner == self.owner && (hooked || unused_too),
                _ => false,
            }
        };
        family::all().into_iter().map(|seen| seen.id).filter(is_ours).collect()
    }
}
