//! `agent throttle PREFIX LIFETIME_S PERCENT PID:START...`: lets processes run for so much of their time, by stopping and
//! continuing them ten times a second.
//!
//! Processes are told by number and start time; their children of every generation are found once a second. One that
//! somebody else has stopped is left as it is for that period. The file `PREFIX.stops` lists all of them. When it ends in
//! order everything that it stopped runs again, which the file `PREFIX.tidy` says.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use schism_cluster::ProcessId;
use schism_cluster::process::{ProcessStat, family, parse_stat};

use super::Verb;
use super::upkeep::{Upkeep, number};

/// The verb.
pub(super) const VERB: Verb =
    Verb { name: "throttle", about: "slows processes down: PREFIX LIFETIME_S PERCENT PID:START...", run };

/// Run and rest together.
const PERIOD: Duration = Duration::from_millis(100);
/// How often children are looked for.
const LOOK: Duration = Duration::from_secs(1);

fn run(args: &[String]) -> Result<(), String> {
    let (upkeep, rest) = Upkeep::parse(args)?;
    let [percent, processes @ ..] = rest else { return Err("it wants a percentage and processes".to_owned()) };
    let percent: u32 = number(percent, "percent")?;
    if !(1..=100).contains(&percent) {
        return Err(format!("{percent} is no percentage from 1 to 100"));
    }
    let roots = processes.iter().map(|text| process(text)).collect::<Result<Vec<_>, _>>()?;
    let running = PERIOD * percent / 100;
    let mut victims = roots.clone();
    tell(&upkeep, &victims)?;
    let mut looked = Instant::now();
    while upkeep.goes_on() {
        if looked.elapsed() >= LOOK {
            let now = with_children(&roots);
            if now != victims {
                victims = now;
                tell(&upkeep, &victims)?;
            }
            looked = Instant::now();
        }
        let stopped: Vec<ProcessId> = victims.iter().copied().filter(|one| stop(*one)).collect();
        thread::sleep(PERIOD - running);
        stopped.iter().for_each(|one| signal(*one, Signal::SIGCONT));
        thread::sleep(running);
    }
    upkeep.tell("tidy", "")
}

/// Writes down whom it may stop, before it does: `PID START` a line, for whoever finds it killed.
fn tell(upkeep: &Upkeep, victims: &[ProcessId]) -> Result<(), String> {
    let lines: String = victims.iter().map(|one| format!("{} {}\n", one.pid, one.start_ticks)).collect();
    upkeep.tell("stops", &lines)
}

/// `PID:START`.
fn process(text: &str) -> Result<ProcessId, String> {
    let (pid, start) = text.split_once(':').ok_or_else(|| format!("`{text}` is no PID:START"))?;
    let pid: u32 = number(pid, "pid")?;
    // 0 and 1 would mean our own group and the first process.
    if pid < 2 || i32::try_from(pid).is_err() {
        return Err(format!("{pid} is no process to be throttled"));
    }
    Ok(ProcessId { pid, start_ticks: number(start, "start")? })
}

fn stat(pid: u32) -> Option<ProcessStat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Stops a process; whether that was our doing.
fn stop(process: ProcessId) -> bool {
    let runs = stat(process.pid).is_some_and(|stat| stat.id == process && !matches!(stat.state, 'T' | 't' | 'Z' | 'X'));
    if runs {
        signal(process, Signal::SIGSTOP);
    }
    runs
}

fn signal(process: ProcessId, signal: Signal) {
    let same = stat(process.pid).is_some_and(|stat| stat.id == process);
    if let (true, Ok(pid)) = (same, i32::try_from(process.pid)) {
        // One that ended meanwhile needs nothing any more.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

fn with_children(roots: &[ProcessId]) -> Vec<ProcessId> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let all: BTreeMap<u32, ProcessStat> = numbers.filter_map(|pid| Some((pid, stat(pid)?))).collect();
    let mut found: Vec<ProcessId> = roots.iter().flat_map(|root| family(&all, *root)).collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn sleeper() -> (Sleeper, ProcessId) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let id = stat(child.id()).unwrap().id;
        (Sleeper(child), id)
    }

    fn state(id: ProcessId) -> char {
        stat(id.pid).unwrap().state
    }

    #[test]
    fn only_processes_are_taken() {
        for text in ["1:5", "0:5", "-7:5", "7", "7:x", "4294967295:1", ""] {
            assert!(process(text).is_err(), "{text}");
        }
        assert_eq!(process("12:345"), Ok(ProcessId { pid: 12, start_ticks: 345 }));
    }

    #[test]
    fn it_stops_for_its_part_of_the_time_and_leaves_no_process_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("t").display().to_string();
        let on = format!("{prefix}.on");
        let ((_first, ours), (_second, theirs), (_third, other)) = (sleeper(), sleeper(), sleeper());
        // Stopped by somebody else: stays stopped. Of another start time: left alone.
        signal(theirs, Signal::SIGSTOP);
        while state(theirs) != 'T' {
            thread::sleep(Duration::from_millis(1));
        }
        let stranger = ProcessId { start_ticks: other.start_ticks + 1, ..other };
        let words = [ours, theirs, stranger].map(|id| format!("{}:{}", id.pid, id.start_ticks));
        let args: Vec<String> = [prefix.clone(), "30".into(), "20".into()].into_iter().chain(words).collect();
        fs::write(&on, "").unwrap();
        let (mut stopped, mut samples, mut disturbed) = (0, 0, 0);
        thread::scope(|scope| {
            let agent = scope.spawn(|| run(&args));
            for _ in 0..100 {
                thread::sleep(Duration::from_millis(17));
                samples += 1;
                stopped += u32::from(state(ours) == 'T');
                disturbed += u32::from(state(theirs) != 'T' || state(other) == 'T');
            }
            fs::remove_file(&on).unwrap();
            agent.join().unwrap().unwrap();
        });
        let share = f64::from(stopped) / f64::from(samples);
        // It wakes up late on a busy machine; confused with the time that it runs, this would be 0.2.
        assert!((0.4..=0.98).contains(&share), "stopped for {share} of the time instead of 0.8");
        assert_eq!(disturbed, 0);
        let begun = Instant::now();
        while state(ours) != 'S' {
            assert!(begun.elapsed() < Duration::from_secs(10), "it does not go on: {}", state(ours));
            thread::sleep(Duration::from_millis(10));
        }
        assert!(fs::exists(format!("{prefix}.tidy")).unwrap());
        let listed = fs::read_to_string(format!("{prefix}.stops")).unwrap();
        assert!(listed.contains(&format!("{} {}\n", ours.pid, ours.start_ticks)), "{listed}");
    }
}
