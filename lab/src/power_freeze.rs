//! Freezing a node: every process of its pid namespace is stopped from outside, sshd and init included.
//!
//! Signals are used, as they are there everywhere; unlike a freezer's they can be seen by parents that wait for stopped
//! children. A process that the kernel is busy for cannot be stopped before it comes back; it then runs no instruction
//! of its own any more, which is what counts here. What was stopped already stays so when the node is thawed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long it may take until nothing runs any more.
const FREEZE_MAX: Duration = Duration::from_secs(5);

/// A process, as seen at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) pid: u32,
    parent: u32,
    start_ticks: u64,
    state: char,
}

impl Member {
    /// From `/proc/PID/stat` (proc(5)). The name, in brackets, may hold anything: fields count from its end.
    fn parse(stat: &str) -> Option<Member> {
        let pid = stat.split(' ').next()?.parse().ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let state = fields.first()?.chars().next()?;
        Some(Member { pid, parent: fields.get(1)?.parse().ok()?, start_ticks: fields.get(19)?.parse().ok()?, state })
    }

    fn read(pid: u32) -> Option<Member> {
        Member::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Dead, though its parent may not have asked yet.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Stopped by a signal.
    fn is_stopped(&self) -> bool {
        self.state == 'T'
    }

    /// Runs, or will at the next wake-up.
    fn may_run(&self) -> bool {
        matches!(self.state, 'R' | 'S' | 'I')
    }

    /// Not another process of the same number.
    pub(crate) fn is_same(&self, other: &Member) -> bool {
        (self.pid, self.start_ticks) == (other.pid, other.start_ticks)
    }
}

/// Signals that very process, if it is still there.
pub(crate) fn signal(member: &Member, signal: Signal) -> bool {
    let same = Member::read(member.pid).is_some_and(|now| now.is_same(member));
    let pid = i32::try_from(member.pid).map(Pid::from_raw);
    // Between look and signal its number could only be given away if it were reaped, and all others used, in between.
    same && pid.is_ok_and(|pid| kill(pid, signal).is_ok())
}

/// All processes of the pid namespace of which this is the first, those of namespaces within it included.
pub(crate) fn members(init_pid: u32) -> Vec<Member> {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(wanted) = namespace(init_pid) else { return Vec::new() };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let all: Vec<Member> = numbers.filter_map(Member::read).collect();
    let direct = all.iter().filter(|member| namespace(member.pid).as_ref() == Some(&wanted)).map(|member| member.pid);
    family(&all, direct.collect())
}

/// These and their descendants.
fn family(all: &[Member], mut known: BTreeSet<u32>) -> Vec<Member> {
    loop {
        let before = known.len();
        known.extend(
            all.iter().filter(|member| known.contains(&member.parent)).map(|member| member.pid).collect::<Vec<_>>(),
        );
        if known.len() == before {
            return all.iter().filter(|member| known.contains(&member.pid)).copied().collect();
        }
    }
}

/// What was stopped, and what had been before.
#[derive(Debug, Default)]
pub(crate) struct Frozen {
    ours: BTreeMap<u32, Member>,
    before: BTreeMap<u32, Member>,
}

impl Frozen {
    /// Stops whatever runs, in passes, as a process may start others until it is stopped itself.
    ///
    /// # Errors
    /// If something still runs after five seconds.
    pub(crate) fn freeze(&mut self, init_pid: u32) -> Result<(), String> {
        let begin = Instant::now();
        let mut calm_passes = 0;
        loop {
            let now = members(init_pid);
            let running = now.iter().filter(|member| self.is_running(member)).count();
            if now.is_empty() {
                return Err("it has no processes".to_owned());
            }
            calm_passes = if running == 0 { calm_passes + 1 } else { 0 };
            // One pass can miss a child of a process that it saw stopped a moment later; the next cannot.
            if calm_passes == 2 {
                return Ok(());
            }
            if begin.elapsed() > FREEZE_MAX {
                return Err(format!("{running} processes still ran after {FREEZE_MAX:?}"));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Looks at one process, stops it if it was not, and tells whether it may still run.
    fn is_running(&mut self, member: &Member) -> bool {
        let known = |map: &BTreeMap<u32, Member>| map.get(&member.pid).is_some_and(|old| old.is_same(member));
        if member.is_dead() {
            return false;
        }
        if known(&self.before) && member.is_stopped() {
            return false;
        }
        if !known(&self.ours) {
            if member.is_stopped() {
                self.before.insert(member.pid, *member);
                return false;
            }
            if signal(member, Signal::SIGSTOP) {
                self.ours.insert(member.pid, *member);
            }
            return true;
        }
        if member.may_run() {
            // Somebody outside may have let it go on.
            signal(member, Signal::SIGSTOP);
        }
        member.may_run()
    }

    /// Lets go on what was stopped here; how many those were.
    pub(crate) fn thaw(&self) -> usize {
        self.ours.values().filter(|member| signal(member, Signal::SIGCONT)).count()
    }

    /// How many were stopped here.
    pub(crate) fn count(&self) -> usize {
        self.ours.len()
    }

    /// How many had been stopped by others.
    pub(crate) fn count_before(&self) -> usize {
        self.before.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(pid: u32, name: &str, state: char, parent: u32, start: u64) -> String {
        let rest: Vec<String> = (5..22).map(|field| field.to_string()).collect();
        format!("{pid} ({name}) {state} {parent} {} {start} 0 0", rest.join(" "))
    }

    #[test]
    fn processes_are_read_whatever_their_names() {
        let member = Member::parse(&stat(7, "a) Z (b", 'S', 3, 99)).unwrap();
        assert_eq!(member, Member { pid: 7, parent: 3, start_ticks: 99, state: 'S' });
        assert!(member.may_run() && !member.is_dead() && !member.is_stopped());
        for torn in ["", "7", "7 (x)", "7 (x) S", "x (x) S 1 2 3"] {
            assert_eq!(Member::parse(torn), None, "{torn}");
        }
        assert!(Member::read(std::process::id()).is_some_and(|own| own.parent > 0));
    }

    #[test]
    fn families_are_found_in_any_order() {
        let member = |pid, parent| Member { pid, parent, start_ticks: 1, state: 'S' };
        let all = [member(9, 8), member(8, 5), member(5, 1), member(6, 1), member(7, 9)];
        let found: Vec<u32> = family(&all, BTreeSet::from([5])).iter().map(|member| member.pid).collect();
        assert_eq!(found, [9, 8, 5, 7]);
        assert!(family(&all, BTreeSet::new()).is_empty());
    }

    #[test]
    fn another_process_of_the_same_number_is_left_alone() {
        let mut own = Member::read(std::process::id()).unwrap();
        own.start_ticks += 1;
        // This test would be gone.
        assert!(!signal(&own, Signal::SIGKILL));
    }
}
