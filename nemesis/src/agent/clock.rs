//! `agent clock`: what the clocks say here, as every other program of this node asks for them.
//!
//! One line of JSON for each line read. The process asks twice: as programs do (through the kernel's shared object, see
//! [`super::vdso`]) and by the plain system call, so that it can tell by how much its own functions are off: it serves as
//! the canary that is skewed beside a database.

use std::io::{BufRead, Write};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::Verb;

/// The verb.
pub(super) const VERB: Verb =
    Verb { name: "clock", about: "says what its clocks say, once for each line it reads", run };

/// What the clocks of a process say, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// `CLOCK_REALTIME` by the system call.
    pub real_ns: i64,
    /// `CLOCK_MONOTONIC`.
    pub monotonic_ns: i64,
    /// `CLOCK_MONOTONIC_RAW`.
    pub raw_ns: i64,
    /// By how much `clock_gettime(CLOCK_REALTIME)` is ahead of the system call.
    pub shift_ns: i64,
    /// By how much that may be wrong: the time that asking took.
    pub error_ns: i64,
    /// The same of `CLOCK_REALTIME_COARSE`, which is up to a tick (10 ms) behind.
    pub coarse_shift_ns: i64,
    /// The same of `gettimeofday`.
    pub gettimeofday_shift_ns: i64,
    /// The same of `time`, which is up to a second behind.
    pub time_shift_ns: i64,
}

fn run(_args: &[String]) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        line.map_err(|error| error.to_string())?;
        let text = serde_json::to_string(&read()?).map_err(|error| error.to_string())?;
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Asks a clock as programs do.
///
/// # Errors
/// Where the kernel has no such clock.
pub fn ask(clock: ClockId) -> Result<i64, String> {
    let time = clock_gettime(clock).map_err(|error| format!("clock {}: {error}", clock.as_raw()))?;
    Ok(nanoseconds(time.tv_sec(), time.tv_nsec()))
}

fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// Asks all of them. Of three tries the quickest counts.
///
/// # Errors
/// Where the kernel lacks one.
pub fn read() -> Result<Reading, String> {
    let mut best: Option<Reading> = None;
    for _ in 0..3 {
        let now = read_once()?;
        best = Some(best.filter(|best| best.error_ns <= now.error_ns).unwrap_or(now));
    }
    best.ok_or_else(|| "the clocks say nothing".to_owned())
}

fn read_once() -> Result<Reading, String> {
    let begin = sys::real_ns()?;
    let asked = ask(ClockId::CLOCK_REALTIME)?;
    let end = sys::real_ns()?;
    let coarse = ask(ClockId::CLOCK_REALTIME_COARSE)?;
    let gettimeofday = sys::gettimeofday_ns();
    let time = nanoseconds(sys::time_s(), 0);
    let late = sys::real_ns()?;
    let middle = begin + (end - begin) / 2;
    Ok(Reading {
        real_ns: middle,
        monotonic_ns: ask(ClockId::CLOCK_MONOTONIC)?,
        raw_ns: ask(ClockId::CLOCK_MONOTONIC_RAW)?,
        shift_ns: asked - middle,
        error_ns: (end - begin).abs() / 2 + 1,
        coarse_shift_ns: coarse - late,
        gettimeofday_shift_ns: gettimeofday - late,
        time_shift_ns: time - late,
    })
}

/// Ways to ask that `nix` has not.
#[allow(unsafe_code)]
mod sys {
    use nix::libc;

    use super::nanoseconds;

    /// `CLOCK_REALTIME` by the system call itself.
    pub fn real_ns() -> Result<i64, String> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the kernel writes one timespec to a place that is one.
        let status = unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_REALTIME, &raw mut time) };
        if status != 0 {
            return Err(format!("clock_gettime: {}", std::io::Error::last_os_error()));
        }
        Ok(nanoseconds(time.tv_sec, time.tv_nsec))
    }

    /// `gettimeofday` as programs call it.
    pub fn gettimeofday_ns() -> i64 {
        let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
        // SAFETY: it writes one timeval to a place that is one, and takes no time zone.
        unsafe { libc::gettimeofday(&raw mut time, std::ptr::null_mut()) };
        nanoseconds(time.tv_sec, time.tv_usec * 1000)
    }

    /// `time` as programs call it.
    pub fn time_s() -> i64 {
        // SAFETY: given no place to write to, it only answers.
        unsafe { libc::time(std::ptr::null_mut()) }
    }
}
