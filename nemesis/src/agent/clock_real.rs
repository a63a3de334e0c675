//! The real clock of a machine that has one of its own.
//!
//! Before the first harm an **anchor** is written down: what the real clock, and the raw monotonic clock (which nothing
//! adjusts), said at one moment, the rate at which the kernel ran the real clock beside the raw one, and the time daemons
//! that ran, which are stopped. From then on the true time is anchor plus raw time passed at that rate; the clock is set to
//! it plus what the terms add. When the last term goes the clock is set to the true time, rate and daemons are
//! as they were. This needs no network, no controller and no time server.
//!
//! [`may_be_set`] keeps hands off every clock that might be another's as well: that of the controller itself, of a host
//! that shares its kernel with this container, of a node without the capability.
//!
//! Not covered: an anchor is as good as the clock was; a machine that slept; time daemons that systemd does not run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use serde::{Deserialize, Serialize};

use super::clock;
use super::skew::{Mechanism, Terms, sum, write_whole};

/// Time daemons by the names of their units.
const DAEMONS: &[&str] =
    &["chronyd", "chrony", "systemd-timesyncd", "ntp", "ntpd", "ntpsec", "openntpd", "busybox-ntpd"];

/// The same by the names of their processes.
const DAEMON_PROCESSES: &[&str] = &["chronyd", "systemd-timesyn", "systemd-timesyncd", "ntpd", "ntpsec", "openntpd"];

/// The numbers that the kernel gives the first namespace of each kind: whoever is in another lives in a container.
const FIRST_NAMESPACES: &[(&str, u64)] =
    &[("pid", 0xEFFF_FFFC), ("user", 0xEFFF_FFFD), ("time", 0xEFFF_FFFA), ("cgroup", 0xEFFF_FFFB)];

/// `CAP_SYS_TIME`.
const CAP_SYS_TIME: u32 = 25;

/// What keeps hands off clocks that others share.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Guard {
    /// The kernel of the controller (`/proc/sys/kernel/random/boot_id`): its clock is never set.
    pub controller_boot_id: String,
    /// Whether signs of a container are passed over, because the suite says so.
    #[serde(default)]
    pub despite_doubts: bool,
}

/// What a machine tells of itself, for [`verdict`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Signs {
    pub boot_id: String,
    pub may_set: bool,
    pub of_a_container: Vec<String>,
}

/// Whether the real clock of this node may be set.
///
/// # Errors
/// Why not.
pub fn may_be_set(guard: &Guard) -> Result<(), String> {
    verdict(guard, &signs())
}

/// The part of [`may_be_set`] that no option passes over, and that costs nothing: asked before every single change.
fn is_of_another_kernel(guard: &Guard) -> Result<(), String> {
    verdict(guard, &Signs { boot_id: boot_id(), may_set: true, of_a_container: Vec::new() })
}

/// The judgement alone.
pub(super) fn verdict(guard: &Guard, signs: &Signs) -> Result<(), String> {
    let known = |id: &str| id.len() >= 32;
    if !known(&guard.controller_boot_id) || !known(&signs.boot_id) {
        return Err("it is not known whether this node shares the controller's kernel, and so its clock".to_owned());
    }
    if guard.controller_boot_id == signs.boot_id {
        return Err("this node shares the controller's kernel, and so its clock".to_owned());
    }
    if !signs.may_set {
        return Err("CAP_SYS_TIME is not held there".to_owned());
    }
    if !signs.of_a_container.is_empty() && !guard.despite_doubts {
        return Err(format!(
            "it may be a container's, whose host and neighbours share it: {}",
            signs.of_a_container.join(", ")
        ));
    }
    Ok(())
}

fn signs() -> Signs {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = capabilities.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(0);
    let mut found = Vec::new();
    for (kind, first) in FIRST_NAMESPACES {
        // A kernel without such namespaces has no such link.
        if let Ok(link) = fs::read_link(format!("/proc/self/ns/{kind}"))
            && link.to_string_lossy() != format!("{kind}:[{first}]")
        {
            found.push(format!("it is not in the first {kind} namespace"));
        }
    }
    for path in ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"] {
        if Path::new(path).exists() {
            found.push(format!("there is {path}"));
        }
    }
    let groups = fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
    for word in ["docker", "lxc", "kubepods", "containerd", "libpod", "machine.slice"] {
        if groups.contains(word) {
            found.push(format!("the cgroup of its first process says {word}"));
        }
    }
    let environment = fs::read("/proc/1/environ").unwrap_or_default();
    if environment.split(|byte| *byte == 0).any(|word| word.starts_with(b"container=")) {
        found.push("the environment of its first process says `container`".to_owned());
    }
    if let Ok(output) = Command::new("systemd-detect-virt").arg("-c").output()
        && output.status.success()
    {
        found.push(format!("systemd-detect-virt says {}", String::from_utf8_lossy(&output.stdout).trim()));
    }
    Signs { boot_id: boot_id(), may_set: capabilities >> CAP_SYS_TIME & 1 == 1, of_a_container: found }
}

/// The kernel that runs; empty where it does not say.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The true time, and what must be put back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Anchor {
    guard: Guard,
    boot_id: String,
    real_ns: i64,
    raw_ns: i64,
    rate: Rate,
    daemons: Vec<String>,
}

/// How fast the kernel runs the real clock: in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rate {
    /// Microseconds a tick of 1/100 s.
    pub tick_us: i64,
    /// Millionths, times 2^16.
    pub frequency_q16: i64,
}

impl Rate {
    /// In parts of 10^9 beside the raw clock.
    pub fn ppb(self) -> i64 {
        (self.tick_us - 10_000) * 100_000 + self.frequency_q16 * 1000 / 65536
    }

    /// The rate of that many parts of 10^9: the tick takes the rough part, as the frequency alone reaches 500 ppm.
    pub fn of_ppb(ppb: i64) -> Rate {
        let ticks = (ppb as f64 / 100_000.0).round() as i64;
        let rest = ppb - ticks * 100_000;
        Rate { tick_us: 10_000 + ticks, frequency_q16: rest * 65536 / 1000 }
    }
}

impl Anchor {
    /// The true time at that raw time.
    pub fn true_ns(&self, raw_ns: i64) -> i64 {
        let passed = raw_ns - self.raw_ns;
        let more = i128::from(passed) * i128::from(self.rate.ppb()) / 1_000_000_000;
        self.real_ns + passed + more as i64
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("anchor.json")
}

/// The anchor, unless it was of another boot.
pub(super) fn load(folder: &Path) -> Result<Option<Anchor>, String> {
    let text = match fs::read_to_string(path(folder)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path(folder).display())),
    };
    let anchor: Anchor = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path(folder).display()))?;
    Ok((anchor.boot_id == boot_id()).then_some(anchor))
}

/// Writes the anchor, if there is none, and stops the time daemons.
pub(super) fn anchor(folder: &Path, guard: &Guard) -> Result<(), String> {
    if load(folder)?.is_some() {
        return Ok(());
    }
    let is_active = |unit: &&str| {
        let asked = Command::new("systemctl").args(["is-active", "--quiet", unit]).status();
        asked.is_ok_and(|status| status.success())
    };
    let daemons: Vec<String> = DAEMONS.iter().filter(|unit| is_active(unit)).map(|unit| (*unit).to_owned()).collect();
    let now = clock::read()?;
    let rate = sys::rate(None)?;
    let anchor =
        Anchor { guard: guard.clone(), boot_id: boot_id(), real_ns: now.real_ns, raw_ns: now.raw_ns, rate, daemons };
    let text = serde_json::to_string(&anchor).map_err(|error| error.to_string())?;
    // On disk before anything is stopped, so that what stops is started again.
    write_whole(&path(folder), &text)?;
    for unit in &anchor.daemons {
        systemctl("stop", unit)?;
    }
    let left = daemons_running();
    if left.is_empty() {
        return Ok(());
    }
    put_back(folder, &anchor)?;
    Err(format!(
        "{} runs there and systemd does not say under which unit: it would undo the fault; stop it",
        left.join(", ")
    ))
}

fn systemctl(verb: &str, unit: &str) -> Result<(), String> {
    let output = Command::new("systemctl").args([verb, unit]).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("systemctl {verb} {unit}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("systemctl {verb} {unit}: {error}")),
    }
}

fn daemons_running() -> Vec<String> {
    super::family::all()
        .into_iter()
        .filter(|seen| DAEMON_PROCESSES.contains(&seen.name.as_str()) && !matches!(seen.state, 'Z' | 'X' | 'x'))
        .map(|seen| format!("{} ({})", seen.name, seen.id.pid))
        .collect()
}

/// Brings about what the terms want; without any, the true time and what else was found.
pub(super) fn apply(folder: &Path, terms: &Terms) -> Result<(), String> {
    let Some(anchor) = load(folder)? else { return Ok(()) };
    is_of_another_kernel(&anchor.guard)?;
    if !terms.values().any(|term| term.mechanism == Mechanism::Real) {
        sys::rate(Some(anchor.rate))?;
        set(folder, terms)?;
        return put_back(folder, &anchor);
    }
    let shift = sum(terms.values().filter(|term| term.mechanism == Mechanism::Real));
    let drift_ppb = (i128::from(shift.rate_q32) * 1_000_000_000) >> 32;
    sys::rate(Some(Rate::of_ppb(anchor.rate.ppb().saturating_add(drift_ppb as i64))))?;
    set(folder, terms)
}

fn put_back(folder: &Path, anchor: &Anchor) -> Result<(), String> {
    let mut trouble = Vec::new();
    for unit in &anchor.daemons {
        trouble.extend(systemctl("start", unit).err());
    }
    if !trouble.is_empty() {
        return Err(trouble.join("; "));
    }
    fs::remove_file(path(folder)).map_err(|error| format!("{}: {error}", path(folder).display()))
}

/// Sets the real clock to where it should be now.
pub(super) fn set(folder: &Path, terms: &Terms) -> Result<(), String> {
    let Some(anchor) = load(folder)? else { return Ok(()) };
    is_of_another_kernel(&anchor.guard)?;
    let shift = sum(terms.values().filter(|term| term.mechanism == Mechanism::Real));
    let raw_ns = clock::ask(ClockId::CLOCK_MONOTONIC_RAW)?;
    let wanted_ns = anchor.true_ns(raw_ns).saturating_add(shift.at(raw_ns));
    let time = TimeSpec::new(wanted_ns.div_euclid(1_000_000_000), wanted_ns.rem_euclid(1_000_000_000));
    clock_settime(ClockId::CLOCK_REALTIME, time).map_err(|error| format!("the real clock cannot be set: {error}"))
}

/// How long until a strobe must set the clock again.
pub(super) fn until_edge(terms: &Terms) -> Duration {
    let shift = sum(terms.values().filter(|term| term.mechanism == Mechanism::Real));
    let half = shift.half_period_ns.max(1);
    let now = clock::ask(ClockId::CLOCK_MONOTONIC_RAW).unwrap_or(0);
    let left = half - now.rem_euclid(half);
    Duration::from_nanos(left.unsigned_abs())
}

/// The one call that `nix` has not.
#[allow(unsafe_code)]
mod sys {
    use nix::libc;

    use super::Rate;

    /// Sets the rate, if one is given; answers what it is.
    pub fn rate(wanted: Option<Rate>) -> Result<Rate, String> {
        // SAFETY: a timex is numbers alone, of which zero is a valid one.
        let mut timex: libc::timex = unsafe { std::mem::zeroed() };
        if let Some(rate) = wanted {
            timex.modes = libc::ADJ_TICK | libc::ADJ_FREQUENCY;
            (timex.tick, timex.freq) = (rate.tick_us, rate.frequency_q16);
        }
        // SAFETY: the kernel reads and writes one timex at a place that is one.
        let state = unsafe { libc::adjtimex(&raw mut timex) };
        if state < 0 {
            return Err(format!("adjtimex: {}", std::io::Error::last_os_error()));
        }
        Ok(Rate { tick_us: timex.tick, frequency_q16: timex.freq })
    }
}

#[cfg(test)]
#[path = "clock_real_tests.rs"]
mod tests;
