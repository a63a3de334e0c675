//! Measures what `agent skew` did: by reading what lies in the processes, and by a canary, a process of our own with the
//! same clock functions as the database's, which is asked what time it is.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use schism_cluster::ProcessId;
use serde::{Deserialize, Serialize};

use super::clock::{self, Reading};
use super::clock_real;
use super::family;
use super::skew::{Mechanism, Skewer, Store, sum};
use super::vdso::{Condition, Image, Shift};
use super::vdso_patch::{self, Mapped};

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Faults that add to the clock now.
    pub terms: Vec<String>,
    /// Processes of the database, as the terms tell them.
    pub processes: Vec<Skewed>,
    /// Processes that are skewed though no term says so.
    pub leftover: Vec<ProcessId>,
    /// What a process sees that has the database's clock functions; empty where the fault that was asked for gave none.
    pub canary: Vec<Sample>,
    /// The same of the real clock beside the true time, where faults hold it.
    pub real: Vec<Sample>,
    /// What the terms add to the real clock now, in nanoseconds.
    pub real_expected_ns: i64,
}

/// A process of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skewed {
    /// Which.
    #[serde(flatten)]
    pub process: ProcessId,
    /// What its functions add now, in nanoseconds, as read from its memory; nothing where they are its own.
    pub shift_ns: Option<i64>,
    /// Whether that is what the terms say.
    pub as_wanted: bool,
}

/// What a clock said once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When, on the raw monotonic clock, in nanoseconds.
    pub at_ns: i64,
    /// How far ahead of the true time, in nanoseconds.
    pub shift_ns: i64,
    /// By how much that may be wrong.
    pub error_ns: i64,
    /// How much of it is other faults' doing.
    pub others_ns: i64,
}

/// Measures.
pub(super) fn measure(store: &Store, name: &str, samples: u32, over_ms: u32) -> Result<State, String> {
    let terms = store.terms()?;
    let image = vdso_patch::own_image();
    let here = terms.get(name);
    let rest = Duration::from_millis(u64::from(over_ms)) / samples.max(1);
    let mut state = State {
        terms: terms.keys().cloned().collect(),
        processes: Vec::new(),
        leftover: Vec::new(),
        canary: Vec::new(),
        real: Vec::new(),
        real_expected_ns: 0,
    };
    let others = |mechanism: Mechanism| {
        sum(terms.iter().filter(|(known, term)| *known != name && term.mechanism == mechanism).map(|(_, term)| term))
    };
    let anchor = clock_real::load(&store.folder)?;
    let mut canary = None;
    if let Ok(image) = &image {
        let mut skewer = Skewer::with(store, image.clone());
        let wanted = skewer.wanted(&terms);
        for (process, shift) in &wanted {
            state.processes.extend(look(image, *process, *shift));
        }
        state.leftover = skewer.ours(false).into_iter().filter(|id| !wanted.contains_key(id)).collect();
        if matches!(here, Some(term) if term.mechanism == Mechanism::Processes) {
            let child = Canary::start()?;
            let all = terms.values().filter(|term| term.mechanism == Mechanism::Processes);
            child.skew(image, &sum(all), store.owner() | 1)?;
            canary = Some(child);
        }
    }
    for _ in 0..samples {
        if let Some(canary) = &mut canary {
            let said = canary.ask()?;
            let others_ns = others(Mechanism::Processes).at(said.monotonic_ns);
            let (at_ns, shift_ns, error_ns) = (said.raw_ns, said.shift_ns, said.error_ns);
            state.canary.push(Sample { at_ns, shift_ns, error_ns, others_ns });
        }
        if let Some(anchor) = &anchor {
            let now = clock::read()?;
            let shift_ns = now.real_ns - anchor.true_ns(now.raw_ns);
            let others_ns = others(Mechanism::Real).at(now.raw_ns);
            state.real.push(Sample { at_ns: now.raw_ns, shift_ns, error_ns: now.error_ns, others_ns });
        }
        std::thread::sleep(rest);
    }
    if anchor.is_some() {
        let real = terms.values().filter(|term| term.mechanism == Mechanism::Real);
        state.real_expected_ns = sum(real).at(clock::read()?.raw_ns);
    }
    Ok(state)
}

/// A process of the database; nothing where it ended meanwhile.
fn look(image: &Image, process: ProcessId, wanted: Shift) -> Option<Skewed> {
    let condition = Mapped::of(image, process, false).ok().flatten().map(|mapped| mapped.condition());
    let now = clock::read().ok()?;
    if family::start_ticks(process.pid) != Some(process.start_ticks) {
        return None;
    }
    let there = match condition {
        Some(Condition::Skewed { shift, .. }) => Some(shift),
        _ => None,
    };
    Some(Skewed { process, shift_ns: there.map(|shift| shift.at(now.monotonic_ns)), as_wanted: there == Some(wanted) })
}

/// Whether processes can be skewed here: a canary is, and gets its own time back.
///
/// # Errors
/// Why not.
pub fn probe() -> Result<(), String> {
    let image = vdso_patch::own_image()?;
    let mut canary = Canary::start()?;
    const HOUR_NS: i64 = 3_600_000_000_000;
    canary.skew(&image, &Shift { offset_ns: HOUR_NS, ..Shift::default() }, 1)?;
    let skewed = canary.ask()?;
    let mapped = Mapped::of(&image, canary.id, true)?.ok_or("the probe ended")?;
    mapped.unhook()?;
    mapped.wipe()?;
    let restored = canary.ask()?;
    let near = |shift_ns: i64, wanted_ns: i64| (shift_ns - wanted_ns).abs() < 1_000_000;
    if !near(skewed.shift_ns, HOUR_NS) || !near(restored.shift_ns, 0) || mapped.condition() != Condition::Pristine {
        return Err(format!(
            "a process that was given another clock saw it off by {} ns, and {} ns afterwards",
            skewed.shift_ns, restored.shift_ns
        ));
    }
    Ok(())
}

/// A child that says what time it is. Ends with this.
struct Canary {
    child: Child,
    id: ProcessId,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Canary {
    fn start() -> Result<Canary, String> {
        let mut command = std::process::Command::new("/proc/self/exe");
        command.args(["agent", "clock"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| format!("the canary does not start: {error}"))?;
        let (Some(ask), Some(answer)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the canary has no pipes".to_owned());
        };
        let start_ticks = family::start_ticks(child.id()).ok_or("the canary ended")?;
        let id = ProcessId { pid: child.id(), start_ticks };
        let mut canary = Canary { child, id, ask, answer: BufReader::new(answer) };
        // Once it answers it has executed its program, and has the clock functions that it will keep.
        canary.ask()?;
        Ok(canary)
    }

    fn skew(&self, image: &Image, shift: &Shift, owner: u32) -> Result<(), String> {
        let mapped = Mapped::of(image, self.id, true)?.ok_or("the canary ended")?;
        mapped.skew(shift, owner).map(|_| ())
    }

    fn ask(&mut self) -> Result<Reading, String> {
        let trouble = |error: std::io::Error| format!("the canary does not answer: {error}");
        self.ask.write_all(b"\n").map_err(trouble)?;
        let mut line = String::new();
        self.answer.read_line(&mut line).map_err(trouble)?;
        serde_json::from_str(&line).map_err(|error| format!("the canary says {line:?}: {error}"))
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
