//! Gives one live process other clock functions, and its own again.
//!
//! How no thread ever runs half a function: the blob (data and code) is written first and nothing reaches it; then all
//! threads of the process are stopped (`PTRACE_SEIZE`, `PTRACE_INTERRUPT`: no signal is sent, and one that was on its way
//! is given back), looked at, and let go for another try if one stands inside the first five bytes of a function; only
//! then the jumps are written. The way back is the same: first the entries, later the blob, when no thread is in it.
//! Whoever is stopped is stopped by a thread made for that one purpose: when that ends, for whatever reason, the kernel lets
//! all go. Killing this program between any two writes leaves a process that runs.
//!
//! Not covered: a signal handler that interrupted a thread within the first instructions of a clock function and stays
//! there while it is changed; a child of `vfork` that asks for the time before it executes another program.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::unistd::Pid;
use schism_cluster::ProcessId;

use super::family;
use super::vdso::{Condition, Image, Shift, Write};

/// How long all threads of a process may take to stop. One that hangs in the kernel does not.
const STOP_WITHIN: Duration = Duration::from_millis(1000);
/// How often a process is stopped until no thread stands where the change is.
const TRIES: u32 = 200;
/// How long between two tries.
const PAUSE: Duration = Duration::from_millis(1);

/// The image of this very program, which is that of all 64-bit processes of this kernel.
///
/// # Errors
/// Where it cannot be read, or is not as [`Image::parse`] expects.
pub fn own_image() -> Result<Image, String> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Err(format!(
            "the clock functions of processes are known for x86-64 only, not {}",
            std::env::consts::ARCH
        ));
    }
    let maps = fs::read_to_string("/proc/self/maps").map_err(|error| format!("/proc/self/maps: {error}"))?;
    let line = maps.lines().find(|line| line.ends_with("[vdso]")).ok_or("the kernel maps no shared object")?;
    let range = line.split_whitespace().next().and_then(|range| range.split_once('-'));
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let (begin, end) = range
        .and_then(|(begin, end)| Some((number(begin)?, number(end)?)))
        .filter(|(begin, end)| begin < end && end - begin <= 1 << 20)
        .ok_or_else(|| format!("/proc/self/maps says {line:?}"))?;
    // Bounded above: it fits.
    let mut bytes = vec![0; (end - begin) as usize];
    let memory = File::open("/proc/self/mem").map_err(|error| format!("/proc/self/mem: {error}"))?;
    memory.read_exact_at(&mut bytes, begin).map_err(|error| format!("/proc/self/mem: {error}"))?;
    Image::parse(bytes)
}

/// The image in one process.
#[derive(Debug)]
pub struct Mapped<'a> {
    image: &'a Image,
    process: ProcessId,
    base: u64,
    memory: File,
}

impl<'a> Mapped<'a> {
    /// Finds it. `None` where the process is gone, or has none (a zombie, a thread of the kernel).
    ///
    /// # Errors
    /// Where its memory cannot be opened.
    pub fn of(image: &'a Image, process: ProcessId, to_write: bool) -> Result<Option<Mapped<'a>>, String> {
        let Some(base) = base_of(process.pid)? else { return Ok(None) };
        let path = format!("/proc/{}/mem", process.pid);
        let memory = match OpenOptions::new().read(true).write(to_write).open(&path) {
            Ok(memory) => memory,
            Err(_) if family::start_ticks(process.pid) != Some(process.start_ticks) => return Ok(None),
            Err(error) => return Err(format!("{path}: {error}")),
        };
        Ok(Some(Mapped { image, process, base, memory }))
    }

    /// Whether the process has ended, or executed another program since.
    pub fn is_gone(&self) -> bool {
        family::start_ticks(self.process.pid) != Some(self.process.start_ticks)
            || !matches!(base_of(self.process.pid), Ok(Some(base)) if base == self.base)
    }

    /// What it is now. A process that ended meanwhile, or executed another program, is foreign.
    pub fn condition(&self) -> Condition {
        self.read().map_or(Condition::Foreign, |now| self.image.condition(&now))
    }

    fn read(&self) -> Option<Vec<u8>> {
        let mut now = vec![0; self.image.pristine().len()];
        self.memory.read_exact_at(&mut now, self.base).ok()?;
        Some(now)
    }

    fn write(&self, writes: &[Write]) -> Result<(), String> {
        for write in writes {
            // An image is a few pages: the offset fits.
            let at = self.base + write.at as u64;
            let done = self.memory.write_at(&write.bytes, at);
            if !matches!(done, Ok(count) if count == write.bytes.len()) {
                return Err(format!("/proc/{}/mem takes no writes at {at:#x}: {done:?}", self.process.pid));
            }
        }
        Ok(())
    }

    /// Makes its functions ours, with this shift. Answers whether anything had to be changed. Of the owner it is what
    /// [`Condition`] says later.
    ///
    /// # Errors
    /// Where the image is neither the kernel's nor this owner's, or the process cannot be stopped or written.
    pub fn skew(&self, shift: &Shift, owner: u32) -> Result<bool, String> {
        let now = self.read().ok_or_else(|| format!("process {} has no such image any more", self.process.pid))?;
        match self.image.condition(&now) {
            Condition::Skewed { owner: other, .. } if other != owner => {
                return Err(format!(
                    "the clock functions of process {} were changed for another lab",
                    self.process.pid
                ));
            }
            Condition::Skewed { shift: there, .. } if there == *shift => return Ok(false),
            Condition::Skewed { .. } => self.write(&self.image.change(&now, shift))?,
            Condition::Pristine => {
                self.write(&self.image.blob(shift, owner))?;
                self.when_nobody_is_there(Image::is_in_an_entry, |mapped| mapped.write(&mapped.image.jumps()))?;
            }
            // Left by one that was killed in the middle: its code is the same, its data may not be.
            Condition::Partly { .. } => {
                self.unhook()?;
                if !self.wipe()? {
                    return Err(format!("process {} stands still inside a clock function", self.process.pid));
                }
                return self.skew(shift, owner);
            }
            Condition::Foreign => {
                return Err(format!(
                    "the clock functions of process {} are neither the kernel's nor ours",
                    self.process.pid
                ));
            }
        }
        Ok(true)
    }

    /// Gives the functions their own first bytes again; from now on nothing gets into the blob.
    ///
    /// # Errors
    /// As [`Mapped::skew`].
    pub fn unhook(&self) -> Result<(), String> {
        self.when_nobody_is_there(Image::is_in_an_entry, |mapped| mapped.write(&mapped.image.returns()))
    }

    /// Takes the blob away, after [`Mapped::unhook`], unless a thread is still in it (one that was stopped there, say):
    /// then it stays, out of use, and the answer is no.
    ///
    /// # Errors
    /// As [`Mapped::skew`].
    pub fn wipe(&self) -> Result<bool, String> {
        let mut wiped = false;
        for _ in 0..10 {
            wiped = self.stopped(|mapped, places| {
                if places.iter().any(|at| mapped.image.is_in_the_blob(*at)) {
                    return Ok(false);
                }
                mapped.write(&mapped.image.unblob()).map(|()| true)
            })?;
            if wiped {
                break;
            }
            thread::sleep(PAUSE);
        }
        Ok(wiped)
    }

    fn when_nobody_is_there(
        &self,
        is_in_the_way: impl Fn(&Image, usize) -> bool + Sync,
        change: impl Fn(&Mapped<'a>) -> Result<(), String> + Sync,
    ) -> Result<(), String> {
        for _ in 0..TRIES {
            let changed = self.stopped(|mapped, places| {
                if places.iter().any(|at| is_in_the_way(mapped.image, *at)) {
                    return Ok(false);
                }
                change(mapped).map(|()| true)
            })?;
            if changed {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
        Err(format!("a thread of process {} stands still at the begin of a clock function", self.process.pid))
    }

    /// Does something while all threads are stopped, told where in the image they are (if they are in it).
    fn stopped<T: Send>(&self, work: impl Fn(&Mapped<'a>, &[usize]) -> Result<T, String> + Sync) -> Result<T, String> {
        let run = || {
            let threads = Threads::stop(self.process)?;
            let len = self.image.pristine().len();
            let within = |at: &u64| usize::try_from(at.checked_sub(self.base)?).ok().filter(|at| *at < len);
            let places: Vec<usize> = threads.instructions()?.iter().filter_map(within).collect();
            // Since then it cannot have executed another program, nor can its number be another's.
            if base_of(self.process.pid)? != Some(self.base) || self.condition() == Condition::Foreign {
                return Err(format!("process {} has executed another program meanwhile", self.process.pid));
            }
            work(self, &places)
        };
        let run = &run;
        thread::scope(|scope| scope.spawn(run).join())
            .unwrap_or_else(|_| Err("the thread that stops processes has failed".to_owned()))
    }
}

/// Where the kernel put the image: `AT_SYSINFO_EHDR` of the auxiliary vector, which is new with every program that the
/// process executes.
fn base_of(pid: u32) -> Result<Option<u64>, String> {
    let path = format!("/proc/{pid}/auxv");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Err(format!("{path}: {error}")),
        Err(_) => return Ok(None),
    };
    let word = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
    let mut pairs = bytes.chunks_exact(16).filter_map(|pair| Some((word(&pair[..8])?, word(&pair[8..])?)));
    Ok(pairs.find(|(kind, _)| *kind == 33).map(|(_, base)| base).filter(|base| *base != 0))
}

/// The threads of a process, stopped until this is dropped.
struct Threads {
    /// Each with the signal that it was about to get.
    stopped: Vec<(Pid, i32)>,
}

impl Threads {
    fn stop(process: ProcessId) -> Result<Threads, String> {
        let deadline = Instant::now() + STOP_WITHIN;
        let mut threads = Threads { stopped: Vec::new() };
        loop {
            let new: Vec<Pid> = threads.unknown(process.pid);
            if new.is_empty() {
                break;
            }
            let mut waited = Vec::new();
            for tid in new {
                match ptrace::seize(tid, ptrace::Options::empty()).and_then(|()| ptrace::interrupt(tid)) {
                    Ok(()) => waited.push(tid),
                    Err(_) if family::is_gone(process.pid, tid.as_raw()) => {}
                    Err(error) => {
                        return Err(format!(
                            "thread {tid} of process {} cannot be stopped (is it traced already?): {error}",
                            process.pid
                        ));
                    }
                }
            }
            for tid in waited {
                threads.wait(tid, deadline, process.pid)?;
            }
        }
        if family::start_ticks(process.pid) != Some(process.start_ticks) || threads.stopped.is_empty() {
            return Err(format!("process {} is gone", process.pid));
        }
        Ok(threads)
    }

    fn unknown(&self, pid: u32) -> Vec<Pid> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let numbers = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok().map(Pid::from_raw));
        let is_new =
            |tid: &Pid| !self.stopped.iter().any(|(known, _)| known == tid) && !family::is_gone(pid, tid.as_raw());
        numbers.filter(is_new).collect()
    }

    fn wait(&mut self, tid: Pid, deadline: Instant, pid: u32) -> Result<(), String> {
        loop {
            match sys::stopped(tid) {
                Ok(Some(signal)) => {
                    self.stopped.push((tid, signal));
                    return Ok(());
                }
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_micros(100)),
                Ok(None) => {
                    return Err(format!(
                        "thread {tid} of process {pid} does not stop within {} ms: it hangs in the kernel, or is frozen",
                        STOP_WITHIN.as_millis()
                    ));
                }
                // It ended.
                Err(_) => return Ok(()),
            }
        }
    }

    fn instructions(&self) -> Result<Vec<u64>, String> {
        self.stopped.iter().map(|(tid, _)| sys::instruction(*tid)).collect()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for (tid, signal) in &self.stopped {
            sys::detach(*tid, *signal);
        }
    }
}

/// The calls for which `nix` knows too few signals (those of real time).
#[allow(unsafe_code)]
mod sys {
    use nix::libc;
    use nix::unistd::Pid;

    /// Whether this traced thread has stopped, and the signal that it is about to get (0 for none).
    ///
    /// # Errors
    /// Where it ended.
    pub fn stopped(tid: Pid) -> Result<Option<i32>, std::io::Error> {
        let mut status = 0;
        // SAFETY: `status` is a valid place for one int for the time of the call.
        let found = unsafe { libc::waitpid(tid.as_raw(), &raw mut status, libc::__WALL | libc::WNOHANG) };
        match found {
            0 => Ok(None),
            -1 => Err(std::io::Error::last_os_error()),
            _ if !libc::WIFSTOPPED(status) => Err(std::io::Error::from_raw_os_error(libc::ESRCH)),
            // A stop of the tracer's making has an event in its upper half, and no signal to give back.
            _ if status >> 16 != 0 => Ok(Some(0)),
            _ => Ok(Some(libc::WSTOPSIG(status))),
        }
    }

    /// Lets it go with that signal. One that ended meanwhile needs no letting go.
    pub fn detach(tid: Pid, signal: i32) {
        // SAFETY: this request reads no memory of ours: its third argument is not used, and its fourth is a number.
        unsafe {
            libc::ptrace(libc::PTRACE_DETACH, tid.as_raw(), 0, libc::c_long::from(signal));
        }
    }

    /// The address of its next instruction.
    #[cfg(target_arch = "x86_64")]
    pub fn instruction(tid: Pid) -> Result<u64, String> {
        let registers = nix::sys::ptrace::getregs(tid);
        registers.map(|registers| registers.rip).map_err(|error| format!("the registers of thread {tid}: {error}"))
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub fn instruction(tid: Pid) -> Result<u64, String> {
        Err(format!("the registers of thread {tid} are known for x86-64 only"))
    }
}

#[cfg(test)]
#[path = "vdso_patch_tests.rs"]
mod tests;
