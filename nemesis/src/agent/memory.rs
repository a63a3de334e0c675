//! `agent memory PREFIX LIFETIME_S PERCENT LEAVE_BYTES`: takes memory and keeps it.
//!
//! It takes so many percent of the machine's memory (or of its control group's limit, where that is less), but leaves at
//! least so many bytes available, and looks at what is left before each step. When memory runs out all the same, the
//! kernel ends this process before any other (`oom_score_adj` 1000). Where there is swap, the kernel may page out what it
//! took; what stays resident is what is measured.

use std::fs;
use std::thread;
use std::time::Duration;

use super::Verb;
use super::upkeep::{Upkeep, number};

/// The verb.
pub(super) const VERB: Verb =
    Verb { name: "memory", about: "takes memory: PREFIX LIFETIME_S PERCENT LEAVE_BYTES", run };

/// How much is taken at a time.
const STEP: u64 = 8 << 20;

fn run(args: &[String]) -> Result<(), String> {
    let (upkeep, rest) = Upkeep::parse(args)?;
    let [percent, leave] = rest else { return Err("it wants a percentage and the bytes to leave".to_owned()) };
    let (percent, leave): (u64, u64) = (number(percent, "percent")?, number(leave, "leave")?);
    fs::write("/proc/self/oom_score_adj", "1000").map_err(|error| format!("oom_score_adj: {error}"))?;
    let most = u128::from(room()?.total) * u128::from(percent.min(100)) / 100;
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    let mut taken: Vec<Vec<u8>> = Vec::new();
    let mut bytes = 0;
    while upkeep.goes_on() && bytes < most {
        let step = STEP.min(most - bytes);
        if room()?.available < leave.saturating_add(step) {
            break;
        }
        // Every page is written, so that it is ours and not only promised.
        taken.push(vec![0xa5; usize::try_from(step).map_err(|error| error.to_string())?]);
        bytes += step;
    }
    upkeep.tell("took", &bytes.to_string())?;
    while upkeep.goes_on() {
        thread::sleep(Duration::from_millis(200));
    }
    drop(std::hint::black_box(taken));
    Ok(())
}

/// Bytes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    total: u64,
    available: u64,
}

/// What there is for this process: the machine's, or the control group's where that is less.
fn room() -> Result<Room, String> {
    let text = fs::read_to_string("/proc/meminfo").map_err(|error| format!("/proc/meminfo: {error}"))?;
    let machine = meminfo(&text).ok_or("/proc/meminfo says not what there is")?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limited = group_files(&groups).into_iter().filter_map(|(limit, used)| {
        let read = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        let limit = read(&limit)?;
        Some(Room { total: limit, available: limit.saturating_sub(read(&used)?) })
    });
    let least = |one: Room, other: Room| Room {
        total: one.total.min(other.total),
        available: one.available.min(other.available),
    };
    Ok(limited.fold(machine, least))
}

fn meminfo(text: &str) -> Option<Room> {
    let of = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Room { total: of("MemTotal:")?, available: of("MemAvailable:")? })
}

/// Files that tell limit and use of the control groups that `/proc/self/cgroup` names.
fn group_files(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_end_matches('/').to_owned());
        if controllers.is_empty() {
            let folder = format!("/sys/fs/cgroup{path}");
            return Some((format!("{folder}/memory.max"), format!("{folder}/memory.current")));
        }
        let memory = controllers.split(',').any(|controller| controller == "memory");
        let folder = format!("/sys/fs/cgroup/memory{path}");
        memory.then(|| (format!("{folder}/memory.limit_in_bytes"), format!("{folder}/memory.usage_in_bytes")))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_is_read() {
        let text = "MemTotal:       24683908 kB\nMemFree:  1 kB\nMemAvailable:   24038112 kB\n";
        let expected = Room { total: 24_683_908 * 1024, available: 24_038_112 * 1024 };
        assert_eq!(meminfo(text), Some(expected));
        assert_eq!(meminfo("MemTotal: 5 kB\n"), None);
        let real = room().unwrap();
        assert!(real.available > 0 && real.available <= real.total, "{real:?}");
    }

    #[test]
    fn groups_of_both_kinds_are_looked_at() {
        let files = group_files("4:memory:/a/b\n1:cpu,cpuacct:/\n0::/x.slice\nnonsense\n");
        let limits: Vec<&str> = files.iter().map(|(limit, _)| limit.as_str()).collect();
        assert_eq!(limits, ["/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "/sys/fs/cgroup/x.slice/memory.max"]);
    }
}
