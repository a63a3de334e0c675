//! Processes.

use schism_cluster::ProcessId;
use schism_cluster::shell::{PROCESS_FUNCTIONS, detached, quote};

use super::lease::LEASE_HOLDS;

/// Sends a signal to exactly these processes: a number that was given to another process since is left alone, one
/// that is gone is no error.
pub fn signal(name: &str, processes: &[ProcessId]) -> String {
    let list: Vec<String> = processes.iter().map(|one| format!("{}:{}", one.pid, one.start_ticks)).collect();
    format!(
        "failed=0
for process in {list}; do
  pid=${{process%%:*}}
  stat=$(cat \"/proc/$pid/stat\" 2>/dev/null) || continue
  set -- ${{stat##*) }}
  [ \"${{20}}\" = \"${{process#*:}}\" ] || continue
  kill -s {name} \"$pid\" || [ ! -e \"/proc/$pid\" ] || failed=1
done
exit \"$failed\"
",
        list = list.join(" ")
    )
}

/// What the processes of a fault write into while it is on: one file name a fault and node, see [`mark`].
pub const FAULT_DIR: &str = "/run/schism/faults";

/// The name of a fault's files on a node: `<run tag>-<fault id>-<node>`. Several nodes may live on one machine.
pub fn mark(lease: &str, node: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' };
    format!("{lease}-{}", node.chars().map(plain).collect::<String>())
}

/// The path of one of a fault's files, without its last part: `/run/schism/faults/t-1-n1`.
fn place(mark: &str) -> String {
    quote(&format!("{FAULT_DIR}/{mark}")).into_owned()
}

/// Makes the file `$mark.on`. Tried again: who ends another fault takes the folder away where it is empty, between our making
/// it and our first file. (No `:` in place of `true`, as a shell ends where that cannot write.)
fn hold(mark: &str) -> String {
    format!(
        "n=0
until mkdir -p {FAULT_DIR} && true >{}.on; do n=$((n + 1)); [ \"$n\" -lt 10 ] || exit 1; done
",
        place(mark)
    )
}

/// As words of a shell: `12:345 13:346`.
fn list(processes: &[ProcessId]) -> String {
    let each: Vec<String> = processes.iter().map(|one| format!("{}:{}", one.pid, one.start_ticks)).collect();
    each.join(" ")
}

/// Makes an end of exactly these processes: waits up to `grace_ms` for those that were told to end, then kills what is
/// left (one that is stopped would take the signal only when it goes on, long after the fault). Fails while one of them
/// is still there.
pub fn finish(processes: &[ProcessId], grace_ms: u64) -> String {
    format!(
        "{PROCESS_FUNCTIONS}left() {{
  rest=
  for i in {list}; do
    if alive \"${{i%%:*}}\" \"${{i#*:}}\"; then rest=\"$rest ${{i%%:*}}\"; fi
  done
  [ -n \"$rest\" ]
}}
n=0
while left && [ \"$n\" -lt {tries} ]; do sleep 0.1; n=$((n + 1)); done
n=0
while left && [ \"$n\" -lt 50 ]; do kill -s KILL $rest 2>/dev/null; sleep 0.2; n=$((n + 1)); done
if left; then echo \"still there after SIGKILL:$rest\" >&2; exit 1; fi
",
        list = list(processes),
        tries = grace_ms.div_ceil(100),
    )
}

/// Starts a command that goes on by itself (`$mark.pid` tells which, `$mark.log` what it said) for as long as the file
/// `$mark.on` is there, or until [`detached_stop`]. Prints its number and start time.
pub fn detached_start(mark: &str, command: &str) -> String {
    let command = format!("{LEASE_HOLDS}{command}");
    let begin = detached(&command, &format!("{FAULT_DIR}/{mark}.log"), &format!("{FAULT_DIR}/{mark}.pid"));
    hold(mark) + &begin
}

/// Ends what [`detached_start`] started, and takes its files away: removes `$mark.on`, gives it `grace_ms` to end by
/// itself, kills it (by number and start time), runs `then` if it had to be killed or was dead, and fails while it is
/// still there.
pub fn detached_stop(mark: &str, grace_ms: u64, then: &str) -> String {
    format!(
        "{PROCESS_FUNCTIONS}mark={place}
pid= began= tidy=0
{{ read -r pid began <\"$mark.pid\"; }} 2>/dev/null
rm -f \"$mark.on\"
ours() {{ [ -n \"$began\" ] && alive \"$pid\" \"$began\"; }}
n=0
while ours && [ \"$n\" -lt {tries} ]; do sleep 0.05; n=$((n + 1)); done
if ours; then kill -s KILL \"$pid\"; else [ ! -e \"$mark.tidy\" ] || tidy=1; fi
n=0
while ours && [ \"$n\" -lt 100 ]; do sleep 0.05; n=$((n + 1)); done
if ours; then echo \"process $pid of ours is still there after SIGKILL\" >&2; exit 1; fi
if [ \"$tidy\" = 0 ] && [ -n \"$began\" ]; then
:
{then}fi
rm -f \"$mark\".*
rmdir {FAULT_DIR} 2>/dev/null
:
",
        place = place(mark),
        tries = grace_ms.div_ceil(50),
    )
}

/// Kills the database again and again: `find` prints its processes, `start` starts it. Detached; each process killed is a
/// line `ROUND UPTIME PID START` of `$mark.killed`.
pub fn crash_loop_start(mark: &str, every_ms: u64, find: &str, start: &str) -> String {
    let (secs, rest_ms) = (every_ms / 1000, every_ms % 1000);
    let body = format!(
        "{PROCESS_FUNCTIONS}mark={place}
trap '' HUP
round=0
while [ -e \"$mark.on\" ]; do
  round=$((round + 1))
  sh \"$mark.find\" | while read -r pid began; do
    if alive \"$pid\" \"$began\" && kill -s KILL \"$pid\" 2>/dev/null; then
      read -r up idle </proc/uptime
      echo \"$round $up $pid $began\" >>\"$mark.killed\"
    fi
  done
  [ -e \"$mark.on\" ] || break
  # The threads of a process that is gone may hold its sockets for a moment.
  sh \"$mark.start\" >/dev/null 2>&1 || {{ sleep 0.2; sh \"$mark.start\" >/dev/null; }}
  n=0
  while [ \"$n\" -lt {secs} ] && [ -e \"$mark.on\" ]; do sleep 1; n=$((n + 1)); done
  [ ! -e \"$mark.on\" ] || sleep 0.{rest_ms:03}
done
: >\"$mark.tidy\"
",
        place = place(mark),
    );
    format!(
        "{hold}printf '%s\\n' {find} >{place}.find && printf '%s\\n' {start} >{place}.start || exit 1
{begin}",
        hold = hold(mark),
        find = quote(find),
        start = quote(start),
        place = place(mark),
        begin = detached_start(mark, &body),
    )
}

/// Prints in how many rounds [`crash_loop_start`]'s loop killed something, and whether it runs: `ROUNDS running|gone`.
pub fn crash_loop_look(mark: &str) -> String {
    format!(
        "{PROCESS_FUNCTIONS}mark={place}
kills=0 last= pid= began= runs=gone
[ ! -r \"$mark.killed\" ] || while read -r round rest; do
  [ \"$round\" = \"$last\" ] || kills=$((kills + 1))
  last=$round
done <\"$mark.killed\"
{{ read -r pid began <\"$mark.pid\"; }} 2>/dev/null
if [ -n \"$began\" ] && alive \"$pid\" \"$began\"; then runs=running; fi
echo \"$kills $runs\"
",
        place = place(mark),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::testing::{posix, run};

    #[test]
    fn every_script_is_posix_shell() {
        let processes = [ProcessId { pid: 12, start_ticks: 345 }];
        posix(&[
            finish(&processes, 1000),
            finish(&[], 0),
            detached_start("t-1-n1", "exec sleep 1"),
            detached_stop("t-1-n1", 100, "echo 'it s'\n"),
            detached_stop("t-1-n1", 100, ""),
            crash_loop_start("t-1-n1", 1500, "echo '1 2'", "start 'it'\nexit 0\n"),
            crash_loop_look("t-1-n1"),
        ]);
    }

    #[test]
    fn marks_are_safe_names() {
        assert_eq!(mark("t-3", "n1"), "t-3-n1");
        assert_eq!(mark("t-3", "../a b"), "t-3-.._a_b");
    }

    #[test]
    fn what_begins_after_its_work_was_ended_ends_by_itself() {
        let mark = format!("test-{}-late", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        let (work, file) = (folder.path().join("work"), folder.path().join("done"));
        let begin = detached_start(&mark, &format!("echo ${{SCHISM_LEASE-none}} >>{}", file.display()));
        let lease = format!("export SCHISM_LEASE={}\n", work.display());
        let until = |what: &str, is_so: &dyn Fn() -> bool| {
            let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while !is_so() {
                assert!(std::time::Instant::now() < end, "{what}");
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        };
        let late = run(&format!("{lease}{begin}"));
        // Not before it looked whether there is such work; a zombie has ended too.
        let (pid, began) = late.trim().split_once(' ').unwrap();
        let ended = || run(&format!("{PROCESS_FUNCTIONS}alive {pid} {began} || echo ended\n")) == "ended\n";
        until("it goes on", &ended);
        assert!(!file.exists(), "there is no such work any more");
        std::fs::write(&work, "7\n").unwrap();
        run(&format!("{lease}{begin}"));
        until("it never began", &|| std::fs::read_to_string(&file).unwrap_or_default() == "none\n");
        run(&detached_stop(&mark, 50, ""));
    }

    #[test]
    fn what_runs_detached_is_stopped_once_and_again() {
        let mark = format!("test-{}-detached", std::process::id());
        let started = run(&detached_start(&mark, "exec sleep 60"));
        let (pid, began) = started.trim().split_once(' ').unwrap();
        let id = ProcessId { pid: pid.parse().unwrap(), start_ticks: began.parse().unwrap() };
        let path = |end: &str| std::path::PathBuf::from(format!("{FAULT_DIR}/{mark}.{end}"));
        assert!(path("on").exists() && std::path::Path::new(&format!("/proc/{pid}")).exists());
        // It does not end by itself: killed, and what then must be done is done.
        let then = format!("echo tidied >{FAULT_DIR}/{mark}-then\n");
        run(&detached_stop(&mark, 50, &then));
        assert!(!path("on").exists() && !path("pid").exists());
        let told = std::fs::read_to_string(format!("{FAULT_DIR}/{mark}-then")).unwrap();
        std::fs::remove_file(format!("{FAULT_DIR}/{mark}-then")).unwrap();
        assert_eq!(told, "tidied\n");
        run(&finish(&[id], 0));
        run(&detached_stop(&mark, 50, "echo never >&2; exit 1\n"));
    }
}
